"""Hostile notes against the real daemon and the commands: `python -m tests.torture.notes [--seconds N] [--seed N]`.

Notes that nobody would write come, change and go in the tasks folder, several a second: random bytes, structured
nonsense, bombs, pipes, sockets, devices, links that leave the vault, names that are no names. A witness task fires
each second beside them: how late it starts is how long the daemon was kept from its work. Baits lie outside of the
vault, and would leave a mark if a link to them were followed.
"""

# ruff: noqa: E501  tables of odd texts

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import runpy
import shutil
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.torture.note_makers import notes
from tests.torture.stage import Stage, Tally, stage, stop

SECONDS = 240.0
SHORT_S = 10.0
LATE_S = 3.0  # a witness that starts later than this was kept from it, on a machine that does nothing else
SETTINGS = """---
status: active
timezone: UTC
note_quiet: 1s
note_interval: 1s
max_parallel: 20
---
"""
HEAD = b"---\ntype: command\ncommand: echo run\nevery: 3s\n---\n"
NASTY: dict[str, tuple[bytes, str]] = runpy.run_path(
    str(Path(__file__).parents[1] / "unit" / "nasty_notes.py"), run_name="nasty"
)["NOTES"]
BODIES = (
    b"# a\n", b"a\n=\n", b"$$ \n", b"%% a\n", b"- a\n  - b\n    - c\n", b"```\n", b"> > > > > x\n", b"<!-- a\n", b"[[", b"`",
    b"- 2026-01-02 07:00 ok ^r-20260102T060000Z-0a1b2c\n", b"## Runs\n", b"\xff", b"* * ", b"=======\n", b"\r", b"\n",
)  # fmt: skip
NAMES = (
    b"new\nline", b"car\rriage", b"tab\tbed", b"\xff\xfe", b"caf\xe9", b"-rf", b"$(touch x)", b"`x`", b"[[x]]", b"a|b", b"#", b"^r-1",
    b"<% x %>", b"%%", "\u202egnp.exe".encode(), "\u2028".encode(), b"x" * 252, "é".encode() * 126, b"CON", b" ", b"a ", b"..a", b"a.md",
    b"{{date}}", b"*", b"?", b"\\", b"'", b'"', b"%0a", b"note.sync-conflict-20260101-000000-ABCDEFG", b"~a", b"a~",
)  # fmt: skip
IMPOSSIBLE = (
    'command: [echo, "a\\0b"]', 'command: "echo a\\0b"', 'command: echo\ncwd: "a\\0b"', 'command: echo\nenv: {A: "b\\0"}',
    'command: echo\nenv: ["A\\0=b"]', 'command: echo\ngate: ["./a\\0b.sh"]', 'command: echo\noutput: "a\\0.md"',
    'command: echo\nsecrets: ["A\\0"]', 'command: echo\non_change: "a\\0*"', 'command: echo\nafter: "[[a\\0]]"',
    'command: echo\nid: "a\\0"', 'command: echo\nhost: "a\\0"', 'command: echo\ngroup: "\\uD800"', 'command: ["\\uD800"]',
    "command: echo\ncwd: " + "x/" * 3000, "command: " + "x" * 200_000, "command: [" + "a," * 20_000 + "a]",
    'command: echo\noutput: "' + "y/" * 200 + 'z.md"', 'command: echo\noutput: "../../x.md"', "command: echo\ncwd: /proc/self/fd",
)  # fmt: skip


