"""Which files the globs of `on_change` name, and where such files are looked for."""

from __future__ import annotations

import pytest

from vault_scheduler.errors import BadValue
from vault_scheduler.triggers.globs import covers, globs, joined


@pytest.mark.parametrize(
    ("patterns", "named", "not_named"),
    [
        (
            "Inbox/**",
            ["Inbox/a.md", "Inbox/b/c.pdf", "Inbox/b/c/d"],
            ["Inbox", "inbox/a.md", "Inbox2/a.md", "a/Inbox/b"],
        ),
        ("Inbox/*", ["Inbox/a.md", "Inbox/a"], ["Inbox/b/c.md", "Inbox/.a"]),
        ("*.md", ["a.md"], ["b/a.md", "a.MD", ".md"]),
        ("**/*.md", ["a.md", "b/a.md", "b/c/a.md"], ["a.txt", ".trash/a.md", "b/.c/a.md"]),
        ("**", ["a", "b/c.md"], [".git/config", "b/.c"]),
        ("Notes/**/todo.md", ["Notes/todo.md", "Notes/x/y/todo.md"], ["todo.md", "Notes/x/my todo.md"]),
        ("Inbox/todo.md", ["Inbox/todo.md"], ["Inbox/todo.md/x", "Inbox/todo-md"]),
        ("a?c.md", ["abc.md", "aüc.md"], ["ac.md", "a/c.md"]),
        ("log-[0-9].md", ["log-7.md"], ["log-x.md", "log-10.md"]),
        ("log-[!0-9].md", ["log-x.md"], ["log-7.md", "log-/.md"]),
        ("*.{md,pdf}", ["a.md", "a.pdf"], ["a.txt", "a.{md,pdf}"]),
        ("{Inbox,Notes/new}/*", ["Inbox/a", "Notes/new/a"], ["Notes/a", "Inbox/b/a"]),
        ("Notes [[]old]/*", ["Notes [old]/a.md"], ["Notes o/a.md"]),
        ("Inbox**", ["Inbox", "Inbox2"], ["Inbox/a.md"]),  # `**` alone is any number of folders
        ("(x)/+a&b$.md", ["(x)/+a&b$.md"], ["x/+a&b$.md"]),
        ("Tägliches/*", ["Tägliches/ä.md"], []),
        ("a.md", ["a.md"], ["abmd", "a.md\n"]),
        (["Inbox/**", "!Inbox/out/**"], ["Inbox/a.md"], ["Inbox/out/a.md"]),
        (["!Inbox/out/**", "Inbox/**"], ["Inbox/a.md"], ["Inbox/out/a.md"]),
        (["Inbox/**", "!**/*.tmp"], ["Inbox/a.md"], ["Inbox/a.tmp", "Inbox/b/c.tmp"]),
    ],
)
def test_globs_name_files(patterns: str | list[str], named: list[str], not_named: list[str]) -> None:
    """A list names what any of its globs names, apart from what one with `!` leaves out."""
    found = globs((patterns,) if isinstance(patterns, str) else tuple(patterns))
    assert [path for path in named if not found.matches(path)] == []
    assert [path for path in not_named if found.matches(path)] == []
    assert [path for path in named if not covers(found.reach, path)] == []


@pytest.mark.parametrize(
    ("patterns", "reach"),
    [
        (["Inbox/**"], {"Inbox": None}),
        (["Inbox/*.md"], {"Inbox": 1}),
        (["Inbox/todo.md"], {"Inbox": 1}),
        (["*.md"], {"": 1}),
        (["**/*.md"], {"": None}),
        (["a/b/*/c/d.md"], {"a/b": 3}),
        (["a/{b,c/d}/e"], {"a": 3}),
        (["Inbox/**", "Inbox/a/*", "Notes/*"], {"Inbox": None, "Notes": 1}),
        (["a/*", "a/b/*"], {"a": 1, "a/b": 1}),
        (["a/*/*", "a/b/*"], {"a": 2}),
        (["**", "Inbox/**"], {"": None}),
        (["Inbox/**", "!Other/**"], {"Inbox": None}),
    ],
)
def test_only_folders_that_may_hold_such_files_are_looked_at(patterns: list[str], reach: dict[str, int | None]) -> None:
    """The plain beginning of a glob is a folder, and what follows says how deep."""
    assert globs(tuple(patterns)).reach == reach


def test_what_lies_deeper_than_any_glob_reaches_is_not_looked_at() -> None:
    """Levels are counted from each folder of its own."""
    reach = joined([{"a": 1}, {"a/b": 2}])
    paths = ("x.md", "a/x.md", "a/c/x.md", "a/b/x.md", "a/b/c/x.md", "a/b/c/d/x.md")
    assert [path for path in paths if covers(reach, path)] == ["a/x.md", "a/b/x.md", "a/b/c/x.md"]


@pytest.mark.parametrize("patterns", [("!Inbox/**",), ("{1..10}{1..11}.md",)])
def test_globs_that_make_no_sense_are_refused(patterns: tuple[str, ...]) -> None:
    """Nothing but exclusions, and braces that stand for a hundred patterns."""
    with pytest.raises(BadValue):
        globs(patterns)
