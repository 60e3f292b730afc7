"""What a note declares: a task, its action and policies; and what is wrong with a note: a problem. Pure data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from vault_scheduler.triggers.schedule import Schedule


class Severity(StrEnum):
    """An error keeps the task from running; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with a note, where, and what to write instead."""

    path: str  # vault-relative, with forward slashes
    line: int  # from 1
    key: str  # "" where the problem is not about one key
    message: str
    fix: str
    severity: Severity = Severity.ERROR

    @property
    def is_error(self) -> bool:
        """Whether the task does not run because of it."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        subject = f"{self.key}: " if self.key else ""
        advice = f" {self.fix}" if self.fix else ""
        return f"{self.path}:{self.line}: {subject}{self.message}.{advice}"


class TaskType(StrEnum):
    """Which executor runs it."""

    COMMAND = "command"
    PYTHON = "python"
    CLAUDE = "claude"


class Status(StrEnum):
    """The `status` of a task note; the settings note knows all but `done`."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"


class Topic(StrEnum):
    """What people can be told about: the words of the key `notify`."""

    FAILURE = "failure"
    RECOVERY = "recovery"
    BLOCKED = "blocked"
    MISSED = "missed"
    PROBLEM = "problem"
    BUDGET = "budget"
    SUCCESS = "success"


USUAL_TOPICS = tuple(topic for topic in Topic if topic is not Topic.SUCCESS)


class Overlap(StrEnum):
    """What happens to a fire time while the task's previous run has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL = "cancel"
    ALLOW = "allow"


class AfterOutcome(StrEnum):
    """Which outcome of a parent's run starts a task that comes `after` it (rule 1.5)."""

    SUCCESS = "success"
    FAILURE = "failure"
    ANY = "any"


class CatchUp(StrEnum):
    """Which of several fire times that were due run at all (rule 4)."""

    LATEST = "latest"
    SKIP = "skip"
    ALL = "all"


class Permissions(StrEnum):
    """Preset of tools for a Claude run (docs/contract.md)."""

    READ_ONLY = "read-only"
    EDIT = "edit"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The keys of "any type" and "results" with the built-in defaults.

    `settings.resolve()` is the one function that lays a note's values over the vault's over these.
    """

    cwd: str = ""  # relative to the vault
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    timeout: timedelta = timedelta(hours=1)
    retries: int = 0
    retry_delay: timedelta = timedelta(minutes=1)
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LATEST
    max_late: timedelta | None = None  # None: 12 h, for one-shots 1 d
    pause_after: int | None = None  # None: claude 5, others never; 0: never
    group: str = ""  # tasks of one group run one at a time; "": of none
    output: str = ""
    log: str = "all"
    keep_runs: int = 20
    notify: tuple[Topic, ...] = USUAL_TOPICS
    notify_to: tuple[str, ...] | None = None  # names of this machine's notifiers; None: all of them
    ping_url: str = ""  # Healthchecks


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAction:
    """`command`: a string for /bin/sh -c, a tuple for exec, None for the first fenced code block."""

    command: str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonAction:
    """`call` names a function (`package.module:function`) or a built-in; None: the first python block."""

    call: str | None
    args: Mapping[str, Any] = field(default_factory=dict)
    python: str | None = None


SHELL_TOOLS = frozenset({"Bash", "PowerShell", "REPL"})
"""Claude's tools that can execute anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaudeAction:
    """The keys of a Claude session. Money in US dollars."""

    permissions: Permissions = Permissions.EDIT
    allowed_tools: tuple[str, ...] = ()
    disallowed_tools: tuple[str, ...] = ()
    model: str | None = None
    fallback_model: str | None = None
    max_turns: int | None = None
    max_usd: float = 0.50
    max_usd_day: float | None = None
    system_prompt: str | None = None
    session: str = "fresh"  # fresh, continue, or a name that tasks share
    mcp_config: str | None = None  # a JSON file of MCP servers, relative to the vault
    skills: tuple[str, ...] = ()  # names of the skills offered; empty: those of the vault
    add_dirs: tuple[str, ...] = ()  # folders beside the vault


Action = CommandAction | PythonAction | ClaudeAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A note that declares work, as read; nothing observed is in here.

    `definition` is the hash of everything that the note declares except the scheduler's own keys and the
    switches (`status`, `paused_until`, `run_now`): what would run, and when. `trigger_fingerprint` covers only when
    (rule 3.2). Two tasks with equal `definition` do the same thing.
    """

    id: str
    path: str
    type: TaskType
    action: Action
    schedule: Schedule
    status: Status = Status.ACTIVE
    paused_until: datetime | None = None  # UTC
    run_now: bool = False
    answer: str = ""  # what a person has typed for the question of a run
    on_start: bool = False
    after: tuple[str, ...] = ()  # links to the tasks it comes after, as written between the brackets
    after_outcome: AfterOutcome = AfterOutcome.SUCCESS
    on_change: tuple[str, ...] = ()  # globs of vault-relative paths
    debounce: timedelta = timedelta(seconds=30)
    max_runs: int | None = None
    gate: str | tuple[str, ...] | None = None  # as `command`: a string for /bin/sh -c, a tuple for exec
    expect_file: str | None = None  # must have changed when a run ends, else that is a failure
    expect_output: str | None = None  # regular expression that the result must match, else that is a failure
    host: str | None = None
    timezone: str = "UTC"  # the IANA zone in force
    options: Mapping[str, Any] = field(default_factory=dict)  # the policy keys that the note sets, parsed
    body: str = ""  # the note's text above `## Runs`, without frontmatter
    definition: str = ""
    trigger_fingerprint: str = ""
    declared: Mapping[str, Any] = field(default_factory=dict)  # the frontmatter without our own keys, as read

    @property
    def reacts(self) -> bool:
        """Whether something else than a fire time of its schedule can start it."""
        return bool(self.on_start or self.after or self.on_change)

    @property
    def asks_for_shell(self) -> bool:
        """Whether a run of it can execute anything (rule 8)."""
        if self.gate is not None or not isinstance(self.action, ClaudeAction):
            return True
        if self.action.permissions is Permissions.FULL or self.action.mcp_config is not None:
            return True
        return any(tool.split("(")[0].strip() in SHELL_TOOLS for tool in self.action.allowed_tools)


_ALWAYS_ALIKE = json.JSONEncoder(sort_keys=True, ensure_ascii=True, default=str)


def fingerprint(value: Any) -> str:
    """A stable hash of plain data (JSON, keys sorted): 16 hex digits."""
    return text_hash(_ALWAYS_ALIKE.encode(value))


def text_hash(text: str) -> str:
    """A stable hash of a text: 16 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
