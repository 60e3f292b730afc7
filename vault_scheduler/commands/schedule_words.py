"""A schedule told to people: short as it is written, and in words where the words are plain. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from vault_scheduler.parsing.values import spelled
from vault_scheduler.task import Task
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger, OnceTrigger, Trigger

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_ALIASES = {
    "@hourly": "at the start of every hour",
    "@daily": "at 00:00, every day",
    "@midnight": "at 00:00, every day",
    "@weekly": "at 00:00, on Sunday",
    "@monthly": "at 00:00, on day 1 of the month",
    "@yearly": "at 00:00, on day 1 of January",
    "@annually": "at 00:00, on day 1 of January",
}
_NUMBER = re.compile(r"\d{1,2}\Z")
_STEP = re.compile(r"\*/([1-9]\d?)\Z")
_MANY = 3


def schedule_text(task: Task) -> str:
    """The schedule on one line, as it is written: `0 7 * * 1-5`, `every 15m`, `at 2026-11-22 09:00`."""
    parts = [_short(trigger, ZoneInfo(task.timezone)) for trigger in task.schedule.triggers]
    return "; ".join([*parts, "on start"] if task.on_start else parts)


def _short(trigger: Trigger, zone: ZoneInfo) -> str:
    if isinstance(trigger, CronTrigger):
        return trigger.text
    if isinstance(trigger, IntervalTrigger):
        return f"every {spelled(trigger.period)}"
    assert isinstance(trigger, OnceTrigger)
    more = f" and {len(trigger.instants) - 1} more" if len(trigger.instants) > 1 else ""
    return f"at {local_minute(trigger.instants[0], zone)}{more}"


def schedule_words(task: Task) -> list[str]:
    """Each trigger and bound as a line of words."""
    zone = ZoneInfo(task.timezone)
    lines = [_words(trigger, zone) for trigger in task.schedule.triggers]
    if task.on_start:
        lines.append("when the daemon starts")
    if task.schedule.start:
        lines.append(f"not before {local_minute(task.schedule.start, zone)}")
    if task.schedule.until:
        lines.append(f"not after {local_minute(task.schedule.until, zone)}")
    return lines


def _words(trigger: Trigger, zone: ZoneInfo) -> str:
    if isinstance(trigger, CronTrigger):
        words = cron_words(trigger.text)
        return f"{words} ({trigger.text})" if words else f"cron {trigger.text}"
    if isinstance(trigger, OnceTrigger):
        shown = [local_minute(instant, zone) for instant in trigger.instants[:_MANY]]
        more = len(trigger.instants) - len(shown)
        return f"once at {_listed(shown)}" + (f" and {more} times more" if more else "")
    return _short(trigger, zone)


def local_minute(moment: datetime, zone: ZoneInfo) -> str:
    """`2026-11-22 09:00`, with seconds only where there are some."""
    local = moment.astimezone(zone)
    return local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")


def cron_words(expression: str) -> str:
    """`at 07:00, Monday to Friday` for `0 7 * * 1-5`; "" where words would be longer than the expression says."""
    if expression in _ALIASES:
        return _ALIASES[expression]
    fields = expression.split()
    if len(fields) != 5:
        return ""
    minute, hour, day, month, weekday = fields
    when, on = _time_words(minute, hour), _day_words(day, month, weekday)
    if not when or on is None:
        return ""
    if not on and not when.startswith("every"):
        on = "" if hour == "*" else "every day"
    return f"{when}, {on}" if on else when


def _time_words(minute: str, hour: str) -> str:
    step = _STEP.match(minute)
    if hour == "*" and minute == "*":
        return "every minute"
    if hour == "*" and step and 60 % int(step[1]) == 0:
        return f"every {int(step[1])} minutes"
    if hour == "*" and _NUMBER.match(minute):
        return f"at minute {int(minute)} of every hour"
    hours = hour.split(",")
    if not _NUMBER.match(minute) or not all(_NUMBER.match(item) for item in hours) or len(hours) > 2 * _MANY:
        return ""
    return "at " + _listed([f"{int(item):02}:{int(minute):02}" for item in hours])


def _day_words(day: str, month: str, weekday: str) -> str | None:
    """ "" for every day; None if it cannot be said plainly."""
    parts = []
    if weekday != "*":
        parts.append(_named(weekday, _DAYS, "on "))
    if day != "*":
        days = day.split(",")
        plain = all(_NUMBER.match(item) for item in days)
        parts.append(f"on day {_listed([str(int(item)) for item in days])} of the month" if plain else "")
    if not all(parts):
        return None
    words = " or ".join(parts)
    if month == "*":
        return words
    months = _named(month, ("", *_MONTHS), "in ")
    if not months:
        return None
    return f"{words.removesuffix(' of the month')} {months}".strip()


def _named(field: str, names: tuple[str, ...], before: str) -> str:
    """Days or months by their names: a range, or a list; "" for anything else."""
    first, dash, last = field.partition("-")
    if dash:
        ends = _index(first, names), _index(last, names)
        return f"{names[ends[0]]} to {names[ends[1]]}" if ends[0] is not None and ends[1] is not None else ""
    indexes = [_index(item, names) for item in field.split(",")]
    found = [names[index] for index in indexes if index is not None]
    return before + _listed(found) if len(found) == len(indexes) else ""


def _index(word: str, names: tuple[str, ...]) -> int | None:
    if _NUMBER.match(word):
        return int(word) if int(word) < len(names) and names[int(word)] else None
    matches = [index for index, name in enumerate(names) if name and name[:3].upper() == word.upper()]
    return matches[0] if matches else None


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
