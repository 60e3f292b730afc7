"""What the daemon holds open of the state folder: the ledger, the approvals, the last good notes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from vault_scheduler import __version__
from vault_scheduler.daemon.troubles import Tell
from vault_scheduler.errors import VaultSchedError
from vault_scheduler.ledger.definitions import Definitions
from vault_scheduler.ledger.good_notes import GoodNotes
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import TaskRow
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.machine.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFiles:
    """The open files, and what the ledger remembers of tasks and settings."""

    store: SqliteStore
    trust: Trust
    good_notes: GoodNotes | None  # None if they cannot be kept
    rows: dict[str, TaskRow]
    settings_source: str  # "" if there never was a good settings note
    definitions: Definitions | None = None  # what the notes were read as; None if that cannot be kept
    damages: tuple[str, ...]  # what was broken in ledger and approvals, and was mended or set aside


@asynccontextmanager
async def state_files(place: Place, tell: Tell, *, owner: str) -> AsyncIterator[StateFiles]:
    """All of them, closed in the end. Raises LedgerUnavailable, LedgerCorrupt, LedgerTooNew."""
    async with AsyncExitStack() as stack:
        store = await SqliteStore.open(place.ledger_path, version=__version__, owner=owner)
        stack.push_async_callback(store.close)
        trust = Trust.open(place.approvals_path, version=__version__)
        stack.callback(trust.close)
        damages = (*store.notices, *trust.notices)
        for notice in (*place.machine.warnings, *damages):
            tell("problem", "ledger", notice)
        good_notes = _good_notes(place, tell)
        if good_notes is not None:
            stack.callback(good_notes.close)
        definitions = Definitions.open(place.definitions_path)
        if definitions is not None:
            stack.callback(definitions.close)
        rows = await store.task_rows()
        if trust.is_new and rows:
            trust.mark_lost()
        yield StateFiles(
            store=store,
            trust=trust,
            good_notes=good_notes,
            rows=rows,
            settings_source=await store.get_meta("settings") or "",
            definitions=definitions,
            damages=damages,
        )


def _good_notes(place: Place, tell: Tell) -> GoodNotes | None:
    """The last good texts of notes; None if they cannot be kept, which keeps nothing from running."""
    try:
        notes = GoodNotes.open(place.good_notes_path)
    except VaultSchedError as error:
        tell("problem", "ledger", f"{error}. What task notes say is not kept for `vault-sched restore`")
        return None
    for notice in notes.notices:
        tell("problem", "ledger", notice)
    return notes
