"""The only module that reads the time or waits for it. Everything else is handed `now`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

LONGEST_WAIT_S = 30.0
"""Timers stop while a laptop sleeps, so nobody waits longer than this before looking at the wall clock again."""

SOON_S = 0.25
EXACT_S = 0.002
"""asyncio counts in milliseconds, rounded up: of a wait that ends soon the last two are left to the system's clock."""


class Clock(Protocol):
    """Wall time and awake time, kept apart: a suspended machine loses the second, not the first."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds awake: never goes back, does not count suspend. Only differences mean anything."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait until `event` is set (True) or `timeout_s` seconds awake have passed (False)."""
        ...

    def hold(self, seconds: float) -> None:
        """Let so many seconds go by, exactly, with everything else held up: milliseconds, no more."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds awake (CLOCK_MONOTONIC does not count suspend on Linux, nor mach time on macOS)."""
        return time.monotonic()

    def hold(self, seconds: float) -> None:
        """Let so many seconds go by, exactly, with everything else held up."""
        time.sleep(max(0.0, seconds))

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait until `event` is set (True) or `timeout_s` seconds awake have passed (False)."""
        import asyncio  # commands that do not wait read the time, too, and it takes them 20 ms to load

        exact_s = EXACT_S if timeout_s <= SOON_S else 0.0
        end = time.monotonic() + timeout_s
        try:
            async with asyncio.timeout(max(0.0, timeout_s - exact_s)):
                await event.wait()
        except TimeoutError:
            if exact_s:
                time.sleep(max(0.0, end - time.monotonic()))
            return False
        return True