class Corpus:
    """Bytes of notes, made once: structured nonsense, broken examples, and what grows without end."""

    def __init__(self, chance: random.Random, size: int) -> None:
        self.chance = chance
        self.made: list[bytes] = []

        @seed(chance.randrange(2**32))
        @settings(
            max_examples=size,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(notes())
        def make(data: bytes) -> None:
            self.made.append(_harmless(data))

        make()

    def any(self) -> bytes:
        """Some note."""
        kind = self.chance.randrange(8)
        if kind == 0:
            return self.chance.randbytes(self.chance.choice((0, 1, 10, 1000, 100_000)))
        if kind == 1:
            return HEAD + self.chance.choice(BODIES) * self.chance.choice((1, 100, 20_000))
        if kind == 2:
            return b"---\ntype: command\nevery: 3s\n" + self.chance.choice(IMPOSSIBLE).encode() + b"\n---\n"
        data = self.chance.choice(self.made if kind < 6 else [data for data, _ in NASTY.values()])
        return self._broken(data) if kind % 2 else data

    def _broken(self, data: bytes) -> bytes:
        at = self.chance.randrange(len(data) + 1)
        cut = self.chance.choice((0, 0, 1, 5, len(data)))
        return data[:at] + self.chance.randbytes(self.chance.choice((0, 1, 4))) + data[at + cut :]

    def bomb(self) -> bytes:
        """Something that is small to write and large to read, or plainly large."""
        lines = {
            "laughs": "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else '1'] * 10)}]\n" for i in range(12)),
            "keys": "".join(f"key{i}: {i}\n" for i in range(10_000)),
            "own keys": "type: command\ncommand: echo\n" + "".join(f"timeout{i}: {i}\n" for i in range(10_000)),
            "deep": "a: " + "[" * 50_000 + "]" * 50_000 + "\n",
            "deep block": "".join(f"{' ' * i}- \n" for i in range(400)),
            "mapping keys": "? " * 20_000 + "\n",
            "long key": "k" * 200_000 + ": 1\n",
            "anchors": "".join(f"a{i}: &a{i} x\n" for i in range(5_000)) + "b: [" + ",".join(f"*a{i}" for i in range(5000)) + "]\n",
            "cron list": "type: command\ncommand: echo\ncron: [" + ",".join(['"*/7 */3 1-31/2 * *"'] * 3000) + "]\n",
            "at list": "type: command\ncommand: echo\nat: [" + ",".join(["2026-12-24T09:00"] * 5000) + "]\n",
            "globs": "type: command\ncommand: echo\non_change: [" + ",".join([f'"**/{i}*/**/*"' for i in range(3000)]) + "]\n",
            "links": "type: command\ncommand: echo\nafter: [" + ",".join([f'"[[t{i}]]"' for i in range(3000)]) + "]\n",
        }  # fmt: skip
        return f"---\n{lines[self.chance.choice(sorted(lines))]}---\n".encode()


def _harmless(data: bytes) -> bytes:
    """The note is to be read, not to run whatever words chance has put together."""
    lines = data.split(b"\n")
    run = (b"command:", b"gate:", b"call:")
    return b"\n".join(b"command: echo a" if line.startswith(run) else line for line in lines).replace(b"```", b"~ ~")


