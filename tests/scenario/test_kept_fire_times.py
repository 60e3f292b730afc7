"""Fire times are kept beside what notes were read as, and never believed where another one could be the next."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.ledger.kept import Definition, Fires, kept_definitions, micros
from vault_scheduler.testing_world import World
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger, interval_anchor, understood_trigger
from vault_scheduler.vault.vault import Vault

BERLIN = ZoneInfo("Europe/Berlin")
RARE = "17 3 29 2 *"
MOMENT = timedelta(microseconds=1)
SETTINGS_PATH = "00_system/scheduler.md"


@pytest.fixture
def later(make_world: Callable[..., World]) -> Iterator[World]:
    """A world an hour from now: its files were changed long ago by their change time, too, which nobody can set."""
    yield make_world(now=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))
    understood_trigger.cache_clear()  # what a forger told one world is no matter of the next one


def _serve(world: World) -> None:
    world.have_served()
    world.clock.advance(60)


def _kept(world: World, task: str = "a") -> Definition:
    return kept_definitions(world.definitions_path)[f"00_system/tasks/{task}.md"]


def _forge(world: World, fire: datetime, *, zone: str | None = None) -> None:
    """As a former daemon that reckoned something else, with the data of a time zone that it had."""
    found = _kept(world)
    assert found.fires is not None
    times = json.dumps([[micros(world.clock.now() - timedelta(days=1)), micros(fire)]])
    forged = Fires(zone or found.fires.zone, times)
    with closing(sqlite3.connect(world.definitions_path)) as db:
        proof = forged.proof(found.path, found.proof)
        db.execute("UPDATE fires SET zone = ?, times = ?, proof = ?", (forged.zone, times, proof))
        db.commit()
    understood_trigger.cache_clear()


def _next(world: World, task: str = "a") -> datetime | None:
    tracked = world.daemon.tracked(task)
    assert tracked is not None
    return tracked.task.schedule.next_after(world.clock.now())


def _of_cron(world: World, expression: str, zone: ZoneInfo = BERLIN) -> datetime:
    found = CronTrigger(expression, zone).next_after(world.clock.now())
    assert found is not None
    return found


def test_a_fire_time_is_kept_for_all_that_repeats(later: World) -> None:
    """It is the one that the schedule names, from now until right before it; not for a moment before, or of it."""
    hour_ago = later.clock.now() - timedelta(hours=1)
    later.command("a", f'cron: ["{RARE}", "0 5 1 1 *"]')
    later.command("b", "every: 90s")
    later.command("c", 'cron: "H H 29 2 *"\ntimezone: Asia/Tokyo')
    later.command("d", "on_start: true")
    _serve(later)
    now = later.clock.now()
    expected = {
        "a": min(_of_cron(later, RARE), _of_cron(later, "0 5 1 1 *")),
        "b": IntervalTrigger(timedelta(seconds=90), interval_anchor(BERLIN)).next_after(now),
        "c": CronTrigger("H H 29 2 *", ZoneInfo("Asia/Tokyo"), "c").next_after(now),
        "d": None,
    }
    assert {task: _kept(later, task).next_after(now) for task in expected} == {
        task: (True, fire) for task, fire in expected.items()
    }
    fire = expected["a"]
    assert fire is not None
    found = _kept(later)
    assert found.next_after(fire - MOMENT) == (True, fire)
    assert found.next_after(fire) == (False, None)
    assert found.next_after(hour_ago - timedelta(days=1)) == (False, None)


def test_the_next_daemon_goes_by_what_is_kept(later: World) -> None:
    """Here by what a forger has put there, so that the tests below show something."""
    later.command("a", f'cron: "{RARE}"')
    _serve(later)
    later.start()
    assert later.daemon.pause_s() > 8
    later.stop()
    _forge(later, later.clock.now() + timedelta(seconds=7))
    later.start()
    assert 6 < later.daemon.pause_s() <= 7


def test_a_note_that_was_edited_meanwhile_fires_as_it_says_now(later: World) -> None:
    """What was kept goes with the reading that it belonged to."""
    later.command("a", f'cron: "{RARE}"')
    _serve(later)
    _forge(later, later.clock.now() + timedelta(hours=5))
    later.edit("a", RARE, "18 3 29 2 *")
    later.clock.advance(3600)
    later.start()
    later.advance(60)
    assert _next(later) == _of_cron(later, "18 3 29 2 *")


def test_another_zone_of_the_vault_makes_other_fire_times(later: World) -> None:
    """The settings note was changed while no daemon ran; the task's note was not."""
    later.command("a", f'cron: "{RARE}"')
    _serve(later)
    _forge(later, later.clock.now() + timedelta(hours=5))
    later.write_settings("status: active\nhost: here\ntimezone: Asia/Tokyo\n", age_s=3600)
    later.start()
    assert _next(later) == _of_cron(later, RARE, ZoneInfo("Asia/Tokyo"))


