"""The daemon as a process that serves for long, whatever its ledger does."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tests.process.conftest import PATIENCE_S, World
from vault_scheduler.daemon import serving
from vault_scheduler.machine.place import Place


def test_a_ledger_that_is_waited_for_costs_no_memory_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage is looked for while nothing can be served, which may be for hours."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, world.env[name])
    place = Place.open(world.vault, start=world.vault, environ={})
    place.ledger_path.mkdir(parents=True)

    async def served() -> bool:
        stop = asyncio.Event()
        collects: list[bool] = []

        async def look() -> None:
            while not told:
                await asyncio.sleep(0.01)
            collects.append(gc.isenabled())
            stop.set()

        told: list[tuple[str, ...]] = []
        looking = asyncio.create_task(look())
        await asyncio.wait_for(serving.serve(place, tell=lambda *line: told.append(line), stop=stop), PATIENCE_S)
        await looking
        return collects == [True]

    assert asyncio.run(served())
