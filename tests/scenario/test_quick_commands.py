"""What a command loads where a daemon has read the notes: people ask from prompts and status bars, and wait for it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.platform.paths import vault_label
from vault_scheduler.testing_world import World

READING = {"yaml", "frontmatter", "vault_scheduler.notes.note", "vault_scheduler.parsing.parser"}
RECKONING = {"croniter", "dateutil"}
TERMINALS = {"rich", "curses", "pydantic", "asyncio", "watchdog", "markdown_it", "cron_descriptor", "claude_agent_sdk"}
RUNS = {"vault_scheduler.run", "vault_scheduler.ledger.sqlite_store", "vault_scheduler.platform.replace"}
LOADED = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.argv[0] = 'v'\n"


@pytest.fixture
def later(make_world: Callable[..., World]) -> World:
    """A world an hour from now, for files change in the present."""
    return make_world(now=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))


@pytest.fixture
def served(later: World, tmp_path: Path) -> World:
    """A vault whose notes a daemon has read and kept."""
    later.command("workdays", 'cron: "0 7 * * 1-5"')
    later.command("leap", 'cron: ["0 0 29 2 *", "30 6 1 * *"]')
    return serve(later, tmp_path)


def serve(world: World, tmp_path: Path) -> World:
    """Have a daemon read and keep its notes, and commands find what it kept."""
    world.have_served()
    (tmp_path / "config" / "vault-sched").mkdir(parents=True)
    (tmp_path / "config" / "vault-sched" / "config.toml").write_text('host = "here"\n')
    state = tmp_path / "xdg" / "vault-sched"
    state.mkdir(parents=True)
    (state / vault_label(world.root)).symlink_to(world.state_folder)
    return world


def ask(world: World, folder: Path, *arguments: str) -> tuple[str, set[str]]:
    """What a command answers in a process of its own, and what that has loaded."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "xdg"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "TZ": world.machine_timezone(),
        "VAULT_SCHED_VAULT": str(world.root),
    }
    command = [sys.executable, "-c", f"{LOADED}from vault_scheduler.cli import main; main()", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=50, check=False)
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["next"], READING | RECKONING | TERMINALS | RUNS),
        (["next", "--json"], READING | RECKONING | TERMINALS | RUNS),
        (["list"], READING | RECKONING | TERMINALS),
        (["list", "--json"], READING | RECKONING | TERMINALS),
        (["status"], READING | RECKONING | TERMINALS),
        (["check"], READING | RECKONING | TERMINALS),
    ],
    ids=["next", "next --json", "list", "list --json", "status", "check"],
)
def test_what_a_daemon_has_read_is_told_without_reading_it(
    served: World, tmp_path: Path, arguments: list[str], heavy: set[str]
) -> None:
    """No parser, no calendar's reckoner and nothing for terminals is loaded; and the answer is the same without it."""
    answer, loaded = ask(served, tmp_path, *arguments)
    assert heavy & loaded == set()
    served.definitions_path.unlink()
    again, loaded = ask(served, tmp_path, *arguments)
    assert loaded >= READING
    assert again == answer


def test_names_that_this_machine_does_not_know_are_told_of_notes_that_are_not_read(
    later: World, tmp_path: Path
) -> None:
    """The daemon has no say in them, so that it kept these notes as good ones."""
    later.command("told", 'cron: "0 0 29 2 *"\nnotify_to: nobody')
    later.command("paid", 'cron: "0 0 28 2 *"\nsecrets: [NO_SUCH_KEY]')
    answer, _ = ask(serve(later, tmp_path), tmp_path, "check")
    assert "told.md:5: warning: notify_to: " in answer
    assert "paid.md:5: " in answer
    assert "NO_SUCH_KEY" in answer


def test_what_is_wrong_with_the_settings_note_is_told_however_often_it_was_read(later: World, tmp_path: Path) -> None:
    """A note with a problem is not kept, though its settings are in force."""
    later.write_settings("status: active\nhost: here\ntimezone: Europe/Berlin\nmax_paralel: 3", age_s=3600)
    later.command("a", 'cron: "0 0 29 2 *"')
    answer, _ = ask(serve(later, tmp_path), tmp_path, "check")
    assert "scheduler.md:5: warning: max_paralel: " in answer


def test_a_note_is_told_of_also_where_its_fire_times_are_not_kept(served: World, tmp_path: Path) -> None:
    """They are reckoned: what is not known costs time, and changes no answer."""
    answer, _ = ask(served, tmp_path, "next")
    with closing(sqlite3.connect(served.definitions_path)) as db, db:
        db.execute("DELETE FROM fires")
    assert ask(served, tmp_path, "next")[0] == answer
    assert "workdays" in answer


def test_the_name_of_the_machine_is_told_without_loading_sockets(served: World, tmp_path: Path) -> None:
    """Where config.toml names no host: to load them takes longer than to read a hundred notes that are kept."""
    (tmp_path / "config" / "vault-sched" / "config.toml").unlink()
    _, loaded = ask(served, tmp_path, "next")
    assert "vault_scheduler.machine.config" in loaded
    assert "socket" not in loaded
