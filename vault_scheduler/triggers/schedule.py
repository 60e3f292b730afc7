"""When a task is due: cron, interval and one-shot triggers, and the schedule that unites them.

Every trigger answers one stateless question: `next_after(moment)`. Instants are aware, in UTC, and compared there:
two local times of one zone compare by wall clock, so that the second 01:30 of a night would not be later than the
first.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from vault_scheduler.errors import BadExpression, BadValue
from vault_scheduler.triggers.cron import CronExpression, parse_cron, tidied
from vault_scheduler.triggers.wall_clock import WallClock, wall_clock_of
from vault_scheduler.triggers.zones import changes, dst_changes, load_zone, local_to_utc, locate, offset_at, to_local

__all__ = [
    "CronTrigger",
    "Due",
    "IntervalTrigger",
    "OnceTrigger",
    "Schedule",
    "Trigger",
    "cron_trigger",
    "dst_changes",
    "interval_anchor",
    "load_zone",
    "local_to_utc",
]

SECOND = timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)
LONGEST_GAP = timedelta(hours=3)  # longer ones are calendar corrections (Apia 2011), in which nothing fires
LONGEST_REPEAT = timedelta(hours=25)  # Kwajalein lived most of a day twice in 1969
PROBE = datetime(2000, 1, 1)  # noqa: DTZ001 - naive local time; any moment would do
DAY_LIMIT = 1000  # days that a count of cron steps through, where not every day matches
COUNT_LIMIT = 1000  # fire times of several triggers that `due` walks to count them
FIRST_LOOK_BACK = timedelta(minutes=2)


class Trigger(Protocol):
    """What makes a task due."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire time strictly after `moment` (aware); aware, in UTC; None if there is none."""

    def count(self, after: datetime, upto: datetime) -> tuple[int, bool]:
        """How many fire times lie in after < t <= upto, and whether that is all of them (else a lower bound)."""


class _Findings:
    """What a trigger has found out: what its expression means, and the last stretch that it was asked about.

    `fire` is the first fire time after `since`, and so after every moment between them.
    """

    __slots__ = ("cron", "fire", "hits", "since")

    def __init__(self) -> None:
        self.cron: CronExpression | None = None
        self.hits: WallClock | None = None
        self.since: datetime | None = None
        self.fire: datetime | None = None


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """Five-field cron on the wall clock of a zone, with Debian cron's rule at DST (rules 1.1 and 1.2).

    `hash_id` (the task's id) decides what `H` stands for. Raises BadExpression, unless it is `understood`: this version
    has read the expression before, and what it means is looked at when somebody asks.
    """

    expression: str
    zone: ZoneInfo
    hash_id: str = ""
    understood: InitVar[bool] = False
    findings: _Findings = field(init=False, repr=False, compare=False)

    def __post_init__(self, understood: bool) -> None:
        object.__setattr__(self, "findings", _Findings())
        if not understood:
            self._understand()

    def _understand(self) -> tuple[CronExpression, WallClock]:
        found = self.findings
        if found.cron is None or found.hits is None:
            found.cron, found.hits = _understood(self.expression, self.hash_id)
        return found.cron, found.hits

    @property
    def cron(self) -> CronExpression:
        """What the expression says."""
        return self._understand()[0]

    @property
    def hits(self) -> WallClock:
        """The local times that it names."""
        return self._understand()[1]

    @property
    def text(self) -> str:
        """The expression as written, blanks tidied."""
        return tidied(self.expression)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the expression means that its author may not have meant."""
        return self.cron.warnings

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire time strictly after `moment`."""
        moment, found = moment.astimezone(UTC), self.findings
        if found.since is not None and found.fire is not None and found.since <= moment < found.fire:
            return found.fire
        fire = self._ask(moment)
        if fire is None:
            return None
        self.remember(moment, fire)  # an earlier moment with the same answer makes the stretch longer
        return fire

    def remember(self, since: datetime, fire: datetime) -> None:
        """That `fire` is the first fire time after `since` (UTC); it must have been reckoned as this would."""
        self.findings.since, self.findings.fire = since, fire

    @property
    def known(self) -> tuple[datetime, datetime] | None:
        """The stretch that was asked about last: a moment, and the first fire time after it; None: nobody asked."""
        found = self.findings
        return (found.since, found.fire) if found.since is not None and found.fire is not None else None

    def _ask(self, moment: datetime) -> datetime | None:
        try:
            return self._next_wildcard(moment) if self.cron.wildcard else self._next_fixed(moment)
        except (OverflowError, BadValue):
            return None  # the end of the calendar

    def count(self, after: datetime, upto: datetime) -> tuple[int, bool]:
        """How many fire times lie in after < t <= upto, and whether that is all of them (else a lower bound).

        Local times and instants are one to one but for the second pass of a repeated hour and the end of a gap:
        these are walked, the rest is arithmetic.
        """
        after, upto = after.astimezone(UTC), upto.astimezone(UTC)
        total, budget = 0, DAY_LIMIT
        for change, before, now in changes(self.zone, after - LONGEST_REPEAT, upto):
            begin, end = max(after, change - SECOND), min(change + max(before - now, timedelta(0)), upto)
            calm, budget = self._count_calm(after, begin, budget)
            if budget < 0:
                return total + calm, False
            total += calm + sum(1 for _ in _walk(self, begin, end))
            after = max(after, end)
        calm, budget = self._count_calm(after, upto, budget)
        return total + calm, budget >= 0

    def _count_calm(self, after: datetime, upto: datetime, budget: int) -> tuple[int, int]:
        return self.hits.count(to_local(after, self.zone), to_local(upto, self.zone), budget)

    def _next_fixed(self, moment: datetime) -> datetime | None:
        """Each local time fires once: the first of two, and right after a gap that swallowed it.

        Later local times never map to earlier instants, so the first hit that maps to an instant after `moment` is
        the answer; inside the second pass the hits that the first pass had are stepped over.
        """
        local = self.hits.next_after(to_local(moment, self.zone))
        while local is not None:
            instant, gap = locate(local, self.zone)
            if instant > moment and gap <= LONGEST_GAP:
                return instant
            local = self.hits.next_after(local)
        return None

    def _next_wildcard(self, moment: datetime) -> datetime | None:
        """Real elapsed time: each stretch of constant offset for itself, so both passes and nothing of a gap."""
        local = to_local(moment, self.zone)
        while (hit := self.hits.next_after(local)) is not None:
            instant = (hit - offset_at(moment, self.zone)).replace(tzinfo=UTC)
            change = next(changes(self.zone, moment, instant), None)
            if change is None:
                return instant
            moment = change[0]
            local = to_local(moment, self.zone) - SECOND  # the moment of the change may itself be a fire time
        return None


