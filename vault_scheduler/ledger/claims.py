"""Claiming runs, and counting fire times that did not start into range rows (rules 2 and 4)."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vault_scheduler.ledger.conversations import answer
from vault_scheduler.ledger.deliveries import demand
from vault_scheduler.ledger.rows import Batch, Claim, Unstarted
from vault_scheduler.ledger.run_rows import run_of, run_values
from vault_scheduler.ledger.sqlite_file import certain
from vault_scheduler.ledger.transaction import Transaction
from vault_scheduler.run import Outcome, Run, RunState, TriggerKind, fire_key, run_id

_BY_CLAIM = (TriggerKind.AFTER, TriggerKind.CHANGE, TriggerKind.START)
"""Runs of no fire time of their own: those that do not start are counted in the order of their claims."""
CLOCK_ERROR_S = 86_400
"""What a clock decided that was further ahead than this was never true, and settles nothing (rule 11)."""


def in_order(batch: Batch) -> Iterator[Claim | Unstarted]:
    """A task's fire times one after the other: what did not start would else grow over a claim that lies amid it.

    The plans of several ticks come together where the ledger could not be written for a while.
    """
    gaps: dict[str, deque[Unstarted]] = {}
    for gap in batch.unstarted:
        gaps.setdefault(gap.task, deque()).append(gap)
    for wish in batch.claims:
        left, run = gaps.get(wish.run.task), wish.run
        while left and (run.trigger is not TriggerKind.AT or left[0].first < run.fire_time):
            yield left.popleft()
        yield wish
    for left in gaps.values():
        yield from left


def claim(change: Transaction, wish: Claim, owner: str) -> Run | None:
    """Insert the run; None if its key was claimed before, or its fire time lies in a range that did not start."""
    if wish.latch:
        change.run("UPDATE tasks SET latched = 1 WHERE task = ?", wish.run.task)
    _free_key(change, wish.run)
    if _is_settled(change, wish.run):
        return None
    run = _with_free_id(change, wish.run)
    change.insert("runs", run_values(run, owner))
    answer(change, run)
    if run.state is RunState.ENDED and not _joins(change, run, wish.deliveries):
        demand(change, run.id, wish.deliveries)
    return replace(run, fire_time=certain(int(run.fire_time.timestamp())))


def _joins(change: Transaction, run: Run, targets: Sequence[str]) -> bool:
    """Whether a run that ended at its claim has become part of the row before it; fire times were counted already."""
    return run.trigger in _BY_CLAIM and absorb(change, run.id, targets) is not None


def _free_key(change: Transaction, run: Run) -> None:
    """A range that a clock decided on that was days ahead gives up the fire time after which it is named."""
    change.run(
        "UPDATE runs SET key = key || '|' || id WHERE key = ? AND trigger = 'at' AND state = 'ended' AND attempts = 0 "
        "AND ended_at >= ?",
        run.key,
        run.claimed_at.timestamp() + CLOCK_ERROR_S,
    )


def _is_settled(change: Transaction, run: Run) -> bool:
    if change.one("SELECT 1 FROM runs WHERE key = ?", run.key) is not None:
        return True
    return run.trigger is TriggerKind.AT and _is_covered(change, run)


def _is_covered(change: Transaction, run: Run) -> bool:
    """Whether the fire time lies in a range row; but not in one that a clock decided on that was days ahead.

    Else a machine that started with a wrong year would count all of that year as missed, also after it is put right.
    """
    second = int(run.fire_time.timestamp())
    covering = change.one(
        "SELECT 1 FROM runs WHERE task = ? AND last_fire_time >= ? AND fire_time <= ? AND trigger = 'at' "
        "AND count > 1 AND ended_at < ? LIMIT 1",
        run.task,
        second,
        second,
        run.claimed_at.timestamp() + CLOCK_ERROR_S,
    )
    return covering is not None


def _with_free_id(change: Transaction, run: Run) -> Run:
    """Two keys of one second can share their six hex digits: the later run gets a longer id, not lost."""
    digest = hashlib.sha256(run.key.encode("utf-8", "surrogatepass")).hexdigest()
    name, length = run.id, 8
    while change.one("SELECT 1 FROM runs WHERE id = ?", name) is not None:
        name, length = f"{run.id.rpartition('-')[0]}-{digest[:length]}", length + 2
    return run if name == run.id else replace(run, id=name)


def add_unstarted(change: Transaction, gap: Unstarted, owner: str) -> None:
    """Prolong the range row that the task's newest fire time is in, if it ended alike; else begin one."""
    decided = gap.at or gap.last
    newest = newest_fire(change, gap.task, before=int(decided.timestamp()) + CLOCK_ERROR_S)
    if newest is not None and gap.last.timestamp() <= newest["last_fire_time"]:
        return  # all of it is settled: the same batch again after a clock that went back
    if newest is not None and is_like(newest, gap.outcome, gap.reason):
        _prolong(change, newest["id"], int(gap.last.timestamp()), gap.count, decided.timestamp())
        demand(change, newest["id"], gap.deliveries)
        return
    row = _range_row(gap, decided)
    _free_key(change, row)
    if change.one("SELECT 1 FROM runs WHERE key = ?", row.key) is not None:  # its first fire time alone is settled
        if gap.count == 1:
            return
        row = _range_row(replace(gap, first=gap.first + timedelta(seconds=1), count=gap.count - 1), decided)
    claim(change, Claim(run=row, deliveries=gap.deliveries), owner)


