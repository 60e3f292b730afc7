"""What is special about the runs of Claude tasks: the plan's limits, the login, sessions, answers to questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.conversations import Questions, Sessions
from vault_scheduler.daemon.snapshots import late_limit
from vault_scheduler.daemon.troubles import Troubles
from vault_scheduler.ledger.store import ANSWER, EXCUSED, QUESTION, SESSION, Store
from vault_scheduler.planning.quota import Allowance, Bounds, Hold, Skip, Wait, clock_words, heed, respite
from vault_scheduler.run import Cause, Outcome, Result, Run, TriggerKind, counts_as_run
from vault_scheduler.settings import Settings
from vault_scheduler.task import TaskType

ALLOWANCE = "claude's plan"
"""Key of the ledger's meta table: what is known of the plan's limits."""
LOGIN = "login"
"""The trouble of that name, for `status`."""
TRY_LOGIN_AGAIN = timedelta(minutes=30)
"""While nobody is logged in, one run in this time may try whether that is still so: it costs a process, no tokens."""
LONGEST_LATE = timedelta(hours=12)
_OUTSIDE = (Cause.LOGIN, Cause.QUOTA, Cause.NETWORK, Cause.OVERLOAD, Cause.SERVER)

NextFire = Callable[[], datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotLoggedIn:
    """The login was refused, first and last at these moments (UTC), with these files in place."""

    since: datetime
    tried_at: datetime
    cure: str
    credentials: object


class ClaudeRuns:
    """Keeps what Claude's runs have told about the provider, and what they want to go on with.

    `credentials` tells, by whatever compares equal while it is unchanged, what the login rests on.
    """

    def __init__(
        self,
        store: Store,
        *,
        questions: Questions,
        troubles: Troubles,
        credentials: Callable[[], object],
        zone: Callable[[], ZoneInfo],
    ) -> None:
        self._store = store
        self.questions = questions
        self.sessions = Sessions(store)
        self._troubles = troubles
        self._credentials = credentials
        self._zone = zone
        self._allowance = Allowance()
        self._login: NotLoggedIn | None = None  # of this daemon: each one tries for itself
        self._tried: dict[str, object] = {}  # run → the credentials that there were when its attempt began

    async def begin(self) -> None:
        """Remember what former daemons learned."""
        await self.questions.begin(self._store)
        known = json.loads(await self._store.get_meta(ALLOWANCE) or "{}")
        self._allowance = Allowance(
            quota_until=_moment(known.get("quota_until")),
            usage=known.get("usage"),
            usage_until=_moment(known.get("usage_until")),
        )

    # before a start

    def hold(self, settings: Settings, now: datetime) -> Hold | None:
        """Until when no Claude run starts; None if they may."""
        return self._allowance.hold(settings.max_usage, now)

    def at_once(self, settings: Settings, now: datetime) -> int:
        """How many Claude runs may go at once: one alone tries whether somebody has logged in."""
        return settings.max_claude if self._not_logged_in(now) is None else 1

    def refusal(self, run: Run, settings: Settings, next_fire: NextFire, now: datetime) -> tuple[Outcome, str] | None:
        """How a waiting run ends, and why, that is not going to start; None if it may wait for its turn."""
        login = self._not_logged_in(now)
        if login is not None and abs(now - login.tried_at) < TRY_LOGIN_AGAIN and counts_as_run(run.trigger):
            return Outcome.BLOCKED, f"not logged in since {clock_words(login.since, self._zone())}: {login.cure}"
        hold = self.hold(settings, now)
        verdict = heed(hold, self._next_fire(run, next_fire), self._zone()) if hold else None
        return (Outcome.SKIPPED, verdict.reason) if isinstance(verdict, Skip) else None

    def _not_logged_in(self, now: datetime) -> NotLoggedIn | None:
        if self._login is not None and self._credentials() != self._login.credentials:
            self._login = None  # somebody logged in, perhaps: the next run tells
        return self._login

    def _next_fire(self, run: Run, next_fire: NextFire) -> datetime | None:
        """What a person asked for is not done by the next fire time."""
        return next_fire() if counts_as_run(run.trigger) else None

    async def going_on(self, run: Run, snapshot: Mapping[str, Any]) -> dict[str, Any]:
        """What the request for an attempt, which begins now, says of the session that it goes on with."""
        if snapshot["type"] != TaskType.CLAUDE:
            return {}
        self._tried[run.id] = self._credentials()
        going_on = {"resume": await self.sessions.to_resume(run, snapshot)}
        if run.trigger is not TriggerKind.ANSWER:
            return going_on
        # What the gate asks, whether there is anything to do, a person has answered too.
        return {**going_on, "answer": run.extra.get(ANSWER, ""), "gate": None}

    # after an attempt, and at the end

    async def learn(self, run: Run, snapshot: Mapping[str, Any], now: datetime) -> None:
        """An attempt has ended, and its run has the result."""
        result = run.result
        if snapshot["type"] != TaskType.CLAUDE or result is None:
            return
        await self.sessions.used(run, snapshot, result, now)
        self._learn_login(run, result, now)
        self._allowance = self._allowance.after(result, now)
        # Each time: nobody knows whether the transaction came to its end in which the last news was written.
        await self._store.set_meta(ALLOWANCE, json.dumps(_plain(self._allowance)))

    def _learn_login(self, run: Run, result: Result, now: datetime) -> None:
        """What was refused is what the attempt began with: somebody may have logged in since."""
        tried = self._tried.get(run.id, self._credentials())
        if result.cause is Cause.LOGIN:
            since = self._login.since if self._login else now
            cure = _cure_of(result.reason)
            self._login = NotLoggedIn(since=since, tried_at=now, cure=cure, credentials=tried)
            self._troubles.begin(LOGIN, f"Claude is not logged in since {clock_words(since, self._zone())}: {cure}")
        elif result.turns or result.outcome is Outcome.SUCCESS:
            self._login = None
            self._troubles.end(LOGIN, "Claude is logged in")

    def respite(self, run: Run, snapshot: Mapping[str, Any], next_fire: NextFire, now: datetime) -> Wait | Skip | None:
        """Whether a run whose attempt failed for no fault of its own waits or is skipped; None: as any failure."""
        if run.result is None or run.result.cause is None:
            return None
        late = late_limit(snapshot) or LONGEST_LATE
        bounds = Bounds(
            next_fire=self._next_fire(run, next_fire),
            too_late=run.claimed_at + late,
            time_is_up=(run.started_at or now) + timedelta(seconds=snapshot["timeout_s"]),
        )
        return respite(run.result, excused(run), bounds, now, self._zone())

    def reopened(self, run: Run, outcome: Outcome, reason: str) -> Run:
        """The run as it ends: an answer that never came to Claude's ears leaves its question open."""
        self._tried.pop(run.id, None)
        if run.trigger is not TriggerKind.ANSWER or outcome is Outcome.SUCCESS:
            return run
        result = run.result or Result(outcome=outcome, reason=reason)
        if result.question or not (run.never_started or result.cause in _OUTSIDE):
            return run
        asks = replace(result, question=run.extra.get(QUESTION, ""), session_id=run.extra.get(SESSION) or None)
        return replace(run, result=asks)


def excused(run: Run) -> int:
    """How many of its attempts failed for no fault of the task."""
    return int(run.extra.get(EXCUSED, "0"))


def _cure_of(reason: str) -> str:
    """What a refused run says to do, without that nobody is logged in: whoever quotes it has said so."""
    said, _, cure = reason.partition(": ")
    return cure if said.lower() == "not logged in" else reason


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _plain(known: Allowance) -> dict[str, Any]:
    return {
        "quota_until": known.quota_until.isoformat() if known.quota_until else None,
        "usage": known.usage,
        "usage_until": known.usage_until.isoformat() if known.usage_until else None,
    }
