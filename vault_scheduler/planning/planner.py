"""Decide what is due, what is missed, what may start. Pure: no clock, no store, no waiting (rules 3 and 4)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vault_scheduler.planning.attendance import TOO_BUSY
from vault_scheduler.planning.quota import QUOTA
from vault_scheduler.planning.standing import Standing
from vault_scheduler.run import Outcome, Run, RunState, TriggerKind
from vault_scheduler.task import CatchUp, Overlap, Policies, TaskType
from vault_scheduler.triggers.schedule import Schedule

ON_TIME = timedelta(seconds=60)
"""Up to this late is on time for every policy (rule 4)."""
CATCH_UP_LIMIT = 100
"""`catch_up: all` runs at most the newest so many (rule 4)."""


STILL_RUNNING = "still running"
STILL_WAITS = "the run before it still waits"
USED_UP = "max_runs is used up"
DELETED = "the task was deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Consecutive fire times that do not start: one row in the ledger, one line in the note."""

    first: datetime
    last: datetime
    count: int
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirePlan:
    """What happens to the fire times of one task that are due: each is claimed or ends in a range."""

    claims: tuple[datetime, ...] = ()
    ranges: tuple[Range, ...] = ()
    watermark: datetime


def plan_fire_times(
    schedule: Schedule,
    *,
    watermark: datetime,
    now: datetime,
    standing: Standing,
    policies: Policies,
    overlapping: bool,
    absence: Callable[[datetime], str],
    room: int | None = None,
    overlap_reason: str = STILL_RUNNING,
) -> FirePlan:
    """Rule 4 up to the claim, for one task: collapse by `catch_up`, judge `max_late` once, then overlap.

    `overlapping`: a run of this task has not ended, as `overlap_reason` says. `room`: how many runs `max_runs` leaves.
    `absence` tells why a fire time may have gone by unseen ("asleep"): the reason of what is missed.
    The fire times of one catch-up never overlap each other: they wait their turn.
    """
    due = schedule.due(watermark, now, CATCH_UP_LIMIT + 1)
    if due is None:
        return FirePlan(watermark=watermark)
    last = due.newest[-1]
    if standing.state.blocks:
        whole = Range(first=due.first, last=last, count=due.count, outcome=Outcome.BLOCKED, reason=standing.reason)
        return FirePlan(ranges=(whole,), watermark=last)
    chosen = _in_time(_collapse(due.newest, now, policies.catch_up), now, policies)
    ranges: list[Range] = []
    missed = due.count - len(chosen)
    if missed:
        last_missed = due.newest[-1 - len(chosen)]
        reason = absence(due.first) if now - due.first > ON_TIME else "a later one was due too"
        ranges.append(Range(first=due.first, last=last_missed, count=missed, outcome=Outcome.MISSED, reason=reason))
    if chosen and overlapping and policies.overlap is Overlap.SKIP:
        ranges.append(_skipped(chosen, overlap_reason))
        chosen = ()
    if room is not None and len(chosen) > room:
        ranges.append(_skipped(chosen[room:], USED_UP))
        chosen = chosen[:room]
    return FirePlan(claims=chosen, ranges=tuple(ranges), watermark=last)


def is_first_in_line(runs: Iterable[Run], missed: datetime, absence: Callable[[datetime], str]) -> bool:
    """Whether all that these runs of a task wait for is their turn, and `missed` came due while nobody was there.

    They are of the same catch-up then: where each fire time of one runs, it waits behind them and overlaps nothing.
    """
    waited = all(run.trigger is TriggerKind.AT and run.never_started and run.fire_time < missed for run in runs)
    return waited and absence(missed) != TOO_BUSY


def _skipped(fire_times: tuple[datetime, ...], reason: str) -> Range:
    return Range(
        first=fire_times[0], last=fire_times[-1], count=len(fire_times), outcome=Outcome.SKIPPED, reason=reason
    )


