"""What this process may still take of the machine."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import ExitStack

SPARE = 16
"""A run needs a handful of open files, writing a note a few more."""


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
