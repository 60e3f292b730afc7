"""What is expected of an attempt is looked for when it says that it succeeded, in real files and real output."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from vault_scheduler.clock import SystemClock
from vault_scheduler.engine import AttemptEnded, EngineEvent, LocalEngine
from vault_scheduler.executors import evidence
from vault_scheduler.executors.base import MachineEnvironment, RunRequest, action_to_json
from vault_scheduler.executors.command import CommandExecutor
from vault_scheduler.executors.python import PythonExecutor
from vault_scheduler.run import Outcome, Result
from vault_scheduler.task import CommandAction, PythonAction
from vault_scheduler.text.harmless import Masker

NOTE = "Log/2026-11-22 daily.md"


def result_of(vault: Path, command: str = "", **values: Any) -> Result:
    """One attempt of a command (or of a python block) in a vault, by the real engine."""
    machine = MachineEnvironment(path=os.environ["PATH"], home=str(vault))
    ended: asyncio.Queue[Result] = asyncio.Queue()

    def post(event: EngineEvent) -> None:
        if isinstance(event, AttemptEnded):
            ended.put_nowait(event.result)

    async def run() -> Result:
        engine = LocalEngine(
            executors={"command": CommandExecutor(machine), "python": PythonExecutor(machine)},
            clock=SystemClock(),
            masker=lambda: Masker([]),
            machine=machine,
            runs_folder=vault.parent / "runs",
            post=post,
        )
        fixed = {"run": "r-20261122T060000Z-3f9a1c", "task": "daily", "path": "00_system/tasks/daily.md"}
        when = {"attempt": 1, "fire_time": "2026-11-22T23:30:00+00:00", "timezone": "UTC", "title": "daily"}
        action = {"type": "command", "action": action_to_json(CommandAction(command=command))}
        await engine.submit(RunRequest(**{**fixed, **when, "vault": str(vault), **action, **values}))
        return await ended.get()

    return asyncio.run(run())


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    (tmp_path / "vault/Log").mkdir(parents=True)
    return tmp_path / "vault"


FILE = {"expect_file": "Log/{{date}} {{title}}.md"}
COMMANDS = [
    ("true", "had words", "expected Log/2026-11-22 daily.md to have changed"),
    ("true", None, "expected Log/2026-11-22 daily.md to have changed, and it does not exist"),
    (f"rm '{NOTE}'", "had words", "expected Log/2026-11-22 daily.md to have changed, and it does not exist"),
    (f"echo more >> '{NOTE}'", "had words", ""),
    (f"touch '{NOTE}'", "had words", ""),  # written anew with what it held before
    (f"echo new > '{NOTE}'", None, ""),
    (f"echo new > x; touch -r '{NOTE}' x; mv x '{NOTE}'", "had words", ""),  # a time of old, other words
]


@pytest.mark.parametrize(("command", "before", "reason"), COMMANDS)
def test_a_file_that_did_not_change_makes_a_success_a_failure(
    vault: Path, command: str, before: str | None, reason: str
) -> None:
    """Made, saved or replaced counts; the day is that of the fire time in the task's zone."""
    if before is not None:
        (vault / NOTE).write_text(before)
        os.utime(vault / NOTE, (1_700_000_000, 1_700_000_000))
    result = result_of(vault, command, **FILE)
    assert (result.outcome, result.reason) == ((Outcome.FAILURE if reason else Outcome.SUCCESS), reason)
    assert result.exit_code == 0


def test_a_failure_stays_the_failure_that_it_is(vault: Path) -> None:
    """Evidence is asked only of those who say that all went well."""
    assert result_of(vault, "echo no feed; exit 3", **FILE, expect_output="x").reason == "exit 3: no feed"


def test_a_change_by_the_gate_is_none_of_the_run(vault: Path) -> None:
    """What is looked at is the attempt's own work."""
    result = result_of(vault, "true", gate=f"echo x > '{NOTE}'", **FILE)
    assert result.reason == "expected Log/2026-11-22 daily.md to have changed"


WORDS = [
    ("echo 12 notes", r"\d+ notes", True),
    ("printf 'a\\nall done\\nb\\n'", "^all done$", True),
    ("printf '\\033[32mall \\033[0mdone\\n'", "all done", True),
    ("echo 12 Notes", "notes", False),
    ("true", "x", False),
    ("seq 1 400000", "^200000$", False),  # between what is kept of a long output's two ends
    ("seq 1 400000; echo the end", "^the end$", True),
    ("seq 1 30000", "^15000$", True),
]


@pytest.mark.parametrize(("command", "pattern", "found"), WORDS)
def test_words_that_are_not_in_the_output_make_a_success_a_failure(
    vault: Path, command: str, pattern: str, found: bool
) -> None:
    """Searched in all that was printed, line by line, without colours."""
    result = result_of(vault, command, expect_output=pattern)
    assert result.outcome is (Outcome.SUCCESS if found else Outcome.FAILURE)
    assert result.reason == ("" if found else f"expected the output to match {pattern}")


def test_what_a_python_task_prints_is_searched_too(vault: Path) -> None:
    """Of any type."""
    python: dict[str, Any] = {"type": "python", "action": action_to_json(PythonAction(call=None))}
    body = "```python\nprint('3 stale notes')\n```\n"
    assert result_of(vault, **python, body=body, expect_output=r"^\d stale").outcome is Outcome.SUCCESS
    assert result_of(vault, **python, body=body, expect_output=r"^\d fresh").outcome is Outcome.FAILURE


def test_an_expression_that_never_ends_is_given_up(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is searched for in a process of its own, so that nothing waits for it longer than that."""
    monkeypatch.setattr(evidence, "SEARCH_S", 0.5)
    result = result_of(vault, f"echo {'a' * 60}!", expect_output="(a+)+$")
    assert result.outcome is Outcome.FAILURE
    assert "cannot be searched for within" in result.reason
