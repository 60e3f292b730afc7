"""Fakes that ship with the package and pass the same suites as the real things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class FakeClock:
    """A clock that moves only when told, with wall and awake time apart."""

    def __init__(self, now: datetime = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._moved: list[asyncio.Event] = []

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds awake."""
        return self._monotonic

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait until `event` is set (True) or the clock has been advanced by `timeout_s` (False)."""
        deadline = self._monotonic + timeout_s
        while not event.is_set() and self._monotonic < deadline:
            moved = asyncio.Event()
            self._moved.append(moved)
            waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(moved.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let time pass while awake."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        self._wake()

    def suspend(self, seconds: float) -> None:
        """Let wall time pass while the machine sleeps (or set the clock: negative goes back)."""
        self._now += timedelta(seconds=seconds)
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, []
        for event in moved:
            event.set()


async def until(condition: Callable[[], bool], *, turns: int = 10_000) -> None:
    """Let the event loop run until `condition` holds; fails after `turns` turns instead of hanging."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"never came true: {condition}")
