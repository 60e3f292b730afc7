"""The life of one child process: start, watch, pump, end with everything it started (rule 5)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vault_scheduler.clock import Clock
from vault_scheduler.executors.base import Ended, StreamMasker
from vault_scheduler.executors.capture import EDGE, OUTPUT_CAP, Capture, Pump
from vault_scheduler.executors.spawning import Spawning, kill_now
from vault_scheduler.platform import containment
from vault_scheduler.platform.containment import Household, Mark, Tree

GRACE_S = 10.0  # from TERM to KILL
PIPE_GRACE_S = 2.0  # how long the output is read after the leader's exit
_KILL_LIMIT_S = 5.0  # a process that KILL does not end (stuck in the kernel) must not hold up its run's outcome
_CHASE_S = 0.5
_LOOK_S = 0.02
_DEBUGGER_S = 2.0  # strace and debuggers are told first that a run has ended, and only then can we ask how

log = logging.getLogger(__name__)

OnStarted = Callable[[int, int, str], None]  # pid, start ticks, boot id


@dataclass(slots=True)
class StopOrder:
    """Somebody's wish that an attempt ends: given at most once, looked at by `run_process`."""

    attention: asyncio.Event = field(default_factory=asyncio.Event)  # set by the order and by the leader's exit
    why: str | None = None
    abandoned: bool = False
    grace_s: float | None = None

    def grace(self, usual: float) -> float:
        """Seconds from TERM to KILL as of now."""
        return usual if self.grace_s is None else self.grace_s

    def expect_process(self) -> None:
        """A process is about to start: the exit of the attempt's one before (its gate) is no news any more."""
        if self.why is None:
            self.attention.clear()

    def give(self, why: str, *, abandoned: bool = False, grace_s: float | None = None) -> None:
        """Order the end; `grace_s` replaces the usual time from TERM to KILL. A second order may only hurry."""
        if self.why is None:
            self.why, self.abandoned = why, abandoned
        self.grace_s = grace_s if grace_s is not None else self.grace_s
        self.attention.set()


@dataclass(slots=True)
class _Leader:
    """The process that was started. It stays a zombie until `reap`, so that its group's number stays its own."""

    popen: subprocess.Popen[bytes]
    ticks: int
    attention: asyncio.Event
    exited: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self) -> None:
        """Set the events at its exit, by pidfd where there is one, else by a thread of its own."""
        loop = asyncio.get_running_loop()
        try:
            pidfd = os.pidfd_open(self.popen.pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait, args=(loop,), daemon=True).start()
            return
        loop.add_reader(pidfd, self._on_pidfd, pidfd, loop)

    def _on_pidfd(self, pidfd: int, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        self._on_exit()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOWAIT)
        else:
            self.popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            loop.call_soon_threadsafe(self._on_exit)

    def _on_exit(self) -> None:
        self.exited.set()
        self.attention.set()

    def reap(self) -> int | None:
        """The exit status as `subprocess` gives it; None if even KILL has not ended it."""
        return self.popen.poll()


async def run_process(
    starting: Spawning,
    *,
    output_path: Path,
    masker: StreamMasker,
    timeout_s: float,
    clock: Clock,
    stop: StopOrder,
    on_started: OnStarted = lambda pid, ticks, boot: None,
    grace_s: float = GRACE_S,
    pipe_grace_s: float = PIPE_GRACE_S,
    output_cap: int = OUTPUT_CAP,
    edge: int = EDGE,
) -> Ended:
    """Watch a process, in a session of its own, until it ends, is stopped or `timeout_s` seconds awake have passed.

    Nothing of it is left on return, except what left its session before a success. Raises CannotStart.
    """
    capture = Capture(output_path, masker, cap=output_cap, edge=edge)
    stop.expect_process()
    leader, pump = await _start(starting, capture, stop.attention)
    tree = Tree(starting.mark, (leader.popen.pid, leader.ticks), starting.household)
    ended_by_itself = False
    try:
        on_started(leader.popen.pid, leader.ticks, containment.boot_id())
        await clock.wait(stop.attention, timeout_s)
        ended_by_itself = leader.exited.is_set()
        if not ended_by_itself:
            await _end_tree(tree, leader, stop, grace_s)
        await _wait(pump.drained, pipe_grace_s)
        status = await _end_group(leader, tree, stop, grace_s)
    except BaseException:
        capture.finish()
        raise
    finally:
        _leave_nothing(leader, pump, tree)
    if capture.was_fed:
        await asyncio.to_thread(capture.finish)
    return _ended(status, capture, stop, ended_by_itself)


