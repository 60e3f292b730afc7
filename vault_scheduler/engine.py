"""Who executes attempts: the Engine protocol, and the one that runs them as child processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.run import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """An attempt's process is there; boot id and start ticks tell it from a later one of the same pid."""

    run: str
    number: int
    pid: int
    start_ticks: int
    boot_id: str
    at: datetime  # UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """An attempt is over, and nothing of it is left. Posted exactly once for every submitted attempt."""

    run: str
    number: int
    result: Result
    at: datetime  # UTC


EngineEvent = AttemptStarted | AttemptEnded


class Engine(Protocol):
    """Executes attempts and posts what happens to them. Requests are plain data, so it may live elsewhere."""

    async def submit(self, request: RunRequest) -> None:
        """Take an attempt over. Its outcome is always posted, whatever happens."""
        ...

    async def cancel(self, run: str, why: str) -> None:
        """End a run's attempt; its `AttemptEnded` says `cancelled` and why. Nothing if it is not running."""
        ...

    async def shutdown(self, grace: float) -> None:
        """End all attempts (`grace`: seconds from TERM to KILL); returns when all outcomes are posted."""
        ...

    async def end_orphan(
        self, run: str, pid: int | None, start_ticks: int | None, boot_id: str | None, grace: float
    ) -> bool:
        """End what a daemon that died left of an attempt; whether something was found alive."""
        ...
