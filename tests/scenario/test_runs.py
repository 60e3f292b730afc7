"""The life of a run: waiting, overlap, limits, retries, pauses, stops, requests, crashes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import World

FAILURE = Result(outcome=Outcome.FAILURE, reason="exit 3", exit_code=3)


def runs_on(_: RunRequest) -> None:
    """Attempts go on until the test ends them."""


def test_overlap_is_skipped_and_counted(world: World) -> None:
    """Fire times during a run are one row; the schedule goes on when the run has ended."""
    world.script = runs_on
    world.command("a", "every: 10m")
    world.start()
    world.advance_to("10:45")
    assert world.history() == ["10:10 running", "10:20-10:40 skipped 3: still running"]
    world.engine.finish("a")
    world.advance_to("10:55")
    assert world.history() == ["10:10 success", "10:20-10:40 skipped 3: still running", "10:50 running"]


def test_slots_go_by_fire_time(world: World) -> None:
    """No more than `max_parallel` run; who was due first starts first; waiting is not missing."""
    world.write_settings("host: here\nmax_parallel: 2", age_s=3600)
    world.script = runs_on
    for number in range(4):
        world.command(f"t{number}", f'cron: "{10 + number} 10 * * *"\nmax_late: 1m')
    world.start()
    world.advance_to("12:00")
    assert world.history() == ["10:10 running", "10:11 running", "10:12 waiting", "10:13 waiting"]
    world.engine.finish("t0")
    world.settle()
    assert world.history() == ["10:10 success", "10:11 running", "10:12 running", "10:13 waiting"]
    world.engine.finish("t2")
    world.engine.finish("t1")
    world.settle()
    world.engine.finish("t3")
    world.settle()
    assert world.history() == [f"10:{10 + number} success" for number in range(4)]


def test_claude_has_its_own_limit(world: World) -> None:
    """Claude runs above `max_claude` wait; others pass them."""
    world.write_settings("host: here\nmax_claude: 1", age_s=3600)
    world.script = runs_on
    for name in ("c1", "c2"):
        world.write(name, 'type: claude\ncron: "10 10 * * *"', body="Do it.\n")
    world.command("z", 'cron: "11 10 * * *"')
    world.start()
    world.advance_to("10:12")
    assert sorted(request.task for request in world.engine.running.values()) == ["c1", "z"]


def test_catch_up_of_one_task_takes_turns(world: World) -> None:
    """The runs of one catch-up do not skip each other, and never run at the same time."""
    world.script = runs_on
    world.command("a", 'cron: "0 * * * *"\ncatch_up: all')
    world.start()
    world.suspend(3 * 3600 + 60)
    for _ in range(3):
        assert len(world.engine.running) == 1
        world.engine.finish("a")
        world.settle()
    assert world.history() == ["11:00 success", "12:00 success", "13:00 success"]


def test_retries_double_their_delay(world: World) -> None:
    """Each retry waits twice as long; the run ends with its last attempt's outcome."""
    at: list[str] = []

    def fail(request: RunRequest) -> Result:
        at.append(world.local(world.clock.now()))
        return FAILURE

    world.script = fail
    world.command("a", 'cron: "10 10 * * *"\nretries: 3\nretry_delay: 2m')
    world.start()
    world.advance_to("11:00")
    assert at == ["10:10", "10:12", "10:16", "10:24"]
    assert [(run.outcome, run.attempts) for run in world.runs()] == [(Outcome.FAILURE, 4)]


def test_retry_holds_its_task_but_no_slot(world: World) -> None:
    """While a run waits for its retry the task counts as running, others do not wait for it."""
    world.write_settings("host: here\nmax_parallel: 1", age_s=3600)
    world.script = lambda request: FAILURE if request.task == "a" else SUCCESS
    world.command("a", "every: 10m\nretries: 1\nretry_delay: 15m")
    world.command("b", 'cron: "12 10 * * *"')
    world.start()
    world.advance_to("10:21")
    assert world.history("a") == ["10:10 waiting", "10:20 skipped 1: still running"]
    assert world.history("b") == ["10:12 success"]


