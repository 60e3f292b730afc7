"""Tasks that come after other tasks: once for each run that qualifies, whatever happens in between (rule 1.5)."""

from __future__ import annotations

import pytest

from vault_scheduler.planning.approvals import TrustMode
from vault_scheduler.run import Outcome, Result, TriggerKind
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import World

FAILURE = Result(outcome=Outcome.FAILURE, reason="exit 1", exit_code=1)


def stay(world: World, *tasks: str) -> None:
    """Runs of these tasks go on until the test ends them."""
    world.script = lambda request: None if request.task in tasks else SUCCESS


def end(world: World, task: str, result: Result = SUCCESS) -> None:
    """The run of the task ends like this."""
    world.engine.finish(task, result)
    world.settle()


def blocks(world: World, task: str) -> list[str]:
    """The block ids that stand in a note."""
    return [line.split("^r-")[1] for line in world.text(task).splitlines() if "^r-" in line]


def test_a_chain_of_three_runs_in_order(world: World) -> None:
    """Each starts when the one before has ended, with its fire time; nothing moves the schedule."""
    world.command("a", 'cron: "0 * * * *"')
    world.command("b", 'after: "[[a]]"')
    world.command("c", 'after: "[[b]]"')
    stay(world, "a", "b")
    world.start()
    world.advance_to("11:00")
    assert world.history("b") == []
    world.advance(90)
    end(world, "a")
    assert world.history("b") == ["11:01:30 running"]
    world.advance(60)
    end(world, "b")
    assert world.history() == ["11:00 success", "11:01:30 success", "11:02:30 success"]
    parents = [world.runs(task)[0] for task in "ab"]
    for child, parent in zip("bc", parents, strict=True):
        [run] = world.runs(child)
        assert (run.trigger, run.extra["parent"]) == (TriggerKind.AFTER, parent.id)
        assert run.key == f"{child}|after|{parent.key}"
    world.advance_to("13:30")
    world.engine.finish("a")  # 12:00; that of 13:00 was skipped
    world.settle()
    assert [run.outcome for run in world.runs("a")] == [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.SKIPPED]
    assert len(world.runs("b")) == 2, "a range row of the parent starts nothing"


def test_a_diamond_runs_its_last_task_twice(world: World) -> None:
    """There is no join: each run of any parent counts. Those that end together wait for each other."""
    world.command("a", 'cron: "0 * * * *"')
    for middle in ("b", "c"):
        world.command(middle, 'after: "[[a]]"')
    world.command("d", 'after: ["[[b]]", "[[c]]"]')
    world.start()
    world.advance_to("11:30")
    assert world.history("d") == ["11:00 success", "11:00 success"]
    assert {run.extra["parent"] for run in world.runs("d")} == {world.runs(task)[0].id for task in "bc"}


def test_one_run_starts_a_hundred_tasks(world: World) -> None:
    """All of them are claimed together."""
    world.command("a", 'cron: "0 * * * *"')
    for number in range(100):
        world.command(f"child {number}", 'after: "[[a]]"')
    world.start()
    world.advance_to("11:59")
    assert len(world.runs()) == 101
    assert {run.outcome for run in world.runs()} == {Outcome.SUCCESS}


