"""Durable compare-and-replace of one file that other programs write too (rule 6).

The new text is written to a dot-temp beside the file and exchanged with it in one step. The exchange hands back
what really stood there: if that is not what was read, somebody wrote in between, and their file is put back before
anything else happens. The displaced file is kept for some seconds, because a program that had it open may still
write into it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vault_scheduler.errors import NoteChanged, NoteRefused, NoteTooBig, NoteUnreadable
from vault_scheduler.platform.exchange import NoExchange, exchange, rename_over, sync_folder
from vault_scheduler.platform.hashed import Hashed, digest
from vault_scheduler.platform.temp_files import TempName, keep_text, write_temp
from vault_scheduler.text.merge import merge

Change = Callable[[bytes], bytes]

TRIES = 14
FIRST_PAUSE_S = 0.02  # doubled each time: a writer that was caught in the middle has about a second to finish,
LONGEST_PAUSE_S = 0.08  # but one that saves five times a second leaves only such short gaps
READ_AHEAD = 4096  # bytes that a file may have grown by since its size was asked, without another read
BUSY_TRIES = 2  # the pauses after these take longer than that
BUSY_S = 0.1  # a file that was modified so short ago may be half written: editors truncate, then write
HAS_FLAGS = hasattr(os, "chflags")
NOT_DOWNLOADED = 0x4000_0000  # SF_DATALESS on macOS: iCloud keeps only the name here, reading would wait for it
_RAISE = "Raise the limit of open files (`ulimit -n`, LimitNOFILE= of the service); the note is read again by itself."
_DISK = "Look after the disk, or the network, that the vault is on; the note is read again by itself."
_CURES = {errno.EMFILE: _RAISE, errno.ENFILE: _RAISE, errno.EIO: _DISK, errno.ESTALE: _DISK, errno.ETIMEDOUT: _DISK}


class Overtaken(Exception):
    """Somebody else wrote between our read and our replacement; their file is in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file as read at one moment."""

    data: Hashed
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
    before_stat: tuple[int, int] = (0, 0)  # mtime (ns) and size of the file with the base
    was_put_back: bool = False  # `displaced` holds a text that was out of its place for a moment only

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return self.before_hash != self.after_hash


def read_regular(path: Path | str, limit: int) -> Content:
    """Read a regular file of at most `limit` bytes; never waits for a FIFO, a device or a cloud download.

    Raises FileNotFoundError, NoteTooBig, or NoteUnreadable with the reason.
    """
    try:
        if HAS_FLAGS and getattr(Path(path).stat(), "st_flags", 0) & NOT_DOWNLOADED:
            raise NoteUnreadable(str(path), "it has not been downloaded to this machine yet")
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            return _read_open(fd, path, limit)
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: OSError) -> NoteUnreadable:
    """The advice for what is no fault of the note's own must not be to remove it."""
    reason = (error.strerror or type(error).__name__).lower()
    cure = _CURES.get(error.errno or 0)
    return NoteUnreadable(str(path), reason, cure) if cure else NoteUnreadable(str(path), reason)


def _read_open(fd: int, path: Path | str, limit: int) -> Content:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise NoteUnreadable(str(path), "it is not a regular file")
    chunks: list[bytes] = []
    size = 0
    # A read makes room for all that it may bring: for a little more than there is, and not for a megabyte.
    while size <= limit and (chunk := os.read(fd, min(limit + 1 - size, max(found.st_size + 1 - size, READ_AHEAD)))):
        chunks.append(chunk)
        size += len(chunk)
    if size > limit:
        raise NoteTooBig(str(path), limit)
    return Content(data=Hashed(b"".join(chunks)), stat=found)


def replace_file(
    path: Path, change: Change, *, limit: int, last: Replaced | None = None, kept: list[Replaced] | None = None
) -> Replaced:
    """Lay `change(bytes)` over the file, only ever over bytes that `change` has seen.

    `change` may be called several times and must be re-appliable (set a key, insert a run). What it raises passes
    through and leaves no change. `last` is our own last write of the file: one that is still as that left it is
    nobody's half-written text, however short ago it was. Raises FileNotFoundError if there is no file,
    NoteUnreadable, or NoteChanged if others kept writing; then their bytes are in place. `kept` gets, whatever else
    happens, the texts of others that were out of their place for a moment; each is to be settled.
    """
    return _Replacement(Path(os.path.realpath(path)), change, limit, last, [] if kept is None else kept).run()


@dataclass(frozen=True, slots=True)
class _Owed:
    """Somebody's text that was out of its place for a moment, in which another program may have read ours."""

    base: bytes
    text: bytes


