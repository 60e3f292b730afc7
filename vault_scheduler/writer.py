"""The scribe: delivers finished runs from the ledger into notes, the daily log and output notes (rule 6).

Every target has its own mark in the ledger; a mark is set after the bytes are durable, and what is delivered twice
changes nothing, because the block id of the run is looked for first.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from vault_scheduler import daily_log, output_note
from vault_scheduler.errors import NoteRefused, VaultSchedError
from vault_scheduler.note import set_keys
from vault_scheduler.platform.late_writes import Settled
from vault_scheduler.run import Run
from vault_scheduler.runs_section import insert_runs
from vault_scheduler.store import DAILY_LOG, NOTE, OUTPUT, Delivery, Store
from vault_scheduler.summary import entry_of, link_of, log_line, output_text
from vault_scheduler.vault import Vault, Written

IMPATIENCE_S = 300.0
"""A note that is never left alone is written anyway, by compare and replace, at most this often."""
RETRY_AFTER = timedelta(seconds=60)
LATE_WRITERS_S = 3.0
"""So long after a replace we look whether somebody wrote into the file that we displaced."""
NOBODY_THERE_S = 60.0

Value = str | bool | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteView:
    """What the scribe asks of a task's note at the moment of writing. Times of the keys are local, without offset."""

    path: str
    zone: ZoneInfo
    next_run: datetime | None
    keep_runs: int
    untick: bool  # `run_now` was taken
    busy: bool  # the note's own Claude run is active
    output: str


class Surroundings(Protocol):
    """What the scribe needs to know of everything else."""

    def note(self, task: str) -> NoteView | None:
        """The task's note now; None if the task is gone."""

    def quiet_s(self, path: str) -> float:
        """For how many seconds awake nobody but us has changed the file."""

    def wrote(self, written: Written) -> None:
        """We changed the file."""

    def report(self, path: str, message: str, fix: str) -> None:
        """A delivery met a problem that people should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often notes may be written, and where the daily log goes (settings note)."""

    note_quiet_s: float
    note_interval_s: float
    zone: ZoneInfo
    foreign_host: str = ""


