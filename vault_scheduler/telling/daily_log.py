"""The daily log: which file, and how lines get into it exactly once. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from vault_scheduler.notes.note import own_text

FULL = 1024 * 1024
"""Bytes above which a day goes on in another file: a task may fire 86,400 times a day, and phones open this note."""

_ITEM = re.compile(rb"[ \t]*[-*+] ")
_TIGHT = re.compile(rb"\r?\n[ \t]*[^\s]")
"""Something follows in the very next line."""
_LINE = re.compile(rb"^- [^\r\n]* \^(?P<id>[A-Za-z0-9-]+)[ \t]*(?=\r?$)", re.MULTILINE)


def file_name(day: date, foreign_host: str = "", part: int = 1) -> str:
    """`2026-11-22.md`; on a machine that does not own the vault `2026-11-22-<host>.md`; `…-part2.md` goes on."""
    host = f"-{re.sub(r'[^A-Za-z0-9._-]', '-', foreign_host)}" if foreign_host else ""
    more = f"-part{part}" if part > 1 else ""
    return f"{day.isoformat()}{host}{more}.md"


def new_file(day: date) -> bytes:
    """A daily log with nothing in it yet. Obsidian shows the name of the note above its text: the heading says more."""
    return f"# {day:%A}, {day.day} {day:%B} {day.year}\n\n".encode()


def block_ids(data: bytes) -> set[str]:
    """The block ids of the lines that stand in the log."""
    return {match["id"].decode() for match in _LINE.finditer(data)}


def put_lines(data: bytes, lines: Mapping[str, str]) -> bytes:
    """The log with these lines (block id → line): where the id stands already the line is replaced, else appended.

    Every other byte stays as it is.
    """
    eol = b"\r\n" if b"\r\n" in data else b"\n"
    places = {match["id"]: match for match in _LINE.finditer(data)}
    pieces: list[bytes] = []
    end = 0
    standing = [(places[b.encode()], line) for b, line in lines.items() if b.encode() in places]
    for match, line in sorted(standing, key=lambda item: item[0].start()):
        pieces += [data[end : match.start()], line.encode("utf-8", "replace")]
        end = match.end()
    rest = data[end:]
    fresh = [line.encode("utf-8", "replace") + eol for block, line in lines.items() if block.encode() not in places]
    whole = b"".join([*pieces, rest])
    gap = eol if fresh and whole and not whole.endswith(b"\n") else b""
    return b"".join([whole, gap, *fresh])


def put_below(data: bytes, heading: str, lines: Mapping[str, str]) -> bytes:
    """As `put_lines` in a note of a person's: lines that are new go below what stands directly under the heading.

    The heading is added at the end of the note if it is missing. Raises NoteRefused where an unclosed fence or comment
    would swallow the lines.
    """
    standing = block_ids(data)
    data = put_lines(data, {block: line for block, line in lines.items() if block in standing})
    fresh = [line.encode("utf-8", "replace") for block, line in lines.items() if block not in standing]
    if not fresh:
        return data
    eol = b"\r\n" if b"\r\n" in data else b"\n"
    text = eol.join(fresh)
    span = own_text(data, heading)
    if span is None:
        return _paragraph(data, eol) + f"## {heading}".encode() + eol + eol + text + eol
    at = _end_of_text(data, *span)
    gap = eol if at > span[0] and _ITEM.match(data[data.rfind(b"\n", 0, at) + 1 : at]) else eol + eol
    rest = data[at:]
    return data[:at] + gap + text + (eol if not rest or _TIGHT.match(rest) else b"") + rest


def _end_of_text(data: bytes, start: int, end: int) -> int:
    """Where the last line of `data[start:end]` that is not blank ends, the line of the heading if all are."""
    last = start + len(data[start:end].rstrip())
    if last == start:
        return len(data[:start].rstrip(b"\r\n"))
    line_end = re.compile(rb"\r?\n|\Z").search(data, last)
    return line_end.start() if line_end else len(data)


def _paragraph(data: bytes, eol: bytes) -> bytes:
    """The text with a blank line at its end, unless it is blank altogether."""
    data = data if not data or data.endswith(b"\n") else data + eol
    return data if not data.strip() or data.endswith((b"\n\n", b"\n\r\n")) else data + eol
