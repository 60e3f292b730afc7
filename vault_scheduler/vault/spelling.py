"""How paths inside the vault are spelt: relative to it, with forward slashes, in Unicode form NFC.

The same name may be spelt otherwise on disk (macOS and some sync programs store NFD).
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


def normal(rel: str) -> str:
    """Unicode form NFC, in which paths are compared."""
    return rel if rel.isascii() else unicodedata.normalize("NFC", rel)


def printable(path: str) -> str:
    """A path that can be stored and shown, whatever bytes its name holds."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def lies_in(real: str, prefix: str) -> bool:
    """Whether a real path is below the folder of this prefix, which ends with a slash."""
    return real.startswith(prefix)


def real_below(prefix: str, path: str) -> str:
    """Where a path below the real folder of this prefix really is; what lies above that folder is not looked at again.

    The same as `realpath`, which asks for every folder from the top of the disk, with each of thousands of notes.
    """
    here, parts = prefix.rstrip("/"), path[len(prefix) :].split("/")
    if os.sep != "/" or not here or not all(parts) or {".", ".."} & {*parts} or _is_link(here):
        return os.path.realpath(path)
    for part in parts:
        here = f"{here}/{part}"
        if _is_link(here):
            return os.path.realpath(path)
    return here


def _is_link(path: str) -> bool:
    return os.path.islink(path)  # noqa: PTH114 - to make a Path costs more than to ask


def spelt_on_disk(prefix: str, rel: str) -> str:
    """The path of `rel`, each part spelt as it is on disk if it is there in another Unicode form."""
    path = prefix + rel
    if rel.isascii() or os.path.lexists(path):
        return path
    folder = Path(prefix)
    for part in rel.split("/"):
        folder = folder / (part if os.path.lexists(folder / part) else _other_spelling(folder, part))
    return str(folder)


def _other_spelling(folder: Path, name: str) -> str:
    try:
        with os.scandir(folder) as entries:
            return next((entry.name for entry in entries if normal(entry.name) == name), name)
    except OSError:
        return name
