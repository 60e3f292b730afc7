"""The words in which built-in tasks answer: links, days, counts, lists that end. Markdown for notes. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.values import date_or_datetime
from vault_scheduler.text.harmless import harmless_markdown, one_line

_ACTS_IN_LINK = re.compile(r"[\[\]|#^<>`%\\\x00-\x1f\x7f\u2028\u2029]|::")
_PLAIN_DAY = re.compile(r"1[89]\d\d-\d\d-\d\d\Z")
_WEEK = 7
_MONTH = 60  # days after which weeks say more than days


def link(path: str) -> str:
    """A wikilink to a note under its name; its path as text where no link can hold it."""
    target = path.removesuffix(".md")
    if _ACTS_IN_LINK.search(target):
        return f"{one_line(target)} (its name cannot be linked)"
    return f"[[{target}|{target.rsplit('/', 1)[-1]}]]" if "/" in target else f"[[{target}]]"


def count(number: int, one: str, many: str = "") -> str:
    """`1 note`, `3 notes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def said(text: str, limit: int = 120) -> str:
    """Somebody's text in a line of ours: with its links and emphasis where it is short, else cut, as plain text."""
    line = " ".join(text.split())
    return harmless_markdown(line).replace("\n", " ") if len(line) <= limit else one_line(line, limit)


def ago(day: date, today: date) -> str:
    """`today`, `yesterday`, `12 days ago`, `9 weeks ago`."""
    days = (today - day).days
    if days <= 1:
        return "yesterday" if days == 1 else "today"
    return f"{days} days ago" if days < _MONTH else f"{days // _WEEK} weeks ago"


def ahead(day: date, today: date) -> str:
    """`today`, `tomorrow`, `Mon 30 Nov`; with the year where it is another one."""
    days = (day - today).days
    if days in (0, 1):
        return "tomorrow" if days else "today"
    year = "" if day.year == today.year or days < 180 else f" {day.year}"
    return f"{day:%a} {day.day} {day:%b}{year}"


def day_of(value: object, key: str) -> date:
    """A date, a date-time, or a link to a daily note. Raises BadValue."""
    if isinstance(value, str) and value.startswith("[[") and value.endswith("]]"):
        value = value[2:-2].split("|")[0].rsplit("/", 1)[-1]
    moment = date_or_datetime(value, key)
    return moment.date() if isinstance(moment, datetime) else moment


def day_or_none(value: object) -> date | None:
    """As `day_of`, for years before 1970 too (birthdays); None for what is no day."""
    try:
        return day_of(value, "")
    except BadValue:
        return _old_day(value)


def _old_day(value: object) -> date | None:
    if not isinstance(value, str) or not _PLAIN_DAY.match(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def bullets(lines: Sequence[str], limit: int) -> list[str]:
    """A list of at most `limit` lines that says how many are missing."""
    more = [f"- … and {len(lines) - limit:,} more"] if len(lines) > limit else []
    return [*(f"- {line}" for line in lines[:limit]), *more]


def section(title: str, lines: Sequence[str], limit: int) -> list[str]:
    """A bold title with a list below it, as one part of an answer; nothing if there are no lines."""
    return ["\n".join([f"**{title}**", "", *bullets(lines, limit)])] if lines else []
