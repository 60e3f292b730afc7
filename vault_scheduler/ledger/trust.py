"""Pins and spend: what a person approved and what was spent, in a file of their own (rules 8 and 9).

The file lies in the state folder, beside the ledger and outside the vault: deleting the ledger neither approves
anything nor makes today's money come back. Times are aware and in UTC, money in US dollars, days those of the
vault's zone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from vault_scheduler import __version__
from vault_scheduler.ledger.migrations import executing
from vault_scheduler.ledger.sqlite_file import SqliteFile, certain, epoch
from vault_scheduler.ledger.transaction import Transaction

_FIRST = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE pins (
        task TEXT PRIMARY KEY, hash TEXT NOT NULL, pinned_at REAL NOT NULL, how TEXT NOT NULL, source TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE holds (
        task TEXT PRIMARY KEY, hash TEXT NOT NULL, since REAL NOT NULL, why TEXT NOT NULL, source TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE spend (
        run TEXT NOT NULL, attempt INTEGER NOT NULL, task TEXT NOT NULL, day TEXT NOT NULL, usd REAL NOT NULL,
        PRIMARY KEY (run, attempt)
    ) WITHOUT ROWID""",
    "CREATE INDEX spend_by_day ON spend (day, task)",
)


MIGRATIONS = (executing(_FIRST),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """An approved definition; `source` is its JSON, so that a later one can be compared with it."""

    task: str
    hash: str
    pinned_at: datetime
    how: str  # seen · approved
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A definition that waits for approval."""

    task: str
    hash: str
    since: datetime
    why: str
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a day has cost."""

    total: float
    tasks: Mapping[str, float]

    def of(self, task: str) -> float:
        """What one task has cost."""
        return self.tasks.get(task, 0.0)


class Trust:
    """The file of pins, holds and spend. Raises LedgerTooNew, LedgerCorrupt, LedgerUnavailable."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self.notices = file.notices
        self.is_new = file.is_new

    @classmethod
    def open(cls, path: Path | str, *, version: str, serving: bool = True) -> Trust:
        """Open or create it. A damaged file is set aside if `serving`; then the pins count as lost, not the spend."""
        trust = cls(SqliteFile.open(path, MIGRATIONS, version=version, serving=serving, salvaged=("spend",)))
        if trust.notices:
            trust.mark_lost()
        return trust

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def check(self) -> str | None:
        """None while this is still the file that was opened; else "missing", "replaced" or "newer"."""
        return self._file.check()

    def reattach(self) -> None:
        """After "missing": all that is held open is in the file at its place again."""
        self._file.reattach(MIGRATIONS, version=__version__)

    # pins

    def pins_known(self) -> bool:
        """False after the pins were lost, until nothing waits for approval any more."""
        return self._file.one("SELECT 1 FROM meta WHERE key = 'lost'") is None

    def mark_lost(self) -> None:
        """The pins of this vault are gone, though the ledger knows its tasks: nothing pins itself now."""
        with self._file.write(durable=True) as change:
            change.upsert("meta", "key", {"key": "lost", "value": "1"})

    def pins(self) -> dict[str, Pin]:
        """All pins by task."""
        return {row["task"]: _pin(row) for row in self._file.rows("SELECT * FROM pins")}

    def pin_hashes(self) -> dict[str, str]:
        """What is pinned of each task."""
        return {row[0]: row[1] for row in self._file.rows("SELECT task, hash FROM pins")}

    def pin_of(self, task: str) -> Pin | None:
        """The approved definition of a task."""
        row = self._file.one("SELECT * FROM pins WHERE task = ?", task)
        return None if row is None else _pin(row)

    def pin(self, task: str, definition: str, at: datetime, how: str = "seen", source: str = "") -> None:
        """Pin a definition (its hash); a hold of the task ends."""
        with self._file.write(durable=True) as change:
            _write_pin(change, Pin(task=task, hash=definition, pinned_at=at, how=how, source=source))

    def holds(self) -> dict[str, Hold]:
        """All that waits for approval, by task."""
        return {row["task"]: _hold(row) for row in self._file.rows("SELECT * FROM holds ORDER BY since")}

    def held(self, task: str) -> Hold | None:
        """The definition of the task that waits for approval."""
        row = self._file.one("SELECT * FROM holds WHERE task = ?", task)
        return None if row is None else _hold(row)

    def pin_all(self, pins: Sequence[Pin]) -> None:
        """As `pin`, for many at once: a vault's first start costs one write, not thousands."""
        with self._file.write(durable=True) as change:
            has_holds = change.one("SELECT 1 FROM holds LIMIT 1") is not None
            for pin in pins:
                _write_pin(change, pin, has_holds=has_holds)

    def hold(self, task: str, definition: str, at: datetime, why: str, source: str = "") -> None:
        """Hold a definition; a task that is held already stays so for the same reason, since the same moment."""
        row = {"task": task, "hash": definition, "since": epoch(at), "why": why, "source": source}
        with self._file.write(durable=True) as change:
            change.insert(
                "holds", row, "ON CONFLICT(task) DO UPDATE SET hash = excluded.hash, source = excluded.source"
            )

    def unhold(self, task: str) -> None:
        """The note is back at its pinned definition: nothing waits any more."""
        with self._file.write(durable=True) as change:
            change.run("DELETE FROM holds WHERE task = ?", task)

    def approve(self, task: str, definition: str, at: datetime) -> bool:
        """Approve the definition that the person was shown; False if another one is held by now, or none."""
        with self._file.write(durable=True) as change:
            row = change.one("SELECT * FROM holds WHERE task = ? AND hash = ?", task, definition)
            if row is None:
                return False
            _write_pin(change, Pin(task=task, hash=definition, pinned_at=at, how="approved", source=row["source"]))
            if change.one("SELECT 1 FROM holds") is None:
                change.run("DELETE FROM meta WHERE key = 'lost'")
            return True

    def rename(self, old: str, new: str) -> None:
        """Pin, hold and spend follow the task to its new id."""
        with self._file.write(durable=True) as change:
            for table in ("pins", "holds", "spend"):
                change.run(f"UPDATE OR REPLACE {table} SET task = ? WHERE task = ?", new, old)

    def forget(self, task: str) -> None:
        """The task's note went long ago; should it come again, it is a new one."""
        with self._file.write(durable=False) as change:
            for table in ("pins", "holds"):
                change.run(f"DELETE FROM {table} WHERE task = ?", task)

    # spend

    def add_spend(self, run: str, attempt: int, task: str, day: date, usd: float) -> None:
        """Book an attempt; booking it again keeps the larger sum, so that a restart cannot count it twice."""
        row = {"run": run, "attempt": attempt, "task": task, "day": day.isoformat(), "usd": usd}
        with self._file.write(durable=True) as change:
            change.insert("spend", row, "ON CONFLICT(run, attempt) DO UPDATE SET usd = max(usd, excluded.usd)")

    def spent(self, day: date) -> Spent:
        """What a day has cost, in all and by task."""
        rows = self._file.rows("SELECT task, sum(usd) FROM spend WHERE day = ? GROUP BY task", day.isoformat())
        tasks = {row[0]: float(row[1]) for row in rows}
        return Spent(total=sum(tasks.values()), tasks=tasks)

    def spent_since(self, day: date) -> float:
        """What that day and those after it have cost."""
        row = self._file.one("SELECT sum(usd) FROM spend WHERE day >= ?", day.isoformat())
        return float(row[0] or 0.0) if row else 0.0

    def spent_by(self, run: str) -> float:
        """What the attempts of a run have cost so far."""
        row = self._file.one("SELECT sum(usd) FROM spend WHERE run = ?", run)
        return float(row[0] or 0.0) if row else 0.0

    def dearest_of(self, run: str) -> float:
        """What the dearest attempt of a run was charged."""
        row = self._file.one("SELECT max(usd) FROM spend WHERE run = ?", run)
        return float(row[0] or 0.0) if row else 0.0

    def trim(self, today: date, keep: timedelta) -> None:
        """Forget what was spent longer ago than `keep` (rule 12)."""
        with self._file.write(durable=False) as change:
            change.run("DELETE FROM spend WHERE day < ?", (today - keep).isoformat())


def _write_pin(change: Transaction, pin: Pin, *, has_holds: bool = True) -> None:
    row = {"task": pin.task, "hash": pin.hash, "pinned_at": epoch(pin.pinned_at), "how": pin.how, "source": pin.source}
    change.upsert("pins", "task", row)
    if has_holds:
        change.run("DELETE FROM holds WHERE task = ?", pin.task)


def _pin(row: sqlite3.Row) -> Pin:
    return Pin(
        task=row["task"],
        hash=row["hash"],
        pinned_at=certain(row["pinned_at"]),
        how=row["how"],
        source=row["source"],
    )


def _hold(row: sqlite3.Row) -> Hold:
    return Hold(
        task=row["task"],
        hash=row["hash"],
        since=certain(row["since"]),
        why=row["why"],
        source=row["source"],
    )
