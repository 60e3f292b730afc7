"""Looks after what was written into files that nothing else watches: what somebody's old copy overwrote is due again.

It is put back once (rule 6); the ledger remembers that it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from vault_scheduler.ledger.store import Store
from vault_scheduler.planning.vigil import Vigil
from vault_scheduler.platform.hashed import digest
from vault_scheduler.vault.sweep import Stamp
from vault_scheduler.vault.vault import Vault


class Lookout:
    """Block ids in the files of one target of deliveries, for five minutes after each write. Times in seconds awake."""

    def __init__(self, vault: Vault, store: Store, target: str, ids_of: Callable[[bytes], Set[str]]) -> None:
        self._vault = vault
        self._store = store
        self._target = target
        self._ids_of = ids_of
        self._vigil = Vigil()
        self._stamps: dict[str, Stamp | None] = {}
        self._left: dict[str, str] = {}  # path → hash of what our last write left there

    def wrote(self, path: str, ids: Iterable[str], data: bytes, monotonic: float) -> None:
        """We wrote these blocks, and the file held `data` at that moment.

        It is read once more at the next look: an old copy may be saved over it before its stamp can be taken.
        """
        self._vigil.wrote(path, ids, self._ids_of(data), monotonic)
        self._stamps = {p: s for p, s in self._stamps.items() if p != path and self._vigil.watches(p, monotonic)}
        self._left = {p: left for p, left in self._left.items() if self._vigil.watches(p, monotonic)}
        self._left[path] = digest(data)

    def recall(self, path: str, block: str, at: float) -> None:
        """A former daemon wrote the block at that awake second; the file is looked at next."""
        self._vigil.recall(path, block, at)

    async def look(self, monotonic: float) -> bool:
        """Whether blocks that are not there any more are pending again."""
        lost = False
        for path in self._vigil.paths(monotonic):
            stamp = self._vault.stamp(path)
            if stamp is None or stamp == self._stamps.get(path):
                continue
            self._stamps[path] = stamp
            try:
                data = self._vault.read(path) or b""
                if digest(data) == self._left.get(path):
                    continue
                standing = self._ids_of(data)
            except Exception:  # looked at again when the file next changes
                continue
            for block in self._vigil.vanished(path, standing, monotonic):
                lost |= await self._store.restore_delivery(block, self._target)
        return lost
