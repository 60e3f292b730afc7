"""How long a Claude run waits for what is not its fault: the plan's limits, an overload, the network. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.run import Cause, Result

FURTHEST = timedelta(days=8)
"""No window of a plan is longer than a week: what names a later moment is a mistake, and holds nothing up."""
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=10)

QUOTA = "quota"
NETWORK = "network"
OVERLOAD = "overload"
RATE_LIMIT = "rate limit"
"""A limit of which nobody says when it lets up: tried again as an overload is."""
OUTSIDE = (QUOTA, RATE_LIMIT, NETWORK, OVERLOAD)
_WAITS_FOR = {Cause.QUOTA: RATE_LIMIT, Cause.NETWORK: NETWORK, Cause.OVERLOAD: OVERLOAD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What is known of the plan's limits. `usage`: percent of its fullest window. Times in UTC."""

    quota_until: datetime | None = None
    usage: float | None = None
    usage_until: datetime | None = None

    def after(self, result: Result, now: datetime) -> Allowance:
        """As an attempt that has ended tells it; what it does not tell stays."""
        known = self
        if result.usage is not None:
            known = replace(known, usage=result.usage, usage_until=_soon(result.usage_until, now))
        if result.cause is Cause.QUOTA:
            known = replace(known, quota_until=_soon(result.quota_until, now) or known.quota_until)
        return known

    def hold(self, max_usage: float | None, now: datetime) -> Hold | None:
        """Until when no Claude run starts, and why; None if they may."""
        holds = [hold for hold in (self._quota(), self._usage(max_usage)) if hold and now < hold.until]
        return max(holds, key=lambda hold: hold.until, default=None)

    def _quota(self) -> Hold | None:
        return Hold(until=self.quota_until, why="the plan's limit is reached") if self.quota_until else None

    def _usage(self, max_usage: float | None) -> Hold | None:
        if max_usage is None or self.usage is None or self.usage_until is None or self.usage < max_usage:
            return None
        return Hold(until=self.usage_until, why=f"{self.usage:.0f} % of the plan is used, max_usage is {max_usage:g} %")


def _soon(moment: datetime | None, now: datetime) -> datetime | None:
    return moment if moment is not None and now < moment <= now + FURTHEST else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """No Claude run starts until then (UTC)."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The run waits for something until then (UTC), and goes on."""

    waits_for: str  # quota · rate limit · network · overload
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """The run is not worth waiting for: the task's next fire time comes first."""

    reason: str


def heed(hold: Hold, next_fire: datetime | None, zone: ZoneInfo) -> Wait | Skip:
    """What a run does while no Claude run starts. `next_fire`: the task's next one; None: nothing takes its place."""
    if next_fire is None or hold.until < next_fire:
        return Wait(waits_for=QUOTA, until=hold.until)
    return Skip(reason=f"quota: {hold.why} until {clock_words(hold.until, zone)}, after the next fire time")


def clock_words(moment: datetime, zone: ZoneInfo) -> str:
    """`2026-11-22 12:00` in a zone."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Up to when a run may wait (UTC); None: nothing ends it."""

    next_fire: datetime | None  # what takes its place
    too_late: datetime | None  # `max_late`
    time_is_up: datetime  # `timeout` from its start

    def last(self, cause: Cause) -> datetime | None:
        """The end of all waiting for this."""
        limit = self.time_is_up if cause is Cause.OVERLOAD else self.too_late
        return min((moment for moment in (self.next_fire, limit) if moment is not None), default=None)


def pause(excused: int) -> timedelta:
    """How long to wait before the next attempt after so many that failed alike: doubling."""
    doubled: int = 2 ** min(excused, 10)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def respite(result: Result, excused: int, bounds: Bounds, now: datetime, zone: ZoneInfo) -> Wait | Skip | None:
    """What follows on an attempt: wait and go on without using up a retry, be skipped, or (None) what follows any.

    `excused`: how many attempts of the run were followed by such a wait before.
    """
    if result.cause not in _WAITS_FOR or not result.outcome.is_failed:
        return None
    until = _soon(result.quota_until, now) if result.cause is Cause.QUOTA else None
    if until is not None:
        return heed(Hold(until=until, why="the plan's limit is reached"), bounds.next_fire, zone)
    again, last = now + pause(excused), bounds.last(result.cause)
    return Wait(waits_for=_WAITS_FOR[result.cause], until=again) if last is None or again < last else None
