"""Whose turn it is (rule 4): runs that wait are started, given up, or written down as waiting."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from vault_scheduler.daemon.conversations import session_name
from vault_scheduler.daemon.outcomes import Outcomes
from vault_scheduler.daemon.run_life import RunLife
from vault_scheduler.daemon.snapshots import cap_of, late_limit, snapshot_of
from vault_scheduler.daemon.task_view import View, runs_while
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.ledger.store import (
    OVERLAPS,
)
from vault_scheduler.planning.early import has_come, is_early, refusal
from vault_scheduler.planning.planner import DELETED, Candidate, Limits, Turn, is_going, superseded, take_turns
from vault_scheduler.planning.quota import QUOTA, Hold
from vault_scheduler.planning.standing import State
from vault_scheduler.run import (
    Outcome,
    Run,
    RunState,
    TriggerKind,
    counts_as_run,
)
from vault_scheduler.settings import Settings
from vault_scheduler.task import Overlap, TaskType, fingerprint

SUPERSEDED = "a later fire time took its place"
LONGEST_SETTLING = timedelta(seconds=60)
"""A run waits at most this long for a note that is being edited (rule 5)."""
LOOK_AHEAD = 8
"""So many more than there are free slots are looked at, for some of the first may wait for something else."""


class Turns:
    """Starts what may start."""

    def __init__(self, life: RunLife, outcomes: Outcomes) -> None:
        self._life = life
        self._outcomes = outcomes
        self._judged_with: Settings | None = None
        self._sure: Collection[str] = ()
        self._claude: set[str] = set()  # waiting runs of Claude tasks, and some that have ended since
        self.unsure: set[str] = set()  # tasks whose run did not start, for a file that they name has changed
        self.files_changed: Callable[[str], bool] = lambda task: False
        self.serves: Callable[[Run], bool] = lambda run: True  # which runs are started; the others stay as they are
        self.rests = ""  # what a run waits for whose turn it is, if nothing is to start at all

    async def start_what_may(self, settings: Settings, now: datetime, sure: Collection[str] = ()) -> None:
        """Start each waiting run whose turn it is; write down what the others wait for.

        A run whose task names a file that has changed does not start, unless it is `sure`: judged by now.
        """
        self._sure = sure
        while await self._take_turns(settings, now):
            pass  # one that is refused leaves its place to the next

    async def _take_turns(self, settings: Settings, now: datetime) -> bool:
        """Whether one whose turn it was ended without having started."""
        new = await self._judge(settings, now)
        await self._supersede(now)
        hold = self._life.claude.hold(settings, now)
        limits = Limits(
            max_parallel=settings.max_parallel,
            max_claude=self._life.claude.at_once(settings, now),
            claude_waits=hold is not None,
        )
        turns = await self._turns(limits, now)
        if not turns and not new:
            return False
        requests: list[RunRequest | None] = []
        try:
            with self._outcomes.together():
                requests += [await self._take_turn(turn, hold, settings, now) for turn in turns]
                await self._have_wait(new - {turn.run.id for turn in turns})
        finally:  # only now: that they start is on the disk, also if somebody who hears of it fails
            await self._submit_all([request for request in requests if request is not None], now)
        return any(not turn.waits_for and turn.run.id not in self._life.active for turn in turns)

    async def _submit_all(self, requests: Iterable[RunRequest], now: datetime) -> None:
        """Have the engine do it, as far as the runs are `starting`: if the ledger did not take that, they are not."""
        for request in requests:
            run = self._life.active.get(request.run)
            if run is not None and run.state is RunState.STARTING:
                await self._outcomes.alone(run, self._submit(request), now)

    async def _submit(self, request: RunRequest) -> None:
        await self._life.engine.submit(request)

    async def _take_turn(self, turn: Turn, hold: Hold | None, settings: Settings, now: datetime) -> RunRequest | None:
        """What the engine is to do, if the run starts; else it is written down what it waits for, or how it ended."""
        run = turn.run
        if turn.waits_for == QUOTA and hold is not None:
            await self._outcomes.wait(run, QUOTA, hold.until)
        elif turn.waits_for:
            await self._outcomes.wait(run, turn.waits_for, None if run.waiting_for == QUOTA else run.not_before)
        elif self.rests:
            await self._outcomes.wait(run, self.rests, None)
        else:
            return await self._outcomes.alone(run, self._begin(run, settings, now), now)
        return None

    async def _judge(self, settings: Settings, now: datetime) -> set[str]:
        """Give up what has no point any more: asked of new runs, and again when their task or the settings changed.

        Of Claude's at each pass: limits and logins change by themselves. The ids of those that were judged.
        """
        active = self._life.active
        self._claude = {name for name in self._claude if name in active}
        again = {run.id for task in self._life.restood() for run in active.of_task(task)} | self._claude
        if settings != self._judged_with:
            self._judged_with, again = settings, set(active)
        active.fresh.update(dict.fromkeys(again))
        judged: set[str] = set()
        for run in active.unjudged():
            if is_going(run) or not self.serves(run):
                active.fresh.pop(run.id)
            elif not self._is_early(run, now):  # nothing is decided before its time has come
                await self._outcomes.alone(run, self._judge_one(run, settings, now), now)
                active.fresh.pop(run.id, None)
                judged.add(run.id)
        return judged

    async def _judge_one(self, run: Run, settings: Settings, now: datetime) -> None:
        if has_come(run, now + self._life.eve):
            await self._meet_others(run, now)
        if run.id in self._life.active:
            await self._give_up_if_pointless(self._life.active[run.id], settings, now)

    async def _meet_others(self, run: Run, now: datetime) -> None:
        """It was claimed ahead of its fire time; which runs of its task it overlaps is known only now."""
        others = [other for other in self._life.active.of_task(run.task) if other.id != run.id]
        overlap = Overlap((await self._life.snapshots.of(run))["overlap"])
        if reason := refusal(overlap, others):
            await self._outcomes.end_unstarted(run, Outcome.SKIPPED, reason, now)
        elif others:
            await self._life.store.mark_overlapping(run.id)
            self._life.active[run.id] = replace(run, extra={**run.extra, OVERLAPS: "1"})

    async def _supersede(self, now: datetime) -> None:
        """Runs whose place a later fire time has taken give way."""
        active = self._life.active
        for task in list(active.crowded):
            ours = [
                run
                for run in active.of_task(task)
                if (is_going(run) or self.serves(run)) and not self._is_early(run, now)
            ]
            for candidate in superseded(await self._candidates(ours, now)):
                await self._outcomes.alone(candidate.run, self._give_way(candidate.run, now), now)

    async def _turns(self, limits: Limits, now: datetime) -> list[Turn]:
        """The turns of the first in line, as far as somebody can start; all others stay as they are."""
        going = await self._candidates(self._life.active.going(), now)
        free, size = limits.max_parallel - len(going), 0
        while True:
            size = 4 * size + max(0, free) + LOOK_AHEAD
            first = list(islice(self._waiting(now), size))
            turns = take_turns(await self._candidates(first, now), going, limits, now)
            if len(first) < size or sum(not turn.waits_for for turn in turns) >= free:
                return turns

    def _waiting(self, now: datetime) -> Iterator[Run]:
        """Those that wait for their turn, the first one first."""
        return (run for run in self._life.active.in_line() if self.serves(run) and not self._is_early(run, now))

    def _is_early(self, run: Run, now: datetime) -> bool:
        return is_early(run, now + self._life.eve)

    async def _have_wait(self, new: set[str]) -> None:
        """Whoever is new and too far behind to be looked at waits for a slot."""
        runs = [self._life.active[name] for name in new if name in self._life.active]
        await self._outcomes.wait_all([run for run in runs if run.state is RunState.CLAIMED], "slot")

    async def _candidates(self, runs: Iterable[Run], now: datetime) -> list[Candidate]:
        found = [await self._outcomes.alone(run, self._candidate(run), now) for run in runs]
        return [candidate for candidate in found if candidate is not None]

    async def _candidate(self, run: Run) -> Candidate:
        snapshot = await self._life.snapshots.of(run)
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
            await self._outcomes.cancel(run.id, SUPERSEDED, now)
        else:
            await self._outcomes.end_unstarted(run, Outcome.SKIPPED, SUPERSEDED, now)

    async def _give_up_if_pointless(self, run: Run, settings: Settings, now: datetime) -> None:
        view = self._life.view(run.task)
        is_claude = (await self._life.snapshots.of(run))["type"] == TaskType.CLAUDE
        if is_claude:
            self._claude.add(run.id)
        if view.task is None:
            await self._outcomes.end_unstarted(run, Outcome.SKIPPED, DELETED, now)
        elif run.trigger is TriggerKind.ANSWER and view.task.type is not TaskType.CLAUDE:
            await self._outcomes.end_unstarted(run, Outcome.SKIPPED, "the task is no Claude task any more", now)
        elif view.state.blocks:
            await self._outcomes.end_unstarted(run, Outcome.BLOCKED, view.reason, now)
        elif view.state is not State.ARMED and not runs_while(run, view):
            await self._outcomes.end_unstarted(run, Outcome.SKIPPED, view.reason, now)
        elif is_claude and (limit := self._life.claude.refusal(run, settings, view.next_fire, now)):
            await self._outcomes.end_unstarted(run, *limit, now)

    async def give_up_late(self, away: timedelta, why: str, now: datetime) -> None:
        """Nobody was there for so long: what waited meanwhile is as late as that, and perhaps too late (rule 5).

        Waiting while somebody is there never makes a run late, and what a person asked for is never too late.
        """
        for run in [r for r in self._life.active.values() if not is_going(r) and counts_as_run(r.trigger)]:
            await self._outcomes.alone(run, self._give_up_if_late(run, min(away, now - run.claimed_at), why, now), now)

    async def _give_up_if_late(self, run: Run, late: timedelta, why: str, now: datetime) -> None:
        limit = late_limit(await self._life.snapshots.of(run))
        if limit is not None and late > limit:
            await self._outcomes.end_unstarted(run, Outcome.MISSED, why, now)

    async def _begin(self, run: Run, settings: Settings, now: datetime) -> RunRequest | None:
        """The run's next attempt is `starting`, and this is asked of the engine; None if nothing starts."""
        await self._give_up_if_pointless(run, settings, now)
        if run.id not in self._life.active:
            return None
        if run.task not in self._sure and self.files_changed(run.task):
            self.unsure.add(run.task)
            return None
        view = self._life.view(run.task)
        if not view.present or (not view.settled and now - run.claimed_at < LONGEST_SETTLING):
            await self._outcomes.wait(run, "edit", None)
            return None
        run = await self._follow_edit(run, view)
        snapshot = await self._life.snapshots.of(run)
        too_dear = self._life.budget.refusal(run, snapshot["action"].get("max_usd_day"), settings, now)
        if too_dear:
            await self._outcomes.end_unstarted(run, Outcome.SKIPPED, too_dear, now)
            return None
        number = run.attempts + 1
        begins = run.fire_time if now < run.fire_time <= now + self._life.eve else now
        await self._life.store.begin_attempt(run.id, number, begins)
        self._life.active[run.id] = run = replace(
            run,
            state=RunState.STARTING,
            attempts=number,
            started_at=run.started_at or begins,
            not_before=None,
            waiting_for="",
        )
        self._life.report(run, "started")
        cap = max(0.0, run.reserved_usd - self._life.budget.spent_by(run)) if run.reserved_usd else None
        request = await self._life.snapshots.request(run, max_usd=cap, now=now)
        return replace(request, **await self._life.claude.going_on(run, snapshot))

    async def prepare(self, run: Run, now: datetime) -> None:
        """Its fire time is a moment away: what its first attempt takes is got ready. Of a session that is too early."""
        if run.reserved_usd:
            return
        request = await self._life.snapshots.request(replace(run, attempts=1), max_usd=None, now=now)
        if request.type != TaskType.CLAUDE:
            await self._life.engine.prepare(request)

    async def _follow_edit(self, run: Run, view: View) -> Run:
        """A first attempt that had to wait, for an edit to settle or its turn, runs what the note says now (rule 5)."""
        if run.state is not RunState.WAITING or run.attempts or view.task is None:
            return run
        policies = view.policies()
        if self._life.snapshots.is_of(run, view.task, policies):
            return run
        snapshot = snapshot_of(view.task, policies)
        digest = fingerprint(snapshot)
        if digest == run.snapshot:
            return run
        reserved = cap_of(view.task)
        await self._life.store.renew_snapshot(run.id, digest, json.dumps(snapshot, sort_keys=True), reserved)
        self._life.active[run.id] = run = replace(run, snapshot=digest, reserved_usd=reserved)
        return run
