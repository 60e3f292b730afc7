"""The loop and the one owner of state: look, plan, claim, start, deliver, sleep (at most 30 s), again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from vault_scheduler.clock import LONGEST_WAIT_S
from vault_scheduler.daemon.draining import Then
from vault_scheduler.daemon.engine_events import EngineEvents
from vault_scheduler.daemon.false_clock import take_back
from vault_scheduler.daemon.notifier import Notifier
from vault_scheduler.daemon.parts import Parts
from vault_scheduler.daemon.roster import Tracked
from vault_scheduler.daemon.turns import LONGEST_SETTLING
from vault_scheduler.engine import AttemptEnded, AttemptStarted, EngineEvent
from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable
from vault_scheduler.notifiers.base import Sent
from vault_scheduler.run import RunState, TriggerKind
from vault_scheduler.task import Problem, TaskType

RECALLED = 1000
"""So many Claude runs of former daemons are looked at for what they may have written."""
TRY_AGAIN_S = 1.0
STALL = timedelta(seconds=5)
"""A look that comes so much later than it was asked for: the machine slept, or the process was stopped or starved."""

KEEP_AGAIN_S = 0.1
"""After a first start there is much to be kept of what the notes say: a little at a time."""
ALL = 1_000_000
WRITE_S = 0.25
"""While runs wait for a slot, results are written a moment's worth at a time: starts go first."""


