"""When nobody was there to start what was due, and why; and whether the clock was set back (rule 11). Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

JUMP = timedelta(seconds=60)
"""Wall time that differs from awake time by more than this was a suspend or a change of the clock."""

LONGEST_TICK = timedelta(seconds=60)
"""Looks are at most 30 s apart; awake for twice as long without one means that the process was stopped or starved."""

TOO_BUSY = "too busy"
"""Why somebody who was there did not look."""

PUT_RIGHT_S = 600.0
"""A clock that is wrong when the machine starts or wakes is put right within so many seconds awake."""


class Attendance:
    """Compares wall time and awake time from one look to the next."""

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None
        self._back_since: datetime | None = None
        self._why = "the scheduler was off"
        self._away = False
        self._ahead: tuple[float, timedelta] | None = None  # the start, or the newest jump forward, and how far
        self.went_ahead = False  # at the newest look: what is settled from here on may be settled by a false clock
        self.was_false = False  # until somebody has taken back what the false clock settled
        self.gone = timedelta(0)  # how long nobody was there before the newest look

    def notice(self, now: datetime, monotonic: float) -> bool:
        """We look at `now` (UTC), at this awake second. Whether the clock was set back since we last did."""
        last, self._last = self._last, (now, monotonic)
        if last is None:
            self._back_since, self._ahead = now, (monotonic, timedelta(0))
            return False
        awake = timedelta(seconds=monotonic - last[1])
        jump = (now - last[0]) - awake
        self.gone = timedelta(0)
        self.went_ahead = jump > JUMP
        if self.went_ahead:
            self._ahead = (monotonic, jump)
            self._back(now, "asleep")
            self.gone = jump
        elif awake > LONGEST_TICK:
            self._back(now, "the scheduler stood still")
            self.gone = awake
        if jump < -JUMP and self._undoes(-jump, monotonic):
            self._ahead, self._back_since, self.was_false = None, now, True
        return jump < -JUMP

    def _undoes(self, back: timedelta, monotonic: float) -> bool:
        """Whether a step back undoes most of a jump forward some minutes ago, or puts right what the start found."""
        return self._ahead is not None and monotonic - self._ahead[0] <= PUT_RIGHT_S and 2 * back >= self._ahead[1]

    def vault_is(self, there: bool, now: datetime) -> None:
        """Whether the vault is there."""
        if there and self._away:
            self._back(now, "the vault was away")
        self._away = not there

    def has_travelled(self, now: datetime) -> None:
        """The machine is in another time zone: what the clocks there say is due was not due before."""
        self._back(now, "another time zone")

    def _back(self, now: datetime, why: str) -> None:
        self._back_since, self._why = now, why

    @property
    def why_gone(self) -> str:
        """Why nobody was there the last time that nobody was."""
        return self._why

    def absence(self, moment: datetime) -> str:
        """Why what was due at `moment` (UTC) was not looked at then."""
        return self._why if self._back_since is not None and moment < self._back_since else TOO_BUSY
