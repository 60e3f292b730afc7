"""What a crash of the daemon must not undo: orders that were given, and decisions that no note shows yet."""

from __future__ import annotations

from vault_scheduler.commands import app
from vault_scheduler.commands.next_fires import next_of_vault
from vault_scheduler.commands.task_page import task_list
from vault_scheduler.machine.config import Machine
from vault_scheduler.machine.place import Place, read_settings
from vault_scheduler.run import Outcome, Result
from vault_scheduler.task import Status
from vault_scheduler.testing import SUCCESS, Lasting
from vault_scheduler.testing_world import World
from vault_scheduler.vault.vault import Vault

FAILURE = Result(outcome=Outcome.FAILURE, reason="exit 3", exit_code=3)


def test_cancelled_run_is_not_retried_after_a_crash(world: World) -> None:
    """Who cancelled a run is believed, also if the daemon dies before the run's processes have ended."""
    world.script = lambda _: None
    world.command("a", 'cron: "10 10 * * *"\nretries: 2\nretry_delay: 1s')
    world.start()
    world.advance_to("10:12")
    (run,) = world.runs()
    world.call(world.daemon.dispatcher.outcomes.cancel(run.id, "cancelled by hand", world.clock.now()))
    world.crash()
    world.start()
    world.advance(60)
    (run,) = world.runs()
    assert (run.outcome, run.reason, run.attempts) == (Outcome.CANCELLED, "cancelled by hand", 1)


def test_cancelled_run_whose_attempt_had_failed_is_not_retried_after_a_crash(world: World) -> None:
    """The attempt failed by itself while it was being cancelled, and the daemon died then: it ends as it failed."""
    world.script = lambda _: None
    world.command("a", 'cron: "10 10 * * *"\nretries: 2\nretry_delay: 1s')
    world.start()
    world.advance_to("10:12")
    (run,) = world.runs()
    world.call(world.daemon.dispatcher.outcomes.cancel(run.id, "cancelled by hand", world.clock.now()))
    world.call(world.store.end_attempt(run.id, 1, FAILURE, world.clock.now()))
    world.crash()
    world.start()
    world.advance(60)
    (run,) = world.runs()
    assert (run.outcome, run.attempts) == (Outcome.FAILURE, 1)


def test_task_that_paused_itself_stays_paused_after_a_crash(world: World) -> None:
    """The note could not be written yet when the daemon died; nothing fires, and the note says paused afterwards."""
    paused_itself(world)
    assert world.stands("a") == "paused"
    for _ in range(2):
        world.crash()
        world.clock.advance(70)
        world.start()
        assert world.stands("a") == "paused"
        assert len(world.history()) == 3
    world.advance(600)
    assert len(world.history()) == 3
    assert "status: paused" in world.text("a")
    assert "3 failures in a row" in world.text("a")


def test_task_whose_last_failure_ended_with_the_daemon_pauses_itself(world: World) -> None:
    """The daemon died right after the failure that was one too many had been recorded: nothing more starts."""
    world.script = lambda request: None if len(world.engine.submitted) == 3 else FAILURE
    world.command("a", "every: 1m\npause_after: 3\nstatus: active")
    world.start()
    world.advance_to("10:03:01")
    run = world.runs()[-1]
    world.call(world.store.end_attempt(run.id, 1, FAILURE, world.clock.now()))
    world.call(world.store.finish(run.id, Outcome.FAILURE, FAILURE, "exit 3", world.clock.now(), ("note",)))
    world.crash()
    world.clock.advance(90)
    world.start()
    world.advance(600)
    assert world.history() == ["10:01 failure", "10:02 failure", "10:03 failure", "10:04 skipped 1: paused"]
    assert "status: paused" in world.text("a")


def test_person_who_resumes_a_task_that_paused_itself_is_believed(world: World) -> None:
    """Once the note has said paused, setting it active again counts, whenever the daemon comes back."""
    world.script = lambda _: FAILURE
    world.command("a", "every: 1m\npause_after: 3\nstatus: active")
    world.start()
    world.advance_to("10:05")
    assert "status: paused" in world.text("a")
    world.crash()
    world.edit("a", "status: paused", "status: active")
    world.clock.advance(60)
    world.start()
    assert world.stands("a") == "armed"
    world.advance(125)
    assert len(world.history()) == 5


