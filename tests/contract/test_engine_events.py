"""What the engine tells, gathered for some milliseconds where that saves passes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from vault_scheduler.daemon.engine_events import EngineEvents
from vault_scheduler.engine import AttemptEnded, AttemptStarted
from vault_scheduler.run import Outcome, Result

T = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


def started(run: str = "r", *, is_gate: bool = False) -> AttemptStarted:
    return AttemptStarted(run=run, number=1, pid=1, start_ticks=1, boot_id="b", at=T, is_gate=is_gate)


def ended(run: str = "r") -> AttemptEnded:
    return AttemptEnded(run=run, number=1, result=Result(outcome=Outcome.SUCCESS), at=T)


class Hearing:
    """Events, with the number of runs that go on while others wait, and the wish for a pass."""

    def __init__(self, crowded: int = 0, *, gathers: bool = True) -> None:
        self.wake = asyncio.Event()
        self.events = EngineEvents(self.wake.set, lambda: crowded, gathers=gathers)


async def test_an_end_is_worth_a_pass_at_once_where_nobody_waits() -> None:
    """Its outcome is recorded without delay."""
    hearing = Hearing()
    hearing.events.post(ended())
    assert hearing.wake.is_set()


@pytest.mark.parametrize("event", [started(), ended()])
async def test_what_is_gathered_is_worth_a_pass_a_moment_later(event: AttemptStarted | AttemptEnded) -> None:
    """A begin waits for its end, and the first end of several for the others; not for long."""
    hearing = Hearing(crowded=8)
    hearing.events.post(event)
    assert not hearing.wake.is_set()
    await hearing.wake.wait()
    assert hearing.events.all() == [event]


async def test_half_of_the_slots_are_worth_a_pass() -> None:
    """Those that wait get them at once."""
    hearing = Hearing(crowded=4)
    hearing.events.post(ended("a"))
    assert not hearing.wake.is_set()
    hearing.events.post(ended("b"))
    assert hearing.wake.is_set()


async def test_an_end_does_not_wait_as_long_as_a_begin() -> None:
    """The shorter patience counts, whichever came first."""
    hearing, loop = Hearing(crowded=8), asyncio.get_running_loop()
    hearing.events.post(started("a"))
    long = hearing.events.wakes_at
    hearing.events.post(ended("b"))
    short = hearing.events.wakes_at
    hearing.events.post(started("c"))
    assert long is not None
    assert short is not None
    assert loop.time() <= short < long
    assert hearing.events.wakes_at == short


async def test_what_was_taken_asks_for_no_pass_later() -> None:
    """An idle machine is not woken for what has been dealt with."""
    hearing = Hearing(crowded=8)
    hearing.events.post(started())
    hearing.events.taken(len(hearing.events.all()))
    assert hearing.events.wakes_at is None
    assert len(hearing.events) == 0


async def test_ends_that_were_taken_count_no_more() -> None:
    """Each pass begins to count anew."""
    hearing = Hearing(crowded=4)
    for run in ("a", "b"):
        hearing.events.post(ended(run))
    hearing.events.taken(len(hearing.events.all()))
    hearing.wake.clear()
    hearing.events.post(ended("c"))
    assert not hearing.wake.is_set()


@pytest.mark.parametrize(("gathers", "event"), [(True, started(is_gate=True)), (False, started()), (False, ended())])
async def test_other_events_wait_for_nothing(gathers: bool, event: AttemptStarted | AttemptEnded) -> None:
    """A gate, whose process nobody else finds; and everything where nothing is to be gathered."""
    hearing = Hearing(crowded=8, gathers=gathers)
    hearing.events.post(event)
    assert hearing.wake.is_set()
