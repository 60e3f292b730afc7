"""Starting processes: in threads that wait for it, because a slow disk can hold up an exec."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue

from vault_scheduler.executors.base import CannotStart, Launch
from vault_scheduler.platform import containment
from vault_scheduler.platform.containment import Household, Mark, Tree

_LAST_LOOKS = 200
_LEFT_ALONE_S = 5.0  # a start that takes longer is not waited for any more when the event loop is torn down
_IDLE_HANDS = 8

Popen = subprocess.Popen[bytes]
Work = Callable[[], Popen]


class _Hands:
    """Threads that start processes; some of them wait for the next one. Daemons: a hung exec holds up no exit."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[tuple[Work, Future[Popen]]]] = []

    def do(self, work: Work) -> Future[Popen]:
        """Have it done at once."""
        future: Future[Popen] = Future()
        future.set_running_or_notify_cancel()  # from here on nobody can cancel it: a process may be there already
        try:
            self._idle.pop().put((work, future))
        except IndexError:
            queue: SimpleQueue[tuple[Work, Future[Popen]]] = SimpleQueue()
            queue.put((work, future))
            threading.Thread(target=self._serve, args=(queue,), name="spawn", daemon=True).start()
        return future

    def _serve(self, queue: SimpleQueue[tuple[Work, Future[Popen]]]) -> None:
        while True:
            work, future = queue.get()
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            del work, future
            if len(self._idle) >= _IDLE_HANDS:
                return
            self._idle.append(queue)


_HANDS = _Hands()


@dataclass(slots=True)
class Spawning:
    """A process that is being started, and the pipe that its output comes through."""

    future: Future[Popen]
    read_end: int
    write_end: int
    mark: Mark
    household: Household
    is_taken: bool = False  # somebody looks after it

    def wait(self, seconds: float) -> None:
        """Wait for it, holding up everything else, at most so long."""
        with contextlib.suppress(TimeoutError):
            self.future.exception(timeout=seconds)

    async def leader(self) -> tuple[Popen, int]:
        """The process and its start ticks, once it is there: whoever asks looks after it. Raises CannotStart."""
        self.is_taken = True
        try:
            popen = self.future.result() if self.future.done() else await self._awaited()
            ticks = containment.start_ticks(popen.pid) or 0
            self.household.leaders[popen.pid] = ticks
        except BaseException:
            os.close(self.read_end)
            raise
        finally:
            self.household.spawning -= 1
            os.close(self.write_end)
        return popen, ticks

    async def _awaited(self) -> Popen:
        try:
            return await asyncio.wrap_future(self.future)
        except asyncio.CancelledError:
            self._end_now()
            raise

    def abandon(self) -> None:
        """Nobody will ever look after it: end it, with its pipe."""
        self._end_now()
        self.household.spawning -= 1
        os.close(self.read_end)
        os.close(self.write_end)

    def _end_now(self) -> None:
        """A process that nobody waits for must not stay."""
        with contextlib.suppress(Exception):  # there is none, or it takes too long
            popen = self.future.result(timeout=_LEFT_ALONE_S)
            kill_now(popen, Tree(self.mark, (popen.pid, containment.start_ticks(popen.pid) or 0)))


def spawning(make: Callable[[], tuple[Launch, Mapping[str, str]]], mark: Mark, household: Household) -> Spawning:
    """Begin to start what `make` gives (called in the thread that does it): the process and its environment.

    Raises OSError where no file can be opened, CannotStart where no thread can be had; then nothing was begun.
    """
    read_end, write_end = os.pipe()

    def work() -> Popen:
        launch, env = make()
        return _spawn(launch, {**env, **mark.environment()}, write_end)

    try:
        future = _HANDS.do(work)
    except RuntimeError as error:
        os.close(read_end)
        os.close(write_end)
        raise CannotStart(f"cannot start it: {error}") from error
    household.spawning += 1
    return Spawning(future, read_end, write_end, mark, household)


def kill_now(popen: Popen, tree: Tree) -> None:
    """KILL and reap without giving the event loop a turn: it is being torn down."""
    for _ in range(_LAST_LOOKS):
        if not tree.signal(signal.SIGKILL):
            break
    with contextlib.suppress(subprocess.TimeoutExpired):
        popen.wait(1.0)


def _spawn(launch: Launch, env: Mapping[str, str], output: int) -> Popen:
    try:
        return subprocess.Popen(
            launch.argv,
            cwd=launch.cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except OSError as error:
        where = "" if error.filename in (None, launch.argv[0]) else f": {error.filename}"  # the working folder
        raise CannotStart(f"cannot start {launch.argv[0]}: {error.strerror}{where}") from error
    except ValueError as error:  # a NUL in an argument, an impossible name in the environment
        raise CannotStart(f"cannot start {launch.argv[0]}: {error}", retryable=False) from error
