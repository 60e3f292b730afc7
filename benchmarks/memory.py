"""Memory: resident size of the daemon with no, 1,000 and 10,000 tasks, after a cold start and after a warm one.

Run it with `make bench` or `python benchmarks/memory.py`. The size is taken some time after the first pass, when what
follows a start is over. What a task costs is the difference between many and none. The floor is a Python that has
loaded asyncio, sqlite3, watchdog, croniter and frontmatter.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from support.daemon import Daemon, usage_of
from support.figures import Figure, Finding
from support.program import run
from support.vaults import make_vault, never

TARGETS = {0: 45.0, 1000: 50.0, 10_000: 80.0}
FLOOR = "import asyncio, sqlite3, watchdog.observers, croniter, frontmatter; print(flush=True); input()"
STILL_S = 6.0
"""What a file says that was changed so shortly ago is not kept for the next start."""
FLOOR_IS = "a Python that has loaded asyncio, sqlite3, watchdog, croniter and frontmatter"


def floor() -> float:
    """Megabytes of a program that does nothing."""
    idle = subprocess.Popen([sys.executable, "-c", FLOOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert idle.stdout is not None
    idle.stdout.readline()
    found = usage_of(idle.pid).resident_mb
    idle.communicate(b"\n")
    return found


def resident(counts: list[int], settle_s: float) -> dict[int, tuple[float, float]]:
    """Megabytes by number of tasks, cold and warm; the daemons sit side by side."""
    with tempfile.TemporaryDirectory() as place:
        daemons = {count: Daemon(Path(place, str(count))) for count in counts}
        for count, daemon in daemons.items():
            daemon.folder.mkdir()
            make_vault(daemon.vault, count, never)
        time.sleep(STILL_S)
        cold, warm = _sizes(daemons, settle_s), _sizes(daemons, settle_s)
    return {count: (cold[count], warm[count]) for count in counts}


def _sizes(daemons: dict[int, Daemon], settle_s: float) -> dict[int, float]:
    with ExitStack() as stack:
        for daemon in daemons.values():
            stack.enter_context(daemon.running())
        time.sleep(settle_s)
        return {count: daemon.usage().resident_mb for count, daemon in daemons.items()}


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """The figures; growth.py says how they grow."""
    found = resident(list(TARGETS), options.settle)
    lowest = floor()
    for count, target in TARGETS.items():
        for place, start in enumerate(("", " (started anew)")):
            yield Figure(
                group="memory",
                name=f"{count:,} tasks{start}",
                value=found[count][place],
                unit="MB",
                target=target,
                floor=lowest,
                floor_is=FLOOR_IS,
            )
    yield from _costs(found)


def _costs(found: dict[int, tuple[float, float]]) -> Iterator[Finding]:
    """What one task of 10,000 costs, in KB."""
    for place, start in enumerate(("", " (started anew)")):
        cost = (found[10_000][place] - found[0][place]) * 1024 / 10_000
        yield Figure(group="memory", name=f"a task{start}", value=cost, unit="KB")


if __name__ == "__main__":
    run(__doc__, measure, settle=18.0)
