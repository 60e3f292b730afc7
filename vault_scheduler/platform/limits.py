"""What this process may still take of the machine."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import sys
from contextlib import ExitStack
from pathlib import Path

SPARE = 16
"""A run needs a handful of open files, writing a note a few more."""
RESERVE = 64 << 20
"""Bytes that outputs leave free, or a tenth of a small disk."""
LARGE_BUFFER = 1 << 17
ARENAS = 2
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
LEAST_ROOM = 1 << 16
"""Bytes that SQLite needs to go on: its index of the journal grows by half of this."""


def give_back_memory() -> None:
    """Have large buffers returned to the machine when they are let go of, on glibc.

    It would begin to keep them after the first ones: a daily log of a megabyte that is written each second, by one
    thread or another, costs tens of megabytes then, for good.
    """
    if sys.platform != "linux":
        return
    import ctypes  # the daemon's start alone needs it

    with contextlib.suppress(OSError, AttributeError):  # another C library
        tune = ctypes.CDLL(None).mallopt
        for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            tune(option, LARGE_BUFFER)
        tune(M_ARENA_MAX, ARENAS)


def files_problem() -> str:
    """Why no more files can be opened, and the cure; empty while there is room for some."""
    try:
        with ExitStack() as taken:
            for _ in range(SPARE):
                taken.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return _told(error)
    return ""


def _told(error: OSError) -> str:
    if error.errno != errno.EMFILE:
        return f"no more files can be opened ({error.strerror}): runs fail until the machine has room again"
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"too many open files (this process may have {limit}): runs fail until some are closed. "
        "Lower max_parallel, or raise the limit (`ulimit -n`, LimitNOFILE= of the service)"
    )


def room_to_spare(folder: Path) -> int:
    """How many bytes outputs may take of a folder's disk: the ledger, and other programs, need some."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize - min(RESERVE, disk.f_blocks * disk.f_frsize // 10)


def room_problem(folder: Path) -> str:
    """That full outputs are not kept for want of room, and the cure; empty while they are."""
    try:
        if room_to_spare(folder) > 0:
            return ""
    except OSError:
        return ""  # of that others tell
    return f"the disk of {folder} is nearly full: full outputs are not kept, only their beginnings and ends. Make room"


def reason_of(error: OSError) -> str:
    """Why a folder cannot be made or used."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "something that is no folder is in its place"
    return (error.strerror or str(error)).lower()


def shortage(folder: Path) -> str:
    """What is likely to keep files from being written into a folder, in a few words; empty if nothing is.

    SQLite tells of a full disk, a missing folder and too many open files in the same words.
    """
    try:
        room = os.statvfs(folder)
        if not stat.S_ISDIR(folder.stat().st_mode):
            return "its folder is no folder"
    except OSError as error:
        return f"its folder: {(error.strerror or str(error)).lower()}"
    if room.f_flag & os.ST_RDONLY:
        return "the file system is read-only"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "its folder may not be written"
    if room.f_bavail * room.f_frsize < LEAST_ROOM or (room.f_files and not room.f_favail):
        return "no space is left on the disk"
    return "too many open files" if files_problem() else ""
