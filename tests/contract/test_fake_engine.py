"""The fake engine keeps what every engine promises, so that what is proven with it holds with the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from vault_scheduler.engine import AttemptEnded, AttemptStarted, Engine, EngineEvent
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing import SUCCESS, FakeClock, FakeEngine


def request(run: str = "r-1", attempt: int = 1) -> RunRequest:
    return RunRequest(
        run=run,
        task=f"task of {run}",
        path="a.md",
        title="a",
        type="command",
        attempt=attempt,
        fire_time="2026-11-22T07:00:00+01:00",
        timezone="UTC",
        vault="/vault",
    )


class Bench:
    """A fake engine whose runs go on, and its events."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []
        self.fake = FakeEngine(FakeClock(), self.events.append, lambda _: None)
        self.engine: Engine = self.fake  # it is one, for the type checker too

    def ended(self, run: str = "r-1") -> list[Outcome]:
        return [e.result.outcome for e in self.events if isinstance(e, AttemptEnded) and e.run == run]


def go(*work: Coroutine[Any, Any, object]) -> None:
    async def all_of_it() -> None:
        for each in work:
            await each

    asyncio.run(all_of_it())


def test_start_and_end_are_posted_once() -> None:
    """A start, then exactly one end with the result."""
    bench = Bench()
    go(bench.engine.submit(request()))
    bench.fake.finish("r-1", Result(outcome=Outcome.FAILURE, reason="no"))
    assert [type(event) for event in bench.events] == [AttemptStarted, AttemptEnded]
    assert bench.ended() == [Outcome.FAILURE]


def test_cancel_ends_with_its_reason() -> None:
    """Cancelled for the given reason; what does not run is no error."""
    bench = Bench()
    go(bench.engine.cancel("r-1", "why not"), bench.engine.submit(request()), bench.engine.cancel("r-1", "why"))
    event = bench.events[-1]
    assert isinstance(event, AttemptEnded)
    assert (event.result.outcome, event.result.reason) == (Outcome.CANCELLED, "why")


def test_second_execution_is_refused() -> None:
    """A run under way is not started again; once it has ended it may be retried."""
    bench = Bench()
    go(bench.engine.submit(request()))
    with pytest.raises(ValueError, match="running already"):
        go(bench.engine.submit(request()))
    bench.fake.finish("r-1", SUCCESS)
    go(bench.engine.submit(request(attempt=2)))
    assert bench.ended() == [Outcome.SUCCESS]


def test_shutdown_abandons_everything() -> None:
    """Every attempt has its outcome when shutdown returns; what comes later ends at once."""
    bench = Bench()
    go(bench.engine.submit(request("r-1")), bench.engine.submit(request("r-2")), bench.engine.shutdown(1.0))
    go(bench.engine.submit(request("r-late")))
    assert [bench.ended(run) for run in ("r-1", "r-2", "r-late")] == [[Outcome.ABANDONED]] * 3


def test_orphan_is_not_looked_for_among_our_own() -> None:
    """Clearing up after a crash never ends a run of this engine."""
    bench = Bench()
    go(bench.engine.submit(request()), bench.engine.end_orphan("r-1", None, None, None, 0.1))
    go(bench.engine.end_orphan("r-0", None, None, None, 0.1))
    assert bench.ended() == []
    assert bench.fake.orphans == ["r-0"]
