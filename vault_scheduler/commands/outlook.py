"""What is to come: the next fire times of a task, an expression or the whole vault, and changes of the clocks. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from vault_scheduler.triggers.schedule import CronTrigger
from vault_scheduler.triggers.zones import dst_changes, load_zone

AHEAD = timedelta(days=366)
"""Every zone that changes its clocks does so within a year."""
MOST = 1000
"""Fire times that one command lists at most."""


class Fires(Protocol):
    """A trigger or a schedule."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire time strictly after `moment`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """The clocks of a zone are set at an instant (UTC), from one offset to another."""

    at: datetime
    before: timedelta
    after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Fire times (UTC, ascending) of one thing, and how the clocks of its zone are set meanwhile."""

    zone: ZoneInfo
    fire_times: tuple[datetime, ...]
    changes: tuple[ClockChange, ...] = ()
    more: bool = False  # there are more than were asked for


def fire_times(fires: Fires, after: datetime, until: datetime | None) -> Iterator[datetime]:
    """Strictly after `after`, up to and including `until`."""
    moment = fires.next_after(after)
    while moment is not None and (until is None or moment <= until):
        yield moment
        moment = fires.next_after(moment)


def outlook(fires: Fires, zone: ZoneInfo, after: datetime, until: datetime | None, limit: int) -> Outlook:
    """The next `limit` fire times, with every change of the clocks up to the last, or the first one beyond."""
    found = list(islice(fire_times(fires, after, until), limit + 1))
    shown = tuple(found[:limit])
    changes = clock_changes(zone, after, shown[-1]) if shown else ()
    return Outlook(
        zone=zone,
        fire_times=shown,
        changes=changes or clock_changes(zone, after, after + AHEAD)[:1],
        more=len(found) > limit,
    )


def of_cron(expression: str, zone: str, after: datetime, until: datetime | None, limit: int) -> Outlook:
    """The next `limit` fire times of an expression in a zone. Raises BadExpression, BadValue (zone)."""
    found = load_zone(zone)
    return outlook(CronTrigger(expression, found), found, after, until, limit)


def clock_changes(zone: ZoneInfo, after: datetime, upto: datetime) -> tuple[ClockChange, ...]:
    """Every change in after < instant <= upto."""
    upto = min(upto, after + 20 * AHEAD)
    return tuple(ClockChange(at=at, before=a, after=b) for at, a, b in dst_changes(zone, after, upto))


def upcoming(
    named: Iterable[tuple[str, Fires]], after: datetime, until: datetime | None, limit: int
) -> list[tuple[datetime, str]]:
    """The next `limit` fire times of many, with their names."""

    def of(name: str, fires: Fires) -> Iterator[tuple[datetime, str]]:
        return ((moment, name) for moment in fire_times(fires, after, until))

    return list(islice(heapq.merge(*(of(name, fires) for name, fires in named)), limit))
