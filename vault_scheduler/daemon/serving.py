"""The running daemon: it takes the vault's lock and serves until told to stop, whatever happens to the ledger."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vault_scheduler.daemon.composition import scheduling
from vault_scheduler.daemon.draining import ASKED, END_ASKED, Draining, Then
from vault_scheduler.daemon.scheduler import Scheduler
from vault_scheduler.daemon.stop_signals import ordered_by_signals, stopped_by_signals
from vault_scheduler.daemon.troubles import Tell, Troubles
from vault_scheduler.errors import (
    LedgerCorrupt,
    LedgerUnavailable,
    LockHeld,
)
from vault_scheduler.machine.installation import Installation
from vault_scheduler.machine.place import Place
from vault_scheduler.platform.limits import give_back_memory, reason_of
from vault_scheduler.platform.lock import VaultLock, holder
from vault_scheduler.platform.supervisor import Supervisor

AGAIN_S = 1.0
SWITCH_S = 0.0005
"""A pass gives way to a thread that starts a process after so long; Python's own 5 ms would be most of its delay."""
DAMAGED_AGAIN_S = 60.0
"""A ledger that is damaged once more so soon is so for a reason that a new one does not cure."""


async def serve(place: Place, *, once: bool = False, tell: Tell, stop: asyncio.Event | None = None) -> Then:
    """Serve the vault until TERM, INT or HUP (or, with `once`, until nothing is due or running); what comes then.

    Raises LockHeld if this machine serves the vault already, SettingsMissing, LedgerTooNew, ConfigInvalid.
    """
    stop = stop or asyncio.Event()
    give_back_memory()
    sys.setswitchinterval(SWITCH_S)
    async with _locked(place, tell, patient=not once) as lock:
        serving = _Serving(place, lock, tell, stop)
        with stopped_by_signals(stop, serving.hurry), ordered_by_signals({} if once else serving.orders):
            await (serving.once() if once else serving.whatever_happens())
        tell("restarts" if serving.then is Then.RESTART else "stopping", str(place.vault.root), "")
    return serving.then


class _Serving:
    """The daemon while it holds the vault's lock; after a damage of the ledger it begins anew."""

    def __init__(self, place: Place, lock: VaultLock, tell: Tell, stop: asyncio.Event) -> None:
        self._place, self._lock, self._tell, self._stop = place, lock, tell, stop
        self._troubles = Troubles(tell, lock.tell)
        self._supervisor = Supervisor.of(os.environ)
        self._draining = Draining(Installation(place.ledger_path), tell, self._troubles, self._show_draining)
        self._scheduler: Scheduler | None = None
        self.orders = {
            signal.SIGUSR1: lambda: self._draining.order(Then.RESTART, ASKED),
            signal.SIGUSR2: lambda: self._draining.order(Then.END, END_ASKED),
        }

    @property
    def then(self) -> Then:
        """What comes after the end: nothing, unless a restart was ordered and nobody told it to stop meanwhile."""
        return Then.END if self._stop.is_set() else self._draining.then or Then.END

    def hurry(self) -> None:
        """Told to stop once more."""
        if self._scheduler is not None:
            self._scheduler.hurry()

    def _show_draining(self, why: str) -> None:
        self._lock.show_draining(why)
        self._supervisor.status(why)

    async def once(self) -> None:
        """Until nothing is due or running."""
        await self._serve(until_idle=True)

    async def whatever_happens(self) -> None:
        """Until told to stop. A disk that damages every new ledger ends it, too."""
        clock, damaged_at = self._place.clock, float("-inf")
        while not self._stop.is_set() and self._draining.then is None:
            try:
                await self._serve(until_idle=False)
            except LedgerUnavailable as error:
                self._troubles.begin("ledger", f"{error}. Nothing starts until it can be used")
                self._supervisor.ready("the ledger cannot be used")
                self._supervisor.alive()
                await clock.wait(self._stop, AGAIN_S)
            except LedgerCorrupt as damage:
                if clock.monotonic() - damaged_at < DAMAGED_AGAIN_S:
                    raise
                damaged_at = clock.monotonic()
                self._tell("problem", "ledger", f"{damage.path} is damaged ({damage.reason}); the daemon begins anew")

    async def _serve(self, *, until_idle: bool) -> None:
        gc.unfreeze()  # a scheduler that was given up is garbage now
        gc.disable()  # a start makes tens of thousands of objects and no garbage
        try:
            await self._serve_on(until_idle)
        finally:
            gc.enable()  # also where it comes to no first pass, and is tried again for hours

    async def _serve_on(self, until_idle: bool) -> None:
        root = str(self._place.vault.root)
        async with scheduling(
            self._place,
            self._tell,
            start_tasks=not until_idle,
            troubles=self._troubles,
            hold=self._hold,
            draining=None if until_idle else self._draining,
        ) as scheduler:
            self._scheduler = scheduler
            self._troubles.end("ledger", "it can be used again")
            self._tell("watching", root, f"pid {os.getpid()}")
            self._supervisor.ready(f"watching {root}")
            await scheduler.serve(self._stop, until_idle=until_idle, alive=self._alive)
            if self._stop.is_set():
                self._draining.withdraw()
            self._supervisor.restarting() if self.then is Then.RESTART else self._supervisor.stopping()

    def _alive(self) -> None:
        """A pass is over. What the first one has read lives long: garbage is looked for in the rest from now on."""
        self._supervisor.alive()
        if not gc.isenabled():
            gc.enable()
            gc.freeze()

    def _hold(self) -> None:
        """The state folder and the lock are there, and the lock is ours. Raises LockHeld, LedgerUnavailable."""
        try:
            if self._lock.still_mine() and self._place.wake_path.parent.is_dir():
                return
            self._place.make_state()
            self._place.wake_path.parent.mkdir(exist_ok=True)
            self._lock.keep()
        except OSError as error:
            raise LedgerUnavailable(str(self._place.state), reason_of(error)) from error


@asynccontextmanager
async def _locked(place: Place, tell: Tell, *, patient: bool) -> AsyncIterator[VaultLock]:
    """The vault's lock; a command that holds it for the time of one run is waited for (rule 10).

    If `patient`, so is a state folder that cannot be written: a service that gave up would need a person.
    """
    lock = VaultLock(place.lock_path, since=place.clock.now(), takes_orders=patient)
    never, waited_for = asyncio.Event(), ""
    while True:
        try:
            place.make_state()
            lock.acquire()
            break
        except OSError as error:
            if not patient:
                raise
            why = f"{place.state} cannot be used now: {reason_of(error)}. Nothing starts until it can be used"
            if waited_for != why:
                tell("problem", "ledger", why)
            waited_for = why
            await place.clock.wait(never, AGAIN_S)
        except LockHeld as held:
            who = holder(place.lock_path)
            if who is not None and who.purpose == "daemon":
                raise
            if waited_for != str(held.holder):
                waited_for = str(held.holder)
                tell("waiting", str(place.vault.root), f"for a run of {waited_for}")
            await place.clock.wait(never, 0.2)
    try:
        yield lock
    finally:
        lock.release()
