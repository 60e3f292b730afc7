"""Rendering: aligned text that fits, and moments and lengths of time in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.commands.columns import plural, table
from vault_scheduler.commands.creation import Draft
from vault_scheduler.commands.done_lines import ran_line, refused_line
from vault_scheduler.commands.moments import iso, length, long_local, read_moment, read_until, relative
from vault_scheduler.commands.styled import cut
from vault_scheduler.commands.task_words import run_cells
from vault_scheduler.errors import BadValue
from vault_scheduler.notes.note import Document
from vault_scheduler.run import Outcome, Run, RunState, TriggerKind
from vault_scheduler.text.width import width_of

BERLIN = ZoneInfo("Europe/Berlin")
WAITING = RunState.WAITING
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


def test_columns_are_aligned_also_behind_wide_signs() -> None:
    """A sign that takes two columns is counted as two."""
    lines = table([("a", "✅", "x"), ("long", "–", "y")], width=None)
    assert [width_of(line[: line.index(end)]) for line, end in zip(lines, "xy", strict=True)] == [10, 10]


def test_a_line_that_is_too_wide_is_cut_in_its_elastic_column_only() -> None:
    """Names stay whole; the column that may give way gets an ellipsis."""
    (line,) = table([("a-long-task-name", "x" * 100, "end")], width=50, elastic=1)
    assert len(line) == 50
    assert line.startswith("a-long-task-name  xxx")
    assert line.endswith("…  end")


def test_cells_cannot_bring_their_own_lines_or_control_characters() -> None:
    """Text of notes and runs is hostile: one row is one line."""
    (line,) = table([("a\nb\x1b[31m", "c")], width=None)
    assert "\n" not in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("short", 10, "short"), ("exactly", 7, "exactly"), ("too long", 5, "too…"), ("✅✅✅", 4, "✅…")],
)
def test_cutting_counts_columns(text: str, width: int, expected: str) -> None:
    """What is cut never takes more columns than it may."""
    assert cut(text, width) == expected


def test_plurals() -> None:
    """One task, two tasks."""
    assert (plural(1, "task"), plural(0, "task"), plural(2, "task")) == ("1 task", "0 tasks", "2 tasks")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86399, "23 h"),
        (86400, "1 d"),
        (400 * 86400, "1 y"),
    ],
)
def test_lengths_are_told_in_one_unit(seconds: float, words: str) -> None:
    """Cut, never rounded up."""
    assert length(seconds) == words


def test_moments_are_told_relative_to_now() -> None:
    """Ahead, behind, and now."""
    assert relative(NOW + timedelta(hours=3), NOW) == "in 3 h"
    assert relative(NOW - timedelta(minutes=5), NOW) == "5 min ago"
    assert relative(NOW, NOW) == "now"


def test_moments_are_shown_with_the_offset_of_their_zone() -> None:
    """Also where the offset is not a whole hour."""
    assert long_local(NOW, BERLIN) == "Sun 2026-11-22 07:00 +01:00"
    assert long_local(NOW + timedelta(seconds=5), ZoneInfo("Asia/Kathmandu")) == "Sun 2026-11-22 11:45:05 +05:45"
    assert iso(NOW, BERLIN) == "2026-11-22T07:00:00+01:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T07:00", NOW),  # local to the zone
        ("2026-11-22T07:00:00+01:00", NOW),
        ("2026-11-22T06:00:00Z", NOW),
        ("2026-11-22", datetime(2026, 11, 21, 23, tzinfo=UTC)),  # a date is its midnight
        ("2027-03-28T02:30", datetime(2027, 3, 28, 1, tzinfo=UTC)),  # in the gap: the first instant after it
    ],
)
def test_moments_are_read_in_the_zone_unless_they_bring_an_offset(text: str, expected: datetime) -> None:
    """ISO 8601 as people write it."""
    assert read_moment(text, BERLIN) == expected


@pytest.mark.parametrize("text", ["tomorrow", "", "25:00", "2026-13-01", "0001-01-01T00:00+14:00"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """With what to write instead."""
    with pytest.raises(BadValue, match="ISO 8601"):
        read_moment(text, BERLIN)


def test_until_takes_a_length_of_time_or_a_moment_but_not_the_past() -> None:
    """`2h` and a date both work."""
    assert read_until("2h", BERLIN, NOW) == NOW + timedelta(hours=2)
    assert read_until("2026-11-23", BERLIN, NOW) == datetime(2026, 11, 22, 23, tzinfo=UTC)
    for wrong in ("2020-01-01", "0s", "soon"):
        with pytest.raises(BadValue):
            read_until(wrong, BERLIN, NOW)


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("cron", ["0 7 * * 1-5"], "0 7 * * 1-5"),
        ("cron", ["@daily"], "@daily"),
        ("cron", ["*/5 * * * *", "0 9 * * *"], ["*/5 * * * *", "0 9 * * *"]),
        ("at", ["2026-11-22T09:00"], "2026-11-22T09:00"),
        ("command", "echo 'a: \"b\"' # no comment", "echo 'a: \"b\"' # no comment"),
        ("command", "- x", "- x"),
        ("timeout", "30m", "30m"),
        ("status", "paused", "paused"),
        ("run_now", False, False),
        ("max_usd", 0.25, 0.25),
        ("id", "off", "off"),
        ("id", "12:30", "12:30"),
    ],
)
def test_a_new_note_reads_back_as_it_was_meant(key: str, value: object, read: object) -> None:
    """Whatever needs quotes gets them."""
    doc = Document.parse(Draft(name="x", properties={key: value}, body="Body").text().encode())
    assert doc.fault is None
    assert doc.mapping == {key: read}
    assert doc.body_text == "Body\n"


def test_cron_is_quoted_and_plain_words_are_not() -> None:
    """As a careful person writes it."""
    text = Draft(name="x", properties={"type": "command", "cron": ["0 7 * * *"], "timezone": "Europe/Berlin"}).text()
    assert text == '---\ntype: command\ncron: "0 7 * * *"\ntimezone: Europe/Berlin\n---\n'


def test_a_run_is_told_with_its_outcome_and_reason() -> None:
    """One line, whatever the reason holds."""
    assert ran_line("a", "r-1", Outcome.FAILURE, "exit 3:\nno") == "❌ a: failure · exit 3: no · r-1"
    assert "--follow" in ran_line("a", "r-1", None, "")
    waits = ran_line("a", "r-1", None, "waits for quota until 2026-11-22 12:00")
    assert waits == "a waits for quota until 2026-11-22 12:00: r-1. A daemon goes on with it then"


def test_a_run_that_waits_is_told_with_what_it_waits_for() -> None:
    """Its sign is not that of a run that goes on."""
    run = Run(
        id="r-1", key="k", task="a", path="a.md", trigger=TriggerKind.AT, fire_time=NOW, claimed_at=NOW, state=WAITING
    )
    assert run_cells(replace(run, waiting_for="group")) == ("", "waits for group")
    assert run_cells(run) == ("", "waits")
    assert run_cells(replace(run, state=RunState.RUNNING)) == ("▶", "running")


def test_a_run_that_the_vault_refused_is_told_with_the_way_out() -> None:
    """Who stopped the vault on the phone and forgot it reads how it goes on."""
    assert refused_line("a", "vault stopped") == (
        "a was not run: vault stopped. `vault-sched resume --all` makes the vault active"
    )
    assert refused_line("a", "it is held") == "a was not run: it is held"
