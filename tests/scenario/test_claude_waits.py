"""What is not the task's fault: the plan's limits, the network, an overloaded provider, a login that is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.run import Cause, Outcome, Result
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import World

DONE = Result(outcome=Outcome.SUCCESS, text="Done.", turns=1, cost_usd=0.01)
NO_NETWORK = Result(outcome=Outcome.FAILURE, reason="no network", cause=Cause.NETWORK, transient=True, cost_usd=0.0)
OVERLOADED = Result(outcome=Outcome.FAILURE, reason="overloaded", cause=Cause.OVERLOAD, transient=True, cost_usd=0.0)
NO_LOGIN = Result(
    outcome=Outcome.BLOCKED, reason="not logged in: run `claude`", cause=Cause.LOGIN, retryable=False, cost_usd=0.0
)


def claude(world: World, name: str, keys: str) -> None:
    """A Claude task."""
    world.write(name, f"type: claude\n{keys}", body="Do it.\n")


def limited(world: World, until: str) -> Result:
    """The plan's limit, reached until a local time of this day."""
    moment = world.moment(f"2026-11-20 {until}")
    return Result(
        outcome=Outcome.FAILURE,
        reason="rate limit",
        cause=Cause.QUOTA,
        quota_until=moment,
        transient=True,
        session_id="s",
        cost_usd=0.0,
    )


def once(first: Result, then: Result = DONE) -> Callable[[RunRequest], Result]:
    """The first attempt of all ends like this, the others like that."""
    results = [first]
    return lambda _: results.pop() if results else then


def test_a_run_waits_for_the_reset_and_uses_up_no_retry(world: World) -> None:
    """The reset comes before the next fire time: the run waits, says so, and goes on then as the same run."""
    world.script = once(limited(world, "12:00"))
    claude(world, "a", 'cron: "10 10 * * *"')
    world.start()
    world.advance_to("11:59")
    (run,) = world.runs()
    assert (run.state, run.waiting_for, run.not_before) == ("waiting", "quota", world.moment("12:00"))
    world.advance_to("12:01")
    assert world.history() == ["10:10 success"]
    assert [request.attempt for request in world.engine.submitted] == [1, 2]


def test_note_and_log_tell_that_a_run_waits(world: World) -> None:
    """Nobody wonders for hours why nothing happens; once it has gone on the note tells how it ended."""
    world.script = once(limited(world, "12:00"))
    claude(world, "a", 'cron: "10 10 * * *"')
    claude(world, "b", 'cron: "20 10 * * *"')
    world.start()
    world.advance_to("10:25")
    assert "last_status: waiting\n" in world.text("a")
    assert "last_status: waiting\n" in world.text("b")
    assert world.log().count("⏳ [[00_system/tasks/a|a]] waits for quota until 2026-11-20 12:00") == 1
    world.advance_to("12:02")
    assert "last_status: success\n" in world.text("a")


def test_edits_while_a_run_waits_are_nobody_elses(world: World) -> None:
    """A session that waits for hours is not alive: what a person writes meanwhile is not held for it."""
    world.script = once(limited(world, "12:00"))
    claude(world, "a", 'cron: "10 10 * * *"')
    world.start()
    world.advance_to("10:25")
    world.command("new", 'cron: "30 10 * * *"', age_s=0)
    world.advance_to("10:31")
    assert world.history("new") == ["10:30 success"]


def test_what_would_go_on_after_the_next_fire_time_is_skipped(world: World) -> None:
    """Hourly with a reset in three hours: skipped with the reason, and so are the fire times until then."""
    world.script = once(limited(world, "13:30"))
    claude(world, "a", 'cron: "10 * * * *"')
    world.start()
    world.advance_to("14:20")
    reason = "quota: the plan's limit is reached until 2026-11-20 13:30, after the next fire time"
    first, *others = world.runs()
    assert (first.outcome, first.reason) == (Outcome.SKIPPED, reason)
    assert world.history()[1:] == [f"11:10-12:10 skipped 2: {reason}", "13:10 success", "14:10 success"]
    assert len(world.engine.submitted) == 3
    assert others[1].started_at == world.moment("2026-11-20 13:30")
    world.advance(60)
    assert "⏭" in world.text("a")


