"""Whether the ledger and the approvals that we hold open are still the ones in their place (rule 10)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from vault_scheduler.daemon.core import Core

RESTART = "Restart the daemon: it reads the one that is there."
PUT_BACK = "All that the daemon holds open is put back in its place."


class LedgerWatch:
    """Says why nothing may start, and puts back what was taken away."""

    def __init__(self, core: Core, hold: Callable[[], None]) -> None:
        self._store, self._guard = core.store, core.guard
        self._around, self._troubles, self._tell = core.around, core.troubles, core.tell
        self._hold = hold  # the vault, also if somebody removed the state folder
        self.fault = ""  # why nothing is started: the ledger is not the one that was opened

    async def check(self, now: datetime) -> None:
        """Somebody may have deleted or replaced the ledger or the approvals under us (rule 10).

        Nothing starts until what we hold open is in its place again.
        """
        found = await self._store.check()
        fault = f"the ledger is {found}" if found else self._guard.fault()
        if fault and fault != self.fault:
            fix = PUT_BACK if _may_be_put_back(fault) else RESTART
            self._troubles.begin("ledger", f"{fault}: nothing starts. {fix}")
            self._around.log_fault(fault, fix, now)
        self.fault = fault
        self._hold()
        if _may_be_put_back(fault):
            await self._put_back(found)

    async def _put_back(self, found: str | None) -> None:
        if found:
            await self._reattach()
        if _may_be_put_back(self._guard.fault()):
            self._guard.put_back()
        fault = await self._store.check()
        self.fault = f"the ledger is {fault}" if fault else self._guard.fault()

    async def _reattach(self) -> None:
        """What lay in the ledger's place may have been damaged, and set aside."""
        await self._store.reattach()
        for notice in self._store.notices:
            self._tell("problem", "ledger", notice)


def _may_be_put_back(fault: str) -> bool:
    """A ledger of a newer version belongs to that; approvals that somebody put there are not ours to overrule."""
    return fault in ("the ledger is missing", "the ledger is replaced", "the file of approvals is missing")
