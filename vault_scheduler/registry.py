"""Path → what the note there declares. One edit touches one task; notes that rival each other are judged here. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath

from vault_scheduler.task import Problem, Status, Task

_COPY_NAME = re.compile(r"^(?P<base>.+?)(?: \d+| \(\d+\)| copy(?: \d+)?| - [Cc]opy(?: \(\d+\))?)$")


@dataclass(slots=True, kw_only=True)
class Entry:
    """One note below the tasks folder.

    `task` is the definition in force: of the note as it stands, or the last good one while the note is invalid
    (`invalid_since` tells). None: the note never was a valid task.
    """

    path: str
    task: Task | None = None
    problems: tuple[Problem, ...] = ()
    invalid_since: datetime | None = None
    rival_of: str = ""  # the note that holds this one's id already, or that this one is a copy of
    copied_definition: str = ""


class Registry:
    """All notes below the tasks folder, by path and by task id."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._paths: dict[str, str] = {}  # task id → the path that holds it

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def paths(self) -> set[str]:
        """The paths of all notes known."""
        return set(self._entries)

    def entry(self, path: str) -> Entry | None:
        """The note at `path`."""
        return self._entries.get(path)

    def holder(self, task: str) -> Entry | None:
        """The note that holds this task id."""
        path = self._paths.get(task)
        return self._entries[path] if path is not None else None

    def ids(self) -> list[str]:
        """The ids of all tasks in force or last good."""
        return list(self._paths)

    def problems(self) -> list[Problem]:
        """Everything wrong, by path and line."""
        return sorted((p for e in self._entries.values() for p in e.problems), key=lambda p: (p.path, p.line))

    def put(self, path: str, task: Task | None, problems: tuple[Problem, ...], now: datetime) -> set[str]:
        """The note at `path` now says this. Returns the ids of the tasks that may stand differently now."""
        entry = self._entries.setdefault(path, Entry(path=path))
        if task is not None:
            rival = self._rival(path, task, entry)
            if rival:
                problems, task = (*problems, rival), None
        entry.problems = problems
        if task is None:
            if entry.task is not None and entry.invalid_since is None:
                entry.invalid_since = now
            return {entry.task.id} if entry.task else set()
        return self._take(entry, task)

    def _take(self, entry: Entry, task: Task) -> set[str]:
        touched = {task.id}
        if entry.task is not None and entry.task.id != task.id:
            touched |= self._release(entry)
        entry.task, entry.invalid_since = task, None
        self._paths[task.id] = entry.path
        return touched

    def _release(self, entry: Entry) -> set[str]:
        if entry.task is None:
            return set()
        if self._paths.get(entry.task.id) == entry.path:
            del self._paths[entry.task.id]
        return {entry.task.id}

    def switch(self, path: str, status: Status | None, paused_until: datetime | None, run_now: bool) -> set[str]:
        """Apply only the switches: they count at once, and also where the rest of the note is invalid."""
        entry = self._entries.get(path)
        if entry is None or entry.task is None:
            return set()
        status = status or entry.task.status  # garbage (`faok`) switches nothing
        switched = replace(entry.task, status=status, paused_until=paused_until, run_now=run_now)
        if switched == entry.task:
            return set()
        entry.task = switched
        return {switched.id}

    def remove(self, path: str) -> set[str]:
        """The note is gone. Returns the ids that may stand differently now."""
        entry = self._entries.pop(path, None)
        return self._release(entry) if entry else set()

    def rivals_of(self, path: str) -> list[str]:
        """The notes that are problems because of the note at `path`: to be looked at again when it goes."""
        return [entry.path for entry in self._entries.values() if entry.rival_of == path]

    def _rival(self, path: str, task: Task, entry: Entry) -> Problem | None:
        entry.rival_of = ""
        holder = self._paths.get(task.id)
        if holder is not None and holder != path:
            entry.rival_of = holder
            return Problem(
                path=path,
                line=1,
                key="id",
                message=f"the id {task.id!r} belongs to {holder} already",
                fix="Give this note an `id` of its own, or delete one of the two.",
            )
        original = self._original(path)
        if original is None or original.task is None:
            return None
        # Once a copy, a copy until it is edited itself: else editing the original would start the copy.
        if task.definition not in (original.task.definition, entry.copied_definition):
            return None
        entry.copied_definition = task.definition
        entry.rival_of = original.path
        return Problem(
            path=path,
            line=1,
            key="",
            message=f"this looks like a copy of {original.path}, and running both would do the work twice",
            fix="Delete one of the two, or change what this one does.",
        )

    def _original(self, path: str) -> Entry | None:
        note = PurePosixPath(path)
        match = _COPY_NAME.match(note.stem)
        return self._entries.get(str(note.with_name(match["base"] + note.suffix))) if match else None
