"""One SQLite file of the state folder: opening, migrating, transactions, and telling when it was swapped."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable
from vault_scheduler.ledger.migrations import Migration, migrate, refuse_newer, schema_of
from vault_scheduler.ledger.salvage import pour
from vault_scheduler.ledger.transaction import Together, Transaction, execute, translated

MEMORY = ":memory:"
_BUSY_TIMEOUT_S = 5.0
_CACHE_KIB = 256
"""Of pages, for each file: four of them are open, and what is not held here the system holds."""


def epoch(moment: datetime | None) -> float | None:
    """Seconds since 1970 of an aware datetime; a naive one would be read in the machine's zone."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError(f"naive datetime {moment}")
    return moment.timestamp()


def moment(seconds: float | None) -> datetime | None:
    """The aware UTC datetime of seconds since 1970."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def certain(seconds: float) -> datetime:
    """Like `moment`, for columns that are never null."""
    return datetime.fromtimestamp(seconds, UTC)


class SqliteFile:
    """A connection in WAL mode; every write is one BEGIN IMMEDIATE transaction (rule 10)."""

    def __init__(self, path: Path | str, db: sqlite3.Connection, notices: tuple[str, ...], is_new: bool) -> None:
        self.path = path
        self.notices = notices  # what opening had to do that people should know
        self.is_new = is_new
        self.lost_at: datetime | None = None  # when a damaged one was last written that had to be set aside
        self._db = db
        self._synchronous = ""  # as it was last set for this connection
        self._together: Together | None = None
        self._identity = _identity(path)
        self._size = _size(path)  # it never shrinks
        self._schema = schema_of(db)

    @classmethod
    def open(
        cls,
        path: Path | str,
        migrations: Sequence[Migration],
        *,
        version: str,
        serving: bool = True,
        salvaged: Sequence[str] = (),
    ) -> SqliteFile:
        """Open or create the file; its schema is brought up to date if `serving`.

        A damaged file is set aside, with its journal, and a new one begun, if `serving`; what can still be read of
        the tables that are to be `salvaged` (none: all of them) is in the new one. Who only looks must not move a
        file that the daemon may hold open, and gets LedgerCorrupt; nor give it a schema that this daemon, of an
        older version, does not know. Raises LedgerTooNew, LedgerUnavailable.
        """
        notices: tuple[str, ...] = ()
        lost_at: datetime | None = None
        try:
            is_new = _create(path, migrations, version, serving)
            try:
                db = _connect(path, migrations, version, serving=serving)
            except LedgerCorrupt as damage:
                if not serving:
                    raise
                aside = _set_aside(Path(path))
                lost_at = _last_written(aside)
                is_new = _create(path, migrations, version, serving)
                db = _connect(path, migrations, version, serving=serving)
                notices = (_damage_told(path, damage.reason, aside, _salvage(aside, db, salvaged)),)
        except OSError as error:
            raise LedgerUnavailable(str(path), error.strerror or str(error)) from error
        file = cls(path, db, notices, is_new)
        file.lost_at = lost_at
        return file

    @classmethod
    def look(cls, path: Path | str, migrations: Sequence[Migration], *, version: str) -> SqliteFile:
        """The file for who only reads it; one of an older schema is read into memory, and brought up to date there.

        Raises as `open`.
        """
        file = cls.open(path, migrations, version=version, serving=False)
        if file._schema < len(migrations):
            with translated(path), contextlib.closing(file._db) as older:
                file._db = sqlite3.connect(MEMORY, isolation_level=None)
                older.backup(file._db)
                file._db.row_factory = sqlite3.Row
                migrate(file._db, migrations, version)
        return file

    @staticmethod
    def migrate_file(path: Path | str, migrations: Sequence[Migration], *, version: str) -> None:
        """Bring the schema of a file up to date that nobody serves. Raises LedgerTooNew, LedgerCorrupt."""
        with translated(path), contextlib.closing(_connect(path, migrations, version, serving=False)) as db:
            migrate(db, migrations, version)

    def close(self) -> None:
        """Close the connection; the journal is folded into the file."""
        self._db.close()

    def check(self) -> str | None:
        """None if the file is still the one that was opened; else "missing", "replaced" or "newer"."""
        if self.path == MEMORY:
            return None
        now = _identity(self.path)
        if now != self._identity:
            return "missing" if now is None else "replaced"
        size = _size(self.path)
        if size < self._size:
            raise LedgerCorrupt(str(self.path), "somebody cut it short")
        self._size = size
        schema = self.one("PRAGMA user_version")
        return "newer" if schema is not None and schema[0] > self._schema else None

    def reattach(self, migrations: Sequence[Migration], *, version: str) -> None:
        """The file was taken from its place, or another one put there: what we hold open is there again.

        Rows of ours replace those that a new file there has of the same runs and tasks. Raises as `open`.
        """
        fresh = SqliteFile.open(self.path, migrations, version=version)
        try:
            with translated(self.path):
                pour(self._db, fresh._db)
        except BaseException:
            fresh.close()
            raise
        lost, self._db, self._synchronous = self._db, fresh._db, ""
        self._identity, self._size = fresh._identity, fresh._size
        self._schema, self.notices = fresh._schema, fresh.notices
        lost.close()

    def fill_from(self, source: Path, tables: Sequence[str] = ()) -> bool:
        """Put the rows of another such file over those here; whether all of them could be read. Raises as `open`."""
        with translated(self.path):
            return _salvage(source, self._db, tables)[1]

    def integrity(self) -> str:
        """SQLite's own finding: "ok", or the first damage."""
        row = self.one("PRAGMA quick_check(1)")
        return str(row[0]) if row else "no answer"

    def size(self) -> int:
        """Bytes on disk, journal included."""
        if self.path == MEMORY:
            return 0
        return sum(part.stat().st_size for part in _parts(Path(self.path)) if part.exists())

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a query."""
        self._refuse_others()
        with translated(self.path):
            return list(execute(self._db, sql, values))

    def each(self, sql: str, *values: object) -> Iterator[sqlite3.Row]:
        """The rows of a query, one at a time: nobody need hold them all. Nothing may be written meanwhile."""
        self._refuse_others()
        with translated(self.path):
            yield from execute(self._db, sql, values)

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query."""
        self._refuse_others()
        with translated(self.path):
            row: sqlite3.Row | None = execute(self._db, sql, values).fetchone()
            return row

    def _refuse_others(self) -> None:
        if self._together is not None:
            self._together.refuse_others()

    @contextmanager
    def write(self, *, durable: bool) -> Iterator[Transaction]:
        """One transaction; `durable` means that it is on the disk when this returns, not only in the journal.

        Within `together` it is a part of that transaction, and counts for nothing if it fails.
        """
        with translated(self.path):
            if self._together is not None:
                self._refuse_others()
                yield from self._part()
                return
            self._synchronize("FULL" if durable else "NORMAL")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._db)
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _synchronize(self, how: str) -> None:
        if self._synchronous != how:
            self._db.execute(f"PRAGMA synchronous={how}")
            self._synchronous = how

    def _part(self) -> Iterator[Transaction]:
        self._db.execute("SAVEPOINT part")
        try:
            yield Transaction(self._db)
        except BaseException:
            if self._db.in_transaction:  # a full disk may have ended the whole of it
                self._db.execute("ROLLBACK TO part")
            raise
        finally:
            if self._db.in_transaction:
                self._db.execute("RELEASE part")

    @contextmanager
    def together(self, *, durable: bool = True) -> Iterator[None]:
        """All that is written meanwhile is one transaction, all of it or nothing; `durable` as in `write`.

        Whoever else reads or writes meanwhile gets RuntimeError: what they see or say may yet be undone.
        """
        with self.write(durable=durable):
            self._together = Together()
            try:
                yield
            finally:
                self._together = None


