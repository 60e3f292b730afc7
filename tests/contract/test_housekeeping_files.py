"""Housekeeping on real files and a real ledger."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from tests.torture.retention import attack
from vault_scheduler.daemon.housekeeping import Housekeeping
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import TRIM_LIMIT, Batch, Claim
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.machine.config import Machine, Retain
from vault_scheduler.machine.place import Place
from vault_scheduler.run import Outcome, Run, RunState, TriggerKind, fire_key, run_id
from vault_scheduler.testing import FakeClock
from vault_scheduler.vault.vault import Vault


class Waitless(FakeClock):
    """Nobody has to advance it."""

    async def wait(self, event: object, timeout_s: float) -> bool:
        self.advance(timeout_s)
        return False


async def test_what_is_old_goes_and_what_is_going_on_stays(tmp_path: Path) -> None:
    """Outputs after 30 days, scripts of killed runs at once, rows after a year in bounded steps; logs if asked to."""
    (tmp_path / "vault" / "00_system" / "tasks").mkdir(parents=True)
    logs = tmp_path / "vault" / "00_system" / "logs"
    logs.mkdir()
    for name in ("2025-01-01.md", "2026-11-22.md", "mine.md"):
        (logs / name).write_text("x")
    clock = Waitless()
    now = clock.now()
    machine = replace(Machine(host="here"), retain=Retain(logs=timedelta(days=30)))
    vault = Vault(tmp_path / "vault")
    place = Place(
        vault=vault, machine=machine, state=tmp_path / "state", clock=clock, machine_timezone="UTC", settings=None
    )
    store = await SqliteStore.open(place.ledger_path, version="0.1", owner="me")
    trust = Trust.open(place.approvals_path, version="0.1")

    def a_run(number: int) -> Run:
        fire = now - timedelta(days=400) + timedelta(seconds=number)
        key = fire_key("a", fire)
        return Run(
            id=run_id(key, fire),
            key=key,
            task="a",
            path="a.md",
            trigger=TriggerKind.AT,
            fire_time=fire,
            claimed_at=fire,
        )

    runs = [a_run(number) for number in range(TRIM_LIMIT + 12)]
    ended = [replace(run, state=RunState.ENDED, outcome=Outcome.SKIPPED, ended_at=run.fire_time) for run in runs[1:]]
    await store.save(Batch(claims=tuple(Claim(run=run) for run in [runs[0], *ended])))
    going, old, young = runs[0].id, "r-old", "r-young"
    for name, days in ((going, 40), (old, 40), (young, 2)):
        for file in (place.runs_folder / name / "output-1.txt", place.runs_folder / name / "attempt-1" / "script.sh"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("x")
            moment = (now - timedelta(days=days)).timestamp()
            os.utime(file, (moment, moment))
    await Housekeeping(place, store, trust, lambda *_: None).once()
    left = {str(path.relative_to(place.runs_folder)) for path in place.runs_folder.rglob("*") if path.is_file()}
    assert left == {f"{going}/output-1.txt", f"{going}/attempt-1/script.sh", f"{young}/output-1.txt"}
    assert {path.name for path in logs.iterdir()} == {"2026-11-22.md", "mine.md"}
    assert len(await store.history(limit=5000)) == 2  # the one that is going on, and the task's newest
    trust.close()
    await store.close()


async def test_a_start_does_not_wait_for_old_rows(tmp_path: Path) -> None:
    """A daemon looks through ledger and approvals when its start is over: with its second look at the vault."""
    (tmp_path / "vault" / "00_system" / "tasks").mkdir(parents=True)
    clock, vault, machine = FakeClock(), Vault(tmp_path / "vault"), Machine(host="here")
    place = Place(
        vault=vault, machine=machine, state=tmp_path / "state", clock=clock, machine_timezone="UTC", settings=None
    )
    store = await SqliteStore.open(place.ledger_path, version="0.1", owner="me")
    trust = Trust.open(place.approvals_path, version="0.1")
    long_ago = clock.now().date() - timedelta(days=500)
    trust.add_spend("r", 1, "a", long_ago, 2.0)
    house = Housekeeping(place, store, trust, lambda *_: None)
    await house.begin()
    daily = asyncio.create_task(house.daily())
    spent = []
    for _ in range(2):
        house.look()
        for _ in range(9):
            await asyncio.sleep(0)
        spent.append(trust.spent(long_ago).total)
    daily.cancel()
    trust.close()
    await store.close()
    assert spent == [2.0, 0.0]


def test_a_short_year_leaves_nothing_that_grows() -> None:
    """Rows, facts about tasks that went, outputs, temp files and note sections are bounded, and no row is an orphan."""
    figures = attack(91, 3, Retain(ledger=timedelta(days=50), outputs_size=20 * 10**6))
    assert figures.faults == []
    sizes = figures.sizes[90]
    assert sizes["tasks"] < 50 + 10 + 25
    assert sizes["pins"] == sizes["tasks"]
    assert sizes["output bytes"] <= 20 * 10**6
    assert 0 < sizes["set aside"] < 35


async def test_what_is_done_before_the_first_look_is_done_again_a_day_later(tmp_path: Path) -> None:
    """The rest of the first time leaves it out, and nothing after that does."""
    (tmp_path / "vault" / "00_system" / "tasks").mkdir(parents=True)
    vault, clock = Vault(tmp_path / "vault"), Waitless()
    machine, state = Machine(host="here"), tmp_path / "state"
    place = Place(vault=vault, machine=machine, state=state, clock=clock, machine_timezone="UTC", settings=None)
    store = await SqliteStore.open(place.ledger_path, version="0.1", owner="me")
    trust = Trust.open(place.approvals_path, version="0.1")
    house = Housekeeping(place, store, trust, lambda *_: None)
    old = place.runs_folder / "r-old" / "output-1.txt"
    moment = (clock.now() - timedelta(days=40)).timestamp()
    left = []
    for tidy in (house.begin, house.once, house.once):
        old.parent.mkdir(parents=True, exist_ok=True)
        old.write_text("x")
        os.utime(old, (moment, moment))
        await tidy()
        left.append(old.exists())
    assert left == [False, True, False]
    await store.close()
    trust.close()
