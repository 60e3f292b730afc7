"""Who is told what, and when: the daemon under a fake clock, with a postman that carries nothing anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing_world import World

SIX = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)  # in Berlin


def failed(reason: str = "exit 1: no such file") -> Result:
    return Result(outcome=Outcome.FAILURE, reason=reason, exit_code=1, text="cat: no such file")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, SIX)
    world.notifiers = ("phone",)
    yield world
    world.close()


def titles(world: World) -> list[str]:
    return [parcel.title for parcel in world.parcels]


def ends(world: World, *results: Result) -> None:
    """The runs to come end like these, and all after them like the last one."""
    left = list(results)

    def script(request: RunRequest) -> Result:
        return left.pop(0) if len(left) > 1 else left[0]

    world.script = script


def test_a_failure_is_told_at_once_and_counted_until_a_day_has_gone_by(world: World) -> None:
    """The first failure is a message with its reason; its repeats are told once a day, with their number."""
    world.command("backup", "cron: '*/30 * * * *'\npause_after: 0")
    ends(world, *(failed(f"exit 1: no disk /dev/sd{n}, pid {n}00") for n in range(50)))
    world.start()
    world.advance_to("06:40")
    [told] = world.parcels
    assert (told.receiver, told.title, told.kind) == ("phone", "❌ backup failed", "failure")
    assert told.body.startswith("exit 1: no disk")
    assert "cat: no such file" in told.body
    assert "2026-11-22 06:30" in told.body
    assert told.body.endswith("obsidian://open?vault=vault&file=00_system%2Ftasks%2Fbackup")
    world.advance(24 * 3600)
    assert titles(world)[1:] == ["❌ backup still failing, 49 times since 2026-11-22 06:30"]
