"""Start-up: from exec of the daemon until it has compared what is due with what started, among N task notes.

Run it with `make bench` or `python benchmarks/startup.py`. Cold: no state folder at all. Warm: a daemon served this
vault before. The floor is a program that reads all files, parses each frontmatter once, makes the cron of each and asks
it once; it is started like the daemon, as a process. "watching", which the daemon says as soon as it would notice an
edit, comes before its first pass; it is shown beside it.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from support.daemon import Daemon
from support.figures import Figure, Finding, median
from support.program import run
from support.vaults import SETTINGS, make_settings, make_vault, never

FLOOR = """
import sys
from datetime import datetime
from pathlib import Path
import frontmatter
from croniter import croniter
for note in Path(sys.argv[1], "00_system", "tasks").iterdir():
    post = frontmatter.loads(note.read_text(encoding="utf-8"))
    croniter(str(post["cron"]), datetime(2026, 1, 1)).get_next(datetime)
"""
FLOOR_IS = "a process that reads all files, parses each frontmatter and asks each cron once"


def floor(vault: Path) -> float:
    """Seconds of the least that anybody does."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", FLOOR, str(vault)], check=True)
    return time.perf_counter() - begin


def start(daemon: Daemon, *, count: int = 0, keep: int = 0) -> tuple[float, float]:
    """Seconds from exec until "watching", and until a first pass has taken `count` tasks into the ledger.

    Ended when so many notes are kept; what waits to be kept when it ends is written then.
    """
    began, begin = datetime.now(UTC), time.perf_counter()
    with daemon.running():
        watching = time.perf_counter() - begin
        while not _has_passed(daemon, began, count):
            time.sleep(0.002)
        passed = time.perf_counter() - begin
        while _kept(daemon) < keep * 97 // 100:  # some are being written into, and kept with the next sweep
            time.sleep(0.2)
    return watching, passed


def _has_passed(daemon: Daemon, began: datetime, count: int) -> bool:
    """Nothing at all is taken in while the settings note waits to be believed, and that is a pass, too."""
    try:
        found = daemon.ask("SELECT value, (SELECT count(*) FROM tasks) FROM meta WHERE key = 'last pass'")
    except sqlite3.OperationalError:
        return False
    return bool(found) and datetime.fromisoformat(found[0][0]) > began and found[0][1] >= count


def _kept(daemon: Daemon) -> int:
    path = daemon.ledger.with_name("definitions.db")
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(db.execute("SELECT count(*) FROM definitions").fetchone()[0])
    finally:
        db.close()


def startups(count: int, rounds: int) -> dict[str, float]:
    """Medians in seconds, for a vault of so many notes: floor, cold, cold watching, warm."""
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        make_vault(daemon.vault, count, never)
        time.sleep(6)  # what was changed within 5 s is read again
        return _startups(daemon, count, rounds)


def _startups(daemon: Daemon, count: int, rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {"floor": [], "cold": [], "watching": [], "warm": []}
    for _ in range(rounds):
        shutil.rmtree(daemon.folder / "state", ignore_errors=True)
        make_settings(daemon.vault, SETTINGS)  # without the host that the last daemon wrote there
        found["floor"].append(floor(daemon.vault))
        watching, cold = start(daemon, count=count)
        found["watching"].append(watching)
        found["cold"].append(cold)
    found["warm"] = [start(daemon, count=count)[1] for _ in range(rounds)]
    kept = _kept(daemon)
    if kept < count:
        raise SystemExit(f"the daemon has kept {kept} of {count} notes: these were no warm starts")
    return {name: median(values) for name, values in found.items()}


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """The figures for 10,000 notes; growth.py says how they grow."""
    many = startups(10_000, options.rounds)
    for name, target in (("cold", 1.5 * many["floor"]), ("warm", 1.0)):
        yield Figure(
            group="start-up",
            name=f"{name}, 10,000 notes: first pass",
            value=many[name],
            unit="s",
            target=target,
            floor=many["floor"],
            floor_is=FLOOR_IS,
        )
    yield Figure(group="start-up", name='cold, 10,000 notes: "watching"', value=many["watching"], unit="s")


if __name__ == "__main__":
    run(__doc__, measure, rounds=3)
