"""The arguments of built-in tasks, read: each raises BadValue with the cure for what has no meaning."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.values import duration, is_unset, text_list, word

_DAY = timedelta(days=1)
_GAP = re.compile(r"[\s,]+")


def folders(vault: Path, value: object, key: str) -> tuple[str, ...]:
    """Folders of the vault, as paths relative to it; none for the whole vault. A link that leads out is refused."""
    found = []
    for name in () if is_unset(value) else text_list(value, key):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if any(part.startswith(".") for part in parts):
            raise BadValue(f"`{name}` is no folder of notes", "Write its path from the vault's root")
        if not vault.joinpath(*parts).is_dir() or not is_inside(vault, "/".join(parts)):
            raise BadValue(f"there is no folder `{name}` in the vault", "Write its path from the vault's root")
        found.append("/".join(parts))
    return tuple(name for name in found if name)


def places(vault: Path, value: object, key: str) -> tuple[str, ...]:
    """Folders and notes of the vault, as paths relative to it. Raises BadValue for a folder that is not there.

    A note need not be: tasks make notes.
    """
    given = () if is_unset(value) else text_list(value, key)
    notes = tuple(name for name in given if name.endswith(".md"))
    return (*notes, *folders(vault, [name for name in given if name not in notes], key))


def is_inside(vault: Path, path: str) -> bool:
    """Whether a vault-relative path, links followed, lies in the vault."""
    root = os.path.realpath(vault)
    real = os.path.realpath(vault / path)
    return real == root or real.startswith(root.rstrip("/") + "/")


def period(value: object, key: str, *, minimum: timedelta = _DAY) -> timedelta:
    """A length of time with its unit, such as `90d`."""
    return duration(value, key, minimum=minimum)


def words(value: object, key: str) -> tuple[str, ...]:
    """A list of words; in one text they are separated by spaces or commas. Each counts once."""
    given = () if is_unset(value) else text_list(value, key)
    return tuple(dict.fromkeys(each for item in given for each in _GAP.split(item) if each))


def chosen(value: object, key: str, possible: Sequence[str]) -> tuple[str, ...]:
    """Some of the possible words, in the order in which they are given. Raises BadValue for none and for others."""
    found = tuple(word(each, key, possible) for each in words(value, key))
    if not found:
        raise BadValue(f"`{key}` names nothing", f"Possible are {', '.join(possible)}")
    return found
