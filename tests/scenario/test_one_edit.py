"""One edit among many notes costs one task."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import pytest

from tests.scenario.conftest import FRIDAY_TEN
from tests.scenario.in_memory import PLACE
from vault_scheduler.daemon.roster import Roster
from vault_scheduler.parsing.parser import parse_task
from vault_scheduler.testing_world import World
from vault_scheduler.triggers.schedule import Schedule
from vault_scheduler.vault.vault import Vault

MakeWorld = Callable[..., World]
FEW, MANY = 50, 10_000
SETTINGS = "status: active\nhost: here\ntimezone: Europe/Berlin\nnote_quiet: 1s"

READ, PARSED, LOOKED_AT = Vault.read_stamped.__code__, parse_task.__code__, Roster.schedule_look.__code__
NAMED_BY = {READ: "rel", PARSED: "path", LOOKED_AT: "task_id"}  # the argument that names the note or the task


class Seen:
    """What was called, how often, and for which notes and tasks."""

    def __init__(self) -> None:
        self.calls = 0  # of Python functions and of built-in ones
        self.of: Counter[CodeType] = Counter()
        self.named: dict[CodeType, set[str]] = {code: set() for code in NAMED_BY}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")
        if event != "call":
            return
        code = frame.f_code
        self.of[code] += 1
        if code in NAMED_BY:
            self.named[code].add(frame.f_locals[NAMED_BY[code]])


@contextmanager
def watched() -> Iterator[Seen]:
    seen = Seen()
    sys.setprofile(seen)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def settled(world: World, count: int) -> World:
    """A daemon that knows so many tasks, each due every four minutes, and has nothing to do."""
    for number in range(count):
        world.command(f"t{number}", f'cron: "{number % 3 + 2}-59/4 * * * *"')
    world.start()
    world.advance(31)  # the sweep that finds nothing new has been
    return world


def edit_one(world: World) -> Seen:
    """What it takes until the edit of one note counts; the next sweep comes later."""
    with watched() as seen:
        world.edit("t1", "3-59/4", "5-59/4")
        world.advance(5)
    tracked = world.daemon.tracked("t1")
    assert tracked is not None
    assert "5-59/4" in str(tracked.task.schedule)
    return seen


@pytest.fixture(scope="module")
def many() -> Iterator[World]:
    """A daemon with ten thousand tasks, for all tests of this file: each leaves the notes as they were."""
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        world = World(Path(folder), FRIDAY_TEN, settings=SETTINGS)
        yield settled(world, MANY)
        world.close()


def test_edit_of_one_note_reads_and_plans_that_one(many: World) -> None:
    """No other note is read or parsed, and of no other task a fire time is asked for."""
    seen = edit_one(many)
    path = "00_system/tasks/t1.md"
    assert seen.named[READ] == {path}
    assert seen.named[PARSED] == {path}
    assert seen.named[LOOKED_AT] == {"t1"}
    assert seen.of[Schedule.next_after.__code__] <= 5
    edit_back(many)


def test_edit_costs_the_same_among_few_and_many(many: World, make_world: MakeWorld) -> None:
    """Two hundred times the notes do not add a tenth to the function calls of the daemon."""
    few = settled(make_world(settings=SETTINGS), FEW)
    edit_one(few), edit_one(many)  # the first of all fills caches
    assert edit_back(many).calls < 1.1 * edit_back(few).calls


def edit_back(world: World) -> Seen:
    with watched() as seen:
        world.edit("t1", "5-59/4", "3-59/4")
        world.advance(5)
    return seen


def test_idle_tick_looks_at_no_task(many: World) -> None:
    """While nothing is due and no sweep is, a tick asks for no fire time and reads no note, and costs some calls."""
    with watched() as seen:
        many.call(many.daemon.tick())
    assert seen.named == {READ: set(), PARSED: set(), LOOKED_AT: set()}
    assert seen.of[Schedule.next_after.__code__] == 0
    assert seen.calls < MANY
