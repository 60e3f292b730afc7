"""The life of a run (rule 5): from a claim through waiting, attempts and retries to its one outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.active_runs import ActiveRuns
from vault_scheduler.daemon.claude_runs import ClaudeRuns, excused
from vault_scheduler.daemon.conversations import session_name
from vault_scheduler.daemon.snapshots import Snapshots, cap_of, late_limit, snapshot_of
from vault_scheduler.daemon.troubles import NO_LEDGER
from vault_scheduler.engine import AttemptEnded, AttemptStarted, Engine
from vault_scheduler.errors import internal
from vault_scheduler.ledger.store import (
    CANCELLED,
    DAILY_LOG,
    EXCUSED,
    GATE,
    NOTE,
    NOTIFY,
    OVERLAPS,
    TRANSIENT,
    Claim,
    Store,
)
from vault_scheduler.planning.budget import charge
from vault_scheduler.planning.incidents import topic_of
from vault_scheduler.planning.planner import (
    Candidate,
    Limits,
    State,
    is_going,
    retry_delay,
    superseded,
    take_turns,
)
from vault_scheduler.planning.quota import OUTSIDE, QUOTA, Skip, Wait, clock_words
from vault_scheduler.run import (
    Attempt,
    Outcome,
    Result,
    Run,
    RunState,
    TriggerKind,
    counts_as_run,
    fire_key,
    run_id,
    run_key,
)
from vault_scheduler.settings import Settings
from vault_scheduler.task import Overlap, Policies, Task, TaskType, Topic, fingerprint
from vault_scheduler.telling.summary import duration_words

T = TypeVar("T")
DIED = "vault-sched died while it ran"
SUPERSEDED = "a later fire time took its place"
Hears = Callable[[str, Topic | None, bool], bool]
"""Takes a task, what the end of its run is about, and whether it had started."""
LONGEST_SETTLING = timedelta(seconds=60)
"""A run waits at most this long for a note that is being edited (rule 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How the scheduler sees a task right now: what the dispatcher asks before it starts a run."""

    task: Task | None  # None: there is no such task any more
    state: State
    reason: str
    policies: Policies
    settled: bool  # the note has been left alone long enough
    present: bool  # the vault is there
    vault_is_off: bool = False  # paused or stopped as a whole
    next_fire: Callable[[], datetime | None] = lambda: None  # the fire time that comes after now, of one that fires


class Budget(Protocol):
    """Who is asked before money is spent (rule 9)."""

    def refusal(self, run: Run, task_cap: float | None, settings: Settings, now: datetime) -> str:
        """Why a run that reserves `run.reserved_usd` may not start now; "" if it may."""

    def charge(self, run: Run, attempt: int, usd: float, now: datetime) -> None:
        """Book what an attempt cost; booking it again changes nothing."""

    def spent_by(self, run: Run) -> float:
        """What the attempts of a run have cost so far (US dollars)."""


def deliveries_for(run: Run, outcome: Outcome, snapshot: Mapping[str, Any], *, changed: bool) -> list[str]:
    """Where a finished run is delivered: note and daily log as `log` says, `output` after a success."""
    log = snapshot.get("log", "all")
    wanted = {
        "all": True,
        "changes": changed,
        "failures": outcome is not Outcome.SUCCESS,
        "none": False,
    }[log]
    asks = run.result is not None and run.result.question
    targets = ["note", "daily_log"] if wanted or asks else []
    if snapshot.get("output") and outcome is Outcome.SUCCESS and run.result is not None and run.result.text:
        targets.append("output")
    return targets


class Dispatcher:
    """Owns the runs that have not ended; the ledger is written first, memory follows."""

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        budget: Budget,
        view: Callable[[str], View],
        vault: str,
        system_folder: str,
        report: Callable[[Run, str], None],
        claude: ClaudeRuns,
        named_files: Callable[[], list[str]] = list,
    ) -> None:
        self._store = store
        self._engine = engine
        self._budget = budget
        self._view = view
        self._report = report
        self._claude = claude
        self.hears: Hears = lambda task, topic, started: False  # whether people may have to be told of an end
        self.serves: Callable[[Run], bool] = lambda run: True  # which runs are started; the others stay as they are
        self._active = ActiveRuns()
        self._cancelling: set[str] = set()
        self._snapshots = Snapshots(store, vault=vault, system_folder=system_folder, named_files=named_files)

    # what is going on

    def active(self) -> list[Run]:
        """All runs that have not ended."""
        return list(self._active.values())

    @property
    def is_busy(self) -> bool:
        """Whether anything goes on, or waits and is to be started."""
        return any(is_going(run) or (self.serves(run) and not _rests(run)) for run in self._active.values())

    def of_task(self, task: str) -> list[Run]:
        """The runs of a task that have not ended."""
        return self._active.of_task(task)

    def next_moment(self) -> datetime | None:
        """When a waiting run is to be looked at again."""
        return min((run.not_before for run in self._active.values() if run.not_before), default=None)

    def rename(self, old: str, new: str) -> None:
        """A task goes on under another id; its runs with it."""
        for run in self.of_task(old):
            self._active[run.id] = replace(run, task=new)

    # claims

    def new_claim(
        self,
        task: Task,
        policies: Policies,
        kind: TriggerKind,
        detail: str,
        fire_time: datetime,
        now: datetime,
        extra: Mapping[str, str] | None = None,
    ) -> tuple[Claim, dict[str, str]]:
        """A claim for `task` and the snapshot that it refers to; the caller saves both in one batch."""
        snapshot = snapshot_of(task, policies)
        digest = fingerprint(snapshot)
        key = fire_key(task.id, fire_time) if kind is TriggerKind.AT else run_key(task.id, kind, detail)
        run = Run(
            id=run_id(key, fire_time),
            key=key,
            task=task.id,
            path=task.path,
            trigger=kind,
            fire_time=fire_time,
            claimed_at=now,
            snapshot=digest,
            reserved_usd=cap_of(task),
            extra=dict(extra or {}),
        )
        return Claim(run=run), {digest: json.dumps(snapshot, sort_keys=True)}

    def take_over(self, runs: Iterable[Run]) -> None:
        """Runs that were claimed (and are in the ledger) are ours to bring to an end."""
        for run in runs:
            self._active[run.id] = run

    # turns

    async def start_what_may(self, settings: Settings, now: datetime) -> None:
        """Start each waiting run whose turn it is; write down what the others wait for."""
        while await self._take_turns(settings, now):
            pass  # one that is refused leaves its place to the next

    async def _take_turns(self, settings: Settings, now: datetime) -> bool:
        """Whether one whose turn it was ended without having started."""
        for run in [r for r in self._active.values() if not is_going(r) and self.serves(r)]:
            await self._alone(run, self._give_up_if_pointless(run, settings, now), now)
        ours = [run for run in self._active.values() if is_going(run) or self.serves(run)]
        found = [await self._alone(run, self._candidate(run), now) for run in ours]
        candidates = [candidate for candidate in found if candidate is not None]
        for candidate in superseded(candidates):
            await self._alone(candidate.run, self._give_way(candidate.run, now), now)
        candidates = [candidate for candidate in candidates if candidate.run.id in self._active]
        going = [c for c in candidates if is_going(c.run)]
        waiting = [c for c in candidates if not is_going(c.run)]
        hold = self._claude.hold(settings, now)
        limits = Limits(
            max_parallel=settings.max_parallel,
            max_claude=self._claude.at_once(settings, now),
            claude_waits=hold is not None,
        )
        turns = take_turns(waiting, going, limits, now)
        for turn in turns:
            if turn.waits_for == QUOTA and hold is not None:
                await self._wait(turn.run, QUOTA, hold.until)
            elif turn.waits_for:
                await self._wait(
                    turn.run, turn.waits_for, None if turn.run.waiting_for == QUOTA else turn.run.not_before
                )
            else:
                await self._alone(turn.run, self._start(turn.run, settings, now), now)
        return any(not turn.waits_for and turn.run.id not in self._active for turn in turns)

    async def _candidate(self, run: Run) -> Candidate:
        snapshot = await self._snapshots.of(run)
        return Candidate(
            run=run,
            type=TaskType(snapshot["type"]),
            overlap=Overlap(snapshot["overlap"]),
            group=snapshot.get("group", ""),
            overlaps=OVERLAPS in run.extra,
            session=session_name(run.task, snapshot),
        )

    async def _give_way(self, run: Run, now: datetime) -> None:
        """A later fire time takes the place of this run."""
        if is_going(run):
            await self.cancel(run.id, SUPERSEDED, now)
        else:
            await self._end_unstarted(run, Outcome.SKIPPED, SUPERSEDED, now)

    async def _give_up_if_pointless(self, run: Run, settings: Settings, now: datetime) -> None:
        view = self._view(run.task)
        is_claude = (await self._snapshots.of(run))["type"] == TaskType.CLAUDE
        if view.task is None:
            await self._end_unstarted(run, Outcome.SKIPPED, "the task was deleted", now)
        elif view.state.blocks:
            await self._end_unstarted(run, Outcome.BLOCKED, view.reason, now)
        elif view.state is not State.ARMED and not _runs_while(run, view):
            await self._end_unstarted(run, Outcome.SKIPPED, view.reason, now)
        elif is_claude and (refusal := self._claude.refusal(run, settings, view.next_fire, now)):
            await self._end_unstarted(run, *refusal, now)

    async def give_up_late(self, away: timedelta, why: str, now: datetime) -> None:
        """Nobody was there for so long: what waited meanwhile is as late as that, and perhaps too late (rule 5).

        Waiting while somebody is there never makes a run late, and what a person asked for is never too late.
        """
        for run in [r for r in self._active.values() if not is_going(r) and counts_as_run(r.trigger)]:
            await self._alone(run, self._give_up_if_late(run, min(away, now - run.claimed_at), why, now), now)

    async def _give_up_if_late(self, run: Run, late: timedelta, why: str, now: datetime) -> None:
        limit = late_limit(await self._snapshots.of(run))
        if limit is not None and late > limit:
            await self._end_unstarted(run, Outcome.MISSED, why, now)

    async def _end_unstarted(self, run: Run, outcome: Outcome, reason: str, now: datetime) -> None:
        """A run that waits will not go on: skipped, missed or blocked, or as its last attempt ended if it had one."""
        if run.attempts:
            outcome = run.result.outcome if run.result else Outcome.ABANDONED
            reason = f"{run.result.reason if run.result else ''} (not retried: {reason})".strip()
        await self._finish(run, outcome, reason, now)

    async def _wait(self, run: Run, waits_for: str, not_before: datetime | None, excused: int | None = None) -> None:
        if run.state is RunState.WAITING and run.waiting_for == waits_for and run.not_before == not_before:
            return
        await self._store.wait(run.id, waits_for, not_before, excused)
        extra = run.extra if excused is None else {**run.extra, EXCUSED: str(excused)}
        self._active[run.id] = waiting = replace(
            run, state=RunState.WAITING, waiting_for=waits_for, not_before=not_before, extra=extra
        )
        if QUOTA in (waits_for, run.waiting_for):
            self._report(waiting, f"waits for {waits_for}")

    async def _start(self, run: Run, settings: Settings, now: datetime) -> None:
        view = self._view(run.task)
        if not view.present or (not view.settled and now - run.claimed_at < LONGEST_SETTLING):
            await self._wait(run, "edit", None)
            return
        run = await self._follow_edit(run, view)
        snapshot = await self._snapshots.of(run)
        refusal = self._budget.refusal(run, snapshot["action"].get("max_usd_day"), settings, now)
        if refusal:
            await self._end_unstarted(run, Outcome.SKIPPED, refusal, now)
            return
        number = run.attempts + 1
        await self._store.begin_attempt(run.id, number, now)
        self._active[run.id] = run = replace(
            run,
            state=RunState.STARTING,
            attempts=number,
            started_at=run.started_at or now,
            not_before=None,
            waiting_for="",
        )
        self._report(run, "started")
        cap = max(0.0, run.reserved_usd - self._budget.spent_by(run)) if run.reserved_usd else None
        request = await self._snapshots.request(run, max_usd=cap, now=now)
        await self._engine.submit(replace(request, **await self._claude.going_on(run, snapshot)))

    async def _follow_edit(self, run: Run, view: View) -> Run:
        """A first attempt that had to wait, for an edit to settle or its turn, runs what the note says now (rule 5)."""
        if run.state is not RunState.WAITING or run.attempts or view.task is None:
            return run
        snapshot = snapshot_of(view.task, view.policies)
        digest = fingerprint(snapshot)
        if digest == run.snapshot:
            return run
        reserved = cap_of(view.task)
        await self._store.renew_snapshot(run.id, digest, json.dumps(snapshot, sort_keys=True), reserved)
        self._active[run.id] = run = replace(run, snapshot=digest, reserved_usd=reserved)
        return run

    # faults of ours

    async def _alone(self, run: Run, work: Awaitable[T], now: datetime) -> T | None:
        """An unexpected error in dealing with one run ends that run, a visible failure, and holds up no other."""
        try:
            return await work
        except NO_LEDGER:
            raise
        except Exception as error:
            if run.id not in self._active:
                raise  # it has ended, so there is no run that could tell of it
            await self._break_off(self._active[run.id], f"internal error: {internal(error)}; please report it", now)
            return None

    async def _break_off(self, run: Run, why: str, now: datetime) -> None:
        """End it without its definition, which may be what is broken; of what runs nothing may be left."""
        if is_going(run):
            await self._engine.cancel(run.id, why)
            if run.reserved_usd:
                self._budget.charge(run, run.attempts, max(0.0, run.reserved_usd - self._budget.spent_by(run)), now)
        result = Result(outcome=Outcome.FAILURE, reason=why, retryable=False)
        await self._end(run, Outcome.FAILURE, result, why, now, [NOTE, DAILY_LOG])

    # ends

    async def attempt_started(self, event: AttemptStarted) -> None:
        """The engine has a process for it."""
        run = self._active.get(event.run)
        if run is not None:
            await self._alone(run, self._is_running(run, event), event.at)

    async def _is_running(self, run: Run, event: AttemptStarted) -> None:
        await self._store.attempt_running(
            event.run, event.number, event.pid, event.start_ticks, event.boot_id, event.at, event.is_gate
        )
        self._active[run.id] = replace(run, state=RunState.RUNNING, waiting_for=GATE if event.is_gate else "")

    async def attempt_ended(self, event: AttemptEnded) -> None:
        """Record it, then retry or end the run with this attempt's outcome."""
        run = self._active.get(event.run)
        if run is not None:
            await self._alone(run, self._take_end(run, event), event.at)

    async def _take_end(self, run: Run, event: AttemptEnded) -> None:
        if event.result.outcome is Outcome.SKIPPED:
            await self._withdraw(run, event)
            return
        spawned = run.state is RunState.RUNNING
        await self._settle(replace(run, result=event.result), spawned=spawned, now=event.at)

    async def _withdraw(self, run: Run, event: AttemptEnded) -> None:
        """The gate said no: the run has not started, and ends as what never starts does."""
        waiting = await self._store.withdraw_attempt(event.run, event.number)
        self._active[run.id] = waiting = replace(waiting, result=run.result)
        if waiting.never_started:
            self._report(waiting, "withdrawn")
        await self._end_unstarted(waiting, Outcome.SKIPPED, event.result.reason, event.at)

    async def _settle(self, run: Run, *, spawned: bool, now: datetime) -> None:
        """The run's last attempt has ended: pay for it, then retry or end the run, in one transaction with it."""
        assert run.result is not None, "an attempt ends with a result"
        if run.reserved_usd and spawned:
            left = max(0.0, run.reserved_usd - self._budget.spent_by(run))
            cost = run.result.cost_usd
            self._budget.charge(run, run.attempts, charge(cost, left, complete=cost is not None), now)
        await self._claude.learn(run, await self._snapshots.of(run), now)
        await self._conclude(run, now)

    async def _conclude(self, run: Run, now: datetime) -> None:
        result = run.result
        assert result is not None
        snapshot = await self._snapshots.of(run)
        is_over = run.id in self._cancelling or self._is_spent(run)
        found = self._claude.respite(run, snapshot, self._view(run.task).next_fire, now)
        counted = run.attempts - excused(run)
        if isinstance(found, Wait) and not is_over:
            again = f"waits for {found.waits_for} until {clock_words(found.until, ZoneInfo(snapshot['timezone']))}"
            await self._go_on_later(run, again, found.waits_for, found.until, now, excused(run) + 1)
        elif isinstance(found, Skip):
            run = await self._store.end_attempt(run.id, run.attempts, result, now)  # which ended otherwise than its run
            await self._finish(run, Outcome.SKIPPED, found.reason, now)
        elif result.outcome.is_failed and result.retryable and counted <= snapshot["retries"] and not is_over:
            delay = retry_delay(Policies(retry_delay=timedelta(seconds=snapshot["retry_delay_s"])), counted)
            again = f"again in {duration_words(delay.total_seconds())}"
            await self._go_on_later(run, again, "retry", now + delay, now)
        else:
            await self._finish(run, result.outcome, result.reason, now)

    def _is_spent(self, run: Run) -> bool:
        """Whether no cent of its `max_usd` is left, so that another attempt could do nothing."""
        return bool(run.reserved_usd) and self._budget.spent_by(run) >= run.reserved_usd

    async def _go_on_later(
        self, run: Run, told: str, waits_for: str, until: datetime, now: datetime, excused: int | None = None
    ) -> None:
        result = run.result
        assert result is not None, "an attempt ends with a result"
        run = await self._store.end_attempt(run.id, run.attempts, result, now)
        await self._wait(run, waits_for, until, excused)
        self._report(self._active[run.id], f"attempt {run.attempts}: {result.outcome.value} · {result.reason}; {told}")

    async def _finish(self, run: Run, outcome: Outcome, reason: str, now: datetime) -> None:
        snapshot = await self._snapshots.of(run)
        run = self._claude.reopened(await self._at_its_price(run, now), outcome, reason)
        before = await self._store.last_run_of(run.task, started=bool(run.attempts))
        changed = before is None or before.outcome != outcome or _text(before.result) != _text(run.result)
        targets = deliveries_for(run, outcome, snapshot, changed=changed)
        await self._end(run, outcome, run.result, reason, now, targets)

    async def _at_its_price(self, run: Run, now: datetime) -> Run:
        """The run with what all its attempts were charged; the last one keeps a cost of its own, or none."""
        if not (run.reserved_usd and run.attempts and run.result):
            return run
        charged = self._budget.spent_by(run)
        if charged == (run.result.cost_usd or 0.0):
            return run
        await self._store.end_attempt(run.id, run.attempts, run.result, now)
        return replace(run, result=replace(run.result, cost_usd=charged))

    async def _end(
        self, run: Run, outcome: Outcome, result: Result | None, reason: str, now: datetime, targets: Sequence[str]
    ) -> None:
        extra = {TRANSIENT: "1"} if result is not None and result.transient else None
        topic = topic_of(replace(run, outcome=outcome, reason=reason))
        told = [NOTIFY] if self.hears(run.task, topic, bool(run.attempts)) else []
        ended = await self._store.finish(run.id, outcome, result, reason, now, [*targets, *told], extra)
        self._active.pop(run.id, None)
        self._cancelling.discard(run.id)
        self._report(ended, "ended")

    # cancel, crash

    async def cancel(self, run_id: str, why: str, now: datetime) -> bool:
        """End a run: what waits is skipped, what runs is cancelled. False if it has ended already."""
        run = self._active.get(run_id)
        if run is not None:
            await self._alone(run, self._cancel(run, why, now), now)
        return run is not None

    async def _cancel(self, run: Run, why: str, now: datetime) -> None:
        if is_going(run):
            if run.id not in self._cancelling:
                self._cancelling.add(run.id)
                await self._engine.cancel(run.id, why)  # first: what is to stop stops, with a full disk too
                await self._store.order_end(run.id, why)
        elif run.attempts:
            await self._end_unstarted(run, Outcome.CANCELLED, why, now)
        else:
            await self._finish(run, Outcome.CANCELLED, why, now)

    async def recover(self, now: datetime, grace_s: float) -> None:
        """After a crash: what was claimed or waits goes on; what was starting or running is ended, abandoned."""
        self.take_over(await self._store.active())
        found = [run for run in self._active.values() if is_going(run)]
        self._cancelling |= {run.id for run in found if CANCELLED in run.extra}
        for run in found:
            self._report(run, "found")
        await asyncio.gather(*(self._alone(run, self._end_orphan(run, grace_s), now) for run in found))
        for run in found:
            await self._alone(run, self._settle_found(run, now), now)

    async def _last_attempt(self, run: Run) -> Attempt:
        return (await self._store.attempts(run.id))[-1]  # it begins together with the run's being `starting`

    async def _end_orphan(self, run: Run, grace_s: float) -> None:
        attempt = await self._last_attempt(run)
        if attempt.state is not RunState.ENDED:
            await self._engine.end_orphan(run.id, attempt.pid, attempt.start_ticks, attempt.boot_id, grace_s)

    async def _settle_found(self, before: Run, now: datetime) -> None:
        """An end that was recorded before the crash stands."""
        if before.id not in self._active:
            return
        attempt = await self._last_attempt(before)
        in_gate = before.waiting_for == GATE and attempt.state is not RunState.ENDED
        is_uncounted = in_gate and attempt.number == 1 and not (await self._snapshots.of(before))["retries"]
        run = await self._store.end_attempt(
            attempt.run, attempt.number, end_of_orphan(before), now, is_counted=not is_uncounted
        )
        if is_uncounted:
            self._report(run, "withdrawn")
        # Nobody knows whether a `starting` one was spawned: what it may have cost is charged. What its gate kept from
        # starting has cost nothing.
        await self._settle(run, spawned=not in_gate, now=attempt.ended_at or now)


def _runs_while(run: Run, view: View) -> bool:
    """What a person asks for works on a paused task, not on a stopped one and not in a paused vault (rule 2)."""
    return not counts_as_run(run.trigger) and view.state in (State.PAUSED, State.DONE) and not view.vault_is_off


def _rests(run: Run) -> bool:
    """Whether it waits for what is outside of this machine: for hours perhaps, and for nothing that we do."""
    return run.state is RunState.WAITING and run.waiting_for in OUTSIDE


def end_of_orphan(run: Run) -> Result:
    """How an attempt ends whose daemon died during it: as it was told to, if it was told to end."""
    why = run.extra.get(CANCELLED)
    if why is None:
        return Result(outcome=Outcome.ABANDONED, reason=DIED)
    return Result(outcome=Outcome.CANCELLED, reason=why)


def _text(result: Result | None) -> str:
    return result.text if result else ""
