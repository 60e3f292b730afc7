"""`restore`: what task notes last said, from before a run or a slip changed, broke or removed them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff

from vault_scheduler.commands.catalogue import Catalogue, Item
from vault_scheduler.errors import NoteUnreadable, Refused, TaskNotFound
from vault_scheduler.ledger.good_notes import GoodNote, GoodNotes
from vault_scheduler.machine.place import Place
from vault_scheduler.notes.restoring import restored

GONE = "gone"
INVALID = "invalid"
CHANGED = "changed by its own run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restorable:
    """A task whose note does not say what it last said when all was well; `kept` is what it said."""

    name: str
    path: str
    state: str  # gone · invalid · changed by its own run
    kept: GoodNote


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One text that is kept of a task; `number` counts from 1, the newest."""

    number: int
    note: GoodNote
    is_now: bool  # the note says this now


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A note that was restored, or would be: the lines of the difference."""

    name: str
    path: str
    kept: GoodNote
    diff: tuple[str, ...]


def restorable(place: Place, catalogue: Catalogue) -> list[Restorable]:
    """The tasks that need it: their notes are gone, invalid, or were changed while their own run was alive."""
    with _opened(place) as notes:
        found = []
        items = {item.path: item for item in catalogue.items}
        for name, newest in sorted(notes.newest().items()):
            item = items.get(newest.path)
            state = _state(place, newest, item)
            kept = _before(notes.versions(name), item) if state else None
            if kept is not None:
                found.append(Restorable(name=name, path=newest.path, state=state, kept=kept))
        return found


def _state(place: Place, newest: GoodNote, item: Item | None) -> str:
    """What is to be restored, "" for nothing."""
    if item is None:
        return GONE if place.vault.stamp(newest.path) is None else INVALID
    if item.task is None:
        return INVALID
    return CHANGED if newest.run and item.task.definition == newest.definition else ""


def versions(place: Place, catalogue: Catalogue, name: str) -> tuple[str, list[Kept]]:
    """The task's id and all that is kept of it, newest first. Raises TaskNotFound."""
    with _opened(place) as notes:
        task, item = _find(catalogue, notes, name)
        said = item.task.definition if item is not None and item.task is not None else ""
        kept = notes.versions(task)
        return task, [
            Kept(number=number, note=note, is_now=not note.replaced and note.definition == said)
            for number, note in enumerate(kept, 1)
        ]


def restore(place: Place, catalogue: Catalogue, name: str, number: int | None, *, only_show: bool) -> Restored:
    """Write what the note said back; what stands there now is kept, too. Runs in the note stay.

    Raises TaskNotFound, Refused if nothing else is kept, NoteUnreadable, NoteChanged.
    """
    place.make_state()
    with _opened(place) as notes:
        task, item = _find(catalogue, notes, name)
        kept = _chosen(notes.versions(task), item, number, task)
        path = item.path if item is not None else kept.path
        now = place.vault.read(path)
        if now is not None and not only_show:
            notes.keep([_replaced(place, kept, path, now)])
        before, after = _write(place, path, kept, only_show=only_show)
        return Restored(name=task, path=path, kept=kept, diff=_diff(path, before, after))


def _opened(place: Place) -> _Open:
    return _Open(place)


class _Open:
    """The kept notes for the time of a command."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> GoodNotes:
        if not self._place.good_notes_path.exists():
            raise Refused("nothing is kept yet: the daemon keeps what task notes say as it reads them")
        self._notes = GoodNotes.open(self._place.good_notes_path, serving=False)
        return self._notes

    def __exit__(self, *_: object) -> None:
        self._notes.close()


def _find(catalogue: Catalogue, notes: GoodNotes, name: str) -> tuple[str, Item | None]:
    """The id under which a task is kept, and its note. A note that is gone, or says nothing, is found by its path."""
    newest = notes.newest()
    by_path = {note.path: task for task, note in newest.items()}
    try:
        item = catalogue.find(name, newest)
    except TaskNotFound:
        known = next((task for task, note in newest.items() if name in (task, note.path)), None)
        if known is None:
            raise
        path = newest[known].path
        return known, next((item for item in catalogue.items if item.path == path), None)
    return (item.name if item.name in newest else by_path.get(item.path, item.name)), item


def _before(kept: Sequence[GoodNote], item: Item | None) -> GoodNote | None:
    """The newest good text that says something else than the note does now."""
    said = item.task.definition if item is not None and item.task is not None else None
    return next((note for note in kept if not note.replaced and note.definition != said), None)


def _chosen(kept: Sequence[GoodNote], item: Item | None, number: int | None, task: str) -> GoodNote:
    if number is not None:
        if not 1 <= number <= len(kept):
            raise Refused(f"{len(kept)} texts of {task} are kept; `vault-sched restore --list {task}` shows them")
        return kept[number - 1]
    found = _before(kept, item)
    if found is None:
        raise Refused(f"nothing is kept of {task} that it does not say already")
    return found


def _replaced(place: Place, kept: GoodNote, path: str, data: bytes) -> GoodNote:
    digest = hashlib.sha256(data).hexdigest()[:16]
    return GoodNote(task=kept.task, path=path, definition=digest, kept_at=place.clock.now(), replaced=True, data=data)


def _write(place: Place, path: str, kept: GoodNote, *, only_show: bool) -> tuple[bytes, bytes]:
    """The note before and after."""
    seen: list[bytes] = [b""]

    def change(data: bytes) -> bytes:
        seen[0] = data
        return kept.data if kept.replaced else restored(kept.data, data)

    data = place.vault.read(path)
    if only_show:
        return data or b"", change(data or b"")
    if data is None:
        after = change(b"")
        place.vault.create(path, after)
        return b"", after
    try:
        place.vault.edit(path, change)
    except FileNotFoundError:
        raise NoteUnreadable(path, "it was removed just now") from None
    return seen[0], change(seen[0])


def _diff(path: str, before: bytes, after: bytes) -> tuple[str, ...]:
    old, new = (data.decode("utf-8", "replace").split("\n") for data in (before, after))
    return tuple(unified_diff(old, new, f"{path} (now)", f"{path} (restored)", lineterm="", n=2))
