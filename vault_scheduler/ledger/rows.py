"""The words of the ledger: what is written into it and read from it. Plain data, times aware and in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vault_scheduler.planning.incidents import Incident
    from vault_scheduler.planning.mailing import Letter
    from vault_scheduler.run import Outcome, Run

NOTE = "note"
DAILY_LOG = "daily_log"
OUTPUT = "output"
NOTIFY = "notify"

GATE = "gate"
"""What a run waits for whose gate is being asked, or has said no."""
# Keys of the table `meta`, each with the task's id: they follow a rename.
ARMED_SINCE = "armed since: "
FOLLOWS_SINCE = "follows since: "  # ends of runs at or before it do not start a task with `after`
STARTED_AT = "started at: "  # the last time that it was started with the daemon
TASK_FACTS = (ARMED_SINCE, FOLLOWS_SINCE, STARTED_AT)

# Key in `Run.extra`: the failure was the network's or the provider's, so `pause_after` does not count it (rule 5).
TRANSIENT = "transient"
# Key in `Run.extra`: it was claimed while another run of its task had not ended (`overlap` queue and cancel).
OVERLAPS = "overlaps"
# Key in `Run.extra`: the JSON list of the vault-relative paths whose change made the run due.
CHANGED = "changed"
# Key in `Run.extra`: why the run, which still goes on, was told to end.
CANCELLED = "cancelled"
# Key in `Run.extra`: the id of the run that it comes after.
PARENT = "parent"
# Keys in `Run.extra` of a run that brings an answer: the run that asked, what it asked, the answer, the session.
ANSWERS = "answers"
QUESTION = "question"
ANSWER = "answer"
SESSION = "session"
# Key in `Run.extra`: how many of its attempts ended for no fault of the task, and use up no retry.
EXCUSED = "excused"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """What the ledger remembers of a task between two looks at its note (rules 2, 3.1, 3.2, 3.3)."""

    task: str
    path: str
    fingerprint: str  # of its triggers, as last seen
    fires: bool  # its fire times were due: to start, or (held, invalid) to end `blocked`
    watermark: datetime  # fire times at or before it are settled
    latched: bool = False  # `run_now` was seen true and has not been seen false since
    invalid_since: datetime | None = None
    source_mark: int = 0  # of its last good definition, see `mark_of`
    seen_definition: str = ""  # the hash of that
    started: int = 0  # runs that its triggers have started since it last was done (`max_runs`)
    answered: str = ""  # hash of the `answer` that was taken and has not been seen gone since


def mark_of(source: str) -> int:
    """What tells the JSON sources of definitions apart within this process, which holds no text of any note."""
    return hash(source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run to be claimed; one that is already ended (a blocked request) brings its deliveries along."""

    run: Run
    latch: bool = False  # set the task's `run_now` latch in the same transaction
    deliveries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstarted:
    """Consecutive fire times of one task that do not start: they become, or prolong, one range row."""

    task: str
    path: str
    first: datetime
    last: datetime
    count: int
    outcome: Outcome
    reason: str
    at: datetime | None = None  # when it was decided; None: the last fire time
    deliveries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """All that one tick has to record, committed together or not at all."""

    claims: tuple[Claim, ...] = ()
    unstarted: tuple[Unstarted, ...] = ()
    tasks: tuple[TaskRow, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)  # task → JSON of its last good definition, where it is new
    snapshots: Mapping[str, str] = field(default_factory=dict)  # hash of a definition → its JSON
    meta: Mapping[str, str] = field(default_factory=dict)
    taken_back: tuple[Run, ...] = ()  # rows of fire times that did not start, with what is left of them (count 0: none)
    followed: tuple[str, ...] = ()  # ended runs whose followers are all in here, or were claimed before

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to record."""
        recorded = self.claims or self.unstarted or self.taken_back or self.tasks or self.snapshots
        return not (recorded or self.meta or self.followed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A finished run on its way into one target."""

    run: str  # run id
    task: str
    path: str  # of the task's note now (it follows a rename)
    target: str  # note · daily_log · output (what is to be told to people is not among them: `pending_notices`)
    count: int = 1  # fire times of a range row
    tries: int = 0
    not_before: datetime | None = None
    why: str = ""  # it was put off
    base_hash: str = ""  # of what was written
    detail: str = ""
    done_at: datetime | None = None
    restored: bool = False  # it vanished from the target once and was put back


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from the end of a run, or from what stands wrong now; recorded in one transaction."""

    run: Run | None = None  # it needs no further decision
    keep: tuple[Incident, ...] = ()
    close: tuple[Incident, ...] = ()
    letters: tuple[Letter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a run asked a person, and nobody has answered yet."""

    task: str
    run: str  # that asked
    session: str  # that goes on with the answer; "" if nobody knows
    text: str
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A Claude session that further runs go on with."""

    name: str
    session: str  # its id
    runs: int
    turns: int
    last_attempt: str  # run id and number of the attempt that used it last
    used_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteState:
    """What we last wrote into a file, and when."""

    base_hash: str
    written_at: datetime


class RequestState(StrEnum):
    """new → claimed → answered."""

    NEW = "new"
    CLAIMED = "claimed"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A wish of the CLI or the MCP server for whoever holds the vault (rule 10)."""

    id: str
    verb: str
    task: str
    args: Mapping[str, Any]
    state: RequestState
    made_at: datetime
    answer: Any = None  # plain JSON; None until it is answered
    answered_at: datetime | None = None
