"""Hints that files changed: "look again at these paths". Never the truth; the sweep of the tasks folder is that.

One thread of our own keeps the observer alive, arms folders as they come and go, and posts what it heard. It has no
timer: it wakes when the kernel tells of a change, and when a `check`, which the daemon makes with each sweep, finds
something to do. Only where folders are polled (see `polling_reason`) something wakes more often, every POLL_S.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

from vault_scheduler.platform.filesystem import silent_type

log = logging.getLogger(__name__)

QUIET_S = 0.2  # hints are posted when none came for this long …
LONGEST_QUIETS = 5  # … or after this many such times: a note that is typed in all the time is still looked at
POLL_S = 5.0
CHECKS_TO_RECOVER = 2  # so many checks after falling back it is tried again: about a minute
HEARD: list[type[FileSystemEvent]] = [
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""Everything but reads, of which most are our own, and a folder's new mtime; the kernel does not even tell of them."""

# Its thread may be in the middle of an event when it is stopped, and says so: nobody can do anything about that.
logging.getLogger("watchdog.observers.inotify").addFilter(lambda told: "thread is inactive" not in told.getMessage())

Post = Callable[[set[str]], None]
Identity = tuple[int, int]


class Watcher:
    """Watches folders and posts sets of absolute paths: notes, or folders below which anything may have changed.

    `folders` maps each folder to whether everything below it counts. `post` is called in the watcher's thread and
    must hand over to its own (`loop.call_soon_threadsafe`). A folder that is not there is armed when it comes.
    With `any_file` it is not about notes alone; without `may_poll` nothing is heard where it would have to poll.
    """

    def __init__(
        self,
        folders: Mapping[Path, bool],
        post: Post,
        *,
        quiet_s: float = QUIET_S,
        poll_s: float = POLL_S,
        any_file: bool = False,
        may_poll: bool = True,
    ) -> None:
        self._folders = {Path(os.path.abspath(folder)): deep for folder, deep in folders.items()}  # noqa: PTH100
        self._post = post
        self._quiet_s, self._poll_s, self._may_poll = quiet_s, poll_s, may_poll
        self._instead = f"it is looked at every {poll_s:g} s" if may_poll else "it is looked at with the sweep alone"
        self._hints = _Hints(self._folders, any_file)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._observer: BaseObserver | None = None
        self._armed: dict[Path, tuple[ObservedWatch, Identity]] = {}
        self._seen: set[Path] = set()
        self._reason = ""
        self._may_recover = False  # the reason is a limit that others have used up, not the kind of file system
        self._checks = 0

    @property
    def alive(self) -> bool:
        """Whether hints can come: both threads run and every folder that is there is watched."""
        running = self._thread is not None and self._thread.is_alive()
        observer = self._observer
        return (
            running
            and observer is not None
            and _is_running(observer)
            and all(folder in self._armed for folder in self._folders if folder.is_dir())
        )

    @property
    def polling_reason(self) -> str:
        """Why the folders are polled (or not heard of) instead of watched, in words; empty while they are watched."""
        return self._reason

    def start(self) -> None:
        """Start, or start again what died. Returns when the folders that are there are watched."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stopping.clear()
        self._reason, self._may_recover = self._why_poll(), False
        self._keep_up()
        self._thread = threading.Thread(target=self._run, name="vault-sched watcher", daemon=True)
        self._thread.start()

    @property
    def in_order(self) -> bool:
        """Whether there is nothing to mend: nothing died, and no folder came, went or was replaced."""
        if self._is_to_recover:
            return False
        if self._observer is None:
            return bool(self._reason) and not self._may_poll
        return _is_running(self._observer) and all(map(self._is_as_armed, self._folders))

    def check(self) -> None:
        """Have the watcher's thread mend what is not in order; while all is, it is left asleep."""
        self._checks += 1
        if not self.in_order:
            self._hints.changed.set()

    def stop(self) -> None:
        """Stop both threads; nothing is posted afterwards."""
        self._stopping.set()
        self._hints.changed.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._drop_observer()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._hints.changed.wait()
            if self._hints.any():
                self._wait_for_quiet()
            if self._stopping.is_set():
                return
            try:
                self._keep_up()
            except Exception:  # no more threads, say: the next check tries again
                log.exception("the folders cannot be watched")
            self._deliver(self._hints.take())

    def _wait_for_quiet(self) -> None:
        for _ in range(LONGEST_QUIETS):
            self._hints.changed.clear()
            if self._stopping.wait(self._quiet_s) or not self._hints.changed.is_set():
                return

    def _deliver(self, paths: set[str]) -> None:
        if not paths:
            return
        try:
            self._post(paths)
        except Exception:  # the receiver may be shutting down; the watcher must outlive it
            log.exception("hints about changed files could not be handed over")

    def _keep_up(self) -> None:
        """Replace an observer that died, and arm or disarm folders that came, went or were replaced."""
        if self._is_to_recover:
            self._reason, self._may_recover, self._checks = "", False, 0
            self._drop_observer()
        for _ in range(2):  # once more if the first try ended in falling back to polling
            if self._observer is None or not _is_running(self._observer):
                self._drop_observer()
                self._start_observer()
            self._arm_all()
            if self._observer is not None:
                return

    @property
    def _is_to_recover(self) -> bool:
        return self._may_recover and self._checks >= CHECKS_TO_RECOVER

    def _arm_all(self) -> None:
        for folder, deep in self._folders.items():
            try:
                self._arm(folder, deep)
            except OSError as error:
                self._fall_back(folder, error)

    def _arm(self, folder: Path, deep: bool) -> None:
        identity = _identity(folder)
        watch, armed = self._armed.get(folder, (None, None))
        if watch is not None and (identity != armed or not self._is_emitting(watch)):
            del self._armed[folder]
            self._unschedule(watch)
            self._hints.add(folder)
        if identity is None or folder in self._armed or self._observer is None:
            return
        watch = self._observer.schedule(self._hints, str(folder), recursive=deep, event_filter=HEARD)
        self._armed[folder] = (watch, identity)
        if folder in self._seen:
            self._hints.add(folder)  # nobody knows what changed while it was not watched
        self._seen.add(folder)

    def _is_as_armed(self, folder: Path) -> bool:
        watch, identity = self._armed.get(folder, (None, None))
        return _identity(folder) == identity and (watch is None or self._is_emitting(watch))

    def _is_emitting(self, watch: ObservedWatch) -> bool:
        observer = self._observer
        emitters = list(observer.emitters) if observer else []  # the other thread may be arming folders
        return any(emitter.watch == watch and emitter.is_alive() for emitter in emitters)

    def _unschedule(self, watch: ObservedWatch) -> None:
        try:
            if self._observer is not None:
                self._observer.unschedule(watch)
        except (KeyError, OSError):
            log.debug("the watch on %s was gone already", watch.path)

    def _fall_back(self, folder: Path, error: OSError) -> None:
        """The kernel's limits are shared with editors and sync programs: then poll, and say why."""
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return  # it went away again; the next look finds out
        if self._reason:
            log.warning("%s cannot be watched: %s", folder, error)
            return
        said = (error.strerror or str(error)).lower()
        self._reason = f"{folder} cannot be watched ({said}), so {self._instead}{_cure(error)}"
        self._may_recover, self._checks = True, 0
        self._drop_observer()

    def _why_poll(self) -> str:
        for folder in self._folders:
            if kind := silent_type(folder):
                return f"{folder} is on {kind}, which tells of no changes, so {self._instead}"
        return ""

    def _start_observer(self) -> None:
        if self._reason and not self._may_poll:
            return
        try:
            self._observer = PollingObserver(timeout=self._poll_s) if self._reason else Observer()
            self._observer.start()
        except OSError as error:
            self._fall_back(next(iter(self._folders)), error)

    def _drop_observer(self) -> None:
        observer, self._observer = self._observer, None
        self._armed.clear()
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join()


