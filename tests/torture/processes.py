"""Children that do not want to end, and hundreds at once: `python -m tests.torture.processes`.

A real daemon runs commands that ignore TERM, leave their session, multiply, hold pipes and print without end. It is
left to its timeouts, told to stop in the middle, and killed in the middle; afterwards nothing of them may be left.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from tests.process.conftest import World, wait_until

GRACE_S = 10.0  # from TERM to KILL
STOPS_WITHIN_S = GRACE_S + 30.0  # it is some tenths of a second more than the grace, but machines can be busy
CAP = 64 << 20
SETTINGS = """---
timezone: UTC
note_quiet: 1s
note_interval: 1s
max_parallel: {parallel}
---
"""


@dataclass(frozen=True)
class Child:
    """A command that does not end as it should, and what its run ends as if its timeout has to end it."""

    name: str
    script: str
    outcome: str = "timeout"
    python: bool = False


# Each `sleep` can be found by its command line alone, whatever it did to its environment: every attack has a number
# of seconds of its own.
LONG = "sleep {long}"
NUMBERS = itertools.count(7177)
STUBBORN = f"trap '' TERM HUP INT; while :; do {LONG} & wait; done"
CHILDREN = (
    Child("ignores-term", STUBBORN),
    Child("children-ignore-term", f"(trap '' TERM; exec {LONG}) & (trap '' TERM; exec {LONG}) & {LONG}"),
    Child("opens-session", f'setsid sh -c "{STUBBORN}" & {LONG}'),
    Child("daemonises", f"(setsid sh -c '({LONG} >/dev/null 2>&1 &)' &) ; sleep 0.3; {LONG}"),
    Child("hundreds", f"for i in $(seq 300); do {LONG} & done; wait"),
    Child("hundreds-in-sessions", f"for i in $(seq 150); do setsid {LONG} & done; wait"),
    Child("multiplies", f"trap '' TERM; setsid sh {{hydra}} & {LONG}"),
    Child("holds-the-pipe", f"{LONG} & echo done", outcome="success"),
    Child("many-hold-the-pipe", f"for i in $(seq 50); do (trap '' TERM; exec {LONG}) & done; echo done", "success"),
    Child("prints-for-ever", "yes 'a line of sixty-four characters, again and again, and once more…'"),
    Child("prints-and-ignores-term", "trap '' TERM; while :; do head -c 1000000 /dev/zero; done"),
    Child("prints-a-gigabyte", "head -c 1000000000 /dev/zero", outcome="success"),
    Child("stops-itself", f"{LONG} & kill -STOP $$"),
    Child("closes-everything", f"exec 0<&- 1>&- 2>&-; exec {LONG}"),
    Child("leaves-its-group", "import os, time\nos.fork() or os.setsid()\ntime.sleep({long})", python=True),
    Child(
        "forks-and-ignores",
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n[os.fork() for _ in range(5)]\n"
        "time.sleep({long})",
        python=True,
    ),
)


@dataclass
class Attack:
    """One vault, one daemon, and what was found."""

    world: World
    faults: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    long: str = field(default_factory=lambda: str(next(NUMBERS)))

    def fault(self, holds: object, what: str) -> None:
        if not holds:
            self.faults.append(f"{self.world.folder.name}: {what}")

    def write(self, children: tuple[Child, ...], timeout: str) -> None:
        hydra, stop = self.world.outside / "hydra.sh", self.world.outside / "stop"
        hydra.write_text(f"trap '' TERM\n[ -e {stop} ] && exit\nsleep 0.05\nsetsid sh {hydra} &\n")
        for child in children:
            script = child.script.replace("{hydra}", str(hydra)).replace("{long}", self.long)
            language = "python" if child.python else "sh"
            begun = f"open('{self._begun(child)}', 'w').close()" if child.python else f": > {self._begun(child)}"
            kind = "python" if child.python else "command"
            limit = timeout if child.outcome == "timeout" else "2m"
            keys = f"type: {kind}\ncron: 0 0 29 2 *\ntimeout: {limit}\nrun_now: true"
            self.world.note(child.name, keys, f"\n```{language}\n{begun}\n{script}\n```\n")

    def _begun(self, child: Child) -> Path:
        return self.world.outside / f"{child.name}.begun"

    def has_begun(self, children: tuple[Child, ...]) -> bool:
        return all(self._begun(child).exists() for child in children)

    def run_of(self, task: str) -> dict[str, Any]:
        runs = self.world.runs(task)
        return runs[-1] if runs else {}

    def left(self) -> list[str]:
        """Command lines of processes that carry the mark of this vault's runs, or can only be of them."""
        marker = f"VAULT_SCHED_STATE={self.world.folder}/".encode()  # not of a neighbour with a longer name
        return [_command(path) for path in _processes() if _holds(path, marker) or self.long in _command(path).split()]

    def stop_in_time(self) -> float:
        began = time.monotonic()
        code = self.world.stop(signal.SIGTERM, timeout_s=60)
        took = time.monotonic() - began
        self.fault(code == 0, f"the daemon ended with {code}")
        self.fault(took < STOPS_WITHIN_S, f"the daemon took {took:.1f} s to stop")
        return took

    def nothing_left(self, when: str) -> None:
        left = self.left()
        self.fault(not left, f"{len(left)} processes are left {when}: {Counter(left).most_common(5)}")

    def told_once(self, tasks: list[str]) -> None:
        """Each of these runs has one outcome, and stands once in its note and in the daily log."""
        log = self.world.log_text()
        for task in tasks:
            runs = self.world.runs(task)
            self.fault(len(runs) == 1 and runs[0]["outcome"], f"{task}: {[run['outcome'] for run in runs]}")
            for run in runs:
                note = (self.world.tasks / f"{task}.md").read_text()
                self.fault(note.count(f"^{run['id']}") == 1, f"{task}: {note.count(run['id'])} times in its note")
                self.fault(log.count(f"^{run['id']}") == 1, f"{task}: {log.count(run['id'])} times in the log")


