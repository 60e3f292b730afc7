"""The example vault: every task note is valid, shows what it says it shows, and the notes around hang together."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.builtin.doc_freshness import run as doc_freshness
from vault_scheduler.builtin.vault_cleanup import Rules, look
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
    "refresh-dashboard": {"call", "args", "log"},
    "cleanup": {"call", "args"},
    "failure-digest": {"call", "args", "output"},
    "github-watch": {"call", "args", "retries", "timeout", "status"},
    "claude/daily-briefing": {"timezone", "permissions", "max_usd", "timeout", "output"},
    "claude/weekly-research": {"status", "model", "max_usd_day", "max_turns"},
    "claude/repository-research": {"after", "permissions", "status", "output"},
    "claude/weekly-review": {"permissions", "max_usd", "status"},
    "claude/plan-the-week": {"session", "max_usd", "status"},
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
SHOWN_NOWHERE = {"until", "paused_until", "enabled", "id", "host", "python", "cwd"} | {
    *("allowed_tools", "disallowed_tools", "fallback_model", "system_prompt", "mcp_config", "skills", "add_dirs"),
    *("expect_file", "notify", "notify_to", "ping_url"),
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
        callable_check=lambda call, args: callable_problem(call, VAULT / "00_system/scripts", args=args),
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
    """A few dozen notes of a person stand beside the task notes, and each of the person's folders holds some."""
    people = [path.relative_to(VAULT) for path in notes() if "00_system" not in path.parts]
    assert len(people) >= 36
    folders = {path.parts[0] for path in people if len(path.parts) > 1}
    assert {"Projects", "People", "Journal", "Meetings", "Inbox", "Notes", "Docs", "Archive"} == folders


def test_links_lead_somewhere_but_for_those_that_the_cleanup_is_to_find() -> None:
    """Task notes, the settings note and most notes link to what is there; the dead links are few, and known."""
    rules = clean_rules("dead-links")
    assert dict(look(VAULT, "00_system", rules).dead) == {
        "Inbox/Tool library.md": ("Tool library Leipzig",),
        "Meetings/2026-10-28 Landlord.md": ("House meeting October",),
        "Notes/Gift ideas.md": ("Sven",),
        "Notes/How this vault began.md": ("Contacts import",),
        "Projects/Family archive.md": ("Scanner settings",),
        "Projects/Kitchen floor.md": ("Tile samples", "floor plan.png"),
    }


def clean_rules(*what: str) -> Rules:
    return Rules(
        what=what,
        folders=(),
        exclude=(),
        min_age=timedelta(0),
        now=NOW,
        logs_before=date(2026, 6, 1),
        limit=20,
    )


def test_there_is_something_to_clean_up() -> None:
    """Empty notes, a copy, equal notes and old logs are there to be found."""
    found = look(VAULT, "00_system", clean_rules("empty", "duplicates", "logs"))
    assert [note.path for note in found.empty] == ["Inbox/Untitled 1.md", "Inbox/Untitled.md"]
    assert [note.path for note in found.copies] == ["Notes/Lentil soup 1.md"]
    assert found.equal == (("Archive/Packing list 2024.md", "Notes/Packing list.md"),)
    assert len(found.logs) == 2


def test_the_review_of_the_documents_finds_the_stale_ones() -> None:
    """`doc_freshness` really has something to say about the documents of the example."""
    said = doc_freshness(VAULT, NOW, folder="Docs", review_after="180d")["markdown"]
    overdue, _, rest = said.partition("**Never reviewed**")
    assert "Home network" in overdue
    assert "Backups" in overdue
    assert "If I am away" in rest
    assert "Next: [[Docs/Heating|Heating]]" in rest
