"""What the daemon holds does not grow with what has been: counted in blocks that Python has allocated."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable

from vault_scheduler.testing_world import World

MakeWorld = Callable[..., World]
WARM, MEASURED = 120, 600  # the agenda is cleared of what counts no more after 100; bounded caches fill up a little
SETTINGS = "status: active\nhost: here\ntimezone: Europe/Berlin\nnote_quiet: 1s"


def edit(world: World, number: int) -> None:
    """Another schedule, one of seven, and another command; in force when this returns."""
    note, moment = world.path("a"), world.clock.now().timestamp()
    note.write_text(f'---\ntype: command\ncron: "{number % 7} 0 29 2 *"\ncommand: "echo {number}"\n---\n')
    os.utime(note, (moment, moment))  # by the world's clock, and unknown to the world, which would remember it
    world.hint(note)
    world.advance(3)


def held(world: World) -> int:
    """So many blocks of memory are allocated, what the world of the test has heard aside."""
    world.told.clear()
    gc.collect()
    return sys.getallocatedblocks()


def test_edits_of_a_note_leave_nothing_behind(make_world: MakeWorld) -> None:
    """An edit that counts takes the place of the one before it: text, schedule, moments on the agenda, hashes."""
    world = make_world(settings=SETTINGS)
    world.command("a", 'cron: "0 0 29 2 *"')
    world.start()
    for number in range(WARM):
        edit(world, number)
    before = held(world)
    for number in range(WARM, WARM + MEASURED):
        edit(world, number)
    grown = held(world) - before
    tracked = world.daemon.tracked("a")
    assert tracked is not None
    assert tracked.task.declared["command"] == f"echo {WARM + MEASURED - 1}"
    assert grown < MEASURED, f"{grown} blocks more after {MEASURED} edits"
