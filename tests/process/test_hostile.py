"""Short versions of the attacks with hostile notes and hostile output, on the real daemon (see tests/torture)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.torture import notes, output
from tests.torture.stage import Stage, Tally, stop

ATTACKS: dict[str, tuple[str, Callable[[Stage, Tally], None]]] = {
    "notes": (
        notes.SETTINGS,
        lambda world, tally: notes.attack(world, 4, random.Random(1), tally, examples=60),
    ),
    "output": (
        output.SETTINGS,
        lambda world, tally: output.attack(world, 0, random.Random(1), tally, big=False),
    ),
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Tally]]]:
    """Both attacks side by side: they mostly wait."""

    def play(name: str, folder: Path) -> Tally:
        settings, attack = ATTACKS[name]
        tally, world = Tally(name), Stage(folder, settings)
        try:
            attack(world, tally)
        finally:
            stop(world)
        return tally

    with ThreadPoolExecutor(len(ATTACKS)) as pool:
        yield {name: pool.submit(play, name, tmp_path_factory.mktemp(name)) for name in ATTACKS}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_finds_nothing(played: dict[str, Future[Tally]], name: str) -> None:
    """Nothing that was promised is broken, and the attack has done something."""
    tally = played[name].result()
    assert tally.faults == []
    assert tally.figures["rounds"] > 0
