"""The grammar of cron expressions: five fields in, explicit values out, every refusal with its reason and fix.

croniter accepts much that it then reads in a way nobody means (six fields with the seconds last, `5-5` as every
value, `1,*` as 1). So nothing but lists of values, `*`, `L`, `#`, `L<n>` and `W` reaches it. (rule 1.1)
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from vault_scheduler.errors import BadExpression

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
SHORTEST_MONTH = 28

RANGE = re.compile(r"(?P<low>\*|\w+)(?:-(?P<high>\w+))?(?:/(?P<step>\w+))?", re.ASCII)
HASHED = re.compile(r"h(?:\((?P<low>\d+)-(?P<high>\d+)\))?(?:/(?P<step>\d+))?", re.ASCII)
RANDOM = re.compile(r"r(\(.*|/.*)?", re.ASCII)
NEAREST_WEEKDAY = re.compile(r"(?:(?P<day>\d+)w|w(?P<other>\d+))", re.ASCII)
NTH_WEEKDAY = re.compile(r"(?P<low>\w+)(?:-(?P<high>\w+))?#(?P<nth>\w*)", re.ASCII)
LAST_WEEKDAY = re.compile(r"l(?P<day>\d+)", re.ASCII)


CLOCK = re.compile(r"(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::00)?", re.ASCII)
LIKE_A_FIELD = re.compile(rf"(?:[\d*?,/#()hlwr-]|{'|'.join(MONTHS + WEEKDAYS)})+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five columns."""

    index: int
    name: str
    low: int
    high: int
    names: Sequence[str] = ()  # the first stands for `low`

    @property
    def size(self) -> int:
        return self.high - self.low + 1


MINUTE = _Field(0, "minute", 0, 59)
HOUR = _Field(1, "hour", 0, 23)
DAY = _Field(2, "day of month", 1, 31)
MONTH = _Field(3, "month", 1, 12, MONTHS)
WEEKDAY = _Field(4, "day of week", 0, 6, WEEKDAYS)
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class CronExpression:
    """A cron expression that was understood."""

    text: str  # as written, blanks tidied
    normal: str  # five fields with explicit values: what is stepped
    wildcard: bool  # minute or hour begin with `*`: runs in real time through DST changes (rule 1.2)
    both_days: bool  # day of month *and* day of week must match, because one begins with `*`; else either
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """One field, read."""

    normal: str
    star: bool = False  # its text begins with `*`
    special: str = ""  # the `#`, `L<n>` or `W` that does not go with the other day field
    warnings: tuple[str, ...] = ()


def parse_cron(expression: str, hash_id: str = "") -> CronExpression:
    """Read a cron expression; `hash_id` (the task's id) decides what `H` stands for.

    Raises BadExpression with the reason and what to write instead (rule 1.1).
    """
    text = tidied(expression)
    parts = _resolve_alias(text).split()
    if len(parts) != len(FIELDS):
        raise _wrong_count(parts)
    columns = [
        _column_of(index, part.lower(), hash_id if "h" in part.lower() else "") for index, part in enumerate(parts)
    ]
    minute, hour, day, _, weekday = columns
    _refuse_mixed_days(day, weekday)
    return CronExpression(
        text=text,
        normal=" ".join(column.normal for column in columns),
        wildcard=minute.star or hour.star,
        both_days=day.star or weekday.star,
        warnings=tuple(warning for column in columns for warning in column.warnings),
    )


def tidied(expression: str) -> str:
    """The expression as written, blanks tidied. Raises BadExpression for signs that no expression holds."""
    return " ".join(_plain(expression).split())


def depends_on_task(cron: CronExpression) -> bool:
    """Whether it says `H`, which stands for other values in each task."""
    return any(HASHED.fullmatch(part.lower()) for part in cron.text.split())


def _plain(expression: str) -> str:
    for character in expression:
        if not character.isascii():
            raise BadExpression(
                f"it contains {character!r} (U+{ord(character):04X}), which cron does not know",
                "Type it anew with plain digits, spaces and signs",
            )
    return expression.strip()


def _resolve_alias(text: str) -> str:
    if not text.startswith("@"):
        return text
    word, _, rest = text.lower().partition(" ")
    if word == "@reboot":
        raise BadExpression("@reboot names no time", "Write `on_start: true` instead of cron")
    if word == "@every":
        raise BadExpression("@every is not cron", f"Write `every: {rest or '15m'}` instead of cron")
    if word not in ALIASES or rest:
        raise BadExpression(f"{text!r} is not a known alias", f"Known are {' '.join(ALIASES)}")
    return ALIASES[word]


