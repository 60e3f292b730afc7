"""Hints from real file events."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.api import EventQueue, ObservedWatch
from watchdog.utils import BaseThread

from vault_scheduler.platform.filesystem import filesystem_type, silent_type
from vault_scheduler.vault.watcher import Watcher

# watchdog 7.1 warns when a folder that was just made is found twice; as an error that would end its thread.
pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")


class Heard:
    """What a watcher posted."""

    def __init__(self) -> None:
        self.posts: list[set[str]] = []

    def __call__(self, paths: set[str]) -> None:
        self.posts.append(paths)

    @property
    def all(self) -> set[str]:
        return set().union(*self.posts)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A system folder with a task."""
    folder = Path(os.path.realpath(tmp_path)) / "vault" / "00_system"
    (folder / "tasks" / "home").mkdir(parents=True)
    (folder / "tasks" / "a.md").write_text("a")
    (folder / "scheduler.md").write_text("s")
    return folder


@pytest.fixture
def heard() -> Heard:
    """What was posted."""
    return Heard()


@pytest.fixture
def watcher(system: Path, heard: Heard) -> Iterator[Watcher]:
    """A running watcher on tasks (deep) and the system folder."""
    watcher = Watcher({system / "tasks": True, system: False}, heard, quiet_s=0.03, poll_s=0.1)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


def save_in_place(note: Path) -> None:
    note.write_text("changed")


def save_by_rename(note: Path) -> None:
    temp = note.with_name(f".{note.name}.tmp")
    temp.write_text("changed")
    temp.replace(note)


def save_from_elsewhere(note: Path) -> None:
    temp = note.parents[4] / "elsewhere.md"
    temp.write_text("changed")
    temp.replace(note)


def remove(note: Path) -> None:
    note.unlink()


def rename(note: Path) -> None:
    note.rename(note.with_name("b.md"))


def touch(note: Path) -> None:
    os.utime(note, (1, 1))


ACTS = [save_in_place, save_by_rename, save_from_elsewhere, remove, rename, touch]


@pytest.mark.usefixtures("watcher")
@pytest.mark.parametrize("act", ACTS)
def test_hints_at_every_way_to_change_a_note(system: Path, heard: Heard, act: Callable[[Path], None]) -> None:
    """In place, by rename, from another folder, removed, renamed, touched: the note is named."""
    note = system / "tasks" / "home" / "c.md"
    note.write_text("c")
    wait_until(lambda: str(note) in heard.all)
    heard.posts.clear()
    act(note)
    wait_until(lambda: str(note) in heard.all)


@pytest.mark.usefixtures("watcher")
def test_hints_at_both_names_of_a_rename(system: Path, heard: Heard) -> None:
    """The old and the new path are to be looked at."""
    (system / "tasks" / "a.md").rename(system / "tasks" / "home" / "b.md")
    wait_until(lambda: {str(system / "tasks" / "a.md"), str(system / "tasks" / "home" / "b.md")} <= heard.all)


@pytest.mark.usefixtures("watcher")
def test_hears_of_notes_in_folders_made_or_moved_later(system: Path, heard: Heard, tmp_path: Path) -> None:
    """A new folder is watched too, and one that is moved in is named."""
    (system / "tasks" / "new" / "deep").mkdir(parents=True)
    wait_until(lambda: str(system / "tasks" / "new") in heard.all)
    time.sleep(0.05)
    (system / "tasks" / "new" / "deep" / "n.md").write_text("n")
    wait_until(lambda: any(path.startswith(str(system / "tasks" / "new" / "deep")) for path in heard.all))
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "m.md").write_text("m")
    (tmp_path / "moved").rename(system / "tasks" / "moved")
    wait_until(lambda: any(path.startswith(str(system / "tasks" / "moved")) for path in heard.all))


@pytest.mark.usefixtures("watcher")
def test_hears_of_the_settings_note_but_not_of_what_lies_beside_tasks(system: Path, heard: Heard) -> None:
    """The system folder is watched alone, without its logs."""
    (system / "logs").mkdir()
    wait_until(lambda: str(system / "logs") in heard.all)
    (system / "logs" / "2026-11-22.md").write_text("log")
    (system / "scheduler.md").write_text("changed")
    wait_until(lambda: str(system / "scheduler.md") in heard.all)
    assert str(system / "logs" / "2026-11-22.md") not in heard.all


