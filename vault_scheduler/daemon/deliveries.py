"""The deliveries that wait: which may be made now, when the others are to be looked at again, and those put off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from vault_scheduler.errors import why
from vault_scheduler.ledger.store import Delivery, Store
from vault_scheduler.run import Run

RETRY_AFTER = timedelta(seconds=60)
LONGEST_RETRY = timedelta(minutes=5)
"""A disk that has room again, a folder that may be written again: nobody tells of it."""

Due = Sequence[tuple[Delivery, Run]]


class Deliveries:
    """The ledger's pending deliveries, in passes. `report` hears of those that could not be made."""

    def __init__(self, store: Store, report: Callable[[str, str, str], None]) -> None:
        self._store = store
        self._report = report
        self._runs: dict[str, Run] = {}  # of the deliveries that wait
        self._dirty = True
        self._next: float | None = None

    def poke(self) -> None:
        """There may be something to deliver now."""
        self._dirty = True

    def again_at(self, monotonic: float) -> None:
        """There may be something to deliver at this awake second."""
        self._next = monotonic if self._next is None else min(self._next, monotonic)

    def next_moment(self, monotonic: float) -> float | None:
        """The awake second of the next pass; None: nothing waits."""
        return monotonic if self._dirty else self._next

    def begin_pass(self) -> None:
        """What is still waiting after this pass asks for another one."""
        self._dirty, self._next = False, None

    async def due(
        self, changed: Collection[str], now: datetime, monotonic: float
    ) -> dict[str, list[tuple[Delivery, Run]]]:
        """Those that may be made now, by target; what was put off may work now in a note that was `changed`."""
        by_target: dict[str, list[tuple[Delivery, Run]]] = defaultdict(list)
        pending = await self._store.pending_deliveries()
        waiting = {delivery.run for delivery in pending}
        self._runs = {name: run for name, run in self._runs.items() if name in waiting}
        for delivery in pending:
            if delivery.not_before is not None and delivery.path in changed:
                await self._store.defer_delivery(delivery.run, delivery.target, now, delivery.why)
            wait_s = _wait_s(delivery, now)
            if wait_s <= 0 or delivery.path in changed:
                by_target[delivery.target].append((delivery, await self._run_of(delivery)))
            else:
                self.again_at(monotonic + wait_s)
        return by_target

    async def _run_of(self, delivery: Delivery) -> Run:
        """Its run, read once while it waits: an ended one changes no more, unless it is a range row or is renamed."""
        run = self._runs.get(delivery.run)
        if run is None or (run.task, run.path, run.count) != (delivery.task, delivery.path, delivery.count):
            run = await self._store.run(delivery.run)
            assert run is not None, "a delivery without its run"
            self._runs[run.id] = run
        return run

    async def put_off(self, deliveries: Sequence[Delivery], path: str, error: Exception, now: datetime) -> None:
        """They could not be made: each is tried again, later each time."""
        reason = why(error)
        for delivery in deliveries:
            later = now + min(RETRY_AFTER * 2 ** min(delivery.tries, 10), LONGEST_RETRY)
            await self._store.defer_delivery(delivery.run, delivery.target, later, reason)
        self.poke()  # the next pass reads from the ledger until when
        self._report(path, f"a result could not be written: {reason}", "It is kept and tried again.")


def _wait_s(delivery: Delivery, now: datetime) -> float:
    """For how many seconds it is put off yet; what is so for longer than any delay is due: the clock was set back."""
    wait = delivery.not_before - now if delivery.not_before is not None else timedelta(0)
    return wait.total_seconds() if wait <= LONGEST_RETRY else 0.0
