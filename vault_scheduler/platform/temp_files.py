"""The dot-temps of a replacement: how they are named, written, found again after a crash, and cleaned away.

The name carries the hashes of the text that was read and of the text to be written, so that a temp left by a crash
(one of those two texts, or cut short) is told from somebody's late edit (any other text), which is never removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from vault_scheduler.platform.exchange import sync_folder
from vault_scheduler.platform.hashed import digest

PREFIX = ".vault-sched."
UNFINISHED = ".part"
KEEP_S = 86_400.0  # a day (rule 12)
MAX_COPIED_ATTRIBUTES = 100

_NAME = re.compile(r"\.vault-sched\.([0-9a-f]{8})\.([0-9a-f]{16})\.([0-9a-f]{16})\.[0-9a-f]{8}\.(?:tmp|part)")


@dataclass(frozen=True, slots=True)
class TempName:
    """`.vault-sched.<note>.<base>.<new>.<random>.tmp`: short hashes, for a note's own name may fill the limit."""

    note: str
    base: str
    new: str

    @classmethod
    def of(cls, target: Path, base: bytes, new: bytes) -> TempName:
        """The name for replacing `base` by `new` in `target`."""
        return cls(note_hash(target.name), _short(base), _short(new))

    @classmethod
    def parse(cls, name: str) -> TempName | None:
        """The parts of one of our names, or None."""
        found = _NAME.fullmatch(name)
        return cls(*found.groups()) if found else None

    def with_new_tail(self) -> str:
        """The file name, with a random part of its own."""
        return f"{PREFIX}{self.note}.{self.base}.{self.new}.{secrets.token_hex(4)}.tmp"


def note_hash(name: str) -> str:
    """Eight hex digits that stand for a file name."""
    return hashlib.sha256(unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _short(data: bytes) -> str:
    return digest(data)[:16]


def write_temp(target: Path, new: bytes, base: bytes, like: os.stat_result) -> Path:
    """Write `new` durably beside `target`, with the mode, owner and extended attributes of what it will replace.

    Its mtime is later than that of `like` by at least a millisecond: Obsidian notices a change by size or mtime only.
    """
    temp = target.with_name(TempName.of(target, base, new).with_new_tail())
    unfinished = temp.with_suffix(UNFINISHED)
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _fill(fd, new, target, like)
        unfinished.rename(temp)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return temp


def keep_text(target: Path, text: bytes, base: bytes, new: bytes) -> Path:
    """Keep somebody's text in a temp of its own, until it is certain that nothing of it got lost."""
    kept = target.with_name(TempName.of(target, base, new).with_new_tail())
    fd = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, text)
    finally:
        os.close(fd)
    return kept


def _fill(fd: int, new: bytes, target: Path, like: os.stat_result) -> None:
    _write_all(fd, new)
    _dress(fd, target, like)
    _advance_mtime(fd, like)
    os.fsync(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _dress(fd: int, target: Path, like: os.stat_result) -> None:
    """Owner, mode and extended attributes (ACLs and Finder tags among them), as far as we may."""
    mine = os.fstat(fd)
    if (mine.st_uid, mine.st_gid) != (like.st_uid, like.st_gid):
        with contextlib.suppress(OSError):
            os.fchown(fd, like.st_uid, like.st_gid)
    os.fchmod(fd, stat.S_IMODE(like.st_mode))
    for name in _attributes(target):
        with contextlib.suppress(OSError):
            os.setxattr(fd, name, os.getxattr(target, name))


def _attributes(target: Path) -> list[str]:
    if not hasattr(os, "listxattr"):
        return []
    try:
        return os.listxattr(target)[:MAX_COPIED_ATTRIBUTES]
    except OSError:
        return []


def _advance_mtime(fd: int, like: os.stat_result) -> None:
    mine = os.fstat(fd)
    earliest = like.st_mtime_ns + 1_000_000
    if mine.st_mtime_ns < earliest:
        os.utime(fd, ns=(mine.st_atime_ns, earliest))


class LeftoverKind(StrEnum):
    """What a temp that was found holds."""

    OURS = "ours"  # the text that was read or the one to be written: it is in the note or can be made again
    LATE = "late"  # another text: somebody's edit, kept until a person or a merge has taken it


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A dot-temp of ours that was found in a folder."""

    path: Path
    kind: LeftoverKind
    name: TempName
    touched_s: float  # Unix time of the last change, a rename among them

    def belongs_to(self, file_name: str) -> bool:
        """Whether it was made to replace the file of this name in its folder."""
        return self.name.note == note_hash(file_name)


def leftovers(folder: Path) -> Iterator[Leftover]:
    """Our dot-temps directly in a folder; none if the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(PREFIX)]
    except OSError:
        return
    for name in sorted(names):
        parsed = TempName.parse(name)
        found = _look(folder / name, parsed) if parsed else None
        if found is not None:
            yield found


def _look(path: Path, name: TempName) -> Leftover | None:
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return None
        is_ours = path.suffix == UNFINISHED or _short(path.read_bytes()) in (name.base, name.new)
    except OSError:
        return None
    kind = LeftoverKind.OURS if is_ours else LeftoverKind.LATE
    return Leftover(path=path, kind=kind, name=name, touched_s=max(found.st_mtime, found.st_ctime))


def clean(folder: Path, now: datetime) -> list[Leftover]:
    """Remove our own leftovers older than a day; return what stays, somebody's late edits above all."""
    staying = []
    for leftover in leftovers(folder):
        if leftover.kind is LeftoverKind.OURS and now.timestamp() - leftover.touched_s > KEEP_S:
            leftover.path.unlink(missing_ok=True)
        else:
            staying.append(leftover)
    return staying


def create_file(target: Path, data: bytes) -> None:
    """Write a new file durably; it appears complete or not at all. Raises FileExistsError."""
    temp = target.with_name(TempName.of(target, b"", data).with_new_tail())
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        _write_all(fd, data)
        os.fsync(fd)
        _name_new(temp, target, data)
    finally:
        os.close(fd)
        temp.unlink(missing_ok=True)
    sync_folder(target.parent)


def _name_new(temp: Path, target: Path, data: bytes) -> None:
    """A hard link never overwrites; where there are none, the file is made under its own name."""
    try:
        os.link(temp, target)
        return
    except FileExistsError:
        raise
    except OSError:
        pass
    with target.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
