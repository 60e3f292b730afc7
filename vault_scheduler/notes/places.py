"""Where what we write stands in a note, remembered so that the next run need not have all of it read again. No I/O.

A note that nobody has changed since our last write is byte for byte what that write has read and proven. What the next
one changes in it is known: values of ours in lines of their own, by values of the same shape, and the `## Runs`
section. Neither can change how the text above the section reads; what is below the section's heading is read again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vault_scheduler.errors import NoteRefused
from vault_scheduler.notes.headings import outline
from vault_scheduler.notes.note import Document, Value, last_runs, spans_of
from vault_scheduler.notes.runs_section import Inserted, RunEntry, put_runs
from vault_scheduler.notes.yaml_core import MAX_CHARS, Entry, MappingSpans, load
from vault_scheduler.notes.yaml_errors import YamlProblem
from vault_scheduler.notes.yaml_writing import scalar

SPARE_CHARS = 256
"""A frontmatter that may come closer than this to the limit is read anew."""
_SHAPE = re.compile(r"""(["']?)(?:(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)|(?P<word>[a-z]+))\1""")
_HEADING = re.compile(rb"## Runs(?: [^\r\n]*)?\r?\n")  # a lone CR would be a line end of its own kind
_LINE_END = re.compile(r"[ \t]*\r?\n")
_NO_WORDS = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Byte offsets in one note: of the values that stand plainly in a line of their own, and of `## Runs`."""

    values: Mapping[str, tuple[int, int]]
    empty: frozenset[str]  # keys that are bare, or not there
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A note with values and runs in it, and where they stand now."""

    inserted: Inserted
    places: Places


# --- remembering -------------------------------------------------------------------------------------------


def places_of(data: bytes, keys: Collection[str]) -> Places | None:
    """Where these keys of ours and `## Runs` stand in a note that was read whole; None if it is not that simple."""
    doc = Document.parse(data)
    found = outline(doc.body)
    runs = last_runs(found)
    if doc.fault or doc.block is None or runs is None or found.dangles or found.unclosed or b"<<<<<<< " in data:
        return None  # what stands above the section may read otherwise by what is put into it
    text = doc.block_text
    spans = spans_of(text)
    if spans is None or spans.flow or len(text) > MAX_CHARS - SPARE_CHARS or not _is_plain(doc.body, runs.start):
        return None
    ours = {key: spans.entries[key] for key in keys if key in spans.entries and doc.mapping[key] is not None}
    return Places(
        values={key: _bytes(text, entry, doc.block[0]) for key, entry in ours.items() if _has_line(text, spans, entry)},
        empty=frozenset(keys) - ours.keys(),
        runs=doc.body_start + runs.start,
    )


def _is_plain(body: bytes, runs: int) -> bool:
    """Whether the heading is one by its own line alone, and not by what stands above it."""
    return _HEADING.match(body, runs) is not None


def _has_line(text: str, spans: MappingSpans, entry: Entry) -> bool:
    """Whether the line is `key: value` and nothing else."""
    start = entry.key_start
    is_first = start == 0 or text[start - 1] == "\n"
    is_whole = text[start : entry.value_start] == f"{entry.key}: "
    value = text[entry.value_start : entry.value_end]
    return spans.column == 0 and is_first and is_whole and bool(_shape(value)) and _ends_line(text, entry.value_end)


def _ends_line(text: str, at: int) -> bool:
    return _LINE_END.match(text, at) is not None


def _bytes(text: str, entry: Entry, start: int) -> tuple[int, int]:
    before = start + len(text[: entry.value_start].encode("utf-8", "surrogateescape"))
    return before, before + entry.value_end - entry.value_start  # of a value in ASCII


def _shape(source: str) -> tuple[str, str]:
    """Values of one shape are alike to every reader of YAML, but for what they say; empty for other ones."""
    found = _SHAPE.fullmatch(source)
    if found is None or found["word"] in _NO_WORDS:
        return "", ""
    return found[1], found.lastgroup or ""


# --- writing -----------------------------------------------------------------------------------------------


def rewrite(
    data: bytes,
    places: Places,
    changes: Mapping[str, Value],
    entries: Sequence[RunEntry],
    keep: int,
    open_runs: Collection[str] = (),
) -> Rewritten | None:
    """The note whose `places` these are, with the values and runs; None if it is to be read whole for that."""
    values = _values(data, places, changes)
    if values is None:
        return None
    below = Document.parse(data[places.runs :])
    try:
        runs = put_runs(below, entries, keep, open_runs)
    except NoteRefused:
        return None
    view = memoryview(data)
    parts: list[memoryview | bytes] = []
    position = shift = 0
    moved: dict[str, tuple[int, int]] = {}
    for key, (start, end) in sorted(places.values.items(), key=lambda item: item[1]):
        new = values.get(key, data[start:end])
        parts += [view[position:start], new]
        moved[key] = (start + shift, start + shift + len(new))
        shift += len(new) - (end - start)
        position = end
    whole = b"".join([*parts, view[position : places.runs], runs.data])
    return Rewritten(
        inserted=Inserted(data=whole, before=runs.before, after=runs.after),
        places=Places(values=moved, empty=places.empty, runs=places.runs + shift),
    )


def _values(data: bytes, places: Places, changes: Mapping[str, Value]) -> dict[str, bytes] | None:
    """The source of each value that is to change; None if one is of another shape than what stands there."""
    found: dict[str, bytes] = {}
    for key, value in changes.items():
        if value is None and key in places.empty:
            continue
        if not isinstance(value, str) or key not in places.values:
            return None
        old = data[slice(*places.values[key])].decode("ascii")
        new = scalar(value, old=old)
        if not _shape(new)[1] or _shape(new) != _shape(old) or not _reads_as(key, new, value):
            return None
        found[key] = new.encode("ascii")
    return found


def _reads_as(key: str, source: str, value: str) -> bool:
    try:
        return load(f"{key}: {source}\n") == {key: value}
    except YamlProblem:
        return False
