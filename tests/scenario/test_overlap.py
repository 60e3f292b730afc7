"""What a fire time does while the run before it goes on; who runs beside whom; how often a task runs at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing_world import World

FAILURE = Result(outcome=Outcome.FAILURE, reason="exit 1")


def slow(world: World, *names: str) -> None:
    """The runs of these tasks (all, if none is named) go on until the test ends them."""

    def script(request: RunRequest) -> Result | None:
        return None if not names or request.task in names else Result(outcome=Outcome.SUCCESS)

    world.script = script


def test_of_those_that_queue_one_waits_the_newest(world: World) -> None:
    """`overlap: queue`: each later fire time takes the place of the one that waits, and starts when the run ends."""
    world.command("a", "every: 10m\noverlap: queue")
    slow(world)
    world.start()
    world.advance_to("10:35")
    assert world.history() == [
        "10:10 running",
        "10:20 skipped 1: a later fire time took its place",
        "10:30 waiting",
    ]
    world.engine.finish("a")
    world.settle()
    assert world.history()[-1] == "10:30 running"


def test_a_queued_run_waits_for_its_whole_predecessor_with_its_retries(world: World) -> None:
    """A retry belongs to its run: what is queued comes after the last attempt."""
    world.command("a", "every: 10m\noverlap: queue\nretries: 1\nretry_delay: 5m")
    slow(world)
    world.start()
    world.advance_to("10:12")
    world.engine.finish("a", FAILURE)
    world.advance_to("10:16")
    assert world.history() == ["10:10 waiting"]
    world.advance_to("10:25")
    assert world.history() == ["10:10 running", "10:20 waiting"]
    world.engine.finish("a", FAILURE)
    world.advance(1)
    assert world.history() == ["10:10 failure", "10:20 running"]


def test_a_later_fire_time_cancels_the_run_before_it(world: World) -> None:
    """`overlap: cancel`: the run that goes on ends `cancelled`, and the new one starts."""
    world.command("a", "every: 10m\noverlap: cancel\nretries: 3")
    slow(world)
    world.start()
    world.advance_to("10:25")
    assert world.history() == ["10:10 cancelled", "10:20 running"]
    assert world.runs()[0].reason == "a later fire time took its place"
    world.advance_to("10:31")
    assert world.history() == ["10:10 cancelled", "10:20 cancelled", "10:30 running"]


def test_a_later_fire_time_takes_the_place_of_a_run_that_waits_for_its_retry(world: World) -> None:
    """`overlap: cancel`: what waits to be tried again ends as its last attempt did, and says so."""
    world.command("a", "every: 10m\noverlap: cancel\nretries: 3\nretry_delay: 30m")
    slow(world)
    world.start()
    world.advance_to("10:11")
    world.engine.finish("a", FAILURE)
    world.advance_to("10:21")
    assert world.history() == ["10:10 failure", "10:20 running"]
    assert "not retried: a later fire time took its place" in world.runs()[0].reason


def test_a_later_fire_time_takes_the_place_of_a_run_that_waits_for_a_slot(make_world: Callable[..., World]) -> None:
    """`overlap: cancel`: a run that never started ends `skipped`, not `cancelled`."""
    world = make_world(settings="host: here\ntimezone: Europe/Berlin\nmax_parallel: 1")
    world.command("a", "every: 10m\noverlap: cancel")
    world.command("b", "at: 2026-11-20T10:09")
    slow(world)
    world.start()
    world.advance_to("10:25")
    assert world.history("a") == ["10:10 skipped 1: a later fire time took its place", "10:20 waiting"]


def test_a_crash_between_the_claim_and_the_cancelling_does_not_let_both_go_on(world: World) -> None:
    """After a restart the older run is not tried again: a later fire time has taken its place."""
    world.command("a", "every: 10m\noverlap: cancel\nretries: 3\nretry_delay: 1s")
    slow(world)
    world.start()
    world.advance_to("10:11")
    world.crash()
    world.clock.advance(9 * 60)
    world.start()
    world.advance(5)
    assert world.history() == ["10:10 abandoned", "10:20 running"]


def test_runs_of_a_task_that_allows_it_go_on_side_by_side(world: World) -> None:
    """`overlap: allow`: nothing waits and nothing is skipped, but for the slots of the vault."""
    world.command("a", "every: 10m\noverlap: allow")
    slow(world)
    world.start()
    world.advance_to("11:01")
    assert world.history() == [
        *(f"10:{minute} running" for minute in (10, 20, 30, 40)),
        "10:50 waiting",
        "11:00 waiting",
    ]


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel", "allow"])
def test_a_run_that_waits_for_a_slot_is_neither_late_nor_missed(make_world: Callable[..., World], overlap: str) -> None:
    """Waiting never turns into missed, however long it takes."""
    world = make_world(settings="host: here\ntimezone: Europe/Berlin\nmax_parallel: 1")
    world.command("a", f'cron: "10 10 * * *"\nmax_late: 1m\noverlap: {overlap}')
    world.command("b", "at: 2026-11-20T10:09")
    slow(world, "b")
    world.start()
    world.advance_to("23:00")
    assert world.history("a") == ["10:10 waiting"]
    world.engine.finish("b")
    world.settle()
    assert world.history("a") == ["10:10 success"]


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
def test_fire_times_of_one_catch_up_wait_for_each_other(world: World, overlap: str) -> None:
    """`catch_up: all` after downtime: they did not overlap when they were claimed, so none displaces another."""
    world.command("a", f"every: 10m\ncatch_up: all\noverlap: {overlap}")
    world.start()
    world.down_until("10:31")
    world.advance(10)
    assert world.history() == ["10:10 success", "10:20 success", "10:30 success"]


def test_tasks_of_a_group_run_one_at_a_time_by_fire_time(world: World) -> None:
    """`group`: two that would write the same note never run side by side; others are not held up."""
    world.command("a", 'cron: "10 10 * * *"\ngroup: dashboard')
    world.command("b", 'cron: "11 10 * * *"\ngroup: dashboard')
    world.command("c", 'cron: "12 10 * * *"\ngroup: dashboard')
    world.command("d", 'cron: "12 10 * * *"\ngroup: mail')
    slow(world)
    world.start()
    world.advance_to("10:15")
    assert sorted(world.engine.running[name].task for name in world.engine.running) == ["a", "d"]
    assert {run.waiting_for for run in world.runs("b") + world.runs("c")} == {"group"}
    world.engine.finish("a")
    world.settle()
    assert world.history("b") == ["10:11 running"]
    assert world.history("c") == ["10:12 waiting"]


def test_a_group_is_free_while_one_of_it_waits_for_its_retry(world: World) -> None:
    """A retry that is an hour away holds up nobody."""
    world.command("a", 'cron: "10 10 * * *"\ngroup: g\nretries: 1\nretry_delay: 1h')
    world.command("b", 'cron: "11 10 * * *"\ngroup: g')
    slow(world)
    world.start()
    world.advance_to("10:12")
    world.engine.finish("a", FAILURE)
    world.settle()
    assert world.history("b") == ["10:11 running"]
    world.advance_to("11:20")
    assert world.runs("a")[0].waiting_for == "group"
    world.engine.finish("b")
    world.settle()
    assert world.history("a") == ["10:10 running"]


def test_the_vault_can_put_all_tasks_into_one_group(make_world: Callable[..., World]) -> None:
    """`group` in the settings note is the default of every task; a note's own goes before."""
    world = make_world(settings="host: here\ntimezone: Europe/Berlin\ngroup: all")
    for name in ("a", "b"):
        world.command(name, 'cron: "10 10 * * *"')
    world.command("c", 'cron: "10 10 * * *"\ngroup: own')
    slow(world)
    world.start()
    world.advance_to("10:11")
    assert sorted(request.task for request in world.engine.running.values()) == ["a", "c"]


