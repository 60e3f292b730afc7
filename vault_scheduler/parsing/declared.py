"""What a note declares, held small: of thousands of tasks hardly anybody asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


class Declared(Mapping[str, Any]):
    """The properties of a note as they were read (plain values), held as JSON and read from it for whoever asks."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Declared:
        """These properties, in this order."""
        return cls(json.dumps(dict(properties)))

    def __getitem__(self, name: str) -> Any:
        return self._properties()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._properties())

    def __len__(self) -> int:
        return len(self._properties())

    def __repr__(self) -> str:
        return f"Declared({self.text!r})"

    def _properties(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found
