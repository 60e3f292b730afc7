"""Fire times claimed shortly ahead (rule 4): when, how many in one pass, and for which of them a start is got ready."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from vault_scheduler.clock import LONGEST_WAIT_S
from vault_scheduler.daemon.claims import Claims
from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.endings import Endings
from vault_scheduler.planning.early import LONGEST_LEAD, MOST_AHEAD, is_early, is_taken_back, lead
from vault_scheduler.run import Run

A_PASS = 250
"""After so many other things get their turn: starts and edits do not wait for a thousand claims."""


class ClaimsAhead:
    """Puts fire times into the tick's plans before they come. `on` False: nothing is claimed ahead."""

    def __init__(self, core: Core, claims: Claims, endings: Endings, *, on: bool) -> None:
        self._survey, self._roster, self._dispatcher = core.survey, core.roster, core.dispatcher
        self._claims, self._endings, self._on = claims, endings, on
        self._upto = datetime.min.replace(tzinfo=UTC)  # fire times until then have been claimed, if they could
        self._line: deque[tuple[datetime, str]] = deque()  # of those, the ones that have yet to be

    def moment(self, now: datetime) -> datetime | None:
        """When something is to be claimed: shortly before its fire time, and then if it could not be before."""
        if self._line:
            return now
        moment = self._roster.agenda.next_moment()
        if moment is None or not self._on or moment <= self._upto:
            return moment
        if moment - now > LONGEST_LEAD + timedelta(seconds=LONGEST_WAIT_S):
            return moment - LONGEST_LEAD  # so far away that it is looked at again before
        return moment - self._lead()

    def _lead(self) -> timedelta:
        return lead(self._roster.agenda.crowd(MOST_AHEAD))

    def claim(self, now: datetime) -> None:
        """Plan what is due in a moment, so that only its start is left to do then."""
        if not self._on:
            return
        if not self._line:
            self._upto = now + self._lead()
            self._line.extend(self._roster.agenda.soon(self._upto))
        for _ in range(min(A_PASS, len(self._line))):
            self._claim(*self._line.popleft(), now)

    def _claim(self, moment: datetime, task_id: str, now: datetime) -> None:
        tracked = self._roster.get(task_id)
        is_near = now < moment <= now + LONGEST_LEAD  # the clock may have been set back since the line was made
        if tracked is None or not is_near or self._roster.agenda.moment_of(task_id) != moment:
            return
        with self._roster.alone(task_id):
            if self._claims.fire_ahead(task_id, tracked, moment, now):
                self._survey.keeping.fired(tracked.task.path)
                self._endings.schedule_look(task_id, now)

    async def prepare(self, claimed: Mapping[str, Run], now: datetime) -> None:
        """Get those ready that will be the first to start."""
        if not any(is_early(run, now) for run in claimed.values()):
            return
        line = sorted(self._dispatcher.early(now), key=lambda run: (run.fire_time, run.id))
        for run in line[: self._survey.settings_note.in_force.max_parallel]:
            if run.key in claimed:
                await self._dispatcher.outcomes.alone(run, self._dispatcher.turns.prepare(run, now), now)

    def take_back(self, now: datetime) -> Iterable[str]:
        """The clock was set back before claims of ours: they never were true; the tasks that they are of."""
        touched = [run for run in self._dispatcher.early(now) if is_taken_back(run, now)]
        for run in touched:
            with self._roster.alone(run.task):
                self._claims.unclaim(run)
        return [run.task for run in touched]