def _create(path: Path | str, migrations: Sequence[Migration], version: str, serving: bool) -> bool:
    """Make sure that the file is there and only ours to read; whether it was new.

    It is made under another name and appears complete: two processes that begin the same file at once would get
    "locked" from the switch to WAL, which does not wait.
    """
    if path == MEMORY:
        return True
    path = Path(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _clear_way(path, serving):
        return False
    import tempfile  # hardly ever: commands find the file

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".new")
    os.close(handle)
    try:
        _connect(name, migrations, version, serving=False).close()
        os.link(name, path)
    except FileExistsError:
        return False
    finally:
        Path(name).unlink()
    return True


def _clear_way(path: Path, serving: bool) -> bool:
    """Whether the file is to be made. A journal left by a deleted file would be played into the new one.

    The journal is looked for first: if it was there before the file was missing, no other process can be about
    to make the file, unless it is the one that serves.
    """
    stale = [part for part in _parts(path)[1:] if part.exists()]
    if path.exists():
        return False
    if stale and not serving:
        raise LedgerUnavailable(str(path), "it is missing, but its journal is there; start the daemon")
    for part in stale:
        part.unlink(missing_ok=True)
    return True


def _connect(path: Path | str, migrations: Sequence[Migration], version: str, *, serving: bool) -> sqlite3.Connection:
    with translated(path):
        db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            refuse_newer(db, path, len(migrations))
            if serving:  # 0.3 s for a gigabyte: too long for a command that only looks
                _refuse_damaged(db, path)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA fullfsync=1")  # macOS: fsync alone leaves the data in the drive's cache
            if serving or schema_of(db) == 0:
                migrate(db, migrations, version)
        except BaseException:
            db.close()
            raise
        return db


def _refuse_damaged(db: sqlite3.Connection, path: Path | str) -> None:
    if path != MEMORY and schema_of(db) == 0:
        raise LedgerCorrupt(str(path), "it is empty")  # ours appear complete
    finding = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if finding != "ok":
        raise LedgerCorrupt(str(path), str(finding).splitlines()[0])


def _parts(path: Path) -> list[Path]:
    return [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]


def _set_aside(path: Path) -> Path:
    """Rename the damaged file and its journal; named after its last write, so no clock is needed."""
    stamp = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.stem}-corrupt-{stamp}{path.suffix}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.stem}-corrupt-{stamp}-{number}{path.suffix}")
    for part, target in zip(_parts(path), _parts(aside), strict=True):
        if part.exists():
            part.rename(target)
    return aside


def _last_written(path: Path) -> datetime:
    return datetime.fromtimestamp(max(part.stat().st_mtime for part in _parts(path)[:2] if part.exists()), UTC)


def _salvage(aside: Path, db: sqlite3.Connection, tables: Sequence[str]) -> tuple[int, bool]:
    """Carry over what can be read; the file that was set aside stays as it is."""
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(aside))}?mode=ro", uri=True)) as damaged:
        damaged.text_factory = lambda data: data.decode("utf-8", "replace")
        return pour(damaged, db, tables)


def _damage_told(path: Path | str, reason: str, aside: Path, salvaged: tuple[int, bool]) -> str:
    rows, is_all = salvaged
    kept = ("all of its rows are" if is_all else f"{rows} rows that could be read are") if rows else "nothing of it is"
    return (
        f"{Path(path).name} was damaged ({reason}); it is kept as {aside.name}, a new one was begun, and {kept} in it"
    )


def _size(path: Path | str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (also for plain strings)
    except OSError:
        return 0


def _identity(path: Path | str) -> tuple[int, int] | None:
    if path == MEMORY:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 (also for plain strings)
    except OSError:
        return None
    return found.st_dev, found.st_ino
