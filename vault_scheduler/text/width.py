"""How wide a text is where all letters are of one width: in columns."""

from __future__ import annotations

import unicodedata


def columns_of(char: str) -> int:
    """Columns that one character takes: two for wide ones, none for what only changes the one before it."""
    if unicodedata.east_asian_width(char) in "WF":
        return 2
    return 0 if unicodedata.category(char) in ("Mn", "Me", "Cf") else 1


def width_of(text: str) -> int:
    """Columns that a text takes."""
    return len(text) if text.isascii() else sum(map(columns_of, text))
