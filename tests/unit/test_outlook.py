"""What is to come: fire times in their order, and what changes of the clocks do to them, in plain words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.commands.outlook import Fires, clock_changes, of_cron, outlook, upcoming, vault_outlook
from vault_scheduler.commands.outlook_words import change_words, outlook_lines, with_changes
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger, Schedule

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SPRING = datetime(2027, 3, 28, 1, tzinfo=UTC)  # when Berlin's clocks go forward


def told(expression: str, zone: str, after: str, number: int) -> list[str]:
    """What `next --cron` prints of an expression after a local moment."""
    moment = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return [line.strip() for line in outlook_lines(of_cron(expression, zone, moment, None, number), None)]


def test_an_outlook_is_strictly_after_and_shows_changes_of_the_clocks_in_their_place() -> None:
    """A fire time that equals `after` is not ahead."""
    after = datetime(2026, 10, 24, 5, tzinfo=UTC)  # 07:00 in Berlin
    found = outlook(CronTrigger("0 7 * * *", BERLIN), BERLIN, after, None, 2)
    assert found.more
    assert outlook_lines(found, None) == [
        "  ↳ Sun 2026-10-25 03:00: the clocks go back 1 h to 02:00 (+02:00 → +01:00)",
        "  Sun 2026-10-25 07:00 +01:00",
        "  Mon 2026-10-26 07:00 +01:00",
    ]


def test_an_outlook_without_a_change_points_out_the_next_one() -> None:
    """Within a year; a zone without changes has none."""
    found = outlook(CronTrigger("0 7 * * *", BERLIN), BERLIN, NOW, None, 1)
    assert [change.at for change in found.changes] == [SPRING]
    assert outlook(CronTrigger("0 7 * * *", UTC_ZONE), UTC_ZONE, NOW, None, 1).changes == ()


def test_changes_that_cancel_each_other_between_two_fire_times_are_not_pointed_out() -> None:
    """A task of every New Year has summers between its fire times, and does not care."""
    assert told("0 0 1 1 *", "Europe/Berlin", "2026-11-22T07:00", 3) == [
        "Fri 2027-01-01 00:00 +01:00",
        "Sat 2028-01-01 00:00 +01:00",
        "Mon 2029-01-01 00:00 +01:00",
    ]
    assert [line[:16] for line in told("0 0 1 1,7 *", "Europe/Berlin", "2026-11-22T07:00", 2)] == [
        "Fri 2027-01-01 0",
        "↳ Sun 2027-03-28",
        "Thu 2027-07-01 0",
    ]


def test_a_change_after_the_last_fire_time_of_all_is_not_pointed_out() -> None:
    """It means nothing to what does not fire any more, and nothing beyond `--until` is asked for."""
    daily = CronTrigger("0 7 * * *", BERLIN)
    assert outlook(Schedule((daily,), until=NOW + timedelta(days=2)), BERLIN, NOW, None, 5).changes == ()
    assert outlook(daily, BERLIN, NOW, NOW + timedelta(days=2), 100).changes == ()


def test_an_outlook_ends_with_its_bound_included() -> None:
    """`--until` at a fire time shows it."""
    every = IntervalTrigger(timedelta(hours=1), NOW)
    found = outlook(every, BERLIN, NOW, NOW + timedelta(hours=2), 100)
    assert found.fire_times == (NOW + timedelta(hours=1), NOW + timedelta(hours=2))
    assert not found.more


def test_fire_times_of_many_tasks_come_in_order() -> None:
    """The vault's next fire times, whatever task they are of."""
    hourly = IntervalTrigger(timedelta(hours=1), NOW)
    found = upcoming([("b", hourly), ("a", IntervalTrigger(timedelta(minutes=40), NOW))], NOW, None, 3)
    assert [name for _, name in found] == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("zone", "expression", "after", "lines"),
    [
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2027-03-28T00:00",
            [
                "↳ Sun 2027-03-28 02:00: the clocks go forward 1 h to 03:00 (+01:00 → +02:00)",
                "02:30 does not exist that day: it fires at 03:00",
                "Sun 2027-03-28 03:00 +02:00",
            ],
        ),
        (
            "America/Havana",  # at midnight
            "0,30 0 * * *",
            "2027-03-13T12:00",
            [
                "↳ Sun 2027-03-14 00:00: the clocks go forward 1 h to 01:00 (-05:00 → -04:00)",
                "00:00 and 00:30 do not exist that day: they fire once, at 01:00",
                "Sun 2027-03-14 01:00 -04:00",
            ],
        ),
        (
            "Australia/Lord_Howe",  # half an hour
            "15 2 * * *",
            "2026-10-04T00:00",
            [
                "↳ Sun 2026-10-04 02:00: the clocks go forward 30 min to 02:30 (+10:30 → +11:00)",
                "02:15 does not exist that day: it fires at 02:30",
                "Sun 2026-10-04 02:30 +11:00",
            ],
        ),
        (
            "Antarctica/Troll",  # two hours
            "30 1 * * *",
            "2027-03-28T00:00",
            [
                "↳ Sun 2027-03-28 01:00: the clocks go forward 2 h to 03:00 (+00:00 → +02:00)",
                "01:30 does not exist that day: it fires at 03:00",
                "Sun 2027-03-28 03:00 +02:00",
            ],
        ),
    ],
)
def test_a_fixed_time_that_the_clocks_skip_is_told_to_be_shifted(
    zone: str, expression: str, after: str, lines: list[str]
) -> None:
    """Before the fire time that stands for it."""
    assert told(expression, zone, after, 1) == lines


