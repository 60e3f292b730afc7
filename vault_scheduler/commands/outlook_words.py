"""What is to come, told to people: fire times, and in their place what changes of the clocks do to them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.commands.columns import table
from vault_scheduler.commands.moments import elsewhere, long_local, offset, relative
from vault_scheduler.commands.outlook import ClockChange, Consequence, Effect, Outlook
from vault_scheduler.commands.styled import Style, styled
from vault_scheduler.parsing.values import spelled

MOST_TOLD = 4
"""Local times, and consequences of one change, that are told one by one."""


def outlook_lines(
    found: Outlook, now: datetime | None, *, shown: ZoneInfo | None = None, own: ZoneInfo | None = None
) -> list[str]:
    """Fire times with their offsets, how far off they are from `now`, and how the clocks are set meanwhile.

    In the zone `shown`, else that of the outlook, with the time in the task's `own` where that is another one.
    """
    if not found.fire_times:
        return ["  nothing"]
    zone = shown or found.zone
    there = [elsewhere(at, zone, own) if own else "" for at in found.fire_times]
    cells = [fire_cells(at, zone, now) for at in found.fire_times]
    if any(there):
        cells = [(*fire, words) for fire, words in zip(cells, there, strict=True)]
    rows = table(cells, width=None, indent=2)
    return with_changes([*zip(found.fire_times, rows, strict=True)], found.changes, zone)


def with_changes(rows: Sequence[tuple[datetime, str]], changes: Sequence[ClockChange], zone: ZoneInfo) -> list[str]:
    """The rows in their order, each change before what happens when the clocks have been set."""
    told = [(change.at, line) for change in changes for line in change_lines(change, zone)]
    return [text for _, text in sorted([*told, *rows], key=lambda entry: entry[0])]


def change_lines(change: ClockChange, shown: ZoneInfo) -> list[str]:
    """How the clocks are set, and what that means for the fire times; with the zone if it is not the one shown."""
    lines = [f"  ↳ {change_words(change, shown)}"]
    told = [f"{_of(each)}{words}" for each in change.consequences for words in consequence_words(each, change)]
    lines += [f"    {words}" for words in told[:MOST_TOLD]]
    lines += [f"    and {len(told) - MOST_TOLD} more like these"] if len(told) > MOST_TOLD else []
    return [styled(line, Style.CARE if told else Style.FAINT) for line in lines]


def _of(consequence: Consequence) -> str:
    return f"{consequence.name}: " if consequence.name else ""


def change_words(change: ClockChange, shown: ZoneInfo) -> str:
    """`Sun 2027-03-28 02:00: the clocks go forward 1 h to 03:00 (+01:00 → +02:00)`."""
    before, after = change.local
    way = "forward" if change.shift > timedelta(0) else "back"
    zone = "" if change.zone == shown else f" in {change.zone.key}"
    old = offset((change.at - timedelta(seconds=1)).astimezone(change.zone))
    moved = f"{old} → {offset(change.at.astimezone(change.zone))}"
    at = before.strftime("%a %Y-%m-%d %H:%M")
    return f"{at}{zone}: the clocks go {way} {_shift(change.shift)} to {_clock(after)} ({moved})"


def consequence_words(consequence: Consequence, change: ClockChange) -> list[str]:
    """`02:30 does not exist that day: it fires at 03:00`, and the like."""
    lines = [_effect_words(effect, times, change) for effect, times in consequence.times]
    later = f"{_shift(change.shift)} {'later' if change.shift > timedelta(0) else 'earlier'} by the clock"
    return [*lines, *(f"every {spelled(p)} counts elapsed time: {later} from then on" for p in consequence.drifting)]


def _effect_words(effect: Effect, times: Sequence[datetime], change: ClockChange) -> str:
    one = len(times) == 1
    what = _clocks(times)
    if effect is Effect.ONCE:
        return f"{what} {'comes' if one else 'come'} twice: {'it' if one else 'each'} fires once, the first time"
    if effect is Effect.TWICE:
        return f"{what} {'comes' if one else 'come'} twice: {'it' if one else 'each'} fires both times"
    gone = f"{what} {'does' if one else 'do'} not exist that day"
    if effect is Effect.LOST:
        return f"{gone}, so {'it does' if one else 'they do'} not fire"
    return f"{gone}: {'it fires' if one else 'they fire once,'} at {_clock(change.local[1])}"


def _clocks(times: Sequence[datetime]) -> str:
    """`02:00, 02:15 and 02:30`; of many the first and the last."""
    told = [_clock(time) for time in times]
    if len(told) > MOST_TOLD:
        return f"{len(told)} fire times from {told[0]} to {told[-1]}"
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def _clock(local: datetime) -> str:
    return local.strftime("%H:%M:%S" if local.second else "%H:%M")


def _shift(shift: timedelta) -> str:
    minutes = int(abs(shift).total_seconds()) // 60
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


def fire_cells(at: datetime, zone: ZoneInfo, now: datetime | None) -> tuple[str, ...]:
    """A fire time with its offset, and how far off it is from `now`."""
    return (long_local(at, zone), styled(relative(at, now), Style.FAINT)) if now else (long_local(at, zone),)
