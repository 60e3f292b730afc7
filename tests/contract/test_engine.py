"""What every engine promises: each submitted attempt has exactly one outcome, whatever happens."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.clock import Clock, SystemClock
from vault_scheduler.engine import AttemptEnded, AttemptStarted, Engine, EngineEvent, LocalEngine
from vault_scheduler.executors import spawning
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
from vault_scheduler.executors.capture import OUTPUT_CAP
from vault_scheduler.executors.command import CommandExecutor
from vault_scheduler.executors.leavings import output_path
from vault_scheduler.planning.early import EVE
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
    output_cap: int = OUTPUT_CAP

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
            output_cap=self.output_cap,
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
        block = action_to_json(CommandAction(command=None))
        await bench.engine().submit(replace(bench.request(), action=block, body="```sh\ntrue\n```"))
        return await bench.outcome()

    assert asyncio.run(scenario()).reason.startswith("cannot run it: [Errno")


def test_start_without_room_for_another_open_file_is_a_failure(bench: Bench) -> None:
    """It can be retried, says what is short, and nothing of it is left in the engine."""

    async def scenario() -> Result:
        engine = bench.engine()
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            await engine.submit(bench.request())
            result = await bench.outcome()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert not engine.running
        return result

    result = asyncio.run(scenario())
    assert (result.outcome, result.retryable) == (Outcome.FAILURE, True)
    assert "Too many open files" in result.reason


def test_start_that_finds_no_thread_is_a_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As without open files: the machine is short of something, not the task wrong; no pipe stays open."""

    def refuses(thread: threading.Thread) -> None:
        if thread.name == "spawn":
            raise RuntimeError("can't start new thread")
        starts(thread)

    async def scenario() -> Result:
        engine = bench.engine()
        open_before = len(os.listdir("/dev/fd"))  # noqa: PTH208
        await engine.submit(bench.request())
        result = await bench.outcome()
        assert len(os.listdir("/dev/fd")) == open_before  # noqa: PTH208
        assert not engine.running
        return result

    starts = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuses)
    monkeypatch.setattr(spawning, "_HANDS", spawning._Hands())
    result = asyncio.run(scenario())
    assert (result.outcome, result.retryable) == (Outcome.FAILURE, True)
    assert result.reason == "cannot start it: can't start new thread"


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


def test_shutdown_that_is_hurried_gives_no_grace(bench: Bench) -> None:
    """Told to stop once more, the scheduler does not wait for what does not listen: here for an hour."""

    async def scenario() -> None:
        engine = bench.engine()
        await engine.submit(bench.request("trap '' TERM; echo deaf; while :; do sleep 0.02; done"))
        await bench.started()
        patient = asyncio.create_task(engine.shutdown(3600))
        await asyncio.sleep(0.1)
        await engine.shutdown(0.0)
        await patient

    asyncio.run(scenario())
    assert [result.outcome for result in bench.ended()] == [Outcome.ABANDONED]
    assert not bench.left()


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


# --- the gate ---


def gated(bench: Bench, gate: str | tuple[str, ...], command: str = "echo ran", **changes: object) -> RunRequest:
    return replace(bench.request(command), gate=gate, **changes)  # type: ignore[arg-type]


def result_of(bench: Bench, request: RunRequest) -> Result:
    async def scenario() -> Result:
        await bench.engine().submit(request)
        return await bench.outcome()

    return asyncio.run(scenario())


def pids_of(bench: Bench) -> list[int]:
    return [event.pid for event in bench.events if isinstance(event, AttemptStarted)]


def test_gate_that_says_yes_is_followed_by_the_run(bench: Bench) -> None:
    """Exit 0: the run starts, finds what the gate printed in a file, and both processes are told of."""
    request = gated(bench, "echo 3 new; echo and more >&2", 'cat "$VAULT_SCHED_GATE"; stat -c %a "$VAULT_SCHED_GATE"')
    result = result_of(bench, request)
    assert (result.outcome, result.text) == (Outcome.SUCCESS, "3 new\nand more\n600\n")
    assert len(set(pids_of(bench))) == 2
    assert output_path(bench.root / "runs", RUN, 1).read_text() == "3 new\nand more\n600\n"
    assert os.listdir(bench.root / "runs" / RUN) == ["output-1.txt"]  # noqa: PTH208


