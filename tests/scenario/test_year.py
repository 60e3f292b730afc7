"""Months and years of edits, pauses, sleeps, jumps and restarts: every due fire time has one outcome, in time."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

if TYPE_CHECKING:
    from tests.scenario.year_life import DAY, HOUR, MINUTE, Life
else:
    sys.path.insert(0, str(Path(__file__).parent))
    from year_life import DAY, HOUR, MINUTE, Life

BEGIN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MEMORY = Path("/dev/shm")
PLACE = MEMORY if os.access(MEMORY, os.W_OK) else None  # a disk would spend its time on thousands of fsyncs

which = st.integers(min_value=0, max_value=10_000)
brinks = st.sampled_from([5.0, 0.1, 0.0, -0.1, -5.0])


WITHOUT_DAEMON = ["triggers", "policies", "touch", "status", "status", "pause", "break", "delete", "vault"]
HAPPENINGS = [*WITHOUT_DAEMON, "sleep", "sleep", "back", "away", "stop", "crash", "tick", "run", "cancel"]


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


class Days(RuleBasedStateMachine):
    """A dozen tasks that fire often, for some days: lived by `tests/sweep/year.py`."""

    TASKS: ClassVar[int] = 12
    LENGTHS: ClassVar[list[float]] = [6.0, 5 * MINUTE, 45 * MINUTE, 3 * HOUR]
    ABSENCES: ClassVar[list[float]] = [20.0, 59.0, 3 * MINUTE, 70 * MINUTE, 11 * HOUR]
    PAUSES: ClassVar[list[float]] = [0.0, 10 * MINUTE, 5 * HOUR]
    report: ClassVar[list[str]] = []

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=PLACE)

    @initialize(seed=st.integers(min_value=0, max_value=2**32))
    def begin(self, seed: int) -> None:
        self.life = Life(Path(self._folder.name), seed, tasks=self.TASKS, busy=True, begin=BEGIN)

    def name(self, number: int) -> str:
        return f"t{number % self.TASKS}"

    def living(self, number: int) -> str:
        """A task whose note is there."""
        names = [name for name, note in self.life.notes.items() if note.exists]
        return names[number % len(names)]

    # time goes by

    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        self.life.pass_time(data.draw(st.sampled_from(self.LENGTHS)))

    @rule(number=which, before=brinks)
    @precondition(lambda self: self.life.up)
    def to_the_brink(self, number: int, before: float) -> None:
        self.life.to_next_fire(self.name(number), before)

    @rule(data=st.data())
    @precondition(lambda self: self.life.up)
    def sleep(self, data: st.DataObject) -> None:
        self.life.sleep(data.draw(st.sampled_from(self.ABSENCES)))

    @rule(length=st.sampled_from([10.0, 5 * MINUTE, 61 * MINUTE, 9 * HOUR]))
    def clock_is_set_back(self, length: float) -> None:
        self.life.set_back(length)

    @rule(crash=st.booleans())
    @precondition(lambda self: self.life.up)
    def daemon_ends(self, crash: bool) -> None:
        self.life.go_down(crash=crash)

    @rule(data=st.data())
    @precondition(lambda self: not self.life.up)
    def daemon_starts(self, data: st.DataObject) -> None:
        self.life.pass_time(data.draw(st.sampled_from([0.0, *self.ABSENCES])))
        self.life.come_up()

    @rule(data=st.data())
    @precondition(lambda self: self.life.up)
    def vault_is_away(self, data: st.DataObject) -> None:
        self.life.vault_away(data.draw(st.sampled_from(self.ABSENCES)))

    # people

    @rule(number=which, before=st.none() | brinks, what=st.sampled_from(["triggers", "policies", "nothing"]))
    def edit(self, number: int, before: float | None, what: str) -> None:
        name = self.living(number)
        self._go_near(name, before)
        {"triggers": self.life.edit_triggers, "policies": self.life.edit_policies, "nothing": self.life.touch}[what](
            name
        )

    @rule(number=which, before=st.none() | brinks, status=st.sampled_from(["active", "active", "paused", "stopped"]))
    def switch(self, number: int, before: float | None, status: str) -> None:
        name = self.living(number)
        self._go_near(name, before)
        self.life.switch(name, status)

    @rule(number=which, data=st.data())
    def pause_until(self, number: int, data: st.DataObject) -> None:
        self.life.pause_until(self.living(number), data.draw(st.sampled_from(self.PAUSES)))

    @rule(number=which, before=st.none() | brinks)
    def break_or_repair(self, number: int, before: float | None) -> None:
        name = self.living(number)
        self._go_near(name, before)
        self.life.break_or_repair(name)

    @rule(number=which)
    def delete_or_create(self, number: int) -> None:
        name = self.name(number)
        (self.life.delete if self.life.notes[name].exists else self.life.create_again)(name)

    @rule(status=st.sampled_from(["active", "active", "paused", "stopped"]), data=st.data())
    def switch_vault(self, status: str, data: st.DataObject) -> None:
        self.life.switch_vault(status, data.draw(st.sampled_from([0.0, *self.PAUSES])))

    @rule(number=which)
    @precondition(lambda self: self.life.up)
    def tick_run_now(self, number: int) -> None:
        self.life.tick_run_now(self.living(number))

    @rule(number=which, verb=st.sampled_from(["run", "cancel"]))
    @precondition(lambda self: self.life.up)
    def request(self, number: int, verb: str) -> None:
        (self.life.request if verb == "run" else self.life.cancel)(self.living(number))

    def _go_near(self, name: str, before: float | None) -> None:
        if before is not None and self.life.up:
            self.life.to_next_fire(name, before)

    # judgement

    @invariant()
    def every_due_fire_time_has_its_outcome(self) -> None:
        self.life.check()

    def teardown(self) -> None:
        life = getattr(self, "life", None)
        if life is not None:
            live_on(life, 0.0)
            self.report.append(life.figures())
            self._folder.cleanup()


def live_a_year(seed: int, *, steps: int, tasks: int = 200, days: float = 365.0) -> str:
    """All that can happen, at random; one line of figures. Raises AssertionError with the story of a task."""
    rng = Random(seed)
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        life = Life(Path(folder), seed, tasks=tasks, busy=False, begin=BEGIN)
        try:
            for step in range(steps):
                _live_a_while(life, rng, days * DAY / steps / 2)
                if step % 10 == 9:
                    life.check()
        finally:
            live_on(life, days * DAY)
        return life.figures()


def _live_a_while(life: Life, rng: Random, usual: float) -> None:
    what = rng.choice(HAPPENINGS)
    length = rng.choice([30.0, 70 * MINUTE, 9 * HOUR, 2 * DAY, 6 * DAY])
    name = rng.choice([name for name, note in life.notes.items() if note.exists])
    if life.up and rng.random() < 0.5:
        life.to_next_fire(name, rng.choice([5.0, 0.1, 0.0, -0.1, -5.0]))
    if not life.up and what not in WITHOUT_DAEMON:
        life.pass_time(length)
        life.come_up()
    happen(life, what, name, rng.randrange(100), length)
    if life.days < 350:
        life.pass_time(rng.choice([0.0, 6.0, 0.1, 1.0, 1.5]) * usual if life.up else min(usual, DAY))


@pytest.mark.timeout(240)
def test_year_of_two_hundred_tasks() -> None:
    """Through edits, pauses, stops, sleeps, jumps, crashes and a vanishing vault, and both nights of the clocks."""
    assert "faults" not in live_a_year(7, steps=60)
