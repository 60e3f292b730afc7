"""What task notes were read as, in a file of its own: it is derived from the notes, and may be deleted at any time.

A note is not read again whose file is the one that was read, by size, times and inode. The file's change time cannot be
set back by programs; two changes within one step of its clock are told apart by trusting only files that had been
left alone when they were read. What this version would not read alike, what is damaged and what cannot be opened counts
as not there. The daemon writes it, commands look.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from vault_scheduler import __version__
from vault_scheduler.errors import LedgerUnavailable, VaultSchedError
from vault_scheduler.ledger.kept import READ, Definition, Fires, definition_of_row, micros, reading_mark
from vault_scheduler.ledger.migrations import executing
from vault_scheduler.ledger.sqlite_file import SqliteFile
from vault_scheduler.ledger.transaction import Transaction
from vault_scheduler.parsing.plain import Plain, plain_of, plain_settings, triggers_of
from vault_scheduler.settings import Settings
from vault_scheduler.task import Task
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger, Trigger
from vault_scheduler.triggers.zone_data import zone_mark

_FIRST = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE definitions (
        path TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL, context TEXT NOT NULL,
        said TEXT NOT NULL, source TEXT NOT NULL, proof INTEGER NOT NULL
    )""",
    # `definition` is the proof of the row in `definitions` that it belongs to.
    """CREATE TABLE fires (
        path TEXT PRIMARY KEY, definition INTEGER NOT NULL, zone TEXT NOT NULL, times TEXT NOT NULL,
        proof INTEGER NOT NULL
    ) WITHOUT ROWID""",
)


AT_ONCE = 500
"""So many rows are read at a time."""

MIGRATIONS = (executing(_FIRST),)


def definition_of(task: Task, *, stamp: str, digest: str, context: str, source: str) -> Definition | None:
    """What is kept of a note that was read without a problem; None if it is to be read each time."""
    plain: Plain | None = plain_of(task)
    if plain is None or not task.path.isprintable():
        return None
    return Definition(task.path, stamp, digest, context, json.dumps(plain), source)


def definition_of_settings(
    settings: Settings, path: str, *, stamp: str, digest: str, context: str, source: str
) -> Definition | None:
    """The same of the settings note; `context` is the machine's zone."""
    plain = plain_settings(settings)
    return Definition(path, stamp, digest, context, json.dumps(plain), source) if plain is not None else None


def fires_of(definition: Definition, now: datetime) -> Fires | None:
    """When a definition fires next, reckoned from its own words; None if that cannot be kept.

    Nothing of what the daemon holds takes part: an edit may wait to count, and this tells of the note.
    """
    zone, triggers = triggers_of(json.loads(definition.said))
    times = [_times(trigger, now) for trigger in triggers]
    mark = zone_mark(zone.key)
    return Fires(mark, json.dumps(times)) if mark and None not in times else None


def _times(trigger: Trigger, now: datetime) -> list[int] | None:
    """What is kept of a trigger; see `Fires`."""
    if isinstance(trigger, IntervalTrigger):
        return [micros(trigger.anchor), micros(trigger.anchor + trigger.period) - micros(trigger.anchor), 0]
    if not isinstance(trigger, CronTrigger) or trigger.next_after(now) is None or trigger.known is None:
        return None
    since, fire = trigger.known
    return [micros(since), micros(fire)]


