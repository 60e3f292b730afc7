"""The ledger and the approvals for those who only look: what is not there is not created."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from vault_scheduler import __version__
from vault_scheduler.errors import VaultSchedError
from vault_scheduler.machine.config import Trust as TrustWord

if TYPE_CHECKING:
    from vault_scheduler.ledger.sqlite_store import SqliteStore
    from vault_scheduler.ledger.trust import Trust
    from vault_scheduler.machine.place import Place
    from vault_scheduler.task import Task


TOLD_FOR = timedelta(days=1)
"""So long `status` shows that a damaged file was set aside."""


def state_troubles(place: Place, now: datetime) -> list[str]:
    """What is wrong with the state folder, and what was damaged in it within a day and still lies where it was put."""
    if not place.state.is_dir():
        why = "something that is no folder is in its place"
        return [f"{place.state} cannot be used now: {why}"] if place.state.exists() else []
    found = sorted(path for path in place.state.glob("*-corrupt-*.db") if _since(path, now) < TOLD_FOR)
    return [
        f"{path.name.partition('-')[0]}.db was damaged and is kept as {path}; a new one was begun with what could be "
        "read. Look after the disk, and remove the file once you have seen this"
        for path in found
    ]


def _since(path: Path, now: datetime) -> timedelta:
    """How long ago the file was renamed."""
    try:
        return timedelta(seconds=now.timestamp() - path.stat().st_ctime)
    except FileNotFoundError:
        return timedelta.max


@asynccontextmanager
async def ledger(place: Place, *, to_write: bool = False) -> AsyncIterator[SqliteStore | None]:
    """The ledger, beside a daemon that may be writing it; None if there is none. Raises as `SqliteStore.open`."""
    if not place.ledger_path.exists():
        yield None
        return
    from vault_scheduler.ledger.sqlite_store import SqliteStore

    if to_write:
        store = await SqliteStore.open(place.ledger_path, version=__version__, owner="look", serving=False)
    else:
        store = await SqliteStore.look(place.ledger_path, version=__version__)
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def approvals(place: Place) -> Iterator[Trust | None]:
    """The file of pins and spend; None if there is none."""
    if not place.approvals_path.exists():
        yield None
        return
    from vault_scheduler.ledger.trust import Trust

    trust = Trust.open(place.approvals_path, version=__version__, serving=False)
    try:
        yield trust
    finally:
        trust.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A definition that waits for approval."""

    task: Task
    hash: str
    why: str


class Holds:
    """Which definitions are held, as the daemon would judge them where nothing restricted is running."""

    def __init__(self, place: Place, trust: Trust | None, *, has_history: bool) -> None:
        self._place = place
        self._holds = trust.holds() if trust else {}
        # The approvals are gone though the ledger knows tasks: nothing pins itself any more.
        self._known = trust.pins_known() if trust else not has_history
        self._pins_itself = self._known and place.machine.trust is TrustWord.VAULT
        self._pins = trust.pins() if trust and (self._holds or not self._pins_itself) else {}

    def of(self, task: Task) -> Waiting | None:
        """What waits for approval; None if the task may run."""
        hold = self._holds.get(task.id)
        if hold is None and self._pins_itself:
            return None
        from vault_scheduler.planning.approvals import Held, TrustMode, verdict

        definition = definition_hash(self._place, task)
        pin = self._pins.get(task.id)
        found = verdict(
            TrustMode(self._place.machine.trust),
            task=task,
            definition=definition,
            pinned=pin.hash if pin else None,
            old=None,
            held=hold.hash if hold else None,
            restricting=(),
            at=self._now(),
            pins_known=self._known,
        )
        if not isinstance(found, Held):
            return None
        return Waiting(task=task, hash=definition, why=hold.why if hold else found.reason)

    def _now(self) -> datetime:
        return self._place.clock.now()


def definition_hash(place: Place, task: Task) -> str:
    """What is pinned: the definition with the files of the vault that it names."""
    from vault_scheduler.daemon.named_files import named_files
    from vault_scheduler.planning.approvals import pin_hash

    files: dict[str, bytes] = {}
    for path in named_files(task, place.vault):
        try:
            data = place.vault.read(path)
        except VaultSchedError:
            continue
        if data is not None:
            files[path] = data
    return pin_hash(task.definition, files)
