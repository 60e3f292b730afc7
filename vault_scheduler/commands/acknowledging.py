"""`ack`: what is open and was told to somebody, and silencing it until it has ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vault_scheduler.commands.records import ledger
from vault_scheduler.machine.place import Place
from vault_scheduler.planning.incidents import Incident


async def open_incidents(place: Place) -> list[Incident]:
    """What is wrong and was told, or was to be told; oldest first."""
    async with ledger(place) as store:
        return await store.incidents() if store is not None else []


async def acknowledge(place: Place, subjects: Collection[str] | None) -> Sequence[Incident]:
    """Silence what is open of these subjects (None: all) until it ends; what that was."""
    async with ledger(place) as store:
        if store is None:
            return []
        return await store.acknowledge(None if subjects is None else list(subjects), place.clock.now())
