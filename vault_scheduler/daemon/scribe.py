"""The scribe: delivers finished runs from the ledger into notes, the daily log and output notes (rule 6).

Every target has its own mark in the ledger; a mark is set after the bytes are durable, and what is delivered twice
changes nothing, because the block id of the run is looked for first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.conversations import taken
from vault_scheduler.daemon.daily_notes import DayNotes
from vault_scheduler.daemon.log_writer import LogWriter
from vault_scheduler.daemon.output_writer import OutputWriter
from vault_scheduler.daemon.pen import Pace, Pen, Witness
from vault_scheduler.daemon.troubles import NO_LEDGER
from vault_scheduler.errors import VaultSchedError, internal
from vault_scheduler.ledger.store import DAILY_LOG, NOTE, OUTPUT, Delivery, Store
from vault_scheduler.notes.note import Document, set_keys
from vault_scheduler.notes.runs_section import RunEntry, insert_runs, run_ids
from vault_scheduler.parsing.values import spoken
from vault_scheduler.planning.vigil import FRESH_S, Vigil
from vault_scheduler.run import Run
from vault_scheduler.telling.summary import entry_of
from vault_scheduler.vault.vault import Vault

RUN_ENDS_SOON_S = 3.0
IMPATIENCE_S = 300.0
"""A note that is never left alone is written anyway, by compare and replace, at most this often."""
RETRY_AFTER = timedelta(seconds=60)
LONGEST_RETRY = timedelta(minutes=5)
"""A disk that has room again, a folder that may be written again: nobody tells of it."""
GONE_AGAIN_S = 1.0
SEEN_SOON_S = 1.0
FREQUENT = timedelta(minutes=5)
"""The `next_run` of a task that fires more often is set together with a result, never by a write of its own: it would
be wrong again before anybody has read it, and each write makes sync upload the note."""
NOTES_A_PASS = 25
"""After so many notes other things get their turn: starts do not wait for a thousand results."""
PROPERTIES_A_SECOND = 5

LOOKS_A_PASS = 200
RECALLED = 20
"""So many runs in a note are looked after for a former daemon: a section holds hardly more."""
OURS = ("last_run", "last_status", "next_run", "question")
WAITING = "waiting"
"""The `last_status` of a task whose run waits for the plan's limits."""
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
    elsewhere: bool = False  # another machine runs the task now, and the keys are that one's to write
    expects_run: bool = False  # a run of the task has not ended
    frequent: bool = False  # it fires again less than FREQUENT after `next_run`
    stands: Mapping[str, str | None] = field(default_factory=dict)  # the values of OURS that the note holds now
    talks: bool = False  # its runs can ask
    rests: bool = False  # a run waits for the plan's limits, for hours perhaps
    question: str = ""  # what waits for an answer, in one line
    asked_by: str = ""  # the run that asked
    taken: str = ""  # the mark of the answer that was taken from the note


class Surroundings(Witness, Protocol):
    """What the scribe needs to know of everything else."""

    def note(self, task: str) -> NoteView | None:
        """The task's note now; None if the task is gone."""

    def knows(self, path: str, data: bytes) -> bool:
        """Whether the note as it is now has been seen; if not, somebody has changed it just now."""


class _JustEdited(Exception):
    """Nobody has told us yet, but the note is not what it was when it was quiet."""


