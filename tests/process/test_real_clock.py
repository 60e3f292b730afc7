"""The real clock: an idle daemon, one that was stopped, and one that was killed, for longer than a minute each.

The scenes wait for minutes, side by side and beside the other tests: they begin with the first process test and are
looked at last (see conftest.py).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import World

pytestmark = pytest.mark.timeout(240)

AWAY_S = 90
EVERY_S = 15
WINDOW_S = 58.0  # shorter than two ticks of 30 s
BURST_S = 2.0  # what happens within this time is one wake-up

Switches = dict[str, int]


def test_idle_daemon_wakes_once_in_30_seconds(long_scene: Callable[[str], Any]) -> None:
    """With the next fire time months away all threads together wake at most once in 30 s, and at least that often."""
    moments = long_scene("idle")
    assert 1 <= len(moments) <= 2, moments


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_what_was_due_meanwhile(long_scene: Callable[[str], Any], how: str) -> None:
    """Every due fire time ends in exactly one outcome: late as `catch_up` and `max_late` say, or missed and why."""
    world = long_scene(how)
    why = {"stopped": "the scheduler stood still", "killed": "the scheduler was off"}[how]
    gap = {}
    for name in ("latest", "skip", "all"):
        rows = world.runs(name)
        count_all_fire_times_once(rows)
        gap[name] = [row for row in rows if row["outcome"] == "missed"]
        assert {row["outcome"] for row in rows} <= {"success", "missed"}, rows
    assert [row["reason"] for row in gap["latest"] + gap["skip"]] == [why, why]
    assert all(AWAY_S // EVERY_S - 2 <= row["count"] <= AWAY_S // EVERY_S + 1 for row in gap["latest"] + gap["skip"])
    assert gap["all"] == []
    (late,), (missed,) = world.runs("late"), world.runs("too late")
    assert late["outcome"] == "success"
    assert late["started_at"] - late["fire_time"] > 60
    assert (missed["outcome"], missed["reason"]) == ("missed", why)


def count_all_fire_times_once(rows: list[dict[str, Any]]) -> None:
    """From the first to the last, each multiple of EVERY_S is in exactly one row."""
    for row in rows:
        assert row["last_fire_time"] - row["fire_time"] == (row["count"] - 1) * EVERY_S, row
    for before, after in pairwise(rows):
        assert after["fire_time"] - before["last_fire_time"] == EVERY_S, (before, after)


def test_runs_of_a_daemon_that_was_stopped_go_on(long_scene: Callable[[str], Any]) -> None:
    """What ended meanwhile is recorded, what goes on ends well, and a time limit counts the seconds of the clock."""
    world = long_scene("stopped")
    assert [run["outcome"] for run in world.runs("short")] == ["success"]
    assert [run["outcome"] for run in world.runs("long")] == ["success"]
    (limited,) = world.runs("limited")
    assert limited["outcome"] == "timeout"
    assert limited["ended_at"] - limited["started_at"] > AWAY_S


def test_runs_of_a_daemon_that_was_killed_are_abandoned_or_go_on(long_scene: Callable[[str], Any]) -> None:
    """What ran died with it, what waited for its retry is tried again."""
    world = long_scene("killed")
    outcomes = {name: [run["outcome"] for run in world.runs(name)] for name in ("short", "long", "limited", "again")}
    assert outcomes == {name: ["abandoned"] for name in ("short", "long", "limited")} | {"again": ["success"]}
    assert world.runs("again")[0]["attempts"] == 2


# scenes


def idle(world: World) -> list[float]:
    """The moments at which any thread of an idle daemon ran, in seconds of a window."""
    world.note("newyear", 'type: command\ncommand: "true"\ncron: "0 0 1 1 *"')
    world.note("watches", 'type: command\ncommand: "true"\non_change: "Inbox/**/*.md"')
    (world.vault / "Inbox").mkdir()
    world.start()
    assert world.daemon is not None
    quiet_since, last = time.monotonic(), switches(world.daemon.pid)
    while time.monotonic() - quiet_since < 5:
        quiet_since, last = look(world.daemon.pid, last, quiet_since)
    begin, moved = time.monotonic(), quiet_since
    moments: list[float] = []
    while time.monotonic() - begin < WINDOW_S:
        before = moved
        moved, last = look(world.daemon.pid, last, moved)
        if moved - before > BURST_S:
            moments.append(round(moved - begin, 1))
    world.stop()
    return moments


def look(pid: int, last: Switches, moved: float) -> tuple[float, Switches]:
    """When a thread of the process last gave up the processor: now, if any has since the last look."""
    time.sleep(0.1)
    now = switches(pid)
    return (time.monotonic() if now != last else moved), now


def switches(pid: int) -> Switches:
    """How often each thread of the process has gone to sleep."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        lines = (thread / "status").read_text().splitlines()
        found[thread.name] = next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return found


