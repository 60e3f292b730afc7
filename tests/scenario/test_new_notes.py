"""A task that was written just now, and what people ask of it at once."""

from __future__ import annotations

from vault_scheduler.run import Outcome
from vault_scheduler.testing_world import World


def test_a_request_waits_for_a_note_that_does_not_count_yet(world: World) -> None:
    """`create` and then `run` works at once: the run starts when the note has been left alone for `note_quiet`."""
    world.start()
    world.command("new", "every: 1h", age_s=0)
    assert world.request("run", "new") == {}
    world.advance(11)
    assert [run.outcome for run in world.runs("new")] == [Outcome.SUCCESS]


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
