"""Who executes attempts: the Engine protocol, and the one that runs them as child processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from vault_scheduler.clock import Clock
from vault_scheduler.executors.base import (
    CannotStart,
    Ended,
    Executor,
    Launch,
    MachineEnvironment,
    RunRequest,
    StreamMasker,
    failure,
    run_environment,
)
from vault_scheduler.executors.capture import EDGE, OUTPUT_CAP
from vault_scheduler.executors.evidence import weighed
from vault_scheduler.executors.gate import GATE_EDGE, GATE_OUTPUT, gate_launch, of_gate, refusal
from vault_scheduler.executors.handed import GATE_FILE, GATE_VARIABLE, hand_over
from vault_scheduler.executors.leavings import (
    keep_gate_output,
    keep_transcript,
    masked_result,
    output_path,
    with_result,
)
from vault_scheduler.executors.process import GRACE_S, PIPE_GRACE_S, StopOrder, end_orphan, run_process
from vault_scheduler.executors.readiness import NotLaunched, Readiness, Ready
from vault_scheduler.executors.spawning import Spawning, spawning
from vault_scheduler.planning.early import EVE
from vault_scheduler.platform.containment import Household, Mark, become_subreaper
from vault_scheduler.run import Result
from vault_scheduler.text.harmless import clean

STOPPING = "the scheduler stopped during it"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """An attempt's process is there; boot id and start ticks tell it from a later one of the same pid.

    Posted once more when the gate has let it pass: the process is another one from then on.
    """

    run: str
    number: int
    pid: int
    start_ticks: int
    boot_id: str
    at: datetime  # UTC
    is_gate: bool = False  # it is the gate's: the attempt has not come to its work yet


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """An attempt is over, and nothing of it is left. Posted exactly once for every submitted attempt."""

    run: str
    number: int
    result: Result
    at: datetime  # UTC


EngineEvent = AttemptStarted | AttemptEnded


class Engine(Protocol):
    """Executes attempts and posts what happens to them. Requests are plain data, so it may live elsewhere."""

    async def prepare(self, request: RunRequest) -> None:
        """This attempt may be submitted in a moment, or never: what can be done for it before its start may be."""
        ...

    async def submit(self, request: RunRequest) -> None:
        """Take an attempt over. Its outcome is always posted, whatever happens."""
        ...

    async def cancel(self, run: str, why: str) -> None:
        """End a run's attempt; its `AttemptEnded` says `cancelled` and why. Nothing if it is not running."""
        ...

    async def shutdown(self, grace: float) -> None:
        """End all attempts (`grace`: seconds from TERM to KILL); returns when all outcomes are posted."""
        ...

    async def end_orphan(
        self, run: str, pid: int | None, start_ticks: int | None, boot_id: str | None, grace: float
    ) -> bool:
        """End what a daemon that died left of an attempt; whether something was found alive."""
        ...


START_S = 0.005  # a start that was prepared is waited for so long: with nothing else to do it takes a fifth of that


@dataclass(slots=True)
class _Attempt:
    request: RunRequest
    stop: StopOrder
    began: bool = False  # its own process was started, not only its gate's
    ready: Ready | None = None
    starting: Spawning | None = None  # its own process, begun to be started with the submission
    task: asyncio.Task[None] | None = None

    def leave_nothing(self) -> None:
        """A task that ended before its first step, with the event loop, has not looked after its process."""
        if self.starting is not None and not self.starting.is_taken:
            self.starting.abandon()


class _Stopped(Exception):
    """The attempt was told to end before its process was started."""


def _never_ran(stop: StopOrder) -> Ended:
    return Ended(signal="TERM", cancelled=stop.why, abandoned=stop.abandoned, timed_out=stop.why is None)


