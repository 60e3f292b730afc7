"""What is known of notes: from before this daemon started, as last believed, and since the last look. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from vault_scheduler.errors import internal
from vault_scheduler.parsing.parsed import Parsed
from vault_scheduler.task import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What the ledger remembers of a task's note from before this daemon started."""

    task: str
    definition: str
    source_mark: int  # see `mark_of`
    invalid_since: datetime | None


@dataclass(frozen=True, slots=True)
class Edit:
    """What a note says since somebody changed it."""

    parsed: Parsed
    source: str = ""  # of the task that it declares, unless the ledger has it: the text of what `source_of` gave
    told: str = ""  # what it tells of its runs and how it stands, see `told_of`
    last_run: object = None
    data: bytes = b""  # the whole note, if it declares a task and was read
    written_at: datetime | None = None  # by the file's mtime


@dataclass(slots=True, kw_only=True)
class Watched:
    """A file as last believed, in awake seconds.

    `changed_at`: its last change that was not ours; before this daemon saw the file, by its mtime. `read_at`: when what
    somebody else than us wrote into it was first read.
    """

    changed_at: float
    read_at: float
    edit: Edit | None = None  # it has not been left alone for long enough
    source: str = ""  # of the definition in force, until the ledger has it
    told: str = ""  # by the note as last believed
    last_run: object = None  # as the note told it when it was first seen


@dataclass(slots=True, kw_only=True)
class Seen:
    """What one look brought."""

    touched: set[str] = field(default_factory=set)  # ids of tasks that may stand differently now
    renamed: list[tuple[str, str]] = field(default_factory=list)  # task id before, after
    settings_changed: bool = False
    changed_paths: set[str] = field(default_factory=set)  # notes that somebody else changed
    good: dict[str, bytes] = field(default_factory=dict)  # path → the note whose definition is in force now
    written: dict[str, datetime] = field(default_factory=dict)  # path → the mtime of a note that is good or broken
    broken: set[str] = field(default_factory=set)  # notes that do not declare the task any more that they declared
    departed: set[str] = field(default_factory=set)  # ids of tasks whose notes went
    travelled: bool = False  # the machine is in another time zone


def internal_problem(path: str, error: Exception, doing: str = "reading this note") -> Problem:
    """A fault of ours, met in one note."""
    message = f"internal error while {doing}: {internal(error)}; please report it"
    return Problem(path=path, line=1, key="", message=message, fix="")


def nothing_declared(path: str) -> Problem:
    """A task's note that declares nothing any more is a problem, not a removal (rule 3.4)."""
    message = "this note was a task, and now it has no properties"
    fix = "`vault-sched restore` brings back what it said; or delete the note."
    return Problem(path=path, line=1, key="", message=message, fix=fix)