def cron_trigger(expression: str, zone: ZoneInfo, task_id: str) -> CronTrigger:
    """The trigger of a task: one for all that say the same, unless they say `H`. Raises BadExpression."""
    trigger = understood_trigger(expression, zone, task_id if "h" in expression.lower() else "")
    assert trigger.cron is not None, "an expression that cannot be understood raises"
    return trigger


@lru_cache(maxsize=4096)
def understood_trigger(expression: str, zone: ZoneInfo, hash_id: str) -> CronTrigger:
    """The same, with the `hash_id` of a trigger that this version made before."""
    return CronTrigger(expression, zone, hash_id, understood=True)


@lru_cache(maxsize=4096)
def _understood(expression: str, hash_id: str) -> tuple[CronExpression, WallClock]:
    """Many tasks share an expression, and all of those share its hits."""
    cron = parse_cron(expression, hash_id)
    hits = wall_clock_of(cron)
    if not hits.hits_ever:
        raise BadExpression("it names a date that no year has, so it would never fire", "Check day and month")
    return cron, hits


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

    def count(self, after: datetime, upto: datetime) -> tuple[int, bool]:
        """How many multiples lie in after < t <= upto; always all of them."""
        return max(0, self._index(upto) - self._index(after)), True

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

    def count(self, after: datetime, upto: datetime) -> tuple[int, bool]:
        """How many instants lie in after < t <= upto; always all of them."""
        count = bisect_right(self.instants, upto.astimezone(UTC)) - bisect_right(self.instants, after.astimezone(UTC))
        return max(0, count), True


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

    @property
    def zones(self) -> Sequence[ZoneInfo]:
        """The zones whose clocks it goes by, each once."""
        return [*dict.fromkeys(trigger.zone for trigger in self.triggers if isinstance(trigger, CronTrigger))]

    def covers(self, moment: datetime) -> bool:
        """Whether an instant lies within the bounds."""
        return (self.start is None or self.start <= moment) and (self.until is None or moment <= self.until)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire time strictly after `moment` (aware) and within the bounds, in UTC."""
        if len(self.triggers) == 1 and self.start is None and self.until is None:
            return self.triggers[0].next_after(moment)
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

        Quick after years of downtime too, at a price: a count over 1,000 matching days (cron that does not match every
        day) or over 1,000 fire times (several triggers) is a lower bound, and `exact` is False.
        """
        after, upto = self._from(after), self._to(upto)
        first = self.next_after(after)
        if first is None or first > upto:
            return None
        second = self.next_after(first)
        if second is None or second > upto:  # as nearly always: one at a time
            return Due(first=first, count=1, newest=(first,)[:newest])
        count, exact = self._count(after, upto)
        return Due(first=first, count=count, newest=tuple(self._newest(after, upto, newest)), exact=exact)

    def _count(self, after: datetime, upto: datetime) -> tuple[int, bool]:
        counts = [trigger.count(after, upto) for trigger in self.triggers]
        if len(counts) == 1:
            return counts[0]
        # What two triggers name is one fire time, so only walking tells; one trigger's count is a lower bound.
        walked = len(list(islice(self.fires(after, upto), COUNT_LIMIT + 1)))
        return max(walked, *(count for count, _ in counts)), walked <= COUNT_LIMIT

    def _newest(self, after: datetime, upto: datetime, limit: int) -> list[datetime]:
        """The last `limit` fire times, by looking ever further back: triggers step forward only."""
        window = FIRST_LOOK_BACK
        while limit > 0:
            start = max(after, upto - window)
            found = deque(self.fires(start, upto), maxlen=limit)
            if len(found) == limit or start == after:
                return list(found)
            window *= 2
        return []

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