@pytest.mark.parametrize(
    ("zone", "expression", "after", "words"),
    [
        ("America/New_York", "30 1 * * *", "2026-11-01T00:00", "01:30 comes twice: it fires once, the first time"),
        ("Africa/Casablanca", "0,30 2 * * *", "2027-02-07T01:00", "02:00 and 02:30 come twice: each fires once,"),
        ("Europe/Berlin", "*/30 * * * *", "2026-10-25T01:00", "02:00 and 02:30 come twice: each fires both times"),
    ],
)
def test_a_time_that_comes_twice_is_told_to_fire_once_or_both_times(
    zone: str, expression: str, after: str, words: str
) -> None:
    """Fixed times once, wildcard times in both passes; and that is what is listed."""
    lines = told(expression, zone, after, 6)
    (sentence,) = [line for line in lines if "twice" in line]
    assert sentence.startswith(words)
    fires = [line[:20] for line in lines if line[:1].isalpha()]
    assert (len(set(fires)) < len(fires)) == ("both" in words)


def test_wildcard_times_that_the_clocks_skip_are_told_not_to_fire() -> None:
    """Many are counted."""
    assert "02:00 and 02:30 do not exist that day, so they do not fire" in told(
        "*/30 * * * *", "Europe/Berlin", "2027-03-28T01:00", 2
    )
    assert "12 fire times from 02:00 to 02:55 do not exist that day, so they do not fire" in told(
        "*/5 * * * *", "Europe/Berlin", "2027-01-01T00:00", 2
    )


def test_a_change_that_touches_no_fire_time_has_no_words_about_them() -> None:
    """A task of the mornings does not care; nor does one of Mondays, for the clocks are set on a Sunday."""
    for expression in ("0 7 * * *", "30 2 * * 1"):
        assert len(told(expression, "Europe/Berlin", "2027-03-27T12:00", 1)) == 2


def test_intervals_are_told_to_go_on_in_elapsed_time() -> None:
    """Those that fire at the same local times every day until then; an hourly one goes on doing so."""
    day, hour = (IntervalTrigger(timedelta(hours=hours), NOW) for hours in (24, 1))
    lines = outlook_lines(outlook(Schedule((day, hour)), BERLIN, SPRING - timedelta(hours=1), None, 1), None)
    assert lines[1:-1] == ["    every 1d counts elapsed time: 1 h later by the clock from then on"]


