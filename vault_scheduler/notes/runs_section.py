"""The `## Runs` section of a task note: newest first, bounded, idempotent by block id. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from vault_scheduler.errors import NoteRefused
from vault_scheduler.notes.headings import Section, outline
from vault_scheduler.notes.note import Document, editable, refuse_unclosed, runs_section
from vault_scheduler.notes.run_blocks import Block, Piece, RunEntry, blocks_of, joined, new_block, read_pieces

__all__ = ["SECTION_LIMIT", "Inserted", "RunEntry", "insert_runs", "put_runs", "run_ids"]

SECTION_LIMIT = 10 * 1024
"""Bytes that our blocks of one note may take; Obsidian Sync uploads larger notes less often."""
_TEXT_LIMITS = (4000, 1500)  # bytes of a callout's text, tried in turn while the section is too large


@dataclass(frozen=True, slots=True, kw_only=True)
class Inserted:
    """A note with runs put in, and the block ids of ours in its section before and after."""

    data: bytes
    before: frozenset[str]
    after: frozenset[str]


def run_ids(data: bytes) -> set[str]:
    """The block ids of ours in the note's `## Runs` section."""
    doc = Document.parse(data)
    found = outline(doc.body)
    section = runs_section(doc.body, found)
    return {block.id for block in blocks_of(read_pieces(doc.body, section, found))} if section else set()


def insert_runs(data: bytes, entries: Sequence[RunEntry], keep: int, open_runs: Collection[str] = ()) -> bytes:
    """The note with these runs in its `## Runs` section (made at the end if missing), at most `keep` of ours.

    A run whose block id stands already is replaced in place, so that delivering twice changes nothing. The newest run
    and the newest failure are callouts, and `open_runs`, which wait for an answer; all else is one line each. Where the
    text of a run would change how the rest of the note reads, the run is shown without it. Raises NoteRefused where
    even that cannot be shown to leave every other byte alone.
    """
    return put_runs(editable(data), entries, keep, open_runs).data


def put_runs(doc: Document, entries: Sequence[RunEntry], keep: int, open_runs: Collection[str] = ()) -> Inserted:
    """As `insert_runs`, into a document without a fault: a note, or one cut off above its `## Runs`."""
    try:
        return _insert(doc, entries, keep, open_runs)
    except NoteRefused:
        bare = [replace(entry, text=_NOT_SHOWN if entry.text else "") for entry in entries]
        if bare == list(entries):
            raise
        return _insert(doc, bare, keep, open_runs)


_NOT_SHOWN = "The output cannot be shown in this note; `vault-sched logs` shows it."


def _insert(doc: Document, entries: Sequence[RunEntry], keep: int, open_runs: Collection[str]) -> Inserted:
    body = doc.body
    found = outline(body)
    section = runs_section(body, found)
    old = read_pieces(body, section, found) if section else []
    planned = _settled(_bounded(_merged(old, entries), keep, open_runs), old)
    before = frozenset(block.id for block in blocks_of(old))
    if planned == old:
        return Inserted(data=doc.data, before=before, after=before)
    if section is None:
        refuse_unclosed(doc, found)
        new = _with_new_section(doc, planned)
    else:
        new = _with_section(doc, section, planned)
    _verify(doc, new, section, old, planned)
    return Inserted(data=new, before=before, after=frozenset(block.id for block in blocks_of(planned)))


# --- deciding ----------------------------------------------------------------------------------------------


def _merged(old: Sequence[Piece], entries: Sequence[RunEntry]) -> list[Piece]:
    """The old pieces with the entries replaced or put in, newest first; each id once."""
    new = {entry.id: new_block(entry) for entry in entries}
    pieces: list[Piece] = []
    seen = {block.id for block in blocks_of(old) if block.pinned}
    for piece in old:
        if isinstance(piece, bytes) or piece.pinned:
            pieces.append(piece)
        elif piece.id not in seen:
            pieces.append(new.get(piece.id, piece))
            seen.add(piece.id)
    for block in sorted((b for b in new.values() if b.id not in seen), key=lambda b: b.age, reverse=True):
        pieces.insert(_place(pieces, block), block)
    return pieces


