"""What a power cut would leave: `python -m tests.torture.power [SECONDS]`. Needs strace, and is left out without it.

Every system call of a daemon at work (and of commands that ask it for runs) that writes, names or syncs a file is
recorded. Then it is played into a model of a disk as pessimistic as POSIX allows: of a file only what was there at its
last fsync survives, of a name only what the last fsync of its folder saw. Whenever something becomes visible that the
ledger has to know, the ledger is opened as a power cut in that moment would have left it:

- a run's command has begun: the attempt is recorded;
- a note, log or output that holds a run's result comes into its place: the run has ended in the ledger, and what comes
  into that place is on the disk already;
- a run has ended: its full output is on the disk, under its name;
- a result is marked as delivered: it stands in the file that is on the disk under that name;
- a command was told that its wish is known: the request is recorded.

At each of these moments the ledger also has to be whole if any part of what was not synced has reached the disk.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.torture.stage import Stage, Tally, seconds_wanted, stage

SETTINGS = """---
status: active
timezone: UTC
note_quiet: 1s
note_interval: 1s
max_parallel: 3
---
"""
SAYS = "echo begun $VAULT_SCHED_RUN $VAULT_SCHED_ATTEMPT >> {marks}; echo said by $VAULT_SCHED_RUN"
TASKS = {
    "plain": ("every: 1s", SAYS),
    "out": ("every: 2s\noutput: Out.md#Log", SAYS),
    "whole": ('every: 3s\noutput: "Out/{{{{date}}}} {{{{time}}}}.md"', SAYS),
    "fails": ("every: 2s\nretries: 1\nretry_delay: 1s", SAYS + "; exit 1"),
    "slow": ("every: 2s\noverlap: queue", SAYS + "; sleep 1.5"),
    "child": ('after: "[[plain]]"', SAYS),
    "asked": ("cron: 0 0 29 2 *", SAYS),
}
CALLS = (
    "openat,creat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,"
    "mkdirat,symlink,writev,pwritev,copy_file_range,sendfile"
)
UNKNOWN = {"writev", "pwritev", "copy_file_range", "sendfile", "creat", "symlink"}  # the model does not know them
SECTOR = 512
_LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>)?(.*)$", re.S)
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)", re.S)
_PART = re.compile(
    r'\s*(?:(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?|"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?|([^,]+))'
)
_ID = re.compile(rb"\^(r-\d{8}T\d{6}Z-[0-9a-f]{6})")


@dataclass(eq=False)
class File:
    """A file or folder: what programs see of it, and what survives."""

    now: bytearray = field(default_factory=bytearray)
    safe: bytes | None = None

    def sync(self) -> None:
        if self.safe is None or self.safe != self.now:
            self.safe = bytes(self.now)


class Disk:
    """Files by their paths: as programs see them, and as the last fsync of each folder saw them."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.names: dict[str, File] = {}
        for path in root.rglob("*"):
            data = path.read_bytes() if path.is_file() else b""
            self.names[str(path)] = File(bytearray(data), data)
        self.safe_names = dict(self.names)

    def sync(self, path: str) -> None:
        """A file, or the names in a folder."""
        if path in self.names:
            self.names[path].sync()
        inside = {name: file for name, file in self.names.items() if name.rpartition("/")[0] == path}
        gone = [name for name in self.safe_names if name.rpartition("/")[0] == path and name not in inside]
        for name in gone:
            del self.safe_names[name]
        self.safe_names |= inside

    def survivor(self, path: str) -> bytes | None:
        """What is at this path after a power cut; None: nothing."""
        file = self.safe_names.get(path)
        folder = path.rpartition("/")[0]
        while folder != self.root and len(folder) > len(self.root):
            if folder in self.names and folder not in self.safe_names:
                return None
            folder = folder.rpartition("/")[0]
        return file.safe if file is not None else None


@dataclass(frozen=True)
class Call:
    """One system call that succeeded."""

    name: str
    fds: tuple[bytes, ...]  # the paths of open files among its arguments
    texts: tuple[bytes, ...]  # names and data
    rest: str  # all other arguments
    result: int

    def open_path(self) -> str:
        """The path of the open file that it is about."""
        return self.fds[0].decode("utf-8", "surrogateescape")

    def path(self, number: int = 0) -> str:
        """The number-th name that it gives or takes, made absolute by the folder that stands before it."""
        name = self.texts[number]
        at = self.fds[min(number, len(self.fds) - 1)] if self.fds else b""
        return (name if name.startswith(b"/") else at + b"/" + name).decode("utf-8", "surrogateescape")