@pytest.mark.parametrize(
    ("wanted", "result", "starts"),
    [
        ("", SUCCESS, True),
        ("", FAILURE, False),
        ("after_outcome: success", Result(outcome=Outcome.TIMEOUT), False),
        ("after_outcome: failure", FAILURE, True),
        ("after_outcome: failure", Result(outcome=Outcome.TIMEOUT), True),
        ("after_outcome: failure", SUCCESS, False),
        ("after_outcome: any", SUCCESS, True),
        ("after_outcome: any", FAILURE, True),
        ("after_outcome: any", Result(outcome=Outcome.BLOCKED, reason="a question"), False),
        ("after_outcome: any", Result(outcome=Outcome.CANCELLED), False),
        ("after_outcome: any", Result(outcome=Outcome.SKIPPED, reason="gate"), False),
    ],
)
def test_the_outcome_decides(world: World, wanted: str, result: Result, starts: bool) -> None:
    """And a run that does not qualify is done with: it starts nothing later either."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", f'after: "[[a]]"\n{wanted}')
    world.script = lambda request: result if request.task == "a" else SUCCESS
    world.start()
    world.advance_to("11:30")
    world.restart()
    assert world.history("b") == (["11:00 success"] if starts else [])
    assert world.call(world.store.unfollowed()) == []


def test_a_run_that_is_retried_has_not_ended(world: World) -> None:
    """Its children start at its one outcome."""
    world.command("a", 'cron: "0 11 * * *"\nretries: 1\nretry_delay: 10m')
    world.command("good", 'after: "[[a]]"')
    world.command("bad", 'after: "[[a]]"\nafter_outcome: failure')
    attempts = iter([FAILURE, SUCCESS])
    world.script = lambda request: next(attempts) if request.task == "a" else SUCCESS
    world.start()
    world.advance_to("11:05")
    assert (world.history("good"), world.history("bad")) == ([], [])
    world.advance_to("11:30")
    assert (world.history("good"), world.history("bad")) == (["11:10 success"], [])


def test_a_retry_that_is_given_up_starts_the_children_at_once(world: World) -> None:
    """The run ends when its task is deleted, and nobody waits for the next look."""
    world.command("a", 'cron: "0 11 * * *"\nretries: 1\nretry_delay: 10m')
    world.command("bad", 'after: "[[a]]"\nafter_outcome: failure')
    world.script = lambda request: FAILURE if request.task == "a" else SUCCESS
    world.start()
    world.advance_to("11:05")
    world.delete("a")
    while world.history("a") == ["11:00 waiting"]:
        world.clock.advance(0.3)  # until it is believed
        world.call(world.daemon.tick())
    assert (world.daemon.pause_s(), world.daemon._is_idle) == (0.0, False)
    world.settle()
    assert len(world.runs("bad")) == 1


def test_a_run_that_somebody_asked_for_starts_the_children_too(world: World) -> None:
    """By the checkbox and by the command: a qualifying run is a qualifying run."""
    world.command("a", 'cron: "0 3 * * *"')
    world.command("b", 'after: "[[a]]"')
    world.start()
    world.advance(1)
    world.request("run", "a")
    world.edit("a", "type:", "run_now: true\ntype:")
    world.advance(15)
    assert [run.trigger for run in world.runs("a")] == [TriggerKind.REQUEST] * 2
    assert [run.trigger for run in world.runs("b")] == [TriggerKind.AFTER] * 2


def test_what_the_child_itself_is_asked_for_is_no_matter_of_its_parent(world: World) -> None:
    """And it has a schedule besides."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"\ncron: "30 * * * *"')
    world.start()
    world.advance_to("11:40")
    assert world.history("b") == ["10:30 success", "11:00 success", "11:30 success"]


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", ["11:00 success", "11:01-11:03 skipped 3: still running"]),
        (
            "queue",
            ["11:00 success", "11:01-11:02 skipped 2: a later fire time took its place", "11:03 running"],
        ),
        ("cancel", ["11:00 cancelled", "11:01 cancelled", "11:02 cancelled", "11:03 running"]),
        ("allow", ["11:00 running", "11:01 running", "11:02 running", "11:03 running"]),
    ],
)
def test_a_parent_that_is_faster_than_its_child(world: World, overlap: str, expected: list[str]) -> None:
    """Each end of a parent's run is a fire time of the child: `overlap` says what becomes of it."""
    world.command("a", 'cron: "0-3 11 * * *"')
    world.command("b", f'after: "[[a]]"\noverlap: {overlap}')
    stay(world, "b")
    world.start()
    world.advance_to("11:03:30")
    if overlap in ("skip", "queue"):
        end(world, "b")
    assert world.history("b") == expected
    if overlap == "skip":
        world.advance(120)
        assert "skipped 3 ×" in world.text("b")
        assert len(blocks(world, "b")) == 2


