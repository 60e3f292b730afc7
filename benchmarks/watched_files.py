"""`on_change`: one look at N watched files, beside the floor of walking over them and asking for each one's stat.

Run it with `make bench` or `python benchmarks/watched_files.py [N]`. Prints medians of five rounds and the ratio. The
daemon looks every 30 s, and after hints at most once in 1 s + N / 10,000 s.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vault_scheduler.planning.changes import differences
from vault_scheduler.vault.files import scan
from vault_scheduler.vault.vault import Vault

ROUNDS = 5
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


def median_ms(work: Callable[[Path], None], root: Path) -> float:
    """Milliseconds of one round."""
    times = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        work(root)
        times.append((time.perf_counter() - before) * 1000)
    return statistics.median(times)


def main() -> None:
    """Print one line."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_vault(root, count)
        least, took = median_ms(floor, root), median_ms(look, root)
    print(f"watched files: {count} files, {took:.0f} ms a look; floor {least:.0f} ms; ratio {took / least:.2f}")


if __name__ == "__main__":
    main()
