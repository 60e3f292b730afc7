"""The loop that judges us, judged by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

from cronsim import CronSim

from .debian_cron import looked_for
from .expressions import EPOCH, random_expression


def clock(*stretches: tuple[int, int]) -> list[int]:
    """What a clock shows minute by minute: from the first up to the second of each pair."""
    return [minute for low, high in stretches for minute in range(low, high)]


def started(wall: list[int], minute: int, *, wildcard: bool) -> list[int]:
    return looked_for(wall, wildcard=wildcard).get(minute, [])


def test_on_a_usual_day_every_minute_is_looked_for_once() -> None:
    """But for the minute in which cron was started."""
    wall = clock((100, 110))
    for wildcard in (False, True):
        assert looked_for(wall, wildcard=wildcard) == {100 + place: [place] for place in range(1, 10)}


def test_what_an_hour_ahead_jumps_over_runs_at_its_end_if_it_is_fixed() -> None:
    """02:00 to 03:00 is missing; the minute after the gap is the tenth."""
    wall = clock((110, 120), (180, 190))
    assert started(wall, 120, wildcard=False) == started(wall, 150, wildcard=False) == [10]
    assert started(wall, 180, wildcard=False) == started(wall, 180, wildcard=True) == [10]
    assert started(wall, 120, wildcard=True) == started(wall, 150, wildcard=True) == []


def test_what_an_hour_back_repeats_runs_again_if_it_is_a_wildcard() -> None:
    """01:00 to 02:00 is there twice, at place 10 and again at place 70."""
    wall = clock((50, 120), (60, 130))
    assert started(wall, 60, wildcard=False) == [10]
    assert started(wall, 60, wildcard=True) == [10, 70]
    assert started(wall, 119, wildcard=False) == [69]
    assert started(wall, 119, wildcard=True) == [69, 129]
    assert started(wall, 120, wildcard=False) == started(wall, 120, wildcard=True) == [130]


def test_a_few_minutes_ahead_are_made_up_for_whatever_they_are() -> None:
    """Up to five; six are DST."""
    for wildcard in (False, True):
        assert started(clock((0, 10), (14, 20)), 12, wildcard=wildcard) == [10]
    assert started(clock((0, 10), (15, 20)), 12, wildcard=True) == []


def test_more_than_three_hours_either_way_are_a_correction() -> None:
    """Nothing is made up for, and everything repeats. A gap of three hours is 181 minutes for the loop."""
    for length, made_up in ((179, [10]), (180, [])):
        assert started(clock((0, 10), (10 + length, 250)), 100, wildcard=False) == made_up
    for length, places in ((181, [150]), (182, [150, 332])):
        back = clock((0, 200), (200 - length, 300))
        assert started(back, 150, wildcard=False) == places


def test_expressions_mean_what_an_independent_engine_says() -> None:
    """The expressions are made with their meaning; cronsim reads those that it knows, and agrees."""
    random, compared = Random("expressions"), 0
    for number in range(200):
        start = datetime(2000, 1, 1) + timedelta(hours=1319 * number)  # noqa: DTZ001 - local times
        made = random_expression(random, [start])
        if any(sign in made.text.upper() for sign in "HLW?") or wraps(made.text):
            continue
        begin = int(start.replace(tzinfo=UTC).timestamp()) // 60
        named = made.minutes(begin + 1, begin + 40 * 1440)
        last = start + timedelta(days=40)
        theirs = [moment for moment in islice(CronSim(made.text, start), 50) if moment <= last]
        ours = [datetime(EPOCH.year, 1, 1) + timedelta(minutes=minute) for minute in named[:50]]  # noqa: DTZ001
        assert ours == theirs, made.text
        compared += 1
    assert compared > 50


def wraps(text: str) -> bool:
    """Whether cronsim would refuse it: a range that runs over the end of its field."""
    names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    for item in text.replace(",", " ").split():
        low, dash, high = item.partition("/")[0].partition("-")
        if dash:
            order = names if low in names else days
            bounds = [int(bound) if bound.isdigit() else order.index(bound) for bound in (low, high)]
            if bounds[0] > bounds[1]:
                return True
    return False