def _wrong_count(parts: Sequence[str]) -> BadExpression:
    """Say what the text may have been meant as: seconds first (Quartz), a crontab line, a duration."""
    five = "five: minute, hour, day of month, month, day of week"
    count = len(parts)
    if not parts:
        return BadExpression("it is empty", 'Write five fields, such as "0 7 * * 1-5"')
    if "=" in parts[0]:
        return BadExpression(f"{parts[0]} does not belong here", "Write the zone under the key `timezone`")
    if clock := CLOCK.fullmatch(" ".join(parts)):
        daily = f"{int(clock['minute'])} {int(clock['hour'])} * * *"
        return BadExpression("it is a time of day", f'For every day at that time write "{daily}"')
    if count > len(FIELDS) and not all(LIKE_A_FIELD.fullmatch(part) for part in parts):
        return BadExpression("it ends with a command", f"Keep the five fields: {' '.join(parts[:5])!r}")
    if count not in (6, 7):
        return BadExpression(f"it has {count} field{'s' * (count != 1)}; cron has {five}", _or_every(parts))
    fix = "Leave the seconds and the year out; for seconds write `every: 10s` instead of cron"
    if re.fullmatch(r"\*/\d+", parts[0]) and all(part in "*?" for part in parts[1:]):
        fix = f"For every {parts[0][2:]} seconds write `every: {parts[0][2:]}s` instead of cron"
    elif re.fullmatch(r"2\d{3}", parts[-1]):
        bounds = f"`start: {parts[-1]}-01-01` and `until: {parts[-1]}-12-31`"
        fix = f"Without the year it is {' '.join(parts[-6:-1])!r}; {bounds} keep to that year"
    elif parts[0] == "0":
        fix = f"Without the seconds it is {' '.join(parts[1:6])!r}; for seconds there is `every: 10s`"
    return BadExpression(f"it has {count} fields; cron has {five}", fix)


def _or_every(parts: Sequence[str]) -> str:
    if len(parts) == 1 and re.fullmatch(r"(\d+[smhdw])+", parts[0].lower()):
        return f"For an interval write `every: {parts[0].lower()}`"
    return 'Write all five, such as "0 7 * * 1-5"; for an interval write `every: 15m`'


def _refuse_mixed_days(day: _Column, weekday: _Column) -> None:
    if day.special and weekday.normal != "*":
        raise BadExpression(
            f"{day.special.upper()} in day of month does not go with a day of week", "Write `*` as day of week"
        )
    if weekday.special and day.normal != "*":
        raise BadExpression(
            f"{weekday.special.upper()} in day of week does not go with a day of month",
            "Write `*` as day of month, or two expressions as a list",
        )


@lru_cache(maxsize=1024)
def _column_of(index: int, text: str, hash_id: str) -> _Column:
    """Thousands of expressions are made of a few dozen columns."""
    return _column(FIELDS[index], text, hash_id)


def _column(field: _Field, text: str, hash_id: str) -> _Column:
    if text == "*":
        return _Column(normal="*", star=True)
    if "?" in text:
        return _question_mark(field, text)
    if RANDOM.fullmatch(text):
        raise BadExpression(
            f"{field.name}: R draws another time at every start", "Write `H`: one time per task, always the same"
        )
    if hashed := HASHED.fullmatch(text):
        return _hashed(field, hashed, hash_id)
    items = text.split(",")
    if len(items) > 1:
        _check_list(field, items)
    if field is DAY:
        return _days(items)
    if field is WEEKDAY:
        return _weekdays(items)
    return _plain_column(field, items)


def _question_mark(field: _Field, text: str) -> _Column:
    if text != "?" or field not in (DAY, WEEKDAY):
        raise BadExpression(f"{field.name}: `?` stands only alone, in one of the two day fields", "Write `*`")
    return _Column(normal="*")


def _check_list(field: _Field, items: Sequence[str]) -> None:
    if "" in items:
        raise BadExpression(f"{field.name}: nothing between two commas", "Remove the extra comma")
    for item in items:
        if item.startswith("*"):
            raise BadExpression(
                f"{field.name}: `{item}` in a list",
                f"Write `{item}` alone, or a range such as {field.low}-{field.high}{item[1:]} in the list",
            )
        if HASHED.fullmatch(item) or RANDOM.fullmatch(item):
            raise BadExpression(f"{field.name}: {item.upper()} in a list", f"Write {item.upper()} alone")


