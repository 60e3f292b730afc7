"""Which verbs a run may use, and how it is known what the run may do."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from vault_scheduler.commands.inside_run import Caller, Rights, caller_of, refusal

RUN = "r-20261122T060000Z-3f9a1c"
RESTRICTED, SHELL = Caller(rights=Rights.RESTRICTED, run=RUN), Caller(rights=Rights.SHELL, run=RUN)
CHANGING = (
    "run",
    "cancel",
    "pause",
    "resume",
    "edit",
    "delete",
    "check --fix",
    "init",
    "daemon",
    "restore",
    "unheard-of",
)


@pytest.mark.parametrize("verb", ["list", "show", "next", "history", "logs", "check", "status", "approve --list"])
def test_every_run_may_look(verb: str) -> None:
    """Reading verbs are for everybody."""
    assert refusal(verb, RESTRICTED) == refusal(verb, SHELL) == refusal(verb, Caller()) == ""


@pytest.mark.parametrize("verb", CHANGING)
def test_a_restricted_run_changes_nothing(verb: str) -> None:
    """Also nothing that nobody has thought of yet; the refusal names the verb and what is possible."""
    assert f"`{verb}` is not possible inside a run ({RUN})" in refusal(verb, RESTRICTED)
    assert "--status paused" in refusal(verb, RESTRICTED)
    assert refusal(verb, SHELL) == refusal(verb, Caller()) == ""


def test_a_restricted_run_creates_paused_tasks() -> None:
    """And no active ones."""
    assert refusal("create", RESTRICTED, paused=True) == ""
    assert "create with status active" in refusal("create", RESTRICTED)
    assert refusal("create", SHELL) == ""


@pytest.mark.parametrize("verb", ["approve", "state import"])
def test_no_run_approves_anything(verb: str) -> None:
    """What a run can give is no approval of a person."""
    assert "is for people" in refusal(verb, SHELL)
    assert refusal(verb, RESTRICTED)
    assert refusal(verb, Caller()) == ""


def ledger(folder: Path, definition: object, state: str = "running") -> dict[str, str]:
    """A state folder whose ledger knows the run; the environment of the run."""
    with closing(sqlite3.connect(folder / "ledger.db")) as database, database:
        database.execute("CREATE TABLE snapshots (hash, definition)")
        database.execute("CREATE TABLE runs (id, snapshot, state)")
        database.execute("INSERT INTO snapshots VALUES ('s', ?)", [json.dumps(definition)])
        database.execute("INSERT INTO runs VALUES (?, 's', ?)", [RUN, state])
    database.close()
    return {"VAULT_SCHED_RUN": RUN, "VAULT_SCHED_STATE": str(folder / "runs")}


@pytest.mark.parametrize(
    ("definition", "rights"),
    [
        ({"type": "command", "action": {}}, Rights.SHELL),
        ({"type": "python", "action": {}}, Rights.SHELL),
        ({"type": "claude", "action": {"permissions": "full"}}, Rights.SHELL),
        ({"type": "claude", "action": {"permissions": "edit"}}, Rights.RESTRICTED),
        ({"type": "claude", "action": {"permissions": "read-only"}}, Rights.RESTRICTED),
        ({"type": "claude", "action": {"permissions": "edit", "mcp_config": "servers.json"}}, Rights.RESTRICTED),
        ("garbage", Rights.RESTRICTED),
    ],
)
def test_the_ledger_says_what_a_run_may_do(tmp_path: Path, definition: object, rights: Rights) -> None:
    """By the definition that the run was claimed with."""
    assert caller_of(ledger(tmp_path, definition)) == Caller(rights=rights, run=RUN)


def test_a_run_that_nobody_knows_is_restricted(tmp_path: Path) -> None:
    """No ledger, one that is none, another run, a run that has ended: a variable alone grants nothing."""
    assert caller_of({"VAULT_SCHED_RUN": "full"}).rights is Rights.RESTRICTED
    known = ledger(tmp_path, {"type": "command"}, state="ended")
    assert caller_of(known).rights is Rights.RESTRICTED
    assert caller_of({**known, "VAULT_SCHED_RUN": "other"}).rights is Rights.RESTRICTED
    (tmp_path / "ledger.db").write_bytes(b"no ledger")
    assert caller_of(known).rights is Rights.RESTRICTED
    assert caller_of({}) == Caller()
