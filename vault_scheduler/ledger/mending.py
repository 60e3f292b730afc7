"""Rows that were carried over from a damaged ledger are put right: what means nothing goes, what is cut off ends."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from vault_scheduler.ledger.deliveries import demand
from vault_scheduler.ledger.notices import incident_of, letter_of
from vault_scheduler.ledger.requests import request_of
from vault_scheduler.ledger.rows import DAILY_LOG, NOTE
from vault_scheduler.ledger.run_rows import attempt_of, run_of
from vault_scheduler.ledger.sqlite_file import SqliteFile
from vault_scheduler.ledger.tasks import task_row_of
from vault_scheduler.ledger.transaction import Transaction
from vault_scheduler.run import Outcome

CUT_OFF = "what it was to run was lost with a damaged ledger"

_ORPHANS = (
    "DELETE FROM attempts WHERE run NOT IN (SELECT id FROM runs)",
    "DELETE FROM deliveries WHERE run NOT IN (SELECT id FROM runs)",
    "DELETE FROM unfollowed WHERE run NOT IN (SELECT id FROM runs)",
    "DELETE FROM questions WHERE run NOT IN (SELECT id FROM runs)",
)
# An attempt that was under way is looked for among the processes, whether its own row could be read or not.
_ATTEMPTS = (
    "INSERT OR IGNORE INTO attempts (run, number, state, started_at, reason) SELECT id, max(attempts, 1), 'starting', "
    "coalesce(started_at, claimed_at), '' FROM runs WHERE state IN ('starting', 'running')"
)


def mend(file: SqliteFile) -> None:
    """Make a ledger of such rows one that a daemon can begin with."""
    with file.write(durable=True) as change:
        _weed(change, "runs", "id", run_of)
        _weed(change, "tasks", "task", _task)
        _weed(change, "requests", "id", request_of)
        _weed(change, "attempts", "run", attempt_of)
        _weed(change, "incidents", "subject", incident_of)
        _weed(change, "outbox", "seq", letter_of)
        for statement in _ORPHANS:
            change.run(statement)
        _end_cut_off(change)
        change.run(_ATTEMPTS)


def _task(row: sqlite3.Row) -> None:
    task_row_of(row)
    json.loads(row["source"] or "{}")


def _weed(change: Transaction, table: str, key: str, read: Callable[[sqlite3.Row], object]) -> None:
    """Remove the rows that cannot be what we wrote."""
    for row in change.rows(f"SELECT * FROM {table}"):
        try:
            read(row)
        except (ValueError, TypeError, KeyError, OverflowError, OSError):
            change.run(f"DELETE FROM {table} WHERE {key} IS ?", row[key])


def _end_cut_off(change: Transaction) -> None:
    """Runs that cannot go on, for nobody knows what they were to run."""
    cut_off = change.rows("SELECT * FROM runs WHERE state <> 'ended' AND snapshot NOT IN (SELECT hash FROM snapshots)")
    for row in cut_off:
        change.run(
            "UPDATE runs SET state = 'ended', outcome = ?, reason = ?, ended_at = coalesce(started_at, claimed_at), "
            "waiting_for = '', not_before = NULL, reserved_usd = 0 WHERE id = ?",
            Outcome.ABANDONED,
            CUT_OFF,
            row["id"],
        )
        demand(change, row["id"], (NOTE, DAILY_LOG))