def test_retry_survives_a_restart(world: World) -> None:
    """A run that waits for its retry goes on with it under the next daemon."""
    answers = [FAILURE, SUCCESS]
    world.script = lambda _: answers.pop(0)
    world.command("a", 'cron: "10 10 * * *"\nretries: 1\nretry_delay: 10m')
    world.start()
    world.advance_to("10:11")
    world.restart(after_s=120)
    world.advance_to("10:19")
    assert world.history() == ["10:10 waiting"]
    world.advance_to("10:21")
    assert [(run.outcome, run.attempts) for run in world.runs()] == [(Outcome.SUCCESS, 2)]


def test_waiting_runs_are_left_to_the_next_daemon(world: World) -> None:
    """A daemon that is told to end ends what runs, and starts nothing of what waits; the next one does."""
    world.write_settings("host: here\nmax_parallel: 1", age_s=3600)
    world.script = runs_on
    world.command("a", 'cron: "10 10 * * *"')
    world.command("b", 'cron: "11 10 * * *"')
    world.command("c", 'cron: "12 10 * * *"')
    world.start()
    world.advance_to("10:13")
    submitted = world.engine.submitted
    world.call(world.daemon.end())
    assert world.history() == ["10:10 abandoned", "10:11 waiting", "10:12 waiting"]
    assert [request.task for request in submitted] == ["a"]
    world.crash()
    world.script = lambda _: SUCCESS
    world.clock.advance(60)
    world.start()
    assert world.history() == ["10:10 abandoned", "10:11 success", "10:12 success"]


def test_pausing_ends_a_retry(world: World) -> None:
    """A retry that waits is not made by a task that was paused; the run ends as its last attempt did."""
    world.script = lambda _: FAILURE
    world.command("a", 'cron: "10 10 * * *"\nretries: 1\nretry_delay: 10m\nstatus: active')
    world.start()
    world.advance_to("10:12")
    world.edit("a", "status: active", "status: paused")
    world.advance(1)
    assert world.history() == ["10:10 failure"]


def test_task_pauses_itself_after_failures(world: World) -> None:
    """After `pause_after` failures in a row the note says paused, and nothing more fires; resuming starts anew."""
    world.script = lambda _: FAILURE
    world.command("a", "every: 1m\npause_after: 3")
    world.start()
    world.advance_to("10:30")
    assert world.history() == ["10:01 failure", "10:02 failure", "10:03 failure"]
    assert "status: paused" in world.text("a")
    assert "3 failures in a row" in world.text("a")
    world.edit("a", "status: paused", "status: active")
    world.advance_to("10:32:30")
    assert world.stands("a") == "armed"
    assert world.history()[3:] == ["10:31 failure", "10:32 failure"]
    world.advance_to("10:40")
    assert world.history()[3:] == ["10:31 failure", "10:32 failure", "10:33 failure"]


def test_task_pauses_itself_while_its_note_is_edited(world: World) -> None:
    """It does not go on failing because somebody types in its note, and the pause is written when they stop."""
    world.script = lambda _: FAILURE
    world.command("a", "every: 10s\npause_after: 3\nstatus: active")
    world.start()
    world.advance(25)
    for _ in range(60):
        world.edit("a", "command: echo", "command: echo ")
        world.advance(3)
    assert len(world.engine.submitted) == 3
    assert world.stands("a") == "paused"
    world.advance(120)
    assert len(world.engine.submitted) == 3
    assert "status: paused" in world.text("a")


def test_success_in_between_resets_the_count(world: World) -> None:
    """Only failures in a row pause a task."""
    count = iter(range(100))
    world.script = lambda _: SUCCESS if next(count) % 3 == 2 else FAILURE
    world.command("a", "every: 1m\npause_after: 3")
    world.start()
    world.advance_to("10:12:30")
    assert len(world.runs()) == 12


# paused, stopped


