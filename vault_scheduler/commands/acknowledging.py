"""`ack`: what is open and was told to somebody, and silencing it until it has ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vault_scheduler.commands.records import ledger
from vault_scheduler.machine.place import Place
from vault_scheduler.planning.incidents import Incident


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Something that is open, and `what` it is about in words."""

    incident: Incident
    what: str


async def open_incidents(place: Place) -> list[Open]:
    """What is wrong and was told, or was to be told; oldest first."""
    async with ledger(place) as store:
        found = []
        for incident in await store.incidents() if store is not None else []:
            run = await store.run(incident.run) if store is not None and incident.run else None
            found.append(Open(incident=incident, what=run.reason if run is not None else incident.signature))
        return found


async def acknowledge(place: Place, subjects: Collection[str] | None) -> Sequence[Open]:
    """Silence what is open of these subjects (None: all) until it ends; what that was."""
    before = {each.incident.key: each for each in await open_incidents(place)}
    async with ledger(place, to_write=True) as store:
        if store is None:
            return []
        done = await store.acknowledge(None if subjects is None else list(subjects), place.clock.now())
        return [before.get(each.key) or Open(incident=each, what=each.signature) for each in done]
