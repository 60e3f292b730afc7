"""Start-up: the daemon's first look at N task notes, beside the floor of reading and parsing them at all.

Run it with `make bench` or `python benchmarks/first_look.py [N]`. Prints medians of five rounds and the ratio.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import frontmatter
from croniter import croniter

from vault_scheduler.daemon.survey import Survey
from vault_scheduler.vault.vault import Vault

ROUNDS = 5
NOTE = """---
type: command
cron: "{minute} {hour} * * *"
status: active
---
Task {number} of the benchmark.

```sh
true
```
"""


def make_vault(root: Path, count: int) -> None:
    """A vault with `count` daily tasks, last edited an hour ago."""
    tasks = root / "00_system" / "tasks"
    tasks.mkdir(parents=True)
    settings = root / "00_system" / "scheduler.md"
    settings.write_text("---\nstatus: active\ntimezone: Europe/Berlin\n---\n", encoding="utf-8")
    hour_ago = time.time() - 3600
    for number in range(count):
        note = tasks / f"task {number}.md"
        note.write_text(NOTE.format(minute=number % 60, hour=number % 24, number=number), encoding="utf-8")
        os.utime(note, (hour_ago, hour_ago))
    os.utime(settings, (hour_ago, hour_ago))


def floor(root: Path) -> None:
    """Read every file, parse its frontmatter once, construct its cron and ask it once."""
    now = datetime.now(UTC).replace(tzinfo=None)
    for note in (root / "00_system" / "tasks").iterdir():
        post = frontmatter.loads(note.read_text(encoding="utf-8"))
        croniter(str(post["cron"]), now).get_next(datetime)


def first_look(root: Path) -> None:
    """What the daemon does before it says "watching": believe, parse and register every note."""
    survey = Survey(Vault(root), machine_timezone=lambda: "UTC", former={}, settings_source="")
    now, monotonic = datetime.now(UTC), time.monotonic()
    survey.look(now, monotonic)
    for task in survey.registry.ids():
        entry = survey.registry.holder(task)
        assert entry is not None
        assert entry.task is not None
        entry.task.schedule.next_after(now)
    assert len(survey.registry.ids()) > 0


def measure(work: Callable[[Path], None], root: Path) -> float:
    """The median of ROUNDS rounds, in seconds."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work(root)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_vault(root, count)
        lowest, ours = measure(floor, root), measure(first_look, root)
    print(f"first look at {count:,} notes: {ours:.2f} s · floor {lowest:.2f} s · ratio {ours / lowest:.2f}")


if __name__ == "__main__":
    main()
