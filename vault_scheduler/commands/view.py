"""The vault at one moment, for commands: its notes, and what the ledger says of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vault_scheduler.commands.catalogue import Catalogue, Item, line_of, passed_problem, read_catalogue
from vault_scheduler.commands.kept_notes import settings_as_kept
from vault_scheduler.commands.records import Holds, approvals, ledger
from vault_scheduler.errors import TaskNotFound
from vault_scheduler.ledger.known_tasks import KnownTasks, read_known_tasks
from vault_scheduler.machine.place import Place

if TYPE_CHECKING:
    from vault_scheduler.ledger.sqlite_store import SqliteStore
    from vault_scheduler.ledger.store import Question, TaskRow
    from vault_scheduler.task import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The vault at one moment: its notes, and what the ledger says of them."""

    place: Place
    store: SqliteStore | None
    catalogue: Catalogue
    known: frozenset[str]  # task ids in the ledger
    questions: Mapping[str, Question] = field(default_factory=dict)  # by task, what waits for an answer
    trouble: tuple[str, ...] = ()  # the ledger is there and cannot be read

    def find(self, name: str) -> Item:
        """The task of this name. Raises TaskNotFound."""
        return self.catalogue.find(name, self.known)


@asynccontextmanager
async def look(place: Place) -> AsyncIterator[View]:
    """Read the notes and open the ledger; nothing is created."""
    async with ledger(place) as store:
        place, known, catalogue = glance(place)
        catalogue = await with_ledger(place, catalogue, store)
        questions = await store.questions() if store else {}
        yield View(place=place, store=store, catalogue=catalogue, known=frozenset(known.paths), questions=questions)


def glance(place: Place) -> tuple[Place, KnownTasks, Catalogue]:
    """The notes, as the ledger and the approvals say that they stand; the place with the settings in force."""
    known = read_known_tasks(place.ledger_path)
    place = _as_daemon_holds(place, known.settings)
    with approvals(place) as trust:
        holds = Holds(place, trust, has_history=bool(known.paths))
    former = frozenset(known.paths.values())
    return place, known, read_catalogue(place, holds=holds, former=former, paused=known.paused)


def _as_daemon_holds(place: Place, source: str) -> Place:
    """With the settings in force: what holds the vault back ends only by a line that says so."""
    if not source:
        return place
    return replace(place, settings=settings_as_kept(place, source))


def notes_alone(place: Place, trouble: str) -> View:
    """The vault where the ledger cannot be read, and why."""
    return View(place=place, store=None, catalogue=read_catalogue(place), known=frozenset(), trouble=(trouble,))


async def with_ledger(place: Place, catalogue: Catalogue, store: SqliteStore | None) -> Catalogue:
    """The catalogue with what the ledger alone knows to be wrong: one-shots whose time went by before anything could
    run them (rule 1.4), answers to nothing.
    """
    items = []
    asked = await store.questions() if store else {}
    rows = await store.task_rows() if store and any(_answer(item) for item in catalogue.items) else {}
    for item in catalogue.items:
        problem = passed_problem(place, item)
        if problem is not None and not (store and await store.runs_of(item.name, 1)):
            item = replace(item, problems=(*item.problems, problem))
        if _answer(item) and item.name not in asked and not _is_taken(_answer(item), rows.get(item.name)):
            item = replace(item, problems=(*item.problems, _unasked(place, item)))
        items.append(item)
    return replace(catalogue, items=tuple(items))


def _answer(item: Item) -> str:
    return item.task.answer if item.task else ""


def _unasked(place: Place, item: Item) -> Problem:
    from vault_scheduler.planning.answers import UNASKED, answer_problem

    return answer_problem(item.path, line_of(place, item.path, "answer"), UNASKED)


def _is_taken(answer: str, row: TaskRow | None) -> bool:
    """Whether the daemon has it, and clears it with its next write."""
    from vault_scheduler.daemon.conversations import taken

    return row is not None and row.answered == taken(answer)


def notes(place: Place) -> Catalogue:
    """The notes alone, for verbs that write them. A ledger that cannot be read keeps nobody from pausing."""
    return read_catalogue(place)


async def known_task(view: View, name: str) -> str:
    """The id of a task whose note may be gone by now. Raises TaskNotFound where nobody knows the name."""
    try:
        return view.find(name).name
    except TaskNotFound:
        if name in view.known or (view.store and await view.store.runs_of(name, 1)):
            return name
        raise
