"""Real child processes: their limits, their output, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from vault_scheduler.clock import SystemClock
from vault_scheduler.executors.base import CannotStart, Ended, Launch
from vault_scheduler.executors.process import StopOrder, end_orphan, run_process
from vault_scheduler.executors.spawning import spawning
from vault_scheduler.platform import containment
from vault_scheduler.platform.containment import Household, Mark
from vault_scheduler.text.harmless import Masker

LONG_S = 20.0  # no test waits for this: it only bounds one that would hang


@dataclass
class Bench:
    """Runs shell lines as attempts, with short times."""

    folder: Path
    mark: Mark
    household: Household = field(default_factory=Household)
    stop: StopOrder = field(default_factory=StopOrder)
    started: list[int] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / "output.txt"

    async def run(
        self,
        line: str,
        *,
        timeout_s: float = LONG_S,
        grace_s: float = 0.3,
        pipe_grace_s: float = 0.2,
        secrets: tuple[str, ...] = (),
        output_cap: int = 1 << 20,
    ) -> Ended:
        self.stop = StopOrder()
        launch, env = Launch(argv=("/bin/sh", "-c", line), cwd=self.folder), {"PATH": os.environ["PATH"]}
        return await run_process(
            spawning(lambda: (launch, env), self.mark, self.household),
            output_path=self.output,
            masker=Masker(secrets),
            timeout_s=timeout_s,
            clock=SystemClock(),
            stop=self.stop,
            on_started=lambda pid, ticks, boot: self.started.append(pid),
            grace_s=grace_s,
            pipe_grace_s=pipe_grace_s,
            output_cap=output_cap,
        )

    async def pid_in(self, name: str) -> int:
        """The pid that the run writes into a file of that name, once it is there."""
        path = self.folder / name
        await wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
        return int(path.read_text())


async def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    row = containment.look_up(pid)
    return row is not None and not row.zombie


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    containment.become_subreaper()
    return Bench(tmp_path, Mark("r-20261122T060000Z-3f9a1c", str(tmp_path)))


def test_exit_code_and_both_streams_are_returned_in_order(bench: Bench) -> None:
    """Standard output and standard error arrive as one text, with the exit code."""
    ended = asyncio.run(bench.run("echo one; echo two >&2; echo three; exit 3"))
    assert (ended.exit_code, ended.signal, ended.timed_out, ended.cancelled) == (3, None, False, None)
    assert ended.text == "one\ntwo\nthree\n"
    assert bench.output.read_text() == ended.text
    assert bench.output.stat().st_mode & 0o777 == 0o600


def test_output_is_on_the_disk_before_the_end_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file first, then the folder that it is in, then the folder of that: it may be new, too."""
    durable: list[Path] = []
    fsync = os.fsync

    def remember(fd: int) -> None:
        durable.append(Path(f"/proc/self/fd/{fd}").readlink())
        fsync(fd)

    monkeypatch.setattr(os, "fsync", remember)
    asyncio.run(bench.run("echo one"))
    assert durable == [bench.output, bench.folder, bench.folder.parent]


def test_output_leaves_room_on_the_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a small disk stays free for the ledger; what is missing is said, and the run goes on."""
    free = iter([150, *[100] * 1000])  # of 1,000 blocks of 4 kB, 100 are not for outputs

    def statvfs(_: object) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 1000, 100, next(free), 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    ended = asyncio.run(bench.run("head -c 500000 /dev/zero | tr '\\0' x; echo the end"))
    assert (ended.exit_code, ended.total_bytes, ended.lost) == (0, 500_008, "the disk is nearly full")
    assert ended.tail.endswith("xxxthe end\n")
    kept = bench.output.read_text()
    assert 100_000 < len(kept) < 210_000
    assert kept.endswith("x\n[the disk is nearly full: the rest was dropped]\n")


def test_silence_leaves_no_output_file(bench: Bench) -> None:
    """A run that prints nothing costs no file."""
    assert asyncio.run(bench.run("true")).total_bytes == 0
    assert not bench.output.exists()


def test_signal_is_named(bench: Bench) -> None:
    """A process that dies of a signal has no exit code but the signal's name."""
    ended = asyncio.run(bench.run("kill -SEGV $$"))
    assert (ended.exit_code, ended.signal) == (None, "SEGV")


