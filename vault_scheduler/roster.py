"""The tasks as the daemon holds them: how each stands, its watermark (rule 3.2), and when to look at it next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from vault_scheduler.guard import Guard
from vault_scheduler.ledger import Batch, Claim, TaskRow, Unstarted
from vault_scheduler.planner import Agenda, Standing, standing
from vault_scheduler.settings import Settings, resolve
from vault_scheduler.survey import Survey
from vault_scheduler.task import Policies, Task
from vault_scheduler.triggers import OnceTrigger

ARMED_SINCE = "armed since: "  # key of the ledger's meta table, with the task's id


@dataclass(slots=True, kw_only=True)
class Tracked:
    """A task: what its note declares, and how it stands."""

    task: Task
    standing: Standing
    policies: Policies

    @property
    def fires(self) -> bool:
        """Whether its fire times are due at all: to start, or to end `blocked`."""
        return self.standing.armed or self.standing.state.blocks


@dataclass(slots=True, kw_only=True)
class Plans:
    """What one tick is going to commit in one transaction."""

    claims: list[Claim] = field(default_factory=list)
    unstarted: list[Unstarted] = field(default_factory=list)
    rows: dict[str, TaskRow] = field(default_factory=dict)
    snapshots: dict[str, str] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)

    def batch(self) -> Batch:
        """As the ledger takes it."""
        return Batch(
            claims=tuple(self.claims),
            unstarted=tuple(self.unstarted),
            tasks=tuple(self.rows.values()),
            snapshots=dict(self.snapshots),
            meta=dict(self.meta),
        )

    def clear(self) -> None:
        """All of it is in the ledger now."""
        for planned in (self.claims, self.unstarted, self.rows, self.snapshots, self.meta):
            planned.clear()


class Roster:
    """All tasks with their rows of the ledger; changes of rows go into the tick's plans."""

    def __init__(self, survey: Survey, guard: Guard, host: str, rows: dict[str, TaskRow]) -> None:
        self._survey = survey
        self._guard = guard
        self._host = host
        self._rows = rows
        self._tracked: dict[str, Tracked] = {}
        self.agenda = Agenda()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._tracked))

    def get(self, task: str) -> Tracked | None:
        """The task, if it is one now."""
        return self._tracked.get(task)

    def row(self, task: str) -> TaskRow:
        """What the ledger remembers of it."""
        return self._rows[task]

    def keep(self, row: TaskRow, plans: Plans) -> None:
        """The row is like this now, and will be in the ledger."""
        self._rows[row.task] = row
        plans.rows[row.task] = row

    def reconsider(self, task_id: str, plans: Plans, now: datetime, monotonic: float) -> Tracked | None:
        """Look at a task whose note or surroundings changed; None if it is no task any more."""
        entry = self._survey.registry.holder(task_id)
        row = self._rows.get(task_id)
        if entry is None or entry.task is None:
            self._lose(task_id, row, plans)
            return None
        task, source = entry.task, self._survey.good_source(entry.path) or (row.source if row else "")
        held = self._guard.held(task_id)
        if entry.invalid_since is None:
            quiet_s = min(self._survey.quiet_s(entry.path, monotonic), 1e9)
            held = self._guard.judge(task, source, now - timedelta(seconds=quiet_s))
        stands = self._stand(task, held, entry.invalid_since, now)
        new_row = TaskRow(
            task=task_id,
            path=task.path,
            fingerprint=task.trigger_fingerprint,
            armed=stands.armed,
            watermark=watermark_after(row, task, stands, now),
            latched=bool(row and row.latched and task.run_now),
            invalid_since=entry.invalid_since,
            source=source,
            seen_definition=task.definition,
        )
        if row is not None and stands.armed and not row.armed:
            plans.meta[ARMED_SINCE + task_id] = now.isoformat()
        if new_row != row:
            self.keep(new_row, plans)
        tracked = Tracked(task=task, standing=stands, policies=resolve(task, self._settings))
        self._tracked[task_id] = tracked
        return tracked

    def restand(self, task_id: str, plans: Plans, now: datetime) -> Tracked:
        """A pause has run out, or the grace of an invalid note: nothing was edited, but the task stands otherwise."""
        tracked, row = self._tracked[task_id], self._rows[task_id]
        tracked.standing = self._stand(tracked.task, self._guard.held(task_id), row.invalid_since, now)
        watermark = watermark_after(row, tracked.task, tracked.standing, now)
        self.keep(replace(row, armed=tracked.standing.armed, watermark=watermark), plans)
        return tracked

    def rename(self, old: str, new: str, path: str) -> None:
        """A task goes on under another id (rule 3.4)."""
        if old in self._rows:
            self._rows[new] = replace(self._rows.pop(old), task=new, path=path)
        self._tracked.pop(old, None)
        self.agenda.put(old, None)

    def schedule_look(self, task_id: str) -> bool:
        """Put the task on the agenda; False if nothing is left for it to fire."""
        tracked, row = self._tracked[task_id], self._rows[task_id]
        moments = [tracked.standing.until] if tracked.standing.until else []
        fire_time = tracked.task.schedule.next_after(row.watermark) if tracked.fires else None
        if fire_time is not None:
            moments.append(fire_time)
        self.agenda.put(task_id, min(moments, default=None))
        return fire_time is not None or not tracked.standing.armed or tracked.task.on_start

    @property
    def _settings(self) -> Settings:
        return self._survey.settings or Settings()

    def _stand(self, task: Task, held: str, invalid_since: datetime | None, now: datetime) -> Standing:
        return standing(task, self._settings, host=self._host, now=now, held=held, invalid_since=invalid_since)

    def _lose(self, task_id: str, row: TaskRow | None, plans: Plans) -> None:
        self._tracked.pop(task_id, None)
        self.agenda.put(task_id, None)
        if row is not None and row.armed:
            self.keep(replace(row, armed=False), plans)


def watermark_after(row: TaskRow | None, task: Task, stands: Standing, now: datetime) -> datetime:
    """Where the watermark is after looking at a task (rule 3.2): now, unless nothing has changed.

    A pause that ran out at a known instant arms the task from there on. A one-shot that is seen for the first time
    counts from its own past (rule 1.4): a phone's note arrives late, and `max_late` judges it.
    """
    if row is None:
        return _before_first_shot(task, now) if stands.armed else now
    if (row.fingerprint, row.armed) == (task.trigger_fingerprint, stands.armed):
        return row.watermark
    same_triggers = row.fingerprint == task.trigger_fingerprint
    if same_triggers and stands.armed and stands.since is not None and row.watermark < stands.since <= now:
        return stands.since - timedelta(seconds=1)
    return now


def _before_first_shot(task: Task, now: datetime) -> datetime:
    if not task.schedule.is_one_shot:
        return now
    shots = [moment for t in task.schedule.triggers if isinstance(t, OnceTrigger) for moment in t.instants]
    past = [moment for moment in shots if moment <= now]
    return min(past) - timedelta(seconds=1) if past else now
