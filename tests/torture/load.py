"""Load: 10,000 notes, 1,000 of them due in the same second, 50 runs a second: `python -m tests.torture.load [SECONDS]`.

Every due fire time must have exactly one outcome, the daemon's memory must stay flat, and no note may be written more
often than `note_interval` says. The figures of lateness are those of this machine. With `--profile` the daemon's own
profile is printed, by the time spent in each function.
"""

from __future__ import annotations

import contextlib
import io
import os
import pstats
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.process.conftest import World, wait_until

NOTE_INTERVAL_S = 30.0
SETTINGS = f"""---
status: active
timezone: UTC
note_interval: {NOTE_INTERVAL_S:g}s
max_parallel: 16
---
"""
PERIOD_S = 10
GRACE_S = 180.0
"""So long after the load the last runs may take to end."""
PASS_S = 3.0
"""The interval counts from the beginning of the pass that writes, and a pass with much to do takes a while."""
GROWTH_MB = 25.0
"""What caches may take; a leak of 1 kB a run would be 30 MB after ten minutes of 50 a second."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is to do."""

    notes: int = 10_000
    at_once: int = 1_000
    a_second: int = 50
    seconds: int = 600

    @property
    def frequent(self) -> int:
        """Tasks that fire every PERIOD_S."""
        return self.a_second * PERIOD_S


@dataclass
class Figures:
    """What was seen."""

    size: Size
    fire_times: int = 0
    faults: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    late_ms: list[float] = field(default_factory=list)
    burst_s: float = 0.0
    rss_mb: list[float] = field(default_factory=list)
    writes: int = 0
    closest_s: float = float("inf")

    def line(self) -> str:
        """All of it on one line."""
        size, told = self.size, ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        return (
            f"load: {size.notes} notes, {size.at_once} due at once, {size.a_second} runs a second for {size.seconds} s"
            f": {self.fire_times} fire times ({told}); late {share(self.late_ms, 0.5):.0f} ms median, "
            f"{share(self.late_ms, 0.99):.0f} ms p99; the {size.at_once} at once had ended after {self.burst_s:.1f} s; "
            f"memory {self.memory()} MB; {self.writes} writes of the notes looked at, "
            f"the closest {self.closest_s:.1f} s apart; {len(self.faults)} faults"
        )

    def memory(self) -> str:
        """At the start, at each quarter, and at the end."""
        last = len(self.rss_mb) - 1
        return " → ".join(f"{self.rss_mb[last * quarter // 4]:.0f}" for quarter in range(5))