def test_no_other_claude_task_starts_until_the_reset(world: World) -> None:
    """The limit is the plan's: what is due meanwhile waits under the same rule; other tasks go on."""
    world.script = lambda request: limited(world, "12:00") if request.task == "a" and request.attempt == 1 else DONE
    claude(world, "a", 'cron: "10 10 * * *"')
    claude(world, "b", 'cron: "20 10 * * *"')
    claude(world, "c", "every: 30m")
    world.command("d", 'cron: "30 10 * * *"')
    world.start()
    world.advance_to("11:45")
    assert world.history("b") == ["10:20 waiting"]
    assert [(run.outcome, run.count) for run in world.runs("c")] == [(Outcome.SKIPPED, 3)]
    assert world.history("d") == ["10:30 success"]
    world.advance_to("12:05")
    assert world.history("a") + world.history("b") == ["10:10 success", "10:20 success"]
    assert {run.outcome for run in world.runs("c")} == {Outcome.SKIPPED, Outcome.SUCCESS}


def test_what_a_person_asks_for_waits_for_the_reset_in_any_case(world: World) -> None:
    """A run that was asked for is not done by the next fire time."""
    world.script = once(limited(world, "12:00"))
    claude(world, "a", "every: 30m")
    world.start()
    world.advance_to("10:31")
    world.request("run", "a")
    world.advance_to("11:50")
    assert [run.state for run in world.runs() if run.trigger == "req"] == ["waiting"]
    world.advance_to("12:01")
    assert [run.outcome for run in world.runs() if run.trigger == "req"] == [Outcome.SUCCESS]


def test_the_limit_is_remembered_by_the_next_daemon(world: World) -> None:
    """A restart does not try what is known not to work; the run goes on at the reset."""
    world.script = once(limited(world, "12:00"))
    claude(world, "a", 'cron: "10 10 * * *"')
    claude(world, "b", 'cron: "20 10 * * *"')
    world.start()
    world.advance_to("10:15")
    world.restart()
    world.advance_to("11:59")
    assert world.engine.submitted == []
    world.advance_to("12:01")
    assert world.history() == ["10:10 success", "10:20 success"]


def test_waiting_for_the_reset_is_never_missed(world: World) -> None:
    """However strict `max_late` is: while the daemon is there, waiting makes nothing late."""
    world.script = once(limited(world, "18:00"))
    claude(world, "a", 'cron: "10 10 * * *"\nmax_late: 1m')
    claude(world, "b", 'cron: "20 10 * * *"\ncatch_up: skip')
    world.start()
    world.advance_to("18:01")
    assert world.history() == ["10:10 success", "10:20 success"]


def test_usage_above_max_usage_makes_claude_tasks_wait(world: World) -> None:
    """At `max_usage` percent of the plan the rest is left to the person, until the window begins anew."""
    world.write_settings("host: here\ntimezone: Europe/Berlin\nmax_usage: 80%", age_s=3600)
    until = world.moment("2026-11-20 12:00")
    used = Result(outcome=Outcome.SUCCESS, turns=1, cost_usd=0.01, usage=83.0, usage_until=until)
    world.script = once(used)
    claude(world, "a", 'cron: "10 10 * * *"')
    claude(world, "b", 'cron: "20 10 * * *"')
    claude(world, "c", "every: 30m")
    world.start()
    world.advance_to("10:25")
    assert world.history() == ["10:10 success", "10:20 waiting"]
    world.advance_to("10:35")
    reason = "quota: 83 % of the plan is used, max_usage is 80 % until 2026-11-20 12:00, after the next fire time"
    assert [run.reason for run in world.runs("c")] == [reason]
    world.write_settings("host: here\ntimezone: Europe/Berlin\nmax_usage: 90")
    world.advance_to("10:40")
    assert world.history("b") == ["10:20 success"]


def test_without_network_a_run_waits_and_fails_nothing(world: World) -> None:
    """Right after waking there is no network: the run tries again in growing steps, and `retries` is not used up."""
    results = [NO_NETWORK] * 4
    world.script = lambda _: results.pop() if results else DONE
    claude(world, "a", 'cron: "10 10 * * *"')
    world.start()
    world.suspend(900)
    (run,) = world.runs()
    assert (run.state, run.waiting_for) == ("waiting", "network")
    world.advance_to("10:40")
    (run,) = world.runs()
    assert (run.outcome, run.attempts) == (Outcome.SUCCESS, 5)
    began = run.started_at
    assert began is not None
    assert run.ended_at == began + timedelta(seconds=30 + 60 + 120 + 240)


def test_no_network_for_good_ends_in_a_failure_that_pauses_nothing(world: World) -> None:
    """Up to the next fire time; then the run has failed, but not the task, so it is not paused."""
    world.script = lambda _: NO_NETWORK
    claude(world, "a", "every: 1h\npause_after: 2")
    world.start()
    world.advance(3 * 3600 + 600)
    outcomes = [run.outcome for run in world.runs()]
    assert outcomes[:3] == [Outcome.FAILURE, Outcome.FAILURE, None]
    assert world.stands("a") == "armed"
    assert world.runs()[0].attempts > 5


