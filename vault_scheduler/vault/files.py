"""The files of the vault that tasks watch, by `stat` alone: nothing is opened, and dot names do not exist."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from vault_scheduler.planning.changes import FileStamp, Snapshot
from vault_scheduler.triggers.globs import Reach, covers
from vault_scheduler.vault.vault import Vault

_TEMPORARY = re.compile(
    r"^\.|^~\$|~$|^#.*#$|\.(?:tmp|temp|swp|part|partial|crdownload|download|icloud)$", re.IGNORECASE
)
"""Files that are not there for people yet, or never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One look. What lies below an `unknown` folder is not gone: the folder could not be listed."""

    files: dict[str, FileStamp] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def over(self, before: Snapshot) -> dict[str, FileStamp]:
        """All that is known now: what could not be looked at is as it was `before`."""
        if not self.unknown:
            return self.files
        places = tuple(f"{folder}/" if folder else "" for folder in self.unknown)
        return {**{path: stamp for path, stamp in before.items() if path.startswith(places)}, **self.files}


def scan(vault: Vault, reach: Reach, without: Collection[str] = ()) -> Scan:
    """Look at the files within `reach`, without these vault-relative folders and files.

    Links are followed if they stay in the vault; in a folder that a link leads to, no further ones are.
    """
    return _Scanner(vault, reach, frozenset(without)).scan()


class _Scanner:
    """The state of one scan."""

    def __init__(self, vault: Vault, reach: Reach, without: frozenset[str]) -> None:
        self._vault = vault
        self._reach = reach
        self._without = without
        self._files: dict[str, FileStamp] = {}
        self._unknown: list[str] = []

    def scan(self) -> Scan:
        for folder, levels in self._reach.items():
            place = self._vault.place(folder)
            if place is not None:
                self._below(str(place), folder, levels, follow=True)
        return Scan(files=self._files, unknown=self._unknown)

    def _below(self, path: str, rel: str, levels: int | None, *, follow: bool) -> None:
        pending = [(path, rel, levels)]
        while pending:
            path, rel, levels = pending.pop()
            deeper = None if levels is None else levels - 1
            try:
                with os.scandir(path) as entries:
                    folders = self._entries(entries, f"{rel}/" if rel else "", deeper, follow)
                pending += [(*folder, deeper) for folder in folders]
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                self._unknown.append(rel)

    def _entries(
        self, entries: Iterator[os.DirEntry[str]], prefix: str, deeper: int | None, follow: bool
    ) -> list[tuple[str, str]]:
        """Take the files of one folder; return its subfolders."""
        folders = []
        for entry in entries:
            name = entry.name
            rel = prefix + (name if name.isascii() else unicodedata.normalize("NFC", name))
            if entry.is_dir(follow_symlinks=False):
                if deeper != 0 and name[0] != "." and rel not in self._without:
                    folders.append((entry.path, rel))
            elif not _TEMPORARY.search(name) and rel not in self._without:
                if not entry.is_symlink():
                    self._file(entry, rel)
                elif follow:
                    self._link(entry, rel, deeper)
        return folders

    def _file(self, entry: os.DirEntry[str], rel: str) -> None:
        try:
            found = entry.stat()
        except OSError:  # removed since it was listed, or a link to nothing
            return
        if stat.S_ISREG(found.st_mode):
            self._files[rel] = (found.st_mtime_ns, found.st_size)

    def _link(self, entry: os.DirEntry[str], rel: str, deeper: int | None) -> None:
        """A folder that is looked at under its own name need not be looked at under this one, too."""
        place = self._vault.place(rel)
        target = place.relative_to(self._vault.root).as_posix() if place is not None else "."
        if target.startswith(".") or "/." in target or rel.startswith(f"{target}/"):
            return  # out of the vault, to the whole of it, to what is hidden, or to where it lies itself
        if entry.is_file():
            self._file(entry, rel)
        elif deeper != 0 and not covers(self._reach, f"{target}/x"):
            self._below(entry.path, rel, deeper, follow=False)
