"""The loop and the one owner of state: look, plan, claim, start, deliver, sleep (at most 30 s), again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.clock import LONGEST_WAIT_S, Clock
from vault_scheduler.dispatcher import Dispatcher, View
from vault_scheduler.engine import AttemptEnded, AttemptStarted, Engine, EngineEvent
from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable, VaultSchedError
from vault_scheduler.guard import Guard, named_files
from vault_scheduler.planner import FirePlan, State, is_going, plan_fire_times
from vault_scheduler.roster import ARMED_SINCE, Plans, Roster, Tracked
from vault_scheduler.run import Outcome, Run, RunState, TriggerKind, run_id, run_key
from vault_scheduler.settings import Settings
from vault_scheduler.store import DAILY_LOG, NOTE, Claim, Request, Store, TaskRow, Unstarted
from vault_scheduler.summary import problem_line
from vault_scheduler.survey import Survey
from vault_scheduler.task import Policies, Problem, Task, fingerprint
from vault_scheduler.vault import Vault, Written
from vault_scheduler.writer import FREQUENT, NoteView, Pace, Scribe

JUMP = timedelta(seconds=60)
"""Wall time that passed beyond awake time by more than this was a suspend or a change of the clock (rule 11)."""
CRASH_LOOP = timedelta(minutes=10)
HEARTBEAT_S = 10.0
TRY_AGAIN_S = 1.0
RESTART = "Restart the daemon: it begins a new one, or reads the one that is there."
STARTED_AT = "started at: "  # key of the ledger's meta table, with the task's id


class Scheduler:
    """Everything that changes while the daemon runs is changed by `tick`, and by nobody else."""

    def __init__(
        self,
        *,
        vault: Vault,
        store: Store,
        survey: Survey,
        guard: Guard,
        engine: Engine,
        clock: Clock,
        host: str,
        start_id: str,
        rows: dict[str, TaskRow],
        tell: Callable[[str, str, str], None],
        start_tasks: bool = True,
        only_requests: bool = False,
        grace_s: float = 10.0,
    ) -> None:
        self._vault = vault
        self.store = store
        self._survey = survey
        self._guard = guard
        self._engine = engine
        self._clock = clock
        self._host = host
        self._start_id = start_id
        self._tell = tell
        self._start_tasks = start_tasks
        self._only_requests = only_requests
        self._grace_s = grace_s
        self._events: deque[EngineEvent] = deque()
        self._plans = Plans()  # what could not be committed is in it still at the next tick
        self._touched: set[str] = set()  # tasks to be reconsidered
        self._renamed: deque[tuple[str, str]] = deque()
        self._requests: deque[Request] = deque()
        self._fault = ""  # why nothing is started: the ledger is not the one that was opened
        self._unavailable = ""
        self._told_problems: set[str] = set()
        self._ended: list[Run] = []
        self._started = False  # the first look is complete, on_start tasks are claimed
        self._absence = "not running"
        self._last_tick: tuple[datetime, float] | None = None
        self._last_beat = float("-inf")
        self._host_claimed = False
        self.wake = asyncio.Event()
        self._roster = Roster(survey, guard, host, rows)
        self.scribe = Scribe(vault=vault, store=store, surroundings=self)
        self.dispatcher = Dispatcher(
            store=store,
            engine=engine,
            budget=guard,
            view=self._view,
            vault=str(vault.root),
            system_folder=vault.system_folder,
            report=self._report_run,
            named_files=self._named_files,
        )
        guard.watch(self.dispatcher.active)

    def tracked(self, task: str) -> Tracked | None:
        """The task and how it stands, if it is one now."""
        return self._roster.get(task)

    # the loop

    def post(self, event: EngineEvent) -> None:
        """The engine says what happened to an attempt."""
        self._events.append(event)
        self.wake.set()

    def hint(self, paths: Iterable[str]) -> None:
        """The watcher says what may have changed."""
        self._survey.hint(paths)
        self.wake.set()

    async def begin(self) -> None:
        """Bring what a former daemon left to its end, before anything new starts."""
        await self.store.reopen_requests()
        await self.dispatcher.recover(self._clock.now(), self._grace_s)

    async def serve(self, stop: asyncio.Event, *, until_idle: bool = False) -> None:
        """Tick until `stop` is set, or (`until_idle`) until nothing is going on any more."""
        waker = asyncio.create_task(self._wake_at(stop))
        try:
            await self._serve(stop, until_idle)
        finally:
            waker.cancel()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake.set()

    async def _serve(self, stop: asyncio.Event, until_idle: bool) -> None:
        while not stop.is_set():
            available = await self._try_tick()
            if until_idle and available and self._started and not self.dispatcher.active() and not self._events:
                return
            await self._clock.wait(self.wake if available else stop, self.pause_s() if available else TRY_AGAIN_S)
            self.wake.clear()

    async def end(self) -> None:
        """End what runs, record it, deliver what can be delivered, and leave."""
        await self._engine.shutdown(self._grace_s)
        now, monotonic = self._clock.now(), self._clock.monotonic()
        try:
            await self._take_events()
            await self._after_ends(now)
            if self._knows_notes:
                await self.scribe.deliver(self._pace(), now, monotonic, hurry=True)
        except (LedgerUnavailable, LedgerCorrupt) as error:
            self._tell("problem", "ledger", f"{error}; what ended now is found by the next daemon")

    def pause_s(self) -> float:
        """How long nothing needs to be done, in seconds awake; at most 30."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        moments = [monotonic + LONGEST_WAIT_S, self._survey.next_look()]
        # What cannot be done now is no reason to look again at once: a vault that is away, a ledger that is gone.
        walls = [self._roster.agenda.next_moment()] if self._may_claim else []
        walls += [self.dispatcher.next_moment()] if self._knows_notes and not self._fault else []
        moments += [monotonic + (wall - now).total_seconds() for wall in walls if wall is not None]
        delivery = self.scribe.next_moment(monotonic) if self._knows_notes else None
        if delivery is not None:
            moments.append(delivery)
        return max(0.0, min(moments) - monotonic)

    async def _try_tick(self) -> bool:
        """Tick; False while the ledger cannot be used (locked, disk full): nothing starts, nothing is lost."""
        try:
            await self.tick()
        except LedgerUnavailable as error:
            if not self._unavailable:
                self._tell("problem", "ledger", f"{error}. Nothing starts until it can be used again")
            self._unavailable = str(error)
            return False
        if self._unavailable:
            self._tell("ledger", "", "it can be used again")
            self._unavailable = ""
        return True

    async def tick(self) -> None:
        """One pass: everything that is due at this moment is decided, committed and begun.

        Raises LedgerUnavailable; what was decided until then is not forgotten, and the next tick goes on with it.
        """
        now, monotonic = self._clock.now(), self._clock.monotonic()
        self._notice_absence(now, monotonic)
        await self._check_ledger(now)
        await self._take_events()
        plans = self._plans
        await self._look(now, monotonic, plans)
        if not self._fault:
            await self._take_requests(plans, now)
            if self._may_claim:
                await self._claim_start(plans, now)
                self._claim_due(plans, now)
            await self._commit(plans)
        if self._knows_notes:
            await self._stop_runs(now)
            if not self._fault:
                await self.dispatcher.start_what_may(self._settings, now)
        await self._after_ends(now)
        if self._knows_notes:
            await self.scribe.deliver(self._pace(), now, monotonic)
        self._tell_problems(now)
        await self._beat(now, monotonic)

    @property
    def _may_claim(self) -> bool:
        return self._survey.present and not self._only_requests and not self._fault

    @property
    def _knows_notes(self) -> bool:
        """Whether a task that is not there is really gone: the vault is there and its notes have been read."""
        return self._survey.present and self._survey.settings is not None and not self._survey.starting

    async def _check_ledger(self, now: datetime) -> None:
        """Somebody may have deleted or replaced the ledger or the approvals under us (rule 10)."""
        found = await self.store.check()
        fault = f"the ledger is {found}" if found else self._guard.fault()
        if fault and fault != self._fault:
            message = f"{fault}: nothing is started any more"
            problem = Problem(path=self._survey.settings_path, line=1, key="", message=message, fix=RESTART)
            self._tell("problem", "ledger", f"{message}. {RESTART}")
            self._log_once(problem, now)
        self._fault = fault

    def _notice_absence(self, now: datetime, monotonic: float) -> None:
        if self._last_tick is not None:
            wall, awake = now - self._last_tick[0], timedelta(seconds=monotonic - self._last_tick[1])
            self._absence = "asleep" if wall - awake > JUMP else "too busy"
        self._last_tick = (now, monotonic)

    async def _beat(self, now: datetime, monotonic: float) -> None:
        if monotonic - self._last_beat >= HEARTBEAT_S and not self._fault:
            self._last_beat = monotonic
            await self.store.set_meta("last pass", now.isoformat())

    # what the notes say

    @property
    def _settings(self) -> Settings:
        return self._survey.settings or Settings()

    async def _look(self, now: datetime, monotonic: float, plans: Plans) -> None:
        seen = self._survey.look(now, monotonic)
        self.scribe.changed(seen.changed_paths)
        self._renamed.extend(seen.renamed)
        self._touched |= seen.touched
        if seen.settings_changed:
            self._touched |= set(self._survey.registry.ids())
            plans.meta["settings"] = self._survey.settings_source
        while self._renamed:
            await self._rename(*self._renamed[0])
            self._renamed.popleft()
        if self._survey.settings is None:
            return
        while self._touched:
            task = next(iter(self._touched))
            self._reconsider(task, plans, now, monotonic)
            self._touched.discard(task)
        if self._settings.host is None and not self._host_claimed and not self._only_requests:
            self._host_claimed = True  # the first daemon writes its machine into a settings note that names none
            await self.scribe.write_settings(self._survey.settings_path, {"host": self._host}, monotonic)

    async def _rename(self, old: str, new: str) -> None:
        holder = self._survey.registry.holder(new)
        if holder is None:
            return
        await self.store.rename_task(old, new, holder.path)
        self._guard.rename(old, new)
        self._roster.rename(old, new, holder.path)
        self.dispatcher.rename(old, new)
        self._tell("renamed", old, f"→ {new}")

    def _reconsider(self, task_id: str, plans: Plans, now: datetime, monotonic: float) -> None:
        tracked = self._roster.reconsider(task_id, plans, now, monotonic)
        if tracked is None:
            return
        if tracked.task.run_now and not self._roster.row(task_id).latched:
            self._claim_run_now(task_id, tracked, plans, now)
        self._schedule_look(task_id)
        self.scribe.registered(task_id)
        if tracked.standing.armed and self._survey.value(tracked.task.path, "status_reason"):
            self.scribe.want(task_id, {"status_reason": None})  # a person set the task going again

    def _schedule_look(self, task_id: str) -> None:
        if not self._roster.schedule_look(task_id) and not self.dispatcher.of_task(task_id):
            self.scribe.want(task_id, {"status": "done", "status_reason": "nothing is left to fire"})

    # claims

    def _claim(
        self, task_id: str, plans: Plans, kind: TriggerKind, detail: str, fire_time: datetime, now: datetime
    ) -> Run:
        tracked = self._roster.get(task_id)
        assert tracked is not None, "only a task on the roster is claimed"
        claim, snapshots = self.dispatcher.new_claim(tracked.task, tracked.policies, kind, detail, fire_time, now)
        plans.claims.append(claim)
        plans.snapshots.update(snapshots)
        return claim.run

    def _claim_due(self, plans: Plans, now: datetime) -> None:
        for task_id in self._roster.agenda.take_due(now):
            tracked = self._roster.get(task_id)
            if tracked is None:
                continue
            if tracked.standing.until is not None and tracked.standing.until <= now:
                tracked = self._roster.restand(task_id, plans, now)
            claimed = tracked.fires and self._claim_fire_times(task_id, tracked, plans, now)
            if not claimed:
                self._schedule_look(task_id)
            else:
                self._roster.schedule_look(task_id)

    def _claim_fire_times(self, task_id: str, tracked: Tracked, plans: Plans, now: datetime) -> bool:
        """Claim what is due, record what does not start; whether anything was claimed."""
        row = self._roster.row(task_id)
        plan: FirePlan = plan_fire_times(
            tracked.task.schedule,
            watermark=row.watermark,
            now=now,
            standing=tracked.standing,
            policies=tracked.policies,
            overlapping=bool(self.dispatcher.of_task(task_id)),
            absence=self._absence,
        )
        if plan.watermark == row.watermark:
            return False
        deliveries = () if tracked.policies.log == "none" else (NOTE, DAILY_LOG)
        for gap in plan.ranges:
            plans.unstarted.append(
                Unstarted(
                    task=task_id,
                    path=tracked.task.path,
                    first=gap.first,
                    last=gap.last,
                    count=gap.count,
                    outcome=gap.outcome,
                    reason=gap.reason,
                    at=now,
                    deliveries=deliveries,
                )
            )
            self._tell(gap.outcome.value, task_id, f"{gap.count} × {gap.reason}" if gap.count > 1 else gap.reason)
        if plan.ranges:
            self.scribe.poke()
        for fire_time in plan.claims:
            self._claim(task_id, plans, TriggerKind.AT, "", fire_time, now)
        self._roster.keep(replace(row, watermark=plan.watermark), plans)
        return bool(plan.claims)

    def _claim_run_now(self, task_id: str, tracked: Tracked, plans: Plans, now: datetime) -> None:
        """Claim and latch in one transaction (rule 2); where it may not run it ends blocked, visibly."""
        if tracked.standing.state is State.OTHER_HOST:
            return
        detail = f"run_now {now.isoformat()}"
        refusal = self._refusal(tracked)
        if refusal:
            plans.claims.append(_blocked_claim(tracked.task, detail, refusal, now))
            self.scribe.poke()
        else:
            run = self._claim(task_id, plans, TriggerKind.REQUEST, detail, now, now)
            plans.claims[-1] = Claim(run=run, latch=True)
        self._roster.keep(replace(self._roster.row(task_id), latched=True), plans)
        self.scribe.poke_note(task_id)

    def _refusal(self, tracked: Tracked) -> str:
        stands = tracked.standing
        if stands.state in (State.ARMED, State.DONE) or (
            stands.state is State.PAUSED and not self._vault_is_off(self._clock.now())
        ):
            return ""
        return stands.reason or stands.state.value

    def _vault_is_off(self, now: datetime) -> bool:
        paused_until = self._settings.paused_until
        return self._settings.status.value != "active" or (paused_until is not None and paused_until > now)

    async def _claim_start(self, plans: Plans, now: datetime) -> None:
        """Once the notes are known: tasks with `on_start`, but not in a crash loop (rule 1.7)."""
        if self._started or not self._start_tasks or self._survey.starting or self._survey.settings is None:
            return
        for task_id in self._roster:
            tracked = self._roster.get(task_id)
            if tracked is None or not (tracked.task.on_start and tracked.standing.armed):
                continue
            last = await self.store.get_meta(STARTED_AT + task_id)
            if last is None or now - datetime.fromisoformat(last) >= CRASH_LOOP:
                self._claim(task_id, plans, TriggerKind.START, self._start_id, now, now)
                plans.meta[STARTED_AT + task_id] = now.isoformat()
        self._started = True

    async def _commit(self, plans: Plans) -> None:
        batch = plans.batch()
        if batch.is_empty:
            return
        claimed = await self.store.save(batch)
        plans.clear()
        self.dispatcher.take_over(run for run in claimed.values() if run.state is not RunState.ENDED)

    # requests

    async def _take_requests(self, plans: Plans, now: datetime) -> None:
        if self._survey.starting:
            return
        self._requests.extend(await self.store.claim_requests(now))
        while self._requests:
            request = self._requests[0]
            try:
                answer = await self._answer(request, plans, now)
            except LedgerUnavailable:
                raise
            except VaultSchedError as error:
                answer = {"refused": str(error)}
            await self._commit(plans)  # the answer says that it is claimed, so it has to be
            await self.store.answer_request(request.id, answer, now)
            self._requests.popleft()

    async def _answer(self, request: Request, plans: Plans, now: datetime) -> dict[str, str | list[str]]:
        if request.verb == "run":
            tracked = self._roster.get(request.task)
            if tracked is None:
                return {"refused": f"there is no task {request.task!r} that could run"}
            refusal = self._refusal(tracked)
            if refusal:
                return {"refused": refusal}
            run = self._claim(request.task, plans, TriggerKind.REQUEST, request.id, now, now)
            return {"run": run.id}
        if request.verb == "cancel":
            cancelled = [run.id for run in self.dispatcher.active() if request.task in (run.task, run.id)]
            for run_id_ in cancelled:
                await self.dispatcher.cancel(run_id_, "cancelled", now)
            return {"cancelled": cancelled}
        return {"refused": f"this version does not know the request {request.verb!r}"}

    # runs

    def _view(self, task_id: str) -> View:
        tracked = self._roster.get(task_id)
        if tracked is None:
            return View(
                task=None,
                state=State.INVALID,
                reason="",
                policies=Policies(),
                settled=True,
                present=self._survey.present,
            )
        return View(
            task=tracked.task,
            state=tracked.standing.state,
            reason=tracked.standing.reason,
            policies=tracked.policies,
            vault_is_off=self._vault_is_off(self._clock.now()),
            settled=self._survey.settled(tracked.task.path),
            present=self._survey.present,
        )

    def _named_files(self) -> list[str]:
        """The files that any task's definition names: a run without shell must not change what others execute."""
        tasks = [tracked.task for task_id in self._roster if (tracked := self._roster.get(task_id))]
        return sorted({path for task in tasks for path in named_files(task, self._vault.system_folder)})

    async def _take_events(self) -> None:
        while self._events:
            event = self._events[0]
            if isinstance(event, AttemptStarted):
                await self.dispatcher.attempt_started(event)
            elif isinstance(event, AttemptEnded):
                await self.dispatcher.attempt_ended(event)
            self._events.popleft()  # only now: what the ledger could not take is told again at the next tick

    async def _stop_runs(self, now: datetime) -> None:
        for run in self.dispatcher.active():
            tracked = self._roster.get(run.task)
            if tracked is not None and tracked.standing.state is State.STOPPED and is_going(run):
                await self.dispatcher.cancel(run.id, tracked.standing.reason, now)

    def _report_run(self, run: Run, what: str) -> None:
        if run.state is RunState.ENDED:
            self._ended.append(run)
            self._guard.run_ended(run, run.ended_at or self._clock.now())
            self.scribe.poke()
            return
        tracked = self._roster.get(run.task)
        if is_going(run):
            self._guard.run_started(run, tracked.task if tracked else None)
        self._tell(what, run.task, "")

    async def _after_ends(self, now: datetime) -> None:
        ended, self._ended = self._ended, []
        for run in ended:
            outcome = run.outcome or Outcome.ABANDONED
            self._tell(outcome.value, run.task, run.reason)
            tracked = self._roster.get(run.task)
            if tracked is None:
                continue
            self._schedule_look(run.task)
            self.scribe.registered(run.task)
            if outcome.is_failed and tracked.policies.pause_after and tracked.standing.armed:
                await self._pause_after_failures(run.task, tracked.policies.pause_after)

    async def _pause_after_failures(self, task_id: str, limit: int) -> None:
        since = await self.store.get_meta(ARMED_SINCE + task_id)
        failures = await self.store.consecutive_failures(task_id, datetime.fromisoformat(since) if since else None)
        if failures >= limit:
            self.scribe.want(task_id, {"status": "paused", "status_reason": f"{failures} failures in a row"})
            self._tell("paused", task_id, f"{failures} failures in a row")

    # the surroundings of the scribe

    def note(self, task: str) -> NoteView | None:
        """The task's note, for the scribe."""
        tracked = self._roster.get(task)
        if tracked is None:
            return None
        row = self._roster.row(task)
        schedule, fires = tracked.task.schedule, tracked.standing.armed
        next_run = schedule.next_after(max(row.watermark, self._clock.now())) if fires else None
        following = schedule.next_after(next_run) if next_run else None
        return NoteView(
            path=tracked.task.path,
            zone=ZoneInfo(tracked.task.timezone),
            next_run=next_run,
            frequent=bool(next_run and following and following - next_run < FREQUENT),
            stands=self._survey.value(tracked.task.path, "next_run"),
            keep_runs=tracked.policies.keep_runs,
            untick=row.latched and tracked.task.run_now,
            busy=any(is_going(run) and run.reserved_usd for run in self.dispatcher.of_task(task)),
        )

    def quiet_s(self, path: str) -> float:
        """For how many seconds awake nobody but us has changed the note."""
        return self._survey.quiet_s(path, self._clock.monotonic())

    def wrote(self, written: Written) -> None:
        """The scribe changed a file."""
        self._survey.wrote(written)

    def report(self, path: str, message: str, fix: str) -> None:
        """A delivery met a problem."""
        problem = Problem(path=path, line=1, key="", message=message, fix=fix)
        self._tell("problem", path, str(problem))
        self._log_once(problem, self._clock.now())

    def _pace(self) -> Pace:
        settings = self._settings
        foreign = "" if settings.host in (None, self._host) else self._host
        return Pace(
            note_quiet_s=settings.note_quiet.total_seconds(),
            note_interval_s=settings.note_interval.total_seconds(),
            zone=ZoneInfo(self._survey.timezone),
            foreign_host=foreign,
        )

    # problems

    def _tell_problems(self, now: datetime) -> None:
        """Each problem once in the daily log, until it is gone."""
        current = {str(problem): problem for problem in self._survey.problems() if problem.is_error}
        for text, problem in current.items():
            if text not in self._told_problems:
                self._tell("problem", problem.path, text)
                self._log_once(problem, now)
        self._told_problems = set(current)

    def _log_once(self, problem: Problem, now: datetime) -> None:
        local = now.astimezone(ZoneInfo(self._survey.timezone)).strftime("%H:%M")
        subject = f"{problem.key}: " if problem.key else ""
        text = problem_line(problem.path, problem.line, f"{subject}{problem.message}. {problem.fix}")
        self.scribe.log(f"p-{fingerprint(text)[:12]}", text, local)


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
