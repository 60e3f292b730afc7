"""Writes into tasks' notes (rule 6): when each may be written, and what is to stand in it then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Protocol

from vault_scheduler.daemon.deliveries import RETRY_AFTER, Deliveries, Due
from vault_scheduler.daemon.note_change import OURS, JustEdited, NoteChange, NoteView, Value, at_any_time, keys_of
from vault_scheduler.daemon.pen import Pace, Pen, Witness
from vault_scheduler.daemon.troubles import NO_LEDGER
from vault_scheduler.ledger.store import NOTE, Delivery, Store
from vault_scheduler.notes.places import Places
from vault_scheduler.notes.runs_section import run_ids
from vault_scheduler.planning.vigil import Vigil
from vault_scheduler.platform.hashed import Hashed
from vault_scheduler.run import Run
from vault_scheduler.telling.summary import entry_of
from vault_scheduler.vault.vault import Vault

RUN_ENDS_SOON_S = 3.0
IMPATIENCE_S = 300.0
"""A note that is never left alone is written anyway, by compare and replace, at most this often."""
GONE_AGAIN_S = 1.0
SEEN_SOON_S = 1.0
NOTES_A_PASS = 25
"""After so many notes other things get their turn: starts do not wait for a thousand results."""
NOTES_KNOWN = 500
"""Of so many notes it is remembered where things stand in them: those into which runs were written last."""
PROPERTIES_A_SECOND = 5
LOOKS_A_PASS = 200


class Surroundings(Witness, Protocol):
    """What the scribe needs to know of everything else."""

    def note(self, task: str) -> NoteView | None:
        """The task's note now; None if the task is gone."""

    def knows(self, path: str, data: bytes) -> bool:
        """Whether the note as it is now has been seen; if not, somebody has changed it just now."""


