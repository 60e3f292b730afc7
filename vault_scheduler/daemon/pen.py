"""The pen: every write of the daemon into the vault goes through it, and is looked after until it has settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from vault_scheduler.platform.late_writes import Settled
from vault_scheduler.vault.vault import Vault, Written

LATE_WRITERS_S = 3.0
"""So long after a replace we look whether somebody wrote into the file that we displaced."""
NOBODY_THERE_S = 60.0


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


class Pen:
    """Edits by compare and replace; what other programs write late into a displaced file is not lost."""

    def __init__(self, vault: Vault, witness: Witness) -> None:
        self._vault = vault
        self.witness = witness
        self._unsettled: list[tuple[float, Written]] = []

    def next_moment(self) -> float | None:
        """The awake second at which a write is to be looked at again."""
        return min((at for at, _ in self._unsettled), default=None)

    async def edit(self, path: str, change: Callable[[bytes], bytes], monotonic: float) -> Written:
        """Lay `change` over the note. Raises what `Vault.edit` raises."""
        return self._done(await asyncio.to_thread(self._vault.edit, path, change, self._last_of(path)), monotonic)

    def _last_of(self, path: str) -> Written | None:
        """Our last write of the note, if it has not settled: of an older one nobody needs to know that it was ours."""
        return next((written for _, written in reversed(self._unsettled) if written.path == path), None)

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
                self._unsettled.append((monotonic + LATE_WRITERS_S, written))
        return written

    async def settle(self, now: datetime, monotonic: float, *, hurry: bool = False) -> None:
        """Look once more at what we displaced: a program that had the old file open may have written into it.

        `hurry`: the daemon stops, so notes that nobody has touched for a minute are settled without waiting.
        """
        due = [written for at, written in self._unsettled if at <= monotonic or (hurry and self._is_alone(written))]
        self._unsettled = [(at, written) for at, written in self._unsettled if written not in due]
        if hurry:
            now += timedelta(seconds=LATE_WRITERS_S)
        for written in due:
            try:
                late = await asyncio.to_thread(self._vault.settle, written, now)
            except Exception:
                continue  # the temp file stays, and the daily tidying finds it
            if late.written is not None:
                self._done(late.written, monotonic)
            if late.state is Settled.WAIT:
                self._unsettled.append((monotonic + late.again_s, written))
            if late.follow is not None:
                self._unsettled.append((monotonic + late.again_s, late.follow))
            if late.copy:
                fix = f"Its text is kept in {late.copy}; take over what you need from there."
                self.witness.report(written.path, "another program wrote into the file while we replaced it", fix)

    def _is_alone(self, written: Written) -> bool:
        return self.witness.quiet_s(written.path) > NOBODY_THERE_S
