"""What a machine can do to a daemon: `python -m tests.torture.faults [SCENE…]`.

Full disks, a vault that cannot be written, a ledger that is locked, damaged, deleted or swapped, a state folder that
is taken away, no inotify, no more open files. In each scene a task fires every second all the while. The fault must be
told and shown by `status`; when its cause is gone everything goes on by itself, each fire time has one outcome, none
ran twice, and the newest results stand in the note and in the log.

Mounting needs root; where it is not allowed those scenes are left out, and the line says so.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.process.conftest import World, wait_until
from tests.torture.stage import Stage

SETTINGS = """---
status: active
timezone: UTC
note_quiet: 1s
note_interval: 1s
max_parallel: 10
---
"""
WAITS = {
    "daemon.deliveries.RETRY_AFTER": 1.0,
    "daemon.deliveries.LONGEST_RETRY": 2.0,
    "daemon.note_writer.RETRY_AFTER": 1.0,
    "daemon.log_writer.TRY_AGAIN_S": 1.0,
}
"""What could not be written is tried again after a second instead of a minute."""
OFTEN = 'type: command\nevery: 1s\ncommand: "echo $VAULT_SCHED_FIRE_TIME >> {ran}"'
SIDE_BY_SIDE = 4

LOCK = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


class CannotBeShown(Exception):
    """This machine does not allow it."""


@dataclass
class Seen:
    """What a scene found."""

    faults: list[str] = field(default_factory=list)
    fire_times: int = 0
    recovered_s: float = 0.0


class Scene:
    """A vault with a task that fires every second, and what its daemon says of it."""

    def __init__(self, folder: Path) -> None:
        self.world = Stage(folder, SETTINGS, waits=WAITS)
        self.ran = self.world.outside / "ran.txt"
        self.note = self.world.note("often", OFTEN.format(ran=self.ran))
        self.seen = Seen()

    def begin(self) -> None:
        """The daemon runs, and the task has run."""
        self.world.start()
        self.world.ended("often", 2)

    def told(self, pattern: str, timeout_s: float = 90.0) -> None:
        """The daemon says so."""
        self.world.until(lambda: re.search(pattern, self.world.told()), f"it tells {pattern!r}", timeout_s)

    def shown(self, pattern: str, timeout_s: float = 90.0) -> None:
        """`status` says so, and that not all is well."""

        def look() -> bool:
            status = self.world.sched("status")
            return status.returncode == 1 and re.search(pattern, status.stdout + status.stderr) is not None

        self.world.until(look, f"status shows {pattern!r}; it says {self.world.sched('status').stdout}", timeout_s)

    def recovers(self, timeout_s: float = 60.0) -> None:
        """Runs again, delivers everything, and all is well."""
        self.runs_again(timeout_s)
        self.is_fine(timeout_s)

    def runs_again(self, timeout_s: float = 60.0) -> None:
        """The task runs, time after time."""
        begun, before = time.monotonic(), self._ran()
        self.world.until(lambda: self._ran() > before + 2, "it runs again", timeout_s)
        self.seen.recovered_s = max(self.seen.recovered_s, time.monotonic() - begun)

    def is_fine(self, timeout_s: float = 60.0) -> None:
        """`status` has nothing to say any more."""
        self.world.until(lambda: self.world.sched("status").returncode == 0, "status is fine again", timeout_s)

    def is_kept(self) -> None:
        """The damaged ledger was set aside; `status` and the daily log say so until somebody has taken it away."""
        self.shown("ledger.db was damaged and is kept as")
        self.world.until(lambda: "was damaged" in self.world.log_text(), "the daily log tells of it", 40)
        kept = list(self.world.state.glob("ledger-corrupt-*"))
        if not any(path.suffix == ".db" for path in kept):
            self.seen.faults.append("a damaged ledger was not kept")
        for path in kept:
            path.rename(self.world.outside / path.name)

    def _ran(self) -> int:
        return len(self.ran.read_text().split()) if self.ran.exists() else 0

    def judge(self, *, lost_history: bool = False) -> Seen:
        """End the daemon and look at every fire time."""
        world, faults = self.world, self.seen.faults
        paused = world.sched("pause", "often")
        if paused.returncode:
            faults.append(f"it could not be paused: {paused.stderr}")
        world.until(lambda: not world.rows("SELECT 1 FROM runs WHERE state <> 'ended'"), "the last run ends", 30)
        world.delivered("often")
        if code := world.stop():
            faults.append(f"it ended with {code}")
        runs = world.runs("often")
        first, last = runs[0]["fire_time"], runs[-1]["last_fire_time"]
        self.seen.fire_times = last - first + 1
        told = Counter[int]()
        for run in runs:
            told.update(range(run["fire_time"], run["last_fire_time"] + 1) if run["count"] > 1 else [run["fire_time"]])
        faults += [f"{count} outcomes at {at}" for at, count in told.items() if count != 1]
        if not lost_history:
            faults += [f"no outcome at {at}" for at in range(first, last + 1) if at not in told]
        ran = Counter(self.ran.read_text().split())
        faults += [f"{at} ran {count} times" for at, count in ran.items() if count > 1]
        faults += [f"a fault of our own: {line}" for line in world.told().splitlines() if "internal error" in line]
        if "Traceback" in world.told():
            faults.append("a traceback")
        faults += self._undelivered(runs)
        return self.seen

    def _undelivered(self, runs: list[dict[str, object]]) -> list[str]:
        note, log = self.note.read_text(), self.world.log_text()
        newest = [run for run in runs if run["outcome"] == "success"][-5:]
        missing = [str(run["id"]) for run in newest if f"^{run['id']}" not in note or f"^{run['id']}" not in log]
        return [f"{run} is not in the note and the log" for run in missing]


# --- full and read-only disks


@contextlib.contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A small file system of its own, with what was in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder.with_name(folder.name + "-before")
    shutil.copytree(folder, kept)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "torture", folder], capture_output=True
    ).returncode:
        raise CannotBeShown("mounting is not allowed")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


def remount(folder: Path, how: str) -> None:
    """Read-only or not; refused while a file is just being written."""
    command = ["mount", "-o", f"remount,{how}", str(folder)]
    wait_until(lambda: subprocess.run(command, capture_output=True).returncode == 0, f"remounted {how}", 20)


def fill(folder: Path) -> Path:
    """Take all that is left of a file system."""
    filler = folder / ".filler"
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x")
    return filler


def full_state(scene: Scene) -> Seen:
    """The disk of the ledger is full for a while, and when the daemon starts."""
    with disk(scene.world.folder / "state", "4m"):
        scene.begin()
        filler = fill(scene.world.folder / "state")
        scene.told("cannot be used now: .*(full|no space)")
        scene.shown("full|no space")
        filler.unlink()
        scene.recovers()
        scene.world.stop()
        filler = fill(scene.world.folder / "state")
        scene.world.start(wait=False)
        scene.shown("full|no space")
        filler.unlink()
        scene.recovers()
        return scene.judge()


def printed_full(scene: Scene) -> Seen:
    """Runs print more than the disk of the state folder holds: the ledger keeps its room, and nothing stops."""
    with disk(scene.world.folder / "state", "100m"):
        scene.begin()
        prints = "type: command\nevery: 2s\noverlap: allow\ncommand: head -c 30000000 /dev/zero"
        loud = scene.world.note("loud", prints)
        scene.world.ended("loud", 4)
        scene.shown("nearly full")
        if "cannot be used" in scene.world.told():
            scene.seen.faults.append("the ledger had no room")
        bad = [run["id"] for run in scene.world.runs("loud") if run["outcome"] not in (None, "success")]
        scene.seen.faults += [f"{run} printed too much and did not succeed" for run in bad]
        loud.unlink()
        for output in (scene.world.state / "runs").rglob("output-*.txt"):
            output.unlink()
        scene.recovers()
        return scene.judge()


def full_vault(scene: Scene) -> Seen:
    """The disk of the vault is full for a while: results stay in the ledger until they can be delivered."""
    with disk(scene.world.vault, "2m"):
        scene.begin()
        filler = fill(scene.world.vault)
        scene.told("could not be written: .*No space left")
        scene.shown("could not be written .*No space left")
        ran = scene._ran()
        scene.world.until(lambda: scene._ran() > ran + 2, "it goes on running")
        filler.unlink()
        scene.recovers()
        return scene.judge()


def read_only_vault(scene: Scene) -> Seen:
    """The vault is mounted read-only for a while, and when the daemon starts."""
    with disk(scene.world.vault, "2m"):
        scene.begin()
        for restart in (False, True):
            remount(scene.world.vault, "ro")
            if restart:
                scene.world.stop()
                scene.world.start()
            scene.shown("could not be written .*[Rr]ead-only")
            ran = scene._ran()
            scene.world.until(lambda ran=ran: scene._ran() > ran + 2, "it goes on running")  # type: ignore[misc]
            remount(scene.world.vault, "rw")
            scene.recovers()
        return scene.judge()


def read_only_state(scene: Scene) -> Seen:
    """The state folder is on a read-only disk when the daemon starts, which waits for it."""
    folder = scene.world.folder / "state"
    with disk(folder, "4m"):
        scene.begin()
        scene.world.stop()
        remount(folder, "ro")
        scene.world.start(wait=False)
        scene.told("cannot be used now: read-only file system")
        scene.shown("the file system is read-only")
        remount(folder, "rw")
        scene.recovers()
        return scene.judge()


class Unprivileged(Stage):
    """The daemon has no more rights than a person: root could write everywhere."""

    PREFIX = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all")

    def start(self, *arguments: str, wait: bool = True) -> subprocess.Popen[bytes]:
        """As `Stage.start`, by way of another program."""
        before = self.told().count("watching")
        program = [*self.PREFIX, sys.executable, "-m", "vault_scheduler", "daemon", "--vault", str(self.vault)]
        with self.printed.open("ab") as file:
            self.daemon = subprocess.Popen(program, env=self.env, cwd=self.folder, stdout=file, stderr=file)
        self.until(lambda: self.told().count("watching") > before or not self.runs_on, "the daemon watches", 30)
        return self.daemon


def no_permission(scene: Scene) -> Seen:
    """Somebody takes the right to write the tasks folder and the logs away, and gives it back."""
    world = scene.world
    world.__class__ = Unprivileged if os.getuid() == 0 else Stage
    if os.getuid() == 0 and subprocess.run([*Unprivileged.PREFIX, "true"], capture_output=True).returncode:
        raise CannotBeShown("capabilities cannot be dropped")
    scene.begin()
    world.until(lambda: world.logs.is_dir(), "a log")
    for folder in (world.tasks, world.logs):
        folder.chmod(0o555)
    scene.shown("could not be written .*Permission denied")
    for folder in (world.tasks, world.logs):
        folder.chmod(0o755)
    (world.tasks / "often.md").touch()
    scene.recovers(150)  # with the waits of every day
    return scene.judge()


# --- the ledger


def locked_ledger(scene: Scene) -> Seen:
    """Another program holds the ledger for longer than we wait for it."""
    scene.begin()
    path = scene.world.state / "ledger.db"
    with subprocess.Popen([sys.executable, "-c", LOCK, path, "16"], stdout=subprocess.PIPE, text=True) as blocker:
        assert blocker.stdout is not None
        assert blocker.stdout.readline() == "held\n"
        scene.told("cannot be used now: database is locked")
        scene.shown("database is locked", 12)
    scene.recovers()
    return scene.judge()


def locked_at_the_start(scene: Scene) -> Seen:
    """The daemon starts while another program holds the ledger, and waits."""
    scene.begin()
    scene.world.stop()
    path = scene.world.state / "ledger.db"
    with subprocess.Popen([sys.executable, "-c", LOCK, path, "12"], stdout=subprocess.PIPE, text=True) as blocker:
        assert blocker.stdout is not None
        assert blocker.stdout.readline() == "held\n"
        scene.world.start(wait=False)
        scene.told("cannot be used now: database is locked")
    scene.recovers()
    return scene.judge()


def spoil(path: Path, share: float) -> None:
    """Overwrite this share of the pages, from the middle on, and let the daemon read them again."""
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as db, contextlib.suppress(sqlite3.OperationalError):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("CREATE TABLE IF NOT EXISTS stirred (a)")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size // 4096
    with path.open("r+b") as file:
        for page in range(max(1, size // 2), min(size, size // 2 + max(1, int(size * share)))):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)


def damaged_ledger(scene: Scene) -> Seen:
    """Pages of the ledger are overwritten while the daemon runs, three times."""
    scene.begin()
    for _ in range(3):
        scene.world.ended("often", len(scene.world.runs("often")) + 3)
        before = scene.world.told().count("was damaged")
        for _ in range(20):
            spoil(scene.world.state / "ledger.db", 0.3)
            with contextlib.suppress(AssertionError):
                scene.world.until(lambda b=before: scene.world.told().count("was damaged") > b, "noticed", 3)  # type: ignore[misc]
                break
        else:
            scene.seen.faults.append("the damage was not noticed")
        scene.runs_again()
        scene.is_kept()
        scene.is_fine()
        time.sleep(60.5 - scene.seen.recovered_s)  # twice within a minute ends the daemon
    return scene.judge(lost_history=True)


def damaged_before_the_start(scene: Scene) -> Seen:
    """Pages, then the header, then all of the ledger are garbage when the daemon starts."""
    scene.begin()
    for turn in range(3):
        scene.world.stop()
        path = scene.world.state / "ledger.db"
        if turn == 0:
            spoil(path, 0.3)
        elif turn == 1:
            path.write_bytes(os.urandom(100) + path.read_bytes()[100:])
        else:
            path.write_bytes(os.urandom(path.stat().st_size))
        scene.world.start()
        scene.told(r"was damaged[^$]*" * (turn + 1))
        scene.runs_again()
        scene.is_kept()
        scene.is_fine()
    return scene.judge(lost_history=True)


def truncated_ledger(scene: Scene) -> Seen:
    """The ledger is cut to nothing while the daemon runs."""
    scene.begin()
    os.truncate(scene.world.state / "ledger.db", 0)
    scene.runs_again()
    scene.is_kept()
    scene.is_fine()
    return scene.judge(lost_history=True)


def deleted_ledger(scene: Scene) -> Seen:
    """The ledger, then all files of it, are deleted while the daemon runs."""
    scene.begin()
    (scene.world.state / "ledger.db").unlink()
    scene.told("the ledger is missing")
    scene.recovers()
    for path in scene.world.state.glob("ledger.db*"):
        path.unlink()
    scene.told("the ledger is missing[^$]*the ledger is missing")
    scene.recovers()
    return scene.judge()


def swapped_ledger(scene: Scene) -> Seen:
    """An older copy of the ledger is put in its place while the daemon runs."""
    scene.begin()
    path, copy = scene.world.state / "ledger.db", scene.world.folder / "copy.db"
    with contextlib.closing(sqlite3.connect(path)) as db, contextlib.closing(sqlite3.connect(copy)) as target:
        db.backup(target)
    scene.world.ended("often", len(scene.world.runs("often")) + 3)
    copy.replace(path)
    scene.told("the ledger is replaced")
    scene.recovers()
    return scene.judge()


def no_state_folder(scene: Scene) -> Seen:
    """The state folder is deleted while the daemon runs, ledger, lock, approvals and all."""
    scene.begin()
    away = scene.world.folder / "away"
    scene.world.state.rename(away)
    shutil.rmtree(away)
    scene.told("the ledger is missing")
    scene.recovers()
    if "already serves this vault" not in scene.world.sched("daemon").stderr:
        scene.seen.faults.append("a second daemon was let in")
    return scene.judge()


def no_place_for_the_state(scene: Scene) -> Seen:
    """The state folder is taken away and a file put in its place, which is there for a while."""
    scene.begin()
    folder = scene.world.state
    folder.rename(scene.world.folder / "away")
    folder.write_text("Mine.\n")
    scene.told("the ledger is missing")
    scene.shown("something that is no folder is in its place")
    ran = scene._ran()
    time.sleep(2)
    if scene._ran() != ran:
        scene.seen.faults.append("it ran without a ledger")
    folder.unlink()
    scene.recovers()
    return scene.judge()


# --- limits of the machine


class Walled(Stage):
    """The daemon in a user namespace of its own, whose use of inotify can be limited."""

    limited = "max_inotify_instances"

    def limit(self, number: int) -> None:
        """So many from now on."""
        assert self.daemon is not None
        command = f"echo {number} > /proc/sys/user/{self.limited}"
        enter = ["nsenter", "--user", "--preserve-credentials", "--target", str(self.daemon.pid), "sh", "-c", command]
        subprocess.run(enter, check=True, capture_output=True)

    def start(self, *arguments: str, wait: bool = True) -> subprocess.Popen[bytes]:
        """With none allowed."""
        script = f'echo 0 > /proc/sys/user/{self.limited}; exec "$@"'
        program = ["unshare", "-Ur", "sh", "-c", script, "sh", sys.executable, "-m", "vault_scheduler", "daemon"]
        with self.printed.open("ab") as file:
            self.daemon = subprocess.Popen(
                [*program, "--vault", str(self.vault)], env=self.env, cwd=self.folder, stdout=file, stderr=file
            )
        self.until(lambda: "watching" in self.told() or not self.runs_on, "the daemon watches", 30)
        return self.daemon


class Unwatched(Walled):
    """The same with the number of watches."""

    limited = "max_inotify_watches"


def no_inotify(scene: Scene) -> Seen:
    """No file can be watched when the daemon starts; later one can."""
    return _not_watched(scene, Walled, "max_user_instances")


def no_watches(scene: Scene) -> Seen:
    """Other programs have used up all watches when the daemon starts; later there are some."""
    return _not_watched(scene, Unwatched, "max_user_watches")


def _not_watched(scene: Scene, kind: type[Walled], cure: str) -> Seen:
    if subprocess.run(
        ["unshare", "-Ur", "sh", "-c", f"echo 0 > /proc/sys/user/{kind.limited}"], capture_output=True
    ).returncode:
        raise CannotBeShown("user namespaces are not allowed")
    world = scene.world
    world.__class__ = kind
    scene.begin()
    scene.told(f"cannot be watched .*looked at every 5 s.*{cure}")
    scene.shown("cannot be watched")
    world.note("new", f"type: command\nat: 2020-01-01T00:00:00\nrun_now: true\ncommand: 'echo x > {world.outside}/new'")
    world.until(lambda: (world.outside / "new").exists(), "a new note is found by looking", 45)
    (world.tasks / "new.md").unlink()
    assert isinstance(world, Walled)
    world.limit(100)
    scene.told("changes are heard of at once again", 150)
    scene.recovers()
    return scene.judge()


class Cramped(Stage):
    """The daemon may open hardly any files from its start on."""

    def start(self, *arguments: str, wait: bool = True) -> subprocess.Popen[bytes]:
        """As `Stage.start`, by way of a shell."""
        program = ["sh", "-c", 'ulimit -Sn 12; exec "$@"', "sh", sys.executable, "-m", "vault_scheduler", "daemon"]
        with self.printed.open("ab") as file:
            self.daemon = subprocess.Popen(
                [*program, "--vault", str(self.vault)], env=self.env, cwd=self.folder, stdout=file, stderr=file
            )
        return self.daemon


def no_open_files_at_the_start(scene: Scene) -> Seen:
    """The daemon may not even open its ledger; then it may."""
    world = scene.world
    world.__class__ = Cramped
    world.start()
    scene.told("too many open files")
    scene.shown("too many open files")
    assert world.daemon is not None
    for number in (20, 1024):
        resource.prlimit(world.daemon.pid, resource.RLIMIT_NOFILE, (number, 1024))
        world.until(lambda: "watching" in world.told(), "it watches", 40)
        if number == 20:
            scene.shown("too many open files")
    scene.recovers(90)
    return scene.judge()


def no_open_files(scene: Scene) -> Seen:
    """The daemon may open no more files for a while."""
    scene.begin()
    assert scene.world.daemon is not None
    pid = scene.world.daemon.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    for spare in (0, 3, 8):
        number = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()) + 1 + spare
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (number, before[1]))
        scene.shown("too many open files", 50)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        scene.recovers(90)
    return scene.judge()


SCENES: tuple[Callable[[Scene], Seen], ...] = (
    damaged_ledger,
    no_inotify,
    no_permission,
    full_state,
    printed_full,
    full_vault,
    read_only_vault,
    locked_ledger,
    locked_at_the_start,
    damaged_before_the_start,
    truncated_ledger,
    deleted_ledger,
    swapped_ledger,
    no_state_folder,
    no_place_for_the_state,
    read_only_state,
    no_open_files,
    no_open_files_at_the_start,
    no_watches,
)


def play(scene: Callable[[Scene], Seen]) -> Seen | str:
    """What came of it, or why it cannot be shown here."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        on = Scene(Path(folder) / "world")
        try:
            return scene(on)
        except CannotBeShown as reason:
            return str(reason)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            on.seen.faults.append(f"{str(error)[:300]} … {str(error)[-1200:]}")
            return on.seen
        finally:
            end(on.world)


def end(world: World) -> None:
    """Whatever happened, nothing of ours goes on."""
    if world.daemon is not None and world.daemon.poll() is None:
        world.kill()


def main() -> int:
    """Play all scenes, or those that are named; 1 if a promise did not hold."""
    scenes = [scene for scene in SCENES if scene.__name__ in sys.argv[1:]] or list(SCENES)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        played = dict(zip(scenes, pool.map(play, scenes), strict=True))
    shown = {scene.__name__: seen for scene, seen in played.items() if isinstance(seen, Seen)}
    left_out = {scene.__name__: seen for scene, seen in played.items() if isinstance(seen, str)}
    for name, seen in shown.items():
        for fault in seen.faults:
            print(f"  {name}: {fault}")
    print(
        f"faults: {len(shown)} scenes, {sum(seen.fire_times for seen in shown.values())} fire times, "
        f"{sum(len(seen.faults) for seen in shown.values())} faults; running again after at most "
        f"{max((seen.recovered_s for seen in shown.values()), default=0):.1f} s"
        + "".join(f"; left out {name}: {why}" for name, why in left_out.items())
    )
    return 1 if any(seen.faults for seen in shown.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
