"""The last good texts of task notes, in a file of their own: what a run or a slip destroys can be restored.

The file lies in the state folder beside the ledger, outside of the vault, and is lost with neither of them. It is a
safety net: nothing waits for it, and no run depends on it. Times are aware and in UTC.
"""

from __future__ import annotations

import sqlite3
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from vault_scheduler import __version__
from vault_scheduler.ledger.migrations import executing
from vault_scheduler.ledger.sqlite_file import SqliteFile, certain, epoch
from vault_scheduler.ledger.transaction import Transaction

KEPT = 5
"""Texts of each kind that are kept of a task, beside the newest one that no run of its own brought about."""

_FIRST = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE kept (
        task TEXT NOT NULL, replaced INTEGER NOT NULL, definition TEXT NOT NULL, properties TEXT NOT NULL,
        switches TEXT NOT NULL, path TEXT NOT NULL, kept_at REAL NOT NULL, run TEXT NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (task, replaced, definition)
    )""",
    "CREATE TABLE gone (task TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID",
)


MIGRATIONS = (executing(_FIRST),)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodNote:
    """A text of a task's note; `run` is the run of the task itself during which it came to be, "" for none."""

    task: str
    path: str
    definition: str  # hash of what it declares; of the text for what a restoring replaced
    kept_at: datetime
    properties: str = ""  # hash of its properties alone
    switches: str = ""  # its status and the like, which are no part of the definition
    run: str = ""
    replaced: bool = False  # not good: what stood in the note before it was restored
    data: bytes = b""

    @property
    def mark(self) -> int:
        """Differs, within this process, from that of a text that is to be kept beside it or instead of it."""
        return mark_of(self.definition, self.switches, self.path)


def mark_of(definition: str, switches: str, path: str) -> int:
    """See `GoodNote.mark`."""
    return hash((definition, switches, path))


class GoodNotes:
    """The file. Raises LedgerTooNew, LedgerCorrupt, LedgerUnavailable."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self.notices = file.notices

    @classmethod
    def open(cls, path: Path | str, *, version: str = __version__, serving: bool = True) -> GoodNotes:
        """Open or create it. A damaged file is set aside if `serving`; what can be read of it goes on."""
        return cls(SqliteFile.open(path, MIGRATIONS, version=version, serving=serving))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def mend(self) -> None:
        """If somebody took the file from its place, all that is held open is there again."""
        if self._file.check() in ("missing", "replaced"):
            self._file.reattach(MIGRATIONS, version=__version__)

    def marks(self) -> dict[str, int]:
        """By task, what its newest good text is known by: see `GoodNote.mark`."""
        sql = "SELECT task, definition, switches, path FROM kept WHERE NOT replaced ORDER BY kept_at, rowid"
        return {sys.intern(task): mark_of(*rest) for task, *rest in self._file.each(sql)}

    def newest(self) -> dict[str, GoodNote]:
        """The newest good text of each task, without its bytes."""
        rows = self._file.rows(f"SELECT {_PLAIN} FROM kept WHERE NOT replaced ORDER BY kept_at, rowid")
        return {row["task"]: _note(row) for row in rows}

    def newest_of(self, task: str) -> GoodNote | None:
        """The newest good text of a task, without its bytes."""
        order = "ORDER BY kept_at DESC, rowid DESC LIMIT 1"
        row = self._file.one(f"SELECT {_PLAIN} FROM kept WHERE task = ? AND NOT replaced {order}", task)
        return _note(row) if row is not None else None

    def versions(self, task: str) -> list[GoodNote]:
        """All that is kept of a task, newest first."""
        rows = self._file.rows("SELECT * FROM kept WHERE task = ? ORDER BY kept_at DESC, rowid DESC", task)
        return [_note(row) for row in rows]

    def keep(self, notes: Sequence[GoodNote]) -> None:
        """Keep these texts; of each task the oldest ones go."""
        with self._file.write(durable=True) as change:
            for note in notes:
                change.run("DELETE FROM kept WHERE (task, replaced, definition) = (?, ?, ?)", *_key(note))
                change.insert("kept", _row(note))
                change.run("DELETE FROM gone WHERE task = ?", note.task)
                _bound(change, note)

    def rename(self, old: str, new: str) -> None:
        """What is kept follows the task to its new id."""
        with self._file.write(durable=False) as change:
            for table in ("kept", "gone"):
                change.run(f"UPDATE OR REPLACE {table} SET task = ? WHERE task = ?", new, old)

    def trim(self, gone: Iterable[str], now: datetime, keep: timedelta) -> None:
        """Forget tasks whose notes are not there (`gone`) for longer than `keep`."""
        with self._file.write(durable=False) as change:
            since = {row["task"]: row["since"] for row in change.rows("SELECT * FROM gone")}
            change.run("DELETE FROM gone")
            for task in gone:
                moment = float(since.get(task, now.timestamp()))
                if moment < now.timestamp() - keep.total_seconds():
                    change.run("DELETE FROM kept WHERE task = ?", task)
                else:
                    change.insert("gone", {"task": task, "since": moment})


_PLAIN = "task, path, definition, properties, switches, kept_at, run, replaced, x'' AS data"


def _key(note: GoodNote) -> tuple[object, ...]:
    return note.task, note.replaced, note.definition


def _bound(change: Transaction, note: GoodNote) -> None:
    """A task that rewrites itself at every run must not push out what a person wrote last."""
    count = change.one("SELECT count(*) FROM kept WHERE task = ? AND replaced = ?", note.task, note.replaced)
    if count is None or count[0] <= KEPT:
        return
    newest = "SELECT rowid FROM kept WHERE task = ? AND replaced = ?{} ORDER BY kept_at DESC, rowid DESC LIMIT {}"
    last, of_people = newest.format("", KEPT), newest.format(" AND run = ''", 1)
    change.run(
        f"DELETE FROM kept WHERE task = ? AND replaced = ? AND rowid NOT IN ({last}) AND rowid NOT IN ({of_people})",
        *((note.task, note.replaced) * 3),
    )


def _row(note: GoodNote) -> dict[str, object]:
    return {
        "task": note.task,
        "replaced": int(note.replaced),
        "definition": note.definition,
        "path": note.path,
        "kept_at": epoch(note.kept_at),
        "run": note.run,
        "properties": note.properties,
        "switches": note.switches,
        "data": zlib.compress(note.data),
    }


def _note(row: sqlite3.Row) -> GoodNote:
    return GoodNote(
        task=row["task"],
        path=row["path"],
        definition=row["definition"],
        properties=row["properties"],
        switches=row["switches"],
        kept_at=certain(row["kept_at"]),
        run=row["run"],
        replaced=bool(row["replaced"]),
        data=zlib.decompress(row["data"]) if row["data"] else b"",
    )
