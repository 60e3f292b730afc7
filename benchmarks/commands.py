"""Commands: wall time from the shell of `--help`, `list`, `next`, `check` and `status` with 1,000 tasks.

Run it with `make bench` or `python benchmarks/commands.py`. "Served": a daemon runs, or ran, in the vault, so that what
the notes say is kept. "Never served": the notes are read each time. The floor is a Python that does nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from startup import start
from support.daemon import Daemon
from support.figures import Figure, Finding, Growth, median, rounds
from support.program import run
from support.vaults import make_vault, never

TARGETS = {"--help": 120.0, "list": 350.0, "next": 150.0, "check": 600.0, "status": None}
FLOOR_IS = "a Python that loads typer and ends"


def wall_ms(command: Sequence[str], daemon: Daemon, count: int) -> float:
    """The median in milliseconds."""
    quiet = {"env": daemon.env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, **quiet)  # the byte code is written
    return 1000 * median(rounds(lambda: subprocess.run(command, **quiet), count))


def commands(count: int, times: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each command, never served and served."""
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        make_vault(daemon.vault, count, never)
        never_served = {name: wall_ms(_command(daemon, name), daemon, times) for name in TARGETS}
        start(daemon, keep=count)
        time.sleep(6)
        start(daemon, keep=count)  # and what the first one wrote is kept, too
        served = {name: wall_ms(_command(daemon, name), daemon, times) for name in TARGETS}
    return {"never served": never_served, "served": served}


def _command(daemon: Daemon, name: str) -> list[str]:
    return daemon.command(name) if name != "--help" else daemon.command(name)[:-2]


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """The figures for 1,000 tasks, and how they grow."""
    counts = [10, 100, 1000] + [10_000] * options.full
    found = {count: commands(count, options.rounds) for count in counts}
    with tempfile.TemporaryDirectory() as folder:
        lowest = wall_ms([sys.executable, "-c", "import typer"], Daemon(Path(folder)), options.rounds)
    for kind, times in found[1000].items():
        for name, value in times.items():
            if name == "--help" and kind == "served":
                continue
            yield Figure(
                group="commands",
                name=name if name == "--help" else f"{name}, 1,000 tasks, {kind}",
                value=value,
                target=TARGETS[name],
                floor=lowest,
                floor_is=FLOOR_IS,
            )
    for name in ("list", "next", "check"):
        points = tuple((count, kinds["served"][name]) for count, kinds in found.items())
        yield Growth(group="commands", name=name, unit="ms", points=points)


if __name__ == "__main__":
    run(__doc__, measure, rounds=7)
