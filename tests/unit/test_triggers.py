from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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


NEW_YORK, BERLIN, LONDON = "America/New_York", "Europe/Berlin", "Europe/London"
LORD_HOWE, TROLL, HAVANA, BEIRUT = "Australia/Lord_Howe", "Antarctica/Troll", "America/Havana", "Asia/Beirut"
CHATHAM, DUBLIN = "Pacific/Chatham", "Europe/Dublin"


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


STRETCHES = ["30 2 * * *", "*/30 * * * *", "0 */2 * * *", "15 1,2,3 * * 0", "0 0 29 2 *", "*/7 1-3 * 3,4,10,11 *"]


@given(
    expression=st.sampled_from(STRETCHES),
    zone=st.sampled_from([NEW_YORK, BERLIN, LORD_HOWE, TROLL, HAVANA, BEIRUT, CHATHAM]),
    minutes=st.integers(0, 366 * 24 * 60),
    parts=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_the_first_fire_time_after_a_moment_is_so_for_all_moments_between(
    expression: str, zone: str, minutes: int, parts: list[float]
) -> None:
    """What a trigger remembers, and what is kept of it, is the answer for a whole stretch, clocks set or not."""
    moment = NEW_YEAR + timedelta(minutes=minutes)
    trigger = CronTrigger(expression, ZoneInfo(zone))
    fire = trigger.next_after(moment)
    assert fire is not None
    assert trigger.known == (moment, fire)
    for part in [*parts, 1 - 1e-12]:
        between = min(moment + part * (fire - moment), fire - timedelta(microseconds=1))
        assert CronTrigger(expression, ZoneInfo(zone)).next_after(between) == fire
        assert trigger.next_after(between) == fire
    assert trigger.next_after(fire) == CronTrigger(expression, ZoneInfo(zone)).next_after(fire) != fire
    before = moment - timedelta(days=1)
    assert trigger.next_after(before) == CronTrigger(expression, ZoneInfo(zone)).next_after(before)
