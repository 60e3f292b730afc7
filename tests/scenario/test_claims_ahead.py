"""Claims that are made durable shortly before their fire times: nothing starts early, and all rules are asked again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.ledger.store import OVERLAPS
from vault_scheduler.run import RunState
from vault_scheduler.testing import Lasting
from vault_scheduler.testing_world import SETTINGS, World

HOURLY = "every: 1h"
SHORTLY_S = 0.05
COMMAND = b"---\ntype: command\ncommand: [echo, '%d']\nevery: 1h\nlog: none\n---\n"


@pytest.fixture
def claimed(world: World) -> World:
    """A world in which the run of 11:00 is claimed, 50 ms before eleven."""
    world.command("a", HOURLY)
    world.start()
    world.advance_to("11:00")
    world.engine.submitted.clear()
    world.advance(3600 - SHORTLY_S)
    assert [run.state for run in world.runs()] == [RunState.ENDED, RunState.CLAIMED]
    assert world.runs()[-1].claimed_at < world.runs()[-1].fire_time
    assert not world.engine.submitted
    return world


def test_a_claim_is_made_ahead_and_started_on_time(claimed: World) -> None:
    """It is in the ledger and prepared before its fire time, and starts at that instant."""
    assert [request.run for request in claimed.engine.prepared[-1:]] == [claimed.runs()[-1].id]
    claimed.advance(SHORTLY_S)
    run = claimed.runs()[-1]
    assert (claimed.history()[-1], run.started_at) == ("12:00 success", run.fire_time)
    assert claimed.engine.submitted == claimed.engine.prepared[-1:]


def test_a_pass_that_claims_past_the_fire_time_starts_what_it_claimed_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand claims ahead may take longer than was left; what was claimed then waits for no other event."""
    world.command("a", f"{HOURLY}\nstart: 2026-11-20T10:00:20")  # the notes are looked at ten seconds later
    world.start()
    world.advance_to("10:59")
    prepare = world.engine.prepare

    async def slowly(request: RunRequest) -> None:
        world.clock.advance(0.2)
        await prepare(request)

    monkeypatch.setattr(world.engine, "prepare", slowly)
    world.advance(95)
    run = world.runs()[-1]
    assert run.started_at is not None
    assert run.started_at - run.fire_time < timedelta(seconds=1)


@pytest.mark.parametrize("after_s", [0.01, SHORTLY_S, 5.0])
def test_a_crash_between_claim_and_start_loses_nothing(claimed: World, after_s: float) -> None:
    """Whether the next daemon comes before the fire time or after it, the run starts once, and not before."""
    claimed.crash()
    claimed.clock.advance(after_s)
    claimed.start()
    assert after_s >= SHORTLY_S or not claimed.engine.submitted
    claimed.advance(60)
    assert claimed.history() == ["11:00 success", "12:00 success"]
    assert all(run.started_at is not None and run.started_at >= run.fire_time for run in claimed.runs())


def test_a_crash_between_claim_and_start_can_be_too_late(world: World) -> None:
    """Nobody was there for longer than `max_late`: the claimed run is missed, as it is when it was claimed on time."""
    world.command("a", f"{HOURLY}\nmax_late: 10m")
    world.start()
    world.advance((world.moment("11:00") - world.clock.now()).total_seconds() - SHORTLY_S)
    assert world.runs()[-1].state is RunState.CLAIMED
    world.crash()
    world.clock.advance(1800)
    world.start()
    assert world.history()[-1].startswith("11:00 missed 1")
    assert not world.engine.submitted


@pytest.mark.parametrize("back_s", [2, 600, 3600])
def test_a_clock_that_is_set_back_takes_the_claim_back(claimed: World, back_s: int) -> None:
    """Nothing of it stays, and when its time comes again it runs, once."""
    noon = claimed.moment("12:00")
    claimed.suspend(-back_s)
    claimed.advance(1)
    assert noon not in {run.fire_time for run in claimed.runs()}
    claimed.advance(back_s + 60)
    assert [run.outcome for run in claimed.runs() if run.fire_time == noon] == ["success"]
    assert all(run.started_at is not None and run.started_at >= run.fire_time for run in claimed.runs())
    claimed.advance(3600)
    assert claimed.history()[-1] == "13:00 success"


def test_a_clock_that_is_set_back_for_days_takes_the_claim_back(claimed: World) -> None:
    """The days that come again are scheduled as usual: no claim of a false future keeps the task busy."""
    noon = claimed.moment("12:00")
    claimed.suspend(-3 * 86_400)
    claimed.advance(3660)
    assert noon not in {run.fire_time for run in claimed.runs()}
    assert [run.outcome for run in claimed.runs()] == ["success"] * 3


def test_a_clock_that_is_set_back_while_no_daemon_runs_takes_the_claim_back(claimed: World) -> None:
    """A daemon that finds a claim an hour ahead of its clock waits for no hour that was settled."""
    claimed.crash()
    claimed.clock.suspend(-3600)
    claimed.start()
    claimed.advance(1)
    assert claimed.history() == ["11:00 success"]
    claimed.advance(3660)
    assert claimed.history() == ["11:00 success", "12:00 success"]