def test_gate_that_prints_nothing_leaves_an_empty_file(bench: Bench) -> None:
    """A run may read the file without looking whether it is there."""
    result = result_of(bench, gated(bench, "true", 'test -f "$VAULT_SCHED_GATE" && cat "$VAULT_SCHED_GATE"; echo end'))
    assert (result.outcome, result.text) == (Outcome.SUCCESS, "end\n")


def test_without_gate_and_change_the_variables_are_not_set(bench: Bench) -> None:
    """Nothing that could be taken for an empty answer."""
    result = result_of(bench, bench.request('echo "${VAULT_SCHED_GATE-unset} ${VAULT_SCHED_CHANGED-unset}"'))
    assert result.text == "unset unset\n"


@pytest.mark.parametrize("gate", ["echo nothing new at $$; exit 1", ("false",), "exit 1"])
def test_gate_that_says_no_ends_the_attempt_as_skipped(bench: Bench, gate: str | tuple[str, ...]) -> None:
    """Exit 1: nothing else starts, nothing is kept, and the reason is the same whatever was printed."""
    result = result_of(bench, gated(bench, gate, "touch made", max_usd=0.5))
    assert result == Result(outcome=Outcome.SKIPPED, reason="gate said no", cost_usd=0.0)
    assert not (bench.root / "made").exists()
    assert len(pids_of(bench)) == 1
    assert os.listdir(bench.root / "runs" / RUN) == []  # noqa: PTH208


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ("echo a; echo feed is gone >&2; exit 3", "gate: exit 3: feed is gone"),
        ("if", "gate: exit 2: "),  # the shell's own words follow
        ("no-such-program-here", "gate: exit 127: "),
        ("kill -9 $$", "gate: ended by signal KILL"),
        (("no-such-program-here", "x"), "gate: no such program: no-such-program-here. Install it, or add its folder"),
        (("./not-runnable",), "gate: cannot start "),
    ],
)
def test_gate_that_fails_fails_the_attempt(bench: Bench, gate: str | tuple[str, ...], reason: str) -> None:
    """Anything but 0 and 1 is a failure that cost nothing; the run does not start."""
    (bench.root / "not-runnable").write_bytes(b"\x7fELF no")
    (bench.root / "not-runnable").chmod(0o755)
    result = result_of(bench, gated(bench, gate, "touch made", max_usd=0.5))
    assert result.outcome is Outcome.FAILURE
    assert result.reason.startswith(reason)
    assert result.cost_usd == 0
    assert not (bench.root / "made").exists()


def test_what_a_failed_gate_printed_is_the_attempts_output(bench: Bench) -> None:
    """Else nobody could find out why it failed."""
    result = result_of(bench, gated(bench, "echo looking; exit 3", "echo never"))
    assert (result.text, result.exit_code) == ("looking\n", 3)
    assert output_path(bench.root / "runs", RUN, 1).read_text() == "looking\n"


def test_gate_has_the_runs_surroundings(bench: Bench) -> None:
    """The same folder, variables, secrets and empty input as the run itself; but no answer of a gate."""
    (bench.root / "sub").mkdir()
    gate = 'echo "$(pwd) $A $VAULT_SCHED_TASK $VAULT_SCHED_ATTEMPT ${VAULT_SCHED_GATE-none}"; cat'
    result = result_of(bench, gated(bench, gate, 'cat "$VAULT_SCHED_GATE"', cwd="sub", env={"A": "b"}, attempt=2))
    assert result.text == f"{bench.root}/sub b t 2 none\n"


def test_gate_and_run_are_told_what_changed(bench: Bench) -> None:
    """A file that lists the paths, one a line; a name with a line end cannot pass for two."""
    changed = ("Inbox/a b.md", "Inbox/odd\nname.md", '"quoted".md', "Inbox/\udcff.md")
    look = 'cat "$VAULT_SCHED_CHANGED"'
    result_of(bench, gated(bench, f"{look} > from-gate", f"{look} > from-run", changed=changed))
    told = b'Inbox/a b.md\n"Inbox/odd\\nname.md"\n"\\"quoted\\".md"\nInbox/\xff.md\n'
    assert (bench.root / "from-gate").read_bytes() == told
    assert (bench.root / "from-run").read_bytes() == told


