"""Who has to know what happens to a run: notes, chains, pins, problems and people."""

from __future__ import annotations

from vault_scheduler.clock import Clock
from vault_scheduler.daemon.changes import Changes
from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.endings import Endings
from vault_scheduler.daemon.followers import Followers
from vault_scheduler.daemon.last_good import LastGood
from vault_scheduler.daemon.notifier import Notifier
from vault_scheduler.daemon.status_writer import StatusWriter
from vault_scheduler.planning.planner import is_going
from vault_scheduler.run import Run, RunState


class RunReports:
    """Passes on what the dispatcher reports.

    It is in the ledger by then: a fault of ours in hearing of it changes nothing about the run, and holds up no other.
    """

    def __init__(
        self,
        core: Core,
        clock: Clock,
        *,
        followers: Followers,
        changes: Changes,
        endings: Endings,
        last_good: LastGood,
        status: StatusWriter,
        notifier: Notifier,
    ) -> None:
        self._roster, self._guard, self._questions = core.roster, core.guard, core.questions
        self._scribe, self._around, self._tell = core.scribe, core.around, core.tell
        self._troubles, self._clock = core.troubles, clock
        self._followers, self._changes, self._endings = followers, changes, endings
        self._last_good, self._status, self._notifier = last_good, status, notifier

    def take(self, run: Run, what: str) -> None:
        """Something has happened to a run: it started, was found, withdrawn, waits or has ended."""
        with self._troubles.within("runs"):
            self._pass_on(run, what)

    def _pass_on(self, run: Run, what: str) -> None:
        now = self._clock.now()
        self._status.poke()
        if run.state is RunState.ENDED:
            self._questions.run_ended(run)
            self._followers.pending = True
            self._endings.add(run)
            self._guard.run_ended(run, run.ended_at or now)
            self._last_good.run_ended(run, run.ended_at or now)
            self._scribe.poke()
            return
        tracked = self._roster.get(run.task)
        if what == "withdrawn":
            self._roster.has_started(run, -1)
            self._guard.run_withdrawn(run)
            return
        if run.state is RunState.WAITING:
            self._guard.run_ended(run, now)  # nothing of it is alive until its next attempt
            self._last_good.run_ended(run, now)
            self._around.waits(run)
        if is_going(run):  # first: what it may write is under suspicion, whoever else cannot hear of it
            began = self._clock.monotonic() if what == "started" else None
            self._guard.run_started(run, tracked.task if tracked else None, began)
            self._last_good.run_started(run, now)
        if what == "started" and run.attempts == 1:
            self._roster.has_started(run)
            self._notifier.attempt_began(run)
        if what == "started":
            self._changes.attempt_began(run, self._clock.monotonic())
        self._tell(what, run.task, "")