def test_person_who_stops_a_task_that_was_about_to_pause_itself_is_believed(world: World) -> None:
    """What a person wrote while no daemon was there is not overwritten by a pause that came too late."""
    world.script = lambda _: Lasting(2, FAILURE)
    world.command("a", "every: 1m\npause_after: 3\nstatus: active")
    world.start()
    world.advance_to("10:03:01")
    world.edit("a", "command: echo", "command: echo ")
    world.advance(2)
    assert world.stands("a") == "paused"
    world.crash()
    world.edit("a", "status: active", "status: done")
    world.clock.advance(60)
    world.start()
    world.advance(300)
    assert "status: done" in world.text("a")
    assert len(world.history()) == 3


def test_ticked_run_is_made_once_however_often_the_daemon_dies(world: World) -> None:
    """Until the note shows `run_now: false` again the tick counts as taken, also if it was ticked moments ago."""
    world.command("a", 'cron: "0 12 * * *"\nrun_now: false')
    world.start()
    world.advance(60)
    world.edit("a", "run_now: false", "run_now: true")
    for _ in range(3):
        world.advance(2)
        world.crash()
        world.clock.advance(1)
        world.start()
    assert len(world.history()) == 1
    world.advance(60)
    assert len(world.history()) == 1
    assert "run_now: false" in world.text("a")


def test_tick_and_edit_while_no_daemon_was_there_is_one_run(world: World) -> None:
    """What a person changed besides, while the daemon was away, does not let it take the tick twice."""
    world.command("a", 'cron: "0 12 * * *"\nrun_now: false')
    world.start()
    world.advance(60)
    world.crash()
    world.edit("a", "run_now: false", "run_now: true")
    world.edit("a", "echo a", "echo again")
    for _ in range(3):
        world.start()
        world.advance(2)
        world.crash()
        world.clock.advance(1)
    world.start()
    world.advance(60)
    assert len(world.history()) == 1


def delivered_and_overwritten(world: World, *, away_s: float) -> None:
    """A result stands in note, log and below a heading; the daemon dies, and old copies of all three come back."""
    world.script = lambda _: Result(outcome=Outcome.SUCCESS, text="all is well")
    (world.root / "Page.md").write_text("# Results\n")
    world.command("a", 'cron: "10 10 * * *"\noutput: "Page#Results"')
    world.start()
    world.advance(60)
    before = world.text("a")
    world.advance_to("10:12")
    assert standing(world) == [1, 1, 1]
    world.crash()
    world.clock.advance(away_s)
    overwrite(world, before)
    world.start()


def overwrite(world: World, before: str) -> None:
    world.put("a", before.encode())
    (world.root / "Page.md").write_text("# Results\n")
    for log in (world.root / "00_system" / "logs").glob("*.md"):
        log.write_text("# mine\n")


def standing(world: World) -> list[int]:
    """How often the run stands in note, daily log and page."""
    (run,) = world.runs()
    return [text.count(run.id) for text in (world.text("a"), world.log(), (world.root / "Page.md").read_text())]


def test_result_that_vanished_while_no_daemon_ran_is_put_back_once(world: World) -> None:
    """Five minutes are five minutes, also if the daemon was restarted meanwhile; then it counts as deleted."""
    delivered_and_overwritten(world, away_s=60)
    world.advance(90)
    assert standing(world) == [1, 1, 1]
    overwrite(world, "---\ntype: command\ncommand: echo a\ncron: '10 10 * * *'\n---\n")
    world.restart()
    world.advance(90)
    assert standing(world) == [0, 0, 0]


def test_result_that_vanished_long_after_it_was_delivered_stays_away(world: World) -> None:
    """Nobody's old copy is to blame, whoever was there to see it."""
    delivered_and_overwritten(world, away_s=400)
    world.advance(90)
    assert standing(world) == [0, 0, 0]


def paused_itself(world: World) -> None:
    """A task that has paused itself, whose note cannot be told because somebody is typing in it."""
    world.script = lambda _: Lasting(2, FAILURE)
    world.command("a", "every: 1m\npause_after: 3\nstatus: active")
    world.start()
    world.advance_to("10:03:01")
    world.edit("a", "command: echo", "command: echo ")
    world.advance(2)
    assert "status: active" in world.text("a")


