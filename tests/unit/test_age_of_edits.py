"""Since when a note has been left alone: an edit counts once that is `note_quiet`, and never before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from vault_scheduler.daemon.keeping import Keeping
from vault_scheduler.daemon.readings import Reading, Readings
from vault_scheduler.vault.vault import Vault

FIRST_READ, BELIEVED = 100.0, 100.25


@pytest.mark.parametrize(
    ("age_s", "before", "changed_at"),
    [
        (0.25, 10.0, FIRST_READ),
        (0.45, 10.0, 99.8),  # the watcher told of it 0.2 s after the change
        (3600.0, 10.0, 99.5),  # a clock of another machine, which is believed for half a second
        (0.0, 10.0, FIRST_READ),  # or one that is ahead
        (3600.0, 99.9, 99.9),  # nothing is older than the edit before it
    ],
)
def test_an_edit_is_as_old_as_its_file_says_but_hardly_older_than_its_first_reading(
    tmp_path: Path, age_s: float, before: float, changed_at: float
) -> None:
    """The time in which its two readings had to agree is part of the time in which it was left alone."""
    readings = Readings(Vault(tmp_path), "00_system/scheduler.md", Keeping(None))
    reading = Reading(data=b"", digest="", since=FIRST_READ, is_new=False, is_ours=False, is_same=False, age_s=age_s)
    found = readings.changed_at("a.md", reading, before, datetime(2026, 1, 1, tzinfo=UTC), BELIEVED)
    assert found == pytest.approx(changed_at)
