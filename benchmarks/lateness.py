"""Lateness: from the fire time to the first thing that the command does, with the real daemon as a child process.

Run it with `make bench` or `python benchmarks/lateness.py --seconds S`. One fire time a second, spread over 100 and
1,000 active tasks; the command prints the time, which is all that it does. In the same seconds APScheduler does the
same with the same command, half a second later, and the floor is measured a quarter of a second after that: to start
the command at all, at once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.daemon import Daemon
from support.figures import Figure, Finding, Growth, median, percentile
from support.program import run
from support.vaults import make_vault

DATE = shutil.which("date") or "/bin/date"
COMMAND = [DATE, "+%s%N"]
PEER = Path(__file__).parent / "support" / "apscheduler_peer.py"
NOTE = """---
type: command
command: [{program}, "+%s%N"]
every: {count}s
start: 2026-01-01T00:{minute:02d}:{second:02d}
---
"""


def note(number: int, count: int) -> str:
    """A task whose turn comes once in `count` seconds."""
    return NOTE.format(program=DATE, count=count, minute=number // 60, second=number % 60)


def sleep_to(share: float) -> None:
    """Until the clock shows this share of a second."""
    time.sleep((share - time.time()) % 1.0)


def floor(until: float) -> list[float]:
    """Milliseconds from asking for the process to its first word, once a second."""
    times = []
    while time.time() < until:
        sleep_to(0.75)
        begin = time.time_ns()
        said = subprocess.run(COMMAND, check=True, stdout=subprocess.PIPE, start_new_session=True).stdout
        times.append((int(said) - begin) / 1e6)
    return times


@contextmanager
def peer(count: int, out: Path) -> Iterator[None]:
    """APScheduler with as many jobs, each due half a second after one of ours."""
    with (
        out.open("wb") as file,
        subprocess.Popen([sys.executable, str(PEER), str(count), *COMMAND], stdout=file) as aps,
    ):
        try:
            yield
        finally:
            aps.terminate()


def lateness(count: int, seconds: float) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of ours, of APScheduler's, of the floor."""
    with tempfile.TemporaryDirectory() as folder:
        daemon, theirs = Daemon(Path(folder)), Path(folder, "theirs")
        make_vault(daemon.vault, count, lambda number: note(number, count))
        with daemon.running(), peer(count, theirs):
            time.sleep(5)  # both have started all that they start
            begin = time.time()
            lowest = floor(begin + seconds)
            time.sleep(1)
            rows = daemon.ask("SELECT fire_time, result FROM runs WHERE fire_time > ? AND result NOT NULL", begin)
        ours = [int(json.loads(result)["text"]) / 1e6 - 1000 * fire_time for fire_time, result in rows]
        stamps = [int(line) for line in theirs.read_text().splitlines()]
        return ours, [(stamp / 1e6 - 500) % 1000 for stamp in stamps if stamp / 1e9 > begin], lowest


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """Median and p99 for each number of tasks."""
    points, floors = [], []
    for count in (10, 100, 1000, 3600) if options.full else (100, 1000):
        ours, theirs, lowest = lateness(count, options.seconds * (5 if options.full else 1))
        points.append((count, median(ours)))
        floors.append((count, median(lowest)))
        for name, of, target in (("median", median, 2.0), ("p99", percentile, 5.0)):
            yield Figure(
                group="lateness",
                name=f"{count:,} active tasks, {name} of {len(ours)}",
                value=of(ours),
                target=target,
                floor=of(lowest),
                floor_is="starting the same command at once",
                peer=of(theirs),
                peer_is="APScheduler 3.11",
            )
    yield Growth(group="lateness", name="median", unit="ms", points=tuple(points), floor=tuple(floors))


if __name__ == "__main__":
    run(__doc__, measure, seconds=60.0)
