"""The vault at one moment, for commands: its notes, and what the ledger says of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vault_scheduler.commands.catalogue import Catalogue, Item, passed_problem, read_catalogue
from vault_scheduler.commands.records import Holds, approvals, ledger
from vault_scheduler.errors import TaskNotFound
from vault_scheduler.machine.place import Place

if TYPE_CHECKING:
    from vault_scheduler.ledger.store import SqliteStore


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The vault at one moment: its notes, and what the ledger says of them."""

    place: Place
    store: SqliteStore | None
    catalogue: Catalogue
    known: frozenset[str]  # task ids in the ledger
    trouble: tuple[str, ...] = ()  # the ledger is there and cannot be read

    def find(self, name: str) -> Item:
        """The task of this name. Raises TaskNotFound."""
        return self.catalogue.find(name, self.known)


@asynccontextmanager
async def look(place: Place) -> AsyncIterator[View]:
    """Read the notes and open the ledger; nothing is created."""
    async with ledger(place) as store:
        rows = await store.task_rows() if store else {}
        with approvals(place) as trust:
            holds = Holds(place, trust, has_history=bool(rows))
        catalogue = read_catalogue(place, holds=holds, former={row.path for row in rows.values()})
        catalogue = await with_passed(place, catalogue, store)
        yield View(place=place, store=store, catalogue=catalogue, known=frozenset(rows))


def notes_alone(place: Place, trouble: str) -> View:
    """The vault where the ledger cannot be read, and why."""
    return View(place=place, store=None, catalogue=read_catalogue(place), known=frozenset(), trouble=(trouble,))


async def with_passed(place: Place, catalogue: Catalogue, store: SqliteStore | None) -> Catalogue:
    """The catalogue with the problems of one-shots whose time went by before anything could run them (rule 1.4)."""
    items = []
    for item in catalogue.items:
        problem = passed_problem(place, item)
        if problem is not None and not (store and await store.runs_of(item.name, 1)):
            item = replace(item, problems=(*item.problems, problem))
        items.append(item)
    return replace(catalogue, items=tuple(items))


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
