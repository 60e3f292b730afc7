"""Short versions of the attacks that `make torture` drives for many minutes; their findings are told as they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.torture import kill, processes
from tests.torture.__main__ import finds_nothing

NAMES = "opens-session daemonises hundreds-in-sessions multiplies many-hold-the-pipe stops-itself forks-and-ignores"
PROCESSES = processes.scenes(tuple(child for child in processes.CHILDREN if child.name in NAMES.split()), runs=30)


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[list[str]]]]:
    """All of them at once, for each mostly waits."""
    folder: Path = tmp_path_factory.mktemp("attacks")

    def siege() -> list[str]:
        return kill.besiege(folder / "siege", kills=7, seed=20261122).faults

    with ThreadPoolExecutor(len(PROCESSES) + 1) as pool:
        begun = {"siege": pool.submit(siege)}
        for name, (parallel, scene) in PROCESSES.items():
            begun[name] = pool.submit(lambda n=name, p=parallel, s=scene: processes.play(folder / n, p, s).faults)  # type: ignore[misc]
        yield begun


@pytest.mark.timeout(300)
@pytest.mark.parametrize("attack", ["siege", *PROCESSES])
def test_attack_finds_no_fault(attacks: dict[str, Future[list[str]]], attack: str) -> None:
    """Whatever is killed, refuses to end or comes at once: nothing is lost, run twice or left over."""
    assert attacks[attack].result() == []


HANGS = "import time; time.sleep(60)"


@pytest.mark.parametrize(("program", "fine"), [("pass", True), ("exit(1)", False), (HANGS, False)])
def test_make_torture_counts_what_hangs_as_a_fault(program: str, fine: bool) -> None:
    """All of it ends in a bounded time, with 0 only if each attack did."""
    assert finds_nothing([sys.executable, "-c", program], 1.0 if program is HANGS else 30.0) is fine