class Definitions:
    """The file. Nothing in it is missed: what goes wrong with it costs only the reading of the notes."""

    def __init__(self, path: Path, file: SqliteFile) -> None:
        self._path = path
        self._file = file
        self._read: dict[str, tuple[Any, ...]] = {}  # rows that nobody has asked for yet
        self._upto: int | None = 0  # the number of the last row that was read; None: all have been

    @classmethod
    def open(cls, path: Path) -> Definitions | None:
        """Open or create it, empty if another version wrote it or it is damaged; None if that cannot be."""
        for _ in range(2):
            try:
                found = cls(path, SqliteFile.open(path, MIGRATIONS, version=__version__, serving=False))
            except (VaultSchedError, OSError):
                _remove(path)
                continue
            try:
                found._begin()
            except (VaultSchedError, OSError):
                found.close()
                _remove(path)
                continue
            return found
        return None

    def _begin(self) -> None:
        mark = reading_mark()
        row = self._file.one("SELECT value FROM meta WHERE key = 'mark'")
        if row is not None and row[0] != mark:
            raise LedgerUnavailable(str(self._path), "another version wrote it")
        if row is None:
            with self._file.write(durable=False) as change:
                change.upsert("meta", "key", {"key": "mark", "value": mark})

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def take(self, path: str) -> Definition | None:
        """What is kept of a note, to be asked once of each, in about the order in which they were kept.

        Then they are read a few hundred at a time, and few of them are held. `end_taking` forgets the others.
        """
        try:
            while path not in self._read and (rows := self._next_rows()):
                self._read.update((str(row[0]), tuple(row)) for row in rows)
        except VaultSchedError:
            return None
        row = self._read.pop(path, None)
        return definition_of_row(row) if row is not None else None

    def _next_rows(self) -> list[sqlite3.Row]:
        if self._upto is None:
            return []
        rows = self._file.rows(f"{READ} WHERE d.rowid > ? ORDER BY d.rowid LIMIT {AT_ONCE}", self._upto)
        last = self._file.one("SELECT rowid FROM definitions WHERE path = ?", rows[-1][0]) if rows else None
        self._upto = last[0] if last is not None else None
        return rows

    def end_taking(self) -> None:
        """All notes have been asked about."""
        self._read, self._upto = {}, None

    def paths(self) -> set[str]:
        """The notes of which something is kept."""
        try:
            return {str(row[0]) for row in self._file.rows("SELECT path FROM definitions")}
        except VaultSchedError:
            return set()

    def keep(
        self,
        found: Iterable[Definition],
        restamped: Iterable[tuple[str, str, str]],
        gone: Iterable[str],
        fired: Iterable[str],
        now: datetime,
    ) -> None:
        """Remember these; (path, digest, stamp) of notes that say what they said under another stamp; forget `gone`.

        Of those that have `fired`, the next fire time after `now` is another one.
        """
        try:
            if self._file.check() is not None:
                return  # deleted under us: the next daemon begins anew
            with self._file.write(durable=False) as change:
                for path in gone:
                    change.run("DELETE FROM definitions WHERE path = ?", path)
                    change.run("DELETE FROM fires WHERE path = ?", path)
                for definition in [*_restamped(change, restamped), *found]:
                    _write(change, definition)
                    _write_fires(change, definition, now)
                for path in fired:
                    row = change.one(f"{READ} WHERE d.path = ?", path)
                    kept = definition_of_row(tuple(row)) if row is not None else None
                    if kept is not None:
                        _write_fires(change, kept, now)
        except VaultSchedError:
            return


def _restamped(change: Transaction, restamped: Iterable[tuple[str, str, str]]) -> Iterator[Definition]:
    for path, digest, stamp in restamped:
        row = change.one("SELECT * FROM definitions WHERE path = ? AND digest = ?", path, digest)
        if row is not None:
            yield Definition(path, stamp, digest, row["context"], row["said"], row["source"])


def _write(change: Transaction, found: Definition) -> None:
    change.run(
        "INSERT OR REPLACE INTO definitions VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(found.path, found.stamp, found.digest, found.context, found.said, found.source, found.proof),
    )


def _write_fires(change: Transaction, found: Definition, now: datetime) -> None:
    """Of the settings note, and of a row that cannot be understood, there are none."""
    fires, proof = None, found.proof
    with suppress(ValueError, TypeError, LookupError, AttributeError, VaultSchedError):
        fires = fires_of(found, now)
    if fires is None:
        change.run("DELETE FROM fires WHERE path = ?", found.path)
        return
    change.run(
        "INSERT OR REPLACE INTO fires VALUES (?, ?, ?, ?, ?)",
        *(found.path, proof, fires.zone, fires.times, fires.proof(found.path, proof)),
    )


def _remove(path: Path) -> None:
    for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(OSError):  # a folder stands there, or nobody may write here
            part.unlink()
