"""Writes what a run brought back into the `output` of its task (rule 6)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.daily_notes import LOOK_S, DayNotes
from vault_scheduler.daemon.lookout import Lookout
from vault_scheduler.daemon.pen import Pace, Pen, Witness
from vault_scheduler.errors import NoteRefused
from vault_scheduler.ledger.store import OUTPUT, Delivery, Store
from vault_scheduler.parsing.output_path import DAILY_NOTE, check_output_path
from vault_scheduler.run import Run
from vault_scheduler.telling import output_note
from vault_scheduler.telling.summary import output_text, title_of
from vault_scheduler.vault.vault import Vault, Written


class OutputWriter:
    """Owns the notes that hold nothing but results, and the results below other notes' headings."""

    def __init__(self, vault: Vault, store: Store, pen: Pen, witness: Witness, days: DayNotes) -> None:
        self._vault = vault
        self._store = store
        self._pen = pen
        self._witness = witness
        self._days = days
        self._lookout = Lookout(vault, store, OUTPUT, output_note.block_ids)

    async def look_after(self, monotonic: float) -> bool:
        """Whether results below a heading that somebody's old copy of the note overwrote are pending again."""
        return await self._lookout.look(monotonic)

    async def recall(self, done: Delivery, at: float) -> None:
        """Look after a result that a former daemon wrote below a heading at that awake second."""
        run = await self._store.run(done.run)
        place = await self._place_of(run) if run is not None else None
        if place is not None and place.heading and not _is_sibling(done.detail, run):
            self._lookout.recall(done.detail or place.path, done.run, at)

    async def deliver(
        self, run: Run, pace: Pace, now: datetime, monotonic: float, *, hurry: bool = False
    ) -> float | None:
        """Put the result where the definition that ran says, also if its note is gone by now.

        Returns the awake second at which to try again where that is a daily note that cannot be written to yet.
        Raises BadValue, ValueError for a place that cannot be written to, and what `Vault.edit` raises.
        """
        place = await self._place_of(run)
        if place is None:
            await self._store.mark_delivered(run.id, OUTPUT, now, detail="no output")
            return None
        if place.path == DAILY_NOTE:
            return await self._deliver_to_day(place.heading, run, pace, now, monotonic, hurry=hurry)
        check_output_path(place.path, system_folder=self._vault.system_folder)
        written = await self._put(place, run, monotonic)
        if written.path != place.path:
            fix = f"The new text is in {written.path}."
            self._witness.report(run.path, f"{place.path} was changed by somebody, so it was not replaced", fix)
        await self._delivered(run, written, now)
        return None

    async def _deliver_to_day(
        self, heading: str, run: Run, pace: Pace, now: datetime, monotonic: float, *, hurry: bool
    ) -> float | None:
        """Below the heading in the daily note of the fire time's day in the vault's zone.

        A note that is not there is made if it is plain what Obsidian would make; else the result waits for it until
        the day is over, and then stands beside its place.
        """
        local = now.astimezone(pace.zone)
        day = run.fire_time.astimezone(pace.zone).date()
        place = output_note.Place(path=self._days.path(day), heading=heading)
        is_there = self._days.is_there(place.path)
        new = b"" if is_there else self._days.new(day, local)
        if new is not None:
            moment = self._days.may_write_at(place.path, pace, now, monotonic, hurry=hurry)
            if moment > monotonic:
                return moment
            block = output_note.daily_block_id(run.id)
            written = await self._append(place, output_text(run), run.id, monotonic, block=block, new=new)
            self._days.wrote(place.path, monotonic)
        elif day >= local.date():
            return monotonic + LOOK_S
        else:
            written = await self._put_beside(place.path, run, output_text(run), monotonic)
            fix = f"The result is in {written.path}."
            self._witness.report(run.path, f"there was no daily note {place.path} until the day was over", fix)
        await self._delivered(run, written, now)
        return None

    async def _delivered(self, run: Run, written: Written, now: datetime) -> None:
        await self._store.set_note_state(written.path, written.after_hash, now)
        await self._store.mark_delivered(run.id, OUTPUT, now, base_hash=written.after_hash, detail=written.path)

    async def _place_of(self, run: Run) -> output_note.Place | None:
        snapshot: dict[str, Any] = json.loads(await self._store.snapshot(run.snapshot) or "{}")
        template = snapshot.get("output") or ""
        if not template:
            return None
        local = run.fire_time.astimezone(ZoneInfo(snapshot["timezone"]))
        return output_note.place_of(template, local=local, title=title_of(run.path))

    async def _put(self, place: output_note.Place, run: Run, monotonic: float) -> Written:
        text = output_text(run)
        if place.heading:
            return await self._append(place, text, run.id, monotonic)
        state = await self._store.note_state(place.path)
        ours = state.base_hash if state else ""
        new = text.rstrip().encode("utf-8", "replace") + b"\n"

        def replace_ours(data: bytes) -> bytes:
            if data == new or output_note.is_ours(data, ours):
                return new
            raise NoteRefused("somebody changed it")

        try:
            return await self._pen.edit_or_create(place.path, replace_ours, monotonic)
        except NoteRefused:
            return await self._put_beside(place.path, run, text, monotonic)

    async def _put_beside(self, path: str, run: Run, text: str, monotonic: float) -> Written:
        new = text.rstrip().encode("utf-8", "replace") + b"\n"
        sibling = output_note.sibling(path, run.fire_time, run.id)
        return await self._pen.edit_or_create(sibling, lambda _: new, monotonic)

    async def _append(
        self, place: output_note.Place, text: str, run: str, monotonic: float, *, block: str = "", new: bytes = b""
    ) -> Written:
        last = b""

        def change(data: bytes) -> bytes:
            nonlocal last
            last = output_note.append_below(data, place.heading, text, block or run)
            return last

        written = await self._pen.edit_or_create(place.path, change, monotonic, new)
        self._lookout.wrote(place.path, [run], last, monotonic)
        return written


def _is_sibling(path: str, run: Run | None) -> bool:
    """Whether a result stands beside its place, in a note without block ids."""
    return run is not None and path.endswith(f" {run.id[-6:]}.md")
