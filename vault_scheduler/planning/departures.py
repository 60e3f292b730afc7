"""Notes that went, for as long as another one may prove to be the same task under a new name (rule 3.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

FORGOTTEN_AFTER_S = 30.0
"""A note that turns up this much later is a new task: as long as one sweep takes to follow another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A task whose note is gone."""

    path: str
    task: str  # its id
    definition: str
    at: float  # awake seconds


class Departures:
    """What departed lately."""

    def __init__(self) -> None:
        self._by_definition: dict[str, dict[str, Departure]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_definition)

    def add(self, departure: Departure) -> None:
        """Remember it."""
        self._by_definition.setdefault(departure.definition, {})[departure.path] = departure

    def match(self, arrivals: Iterable[tuple[str, str]]) -> list[tuple[Departure, str]]:
        """Pair departures with new notes, (path, definition), of an equal definition.

        Several notes can say the same: those that kept their file name are paired first, then in order of paths.
        """
        groups: dict[str, list[str]] = {}
        for path, definition in arrivals:
            if definition in self._by_definition:
                groups.setdefault(definition, []).append(path)
        pairs = [pair for definition, paths in groups.items() for pair in self._pairs(definition, sorted(paths))]
        for departure, _ in pairs:
            self._drop(departure)
        return pairs

    def _pairs(self, definition: str, paths: list[str]) -> list[tuple[Departure, str]]:
        left = sorted(self._by_definition[definition].values(), key=lambda departure: departure.path)
        pairs = []
        for same_name in (True, False):
            for path in list(paths):
                found = next((d for d in left if not same_name or _name(d.path) == _name(path)), None)
                if found is not None:
                    left.remove(found)
                    paths.remove(path)
                    pairs.append((found, path))
        return pairs

    def forget(self, monotonic: float) -> None:
        """Let go of what departed too long ago."""
        for departures in list(self._by_definition.values()):
            for departure in list(departures.values()):
                if monotonic - departure.at > FORGOTTEN_AFTER_S:
                    self._drop(departure)

    def _drop(self, departure: Departure) -> None:
        departures = self._by_definition[departure.definition]
        del departures[departure.path]
        if not departures:
            del self._by_definition[departure.definition]


def _name(path: str) -> str:
    return PurePosixPath(path).name
