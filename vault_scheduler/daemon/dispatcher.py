"""The runs that have not ended (rule 5): claimed, given their turns, cancelled, found again after a crash."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from vault_scheduler.daemon.outcomes import Outcomes
from vault_scheduler.daemon.run_life import RunLife
from vault_scheduler.daemon.snapshots import cap_of, snapshot_of
from vault_scheduler.daemon.turns import Turns
from vault_scheduler.ledger.store import (
    CANCELLED,
    GATE,
    Claim,
)
from vault_scheduler.planning.early import is_early
from vault_scheduler.planning.planner import (
    is_going,
)
from vault_scheduler.planning.quota import OUTSIDE
from vault_scheduler.run import (
    Attempt,
    Outcome,
    Result,
    Run,
    RunState,
    TriggerKind,
    fire_key,
    run_id,
    run_key,
)
from vault_scheduler.task import Policies, Task, fingerprint

DIED = "vault-sched died while it ran"


class Dispatcher:
    """Owns the runs that have not ended, and those who start them and end them."""

    def __init__(self, life: RunLife) -> None:
        self._life = life
        self.outcomes = Outcomes(life)
        self.turns = Turns(life, self.outcomes)

    def active(self) -> list[Run]:
        """All runs that have not ended."""
        return list(self._life.active.values())

    def going(self) -> list[Run]:
        """Those that occupy a slot."""
        return self._life.active.going()

    @property
    def crowded(self) -> int:
        """How many are going while others wait; 0 if none does."""
        return len(self.going()) if self._life.active.has_line else 0

    def early(self, now: datetime) -> list[Run]:
        """Those that were claimed ahead of their fire times, which have not come."""
        return [run for run in self._life.active.unjudged() if is_early(run, now)]

    def forget(self, runs: Iterable[str]) -> None:
        """The ledger does not know these any more."""
        for run in runs:
            self._life.active.pop(run, None)

    def timed(self) -> list[Run]:
        """Those that wait for a time of their own, or for an edit to settle."""
        return self._life.active.timed()

    @property
    def is_busy(self) -> bool:
        """Whether anything goes on, or waits and is to be started."""
        return any(is_going(run) or (self.turns.serves(run) and not _rests(run)) for run in self._life.active.values())

    def of_task(self, task: str) -> list[Run]:
        """The runs of a task that have not ended."""
        return self._life.active.of_task(task)

    def rename(self, old: str, new: str) -> None:
        """A task goes on under another id; its runs with it."""
        for run in self.of_task(old):
            self._life.active[run.id] = replace(run, task=new)

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
        self._life.snapshots.made(digest, task, policies)
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
            self._life.active[run.id] = run

    # crash

    async def recover(self, now: datetime, grace_s: float) -> None:
        """After a crash: what was claimed or waits goes on; what was starting or running is ended, abandoned."""
        self.take_over(await self._life.store.active())
        found = [run for run in self._life.active.values() if is_going(run)]
        self.outcomes.go_on_ending(found)
        for run in found:
            self._life.report(run, "found")
        await asyncio.gather(*(self.outcomes.alone(run, self._end_orphan(run, grace_s), now) for run in found))
        for run in found:
            await self.outcomes.alone(run, self._settle_found(run, now), now)

    async def _last_attempt(self, run: Run) -> Attempt:
        return (await self._life.store.attempts(run.id))[-1]  # it begins together with the run's being `starting`

    async def _end_orphan(self, run: Run, grace_s: float) -> None:
        attempt = await self._last_attempt(run)
        if attempt.state is not RunState.ENDED:
            await self._life.engine.end_orphan(run.id, attempt.pid, attempt.start_ticks, attempt.boot_id, grace_s)

    async def _settle_found(self, before: Run, now: datetime) -> None:
        """An end that was recorded before the crash stands."""
        if before.id not in self._life.active:
            return
        attempt = await self._last_attempt(before)
        in_gate = before.waiting_for == GATE and attempt.state is not RunState.ENDED
        is_uncounted = in_gate and attempt.number == 1 and not (await self._life.snapshots.of(before))["retries"]
        run = await self._life.store.end_attempt(
            attempt.run, attempt.number, end_of_orphan(before), now, is_counted=not is_uncounted
        )
        if is_uncounted:
            self._life.report(run, "withdrawn")
        # Nobody knows whether a `starting` one was spawned: what it may have cost is charged. What its gate kept from
        # starting has cost nothing.
        await self.outcomes.settle(run, spawned=not in_gate, now=attempt.ended_at or now)


def _rests(run: Run) -> bool:
    """Whether it waits for what is outside of this machine: for hours perhaps, and for nothing that we do."""
    return run.state is RunState.WAITING and run.waiting_for in OUTSIDE


def end_of_orphan(run: Run) -> Result:
    """How an attempt ends whose daemon died during it: as it was told to, if it was told to end."""
    why = run.extra.get(CANCELLED)
    if why is None:
        return Result(outcome=Outcome.ABANDONED, reason=DIED)
    return Result(outcome=Outcome.CANCELLED, reason=why)
