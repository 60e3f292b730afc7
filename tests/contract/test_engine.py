"""What every engine promises: each submitted attempt has exactly one outcome, whatever happens."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from vault_scheduler.clock import Clock, SystemClock
from vault_scheduler.engine import AttemptEnded, AttemptStarted, Engine, EngineEvent, LocalEngine, output_path
from vault_scheduler.executors.base import (
    Ended,
    Executor,
    Launch,
    MachineEnvironment,
    RunRequest,
    action_to_json,
    ended_result,
    failure,
)
from vault_scheduler.executors.command import CommandExecutor
from vault_scheduler.platform import containment
from vault_scheduler.platform.containment import Mark
from vault_scheduler.run import Outcome, Result
from vault_scheduler.task import CommandAction
from vault_scheduler.testing import FakeClock
from vault_scheduler.text.harmless import Masker

RUN = "r-20261122T060000Z-3f9a1c"


class Awkward:
    """An executor that fails where it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def prepare(self, request: RunRequest, folder: Path) -> Launch | Result:
        if self.where == "prepare":
            raise RuntimeError("broken")
        if self.where == "result":
            return failure("cannot be run", retryable=False)
        if self.where == "spawn":
            return Launch(argv=("/no/such/program",), cwd=folder)
        return Launch(argv=("/bin/true",), cwd=folder, files={"a": "\udcff"}, result_file="left.json")

    def interpret(self, request: RunRequest, ended: Ended) -> Result:
        if self.where == "interpret":
            raise RuntimeError("broken")
        return ended_result(request, ended)


@dataclass
class Bench:
    """An engine with its events."""

    root: Path
    clock: Clock = field(default_factory=SystemClock)
    events: list[EngineEvent] = field(default_factory=list)

    def engine(self, awkward: str = "") -> LocalEngine:
        machine = MachineEnvironment()
        executors: dict[str, Executor] = {"command": CommandExecutor(machine), "claude": Awkward(awkward)}
        return LocalEngine(
            executors=executors,
            clock=self.clock,
            masker=lambda: Masker(()),
            machine=machine,
            runs_folder=self.root / "runs",
            post=self.events.append,
            grace_s=0.3,
            pipe_grace_s=0.2,
        )

    def request(self, command: str = "true", *, run: str = RUN, timeout_s: float = 30.0) -> RunRequest:
        return RunRequest(
            run=run,
            task="t",
            path="00_system/tasks/t.md",
            title="t",
            type="command",
            attempt=1,
            fire_time="2026-11-22T07:00:00+01:00",
            timezone="UTC",
            vault=str(self.root),
            action=action_to_json(CommandAction(command=command)),
            timeout_s=timeout_s,
        )

    def ended(self, run: str = RUN) -> list[Result]:
        return [event.result for event in self.events if isinstance(event, AttemptEnded) and event.run == run]

    def left(self, run: str = RUN) -> list[containment.Process]:
        return containment.marked_processes(Mark(run, str(self.root / "runs")))

    async def outcome(self, run: str = RUN) -> Result:
        async with asyncio.timeout(20):
            while not self.ended(run):
                await asyncio.sleep(0.005)
        return self.ended(run)[0]

    async def started(self, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(isinstance(event, AttemptStarted) for event in self.events) < count:
                await asyncio.sleep(0.005)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_attempt_is_posted_with_its_start_and_its_end(bench: Bench) -> None:
    """A start names the process so that it can be found after a crash; the end carries the result."""

    async def scenario() -> None:
        engine: Engine = bench.engine()
        await engine.submit(bench.request("echo hello"))
        await bench.outcome()

    asyncio.run(scenario())
    started, ended = bench.events
    assert isinstance(started, AttemptStarted)
    assert isinstance(ended, AttemptEnded)
    assert (started.run, started.number, started.boot_id) == (RUN, 1, containment.boot_id())
    assert started.pid > 0
    assert started.start_ticks > 0
    assert started.at <= ended.at
    assert ended.result == Result(outcome=Outcome.SUCCESS, text="hello\n", output_bytes=6, exit_code=0)
    assert output_path(bench.root / "runs", RUN, 1).read_text() == "hello\n"
    assert os.listdir(bench.root / "runs" / RUN) == ["output-1.txt"]  # noqa: PTH208


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("prepare", "internal error: RuntimeError"),
        ("interpret", "internal error: RuntimeError"),
        ("result", "cannot be run"),
        ("spawn", "cannot start /no/such/program: No such file or directory"),
    ],
)
def test_outcome_is_posted_whatever_breaks(bench: Bench, where: str, reason: str) -> None:
    """An executor that breaks anywhere is a failure of the attempt, with a reason."""

    async def scenario() -> Result:
        engine = bench.engine(where)
        await engine.submit(replace(bench.request(), type="claude", action={}))
        return await bench.outcome()

    result = asyncio.run(scenario())
    assert (result.outcome, result.reason) == (Outcome.FAILURE, reason)
    assert len(bench.ended()) == 1


