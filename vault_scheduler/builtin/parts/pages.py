"""The notes of the vault, read: dot folders, templates, conflict copies and links are left out. Nothing is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vault_scheduler.errors import VaultSchedError
from vault_scheduler.platform.replace import read_regular
from vault_scheduler.vault.ignored import reason_to_skip

MAX_BYTES = 8 * 2**20
_HEAD = 16  # bytes in which a frontmatter begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A note as read: its path in the vault, its bytes, when it was last modified (seconds since 1970)."""

    path: str
    data: bytes
    modified: float

    @property
    def name(self) -> str:
        """The file's name without `.md`."""
        return self.path.rsplit("/", 1)[-1].removesuffix(".md")


def note_paths(vault: Path, folders: Sequence[str] = (), exclude: Sequence[str] = ()) -> Iterator[str]:
    """The vault-relative paths of the notes below the folders (none: the whole vault), each once, in order."""
    seen: set[str] = set()
    for start in folders or ("",):
        for path in _below(vault, start):
            if path not in seen and not lies_below(path, exclude):
                seen.add(path)
                yield path


def lies_below(path: str, places: Sequence[str]) -> bool:
    """Whether a path is one of these notes, in one of these folders, or in a folder below them."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _below(vault: Path, start: str) -> Iterator[str]:
    for folder, inside, names in os.walk(vault / start):
        inside[:] = sorted(name for name in inside if reason_to_skip(name, False) is None)
        below = os.path.relpath(folder, vault)
        prefix = "" if below == "." else f"{below}/"
        for name in sorted(names):
            if name.endswith(".md") and reason_to_skip(name, True) is None:
                yield f"{prefix}{name}"


def read(vault: Path, path: str) -> Page | None:
    """The note; None if it is gone or a link. Raises VaultSchedError or OSError if it cannot be read."""
    full = vault / path
    if full.is_symlink():
        return None
    try:
        content = read_regular(full, MAX_BYTES)
    except FileNotFoundError:
        return None
    return Page(path=path, data=content.data, modified=content.stat.st_mtime)


def pages(vault: Path, folders: Sequence[str] = (), exclude: Sequence[str] = ()) -> Iterator[Page]:
    """The notes that can be read."""
    for path in note_paths(vault, folders, exclude):
        try:
            page = read(vault, path)
        except (VaultSchedError, OSError):
            continue
        if page is not None:
            yield page


def mentions(data: bytes, names: Sequence[str]) -> bool:
    """Whether a note may have one of these properties.

    A look at the bytes, because parsing the frontmatter of every note of a large vault takes seconds.
    """
    return data[:_HEAD].lstrip(b"\xef\xbb\xbf").startswith(b"---") and any(name.encode() in data for name in names)
