"""A short version of `python -m tests.torture.sync`: the same scenes, with fewer events each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.torture.stage import Tally
from tests.torture.sync import SCENES, play


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, Future[Tally]]]:
    """The scenes mostly wait, so they are played side by side."""

    def one(number: int) -> Tally:
        tally = Tally(SCENES[number].__name__)
        play(SCENES[number], tally, 1, short=True)
        return tally

    with ThreadPoolExecutor(5) as pool:
        yield {act.__name__: pool.submit(one, number) for number, act in enumerate(SCENES)}


@pytest.mark.parametrize("name", [act.__name__ for act in SCENES])
def test_sync(played: dict[str, Future[Tally]], name: str) -> None:
    """What the scene's own sentence says."""
    tally = played[name].result(170)
    assert tally.faults == []
    assert tally.figures["scenes"] == 1
