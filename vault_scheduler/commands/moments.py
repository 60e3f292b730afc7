"""Moments and lengths of time as people give them on the command line, and as they are told to people. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.values import duration
from vault_scheduler.triggers.zones import local_to_utc

_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


def read_moment(text: str, zone: ZoneInfo) -> datetime:
    """ISO 8601 to an instant in UTC. Without an offset it is local to the zone; a date is its midnight."""
    try:
        if _DATE_ONLY.match(text.strip()):
            return local_to_utc(datetime.combine(date.fromisoformat(text.strip()), time()), zone)
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo else local_to_utc(moment, zone)
    except (ValueError, OverflowError) as error:
        fix = "Write it like 2026-11-22T09:00, or with an offset: 2026-11-22T09:00+01:00"
        raise BadValue(f"{text!r} is not a moment in ISO 8601 ({error})", fix) from None


def read_until(text: str, zone: ZoneInfo, after: datetime) -> datetime:
    """A moment as above, or a length of time from `after`: `2h`, `3d`. Raises BadValue if it is not later."""
    try:
        moment = after + duration(text)
    except (BadValue, OverflowError):
        moment = _moment_or_duration(text, zone)
    if moment <= after:
        raise BadValue(f"{text!r} is not later than {iso(after, zone)}", "Name a later moment")
    return moment


def _moment_or_duration(text: str, zone: ZoneInfo) -> datetime:
    try:
        return read_moment(text, zone)
    except BadValue:
        fix = "Write a length of time such as 2h or 3d, or a moment such as 2026-11-22T09:00"
        raise BadValue(f"{text!r} is neither a moment nor a length of time", fix) from None


def iso(moment: datetime, zone: ZoneInfo) -> str:
    """ISO 8601 with the zone's offset, to the second."""
    return moment.astimezone(zone).isoformat(timespec="seconds")


def iso_or_none(moment: datetime | None, zone: ZoneInfo) -> str | None:
    """The same for what may be unknown."""
    return None if moment is None else iso(moment, zone)


def long_local(moment: datetime, zone: ZoneInfo) -> str:
    """`Mon 2026-11-23 07:00 +01:00`, with seconds only where there are some."""
    local = moment.astimezone(zone)
    return local.strftime("%a %Y-%m-%d %H:%M:%S " if local.second else "%a %Y-%m-%d %H:%M ") + offset(local)


def elsewhere(moment: datetime, shown: ZoneInfo, own: ZoneInfo) -> str:
    """`07:00 in America/New_York`, with the weekday if it is another one; "" where clocks show the same."""
    here, there = moment.astimezone(shown), moment.astimezone(own)
    if here.utcoffset() == there.utcoffset():
        return ""
    clock = there.strftime("%H:%M:%S" if there.second else "%H:%M")
    return f"{clock if here.date() == there.date() else f'{there:%a} {clock}'} in {own.key}"


def long_both(moment: datetime, shown: ZoneInfo, own: ZoneInfo) -> str:
    """`Mon 2026-11-23 13:00 +01:00 (07:00 in America/New_York)`; without the second where the clocks show the same."""
    there = elsewhere(moment, shown, own)
    return f"{long_local(moment, shown)} ({there})" if there else long_local(moment, shown)


def short_local(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """`12:00` on the same day, else `2026-11-23 12:00`."""
    local = moment.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == now.astimezone(zone).date() else f"{local:%Y-%m-%d %H:%M}"


def offset(local: datetime) -> str:
    """`+01:00`; with seconds for zones of long ago."""
    return local.isoformat(timespec="seconds")[19:]


_UNITS = ((86400 * 365.25, "y"), (86400, "d"), (3600, "h"), (60, "min"))


def length(seconds: float) -> str:
    """`40 s`, `3 min`, `5 h`, `12 d`, `2 y`: one unit, cut rather than rounded up."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def relative(moment: datetime, now: datetime) -> str:
    """`in 3 h`, `5 min ago`, `now`."""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {length(seconds)}" if seconds > 0 else f"{length(-seconds)} ago"
