"""Pausing and resuming: the switches of a task note, or of the settings note for all tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.commands.catalogue import Item
from vault_scheduler.errors import NoteRefused, Refused, SettingsMissing
from vault_scheduler.machine.place import Place
from vault_scheduler.notes.note import Document, Value, set_keys
from vault_scheduler.task import Status
from vault_scheduler.triggers.schedule import LONGEST_REPEAT
from vault_scheduler.triggers.zones import dst_changes

Changes = dict[str, Value]
Decide = Callable[[Mapping[str, object]], Changes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """What became of one note; `path` is vault-relative."""

    name: str
    path: str
    changed: bool
    status: str  # as it stands now: active · paused · stopped · done


def pause(place: Place, item: Item | None, until: datetime | None) -> Switched:
    """Pause a task, or everything (None), for good or until a moment. Raises NoteRefused, SettingsMissing."""
    written = None if until is None else until.astimezone(zone_of(place, item)).strftime("%Y-%m-%dT%H:%M:%S")
    return _switch(place, item, lambda mapping: _paused(mapping, written))


def resume(place: Place, item: Item | None) -> Switched:
    """Make a task, or everything (None), active again. Raises NoteRefused, SettingsMissing; Refused if it is done."""
    task = item.task if item else None
    if item and task and not task.reacts and task.schedule.next_after(place.clock.now()) is None:
        raise Refused(f"{item.name} has nothing left to fire. Give it a new time in {item.path}, then resume it")
    return _switch(place, item, _resumed)


def give_host(place: Place, host: str) -> Switched:
    """Let a machine run the vault. Raises NoteRefused, SettingsMissing."""
    return _switch(place, None, lambda mapping: {"host": host} if _text(mapping.get("host")) != host else {})


def _text(value: object) -> str:
    return str(value or "").strip()


def zone_of(place: Place, item: Item | None) -> ZoneInfo:
    """The zone in which the times of this note are written; the vault's for the settings note."""
    return ZoneInfo(item.task.timezone if item and item.task else place.timezone)


def last_second(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first instant from `moment` on that a note can name, so that a pause never ends early.

    Notes know seconds, and of a local time that exists twice they mean the first: the second pass is named by its end.
    """
    whole = moment.replace(microsecond=0)
    whole = whole if whole == moment else whole + timedelta(seconds=1)
    if not whole.astimezone(zone).fold:
        return whole
    change, before, after = dst_changes(zone, whole.astimezone(UTC) - LONGEST_REPEAT, whole.astimezone(UTC))[-1]
    return change + (before - after)


def _paused(mapping: Mapping[str, object], until: str | None) -> Changes:
    status = _status(mapping)
    if status in (Status.STOPPED, Status.DONE) or (until is None and status is Status.PAUSED):
        return {}
    if until is None:
        return {"status": "paused"}
    return {"paused_until": until, **(_activated(mapping) if status is Status.PAUSED else {})}


def _resumed(mapping: Mapping[str, object]) -> Changes:
    cleared: Changes = {key: None for key in ("paused_until", "status_reason") if mapping.get(key) not in (None, "")}
    return {**_activated(mapping), **cleared}


def _activated(mapping: Mapping[str, object]) -> Changes:
    changes: Changes = {}
    if mapping.get("status") not in (None, "", "active"):
        changes["status"] = "active"
    if mapping.get("enabled") not in (None, "", True):
        changes["enabled"] = True
    return changes


def _status(mapping: Mapping[str, object]) -> Status | None:
    """What a note's switches say; None for what no reader would understand."""
    written = str(mapping.get("status") or "active").strip().lower()
    status = next((status for status in Status if status == written), None)
    return Status.PAUSED if status is Status.ACTIVE and mapping.get("enabled") is False else status


def _switch(place: Place, item: Item | None, decide: Decide) -> Switched:
    path = item.path if item else place.vault.rel(place.vault.settings_path)
    result: list[bytes] = [b""]

    def change(data: bytes) -> bytes:
        result[0] = set_keys(data, decide(Document.parse(data).mapping))
        return result[0]

    try:
        written = place.vault.edit(path, change)
    except FileNotFoundError:
        if item is None:
            raise SettingsMissing(str(place.vault.settings_path)) from None
        raise Refused(f"{path} is gone") from None
    except NoteRefused as error:
        raise NoteRefused(f"{path}:{error.line}: {error.reason}", error.line) from None
    status = _status(Document.parse(result[0]).mapping)
    return Switched(name=item.name if item else "", path=path, changed=written.changed, status=str(status or ""))