# max_runs


def test_a_task_is_done_after_as_many_runs_as_it_may_make(world: World) -> None:
    """`max_runs: 2`: two runs, then `status: done` with the reason; nothing is due any more."""
    world.command("a", "every: 10m\nmax_runs: 2")
    world.start()
    world.advance_to("11:05")
    assert world.history() == ["10:10 success", "10:20 success"]
    assert "status: done\n" in world.text("a")
    assert "status_reason: max_runs is used up\n" in world.text("a")
    assert world.stands("a") == "done"


def test_failures_and_retries_are_the_same_run(world: World) -> None:
    """A run counts once, however many attempts it makes and however it ends."""
    world.command("a", "every: 10m\nmax_runs: 2\nretries: 2\nretry_delay: 1m")
    world.script = lambda _: FAILURE
    world.start()
    world.advance_to("11:05")
    assert world.history() == ["10:10 failure", "10:20 failure"]


def test_what_never_started_and_what_was_asked_for_does_not_count(world: World) -> None:
    """A run by hand does not use up a scheduled one, nor does a fire time that was skipped."""
    world.command("a", "every: 10m\nmax_runs: 2")
    slow(world)
    world.start()
    world.request("run", "a")
    world.advance_to("10:15")
    world.engine.finish("a")
    world.advance_to("10:25")
    world.engine.finish("a")
    world.advance_to("10:35")
    assert world.history() == ["10:00 success", "10:10 skipped 1: still running", "10:20 success", "10:30 running"]


