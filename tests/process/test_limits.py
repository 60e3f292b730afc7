"""What the machine still has for us."""

from __future__ import annotations

import resource
from pathlib import Path

from vault_scheduler.platform.limits import files_problem


def test_too_many_open_files_are_told_with_the_cure_until_there_is_room_again() -> None:
    """Before the first run fails for it, and no longer than it lasts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert files_problem() == ""
    taken = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 3, before[1]))
        told = files_problem()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert f"too many open files (this process may have {taken + 3})" in told
    assert "ulimit -n" in told
    assert files_problem() == ""