def test_secrets_in_the_gates_output_are_masked(bench: Bench) -> None:
    """What the gate hands to the run can end up in a prompt or a note."""
    engine = bench.engine()
    engine._masker = lambda: Masker(("hunter2-hunter2",))

    async def scenario() -> Result:
        await engine.submit(gated(bench, "echo hunter2-hunter2", 'rev "$VAULT_SCHED_GATE"'))
        return await bench.outcome()

    assert asyncio.run(scenario()).text == "]deksam[\n"


def test_gates_time_is_taken_off_the_timeout(bench: Bench) -> None:
    """`timeout` is for the attempt, gate included, and names its whole length."""
    clock = FakeClock()
    bench.clock = clock

    async def scenario() -> Result:
        gate = "while ! test -e go; do sleep 0.02; done"
        await bench.engine().submit(gated(bench, gate, "sleep 1000", timeout_s=3600))
        await bench.started()
        clock.advance(3000)
        (bench.root / "go").touch()
        await bench.started(2)
        clock.advance(599)
        await asyncio.sleep(0.1)
        assert not bench.ended()
        clock.advance(1)
        return await bench.outcome()

    result = asyncio.run(scenario())
    assert (result.outcome, result.reason) == (Outcome.TIMEOUT, "no end after 1h")
    assert not bench.left()


def test_gate_that_does_not_end_is_ended_with_all_that_it_started(bench: Bench) -> None:
    """A gate that ignores TERM times out like any process, and the run does not start."""
    gate = "setsid sleep 1000 & trap '' TERM; while :; do sleep 0.02; done"
    result = result_of(bench, gated(bench, gate, "touch made", timeout_s=0.3))
    assert (result.outcome, result.reason) == (Outcome.TIMEOUT, "gate: no end after 0.3s")
    assert not bench.left()
    assert not (bench.root / "made").exists()


def test_nothing_starts_when_the_gate_used_up_the_time(bench: Bench) -> None:
    """A gate that ends in the last moment leaves no time for the run."""
    clock = FakeClock()
    bench.clock = clock

    async def scenario() -> Result:
        engine = bench.engine()

        def post(event: EngineEvent) -> None:
            bench.events.append(event)
            clock.advance(60)

        engine._post = post
        await engine.submit(gated(bench, "true", "touch made", timeout_s=60))
        return await bench.outcome()

    result = asyncio.run(scenario())
    assert (result.outcome, result.reason) == (Outcome.TIMEOUT, "no end after 1m")
    assert len(pids_of(bench)) == 1
    assert not (bench.root / "made").exists()


@pytest.mark.parametrize("how", ["cancel", "shutdown"])
def test_stop_during_the_gate_stops_the_attempt(bench: Bench, how: str) -> None:
    """Cancelled or abandoned as usual, also if the gate answers TERM with an exit code of its own."""

    async def scenario() -> Result:
        engine = bench.engine()
        gate = "trap 'exit 1' TERM; echo waiting; while :; do sleep 0.02; done"
        await engine.submit(gated(bench, gate, "touch made", max_usd=0.5))
        await bench.started()
        await (engine.cancel(RUN, "changed my mind") if how == "cancel" else engine.shutdown(1))
        return await bench.outcome()

    result = asyncio.run(scenario())
    assert result.outcome is (Outcome.CANCELLED if how == "cancel" else Outcome.ABANDONED)
    assert result.cost_usd == 0
    assert not bench.left()
    assert not (bench.root / "made").exists()


def test_stop_between_gate_and_run_stops_the_attempt(bench: Bench) -> None:
    """A cancel that comes when the gate has just said yes is not forgotten."""

    async def scenario() -> Result:
        engine = bench.engine()
        prepare = CommandExecutor.prepare

        class Cancelled(CommandExecutor):
            def prepare(self, request: RunRequest, folder: Path) -> Launch | Result:
                asyncio.run_coroutine_threadsafe(engine.cancel(RUN, "just now"), loop).result(5)
                return prepare(self, request, folder)

        loop = asyncio.get_running_loop()
        engine._readiness._executors = {"command": Cancelled(MachineEnvironment())}
        await engine.submit(gated(bench, "true", "touch made"))
        return await bench.outcome()

    result = asyncio.run(scenario())
    assert (result.outcome, result.reason) == (Outcome.CANCELLED, "just now")
    assert not (bench.root / "made").exists()


