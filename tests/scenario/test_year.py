"""Months and years of edits, pauses, sleeps, jumps and restarts: every due fire time has one outcome, in time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

if TYPE_CHECKING:
    from tests.scenario.in_memory import PLACE
    from tests.scenario.year_happenings import BEGIN, BRINKS, HAPPENINGS, WITHOUT_DAEMON, Lived, happen, live_on
    from tests.scenario.year_life import DAY, HOUR, MINUTE, Life
else:
    sys.path.insert(0, str(Path(__file__).parent))
    from in_memory import PLACE
    from year_happenings import BEGIN, BRINKS, HAPPENINGS, WITHOUT_DAEMON, Lived, happen, live_on
    from year_life import DAY, HOUR, MINUTE, Life

which = st.integers(min_value=0, max_value=10_000)
SHORT = 40  # a life in which much happens in little time
brinks = st.sampled_from(BRINKS)


class Days(RuleBasedStateMachine):
    """A dozen tasks that fire often, for some days: lived by `tests/sweep/year.py`."""

    TASKS: ClassVar[int] = 12
    LENGTHS: ClassVar[list[float]] = [6.0, 5 * MINUTE, 45 * MINUTE, 3 * HOUR]
    ABSENCES: ClassVar[list[float]] = [20.0, 59.0, 3 * MINUTE, 70 * MINUTE, 11 * HOUR]
    PAUSES: ClassVar[list[float]] = [0.0, 10 * MINUTE, 5 * HOUR]
    report: ClassVar[list[Lived]] = []

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
            self.report.append(Lived.of(life))
            self._folder.cleanup()


class Year(RuleBasedStateMachine):
    """Two hundred mixed tasks for a year. Each step is one happening, perhaps at the brink of a fire time."""

    STEPS: ClassVar[int] = 60
    DAYS: ClassVar[float] = 365.0
    CHECK_EVERY: ClassVar[int] = 10  # steps
    report: ClassVar[list[Lived]] = []

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=PLACE)
        self._steps = 0

    @initialize(seed=st.integers(min_value=0, max_value=2**32))
    def begin(self, seed: int) -> None:
        self.life = Life(Path(self._folder.name), seed, tasks=200, busy=False, begin=BEGIN)

    @rule(
        what=st.sampled_from(["touch", *HAPPENINGS]),
        number=which,
        before=st.none() | brinks,
        choice=st.integers(min_value=0, max_value=99),
        length=st.sampled_from([30.0, 70 * MINUTE, 9 * HOUR, 2 * DAY, 6 * DAY]),
        passing=st.sampled_from([0.0, 0.1, 1.0, 1.5, 6.0]),
    )
    def something_happens(
        self, what: str, number: int, before: float | None, choice: int, length: float, passing: float
    ) -> None:
        life = self.life
        names = [name for name, note in life.notes.items() if note.exists]
        name = names[number % len(names)]
        if before is not None and life.up:
            life.to_next_fire(name, before)
        if not life.up and what not in WITHOUT_DAEMON:
            life.pass_time(length)
            life.come_up()
        happen(life, what, name, choice, length)
        if life.days < self.DAYS - 15:
            usual = self.DAYS * DAY / self.STEPS / 2
            life.pass_time(passing * usual if life.up else min(usual, DAY))

    @invariant()
    def every_due_fire_time_has_its_outcome(self) -> None:
        self._steps += 1
        if self._steps % self.CHECK_EVERY == 0:
            self.life.check()

    def teardown(self) -> None:
        """To the end of the year; not in the first life, in which nothing at all happens."""
        life = getattr(self, "life", None)
        if life is not None:
            live_on(life, self.DAYS * DAY if life.counts["stops"] + life.counts["crashes"] else 0.0)
            self.report.append(Lived.of(life))
            self._folder.cleanup()


def live_years(number: int, years: int, *, steps: int = Year.STEPS) -> None:
    """So many lives of a year after the first one, from this seed. Raises AssertionError with the story of a task."""
    how = settings(
        max_examples=years + 1,
        stateful_step_count=steps,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(Year), settings=how)


@pytest.mark.timeout(240)
def test_year_of_two_hundred_tasks() -> None:
    """Through edits, pauses, stops, sleeps, jumps, crashes and a vanishing vault, and both nights of the clocks."""
    live_years(7, 1)
    assert len(Year.report) >= 2


def test_life_depends_on_its_seed_alone() -> None:
    """Whoever lives it again, at another time and with sets in another order, finds the same rows in the ledger."""
    lives = [_living(SHORT, hash_seed) for hash_seed in ("1", "2")]
    stories = [life.communicate()[0] for life in lives]
    assert stories[0] == stories[1]
    assert stories[0].endswith("no faults\n")
    assert "|req|" in stories[0]


def _living(seed: int, hash_seed: str) -> subprocess.Popen[str]:
    """A process of its own that lives so and prints what is left of it."""
    program = [sys.executable, str(Path(__file__).with_name("year_happenings.py")), str(seed), "5"]
    return subprocess.Popen(program, env={**os.environ, "PYTHONHASHSEED": hash_seed}, stdout=subprocess.PIPE, text=True)
