"""The files that an attempt finds in its own folder: scripts, prompts, the paths that changed, what its gate said."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.task import TaskType

CHANGED_VARIABLE = "VAULT_SCHED_CHANGED"
GATE_VARIABLE = "VAULT_SCHED_GATE"
GATE_FILE = "gate.txt"
_CHANGED_FILE = "changed.txt"


def hand_over(request: RunRequest, folder: Path) -> dict[str, str]:
    """Make the attempt's folder, and in it the list of what changed; the variables that say so (rule 5).

    A plain command has nothing to put there, and needs no folder.
    """
    if (
        request.type != TaskType.COMMAND
        or request.changed
        or request.gate is not None
        or not request.action.get("command")
    ):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not request.changed:
        return {}
    write_privately(folder / _CHANGED_FILE, path_list(request.changed))
    return {CHANGED_VARIABLE: str(folder / _CHANGED_FILE)}


def write_privately(path: Path, text: str) -> None:
    """A file for nobody's eyes but the user's; bytes that are not UTF-8 come back as they were."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)


def path_list(paths: Iterable[str]) -> str:
    """One path a line. A name that would break its line stands as a JSON string in quotes, as git shows it.

    So no name can pass for two, and a program that does not know the rule finds no file instead of a wrong one.
    """
    return "".join(f"{_on_a_line(path)}\n" for path in paths)


def _on_a_line(path: str) -> str:
    breaks = path.startswith('"') or any(ord(character) < 32 or character == "\x7f" for character in path)
    return json.dumps(path, ensure_ascii=False) if breaks else path