async def _start(starting: Spawning, capture: Capture, attention: asyncio.Event) -> tuple[_Leader, Pump]:
    popen, ticks = await starting.leader()
    leader = _Leader(popen, ticks, attention)
    pump = Pump(starting.read_end, capture)
    leader.watch()
    return leader, pump


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def _end_tree(tree: Tree, leader: _Leader, stop: StopOrder, grace_s: float) -> None:
    """TERM to the group, the grace, KILL to the group, then to what escaped it."""
    group = leader.popen.pid
    tree.members()  # remember the line of descent before it breaks
    containment.signal_group(group, signal.SIGTERM)
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < stop.grace(grace_s):
        if leader.exited.is_set() and not _living_group(tree, group):
            break
        await asyncio.sleep(_LOOK_S)
    tree.members()
    containment.signal_group(group, signal.SIGKILL)
    await _kill_all(tree)


def _living_group(tree: Tree, group: int) -> bool:
    return any(member.group == group for member in tree.members())


async def _kill_all(tree: Tree) -> None:
    """KILL until two looks find nobody: a process can start another one while we look."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    empty_looks = 0
    while empty_looks < 2:
        while tree.cut() and (spent := loop.time() - began) < _KILL_LIMIT_S:
            await asyncio.sleep(0 if spent < _CHASE_S else _LOOK_S)
        members = tree.signal(signal.SIGKILL)
        if members and loop.time() - began > _KILL_LIMIT_S:
            log.error("%s: KILL does not end %s", tree.mark.run, [row.pid for row in members])
            return
        empty_looks = 0 if members else empty_looks + 1


async def _end_group(leader: _Leader, tree: Tree, stop: StopOrder, grace_s: float) -> int | None:
    """End what is left of the leader's group after its exit, and reap the leader."""
    group = leader.popen.pid
    containment.signal_group(group, signal.SIGTERM)
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (status := leader.reap()) is None and loop.time() - began < _DEBUGGER_S:
        await asyncio.sleep(_LOOK_S)
    # With the leader reaped, the group exists only while somebody else is in it: one system call tells.
    while containment.signal_group(group, 0):
        members = [row for row in containment.process_table() if row.group == group and not row.zombie]
        if not members:
            break
        late = loop.time() - began - stop.grace(grace_s)
        if late > 0:
            for member in members:
                containment.signal_process(member, signal.SIGKILL)
        if late > _KILL_LIMIT_S:
            log.error("%s: KILL does not end %s", tree.mark.run, [row.pid for row in members])
            break
        await asyncio.sleep(_LOOK_S)
    return status


def _leave_nothing(leader: _Leader, pump: Pump, tree: Tree) -> None:
    """The last steps, also if the event loop is being torn down around us: then KILL without waiting."""
    if leader.popen.returncode is None and leader.reap() is None:
        kill_now(leader.popen, tree)
    pump.stop()
    tree.household.leaders.pop(leader.popen.pid, None)
    tree.household.reap()


def _ended(status: int | None, capture: Capture, stop: StopOrder, ended_by_itself: bool) -> Ended:
    head, tail = capture.edges()
    killed = status is None or status < 0
    return Ended(
        exit_code=None if killed else status,
        signal=_signal_name(-(status or -signal.SIGKILL)) if killed else None,
        timed_out=not ended_by_itself and stop.why is None,
        cancelled=None if ended_by_itself else stop.why,
        abandoned=not ended_by_itself and stop.abandoned,
        head=head,
        tail=tail,
        total_bytes=capture.total_bytes,
        lost=capture.lost,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


async def end_orphan(
    mark: Mark,
    pid: int | None,
    start_ticks: int | None,
    boot_id: str | None,
    grace_s: float = GRACE_S,
    household: Household | None = None,
) -> bool:
    """End what an attempt of a daemon that died has left; whether anything was found.

    Found by boot id, pid and start ticks, else by the mark in the environment. Nothing outlives a boot.
    """
    if boot_id is not None and boot_id != containment.boot_id():
        return False
    known = pid is not None and start_ticks is not None and containment.start_ticks(pid) == start_ticks
    leader = (pid, start_ticks) if known and pid is not None and start_ticks is not None else None
    tree = Tree(mark, leader, household or Household())
    if not tree.signal(signal.SIGTERM):
        return False
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_s
    while loop.time() < deadline and tree.members():
        await asyncio.sleep(_LOOK_S)
    await _kill_all(tree)
    tree.household.reap()
    return True