def _range_row(gap: Unstarted, decided: datetime) -> Run:
    key = fire_key(gap.task, gap.first)
    return Run(
        id=run_id(key, gap.first),
        key=key,
        task=gap.task,
        path=gap.path,
        trigger=TriggerKind.AT,
        fire_time=gap.first,
        last_fire_time=gap.last,
        count=gap.count,
        claimed_at=decided,
        ended_at=decided,
        state=RunState.ENDED,
        outcome=gap.outcome,
        reason=gap.reason,
    )


def newest_fire(change: Transaction, task: str, before: int) -> sqlite3.Row | None:
    """The task's newest row of trigger `at` before an instant (Unix seconds)."""
    return change.one(
        "SELECT * FROM runs WHERE task = ? AND trigger = 'at' AND last_fire_time < ? "
        "ORDER BY last_fire_time DESC, seq DESC LIMIT 1",
        task,
        before,
    )


def is_like(row: sqlite3.Row, outcome: Outcome, reason: str) -> bool:
    """Whether a row is of fire times that did not start for this very reason."""
    return bool(
        row["state"] == RunState.ENDED
        and row["attempts"] == 0
        and row["outcome"] == outcome
        and row["reason"] == reason
    )


def _prolong(change: Transaction, run: str, last: int, count: int, at: float) -> None:
    change.run("UPDATE runs SET last_fire_time = ?, count = count + ?, ended_at = ? WHERE id = ?", last, count, at, run)


def absorb(change: Transaction, run: str, targets: Sequence[str]) -> Run | None:
    """Let a run that ended without an attempt become part of the row right before it, if they are alike.

    A budget that is used up, say, ends every claim of a task that fires each minute: one row, not a thousand. Fire
    times, the runs that come after other tasks' runs, and those for changes and starts of the daemon are counted apart.
    Returns the row that grew; None if the run stays a row of its own.
    """
    row = change.one("SELECT * FROM runs WHERE id = ?", run)
    if row is None or row["attempts"]:
        return None
    previous = _row_before(change, row)
    if previous is None or not is_like(previous, Outcome(row["outcome"]), row["reason"]):
        return None
    change.run("DELETE FROM runs WHERE id = ?", run)
    last = max(previous["last_fire_time"], row["last_fire_time"])
    _prolong(change, previous["id"], last, row["count"], row["ended_at"])
    demand(change, previous["id"], targets)
    grown = change.one("SELECT * FROM runs WHERE id = ?", previous["id"])
    return None if grown is None else run_of(grown)


def _row_before(change: Transaction, row: sqlite3.Row) -> sqlite3.Row | None:
    """The row that this one may become a part of: of its task, and made due by the same kind of trigger."""
    if row["trigger"] == TriggerKind.AT:
        return newest_fire(change, row["task"], row["fire_time"])
    if row["trigger"] not in _BY_CLAIM:
        return None  # what somebody asked for is told for itself
    # Parents may end in the same second, and the clock may be set back: only the order of the claims tells.
    return change.one(
        "SELECT * FROM runs WHERE task = ? AND trigger = ? AND seq < ? ORDER BY seq DESC LIMIT 1",
        row["task"],
        row["trigger"],
        row["seq"],
    )