def _place(pieces: Sequence[Piece], new: Block) -> int:
    """Before the first older block, else after the last one, else at the top of the section."""
    last = 0
    for number, piece in enumerate(pieces):
        if isinstance(piece, Block):
            if piece.age < new.age:
                return number
            last = number if piece.pinned else number + 1
    return last


def _bounded(pieces: Sequence[Piece], keep: int, open_runs: Collection[str] = ()) -> list[Piece]:
    """Roles given, and cut down to `keep` blocks and SECTION_LIMIT bytes: oldest lines go first."""
    blocks = blocks_of(pieces)
    newest = max((b.age for b in blocks if b.started), default="")
    failure = max((b.age for b in blocks if b.failed), default="")
    kept = {b.age for b in blocks if b.id in open_runs}
    shown = {newest, failure, *kept}
    current = [p if isinstance(p, bytes) or p.pinned or p.age in shown else p.as_line() for p in pieces]
    current = _without(current, keep, shown, newest, kept)
    for limit in _TEXT_LIMITS:
        for role in (failure, newest):
            if _size(current) > SECTION_LIMIT:
                current = [
                    p if isinstance(p, bytes) or p.pinned or p.age != role else p.shortened(limit) for p in current
                ]
    return _within_limit(current, shown, newest, kept)


def _size(pieces: Sequence[Piece]) -> int:
    return sum(block.size() for block in _free(pieces))


def _free(pieces: Sequence[Piece]) -> list[Block]:
    """What we may reshape and throw away; a run with somebody's remark is theirs, and counts for nothing."""
    return [block for block in blocks_of(pieces) if not block.pinned]


def _settled(pieces: Sequence[Piece], old: Sequence[Piece]) -> list[Piece]:
    """What would be written exactly as it stands is what stands: no write, no change of spacing."""
    there = {block.raw: block for block in reversed(_free(old))}
    return [p if isinstance(p, bytes) or p.pinned else there.get(p.lines(), p) for p in pieces]


def _expendable(pieces: Sequence[Piece], shown: set[str], newest: str, kept: set[str]) -> list[Block]:
    """What goes first: lines from the oldest, then the newest failure, the newest run last; open questions never."""
    free = [block for block in _free(pieces) if block.age not in kept]
    return sorted(free, key=lambda b: (b.age == newest, b.age in shown, b.age))


def _without(pieces: list[Piece], keep: int, shown: set[str], newest: str, kept: set[str]) -> list[Piece]:
    surplus = max(0, len(_free(pieces)) - max(0, keep))
    return _drop(pieces, {block.id for block in _expendable(pieces, shown, newest, kept)[:surplus]})


def _within_limit(pieces: list[Piece], shown: set[str], newest: str, kept: set[str]) -> list[Piece]:
    size = _size(pieces)
    gone: set[str] = set()
    for block in _expendable(pieces, shown, newest, kept):
        if size <= SECTION_LIMIT:
            break
        gone.add(block.id)
        size -= block.size()
    return _drop(pieces, gone)


def _drop(pieces: Sequence[Piece], gone: set[str]) -> list[Piece]:
    """Without these blocks, and without the blank lines that set them off from our block above."""
    left: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) or piece.pinned or piece.id not in gone:
            left.append(piece)
        elif len(left) > 1 and isinstance(left[-2], Block) and isinstance(left[-1], bytes) and not left[-1].strip():
            left.pop()
    return left


# --- writing -----------------------------------------------------------------------------------------------


def _with_new_section(doc: Document, pieces: Sequence[Piece]) -> bytes:
    eol = b"\r\n" if doc.data.endswith(b"\r\n") else b"\n" if doc.data.endswith(b"\n") else doc.eol
    data = doc.data
    complete = data.endswith(b"\n")
    gap = b"" if complete else eol
    if doc.body.strip() and not data.endswith((b"\n\n", b"\n\r\n")):
        gap += eol
    text = _emit(pieces, eol)
    return data + gap + b"## Runs" + eol + (text if complete else text.removesuffix(eol))


