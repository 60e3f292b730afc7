"""Keeps what notes were read as, so that the next daemon and the commands need not read them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from vault_scheduler.ledger.definitions import Definition, Definitions, definition_of, stamp_text
from vault_scheduler.task import Task
from vault_scheduler.vault.sweep import Stamp

STILL_S = 5.0
"""A file that was last changed longer ago than this is not being written right now."""
AT_ONCE = 100
"""So many are written in one tick: runs do not wait for what only saves time later."""


@dataclass(frozen=True, slots=True)
class _Learned:
    """What was read, and of which bytes."""

    digest: str
    task: Task
    context: str
    source: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a former process read in a note; see `Definition`."""

    task: Task
    digest: str
    source: str


class Keeping:
    """Told of every reading of a note; writes a little whenever asked. `file` None: nothing is kept.

    `context`: what the reading depends on now besides the note.
    """

    def __init__(self, file: Definitions | None) -> None:
        self.context = ""
        self._file = file
        self._known: set[str] = set()
        self._learned: dict[str, _Learned] = {}
        self._proven: dict[str, tuple[str, str]] = {}  # path → digest of a file that was left alone, and its stamp
        self._gone: set[str] = set()

    def known(self, path: str, stamp: Stamp) -> Known | None:
        """What a former process read, if the note's file is still the one that it read; asked once of each note."""
        found = self._file.get(path) if self._file is not None else None
        if found is None or found.stamp != stamp_text(stamp) or found.context != self.context:
            return None
        task = found.task()
        if task is None:
            return None
        self._known.add(path)
        return Known(task, found.digest, found.source)

    def forget_former(self) -> None:
        """All notes have been seen; what is kept of others goes."""
        if self._file is not None:
            self._gone |= self._file.paths() - self._known - self._learned.keys()
        self._known = set()

    def proven(self, path: str, digest: str, stamp: Stamp, now: datetime) -> None:
        """A file with this stamp has these bytes. If it was changed only just now, another one may have both times."""
        changed_s = max(stamp.mtime_ns, stamp.ctime_ns) / 1e9
        if self._file is not None and now.timestamp() - changed_s > STILL_S:
            self._proven[path] = (digest, stamp_text(stamp))

    def learned(self, path: str, digest: str, task: Task, source: str) -> None:
        """These bytes declare this task, without any problem."""
        if self._file is not None:
            self._learned[path] = _Learned(digest, task, self.context, source)
            self._gone.discard(path)

    def unlearned(self, path: str) -> None:
        """The note is gone, or it says nothing that can be kept."""
        if self._file is not None:
            self._learned.pop(path, None)
            self._proven.pop(path, None)
            self._gone.add(path)

    @property
    def waits(self) -> bool:
        """Whether anything could be written now."""
        return bool(self._proven or self._gone)

    def write(self, limit: int = AT_ONCE) -> None:
        """Write what is proven, at most so many."""
        if self._file is None or not self.waits:
            return
        gone, self._gone = self._gone, set()
        proven = {path: self._proven.pop(path) for path in list(islice(self._proven, limit))}
        found = dict(self._definitions(proven))
        restamped = [(path, digest, stamp) for path, (digest, stamp) in proven.items() if path not in found]
        self._file.keep(found.values(), restamped, gone)

    def _definitions(self, proven: dict[str, tuple[str, str]]) -> Iterator[tuple[str, Definition]]:
        for path, (digest, stamp) in proven.items():
            learned = self._learned.get(path)
            if learned is None or learned.digest != digest:
                continue
            del self._learned[path]
            found = definition_of(
                learned.task, stamp=stamp, digest=digest, context=learned.context, source=learned.source
            )
            if found is not None:
                yield path, found
