"""`delete`: a task's note goes into the vault's trash, where Obsidian's own deleting puts it, and stays readable."""

from __future__ import annotations

from pathlib import Path

from vault_scheduler.machine.place import Place

TRASH = ".trash"


def throw_away(place: Place, rel: str) -> str:
    """Move a note into the trash, beside what is there; its new vault-relative path. Raises OSError."""
    source = place.vault.root / rel
    folder = place.vault.root / TRASH
    folder.mkdir(exist_ok=True)
    target = _free(folder, source)
    source.rename(target)
    return target.relative_to(place.vault.root).as_posix()


def _free(folder: Path, note: Path) -> Path:
    """`briefing.md`, `briefing 2.md`, …: nothing in the trash is overwritten."""
    target, number = folder / note.name, 1
    while target.exists():
        number += 1
        target = folder / f"{note.stem} {number}{note.suffix}"
    return target
