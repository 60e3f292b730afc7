"""Migrations of a SQLite file: `user_version` counts those applied, and who wrote the newest stands in `meta`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from vault_scheduler.errors import LedgerTooNew

Migration = Callable[[sqlite3.Connection], None]


def executing(statements: Sequence[str]) -> Migration:
    """The migration that consists of these statements."""

    def execute(db: sqlite3.Connection) -> None:
        for statement in statements:
            db.execute(statement)

    return execute


def schema_of(db: sqlite3.Connection) -> int:
    """How many migrations the file has had; 0: it is empty."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(db: sqlite3.Connection, path: Path | str, known: int) -> None:
    """Raises LedgerTooNew if the file has had more migrations than the `known` ones."""
    if schema_of(db) <= known:
        return
    try:
        row = db.execute("SELECT value FROM meta WHERE key = 'written_by'").fetchone()
    except sqlite3.OperationalError:
        row = None
    raise LedgerTooNew(str(path), row[0] if row else "(unknown version)")


def migrate(db: sqlite3.Connection, migrations: Sequence[Migration], version: str) -> None:
    """Apply what is missing, all or nothing; another process may be doing the same."""
    if schema_of(db) >= len(migrations):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(schema_of(db), len(migrations)):
            migrations[number](db)
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('written_by', ?)", (version,))
        db.execute(f"PRAGMA user_version={len(migrations)}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
