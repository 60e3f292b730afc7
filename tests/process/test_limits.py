"""What the machine still has for us."""

from __future__ import annotations

import resource
from pathlib import Path

from vault_scheduler.platform.limits import files_problem, shortage


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


def test_it_is_said_why_a_folder_takes_no_files(tmp_path: Path) -> None:
    """SQLite says "disk I/O error" or "unable to open database file" to all of it."""
    assert shortage(tmp_path) == ""
    assert shortage(tmp_path / "gone") == "its folder: no such file or directory"
    (tmp_path / "file").touch()
    assert shortage(tmp_path / "file") == "its folder is no folder"
    assert shortage(tmp_path / "file" / "below") == "its folder: not a directory"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        assert shortage(tmp_path) == "too many open files"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