def _with_section(doc: Document, section: Section, pieces: Sequence[Piece]) -> bytes:
    start, end = doc.body_start + section.heading.end, doc.body_start + section.end
    head, tail = doc.data[:start], doc.data[end:]
    eol = doc.eol if not head.endswith(b"\n") else b"\r\n" if head.endswith(b"\r\n") else b"\n"
    text = _emit(pieces, eol)
    last = pieces[-1] if pieces else b""
    if isinstance(last, Block) and last.fresh and tail:
        text += eol
    if isinstance(last, Block) and not doc.data.endswith(b"\n"):
        text = text.removesuffix(eol) if not tail else text
    return head + (b"" if head.endswith(b"\n") or not text else eol) + text + tail


def _emit(pieces: Sequence[Piece], eol: bytes) -> bytes:
    """The pieces as bytes: lines of ours close together, callouts and other text set off by blank lines."""
    parts = joined(pieces)
    out = b""
    previous: Piece | None = None
    for number, piece in enumerate(parts):
        if isinstance(piece, bytes):
            following = parts[number + 1] if number + 1 < len(parts) else None
            if isinstance(previous, Block) and isinstance(following, Block) and not piece.strip():
                continue  # blank lines between two of ours
            if isinstance(previous, Block) and not previous.pinned and piece.split(b"\n", 1)[0].strip():
                out += eol
            out += piece
        else:
            out += _separator(previous, piece, out, eol)
            out += b"".join(line.encode("utf-8", "surrogateescape") + eol for line in piece.lines())
        previous = piece
    return out


def _separator(previous: Piece | None, block: Block, out: bytes, eol: bytes) -> bytes:
    if isinstance(previous, Block):
        return eol if previous.text is not None or block.text is not None else b""
    ends_blank = not out or not out.rstrip(b" \t").removesuffix(b"\n").rstrip(b"\r").split(b"\n")[-1].strip()
    return eol if block.fresh and not ends_blank else b""


# --- proving -----------------------------------------------------------------------------------------------


def _verify(doc: Document, new: bytes, section: Section | None, old: list[Piece], planned: list[Piece]) -> None:
    """Re-read the result: same frontmatter, same definition, same other text, our runs and no others."""
    again = Document.parse(new)
    body = again.body
    found = outline(body)
    there = runs_section(body, found)
    if again.fault or again.block != doc.block or new[: doc.body_start] != doc.data[: doc.body_start] or there is None:
        raise NoteRefused("with the runs in it the note would not read as before; nothing was written")
    pieces = read_pieces(body, there, found)
    if [(b.id, b.lines()) for b in blocks_of(pieces)] != [(b.id, b.lines()) for b in blocks_of(planned)]:
        raise NoteRefused("the runs would not read back as written; nothing was written")
    if not _same_outside(doc, new, again, section, there):
        raise NoteRefused("text outside the runs would have changed; nothing was written")
    if _other_lines(pieces) != _other_lines(old):
        raise NoteRefused("text between the runs would have changed; nothing was written")


def _same_outside(doc: Document, new: bytes, again: Document, before: Section | None, after: Section) -> bool:
    """Byte for byte; and what the note defines is still what stands above the section."""
    above = again.body[: after.heading.start]
    if before is None:
        at_end = new.startswith(doc.data) and after.end == len(again.body)
        return at_end and above.rstrip(b" \t\r\n") == doc.body.rstrip(b" \t\r\n")
    return doc.body[: before.heading.start] == above and doc.body[before.end :] == again.body[after.end :]


def _other_lines(pieces: Sequence[Piece]) -> list[bytes]:
    """The lines of other people, without the blank ones, whose number may change between our blocks."""
    return [line for piece in pieces if isinstance(piece, bytes) for line in piece.split(b"\n") if line.strip()]
