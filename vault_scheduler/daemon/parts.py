"""The parts of the daemon, wired: each with what it may ask and tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from vault_scheduler.clock import Clock
from vault_scheduler.daemon.changes import Changes
from vault_scheduler.daemon.claims import Claims
from vault_scheduler.daemon.claude_runs import ClaudeRuns
from vault_scheduler.daemon.conversations import Questions
from vault_scheduler.daemon.dispatcher import Dispatcher
from vault_scheduler.daemon.endings import Endings
from vault_scheduler.daemon.followers import Followers
from vault_scheduler.daemon.guard import Guard
from vault_scheduler.daemon.inbox import Inbox
from vault_scheduler.daemon.last_good import LastGood
from vault_scheduler.daemon.ledger_watch import LedgerWatch
from vault_scheduler.daemon.notifier import Notifier
from vault_scheduler.daemon.revision import Revision
from vault_scheduler.daemon.roster import Roster
from vault_scheduler.daemon.run_reports import RunReports
from vault_scheduler.daemon.scribe import Scribe
from vault_scheduler.daemon.status_writer import StatusWriter
from vault_scheduler.daemon.surroundings import NoteSurroundings
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.daemon.troubles import Tell, Troubles
from vault_scheduler.engine import Engine
from vault_scheduler.ledger.good_notes import GoodNotes
from vault_scheduler.ledger.store import Store, TaskRow
from vault_scheduler.notifiers.base import Postman
from vault_scheduler.planning.attendance import Attendance
from vault_scheduler.vault.vault import Vault


class Parts:
    """Only wires; what the parts do together is the scheduler's."""

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
        tell: Tell,
        only_requests: bool = False,
        ledger_lost: bool = False,
        ran_until: datetime | None = None,
        troubles: Troubles | None = None,
        hold: Callable[[], None] = lambda: None,
        good_notes: GoodNotes | None = None,
        credentials: Callable[[], object] = lambda: None,
        postman: Postman | None = None,
        mask: Callable[[str], str] = str,
    ) -> None:
        self.store = store
        self.survey = survey
        self.guard = guard
        self.troubles = troubles or Troubles(tell)
        self.attendance = Attendance()
        self.roster = Roster(survey, guard, host, rows, ledger_lost=ledger_lost, ran_until=ran_until)
        self.questions = Questions()
        self.claude = ClaudeRuns(
            store,
            questions=self.questions,
            troubles=self.troubles,
            credentials=credentials,
            zone=lambda: ZoneInfo(survey.timezone),
        )
        self.dispatcher = Dispatcher(
            store=self.store,
            engine=engine,
            budget=self.guard,
            view=lambda task: self.roster.view(task, clock.now()),
            vault=str(vault.root),
            system_folder=vault.system_folder,
            report=lambda run, what: self.reports.take(run, what),
            claude=self.claude,
            named_files=lambda: self.roster.named_files(vault),
        )
        self.around = NoteSurroundings(
            survey=self.survey,
            roster=self.roster,
            clock=clock,
            host=host,
            runs_of=self.dispatcher.of_task,
            questions=self.questions,
            tell=tell,
        )
        self.scribe = self.around.scribe = Scribe(vault=vault, store=self.store, surroundings=self.around)
        self.claims = Claims(
            store=self.store,
            survey=self.survey,
            roster=self.roster,
            dispatcher=self.dispatcher,
            questions=self.questions,
            scribe=self.scribe,
            tell=tell,
        )
        self.followers = Followers(
            store=self.store,
            roster=self.roster,
            dispatcher=self.dispatcher,
            claims=self.claims,
            scribe=self.scribe,
            tell=tell,
        )
        self.changes = Changes(vault=vault, roster=self.roster, claims=self.claims, start_id=start_id)
        self.around.also_wrote = self.changes.wrote
        self.status = StatusWriter(
            vault=vault,
            store=self.store,
            survey=self.survey,
            roster=self.roster,
            dispatcher=self.dispatcher,
            guard=self.guard,
            around=self.around,
            troubles=self.troubles,
            pen=self.scribe.pen,
            host=host,
        )
        self.inbox = Inbox(store=self.store, survey=self.survey, roster=self.roster, claims=self.claims)
        self.endings = Endings(
            store=self.store,
            survey=self.survey,
            roster=self.roster,
            dispatcher=self.dispatcher,
            scribe=self.scribe,
            around=self.around,
            tell=tell,
        )
        self.last_good = LastGood(
            good_notes,
            self.survey.registry,
            quiet_s=self.around.quiet_s,
            held=self.guard.held,
            report=self.around.report,
        )
        self.revision = Revision(
            store=self.store,
            survey=self.survey,
            roster=self.roster,
            guard=self.guard,
            attendance=self.attendance,
            dispatcher=self.dispatcher,
            questions=self.questions,
            claims=self.claims,
            changes=self.changes,
            endings=self.endings,
            scribe=self.scribe,
            around=self.around,
            last_good=self.last_good,
            tell=tell,
            troubles=self.troubles,
            host=host,
            only_requests=only_requests,
        )
        self.notifier = self._notified_by(vault, host, clock, postman, mask)
        self.ledger = LedgerWatch(
            store=store,
            guard=guard,
            around=self.around,
            troubles=self.troubles,
            hold=hold,
            tell=tell,
        )
        self.reports = RunReports(
            clock=clock,
            roster=self.roster,
            guard=guard,
            questions=self.questions,
            followers=self.followers,
            changes=self.changes,
            endings=self.endings,
            last_good=self.last_good,
            scribe=self.scribe,
            around=self.around,
            status=self.status,
            notifier=self.notifier,
            tell=tell,
        )
        guard.watch(self.dispatcher.active)

    def _notified_by(
        self, vault: Vault, host: str, clock: Clock, postman: Postman | None, mask: Callable[[str], str]
    ) -> Notifier | None:
        if postman is None:
            return None
        notifier = Notifier(
            store=self.store,
            survey=self.survey,
            roster=self.roster,
            guard=self.guard,
            around=self.around,
            troubles=self.troubles,
            postman=postman,
            vault_name=vault.root.name,
            host=host,
            mask=mask,
            log=lambda who, what: self.around.log_fault(f"{who}: {what}", "", clock.now()),
        )
        self.endings.has_paused = notifier.paused
        self.dispatcher.outcomes.hears = lambda task, topic, started: notifier.hears(task, topic, started=started)
        return notifier
