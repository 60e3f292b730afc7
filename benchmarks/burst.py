"""A burst: many tasks due in one second, each running `/bin/true`, eight at a time, until all outcomes are durable.

Run it with `make bench` or `python benchmarks/burst.py --tasks N`. The floor: the same number of the same processes
started and waited for, eight at a time, and a durable insert into an SQLite file for each. Once without anything to
write into the vault (`log: none`), once with every run in its note and in the daily log.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from support.daemon import Daemon
from support.figures import Figure, Finding, Growth
from support.program import run
from support.vaults import SETTINGS, make_vault

TRUE = shutil.which("true") or "/bin/true"
PARALLEL = 8
NOTE = (
    "---\ntype: command\ncommand: [{program}]\nevery: 1000h\nstart: {start}\nnext_run: {start}\nlog: {log}\n"
    "env: [NUMBER={number}]\n---\n"
)
ENDED = "SELECT count(*) FROM runs WHERE outcome = 'success'"
WRITTEN = "SELECT count(*) FROM deliveries WHERE done_at NOT NULL AND target = 'note'"


def floor(folder: Path, count: int) -> float:
    """Seconds to start so many processes, eight at a time, with a durable insert for each that has ended."""
    db = sqlite3.connect(folder / "floor.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE ends (number INTEGER PRIMARY KEY, at REAL)")
    begin, going = time.perf_counter(), []
    for _ in range(count):
        if len(going) == PARALLEL:
            going.pop(0).wait()
            db.execute("INSERT INTO ends (at) VALUES (?)", (time.time(),))
        going.append(subprocess.Popen([TRUE], stdin=subprocess.DEVNULL, start_new_session=True))
    for process in going:
        process.wait()
        db.execute("INSERT INTO ends (at) VALUES (?)", (time.time(),))
    took = time.perf_counter() - begin
    db.close()
    return took


def until(daemon: Daemon, sql: str, count: int, limit_s: float = 300.0) -> None:
    """Wait until the ledger counts so many."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        rows = daemon.ask(sql)
        if rows and rows[0][0] >= count:
            return
        time.sleep(0.1)
    raise TimeoutError(f"not {count} within {limit_s:g} s: {sql}")


def burst(count: int, log: str) -> tuple[float, float, float]:
    """Seconds from the fire time to the last outcome and to the last note; seconds of the floor."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        least = floor(folder, count)
        daemon = Daemon(folder)
        due = math.ceil(time.time() + 6 + count / 250)
        start = f"{datetime.fromtimestamp(due, UTC):%Y-%m-%dT%H:%M:%S}"
        make_vault(
            daemon.vault,
            count,
            lambda number: NOTE.format(program=TRUE, start=start, log=log, number=number),
            settings=f"{SETTINGS}max_parallel: {PARALLEL}\n",
        )
        with daemon.running():
            if time.time() > due - 1:
                raise TimeoutError("the daemon was not ready before the burst")
            time.sleep(max(0.0, due + 2 * least - time.time()))
            until(daemon, ENDED, count)
            ended = daemon.ask("SELECT max(ended_at) FROM runs")[0][0] - due
            written = ended
            if log != "none":
                until(daemon, WRITTEN, count)
                written = daemon.ask("SELECT max(done_at) FROM deliveries")[0][0] - due
    return ended, written, least


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """The burst without and with notes to write, and how it grows."""
    sizes = [options.tasks // 100, options.tasks // 10, options.tasks] + [10 * options.tasks] * options.full
    found = [(size, *burst(size, "none")) for size in sizes]
    count, ended, _, least = found[2]
    floor_is = "the same processes, eight at a time, and a durable insert for each"
    yield Figure(
        group="burst",
        name=f"{count:,} tasks at once, until all outcomes are durable",
        value=ended,
        unit="s",
        target=round(3 * least, 2),
        floor=least,
        floor_is=floor_is,
    )
    ended, written, least = burst(count, "all")
    for name, value in (("until all outcomes are durable", ended), ("until all notes are written", written)):
        yield Figure(
            group="burst",
            name=f"the same with every run in its note and the daily log, {name}",
            value=value,
            unit="s",
            floor=least,
            floor_is=floor_is,
        )
    yield Growth(
        group="burst",
        name="until all outcomes are durable",
        unit="s",
        points=tuple((size, ended) for size, ended, _, _ in found),
        floor=tuple((size, least) for size, _, _, least in found),
    )


if __name__ == "__main__":
    run(__doc__, measure, tasks=1000)
