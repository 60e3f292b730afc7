"""The parts of the daemon, wired: each with what it may ask and tell."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.answers import Answers
from vault_scheduler.daemon.changes import Changes
from vault_scheduler.daemon.claims import Claims
from vault_scheduler.daemon.claims_ahead import ClaimsAhead
from vault_scheduler.daemon.claude_runs import ClaudeRuns
from vault_scheduler.daemon.conversations import Questions
from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.dispatcher import Dispatcher
from vault_scheduler.daemon.endings import Endings
from vault_scheduler.daemon.followers import Followers
from vault_scheduler.daemon.guard import Guard
from vault_scheduler.daemon.inbox import Inbox
from vault_scheduler.daemon.last_good import LastGood
from vault_scheduler.daemon.ledger_watch import LedgerWatch
from vault_scheduler.daemon.notifier import Notifier
from vault_scheduler.daemon.outfit import Outfit
from vault_scheduler.daemon.revision import Revision
from vault_scheduler.daemon.roster import Roster
from vault_scheduler.daemon.run_life import Reports, RunLife
from vault_scheduler.daemon.run_reports import RunReports
from vault_scheduler.daemon.scribe import Scribe
from vault_scheduler.daemon.signs_of_life import SignsOfLife
from vault_scheduler.daemon.snapshots import Snapshots
from vault_scheduler.daemon.status_writer import StatusWriter
from vault_scheduler.daemon.surroundings import NoteSurroundings
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.engine import Engine
from vault_scheduler.ledger.store import TaskRow
from vault_scheduler.notifiers.base import Postman
from vault_scheduler.parsing.parser import ParseContext, rebuild
from vault_scheduler.planning.attendance import Attendance
from vault_scheduler.planning.known import Former
from vault_scheduler.platform.filesystem import silent_type
from vault_scheduler.task import Task


class Parts:
    """Only wires; what the parts do together is the scheduler's."""

    def __init__(self, outfit: Outfit, engine: Engine, postman: Postman) -> None:
        self.outfit, self.engine = outfit, engine
        self.store, self.troubles = outfit.files.store, outfit.troubles
        self.attendance, self.questions = Attendance(), Questions()
        self.survey = _survey(outfit)
        self.guard = _guard(outfit, self.survey)
        self.roster = self._roster()
        self.claude = self._claude_runs()
        self.dispatcher = self._dispatcher()
        self.guard.watch(self.dispatcher.active)
        self.around = self._surroundings()
        self.scribe = self.around.scribe = Scribe(vault=outfit.vault, store=self.store, surroundings=self.around)
        self.core = self._core()
        self.claims = Claims(self.core)
        self.answers = Answers(self.core, self.claims)
        self.followers = Followers(self.core, self.claims)
        self.changes = Changes(vault=outfit.vault, roster=self.roster, claims=self.claims, start_id=outfit.start_id)
        self.around.also_wrote = self.changes.wrote
        self.inbox = Inbox(self.core, self.claims)
        self.endings = Endings(self.core)
        self.ahead = ClaimsAhead(self.core, self.claims, self.endings, on=outfit.start_tasks)
        self.last_good = self._last_good()
        self.revision = self._revision()
        self.status = StatusWriter(self.core, outfit.vault)
        self.ledger = LedgerWatch(self.core, outfit.hold)
        self.life = SignsOfLife(self.core, outfit.pulse)
        self.notifier = self._notifier(postman)
        self.reports = self._run_reports()

    # tasks and runs

    def _roster(self) -> Roster:
        files = self.outfit.files
        return Roster(
            self.survey,
            self.guard,
            self.outfit.host,
            files.rows,
            stored_source=files.store.source_of,
            ledger_lost=files.store.is_new and not files.trust.is_new,
            ran_until=files.store.ran_until,
        )

    def _claude_runs(self) -> ClaudeRuns:
        return ClaudeRuns(
            self.store,
            questions=self.questions,
            troubles=self.troubles,
            credentials=self.outfit.credentials,
            zone=lambda: ZoneInfo(self.survey.timezone),
        )

    def _dispatcher(self) -> Dispatcher:
        life = RunLife(
            store=self.store,
            engine=self.engine,
            budget=self.guard,
            claude=self.claude,
            snapshots=self._snapshots(),
            view=lambda task: self.roster.view(task, self.outfit.clock.now()),
            report=Reports(lambda run, what: self.reports.take(run, what)),
            restood=lambda: self.roster.take_restood(),
            eve=self.outfit.eve,
        )
        return Dispatcher(life)

    def _snapshots(self) -> Snapshots:
        vault = self.outfit.vault
        return Snapshots(
            self.store,
            vault=str(vault.root),
            system_folder=vault.system_folder,
            named_files=lambda: self.roster.named_files(vault),
        )

    # notes

    def _surroundings(self) -> NoteSurroundings:
        return NoteSurroundings(
            survey=self.survey,
            roster=self.roster,
            clock=self.outfit.clock,
            host=self.outfit.host,
            runs_of=self.dispatcher.of_task,
            questions=self.questions,
            tell=self.outfit.tell,
        )

    def _last_good(self) -> LastGood:
        return LastGood(
            self.outfit.files.good_notes,
            self.survey.registry,
            quiet_s=self.around.quiet_s,
            held=self.guard.held,
            report=self.around.report,
            read=self.survey.read_known,
            edits_wait=lambda: self.survey.notes.unsettled,
            times_tell=not silent_type(self.outfit.vault.root),
        )

    def _core(self) -> Core:
        return Core(
            store=self.store,
            survey=self.survey,
            roster=self.roster,
            guard=self.guard,
            dispatcher=self.dispatcher,
            questions=self.questions,
            scribe=self.scribe,
            around=self.around,
            troubles=self.troubles,
            tell=self.outfit.tell,
            host=self.outfit.host,
        )

    def _revision(self) -> Revision:
        return Revision(
            self.core,
            attendance=self.attendance,
            claims=self.claims,
            answers=self.answers,
            changes=self.changes,
            endings=self.endings,
            last_good=self.last_good,
            only_requests=self.outfit.only_requests,
        )

    # what is told of them

    def _notifier(self, postman: Postman) -> Notifier:
        notifier = Notifier(
            self.core,
            postman,
            vault_name=self.outfit.vault.root.name,
            mask=self.outfit.mask,
            log=lambda who, what: self.around.log_fault(f"{who}: {what}", "", self.outfit.clock.now()),
        )
        self.endings.has_paused = notifier.paused
        self.dispatcher.outcomes.hears = lambda task, topic, started: notifier.hears(task, topic, started=started)
        return notifier

    def _run_reports(self) -> RunReports:
        return RunReports(
            self.core,
            self.outfit.clock,
            followers=self.followers,
            changes=self.changes,
            endings=self.endings,
            last_good=self.last_good,
            status=self.status,
            notifier=self.notifier,
        )


def _survey(outfit: Outfit) -> Survey:
    """The notes, with what the ledger remembers of them."""
    return Survey(
        outfit.vault,
        machine_timezone=outfit.machine_timezone,
        former={row.path: _former(row) for row in outfit.files.rows.values()},
        stored_source=outfit.files.store.source_of,
        settings_source=outfit.files.settings_source,
        callable_check=outfit.callable_check,
        definitions=outfit.files.definitions,
    )


def _former(row: TaskRow) -> Former:
    return Former(
        task=row.task, definition=row.seen_definition, source_mark=row.source_mark, invalid_since=row.invalid_since
    )


def _guard(outfit: Outfit, survey: Survey) -> Guard:
    """Pins, holds and money, in the vault's time zone."""

    def rebuilt(source: dict[str, Any], path: str) -> Task | None:
        context = ParseContext(default_timezone=survey.timezone, system_folder=outfit.vault.system_folder)
        return rebuild(source, path, context).task

    return Guard(outfit.files.trust, outfit.trust, outfit.vault, rebuild=rebuilt, timezone=lambda: survey.timezone)
