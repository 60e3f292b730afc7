"""The hits of a cron expression on a clock that is never changed: naive local times, nothing about zones.

Which days match is told in `days`; the times within a day are a list.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice

from vault_scheduler.triggers.cron import CronExpression
from vault_scheduler.triggers.days import day_stepper

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
EVERY_DAY = ["*", "*", "*"]
PROBE = datetime(1999, 12, 31)  # noqa: DTZ001 - naive local time; any moment would do


@lru_cache(maxsize=4096)
def wall_clock(normal: str, both_days: bool) -> WallClock:
    """The hits of an expression as `CronExpression` spells it; shared by all tasks that have it."""
    return WallClock(normal, both_days)


def wall_clock_of(cron: CronExpression) -> WallClock:
    """The hits of an expression."""
    return wall_clock(cron.normal, cron.both_days)


class WallClock:
    """Steps through the hits of one expression. Not for several threads: croniter keeps its place."""

    def __init__(self, normal: str, both_days: bool) -> None:
        minute, hour, *days = normal.split()
        minutes, hours = _values(minute, 60), _values(hour, 24)
        self._times = tuple(60 * hour + minute for hour in hours for minute in minutes)  # minutes since midnight
        self._every_day = days == EVERY_DAY
        self._next_day = _next_day if self._every_day else day_stepper(tuple(days), both_days)
        self._known: tuple[datetime | None, bool] = (None, False)  # the day asked for last, and whether it matches

    def next_after(self, local: datetime) -> datetime | None:
        """The first hit strictly after `local` (naive); None if there never is one."""
        midnight = _midnight(local)
        place = self._place(local)
        if place < len(self._times) and self._matches(midnight):
            return midnight + timedelta(minutes=self._times[place])
        day = self._next_day(midnight)
        if day is None:
            return None
        self._known = (day, True)
        return day + timedelta(minutes=self._times[0])

    @property
    def hits_ever(self) -> bool:
        """Whether any day from the year 2000 on matches."""
        return self._next_day(PROBE) is not None

    def count(self, after: datetime, upto: datetime, budget: int) -> tuple[int, int]:
        """How many hits lie in after < t <= upto (naive), and what is left of the budget.

        The budget is spent on days that must be looked at one by one, because not every day matches. If it gets
        negative, the count is a lower bound.
        """
        if after >= upto:
            return 0, budget
        first, last = _midnight(after), _midnight(upto)
        past = self._place(after) if self._matches(first) else 0
        present = self._place(upto) if self._matches(last) else 0
        if self._every_day:
            return (last - first) // DAY * len(self._times) - past + present, budget
        days = len(list(islice(self._days(first - SECOND, last - SECOND), budget + 1)))
        return days * len(self._times) - past + (present if days <= budget else 0), budget - days

    def _place(self, local: datetime) -> int:
        """How many of a day's times are not after the time of `local`."""
        return bisect_right(self._times, 60 * local.hour + local.minute)

    def _matches(self, midnight: datetime) -> bool:
        if self._every_day:
            return True
        if self._known[0] != midnight:
            self._known = (midnight, self._next_day(midnight - SECOND) == midnight)
        return self._known[1]

    def _days(self, after: datetime, upto: datetime) -> Iterator[datetime]:
        day = self._next_day(after)
        while day is not None and day <= upto:
            yield day
            day = self._next_day(day)


def _midnight(local: datetime) -> datetime:
    return local.replace(hour=0, minute=0, second=0, microsecond=0)


def _next_day(after: datetime) -> datetime | None:
    return _midnight(after) + DAY


def _values(normal: str, size: int) -> list[int]:
    return list(range(size)) if normal == "*" else [int(value) for value in normal.split(",")]
