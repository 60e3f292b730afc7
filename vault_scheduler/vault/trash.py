"""The vault's own trash, `.trash`, where Obsidian puts what is deleted: a note goes there whole, or stays."""

from __future__ import annotations

import os
from pathlib import Path

from vault_scheduler.errors import NoteChanged, NoteUnreadable
from vault_scheduler.platform.exchange import sync_folder
from vault_scheduler.platform.replace import read_regular
from vault_scheduler.vault.vault import MAX_NOTE_BYTES, Vault

TRASH = ".trash"
_MOST_NAMES = 1000


def to_trash(vault: Vault, rel: str, expected: bytes) -> str:
    """Move a note to the same path below `.trash`, under a free name; its new vault-relative path.

    Raises NoteChanged if it does not hold what was expected (then it is in its place, as somebody left it),
    FileNotFoundError if it is gone, NoteUnreadable if the note or the trash lies outside of the vault, OSError.
    """
    source = _inside(vault, rel)
    if read_regular(source, MAX_NOTE_BYTES).data != expected:
        raise NoteChanged(rel)
    target = _free_name(vault, rel)
    try:
        source.rename(target)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    if read_regular(target, MAX_NOTE_BYTES).data != expected:  # saved in this very moment
        _put_back(target, source)
        raise NoteChanged(rel)
    for folder in (target.parent, source.parent):
        sync_folder(folder)
    return target.relative_to(vault.root).as_posix()


def _inside(vault: Vault, rel: str) -> Path:
    place = vault.root / rel
    if place.is_symlink() or vault.place(rel) is None:
        raise NoteUnreadable(rel, "it is a link, or lies outside the vault")
    return place


def _free_name(vault: Vault, rel: str) -> Path:
    """A new, empty file in the trash: whatever another program puts there is not overwritten."""
    wanted = vault.root / TRASH / rel
    if vault.place(f"{TRASH}/{rel}") is None:
        raise NoteUnreadable(f"{TRASH}/{rel}", "it lies outside the vault")
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, _MOST_NAMES):
        name = wanted if number == 1 else wanted.with_name(f"{wanted.stem} {number}{wanted.suffix}")
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            continue
        return name
    raise NoteUnreadable(f"{TRASH}/{rel}", "the trash holds too many notes of this name")


def _put_back(target: Path, source: Path) -> None:
    """Undo the move, unless there is a newer file in the place; then both are kept."""
    try:
        os.link(target, source)
    except OSError:
        return
    target.unlink()
