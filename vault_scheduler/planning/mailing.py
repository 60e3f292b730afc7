"""What leaves the outbox when: letters put together, quiet hours, receivers that fail. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.task import Topic
from vault_scheduler.triggers.zones import local_to_utc, to_local

MOST_ALONE = 3
"""More letters than this that wait for one receiver are put together into one."""
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(hours=24)
PING_IN_TIME = timedelta(seconds=60)
"""A ping that tells that a run has begun is worth nothing later."""
LONGEST_TEXT = 3000
"""Characters of a message that many were put into."""
START, SUCCESS, FAIL = "start", "success", "fail"

QuietHours = tuple[time, time]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Something that one receiver is to be told, as the outbox holds it. Times aware and in UTC.

    `ping` is "" for a message to a notifier of this machine; else START, SUCCESS or FAIL, for the task's `ping_url`.
    """

    receiver: str  # name of a notifier; "" for a ping
    subject: str
    signature: str = ""
    topic: Topic | None = None
    run: str = ""
    ping: str = ""
    title: str = ""
    body: str = ""
    made_at: datetime
    not_before: datetime | None = None
    seq: int = 0
    tries: int = 0
    failing_since: datetime | None = None
    why: str = ""

    @property
    def line(self) -> tuple[str, str]:
        """In which line it waits: one for each receiver, and for the pings of each task."""
        return self.receiver, self.subject if self.ping else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is to be done with the outbox now. Each bundle is sent as one."""

    bundles: tuple[tuple[Letter, ...], ...] = ()
    dropped: tuple[Letter, ...] = ()  # pings that nobody needs any more
    next_moment: datetime | None = None


@dataclass(slots=True)
class _Found:
    bundles: list[tuple[Letter, ...]] = field(default_factory=list)
    dropped: list[Letter] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)


def next_round(
    letters: Iterable[Letter], now: datetime, *, quiet_until: datetime | None, busy: Collection[tuple[str, str]]
) -> Round:
    """What leaves now: per line one bundle, none where one is on its way (`busy`) or its receiver fails."""
    lines: dict[tuple[str, str], list[Letter]] = defaultdict(list)
    for letter in letters:
        lines[letter.line].append(letter)
    found = _Found()
    for line, waiting in lines.items():
        if line in busy:
            continue
        if waiting[0].ping:
            _pings(waiting, now, found)
        else:
            _messages(waiting, now, quiet_until, found)
    return Round(
        bundles=tuple(found.bundles), dropped=tuple(found.dropped), next_moment=min(found.moments, default=None)
    )


def _messages(waiting: Sequence[Letter], now: datetime, quiet_until: datetime | None, found: _Found) -> None:
    if quiet_until is not None:
        found.moments.append(quiet_until)
        return
    rests = [each.not_before for each in waiting if each.tries and _is_ahead(each, now)]
    if rests:
        found.moments.append(min(moment for moment in rests if moment is not None))
        return
    ready = [each for each in waiting if not _is_ahead(each, now)]
    found.moments += [each.not_before for each in waiting if each.not_before is not None and each not in ready]
    if len(ready) > MOST_ALONE:
        found.bundles.append(tuple(ready))
    elif ready:  # one that a receiver does not take must not keep the others from it
        found.bundles.append((min(ready, key=lambda letter: (letter.tries, letter.seq)),))


def _pings(waiting: Sequence[Letter], now: datetime, found: _Found) -> None:
    """The newest end counts, and a start only while it is new; in their order."""
    line = sorted(waiting, key=lambda letter: letter.seq)
    end = next((each for each in reversed(line) if each.ping != START), None)
    keep = [each for each in line if each is end or (each.ping == START and _is_news(each, end, now))]
    found.dropped += [each for each in line if each not in keep]
    if keep and _is_ahead(keep[0], now):
        found.moments += [each.not_before for each in keep[:1] if each.not_before is not None]
    elif keep:
        found.bundles.append((keep[0],))


def _is_news(start: Letter, end: Letter | None, now: datetime) -> bool:
    """Whether the start of a run is still worth a ping: it tells when the run began, and so how long it took."""
    if start.tries or now - start.made_at > PING_IN_TIME:
        return False
    return end is None or start.seq > end.seq or (start.run == end.run and not end.tries)


def _is_ahead(letter: Letter, now: datetime) -> bool:
    """Whether it is to be waited for; further away than any delay means that the clock was set back."""
    return letter.not_before is not None and now < letter.not_before <= now + GIVEN_UP_AFTER


def retry_at(letter: Letter, now: datetime) -> datetime:
    """When to try again if this try fails: after a minute, doubling, at most an hour."""
    doublings: int = 2 ** min(letter.tries, 10)
    return now + min(FIRST_RETRY * doublings, LONGEST_RETRY)


def is_given_up(letter: Letter, now: datetime) -> bool:
    """Whether a letter that has failed once more is not tried again."""
    return letter.failing_since is not None and now - letter.failing_since >= GIVEN_UP_AFTER


def put_together(bundle: Sequence[Letter]) -> tuple[str, str]:
    """Title and text of what is sent for a bundle."""
    if len(bundle) == 1:
        return bundle[0].title, bundle[0].body
    parts = [f"{each.title}\n{_first_line(each.body)}".rstrip() for each in bundle]
    shown: list[str] = []
    for part in parts:
        if sum(map(len, shown)) + len(part) > LONGEST_TEXT:
            shown.append(f"… and {len(parts) - len(shown)} more: `vault-sched history`")
            break
        shown.append(part)
    return f"vault-sched: {len(bundle)} messages", "\n\n".join(shown)


def _first_line(body: str) -> str:
    return next((line for line in body.split("\n") if line.strip()), "")


def quiet_until(now: datetime, hours: QuietHours | None, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours end that it is now (local times of the zone, also over midnight); None: it is none of them.

    A local time that the clocks skip is the first instant after the gap, one that they show twice is the first.
    """
    if hours is None:
        return None
    begin, end = hours
    today = to_local(now, zone).date()
    for day in (today - timedelta(days=1), today):
        last_day = day if begin < end else day + timedelta(days=1)
        first = local_to_utc(datetime.combine(day, begin), zone)
        last = local_to_utc(datetime.combine(last_day, end), zone)
        if first <= now < last:
            return last
    return None
