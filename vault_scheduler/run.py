"""One execution of a task: its key, its states, its outcome. Pure data (rules 2 and 5)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class Outcome(StrEnum):
    """How a run, or a fire time that did not start, ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    MISSED = "missed"

    @property
    def is_failed(self) -> bool:
        """Whether `retries` and `pause_after` count it (rule 5)."""
        return self in (Outcome.FAILURE, Outcome.TIMEOUT, Outcome.ABANDONED)


class Cause(StrEnum):
    """What outside of the task kept an attempt from its work; what follows is not what follows its own fault."""

    LOGIN = "login"  # nobody is logged in, or the login was refused
    QUOTA = "quota"  # a rate limit or a window of the plan; `Result.quota_until` says until when
    OVERLOAD = "overload"  # the provider could not answer just now
    NETWORK = "network"  # the provider could not be reached
    SERVER = "server"  # an MCP server that the run needs did not connect


class RunState(StrEnum):
    """Where a run is in its life: claimed → waiting → starting → running → ended."""

    CLAIMED = "claimed"
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


class TriggerKind(StrEnum):
    """The middle part of a run key: what made the run due."""

    AT = "at"  # cron, every and at together: the same instant is one run
    REQUEST = "req"
    AFTER = "after"
    CHANGE = "change"
    START = "start"
    ANSWER = "answer"


def counts_as_run(kind: TriggerKind) -> bool:
    """Whether it counts for `max_runs`: what somebody asked for never moves the schedule."""
    return kind not in (TriggerKind.REQUEST, TriggerKind.ANSWER)


def run_key(task: str, kind: TriggerKind, detail: str) -> str:
    """`<task>|<kind>|<detail>`, unique in the ledger; `detail` is the UTC second for `at`."""
    return f"{task}|{kind}|{detail}"


def fire_key(task: str, fire_time: datetime) -> str:
    """The run key of a fire time (UTC second)."""
    return run_key(task, TriggerKind.AT, utc_second(fire_time))


def utc_second(moment: datetime) -> str:
    """`20261122T060000Z`: the form used in run keys and block ids."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def run_id(key: str, fire_time: datetime) -> str:
    """`r-<UTC>-<6 hex of the run key>`: also the block id in notes, so letters, digits and dashes only."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"r-{utc_second(fire_time)}-{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one attempt, and so its run, brought back. Every text is already harmless of secrets (masked)."""

    outcome: Outcome
    reason: str = ""  # one line for people: "exit 3: no such file"; "" for a plain success
    text: str = ""  # head and tail of the output, at most a few thousand characters
    markdown: bool = False  # text is markdown that may be shown as such (Claude's answer); else raw output
    output_bytes: int = 0
    exit_code: int | None = None
    cost_usd: float | None = None
    turns: int | None = None
    model: str | None = None
    session_id: str | None = None
    folder: str = ""  # of the session, as `cwd` says it; "": the vault
    denials: tuple[str, ...] = ()
    changed_notes: tuple[str, ...] = ()  # vault-relative paths
    retryable: bool = True  # False where another attempt cannot help (no login, missing callable)
    transient: bool = False  # the network's or the provider's fault: `pause_after` does not count it (rule 5)
    cause: Cause | None = None  # what kept it from its work, where that was not the task itself
    quota_until: datetime | None = None  # UTC; when the limit that stopped it lets up
    usage: float | None = None  # percent of the plan's fullest window, as the provider last said
    usage_until: datetime | None = None  # UTC; when that window begins anew
    question: str = ""  # what it asks a person; it ended `blocked` for it
    remarks: tuple[str, ...] = ()  # what people should know beside the outcome: "the session was lost, began anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try within a run."""

    run: str
    number: int  # from 1
    state: RunState
    started_at: datetime
    ended_at: datetime | None = None
    pid: int | None = None
    start_ticks: int | None = None  # with boot_id, what tells this process from a later one of the same pid
    boot_id: str | None = None
    outcome: Outcome | None = None
    reason: str = ""
    exit_code: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row of the ledger: a run, or (``count`` ≥ 1 and never started) a range of fire times that did not start.

    Datetimes are aware and in UTC. For a range row `fire_time` is the first and `last_fire_time` the last.
    """

    id: str
    key: str
    task: str
    path: str  # of the note when claimed, vault-relative
    trigger: TriggerKind
    fire_time: datetime
    claimed_at: datetime
    state: RunState = RunState.CLAIMED
    snapshot: str = ""  # hash of the definition it was claimed with
    waiting_for: str = (
        ""  # slot · group · session · overlap · quota · rate limit · network · overload · retry · edit · gate
    )
    not_before: datetime | None = None  # waits until then (retry, quota)
    outcome: Outcome | None = None
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    last_fire_time: datetime | None = None
    count: int = 1
    reserved_usd: float = 0.0
    result: Result | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def never_started(self) -> bool:
        """Whether no attempt was made."""
        return self.attempts == 0

    @property
    def duration_s(self) -> float | None:
        """Seconds of wall time from the first attempt's start to the end; None while it has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())
