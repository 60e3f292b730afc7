"""Hints about files of any type, below folders that change while the daemon runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vault_scheduler.vault.watcher import Post, Watcher


class Follower:
    """Watches those folders that it was last told to. Where nothing tells of changes it hears none.

    It has an observer of its own, so that a kernel that cannot watch a whole vault still watches the tasks folder.
    """

    def __init__(self, post: Post) -> None:
        self._post = post
        self._watcher: Watcher | None = None

    def follow(self, folders: Mapping[Path, bool]) -> None:
        """Watch these folders from now on, and no others; each with whether everything below it counts."""
        self.stop()
        if folders:
            self._watcher = Watcher(folders, self._post, any_file=True, may_poll=False)
            self._watcher.start()

    def check(self) -> None:
        """Look soon which folders came or went."""
        if self._watcher is not None:
            self._watcher.check()

    def stop(self) -> None:
        """Watch nothing any more."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None
