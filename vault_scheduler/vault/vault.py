"""The vault on disk: where things are, which notes are tasks, reading and editing notes.

Paths inside the vault are given as text, relative to it, with forward slashes and in Unicode form NFC; the same name
may be spelt otherwise on disk (macOS and some sync programs store NFD).
"""

from __future__ import annotations

import contextlib
import os
import stat
import unicodedata
from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from vault_scheduler.errors import NoteChanged, NoteUnreadable, VaultNotFound
from vault_scheduler.platform.exchange import make_folder
from vault_scheduler.platform.late_writes import Settled, restore_leftover, settle
from vault_scheduler.platform.replace import Change, Replaced, digest, read_regular, replace_file
from vault_scheduler.platform.temp_files import LeftoverKind, clean, create_file
from vault_scheduler.vault.ignored import is_conflict_copy, reason_to_skip

LEAVES_THE_VAULT = "it is a link that leaves the vault"
MAX_NOTE_BYTES = 8 * 2**20
MAX_TASK_BYTES = 2**20  # the daemon reads these between two fire times: the worst of this size takes it a second
LEFT_BEHIND_S = 60.0  # a younger temp may belong to an edit that is going on


@dataclass(frozen=True, slots=True)
class Stamp:
    """What `stat` says of a file: equal stamps mean that it need not be read again. Times in nanoseconds."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an edit did. Hashes are SHA-256 in hex, of the bytes before and after."""

    path: str
    before_hash: str
    after_hash: str
    replaced: Replaced | None = field(default=None, repr=False)
    merges: bool = False  # somebody else's late text came in with it

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return self.before_hash != self.after_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class LateWrite:
    """What a second look at an edit found."""

    state: Settled
    written: Written | None = None  # of a merge
    copy: str = ""  # the conflict copy that was made, for a problem
    follow: Written | None = None  # to be settled again: a program still has the displaced file open
    again_s: float = 1.0  # seconds until the next look at what waits or is followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """Notes that got somebody's text back after a crash, and conflict copies that were made for it."""

    restored: tuple[str, ...]
    copies: tuple[str, ...]


