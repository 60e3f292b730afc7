"""Who executes attempts: the Engine protocol, and the one that runs them as child processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from vault_scheduler.clock import Clock
from vault_scheduler.executors.base import (
    CannotStart,
    Ended,
    Executor,
    Launch,
    MachineEnvironment,
    Part,
    RunRequest,
    StreamMasker,
    failure,
    run_environment,
)
from vault_scheduler.executors.capture import EDGE, OUTPUT_CAP
from vault_scheduler.executors.evidence import Before, look_before, weighed
from vault_scheduler.executors.gate import GATE_EDGE, GATE_OUTPUT, gate_launch, of_gate, refusal
from vault_scheduler.executors.handed import GATE_FILE, GATE_VARIABLE, hand_over, write_privately
from vault_scheduler.executors.process import GRACE_S, PIPE_GRACE_S, StopOrder, end_orphan, run_process
from vault_scheduler.executors.spawning import Spawning, spawning
from vault_scheduler.planning.early import EVE
from vault_scheduler.platform.containment import Household, Mark, become_subreaper
from vault_scheduler.platform.exchange import sync_folder
from vault_scheduler.run import Outcome, Result
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


PREPARED_S = 5.0  # what was prepared and not submitted for so long never will be
PREPARED_TYPES = ("command", "python")  # a Claude session takes half a second to start anyway
START_S = 0.005  # a start that was prepared is waited for so long: with nothing else to do it takes a fifth of that
_CHUNK = 1024 * 1024
RESULT_LIMIT = 8 * 1024 * 1024  # bytes of the file that a process leaves its result in


def output_path(runs_folder: Path, run: str, attempt: int) -> Path:
    """Where the full output of an attempt is kept; the file exists only if something was printed."""
    return runs_folder / run / f"output-{attempt}.txt"


def transcript_path(output: Path) -> Path:
    """Where the transcript of an attempt's Claude session is kept, beside its output."""
    return output.with_name(output.name.replace("output-", "transcript-", 1)).with_suffix(".jsonl")


@dataclass(frozen=True, slots=True)
class _Ready:
    """All that an attempt's own process needs, and what its end is interpreted with."""

    request: RunRequest
    executor: Executor
    launch: Launch
    env: Mapping[str, str]
    before: Before


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is being got ready for an attempt, since which second awake, and the folder that it fills."""

    task: asyncio.Task[_Ready | Result]
    at: float
    folder: Path


@dataclass(slots=True)
class _Attempt:
    request: RunRequest
    stop: StopOrder
    began: bool = False  # its own process was started, not only its gate's
    ready: _Ready | None = None
    starting: Spawning | None = None  # its own process, begun to be started with the submission
    task: asyncio.Task[None] | None = None


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
        self._executors = executors
        self._clock = clock
        self._masker = masker
        self._machine = machine
        self._runs_folder = runs_folder
        self._post = post
        self._grace_s = grace_s
        self._pipe_grace_s = pipe_grace_s
        self._output_cap = output_cap
        self._attempts: dict[str, _Attempt] = {}
        self._prepared: dict[str, _Prepared] = {}
        self._household = Household()
        self._closing = False
        become_subreaper()

    @property
    def running(self) -> frozenset[str]:
        """The runs with an attempt under way."""
        return frozenset(self._attempts)

    async def prepare(self, request: RunRequest) -> None:
        """Get an attempt ready that may be submitted in a moment; what is submitted then counts, and not this."""
        await self._drop_prepared()
        if request.gate is None and request.expect_file == "" and request.type in PREPARED_TYPES:
            ready = asyncio.create_task(asyncio.to_thread(self._ready, request, request, self._folder(request)))
            self._prepared[request.run] = _Prepared(ready, self._clock.monotonic(), self._folder(request))

    async def _drop_prepared(self) -> None:
        """What was prepared and not submitted leaves no files behind.

        They are gone before anything else happens: the run may be submitted yet, and has its files in the same place.
        """
        late = self._clock.monotonic() - PREPARED_S
        for run in [run for run, found in self._prepared.items() if found.at < late and found.task.done()]:
            await asyncio.to_thread(shutil.rmtree, self._prepared.pop(run).folder, ignore_errors=True)

    async def submit(self, request: RunRequest) -> None:
        """Start an attempt. Raises ValueError if the run has one under way: that would be a second execution."""
        if request.run in self._attempts:
            raise ValueError(f"{request.run} is running already")
        self._await_fire_time(request)
        attempt = _Attempt(request, StopOrder())
        if self._closing:
            attempt.stop.give(STOPPING, abandoned=True)
        self._attempts[request.run] = attempt
        ready = self._take_prepared(request)
        if ready is not None and not self._closing:
            attempt.ready, attempt.starting = ready, self._starting(request, lambda: ready)
            attempt.starting.wait(START_S)
        attempt.task = asyncio.create_task(self._run(attempt), name=f"attempt {request.run}")

    def _await_fire_time(self, request: RunRequest) -> None:
        """A start may be ordered at the eve of its fire time; everything else waits those milliseconds, too."""
        ahead = datetime.fromisoformat(request.fire_time) - self._clock.now()
        if timedelta(0) < ahead <= EVE:
            self._clock.hold(ahead.total_seconds())

    def _take_prepared(self, request: RunRequest) -> _Ready | None:
        """What was prepared for exactly this request, if it is ready; whatever hindered it is found again."""
        found = self._prepared.pop(request.run, None)
        if found is None or not found.task.done() or found.task.cancelled() or found.task.exception() is not None:
            return None
        ready = found.task.result()
        return ready if isinstance(ready, _Ready) and ready.request == request else None

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
        if attempt.ready is None:
            ready = await asyncio.to_thread(self._ready, request, passed, folder, gate)
            if isinstance(ready, Result):
                return ready
            attempt.ready = ready
        ready, output = attempt.ready, output_path(self._runs_folder, request.run, request.attempt)
        if attempt.starting is None and (stop.why is not None or passed.timeout_s <= 0):
            ended = Ended(signal="TERM", cancelled=stop.why, abandoned=stop.abandoned, timed_out=stop.why is None)
        else:
            starting = attempt.starting or self._starting(request, lambda: ready)
            ended = await self._execute(attempt, starting, masker, output, passed.timeout_s)
        return await asyncio.to_thread(self._interpreted, ready, ended, folder, masker, output)

    def _ready(
        self, request: RunRequest, passed: RunRequest, folder: Path, more: Mapping[str, str] | None = None
    ) -> _Ready | Result:
        """What to launch, with its files in place and what it is measured by. Blocks; raises CannotStart, OSError."""
        executor = self._executors.get(request.type)
        if executor is None:
            raise CannotStart(f"tasks of type {request.type} cannot be run here", retryable=False)
        env = {**run_environment(request, self._machine), **hand_over(request, folder), **(more or {})}
        launch = executor.prepare(passed, folder)
        if isinstance(launch, Result):
            return launch
        for name, text in launch.files.items():
            write_privately(folder / name, text)
        return _Ready(request, executor, launch, {**env, **launch.env}, look_before(request))

    def _starting(self, request: RunRequest, ready: Callable[[], _Ready]) -> Spawning:
        return spawning(lambda: (ready().launch, ready().env), self._mark(request.run), self._household)

    def _interpreted(self, ready: _Ready, ended: Ended, folder: Path, masker: StreamMasker, output: Path) -> Result:
        """What the ended process means. Blocks."""
        ended = _with_result(ended, ready.launch, folder, masker)
        result = ready.executor.interpret(ready.request, ended)
        if ended.lost:
            result = replace(result, remarks=(*result.remarks, f"the full output could not be kept: {ended.lost}"))
        _keep_transcript(ready.launch.transcript(result), self._masker(), output)
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
            await asyncio.to_thread(_keep, said, output, refused)
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


def _keep(said: Path, output: Path, result: Result) -> None:
    """What the gate printed is the attempt's full output if it failed; a run that is skipped has none."""
    if result.outcome is not Outcome.SKIPPED:
        with contextlib.suppress(FileNotFoundError):
            said.replace(output)
            sync_folder(output.parent)


