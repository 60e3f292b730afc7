"""The core of the daemon, which its other parts work with: ledger, notes, tasks, runs, and who writes and tells."""

from __future__ import annotations

from dataclasses import dataclass

from vault_scheduler.daemon.conversations import Questions
from vault_scheduler.daemon.dispatcher import Dispatcher
from vault_scheduler.daemon.guard import Guard
from vault_scheduler.daemon.roster import Roster
from vault_scheduler.daemon.scribe import Scribe
from vault_scheduler.daemon.surroundings import NoteSurroundings
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.daemon.troubles import Tell, Troubles
from vault_scheduler.ledger.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """Each part takes of it what its constructor names, and nothing else."""

    store: Store
    survey: Survey  # what the notes say
    roster: Roster  # the tasks
    guard: Guard
    dispatcher: Dispatcher  # the runs
    questions: Questions
    scribe: Scribe
    around: NoteSurroundings
    troubles: Troubles
    tell: Tell
    host: str  # the name of this machine