def _plain_column(field: _Field, items: Sequence[str]) -> _Column:
    values: set[int] = set()
    warnings: list[str] = []
    for item in items:
        found, warning = _range(field, item)
        values.update(found)
        warnings += [warning] if warning else []
    return _Column(normal=_listed(values), star=items[0].startswith("*"), warnings=tuple(warnings))


def _listed(values: set[int]) -> str:
    return ",".join(str(value) for value in sorted(values))


def _days(items: Sequence[str]) -> _Column:
    """Day of month: `L` is the last day, `15W` the weekday nearest to the 15th."""
    if len(items) == 1 and (nearest := NEAREST_WEEKDAY.fullmatch(items[0])):
        day = _value(DAY, nearest["day"] or nearest["other"])
        return _Column(normal=f"{day}w", special=items[0])
    for item in items:
        _refuse_day(item, alone=len(items) == 1)
    plain = [item for item in items if item != "l"]
    column = _plain_column(DAY, [re.sub(r"^(\w+)-l(?=$|/)", r"\1-31", item) for item in plain]) if plain else None
    normal = [column.normal] if column else []
    return _Column(
        normal=",".join([*normal, "l"] if "l" in items else normal),
        star=column is not None and column.star,
        warnings=column.warnings if column else (),
    )


def _refuse_day(item: str, *, alone: bool) -> None:
    if item in ("lw", "wl"):
        raise BadExpression("day of month: the last weekday has no sign", "Use a gate, or L for the last day")
    if re.fullmatch(r"l[-/].*", item):
        raise BadExpression(
            f"day of month: {item.upper()} is not known", "`L` stands alone, in a list, or ends a range (25-L)"
        )
    if NEAREST_WEEKDAY.fullmatch(item) and not alone:
        raise BadExpression(
            f"day of month: {item.upper()} in a list", "Write it alone, or several expressions as a list"
        )
    if "w" in item and not NEAREST_WEEKDAY.fullmatch(item) and not item.isalpha():
        raise BadExpression(f"day of month: {item.upper()} is not known", "Write one day, such as 15W")


def _weekdays(items: Sequence[str]) -> _Column:
    """Day of week: `5#3` is the third Friday, `L5` the last one, 7 is Sunday as 0 is."""
    special = [found for item in items for found in _special_weekdays(item)]
    if not special:
        return _plain_column(WEEKDAY, items)
    if any("#" not in item and not LAST_WEEKDAY.fullmatch(item) for item in items):
        raise BadExpression(
            "day of week: `#` or `L` beside a plain day", "Write two expressions as a list instead of one"
        )
    return _Column(normal=",".join(dict.fromkeys(special)), special=items[0])


def _special_weekdays(item: str) -> list[str]:
    if last := LAST_WEEKDAY.fullmatch(item):
        return [f"l{_value(WEEKDAY, last['day']) % WEEKDAY.size}"]
    if "#" in item:
        return _nth_weekdays(item)
    if item == "l":
        raise BadExpression("day of week: L needs a day", "Write 6 for Saturday, or L5 for the last Friday")
    if backwards := re.fullmatch(r"(\w+)l", item):
        number = _weekday_number(backwards[1])
        raise BadExpression(f"day of week: {item.upper()} is not known", f"The last one is written L{number}")
    if named := re.fullmatch(r"l(sun|mon|tue|wed|thu|fri|sat)", item):
        raise BadExpression(
            f"day of week: {item.upper()} is not known", f"The last one is written L{_weekday_number(named[1])}"
        )
    return []


def _weekday_number(word: str) -> str:
    return str(WEEKDAYS.index(word)) if word in WEEKDAYS else word if word.isdigit() else "5"


def _nth_weekdays(item: str) -> list[str]:
    match = NTH_WEEKDAY.fullmatch(item)
    if match is None or match["nth"] not in ("1", "2", "3", "4", "5"):
        raise BadExpression(
            f"day of week: {item.upper()} is not known", "After `#` stands 1 to 5, such as 5#3 for the third Friday"
        )
    high = f"-{match['high']}" if match["high"] else ""
    values, _ = _range(WEEKDAY, match["low"] + high)
    return [f"{value}#{match['nth']}" for value in sorted(values)]


