"""What a run's life takes: the ledger, an engine, money, Claude's limits, its definition, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from vault_scheduler.daemon.active_runs import ActiveRuns
from vault_scheduler.daemon.claude_runs import ClaudeRuns
from vault_scheduler.daemon.snapshots import Snapshots
from vault_scheduler.daemon.task_view import View
from vault_scheduler.engine import Engine
from vault_scheduler.ledger.store import Store
from vault_scheduler.run import Run
from vault_scheduler.settings import Settings


class Budget(Protocol):
    """Who is asked before money is spent (rule 9)."""

    def refusal(self, run: Run, task_cap: float | None, settings: Settings, now: datetime) -> str:
        """Why a run that reserves `run.reserved_usd` may not start now; "" if it may."""

    def charge(self, run: Run, attempt: int, usd: float, now: datetime) -> None:
        """Book what an attempt cost; booking it again changes nothing."""

    def spent_by(self, run: Run) -> float:
        """What the attempts of a run have cost so far (US dollars)."""

    def dearest_of(self, run: Run) -> float:
        """What the dearest of them has cost (US dollars)."""


class Reports:
    """Passes on what happens to runs, in one word each; what is `held` is passed on at the end, or never."""

    def __init__(self, hear: Callable[[Run, str], None]) -> None:
        self._hear = hear
        self._held: list[tuple[Run, str]] | None = None

    def __call__(self, run: Run, what: str) -> None:
        """This happened to it."""
        if self._held is None:
            self._hear(run, what)
        else:
            self._held.append((run, what))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody hears of anything before this ends; nor afterwards, if it ends with an error."""
        held: list[tuple[Run, str]] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
        with ExitStack() as stack:  # one that fails keeps nobody from hearing of the others
            for run, what in reversed(held):
                stack.callback(self._hear, run, what)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLife:
    """Shared by those who claim runs, start them and end them."""

    store: Store
    engine: Engine
    budget: Budget
    claude: ClaudeRuns
    snapshots: Snapshots
    view: Callable[[str], View]  # how a task stands right now
    report: Reports
    restood: Callable[[], set[str]] = set  # the tasks that may stand otherwise since it was last asked
    eve: timedelta = timedelta(0)  # so long before its fire time the start of a run begins
    active: ActiveRuns = field(default_factory=ActiveRuns)
