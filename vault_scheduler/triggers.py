"""When a task is due: cron, interval and one-shot triggers, and the schedule that unites them.

Every trigger answers one stateless question: `next_after(moment)`. Instants are aware, in UTC, and compared there:
two local times of one zone compare by wall clock, so that the second 01:30 of a night would not be later than the
first.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from vault_scheduler.cron import CronExpression, parse_cron
from vault_scheduler.errors import BadExpression, BadValue
from vault_scheduler.zones import changes, dst_changes, load_zone, local_to_utc, locate, offset_at, to_local

__all__ = [
    "CronTrigger",
    "Due",
    "IntervalTrigger",
    "OnceTrigger",
    "Schedule",
    "Trigger",
    "dst_changes",
    "interval_anchor",
    "load_zone",
    "local_to_utc",
]

SECOND = timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)
LONGEST_GAP = timedelta(hours=3)  # longer ones are calendar corrections (Apia 2011), in which nothing fires
PROBE = datetime(2000, 1, 1)  # noqa: DTZ001 - naive local time; any moment would do
COUNT_LIMIT = 1000  # fire times of cron that `due` walks to count them


class Trigger(Protocol):
    """What makes a task due."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire time strictly after `moment` (aware); aware, in UTC; None if there is none."""


@lru_cache(maxsize=4096)
def _stepper(normal: str, both_days: bool) -> Callable[[datetime], datetime | None]:
    """What finds the next hit of an expression on the wall clock, strictly after a naive time; None: there is none.

    Kept per expression, because building croniter costs three times as much as one step. It is imported here and not
    above, for it costs 30 ms that `--help` should not pay.
    """
    from croniter import CroniterBadDateError, croniter

    # Always naive: given zones, croniter fires fixed times twice in the repeated hour and invents some in gaps.
    stepper = croniter(normal, PROBE, day_or=not both_days)

    def step(local: datetime) -> datetime | None:
        try:
            hit: datetime = stepper.get_next(datetime, start_time=local.replace(microsecond=0), update_current=False)
        except CroniterBadDateError:
            return None
        return hit

    return step


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """Five-field cron on the wall clock of a zone, with Debian cron's rule at DST (rules 1.1 and 1.2).

    `hash_id` (the task's id) decides what `H` stands for. Raises BadExpression.
    """

    expression: str
    zone: ZoneInfo
    hash_id: str = ""
    cron: CronExpression = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cron", parse_cron(self.expression, self.hash_id))
        if self._next_local(PROBE) is None:
            raise BadExpression("it names a date that no year has, so it would never fire", "Check day and month")

    @property
    def text(self) -> str:
        """The expression as written, blanks tidied."""
        return self.cron.text

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the expression means that its author may not have meant."""
        return self.cron.warnings

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire time strictly after `moment`."""
        moment = moment.astimezone(UTC)
        try:
            return self._next_wildcard(moment) if self.cron.wildcard else self._next_fixed(moment)
        except (OverflowError, BadValue):
            return None  # the end of the calendar

    def _next_fixed(self, moment: datetime) -> datetime | None:
        """Each local time fires once: the first of two, and right after a gap that swallowed it.

        Later local times never map to earlier instants, so the first hit that maps to an instant after `moment` is
        the answer; inside the second pass the hits that the first pass had are stepped over.
        """
        local = self._next_local(to_local(moment, self.zone))
        while local is not None:
            instant, gap = locate(local, self.zone)
            if instant > moment and gap <= LONGEST_GAP:
                return instant
            local = self._next_local(local)
        return None

    def _next_wildcard(self, moment: datetime) -> datetime | None:
        """Real elapsed time: each stretch of constant offset for itself, so both passes and nothing of a gap."""
        local = to_local(moment, self.zone)
        while (hit := self._next_local(local)) is not None:
            instant = (hit - offset_at(moment, self.zone)).replace(tzinfo=UTC)
            change = next(changes(self.zone, moment, instant), None)
            if change is None:
                return instant
            moment = change[0]
            local = to_local(moment, self.zone) - SECOND  # the moment of the change may itself be a fire time
        return None

    def _next_local(self, local: datetime) -> datetime | None:
        """The next hit on the wall clock, strictly after `local` (naive), as if no clock ever changed."""
        return _stepper(self.cron.normal, self.cron.both_days)(local)


