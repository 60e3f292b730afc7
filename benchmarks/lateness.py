"""Lateness: from the fire time to the first instruction of the command, with the real daemon as a child process.

Run it with `make bench` or `python benchmarks/lateness.py [TASKS]`. Beside it, in the same run, the floor: what it
takes this machine to start the same command at all. Prints medians and p99 in milliseconds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 25
PERIOD_S = 10
NOTE = """---
type: command
command: "date +%s%N >> {out}"
every: {period}s
start: 2026-01-01T00:00:{second:02d}
log: none
---
"""


def make_vault(root: Path, count: int, out: Path) -> None:
    """A vault with `count` tasks whose fire times are spread over the period."""
    tasks = root / "00_system" / "tasks"
    tasks.mkdir(parents=True)
    settings = root / "00_system" / "scheduler.md"
    settings.write_text("---\nstatus: active\ntimezone: UTC\nmax_parallel: 100\n---\n", encoding="utf-8")
    hour_ago = time.time() - 3600
    for number in range(count):
        note = tasks / f"task {number}.md"
        note.write_text(NOTE.format(out=out, period=PERIOD_S, second=number % PERIOD_S), encoding="utf-8")
        os.utime(note, (hour_ago, hour_ago))
    os.utime(settings, (hour_ago, hour_ago))


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the sorted values lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def floor(out: Path, rounds: int = 100) -> list[float]:
    """Milliseconds from asking for the process to its first instruction, one after the other."""
    times = []
    for _ in range(rounds):
        begin = time.time_ns()
        subprocess.run(["/bin/sh", "-c", f"date +%s%N > {out}"], check=True, start_new_session=True)
        times.append((int(out.read_text()) - begin) / 1e6)
    return times


def daemon(root: Path, home: Path, out: Path) -> list[float]:
    """Milliseconds after the full second at which each run of the daemon's tasks began."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "vault_scheduler", "daemon", "--vault", str(root)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        time.sleep(SECONDS)
        process.terminate()
    return [int(line) % 1_000_000_000 / 1e6 for line in out.read_text().splitlines()]


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        make_vault(base / "vault", count, base / "starts")
        ours = daemon(base / "vault", base, base / "starts")
        lowest = floor(base / "floor")
    ours_ms, floor_ms = statistics.median(ours), statistics.median(lowest)
    print(
        f"lateness of {len(ours)} runs of {count} tasks: {ours_ms:.1f} ms median, {percentile(ours, 0.99):.1f} ms p99"
        f" · floor {floor_ms:.1f} ms median · ratio {ours_ms / floor_ms:.1f}"
    )


if __name__ == "__main__":
    main()
