"""All that can happen in a simulated life, and lives in which chance decides what does: `year_happenings.py SEED`.

Run as a program it prints all that a life left behind: the same for a seed, whenever and wherever it is lived.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenario.in_memory import PLACE
    from tests.scenario.year_life import HOUR, MINUTE, Life
else:
    sys.path.insert(0, str(Path(__file__).parent))
    from in_memory import PLACE
    from year_life import HOUR, MINUTE, Life

BEGIN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
WITHOUT_DAEMON = ["triggers", "policies", "touch", "status", "status", "pause", "break", "delete", "vault"]
HAPPENINGS = [*WITHOUT_DAEMON, "sleep", "sleep", "back", "away", "stop", "crash", "tick", "run", "cancel"]
BRINKS = [5.0, 0.1, 0.0, -0.1, -5.0]
STEPS = 25


def happen(life: Life, what: str, name: str, choice: int, length: float) -> None:
    """One of all the things that can happen."""
    status = ["active", "active", "paused", "stopped"][choice % 4]
    gone = [name for name, note in life.notes.items() if not note.exists]
    happenings: dict[str, Callable[[], None]] = {
        "triggers": lambda: life.edit_triggers(name),
        "policies": lambda: life.edit_policies(name),
        "touch": lambda: life.touch(name),
        "status": lambda: life.switch(name, status),
        "pause": lambda: life.pause_until(name, length if choice % 3 else 0.0),
        "break": lambda: life.break_or_repair(name),
        "delete": lambda: life.create_again(gone[0]) if gone else life.delete(name),
        "vault": lambda: life.switch_vault(status if choice % 3 else "active", length if choice % 2 else 0.0),
        "sleep": lambda: life.sleep(length),
        "back": lambda: life.set_back(min(length, 9 * HOUR)),
        "away": lambda: life.vault_away(length),
        "stop": lambda: life.go_down(crash=False),
        "crash": lambda: life.go_down(crash=True),
        "tick": lambda: life.tick_run_now(name),
        "run": lambda: life.request(name),
        "cancel": lambda: life.cancel(name),
    }
    happenings[what]()


def live_on(life: Life, until: float) -> None:
    """To the end, with everything in order again, unless something is wrong already."""
    try:
        if not sys.exc_info()[0]:
            if not life.up:
                life.come_up()
            life.switch_vault("active", 0.0)
            life.pass_time(max(until - (life.now - life.begin), 2 * HOUR))
            life.check()
    finally:
        life.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """What is left of a life. `fault`: the first thing that was wrong, with the story of its task; "" if nothing."""

    days: float
    counts: Counter[str]
    rows: tuple[str, ...] = ()
    fault: str = ""

    @classmethod
    def of(cls, life: Life, rows: tuple[str, ...] = (), fault: str = "") -> Lived:
        """Of a life that is over."""
        return cls(days=life.days, counts=life.counts, rows=rows, fault=fault)

    @property
    def figures(self) -> str:
        """One line about it."""
        return ", ".join([f"{self.days:.0f} days", *(f"{count} {what}" for what, count in sorted(self.counts.items()))])


def live_by_chance(seed: int, *, steps: int = STEPS) -> Lived:
    """A life of some days with a dozen tasks that fire often."""
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        life, fault = Life(Path(folder), seed, tasks=12, busy=True, begin=BEGIN), ""
        try:
            _live(life, Random(seed), steps)
        except AssertionError as error:
            fault = str(error) or repr(error)
        rows = tuple(sorted(map(str, life.rows())))
        life.close()
        return Lived.of(life, rows, fault)


def _live(life: Life, chance: Random, steps: int) -> None:
    for _ in range(steps):
        _step(life, chance)
        life.check()
    if not life.up:
        life.come_up()
    life.switch_vault("active", 0.0)
    life.pass_time(2 * HOUR)
    life.check()


def _step(life: Life, chance: Random) -> None:
    """One happening, perhaps at the brink of a fire time, and perhaps others at once after it."""
    name = chance.choice([name for name, note in life.notes.items() if note.exists])
    what, before = chance.choice(HAPPENINGS), chance.choice([None, None, *BRINKS])
    length = chance.choice([20.0, 59.0, 3 * MINUTE, 70 * MINUTE, 11 * HOUR])
    if before is not None and life.up:
        life.to_next_fire(name, before)
    if not life.up and what not in WITHOUT_DAEMON:
        life.pass_time(length)
        life.come_up()
    happen(life, what, name, chance.randrange(100), length)
    life.pass_time(chance.choice([0.0, 0.0, 6.0, 5 * MINUTE, 45 * MINUTE, 3 * HOUR]))


if __name__ == "__main__":
    lived = live_by_chance(int(sys.argv[1]), steps=int(sys.argv[2]) if len(sys.argv) > 2 else STEPS)
    print(*lived.rows, lived.figures, lived.fault or "no faults", sep="\n")
