"""Readers of one frontmatter value each: what YAML gave in, the meaning out, or `BadValue` with the cure.

Every reader takes the value and the name of its key; the name is only used to print a line that can be
pasted. None of them knows what the keys mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from vault_scheduler.errors import BadValue

Choice = TypeVar("Choice", bound=StrEnum)

OPENING_QUOTES = "“„‟‘‚‛«"
CLOSING_QUOTES = "”“‟’‘‛»"

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?\Z")
_WORDED = re.compile(r"(\d+)\s*(weeks?|days?|hours?|hrs?|minutes?|mins?|seconds?|secs?)\Z", re.IGNORECASE)
_LONGEST = timedelta(days=3660)
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})\Z")
_DATE_TIME = re.compile(r"(\d{4}-\d{1,2}-\d{1,2})(?:[Tt]|\s+)(\d{1,2}):(\d{2})(?::(\d{2}))?\Z")
_OFFSET = re.compile(r"(.*\d)\s*(?:[Zz]|[+-]\d{2}:?\d{2})\Z")
_FRACTION = re.compile(r"(.*:\d{2})[.,]\d+\Z")
_CLOCK_ONLY = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?\Z")
_WHOLE = re.compile(r"[-+]?\d+\Z")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_./~](?:[^\x00-\x1f#:\"'`\[\]{},&*!|>%@\\]|:(?=[A-Za-z_]))*\Z")
_PLAIN_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?)?\Z")  # as the property editor writes them
_YAML_WORDS = {"null", "~", "true", "false", "yes", "no", "on", "off", "y", "n"}
_TRUE_WORDS, _FALSE_WORDS = {"yes", "on", "y", "1"}, {"no", "off", "n", "0"}


def quoted(value: str) -> str:
    """The YAML spelling of a text that every reader takes for that text: bare only if nobody could misread it."""
    if _PLAIN_DATE.match(value):
        return value
    if _PLAIN.match(value) and value == value.rstrip() and not _looks_like_other_type(value):
        return value
    if not any(c in value for c in '"\\') and value.isprintable():
        return f'"{value}"'
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _looks_like_other_type(value: str) -> bool:
    return value.lower() in _YAML_WORDS or (value[0] in "0123456789.~" and not _DURATION.match(value))


def scalar(value: object) -> str:
    """The YAML spelling of one value, for lines that can be pasted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(scalar(item) for item in value) + "]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return quoted(value) if isinstance(value, str) else str(value)


def line(key: str, value: object) -> str:
    """`` `key: value` `` as it can be pasted into the frontmatter; `` `value` `` if no key is named."""
    return f"`{key}: {scalar(value)}`" if key else f"`{scalar(value)}`"


def shown(value: object) -> str:
    """A value as it is named in messages: short, on one line."""
    text = scalar(value) if not isinstance(value, str) else value
    text = " ".join(text.split())
    return f"`{text[:60]}…`" if len(text) > 60 else f"`{text}`"


def single(value: object, key: str = "") -> object:
    """The value itself; a list of one counts as its element."""
    if not isinstance(value, list):
        return value
    if len(value) == 1 and not isinstance(value[0], (list, dict)):
        return value[0]
    if len(value) == 1 and isinstance(value[0], list):
        raise _unquoted_link(value[0], key)
    raise BadValue(
        f"takes one value, not a list of {len(value)}",
        f"Write {line(key, value[0])}" if value else "Write one value",
    )


def _unquoted_link(inner: list[Any], key: str) -> BadValue:
    target = str(inner[0]) if inner else "Note"
    return BadValue("a link in a property needs quotes", f'Write `{key}: "[[{target}]]"`')


def text(value: object, key: str = "") -> str:
    """A text that is not empty. Whole numbers are taken as written; other types would change on the way."""
    value = single(value, key)
    if isinstance(value, (bool, float)):
        raise BadValue(f"{shown(value)} is not text here", f'Put it in quotes: `{key or "key"}: "{scalar(value)}"`')
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise BadValue("takes a text, not a mapping", "Write one text on one line")
    return plain_quotes(value, key)