def test_standard_input_is_empty(bench: Bench) -> None:
    """A command that reads its input meets the end at once instead of waiting for a person."""
    assert asyncio.run(bench.run("cat; echo done", timeout_s=5)).text == "done\n"


def test_hundred_megabytes_of_output_leave_memory_flat(bench: Bench) -> None:
    """However much is printed, the file stops at its cap and memory does not grow."""
    process = psutil.Process()
    before = process.memory_info().rss
    ended = asyncio.run(
        bench.run("echo first; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last", output_cap=8 << 20)
    )
    assert process.memory_info().rss - before < 30_000_000
    assert ended.total_bytes == 100_000_000 + len("first\n\nlast\n")
    assert ended.text.startswith("first\n")
    assert ended.text.endswith("last\n")
    assert "bytes left out" in ended.text
    assert 8 << 20 < bench.output.stat().st_size < (8 << 20) + 100
    assert bench.output.read_bytes().endswith(b"the rest was dropped]\n")


def test_endless_output_does_not_starve_the_event_loop(bench: Bench) -> None:
    """While a process prints without end, the event loop still gets its turns, and the timeout its way."""

    async def scenario() -> tuple[Ended, float]:
        slowest = 0.0
        run = asyncio.create_task(bench.run("yes", timeout_s=0.5))
        while not run.done():
            before = time.monotonic()
            await asyncio.sleep(0.001)
            slowest = max(slowest, time.monotonic() - before)
        return await run, slowest

    ended, slowest = asyncio.run(scenario())
    assert ended.timed_out
    assert slowest < 5


def test_cut_in_the_middle_of_a_character_is_not_shown(bench: Bench) -> None:
    """Head and tail begin and end with whole characters."""
    ended = asyncio.run(
        bench.run("for i in 1 2 3 4 5 6 7 8 9; do printf 'x'; head -c 3000 /dev/zero; done | tr '\\0' 'y'")
    )
    assert "\ufffd" not in ended.text
    (bench.folder / "text").write_text("a" + "ä" * 9000)
    ended = asyncio.run(bench.run("cat text"))
    assert "\ufffd" not in ended.text
    assert "left out" in ended.text


def test_secrets_are_masked_in_stream_file_and_edges(bench: Bench) -> None:
    """A secret is masked even when it arrives in two writes."""
    ended = asyncio.run(
        bench.run("printf 'key=hunter2-'; sleep 0.1; echo long-secret", secrets=("hunter2-long-secret",))
    )
    assert "long-secret" not in ended.text
    assert b"long-secret" not in bench.output.read_bytes()


def test_timeout_ends_a_process_that_never_ends(bench: Bench) -> None:
    """A process that would run for ever is ended after its timeout."""
    ended = asyncio.run(bench.run("echo begun; exec sleep 1000", timeout_s=0.3))
    assert (ended.timed_out, ended.signal, ended.text) == (True, "TERM", "begun\n")
    assert not containment.marked_processes(bench.mark)


def test_process_that_ignores_term_is_killed_after_the_grace(bench: Bench) -> None:
    """TERM may be ignored, KILL may not."""
    before = time.monotonic()
    ended = asyncio.run(bench.run("trap '' TERM; while :; do sleep 0.05; done", timeout_s=0.3, grace_s=0.4))
    assert (ended.timed_out, ended.signal) == (True, "KILL")
    assert 0.7 <= time.monotonic() - before < LONG_S
    assert not containment.marked_processes(bench.mark)


