"""Runs per second that the daemon keeps up, with claim, outcome and delivery durable, and its memory meanwhile.

Run it with `make bench` or `python benchmarks/sustained.py --seconds S`. So many tasks run `/bin/true` each second,
eight at a time, every run in its note and in the daily log; what the daemon cannot keep up with ends as skipped and is
not counted. `--full` goes on for 60,000 runs.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from support.daemon import Daemon
from support.figures import Figure, Finding, Growth
from support.program import run
from support.vaults import SETTINGS, make_vault

TRUE = shutil.which("true") or "/bin/true"
NOTE = "---\ntype: command\ncommand: [{program}]\nevery: 1s\nenv: [NUMBER={number}]\n---\n"
RUNS = "SELECT count(*) FROM runs WHERE outcome = 'success' AND ended_at >= ? AND ended_at < ?"
LATE = "SELECT count(*) FROM deliveries d JOIN runs r ON r.id = d.run WHERE d.done_at IS NULL AND r.ended_at < ?"
FULL = 60_000
LEVEL = (
    "each line in the daily log is watched for five minutes, in case a sync removes it: at this rate 36,000 at a time, "
    "and it is level from then on, but for the log's text, which goes when a new file is begun at 1 MiB"
)


def sustained(tasks: int, seconds: float, runs: int) -> tuple[float, int, list[tuple[float, float]]]:
    """Successful runs per second, deliveries that were due a minute ago and are not done, memory over runs."""
    with tempfile.TemporaryDirectory() as place:
        daemon = Daemon(Path(place))
        make_vault(
            daemon.vault,
            tasks,
            lambda number: NOTE.format(program=TRUE, number=number),
            settings=f"{SETTINGS}max_parallel: 8\nnote_interval: 10s\n",
        )
        memory: list[tuple[float, float]] = []
        with daemon.running():
            time.sleep(5)
            begin, done = time.time(), 0
            while time.time() < begin + seconds or done < runs:
                time.sleep(min(10.0, seconds / 4))
                now = time.time()
                done = daemon.ask(RUNS, begin, now)[0][0]
                memory.append((done, daemon.usage().resident_mb))
            late = daemon.ask(LATE, now - 60)[0][0]
    return done / (now - begin), late, memory


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """The rate, and the memory."""
    rate, late, memory = sustained(options.tasks, options.seconds, FULL if options.full else 0)
    yield Figure(
        group="sustained",
        name=f"runs with claim, outcome and delivery durable ({options.tasks} asked for; {late} deliveries late)",
        value=rate,
        unit="/s",
        target=100.0,
        more_is_better=True,
    )
    third = memory[len(memory) // 3]
    yield Figure(
        group="sustained",
        name=f"growth of memory from run {third[0]:,.0f} to {memory[-1][0]:,.0f}",
        value=round(memory[-1][1] - third[1], 1),
        unit="MB",
        target=2.0,
        why=LEVEL,
    )
    yield Growth(group="sustained", name="resident memory", unit="MB", over="runs", points=tuple(memory))


if __name__ == "__main__":
    run(__doc__, measure, tasks=120, seconds=60.0)