def ends_by_timeout(world: World, children: tuple[Child, ...]) -> Attack:
    """All of them together, until their timeouts: nothing is left of any, memory and disk stay bounded."""
    attack = Attack(world)
    attack.write(children, "3s")
    daemon = psutil.Process(world.start().pid)
    highest = 0

    def all_ended() -> bool:
        nonlocal highest
        highest = max(highest, daemon.memory_info().rss)
        return all(attack.run_of(child.name).get("state") == "ended" for child in children)

    world.until(all_ended, "all have ended", 120)
    for child in children:
        outcome = attack.run_of(child.name)["outcome"]
        attack.fault(outcome == child.outcome, f"{child.name} ended as {outcome}")
    (world.outside / "stop").touch()
    attack.nothing_left("after their timeouts")
    files = [path.stat().st_size for path in (world.state / "runs").rglob("output-*.txt")]
    attack.fault(max(files, default=0) < CAP + 1000, f"an output file of {max(files, default=0)} bytes")
    attack.fault(highest < 300 << 20, f"the daemon took {highest >> 20} MiB")
    world.delivered()
    attack.stop_in_time()
    attack.told_once([child.name for child in children])
    attack.figures.append(f"{len(children)} stubborn runs ended, daemon at most {highest >> 20} MiB")
    return attack


def is_told_to_stop(world: World, children: tuple[Child, ...]) -> Attack:
    """TERM to the daemon while they run: it ends them all and itself within its grace."""
    attack, lasting = _lasting(world, children)
    took = attack.stop_in_time()
    (world.outside / "stop").touch()
    attack.nothing_left("after the daemon's stop")
    world.start()
    _all_abandoned(attack, lasting)
    world.delivered()
    attack.stop_in_time()
    attack.told_once([child.name for child in lasting])
    attack.figures.append(f"stopped amid {len(lasting)} of them in {took:.1f} s")
    return attack


def is_killed(world: World, children: tuple[Child, ...]) -> Attack:
    """kill -9 while they run: the next daemon finds them all and ends them before it watches."""
    attack, lasting = _lasting(world, children)
    world.kill()
    found, began = len(attack.left()), time.monotonic()
    world.start(wait=False)
    wait_until(lambda: world.told().count("watching") > 1, "the daemon watches again", 60)
    took = time.monotonic() - began
    (world.outside / "stop").touch()
    attack.nothing_left("after the restart")
    attack.fault(took < STOPS_WITHIN_S, f"the restart took {took:.1f} s")
    _all_abandoned(attack, lasting)
    world.delivered()
    attack.stop_in_time()
    attack.told_once([child.name for child in lasting])
    attack.figures.append(f"killed amid {len(lasting)} of them: {found} orphans ended in {took:.1f} s")
    return attack


def _lasting(world: World, children: tuple[Child, ...]) -> tuple[Attack, tuple[Child, ...]]:
    """The daemon with all those under way that go on until somebody ends them."""
    attack = Attack(world)
    lasting = tuple(child for child in children if child.outcome == "timeout")
    attack.write(lasting, "10m")
    world.start()
    world.until(lambda: attack.has_begun(lasting), "all have begun", 60)
    time.sleep(1)  # until they have done their worst
    return attack, lasting


def _all_abandoned(attack: Attack, children: tuple[Child, ...]) -> None:
    for child in children:
        outcome = attack.run_of(child.name).get("outcome")
        attack.fault(outcome == "abandoned", f"{child.name} ended as {outcome}")


