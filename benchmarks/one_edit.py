"""One edit among many task notes: from the end of `note_quiet` to the new schedule in force, and the CPU spent on it.

Run it with `make bench` or `python benchmarks/one_edit.py --tasks N`. The real daemon is told by its watcher that a
note was saved, waits for `note_quiet`, and writes the task's next fire time into its ledger; the CPU is that of the
whole process from the save on, less what it uses in as long a time without an edit. Besides, the parts of it in one
process under an injected clock: the passes that an edit takes, an idle one, a sweep of the folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from support.daemon import Daemon
from support.figures import Figure, Finding, median, percentile, rounds, timed
from support.program import run
from support.vaults import SETTINGS, make_vault, never

from vault_scheduler.testing_world import World

QUIET_S = 1.0
COUNTS = "SELECT source FROM tasks WHERE task = ?"


def edits(count: int, number_of_edits: int) -> tuple[list[float], float]:
    """Milliseconds after `note_quiet` until each edit is in force; milliseconds of CPU for each."""
    with tempfile.TemporaryDirectory() as place:
        daemon = Daemon(Path(place))
        make_vault(daemon.vault, count, never, settings=f"{SETTINGS}note_quiet: {QUIET_S:g}s\n")
        with daemon.running():
            _until_known(daemon, count)
            time.sleep(2 + count / 5000)  # what was read is being kept, a little at a time
            rest = _cpu_of(daemon, lambda: time.sleep(2)) / 2
            begin, before = time.monotonic(), daemon.usage().cpu_s
            late = [_edit(daemon, number * (count // number_of_edits)) for number in range(number_of_edits)]
            spent = daemon.usage().cpu_s - before - rest * (time.monotonic() - begin)
    return late, max(0.0, 1000 * spent / number_of_edits)


def _cpu_of(daemon: Daemon, work) -> float:
    before = daemon.usage().cpu_s
    work()
    return daemon.usage().cpu_s - before


def _until_known(daemon: Daemon, count: int) -> None:
    while not (rows := daemon.ask("SELECT count(*) FROM tasks")) or rows[0][0] < count:
        time.sleep(0.1)


def _edit(daemon: Daemon, number: int) -> float:
    """Save a note with another schedule; milliseconds beyond `note_quiet` until the ledger has it."""
    path = daemon.vault / "00_system" / "tasks" / f"task {number}.md"
    text = path.read_text().replace("29 2 *", "28 2 *")
    begin = time.monotonic()
    path.write_text(text)
    while "28 2 *" not in daemon.ask(COUNTS, path.stem)[0][0]:
        time.sleep(0.001 if time.monotonic() - begin > QUIET_S - 0.01 else 0.05)
    return 1000 * (time.monotonic() - begin - QUIET_S)


def passes(count: int) -> tuple[float, float, float]:
    """Milliseconds of the passes that one edit takes, of an idle pass, of a sweep, under an injected clock."""
    with tempfile.TemporaryDirectory() as folder:
        settings = "status: active\nhost: here\nnote_quiet: 1s"
        world = World(Path(folder), datetime(2026, 11, 20, 9, 0, tzinfo=UTC), settings=settings)
        for number in range(count):
            world.command(f"t{number}", f'cron: "{number % 60} {number // 60 % 24} 28 2 *"')
        world.start()
        world.settle()
        for _ in range(20):  # what was read is being kept, a little at a time
            world.clock.advance(0.1)
            world.call(world.daemon.tick())
        one = median([_passes_of(world, f"t{3 * number}") for number in range(3)])
        idle = median(rounds(lambda: world.call(world.daemon.tick()), 21))
        world.clock.advance(30)
        sweep = timed(lambda: world.call(world.daemon.tick()))
        world.close()
    return 1000 * one, 1000 * idle, 1000 * sweep


def _passes_of(world: World, name: str) -> float:
    world.edit(name, "28 2", "27 2")
    spent = 0.0
    for pause_s in (0.0, 0.3, 1.2):
        world.clock.advance(pause_s)
        spent += timed(lambda: world.call(world.daemon.tick()))
    tracked = world.daemon.tracked(name)
    assert tracked is not None
    assert "27 2" in str(tracked.task.schedule)
    return spent


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """An edit among many tasks; growth.py says how it grows."""
    found = {size: edits(size, options.edits) for size in (100, options.tasks)}
    late, cpu = found[options.tasks]
    what = f"among {options.tasks:,} tasks, from the end of note_quiet until it is in force"
    yield Figure(group="edit", name=f"{what}, median of {len(late)}", value=median(late), target=50.0)
    yield Figure(group="edit", name=f"{what}, p99", value=percentile(late))
    yield Figure(
        group="edit",
        name=f"CPU for each edit among {options.tasks:,} tasks",
        value=cpu,
        floor=max(10.0 / options.edits, found[100][1]),
        floor_is="the same among 100 tasks",
    )
    parts = passes(options.tasks)
    for place, name in enumerate(("the passes of one edit", "an idle pass", "a sweep of the folder")):
        yield Figure(group="edit", name=f"{name}, {options.tasks:,} tasks", value=parts[place])


if __name__ == "__main__":
    run(__doc__, measure, tasks=10_000, edits=7)
