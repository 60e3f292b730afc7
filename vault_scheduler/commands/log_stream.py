"""The daemon's log on its standard output: a reader that stalls costs lines, and never holds the daemon up."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Full, Queue
from threading import Thread

from vault_scheduler.errors import internal

KEPT = 10_000
"""So many lines wait for a terminal that is held (Ctrl-S) or a pipe that nobody empties; what comes then is lost."""
LAST_LINES_S = 1.0
"""So long the end of the daemon waits for what is not written yet, in seconds."""

Line = Callable[[str, str, str], str]


class LogStream(logging.Handler):
    """Writes lines in a thread of its own. `line` makes one of an event, its subject and the rest.

    It is a handler of `logging`, too: what the modules report there goes the same way, and holds nothing up either.
    """

    def __init__(self, descriptor: int, encoding: str, line: Line, kept: int = KEPT) -> None:
        super().__init__(logging.WARNING)
        self._descriptor = descriptor
        self._encoding = encoding
        self._line = line
        self._lines: Queue[bytes | None] = Queue(kept)
        self._lost = 0
        self._thread = Thread(target=self._write, name="log", daemon=True)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Lines are written while this lasts, and as far as possible those that are left at its end."""
        root = logging.getLogger()
        self._thread.start()
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)
            with contextlib.suppress(Full):
                self._lines.put_nowait(None)
            self._thread.join(LAST_LINES_S)

    def tell(self, event: str, subject: str, message: str) -> None:
        """One line, or none if too many wait; how many were lost is told with the first that finds room again."""
        try:
            if self._lost:
                self._put("problem", "log", f"{self._lost} lines were lost: nobody read them")
                self._lost = 0
            self._put(event, subject, message)
        except Full:
            self._lost += 1

    def _put(self, event: str, subject: str, message: str) -> None:
        self._lines.put_nowait(f"{self._line(event, subject, message)}\n".encode(self._encoding, "replace"))

    def emit(self, record: logging.LogRecord) -> None:
        """What a module reports through `logging`, in one line."""
        error = record.exc_info[1] if record.exc_info else None
        fault = f": {internal(error)}" if isinstance(error, Exception) else ""
        self.tell("problem", record.name.removeprefix("vault_scheduler."), f"{record.getMessage()}{fault}")

    def _write(self) -> None:
        while (left := self._lines.get()) is not None:
            with contextlib.suppress(OSError):  # nobody reads any more, or the disk is full: this line alone is lost
                while left:
                    left = left[os.write(self._descriptor, left) :]
