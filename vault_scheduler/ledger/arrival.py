"""A state file that comes from elsewhere: poured into one of our own making, and put right for another machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from vault_scheduler.errors import LedgerCorrupt
from vault_scheduler.ledger.deliveries import demand
from vault_scheduler.ledger.mending import mend
from vault_scheduler.ledger.migrations import Migration
from vault_scheduler.ledger.rows import DAILY_LOG, NOTE
from vault_scheduler.ledger.schema import MIGRATIONS
from vault_scheduler.ledger.sqlite_file import SqliteFile, certain, epoch
from vault_scheduler.ledger.transaction import Transaction, translated
from vault_scheduler.run import Outcome, RunState

MOVED = "the vault was moved to another machine meanwhile"
_STARTED = (RunState.STARTING, RunState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """An attempt that was under way on the other machine; nobody here knows what it has cost."""

    run: str
    attempt: int
    task: str
    started_at: datetime
    reserved_usd: float


def snapshot(source: Path, target: Path) -> None:
    """Copy a state file as it is at one moment, while others write it. Raises LedgerUnavailable, LedgerCorrupt."""
    with (
        translated(source),
        closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=5)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")


def take_in(
    source: Path, target: Path, migrations: Sequence[Migration], *, version: str, tables: Collection[str] = ()
) -> SqliteFile:
    """A new file with the rows of `source` (of all tables, or of these), which is brought up to date on the way.

    The schema is our own: what else the other file says, of views and triggers for example, means nothing. Raises
    LedgerTooNew, LedgerCorrupt, LedgerUnavailable.
    """
    _refuse_strange(source)
    SqliteFile.migrate_file(source, migrations, version=version)
    file = SqliteFile.open(target, migrations, version=version)
    try:
        if not _columns(source) >= _columns(target):
            raise LedgerCorrupt(str(source), "its tables are not those of its version")
        if not file.fill_from(source, tuple(tables)):
            raise LedgerCorrupt(str(source), "not all of its rows can be read")
        with file.write(durable=True) as change:
            change.upsert("meta", "key", {"key": "written_by", "value": version})
    except BaseException:
        file.close()
        raise
    return file


def _refuse_strange(source: Path) -> None:
    """A file of ours holds tables and their indexes."""
    with translated(source), closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as db:
        strange = db.execute(
            "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR upper(sql) LIKE 'CREATE VIRTUAL%'"
        ).fetchone()
    if strange is not None:
        raise LedgerCorrupt(str(source), f"it holds {strange[0]!r}, which is not ours")


def _columns(path: Path) -> set[tuple[str, str]]:
    """Tables and their columns."""
    query = "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
    with translated(path), closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
        return set(db.execute(query))


def settle(file: SqliteFile, at: datetime) -> list[CutOff]:
    """Make a ledger of another machine one to begin with here: nothing is caught up, and what was going on has ended.

    Runs that had not started end skipped, as when a host is lost; those under way are abandoned, and not tried again:
    the other machine may have brought them to their end.
    """
    mend(file)
    with file.write(durable=True) as change:
        cut_off = [
            CutOff(
                run=row["id"],
                attempt=max(row["attempts"], 1),
                task=row["task"],
                started_at=certain(row["started_at"] or row["claimed_at"]),
                reserved_usd=row["reserved_usd"],
            )
            for row in change.rows("SELECT * FROM runs WHERE state IN (?, ?)", *_STARTED)
        ]
        for row in change.rows("SELECT id, state FROM runs WHERE state <> ?", RunState.ENDED):
            _end(change, row["id"], Outcome.ABANDONED if row["state"] in _STARTED else Outcome.SKIPPED, at)
        change.run(
            "UPDATE attempts SET state = ?, outcome = ?, reason = ?, ended_at = ? WHERE state <> ?",
            *(RunState.ENDED, Outcome.ABANDONED, MOVED, epoch(at), RunState.ENDED),
        )
        change.run("DELETE FROM requests WHERE state <> 'answered'")
        change.run("UPDATE tasks SET watermark = ? WHERE watermark < ?", epoch(at), epoch(at))
        change.run("DELETE FROM unfollowed")
        change.run("DELETE FROM meta WHERE key = 'last pass'")
    return cut_off


def _end(change: Transaction, run: str, outcome: Outcome, at: datetime) -> None:
    change.run(
        "UPDATE runs SET state = ?, outcome = ?, reason = ?, ended_at = ?, waiting_for = '', not_before = NULL, "
        "reserved_usd = 0, lease_until = NULL WHERE id = ?",
        *(RunState.ENDED, outcome, MOVED, epoch(at), run),
    )
    demand(change, run, (NOTE, DAILY_LOG))


def take_in_ledger(source: Path, target: Path, at: datetime, *, version: str) -> list[CutOff]:
    """The ledger of another machine, to begin with here. Raises as `take_in`."""
    file = take_in(source, target, MIGRATIONS, version=version)
    try:
        return settle(file, at)
    finally:
        file.close()
