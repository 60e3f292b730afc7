"""Hints about files of any type, within a reach that changes while the daemon runs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vault_scheduler.triggers.globs import Reach
from vault_scheduler.vault.watcher import Post, Watcher


class Follower:
    """Watches what it was last told to. Where nothing tells of changes it hears none.

    It has an observer of its own, so that a kernel that cannot watch a whole vault still watches the tasks folder.
    """

    def __init__(self, root: Path, post: Post) -> None:
        self._root = root
        self._post = post
        self._watcher: Watcher | None = None

    def follow(self, reach: Reach) -> None:
        """Hear from now on of what happens within this reach, and of nothing else."""
        self.stop()
        if reach:
            self._watcher = Watcher(self._folders(reach), self._post, any_file=True, may_poll=False)
            self._watcher.start()

    def _folders(self, reach: Reach) -> dict[Path, bool]:
        """Each with whether what is below it counts; those above as well, for they tell when one comes or goes."""
        above = {self._root / parent: False for folder in reach for parent in PurePosixPath(folder).parents}
        return {**above, **{self._root / folder: levels != 1 for folder, levels in reach.items()}}

    @property
    def polling_reason(self) -> str:
        """Why changes are found by the sweep alone, in words; empty while they are heard of."""
        return self._watcher.polling_reason if self._watcher is not None else ""

    def check(self) -> None:
        """Watch again what came, went or died, soon."""
        if self._watcher is not None:
            self._watcher.check()

    def stop(self) -> None:
        """Watch nothing any more."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None
