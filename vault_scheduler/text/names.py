"""File names as the most careless disk and the quickest eye see them: which of them are one and the same. Pure."""

from __future__ import annotations

import unicodedata

INSTRUCTIONS = frozenset({"claude.md", "claude.local.md", "agents.md"})
"""Folded names of notes that instruct Claude wherever they stand: no run may write them."""


def folded(name: str) -> str:
    """A name as the most careless file system sees it: case, composition, invisible characters, trailing dots."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", visible.casefold()).strip().rstrip(". ")


def folded_parts(path: str) -> list[str]:
    """The names in a path with forward slashes, each of them folded."""
    return [folded(part) for part in path.split("/")]


def has_control(name: str) -> bool:
    """Whether it holds a control character or one that breaks lines."""
    return any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in name)