def _collapse(newest: tuple[datetime, ...], now: datetime, catch_up: CatchUp) -> tuple[datetime, ...]:
    if catch_up is CatchUp.ALL:
        return newest[-CATCH_UP_LIMIT:]
    if catch_up is CatchUp.SKIP and now - newest[-1] > ON_TIME:
        return ()
    return newest[-1:]


def _in_time(chosen: tuple[datetime, ...], now: datetime, policies: Policies) -> tuple[datetime, ...]:
    if policies.catch_up is CatchUp.ALL:  # no limit but the number
        return chosen
    limit = max(policies.max_late or ON_TIME, ON_TIME)
    return tuple(moment for moment in chosen if now - moment <= limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many runs may be going at once."""

    max_parallel: int
    max_claude: int
    claude_waits: bool = False  # no Claude run starts at all: the plan's limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A claimed run that has not started, with what the limits need to know of its task."""

    run: Run
    type: TaskType
    overlap: Overlap
    group: str = ""
    overlaps: bool = False  # claimed while another run of its task had not ended
    session: str = ""  # of Claude, that it goes on with

    @property
    def turn(self) -> tuple[datetime, str]:
        """Its place in the line: by fire time."""
        return self.run.fire_time, self.run.id


def superseded(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The runs whose place a later fire time of their task has taken, oldest first (rule 4: overlap).

    `queue`: one waits, the newest. `cancel`: nothing older than the newest goes on. Whether it began or waits is for
    the caller to see. The fire times of one catch-up did not overlap when they were claimed, so they wait in line.
    """
    newest: dict[str, Candidate] = {}
    seen = sorted(candidates, key=lambda c: c.turn)
    for candidate in seen:
        if candidate.overlaps:
            newest[candidate.run.task] = candidate
    older = [c for c in seen if c.run.task in newest and c.turn < newest[c.run.task].turn]
    return [c for c in older if _gives_way(c, newest[c.run.task].overlap)]


def _gives_way(candidate: Candidate, overlap: Overlap) -> bool:
    if overlap is Overlap.QUEUE:
        return candidate.overlaps and candidate.run.never_started
    return overlap is Overlap.CANCEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a candidate does now: start ("" waits for nothing) or wait for something."""

    run: Run
    waits_for: str = ""


def take_turns(
    candidates: Iterable[Candidate], going: Sequence[Candidate], limits: Limits, now: datetime
) -> list[Turn]:
    """Who starts and who waits for what: by fire time, within the limits, one run of a task and a group at a time.

    A run in its retry delay keeps its task busy but takes no slot, and lets others of its group go first.
    """
    slots = limits.max_parallel - len(going)
    claude_slots = limits.max_claude - sum(c.type is TaskType.CLAUDE for c in going)
    busy = {c.run.task for c in going}
    groups = {c.group for c in going if c.group}
    sessions = {c.session for c in going if c.session}
    turns: list[Turn] = []
    for candidate in sorted(candidates, key=lambda c: c.turn):
        run, is_claude = candidate.run, candidate.type is TaskType.CLAUDE
        overlaps = run.task in busy and candidate.overlap is not Overlap.ALLOW
        busy.add(run.task)
        if overlaps:
            turns.append(Turn(run=run, waits_for="overlap"))
        elif is_claude and limits.claude_waits:
            turns.append(Turn(run=run, waits_for=QUOTA))
        elif run.not_before is not None and run.waiting_for != QUOTA and _is_ahead(run.not_before, now):
            turns.append(Turn(run=run, waits_for=run.waiting_for or "retry"))
        elif candidate.group in groups:
            turns.append(Turn(run=run, waits_for="group"))
        elif candidate.session in sessions:
            turns.append(Turn(run=run, waits_for="session"))
        elif slots <= 0 or (is_claude and claude_slots <= 0):
            turns.append(Turn(run=run, waits_for="slot"))
        else:
            slots -= 1
            claude_slots -= is_claude
            groups |= {candidate.group} - {""}
            sessions |= {candidate.session} - {""}
            turns.append(Turn(run=run))
    return turns


def _is_ahead(moment: datetime, now: datetime) -> bool:
    """Whether a retry is to be waited for; one that is further away than any delay is due: the clock was set back."""
    return now < moment <= now + RETRY_CEILING


def is_going(run: Run) -> bool:
    """Whether it occupies a slot."""
    return run.state in (RunState.STARTING, RunState.RUNNING)


RETRY_CEILING = timedelta(hours=1)


def retry_delay(policies: Policies, attempts: int) -> timedelta:
    """How long to wait after `attempts` attempts: doubling, at most an hour."""
    doubled: int = 2 ** min(attempts - 1, 16)
    return min(policies.retry_delay * doubled, RETRY_CEILING)


FEW = 100
"""So many moments that count no more are not worth clearing away."""


class Agenda:
    """When each task is to be looked at next: a heap with lazy deletion, so that an edit costs one task."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, str]] = []
        self._current: dict[str, datetime] = {}
        self._counted: tuple[datetime, int] | None = None  # the moment of the crowd that was counted last, and how far
        self._crowd = 0

    def put(self, task: str, moment: datetime | None) -> None:
        """Look at `task` at `moment`; None: not at all."""
        if self._current.get(task) == moment:
            return
        self._count_on(self._current.pop(task, None), moment)
        if moment is None:
            return
        self._current[task] = moment
        heapq.heappush(self._heap, (moment, task))
        if len(self._heap) > 2 * len(self._current) + FEW:
            self._heap = [(moment, task) for task, moment in self._current.items()]
            heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._heap)

    def take_due(self, now: datetime) -> list[str]:
        """The tasks whose moment has come, taken off the agenda."""
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now:
            moment, task = heapq.heappop(self._heap)
            if self._current.get(task) == moment:
                self._count_on(self._current.pop(task), None)
                due.append(task)
        return due

    def soon(self, upto: datetime) -> list[tuple[datetime, str]]:
        """The tasks whose moment comes by then, which stay on the agenda; with their moments, the first one first."""
        found: list[tuple[datetime, str]] = []
        while self._heap and self._heap[0][0] <= upto:
            entry = heapq.heappop(self._heap)
            if self._current.get(entry[1]) == entry[0]:
                found.append(entry)
        for entry in found:
            heapq.heappush(self._heap, entry)
        return found

    def crowd(self, most: int) -> int:
        """How many tasks have the earliest moment, counted up to `most`; some of them may have another one by now."""
        first = self.next_moment()
        if first is None:
            return 0
        if self._counted != (first, most):  # else every look would go through all of a crowd
            self._counted, self._crowd = (first, most), self._count(first, most)
        return min(self._crowd, most)

    def _count(self, first: datetime, most: int) -> int:
        count, look = 0, [0]
        while look and count < most:
            place = look.pop()
            if place < len(self._heap) and self._heap[place][0] == first:
                count += 1
                look += (2 * place + 1, 2 * place + 2)  # in a heap nothing is earlier than what it hangs on
        return count

    def _count_on(self, before: datetime | None, after: datetime | None) -> None:
        """A task leaves the crowd that was counted, or joins it."""
        if self._counted is not None:
            self._crowd += (after == self._counted[0]) - (before == self._counted[0])

    def moment_of(self, task: str) -> datetime | None:
        """When the task is to be looked at; None: not at all."""
        return self._current.get(task)

    def soonest(self, count: int) -> list[str]:
        """So many tasks that are looked at before all others, the first one first."""
        return heapq.nsmallest(count, self._current, key=self._current.__getitem__)

    def next_moment(self) -> datetime | None:
        """The earliest moment on the agenda."""
        while self._heap:
            moment, task = self._heap[0]
            if self._current.get(task) == moment:
                return moment
            heapq.heappop(self._heap)
        return None