def test_intervals_are_told_to_drift_by_the_clocks_that_are_shown() -> None:
    """Another task's zone does not touch them."""
    york = ZoneInfo("America/New_York")
    named: list[tuple[str, Fires]] = [("daily", IntervalTrigger(DAY, NOW)), ("york", CronTrigger("30 2 * * *", york))]
    found = vault_outlook(named, BERLIN, NOW, None, 1)
    assert [(change.zone, [one.name for one in change.consequences]) for change in found.changes] == [
        (york, ["york"]),
        (BERLIN, ["daily"]),
    ]


def test_two_expressions_of_one_task_are_told_together() -> None:
    """What one of them fires twice, the task fires twice; what one of them moves is not lost."""
    both = Schedule((CronTrigger("0 2 * * *", BERLIN), CronTrigger("*/30 * * * *", BERLIN)))
    forward = " ".join(outlook_lines(outlook(both, BERLIN, SPRING - timedelta(hours=1), None, 5), None))
    assert "02:00 does not exist that day: it fires at 03:00" in forward
    assert "02:30 does not exist that day, so it does not fire" in forward
    back = " ".join(outlook_lines(outlook(both, BERLIN, datetime(2026, 10, 25, tzinfo=UTC), None, 5), None))
    assert "02:00 and 02:30 come twice: each fires both times" in back
    assert "once" not in back


def test_a_change_outside_of_the_bounds_of_a_task_does_not_touch_it() -> None:
    """Before `start` it fires nothing that could be shifted."""
    trigger, before = CronTrigger("30 2 * * *", BERLIN), SPRING - timedelta(days=1)
    late = outlook(Schedule((trigger,), start=SPRING + timedelta(days=1)), BERLIN, before, None, 1)
    assert [change.consequences for change in late.changes] == [()]
    (touched,) = outlook(Schedule((trigger,), start=before), BERLIN, before, None, 2).changes
    assert touched.consequences


def test_a_task_that_is_shown_in_another_zone_tells_of_the_clocks_that_shift_it() -> None:
    """With the name of their zone."""
    trigger = CronTrigger("30 2 * * *", BERLIN)
    lines = outlook_lines(outlook(trigger, UTC_ZONE, SPRING - timedelta(hours=2), None, 1), None)
    assert lines == [
        "  ↳ Sun 2027-03-28 02:00 in Europe/Berlin: the clocks go forward 1 h to 03:00 (+01:00 → +02:00)",
        "    02:30 does not exist that day: it fires at 03:00",
        "  Sun 2027-03-28 01:00 +00:00",
    ]


def test_the_vaults_outlook_names_the_tasks_that_a_change_touches() -> None:
    """Few by name, the rest by number."""
    named = [(f"task {n}", CronTrigger("30 2 * * *", BERLIN)) for n in range(6)]
    found = vault_outlook([*named, ("morning", CronTrigger("0 7 * * *", BERLIN))], BERLIN, NOW - DAY / 24, None, 1)
    assert [name for _, name in found.fires] == ["morning"]
    lines = with_changes([], found.changes, BERLIN)
    assert lines[1] == "    task 0: 02:30 does not exist that day: it fires at 03:00"
    assert lines[-1] == "    and 2 more like these"
    assert not any("morning" in line for line in lines)


def test_a_change_is_told_by_the_clock_that_is_set() -> None:
    """Ordinary time back, summer time forward, and zones that skip a day."""
    (apia,) = clock_changes(
        ZoneInfo("Pacific/Apia"), datetime(2011, 12, 1, tzinfo=UTC), datetime(2012, 1, 1, tzinfo=UTC)
    )
    assert change_words(apia, ZoneInfo("Pacific/Apia")) == (
        "Fri 2011-12-30 00:00: the clocks go forward 24 h to 00:00 (-10:00 → +14:00)"
    )
