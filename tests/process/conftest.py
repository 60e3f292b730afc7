"""The real daemon as a child process, with a vault, a home and a state folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import pytest

import vault_scheduler
from tests.process.github_server import GitHubServer, github_server
from tests.process.loaded_program import run_command

SETTINGS = """---
status: active
timezone: UTC
note_quiet: 1s
note_interval: 1s
max_parallel: 40
---
"""

LONG = "test_real_clock.py"
PATIENCE_S = 90.0
"""So long may take what is waited for, before it counts as never; other work of the machine is no failure of ours."""
HANGS_S = 180.0

T = TypeVar("T")
Scene = Callable[["World"], None]


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
    """What `condition` returns as soon as it is true; fails after a bounded time."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.02)
    return found


class World:
    """A vault, this machine's folders for it, and the daemon that serves it."""

    def __init__(self, folder: Path, settings: str = SETTINGS) -> None:
        self.folder = folder
        self.vault = folder / "vault"
        self.tasks = self.vault / "00_system" / "tasks"
        self.logs = self.vault / "00_system" / "logs"
        self.settings = self.vault / "00_system" / "scheduler.md"
        self.outside = folder / "outside"
        self.tasks.mkdir(parents=True)
        self.outside.mkdir()
        (folder / "home").mkdir()
        self.config = folder / "config" / "vault-sched"
        self.config.mkdir(parents=True)
        self.settings.write_text(settings)
        self.printed = folder / "printed.txt"
        self.daemon: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """Nothing of the caller's environment but the path."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(vault_scheduler.__file__).parents[1]),  # the package that these tests import
        }

    def until(self, condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
        """What `condition` returns as soon as it is true; else fails with what the daemon printed."""
        try:
            return wait_until(condition, what, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; the daemon said:\n{self.told()[-3000:]}") from None

    # the daemon

    def start(self, *arguments: str, wait: bool = True) -> subprocess.Popen[bytes]:
        """Start the daemon; returns when it watches the vault."""
        before = self.told().count("watching")
        with self.printed.open("ab") as file:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "vault_scheduler", "daemon", "--vault", str(self.vault), *arguments],
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        if wait:
            wait_until(lambda: self.told().count("watching") > before or self._ended(), "the daemon watches")
            assert not self._ended(), self.told()
        return self.daemon

    def _ended(self) -> bool:
        return self.daemon is not None and self.daemon.poll() is not None

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = PATIENCE_S) -> int:
        """Send the signal and wait for the end; the exit code."""
        assert self.daemon is not None
        self.daemon.send_signal(number)
        try:
            return self.daemon.wait(timeout_s)
        finally:
            if self.daemon.poll() is None:
                self.daemon.kill()
                self.daemon.wait()

    def kill(self) -> None:
        """kill -9: nothing of the daemon can tidy up."""
        self.stop(signal.SIGKILL)

    def told(self) -> str:
        """What the daemon printed so far, restarts included."""
        return self.printed.read_text() if self.printed.exists() else ""

    def sched(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of `vault-sched`, as a person would give it."""
        return run_command((*arguments, "--vault", str(self.vault)), self.env, self.folder)

    # notes

    def note(self, name: str, keys: str, body: str = "") -> Path:
        """Write a task note in one go."""
        path = self.tasks / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"---\n{keys.strip()}\n---\n{body}")
        return path

    def log_text(self) -> str:
        """All daily logs together."""
        return "".join(path.read_text() for path in sorted(self.logs.glob("*.md"))) if self.logs.is_dir() else ""

    # the ledger, read without disturbing anybody

    @property
    def state(self) -> Path:
        """The state folder of the vault."""
        return next((self.folder / "state" / "vault-sched").iterdir())

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Rows of the ledger, read-only; none while it does not exist."""
        try:
            path = self.state / "ledger.db"
        except (FileNotFoundError, StopIteration):
            return []
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
            db.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in db.execute(sql, values)]
            except sqlite3.OperationalError:
                return []

    def runs(self, task: str) -> list[dict[str, Any]]:
        """The runs of a task, oldest first."""
        return self.rows("SELECT * FROM runs WHERE task = ? ORDER BY fire_time, seq", task)

    def ended(self, task: str, count: int = 1) -> list[dict[str, Any]]:
        """The ended runs of a task once there are so many."""
        return self.until(lambda: self._ended_runs(task, count), f"{count} ended runs of {task}")

    def _ended_runs(self, task: str, count: int) -> list[dict[str, Any]]:
        runs = [run for run in self.runs(task) if run["state"] == "ended"]
        return runs if len(runs) >= count else []

    def delivered(self, task: str = "") -> None:
        """Wait until nothing (of the task) is to be delivered any more."""
        pending = "SELECT 1 FROM deliveries d JOIN runs r ON r.id = d.run WHERE d.done_at IS NULL AND ? IN ('', r.task)"
        self.until(lambda: not self.rows(pending, task), "everything delivered")


@pytest.fixture(scope="session", autouse=True)
def signals() -> None:
    """Whoever runs the tests may ignore SIGHUP (`nohup`), and what they start would inherit that."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="module")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    """Worlds for several tests of a module; their daemons end with the module."""
    worlds: list[World] = []

    def make(**more: Any) -> World:
        worlds.append(World(tmp_path_factory.mktemp("world"), **more))
        return worlds[-1]

    yield make
    for made in worlds:
        if made.daemon is not None and made.daemon.poll() is None:
            made.kill()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A vault of one's own; the daemon is not started yet."""
    made = World(tmp_path)
    yield made
    if made.daemon is not None and made.daemon.poll() is None:
        made.kill()


