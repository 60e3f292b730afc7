"""Writes the daily log: lines of runs from the ledger, and lines about problems (rule 6).

A log of our own is never delayed. In the user's own daily note the lines wait until the note is there and may be
written; those of a day that is over without one go into a log of our own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from vault_scheduler.daemon.daily_notes import LOOK_S, DayNotes
from vault_scheduler.daemon.lookout import Lookout
from vault_scheduler.daemon.pen import Pace, Pen
from vault_scheduler.errors import BadValue
from vault_scheduler.ledger.store import DAILY_LOG, Delivery, Store
from vault_scheduler.run import Run
from vault_scheduler.telling import daily_log
from vault_scheduler.telling.summary import log_line
from vault_scheduler.vault.vault import Vault

TRY_AGAIN_S = 60.0
SMALL = 64 * 1024
GATHER_S = 1e-6
"""A log is written anew for each write: above SMALL bytes the next waits so long for each byte, 1 s at 1 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotWritten:
    """A file that could not be written, and what is to be tried again later."""

    path: str
    deliveries: tuple[Delivery, ...]
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """Now, and how notes are to be written."""

    pace: Pace
    now: datetime
    monotonic: float
    hurry: bool

    @property
    def today(self) -> date:
        """In the vault's zone."""
        return self.now.astimezone(self.pace.zone).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line that is no run's; its day is settled when it is first to be written."""

    text: str
    day: date | None = None