def test_task_that_paused_itself_stays_paused_under_another_name(world: World) -> None:
    """The pause goes with the task, also through a crash right after the rename, and then into the note."""
    paused_itself(world)
    world.advance(9)
    world.crash()
    world.path("a").rename(world.path("b"))
    world.start()
    world.advance(1)
    world.crash()
    world.start()
    world.advance(600)
    assert world.stands("b") == "paused"
    assert len(world.history("b")) == 3
    assert "status: paused" in world.text("b")


def test_commands_show_a_pause_that_is_not_written_yet(world: World) -> None:
    """As the daemon holds the task, not as its note still says."""
    paused_itself(world)
    assert listed(world) == {"a": "paused"}


def test_commands_show_a_pause_of_the_vault_whose_line_was_merged_away(world: World) -> None:
    """As the daemon holds the vault: only a line that says so sets it going; with the problem that says what to do."""
    world.command("a", "every: 10m")
    world.write_settings("host: here\nstatus: paused", age_s=3600)
    world.start()
    world.advance(1)
    world.write_settings("host: here\nmax_parallel: 3")
    world.advance(60)
    assert listed(world) == {"a": "paused"}
    ahead = next_of_vault(here(world), world.zone, world.clock.now(), None, 3)
    assert (ahead.fires, ahead.settings.status) == ((), Status.PAUSED)
    catalogue, lines = world.call(app.list_tasks(here(world)))
    page = task_list(catalogue, lines, here(world), world.clock.now(), 120)
    assert "The vault is paused: nothing starts." in page[-1]
    assert any("has gone from the settings note" in line for line in page)


def here(world: World) -> Place:
    return Place(
        vault=Vault(world.root),
        machine=Machine(host="here"),
        state=world.state_folder,
        clock=world.clock,
        machine_timezone=world.zone.key,
        settings=read_settings(Vault(world.root), world.zone.key),
    )


def listed(world: World) -> dict[str, str]:
    """How `list` tells that the tasks stand."""
    _, lines = world.call(app.list_tasks(here(world)))
    return {line.item.name: line.item.standing.state.value for line in lines}


def test_crash_while_the_gate_is_asked_costs_nothing_and_does_not_count(world: World) -> None:
    """No session had begun, so no money is charged, and `max_runs: 1` has its one run yet."""
    world.script = lambda _: None
    world.write("a", 'type: claude\ncron: "10,20 10 * * *"\nmax_usd: 0.5\nmax_runs: 1\ngate: "true"', body="Do it.\n")
    world.start()
    world.advance_to("10:11")
    (run,) = world.runs()
    world.call(world.store.attempt_running(run.id, 1, 1, 1, "boot", world.clock.now(), is_gate=True))
    world.crash()
    world.script = lambda _: SUCCESS
    world.start()
    world.advance(30)
    assert [run.outcome for run in world.runs()] == [Outcome.ABANDONED]
    assert world.trust.spent_by(run.id) == 0
    world.advance_to("10:21")
    assert [run.outcome for run in world.runs()] == [Outcome.ABANDONED, Outcome.SUCCESS]


def test_a_run_that_waited_when_the_daemon_died_is_the_first_of_a_catch_up(world: World) -> None:
    """`catch_up: all`: what came due meanwhile waits behind it, each fire time once; what comes due later overlaps."""
    world.script = lambda request: None if request.task == "long" else SUCCESS
    world.write_settings("host: here\nmax_parallel: 1")
    world.command("a", "every: 1h\ncatch_up: all")
    world.command("long", 'cron: "50 10,14 * * *"')
    world.start()
    world.advance_to("12:30")
    assert world.history("a") == ["11:00 waiting", "12:00 skipped 1: the run before it still waits"]
    world.crash()
    world.clock.advance(2 * 3600 + 60)
    world.script = lambda request: None
    world.start()
    world.advance_to("15:30")
    assert world.history("a") == [
        "11:00 running",
        "12:00 skipped 1: the run before it still waits",
        "13:00 waiting",
        "14:00 waiting",
        "15:00 skipped 1: still running",
    ]