class Scheduler:
    """Everything that changes while the daemon runs is changed by `tick`, and by nobody else."""

    def __init__(self, parts: Parts) -> None:
        outfit = parts.outfit
        self._engine, self._clock, self._tell = parts.engine, outfit.clock, outfit.tell
        self._start_id, self._start_tasks = outfit.start_id, outfit.start_tasks
        self._only_requests, self._keeps_status_note = outfit.only_requests, outfit.status_note
        self._grace_s, self._draining, self._eve = outfit.grace_s, outfit.draining, outfit.eve
        self._hurried: asyncio.Task[None] | None = None
        parts.dispatcher.turns.files_changed = self._names_changed_file
        self._started = False  # the first look is complete, on_start tasks are claimed
        self._look_by: datetime | None = None  # when the next tick is to be
        self._passed_at = outfit.clock.now()  # the moment that the last pass decided for: it may have taken a while
        self._gathers = outfit.gathers
        self._writes_at = float("-inf")  # awake second until which results wait for starts
        self.wake = asyncio.Event()
        self._events = EngineEvents(self.wake.set, lambda: parts.dispatcher.crowded, gathers=outfit.gathers)
        if self._draining is not None:
            self._draining.wake = self.wake.set
        self.store, self.dispatcher = parts.store, parts.dispatcher
        self.scribe, self.changes = parts.scribe, parts.changes
        self._troubles, self._ledger, self._attendance = parts.troubles, parts.ledger, parts.attendance
        self.survey, self._roster, self._guard = parts.survey, parts.roster, parts.guard
        self._claims, self._followers, self._inbox = parts.claims, parts.followers, parts.inbox
        self._answers, self._ahead = parts.answers, parts.ahead
        self._endings, self._revision = parts.endings, parts.revision
        self._around, self._status, self._claude = parts.around, parts.status, parts.claude
        self._notifier, self._life = parts.notifier, parts.life

    def tracked(self, task: str) -> Tracked | None:
        """The task and how it stands, if it is one now."""
        return self._roster.get(task)

    def problems(self) -> list[Problem]:
        """Everything wrong with the vault's notes now."""
        return self._around.problems()

    # the loop

    def post(self, event: EngineEvent) -> None:
        """The engine says what happened to an attempt."""
        self._events.post(event)

    def post_sent(self, sent: Sent) -> None:
        """The postman says what came of a message."""
        self._notifier.post(sent)
        self.wake.set()

    def hint(self, paths: Iterable[str]) -> None:
        """The watcher says what may have changed."""
        paths = list(paths)
        self.survey.hint(paths)
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
        now, last = self._clock.now(), await self._life.last_pass()
        if self._only_requests:
            self.dispatcher.turns.serves = lambda run: run.trigger is TriggerKind.REQUEST and run.claimed_at >= now
        elif last is not None:
            await self.dispatcher.turns.give_up_late(now - last, self._attendance.why_gone, now)

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
                await self._life.wait_for_ping()
                return
            if available and self._has_made_room:
                return
            await self._clock.wait(self.wake if available else stop, self.pause_s() if available else TRY_AGAIN_S)
            self.wake.clear()

    @property
    def _has_made_room(self) -> bool:
        """Whether the daemon was ordered to drain, and nothing runs, has just ended or is on its way to people."""
        if self._draining is None or self._draining.then is None or self._events:
            return False
        is_quiet = self._tells is None or self._tells.is_idle
        return is_quiet and not self.dispatcher.going()

    def hurry(self) -> None:
        """What runs has no time left to end by itself."""
        self._tell("stopping", "", "told once more: what runs is ended now")
        self._hurried = asyncio.create_task(self._engine.shutdown(0.0))

    async def end(self) -> None:
        """End what runs, record it, deliver what can be delivered, and leave."""
        await self._notifier.shutdown()
        if going := len(self.dispatcher.going()):
            self._tell("stopping", "", f"ends what runs ({going}); told to stop once more, it gives that no time")
        await self._engine.shutdown(self._grace_s)
        now, monotonic = self._clock.now(), self._clock.monotonic()
        try:
            await self._take_events()
            await self._endings.follow_up(now)
            if self._knows_notes:
                await self.scribe.deliver(self._around.pace(), now, monotonic, hurry=True)
            if self._tells is not None:
                await self._tells.decide(now)
            if self._tells_status and (self._draining is None or self._draining.then is not Then.RESTART):
                await self._status.stopped(now, monotonic)
            self.survey.keeping.write(now, ALL)
        except (LedgerUnavailable, LedgerCorrupt) as error:
            self._tell("problem", "ledger", f"{error}; what ended now is found by the next daemon")

    def pause_s(self) -> float:
        """How long nothing needs to be done, in seconds awake; at most 30."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if self._followers.pending and self._may_follow:
            return 0.0
        moments = [monotonic + LONGEST_WAIT_S, self.survey.next_look()]
        # What cannot be done now is no reason to look again at once: the vault is away, the ledger gone, settings new.
        walls = [self._ahead.moment(now)] if self._may_claim else []
        walls += self._run_moments(now) if self._knows_notes and self._may_start else []
        moments += [monotonic + (wall - now).total_seconds() for wall in walls if wall is not None]
        delivery = self.scribe.next_moment(monotonic) if self._knows_notes else None
        delivery = max(delivery, self._writes_at) if delivery is not None else None
        if self._tells_status:
            moments.append(self._status.next_moment(now, monotonic))
        if self._tells is not None and (letter := self._tells.next_moment(now, monotonic)) is not None:
            moments.append(letter)
        if self._draining is not None and (look := self._draining.next_moment(monotonic)) is not None:
            moments.append(look)
        if self.survey.keeping.waits:
            moments.append(monotonic + KEEP_AGAIN_S)
        change = self.changes.next_moment() if self._may_claim and self._knows_notes else None
        moments += [moment for moment in (delivery, change) if moment is not None]
        return max(0.0, min(moments) - monotonic)

    @property
    def _is_idle(self) -> bool:
        """Whether all notes have been read and nothing waits, runs or has ended just now."""
        if self.survey.settings_note.was_never_good:
            return not self._inbox
        return (
            self._knows_notes
            and not self.survey.unsettled
            and not (self.dispatcher.is_busy or self._events or self._inbox)
            and not (self._followers.pending and self._may_follow)
            and (self._tells is None or self._tells.is_idle)
        )

    def _run_moments(self, now: datetime) -> list[datetime]:
        """When runs that wait for a time are to be looked at again."""
        waiting = [run for run in self.dispatcher.timed() if run.state is RunState.WAITING]
        retries = [run.not_before for run in waiting if run.not_before is not None and run.not_before > now]
        retries += [run.fire_time - self._eve for run in self.dispatcher.early(self._passed_at)]
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
        if not self._ledger.fault:
            self._troubles.end("ledger", "it can be used again")
        return is_through

    async def tick(self) -> None:
        """One pass: everything that is due at this moment is decided, committed and begun.

        Raises LedgerUnavailable; what was decided until then is not forgotten, and the next tick goes on with it.
        """
        now, monotonic = self._clock.now(), self._clock.monotonic()
        self._passed_at = now
        await self._notice_time(now, monotonic)
        await self._ledger.check(now)
        await self._take_events()
        self._make_room(monotonic)
        if self._attendance.gone:
            await self.dispatcher.turns.give_up_late(self._attendance.gone, self._attendance.why_gone, now)
        await self._follow(now)  # as the notes were when the runs ended
        if self._claims.plans.followed:  # before a rename is seen, which the ledger is told at once
            await self._claims.commit()
        await self._look(now, monotonic)
        if not self._ledger.fault:
            await self._claim(now, monotonic)
        if self._knows_notes:
            await self._stop_runs(now)
            if self._may_start:
                await self._start_runs(now, monotonic)
        self._revision.touch(await self._endings.follow_up(now))
        await self._write_and_tell(now, monotonic)
        await self._show_life(now, monotonic)
        self.survey.keeping.write(now)
        self._look_by = self._clock.now() + timedelta(seconds=self.pause_s())

    async def _show_life(self, now: datetime, monotonic: float) -> None:
        if self._may_claim and self._knows_notes:
            self._life.ping(self.survey.settings_note.in_force.daemon_ping_url, monotonic)
        if not self._ledger.fault:
            await self._life.record(now, monotonic)

    async def _look(self, now: datetime, monotonic: float) -> None:
        """What the notes say counts from now on."""
        self._revision.touch(await self._endings.follow_up(now))  # a task that is paused now starts nothing more
        await self._revision.look(now, monotonic, may_claim=self._may_claim)
        if paused := await self._endings.recall():
            self._revision.touch(paused)
            await self._revision.look(now, monotonic, may_claim=False)

    async def _claim(self, now: datetime, monotonic: float) -> None:
        """What is asked for, and what is due, becomes runs."""
        await self._inbox.take(now)
        await self._follow(now)
        if self._may_claim:
            await self._claim_start(now)
            self._claim_due(now)
            self._ahead.claim(now)
            self._claim_changes(now, monotonic)
        await self._ahead.prepare(await self._claims.commit(), now)

    async def _write_and_tell(self, now: datetime, monotonic: float) -> None:
        if self._knows_notes:
            await self._endings.close_spent(now)
            await self._write(now, monotonic)
        self._around.tell_problems(now)
        await self._tell_people(now, monotonic)
        if self._tells_status:
            await self._status.write_if_due(now, monotonic)

    async def _write(self, now: datetime, monotonic: float) -> None:
        if monotonic >= self._writes_at:
            await self.scribe.deliver(self._around.pace(), now, monotonic)
            if self._gathers and self.dispatcher.crowded:
                self._writes_at = self._clock.monotonic() + WRITE_S

    def _make_room(self, monotonic: float) -> None:
        """Nothing starts while the program is being replaced, or its restart was ordered."""
        if self._draining is not None:
            self._draining.look(monotonic)
            self.dispatcher.turns.rests = self._draining.waits_for
            self._status.draining = self._draining.told

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
            self._revision.touch(self.survey.registry.ids())  # the clock was set back
        if self._attendance.went_ahead:
            self._roster.doubt()
        if self._attendance.was_false:
            await take_back(self.store, self._roster, self._claims.plans, now)
            self._attendance.was_false = False
        if self._look_by is not None and now - self._look_by > STALL:
            self.survey.miss_hints()  # what changed meanwhile, of the settings above all, is seen before any claim
        self._look_by = None
        self._revision.touch(self._ahead.take_back(now))

    @property
    def _may_start(self) -> bool:
        return not self._ledger.fault and not self.survey.doubts_settings

    @property
    def _may_claim(self) -> bool:
        return self.survey.present and not self._only_requests and self._may_start

    @property
    def _knows_notes(self) -> bool:
        return self.survey.knows_notes

    @property
    def _tells_status(self) -> bool:
        return self._keeps_status_note and self._knows_notes

    @property
    def _may_follow(self) -> bool:
        return self._may_claim and self._knows_notes and self._roster.chains.judged

    async def _follow(self, now: datetime) -> None:
        if self._may_follow:
            await self._followers.claim(now, self._attendance.absence)

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
            self._answers.take(task_id, tracked, now)
        if tracked.fires:
            self._claims.fire(task_id, tracked, now, self._attendance.absence)
            self.survey.keeping.fired(tracked.task.path)
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
        taken = self._events.all()
        if not taken:
            return
        over = {(event.run, event.number) for event in taken if isinstance(event, AttemptEnded)}
        with self.dispatcher.outcomes.together():
            for event in taken:
                if isinstance(event, AttemptStarted):
                    is_over = (event.run, event.number) in over and not event.is_gate
                    await self.dispatcher.outcomes.attempt_started(event, is_over=is_over)
                elif isinstance(event, AttemptEnded):
                    self.changes.attempt_ended(event.run, event.result, self._clock.monotonic())
                    await self.dispatcher.outcomes.attempt_ended(event)
        self._events.taken(len(taken))  # only now: what the ledger could not take is told again at the next tick

    async def _start_runs(self, now: datetime, monotonic: float) -> None:
        """Start what may start. What a task names may have changed since its definition was judged: judged anew."""
        turns, settings = self.dispatcher.turns, self.survey.settings_note.in_force
        await turns.start_what_may(settings, now)
        if turns.unsure:
            self._revision.touch(turns.unsure)
            await self._revision.look(now, monotonic, may_claim=False)
            await turns.start_what_may(settings, now, sure=turns.unsure)
            turns.unsure = set()

    def _names_changed_file(self, task: str) -> bool:
        tracked = self._roster.get(task)
        return tracked is not None and bool(self._guard.to_be_judged([tracked.task]))

    async def _stop_runs(self, now: datetime) -> None:
        for run in self.dispatcher.going():
            if why := self._roster.stopped(run.task):
                await self.dispatcher.outcomes.cancel(run.id, why, now)
