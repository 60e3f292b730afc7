"""Task notes read from their files, where nothing is kept of them: the only part of a command that loads the parser."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from vault_scheduler.errors import BadValue, NoteUnreadable
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parsed import ParseContext, Parsed
from vault_scheduler.parsing.parser import parse_task, task_id
from vault_scheduler.planning.known import internal_problem, nothing_declared
from vault_scheduler.task import Problem

if TYPE_CHECKING:
    from vault_scheduler.machine.place import Place


def read_note(
    place: Place, path: str, context: ParseContext, former: Collection[str]
) -> tuple[Mapping[str, object], Parsed]:
    """Its properties, and what they declare; nothing if it is gone. `former`: paths that the ledger knows as tasks."""
    try:
        data = place.vault.read(path)
    except NoteUnreadable as error:
        reason = str(error).removeprefix(f"{path}: ")
        return {}, Parsed(problems=(Problem(path=path, line=1, key="", message=reason, fix=error.fix),))
    if data is None:  # gone since the sweep
        return {}, Parsed()
    try:
        doc = Document.parse(data)
        parsed = parse_task(doc, path, context)
    except Exception as error:
        return {}, Parsed(problems=(internal_problem(path, error),))
    if path in former and not parsed.is_task_note:
        return doc.mapping, Parsed(problems=(nothing_declared(path),))
    return doc.mapping, parsed


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
