"""What a year of random edits, sleeps and crashes brought to light, each as small as it gets."""

from __future__ import annotations

import pytest

from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import World

FAILURE = Result(outcome=Outcome.FAILURE, reason="exit 1", exit_code=1)


def test_note_that_comes_again_is_left_alone_first(world: World) -> None:
    """A note that was deleted and is written anew counts when it has been quiet, whatever its old file's age was."""
    world.command("a", "every: 1m")
    world.start()
    world.advance(30)
    world.delete("a")
    world.advance(5)
    world.command("a", "every: 1m\ntimeout: 5m", age_s=0)
    world.advance(5)
    assert world.stands("a") == ""
    world.advance(10)
    assert world.stands("a") == "armed"


@pytest.mark.parametrize("where", ["the task", "the vault"])
def test_pause_within_a_pause_makes_up_for_nothing(world: World, where: str) -> None:
    """Whoever pauses a task that `paused_until` holds already, and resumes it later, makes up for nothing."""
    world.command("a", "every: 10m\npaused_until: 2026-11-20T11:00\nstatus: active")
    world.start()
    world.advance_to("10:30")
    for status in ("paused", "active"):
        if where == "the task":
            world.edit("a", "status: active" if status == "paused" else "status: paused", f"status: {status}")
        else:
            world.write_settings(f"host: here\nstatus: {status}\ntimezone: Europe/Berlin")
        world.advance_to("11:31" if status == "paused" else "11:41")
    assert world.history() == ["11:40 success"]


def test_invalid_note_blocks_nothing_while_the_vault_is_paused(world: World) -> None:
    """What would have come due in a pause was not due, so it did not end blocked either."""
    world.command("a", "every: 10m")
    world.start()
    world.edit("a", "every: 10m", "every: 10 m m")
    world.advance_to("10:15")
    assert world.history() == ["10:10 blocked 1: the note is invalid"]
    world.write_settings("host: here\nstatus: paused\ntimezone: Europe/Berlin")
    world.advance_to("10:45")
    world.write_settings("host: here\nstatus: active\ntimezone: Europe/Berlin")
    world.advance_to("10:55")
    assert world.history() == ["10:10-10:50 blocked 2: the note is invalid"]


def test_missed_after_an_hour_that_came_again(world: World) -> None:
    """A task that is resumed in an hour that comes again has an outcome for all that it misses after that hour."""
    world.command("a", "every: 10m\nstatus: active")
    world.start()
    world.advance_to("11:05")
    world.suspend(-3600)
    world.edit("a", "status: active", "status: paused")
    world.advance(30)
    world.edit("a", "status: paused", "status: active")
    world.advance(30)
    world.suspend(3 * 3600)
    assert world.history()[:6] == [f"{time} success" for time in ("10:10", "10:20", "10:30", "10:40", "10:50", "11:00")]
    assert world.history()[6:] == ["11:10-12:50 missed 11: asleep", "13:00 success"]


def test_pause_that_ends_in_an_hour_that_comes_again(world: World) -> None:
    """What ends blocked after that hour is told, though the pause ended before what was settled already."""
    world.command("a", "every: 10m\nstatus: active")
    world.start()
    world.advance_to("11:05")
    world.edit("a", "type: command", "type: comand")
    world.suspend(-3600)
    world.edit("a", "status: active", "status: active\npaused_until: 2026-11-20T10:30")
    world.advance_to("10:45")
    world.suspend(3 * 3600)
    assert world.history()[:6] == [f"{time} success" for time in ("10:10", "10:20", "10:30", "10:40", "10:50", "11:00")]
    assert world.history()[6:] == ["11:10-13:40 blocked 16: the note is invalid"]


def test_failures_in_a_row_are_told_by_what_happened_between(world: World) -> None:
    """A success in an hour that comes again lies between the failures before and after it, whatever the clock says."""
    world.command("a", "every: 10m\npause_after: 2")
    world.script = lambda request: SUCCESS if request.fire_time.endswith("08:30:00+00:00") else FAILURE
    world.start()
    world.advance_to("10:15")
    world.suspend(-2700)
    world.request("run", "a")
    world.advance_to("10:25")
    assert world.history() == ["09:30 success", "10:10 failure", "10:20 failure"]
    assert world.stands("a") == "armed"
    world.advance_to("10:35")
    assert world.stands("a") == "paused"
