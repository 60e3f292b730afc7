"""What follows when notes have changed: renames, tasks looked at anew, copies, the vault's host."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.answers import Answers
from vault_scheduler.daemon.changes import Changes
from vault_scheduler.daemon.claims import Claims
from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.endings import Endings
from vault_scheduler.daemon.last_good import LastGood
from vault_scheduler.daemon.roster import Tracked
from vault_scheduler.planning.attendance import Attendance
from vault_scheduler.planning.departures import FORGOTTEN_AFTER_S
from vault_scheduler.planning.planner import DELETED
from vault_scheduler.planning.registry import Copy
from vault_scheduler.task import TaskType

ASIDE_S = 30.0
"""A task that could not be planned, for a fault of ours, is looked at anew this often."""


class Revision:
    """Brings the roster up to date with what the survey believes, and tells all who have to know."""

    def __init__(
        self,
        core: Core,
        *,
        attendance: Attendance,
        claims: Claims,
        answers: Answers,
        changes: Changes,
        endings: Endings,
        last_good: LastGood,
        only_requests: bool,
    ) -> None:
        self._store, self._survey, self._roster = core.store, core.survey, core.roster
        self._guard, self._dispatcher, self._questions = core.guard, core.dispatcher, core.questions
        self._scribe, self._around, self._tell = core.scribe, core.around, core.tell
        self._troubles, self._host = core.troubles, core.host
        self._attendance, self._last_good = attendance, last_good
        self._claims, self._answers = claims, answers
        self._changes, self._endings = changes, endings
        self._only_requests = only_requests
        self._touched: set[str] = set()  # tasks to be reconsidered
        self._told_holds: dict[str, tuple[str, str]] = {}  # task id → definition and reason that were told
        self._renamed: deque[tuple[str, str]] = deque()
        self._copies: dict[str, Copy] = {}  # as the ledger has them
        self._host_claimed = False
        self._gone_since: dict[str, float] = {}  # tasks without a note that have asked something; awake seconds
        self._next_try = 0.0  # at the tasks that are set aside

    async def begin(self) -> None:
        """Remember what a former daemon knew."""
        copies = json.loads(await self._store.get_meta("copies") or "{}")
        self._copies = {path: Copy(**copy) for path, copy in copies.items()}
        self._survey.notes.remember_copies(self._copies)

    def touch(self, tasks: Iterable[str]) -> None:
        """These tasks are to be looked at anew."""
        self._touched |= set(tasks)

    async def look(self, now: datetime, monotonic: float, *, may_claim: bool) -> None:
        """Take in what is believed of the notes. `may_claim`: what was due before an edit counted may start yet."""
        seen = self._survey.look(now, monotonic)
        self._attendance.vault_is(self._survey.present, now)
        if seen.travelled:
            self._attendance.has_travelled(now)
        self._scribe.changed(seen.changed_paths)
        self._last_good.take(seen)
        self._renamed.extend(seen.renamed)
        self._touched |= seen.touched
        if seen.settings_changed:
            self._touched |= set(self._survey.registry.ids())
            self._claims.plans.meta["settings"] = self._survey.settings_note.source
        while self._renamed:
            await self._rename(*self._renamed[0])
            self._renamed.popleft()
        if self._survey.knows_notes:
            with self._troubles.within("chains"):
                self._touched |= self._roster.judge_chains(now)
        if monotonic >= self._next_try:
            self._touched |= set(self._roster.aside)
            self._next_try = monotonic + ASIDE_S
        self._touched |= self._guard.approved() | self._guard.suspects()
        self._reconsider_touched(now, monotonic, may_claim)
        await self._close_void_questions(monotonic)
        self._guard.store_pins()
        self._last_good.look(now)
        self._keep_copies()
        if not self._survey.starting:
            self._roster.all_seen()
        await self._claim_host(monotonic)

    def _reconsider_touched(self, now: datetime, monotonic: float, may_claim: bool) -> None:
        with self._guard.judging(len(self._touched)):
            while self._touched:  # by turns: the first of a set that shrinks is looked for from its begin each time
                for task in tuple(self._touched):
                    with self._roster.alone(task):
                        self._reconsider(task, now, monotonic, may_claim)
                    self._touched.discard(task)
        self._touched = set()  # the table of one that held thousands stays as large as it was

    def _keep_copies(self) -> None:
        copies = self._survey.registry.copies
        if copies != self._copies:
            self._copies = dict(copies)
            plain = {path: asdict(copy) for path, copy in copies.items()}
            self._claims.plans.meta["copies"] = json.dumps(plain, sort_keys=True)

    async def _claim_host(self, monotonic: float) -> None:
        """The first daemon writes its machine into a settings note that names none."""
        note = self._survey.settings_note
        if self._host_claimed or self._only_requests or not self._survey.present or note.is_pending:
            return
        if note.settings is not None and note.settings.host is None and not note.problems:
            self._host_claimed = True
            await self._scribe.write_settings(note.path, {"host": self._host}, monotonic)

    async def _rename(self, old: str, new: str) -> None:
        holder = self._survey.registry.holder(new)
        if holder is None:
            return
        await self._store.rename_task(old, new, holder.path)
        self._guard.rename(old, new)
        self._last_good.rename(old, new)
        self._roster.rename(old, new, holder.path)
        self._changes.rename(old, new)
        self._dispatcher.rename(old, new)
        await self._endings.rename(old, new)
        self._questions.rename(old, new)
        if old != new:
            self._tell("renamed", old, f"→ {new}")

    async def _close_void_questions(self, monotonic: float) -> None:
        """Nobody's answer counts where the task is gone for good, or is none of Claude's any more."""
        if self._only_requests or not self._survey.knows_notes:
            return
        for task_id in [question.task for question in self._questions.all()]:
            tracked = self._roster.get(task_id)
            if self._is_gone(task_id, monotonic) or (tracked is not None and tracked.task.type is not TaskType.CLAUDE):
                await self._store.close_question(task_id)
                self._questions.close(task_id)
                self._gone_since.pop(task_id, None)
                if tracked is not None:
                    self._scribe.want(task_id, {"question": None})

    def _is_gone(self, task_id: str, monotonic: float) -> bool:
        """Whether its note went so long ago that no other one can prove to be the same task under a new name."""
        if self._survey.registry.holder(task_id) is not None:
            self._gone_since.pop(task_id, None)
            return False
        return monotonic - self._gone_since.setdefault(task_id, monotonic) > FORGOTTEN_AFTER_S

    def _reconsider(self, task_id: str, now: datetime, monotonic: float, may_claim: bool) -> None:
        self._fire_before_edit(task_id, now, may_claim=may_claim)
        self._around.forget(task_id)
        tracked = self._roster.reconsider(task_id, self._claims.plans, now, monotonic)
        self._changes.reconsider(task_id)
        if tracked is None:
            self._guard.lost(task_id)
            return
        if passed := self._roster.late_times.passed(task_id):
            zone = ZoneInfo(tracked.task.timezone)
            which = ", ".join(moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M") for moment in passed)
            self._around.has_passed(task_id, tracked.task.path, which)
        if tracked.task.run_now and not self._only_requests:
            self._claims.run_now(task_id, tracked, now)
        if tracked.task.answer and not self._only_requests:
            self._answers.take(task_id, tracked, now)
            self._around.has_answer(task_id, tracked.task.path, self._answers.why_not(task_id, tracked, now))
        self._endings.schedule_look(task_id, now)
        self._scribe.registered(task_id)
        self._tell_hold(tracked)
        if tracked.standing.armed and self._survey.notes.value(tracked.task.path, "status_reason"):
            self._scribe.want(task_id, {"status_reason": None})  # a person set the task going again

    def _tell_hold(self, tracked: Tracked) -> None:
        """That a definition waits for a person, once: in the daily log, whether or not it ever fires."""
        task, held = tracked.task, self._guard.held(tracked.task.id)
        if not held:
            self._told_holds.pop(task.id, None)
        elif self._told_holds.get(task.id) != (task.definition, held):
            self._told_holds[task.id] = (task.definition, held)
            reason, _, cure = held.rpartition(". ")
            self._around.report(task.path, reason, cure)

    def _fire_before_edit(self, task_id: str, now: datetime, *, may_claim: bool) -> None:
        """What was due before an edit counted runs as it was; it is skipped where the edit switches the task off."""
        before = self._roster.get(task_id)
        if before is None or not before.fires or not self._roster.is_due(task_id, now):
            return
        stands = self._roster.would_stand(task_id, now)
        if stands is not None and (stands.armed or stands.state.blocks):
            if may_claim:
                self._claims.fire(task_id, before, now, self._attendance.absence)
        elif before.standing.armed and not self._only_requests:
            self._claims.skip(task_id, before, stands.reason if stands else DELETED, now)
