"""Commands: wall time from the shell of `--help`, `list`, `next`, `check`, `status` and a Tab with 1,000 tasks.

Run it with `make bench` or `python benchmarks/commands.py`. "Served": a daemon runs, or ran, in the vault, so that what
the notes say is kept. "Never served": the notes are read each time. The floor of what is served is a Python that loads
typer and ends; of what is not, one that also reads each note, parses its frontmatter and asks its cron.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from startup import FLOOR as READING
from startup import start
from support.daemon import Daemon
from support.figures import Figure, Finding, median, rounds
from support.program import run
from support.vaults import make_vault, never

HELP, TAB = "--help", "show <Tab>"
TARGETS = {HELP: 120.0, "list": 350.0, "next": 150.0, "check": 600.0, "status": None, TAB: None}
SERVED, UNSERVED = "served", "never served"
FLOORS = {
    SERVED: ("import typer", "a Python that loads typer and ends"),
    UNSERVED: (
        f"import typer\n{READING}",
        "of what was never served, one that reads all notes, parses each frontmatter and asks each cron besides",
    ),
}
FIRST = "nothing is kept of a vault that no daemon has ever served: all its notes have to be read and parsed"
COMPLETES = {"_VAULT_SCHED_COMPLETE": "complete_bash", "COMP_WORDS": "vault-sched show ", "COMP_CWORD": "2"}


def wall_ms(command: Sequence[str], env: Mapping[str, str], count: int) -> float:
    """The median in milliseconds."""
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, **quiet)  # the byte code is written
    return 1000 * median(rounds(lambda: subprocess.run(command, **quiet), count))


def commands(count: int, times: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each command, and of the floor (""), never served and served."""
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        make_vault(daemon.vault, count, never)
        never_served = _times(daemon, UNSERVED, times)
        start(daemon, keep=count)
        time.sleep(6)
        start(daemon, keep=count)  # and what the first one wrote is kept, too
        return {UNSERVED: never_served, SERVED: _times(daemon, SERVED, times)}


def _times(daemon: Daemon, kind: str, times: int) -> dict[str, float]:
    found = {name: wall_ms(*_command(daemon, name), times) for name in TARGETS}
    lowest = [sys.executable, "-c", FLOORS[kind][0], str(daemon.vault)]
    return found | {"": wall_ms(lowest, daemon.env, times)}


def _command(daemon: Daemon, name: str) -> tuple[list[str], dict[str, str]]:
    """The command line and its environment."""
    program = daemon.command()[:-2]
    if name == HELP:
        return [*program, HELP], daemon.env
    if name == TAB:
        return program, {**daemon.env, **COMPLETES, "VAULT_SCHED_VAULT": str(daemon.vault)}
    return daemon.command(name), daemon.env


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """The figures for 1,000 tasks; growth.py says how they grow."""
    for kind, times in commands(1000, options.rounds).items():
        for name, target in TARGETS.items():
            if name in (HELP, TAB) and kind == UNSERVED:  # they do the same
                continue
            yield Figure(
                group="commands",
                name=name if name == HELP else f"{name}, 1,000 tasks, {kind}",
                value=times[name],
                target=target,
                floor=times[""],
                floor_is=FLOORS[kind][1],
                why=FIRST if kind == UNSERVED else "",
            )


if __name__ == "__main__":
    run(__doc__, measure, rounds=7)
