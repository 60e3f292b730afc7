"""One edit among N task notes, beside an idle tick, a sweep, and another zone of the machine, which is about all notes.

Run it with `make bench` or `python benchmarks/one_edit.py [N]`. Prints the median time of a tick of each kind, and for
the change of the zone its longest tick and how long it takes until the last note is judged.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from vault_scheduler.testing_world import World

ROUNDS = 9
SETTINGS = "status: active\nhost: here\nnote_quiet: 1s"


def make(root: Path, count: int) -> World:
    """A daemon that knows so many tasks, each due every four minutes, and has nothing to do."""
    world = World(root, datetime(2026, 11, 20, 9, 0, tzinfo=UTC), settings=SETTINGS)
    for number in range(count):
        world.command(f"t{number}", f'cron: "{number % 3 + 2}-59/4 * * * *"')
    world.start()
    world.settle()
    return world


def timed(world: World) -> float:
    """Seconds that one tick takes."""
    begin = time.perf_counter()
    world.call(world.daemon.tick())
    return time.perf_counter() - begin


def edits(world: World) -> list[float]:
    """Seconds of ticks that one edit takes until it counts, for each of ROUNDS notes."""
    found = []
    for number in range(ROUNDS):
        world.edit(f"t{3 * number}", "2-59/4", "5-59/4")
        spent = 0.0
        for pause_s in (0.0, 0.3, 1.2):
            world.clock.advance(pause_s)
            spent += timed(world)
        tracked = world.daemon.tracked(f"t{3 * number}")
        assert tracked is not None
        assert "5-59/4" in str(tracked.task.schedule)
        found.append(spent)
    return found


def sweep(world: World) -> float:
    """Seconds of the tick that looks over the folder."""
    world.clock.advance(30)
    return timed(world)


def journey(world: World) -> list[float]:
    """Seconds of each tick until all notes are judged by the zone that the machine is in now."""
    world.machine_timezone = lambda: "Asia/Tokyo"
    world.survey._look_up_zone = lambda: "Asia/Tokyo"
    world.clock.advance(30)
    found = [timed(world)]
    while world.survey.unsettled:
        found.append(timed(world))
    return found


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        world = make(Path(folder), count)
        started = time.perf_counter() - begin
        edit, idle = statistics.median(edits(world)), statistics.median(timed(world) for _ in range(ROUNDS))
        swept, travelled = sweep(world), journey(world)
        world.close()
    print(f"{count:,} tasks: written and started in {started:.1f} s")
    print(f"one edit {edit * 1000:.1f} ms · idle tick {idle * 1000:.1f} ms · sweep {swept * 1000:.0f} ms")
    print(f"another zone {sum(travelled):.1f} s in {len(travelled)} ticks, the longest {max(travelled) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