@pytest.mark.parametrize("zone", ["Europe/Berlin 2298 00000000", "Europe/Berlin", "", "Nowhere/At All"])
def test_what_was_reckoned_with_other_data_of_the_zone_is_not_believed(later: World, zone: str) -> None:
    """A government changes its summer time, the system is updated, and nothing else says so."""
    later.command("a", f'cron: "{RARE}"')
    _serve(later)
    _forge(later, later.clock.now() + timedelta(hours=5), zone=zone or "x")
    assert _kept(later).fires is None
    later.start()
    assert _next(later) == _of_cron(later, RARE)


DAMAGES = [
    "UPDATE fires SET times = replace(times, '2', '3')",
    "UPDATE fires SET proof = 1",
    "UPDATE fires SET times = X'00ff'",
    "UPDATE fires SET definition = definition + 1",
    "DELETE FROM fires",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_fire_times_are_reckoned_anew(later: World, damage: str) -> None:
    """The definition is whole and counts; nothing is told of the rest, and it is kept again."""
    later.command("a", f'cron: "{RARE}"')
    _serve(later)
    with closing(sqlite3.connect(later.definitions_path)) as db:
        db.execute(damage)
        db.commit()
    understood_trigger.cache_clear()
    assert _kept(later).fires is None
    later.start()
    assert _next(later) == _of_cron(later, RARE)
    later.advance(60)
    assert [told for told in later.told if told[0] == "problem"] == []
    assert _kept(later).next_after(later.clock.now()) == (True, _of_cron(later, RARE))


def test_a_clock_that_was_set_back_brings_what_comes_before(later: World) -> None:
    """Kept is what comes after the moment of its reckoning; before it there may be another fire time."""
    soon = later.clock.now() + timedelta(minutes=90)
    hourly = f"{soon.minute} * * * *"
    later.command("a", f'cron: "{hourly}"')
    _serve(later)
    now, (is_known, fire) = later.clock.now(), _kept(later).next_after(later.clock.now())
    assert is_known
    later.clock.suspend(-5400)
    assert _kept(later).next_after(later.clock.now()) == (False, None)
    understood_trigger.cache_clear()
    later.start()
    later.advance(60)
    found = _next(later)
    assert found == _of_cron(later, hourly)
    assert fire is not None
    assert found < now < fire


@pytest.mark.parametrize("hours", [1, 7, 20, 40, 100])
@pytest.mark.parametrize("more", ["", "catch_up: all", "catch_up: skip", "max_late: 2d"])
def test_what_was_slept_through_is_caught_up_as_if_nothing_were_kept(
    make_world: Callable[..., World], hours: int, more: str
) -> None:
    """The fire time that is kept has passed, and so have others: the same runs start, are missed and counted."""
    histories = []
    for is_kept in (True, False):
        world = make_world(now=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))
        fire = (world.clock.now() + timedelta(hours=6)).astimezone(BERLIN)
        world.command("a", f'cron: "{fire.minute} {fire.hour} * * *"\n{more}')
        _serve(world)
        assert _kept(world).fires is not None
        if not is_kept:
            world.definitions_path.unlink()
        understood_trigger.cache_clear()
        world.clock.advance(hours * 3600)
        world.start()
        world.advance(120)
        histories.append([(run.outcome, run.reason, run.count, run.state) for run in world.runs("a")])
        assert _next(world) == _of_cron(world, f"{fire.minute} {fire.hour} * * *")
    assert histories[0] == histories[1]
    assert (histories[0] == []) == (hours == 1)


