"""Text that knows what its parts mean: a pipe gets the text, a terminal gets it in colour. Pure.

Pages describe lines and columns once, in these; `screen` alone knows colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from vault_scheduler.text.harmless import clean, plain_line
from vault_scheduler.text.width import columns_of, width_of


class Style(StrEnum):
    """What a part of a line means. Beside it always stands a sign or a word that says the same."""

    GOOD = "good"  # it went well
    BAD = "bad"  # it failed, or is wrong
    CARE = "care"  # it wants somebody's attention
    GOING = "going"  # it is going on now
    FAINT = "faint"  # beside the point: what is at rest, ids, the names of columns
    TITLE = "title"  # what the lines below are about


OUTCOMES = {
    "success": Style.GOOD,
    "failure": Style.BAD,
    "timeout": Style.BAD,
    "abandoned": Style.BAD,
    "blocked": Style.CARE,
    "missed": Style.CARE,
    "cancelled": Style.FAINT,
    "skipped": Style.FAINT,
}
STATES = {
    "armed": None,
    "invalid": Style.BAD,
    "held": Style.CARE,
    "paused": Style.FAINT,
    "stopped": Style.FAINT,
    "done": Style.FAINT,
    "other-host": Style.FAINT,
}
Mark = tuple[int, int, Style]
"""From, to (exclusive), and what the characters between mean."""


class Styled(str):
    """A text with marks, ascending and apart. For everybody but the screen it is its text.

    `hang`: columns by which its further lines are indented where it is wrapped; -1: two more than itself.
    """

    marks: tuple[Mark, ...]
    hang: int

    def __new__(cls, text: str, marks: Iterable[Mark] = (), hang: int = -1) -> Styled:
        """Marks of nothing are left out."""
        made = super().__new__(cls, text)
        made.marks = tuple(mark for mark in marks if mark[0] < mark[1])
        made.hang = hang
        return made


def styled(text: str, style: Style | None, hang: int = -1) -> str:
    """The whole text in one style; None: as it is."""
    if style is None and hang < 0:
        return text
    return Styled(text, [(0, len(text), style)] if style else marks_of(text), hang)


def of_outcome(outcome: str | None, text: str) -> str:
    """A text in the style of an outcome; a run without one is going on."""
    return styled(text, OUTCOMES.get(outcome) if outcome else Style.GOING)


def marks_of(text: str) -> tuple[Mark, ...]:
    """The marks of a text that may have some."""
    return text.marks if isinstance(text, Styled) else ()


def joined(parts: Iterable[str], between: str = "", hang: int = -1) -> str:
    """The parts in one text, each with its marks."""
    parts = list(parts)
    if hang < 0 and not any(isinstance(part, Styled) for part in parts):
        return between.join(parts)
    text, marks = "", list[Mark]()
    for number, part in enumerate(parts):
        text += between if number else ""
        marks += [(start + len(text), end + len(text), style) for start, end, style in marks_of(part)]
        text += part
    return Styled(text, marks, hang) if marks or hang >= 0 else text


def piece(text: str, start: int, end: int, hang: int = -1) -> str:
    """`text[start:end]` with its marks."""
    marks = ((max(a, start) - start, min(b, end) - start, style) for a, b, style in marks_of(text))
    kept = text[start:end]
    return Styled(kept, marks, hang) if isinstance(text, Styled) else kept


def harmless(text: str, limit: int | None = None) -> str:
    """Without control characters; with a limit one line of so many characters. Where that changes it, one style."""
    bare = clean(text) if limit is None else plain_line(text, limit)
    if bare == text:
        return text
    marks = marks_of(text)
    return styled(bare, marks[0][2] if marks else None)


ROOM = 28
"""Columns in which text can be read that goes on below its own beginning."""

# --- columns of a terminal ---------------------------------------------------------------------------------


def cut(text: str, width: int) -> str:
    """The text in at most so many columns, with an ellipsis where something is left out."""
    if width_of(text) <= width:
        return text
    kept = piece(text, 0, _fitting(text, 0, max(0, width - 1)))
    bare = piece(kept, 0, len(kept.rstrip()))
    return joined([bare, "…"]) if isinstance(text, Styled) else bare + "…"


def _fitting(text: str, start: int, width: int) -> int:
    """How far the text can be shown from `start` on in so many columns."""
    taken = 0
    for end in range(start, len(text)):
        taken += columns_of(text[end])
        if taken > width:
            return end
    return len(text)


def wrapped(line: str, width: int) -> list[str]:
    """The line in lines of at most so many columns, broken between words; nothing of it is lost."""
    if width_of(line) <= width:
        return [line]
    own = len(line) - len(line.lstrip(" "))
    hang = line.hang if isinstance(line, Styled) and line.hang >= 0 else own + 2
    hang = hang if width - hang >= ROOM else min(hang, max(0, width // 2))
    return list(_broken(line, max(width, 1), hang))


def _broken(line: str, width: int, hang: int) -> Iterator[str]:
    start, indent = 0, ""
    while start < len(line):
        end = _end(line, start, width - len(indent), 0 if start else _index(line, hang))
        kept = piece(line, start, end)
        yield joined([indent, piece(kept, 0, len(kept.rstrip(" ")))])
        start = end
        while start < len(line) and line[start] == " ":
            start += 1
        indent = " " * hang


def _index(line: str, column: int) -> int:
    """The character that stands in a column."""
    return _fitting(line, 0, column)


def _end(line: str, start: int, width: int, least: int) -> int:
    """Where to break: between columns, but not before `least`, else between words.

    A word that is longer than a line stays whole: the terminal breaks it, and who copies a path or a command gets it.
    """
    end = max(_fitting(line, start, width), start + 1)
    if end == len(line) or (line[end : end + 2] == "  " and end >= least):
        return end
    begin = start + len(line[start:end]) - len(line[start:end].lstrip(" "))  # an indent is no place to break at
    gap = line.rfind("  ", begin, end)
    if gap > max(least, begin + (end - begin) // 3):
        return gap
    if line[end] == " ":
        return end
    space = line.rfind(" ", begin, end)
    if space > begin:
        return space
    after = line.find(" ", end)
    return after if after >= 0 else len(line)
