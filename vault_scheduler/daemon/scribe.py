"""The scribe: delivers finished runs from the ledger into notes, the daily log and output notes (rule 6).

Every target has its own mark in the ledger; a mark is set after the bytes are durable, and what is delivered twice
changes nothing, because the block id of the run is looked for first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from vault_scheduler.daemon.daily_notes import DayNotes
from vault_scheduler.daemon.deliveries import Deliveries, Due
from vault_scheduler.daemon.log_writer import LogWriter
from vault_scheduler.daemon.note_change import Value
from vault_scheduler.daemon.note_writer import NoteWriter, Surroundings
from vault_scheduler.daemon.output_writer import OutputWriter
from vault_scheduler.daemon.pen import Pace, Pen
from vault_scheduler.daemon.troubles import NO_LEDGER
from vault_scheduler.errors import why
from vault_scheduler.ledger.store import DAILY_LOG, NOTE, OUTPUT, Store
from vault_scheduler.notes.note import set_keys
from vault_scheduler.planning.vigil import FRESH_S
from vault_scheduler.vault.vault import Vault

RECALLED = 20
"""So many runs in a note are looked after for a former daemon: a section holds hardly more."""


class Scribe:
    """Owns all that the daemon writes into the vault."""

    def __init__(self, *, vault: Vault, store: Store, surroundings: Surroundings) -> None:
        self._store = store
        self._around = surroundings
        self._pen = self.pen = Pen(vault, surroundings)
        days = DayNotes(vault)
        self._log = LogWriter(vault, store, self._pen, days)
        self._output = OutputWriter(vault, store, self._pen, surroundings, days)
        self._queue = Deliveries(store, surroundings.report)
        self._notes = NoteWriter(vault, store, self._pen, surroundings, self._queue)
        self._changed: set[str] = set()  # notes that somebody changed since the last pass

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
                self._notes.recall(done.path, done.run, at)
                self.changed([done.path])

    # what others ask for

    def poke(self) -> None:
        """There may be something new to deliver."""
        self._queue.poke()

    def want(self, task: str, changes: Mapping[str, Value]) -> None:
        """Set these keys in the task's note at the next allowed write; None empties a key that is there."""
        self._notes.want(task, changes)

    def poke_note(self, task: str) -> None:
        """The task's note wants a write even if no run is to be delivered: `run_now` is to be unticked."""
        self._notes.want(task, {})

    def registered(self, task: str) -> None:
        """The task may fire at another time than its note says."""
        self._notes.registered(task)

    def changed(self, paths: Iterable[str]) -> None:
        """Somebody else changed these notes: what was refused may work now, what we wrote may be gone."""
        self._changed.update(paths)
        if self._changed:
            self._queue.poke()

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
        moments = (self._queue.next_moment(monotonic), self._pen.next_moment(), self._log.next_moment(monotonic))
        return min((moment for moment in moments if moment is not None), default=None)

    # delivering

    async def deliver(self, pace: Pace, now: datetime, monotonic: float, *, hurry: bool = False) -> None:
        """Deliver what may be delivered now. `hurry`: the daemon stops, so the interval between writes is waived."""
        await self._pen.settle(now, monotonic)
        for writer in (self._log, self._output):
            if await writer.look_after(monotonic):
                self._queue.poke()
        moment = self.next_moment(monotonic)
        if hurry or (moment is not None and moment <= monotonic):
            self._queue.begin_pass()
            try:
                await self._deliver_all(pace, now, monotonic, hurry)
            except BaseException:
                self._queue.poke()  # what was not delivered is still pending in the ledger
                raise
        if hurry:
            await self._pen.settle(now, monotonic, hurry=True)

    async def _deliver_all(self, pace: Pace, now: datetime, monotonic: float, hurry: bool) -> None:
        changed, self._changed = self._changed, set()
        for path in changed:
            await self._notes.changed(path, monotonic)
        due = await self._queue.due(changed, now, monotonic)
        for failure in await self._log.deliver(due[DAILY_LOG], pace, now, monotonic, hurry=hurry):
            await self._queue.put_off(failure.deliveries, failure.path, failure.error, now)
        await self._deliver_outputs(due[OUTPUT], pace, now, monotonic, hurry)
        await self._notes.take_registered(monotonic)
        await self._notes.deliver(due[NOTE], pace, now, monotonic, hurry=hurry)

    async def _deliver_outputs(self, deliveries: Due, pace: Pace, now: datetime, monotonic: float, hurry: bool) -> None:
        for delivery, run in deliveries:
            try:
                again = await self._output.deliver(run, pace, now, monotonic, hurry=hurry)
            except NO_LEDGER:
                raise
            except Exception as error:
                await self._queue.put_off([delivery], run.path, error, now)
            else:
                if again is not None:
                    self._queue.again_at(again)