class NoteWriter:
    """Owns the scheduler's keys and the runs in the notes of tasks."""

    def __init__(self, vault: Vault, store: Store, pen: Pen, surroundings: Surroundings, queue: Deliveries) -> None:
        self._vault = vault
        self._store = store
        self._pen = pen
        self._around = surroundings
        self._queue = queue
        self._vigil = Vigil()
        self._wanted: dict[str, dict[str, Value]] = {}  # task id → keys to set besides those of a run
        self._registered: dict[str, None] = {}  # tasks whose `next_run` may have changed, in order
        self._properties_at = float("-inf")
        self._written_at: dict[str, float] = {}  # path → awake second of our last write
        self._waiting_since: dict[str, float] = {}
        self._places: dict[str, tuple[str, Places]] = {}  # path → hash of the note as we left it, and its places
        self._not_before: dict[str, float] = {}  # path that could not be written → awake second of the next try

    def want(self, task: str, changes: Mapping[str, Value]) -> None:
        """Set these keys in the task's note at the next allowed write; None empties a key that is there."""
        self._wanted.setdefault(task, {}).update(changes)
        self._queue.poke()

    def registered(self, task: str) -> None:
        """The task may fire at another time than its note says."""
        self._registered[task] = None
        self._queue.poke()

    def recall(self, path: str, run: str, at: float) -> None:
        """Look after a run that a former daemon wrote into this note at that awake second."""
        self._vigil.recall(path, run, at)

    async def changed(self, path: str, monotonic: float) -> None:
        """Somebody else changed this note: what was refused may work now, what we wrote may be gone."""
        self._not_before.pop(path, None)
        await self._look_after(path, monotonic)

    async def _look_after(self, path: str, monotonic: float) -> None:
        """Make pending again what somebody's old copy of the note overwrote."""
        if not self._vigil.watches(path, monotonic):
            return
        try:
            standing = run_ids(self._vault.read(path) or b"")
        except Exception:  # looked at again when the note next changes; the survey tells what is wrong with it
            return
        for block in self._vigil.vanished(path, standing, monotonic):
            await self._store.restore_delivery(block, NOTE)

    async def take_registered(self, monotonic: float) -> None:
        """A few tasks whose note tells its properties otherwise than they are; the others a second later."""
        if self._registered and monotonic < self._properties_at + 1.0:
            self._queue.again_at(self._properties_at + 1.0)
            return
        wrong = 0
        for task in tuple(islice(self._registered, LOOKS_A_PASS)):
            if await self._is_wrong(task):
                self._wanted.setdefault(task, {})
                wrong += 1
            self._registered.pop(task, None)
            if wrong == PROPERTIES_A_SECOND:
                break
        if wrong:
            self._properties_at = monotonic
        self._registered = self._registered or {}  # its table else stays as large as it was
        if self._registered:
            self._queue.again_at(monotonic + 1.0 if wrong else monotonic)

    async def _is_wrong(self, task: str) -> bool:
        try:
            note = self._around.note(task)
        except Exception:
            return True  # told by the write that this leads to
        if note is None or note.frequent or note.elsewhere:
            return False
        keys = keys_of(await self._store.last_run_of(task, started=True), note)
        return any(keys.get(key) != note.stands.get(key) for key in OURS if key in keys)

    async def deliver(self, deliveries: Due, pace: Pace, now: datetime, monotonic: float, *, hurry: bool) -> None:
        """Write these runs into their tasks' notes, and the keys that are wanted, where it may be done now."""
        by_task: dict[str, list[tuple[Delivery, Run]]] = defaultdict(list)
        for delivery, run in deliveries:
            by_task[run.task].append((delivery, run))
        written = 0
        for task in [*by_task, *(t for t in self._wanted if t not in by_task)]:
            if written >= NOTES_A_PASS and not hurry:
                self._queue.poke()
                return
            mine = by_task.get(task, [])
            try:
                written += await self._deliver_note(task, mine, pace, now, monotonic, hurry)
            except NO_LEDGER:
                raise
            except Exception as error:
                self._wanted.pop(task, None)
                await self._queue.put_off([each for each, _ in mine], mine[0][1].path if mine else task, error, now)

    async def _deliver_note(
        self, task: str, deliveries: Due, pace: Pace, now: datetime, monotonic: float, hurry: bool
    ) -> bool:
        """Whether the note was to be written at this moment."""
        note = self._around.note(task)
        if note is None:
            await self._give_up(deliveries, now)
        if note is None or (note.elsewhere and not deliveries):
            self._wanted.pop(task, None)
            return False
        if not deliveries and note.expects_run and not hurry and self._waits_for_run(note, monotonic):
            return False
        if not self._may_write(note, pace, monotonic, hurry):
            return False
        is_quiet = self._around.quiet_s(note.path) >= pace.note_quiet_s
        await self._write_note(task, note, deliveries, now, monotonic, is_quiet=is_quiet)
        return True

    def _waits_for_run(self, note: NoteView, monotonic: float) -> bool:
        """Properties alone wait a moment for a run that may end soon: both go into one write, and none waits long."""
        until = self._waiting_since.setdefault(note.path, monotonic) + RUN_ENDS_SOON_S
        if monotonic < until:
            self._queue.again_at(until)
        return monotonic < until

    async def _give_up(self, deliveries: Due, now: datetime) -> None:
        for _, run in deliveries:
            await self._store.mark_delivered(run.id, NOTE, now, detail="the note is gone")

    def _may_write(self, note: NoteView, pace: Pace, monotonic: float, hurry: bool) -> bool:
        """Quiet and interval (rule 6); says when to try again otherwise."""
        waiting_since = self._waiting_since.setdefault(note.path, monotonic)
        if note.busy:
            return False  # its end is an event, and brings us back here
        last = self._written_at.get(note.path)
        after_interval = monotonic if last is None or hurry else last + pace.note_interval_s
        after_quiet = monotonic + pace.note_quiet_s - self._around.quiet_s(note.path)
        patience_ends = max(waiting_since, last or 0.0) + IMPATIENCE_S
        moment = max(after_interval, min(after_quiet, patience_ends), self._not_before.get(note.path, 0.0))
        if moment > monotonic:
            self._queue.again_at(moment)
        return moment <= monotonic

    async def _write_note(
        self, task: str, note: NoteView, deliveries: Due, now: datetime, monotonic: float, *, is_quiet: bool
    ) -> None:
        """Write, and mark what is sure to stay: who never stops saving may overwrite it with an old copy at once."""
        runs = [run for _, run in deliveries]
        wanted = dict(self._wanted.get(task, {}))
        keys = {**keys_of(await self._store.last_run_of(task, started=True), note), **wanted}
        try:
            entries = [entry_of(run, note.zone) for run in runs]
            change = NoteChange(keys, entries, note.keep_runs, {note.asked_by} - {""}, note.taken)
            change.known = dict([self._places[note.path]]) if note.path in self._places else {}
            change.may_write = partial(self._around.knows, note.path) if is_quiet else at_any_time
            written = await self._pen.edit(note.path, change, monotonic)
            change.may_write = at_any_time
        except FileNotFoundError:
            self._queue.again_at(monotonic + GONE_AGAIN_S)  # the survey will tell whether it is gone
            return
        except JustEdited:
            self._queue.again_at(monotonic + SEEN_SOON_S)
            return
        except Exception as error:
            self._not_before[note.path] = monotonic + RETRY_AFTER.total_seconds()
            await self._queue.put_off([delivery for delivery, _ in deliveries], note.path, error, now)
            return
        self._forget_wish(task, note.path, wanted, monotonic)
        self._remember_places(note.path, change, written.after_hash)
        if entries:
            self._vigil.wrote(note.path, [run.id for run in runs], change.left, monotonic)
        sure = runs if is_quiet else [run for run in runs if run.id in change.stood]
        if len(sure) < len(runs):
            self._queue.poke()  # the others are written, and looked for the next time
        for run in sure:
            await self._store.mark_delivered(run.id, NOTE, now, base_hash=written.after_hash, count=run.count)

    def _remember_places(self, path: str, change: NoteChange, left: str) -> None:
        """Nothing is known of a note into which somebody's own text was merged, or of one that was made otherwise."""
        self._places.pop(path, None)
        if change.places is not None and change.made.digest == left:
            self._places[path] = (left, change.places)  # the newest stand last
        if len(self._places) > NOTES_KNOWN:
            del self._places[next(iter(self._places))]
        change.made = Hashed()  # the change is kept for a while, in case that it is to be laid over a late text

    def _forget_wish(self, task: str, path: str, wanted: Mapping[str, Value], monotonic: float) -> None:
        """The note is written, with these keys; what has been wanted meanwhile stays."""
        self._written_at[path] = monotonic
        self._waiting_since.pop(path, None)
        self._not_before.pop(path, None)
        if self._wanted.get(task) == wanted:
            self._wanted.pop(task, None)
