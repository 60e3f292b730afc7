"""A short version of `python -m tests.torture.editors`: one patient and one impatient round, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.torture.editors import attack
from tests.torture.stage import Tally

TYPED_S = 8.0


@pytest.fixture(scope="module")
def rounds() -> Iterator[dict[bool, Future[Tally]]]:
    """Both rounds, by whether people pause."""

    def one(pauses: bool) -> Tally:
        tally = Tally("editors")
        attack(tally, seed=1, pauses=pauses, seconds=TYPED_S)
        return tally

    with ThreadPoolExecutor(2) as pool:
        yield {pauses: pool.submit(one, pauses) for pauses in (True, False)}


@pytest.mark.parametrize("pauses", [True, False], ids=["patient", "impatient"])
def test_editors(rounds: dict[bool, Future[Tally]], pauses: bool) -> None:
    """Every typed line and every run stands where it belongs exactly once; results wait for who pauses."""
    tally = rounds[pauses].result(170)
    assert tally.faults == []
    assert tally.figures["runs"] > 5
    assert tally.figures["saves"] > 50
