"""The file of approvals on disk: damaged, it holds everything; the ledger's fate does not touch it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from vault_scheduler.ledger.trust import Trust

T = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


def test_pins_and_spend_survive_a_restart(tmp_path: Path) -> None:
    """Deleting the ledger neither approves anything nor makes today's money come back."""
    path = tmp_path / "approvals.db"
    trust = Trust.open(path, version="0.1")
    assert trust.is_new
    trust.pin("a", "h", T)
    trust.add_spend("r", 1, "a", date(2026, 11, 22), 0.5)
    trust.close()
    trust = Trust.open(path, version="0.1")
    assert not trust.is_new
    assert trust.check() is None
    assert set(trust.pins()) == {"a"}
    assert trust.spent(date(2026, 11, 22)).total == 0.5
    trust.close()


def test_damaged_pins_count_as_lost(tmp_path: Path) -> None:
    """The damaged file is kept, it is told, and nothing pins itself from then on, after a restart neither."""
    path = tmp_path / "approvals.db"
    path.write_bytes(b"no database" * 500)
    trust = Trust.open(path, version="0.1")
    assert "approvals-corrupt-" in trust.notices[0]
    trust.close()
    trust = Trust.open(path, version="0.1")
    assert trust.notices == ()
    assert not trust.pins_known()
    trust.close()
