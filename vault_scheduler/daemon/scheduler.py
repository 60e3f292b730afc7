"""The loop and the one owner of state: look, plan, claim, start, deliver, sleep (at most 30 s), again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.clock import LONGEST_WAIT_S, Clock
from vault_scheduler.daemon.changes import Changes
from vault_scheduler.daemon.claims import Claims
from vault_scheduler.daemon.claude_runs import ClaudeRuns
from vault_scheduler.daemon.conversations import Questions
from vault_scheduler.daemon.dispatcher import LONGEST_SETTLING, Dispatcher
from vault_scheduler.daemon.endings import Endings
from vault_scheduler.daemon.false_clock import take_back
from vault_scheduler.daemon.followers import Followers
from vault_scheduler.daemon.guard import Guard
from vault_scheduler.daemon.inbox import Inbox
from vault_scheduler.daemon.last_good import LastGood
from vault_scheduler.daemon.notifier import Notifier
from vault_scheduler.daemon.revision import Revision
from vault_scheduler.daemon.roster import Roster, Tracked
from vault_scheduler.daemon.scribe import Scribe
from vault_scheduler.daemon.status_writer import StatusWriter
from vault_scheduler.daemon.surroundings import NoteSurroundings
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.daemon.troubles import Troubles
from vault_scheduler.engine import AttemptEnded, AttemptStarted, Engine, EngineEvent
from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable
from vault_scheduler.ledger.good_notes import GoodNotes
from vault_scheduler.ledger.store import Store, TaskRow
from vault_scheduler.notifiers.base import Heartbeat, Postman, Sent
from vault_scheduler.planning.attendance import Attendance
from vault_scheduler.planning.planner import is_going
from vault_scheduler.run import Run, RunState, TriggerKind
from vault_scheduler.task import Problem, TaskType
from vault_scheduler.vault.vault import Vault

RECALLED = 1000
"""So many Claude runs of former daemons are looked at for what they may have written."""
HEARTBEAT_S = 10.0
LEASE = timedelta(seconds=60)
"""So long after our last heartbeat the runs of this ledger are still ours."""
TRY_AGAIN_S = 1.0
STALL = timedelta(seconds=5)
"""A look that comes so much later than it was asked for: the machine slept, or the process was stopped or starved."""
RESTART = "Restart the daemon: it reads the one that is there."
PUT_BACK = "All that the daemon holds open is put back in its place."


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
        status_note: bool = False,
        ledger_lost: bool = False,
        ran_until: datetime | None = None,
        grace_s: float = 10.0,
        troubles: Troubles | None = None,
        hold: Callable[[], None] = lambda: None,
        good_notes: GoodNotes | None = None,
        credentials: Callable[[], object] = lambda: None,
        postman: Postman | None = None,
        mask: Callable[[str], str] = str,
        pulse: Heartbeat | None = None,
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
        self._keeps_status_note = status_note
        self._grace_s = grace_s
        self._troubles = troubles or Troubles(tell)
        self._hold = hold  # the vault, also if somebody removed the state folder
        self._events: deque[EngineEvent] = deque()
        self._fault = ""  # why nothing is started: the ledger is not the one that was opened
        self._started = False  # the first look is complete, on_start tasks are claimed
        self._attendance = Attendance()
        self._last_beat = float("-inf")
        self._look_by: datetime | None = None  # when the next tick is to be
        self.wake = asyncio.Event()
        self._roster = Roster(survey, guard, host, rows, ledger_lost=ledger_lost, ran_until=ran_until)
        self._questions = Questions()
        self._claude = ClaudeRuns(
            store,
            questions=self._questions,
            troubles=self._troubles,
            credentials=credentials,
            zone=lambda: ZoneInfo(survey.timezone),
        )
        self._pulse = pulse
        self._put_together(vault, good_notes)
        self._notifier = self._notified_by(postman, mask)
        guard.watch(self.dispatcher.active)

    def _put_together(self, vault: Vault, good_notes: GoodNotes | None) -> None:
        """The parts that share this scheduler's state, each with what it may ask and tell."""
        self.dispatcher = Dispatcher(
            store=self.store,
            engine=self._engine,
            budget=self._guard,
            view=lambda task: self._roster.view(task, self._clock.now()),
            vault=str(vault.root),
            system_folder=vault.system_folder,
            report=self._report_run,
            claude=self._claude,
            named_files=lambda: self._roster.named_files(vault),
        )
        self._around = NoteSurroundings(
            survey=self._survey,
            roster=self._roster,
            clock=self._clock,
            host=self._host,
            runs_of=self.dispatcher.of_task,
            questions=self._questions,
            tell=self._tell,
        )
        self.scribe = self._around.scribe = Scribe(vault=vault, store=self.store, surroundings=self._around)
        self._claims = Claims(
            store=self.store,
            survey=self._survey,
            roster=self._roster,
            dispatcher=self.dispatcher,
            questions=self._questions,
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
        self._status = StatusWriter(
            vault=vault,
            store=self.store,
            survey=self._survey,
            roster=self._roster,
            dispatcher=self.dispatcher,
            guard=self._guard,
            around=self._around,
            troubles=self._troubles,
            pen=self.scribe.pen,
            host=self._host,
        )
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
        self._last_good = LastGood(
            good_notes,
            self._survey.registry,
            quiet_s=self._around.quiet_s,
            held=self._guard.held,
            report=self._around.report,
        )
        self._revision = Revision(
            store=self.store,
            survey=self._survey,
            roster=self._roster,
            guard=self._guard,
            attendance=self._attendance,
            dispatcher=self.dispatcher,
            questions=self._questions,
            claims=self._claims,
            changes=self.changes,
            endings=self._endings,
            scribe=self.scribe,
            around=self._around,
            last_good=self._last_good,
            tell=self._tell,
            troubles=self._troubles,
            host=self._host,
            only_requests=self._only_requests,
        )

    def _notified_by(self, postman: Postman | None, mask: Callable[[str], str]) -> Notifier | None:
        if postman is None:
            return None
        notifier = Notifier(
            store=self.store,
            survey=self._survey,
            roster=self._roster,
            guard=self._guard,
            around=self._around,
            troubles=self._troubles,
            postman=postman,
            vault_name=self._vault.root.name,
            host=self._host,
            mask=mask,
            log=lambda who, what: self.log_fault(f"{who}: {what}", "", self._clock.now()),
        )
        self.dispatcher.hears = lambda task, topic, started: notifier.hears(task, topic, started=started)
        return notifier

    def tracked(self, task: str) -> Tracked | None:
        """The task and how it stands, if it is one now."""
        return self._roster.get(task)

    def problems(self) -> list[Problem]:
        """Everything wrong with the vault's notes now."""
        return self._around.problems()

    def log_fault(self, message: str, fix: str, now: datetime) -> None:
        """Something is wrong that no note of a task is to blame for: a line in the daily log."""
        self._around.log_once(Problem(path=self._survey.settings_path, line=1, key="", message=message, fix=fix), now)

    # the loop

    def post(self, event: EngineEvent) -> None:
        """The engine says what happened to an attempt."""
        self._events.append(event)
        self.wake.set()

    def post_sent(self, sent: Sent) -> None:
        """The postman says what came of a message."""
        if self._notifier is not None:
            self._notifier.post(sent)
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
        await self._revision.begin()
        await self._endings.begin()
        await self._claude.begin()
        await self.scribe.begin(self._clock.now(), self._clock.monotonic())
        await self.store.reopen_requests()
        self._guard.recall(await self.store.started_of_type(TaskType.CLAUDE, RECALLED), self._clock.now())
        await self.dispatcher.recover(self._clock.now(), self._grace_s)
        await self._give_up_late()

    async def _give_up_late(self) -> None:
        """What waited when the former daemon ended is as late as nobody was there since."""
        now, last = self._clock.now(), await self.store.get_meta("last pass")
        if self._only_requests:
            self.dispatcher.serves = lambda run: run.trigger is TriggerKind.REQUEST and run.claimed_at >= now
        elif last is not None:
            await self.dispatcher.give_up_late(now - datetime.fromisoformat(last), self._attendance.why_gone, now)

    async def serve(
        self, stop: asyncio.Event, *, until_idle: bool = False, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Tick until `stop` is set, or (`until_idle`) until nothing is going on any more.

        `alive` is called after every pass, also after one that the ledger kept from its work.
        """
        waker = asyncio.create_task(self._wake_at(stop))
        try:
            await self._serve(stop, until_idle, alive)
        finally:
            waker.cancel()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake.set()

    async def _serve(self, stop: asyncio.Event, until_idle: bool, alive: Callable[[], None]) -> None:
        while not stop.is_set():
            available = await self._try_tick()
            alive()
            if until_idle and available and self._is_idle:
                return
            await self._clock.wait(self.wake if available else stop, self.pause_s() if available else TRY_AGAIN_S)
            self.wake.clear()

    async def end(self) -> None:
        """End what runs, record it, deliver what can be delivered, and leave."""
        if self._notifier is not None:
            await self._notifier.shutdown()
        await self._engine.shutdown(self._grace_s)
        now, monotonic = self._clock.now(), self._clock.monotonic()
        try:
            await self._take_events()
            await self._endings.follow_up(now)
            if self._knows_notes:
                await self.scribe.deliver(self._around.pace(), now, monotonic, hurry=True)
            if self._tells is not None:
                await self._tells.decide(now)
            if self._tells_status:
                await self._status.stopped(now, monotonic)
        except (LedgerUnavailable, LedgerCorrupt) as error:
            self._tell("problem", "ledger", f"{error}; what ended now is found by the next daemon")

    def pause_s(self) -> float:
        """How long nothing needs to be done, in seconds awake; at most 30."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if self._followers.pending and self._may_follow:
            return 0.0
        moments = [monotonic + LONGEST_WAIT_S, self._survey.next_look()]
        # What cannot be done now is no reason to look again at once: the vault is away, the ledger gone, settings new.
        walls = [self._roster.agenda.next_moment()] if self._may_claim else []
        walls += self._run_moments(now) if self._knows_notes and self._may_start else []
        moments += [monotonic + (wall - now).total_seconds() for wall in walls if wall is not None]
        delivery = self.scribe.next_moment(monotonic) if self._knows_notes else None
        if self._tells_status:
            moments.append(self._status.next_moment(now, monotonic))
        if self._tells is not None and (letter := self._tells.next_moment(now, monotonic)) is not None:
            moments.append(letter)
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
            and not (self.dispatcher.is_busy or self._events or self._inbox)
            and not (self._followers.pending and self._may_follow)
            and (self._tells is None or self._tells.is_idle)
        )

    def _run_moments(self, now: datetime) -> list[datetime]:
        """When runs that wait for a time are to be looked at again."""
        waiting = [run for run in self.dispatcher.active() if run.state is RunState.WAITING]
        retries = [run.not_before for run in waiting if run.not_before is not None and run.not_before > now]
        return retries + [run.claimed_at + LONGEST_SETTLING for run in waiting if run.waiting_for == "edit"]

    async def _try_tick(self) -> bool:
        """Tick; False while the ledger cannot be used (locked, disk full): nothing starts, nothing is lost.

        An unexpected error, which no task, run or step of the pass could be blamed for, is no reason to end either.
        """
        is_through = False
        try:
            with self._troubles.within("daemon"):
                await self.tick()
                is_through = True
        except LedgerUnavailable as error:
            self._troubles.begin("ledger", f"{error}. Nothing starts until it can be used again")
            return False
        if not self._fault:
            self._troubles.end("ledger", "it can be used again")
        return is_through

    async def tick(self) -> None:
        """One pass: everything that is due at this moment is decided, committed and begun.

        Raises LedgerUnavailable; what was decided until then is not forgotten, and the next tick goes on with it.
        """
        now, monotonic = self._clock.now(), self._clock.monotonic()
        await self._notice_time(now, monotonic)
        await self._check_ledger(now)
        await self._take_events()
        if self._attendance.gone:
            await self.dispatcher.give_up_late(self._attendance.gone, self._attendance.why_gone, now)
        await self._follow(now)  # as the notes were when the runs ended
        if self._claims.plans.followed:  # before a rename is seen, which the ledger is told at once
            await self._claims.commit()
        self._revision.touch(await self._endings.follow_up(now))  # a task that is paused now starts nothing more
        await self._revision.look(now, monotonic, may_claim=self._may_claim)
        if paused := await self._endings.recall():
            self._revision.touch(paused)
            await self._revision.look(now, monotonic, may_claim=False)
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
            if self._may_start:
                await self._judge_files(now, monotonic)
                await self.dispatcher.start_what_may(self._survey.settings_note.in_force, now)
        self._revision.touch(await self._endings.follow_up(now))
        if self._knows_notes:
            await self._endings.close_spent(now)
            await self.scribe.deliver(self._around.pace(), now, monotonic)
        self._around.tell_problems(now)
        await self._tell_people(now, monotonic)
        if self._tells_status:
            await self._status.write_if_due(now, monotonic)
        await self._beat(now, monotonic)
        self._look_by = self._clock.now() + timedelta(seconds=self.pause_s())

    @property
    def _tells(self) -> Notifier | None:
        """Who tells people; a command that runs one task leaves that to the daemon."""
        return None if self._only_requests or not self._knows_notes else self._notifier

    async def _tell_people(self, now: datetime, monotonic: float) -> None:
        if self._tells is not None:
            with self._troubles.within("notifications"):
                await self._tells.look(now, monotonic)

    async def _notice_time(self, now: datetime, monotonic: float) -> None:
        if self._attendance.notice(now, monotonic):
            self._revision.touch(self._survey.registry.ids())  # the clock was set back
        if self._attendance.went_ahead:
            self._roster.doubt()
        if self._attendance.was_false:
            await take_back(self.store, self._roster, self._claims.plans, now)
            self._attendance.was_false = False
        if self._look_by is not None and now - self._look_by > STALL:
            self._survey.miss_hints()  # what changed meanwhile, of the settings above all, is seen before any claim
        self._look_by = None

    @property
    def _may_start(self) -> bool:
        return not self._fault and not self._survey.doubts_settings

    @property
    def _may_claim(self) -> bool:
        return self._survey.present and not self._only_requests and self._may_start

    @property
    def _knows_notes(self) -> bool:
        return self._survey.knows_notes

    @property
    def _tells_status(self) -> bool:
        return self._keeps_status_note and self._knows_notes

    @property
    def _may_follow(self) -> bool:
        return self._may_claim and self._knows_notes and self._roster.chains.judged

    async def _follow(self, now: datetime) -> None:
        if self._may_follow:
            await self._followers.claim(now, self._attendance.absence)

    async def _check_ledger(self, now: datetime) -> None:
        """Somebody may have deleted or replaced the ledger or the approvals under us (rule 10).

        Nothing starts until what we hold open is in its place again.
        """
        found = await self.store.check()
        fault = f"the ledger is {found}" if found else self._guard.fault()
        if fault and fault != self._fault:
            fix = PUT_BACK if _may_be_put_back(fault) else RESTART
            self._troubles.begin("ledger", f"{fault}: nothing starts. {fix}")
            self.log_fault(fault, fix, now)
        self._fault = fault
        self._hold()
        if _may_be_put_back(fault):
            await self._put_back(found)

    async def _put_back(self, found: str | None) -> None:
        if found:
            await self._reattach()
        if _may_be_put_back(self._guard.fault()):
            self._guard.put_back()
        fault = await self.store.check()
        self._fault = f"the ledger is {fault}" if fault else self._guard.fault()

    async def _reattach(self) -> None:
        """What lay in the ledger's place may have been damaged, and set aside."""
        await self.store.reattach()
        for notice in self.store.notices:
            self._tell("problem", "ledger", notice)

    async def _beat(self, now: datetime, monotonic: float) -> None:
        self._ping(monotonic)
        if monotonic - self._last_beat >= HEARTBEAT_S and not self._fault:
            self._last_beat = monotonic
            await self.store.set_meta("last pass", now.isoformat())
            await self.store.renew_leases(now + LEASE)

    def _ping(self, monotonic: float) -> None:
        """A pass that compared what was due with what started is worth the daemon's ping."""
        url = self._survey.settings_note.in_force.daemon_ping_url
        if self._pulse is None or not url or not (self._may_claim and self._knows_notes):
            return
        self._pulse.beat(url, monotonic)
        if self._pulse.trouble:
            self._troubles.begin("daemon_ping_url", f"its pings do not get through: {self._pulse.trouble}")
        else:
            self._troubles.end("daemon_ping_url", "its pings get through again")

    # claims

    def _claim_due(self, now: datetime) -> None:
        for task_id in self._roster.agenda.take_due(now):
            tracked = self._roster.get(task_id)
            if tracked is not None:
                with self._roster.alone(task_id):
                    self._claim_due_of(task_id, tracked, now)

    def _claim_due_of(self, task_id: str, tracked: Tracked, now: datetime) -> None:
        if tracked.standing.until is not None and tracked.standing.until <= now:
            tracked = self._roster.restand(task_id, self._claims.plans, now)
            self.scribe.registered(task_id)
            self._claims.take_answer(task_id, tracked, now)
        if tracked.fires:
            self._claims.fire(task_id, tracked, now, self._attendance.absence)
        self._endings.schedule_look(task_id, now)

    def _claim_changes(self, now: datetime, monotonic: float) -> None:
        if self._start_tasks and self._knows_notes:
            with self._troubles.within("changes"):
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

    async def _judge_files(self, now: datetime, monotonic: float) -> None:
        """What a task names may have been changed since its definition was judged, and is about to be executed."""
        waiting = {run.task for run in self.dispatcher.active() if not is_going(run)}
        tasks = [tracked.task for task in waiting if (tracked := self._roster.get(task))]
        if changed := self._guard.to_be_judged(tasks):
            self._revision.touch(changed)
            await self._revision.look(now, monotonic, may_claim=False)

    async def _stop_runs(self, now: datetime) -> None:
        for run in self.dispatcher.active():
            if is_going(run) and (why := self._roster.stopped(run.task)):
                await self.dispatcher.cancel(run.id, why, now)

    def _report_run(self, run: Run, what: str) -> None:
        self._status.poke()
        if run.state is RunState.ENDED:
            self._questions.run_ended(run)
            self._followers.pending = True
            self._endings.add(run)
            self._guard.run_ended(run, run.ended_at or self._clock.now())
            self._last_good.run_ended(run, run.ended_at or self._clock.now())
            self.scribe.poke()
            return
        tracked = self._roster.get(run.task)
        if what == "withdrawn":
            self._roster.has_started(run, -1)
            self._guard.run_withdrawn(run)
            return
        if run.state is RunState.WAITING:
            self._guard.run_ended(run, self._clock.now())  # nothing of it is alive until its next attempt
            self._last_good.run_ended(run, self._clock.now())
            self._around.waits(run)
        if what == "started" and run.attempts == 1:
            self._roster.has_started(run)
            if self._notifier is not None:
                self._notifier.attempt_began(run)
        if what == "started":
            self.changes.attempt_began(run, self._clock.monotonic())
        if is_going(run):
            self._guard.run_started(run, tracked.task if tracked else None)
            self._last_good.run_started(run, self._clock.now())
        self._tell(what, run.task, "")


def _may_be_put_back(fault: str) -> bool:
    """A ledger of a newer version belongs to that; approvals that somebody put there are not ours to overrule."""
    return fault in ("the ledger is missing", "the ledger is replaced", "the file of approvals is missing")
