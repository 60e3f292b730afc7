"""A schedule told to people: short as it is written, and in words where the words are plain and true. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from vault_scheduler.parsing.values import spelled
from vault_scheduler.task import AfterOutcome, Task
from vault_scheduler.triggers.cron import CronExpression
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger, OnceTrigger, Trigger

_OUTCOMES = {
    AfterOutcome.SUCCESS: "",
    AfterOutcome.FAILURE: " fails",
    AfterOutcome.ANY: " succeeds or fails",
}
_MANY = 3
_MANY_TIMES = 6  # times of day, or values of another field, that are listed one by one
_TOO_LONG = 110  # characters of words that no longer help


def schedule_text(task: Task) -> str:
    """The schedule on one line, as it is written: `0 7 * * 1-5`, `every 15m`, `at 2026-11-22 09:00`."""
    parts = [_short(trigger, ZoneInfo(task.timezone)) for trigger in task.schedule.triggers]
    return "; ".join([*parts, *_reactions(task, "on start")])


def _reactions(task: Task, on_start: str) -> list[str]:
    """What starts the task beside the clock."""
    parts = [on_start] if task.on_start else []
    if task.after:
        parts.append(f"after {_either(f'[[{link}]]' for link in task.after)}{_OUTCOMES[task.after_outcome]}")
    if task.on_change:
        parts.append(f"when {_either(task.on_change)} changes")
    return parts


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
    lines += _reactions(task, "when the daemon starts")
    if task.on_change:
        lines[-1] += f" and then rests for {spelled(task.debounce)}"
    if task.schedule.start:
        lines.append(f"not before {local_minute(task.schedule.start, zone)}")
    if task.schedule.until:
        lines.append(f"not after {local_minute(task.schedule.until, zone)}")
    if task.max_runs is not None:
        lines.append(f"at most {task.max_runs} run{'s' * (task.max_runs != 1)}")
    return lines


def _words(trigger: Trigger, zone: ZoneInfo) -> str:
    if isinstance(trigger, CronTrigger):
        words = cron_words(trigger.cron)
        return f"{words} ({trigger.text})" if words else f"cron {trigger.text}"
    if isinstance(trigger, OnceTrigger):
        shown = [local_minute(instant, zone) for instant in trigger.instants[:_MANY]]
        more = len(trigger.instants) - len(shown)
        return f"once at {_listed(shown)}" + (f" and {more} times more" if more else "")
    return _short(trigger, zone)


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _either(items: Iterable[str]) -> str:
    return " or ".join(items)


def local_minute(moment: datetime, zone: ZoneInfo) -> str:
    """`2026-11-22 09:00`, with seconds only where there are some."""
    local = moment.astimezone(zone)
    return local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")


# --- cron --------------------------------------------------------------------------------------------------
#
# cron-descriptor finds the words, but it describes fields, not fire times: `*/7` is "every 7 minutes" to it, though
# every hour starts anew. So it is given the values that the expression stands for, as lists, ranges and steps that
# its words are true of; where there are none, there are no words.


def cron_words(cron: CronExpression) -> str:
    """`at 07:00, Monday through Friday` for `0 7 * * 1-5`; "" where no plain words are true."""
    minute, hour, day, month, weekday = cron.normal.split()
    clock, days = _clock_fields(minute, hour), _day_fields(day, weekday, both=cron.both_days)
    if clock is None or days is None:
        return ""
    words = _described(clock, _spans(_values(month, 1, 12), 1, 12, cyclic=True), days, both=cron.both_days)
    words = words[0].lower() + words[1:]
    return words if len(words) <= _TOO_LONG else ""


def _described(clock: str, month: str, days: tuple[str, str], *, both: bool) -> str:
    """The library's words for each field. It is imported here and not above, for most commands do without it."""
    from cron_descriptor import DescriptionTypeEnum as Part
    from cron_descriptor import ExpressionDescriptor, Options

    options = Options(locale_code="en_US", use_24hour_time_format=True)
    day, weekday = days
    by_day = ExpressionDescriptor(f"{clock} {day} {month} *", options)
    by_weekday = ExpressionDescriptor(f"{clock} * {month} {weekday}", options)
    on_day = by_day.get_description(Part.DAYOFMONTH) if day != "*" or weekday == "*" else ""
    on_weekday = by_weekday.get_description(Part.DAYOFWEEK)
    if day != "*" and weekday != "*" and not both:
        on_weekday = " or " + on_weekday.removeprefix(", ").removeprefix("only ")
    parts = (by_day.get_description(Part.TIMEOFDAY), on_day, on_weekday, by_day.get_description(Part.MONTH))
    told = "".join(parts)
    return by_day.transform_verbosity(told) if set(clock) & set("*-/") else told


