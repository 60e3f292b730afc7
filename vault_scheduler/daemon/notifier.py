"""Tells people: decides, from the ledger, which ends of runs and which faults are worth a message, and has it sent.

What is decided is one transaction: the incident, the letters, and the mark that the run needs no further decision.
Sending has a part of its own (`outbox`), and changes nothing about any run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.outbox import OURS, Outbox
from vault_scheduler.daemon.troubles import NO_LEDGER
from vault_scheduler.errors import internal
from vault_scheduler.ledger.store import Decision
from vault_scheduler.notifiers.base import Postman, Sent
from vault_scheduler.planning.incidents import (
    LOGIN_SUBJECT,
    Incident,
    Matter,
    Origin,
    Verdict,
    changed_matters,
    happening_of,
    judge,
)
from vault_scheduler.planning.mailing import FAIL, START, SUCCESS, Letter, quiet_until
from vault_scheduler.planning.standing import State
from vault_scheduler.run import Outcome, Run
from vault_scheduler.task import Policies, TaskType, Topic
from vault_scheduler.telling.messages import (
    hold_matter,
    pause_message,
    ping_text,
    problem_matter,
    run_message,
    trouble_matter,
)

DAY = timedelta(hours=24)
STANDS_FOR = timedelta(seconds=60)
"""What is wrong for a shorter time, a half-typed note say, is not told."""
GONE_AFTER_S = 60.0
"""A daemon that has just begun does not know yet what is still wrong."""
A_PASS = 50
"""After so many decisions other things get their turn."""
LOGIN_TROUBLE = "login"
"""Told as what the run met that found it out."""


class Notifier:
    """What people are told outside of the vault. Without a notifier on this machine and without pings: nothing."""

    def __init__(
        self,
        core: Core,
        postman: Postman,
        *,
        vault_name: str,
        mask: Callable[[str], str],
        log: Callable[[str, str], None],
    ) -> None:
        self._store, self._survey, self._roster = core.store, core.survey, core.roster
        self._guard, self._around = core.guard, core.around
        self._troubles, self._host = core.troubles, core.host
        self._postman, self._vault_name = postman, vault_name
        self._mask, self._log = mask, log
        self._outbox = Outbox(core.store, postman, ping_url=self._ping_url, troubles=core.troubles, give_up=log)
        self._started: list[Run] = []
        self._paused: list[tuple[str, str]] = []  # tasks that paused themselves, and why
        self._began: float | None = None
        self._mark: object = None  # of what stood wrong when it was last looked at
        self._more = False

    # what others ask and tell

    def hears(self, task: str, topic: Topic | None, *, started: bool) -> bool:
        """Whether anybody may have to be told of an end like this, so that it is put down to be decided on."""
        return bool(topic is not None and self._postman.receivers) or (started and bool(self._ping_url(task)))

    def attempt_began(self, run: Run) -> None:
        """The first attempt of a run has begun."""
        if self._ping_url(run.task):
            self._started.append(run)

    def paused(self, task: str, why: str) -> None:
        """A task has paused itself."""
        self._paused.append((task, why))

    def post(self, sent: Sent) -> None:
        """The postman says what came of a parcel."""
        self._outbox.post(sent)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way or to be decided."""
        return self._outbox.is_idle and not self._more

    def next_moment(self, now: datetime, monotonic: float) -> float | None:
        """The awake second at which there is something to do."""
        return monotonic if self._more else self._outbox.next_moment(now, monotonic)

    async def look(self, now: datetime, monotonic: float) -> None:
        """Decide what is to be told, and send what may leave."""
        self._began = monotonic if self._began is None else self._began
        await self.decide(now)
        if self._postman.receivers and self._survey.knows_notes and not self._survey.starting:
            with self._troubles.within(f"{OURS}problems"):
                await self._look_at_matters(now, is_sure=monotonic - self._began >= GONE_AFTER_S)
        hours, zone = self._survey.settings_note.in_force.quiet_hours, ZoneInfo(self._survey.timezone)
        await self._outbox.look(now, monotonic, quiet_until(now, hours, zone))

    async def shutdown(self) -> None:
        """End what is on its way."""
        await self._outbox.shutdown()

    # runs

    async def decide(self, now: datetime) -> None:
        """Put letters into the outbox for what has ended, and begun, since."""
        while self._started:
            await self._put(Decision(letters=(_ping(self._started[0], START, now),)), now)
            self._started.pop(0)
        while self._paused:
            await self._put(Decision(letters=tuple(self._letters_of_pause(*self._paused[0], now))), now)
            self._paused.pop(0)
        pending = await self._store.pending_notices()
        for run in pending[:A_PASS]:
            await self._put(await self._safe_decision(run, now), now)
        self._more = len(pending) > A_PASS

    async def _put(self, decision: Decision, now: datetime) -> None:
        await self._store.decide(decision, now)
        if decision.letters or decision.close:
            self._outbox.poke()

    async def _safe_decision(self, run: Run, now: datetime) -> Decision:
        """A fault of ours in telling of one run keeps nobody from hearing of the others."""
        try:
            return await self._decision(run, now)
        except NO_LEDGER:
            raise
        except Exception as error:
            self._log("notifications", f"internal error in telling of {run.id}: {internal(error)}; please report it")
            return Decision(run=run)

    async def _decision(self, run: Run, now: datetime) -> Decision:
        policies = self._policies(run.task)
        pings = [_ping(run, kind, now)] if policies.ping_url and (kind := _kind_of_ping(run)) else []
        happening = happening_of(run, run.ended_at or now)
        if happening is None:
            return Decision(run=run, letters=tuple(pings))
        open_ = await self._store.incidents(happening.origin, happening.subject)
        wanted = policies.notify if self._postman.receivers else ()
        counts = happening.topic is Topic.FAILURE or bool(open_)
        told = await self._store.told_since(happening.subject, now - DAY) if counts else 0
        verdict = judge(happening, open_, wanted, now, told)
        close = [*verdict.close, *await self._login_again(run)]
        letters = [*pings, *self._letters_about(run, verdict, happening.signature, policies, now)]
        keep = (verdict.keep,) if verdict.keep is not None else ()
        return Decision(run=run, keep=keep, close=tuple(close), letters=tuple(letters))

    async def _login_again(self, run: Run) -> Sequence[Incident]:
        """A run of Claude that succeeds shows that somebody has logged in."""
        tracked = self._roster.get(run.task)
        if run.outcome is not Outcome.SUCCESS or tracked is None or tracked.task.type is not TaskType.CLAUDE:
            return ()
        return await self._store.incidents(Origin.LOGIN, LOGIN_SUBJECT)

    def _letters_about(
        self, run: Run, verdict: Verdict, signature: str, policies: Policies, now: datetime
    ) -> Iterable[Letter]:
        if verdict.tell is None:
            return ()
        zone = ZoneInfo(self._survey.timezone)
        with_text = Topic.SUCCESS in policies.notify
        title, body = run_message(run, verdict.tell, zone, self._vault_name, with_text=with_text)
        subject = verdict.keep.subject if verdict.keep is not None else run.task
        letter = Letter(
            receiver="",
            subject=subject,
            signature=signature,
            topic=verdict.tell.topic,
            run=run.id,
            title=self._mask(title),
            body=self._mask(body),
            made_at=now,
        )
        return [replace(letter, receiver=name) for name in self._receivers(policies)]

    def _letters_of_pause(self, task: str, why: str, now: datetime) -> Iterable[Letter]:
        """Nothing of the task runs any more: that is news, also where its failures were told."""
        tracked, policies = self._roster.get(task), self._policies(task)
        if tracked is None or Topic.FAILURE not in policies.notify:
            return ()
        title, body = pause_message(tracked.task.path, why, self._vault_name)
        letter = Letter(
            receiver="", subject=task, signature="paused", topic=Topic.FAILURE, title=title, body=body, made_at=now
        )
        return [replace(letter, receiver=name) for name in self._receivers(policies)]

    def _receivers(self, policies: Policies) -> Sequence[str]:
        """Who is told; where none of the names is one of this machine's notifiers, all of them rather than nobody."""
        known = self._postman.receivers
        named = [name for name in policies.notify_to or () if name in known]
        return named or known

    def _policies(self, task: str) -> Policies:
        """As they are now; a definition that nobody has approved has no say, for it could send what it likes."""
        tracked = self._roster.get(task)
        if tracked is None or tracked.standing.state is State.HELD or self._guard.held(task):
            return self._usual
        return tracked.policies

    @property
    def _usual(self) -> Policies:
        return Policies(**self._survey.settings_note.in_force.options)

    def _ping_url(self, task: str) -> str:
        return self._policies(task).ping_url

    # what stands

    async def _look_at_matters(self, now: datetime, *, is_sure: bool) -> None:
        holds = self._guard.all_held()
        mark = self._around.problems_mark, tuple(holds.items()), tuple(self._troubles.by_name.items()), is_sure
        if mark == self._mark:
            return
        new, gone = changed_matters(self._matters(holds), await self._store.incidents(Origin.STANDING))
        keep: list[Incident] = []
        letters: list[Letter] = []
        for matter in new:
            policies = self._policies(matter.task) if matter.task else self._usual
            if matter.topic in policies.notify:
                keep.append(_incident_of(matter, now))
                letters += self._letters_of(matter, policies, now)
        if keep or (gone and is_sure):
            await self._put(
                Decision(keep=tuple(keep), close=tuple(gone) if is_sure else (), letters=tuple(letters)), now
            )
        self._mark = mark

    def _matters(self, holds: dict[str, str]) -> list[Matter]:
        """All that is wrong now. The notes of a vault that another machine owns are that one's to tell of."""
        told = [
            trouble_matter(name, text)
            for name, text in self._troubles.by_name.items()
            if not name.startswith(OURS) and name != LOGIN_TROUBLE
        ]
        if self._survey.settings_note.in_force.host not in (None, self._host):
            return told
        tasks = {tracked.task.path: task for task in self._roster if (tracked := self._roster.get(task)) is not None}
        told += [
            problem_matter(problem, self._vault_name, tasks.get(problem.path, ""))
            for problem in self._around.problems()
            if problem.is_error
        ]
        for task, reason in holds.items():
            tracked = self._roster.get(task)
            if tracked is not None:
                told.append(hold_matter(task, tracked.task.path, tracked.task.definition, reason, self._vault_name))
        return told

    def _letters_of(self, matter: Matter, policies: Policies, now: datetime) -> list[Letter]:
        letter = Letter(
            receiver="",
            subject=matter.subject,
            signature=matter.signature,
            topic=matter.topic,
            title=self._mask(matter.title),
            body=self._mask(matter.text),
            made_at=now,
            not_before=now + STANDS_FOR,
        )
        return [replace(letter, receiver=name) for name in self._receivers(policies)]


def _incident_of(matter: Matter, now: datetime) -> Incident:
    return Incident(
        origin=Origin.STANDING,
        subject=matter.subject,
        signature=matter.signature,
        topic=matter.topic,
        since=now,
        told_at=now,
    )


def _kind_of_ping(run: Run) -> str:
    """Which ping the end of a run is worth; "" for none: a check that hears nothing tells by itself."""
    if run.never_started or run.outcome in (None, Outcome.CANCELLED, Outcome.SKIPPED):
        return ""
    return SUCCESS if run.outcome is Outcome.SUCCESS else FAIL


def _ping(run: Run, kind: str, now: datetime) -> Letter:
    return Letter(receiver="", subject=run.task, run=run.id, ping=kind, body=ping_text(run), made_at=now)
