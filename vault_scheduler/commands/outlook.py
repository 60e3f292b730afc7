"""What is to come: the next fire times of a task, an expression or the whole vault, and changes of the clocks. Pure."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby, islice
from typing import Protocol
from zoneinfo import ZoneInfo

from vault_scheduler.settings import Settings
from vault_scheduler.triggers.schedule import LONGEST_GAP, CronTrigger, IntervalTrigger, Schedule
from vault_scheduler.triggers.zones import dst_changes, load_zone

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
AHEAD = timedelta(days=366)
"""Every zone that changes its clocks does so within a year."""
FURTHEST = 100 * AHEAD
"""Changes of the clocks that lie further ahead are not looked for."""
MOST = 1000
"""Fire times that one command lists at most."""


class Fires(Protocol):
    """A trigger or a schedule."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire time strictly after `moment`."""


class Effect(StrEnum):
    """What a change of the clocks does to a local time that a cron expression names (rule 1.2)."""

    MOVED = "moved"  # it does not exist, and fires at the first moment after the gap
    LOST = "lost"  # it does not exist, and does not fire
    ONCE = "once"  # it exists twice, and fires the first time
    TWICE = "twice"  # it exists twice, and fires both times


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """What one change of the clocks means for one task; `name` is "" where only one is spoken of."""

    name: str = ""
    times: tuple[tuple[Effect, tuple[datetime, ...]], ...] = ()  # local times (naive), ascending
    drifting: tuple[timedelta, ...] = ()  # periods of intervals that fire at other local times from then on


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """The clocks of a zone are set at an instant (UTC), from one offset to another."""

    zone: ZoneInfo
    at: datetime
    before: timedelta
    after: timedelta
    consequences: tuple[Consequence, ...] = ()

    @property
    def shift(self) -> timedelta:
        """How far the clocks are set: forward is positive."""
        return self.after - self.before

    @property
    def local(self) -> tuple[datetime, datetime]:
        """What the clocks show (naive) right before they are set, and right after."""
        at = self.at.replace(tzinfo=None)
        return at + self.before, at + self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Fire times (UTC, ascending) of one thing, and how the clocks are set meanwhile; shown in `zone`."""

    zone: ZoneInfo
    fire_times: tuple[datetime, ...]
    changes: tuple[ClockChange, ...] = ()
    more: bool = False  # there are more than were asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultOutlook:
    """Fire times (UTC, ascending) of many tasks with the tasks' names, and how the clocks are set meanwhile."""

    zone: ZoneInfo
    fires: tuple[tuple[datetime, str], ...]
    changes: tuple[ClockChange, ...] = ()
    later: tuple[tuple[datetime, str], ...] = ()  # the next fire time of each task that is not among `fires`
    settings: Settings = field(default_factory=Settings)  # in force


def fire_times(fires: Fires, after: datetime, until: datetime | None) -> Iterator[datetime]:
    """Strictly after `after`, up to and including `until`."""
    moment = fires.next_after(after)
    while moment is not None and (until is None or moment <= until):
        yield moment
        moment = fires.next_after(moment)


def outlook(fires: Fires, zone: ZoneInfo, after: datetime, until: datetime | None, limit: int) -> Outlook:
    """The next `limit` fire times, with every change of the clocks up to the last, or the first one beyond."""
    found = list(islice(fire_times(fires, after, until), limit + 1))
    shown, more = tuple(found[:limit]), len(found) > limit
    return Outlook(
        zone=zone, fire_times=shown, changes=_changes_met([("", fires)], zone, after, shown, more=more), more=more
    )


def vault_outlook(
    named: Sequence[tuple[str, Fires]], zone: ZoneInfo, after: datetime, until: datetime | None, limit: int
) -> VaultOutlook:
    """The same for many, with their names; and when each of the others fires first."""
    asked = ((fires.next_after(after), name) for name, fires in named)
    firsts = sorted((at, name) for at, name in asked if at is not None and (until is None or at <= until))
    # What fires among the first so many, does so for the first time among them.
    soon = {name for _, name in firsts[: limit + 1]}
    found = upcoming([(name, fires) for name, fires in named if name in soon], after, until, limit + 1)
    moments = [moment for moment, _ in found[:limit]]
    met = _changes_met(named, zone, after, moments, more=len(found) > limit)
    told = {name for _, name in found[:limit]}
    later = tuple(first for first in firsts if first[1] not in told)
    return VaultOutlook(zone=zone, fires=tuple(found[:limit]), changes=met, later=later)


def of_cron(expression: str, zone: str, after: datetime, until: datetime | None, limit: int) -> Outlook:
    """The next `limit` fire times of an expression in a zone. Raises BadExpression, BadValue (zone)."""
    found = load_zone(zone)
    return outlook(CronTrigger(expression, found), found, after, until, limit)