def _clock_fields(minute: str, hour: str) -> str | None:
    """Minute and hour as the library should read them; None where its words would not be true."""
    minutes, hours = _values(minute, 0, 59), _values(hour, 0, 23)
    if len(minutes) > 1:
        return _span_of_hours(_even_steps(minutes, 60) or _spans(minutes, 0, 59), hours)
    if len(hours) <= _MANY_TIMES:
        return f"{minutes[0]} {','.join(map(str, _from_gap(hours, 24)))}"
    told = _even_steps(hours, 24) or _spans(hours, 0, 23, cyclic=True)
    return None if "," in told else f"{minutes[0]} {told}"


def _span_of_hours(minutes: str, hours: list[int]) -> str | None:
    """Several minutes in some hours. "At 07:00" would be but one moment, so each hour is a span: 07:00 to 07:59."""
    runs = _runs(_from_gap(hours, 24), 24)
    if len(hours) == 24:
        return f"{minutes} *"
    if len(hours) == 1 and "-" in minutes and not set(minutes) & set(",/"):
        return f"{minutes} {hours[0]}"
    if len(runs) <= _MANY:
        return f"{minutes} {','.join(f'{run[0]}-{run[-1]}' for run in runs)}"
    steps = _even_steps(hours, 24)
    return f"{minutes} {steps}" if steps and minutes != "*" and "/" not in minutes else None


def _day_fields(day: str, weekday: str, *, both: bool) -> tuple[str, str] | None:
    """Day of month and of week as the library should read them; a field that holds every value says nothing."""
    if "l" in weekday or "#" in weekday:
        return _special_weekday(weekday)
    weekdays = _spans(_values(weekday, 0, 6), 0, 6, cyclic=True, steps=False)
    if day == "l" or day.endswith("w"):
        days = day.upper()
    elif "l" in day:
        return None
    else:
        days = _spans(_values(day, 1, 31), 1, 31)
    if "*" in (days, weekdays) and "*" not in (day, weekday) and not both:
        return "*", "*"  # one of them matches every day
    return days, weekdays


def _special_weekday(weekday: str) -> tuple[str, str] | None:
    """`l5` is `5L` to the library, which knows lists of the last ones, but of the third ones only a single day."""
    items = weekday.split(",")
    if all(item.startswith("l") for item in items):
        return "*", ",".join(f"{item[1:]}L" for item in items)
    return ("*", weekday) if len(items) == 1 else None


def _values(normal: str, low: int, high: int) -> list[int]:
    return list(range(low, high + 1)) if normal == "*" else [int(value) for value in normal.split(",")]


def _even_steps(values: list[int], size: int) -> str:
    """`*/15` where the whole field is stepped through evenly from 0; else ""."""
    step = size // len(values)
    return ("*" if step == 1 else f"*/{step}") if values == list(range(0, size, step)) and size % step == 0 else ""


def _spans(values: list[int], low: int, high: int, *, cyclic: bool = False, steps: bool = True) -> str:
    """A field that holds these values: `*`, `1-31/2`, `1-5,9`, and `22-2` where it may go on past its end."""
    if len(values) == high - low + 1:
        return "*"
    step = values[1] - values[0] if len(values) > 1 else 1
    if steps and len(values) >= _MANY_TIMES and step > 1 and values == [*range(values[0], values[-1] + 1, step)]:
        return f"{values[0]}-{values[-1]}/{step}"
    size = high - low + 1
    runs = _runs(_from_gap(values, size) if cyclic else values, size if cyclic else 0)
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) >= _MANY else ",".join(map(str, run)) for run in runs)


def _from_gap(values: list[int], size: int) -> list[int]:
    """The values in a circle, begun after a gap: 22, 23, 0, 1 and not 0, 1, 22, 23."""
    places = [i for i, value in enumerate(values) if (value - values[i - 1]) % size != 1]
    start = places[-1] if places and (values[0] - values[-1]) % size == 1 else 0
    return values[start:] + values[:start]


def _runs(values: Sequence[int], size: int) -> list[list[int]]:
    """Split where the next value is not the next number; `size` makes a circle of it, 0 does not."""
    runs: list[list[int]] = []
    for value in values:
        follows = runs and (value - runs[-1][-1] == 1 or (size and (value - runs[-1][-1]) % size == 1))
        runs[-1].append(value) if follows else runs.append([value])
    return runs
