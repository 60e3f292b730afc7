"""Answers that people type into notes: they go to the session that asked, once (rule 2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from vault_scheduler.daemon.claims import Claims
from vault_scheduler.daemon.conversations import taken, unasked
from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.roster import Tracked
from vault_scheduler.ledger.store import ANSWER, ANSWERS, QUESTION, SESSION, Question
from vault_scheduler.planning.answers import UNASKED
from vault_scheduler.planning.standing import State
from vault_scheduler.run import TriggerKind
from vault_scheduler.task import Task, TaskType


class Answers:
    """Claims a run for what was answered."""

    def __init__(self, core: Core, claims: Claims) -> None:
        self._roster, self._questions, self._scribe = core.roster, core.questions, core.scribe
        self._claims = claims

    def take(self, task_id: str, tracked: Tracked, now: datetime) -> None:
        """What a person typed into `answer` goes to the session that asked: claimed and latched in one transaction.

        It waits in the note while nothing of the task may run. What was typed before anything was asked answers
        nothing, also if something is asked later.
        """
        row, question, text = self._roster.row(task_id), self._question(tracked.task), tracked.task.answer
        if not text or row.answered or tracked.standing.state is State.OTHER_HOST:
            return
        if question is None:
            self._roster.keep(replace(row, answered=unasked(text)), self._claims.plans)
        elif not self._claims.refusal(tracked.standing, now):
            extra = {ANSWERS: question.run, QUESTION: question.text, ANSWER: text, SESSION: question.session}
            self._claims.claim(task_id, TriggerKind.ANSWER, question.run, now, now, extra)
            self._roster.keep(replace(row, answered=taken(text)), self._claims.plans)
            self._questions.close(task_id)
            self._scribe.poke_note(task_id)  # to clear both

    def why_not(self, task_id: str, tracked: Tracked, now: datetime) -> str:
        """Why the note's `answer` has not been taken; "" where there is none, or it has been."""
        row, text = self._roster.row(task_id), tracked.task.answer
        if not text or row.answered == taken(text) or tracked.standing.state is State.OTHER_HOST:
            return ""
        refusal = self._claims.refusal(tracked.standing, now)
        return f"the answer waits: {refusal}" if self._question(tracked.task) and refusal else UNASKED

    def _question(self, task: Task) -> Question | None:
        """What the task waits for: only one of Claude's has a session that could go on."""
        return self._questions.of(task.id) if task.type is TaskType.CLAUDE else None
