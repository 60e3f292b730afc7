"""The store: what has to survive a crash. A protocol; `SqliteStore` implements it.

Every datetime that goes in or comes out is aware and in UTC. A method that returns has committed; claims, starts,
ends and requests are on the disk by then. Any method may raise LedgerUnavailable (locked, disk full) or
LedgerCorrupt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

from vault_scheduler.ledger.conversations import OWN_SESSION, question_of
from vault_scheduler.ledger.rows import (
    ANSWER,
    ANSWERS,
    CANCELLED,
    CHANGED,
    DAILY_LOG,
    EXCUSED,
    GATE,
    NOTE,
    NOTIFY,
    OUTPUT,
    OVERLAPS,
    PARENT,
    QUESTION,
    SESSION,
    TASK_FACTS,
    TRANSIENT,
    Batch,
    Claim,
    Decision,
    Delivery,
    NoteState,
    Question,
    Request,
    RequestState,
    SessionRow,
    TaskRow,
    Unstarted,
)
from vault_scheduler.planning.incidents import Incident, Origin
from vault_scheduler.planning.mailing import Letter
from vault_scheduler.run import Attempt, Outcome, Result, Run

__all__ = [
    "ANSWER",
    "ANSWERS",
    "CANCELLED",
    "CHANGED",
    "DAILY_LOG",
    "EXCUSED",
    "GATE",
    "NOTE",
    "NOTIFY",
    "OUTPUT",
    "OVERLAPS",
    "OWN_SESSION",
    "PARENT",
    "QUESTION",
    "SESSION",
    "TASK_FACTS",
    "TRANSIENT",
    "TRIM_LIMIT",
    "Batch",
    "Claim",
    "Decision",
    "Delivery",
    "NoteState",
    "Question",
    "Request",
    "RequestState",
    "SessionRow",
    "Store",
    "TaskRow",
    "Unstarted",
    "question_of",
]


TRIM_LIMIT = 1000


class Store(Protocol):
    """The ledger as the scheduler, the writer and the commands see it."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What opening had to do that people should know (a damaged ledger was set aside)."""

    async def close(self) -> None:
        """Let go of the ledger."""

    def together(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """All that is written meanwhile is one transaction, all of it or nothing, and on the disk when it ends if it
        is `durable`; one method that fails alone leaves the others. Nobody may wait for anything else meanwhile.
        """

    async def check(self) -> str | None:
        """None while this is still the ledger that was opened; else "missing", "replaced" or "newer" (rule 10)."""

    async def reattach(self) -> None:
        """After "missing" or "replaced": all that is held open is in the ledger at its place again (rule 10)."""

    async def integrity(self) -> str:
        """Return "ok", or the first damage that was found."""

    async def size(self) -> int:
        """Bytes on disk."""

    async def trim(self, now: datetime, keep: timedelta) -> int:
        """Delete runs that ended longer ago than `keep`, and what belongs to them (rule 12); how many.

        Every task keeps its newest run. At most `TRIM_LIMIT` a call, so that nothing waits long for it.
        """

    async def idle_tasks(self, now: datetime, keep: timedelta) -> dict[str, str]:
        """Tasks that neither fire nor have run for so long, with the paths of their notes: are those still there?"""

    async def forget_all_of(self, task: str) -> None:
        """The task's note went long ago: its row, its last runs and the facts about it go, too (rule 12)."""

    async def save(self, batch: Batch) -> dict[str, Run]:
        """Commit a batch: the runs that were really claimed, by run key.

        A key that exists is not claimed again and nothing of it changes. What is taken back goes first, then unstarted
        fire times are recorded, then claims. A claimed run may come back with a longer id (two keys of one second can
        share their six hex digits) and with its fire time cut to the second: go on with what is returned.
        """

    async def task_rows(self) -> dict[str, TaskRow]:
        """All tasks that the ledger remembers, by id."""

    def source_of(self, task: str) -> str:
        """The JSON source of the task's last good definition; "" if there is none."""

    async def rename_task(self, old: str, new: str, path: str | None = None) -> None:
        """Let the task's row, history and pending deliveries go on under a new id, a new path, or both."""

    async def take_over(self, at: datetime) -> None:
        """The vault was elsewhere until now: nothing from before is caught up, nothing follows on it (rule 4)."""

    async def get_meta(self, key: str) -> str | None:
        """A fact about the ledger or its daemon: time of a host take-over, last pass, daemon start id."""

    async def set_meta(self, key: str, value: str) -> None:
        """Remember such a fact."""

    async def snapshot(self, definition: str) -> str | None:
        """The JSON of a definition that a run was claimed with, by its hash."""

    async def renew_snapshot(self, run: str, definition: str, source: str, reserved_usd: float = 0.0) -> None:
        """The run will be made with this definition (its hash and JSON) instead, and may cost this much.

        Raises RunNotFound, Refused.
        """

    async def renew_leases(self, until: datetime) -> None:
        """All runs that have not ended are this owner's until then.

        On one machine the vault's lock decides who owns them; the lease says it to those who see the ledger only.
        """

    async def active(self) -> list[Run]:
        """Runs that have not ended, by fire time."""

    async def run(self, run: str) -> Run | None:
        """A run by its id."""

    async def run_of_key(self, key: str) -> Run | None:
        """A run by its run key."""

    async def runs_of(self, task: str, limit: int = 50) -> list[Run]:
        """The task's runs, newest fire time first."""

    async def history(
        self,
        task: str | None = None,
        failed: bool = False,
        limit: int = 50,
        before: datetime | None = None,
        now: datetime | None = None,
    ) -> list[Run]:
        """Runs and range rows, newest fire time first; `failed`: failure, timeout and abandoned only.

        `before` pages on: only rows whose (last) fire time is earlier. Given `now`, what fired days ahead of it, by a
        clock that was wrong, comes last.
        """

    async def started_of_type(self, kind: str, limit: int) -> list[Run]:
        """Runs of a type of task (`claude`) that made an attempt and have ended, newest end first."""

    async def last_run_of(self, task: str, started: bool = False) -> Run | None:
        """The run of the task that ended last; with `started` only those that made an attempt."""

    async def last_started_at(self, task: str) -> datetime | None:
        """When a run of the task last began its first attempt."""

    async def consecutive_failures(self, task: str, since: datetime | None = None) -> int:
        """Failures, timeouts and abandonments since the last success, or since a moment if that is later (rule 5).

        Skipped, missed, blocked and cancelled neither count nor reset; nor do failures finished with the extra
        `TRANSIENT` (network, overload, quota) count.
        """

    async def counts(self, task: str | None = None) -> dict[str, int]:
        """How many fire times ended in each outcome, and how many runs are in each state before the end."""

    async def unstarted_since(self, after: datetime) -> list[Run]:
        """Rows of fire times that ended without an attempt, and of which the last is later than a moment."""

    async def unfollowed(self) -> list[Run]:
        """Runs that made an attempt and have ended, and whose followers no batch has brought yet; by their end."""

    async def wait(
        self, run: str, waiting_for: str, not_before: datetime | None = None, excused: int | None = None
    ) -> None:
        """The run waits: for a slot, its group, its overlap, quota or a retry. Raises RunNotFound, Refused (ended).

        `excused`: so many of its attempts use up no retry (extra `EXCUSED`).
        """

    async def wait_all(self, runs: Sequence[str], waiting_for: str) -> None:
        """All these runs, which have not ended, wait for the same, for no certain time; in one transaction."""

    async def mark_overlapping(self, run: str) -> None:
        """It is known by now that the run, which has not ended, overlaps another one of its task (extra `OVERLAPS`)."""

    async def questions(self) -> dict[str, Question]:
        """What tasks ask a person and nobody has answered yet, by task.

        `finish` opens the question of a result, in the place of the task's former one; the claim of a run with the
        extra `ANSWERS` closes it.
        """

    async def close_question(self, task: str) -> None:
        """Nobody's answer counts for what the task has asked."""

    async def session(self, name: str) -> SessionRow | None:
        """The Claude session that goes on under this name."""

    async def keep_session(self, row: SessionRow) -> None:
        """Remember which session goes on under a name, in the place of the one before."""

    async def begin_attempt(self, run: str, number: int, at: datetime) -> None:
        """The attempt is `starting`: on the disk before its process is spawned. Raises RunNotFound, Refused.

        The first attempt of a run that nobody asked for adds one to its task's `started`.
        """

    async def withdraw_attempt(self, run: str, number: int) -> Run:
        """The attempt never came to its work (its gate said no): as if it had not begun, and the run waits again."""

    async def attempt_running(
        self,
        run: str,
        number: int,
        pid: int,
        start_ticks: int | None,
        boot_id: str | None,
        at: datetime,
        is_gate: bool = False,
    ) -> None:
        """The attempt's process exists; the three numbers find it again after a crash. Raises as above.

        Said again when another process takes the place of the first one (`is_gate`); it runs since the first. While
        the gate is asked, the run waits for `GATE`.
        """

    async def order_end(self, run: str, why: str) -> None:
        """The run is being cancelled (extra `CANCELLED`), so that a crash makes no retry of it; the first why stands.

        Raises RunNotFound, Refused (ended).
        """

    async def end_attempt(self, run: str, number: int, result: Result, at: datetime, is_counted: bool = True) -> Run:
        """The attempt ended; the run has its result but goes on until `wait` (a retry) or `finish`.

        A crash between the two leaves a running run whose last attempt has ended. The first end of an attempt
        stands: who ends it again gets the run with the result that was recorded then. One that never came to its
        work (not `is_counted`) does not count for its task's `started` any more, if it is the first.
        """

    async def finish(
        self,
        run: str,
        outcome: Outcome,
        result: Result | None,
        reason: str,
        at: datetime,
        deliveries: Sequence[str] = (),
        extra: Mapping[str, str] | None = None,
    ) -> Run:
        """End the run, once: reservation released, its open attempt ended alike, deliveries pending, in one go.

        Returns the row as it stands now. A fire time that ends without an attempt joins the range row right
        before it if outcome and reason are the same; then that row is returned. Finishing again changes nothing.
        """

    async def attempts(self, run: str) -> list[Attempt]:
        """The run's attempts, first to last."""

    async def pending_deliveries(self) -> list[Delivery]:
        """Deliveries not made yet, by fire time; those put off are included, with their `not_before`."""

    async def deliveries_of(self, run: str) -> list[Delivery]:
        """All deliveries of a run."""

    async def delivered_since(self, since: datetime) -> list[Delivery]:
        """Deliveries made at or after a moment, to look whether they are still there (rule 6)."""

    async def mark_delivered(
        self,
        run: str,
        target: str,
        at: datetime,
        base_hash: str = "",
        detail: str = "",
        count: int | None = None,
    ) -> None:
        """The run is in the target. Given the `count` that was written, a row that grew meanwhile stays pending."""

    async def defer_delivery(self, run: str, target: str, not_before: datetime, why: str) -> None:
        """The delivery did not work out; try again later."""

    async def restore_delivery(self, run: str, target: str) -> bool:
        """What was delivered has vanished: pending once more. False the second time (rule 6)."""

    async def pending_notices(self) -> list[Run]:
        """Ended runs of which it is not decided yet whether people are told (target NOTIFY), by their end."""

    async def incidents(self, origin: Origin | None = None, subject: str | None = None) -> list[Incident]:
        """What is open, oldest first; of one origin or subject, or of all."""

    async def decide(self, decision: Decision, at: datetime) -> None:
        """Record incidents and letters together with the mark that they are decided on; all or nothing.

        Closing what stood takes back its letters that were not tried yet. A row that grew meanwhile stays pending.
        """

    async def told_since(self, subject: str, since: datetime) -> int:
        """How many failures and recoveries of a subject were told after a moment."""

    async def acknowledge(self, tasks: Sequence[str] | None, at: datetime) -> list[Incident]:
        """Silence what is open of these subjects (None: all) until it ends; what was silenced by this."""

    async def outbox(self) -> list[Letter]:
        """What is to be sent, oldest first."""

    async def try_letters(self, letters: Sequence[Letter], not_before: datetime) -> None:
        """They are about to be sent; if nobody comes back with how it went, they are tried again from that moment."""

    async def letters_failed(self, letters: Sequence[Letter], at: datetime, why: str) -> None:
        """They could not be sent, and wait for their next try."""

    async def letters_done(self, letters: Sequence[Letter], at: datetime, why: str = "") -> None:
        """They were sent, or (with a `why`) will never be; their texts are forgotten."""

    async def note_state(self, path: str) -> NoteState | None:
        """What we last wrote into a file."""

    async def set_note_state(self, path: str, base_hash: str, written_at: datetime) -> None:
        """Remember what we wrote into a file."""

    async def add_request(self, verb: str, task: str, args: Mapping[str, Any], at: datetime) -> str:
        """Leave a wish for whoever holds the vault; its id. `args` is plain JSON."""

    async def claim_requests(self, at: datetime) -> list[Request]:
        """New requests, oldest first; each is handed out once."""

    async def reopen_requests(self) -> int:
        """Hand out again what was claimed and never answered: call it when a daemon starts. How many there were."""

    async def answer_request(self, request: str, answer: Any, at: datetime) -> None:
        """Answer in plain JSON; the first answer stands."""

    async def request(self, request: str) -> Request | None:
        """A request by its id."""
