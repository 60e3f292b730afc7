"""The example vault: every task note is valid, shows what it says it shows, and the notes around hang together."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vault_scheduler.builtin.doc_freshness import run as doc_freshness
from vault_scheduler.executors.python import builtin_names, callable_problem
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.keys import KEYS
from vault_scheduler.parsing.parser import ParseContext, parse_settings, parse_task
from vault_scheduler.planning.registry import Registry
from vault_scheduler.task import Task
from vault_scheduler.vault.ignored import reason_to_skip

VAULT = Path(__file__).parents[2] / "example_vault"
TASKS = VAULT / "00_system/tasks"
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

# What each task note is there to show.
SHOWS = {
    "hello": {"command", "every", "keep_runs", "status", "run_now"},
    "vault-size": {"cron"},
    "open-tasks": {"call", "args", "output"},
    "docs-review": {"call", "args"},
    "claude/daily-briefing": {"timezone", "permissions", "max_usd", "timeout", "output"},
    "claude/weekly-research": {"status", "model", "max_usd_day", "max_turns"},
    "home/backup": {"timeout", "retries", "retry_delay", "pause_after"},
    "home/backup-check": {"after", "after_outcome", "group"},
    "home/reading": {"on_change", "debounce", "overlap"},
    "home/journal-words": {"gate"},
    "home/exercises": {"start", "max_runs"},
    "home/site-check": {"env", "secrets"},
    "home/week-note": {"output"},
    "home/passport": {"at"},
    "home/water-plants": {"catch_up", "max_late", "log"},
    "home/morning": {"on_start", "command", "log"},
}
SHOWN_NOWHERE = {"until", "paused_until", "enabled", "id", "host", "python", "cwd", "session"} | {
    *("allowed_tools", "disallowed_tools", "fallback_model", "system_prompt"),
}


def notes() -> list[Path]:
    found = []
    for path in sorted(VAULT.rglob("*.md")):
        parts = path.relative_to(VAULT).parts
        if not any(reason_to_skip(part, part.endswith(".md")) for part in parts) and "logs" not in parts:
            found.append(path)
    return found


def document(path: Path) -> Document:
    return Document.parse(path.read_bytes())


def name_of(path: Path) -> str:
    return path.relative_to(TASKS).as_posix().removesuffix(".md")


def parsed(path: Path) -> tuple[Task | None, list[str]]:
    context = ParseContext(
        default_timezone="Europe/Berlin",
        callable_check=lambda call: callable_problem(call, VAULT / "00_system/scripts"),
    )
    result = parse_task(document(path), path.relative_to(VAULT).as_posix(), context)
    return result.task, [str(problem) for problem in result.problems]


def task_notes() -> list[Path]:
    return sorted(TASKS.rglob("*.md"))


@pytest.mark.parametrize("path", task_notes(), ids=name_of)
def test_every_task_note_is_valid(path: Path) -> None:
    """No task note of the example has a problem, not even a warning."""
    task, problems = parsed(path)
    assert problems == []
    assert task is not None
    assert task.id == name_of(path)


def test_no_task_note_is_in_the_way_of_another() -> None:
    """The notes have different names and definitions, so that none counts as a copy."""
    registry = Registry()
    for path in task_notes():
        registry.put(path.relative_to(VAULT).as_posix(), parsed(path)[0], (), NOW)
    assert registry.problems() == []
    assert len(registry.ids()) == len(task_notes())


def test_the_settings_note_is_valid_and_says_what_its_properties_mean() -> None:
    """The settings note has no problem, and its text names each property that it sets."""
    path = VAULT / "00_system/scheduler.md"
    assert parse_settings(document(path), "00_system/scheduler.md").problems == ()
    text = document(path).body_text
    assert [key for key in document(path).mapping if f"`{key}" not in text and key != "max_parallel"] == []


def test_each_note_shows_what_it_is_there_for() -> None:
    """The table above is complete, and each note sets the keys that it is there to show."""
    assert set(SHOWS) == {name_of(path) for path in task_notes()}
    for name, keys in SHOWS.items():
        mapping = document(TASKS / f"{name}.md").mapping
        assert keys <= set(mapping), name


@pytest.mark.parametrize("name", [name for name in SHOWS if name != "claude/daily-briefing"])
def test_each_note_explains_the_keys_that_it_shows(name: str) -> None:
    """The text of a task note names its keys. (The briefing's whole text is the prompt.)"""
    text = document(TASKS / f"{name}.md").definition_body
    own_words = {"at", "cron", "on_start", "call", "args", "command"}  # told in words, or by their value
    assert [key for key in SHOWS[name] - own_words if key not in text] == []


def test_the_supported_keys_that_no_note_shows_are_known() -> None:
    """A new key gets an example, or stands in the list of those without one."""
    shown = {key for path in task_notes() for key in document(path).mapping}
    supported = {key.name for key in KEYS.values() if key.supported and not key.ours and "task" in key.where}
    assert supported - shown == SHOWN_NOWHERE


def test_every_built_in_task_has_a_note() -> None:
    """Each built-in python task is used by a note of the example."""
    calls = {document(path).mapping.get("call") for path in task_notes()}
    assert set(builtin_names()) <= calls


def test_the_vault_is_more_than_its_tasks() -> None:
    """About ten notes of a person stand beside the task notes, and their links lead somewhere."""
    people = [path for path in notes() if "00_system" not in path.parts]
    assert len(people) >= 10
    stems = {path.stem for path in notes()} | {"Open tasks"}  # made by its task
    links = {
        (path.name, target)
        for path in notes()
        for target in re.findall(r"\[\[([^\]|#]+)", path.read_text(encoding="utf-8"))
        if target not in ("Note",)
    }
    assert len(links) > 10
    assert sorted((note, target) for note, target in links if target not in stems) == []


def test_the_review_of_the_documents_finds_the_stale_ones() -> None:
    """`doc_freshness` really has something to say about the documents of the example."""
    said = doc_freshness(VAULT, NOW, folder="Docs", review_after="180d")["markdown"]
    overdue, _, rest = said.partition("**Never reviewed**")
    assert "Home network" in overdue
    assert "Backups" in overdue
    assert "If I am away" in rest
    assert "Next: [[Docs/Heating|Heating]]" in rest
