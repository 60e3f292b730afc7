"""A second machine on the same vault: it runs what is its own, and writes nothing that is the owner's."""

from __future__ import annotations

from collections.abc import Callable

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.testing_world import World


def test_keys_of_a_task_elsewhere_are_left_alone(world: World) -> None:
    """What the owner's daemon wrote stands, also where it tells of a time that this machine knows nothing of."""
    world.write_settings("host: there", age_s=3600)
    world.command("a", "every: 10m\nnext_run: 2026-11-20T12:00:00\nlast_run: 2026-11-20T08:00:00\nstatus_reason: odd")
    before = world.path("a").read_bytes()
    world.start()
    world.edit("a", "echo a", "echo b")
    world.advance_to("11:00")
    assert world.path("a").read_bytes() == before.replace(b"echo a", b"echo b")


def test_result_of_a_run_that_began_here_arrives(world: World) -> None:
    """The task went to another machine while it ran: its result is put into the note, and no key is touched."""

    def runs_on(_: RunRequest) -> None:
        return None

    world.script = runs_on
    world.command("a", 'cron: "10 10 * * *"')
    world.start()
    world.advance_to("10:11")
    world.write_settings("host: there")
    world.advance(120)
    before = world.text("a")
    world.engine.finish("a")
    world.advance(120)
    assert world.text("a").startswith(before.rstrip("\n"))
    assert world.runs()[0].id in world.text("a")
    assert world.history() == ["10:10 success"]


def test_settings_that_were_never_read_give_no_right_to_write(make_world: Callable[..., World]) -> None:
    """Until it is known whose the vault is, not even a log is begun."""
    world = make_world(settings="max_parallel: many")
    world.command("a", "every: 10m")
    before = sorted(path for path in world.root.rglob("*") if path.is_file())
    world.start()
    world.advance(1200)
    assert sorted(path for path in world.root.rglob("*") if path.is_file()) == before


def test_owner_stops_at_once_and_the_new_one_waits(world: World) -> None:
    """A take-over by hand: who is not named any more stops as with a pause, who is named waits for `note_quiet`."""
    world.command("a", "every: 2s")
    world.start()
    world.advance(10)
    assert len(world.history()) == 5
    world.write_settings("host: there")
    world.advance(8)
    assert len(world.history()) <= 6
    world.advance(60)
    count = len(world.history())
    world.write_settings("host: here")
    world.advance(8)
    assert len(world.history()) == count
    world.advance(10)
    assert len(world.history()) > count


def test_name_that_is_typed_anew_costs_no_more_than_the_typing(world: World) -> None:
    """The owner's name, half deleted and written again, is the owner's at once."""
    world.command("a", 'cron: "* * * * *"')
    world.start()
    world.write_settings("host: her")
    world.advance(3)
    world.write_settings("host: here")
    world.advance(120)
    assert world.history() == ["10:01 success", "10:02 success"]