def test_gate_whose_children_hold_the_pipe_is_over_when_it_ends(bench: Bench) -> None:
    """Its group is ended, and what left its session is not waited for."""
    gate = "sleep 1000 & setsid sleep 3 & echo yes"
    result = result_of(bench, gated(bench, gate, 'cat "$VAULT_SCHED_GATE"', timeout_s=20))
    assert (result.outcome, result.text) == (Outcome.SUCCESS, "yes\n")


def test_gate_that_floods_is_bounded(bench: Bench) -> None:
    """The file for the run has the cap of every output, and only the edges are kept for a prompt."""
    bench.output_cap = 1000
    gate = "echo begin; head -c 300000 /dev/zero | tr '\\0' x; echo end"
    executor = Remembering(MachineEnvironment())
    engine = bench.engine()
    engine._readiness._executors = {"command": executor}

    async def scenario() -> Result:
        await engine.submit(gated(bench, gate, 'wc -c < "$VAULT_SCHED_GATE"'))
        return await bench.outcome()

    assert int(asyncio.run(scenario()).text) < 1100
    quoted = executor.facts["gate_output"]
    assert quoted.startswith("begin\n")
    assert quoted.endswith("xend\n")
    assert 19_000 < len(quoted) < 20_200


class Remembering(CommandExecutor):
    """Keeps what it was told about the run."""

    def prepare(self, request: RunRequest, folder: Path) -> Launch | Result:
        self.facts = request.facts
        return super().prepare(request, folder)


def test_run_that_cannot_start_behind_its_gate_cost_nothing(bench: Bench) -> None:
    """Without a process of its own an attempt has spent nothing, whatever its gate did."""
    request = replace(gated(bench, "true"), type="claude", action={}, max_usd=0.5)
    for where in ("prepare", "result", "spawn"):
        bench.events.clear()

        async def scenario(where: str = where) -> Result:
            await bench.engine(where).submit(request)
            return await bench.outcome()

        result = asyncio.run(scenario())
        assert (result.outcome, result.cost_usd) == (Outcome.FAILURE, 0.0), where


def test_what_was_prepared_starts_with_the_submission(bench: Bench) -> None:
    """The process is there when the submission returns; nothing of the run begins before that."""

    async def scenario() -> tuple[Result, bool, bool]:
        engine, mark = bench.engine(), bench.root / "mark"
        request = bench.request(f"echo $VAULT_SCHED_RUN > {mark}; echo done")
        await engine.prepare(request)
        await asyncio.sleep(0.1)
        began = mark.exists() or bool(engine.running)
        await engine.submit(request)
        is_prepared = engine._attempts[RUN].starting is not None
        return await bench.outcome(), began, is_prepared

    result, began, is_prepared = asyncio.run(scenario())
    assert (result.outcome, result.text.strip(), began, is_prepared) == (Outcome.SUCCESS, "done", False, True)
    assert (bench.root / "mark").read_text().strip() == RUN


@pytest.mark.parametrize("is_prepared", [True, False])
def test_process_of_an_attempt_that_ends_before_its_first_step_is_ended(bench: Bench, is_prepared: bool) -> None:
    """An event loop that is torn down right after the submission leaves no process to the next daemon."""

    async def scenario() -> None:
        engine = bench.engine()
        if is_prepared:
            await engine.prepare(bench.request("sleep 1000"))
            await asyncio.gather(*(found.task for found in engine._readiness._prepared.values()))
        await engine.submit(bench.request("sleep 1000"))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # as the end of the loop does, but before the step that it would allow

    asyncio.run(scenario())
    assert bench.left() == []


