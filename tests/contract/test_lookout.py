"""The lookout on real files and a real ledger: what an old copy overwrote, however soon, is due again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from vault_scheduler.daemon.lookout import Lookout
from vault_scheduler.ledger.rows import OUTPUT, Batch, Claim
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.run import Outcome, Result, Run, TriggerKind, fire_key, run_id
from vault_scheduler.telling.output_note import block_ids
from vault_scheduler.vault.vault import Vault

T = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
OLD = b"# Log\n"


async def test_old_copy_that_is_saved_before_we_look_at_our_write_is_noticed(tmp_path: Path) -> None:
    """A program saves its old copy between our write and the first look at the file: the block is due again, once."""
    (tmp_path / "00_system" / "tasks").mkdir(parents=True)
    key = fire_key("a", T)
    run = Run(
        id=run_id(key, T),
        key=key,
        task="a",
        path="00_system/tasks/a.md",
        trigger=TriggerKind.AT,
        fire_time=T,
        claimed_at=T,
    )
    store = await SqliteStore.open(tmp_path / "ledger.db", version="test", owner="test")
    try:
        await store.save(Batch(claims=(Claim(run=run),)))
        await store.begin_attempt(run.id, 1, T)
        result = Result(outcome=Outcome.SUCCESS, text="x")
        await store.end_attempt(run.id, 1, result, T)
        await store.finish(run.id, Outcome.SUCCESS, result, "", T, (OUTPUT,))
        await store.mark_delivered(run.id, OUTPUT, T)
        lookout = Lookout(Vault(tmp_path), store, OUTPUT, block_ids)
        (tmp_path / "Log.md").write_bytes(OLD)
        lookout.wrote("Log.md", [run.id], OLD + f"x\n\n^{run.id}\n".encode(), 0.0)
        assert await lookout.look(1.0)
        assert [delivery.run for delivery in await store.pending_deliveries()] == [run.id]
        assert not await lookout.look(2.0)
    finally:
        await store.close()
