"""A note as bytes and spans: frontmatter block, body, headings. Edits splice; nothing is ever re-serialised. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import frontmatter

from vault_scheduler.errors import NoteRefused
from vault_scheduler.yaml_core import (
    Entry,
    FrontmatterHandler,
    MappingSpans,
    YamlProblem,
    compose_mapping,
    quoted,
    scalar,
)

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
    spans = compose_mapping(text)
    edited = _splice(text, sorted(_edits(text, spans, wanted, doc.eol.decode())))
    start, end = doc.block
    new = data[:start] + edited.encode("utf-8", "surrogateescape") + data[end:]
    _verify(doc, new, wanted, spans)
    return new


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
    if others != _sources(again, compose_mapping(again.block_text), wanted):
        raise NoteRefused("another property would have changed; nothing was written")


def _sources(doc: Document, spans: MappingSpans | None, without: Mapping[str, Value]) -> list[str]:
    text = doc.block_text
    entries = spans.entries.values() if spans else ()
    return [text[e.key_start : e.value_end] for e in entries if e.key not in without]


# --- headings ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading at the top level of a body: byte offsets of its first line's start and its last line's end."""

    level: int
    title: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The headings of a body as markdown and Obsidian see them, and what runs unclosed to its end, if anything."""

    headings: tuple[Heading, ...]
    unclosed: str = ""
    unclosed_at: int = 0


def find_runs_heading(body: bytes) -> Heading | None:
    """The last `## Runs` that is a heading (not in code, comments, math, quotes, lists or HTML)."""
    return last_runs(outline(body).headings)


def last_runs(headings: tuple[Heading, ...]) -> Heading | None:
    """The last `## Runs` among headings."""
    return next((h for h in reversed(headings) if h.level == 2 and h.title == b"Runs"), None)


def outline(body: bytes) -> Outline:
    """One linear pass over a body of any size."""
    return _Scanner(body).scan()


_MAX_NESTING = 20  # as markdown-it; a line of a million dashes must not cost a million copies of itself
_QUOTE = 0
_SPECIAL = frozenset(b"#>`~<-+*_=0123456789 \t")
_FENCE = re.compile(rb"(`{3,})[^`]*\Z|(~{3,})")
_SETEXT = re.compile(rb"(=+|-+) *\Z")
_BREAK = re.compile(rb"(?:(?:\* *+){3,}+|(?:- *+){3,}+|(?:_ *+){3,}+)\Z")
_MARKER = re.compile(rb"([-+*]|(\d{1,9})[.)])( +|\Z)")
_HTML = (
    (
        re.compile(rb"<(?:script|pre|style|textarea)(?=\s|>|\Z)", re.I),
        re.compile(rb"</(?:script|pre|style|textarea)>", re.I),
    ),
    (re.compile(rb"<!--"), re.compile(rb"-->")),
    (re.compile(rb"<\?"), re.compile(rb"\?>")),
    (re.compile(rb"<![A-Za-z]"), re.compile(rb">")),
    (re.compile(rb"<!\[CDATA\["), re.compile(rb"\]\]>")),
)
_HTML_BLOCK = re.compile(
    rb"</?(?:address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div"
    rb"|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link"
    rb"|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead"
    rb"|title|tr|track|ul)(?=\s|/?>|\Z)",
    re.I,
)
_HTML_TAG = re.compile(
    rb"(?:<[A-Za-z][A-Za-z0-9-]*(?:\s+[A-Za-z_:][A-Za-z0-9:._-]*(?:\s*=\s*(?:[^\"'=<>`\x00-\x20]+|'[^']*'|\"[^\"]*\"))?)*"
    rb"\s*/?>|</[A-Za-z][A-Za-z0-9-]*\s*>)\s*\Z"
)
_LONG = 1000  # a longer line is no lone tag; the pattern above is quadratic on spaces
_CODE_SPAN = re.compile(rb"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)")
_HIDER = re.compile(rb"(?<!\\)(%%|\$\$|<!--)")
_CLOSER = {b"%%": b"%%", b"$$": b"$$", b"<!--": b"-->"}
_HIDER_NAME = {b"%%": "%% comment", b"$$": "$$ block", b"<!--": "HTML comment"}


class _Scanner:
    """Block structure after the CommonMark algorithm: open containers (quotes, list items) and one open leaf.

    On top of it Obsidian's `%%`, `$$` and mid-line `<!--`, which hide what markdown would take for headings.
    """

    def __init__(self, body: bytes) -> None:
        # Same length, one kind of line end: offsets stay those of the body.
        self.text = body.replace(b"\r\n", b" \n").replace(b"\r", b"\n")
        self.headings: list[Heading] = []
        self.containers: list[tuple[int, bool]] = []  # (width of a list item or _QUOTE, still empty)
        self.fence = b""
        self.html: re.Pattern[bytes] | None = None  # what ends the HTML block; `_BLANK` for a blank line
        self.paragraph = -1  # where the open paragraph starts
        self.hidden_to = 0
        self.leaf_at = 0
        self.unclosed = ""
        self.hides = any(token in self.text for token in _CLOSER)

    def scan(self) -> Outline:
        at = 0
        for line in self.text.split(b"\n"):
            end = at + len(line) + 1
            if end <= self.hidden_to:
                pass
            elif line and line[0] not in _SPECIAL and self._plain():
                self.paragraph = at if self.paragraph < 0 else self.paragraph
            elif at < self.hidden_to:
                self._prose(line[self.hidden_to - at :], self.hidden_to, end)
            else:
                self._line(line.expandtabs(4) if b"\t" in line else line, at, end)
            at = end
        return self._outline()

    def _plain(self) -> bool:
        return not (self.containers or self.fence or self.html or self.hides)

    def _outline(self) -> Outline:
        if self.fence and not self.containers:
            self.unclosed = "code fence"
        elif self.html and self.html is not _BLANK and not self.containers:
            self.unclosed = "HTML block"
        return Outline(headings=tuple(self.headings), unclosed=self.unclosed, unclosed_at=self.leaf_at)

    def _line(self, line: bytes, at: int, end: int) -> None:
        matched, rest = self._match(line)
        whole = matched == len(self.containers)
        if whole and (self.fence or self.html):
            self._in_leaf(rest)
            return
        self.fence, self.html = b"", None
        if not rest.strip(b" "):
            self.paragraph = -1
            del self.containers[matched:]
            return
        self._open(rest, matched, at, end)

    def _match(self, line: bytes) -> tuple[int, bytes]:
        """How many open containers the line continues, and what is left of it inside them."""
        rest = line
        for number, (width, empty) in enumerate(self.containers):
            stripped = rest.lstrip(b" ")
            indent = len(rest) - len(stripped)
            if width == _QUOTE:
                if indent > 3 or not stripped.startswith(b">"):
                    return number, rest
                rest = stripped[1:].removeprefix(b" ")
            elif not stripped:
                if empty:
                    return number, rest
            elif indent >= width:
                rest = rest[width:]
                self.containers[number] = (width, False)
            else:
                return number, rest
        return len(self.containers), rest

    def _in_leaf(self, rest: bytes) -> None:
        stripped = rest.strip(b" ")
        if self.fence:
            indent = len(rest) - len(rest.lstrip(b" "))
            if indent < 4 and stripped.startswith(self.fence) and not stripped.strip(self.fence[:1]):
                self.fence = b""
        elif self.html is not None and (not stripped if self.html is _BLANK else self.html.search(rest)):
            self.html = None

    def _open(self, rest: bytes, matched: int, at: int, end: int) -> None:
        """Open the containers that the line starts, then its leaf."""
        para = self.paragraph >= 0
        while True:
            stripped = rest.lstrip(b" ")
            indent = len(rest) - len(stripped)
            if indent >= 4 or not stripped or matched >= _MAX_NESTING:
                break
            lazy = matched < len(self.containers)
            if stripped[:1] == b">":
                content = stripped[1:].removeprefix(b" ")
                item = (_QUOTE, False)
            elif found := self._item(stripped, indent, interrupts=para and not lazy):
                content, item = found
            else:
                break
            self.containers[matched:] = [item]
            matched, rest, para, self.paragraph = matched + 1, content, False, -1
        if indent >= 4 or not stripped:
            self._no_block(rest, stripped, matched, at, end)
        else:
            self._leaf(stripped, matched, at, end)

    def _item(self, stripped: bytes, indent: int, *, interrupts: bool) -> tuple[bytes, tuple[int, bool]] | None:
        marker = _MARKER.match(stripped)
        if marker is None or _BREAK.match(stripped):
            return None
        content = stripped[marker.end() :]
        if interrupts and (not content or (marker[2] and int(marker[2]) != 1)):
            return None
        spaces = len(marker[3])
        if not content or spaces > 4:
            spaces = 1
        width = indent + len(marker[1]) + spaces
        return stripped[len(marker[1]) + spaces :], (width, not content)

    def _no_block(self, rest: bytes, stripped: bytes, matched: int, at: int, end: int) -> None:
        """Indented code, the continuation of a paragraph, or nothing (an empty list item)."""
        if stripped and self.paragraph >= 0:
            self._prose(rest, at, end)
            return
        self.paragraph = -1
        del self.containers[matched:]

    def _leaf(self, stripped: bytes, matched: int, at: int, end: int) -> None:
        lazy = matched < len(self.containers)
        if self._underline(stripped, at, end, lazy=lazy):
            return
        if not self._starts_leaf(stripped, at, end, matched, lazy=lazy):
            if self.paragraph < 0:
                del self.containers[matched:]
                self.paragraph = at
            self._prose(stripped, at, end)
            return
        self.paragraph = -1
        del self.containers[matched:]

    def _underline(self, stripped: bytes, at: int, end: int, *, lazy: bool) -> bool:
        if self.paragraph < 0 or lazy or not _SETEXT.match(stripped):
            return False
        title = self.text[self.paragraph : at].strip()
        self._heading(1 if stripped[:1] == b"=" else 2, title, self.paragraph, end)
        self.paragraph = -1
        return True

    def _heading(self, level: int, title: bytes, start: int, end: int) -> None:
        if not self.containers:
            end = min(end, len(self.text))
            self.headings.append(Heading(level=level, title=title, start=start, end=end))

    def _starts_leaf(self, stripped: bytes, at: int, end: int, matched: int, *, lazy: bool) -> bool:
        first = stripped[:1]
        if first == b"#":
            return self._atx(stripped, at, end, matched)
        if first in (b"`", b"~") and (fence := _FENCE.match(stripped)):
            self.fence, self.leaf_at = fence[1] or fence[2], at
            return True
        if first == b"<":
            return self._html(stripped, at, lone=self.paragraph < 0)
        return _BREAK.match(stripped) is not None

    def _atx(self, stripped: bytes, at: int, end: int, matched: int) -> bool:
        content = stripped.lstrip(b"#")
        level = len(stripped) - len(content)
        if level > 6 or (content and content[:1] != b" "):
            return False
        del self.containers[matched:]
        title = content.strip(b" ")
        bare = title.rstrip(b"#")
        if not bare or bare.endswith(b" "):
            title = bare.rstrip(b" ")
        self._heading(level, title, at, end)
        return True

    def _html(self, stripped: bytes, at: int, *, lone: bool) -> bool:
        for opening, closing in _HTML:
            if opening.match(stripped):
                self.html, self.leaf_at = None if closing.search(stripped) else closing, at
                return True
        if _HTML_BLOCK.match(stripped) or (lone and len(stripped) < _LONG and _HTML_TAG.match(stripped)):
            self.html, self.leaf_at = _BLANK, at
            return True
        return False

    def _prose(self, line: bytes, at: int, end: int) -> None:
        """Look in a line of text for what hides the lines below it; `end` is where the next line starts."""
        if not self.hides or any(width == _QUOTE for width, _ in self.containers):
            return
        line = _CODE_SPAN.sub(b"", line)
        opener = _open_hider(line)
        if opener is None:
            return
        token, starts_line = opener
        close = self.text.find(_CLOSER[token], end)
        if close >= 0:
            self.hidden_to = close + len(_CLOSER[token])
            self.paragraph = -1
        elif starts_line:
            self.hidden_to, self.leaf_at, self.unclosed = len(self.text) + 2, at, _HIDER_NAME[token]


def _open_hider(line: bytes) -> tuple[bytes, bool] | None:
    """The first comment or math that the line opens and does not close, and whether the line starts with it."""
    position = 0
    while opener := _HIDER.search(line, position):
        closer = _CLOSER[opener[1]]
        close = line.find(closer, opener.end())
        if close < 0:
            return opener[1], not line[: opener.start()].strip()
        position = close + len(closer)
    return None


_BLANK = re.compile(rb"\A\s*\Z")