class Attack:
    """One vault under attack."""

    def __init__(self, world: Stage, chance: random.Random, tally: Tally, examples: int) -> None:
        self.world = world
        self.chance = chance
        self.tally = tally
        self.corpus = Corpus(chance, examples)
        self.folder = world.tasks / "hostile"
        self.folder.mkdir()
        self.marks = world.outside / "marks.txt"
        self.bait = world.outside / "bait.md"
        self.baited = f"---\ntype: command\ncommand: echo followed >> {self.marks}\nevery: 1s\nrun_now: true\n---\n"
        self.bait.write_text(self.baited)
        (world.outside / "folder").mkdir()
        (world.outside / "folder" / "bait.md").write_text(self.baited)
        self.witnessed = world.outside / "witnessed.txt"
        world.note(
            "witness",
            f'type: command\ncommand: echo "$VAULT_SCHED_FIRE_TIME $(date +%s.%N)" >> {self.witnessed}\nevery: 1s\nlog: none',
        )
        self.made: list[Path] = []
        self.load = 0.0  # of each core, at most

    # what is done, one a round

    def acts(self) -> list[Callable[[], None]]:
        """All kinds of rounds; common ones several times."""
        rare = [
            self.huge, self.large, self.bomb, self.link, self.link_loop, self.pipe, self.socket, self.device, self.folder_note,
            self.name, self.case, self.twins, self.many, self.flicker, self.deep_folders, self.unreadable, self.swap,
        ]  # fmt: skip
        return [self.write, self.write, self.write, self.overwrite, self.overwrite, *rare, self.remove, self.remove]

    def _path(self, name: str | None = None) -> Path:
        path = self.folder / f"{name or f'n{self.chance.randrange(200)}'}.md"
        self.made.append(path)
        return path

    def _put(self, path: Path, data: bytes) -> None:
        if path.exists() and not path.is_file():
            return
        path.write_bytes(data)

    def write(self) -> None:
        self._put(self._path(), self.corpus.any())

    def overwrite(self) -> None:
        """Changed while it is read: some pieces, some truncations."""
        path = self._path()
        if path.exists() and not path.is_file():
            return
        for _ in range(self.chance.randrange(1, 6)):
            with path.open("wb") as file:
                file.write(self.corpus.any())
                file.flush()
                time.sleep(self.chance.choice((0, 0.01, 0.3)))
                file.write(self.corpus.any()[:1000])

    def huge(self) -> None:
        path = self._path("huge")
        if self.chance.randrange(2):
            with path.open("wb") as file:
                file.write(HEAD)
                for _ in range(100):
                    file.write(b"x" * 2**20)
        else:
            path.write_bytes(HEAD)
            os.truncate(path, 100 * 2**20)

    def large(self) -> None:
        unit = self.chance.choice(BODIES)
        self._put(self._path(f"large{self.chance.randrange(3)}"), HEAD + unit * ((2**20 - 200) // len(unit)))

    def bomb(self) -> None:
        self._put(self._path(f"bomb{self.chance.randrange(9)}"), self.corpus.bomb())

    def link(self) -> None:
        targets = (
            self.bait, self.bait.parent / "folder", Path("../../../../outside/bait.md"), Path("/dev/zero"), Path("/proc/self/environ"),
            Path("/etc/passwd"), Path("/"), self.world.vault, self.world.tasks, Path("nowhere.md"), Path("/dev/stdin"), Path("witness.md"),
        )  # fmt: skip
        path = self.folder / (f"l{self.chance.randrange(30)}" + self.chance.choice((".md", "")))
        with contextlib.suppress(FileExistsError):
            path.symlink_to(self.chance.choice(targets))
        self.made.append(path)

    def link_loop(self) -> None:
        for one, other in (("loop1.md", "loop2.md"), ("loop2.md", "loop1.md"), ("self.md", "self.md"), ("up", "..")):
            with contextlib.suppress(FileExistsError):
                (self.folder / one).symlink_to(other)

    def pipe(self) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._path(f"pipe{self.chance.randrange(3)}"))

    def socket(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        with contextlib.suppress(OSError), contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(f"/proc/self/fd/{folder}/sock{self.chance.randrange(99)}.md")  # its own path may be too long
        os.close(folder)

    def device(self) -> None:
        with contextlib.suppress(OSError):  # not root
            os.mknod(self._path("zero"), stat.S_IFCHR | 0o666, os.makedev(1, 5))

    def folder_note(self) -> None:
        (self.folder / f"folder{self.chance.randrange(5)}.md").mkdir(exist_ok=True)

    def name(self) -> None:
        name = self.chance.choice(NAMES)
        with contextlib.suppress(OSError):
            Path(os.fsdecode(os.fsencode(self.folder) + b"/" + name + b".md")).write_bytes(
                self.chance.choice((HEAD, HEAD, self.corpus.any()))
            )

    def case(self) -> None:
        """A rename that changes the case alone."""
        one, other = self.folder / "casing.md", self.folder / "CASING.md"
        if not one.exists() and not other.exists():
            one.write_bytes(HEAD)
        for _ in range(4):
            (one if one.exists() else other).rename(other if one.exists() else one)
            time.sleep(0.02)

    def twins(self) -> None:
        for number in range(30):
            self._put(self._path(f"twin{number}"), HEAD.replace(b"type:", b"id: twin\ntype:", 1))

    def many(self) -> None:
        """Hundreds at once, and gone again."""
        folder = self.folder / "many"
        folder.mkdir(exist_ok=True)
        for number in range(300):
            (folder / f"m{number}.md").write_bytes(HEAD.replace(b"3s", b"300d") + b"%d\n" % number)
        time.sleep(self.chance.choice((0, 0.5, 2)))
        shutil.rmtree(folder)

    def flicker(self) -> None:
        path = self._path("flicker")
        for _ in range(50):
            path.write_bytes(HEAD)
            path.write_bytes(b"")
            path.unlink(missing_ok=True)

    def deep_folders(self) -> None:
        """Deeper than a path may be long."""
        folder = os.open(self.folder, os.O_RDONLY)
        for _ in range(60):
            name = "d" * 100
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            below = os.open(name, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = below
            with contextlib.suppress(FileExistsError):
                note = os.open("in.md", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
                os.write(note, HEAD.replace(b"3s", b"300d"))
                os.close(note)
        os.close(folder)

    def unreadable(self) -> None:
        """A note that may not be read, where we are not root."""
        path = self._path("unreadable")
        self._put(path, HEAD)
        path.chmod(0)

    def swap(self) -> None:
        """A note that becomes a link to the bait and a note again, faster than anybody looks."""
        path, other = self.folder / "swap.md", self.folder / ".swap-link"
        folder, real, link = (self.folder / name for name in ("swapped", ".swapped-real", ".swapped-link"))
        if not folder.exists() and not real.exists():
            folder.mkdir()
            (folder / "bait.md").write_bytes(HEAD.replace(b"3s", b"300d"))
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            path.write_bytes(HEAD.replace(b"3s", b"300d") + b"%d" % self.chance.randrange(10**6))
            other.symlink_to(self.bait)
            other.replace(path)
            path.unlink()
            folder.rename(real)
            link.symlink_to(self.bait.parent / "folder")
            link.rename(folder)
            folder.unlink()
            real.rename(folder)

    def remove(self) -> None:
        for path in self.made[:5]:
            with contextlib.suppress(OSError):
                path.unlink()
        del self.made[:5]

    # what must hold

    def rounds(self, seconds: float) -> None:
        """Attack for so long; look at the commands now and then."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.world.runs_on:
            act = self.chance.choice(self.acts())
            try:
                act()
            except OSError:
                self.tally.count(refused_by_the_system=1)
            self.tally.count(rounds=1)
            self.load = max(self.load, os.getloadavg()[0] / (os.cpu_count() or 1))
            time.sleep(self.chance.choice((0, 0.02, 0.1, 0.3)))

    def commands(self, *, short: bool = False) -> None:
        """Those that read all notes give valid answers, in a bounded time."""
        words_of_all = (["check", "--json"], ["list", "--json"], ["show", "witness", "--json"], ["check"], ["list"])
        for words in words_of_all[: 2 if short else None]:
            begun = time.monotonic()
            done = self.world.sched(*words)
            self.tally.count(commands=1)
            what = f"{' '.join(words)}: exit {done.returncode} after {time.monotonic() - begun:.1f} s"
            self.tally.check(done.returncode in (0, 1), f"{what}: {done.stderr[-400:]}")
            self.tally.check("Traceback" not in done.stderr, f"{what}: {done.stderr[-600:]}")
            if "--json" in words:
                with contextlib.suppress(json.JSONDecodeError):
                    json.loads(done.stdout)
                    continue
                self.tally.check(False, f"{what}: no JSON: {done.stdout[:200]!r} {done.stderr[-400:]}")

    def judge(self, is_alive: bool) -> None:
        """Alive, on time, and nothing outside was read or run."""
        self.tally.check(is_alive, f"the daemon ended: {self.world.told()[-3000:]}")
        self.tally.check(not self.marks.exists(), "a link out of the vault was followed")
        same = all(path.read_text() == self.baited for path in (self.bait, self.world.outside / "folder" / "bait.md"))
        self.tally.check(same, "a file outside of the vault was written")
        internal = [line for line in self.world.told().split("\n") if "internal error" in line]
        self.tally.check(not internal, f"{len(internal)} internal errors: {sorted(set(internal))[:5]}")
        ran = self.world.rows("SELECT DISTINCT path FROM runs WHERE path LIKE '%bait%' AND path NOT LIKE '%swapped/%'")
        self.tally.check(not ran, f"ran: {ran}")
        lateness = self.lateness()
        self.tally.count(witnessed=len(lateness))
        self.tally.check(lateness, "the witness never ran")
        if lateness:
            self.tally.count(
                ms_late_at_most=int(max(lateness) * 1000),
                ms_late_in_the_middle=int(sorted(lateness)[len(lateness) // 2] * 1000),
            )
            load = max(1.0, self.load)
            self.tally.count(percent_of_load_per_core=int(100 * self.load))
            self.tally.check(max(lateness) < LATE_S * load, f"the witness was {max(lateness):.1f} s late")

    def lateness(self) -> list[float]:
        """By how many seconds each run of the witness began late."""
        found = []
        for line in self.witnessed.read_text().split("\n") if self.witnessed.exists() else ():
            if line:
                fire_time, began = line.split()
                found.append(float(began) - datetime.fromisoformat(fire_time).timestamp())
        return found


def attack(world: Stage, seconds: float, chance: random.Random, tally: Tally, *, examples: int = 400) -> None:
    """Play the attack on this vault. `examples`: of structured nonsense, made once.

    In a short one fewer commands are asked, and the daemon is not started anew on what is there then.
    """
    short = seconds < SHORT_S
    made = Attack(world, chance, tally, examples)
    world.start()
    commands = threading.Timer(seconds / 2, made.commands, kwargs={"short": short})
    commands.start()
    made.rounds(seconds)
    commands.join()
    is_alive = world.runs_on
    with contextlib.suppress(AssertionError):
        count = len(made.lateness())
        world.until(lambda: len(made.lateness()) > count, "the witness goes on", 30)
    made.judge(is_alive and world.runs_on)
    stop(world)
    if short:
        return
    world.start()  # what is there now is read at the start, too
    made.commands()
    tally.check(world.runs_on, f"the daemon ended after its restart: {world.told()[-2000:]}")
    stop(world)


def main() -> int:
    """Attack for some minutes; 0 where everything held."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    tally = Tally(f"hostile notes (seed {given.seed})")
    with stage(SETTINGS) as world:
        attack(world, given.seconds, random.Random(given.seed), tally)
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
