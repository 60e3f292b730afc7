"""Growth: one life of the daemon in vaults of 10 to 100,000 tasks, so that what depends on their number shows.

Run it with `make bench` or `python benchmarks/growth.py --most N`. Each vault is started cold, left alone, edited,
asked for runs, started anew (warm), and asked by the commands. What an edit and a run cost must not depend on the
number of tasks; the other figures grow as the number does, or slower.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from startup import floor, start
from support.daemon import Daemon
from support.figures import Finding, Growth, median, rounds, timed
from support.program import run
from support.vaults import SETTINGS, make_vault, never

SIZES = (10, 100, 1000, 10_000, 100_000)
QUIET_S = 1.0
EDITS = RUNS = 5
COMMANDS = ("list", "next", "check", "status")
UNITS = {
    "start-up": ("s", ("cold", "warm")),
    "edit": ("ms", ("an edit", "CPU of an edit", "a run", "CPU of a run")),
    "idle": ("s", ("CPU per hour",)),
    "memory": ("MB", ("resident, cold", "resident, warm")),
    "commands": ("ms", COMMANDS),
}


def life(count: int) -> dict[str, float]:
    """All figures of a vault with so many tasks, by name; `floor` is that of the start."""
    with tempfile.TemporaryDirectory() as place:
        daemon = Daemon(Path(place))
        make_vault(daemon.vault, count, never, settings=f"{SETTINGS}note_quiet: {QUIET_S:g}s\nnote_interval: 1s\n")
        found = {"floor": floor(daemon.vault)}
        time.sleep(6)  # what was changed within 5 s is read again
        found["cold"] = start(daemon, count=count)[1]
        with daemon.running():
            time.sleep(40)  # what follows the start is over
            found["resident, cold"] = daemon.usage().resident_mb
            found["CPU per hour"] = _cpu_s(daemon, lambda: time.sleep(60)) * 60
            rest_s = found["CPU per hour"] / 3600
            found["an edit"], found["CPU of an edit"] = _each(daemon, [_Edit(n, count) for n in range(EDITS)], rest_s)
            found["a run"], found["CPU of a run"] = _each(daemon, [_Run(n, count) for n in range(RUNS)], rest_s)
        time.sleep(6)  # what was changed within 5 s is read again
        start(daemon, count=count)  # keeps what the edits and runs have changed
        found["warm"] = median([start(daemon, count=count)[1] for _ in range(3)])
        with daemon.running():
            time.sleep(40)
            found["resident, warm"] = daemon.usage().resident_mb
            for name in COMMANDS:
                found[name] = 1000 * _wall_s(daemon, name)
    return found


def _each(daemon: Daemon, acts: list, rest_s: float) -> tuple[float, float]:
    """Milliseconds of the median act, and milliseconds of CPU of each beyond what the daemon uses anyway."""
    begin, before = time.monotonic(), daemon.usage().cpu_s
    took = [act(daemon) for act in acts]
    spent = daemon.usage().cpu_s - before - rest_s * (time.monotonic() - begin)
    return 1000 * median(took), max(0.1, 1000 * spent / len(acts))


class _Edit:
    """Save a note with another schedule; seconds beyond `note_quiet` until it is in force."""

    def __init__(self, number: int, count: int) -> None:
        self._name = f"task {number * (count // EDITS)}"

    def __call__(self, daemon: Daemon) -> float:
        path = daemon.vault / "00_system" / "tasks" / f"{self._name}.md"
        text = path.read_text().replace("29 2 *", "28 2 *")
        begin = time.monotonic()
        path.write_text(text)
        while "28 2 *" not in daemon.ask("SELECT source FROM tasks WHERE task = ?", self._name)[0][0]:
            time.sleep(0.001 if time.monotonic() - begin > QUIET_S - 0.01 else 0.05)
        return time.monotonic() - begin - QUIET_S


class _Run:
    """Tick `run_now` in a note; seconds beyond `note_quiet` until the outcome is durable."""

    def __init__(self, number: int, count: int) -> None:
        self._name = f"task {number * (count // RUNS) + 1}"

    def __call__(self, daemon: Daemon) -> float:
        path = daemon.vault / "00_system" / "tasks" / f"{self._name}.md"
        text = path.read_text().replace("type: command", "type: command\nrun_now: true", 1)
        begin = time.monotonic()
        path.write_text(text)
        while not daemon.ask("SELECT 1 FROM runs WHERE task = ? AND state = 'ended'", self._name):
            time.sleep(0.001 if time.monotonic() - begin > QUIET_S - 0.01 else 0.05)
        return time.monotonic() - begin - QUIET_S


def _cpu_s(daemon: Daemon, work) -> float:
    before = daemon.usage().cpu_s
    work()
    return daemon.usage().cpu_s - before


def _wall_s(daemon: Daemon, name: str) -> float:
    command, quiet = daemon.command(name), {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    once = timed(lambda: subprocess.run(command, env=daemon.env, **quiet))
    return median([once, *rounds(lambda: subprocess.run(command, env=daemon.env, **quiet), 2)])


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """A line for each figure, over the number of tasks."""
    found = {}
    for size in (size for size in SIZES if size <= options.most):
        found[size] = life(size)
        print(f"{size:,} tasks: " + ", ".join(f"{name} {value:.3g}" for name, value in found[size].items()), flush=True)
    for group, (unit, names) in UNITS.items():
        for name in names:
            points = tuple((size, figures[name]) for size, figures in found.items())
            lowest = tuple((size, figures["floor"]) for size, figures in found.items()) if name == "cold" else ()
            yield Growth(group=group, name=name, unit=unit, points=points, floor=lowest)


if __name__ == "__main__":
    run(__doc__, measure, most=100_000)
