"""Lives of simulated time from many seeds: `python tests/sweep/year.py [--years 1] [--lives 50] [--minutes 60]`.

A life by chance is some days with a dozen tasks that fire often, and depends on its seed alone:
`python tests/scenario/year_happenings.py SEED` lives one again. A year has 200 tasks. A laptop has three, and its lives
are made up by Hypothesis (`tests/scenario/test_state_machine.py`). `--machine` looks for lives with
Hypothesis, and with `--shrink` for the shortest way to a fault; these change with the code.
Prints a line of figures for each life, and what went wrong in it. Exit 1 then.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from vault_scheduler.platform import replace

if TYPE_CHECKING:
    from tests.scenario import test_state_machine as laptop
    from tests.scenario.test_year import Days, Year, live_years
    from tests.scenario.year_happenings import Lived, live_by_chance
else:
    sys.path.insert(0, str(Path(__file__).parents[1] / "scenario"))
    import test_state_machine as laptop
    from test_year import Days, Year, live_years
    from year_happenings import Lived, live_by_chance

YEAR_STEPS, MACHINE_STEPS = 150, 60
LAPTOP_LIVES, LAPTOP_STEPS = 25, 50


@dataclass(frozen=True, slots=True)
class Work:
    """A life to be lived, unless it is too late to begin it."""

    how: Callable[[int], Lived]
    seed: int
    until: float  # monotonic second

    @property
    def name(self) -> str:
        """How to live it again."""
        return f"{self.how.__name__}({self.seed})"


def live_whole_year(number: int) -> Lived:
    """A year with 200 tasks, after which nothing is left but its figures."""
    fault = ""
    try:
        live_years(number, 1, steps=YEAR_STEPS)
    except AssertionError as error:
        fault = str(error) or repr(error)
    lived = Year.report[-1]
    return Lived(days=lived.days, counts=lived.counts, fault=fault)


def live_laptops(number: int) -> Lived:
    """Some lives of a laptop."""
    fault, how = "", _made_up(LAPTOP_LIVES, LAPTOP_STEPS, [Phase.generate])
    # In these worlds hours go by in a moment: a file that was just written is not one that is being written.
    with mock.patch.multiple(replace, BUSY_S=0.0, LONGEST_PAUSE_S=0.0):
        try:
            run_state_machine_as_test(seed(number)(laptop.Days), settings=how)
        except AssertionError as error:
            fault = "\n".join([str(error) or repr(error), *getattr(error, "__notes__", [])])
    return Lived(days=0.0, counts=Counter(laptops=LAPTOP_LIVES), fault=fault)


def _made_up(lives: int, steps: int, phases: list[Phase]) -> settings:
    return settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def live_one(work: Work) -> tuple[str, Lived | None]:
    """A life, in a process of its own, and its name; None if there is no time left."""
    return work.name, work.how(work.seed) if time.monotonic() < work.until else None


@dataclass(slots=True)
class Lives:
    """What was lived so far."""

    lived: int = 0
    faults: int = 0
    days: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, life: Lived) -> None:
        """Print what is to be known of one, and count it."""
        print(f"{name}: {life.figures}", life.fault, sep="\n" if life.fault else "", file=sys.stderr, flush=True)
        self.lived += 1
        self.faults += bool(life.fault)
        self.days += life.days
        self.counts.update(life.counts)

    @property
    def figures(self) -> str:
        """One line about all of them."""
        counts = ", ".join(f"{self.counts[what]} {what}" for what in sorted(self.counts))
        return f"simulated time: {self.lived} lives, {self.days:.0f} days, {counts}, {self.faults} faults"


def live_all(*, years: int, laptops: int, lives: int, number: int, minutes: float) -> Lives:
    """So many years, laptops and lives by chance, on all processors; none is begun after so many minutes."""
    found, until = Lives(), time.monotonic() + minutes * 60
    work = [Work(live_whole_year, number + n, until) for n in range(years)]
    work += [Work(live_laptops, number + n, until) for n in range(laptops)]
    work += [Work(live_by_chance, number + n, until) for n in range(lives)]
    with get_context("spawn").Pool(maxtasksperchild=1) as pool:
        for name, life in pool.imap_unordered(live_one, work):
            if life is not None:
                found.add(name, life)
    return found


def live_by_machine(lives: int, number: int, *, shrink: bool) -> bool:
    """Whether so many lives went well that Hypothesis makes up."""
    how = _made_up(lives, MACHINE_STEPS, [Phase.generate, Phase.shrink] if shrink else [Phase.generate])
    try:
        run_state_machine_as_test(seed(number)(Days), settings=how)
    except AssertionError as error:
        print(f"machine, seed {number}: {error}", *getattr(error, "__notes__", []), sep="\n")
        return False
    finally:
        print(*(life.figures for life in Days.report), sep="\n", flush=True)
        Days.report.clear()
    return True


def main() -> int:
    """Live them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=1, help="lives of a year")
    parser.add_argument("--laptops", type=int, default=1, help=f"lives of laptops, {LAPTOP_LIVES} to a seed")
    parser.add_argument("--lives", type=int, default=50, help="lives by chance")
    parser.add_argument("--machine", type=int, default=0, help="lives that Hypothesis makes up, five to a seed")
    parser.add_argument("--minutes", type=float, default=60, help="no life is begun after these")
    parser.add_argument("--seed", type=int, default=1, help="of the first life; the others follow")
    parser.add_argument("--shrink", action="store_true", help="look for the shortest way to a fault")
    args = parser.parse_args()
    bad = 0
    for number in range(args.seed, args.seed + -(-args.machine // 5)):
        bad += not live_by_machine(5, number, shrink=args.shrink)
    found = live_all(years=args.years, laptops=args.laptops, lives=args.lives, number=args.seed, minutes=args.minutes)
    print(found.figures)
    return 1 if bad or found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
