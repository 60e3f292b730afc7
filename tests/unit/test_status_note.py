"""The status note: its chart for Mermaid, failures that are alike, messages with code, whose note it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.run import Outcome, Run, RunState, TriggerKind
from vault_scheduler.task import Problem
from vault_scheduler.telling.status_note import Ask, Coming, StatusFacts, is_ours, page

UNSEEN = "\u200b "
NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def coming(path: str, minutes: int = 0, expected_s: float = 1.0) -> Coming:
    return Coming(path=path, kind="command", fire_time=NOW + timedelta(minutes=minutes), expected_s=expected_s)


def told(zone: str = "UTC", **facts: Any) -> str:
    return page(StatusFacts(now=NOW, zone=ZoneInfo(zone), host="here", tasks=1, **facts))


def chart(*bars: Coming) -> list[str]:
    """The lines of the chart below its settings."""
    text = told(bars=bars).partition("    tickInterval 6hour\n")[2].partition("```")[0]
    return [line.strip().removeprefix(UNSEEN) for line in text.splitlines()]


def row_of(name: str) -> str:
    """The name of the row of a task whose note has this name."""
    return chart(coming(f"00_system/tasks/{name}.md"))[2]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("daily briefing", "daily briefing"),
        ("the very long name of a task", "the very long name…"),
        ("日記の予定を毎日書くこと", "日記の予定を毎日書…"),  # each as wide as two letters
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
    assert row_of(name) == f"section {label}"


def test_a_task_is_one_row_of_bars() -> None:
    """In the order of their first runs, below a bar that spans the day; a bar can be seen however short its run is."""
    runs = [coming("t/b.md", 30), coming("t/a.md", 60, 3600.0), coming("t/b.md", 90)]
    assert chart(*runs) == [
        "section 24 hours",
        ":done, 2026-11-23 06:00, 1440m",
        "section b",
        ":2026-11-23 06:30, 15m",
        ":2026-11-23 07:30, 15m",
        "section a",
        ":2026-11-23 07:00, 60m",
    ]


def test_rows_of_one_name_are_told_apart_by_their_folders() -> None:
    """Two tasks called `backup` are two rows."""
    rows = chart(coming("t/home/backup.md"), coming("t/office/backup.md"), coming("t/office/mail.md"))
    assert rows[2::2] == ["section home backup", "section office backup", "section mail"]


def test_a_day_without_runs_has_no_chart() -> None:
    """An empty diagram is an error to Mermaid."""
    assert "mermaid" not in told()


def test_failures_that_are_alike_are_one_line() -> None:
    """A task that fails every minute hides no other; another reason is another line."""
    runs = [failed("often", minutes) for minutes in (1, 2, 3)] + [failed("seldom", 4), failed("often", 5, "exit 2")]
    assert told(failures=runs).partition("last 7 days\n\n")[2].strip().splitlines() == [
        "- Mon 2026-11-23 05:59 ❌ [[t/often|often]] · 1.0 s · exit 1 · 3 × since Mon 2026-11-23 05:57",
        "- Mon 2026-11-23 05:56 ❌ [[t/seldom|seldom]] · 1.0 s · exit 1",
        "- Mon 2026-11-23 05:55 ❌ [[t/often|often]] · 1.0 s · exit 2",
    ]


def failed(name: str, minutes_ago: int, reason: str = "exit 1") -> Run:
    """A run that failed so many minutes ago, after a second."""
    end = NOW - timedelta(minutes=minutes_ago)
    return Run(
        id=f"r-{minutes_ago}",
        key=f"{name}|at|{minutes_ago}",
        task=name,
        path=f"t/{name}.md",
        trigger=TriggerKind.AT,
        fire_time=end,
        claimed_at=end,
        state=RunState.ENDED,
        outcome=Outcome.FAILURE,
        started_at=end - timedelta(seconds=1),
        ended_at=end,
        attempts=1,
        reason=reason,
    )


def test_what_a_message_quotes_is_code() -> None:
    """The cure can be read as it is to be typed."""
    problem = Problem(
        path="t/a.md", line=3, key="cron", message="`0 9 1 * * 2027`: six fields", fix="Write `0 9 1 * *`."
    )
    held = Ask(path="t/b.md", text="held: new. Approve it with `vault-sched approve b`")
    lines = told(problems=[problem], held=[held], troubles=["no room: `df -h`"]).splitlines()
    assert "- ⚠ [[t/a|a]] line 3: cron: `0 9 1 * * 2027`: six fields. Write `0 9 1 * *`." in lines
    assert "- ✋ [[t/b|b]] · held: new. Approve it with `vault-sched approve b`" in lines
    assert "- ⛔ no room: `df -h`" in lines


@pytest.mark.parametrize(
    ("data", "ours"),
    [(b"", True), (b"---\ngenerated_by: vault-sched\n---\n", True), (b"# Mine\n", False), (b"---\nx: 1\n---\n", False)],
)
def test_only_our_own_note_is_replaced(data: bytes, ours: bool) -> None:
    """The property `generated_by` tells our page from a person's note of that name."""
    assert is_ours(data) is ours
