"""Finding and ending whole process trees: sessions, the marker in the environment, the child subreaper.

Linux is read through /proc; other systems through psutil, without the subreaper. A process is known by its pid
and its start ticks: a pid alone may be another process a moment later.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

MARKER = "VAULT_SCHED_RUN"
STATE_MARKER = "VAULT_SCHED_STATE"
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_LINUX = sys.platform.startswith("linux")


@dataclass(frozen=True, slots=True)
class Mark:
    """What every process of an attempt carries in its environment.

    The run id alone is not enough: two vaults on one machine may have a task of the same name at the same time.
    """

    run: str
    state: str  # the folder where the scheduler of this vault keeps its runs

    def environment(self) -> dict[str, str]:
        """The variables."""
        return {MARKER: self.run, STATE_MARKER: self.state}


@dataclass(frozen=True, slots=True)
class Process:
    """One row of the process table."""

    pid: int
    start_ticks: int
    parent: int
    group: int
    session: int
    zombie: bool

    @property
    def identity(self) -> tuple[int, int]:
        """What no other process has until the next boot."""
        return (self.pid, self.start_ticks)


@functools.cache
def boot_id() -> str:
    """Differs after every boot, so that a pid of an earlier boot is never taken for a living process."""
    with contextlib.suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    import psutil

    return f"boot-{int(psutil.boot_time())}"


def become_subreaper() -> bool:
    """Make orphaned descendants children of this process, so that none is lost; False where the OS cannot."""
    if not _LINUX:
        return False
    return int(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0


def start_ticks(pid: int) -> int | None:
    """When the process started, in ticks since boot; None if there is none (a zombie counts)."""
    row = look_up(pid)
    return row.start_ticks if row else None


def is_alive(pid: int, ticks: int) -> bool:
    """Whether this very process still runs."""
    row = look_up(pid)
    return row is not None and row.start_ticks == ticks and not row.zombie


def look_up(pid: int) -> Process | None:
    """The process with this pid."""
    if _LINUX:
        return _from_stat(pid)
    return next((row for row in process_table() if row.pid == pid), None)


def process_table() -> list[Process]:
    """Every process that can be seen."""
    if not _LINUX:
        return list(_from_psutil())
    return [row for row in map(_from_stat, _pids()) if row is not None]


def _pids() -> list[int]:
    names = os.listdir(_PROC)  # noqa: PTH208 (a Path for each process is the dearer half)
    return [int(name) for name in names if name.isdigit()]


def _from_stat(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 (a third faster, read by the hundred)
            stat = file.read(4096)
    except OSError:
        return None
    columns = stat[stat.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        start_ticks=int(columns[19]),
        parent=int(columns[1]),
        group=int(columns[2]),
        session=int(columns[3]),
        zombie=columns[0] in (b"Z", b"X"),
    )


def _listed_children() -> list[Process]:
    """Our children as the kernel lists them: quickly, and without one now and then while others end."""
    own = os.getpid()
    if not Path(f"/proc/{own}/task/{own}/children").exists():
        return [row for row in process_table() if row.parent == own]
    pids: set[int] = set()
    for thread in os.listdir(f"/proc/{own}/task"):  # noqa: PTH208 (as above)
        with contextlib.suppress(OSError):
            pids |= {int(pid) for pid in Path(f"/proc/{own}/task/{thread}/children").read_bytes().split()}
    return [row for row in map(_from_stat, pids) if row is not None and row.parent == own]


def _from_psutil() -> Iterator[Process]:
    import psutil

    for one in psutil.process_iter(["pid", "ppid", "create_time", "status"]):
        with contextlib.suppress(OSError):
            yield Process(
                pid=one.pid,
                start_ticks=int(one.info["create_time"] * 100),
                parent=one.info["ppid"] or 0,
                group=os.getpgid(one.pid),
                session=os.getsid(one.pid),
                zombie=one.info["status"] == psutil.STATUS_ZOMBIE,
            )


def descendants(pids: Collection[int], table: Iterable[Process]) -> list[Process]:
    """Children, grandchildren and so on, by parent pid."""
    children: dict[int, list[Process]] = {}
    for row in table:
        children.setdefault(row.parent, []).append(row)
    found: list[Process] = []
    pending = list(pids)
    while pending:
        for child in children.pop(pending.pop(), ()):
            found.append(child)
            pending.append(child.pid)
    return found


def mark_of(pid: int) -> Mark | None:
    """The mark in the process's environment; None without one, for zombies, and for other users' processes."""
    environment = _environment(pid)
    run = environment.get(MARKER)
    return None if run is None else Mark(run, environment.get(STATE_MARKER, ""))


def inherited() -> dict[str, str]:
    """The environment of the nearest process above this one that carries a mark; empty if none does, and off Linux.

    Whoever takes the mark out of a child's environment (some programs start theirs with a clean one) does not free it.
    """
    pid, seen = os.getppid() if _LINUX else 0, set[int]()
    while pid > 1 and pid not in seen:
        seen.add(pid)
        environment = _environment(pid)
        if MARKER in environment:
            return environment
        row = _from_stat(pid)
        pid = row.parent if row else 0
    return {}


def _environment(pid: int) -> dict[str, str]:
    if not _LINUX:
        return _environment_by_psutil(pid)
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    if MARKER.encode() not in raw:
        return {}
    pairs = (os.fsdecode(item).partition("=") for item in raw.split(b"\0"))
    return {name: value for name, _, value in pairs}


def _environment_by_psutil(pid: int) -> dict[str, str]:
    import psutil

    try:
        return psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return {}


def marked_processes(mark: Mark, table: Iterable[Process] | None = None) -> list[Process]:
    """Living processes with this mark, without ourselves and our ancestors."""
    rows = list(process_table() if table is None else table)
    spared = _own_line(rows)
    alive = (row for row in rows if not row.zombie and row.pid not in spared)
    return [row for row in alive if mark_of(row.pid) == mark]


def _own_line(table: Iterable[Process]) -> set[int]:
    """This process and its ancestors: a scheduler that was itself started inside a run must not end itself."""
    parents = {row.pid: row.parent for row in table}
    line: set[int] = set()
    pid = os.getpid()
    while pid and pid not in line:
        line.add(pid)
        pid = parents.get(pid, 0)
    return line


def signal_group(group: int, number: signal.Signals | int) -> bool:
    """Signal a process group; False if it is gone (or, on macOS, only zombies are left of it)."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def signal_process(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process, not a later one of the same pid."""
    if start_ticks(process.pid) == process.start_ticks:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)


