"""The daily log: which file, and how lines get into it exactly once. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

_LINE = re.compile(rb"^- [^\r\n]* \^(?P<id>[A-Za-z0-9-]+)[ \t]*(?=\r?$)", re.MULTILINE)


def file_name(day: date, foreign_host: str = "") -> str:
    """`2026-11-22.md`; on a machine that does not own the vault `2026-11-22-<host>.md`."""
    suffix = f"-{foreign_host}" if foreign_host else ""
    return f"{day.isoformat()}{suffix}.md"


def new_file(day: date) -> bytes:
    """A daily log with nothing in it yet."""
    return f"# {day.isoformat()}\n\n".encode()


def put_lines(data: bytes, lines: Mapping[str, str]) -> bytes:
    """The log with these lines (block id → line): where the id stands already the line is replaced, else appended."""
    eol = b"\r\n" if b"\r\n" in data else b"\n"
    places = {match["id"]: match for match in _LINE.finditer(data)}
    pieces: list[bytes] = []
    end = 0
    standing = [(places[b.encode()], line) for b, line in lines.items() if b.encode() in places]
    for match, line in sorted(standing, key=lambda item: item[0].start()):
        pieces += [data[end : match.start()], line.encode("utf-8", "replace")]
        end = match.end()
    rest = data[end:]
    pieces.append(rest if not rest or rest.endswith(b"\n") else rest + eol)
    pieces += [line.encode("utf-8", "replace") + eol for block, line in lines.items() if block.encode() not in places]
    return b"".join(pieces)
