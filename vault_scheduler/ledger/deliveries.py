"""Rows of the ledger about deliveries: which finished run still has to get into which target (rule 6)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from vault_scheduler.ledger.rows import NOTIFY, Delivery, NoteState
from vault_scheduler.ledger.sqlite_file import SqliteFile, certain, epoch, moment
from vault_scheduler.ledger.transaction import Transaction

_JOINED = "SELECT d.*, r.task, r.path, r.fire_time, r.count FROM deliveries d JOIN runs r ON r.id = d.run"


def demand(change: Transaction, run: str, targets: Sequence[str]) -> None:
    """Make a run pending at these targets, and again at those where it has already been."""
    change.run("UPDATE deliveries SET done_at = NULL, not_before = NULL, tries = 0 WHERE run = ?", run)
    for target in targets:
        change.insert("deliveries", {"run": run, "target": target}, "ON CONFLICT DO NOTHING")


def _delivery(row: sqlite3.Row) -> Delivery:
    return Delivery(
        run=row["run"],
        task=row["task"],
        path=row["path"],
        count=row["count"],
        target=row["target"],
        tries=row["tries"],
        not_before=moment(row["not_before"]),
        why=row["why"],
        base_hash=row["base_hash"],
        detail=row["detail"],
        done_at=moment(row["done_at"]),
        restored=bool(row["restored"]),
    )


class DeliveryTable:
    """The tables `deliveries` and `notes`."""

    _file: SqliteFile

    async def pending_deliveries(self) -> list[Delivery]:
        """See `Store.pending_deliveries`."""
        rows = self._file.rows(
            f"{_JOINED} WHERE d.done_at IS NULL AND d.target <> ? ORDER BY r.fire_time, r.seq, d.target", NOTIFY
        )
        return [_delivery(row) for row in rows]

    async def deliveries_of(self, run: str) -> list[Delivery]:
        """See `Store.deliveries_of`."""
        return [_delivery(row) for row in self._file.rows(f"{_JOINED} WHERE d.run = ? ORDER BY d.target", run)]

    async def delivered_since(self, since: datetime) -> list[Delivery]:
        """See `Store.delivered_since`."""
        rows = self._file.rows(
            f"{_JOINED} WHERE d.done_at >= ? AND d.target <> ? ORDER BY d.done_at, r.seq", epoch(since), NOTIFY
        )
        return [_delivery(row) for row in rows]

    async def mark_delivered(
        self,
        run: str,
        target: str,
        at: datetime,
        base_hash: str = "",
        detail: str = "",
        count: int | None = None,
    ) -> None:
        """See `Store.mark_delivered`."""
        with self._file.write(durable=False) as change:
            change.run(
                "UPDATE deliveries SET done_at = ?, base_hash = ?, detail = ?, why = '', not_before = NULL, "
                "tries = tries + 1 WHERE run = ? AND target = ? "
                "AND (? IS NULL OR ? = (SELECT count FROM runs WHERE id = run))",
                epoch(at),
                base_hash,
                detail,
                run,
                target,
                count,
                count,
            )

    async def defer_delivery(self, run: str, target: str, not_before: datetime, why: str) -> None:
        """See `Store.defer_delivery`."""
        with self._file.write(durable=False) as change:
            change.run(
                "UPDATE deliveries SET not_before = ?, why = ?, tries = tries + 1 WHERE run = ? AND target = ?",
                epoch(not_before),
                why,
                run,
                target,
            )

    async def restore_delivery(self, run: str, target: str) -> bool:
        """See `Store.restore_delivery`."""
        with self._file.write(durable=False) as change:
            return bool(
                change.run(
                    "UPDATE deliveries SET done_at = NULL, restored = 1 "
                    "WHERE run = ? AND target = ? AND NOT restored AND done_at IS NOT NULL",
                    run,
                    target,
                )
            )

    async def note_state(self, path: str) -> NoteState | None:
        """See `Store.note_state`."""
        row = self._file.one("SELECT * FROM notes WHERE path = ?", path)
        if row is None:
            return None
        return NoteState(base_hash=row["base_hash"], written_at=certain(row["written_at"]))

    async def set_note_state(self, path: str, base_hash: str, written_at: datetime) -> None:
        """See `Store.set_note_state`."""
        with self._file.write(durable=False) as change:
            change.upsert("notes", "path", {"path": path, "base_hash": base_hash, "written_at": epoch(written_at)})
