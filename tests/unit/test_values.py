"""Readers of single values: what is accepted, what is refused, and a cure that can be pasted."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.errors import BadValue
from vault_scheduler.notes import yaml_core
from vault_scheduler.parsing import values
from vault_scheduler.task import CatchUp


def refused(reader: Callable[..., object], value: object, **options: object) -> BadValue:
    with pytest.raises(BadValue) as caught:
        reader(value, "key", **options)
    return caught.value


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("10s", 10),
        ("15m", 900),
        ("1h30m", 5400),
        ("1h 30m", 5400),  # as people space it
        ("2d", 172800),
        ("1w", 604800),
        ("1w2d3h4m5s", 788645),
        ("90m", 5400),
        ("1H", 3600),
        ("0s", 0),
        (["5m"], 300),  # a list of one counts as its element
    ],
)
def test_duration_is_read(written: object, seconds: int) -> None:
    """A duration is a sum of weeks, days, hours, minutes and seconds."""
    assert values.duration(written, "timeout") == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("written", "reason", "cure"),
    [
        (30, "no unit", "key: 30s"),  # YAML number
        ("45", "no unit", "key: 45m"),  # the same as text
        (0, "no unit", "key: 30s"),
        (1.5, "no unit", "key: 1s"),
        ("-5m", "negative", "key: 5m"),
        (-5, "negative", "key:"),
        ("1.5h", "fraction", "key: 1h30m"),
        ("15 min", "not a duration", "key: 15m"),
        ("2 hours", "not a duration", "key: 2h"),
        ("1m1h", "not a duration", "units are w, d, h, m and s"),  # wrong order
        ("PT1H", "not a duration", "key: 1h"),
        ("1M", "months", "key: 1m"),
        ("daily", "not a duration", "key: 1d"),
        ("soon", "not a duration", "key: 30m"),
        (True, "not a duration", "key: 30m"),
        (["1m", "2m"], "not a list of 2", "key: 1m"),
        ({"minutes": 5}, "not a duration", "key: 30m"),
        ("“5m”", "curly quotes", 'key: "5m"'),
        ("99999d", "too long", "key: 3660d"),
    ],
)
def test_bad_duration_is_refused_with_a_cure(written: object, reason: str, cure: str) -> None:
    """What is no duration, or has no unit, is refused with a line that can be pasted."""
    error = refused(values.duration, written)
    assert reason in error.message
    assert cure in error.fix


def test_duration_outside_its_bounds_is_refused() -> None:
    """A key's own bounds are named in the cure."""
    assert "`key: 1s`" in refused(values.duration, "0s", minimum=timedelta(seconds=1)).fix
    assert "`key: 1h`" in refused(values.duration, "2h", maximum=timedelta(hours=1)).fix


@given(st.integers(min_value=0, max_value=3660 * 86400))
def test_spelled_duration_reads_as_itself(seconds: int) -> None:
    """What `spelled` writes, `duration` reads."""
    length = timedelta(seconds=seconds)
    assert values.duration(values.spelled(length)) == length


@given(st.text(max_size=30) | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.text(), max_size=3))
def test_readers_only_ever_raise_bad_value(value: Any) -> None:
    """No value whatsoever makes a reader raise anything but BadValue."""
    readers: list[Callable[[object, str], object]] = [
        values.duration,
        values.boolean,
        values.text,
        values.prose,
        values.text_list,
        values.whole_number,
        values.money,
        values.local_datetime,
        values.date_or_datetime,
        lambda v, k: values.choice(v, k, CatchUp),
    ]
    for reader in readers:
        with contextlib.suppress(BadValue):
            reader(value, "key")


@pytest.mark.parametrize("value", [True, "true", "TRUE", [True]])
def test_true_is_read(value: object) -> None:
    """True, also as a property of type text is saved."""
    assert values.boolean(value) is True


@pytest.mark.parametrize(
    ("value", "cure"),
    [("yes", "key: true"), ("off", "key: false"), (1, "key: true"), (0, "key: false"), ("maybe", "key: true")],
)
def test_other_words_for_true_and_false_are_refused(value: object, cure: str) -> None:
    """YAML 1.2 knows `true` and `false` only; what is text in Obsidian is text here."""
    assert cure in refused(values.boolean, value).fix


@pytest.mark.parametrize(("value", "number"), [(3, 3), ("4", 4), (5.0, 5), ([6], 6)])
def test_whole_number_is_read(value: object, number: int) -> None:
    """A whole number, also as text."""
    assert values.whole_number(value) == number


@pytest.mark.parametrize(
    ("value", "reason"),
    [(-1, "too low"), (1.5, "not a whole number"), ("three", "not a whole"), (True, "not a whole"), (9**9, "too high")],
)
def test_bad_whole_number_is_refused(value: object, reason: str) -> None:
    """What is no whole number in the range is refused."""
    assert reason in refused(values.whole_number, value).message


@pytest.mark.parametrize(("value", "amount"), [(0.5, 0.5), (2, 2.0), ("0.50", 0.5), (0, 0.0)])
def test_money_is_read(value: object, amount: float) -> None:
    """An amount of US dollars."""
    assert values.money(value) == amount