class _Hints(FileSystemEventHandler):
    """Collects paths in watchdog's threads.

    watchdog's own pattern handler would drop the move `.note.tmp → note.md`, which is how most programs save.
    """

    def __init__(self, folders: Mapping[Path, bool], any_file: bool) -> None:
        self._any_file = any_file
        self.changed = threading.Event()
        self._folders = [f"{folder}{os.sep}" for folder in folders]
        self._lock = threading.Lock()
        self._paths: set[str] = set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Every event of HEARD names one path or two."""
        for path in (os.fsdecode(event.src_path), os.fsdecode(event.dest_path)):
            if path and self._counts(path, event.is_directory):
                self.add(Path(path))

    def _counts(self, path: str, is_folder: bool) -> bool:
        """Notes (or all files) and folders, but nothing hidden: our own temp files are, and so are editors'."""
        inside = next((path[len(folder) :] for folder in self._folders if path.startswith(folder)), path)
        hidden = inside.startswith(".") or f"{os.sep}." in inside
        return not hidden and (is_folder or self._any_file or path[-3:].lower() == ".md")

    def add(self, path: Path) -> None:
        with self._lock:
            self._paths.add(str(path))
        self.changed.set()

    def any(self) -> bool:
        with self._lock:
            return bool(self._paths)

    def take(self) -> set[str]:
        self.changed.clear()  # first: what is added from here on sets it again
        with self._lock:
            paths, self._paths = self._paths, set()
        return paths


def _cure(error: OSError) -> str:
    """Which limit of the kernel it is that other programs have used up."""
    names = {errno.EMFILE: "fs.inotify.max_user_instances", errno.ENOSPC: "fs.inotify.max_user_watches"}
    return f". Raise {names[error.errno]} with sysctl" if error.errno in names and sys.platform == "linux" else ""


def _is_running(observer: BaseObserver) -> bool:
    """Whether events can come. The thread that reads inotify is a third one, and its death is silent."""
    reader = getattr(observer, "_inotify_fd", None)
    return observer.is_alive() and (not isinstance(reader, threading.Thread) or reader.is_alive())


def _identity(folder: Path) -> Identity | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if folder.is_dir() else None