def set_settings(text: str) -> Callable[[World], None]:
    return lambda world: world.write_settings(f"{SETTINGS}{text}")


def edited(old: str, new: str) -> Callable[[World], None]:
    return lambda world: world.edit("a", old, new)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda world: world.write_settings(SETTINGS.replace("active", "paused")), "vault paused"),
        (lambda world: world.write_settings(SETTINGS.replace("active", "stopped")), "vault stopped"),
        (lambda world: world.write_settings(SETTINGS.replace("host: here", "host: there")), "runs on here → there"),
        (edited("type: command", "status: paused\ntype: command"), "paused"),
        (edited("type: command", "status: stopped\ntype: command"), "stopped"),
        (lambda world: world.delete("a"), "the task was deleted"),
    ],
)
def test_what_happens_between_claim_and_start_is_judged(
    claimed: World, change: Callable[[World], None], reason: str
) -> None:
    """Paused, stopped, deleted, moved to another host: the run does not start, and says why."""
    change(claimed)
    claimed.advance(120)
    assert not claimed.engine.submitted
    assert claimed.history()[1:] == [f"12:00 skipped 1: {reason}"]


def test_an_edit_between_claim_and_start_is_waited_for(claimed: World) -> None:
    """A half-typed edit never runs: the run starts with what the note says once it was left alone."""
    claimed.edit("a", "echo a", "echo b")
    claimed.advance(5)
    assert not claimed.engine.submitted
    claimed.advance(30)
    assert [request.action["command"] for request in claimed.engine.submitted] == ["echo b"]
    assert claimed.history()[1:] == ["12:00 success"]


def test_another_schedule_between_claim_and_start_fires_nothing_twice(claimed: World) -> None:
    """What was claimed runs as it was due; the new schedule counts from then on."""
    claimed.edit("a", HOURLY, "every: 30m")
    claimed.advance(1800 + SHORTLY_S)
    assert claimed.history()[1:] == ["12:00 success", "12:30 success"]


def test_a_request_between_claim_and_start_goes_first(claimed: World) -> None:
    """The fire time overlaps the run that somebody asked for, as if it had been claimed at that instant."""
    claimed.script = lambda _: Lasting(60)
    claimed.request("run", "a")
    assert [request.run for request in claimed.engine.submitted] == [
        run.id for run in claimed.runs() if run.trigger == "req"
    ]
    claimed.advance(120)
    assert sorted(claimed.history()[1:]) == ["11:59:59 success", "12:00 skipped 1: still running"]


def test_what_overlaps_a_request_between_claim_and_start_does_so_after_a_crash_too(claimed: World) -> None:
    """With `overlap: queue` one fire time waits, and the next one takes its place, whoever looks then."""
    claimed.edit("a", HOURLY, f"{HOURLY}\noverlap: queue")
    claimed.advance(3600 - 30)
    claimed.script = lambda _: Lasting(2 * 3600)
    claimed.advance(30)
    claimed.request("run", "a")
    claimed.advance(SHORTLY_S)
    waiting = claimed.runs()[-1]
    assert (waiting.state, waiting.waiting_for) == (RunState.WAITING, "overlap")
    assert waiting.extra == {OVERLAPS: "1"}


def test_once_claims_nothing_ahead(world: World) -> None:
    """`daemon --once` ends when nothing is due; it waits for nothing that will be."""
    world.command("a", HOURLY)
    world.start()
    world.stop()
    world.clock.advance((world.moment("11:00") - world.clock.now()).total_seconds() - SHORTLY_S)
    world.start(once=True)
    assert world.history() == []


@pytest.mark.parametrize("keys", ["max_runs: 3", "overlap: queue", "catch_up: all"])
def test_each_policy_fires_on_time(world: World, keys: str) -> None:
    """Whether or not it can be claimed ahead, no fire time starts before it, or twice."""
    world.command("a", f"{HOURLY}\n{keys}")
    world.start()
    world.advance(3 * 3600)
    assert len(world.runs()) == 3
    assert all(run.started_at == run.fire_time for run in world.runs())


def test_a_crowd_is_claimed_before_its_moment(world: World) -> None:
    """What many are due at is claimed as much earlier as it takes, and still starts then, each of them once."""
    for number in range(300):
        world.put(f"t{number:03}", COMMAND % number)
    world.start()
    world.advance_to("10:59")
    world.advance(60 - 0.12)
    assert {run.state for run in world.runs()} == {RunState.CLAIMED}
    assert len(world.runs()) == 300
    assert not world.engine.submitted
    world.advance(60)
    assert [run.outcome for run in world.runs()] == ["success"] * 300
    assert all(run.started_at is not None and run.started_at >= run.fire_time for run in world.runs())


def test_a_crowd_that_is_paused_after_it_was_claimed_does_not_start(world: World) -> None:
    """Claimed earlier than others, judged no less."""
    for number in range(300):
        world.put(f"t{number:03}", COMMAND % number)
    world.start()
    world.advance_to("10:59")
    world.advance(60 - 0.12)
    world.write_settings(SETTINGS.replace("active", "paused"))
    world.advance(60)
    assert not world.engine.submitted
    assert {(run.outcome, run.reason) for run in world.runs()} == {("skipped", "vault paused")}
