"""What the machine still has for us."""

from __future__ import annotations

import resource

from vault_scheduler.platform.limits import files_problem


def test_too_many_open_files_are_told_with_the_cure_until_there_is_room_again() -> None:
    """Before the first run fails for it, and no longer than it lasts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert files_problem() == ""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        told = files_problem()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "too many open files (this process may have 3)" in told
    assert "ulimit -n" in told
    assert files_problem() == ""