def test_process_may_clean_up_during_the_grace(bench: Bench) -> None:
    """What a process prints after TERM is kept, and it is a timeout although the exit code is 0."""
    line = "exec 2>/dev/null; trap 'echo saved; exit 0' TERM; echo begun; while :; do sleep 0.02; done"
    ended = asyncio.run(bench.run(line, timeout_s=0.3, grace_s=5))
    assert (ended.timed_out, ended.exit_code, ended.text) == (True, 0, "begun\nsaved\n")


def test_cancel_says_why(bench: Bench) -> None:
    """A cancelled process carries the reason it was given."""

    async def scenario() -> Ended:
        run = asyncio.create_task(bench.run("echo $$ > pid; exec sleep 1000"))
        await bench.pid_in("pid")
        bench.stop.give("stopped from the phone")
        return await run

    ended = asyncio.run(scenario())
    assert (ended.cancelled, ended.timed_out) == ("stopped from the phone", False)


def test_second_order_can_only_hurry(bench: Bench) -> None:
    """A shutdown during a cancel shortens the grace but does not change the reason."""

    async def scenario() -> Ended:
        run = asyncio.create_task(bench.run("trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done", grace_s=60))
        await bench.pid_in("pid")
        bench.stop.give("cancelled by hand")
        await asyncio.sleep(0.1)
        bench.stop.give("the scheduler stopped", abandoned=True, grace_s=0.1)
        return await asyncio.wait_for(run, 10)

    ended = asyncio.run(scenario())
    assert (ended.cancelled, ended.abandoned) == ("cancelled by hand", False)


def test_grandchild_that_holds_the_pipe_does_not_hold_up_the_run(bench: Bench) -> None:
    """Output is read only a moment longer than the leader lives."""
    before = time.monotonic()
    ended = asyncio.run(bench.run("sleep 1000 & echo done"))
    assert (ended.exit_code, ended.text) == (0, "done\n")
    assert time.monotonic() - before < LONG_S
    assert not containment.marked_processes(bench.mark)


def test_group_is_ended_after_a_success_even_if_it_ignores_term(bench: Bench) -> None:
    """A background process in the run's group does not outlive it."""
    line = "(trap '' TERM; while :; do sleep 0.05; done) >/dev/null 2>&1 & echo done"
    assert asyncio.run(bench.run(line)).exit_code == 0
    assert not containment.marked_processes(bench.mark)


def test_last_words_of_a_helper_in_the_group_are_kept(bench: Bench) -> None:
    """The group is ended only after the output's end: a pipe's reader may write what it was given."""
    ended = asyncio.run(bench.run("(sleep 0.1; echo late) & echo early", pipe_grace_s=5))
    assert ended.text == "early\nlate\n"


def test_process_with_a_session_of_its_own_outlives_a_success(bench: Bench) -> None:
    """A run may start a service on purpose: what opened its own session is left alone, and reaped when it ends."""

    async def scenario() -> None:
        ended = await bench.run(
            "setsid sh -c 'echo $$ > service; exec sleep 1000' >/dev/null 2>&1 &"
            " while ! [ -s service ]; do sleep 0.01; done"
        )
        service = await bench.pid_in("service")
        assert ended.exit_code == 0
        assert alive(service)
        os.kill(service, signal.SIGKILL)
        await wait_until(lambda: not alive(service))
        bench.household.reap()
        assert containment.look_up(service) is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "escape",
    [
        pytest.param("setsid sh -c 'echo $$ > pid; exec sleep 1000' &", id="own session"),
        pytest.param("(setsid sh -c 'echo $$ > pid; exec sleep 1000' &) &", id="own session, orphaned"),
        pytest.param("env -i setsid sh -c 'echo $$ > pid; exec sleep 1000' &", id="own session, no marker"),
        pytest.param(
            "(env -i setsid sh -c 'echo $$ > pid; exec sleep 1000' &) & sleep 0.2",
            id="own session, no marker, orphaned",
        ),
        pytest.param("setsid sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 0.05; done' &", id="ignores TERM"),
    ],
)
@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_what_escaped_the_group_is_ended_with_a_timeout_or_cancel(bench: Bench, escape: str, how: str) -> None:
    """Neither a session of its own nor an empty environment saves a process from its run's end."""

    async def scenario() -> int:
        run = asyncio.create_task(bench.run(f"{escape}\nsleep 1000", timeout_s=0.6 if how == "timeout" else LONG_S))
        escaped = await bench.pid_in("pid")
        if how == "cancel":
            await asyncio.sleep(0.3)
            bench.stop.give("cancelled")
        await run
        return escaped

    escaped = asyncio.run(scenario())
    assert not alive(escaped)
    assert not containment.marked_processes(bench.mark)


