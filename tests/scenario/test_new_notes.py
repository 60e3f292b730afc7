"""A task that was written just now, and what people ask of it at once."""

from __future__ import annotations

from vault_scheduler.run import Outcome
from vault_scheduler.testing_world import World


def test_a_request_waits_for_a_note_that_does_not_count_yet(world: World) -> None:
    """`create` and then `run` works at once: it starts as soon as two reads of the note agree, without `note_quiet`."""
    world.start()
    world.command("new", "every: 1h", age_s=0)
    assert world.request("run", "new") == {}
    world.advance(2)
    assert [run.outcome for run in world.runs("new")] == [Outcome.SUCCESS]


def test_an_edit_counts_at_once_for_who_asks_for_the_task(world: World) -> None:
    """Who types `run` has finished typing the note; what fires by itself still waits for `note_quiet`."""
    world.command("asked", "every: 1h")
    world.command("unasked", "every: 1h")
    world.start()
    for name in ("asked", "unasked"):
        world.edit(name, "every: 1h", "every: 1s")
    world.request("run", "asked")
    world.advance(4)
    assert len(world.runs("asked")) > 1
    assert world.runs("unasked") == []


def test_a_request_for_a_task_that_never_comes_is_refused(world: World) -> None:
    """Notes that somebody keeps typing in hold the answer back for half a minute at most."""
    world.start()
    world.command("other", "every: 1h", age_s=0)
    wish = world.call(world.store.add_request("run", "nobody", {}, world.clock.now()))
    for turn in range(7):
        world.advance(5)
        world.command("other", f"every: {turn + 2}h", age_s=0)
    world.advance(1)
    found = world.call(world.store.request(wish))
    assert found is not None
    assert found.answer is not None
    assert "refused" in found.answer


def test_what_the_watcher_does_not_tell_is_found_by_the_sweep(world: World) -> None:
    """Events are hints: a new note, an edit and a deletion that nobody reported count within a minute all the same."""
    world.command("a", "every: 1m")
    world.start()
    world.hint = lambda *paths: None  # type: ignore[method-assign]
    world.command("new", "every: 1m", age_s=0)
    world.edit("a", "every: 1m", "every: 10m")
    world.advance_to("10:05:30")
    assert len(world.runs("new")) >= 4
    assert len(world.runs("a")) <= 1
    world.delete("new")
    count = len(world.runs("new"))
    world.advance(300)
    assert len(world.runs("new")) <= count + 1
    assert len(world.runs("a")) >= 1


def test_the_first_result_of_a_new_task_is_in_its_note_at_once(world: World) -> None:
    """A new note with `run_now`: unticking, `next_run` and the result are one write, not two with 30 s between."""
    world.start()
    world.command("new", "every: 1h\nrun_now: true", age_s=0)
    world.advance(14)
    assert "run_now: false" in world.text("new")
    assert "## Runs" in world.text("new")
