"""A clock that was ahead for some minutes and is right again: what it settled is open again (rule 11)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from vault_scheduler.daemon.plans import Plans
from vault_scheduler.daemon.roster import Roster
from vault_scheduler.ledger.store import Store
from vault_scheduler.run import Run
from vault_scheduler.triggers.schedule import Schedule

_SECOND = timedelta(seconds=1)


async def take_back(store: Store, roster: Roster, plans: Plans, now: datetime) -> None:
    """Plan to open again what a false clock settled without a start; `now` is the true time.

    What did start keeps its run key, so that nothing runs twice. Raises LedgerUnavailable.
    """
    earliest = min(roster.undoubted(now).values(), default=now)
    rows = await store.unstarted_since(earliest)
    watermarks = roster.put_right(plans, now)
    for row in rows:
        upto = watermarks.get(row.task, now)
        if _last(row) > upto:
            tracked = roster.get(row.task)
            plans.taken_back.append(what_is_left(row, upto, tracked.task.schedule if tracked else None))


def what_is_left(row: Run, upto: datetime, schedule: Schedule | None) -> Run:
    """A row of fire times that did not start without those later than `upto`; with count 0 if none are left."""
    if row.fire_time > upto:
        return replace(row, count=0)
    taken = schedule.due(upto, _last(row), 1) if schedule else None
    kept = schedule.due(row.fire_time - _SECOND, upto, 1) if schedule else None
    last = kept.newest[-1] if kept and kept.newest else row.fire_time
    return replace(row, last_fire_time=last, count=max(1, row.count - (taken.count if taken else 0)))


def _last(row: Run) -> datetime:
    return row.last_fire_time or row.fire_time
