"""The store under kill -9: what was acknowledged is there, and what is there is whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.run import RunState

CHILD = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from vault_scheduler.run import Outcome, Result, Run, TriggerKind, fire_key, run_id
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import Batch, Claim, TaskRow

T = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)

async def main() -> None:
    store = await SqliteStore.open(sys.argv[1], version="0.1", owner=sys.argv[2])
    print("open", flush=True)
    for number in range(100_000):
        fire = T + timedelta(seconds=number)
        key = fire_key(sys.argv[2], fire)
        run = Run(id=run_id(key, fire), key=key, task=sys.argv[2], path="a.md", trigger=TriggerKind.AT,
                  fire_time=fire, claimed_at=fire)
        row = TaskRow(task=sys.argv[2], path="a.md", fingerprint="f", fires=True, watermark=fire)
        await store.save(Batch(claims=(Claim(run=run),), tasks=(row,)))
        print("claimed", run.id, flush=True)
        if number % 2:
            result = Result(outcome=Outcome.SUCCESS, text="x" * 2000)
            await store.begin_attempt(run.id, 1, fire)
            await store.finish(run.id, Outcome.SUCCESS, result, "", fire, ("note", "daily_log"))
            print("ended", run.id, flush=True)

asyncio.run(main())
"""


def start(ledger: Path, task: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(ledger), task], stdout=subprocess.PIPE, text=True)


def acknowledged(child: subprocess.Popen[str], enough: int) -> list[list[str]]:
    """Let the child work until it has acknowledged so many, kill it, and return all that it had told by then."""
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(enough)]
    os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return [line.split() for line in lines if line.endswith("\n")]


async def examine(ledger: Path, task: str, told: list[list[str]]) -> None:
    store = await SqliteStore.open(ledger, version="0.1", owner="after")
    assert store.notices == ()
    assert await store.integrity() == "ok"
    runs = {run.id: run for run in await store.history(task, limit=1_000_000)}
    pending = [delivery.run for delivery in await store.pending_deliveries() if delivery.run in runs]
    for word, *names in told:
        if word == "claimed":
            assert names[0] in runs
        if word == "ended":
            assert runs[names[0]].state is RunState.ENDED
    ended = [run for run in runs.values() if run.state is RunState.ENDED]
    assert len(pending) == 2 * len(ended)
    newest = max(run.fire_time for run in runs.values())
    assert (await store.task_rows())[task].watermark == newest
    assert [run.fire_time for run in sorted(runs.values(), key=lambda r: r.fire_time)] == [
        newest - timedelta(seconds=back) for back in range(len(runs) - 1, -1, -1)
    ]
    await store.close()


@pytest.mark.parametrize("enough", [2, 31, 200])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, enough: int) -> None:
    """Claims and ends that were told are in the ledger; claim and watermark agree; ends have their deliveries."""
    ledger = tmp_path / "ledger.db"
    told = acknowledged(start(ledger, "a"), enough)
    assert len(told) >= enough
    asyncio.run(examine(ledger, "a", told))


def test_two_processes_write_into_one_ledger(tmp_path: Path) -> None:
    """A daemon and a command share the ledger: neither fails for the other's lock, nothing is lost."""
    ledger = tmp_path / "ledger.db"
    children = {task: start(ledger, task) for task in ("a", "b")}
    told = {task: acknowledged(child, 100) for task, child in children.items()}
    for task, lines in told.items():
        asyncio.run(examine(ledger, task, lines))
