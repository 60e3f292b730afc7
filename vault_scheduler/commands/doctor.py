"""`doctor`: everything that makes a scheduler fail in the field, looked at once, each finding with its cure."""

from __future__ import annotations

import os
from pathlib import Path

from vault_scheduler.commands.catalogue import Catalogue, read_catalogue
from vault_scheduler.commands.claude_health import claude_findings
from vault_scheduler.commands.health import Finding, fault
from vault_scheduler.commands.machine_health import daemon_findings, machine_findings, user_is_root
from vault_scheduler.commands.records import ledger
from vault_scheduler.commands.vault_health import vault_findings
from vault_scheduler.commands.view import look
from vault_scheduler.errors import LedgerCorrupt, LedgerTooNew, LedgerUnavailable
from vault_scheduler.machine.place import Place


async def examine(place: Place) -> list[Finding]:
    """All findings, by what they are about. A probe file comes and goes in the vault; nothing else is written."""
    catalogue = await _catalogue(place)
    home = Path(os.environ.get("HOME", str(Path.home())))
    return [
        *machine_findings(place, catalogue),
        *user_is_root(),
        *vault_findings(place, catalogue),
        *await _of_ledger(place),
        *claude_findings(place, catalogue, home),
    ]


async def _catalogue(place: Place) -> Catalogue:
    """The notes with what the ledger says of them; alone where it cannot be read, which is found below."""
    try:
        async with look(place) as view:
            return view.catalogue
    except (LedgerUnavailable, LedgerCorrupt, LedgerTooNew):
        return read_catalogue(place)


async def _of_ledger(place: Place) -> list[Finding]:
    try:
        async with ledger(place) as store:
            return await daemon_findings(place, store)
    except (LedgerUnavailable, LedgerCorrupt, LedgerTooNew) as error:
        return [fault("ledger", str(error), "")]
