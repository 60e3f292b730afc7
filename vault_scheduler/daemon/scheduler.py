"""The loop and the one owner of state: look, plan, claim, start, deliver, sleep (at most 30 s), again."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta

from vault_scheduler.clock import LONGEST_WAIT_S, Clock
from vault_scheduler.daemon.changes import Changes
from vault_scheduler.daemon.claims import Claims
from vault_scheduler.daemon.dispatcher import LONGEST_SETTLING, Dispatcher
from vault_scheduler.daemon.endings import Endings
from vault_scheduler.daemon.followers import Followers
from vault_scheduler.daemon.guard import Guard
from vault_scheduler.daemon.inbox import Inbox
from vault_scheduler.daemon.roster import Roster, Tracked
from vault_scheduler.daemon.scribe import Scribe
from vault_scheduler.daemon.surroundings import NoteSurroundings
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.engine import AttemptEnded, AttemptStarted, Engine, EngineEvent
from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable
from vault_scheduler.ledger.store import Store, TaskRow
from vault_scheduler.planning.attendance import Attendance
from vault_scheduler.planning.planner import State, is_going
from vault_scheduler.planning.registry import Copy
from vault_scheduler.run import Run, RunState
from vault_scheduler.task import Problem, TaskType
from vault_scheduler.vault.vault import Vault

RECALLED = 1000
"""So many Claude runs of former daemons are looked at for what they may have written."""
HEARTBEAT_S = 10.0
LEASE = timedelta(seconds=60)
"""So long after our last heartbeat the runs of this ledger are still ours."""
TRY_AGAIN_S = 1.0
RESTART = "Restart the daemon: it begins a new one, or reads the one that is there."


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
        ledger_lost: bool = False,
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
        self._touched: set[str] = set()  # tasks to be reconsidered
        self._renamed: deque[tuple[str, str]] = deque()
        self._fault = ""  # why nothing is started: the ledger is not the one that was opened
        self._unavailable = ""
        self._started = False  # the first look is complete, on_start tasks are claimed
        self._copies: dict[str, Copy] = {}  # as the ledger has them
        self._attendance = Attendance()
        self._last_beat = float("-inf")
        self._host_claimed = False
        self.wake = asyncio.Event()
        self._roster = Roster(survey, guard, host, rows, ledger_lost=ledger_lost)
        self._put_together(vault)
        guard.watch(self.dispatcher.active)

    def _put_together(self, vault: Vault) -> None:
        """The parts that share this scheduler's state, each with what it may ask and tell."""
        self.dispatcher = Dispatcher(
            store=self.store,
            engine=self._engine,
            budget=self._guard,
            view=lambda task: self._roster.view(task, self._clock.now()),
            vault=str(vault.root),
            system_folder=vault.system_folder,
            report=self._report_run,
            named_files=lambda: self._roster.named_files(vault),
        )
        self._around = NoteSurroundings(
            survey=self._survey,
            roster=self._roster,
            clock=self._clock,
            host=self._host,
            runs_of=self.dispatcher.of_task,
            tell=self._tell,
        )
        self.scribe = self._around.scribe = Scribe(vault=vault, store=self.store, surroundings=self._around)
        self._claims = Claims(
            store=self.store,
            survey=self._survey,
            roster=self._roster,
            dispatcher=self.dispatcher,
            scribe=self.scribe,
            tell=self._tell,
        )
        self._followers = Followers(
            store=self.store,
            roster=self._roster,
            dispatcher=self.dispatcher,
            claims=self._claims,
            scribe=self.scribe,
            tell=self._tell,
        )
        self.changes = Changes(vault=vault, roster=self._roster, claims=self._claims, start_id=self._start_id)
        self._around.also_wrote = self.changes.wrote
        self._inbox = Inbox(store=self.store, survey=self._survey, roster=self._roster, claims=self._claims)
        self._endings = Endings(
            store=self.store,
            survey=self._survey,
            roster=self._roster,
            dispatcher=self.dispatcher,
            scribe=self.scribe,
            around=self._around,
            tell=self._tell,
        )

    def tracked(self, task: str) -> Tracked | None:
        """The task and how it stands, if it is one now."""
        return self._roster.get(task)

    def problems(self) -> list[Problem]:
        """Everything wrong with the vault's notes now."""
        return self._around.problems()

    # the loop

    def post(self, event: EngineEvent) -> None:
        """The engine says what happened to an attempt."""
        self._events.append(event)
        self.wake.set()

    def hint(self, paths: Iterable[str]) -> None:
        """The watcher says what may have changed."""
        paths = list(paths)
        self._survey.hint(paths)
        self.changes.hint(paths)
        self.wake.set()

    def hint_files(self, paths: Iterable[str]) -> None:
        """The follower says which files that tasks watch may have changed; nobody else need know."""
        if self.changes.hint(paths):
            self.wake.set()

    async def begin(self) -> None:
        """Bring what a former daemon left to its end, before anything new starts."""
        copies = json.loads(await self.store.get_meta("copies") or "{}")
        self._copies = {path: Copy(**copy) for path, copy in copies.items()}
        self._survey.remember_copies(self._copies)
        await self.store.reopen_requests()
        self._guard.recall(await self.store.started_of_type(TaskType.CLAUDE, RECALLED), self._clock.now())
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
            if until_idle and available and self._is_idle:
                return
            await self._clock.wait(self.wake if available else stop, self.pause_s() if available else TRY_AGAIN_S)
            self.wake.clear()

    async def end(self) -> None:
        """End what runs, record it, deliver what can be delivered, and leave."""
        await self._engine.shutdown(self._grace_s)
        now, monotonic = self._clock.now(), self._clock.monotonic()
        try:
            await self._take_events()
            await self._endings.follow_up(now)
            if self._knows_notes:
                await self.scribe.deliver(self._around.pace(), now, monotonic, hurry=True)
        except (LedgerUnavailable, LedgerCorrupt) as error:
            self._tell("problem", "ledger", f"{error}; what ended now is found by the next daemon")

    def pause_s(self) -> float:
        """How long nothing needs to be done, in seconds awake; at most 30."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if self._followers.pending and self._may_follow:
            return 0.0
        moments = [monotonic + LONGEST_WAIT_S, self._survey.next_look()]
        # What cannot be done now is no reason to look again at once: a vault that is away, a ledger that is gone.
        walls = [self._roster.agenda.next_moment()] if self._may_claim else []
        walls += self._run_moments(now) if self._knows_notes and not self._fault else []
        moments += [monotonic + (wall - now).total_seconds() for wall in walls if wall is not None]
        delivery = self.scribe.next_moment(monotonic) if self._knows_notes else None
        change = self.changes.next_moment() if self._may_claim and self._knows_notes else None
        moments += [moment for moment in (delivery, change) if moment is not None]
        return max(0.0, min(moments) - monotonic)

    @property
    def _is_idle(self) -> bool:
        """Whether all notes have been read and nothing waits, runs or has ended just now."""
        if self._survey.settings_note.was_never_good:
            return not self._inbox
        return (
            self._knows_notes
            and not self._survey.unsettled
            and not (self.dispatcher.active() or self._events or self._inbox)
            and not (self._followers.pending and self._may_follow)
        )

    def _run_moments(self, now: datetime) -> list[datetime]:
        """When runs that wait for a time are to be looked at again."""
        waiting = [run for run in self.dispatcher.active() if run.state is RunState.WAITING]
        retries = [run.not_before for run in waiting if run.not_before is not None and run.not_before > now]
        return retries + [run.claimed_at + LONGEST_SETTLING for run in waiting if run.waiting_for == "edit"]

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
        if self._attendance.notice(now, monotonic):
            self._touched |= set(self._survey.registry.ids())  # the clock was set back
        await self._check_ledger(now)
        await self._take_events()
        await self._follow(now)  # as the notes were when the runs ended
        if self._claims.plans.followed:  # before a rename is seen, which the ledger is told at once
            await self._claims.commit()
        await self._look(now, monotonic)
        if not self._fault:
            await self._inbox.take(now)
            await self._follow(now)
            if self._may_claim:
                await self._claim_start(now)
                self._claim_due(now)
                self._claim_changes(now, monotonic)
            await self._claims.commit()
        if self._knows_notes:
            await self._stop_runs(now)
            if not self._fault:
                await self.dispatcher.start_what_may(self._survey.settings_note.in_force, now)
        self._touched |= await self._endings.follow_up(now)
        if self._knows_notes:
            await self._endings.close_spent(now)
            await self.scribe.deliver(self._around.pace(), now, monotonic)
        self._around.tell_problems(now)
        await self._beat(now, monotonic)

    @property
    def _may_claim(self) -> bool:
        return self._survey.present and not self._only_requests and not self._fault

    @property
    def _knows_notes(self) -> bool:
        """Whether a task that is not there is really gone: the vault is there and its notes have been read."""
        return self._survey.present and self._survey.settings is not None and not self._survey.starting

    @property
    def _may_follow(self) -> bool:
        return self._may_claim and self._knows_notes and self._roster.chains.judged

    async def _follow(self, now: datetime) -> None:
        if self._may_follow:
            await self._followers.claim(now, self._attendance.absence)

    async def _check_ledger(self, now: datetime) -> None:
        """Somebody may have deleted or replaced the ledger or the approvals under us (rule 10)."""
        found = await self.store.check()
        fault = f"the ledger is {found}" if found else self._guard.fault()
        if fault and fault != self._fault:
            message = f"{fault}: nothing is started any more"
            problem = Problem(path=self._survey.settings_path, line=1, key="", message=message, fix=RESTART)
            self._tell("problem", "ledger", f"{message}. {RESTART}")
            self._around.log_once(problem, now)
        self._fault = fault

    async def _beat(self, now: datetime, monotonic: float) -> None:
        if monotonic - self._last_beat >= HEARTBEAT_S and not self._fault:
            self._last_beat = monotonic
            await self.store.set_meta("last pass", now.isoformat())
            await self.store.renew_leases(now + LEASE)

    # what the notes say

    async def _look(self, now: datetime, monotonic: float) -> None:
        seen = self._survey.look(now, monotonic)
        self._attendance.vault_is(self._survey.present, now)
        if seen.travelled:
            self._attendance.has_travelled(now)
        self.scribe.changed(seen.changed_paths)
        self._renamed.extend(seen.renamed)
        self._touched |= seen.touched
        if seen.settings_changed:
            self._touched |= set(self._survey.registry.ids())
            self._claims.plans.meta["settings"] = self._survey.settings_note.source
        while self._renamed:
            await self._rename(*self._renamed[0])
            self._renamed.popleft()
        if self._knows_notes:
            self._touched |= self._roster.judge_chains(now)
        while self._touched:
            task = next(iter(self._touched))
            self._reconsider(task, now, monotonic)
            self._touched.discard(task)
        self._guard.store_pins()
        self._keep_copies()
        if not self._survey.starting:
            self._roster.all_seen()
        await self._claim_host(monotonic)

    def _keep_copies(self) -> None:
        copies = self._survey.registry.copies
        if copies != self._copies:
            self._copies = dict(copies)
            plain = {path: asdict(copy) for path, copy in copies.items()}
            self._claims.plans.meta["copies"] = json.dumps(plain, sort_keys=True)

    async def _claim_host(self, monotonic: float) -> None:
        """The first daemon writes its machine into a settings note that names none."""
        note = self._survey.settings_note
        if self._host_claimed or self._only_requests or not self._survey.present or note.is_pending:
            return
        if note.settings is not None and note.settings.host is None and not note.problems:
            self._host_claimed = True
            await self.scribe.write_settings(note.path, {"host": self._host}, monotonic)

    async def _rename(self, old: str, new: str) -> None:
        holder = self._survey.registry.holder(new)
        if holder is None:
            return
        await self.store.rename_task(old, new, holder.path)
        self._guard.rename(old, new)
        self._roster.rename(old, new, holder.path)
        self.changes.rename(old, new)
        self.dispatcher.rename(old, new)
        if old != new:
            self._tell("renamed", old, f"→ {new}")

    def _reconsider(self, task_id: str, now: datetime, monotonic: float) -> None:
        self._fire_before_edit(task_id, now)
        self._around.forget_passed(task_id)
        tracked = self._roster.reconsider(task_id, self._claims.plans, now, monotonic)
        self.changes.reconsider(task_id)
        if tracked is None:
            return
        if tracked.task.run_now and not self._only_requests:
            self._claims.run_now(task_id, tracked, now)
        self._endings.schedule_look(task_id, now)
        self.scribe.registered(task_id)
        if tracked.standing.armed and self._survey.value(tracked.task.path, "status_reason"):
            self.scribe.want(task_id, {"status_reason": None})  # a person set the task going again

    def _fire_before_edit(self, task_id: str, now: datetime) -> None:
        """What was due before an edit counted runs as it was, unless the edit pauses, stops or deletes the task."""
        before = self._roster.get(task_id)
        if before is None or not self._may_claim or not before.fires or not self._roster.is_due(task_id, now):
            return
        stands = self._roster.would_stand(task_id, now)
        if stands is not None and (stands.armed or stands.state.blocks):
            self._claims.fire(task_id, before, now, self._attendance.absence)

    # claims

    def _claim_due(self, now: datetime) -> None:
        for task_id in self._roster.agenda.take_due(now):
            tracked = self._roster.get(task_id)
            if tracked is None:
                continue
            if tracked.standing.until is not None and tracked.standing.until <= now:
                tracked = self._roster.restand(task_id, self._claims.plans, now)
                self.scribe.registered(task_id)
            if tracked.fires:
                self._claims.fire(task_id, tracked, now, self._attendance.absence)
            self._endings.schedule_look(task_id, now)

    def _claim_changes(self, now: datetime, monotonic: float) -> None:
        if self._start_tasks and self._knows_notes:
            self.changes.look(now, monotonic)
            self.changes.claim(now, monotonic)

    async def _claim_start(self, now: datetime) -> None:
        if not self._started and self._start_tasks and self._knows_notes:
            await self._claims.on_start(self._start_id, now)
            self._started = True

    # runs

    async def _take_events(self) -> None:
        while self._events:
            event = self._events[0]
            if isinstance(event, AttemptStarted):
                await self.dispatcher.attempt_started(event)
            elif isinstance(event, AttemptEnded):
                self.changes.attempt_ended(event.run, event.result, self._clock.monotonic())
                await self.dispatcher.attempt_ended(event)
            self._events.popleft()  # only now: what the ledger could not take is told again at the next tick

    async def _stop_runs(self, now: datetime) -> None:
        for run in self.dispatcher.active():
            tracked = self._roster.get(run.task)
            if tracked is not None and tracked.standing.state is State.STOPPED and is_going(run):
                await self.dispatcher.cancel(run.id, tracked.standing.reason, now)

    def _report_run(self, run: Run, what: str) -> None:
        if run.state is RunState.ENDED:
            self._followers.pending = True
            self._endings.add(run)
            self._guard.run_ended(run, run.ended_at or self._clock.now())
            self.scribe.poke()
            return
        tracked = self._roster.get(run.task)
        if what == "withdrawn":
            self._roster.has_started(run, -1)
            self._guard.run_withdrawn(run)
            return
        if what == "started" and run.attempts == 1:
            self._roster.has_started(run)
        if what == "started":
            self.changes.attempt_began(run, self._clock.monotonic())
        if is_going(run):
            self._guard.run_started(run, tracked.task if tracked else None)
        self._tell(what, run.task, "")
