"""A note as bytes and spans: frontmatter block, body, headings. Edits splice; nothing is ever re-serialised. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import frontmatter

from vault_scheduler.errors import NoteRefused
from vault_scheduler.notes.headings import Heading, Outline, Section, find_section, outline
from vault_scheduler.notes.yaml_core import Entry, FrontmatterHandler, MappingSpans, compose_mapping
from vault_scheduler.notes.yaml_errors import YamlProblem
from vault_scheduler.notes.yaml_writing import quoted, scalar

_BOM = b"\xef\xbb\xbf"
_OPENING = re.compile(rb"---[ \t]*(\r?\n|\Z)")
_CLOSING = re.compile(rb"^---([^\n]*)(?:\n|\Z)", re.MULTILINE)
_LONE_CR = re.compile(rb"\r(?!\n)")
_CONFLICT = tuple(re.compile(p, re.MULTILINE) for p in (rb"^<{7} ", rb"^={7}\r?$", rb"^>{7} "))
_HANDLER = FrontmatterHandler()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why the frontmatter of a note cannot be used; `line` counts from 1 in the file."""

    message: str
    line: int = 1
    key: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A note, cut on bytes. `mapping` is empty where `fault` is set or there is no frontmatter (`block` is None).

    `block` is the byte span between the fences, `body_start` the first byte below the closing fence, `eol` the
    line end of the opening fence. Text is decoded as UTF-8 with surrogateescape, so that it encodes back to the
    same bytes; undecodable bytes in values of the frontmatter read as U+FFFD.
    """

    data: bytes
    bom: bytes = b""
    eol: bytes = b"\n"
    block: tuple[int, int] | None = None
    body_start: int = 0
    fault: Fault | None = None
    mapping: dict[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Document:
        """Never raises: what is wrong is the `fault`."""
        bom = _BOM if data.startswith(_BOM) else b""
        fault = _unreadable(data)
        opening = _OPENING.match(data, len(bom))
        if fault or opening is None:
            return cls(data=data, bom=bom, body_start=len(bom), fault=fault or _misplaced(data[len(bom) :]))
        return _fenced(data, bom, opening)

    @property
    def block_text(self) -> str:
        """The frontmatter between the fences, "" without one."""
        return _decode(self.data[slice(*self.block)]) if self.block else ""

    @property
    def body(self) -> bytes:
        """Everything below the frontmatter."""
        return self.data[self.body_start :]

    @property
    def body_text(self) -> str:
        """Everything below the frontmatter."""
        return _decode(self.body)

    @property
    def definition_body(self) -> str:
        """The body above our `## Runs` section, without trailing white space: a run written by us never changes it."""
        body = self.body
        runs = find_runs_heading(body)
        return _decode(body[: runs.start] if runs else body).rstrip(" \t\r\n")

    def line_of_key(self, key: str) -> int:
        """The line (from 1 in the file) of a top-level key; 1 if it is not there."""
        try:
            spans = compose_mapping(self.block_text)
        except YamlProblem:
            return 1
        entry = spans.entries.get(key) if spans else None
        return entry.line + 2 if entry else 1


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _line_at(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


def _unreadable(data: bytes) -> Fault | None:
    """What keeps a whole file from being read as a note."""
    if not data.strip():
        return Fault(message="the note is empty", fix="Write the frontmatter and the text, or delete the note")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Fault(message="the note is UTF-16", fix="Save it as UTF-8")
    nul = data.find(b"\0")
    if nul >= 0:
        return Fault(message="the note holds a NUL byte", line=_line_at(data, nul), fix="Save it as UTF-8 text")
    return _conflict(data)


def _conflict(data: bytes) -> Fault | None:
    """Unresolved git markers, all three in order: a lone row of `=` is a heading's underline."""
    if b"<<<<<<< " not in data:
        return None
    position, first = 0, 0
    for marker in _CONFLICT:
        found = marker.search(data, position)
        if found is None:
            return None
        first = first or found.start() + 1
        position = found.end()
    return Fault(message="unresolved conflict markers", line=_line_at(data, first - 1), fix="Resolve the conflict")


def _misplaced(text: bytes) -> Fault | None:
    """A fence that Obsidian would not take for one, so that the person's properties are not seen at all."""
    if text.startswith(b"---\r"):
        return Fault(message="the lines end in a lone carriage return", fix="Save the note with LF or CRLF line ends")
    if text.lstrip().startswith(b"---\n") or text.lstrip().startswith(b"---\r\n"):
        fix = "Delete what stands before the first `---`"
        return Fault(message="the frontmatter does not start on the first line", fix=fix)
    return None