def share(values: list[float], part: float) -> float:
    """The value below which this part of them lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def build(folder: Path, size: Size, burst: datetime) -> World:
    """The vault; all of its notes have been left alone for an hour."""
    world = World(folder, SETTINGS)
    idle = "type: command\ncron: 0 3 1 1 *\ncommand: 'true'\nnext_run: 2099-01-01T00:00:00"
    at_once = f"type: command\nat: {burst:%Y-%m-%dT%H:%M:%S}\ncommand: 'true'"
    for number in range(size.notes):
        if number < size.frequent:
            start = f"2026-01-01T00:00:{number % PERIOD_S:02}"
            world.note(f"f/{number}", f"type: command\nevery: {PERIOD_S}s\nstart: {start}\ncommand: 'true'")
        elif number < size.frequent + size.at_once:
            world.note(f"b/{number}", at_once)
        else:
            world.note(f"i{number % 20}/{number}", idle)
    hour_ago = time.time() - 3600
    for path in [*world.tasks.rglob("*.md"), world.settings]:
        os.utime(path, (hour_ago, hour_ago))
    return world


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Notes:
    """Looks at some of the notes, and when each was replaced."""

    def __init__(self, paths: list[Path], figures: Figures) -> None:
        self._figures = figures
        self._seen = {path: self._stamp(path) for path in paths}
        self._written: dict[Path, int] = {}

    def _stamp(self, path: Path) -> int:
        return path.stat().st_mtime_ns

    def look(self) -> None:
        """To be called often."""
        for path, before in self._seen.items():
            stamp = self._stamp(path)
            if stamp == before:
                continue
            self._seen[path] = stamp
            self._figures.writes += 1
            if path in self._written:
                self._figures.closest_s = min(self._figures.closest_s, (stamp - self._written[path]) / 1e9)
            self._written[path] = stamp


def attack(size: Size, *, profile: bool = False) -> Figures:
    """Play it; what was seen."""
    figures = Figures(size)
    with tempfile.TemporaryDirectory() as place:
        burst = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=25 + size.notes // 200)
        world = build(Path(place) / "world", size, burst)
        pid = start(world, Path(place) / "profile", profile=profile)
        try:
            play(world, pid, size, burst, figures)
        finally:
            if world.daemon is not None and world.daemon.poll() is None:
                code = world.stop(timeout_s=60)
                figures.faults += [f"the daemon ended with {code}"] if code else []
        if profile:
            print_profile(Path(place) / "profile")
    return figures


def start(world: World, found: Path, *, profile: bool) -> int:
    """Start the daemon, with or without a profiler around it; its process id."""
    if profile:
        command = [sys.executable, "-m", "cProfile", "-o", str(found), "-m", "vault_scheduler", "daemon"]
        with world.printed.open("ab") as file:
            world.daemon = subprocess.Popen(
                [*command, "--vault", str(world.vault)], env=world.env, cwd=world.folder, stdout=file, stderr=file
            )
    else:
        world.start(wait=False)
    wait_until(lambda: "watching" in world.told(), f"it watches; it said {world.told()[-500:]}", 60)
    assert world.daemon is not None
    return world.daemon.pid


def play(world: World, pid: int, size: Size, burst: datetime, figures: Figures) -> None:
    """Wait for the burst, let the load go on, end it, and judge."""
    frequent = [world.tasks / "f" / f"{number}.md" for number in range(0, size.frequent, max(1, size.frequent // 50))]
    notes = Notes(frequent, figures)
    wait_until(lambda: _armed(world) >= size.notes, "all tasks are known", 120)
    begin = max(datetime.now(UTC), burst)
    end = begin + timedelta(seconds=size.seconds)
    next_memory = begin + timedelta(seconds=min(20, size.seconds / 3))
    while (now := datetime.now(UTC)) < end:
        notes.look()
        if now > next_memory:
            figures.rss_mb.append(memory_mb(pid))
            next_memory += timedelta(seconds=10)
        time.sleep(0.1)
    figures.rss_mb.append(memory_mb(pid))
    world.settings.write_text(SETTINGS.replace("status: active", "status: paused"))
    wait_until(lambda: not _open_runs(world), "the last runs end", GRACE_S)
    judge(world, size, burst, begin, end, figures)


def _armed(world: World) -> int:
    rows = world.rows("SELECT count(*) AS n FROM tasks")
    return int(rows[0]["n"]) if rows else 0


def _open_runs(world: World) -> list[dict[str, object]]:
    return world.rows("SELECT 1 FROM runs WHERE state <> 'ended'")


def judge(world: World, size: Size, burst: datetime, begin: datetime, end: datetime, figures: Figures) -> None:
    """Look for every fire time of the load in the ledger."""
    with contextlib.closing(sqlite3.connect(f"file:{world.state / 'ledger.db'}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT task, fire_time, last_fire_time, count, outcome, started_at, ended_at FROM runs"
        ).fetchall()
    times: dict[str, Counter[int]] = {}
    for task, first, last, count, outcome, started, _ in rows:
        step = (last - first) // (count - 1) if count > 1 else 1
        times.setdefault(task, Counter()).update(range(first, last + 1, step))
        figures.outcomes[outcome] += count
        if started is not None and task.startswith("f/"):
            figures.late_ms.append((started - first) * 1000)
    expected = {
        f"b/{number}": [int(burst.timestamp())] for number in range(size.frequent, size.frequent + size.at_once)
    }
    until = int(end.timestamp())
    for number in range(size.frequent):
        first = int(begin.timestamp()) + 1
        first += (number - first) % PERIOD_S
        expected[f"f/{number}"] = list(range(first, until, PERIOD_S))
    for task, due in expected.items():
        figures.fire_times += len(due)
        found = times.get(task, Counter())
        figures.faults += [f"{task} at {at}: {found[at]} outcomes" for at in due if found[at] != 1]
    ends = [row[6] - burst.timestamp() for row in rows if row[0].startswith("b/")]
    figures.burst_s = max(ends, default=0.0)
    if figures.closest_s < NOTE_INTERVAL_S - PASS_S:
        figures.faults.append(f"a note was written twice within {figures.closest_s:.1f} s")
    if figures.rss_mb[-1] - figures.rss_mb[0] > GROWTH_MB:
        figures.faults.append(f"memory grew from {figures.rss_mb[0]:.0f} to {figures.rss_mb[-1]:.0f} MB")


def print_profile(path: Path) -> None:
    """The functions that cost most by themselves, and with all they call."""
    for order in ("tottime", "cumtime"):
        text = io.StringIO()
        pstats.Stats(str(path), stream=text).sort_stats(order).print_stats(45)
        print(text.getvalue().split("\n", 8)[-1])


def main() -> int:
    """Play it as the command line says; 1 if a fire time was lost."""
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    names = ("seconds", "a_second", "at_once", "notes")
    figures = attack(Size(**dict(zip(names, numbers, strict=False))), profile="--profile" in sys.argv)
    print(figures.line())
    for fault in figures.faults[:20]:
        print(f"  {fault}")
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
