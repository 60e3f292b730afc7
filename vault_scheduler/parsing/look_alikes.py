"""Which key of ours a user's key probably means: a slip of the hand, another spelling, another dialect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from vault_scheduler.parsing.keys import ALIASES, FOREIGN, KEYS, PROMPT

# Properties that people have for themselves and that only happen to be spelled like one of our keys.
COMMON = frozenset(
    """
    aliases alias tag tags title created updated modified date time day week month year due scheduled started
    finished completed completion name description summary author authors publish permalink cssclass cssclasses
    cover image banner icon url source link links up parent children related category categories topic topics
    project area people stars star stat stats state stage rating mode even ever events event location place
    address page pages note notes comment comments version lang language draft done progress deadline reminder
    layout template kind sort order rank weight color skill groups hosts types model_name output_format
    """.split()  # noqa: SIM905 (prose reads better than a column of 100 strings)
)

_LONGEST = 40  # characters of a name that could still be meant to be one of ours
_BARE = re.compile(r"[\"'“”„‘’`\s]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Likeness(StrEnum):
    """Why a key is taken for one of ours."""

    SPELLING = "spelling"  # the same name, spelled otherwise: certain
    DIALECT = "dialect"  # what another scheduler or agent calls it: certain
    SLIP = "slip"  # a slip of the hand: probable


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A key that is probably meant to be one of ours (or `prompt`, which has no key)."""

    name: str
    likeness: Likeness


def near(name: str) -> LookAlike | None:
    """The key of ours that a user's key probably means, or None: then it is the user's own."""
    return _near(name) if len(name) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _near(name: str) -> LookAlike | None:
    bare = _normal(name)
    meant = ALIASES.get(bare, bare)
    if meant in KEYS and not KEYS[meant].ours:
        return LookAlike(meant, Likeness.SPELLING)
    if bare == PROMPT or bare in FOREIGN:
        return LookAlike(FOREIGN.get(bare, PROMPT), Likeness.DIALECT)
    if bare in COMMON or len(bare) < 3:
        return None
    close = [known for known in _guessable() if _is_slip(bare, known)]
    return LookAlike(ALIASES.get(close[0], close[0]), Likeness.SLIP) if close else None


def _normal(name: str) -> str:
    """`maxLate`, `Max Late`, `max-late` and `“max_late”` are one name."""
    bare = _CAMEL.sub("_", _BARE.sub(" ", name).strip())
    return bare.replace("-", "_").replace(" ", "_").lower()


@lru_cache(maxsize=1)
def _guessable() -> tuple[str, ...]:
    return (*(key.name for key in KEYS.values() if not key.ours), *ALIASES)


def _is_slip(written: str, known: str) -> bool:
    """Whether one slip of the hand lies between them: two for long names, none for the shortest.

    A replaced letter counts only in longer names: `date` is not a misspelled `gate`.
    """
    shortest = min(len(written), len(known))
    if shortest < 3 or len(known) < 4 or abs(len(written) - len(known)) > 2:
        return False
    if written.replace("_", "") == known.replace("_", ""):
        return True
    if len(known) < 6 and len(written) == len(known):
        return sorted(written) == sorted(known) and _distance(written, known) == 1
    return _distance(written, known) <= (2 if shortest >= 9 else 1)


def _distance(a: str, b: str) -> int:
    """Edits between two words; two neighbours swapped are one edit."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
