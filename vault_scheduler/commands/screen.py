"""Where pages are printed: in colour and broken to its width on a terminal, as they are everywhere else.

Eight colours of the terminal's own palette take eight numbers; a library for them would cost a command 70 ms.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TextIO

from vault_scheduler.commands.styled import Style, harmless, marks_of, wrapped

_CODES = {
    Style.GOOD: "32",
    Style.BAD: "31",
    Style.CARE: "33",
    Style.GOING: "36",
    Style.FAINT: "2",
    Style.TITLE: "1",
}
_NO = ("", "0", "false")


def has_colour(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether colours are wanted there: as https://no-color.org and https://bixense.com/clicolors say."""
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "").lower() not in _NO for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return stream.isatty() and environ.get("CLICOLOR") != "0" and environ.get("TERM", "") not in ("", "dumb")


def width() -> int | None:
    """The terminal's width; None where the output goes into a file or a pipe and nothing is to be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or os.environ.get("COLUMNS") else None


def say(lines: Iterable[str], stream: TextIO | None = None) -> None:
    """Print a page, on standard output unless told otherwise."""
    stream = stream or sys.stdout
    for line in screen_lines(lines, stream):
        print(line, file=stream)


def screen_lines(lines: Iterable[str], stream: TextIO) -> Iterator[str]:
    """The lines as this stream takes them; control characters that notes and runs brought along are left out."""
    in_colour, room = has_colour(stream), shutil.get_terminal_size().columns if stream.isatty() else None
    for line in map(harmless, lines):
        for part in wrapped(line, room) if room else [line]:
            yield painted(part) if in_colour else str(part)


def painted(line: str) -> str:
    """The line with the terminal's sequences for its marks."""
    text, at = "", 0
    for start, end, style in marks_of(line):
        text += f"{line[at:start]}\x1b[{_CODES[style]}m{line[start:end]}\x1b[0m"
        at = end
    return text + line[at:]