@pytest.mark.parametrize("where", ["task", "settings"])
@pytest.mark.parametrize("down", [False, True], ids=["awake", "down meanwhile"])
def test_paused_until_an_instant(world: World, where: str, down: bool) -> None:
    """Nothing fires before it; from exactly that instant on everything does."""
    world.command("a", 'cron: "*/15 * * * *"' + ("\npaused_until: 2026-11-20T11:00" if where == "task" else ""))
    if where == "settings":
        world.write_settings("host: here\npaused_until: 2026-11-20T11:00", age_s=3600)
    world.start()
    assert world.stands("a") == "paused"
    if down:
        world.advance_to("10:40")
        world.down_until("11:05")
    else:
        world.advance_to("11:05")
    assert world.history() == ["11:00 success"]
    world.advance_to("11:20")
    assert world.history() == ["11:00 success", "11:15 success"]


def test_pause_that_was_over_makes_up_for_nothing(world: World) -> None:
    """A `paused_until` of this morning that still stands in the note is no reason to catch up when it is resumed."""
    world.command("a", 'cron: "*/15 * * * *"\nstatus: paused\npaused_until: 2026-11-20T10:20')
    world.start()
    world.advance_to("11:05")
    world.edit("a", "status: paused", "status: active")
    world.advance_to("11:10")
    assert world.history() == []


@pytest.mark.parametrize("where", ["task", "settings"])
def test_stop_cancels_what_runs_and_skips_what_waits(world: World, where: str) -> None:
    """`status: stopped` acts at once, without waiting for the note to be left alone."""
    world.write_settings("host: here\nmax_parallel: 1\nstatus: active", age_s=3600)
    world.script = runs_on
    world.command("a", 'cron: "10 10 * * *"\nstatus: active')
    world.command("b", 'cron: "11 10 * * *"\nstatus: active')
    world.start()
    world.advance_to("10:12")
    if where == "settings":
        world.write_settings("host: here\nmax_parallel: 1\nstatus: stopped")
    else:
        world.edit("a", "status: active", "status: stopped")
        world.edit("b", "status: active", "status: stopped")
    world.advance(1)
    assert world.history("a") == ["10:10 cancelled"]
    assert [run.outcome for run in world.runs("b")] == [Outcome.SKIPPED]
    assert not world.engine.running
    assert "stopped" in world.runs("b")[0].reason


def test_pausing_lets_run_what_runs(world: World) -> None:
    """A pause skips what waits; what runs goes on."""
    world.write_settings("host: here\nmax_parallel: 1", age_s=3600)
    world.script = runs_on
    world.command("a", 'cron: "10 10 * * *"\nstatus: active')
    world.command("b", 'cron: "11 10 * * *"\nstatus: active')
    world.start()
    world.advance_to("10:12")
    world.edit("a", "status: active", "status: paused")
    world.edit("b", "status: active", "status: paused")
    world.advance(1)
    assert world.history() == ["10:10 running", "10:11 skipped 1: paused"]
    world.engine.finish("a")
    world.settle()
    assert world.history("a") == ["10:10 success"]


def test_deleting_lets_run_what_runs(world: World) -> None:
    """The result of a task whose note is gone stands in the daily log and the ledger."""
    world.write_settings("host: here\nmax_parallel: 1", age_s=3600)
    world.script = runs_on
    world.command("a", 'cron: "10 10 * * *"')
    world.command("b", 'cron: "11 10 * * *"')
    world.start()
    world.advance_to("10:12")
    world.delete("a")
    world.delete("b")
    world.advance(1)
    assert world.history() == ["10:10 running", "10:11 skipped 1: the task was deleted"]
    world.engine.finish("a")
    world.advance(60)
    assert world.history("a") == ["10:10 success"]
    assert "10:10" in world.log()
    assert not world.path("a").exists()


def test_vault_pause_stops_every_start(world: World) -> None:
    """A paused vault starts nothing and makes up for nothing when it goes on."""
    world.command("a", "every: 10m")
    world.start()
    world.write_settings("host: here\nstatus: paused")
    world.advance_to("10:35")
    assert world.history() == []
    world.write_settings("host: here\nstatus: active")
    world.advance_to("10:45")
    assert world.history() == ["10:40 success"]