class _Replacement:
    """The tries of one replacement."""

    def __init__(self, target: Path, change: Change, limit: int, last: Replaced | None, kept: list[Replaced]) -> None:
        self._target = target
        self._change = change
        self._limit = limit
        self._last = last
        self._kept = kept
        self._owed: list[_Owed] = []

    def run(self) -> Replaced:
        """Try until it is done. Raises NoteChanged after some tries, and whatever reading or the change raises."""
        for attempt in range(TRIES):
            is_last = attempt == TRIES - 1
            content = self._read(attempt)
            if content is None or not (content.data or is_last):
                continue
            try:
                new = self._next_text(content.data)
            except NoteRefused:
                if attempt < BUSY_TRIES:  # a text that was cut short may be refused for what it lacks
                    continue
                raise
            if new == content.data:
                return self._done(content, new)
            with contextlib.suppress(Overtaken):
                return self._place(content, new, even_if_busy=is_last)
        raise NoteChanged(str(self._target))

    def _read(self, attempt: int) -> Content | None:
        """Read; after a collision only what two reads agree on."""
        content = read_regular(self._target, self._limit)
        if attempt == 0:
            return content
        threading.Event().wait(min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S))
        again = read_regular(self._target, self._limit)
        return again if again.data == content.data else None

    def _next_text(self, data: bytes) -> Hashed:
        """The change laid over `data`, and what others wrote if `data` was made from our text without it."""
        new = self._change(data)
        if new != data:
            return Hashed.of(new)
        for owed in self._owed:
            merged = merge(owed.base, owed.text, new)
            new = new if merged is None else merged
        return Hashed.of(new)

    def _place(self, content: Content, new: bytes, *, even_if_busy: bool) -> Replaced:
        """Put `new` where `content` stands. Raises Overtaken if something else stands there, or may in a moment."""
        if self._target.exists() and not os.access(self._target, os.W_OK):
            raise NoteUnreadable(str(self._target), "it is read-only, and so it is not written")
        temp = write_temp(self._target, new, content.data, content.stat)
        written_ns = temp.stat().st_mtime_ns
        try:
            if not even_if_busy and _is_busy(content, temp) and not _is_left_by(self._last, content):
                raise Overtaken
            self._expect(content.data)  # nearly every collision is seen here, before anything moved
            displaced = self._swap(temp, content.data, new)
        except BaseException:
            if _holds(temp, new):  # a temp with our own text is of no use to anybody
                temp.unlink(missing_ok=True)
            raise
        sync_folder(self._target.parent)
        return self._done(content, new, displaced, written_ns)

    def _swap(self, temp: Path, base: bytes, new: bytes) -> Path | None:
        """Exchange the two and return the displaced file. If it is not `base`, put it back and raise Overtaken."""
        try:
            exchange(temp, self._target)
        except NoExchange:
            return self._swap_by_rename(temp, base)
        theirs = b""
        try:
            theirs = self._look(temp)
        finally:
            if theirs != base:
                exchange(temp, self._target)
        if theirs == base:
            return temp
        if self._look(temp) == new:
            self._owe(base, theirs, keep_text(self._target, theirs, base, new))
        else:  # within these microseconds somebody wrote over ours: that is the newer text, and it stays
            exchange(temp, self._target)
            self._owe(base, self._look(temp), temp)
        raise Overtaken

    def _owe(self, base: bytes, text: bytes, kept: Path) -> None:
        """Remember a text that was out of its place, here for the next try and on disk to be settled later.

        A program that read ours in that moment may write what it made of it even after we are done.
        """
        if not text or base.startswith(text):  # a write that has only begun: nothing of it can be lost
            kept.unlink(missing_ok=True)
        else:
            self._owed.append(_Owed(base, text))
            self._kept.append(self._put_back(base, kept))

    def _put_back(self, base: bytes, kept: Path) -> Replaced:
        return Replaced(
            path=self._target,
            base=base,
            before_hash=digest(base),
            after_hash="",
            change=self._change,
            displaced=kept,
            written_ns=kept.stat().st_ctime_ns,
            was_put_back=True,
        )

    def _look(self, path: Path) -> bytes:
        return read_regular(path, self._limit).data

    def _swap_by_rename(self, temp: Path, base: bytes) -> Path | None:
        """Where files cannot be exchanged: give the old file a second name, compare, rename over it."""
        second_name = temp.with_name(TempName.of(self._target, base, b"").with_new_tail())
        linked = _link(self._target, second_name)
        try:
            self._expect(base)
            rename_over(temp, self._target)
        except BaseException:
            second_name.unlink(missing_ok=True)
            raise
        return second_name if linked else None

    def _expect(self, base: bytes) -> None:
        if self._look(self._target) != base:
            raise Overtaken

    def _done(self, content: Content, new: bytes, displaced: Path | None = None, written_ns: int = 0) -> Replaced:
        return Replaced(
            path=self._target,
            base=content.data,
            before_hash=digest(content.data),
            after_hash=digest(new),
            change=self._change,
            displaced=displaced,
            written_ns=written_ns,
            before_stat=(content.stat.st_mtime_ns, content.stat.st_size),
        )


def _link(target: Path, second_name: Path) -> bool:
    """Whether there are hard links here; without them what a late writer does cannot be seen."""
    try:
        os.link(target, second_name)
    except OSError:
        return False
    return True


def _is_busy(content: Content, temp: Path) -> bool:
    """Whether the file was modified a moment ago; `temp`, just written, tells the time of its file system.

    Not by its mtime, which is always later than that of the file, also where another machine's clock was ahead.
    """
    return 0 <= temp.stat().st_ctime_ns - content.stat.st_mtime_ns < BUSY_S * 1e9


def _is_left_by(last: Replaced | None, content: Content) -> bool:
    """Whether the file is as our own write left it.

    The bytes are compared too: a clock of 4 ms a step gives a write right after ours the same mtime.
    """
    return last is not None and content.stat.st_mtime_ns == last.written_ns and digest(content.data) == last.after_hash


def _holds(temp: Path, data: bytes) -> bool:
    try:
        return temp.read_bytes() == data
    except FileNotFoundError:
        return False
