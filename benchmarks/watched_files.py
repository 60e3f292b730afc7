"""`on_change`: one look at N watched files, beside the floor of walking over them and asking for each one's stat.

Run it with `make bench` or `python benchmarks/watched_files.py --files N`. Prints medians of five rounds and the ratio.
The daemon looks every 30 s, and after hints at most once in 1 s + N / 10,000 s.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from support.figures import Figure, Finding, Growth, median, rounds
from support.program import run

from vault_scheduler.planning.changes import differences
from vault_scheduler.vault.files import scan
from vault_scheduler.vault.vault import Vault

EVERYTHING = {"": None}


def make_vault(root: Path, count: int) -> None:
    """A vault with `count` notes in folders of fifty."""
    (root / "00_system" / "tasks").mkdir(parents=True)
    for number in range(count):
        folder = root / f"folder {number // 50}"
        folder.mkdir(exist_ok=True)
        (folder / f"note {number}.md").touch()


def floor(root: Path) -> None:
    """Stat every file."""
    for folder, _, names in os.walk(root):
        for name in names:
            os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - this is what it costs at least


def look(root: Path) -> None:
    """What the daemon does: all files, and the differences to the last time."""
    files = scan(Vault(root), EVERYTHING).files
    differences(dict(files), files)


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """One look at so many files, and how it grows."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for count in (options.files // 100, options.files // 10, options.files):
            root = Path(folder, str(count))
            make_vault(root, count)
            found.append((count, *(1000 * median(rounds(partial(work, root))) for work in (look, floor))))
    count, took, least = found[-1]
    yield Figure(
        group="watching",
        name=f"one look at {count:,} files",
        value=took,
        floor=least,
        floor_is="walking over them and asking for the stat of each",
    )
    yield Growth(
        group="watching",
        name="one look",
        unit="ms",
        over="files",
        points=tuple((count, took) for count, took, _ in found),
        floor=tuple((count, least) for count, _, least in found),
    )


if __name__ == "__main__":
    run(__doc__, measure, files=10_000)
