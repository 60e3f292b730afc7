"""From the settings note to the vault's settings, or to what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from vault_scheduler.errors import BadValue
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.fields import Fields, Reader, key_lines
from vault_scheduler.parsing.keys import KEYS, POLICIES, SETTINGS
from vault_scheduler.parsing.notice_fields import quiet_hours, web_address
from vault_scheduler.parsing.output_path import DAILY_NOTE
from vault_scheduler.parsing.parsed import ParsedSettings
from vault_scheduler.parsing.policy_fields import read_policies, read_status
from vault_scheduler.parsing.schedule_fields import read_paused_until, read_zone
from vault_scheduler.parsing.values import duration, line, money, percent, shown, text, whole_number, word
from vault_scheduler.settings import Settings
from vault_scheduler.task import Problem, Status
from vault_scheduler.text.names import has_control

_SECOND = timedelta(seconds=1)
_POLICIES = tuple(name for name in POLICIES if SETTINGS in KEYS[name].where)


def heading(value: object, key: str = "daily_log_heading") -> str:
    """The text of a heading, with or without `#` before it."""
    title = text(value, key).lstrip("#").strip()
    if not title or has_control(title):
        raise BadValue(f"{shown(value)} is no heading", f"Write {line(key, 'Scheduler')}")
    return title


_READERS: dict[str, Reader[Any]] = {
    "host": text,
    "max_parallel": partial(whole_number, minimum=1, maximum=1000, usual=4),
    "max_claude": partial(whole_number, minimum=1, maximum=100, usual=2),
    "vault_max_usd_day": money,
    "max_usage": percent,
    "quiet_hours": quiet_hours,
    "daemon_ping_url": web_address,
    "note_quiet": partial(duration, minimum=_SECOND, maximum=timedelta(hours=1)),
    "daily_log_in": lambda value, key: word(value, key, ("own", DAILY_NOTE)),
    "daily_log_heading": heading,
    "note_interval": partial(duration, minimum=_SECOND, maximum=timedelta(days=1)),
}


def parse_settings(doc: Document, path: str, default_timezone: str = "UTC") -> ParsedSettings:
    """The vault's settings. A note without properties is a problem: it must not undo `status: stopped` (rule 3.3)."""
    if doc.fault is not None:
        fault = doc.fault
        return _refused(path, fault.line, fault.key, fault.message, fault.fix)
    if doc.block is None or not doc.mapping:
        fix = "Restore it from your sync program or backup, or write at least `status: active` between two lines `---`."
        return _refused(path, 1, "", "the settings note has no properties", fix)
    return parse_settings_mapping(doc.mapping, path, key_lines(doc), default_timezone)


def _refused(path: str, line: int, key: str, message: str, fix: str) -> ParsedSettings:
    return ParsedSettings(problems=(Problem(path=path, line=line, key=key, message=message, fix=fix),))


def rebuild_settings(source: Mapping[str, Any], path: str, default_timezone: str = "UTC") -> ParsedSettings:
    """The settings again from what `source_of` gave, as stored with the last good ones."""
    return parse_settings_mapping(source["mapping"], path, lambda key: 1, default_timezone)


def parse_settings_mapping(
    mapping: Mapping[str, object], path: str, lines: Callable[[str], int], default_timezone: str = "UTC"
) -> ParsedSettings:
    """As `parse_settings`, from the frontmatter's values; `paused_until` is local to the vault's zone."""
    fields = Fields(mapping, path, SETTINGS, lines)
    zone = read_zone(fields, default_timezone)
    values: dict[str, Any] = {
        "status": read_status(fields, (Status.ACTIVE, Status.PAUSED, Status.STOPPED)),
        "paused_until": read_paused_until(fields, zone),
        "timezone": zone.key if fields.has("timezone") else None,
        "options": read_policies(fields, _POLICIES),
        **{name: fields.read(name, reader) for name, reader in _READERS.items()},
    }
    given = {name: value for name, value in values.items() if value is not None}
    settings = None if fields.failed else Settings(**given)
    return ParsedSettings(settings=settings, problems=fields.sorted_problems())
