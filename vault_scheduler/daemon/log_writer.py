"""Writes into the daily log: lines of runs from the ledger, and lines about problems; never delayed (rule 6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.lookout import Lookout
from vault_scheduler.daemon.pen import Pen
from vault_scheduler.ledger.store import DAILY_LOG, Delivery, Store
from vault_scheduler.run import Run
from vault_scheduler.telling import daily_log
from vault_scheduler.telling.summary import log_line
from vault_scheduler.vault.vault import Vault

TRY_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotWritten:
    """A file that could not be written, and what is to be tried again later."""

    path: str
    deliveries: tuple[Delivery, ...]
    error: Exception


class LogWriter:
    """Owns the files in the logs folder."""

    def __init__(self, vault: Vault, store: Store, pen: Pen) -> None:
        self._vault = vault
        self._store = store
        self._pen = pen
        self._lines: dict[str, str] = {}  # block id → line that is no run's
        self._blocked_until = float("-inf")
        self._parts: dict[date, int] = {}  # the part of a day's log that is written to
        self._lookout = Lookout(vault, store, DAILY_LOG, daily_log.block_ids)

    def add(self, block_id: str, text: str, local_time: str) -> None:
        """Put a line that is not about a run into today's log, once; `text` is harmless markdown."""
        self._lines[block_id] = f"- {local_time} {text} ^{block_id}"

    def next_moment(self, monotonic: float) -> float | None:
        """The awake second at which lines are to be written."""
        return max(monotonic, self._blocked_until) if self._lines else None

    async def deliver(
        self,
        runs: Sequence[tuple[Delivery, Run]],
        zone: ZoneInfo,
        foreign_host: str,
        now: datetime,
        monotonic: float,
    ) -> list[NotWritten]:
        """Write what is pending; what could not be written."""
        of_day: dict[date, list[tuple[Delivery, Run]]] = defaultdict(list)
        told: dict[str, str] = {}
        failed: list[NotWritten | None] = []
        for delivery, run in runs:
            try:
                told[run.id] = log_line(run, zone)
            except Exception as error:  # a fault of ours in one line holds up none of the others
                failed.append(NotWritten(path=run.path, deliveries=(delivery,), error=error))
            else:
                of_day[(run.ended_at or now).astimezone(zone).date()].append((delivery, run))
        today = now.astimezone(zone).date()
        if self._lines and monotonic >= self._blocked_until:
            of_day.setdefault(today, [])
        for day in sorted(of_day):
            lines = {run.id: told[run.id] for _, run in of_day[day]} | (self._lines if day == today else {})
            failed.append(await self._day(day, of_day[day], lines, foreign_host, now, monotonic))
        return [failure for failure in failed if failure is not None]

    async def _day(
        self,
        day: date,
        runs: Sequence[tuple[Delivery, Run]],
        lines: dict[str, str],
        foreign_host: str,
        now: datetime,
        monotonic: float,
    ) -> NotWritten | None:
        path, places = "", dict[str, str]()
        try:
            for path, part in self._by_part(day, foreign_host, runs, lines):
                await self._write(path, day, part, monotonic)
                places |= dict.fromkeys(part, path)
        except Exception as error:
            self._blocked_until = monotonic + TRY_AGAIN_S
            return NotWritten(path=path, deliveries=tuple(delivery for delivery, _ in runs), error=error)
        for block_id in lines:
            self._lines.pop(block_id, None)
        for _, run in runs:
            await self._store.mark_delivered(run.id, DAILY_LOG, now, detail=places.get(run.id, ""), count=run.count)
        return None

    def _by_part(
        self, day: date, foreign_host: str, runs: Sequence[tuple[Delivery, Run]], lines: dict[str, str]
    ) -> list[tuple[str, dict[str, str]]]:
        """Which file each line belongs to: the newest part, unless it may stand in an earlier one already."""
        first_look = day not in self._parts
        number = self._parts.get(day, 1)
        while self._is_full(self._path(day, foreign_host, number)):
            number += 1
        self._parts = {day: number}
        split: dict[str, dict[str, str]] = {}
        for earlier in range(1, number):
            path = self._path(day, foreign_host, earlier)
            again = {run.id for delivery, run in runs if first_look or delivery.tries or run.count > 1}
            standing = daily_log.block_ids(self._vault.read(path) or b"") if again else set()
            split[path] = {block: lines.pop(block) for block in again & standing if block in lines}
        split[self._path(day, foreign_host, number)] = lines
        return [(path, part) for path, part in split.items() if part]

    def _path(self, day: date, foreign_host: str, part: int) -> str:
        return self._vault.rel(self._vault.logs_folder / daily_log.file_name(day, foreign_host, part))

    def _is_full(self, path: str) -> bool:
        stamp = self._vault.stamp(path)
        return stamp is not None and stamp.size > daily_log.FULL

    async def _write(self, path: str, day: date, lines: dict[str, str], monotonic: float) -> None:
        last = b""

        def change(data: bytes) -> bytes:
            nonlocal last
            last = daily_log.put_lines(data or daily_log.new_file(day), lines)
            return last

        await self._pen.edit_or_create(path, change, monotonic)
        self._lookout.wrote(path, lines, last, monotonic)

    def recall(self, done: Delivery, at: float) -> None:
        """Look after a line that a former daemon wrote at that awake second."""
        if done.detail:
            self._lookout.recall(done.detail, done.run, at)

    async def look_after(self, monotonic: float) -> bool:
        """Whether lines that somebody's old copy of the log overwrote are pending again."""
        return await self._lookout.look(monotonic)
