"""The `output` of a task: which note or heading it goes to, and how it is put there. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from vault_scheduler.notes.note import heading_end
from vault_scheduler.text.moment_format import formatted

_FIELD = re.compile(r"\{\{\s*(?P<name>date|time|title)(?::(?P<format>[^}]*))?\s*\}\}")
_MARKER = re.compile(rb"^\^[ro](?P<rest>-[A-Za-z0-9-]+)[ \t]*\r?$", re.MULTILINE)
_LOG_LINE = re.compile(rb"- \d\d:\d\d ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an output goes: a whole note, or the end of a heading's section."""

    path: str  # vault-relative, ends in .md; DAILY_NOTE for the daily note of that day
    heading: str = ""


def place_of(output: str, *, local: datetime, title: str) -> Place:
    """`output` with its fields filled in: `{{date}}`, `{{date:FORMAT}}`, `{{time}}`, `{{title}}`.

    `local` is the fire time in the task's zone. Raises ValueError for a format token that is not known.
    """

    def fill(match: re.Match[str]) -> str:
        if match["name"] == "title":
            return title
        default = "YYYY-MM-DD" if match["name"] == "date" else "HH-mm"
        return formatted(match["format"] or default, local)

    path, _, heading = _FIELD.sub(fill, output).partition("#")
    return Place(path=path.strip(), heading=heading.strip())


def is_ours(data: bytes, base_hash: str) -> bool:
    """Whether a note holds nothing, or what we last wrote into it (SHA-256, hex)."""
    return not data.strip() or hashlib.sha256(data).hexdigest() == base_hash


def sibling(path: str, fire_time: datetime, run: str) -> str:
    """The name beside `path` for an output that must not replace what is there: with the time, one per run."""
    note = PurePosixPath(path)
    return str(note.with_name(f"{note.stem} {fire_time.strftime('%Y-%m-%d %H%M')} {run[-6:]}{note.suffix}"))


def append_below(data: bytes, heading: str, text: str, block_id: str) -> bytes:
    """`text` at the end of the heading's section (made at the end of the note if missing), once per block id."""
    marker = f"^{block_id}"
    if _stands(data, marker.encode()):
        return data
    eol = b"\r\n" if b"\r\n" in data else b"\n"
    block = f"{text.strip()}\n\n{marker}\n".encode("utf-8", "replace").replace(b"\n", eol)
    end = heading_end(data, heading)
    if end is None:
        gap = eol if data.strip() else b""
        return _on_new_line(data, eol) + gap + f"## {heading}".encode() + eol + eol + block
    before, after = _on_new_line(data[:end], eol), data[end:]
    gap = b"" if before.endswith((b"\n\n", b"\n\r\n")) else eol
    return before + gap + block + (eol + after if after else b"")


def _stands(data: bytes, marker: bytes) -> bool:
    """Whether it ends a block: no link to it, nor the longer id of another run, nor the run's line in the daily log."""
    found = re.finditer(rb"(?:^|[ \t])" + re.escape(marker) + rb"[ \t]*\r?$", data, re.MULTILINE)
    return any(not _LOG_LINE.match(data, data.rfind(b"\n", 0, match.start() + 1) + 1) for match in found)


def daily_block_id(run: str) -> str:
    """The block id of a result in a daily note, where the run's line of the log may have the run's own: `o-…`."""
    return f"o{run[1:]}"


def block_ids(data: bytes) -> set[str]:
    """The runs whose results stand in the note, by block ids on lines of their own."""
    return {f"r{match['rest'].decode()}" for match in _MARKER.finditer(data)}


def _on_new_line(data: bytes, eol: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + eol
