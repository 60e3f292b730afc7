"""Keeps what the daemon leaves behind small, at the start and once a day while it runs for months (rule 12)."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from vault_scheduler.errors import LedgerUnavailable, VaultSchedError
from vault_scheduler.ledger.good_notes import GoodNotes
from vault_scheduler.ledger.store import TRIM_LIMIT, Store
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.machine.config import Retain
from vault_scheduler.machine.place import Place

EVERY = timedelta(days=1)
BETWEEN_S = 0.05
"""Between two bounded steps the loop gets its turn, so that a year of rows does not delay a start."""
SPEND_KEPT = timedelta(days=400)
SET_ASIDE_KEPT = timedelta(days=30)
GONE_KEPT = timedelta(days=30)
"""So long the last good text of a note that was deleted can be restored."""

_LOG_NAME = re.compile(r"(\d{4}-\d\d-\d\d)(-[A-Za-z0-9._-]+)?\.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The folder with the full outputs of one run. Size in bytes, times as Unix seconds."""

    run: str
    modified: float
    size: int


def outputs_to_remove(found: Iterable[Output], going: Collection[str], now: datetime, retain: Retain) -> list[str]:
    """The runs whose outputs go: those that are too old, then the oldest until the rest is small enough."""
    ended = sorted((output for output in found if output.run not in going), key=lambda o: o.modified, reverse=True)
    room, gone = retain.outputs_size, []
    for output in ended:
        room -= output.size
        old = retain.outputs is not None and now.timestamp() - output.modified > retain.outputs.total_seconds()
        if old or room < 0:
            gone.append(output.run)
    return gone


def logs_to_remove(names: Iterable[str], today: date, keep: timedelta | None) -> list[str]:
    """The daily logs of days before `keep`; files of any other name are not ours."""
    if keep is None:
        return []
    dated = [(match[1], name) for name in names if (match := _LOG_NAME.fullmatch(name))]
    return [name for day, name in dated if day < (today - keep).isoformat()]


class Housekeeping:
    """Removes what is older than the machine's `[retain]` keeps it."""

    def __init__(
        self,
        place: Place,
        store: Store,
        trust: Trust,
        tell: Callable[[str, str, str], None],
        good_notes: GoodNotes | None = None,
    ) -> None:
        self._place = place
        self._store = store
        self._trust = trust
        self._tell = tell
        self._good_notes = good_notes
        self._asked, self._never = asyncio.Event(), asyncio.Event()
        self._last: datetime | None = None
        self._begun = False  # the first half is done

    def look(self) -> None:
        """To be called now and then: `daily` sees whether a day has passed. It has no timer of its own."""
        self._asked.set()

    async def daily(self) -> None:
        """Once a day, until cancelled. After `begin` the rest is done when a start is over: with the second look."""
        clock = self._place.clock
        if self._begun:
            await self._next_look()
        while True:
            await self._next_look()
            if self._last is None or not timedelta(0) <= clock.now() - self._last < EVERY:
                await self.once()

    async def _next_look(self) -> None:
        await self._asked.wait()
        self._asked.clear()

    async def begin(self) -> None:
        """What a former daemon left in the way; the rest is done by `daily`."""
        now = self._place.clock.now()
        self._begun = await self._do(now, self._tidy_vault, self._tidy_files)

    async def once(self) -> None:
        """Temp files in the vault, old rows, outputs, spend and, if so configured, daily logs.

        What cannot be done is told and left for the next time: no run waits for a tidy folder.
        """
        now = self._place.clock.now()
        begun, self._begun = self._begun, False
        before = () if begun else (self._tidy_vault, self._tidy_files)
        if await self._do(now, *before, self._tidy_ledger):
            self._last = now

    async def _do(self, now: datetime, *works: Callable[[datetime], Awaitable[None]]) -> bool:
        """Whether all could be done that the ledger takes part in."""
        for work in works:
            try:
                await work(now)
            except LedgerUnavailable:
                return False  # locked, or the disk is full: once more in a moment
            except (VaultSchedError, OSError) as error:  # a vault that cannot be written, say
                self._tell("problem", "housekeeping", str(error))
        return True

    async def _tidy_vault(self, now: datetime) -> None:
        tidied = await asyncio.to_thread(self._place.vault.tidy, now)
        for copy in tidied.copies:
            self._tell("problem", copy, "it holds another program's text, found in a file that had been replaced")

    async def _tidy_files(self, now: datetime) -> None:
        going = {run.id for run in await self._store.active()}
        await asyncio.to_thread(self._remove_files, going, now, self._place.machine.retain)
        await asyncio.to_thread(self._remove_set_aside, now)

    async def _tidy_ledger(self, now: datetime) -> None:
        self._trust.trim(now.date(), SPEND_KEPT)
        self._tidy_good_notes(now)
        keep = self._place.machine.retain.ledger
        if keep is None:
            return
        for task, path in (await self._store.idle_tasks(now, keep)).items():
            vault = self._place.vault
            if vault.stamp(path) is None and vault.is_there():
                await self._store.forget_all_of(task)
                self._trust.forget(task)
        while await self._store.trim(now, keep) >= TRIM_LIMIT:
            await self._place.clock.wait(self._never, BETWEEN_S)

    def _tidy_good_notes(self, now: datetime) -> None:
        vault = self._place.vault
        if self._good_notes is None or not vault.is_there():
            return
        there = vault.task_notes()  # one look at the folder tells of nearly all of them
        kept = self._good_notes.newest().items()
        gone = [task for task, note in kept if note.path not in there and vault.stamp(note.path) is None]
        self._good_notes.trim(gone, now, GONE_KEPT)

    def _remove_set_aside(self, now: datetime) -> None:
        """Damaged ledgers that nobody has looked at for a month, and what a start that was killed left of a new one."""
        for pattern, kept in (("*-corrupt-*", SET_ASIDE_KEPT), (".*.new*", EVERY)):
            for path in self._place.state.glob(pattern):
                if now.timestamp() - path.stat().st_mtime > kept.total_seconds():
                    path.unlink(missing_ok=True)

    def _remove_files(self, going: Collection[str], now: datetime, retain: Retain) -> None:
        folder = self._place.runs_folder
        outputs = [found for path in _folders(folder) if (found := _output(path)) is not None]
        for run in outputs_to_remove(outputs, going, now, retain):
            shutil.rmtree(folder / run, ignore_errors=True)
        for path in _folders(folder):
            if path.name not in going:
                _remove_attempts(path)
        logs = self._place.vault.logs_folder
        names = [path.name for path in logs.iterdir() if path.is_file()] if logs.is_dir() else []
        for name in logs_to_remove(names, now.date(), retain.logs):
            (logs / name).unlink(missing_ok=True)


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _output(folder: Path) -> Output | None:
    try:
        files = [path.stat() for path in folder.rglob("*") if path.is_file()]
        modified = max((found.st_mtime for found in files), default=folder.stat().st_mtime)
    except OSError:
        return None  # it was removed meanwhile
    return Output(run=folder.name, modified=modified, size=sum(found.st_size for found in files))


def _remove_attempts(folder: Path) -> None:
    """Of a run that has ended only its outputs are kept; a daemon that was killed leaves scripts and prompts."""
    for path in folder.glob("attempt-*"):
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()  # only if it is empty