def _range(field: _Field, item: str) -> tuple[set[int], str]:
    """The values of `5`, `1-5`, `*/15`, `10/20`, `22-2/2`; and a warning about its step, or ""."""
    match = RANGE.fullmatch(item)
    if match is None or (match["low"] == "*" and match["high"]):
        raise _unknown(field, item)
    step = _step(field, match["step"])
    open_ended = match["low"] == "*" or (match["step"] is not None and match["high"] is None)
    low = field.low if match["low"] == "*" else _value(field, match["low"])
    high = field.high if open_ended else _value(field, match["high"] or match["low"])
    if field is WEEKDAY and low > high:
        low %= field.size  # 7-2 is 0-2
    if low > high:
        high += field.size  # 22-2 goes on past midnight
    values = {field.low + (value - field.low) % field.size for value in range(low, high + 1, step)}
    whole = open_ended or high - low + 1 >= field.size
    return values, _step_warning(field, item, step, values, whole=whole) if match["high"] != match["low"] else ""


def _step(field: _Field, text: str | None) -> int:
    if text is None:
        return 1
    if not text.isdigit() or int(text) == 0:
        raise BadExpression(f"{field.name}: {text!r} is not a step", f"After `/` stands a number, such as {'*/2'}")
    return int(text)


def _step_warning(field: _Field, item: str, step: int, values: set[int], *, whole: bool) -> str:
    shown = item.upper()
    if step > 1 and len(values) == 1:
        return f"{field.name}: the step of {shown} is larger than its range, so it means only {_listed(values)}"
    if whole and field.size % step:
        return (
            f"{field.name}: the step of {shown} does not divide {field.size}, "
            f"so the count starts again at {min(values)} after {max(values)}"
        )
    return ""


def _value(field: _Field, word: str) -> int:
    """One number or name, in the field's bounds (7 stays 7 in day of week)."""
    if word in field.names:
        return field.low + field.names.index(word)
    if not word.isdigit():
        raise _unknown(field, word)
    value = int(word)
    top = 7 if field is WEEKDAY else field.high
    if field.low <= value <= top:
        return value
    fix = f"Write a number from {field.low} to {top}"
    if (field is HOUR and value == 24) or (field is MINUTE and value == 60):
        fix = f"{value} is written 0"
    raise BadExpression(f"{field.name}: {value} is not between {field.low} and {top}", fix)


def _unknown(field: _Field, word: str) -> BadExpression:
    if "~" in word:
        span = re.fullmatch(r"(\d+)~(\d+)", word)
        return BadExpression(f"{field.name}: `~` is not known", f"Write H({span[1]}-{span[2]})" if span else "Write H")
    short = next((name for name in field.names if word.startswith(name)), "")
    if short:
        return BadExpression(f"{field.name}: {word!r} is not known", f"Write {short.upper()}")
    names = f" or {field.names[0].upper()} to {field.names[-1].upper()}" if field.names else ""
    return BadExpression(
        f"{field.name}: {word!r} is not known", f"Write a number from {field.low} to {field.high}{names}"
    )


def _hashed(field: _Field, match: re.Match[str], hash_id: str) -> _Column:
    """`H`, `H(0-29)`, `H/15`: a value per task that stays the same, as croniter draws it."""
    low = field.low if match["low"] is None else _value(field, match["low"])
    high = field.high if match["high"] is None else _value(field, match["high"])
    if low > high:
        raise BadExpression(f"{field.name}: {match[0].upper()} runs backwards", f"Write H({high}-{low})")
    step = _step(field, match["step"])
    last_start = high if match["step"] is None else min(low + step - 1, high)
    chosen = (binascii.crc32(hash_id.encode()) >> field.index) % (last_start - low + 1) + low
    values = {chosen} if match["step"] is None else set(range(chosen, high + 1, step))
    values = {field.low + (value - field.low) % field.size for value in values}
    warnings = []
    if field is DAY and high > SHORTEST_MONTH:
        warnings.append(
            f"day of month: {match[0].upper()} may stand for a day that some months lack "
            f"(here {_listed(values)}); H(1-28) does not"
        )
    elif warning := _step_warning(field, match[0], step, values, whole=match["low"] is None):
        warnings.append(warning)
    return _Column(normal=_listed(values), warnings=tuple(warnings))
