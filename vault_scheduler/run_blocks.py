"""Our blocks in a `## Runs` section: a callout or a line per run, how each is written and recognised. No I/O.

A block is ours by its shape and block id, at the top level of the section; all other text is the person's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vault_scheduler.headings import Outline, Section
from vault_scheduler.run import Outcome

SIGNS = {
    Outcome.SUCCESS: "✅",
    Outcome.FAILURE: "❌",
    Outcome.TIMEOUT: "⏱",
    Outcome.CANCELLED: "⏹",
    Outcome.ABANDONED: "💥",
    Outcome.BLOCKED: "✋",
    Outcome.SKIPPED: "⏭",
    Outcome.MISSED: "⏭",
}
"""One sign per outcome, in the lines of notes."""

CALLOUTS = {
    Outcome.SUCCESS: "success",
    Outcome.FAILURE: "failure",
    Outcome.TIMEOUT: "fail",
    Outcome.CANCELLED: "warning",
    Outcome.ABANDONED: "error",
    Outcome.BLOCKED: "question",
    Outcome.SKIPPED: "info",
    Outcome.MISSED: "info",
}
"""Obsidian's callout types, one per outcome (two are aliases), so that a callout can become a line again."""

_OUTCOME_OF_CALLOUT = {name: outcome for outcome, name in reversed(CALLOUTS.items())}
_FAILED_SIGNS = tuple(sign for outcome, sign in SIGNS.items() if outcome.is_failed)
_STARTED_SIGNS = tuple(SIGNS[o] for o in SIGNS if o not in (Outcome.BLOCKED, Outcome.SKIPPED, Outcome.MISSED))

_ID = r"\^(r-\d{8}T\d{6}Z-[0-9a-f]{6})[ \t]*"
_LINE = re.compile(rf"- (\d{{4}}-\d\d-\d\d [^\r\n]*) {_ID}")
_HEADER = re.compile(r"> \[!([a-z]+)\]- (\d{4}-\d\d-\d\d [^\r\n]*?)[ \t]*")
_FOOTER = re.compile(_ID)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One run, or one range of fire times that did not start, as the note shows it."""

    id: str  # the run id, `r-<UTC>-<hex>`: also the block id
    when: str  # local: "2026-11-20 07:00", for a range "2026-11-14 … 17"
    outcome: Outcome
    facts: tuple[str, ...] = ()  # "41 s", "$0.09", "exit 1: no such file", "missed 4 × (asleep)"
    text: str = ""  # markdown that can do no harm

    @property
    def started(self) -> bool:
        """Whether there was a run that can be shown as a callout; a range or a fire time not run is a line."""
        if self.outcome in (Outcome.SKIPPED, Outcome.MISSED) or "…" in self.when:
            return False
        return self.outcome is not Outcome.BLOCKED or bool(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One of ours. `text` is None for a line; `pinned` if a person wrote something onto it, so it stays as it is."""

    id: str
    outcome: Outcome | None  # None: a line, whose outcome only its sign tells
    title: str  # of a callout: "when · facts"; of a line: "when sign facts"
    text: str | None = None
    started: bool = False
    failed: bool = False
    pinned: bool = False
    fresh: bool = False  # not in the note in this form
    raw: tuple[str, ...] = ()  # the lines as they stand

    @property
    def age(self) -> str:
        """Sorts by the UTC second of the id; the hex only makes the order total."""
        return self.id

    def lines(self) -> tuple[str, ...]:
        """As it is to stand in the note, without line ends."""
        if not self.fresh:
            return self.raw
        if self.text is None or self.outcome is None:
            return (f"- {self.title} ^{self.id}",)
        text = [f"> {line}".rstrip() for line in self.text.split("\n")] if self.text else []
        return (f"> [!{CALLOUTS[self.outcome]}]- {self.title}", *text, ">", f"> ^{self.id}")

    def size(self) -> int:
        """Bytes in the note, with line ends and a separating blank line."""
        return sum(len(line.encode("utf-8", "surrogateescape")) + 2 for line in self.lines()) + 2

    def as_line(self) -> Block:
        """The callout as one line: its text goes, its facts stay."""
        if self.text is None or self.outcome is None:
            return self
        when, _, facts = self.title.partition(" · ")
        title = " ".join(part for part in (when, SIGNS[self.outcome], facts) if part)
        return replace(self, title=title, text=None, fresh=True)

    def shortened(self, limit: int) -> Block:
        """The callout with at most `limit` bytes of text."""
        if self.text is None or len(self.text.encode("utf-8", "replace")) <= limit:
            return self
        return replace(self, text=_shorten(self.text, limit), fresh=True)


Piece = Block | bytes  # in the order of the section; bytes are other people's


