"""The store in one SQLite file: the tables put together, and what concerns all of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path

from vault_scheduler import __version__
from vault_scheduler.ledger.claims import add_unstarted, claim, in_order
from vault_scheduler.ledger.conversations import OWN_SESSION, ConversationTable
from vault_scheduler.ledger.deliveries import DeliveryTable, demand
from vault_scheduler.ledger.mending import mend
from vault_scheduler.ledger.notices import NoticeTable, trim_notices
from vault_scheduler.ledger.requests import RequestTable
from vault_scheduler.ledger.rows import (
    TASK_FACTS,
    Batch,
    Unstarted,
)
from vault_scheduler.ledger.runs import RunTable
from vault_scheduler.ledger.schema import MIGRATIONS
from vault_scheduler.ledger.sqlite_file import SqliteFile, epoch
from vault_scheduler.ledger.store import TRIM_LIMIT, Store
from vault_scheduler.ledger.tasks import TaskTable, write_meta, write_task
from vault_scheduler.ledger.transaction import Transaction
from vault_scheduler.planning.incidents import Origin
from vault_scheduler.run import Run

_FORGET_RUN = (
    "DELETE FROM attempts WHERE run = ?",
    "DELETE FROM deliveries WHERE run = ?",
    "DELETE FROM unfollowed WHERE run = ?",
    "DELETE FROM questions WHERE run = ?",
    "DELETE FROM runs WHERE id = ?",
)


class SqliteStore(TaskTable, RunTable, DeliveryTable, RequestTable, ConversationTable, NoticeTable):
    """The ledger in one SQLite file of the state folder. Calls take about 0.1 ms, so they do not leave the loop."""

    def __init__(self, file: SqliteFile, owner: str) -> None:
        self._file = file
        self.owner = owner  # who claims: a daemon's start id

    @classmethod
    async def open(cls, path: Path | str, *, version: str, owner: str, serving: bool = True) -> SqliteStore:
        """Open or create a ledger (`":memory:"` is one, too). Raises LedgerTooNew, LedgerCorrupt, LedgerUnavailable.

        A damaged one is set aside and a new one begun with what can be read of it, and `notices` says so; but only
        if `serving`, which is for who holds the vault's lock.
        """
        file = SqliteFile.open(path, MIGRATIONS, version=version, serving=serving)
        if file.notices:
            mend(file)
        return cls(file, owner)

    @classmethod
    async def look(cls, path: Path | str, *, version: str) -> SqliteStore:
        """The ledger as it is, for who only reads it: what is written here may be lost. Raises as `open`."""
        return cls(SqliteFile.look(path, MIGRATIONS, version=version), "look")

    @property
    def notices(self) -> tuple[str, ...]:
        """See `Store.notices`."""
        return self._file.notices

    @property
    def is_new(self) -> bool:
        """Whether opening began a new ledger."""
        return self._file.is_new

    @property
    def ran_until(self) -> datetime | None:
        """When a damaged ledger, which had to be set aside, was last written: what was due until then was claimed."""
        return self._file.lost_at

    async def close(self) -> None:
        """See `Store.close`."""
        self._file.close()

    def together(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """See `Store.together`."""
        return self._file.together(durable=durable)

    async def check(self) -> str | None:
        """See `Store.check`."""
        return self._file.check()

    async def reattach(self) -> None:
        """See `Store.reattach`."""
        self._file.reattach(MIGRATIONS, version=__version__)
        if self._file.notices:
            mend(self._file)

    async def integrity(self) -> str:
        """See `Store.integrity`."""
        return self._file.integrity()

    async def size(self) -> int:
        """See `Store.size`."""
        return self._file.size()

    async def save(self, batch: Batch) -> dict[str, Run]:
        """See `Store.save`."""
        if batch.is_empty:
            return {}
        claimed: dict[str, Run] = {}
        with self._file.write(durable=bool(batch.claims or batch.unstarted)) as change:
            for name, definition in batch.snapshots.items():
                change.insert("snapshots", {"hash": name, "definition": definition}, "ON CONFLICT DO NOTHING")
            for row in batch.tasks:
                write_task(change, row, batch.sources.get(row.task))
            for left in batch.taken_back:
                _take_back(change, left)
            for part in in_order(batch):
                if isinstance(part, Unstarted):
                    add_unstarted(change, part, self.owner)
                elif (run := claim(change, part, self.owner)) is not None:
                    claimed[run.key] = run
            for key, value in batch.meta.items():
                write_meta(change, key, value)
            for run_id in batch.followed:
                change.run("DELETE FROM unfollowed WHERE run = ?", run_id)
        return claimed

    async def trim(self, now: datetime, keep: timedelta) -> int:
        """See `Store.trim`."""
        oldest = epoch(now - keep)
        with self._file.write(durable=False) as change:
            gone = change.rows(
                "SELECT id FROM runs WHERE state = 'ended' AND ended_at < ? "
                "AND seq NOT IN (SELECT max(seq) FROM runs GROUP BY task) LIMIT ?",
                oldest,
                TRIM_LIMIT,
            )
            for (run,) in gone:
                for statement in _FORGET_RUN:
                    change.run(statement, run)
            change.run("DELETE FROM snapshots WHERE hash NOT IN (SELECT snapshot FROM runs)")
            change.run("DELETE FROM requests WHERE made_at < ?", oldest)
            # A whole note is replaced only if it is what we last wrote: one that is written once a year, too.
            change.run("DELETE FROM notes WHERE written_at < ?", epoch(now - 2 * keep))
            change.run("DELETE FROM sessions WHERE used_at < ?", oldest)
            trim_notices(change, now, keep)
        return len(gone)

    async def idle_tasks(self, now: datetime, keep: timedelta) -> dict[str, str]:
        """See `Store.idle_tasks`."""
        rows = self._file.rows(
            "SELECT task, path FROM tasks WHERE NOT fires AND watermark < ? AND task NOT IN "
            "(SELECT task FROM runs WHERE ended_at IS NULL OR ended_at >= ?)",
            epoch(now - keep),
            epoch(now - keep),
        )
        return {row["task"]: row["path"] for row in rows}

    async def forget_all_of(self, task: str) -> None:
        """See `Store.forget_all_of`."""
        with self._file.write(durable=False) as change:
            for (run,) in change.rows("SELECT id FROM runs WHERE task = ?", task):
                for statement in _FORGET_RUN:
                    change.run(statement, run)
            change.run("DELETE FROM tasks WHERE task = ?", task)
            change.run("DELETE FROM sessions WHERE name = ?", OWN_SESSION + task)
            change.run("DELETE FROM incidents WHERE subject = ? AND origin = ?", task, Origin.RUN)
            change.run("DELETE FROM meta WHERE key IN (?, ?, ?)", *(f"{fact}{task}" for fact in TASK_FACTS))


def _implements(store: SqliteStore) -> Store:
    """Type-checked proof that the SQLite store is a Store."""
    return store


def _take_back(change: Transaction, left: Run) -> None:
    """What a false clock settled is open again: the row ends earlier, or goes with all that belongs to it."""
    if not left.count:
        for statement in _FORGET_RUN:
            change.run(statement, left.id)
        return
    last = int((left.last_fire_time or left.fire_time).timestamp())
    change.run("UPDATE runs SET last_fire_time = ?, count = ? WHERE id = ?", last, left.count, left.id)
    demand(change, left.id, ())
