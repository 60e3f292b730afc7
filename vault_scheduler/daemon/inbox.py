"""Requests of the command line and the MCP server: taken from the ledger, done, answered once (rule 10)."""

from __future__ import annotations

from datetime import datetime, timedelta

from vault_scheduler.daemon.claims import Answer, Claims
from vault_scheduler.daemon.core import Core
from vault_scheduler.errors import LedgerUnavailable, VaultSchedError, internal
from vault_scheduler.ledger.store import Request

NEVER_GOOD = "the settings note has problems, so nothing starts; `vault-sched check` names them"
NEW_NOTE_WITHIN = timedelta(seconds=30)
"""So long a request waits for a note that was written just now and does not count yet."""


class Inbox:
    """What was asked for and not answered yet."""

    def __init__(self, core: Core, claims: Claims) -> None:
        self._store, self._survey, self._roster = core.store, core.survey, core.roster
        self._claims = claims
        self._open: list[Request] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    async def take(self, now: datetime) -> None:
        """Answer what can be answered. After LedgerUnavailable the rest is tried again."""
        if self._survey.starting and not self._survey.settings_note.was_never_good:
            return
        new = await self._store.claim_requests(now)
        self._open.extend(new)
        for request in list(self._open):
            if self._may_come(request, request in new, now):
                continue
            answer = await self._answer(request, now)
            await self._store.answer_request(request.id, answer, now)
            self._open.remove(request)

    async def _answer(self, request: Request, now: datetime) -> Answer:
        if self._survey.settings_note.was_never_good:
            return {"refused": NEVER_GOOD}
        try:
            return await self._claims.answer(request, now)
        except LedgerUnavailable:
            raise
        except VaultSchedError as error:
            return {"refused": str(error)}
        except Exception as error:
            return {"refused": f"internal error: {internal(error)}; please report it"}

    def _may_come(self, request: Request, is_new: bool, now: datetime) -> bool:
        """Whether the task to be run may be a note that was written just now, and does not count yet."""
        if self._survey.settings_note.was_never_good:
            return False
        if request.verb != "run":
            return False
        if self._survey.notes.ask_for(request.task) and now - request.made_at < NEW_NOTE_WITHIN:
            return True
        if self._roster.get(request.task) is not None:
            return False
        if is_new:
            self._survey.hint([""])  # a sweep, for notes that no event has told of
            return True
        return self._survey.unsettled and now - request.made_at < NEW_NOTE_WITHIN
