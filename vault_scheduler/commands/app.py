"""The verbs: each takes a place and plain arguments, does one thing, and returns plain data for a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.catalogue import Catalogue, Item
from vault_scheduler.commands.next_fires import resumed
from vault_scheduler.commands.outlook import Outlook, outlook
from vault_scheduler.commands.records import Waiting, approvals, state_troubles
from vault_scheduler.commands.view import View, look, notes_alone
from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable, Refused
from vault_scheduler.machine.place import Place
from vault_scheduler.run import Run, RunState
from vault_scheduler.settings import Settings, resolve
from vault_scheduler.task import Policies, Problem, Status

if TYPE_CHECKING:
    from vault_scheduler.ledger.store import Delivery, Question
    from vault_scheduler.ledger.trust import Trust
    from vault_scheduler.planning.mailing import Letter
    from vault_scheduler.platform.lock import Holder

ALIVE_WITHIN = timedelta(seconds=90)
"""A daemon that looks at its vault does so at least every 30 s."""
SHOWN_FIRES = 3
SHOWN_RUNS = 5


# --- list, show --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of `list`: the task, its last run that started, and the one that is going on."""

    item: Item
    last: Run | None = None
    active: Run | None = None
    question: Question | None = None  # that waits for an answer


async def list_tasks(place: Place) -> tuple[Catalogue, list[Listed]]:
    """All tasks, by name."""
    async with look(place) as view:
        active = {run.task: run for run in (await view.store.active() if view.store else [])}
        listed = []
        for item in sorted(view.catalogue.items, key=lambda item: (item.name.casefold(), item.name)):
            last = await view.store.last_run_of(item.name, started=True) if view.store else None
            question = view.questions.get(item.name)
            listed.append(Listed(item=item, last=last, active=active.get(item.name), question=question))
        return view.catalogue, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Everything about one task."""

    item: Item
    policies: Policies | None
    ahead: Outlook | None
    runs: tuple[Run, ...]
    active: Run | None
    question: Question | None = None  # that waits for an answer


async def show(place: Place, name: str) -> Shown:
    """One task with what is ahead and what was. Raises TaskNotFound."""
    async with look(place) as view:
        item = view.find(name)
        runs = await view.store.runs_of(item.name, SHOWN_RUNS) if view.store else []
        active = [run for run in runs if run.state is not RunState.ENDED]
        task = item.task
        return Shown(
            item=item,
            policies=resolve(task, view.place.settings_in_force) if task else None,
            ahead=_ahead(place, item, SHOWN_FIRES) if task else None,
            runs=tuple(run for run in runs if run.state is RunState.ENDED),
            active=active[0] if active else None,
            question=view.questions.get(item.name),
        )


def _ahead(place: Place, item: Item, limit: int) -> Outlook:
    assert item.task is not None
    return outlook(resumed(item.task, item), ZoneInfo(item.task.timezone), place.clock.now(), None, limit)


def runnable(item: Item) -> Item:
    """The task, if it is valid. Raises Refused with what is wrong."""
    if item.task is None:
        listed = "\n".join(f"  {problem}" for problem in item.problems)
        raise Refused(f"{item.name} cannot run, its note is invalid:\n{listed}")
    return item


# --- status ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """Whether the vault is served, what is going on, and what is wrong. Money in US dollars."""

    holder: Holder | None
    last_pass: datetime | None
    alive: bool
    running: tuple[Run, ...]
    waiting: tuple[Run, ...]
    problems: tuple[Problem, ...]
    held: tuple[Waiting, ...]
    undelivered: int
    cost_today_usd: float
    tasks: int
    next_fires: tuple[tuple[datetime, str], ...]
    vault_status: str
    troubles: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

    @property
    def is_fine(self) -> bool:
        """Whether there is nothing to look after."""
        return self.alive and not (self.problems or self.held or self.troubles or self.questions)


async def status(place: Place) -> StatusReport:
    """Look at everything once; at what is left of it if the ledger cannot be read."""
    try:
        async with look(place) as view:
            with approvals(place) as trust:
                return await _status(place, view, trust)
    except (LedgerUnavailable, LedgerCorrupt) as error:
        return await _status(place, notes_alone(place, str(error)), None)


async def _status(place: Place, view: View, trust: Trust | None) -> StatusReport:
    from vault_scheduler.platform.lock import holder

    now, store = place.clock.now(), view.store
    last = await store.get_meta("last pass") if store else None
    active = await store.active() if store else []
    undelivered = await store.pending_deliveries() if store else []
    spent = trust.spent(now.astimezone(ZoneInfo(place.timezone)).date()).total if trust else 0.0
    held_by = holder(place.lock_path)
    last_pass = datetime.fromisoformat(last) if last else None
    recent = last_pass is not None and now - last_pass < ALIVE_WITHIN
    going = [run for run in active if run.state in (RunState.STARTING, RunState.RUNNING)]
    return StatusReport(
        holder=held_by,
        last_pass=last_pass,
        alive=held_by is not None and held_by.purpose == "daemon" and recent,
        running=tuple(going),
        waiting=tuple(run for run in active if run not in going),
        problems=tuple(problem for problem in view.catalogue.problems if problem.is_error),
        held=tuple(item.waiting for item in view.catalogue.items if item.waiting),
        undelivered=len(undelivered),
        cost_today_usd=spent,
        tasks=len(view.catalogue.items),
        next_fires=_next_tasks(view.catalogue),
        vault_status=_vault_status(view.place.settings_in_force, now),
        questions=tuple(view.questions[item.name] for item in view.catalogue.items if item.name in view.questions),
        troubles=(
            *(_untold(await store.outbox()) if store and held_by is None else ()),
            *_machine_troubles(view, held_by),
            *state_troubles(place, now),
            *_put_off(undelivered),
        ),
    )


def _machine_troubles(view: View, held_by: Holder | None) -> list[str]:
    """What the daemon tells of, and what it does not tell of but we met ourselves."""
    told = held_by.troubles if held_by else ()
    return [*told, *(met for met in view.trouble if not any(met in trouble for trouble in told))]


def _put_off(undelivered: Sequence[Delivery]) -> list[str]:
    """Why results could not be written, each reason once."""
    counts = Counter((delivery.target.replace("_", " "), delivery.why) for delivery in undelivered if delivery.why)
    return [
        f"{count} {'result' if count == 1 else 'results'} could not be written ({target}), kept and tried again: {why}"
        for (target, why), count in counts.items()
    ]


def _untold(letters: Sequence[Letter]) -> list[str]:
    """Who could not be told when the daemon was there, each once; one that runs says so itself."""
    failing = {letter.receiver or f"the ping_url of {letter.subject}": letter.why for letter in letters if letter.why}
    return [f"{name} could not be told: {why}. It is tried again by the daemon" for name, why in failing.items()]


def _next_tasks(catalogue: Catalogue) -> tuple[tuple[datetime, str], ...]:
    """The tasks that run next, each once."""
    armed = [(item.next_run, item.name) for item in catalogue.items if item.next_run and item.standing.armed]
    return tuple(sorted(armed)[:SHOWN_FIRES])


# --- approve -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTasks:
    """What waits for approval; `has_history`: the ledger knows tasks."""

    catalogue: Catalogue
    waiting: tuple[Waiting, ...]
    has_history: bool


async def held(place: Place) -> HeldTasks:
    """What waits for approval."""
    async with look(place) as view:
        waiting = tuple(item.waiting for item in view.catalogue.items if item.waiting)
        return HeldTasks(catalogue=view.catalogue, waiting=waiting, has_history=bool(view.known))


def _vault_status(settings: Settings, now: datetime) -> str:
    """What the vault as a whole is doing: a pause until some moment is a pause."""
    paused = settings.paused_until is not None and settings.paused_until > now
    return Status.PAUSED.value if settings.status is Status.ACTIVE and paused else settings.status.value
