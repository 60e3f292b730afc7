"""Fakes that ship with the package and pass the same suites as the real things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vault_scheduler.engine import STOPPING, AttemptEnded, AttemptStarted, EngineEvent
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.notifiers.base import Parcel, Sent
from vault_scheduler.run import Outcome, Result


class FakeClock:
    """A clock that moves only when told, with wall and awake time apart."""

    def __init__(self, now: datetime = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._moved: list[asyncio.Event] = []

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds awake."""
        return self._monotonic

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait until `event` is set (True) or the clock has been advanced by `timeout_s` (False)."""
        deadline = self._monotonic + timeout_s
        while not event.is_set() and self._monotonic < deadline:
            moved = asyncio.Event()
            self._moved.append(moved)
            waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(moved.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let time pass while awake."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        self._wake()

    def hold(self, seconds: float) -> None:
        """Nobody has to wait here."""
        self.advance(max(0.0, seconds))

    def suspend(self, seconds: float) -> None:
        """Let wall time pass while the machine sleeps (or set the clock: negative goes back)."""
        self._now += timedelta(seconds=seconds)
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, []
        for event in moved:
            event.set()


SUCCESS = Result(outcome=Outcome.SUCCESS, exit_code=0)


@dataclass(frozen=True, slots=True)
class Lasting:
    """An attempt that goes on for so many seconds awake, or until its `timeout`, and then ends like this."""

    seconds: float
    result: Result = SUCCESS


class FakeEngine:
    """An engine that executes nothing: it records what is submitted, and the test says how and when it ends.

    `script` decides at once about each request: a Result ends the attempt, None lets it run until `finish`, and
    Lasting until `end_what_lasted` is called at its time.
    """

    def __init__(
        self,
        clock: FakeClock,
        post: Callable[[EngineEvent], None],
        script: Callable[[RunRequest], Result | Lasting | None] = lambda _: SUCCESS,
    ) -> None:
        self.script = script
        self._ends: dict[str, tuple[float, Result]] = {}  # run → awake second at which it ends, and how
        self.prepared: list[RunRequest] = []
        self.submitted: list[RunRequest] = []
        self.running: dict[str, RunRequest] = {}
        self.orphans: list[str] = []
        self._clock = clock
        self._post = post
        self._closing = False

    async def prepare(self, request: RunRequest) -> None:
        """Remember what was to be prepared."""
        self.prepared.append(request)

    async def submit(self, request: RunRequest) -> None:
        """Take an attempt over. Raises ValueError for a run that is under way."""
        if request.run in self.running:
            raise ValueError(f"{request.run} is running already")
        RunRequest.from_json(request.to_json())  # requests are plain data, here too
        self.submitted.append(request)
        self.running[request.run] = request
        if self._closing:
            self.finish(request.run, Result(outcome=Outcome.ABANDONED, reason=STOPPING))
            return
        number, at = len(self.submitted), self._clock.now()
        started = AttemptStarted(
            run=request.run, number=request.attempt, pid=number, start_ticks=number, boot_id="fake", at=at
        )
        self._post(started)
        result = self.script(request)
        if isinstance(result, Lasting):
            is_too_long = result.seconds > request.timeout_s
            end = Result(outcome=Outcome.TIMEOUT, reason="timeout") if is_too_long else result.result
            self._ends[request.run] = (self._clock.monotonic() + min(result.seconds, request.timeout_s), end)
        elif result is not None:
            self.finish(request.run, result)

    async def cancel(self, run: str, why: str) -> None:
        """End a run's attempt, if it is running."""
        if run in self.running:
            self.finish(run, Result(outcome=Outcome.CANCELLED, reason=why))

    async def shutdown(self, grace: float) -> None:
        """End all attempts; what is submitted later ends at once."""
        self._closing = True
        for run in list(self.running):
            self.finish(run, Result(outcome=Outcome.ABANDONED, reason=STOPPING))

    async def end_orphan(
        self, run: str, pid: int | None, start_ticks: int | None, boot_id: str | None, grace: float
    ) -> bool:
        """Note whose processes were asked for; there are none."""
        if run not in self.running:
            self.orphans.append(run)
        return False

    def next_end(self) -> float | None:
        """The awake second at which the next lasting attempt ends."""
        return min((at for at, _ in self._ends.values()), default=None)

    def end_what_lasted(self) -> None:
        """End the attempts whose time has come."""
        now = self._clock.monotonic()
        for run, (at, result) in sorted(self._ends.items()):
            if at <= now:
                self.finish(run, result)

    def finish(self, run: str, result: Result = SUCCESS) -> None:
        """The attempt of this run (its id, or its task's if only one runs) ends like this."""
        names = [name for name, request in self.running.items() if run in (name, request.task)]
        assert len(names) == 1, f"{run} runs {len(names)} times"
        request = self.running.pop(names[0])
        self._ends.pop(request.run, None)
        self._post(AttemptEnded(run=request.run, number=request.attempt, result=result, at=self._clock.now()))


class FakePostman:
    """A postman that carries nothing anywhere: it keeps what it was given, and the test says what comes of it.

    `script` answers for each parcel: "" it was sent, other words why not, None: it is on its way until `deliver`.
    """

    def __init__(
        self,
        receivers: Sequence[str],
        post: Callable[[Sent], None],
        script: Callable[[Parcel], str | None] = lambda _: "",
    ) -> None:
        self.receivers = tuple(receivers)
        self.script = script
        self.given: list[Parcel] = []
        self.under_way: dict[int, Parcel] = {}
        self._post = post

    def submit(self, parcel: Parcel) -> None:
        """Take it; what comes of it is posted in the next turn of the event loop."""
        self.given.append(parcel)
        self.under_way[parcel.id] = parcel
        why = self.script(parcel)
        if why is not None:
            asyncio.get_running_loop().call_soon(self.deliver, parcel.id, why)

    def deliver(self, parcel: int, why: str = "") -> None:
        """What is on its way has arrived, or could not."""
        if self.under_way.pop(parcel, None) is not None:
            self._post(Sent(parcel=parcel, why=why))

    async def shutdown(self) -> None:
        """Nobody hears any more of what is on its way."""
        self.under_way.clear()


async def until(condition: Callable[[], bool], *, turns: int = 10_000) -> None:
    """Let the event loop run until `condition` holds; fails after `turns` turns instead of hanging."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"never came true: {condition}")
