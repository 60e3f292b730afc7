"""What follows when a run has ended, or when a task has nothing left to fire."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.roster import Tracked
from vault_scheduler.ledger.known_tasks import UNWRITTEN
from vault_scheduler.ledger.rows import ARMED_SINCE
from vault_scheduler.planning.planner import USED_UP
from vault_scheduler.run import Outcome, Run
from vault_scheduler.task import Status

RECALLED = 1000
"""So many failures of former daemons are looked at: the last one may have been one too many."""


class Endings:
    """Tells how runs ended, pauses tasks that keep failing, closes tasks that are done."""

    def __init__(self, core: Core) -> None:
        self._store, self._survey, self._roster = core.store, core.survey, core.roster
        self._dispatcher, self._scribe = core.dispatcher, core.scribe
        self._around, self._tell = core.around, core.tell
        self.has_paused: Callable[[str, str], None] = lambda task, why: None  # who else hears of it
        self._ended: list[Run] = []
        self._spent: set[str] = set()  # tasks for which nothing is left to fire
        self._unwritten: dict[str, str] = {}
        self._to_recall: dict[str, str] = {}  # tasks that a former daemon paused; "": perhaps it had to

    async def begin(self) -> None:
        """Remember which tasks a former daemon had paused, or did not come to pause, when it ended."""
        self._unwritten = json.loads(await self._store.get_meta(UNWRITTEN) or "{}")
        failed = {run.task for run in await self._store.history(failed=True, limit=RECALLED)}
        self._to_recall = dict.fromkeys(filter(self._roster.was_firing, failed), "") | self._unwritten

    async def recall(self) -> set[str]:
        """Pause them as soon as their notes are known, before anything of them starts; the ids that stand otherwise."""
        touched: set[str] = set()
        for task_id, why in list(self._to_recall.items()):
            tracked = self._roster.get(task_id)
            if tracked is None:
                continue
            with self._roster.alone(task_id):
                touched |= await self._pause_again(tracked, why)
            del self._to_recall[task_id]
        if self._survey.knows_notes:
            self._to_recall.clear()
            await self._forget_written()
        return touched | self._stay_paused()

    def _stay_paused(self) -> set[str]:
        """An edit that was typed before the pause and counts only now does not know of it: it stays paused."""
        tracked = [found for task in self._unwritten if (found := self._roster.get(task)) is not None]
        paused = [self._survey.notes.pause(each.task) for each in tracked if each.task.status is Status.ACTIVE]
        return set().union(*paused)

    async def rename(self, old: str, new: str) -> None:
        """A task goes on under another id: it is paused under that one, whatever its note says yet."""
        if old in self._unwritten:
            renamed = {new if task == old else task: why for task, why in self._unwritten.items()}
            await self._store.set_meta(UNWRITTEN, json.dumps(renamed))
            self._unwritten = renamed
            self._to_recall[new] = renamed[new]
        if old in self._to_recall and old != new:
            self._to_recall.setdefault(new, self._to_recall.pop(old))

    async def _pause_again(self, tracked: Tracked, why: str) -> set[str]:
        if tracked.task.status is Status.ACTIVE and why:
            return await self._pause(tracked, why)
        if tracked.standing.armed and tracked.policies.pause_after:
            return await self._pause_after_failures(tracked, tracked.policies.pause_after)
        return set()

    async def _forget_written(self) -> None:
        """Once the note shows that the task is not active it is up to the person: who sets it active again means it."""
        still = {task: why for task, why in self._unwritten.items() if self._is_unwritten(task)}
        if still != self._unwritten:
            await self._store.set_meta(UNWRITTEN, json.dumps(still))
            self._unwritten = still

    def _is_unwritten(self, task_id: str) -> bool:
        tracked = self._roster.get(task_id)
        return tracked is not None and self._survey.notes.value(tracked.task.path, "status") in (
            None,
            Status.ACTIVE.value,
        )

    def add(self, run: Run) -> None:
        """This run has ended."""
        self._ended.append(run)

    def schedule_look(self, task_id: str, now: datetime) -> None:
        """Put the task on the agenda, or note that nothing is left for it to fire."""
        if not self._roster.schedule_look(task_id, now):
            self._spent.add(task_id)

    async def follow_up(self, now: datetime) -> set[str]:
        """Look at what has ended since; the tasks that stand differently for it."""
        touched: set[str] = set()
        while self._ended:
            run = self._ended[0]
            outcome = run.outcome or Outcome.ABANDONED
            tracked = self._roster.get(run.task)
            if tracked is not None:
                with self._roster.alone(run.task):
                    self.schedule_look(run.task, now)
                    self._scribe.registered(run.task)
                    if outcome.is_failed and tracked.policies.pause_after and tracked.standing.armed:
                        touched |= await self._pause_after_failures(tracked, tracked.policies.pause_after)
            self._tell(outcome.value, run.task, run.reason)
            self._ended.pop(0)
        return touched

    async def _pause_after_failures(self, tracked: Tracked, limit: int) -> set[str]:
        """Paused at once, not only when the note can be written."""
        task = tracked.task
        since = await self._store.get_meta(ARMED_SINCE + task.id)
        failures = await self._store.consecutive_failures(task.id, datetime.fromisoformat(since) if since else None)
        if failures < limit:
            return set()
        return await self._pause(tracked, f"{failures} failures in a row")

    async def _pause(self, tracked: Tracked, why: str) -> set[str]:
        task = tracked.task
        unwritten = {**self._unwritten, task.id: why}
        await self._store.set_meta(UNWRITTEN, json.dumps(unwritten))
        self._unwritten = unwritten
        self._scribe.want(task.id, {"status": "paused", "status_reason": why})
        self._tell("paused", task.id, why)
        self.has_paused(task.id, why)
        return self._survey.notes.pause(task)

    async def close_spent(self, now: datetime) -> None:
        """A task with nothing left to fire is done; one that never had anything to fire is a mistake."""
        for task_id in tuple(self._spent):
            tracked = self._roster.get(task_id)
            if tracked is not None and tracked.standing.armed and not self._dispatcher.of_task(task_id):
                with self._roster.alone(task_id):
                    await self._close(task_id, tracked, now)
            self._spent.discard(task_id)

    async def _close(self, task_id: str, tracked: Tracked, now: datetime) -> None:
        if await self._never_fired(tracked, now):
            self._around.has_passed(task_id, tracked.task.path)
        else:
            self._scribe.want(task_id, {"status": "done", "status_reason": self._why_done(tracked)})

    def _why_done(self, tracked: Tracked) -> str:
        is_used_up = tracked.is_used_up(self._roster.row(tracked.task.id))
        return USED_UP if is_used_up else "nothing is left to fire"

    async def _never_fired(self, tracked: Tracked, now: datetime) -> bool:
        """Whether the newest instant of a one-shot has neither been run nor recorded as missed."""
        task = tracked.task
        due = task.schedule.due(datetime.min.replace(tzinfo=UTC), now, 1) if task.schedule.is_one_shot else None
        if due is None:
            return False
        newest = due.newest[-1]
        told = self._survey.notes.last_run(task, now)
        last = await self._store.last_run_of(task.id)
        settled = (last.last_fire_time or last.fire_time) if last else told
        return settled is None or settled < newest.replace(microsecond=0)
