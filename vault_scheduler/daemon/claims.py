"""Claims: fire times, ticked checkboxes, requests and starts of the daemon become runs, at most once each (rule 2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.plans import Plans
from vault_scheduler.daemon.roster import Tracked
from vault_scheduler.ledger.rows import STARTED_AT
from vault_scheduler.ledger.store import (
    CHANGED,
    DAILY_LOG,
    NOTE,
    NOTIFY,
    OVERLAPS,
    PARENT,
    Claim,
    Request,
    Unstarted,
)
from vault_scheduler.planning.planner import (
    ON_TIME,
    STILL_RUNNING,
    STILL_WAITS,
    FirePlan,
    Range,
    is_first_in_line,
    plan_fire_times,
)
from vault_scheduler.planning.standing import Standing, State, vault_off
from vault_scheduler.run import Outcome, Run, RunState, TriggerKind, counts_as_run, run_id, run_key
from vault_scheduler.task import CatchUp, Overlap, Task, Topic
from vault_scheduler.triggers.schedule import Schedule

CRASH_LOOP = timedelta(minutes=10)
NOTED_LATE = "its note said so too late"

Answer = Mapping[str, str | list[str]]


class Claims:
    """Puts what is to run into the tick's plans, and commits them."""

    def __init__(self, core: Core) -> None:
        self._store, self._survey, self._roster = core.store, core.survey, core.roster
        self._dispatcher, self._scribe, self._tell = core.dispatcher, core.scribe, core.tell
        self.plans = Plans()

    async def commit(self) -> dict[str, Run]:
        """Record the plans; the runs that are claimed now, by run key.

        If the ledger cannot be written, the plans stay and are tried again: what is planned is lost by nobody.
        """
        batch = self.plans.batch()
        if batch.is_empty:
            return {}
        claimed = await self._store.save(batch)
        self.plans.clear()
        self._dispatcher.forget(left.id for left in batch.taken_back if not left.count)
        self._dispatcher.take_over(run for run in claimed.values() if run.state is not RunState.ENDED)
        return claimed

    def claim(
        self,
        task_id: str,
        kind: TriggerKind,
        detail: str,
        fire_time: datetime,
        now: datetime,
        extra: Mapping[str, str] | None = None,
    ) -> Run:
        """Put a run of a task on the roster into the plans."""
        tracked = self._roster.get(task_id)
        assert tracked is not None, "only a task on the roster is claimed"
        claim, snapshots = self._dispatcher.new_claim(
            tracked.task, tracked.policies, kind, detail, fire_time, now, extra
        )
        self.plans.claim(claim)
        self.plans.snapshots.update(snapshots)
        return claim.run

    # fire times

    def fire(self, task_id: str, tracked: Tracked, now: datetime, absence: Callable[[datetime], str]) -> bool:
        """Claim what is due, record what does not start; whether anything was claimed."""
        row = self._roster.row(task_id)
        overlapping = self.is_busy(task_id) and not self._is_in_line(task_id, tracked, absence)
        self._fire_late(task_id, tracked, now, overlapping=overlapping)
        plan = self._plan(tracked, tracked.task.schedule, row.watermark, now, absence, overlapping=overlapping)
        if plan.watermark == row.watermark:
            return False
        for fire_time in plan.claims:
            self.claim(task_id, TriggerKind.AT, "", fire_time, now, {OVERLAPS: "1"} if overlapping else None)
        for gap in plan.ranges:
            self._record(tracked, gap, now, replaced=bool(plan.claims))
        self._roster.keep(replace(row, watermark=plan.watermark), self.plans)
        return bool(plan.claims)

    def _is_in_line(self, task_id: str, tracked: Tracked, absence: Callable[[datetime], str]) -> bool:
        if tracked.policies.catch_up is not CatchUp.ALL or self.plans.claims_of(task_id):
            return False
        missed = tracked.task.schedule.next_after(self._roster.row(task_id).watermark)
        return missed is not None and is_first_in_line(self._dispatcher.of_task(task_id), missed, absence)

    def _plan(
        self,
        tracked: Tracked,
        schedule: Schedule,
        watermark: datetime,
        now: datetime,
        absence: Callable[[datetime], str],
        *,
        overlapping: bool,
    ) -> FirePlan:
        return plan_fire_times(
            schedule,
            watermark=watermark,
            now=now,
            standing=tracked.standing,
            policies=tracked.policies,
            overlapping=overlapping,
            absence=absence,
            room=self.room(tracked),
            overlap_reason=self.overlap_reason(tracked.task.id),
        )

    def fire_ahead(self, task_id: str, tracked: Tracked, fire_time: datetime, now: datetime) -> bool:
        """Claim a fire time that is a moment away; False: that is left to its time, as all is that is not plain."""
        row, task, stands = self._roster.row(task_id), tracked.task, tracked.standing
        is_plain = stands.armed and stands.until is None and task.max_runs is None and not self.is_busy(task_id)
        if not is_plain or self._roster.late_times.late(task_id) or not self._survey.settled(task.path):
            return False
        plan = plan_fire_times(
            task.schedule,
            watermark=row.watermark,
            now=fire_time,
            standing=stands,
            policies=tracked.policies,
            overlapping=False,
            absence=lambda _: "",
        )
        if plan.claims != (fire_time,) or plan.ranges or task.schedule.next_after(fire_time) is None:
            return False
        self.claim(task_id, TriggerKind.AT, "", fire_time, now)
        self._roster.keep(replace(row, watermark=plan.watermark), self.plans)
        return True

    def unclaim(self, run: Run) -> None:
        """The clock was set back before the fire time of a run that was claimed ahead of it: it is open again."""
        if any(left.id == run.id for left in self.plans.taken_back):
            return
        self.plans.taken_back.append(replace(run, count=0))
        row = self._roster.row(run.task)
        if row.watermark >= run.fire_time:
            self._roster.keep(replace(row, watermark=run.fire_time - timedelta(seconds=1)), self.plans)

    def skip(self, task_id: str, tracked: Tracked, reason: str, now: datetime) -> None:
        """Record what has come due since the last look and starts no more, because the task was switched off just then.

        A look that comes later than a fire time is on time says nothing of how the task stood at that time.
        """
        row = self._roster.row(task_id)
        due = tracked.task.schedule.due(max(row.watermark, now - ON_TIME), now, 1)
        if due is None:
            return
        gap = Range(first=due.first, last=due.newest[-1], count=due.count, outcome=Outcome.SKIPPED, reason=reason)
        self._record(tracked, gap, now)

    def _record(self, tracked: Tracked, gap: Range, now: datetime, *, replaced: bool = False) -> None:
        """Fire times that do not start get one row; `replaced`: a later one starts in their place."""
        task = tracked.task
        unstarted = Unstarted(
            task=task.id,
            path=task.path,
            first=gap.first,
            last=gap.last,
            count=gap.count,
            outcome=gap.outcome,
            reason=gap.reason,
            at=now,
            deliveries=self._deliveries(tracked, gap.outcome, replaced=replaced),
        )
        self.plans.unstarted.append(unstarted)
        self._tell(gap.outcome.value, task.id, f"{gap.count} × {gap.reason}" if gap.count > 1 else gap.reason)
        self._scribe.poke()

    def _fire_late(self, task_id: str, tracked: Tracked, now: datetime, *, overlapping: bool) -> None:
        """Claim what the note named too late; what of it does not start has rows of its own, as no watermark tells."""
        found = self._roster.late_times.take(task_id)
        if not found.late:
            return
        before = found.late[0] - timedelta(seconds=1)
        plan = self._plan(tracked, found.schedule, before, now, lambda _: NOTED_LATE, overlapping=overlapping)
        for fire_time in plan.claims:
            self.claim(task_id, TriggerKind.AT, "", fire_time, now, {OVERLAPS: "1"} if overlapping else None)
        for gap in plan.ranges:
            for fire_time in found.schedule.fires(gap.first - timedelta(seconds=1), gap.last):
                claim, _ = self._dispatcher.new_claim(
                    tracked.task, tracked.policies, TriggerKind.AT, "", fire_time, now
                )
                self.end_unstarted(claim.run, tracked, gap.outcome, gap.reason, now)

    def end_unstarted(self, run: Run, tracked: Tracked, outcome: Outcome, reason: str, now: datetime) -> None:
        """Claim a run that ends as it is claimed, where people see it."""
        self._tell(outcome.value, tracked.task.id, reason)
        self._scribe.poke()
        extra = {PARENT: run.extra[PARENT]} if PARENT in run.extra else {}
        ended = replace(
            run,
            state=RunState.ENDED,
            outcome=outcome,
            reason=reason,
            ended_at=now,
            snapshot="",
            reserved_usd=0.0,
            extra=extra,
        )
        self.plans.claim(Claim(run=ended, deliveries=self._deliveries(tracked, outcome)))

    def _deliveries(self, tracked: Tracked, outcome: Outcome, *, replaced: bool = False) -> tuple[str, ...]:
        """Where it is shown that something did not start; people are told of what is missed and not `replaced`."""
        shown = () if tracked.policies.log == "none" else (NOTE, DAILY_LOG)
        is_missed = outcome is Outcome.MISSED and not replaced
        told = is_missed and self._dispatcher.outcomes.hears(tracked.task.id, Topic.MISSED, False)
        return (*shown, NOTIFY) if told else shown

    def is_busy(self, task_id: str) -> bool:
        """Whether a run of the task has not ended, or is about to be claimed."""
        return bool(self._dispatcher.of_task(task_id)) or self.plans.claims_of(task_id)

    def overlap_reason(self, task_id: str) -> str:
        """What is told of a fire time that overlaps: runs that wait for a slot, say, may have begun none."""
        runs = self._dispatcher.of_task(task_id)
        return STILL_WAITS if runs and all(run.never_started for run in runs) else STILL_RUNNING

    def room(self, tracked: Tracked) -> int | None:
        """How many runs more may be claimed before `max_runs` is reached; None: no limit."""
        task = tracked.task
        if task.max_runs is None:
            return None
        waiting = sum(_takes_room(run, tracked.policies.overlap) for run in self._dispatcher.of_task(task.id))
        planned = sum(
            claim.run.task == task.id and claim.run.outcome is None and counts_as_run(claim.run.trigger)
            for claim in self.plans.claims
        )
        return max(0, task.max_runs - self._roster.row(task.id).started - waiting - planned)

    # run_now

    def run_now(self, task_id: str, tracked: Tracked, now: datetime) -> None:
        """Claim and latch in one transaction (rule 2); where it may not run it ends blocked, visibly."""
        row = self._roster.row(task_id)
        if tracked.standing.state is State.OTHER_HOST:
            return
        self._scribe.poke_note(task_id)  # to untick it
        if row.latched:
            return
        detail = f"run_now {now.isoformat()}"
        refusal = self.refusal(tracked.standing, now)
        if refusal:
            self.plans.claim(_blocked_claim(tracked.task, detail, refusal, now))
            self._scribe.poke()
        else:
            run = self.claim(task_id, TriggerKind.REQUEST, detail, now, now)
            self.plans.claims[-1] = Claim(run=run, latch=True)
        self._roster.keep(replace(row, latched=True), self.plans)

    def refusal(self, stands: Standing, now: datetime) -> str:
        """Why what somebody asked for may not run; "" if it may."""
        if stands.state in (State.ARMED, State.DONE):
            return ""
        if stands.state is State.PAUSED:
            return vault_off(self._survey.settings_note.in_force, now)
        return stands.reason or stands.state.value

    # on_start

    async def on_start(self, start_id: str, now: datetime) -> None:
        """Once the notes are known: tasks with `on_start`, but not in a crash loop (rule 1.7)."""
        for task_id in self._roster:
            tracked = self._roster.get(task_id)
            if tracked is None or not tracked.task.on_start:
                continue
            with self._roster.alone(task_id):
                if self._starts_with_daemon(tracked, now):
                    await self._claim_start(task_id, tracked, start_id, now)

    async def _claim_start(self, task_id: str, tracked: Tracked, start_id: str, now: datetime) -> None:
        last = await self._store.get_meta(STARTED_AT + task_id)
        if last is not None and abs(now - datetime.fromisoformat(last)) < CRASH_LOOP:
            return
        if self._claim_reaction(task_id, tracked, TriggerKind.START, start_id, now):
            self.plans.meta[STARTED_AT + task_id] = now.isoformat()

    def _starts_with_daemon(self, tracked: Tracked, now: datetime) -> bool:
        task = tracked.task
        return tracked.fires and task.schedule.covers(now) and self.room(tracked) != 0

    def _claim_reaction(
        self,
        task_id: str,
        tracked: Tracked,
        kind: TriggerKind,
        detail: str,
        now: datetime,
        extra: Mapping[str, str] | None = None,
    ) -> bool:
        """Claim a run for what happened just now; False if it ends at once, visibly: blocked, or skipped (rule 4)."""
        overlapping = self.is_busy(task_id)
        if tracked.standing.state.blocks:
            refusal = Outcome.BLOCKED, tracked.standing.reason
        elif overlapping and tracked.policies.overlap is Overlap.SKIP:
            refusal = Outcome.SKIPPED, self.overlap_reason(task_id)
        else:
            self.claim(task_id, kind, detail, now, now, {**(extra or {}), **({OVERLAPS: "1"} if overlapping else {})})
            return True
        claim, _ = self._dispatcher.new_claim(tracked.task, tracked.policies, kind, detail, now, now)
        self.end_unstarted(claim.run, tracked, *refusal, now)
        return False

    # on_change

    def change(self, task_id: str, batch: str, paths: Sequence[str], now: datetime) -> None:
        """These files have changed and rest now (rule 1.6)."""
        tracked = self._roster.get(task_id)
        assert tracked is not None, "only a task on the roster watches"
        self._claim_reaction(task_id, tracked, TriggerKind.CHANGE, batch, now, {CHANGED: json.dumps(paths)})

    # requests

    async def answer(self, request: Request, now: datetime) -> Answer:
        """Do what the command line asks for; what to say, once it is in the ledger."""
        if request.verb == "run":
            return await self._run(request, now)
        if request.verb == "cancel":
            cancelled = [run.id for run in self._dispatcher.active() if request.task in (run.task, run.id)]
            for name in cancelled:
                await self._dispatcher.outcomes.cancel(name, "cancelled", now)
            return {"cancelled": cancelled}
        return {"refused": f"this version does not know the request {request.verb!r}"}

    async def _run(self, request: Request, now: datetime) -> Answer:
        key = run_key(request.task, TriggerKind.REQUEST, request.id)
        before = await self._store.run_of_key(key)
        if before is not None:  # a daemon that died had claimed it, and could not say so
            return {"run": before.id}
        tracked = self._roster.get(request.task)
        if tracked is None:
            return {"refused": f"there is no task {request.task!r} that could run"}
        refusal = self.refusal(tracked.standing, now)
        if refusal:
            return {"refused": refusal}
        self.claim(request.task, TriggerKind.REQUEST, request.id, now, now)
        claimed = await self.commit()  # the answer says that it is claimed, so it has to be
        return {"run": claimed[key].id}


def _takes_room(run: Run, overlap: Overlap) -> bool:
    """Whether a run that has not started may yet do so when the next one is claimed, and does not give way to it."""
    gives_way = overlap is Overlap.CANCEL or (overlap is Overlap.QUEUE and OVERLAPS in run.extra)
    return run.never_started and counts_as_run(run.trigger) and not gives_way


def _blocked_claim(task: Task, detail: str, refusal: str, now: datetime) -> Claim:
    """A run that people asked for and that may not start: it ends at once, where they look."""
    key = run_key(task.id, TriggerKind.REQUEST, detail)
    run = Run(
        id=run_id(key, now),
        key=key,
        task=task.id,
        path=task.path,
        trigger=TriggerKind.REQUEST,
        fire_time=now,
        claimed_at=now,
        state=RunState.ENDED,
        outcome=Outcome.BLOCKED,
        reason=refusal,
        ended_at=now,
    )
    return Claim(run=run, latch=True, deliveries=(NOTE, DAILY_LOG))