def _keep_transcript(part: Part | None, masker: StreamMasker, output: Path) -> None:
    """A masked copy of what the attempt added to its session's transcript; without it the run is no other."""
    if part is None:
        return
    try:
        with part.path.open("rb") as file:
            file.seek(part.begin)
            with _private(transcript_path(output)) as copy:
                left = OUTPUT_CAP
                while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                    left -= len(chunk)
                    copy.write(masker.feed(chunk))
                copy.write(masker.flush())
    except OSError as error:
        log.warning("the transcript %s could not be kept: %s", part.path, error.strerror)


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _with_result(ended: Ended, launch: Launch, folder: Path, masker: StreamMasker) -> Ended:
    if launch.result_file is None:
        return ended
    left, problem = _read_result(folder / launch.result_file)
    return replace(ended, result=_mask_json(left, masker), result_problem=problem)


def _read_result(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The object that a process left behind, and why it cannot be used although it is there."""
    try:
        with path.open("rb") as file:
            data = file.read(RESULT_LIMIT + 1)
        if len(data) > RESULT_LIMIT:
            return None, f"the result is larger than {RESULT_LIMIT // 1024 // 1024} MiB"
        left = json.loads(data)
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError) as error:
        return None, f"the result cannot be read: {error}"
    return (left, "") if isinstance(left, dict) else (None, "the result is not an object")


def _mask_json(value: Any, masker: StreamMasker) -> Any:
    """Every text in it masked, before anybody cuts it: half a secret cannot be found any more."""
    if isinstance(value, str):
        return masker.mask_text(value)
    if isinstance(value, list):
        return [_mask_json(item, masker) for item in value]
    if isinstance(value, dict):
        return {masker.mask_text(key): _mask_json(item, masker) for key, item in value.items()}
    return value


def masked_result(result: Result, masker: StreamMasker) -> Result:
    """The result once more without secrets: cleaning can bring together what escape sequences held apart."""
    return replace(
        result,
        reason=masker.mask_text(result.reason),
        text=masker.mask_text(result.text),
        denials=tuple(map(masker.mask_text, result.denials)),
        question=masker.mask_text(result.question),
        remarks=tuple(map(masker.mask_text, result.remarks)),
    )