class Scribe:
    """Owns all that the daemon writes into the vault."""

    def __init__(self, *, vault: Vault, store: Store, surroundings: Surroundings) -> None:
        self._vault = vault
        self._store = store
        self._around = surroundings
        self._pen = self.pen = Pen(vault, surroundings)
        days = DayNotes(vault)
        self._log = LogWriter(vault, store, self._pen, days)
        self._output = OutputWriter(vault, store, self._pen, surroundings, days)
        self._vigil = Vigil()
        self._wanted: dict[str, dict[str, Value]] = {}  # task id → keys to set besides those of a run
        self._registered: dict[str, None] = {}  # tasks whose `next_run` may have changed, in order
        self._properties_at = float("-inf")
        self._written_at: dict[str, float] = {}  # path → awake second of our last write
        self._waiting_since: dict[str, float] = {}
        self._not_before: dict[str, float] = {}  # path that could not be written → awake second of the next try
        self._changed: set[str] = set()  # notes that somebody changed since the last pass
        self._runs: dict[str, Run] = {}  # of the deliveries that wait
        self._dirty = True
        self._next: float | None = None

    async def begin(self, now: datetime, monotonic: float) -> None:
        """What a former daemon delivered less than five minutes ago is looked after as if we had (rule 6)."""
        recalled: Counter[str] = Counter()
        for done in reversed(await self._store.delivered_since(now - timedelta(seconds=FRESH_S))):
            at = monotonic - max(0.0, (now - (done.done_at or now)).total_seconds())
            if done.target == DAILY_LOG:
                self._log.recall(done, at)
            elif done.target == OUTPUT:
                await self._output.recall(done, at)
            elif not done.detail and recalled[done.path] < RECALLED:  # else its note was gone
                recalled[done.path] += 1
                self._vigil.recall(done.path, done.run, at)
                self.changed([done.path])

    # what others ask for

    def poke(self) -> None:
        """There may be something new to deliver."""
        self._dirty = True

    def want(self, task: str, changes: Mapping[str, Value]) -> None:
        """Set these keys in the task's note at the next allowed write; None empties a key that is there."""
        self._wanted.setdefault(task, {}).update(changes)
        self._dirty = True

    def poke_note(self, task: str) -> None:
        """The task's note wants a write even if no run is to be delivered: `run_now` is to be unticked."""
        self.want(task, {})

    def registered(self, task: str) -> None:
        """The task may fire at another time than its note says."""
        self._registered[task] = None
        self._dirty = True

    def changed(self, paths: Iterable[str]) -> None:
        """Somebody else changed these notes: what was refused may work now, what we wrote may be gone."""
        self._changed.update(paths)
        self._dirty = self._dirty or bool(self._changed)

    async def write_settings(self, path: str, changes: Mapping[str, Value], monotonic: float) -> None:
        """Set keys of the settings note."""
        try:
            await self._pen.edit(path, lambda data: set_keys(data, changes), monotonic)
        except NO_LEDGER:
            raise
        except Exception as error:
            self._around.report(path, f"the settings note could not be written: {why(error)}", "")

    def log(self, block_id: str, text: str, local_time: str) -> None:
        """Put a line that is not about a run into today's log, once; `text` is harmless markdown."""
        self._log.add(block_id, text, local_time)

    def next_moment(self, monotonic: float) -> float | None:
        """The awake second at which there is something to do; None: nothing waits."""
        if self._dirty:
            return monotonic
        moments = (self._next, self._pen.next_moment(), self._log.next_moment(monotonic))
        return min((moment for moment in moments if moment is not None), default=None)

    # delivering

    async def deliver(self, pace: Pace, now: datetime, monotonic: float, *, hurry: bool = False) -> None:
        """Deliver what may be delivered now. `hurry`: the daemon stops, so the interval between writes is waived."""
        await self._pen.settle(now, monotonic)
        for writer in (self._log, self._output):
            if await writer.look_after(monotonic):
                self._dirty = True
        moment = self.next_moment(monotonic)
        if hurry or (moment is not None and moment <= monotonic):
            self._dirty, self._next = False, None
            try:
                await self._deliver_all(pace, now, monotonic, hurry)
            except BaseException:
                self._dirty = True  # what was not delivered is still pending in the ledger
                raise
        if hurry:
            await self._pen.settle(now, monotonic, hurry=True)

    async def _deliver_all(self, pace: Pace, now: datetime, monotonic: float, hurry: bool) -> None:
        changed, self._changed = self._changed, set()
        for path in changed:
            self._not_before.pop(path, None)
            await self._look_after(path, monotonic)
        by_target: dict[str, list[tuple[Delivery, Run]]] = defaultdict(list)
        pending = await self._store.pending_deliveries()
        waiting = {delivery.run for delivery in pending}
        self._runs = {name: run for name, run in self._runs.items() if name in waiting}
        for delivery in pending:
            if delivery.not_before is not None and delivery.path in changed:
                await self._store.defer_delivery(delivery.run, delivery.target, now, delivery.why)
            if delivery.not_before is None or delivery.not_before <= now or delivery.path in changed:
                by_target[delivery.target].append((delivery, await self._run_of(delivery)))
            else:
                self._again_at(monotonic + (delivery.not_before - now).total_seconds())
        for failure in await self._log.deliver(by_target[DAILY_LOG], pace, now, monotonic, hurry=hurry):
            await self._put_off(failure.deliveries, failure.path, why(failure.error), now)
        await self._deliver_outputs(by_target[OUTPUT], pace, now, monotonic, hurry)
        await self._take_registered(monotonic)
        await self._deliver_notes(by_target[NOTE], pace, now, monotonic, hurry)

    async def _deliver_outputs(
        self, deliveries: Sequence[tuple[Delivery, Run]], pace: Pace, now: datetime, monotonic: float, hurry: bool
    ) -> None:
        for delivery, run in deliveries:
            try:
                again = await self._output.deliver(run, pace, now, monotonic, hurry=hurry)
            except NO_LEDGER:
                raise
            except Exception as error:
                await self._put_off([delivery], run.path, why(error), now)
            else:
                if again is not None:
                    self._again_at(again)

    async def _run_of(self, delivery: Delivery) -> Run:
        """Its run, read once while it waits: an ended one changes no more, unless it is a range row or is renamed."""
        run = self._runs.get(delivery.run)
        if run is None or (run.task, run.path, run.count) != (delivery.task, delivery.path, delivery.count):
            run = await self._store.run(delivery.run)
            assert run is not None, "a delivery without its run"
            self._runs[run.id] = run
        return run

    def _again_at(self, monotonic: float) -> None:
        self._next = monotonic if self._next is None else min(self._next, monotonic)

    async def _put_off(self, deliveries: Sequence[Delivery], path: str, reason: str, now: datetime) -> None:
        for delivery in deliveries:
            later = now + min(RETRY_AFTER * 2 ** min(delivery.tries, 10), LONGEST_RETRY)
            await self._store.defer_delivery(delivery.run, delivery.target, later, reason)
        self._dirty = True  # the next pass reads from the ledger until when
        self._around.report(path, f"a result could not be written: {reason}", "It is kept and tried again.")

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

    # the tasks' notes

    async def _take_registered(self, monotonic: float) -> None:
        """A few tasks whose note tells its properties otherwise than they are; the others a second later."""
        if self._registered and monotonic < self._properties_at + 1.0:
            self._again_at(self._properties_at + 1.0)
            return
        wrong = looks = 0
        while self._registered and wrong < PROPERTIES_A_SECOND and looks < LOOKS_A_PASS:
            task = next(iter(self._registered))
            if await self._is_wrong(task):
                self._wanted.setdefault(task, {})
                wrong += 1
            looks += 1
            del self._registered[task]
        if wrong:
            self._properties_at = monotonic
        if self._registered:
            self._again_at(monotonic + 1.0 if wrong else monotonic)

    async def _is_wrong(self, task: str) -> bool:
        try:
            note = self._around.note(task)
        except Exception:
            return True  # told by the write that this leads to
        if note is None or note.frequent or note.elsewhere:
            return False
        keys = keys_of(await self._store.last_run_of(task, started=True), note)
        return any(keys.get(key) != note.stands.get(key) for key in OURS if key in keys)

    async def _deliver_notes(
        self, deliveries: Sequence[tuple[Delivery, Run]], pace: Pace, now: datetime, monotonic: float, hurry: bool
    ) -> None:
        by_task: dict[str, list[tuple[Delivery, Run]]] = defaultdict(list)
        for delivery, run in deliveries:
            by_task[run.task].append((delivery, run))
        written = 0
        for task in [*by_task, *(t for t in self._wanted if t not in by_task)]:
            if written >= NOTES_A_PASS and not hurry:
                self._dirty = True
                return
            mine = by_task.get(task, [])
            try:
                written += await self._deliver_note(task, mine, pace, now, monotonic, hurry)
            except NO_LEDGER:
                raise
            except Exception as error:
                self._wanted.pop(task, None)
                await self._put_off([each for each, _ in mine], mine[0][1].path if mine else task, why(error), now)

    async def _deliver_note(
        self,
        task: str,
        deliveries: Sequence[tuple[Delivery, Run]],
        pace: Pace,
        now: datetime,
        monotonic: float,
        hurry: bool,
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
            self._again_at(until)
        return monotonic < until

    async def _give_up(self, deliveries: Sequence[tuple[Delivery, Run]], now: datetime) -> None:
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
            self._again_at(moment)
        return moment <= monotonic

    async def _write_note(
        self,
        task: str,
        note: NoteView,
        deliveries: Sequence[tuple[Delivery, Run]],
        now: datetime,
        monotonic: float,
        *,
        is_quiet: bool,
    ) -> None:
        """Write, and mark what is sure to stay: who never stops saving may overwrite it with an old copy at once."""
        runs = [run for _, run in deliveries]
        wanted = dict(self._wanted.get(task, {}))
        keys = {**keys_of(await self._store.last_run_of(task, started=True), note), **wanted}
        try:
            entries = [entry_of(run, note.zone) for run in runs]
            change = _NoteChange(keys, entries, note.keep_runs, {note.asked_by} - {""}, note.taken)
            change.may_write = partial(self._around.knows, note.path) if is_quiet else _at_any_time
            written = await self._pen.edit(note.path, change, monotonic)
            change.may_write = _at_any_time
        except FileNotFoundError:
            self._again_at(monotonic + GONE_AGAIN_S)  # the survey will tell whether it is gone
            return
        except _JustEdited:
            self._again_at(monotonic + SEEN_SOON_S)
            return
        except Exception as error:
            self._not_before[note.path] = monotonic + RETRY_AFTER.total_seconds()
            await self._put_off([delivery for delivery, _ in deliveries], note.path, why(error), now)
            return
        self._written_at[note.path] = monotonic
        self._waiting_since.pop(note.path, None)
        self._not_before.pop(note.path, None)
        if self._wanted.get(task) == wanted:
            self._wanted.pop(task, None)
        sure = runs if is_quiet else [run for run in runs if run.id in change.stood]
        self._dirty = self._dirty or len(sure) < len(runs)  # the others are written, and looked for the next time
        if entries:
            self._vigil.wrote(note.path, [run.id for run in runs], change.left, monotonic)
        for run in sure:
            await self._store.mark_delivered(run.id, NOTE, now, base_hash=written.after_hash, count=run.count)


def _at_any_time(_: bytes) -> bool:
    return True


@dataclass(slots=True)
class _NoteChange:
    """Keys and runs for a task's note. It can be laid over the note again, over what others wrote late for example."""

    keys: Mapping[str, Value]
    entries: Sequence[RunEntry]
    keep_runs: int
    open_runs: set[str] = field(default_factory=set)  # their questions are open
    taken: str = ""  # the mark of the answer that was taken, and is cleared if it still stands
    may_write: Callable[[bytes], bool] = _at_any_time
    stood: set[str] = field(default_factory=set)  # the runs in the note before
    left: set[str] = field(default_factory=set)  # and after it

    def __call__(self, data: bytes) -> bytes:
        if not self.may_write(data):
            raise _JustEdited
        new = set_keys(data, worth_setting(data, self.keys, self.taken))
        if self.entries:
            new = insert_runs(new, self.entries, self.keep_runs, self.open_runs)
            self.stood, self.left = run_ids(data), run_ids(new)
        return new


def why(error: Exception) -> str:
    """What people are told of a delivery that failed."""
    expected = isinstance(error, VaultSchedError | OSError)
    return str(error) if expected else f"internal error: {internal(error)}; please report it"


def keys_of(last: Run | None, note: NoteView) -> dict[str, Value]:
    """The scheduler's own keys as they are to stand in the note; `last` is the task's last run that started."""
    keys: dict[str, Value] = {}
    if note.elsewhere:
        return keys
    if last is not None:
        keys["last_run"] = local_text(last.started_at or last.fire_time, note.zone)
        keys["last_status"] = last.outcome.value if last.outcome else None
    if note.rests:
        keys["last_status"] = WAITING
    keys["next_run"] = _next_run_text(note)
    if note.untick:
        keys["run_now"] = False
    if note.talks:
        keys["question"] = note.question or None
        keys["answer"] = None
    return keys


def worth_setting(data: bytes, keys: Mapping[str, Value], answered: str = "") -> dict[str, Value]:
    """Without the empty ones that the note does not have: a bare `question:` in every note helps nobody.

    Of answers only the one with this mark is cleared: what a person has typed since is theirs.
    """
    there = Document.parse(data).mapping
    worth = {key: value for key, value in keys.items() if value is not None or there.get(key) is not None}
    if "answer" in worth and (not answered or answered != taken(spoken(there["answer"]))):
        del worth["answer"]
    return worth


def _next_run_text(note: NoteView) -> str | None:
    return local_text(note.next_run, note.zone) if note.next_run else None


def local_text(moment: datetime, zone: ZoneInfo) -> str:
    """`2026-11-20T07:00:00`: local, without offset, as Obsidian's date-and-time properties are."""
    return moment.astimezone(zone).replace(tzinfo=None, microsecond=0).isoformat()
