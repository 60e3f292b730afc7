"""Followers: the tasks that come `after` runs that have ended are claimed, once for each such run (rule 1.5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from vault_scheduler.daemon.claims import Claims
from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.roster import Tracked
from vault_scheduler.ledger.rows import FOLLOWS_SINCE
from vault_scheduler.ledger.store import OVERLAPS, PARENT
from vault_scheduler.planning.chains import is_due, qualifies, why_not
from vault_scheduler.run import Outcome, Run, TriggerKind

Absence = Callable[[datetime], str]


class Followers:
    """Puts the children of ended runs into the tick's plans, together with the mark that the runs are done with.

    Both are committed in one transaction, so that a crash makes neither two children nor none.
    """

    def __init__(self, core: Core, claims: Claims) -> None:
        self._store, self._roster, self._dispatcher = core.store, core.roster, core.dispatcher
        self._claims = claims
        self.pending = True  # runs may have ended that nobody followed; at the start: of former daemons

    async def claim(self, now: datetime, absence: Absence) -> None:
        """Plan what comes after the runs that have ended. Only when all notes are known.

        `absence` tells why the end of a run was not looked at when it came.
        """
        if not self.pending:
            return
        followed = self._claims.plans.followed
        ended = [run for run in await self._store.unfollowed() if run.id not in followed]
        children = {child for run in ended for child in self._roster.chains.children_of(run.task)}
        since = {child: await self._since(child, now) for child in children}
        busy = {child for child in children if self._claims.is_busy(child)}  # those of one look wait their turn
        for run in ended:  # nothing is awaited any more: all of it is planned, or nothing
            for child in self._roster.chains.children_of(run.task):
                with self._roster.alone(child):
                    self._follow(run, child, now, since=since[child], overlapping=child in busy, absence=absence)
            followed.append(run.id)
        self.pending = False

    async def _since(self, child: str, now: datetime) -> datetime | None:
        """From when on ends of runs start the child; None: whenever they come, also if the clock was set back since."""
        key = FOLLOWS_SINCE + child
        told = self._claims.plans.meta.get(key) or await self._store.get_meta(key)
        since = datetime.fromisoformat(told) if told else None
        return since if since is not None and since <= now else None

    def _follow(
        self, parent: Run, child: str, now: datetime, *, since: datetime | None, overlapping: bool, absence: Absence
    ) -> None:
        tracked = self._roster.get(child)
        ended_at = parent.ended_at
        if tracked is None or ended_at is None or not tracked.fires:
            return
        if tracked.standing.since is not None:
            since = max(since or tracked.standing.since, tracked.standing.since)
        if not qualifies(tracked.task.after_outcome, parent.outcome) or not is_due(tracked.task, ended_at, since):
            return
        if tracked.is_used_up(self._roster.row(child)):
            return
        verdict = why_not(
            ended_at,
            now,
            standing=tracked.standing,
            policies=tracked.policies,
            overlapping=overlapping,
            room=self._claims.room(tracked),
            absence=absence,
            overlap_reason=self._claims.overlap_reason(child),
        )
        self._plan(parent, tracked, ended_at, now, overlapping=overlapping, verdict=verdict)

    def _plan(
        self,
        parent: Run,
        child: Tracked,
        ended_at: datetime,
        now: datetime,
        *,
        overlapping: bool,
        verdict: tuple[Outcome, str] | None,
    ) -> None:
        extra = {PARENT: parent.id} | ({OVERLAPS: "1"} if overlapping else {})
        claim, snapshots = self._dispatcher.new_claim(
            child.task, child.policies, TriggerKind.AFTER, parent.key, ended_at, now, extra
        )
        if verdict is not None:
            self._claims.end_unstarted(claim.run, child, *verdict, now)
            return
        self._claims.plans.snapshots.update(snapshots)
        self._claims.plans.claim(claim)
