"""Which notes have names made from one path and say the same: thousands of them, held small. Pure."""

from __future__ import annotations

from collections.abc import Set

_NOBODY: frozenset[str] = frozenset()


class Twins:
    """Paths by a base path and a definition.

    The two are known by their hash: a note may be listed among strangers once in the life of a universe, and whoever
    asks compares the definitions anyway.
    """

    def __init__(self) -> None:
        self._paths: dict[int, str | set[str]] = {}  # mostly one, for which a set would take four times the room

    def __len__(self) -> int:
        return len(self._paths)

    def add(self, base: str, definition: str, path: str) -> None:
        """The note at `path`, whose name is made from `base`, says this."""
        key = hash((base, definition))
        known = self._paths.get(key, path)
        if isinstance(known, set):
            known.add(path)
        else:
            self._paths[key] = path if known == path else {known, path}

    def discard(self, base: str, definition: str, path: str) -> None:
        """The note says this no more."""
        key = hash((base, definition))
        known = self._paths.get(key)
        if isinstance(known, set):
            known.discard(path)
            if len(known) == 1:
                self._paths[key] = known.pop()
        elif known == path:
            del self._paths[key]

    def of(self, base: str, definition: str) -> Set[str]:
        """The notes that say this."""
        known = self._paths.get(hash((base, definition)))
        if known is None:
            return _NOBODY
        return {known} if isinstance(known, str) else set(known)
