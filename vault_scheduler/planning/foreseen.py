"""What a forecast is made of: tasks with their expected times and runs under way; and what it tells. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vault_scheduler.planning.planner import Candidate
from vault_scheduler.run import Outcome, TriggerKind
from vault_scheduler.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A task as it stands now, with how long its runs are expected to take."""

    task: Task
    takes: timedelta
    watermark: datetime  # UTC; fire times at or before it are settled
    held: str = ""  # why its definition waits for approval
    started: int = 0  # runs that count for `max_runs`


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """A run that was claimed before the forecast begins."""

    candidate: Candidate
    ends_at: datetime | None = None  # UTC, expected; None: it has not started
    outcome: Outcome = Outcome.SUCCESS  # how it ends then
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """A run that is expected, or fire times that will not start. Times in UTC.

    `outcome`: success for what runs, else skipped, cancelled, missed or blocked; abandoned for what a daemon that died
    left behind.
    """

    task: str
    trigger: TriggerKind
    fire_time: datetime
    outcome: Outcome
    reason: str = ""
    run: str = ""  # the id of a run that has been claimed already
    parent: str = ""  # the task that it comes after
    starts_at: datetime | None = None  # None: it does not start, or still waits when the forecast ends
    ends_at: datetime | None = None
    waits_for: str = ""  # overlap · group · slot · retry: what it waits for longest
    waits: timedelta = timedelta(0)  # in all; up to now where it has not started
    last_fire_time: datetime | None = None  # of several that do not start
    count: int = 1

    @property
    def runs(self) -> bool:
        """Whether it is a run that is not expected to be stopped."""
        return self.outcome is Outcome.SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Everything that is due in now < fire time <= `until`, by fire time; with what was claimed before."""

    runs: tuple[Foreseen, ...]
    until: datetime
    is_cut: bool = False  # there was too much to look further than `until`
