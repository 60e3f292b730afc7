"""`pause` and `resume` beside a running daemon: one task or the whole vault, for good or until a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import Scene, World


def fire(world: World) -> None:
    """A task fires each second."""
    world.note("often", 'type: command\nevery: 1s\nlog: none\ncommand: "true"')
    world.start()
    world.ended("often")
    world.sched("list")  # the first command of all takes a busy machine long


def pause(world: World, *what: str) -> float:
    """Give the command; the Unix second by which it counts."""
    done = world.sched("pause", *what)
    assert done.returncode == 0, done.stderr
    world.until(lambda: not armed(world), "it is paused")
    return time.time()


def armed(world: World) -> bool:
    # While `paused_until` alone keeps it from firing, a task is not armed either.
    return bool(world.rows("SELECT fires FROM tasks WHERE task = 'often'")[0]["fires"])


def goes_on(world: World, paused_at: float, resumed_at: float) -> None:
    """It fires again, and nothing was due or is made up for in between."""
    after = "SELECT 1 FROM runs WHERE task = 'often' AND fire_time >= ? AND outcome = 'success'"
    world.until(lambda: world.rows(after, resumed_at), "it fires again")
    between = [run for run in world.runs("often") if paused_at < run["last_fire_time"] < resumed_at]
    assert between == []


def a_pause_and_its_end(world: World, what: str) -> None:
    """`pause`, a while without a run, `resume`."""
    fire(world)
    paused_at = pause(world, what)
    time.sleep(2.5)
    resumed_at = time.time()
    assert world.sched("resume", what).returncode == 0
    goes_on(world, paused_at, resumed_at)


def a_pause_that_ends_by_itself(world: World, what: str) -> None:
    """`pause --until`: it fires from that very second on."""
    fire(world)
    until = (datetime.now(UTC) + timedelta(seconds=12)).replace(microsecond=0)
    paused_at = pause(world, what, "--until", f"{until:%Y-%m-%dT%H:%M:%SZ}")
    assert paused_at < until.timestamp(), "too slow a machine to show anything"
    goes_on(world, paused_at, until.timestamp())
    assert until.timestamp() in [run["fire_time"] for run in world.runs("often")]


def a_pause_that_is_ended_early(world: World, what: str) -> None:
    """`resume` before the moment that `pause --until` named takes it away."""
    fire(world)
    paused_at = pause(world, what, "--until", "2090-01-01")
    resumed_at = time.time()
    assert world.sched("resume", what).returncode == 0
    goes_on(world, paused_at, resumed_at)
    notes = world.settings.read_text() + (world.tasks / "often.md").read_text()
    assert "2090" not in notes


ACTS = [a_pause_and_its_end, a_pause_that_ends_by_itself, a_pause_that_is_ended_early]
SCENES: list[Scene] = [partial(act, what=what) for act in ACTS for what in ("often", "--all")]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.func.__name__} {scene.keywords['what']}")
def test_pausing(play: Callable[[Scene], None], scene: Scene) -> None:
    """What is paused from the command line fires nothing from then on, and makes up for nothing when it goes on."""
    play(scene)