def _fenced(data: bytes, bom: bytes, opening: re.Match[bytes]) -> Document:
    eol = opening[1] or b"\n"
    start = opening.end()
    closing = _CLOSING.search(data, start)
    if closing is None:
        fault = Fault(message="the frontmatter is not closed", fix="Add a line `---` below the last property")
        return Document(data=data, bom=bom, eol=eol, body_start=len(bom), fault=fault)
    if closing[1].strip(b" \t\r"):
        line = _line_at(data, closing.start())
        fault = Fault(message="the line starts with `---` but is no closing fence", line=line, fix="Make it `---`")
        return Document(data=data, bom=bom, eol=eol, body_start=len(bom), fault=fault)
    mapping, fault_ = _read(data[start : closing.start()], eol)
    return Document(
        data=data,
        bom=bom,
        eol=eol,
        block=(start, closing.start()),
        body_start=closing.end(),
        fault=fault_,
        mapping=mapping,
    )


def _read(block: bytes, eol: bytes) -> tuple[dict[str, object], Fault | None]:
    mapping, fault = _meaning(block, eol)
    return dict(mapping), fault


@lru_cache(maxsize=2)
def _meaning(block: bytes, eol: bytes) -> tuple[dict[str, object], Fault | None]:
    """A write asks for that of the note before and after it several times in a row; values are not to be changed."""
    if lone := _LONE_CR.search(block):
        line = _line_at(block, lone.start()) + 1
        return {}, Fault(message="a lone carriage return", line=line, fix="Save the note with LF or CRLF line ends")
    text = f"---\n{_decode(block)}---"
    try:
        return frontmatter.parse(text, handler=_HANDLER)[0], None
    except YamlProblem as problem:
        return {}, Fault(message=problem.message, line=problem.line + 2, key=problem.key, fix=problem.fix)


# --- setting keys ------------------------------------------------------------------------------------------

Value = str | bool | int | None
_Edit = tuple[int, int, str]  # characters of the block: replace start..end by the text
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def editable(data: bytes) -> Document:
    """The document, if it is plainly valid and has frontmatter. Raises NoteRefused."""
    doc = Document.parse(data)
    if doc.fault:
        raise NoteRefused(f"{doc.fault.message}. {doc.fault.fix}".rstrip(), doc.fault.line)
    if doc.block is None:
        raise NoteRefused("the note has no frontmatter")
    return doc


def set_keys(data: bytes, changes: Mapping[str, Value]) -> bytes:
    """The note with these top-level properties set; None is a bare `key:`. Every other byte stays.

    A value that stands already is left as it is written; new keys go one line before the closing fence.
    Raises NoteRefused where the result cannot be shown to differ in these values alone.
    """
    doc = editable(data)
    wanted = {key: value for key, value in changes.items() if not _stands(doc.mapping, key, value)}
    if not wanted or doc.block is None:
        return data
    text = doc.block_text
    spans = spans_of(text)
    edited = _splice(text, sorted(_edits(text, spans, wanted, doc.eol.decode())))
    start, end = doc.block
    new = data[:start] + edited.encode("utf-8", "surrogateescape") + data[end:]
    _verify(doc, new, wanted, spans)
    return new


@lru_cache(maxsize=2)
def spans_of(block_text: str) -> MappingSpans | None:
    """Where the entries of a valid frontmatter stand; of what was just written that is asked twice."""
    return compose_mapping(block_text)


def _stands(mapping: Mapping[str, object], key: str, value: Value) -> bool:
    return key in mapping and type(mapping[key]) is type(value) and mapping[key] == value


def _splice(text: str, edits: list[_Edit]) -> str:
    parts, position = [], 0
    for start, end, new in edits:
        if start < position:
            raise NoteRefused("two values overlap")
        parts += [text[position:start], new]
        position = end
    return "".join([*parts, text[position:]])


def _edits(text: str, spans: MappingSpans | None, wanted: Mapping[str, Value], eol: str) -> list[_Edit]:
    entries = spans.entries if spans else {}
    edits = [e for key, value in wanted.items() if key in entries for e in _replace(text, spans, entries[key], value)]
    new = {key: value for key, value in wanted.items() if key not in entries}
    for key in new:
        if not _KEY.match(key):
            raise NoteRefused(f"{key!r} cannot be a property")
    if new:
        edits.append(_add_flow(spans, new) if spans and spans.flow else _add_block(text, spans, new, eol))
    return edits


