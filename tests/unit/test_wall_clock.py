# ruff: noqa: DTZ001 - local times are naive here
from __future__ import annotations

import calendar
from datetime import datetime, timedelta

import pytest
from croniter import CroniterBadDateError, croniter
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_scheduler.triggers.cron import MONTHS, WEEKDAYS, parse_cron
from vault_scheduler.triggers.days import day_stepper
from vault_scheduler.triggers.wall_clock import WallClock, wall_clock_of


def hits(expression: str, after: datetime, count: int) -> list[datetime]:
    clock = wall_clock_of(parse_cron(expression))
    found: list[datetime] = []
    while len(found) < count:
        following = clock.next_after(after)
        assert following is not None
        found.append(after := following)
    return found


def part(low: int, high: int, names: list[str] | None = None, *, starts: bool = True) -> st.SearchStrategy[str]:
    """One field as people write it, in the dialect that both engines read alike."""
    number = st.integers(low, high)
    step = st.integers(1, high + 3)
    pair = st.tuples(number, number).map(sorted).filter(lambda both: both[0] != both[1])
    forms = [number.map(str), pair.map(lambda both: f"{both[0]}-{both[1]}")]
    if names:
        forms.append(st.sampled_from(names))
    ranges = st.tuples(pair, step).map(lambda both: f"{both[0][0]}-{both[0][1]}/{both[1]}")
    started = [st.tuples(number, step).map(lambda both: f"{both[0]}/{both[1]}")] if starts else []
    items = st.lists(st.one_of(*forms, ranges, *started), min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), step.map(lambda value: f"*/{value}"), items)


PLAIN = st.tuples(part(0, 59), part(0, 23), part(1, 31), part(1, 12, MONTHS), part(0, 7, WEEKDAYS, starts=False)).map(
    " ".join
)
LAST_DAY = st.tuples(part(0, 59), part(0, 23), st.sampled_from(["L", "1,L", "L,15"]), part(1, 12), st.just("*"))
NTH = st.tuples(st.integers(0, 6), st.integers(1, 5)).map(lambda both: f"{both[0]}#{both[1]}")
NTH_DAY = st.tuples(part(0, 59), part(0, 23), st.just("*"), part(1, 12), st.lists(NTH, min_size=1).map(",".join))
EXPRESSIONS = st.one_of(PLAIN, PLAIN, LAST_DAY.map(" ".join), NTH_DAY.map(" ".join))
STARTS = st.datetimes(datetime(1995, 1, 1), datetime(2040, 1, 1))


@settings(max_examples=400, deadline=None)
@given(st.tuples(part(1, 31), part(1, 12), part(0, 6)), st.booleans(), STARTS)
def test_the_days_are_those_that_croniter_names(days: tuple[str, str, str], both: bool, start: datetime) -> None:
    """Lists of values are looked up by ourselves, whatever the two day fields have to do with each other."""
    fields = parse_cron(f"0 0 {' '.join(days)}").normal.split()[2:]
    theirs = croniter(" ".join(["0 0", *fields]), start, day_or=not both)
    after, step = start, day_stepper(tuple(fields), both)
    for _ in range(4):
        try:
            expected = theirs.get_next(datetime)
        except CroniterBadDateError:
            assert step(after) is None
            return
        assert step(after) == expected
        after = expected


def test_the_calendar_ends() -> None:
    """Nothing comes after its last day, and nothing fails."""
    assert day_stepper(("31", "12", "*"), False)(datetime(9998, 12, 31)) == datetime(9999, 12, 31)
    assert day_stepper(("31", "12", "*"), False)(datetime(9999, 12, 31, 8)) is None
    assert day_stepper(("30", "2", "*"), False)(datetime(2026, 1, 1)) is None
    assert day_stepper(("29", "2", "1"), True)(datetime(2072, 3, 1)) == datetime(2112, 2, 29)


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, STARTS)
def test_hits_agree_with_an_independent_engine(expression: str, start: datetime) -> None:
    """Without zones, cronsim and we name the same times for any expression that both know."""
    theirs = CronSim(expression, start)
    expected = [moment for _, moment in zip(range(4), theirs, strict=False)]
    if len(expected) < 4:  # it names a date that no year has
        assert wall_clock_of(parse_cron(expression)).next_after(start) is None
        return
    assert hits(expression, start, 4) == expected


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS, STARTS, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_the_count_is_that_of_the_hits(expression: str, start: datetime, length: timedelta) -> None:
    """Counting by days and times of day gives what stepping gives."""
    clock = wall_clock_of(parse_cron(expression))
    stepped, moment = 0, clock.next_after(start)
    while moment is not None and moment <= start + length:
        stepped, moment = stepped + 1, clock.next_after(moment)
    count, left = clock.count(start, start + length, 100)
    assert count == stepped
    assert 0 <= left <= 100


def test_a_count_that_exceeds_its_budget_is_a_lower_bound() -> None:
    """Days that must be looked at one by one cost; what is left below zero says that more may follow."""
    after, upto = datetime(2000, 1, 1), datetime(2020, 1, 1)
    assert WallClock("0,30 7 * * 1", True).count(after, upto, 1000) == (2002, -1)
    assert WallClock("0,30 7 * * 1", True).count(after, upto, 2000) == (2 * 1044, 2000 - 1044)
    assert WallClock("0,30 7 * * *", True).count(after, upto, 0) == (2 * (upto - after).days, 0)


@pytest.mark.parametrize("weekday", range(8))
def test_the_last_weekday_of_every_month_is_the_calendars(weekday: int) -> None:
    """L<n> is the last such day of the month, month for month; L7 is L0."""
    expected = []
    for month in range(1, 13):
        days = range(1, calendar.monthrange(2027, month)[1] + 1)
        same = [day for day in days if datetime(2027, month, day).isoweekday() % 7 == weekday % 7]
        expected.append(datetime(2027, month, same[-1], 9))
    assert hits(f"0 9 * * L{weekday}", datetime(2026, 12, 31, 9), 12) == expected


def test_the_nearest_weekday_stays_in_its_month() -> None:
    """15W moves off a weekend to the nearest weekday; 1W never falls back into the month before."""
    assert hits("0 0 15W 8,11 *", datetime(2026, 1, 1), 2) == [datetime(2026, 8, 14), datetime(2026, 11, 16)]
    assert hits("0 0 1W 8,11 *", datetime(2026, 1, 1), 2) == [datetime(2026, 8, 3), datetime(2026, 11, 2)]


def test_a_leap_day_is_found_over_eight_years() -> None:
    """2096 and 2104 are leap years, 2100 is not."""
    assert hits("0 0 29 2 *", datetime(2095, 1, 1), 2) == [datetime(2096, 2, 29), datetime(2104, 2, 29)]


def test_seconds_and_microseconds_do_not_lose_a_hit() -> None:
    """Strictly after: a hit a microsecond ahead is found, the one that is now is not."""
    seven = datetime(2026, 5, 5, 7)
    for expression in ("0 7 * * *", "0 7 5 * *"):
        clock = wall_clock_of(parse_cron(expression))
        assert clock.next_after(seven - timedelta(microseconds=1)) == seven
        assert clock.next_after(seven) != seven
        assert clock.next_after(seven + timedelta(microseconds=1)) != seven