def test_the_count_outlives_restarts_and_pauses(world: World) -> None:
    """Three runs are three, however often the daemon dies and the task is paused meanwhile."""
    world.command("a", "every: 10m\nmax_runs: 3\nstatus: active")
    world.start()
    world.advance_to("10:11")
    world.crash()
    world.start()
    world.advance_to("10:21")
    world.edit("a", "status: active", "status: paused")
    world.advance(60)
    world.edit("a", "status: paused", "status: active")
    world.advance_to("11:05")
    assert world.history() == ["10:10 success", "10:20 success", "10:30 success"]
    assert world.stands("a") == "done"


def test_a_done_task_that_is_set_active_again_begins_anew(world: World) -> None:
    """A person who sets `status` back wants it to run as often once more."""
    world.command("a", "every: 10m\nmax_runs: 2")
    world.start()
    world.advance_to("10:35")
    world.edit("a", "status: done", "status: active")
    world.advance_to("11:35")
    assert len(world.runs()) == 4
    assert world.stands("a") == "done"


def test_never_more_runs_are_started_than_may_be(make_world: Callable[..., World]) -> None:
    """Runs that wait count as well: two that are claimed leave no room for a third, which can be seen."""
    world = make_world(settings="host: here\ntimezone: Europe/Berlin\nmax_parallel: 1")
    world.command("a", "every: 10m\nmax_runs: 2\noverlap: allow")
    world.command("b", "at: 2026-11-20T10:09")
    slow(world, "b")
    world.start()
    world.advance_to("10:45")
    assert world.history("a") == [
        "10:10 waiting",
        "10:20 waiting",
        "10:30-10:40 skipped 2: max_runs is used up",
    ]
    world.engine.finish("b")
    world.advance_to("11:10")
    assert len(world.runs("a")) == 3
    assert world.stands("a") == "done"


def test_a_catch_up_runs_no_more_than_is_left(world: World) -> None:
    """`catch_up: all` with `max_runs`: the oldest run, the rest is told."""
    world.command("a", "every: 10m\ncatch_up: all\nmax_runs: 2")
    world.start()
    world.down_until("10:45")
    world.advance(30)
    assert world.history() == ["10:10 success", "10:20 success", "10:30-10:40 skipped 2: max_runs is used up"]