def test_what_does_not_start_after_a_run_and_by_the_clock_is_told_apart(world: World) -> None:
    """Both are skipped for the same reason, and still are two rows."""
    world.command("a", 'cron: "*/2 11 * * *"')
    world.command("b", 'after: "[[a]]"\ncron: "1-59/2 11 * * *"')
    stay(world, "b")
    world.start()
    world.advance_to("11:20:30")
    assert world.history("b") == [
        "11:00 running",
        "11:01-11:19 skipped 10: still running",
        "11:02-11:20 skipped 10: still running",
    ]


def test_max_runs_counts_what_comes_after(world: World) -> None:
    """After two runs the child is done, and nothing is due for it any more."""
    world.command("a", "every: 5s")
    world.command("b", 'after: "[[a]]"\nmax_runs: 2')
    world.start()
    world.advance(60)
    assert world.history("b") == ["10:00:05 success", "10:00:10 success"]
    assert "status: done" in world.text("b")


def test_bounds_hold_for_what_comes_after(world: World) -> None:
    """`start` and `until` as for fire times: outside of them nothing is due, and nothing is told."""
    world.command("a", "every: 10m")
    world.command("b", 'after: "[[a]]"\nstart: 2026-11-20T10:20\nuntil: 2026-11-20T10:40')
    world.start()
    world.advance_to("11:30")
    assert world.history("b") == ["10:20 success", "10:30 success", "10:40 success"]
    assert "status: done" in world.text("b")


@pytest.mark.parametrize("status", ["paused", "stopped", "done"])
def test_a_task_that_is_not_armed_is_not_due(world: World, status: str) -> None:
    """Silence; and to set it going again starts nothing that was before."""
    world.command("a", 'cron: "0 11,12 * * *"')
    world.command("b", f'after: "[[a]]"\nstatus: {status}')
    world.start()
    world.advance_to("11:30")
    world.edit("b", f"status: {status}", "status: active")
    world.advance_to("11:50")
    assert world.history("b") == []
    world.advance_to("12:01")
    assert world.history("b") == ["12:00 success"]


@pytest.mark.parametrize(("ended", "expected"), [("11:20", []), ("11:35", ["11:35 success"])])
def test_a_pause_that_ran_out_while_nobody_looked(world: World, ended: str, expected: list[str]) -> None:
    """The task is armed from the instant that it named: what ended before is not due, what ended later is."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"\npaused_until: 2026-11-20T11:30')
    stay(world, "a")
    world.start()
    world.advance_to("11:10")
    world.take_vault_away()
    world.advance_to(ended)
    end(world, "a")
    world.stop()
    world.bring_vault_back()
    world.clock.advance((world.moment("11:40") - world.clock.now()).total_seconds())
    world.start()
    world.advance(60)
    assert world.history("b") == expected


def test_a_new_child_starts_nothing_by_itself(world: World) -> None:
    """Neither do other links: what ended before counts for nobody, also if nobody was there to see the edit."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("x", 'cron: "0 11 * * *"')
    world.command("changed", 'after: "[[x]]"')
    stay(world, "a")
    world.start()
    world.advance_to("11:00:30")
    world.engine.finish("a")  # nobody looks any more
    world.call(world.daemon._take_events())  # … but it is in the ledger
    world.crash()
    world.command("new", 'after: "[[a]]"', age_s=0)
    world.edit("changed", "[[x]]", "[[a]]")
    world.clock.advance(600)
    world.start()
    world.advance(60)
    assert (world.history("new"), world.history("changed")) == ([], ["11:00 success"])


def test_children_of_a_run_whose_daemon_died_start_once(world: World) -> None:
    """Recovered as abandoned: a failure, for which its children start; the next restart starts nothing."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("bad", 'after: "[[a]]"\nafter_outcome: failure')
    world.command("good", 'after: "[[a]]"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.crash()
    world.clock.advance(600)
    for _ in range(3):
        world.start()
        world.advance(30)
        world.crash()
    world.start()
    assert (world.history("bad"), world.history("good")) == (["11:15 success"], [])


@pytest.mark.parametrize("moment", ["the run has ended", "its children are planned", "its children are claimed"])
def test_a_crash_anywhere_makes_one_child(world: World, moment: str) -> None:
    """The children are claimed in the transaction that forgets the run's end."""
    world.command("a", 'cron: "0 11 * * *"')
    for child in ("b", "c"):
        world.command(child, 'after: "[[a]]"')
    stay(world, "a", "b", "c")
    world.start()
    world.advance_to("11:05")
    world.engine.finish("a")
    daemon, now = world.daemon, world.clock.now()
    world.call(daemon._take_events())
    if moment != "the run has ended":
        world.call(daemon._follow(now))
        assert daemon._claims.plans.claims
    if moment == "its children are claimed":
        world.call(daemon._claims.commit())
    world.crash()
    world.start()
    world.advance(15)
    assert [run.task for run in world.runs()] == ["a", "b", "c"]
    assert world.history("b") == world.history("c") == ["11:05 running"]


