"""Labels of the status note's chart: characters and words that mean something in a Mermaid diagram are defused."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.telling.status_note import Coming, StatusFacts, is_ours, page

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def bar_of(name: str) -> str:
    """The chart's line for a task whose note has this name."""
    bar = Coming(path=f"00_system/tasks/{name}.md", kind="command", fire_time=NOW)
    text = page(StatusFacts(now=NOW, zone=ZoneInfo("UTC"), host="here", tasks=1, bars=[bar]))
    return text.partition("section command\n")[2].partition("\n")[0]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("daily briefing", "daily briefing"),
        ("a: b, c; d #35", "a b c d 35"),  # separators of a bar, of statements, an entity
        ("section two", "(section two)"),  # each of these would begin a statement
        ("Title", "(Title)"),
        ("click here", "(click here)"),
        ("2026-01-01 letter", "(2026-01-01 letter)"),  # a date begins a bar's data
        ("%%{init: x}%%", "init x"),
        ("```", "task"),
        ("日記 é", "日記 é"),
    ],
)
def test_label_means_nothing_in_a_diagram(name: str, label: str) -> None:
    """These were refused or misread by Mermaid, or could be; the real one parsed 455 charts of such labels."""
    assert bar_of(name) == f"    {label} :2026-11-23 06:00, 5m"


@pytest.mark.parametrize(
    ("data", "ours"),
    [(b"", True), (b"---\ngenerated_by: vault-sched\n---\n", True), (b"# Mine\n", False), (b"---\nx: 1\n---\n", False)],
)
def test_only_our_own_note_is_replaced(data: bytes, ours: bool) -> None:
    """The property `generated_by` tells our page from a person's note of that name."""
    assert is_ours(data) is ours
