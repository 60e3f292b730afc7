"""The frame of each benchmark: its flags, what it prints, what it keeps for the page."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from support.figures import Finding, store

KEPT = Path(__file__).parents[2] / ".bench"
"""Where what the benchmarks found waits for the page."""


def run(description: str, measure: Callable[[argparse.Namespace], Iterable[Finding]], **flags: object) -> None:
    """Parse the flags, measure, print a line for each finding, keep them under the program's name.

    `measure` is given `full` (everything at full length) and one option per keyword with that default.
    """
    parser = argparse.ArgumentParser(description=description.split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="at full length, which takes much longer")
    parser.add_argument("--keep", metavar="FILE", type=Path, help="keep the findings as JSON")
    for name, default in flags.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the daemon that was started ends with us
    findings = []
    for found in measure(options):
        print(found.line(), flush=True)
        findings.append(found)
    if options.keep:
        store(options.keep, findings)
