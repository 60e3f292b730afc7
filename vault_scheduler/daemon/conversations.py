"""Talks with Claude that go on: questions that wait for an answer, sessions that later runs continue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from vault_scheduler.ledger.store import OWN_SESSION, SESSION, Question, SessionRow, Store, question_of
from vault_scheduler.run import Cause, Result, Run, TriggerKind
from vault_scheduler.task import fingerprint

LONGEST_RUNS = 50
LONGEST_TURNS = 500
"""A session that has grown so long is left for a fresh one: every turn reads all of it again."""


class Questions:
    """The questions that nobody has answered yet, as the ledger has them: the newest one of each task."""

    def __init__(self) -> None:
        self._open: dict[str, Question] = {}

    async def begin(self, store: Store) -> None:
        """Those of former daemons."""
        self._open = await store.questions()

    def of(self, task: str) -> Question | None:
        """What the task waits for."""
        return self._open.get(task)

    def all(self) -> list[Question]:
        """All of them."""
        return list(self._open.values())

    def run_ended(self, run: Run) -> None:
        """What it asks, if anything, is in the place of what its task asked before."""
        question = question_of(run)
        if question is not None:
            self._open[run.task] = question

    def close(self, task: str) -> None:
        """It is answered, or no answer counts any more."""
        self._open.pop(task, None)

    def rename(self, old: str, new: str) -> None:
        """The question follows the task."""
        if old in self._open:
            self._open[new] = replace(self._open.pop(old), task=new)


def taken(text: str) -> str:
    """The mark of an answer that a run was claimed for: it does not count again while it stands in the note."""
    return f"taken {fingerprint(text)}"


def unasked(text: str) -> str:
    """The mark of an answer that was typed when nothing was asked."""
    return f"unasked {fingerprint(text)}"


def marks_of(text: str) -> tuple[str, ...]:
    """The marks that belong to this answer."""
    return (taken(text), unasked(text)) if text else ()


def session_name(task: str, snapshot: Mapping[str, Any]) -> str:
    """Which session a run of this definition goes on with; "" for one of its own.

    Claude Code keeps sessions by working folder, so those of another `cwd` are others.
    """
    session = snapshot["action"].get("session", "fresh")
    if session in ("", "fresh"):
        return ""
    return OWN_SESSION + task if session == "continue" else f"name: {session} in {snapshot['cwd'] or '.'}"


class Sessions:
    """Which Claude session goes on under which name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def to_resume(self, run: Run, snapshot: Mapping[str, Any]) -> str:
        """The id of the session that an attempt of the run goes on with; "": a fresh one."""
        if run.trigger is TriggerKind.ANSWER:
            return run.extra.get(SESSION, "")
        name = session_name(run.task, snapshot)
        row = await self._store.session(name) if name else None
        return "" if row is None or _has_grown(row) else row.session

    async def used(self, run: Run, snapshot: Mapping[str, Any], result: Result, now: datetime) -> None:
        """An attempt has ended: the session that it brought back goes on. Told again it changes nothing."""
        name = session_name(run.task, snapshot)
        if not name or not result.session_id or result.cause is Cause.LOGIN:
            return
        row, attempt = await self._store.session(name), f"{run.id} {run.attempts}"
        if row is not None and row.last_attempt == attempt:
            return
        goes_on = row is not None and row.session == result.session_id
        if run.trigger is TriggerKind.ANSWER and row is not None and not goes_on:
            return  # the session has gone on without the one that asked
        await self._store.keep_session(
            SessionRow(
                name=name,
                session=result.session_id,
                runs=(row.runs if row and goes_on else 0) + 1,
                turns=(row.turns if row and goes_on else 0) + (result.turns or 0),
                last_attempt=attempt,
                used_at=now,
            )
        )


def _has_grown(row: SessionRow) -> bool:
    return row.runs >= LONGEST_RUNS or row.turns >= LONGEST_TURNS
