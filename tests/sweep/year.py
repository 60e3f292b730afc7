"""Years of simulated time from many random seeds: `python tests/sweep/year.py [--years 5] [--weeks 200] [--seed 1]`.

Prints a line of figures for each life, and the steps of one that went wrong. Exit 1 then.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

if TYPE_CHECKING:
    from tests.scenario.test_year import Days, Year, live_years
else:
    sys.path.insert(0, str(Path(__file__).parents[1] / "scenario"))
    from test_year import Days, Year, live_years


def live(machine: type[Days], lives: int, steps: int, number: int, *, shrink: bool) -> bool:
    """Whether all of these lives went well."""
    told = len(machine.report)
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    how = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(number)(machine), settings=how)
    except BaseException as error:
        print(f"{machine.__name__}, seed {number}: {error}", *getattr(error, "__notes__", []), sep="\n")
        if isinstance(error, KeyboardInterrupt):
            raise
        return False
    finally:
        for line in machine.report[told:]:
            print(line, flush=True)
    return True


def live_whole_year(number: int) -> bool:
    """Whether this year went well."""
    told = len(Year.report)
    try:
        live_years(number, 1, steps=150)
    except AssertionError as error:
        print(f"year, seed {number}: {error}", flush=True)
        return False
    finally:
        print(*Year.report[told + 1 :], sep="\n", flush=True)
    return True


def main() -> int:
    """Live them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=5, help="lives of a year with 200 tasks")
    parser.add_argument("--weeks", type=int, default=200, help="lives of some days with a dozen tasks that fire often")
    parser.add_argument("--seed", type=int, default=1, help="of the first life; the others follow")
    parser.add_argument("--shrink", action="store_true", help="look for the shortest way to a fault")
    args = parser.parse_args()
    good = all(
        [
            *(live(Days, 5, 60, args.seed + n, shrink=args.shrink) for n in range(-(-args.weeks // 5))),
            *(live_whole_year(args.seed + n) for n in range(args.years)),
        ]
    )
    print("no faults" if good else "FAULTS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
