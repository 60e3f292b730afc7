"""What is due runs, once, on time; what is written, enabled or edited never fires by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from vault_scheduler.testing_world import SETTINGS, World

MakeWorld = Callable[..., World]


def test_cron_fires_at_its_minutes(world: World) -> None:
    """Each fire time runs once, at its second."""
    world.command("a", 'cron: "*/20 * * * *"')
    world.start()
    world.advance_to("11:05")
    assert world.history() == ["10:20 success", "10:40 success", "11:00 success"]
    assert all(run.started_at is not None and run.started_at == run.fire_time for run in world.runs())


def test_every_does_not_drift(world: World) -> None:
    """Multiples are counted from local midnight, however long runs and restarts take."""
    world.command("a", "every: 7m")
    world.start()
    world.advance_to("10:30")
    world.restart(after_s=61)
    world.advance_to("11:00")
    since = datetime(2000, 1, 1, tzinfo=world.zone).astimezone(UTC)
    assert len(world.runs()) == 8
    assert all((run.fire_time - since) % timedelta(minutes=7) == timedelta(0) for run in world.runs())


def test_fire_times_of_one_instant_are_one_run(world: World) -> None:
    """`cron`, `every` and `at` together run once where they agree."""
    world.command("a", 'cron: "0 11 * * *"\nevery: 30m\nat: 2026-11-20T11:00')
    world.start()
    world.advance_to("11:10")
    assert world.history() == ["10:30 success", "11:00 success"]


def test_new_note_never_fires_for_the_past(world: World) -> None:
    """A task that is written at 10:00:30 does not make up for 10:00."""
    world.start()
    world.advance(30)
    world.command("a", "every: 1h", age_s=0)
    world.advance_to("10:59")
    assert world.history() == []
    world.advance_to("11:01")
    assert world.history() == ["11:00 success"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("status: paused", "status: active"),  # resumed
        ("enabled: false", "enabled: true"),  # enabled
        ("paused_until: 2026-11-21", "paused_until:"),  # resumed before the time
        ('cron: "0 9 * * *"', 'cron: "30 10 * * *"'),  # a time that has just passed
        ("timezone: Europe/Berlin", "timezone: Asia/Tokyo"),
    ],
)
def test_edit_never_fires_by_itself(world: World, before: str, after: str) -> None:
    """Neither enabling nor resuming nor another schedule makes up for anything."""
    world.command("a", f"{before}\n" + ("" if "cron" in before else 'cron: "*/10 * * * *"'))
    world.start()
    world.advance_to("10:35")
    count = len(world.runs())
    world.edit("a", before, after)
    world.advance_to("10:39:50")
    assert len(world.runs()) == count
    world.advance_to("10:50:30")
    assert len(world.runs()) == (count if "cron" in before else count + 2)


@pytest.mark.parametrize("edited", [False, True], ids=["as it was", "edited while down"])
def test_restart_catches_up_unless_the_trigger_was_edited(world: World, edited: bool) -> None:
    """Downtime is no change; another schedule is one, so that nothing older than it is made up for."""
    world.command("a", 'cron: "0 * * * *"')
    world.start()
    world.stop()
    if edited:
        world.edit("a", "0 * * * *", "30 * * * *")
    world.clock.advance(3 * 3600)
    world.start()
    assert world.history() == ([] if edited else ["11:00-12:00 missed 2: the scheduler was off", "13:00 success"])
    world.advance_to("13:59")
    assert world.history()[-1:] == (["13:30 success"] if edited else ["13:00 success"])


def test_body_is_no_trigger(world: World) -> None:
    """Another text of the note changes what runs, not when: what came due while nobody was there still counts."""
    world.write("a", 'type: command\ncron: "0 * * * *"', body="```sh\necho one\n```\n")
    world.start()
    world.stop()
    world.edit("a", "echo one", "echo two")
    world.clock.advance(3600)
    world.start()
    assert world.history() == ["11:00 success"]
    assert "echo two" in world.engine.submitted[-1].body


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("catch_up: latest", ["10:30-12:30 missed 5: asleep", "13:00 success"]),
        ("catch_up: skip", ["10:30-13:00 missed 6: asleep"]),
        ("catch_up: all", [f"{hour} success" for hour in ("10:30", "11:00", "11:30", "12:00", "12:30", "13:00")]),
        ("max_late: 5m", ["10:30-13:00 missed 6: asleep"]),
        ("max_late: 10m", ["10:30-12:30 missed 5: asleep", "13:00 success"]),
        (
            "catch_up: all\nmax_late: 1m",
            [f"{h} success" for h in ("10:30", "11:00", "11:30", "12:00", "12:30", "13:00")],
        ),
    ],
)
def test_what_came_due_in_the_machines_sleep(world: World, policy: str, expected: list[str]) -> None:
    """The policy says what runs late; the rest is one row that says how often and why."""
    world.command("a", f'cron: "*/30 * * * *"\n{policy}')
    world.start()
    world.suspend(3 * 3600 + 600)  # until 13:10
    assert world.history() == expected
    world.advance_to("13:31")
    assert world.history() == [*expected, "13:30 success"]


def test_on_time_is_a_minute(world: World) -> None:
    """Up to 60 seconds late is on time for every policy."""
    world.command("a", 'cron: "30 10 * * *"\ncatch_up: skip\nmax_late: 1s')
    world.start()
    world.suspend(1800 + 59)
    assert world.history() == ["10:30 success"]


def test_downtime_says_that_nothing_was_running(world: World) -> None:
    """The reason of what was missed tells downtime from sleep."""
    world.command("a", 'cron: "0 * * * *"\ncatch_up: skip')
    world.start()
    world.down_until("2026-11-22 10:30")
    assert world.history() == ["11:00-10:00 missed 48: the scheduler was off"]


def test_at_most_a_hundred_are_made_up_for(world: World) -> None:
    """`catch_up: all` runs the newest hundred; the row of the others ends right before them."""
    world.command("a", "every: 1m\ncatch_up: all")
    world.start()
    world.suspend(130 * 60)
    assert world.history()[0] == "10:01-10:30 missed 30: asleep"
    assert len(world.runs()) == 101


def test_missed_rows_join(world: World) -> None:
    """What is missed again for the same reason is counted in the row before it."""
    world.command("a", 'cron: "0 * * * *"\ncatch_up: skip')
    world.start()
    world.suspend(2 * 3600 + 300)
    world.suspend(3600)
    assert world.history() == ["11:00-13:00 missed 3: asleep"]


def test_clock_set_back_fires_nothing_twice(world: World) -> None:
    """The hour that comes again brings no second run, and what comes after it is not slept through."""
    world.command("a", 'cron: "*/15 * * * *"')
    world.start()
    world.advance_to("11:05")
    world.suspend(-3600)
    world.advance_to("11:20")
    assert world.history() == [f"{time} success" for time in ("10:15", "10:30", "10:45", "11:00", "11:15")]


def test_wrong_clock_does_not_stop_a_task_for_a_year(world: World) -> None:
    """After a clock that was a year ahead is put right, tasks go on."""
    world.command("a", 'cron: "*/15 * * * *"\ncatch_up: skip')
    world.start()
    world.suspend(365 * 86400)
    world.advance(1000)
    world.suspend(-365 * 86400)
    before = len(world.runs())
    world.advance(3600)
    assert len(world.runs()) == before + 4
    world.suspend(30 * 86400)
    world.stop()
    world.clock.suspend(-30 * 86400)
    world.start()
    before = len(world.runs())
    world.advance(3600)
    assert len(world.runs()) == before + 4


@pytest.mark.parametrize(
    ("day", "task", "times"),
    [
        # Spring: 02:00 becomes 03:00. A fixed time in the gap fires right after it, a wildcard does not.
        ("2026-03-29", 'cron: "30 2 * * *"', ["03:00"]),
        ("2026-03-29", 'cron: "*/30 1-3 * * *"', ["01:00", "01:30", "03:00", "03:30"]),
        # Autumn: 03:00 becomes 02:00. A fixed time fires once, a wildcard in both passes.
        ("2026-10-25", 'cron: "30 2 * * *"', ["02:30"]),
        ("2026-10-25", 'cron: "*/30 2 * * *"', ["02:00", "02:30", "02:00", "02:30"]),
        # Elapsed time knows no gap.
        ("2026-03-29", "every: 30m\nuntil: 2026-03-29T04:00", ["00:30", "01:00", "01:30", "03:00", "03:30", "04:00"]),
    ],
)
def test_days_on_which_the_clocks_change(make_world: MakeWorld, day: str, task: str, times: list[str]) -> None:
    """Debian cron's rule at DST, through the whole scheduler."""
    midnight = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=World.BERLIN)
    world = make_world(midnight.astimezone(UTC))
    world.command("a", task)
    world.start()
    world.advance(5 * 3600)
    assert [world.local(run.fire_time) for run in world.runs()] == times
    assert all(run.started_at == run.fire_time for run in world.runs())


