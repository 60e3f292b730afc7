"""Where a vault's files lie on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from vault_scheduler.machine.config import Machine
from vault_scheduler.machine.place import Place
from vault_scheduler.vault.vault import Vault


def test_a_command_may_wake_a_daemon_that_has_only_just_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the lock and the first look there is no folder for the nudge yet: it is made, and the daemon finds it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = Place.at(Vault(tmp_path / "vault"), Machine(), {})
    place.wake()
    assert place.wake_path.is_file()
    place.wake()
