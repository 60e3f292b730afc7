"""The days that the day fields of a cron expression name, stepped through on the calendar, without clocks or zones.

Lists of values are looked up here; `L`, `#`, `L<n>` and `W` are croniter's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache

YEARS = 50
"""What does not come within so many years never does: leap days on one day of the week come within forty."""

Stepper = Callable[[datetime], datetime | None]
"""The next matching midnight after a naive time; None: there is none, or the calendar ends."""


@lru_cache(maxsize=1024)
def day_stepper(days: tuple[str, ...], both_days: bool) -> Stepper:
    """Steps through the days of these fields (day of month, month, day of week) as `CronExpression.normal` has them.

    Shared by all expressions that name the same days, and the last answers are kept: most are asked about one day.
    """
    is_plain = all(field == "*" or field.replace(",", "").isdigit() for field in days)
    return lru_cache(maxsize=16)((_plain if is_plain else _special)(days, both_days))


def _plain(days: tuple[str, ...], both_days: bool) -> Stepper:
    month_days, months, weekdays = (_values(field) for field in days)
    either = bool(month_days and weekdays) and not both_days

    def matches(day: date) -> bool:
        in_month = not month_days or day.day in month_days
        in_week = not weekdays or day.isoweekday() % 7 in weekdays
        return in_month or in_week if either else in_month and in_week

    def step(after: datetime) -> datetime | None:
        found = next(filter(matches, _dates(after.date(), months)), None)
        return datetime(found.year, found.month, found.day) if found else None  # noqa: DTZ001 - naive local time

    return step


def _values(field: str) -> frozenset[int]:
    """None at all for `*`."""
    return frozenset() if field == "*" else frozenset(map(int, field.split(",")))


def _dates(after: date, months: frozenset[int]) -> Iterator[date]:
    """The dates of these months that come after a date, within YEARS."""
    first = after.day + 1
    for year in range(after.year, min(after.year + YEARS, date.max.year) + 1):
        for month in range(after.month if year == after.year else 1, 13):
            if not months or month in months:
                yield from (date(year, month, day) for day in range(first, _length(year, month) + 1))
            first = 1


def _length(year: int, month: int) -> int:
    """Days of a month."""
    return 31 if month == 12 else (date(year, month + 1, 1) - timedelta(days=1)).day


def _special(days: tuple[str, ...], both_days: bool) -> Stepper:
    """croniter is imported here and not above, for it costs 15 ms that most commands should not pay."""
    from croniter import croniter

    # Always naive: given zones, croniter fires fixed times twice in the repeated hour and invents some in gaps.
    stepper = croniter(" ".join(["0 0", *days]), datetime(2000, 1, 1), day_or=not both_days)  # noqa: DTZ001

    def step(after: datetime) -> datetime | None:
        try:
            day: datetime = stepper.get_next(datetime, start_time=after, update_current=False)
        except (ValueError, OverflowError):  # CroniterBadDateError is a ValueError, and so is the year 10000
            return None
        return day

    return step
