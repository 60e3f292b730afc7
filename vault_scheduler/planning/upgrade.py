"""What a daemon does when the files that it was loaded from are replaced: wait, try them, drain and restart as them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

SETTLED_S = 3.0
"""An installation that did not change for so long is taken to be complete."""
AGAIN_S = 20.0
"""After so long what did not start is tried again, while runs wait for it."""
LATER_S = 600.0
"""The same, once they do not: what it needs may be installed elsewhere, so that its own files do not tell."""
PATIENCE_S = 120.0
"""For so long runs wait for an installation that does not start; then they go on with what the daemon has loaded."""


class Step(Enum):
    """What is to be done about the installation now."""

    NOTHING = auto()
    WAIT = auto()  # nothing starts: worker programs would be of another version than the daemon
    TRY = auto()  # nothing starts, and it is to be seen whether what is installed now does
    DRAIN = auto()  # it does: what runs ends, then the daemon restarts as it
    GO_ON = auto()  # it does not, for too long: runs start again, and people are told
    TRY_ON = auto()  # the same, and it is to be tried once more


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of a replaced installation. Times in seconds awake."""

    first: float  # when it was seen that it is another one
    changed: float  # when it last became another one
    tried: float | None = None  # when it was last tried
    starts: bool = False  # how that went


def step(seen: Seen | None, now: float) -> Step:
    """The next step; `seen` is None while the files are those that were loaded."""
    if seen is None:
        return Step.NOTHING
    is_tried = seen.tried is not None and seen.tried >= seen.changed
    if is_tried and seen.starts:
        return Step.DRAIN
    goes_on = seen.tried is not None and now - seen.first >= PATIENCE_S
    pause = LATER_S if goes_on else AGAIN_S
    is_due = now - seen.changed >= SETTLED_S and (seen.tried is None or not is_tried or now - seen.tried >= pause)
    if goes_on:
        return Step.TRY_ON if is_due else Step.GO_ON
    return Step.TRY if is_due else Step.WAIT