def test_a_task_with_a_bound_that_waits_for_others_is_done_when_the_bound_has_passed(world: World) -> None:
    """`until` of a task that only reacts (`on_start`, `after`, `on_change`): done, though no fire time ever came."""
    world.command("a", "on_start: true\nuntil: 2026-11-20T11:00")
    world.start()
    world.advance_to("10:59")
    assert world.stands("a") == "armed"
    world.advance_to("11:05")
    assert world.stands("a") == "done"


@pytest.mark.parametrize(
    ("keys", "started"),
    [
        ("on_start: true\nmax_runs: 2", 2),
        ("on_start: true\nstart: 2026-11-20T11:30", 1),
        ("on_start: true\nuntil: 2026-11-20T10:30", 1),
        ("on_start: true", 3),
    ],
)
def test_a_start_of_the_daemon_counts_and_knows_the_bounds(world: World, keys: str, started: int) -> None:
    """`on_start` is a trigger like others: within `start` and `until`, at most `max_runs` times."""
    world.command("a", keys)
    world.start()
    for moment in ("11:00", "12:00"):
        world.advance(20)
        world.down_until(moment)
    assert len(world.runs("a")) == started


def test_the_newest_takes_the_room_of_the_one_whose_place_it_takes(world: World) -> None:
    """`overlap: queue` with `max_runs`: one of two runs was made, so the newest waits, not the oldest."""
    world.command("a", "every: 10m\noverlap: queue\nmax_runs: 2")
    slow(world)
    world.start()
    world.advance_to("10:45")
    assert world.history() == [
        "10:10 running",
        "10:20-10:30 skipped 2: a later fire time took its place",
        "10:40 waiting",
    ]


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", ["10:00 waiting", "10:11:45-10:23:26 skipped 2: still running"]),
        ("queue", ["10:00 waiting", "10:11:45 skipped 1: a later fire time took its place", "10:23:26 waiting"]),
        ("cancel", ["10:00 failure", "10:11:45 failure", "10:23:26 waiting"]),
    ],
)
def test_overlap_holds_for_starts_of_the_daemon(world: World, overlap: str, expected: list[str]) -> None:
    """A start of the daemon while a run of the task has not ended is one that overlaps."""
    world.command("a", f"on_start: true\nretries: 3\nretry_delay: 1h\noverlap: {overlap}")
    world.script = lambda request: FAILURE
    world.start()
    world.advance(5)
    for _ in range(2):
        world.crash()
        world.clock.advance(700)
        world.start()
        world.advance(1)
    assert world.history() == expected


def test_a_start_of_the_daemon_ends_blocked_for_a_task_that_is_invalid(world: World) -> None:
    """Once for each start, as fire times do; the task starts when the daemon does after it was put right."""
    world.command("a", "on_start: true")
    world.start()
    world.advance(700)
    world.edit("a", "type: command", "type: nonsense")
    world.advance(120)
    world.restart()
    world.restart(after_s=60)
    outcomes = [(run.outcome, run.count) for run in world.runs()]
    assert outcomes == [(Outcome.SUCCESS, 1), (Outcome.BLOCKED, 2)]
    world.edit("a", "type: nonsense", "type: command")
    world.advance(120)
    assert len(world.runs()) == 2
    world.restart()
    assert world.runs()[-1].outcome is Outcome.SUCCESS


def test_a_fire_time_is_skipped_because_the_run_before_it_waits(world: World) -> None:
    """Nothing of the task runs while it waits for a slot: that is what its note says, and not that it still runs."""
    world.write_settings("host: here\nmax_parallel: 1", age_s=3600)
    world.command("a", "every: 10m")
    world.command("b", "at: 2026-11-20T10:05")
    slow(world)
    world.start()
    world.advance_to("10:35")
    assert world.history("a") == ["10:10 waiting", "10:20-10:30 skipped 2: the run before it still waits"]
    world.engine.finish("b")
    world.advance_to("10:45")
    assert world.history("a")[1:] == [
        "10:20-10:30 skipped 2: the run before it still waits",
        "10:40 skipped 1: still running",
    ]
