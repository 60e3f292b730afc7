"""Idle: CPU seconds and wake-ups of the daemon in an hour with so many tasks of which none is due.

Run it with `make bench` or `python benchmarks/idle.py --minutes M`. The real daemon is left alone for some minutes,
whole multiples of the 30 s in which it looks at everything once; an hour is extrapolated from them. `--full` waits for
the hour. Wake-ups are voluntary context switches of all threads. The floor is one for each of those looks.

The vaults lie in memory where the machine has such a folder: a folder that the machine has dropped from its cache makes
whoever reads it wait for the disk, and each such wait counts as a wake-up. One daemon's vault lies on the disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from support.daemon import Daemon
from support.figures import Figure, Finding, Growth
from support.program import run
from support.vaults import make_vault, never

SETTLED_S = 35.0  # what follows the start is over
LOOK_S = 30.0  # the longest that the daemon may sleep, for a clock that was set has to be noticed
MEMORY = Path("/dev/shm")
ON_DISK = 1000


def idle(counts: Mapping[Path, int], minutes: float) -> dict[Path, tuple[float, float]]:
    """CPU seconds and wake-ups per hour by folder, for daemons with so many tasks each; they sit side by side."""
    with ExitStack() as stack:
        daemons = {folder: Daemon(folder) for folder in counts}
        for folder, daemon in daemons.items():
            folder.mkdir()
            make_vault(daemon.vault, counts[folder], never)
            stack.enter_context(daemon.running())
        time.sleep(SETTLED_S)
        before, begin = {folder: daemon.usage() for folder, daemon in daemons.items()}, time.monotonic()
        time.sleep(60 * minutes)
        after, hours = {folder: daemon.usage() for folder, daemon in daemons.items()}, (time.monotonic() - begin) / 3600
    return {
        folder: ((last.cpu_s - before[folder].cpu_s) / hours, (last.wakeups - before[folder].wakeups) / hours)
        for folder, last in after.items()
    }


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """Both figures, and how they grow."""
    minutes = 60.0 if options.full else options.minutes
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as memory,
        tempfile.TemporaryDirectory() as disk,
    ):
        counts = {Path(memory, str(count)): count for count in (10, 1000, 10_000)}
        found = idle({**counts, Path(disk, "vault"): ON_DISK}, minutes)
    by_count = {counts[folder]: values for folder, values in found.items() if folder in counts}
    on_disk = next(values for folder, values in found.items() if folder not in counts)
    said = f"(from {minutes:g} minutes)"
    yield Figure(group="idle", name=f"CPU per hour, 1,000 tasks {said}", value=by_count[1000][0], unit="s", target=1.0)
    yield Figure(
        group="idle",
        name=f"wake-ups per hour, 1,000 tasks {said}",
        value=by_count[1000][1],
        unit="",
        target=130.0,
        floor=3600 / LOOK_S,
        floor_is=f"one look every {LOOK_S:g} s, the longest that nobody would notice a clock that was set",
    )
    yield Figure(group="idle", name="the same from a disk, with each wait for it", value=on_disk[1], unit="")
    for name, place, unit in (("CPU per hour", 0, "s"), ("wake-ups per hour", 1, "wake-ups")):
        points = tuple((count, values[place]) for count, values in sorted(by_count.items()))
        yield Growth(group="idle", name=name, unit=unit, points=points)


if __name__ == "__main__":
    run(__doc__, measure, minutes=2.0)
