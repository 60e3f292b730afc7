"""The hash of a text, which a write asks for several times: each text is hashed once. No I/O."""

from __future__ import annotations

import hashlib
from functools import cached_property


class Hashed(bytes):
    """A text that knows its hash once it has been asked for it."""

    @classmethod
    def of(cls, data: bytes) -> Hashed:
        """The text itself if it is one already."""
        return data if isinstance(data, Hashed) else cls(data)

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex."""
        return hashlib.sha256(self).hexdigest()


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return data.digest if isinstance(data, Hashed) else hashlib.sha256(data).hexdigest()
