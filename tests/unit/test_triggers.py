from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_scheduler.errors import BadExpression, BadValue
from vault_scheduler.triggers.schedule import (
    CronTrigger,
    Due,
    IntervalTrigger,
    OnceTrigger,
    Schedule,
    interval_anchor,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first_fires(expression: str, zone: str, after: datetime, count: int) -> list[datetime]:
    trigger, found = CronTrigger(expression, ZoneInfo(zone)), [after]
    for _ in range(count):
        following = trigger.next_after(found[-1])
        assert following is not None
        assert following.tzinfo is UTC
        found.append(following)
    return found[1:]


def local_fires(expression: str, zone: str, after: str, count: int) -> str:
    """The next fire times on the zone's clock: `DD HH:MM±offset`."""
    instants = first_fires(expression, zone, datetime.fromisoformat(after), count)
    local = [instant.astimezone(ZoneInfo(zone)) for instant in instants]
    return ", ".join(f"{moment:%d %H:%M}{moment.isoformat()[19:]}" for moment in local)


# zone, expression, strictly after, the next fire times on the zone's clock; each line names what could go wrong
NEW_YORK, BERLIN, LONDON = "America/New_York", "Europe/Berlin", "Europe/London"
LORD_HOWE, TROLL, HAVANA, BEIRUT = "Australia/Lord_Howe", "Antarctica/Troll", "America/Havana", "Asia/Beirut"
SAO_PAULO, PYONGYANG, APIA, ST_JOHNS = "America/Sao_Paulo", "Asia/Pyongyang", "Pacific/Apia", "America/St_Johns"
CHATHAM, CASABLANCA, DUBLIN, CASEY = "Pacific/Chatham", "Africa/Casablanca", "Europe/Dublin", "Antarctica/Casey"
KATHMANDU, CARACAS = "Asia/Kathmandu", "America/Caracas"

SPRING = [
    # fixed time in the gap: once, at the gap's end
    (NEW_YORK, "30 2 * * *", "2026-03-07T12:00-05:00", "08 03:00-04:00, 09 02:30-04:00"),
    # two fixed times in the gap: one fire
    (NEW_YORK, "0,30 2 * * *", "2026-03-07T12:00-05:00", "08 03:00-04:00, 09 02:00-04:00"),
    # a gap hit and a hit at the gap's end: one fire
    (NEW_YORK, "30 2,3 * * *", "2026-03-07T12:00-05:00", "08 03:00-04:00, 08 03:30-04:00, 09 02:30-04:00"),
    (NEW_YORK, "0 2,3 * * *", "2026-03-07T12:00-05:00", "08 03:00-04:00, 09 02:00-04:00"),
    # asked right before, at and after the gap's end
    (NEW_YORK, "30 2 * * *", "2026-03-08T01:59:59-05:00", "08 03:00-04:00"),
    (NEW_YORK, "30 2 * * *", "2026-03-08T03:00-04:00", "09 02:30-04:00"),
    # wildcard hour: every real hour, none for 02:00
    (NEW_YORK, "0 * * * *", "2026-03-08T00:30-05:00", "08 01:00-05:00, 08 03:00-04:00, 08 04:00-04:00"),
    # every second hour: 02:00 does not exist and nothing stands in for it
    (NEW_YORK, "0 */2 * * *", "2026-03-08T00:00-05:00", "08 04:00-04:00, 08 06:00-04:00"),
    # wildcard minutes in an hour that does not exist: not on that day
    (NEW_YORK, "* 2 * * *", "2026-03-07T02:59-05:00", "09 02:00-04:00, 09 02:01-04:00"),
    (NEW_YORK, "*/15 2 * * *", "2026-03-07T02:45-05:00", "09 02:00-04:00"),
    # 0-23 is fixed, though it is every hour: 02:00 falls on 03:00
    (NEW_YORK, "0 0-23 * * *", "2026-03-08T00:30-05:00", "08 01:00-05:00, 08 03:00-04:00, 08 04:00-04:00"),
    # the gap is on a Sunday: a weekday task knows nothing of it
    (NEW_YORK, "30 2 * * 1-5", "2026-03-06T12:00-05:00", "09 02:30-04:00"),
    (BERLIN, "30 2 29 3 *", "2026-01-01T00:00+01:00", "29 03:00+02:00, 29 02:30+02:00"),
    (LONDON, "30 1 * * *", "2026-03-28T12:00+00:00", "29 02:00+01:00, 30 01:30+01:00"),
    # winter time as negative DST makes no difference
    (DUBLIN, "30 1 * * *", "2026-03-28T12:00+00:00", "29 02:00+01:00, 30 01:30+01:00"),
    # half an hour
    (LORD_HOWE, "15 2 * * *", "2026-10-03T12:00+10:30", "04 02:30+11:00, 05 02:15+11:00"),
    (LORD_HOWE, "*/20 * * * *", "2026-10-04T01:30+10:30", "04 01:40+10:30, 04 02:40+11:00, 04 03:00+11:00"),
    (LORD_HOWE, "0 */2 * * *", "2026-10-04T00:30+10:30", "04 04:00+11:00"),
    # two hours
    (TROLL, "30 1,2 * * *", "2026-03-28T12:00+00:00", "29 03:00+02:00, 30 01:30+02:00"),
    (TROLL, "0 * * * *", "2026-03-29T00:00+00:00", "29 03:00+02:00, 29 04:00+02:00"),
    # no midnight
    (HAVANA, "0 0 * * *", "2026-03-07T12:00-05:00", "08 01:00-04:00, 09 00:00-04:00"),
    (BEIRUT, "@daily", "2026-03-28T12:00+02:00", "29 01:00+03:00, 30 00:00+03:00"),
    (SAO_PAULO, "30 0 * * *", "2018-11-03T12:00-03:00", "04 01:00-02:00, 05 00:30-02:00"),
    (HAVANA, "@hourly", "2026-03-07T23:00-05:00", "08 01:00-04:00"),
    # the clocks change at one past midnight
    (ST_JOHNS, "0 0 14 3 *", "2010-03-01T00:00-03:30", "14 00:00-03:30"),
    (ST_JOHNS, "1 0 * * *", "2010-03-13T12:00-03:30", "14 01:01-02:30, 15 00:01-02:30"),
    # at a quarter to three
    (CHATHAM, "0 3 * * *", "2026-09-26T12:00+12:45", "27 03:45+13:45, 28 03:00+13:45"),
    # the end of Ramadan
    (CASABLANCA, "15 2 * * *", "2026-03-21T12:00+00:00", "22 03:00+01:00, 23 02:15+01:00"),
    # a zone's base offset changes
    (PYONGYANG, "45 23 * * *", "2018-05-04T12:00+08:30", "05 00:00+09:00, 05 23:45+09:00"),
    (KATHMANDU, "5 0 * * *", "1985-12-31T12:00+05:30", "01 00:15+05:45, 02 00:05+05:45"),
    (CARACAS, "45 2 * * *", "2016-04-30T12:00-04:30", "01 03:00-04:00, 02 02:45-04:00"),
    # three hours count as a change of the clocks
    (CASEY, "0 5 * * *", "2018-10-06T12:00+08:00", "07 07:00+11:00, 08 05:00+11:00"),
    # a whole day that never was does not: nothing fires for 30 December
    (APIA, "30 9 * * *", "2011-12-29T08:00-10:00", "29 09:30-10:00, 31 09:30+14:00"),
    (APIA, "0 0 30 12 *", "2011-12-01T00:00-10:00", "30 00:00+14:00"),
    (APIA, "0 */12 * * *", "2011-12-29T11:00-10:00", "29 12:00-10:00, 31 00:00+14:00, 31 12:00+14:00"),
]

AUTUMN = [
    # fixed time that exists twice: the first
    (NEW_YORK, "30 1 * * *", "2026-10-31T12:00-04:00", "01 01:30-04:00, 02 01:30-05:00"),
    # asked in the second pass, before and after that time of day
    (NEW_YORK, "30 1 * * *", "2026-11-01T01:10-05:00", "02 01:30-05:00"),
    (NEW_YORK, "30 1 * * *", "2026-11-01T01:40-05:00", "02 01:30-05:00"),
    (NEW_YORK, "0 1-4 * * *", "2026-11-01T00:30-04:00", "01 01:00-04:00, 01 02:00-05:00, 01 03:00-05:00"),
    (NEW_YORK, "10 1,2,3 * * *", "2026-11-01T01:20-04:00", "01 02:10-05:00, 01 03:10-05:00"),
    # wildcards: real time, both passes
    (NEW_YORK, "0 * * * *", "2026-11-01T00:30-04:00", "01 01:00-04:00, 01 01:00-05:00, 01 02:00-05:00"),
    (
        NEW_YORK,
        "*/30 1 * * *",
        "2026-11-01T01:00-04:00",
        "01 01:30-04:00, 01 01:00-05:00, 01 01:30-05:00, 02 01:00-05:00",
    ),
    (NEW_YORK, "30 * * * *", "2026-11-01T01:29:59.999999-05:00", "01 01:30-05:00, 01 02:30-05:00"),
    # 0-23 is fixed: an hour without a fire
    (NEW_YORK, "0 0-23 * * *", "2026-11-01T00:30-04:00", "01 01:00-04:00, 01 02:00-05:00"),
    (BERLIN, "30 2 * * *", "2026-10-24T12:00+02:00", "25 02:30+02:00, 26 02:30+01:00"),
    (BERLIN, "0 2 * * *", "2026-10-24T12:00+02:00", "25 02:00+02:00, 26 02:00+01:00"),
    (BERLIN, "0 3 * * *", "2026-10-24T12:00+02:00", "25 03:00+01:00, 26 03:00+01:00"),
    (LONDON, "59 1 * * 0", "2026-10-24T12:00+01:00", "25 01:59+01:00, 01 01:59+00:00"),
    (DUBLIN, "30 1 * * *", "2026-10-24T12:00+01:00", "25 01:30+01:00, 26 01:30+00:00"),
    # half an hour: only the half that repeats
    (LORD_HOWE, "25,46 * * * *", "2026-04-05T01:30+11:00", "05 01:46+11:00, 05 01:46+10:30, 05 02:25+10:30"),
    (LORD_HOWE, "45 1 * * *", "2026-04-04T12:00+11:00", "05 01:45+11:00, 06 01:45+10:30"),
    # two hours
    (TROLL, "*/30 1 * * *", "2026-10-25T01:00+02:00", "25 01:30+02:00, 25 01:00+00:00, 25 01:30+00:00"),
    (TROLL, "15 1,2 * * *", "2026-10-25T00:00+02:00", "25 01:15+02:00, 25 02:15+02:00, 26 01:15+00:00"),
    # midnight comes twice
    (HAVANA, "0 0 * * *", "2026-10-31T12:00-04:00", "01 00:00-04:00, 02 00:00-05:00"),
    (HAVANA, "@hourly", "2026-11-01T00:00-04:00", "01 00:00-05:00, 01 01:00-05:00"),
    # back into the day before
    (BEIRUT, "30 23 * * *", "2026-10-24T12:00+03:00", "24 23:30+03:00, 25 23:30+02:00"),
    (BEIRUT, "0 0 * * *", "2026-10-24T12:00+03:00", "25 00:00+02:00, 26 00:00+02:00"),
    (
        BEIRUT,
        "*/20 23 * * *",
        "2026-10-24T23:20+03:00",
        "24 23:40+03:00, 24 23:00+02:00, 24 23:20+02:00, 24 23:40+02:00",
    ),
    (SAO_PAULO, "0 0 * * 0", "2018-02-17T12:00-02:00", "18 00:00-03:00, 25 00:00-03:00"),
    # back over midnight, when one minute of the new day has gone by
    (ST_JOHNS, "0 0 * * *", "2010-11-06T12:00-02:30", "07 00:00-02:30, 08 00:00-03:30"),
    (ST_JOHNS, "* 0 * * *", "2010-11-06T23:59-02:30", "07 00:00-02:30, 07 00:00-03:30, 07 00:01-03:30"),
    (CHATHAM, "0 3 * * *", "2026-04-04T12:00+13:45", "05 03:00+13:45, 06 03:00+12:45"),
    (CASABLANCA, "30 2 * * *", "2026-02-14T12:00+01:00", "15 02:30+01:00, 16 02:30+00:00"),
    (
        PYONGYANG,
        "*/12 23 * * *",
        "2015-08-14T23:36+09:00",
        "14 23:48+09:00, 14 23:36+08:30, 14 23:48+08:30, 15 23:00+08:30",
    ),
    (PYONGYANG, "40 23 * * *", "2015-08-14T12:00+09:00", "14 23:40+09:00, 15 23:40+08:30"),
    (CARACAS, "45 2 * * *", "2007-12-08T12:00-04:00", "09 02:45-04:00, 10 02:45-04:30"),
    (CASEY, "30 1,3 * * *", "2018-03-10T12:00+11:00", "11 01:30+11:00, 11 03:30+11:00, 12 01:30+08:00"),
]
NIGHTS = [*SPRING, *AUTUMN]


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"), NIGHTS, ids=[f"{c[0]} {c[1]} {c[2]}" for c in NIGHTS]
)
def test_cron_follows_debians_rule_when_the_clocks_change(
    zone: str, expression: str, after: str, expected: str
) -> None:
    """Fixed times fire once on both nights; wildcards in real time; nothing is invented, nothing lost."""
    assert local_fires(expression, zone, after, expected.count(",") + 1) == expected