def test_tree_that_keeps_forking_is_ended(bench: Bench) -> None:
    """A process that starts another one between two looks is caught by the next look."""
    (bench.folder / "hydra.sh").write_text("trap '' TERM\n[ -e stop ] && exit\nsetsid sh hydra.sh &\nsleep 0.05\n")
    ended = asyncio.run(bench.run("setsid sh hydra.sh & sleep 1000", timeout_s=0.5))
    (bench.folder / "stop").touch()
    assert ended.timed_out
    assert not containment.marked_processes(bench.mark)


def test_without_pidfd_a_thread_waits_for_the_exit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the OS has no pidfd, the end is noticed all the same."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert asyncio.run(bench.run("exit 4")).exit_code == 4
    assert asyncio.run(bench.run("sleep 1000", timeout_s=0.2)).timed_out


def test_program_that_is_not_there_cannot_start(bench: Bench) -> None:
    """A missing program is a reason in words, and no file descriptor leaks."""

    async def start(argv: tuple[str, ...], cwd: Path) -> None:
        await run_process(
            spawning(lambda: (Launch(argv=argv, cwd=cwd), {}), bench.mark, bench.household),
            output_path=bench.output,
            masker=Masker(()),
            timeout_s=LONG_S,
            clock=SystemClock(),
            stop=bench.stop,
        )

    before = psutil.Process().num_fds()
    with pytest.raises(CannotStart, match="cannot start /no/such: No such file"):
        asyncio.run(start(("/no/such",), bench.folder))
    with pytest.raises(CannotStart, match="null byte"):
        asyncio.run(start(("/bin/echo", "\0"), bench.folder))
    after = psutil.Process().num_fds()
    assert (before, bench.household.leaders, bench.household.spawning) == (after, {}, 0)


def test_loop_that_is_torn_down_leaves_nothing(bench: Bench) -> None:
    """If the event loop ends around a run, its processes are killed before the loop is gone."""

    async def scenario() -> None:
        run = asyncio.create_task(bench.run("trap '' TERM; setsid sleep 1000 & echo $$ > pid; sleep 1000"))
        await bench.pid_in("pid")
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(scenario())
    assert not containment.marked_processes(bench.mark)
    assert bench.household.leaders == {}


def test_loop_that_is_torn_down_during_the_start_leaves_nothing(bench: Bench) -> None:
    """A process that is just being started when the event loop ends does not stay behind."""

    async def scenario() -> None:
        run = asyncio.create_task(bench.run("sleep 1000"))
        while not bench.household.spawning:
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(scenario())
    assert not containment.marked_processes(bench.mark)
    assert (bench.household.leaders, bench.household.spawning) == ({}, 0)


def test_adopted_children_are_reaped_and_others_are_not(bench: Bench) -> None:
    """Orphans of runs do not stay as zombies; a child that somebody else started keeps its exit status."""

    async def scenario() -> None:
        other = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
        await wait_until(lambda: not alive(other.pid))
        await bench.run("(setsid sh -c 'echo $$ > pid; exit 0' &) ; while ! [ -s pid ]; do sleep 0.01; done; sleep 0.1")
        await wait_until(lambda: not alive(int((bench.folder / "pid").read_text())))
        bench.household.reap()
        assert containment.look_up(int((bench.folder / "pid").read_text())) is None
        assert other.wait() == 7

    asyncio.run(scenario())


