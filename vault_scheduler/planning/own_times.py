"""What a note's own `last_run` tells, where the ledger knows nothing (rule 3.2): its times have no zone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.triggers.schedule import Schedule

_SECOND = timedelta(seconds=1)


def last_run(
    local: datetime, following: datetime | None, zones: Sequence[ZoneInfo], schedule: Schedule, now: datetime
) -> datetime | None:
    """When a task last ran, in UTC, by the naive `last_run` and `next_run` of its note; None if that is still to come.

    `zones`: those in which they may have been written, the vault's and, as older versions did, the task's. It is the
    one in which `next_run` is a fire time. Where that does not tell, the later moment counts, also of a local time that
    exists twice: nothing runs a second time.
    """
    fits = [zone for zone in zones if following is not None and _fires(following, zone, schedule)]
    moments = [local.replace(tzinfo=zone, fold=1).astimezone(UTC) for zone in fits or zones]
    return max((moment for moment in moments if moment <= now), default=None)


def _fires(local: datetime, zone: ZoneInfo, schedule: Schedule) -> bool:
    moments = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return any(schedule.next_after(moment - _SECOND) == moment for moment in moments)
