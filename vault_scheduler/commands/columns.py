"""Aligned columns of plain text. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from textwrap import wrap

from vault_scheduler.text.harmless import plain_line

GAP = "  "
_NARROWEST = 12


def width_of(text: str) -> int:
    """Columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


def cut(text: str, width: int) -> str:
    """The text in at most so many columns, with an ellipsis where something is left out."""
    if width_of(text) <= width:
        return text
    kept = ""
    for char in text:
        if width_of(kept + char) > width - 1:
            break
        kept += char
    return kept.rstrip() + "…"


def table(rows: Sequence[Sequence[str]], *, width: int | None, elastic: int = -1, indent: int = 0) -> list[str]:
    """Aligned columns; the elastic one gives way where a line would be wider than `width` (None: no limit)."""
    if not rows:
        return []
    clean = [[plain_line(cell, 500) for cell in row] for row in rows]
    widths = [max(map(width_of, column)) for column in zip(*clean, strict=True)]
    elastic %= len(widths)
    if width is not None:
        over = sum(widths) + len(GAP) * (len(widths) - 1) + indent - width
        widths[elastic] = max(min(widths[elastic], _NARROWEST), widths[elastic] - max(over, 0))
    return [" " * indent + _line(row, widths, elastic) for row in clean]


def _line(row: Sequence[str], widths: Sequence[int], elastic: int) -> str:
    cells = [cut(cell, widths[index]) if index == elastic else cell for index, cell in enumerate(row)]
    padded = [cell + " " * (widths[index] - width_of(cell)) for index, cell in enumerate(cells)]
    return GAP.join(padded).rstrip()


def facts(pairs: Iterable[tuple[str, str]], *, width: int | None) -> list[str]:
    """`name   value` lines; an empty value is left out, and one that is too long goes on in the next line."""
    rows = [(name, plain_line(value, 500)) for name, value in pairs if value]
    room = max(_NARROWEST, width - len(GAP) - max((len(name) for name, _ in rows), default=0)) if width else 500
    lines = [(name if not number else "", part) for name, text in rows for number, part in enumerate(wrap(text, room))]
    return table(lines, width=None)


def plural(count: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