class LogWriter:
    """Owns the files in the logs folder, and the lines below the log's heading in daily notes."""

    def __init__(self, vault: Vault, store: Store, pen: Pen, days: DayNotes) -> None:
        self._vault = vault
        self._store = store
        self._pen = pen
        self._days = days
        self._lines: dict[str, _Line] = {}  # by block id
        self._blocked_until = float("-inf")
        self._gathers_until = float("-inf")  # a large log takes the lines of a moment with one write
        self._gathers = False  # runs wait for that
        self._waits: dict[date, float] = {}  # day whose note is not to be written yet → when to look again
        self._reported = ""  # why nobody can tell which note it is
        self._parts: dict[date, int] = {}  # the part of a day's log that is written to
        self._lookout = Lookout(vault, store, DAILY_LOG, daily_log.block_ids)

    def add(self, block_id: str, text: str, local_time: str) -> None:
        """Put a line that is not about a run into today's log, once; `text` is harmless markdown."""
        self._lines[block_id] = _Line(text=f"- {local_time} {text} ^{block_id}")

    def next_moment(self, monotonic: float) -> float | None:
        """The awake second at which lines are to be written, or the daily note is to be looked at again."""
        moments = list(self._waits.values())
        if any(line.day not in self._waits for line in self._lines.values()):
            moments.append(max(monotonic, self._blocked_until, self._gathers_until))
        elif self._gathers:
            moments.append(max(monotonic, self._gathers_until))
        return min(moments, default=None)

    async def deliver(
        self, runs: Sequence[tuple[Delivery, Run]], pace: Pace, now: datetime, monotonic: float, *, hurry: bool = False
    ) -> list[NotWritten]:
        """Write what is pending; what could not be written. `hurry`: the daemon stops."""
        self._gathers = monotonic < self._gathers_until and not hurry
        if self._gathers:
            return []
        moment = _Moment(pace=pace, now=now, monotonic=monotonic, hurry=hurry)
        of_day: dict[date, list[tuple[Delivery, Run]]] = defaultdict(list)
        told: dict[str, str] = {}
        failed: list[NotWritten | None] = []
        for delivery, run in runs:
            try:
                told[run.id] = log_line(run, pace.zone)
            except Exception as error:  # a fault of ours in one line holds up none of the others
                failed.append(NotWritten(path=run.path, deliveries=(delivery,), error=error))
            else:
                of_day[(run.ended_at or now).astimezone(pace.zone).date()].append((delivery, run))
        others = self._other_lines(moment)
        self._waits = {}
        for day in sorted({*of_day, *others}):
            lines = {run.id: told[run.id] for _, run in of_day[day]}
            failed.append(await self._day(day, of_day[day], lines, others.get(day, {}), moment))
        return [failure for failure in failed if failure is not None]

    def _other_lines(self, moment: _Moment) -> dict[date, dict[str, str]]:
        """The lines that are no run's, by day."""
        if moment.monotonic < self._blocked_until:
            return {}
        found: dict[date, dict[str, str]] = defaultdict(dict)
        for block_id, line in self._lines.items():
            day = line.day or moment.today
            self._lines[block_id] = replace(line, day=day)
            found[day][block_id] = line.text
        return found

    async def _day(
        self,
        day: date,
        runs: Sequence[tuple[Delivery, Run]],
        lines: dict[str, str],
        others: dict[str, str],
        moment: _Moment,
    ) -> NotWritten | None:
        path, places = "", dict[str, str]()
        try:
            path = note = self._note_of(day, moment)
            if note and not self._may_write(day, note, moment):
                if not (moment.hurry and others):
                    return None
                runs, lines, note = (), {}, ""  # runs wait in the ledger; other lines would be lost
            files = self._by_part(day, note, moment.pace.foreign_host, runs, {**lines, **others})
            for path, part in files:
                await self._write(path, day, part, path == note, moment)
                places |= dict.fromkeys(part, path)
        except Exception as error:
            self._blocked_until = moment.monotonic + TRY_AGAIN_S
            return NotWritten(path=path, deliveries=tuple(delivery for delivery, _ in runs), error=error)
        for block_id in others:
            self._lines.pop(block_id, None)
        with self._store.together(durable=False):
            for _, run in runs:
                detail = places.get(run.id, "")
                await self._store.mark_delivered(run.id, DAILY_LOG, moment.now, detail=detail, count=run.count)
        return None

    def _note_of(self, day: date, moment: _Moment) -> str:
        """The daily note that the day's lines belong into; "" for a log of our own.

        A day that is over without a note gets none, and where nobody can tell which note it is nothing waits for it.
        """
        if not moment.pace.heading or moment.pace.foreign_host:
            return ""
        try:
            note = self._days.path(day)
        except BadValue as error:
            if error.message != self._reported:
                self._reported = error.message
                settings = self._vault.rel(self._vault.settings_path)
                self._pen.witness.report(settings, f"daily_log_in: {error.message}", error.fix)
            return ""
        self._reported = ""
        return note if day >= moment.today or self._days.is_there(note) else ""

    def _may_write(self, day: date, note: str, moment: _Moment) -> bool:
        """Whether the daily note is there and left alone; says when to look again otherwise."""
        at = moment.monotonic + LOOK_S
        if self._days.is_there(note):
            at = self._days.may_write_at(note, moment.pace, moment.now, moment.monotonic, hurry=moment.hurry)
        if at > moment.monotonic:
            self._waits[day] = at
        return at <= moment.monotonic

    def _by_part(
        self, day: date, note: str, foreign_host: str, runs: Sequence[tuple[Delivery, Run]], lines: dict[str, str]
    ) -> list[tuple[str, dict[str, str]]]:
        """Which file each line belongs to: the newest one, unless it may stand in an earlier one already."""
        first_look = day not in self._parts
        number = self._parts.get(day, 1)
        while self._is_full(self._path(day, foreign_host, number)):
            number += 1
        self._parts = {day: number}
        parts = [self._path(day, foreign_host, part) for part in range(1, number + 1)]
        home = note or parts[-1]
        again = {run.id: delivery for delivery, run in runs if first_look or delivery.tries or run.count > 1}
        told = {delivery.detail for delivery in again.values() if delivery.detail}
        split: dict[str, dict[str, str]] = {}
        for earlier in [path for path in dict.fromkeys([*parts, *sorted(told)]) if path != home]:
            standing = daily_log.block_ids(self._vault.read(earlier) or b"") if again else set()
            split[earlier] = {block: lines.pop(block) for block in again.keys() & standing if block in lines}
        split[home] = lines
        return [(path, part) for path, part in split.items() if part]

    def _path(self, day: date, foreign_host: str, part: int) -> str:
        return self._vault.rel(self._vault.logs_folder / daily_log.file_name(day, foreign_host, part))

    def _is_full(self, path: str) -> bool:
        stamp = self._vault.stamp(path)
        return stamp is not None and stamp.size > daily_log.FULL

    async def _write(self, path: str, day: date, lines: Mapping[str, str], in_note: bool, moment: _Moment) -> None:
        last = b""

        def change(data: bytes) -> bytes:
            nonlocal last
            if in_note:
                last = daily_log.put_below(data, moment.pace.heading, lines)
            else:
                last = daily_log.put_lines(data or daily_log.new_file(day), lines)
            return last

        if in_note:
            await self._pen.edit(path, change, moment.monotonic)  # never made by us
            self._days.wrote(path, moment.monotonic)
        else:
            await self._pen.edit_or_create(path, change, moment.monotonic)
        self._lookout.wrote(path, lines, last, moment.monotonic)
        self._gathers_until = moment.monotonic + GATHER_S * max(0, len(last) - SMALL)
        last = b""  # the change is kept for a while, in case that it is to be laid over what somebody writes late

    def recall(self, done: Delivery, at: float) -> None:
        """Look after a line that a former daemon wrote at that awake second."""
        if done.detail:
            self._lookout.recall(done.detail, done.run, at)

    async def look_after(self, monotonic: float) -> bool:
        """Whether lines that somebody's old copy of the log overwrote are pending again."""
        return await self._lookout.look(monotonic)
