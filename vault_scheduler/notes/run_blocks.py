"""Our blocks in a `## Runs` section: a callout or a line per run, how each is written and recognised. No I/O.

A block is ours by its shape and block id, at the top level of the section; all other text is the person's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vault_scheduler.notes.headings import Outline, Section
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

_ID = r"\^(r-\d{8}T\d{6}Z-[0-9a-f]{6,64})[ \t]*"  # six digits, more where they would be those of another run
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
        text = [f"> {line}".rstrip(" \t") for line in self.text.split("\n")] if self.text else []
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
    title = _encodable(" · ".join(part for part in (entry.when, *facts) if part))
    block = Block(
        id=entry.id,
        outcome=entry.outcome,
        title=title,
        text=_closed(re.split("\r\n|\r|\n", _encodable(entry.text).strip("\r\n"))),
        started=entry.started,
        failed=entry.outcome.is_failed,
        fresh=True,
    )
    return block if entry.started else block.as_line()


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _closed(lines: Sequence[str]) -> str:
    """The lines as a text whose code fence is closed, so that it cannot swallow the block id below it."""
    fence = ""
    for line in lines:
        fence = _fence_after(fence, line)
    return "\n".join([*lines, fence] if fence else lines)


def read_pieces(body: bytes, section: Section, found: Outline) -> list[Piece]:
    """The section below its heading, cut into our blocks and everything else."""
    reader = _Reader(body=body, end=section.end, outer=found.outer)
    pieces: list[Piece] = []
    position = section.heading.end
    for at in sorted(start for start in found.outer if position <= start < section.end):
        if at < position:
            continue
        block, after = reader.block(at)
        if block is not None:
            pieces += [body[position:at], block] if at > position else [block]
            position = after
    if position < section.end:
        pieces.append(body[position : section.end])
    return pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Finds a block of ours at an offset; only lines that belong to top-level list items and quotes are looked at."""

    body: bytes
    end: int
    outer: frozenset[int]

    def block(self, at: int) -> tuple[Block | None, int]:
        """The block that starts here and the offset below it; pinned if the line below continues it."""
        block, after = self._unpinned(at)
        if block is None or after >= self.end:
            return block, after
        continued = self._raw(after)[0].strip() and self._unpinned(after)[0] is None
        return (replace(block, pinned=True) if continued else block), after

    def _raw(self, at: int) -> tuple[bytes, int]:
        stop = self.body.find(b"\n", at, self.end) + 1 or self.end
        return self.body[at:stop], stop

    def _line(self, at: int) -> tuple[str, int]:
        """The line without its end, "" unless it may be ours; and where the next one starts."""
        raw, after = self._raw(at)
        return (raw.decode("utf-8", "surrogateescape").rstrip("\r\n") if at in self.outer else ""), after

    def _unpinned(self, at: int) -> tuple[Block | None, int]:
        text, after = self._line(at)
        if line := _LINE.fullmatch(text):
            return _line_block(line), after
        header = _HEADER.fullmatch(text)
        if header is None or header[1] not in _OUTCOME_OF_CALLOUT:
            return None, at
        return self._callout(header, after)

    def _callout(self, header: re.Match[str], at: int) -> tuple[Block | None, int]:
        """The callout down to its block id; an id inside a code fence of its text is output, not ours."""
        raw = [header[0]]
        fence = ""
        while at < self.end:
            text, at = self._line(at)
            if not text.startswith(">"):
                break
            raw.append(text)
            inner = text[1:].removeprefix(" ")
            if not fence and (footer := _FOOTER.fullmatch(inner)):
                return _callout_block(header, footer[1], tuple(raw)), at
            fence = _fence_after(fence, inner)
        return None, at


def _line_block(line: re.Match[str]) -> Block:
    title = line[1]
    return Block(
        id=line[2],
        outcome=None,
        title=title,
        started="…" not in title.split(" · ")[0] and _has_sign(title, _STARTED_SIGNS),
        failed=_has_sign(title, _FAILED_SIGNS),
        raw=(line[0],),
    )


def _has_sign(title: str, signs: tuple[str, ...]) -> bool:
    words = title.split(" ", 3)  # date, time, sign, facts
    return len(words) > 2 and words[2] in signs


def _callout_block(header: re.Match[str], block_id: str, raw: tuple[str, ...]) -> Block:
    outcome = _OUTCOME_OF_CALLOUT[header[1]]
    inner = [line[1:].removeprefix(" ") for line in raw[1:-1]]
    if inner and not inner[-1]:
        inner.pop()  # the blank line above the block id
    return Block(
        id=block_id,
        outcome=outcome,
        title=header[2],
        text="\n".join(inner),
        started=True,
        failed=outcome.is_failed,
        raw=raw,
    )


def _fence_after(fence: str, line: str) -> str:
    """The code fence that is open below the line."""
    found = _FENCE.match(line)
    if not fence:
        return found[1] if found and not (found[1][0] == "`" and "`" in line[found.end() :]) else ""
    closes = found and found[1].startswith(fence) and not line[found.end() :].strip()
    return "" if closes else fence


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
    """The beginning of a text and a mark that something is missing.

    Cut between paragraphs or inside a code fence only: half a code span would let loose what it holds.
    """
    lines = text.split("\n")
    fence, size, kept = "", 0, 0
    for number, line in enumerate(lines):
        if fence or not line.strip():
            kept = number
        size += len(line.encode("utf-8", "replace")) + 1
        if size > limit:
            break
        fence = _fence_after(fence, line)
    return "\n".join([*_closed(lines[:kept]).split("\n"), "…"] if kept else ["…"])