@pytest.fixture(scope="module")
def play(request: pytest.FixtureRequest, make_world: Callable[..., World]) -> Iterator[Callable[[Scene], None]]:
    """Scenes mostly wait, so those of a module (`SCENES`) are played side by side, each in a world of its own."""
    scenes: list[Scene] = request.module.SCENES
    worlds = {scene: make_world() for scene in scenes}
    with ThreadPoolExecutor(len(scenes)) as pool:
        played = {scene: pool.submit(scene, worlds[scene]) for scene in scenes}
        yield lambda scene: played[scene].result(HANGS_S - 10)


class LongScenes:
    """Scenes that wait for minutes: each in a thread and a world of its own, from the first time that one is wanted."""

    def __init__(self, scenes: dict[str, Callable[[World], Any]], folder: Path) -> None:
        self._scenes = scenes
        self._folder = folder
        self._played: dict[str, Future[Any]] = {}
        self.worlds: list[World] = []

    def begin(self) -> None:
        """Begin all of them, once."""
        for name, scene in self._scenes.items() if not self._played else ():
            self._played[name] = Future()
            (self._folder / name).mkdir()
            self.worlds.append(World(self._folder / name))
            Thread(target=self._play, args=(scene, self.worlds[-1], self._played[name]), daemon=True).start()

    def _play(self, scene: Callable[[World], Any], world: World, played: Future[Any]) -> None:
        try:
            played.set_result(scene(world))
        except BaseException as error:
            played.set_exception(error)

    def __call__(self, name: str) -> Any:
        """What the scene of this name returned, once it has been played."""
        self.begin()
        return self._played[name].result(220)


@pytest.fixture(scope="session", autouse=True)
def long_scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LongScenes]:
    """The long scenes begin with the first process test, so that all others are waiting time for them."""
    module = next((item.module for item in request.session.items if item.path.name == LONG), None)  # type: ignore[attr-defined]
    scenes = LongScenes(module.SCENES if module else {}, tmp_path_factory.mktemp("long"))
    if not hasattr(request.config, "workerinput"):  # of several workers only the one that looks at them plays them
        scenes.begin()
    yield scenes
    for world in scenes.worlds:
        if world.daemon is not None and world.daemon.poll() is None:
            world.kill()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long scenes are looked at last; of several workers one begins with them and waits while the others work."""
    comes_first = hasattr(config, "workerinput")
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(HANGS_S))
    items.sort(key=lambda item: (item.path.name == LONG) is not comes_first)


@pytest.fixture(scope="session")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[int]]:
    """Says which processes of these tests hold a marker in their command line or environment."""
    return lambda marker: alive_below(tmp_path_factory.getbasetemp(), marker)


def alive_below(folder: Path, marker: str) -> list[int]:
    """Processes whose command line or environment holds the marker, and the folder: others may run the same tests."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if marker.encode() in text and bytes(folder) in text and state != "Z":
                found.append(int(process.name))
    return found


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    """A small GitHub on the loopback interface."""
    with github_server() as server:
        yield server