def test_an_overload_is_waited_for_within_the_runs_time_and_then_retried(world: World) -> None:
    """Up to `timeout` without using up a retry; then as any failure, with `retries`."""
    world.script = lambda _: OVERLOADED
    claude(world, "a", 'cron: "10 10 * * *"\ntimeout: 3m\nretries: 1\nretry_delay: 10m')
    world.start()
    world.advance_to("10:11")
    assert world.runs()[0].waiting_for == "overload"
    world.advance_to("10:15")
    assert world.runs()[0].waiting_for == "retry"
    world.advance_to("11:00")
    (run,) = world.runs()
    assert (run.outcome, run.reason) == (Outcome.FAILURE, "overloaded")


@pytest.mark.parametrize("cause", ["quota", "network", "overload"])
def test_nobody_who_runs_what_is_due_and_leaves_waits_for_it(world: World, cause: str) -> None:
    """`--once`, and a command without a daemon, leave such a run to the next daemon instead of sitting there."""
    first = {"quota": limited(world, "12:00"), "network": NO_NETWORK, "overload": OVERLOADED}[cause]
    world.script = once(first)
    claude(world, "a", 'cron: "10 10 * * *"')
    world.start()
    world.advance_to("10:10")
    assert world.runs()[0].waiting_for == cause
    assert not world.daemon.dispatcher.is_busy
    world.down_until("12:30")
    world.advance(60)
    assert world.history() == ["10:10 success"]


def test_a_cancelled_wait_ends(world: World) -> None:
    """What waits for the reset can be cancelled, paused and deleted as all that waits."""
    world.script = once(limited(world, "12:00"))
    claude(world, "a", 'cron: "10 10 * * *"')
    claude(world, "b", 'cron: "20 10 * * *"')
    world.start()
    world.advance_to("10:30")
    world.request("cancel", "a")
    world.edit("b", "type: claude", "type: claude\nstatus: paused")
    world.advance(30)
    assert {run.state for run in world.runs()} == {"ended"}
    assert world.runs("b")[0].outcome is Outcome.SKIPPED


@pytest.mark.parametrize("result", [NO_NETWORK, OVERLOADED, replace(NO_NETWORK, cause=None)])
def test_a_run_with_no_money_left_ends_with_what_went_wrong(world: World, result: Result) -> None:
    """It died without saying what it had cost, so all it may cost is booked: another attempt could do nothing."""
    world.script = lambda _: replace(result, cost_usd=None)
    claude(world, "a", 'cron: "10 10 * * *"\nretries: 3\nretry_delay: 10s\nmax_usd: 0.5')
    world.start()
    world.advance_to("11:00")
    (run,) = world.runs()
    assert (run.outcome, run.attempts, run.reason) == (Outcome.FAILURE, 1, result.reason)
    assert world.trust.spent(world.clock.now().date()).of("a") == 0.5


@pytest.mark.parametrize(
    ("costs", "booked"), [((0.125, 0.25), 0.375), ((0.125, None), 0.5), ((None, None), 0.5), ((0.0, 0.0), 0.0)]
)
def test_a_run_costs_what_all_its_attempts_were_charged(
    world: World, costs: tuple[float | None, ...], booked: float
) -> None:
    """Its note says the sum that the day's budget is less, also of what nobody told; each attempt keeps its own."""
    said = iter(costs)
    world.script = lambda _: Result(outcome=Outcome.FAILURE, reason="no feed", turns=1, cost_usd=next(said))
    claude(world, "a", 'cron: "10 10 * * *"\nretries: 1\nretry_delay: 10s\nmax_usd: 0.5')
    world.start()
    world.advance_to("11:00")
    (run,) = world.runs()
    assert run.result is not None
    assert (run.result.cost_usd, world.trust.spent_by(run.id)) == (booked, booked)
    assert [attempt.cost_usd for attempt in world.call(world.store.attempts(run.id))] == list(costs[: run.attempts])
    assert (f"${booked:.2f}" in world.text("a")) is (booked > 0)


