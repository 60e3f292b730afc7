"""`host take`: moving a vault to this machine."""

from __future__ import annotations

from dataclasses import dataclass

from vault_scheduler.commands.records import ledger
from vault_scheduler.commands.switching import give_host
from vault_scheduler.machine.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Who runs the vault now, and who did before ("" for nobody)."""

    host: str
    before: str
    path: str  # of the settings note

    @property
    def changed(self) -> bool:
        """Whether it was another machine."""
        return self.host != self.before


async def take(place: Place) -> Taken:
    """Let this machine run the vault; nothing older is caught up (rule 4). Raises NoteRefused, SettingsMissing.

    The ledger comes first: it may know times from when this machine ran the vault last, and what was due since then ran
    elsewhere. Whose daemon runs there notices at its next look at the settings note, and starts nothing more.
    """
    host = place.machine.host
    taken = Taken(host=host, before=place.settings_in_force.host or "", path=place.vault.rel(place.vault.settings_path))
    if taken.changed:
        async with ledger(place, to_write=True) as store:
            if store is not None:
                await store.take_over(place.clock.now())
        give_host(place, host)
    return taken
