"""What Claude Code's events are about, as far as they are ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vault_scheduler.commands.hook import Answer, Concern, answer_to, concern
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task

GOOD = '---\ntype: claude\ncron: "0 7 * * 1-5"\nstatus: active\n---\nWrite the briefing.\n'
BAD = GOOD.replace('"0 7 * * 1-5"', "*/5 * * * *")


def written(path: object, tool: str = "Write") -> dict[str, Any]:
    return {"hook_event_name": "PostToolUse", "tool_name": tool, "tool_input": {"file_path": str(path)}}


def before(tool: str) -> dict[str, Any]:
    return {"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": {"cron": "0 7 * * *", "prompt": "x"}}


@pytest.mark.parametrize(
    ("event", "about"),
    [
        (written("/v/00_system/tasks/a.md"), Concern.NOTE),
        (written("/v/00_system/tasks/home/a.md", "Edit"), Concern.NOTE),
        (written("/v/renamed/tasks/a.md", "MultiEdit"), Concern.NOTE),
        (written("00_system/tasks/a.md"), Concern.NOTE),
        (written("/v/00_system/scheduler.md"), Concern.NOTE),
        (written("/v/00_system/tasks/a.txt"), Concern.NOTHING),
        (written("/v/Projects/a.md"), Concern.NOTHING),
        (written("/v/tasks.md"), Concern.NOTHING),
        (written("/v/00_system/tasks/a.md", "Read"), Concern.NOTHING),
        (before("CronCreate"), Concern.SCHEDULE),
        (before("ScheduleWakeup"), Concern.SCHEDULE),
        (before("CronList"), Concern.NOTHING),
        (before("Write"), Concern.NOTHING),
        ({**before("CronCreate"), "hook_event_name": "PostToolUse"}, Concern.NOTHING),
        ({"tool_name": "Write", "tool_input": "text"}, Concern.NOTHING),
        ({}, Concern.NOTHING),
    ],
)
def test_an_event_is_told_by_its_names(event: dict[str, Any], about: Concern) -> None:
    """Only what writes a note below a folder `tasks`, or schedules by itself, is looked at."""
    assert concern(event) is about


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "vault/00_system/tasks").mkdir(parents=True)
    (tmp_path / "vault/00_system/scheduler.md").write_text("---\nstatus: active\ntimezone: Europe/Berlin\n---\n")
    return tmp_path / "vault"


def note(vault: Path, text: str, path: str = "00_system/tasks/briefing.md") -> Path:
    file = vault / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_a_note_that_would_not_run_is_told_with_line_and_cure(vault: Path) -> None:
    """The problem, the place and what to write instead are in the answer; problems of other notes are not."""
    note(vault, BAD, "00_system/tasks/other.md")
    answer = answer_to(written(note(vault, BAD)))
    assert "00_system/tasks/briefing.md would not run as it stands" in answer.problems
    assert (
        "briefing.md:3: cron: YAML needs quotes around a value that starts with '*'. Quote the value: cron: \"*/5"
        in (answer.problems)
    )
    assert "other.md" not in answer.problems


def test_a_look_alike_of_a_key_is_told_too(vault: Path) -> None:
    """A note that runs, but reads a property as a stranger's, was hardly meant so."""
    answer = answer_to(written(note(vault, GOOD.replace("status", "timout: 5m\nstatus"))))
    assert "is perhaps not meant so" in answer.problems
    assert "timeout: 5m" in answer.problems


def test_a_right_note_is_confirmed_with_its_times(vault: Path) -> None:
    """What Claude can tell the person stands beside the tool's result, with what is still missing."""
    answer = answer_to(written(note(vault, GOOD)))
    assert answer.problems == ""
    assert "00_system/tasks/briefing.md is a valid task" in answer.news
    assert "Europe/Berlin" in answer.news
    assert "First run: " in answer.news
    assert "No daemon serves this vault now" in answer.news


def test_the_settings_note_is_checked(vault: Path) -> None:
    """A setting that nobody can read stops the whole vault's edits, so it is told at once."""
    answer = answer_to(written(note(vault, "---\nmax_parallel: many\n---\n", "00_system/scheduler.md")))
    assert "max_parallel" in answer.problems


@pytest.mark.parametrize("path", ["00_system/tasks/.hidden.md", "Projects/tasks/list.md", "00_system/tasks/gone.md"])
def test_what_is_no_task_is_left_alone(vault: Path, path: str) -> None:
    """Notes of other folders named tasks, hidden ones and those that are gone are nobody's business."""
    file = note(vault, BAD, path)
    if "gone" in path:
        file.unlink()
    assert answer_to(written(file)) == Answer()


def test_outside_of_a_vault_nothing_is_said(tmp_path: Path) -> None:
    """The hooks of a plugin are loaded everywhere: in other folders Claude's own scheduler is not refused."""
    assert answer_to({**before("CronCreate"), "cwd": str(tmp_path)}) == Answer()
    file = note(tmp_path, BAD, "tasks/briefing.md")
    assert answer_to(written(file)) == Answer()


@pytest.mark.parametrize("tool", ["CronCreate", "ScheduleWakeup"])
def test_a_scheduler_of_claudes_own_is_refused_with_a_note_that_works(vault: Path, tool: str) -> None:
    """The advice names the folder and shows a whole note, which is valid."""
    told = answer_to({**before(tool), "cwd": str(vault)}).problems
    assert tool in told
    assert f"{vault}/00_system/tasks/daily-briefing.md" in told
    shown = told[told.index("---\n") :].partition("\n\n")[0] + "\n"
    parsed = parse_task(Document.parse(shown.encode()), "00_system/tasks/daily-briefing.md", ParseContext())
    assert parsed.task is not None
    assert parsed.problems == ()


def test_nothing_is_loaded_for_a_file_that_is_not_ours() -> None:
    """Claude waits for this after every file that it writes: no parser, no command line, nothing from outside."""
    program = (
        "import sys, atexit; sys.argv = ['vault-sched', 'check', '--hook'];"
        "atexit.register(lambda: print(*sorted(sys.modules)));"
        "from vault_scheduler.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(written("/x/Note.md")),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0
    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.startswith("vault_scheduler")}
    assert ours == {
        "vault_scheduler",
        "vault_scheduler.__main__",
        "vault_scheduler.commands",
        "vault_scheduler.commands.hook",
    }
    assert not loaded & {"typer", "click", "yaml", "asyncio", "sqlite3", "platformdirs"}