def calls(trace: Path) -> Iterator[Call]:
    """What the trace tells, in the order in which the calls ended."""
    begun: dict[str, str] = {}
    with trace.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            found = _LINE.match(line.rstrip("\n"))
            if found is None:
                continue
            pid, resumed, text = found[1], found[2], found[3]
            if text.endswith("<unfinished ...>"):
                begun[pid] = text.removesuffix("<unfinished ...>")
                continue
            call = _CALL.match(begun.pop(pid, "") + text if resumed else text)
            if call is not None and int(call[3]) >= 0:
                yield _call(call[1], call[2], int(call[3]))


def _call(name: str, arguments: str, result: int) -> Call:
    fds, texts, rest = [], [], []
    for path, deleted, text, cut, other in _PART.findall(arguments):
        if cut:
            raise AssertionError(f"strace has cut what {name} wrote")
        if other.strip():
            rest.append(other.strip())
        elif path:
            fds.append(_bytes(path) + (b"\0deleted" if deleted else b""))
        else:
            texts.append(_bytes(text))
    return Call(name, tuple(fds), tuple(texts), ",".join(rest), result)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


class Replay:
    """Plays the calls into the model, and looks at it whenever something becomes visible."""

    def __init__(self, world: Stage, disk: Disk, tally: Tally, seed: int) -> None:
        self.world, self.disk, self.tally = world, disk, tally
        self.chance = random.Random(seed)
        self.marks = str(world.outside / "marks.txt")
        self.vault = f"{world.vault}/"
        self.scratch = world.folder / "image"
        self.ledger = ""  # its path, once it is there
        self.image: Image | None = None
        self.asked = 0
        self.seen: set[tuple[str, ...]] = set()
        self.at: Counter[str] = Counter()

    def play(self, trace: Path) -> None:
        known: dict[str, Callable[[Call], None]] = {
            "openat": self._open, "write": self._write, "pwrite64": self._pwrite, "ftruncate": self._cut,
            "fsync": self._sync, "fdatasync": self._sync, "mkdir": self._mkdir, "mkdirat": self._mkdir,
            "unlink": self._unlink, "unlinkat": self._unlink,
        }  # fmt: skip
        for call in calls(trace):
            if call.name in UNKNOWN and any(part.startswith(self.vault.encode()) for part in call.fds):
                self.tally.check(False, f"the model does not know {call.name}")
            action = known.get(call.name, self._name if call.name.startswith(("rename", "link")) else None)
            if action is not None:
                action(call)

    # what happens to files

    def _open(self, call: Call) -> None:
        path = call.path()
        if not path.startswith(self.disk.root) or "O_TMPFILE" in call.rest or "O_DIRECTORY" in call.rest:
            return
        if "O_CREAT" in call.rest and path not in self.disk.names:
            self.disk.names[path] = File()
        if "O_TRUNC" in call.rest and path in self.disk.names:
            self.disk.names[path].now.clear()

    def _file(self, call: Call) -> File | None:
        return self.disk.names.get(call.open_path()) if call.fds else None

    def _write(self, call: Call) -> None:
        if (file := self._file(call)) is not None:
            file.now += call.texts[0][: call.result]
            if call.open_path() == self.marks:
                self._marked(call.texts[0].decode())

    def _pwrite(self, call: Call) -> None:
        file, at = self._file(call), int(call.rest.split(",")[-1])
        if file is not None:
            data = call.texts[0][: call.result]
            file.now.extend(b"\0" * (at - len(file.now)))
            file.now[at : at + len(data)] = data

    def _cut(self, call: Call) -> None:
        file, size = self._file(call), int(call.rest.split(",")[-1])
        if file is not None:
            file.now.extend(b"\0" * (size - len(file.now)))
            del file.now[size:]

    def _sync(self, call: Call) -> None:
        path = call.open_path()
        self.disk.sync(path)
        self.tally.count(syncs=1)
        if path.startswith(f"{self.world.folder}/state") and "/ledger.db" in path:
            self.ledger = path.removesuffix("-wal")
            self.image = None
            self._look_at_ends()

    def _mkdir(self, call: Call) -> None:
        path = call.path()
        if path.startswith(self.disk.root):
            self.disk.names[path] = File(safe=b"")

    def _unlink(self, call: Call) -> None:
        path = call.path()
        self.disk.names.pop(path, None)

    def _name(self, call: Call) -> None:
        """A file gets a (second) name, or two exchange theirs."""
        names = self.disk.names
        old, new = call.path(0), call.path(1)
        if old not in names:
            return
        if "RENAME_EXCHANGE" in call.rest:
            names[old], names[new] = names[new], names[old]
        else:
            names[new] = names[old] if call.name.startswith("link") else names.pop(old)
        self._shown(new)

    # what has to hold

    def _marked(self, text: str) -> None:
        """Runs have begun, or a command has been answered."""
        for line in text.splitlines():
            self.tally.count(looks=1)
            image = self._image()
            if line.startswith("begun "):
                _, run, number = line.split()
                self.tally.check((run, int(number)) in image.attempts, f"attempt {number} of {run} began unrecorded")
            elif line.startswith("answered"):
                self.asked += 1
                self.tally.check(
                    image.requests >= self.asked, f"{image.requests} of {self.asked} requests are recorded"
                )

    def _shown(self, path: str) -> None:
        """Something of ours is in its place in the vault."""
        if not path.startswith(self.vault) or not path.endswith(".md") or "/." in path.removeprefix(self.vault):
            return
        file = self.disk.names[path]
        for match in _ID.findall(bytes(file.now)):
            run = match.decode()
            if ("shown", path, run) not in self.seen:
                self.seen.add(("shown", path, run))
                self.tally.count(looks=1)
                self.tally.check(run in self._image().ended, f"{run} stands in {path} and has not ended")
                self.tally.check(file.safe == bytes(file.now), f"{path} was in its place before it was on the disk")

    def _look_at_ends(self) -> None:
        """What the ledger on the disk says of ends and deliveries is true of the files on the disk."""
        image = self._image()
        for run, task in image.said.items():
            path = f"{Path(self.ledger).parent}/runs/{run}/output-1.txt"
            if self._is_new("output", run):
                output = self.disk.survivor(path) or b""
                self.tally.check(f"said by {run}\n".encode() in output, f"{run} of {task} has ended without its output")
        for run, task, target in image.delivered:
            if not self._is_new("delivered", run, target):
                continue
            places = [path for path in self.disk.safe_names if self._is_target(path, task, target)]
            word = f"said by {run}" if task == "whole" and target == "output" else f"^{run}"
            kept = any(word.encode() in (self.disk.survivor(path) or b"") for path in places)
            self.tally.check(kept, f"{run} of {task} is marked as delivered ({target}) and is not on the disk")

    def _is_new(self, *what: str) -> bool:
        new = what not in self.seen
        self.seen.add(what)
        self.tally.count(looks=int(new))
        return new

    def _is_target(self, path: str, task: str, target: str) -> bool:
        inside = path.removeprefix(self.vault)
        if target == "note":
            return inside == f"00_system/tasks/{task}.md"
        if target == "daily_log":
            return inside.startswith("00_system/logs/")
        return inside.startswith("Out")

    # the ledger

    def _image(self) -> Image:
        """The ledger as it would be found, which has to be whole however much of the rest has reached the disk."""
        if self.image is None:
            self.image = Image.read(self._laid_out(torn=False))
            torn = Image.read(self._laid_out(torn=True))
            self.tally.count(images=2)
            self.tally.check(self.image.is_whole, "the ledger is damaged")
            self.tally.check(torn.is_whole, "the ledger is damaged by what was not synced")
            lost = {*self.image.attempts} - {*torn.attempts} | {*self.image.ended} - {*torn.ended}
            self.tally.check(not lost, f"lost with what was not synced: {sorted(map(str, lost))[:3]}")
        return self.image

    def _laid_out(self, *, torn: bool) -> Path:
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        for name in (self.ledger, f"{self.ledger}-wal"):
            data = self.disk.survivor(name)
            if data is not None:
                file = self.disk.safe_names[name]
                (self.scratch / Path(name).name).write_bytes(self._torn(data, bytes(file.now)) if torn else data)
        return self.scratch / "ledger.db"

    def _torn(self, safe: bytes, now: bytes) -> bytes:
        """Of each sector the old or the new text."""
        long = max(len(safe), len(now))
        pieces = []
        for at in range(0, long, SECTOR):
            old, new = safe[at : at + SECTOR], now[at : at + SECTOR]
            pieces.append(new if old == new or self.chance.random() < 0.5 else old or b"\0" * len(new))
        return b"".join(pieces)