def test_what_could_not_be_committed_is_not_planned_twice(world: World) -> None:
    """While the ledger is locked, say, other runs end: what was planned stays, and is counted once."""
    for parent in "awx":
        world.command(parent, 'cron: "0 11 * * *"')
    world.command("b", 'after: ["[[a]]", "[[w]]", "[[x]]"]\ncron: "0 11 * * *"')
    stay(world, "a", "b", "w", "x")
    world.start()
    world.advance_to("11:04")
    end(world, "w")
    world.advance_to("11:05")
    world.engine.finish("a")
    world.call(world.daemon._take_events())
    world.call(world.daemon._follow(world.clock.now()))
    assert world.daemon._claims.plans.claims, "and nobody commits it"
    end(world, "x")
    assert world.history("b") == ["11:00 running", "11:04-11:05 skipped 3: still running"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", "11:00 success"),
        ("max_late: 30m", "11:00 missed 1: the scheduler was off"),
        ("catch_up: skip", "11:00 missed 1: the scheduler was off"),
        ("catch_up: all\nmax_late: 30m", "11:00 success"),
    ],
)
def test_a_child_that_is_late(world: World, policy: str, expected: str) -> None:
    """The daemon died between the end of the run and the claim of its child: `max_late` and `catch_up` judge it."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", f'after: "[[a]]"\n{policy}')
    stay(world, "a")
    world.start()
    world.advance_to("11:00")
    world.engine.finish("a")
    world.call(world.daemon._take_events())
    world.crash()
    world.clock.advance(3600)
    world.start()
    world.advance(60)
    assert world.history("b") == [expected]
    assert len(blocks(world, "b")) == 1


def test_nothing_starts_while_the_vault_is_away(world: World) -> None:
    """What cannot be seen never starts; when it is back, the child does."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.take_vault_away()
    world.advance(60)
    end(world, "a")
    world.advance(600)
    assert world.history("b") == []
    world.bring_vault_back()
    world.advance(60)
    assert world.history("b") == ["11:06 success"]