class Vault:
    """One vault. Its methods block for the time of a few system calls."""

    def __init__(self, root: Path, system_folder: str = "00_system") -> None:
        self.root = Path(os.path.realpath(root))
        self.system_folder = system_folder
        self.system = self.root / system_folder
        self.tasks_folder = self.system / "tasks"
        self.settings_path = self.system / "scheduler.md"
        self.logs_folder = self.system / "logs"
        self.status_path = self.system / "status.md"
        self.scripts_folder = self.system / "scripts"
        self._tasks_rel = f"{normal(system_folder)}/tasks"
        self._root_prefix = str(self.root).rstrip("/") + "/"
        self._devices = self._look_at_devices()
        self._known: Set[str] = frozenset()

    def rel(self, path: Path) -> str:
        """The vault-relative form of a path. Raises ValueError if it is not below the vault."""
        full = path if path.is_absolute() else self.root / path
        try:
            inside = full.relative_to(self.root)
        except ValueError:
            inside = Path(os.path.realpath(full)).relative_to(self.root)
        return normal(inside.as_posix())

    def is_there(self) -> bool:
        """Whether the vault and its tasks folder are there, on the device where they were last seen."""
        now = self._look_at_devices()
        return now is not None and self._devices in (None, now)

    def _look_at_devices(self) -> tuple[int, int] | None:
        try:
            folders = self.root.stat(), self.tasks_folder.stat()
        except OSError:
            return None
        return (folders[0].st_dev, folders[1].st_dev) if all(stat.S_ISDIR(f.st_mode) for f in folders) else None

    def task_notes(self) -> dict[str, Stamp]:
        """Every task note: vault-relative path → stamp. See `sweep` for what was left out."""
        return self.sweep().notes

    def sweep(self) -> Sweep:
        """List the tasks folder by `stat` alone; no file is opened.

        A vault that comes back on another device (a drive that was mounted again) is the same vault if it has some of
        the notes that were known; else something else lies in its place, and nothing counts as gone.
        """
        devices = self._look_at_devices()
        if devices is None:
            return Sweep(notes={}, skipped={}, there=False)
        if not _lies_in(os.path.realpath(self.tasks_folder), self._root_prefix):
            return Sweep(notes={}, skipped={self._tasks_rel: LEAVES_THE_VAULT}, there=False)
        sweep = _Sweeper(self._root_prefix).sweep(self.tasks_folder, self._tasks_rel)
        is_other = self._devices is not None and devices != self._devices
        if self._look_at_devices() != devices or (is_other and self._known.isdisjoint(sweep.notes)):
            return Sweep(notes={}, skipped={}, there=False)
        self._devices, self._known = devices, sweep.notes.keys()
        return sweep

    def is_task_path(self, rel: str) -> bool:
        """Whether a note at this path would be a task, by its name alone."""
        rel = normal(rel)
        if not rel.startswith(f"{self._tasks_rel}/") or not rel.endswith(".md"):
            return False
        parts = rel[len(self._tasks_rel) + 1 :].split("/")
        return not any(part == ".." or reason_to_skip(part, part is parts[-1]) is not None for part in parts)

    def read(self, rel: str) -> bytes | None:
        """The note's bytes, or None if it is gone for certain.

        Raises NoteUnreadable if it is there and cannot be read, leaves the vault, or the vault itself is away;
        NoteTooBig above 8 MiB, for task notes above 1 MiB.
        """
        try:
            with _named(rel):
                return read_regular(self._inside(rel), self._limit(rel)).data
        except FileNotFoundError:
            self._must_be_there(rel)
            return None

    def _limit(self, rel: str) -> int:
        return MAX_TASK_BYTES if self.is_task_path(rel) else MAX_NOTE_BYTES

    def stamp(self, rel: str) -> Stamp | None:
        """What `stat` says of a file, None if it is not there."""
        try:
            found = self._inside(rel).stat()
        except OSError:
            return None
        return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def edit(self, rel: str, change: Change) -> Written:
        """Lay `change` over the note as it is now; other people's edits are never lost.

        `change` may be called more than once and must be re-appliable. What it raises (NoteRefused) passes through
        and nothing is written. Raises FileNotFoundError if the note is gone for certain, NoteUnreadable (also if the
        vault is away), NoteChanged if somebody kept writing, OSError for a full disk; none of them leaves a trace.
        """
        try:
            with _named(rel):
                return _written(normal(rel), replace_file(self._inside(rel), change, limit=self._limit(rel)))
        except FileNotFoundError:
            self._must_be_there(rel)
            raise

    def settle(self, written: Written, now: datetime) -> LateWrite:
        """Look, from 3 s after an edit on, whether a program that had the old file open wrote into it.

        Its text is merged into the note (that write is to be settled as well) or becomes a conflict copy. A process
        that ends earlier may leave this to the daemon's `tidy`.
        """
        if written.replaced is None:
            return LateWrite(state=Settled.DONE)
        with _named(written.path):
            settlement = settle(written.replaced, now, limit=MAX_NOTE_BYTES)
        return LateWrite(
            state=settlement.state,
            written=replace(_written(written.path, settlement.written), merges=True) if settlement.written else None,
            copy=self.rel(settlement.copy) if settlement.copy else "",
            follow=replace(written, replaced=settlement.follow) if settlement.follow else None,
            again_s=settlement.again_s,
        )

    def tidy(self, now: datetime) -> Tidied:
        """Go through the temp files that a crash or a short-lived process left in the vault.

        Those with a text of ours are removed after a day. A text of somebody else goes back into its note, or into a
        conflict copy beside it.
        """
        restored: list[str] = []
        copies: list[str] = []
        for folder in self._folders():
            for leftover in clean(folder, now):
                if leftover.kind is LeftoverKind.OURS or now.timestamp() - leftover.touched_s < LEFT_BEHIND_S:
                    continue
                with contextlib.suppress(OSError, NoteUnreadable):  # the next time, then
                    place = restore_leftover(leftover, now, limit=MAX_NOTE_BYTES)
                    if place is not None:
                        (copies if is_conflict_copy(place.name) else restored).append(self.rel(place))
        return Tidied(restored=tuple(restored), copies=tuple(copies))

    def _folders(self) -> Iterator[Path]:
        for folder, below, _ in os.walk(self.root):
            below[:] = [name for name in below if not name.startswith(".")]
            yield Path(folder)

    def create(self, rel: str, data: bytes) -> Written:
        """Make a new note, with its folders. Raises FileExistsError rather than touch one that is there.

        Raises NoteUnreadable if the vault is away: folders made in an empty mount point would hide under the real ones.
        """
        self._must_be_there(rel)
        path = self._inside(rel)
        make_folder(path.parent)
        create_file(path, data)
        return Written(path=normal(rel), before_hash="", after_hash=digest(data))

    def place(self, rel: str) -> Path | None:
        """Where a vault-relative path really is, links followed; None if that is outside the vault."""
        try:
            return self._inside(rel) if rel else self.root
        except NoteUnreadable:
            return None

    def _must_be_there(self, rel: str) -> None:
        if not self.is_there():
            raise NoteUnreadable(rel, "the vault is not there") from None

    def _inside(self, rel: str) -> Path:
        """Where a vault-relative path really is. Raises NoteUnreadable if that is outside the vault."""
        if "\0" in rel:
            raise NoteUnreadable(rel, "no file can have this name")
        real = os.path.realpath(_spelt_on_disk(self._root_prefix, normal(rel)))
        if not _lies_in(real, self._root_prefix) or ".." in rel.split("/"):
            raise NoteUnreadable(rel, "it lies outside the vault")
        return Path(real)