def all_at_once(world: World, runs: int, parallel: int, *, stop: bool) -> Attack:
    """So many tasks due in one second: never more than `max_parallel` at once; a stop in the middle loses none."""
    attack = Attack(world)
    marks = world.outside / "marks.txt"
    marks.touch()
    fire = datetime.now(UTC) + timedelta(seconds=4 + runs / 100)
    names = [f"at-once-{number}" for number in range(runs)]
    for name in names:
        begin, end = (f"echo {word} $VAULT_SCHED_RUN >> {marks}" for word in ("begun", "ended"))
        world.note(name, f'type: command\nat: {fire:%Y-%m-%dT%H:%M:%S}\ncommand: "{begin}; sleep 0.5; {end}"')
    world.start()
    if stop:
        world.until(lambda: marks.read_text().count("ended") > runs // 3, "a third has run", 60)
        attack.stop_in_time()
        attack.nothing_left("after the daemon's stop")
        world.start()
    ended = "SELECT count(*) AS n FROM runs WHERE state = 'ended'"
    world.until(lambda: world.rows(ended)[0]["n"] == runs, "all have ended", 120)
    world.delivered()
    attack.stop_in_time()
    found = {run["id"]: run["outcome"] for run in world.rows("SELECT id, outcome FROM runs")}
    outcomes = Counter(found.values())
    most, begun = _most_at_once(marks.read_text().splitlines())
    attack.fault(most <= parallel, f"{most} at once with max_parallel: {parallel}")
    attack.fault(most >= parallel - 1 or stop, f"only {most} at once with max_parallel: {parallel}")
    attack.fault(max(begun.values()) == 1, "an attempt was executed twice")
    never = [outcome for run, outcome in found.items() if run not in begun]  # a stop may end one before its first word
    attack.fault(set(never) <= ({"abandoned"} if stop else set()), f"not executed, and yet ended as {Counter(never)}")
    attack.fault(outcomes["success"] + outcomes["abandoned"] == runs, f"they ended as {outcomes}")
    attack.fault(outcomes["abandoned"] <= (parallel if stop else 0), f"they ended as {outcomes}")
    attack.nothing_left("after all of them")
    attack.told_once(names)
    how = f", stopped in the middle ({outcomes['abandoned']} abandoned)" if stop else ""
    attack.figures.append(f"{runs} at once, at most {most} side by side{how}")
    return attack


def _most_at_once(lines: list[str]) -> tuple[int, Counter[str]]:
    """How many went on at one time, and how often each began. What was abandoned never told of its end."""
    begun, going, most = Counter[str](), set[str](), 0
    ends = {line.split()[1] for line in lines if line.startswith("ended")}
    for line in lines:
        word, run = line.split()
        if word == "begun":
            begun[run] += 1
            going |= {run} & ends
        else:
            going.discard(run)
        most = max(most, len(going))
    return most, begun


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _holds(process: Path, marker: bytes) -> bool:
    with contextlib.suppress(OSError):
        alive = (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        return alive and marker in (process / "environ").read_bytes()
    return False


def _command(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    return ""


Scene = Callable[[World], Attack]


def scenes(children: tuple[Child, ...], runs: int) -> dict[str, tuple[int, Scene]]:
    """By name: `max_parallel`, and what is done."""
    at_once = max(2, runs // 10)
    return {
        "timeouts": (40, lambda world: ends_by_timeout(world, children)),
        "stop": (40, lambda world: is_told_to_stop(world, children)),
        "kill": (40, lambda world: is_killed(world, children)),
        "at-once": (at_once, lambda world: all_at_once(world, runs, at_once, stop=False)),
        "at-once-stop": (at_once, lambda world: all_at_once(world, runs, at_once, stop=True)),
    }


def play(folder: Path, parallel: int, scene: Scene) -> Attack:
    """One scene in a vault of its own."""
    folder.mkdir(parents=True)
    world = World(folder, SETTINGS.format(parallel=parallel))
    try:
        return scene(world)
    except AssertionError as error:
        return Attack(world, faults=[f"{folder.name}: {error}"])
    finally:
        (world.outside / "stop").touch()
        if world.daemon is not None and world.daemon.poll() is None:
            world.kill()


def main() -> int:
    """All scenes, one after the other."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=200, help="due at once; a tenth of them side by side")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", help="the name of one scene")
    arguments.add_argument("--keep", type=Path, help="a new folder for the vaults, which is kept")
    given = arguments.parse_args()
    attacks = []
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(given.rounds):
            for name, (parallel, scene) in scenes(CHILDREN, given.runs).items():
                if given.only in (None, name):
                    attacks.append(play((given.keep or Path(temporary)) / f"{name}-{number}", parallel, scene))
    found = [fault for attack in attacks for fault in attack.faults]
    for fault in found[:50]:
        print("fault:", fault)
    print(f"processes: {'; '.join(part for attack in attacks for part in attack.figures)}; faults: {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
