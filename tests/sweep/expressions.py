"""Cron expressions made together with what they mean, so that nothing has to read them to judge our reading."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from random import Random

from croniter import croniter

MONTHS = [name.lower() for name in calendar.month_abbr[1:]]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
HASH_ID = "folder/a task"
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Field:
    """One field as written, with the values that it names and whether it begins with a star."""

    text: str
    values: frozenset[int]

    @property
    def star(self) -> bool:
        """As Debian's cron reads it: by the first character."""
        return self.text.startswith("*")


@dataclass(frozen=True, slots=True)
class Days:
    """The two day fields as written, and the days that they mean."""

    day: str
    weekday: str
    means: Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class Expression:
    """A cron expression, and what it means on a clock that never changes."""

    text: str
    wildcard: bool
    times: tuple[int, ...]  # minutes of the day
    months: frozenset[int]
    means_day: Callable[[date], bool]

    def minutes(self, first: int, last: int) -> list[int]:
        """The local minutes since 1970 that it names, first to last included."""
        found = []
        for number in range(first // 1440, last // 1440 + 1):
            day = EPOCH + timedelta(days=number)
            if day.month in self.months and self.means_day(day):
                found += [minute for time in self.times if first <= (minute := 1440 * number + time) <= last]
        return found


def expression(minute: Field, hour: Field, days: Days, month: Field) -> Expression:
    """The five fields as one."""
    return Expression(
        text=f"{minute.text} {hour.text} {days.day} {month.text} {days.weekday}",
        wildcard=minute.star or hour.star,
        times=tuple(sorted(60 * hours + minutes for hours in hour.values for minutes in minute.values)),
        months=month.values,
        means_day=days.means,
    )


def every_day(minute: Field, hour: Field) -> Expression:
    """A time of day, on every day."""
    return expression(minute, hour, Days("*", "*", lambda day: True), star(1, 12))


# --- fields ---------------------------------------------------------------------------------------------------------


def one(value: int) -> Field:
    """A single value."""
    return Field(str(value), frozenset([value]))


def listed(values: list[int]) -> Field:
    """Several, in the order given."""
    return Field(",".join(map(str, values)), frozenset(values))


def span(low: int, high: int) -> Field:
    """From low to high."""
    return Field(f"{low}-{high}", frozenset(range(low, high + 1)))


def star(low: int, high: int, step: int = 1) -> Field:
    """All of the field, or every so many."""
    return Field("*" if step == 1 else f"*/{step}", frozenset(range(low, high + 1, step)))


def wrapped(low: int, high: int, first: int, last: int, step: int) -> list[int]:
    """From first over the end of the field to last, by steps."""
    ring = [*range(first, high + 1), *range(low, last + 1)]
    return ring[::step]


def hashed(random: Random, low: int, high: int) -> Field:
    """`H` in one of its forms; what it stands for is croniter's to say."""
    first = random.randint(low, high - 1)
    last = random.randint(first + 1, high)
    step = random.randint(2, last - first + 1)
    text = random.choice(["H", f"H({first}-{last})", f"H/{random.randint(2, high - low)}", f"H({first}-{last})/{step}"])
    fields = {59: f"{text} * * * *", 23: f"* {text} * * *"}[high]
    values, _ = croniter.expand(fields, hash_id=HASH_ID.encode())
    return Field(text, frozenset(value for value in values[0 if high == 59 else 1] if isinstance(value, int)))


def item(random: Random, low: int, high: int, near: list[int]) -> Field:
    """One item of a list: a value, a range, one that wraps, each with or without a step."""
    value = random.choice([*near, random.randint(low, high)])
    other = random.randint(low, high)
    step = random.randint(1, max(2, (high - low) // 3))
    match random.choice(["value", "value", "zero", "range", "stepped", "open", "wrapped"]):
        case "zero":
            return Field(f"{value:02}", frozenset([value]))
        case "range":
            return span(min(value, other), max(value, other))
        case "stepped":
            first, last = min(value, other), max(value, other)
            return Field(f"{first}-{last}/{step}", frozenset(range(first, last + 1, step)))
        case "open":
            return Field(f"{value}/{step}", frozenset(range(value, high + 1, step)))
        case "wrapped" if value != other:
            first, last = max(value, other), min(value, other)
            text = f"{first}-{last}" + (f"/{step}" if step > 1 else "")
            return Field(text, frozenset(wrapped(low, high, first, last, step)))
    return one(value)


def some(random: Random, low: int, high: int, near: list[int]) -> Field:
    """One to three items."""
    items = [item(random, low, high, near) for _ in range(random.choice([1, 1, 1, 2, 3]))]
    return Field(",".join(one.text for one in items), frozenset().union(*(one.values for one in items)))


def clock_field(random: Random, low: int, high: int, near: list[int]) -> Field:
    """A minute or an hour, preferably near a given one."""
    kind = random.random()
    if kind < 0.15:
        return star(low, high)
    if kind < 0.3:
        return star(low, high, random.randint(2, high))
    if kind < 0.36:
        return hashed(random, low, high)
    return some(random, low, high, near)


# --- days -----------------------------------------------------------------------------------------------------------


def cron_weekday(day: date) -> int:
    """Sunday is 0."""
    return day.isoweekday() % 7


def last_day(day: date) -> int:
    """The number of days in its month."""
    return calendar.monthrange(day.year, day.month)[1]


def nearest_weekday(day: date, wanted: int) -> bool:
    """Whether it is the weekday nearest to a day of its month, which it does not leave (the 31st of April: 30th)."""
    last = last_day(day)
    target = day.replace(day=min(wanted, last))
    if target.isoweekday() == 6:
        target += timedelta(days=-1 if target.day > 1 else 2)
    elif target.isoweekday() == 7:
        target += timedelta(days=1 if target.day < last else -2)
    return day == target


def plain_days(random: Random, around: date) -> Days:
    """Days of the month and of the week: both must match if one begins with a star, else either."""
    last = random.random() < 0.2
    day = random.choice([star(1, 31), star(1, 31, random.randint(2, 15)), some(random, 1, 31, [around.day])])
    if last and not day.star:
        day = Field(f"{day.text},L", day.values)
    weekday = random.choice([star(0, 6), star(0, 6, random.randint(2, 4)), weekdays(random, around)])
    day_text, weekday_text = day.text, weekday.text
    if day.text == "*" and random.random() < 0.3:
        day_text = "?"
    if weekday.text == "*" and random.random() < 0.3:
        weekday_text = "?"

    def means(when: date) -> bool:
        first = when.day in day.values or (",L" in day.text and when.day == last_day(when))
        second = cron_weekday(when) in weekday.values
        return (first and second) if day.star or weekday.star else (first or second)

    return Days(day_text, weekday_text, means)


def weekdays(random: Random, around: date) -> Field:
    """Days of the week by number or name, Sunday also as 7, ranges over the week's end too."""
    near, other = cron_weekday(around), random.randrange(7)
    match random.choice(["value", "name", "seven", "range", "wrapped", "list"]):
        case "name":
            return Field(random.choice([WEEKDAYS[near], WEEKDAYS[near].upper()]), frozenset([near]))
        case "seven":
            return Field("5-7", frozenset([5, 6, 0])) if near in (5, 6, 0) else Field("7", frozenset([0]))
        case "range":
            return span(min(near, other), max(near, other))
        case "wrapped" if near != other:
            first, last = max(near, other), min(near, other)
            return Field(f"{WEEKDAYS[first]}-{WEEKDAYS[last]}", frozenset(wrapped(0, 6, first, last, 1)))
        case "list":
            return listed([near, other])
    return one(near)


def special_days(random: Random, around: date) -> Days:
    """`L`, `25-L`, `15W`, `5#3`, `L5`: with the other day field left open."""
    weekday = random.choice([cron_weekday(around), random.randrange(7)])
    number = random.choice([(around.day + 6) // 7, random.randint(1, 5)])
    day = random.choice([around.day, random.randint(1, 31)])
    blank = random.choice(["*", "?"])
    match random.choice(["last", "to last", "nearest", "nth", "last of them"]):
        case "last":
            return Days("L", blank, lambda when: when.day == last_day(when))
        case "to last":
            return Days(f"{day}-L", blank, lambda when: when.day >= day)
        case "nearest":
            return Days(random.choice([f"{day}W", f"w{day}"]), blank, lambda when: nearest_weekday(when, day))
        case "nth":
            text = random.choice([str(weekday), WEEKDAYS[weekday]])
            return Days(
                blank,
                f"{text}#{number}",
                lambda when: cron_weekday(when) == weekday and (when.day + 6) // 7 == number,
            )
    return Days(blank, f"L{weekday}", lambda when: cron_weekday(when) == weekday and when.day > last_day(when) - 7)


def month_field(random: Random, around: date) -> Field:
    """Mostly every month, else some with the one around."""
    if random.random() < 0.6:
        return star(1, 12)
    near, other = around.month, random.randint(1, 12)
    first, last = max(near, other), min(near, other)
    return random.choice(
        [
            one(near),
            Field(MONTHS[near - 1], frozenset([near])),
            span(last, first),
            Field(f"{MONTHS[first - 1]}-{MONTHS[last - 1]}", frozenset(wrapped(1, 12, first, last, 1)))
            if first != last
            else one(near),
            star(1, 12, random.randint(2, 6)),
        ]
    )


MIDNIGHT, EVERY_MONTH = (Field("0", frozenset([0])), Field("0", frozenset([0]))), star(1, 12)
FIRST, SUNDAY = Days("1", "*", lambda day: day.day == 1), Days("*", "0", lambda day: cron_weekday(day) == 0)
ALIASES = [
    replace(every_day(one(0), star(0, 23)), text="@hourly"),
    replace(every_day(*MIDNIGHT), text="@daily"),
    replace(expression(*MIDNIGHT, SUNDAY, EVERY_MONTH), text="@weekly"),
    replace(expression(*MIDNIGHT, FIRST, EVERY_MONTH), text="@monthly"),
    replace(expression(*MIDNIGHT, FIRST, one(1)), text="@yearly"),
]


# --- whole expressions ----------------------------------------------------------------------------------------------


def random_expression(random: Random, around: list[datetime]) -> Expression:
    """Anything of the grammar, preferably something that hits near the given local times."""
    day = random.choice(around).date()
    chosen = random.random()
    if chosen < 0.5:
        days = Days("*", "*", lambda when: True)
    else:
        days = plain_days(random, day) if chosen < 0.8 else special_days(random, day)
    minute = clock_field(random, 0, 59, [moment.minute for moment in around])
    hour = clock_field(random, 0, 23, [moment.hour for moment in around])
    month = month_field(random, day) if chosen >= 0.4 else star(1, 12)
    return expression(minute, hour, days, month)


def telling_expressions(low: datetime, high: datetime) -> list[Expression]:
    """What could go wrong where local time from `low` up to `high` is skipped or shown twice."""
    minute = timedelta(minutes=1)
    middle = low + (high - low) / 2
    edges = [low - minute, low, low + minute, middle, high - minute, high, high + minute]
    found = [every_day(one(moment.minute), one(moment.hour)) for moment in edges]
    for moment in (low, middle):
        day = Days(str(moment.day), "*", lambda when, number=moment.day: when.day == number)  # type: ignore[misc]
        found.append(expression(one(moment.minute), one(moment.hour), day, one(moment.month)))
        found.append(every_day(star(0, 59), one(moment.hour)))
        found.append(every_day(star(0, 59, 15), one(moment.hour)))
        found.append(every_day(one(moment.minute), star(0, 23)))
        found.append(every_day(one(moment.minute), span(0, 23)))
        found.append(every_day(one(moment.minute), star(0, 23, 2)))
    found.append(every_day(listed([0, 20, 59]), listed([low.hour, high.hour])))
    found.append(every_day(star(0, 59, 7), star(0, 23)))
    found.append(every_day(span(0, 59), one(middle.hour)))
    return found + ALIASES
