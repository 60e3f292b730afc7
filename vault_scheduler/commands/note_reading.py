"""Task notes read from their files, where nothing is kept of them: the only part of a command that loads the parser."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from vault_scheduler.errors import BadValue, NoteUnreadable
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parsed import ParseContext, Parsed
from vault_scheduler.parsing.parser import parse_task, task_id
from vault_scheduler.planning.known import RESTORE_OR_DELETE, internal_problem
from vault_scheduler.task import Problem

if TYPE_CHECKING:
    from vault_scheduler.machine.place import Place

_NO_PROPERTIES = "this note was a task, and now it has no properties"


def read_note(
    place: Place, path: str, context: ParseContext, former: Collection[str]
) -> tuple[Mapping[str, object], Parsed]:
    """Its properties, and what they declare; nothing if it is gone. `former`: paths that the ledger knows as tasks."""
    try:
        data = place.vault.read(path)
    except NoteUnreadable as error:
        reason = str(error).removeprefix(f"{path}: ")
        return {}, _problem(path, reason, error.fix)
    if data is None:  # gone since the sweep
        return {}, Parsed()
    try:
        doc = Document.parse(data)
        parsed = parse_task(doc, path, context)
    except Exception as error:
        return {}, Parsed(problems=(internal_problem(path, error),))
    if path in former and not parsed.is_task_note:
        return doc.mapping, _problem(path, _NO_PROPERTIES, RESTORE_OR_DELETE)
    return doc.mapping, parsed


def _problem(path: str, message: str, fix: str) -> Parsed:
    return Parsed(problems=(Problem(path=path, line=1, key="", message=message, fix=fix),))


def name_of(path: str, mapping: Mapping[str, object], context: ParseContext) -> str:
    """What the task of an invalid note would be called; "" if its `id` is what is wrong."""
    try:
        return task_id(path, mapping, context.tasks_folder)
    except BadValue:
        return ""


def line_of(place: Place, path: str, key: str) -> int:
    """The line of a key in the note as it is now; 1 if the note is gone."""
    data = place.vault.read(path)
    return Document.parse(data).line_of_key(key) if data is not None else 1
