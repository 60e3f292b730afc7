"""What comes of a run's attempts (rule 5): another one later, or the run's one outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.claude_runs import excused
from vault_scheduler.daemon.run_life import RunLife
from vault_scheduler.daemon.troubles import NO_LEDGER
from vault_scheduler.engine import AttemptEnded, AttemptStarted
from vault_scheduler.errors import internal
from vault_scheduler.ledger.store import (
    CANCELLED,
    DAILY_LOG,
    EXCUSED,
    GATE,
    NOTE,
    NOTIFY,
    TRANSIENT,
)
from vault_scheduler.planning.budget import charge, not_retried
from vault_scheduler.planning.incidents import topic_of
from vault_scheduler.planning.planner import (
    is_going,
    retry_delay,
)
from vault_scheduler.planning.quota import QUOTA, Skip, Wait, clock_words
from vault_scheduler.run import (
    Outcome,
    Result,
    Run,
    RunState,
)
from vault_scheduler.task import Policies, Topic
from vault_scheduler.telling.summary import duration_words

T = TypeVar("T")
Hears = Callable[[str, Topic | None, bool], bool]
"""Takes a task, what the end of its run is about, and whether it had started."""


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


class Outcomes:
    """Ends attempts and runs, and has runs wait; the ledger is written first, memory follows."""

    def __init__(self, life: RunLife) -> None:
        self._life = life
        self._cancelling: set[str] = set()
        self.hears: Hears = lambda task, topic, started: False  # whether people may have to be told of an end

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is recorded of runs meanwhile is one transaction. Nobody hears of it before it is on the disk.

        If it does not come to that, the runs are in memory as they were. Nothing may be waited for meanwhile.
        """
        cancelling = set(self._cancelling)
        with self._life.report.held():
            try:
                with self._life.active.kept(), self._life.store.together():
                    yield
            except BaseException:
                self._cancelling = cancelling
                raise

    # attempts

    async def attempt_started(self, event: AttemptStarted, *, is_over: bool = False) -> None:
        """The engine has a process for it. `is_over`: its end is told next, and the ledger needs that alone."""
        run = self._life.active.get(event.run)
        if run is not None:
            await self.alone(run, self._is_running(run, event, is_over=is_over), event.at)

    async def _is_running(self, run: Run, event: AttemptStarted, *, is_over: bool) -> None:
        if not is_over or run.waiting_for == GATE:
            await self._life.store.attempt_running(
                event.run, event.number, event.pid, event.start_ticks, event.boot_id, event.at, event.is_gate
            )
        self._life.active[run.id] = replace(run, state=RunState.RUNNING, waiting_for=GATE if event.is_gate else "")

    async def attempt_ended(self, event: AttemptEnded) -> None:
        """Record it, then retry or end the run with this attempt's outcome."""
        run = self._life.active.get(event.run)
        if run is not None:
            await self.alone(run, self._take_end(run, event), event.at)

    async def _take_end(self, run: Run, event: AttemptEnded) -> None:
        if event.result.outcome is Outcome.SKIPPED:
            await self._withdraw(run, event)
            return
        spawned = run.state is RunState.RUNNING
        await self.settle(replace(run, result=event.result), spawned=spawned, now=event.at)

    async def _withdraw(self, run: Run, event: AttemptEnded) -> None:
        """The gate said no: the run has not started, and ends as what never starts does."""
        waiting = await self._life.store.withdraw_attempt(event.run, event.number)
        self._life.active[run.id] = waiting = replace(waiting, result=run.result)
        if waiting.never_started:
            self._life.report(waiting, "withdrawn")
        await self.end_unstarted(waiting, Outcome.SKIPPED, event.result.reason, event.at)

    async def settle(self, run: Run, *, spawned: bool, now: datetime) -> None:
        """The run's last attempt has ended: pay for it, then retry or end the run, in one transaction with it."""
        assert run.result is not None, "an attempt ends with a result"
        if run.reserved_usd and spawned:
            left = max(0.0, run.reserved_usd - self._life.budget.spent_by(run))
            cost = run.result.cost_usd
            self._life.budget.charge(run, run.attempts, charge(cost, left, complete=cost is not None), now)
        await self._life.claude.learn(run, await self._life.snapshots.of(run), now)
        await self._conclude(run, now)

    async def _conclude(self, run: Run, now: datetime) -> None:
        result = run.result
        assert result is not None
        snapshot = await self._life.snapshots.of(run)
        found = self._life.claude.respite(run, snapshot, self._life.view(run.task).next_fire, now)
        counted = run.attempts - excused(run)
        is_again = isinstance(found, Wait) or (
            result.outcome.is_failed and result.retryable and counted <= snapshot["retries"]
        )
        if isinstance(found, Skip):
            # The attempt ended otherwise than its run does.
            run = await self._life.store.end_attempt(run.id, run.attempts, result, now)
            await self._finish(run, Outcome.SKIPPED, found.reason, now)
        elif not is_again or run.id in self._cancelling or self._is_spent(run):
            await self._finish(run, result.outcome, result.reason, now)
        elif short := self._short_of_money(run):
            await self._finish(run, result.outcome, f"{result.reason} (not retried: {short})".strip(), now)
        elif isinstance(found, Wait):
            again = f"waits for {found.waits_for} until {clock_words(found.until, ZoneInfo(snapshot['timezone']))}"
            await self._go_on_later(run, again, found.waits_for, found.until, now, excused(run) + 1)
        else:
            delay = retry_delay(Policies(retry_delay=timedelta(seconds=snapshot["retry_delay_s"])), counted)
            again = f"again in {duration_words(delay.total_seconds())}"
            await self._go_on_later(run, again, "retry", now + delay, now)

    def _is_spent(self, run: Run) -> bool:
        """Whether no cent of its `max_usd` is left, so that another attempt could do nothing."""
        return bool(run.reserved_usd) and self._life.budget.spent_by(run) >= run.reserved_usd

    def _short_of_money(self, run: Run) -> str:
        """Why what is left of its `max_usd` is too little for another attempt; "" if it is enough."""
        if not run.reserved_usd:
            return ""
        return not_retried(run.reserved_usd - self._life.budget.spent_by(run), self._life.budget.dearest_of(run))

    # runs that wait

    async def _go_on_later(
        self, run: Run, told: str, waits_for: str, until: datetime, now: datetime, excused: int | None = None
    ) -> None:
        result = run.result
        assert result is not None, "an attempt ends with a result"
        run = await self._life.store.end_attempt(run.id, run.attempts, result, now)
        await self.wait(run, waits_for, until, excused)
        waiting = self._life.active[run.id]
        self._life.report(waiting, f"attempt {run.attempts}: {result.outcome.value} · {result.reason}; {told}")

    async def wait(self, run: Run, waits_for: str, not_before: datetime | None, excused: int | None = None) -> None:
        """It does not go on now, but when what it waits for is there, and not before `not_before`."""
        if run.state is RunState.WAITING and run.waiting_for == waits_for and run.not_before == not_before:
            return
        await self._life.store.wait(run.id, waits_for, not_before, excused)
        extra = run.extra if excused is None else {**run.extra, EXCUSED: str(excused)}
        self._life.active[run.id] = waiting = replace(
            run, state=RunState.WAITING, waiting_for=waits_for, not_before=not_before, extra=extra
        )
        if QUOTA in (waits_for, run.waiting_for):
            self._life.report(waiting, f"waits for {waits_for}")

    async def wait_all(self, runs: Sequence[Run], waits_for: str) -> None:
        """None of them goes on now, and all wait for the same."""
        if not runs:
            return
        await self._life.store.wait_all([run.id for run in runs], waits_for)
        for run in runs:
            self._life.active[run.id] = replace(run, state=RunState.WAITING, waiting_for=waits_for, not_before=None)

    # ends

    async def end_unstarted(self, run: Run, outcome: Outcome, reason: str, now: datetime) -> None:
        """A run that waits will not go on: skipped, missed or blocked, or as its last attempt ended if it had one."""
        if run.attempts:
            outcome = run.result.outcome if run.result else Outcome.ABANDONED
            reason = f"{run.result.reason if run.result else ''} (not retried: {reason})".strip()
        await self._finish(run, outcome, reason, now)

    async def cancel(self, run_id: str, why: str, now: datetime) -> bool:
        """End a run: what waits is skipped, what runs is cancelled. False if it has ended already."""
        run = self._life.active.get(run_id)
        if run is not None:
            await self.alone(run, self._cancel(run, why, now), now)
        return run is not None

    async def _cancel(self, run: Run, why: str, now: datetime) -> None:
        if is_going(run):
            if run.id not in self._cancelling:
                self._cancelling.add(run.id)
                await self._life.engine.cancel(run.id, why)  # first: what is to stop stops, with a full disk too
                await self._life.store.order_end(run.id, why)
        elif run.attempts:
            await self.end_unstarted(run, Outcome.CANCELLED, why, now)
        else:
            await self._finish(run, Outcome.CANCELLED, why, now)

    async def _finish(self, run: Run, outcome: Outcome, reason: str, now: datetime) -> None:
        snapshot = await self._life.snapshots.of(run)
        run = self._life.claude.reopened(await self._at_its_price(run, now), outcome, reason)
        before = await self._life.store.last_run_of(run.task, started=bool(run.attempts))
        changed = before is None or before.outcome != outcome or _text(before.result) != _text(run.result)
        targets = deliveries_for(run, outcome, snapshot, changed=changed)
        await self._end(run, outcome, run.result, reason, now, targets)

    async def _at_its_price(self, run: Run, now: datetime) -> Run:
        """The run with what all its attempts were charged; the last one keeps a cost of its own, or none."""
        if not (run.reserved_usd and run.attempts and run.result):
            return run
        charged = self._life.budget.spent_by(run)
        if charged == (run.result.cost_usd or 0.0):
            return run
        await self._life.store.end_attempt(run.id, run.attempts, run.result, now)
        return replace(run, result=replace(run.result, cost_usd=charged))

    async def _end(
        self, run: Run, outcome: Outcome, result: Result | None, reason: str, now: datetime, targets: Sequence[str]
    ) -> None:
        extra = {TRANSIENT: "1"} if result is not None and result.transient else None
        topic = topic_of(replace(run, outcome=outcome, reason=reason))
        told = [NOTIFY] if self.hears(run.task, topic, bool(run.attempts)) else []
        ended = await self._life.store.finish(run.id, outcome, result, reason, now, [*targets, *told], extra)
        self._life.active.pop(run.id, None)
        self._cancelling.discard(run.id)
        self._life.report(ended, "ended")

    def go_on_ending(self, runs: Iterable[Run]) -> None:
        """A former daemon was told to end these: their end is recorded as that."""
        self._cancelling |= {run.id for run in runs if CANCELLED in run.extra}

    # faults of ours

    async def alone(self, run: Run, work: Awaitable[T], now: datetime) -> T | None:
        """An unexpected error in dealing with one run ends that run, a visible failure, and holds up no other."""
        try:
            return await work
        except NO_LEDGER:
            raise
        except Exception as error:
            if run.id not in self._life.active:
                raise  # it has ended, so there is no run that could tell of it
            await self._break_off(
                self._life.active[run.id], f"internal error: {internal(error)}; please report it", now
            )
            return None

    async def _break_off(self, run: Run, why: str, now: datetime) -> None:
        """End it without its definition, which may be what is broken; of what runs nothing may be left."""
        if is_going(run):
            await self._life.engine.cancel(run.id, why)
            if run.reserved_usd:
                self._life.budget.charge(
                    run, run.attempts, max(0.0, run.reserved_usd - self._life.budget.spent_by(run)), now
                )
        result = Result(outcome=Outcome.FAILURE, reason=why, retryable=False)
        await self._end(run, Outcome.FAILURE, result, why, now, [NOTE, DAILY_LOG])


def _text(result: Result | None) -> str:
    return result.text if result else ""
