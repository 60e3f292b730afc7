"""What shows that the daemon lives: the last pass and the leases in the ledger, and the ping of an address."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from vault_scheduler.daemon.core import Core
from vault_scheduler.notifiers.base import Heartbeat

RECORDED_EVERY_S = 10.0
LEASE = timedelta(seconds=60)
"""So long after our last record the runs of this ledger are still ours."""
_LAST_PASS = "last pass"
_PING = "daemon_ping_url"


class SignsOfLife:
    """Asked with every pass; `pulse` None: nobody is pinged."""

    def __init__(self, core: Core, pulse: Heartbeat | None) -> None:
        self._store, self._troubles = core.store, core.troubles
        self._pulse = pulse
        self._recorded_at = float("-inf")

    async def last_pass(self) -> datetime | None:
        """When a daemon last recorded that it lived, in UTC."""
        told = await self._store.get_meta(_LAST_PASS)
        return datetime.fromisoformat(told) if told is not None else None

    async def record(self, now: datetime, monotonic: float) -> None:
        """Write down that we live, if it is time. Raises LedgerUnavailable."""
        if monotonic - self._recorded_at >= RECORDED_EVERY_S:
            self._recorded_at = monotonic
            await self._store.set_meta(_LAST_PASS, now.isoformat())
            await self._store.renew_leases(now + LEASE)

    def ping(self, url: str | None, monotonic: float) -> None:
        """A pass that compared what was due with what started is worth the daemon's ping, if an address is set."""
        if self._pulse is None or not url:
            return
        self._pulse.beat(url, monotonic)
        if self._pulse.trouble:
            self._troubles.begin(_PING, f"its pings do not get through: {self._pulse.trouble}")
        else:
            self._troubles.end(_PING, "its pings get through again")

    async def wait_for_ping(self) -> None:
        """One that is under way would end with us."""
        if self._pulse is not None:
            await asyncio.to_thread(self._pulse.wait)
