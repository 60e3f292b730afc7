"""A world for each test: its vault, its state and its clock."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.in_memory import PLACE
from vault_scheduler.platform import replace
from vault_scheduler.testing_world import World

FRIDAY_TEN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)  # 10:00 in Berlin, a Friday


@pytest.fixture(autouse=True)
def _hours_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In these worlds hours go by in a moment: a file that was just written is not one that is being written."""
    monkeypatch.setattr(replace, "BUSY_S", 0.0)
    monkeypatch.setattr(replace, "LONGEST_PAUSE_S", 0.0)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder of the test's own, in memory."""
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        yield Path(folder)


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Worlds with other settings, times or zones."""
    worlds: list[World] = []

    def make(now: datetime = FRIDAY_TEN, **more: Any) -> World:
        worlds.append(World(tmp_path / str(len(worlds)), now, **more))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A vault in Berlin on Friday 2026-11-20 at 10:00, with good settings and no task; the daemon is not running."""
    return make_world()
