"""The full sweep: every change of the clocks from 2000 to 2030 in every zone of the tz database; `make sweep`.

Prints what is not equal, and one line of figures; exits with 1 if anything is not equal. Zones whose clocks showed
the same in all of these years are compared once, under their first name. After it lives of simulated time are lived
for ten minutes (year.py), from other seeds every day, with a line of figures of their own.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from datetime import UTC, datetime
from multiprocessing import Pool
from random import Random
from zoneinfo import ZoneInfo, available_timezones

from vault_scheduler.triggers.zones import PRIVATE, dst_changes

from .changes import Change, changes_of, offset_seconds
from .comparison import Figures, Night, compare_due, compare_expression, compare_local_times, instant
from .expressions import random_expression, telling_expressions
from .year import live_all

FIRST_YEAR, LAST_YEAR = 2000, 2030
RANDOM_EXPRESSIONS = 16  # per change, beside those made for it
YEARS, LAPTOPS, MOST_LIVES, MINUTES = 2, 8, 200, 10.0
SHOWN, SHOWN_EVERY = 50, 500  # mismatches; changes
Clock = tuple[int, tuple[Change, ...]]  # the offset to begin with, and all changes


def clock_of(name: str) -> Clock:
    """What a zone's clocks showed in these years."""
    zone = ZoneInfo(name)
    begin = int(instant(0).replace(year=FIRST_YEAR).timestamp())
    return offset_seconds(zone, begin), changes_of(zone, FIRST_YEAR, LAST_YEAR)


def sweep_change(work: tuple[str, Change]) -> Figures:
    """All that is compared around one change of a zone."""
    name, change = work
    figures, random = Figures(changes=1), Random(f"{name} {change}")
    night = Night(ZoneInfo(name), change)
    figures.add(compare_local_times(night, random))
    telling = telling_expressions(night.low, night.high)
    anything = [random_expression(random, [night.low, night.high]) for _ in range(RANDOM_EXPRESSIONS)]
    for expression in telling + anything:
        figures.add(compare_expression(night, expression, random))
    figures.add(compare_due(night, random.sample(telling, 3), random))
    return figures


def sweep_changes_found(name: str, changes: tuple[Change, ...]) -> Figures:
    """Whether the scheduler knows the same changes."""
    figures = Figures()
    ours = dst_changes(ZoneInfo(name), instant(0).replace(year=FIRST_YEAR), instant(0).replace(year=LAST_YEAR + 1))
    found = tuple(Change(int(at.timestamp()) // 60, old.seconds // 60, new.seconds // 60) for at, old, new in ours)
    theirs = tuple(Change(change.instant, change.before % 1440, change.after % 1440) for change in changes)
    figures.compare(f"{name}: changes", found, theirs)
    return figures


def main() -> int:
    """Sweep, live, print, and say whether all was as it must be."""
    unequal = sweep_clocks()
    number = datetime.now(UTC).toordinal() * MOST_LIVES
    found = live_all(years=YEARS, laptops=LAPTOPS, lives=MOST_LIVES - YEARS - LAPTOPS, number=number, minutes=MINUTES)
    print(f"{found.figures} (seeds from {number})")
    return 1 if unequal or found.faults else 0


def sweep_clocks() -> int:
    """How many times the scheduler and Debian's cron disagree."""
    names = sorted(name for name in available_timezones() if not name.startswith(PRIVATE))
    total, clocks = Figures(), defaultdict(list)
    with Pool() as pool:
        for name, clock in zip(names, pool.map(clock_of, names, chunksize=4), strict=True):
            clocks[clock].append(name)
        for (_, changes), same in clocks.items():
            for name in same:
                total.add(sweep_changes_found(name, changes))
        work = [(same[0], change) for (_, changes), same in clocks.items() for change in changes]
        Random(len(work)).shuffle(work)  # so that what is shown on the way is a fair sample
        for done, figures in enumerate(pool.imap_unordered(sweep_change, work, chunksize=8), 1):
            total.add(figures)
            if done % SHOWN_EVERY == 0:
                print(f"{done} of {len(work)} changes, {len(total.mismatches)} mismatches", file=sys.stderr, flush=True)
    for mismatch in total.mismatches[:SHOWN]:
        print(mismatch)
    everywhere = sum(len(changes) * len(same) for (_, changes), same in clocks.items())
    print(
        f"sweep {FIRST_YEAR}-{LAST_YEAR}: {len(names)} zones ({len(clocks)} different clocks), {everywhere} changes "
        f"({total.changes} different), {total.expressions} expressions, {total.comparisons} comparisons, "
        f"{len(total.mismatches)} mismatches"
    )
    return len(total.mismatches)


if __name__ == "__main__":
    sys.exit(main())
