"""Rows of the ledger about runs and their attempts: from the claim to the end, and the questions about the past."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from vault_scheduler.errors import Refused, RunNotFound
from vault_scheduler.ledger.claims import absorb
from vault_scheduler.ledger.conversations import ask
from vault_scheduler.ledger.deliveries import demand
from vault_scheduler.ledger.rows import CANCELLED, EXCUSED, GATE, OVERLAPS, TRANSIENT
from vault_scheduler.ledger.run_rows import attempt_of, result_json, run_of
from vault_scheduler.ledger.sqlite_file import SqliteFile, epoch, moment
from vault_scheduler.ledger.transaction import Transaction
from vault_scheduler.run import Attempt, Outcome, Result, Run, RunState

_FAILED = ", ".join(f"'{outcome}'" for outcome in Outcome if outcome.is_failed)
_SUCCEEDED = "WHERE task = ? AND state = 'ended' AND outcome = 'success'"
_SET_BACK_S = 86400.0  # a clock is not set back further than this, unless it was altogether wrong
# The task of a run that counts for `max_runs`: a run that somebody asked for never moves the schedule.
_COUNTED = "SELECT task FROM runs WHERE id = ? AND trigger NOT IN ('req', 'answer')"
_UNCOUNT = f"UPDATE tasks SET started = max(0, started - 1) WHERE task = ({_COUNTED})"
FALSE_AHEAD = timedelta(days=1)
"""What fired further ahead of now than this did so by a clock that was wrong."""
_NEWEST_FIRST = "ORDER BY last_fire_time DESC, seq DESC LIMIT ?"


class RunTable:
    """The tables `runs`, `attempts` and `snapshots`."""

    _file: SqliteFile
    owner: str

    async def snapshot(self, definition: str) -> str | None:
        """See `Store.snapshot`."""
        row = self._file.one("SELECT definition FROM snapshots WHERE hash = ?", definition)
        return None if row is None else str(row[0])

    async def renew_snapshot(self, run: str, definition: str, source: str, reserved_usd: float = 0.0) -> None:
        """See `Store.renew_snapshot`."""
        with self._file.write(durable=True) as change:
            _require_active(change, run)
            change.insert("snapshots", {"hash": definition, "definition": source}, "ON CONFLICT DO NOTHING")
            change.run("UPDATE runs SET snapshot = ?, reserved_usd = ? WHERE id = ?", definition, reserved_usd, run)

    async def renew_leases(self, until: datetime) -> None:
        """See `Store.renew_leases`."""
        if self._file.one("SELECT 1 FROM runs WHERE state <> 'ended'") is None:
            return
        with self._file.write(durable=False) as change:
            change.run("UPDATE runs SET owner = ?, lease_until = ? WHERE state <> 'ended'", self.owner, epoch(until))

    async def count_runs(self) -> int:
        """How many runs and range rows there are."""
        row = self._file.one("SELECT count(*) FROM runs")
        return int(row[0]) if row else 0

    async def active(self) -> list[Run]:
        """See `Store.active`."""
        rows = self._file.rows("SELECT * FROM runs WHERE state <> 'ended' ORDER BY fire_time, seq")
        return [run_of(row) for row in rows]

    async def run(self, run: str) -> Run | None:
        """See `Store.run`."""
        row = self._file.one("SELECT * FROM runs WHERE id = ?", run)
        return None if row is None else run_of(row)

    async def run_of_key(self, key: str) -> Run | None:
        """See `Store.run_of_key`."""
        row = self._file.one("SELECT * FROM runs WHERE key = ?", key)
        return None if row is None else run_of(row)

    async def runs_of(self, task: str, limit: int = 50) -> list[Run]:
        """See `Store.runs_of`."""
        return await self.history(task=task, limit=limit)

    async def history(
        self,
        task: str | None = None,
        failed: bool = False,
        limit: int = 50,
        before: datetime | None = None,
        now: datetime | None = None,
    ) -> list[Run]:
        """See `Store.history`."""
        conditions = ["1"]
        values: list[object] = []
        if task is not None:
            conditions.append("task = ?")
            values.append(task)
        if failed:
            conditions.append(f"outcome IN ({_FAILED})")
        if before is not None:
            conditions.append("last_fire_time < ?")
            values.append(epoch(before))
        where = " AND ".join(conditions)
        order = _NEWEST_FIRST
        if now is not None:
            values.append(epoch(now + FALSE_AHEAD))
            order = f"ORDER BY last_fire_time > ?, {order.removeprefix('ORDER BY ')}"
        rows = self._file.rows(f"SELECT * FROM runs WHERE {where} {order}", *values, limit)
        return [run_of(row) for row in rows]

    async def started_of_type(self, kind: str, limit: int) -> list[Run]:
        """See `Store.started_of_type`."""
        rows = self._file.rows(
            "SELECT * FROM runs WHERE state = 'ended' AND attempts > 0 AND snapshot IN "
            "(SELECT hash FROM snapshots WHERE json_extract(definition, '$.type') = ?) "
            "ORDER BY ended_at DESC, seq DESC LIMIT ?",
            kind,
            limit,
        )
        return [run_of(row) for row in rows]

    async def last_run_of(self, task: str, started: bool = False) -> Run | None:
        """See `Store.last_run_of`."""
        row = self._file.one(
            "SELECT * FROM runs WHERE task = ? AND state = 'ended' AND attempts >= ? "
            "ORDER BY ended_at DESC, seq DESC LIMIT 1",
            task,
            int(started),
        )
        return None if row is None else run_of(row)

    async def consecutive_failures(self, task: str, since: datetime | None = None) -> int:
        """See `Store.consecutive_failures`."""
        last = self._file.one(f"SELECT max(ended_at) FROM runs {_SUCCEEDED}", task)
        recently = ((last and last[0]) or 0.0) - _SET_BACK_S
        # In the order of the claims: a clock that was set back ends runs before those that came before them.
        success = self._file.one(f"SELECT max(seq) FROM runs {_SUCCEEDED} AND ended_at > ?", task, recently)
        row = self._file.one(
            f"SELECT count(*) FROM runs WHERE task = ? AND state = 'ended' AND ended_at > ? AND seq > ? "
            f"AND outcome IN ({_FAILED}) AND json_extract(extra, '$.{TRANSIENT}') IS NULL",
            task,
            max(recently, epoch(since) or 0.0),
            (success and success[0]) or 0,
        )
        return int(row[0]) if row else 0

    async def counts(self, task: str | None = None) -> dict[str, int]:
        """See `Store.counts`."""
        rows = self._file.rows(
            "SELECT coalesce(outcome, state), sum(count) FROM runs WHERE ? IS NULL OR task = ? GROUP BY 1",
            task,
            task,
        )
        return {row[0]: row[1] for row in rows}

    async def unstarted_since(self, after: datetime) -> list[Run]:
        """See `Store.unstarted_since`."""
        rows = self._file.rows(
            "SELECT * FROM runs WHERE last_fire_time > ? AND trigger = 'at' AND state = 'ended' AND attempts = 0 "
            "ORDER BY fire_time, seq",
            epoch(after),
        )
        return [run_of(row) for row in rows]

    async def unfollowed(self) -> list[Run]:
        """See `Store.unfollowed`."""
        rows = self._file.rows("SELECT r.* FROM unfollowed u JOIN runs r ON r.id = u.run ORDER BY r.ended_at, r.seq")
        return [run_of(row) for row in rows]

    async def attempts(self, run: str) -> list[Attempt]:
        """See `Store.attempts`."""
        return [attempt_of(row) for row in self._file.rows("SELECT * FROM attempts WHERE run = ? ORDER BY number", run)]

    async def wait(
        self, run: str, waiting_for: str, not_before: datetime | None = None, excused: int | None = None
    ) -> None:
        """See `Store.wait`."""
        with self._file.write(durable=False) as change:
            _require_active(change, run)
            change.run(
                "UPDATE runs SET state = 'waiting', waiting_for = ?, not_before = ? WHERE id = ?",
                waiting_for,
                epoch(not_before),
                run,
            )
            if excused is not None:
                change.run(f"UPDATE runs SET extra = json_set(extra, '$.{EXCUSED}', ?) WHERE id = ?", str(excused), run)

    async def wait_all(self, runs: Sequence[str], waiting_for: str) -> None:
        """See `Store.wait_all`."""
        with self._file.write(durable=False) as change:
            for run in runs:
                change.run(
                    "UPDATE runs SET state = 'waiting', waiting_for = ?, not_before = NULL "
                    "WHERE id = ? AND state <> 'ended'",
                    waiting_for,
                    run,
                )

    async def mark_overlapping(self, run: str) -> None:
        """See `Store.mark_overlapping`."""
        with self._file.write(durable=False) as change:
            _require_active(change, run)
            change.run(f"UPDATE runs SET extra = json_set(extra, '$.{OVERLAPS}', '1') WHERE id = ?", run)

    async def begin_attempt(self, run: str, number: int, at: datetime) -> None:
        """See `Store.begin_attempt`."""
        with self._file.write(durable=True) as change:
            _require_active(change, run)
            change.insert(
                "attempts",
                {
                    "run": run,
                    "number": number,
                    "state": RunState.STARTING,
                    "started_at": epoch(at),
                    "reason": "",
                },
            )
            change.run(
                "UPDATE runs SET state = 'starting', attempts = ?, waiting_for = '', not_before = NULL, "
                "started_at = coalesce(started_at, ?), result = NULL WHERE id = ?",
                number,
                epoch(at),
                run,
            )
            if number == 1:
                change.run(f"UPDATE tasks SET started = started + 1 WHERE task = ({_COUNTED})", run)

    async def withdraw_attempt(self, run: str, number: int) -> Run:
        """See `Store.withdraw_attempt`."""
        with self._file.write(durable=True) as change:
            _require_active(change, run)
            if change.run("DELETE FROM attempts WHERE run = ? AND number = ?", run, number):
                change.run(
                    "UPDATE runs SET state = 'waiting', waiting_for = 'gate', attempts = attempts - 1, "
                    "started_at = CASE WHEN attempts > 1 THEN started_at END WHERE id = ?",
                    run,
                )
                if number == 1:
                    change.run(_UNCOUNT, run)
            return _require(change, run)

    async def attempt_running(
        self,
        run: str,
        number: int,
        pid: int,
        start_ticks: int | None,
        boot_id: str | None,
        at: datetime,
        is_gate: bool = False,
    ) -> None:
        """See `Store.attempt_running`."""
        with self._file.write(durable=False) as change:
            _require_active(change, run)
            change.run(
                "UPDATE attempts SET state = 'running', "
                "started_at = CASE WHEN state = 'starting' THEN ? ELSE started_at END, "
                "pid = ?, start_ticks = ?, boot_id = ? WHERE run = ? AND number = ? AND state <> 'ended'",
                epoch(at),
                pid,
                start_ticks,
                boot_id,
                run,
                number,
            )
            waiting_for = GATE if is_gate else ""
            change.run("UPDATE runs SET state = 'running', waiting_for = ? WHERE id = ?", waiting_for, run)

    async def order_end(self, run: str, why: str) -> None:
        """See `Store.order_end`."""
        with self._file.write(durable=True) as change:
            _require_active(change, run)
            change.run(
                f"UPDATE runs SET extra = json_insert(extra, '$.{CANCELLED}', ?) WHERE id = ?",
                why,
                run,
            )

    async def end_attempt(self, run: str, number: int, result: Result, at: datetime, is_counted: bool = True) -> Run:
        """See `Store.end_attempt`."""
        with self._file.write(durable=True) as change:
            _require_active(change, run)
            ended = change.run(
                "UPDATE attempts SET state = 'ended', ended_at = ?, outcome = ?, reason = ?, exit_code = ?, "
                "cost_usd = ? WHERE run = ? AND number = ? AND state <> 'ended'",
                epoch(at),
                result.outcome,
                result.reason,
                result.exit_code,
                result.cost_usd,
                run,
                number,
            )
            if ended:
                change.run("UPDATE runs SET result = ? WHERE id = ?", result_json(result), run)
            if ended and number == 1 and not is_counted:
                change.run(_UNCOUNT, run)
            return _require(change, run)

    async def finish(
        self,
        run: str,
        outcome: Outcome,
        result: Result | None,
        reason: str,
        at: datetime,
        deliveries: Sequence[str] = (),
        extra: Mapping[str, str] | None = None,
    ) -> Run:
        """See `Store.finish`."""
        with self._file.write(durable=True) as change:
            found = _require(change, run)
            if found.state is RunState.ENDED:
                return found
            _end_run(change, found, outcome, result, reason, at, extra or {})
            _end_attempts(change, run, outcome, result, reason, at)
            merged = None if found.attempts else absorb(change, run, deliveries)
            if merged is None:
                demand(change, run, deliveries)
            if found.attempts:
                change.insert("unfollowed", {"run": run}, "ON CONFLICT DO NOTHING")
            if merged is not None:
                return merged
            ended = _require(change, run)
            ask(change, ended)
            return ended

    async def last_started_at(self, task: str) -> datetime | None:
        """See `Store.last_started_at`."""
        row = self._file.one("SELECT max(started_at) FROM runs WHERE task = ?", task)
        return moment(row[0]) if row else None


def _require(change: Transaction, run: str) -> Run:
    row = change.one("SELECT * FROM runs WHERE id = ?", run)
    if row is None:
        raise RunNotFound(run)
    return run_of(row)


def _require_active(change: Transaction, run: str) -> None:
    row = change.one("SELECT state FROM runs WHERE id = ?", run)
    if row is None:
        raise RunNotFound(run)
    if row["state"] == RunState.ENDED:
        raise Refused(f"the run {run} has ended")


def _end_run(
    change: Transaction,
    run: Run,
    outcome: Outcome,
    result: Result | None,
    reason: str,
    at: datetime,
    extra: Mapping[str, str],
) -> None:
    change.run(
        "UPDATE runs SET state = 'ended', outcome = ?, reason = ?, result = ?, ended_at = ?, "
        "waiting_for = '', not_before = NULL, reserved_usd = 0, extra = ? WHERE id = ?",
        outcome,
        reason,
        result_json(result),
        epoch(at),
        json.dumps({**run.extra, **extra}),
        run.id,
    )


def _end_attempts(
    change: Transaction, run: str, outcome: Outcome, result: Result | None, reason: str, at: datetime
) -> None:
    change.run(
        "UPDATE attempts SET state = 'ended', ended_at = ?, outcome = ?, reason = ?, exit_code = ?, "
        "cost_usd = ? WHERE run = ? AND state <> 'ended'",
        epoch(at),
        outcome,
        reason,
        result.exit_code if result else None,
        result.cost_usd if result else None,
        run,
    )
