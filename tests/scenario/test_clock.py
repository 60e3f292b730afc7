"""The clock of the machine: it sleeps, jumps, is corrected, and travels (rule 11)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vault_scheduler.machine.config import machine_timezone
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing_world import World

YEAR_S = 365 * 86400
BERLIN = "host: here\ntimezone: Europe/Berlin\n"
MakeWorld = Callable[..., World]
FAILURE = Result(outcome=Outcome.FAILURE, reason="exit 1", exit_code=1)


def fired(world: World, task: str | None = None) -> list[str]:
    """The instants (UTC) of all runs that started, by fire time."""
    return [f"{run.fire_time:%d %H:%M:%S}" for run in world.runs(task) if run.attempts]


def test_idle_daemon_does_all_that_recurs_in_one_tick(world: World) -> None:
    """Every 30 s one tick sweeps, and those who look after something (the watcher, the housekeeping) do so with it."""
    world.command("a", 'cron: "0 0 1 1 *"')
    world.start()
    world.advance(60)
    swept: list[float] = []
    world.survey.swept = lambda: swept.append(world.clock.monotonic())
    ticks = world.ticks
    world.advance(300)
    assert len(swept) == 10
    assert world.ticks - ticks <= 11  # `advance` ticks once by itself
    world.take_vault_away()
    world.advance(31)
    world.bring_vault_back()
    assert len(swept) > 11, "while the vault is away somebody looks for it more often"


# sleep, jumps, corrections


def test_short_naps_are_on_time(world: World) -> None:
    """A machine that dozes off for less than a minute at a time misses nothing, whatever the policy."""
    world.command("a", "every: 1m\ncatch_up: skip")
    world.start()
    for _ in range(12):
        world.advance(10)
        world.suspend(40)
    assert world.history() == [f"10:{minute:02} success" for minute in range(1, 11)]


def test_a_result_that_is_put_off_does_not_wait_for_a_clock_that_was_set_back(world: World) -> None:
    """What could not be written is tried again within minutes, by whatever clock it was put off."""
    in_the_way = world.root / "Out.md"
    in_the_way.mkdir()
    world.script = lambda _: Result(outcome=Outcome.SUCCESS, text="said", exit_code=0)
    world.command("a", "cron: 5 10 * * *\noutput: Out.md")
    world.start()
    world.advance_to("10:06")
    world.suspend(-10 * 3600)
    world.advance(30)
    in_the_way.rmdir()
    world.advance(10 * 60)
    assert "said" in in_the_way.read_text()


@pytest.mark.parametrize("step_s", [0.5, 1, 5, 30, -0.5, -1, -5, -30])
def test_corrections_around_a_fire_time(world: World, step_s: float) -> None:
    """A time server moves the clock by up to half a minute, right before or after a fire time: each fires just once."""
    world.command("a", "every: 1m\ncatch_up: skip")
    world.start()
    for before_s in (45, 20, 1, 0.3, 0, -0.3, -1, -20):
        until_next = 60 - world.clock.now().timestamp() % 60
        world.advance(until_next + 60 - before_s)
        world.suspend(step_s)
        world.advance(60)
    minutes = [run.fire_time.minute for run in world.runs()]
    assert minutes == list(range(1, minutes[-1] + 1))
    assert minutes[-1] == world.clock.now().minute
    assert all(run.outcome is Outcome.SUCCESS for run in world.runs())


def test_a_fire_time_is_waited_for_by_the_wall_clock(world: World) -> None:
    """A clock that is set forward is noticed with the next look, and what is due then runs at its time."""
    world.command("a", 'cron: "0 12 * * *"')
    world.start()
    world.advance(600)
    world.suspend(7200 - 600 - 20)  # 11:59:40
    world.advance(19)
    assert world.history() == []
    world.advance(1)
    assert world.history() == ["12:00 success"]


def test_clock_set_back_by_hours_is_not_slept_through(world: World) -> None:
    """What was due in the hours that come again has run; a task that was not due in them runs at its time."""
    world.command("often", 'cron: "*/30 * * * *"')
    world.command("noon", 'cron: "0 12 * * *"')
    world.start()
    world.advance_to("11:10")
    world.suspend(-5 * 3600)  # 06:10
    world.command("new", 'cron: "0 7 * * *"')
    world.advance_to("12:10")
    assert world.history("often") == [f"{time} success" for time in ("10:30", "11:00", "11:30", "12:00")]
    assert world.history("noon") == ["12:00 success"]
    assert world.history("new") == ["07:00 success"]


def test_retry_outlives_a_clock_that_is_set_back(world: World) -> None:
    """A retry waits at most as long as any delay is, whatever the clock says."""
    world.command("a", 'cron: "0 11 * * *"\nretries: 1\nretry_delay: 10m')
    world.script = lambda request: FAILURE if request.attempt == 1 else Result(outcome=Outcome.SUCCESS)
    world.start()
    world.advance_to("11:01")
    world.suspend(-3 * 3600)
    world.advance(60)
    assert world.history() == ["11:00 success"]


def test_retry_whose_delay_passed_in_sleep(world: World) -> None:
    """It is tried again as soon as the machine is awake."""
    world.command("a", 'cron: "0 11 * * *"\nretries: 1\nretry_delay: 10m')
    world.script = lambda request: FAILURE if request.attempt == 1 else Result(outcome=Outcome.SUCCESS)
    world.start()
    world.advance_to("11:01")
    world.suspend(3600)
    assert world.history() == ["11:00 success"]


def test_pause_that_comes_again(world: World) -> None:
    """A clock set back to before `paused_until` pauses the task again; what fired after it does not fire twice."""
    world.command("a", 'every: 10m\npaused_until: "2026-11-20T10:30"')
    world.start()
    world.advance_to("10:45")
    world.suspend(-1800)
    assert world.stands("a") == "paused"
    world.advance_to("11:01")
    assert fired(world) == ["20 09:30:00", "20 09:40:00", "20 09:50:00", "20 10:00:00"]


@pytest.mark.parametrize("told", [True, False])
def test_vault_that_was_stopped_meanwhile(world: World, told: bool) -> None:
    """What was due while the process stood still does not start before the settings note has been looked at."""
    world.command("a", "every: 10m")
    world.start()
    world.advance_to("10:15")
    world.clock.suspend(1800)
    if told:
        world.write_settings(BERLIN + "status: stopped")
    else:  # no watcher has seen it
        world.settings_file.write_text(f"---\n{BERLIN}status: stopped\n---\n")
    world.advance(60)
    assert world.stands("a") == "stopped"
    assert world.history() == ["10:10 success"]


def test_stall_of_some_seconds(world: World) -> None:
    """A process that was stopped for less than a minute looks at the settings first, too: nothing starts."""
    world.command("a", "every: 10m")
    world.start()
    world.advance_to("10:09:58")
    world.clock.advance(9)
    world.settings_file.write_text(f"---\n{BERLIN}status: paused\n---\n")
    world.advance(60)
    assert world.history() == ["10:10 skipped 1: vault paused"]


def test_settings_that_never_rest_hold_nothing_up_for_long(world: World) -> None:
    """What is due waits some seconds for settings that can be believed, and then goes on with those in force."""
    world.command("a", "every: 10m")
    world.start()
    world.advance_to("10:09:59")
    started: list[float] = []
    for number in range(40):
        world.write_settings(f"{BERLIN}status: active\nnumber: {number}")
        world.advance(0.2)
        started += [number * 0.2 for _ in world.runs()][:1]
    assert 4 < started[0] < 6
    assert world.history() == ["10:10 success"]


# a clock that is put right within minutes


@pytest.mark.parametrize("policy", ["latest", "skip", "all"])
def test_hours_that_never_were_settle_nothing(world: World, policy: str) -> None:
    """A clock that was five hours ahead for a minute holds back nothing of these hours, and nothing runs twice."""
    world.command("a", f"every: 1h\ncatch_up: {policy}")
    world.command("d", 'cron: "0 13 * * *"\nmax_late: 1h')
    world.start()
    world.advance_to("10:15")
    world.suspend(5 * 3600)
    world.advance(60)
    early = fired(world, "a")
    world.suspend(-5 * 3600)
    assert world.history("d") == []
    world.advance(8 * 3600)
    assert world.history("d") == ["13:00 success"]
    assert sorted(fired(world, "a")) == [f"20 {hour}:00:00" for hour in range(10, 18)]
    assert set(early) <= set(fired(world, "a"))
    assert all(run.attempts == 1 for run in world.runs())


def test_machine_that_starts_with_a_clock_ahead(world: World) -> None:
    """What was missed before the start is judged by the true clock, what was not due yet is not missed."""
    world.command("a", "every: 1h\nmax_late: 10m")
    world.start()
    world.advance_to("10:30")
    world.down_until("14:30")
    assert world.history() == ["11:00-14:00 missed 4: the scheduler was off"]
    world.suspend(-2 * 3600)  # 12:30
    assert world.history() == ["11:00-12:00 missed 2: the scheduler was off"]
    world.advance_to("15:01")
    assert world.history()[1:] == ["13:00 success", "14:00 success", "15:00 success"]
    assert world.log().count("missed") == 1


def test_row_that_a_false_clock_prolonged_ends_where_it_was(world: World) -> None:
    """What the true clock counted as missed stays counted."""
    world.command("a", "every: 1h\ncatch_up: skip")
    world.start()
    world.suspend(3 * 3600 + 1800)
    world.advance(20 * 60)
    assert world.history() == ["11:00-13:00 missed 3: asleep"]
    world.suspend(4 * 3600)
    assert world.history() == ["11:00-17:00 missed 7: asleep"]
    world.suspend(-4 * 3600)
    assert world.history() == ["11:00-13:00 missed 3: asleep"]
    world.advance_to("15:01")
    assert world.history()[1:] == ["14:00 success", "15:00 success"]


def test_pause_that_a_false_clock_ended_goes_on(world: World) -> None:
    """Neither does the pause end early, nor is anything lost after it."""
    world.command("a", 'every: 1h\npaused_until: "2026-11-20T12:30"\nmax_late: 1m')
    world.start()
    world.advance_to("10:15")
    world.suspend(6 * 3600 + 600)  # 16:25
    world.advance(60)
    world.suspend(-6 * 3600 - 600)
    assert world.stands("a") == "paused"
    world.advance_to("14:01")
    assert world.history() == ["13:00 success", "14:00 success"]


def test_edit_under_a_false_clock_fires_nothing_by_itself(world: World) -> None:
    """Who resumes a task while the clock is wrong makes up for nothing when it is right again."""
    world.command("a", "every: 10m\nstatus: paused")
    world.start()
    world.advance_to("10:45")
    world.suspend(7200)
    world.edit("a", "status: paused", "status: active")
    world.advance(60)
    world.suspend(-7200)
    assert world.history() == []
    world.advance_to("11:01")
    assert world.history() == ["10:50 success", "11:00 success"]


# a clock that was wrong by a year


@pytest.mark.parametrize("policy", ["latest", "skip", "all"])
def test_year_that_never_was_settles_nothing(world: World, policy: str) -> None:
    """After a clock that was a year ahead is put right, each fire time runs or is missed as if it had not been."""
    world.command("a", f'cron: "*/15 * * * *"\ncatch_up: {policy}')
    world.start()
    world.suspend(YEAR_S)
    world.advance(60)
    world.suspend(-YEAR_S)  # 10:01
    wrong = {run.id for run in world.runs()}
    world.advance_to("11:10")
    world.suspend(3600)  # 12:10
    world.advance_to("12:31")
    world.suspend(3600)  # 13:31
    true = [run for run in world.runs() if run.id not in wrong]
    words = [world._words(run) for run in true]
    on_time = [f"{time} success" for time in ("10:15", "10:30", "10:45", "11:00")]
    assert words[:4] == on_time
    if policy == "latest":
        asleep = ["11:15-11:45 missed 3: asleep", "12:00 success"]
        assert words[4:] == [*asleep, "12:15 success", "12:30 success", "12:45-13:15 missed 3: asleep", "13:30 success"]
    elif policy == "skip":
        asleep = ["11:15-12:00 missed 4: asleep", "12:15 success", "12:30 success"]
        assert words[4:] == [*asleep, "12:45-13:15 missed 3: asleep", "13:30 success"]
    else:
        assert [word.split()[1] for word in words] == ["success"] * 14
    fire_times = [moment for run in true for moment in ([run.fire_time] if run.attempts else [])]
    assert len(set(fire_times)) == len(fire_times)


def test_missed_rows_join_after_a_year_that_never_was(world: World) -> None:
    """The row of the wrong year stays as it is; what is missed from now on has a row of its own."""
    world.command("a", 'cron: "0 * * * *"\ncatch_up: skip\nmax_late: 1m')
    world.start()
    world.suspend(1830)
    world.suspend(YEAR_S)
    world.advance(900)  # longer than a clock is taken for one that is about to be put right
    world.suspend(-YEAR_S - 900)  # 10:30:30
    (wrong,) = world.runs()
    world.suspend(2 * 3600)
    world.suspend(3600)
    assert [world._words(run) for run in world.runs() if run.id != wrong.id] == ["11:00-13:00 missed 3: asleep"]
    assert [run.count for run in world.runs() if run.id == wrong.id] == [wrong.count]


# the zone changes


def in_zone(world: World, etc: Path, zone: str) -> None:
    """The machine is in another zone from now on."""
    etc.mkdir(exist_ok=True)
    (etc / "localtime").unlink(missing_ok=True)
    (etc / "localtime").symlink_to(f"/usr/share/zoneinfo/{zone}")
    world.machine_timezone = lambda: machine_timezone(etc, {})


@pytest.fixture
def travelling(make_world: MakeWorld, tmp_path: Path) -> World:
    """Nothing but the machine says in which zone the vault is: in Berlin, where it is 10:00."""
    made = make_world(settings="status: active\nhost: here")
    in_zone(made, tmp_path / "etc", "Europe/Berlin")
    return made


def test_laptop_that_travels(travelling: World, tmp_path: Path) -> None:
    """Within 30 s tasks fire by the clock of the place where the machine is, but those that name a zone by that."""
    world = travelling
    world.command("noon", 'cron: "0 12 * * *"')
    world.command("berlin", 'cron: "0 12 * * *"\ntimezone: Europe/Berlin')
    world.command("hourly", "every: 1h")
    world.start()
    world.advance_to("11:30")
    in_zone(world, tmp_path / "etc", "America/New_York")  # 05:30
    world.advance(30)
    tracked = world.daemon.tracked("noon")
    assert tracked is not None
    assert tracked.task.timezone == "America/New_York"
    world.advance(7 * 3600)
    assert fired(world, "noon") == ["20 17:00:00"]
    assert fired(world, "berlin") == ["20 11:00:00"]
    assert fired(world, "hourly") == [f"20 {hour}:00:00" for hour in range(10, 18)]


def test_journey_east_is_late_as_the_policies_say(travelling: World, tmp_path: Path) -> None:
    """A journey is no edit: what the clock there says should have run today is late, and `max_late` judges it."""
    world = travelling
    world.command("noon", 'cron: "0 12 * * *"')
    world.command("hasty", 'cron: "0 12 * * *"\nmax_late: 5m')
    world.command("night", 'cron: "0 23 * * *"')
    world.command("once", 'at: "2026-11-21T18:00"')
    world.start()
    world.advance_to("2026-11-21 11:30")
    in_zone(world, tmp_path / "etc", "Asia/Tokyo")  # 19:30
    world.advance(30)
    assert fired(world, "noon") == ["20 11:00:00", "21 03:00:00"]
    assert world.history("hasty") == ["12:00 success", "04:00 missed 1: another time zone"]
    assert fired(world, "once") == ["21 09:00:00"]
    assert fired(world, "night") == ["20 22:00:00"]
    world.advance(17 * 3600)
    assert fired(world, "noon") == ["20 11:00:00", "21 03:00:00", "22 03:00:00"]
    assert fired(world, "night") == ["20 22:00:00", "21 14:00:00"]
    assert fired(world, "once") == ["21 09:00:00"]


def test_journey_west_does_not_repeat_what_is_done(travelling: World, tmp_path: Path) -> None:
    """A time that was given once, and has run, does not come again with the hours that do."""
    world = travelling
    world.command("once", 'at: "2026-11-20T11:00"')
    world.start()
    world.advance_to("11:30")
    in_zone(world, tmp_path / "etc", "America/New_York")  # 05:30
    world.advance(7 * 3600)
    assert fired(world) == ["20 10:00:00"]


def test_journey_while_asleep_is_caught_up(travelling: World, tmp_path: Path) -> None:
    """What was due at home until the machine knew of the journey is late, and so is what is due by the clock there."""
    world = travelling
    world.command("work", 'cron: "0 7 * * *"')
    world.start()
    world.advance_to("2026-11-21 06:00")
    in_zone(world, tmp_path / "etc", "America/New_York")
    world.suspend(8 * 3600)  # 14:00 in Berlin, 08:00 there
    world.advance(30)
    assert fired(world) == ["21 06:00:00", "21 12:00:00"]


def test_local_times_of_the_settings_note_travel_too(travelling: World, tmp_path: Path) -> None:
    """A pause of the vault until noon ends at noon of the place where the machine is."""
    world = travelling
    world.write_settings('status: active\nhost: here\npaused_until: "2026-11-20T12:00"', age_s=3600)
    world.command("a", 'cron: "*/30 * * * *"')
    world.start()
    in_zone(world, tmp_path / "etc", "Europe/London")
    world.advance_to("12:45")
    assert world.history() == []
    world.advance_to("13:31")
    assert world.history() == ["13:00 success", "13:30 success"]


def test_zone_of_the_settings_note_changes_while_running(world: World) -> None:
    """Tasks fire by the new zone from then on; nothing fires by the edit itself, and no instant twice."""
    world.command("noon", 'cron: "0 12 * * *"')
    world.command("evening", 'cron: "0 19 * * *"')
    world.command("hourly", "every: 1h")
    world.command("utc", 'cron: "0 12 * * *"\ntimezone: UTC')
    world.start()
    world.advance_to("11:30")
    world.write_settings("status: active\nhost: here\ntimezone: Asia/Tokyo")  # 19:30
    world.advance(60)
    assert fired(world) == ["20 10:00:00"]  # the hourly one
    world.advance(17 * 3600)
    assert fired(world, "noon") == ["21 03:00:00"]
    assert fired(world, "utc") == ["20 12:00:00"]
    assert fired(world, "evening") == []
    assert len(fired(world, "hourly")) == len(set(fired(world, "hourly"))) == 18


def test_many_notes_are_judged_by_and_by(travelling: World, tmp_path: Path) -> None:
    """Between two parts of the notes the daemon looks at all else, so a change of the zone holds nothing up."""
    world = travelling
    for number in range(600):
        world.command(f"t{number}", 'cron: "0 12 * * *"')
    world.start()
    in_zone(world, tmp_path / "etc", "UTC")
    world.clock.advance(30)
    zones: list[int] = []
    while not zones or zones[-1]:
        world.call(world.daemon.tick())
        tracked = [world.daemon.tracked(task) for task in world.survey.registry.ids()]
        zones.append(sum(1 for one in tracked if one is not None and one.task.timezone != "UTC"))
    assert zones == [350, 100, 0]
