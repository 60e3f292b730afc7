"""Real programs under a pseudo terminal: what they wrote, byte for byte."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ENDS_WITHIN_S = 60.0


class Screen:
    """A program in a terminal of so many columns and rows; `output` grows while somebody calls `watch`."""

    def __init__(
        self, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], size: tuple[int, int]
    ) -> None:
        self.output = b""
        self.code: int | None = None
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            os.chdir(cwd)
            os.execvpe(command[0], list(command), dict(environment))
        columns, rows = size
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def watch(self, until: Callable[[], bool], within_s: float = ENDS_WITHIN_S) -> bool:
        """Read what it writes until the condition holds, the program ends, or the time is over: whether it holds."""
        deadline = time.monotonic() + within_s
        while not until():
            if time.monotonic() > deadline or not self._read():
                return until()
        return True

    def _read(self) -> bool:
        """Whether there may be more."""
        if self.code is not None:
            return False
        if select.select([self._master], [], [], 0.05)[0]:
            try:
                self.output += os.read(self._master, 65536)
            except OSError:  # the other side was closed
                self._reap(0)
                return False
        return True

    def end(self) -> int:
        """TERM, and wait: its exit code."""
        if self.code is None:
            os.kill(self._pid, signal.SIGTERM)
            if not self.watch(lambda: self.code is not None):
                os.kill(self._pid, signal.SIGKILL)
                self._reap(0)
        return self.code or 0

    def _reap(self, flags: int) -> None:
        _, status = os.waitpid(self._pid, flags)
        self.code = os.waitstatus_to_exitcode(status)
        os.close(self._master)


def run(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], size: tuple[int, int]
) -> tuple[bytes, int]:
    """What a program wrote until it ended, and its exit code."""
    screen = Screen(command, cwd=cwd, environment=environment, size=size)
    if not screen.watch(lambda: screen.code is not None):
        screen.end()
        raise SystemExit(f"{' '.join(command)} did not end:\n{screen.output.decode(errors='replace')}")
    return screen.output, screen.code or 0
