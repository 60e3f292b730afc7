"""Approving held definitions: exactly those that the person was shown (rule 8)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vault_scheduler import __version__
from vault_scheduler.commands.records import Waiting
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.machine.place import Place
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import source_of


def approve(place: Place, everything: Sequence[Waiting], chosen: Sequence[Waiting], *, has_history: bool) -> None:
    """Approve `chosen` of `everything` that waits, and wake the daemon. Raises LedgerUnavailable, LedgerCorrupt.

    All that waits is recorded first: were only the chosen ones known, the last of them would seem to be the last
    of all, and approvals that were lost would count as found again.
    """
    place.make_state()
    now = place.clock.now()
    trust = Trust.open(place.approvals_path, version=__version__, serving=False)
    try:
        if trust.is_new and has_history:
            trust.mark_lost()
        for each in everything:
            trust.hold(each.task.id, each.hash, now, each.why, _source(place, each.task.path))
        for each in chosen:
            trust.approve(each.task.id, each.hash, now)
    finally:
        trust.close()
    place.wake()


def _source(place: Place, path: str) -> str:
    """The definition as JSON, as the daemon stores it with a pin."""
    data = place.vault.read(path)
    return json.dumps(source_of(Document.parse(data)), sort_keys=True, default=str) if data is not None else ""
