"""Draining: nothing starts any more, what runs ends in its own time, then the daemon restarts or ends.

Ordered by a signal, or because what is installed now is not what this daemon was loaded from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from vault_scheduler.daemon.troubles import Tell, Troubles
from vault_scheduler.errors import internal
from vault_scheduler.machine.installation import Trial
from vault_scheduler.planning.upgrade import Seen, Step, step

RESTART = "restart"
"""What a run waits for that could start now."""
ASKED = "a restart was asked for"
END_ASKED = "its end was asked for"
LOOK_S = 1.0  # while something is being installed


class Then(StrEnum):
    """What comes after the last run; the value is how people are told."""

    RESTART = "it restarts"
    END = "it ends"


class Installed(Protocol):
    """The files that the daemon was loaded from (see `Installation`)."""

    version: str

    def is_replaced(self) -> bool:
        """Whether others lie there now."""
        ...

    def mark(self) -> object:
        """Another one whenever something else was installed."""
        ...

    def tried(self) -> Trial:
        """Whether it starts; takes a while."""
        ...


class Draining:
    """`show` gets the sentence for those who look from outside, `wake` has the next pass come at once."""

    def __init__(
        self, installed: Installed, tell: Tell, troubles: Troubles, show: Callable[[str], None] = lambda _: None
    ) -> None:
        self._installed = installed
        self._tell = tell
        self._troubles = troubles
        self._show = show
        self._seen: Seen | None = None
        self._mark: object = None
        self._step = Step.NOTHING
        self._trial: asyncio.Task[None] | None = None
        self.wake: Callable[[], None] = lambda: None
        self._withdrawn = False
        self.then: Then | None = None
        self.told = ""  # why nothing starts, for people

    @property
    def waits_for(self) -> str:
        """What all runs wait for that have not started; "" if nothing keeps them."""
        return RESTART if self.then is not None or self._step in (Step.WAIT, Step.TRY) else ""

    def order(self, then: Then, why: str) -> None:
        """Start nothing more, and go when nothing runs. The last order says what then; none counts after `withdraw`."""
        if self._withdrawn:
            return
        self.then = then
        told = f"{why}: {then.value} when what runs has ended, and starts nothing until then"
        if told != self.told:
            self.told = told
            self._tell("draining", "", told)
            self._show(told)
        self.wake()

    def withdraw(self) -> None:
        """The daemon was told to stop: it drains no more."""
        self._withdrawn, self.then = True, None

    def next_moment(self, monotonic: float) -> float | None:
        """The awake second at which the installation is to be looked at again; None if at any pass."""
        return monotonic + LOOK_S if self._step in (Step.WAIT, Step.TRY) and self.then is None else None

    def look(self, monotonic: float) -> None:
        """Notice that the installation was replaced, and see to what follows."""
        if self.then is not None:
            return
        self._see(monotonic)
        self._step = step(self._seen, monotonic)
        if self._step in (Step.TRY, Step.TRY_ON) and self._trial is None:
            self._trial = asyncio.get_running_loop().create_task(self._try(monotonic))
        if self._step is Step.NOTHING:
            self._troubles.end("upgrade", "what is installed is what runs")

    def _see(self, monotonic: float) -> None:
        if not self._installed.is_replaced():
            self._seen = None
            return
        mark = self._installed.mark()
        if self._seen is None:
            self._tell("upgrade", "", "what this daemon was loaded from is being replaced; nothing starts meanwhile")
            self._seen = Seen(first=monotonic, changed=monotonic)
        elif mark != self._mark:
            self._seen = replace(self._seen, changed=monotonic)
        self._mark = mark

    async def _try(self, monotonic: float) -> None:
        try:
            found = await asyncio.to_thread(self._installed.tried)
        except Exception as error:  # runs that wait for the end of it would wait for ever
            found = Trial(why=f"internal error: {internal(error)}; please report it")
        self._trial = None
        if self._seen is None:
            return
        self._seen = replace(self._seen, tried=monotonic, starts=not found.why)
        if step(self._seen, monotonic) is Step.DRAIN:
            self._troubles.end("upgrade", "what is installed starts")
            self.order(Then.RESTART, f"vault-sched {found.version} was installed (this is {self._installed.version})")
        elif found.why:
            self._troubles.begin(
                "upgrade",
                f"vault-sched was replaced, and what is installed now does not start: {found.why}. Install it again; "
                "it is tried again by itself",
            )
        self.wake()