def prose(value: object, key: str = "") -> str:
    """A text in which curly quotes are just typography."""
    value = single(value, key)
    if isinstance(value, str) and value.strip():
        return value.strip()
    return text(value, key)


def spoken(value: object, key: str = "") -> str:
    """What a person typed, whatever YAML takes it for: `yes`, 5, a list."""
    if isinstance(value, (list, tuple)):
        return "\n".join(spoken(item, key) for item in value)
    return value.strip() if isinstance(value, str) else scalar(value)


def plain_quotes(value: str, key: str = "") -> str:
    """The stripped text; refused if curly quotes stand around it: YAML takes them for a part of the value."""
    value = value.strip()
    if not value:
        raise BadValue("is empty", "Give it a value, or remove the key")
    if value[0] in OPENING_QUOTES and value[-1] in CLOSING_QUOTES and len(value) > 1:
        raise BadValue(f"curly quotes {value[0]} {value[-1]} are not quotes in YAML", f'Write `{key}: "{value[1:-1]}"`')
    return value


def text_list(value: object, key: str = "") -> tuple[str, ...]:
    """A list of texts; one text is a list of one. Items that were left empty do not count."""
    if not isinstance(value, list):
        return (text(value, key),)
    items = [item for item in value if not is_unset(item)]
    for item in items:
        if isinstance(item, list):
            raise _unquoted_link(item, key)
        if isinstance(item, dict):
            raise BadValue("the list holds a mapping", 'Write each item as one text, in quotes if it holds ":"')
    return tuple(text(item, key) for item in items)


def is_unset(value: object) -> bool:
    """Whether a property was left empty: a bare `key:`, or the empty text that a property editor leaves behind."""
    return value is None or (isinstance(value, str) and not value.strip())


def boolean(value: object, key: str = "") -> bool:
    """True or false. `"true"` in quotes is accepted: a property of type text is saved like that."""
    value = single(value, key)
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "false"):
        return word == "true"
    if word in _TRUE_WORDS | _FALSE_WORDS:
        raise BadValue(f"{shown(value)} is text, not true or false", f"Write {line(key, word in _TRUE_WORDS)}")
    raise BadValue(f"{shown(value)} is neither true nor false", f"Write {line(key, True)} or {line(key, False)}")


def whole_number(value: object, key: str = "", *, minimum: int = 0, maximum: int = 1_000_000, usual: int = 1) -> int:
    """A whole number between `minimum` and `maximum`; also as text, as a property of type text is saved.

    `usual` is what the cure proposes where nothing can be told from the value.
    """
    value = single(value, key)
    if isinstance(value, str) and _WHOLE.match(value.strip()) and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        near = value if isinstance(value, float) and minimum <= value <= maximum else usual
        raise BadValue(f"{shown(value)} is not a whole number", f"Write {line(key, int(near))}")
    if value < minimum:
        raise BadValue(f"{shown(value)} is too low", f"The lowest is {line(key, minimum)}")
    if value > maximum:
        raise BadValue(f"{shown(value)} is too high", f"The highest is {line(key, maximum)}")
    return value