@pytest.mark.parametrize(
    ("value", "cure"),
    [
        ("$0.50", "key: 0.5"),
        ("0,50 USD", "key: 0.5"),
        (-1, "key: 1"),
        ("much", "key: 0.5"),
        (float("nan"), "key: 0.5"),
        (float("inf"), "key: 0.5"),
        (True, "key: 0.5"),
    ],
)
def test_bad_money_is_refused(value: object, cure: str) -> None:
    """Signs, words and what is not finite are refused."""
    assert cure in refused(values.money, value).fix


def test_zero_money_is_refused_where_it_would_stop_everything() -> None:
    """A cap of one run of 0 would let none start."""
    assert "no run" in refused(values.money, 0, zero=False).message


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-22T09:00", datetime(2026, 11, 22, 9, 0)),  # noqa: DTZ001 (local by contract)
        ("2026-11-22T09:00:30", datetime(2026, 11, 22, 9, 0, 30)),  # noqa: DTZ001 (as Obsidian writes it)
        ("2026-11-22 9:05", datetime(2026, 11, 22, 9, 5)),  # noqa: DTZ001
    ],
)
def test_local_datetime_is_read(value: str, moment: datetime) -> None:
    """A local date-time, with T or a blank."""
    assert values.local_datetime(value) == moment


@pytest.mark.parametrize(
    ("value", "reason", "cure"),
    [
        ("2026-02-30T09:00", "no 2026-02-30", "2026-02-28"),
        ("2025-02-29", "no 2025-02-29", "2025-02-28"),
        ("2026-12-32", "no 2026-12-32", "2026-12-31"),
        ("2026-13-01", "no month 13", "01 to 12"),
        ("2026-11-22T24:00", "no time of day", "2026-11-22T09:00"),
        ("2026-11-22T09:00Z", "offset", "2026-11-22T09:00"),
        ("2026-11-22T09:00+01:00", "offset", "timezone"),
        ("2026-11-22T09:00:00.000", "fraction", "2026-11-22T09:00:00"),
        ("7:30", "no date", 'cron: "30 7 * * *"'),
        ("tomorrow", "not a date", "2026-11-22"),
        ("22.11.2026", "not a date", "2026-11-22"),
        ("0001-01-01", "out of range", "2030"),
        ("9999-12-31", "out of range", "2030"),
        (20261122, "not a date", "2026-11-22"),
        ("“2026-11-22”", "curly quotes", '"2026-11-22"'),
    ],
)
def test_impossible_date_is_refused_with_a_cure(value: object, reason: str, cure: str) -> None:
    """Dates that no calendar has, other formats and offsets are refused."""
    error = refused(values.date_or_datetime, value)
    assert reason in error.message
    assert cure in error.fix


def test_date_without_time_is_no_datetime() -> None:
    """Where a time of day is needed, a date alone is refused with one added."""
    assert values.date_or_datetime("2026-11-22") == date(2026, 11, 22)
    assert "2026-11-22T09:00" in refused(values.local_datetime, "2026-11-22").fix


@pytest.mark.parametrize(
    ("value", "items"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), ([], ()), ([7], ("7",)), (["a", None, ""], ("a",)), (["a "], ("a",))],
)
def test_text_list_is_read(value: object, items: tuple[str, ...]) -> None:
    """One text is a list of one; items that were left empty do not count."""
    assert values.text_list(value) == items


@pytest.mark.parametrize(
    ("value", "cure"),
    [([["Parent"]], '"[[Parent]]"'), ([{"a": 1}], "in quotes"), ([1.5], "in quotes"), (["“a”"], '"a"')],
)
def test_bad_text_list_is_refused(value: object, cure: str) -> None:
    """An unquoted link, mappings, and types that change on the way are refused."""
    assert cure in refused(values.text_list, value).fix


@pytest.mark.parametrize("value", [3.10, True, {"a": 1}, "‘x’", "  "])
def test_what_is_not_plainly_text_is_refused(value: object) -> None:
    """3.10 would become 3.1: it must be quoted."""
    assert refused(values.text, value).fix


def test_curly_quotes_within_a_text_are_text() -> None:
    """Only quotes around the whole value were meant as YAML's."""
    assert values.text("say “hi” now") == "say “hi” now"
    assert values.prose("“Be kind” and “brief”") == "“Be kind” and “brief”"


def test_choice_is_refused_with_the_nearest_word() -> None:
    """An unknown word names the nearest and all possible ones."""
    assert values.choice("Latest", "catch_up", CatchUp) is CatchUp.LATEST
    error = refused(lambda value, key: values.choice(value, key, CatchUp), "lastest")
    assert error.fix == "Write `key: latest`; possible are latest, skip, all"


@given(st.text(max_size=40))
def test_pasted_line_has_the_meaning_it_shows(text: str) -> None:
    """A line out of a fix is read by YAML as exactly the value that it is about."""
    text = re.sub("[\ud800-\udfff\ufffe\uffff]", "", text)
    if not text.isprintable() or not text.strip():
        return
    assert yaml_core.load(f"key: {values.quoted(text)}") == {"key": text}
