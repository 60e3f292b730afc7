"""What can be done within one transaction of an SQLite file, whose it is, and SQLite's errors as ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable
from vault_scheduler.platform.limits import shortage

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNKNOWN = ("no such table", "no such column", "table ")
_VAGUE = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


class Together:
    """Whose transaction it is: a coroutine that waits in the middle of it lets others run."""

    def __init__(self) -> None:
        self._whose = _current_task()

    def refuse_others(self) -> None:
        """Raises RuntimeError for any other task than the one that began."""
        if _current_task() is not self._whose:
            raise RuntimeError("somebody waits in the middle of a transaction, and somebody else uses the ledger")


def _current_task() -> object:
    import asyncio  # commands that only look do without, and it takes them 20 ms to load

    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no event loop: nobody else can run


class Transaction:
    """What can be done inside `SqliteFile.write`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def run(self, sql: str, *values: object) -> int:
        """Execute a statement; the number of rows that it changed."""
        return execute(self._db, sql, values).rowcount

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query, as this transaction sees it."""
        row: sqlite3.Row | None = execute(self._db, sql, values).fetchone()
        return row

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a query, as this transaction sees them."""
        return list(execute(self._db, sql, values))

    def insert(self, table: str, row: Mapping[str, object], on_conflict: str = "") -> int:
        """Insert one row; the number of rows inserted or changed."""
        return self.run(_insertion(table, tuple(row), on_conflict), *row.values())

    def upsert(self, table: str, key: str, row: Mapping[str, object], keep: str = "") -> int:
        """Insert one row, or replace the values of the one with the same key; of that, the column `keep` stays."""
        return self.insert(table, row, _replacing(tuple(row), key, keep))


@lru_cache(maxsize=64)
def _insertion(table: str, columns: tuple[str, ...], on_conflict: str) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) {on_conflict}"


@lru_cache(maxsize=64)
def _replacing(columns: tuple[str, ...], key: str, keep: str) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in (key, keep))
    return f"ON CONFLICT({key}) DO UPDATE SET {changes}"


@contextmanager
def translated(path: Path | str) -> Iterator[None]:
    """SQLite's errors as ours, so that nobody above needs to know SQLite."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        kind = LedgerCorrupt if code in _DAMAGE else LedgerUnavailable
        why = shortage(Path(path).parent) if code in _VAGUE else ""
        if str(error).startswith(_UNKNOWN):
            why = "an older version wrote it; a daemon of this version brings it up to date when it starts"
        raise kind(str(path), f"{error} ({why})" if why else str(error)) from error


def execute(db: sqlite3.Connection, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
    """Execute a statement; text that is no UTF-8 is stored as what can be."""
    try:
        return db.execute(sql, values)
    except UnicodeEncodeError:  # a lone surrogate, from a file name or an output that is not UTF-8
        return db.execute(sql, [_storable(value) for value in values])


def _storable(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
