"""The status note: says until when the scheduler is alive, what needs a person, what comes next; written seldom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.notes.note import Document
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing_world import SETTINGS, World

EVERY_MINUTE = 'cron: "* * * * *"'


@pytest.fixture
def watched(world: World) -> World:
    """A world whose daemon keeps the status note."""
    world.status_note = True
    return world


def status(world: World) -> str:
    return (world.root / "00_system" / "status.md").read_text()


def prop(world: World, key: str) -> Any:
    return Document.parse(status(world).encode()).mapping.get(key)


def test_says_until_when_it_is_valid(watched: World) -> None:
    """The page names the moment after which nobody looks after the vault, an hour and a bit ahead."""
    watched.command("a", 'cron: "0 12 * * *"')
    watched.start()
    assert prop(watched, "valid_until") == "2026-11-20T11:10:00"
    assert "If it is later than **2026-11-20 11:10** (Europe/Berlin), it is not running." in status(watched)
    assert "Running, and nothing needs you" in status(watched)
    assert "- Fri 2026-11-20 12:00 · [[00_system/tasks/a|a]]" in status(watched)


def test_the_first_page_tells_of_notes_that_were_written_just_before(watched: World) -> None:
    """Who makes a vault and starts the daemon in the same minute reads of the tasks, not that there are none."""
    watched.command("a", 'cron: "0 12 * * *"', age_s=0)
    watched.put("broken", b'---\ntype: command\ncommand: "x"\ncron: "61 * * * *"\n---\n')
    watched.start()
    watched.advance(30)
    assert "1 task, looked after" in status(watched)
    assert prop(watched, "needs_you") == 1


def test_the_first_page_does_not_wait_for_ever(watched: World) -> None:
    """Somebody who types on and on keeps the page back for half a minute at most."""
    watched.command("a", 'cron: "0 12 * * *"', age_s=0)
    watched.start()
    for minute in range(8):
        watched.edit("a", f"{minute} 12", f"{minute + 1} 12")
        watched.advance(5)
    assert "If it is later than" in status(watched)


def test_a_run_of_seconds_does_not_stand_on_the_page_as_going_on_for_minutes(watched: World) -> None:
    """A page waits half a minute for what runs to end: who looks at it next reads how it went."""
    watched.command("a", 'cron: "0 12 1 1 *"')
    watched.script = lambda _: None  # it goes on until it is ended
    watched.start()
    watched.advance(301)
    watched.request("run", "a")
    watched.advance(20)
    before = prop(watched, "written")
    watched.engine.finish("a", Result(outcome=Outcome.FAILURE, reason="exit 3"))
    watched.settle()
    assert before < prop(watched, "written")
    assert "▶" not in status(watched)
    assert "❌ [[00_system/tasks/a|a]]" in status(watched)


def test_what_runs_longer_stands_on_the_page_half_a_minute_after_it_began(watched: World) -> None:
    """The page does not wait for the end of a long run."""
    watched.command("a", 'cron: "0 12 1 1 *"')
    watched.script = lambda _: None
    watched.start()
    watched.advance(301)
    watched.request("run", "a")
    watched.advance(31)
    assert "- ▶ [[00_system/tasks/a|a]] since Fri 2026-11-20 10:05" in status(watched)


def test_is_renewed_hourly_although_nothing_happens(watched: World) -> None:
    """Silence would be a death: the page is written at least once an hour, and no more often than that."""
    watched.command("a", 'cron: "0 12 1 1 *"')
    watched.start()
    seen = set()
    for _ in range(30):
        watched.advance(360)
        seen.add(prop(watched, "written"))
        now = watched.clock.now().astimezone(watched.zone).replace(tzinfo=None)
        assert now < datetime.fromisoformat(prop(watched, "valid_until"))
    assert len(seen) <= 4


def test_is_written_at_most_every_five_minutes(watched: World) -> None:
    """A task that runs every minute does not make sync upload the page every minute."""
    watched.command("a", EVERY_MINUTE)
    watched.start()
    seen = set()
    for _ in range(60):
        watched.advance(30)
        seen.add(prop(watched, "written"))
    assert 5 <= len(seen) <= 7


def test_shows_what_needs_a_person(watched: World) -> None:
    """A new problem, and a failure, stand on the page five minutes after the last one at the latest."""
    watched.command("a", EVERY_MINUTE)
    watched.script = lambda _: Result(outcome=Outcome.FAILURE, reason="exit 3: no such file")
    watched.start()
    watched.put("broken", b'---\ntype: command\ncommand: "x"\ncron: "61 * * * *"\n---\n')
    watched.advance(400)
    assert prop(watched, "needs_you") == 1
    assert "Running; 1 thing needs you" in status(watched)
    assert "⚠ [[00_system/tasks/broken|broken]] line 4: cron:" in status(watched)
    assert "❌ [[00_system/tasks/a|a]]" in status(watched)
    assert "exit 3: no such file" in status(watched)
    watched.delete("broken")
    watched.advance(400)
    assert prop(watched, "needs_you") == 0


def test_shows_what_runs_and_what_waits(watched: World) -> None:
    """Runs that go on and runs that wait for a place are named with since when and what for."""
    watched.write_settings(f"{SETTINGS}\nmax_parallel: 1")

    def lasts(_: RunRequest) -> None:
        return None

    watched.script = lasts
    watched.command("a", 'cron: "1 10 * * *"')
    watched.command("b", 'cron: "2 10 * * *"')
    watched.start()
    watched.advance(600)
    assert "- ▶ [[00_system/tasks/a|a]] since Fri 2026-11-20 10:01" in status(watched)
    assert "- ⏳ [[00_system/tasks/b|b]] waits for slot" in status(watched)


def test_says_that_it_was_stopped(watched: World) -> None:
    """An orderly end leaves a page that says so, not one that promises another hour."""
    watched.command("a", EVERY_MINUTE)
    watched.start()
    watched.advance(10)
    watched.stop()
    assert prop(watched, "running") is False
    assert "> [!danger] Not running since 2026-11-20 10:00" in status(watched)
    watched.start()
    assert prop(watched, "running") is True


def test_is_renewed_at_once_after_sleep(watched: World) -> None:
    """A page that went out of date while the machine slept is put right when it wakes."""
    watched.command("a", 'cron: "0 12 1 1 *"')
    watched.start()
    watched.advance(600)
    watched.suspend(3 * 3600)
    watched.advance(1)
    assert prop(watched, "written") == "2026-11-20T13:10:00"


def test_a_note_of_somebody_is_left_alone(watched: World) -> None:
    """What a person keeps as `status.md` is not overwritten; once it is renamed, the page comes."""
    theirs = watched.root / "00_system" / "status.md"
    theirs.write_bytes(b"# How I am\nfine\n")
    watched.command("a", EVERY_MINUTE)
    watched.start()
    watched.advance(700)
    assert theirs.read_bytes() == b"# How I am\nfine\n"
    troubles = [rest for what, where, rest in watched.told if (what, where) == ("problem", "status note")]
    assert len(troubles) == 1
    assert "Rename it" in troubles[0]
    theirs.rename(theirs.with_name("mine.md"))
    watched.advance(400)
    assert prop(watched, "running") is True


def test_another_machine_does_not_write_it(watched: World) -> None:
    """Only the machine that owns the vault says how it is."""
    watched.write_settings(f"{SETTINGS}\nhost: elsewhere")
    watched.command("a", f"{EVERY_MINUTE}\nhost: here")
    watched.start()
    watched.advance(700)
    watched.stop()
    assert not (watched.root / "00_system" / "status.md").exists()


def test_chart_draws_the_coming_day(watched: World) -> None:
    """One bar per expected run, as long as the last one took; what runs too often is named below."""
    watched.command("often", EVERY_MINUTE)
    watched.command("daily: section", 'cron: "30 23 * * *"')
    watched.start()
    chart = status(watched).partition("```mermaid\n")[2].partition("```")[0]
    assert "    section daily section\n    \u200b :2026-11-20 23:30, 15m\n" in chart
    assert "often" not in chart
    assert "Too often to be drawn: [[00_system/tasks/often|often]]." in status(watched)


def test_a_page_that_cannot_be_written_is_a_trouble_until_it_can(watched: World) -> None:
    """Whatever is in its place: it is said once, tried again soon, and the runs go on."""
    watched.command("a", EVERY_MINUTE)
    place = watched.root / "00_system" / "status.md"
    place.mkdir()
    watched.start()
    watched.advance(120)
    told = [(what, rest) for what, where, rest in watched.told if "status note" in (what, where)]
    assert [what for what, _ in told] == ["problem"]
    assert "not a regular file" in told[0][1]
    assert len(watched.runs("a")) >= 2
    place.rmdir()
    watched.advance(60)
    assert "# " in status(watched)
    assert ("status note", "it can be written again") in [(what, rest) for what, _, rest in watched.told]
