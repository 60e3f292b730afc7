"""Rendering: aligned text that fits, and moments, schedules and lengths of time in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.commands.columns import cut, plural, table, width_of
from vault_scheduler.commands.creation import Draft
from vault_scheduler.commands.moments import iso, length, long_local, read_moment, read_until, relative
from vault_scheduler.commands.outlook import ClockChange, outlook, upcoming
from vault_scheduler.commands.render import change_words, outlook_lines, ran_line
from vault_scheduler.commands.schedule_words import cron_words
from vault_scheduler.errors import BadValue
from vault_scheduler.notes.note import Document
from vault_scheduler.run import Outcome
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger

BERLIN = ZoneInfo("Europe/Berlin")
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
    ("expression", "words"),
    [
        ("0 7 * * 1-5", "at 07:00, Monday to Friday"),
        ("0 7,19 * * *", "at 07:00 and 19:00, every day"),
        ("*/15 * * * *", "every 15 minutes"),
        ("* * * * *", "every minute"),
        ("30 * * * *", "at minute 30 of every hour"),
        ("0 9 * * MON,WED", "at 09:00, on Monday and Wednesday"),
        ("0 0 1 1 *", "at 00:00, on day 1 in January"),
        ("0 0 13 * 5", "at 00:00, on Friday or on day 13 of the month"),  # cron's or
        ("0 9 * * 7", "at 09:00, on Sunday"),
        ("@daily", "at 00:00, every day"),
        ("*/45 * * * *", ""),  # not every 45 minutes: the hour starts anew
        ("0 0 L * *", ""),
        ("H 7 * * *", ""),
        ("0 7 * * 9", ""),
        ("0 7 *", ""),
    ],
)
def test_cron_is_put_into_words_only_where_they_are_plain_and_true(expression: str, words: str) -> None:
    """Anything else is shown as it is written."""
    assert cron_words(expression) == words


def test_an_outlook_is_strictly_after_and_shows_changes_of_the_clocks_in_their_place() -> None:
    """A fire time that equals `after` is not ahead."""
    after = datetime(2026, 10, 24, 5, tzinfo=UTC)  # 07:00 in Berlin
    found = outlook(CronTrigger("0 7 * * *", BERLIN), BERLIN, after, None, 2)
    assert found.more
    assert outlook_lines(found, None) == [
        "  ↳ Sun 2026-10-25 03:00: the clocks go back 1 h (+02:00 → +01:00)",
        "  Sun 2026-10-25 07:00 +01:00",
        "  Mon 2026-10-26 07:00 +01:00",
    ]


def test_an_outlook_without_a_change_points_out_the_next_one() -> None:
    """Within a year; a zone without changes has none."""
    found = outlook(CronTrigger("0 7 * * *", BERLIN), BERLIN, NOW, None, 1)
    assert [change.at for change in found.changes] == [datetime(2027, 3, 28, 1, tzinfo=UTC)]
    assert outlook(CronTrigger("0 7 * * *", ZoneInfo("UTC")), ZoneInfo("UTC"), NOW, None, 1).changes == ()


def test_an_outlook_ends_with_its_bound_included() -> None:
    """`--until` at a fire time shows it."""
    every = IntervalTrigger(timedelta(hours=1), NOW)
    found = outlook(every, BERLIN, NOW, NOW + timedelta(hours=2), 100)
    assert found.fire_times == (NOW + timedelta(hours=1), NOW + timedelta(hours=2))
    assert not found.more


def test_half_hour_changes_are_told_in_minutes() -> None:
    """Lord Howe Island moves its clocks by 30 minutes."""
    zone = ZoneInfo("Australia/Lord_Howe")
    change = ClockChange(
        at=datetime(2026, 10, 3, 15, 30, tzinfo=UTC), before=timedelta(hours=10.5), after=timedelta(hours=11)
    )
    assert change_words(change, zone) == "Sun 2026-10-04 02:00: the clocks go forward 30 min (+10:30 → +11:00)"


def test_fire_times_of_many_tasks_come_in_order() -> None:
    """The vault's next fire times, whatever task they are of."""
    hourly = IntervalTrigger(timedelta(hours=1), NOW)
    found = upcoming([("b", hourly), ("a", IntervalTrigger(timedelta(minutes=40), NOW))], NOW, None, 3)
    assert [name for _, name in found] == ["a", "b", "a"]


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