@dataclass(frozen=True)
class Image:
    """What the ledger says that a power cut would leave."""

    is_whole: bool = True
    attempts: frozenset[tuple[str, int]] = frozenset()
    ended: frozenset[str] = frozenset()
    said: dict[str, str] = field(default_factory=dict)  # run → task, of those that have ended and printed something
    delivered: tuple[tuple[str, str, str], ...] = ()
    requests: int = 0

    @classmethod
    def read(cls, path: Path) -> Image:
        """Open it as the next daemon would."""
        if not path.exists():
            return cls()
        try:
            with contextlib.closing(sqlite3.connect(path)) as db:
                return cls._of(db)
        except sqlite3.DatabaseError:
            return cls(is_whole=False)

    @classmethod
    def _of(cls, db: sqlite3.Connection) -> Image:
        def rows(sql: str) -> list[Any]:
            return db.execute(sql).fetchall()

        if not rows("SELECT 1 FROM sqlite_master WHERE name = 'runs'"):
            return cls()
        first = "SELECT r.id, r.task FROM runs r JOIN attempts a ON a.run = r.id AND a.number = 1 WHERE a.outcome IN "
        done = "SELECT run, task, target FROM deliveries d JOIN runs r ON r.id = run WHERE done_at IS NOT NULL"
        return cls(
            is_whole=rows("PRAGMA integrity_check")[0][0] == "ok",
            attempts=frozenset(rows("SELECT run, number FROM attempts")),
            ended=frozenset(row[0] for row in rows("SELECT id FROM runs WHERE state = 'ended'")),
            said=dict(rows(f"{first} ('success', 'failure')")),
            delivered=tuple(rows(done)),
            requests=rows("SELECT count(*) FROM requests")[0][0],
        )


