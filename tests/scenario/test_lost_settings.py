"""A settings note that has lost what holds the vault back: a merge is no decision of anybody."""

from __future__ import annotations

import pytest

from vault_scheduler.testing_world import World


@pytest.mark.parametrize(
    ("held", "merged", "freed"),
    [
        ("status: paused", "", "status: active"),
        ("status: stopped", "sttatus: stopped", "status: active"),
        ("enabled: false", "max_parallel: 7", "enabled: true"),
        ("paused_until: 2026-12-24", "", "paused_until:"),
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_lost_pause_is_still_a_pause(world: World, held: str, merged: str, freed: str, restarts: bool) -> None:
    """Only a line that says so sets the vault going again; what is missing is a problem, after a restart too."""
    world.write_settings(f"host: here\n{held}", age_s=3600)
    world.command("a", "every: 10m")
    world.start()
    world.write_settings(f"host: here\n{merged}\nmax_claude: 3")
    world.advance(300)
    if restarts:
        world.restart(after_s=60)
    world.advance_to("11:05")
    assert world.history() == []
    assert [problem.key for problem in world.daemon.problems() if problem.is_error] == [held.split(":")[0]]
    world.write_settings(f"host: here\n{freed}")
    world.advance_to("11:15")
    assert world.history() == ["11:10 success"]
    assert world.daemon.problems() == []


def test_lost_owner_is_still_the_owner(world: World) -> None:
    """A second machine does not take a vault whose settings note lost its `host`, and does not write it."""
    world.write_settings("host: there\ntimezone: Europe/Berlin", age_s=3600)
    world.command("a", "every: 10m")
    world.start()
    world.write_settings("timezone: Europe/Berlin")
    before = world.settings_file.read_bytes()
    world.advance_to("10:35")
    world.restart(after_s=60)
    world.advance_to("11:05")
    assert world.history() == []
    assert world.settings_file.read_bytes() == before
    world.write_settings("host: here")
    world.advance_to("11:15")
    assert world.history() == ["11:10 success"]


def test_lost_cap_is_still_a_cap(world: World) -> None:
    """A lower cap than the usual one stays in force; a higher one, once lost, does not."""
    world.start()
    for cap, expected in (("2.5", 2.5), ("50", 5.0)):
        world.write_settings(f"host: here\nvault_max_usd_day: {cap}")
        world.advance(60)
        world.write_settings("host: here")
        world.advance(60)
        assert world.survey.settings_note.in_force.vault_max_usd_day == expected


def test_ended_pause_may_be_removed(world: World) -> None:
    """A `paused_until` that has passed holds nothing back."""
    world.write_settings("host: here\npaused_until: 2026-11-20T10:05", age_s=3600)
    world.command("a", "every: 10m")
    world.start()
    world.advance_to("10:07")
    world.write_settings("host: here")
    world.advance_to("10:15")
    assert world.history() == ["10:10 success"]
    assert world.daemon.problems() == []