def test_nothing_is_judged_before_all_notes_are_read(world: World) -> None:
    """When the daemon starts, a parent's note may still be read: its child is not invalid for it."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.stop()
    note = world.path("a").read_bytes()
    world.put("a", b"")  # somebody is writing it right now
    world.start()
    assert world.survey.starting
    world.advance(1)
    assert (world.stands("b"), world.history("b")) == ("armed", [])
    world.put("a", note)
    world.advance(60)
    assert (world.stands("b"), world.daemon.problems()) == ("armed", [])


# what is wrong with a chain


def test_a_cycle_starts_nothing_and_is_told(world: World) -> None:
    """Every task of it is invalid and says so; its own fire times end blocked."""
    world.command("a", 'after: "[[c]]"\ncron: "*/10 * * * *"')
    world.command("b", 'after: "[[a]]"')
    world.command("c", 'after: "[[b]]"')
    world.command("tail", 'after: "[[b]]"')
    world.start()
    world.advance_to("10:35")
    assert [world.stands(task) for task in ("a", "b", "c", "tail")] == ["invalid"] * 3 + ["armed"]
    assert world.history() == ["10:10-10:30 blocked 3: after: this task comes after itself: a → b → c → a"]
    assert [(problem.path[-4:], problem.line, problem.key) for problem in world.daemon.problems()] == [
        ("a.md", 4, "after"),
        ("b.md", 4, "after"),
        ("c.md", 4, "after"),
    ]
    assert world.log().count("comes after itself: b → c → a → b") == 1
    world.edit("a", 'after: "[[c]]"\n', "")
    world.advance_to("10:45")
    assert world.history()[-4:] == ["10:40 success"] * 4
    assert world.daemon.problems() == []


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("nobody", "there is no task 'nobody'"),
        ("journal", "there is no task 'journal'"),
        ("broken", "00_system/tasks/broken.md is no valid task"),
        ("twice", "'twice' may be any of 00_system/tasks/x/twice.md, 00_system/tasks/y/twice.md"),
        ("elsewhere", "'elsewhere' runs on there, and this task on here"),
    ],
)
def test_a_parent_that_cannot_be_one(world: World, link: str, message: str) -> None:
    """The task is invalid, and says why, where and what to do."""
    world.write("journal", "tags: [x]")
    world.write("broken", "type: command\ncommand: x\ncron: nonsense")
    world.command("x/twice", "every: 1h")
    world.command("y/twice", "every: 2h")
    world.command("elsewhere", "every: 1h\nhost: there")
    world.command("c", f'after: "[[{link}]]"\ncron: "*/20 * * * *"')
    world.start()
    [problem] = [problem for problem in world.daemon.problems() if problem.path.endswith("/c.md")]
    assert (problem.message, problem.line, problem.key, bool(problem.fix)) == (message, 4, "after", True)
    world.advance_to("10:30")
    assert world.history("c") == [f"10:20 blocked 1: after: {message}"]


def test_a_child_that_needs_a_person_ends_blocked(world: World) -> None:
    """Held or invalid, it says so for each run that would have started it, in one row."""
    world.command("a", 'cron: "0,10,20 11 * * *"')
    world.command("held", 'after: "[[a]]"')
    world.command("broken", 'after: "[[a]]"')
    world.start()
    world.stop()
    world.trust_mode = TrustMode.PINNED
    world.edit("held", "echo held", "echo other")
    world.edit("broken", "echo broken", '"')
    world.start()
    world.advance_to("11:30")
    [held] = world.runs("held")
    assert (world.stands("held"), held.outcome, held.count) == ("held", Outcome.BLOCKED, 3)
    assert world.history("broken") == ["11:00-11:20 blocked 3: the note is invalid"]
    assert world.text("held").count("blocked") == 1


def test_an_orderly_stop_is_followed_like_any_other_end(world: World) -> None:
    """The parent is abandoned when the daemon stops; what comes after failures starts with the next daemon."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("bad", 'after: "[[a]]"\nafter_outcome: failure')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.restart(after_s=600)
    world.restart(after_s=600)
    assert world.history("bad") == ["11:05 success"]


def test_parent_and_child_on_this_host_by_name_are_fine(world: World) -> None:
    """`host` may be written out."""
    world.command("a", 'cron: "0 11 * * *"\nhost: here')
    world.command("b", 'after: "[[a]]"')
    world.command("c", 'after: "[[b]]"\nhost: here')
    world.start()
    world.advance_to("11:01")
    assert world.history("c") == ["11:00 success"]


def test_a_link_that_breaks_counts_after_a_minute(world: World) -> None:
    """Until then the task goes on by the clock and after what it came after; then both end blocked, and it is told."""
    world.command("a", 'cron: "0 11,12 * * *"')
    world.command("b", 'after: "[[a]]"\ncron: "*/10 * * * *"')
    stay(world, "a")
    world.start()
    world.advance_to("11:09:30")
    world.delete("a")
    world.advance_to("11:10:10")
    assert (world.stands("b"), world.history("b")[-1]) == ("armed", "11:10 success")
    assert world.daemon.problems() == []
    world.advance_to("11:10:31")
    assert world.stands("b") == "invalid"
    assert world.log().count("there is no task 'a'") == 1
    world.advance_to("11:20:30")
    assert world.history("b")[-1] == "11:20 blocked 1: after: there is no task 'a'"