CHANGES = [
    (NEW_YORK, "2026-03-08"), (NEW_YORK, "2026-11-01"), (BERLIN, "2026-03-29"), (BERLIN, "2026-10-25"),
    (LORD_HOWE, "2026-04-05"), (LORD_HOWE, "2026-10-04"), (TROLL, "2026-03-29"), (TROLL, "2026-10-25"),
    (HAVANA, "2026-03-08"), (HAVANA, "2026-11-01"), (BEIRUT, "2026-03-29"), (BEIRUT, "2026-10-25"),
    (SAO_PAULO, "2018-02-18"), (SAO_PAULO, "2018-11-04"), (PYONGYANG, "2015-08-15"), (PYONGYANG, "2018-05-05"),
    (APIA, "2011-04-02"), (APIA, "2011-12-30"), (ST_JOHNS, "2010-03-14"), (ST_JOHNS, "2010-11-07"),
    (CHATHAM, "2026-04-05"), (CHATHAM, "2026-09-27"), (CASABLANCA, "2026-02-15"), (CASABLANCA, "2026-03-22"),
    (DUBLIN, "2026-03-29"), (DUBLIN, "2026-10-25"), (KATHMANDU, "1986-01-01"), (CARACAS, "2007-12-09"),
    (CARACAS, "2016-05-01"), ("Asia/Gaza", "2026-10-24"), ("America/Santiago", "2026-09-06"),
    ("Atlantic/Azores", "2026-03-29"), ("Asia/Tehran", "2022-09-22"), ("Pacific/Kwajalein", "1993-08-21"),
    ("Pacific/Norfolk", "2015-10-04"), ("America/Adak", "2026-03-08"),
]  # fmt: skip


