"""Shells complete the names of tasks and the ids of runs: the real bash, zsh and fish, where they are."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.process.conftest import World
from tests.process.full_vault import NOW, a_run, with_ledger
from vault_scheduler.commands.completion import word_for
from vault_scheduler.ledger.store import Batch, Claim
from vault_scheduler.platform.paths import vault_label

KEYS = "type: command\ncron: 0 0 29 2 *\ncommand: echo"
SETUP = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
INIT = {"bash": "", "zsh": "autoload -Uz compinit; compinit -u -D;"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A vault with tasks, and `vault-sched` on the path."""
    world = World(tmp_path)
    for name in ("briefing", "work/sync", "Daily Review"):
        world.note(name, KEYS)
    world.note("named", f"{KEYS}\nid: backup-of-all")
    program = tmp_path / "bin" / "vault-sched"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vault_scheduler "$@"\n')
    program.chmod(0o755)
    return world


def environ(world: World) -> dict[str, str]:
    path = f"{world.folder / 'bin'}{os.pathsep}{world.env['PATH']}"
    return {**world.env, "PATH": path, "VAULT_SCHED_VAULT": str(world.vault), "TERM": "dumb", "PS1": "> "}


def typed(shell: str, world: World, line: str, expected: str) -> str:
    """What the shell shows when `line` is typed, up to the expected."""
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(world.folder)
        os.execvpe(SETUP[shell][0], SETUP[shell], environ(world))
    try:
        os.write(screen, f'{INIT[shell]} eval "$(vault-sched --show-completion)"; echo re""ady\n'.encode())
        _until(screen, "ready\r")
        os.write(screen, line.encode())
        return _until(screen, expected)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(screen)


def _until(screen: int, expected: str) -> str:
    shown, deadline = "", time.monotonic() + 40
    while expected not in shown:
        assert time.monotonic() < deadline, f"never shown: {expected!r}; the screen: {shown!r}"
        if select.select([screen], [], [], 0.5)[0]:
            shown += os.read(screen, 65536).decode("utf-8", "replace")
    return shown


def asked(world: World, shell: str, line: str, **more: str) -> list[str]:
    """What our program answers when that shell asks."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_TYPER_COMPLETE_ARGS": line}
    env = {**environ(world), "_VAULT_SCHED_COMPLETE": f"complete_{shell}", **words, **more}
    done = subprocess.run(
        [sys.executable, "-m", "vault_scheduler"], env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert not done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_the_name_of_a_task(world: World, shell: str) -> None:
    """The Tab key, as a person presses it, in a shell that `--show-completion` was read by."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    assert "iefing" in typed(shell, world, "vault-sched show br\t", "iefing")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed here")
def test_fish_completes_the_name_of_a_task(world: World) -> None:
    """By its own engine."""
    code = "vault-sched --show-completion | source; complete -C 'vault-sched show br'"
    done = subprocess.run(
        ["fish", "-c", code], env=environ(world), capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.split() == ["briefing"]


def test_tasks_are_completed_by_their_ids_and_runs_by_the_ledger(world: World) -> None:
    """For `logs` and `cancel` both; a note's `id` counts, not its path."""
    run = a_run("briefing", NOW)
    ledger = world.folder / "state" / "vault-sched" / vault_label(world.vault) / "ledger.db"
    ledger.parent.mkdir(parents=True)
    asyncio.run(with_ledger(ledger, lambda store: store.save(Batch(claims=(Claim(run=run),)))))
    found = asked(world, "fish", "vault-sched logs ", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert found == ["Daily Review", "backup-of-all", "briefing", "work/sync", run.id]
    assert asked(world, "bash", "vault-sched cancel r-") == [run.id]
    assert asked(world, "bash", "vault-sched pause Da") == ["Daily\\ Review"]


def test_without_a_vault_nothing_is_completed_and_nothing_is_said(world: World) -> None:
    """A shell would show an error in the middle of what one types."""
    assert asked(world, "bash", "vault-sched show ", VAULT_SCHED_VAULT=str(world.folder / "gone")) == [""]


@pytest.mark.parametrize("name", ['a"; touch x; "', "$(touch x)", "`touch x`", "\\$(touch x)", "a'b", "x(y)", "-rf"])
def test_a_name_that_a_shell_could_run_is_not_offered_as_it_is(name: str) -> None:
    """zsh evaluates what it is told; bash inserts it, so each odd character is escaped."""
    assert word_for("zsh", name) == ""
    told = word_for("bash", name)
    if told:
        echoed = subprocess.run(["bash", "-c", f"printf %s {told}"], capture_output=True, text=True, check=True)
        assert echoed.stdout == name


def test_completing_loads_little(world: World) -> None:
    """A Tab is answered at once also in a large vault: no parser, no event loop, no ledger for names of tasks."""
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.argv = ['v']\n"
    code += "from vault_scheduler.cli import main; main()"
    env = {**environ(world), "_VAULT_SCHED_COMPLETE": "complete_bash", "COMP_WORDS": "v show b", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.split() == ["backup-of-all", "briefing"]
    heavy = {
        "pydantic",
        "asyncio",
        "sqlite3",
        "yaml",
        "croniter",
        "markdown_it",
        "watchdog",
        "rich",
        "claude_agent_sdk",
    }
    assert heavy & set(done.stderr.split()) == set()