def _replace(text: str, spans: MappingSpans | None, entry: Entry, value: Value) -> list[_Edit]:
    old = text[entry.value_start : entry.value_end]
    gap = text[entry.key_end : entry.value_start]
    before, colon, _ = gap.partition(":")
    if not colon or before.strip(" \t") or old[:1] in ("&", "*", "!"):
        reason = f"`{entry.key}` uses YAML (anchors, tags, `?`) that cannot be replaced safely"
        raise NoteRefused(reason, entry.line + 2)
    after = entry.key_end + len(before) + 1
    flow = bool(spans and spans.flow)
    new = scalar(value, old=old, flow=flow)
    if "\n" in text[after : entry.value_start] and not flow:
        return _replace_below(text, entry, after, new)
    if new and old:
        return [(entry.value_start, entry.value_end, new)]
    return [(after, entry.value_end, f" {new}" if new else "")]


def _replace_below(text: str, entry: Entry, after: int, new: str) -> list[_Edit]:
    """The value starts on a line below its key (a block list, mostly): it moves up and its own lines go."""
    start = text.rfind("\n", 0, entry.value_start) + 1
    line_end = re.compile(r"[ \t]*\r?\n").match(text, entry.value_end)
    end = line_end.end() if line_end else entry.value_end
    return [(after, after, f" {new}" if new else ""), (start, end, "")]


def _add_block(text: str, spans: MappingSpans | None, new: Mapping[str, Value], eol: str) -> _Edit:
    indent = " " * (spans.column if spans else 0)
    lines = [f"{indent}{key}: {scalar(value)}".rstrip(" ") + eol for key, value in new.items()]
    return len(text), len(text), "".join(lines)


def _add_flow(spans: MappingSpans, new: Mapping[str, Value]) -> _Edit:
    items = ", ".join(f"{quoted(key)}: {scalar(value, flow=True)}" for key, value in new.items())
    if not spans.entries:
        return spans.start + 1, spans.start + 1, items
    at = max(entry.value_end for entry in spans.entries.values())
    return at, at, f", {items}"


def _verify(doc: Document, new: bytes, wanted: Mapping[str, Value], spans: MappingSpans | None) -> None:
    """Only the wanted values differ, and the source of every other property and of the body is the same."""
    again = Document.parse(new)
    expected = {**doc.mapping, **wanted}
    if again.fault or repr(again.mapping) != repr(expected) or again.body != doc.body:
        raise NoteRefused("the frontmatter would not read back as meant; nothing was written")
    others = _sources(doc, spans, wanted)
    if others != _sources(again, spans_of(again.block_text), wanted):
        raise NoteRefused("another property would have changed; nothing was written")


def _sources(doc: Document, spans: MappingSpans | None, without: Mapping[str, Value]) -> list[str]:
    text = doc.block_text
    entries = spans.entries.values() if spans else ()
    return [text[e.key_start : e.value_end] for e in entries if e.key not in without]


# --- headings ----------------------------------------------------------------------------------------------


def find_runs_heading(body: bytes) -> Heading | None:
    """The last `## Runs` that is a heading (not in code, comments, math, quotes, lists or HTML)."""
    return last_runs(outline(body)) if b"Runs" in body else None


def last_runs(found: Outline) -> Heading | None:
    """The last `## Runs` of an outline."""
    return next((h for h in reversed(found.headings) if h.level == 2 and h.title == b"Runs"), None)


def runs_section(body: bytes, found: Outline) -> Section | None:
    """The section of the last `## Runs`."""
    return find_section(found.headings, last_runs(found), len(body))


def heading_end(data: bytes, heading: str) -> int | None:
    """Where the section of the first heading with this text ends, as an offset in `data`; None if there is none.

    Raises NoteRefused where what stands there would swallow an addition: an unclosed code fence or comment.
    """
    doc = Document.parse(data)
    found = outline(doc.body)
    wanted = next((h for h in found.headings if _decode(h.title) == heading), None)
    section = find_section(found.headings, wanted, len(doc.body))
    if section is None or section.end == len(doc.body):
        refuse_unclosed(doc, found)
    return doc.body_start + section.end if section else None


def own_text(data: bytes, heading: str) -> tuple[int, int] | None:
    """What stands directly below the first heading with this text, up to the next one of any level, as offsets.

    None if there is no such heading. Raises NoteRefused as `heading_end` does.
    """
    doc = Document.parse(data)
    found = outline(doc.body)
    wanted = next((h for h in found.headings if _decode(h.title) == heading), None)
    end = next((h.start for h in found.headings if wanted and h.start > wanted.start), len(doc.body))
    if wanted is None or end == len(doc.body):
        refuse_unclosed(doc, found)
    return (doc.body_start + wanted.end, doc.body_start + end) if wanted else None


def refuse_unclosed(doc: Document, found: Outline) -> None:
    """Raise NoteRefused if the end of the note lies in something unclosed."""
    if found.unclosed:
        line = _line_at(doc.data, doc.body_start + found.unclosed_at)
        raise NoteRefused(f"an unclosed {found.unclosed} runs to the end of the note. Close it", line)