def prepare(world: Stage) -> None:
    """The notes of the tasks."""
    marks = world.outside / "marks.txt"
    marks.touch()
    (world.vault / "Out.md").write_text("# Results\n\n## Log\n")
    for name, (when, says) in TASKS.items():
        world.note(name, f'type: command\n{when}\nkeep_runs: 100\ncommand: "{says}"'.format(marks=marks))


def record(world: Stage, seconds: float) -> Path:
    """A daemon at work and commands that ask it for runs, all of them traced; the trace."""
    trace = world.outside / "trace.txt"
    sched = f"{sys.executable} -m vault_scheduler"
    script = (
        f"{sched} daemon --vault {world.vault} & daemon=$!; "
        f"while ! grep -q watching {world.printed}; do sleep 0.1; done; "
        f"for i in 1 2 3; do sleep {seconds / 3:g}; "
        f"{sched} run asked --vault {world.vault} && echo answered >> {world.outside / 'marks.txt'}; done; "
        "kill -TERM $daemon; wait $daemon"
    )
    command = ["strace", "-f", "-y", "-qq", "-xx", "-s", "16000000", "--seccomp-bpf", "-e", f"trace={CALLS}"]
    with world.printed.open("ab") as file:
        subprocess.run(
            [*command, "-o", trace, "sh", "-c", script],
            env=world.env,
            cwd=world.folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            timeout=seconds * 5 + 120,
            check=True,
        )
    return trace


def attack(world: Stage, seconds: float, tally: Tally, *, seed: int = 1) -> None:
    """Record, replay, look; the model has to end where the real disk ended."""
    prepare(world)
    disk = Disk(world.folder)
    Replay(world, disk, tally, seed).play(record(world, seconds))
    for path in world.vault.rglob("*.md"):
        known = disk.names.get(str(path))
        tally.check(known is not None and known.now == path.read_bytes(), f"the model is wrong about {path.name}")
    tally.count(runs=len(world.rows("SELECT 1 FROM runs WHERE attempts > 0")))
    tally.check("Traceback" not in world.told(), world.told()[-500:])


def may_trace() -> bool:
    """Whether there is a strace that may look at programs."""
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-f", "-qq", "--seccomp-bpf", "true"], capture_output=True).returncode == 0
    )


def main() -> int:
    """For so many seconds; 1 if something was visible that a power cut would have lost."""
    numbers = [float(argument) for argument in sys.argv[1:]]
    tally = Tally("power cuts")
    if not may_trace():
        print("power cuts: left out, strace is not there or not allowed")
        return 0
    with stage(SETTINGS) as world:
        attack(world, numbers[0] if numbers else seconds_wanted(60), tally)
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