@dataclass(slots=True)
class Household:
    """The children of this process: the leaders of running attempts, and what the subreaper was handed.

    Adopted processes are told from our own by their session: a leader opens a session of its own, so everything
    below it is never in ours. Only the event loop's thread may call it.
    """

    leaders: dict[int, int] = field(default_factory=dict)  # pid -> start ticks
    spawning: int = 0  # a child of ours may be there that is not in `leaders` yet

    def adopted(self) -> list[Process]:
        """Children that were not started by this process but by a run, zombies included."""
        return self._adopted([row for row in process_table() if row.parent == os.getpid()])

    def _adopted(self, children: list[Process]) -> list[Process]:
        own_session = os.getsid(0)
        return [row for row in children if row.session not in (own_session, 0) and row.pid not in self.leaders]

    def reap(self) -> int:
        """Reap adopted children that have ended, one by one; how many.

        `waitpid(-1)` would steal the exit status of everybody else's children. Nothing is reaped while a start
        is under way: the new leader may already be a zombie that nobody knows yet. Nor while a leader waits to be
        reaped, who may be all that has ended: who reaps it asks again.
        """
        if self.spawning or _ended_child() in (None, *self.leaders):
            return 0
        ended = [row for row in self._adopted(_listed_children()) if row.zombie]
        for row in ended:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(row.pid, os.WNOHANG)
        return len(ended)

    def strays(self, leader: int, since_ticks: int) -> list[Process]:
        """Adopted processes without a marker that can only be this leader's (`env -i setsid` leaves no other trace).

        While other attempts run, such a process may be theirs: then it is nobody's.
        """
        if self.spawning or not set(self.leaders) <= {leader}:
            return []
        return [row for row in self.adopted() if row.start_ticks >= since_ticks and mark_of(row.pid) is None]


def _ended_child() -> int | None:
    """A child that waits to be reaped (0: nobody can say): one look that takes nothing away, before a long one."""
    if not hasattr(os, "waitid"):
        return 0
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


@dataclass(slots=True)
class Tree:
    """Everything that belongs to one attempt, found again and again while it is being ended.

    Found by group and session of its leader, by descent, by the marker, and by the sessions of what was found
    before: when a parent dies, its children are handed to us and the line of descent is lost.
    """

    mark: Mark
    leader: tuple[int, int] | None  # pid and start ticks; None if it is not known to be ours
    household: Household = field(default_factory=Household)
    seen: dict[tuple[int, int], Process] = field(default_factory=dict)
    _foreign: set[int] = field(default_factory=set)  # pids that `cut` need not judge again

    def members(self) -> list[Process]:
        """Living processes of the attempt."""
        table = process_table()
        spared = _own_line(table)
        for row in self._found(table):
            if row.pid not in spared:
                self.seen[row.identity] = row
        living = {row.identity for row in table if not row.zombie}
        return [row for identity, row in self.seen.items() if identity in living]

    def signal(self, number: signal.Signals) -> list[Process]:
        """Signal every member; who they were."""
        members = self.members()
        for member in members:
            signal_process(member, number)
        return members

    def cut(self) -> bool:
        """KILL what belongs to the attempt, newest first and the moment it is found; whether anything did.

        A chain of processes that each start the next one and end is faster than a look at the whole table.
        """
        if not _LINUX:
            return bool(self.signal(signal.SIGKILL))
        self._foreign |= _own_line(process_table()) if not self._foreign else set()
        pids = sorted(set(_pids()) - self._foreign, reverse=True)
        return bool([pid for pid in pids if self._cut_one(pid)])

    def _cut_one(self, pid: int) -> bool:
        row = _from_stat(pid)
        if row is None or row.zombie:
            return False
        if not (row.session in self._sessions() or row.identity in self.seen or mark_of(pid) == self.mark):
            self._foreign.add(pid)
            return False
        signal_process(row, signal.SIGKILL)
        self.seen[row.identity] = row
        return True

    def _sessions(self) -> set[int]:
        """Only sessions that a member opened: a marked process in somebody's terminal must not end the terminal."""
        opened = {row.session for row in self.seen.values() if row.session == row.pid}
        return opened | {self.leader[0]} if self.leader is not None else opened

    def _found(self, table: list[Process]) -> list[Process]:
        sessions = self._sessions()
        roots = {row.pid for row in table if row.identity in self.seen or row.identity == self.leader}
        by_session = [row for row in table if row.session in sessions or row.pid in roots]
        marked = marked_processes(self.mark, table)
        below = descendants({row.pid for row in (*by_session, *marked)}, table)
        strays = self.household.strays(*self.leader) if self.leader is not None else []
        return [*by_session, *marked, *below, *strays]