def stopped(world: World) -> World:
    """SIGSTOP, and SIGCONT after a while."""
    begin_work(world)
    assert world.daemon is not None
    world.daemon.send_signal(signal.SIGSTOP)
    time.sleep(AWAY_S)
    world.daemon.send_signal(signal.SIGCONT)
    return end_work(world)


def killed(world: World) -> World:
    """kill -9, and a new daemon after a while."""
    begin_work(world)
    world.kill()
    time.sleep(AWAY_S)
    world.start()
    return end_work(world)


def begin_work(world: World) -> None:
    """Tasks that fire all the time, runs that go on, and instants while nobody looks."""
    for name, policy in (("latest", "latest"), ("skip", "skip"), ("all", "all")):
        world.note(name, f'type: command\ncommand: "true"\nevery: {EVERY_S}s\ncatch_up: {policy}')
    now = "run_now: true\ncron: 0 0 29 2 *\ntype: command"
    world.note("short", f'{now}\ncommand: "sleep {AWAY_S // 2}"')
    world.note("long", f'{now}\ncommand: "sleep {AWAY_S + 15}"')
    world.note("limited", f'{now}\ncommand: "sleep 4720"\ntimeout: {AWAY_S // 2}s')
    world.note("again", f'{now}\ncommand: "test $VAULT_SCHED_ATTEMPT = 2"\nretries: 1\nretry_delay: 40s')
    world.start()
    for name in ("latest", "skip", "all"):
        world.until(partial(world.runs, name), f"{name} has run once", EVERY_S + 15)
    soon = datetime.now(UTC) + timedelta(seconds=20)
    world.note("late", f'type: command\ncommand: "true"\nat: "{soon:%Y-%m-%dT%H:%M:%S}"')
    world.note("too late", f'type: command\ncommand: "true"\nat: "{soon:%Y-%m-%dT%H:%M:%S}"\nmax_late: 1s')
    running = "SELECT 1 FROM runs WHERE state = 'running' AND task IN ('short', 'long', 'limited')"
    world.until(lambda: len(world.rows(running)) == 3, "three runs run")
    world.until(lambda: world.rows("SELECT 1 FROM runs WHERE waiting_for = 'retry'"), "one waits for its retry")
    known = "SELECT 1 FROM tasks WHERE task IN ('late', 'too late')"
    world.until(lambda: len(world.rows(known)) == 2, "the new notes count")


def end_work(world: World) -> World:
    """Everything has ended, and the tasks that fire all the time have done so once more."""
    again, fresh = time.time(), "SELECT 1 FROM runs WHERE task = ? AND fire_time > ? AND outcome = 'success'"
    for name in ("late", "too late", "short", "long", "limited", "again"):
        world.until(partial(world._ended_runs, name, 1), f"{name} has ended")
    for name in ("latest", "skip", "all"):
        world.until(partial(world.rows, fresh, name, again), f"{name} goes on", EVERY_S + 15)
    world.stop()
    return world


SCENES = {"idle": idle, "stopped": stopped, "killed": killed}
