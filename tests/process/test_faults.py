"""A short version of `python -m tests.torture.faults`: the scenes that need no minutes and no rights."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.torture import faults

SCENES = (
    faults.truncated_ledger,
    faults.deleted_ledger,
    faults.no_place_for_the_state,
    faults.no_open_files_at_the_start,
)


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, Future[faults.Seen | str]]]:
    """The scenes mostly wait, so they are played side by side."""
    with ThreadPoolExecutor(len(SCENES)) as pool:
        yield {scene.__name__: pool.submit(faults.play, scene) for scene in SCENES}


@pytest.mark.parametrize("name", [scene.__name__ for scene in SCENES])
def test_faults(played: dict[str, Future[faults.Seen | str]], name: str) -> None:
    """What the scene's own sentence says: told, shown, nothing lost, and over when its cause is gone."""
    seen = played[name].result(170)
    assert isinstance(seen, faults.Seen), seen
    assert seen.faults == []
    assert seen.fire_times > 2
