"""Rows of the ledger about tasks: watermark, latch, last good definition; and small facts about the ledger itself."""

from __future__ import annotations

import sqlite3
import sys
from datetime import datetime

from vault_scheduler.ledger.conversations import rename_conversations
from vault_scheduler.ledger.notices import rename_notices
from vault_scheduler.ledger.rows import TASK_FACTS, TaskRow, mark_of
from vault_scheduler.ledger.sqlite_file import SqliteFile, certain, epoch, moment
from vault_scheduler.ledger.transaction import Transaction


def write_task(change: Transaction, row: TaskRow, source: str | None = None) -> None:
    """Insert or replace a task's row; without a `source`, the one that is there stays."""
    change.upsert(
        "tasks",
        "task",
        {
            "task": row.task,
            "path": row.path,
            "fingerprint": row.fingerprint,
            "fires": row.fires,
            "watermark": epoch(row.watermark),
            "latched": row.latched,
            "invalid_since": epoch(row.invalid_since),
            "source": source or "",
            "seen_definition": row.seen_definition,
            "started": row.started,
            "answered": row.answered,
        },
        keep="source" if source is None else "",
    )


def task_row_of(row: sqlite3.Row) -> TaskRow:
    """What a row of `tasks` says."""
    return TaskRow(
        task=sys.intern(row["task"]),
        path=sys.intern(row["path"]),
        fingerprint=row["fingerprint"],
        fires=bool(row["fires"]),
        watermark=certain(row["watermark"]),
        latched=bool(row["latched"]),
        invalid_since=moment(row["invalid_since"]),
        source_mark=mark_of(row["source"]),
        seen_definition=row["seen_definition"],
        started=row["started"],
        answered=row["answered"],
    )


class TaskTable:
    """The tables `tasks` and `meta`."""

    _file: SqliteFile

    async def task_rows(self) -> dict[str, TaskRow]:
        """See `Store.task_rows`."""
        rows = map(task_row_of, self._file.each("SELECT * FROM tasks"))
        return {row.task: row for row in rows}

    def source_of(self, task: str) -> str:
        """See `Store.source_of`."""
        row = self._file.one("SELECT source FROM tasks WHERE task = ?", task)
        return "" if row is None else str(row[0])

    async def rename_task(self, old: str, new: str, path: str | None = None) -> None:
        """See `Store.rename_task`."""
        with self._file.write(durable=True) as change:
            if path is not None:
                _move(change, old, path)
            if old != new:
                _rename(change, old, new)

    async def take_over(self, at: datetime) -> None:
        """See `Store.take_over`."""
        with self._file.write(durable=True) as change:
            change.run("UPDATE tasks SET watermark = ? WHERE watermark < ?", epoch(at), epoch(at))
            change.run("DELETE FROM unfollowed")

    async def get_meta(self, key: str) -> str | None:
        """See `Store.get_meta`."""
        row = self._file.one("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row[0])

    async def set_meta(self, key: str, value: str) -> None:
        """See `Store.set_meta`."""
        with self._file.write(durable=False) as change:
            write_meta(change, key, value)


def write_meta(change: Transaction, key: str, value: str) -> None:
    """Insert or replace one fact."""
    change.upsert("meta", "key", {"key": key, "value": value})


def _move(change: Transaction, task: str, path: str) -> None:
    """Let what is still to be written into the note find it at its new path."""
    row = change.one("SELECT path FROM tasks WHERE task = ?", task)
    if row is not None:
        change.run("UPDATE OR REPLACE notes SET path = ? WHERE path = ?", path, row["path"])
    change.run("UPDATE tasks SET path = ? WHERE task = ?", path, task)
    change.run("UPDATE runs SET path = ? WHERE task = ?", path, task)


def _rename(change: Transaction, old: str, new: str) -> None:
    """Run keys begin with the task's id: they follow it, or the same fire time could be claimed again."""
    change.run("DELETE FROM tasks WHERE task = ?", new)
    change.run("UPDATE tasks SET task = ? WHERE task = ?", new, old)
    change.run(
        "UPDATE OR IGNORE runs SET key = ? || substr(key, ?) WHERE task = ? AND substr(key, 1, ?) = ?",
        new,
        len(old) + 1,
        old,
        len(old) + 1,
        old + "|",
    )
    change.run("UPDATE runs SET task = ? WHERE task = ?", new, old)
    rename_conversations(change, old, new)
    rename_notices(change, old, new)
    for fact in TASK_FACTS:
        change.run("UPDATE OR REPLACE meta SET key = ? WHERE key = ?", fact + new, fact + old)
