"""Keeps what notes were read as, so that the next daemon and the commands need not read them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from vault_scheduler.errors import VaultSchedError
from vault_scheduler.ledger.definitions import Definitions, definition_of, definition_of_settings
from vault_scheduler.ledger.kept import Definition, are_known_after, decoded, stamp_text
from vault_scheduler.settings import Settings
from vault_scheduler.task import Task
from vault_scheduler.vault.sweep import Stamp

STILL_S = 5.0
"""A file that was last changed longer ago than this is not being written right now."""
AT_ONCE = 100
"""So many are written in one tick: runs do not wait for what only saves time later."""
FIRED_AT_ONCE = 500
"""Of so many notes the next fire time is reckoned anew with a sweep of the folder, for commands that look."""


@dataclass(frozen=True, slots=True)
class _Learned:
    """What was read, and of which bytes."""

    digest: str
    says: Task | Settings
    context: str
    source: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a former process read in a note; see `Definition`. `mapping`: the properties in its `source`."""

    task: Task
    digest: str
    source: str
    mapping: Mapping[str, Any]


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
        self._fired: dict[str, None] = {}  # paths of notes whose kept fire time has passed, in order
        self._is_swept = False
        self._settings: tuple[str, str] | None = None  # as `_proven`, of the settings note that is kept

    def known(self, path: str, stamp: Stamp, now: datetime) -> Known | None:
        """What a former process read, if the note's file is still the one that it read; asked once of each note."""
        found = self._file.take(path) if self._file is not None else None
        if found is None or not found.holds(stamp, self.context):
            return None
        try:
            source, times = decoded(found.source), found.fires.plain if found.fires is not None else None
            known = Known(found.made(source, times), found.digest, found.source, source["mapping"])
        except (ValueError, TypeError, LookupError, AttributeError, VaultSchedError):
            return None  # it cannot be understood
        self._known.add(path)
        if times is None or not are_known_after(times, now):
            self.fired(path)
        return known

    def forget_former(self) -> None:
        """All notes have been seen; what is kept of others goes."""
        if self._file is not None:
            self._gone |= self._file.paths() - self._known - self._learned.keys()
            self._file.end_taking()
        self._known = set()

    def proven(self, path: str, digest: str, stamp: Stamp, now: datetime) -> bool:
        """A file with this stamp has these bytes; False if that is to be said again later, after another reading.

        If it was changed only just now, another one may have both times.
        """
        if self._file is None:
            return True
        found = (digest, stamp_text(stamp))
        is_still = now.timestamp() - stamp.changed_ns / 1e9 > STILL_S
        if is_still and found != self._settings:  # which is read with each sweep
            self._proven[path] = found
        return is_still

    def learned(self, path: str, digest: str, task: Task, source: str) -> None:
        """These bytes declare this task, without any problem."""
        if self._file is not None:
            self._learned[path] = _Learned(digest, task, self.context, source)
            self._gone.discard(path)

    def learned_settings(self, path: str, digest: str, settings: Settings, zone: str, source: str) -> None:
        """These bytes of the settings note say this, without any problem; `zone`: the machine's."""
        if self._file is not None:
            self._settings = None
            self._learned[path] = _Learned(digest, settings, zone, source)
            self._gone.discard(path)

    def fired(self, path: str) -> None:
        """A fire time of this note has been claimed: the one that is kept is not the next one any more."""
        if self._file is not None:
            self._fired[path] = None

    def swept(self) -> None:
        """The folder has been looked over: a good time for what is not urgent and shall wake nobody."""
        self._is_swept = True

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

    def write(self, now: datetime, limit: int = AT_ONCE) -> None:
        """Write what is proven, at most so many; after a sweep, also what is kept of fire times that have passed."""
        if self._file is None or not (self.waits or (self._is_swept and self._fired)):
            return
        gone, self._gone = self._gone, set()
        fired = list(islice(self._fired, FIRED_AT_ONCE if self._is_swept else 0))
        self._is_swept = False
        for path in fired:
            del self._fired[path]
        in_order = sorted(islice(self._proven, limit))  # by their key: the file's pages are written once each
        proven = {path: self._proven.pop(path) for path in in_order}
        found = dict(self._definitions(proven))
        restamped = [(path, digest, stamp) for path, (digest, stamp) in proven.items() if path not in found]
        self._file.keep(found.values(), restamped, gone, fired, now)
        self._let_go()

    def _let_go(self) -> None:
        """The table of one that held thousands stays as large as it was."""
        self._proven, self._learned, self._fired = self._proven or {}, self._learned or {}, self._fired or {}

    def _definitions(self, proven: dict[str, tuple[str, str]]) -> Iterator[tuple[str, Definition]]:
        for path, (digest, stamp) in proven.items():
            learned = self._learned.get(path)
            if learned is None or learned.digest != digest:
                continue
            del self._learned[path]
            found = _definition(path, learned, stamp)
            if isinstance(learned.says, Settings):
                self._settings = (digest, stamp)
            if found is not None:
                yield path, found


def _definition(path: str, learned: _Learned, stamp: str) -> Definition | None:
    digest, context, source, says = learned.digest, learned.context, learned.source, learned.says
    if isinstance(says, Settings):
        return definition_of_settings(says, path, stamp=stamp, digest=digest, context=context, source=source)
    return definition_of(says, stamp=stamp, digest=digest, context=context, source=source)
