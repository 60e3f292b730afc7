"""One look at the tasks folder by `stat` alone: which notes are there, and what was left out and why."""

from __future__ import annotations

import os
import stat
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vault_scheduler.vault.ignored import reason_to_skip
from vault_scheduler.vault.spelling import lies_in, normal, printable

LEAVES_THE_VAULT = "it is a link that leaves the vault"


_PARTS = struct.Struct("<QqIqIQ")
_TIME = struct.Struct("<qI")
_MTIME_AT, _CTIME_AT = 8, 8 + _TIME.size
_SECOND_NS = 10**9


class Stamp(bytes):
    """What `stat` says of a file: equal stamps mean that it need not be read again. Times in nanoseconds.

    One is held of every note, so it is packed into half the room of an object with four numbers.
    """

    __slots__ = ()

    def __new__(cls, size: int, mtime_ns: int, ctime_ns: int, inode: int) -> Stamp:
        """Of any time that a file system can have."""
        return bytes.__new__(
            cls, _PARTS.pack(size, *divmod(mtime_ns, _SECOND_NS), *divmod(ctime_ns, _SECOND_NS), inode)
        )

    @property
    def size(self) -> int:
        """Bytes."""
        return int(_PARTS.unpack(self)[0])

    @property
    def mtime_ns(self) -> int:
        """When the contents were changed, or what a program said of that."""
        seconds, rest = _TIME.unpack_from(self, _MTIME_AT)
        return int(seconds * _SECOND_NS + rest)

    @property
    def ctime_ns(self) -> int:
        """When anything of the file was changed."""
        seconds, rest = _TIME.unpack_from(self, _CTIME_AT)
        return int(seconds * _SECOND_NS + rest)

    @property
    def changed_ns(self) -> int:
        """The later of its times: programs can set back only the one."""
        return max(self.mtime_ns, self.ctime_ns)

    def __str__(self) -> str:
        """The four numbers, as text."""
        size, mtime, mtime_rest, ctime, ctime_rest, inode = _PARTS.unpack(self)
        return f"{size} {mtime * _SECOND_NS + mtime_rest} {ctime * _SECOND_NS + ctime_rest} {inode}"

    @property
    def inode(self) -> int:
        """Which file it is of its file system."""
        return int(_PARTS.unpack(self)[5])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One look at the tasks folder."""

    notes: dict[str, Stamp]
    skipped: dict[str, str]  # markdown files that are never scheduled, and why
    unreadable: tuple[str, ...] = ()  # folders that could not be listed: what is below them is not gone, but unknown
    there: bool = True  # False: the vault is away (unmounted, not synced yet), and nothing in it counts as gone

    def knows(self, rel: str) -> bool:
        """Whether the absence of a path from `notes` means that the note is gone."""
        return self.there and not any(rel.startswith(f"{folder}/") for folder in self.unreadable)


class Sweeper:
    """The state of one sweep, of a vault whose real path with a slash is `root_prefix`."""

    def __init__(self, root_prefix: str) -> None:
        self._root_prefix = root_prefix
        self._notes: dict[str, Stamp] = {}
        self._skipped: dict[str, str] = {}
        self._unreadable: list[str] = []
        self._visited: set[tuple[int, int]] = set()
        self._links: list[tuple[Path, str]] = []

    def sweep(self, folder: Path, rel: str) -> Sweep:
        """List this folder, of that path in the vault, and all below it."""
        self._folder(folder, rel)
        while self._links:  # after everything real, so that a note is listed under its own path
            self._folder(*self._links.pop(0))
        return Sweep(notes=self._notes, skipped=self._skipped, unreadable=tuple(self._unreadable))

    def _folder(self, folder: Path, rel: str) -> None:
        pending = [(folder, rel)]
        while pending:
            folder, rel = pending.pop()
            try:
                found = folder.stat()
                if (found.st_dev, found.st_ino) in self._visited:
                    continue
                self._visited.add((found.st_dev, found.st_ino))
                with os.scandir(folder) as entries:
                    pending += self._entries(entries, rel)
            except OSError:
                self._unreadable.append(rel)

    def _entries(self, entries: Iterator[os.DirEntry[str]], rel: str) -> list[tuple[Path, str]]:
        """Take the notes of one folder; return its subfolders."""
        folders = []
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                continue
            path = f"{rel}/{normal(name)}"
            if entry.is_dir(follow_symlinks=False):
                if self._wanted(path, name, is_file=False):
                    folders.append((Path(entry.path), path))
            elif entry.is_symlink():
                self._link(entry, path)
            elif name[-3:].lower() == ".md" and self._wanted(path, name, is_file=True):
                try:
                    self._note(path, name, entry.stat(follow_symlinks=False))
                except FileNotFoundError:  # removed since it was listed
                    continue
        return folders

    def _wanted(self, path: str, name: str, *, is_file: bool) -> bool:
        reason = reason_to_skip(name, is_file)
        if reason is not None:
            self._skipped[printable(path)] = reason
        return reason is None

    def _note(self, path: str, name: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            self._skipped[path] = "it is not a regular file"
            return
        if path in self._notes:
            self._skipped[path] = "another note has the same name in another Unicode form"
            if name != normal(name):
                return
        self._notes[sys.intern(path)] = Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def _link(self, entry: os.DirEntry[str], path: str) -> None:
        is_folder = entry.is_dir()
        if not is_folder and entry.name[-3:].lower() != ".md":
            return
        if not self._wanted(path, entry.name, is_file=not is_folder):
            return
        if not lies_in(os.path.realpath(entry.path), self._root_prefix):
            self._skipped[path] = LEAVES_THE_VAULT
        elif is_folder:
            self._links.append((Path(entry.path), path))
        else:
            self._linked_note(entry, path)

    def _linked_note(self, entry: os.DirEntry[str], path: str) -> None:
        try:
            self._note(path, entry.name, entry.stat())
        except OSError:
            self._skipped[path] = "it is a link to a file that is not there"