def test_after_a_run_the_fire_time_that_follows_is_kept(later: World) -> None:
    """With the next look over the folder, for commands; also where the daemon has written into the note."""
    minute = later.clock.now().minute
    thrice = ",".join(str((minute + wait) % 60) for wait in (10, 30, 50)) + " * * * *"
    later.command("a", f'cron: "{thrice}"')
    later.command("b", f'cron: "{thrice}"\nlog: none')
    later.start()
    later.advance(40 * 60)
    assert later.history("a")
    for task in ("a", "b"):
        assert _kept(later, task).next_after(later.clock.now()) == (True, _of_cron(later, thrice))


def test_an_edit_that_waits_lends_its_fire_time_to_nobody(later: World) -> None:
    """What is kept of a note is reckoned from its own words, not from what is in force meanwhile."""
    later.command("a", 'cron: "*/20 * * * *"')
    _serve(later)
    later.start()
    later.advance(20 * 60)
    later.edit("a", "*/20 * * * *", RARE)
    later.advance(90 * 60)
    assert _kept(later).next_after(later.clock.now()) == (True, _of_cron(later, RARE))


def test_the_settings_note_is_kept_as_it_is_read(later: World) -> None:
    """Every value comes back, for commands; its context is the machine's zone."""
    text = (
        "status: paused\nhost: here\ntimezone: Asia/Tokyo\nmax_parallel: 7\nnote_quiet: 5s\nquiet_hours: 22:00-06:30\n"
        "retries: 2\ntimeout: 90s\noverlap: queue\nnotify: [failure, missed]\nenv: [A=1]\n"
    )
    later.write_settings(text, age_s=3600)
    _serve(later)
    found = kept_definitions(later.definitions_path)[SETTINGS_PATH]
    settings = found.settings()
    assert settings is not None
    assert settings.quiet_hours is not None
    assert (settings.max_parallel, settings.timezone, settings.status.value) == (7, "Asia/Tokyo", "paused")
    assert found.context == "Europe/Berlin"
    later.start()
    assert settings == later.survey.settings


@pytest.mark.parametrize("text", ["paused_until: 2030-01-01", "max_parallel: many", "status: activ"])
def test_a_settings_note_with_an_instant_or_a_problem_is_not_kept(later: World, text: str) -> None:
    """The instant of a local time depends on the data of the zone; a problem is to be told each time."""
    _serve(later)
    assert SETTINGS_PATH in kept_definitions(later.definitions_path)
    later.write_settings(f"host: here\n{text}\n", age_s=3600)
    _serve(later)
    kept = kept_definitions(later.definitions_path).get(SETTINGS_PATH)
    found = Vault(later.root).stamp(SETTINGS_PATH)
    assert found is not None
    assert kept is None or not kept.holds(found, "Europe/Berlin")


def test_who_looks_at_what_is_kept_loads_no_calendar_and_no_yaml(later: World) -> None:
    """That is what it is for: a command that needs only this is quick."""
    later.command("a", f'cron: "{RARE}"')
    _serve(later)
    script = (
        "import sys\nfrom pathlib import Path\nfrom datetime import datetime, UTC\n"
        "from vault_scheduler.ledger.kept import kept_definitions\n"
        f"kept = kept_definitions(Path({str(later.definitions_path)!r}))['00_system/tasks/a.md']\n"
        f"assert kept.next_after(datetime.fromisoformat({later.clock.now().isoformat()!r}))[0]\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
        "assert not [name for name in sys.modules if name.startswith('vault_scheduler.planning')]\n"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"yaml", "croniter", "frontmatter", "typer", "asyncio"} & set(loaded)
