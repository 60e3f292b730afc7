"""The vault's lock between real processes."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vault_scheduler.errors import LockHeld
from vault_scheduler.platform.lock import Holder, VaultLock, holder
from vault_scheduler.platform.paths import config_folder, state_folder

HOLD = """
import sys
from pathlib import Path
from vault_scheduler.platform.lock import VaultLock
with VaultLock(Path(sys.argv[1]), purpose="run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its standard input closes."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        if process.stdin and not process.stdin.closed and process.poll() is None:
            process.stdin.close()


def test_keeps_a_second_process_out_and_names_the_first(tmp_path: Path) -> None:
    """Whoever comes second is told who holds the vault."""
    lock = tmp_path / "state" / "lock"
    with other_process(lock) as process:
        with pytest.raises(LockHeld, match=f"process {process.pid} on "):
            VaultLock(lock).acquire()
        seen = holder(lock)
        assert seen is not None
        assert (seen.pid, seen.purpose) == (process.pid, "run")
    assert holder(lock) is None
    VaultLock(lock).acquire()


def test_ends_with_a_killed_process(tmp_path: Path) -> None:
    """After kill -9 the lock is free at once, whatever the file says."""
    lock = tmp_path / "lock"
    with other_process(lock) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert json.loads(lock.read_text())["pid"] == process.pid
        assert holder(lock) is None
        with VaultLock(lock):
            pass


def test_is_not_inherited_by_the_programs_that_it_starts(tmp_path: Path) -> None:
    """A run that outlives the daemon does not hold the vault."""
    lock = VaultLock(tmp_path / "lock")
    lock.acquire()
    with subprocess.Popen(["sleep", "30"], close_fds=False) as child:
        lock.release()
        try:
            assert holder(tmp_path / "lock") is None
        finally:
            child.kill()


def test_writes_down_who_holds_it_since_when(tmp_path: Path) -> None:
    """The file holds process, host, time and version, over whatever longer text stood there."""
    lock = tmp_path / "lock"
    lock.write_text("x" * 1000)
    with VaultLock(lock, since=datetime(2026, 11, 22, 6, 0, tzinfo=UTC)):
        fields = json.loads(lock.read_text())
        assert fields["pid"] == os.getpid()
        assert fields["since"] == "2026-11-22T06:00:00+00:00"
        assert set(fields) == {"pid", "host", "since", "version", "purpose", "troubles", "draining", "takes_orders"}
        assert "since 2026-11-22" in str(holder(lock))


def test_says_what_keeps_its_holder_from_work(tmp_path: Path) -> None:
    """Whoever asks who holds the lock is told, until it is over."""
    path = tmp_path / "lock"
    with VaultLock(path) as lock:
        for troubles in (("the ledger is locked", "nothing is heard"), ("it is locked",), ()):
            lock.tell(troubles)
            found = holder(path)
            assert found is not None
            assert found.troubles == troubles


def test_is_taken_again_when_its_file_was_removed(tmp_path: Path) -> None:
    """Unless another process has it by now: two must not serve one vault."""
    path = tmp_path / "lock"
    with VaultLock(path) as lock:
        path.unlink()
        lock.keep()
        assert lock.still_mine()
        path.unlink()
        with VaultLock(path), pytest.raises(LockHeld):
            lock.keep()


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"pid": 3, "later_version": true}'])
def test_names_an_unknown_holder_when_the_file_is_damaged(tmp_path: Path, text: str) -> None:
    """The kernel's lock counts, not the text."""
    lock = tmp_path / "lock"
    with VaultLock(lock):
        lock.write_text(text)
        assert isinstance(holder(lock), Holder)
        with pytest.raises(LockHeld):
            VaultLock(lock).acquire()


def test_notices_that_its_file_was_removed(tmp_path: Path) -> None:
    """A deleted state folder would let a second daemon lock a new file; the first one can see that."""
    lock = VaultLock(tmp_path / "lock")
    with lock:
        assert lock.still_mine()
        lock.path.unlink()
        assert not lock.still_mine()


def test_a_file_in_the_place_of_its_folder_is_not_its_file(tmp_path: Path) -> None:
    """Who holds it sees that it is gone, and who looks finds nobody: neither breaks."""
    folder = tmp_path / "state"
    with VaultLock(folder / "lock") as lock:
        folder.rename(tmp_path / "away")
        folder.write_text("Mine.\n")
        assert not lock.still_mine()
        assert holder(lock.path) is None


def test_a_full_disk_does_not_keep_a_lock_from_being_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the name of its holder cannot be read then."""

    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", no_room)
        lock = VaultLock(tmp_path / "lock")
        lock.acquire()
    try:
        assert holder(tmp_path / "lock") == Holder()
    finally:
        lock.release()


def test_a_look_never_keeps_a_start_out(tmp_path: Path) -> None:
    """Hundreds of looks a second at the lock do not make a daemon believe that it is held."""
    path, stop = tmp_path / "lock", threading.Event()
    path.touch()

    def look() -> None:
        while not stop.is_set():
            holder(path)
            stop.wait(0.001)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(200):
            with VaultLock(path):
                pass
    finally:
        stop.set()
        thread.join()


def test_state_folder_is_private_and_one_per_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named after the vault and its real path, closed to others, the same through a symlink."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    vault, twin = tmp_path / "a" / "My Vault", tmp_path / "b" / "My Vault"
    vault.mkdir(parents=True)
    twin.mkdir(parents=True)
    (tmp_path / "link").symlink_to(vault)
    folder = state_folder(vault)
    assert folder.parent == tmp_path / "state" / "vault-sched"
    assert folder.name.startswith("My_Vault-")
    assert len(folder.name) == len("My_Vault-") + 8
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert state_folder(tmp_path / "link") == folder
    assert state_folder(twin) != folder
    folder.chmod(0o755)
    assert stat.S_IMODE(state_folder(vault).stat().st_mode) == 0o700


def test_folders_follow_the_xdg_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An absolute path counts; a relative one is ignored, as the specification says."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_folder() == tmp_path / "vault-sched"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert config_folder().is_absolute()
    assert config_folder() != Path("relative/vault-sched").absolute()