@contextlib.contextmanager
def _named(rel: str) -> Iterator[None]:
    """Errors name a note by its path in the vault."""
    try:
        yield
    except (NoteUnreadable, NoteChanged) as error:
        error.path = rel
        raise


def _written(rel: str, replaced: Replaced) -> Written:
    return Written(path=rel, before_hash=replaced.before_hash, after_hash=replaced.after_hash, replaced=replaced)


def normal(rel: str) -> str:
    """Unicode form NFC, in which paths are compared."""
    return rel if rel.isascii() else unicodedata.normalize("NFC", rel)


def find_vault(start: Path, system_folder: str = "00_system") -> Path:
    """The vault at or above `start`, itself or in `./vault`: a folder that holds the system folder with `tasks`.

    Raises VaultNotFound.
    """
    start = Path(os.path.realpath(start))
    for folder in (start, *start.parents):
        for candidate in (folder, folder / "vault"):
            if (candidate / system_folder / "tasks").is_dir():
                return candidate
    raise VaultNotFound(str(start), system_folder)


def _lies_in(real: str, prefix: str) -> bool:
    return real.startswith(prefix)


def _spelt_on_disk(prefix: str, rel: str) -> str:
    """The path of `rel`, each part spelt as it is on disk if it is there in another Unicode form."""
    path = prefix + rel
    if rel.isascii() or os.path.lexists(path):
        return path
    folder = Path(prefix)
    for part in rel.split("/"):
        folder = folder / (part if os.path.lexists(folder / part) else _other_spelling(folder, part))
    return str(folder)


def _other_spelling(folder: Path, name: str) -> str:
    try:
        with os.scandir(folder) as entries:
            return next((entry.name for entry in entries if normal(entry.name) == name), name)
    except OSError:
        return name


class _Sweeper:
    """The state of one sweep."""

    def __init__(self, root_prefix: str) -> None:
        self._root_prefix = root_prefix
        self._notes: dict[str, Stamp] = {}
        self._skipped: dict[str, str] = {}
        self._unreadable: list[str] = []
        self._visited: set[tuple[int, int]] = set()
        self._links: list[tuple[Path, str]] = []

    def sweep(self, folder: Path, rel: str) -> Sweep:
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
                with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                    self._note(path, name, entry.stat(follow_symlinks=False))
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
        self._notes[path] = Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def _link(self, entry: os.DirEntry[str], path: str) -> None:
        is_folder = entry.is_dir()
        if not is_folder and entry.name[-3:].lower() != ".md":
            return
        if not self._wanted(path, entry.name, is_file=not is_folder):
            return
        if not _lies_in(os.path.realpath(entry.path), self._root_prefix):
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


def printable(path: str) -> str:
    """A path that can be stored and shown, whatever bytes its name holds."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
