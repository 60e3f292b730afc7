"""Globs of vault-relative paths: which files they name, and below which folders such files can lie. Pure.

`*` and `?` stay within one folder, `**` is any number of folders, `[a-z]` and `[!a-z]` one character of a set,
`{md,pdf}` either of these; a glob that starts with `!` leaves out what the others name. Case counts as written, on
every disk. Names that start with a dot are matched by none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from vault_scheduler.errors import BadValue

_MAGIC = re.compile(r"[*?\[{]")
_LIMIT = 100  # patterns that one list may stand for, when its braces are written out

Reach = Mapping[str, int | None]
"""Vault-relative folder ("" is the vault) → how many levels of it count: 1 its own files, None all that is below."""


class Globs:
    """The globs of one task. Raises BadValue if they name no file, or stand for too many patterns."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
        if not wanted:
            raise BadValue("only leaves out files, and names none", "Write which files it is about, too: `**`")
        self._matches = _matcher(patterns)
        self.reach = joined(_reach(pattern) for pattern in wanted)

    def matches(self, path: str) -> bool:
        """Whether they name this vault-relative path (NFC, forward slashes)."""
        return self._matches(path)


@lru_cache(maxsize=1000)
def globs(patterns: tuple[str, ...]) -> Globs:
    """As `Globs`, translated once."""
    return Globs(patterns)


def has_magic(pattern: str) -> bool:
    """Whether it can name more than one file."""
    return _MAGIC.search(pattern) is not None


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    from wcmatch import glob  # here, for it takes 20 ms to load and most commands do without it

    flags = glob.GLOBSTAR | glob.BRACE | glob.NEGATE | glob.CASE | glob.FORCEUNIX
    try:
        wanted, unwanted = glob.translate(list(patterns), flags=flags, limit=_LIMIT)
        take, leave = ([re.compile(expression).fullmatch for expression in side] for side in (wanted, unwanted))
    except Exception as error:  # whatever the library makes of it: it is no glob
        raise BadValue(f"is no glob: {error}", "Write it with fewer braces") from error
    return lambda path: any(match(path) for match in take) and not any(match(path) for match in leave)


# where to look


def _reach(pattern: str) -> Reach:
    parts = pattern.split("/")
    plain = next((i for i, part in enumerate(parts[:-1]) if has_magic(part)), len(parts) - 1)
    return {"/".join(parts[:plain]): None if "**" in parts else len(parts) - plain}


def joined(reaches: Iterable[Reach]) -> Reach:
    """Several as one, without the folders that others reach into far enough."""
    found: dict[str, int | None] = {}
    for folder, levels in (item for reach in reaches for item in reach.items()):
        before = found.get(folder, 0)
        found[folder] = None if before is None or levels is None else max(before, levels)
    return {folder: levels for folder, levels in found.items() if not _is_within(folder, levels, found)}


def _is_within(folder: str, levels: int | None, others: Reach) -> bool:
    for above in _folders_above(folder):
        reached = others.get(above, 0)
        if reached is None or (levels is not None and _steps(above, folder) + levels <= reached):
            return True
    return False


def covers(reach: Reach, path: str) -> bool:
    """Whether a file at this path is looked at."""
    for folder in _folders_above(path):
        levels = reach.get(folder, 0)
        if levels is None or _steps(folder, path) <= levels:
            return True
    return False


def _folders_above(path: str) -> list[str]:
    parts = path.split("/") if path else []
    return ["/".join(parts[:count]) for count in range(len(parts))]


def _steps(folder: str, path: str) -> int:
    """How many levels `path` lies below `folder`, which is above it."""
    return path.count("/") + 1 - (folder.count("/") + 1 if folder else 0)
