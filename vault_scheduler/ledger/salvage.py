"""What can still be read of one SQLite file, carried over into the one that takes its place."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from itertools import islice

_AT_ONCE = 500
_NUMBER = "seq"  # the running number of a row; that of another file means nothing where there are rows already


def pour(source: sqlite3.Connection, target: sqlite3.Connection, only: Collection[str] = ()) -> tuple[int, bool]:
    """Put the rows of `source` over those of `target`; how many could be read, and whether that is all of them.

    Around a page that cannot be read, the rows before it and those behind it are found. `only`: of these tables.
    """
    count, is_all = 0, True
    target.execute("BEGIN IMMEDIATE")
    try:
        for table in only or _tables(target):
            rows, complete = _pour_table(source, target, table)
            count, is_all = count + rows, is_all and complete
        target.execute("COMMIT")
    finally:
        if target.in_transaction:
            target.execute("ROLLBACK")
    return count, is_all


def _tables(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rootpage")]


def _pour_table(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> tuple[int, bool]:
    known = {row[1]: row[5] for row in target.execute(f"PRAGMA table_info({table})")}  # name → place in the key
    try:
        there = {row[1] for row in source.execute(f"PRAGMA table_info({table})")}
    except sqlite3.DatabaseError:
        return 0, False
    is_empty = target.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None
    columns = [name for name in known if name in there and (is_empty or name != _NUMBER)]
    if not columns:
        return 0, False
    key = ", ".join(f"{name} DESC" for name in sorted(filter(known.get, known), key=lambda name: known[name]))
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    insert = f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})"
    count = 0
    for order in ("", f"ORDER BY {key}"):  # from the other end if something in between cannot be read
        try:
            for rows in _chunks(source.execute(f"SELECT {names} FROM {table} {order}")):
                count += _insert(target, insert, rows)
        except sqlite3.DatabaseError:
            continue
        return count, not order
    return count, False


def _chunks(cursor: sqlite3.Cursor) -> Iterator[list[tuple[object, ...]]]:
    """The rows in handfuls; those before one that cannot be read come as well, then it raises."""
    failed: list[sqlite3.DatabaseError] = []

    def readable() -> Iterator[tuple[object, ...]]:
        try:
            yield from map(tuple, cursor)
        except sqlite3.DatabaseError as error:
            failed.append(error)

    rows = readable()
    while chunk := list(islice(rows, _AT_ONCE)):
        yield chunk
    if failed:
        raise failed[0]


def _insert(target: sqlite3.Connection, insert: str, rows: list[tuple[object, ...]]) -> int:
    count = 0
    for row in rows:
        try:
            count += target.execute(insert, row).rowcount
        except sqlite3.IntegrityError:
            continue  # it breaks a rule of the table: no row of ours was ever like that
    return count
