"""The tasks as the daemon holds them: how each stands, its watermark (rule 3.2), and when to look at it next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from vault_scheduler.daemon.conversations import marks_of
from vault_scheduler.daemon.guard import Guard, Sight
from vault_scheduler.daemon.late_times import LateTimes
from vault_scheduler.daemon.named_files import named_files
from vault_scheduler.daemon.plans import Plans
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.daemon.task_view import View
from vault_scheduler.daemon.troubles import NO_LEDGER
from vault_scheduler.daemon.watermarks import first_watermark, is_set_going, watermark_after
from vault_scheduler.ledger.rows import ARMED_SINCE, FOLLOWS_SINCE, TaskRow, mark_of
from vault_scheduler.planning.chains import Chains
from vault_scheduler.planning.known import internal_problem
from vault_scheduler.planning.named_times import floor_of
from vault_scheduler.planning.planner import Agenda
from vault_scheduler.planning.standing import ARMED, Standing, State, standing, switched_off, vault_off
from vault_scheduler.run import Run, counts_as_run
from vault_scheduler.settings import Settings, resolve
from vault_scheduler.task import Policies, Problem, Status, Task
from vault_scheduler.vault.vault import Vault

_SECOND = timedelta(seconds=1)


@dataclass(slots=True, kw_only=True)
class Tracked:
    """A task: what its note declares, and how it stands."""

    task: Task
    standing: Standing
    settings: Settings  # of the vault, as they were when it was last looked at

    @property
    def policies(self) -> Policies:
        """The policies in force; made for whoever asks, because few do."""
        return resolve(self.task, self.settings)

    @property
    def fires(self) -> bool:
        """Whether its fire times are due at all: to start, or to end `blocked`."""
        return self.standing.fires

    def is_used_up(self, row: TaskRow) -> bool:
        """Whether as many runs have started as `max_runs` allows."""
        return self.task.max_runs is not None and row.started >= self.task.max_runs


class Roster:
    """All tasks with their rows of the ledger; changes of rows go into the tick's plans."""

    def __init__(
        self,
        survey: Survey,
        guard: Guard,
        host: str,
        rows: dict[str, TaskRow],
        *,
        stored_source: Callable[[str], str] = lambda task: "",
        ledger_lost: bool = False,
        ran_until: datetime | None = None,
    ) -> None:
        self._survey = survey
        self._guard = guard
        self._host = host
        self._rows = rows
        self._stored_source = stored_source
        self._settled = {task: row.watermark for task, row in rows.items() if row.fires}
        self._undoubted = dict(self._settled)  # watermarks before the clock may have gone wrong
        self._tracked: dict[str, Tracked] = {}
        self.late_times = LateTimes(survey)
        self.aside: dict[str, Problem] = {}  # tasks that a fault of ours keeps from being planned
        self._ledger_lost = ledger_lost  # only the notes remember what has run
        self._ran_until = ran_until  # a damaged ledger knew of all that was due until then
        self.revisions = 0  # how often a definition, or how a task stands, was found changed
        self._restood: set[str] = set()  # tasks that may stand otherwise than when the runs were last judged
        self.agenda = Agenda()
        self.chains = Chains()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._tracked))

    def get(self, task: str) -> Tracked | None:
        """The task, if it is one now."""
        return self._tracked.get(task)

    def all(self) -> list[Tracked]:
        """All that are tasks now."""
        return list(self._tracked.values())

    def row(self, task: str) -> TaskRow:
        """What the ledger remembers of it."""
        return self._rows[task]

    def take_restood(self) -> set[str]:
        """The tasks that may stand otherwise since this was last asked."""
        found, self._restood = self._restood, set()
        return found

    def was_firing(self, task: str) -> bool:
        """Whether the ledger remembers it as a task that fires."""
        return task in self._rows and self._rows[task].fires

    def view(self, task_id: str, now: datetime) -> View:
        """What the dispatcher asks of a task."""
        tracked, present = self._tracked.get(task_id), self._survey.present
        if tracked is None:
            holder = self._survey.registry.holder(task_id) if task_id in self.aside else None
            task, reason = (holder.task, self.aside[task_id].message) if holder else (None, "")
            return View(task=task, state=State.INVALID, reason=reason, policies=Policies, settled=True, present=present)
        return View(
            task=tracked.task,
            state=tracked.standing.state,
            reason=tracked.standing.reason,
            policies=lambda: tracked.policies,
            vault_is_off=bool(vault_off(self._settings, now)),
            settled=self._survey.settled(tracked.task.path),
            present=present,
            next_fire=lambda: tracked.task.schedule.next_after(now) if tracked.standing.armed else None,
        )

    def stopped(self, task_id: str) -> str:
        """Why what runs of the task is to be cancelled; "" if it is not. One that is set aside can be stopped, too."""
        tracked, holder = self._tracked.get(task_id), self._survey.registry.holder(task_id)
        if tracked is not None:
            return tracked.standing.reason if tracked.standing.state is State.STOPPED else ""
        if task_id not in self.aside or holder is None or holder.task is None:
            return ""
        stands = switched_off(holder.task, self._settings)
        return stands.reason if stands is not None and stands.state is State.STOPPED else ""

    @contextmanager
    def alone(self, task_id: str) -> Iterator[None]:
        """An unexpected error in dealing with one task costs that task its turn, and no other.

        It is set aside, a visible problem, until it can be looked at anew without one: nothing of it starts, and what
        comes due meanwhile is caught up then. A ledger that cannot be used is everybody's matter.
        """
        try:
            yield
        except NO_LEDGER:
            raise
        except Exception as error:
            holder = self._survey.registry.holder(task_id)
            path = holder.path if holder else self._rows[task_id].path if task_id in self._rows else ""
            self.aside[task_id] = internal_problem(path, error, "planning this task")
            self._tracked.pop(task_id, None)
            self._restood.add(task_id)
            self.agenda.put(task_id, None)

    def named_files(self, vault: Vault) -> list[str]:
        """The files that any task's definition names: a run without shell must not change what others execute."""
        tasks = [tracked.task for tracked in self._tracked.values()]
        return sorted({path for task in tasks for path in named_files(task, vault)})

    def would_stand(self, task_id: str, now: datetime) -> Standing | None:
        """How the task stands as its note is now; None if it is no task any more."""
        entry = self._survey.registry.holder(task_id)
        if entry is None or entry.task is None:
            return None
        return self._stand(entry.task, self._guard.held(task_id), entry.invalid_since, now)

    def judge_chains(self, now: datetime) -> set[str]:
        """Look at who comes `after` whom, once all notes are known; the tasks that may stand differently for it."""
        survey = self._survey
        folder, host = survey.vault.rel(survey.vault.tasks_folder), self._settings.host or self._host
        touched = self.chains.look(survey.registry, tasks_folder=folder, host=host, now=now)
        for task_id in touched:
            self._complain_of_chain(task_id)
        return touched

    def _complain_of_chain(self, task_id: str) -> None:
        entry, faults = self._survey.registry.holder(task_id), self.chains.faults(task_id)
        if entry is not None:
            line = self._survey.line_of(entry.path, "after") if faults else 1
            problems = tuple(fault.problem(entry.path, line) for fault in faults)
            self._survey.registry.complain_of_chain(task_id, problems)

    def all_seen(self) -> None:
        """All notes have been seen once: what comes now is new, not forgotten."""
        self._ledger_lost = False

    def is_due(self, task_id: str, now: datetime) -> bool:
        """Whether the task is to be looked at by now."""
        moment = self.agenda.moment_of(task_id)
        return moment is not None and moment <= now

    def keep(self, row: TaskRow, plans: Plans) -> None:
        """The row is like this now, and will be in the ledger."""
        before = self._rows.get(row.task)
        if before is None or (before.fires, before.fingerprint) != (row.fires, row.fingerprint):
            self._undoubted.pop(row.task, None)  # what was due before is not due any more
        self._rows[row.task] = row
        plans.rows[row.task] = row
        if row.fires:
            self._settled[row.task] = row.watermark

    def doubt(self) -> None:
        """The clock may be false from now on: where the watermarks are now can be trusted."""
        self._undoubted = {task: row.watermark for task, row in self._rows.items() if row.fires}

    def put_right(self, plans: Plans, now: datetime) -> dict[str, datetime]:
        """The clock was false: watermarks ahead of now come back to where they were before, at most to now."""
        self._settled = {task: min(moment, now) for task, moment in self._settled.items()}
        found = self.undoubted(now)
        for task, watermark in found.items():
            self.keep(replace(self._rows[task], watermark=watermark), plans)
        return found

    def undoubted(self, now: datetime) -> dict[str, datetime]:
        """Where the watermarks that lie ahead of now were before the clock may have gone wrong, at most now."""
        ahead = [row.task for row in self._rows.values() if row.fires and row.watermark > now]
        return {task: min(now, self._undoubted.get(task, now)) for task in ahead}

    def reconsider(self, task_id: str, plans: Plans, now: datetime, monotonic: float) -> Tracked | None:
        """Look at a task whose note or surroundings changed; None if it is no task any more."""
        self._restood.add(task_id)
        entry = self._survey.registry.holder(task_id)
        row = self._rows.get(task_id)
        if entry is None or entry.task is None:
            self._lose(task_id, row, plans)
            return None
        task, fresh = entry.task, self._survey.notes.fresh_source(entry.path)
        held = self._guard.held(task_id)
        if entry.invalid_since is None:
            source = lambda: fresh or self._source_of(task_id, plans)  # noqa: E731
            held = self._guard.judge(task, source, lambda: self._sight(task, now, monotonic))
        stands = self._stand(task, held, entry.invalid_since, now)
        self._notice_late(row, task, stands, plans, now)
        new_row = self._row_of(task, row, stands, fresh, entry.invalid_since, now)
        if row is not None and stands.fires and not row.fires:
            plans.meta[ARMED_SINCE + task_id] = now.isoformat()
        if task.after and is_set_going(row, new_row, stands):
            plans.meta[FOLLOWS_SINCE + task_id] = now.isoformat()
        if new_row != row:
            self.revisions += 1
            self.keep(new_row, plans)
            if fresh:
                plans.sources[task_id] = fresh
        else:
            self._rows[task_id] = new_row  # which shares its texts with the task
        self._survey.notes.has_taken_source(entry.path)
        tracked = Tracked(task=task, standing=stands, settings=self._settings)
        self._tracked[task_id] = tracked
        self.aside.pop(task_id, None)
        return tracked

    def _source_of(self, task_id: str, plans: Plans) -> str:
        """The JSON of the last good definition that has been taken from the note."""
        return plans.sources.get(task_id) or self._stored_source(task_id)

    def _sight(self, task: Task, now: datetime, monotonic: float) -> Sight:
        """When the definition, as it is now, appeared."""
        read_at = self._survey.notes.read_at(task.path)
        read_at = monotonic if read_at is None else read_at
        seen_at, written_at = now - timedelta(seconds=monotonic - read_at), self._survey.modified_at(task.path)
        return Sight(seen_at=seen_at, written_at=written_at, read_at=read_at, now=now)

    def _row_of(
        self,
        task: Task,
        row: TaskRow | None,
        stands: Standing,
        fresh: str,
        invalid_since: datetime | None,
        now: datetime,
    ) -> TaskRow:
        """What the ledger is to remember of the task, of which `row` is what it remembers now."""
        return TaskRow(
            task=task.id,
            path=task.path,
            fingerprint=task.trigger_fingerprint,
            fires=stands.fires,
            watermark=self._watermark(row, task, stands, now),
            latched=bool(row and row.latched and task.run_now),
            invalid_since=invalid_since,
            source_mark=mark_of(fresh) if fresh or row is None else row.source_mark,
            seen_definition=task.definition,
            started=0 if row is None or task.status is Status.DONE else row.started,
            answered=row.answered if row is not None and row.answered and row.answered in marks_of(task.answer) else "",
        )

    def _watermark(self, row: TaskRow | None, task: Task, stands: Standing, now: datetime) -> datetime:
        if row is None:
            return self._first_watermark(task, stands, now)
        return watermark_after(row, task, stands, now, self._settled.get(task.id))

    def _first_watermark(self, task: Task, stands: Standing, now: datetime) -> datetime:
        remembers = self._ledger_lost or task.schedule.is_one_shot
        last_run = self._has_run_until(task, now) if remembers else None
        return first_watermark(task, lambda: self._floor(task, now), stands, now=now, last_run=last_run)

    def _floor(self, task: Task, now: datetime) -> datetime:
        written_at = self._survey.modified_at(task.path) or now
        return floor_of(resolve(task, self._settings), now=now, written_at=written_at)

    def _notice_late(self, row: TaskRow | None, task: Task, stands: Standing, plans: Plans, now: datetime) -> None:
        """Instants of `at` that a note brought late; to create or edit a task fires nothing else (rule 1.4)."""
        if row is not None and row.fingerprint == task.trigger_fingerprint:
            return
        self.late_times.forget(task.id)
        if not stands.armed:
            return
        if row is None:
            self.late_times.of_new(task, now, lambda: self._has_run_until(task, now))
        else:
            self.late_times.of_edited(task, lambda: self._definition_of(row, plans), now)

    def _definition_of(self, row: TaskRow, plans: Plans) -> Task | None:
        """What the task was when last seen; None if nobody can tell, so that nothing of it counts as new."""
        try:
            return self._survey.notes.rebuilt(self._source_of(row.task, plans), row.path)
        except (ValueError, KeyError, TypeError):  # carried over from a damaged ledger
            return None

    def _has_run_until(self, task: Task, now: datetime) -> datetime | None:
        """What the ledger would say of a task that it does not know: nothing may run a second time."""
        known = self._ran_until if self._ledger_lost else None
        moments = [moment for moment in (self._survey.notes.last_run(task, now), known) if moment is not None]
        return min(max(moments), now) if moments else None

    def restand(self, task_id: str, plans: Plans, now: datetime) -> Tracked:
        """A pause has run out, or the grace of an invalid note: nothing was edited, but the task stands otherwise."""
        self._restood.add(task_id)
        tracked, row = self._tracked[task_id], self._rows[task_id]
        tracked.standing = self._stand(tracked.task, self._guard.held(task_id), row.invalid_since, now)
        watermark = self._watermark(row, tracked.task, tracked.standing, now)
        self.keep(replace(row, fires=tracked.fires, watermark=watermark), plans)
        return tracked

    def rename(self, old: str, new: str, path: str) -> None:
        """A task goes on under another id (rule 3.4)."""
        self._restood |= {old, new}
        self.chains.rename(old, new)
        if old in self._rows:
            self._rows[new] = replace(self._rows.pop(old), task=new, path=path)
        if old in self._settled:
            self._settled[new] = self._settled.pop(old)
        self.late_times.rename(old, new)
        self._tracked.pop(old, None)
        self.agenda.put(old, None)

    def schedule_look(self, task_id: str, now: datetime) -> bool:
        """Put the task on the agenda; False if nothing is left for it to fire."""
        tracked, row = self._tracked[task_id], self._rows[task_id]
        task, spent = tracked.task, tracked.is_used_up(row)
        fire_time = task.schedule.next_after(row.watermark) if tracked.fires and not spent else None
        late = self.late_times.late(task_id)
        if not (late or task.reacts or tracked.standing.until):  # as with most tasks
            self.agenda.put(task_id, fire_time)
            return fire_time is not None or not tracked.standing.armed
        until = task.schedule.until if task.reacts else None
        moments = [tracked.standing.until] if tracked.standing.until else []
        if until is not None and until >= now:
            moments.append(until + _SECOND)  # to tell that it is done
        moments += late[:1]
        if fire_time is not None:
            moments.append(fire_time)
        self.agenda.put(task_id, min(moments, default=None))
        may_react = task.reacts and not spent and (until is None or now <= until)
        return bool(late) or fire_time is not None or not tracked.standing.armed or may_react

    def has_started(self, run: Run, number: int = 1) -> None:
        """A run has begun its first attempt (or, with -1, never came to its work): the ledger has counted it."""
        row = self._rows.get(run.task)
        if row is not None and counts_as_run(run.trigger):
            self._rows[run.task] = replace(row, started=max(0, row.started + number))

    @property
    def _settings(self) -> Settings:
        return self._survey.settings or Settings()

    def _stand(self, task: Task, held: str, invalid_since: datetime | None, now: datetime) -> Standing:
        stands = standing(task, self._settings, host=self._host, now=now, held=held, invalid_since=invalid_since)
        stands = self.chains.stand(task.id, stands, now)
        return stands if stands is ARMED else _shared(stands)

    def _lose(self, task_id: str, row: TaskRow | None, plans: Plans) -> None:
        self.aside.pop(task_id, None)
        self._tracked.pop(task_id, None)
        self.agenda.put(task_id, None)
        self.revisions += 1
        if row is not None and row.fires:
            self.keep(replace(row, fires=False), plans)
        # The row stays for as long as the ledger keeps it: the latch of `run_now`, the count of `max_runs` and the mark
        # of the answer are what keeps a note that comes back from firing twice.


@lru_cache(maxsize=256)
def _shared(stands: Standing) -> Standing:
    """One for all tasks that stand alike: nearly all do."""
    return stands