# at


def test_time_typed_a_moment_too_late_still_runs(world: World) -> None:
    """`at` that had just passed when the note was written runs late, once, and the task is done."""
    world.start()
    world.command("a", "at: 2026-11-20T09:58", age_s=0)
    world.advance(120)
    assert world.history() == ["09:58 success"]
    assert "status: done" in world.text("a")
    world.restart(after_s=60)
    world.advance(600)
    assert world.history() == ["09:58 success"]


def test_note_of_a_phone_arrives_late(world: World) -> None:
    """A note written in time and synced after its time runs late, within `max_late`."""
    world.start()
    world.command("a", "at: 2026-11-20T09:30", age_s=3 * 3600)
    world.command("b", "at: 2026-11-20T09:30\nmax_late: 10m", age_s=3 * 3600)
    world.advance(60)
    assert world.history() == ["09:30 success", "09:30 missed 1: the scheduler was off"]


def test_time_long_past_is_a_problem_and_no_run(world: World) -> None:
    """A year that was mistyped is told, once; nothing runs and the note is not called done."""
    world.command("a", "at: 2025-11-20T12:00", age_s=0)
    world.start()
    world.advance(120)
    assert world.history() == []
    assert [(problem.key, problem.line) for problem in world.daemon.problems()] == [("at", 4)]
    assert "status:" not in world.text("a")
    world.restart(after_s=60)
    world.advance(60)
    assert [problem.key for problem in world.daemon.problems()] == ["at"]
    assert world.log().count("has passed already") == 1
    world.edit("a", "2025-11-20", "2026-11-20")
    world.advance_to("12:01")
    assert world.history() == ["12:00 success"]
    assert world.daemon.problems() == []