def upcoming(
    named: Iterable[tuple[str, Fires]], after: datetime, until: datetime | None, limit: int
) -> list[tuple[datetime, str]]:
    """The next `limit` fire times of many, with their names."""

    def of(name: str, fires: Fires) -> Iterator[tuple[datetime, str]]:
        return ((moment, name) for moment in fire_times(fires, after, until))

    return list(islice(heapq.merge(*(of(name, fires) for name, fires in named)), limit))


# --- changes of the clocks ---------------------------------------------------------------------------------


def clock_changes(zone: ZoneInfo, after: datetime, upto: datetime) -> tuple[ClockChange, ...]:
    """Every change in after < instant <= upto."""
    upto = min(upto, after + FURTHEST)
    return tuple(ClockChange(zone=zone, at=at, before=a, after=b) for at, a, b in dst_changes(zone, after, upto))


def _changes_met(
    named: Sequence[tuple[str, Fires]], shown: ZoneInfo, after: datetime, moments: Sequence[datetime], *, more: bool
) -> tuple[ClockChange, ...]:
    """The changes up to the last of the moments; if there is none, and more is to come, the first one beyond.

    Those of the zone that is shown, and of the zones of the tasks where they have consequences there.
    """
    if not moments:
        return ()
    met: list[ClockChange] = []
    for zone in dict.fromkeys([shown, *(zone for _, fires in named for zone in _zones(fires))]):
        changes = clock_changes(zone, after, moments[-1])
        if not changes and more:
            changes = clock_changes(zone, after, after + AHEAD)[:1]
        found = [_judged(change, named, shown) for change in changes]
        met += _worth_telling(found, moments) if zone == shown else [change for change in found if change.consequences]
    return tuple(sorted(met, key=lambda change: change.at))


def _worth_telling(changes: Sequence[ClockChange], moments: Sequence[datetime]) -> Iterator[ClockChange]:
    """Those with consequences; of the others between two fire times the last, if the offset is another one then."""
    for _, group in groupby(changes, key=lambda change: bisect_left(moments, change.at)):
        between = [*group]
        moved = between[0].before != between[-1].after
        yield from (change for change in between if change.consequences or (moved and change is between[-1]))


def _zones(fires: Fires) -> Sequence[ZoneInfo]:
    if isinstance(fires, Schedule):
        return fires.zones
    return [fires.zone] if isinstance(fires, CronTrigger) else []


def _triggers(fires: Fires) -> Sequence[Fires]:
    return fires.triggers if isinstance(fires, Schedule) else [fires]


def _judged(change: ClockChange, named: Sequence[tuple[str, Fires]], shown: ZoneInfo) -> ClockChange:
    """The change with what it means for each."""
    found = (consequence(name, fires, change, shown) for name, fires in named)
    return replace(change, consequences=tuple(one for one in found if one.times or one.drifting))


def consequence(name: str, fires: Fires, change: ClockChange, shown: ZoneInfo | None = None) -> Consequence:
    """What the change means for the fire times of one task; an interval drifts by the clocks that are shown.

    `shown`: the zone in which they are; without it, the zone of the change.
    """
    if isinstance(fires, Schedule) and not _within(fires, change.at):
        return Consequence(name=name)
    triggers = _triggers(fires)
    times: dict[Effect, set[datetime]] = {effect: set() for effect in Effect}
    for trigger in triggers:
        if isinstance(trigger, CronTrigger) and trigger.zone == change.zone:
            times[_effect(trigger, change)].update(_touched(trigger, change))
    # What one expression of a task fires, the task fires.
    times[Effect.LOST] -= times[Effect.MOVED]
    times[Effect.ONCE] -= times[Effect.TWICE]
    return Consequence(
        name=name,
        times=tuple((effect, tuple(sorted(found))) for effect, found in times.items() if found),
        drifting=_drifting(triggers, change) if change.zone == (shown or change.zone) else (),
    )


def _within(schedule: Schedule, moment: datetime) -> bool:
    return (schedule.start is None or schedule.start <= moment) and (schedule.until is None or moment <= schedule.until)


def _effect(trigger: CronTrigger, change: ClockChange) -> Effect:
    if change.shift < timedelta(0):
        return Effect.TWICE if trigger.cron.wildcard else Effect.ONCE
    return Effect.LOST if trigger.cron.wildcard or change.shift > LONGEST_GAP else Effect.MOVED


def _touched(trigger: CronTrigger, change: ClockChange) -> Iterator[datetime]:
    """The local times that the expression names among those that do not exist, or exist twice."""
    start, end = sorted(change.local)
    local = trigger.hits.next_after(start - SECOND)
    while local is not None and local < end:
        yield local
        local = trigger.hits.next_after(local)


def _drifting(triggers: Sequence[Fires], change: ClockChange) -> tuple[timedelta, ...]:
    """The periods of intervals that fire at the same local times day after day, until the clocks are set."""
    periods = [trigger.period for trigger in triggers if isinstance(trigger, IntervalTrigger)]
    return tuple(
        period
        for period in periods
        if timedelta(0) in (period % DAY, DAY % period) and change.shift % period != timedelta(0)
    )
