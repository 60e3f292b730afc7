"""The life of a run: every way through it, with a real ledger in memory and an engine that executes nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.daemon.claude_runs import ALLOWANCE, ClaudeRuns
from vault_scheduler.daemon.conversations import Questions
from vault_scheduler.daemon.dispatcher import DIED, Dispatcher
from vault_scheduler.daemon.outcomes import deliveries_for
from vault_scheduler.daemon.run_life import Reports, RunLife
from vault_scheduler.daemon.snapshots import Snapshots
from vault_scheduler.daemon.task_view import View
from vault_scheduler.daemon.troubles import Troubles
from vault_scheduler.daemon.turns import LONGEST_SETTLING
from vault_scheduler.engine import AttemptEnded, AttemptStarted, EngineEvent
from vault_scheduler.errors import LedgerUnavailable
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import TRANSIENT, Batch, Unstarted
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task
from vault_scheduler.planning.standing import State
from vault_scheduler.run import Cause, Outcome, Result, Run, RunState, TriggerKind
from vault_scheduler.settings import Settings, resolve
from vault_scheduler.task import Task
from vault_scheduler.testing import FakeClock, FakeEngine

FIRE = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
BAD = Result(outcome=Outcome.FAILURE, reason="exit 1", exit_code=1)
GOOD = Result(outcome=Outcome.SUCCESS, text="fine", exit_code=0)


def a_task(keys: str = "", kind: str = "type: command\ncommand: 'true'") -> Task:
    note = f"---\n{kind}\nevery: 1h\n{keys}\n---\nPrompt.\n"
    parsed = parse_task(Document.parse(note.encode()), "00_system/tasks/a.md", ParseContext())
    assert parsed.task is not None, parsed.problems
    return parsed.task


CLAUDE = "type: claude\nmax_usd: 0.5"


class FakeBudget:
    """Refuses when told to, and keeps the books."""

    def __init__(self) -> None:
        self.refuses = ""
        self.charged: dict[tuple[str, int], float] = {}

    def refusal(self, run: Run, task_cap: float | None, settings: Settings, now: datetime) -> str:
        return self.refuses

    def charge(self, run: Run, attempt: int, usd: float, now: datetime) -> None:
        self.charged[run.id, attempt] = usd

    def spent_by(self, run: Run) -> float:
        return sum(usd for (name, _), usd in self.charged.items() if name == run.id)

    def dearest_of(self, run: Run) -> float:
        return max((usd for (name, _), usd in self.charged.items() if name == run.id), default=0.0)


class Stage:
    """A dispatcher with everything around it in the test's hands."""

    def __init__(self, store: SqliteStore, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.events: deque[EngineEvent] = deque()
        self.engine = FakeEngine(clock, self.events.append, lambda _: None)
        self.budget = FakeBudget()
        self.reports: list[tuple[str, str]] = []
        self.hears: Callable[[Run], object] = lambda _: None  # may raise
        self.settings = Settings()
        self.show(a_task())
        self.restart()

    def show(self, task: Task | None, state: State = State.ARMED, **changes: Any) -> None:
        policies = resolve(task or a_task(), Settings())
        values: dict[str, Any] = {"settled": True, "present": True, "reason": state.value, **changes}
        self.view = View(task=task, state=state, policies=lambda: policies, **values)

    def restart(self) -> None:
        """A new daemon with the same ledger."""
        claude = ClaudeRuns(
            self.store,
            questions=Questions(),
            troubles=Troubles(lambda *_: None),
            credentials=lambda: None,
            zone=lambda: ZoneInfo("UTC"),
        )
        life = RunLife(
            store=self.store,
            engine=self.engine,
            budget=self.budget,
            claude=claude,
            snapshots=Snapshots(self.store, vault="/vault", system_folder="00_system", named_files=list),
            view=lambda _: self.view,
            report=Reports(self.hear),
            restood=lambda: {run.task for run in self.dispatcher.active()},
        )
        self.dispatcher = Dispatcher(life)

    def hear(self, run: Run, what: str) -> None:
        self.hears(run)
        self.reports.append((run.id, what))

    async def claim(self, kind: TriggerKind = TriggerKind.AT, fire_time: datetime = FIRE) -> Run:
        assert self.view.task is not None
        at = max(fire_time, self.clock.now())
        claim, snapshots = self.dispatcher.new_claim(
            self.view.task, self.view.policies(), kind, fire_time.isoformat(), fire_time, at
        )
        claimed = await self.store.save(Batch(claims=(claim,), snapshots=snapshots))
        self.dispatcher.take_over(claimed.values())
        return claimed[claim.run.key]

    async def turn(self) -> None:
        """What the scheduler does in a tick."""
        while self.events:
            event = self.events.popleft()
            if isinstance(event, AttemptStarted):
                await self.dispatcher.outcomes.attempt_started(event)
            else:
                await self.dispatcher.outcomes.attempt_ended(event)
        await self.dispatcher.turns.start_what_may(self.settings, self.clock.now())

    async def started(self, **changes: Any) -> Run:
        run = await self.claim(**changes)
        await self.turn()
        await self.turn()
        return run

    async def ends(self, run: Run, result: Result = GOOD) -> Run:
        self.engine.finish(run.id, result)
        await self.turn()
        return await self.ledger(run)

    async def ledger(self, run: Run) -> Run:
        found = await self.store.run(run.id)
        assert found is not None
        return found

    async def targets(self, run: Run) -> list[str]:
        return [delivery.target for delivery in await self.store.deliveries_of(run.id)]

    @property
    def request(self) -> RunRequest:
        return self.engine.submitted[-1]


def staged(play: Callable[[Stage], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test with a stage, in an event loop of its own."""

    async def on_stage() -> None:
        store = await SqliteStore.open(":memory:", version="0.1", owner="me")
        try:
            await play(Stage(store, FakeClock(FIRE)))
        finally:
            await store.close()

    def test() -> None:
        asyncio.run(on_stage())

    test.__name__, test.__doc__ = play.__name__, play.__doc__
    return test


@staged
async def test_a_run_is_recorded_before_it_starts_and_ends_once(stage: Stage) -> None:
    """claimed → starting (durable) → running → ended, with what is to be delivered."""
    run = await stage.claim()
    await stage.dispatcher.turns.start_what_may(stage.settings, FIRE)
    assert (await stage.ledger(run)).state is RunState.STARTING
    await stage.turn()
    assert (await stage.ledger(run)).state is RunState.RUNNING
    ended = await stage.ends(run)
    assert (ended.state, ended.outcome, ended.attempts) == (RunState.ENDED, Outcome.SUCCESS, 1)
    assert await stage.targets(run) == ["daily_log", "note"]
    assert stage.dispatcher.active() == []
    assert stage.reports == [(run.id, "started"), (run.id, "ended")]


@contextmanager
def no_commits(store: SqliteStore) -> Iterator[None]:
    """The disk takes no transaction to its end."""

    def answer(action: int, what: str | None, *_: str | None) -> int:
        return sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    store._file._db.set_authorizer(answer)
    yield
    store._file._db.set_authorizer(None)


@staged
async def test_nothing_starts_or_is_told_before_its_start_is_on_the_disk(stage: Stage) -> None:
    """A disk that does not take it leaves the run as it was; the next pass begins it."""
    run = await stage.claim()
    before = stage.dispatcher.active()
    with no_commits(stage.store), pytest.raises(LedgerUnavailable):
        await stage.turn()
    assert (stage.engine.submitted, stage.reports, stage.dispatcher.active()) == ([], [], before)
    assert (await stage.ledger(run)).state is RunState.CLAIMED
    await stage.turn()
    assert stage.reports == [(run.id, "started")]
    assert len(stage.engine.submitted) == 1


@staged
async def test_a_fault_of_whoever_hears_of_a_start_keeps_nothing_from_starting(stage: Stage) -> None:
    """What is `starting` on the disk is asked of the engine, or its runs would hold their slots for ever."""
    stage.show(a_task("overlap: allow"))
    runs = [await stage.claim(fire_time=FIRE - timedelta(seconds=number)) for number in (2, 1)]
    stage.hears = lambda run: 1 / (run.id != runs[0].id)
    with pytest.raises(ZeroDivisionError):
        await stage.turn()
    assert [request.run for request in stage.engine.submitted] == [run.id for run in runs]
    assert stage.reports == [(runs[1].id, "started")]


@staged
async def test_an_end_counts_and_is_told_once_it_is_on_the_disk(stage: Stage) -> None:
    """While the disk does not take it the run goes on, for everybody."""
    run = await stage.started()
    stage.engine.finish(run.id, GOOD)
    event = stage.events.popleft()
    assert isinstance(event, AttemptEnded)
    with no_commits(stage.store), pytest.raises(LedgerUnavailable), stage.dispatcher.outcomes.together():
        await stage.dispatcher.outcomes.attempt_ended(event)
    assert [found.state for found in stage.dispatcher.active()] == [RunState.RUNNING]
    assert stage.reports == [(run.id, "started")]
    with stage.dispatcher.outcomes.together():
        await stage.dispatcher.outcomes.attempt_ended(event)
        assert stage.reports == [(run.id, "started")]
    assert stage.reports == [(run.id, "started"), (run.id, "ended")]
    assert (await stage.ledger(run)).outcome is Outcome.SUCCESS


@staged
async def test_an_order_to_end_is_not_lost_with_a_transaction(stage: Stage) -> None:
    """An attempt that fails before it hears of the order is not made again, also if the disk took its end late."""
    stage.show(a_task("retries: 1"))
    run = await stage.started()
    await stage.dispatcher.outcomes.cancel(run.id, "stopped", FIRE)
    event = stage.events.pop()
    assert isinstance(event, AttemptEnded)
    event = replace(event, result=BAD)
    for disk in (no_commits(stage.store), nullcontext()):
        with disk, suppress(LedgerUnavailable), stage.dispatcher.outcomes.together():
            await stage.dispatcher.outcomes.attempt_ended(event)
    assert (await stage.ledger(run)).state is RunState.ENDED


@staged
async def test_what_an_end_tells_of_the_plan_is_not_lost_with_a_transaction(stage: Stage) -> None:
    """The limit that a session met is in the ledger once its end is: the next daemon waits for it, too."""
    stage.show(a_task("", CLAUDE))
    run = await stage.started()
    until = FIRE + timedelta(hours=3)
    limited = Result(outcome=Outcome.FAILURE, reason="limit", cause=Cause.QUOTA, quota_until=until, retryable=False)
    stage.engine.finish(run.id, limited)
    event = stage.events.popleft()
    assert isinstance(event, AttemptEnded)
    for disk in (no_commits(stage.store), nullcontext()):
        with disk, suppress(LedgerUnavailable), stage.dispatcher.outcomes.together():
            await stage.dispatcher.outcomes.attempt_ended(event)
    assert until.isoformat() in (await stage.store.get_meta(ALLOWANCE) or "")


@staged
async def test_a_failed_attempt_is_retried_with_growing_delay(stage: Stage) -> None:
    """The run keeps its identity; the last attempt's outcome is the run's."""
    stage.show(a_task("retries: 2\nretry_delay: 1m"))
    run = await stage.started()
    waiting = await stage.ends(run, BAD)
    assert (waiting.state, waiting.waiting_for) == (RunState.WAITING, "retry")
    assert waiting.not_before == FIRE + timedelta(minutes=1)
    assert stage.dispatcher.timed() == [waiting]
    stage.clock.advance(60)
    await stage.turn()
    await stage.turn()
    assert stage.request.attempt == 2
    again = await stage.ends(run, BAD)
    assert again.not_before == FIRE + timedelta(minutes=3)
    stage.clock.advance(120)
    await stage.turn()
    await stage.turn()
    ended = await stage.ends(run, BAD)
    assert (ended.outcome, ended.attempts) == (Outcome.FAILURE, 3)


@staged
async def test_what_cannot_be_helped_is_not_retried(stage: Stage) -> None:
    """A missing callable stays missing."""
    stage.show(a_task("retries: 2"))
    run = await stage.started()
    ended = await stage.ends(run, replace(BAD, retryable=False))
    assert (ended.outcome, ended.attempts) == (Outcome.FAILURE, 1)


@staged
async def test_a_pause_ends_what_waits_at_once(stage: Stage) -> None:
    """A retry in its delay ends as its last attempt did; a run that never started is skipped."""
    stage.show(a_task("retries: 1"))
    retry = await stage.started()
    await stage.ends(retry, BAD)
    waiting = await stage.claim(fire_time=FIRE + timedelta(hours=1))
    stage.show(a_task(), State.PAUSED)
    await stage.turn()
    ended = await stage.ledger(retry)
    assert (ended.outcome, ended.reason) == (Outcome.FAILURE, "exit 1 (not retried: paused)")
    skipped = await stage.ledger(waiting)
    assert (skipped.outcome, skipped.reason) == (Outcome.SKIPPED, "paused")


@staged
async def test_run_now_works_on_a_paused_task(stage: Stage) -> None:
    """But not on a stopped one."""
    run = await stage.claim(kind=TriggerKind.REQUEST)
    stage.show(a_task(), State.PAUSED)
    await stage.turn()
    assert (await stage.ledger(run)).state is RunState.STARTING
    await stage.ends(run)
    other = await stage.claim(kind=TriggerKind.REQUEST, fire_time=FIRE + timedelta(seconds=1))
    stage.show(a_task(), State.STOPPED)
    await stage.turn()
    assert (await stage.ledger(other)).outcome is Outcome.SKIPPED
    third = await stage.claim(kind=TriggerKind.REQUEST, fire_time=FIRE + timedelta(seconds=2))
    stage.show(a_task(), State.PAUSED, vault_is_off=True)
    await stage.turn()
    assert (await stage.ledger(third)).outcome is Outcome.SKIPPED


@pytest.mark.parametrize(
    ("state", "task", "outcome", "reason"),
    [
        (State.HELD, a_task(), Outcome.BLOCKED, "held"),
        (State.INVALID, a_task(), Outcome.BLOCKED, "invalid"),
        (State.STOPPED, a_task(), Outcome.SKIPPED, "stopped"),
        (State.OTHER_HOST, a_task(), Outcome.SKIPPED, "other-host"),
        (State.INVALID, None, Outcome.SKIPPED, "the task was deleted"),
    ],
)
def test_what_may_not_start_ends_visibly(state: State, task: Task | None, outcome: Outcome, reason: str) -> None:
    """Every claim ends in exactly one outcome, with the reason."""

    @staged
    async def play(stage: Stage) -> None:
        run = await stage.claim()
        stage.show(task, state)
        await stage.turn()
        ended = await stage.ledger(run)
        assert (ended.outcome, ended.reason) == (outcome, reason)
        assert stage.engine.submitted == []

    play()


@staged
async def test_a_start_waits_for_an_edit_and_runs_what_the_note_says_then(stage: Stage) -> None:
    """At most a minute; then it runs as it was claimed."""
    run = await stage.claim()
    stage.show(a_task(), settled=False)
    await stage.turn()
    assert (await stage.ledger(run)).waiting_for == "edit"
    stage.show(a_task("timeout: 7s", CLAUDE))
    await stage.turn()
    assert (stage.request.timeout_s, stage.request.type, stage.request.max_usd) == (7.0, "claude", 0.5)
    assert (await stage.ledger(run)).reserved_usd == 0.5


@staged
async def test_an_edit_without_end_is_not_waited_for(stage: Stage) -> None:
    """After a minute the run starts with the definition it was claimed with."""
    run = await stage.claim()
    stage.show(a_task("timeout: 7s"), settled=False)
    await stage.turn()
    stage.clock.advance(LONGEST_SETTLING.total_seconds() + 1)
    await stage.turn()
    assert (await stage.ledger(run)).state is RunState.STARTING


@staged
async def test_nothing_starts_while_the_vault_is_away(stage: Stage) -> None:
    """It waits, however long."""
    run = await stage.claim()
    stage.show(a_task(), present=False)
    stage.clock.advance(7200)
    await stage.turn()
    assert (await stage.ledger(run)).state is RunState.WAITING


@staged
async def test_limits_let_the_oldest_fire_time_start_first(stage: Stage) -> None:
    """And one run of a task at a time."""
    stage.settings = Settings(max_parallel=1)
    late = await stage.claim(fire_time=FIRE + timedelta(seconds=5))
    early = await stage.claim()
    await stage.turn()
    await stage.turn()
    assert [request.run for request in stage.engine.submitted] == [early.id]
    assert (await stage.ledger(late)).waiting_for == "overlap"
    await stage.ends(early)
    assert stage.request.run == late.id


@staged
async def test_cancelling_what_runs_and_what_waits(stage: Stage) -> None:
    """Running: the attempt is cancelled and not retried. Waiting: it ends cancelled without an attempt."""
    stage.show(a_task("retries: 3"))
    running = await stage.started()
    waiting = await stage.claim(fire_time=FIRE + timedelta(seconds=5))
    assert await stage.dispatcher.outcomes.cancel(running.id, "cancelled", stage.clock.now())
    assert await stage.dispatcher.outcomes.cancel(waiting.id, "cancelled", stage.clock.now())
    await stage.turn()
    assert (await stage.ledger(running)).outcome is Outcome.CANCELLED
    assert (await stage.ledger(waiting)).outcome is Outcome.CANCELLED
    assert not await stage.dispatcher.outcomes.cancel(running.id, "again", stage.clock.now())


# --- money


@pytest.mark.parametrize(
    ("result", "charged"),
    [
        (replace(GOOD, cost_usd=0.11), 0.11),
        (replace(BAD, cost_usd=0.62), 0.62),  # a turn more than the cap
        (GOOD, 0.5),  # no final message: nobody knows, so the whole cap
    ],
)
def test_an_attempt_is_charged_what_it_cost_or_may_have_cost(result: Result, charged: float) -> None:
    """Without a result message the cap of the run is booked (rule 9)."""

    @staged
    async def play(stage: Stage) -> None:
        stage.show(a_task("", CLAUDE))
        run = await stage.started()
        await stage.ends(run, result)
        assert stage.budget.charged == {(run.id, 1): charged}

    play()


@staged
async def test_retries_share_the_cap_of_the_run(stage: Stage) -> None:
    """The second attempt may spend what the first left; unknown costs are booked up to the rest only."""
    stage.show(a_task("retries: 1\nretry_delay: 1s", CLAUDE))
    run = await stage.started()
    await stage.ends(run, replace(BAD, cost_usd=0.2))
    stage.clock.advance(1)
    await stage.turn()
    await stage.turn()
    assert stage.request.max_usd == pytest.approx(0.3)
    await stage.ends(run, BAD)
    assert stage.budget.charged[run.id, 2] == pytest.approx(0.3)


@staged
async def test_an_attempt_that_never_began_costs_nothing(stage: Stage) -> None:
    """The program was not there: no process, no money."""
    stage.show(a_task("", CLAUDE))
    run = await stage.claim()
    await stage.dispatcher.turns.start_what_may(stage.settings, FIRE)
    stage.events.clear()
    stage.events.append(AttemptEnded(run=run.id, number=1, result=BAD, at=FIRE))
    await stage.turn()
    assert stage.budget.charged == {}


@staged
async def test_a_run_without_money_is_skipped(stage: Stage) -> None:
    """And the reason says which cap."""
    stage.budget.refuses = "budget: all spent"
    run = await stage.claim()
    await stage.turn()
    ended = await stage.ledger(run)
    assert (ended.outcome, ended.reason) == (Outcome.SKIPPED, "budget: all spent")


@staged
async def test_refused_starts_become_one_range(stage: Stage) -> None:
    """The ledger joins them; what is reported and delivered is the row that grew."""
    first = Unstarted(
        task="a", path="a.md", first=FIRE, last=FIRE, count=1, outcome=Outcome.SKIPPED, reason="budget: all spent"
    )
    await stage.store.save(Batch(unstarted=(first,)))
    stage.budget.refuses = "budget: all spent"
    run = await stage.claim(fire_time=FIRE + timedelta(hours=1))
    await stage.turn()
    (row,) = await stage.store.history("a")
    assert (row.count, row.last_fire_time) == (2, FIRE + timedelta(hours=1))
    assert row.id != run.id
    assert stage.reports[-1] == (row.id, "ended")
    assert stage.dispatcher.active() == []


@staged
async def test_the_networks_failures_are_marked(stage: Stage) -> None:
    """So that `pause_after` does not count them."""
    run = await stage.started()
    ended = await stage.ends(run, replace(BAD, transient=True))
    assert TRANSIENT in ended.extra
    assert await stage.store.consecutive_failures("a") == 0


# --- crashes


@staged
async def test_after_a_crash_what_ran_is_abandoned(stage: Stage) -> None:
    """Its processes are ended first; what it may have cost is charged."""
    stage.show(a_task("", CLAUDE))
    run = await stage.started()
    stage.engine.running.clear()
    stage.restart()
    await stage.dispatcher.recover(stage.clock.now(), 0.0)
    ended = await stage.ledger(run)
    assert (ended.outcome, ended.reason) == (Outcome.ABANDONED, DIED)
    assert stage.engine.orphans == [run.id]
    assert stage.budget.charged == {(run.id, 1): 0.5}
    assert (run.id, "found") in stage.reports


@staged
async def test_an_end_that_was_recorded_before_the_crash_counts(stage: Stage) -> None:
    """Between the end of the attempt and the end of the run: the run ends as its attempt did, not abandoned."""
    run = await stage.started()
    await stage.store.end_attempt(run.id, 1, GOOD, stage.clock.now())
    stage.restart()
    await stage.dispatcher.recover(stage.clock.now(), 0.0)
    ended = await stage.ledger(run)
    assert (ended.outcome, ended.result) == (Outcome.SUCCESS, GOOD)
    assert stage.engine.orphans == []
    assert await stage.targets(run) == ["daily_log", "note"]


@staged
async def test_a_failure_that_was_recorded_before_the_crash_is_still_retried(stage: Stage) -> None:
    """The retry is not lost with the daemon."""
    stage.show(a_task("retries: 1"))
    run = await stage.started()
    await stage.store.end_attempt(run.id, 1, BAD, stage.clock.now())
    stage.restart()
    await stage.dispatcher.recover(stage.clock.now(), 0.0)
    assert (await stage.ledger(run)).waiting_for == "retry"


@staged
async def test_an_event_that_is_told_twice_changes_nothing(stage: Stage) -> None:
    """A ledger that was locked in the middle of an event lets it be told again."""
    stage.show(a_task("retries: 1", CLAUDE))
    run = await stage.started()
    end = AttemptEnded(run=run.id, number=1, result=replace(GOOD, cost_usd=0.1), at=stage.clock.now())
    await stage.dispatcher.outcomes.attempt_ended(end)
    await stage.dispatcher.outcomes.attempt_ended(end)
    assert (await stage.ledger(run)).outcome is Outcome.SUCCESS
    assert stage.budget.charged == {(run.id, 1): 0.1}


# --- where it is told


@pytest.mark.parametrize(
    ("log", "outcome", "changed", "targets"),
    [
        ("all", Outcome.SUCCESS, False, ["note", "daily_log"]),
        ("changes", Outcome.SUCCESS, False, []),
        ("changes", Outcome.SUCCESS, True, ["note", "daily_log"]),
        ("failures", Outcome.SUCCESS, True, []),
        ("failures", Outcome.SKIPPED, True, ["note", "daily_log"]),
        ("none", Outcome.FAILURE, True, []),
    ],
)
def test_log_decides_where_a_run_is_told(log: str, outcome: Outcome, changed: bool, targets: list[str]) -> None:
    """`log` is about note and daily log together."""
    run = Run(
        id="r", key="k", task="a", path="a.md", trigger=TriggerKind.AT, fire_time=FIRE, claimed_at=FIRE, result=GOOD
    )
    assert deliveries_for(run, outcome, {"log": log}, changed=changed) == targets
    wants_output = outcome is Outcome.SUCCESS
    with_output = deliveries_for(run, outcome, {"log": log, "output": "O.md"}, changed=changed)
    assert with_output == targets + ["output"] * wants_output
