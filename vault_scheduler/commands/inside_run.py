"""Who gives a command: a person, or a run of a task, and which verbs a run may use (rule 8).

A run without shell must not widen what it may do through our own commands and tools. Which rights a run has is what
the ledger recorded when it was claimed: no variable grants any, and a run that nobody knows has none.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from vault_scheduler.platform.containment import MARKER, STATE_MARKER, inherited
from vault_scheduler.task import Permissions, TaskType


class Rights(StrEnum):
    """What the caller of a command may do."""

    PERSON = "person"  # no run: everything
    SHELL = "shell"  # a command, a python function, or Claude with full permissions: it can execute anything
    RESTRICTED = "restricted"  # Claude without shell, and every run that is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who gives a command; `run` is the id of the run it is a part of, "" for a person."""

    rights: Rights = Rights.PERSON
    run: str = ""


READING = frozenset(
    {
        *("list", "show", "next", "forecast", "history", "logs", "check", "status", "doctor"),
        *("approve --list", "restore --list", "service status"),
    }
)
"""Verbs that change nothing, and so are for every run."""

FOR_PEOPLE = frozenset({"approve", "state import"})
"""Verbs that no run may use, whatever it may do: the approval of a person is worth nothing if a run can give it."""


def refusal(verb: str, caller: Caller, *, paused: bool = False) -> str:
    """Why this caller may not use this verb; "" if it may. `paused`: `create` writes a paused task. Pure.

    Verbs are named as on the command line; an option that changes what a verb does belongs to its name
    (`check --fix`, `approve --list`).
    """
    if caller.rights is Rights.PERSON or verb in READING or (verb == "create" and paused):
        return ""
    if verb in FOR_PEOPLE:
        return f"`{verb}` is for people, and not possible inside a run ({caller.run})"
    if caller.rights is Rights.SHELL:
        return ""
    what = "create with status active" if verb == "create" else verb
    return (
        f"`{what}` is not possible inside a run ({caller.run}). Runs may look, and `create` tasks with --status paused"
    )


def caller_of(environ: Mapping[str, str]) -> Caller:
    """Who started this process: told by its environment, or that of the processes it comes from."""
    found = environ if environ.get(MARKER) else inherited()
    run = found.get(MARKER, "")
    if not run:
        return Caller()
    return Caller(rights=_rights(_snapshot(Path(found.get(STATE_MARKER, "")).parent, run)), run=run)


def _rights(snapshot: Mapping[str, Any] | None) -> Rights:
    """What a run may do that was claimed with this definition."""
    if snapshot is None:
        return Rights.RESTRICTED
    if snapshot.get("type") in (TaskType.COMMAND, TaskType.PYTHON):
        return Rights.SHELL
    is_full = snapshot.get("action", {}).get("permissions") == Permissions.FULL
    return Rights.SHELL if is_full else Rights.RESTRICTED


def _snapshot(state: Path, run: str) -> Mapping[str, Any] | None:
    """The definition that the run was claimed with; None if its ledger does not know it as alive."""
    if not state.is_absolute() or not (state / "ledger.db").is_file():
        return None
    query = "SELECT definition FROM snapshots JOIN runs ON hash = snapshot WHERE id = ? AND state <> 'ended'"
    try:
        database = sqlite3.connect(f"{(state / 'ledger.db').as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            row = database.execute(query, (run,)).fetchone()
        finally:
            database.close()
        found = json.loads(row[0]) if row else None
    except (sqlite3.Error, ValueError):
        return None
    return found if isinstance(found, dict) else None