@pytest.mark.usefixtures("watcher")
def test_says_nothing_of_reads_and_hidden_files(system: Path, heard: Heard) -> None:
    """Our own reads and everybody's temp files are no hints."""
    for _ in range(3):
        (system / "tasks" / "a.md").read_bytes()
        (system / "tasks" / ".a.md.swp").write_text("x")
        (system / "tasks" / "picture.png").write_text("x")
    (system / "tasks" / "b.md").write_text("b")
    wait_until(lambda: str(system / "tasks" / "b.md") in heard.all)
    assert heard.all <= {str(system / "tasks" / "b.md"), str(system / "tasks")}


@pytest.mark.usefixtures("watcher")
def test_gathers_hints_into_few_posts(system: Path, heard: Heard) -> None:
    """Three hundred saves in a moment are a handful of posts, and none is left out."""
    notes = [system / "tasks" / f"n{i}.md" for i in range(300)]
    for note in notes:
        note.write_text("n")
    wait_until(lambda: {str(note) for note in notes} <= heard.all)
    assert len(heard.posts) < 20


def checked(watcher: Watcher, condition: Callable[[], bool]) -> Callable[[], bool]:
    """The condition, after asking the watcher to look after its folders, as the daemon does with each sweep."""

    def check() -> bool:
        watcher.check()
        return condition()

    return check


def test_arms_again_when_a_folder_comes_back(system: Path, heard: Heard, watcher: Watcher) -> None:
    """An unmounted or replaced folder is watched with the next check, and named as changed."""
    shutil.move(system, system.with_name("away"))
    wait_until(checked(watcher, lambda: str(system / "tasks") in heard.all))
    shutil.copytree(system.with_name("away"), system)
    wait_until(checked(watcher, lambda: watcher.alive))
    heard.posts.clear()

    def edit_and_look() -> bool:
        (system / "tasks" / "a.md").write_text(str(time.monotonic()))
        time.sleep(0.05)
        return str(system / "tasks" / "a.md") in heard.all

    wait_until(edit_and_look)


def test_waits_for_a_folder_that_is_not_there_yet(tmp_path: Path, heard: Heard) -> None:
    """A vault that is mounted after the start is watched then."""
    folder = Path(os.path.realpath(tmp_path)) / "later"
    watcher = Watcher({folder: True}, heard, quiet_s=0.03)
    watcher.start()
    try:
        folder.mkdir()
        wait_until(checked(watcher, lambda: folder in watcher._armed))
        (folder / "a.md").write_text("a")
        wait_until(lambda: str(folder / "a.md") in heard.all)
    finally:
        watcher.stop()


@pytest.mark.parametrize("part", ["observer", "reader"])
def test_replaces_a_thread_that_died(system: Path, heard: Heard, watcher: Watcher, part: str) -> None:
    """Hints go on after the death of either thread of the observer, and everything is looked at once."""
    observer = watcher._observer
    thread = observer if part == "observer" else getattr(observer, "_inotify_fd", observer)
    assert isinstance(thread, BaseThread)
    thread.stop()
    thread.join()
    wait_until(checked(watcher, lambda: watcher._observer is not observer and watcher.alive))
    wait_until(lambda: str(system / "tasks") in heard.all)
    (system / "tasks" / "a.md").write_text("changed")
    wait_until(lambda: str(system / "tasks" / "a.md") in heard.all)


def test_is_out_of_order_until_what_came_went_or_died_is_watched_again(system: Path, watcher: Watcher) -> None:
    """A check wakes nobody while all is watched; it does after a folder was replaced, moved away or its thread died."""
    states = [watcher.in_order]
    shutil.copytree(system / "tasks", system / "copy")
    shutil.move(system / "tasks", system / "away")
    states.append(watcher.in_order)
    wait_until(checked(watcher, lambda: watcher.in_order))
    shutil.move(system / "copy", system / "tasks")
    states.append(watcher.in_order)
    wait_until(checked(watcher, lambda: watcher.in_order and watcher.alive))
    observer = watcher._observer
    assert observer is not None
    observer.stop()
    observer.join()
    states.append(watcher.in_order)
    wait_until(checked(watcher, lambda: watcher.in_order and watcher.alive))
    assert states == [True, False, False, False]


