"""Path → what the note there declares. One edit touches one task; notes that rival each other are judged here. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from vault_scheduler.planning.twins import Twins
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
    chain_problems: tuple[Problem, ...] = ()  # of its `after`, beside the other notes
    invalid_since: datetime | None = None
    rival_of: str = ""  # the note that holds this one's id already, or that this one is a copy of


@dataclass(frozen=True, slots=True)
class Copy:
    """What a note was found to be a copy of: the definition they shared, and the path of the original."""

    definition: str
    original: str


class Registry:
    """All notes below the tasks folder, by path and by task id.

    `copies`: what is remembered of copies from before. Once a copy, a copy until it is edited itself, also after the
    original was edited or renamed: else that edit would start the copy.
    """

    def __init__(self, copies: Mapping[str, Copy] | None = None) -> None:
        self.copies = dict(copies or {})
        self.revision = 0  # counts changes of what `problems` says
        self.chain_revision = 0  # counts changes of what chains are judged by: paths, ids, links, hosts
        self._entries: dict[str, Entry] = {}
        self._paths: dict[str, str] = {}  # task id → the path that holds it
        self._rivals: defaultdict[str, set[str]] = defaultdict(set)  # path → the notes that are its rivals
        self._twins = Twins()
        self._chained: set[str] = set()  # the paths of tasks with `after`
        self._faulty: dict[str, tuple[Problem, ...]] = {}

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

    @property
    def has_chains(self) -> bool:
        """Whether any task comes `after` another."""
        return bool(self._chained)

    def problems(self) -> list[Problem]:
        """Everything wrong, by path and line."""
        return sorted((p for found in self._faulty.values() for p in found), key=lambda p: (p.path, p.line))

    def put(self, path: str, task: Task | None, problems: tuple[Problem, ...], now: datetime) -> set[str]:
        """The note at `path` now says this. Returns the ids of the tasks that may stand differently now."""
        entry = self._entries.get(path)
        if entry is None:
            entry = self._entries[path] = Entry(path=path)
            self.chain_revision += 1
        if task is not None:
            rival = self._rival(task, entry)
            if rival:
                problems, task = (*problems, rival), None
        self._complain(entry, problems)
        if task is None:
            if entry.task is not None and entry.invalid_since is None:
                entry.invalid_since = now
            return {entry.task.id} if entry.task else set()
        return self._take(entry, task)

    def _complain(self, entry: Entry, problems: tuple[Problem, ...]) -> None:
        if entry.problems == problems:
            return
        entry.problems = problems
        self._list(entry)

    def complain_of_chain(self, task: str, problems: tuple[Problem, ...]) -> None:
        """This is wrong with the `after` of a task."""
        entry = self.holder(task)
        if entry is not None and entry.chain_problems != problems:
            entry.chain_problems = problems
            self._list(entry)

    def _list(self, entry: Entry) -> None:
        self.revision += 1
        if found := (*entry.problems, *entry.chain_problems):
            self._faulty[entry.path] = found
        else:
            self._faulty.pop(entry.path, None)

    def _take(self, entry: Entry, task: Task) -> set[str]:
        touched = {task.id}
        if entry.task is not None and entry.task.id != task.id:
            touched |= self._release(entry)
        if entry.task is None or _links(entry.task) != _links(task):
            self.chain_revision += 1
            (self._chained.add if task.after else self._chained.discard)(entry.path)
        self._pair(entry, task)
        entry.task, entry.invalid_since = task, None
        self._paths[task.id] = entry.path
        return touched

    def _pair(self, entry: Entry, task: Task | None) -> None:
        """List the note among those that say what `task` says; None: it is gone."""
        if base := _base(entry.path):
            if entry.task is not None:
                self._twins.discard(base, entry.task.definition, entry.path)
            if task is not None:
                self._twins.add(base, task.definition, entry.path)

    def _release(self, entry: Entry) -> set[str]:
        if entry.task is None:
            return set()
        if self._paths.get(entry.task.id) == entry.path:
            del self._paths[entry.task.id]
        return {entry.task.id}

    def switch(self, path: str, status: Status | None, paused_until: datetime | None, run_now: bool) -> set[str]:
        """Apply only the switches that hold a task back, and `run_now`: they count at once, and in an invalid note too.

        What lets a task go on (a status back to active, an earlier `paused_until`) counts with the rest of the edit.
        """
        entry = self._entries.get(path)
        if entry is None or entry.task is None:
            return set()
        before = entry.task
        if status is None or status is Status.ACTIVE:  # None is garbage (`faok`), which switches nothing
            status = before.status
        if paused_until is None or (before.paused_until is not None and paused_until < before.paused_until):
            paused_until = before.paused_until
        entry.task = replace(before, status=status, paused_until=paused_until, run_now=run_now)
        return {before.id} if entry.task != before else set()

    def remove(self, path: str) -> set[str]:
        """The note is gone. Returns the ids that may stand differently now."""
        entry = self._entries.pop(path, None)
        if entry is None:
            return set()
        if entry.problems or entry.chain_problems:
            entry.problems = entry.chain_problems = ()
            self._list(entry)
        self._chained.discard(path)
        self.chain_revision += 1
        self._reconcile(entry)
        self.copies.pop(path, None)
        self._pair(entry, None)
        return self._release(entry)

    def move(self, old: str, new: str) -> None:
        """The note was renamed: what was found to be its copy stays one."""
        self.copies = {
            path: replace(copy, original=new) if copy.original == old else copy for path, copy in self.copies.items()
        }

    def rivals_of(self, path: str) -> list[str]:
        """The notes that are problems because of the note at `path`: to be looked at again when it goes."""
        return sorted(self._rivals.get(path, ()))

    # rivals

    def _rival(self, task: Task, entry: Entry) -> Problem | None:
        """Why the note cannot be the task that it declares, beside the others."""
        self._reconcile(entry)
        holder = self._paths.get(task.id)
        if holder is not None and holder != entry.path:
            self._set_against(entry, holder)
            return Problem(
                path=entry.path,
                line=1,
                key="id",
                message=f"the id {task.id!r} belongs to {holder} already",
                fix="Give this note an `id` of its own, or delete one of the two.",
            )
        original = self._copied_from(task, entry)
        if not original:
            self.copies.pop(entry.path, None)
            return None
        self.copies[entry.path] = Copy(task.definition, original)
        self._set_against(entry, original)
        return Problem(
            path=entry.path,
            line=1,
            key="",
            message=f"this looks like a copy of {original}, and running both would do the work twice",
            fix="Delete one of the two, or change what this one does.",
        )

    def _copied_from(self, task: Task, entry: Entry) -> str:
        """The path of the note that does the same already and whose name this one's was made from, or the reverse."""
        known = self.copies.get(entry.path)
        if known is not None and known.definition == task.definition and known.original in self._entries:
            return known.original
        base = _base(entry.path)
        candidates = [base]
        if entry.task is None:  # a sync program may bring the copy before the original
            twins = self._twins.of(entry.path, task.definition) | self._twins.of(base, task.definition)
            candidates += sorted(twins - {entry.path})
        for path in candidates:
            other = self._entries.get(path)
            if other is not None and other.task is not None and other.task.definition == task.definition:
                return path
        return ""

    def _set_against(self, entry: Entry, holder: str) -> None:
        entry.rival_of = holder
        self._rivals[holder].add(entry.path)

    def _reconcile(self, entry: Entry) -> None:
        if entry.rival_of:
            self._rivals[entry.rival_of].discard(entry.path)
            if not self._rivals[entry.rival_of]:
                del self._rivals[entry.rival_of]
            entry.rival_of = ""


def _links(task: Task) -> tuple[object, ...]:
    """What it says about chains: as a parent, or as a child."""
    return task.id, task.after, task.host


@lru_cache(maxsize=16)  # asked more than once about one note
def _base(path: str) -> str:
    """The path that file managers and sync programs would have made this one from; "" if it is no copy's name."""
    if path.isascii() and path[-4] not in "0123456789)yY":  # most names, at the cost of one look
        return ""
    folder, slash, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    match = _COPY_NAME.match(stem)
    return f"{folder}{slash}{match['base']}{dot}{suffix}" if match else ""