@dataclass(frozen=True, slots=True)
class IntervalTrigger:
    """Multiples of a period of elapsed time, counted from the anchor: no state, no drift (rule 1.3)."""

    period: timedelta
    anchor: datetime

    def __post_init__(self) -> None:
        if self.period < SECOND:
            raise BadValue("an interval is at least one second", "Write `every: 1s` or more")

    def next_after(self, moment: datetime) -> datetime | None:
        """The first multiple strictly after `moment`."""
        try:
            return self._at(self._index(moment) + 1)
        except OverflowError:
            return None

    def count(self, after: datetime, upto: datetime) -> int:
        """How many multiples lie in after < t <= upto."""
        return max(0, self._index(upto) - self._index(after))

    def newest(self, after: datetime, upto: datetime, limit: int) -> list[datetime]:
        """The last `limit` of them, ascending."""
        last = self._index(upto)
        return [self._at(last - back) for back in range(min(limit, self.count(after, upto)))][::-1]

    def _index(self, moment: datetime) -> int:
        return (moment.astimezone(UTC) - self.anchor.astimezone(UTC)) // self.period

    def _at(self, index: int) -> datetime:
        return self.anchor.astimezone(UTC) + index * self.period


@dataclass(frozen=True, slots=True)
class OnceTrigger:
    """The instants that `at` names."""

    instants: tuple[datetime, ...]

    def __post_init__(self) -> None:
        instants = sorted({instant.astimezone(UTC) for instant in self.instants})
        object.__setattr__(self, "instants", tuple(instants))

    def next_after(self, moment: datetime) -> datetime | None:
        """The first instant strictly after `moment`."""
        place = bisect_right(self.instants, moment.astimezone(UTC))
        return self.instants[place] if place < len(self.instants) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The fire times between two instants, in short."""

    first: datetime
    count: int  # at least so many, where not `exact`
    newest: tuple[datetime, ...]  # ascending
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Schedule:
    """All triggers of a task that name instants, within its bounds; `start` and `until` are included."""

    triggers: tuple[Trigger, ...] = ()
    start: datetime | None = None
    until: datetime | None = None

    @property
    def is_one_shot(self) -> bool:
        """Whether it consists of `at` alone."""
        return bool(self.triggers) and all(isinstance(trigger, OnceTrigger) for trigger in self.triggers)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire time strictly after `moment` (aware) and within the bounds, in UTC."""
        moment = self._from(moment)
        found = [instant for trigger in self.triggers if (instant := trigger.next_after(moment))]
        first = min(found, default=None)
        return None if first is None or (self.until is not None and first > self.until) else first

    def fires(self, after: datetime, upto: datetime) -> Iterator[datetime]:
        """Every fire time in after < t <= upto, ascending; what several triggers name is one."""
        after, upto = self._from(after), self._to(upto)
        previous = None
        for instant in heapq.merge(*(_walk(trigger, after, upto) for trigger in self.triggers)):
            if instant != previous:
                yield instant
            previous = instant

    def due(self, after: datetime, upto: datetime, newest: int) -> Due | None:
        """The fire times in after < t <= upto, at most the `newest` latest of them listed; None if there are none.

        Quick after years of downtime too: more than 1,000 fire times are counted only where that is arithmetic (one
        `every` alone); else `count` is a lower bound and `exact` is False.
        """
        after, upto = self._from(after), self._to(upto)
        start = list(islice(self.fires(after, upto), COUNT_LIMIT + 1))
        if not start:
            return None
        if len(start) <= COUNT_LIMIT:
            return Due(first=start[0], count=len(start), newest=tuple(start[-newest:]) if newest else ())
        latest = sorted({instant for one in self.triggers for instant in _newest(one, after, upto, newest)})
        counts = [one.count(after, upto) for one in self.triggers if isinstance(one, IntervalTrigger)]
        return Due(
            first=start[0],
            count=max(len(start), *counts) if counts else len(start),
            newest=tuple(latest[-newest:]) if newest else (),
            exact=len(counts) == len(self.triggers) == 1,
        )

    def _from(self, moment: datetime) -> datetime:
        """`moment`, or the last instant before the start."""
        moment = moment.astimezone(UTC)
        return moment if self.start is None else max(moment, self.start.astimezone(UTC) - INSTANT)

    def _to(self, moment: datetime) -> datetime:
        moment = moment.astimezone(UTC)
        return moment if self.until is None else min(moment, self.until.astimezone(UTC))


def interval_anchor(zone: ZoneInfo) -> datetime:
    """Where `every` counts from without a `start`: local midnight 2000-01-01 (rule 1.3), in UTC."""
    return local_to_utc(PROBE, zone)


def _walk(trigger: Trigger, after: datetime, upto: datetime) -> Iterator[datetime]:
    instant = trigger.next_after(after)
    while instant is not None and instant <= upto:
        yield instant
        instant = trigger.next_after(instant)


def _newest(trigger: Trigger, after: datetime, upto: datetime, limit: int) -> list[datetime]:
    """The last `limit` fire times of a trigger; of cron by looking ever further back, for it steps forward only."""
    if isinstance(trigger, IntervalTrigger):
        return trigger.newest(after, upto, limit)
    window = timedelta(minutes=5)
    while True:
        start = max(after, upto - window)
        found = list(_walk(trigger, start, upto))
        if len(found) >= limit or start == after:
            return found[-limit:] if limit else []
        window *= 4
