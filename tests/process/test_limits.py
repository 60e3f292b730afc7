"""What the machine still has for us."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.skipif(not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_large_buffers_are_given_back() -> None:
    """By itself malloc keeps them once it has seen some: small ones that live on between them hold the heap."""
    program = """
import sys
from pathlib import Path
import pytest

from vault_scheduler.platform.limits import give_back_memory

def rss():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])

if sys.argv[1] == "give back":
    give_back_memory()
del (first := [bytearray(b"x") * 300_000 for _ in range(3)])[:]
before, kept = rss(), []
large = []
for _ in range(100):
    large.append(bytearray(b"x") * 300_000)
    kept.append(bytearray(b"x") * 60_000)
large.clear()
print(rss() - before)
"""

    def grown(how: str) -> int:
        run = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True)
        return int(run.stdout)

    assert grown("as it is") > 20_000
    assert grown("give back") < 10_000
