"""A task and a run of a simulated future: the counterparts of what the daemon holds. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vault_scheduler.planning.foreseen import Foreseen
from vault_scheduler.planning.planner import Candidate, Range
from vault_scheduler.planning.standing import Standing, State
from vault_scheduler.run import Outcome, Run, TriggerKind, run_id
from vault_scheduler.task import ClaudeAction, Policies, Task


@dataclass(slots=True, kw_only=True)
class Tracked:
    """A task in the simulation: the counterpart of the daemon's."""

    task: Task
    takes: timedelta
    held: str
    policies: Policies
    watermark: datetime
    started: int
    standing: Standing
    fire_time: datetime | None = None  # the next one after the watermark

    @property
    def is_used_up(self) -> bool:
        """Whether as many runs have started as `max_runs` allows."""
        return self.task.max_runs is not None and self.started >= self.task.max_runs

    def candidate(
        self, kind: TriggerKind, key: str, fire_time: datetime, now: datetime, *, overlaps: bool
    ) -> Candidate:
        """A run of it that is claimed now."""
        fire_time = fire_time.replace(microsecond=0)  # as the ledger keeps it
        run = Run(
            id=run_id(key, fire_time),
            key=key,
            task=self.task.id,
            path=self.task.path,
            trigger=kind,
            fire_time=fire_time,
            claimed_at=now,
            reserved_usd=_cap(self.task),
        )
        return Candidate(
            run=run,
            type=self.task.type,
            overlap=self.policies.overlap,
            group=self.policies.group,
            overlaps=overlaps,
        )


@dataclass(slots=True, kw_only=True)
class Active:
    """A run that has not ended."""

    candidate: Candidate
    was_claimed: bool = False  # before the forecast
    parent: str = ""
    ends_at: datetime | None = None  # None: it waits
    outcome: Outcome = Outcome.SUCCESS  # how it ends then
    reason: str = ""
    waits_for: str = ""
    waits_since: datetime | None = None
    waited: Counter[str] = field(default_factory=Counter)  # seconds for each of what it waited for

    @property
    def run(self) -> Run:
        """The run, as it is at the moment of the simulation."""
        return self.candidate.run

    def wait(self, waits_for: str, now: datetime) -> None:
        """From now on it waits for this ("": for nothing any more)."""
        if self.waits_for and self.waits_since is not None:
            self.waited[self.waits_for] += round((now - self.waits_since).total_seconds())
        self.waits_for, self.waits_since = waits_for, now

    def foreseen(self, outcome: Outcome, reason: str = "") -> Foreseen:
        """What is told of it when it ends like this."""
        longest = self.waited.most_common(1)
        return Foreseen(
            task=self.run.task,
            trigger=self.run.trigger,
            fire_time=self.run.fire_time,
            outcome=outcome,
            reason=reason,
            run=self.run.id if self.was_claimed else "",
            parent=self.parent,
            starts_at=self.run.started_at,
            ends_at=self.ends_at,
            waits_for=self.waits_for or (longest[0][0] if longest and longest[0][1] else ""),
            waits=timedelta(seconds=self.waited.total()),
        )


def goes_on(run: Run, stands: Standing, vault_is_off: bool) -> bool:
    """Whether a run that waits is not given up as pointless: run-now works on a paused task, in an active vault."""
    asked_for = run.trigger is TriggerKind.REQUEST and stands.state in (State.PAUSED, State.DONE)
    return stands.armed or (asked_for and not vault_is_off)


def unstarted(task: str, gap: Range) -> Foreseen:
    """What is told of fire times of a task that do not start."""
    return Foreseen(
        task=task,
        trigger=TriggerKind.AT,
        fire_time=gap.first,
        outcome=gap.outcome,
        reason=gap.reason,
        last_fire_time=gap.last if gap.count > 1 else None,
        count=gap.count,
    )


def _cap(task: Task) -> float:
    return task.action.max_usd if isinstance(task.action, ClaudeAction) else 0.0
