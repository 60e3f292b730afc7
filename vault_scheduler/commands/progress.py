"""How far something is that takes a while: one line on a terminal's stderr, written over and gone at the end."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO, TypeVar

from vault_scheduler.clock import Clock, SystemClock
from vault_scheduler.commands.styled import cut, harmless

T = TypeVar("T")
PATIENCE_S = 0.6
"""What is done by then says nothing."""
_AGAIN_S = 0.1
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """The line. Into pipes and files, and on terminals that cannot write over a line, nothing is written."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream, self._clock = stream, clock
        self.is_wanted = stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        self._next = clock.monotonic() + PATIENCE_S
        self._is_shown = False

    def show(self, text: str) -> None:
        """This now, if it is time to say something."""
        if not self.is_wanted or self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + _AGAIN_S
        room = shutil.get_terminal_size().columns - 1
        self._stream.write(_CLEAR + str(cut(harmless(text, 500), room)))
        self._stream.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Leave nothing behind."""
        if self._is_shown:
            self._stream.write(_CLEAR)
            self._stream.flush()
            self._is_shown = False


@contextmanager
def progress_line() -> Iterator[ProgressLine]:
    """A line on stderr while this lasts."""
    line = ProgressLine(sys.stderr, SystemClock())
    try:
        yield line
    finally:
        line.clear()


def counted(items: Iterable[T], what: str) -> Iterator[T]:
    """The items, one after the other, with a line that counts them: `Reading notes: 1,240 of 5,000`."""
    with progress_line() as line:
        if not line.is_wanted:
            yield from items
            return
        found: Sequence[T] = list(items)
        for number, item in enumerate(found):
            line.show(f"{what}: {number:,} of {len(found):,}")
            yield item