def test_retries_keep_within_the_day(world: World) -> None:
    """An attempt like the dearest one would go over `max_usd`, so it is not made: the day's cap holds."""
    world.write_settings("host: here\ntimezone: Europe/Berlin\nvault_max_usd_day: 1.7", age_s=3600)
    world.script = lambda _: Result(outcome=Outcome.FAILURE, reason="no feed", turns=1, cost_usd=0.3)
    for name in "abcd":
        claude(world, name, 'cron: "10 10 * * *"\nretries: 3\nretry_delay: 10s\nmax_usd: 0.5')
    world.start()
    world.advance_to("11:00")
    assert {run.reason for run in world.runs()} == {"no feed (not retried: $0.20 is left of max_usd)"}
    assert [(run.outcome, run.attempts) for run in world.runs()] == [(Outcome.FAILURE, 1)] * 4
    assert world.trust.spent(world.clock.now().date()).total == pytest.approx(1.2)
    assert "not retried: \\$0.20 is left" in world.text("a")


# login


def test_a_missing_login_is_tried_once_and_told_once(world: World) -> None:
    """The first run ends blocked with the cure; until it works again no further session is started for it."""
    world.script = lambda _: NO_LOGIN
    claude(world, "a", "every: 5m")
    world.start()
    world.advance_to("10:33")
    assert [run.outcome for run in world.runs()] == [Outcome.BLOCKED, Outcome.BLOCKED]
    first, others = world.runs()
    assert (first.attempts, first.reason) == (1, "not logged in: run `claude`")
    assert (others.attempts, others.count) == (0, 5)
    assert others.reason == "not logged in since 2026-11-20 10:05: run `claude`"
    assert len(world.engine.submitted) == 1
    problems = [text for what, where, text in world.told if (what, where) == ("problem", "login")]
    assert problems == ["Claude is not logged in since 2026-11-20 10:05: run `claude`"]


def test_one_run_in_half_an_hour_tries_the_login(world: World) -> None:
    """It stands for all: the others wait for how it ends, and go on if somebody has logged in."""
    world.script = lambda _: NO_LOGIN
    for name in ("a", "b", "c"):
        claude(world, name, 'cron: "0 11-13 * * *"')
    world.start()
    world.advance_to("11:01")
    assert len(world.engine.submitted) == 2  # max_claude: both began before anybody knew
    world.advance_to("12:01")
    assert len(world.engine.submitted) == 3
    world.script = lambda _: None
    world.advance_to("13:00:30")
    assert len(world.engine.submitted) == 4
    world.script = lambda _: DONE
    world.engine.finish(next(iter(world.engine.running)), DONE)
    world.advance(60)
    assert [run.outcome for run in world.runs()][-3:] == [Outcome.SUCCESS] * 3
    assert ("login", "", "Claude is logged in") in world.told


def test_new_credentials_are_tried_at_once(make_world: Callable[..., World]) -> None:
    """Who logs in need not wait, nor tell the daemon."""
    world = make_world()
    world.credentials = 1
    world.script = lambda _: NO_LOGIN
    claude(world, "a", "every: 5m")
    world.start()
    world.advance_to("10:12")
    world.credentials = 2
    world.script = lambda _: DONE
    world.advance_to("10:16")
    assert [run.outcome for run in world.runs()] == [Outcome.BLOCKED, Outcome.BLOCKED, Outcome.SUCCESS]


def test_credentials_that_came_while_a_run_was_refused_are_tried_at_once(make_world: Callable[..., World]) -> None:
    """A run that began before them says nothing of them."""
    world = make_world()
    world.credentials = 1

    def logs_in_too_late(_: RunRequest) -> Result:
        world.credentials = 2
        return NO_LOGIN

    world.script = logs_in_too_late
    claude(world, "a", "every: 5m")
    world.start()
    world.advance_to("10:06")
    world.script = lambda _: DONE
    world.advance_to("10:11")
    assert [run.outcome for run in world.runs()] == [Outcome.BLOCKED, Outcome.SUCCESS]


def test_what_a_person_asks_for_tries_the_login(world: World) -> None:
    """Whoever ticks run-now has a reason to believe that it works now."""
    world.script = lambda _: NO_LOGIN
    claude(world, "a", 'cron: "10 10 * * *"')
    world.start()
    world.advance_to("10:11")
    world.script = lambda _: DONE
    world.request("run", "a")
    world.advance(10)
    assert [run.outcome for run in world.runs()] == [Outcome.BLOCKED, Outcome.SUCCESS]


def test_a_login_is_tried_after_a_restart(world: World) -> None:
    """Each daemon asks once for itself."""
    world.script = lambda _: NO_LOGIN
    claude(world, "a", "every: 5m")
    world.start()
    world.advance_to("10:12")
    world.restart()
    world.script = lambda _: SUCCESS
    world.advance_to("10:16")
    assert world.runs()[-1].outcome is Outcome.SUCCESS
