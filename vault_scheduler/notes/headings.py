"""Headings of a markdown text as markdown and Obsidian see them: a linear scanner over bytes. No I/O.

markdown-it takes seconds on a megabyte, and still sees headings inside `%%`, `$$` and comments that start mid-line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading at the top level of a body: byte offsets of its first line's start and its last line's end."""

    level: int
    title: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The headings of a body as markdown and Obsidian see them, and what runs unclosed to its end, if anything.

    `outer` are the starts of the lines that open a top-level list item or belong to a top-level quote. `dangles`: a
    comment or math is opened that nothing below closes, so that it reads as text until something does.
    """

    headings: tuple[Heading, ...]
    outer: frozenset[int] = frozenset()
    dangles: bool = False
    unclosed: str = ""
    unclosed_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and where its section ends: at the next heading of its level or above, else with the text."""

    heading: Heading
    end: int


def find_section(headings: Sequence[Heading], wanted: Heading | None, length: int) -> Section | None:
    """The section of one of the headings of a text of this length."""
    if wanted is None:
        return None
    below = (h for h in headings if h.start > wanted.start and h.level <= wanted.level)
    return Section(heading=wanted, end=next((h.start for h in below), length))


@lru_cache(maxsize=4)
def outline(body: bytes) -> Outline:
    """One linear pass over a body of any size; a note that is looked at is asked for it several times in a row."""
    return _Scanner(body).scan()


_BLANK = re.compile(rb"\A\s*\Z")
_MAX_NESTING = 20  # as markdown-it; a line of a million dashes must not cost a million copies of itself
_QUOTE = 0
_EMPTY = (b"", b" ")  # " " was CRLF
_SPECIAL = frozenset(bytes([byte]) for byte in b"#>`~<-+*_=0123456789 \t")
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
        self.body = body
        # Same length, one kind of line end: offsets stay those of the body.
        self.text = body.replace(b"\r\n", b" \n").replace(b"\r", b"\n")
        self.headings: list[Heading] = []
        self.outer: set[int] = set()
        self.containers: list[tuple[int, bool]] = []  # (width of a list item or _QUOTE, still empty)
        self.fence = b""
        self.html: re.Pattern[bytes] | None = None  # what ends the HTML block; `_BLANK` for a blank line
        self.paragraph = -1  # where the open paragraph starts
        self.hidden_to = 0
        self.literal: set[bytes] = set()  # tokens that nothing below closes: looked for once, not once a line
        self.leaf_at = 0
        self.unclosed = ""
        self.hides = any(token in self.text for token in _CLOSER)

    def scan(self) -> Outline:
        at = 0
        for line in self.text.split(b"\n"):
            end = at + len(line) + 1
            if end <= self.hidden_to:
                pass
            elif line in _EMPTY and self._outermost():
                self.paragraph = -1
            elif line[:1] not in _SPECIAL and self._outermost() and not self._may_hide(line):
                self.paragraph = at if self.paragraph < 0 else self.paragraph
            elif self.fence and self.fence not in line and not self.containers:
                pass
            elif at < self.hidden_to:
                self._prose(line[self.hidden_to - at :], self.hidden_to, end)
            else:
                self._line(line.expandtabs(4) if b"\t" in line else line, at, end)
            at = end
        return self._outline()

    def _outermost(self) -> bool:
        return not (self.containers or self.fence or self.html)

    def _may_hide(self, line: bytes) -> bool:
        return self.hides and any(token in line for token in _CLOSER)

    def _outline(self) -> Outline:
        if self.fence and not self.containers:
            self.unclosed = "code fence"
        elif self.html and self.html is not _BLANK and not self.containers:
            self.unclosed = "HTML block"
        return Outline(
            headings=tuple(self.headings),
            outer=frozenset(self.outer),
            dangles=bool(self.literal),
            unclosed=self.unclosed,
            unclosed_at=self.leaf_at,
        )

    def _line(self, line: bytes, at: int, end: int) -> None:
        matched, rest = self._match(line)
        if matched and self.containers[0][0] == _QUOTE:
            self.outer.add(at)
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
            if matched == 0:
                self.outer.add(at)
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
        title = self.body[self.paragraph : at].strip().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
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
        close = -1 if token in self.literal else self.text.find(_CLOSER[token], end)
        if close >= 0:
            self.hidden_to = close + len(_CLOSER[token])
            self.paragraph = -1
        elif starts_line:
            self.hidden_to, self.leaf_at, self.unclosed = len(self.text) + 2, at, _HIDER_NAME[token]
        else:
            self.literal.add(token)


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
