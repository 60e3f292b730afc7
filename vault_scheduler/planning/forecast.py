"""Foresee what the whole vault will run: the planner's own decisions on a simulated clock. Pure (rules 3, 4 and 5).

Every run is taken to succeed in its expected time. What nobody can know (changed files, starts of the daemon,
failures, answers of a gate) is left out; whoever asks is told by the command.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vault_scheduler.planning.budget import affordable
from vault_scheduler.planning.chains import is_due, qualifies, why_not
from vault_scheduler.planning.foreseen import Expected, Forecast, Foreseen, Underway
from vault_scheduler.planning.planner import (
    DELETED,
    Agenda,
    Limits,
    is_going,
    plan_fire_times,
    superseded,
    take_turns,
)
from vault_scheduler.planning.simulated import Active, Tracked, goes_on, unstarted
from vault_scheduler.planning.standing import Standing, standing, vault_off
from vault_scheduler.run import Outcome, Run, RunState, TriggerKind, counts_as_run, fire_key, run_key
from vault_scheduler.settings import Settings, resolve
from vault_scheduler.task import ClaudeAction, Task

MOST_EFFORT = 1_000_000
"""Where a simulation stops: about 100,000 fire times, fewer where many runs wait at once."""
_EFFORT_OF_A_MOMENT = 8
_INSTANT = timedelta(microseconds=1)
_NOT_RUNNING = "the scheduler was off"
SUPERSEDED = "a later fire time takes its place"


def forecast(
    tasks: Iterable[Expected],
    underway: Iterable[Underway],
    settings: Settings,
    *,
    host: str,
    now: datetime,
    until: datetime,
    followers: Callable[[str], Sequence[str]] = lambda _: (),
    spent: Callable[[str, datetime], tuple[float, float]] = lambda _task, _moment: (0.0, 0.0),
    effort: int = MOST_EFFORT,
) -> Forecast:
    """What machine `host` will run up to and including `until`, if its daemon runs from `now` on.

    `followers`: the ids of the tasks that a successful run of this one starts. `spent`: US dollars that have been spent
    already on the day of a moment, by a task and by the vault. Runs to come are taken to cost nothing: what is skipped
    for the budget here, is skipped in any case.
    """
    simulation = _Simulation(settings, host, until, followers, spent)
    for each in tasks:
        simulation.track(each, now)
    for run in underway:
        simulation.take_over(run, now)
    return simulation.play(now, effort)


class _Simulation:
    """The daemon's tick, from one moment at which something happens to the next."""

    def __init__(
        self,
        settings: Settings,
        host: str,
        until: datetime,
        followers: Callable[[str], Sequence[str]],
        spent: Callable[[str, datetime], tuple[float, float]],
    ) -> None:
        self._settings = settings
        self._host = host
        self._until = until
        self._followers = followers
        self._spent = spent
        self._limits = Limits(max_parallel=settings.max_parallel, max_claude=settings.max_claude)
        self._tracked: dict[str, Tracked] = {}
        self._agenda = Agenda()
        self._active: dict[str, Active] = {}
        self._waiting: set[str] = set()
        self._of_task: Counter[str] = Counter()  # runs that have not ended
        self._ends: list[tuple[datetime, str]] = []
        self._foreseen: list[Foreseen] = []

    # how it begins

    def track(self, each: Expected, now: datetime) -> None:
        """This task is one of the vault's."""
        tracked = Tracked(
            task=each.task,
            takes=each.takes,
            held=each.held,
            policies=resolve(each.task, self._settings),
            watermark=each.watermark,
            started=each.started,
            standing=self._stand(each.task, each.held, now),
        )
        self._tracked[each.task.id] = tracked
        self._schedule_look(tracked)

    def take_over(self, each: Underway, now: datetime) -> None:
        """This run has been claimed: it goes on, waits on, or (the task is off by now) ends unstarted."""
        run = each.candidate.run
        active = Active(
            candidate=each.candidate, was_claimed=True, ends_at=each.ends_at, outcome=each.outcome, reason=each.reason
        )
        tracked = self._tracked.get(run.task)
        is_off = bool(vault_off(self._settings, now))
        if each.ends_at is None and (tracked is None or not goes_on(run, tracked.standing, is_off)):
            blocked = tracked is not None and tracked.standing.state.blocks
            reason = tracked.standing.reason if tracked else DELETED
            self._foreseen.append(active.foreseen(Outcome.BLOCKED if blocked else Outcome.SKIPPED, reason))
            return
        self._add(active)
        if each.ends_at is not None:
            heapq.heappush(self._ends, (max(each.ends_at, now), run.id))

    def _stand(self, task: Task, held: str, now: datetime) -> Standing:
        return standing(task, self._settings, host=self._host, now=now, held=held)

    # the loop

    def play(self, now: datetime, effort: int) -> Forecast:
        """Let time pass until nothing that is due by `until` is open any more, or the effort is spent."""
        moment: datetime | None = now
        while moment is not None and effort > 0:
            now = moment
            effort -= _EFFORT_OF_A_MOMENT + len(self._active)
            ended = self._end_runs(now)
            if now <= self._until:
                self._claim_followers(ended, now)
                self._claim_due(now)
            while self._waiting and self._start_what_may(now):
                pass
            self._look_after(ended)
            moment = self._next_moment(now)
        is_cut = moment is not None and now < self._until
        self._foreseen += [active.foreseen(Outcome.SUCCESS) for active in self._active.values()]
        self._foreseen.sort(key=lambda each: (each.fire_time, each.starts_at or each.fire_time, each.task))
        return Forecast(runs=tuple(self._foreseen), until=now if is_cut else self._until, is_cut=is_cut)

    def _next_moment(self, now: datetime) -> datetime | None:
        """When something happens next; None once nothing is due any more and nothing waits."""
        look, end = self._agenda.next_moment(), self._ends[0][0] if self._ends else None
        moments = [moment for moment in (look, end) if moment is not None and moment <= self._until]
        if self._waiting:
            moments += [end] if end is not None else []
            retries = (self._active[run].run.not_before for run in self._waiting)
            moments += [moment for moment in retries if moment is not None and moment > now]
        return min(moments, default=None)

    def _end_runs(self, now: datetime) -> list[Run]:
        ended = []
        while self._ends and self._ends[0][0] <= now:
            _, run = heapq.heappop(self._ends)
            if (active := self._active.get(run)) is not None:
                ended.append(replace(active.run, outcome=active.outcome))
                self._end(active, active.outcome, active.reason)
        return ended

    def _end(self, active: Active, outcome: Outcome, reason: str = "") -> None:
        self._foreseen.append(active.foreseen(outcome, reason))
        self._waiting.discard(active.run.id)
        del self._active[active.run.id]
        self._of_task[active.run.task] -= 1

    def _look_after(self, ended: Sequence[Run]) -> None:
        """A task whose `max_runs` are made has nothing left to fire."""
        for run in ended:
            tracked = self._tracked.get(run.task)
            if tracked is not None and tracked.is_used_up:
                self._schedule_look(tracked)

    def _schedule_look(self, tracked: Tracked) -> None:
        moments = [tracked.standing.until] if tracked.standing.until else []
        fires = tracked.standing.armed and not tracked.is_used_up
        tracked.fire_time = tracked.task.schedule.next_after(tracked.watermark) if fires else None
        moments += [tracked.fire_time] if tracked.fire_time else []
        self._agenda.put(tracked.task.id, min(moments, default=None))

    # claims

    def _claim_due(self, now: datetime) -> None:
        for task in self._agenda.take_due(now):
            tracked = self._tracked[task]
            if tracked.standing.until is not None and tracked.standing.until <= now:
                tracked.standing = self._stand(tracked.task, tracked.held, now)
            if tracked.standing.armed:
                self._fire(tracked, now)
            self._schedule_look(tracked)

    def _fire(self, tracked: Tracked, now: datetime) -> None:
        task, overlapping = tracked.task, self._of_task[tracked.task.id] > 0
        # Nothing lies between the watermark and a fire time that is now: to look there again would only take long.
        is_now = tracked.fire_time == now
        plan = plan_fire_times(
            task.schedule,
            watermark=now - _INSTANT if is_now else tracked.watermark,
            now=now,
            standing=tracked.standing,
            policies=tracked.policies,
            overlapping=overlapping,
            absence=lambda _: _NOT_RUNNING,
            room=self._room(tracked),
        )
        self._foreseen += [unstarted(task.id, gap) for gap in plan.ranges]
        for fire_time in plan.claims:
            self._claim(tracked, TriggerKind.AT, fire_key(task.id, fire_time), fire_time, now, overlaps=overlapping)
        tracked.watermark = max(plan.watermark, tracked.watermark)

    def _room(self, tracked: Tracked) -> int | None:
        if tracked.task.max_runs is None:
            return None
        runs = (active.run for active in self._active.values() if active.run.task == tracked.task.id)
        waiting = sum(run.never_started and counts_as_run(run.trigger) for run in runs)
        return max(0, tracked.task.max_runs - tracked.started - waiting)

    def _claim_followers(self, ended: Sequence[Run], now: datetime) -> None:
        """Once for each run that has ended; those of one moment do not overlap each other (rule 1.5)."""
        pairs = [
            (parent, child) for parent in ended for child in self._followers(parent.task) if child in self._tracked
        ]
        busy = {child for _, child in pairs if self._of_task[child]}
        for parent, child in pairs:
            self._follow(parent, self._tracked[child], now, overlapping=child in busy)

    def _follow(self, parent: Run, child: Tracked, now: datetime, *, overlapping: bool) -> None:
        task, stands = child.task, child.standing
        starts = stands.armed and not child.is_used_up and qualifies(task.after_outcome, parent.outcome)
        if not starts or not is_due(task, now, stands.since):
            return
        verdict = why_not(
            now,
            now,
            standing=stands,
            policies=child.policies,
            overlapping=overlapping,
            room=self._room(child),
            absence=lambda _: _NOT_RUNNING,
        )
        key = run_key(task.id, TriggerKind.AFTER, parent.key)
        active = self._claim(child, TriggerKind.AFTER, key, now, now, overlaps=overlapping, parent=parent.task)
        if verdict is not None:
            self._end(active, *verdict)

    def _claim(
        self,
        tracked: Tracked,
        kind: TriggerKind,
        key: str,
        fire_time: datetime,
        now: datetime,
        *,
        overlaps: bool,
        parent: str = "",
    ) -> Active:
        active = Active(candidate=tracked.candidate(kind, key, fire_time, now, overlaps=overlaps), parent=parent)
        self._add(active)
        return active

    def _add(self, active: Active) -> None:
        self._active[active.run.id] = active
        self._of_task[active.run.task] += 1
        if not is_going(active.run):
            self._waiting.add(active.run.id)

    # turns

    def _start_what_may(self, now: datetime) -> bool:
        """As the dispatcher does it; whether places were set free, so that it is to be asked again."""
        cancelled = [self._active[c.run.id] for c in superseded(a.candidate for a in self._active.values())]
        for active in [each for each in cancelled if not is_going(each.run)]:
            active.wait(active.waits_for, now)
            self._end(active, Outcome.SKIPPED, SUPERSEDED)
        going = [a.candidate for a in self._active.values() if is_going(a.run)]
        waiting = [self._active[run].candidate for run in self._waiting]
        refused = 0
        for turn in take_turns(waiting, going, self._limits, now):
            active = self._active[turn.run.id]
            active.wait(turn.waits_for, now)
            if not turn.waits_for:
                refused += not self._start_if_affordable(active, now)
        stopped = [each for each in cancelled if is_going(each.run)]
        for active in stopped:
            active.ends_at = now
            self._end(active, Outcome.CANCELLED, SUPERSEDED)
        return bool(stopped or refused) and bool(self._waiting)

    def _start_if_affordable(self, active: Active, now: datetime) -> bool:
        refusal = self._refusal(active.run, now) if active.run.reserved_usd else ""
        if refusal:
            self._end(active, Outcome.SKIPPED, refusal)
            return False
        self._start(active, now)
        return True

    def _refusal(self, run: Run, now: datetime) -> str:
        """As the guard judges a start: of those that wait only the ones before this one have money reserved."""
        action, turn = self._tracked[run.task].task.action, (run.fire_time, run.id)
        runs = [active.run for active in self._active.values() if active.run.id != run.id]
        before = [other for other in runs if is_going(other) or (other.fire_time, other.id) < turn]
        by_task, by_vault = self._spent(run.task, now)
        return (
            affordable(
                spent_task=by_task,
                spent_vault=by_vault,
                reserved_task=sum(other.reserved_usd for other in before if other.task == run.task),
                reserved_vault=sum(other.reserved_usd for other in before),
                ask=run.reserved_usd,
                task_cap=action.max_usd_day if isinstance(action, ClaudeAction) else None,
                vault_cap=self._settings.vault_max_usd_day,
            )
            or ""
        )

    def _start(self, active: Active, now: datetime) -> None:
        run, tracked = active.run, self._tracked[active.run.task]
        if run.never_started and counts_as_run(run.trigger):
            tracked.started += 1
        begun = replace(run, state=RunState.RUNNING, attempts=run.attempts + 1, started_at=run.started_at or now)
        active.candidate = replace(active.candidate, run=begun)
        active.ends_at = now + tracked.takes
        self._waiting.discard(run.id)
        heapq.heappush(self._ends, (active.ends_at, run.id))
