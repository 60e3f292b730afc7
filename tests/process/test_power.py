"""A short version of `python -m tests.torture.power`: what a power cut would leave, call by call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import power
from tests.torture.stage import Stage, Tally, stop


@pytest.mark.timeout(120)
@pytest.mark.skipif(not power.may_trace(), reason="strace is not there or not allowed")
def test_nothing_is_visible_that_a_power_cut_would_lose(tmp_path: Path) -> None:
    """Starts, ends, results and answers are on the disk before anybody sees them."""
    tally, world = Tally("power cuts"), Stage(tmp_path, power.SETTINGS)
    try:
        power.attack(world, 2.0, tally)
    finally:
        stop(world)
    assert tally.faults == []
    assert tally.figures["looks"] > 20
