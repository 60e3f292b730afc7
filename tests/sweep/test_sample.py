"""A sample of the sweep, the same every time; all of it is `make sweep`."""

from __future__ import annotations

from random import Random
from zoneinfo import ZoneInfo

import pytest

from .changes import Change, changes_of
from .comparison import Figures, Night, compare_due, compare_expression, compare_local_times
from .expressions import random_expression, telling_expressions

HALF_A_DAY = 12 * 3600  # no zone ever had two changes within three days

# Some for their rules, some for their offsets, some for what they did once.
ZONES = [
    "Africa/Cairo", "Africa/Casablanca", "Africa/Juba", "Africa/Tripoli", "Africa/Windhoek", "America/Adak",
    "America/Asuncion", "America/Caracas", "America/Godthab", "America/Havana", "America/Los_Angeles",
    "America/Miquelon", "America/New_York", "America/Port-au-Prince", "America/Recife", "America/Santiago",
    "America/Sao_Paulo", "America/Scoresbysund", "America/St_Johns", "Antarctica/Casey", "Antarctica/Troll",
    "Antarctica/Vostok", "Asia/Amman", "Asia/Beirut", "Asia/Colombo", "Asia/Damascus", "Asia/Dhaka", "Asia/Gaza",
    "Asia/Jerusalem", "Asia/Pyongyang", "Asia/Tehran", "Asia/Ulaanbaatar", "Atlantic/Azores", "Atlantic/Stanley",
    "Australia/Eucla", "Australia/Lord_Howe", "Europe/Berlin", "Europe/Dublin", "Europe/Istanbul", "Europe/London",
    "Europe/Moscow", "Europe/Volgograd", "Pacific/Apia", "Pacific/Chatham", "Pacific/Easter", "Pacific/Fakaofo",
    "Pacific/Fiji", "Pacific/Norfolk",
]  # fmt: skip


def sampled(changes: tuple[Change, ...], random: Random) -> set[Change]:
    """The longest one, of which there may be one in thirty years, and any."""
    return {max(changes, key=lambda change: abs(change.length)), random.choice(changes)}


@pytest.mark.parametrize("name", ZONES)
def test_fire_times_are_those_of_debians_loop(name: str) -> None:
    """Around changes from 2000 to 2030: the series, what comes after any instant, how many, and local times."""
    zone, random, figures = ZoneInfo(name), Random(name), Figures()
    changes = changes_of(zone, 2000, 2030, step=HALF_A_DAY)
    for change in sorted(sampled(changes, random), key=lambda change: change.instant):
        night = Night(zone, change)
        telling = telling_expressions(night.low, night.high)
        anything = [random_expression(random, [night.low, night.high]) for _ in range(4)]
        for expression in random.sample(telling, 3) + anything:
            figures.add(compare_expression(night, expression, random))
        figures.add(compare_due(night, random.sample(telling, 2), random))
        figures.add(compare_local_times(night, random))
    assert figures.mismatches == []
    assert figures.comparisons > 100