class Scribe:
    """Owns all that the daemon writes into the vault."""

    def __init__(self, *, vault: Vault, store: Store, surroundings: Surroundings) -> None:
        self._vault = vault
        self._store = store
        self._around = surroundings
        self._wanted: dict[str, dict[str, Value]] = {}  # task id → keys to set besides those of a run
        self._lines: dict[str, str] = {}  # block id → line of the daily log that is no run's
        self._written_at: dict[str, float] = {}  # path → awake second of our last write
        self._waiting_since: dict[str, float] = {}
        self._unsettled: list[tuple[float, Written]] = []
        self._dirty = True
        self._next: float | None = None

    # what others ask for

    def poke(self) -> None:
        """There may be something new to deliver."""
        self._dirty = True

    def want(self, task: str, changes: Mapping[str, Value]) -> None:
        """Set these keys in the task's note at the next allowed write."""
        self._wanted.setdefault(task, {}).update(changes)
        self._dirty = True

    def poke_note(self, task: str) -> None:
        """The task's note wants a write even if no run is to be delivered: `run_now` is to be unticked."""
        self.want(task, {})

    async def write_settings(self, path: str, changes: Mapping[str, Value], monotonic: float) -> None:
        """Set keys of the settings note."""
        try:
            await self._edit(path, lambda data: set_keys(data, changes), monotonic)
        except (VaultSchedError, OSError) as error:
            self._around.report(path, f"the settings note could not be written: {error}", "")

    def log(self, block_id: str, text: str, local_time: str) -> None:
        """Put a line that is not about a run into today's log, once; `text` is harmless markdown."""
        self._lines[block_id] = f"- {local_time} {text} ^{block_id}"
        self._dirty = True

    def next_moment(self, monotonic: float) -> float | None:
        """The awake second at which there is something to do; None: nothing waits."""
        moments = [self._next] if self._next is not None else []
        moments += [at for at, _ in self._unsettled]
        return monotonic if self._dirty else min(moments, default=None)

    # delivering

    async def deliver(self, pace: Pace, now: datetime, monotonic: float, *, hurry: bool = False) -> None:
        """Deliver what may be delivered now. `hurry`: the daemon stops, so the interval between writes is waived."""
        await self._settle(now, monotonic, hurry=False)
        if not (self._dirty or hurry or (self._next is not None and monotonic >= self._next)):
            return
        self._dirty, self._next = False, None
        by_target: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in await self._store.pending_deliveries():
            if delivery.not_before is None or delivery.not_before <= now:
                by_target[delivery.target].append(delivery)
            else:
                self._again_at(monotonic + (delivery.not_before - now).total_seconds())
        await self._deliver_log(by_target[DAILY_LOG], pace, now)
        for delivery in by_target[OUTPUT]:
            await self._deliver_output(delivery, now)
        await self._deliver_notes(by_target[NOTE], pace, now, monotonic, hurry)
        if hurry:
            await self._settle(now, monotonic, hurry=True)

    def _again_at(self, monotonic: float) -> None:
        self._next = monotonic if self._next is None else min(self._next, monotonic)

    async def _settle(self, now: datetime, monotonic: float, hurry: bool) -> None:
        """Look once more at what we displaced: a program that had the old file open may have written into it."""
        due = [written for at, written in self._unsettled if at <= monotonic or self._waive(written, hurry)]
        self._unsettled = [(at, written) for at, written in self._unsettled if written not in due]
        if hurry:
            now += timedelta(seconds=LATE_WRITERS_S)
        for written in due:
            try:
                late = await asyncio.to_thread(self._vault.settle, written, now)
            except (VaultSchedError, OSError):
                continue  # the temp file stays, and the daily tidying finds it
            if late.written is not None:
                self._around.wrote(late.written)
                self._unsettled.append((monotonic + LATE_WRITERS_S, late.written))
            if late.state is Settled.WAIT:
                self._unsettled.append((monotonic + 1.0, written))
            if late.copy:
                fix = f"Its text is kept in {late.copy}; take over what you need from there."
                self._around.report(written.path, "another program wrote into the file while we replaced it", fix)

    def _waive(self, written: Written, hurry: bool) -> bool:
        """When the daemon stops, a note that nobody has touched for a minute needs no second look."""
        return hurry and self._around.quiet_s(written.path) > NOBODY_THERE_S

    async def _edit(self, path: str, change: Callable[[bytes], bytes], monotonic: float) -> Written:
        written = await asyncio.to_thread(self._vault.edit, path, change)
        if written.changed:
            self._around.wrote(written)
            self._unsettled.append((monotonic + LATE_WRITERS_S, written))
        return written

    async def _put_off(self, deliveries: Sequence[Delivery], now: datetime, path: str, error: Exception) -> None:
        for delivery in deliveries:
            await self._store.defer_delivery(delivery.run, delivery.target, now + RETRY_AFTER, str(error))
        self._again_at(0.0)
        self._around.report(path, f"a result could not be written: {error}", "It is kept and tried again.")

    # the daily log

    async def _deliver_log(self, deliveries: Sequence[Delivery], pace: Pace, now: datetime) -> None:
        today = now.astimezone(pace.zone).date()
        days: dict[date, dict[str, str]] = defaultdict(dict)
        of_day: dict[date, list[tuple[Delivery, Run]]] = defaultdict(list)
        for delivery in deliveries:
            run = await self._run(delivery)
            day = (run.ended_at or now).astimezone(pace.zone).date()
            days[day][run.id] = log_line(run, pace.zone)
            of_day[day].append((delivery, run))
        if self._lines:
            days[today].update(self._lines)
        for day, lines in list(days.items()):
            path = self._vault.rel(self._vault.logs_folder / daily_log.file_name(day, pace.foreign_host))
            try:
                await self._write_log(path, day, lines)
            except (VaultSchedError, OSError) as error:
                await self._put_off([d for d, _ in of_day[day]], now, path, error)
                continue
            for block_id in lines:
                self._lines.pop(block_id, None)
            for _, run in of_day[day]:
                await self._store.mark_delivered(run.id, DAILY_LOG, now, count=run.count)

    async def _write_log(self, path: str, day: date, lines: Mapping[str, str]) -> None:
        try:
            await asyncio.to_thread(self._vault.edit, path, lambda data: daily_log.put_lines(data, lines))
        except FileNotFoundError:
            new = daily_log.put_lines(daily_log.new_file(day), lines)
            await asyncio.to_thread(self._vault.create, path, new)

    # the task's note

    async def _deliver_notes(
        self, deliveries: Sequence[Delivery], pace: Pace, now: datetime, monotonic: float, hurry: bool
    ) -> None:
        by_task: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            by_task[delivery.task].append(delivery)
        for task in [*by_task, *(t for t in self._wanted if t not in by_task)]:
            note = self._around.note(task)
            if note is None:
                await self._give_up(by_task[task], now)
                self._wanted.pop(task, None)
            elif hurry or self._may_write(note, pace, monotonic):
                await self._write_note(task, note, by_task[task], now, monotonic)

    async def _give_up(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        for delivery in deliveries:
            await self._store.mark_delivered(delivery.run, NOTE, now, detail="the note is gone")

    def _may_write(self, note: NoteView, pace: Pace, monotonic: float) -> bool:
        """Quiet and interval (rule 6); says when to try again otherwise."""
        waiting_since = self._waiting_since.setdefault(note.path, monotonic)
        if note.busy:
            return False  # its end is an event, and brings us back here
        last = self._written_at.get(note.path)
        after_interval = monotonic if last is None else last + pace.note_interval_s
        after_quiet = monotonic + pace.note_quiet_s - self._around.quiet_s(note.path)
        patience_ends = max(waiting_since, last or 0.0) + IMPATIENCE_S
        moment = max(after_interval, min(after_quiet, patience_ends))
        if moment > monotonic:
            self._again_at(moment)
        return moment <= monotonic

    async def _write_note(
        self, task: str, note: NoteView, deliveries: Sequence[Delivery], now: datetime, monotonic: float
    ) -> None:
        runs = [await self._run(delivery) for delivery in deliveries]
        entries = [entry_of(run, note.zone) for run in runs]
        wanted = self._wanted.get(task, {})
        keys = {**keys_of(runs, note), **wanted}

        def change(data: bytes) -> bytes:
            data = set_keys(data, keys) if keys else data
            return insert_runs(data, entries, note.keep_runs) if entries else data

        try:
            written = await self._edit(note.path, change, monotonic)
        except FileNotFoundError:
            self._again_at(monotonic + 1.0)  # the survey will tell whether it is gone
            return
        except (VaultSchedError, OSError) as error:
            await self._put_off(deliveries, now, note.path, error)
            if isinstance(error, NoteRefused):
                self._wanted.pop(task, None)
            return
        self._written_at[note.path] = monotonic
        self._waiting_since.pop(note.path, None)
        if self._wanted.get(task) == wanted:
            self._wanted.pop(task, None)
        for run in runs:
            await self._store.mark_delivered(run.id, NOTE, now, base_hash=written.after_hash, count=run.count)

    async def _run(self, delivery: Delivery) -> Run:
        run = await self._store.run(delivery.run)
        assert run is not None, "a delivery without its run"
        return run

    # the output note

    async def _deliver_output(self, delivery: Delivery, now: datetime) -> None:
        run = await self._run(delivery)
        note = self._around.note(run.task)
        if note is None or not note.output:
            await self._store.mark_delivered(run.id, OUTPUT, now, detail="no output any more")
            return
        local = run.fire_time.astimezone(note.zone)
        title = link_of(run.path).rsplit("/", 1)[-1]
        try:
            place = output_note.place_of(note.output, local=local, title=title)
            detail = await asyncio.to_thread(self._put_output, place, run, await self._base_of(place.path))
        except (VaultSchedError, OSError, ValueError) as error:
            await self._put_off([delivery], now, note.path, error)
            return
        if detail.path != place.path:
            fix = f"The new text is in {detail.path}."
            self._around.report(note.path, f"{place.path} was changed by somebody, so it was not replaced", fix)
        await self._store.set_note_state(detail.path, detail.after_hash, now)
        await self._store.mark_delivered(run.id, OUTPUT, now, base_hash=detail.after_hash, detail=detail.path)

    async def _base_of(self, path: str) -> str:
        state = await self._store.note_state(path)
        return state.base_hash if state else ""

    def _put_output(self, place: output_note.Place, run: Run, ours: str) -> Written:
        text = output_text(run)
        if place.heading:
            change = lambda data: output_note.append_below(data, place.heading, text, run.id)  # noqa: E731
            return self._edit_or_create(place.path, change)
        new = text.rstrip().encode("utf-8", "replace") + b"\n"

        def replace_ours(data: bytes) -> bytes:
            if data == new or output_note.is_ours(data, ours):
                return new
            raise NoteRefused("somebody changed it")

        try:
            return self._edit_or_create(place.path, replace_ours)
        except NoteRefused:
            sibling = output_note.sibling(place.path, run.fire_time, run.id)
            return self._edit_or_create(sibling, lambda _: new)

    def _edit_or_create(self, path: str, change: Callable[[bytes], bytes]) -> Written:
        try:
            return self._vault.edit(path, change)
        except FileNotFoundError:
            return self._vault.create(path, change(b""))


def keys_of(runs: Sequence[Run], note: NoteView) -> dict[str, Value]:
    """The scheduler's own keys as they are to stand in the note after these runs."""
    keys: dict[str, Value] = {}
    started = [run for run in runs if not run.never_started]
    if started:
        last = max(started, key=lambda run: run.ended_at or run.fire_time)
        keys["last_run"] = local_text(last.started_at or last.fire_time, note.zone)
        keys["last_status"] = last.outcome.value if last.outcome else None
    if runs:
        keys["next_run"] = local_text(note.next_run, note.zone) if note.next_run else None
    if note.untick:
        keys["run_now"] = False
    return keys


def local_text(moment: datetime, zone: ZoneInfo) -> str:
    """`2026-11-20T07:00:00`: local, without offset, as Obsidian's date-and-time properties are."""
    return moment.astimezone(zone).replace(tzinfo=None, microsecond=0).isoformat()
