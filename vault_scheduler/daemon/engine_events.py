"""What the engine tells: taken a moment's worth at a time, so that a pass with its two fsyncs serves many runs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from vault_scheduler.engine import AttemptEnded, AttemptStarted, EngineEvent

START_S = 0.02
"""A process that has begun is told of by then: if its end comes first, the ledger needs that alone."""
END_S = 0.004
"""While runs wait for a slot, the first end of several waits so long for the others."""


class EngineEvents:
    """Owns what has been told and nobody has taken; says when it is worth a pass.

    `crowded` tells how many runs are going while others wait for their slots; 0: none waits. `gathers` False: every
    event is worth a pass at once.
    """

    def __init__(self, wake: Callable[[], None], crowded: Callable[[], int], *, gathers: bool) -> None:
        self._wake, self._crowded, self._gathers = wake, crowded, gathers
        self._waiting: deque[EngineEvent] = deque()
        self._ended = 0  # of those
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def wakes_at(self) -> float | None:
        """The event loop's time at which what is there is worth a pass, if it was not at once."""
        return self._timer.when() if self._timer is not None else None

    def post(self, event: EngineEvent) -> None:
        """This has happened to an attempt."""
        self._waiting.append(event)
        self._ended += isinstance(event, AttemptEnded)
        patience_s = self._patience_s(event) if self._gathers else 0.0
        if patience_s:
            self._wake_within(patience_s)
        else:
            self._wake()

    def _patience_s(self, event: EngineEvent) -> float:
        if isinstance(event, AttemptStarted):
            return 0.0 if event.is_gate else START_S
        return END_S if 2 * self._ended < self._crowded() else 0.0

    def _wake_within(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._timer.when() <= loop.time() + seconds:
            return
        self._forget_timer()
        self._timer = loop.call_later(seconds, self._wake)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def all(self) -> list[EngineEvent]:
        """What is there now. It stays until `taken`: what the ledger could not take is told again."""
        self._forget_timer()
        return list(self._waiting)

    def taken(self, count: int) -> None:
        """So many of the first have been dealt with."""
        for _ in range(count):
            self._ended -= isinstance(self._waiting.popleft(), AttemptEnded)
