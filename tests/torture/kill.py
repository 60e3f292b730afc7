"""kill -9 of the real daemon at every state change and at random: `python -m tests.torture.kill [--kills N]`.

The daemon serves a vault with tasks of every kind that fire each second or two. It is killed the moment that the
ledger (read without disturbing anybody) shows a certain state, or after a random time, also while it starts, and is
restarted at once. What its person writes meanwhile, and what commands ask for, has to survive as well.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
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
from tests.torture.kill_findings import Ledger, faults
from tests.torture.kill_vault import KINDS, build

KILLS = 320
PATIENCE_S = 6.0  # so long a state is waited for
_WAITING = "SELECT 1 FROM runs WHERE state = 'waiting' AND waiting_for = '{}'"
_PENDING = "SELECT 1 FROM deliveries WHERE done_at IS NULL AND target = '{}'"
_DELIVERED = "SELECT max(done_at) FROM deliveries WHERE target = '{}'"

STATES = {
    "claimed": "SELECT 1 FROM runs WHERE state = 'claimed'",
    "waiting for a slot": _WAITING.format("slot"),
    "waiting for its group": _WAITING.format("group"),
    "waiting for the run before": _WAITING.format("overlap"),
    "waiting for a retry": _WAITING.format("retry"),
    "starting": "SELECT 1 FROM runs WHERE state = 'starting'",
    "attempt ended": "SELECT 1 FROM attempts a JOIN runs r ON r.id = a.run AND r.attempts = a.number "
    "WHERE a.state = 'ended' AND r.state IN ('starting', 'running')",
    "not followed": "SELECT 1 FROM unfollowed",
    "note pending": _PENDING.format("note"),
    "daily log pending": _PENDING.format("daily_log"),
    "output pending": _PENDING.format("output"),
    "request open": "SELECT 1 FROM requests WHERE state <> 'answered'",
}
CHANGES = {
    "a claim": "SELECT max(seq) FROM runs",
    "a range that grows": "SELECT sum(count) FROM runs WHERE attempts = 0",
    "a start": "SELECT max(started_at) FROM attempts",
    "a process": "SELECT count(*) FROM attempts WHERE state = 'running'",
    "an attempt's end": "SELECT max(ended_at) FROM attempts",
    "an end": "SELECT max(ended_at) FROM runs",
    "a child": "SELECT max(seq) FROM runs WHERE trigger = 'after'",
    "a batch of changes": "SELECT max(seq) FROM runs WHERE trigger = 'change'",
    "an answer": "SELECT max(answered_at) FROM requests",
    "note delivered": _DELIVERED.format("note"),
    "daily log delivered": _DELIVERED.format("daily_log"),
    "output delivered": _DELIVERED.format("output"),
}
FILES = ("a note is being written", "a log is being written", "an output is being written")
WORDS = ("a note is written", "the log is written", "an output is written")
SHARES = {"at random": 8, "while it starts": 4, "while it stops": 2, "without a daemon": 2, "two at once": 2}
MOMENTS = (*STATES, *(f"after {name}" for name in CHANGES), *FILES, *WORDS, *Counter(SHARES).elements())
LEFT_BEHIND = {
    **{name: sql for name, sql in STATES.items() if name != "request open"},
    "running": "SELECT 1 FROM attempts WHERE state = 'running'",
    "request not answered": "SELECT 1 FROM requests WHERE state <> 'answered'",
}


@dataclass
class Siege:
    """One vault whose daemon is killed again and again."""

    world: World
    random: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    left_behind: Counter[str] = field(default_factory=Counter)  # states that a dead daemon's ledger shows
    missed: int = 0  # states that did not come in time: killed all the same
    ticks: int = 0
    watched: int = 0  # so often daemons have said that they watch
    orphans: int = 0
    edits: int = 0
    faults: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)  # run id → key, of runs seen under way
    expected: dict[str, str] = field(default_factory=dict)
    requests: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.expected = {kind.name: (self.world.tasks / f"{kind.name}.md").read_text() for kind in KINDS}

    def round(self, moment: str) -> None:
        """Start the daemon, let it live for a while, kill it at that moment; and what a person does meanwhile."""
        left = self._marked()
        if moment == "without a daemon":
            self._ask("run", self.random.choice(("two", "stays", "flees", "python")))
            time.sleep(self.random.uniform(0.2, 2.5))
        else:
            self._serve(moment, left)
        self._after_death(moment)

    def _serve(self, moment: str, left: set[tuple[int, str]]) -> None:
        daemon = self._two_at_once() if moment == "two at once" else self.world.start(wait=False)
        if moment == "while it starts":
            time.sleep(self.random.uniform(0.05, 1.2))
            self.world.kill()
            self.watched = self.world.told().count("  watching  ")
            return
        self._watching(daemon)
        self._look_for_orphans(left)
        self._meanwhile()
        time.sleep(self.random.expovariate(1 / 0.6))
        self._wait_for(moment)
        if moment == "while it stops":
            daemon.send_signal(signal.SIGTERM)
            time.sleep(self.random.uniform(0, 0.5))
        self.world.kill()

    def _two_at_once(self) -> subprocess.Popen[bytes]:
        """Of two daemons that start in one moment one serves the vault, and the other one says so and ends."""
        both = [self.world.start(wait=False), self.world.start(wait=False)]
        wait_until(lambda: [daemon for daemon in both if daemon.poll() is not None], "one of two daemons ends", 40)
        codes = [daemon.poll() for daemon in both]
        self.faults += (
            [f"two daemons at once: they ended with {codes}"] if sorted(map(str, codes)) != ["2", "None"] else []
        )
        self.world.daemon = next((daemon for daemon in both if daemon.poll() is None), both[0])
        return self.world.daemon

    def _after_death(self, moment: str) -> None:
        """Sometimes all that it had started dies with it, as when a machine runs out of memory."""
        self.kills[moment] += 1
        for child in self.requests:
            child.kill()
            child.wait()
        self.requests.clear()
        if self.random.random() < 0.2:
            for pid, _ in self._marked():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._remember()
        self._edit()

    def _watching(self, daemon: subprocess.Popen[bytes]) -> None:
        def watches() -> bool:
            return daemon.poll() is not None or self.world.told().count("  watching  ") > self.watched

        wait_until(watches, "the daemon watches", 40)
        if daemon.poll() is not None:
            raise AssertionError(f"the daemon ended by itself: {self.world.told()[-2000:]}")
        self.watched = self.world.told().count("  watching  ")

    def _look_for_orphans(self, left: set[tuple[int, str]]) -> None:
        """When the daemon watches, nothing that its former one started lives any more."""
        self.orphans += len(left)
        self.faults += [f"an orphan lives on: {pid} {_command(pid)}" for pid, start in left & self._marked_now(left)]

    def _marked_now(self, left: set[tuple[int, str]]) -> set[tuple[int, str]]:
        return {(pid, start) for pid, start in left if _started(pid) == start}

    def _marked(self) -> set[tuple[int, str]]:
        """Living processes of runs of this vault: pid and start ticks."""
        marker = f"VAULT_SCHED_STATE={self.world.folder}".encode()
        found = set()
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with contextlib.suppress(OSError):
                    if marker in (process / "environ").read_bytes() and (start := _started(int(process.name))):
                        found.add((int(process.name), start))
        return found

    def _meanwhile(self) -> None:
        """Files change, commands ask."""
        if self.random.random() < 0.5:
            (self.world.vault / "Inbox" / f"{self.random.randrange(20)}.txt").write_text(str(self.random.random()))
        if self.random.random() < 0.3:
            self._ask("run", self.random.choice(("two", "fails-once", "group-a", "python")))
        if self.random.random() < 0.3:
            self._ask("cancel", self.random.choice(("stays", "stays", "cancels", "flees")))

    def _ask(self, verb: str, task: str) -> None:
        """A command that is given up by its person a little later, at the latest with the daemon."""
        command = [sys.executable, "-m", "vault_scheduler", verb, task, "--vault", str(self.world.vault)]
        quiet = subprocess.DEVNULL
        child = subprocess.Popen(command, env=self.world.env, cwd=self.world.folder, stdout=quiet, stderr=quiet)
        self.requests.append(child)

    def _wait_for(self, moment: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        with self._moment(moment) as has_come:
            while not has_come():
                if time.monotonic() > deadline:
                    self.missed += 1
                    return

    @contextlib.contextmanager
    def _moment(self, moment: str) -> Iterator[Callable[[], object]]:
        folders = {"note": self.world.tasks, "log": self.world.logs, "output": self.world.vault / "Out"}
        folder = next((path for name, path in folders.items() if name in moment), self.world.tasks)
        if moment in FILES:
            before = _temps(folder)
            yield lambda: _temps(folder) - before
        elif moment in WORDS:
            known = _stamps(folder)
            yield lambda: any(stamp != known.get(name) for name, stamp in _stamps(folder).items())
        elif moment in STATES or moment.startswith("after "):
            with contextlib.closing(self._ledger()) as db:
                sql = STATES.get(moment) or CHANGES[moment.removeprefix("after ")]
                first = None if moment in STATES else db.execute(sql).fetchone()
                yield lambda: db.execute(sql).fetchone() not in (None, first)
        else:
            until = time.monotonic() + self.random.uniform(0, 2)
            yield lambda: time.monotonic() > until

    def _ledger(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.world.state / 'ledger.db'}?mode=ro", uri=True, timeout=10)

    def _remember(self) -> None:
        """Runs that the ledger says are under way: whatever becomes of them, they cannot be forgotten."""
        for run in self.world.rows("SELECT id, key FROM runs WHERE attempts > 0 AND state <> 'ended'"):
            self.told[run["id"]] = run["key"]
        for state, sql in LEFT_BEHIND.items():
            self.left_behind[state] += bool(self.world.rows(sql))
        self.left_behind["written, not marked"] += self._has_unmarked()
        self.left_behind["temp file"] += bool(list(self.world.vault.rglob(".vault-sched.*")))

    def _has_unmarked(self) -> bool:
        """Whether something is delivered and the ledger does not know."""
        log = self.world.log_text()
        pending = "SELECT r.id, r.task, d.target FROM deliveries d JOIN runs r ON r.id = d.run WHERE d.done_at IS NULL"
        for row in self.world.rows(pending):
            note = self.world.tasks / f"{row['task']}.md"
            text = log if row["target"] == "daily_log" else note.read_text() if row["target"] == "note" else ""
            if f"^{row['id']}\n" in text:
                return True
        return False

    def _edit(self) -> None:
        """While no daemon is there, a person edits a note: writes a line, or ticks `run_now`."""
        name = self.random.choice([kind.name for kind in KINDS])
        if self.random.random() < 0.3:
            self.edits += 1
            line = f"Edit {self.edits} of the person.\n"
            self.expected[name] = self.expected[name].replace("\n## Runs\n", f"{line}\n## Runs\n")
            self._rewrite(name, lambda note: note.replace("\n## Runs\n", f"{line}\n## Runs\n"))
        if self.random.random() < 0.2:
            self.ticks += "run_now: false" in (self.world.tasks / f"{name}.md").read_text()
            self._rewrite(name, lambda note: note.replace("run_now: false", "run_now: true"))

    def _rewrite(self, name: str, change: Callable[[str], str]) -> None:
        path = self.world.tasks / f"{name}.md"
        path.write_bytes(change(path.read_bytes().decode()).encode())

    def end(self) -> None:
        """Pause what the clock makes due, let the daemon bring everything to its end, and look at it."""
        for kind in KINDS:
            if not kind.parents and kind.name != "gives-up":
                self._rewrite(kind.name, lambda note: note.replace("status: active", "status: paused"))
        left = self._marked()
        self._watching(self.world.start(wait=False))
        self._look_for_orphans(left)
        open_ = (
            "SELECT 1 FROM runs WHERE state <> 'ended' UNION SELECT 1 FROM deliveries WHERE done_at IS NULL "
            "UNION SELECT 1 FROM unfollowed UNION SELECT 1 FROM requests WHERE state <> 'answered'"
        )
        wait_until(lambda: not self.world.rows(open_) and self._is_unticked(), "everything has come to its end", 150)
        code = self.world.stop(signal.SIGTERM)
        self.faults += [f"the daemon ended with {code}"] if code else []
        self.faults += [f"a process is left: {pid} {_command(pid)}" for pid, _ in self._marked()]
        self.faults += faults(self.world, self.told, self.expected)
        asked = self.world.rows("SELECT 1 FROM runs WHERE key LIKE task || '|req|run_now%'")
        if "status: paused" not in (self.world.tasks / "gives-up.md").read_text():
            self.faults.append("the note of the task that failed too often does not say that it is paused")
        self.faults += [f"{len(asked)} runs of {self.ticks} ticks of run_now"] if len(asked) != self.ticks else []

    def _is_unticked(self) -> bool:
        return not any("run_now: true" in path.read_text() for path in self.world.tasks.glob("*.md"))


def _temps(folder: Path) -> set[Path]:
    return set(folder.glob(".vault-sched.*")) if folder.is_dir() else set()


def _stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    found = {}
    for path in folder.glob("*.md") if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            stat = path.stat()
            found[path] = (stat.st_mtime_ns, stat.st_ino)
    return found


def _started(pid: int) -> str:
    """Start ticks; "" for what does not live."""
    with contextlib.suppress(OSError):
        columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if columns[0] in "ZX" else columns[19]
    return ""


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    return ""


def besiege(folder: Path, kills: int, seed: int, seconds: float = float("inf")) -> Siege:
    """Kill a daemon so many times, but no longer than for so many seconds, and examine what is left."""
    chance = random.Random(seed)
    siege = Siege(build(folder), chance)
    moments = [moment for _ in range(kills // len(MOMENTS) + 1) for moment in chance.sample(MOMENTS, len(MOMENTS))]
    try:
        siege._watching(siege.world.start(wait=False))
        time.sleep(2)
        siege.world.kill()
        deadline = time.monotonic() + seconds
        for moment in moments[:kills]:
            if time.monotonic() < deadline:
                siege.round(moment)
        siege.end()
    except AssertionError as error:
        siege.faults.append(str(error))
    finally:
        if siege.world.daemon is not None and siege.world.daemon.poll() is None:
            siege.world.kill()
    return siege


def figures(sieges: list[Siege]) -> str:
    """What happened, in one line."""
    ledgers = [Ledger.read(siege.world.state / "ledger.db") for siege in sieges]
    runs = [run for ledger in ledgers for run in ledger.runs]
    attempts = [attempt for ledger in ledgers for attempt in ledger.attempts]
    abandoned = [attempt for attempt in attempts if attempt["outcome"] == "abandoned"]
    final = [run for run in runs if run["outcome"] == "abandoned"]
    kills = sum(sum(siege.kills.values()) for siege in sieges)
    states = len(set().union(*(siege.kills for siege in sieges)))
    left = sum((siege.left_behind for siege in sieges), Counter[str]())
    return (
        f"kill -9: {kills} kills at {states} kinds of moments ({sum(s.missed for s in sieges)} did not come), "
        f"left behind: {', '.join(f'{state} {times} ×' for state, times in left.items())}; "
        f"{sum(run['count'] for run in runs)} fire times, {sum(1 for run in runs if run['attempts'])} runs started, "
        f"{len(attempts)} attempts, {len(abandoned)} abandoned ({len(abandoned) - len(final)} retried), "
        f"{sum(s.orphans for s in sieges)} orphans ended, {sum(len(ledger.deliveries) for ledger in ledgers)} "
        f"deliveries, {sum(s.edits for s in sieges)} edits and {sum(s.ticks for s in sieges)} ticks kept; "
        f"faults: {sum(len(s.faults) for s in sieges)}"
    )


def main() -> int:
    """So many kills, shared out among some vaults that are besieged side by side."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=KILLS)
    arguments.add_argument("--minutes", type=float, default=float("inf"), help="no kill after so many minutes")
    arguments.add_argument("--vaults", type=int, default=2)
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments.add_argument("--keep", type=Path, help="a new folder for the vaults, which is kept")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(given.vaults) as pool:
        folder = given.keep or Path(temporary)
        each = -(-given.kills // given.vaults)
        begun = [
            pool.submit(besiege, folder / f"{n}", each, given.seed + n, given.minutes * 60) for n in range(given.vaults)
        ]
        sieges = [future.result() for future in begun]
        found = [fault for siege in sieges for fault in siege.faults]
        for fault in found[:50]:
            print("fault:", fault)
        print(f"{figures(sieges)} (seed {given.seed})")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
