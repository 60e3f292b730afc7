"""`vault-sched` on a clock of its own: ahead of the machine's, and faster, so that minutes pass in seconds.

`PICTURES_CLOCK` is `<moment that it showed>|<what the machine's clock showed then>|<how much faster it goes>`. All
processes that are given the same agree on the time.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import datetime, timedelta

from vault_scheduler.__main__ import main
from vault_scheduler.clock import SystemClock

VARIABLE = "PICTURES_CLOCK"


def shown(setting: str) -> datetime:
    """What such a clock shows now."""
    moment, real, rate = setting.split("|")
    return datetime.fromisoformat(moment) + timedelta(seconds=(time.time() - float(real)) * float(rate))


def _now(_: SystemClock) -> datetime:
    return shown(os.environ[VARIABLE])


def _monotonic(_: SystemClock) -> float:
    return time.monotonic() * _rate()


async def _wait(_: SystemClock, event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), max(0.0, timeout_s) / _rate())
    except TimeoutError:
        return False
    return True


def _rate() -> float:
    return float(os.environ[VARIABLE].split("|")[2])


if __name__ == "__main__":
    if VARIABLE in os.environ:
        SystemClock.now = _now  # type: ignore[method-assign]
        SystemClock.monotonic = _monotonic  # type: ignore[method-assign]
        SystemClock.wait = _wait  # type: ignore[method-assign]
    main()
