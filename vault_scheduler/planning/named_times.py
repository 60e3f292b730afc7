"""The instants that `at` names: which of them a note, or an edit of it, brought too late to be waited for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vault_scheduler.task import Policies, Task
from vault_scheduler.triggers.schedule import OnceTrigger, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedLate:
    """Instants, ascending and in UTC, that were over when the task was first seen to name them (rule 1.4)."""

    late: tuple[datetime, ...] = ()  # a phone's note arrives late: `catch_up` and `max_late` judge them
    passed: tuple[datetime, ...] = ()  # a mistake of the author: over when the note was written, and too long ago

    @property
    def schedule(self) -> Schedule:
        """What runs late, without the task's other triggers: they are not caught up."""
        return Schedule(triggers=(OnceTrigger(self.late),))


def floor_of(policies: Policies, *, now: datetime, written_at: datetime) -> datetime:
    """Instants at or before it were over when the note was written, and are too long ago to run late now (UTC)."""
    return min(now - (policies.max_late or timedelta(0)), written_at) - timedelta(seconds=1)


def named_late(
    task: Task,
    policies: Policies,
    before: Task | None,
    *,
    now: datetime,
    written_at: datetime,
    last_run: datetime | None = None,
) -> NamedLate:
    """The instants of `at` not later than now that the definition `before` did not name.

    None: a new task, and what its note says has run until `last_run` is settled. With another zone all local times
    are other instants: that names nothing.
    """
    if not names_instants(task) or (before is not None and before.timezone != task.timezone):
        return NamedLate()
    known = instants_of(before) if before is not None else frozenset()
    floor = floor_of(policies, now=now, written_at=written_at)
    over = sorted(moment for moment in instants_of(task) - known if moment <= now and task.schedule.covers(moment))
    unsettled = [moment for moment in over if last_run is None or moment > last_run]
    return NamedLate(
        late=tuple(moment for moment in unsettled if moment > floor),
        passed=tuple(moment for moment in unsettled if moment <= floor),
    )


def names_instants(task: Task) -> bool:
    """Whether it has an `at`."""
    return any(isinstance(trigger, OnceTrigger) for trigger in task.schedule.triggers)


def instants_of(task: Task) -> frozenset[datetime]:
    """All that its `at` names, in UTC."""
    named = [trigger.instants for trigger in task.schedule.triggers if isinstance(trigger, OnceTrigger)]
    return frozenset(moment.astimezone(UTC) for moments in named for moment in moments)