def new_block(entry: RunEntry) -> Block:
    """What stands for a run that is not in the note yet, or no longer in this form."""
    facts = (" ".join(fact.split()) for fact in entry.facts)
    title = " · ".join(part for part in (entry.when, *facts) if part)
    block = Block(
        id=entry.id,
        outcome=entry.outcome,
        title=title,
        text="\n".join(re.split("\r\n|\r|\n", entry.text.strip("\r\n"))),
        started=entry.started,
        failed=entry.outcome.is_failed,
        fresh=True,
    )
    return block if entry.started else block.as_line()


def read_pieces(body: bytes, section: Section, found: Outline) -> list[Piece]:
    """The section below its heading, cut into our blocks and everything else."""
    lines = [_Line.of(raw, at, found) for raw, at in _lines(body, section.heading.end, section.end)]
    pieces: list[Piece] = []
    number = 0
    while number < len(lines):
        block, number_after = _block_at(lines, number)
        if block is None:
            pieces.append(lines[number].raw)
            number += 1
        else:
            pieces.append(replace(block, pinned=_is_written_on(lines, number_after)))
            number = number_after
    return joined(pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    raw: bytes
    text: str  # without line end; "" unless it is a top-level list item or quote

    @classmethod
    def of(cls, raw: bytes, at: int, found: Outline) -> _Line:
        outer = at in found.outer
        return cls(raw=raw, text=raw.decode("utf-8", "surrogateescape").rstrip("\r\n") if outer else "")


def _lines(body: bytes, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    while start < end:
        stop = body.find(b"\n", start, end)
        stop = end if stop < 0 else stop + 1
        yield body[start:stop], start
        start = stop


def _block_at(lines: list[_Line], number: int) -> tuple[Block | None, int]:
    """Our block that starts with this line, and the number of the line after it."""
    text = lines[number].text
    if line := _LINE.fullmatch(text):
        title = line[1]
        ranged = "…" in title
        return Block(
            id=line[2],
            outcome=None,
            title=title,
            started=not ranged and _has_sign(title, _STARTED_SIGNS),
            failed=_has_sign(title, _FAILED_SIGNS),
            raw=(text,),
        ), number + 1
    header = _HEADER.fullmatch(text)
    if header is None or header[1] not in _OUTCOME_OF_CALLOUT:
        return None, number
    return _callout_at(lines, number, _OUTCOME_OF_CALLOUT[header[1]], header[2])


def _has_sign(title: str, signs: tuple[str, ...]) -> bool:
    words = title.split(" ", 3)  # date, time, sign, facts
    return len(words) > 2 and words[2] in signs


def _callout_at(lines: list[_Line], number: int, outcome: Outcome, title: str) -> tuple[Block | None, int]:
    """The callout down to its block id; an id inside a code fence of its text is output, not ours."""
    content: list[str] = []
    fence = ""
    for after in range(number + 1, len(lines)):
        text = lines[after].text
        if not text.startswith(">"):
            break
        inner = text[1:].removeprefix(" ")
        if not fence and (footer := _FOOTER.fullmatch(inner)):
            block = Block(
                id=footer[1],
                outcome=outcome,
                title=title,
                text="\n".join(content).removesuffix("\n") if content != [""] else "",
                started=True,
                failed=outcome.is_failed,
                raw=tuple(line.text for line in lines[number : after + 1]),
            )
            return block, after + 1
        fence = _fence_after(fence, inner)
        content.append(inner)
    return None, number


def _fence_after(fence: str, line: str) -> str:
    """The code fence that is open below the line."""
    found = _FENCE.match(line)
    if not fence:
        return found[1] if found and not (found[1][0] == "`" and "`" in line[found.end() :]) else ""
    closes = found and found[1].startswith(fence) and not line[found.end() :].strip()
    return "" if closes else fence


def _is_written_on(lines: list[_Line], number: int) -> bool:
    """Whether the line below a block of ours continues it with somebody's text."""
    if number == len(lines) or not lines[number].raw.strip():
        return False
    return _block_at(lines, number)[0] is None


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Neighbouring bytes as one piece."""
    result: list[Piece] = []
    for piece in pieces:
        if result and isinstance(piece, bytes) and isinstance(last := result[-1], bytes):
            result[-1] = last + piece
        else:
            result.append(piece)
    return result


def blocks_of(pieces: Sequence[Piece]) -> list[Block]:
    """Ours, in the order of the section."""
    return [piece for piece in pieces if isinstance(piece, Block)]


def _shorten(text: str, limit: int) -> str:
    """The first lines of a text, with its code fence closed, and a mark that something is missing."""
    kept: list[str] = []
    fence, size = "", 0
    for line in text.split("\n"):
        size += len(line.encode("utf-8", "replace")) + 1
        if size > limit:
            break
        kept.append(line)
        fence = _fence_after(fence, line)
    return "\n".join([*kept, *([fence] if fence else []), "…"])
