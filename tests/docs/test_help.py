"""The help is there for every command, quick, and free of words that are not ours."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vault_scheduler.cli import COMMANDS


def _help(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "vault_scheduler", *arguments, "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "80"},
    )
    assert not done.stderr
    return done.stdout


def test_the_help_names_every_command_with_a_whole_sentence() -> None:
    """No summary is cut off at 80 columns."""
    text = _help()
    for name in COMMANDS:
        line = next(line for line in text.splitlines() if line.startswith(f"  {name} "))
        assert line.endswith("."), line
        assert not line.endswith("..."), line


@pytest.mark.parametrize("name", ["create", "next", "pause"])
def test_every_option_of_a_command_says_what_it_takes(name: str) -> None:
    """The help of a command can be read at 80 columns and explains its options."""
    text = _help(name)
    assert f"Usage: vault-sched {name}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_nothing_heavy_is_loaded_for_the_help() -> None:
    """The parsers, the ledger and the event loop stay out until a command needs them."""
    program = "import sys, vault_scheduler.cli; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    loaded = set(done.stdout.split())
    heavy = {
        "asyncio",
        "sqlite3",
        "yaml",
        "croniter",
        "markdown_it",
        "watchdog",
        "rich",
        "vault_scheduler.machine.place",
    }
    assert not loaded & heavy