def test_time_beside_a_cron_of_a_note_that_arrives_late(world: World) -> None:
    """A phone's note that names an instant besides other triggers runs late for that instant, and for no other."""
    world.start()
    world.command("a", 'at: 2026-11-20T09:59\ncron: "*/10 9 * * *"', age_s=600)
    world.advance(60)
    assert world.history() == ["09:59 success"]
    world.restart(after_s=60)
    assert world.history() == ["09:59 success"]


def test_time_moved_on_a_phone_arrives_late(world: World) -> None:
    """An instant that an edit names in time and that arrives after it runs late; the task is done."""
    world.command("a", "at: 2026-11-20T12:00")
    world.start()
    world.advance_to("10:35")
    world.put("a", world.text("a").replace("12:00", "10:30", 1).encode(), age_s=600)
    world.advance(60)
    assert world.history() == ["10:30 success"]
    assert "status: done" in world.text("a")
    assert world.daemon.problems() == []


def test_time_added_on_a_phone_arrives_late(world: World) -> None:
    """Only the instant that is new to the task runs late, not those that it has named before."""
    world.command("a", "at: [2026-11-20T10:10, 2026-11-20T10:32, 2026-11-20T14:00]")
    world.start()
    world.advance_to("10:35")
    world.put("a", world.text("a").replace("10:10,", "10:10, 2026-11-20T10:30,", 1).encode(), age_s=600)
    world.advance(60)
    assert world.history() == ["10:10 success", "10:30 success", "10:32 success"]
    world.advance_to("14:01")
    assert world.history()[3:] == ["14:00 success"]


def test_times_that_arrive_late_obey_catch_up(world: World) -> None:
    """Of several instants that arrive late the newest runs, and the others are told as missed."""
    world.command("a", "every: 1h")
    world.start()
    world.advance_to("11:05")
    added = "every: 1h\nat: [2026-11-20T10:20, 2026-11-20T10:40]"
    world.put("a", world.text("a").replace("every: 1h", added).encode(), age_s=7200)
    world.advance(60)
    assert world.history() == ["10:20 missed 1: its note said so too late", "10:40 success", "11:00 success"]