@lru_cache(maxsize=64)
def wall_minutes(zone: str, day: str) -> list[tuple[datetime, datetime]]:
    """(instant, what the clock shows) for every minute from thirty hours before to thirty-six after."""
    begin = utc(day) - 30 * HOUR
    instants = [begin + minute * MINUTE for minute in range(66 * 60)]
    return [(instant, instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)) for instant in instants]


def debian_cron(
    minutes: list[tuple[datetime, datetime]], is_named: Callable[[datetime], bool], *, wildcard: bool
) -> list[datetime]:
    """Every start that the main loop of Debian's cron makes, from its second minute on.

    It keeps a virtual minute that follows the wall clock. A jump ahead of up to three hours runs what is fixed for
    every minute jumped over, a wildcard for the current minute alone; while the wall clock is up to three hours
    behind, wildcards run and the virtual minute waits; larger jumps only set it. (A gap of exactly three hours, in
    which the loop is one minute over its limit, is not in the sample.)
    """
    starts: list[datetime] = []
    virtual = minutes[0][1]
    for instant, wall in minutes[1:]:
        ahead = (wall - virtual) // MINUTE
        run = [wall]
        if 1 < ahead <= 5 or (5 < ahead <= 180 and not wildcard):
            run = [virtual + minute * MINUTE for minute in range(1, ahead + 1)]
        elif -180 <= ahead <= 0 and not wildcard:
            run = []
        starts += [instant] * any(map(is_named, run))
        virtual = virtual if -180 <= ahead <= 0 else wall
    return starts