# run_now and requests


def test_ticked_box_runs_once(world: World) -> None:
    """However long the box stays ticked, after a restart too, it is one run; it is unticked while the run goes on."""
    world.script = runs_on
    world.command("a", 'cron: "0 12 * * *"\nrun_now: false')
    world.start()
    world.edit("a", "run_now: false", "run_now: true")
    world.advance(9)
    assert "run_now: true" in world.text("a")
    world.crash()
    world.start()
    world.advance(30)
    assert "run_now: false" in world.text("a")
    world.advance(120)
    assert len([run for run in world.runs() if run.trigger == "req"]) == 1
    world.edit("a", "run_now: false", "run_now: true")
    world.advance(60)
    assert len([run for run in world.runs() if run.trigger == "req"]) == 2


def test_box_does_not_move_the_schedule(world: World) -> None:
    """Run-now leaves the next fire time where it is."""
    world.command("a", "every: 30m\nrun_now: true")
    world.start()
    world.advance_to("10:35")
    assert world.history() == ["10:00 success", "10:30 success"]


def test_box_works_on_a_paused_task(world: World) -> None:
    """A paused task still runs when it is asked to."""
    world.command("a", 'cron: "0 12 * * *"\nstatus: paused\nrun_now: true')
    world.start()
    assert world.history() == ["10:00 success"]


@pytest.mark.parametrize("why", ["vault", "stopped", "invalid", "held"])
def test_box_is_refused_visibly(world: World, why: str) -> None:
    """In a paused vault, on a stopped, invalid or held task a tick ends blocked, once, and is unticked."""
    world.command("a", 'cron: "0 15 * * *"\nstatus: active\nrun_now: false')
    world.start()
    if why == "vault":
        world.write_settings("host: here\nstatus: paused")
    elif why == "stopped":
        world.edit("a", "status: active", "status: stopped")
    elif why == "invalid":
        world.edit("a", "cron:", "timeout: never\ncron:")
    else:
        world.stop()
        world.trust_mode = world.trust_mode.PINNED
        world.edit("a", "echo a", "echo b")
        world.start()
    world.advance(120)
    world.edit("a", "run_now: false", "run_now: true")
    world.advance(120)
    assert [run.outcome for run in world.runs()] == [Outcome.BLOCKED]
    assert not world.engine.submitted
    if why != "invalid":
        assert "run_now: false" in world.text("a")


def test_request_runs_and_cancels(world: World) -> None:
    """The command line asks for a run and for its end; each request is answered once."""
    world.script = runs_on
    world.command("a", 'cron: "0 12 * * *"')
    world.start()
    answer = world.request("run", "a")
    assert [run.id for run in world.runs()] == [answer["run"]]
    assert world.request("cancel", "a") == {"cancelled": [answer["run"]]}
    world.settle()
    assert world.history() == ["10:00 cancelled"]
    assert "refused" in world.request("run", "nobody")
    assert "refused" in world.request("dance", "a")


def test_request_that_was_claimed_before_a_crash_is_one_run(world: World) -> None:
    """A daemon that dies between the claim and its answer does not run the request twice."""
    world.command("a", 'cron: "0 12 * * *"')
    world.start()
    wish = world.call(world.store.add_request("run", "a", {}, world.clock.now()))
    world.settle()
    found = world.call(world.store.request(wish))
    assert found is not None
    world.call(_forget_answer(world, wish))
    world.crash()
    world.clock.advance(5)
    world.start()
    world.advance(1)
    again = world.call(world.store.request(wish))
    assert again is not None
    assert again.answer == found.answer
    assert len(world.runs()) == 1


async def _forget_answer(world: World, wish: str) -> None:
    with world.store._file.write(durable=True) as change:
        change.run("UPDATE requests SET state = 'claimed', answer = NULL WHERE id = ?", wish)


