"""A note's text without what only looks like its contents: code, comments. And its open tasks. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from vault_scheduler.builtin.parts.words import day_or_none

_FENCE = re.compile(r"^[ \t>]*(?:[-*+][ \t]+)?(`{3,}|~{3,})[^\n]*\n(?:.*?^[ \t>]*\1[`~]*[ \t]*$|.*\Z)", re.M | re.S)
_CODE = re.compile(r"(?<!`)(`{1,3})(?!`)[^`\n]+(?<!`)\1(?!`)")
_COMMENTS = (("%%", "%%"), ("<!--", "-->"))
_OPEN = re.compile(r"^[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+\[ \][ \t]+(\S.*)$", re.M)
_DAY = r"(\d{4}-\d{2}-\d{2})"
_DUE = re.compile(rf"\s*(?:[\U0001F4C5\U0001F4C6\U0001F5D3]\ufe0f?\s*|[\[(]due::\s*|,?\s*\bdue:?\s+){_DAY}[\])]?", re.I)
_IN_NAME = re.compile(rf"(?:\A|[ _]){_DAY}(?=\Z|[ _.])")


def prose(data: bytes) -> str:
    """The text without code blocks, inline code and comments, in which neither links nor tasks count."""
    text = data.decode("utf-8", "replace")
    if "```" in text or "~~~" in text:
        text = _FENCE.sub("\n", text)
    if "`" in text:
        text = _CODE.sub("", text)
    for begin, end in _COMMENTS:
        text = _without(text, begin, end) if begin in text else text
    return text


def _without(text: str, begin: str, end: str) -> str:
    """The text without what stands between the marks; one look at each character, whatever is never closed."""
    parts, at = [], 0
    while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start + len(begin))) >= 0:
        parts.append(text[at:start])
        at = stop + len(end)
    return "".join([*parts, text[at:]])


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTask:
    """An unticked line: its text without the due date, and that date."""

    text: str
    due: date | None = None


def open_tasks(data: bytes) -> Iterator[OpenTask]:
    """The `- [ ]` lines of a note. Due is `due 2026-12-01`, `📅 2026-12-01` or `[due:: 2026-12-01]`."""
    if b"[ ]" not in data:
        return
    for found in _OPEN.finditer(prose(data)):
        written = found[1].strip()
        due = _DUE.search(written)
        day = day_or_none(due[1]) if due else None
        yield OpenTask(text=_DUE.sub("", written).strip() or written if day else written, due=day)


def day_in_name(name: str) -> date | None:
    """The day of a daily note or a meeting note, by its name."""
    found = _IN_NAME.search(name)
    return day_or_none(found[1]) if found else None