def test_one_of_several_times_that_is_long_past_is_a_problem(world: World) -> None:
    """An instant of a list that was over when the note was written is named in a problem; the others fire."""
    world.start()
    world.command("a", "at: [2025-11-21T10:10, 2026-11-20T11:00]", age_s=0)
    world.advance(60)
    problems = [(problem.key, problem.message) for problem in world.daemon.problems()]
    assert problems == [("at", "2025-11-21T10:10 has passed already, so it never runs")]
    world.advance_to("11:01")
    assert world.history() == ["11:00 success"]


def test_another_zone_names_no_instant_anew(world: World) -> None:
    """With another zone all local times are other instants; to write one fires nothing."""
    world.command("a", "at: [2026-11-20T10:10, 2026-11-20T14:00]")
    world.start()
    world.advance_to("10:35")
    world.edit("a", "type: command", "type: command\ntimezone: Europe/Helsinki")
    world.advance(120)
    assert world.history() == ["10:10 success"]
    assert world.daemon.problems() == []


def test_done_is_no_problem(world: World) -> None:
    """A one-shot of the past that says `status: done` says nothing else."""
    world.command("a", "at: 2025-11-20T12:00\nstatus: done")
    world.start()
    world.advance(60)
    assert (world.history(), world.daemon.problems()) == ([], [])


def test_lost_ledger_does_not_repeat_a_one_shot(world: World) -> None:
    """What the note tells of its last run counts where the ledger knows nothing."""
    world.command("a", "at: [2026-11-20T10:10, 2026-11-20T15:00]")
    world.command("b", 'cron: "0 * * * *"')
    world.start()
    world.advance_to("11:30")
    world.stop()
    for file in world.state_folder.glob("ledger*"):
        file.unlink()
    world.clock.advance(3600)
    world.start()
    world.advance(30)
    assert world.history() == ["12:00 success"]  # of the hourly one, made up for
    world.advance_to("15:01")
    assert world.history("a") == ["15:00 success"]


# on_start


def test_on_start_runs_once_a_start(world: World) -> None:
    """A start runs it, but starts in quick succession (a crash loop) do so once in ten minutes."""
    world.command("a", "on_start: true")
    world.start()
    assert world.history() == ["10:00 success"]
    world.restart(after_s=60)
    world.crash()
    world.start()
    assert len(world.runs()) == 1
    world.restart(after_s=600)
    assert len(world.runs()) == 2
    assert "status: done" not in world.text("a")


def test_once_is_no_start(world: World) -> None:
    """`--once` runs what is due, not what waits for a start."""
    world.command("a", "on_start: true")
    world.command("b", 'cron: "0 * * * *"')
    world.start()
    world.stop()
    world.clock.advance(3600)
    world.start(once=True)
    assert world.history() == ["10:00 success", "11:00 success"]


# switched off in the moment at which a fire time comes


def _switched_off_as_it_fires(world: World, switch: Callable[[], None]) -> list[str]:
    """A task fires at 10:01, and the look that sees it due is the one that believes that it is switched off."""
    world.write("a", 'type: command\ncommand: echo a\nstatus: active\ncron: "1 10 * * *"')
    world.start()
    world.advance(59.9)
    switch()
    world.settle()
    assert world.stands("a") == "armed"
    world.clock.advance(0.4)
    world.advance(60)
    return world.history("a")


def test_fire_time_of_a_task_that_is_paused_just_then_is_skipped(world: World) -> None:
    """It was due while the task was armed, so it ends in an outcome that can be seen."""
    history = _switched_off_as_it_fires(world, lambda: world.edit("a", "status: active", "status: paused"))
    assert history == ["10:01 skipped 1: paused"]
    assert "skipped (paused)" in world.text("a")


def test_fire_time_of_a_vault_that_is_stopped_just_then_is_skipped(world: World) -> None:
    """The whole vault's switch is no exception."""
    history = _switched_off_as_it_fires(world, lambda: world.write_settings(SETTINGS.replace("active", "stopped")))
    assert history == ["10:01 skipped 1: vault stopped"]


def test_fire_time_of_a_task_that_is_deleted_just_then_is_skipped(world: World) -> None:
    """The note is gone; the daily log tells it."""
    assert _switched_off_as_it_fires(world, lambda: world.delete("a")) == ["10:01 skipped 1: the task was deleted"]
    assert "skipped (the task was deleted)" in world.log()
