"""Rows of the ledger about runs and attempts ↔ the classes of run.py."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from vault_scheduler.ledger.sqlite_file import certain, epoch, moment
from vault_scheduler.run import Attempt, Cause, Outcome, Result, Run, RunState, TriggerKind

_TUPLES = ("denials", "changed_notes", "remarks")
_MOMENTS = ("quota_until", "usage_until")


def result_json(result: Result | None) -> str | None:
    """A result as the text of its column."""
    if result is None:
        return None
    plain = {name: getattr(result, name) for name in Result.__slots__}
    return json.dumps({**plain, **{name: epoch(plain[name]) for name in _MOMENTS}})


def result_of(text: str | None) -> Result | None:
    """The result in its column's text; fields that this version does not know are left out."""
    if text is None:
        return None
    fields: dict[str, Any] = {name: value for name, value in json.loads(text).items() if name in Result.__slots__}
    for name in _TUPLES:
        fields[name] = tuple(fields.get(name, ()))
    for name in _MOMENTS:
        fields[name] = moment(fields.get(name))
    cause = fields.get("cause")
    return Result(**{**fields, "outcome": Outcome(fields["outcome"]), "cause": Cause(cause) if cause else None})


def run_values(run: Run, owner: str) -> dict[str, object]:
    """The columns of a run."""
    return {
        "id": run.id,
        "key": run.key,
        "task": run.task,
        "path": run.path,
        "trigger": run.trigger,
        "fire_time": int(run.fire_time.timestamp()),
        "last_fire_time": int((run.last_fire_time or run.fire_time).timestamp()),
        "count": run.count,
        "claimed_at": epoch(run.claimed_at),
        "owner": owner,
        "state": run.state,
        "snapshot": run.snapshot,
        "waiting_for": run.waiting_for,
        "not_before": epoch(run.not_before),
        "outcome": run.outcome,
        "reason": run.reason,
        "started_at": epoch(run.started_at),
        "ended_at": epoch(run.ended_at),
        "attempts": run.attempts,
        "reserved_usd": run.reserved_usd,
        "result": result_json(run.result),
        "extra": json.dumps(run.extra),
    }


def run_of(row: sqlite3.Row) -> Run:
    """The run in a row of `runs`."""
    return Run(
        id=row["id"],
        key=row["key"],
        task=row["task"],
        path=row["path"],
        trigger=TriggerKind(row["trigger"]),
        fire_time=certain(row["fire_time"]),
        last_fire_time=certain(row["last_fire_time"]) if row["last_fire_time"] > row["fire_time"] else None,
        count=row["count"],
        claimed_at=certain(row["claimed_at"]),
        state=RunState(row["state"]),
        snapshot=row["snapshot"],
        waiting_for=row["waiting_for"],
        not_before=moment(row["not_before"]),
        outcome=_outcome(row["outcome"]),
        reason=row["reason"],
        started_at=moment(row["started_at"]),
        ended_at=moment(row["ended_at"]),
        attempts=row["attempts"],
        reserved_usd=row["reserved_usd"],
        result=result_of(row["result"]),
        extra=json.loads(row["extra"]),
    )


def attempt_of(row: sqlite3.Row) -> Attempt:
    """The attempt in a row of `attempts`."""
    return Attempt(
        run=row["run"],
        number=row["number"],
        state=RunState(row["state"]),
        started_at=certain(row["started_at"]),
        ended_at=moment(row["ended_at"]),
        pid=row["pid"],
        start_ticks=row["start_ticks"],
        boot_id=row["boot_id"],
        outcome=_outcome(row["outcome"]),
        reason=row["reason"],
        exit_code=row["exit_code"],
        cost_usd=row["cost_usd"],
    )


def _outcome(text: str | None) -> Outcome | None:
    return None if text is None else Outcome(text)