def orphaned(bench: Bench, line: str) -> tuple[int, int]:
    """A former attempt's leader whose daemon is gone."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", line],
        cwd=bench.folder,
        env={"PATH": os.environ["PATH"], **bench.mark.environment()},
        start_new_session=True,
    )
    process.returncode = 0  # the former daemon cannot wait for it any more
    while sys.platform == "linux" and not Path(f"/proc/{process.pid}/environ").read_bytes():
        time.sleep(0.001)  # within `exec` it has none for a moment
    ticks = containment.start_ticks(process.pid)
    assert ticks is not None
    return process.pid, ticks


def test_orphan_is_found_by_pid_and_ended_with_its_tree(bench: Bench) -> None:
    """After a crash, the whole tree of what was running is ended."""
    pid, ticks = orphaned(bench, "env -i setsid sh -c 'echo $$ > escaped; exec sleep 1000' & sleep 1000")

    async def scenario() -> tuple[bool, int]:
        escaped = await bench.pid_in("escaped")
        return await end_orphan(bench.mark, pid, ticks, containment.boot_id(), 0.2), escaped

    found, escaped = asyncio.run(scenario())
    assert found
    assert not alive(pid)
    assert not alive(escaped)


def test_orphan_without_a_known_pid_is_found_by_its_marker(bench: Bench) -> None:
    """If the daemon died before it could write down the pid, the marker in the environment is enough."""
    pid, _ = orphaned(bench, "trap '' TERM; while :; do sleep 0.05; done")
    assert asyncio.run(end_orphan(bench.mark, None, None, None, 0.1))
    assert not alive(pid)


def test_orphan_of_an_earlier_boot_is_not_looked_for(bench: Bench) -> None:
    """Nothing survives a boot, so a pid of an earlier one is somebody else's."""
    pid, ticks = orphaned(bench, "sleep 1000")
    assert not asyncio.run(end_orphan(Mark("r-other", bench.mark.state), pid, ticks, "another boot", 0.1))
    assert alive(pid)
    assert asyncio.run(end_orphan(bench.mark, pid, ticks, containment.boot_id(), 0.1))


def test_pid_with_other_start_ticks_is_somebody_elses(bench: Bench) -> None:
    """A pid that was given to a new process is left alone."""
    pid, ticks = orphaned(bench, "sleep 1000; :")  # no `exec`: a process has no environment while it becomes another
    assert not asyncio.run(end_orphan(Mark("r-other", bench.mark.state), pid, ticks - 1, containment.boot_id(), 0.1))
    assert alive(pid)
    assert asyncio.run(end_orphan(bench.mark, None, None, None, 0.1))


def test_marked_process_in_a_foreign_session_does_not_take_the_session_with_it(bench: Bench) -> None:
    """Somebody who ran a command with the marker by hand keeps the shell that it was typed in."""
    variables = " ".join(f"{name}={value}" for name, value in bench.mark.environment().items())
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"env {variables} sh -c 'echo $$ > pid; exec sleep 1000' & wait; sleep 1000"],
        cwd=bench.folder,
        start_new_session=True,
    )

    async def scenario() -> None:
        await bench.pid_in("pid")
        assert await end_orphan(bench.mark, None, None, None, 0.2)

    asyncio.run(scenario())
    assert alive(shell.pid)
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()


def test_same_run_of_another_vault_is_left_alone(bench: Bench) -> None:
    """Two vaults may have a task of the same name at the same time: neither ends the other's processes."""
    pid, _ = orphaned(bench, "exec sleep 1000")
    assert not asyncio.run(end_orphan(Mark(bench.mark.run, "/another/vault"), None, None, None, 0.1))
    assert alive(pid)
    assert asyncio.run(end_orphan(bench.mark, None, None, None, 0.1))
