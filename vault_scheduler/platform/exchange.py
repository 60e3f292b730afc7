"""The system calls behind a safe replacement: exchange two files, make a rename durable, see who has a file open."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from vault_scheduler.platform.filesystem import silent_type

AT_FDCWD = -100
RENAME_EXCHANGE = 2  # Linux, linux/fs.h
RENAME_SWAP = 2  # macOS, sys/stdio.h
NOT_OFFERED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM})

WINDOWS_TRIES = 7
WINDOWS_PAUSE_S = 0.05  # doubled: antivirus and sync programs hold a file for up to about two seconds


class NoExchange(Exception):
    """This system or file system cannot exchange two files."""


def exchange(one: Path, other: Path) -> None:
    """Exchange two files of one folder atomically. Raises NoExchange where that is not offered, else OSError."""
    if _call is None:
        raise NoExchange
    if _call(os.fsencode(one), os.fsencode(other)) == 0:
        return
    code = ctypes.get_errno()
    if code in NOT_OFFERED:
        raise NoExchange
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def _find_call() -> Any:
    """The libc function behind `exchange` as a function of two paths, or None."""
    name = {"linux": "renameat2", "darwin": "renamex_np"}.get(sys.platform)
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if function is None:
        return None
    if name == "renameat2":
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
        return lambda one, other: function(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE)
    function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
    return lambda one, other: function(one, other, RENAME_SWAP)


_call = _find_call()


def rename_over(source: Path, target: Path) -> None:
    """Rename `source` over `target`; on Windows again and again while another program holds the target."""
    tries = WINDOWS_TRIES if sys.platform == "win32" else 1
    for attempt in range(tries):
        try:
            source.replace(target)
            return
        except PermissionError:
            if attempt == tries - 1:
                raise
        threading.Event().wait(WINDOWS_PAUSE_S * 2**attempt)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder, and those that it is in, durably; one that is there is left as it is."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    for path in reversed(missing):
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable; some systems cannot open a folder, and there the rename is all there is."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
    finally:
        os.close(fd)


def is_open_for_writing(path: Path) -> bool:
    """Whether a program has the file open and can still write into it; False where the system does not tell.

    Linux grants a read lease only on a file that nobody has open for writing. It is given back at once; a program
    that opens the file in between waits for that, and we are told by a signal that means nothing to us.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN and not silent_type(path.parent)  # network file systems always refuse
    finally:
        os.close(fd)
    return False