# crashes


def test_crash_leaves_no_run_behind(world: World) -> None:
    """What ran is abandoned, and retried where the task says so; what waited goes on."""
    world.write_settings("host: here\nmax_parallel: 1", age_s=3600)
    world.script = runs_on
    world.command("a", 'cron: "10 10 * * *"')
    world.command("b", 'cron: "11 10 * * *"')
    world.start()
    world.advance_to("10:12")
    world.crash()
    world.clock.advance(3600)
    world.start()
    assert world.history() == ["10:10 abandoned", "10:11 running"]
    assert world.engine.orphans == [world.runs("a")[0].id]


def test_crash_is_retried(world: World) -> None:
    """An abandoned attempt counts as one, and the next one is made after its delay."""
    world.script = runs_on
    world.command("a", 'cron: "10 10 * * *"\nretries: 1\nretry_delay: 5m')
    world.start()
    world.advance_to("10:12")
    world.crash()
    world.start()
    assert world.history() == ["10:10 waiting"]
    world.advance_to("10:18")
    world.engine.finish("a")
    world.settle()
    assert [(run.outcome, run.attempts) for run in world.runs()] == [(Outcome.SUCCESS, 2)]


def test_what_a_run_wrote_before_a_restart_is_held(world: World) -> None:
    """The next daemon remembers which runs without shell there were when a note with a command was written."""
    world.script = runs_on
    world.write("writer", 'type: claude\ncron: "10 10 * * *"', body="Write.\n")
    world.start()
    world.advance_to("10:11")
    world.engine.finish("writer")
    world.command("evil", "every: 10m", age_s=1)
    world.stop()
    world.clock.advance(3600)
    world.start()
    world.advance(60)
    assert world.stands("evil") == "held"


def test_results_are_delivered_after_a_crash(world: World) -> None:
    """A run that ended right before the crash is in its note and the log afterwards."""
    world.command("a", 'cron: "10 10 * * *"')
    world.start()
    world.advance_to("10:10")
    world.crash()
    world.clock.advance(60)
    world.start()
    world.advance(120)
    assert "^r-20261120T091000Z" in world.text("a")
    assert world.log().count("^r-20261120T091000Z") == 1


def test_budget_is_asked_at_the_start(world: World) -> None:
    """A run that the day's money does not cover is skipped with the sum as its reason; the status stays."""
    world.write_settings("host: here\nvault_max_usd_day: 1", age_s=3600)
    world.write("a", "type: claude\nevery: 1h\nmax_usd: 0.4", body="Do it.\n")
    world.script = lambda _: Result(outcome=Outcome.SUCCESS, cost_usd=0.4)
    world.start()
    world.advance_to("16:30")
    assert [run.outcome for run in world.runs()] == [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.SKIPPED]
    assert world.runs()[-1].count == 4
    world.advance((world.moment("2026-11-21 01:30") - world.clock.now()) / timedelta(seconds=1))
    assert world.runs()[-1].outcome is Outcome.SUCCESS


def test_a_run_that_is_refused_leaves_its_place_to_the_next_at_once(make_world: Callable[..., World]) -> None:
    """Nobody waits for the next look because the one before could not be paid for."""
    world = make_world(settings="host: here\ntimezone: Europe/Berlin\nmax_parallel: 1\nvault_max_usd_day: 0.1")
    world.command("c", 'cron: "5 10 * * *"')
    world.write("a", 'type: claude\ncron: "10 10 * * *"\nmax_usd: 0.4', body="Do it.\n")
    world.command("b", 'cron: "11 10 * * *"')
    world.script = lambda _: None
    world.start()
    world.advance_to("10:15")
    world.engine.finish("c")
    world.call(world.daemon.tick())
    assert world.history("b") == ["10:11 starting"]
    assert world.runs("a")[0].outcome is Outcome.SKIPPED


ONE_AT_A_TIME = "host: here\ntimezone: Europe/Berlin\nmax_parallel: 1"


