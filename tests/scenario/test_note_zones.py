"""Whose time stands in the notes: the vault's, so that all of them can be compared with each other and with now."""

from __future__ import annotations

import re

import pytest

from vault_scheduler.testing_world import SETTINGS, World

NEW_YORK = 'cron: "30 4 * * *"\ntimezone: America/New_York'  # 10:30 in Berlin, in November


def told(world: World, name: str) -> tuple[str, str]:
    """`last_run` and `next_run` as the note of a task says them."""
    last = re.search(r"^last_run: (.*)$", world.text(name), re.MULTILINE)
    following = re.search(r"^next_run: (.*)$", world.text(name), re.MULTILINE)
    return last[1] if last else "", following[1] if following else ""


def test_a_task_of_another_zone_is_told_of_in_the_vaults(world: World) -> None:
    """Properties, runs in the note, and the daily log."""
    world.command("a", NEW_YORK)
    world.start()
    world.advance_to("11:00")
    assert told(world, "a") == ("2026-11-20T10:30:00", "2026-11-21T10:30:00")
    assert "2026-11-20 10:30" in world.text("a")
    assert "- 10:30 " in world.log()


def test_messages_tell_the_vaults_time(world: World) -> None:
    """A message about a run says when it was as the note does."""
    world.notifiers = ("phone",)
    world.command("a", f"{NEW_YORK}\nnotify: success")
    world.start()
    world.advance_to("11:00")
    [parcel] = world.parcels
    assert "10:30" in parcel.body


def test_another_zone_of_the_vault_is_told_in_every_note(world: World) -> None:
    """Of tasks with a zone of their own, too: what stands in them would be of nobody's clock."""
    world.command("a", NEW_YORK)
    world.command("b", 'cron: "20 10 * * *"')
    world.start()
    world.advance_to("11:00")
    world.write_settings(SETTINGS.replace("Europe/Berlin", "Asia/Tokyo"))
    world.advance(300)
    assert told(world, "a") == ("2026-11-20T18:30:00", "2026-11-21T18:30:00")
    assert told(world, "b") == ("2026-11-20T18:20:00", "2026-11-21T10:20:00")


WEST = {
    "cron": NEW_YORK,
    "at": 'at: ["2026-11-20T04:30", "2026-11-21T04:30"]\ntimezone: America/New_York',
}


@pytest.mark.parametrize("old", [False, True], ids=["as it is written", "as older versions wrote it"])
@pytest.mark.parametrize("trigger", WEST.values(), ids=WEST)
def test_a_lost_ledger_repeats_nothing(world: World, trigger: str, old: bool) -> None:
    """`last_run` is in the zone in which `next_run` is a fire time of the task."""
    world.command("a", f"{trigger}\ncatch_up: all")
    world.start()
    world.advance_to("11:00")
    lose_ledger(world, [("T10:30", "T04:30")] * 2 if old else [])
    world.clock.advance(24 * 3600)
    world.start()
    world.advance(60)
    assert world.history() == ["10:30 success"]
    assert world.runs()[0].fire_time.day == 21


@pytest.mark.parametrize("old", [False, True], ids=["as it is written", "as older versions wrote it"])
def test_a_lost_ledger_loses_nothing(world: World, old: bool) -> None:
    """Read in the wrong zone, what was due in the hours between would count as done."""
    world.command("a", 'cron: "30 18,22 * * *"\ntimezone: Asia/Tokyo\ncatch_up: all')  # 10:30 and 14:30 in Berlin
    world.start()
    world.advance_to("11:00")
    lose_ledger(world, [("T10:30", "T18:30"), ("T14:30", "T22:30")] if old else [])
    world.clock.advance(21 * 3600)
    world.start()
    world.advance(60)
    assert world.history() == ["14:30 success"]


def lose_ledger(world: World, changes: list[tuple[str, str]]) -> None:
    """The daemon stops, and there are approvals but no ledger any more; the note says this instead of that."""
    world.stop()
    for file in world.state_folder.glob("ledger.db*"):
        file.unlink()
    text = world.text("a")
    for old, new in changes:
        assert old in text
        text = text.replace(f"{old}:00", f"{new}:00", 1)
    world.put("a", text.encode())
