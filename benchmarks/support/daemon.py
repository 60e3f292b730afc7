"""The real daemon as a child process, with a home, a state folder and a configuration of its own."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far."""

    cpu_s: float
    wakeups: int  # voluntary context switches of all its threads
    resident_mb: float


class Daemon:
    """A daemon of one vault that lives in `folder`, beside its state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vault = folder / "vault"
        self.said = folder / "said.txt"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """Nothing of the caller's environment but the path."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "LANG": "C.UTF-8",
        }

    def command(self, *arguments: str) -> list[str]:
        """The command line of `vault-sched` for this vault."""
        return [sys.executable, "-m", "vault_scheduler", *arguments, "--vault", str(self.vault)]

    @contextmanager
    def running(self, timeout_s: float = 300.0) -> Iterator[Daemon]:
        """Started, and watching; ended in order afterwards."""
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(self.command("daemon"), env=self.env, stdout=said, stderr=said)
        try:
            self.wait_for("watching", timeout_s)
            yield self
        finally:
            self.process.terminate()
            self.process.wait(300)

    def wait_for(self, word: str, timeout_s: float = 300.0, every_s: float = 0.002) -> None:
        """Until the daemon has said this word. Raises TimeoutError, ChildProcessError."""
        deadline = time.monotonic() + timeout_s
        while word.encode() not in self.said.read_bytes():
            if self.process is None or self.process.poll() is not None:
                raise ChildProcessError(self.said.read_text())
            if time.monotonic() > deadline:
                raise TimeoutError(f"the daemon did not say {word!r} within {timeout_s:g} s")
            time.sleep(every_s)

    def usage(self) -> Usage:
        """What it has used so far (Linux)."""
        assert self.process is not None
        return usage_of(self.process.pid)

    @property
    def ledger(self) -> Path:
        """Its ledger."""
        return next((self.folder / "state").rglob("ledger.db"))

    def ask(self, sql: str, *values: object) -> list[tuple]:
        """Rows of its ledger; none while it is not there."""
        try:
            ledger = self.ledger
        except StopIteration:
            return []
        with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
            return db.execute(sql, values).fetchall()


def usage_of(pid: int) -> Usage:
    """What a process has used so far (Linux)."""
    cpu_s, wakeups = time.clock_gettime(_clock_of(pid)), 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            wakeups += _number(thread / "status", "voluntary_ctxt_switches:")
    resident_kb = _number(Path(f"/proc/{pid}/status"), "VmRSS:")
    return Usage(cpu_s, wakeups, resident_kb / 1024)


def _clock_of(pid: int) -> int:
    """The number of the clock that counts a process's CPU time, as `clock_getcpuclockid` gives it, in nanoseconds."""
    return (~pid << 3) | 2


def _number(path: Path, name: str) -> int:
    lines = path.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