def test_outlives_a_receiver_that_fails(system: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error in whoever is told costs that post, not the watcher."""
    told: list[set[str]] = []

    def fail_once(paths: set[str]) -> None:
        told.append(paths)
        if len(told) == 1:
            raise RuntimeError("closed")

    watcher = Watcher({system / "tasks": True}, fail_once, quiet_s=0.02)
    watcher.start()
    try:
        (system / "tasks" / "a.md").write_text("1")
        wait_until(lambda: len(told) == 1)
        (system / "tasks" / "a.md").write_text("2")
        wait_until(lambda: len(told) == 2)
        assert watcher.alive
    finally:
        watcher.stop()
    assert "could not be handed over" in caplog.text


def test_check_that_fails_is_not_the_last(
    system: Path, heard: Heard, watcher: Watcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine that is out of threads for a while costs hints for that while, and the sweep goes on meanwhile."""
    with monkeypatch.context() as patch:
        patch.setattr(BaseThread, "start", refuse_threads)
        observer = watcher._observer
        assert observer is not None
        observer.stop()
        observer.join()
        wait_until(checked(watcher, lambda: "the folders cannot be watched" in caplog.text))
    wait_until(checked(watcher, lambda: watcher.alive))
    (system / "tasks" / "a.md").write_text("changed")
    wait_until(lambda: str(system / "tasks" / "a.md") in heard.all)


def refuse_threads(thread: BaseThread) -> None:
    raise RuntimeError("can't start new thread")


def test_leaves_no_thread_behind_and_starts_again(system: Path, heard: Heard) -> None:
    """After stop nothing runs; start works once more."""
    before = threading.active_count()
    watcher = Watcher({system / "tasks": True}, heard, quiet_s=0.02)
    for _ in range(2):
        watcher.start()
        assert watcher.alive
        watcher.stop()
        assert not watcher.alive
    wait_until(lambda: threading.active_count() == before)


LIMITED = """
import os, resource, sys, threading, time
from pathlib import Path
from vault_scheduler.vault.watcher import Watcher
folder, heard = Path(sys.argv[1]), set()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
full = []
try:
    while True:
        full.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
watcher = Watcher({folder: True}, heard.update, quiet_s=0.02, poll_s=0.05)
watcher.start()
for fd in full:
    os.close(fd)
deadline = time.monotonic() + 10
watcher.check()  # one alone: after some of them it would watch again, for the files are closed
while not watcher.alive and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.1)
(folder / "a.md").write_text("changed, and longer")
while str(folder / "a.md") not in heard and time.monotonic() < deadline:
    time.sleep(0.01)
print(watcher.alive, str(folder / "a.md") in heard, watcher.polling_reason)
watcher.stop()
"""


def test_polls_when_the_kernel_refuses_more_watches(system: Path) -> None:
    """Without inotify the notes are still looked at, and the reason can be read."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(system / "tasks")], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True True "), done.stdout + done.stderr
    assert "cannot be watched" in done.stdout


def test_polls_where_the_file_system_tells_nothing(system: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault on a network share is polled from the start."""
    monkeypatch.setattr("vault_scheduler.vault.watcher.silent_type", lambda folder: "9p")
    watcher = Watcher({system / "tasks": True}, heard, quiet_s=0.02, poll_s=0.05)
    watcher.start()
    try:
        assert "is on 9p" in watcher.polling_reason
        (system / "tasks" / "a.md").write_text("changed, and longer")
        wait_until(lambda: str(system / "tasks" / "a.md") in heard.all)
    finally:
        watcher.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
def test_nothing_is_told_of_a_watch_that_is_stopped_amid_an_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a command that watched for a moment tells its person of watchdog's threads."""
    from watchdog.observers.inotify import InotifyEmitter

    emitter = InotifyEmitter(EventQueue(), ObservedWatch(str(tmp_path), recursive=False))
    emitter.queue_events(1)
    assert caplog.messages == []


MOUNTS = """\
/dev/root / ext4 rw 0 0
C:\\134 /mnt/c 9p rw 0 0
//nas/notes /mnt/my\\040notes cifs rw 0 0
overlay /mnt/c/docker overlay rw 0 0
rclone /mnt/drive fuse.rclone rw 0 0
server:/x /mnt/over nfs4 rw 0 0
tmpfs /mnt/over tmpfs rw 0 0
garbage
"""


@pytest.mark.parametrize(
    ("folder", "kind", "silent"),
    [
        ("/home/me/vault", "ext4", ""),
        ("/mnt/c/Users/me/vault", "9p", "9p"),
        ("/mnt/my notes/vault", "cifs", "cifs"),  # a space is written as \040
        ("/mnt/c/docker/vault", "overlay", ""),  # the innermost mount counts
        ("/mnt/cellar/vault", "ext4", ""),  # a name that only starts like a mount point
        ("/mnt/drive/vault", "fuse.rclone", "fuse.rclone"),
        ("/mnt/over/vault", "tmpfs", ""),  # the later mount on the same point is the one seen
    ],
)
def test_knows_file_systems_that_tell_nothing(tmp_path: Path, folder: str, kind: str, silent: str) -> None:
    """By the list of mounts."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert filesystem_type(Path(folder), mounts) == kind
    assert silent_type(Path(folder), mounts) == silent
    assert filesystem_type(Path(folder), tmp_path / "none") == ""