@pytest.mark.parametrize("gone", ["down", "asleep"])
@pytest.mark.parametrize(
    ("keys", "outcome"),
    [
        ("max_late: 1h", Outcome.MISSED),
        ("max_late: 3d", Outcome.SUCCESS),
        ("catch_up: skip", Outcome.MISSED),
        ("max_late: 1h\ncatch_up: all", Outcome.SUCCESS),
    ],
)
def test_a_run_that_waits_is_as_late_as_nobody_was_there(
    make_world: Callable[..., World], gone: str, keys: str, outcome: Outcome
) -> None:
    """It goes on or ends missed, and is never in the way of what is due now (rule 5)."""
    world = make_world(settings=ONE_AT_A_TIME)
    world.command("a", f'cron: "10 10 * * *"\n{keys}')
    world.command("long", "at: 2026-11-20T10:05\ntimeout: 10d\nmax_late: 2h")
    world.script = lambda request: None if request.task == "long" else SUCCESS
    world.start()
    world.advance_to("10:20")
    assert world.history("a") == ["10:10 waiting"]
    if gone == "down":
        world.down_until("2026-11-22 10:45")
    else:
        world.suspend(2 * 86_400 + 1500)
        world.engine.finish("long")
    world.advance(60)
    runs = world.runs("a")
    assert runs[0].outcome is outcome
    if keys == "max_late: 1h":
        assert runs[-1].outcome is Outcome.SUCCESS


def test_waiting_while_somebody_is_there_never_makes_a_run_late(make_world: Callable[..., World]) -> None:
    """Five hours in line, then a restart of a minute: it goes on, whatever `max_late` says."""
    world = make_world(settings=ONE_AT_A_TIME)
    world.command("a", 'cron: "10 10 * * *"\nmax_late: 10m')
    world.command("long", "at: 2026-11-20T10:05\ntimeout: 10d")
    world.script = lambda request: None if request.task == "long" else SUCCESS
    world.start()
    world.advance_to("15:20")
    world.restart(after_s=60)
    world.advance(60)
    assert world.history("a") == ["10:10 success"]


def test_a_retry_that_nobody_was_there_for_is_not_made_days_later(world: World) -> None:
    """The run ends as its last attempt did, and today's fire time runs."""
    world.command("a", 'cron: "0 11 * * *"\nretries: 1\nretry_delay: 30m\nmax_late: 1h')
    world.script = lambda _: FAILURE
    world.start()
    world.advance_to("11:10")
    world.script = lambda _: SUCCESS
    world.suspend(3 * 86_400 - 540)
    world.advance(60)
    first, *_, last = world.runs("a")
    assert (first.outcome, first.attempts) == (Outcome.FAILURE, 1)
    assert "not retried: asleep" in first.reason
    assert last.outcome is Outcome.SUCCESS


def test_nothing_starts_once_there_were_too_many_failures(world: World) -> None:
    """`pause_after` counts before the next run of a backlog, or of a queue, is started."""
    world.command("a", "every: 10m\ncatch_up: all\npause_after: 3")
    world.script = lambda _: FAILURE
    world.start()
    world.down_until("11:05")
    world.advance(60)
    assert [run.outcome for run in world.runs("a")].count(Outcome.FAILURE) == 3
    assert world.stands("a") == "paused"


def test_a_run_that_waited_for_its_turn_runs_what_the_note_says_then(make_world: Callable[..., World]) -> None:
    """An edit counts for what has not begun; a retry goes on with what its run began with."""
    world = make_world(settings=ONE_AT_A_TIME)
    world.command("a", 'cron: "10 10 * * *"\ntimeout: 5m')
    world.command("long", "at: 2026-11-20T10:05")
    world.script = lambda request: None if request.task == "long" else SUCCESS
    world.start()
    world.advance_to("10:15")
    world.edit("a", "timeout: 5m", "timeout: 7m")
    world.advance_to("10:20")
    world.engine.finish("long")
    world.settle()
    assert world.engine.submitted[-1].timeout_s == 420
