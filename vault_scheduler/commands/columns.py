"""Aligned columns of text. A row that is wider than the terminal is broken where it is printed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vault_scheduler.commands.styled import ROOM, Style, cut, harmless, joined, piece, styled, wrapped
from vault_scheduler.text.width import width_of

GAP = "  "
BELOW = 4
"""Columns by which the rest of a row is indented that is too wide."""
_NARROWEST = 12
_TALLEST = 3
"""Lines that it may take there: what is longer than a remark reads better below the row."""
_NOTHING = ("", "–")
_LONGEST = 500


def table(rows: Sequence[Sequence[str]], *, width: int | None, elastic: int = -1, indent: int = 0) -> list[str]:
    """Aligned columns; the elastic one gives way where a line would be wider than `width` (None: no limit).

    The last column never gives way: what it says goes on below. Neither does any where that would not be enough.
    """
    if not rows:
        return []
    clean = [[harmless(cell, _LONGEST) for cell in row] for row in rows]
    widths = [max(map(width_of, column)) for column in zip(*clean, strict=True)]
    elastic %= len(widths)
    if width is not None and elastic != len(widths) - 1:
        over = sum(widths) + len(GAP) * (len(widths) - 1) + indent - width
        if widths[elastic] - over >= _NARROWEST:
            widths[elastic] -= max(over, 0)
    cells = [[cut(cell, widths[i]) if i == elastic else cell for i, cell in enumerate(row)] for row in clean]
    return [_line(row, widths, width, indent) for row in cells]


def _line(row: Sequence[str], widths: Sequence[int], width: int | None, indent: int) -> str:
    padded = [_padded(cell, room) for cell, room in zip(row[:-1], widths, strict=False)]
    before = indent + sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    line = _row([*padded, row[-1]], indent, hang=before)
    if width is None or len(wrapped(line, width)) == 1:
        return line
    if width - before >= ROOM and len(wrapped(line, width)) <= _TALLEST:
        return line
    line = _row([*padded, row[-1]][: _told(row)], indent, hang=indent + BELOW)
    fits = before <= width or len(wrapped(line, width)) < _TALLEST
    return line if fits else _row(row[: _told(row)], indent, hang=indent + BELOW)


def _padded(cell: str, room: int) -> str:
    missing = room - width_of(cell)
    return joined([cell, " " * missing]) if missing else cell


def _row(cells: Sequence[str], indent: int, hang: int) -> str:
    first = joined([" " * indent, cells[0]]) if indent else cells[0]
    line = joined([first, *cells[1:]], GAP, hang)
    end = len(line.rstrip())
    return piece(line, 0, end, hang=hang) if end < len(line) else line


def _told(row: Sequence[str]) -> int:
    """How many cells there are up to the last that says something."""
    return max((number for number, cell in enumerate(row, 1) if cell not in _NOTHING), default=1)


def beside(sign: str, words: str) -> str:
    """Words beside a sign, which is given two columns: many terminals draw a narrow one as wide, too."""
    return f"{sign}{' ' * (2 - width_of(sign))} {words}"


def heading(*names: str) -> tuple[str, ...]:
    """The names of columns."""
    return tuple(styled(name, Style.FAINT) for name in names)


def facts(pairs: Iterable[tuple[str, str]], *, width: int | None) -> list[str]:
    """`name   value` lines; an empty value is left out, and one that is too long goes on in the next line."""
    rows = [(name, harmless(value, _LONGEST)) for name, value in pairs if value]
    beside = max((width_of(name) for name, _ in rows), default=0) + len(GAP)
    room = max(_NARROWEST, width - beside) if width else _LONGEST
    lines = [(name if not n else "", part) for name, text in rows for n, part in enumerate(_parts(text, room))]
    return table([(styled(name, Style.FAINT), part) for name, part in lines], width=None)


def _parts(text: str, room: int) -> list[str]:
    return wrapped(joined([text], hang=0), room)


def plural(count: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