def test_type_without_an_executor_is_a_failure(bench: Bench) -> None:
    """What cannot be run here says so."""

    async def scenario() -> Result:
        await bench.engine().submit(replace(bench.request(), type="python"))
        return await bench.outcome()

    result = asyncio.run(scenario())
    assert (result.reason, result.retryable) == ("tasks of type python cannot be run here", False)


def test_folder_that_cannot_be_made_is_a_failure(bench: Bench) -> None:
    """A full or read-only disk ends the attempt with the system's words."""
    (bench.root / "runs").write_text("in the way")

    async def scenario() -> Result:
        await bench.engine().submit(bench.request())
        return await bench.outcome()

    assert asyncio.run(scenario()).reason.startswith("cannot run it: [Errno")


def test_cancel_ends_an_attempt_with_its_reason(bench: Bench) -> None:
    """A cancelled attempt is cancelled for the given reason, and its processes are gone."""

    async def scenario() -> Result:
        engine = bench.engine()
        await engine.submit(bench.request("sleep 1000"))
        await bench.started()
        await engine.cancel(RUN, "the task was stopped")
        return await bench.outcome()

    result = asyncio.run(scenario())
    assert (result.outcome, result.reason) == (Outcome.CANCELLED, "the task was stopped")
    assert not bench.left()


def test_cancel_before_the_process_is_there(bench: Bench) -> None:
    """An attempt that is cancelled while it is prepared ends cancelled too."""

    async def scenario() -> Result:
        engine = bench.engine()
        await engine.submit(bench.request("sleep 1000"))
        await engine.cancel(RUN, "changed my mind")
        return await bench.outcome()

    assert asyncio.run(scenario()).reason == "changed my mind"


def test_cancel_of_what_is_not_running_does_nothing(bench: Bench) -> None:
    """A late cancel is not an error."""

    async def scenario() -> None:
        engine = bench.engine()
        await engine.cancel("r-nobody", "why not")
        await engine.submit(bench.request())
        await bench.outcome()
        await engine.cancel(RUN, "too late")

    asyncio.run(scenario())
    assert [result.outcome for result in bench.ended()] == [Outcome.SUCCESS]


def test_second_execution_of_a_running_run_is_refused(bench: Bench) -> None:
    """A run that is under way is never started again; once it has ended it may be retried."""

    async def scenario() -> None:
        engine = bench.engine()
        await engine.submit(bench.request("sleep 0.2"))
        with pytest.raises(ValueError, match="running already"):
            await engine.submit(bench.request())
        await bench.outcome()
        await engine.submit(replace(bench.request(), attempt=2))
        await engine.shutdown(1)

    asyncio.run(scenario())
    assert len(bench.ended()) == 2


def test_shutdown_ends_everything_as_abandoned(bench: Bench) -> None:
    """When the scheduler stops, no process is left and every attempt has its outcome when shutdown returns."""

    async def scenario() -> None:
        engine = bench.engine()
        await engine.submit(bench.request("sleep 1000", run="r-a"))
        await engine.submit(bench.request("trap '' TERM; while :; do sleep 0.02; done", run="r-b"))
        await bench.started(2)
        await engine.shutdown(0.2)
        assert not engine.running
        await engine.submit(bench.request("echo late", run="r-late"))
        await bench.outcome("r-late")

    asyncio.run(scenario())
    for run in ("r-a", "r-b", "r-late"):
        assert [result.outcome for result in bench.ended(run)] == [Outcome.ABANDONED]
        assert not bench.left(run)


def test_timeout_counts_the_clocks_awake_time(bench: Bench) -> None:
    """An hour's timeout does not pass while the machine sleeps, only while it is awake."""
    clock = FakeClock()
    bench.clock = clock

    async def scenario() -> Result:
        await bench.engine().submit(bench.request("sleep 1000", timeout_s=3600))
        await bench.started()
        clock.suspend(7200)
        await asyncio.sleep(0.1)
        assert not bench.ended()
        clock.advance(3600)
        return await bench.outcome()

    result = asyncio.run(scenario())
    assert (result.outcome, result.reason) == (Outcome.TIMEOUT, "no end after 1h")


def test_many_attempts_run_beside_each_other(bench: Bench) -> None:
    """Attempts do not wait for each other, and each gets its own output."""

    async def scenario() -> None:
        engine = bench.engine()
        for number in range(20):
            await engine.submit(bench.request(f"sleep 0.3; echo {number}", run=f"r-{number}"))
        for number in range(20):
            assert (await bench.outcome(f"r-{number}")).text == f"{number}\n"

    asyncio.run(asyncio.wait_for(scenario(), 5))


def test_orphan_is_not_looked_for_among_our_own(bench: Bench) -> None:
    """Clearing up after a crash never ends an attempt that this engine runs."""

    async def scenario() -> None:
        engine = bench.engine()
        await engine.submit(bench.request("sleep 0.3; echo fine"))
        await bench.started()
        assert not await engine.end_orphan(RUN, None, None, None, 0.1)
        assert (await bench.outcome()).text == "fine\n"

    asyncio.run(scenario())
