"""What reading a note takes and brings, without the reading: who has a reading from before needs no parser."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from vault_scheduler.parsing.action_fields import CallableCheck
    from vault_scheduler.settings import Settings
    from vault_scheduler.task import Problem, Status, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseContext:
    """What a note's meaning depends on besides the note.

    `settings_timezone` is the zone that the settings note names, `default_timezone` the one in force without it.
    They differ in this: a zone that somebody wrote is part of the trigger fingerprint, the machine's is not, so a
    laptop that travels does not look like an edit (rule 3.2).
    """

    default_timezone: str = "UTC"
    settings_timezone: str | None = None
    system_folder: str = "00_system"
    callable_check: CallableCheck | None = None
    notifiers: Collection[str] | None = None  # names in this machine's config.toml; None as with `secrets`
    config: str = "config.toml"  # where notifiers are named
    secrets: Collection[str] | None = (
        None  # names in this machine's env file; None: unknown, or another machine runs the vault
    )

    @property
    def key(self) -> str:
        """What tells contexts apart for notes without a problem: the rest makes problems, and nothing else."""
        return f"{self.default_timezone} {self.settings_timezone or ''} {self.system_folder}"

    @property
    def tasks_folder(self) -> str:
        """The vault-relative folder of the task notes."""
        return f"{self.system_folder}/tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Whether the task may run: readable even where the rest of the note is not, so that STOP always works."""

    status: Status | None  # None: there is one, but it cannot be read
    paused_until: datetime | None  # UTC
    run_now: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A note as read. No task and no problems: the note declares nothing (a page of text, for example).

    `task` is None if there is an error among the problems. `switches` is None where no key can be read at all.
    """

    task: Task | None = None
    problems: tuple[Problem, ...] = ()
    switches: Switches | None = None

    @property
    def is_task_note(self) -> bool:
        """Whether the note means to declare a task, rightly or not."""
        return self.task is not None or bool(self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSettings:
    """The settings note as read; `settings` is None if there is an error among the problems."""

    settings: Settings | None = None
    problems: tuple[Problem, ...] = ()