def column(top: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A minute or hour field, and the values it names."""
    every = st.just(("*", frozenset(range(top + 1))))
    steps = st.integers(1, top).map(lambda step: (f"*/{step}", frozenset(range(0, top + 1, step))))
    listed = st.lists(st.integers(0, top), min_size=1, max_size=4).map(
        lambda values: (",".join(map(str, values)), frozenset(values))
    )
    spans = st.tuples(st.integers(0, top), st.integers(0, top)).map(
        lambda both: (f"{min(both)}-{max(both)}", frozenset(range(min(both), max(both) + 1)))
    )
    return st.one_of(every, steps, listed, spans)


NIGHT_HOURS = st.lists(st.sampled_from([22, 23, 0, 1, 2, 3, 4, 5]), min_size=1, max_size=3).map(
    lambda values: (",".join(map(str, values)), frozenset(values))
)
WEEKDAYS = st.one_of(
    st.just(("*", frozenset(range(7)))),
    st.lists(st.integers(0, 6), min_size=1, max_size=4).map(lambda days: (",".join(map(str, days)), frozenset(days))),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CHANGES), column(59), st.one_of(NIGHT_HOURS, column(23)), WEEKDAYS)
def test_cron_starts_what_debians_loop_starts(
    change: tuple[str, str],
    minute: tuple[str, frozenset[int]],
    hour: tuple[str, frozenset[int]],
    weekday: tuple[str, frozenset[int]],
) -> None:
    """Minute for minute around changes of the clocks in twenty zones, iterating and restarted anywhere."""
    zone, day = change
    expression = f"{minute[0]} {hour[0]} * * {weekday[0]}"

    def is_named(wall: datetime) -> bool:
        return wall.minute in minute[1] and wall.hour in hour[1] and wall.isoweekday() % 7 in weekday[1]

    minutes = wall_minutes(zone, day)
    expected = debian_cron(minutes, is_named, wildcard=expression[0] == "*" or hour[0][0] == "*")
    trigger = CronTrigger(expression, ZoneInfo(zone))
    begin, end = minutes[0][0], minutes[-1][0]
    assert list(Schedule((trigger,)).fires(begin, end)) == expected
    for moment in [*range(0, len(minutes), 97), *range(24 * 60, 40 * 60, 13)]:
        asked = minutes[moment][0] + timedelta(seconds=moment % 60, microseconds=moment)
        following = trigger.next_after(asked)
        assert following is not None
        assert following == next((start for start in expected if start > asked), following)
        assert trigger.count(asked, end) == (sum(start > asked for start in expected), True)


def test_a_year_of_a_daily_task_is_a_fire_a_day_in_every_zone() -> None:
    """Whatever the hour and the zone, 365 local days give 365 fire times, about a day apart."""
    for zone, hour in itertools.product(
        [NEW_YORK, BERLIN, LORD_HOWE, TROLL, HAVANA, BEIRUT, CHATHAM, DUBLIN], range(4)
    ):
        begin = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
        trigger = CronTrigger(f"30 {hour} * * *", ZoneInfo(zone))
        assert len(list(Schedule((trigger,)).fires(begin, begin.replace(year=2027)))) == 365


def test_a_refused_expression_makes_no_trigger() -> None:
    """The reasons of the grammar come through, and a date that no year has is found by trying."""
    for expression in ("0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 5 4 * * *"):
        with pytest.raises(BadExpression) as refused:
            CronTrigger(expression, ZoneInfo("UTC"))
        assert refused.value.fix
    assert CronTrigger("0 0 31 2 MON", ZoneInfo("UTC")).next_after(NEW_YEAR) == utc("2026-02-02")  # Mondays in February


def test_a_cron_trigger_keeps_its_text_and_warnings() -> None:
    """What is shown is what was written, blanks tidied."""
    trigger = CronTrigger("  */7  * * *  * ", ZoneInfo(BERLIN), "task")
    assert trigger.text == "*/7 * * * *"
    assert len(trigger.warnings) == 1
    assert trigger == CronTrigger("  */7  * * *  * ", ZoneInfo(BERLIN), "task")


def test_moments_of_any_zone_are_understood() -> None:
    """The question may be put in another zone, the answer is in UTC."""
    trigger = CronTrigger("0 9 * * *", ZoneInfo(BERLIN))
    asked = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert trigger.next_after(asked) == utc("2026-07-01T07:00")


@pytest.mark.parametrize("expression", ["* * * * *", "0 0 * * *", "0 0 29 2 *", "0 12 31 12 *"])
def test_the_calendars_end_is_the_end(expression: str) -> None:
    """Asked on its last day, every trigger answers, if only with None."""
    last = datetime(9999, 12, 31, 23, 59, 30, tzinfo=UTC)
    for zone in ("UTC", "Asia/Tokyo", NEW_YORK):
        found = CronTrigger(expression, ZoneInfo(zone)).next_after(last)
        assert found is None or found > last
    assert IntervalTrigger(HOUR, interval_anchor(ZoneInfo("UTC"))).next_after(last) is None


def test_an_interval_is_multiples_of_its_period_from_the_anchor() -> None:
    """No state: asked anywhere, also before the anchor and inside of a second, the multiples are the same."""
    trigger = IntervalTrigger(90 * MINUTE, utc("2026-01-01T00:10"))
    assert trigger.next_after(utc("2026-01-01T00:10")) == utc("2026-01-01T01:40")
    assert trigger.next_after(utc("2026-01-01T00:09:59.999999")) == utc("2026-01-01T00:10")
    assert trigger.next_after(utc("2025-12-31T00:00")) == utc("2025-12-31T00:10")


def test_an_interval_is_elapsed_time_over_changes_of_the_clocks() -> None:
    """`every: 1h` fires each real hour; from local midnight 2000-01-01 unless told otherwise."""
    berlin = ZoneInfo(BERLIN)
    assert interval_anchor(berlin) == utc("1999-12-31T23:00")
    assert interval_anchor(ZoneInfo("Asia/Kathmandu")) == utc("1999-12-31T18:15")
    schedule = Schedule((IntervalTrigger(HOUR, interval_anchor(berlin)),))
    night = list(schedule.fires(utc("2026-10-24T22:00"), utc("2026-10-25T03:00")))
    assert [later - earlier for earlier, later in itertools.pairwise(night)] == [HOUR] * 4


def test_an_interval_below_a_second_is_refused() -> None:
    """From one second on; zero would never advance."""
    for period in (timedelta(0), timedelta(milliseconds=999), timedelta(seconds=-5)):
        with pytest.raises(BadValue, match="at least one second"):
            IntervalTrigger(period, NEW_YEAR)


def test_one_shots_come_in_order_and_once() -> None:
    """Instants may be written in any order, twice, and in any zone."""
    trigger = OnceTrigger(
        (utc("2026-05-02T08:00"), datetime(2026, 5, 1, 9, tzinfo=ZoneInfo(BERLIN)), utc("2026-05-01T07:00"))
    )
    assert trigger.instants == (utc("2026-05-01T07:00"), utc("2026-05-02T08:00"))
    assert trigger.next_after(utc("2026-05-01T07:00")) == utc("2026-05-02T08:00")
    assert trigger.next_after(utc("2026-05-02T08:00")) is None


def cron(expression: str, zone: str = "UTC") -> CronTrigger:
    return CronTrigger(expression, ZoneInfo(zone))


def every(period: timedelta) -> IntervalTrigger:
    return IntervalTrigger(period, NEW_YEAR)


def test_an_instant_that_several_triggers_name_is_one_fire_time() -> None:
    """Cron, every and at meet in one series without doubles."""
    schedule = Schedule((cron("0 * * * *"), every(30 * MINUTE), OnceTrigger((NEW_YEAR + HOUR, NEW_YEAR + 70 * MINUTE))))
    minutes = [(fire - NEW_YEAR) // MINUTE for fire in schedule.fires(NEW_YEAR, NEW_YEAR + 2 * HOUR)]
    assert minutes == [30, 60, 70, 90, 120]
    assert schedule.due(NEW_YEAR, NEW_YEAR + 2 * HOUR, 2) == Due(
        first=NEW_YEAR + 30 * MINUTE, count=5, newest=(NEW_YEAR + 90 * MINUTE, NEW_YEAR + 120 * MINUTE)
    )


def test_start_and_until_are_included() -> None:
    """The first and the last instant of the bounds may themselves be fire times."""
    schedule = Schedule((every(HOUR),), start=NEW_YEAR + 2 * HOUR, until=NEW_YEAR + 4 * HOUR)
    hours = [(fire - NEW_YEAR) // HOUR for fire in schedule.fires(NEW_YEAR, NEW_YEAR + DAY)]
    assert hours == [2, 3, 4]
    assert schedule.next_after(NEW_YEAR - DAY) == NEW_YEAR + 2 * HOUR
    assert schedule.next_after(NEW_YEAR + 4 * HOUR) is None
    due = schedule.due(NEW_YEAR, NEW_YEAR + DAY, 1)
    assert due == Due(first=NEW_YEAR + 2 * HOUR, count=3, newest=(NEW_YEAR + 4 * HOUR,))


def test_an_empty_schedule_is_never_due() -> None:
    """A task that only others start names no instants."""
    assert Schedule().next_after(NEW_YEAR) is None
    assert list(Schedule().fires(NEW_YEAR, NEW_YEAR + DAY)) == []
    assert Schedule().due(NEW_YEAR, NEW_YEAR + DAY, 5) is None
    assert not Schedule().is_one_shot


def test_nothing_is_due_in_an_empty_span() -> None:
    """Neither between two fire times nor when the clock went backward."""
    schedule = Schedule((cron("0 * * * *"), every(HOUR)))
    assert schedule.due(NEW_YEAR, NEW_YEAR + 59 * MINUTE, 5) is None
    assert schedule.due(NEW_YEAR + DAY, NEW_YEAR, 5) is None
    assert schedule.due(NEW_YEAR, NEW_YEAR, 5) is None


def test_only_at_alone_is_one_shot() -> None:
    """Beside a trigger that repeats, `at` does not make a one-shot."""
    once = OnceTrigger((NEW_YEAR,))
    assert Schedule((once,)).is_one_shot
    assert not Schedule((once, every(HOUR))).is_one_shot


TRIGGERS = [
    cron("* * * * *", NEW_YORK), cron("30 2 * * *", NEW_YORK), cron("*/20 1-3 * * *", BERLIN), cron("0 0 1,15 * *"),
    cron("0 9 * * 1-5", LORD_HOWE), every(37 * MINUTE), every(DAY),
    OnceTrigger((utc("2026-03-08T07:00"), utc("2026-11-01T06:00"))),
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(TRIGGERS), min_size=1, max_size=3, unique_by=id),
    st.sampled_from([utc("2026-03-06"), utc("2026-03-28"), utc("2026-10-31"), utc("2026-10-02T13:30")]),
    st.timedeltas(timedelta(0), timedelta(hours=60)),
    st.integers(0, 120),
)
def test_due_is_the_fire_times_in_short(
    triggers: list[CronTrigger | IntervalTrigger | OnceTrigger], after: datetime, length: timedelta, newest: int
) -> None:
    """First, count and newest are those of the whole series; only a count over the limit may be less."""
    schedule = Schedule(tuple(triggers))
    fires = list(schedule.fires(after, after + length))
    due = schedule.due(after, after + length, newest)
    if not fires:
        assert due is None
        return
    assert due is not None
    assert due.newest == tuple(fires[-newest:] if newest else ())
    assert due.first == fires[0]
    assert due.count == len(fires) if due.exact else 1000 < due.count <= len(fires)


DOWNTIME = [
    ((every(timedelta(seconds=1)),), 16 * 365 * 86400 + 4 * 86400, True),
    ((cron("* * * * *", NEW_YORK),), 16 * 365 * 1440 + 4 * 1440, True),
    ((cron("0-59 * * * *"),), 16 * 365 * 1440 + 4 * 1440, True),
    ((cron("0 9 * * 1-5", BERLIN),), 1001, False),
    ((cron("0 9 1 * *", BERLIN),), 192, True),
    ((cron("* * 1 1 *", BERLIN),), 16 * 1440, True),
    ((cron("0 0 29 2 *"),), 4, True),
    ((cron("* * * * *"), every(timedelta(seconds=1))), 16 * 365 * 86400 + 4 * 86400, False),
    (tuple(cron(f"{minute} * * * *") for minute in range(0, 60, 6)), (16 * 365 + 4) * 24, False),
]


@pytest.mark.timeout(10)  # it takes about 0.02 s; stepping through all of them takes minutes
@pytest.mark.parametrize(("triggers", "count", "exact"), DOWNTIME)
def test_due_is_quick_after_years_of_downtime(triggers: tuple[CronTrigger, ...], count: int, exact: bool) -> None:
    """Sixteen years of seconds or minutes are told in no time; beyond the limits the count is a lower bound."""
    schedule, after, upto = Schedule(triggers), utc("2010-01-01"), utc("2026-01-01")
    due = schedule.due(after, upto, 100)
    assert due is not None
    assert (due.count, due.exact) == (count, exact)
    assert len(due.newest) == min(100, count)
    assert due.newest[-1] <= upto


def test_schedules_compare_by_what_they_declare() -> None:
    """Two equal notes give equal schedules, so that nothing looks like an edit."""
    one = Schedule((cron("0 7 * * *", BERLIN), every(HOUR)), start=NEW_YEAR)
    assert one == Schedule((cron("0 7 * * *", BERLIN), every(HOUR)), start=NEW_YEAR)
    assert one != replace(one, start=None)
    assert one != Schedule((cron("0 7 * * *", LONDON), every(HOUR)), start=NEW_YEAR)
