"""The pen: every write of the daemon into the vault goes through it, and is looked after until it has settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from vault_scheduler.errors import why
from vault_scheduler.platform.late_writes import Settled
from vault_scheduler.vault.vault import LateWrite, Vault, Written

LATE_WRITERS_S = 3.0
"""So long after a replace we look whether somebody wrote into the file that we displaced."""
NOBODY_THERE_S = 60.0
AGAIN_S = 30.0
"""So long after a look that failed (a full disk, too many open files) we look again."""
TOLD_AFTER = 3
"""So many looks have failed when people are told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often notes may be written, and where the daily log goes (settings note)."""

    note_quiet_s: float
    note_interval_s: float
    zone: ZoneInfo
    heading: str = ""  # the daily log stands below it in the user's own daily note; "": in a note of its own
    foreign_host: str = ""


class Witness(Protocol):
    """Who has to know of what is written."""

    def quiet_s(self, path: str) -> float:
        """For how many seconds awake nobody but us has changed the file."""

    def wrote(self, written: Written) -> None:
        """We changed the file."""

    def report(self, path: str, message: str, fix: str) -> None:
        """Writing met a problem that people should know."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A second look at a write, at that awake second; `failed`: how often it could not be done."""

    at: float
    written: Written
    failed: int = 0


class Pen:
    """Edits by compare and replace; what other programs write late into a displaced file is not lost."""

    def __init__(self, vault: Vault, witness: Witness) -> None:
        self._vault = vault
        self.witness = witness
        self._unsettled: list[_Look] = []

    def next_moment(self) -> float | None:
        """The awake second at which a write is to be looked at again."""
        return min((look.at for look in self._unsettled), default=None)

    async def edit(self, path: str, change: Callable[[bytes], bytes], monotonic: float) -> Written:
        """Lay `change` over the note. Raises what `Vault.edit` raises."""
        kept: list[Written] = []
        try:
            done = await asyncio.to_thread(self._vault.edit, path, change, self._last_of(path), kept)
            return self._done(done, monotonic)
        finally:
            self._look_later(kept, monotonic + LATE_WRITERS_S)

    def _last_of(self, path: str) -> Written | None:
        """Our last write of the note, if it has not settled: of an older one nobody needs to know that it was ours.

        The newest by the file system's clock: what waits to be looked at again stands behind what was written since.
        """
        ours = (look.written for look in self._unsettled if look.written.path == path and look.written.after_hash)
        return max(ours, key=lambda written: written.replaced.written_ns if written.replaced else 0, default=None)

    async def edit_or_create(
        self, path: str, change: Callable[[bytes], bytes], monotonic: float, new: bytes = b""
    ) -> Written:
        """As `edit`; a note that is not there is made from `new`."""
        try:
            return await self.edit(path, change, monotonic)
        except FileNotFoundError:
            return self._done(await asyncio.to_thread(self._vault.create, path, change(new)), monotonic)

    def _done(self, written: Written, monotonic: float) -> Written:
        if written.changed:
            self.witness.wrote(written)
            if written.replaced is not None:
                self._look_later([written], monotonic + LATE_WRITERS_S)
        return written

    def _look_later(self, written: Iterable[Written], at: float) -> None:
        self._unsettled += [_Look(at, each) for each in written]

    async def settle(self, now: datetime, monotonic: float, *, hurry: bool = False) -> None:
        """Look once more at what we displaced: a program that had the old file open may have written into it.

        What fails is tried again, and told if it goes on. `hurry`: the daemon stops, so notes that nobody has touched
        for a minute are settled without waiting.
        """
        due: list[_Look] = []
        later: list[_Look] = []
        for look in self._unsettled:
            is_due = look.at <= monotonic or (hurry and self._is_alone(look.written))
            (due if is_due else later).append(look)
        self._unsettled = later
        if hurry:
            now += timedelta(seconds=LATE_WRITERS_S)
        for look in due:
            await self._settle(look, now, monotonic)

    async def _settle(self, look: _Look, now: datetime, monotonic: float) -> None:
        kept: list[Written] = []
        try:
            late = await asyncio.to_thread(self._vault.settle, look.written, now, kept)
        except Exception as error:
            self._put_off(look, error, monotonic)
        else:
            self._take(late, look.written, monotonic)
        finally:
            self._look_later(kept, monotonic + LATE_WRITERS_S)

    def _put_off(self, look: _Look, error: Exception, monotonic: float) -> None:
        """Nothing is lost: the displaced file stays where it is. A vault that is away is told of elsewhere."""
        failed = look.failed + self._vault.is_there()
        self._unsettled.append(_Look(monotonic + AGAIN_S, look.written, failed))
        if failed == TOLD_AFTER != look.failed:
            message = f"what others may have written while we replaced the file cannot be looked at: {why(error)}"
            self.witness.report(look.written.path, message, "It is tried again every 30 seconds.")

    def _take(self, late: LateWrite, written: Written, monotonic: float) -> None:
        if late.written is not None:
            self._done(late.written, monotonic)
        if late.state is Settled.WAIT:
            self._look_later([written], monotonic + late.again_s)
        if late.follow is not None:
            self._look_later([late.follow], monotonic + late.again_s)
        if late.copy:
            fix = f"Its text is kept in {late.copy}; take over what you need from there."
            self.witness.report(written.path, "another program wrote into the file while we replaced it", fix)

    def _is_alone(self, written: Written) -> bool:
        return self.witness.quiet_s(written.path) > NOBODY_THERE_S
