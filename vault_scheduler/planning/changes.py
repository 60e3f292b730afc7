"""Which changes of files a task is started for, and when (rule 1.6): differences, batches, debounce. Pure.

Times are seconds awake. Paths are vault-relative, with forward slashes, in NFC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vault_scheduler.text.names import folded_parts
from vault_scheduler.triggers.globs import Globs

FileStamp = tuple[int, int]
"""A file's mtime in nanoseconds and its size. No inode: some network disks number files anew at every mount."""
Snapshot = Mapping[str, FileStamp]
Changed = Mapping[str, FileStamp | None]
"""Path → what the file was before; None: it was not there."""

UNKNOWN_BEFORE: FileStamp = (-1, -1)
"""It changed, and nobody knows any more what it was."""
LONGEST_DEBOUNCES = 10
"""After so many times `debounce` of changes without rest it starts anyway: a log that always grows holds up nothing."""
LARGEST_BATCH = 10_000
"""So many paths are handed to one run; the others are the next batch."""


def differences(before: Snapshot, after: Snapshot) -> Changed:
    """What was added, modified or removed."""
    changed: dict[str, FileStamp | None] = {path: s for path, s in before.items() if after.get(path) != s}
    changed.update(dict.fromkeys(after.keys() - before.keys()))
    return changed


class Gathering:
    """The changes that one task has not been started for yet."""

    def __init__(self, globs: Globs, debounce_s: float) -> None:
        self._globs = globs
        self._debounce_s = debounce_s
        self._paths: dict[str, FileStamp | None] = {}
        self._suspects: dict[str, FileStamp | None] = {}  # seen while a run of the task was going on
        self._first_at = self._last_at = 0.0

    def notice(self, changed: Changed, at: float, *, is_going: bool) -> None:
        """Files have changed. `is_going`: a run of the task itself may have changed them."""
        matching = {path: stamp for path, stamp in changed.items() if self._globs.matches(path)}
        if is_going:
            self._suspects = {**matching, **self._suspects}
        else:
            self._gather(matching, at)

    @property
    def suspects(self) -> Collection[str]:
        """What has changed while a run of the task was going on, and has not been judged yet."""
        return self._suspects.keys()

    def acquit(self, own: Collection[str] | None, at: float) -> None:
        """The task's run has ended. `own`: all that it wrote, so the rest was others; None: nobody knows, so all."""
        suspects, self._suspects = self._suspects, {}
        if own is not None:
            names = {tuple(folded_parts(path)) for path in own}
            others = {path: s for path, s in suspects.items() if tuple(folded_parts(path)) not in names}
            self._gather(others, at)

    def _gather(self, changed: Changed, at: float) -> None:
        if not changed:
            return
        if not self._paths:
            self._first_at = at
        self._last_at = at
        self._paths = {**changed, **self._paths}  # what a file was before the first of its changes

    @property
    def due_at(self) -> float | None:
        """When the task is to be started: nothing has changed for `debounce`, or it has gone on for too long."""
        if not self._paths:
            return None
        return min(self._last_at + self._debounce_s, self._first_at + LONGEST_DEBOUNCES * self._debounce_s)

    def take(self, now: Snapshot, at: float) -> list[str]:
        """The batch, sorted. What is again as it was before (a file that came and went) is none of it."""
        paths = sorted(path for path, before in self._paths.items() if now.get(path) != before)
        rest = paths[LARGEST_BATCH:]
        self._paths = {path: self._paths[path] for path in rest}
        self._first_at = self._last_at = at
        return paths[:LARGEST_BATCH]
