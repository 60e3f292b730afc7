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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from support.daemon import Daemon
from support.figures import Figure, Finding
from support.program import run
from support.vaults import make_vault, never

YOUNG_S = 6.0  # what was changed within 5 s is read again by one of the next looks
SETTLED_S = 35.0  # what follows the start is over
LOOK_S = 30.0  # the longest that the daemon may sleep, for a clock that was set has to be noticed
MEMORY = Path("/dev/shm")
TASKS = 1000


def idle(folders: Sequence[Path], minutes: float) -> list[tuple[float, float]]:
    """CPU seconds and wake-ups per hour of a daemon in each of the folders; they sit side by side."""
    with ExitStack() as stack:
        daemons = [Daemon(folder / "idle") for folder in folders]
        for daemon in daemons:
            make_vault(daemon.vault, TASKS, never)
        time.sleep(YOUNG_S)
        for daemon in daemons:
            stack.enter_context(daemon.running())
        time.sleep(SETTLED_S)
        before, begin = [daemon.usage() for daemon in daemons], time.monotonic()
        time.sleep(60 * minutes)
        after, hours = [daemon.usage() for daemon in daemons], (time.monotonic() - begin) / 3600
    return [
        ((last.cpu_s - first.cpu_s) / hours, (last.wakeups - first.wakeups) / hours)
        for first, last in zip(before, after, strict=True)
    ]


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """Both figures; growth.py says how they grow."""
    minutes = 60.0 if options.full else options.minutes
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as memory,
        tempfile.TemporaryDirectory() as disk,
    ):
        (cpu_s, wakeups), (_, on_disk) = idle([Path(memory), Path(disk)], minutes)
    said = f"(from {minutes:g} minutes)"
    yield Figure(group="idle", name=f"CPU per hour, 1,000 tasks {said}", value=cpu_s, unit="s", target=1.0)
    yield Figure(
        group="idle",
        name=f"wake-ups per hour, 1,000 tasks {said}",
        value=wakeups,
        unit="",
        target=130.0,
        floor=3600 / LOOK_S,
        floor_is=f"one look every {LOOK_S:g} s, the longest that nobody would notice a clock that was set",
    )
    yield Figure(group="idle", name="the same from a disk, with each wait for it", value=on_disk, unit="")


if __name__ == "__main__":
    run(__doc__, measure, minutes=2.0)
