"""What a run printed or Claude answered, made harmless before it enters a note (rule 7).

Everything here takes hostile text. The order for a run's output: `Masker` on the stream, `clean`, `Masker` once more
(an escape sequence may have hidden a secret), `head_and_tail`, then `fenced` or `harmless_markdown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vault_scheduler.text.masking import Masker

__all__ = ["Masker", "clean", "fenced", "harmless_markdown", "head_and_tail", "message_line", "one_line", "plain_line"]

_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # titles, hyperlinks
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # device strings
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_LINE_END = re.compile(r"\r+\n|[\r\u2028\u2029]")
# Control characters but tab and newline; BOM; the marks that turn the direction of text and so hide it.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Plain text: LF line ends, no ANSI sequences, no control characters, nothing that cannot be encoded."""
    if text.isascii() and text.isprintable():
        return text  # as nearly all of it is
    text = _ANSI.sub("", text)
    text = _LINE_END.sub("\n", text)
    text = _CONTROL.sub("", text)
    return _SURROGATE.sub("\ufffd", text)


def head_and_tail(text: str, limit: int = 2000) -> str:
    """At most `limit` characters: the beginning, how much was left out, and the end."""
    if len(text) <= limit:
        return text
    room = limit - len(f"\n… {len(text):,} characters left out …\n")
    if room <= 0:
        return text[:limit]
    head = _whole_lines(text[: room // 2])
    tail = text[-(room - room // 2) :]
    newline = tail.find("\n")
    if 0 <= newline < len(tail) // 2:
        tail = tail[newline + 1 :]
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n… {left_out:,} characters left out …\n{tail}"


def _whole_lines(head: str) -> str:
    newline = head.rfind("\n")
    return head[:newline] if newline > len(head) // 2 else head


def plain_line(text: str, limit: int = 200) -> str:
    """One line of plain text, for properties, notifications and terminals; not for markdown."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def one_line(text: str, limit: int = 200) -> str:
    """One line in which no markdown acts, for reasons and list lines; `limit` counts visible characters."""
    return _escaped(_break_everywhere(plain_line(text, limit)))


def message_line(text: str, limit: int = 200) -> str:
    """As `one_line`, for our own messages: what they put between backticks is shown as code, unless it would act."""
    parts = _CODE.split(_break_everywhere(plain_line(text, limit)))
    return "".join(_code(part) if number % 2 else _escaped(part) for number, part in enumerate(parts))


_CODE = re.compile("`([^`]+)`")


def _code(text: str) -> str:
    return _escaped(f"`{text}`") if _ACTIVE_CODE.match(text) or "%%" in text or not text.strip() else f"`{text}`"


def _escaped(line: str) -> str:
    return _ANY_MARK.sub(r"\\\g<0>", line)


_ANY_MARK = re.compile(r"[\\`*_\[\]<>$%^=~|#!]|(?<=:):|^[-+](?=\s|$|[-+])|(?<=^\d)[.)]")


def fenced(text: str) -> str:
    """The text in one `text` code fence, longer than any run of backticks inside; "" for nothing."""
    body = clean(text).strip("\n")
    return "\n".join(_fence(body.split("\n"))) if body.strip() else ""


def _fence(lines: list[str]) -> list[str]:
    lines = [_break_everywhere(line) for line in lines]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    marks = "`" * max(3, longest + 1)
    return [f"{marks}text", *lines, marks]


_CONFLICT = ("<<<<<<< ", "||||||| ", ">>>>>>> ")
_OWN_ID = re.compile(r"\^(?=r-\d{8}T)")


def _break_everywhere(line: str) -> str:
    """What acts on the bare text of a note, code or not: Templater's `<%`, the block ids of our runs, git's markers.

    A note with conflict markers counts as unresolved, and its properties as unreadable.
    """
    line = _OWN_ID.sub("^ ", line.replace("<%", "< %"))
    return f" {line}" if line.startswith(_CONFLICT) else line


# --- Claude's answers ------------------------------------------------------------------------------------

_FENCE_OPENS = re.compile(r"([ \t]*)(`{3,}(?=[^`]*$)|~{3,})")
_CONTAINERS = re.compile(r"[ \t]*(?:(?:>|[-*+](?=[ \t])|\d{1,9}[.)](?=[ \t]))[ \t]*)*")
_QUOTES = re.compile(r"[ \t>]*")
_DASHES = re.compile(r"-[-\s]*")
_EQUALS = re.compile(r"=+\s*")
_HEADING = re.compile(r"#{1,6}(?=[ \t]|\Z)")
_BLOCK_ID = re.compile(r"(^|(?<=\s))\^(?=[A-Za-z0-9-]+\s*$)")
_TABLE_RULE = re.compile(r"(?=.*-)(?=.*[|:])[ \t>|:-]+")
_WIKI_LINK = re.compile(r"\[\[[^\[\]`<>\n]+\]\]")
_LINK_TARGET = re.compile(r"(?i)(?:https?://|mailto:)[^\s<>\\]*|[^\s:&<>\\()]+")
_ACTIVE_CODE = re.compile(r"\s*(?:[=$]|(?:INPUT|VIEW|BUTTON)\[|button-)")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def harmless_markdown(text: str) -> str:
    """An answer that keeps paragraphs, lists, emphasis, links, `[[links]]`, tables and code, and nothing that acts.

    Embeds, images, HTML, formulas, comments, template tags, block ids, link definitions, live inline code and
    fence languages become plain text; headings become bold, so that no section of the note is opened or
    closed. Every fence is closed: what follows the answer in the note is not swallowed.
    """
    source = clean(text).strip("\n").split("\n")
    has_table = any(_TABLE_RULE.fullmatch(line) for line in source)
    lines: list[str] = []
    for kind, part in _parts(source):
        if kind == "code":
            lines += _fence(part)
        else:
            lines += _text_lines(part[0], first=not lines, has_table=has_table)
    return "\n".join(lines).strip("\n")


def _parts(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The text's code blocks, whole and without their fences, and its other lines, one by one."""
    at = 0
    while at < len(lines):
        opens = _FENCE_OPENS.match(lines[at])
        if not opens:
            yield "text", [lines[at]]
            at += 1
            continue
        end = _closing_fence(lines, at + 1, opens[2])
        yield "code", [_dedent(line, len(opens[1])) for line in lines[at + 1 : end]]
        at = end + 1


def _closing_fence(lines: list[str], start: int, marks: str) -> int:
    closes = re.compile(rf"[ \t]*{re.escape(marks[0])}{{{len(marks)},}}[ \t]*")
    return next((at for at in range(start, len(lines)) if closes.fullmatch(lines[at])), len(lines))


def _dedent(line: str, width: int) -> str:
    return line[min(width, len(line) - len(line.lstrip(" \t"))) :]


def _text_lines(line: str, *, first: bool, has_table: bool) -> list[str]:
    line = _break_everywhere(line)
    quotes = _match(_QUOTES, line)
    if _DASHES.fullmatch(line, len(quotes)):
        return [quotes + _rule(line[len(quotes) :].strip(), first)]
    prefix = _match(_CONTAINERS, line)
    rest = line[len(prefix) :]
    if heading := _HEADING.match(rest):
        return _bold(prefix, _title(rest[heading.end() :]), has_table)
    if _EQUALS.fullmatch(rest) or _DASHES.fullmatch(rest):
        return [f"{prefix}\\{rest}"]
    if first and line.startswith("---"):
        prefix, rest = "", f"\\{line}"
    return [prefix + _inline(_BLOCK_ID.sub(r"\\^", rest), has_table)]


def _title(line: str) -> str:
    """What a heading says, without the marks that may close it; a pattern for both was quadratic on spaces."""
    title = line.strip(" \t")
    bare = title.rstrip("#")
    return bare.rstrip(" \t") if not bare or bare[-1] in " \t" else title


def _match(pattern: re.Pattern[str], line: str) -> str:
    found = pattern.match(line)
    return found.group() if found else ""


def _rule(dashes: str, first: bool) -> str:
    """A line of dashes is a rule, a heading's underline or a frontmatter fence; only the first is harmless."""
    if first or len(dashes.replace(" ", "").replace("\t", "")) < 3:
        return "\\" + dashes
    return "***"


def _bold(prefix: str, title: str, has_table: bool) -> list[str]:
    words = _inline(_BLOCK_ID.sub(r"\\^", title.replace("**", "").strip()), has_table)
    if not words:
        return [f"{prefix}\\#"]
    line = f"{prefix}**{words}**"
    return [line] if prefix.strip() else ["", line, ""]


def _inline(line: str, has_table: bool) -> str:
    return _Inline(line, has_table).harmless()


class _Inline:
    """One line of text, made harmless from left to right; what was given out so far is never looked at again."""

    def __init__(self, line: str, has_table: bool) -> None:
        self.line = line
        self.has_table = has_table
        self.given: list[str] = []
        self.ends = _runs_by_length(line)

    def harmless(self) -> str:
        at = 0
        while at < len(self.line):
            at += self._step(at)
        return "".join(self.given)

    def _step(self, at: int) -> int:
        """Give out what stands at `at`; the number of characters of the source that this took."""
        character = self.line[at]
        following = self.line[at + 1 : at + 2]
        if character == "\\" and following in _PUNCTUATION and following:
            return self._escaped(at, following)
        if character in "`~":
            return self._run(at, character)
        if character == "[" and (link := _WIKI_LINK.match(self.line, at)) and "%%" not in link.group():
            return self._give(link.group(), len(link.group()))
        return self._give(self._one(at, character, following), 1)

    def _escaped(self, at: int, following: str) -> int:
        if following == "!" and self.line[at + 2 : at + 3] == "[":
            return self._give("! ", 2)
        if following == "%" and self._last() == "%":
            return self._give("\\%", 2)
        return self._give("\\" + following, 2)

    def _run(self, at: int, mark: str) -> int:
        length = len(self.line) - at - len(self.line[at:].lstrip(mark))
        if mark == "~" and length < 3:
            return self._give(mark * length, length)
        end = self._span_end(at, length) if mark == "`" else None
        if end is None:
            return self._give(f"\\{mark}" * length, length)
        return self._give(self.line[at:end], end - at)

    def _span_end(self, at: int, length: int) -> int | None:
        """The end of the inline code that begins at `at`; None where it has none or would act."""
        if length > 2:
            return None
        ends = self.ends.get(length, [])
        while ends and ends[-1] < at + length:
            ends.pop()
        if not ends:
            return None
        code = self.line[at + length : ends[-1]]
        splits = "|" in code and self.has_table  # a table cell would end in it and let its parts loose
        if _ACTIVE_CODE.match(code) or "%%" in code or splits:
            return None
        return ends[-1] + length

    def _one(self, at: int, character: str, following: str) -> str:
        last = self._last()
        if character == "!" and following == "[":
            return "! "
        if (
            character == "$"
            or (character == "<" and (following.isalpha() or following in ("/", "!", "?")))
            or (character == "%" and last == "%")
            or (character == ":" and last == "]" and (following == ":" or not self._is_behind_a_link()))
            or (character == "(" and last == "]" and not self._is_safe_target(at + 1))
        ):
            return "\\" + character
        return character

    def _is_safe_target(self, at: int) -> bool:
        """Whether a link leads to the web, to a mail address or to a path; `file:` and `obsidian:` would act."""
        target = _LINK_TARGET.match(self.line, at)
        return target is not None and self.line[target.end() : target.end() + 1] in ("", " ", "\t", ")")

    def _is_behind_a_link(self) -> bool:
        """A wikilink, and no label that a `:` would make the definition of a link."""
        return self.given[-1].startswith("[[")

    def _last(self) -> str:
        return self.given[-1][-1:] if self.given else ""

    def _give(self, text: str, taken: int) -> int:
        self.given.append(text)
        return taken


def _runs_by_length(line: str) -> dict[int, list[int]]:
    """Where runs of backticks start, by length; the last of each list is the first in the line."""
    runs: dict[int, list[int]] = {}
    for run in re.finditer("`+", line):
        runs.setdefault(len(run.group()), []).append(run.start())
    return {length: starts[::-1] for length, starts in runs.items()}
