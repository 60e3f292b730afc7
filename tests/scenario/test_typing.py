"""A note that somebody types into: results wait for a pause, five minutes at most, and stay once they are there."""

from __future__ import annotations

import re

import pytest

from vault_scheduler.testing_world import World


@pytest.fixture
def typed(world: World) -> World:
    """A task that has run once, and whose result is to be written while its note is saved all the time."""
    world.command("a", 'cron: "10 10 * * *"', body="Text.\n")
    world.start()
    world.advance_to("10:09:58")
    return world


def runs_in(world: World) -> int:
    """How often the run stands in the note."""
    return world.text("a").count(f"^{world.runs()[0].id}")


def type_on(world: World, seconds: int, *, blind: str = "") -> list[int]:
    """A save every 5 seconds; whether the run stood in the note before each. `blind`: always this text and no other."""
    stood = []
    for number in range(seconds // 5):
        stood.append(runs_in(world) if world.runs() else 0)
        world.put("a", re.sub(r"^Text.*", f"Text {number}.", blind or world.text("a"), flags=re.M).encode())
        world.advance(5)
    return stood


def test_result_comes_after_the_last_save(typed: World) -> None:
    """Not before the note has been left alone for `note_quiet`."""
    assert not any(type_on(typed, 120))
    typed.advance(4)
    assert runs_in(typed) == 0
    typed.advance(8)
    assert runs_in(typed) == 1


def test_result_comes_within_five_minutes_however_long_somebody_types(typed: World) -> None:
    """By compare and replace, and the note is then left to its writer for another five minutes."""
    stood = type_on(typed, 900)
    first = stood.index(1) * 5
    assert 300 <= first <= 380  # the run itself waits for up to a minute
    assert all(stood[stood.index(1) :])
    typed.advance(60)
    assert runs_in(typed) == 1
    assert typed.call(typed.store.pending_deliveries()) == []


def test_result_that_an_old_text_overwrites_again_and_again_comes_in_the_end(typed: World) -> None:
    """Who never looks at the disk does not delete anything: the run is delivered when it is sure to stay."""
    stood = type_on(typed, 1500, blind=typed.text("a"))
    assert 3 <= sum(stood) <= 5
    typed.advance(30)
    assert runs_in(typed) == 1
    assert typed.call(typed.store.pending_deliveries()) == []


def test_result_that_is_deleted_after_five_minutes_stays_deleted(typed: World) -> None:
    """A person who tidies up is not contradicted; within that time it is taken for an accident, once."""
    before = typed.text("a")
    typed.advance(60)
    assert runs_in(typed) == 1
    typed.put("a", before.encode())
    typed.advance(60)
    assert runs_in(typed) == 1
    typed.advance(300)
    typed.put("a", before.encode())
    typed.advance(3600)
    assert runs_in(typed) == 0


def test_save_that_nobody_told_of_is_seen_before_the_write(typed: World) -> None:
    """The watcher may be late: a note that is not what it was is not quiet."""
    type_on(typed, 60)
    typed.advance(9)
    data = typed.text("a").replace("Text", "Late text", 1)
    typed.path("a").write_text(data)
    typed.advance(2)
    assert typed.text("a") == data
    typed.hint(typed.path("a"))
    typed.advance(12)
    assert runs_in(typed) == 1
    assert "Late text" in typed.text("a")
