"""A part of a note that belongs to a task: everything between two lines that say so. Every other byte stays. Pure."""

from __future__ import annotations

import re

from vault_scheduler.errors import NoteRefused

_LINE_ENDS = rb"[ \t]*(?:\r?\n|\Z)"


def begin_line(name: str) -> str:
    """The line above the block: a comment, which Obsidian does not show while reading."""
    return f"%% {name}: from here on written by a task %%"


def end_line(name: str) -> str:
    """The line below the block."""
    return f"%% {name}: up to here %%"


def put_block(data: bytes, name: str, text: str) -> bytes:
    """The note with the block's text replaced; a note without one gets it at its end.

    Raises NoteRefused if it cannot be told where the block begins and ends.
    """
    eol = b"\r\n" if b"\r\n" in data else b"\n"
    body = text.strip("\n").encode("utf-8", "replace").replace(b"\n", eol)
    begin, end = begin_line(name).encode(), end_line(name).encode()
    block = eol.join([begin, b"", body, b"", end])
    begins, ends = _lines(data, begin), _lines(data, end)
    if not begins and not ends:
        return _at_the_end(data, eol) + block + eol
    if len(begins) != 1 or len(ends) != 1 or begins[0].start() > ends[0].start():
        raise NoteRefused(
            f"the lines `{begin.decode()}` and `{end.decode()}` do not stand there once each, in this order: "
            "put that right, or remove both for a new block at the end"
        )
    return data[: begins[0].start()] + block + data[ends[0].start() + len(end) :]


def _lines(data: bytes, line: bytes) -> list[re.Match[bytes]]:
    return list(re.finditer(rb"^" + re.escape(line) + rb"(?=" + _LINE_ENDS + rb")", data, re.M))


def _at_the_end(data: bytes, eol: bytes) -> bytes:
    if not data.strip():
        return data
    return data + (b"" if data.endswith(b"\n") else eol) + (b"" if data.endswith(b"\n\n") else eol)


_ANY_MARK = re.compile(rb"^%% ([^%\n]+): (from here on written by a task|up to here) %%[ \t]*\r?$", re.M)


def without_blocks(data: bytes) -> bytes:
    """What people wrote in a note: its text without the blocks of tasks."""
    parts, at, opened = [], 0, None
    for mark in _ANY_MARK.finditer(data) if b": up to here %%" in data else ():
        if mark[2] != b"up to here":
            opened = opened or mark
        elif opened is not None and opened[1] == mark[1]:
            parts.append(data[at : opened.start()])
            at, opened = mark.end(), None
    return b"".join([*parts, data[at:]])
