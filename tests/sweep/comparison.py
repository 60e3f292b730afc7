"""Our fire times around a change of the clocks against those of Debian's loop.

Where the two differ on purpose:
- A fixed time that the loop makes up for several times in one minute is one fire time.
- A gap of exactly three hours (Casey) is made up for by us. The loop counts from the minute before the gap, so that
  such a gap is a minute over its limit; its limit is moved by that minute here.
- Longer gaps (Apia, 2011) are a correction of the clock for both; nothing is made up for.
- The loop counts minutes; we would fire to the second in zones whose offset has seconds, of which there are none in the
  years that are swept (asserted in `changes.py`).
- The loop is stateful: started in the second pass of an hour, it would repeat fixed times. We are asked "what comes
  after this instant?" and say what a loop says that has been there since the day before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from vault_scheduler.errors import BadExpression
from vault_scheduler.triggers.schedule import COUNT_LIMIT, CronTrigger, IntervalTrigger, Schedule
from vault_scheduler.triggers.zones import local_to_utc

from .changes import MARGIN, Change, wall_minutes
from .debian_cron import LIMIT, looked_for
from .expressions import HASH_ID, Expression

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, MICROSECOND = timedelta(minutes=1), timedelta(microseconds=1)
THREE_HOURS = 180
ASKED_AT_RANDOM = 3
NEWEST = 5


@dataclass
class Figures:
    """What was compared, and what was not equal."""

    changes: int = 0
    expressions: int = 0
    comparisons: int = 0
    mismatches: list[str] = field(default_factory=list)

    def compare(self, what: str, ours: object, theirs: object) -> None:
        """Count one comparison."""
        self.comparisons += 1
        if ours != theirs:
            self.mismatches.append(f"{what}: {ours} instead of {theirs}")

    def add(self, other: Figures) -> None:
        """Sum up."""
        self.changes += other.changes
        self.expressions += other.expressions
        self.comparisons += other.comparisons
        self.mismatches += other.mismatches


class Night:
    """The minutes around one change, as the clocks of the zone show them and as the loop lives through them."""

    def __init__(self, zone: ZoneInfo, change: Change) -> None:
        self.zone, self.change = zone, change
        self.first, self.last = change.instant - MARGIN, change.instant + MARGIN
        self.wall = wall_minutes(zone, self.first, self.last)
        limit = LIMIT + 1 if change.length == THREE_HOURS else LIMIT
        self._tested = {wildcard: looked_for(self.wall, wildcard=wildcard, limit=limit) for wildcard in (False, True)}

    @property
    def low(self) -> datetime:
        """The first local time that is skipped or shown twice."""
        return naive(self.change.instant + min(self.change.before, self.change.after))

    @property
    def high(self) -> datetime:
        """The first local time after that."""
        return naive(self.change.instant + max(self.change.before, self.change.after))

    def fires(self, expression: Expression) -> list[datetime]:
        """When the loop starts a command with this expression, ascending."""
        tested = self._tested[expression.wildcard]
        named = expression.minutes(min(self.wall), max(self.wall))
        places = {place for minute in named for place in tested.get(minute, ())}
        return [instant(self.first + place) for place in sorted(places)]

    def moments(self, random: Random) -> Iterator[datetime]:
        """Instants to ask at: around the change, in the second pass, anywhere with microseconds."""
        at = instant(self.change.instant)
        yield from (at - MICROSECOND, at, at + MICROSECOND)
        length = timedelta(minutes=abs(self.change.length))
        yield from (at + length / 2, at + length - MICROSECOND, at + length)
        for _ in range(ASKED_AT_RANDOM):
            yield at + timedelta(
                microseconds=random.randint(-MARGIN, MARGIN) * 60_000_000 + random.randrange(60_000_000)
            )

    def first_instant(self, local: int) -> datetime:
        """Of a local minute: the first instant that shows it; if none does, the first one after it."""
        if local in self.wall:
            return instant(self.first + self.wall.index(local))
        return instant(self.first + next(place for place, shown in enumerate(self.wall) if shown > local))


def instant(minute: int) -> datetime:
    """The instant of a minute since 1970."""
    return EPOCH + minute * MINUTE


def naive(local_minute: int) -> datetime:
    """The local time of a local minute since 1970."""
    return instant(local_minute).replace(tzinfo=None)


def compare_expression(night: Night, expression: Expression, random: Random) -> Figures:
    """The series, the next fire time from many instants, and the count."""
    figures = Figures(expressions=1)
    where = f"{night.zone.key} {instant(night.change.instant):%Y-%m-%d} '{expression.text}'"
    try:
        trigger = CronTrigger(expression.text, night.zone, HASH_ID)
    except BadExpression as refused:
        figures.compare(f"{where}: {refused.message}", False, ever_fires(expression))
        return figures
    begin, end = instant(night.first), instant(night.last)
    expected = night.fires(expression)
    figures.compare(where, list(Schedule((trigger,)).fires(begin, end)), expected)
    for moment in night.moments(random):
        found = trigger.next_after(moment)
        place = bisect_right(expected, moment)
        later = found if found is not None and found > end else "something after the night"
        figures.compare(f"{where} after {moment}", found, expected[place] if place < len(expected) else later)
        upto = moment + (end - moment) * random.random()
        count = bisect_right(expected, upto) - place
        figures.compare(f"{where} count from {moment} to {upto}", trigger.count(moment, upto), (count, True))
    return figures


def compare_local_times(night: Night, random: Random) -> Figures:
    """`at` and `start`: a local time in the gap is the first instant after it, one that is shown twice the first."""
    figures = Figures()
    low, high = sorted((night.change.instant + night.change.before, night.change.instant + night.change.after))
    anywhere = [random.randint(low, high) for _ in range(10)] + [random.choice(night.wall) for _ in range(5)]
    for local in [low - 1, low, low + 1, high - 1, high, high + 1, *anywhere]:
        found = local_to_utc(naive(local), night.zone)
        figures.compare(f"{night.zone.key} {naive(local)}", found, night.first_instant(local))
    return figures


def compare_due(night: Night, expressions: list[Expression], random: Random) -> Figures:
    """The first, the newest and the number of fire times of several expressions and an interval together."""
    figures = Figures()
    period = random.choice([7, 30, 60, 90, 1440])
    anchor = night.first - random.randrange(period)
    every = IntervalTrigger(period * MINUTE, instant(anchor))
    schedule = Schedule((*(CronTrigger(one.text, night.zone, HASH_ID) for one in expressions), every))
    named = {fire for one in expressions for fire in night.fires(one)}
    everything = sorted(named | {instant(minute) for minute in range(anchor, night.last + 1, period)})
    for after in night.moments(random):
        upto = after + (instant(night.last) - after) * random.random()
        expected = [fire for fire in everything if after < fire <= upto]
        due = schedule.due(after, upto, NEWEST)
        what = f"{night.zone.key} {[one.text for one in expressions]} and {period} min due from {after} to {upto}"
        found = due and (due.first, due.newest)
        figures.compare(what, found, (expected[0], tuple(expected[-NEWEST:])) if expected else None)
        if due is not None:
            count = due.count if due.exact or not COUNT_LIMIT < due.count <= len(expected) else len(expected)
            figures.compare(what, count, len(expected))
    return figures


def ever_fires(expression: Expression) -> bool:
    """Whether it names a date of the 28 years after which the calendar repeats itself."""
    first = int(EPOCH.timestamp()) + 30 * 365 * 1440
    return bool(expression.minutes(first, first + 28 * 366 * 1440))