def money(value: object, key: str = "", *, zero: bool = True) -> float:
    """US dollars, not negative; zero only where `zero` allows it."""
    value = single(value, key)
    if isinstance(value, str):
        value = _dollars(value, key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadValue(f"{shown(value)} is not an amount of US dollars", f"Write {line(key, 0.5)}")
    if value < 0:
        raise BadValue(f"{shown(value)} is negative", f"Write {line(key, -value)}")
    if value == 0 and not zero:
        raise BadValue("0 would let no run start", f"Write {line(key, 0.5)}, or set `status` to paused")
    return float(value)


def percent(value: object, key: str = "") -> float:
    """A share from above 0 to 100, with or without the sign: `80`, `80%`."""
    value = single(value, key)
    if isinstance(value, str) and _NUMBER.match(bare := value.strip().removesuffix("%").rstrip()):
        value = float(bare)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 100:
        raise BadValue(f"{shown(value)} is not a percentage from 1 to 100", f"Write {line(key, 80)}")
    return float(value)


def _dollars(value: str, key: str) -> float:
    bare = value.strip()
    if _NUMBER.match(bare):
        return float(bare)
    amount = re.sub(r"(?i)\s*(\$|usd|dollars?)\s*", "", bare).replace(",", ".")
    if _NUMBER.match(amount):
        raise BadValue(f"{shown(value)} is more than a number", f"Write {line(key, float(amount))}: US dollars")
    raise BadValue(f"{shown(value)} is not an amount of US dollars", f"Write {line(key, 0.5)}")


def duration(
    value: object,
    key: str = "",
    *,
    minimum: timedelta = timedelta(0),
    maximum: timedelta = _LONGEST,
) -> timedelta:
    """A length of time with its unit: `10s`, `15m`, `1h30m`, `2d`, `1w`; refused without one."""
    value = single(value, key)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadValue(f"{shown(value)} is not a duration", f"Write {line(key, '30m')}")
    length = _seconds(plain_quotes(str(value), key), key, maximum)
    if length > maximum.total_seconds():
        raise BadValue(f"{shown(value)} is too long", f"The longest is {line(key, spelled(maximum))}")
    if length < minimum.total_seconds():
        raise BadValue(f"{shown(value)} is too short", f"The shortest is {line(key, spelled(minimum))}")
    return timedelta(seconds=length)


def _seconds(value: str, key: str, maximum: timedelta) -> int:
    compact = "".join(value.lower().split())
    if re.fullmatch(r"\d+\s*M", value):
        month = f"Write {line(key, compact)} for minutes; for months write `cron`"
        raise BadValue(f"{shown(value)} could mean months", month)
    found = _DURATION.match(compact)
    if found and compact and len(compact) < 40:
        return sum(int(n) * size for n, size in zip(found.groups(), _UNITS.values(), strict=True) if n)
    raise BadValue(*_why_no_duration(value, compact, key, maximum))


_NAMED = {"secondly": "1s", "minutely": "1m", "hourly": "1h", "daily": "1d", "weekly": "1w"}
_ISO_DURATION = re.compile(r"p(?:(\d+w)|(\d+d)?(?:t(\d+h)?(\d+m)?(\d+s)?)?)\Z")


def _why_no_duration(value: str, compact: str, key: str, maximum: timedelta) -> tuple[str, str]:
    if compact.startswith("-"):
        return f"{shown(value)} is negative", f"Write {line(key, compact.lstrip('-') or '30m')}"
    if _NUMBER.match(compact):
        whole = compact.split(".")[0].lstrip("+0") or "30"
        lengths = [whole + unit for unit in "smh" if int(whole) * _UNITS[unit] <= maximum.total_seconds()]
        return f"{shown(value)} has no unit", f"Write {_either([line(key, each) for each in lengths or ['30s']])}"
    meant = _NAMED.get(compact, "")
    if worded := _WORDED.match(value):
        meant = worded[1] + worded[2][0].lower()
    elif iso := _ISO_DURATION.match(compact):
        meant = "".join(part for part in iso.groups() if part)
    if meant:
        return f"{shown(value)} is not a duration", f"Write {line(key, meant)}"
    fraction = re.match(r"(\d*\.\d+)([wdhm])\Z", compact)
    if fraction:
        length = timedelta(seconds=round(float(fraction[1]) * _UNITS[fraction[2]]))
        return f"{shown(value)} has a fraction", f"Write {line(key, spelled(length))}"
    return f"{shown(value)} is not a duration", f"Write {line(key, '30m')}; units are w, d, h, m and s"


def _either(items: list[str]) -> str:
    return " or ".join(part for part in (", ".join(items[:-1]), items[-1]) if part)


def spelled(length: timedelta) -> str:
    """A length of time as it is written in notes: `1h30m`; whole weeks as `2w`."""
    left = int(length.total_seconds())
    if left and left % _UNITS["w"] == 0:
        return f"{left // _UNITS['w']}w"
    parts = []
    for unit in "dhms":
        count, left = divmod(left, _UNITS[unit])
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts) or "0s"


