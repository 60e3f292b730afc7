"""Reads cron's words back, as a person would, into the times and days that they promise. For tests of the words.

It knows nothing of cron: whatever it does not understand is an error, so no phrase goes unread.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import date, timedelta

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = list(calendar.month_name)
NTH = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
DayTest = Callable[[date], bool]

CLOCK = r"\d\d:\d\d"
DAY_NAME = f"(?:{'|'.join(DAYS)})"
MONTH_NAME = f"(?:{'|'.join(MONTHS[1:])})"


def _list(item: str) -> str:
    one = rf"{item}(?: through {item})?"
    return rf"{one}(?:(?:, and |, | and ){one})*"


class Reader:
    """What is left to read of a text."""

    def __init__(self, text: str) -> None:
        self.rest = text

    def take(self, pattern: str) -> re.Match[str] | None:
        """What the text goes on with, if it is this."""
        match = re.match(pattern + r"(?=,| or |$)", self.rest)
        if match:
            self.rest = self.rest[match.end() :]
        return match


def read_words(words: str) -> tuple[set[int], DayTest]:
    """The minutes of the day, and which days."""
    reader = Reader(words)
    minutes = _times(reader)
    days, months = _days(reader), _months(reader)
    assert reader.rest == "", f"not understood: {reader.rest!r} of {words!r}"
    return minutes, lambda day: days(day) and day.month in months


def _times(reader: Reader) -> set[int]:
    if match := reader.take(rf"at ({CLOCK}(?:(?:, | and ){CLOCK})*)"):
        return {_minute(clock) for clock in re.findall(CLOCK, match[1])}
    if match := reader.take(rf"every minute between ({CLOCK}) and ({CLOCK})"):
        return set(range(_minute(match[1]), _minute(match[2]) + 1))
    past = _past_the_hour(reader)
    hours = _hours(reader)
    return {60 * hour + minute for hour in hours for minute in past}


def _past_the_hour(reader: Reader) -> set[int]:
    if reader.take("every minute"):
        return set(range(60))
    if match := reader.take(r"every (\d+) minutes, minutes (\d+) through (\d+) past the hour"):
        return set(range(int(match[2]), int(match[3]) + 1, int(match[1])))
    if match := reader.take(r"every (\d+) minutes"):
        assert 60 % int(match[1]) == 0
        return set(range(0, 60, int(match[1])))
    if match := reader.take(r"minutes (\d+) through (\d+) past the hour"):
        return set(range(int(match[1]), int(match[2]) + 1))
    if match := reader.take(rf"at ({_list(r'[0-9]+')}) minutes past the hour"):
        return _numbers(match[1], [str(number) for number in range(60)])
    assert reader.rest.startswith("every "), reader.rest
    reader.rest = ", " + reader.rest
    return {0}


def _hours(reader: Reader) -> set[int]:
    if match := reader.take(rf", (?:every (\d+) hours, )?between ({CLOCK}) and (\d\d):59"):
        return _circle(int(match[2][:2]), int(match[3]), 24, int(match[1] or 1))
    if match := reader.take(r", every (\d+) hours"):
        assert 24 % int(match[1]) == 0
        return set(range(0, 24, int(match[1])))
    if match := reader.take(rf", at ((?:{CLOCK} through \d\d:59(?:, and |, | and )?)+)"):
        pairs = re.findall(r"(\d\d):00 through (\d\d):59", match[1])
        return {hour for first, last in pairs for hour in _circle(int(first), int(last), 24)}
    reader.take(", every hour")
    return set(range(24))


def _days(reader: Reader) -> DayTest:
    by_day = _by_day(reader)
    if by_day is None:
        return _by_weekday(reader, ", ") or (lambda day: True)
    if either := _by_weekday(reader, " or "):
        return lambda day: by_day(day) or either(day)
    if both := _by_weekday(reader, ", "):
        return lambda day: by_day(day) and both(day)
    return by_day


def _by_day(reader: Reader) -> DayTest | None:
    if reader.take(", every day"):
        return lambda day: True
    if reader.take(", on the last day of the month"):
        return lambda day: (day + timedelta(1)).day == 1
    if reader.take(", on the first weekday of the month"):
        return lambda day: day == _nearest(day, 1)
    if match := reader.take(r", on the weekday nearest day (\d+) of the month"):
        wanted = int(match[1])
        return lambda day: day == _nearest(day, wanted)
    if match := reader.take(r", (?:every (\d+) days, )?between day (\d+) and (\d+) of the month"):
        span = range(int(match[2]), int(match[3]) + 1, int(match[1] or 1))
        return lambda day: day.day in span
    if match := reader.take(rf", on day ({_list(r'[0-9]+')}) of the month"):
        listed = _numbers(match[1], [str(number) for number in range(32)])
        return lambda day: day.day in listed
    return None


def _nearest(day: date, wanted: int) -> date:
    last = calendar.monthrange(day.year, day.month)[1]
    aim = day.replace(day=min(wanted, last))
    month = [day.replace(day=number) for number in range(1, last + 1)]
    return min((one for one in month if one.weekday() < 5), key=lambda one: abs(one - aim))


def _by_weekday(reader: Reader, joint: str) -> DayTest | None:
    if match := reader.take(rf"{joint}on the last ({_list(DAY_NAME)}) of the month"):
        last = _weekdays(match[1])
        return lambda day: day.weekday() in last and (day + timedelta(7)).month != day.month
    if match := reader.take(rf"{joint}on the ({'|'.join(NTH)}) ({DAY_NAME}) of the month"):
        nth, name = NTH[match[1]], match[2]
        return lambda day: DAYS[day.weekday()] == name and (day.day + 6) // 7 == nth
    only = "only on " if joint == ", " else "on "
    if match := reader.take(rf"{joint}(?:{only}({_list(DAY_NAME)})|({DAY_NAME} through {DAY_NAME}))"):
        named = _weekdays(match[1] or match[2])
        return lambda day: day.weekday() in named
    return None


def _weekdays(text: str) -> set[int]:
    return _numbers(text, DAYS)


def _months(reader: Reader) -> set[int]:
    if match := reader.take(rf", (?:every (\d+) months, )?({MONTH_NAME}) through ({MONTH_NAME})"):
        first, last = MONTHS.index(match[2]), MONTHS.index(match[3])
        return {number + 1 for number in _circle(first - 1, last - 1, 12, int(match[1] or 1))}
    if match := reader.take(rf", only in ({_list(MONTH_NAME)})"):
        return {number + 1 for number in _numbers(match[1], MONTHS[1:])}
    return set(range(1, 13))


def _numbers(text: str, names: list[str]) -> set[int]:
    found: set[int] = set()
    for item in re.split(r", and |, | and ", text):
        first, _, last = item.partition(" through ")
        found |= _circle(names.index(first), names.index(last or first), len(names))
    return found


def _circle(first: int, last: int, size: int, step: int = 1) -> set[int]:
    return {value % size for value in range(first, last + 1 if first <= last else last + size + 1, step)}


def _minute(clock: str) -> int:
    return 60 * int(clock[:2]) + int(clock[3:])
