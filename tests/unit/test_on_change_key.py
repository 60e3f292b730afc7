"""The key `on_change` as people write it: what it means, and the cure for what means nothing."""

from __future__ import annotations

import pytest

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, Parsed, parse_task
from vault_scheduler.task import Task


def parse(value: str) -> Parsed:
    text = f"---\ntype: command\ncommand: date\non_change: {value}\n---\n"
    return parse_task(Document.parse(text.encode()), "00_system/tasks/a.md", ParseContext(default_timezone="UTC"))


@pytest.mark.parametrize(
    ("value", "globs"),
    [
        ("Inbox/**", ("Inbox/**",)),
        ('"**/*.md"', ("**/*.md",)),
        ('\n  - Inbox/**\n  - "!Inbox/out/*"', ("Inbox/**", "!Inbox/out/*")),
        ('"*.{md,pdf}"', ("*.{md,pdf}",)),
        ("[a.md, a.md]", ("a.md",)),
        ("A\u0308rger/*", ("\u00c4rger/*",)),  # as macOS spells it
    ],
)
def test_globs_are_read(value: str, globs: tuple[str, ...]) -> None:
    """One, or a list."""
    task = parse(value).task
    assert task is not None
    assert task.on_change == globs


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Inbox/", 'Write `on_change: "Inbox/**"`'),
        ('"[[Inbox]]"', "is a link"),
        ("/home/me/vault/a.md", "no path inside the vault"),
        ("../a.md", "no path inside the vault"),
        (r'"a\\b.md"', "no path inside the vault"),
        ("./a.md", "Write `on_change: a.md`"),
        (".obsidian/**", "where changes never count"),
        ('"!Inbox/**"', "only leaves out files"),
        ('"{1..10}{1..11}"', "is no glob"),
        ("[]", "empty list"),
        ("**/*.md", 'Quote the value: on_change: "**/*.md"'),
        ("!Inbox/**", "tag"),
    ],
)
def test_what_names_no_files_is_a_problem(value: str, message: str) -> None:
    """With what to write instead."""
    found = parse(value)
    assert found.task is None
    assert any(message in str(problem) for problem in found.problems), found.problems


def test_name_of_a_folder_alone_warns() -> None:
    """`Inbox` is one file of that name, which hardly anybody means."""
    found = parse("Inbox")
    assert isinstance(found.task, Task)
    assert [problem.fix for problem in found.problems] == ['For a folder write `on_change: "Inbox/**"`.']
    assert not parse("Makefile.txt").problems
