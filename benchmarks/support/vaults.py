"""Scratch vaults: thousands of task notes that were last edited an hour ago."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

SETTINGS = "status: active\ntimezone: UTC\n"


def make_vault(root: Path, count: int, note: Callable[[int], str], *, settings: str = SETTINGS) -> Path:
    """A vault with `count` tasks, whose notes say what `note(number)` says; the vault's folder."""
    tasks = root / "00_system" / "tasks"
    tasks.mkdir(parents=True)
    paths = [tasks / f"task {number}.md" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text(note(number), encoding="utf-8")
    for path in paths:
        _age(path)
    make_settings(root, settings)
    return root


def make_settings(root: Path, settings: str) -> None:
    """The vault's settings note."""
    path = root / "00_system" / "scheduler.md"
    path.write_text(f"---\n{settings}---\n", encoding="utf-8")
    _age(path)


def _age(path: Path) -> None:
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))


def daily(number: int) -> str:
    """A plain daily command task."""
    when = f'cron: "{number % 60} {number // 60 % 24} * * *"'
    return f"---\ntype: command\n{when}\nstatus: active\n---\nTask {number}.\n\n```sh\ntrue\n```\n"


def never(number: int) -> str:
    """A task that is not due before the next leap day, as its note says: nothing is to be written into it."""
    minute, hour = number % 60, number // 60 % 24
    when = f'cron: "{minute} {hour} 29 2 *"\nnext_run: 2028-02-29T{hour:02d}:{minute:02d}:00'
    return f'---\ntype: command\n{when}\ncommand: "true"\nenv: [NUMBER={number}]\n---\n'
