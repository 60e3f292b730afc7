"""The main loop of Debian's cron (cronie's src/cron.c), with the minutes given to it instead of slept through.

Local minutes are counted from 1970-01-01 00:00 on the wall clock, as cron's `clockTime` is.

Left out on purpose: the sleeps while a queue of commands is worked off (cron may fall behind by minutes then), and
that cron looks at the offset anew only when its DST flag has changed (it would overlook that a zone's base offset
changed, as in Pyongyang, until somebody restarts it). This loop is never late and always knows the offset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LIMIT = 180  # minutes: a larger jump is a correction of the clock


@dataclass(frozen=True, slots=True)
class Wakeup:
    """What the loop looks for when it wakes: the local minutes that start a command if they are named by it."""

    place: int  # which of the given minutes it is
    wildcard: range  # looked for on behalf of commands whose minute or hour begins with a star
    fixed: range  # on behalf of all others


def wakeups(wall: Sequence[int], limit: int = LIMIT) -> Iterator[Wakeup]:
    """What cron does minute for minute, started in the first one; `wall` is what the clock shows in each.

    `limit` is cron's own three hours unless a test wants to show where we differ.
    """
    running = virtual = wall[0]
    for place in range(1, len(wall)):
        now = wall[place]
        if now == running:
            continue  # it sleeps until the minute is another one
        running = now
        this, missed, none = range(now, now + 1), range(virtual + 1, now + 1), range(0)
        ahead = now - virtual
        if ahead > limit or ahead < -limit:  # a correction: jump
            virtual = now
            yield Wakeup(place, this, this)
        elif ahead > 5:  # DST begins: fixed times that were jumped over are made up for
            virtual = now
            yield Wakeup(place, this, missed)
        elif ahead > 0:  # the usual minute, or a few that were missed
            virtual = now
            yield Wakeup(place, missed, missed)
        else:  # DST ends: the virtual minute waits, so that fixed times are not repeated
            yield Wakeup(place, this, none)


def looked_for(wall: Sequence[int], *, wildcard: bool, limit: int = LIMIT) -> dict[int, list[int]]:
    """For each local minute, the places at which the loop looks for commands that name it."""
    found: dict[int, list[int]] = {}
    for wakeup in wakeups(wall, limit):
        for minute in wakeup.wildcard if wildcard else wakeup.fixed:
            found.setdefault(minute, []).append(wakeup.place)
    return found
