"""What people are told about: an incident is one task with one kind of error, told once and not at each repeat. Pure.

The first failure of an incident is told at once; repeats are counted and told again once a day; the first success
after a told failure is told as recovery (rule 6).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from vault_scheduler.run import Cause, Outcome, Run
from vault_scheduler.task import Topic

TOLD_AGAIN = timedelta(hours=24)
"""An incident that goes on is told again after this time, not sooner."""
MOST_A_DAY = 10
"""Failures and recoveries of one task that are told in 24 hours: one that comes and goes would never be silent."""
BUDGET_REASON = "budget:"
"""How the reason of a run begins that was skipped because it could not be paid for."""
LOGIN_SUBJECT = "claude"
_LONGEST_SIGNATURE = 300  # characters
_VARYING = re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-z-]*\d)[0-9a-f]{6,}(?:-[0-9a-f]{4,})*\b|\d+", re.IGNORECASE)


class Origin(StrEnum):
    """Where an incident comes from: what ends it depends on that."""

    RUN = "run"  # runs of a task, until one succeeds; the subject is the task's id
    LOGIN = "login"  # of Claude, whichever task met it, until a run of Claude succeeds
    STANDING = "standing"  # what is wrong now: a note's problem, a trouble of the daemon, a held task; until it is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that is wrong and has not ended yet. Times aware and in UTC."""

    origin: Origin
    subject: str  # a task's id; for what stands: a note's path, or the name of a trouble
    signature: str
    topic: Topic
    since: datetime
    count: int = 1  # fire times
    told_at: datetime | None = None
    acked_at: datetime | None = None  # a person knows: silence until it ends
    run: str = ""  # the last one that was counted
    run_count: int = 0  # fire times of it that were counted: a row of what did not start may grow

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from all others that are open."""
        return self.origin, self.subject, self.signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One run's end as far as people may want to hear of it."""

    origin: Origin
    subject: str
    topic: Topic
    signature: str
    run: str
    count: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """That somebody is to be told, and how it stands. `last`: nothing more of this subject for a day."""

    topic: Topic
    since: datetime
    count: int = 1
    again: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of the incidents of a subject, and what is told."""

    keep: Incident | None = None
    close: tuple[Incident, ...] = ()
    tell: Telling | None = None


def topic_of(run: Run) -> Topic | None:
    """What the end of a run is about; None: nothing that anybody is told.

    What a note or a hold keeps from starting is told as such, once, and not at each of its fire times.
    """
    if run.outcome is Outcome.SUCCESS:
        return Topic.SUCCESS
    if run.outcome is not None and run.outcome.is_failed:
        return Topic.FAILURE
    if run.outcome is Outcome.BLOCKED:
        return Topic.BLOCKED if run.attempts else None
    if run.outcome is Outcome.MISSED:
        return Topic.MISSED
    return Topic.BUDGET if run.outcome is Outcome.SKIPPED and run.reason.startswith(BUDGET_REASON) else None


def happening_of(run: Run, at: datetime) -> Happening | None:
    """The end of a run as a happening; None if nobody is told of such ends."""
    topic = topic_of(run)
    if topic is None or run.outcome is None:
        return None
    is_login = run.result is not None and run.result.cause is Cause.LOGIN and topic is Topic.BLOCKED
    return Happening(
        origin=Origin.LOGIN if is_login else Origin.RUN,
        subject=LOGIN_SUBJECT if is_login else run.task,
        topic=topic,
        signature="login" if is_login else signature(run.outcome, run.reason),
        run=run.id,
        count=run.count,
        at=at,
    )


def signature(outcome: Outcome, reason: str) -> str:
    """Outcome and reason without what differs from run to run: numbers, addresses, ids."""
    words = " ".join(_VARYING.sub("#", reason).lower().split())
    return f"{outcome.value}: {words}"[:_LONGEST_SIGNATURE]


def judge(
    happening: Happening, open_: Sequence[Incident], wanted: Collection[Topic], now: datetime, told_lately: int = 0
) -> Verdict:
    """What to make of the end of a run. `open_`: the incidents of its subject; `told_lately`: in the last 24 hours."""
    if happening.topic is Topic.SUCCESS:
        return _succeeded(happening, open_, wanted, told_lately)
    if happening.topic not in wanted:
        return Verdict()
    known = next((each for each in open_ if each.signature == happening.signature), None)
    if known is None:
        known = Incident(
            origin=happening.origin,
            subject=happening.subject,
            signature=happening.signature,
            topic=happening.topic,
            since=happening.at,
            count=0,
        )
    counted = replace(known, count=known.count + _new(happening, known), run=happening.run, run_count=happening.count)
    if counted == known:
        return Verdict()  # seen before: the daemon died between, or a row was looked at again
    if not _is_told(known, now) or told_lately >= MOST_A_DAY:
        return Verdict(keep=counted)
    telling = Telling(
        topic=happening.topic,
        since=counted.since,
        count=counted.count,
        again=known.told_at is not None,
        last=told_lately == MOST_A_DAY - 1,
    )
    return Verdict(keep=replace(counted, told_at=now), tell=telling)


def _new(happening: Happening, known: Incident) -> int:
    """How many fire times are new to an incident: a row of what did not start grows, and is told of again."""
    return max(0, happening.count - known.run_count) if known.run == happening.run else happening.count


def _is_told(incident: Incident, now: datetime) -> bool:
    if incident.acked_at is not None:
        return False
    return incident.told_at is None or not timedelta(0) <= now - incident.told_at < TOLD_AGAIN


def _succeeded(happening: Happening, open_: Sequence[Incident], wanted: Collection[Topic], told_lately: int) -> Verdict:
    failed = [each for each in open_ if each.topic is Topic.FAILURE and each.told_at is not None]
    close = tuple(open_)
    if failed and Topic.RECOVERY in wanted and told_lately < MOST_A_DAY:
        since = min(each.since for each in failed)
        count = sum(each.count for each in failed)
        last = told_lately == MOST_A_DAY - 1
        return Verdict(close=close, tell=Telling(topic=Topic.RECOVERY, since=since, count=count, last=last))
    tell = Telling(topic=Topic.SUCCESS, since=happening.at) if Topic.SUCCESS in wanted else None
    return Verdict(close=close, tell=tell)


# what stands


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """Something that is wrong now and is told once, until it is gone. `path`: of the note that it is about."""

    subject: str
    signature: str
    topic: Topic
    title: str
    text: str
    path: str = ""
    task: str = ""  # whose policies say who is told; "": the vault's


def changed_matters(now_standing: Iterable[Matter], open_: Iterable[Incident]) -> tuple[list[Matter], list[Incident]]:
    """What is new, and what is gone."""
    standing = {(matter.subject, matter.signature): matter for matter in now_standing}
    known = {(incident.subject, incident.signature): incident for incident in open_}
    new = [matter for key, matter in standing.items() if key not in known]
    return new, [incident for key, incident in known.items() if key not in standing]