class LocalEngine:
    """Runs every attempt as a child process of this one.

    `masker` makes a fresh masker that knows the machine's secrets. `post` is called on the event loop. Full
    outputs go below `runs_folder`, everything else there is removed when the attempt has ended. Times in seconds.
    """

    def __init__(
        self,
        *,
        executors: Mapping[str, Executor],
        clock: Clock,
        masker: Callable[[], StreamMasker],
        machine: MachineEnvironment,
        runs_folder: Path,
        post: Callable[[EngineEvent], None],
        grace_s: float = GRACE_S,
        pipe_grace_s: float = PIPE_GRACE_S,
        output_cap: int = OUTPUT_CAP,
    ) -> None:
        self._clock = clock
        self._masker = masker
        self._machine = machine
        self._runs_folder = runs_folder
        self._post = post
        self._grace_s = grace_s
        self._pipe_grace_s = pipe_grace_s
        self._output_cap = output_cap
        self._attempts: dict[str, _Attempt] = {}
        self._readiness = Readiness(executors, machine, clock, self._folder)
        self._household = Household()
        self._closing = False
        become_subreaper()

    @property
    def running(self) -> frozenset[str]:
        """The runs with an attempt under way."""
        return frozenset(self._attempts)

    async def prepare(self, request: RunRequest) -> None:
        """Get an attempt ready that may be submitted in a moment; what is submitted then counts, and not this."""
        await self._readiness.prepare(request)

    async def submit(self, request: RunRequest) -> None:
        """Start an attempt. Raises ValueError if the run has one under way: that would be a second execution."""
        if request.run in self._attempts:
            raise ValueError(f"{request.run} is running already")
        self._await_fire_time(request)
        attempt = _Attempt(request, StopOrder())
        if self._closing:
            attempt.stop.give(STOPPING, abandoned=True)
        self._attempts[request.run] = attempt
        attempt.ready = self._readiness.take(request)
        if not self._closing and request.gate is None and request.timeout_s > 0:
            with contextlib.suppress(CannotStart, OSError):  # its own task tries once more, and tells
                attempt.starting = self._starting(attempt, request)
            if attempt.starting is not None and attempt.ready is not None:
                attempt.starting.wait(START_S)
        attempt.task = asyncio.create_task(self._run(attempt), name=f"attempt {request.run}")
        attempt.task.add_done_callback(lambda _: attempt.leave_nothing())

    def _await_fire_time(self, request: RunRequest) -> None:
        """A start may be ordered at the eve of its fire time; everything else waits those milliseconds, too."""
        ahead = datetime.fromisoformat(request.fire_time) - self._clock.now()
        if timedelta(0) < ahead <= EVE:
            self._clock.hold(ahead.total_seconds())

    async def cancel(self, run: str, why: str) -> None:
        """End a run's attempt, in the background."""
        attempt = self._attempts.get(run)
        if attempt is not None:
            attempt.stop.give(why)

    async def shutdown(self, grace: float) -> None:
        """End all attempts; what is submitted later ends at once."""
        self._closing = True
        for attempt in self._attempts.values():
            attempt.stop.give(STOPPING, abandoned=True, grace_s=grace)
        tasks = [attempt.task for attempt in self._attempts.values() if attempt.task is not None]
        await asyncio.gather(*tasks)

    async def end_orphan(
        self, run: str, pid: int | None, start_ticks: int | None, boot_id: str | None, grace: float
    ) -> bool:
        """End what a daemon that died left of an attempt, unless it is one of ours."""
        if run in self._attempts:
            return False
        return await end_orphan(self._mark(run), pid, start_ticks, boot_id, grace, self._household)

    async def _run(self, attempt: _Attempt) -> None:
        """One attempt from its request to its posted outcome."""
        request = attempt.request
        try:
            result = await self._outcome(attempt)
        except Exception as error:
            log.exception("%s: the attempt could not be carried out", request.run)
            result = failure(f"internal error: {type(error).__name__}")
        finally:
            # Also while the event loop is torn down: nobody may wait for a run that is not there.
            self._attempts.pop(request.run, None)
        if not attempt.began and request.max_usd is not None:
            result = replace(result, cost_usd=0.0)  # else it would be charged as one that died without a word
        self._post(AttemptEnded(run=request.run, number=request.attempt, result=result, at=self._clock.now()))

    async def _outcome(self, attempt: _Attempt) -> Result:
        request = attempt.request
        masker = self._masker()
        folder = self._folder(request)
        try:
            result = await self._result(attempt, folder, masker)
        except NotLaunched as found:
            result = found.result
        except CannotStart as error:
            result = failure(error.reason, retryable=error.retryable)
        except OSError as error:
            result = failure(f"cannot run it: {error}")
        finally:
            if folder.exists():
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return masked_result(result, masker)

    def _folder(self, request: RunRequest) -> Path:
        return self._runs_folder / request.run / f"attempt-{request.attempt}"

    async def _result(self, attempt: _Attempt, folder: Path, masker: StreamMasker) -> Result:
        request, stop = attempt.request, attempt.stop
        passed, gate = request, {}  # with what the gate adds to it
        if request.gate is not None and stop.why is None:
            answer = await self._past_gate(attempt, folder)
            if isinstance(answer, Result):
                return answer
            passed, gate = answer, {GATE_VARIABLE: str(folder / GATE_FILE)}
        output = output_path(self._runs_folder, request.run, request.attempt)
        if attempt.starting is None and (stop.why is not None or passed.timeout_s <= 0):
            attempt.ready = attempt.ready or await asyncio.to_thread(self._readiness.make, request, passed, gate)
            ended = _never_ran(stop)
        else:
            attempt.starting = attempt.starting or self._starting(attempt, passed, gate)
            try:
                ended = await self._execute(attempt, attempt.starting, masker, output, passed.timeout_s)
            except _Stopped:
                ended = _never_ran(stop)
        assert attempt.ready is not None, "what has ended was ready"
        if attempt.ready.ends_in_files:
            return await asyncio.to_thread(self._interpreted, attempt.ready, ended, folder, masker, output)
        return self._interpreted(attempt.ready, ended, folder, masker, output)

    def _starting(self, attempt: _Attempt, passed: RunRequest, gate: Mapping[str, str] | None = None) -> Spawning:
        """Begin to start its own process; what it takes is made in the thread that does it, if it is not ready."""

        def make() -> tuple[Launch, Mapping[str, str]]:
            attempt.ready = ready = attempt.ready or self._readiness.make(attempt.request, passed, gate)
            if attempt.stop.why is not None:
                raise _Stopped
            return ready.launch, ready.env

        return spawning(make, self._mark(attempt.request.run), self._household)

    def _interpreted(self, ready: Ready, ended: Ended, folder: Path, masker: StreamMasker, output: Path) -> Result:
        """What the ended process means. Blocks if it `ends_in_files`."""
        result = ready.executor.interpret(ready.request, with_result(ended, ready.launch, folder, masker))
        if ended.lost:
            result = replace(result, remarks=(*result.remarks, f"the full output could not be kept: {ended.lost}"))
        keep_transcript(ready.launch.transcript(result), self._masker(), output)
        return weighed(result, ready.request, ready.before, output)

    async def _past_gate(self, attempt: _Attempt, folder: Path) -> RunRequest | Result:
        """The request once its gate has let it pass, with what that printed and the time that it left; else the end."""
        request, began = attempt.request, self._clock.monotonic()
        env = {**run_environment(request, self._machine), **await asyncio.to_thread(hand_over, request, folder)}
        launch = await asyncio.to_thread(gate_launch, request, self._machine)
        masker, said = self._masker(), folder / GATE_FILE
        starting = spawning(lambda: (launch, env), self._mark(request.run), self._household)
        try:
            ended = await self._execute(attempt, starting, masker, said, request.timeout_s, is_gate=True)
        except CannotStart as error:
            raise of_gate(error) from error
        refused = refusal(request, ended)
        if refused is not None:
            output = output_path(self._runs_folder, request.run, request.attempt)
            await asyncio.to_thread(keep_gate_output, said, output, refused)
            return refused
        await asyncio.to_thread(said.touch, 0o600)
        facts = {**request.facts, GATE_OUTPUT: masker.mask_text(clean(ended.text))}
        left = request.timeout_s - (self._clock.monotonic() - began)
        return replace(request, facts=facts, timeout_s=left)

    async def _execute(
        self,
        attempt: _Attempt,
        starting: Spawning,
        masker: StreamMasker,
        output: Path,
        timeout_s: float,
        *,
        is_gate: bool = False,
    ) -> Ended:
        def started(pid: int, ticks: int, boot: str) -> None:
            attempt.began = not is_gate
            self._post_started(attempt.request, pid, ticks, boot, is_gate=is_gate)

        return await run_process(
            starting,
            output_path=output,
            masker=masker,
            timeout_s=timeout_s,
            clock=self._clock,
            stop=attempt.stop,
            on_started=started,
            grace_s=self._grace_s,
            pipe_grace_s=self._pipe_grace_s,
            output_cap=self._output_cap,
            edge=GATE_EDGE if is_gate else EDGE,
        )

    def _mark(self, run: str) -> Mark:
        return Mark(run, str(self._runs_folder))

    def _post_started(self, request: RunRequest, pid: int, ticks: int, boot: str, *, is_gate: bool) -> None:
        self._post(
            AttemptStarted(
                run=request.run,
                number=request.attempt,
                pid=pid,
                start_ticks=ticks,
                boot_id=boot,
                at=self._clock.now(),
                is_gate=is_gate,
            )
        )
