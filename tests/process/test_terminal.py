"""What people see in a real terminal, and what scripts get: the program itself, on a full vault."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.full_vault import fill
from vault_scheduler.text.width import width_of

SEQUENCE = re.compile(r"\x1b\[[0-9]*m")
RED = "\x1b[31m"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vault's home."""
    folder = tmp_path_factory.mktemp("terminal").resolve()
    fill(folder)
    return folder


def environ(folder: Path, more: dict[str, str]) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "VAULT_SCHED_VAULT": str(folder / "vault"),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        **more,
    }


def piped(folder: Path, *arguments: str, **more: str) -> str:
    command = [sys.executable, "-m", "vault_scheduler", *arguments]
    done = subprocess.run(command, env=environ(folder, more), capture_output=True, text=True, timeout=50, check=False)
    assert "Traceback" not in done.stderr
    return done.stdout


def shown(folder: Path, *arguments: str, width: int = 80, **more: str) -> str:
    """What a terminal of that width is given."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vault_scheduler", *arguments]
    env = environ(folder, {"COLUMNS": str(width), **more})
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, env=env)
    os.close(theirs)
    text = b""
    try:
        while data := os.read(ours, 65536):
            text += data
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    _, complaint = child.communicate(timeout=50)
    assert b"Traceback" not in complaint
    return text.decode().replace("\r\n", "\n")


def words(text: str) -> list[str]:
    return sorted(word for word in SEQUENCE.sub("", text).split() if word != "–")


@pytest.mark.parametrize(("command", "width"), [("list", 40), ("check", 60), ("doctor", 120)])
def test_nothing_is_lost_and_everything_fits(folder: Path, command: str, width: int) -> None:
    """The words of the pipe are the words of the terminal; only what cannot be broken is wider than it is."""
    text = shown(folder, command, width=width)
    assert words(text) == words(piped(folder, command))
    assert "\x1b[" in text
    for line in SEQUENCE.sub("", text).split("\n"):
        assert width_of(line) <= width or " " not in line.strip()


def test_history_shows_a_bar_of_marks_for_each_task_on_a_terminal_alone(folder: Path) -> None:
    """The newest on the right, coloured by outcome; a pipe gets a row for each run and nothing else."""
    text = shown(folder, "history", width=120)
    assert "✓✗-✗✗·▶" in SEQUENCE.sub("", text)
    assert f"{RED}✗" in text
    assert all(" r-2" in line for line in piped(folder, "history").splitlines()[1:])
    assert "[bold]odd[/bold]" in text


def test_list_gives_the_sign_of_the_last_run_columns_of_its_own(folder: Path) -> None:
    """Many terminals draw `⏱` two columns wide, though it counts as one: there is room for it."""
    rows = [line for line in piped(folder, "list").splitlines() if "✋" in line or " ago" in line]
    assert rows
    assert all(re.search(r"  \S+  +[^ ]+ [a-z]+ ago$", row) for row in rows)


def test_a_terminal_without_colours_gets_none(folder: Path) -> None:
    """The lines fit all the same."""
    text = shown(folder, "check", width=50, NO_COLOR="1")
    assert "\x1b" not in text
    assert max(map(width_of, text.split("\n"))) <= 50


def test_colour_can_be_wanted_in_a_pipe(folder: Path) -> None:
    """For `less -R`: the same lines, unbroken. Never in JSON."""
    text = piped(folder, "check", FORCE_COLOR="1")
    assert RED in text
    assert SEQUENCE.sub("", text) == piped(folder, "check")
    assert "\x1b" not in piped(folder, "list", "--json", FORCE_COLOR="1")


@pytest.mark.parametrize("arguments", [["list"], ["status", "--json"], ["check", "--help"]])
def test_pipes_load_no_library_for_terminals(folder: Path, arguments: list[str]) -> None:
    """Nor do `--json` and `--help`: they are asked by scripts and prompts."""
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.argv[0] = 'v'\n"
    code += "from vault_scheduler.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environ(folder, {}), capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout
    assert not {name for name in done.stderr.split() if name.partition(".")[0] in ("rich", "curses")}