@pytest.mark.parametrize(("after_s", "outcome"), [(30, "success"), (90, "blocked 1: after: there is no task 'a'")])
def test_a_parent_that_is_deleted_while_it_runs(world: World, after_s: float, outcome: str) -> None:
    """Its run still ends. Within the minute its child starts; later the child is invalid, and says so for this run."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.delete("a")
    world.advance(after_s)
    end(world, "a")
    assert world.history("b") == [f"{world.local(world.clock.now())} {outcome}"]


def test_a_child_that_is_deleted_while_its_parent_runs_does_not_start(world: World) -> None:
    """Deleting counts at once."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.delete("b")
    world.advance(5)
    end(world, "a")
    assert world.history("b") == []


def test_the_parent_is_renamed_while_it_runs(world: World) -> None:
    """Obsidian rewrites the link, that edit counts ten seconds later, and nothing is lost in between."""
    world.command("Fetch", 'cron: "0 11,12 * * *"')
    world.command("b", 'after: "[[Fetch|the mail]]"')
    stay(world, "Fetch", "Get")
    world.start()
    world.advance_to("11:05")
    world.rename("Fetch", "Mail/Get")
    world.edit("b", "[[Fetch|the mail]]", "[[Mail/Get|the mail]]")
    world.advance(3)
    assert world.daemon.problems() == []
    end(world, "Fetch")  # the engine knows it by its old name
    assert world.history("b") == ["11:05:03 waiting"], "its note is being edited"
    world.advance(600)
    assert world.history("b") == ["11:05:03 success"]
    assert (world.daemon.problems(), world.stands("b")) == ([], "armed")
    world.advance_to("12:01")
    assert world.history("b") == ["11:05:03 success", "12:00 success"]


def test_the_child_is_renamed_while_its_parent_runs(world: World) -> None:
    """It starts under its new name, once."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.rename("b", "later/c")
    world.settle()
    world.engine.finish("a")
    world.clock.advance(0.3)  # the new note is believed in the very look that sees the end
    world.settle()
    world.advance(60)
    assert world.history("later/c") == ["11:05 success"]
    world.restart()
    assert [run.task for run in world.runs()] == ["a", "later/c"]


def test_edits_at_the_moment_of_the_end_take_nothing_away(world: World) -> None:
    """What was due before an edit counted starts as it was."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"\ncron: "0 3 * * *"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.edit("b", "0 3 * * *", "0 4 * * *")
    world.advance(9.5)
    world.engine.finish("a")
    world.clock.advance(1)  # the edit counts in the very look that sees the end
    world.settle()
    assert [run.outcome for run in world.runs("b")] == [Outcome.SUCCESS]


def test_a_paused_vault_starts_no_children(world: World) -> None:
    """And makes up for nothing afterwards."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.write_settings("status: paused\nhost: here\ntimezone: Europe/Berlin")
    world.advance(15)
    end(world, "a")
    world.write_settings("status: active\nhost: here\ntimezone: Europe/Berlin")
    world.advance(60)
    assert world.history("b") == []


def test_once_runs_the_children_too(world: World) -> None:
    """`daemon --once` is not idle while a run has not been followed."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"')
    world.start()
    world.stop()
    world.clock.advance(3601)
    world.start(once=True)
    assert world.history() == ["11:00 success", "11:00:01 success"]
    assert world.daemon._is_idle


def test_a_clock_that_is_set_back_loses_no_child(world: World) -> None:
    """The child was set going an hour later by the old clock; the end of a run is new all the same."""
    world.command("a", 'cron: "0 11 * * *"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    world.command("b", 'after: "[[a]]"', age_s=0)
    world.advance(30)
    world.suspend(-1800)
    end(world, "a")
    assert world.history("b") == ["10:35:30 success"]


def test_a_clock_that_is_set_back_as_the_parent_ends_does_not_hold_up_the_child(world: World) -> None:
    """Its fire time, the end of the parent, is told by the clock before: it starts at once, not when that comes."""
    world.command("a", 'cron: "0 11 * * *"')
    world.command("b", 'after: "[[a]]"')
    stay(world, "a")
    world.start()
    world.advance_to("11:05")
    (run,) = [run.id for run in world.daemon.dispatcher.going()]
    world.engine.finish(run)
    world.clock.suspend(-1800)
    world.settle()
    world.advance(1)
    assert world.history("b") == ["11:05 success"]
