"""The built-in tasks that read a whole vault, on N notes: seconds for one run each, its process not counted.

Run it with `make bench` or `python benchmarks/builtin_tasks.py --notes N`. A tenth of the notes have open tasks,
dates, a status or a review date; each links to three others. Prints medians of five rounds, beside the floor of
reading them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from support.figures import Figure, median, rounds
from support.program import run

from vault_scheduler.builtin import dashboard, doc_freshness, vault_cleanup

NOW = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
DAY_S = 86_400
TEXT = "Some sentences about nothing in particular, with `code` and *words*.\n\n" * 12


def make_vault(root: Path, count: int) -> None:
    """Notes of about a kilobyte in folders of a hundred."""
    (root / "00_system/tasks").mkdir(parents=True)
    for number in range(count):
        folder = root / f"Folder {number // 100}"
        folder.mkdir(exist_ok=True)
        links = " ".join(f"[[Note {(number * step) % (count + 20)}]]" for step in (3, 7, 11))
        parts = [f"tags: [n{number % 9}]"]
        if number % 10 == 0:
            parts += ["status: running", "deadline: 2026-12-01", "reviewed: 2026-01-01"]
        tasks = "- [ ] Something to do, due 2026-11-20\n- [x] done\n" if number % 10 == 1 else ""
        note = folder / f"Note {number}.md"
        note.write_text("\n".join(["---", *parts, "---", f"# Note {number}", links, TEXT, tasks]), encoding="utf-8")
        moment = NOW.timestamp() - number % 400 * DAY_S
        os.utime(note, (moment, moment))


def floor(root: Path) -> None:
    """Walk the vault and read every note."""
    for folder, _, names in os.walk(root):
        for name in names:
            Path(folder, name).read_bytes()


def measure(options: argparse.Namespace) -> Iterator[Figure]:
    """Each task over the same vault, beside reading it."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        make_vault(root, options.notes)
        system = root / "00_system"
        tasks: dict[str, Callable[[], object]] = {
            "dashboard": lambda: dashboard.run(root, system, NOW, dry_run=True),
            "doc_freshness": lambda: doc_freshness.run(root, NOW),
            "vault_cleanup": lambda: vault_cleanup.run(root, system, NOW),
        }
        least = median(rounds(lambda: floor(root)))
        for name, work in tasks.items():
            yield Figure(
                group="built-in",
                name=f"{name}, {options.notes:,} notes",
                value=median(rounds(work)),
                unit="s",
                floor=least,
                floor_is="walking the vault and reading every note",
            )


if __name__ == "__main__":
    run(__doc__, measure, notes=5000)