def local_datetime(value: object, key: str = "") -> datetime:
    """A local date-time `2026-11-22T09:00` (seconds may follow), naive: the task's zone gives it its place."""
    written = text(value, key)
    moment = date_or_datetime(written, key, time="T09:00")
    if isinstance(moment, datetime):
        return moment
    raise BadValue(f"{shown(written)} has no time of day", f"Write {line(key, f'{moment}T09:00')}")


def date_or_datetime(value: object, key: str = "", *, time: str = "") -> date | datetime:
    """A local date or date-time; a naive `datetime` if a time of day is given. `time`: what cures add to a date."""
    written = text(value, key)
    only_date = _DATE.match(written)
    if only_date:
        return _date(written, key, time)
    both = _DATE_TIME.match(written)
    if not both:
        raise BadValue(*_why_no_date(written, key))
    day = _date(both[1], key, "T" + written[len(both[1]) :].strip(" \tTt"))
    hour, minute, second = int(both[2]), int(both[3]), int(both[4] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise BadValue(f"{shown(written)} is no time of day", f"Write {line(key, f'{day}T09:00')}")
    return datetime(day.year, day.month, day.day, hour, minute, second)  # noqa: DTZ001 (local by contract)


def _date(written: str, key: str, time: str) -> date:
    year, month, day = (int(part) for part in written.split("-"))
    if not 1970 <= year <= 2999:
        raise BadValue(f"the year {year} is out of range", f"Write a year like {line(key, '2030-01-31' + time)}")
    if not 1 <= month <= 12:
        raise BadValue(f"there is no month {month}", "Write the month as 01 to 12: year-month-day")
    try:
        return date(year, month, day)
    except ValueError:
        last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).isoformat()
        raise BadValue(f"there is no {written}: that month ends on {last}", f"Write {line(key, last + time)}") from None


def _why_no_date(written: str, key: str) -> tuple[str, str]:
    offset = _OFFSET.match(written)
    if offset and _DATE_TIME.match(offset[1]):
        return (
            f"{shown(written)} has an offset, but the time is local to the task's time zone",
            f"Write {line(key, offset[1])} and name the zone, like `timezone: Europe/Berlin`",
        )
    fraction = _FRACTION.match(written)
    if fraction:
        return f"{shown(written)} has a fraction of a second", f"Write {line(key, fraction[1])}"
    clock = _CLOCK_ONLY.match(written)
    if clock:
        daily = f'`cron: "{int(clock[2])} {int(clock[1])} * * *"`'
        return f"{shown(written)} has no date", f"For every day write {daily}; for once, a date and a time"
    return f"{shown(written)} is not a date", f"Write {line(key, '2026-11-22T09:00')} or `2026-11-22`"


def choice(value: object, key: str, choices: type[Choice]) -> Choice:
    """One of the words of an enumeration; refused with the nearest one."""
    return choices(word(value, key, [str(item) for item in choices]))


def word(value: object, key: str, words: Iterable[str], hints: Mapping[str, str] | None = None) -> str:
    """One of `words`, in any case; refused with the nearest one. `hints`: what other dialects call them."""
    known = list(words)
    written = text(value, key)
    plain = written.lower().replace("_", "-")
    if plain in known:
        return plain
    near = (hints or {}).get(plain) or next(iter(get_close_matches(plain, known, n=1, cutoff=0.6)), "")
    options = ", ".join(known)
    advice = f"Write {line(key, near)}; possible are {options}" if near else f"Possible are {options}"
    raise BadValue(f"{shown(written)} is not a known value", advice)
