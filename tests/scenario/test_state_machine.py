"""Random edits, pauses, restarts, sleeps and jumps: every due fire time has exactly one outcome, at the right time.

The same few lives each time; `make sweep` lives hundreds of others (tests/sweep/year.py).
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.planning.early import LEAD, is_early
from vault_scheduler.run import Outcome, Result, Run, TriggerKind
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import World

if TYPE_CHECKING:
    from tests.scenario.in_memory import PLACE
else:
    sys.path.insert(0, str(Path(__file__).parent))
    from in_memory import PLACE

NAMES = ["a", "b", "c"]
TRIGGERS = ["every: 1m", "every: 7m", 'cron: "*/5 * * * *"', 'cron: "13,14 * * * *"', "at: 2026-11-20T11:00"]
POLICIES = ["catch_up: latest", "catch_up: skip", "catch_up: all", "max_late: 2m", "retries: 1\nretry_delay: 90s"]
LATE = timedelta(seconds=30)


class Days(RuleBasedStateMachine):
    """Three tasks in the life of a laptop."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=PLACE)
        self.world = World(Path(self._folder.name), datetime(2026, 11, 20, 9, 0, tzinfo=UTC))
        self.world.script = self._answer
        self.slow = False
        self.fails = False
        self.up = False
        self.jumped = False

    def _answer(self, _: RunRequest) -> Result | None:
        if self.slow:
            return None
        return Result(outcome=Outcome.FAILURE, reason="exit 1") if self.fails else SUCCESS

    @initialize(triggers=st.lists(st.sampled_from(TRIGGERS), min_size=3, max_size=3))
    def begin(self, triggers: list[str]) -> None:
        self.world.command("w", "every: 1m")
        self.begun = self.settled_until = self.world.clock.now()
        for name, trigger in zip(NAMES, triggers, strict=True):
            self.world.command(name, f"{trigger}\nstatus: active\ncatch_up: latest")
        self._start()

    def _start(self) -> None:
        self.world.start()
        self.up = True

    # what people and machines do

    @rule(minutes=st.sampled_from([0.1, 1, 5, 12, 45]))
    @precondition(lambda self: self.up)
    def time_passes(self, minutes: float) -> None:
        self.world.advance(minutes * 60)

    @rule(minutes=st.sampled_from([0.5, 3, 70, 700]))
    @precondition(lambda self: self.up)
    def sleep(self, minutes: float) -> None:
        self.world.suspend(minutes * 60)

    @rule(minutes=st.sampled_from([0.2, 5, 61]))
    @precondition(lambda self: self.up)
    def clock_is_set_back(self, minutes: float) -> None:
        self.world.advance(11 * 60)  # sooner after a start or a sleep it would be a false clock that is put right
        self.world.suspend(-minutes * 60)
        self.jumped = True

    @rule(crash=st.booleans(), minutes=st.sampled_from([0, 1, 30, 300]))
    @precondition(lambda self: self.up)
    def restart(self, crash: bool, minutes: float) -> None:
        if crash:
            self.world.crash()
        else:
            self.world.stop()
        self.world.clock.advance(minutes * 60)
        self._start()

    @rule(name=st.sampled_from(NAMES), line=st.sampled_from(TRIGGERS + POLICIES), down=st.booleans())
    @precondition(lambda self: self.up)
    def edit(self, name: str, line: str, down: bool) -> None:
        if down:
            self.world.stop()
        lines = self.world.text(name).split("\n")
        place = 3 if line in TRIGGERS else 5
        lines[place : place + 1] = line.split("\n")[:1]
        self.world.put(name, "\n".join(lines).encode())
        if down:
            self._start()

    @rule(name=st.sampled_from(NAMES), status=st.sampled_from(["active", "paused", "stopped", "faok"]))
    @precondition(lambda self: self.up)
    def switch(self, name: str, status: str) -> None:
        lines = self.world.text(name).split("\n")
        lines[4] = f"status: {status}"
        self.world.put(name, "\n".join(lines).encode())

    @rule(name=st.sampled_from(NAMES))
    @precondition(lambda self: self.up)
    def break_note(self, name: str) -> None:
        self.world.put(name, self.world.path(name).read_bytes().replace(b"type: command", b"type: comand"))

    @rule(name=st.sampled_from(NAMES))
    @precondition(lambda self: self.up)
    def repair_note(self, name: str) -> None:
        self.world.put(name, self.world.path(name).read_bytes().replace(b"type: comand", b"type: command"))

    @rule(slow=st.booleans(), fails=st.booleans())
    def runs_become(self, slow: bool, fails: bool) -> None:
        self.slow, self.fails = slow, fails

    @rule()
    @precondition(lambda self: self.up)
    def everything_ends(self) -> None:
        for run in list(self.world.engine.running):
            self.world.engine.finish(run)
        self.world.settle()

    @rule(minutes=st.sampled_from([1, 20]))
    @precondition(lambda self: self.up)
    def vault_is_away(self, minutes: float) -> None:
        self.world.take_vault_away()
        self.world.advance(minutes * 60)
        self.world.bring_vault_back()
        self.world.advance(2)

    # what always holds

    @invariant()
    def every_due_fire_time_has_one_outcome(self) -> None:
        if not self.up:
            return
        runs = self.world.runs()
        assert len({run.key for run in runs}) == len(runs)
        for name in ["w", *NAMES]:
            self._check_task([run for run in runs if run.task == name and run.trigger is TriggerKind.AT])

    def _check_task(self, runs: list[Run]) -> None:
        last: datetime | None = None
        for run in runs:
            assert last is None or run.fire_time > last, "two outcomes for one fire time"
            last = run.last_fire_time or run.fire_time
            assert run.claimed_at >= run.fire_time - LEAD or self.jumped, "claimed long before it was due"
            is_on_time = run.started_at is None or run.started_at >= run.fire_time
            assert is_on_time or self.jumped, "started before it was due"

    @invariant()
    def witness_that_nobody_touches_is_complete(self) -> None:
        """Each minute since the beginning has its outcome, however the machine slept, died or lost its vault."""
        if not self.up:
            return
        watermark = self.world.call(self.world.store.task_rows())["w"].watermark
        self.settled_until = max(self.settled_until, watermark)
        counted = sum(run.count for run in self.world.runs("w"))
        assert counted == (self.settled_until - self.begun) // timedelta(minutes=1)

    @invariant()
    def nothing_that_is_due_is_forgotten(self) -> None:
        if not self.up or not self.world.survey.present or self.world.survey.starting:
            return
        now = self.world.clock.now()
        for name in ["w", *NAMES]:
            tracked = self.world.daemon.tracked(name)
            if tracked is None or not tracked.fires:
                continue
            row = self.world.call(self.world.store.task_rows())[name]
            due = tracked.task.schedule.next_after(row.watermark)
            assert due is None or due > now, "due, armed, and nothing was done about it"

    @invariant()
    def nothing_waits_for_nothing(self) -> None:
        """With slots free and nothing edited, no run waits but for its retry or for the run before it."""
        if not self.up or self.world.survey.unsettled:
            return
        busy, now = {request.task for request in self.world.engine.running.values()}, self.world.clock.now()
        for run in self.world.call(self.world.store.active()):
            waits = run.waiting_for == "retry" and run.not_before is not None and run.not_before > now
            assert waits or is_early(run, now) or run.task in busy or run.state in ("starting", "running"), run

    def teardown(self) -> None:
        self.world.close()
        self._folder.cleanup()


TestDays = Days.TestCase
TestDays.settings = settings(
    max_examples=6,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
