"""Time zones: finding one by name, local time to instants, and the instants at which a zone's offset changes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from vault_scheduler.errors import BadValue
from vault_scheduler.triggers.zone_data import zone_mark

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
# `right/` zones count leap seconds and would fire 27 s off; the others differ from machine to machine.
PRIVATE = ("right/", "posix/", "posixrules", "localtime", "Factory")
YEARS = range(2, 9999)  # the first and the last year cannot hold every offset

# Abbreviations that people write; they name no rules, so the place must be said.
ABBREVIATIONS = {
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "PT": "America/Los_Angeles",
    "MDT": "America/Denver",
    "MT": "America/Denver",
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "CT": "America/Chicago",
    "EDT": "America/New_York",
    "ET": "America/New_York",
    "BST": "Europe/London",
    "CEST": "Europe/Berlin",
    "MEZ": "Europe/Berlin",
    "MESZ": "Europe/Berlin",
    "EEST": "Europe/Helsinki",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "AEST": "Australia/Sydney",
    "AEDT": "Australia/Sydney",
    "Z": "UTC",
}
_OFFSET = re.compile(r"(?:UTC|GMT|Etc/GMT)?\s*[+-]\d{1,2}(?::?\d{2})?", re.IGNORECASE)


@lru_cache(maxsize=256)
def load_zone(name: str) -> ZoneInfo:
    """The IANA zone of this name, e.g. `Europe/Berlin`.

    Raises BadValue with near names for anything else, offsets such as `UTC+2` included: an offset does not know
    when the clocks change.
    """
    try:
        if not name.startswith(PRIVATE):
            zone_mark(name)  # before the data are loaded, as it asks to be
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    near = near_zones(name)
    fix = f"Did you mean {' or '.join(near)}?" if near else "Write an IANA name such as Europe/Berlin or UTC"
    raise BadValue(f"{name!r} is not a known time zone", fix)


def near_zones(name: str) -> tuple[str, ...]:
    """At most three IANA names that may be meant, the likeliest first."""
    if _OFFSET.fullmatch(name.strip()):
        return ()  # Etc/GMT+2 is the opposite of what GMT+2 means to people
    if place := ABBREVIATIONS.get(name.strip().upper()):
        return (place,)
    wanted = name.strip().lower().replace(" ", "_")
    known = sorted(zone for zone in available_timezones() if not zone.startswith(PRIVATE))
    by_name = {zone.lower(): zone for zone in known}
    # Reversed, so that of several zones with one city the first in the alphabet stays.
    by_city = {zone.rpartition("/")[2].lower(): zone for zone in reversed(known)}
    if zone := by_name.get(wanted) or by_city.get(wanted.rpartition("/")[2]):
        return (zone,)
    spellings = by_city | by_name
    found = [spellings[spelling] for spelling in difflib.get_close_matches(wanted, spellings, n=3, cutoff=0.75)]
    return tuple(dict.fromkeys(found))


def to_local(instant: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks of the zone show at an instant: naive local time."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def offset_at(instant: datetime, zone: ZoneInfo) -> timedelta:
    """Local time minus UTC at an instant."""
    offset = instant.astimezone(zone).utcoffset()
    return offset if offset is not None else timedelta(0)


def local_to_utc(naive: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a local time, aware and in UTC (rule 1.3).

    A local time that the clocks skip is the first instant after the gap; one that they show twice is the first.
    Raises BadValue where the calendar ends.
    """
    return locate(naive, zone)[0]


def locate(naive: datetime, zone: ZoneInfo) -> tuple[datetime, timedelta]:
    """The instant of a local time as `local_to_utc` gives it, and the length of the gap it lies in (else zero)."""
    try:
        first = naive.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if to_local(first, zone) == naive:
            return first, timedelta(0)
        # In a gap fold=0 reads the offset from before it, fold=1 the one from after it: the change is between.
        early = naive.replace(tzinfo=zone, fold=1).astimezone(UTC)
        return _change_between(zone, early, first), first - early
    except OverflowError:
        raise BadValue(f"{naive.isoformat(' ')} is outside of the calendar", "Write an earlier date") from None


def dst_changes(zone: ZoneInfo, after: datetime, upto: datetime) -> list[tuple[datetime, timedelta, timedelta]]:
    """Every change of the zone's clocks in after < instant <= upto: (instant in UTC, offset before, offset after)."""
    return list(changes(zone, after, upto))


def changes(zone: ZoneInfo, after: datetime, upto: datetime) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """As `dst_changes`, one after the other."""
    for year in range(max(after.year, YEARS.start), min(upto.year + 1, YEARS.stop)):
        for change in _changes_in_year(zone, year):
            if after < change[0] <= upto:
                yield change


@lru_cache(maxsize=2048)
def _changes_in_year(zone: ZoneInfo, year: int) -> tuple[tuple[datetime, timedelta, timedelta], ...]:
    """The changes of a UTC year. Looking once a day is enough: no zone ever had two changes within three days."""
    found = []
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    before = offset_at(start - SECOND, zone)
    day = start - SECOND
    while day < end - SECOND:
        following = min(day + DAY, end - SECOND)
        now = offset_at(following, zone)
        if now != before:
            found.append((_change_between(zone, day, following), before, now))
            before = now
        day = following
    return tuple(found)


def _change_between(zone: ZoneInfo, before: datetime, at_or_after: datetime) -> datetime:
    """The second at which the offset becomes that of `at_or_after`."""
    target = offset_at(at_or_after, zone)
    low, high = before.replace(microsecond=0), at_or_after.replace(microsecond=0)
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if offset_at(middle, zone) == target:
            high = middle
        else:
            low = middle
    return high
