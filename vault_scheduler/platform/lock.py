"""The lock of a vault on this machine: whoever holds it starts runs (rule 10).

The kernel holds it, so a killed process leaves none behind; the text in the file only tells people who it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

from vault_scheduler import __version__
from vault_scheduler.errors import LockHeld

# A look at the lock (`holder`) takes it for some microseconds: a start that meets one tries again.
TRIES = 5
TRY_AGAIN_S = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock, as it wrote itself down; pid 0 where that cannot be read."""

    pid: int = 0
    host: str = ""
    since: str = ""  # ISO 8601 with offset
    version: str = ""
    purpose: str = "daemon"  # daemon · run (a command line that executes one run)
    troubles: tuple[str, ...] = ()  # what keeps it from its work now
    draining: str = ""  # why it starts nothing any more, and then restarts or ends
    takes_orders: bool = False  # whether USR1 and USR2 tell it to

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else "an unknown process"
        parts = [who, f"on {self.host}" if self.host else "", f"since {self.since}" if self.since else ""]
        return " ".join(part for part in parts if part)


class VaultLock:
    """Context manager around the lock file; `acquire` raises LockHeld at once if somebody has it."""

    def __init__(
        self, path: Path, *, since: datetime | None = None, purpose: str = "daemon", takes_orders: bool = False
    ) -> None:
        self.path = path
        self._since = since.isoformat(timespec="seconds") if since else ""
        self._purpose = purpose
        self._takes_orders = takes_orders
        self._troubles: tuple[str, ...] = ()
        self._draining = ""
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock and write down who has it. Raises LockHeld with the holder's name."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(TRIES):
            if attempt:
                threading.Event().wait(TRY_AGAIN_S)
            fd = _try_lock(self.path)
            if fd is not None:
                self._fd = fd
                self.tell(self._troubles)  # who we are, as far as the disk has room for it
                return
        raise LockHeld(str(_read_holder(self.path) or Holder()))

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would let two processes lock two files."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def still_mine(self) -> bool:
        """Whether the file at the path is the one that we hold (somebody may have removed the state folder)."""
        return self._fd is not None and _is_file_at(self._fd, self.path)

    def tell(self, troubles: Sequence[str]) -> None:
        """Write down what is wrong, for those who ask who holds the lock.

        Here, because a file that is there can mostly be written on a full disk, and whatever happens to the ledger.
        """
        self._troubles = tuple(troubles)
        if self._fd is not None:
            with contextlib.suppress(OSError):
                self._write_holder(self._fd)

    def show_draining(self, why: str) -> None:
        """Write down why nothing starts any more."""
        self._draining = why
        self.tell(self._troubles)

    def keep(self) -> None:
        """Take the lock again if somebody removed its file. Raises LockHeld if another process has it by now."""
        if not self.still_mine():
            self.release()
            self.acquire()

    def _write_holder(self, fd: int) -> None:
        me = Holder(
            pid=os.getpid(),
            host=socket.gethostname(),
            since=self._since,
            version=__version__,
            purpose=self._purpose,
            troubles=self._troubles,
            draining=self._draining,
            takes_orders=self._takes_orders,
        )
        text = (json.dumps(asdict(me)) + "\n").encode()
        os.pwrite(fd, text, 0)  # written over the old text, then cut: a reader never finds the file empty
        os.ftruncate(fd, len(text))

    def __enter__(self) -> VaultLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder(path: Path) -> Holder | None:
    """Who holds the lock now, or None; looks without keeping anyone out."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(path) or Holder()
    finally:
        os.close(fd)
    return None


def _try_lock(path: Path) -> int | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_file_at(fd, path):
            return fd
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _is_file_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _read_holder(path: Path) -> Holder | None:
    try:
        fields = json.loads(path.read_text("utf-8"))
        known = {name: fields[name] for name in Holder.__dataclass_fields__ if name in fields}
        return Holder(**{**known, "troubles": tuple(map(str, fields.get("troubles", ())))})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
