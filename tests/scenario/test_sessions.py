"""Which Claude session a run goes on with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vault_scheduler.daemon import conversations
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.run import Cause, Outcome, Result
from vault_scheduler.testing_world import World

DONE = Result(outcome=Outcome.SUCCESS, text="Done.", turns=2, cost_usd=0.001)
CHEAP = "max_usd: 0.01"


def claude(world: World, name: str, keys: str) -> None:
    """A Claude task that costs next to nothing."""
    world.write(name, f"type: claude\n{CHEAP}\n{keys}", body="Do it.\n")


def as_the_cli(request: RunRequest) -> Result:
    """A session that is resumed keeps its id; a fresh one is named after its run."""
    return replace(DONE, session_id=request.resume or f"s-{request.task}-{request.run[-6:]}")


def resumed(world: World, task: str) -> list[str]:
    """What each attempt of a task went on with."""
    return [request.resume for request in world.engine.submitted if request.task == task]


def test_fresh_is_the_default(world: World) -> None:
    """Each run begins anew."""
    world.script = as_the_cli
    claude(world, "a", "every: 10m")
    world.start()
    world.advance(1900)
    assert resumed(world, "a") == ["", "", ""]


def test_continue_goes_on_with_the_tasks_last_session(world: World) -> None:
    """Also over a restart of the daemon, under another name of the task, and after a failure."""
    world.script = as_the_cli
    claude(world, "a", "every: 10m\nsession: continue")
    claude(world, "other", "every: 10m\nsession: continue")
    world.start()
    world.advance_to("10:15")
    first = f"s-a-{world.runs('a')[0].id[-6:]}"
    world.restart()
    world.script = lambda request: replace(as_the_cli(request), outcome=Outcome.FAILURE, reason="no")
    world.advance_to("10:25")
    assert resumed(world, "a") == [first]
    world.rename("a", "b")
    world.advance_to("10:35")
    assert resumed(world, "b") == [first]
    assert first not in resumed(world, "other")


def test_a_named_session_is_shared_and_never_used_twice_at_once(world: World) -> None:
    """Tasks of one name go on with one session, one after the other; others do not wait for them."""
    world.script = lambda request: None
    for name in ("a", "b"):
        claude(world, name, 'cron: "10 10 * * *"\nsession: garden')
    claude(world, "c", 'cron: "10 10 * * *"\nsession: house')
    world.start()
    world.advance_to("10:11")
    assert sorted(request.task for request in world.engine.running.values()) == ["a", "c"]
    assert world.runs("b")[0].waiting_for == "session"
    world.engine.finish("a", replace(DONE, session_id="s-garden"))
    world.settle()
    assert resumed(world, "b") == ["s-garden"]


def test_sessions_of_other_folders_are_others(world: World) -> None:
    """Claude Code keeps its sessions by working folder: elsewhere it would not find them."""
    (world.root / "Garden").mkdir()
    world.script = as_the_cli
    claude(world, "a", 'cron: "10 10 * * *"\nsession: garden')
    claude(world, "b", 'cron: "20 10 * * *"\nsession: garden\ncwd: Garden')
    world.start()
    world.advance_to("10:30")
    assert resumed(world, "b") == [""]


def test_a_long_session_is_left_for_a_fresh_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many runs, or turns, every turn would read too much again."""
    assert (conversations.LONGEST_RUNS, conversations.LONGEST_TURNS) == (50, 500)  # as the contract says
    monkeypatch.setattr(conversations, "LONGEST_RUNS", 5)
    world.script = as_the_cli
    claude(world, "a", "every: 1m\nsession: continue")
    world.start()
    world.advance(60 * 7)
    ids = resumed(world, "a")
    assert [number for number, name in enumerate(ids) if not name] == [0, 5]
    assert len(set(ids)) == 3
    world.script = lambda request: replace(as_the_cli(request), turns=500)
    world.advance(120)
    assert resumed(world, "a")[-1] == ""


def test_a_session_that_was_lost_is_followed_by_the_one_that_began(world: World) -> None:
    """Claude Code begins anew where it does not find a session: the next run goes on with that one."""
    world.script = lambda request: replace(DONE, session_id="s-2" if request.resume else "s-1")
    claude(world, "a", "every: 10m\nsession: continue")
    world.start()
    world.advance(1900)
    assert resumed(world, "a") == ["", "s-1", "s-2"]


def test_a_refused_login_is_no_session(world: World) -> None:
    """Where nobody was logged in there is nothing to go on with."""
    world.script = lambda request: Result(
        outcome=Outcome.BLOCKED, reason="log in", cause=Cause.LOGIN, session_id="s-0", retryable=False
    )
    claude(world, "a", "every: 1h\nsession: continue")
    world.start()
    world.advance_to("11:05")
    world.script = as_the_cli
    world.advance_to("12:05")
    assert resumed(world, "a") == ["", ""]


def test_a_crash_between_two_runs_counts_no_run_twice(world: World) -> None:
    """The end of an attempt that is found again after a crash is the same use of the session."""
    world.script = as_the_cli
    claude(world, "a", "every: 10m\nsession: continue")
    world.start()
    world.advance_to("10:15")
    world.crash()
    world.start()
    world.advance_to("10:25")
    row = world.call(world.store.session("task: a"))
    assert row is not None
    assert (row.runs, row.turns) == (2, 4)


def test_without_the_ledger_fresh_sessions_begin(world: World) -> None:
    """Sessions are lost with the ledger, and nothing else of the task."""
    world.script = as_the_cli
    claude(world, "a", "every: 10m\nsession: continue")
    world.start()
    world.advance_to("10:15")
    world.stop()
    for file in world.state_folder.glob("ledger.db*"):
        file.unlink()
    world.start()
    world.advance_to("10:25")
    assert resumed(world, "a") == [""]
