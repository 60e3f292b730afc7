"""Three-way merge of lines: what one writer changed since `base` is laid over what another writer made of it.

Used only when two programs wrote one note within moments; whatever cannot be merged without guessing is not merged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

_ITEM = re.compile(rb"- .* \^(?P<id>[A-Za-z0-9-]+)[ \t]*\r?")
"""A line of a list with a block id, which no other line of a note has."""
MOST_PAIRS = 1_000_000  # of equal lines (blank ones, mostly); above that, common lines are no anchors, for speed


@dataclass(frozen=True, slots=True)
class _Hunk:
    """`base[start:end]` becomes `lines`."""

    start: int
    end: int
    lines: tuple[bytes, ...]

    @property
    def inserts(self) -> bool:
        return self.start == self.end


def merge(base: bytes, one: bytes, other: bytes) -> bytes | None:
    """`other` with the changes that lead from `base` to `one`; None if both changed the same lines differently.

    Lines that both inserted at the same place are all kept, those of `other` first. Of items with the same block id
    that both inserted, wherever, the one of `other` is.
    """
    if base in (one, other) or one == other:
        return one if base == other else other
    base_lines = base.split(b"\n")  # not splitlines(): only \n ends a line here, and a missing last one stays missing
    ours, theirs = _hunks(base_lines, one.split(b"\n")), _hunks(base_lines, other.split(b"\n"))
    hunks = _combine(_without_items_of(theirs, ours), theirs)
    return None if hunks is None else b"\n".join(_apply(base_lines, hunks))


def holds_text(whole: bytes, part: bytes) -> bool:
    """Whether every line of `part` stands in `whole`, in that order; its last line may be cut short."""
    *lines, last = part.split(b"\n")
    rest = iter(whole.split(b"\n"))
    return all(line in rest for line in lines) and (not last or any(line.startswith(last) for line in rest))


def has_additions(base: bytes, one: bytes, other: bytes) -> bool:
    """Whether all lines that were added between `base` and `one` stand in `other`, or have been typed on there."""
    there, wanted = other.split(b"\n"), Counter(one.split(b"\n"))
    counts = Counter(there)
    added = {line for hunk in _hunks(base.split(b"\n"), one.split(b"\n")) for line in hunk.lines}
    missing = (line for line in added if counts[line] < wanted[line])
    return bool(added) and all(any(longer.startswith(line) and longer != line for longer in there) for line in missing)


def _hunks(base: Sequence[bytes], changed: Sequence[bytes]) -> list[_Hunk]:
    start = _common(base, changed)
    tail = _common(base[start:][::-1], changed[start:][::-1])
    old, new = base[start : len(base) - tail], changed[start : len(changed) - tail]
    matcher = SequenceMatcher(None, old, new, autojunk=_equal_pairs(old, new) > MOST_PAIRS)
    return [
        _Hunk(start + i1, start + i2, tuple(new[j1:j2]))
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag != "equal"
    ]


def _common(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many lines are equal from the start."""
    limit = min(len(one), len(other))
    return next((i for i in range(limit) if one[i] != other[i]), limit)


def _without_items_of(theirs: list[_Hunk], ours: list[_Hunk]) -> list[_Hunk]:
    """What we wrote and somebody has copied into a text of his is one item, however far the two have grown apart."""
    known = {item["id"] for hunk in theirs for line in hunk.lines if (item := _ITEM.fullmatch(line))}
    return [replace(hunk, lines=tuple(line for line in hunk.lines if not _is_item_of(known, line))) for hunk in ours]


def _is_item_of(ids: Collection[bytes], line: bytes) -> bool:
    item = _ITEM.fullmatch(line)
    return item is not None and item["id"] in ids


def _combine(ours: list[_Hunk], theirs: list[_Hunk]) -> list[_Hunk] | None:
    """Both lists as one in order, or None where they contradict each other."""
    combined = list(theirs)
    for hunk in ours:
        rivals = [h for h in combined if _touches(h, hunk)]
        if not rivals:
            combined.append(hunk)
            continue
        if len(rivals) > 1 or (agreed := _agree(hunk, rivals[0])) is None:
            return None
        combined[combined.index(rivals[0])] = agreed
    return sorted(combined, key=lambda h: (h.start, h.end))


def _touches(one: _Hunk, other: _Hunk) -> bool:
    if one.inserts and other.inserts:
        return one.start == other.start
    return one.start < other.end and other.start < one.end


def _agree(ours: _Hunk, theirs: _Hunk) -> _Hunk | None:
    """One hunk for two that touch: the one that holds the other, or both insertions."""
    if (ours.start, ours.end) != (theirs.start, theirs.end):
        return None
    if _holds(theirs.lines, ours.lines):
        return theirs
    if _holds(ours.lines, theirs.lines):
        return ours
    if not ours.inserts:
        return None
    return _Hunk(theirs.start, theirs.end, theirs.lines + ours.lines)


def _equal_pairs(old: Sequence[bytes], new: Sequence[bytes]) -> int:
    """What a comparison costs."""
    counts = Counter(new)
    return sum(counts[line] for line in old)


def _holds(lines: Sequence[bytes], part: Sequence[bytes]) -> bool:
    """Whether all lines of `part` stand in `lines`, in that order."""
    rest = iter(lines)
    return all(line in rest for line in part)


def _apply(base: Sequence[bytes], hunks: list[_Hunk]) -> list[bytes]:
    result: list[bytes] = []
    position = 0
    for hunk in hunks:
        result += base[position : hunk.start]
        result += hunk.lines
        position = max(position, hunk.end)
    return result + list(base[position:])
