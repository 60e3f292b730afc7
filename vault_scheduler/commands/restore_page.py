"""What `restore` prints: what can be restored, what is kept of a task, and the difference that it makes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from vault_scheduler.commands.columns import table
from vault_scheduler.commands.moments import iso, long_local
from vault_scheduler.text.harmless import clean

if TYPE_CHECKING:
    from vault_scheduler.commands.restoring import Kept, Restorable, Restored
    from vault_scheduler.ledger.good_notes import GoodNote
    from vault_scheduler.machine.place import Place


def restorable_page(found: Sequence[Restorable], place: Place) -> list[str]:
    """`restore` without a name."""
    if not found:
        return ["Every task note says what it last said. `vault-sched restore --list TASK` shows what is kept of one."]
    zone = ZoneInfo(place.timezone)
    rows = [(each.name, each.state, f"kept {long_local(each.kept.kept_at, zone)}", each.path) for each in found]
    return [
        *table(rows, width=None),
        f"`vault-sched restore {found[0].name}` brings it back; with --dry-run it only shows how.",
    ]


def kept_page(name: str, kept: Sequence[Kept], place: Place) -> list[str]:
    """`restore --list TASK`."""
    if not kept:
        return [f"Nothing is kept of {name}."]
    zone = ZoneInfo(place.timezone)
    rows = [(str(each.number), long_local(each.note.kept_at, zone), _what(each)) for each in kept]
    return [*table(rows, width=None), f"`vault-sched restore {name} --number N` brings one back."]


def _what(kept: Kept) -> str:
    if kept.is_now:
        return "what the note says now"
    if kept.note.replaced:
        return "what a restoring replaced"
    return f"as of its own run {kept.note.run}" if kept.note.run else "good"


def restored_page(done: Restored, place: Place, *, only_shown: bool) -> list[str]:
    """`restore TASK`."""
    when = long_local(done.kept.kept_at, ZoneInfo(place.timezone))
    verb = "would say again" if only_shown else "says again"
    last = f"{done.path} {verb} what it said on {when}."
    if not only_shown and done.diff:
        last += f" What it said until now is kept, too: `vault-sched restore --list {done.name}`."
    return [*(clean(line) for line in done.diff), last]


def restorable_shape(found: Sequence[Restorable], place: Place) -> list[dict[str, Any]]:
    """`restore --json`."""
    return [{"task": each.name, "path": each.path, "state": each.state, **_shape(each.kept, place)} for each in found]


def kept_shape(kept: Sequence[Kept], place: Place) -> list[dict[str, Any]]:
    """`restore --list TASK --json`."""
    return [
        {"number": each.number, **_shape(each.note, place), "replaced": each.note.replaced, "is_now": each.is_now}
        for each in kept
    ]


def _shape(note: GoodNote, place: Place) -> dict[str, Any]:
    return {"kept_at": iso(note.kept_at, ZoneInfo(place.timezone)), "run": note.run or None}
