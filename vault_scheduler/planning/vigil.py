"""Whether what was delivered still stands: a block that vanishes soon after our write was lost, not deleted. Pure.

Sync programs and editors with an old copy in memory write it back over a file that has just been changed. What is gone
within five minutes is put back once; later it counts as deleted by a person (rule 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Set

FRESH_S = 300.0


class Vigil:
    """Remembers for five minutes which block ids our writes left in which file. Times in seconds awake."""

    def __init__(self) -> None:
        self._fresh: dict[str, dict[str, float]] = {}

    def wrote(self, path: str, ids: Iterable[str], standing: Set[str], now: float) -> None:
        """We wrote the blocks `ids` into the file; `standing` are all that it holds now.

        What is not in it any more was dropped by that write itself: the section is bounded.
        """
        fresh = self._fresh.setdefault(path, {})
        for block in ids:
            fresh.pop(block, None)  # the newest stand last
            fresh[block] = now
        for block in [block for block in fresh if block not in standing]:
            del fresh[block]
        self._forget(path, now)

    def recall(self, path: str, block: str, at: float) -> None:
        """A former daemon wrote the block `at` that moment; whether it still stands, the next look tells."""
        self._fresh.setdefault(path, {})[block] = at

    def watches(self, path: str, now: float) -> bool:
        """Whether something in the file is still fresh."""
        self._forget(path, now)
        return path in self._fresh

    def paths(self, now: float) -> list[str]:
        """The files in which something is fresh."""
        return [path for path in list(self._fresh) if self.watches(path, now)]

    def vanished(self, path: str, standing: Set[str], now: float) -> list[str]:
        """The fresh blocks that the file, changed by somebody, does not hold any more; each is named once."""
        gone = {block: at for block, at in self._fresh.get(path, {}).items() if block not in standing}
        for block in gone:
            del self._fresh[path][block]
        self._forget(path, now)
        return [block for block, at in gone.items() if now - at <= FRESH_S]

    def _forget(self, path: str, now: float) -> None:
        """The oldest go first: a log may have thirty thousand fresh lines, which are not all gone through each time."""
        fresh = self._fresh.get(path, {})
        while fresh and now - fresh[oldest := next(iter(fresh))] > FRESH_S:
            del fresh[oldest]
        if not fresh:
            self._fresh.pop(path, None)
