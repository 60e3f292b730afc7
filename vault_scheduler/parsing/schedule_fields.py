"""When a task runs, as its note says it: zone, triggers, bounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from vault_scheduler.errors import BadExpression, BadValue
from vault_scheduler.parsing.fields import Fields
from vault_scheduler.parsing.keys import TRIGGERS
from vault_scheduler.parsing.reaction_fields import Reactions, read_reactions
from vault_scheduler.parsing.values import (
    date_or_datetime,
    duration,
    local_datetime,
    shown,
    spelled,
    text,
    text_list,
)
from vault_scheduler.task import fingerprint
from vault_scheduler.triggers.schedule import (
    CronTrigger,
    IntervalTrigger,
    OnceTrigger,
    Schedule,
    Trigger,
    cron_trigger,
    interval_anchor,
)
from vault_scheduler.triggers.zones import load_zone, local_to_utc

MOST_CRONS = 100
"""Expressions of one task. What is due is asked of each, and no other task fires meanwhile."""
_SECOND = timedelta(seconds=1)
_LAST_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The schedule with the zone it was read in, and its fingerprint (rule 3.2)."""

    schedule: Schedule
    reactions: Reactions
    fingerprint: str


def read_zone(fields: Fields, fallback: str) -> ZoneInfo:
    """The zone that the note names, else (and after a problem) the fallback."""
    return fields.read("timezone", lambda value, key: load_zone(text(value, key))) or load_zone(fallback)


def read_when(fields: Fields, zone: ZoneInfo, task_id: str, written_zone: str) -> When:
    """Triggers and bounds. `written_zone`: the zone that a note names, "" if only the machine knows it."""
    start = fields.read("start", partial(_instant, zone=zone))
    until = fields.read("until", partial(_last_instant, zone=zone))
    if start and until and until < start:
        fields.error("until", "ends before `start`, so nothing could ever run", "Write a later `until`")
    reactions = read_reactions(fields)
    crons = _crons(fields, zone, task_id)
    every = fields.read("every", partial(duration, minimum=_SECOND))
    once = fields.read("at", partial(_times, zone=zone)) or ()
    triggers: list[Trigger] = [*crons]
    if every is not None:
        triggers.append(IntervalTrigger(every, start or interval_anchor(zone)))
    if once:
        triggers.append(OnceTrigger(once))
        _check_bounds(fields, once, start, until)
    if not triggers and not reactions:
        _no_trigger(fields)
    named = partial(_as_named, zone=zone, written_zone=written_zone)
    declared: dict[str, Any] = {
        "cron": sorted({cron.text for cron in crons}),
        "every": spelled(every) if every is not None else "",
        "at": sorted({named(moment) for moment in once}),
        "on_start": reactions.on_start,
        "start": named(start) if start else "",
        "until": named(until) if until else "",
        "zone": written_zone,
        **reactions.declared,
    }
    schedule = Schedule(triggers=tuple(triggers), start=start, until=until)
    return When(schedule=schedule, reactions=reactions, fingerprint=fingerprint(declared))


def _as_named(moment: datetime, *, zone: ZoneInfo, written_zone: str) -> str:
    """An instant for the fingerprint. Where only the machine knows the zone, its local time: a journey is no edit."""
    return moment.isoformat() if written_zone else moment.astimezone(zone).replace(tzinfo=None).isoformat()


def _no_trigger(fields: Fields) -> None:
    named = any(fields.has(name) for name in TRIGGERS if name != "on_start")
    if not named:
        what = '`cron: "0 7 * * *"`, `every: 15m` or `at: 2026-11-22T09:00`'
        fields.missing(TRIGGERS, "nothing says when it runs", what)
    elif not fields.failed:
        name = next(name for name in TRIGGERS if fields.has(name))
        fields.error(name, "is an empty list, so nothing says when it runs", 'Write `cron: "0 7 * * *"`')


def _crons(fields: Fields, zone: ZoneInfo, task_id: str) -> list[CronTrigger]:
    found = []
    for expression in fields.read("cron", _expressions) or ():
        try:
            trigger = cron_trigger(expression, zone, task_id)
        except BadExpression as error:
            fields.error("cron", f"{shown(expression)}: {error.message}", error.fix)
            continue
        for warning in trigger.warnings:
            fields.warn("cron", f"{shown(expression)}: {warning}", "Check that this is what you mean")
        found.append(trigger)
    return found


def _expressions(value: object, key: str) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if len(items) > MOST_CRONS:
        raise BadValue(f"more than {MOST_CRONS} expressions", "Write fewer, or several notes")
    for item in items:
        if isinstance(item, (bool, float)):
            raise BadValue(f"{shown(item)} is no cron expression", f'Write `{key}: "0 7 * * *"`')
    return text_list(value, key)


def _times(value: object, key: str, *, zone: ZoneInfo) -> tuple[datetime, ...]:
    items = value if isinstance(value, list) else [value]
    moments = {local_to_utc(local_datetime(item, key), zone) for item in items if item is not None}
    return tuple(sorted(moments))


def _instant(value: object, key: str, *, zone: ZoneInfo) -> datetime:
    """The instant of a local date (its midnight) or date-time."""
    moment = date_or_datetime(value, key)
    if isinstance(moment, datetime):
        return local_to_utc(moment, zone)
    return local_to_utc(_midnight(moment), zone)


def _last_instant(value: object, key: str, *, zone: ZoneInfo) -> datetime:
    """The last instant that is meant: a date includes that day."""
    moment = date_or_datetime(value, key)
    if isinstance(moment, datetime):
        return local_to_utc(moment, zone)
    return local_to_utc(_midnight(moment + timedelta(days=1)), zone) - _LAST_MOMENT


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 (local by contract)


def _check_bounds(fields: Fields, once: tuple[datetime, ...], start: datetime | None, until: datetime | None) -> None:
    low, high = start or datetime.min.replace(tzinfo=UTC), until or datetime.max.replace(tzinfo=UTC)
    if not any(low <= moment <= high for moment in once):
        fields.error("at", "lies outside of `start` and `until`, so it would never run", "Remove the bound, or move it")


def read_paused_until(fields: Fields, zone: ZoneInfo) -> datetime | None:
    """The instant before which nothing starts; a date means its local midnight."""
    return fields.read("paused_until", partial(_instant, zone=zone))
