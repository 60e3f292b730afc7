"""What task notes were read as, in a file of its own: it is derived from the notes, and may be deleted at any time.

A note is not read again whose file is the one that was read, by size, times and inode. The file's change time cannot be
set back by programs; two changes within one step of its clock are told apart by trusting only files that had been
left alone when they were read. What this version would not read alike, what is damaged and what cannot be opened counts
as not there. The daemon writes it, commands look.
"""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vault_scheduler import __version__
from vault_scheduler.errors import VaultSchedError
from vault_scheduler.ledger.migrations import executing
from vault_scheduler.ledger.sqlite_file import SqliteFile
from vault_scheduler.parsing.plain import Plain, plain_of, task_of
from vault_scheduler.task import Task
from vault_scheduler.vault.sweep import Stamp

_PACKAGE = Path(__file__).parents[1]
_READERS = ("parsing", "notes", "triggers", "text")
"""The packages of ours that decide what a note means, besides task.py."""
_LIBRARIES = ("pyyaml-", "python_frontmatter-", "croniter-")

_FIRST = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE definitions (
        path TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL, context TEXT NOT NULL,
        said TEXT NOT NULL, source TEXT NOT NULL, proof INTEGER NOT NULL
    )""",
)


MIGRATIONS = (executing(_FIRST),)


@dataclass(frozen=True, slots=True)
class Definition:
    """What a note was read as.

    `stamp` and `digest` (SHA-256 in hex) are those of its file, `source` is the text of what `source_of` gave,
    `context` tells what the reading depended on besides the note.
    """

    path: str
    stamp: str
    digest: str
    context: str
    said: str
    source: str

    def task(self) -> Task | None:
        """The task; None if the row cannot be understood."""
        try:
            return task_of(json.loads(self.said), self.path, json.loads(self.source))
        except (ValueError, TypeError, KeyError, AttributeError, VaultSchedError):
            return None

    @property
    def proof(self) -> int:
        """A checksum of all of it."""
        whole = "\0".join([self.path, self.stamp, self.digest, self.context, self.said, self.source])
        return zlib.crc32(whole.encode("utf-8", "surrogatepass"))


def definition_of(task: Task, *, stamp: str, digest: str, context: str, source: str) -> Definition | None:
    """What is kept of a note that was read without a problem; None if it is to be read each time."""
    plain: Plain | None = plain_of(task)
    if plain is None or not task.path.isprintable():
        return None
    return Definition(task.path, stamp, digest, context, json.dumps(plain), source)


def stamp_text(stamp: Stamp) -> str:
    """A stamp as one text."""
    return f"{stamp.size} {stamp.mtime_ns} {stamp.ctime_ns} {stamp.inode}"


class Definitions:
    """The file. Nothing in it is missed: what goes wrong with it costs only the reading of the notes."""

    def __init__(self, path: Path, file: SqliteFile) -> None:
        self._path = path
        self._file = file

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
        if row is not None and row[0] == mark:
            return
        with self._file.write(durable=False) as change:
            change.run("DELETE FROM definitions")
            change.upsert("meta", "key", {"key": "mark", "value": mark})

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def get(self, path: str) -> Definition | None:
        """What is kept of a note."""
        try:
            row = self._file.one(f"SELECT {_COLUMNS} FROM definitions WHERE path = ?", path)
        except VaultSchedError:
            return None
        return _sound(row) if row is not None else None

    def paths(self) -> set[str]:
        """The notes of which something is kept."""
        try:
            return {str(row[0]) for row in self._file.rows("SELECT path FROM definitions")}
        except VaultSchedError:
            return set()

    def keep(self, found: Iterable[Definition], restamped: Iterable[tuple[str, str, str]], gone: Iterable[str]) -> None:
        """Remember these; (path, digest, stamp) of notes that say what they said under another stamp; forget `gone`."""
        try:
            if self._file.check() is not None:
                return  # deleted under us: the next daemon begins anew
            with self._file.write(durable=False) as change:
                for path in gone:
                    change.run("DELETE FROM definitions WHERE path = ?", path)
                for path, digest, stamp in restamped:
                    row = change.one("SELECT * FROM definitions WHERE path = ? AND digest = ?", path, digest)
                    if row is not None:
                        _write(change.run, Definition(path, stamp, digest, row["context"], row["said"], row["source"]))
                for definition in found:
                    _write(change.run, definition)
        except VaultSchedError:
            return


def _write(run: Any, found: Definition) -> None:
    run(
        "INSERT OR REPLACE INTO definitions VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(found.path, found.stamp, found.digest, found.context, found.said, found.source, found.proof),
    )


def _remove(path: Path) -> None:
    for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(OSError):  # a folder stands there, or nobody may write here
            part.unlink()


@contextmanager
def _looking(path: Path) -> Iterator[SqliteFile]:
    file = SqliteFile.open(path, MIGRATIONS, version=__version__, serving=False)
    try:
        yield file
    finally:
        file.close()


def kept_definitions(path: Path) -> dict[str, Definition]:
    """All that is kept, for those who only look: nothing is created."""
    if not path.exists():
        return {}
    try:
        with _looking(path) as file:
            row = file.one("SELECT value FROM meta WHERE key = 'mark'")
            if row is None or row[0] != reading_mark():
                return {}
            found = map(_sound, file.rows(f"SELECT {_COLUMNS} FROM definitions"))
            return {definition.path: definition for definition in found if definition is not None}
    except (VaultSchedError, OSError):
        return {}


_COLUMNS = "path, stamp, digest, context, said, source, proof"


def _sound(row: sqlite3.Row) -> Definition | None:
    """The row, if it is whole."""
    *values, proof = row
    if not all(isinstance(value, str) for value in values):
        return None
    found = Definition(*values)
    return found if found.proof == proof else None


def reading_mark() -> str:
    """Differs whenever this program might read a note otherwise: another version, other files, another Python."""
    files = [_PACKAGE / "task.py", *(path for name in _READERS for path in sorted((_PACKAGE / name).glob("*.py")))]
    # Not by their change time: installers share a file between environments by links, which change it.
    stamps = [(path.name, found.st_size, found.st_mtime_ns) for path in files if (found := path.stat())]
    return f"{__version__} {sys.version} {zlib.crc32(repr([stamps, _libraries()]).encode()):08x}"


def _libraries() -> list[str]:
    """Names and versions of the libraries that take part in the reading."""
    spec = importlib.util.find_spec("yaml")
    folder = Path(spec.origin).parents[1] if spec and spec.origin else _PACKAGE.parent
    names = [path.name.lower() for path in folder.iterdir() if path.suffix == ".dist-info"]
    return sorted(name for name in names if name.startswith(_LIBRARIES))
