"""Durable compare-and-replace of one file that other programs write too (section 6 of the rules).

The new text is written to a dot-temp beside the file and exchanged with it in one step. The exchange hands back
what really stood there: if that is not what was read, somebody wrote in between, and their file is put back before
anything else happens. The displaced file is kept for some seconds, because a program that had it open may still
write into it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vault_scheduler.errors import NoteChanged, NoteTooBig, NoteUnreadable
from vault_scheduler.platform.exchange import NoExchange, exchange, rename_over, sync_folder
from vault_scheduler.platform.temp_files import TempName, write_temp

Change = Callable[[bytes], bytes]

TRIES = 6
FIRST_PAUSE_S = 0.02  # doubled each time: a writer that was caught in the middle has about a second to finish
NOT_DOWNLOADED = 0x4000_0000  # SF_DATALESS on macOS: iCloud keeps only the name here, reading would wait for it


class Overtaken(Exception):
    """Somebody else wrote between our read and our replacement; their file is in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file as read at one moment."""

    data: bytes
    stat: os.stat_result


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """What `replace_file` did. Hashes are SHA-256 in hex."""

    path: Path  # of the file itself, symlinks resolved
    base: bytes = field(repr=False)
    before_hash: str
    after_hash: str
    change: Change = field(repr=False)
    displaced: Path | None = None  # the dot-temp with the old file, to be looked at once more
    written_ns: int = 0  # mtime of the new file, by the file system's clock

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return self.before_hash != self.after_hash


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def read_regular(path: Path, limit: int) -> Content:
    """Read a regular file of at most `limit` bytes; never waits for a FIFO, a device or a cloud download.

    Raises FileNotFoundError, NoteTooBig, or NoteUnreadable with the reason.
    """
    try:
        if getattr(path.stat(), "st_flags", 0) & NOT_DOWNLOADED:
            raise NoteUnreadable(str(path), "it has not been downloaded to this machine yet")
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            return _read_open(fd, path, limit)
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None
    except OSError as error:
        raise NoteUnreadable(str(path), (error.strerror or type(error).__name__).lower()) from error


def _read_open(fd: int, path: Path, limit: int) -> Content:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise NoteUnreadable(str(path), "it is not a regular file")
    data = bytearray()
    while len(data) <= limit and (chunk := os.read(fd, min(limit + 1 - len(data), 1 << 20))):
        data += chunk
    if len(data) > limit:
        raise NoteTooBig(str(path), limit)
    return Content(data=bytes(data), stat=found)


def replace_file(path: Path, change: Change, *, limit: int) -> Replaced:
    """Lay `change(bytes)` over the file, only ever over bytes that `change` has seen.

    `change` may be called several times and must be re-appliable (set a key, insert a run). What it raises passes
    through and leaves neither a change nor a temp file. Raises FileNotFoundError if there is no file,
    NoteChanged if others kept writing; then their bytes are in place.
    """
    target = Path(os.path.realpath(path))
    for attempt in range(TRIES):
        content = _read_quiet(target, limit, attempt)
        if content is None:
            continue
        new = change(content.data)
        if new == content.data:
            return _replaced(target, content, new, change)
        with contextlib.suppress(Overtaken):
            return _place(target, content, new, change, limit)
    raise NoteChanged(str(path))


def _read_quiet(target: Path, limit: int, attempt: int) -> Content | None:
    """Read; after a collision only what two reads agree on and is not empty, for a writer truncates first."""
    content = read_regular(target, limit)
    if attempt == 0:
        return content
    threading.Event().wait(FIRST_PAUSE_S * 2**attempt)
    again = read_regular(target, limit)
    return again if again.data == content.data and again.data else None


def _replaced(
    target: Path, content: Content, new: bytes, change: Change, displaced: Path | None = None, written_ns: int = 0
) -> Replaced:
    return Replaced(
        path=target,
        base=content.data,
        before_hash=digest(content.data),
        after_hash=digest(new),
        change=change,
        displaced=displaced,
        written_ns=written_ns,
    )


def _place(target: Path, content: Content, new: bytes, change: Change, limit: int) -> Replaced:
    """Put `new` where `content` stands. Raises Overtaken if something else stands there."""
    if not os.access(target, os.W_OK):
        raise NoteUnreadable(str(target), "it is read-only, and so it is not written")
    temp = write_temp(target, new, content.data, content.stat)
    written_ns = temp.stat().st_mtime_ns
    try:
        _expect(target, content.data, limit)  # nearly every collision is seen here, before anything moved
        displaced = _swap(temp, target, content.data, limit)
    finally:
        # Whatever happened, a temp that still holds our own text is of no use to anybody.
        if _holds(temp, new):
            temp.unlink(missing_ok=True)
    sync_folder(target.parent)
    return _replaced(target, content, new, change, displaced, written_ns)


def _swap(temp: Path, target: Path, base: bytes, limit: int) -> Path | None:
    """Exchange the two and return the displaced file; put it back and raise Overtaken if it is not `base`."""
    try:
        exchange(temp, target)
    except NoExchange:
        return _swap_by_rename(temp, target, base, limit)
    if read_regular(temp, limit).data != base:
        exchange(temp, target)
        raise Overtaken
    return temp


def _swap_by_rename(temp: Path, target: Path, base: bytes, limit: int) -> Path | None:
    """Where files cannot be exchanged: give the old file a second name, compare, rename over it."""
    second_name = temp.with_name(TempName.of(target, base, b"").with_new_tail())
    linked = _link(target, second_name)
    try:
        _expect(target, base, limit)
    except BaseException:
        second_name.unlink(missing_ok=True)
        raise
    rename_over(temp, target)
    return second_name if linked else None


def _link(target: Path, second_name: Path) -> bool:
    """Whether there are hard links here; without them what a late writer does cannot be seen."""
    try:
        os.link(target, second_name)
    except OSError:
        return False
    return True


def _expect(target: Path, base: bytes, limit: int) -> None:
    if read_regular(target, limit).data != base:
        raise Overtaken


def _holds(temp: Path, data: bytes) -> bool:
    try:
        return temp.read_bytes() == data
    except FileNotFoundError:
        return False
