"""Which instants of `at` run late, which are a mistake, and which are not news (rule 1.4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task
from vault_scheduler.planning.named_times import NamedLate, named_late
from vault_scheduler.task import Policies, Task

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
POLICIES = Policies(max_late=timedelta(hours=2))


def at(*hours: int, more: str = "") -> Task:
    """A task of these hours of the day."""
    named = ", ".join(f"2026-11-20T{hour:02}:00" for hour in hours)
    text = f"---\ntype: command\ncommand: echo a\nat: [{named}]\n{more}---\n"
    task = parse_task(Document.parse(text.encode()), "a.md", ParseContext(default_timezone="UTC")).task
    assert task is not None
    return task


def hour(*hours: int) -> tuple[datetime, ...]:
    return tuple(NOW.replace(hour=each) for each in hours)


@pytest.mark.parametrize(
    ("before", "after", "written", "late", "passed"),
    [
        (None, at(9, 11, 13), 12, (11,), (9,)),
        (None, at(9, 11, 13), 8, (9, 11), ()),  # written in time: missed, not mistaken
        (at(9, 11, 13), at(9, 10, 11, 13), 12, (10,), ()),
        (at(13), at(9), 12, (), (9,)),
        (at(13), at(12), 12, (12,), ()),
        (at(11), at(11, more='cron: "0 * * * *"\n'), 12, (), ()),
        (at(11), at(11, more="timezone: Europe/Berlin\n"), 12, (), ()),  # another zone: other instants, none is news
        (None, at(11, 12, more="start: 2026-11-20T11:30\n"), 12, (12,), ()),
    ],
)
def test_what_a_definition_names_anew(
    before: Task | None, after: Task, written: int, late: tuple[int, ...], passed: tuple[int, ...]
) -> None:
    """New instants up to now: late if within `max_late` or written in time, else passed; never one named before."""
    found = named_late(after, POLICIES, before, now=NOW, written_at=NOW.replace(hour=written))
    assert found == NamedLate(late=hour(*late), passed=hour(*passed))


def test_what_the_note_says_has_run_is_settled() -> None:
    """A task that the ledger does not know: its own `last_run` tells what it has done."""
    found = named_late(at(9, 10, 11), POLICIES, None, now=NOW, written_at=NOW, last_run=NOW.replace(hour=10))
    assert found == NamedLate(late=hour(11))
