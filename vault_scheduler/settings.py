"""Vault-wide settings, and the one function where a note's value, the vault's and the built-in one meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Any

from vault_scheduler.task import Policies, Status, Task, TaskType


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings note, parsed. Money in US dollars; `paused_until` in UTC."""

    status: Status = Status.ACTIVE
    paused_until: datetime | None = None
    host: str | None = None
    timezone: str | None = None  # IANA; None: the machine's
    max_parallel: int = 4
    max_claude: int = 2
    vault_max_usd_day: float = 5.0
    max_usage: float | None = None  # percent of the plan above which Claude tasks wait; None: they never do
    note_quiet: timedelta = timedelta(seconds=10)
    note_interval: timedelta = timedelta(seconds=30)
    quiet_hours: tuple[time, time] | None = None  # local times of the vault's zone between which no message is sent
    daemon_ping_url: str | None = None  # pinged while the daemon compares what was due with what started
    daily_log_in: str = "own"  # or daily-note
    daily_log_heading: str = "Scheduler"
    options: Mapping[str, Any] = field(default_factory=dict)  # policy keys: the vault's defaults


def resolve(task: Task, settings: Settings) -> Policies:
    """The policies in force for a task: its note's values over the vault's over the built-in ones.

    What depends on the kind of task (`max_late` of one-shots, `pause_after` of claude) is settled here too,
    so that nobody else needs to know the defaults.
    """
    options = {**settings.options, **task.options}
    if options.get("max_late") is None:
        options["max_late"] = timedelta(days=1) if task.schedule.is_one_shot else timedelta(hours=12)
    if options.get("pause_after") is None:
        options["pause_after"] = 5 if task.type is TaskType.CLAUDE else 0
    return _policies(tuple(options.items()))


@lru_cache(maxsize=128)
def _policies(options: tuple[tuple[str, Any], ...]) -> Policies:
    """Shared by all tasks for which the same holds: most of a vault's are like each other."""
    return Policies(**dict(options))
