"""The settings in force: what the settings note said when it last was good (rule 3.3). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parsed import ParsedSettings
from vault_scheduler.parsing.parser import source_of
from vault_scheduler.parsing.settings_parser import parse_settings, rebuild_settings
from vault_scheduler.parsing.values import line
from vault_scheduler.settings import Settings
from vault_scheduler.task import Problem, Status

_FREE = {"status": "active", "enabled": True, "paused_until": "", "host": "another machine", "vault_max_usd_day": 5}
"""What a person writes who wants to undo what holds the vault back."""


class SettingsNote:
    """Takes what is read of the settings note; an edit counts once the note has been left alone.

    `machine_timezone` is the zone of local times in a note that names none.
    `settings` is None until the note was good once. `source` is the JSON of the settings in force, to be stored.
    """

    def __init__(self, path: str, machine_timezone: str, source: str) -> None:
        self.path = path
        self.settings: Settings | None = None
        self.source = source
        self.problems: tuple[Problem, ...] = ()
        self.revision = 0  # counts changes of the settings in force
        self.machine_timezone = machine_timezone
        self._pending: tuple[ParsedSettings, dict[str, Any]] | None = None
        if source:
            self.settings = rebuild_settings(json.loads(source), path, machine_timezone).settings

    @property
    def in_force(self) -> Settings:
        """The settings in force; the defaults where there never were good ones."""
        return self.settings or Settings()

    @property
    def is_pending(self) -> bool:
        """Whether an edit waits to be left alone."""
        return self._pending is not None

    @property
    def written(self) -> Settings | None:
        """What an edit that waits says, if nothing at all is wrong with it."""
        parsed = self._pending[0] if self._pending else None
        return parsed.settings if parsed is not None and not parsed.problems else None

    @property
    def written_source(self) -> str:
        """What `source` will be when that edit has been left alone."""
        return _text(self._pending[1]) if self._pending else ""

    @property
    def was_never_good(self) -> bool:
        """Whether the note has been judged, and nothing can start because of it."""
        return self.settings is None and bool(self.problems)

    def take(self, data: bytes, now: datetime) -> None:
        """The note says this now. What holds the vault back counts at once, the rest when it is left alone."""
        document = Document.parse(data)
        parsed = parse_settings(document, self.path, self.machine_timezone)
        source = source_of(document) if parsed.settings else {}
        missing = self._missing(source["mapping"], now) if source else {}
        if missing:
            source["mapping"] = {**source["mapping"], **missing}
            settings = rebuild_settings(source, self.path, self.machine_timezone).settings
            problems = *parsed.problems, *(_stays(self.path, key, value) for key, value in missing.items())
            parsed = ParsedSettings(settings=settings, problems=problems)
        self._pending = (parsed, source)
        if parsed.settings is not None and self.settings is not None:
            self._use(_held_back(self.settings, parsed.settings, self._good_host))

    def _missing(self, mapping: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """What was good and holds the vault back, and is not in the note any more.

        A merge may have taken the line or made another key of it; only what is written sets the vault going.
        """
        if self.settings is None or not self.source:
            return {}
        before, was, usual = json.loads(self.source)["mapping"], self.settings, Settings()
        holds_back = {
            "status": was.status is not Status.ACTIVE and "enabled" not in mapping,
            "enabled": was.status is not Status.ACTIVE and "status" not in mapping,
            "paused_until": was.paused_until is not None and was.paused_until > now,
            "host": was.host is not None,
            "vault_max_usd_day": was.vault_max_usd_day < usual.vault_max_usd_day,
        }
        return {key: before[key] for key, holds in holds_back.items() if holds and key in before and key not in mapping}

    @property
    def _good_host(self) -> str | None:
        """The owner as the note said when it was last left alone."""
        host = json.loads(self.source)["mapping"].get("host") if self.source else None
        return str(host) if host is not None else None

    def complain(self, problem: Problem) -> None:
        """The note cannot be read, or is not there: the last good settings stay in force."""
        self._pending = None
        self.problems = (problem,)

    def settle(self) -> None:
        """The note has been left alone: what it says is in force, if it is good."""
        if self._pending is None:
            return
        (parsed, source), self._pending = self._pending, None
        self.problems = parsed.problems
        if parsed.settings is not None:
            self.source = _text(source)
            self._use(parsed.settings)

    def _use(self, settings: Settings) -> None:
        if settings != self.settings:
            self.settings = settings
            self.revision += 1


def _text(source: Mapping[str, Any]) -> str:
    return json.dumps(source, sort_keys=True, default=str)


def _held_back(before: Settings, now: Settings, owner: str | None) -> Settings:
    """`before` with the switches of `now` that pause or stop the vault.

    When another machine is named, the owner stops at once and the new one waits: not both run for a while.
    """
    status = now.status if now.status is not Status.ACTIVE else before.status
    pauses = [moment for moment in (before.paused_until, now.paused_until) if moment]
    host = before.host if owner is None else owner if now.host == owner else f"{owner} → {now.host}"
    return replace(before, status=status, paused_until=max(pauses, default=None), host=host)


def _stays(path: str, key: str, value: object) -> Problem:
    """The note does not say any more what holds the vault back."""
    return Problem(
        path=path,
        line=1,
        key=key,
        message="this property has gone from the settings note, and stays as it was",
        fix=f"Write what is meant: {line(key, value)}, or {line(key, _FREE[key])}.",
    )


def settings_gone(path: str) -> Problem:
    """There is no settings note any more."""
    return Problem(
        path=path,
        line=1,
        key="",
        message="the settings note is not there",
        fix="The last good settings stay in force. Restore it, or make one with `vault-sched init`.",
    )
