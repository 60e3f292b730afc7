"""The vault on disk: where things are, which notes are tasks, reading and editing notes.

Paths inside the vault are given as text, as `spelling` has them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vault_scheduler.errors import NoteChanged, NoteUnreadable, VaultNotFound
from vault_scheduler.vault.ignored import is_conflict_copy, reason_to_skip
from vault_scheduler.vault.spelling import lies_in, normal, real_below, spelt_on_disk
from vault_scheduler.vault.sweep import LEAVES_THE_VAULT, Stamp, Sweep, Sweeper

if TYPE_CHECKING:  # how files are read and replaced is loaded by who does it: most commands only list them
    from vault_scheduler.platform.late_writes import Settled
    from vault_scheduler.platform.replace import Change, Replaced

MAX_NOTE_BYTES = 8 * 2**20
MAX_TASK_BYTES = 2**20  # the daemon reads these between two fire times: the worst of this size takes it a second
LEFT_BEHIND_S = 60.0  # a younger temp may belong to an edit that is going on


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
        if not lies_in(os.path.realpath(self.tasks_folder), self._root_prefix):
            return Sweep(notes={}, skipped={self._tasks_rel: LEAVES_THE_VAULT}, there=False)
        sweep = Sweeper(self._root_prefix).sweep(self.tasks_folder, self._tasks_rel)
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
        found = self.read_stamped(rel)
        return found[0] if found else None

    def read_stamped(self, rel: str) -> tuple[bytes, Stamp] | None:
        """As `read`, with the stamp that the file had right before it was read."""
        from vault_scheduler.platform.replace import read_regular

        try:
            with _named(rel):
                found = read_regular(self._real(rel), self._limit(rel))
        except FileNotFoundError:
            self._must_be_there(rel)
            return None
        return found.data, Stamp(found.stat.st_size, found.stat.st_mtime_ns, found.stat.st_ctime_ns, found.stat.st_ino)

    def _limit(self, rel: str) -> int:
        return MAX_TASK_BYTES if self.is_task_path(rel) else MAX_NOTE_BYTES

    def stamp(self, rel: str) -> Stamp | None:
        """What `stat` says of a file, None if it is not there."""
        try:
            found = self._inside(rel).stat()
        except OSError:
            return None
        return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def edit(self, rel: str, change: Change, last: Written | None = None, kept: list[Written] | None = None) -> Written:
        """Lay `change` over the note as it is now; other people's edits are never lost.

        `change` may be called more than once and must be re-appliable. What it raises (NoteRefused) passes through
        and nothing is written. `last`, our own last edit of the note, spares waiting for it as for somebody who is
        in the middle of a save. Raises FileNotFoundError if the note is gone for certain, NoteUnreadable (also if the
        vault is away), NoteChanged if somebody kept writing, OSError for a full disk; none of them leaves a trace.
        `kept` gets, whatever else happens, what is to be settled besides: texts that were put back into their place.
        """
        from vault_scheduler.platform.replace import replace_file

        put_back: list[Replaced] = []
        try:
            with _named(rel):
                place, ours = self._inside(rel), last.replaced if last else None
                done = replace_file(place, change, limit=self._limit(rel), last=ours, kept=put_back)
            return _written(normal(rel), done)
        except FileNotFoundError:
            self._must_be_there(rel)
            raise
        finally:
            if kept is not None:
                kept += [_written(normal(rel), each) for each in put_back]

    def settle(self, written: Written, now: datetime, kept: list[Written] | None = None) -> LateWrite:
        """Look, from 3 s after an edit on, whether a program that had the old file open wrote into it.

        Its text is merged into the note (that write is to be settled as well) or becomes a conflict copy. A process
        that ends earlier may leave this to the daemon's `tidy`. `kept` as of `edit`. Raises NoteUnreadable or OSError
        if it could not be seen, or not be written; nothing is lost then, and it is to be tried again.
        """
        from vault_scheduler.platform.late_writes import Settled, settle

        if written.replaced is None:
            return LateWrite(state=Settled.DONE)
        self._must_be_there(written.path)
        put_back: list[Replaced] = []
        try:
            with _named(written.path):
                settlement = settle(written.replaced, now, limit=MAX_NOTE_BYTES, kept=put_back)
        finally:
            if kept is not None:
                kept += [_written(written.path, each) for each in put_back]
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
        from vault_scheduler.platform.late_writes import restore_leftover
        from vault_scheduler.platform.temp_files import LeftoverKind, clean

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
        from vault_scheduler.platform.exchange import make_folder
        from vault_scheduler.platform.hashed import digest
        from vault_scheduler.platform.temp_files import create_file

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
        return Path(self._real(rel))

    def _real(self, rel: str) -> str:
        """The same as text: to make a path of it takes as long as to find it."""
        if "\0" in rel:
            raise NoteUnreadable(rel, "no file can have this name")
        real = real_below(self._root_prefix, spelt_on_disk(self._root_prefix, normal(rel)))
        if not lies_in(real, self._root_prefix) or ".." in rel.split("/"):
            raise NoteUnreadable(rel, "it lies outside the vault")
        return real


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