def test_what_was_prepared_and_not_submitted_leaves_nothing(bench: Bench) -> None:
    """Its files go as soon as something else is prepared; it can be submitted all the same, later."""
    clock = FakeClock()
    bench.clock = clock
    folder = bench.root / "runs" / RUN / "attempt-1"

    async def scenario() -> tuple[bool, bool, Result]:
        engine, request = bench.engine(), replace(bench.request("cat $VAULT_SCHED_CHANGED"), changed=("a.md",))
        await engine.prepare(request)
        await asyncio.gather(*(found.task for found in engine._readiness._prepared.values()))
        was_there = folder.exists()
        clock.advance(6)
        await engine.prepare(bench.request("true", run="r-other"))
        is_there = folder.exists()
        await engine.submit(request)
        return was_there, is_there, await bench.outcome()

    was_there, is_there, result = asyncio.run(scenario())
    assert (was_there, is_there, result.outcome, result.text.strip()) == (True, False, Outcome.SUCCESS, "a.md")
    assert not folder.exists()


@pytest.mark.parametrize("submitted", ["echo new", "no-such-program-of-ours"])
def test_what_is_submitted_counts_and_not_what_was_prepared(bench: Bench, submitted: str) -> None:
    """An attempt that was prepared with another definition is prepared anew."""

    async def scenario() -> Result:
        engine = bench.engine()
        await engine.prepare(bench.request("echo old"))
        await asyncio.sleep(0.05)
        await engine.submit(bench.request(submitted))
        return await bench.outcome()

    result = asyncio.run(scenario())
    assert "old" not in result.text
    assert result.outcome == (Outcome.SUCCESS if submitted == "echo new" else Outcome.FAILURE)


def test_what_cannot_be_prepared_fails_when_it_is_submitted(bench: Bench) -> None:
    """A program that is not there is the attempt's failure, with its reason, and never an error before."""

    async def scenario() -> Result:
        engine = bench.engine()
        request = replace(bench.request(), action=action_to_json(CommandAction(command=("/no/such/program",))))
        await engine.prepare(request)
        await asyncio.sleep(0.05)
        await engine.submit(request)
        return await bench.outcome()

    assert asyncio.run(scenario()).reason.startswith("no such program: /no/such/program")


def test_what_was_prepared_can_be_cancelled_at_once(bench: Bench) -> None:
    """An order that comes with the start ends the process, and nothing is left."""

    async def scenario() -> Result:
        engine = bench.engine()
        await engine.prepare(bench.request("sleep 1000"))
        await asyncio.sleep(0.05)
        await engine.submit(bench.request("sleep 1000"))
        await engine.cancel(RUN, "stopped")
        return await bench.outcome()

    assert asyncio.run(scenario()).outcome is Outcome.CANCELLED
    assert bench.left() == []


def test_an_engine_that_ends_starts_nothing_that_was_prepared(bench: Bench) -> None:
    """What is submitted after the shutdown ends at once, prepared or not."""

    async def scenario() -> Result:
        engine = bench.engine()
        request = bench.request(f"touch {bench.root / 'mark'}")
        await engine.prepare(request)
        await asyncio.sleep(0.05)
        await engine.shutdown(0.1)
        await engine.submit(request)
        return await bench.outcome()

    assert asyncio.run(scenario()).outcome is Outcome.ABANDONED
    assert not (bench.root / "mark").exists()


def test_nothing_starts_before_its_fire_time(bench: Bench) -> None:
    """A start that is ordered at the eve of its fire time waits for it, prepared or not."""

    async def scenario(run: str, *, prepared: bool) -> int:
        engine = bench.engine()
        fire_time = datetime.now(UTC) + timedelta(seconds=0.1)
        request = replace(bench.request(f"date +%s%N > {bench.root / run}", run=run), fire_time=fire_time.isoformat())
        if prepared:
            await engine.prepare(request)
        await asyncio.sleep(max(0.0, (fire_time - EVE - datetime.now(UTC)).total_seconds()))
        await engine.submit(request)
        await bench.outcome(run)
        return int((bench.root / run).read_text()) - int(fire_time.timestamp() * 1e9)

    for prepared in (False, True):
        assert asyncio.run(scenario(f"{RUN}{prepared}", prepared=prepared)) > -1000  # a microsecond of rounding
