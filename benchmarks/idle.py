"""Idle: CPU seconds and wake-ups of the daemon in an hour with so many tasks of which none is due.

Run it with `make bench` or `python benchmarks/idle.py --minutes M`. The real daemon is left alone for some minutes,
whole multiples of the 30 s in which it looks at everything once; an hour is extrapolated from them. `--full` waits for
the hour. Wake-ups are voluntary context switches of all threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from support.daemon import Daemon
from support.figures import Figure, Finding, Growth
from support.program import run
from support.vaults import make_vault, never

SETTLED_S = 35.0  # what follows the start is over


def idle(counts: list[int], minutes: float) -> dict[int, tuple[float, float]]:
    """CPU seconds and wake-ups per hour by number of tasks; the daemons sit side by side."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        daemons = {count: Daemon(Path(place, str(count))) for count in counts}
        for count, daemon in daemons.items():
            daemon.folder.mkdir()
            make_vault(daemon.vault, count, never)
            stack.enter_context(daemon.running())
        time.sleep(SETTLED_S)
        before, begin = {count: daemon.usage() for count, daemon in daemons.items()}, time.monotonic()
        time.sleep(60 * minutes)
        after, hours = {count: daemon.usage() for count, daemon in daemons.items()}, (time.monotonic() - begin) / 3600
    return {
        count: ((last.cpu_s - before[count].cpu_s) / hours, (last.wakeups - before[count].wakeups) / hours)
        for count, last in after.items()
    }


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """Both figures, and how they grow."""
    minutes = 60.0 if options.full else options.minutes
    found = idle([10, 1000, 10_000], minutes)
    for name, place, target, unit in (("CPU", 0, 1.0, "s"), ("wake-ups", 1, 130.0, "")):
        yield Figure(
            group="idle",
            name=f"{name} per hour, 1,000 tasks (from {minutes:g} minutes)",
            value=found[1000][place],
            unit=unit,
            target=target,
        )
    for name, place, unit in (("CPU per hour", 0, "s"), ("wake-ups per hour", 1, "wake-ups")):
        points = tuple((count, values[place]) for count, values in sorted(found.items()))
        yield Growth(group="idle", name=name, unit=unit, points=points)


if __name__ == "__main__":
    run(__doc__, measure, minutes=2.0)
