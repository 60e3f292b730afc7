"""What the task notes declare, as believed: definitions in force, and edits that wait to be left alone (rule 3.4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.keeping import Keeping, Known
from vault_scheduler.daemon.note_change import OURS
from vault_scheduler.daemon.readings import Reading, Readings
from vault_scheduler.daemon.settings_watch import SettingsWatch
from vault_scheduler.errors import BadValue, LedgerCorrupt, LedgerUnavailable
from vault_scheduler.ledger.rows import mark_of
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.action_fields import CallableCheck
from vault_scheduler.parsing.parser import ParseContext, Parsed, Switches, parse_task, rebuild, source_of
from vault_scheduler.parsing.plain import source_text
from vault_scheduler.parsing.values import local_datetime
from vault_scheduler.planning.departures import Departure, Departures
from vault_scheduler.planning.known import Edit, Former, Seen, Watched, internal_problem, nothing_declared
from vault_scheduler.planning.own_times import last_run
from vault_scheduler.planning.registry import Copy, Registry
from vault_scheduler.task import Problem, Status, Task

TOLD = (*OURS, "status", "status_reason")
"""The keys whose values are known of every note."""
_ENCODER = json.JSONEncoder(default=str)


class TaskNotes:
    """Owns the registry. `former` is what the ledger remembers; `callable_check` judges what `call` names.

    `stored_source` gives the JSON of the last good definition that the ledger has of a task. Raises LedgerUnavailable.
    """

    def __init__(
        self,
        readings: Readings,
        settings: SettingsWatch,
        keeping: Keeping,
        former: Mapping[str, Former],
        *,
        stored_source: Callable[[str], str],
        system_folder: str,
        callable_check: CallableCheck | None,
    ) -> None:
        self.registry = Registry()
        self._readings = readings
        self._keeping = keeping
        self._settings = settings
        self._former = dict(former)  # until the note has been read as a task
        self._stored_source = stored_source
        self._system_folder = system_folder
        self._callable_check = callable_check
        self._watched: dict[str, Watched] = {}
        self._edited: set[str] = set()  # the task notes whose `edit` is set
        self._asked: set[str] = set()  # the tasks whose edits count at once, because a person asks for them
        self._departures = Departures()

    # what others ask

    @property
    def former_paths(self) -> list[str]:
        """The notes that the ledger knows and nobody has seen go."""
        return list(self._former)

    @property
    def misses_former(self) -> bool:
        """Whether notes that the ledger knows have not been read since this daemon started."""
        return any(path in self._former and path not in self._watched for path in self._readings.waiting())

    @property
    def unsettled(self) -> bool:
        """Whether any edit is waiting to be left alone."""
        return bool(self._edited)

    def settled(self, path: str) -> bool:
        """Whether no edit of the note is waiting to be left alone."""
        return path not in self._edited

    def changed_at(self, path: str) -> float | None:
        """The awake second of the last change of the note that was not ours; None if it is not known."""
        watched = self._watched.get(path)
        return watched.changed_at if watched else None

    def read_at(self, path: str) -> float | None:
        """The awake second at which what the note says was first read; None if it is not known."""
        watched = self._watched.get(path)
        return watched.read_at if watched else None

    def was_task(self, path: str) -> bool:
        """Whether the last thing known of the note was a task."""
        entry = self.registry.entry(path)
        return path in self._former or (entry is not None and entry.task is not None)

    def value(self, path: str, key: str) -> str | None:
        """The text that a key of TOLD has in the note as last believed; None if it has none."""
        watched = self._watched.get(path)
        told = (watched.edit.told if watched.edit else watched.told) if watched else ""
        if not told or f'"{key}"' not in told:
            return None
        value = json.loads(told).get(key)
        return str(value) if value is not None and value != "" else None

    def rebuilt(self, source: str, path: str) -> Task | None:
        """The task that a stored definition (JSON) declares; None if it declares none today."""
        return rebuild(json.loads(source), path, self._context(check=False)).task if source else None

    def last_run(self, task: Task, now: datetime) -> datetime | None:
        """What the note's own `last_run` tells, in UTC. None if it tells nothing, or of a time to come."""
        watched = self._watched.get(task.path)
        local = _local(watched.last_run) if watched else None
        if local is None:
            return None
        zones = [ZoneInfo(name) for name in dict.fromkeys([self._settings.timezone, task.timezone])]
        return last_run(local, _local(self.value(task.path, "next_run")), zones, task.schedule, now)

    def fresh_source(self, path: str) -> str:
        """The JSON source of the definition in force, to be stored as the last good one; "" if it is stored already."""
        watched = self._watched.get(path)
        return watched.source if watched else ""

    def has_taken_source(self, path: str) -> None:
        """What `fresh_source` said is on its way into the ledger."""
        if path in self._watched:
            self._watched[path].source = ""

    # what others tell

    def remember_copies(self, copies: Mapping[str, Copy]) -> None:
        """What a former daemon found to be copies of other notes."""
        self.registry.copies = dict(copies)

    def pause(self, task: Task) -> set[str]:
        """The scheduler pauses a task, before it can write so into the note; the ids that stand differently."""
        return self.registry.switch(task.path, Status.PAUSED, task.paused_until, task.run_now)

    def ask_for(self, task: str) -> bool:
        """A person asks for this task by name: what its note says now counts. True while that is still being read.

        Half-typed edits wait so that nothing runs unasked; who types the command has finished typing the note.
        """
        self._asked.add(task)
        holder = self.registry.holder(task)
        if any(self._is_asked(path) for path in self._edited) or (holder and self._readings.waits(holder.path)):
            return True
        self._asked.discard(task)
        return False

    def _is_asked(self, path: str) -> bool:
        watched = self._watched.get(path)
        task = watched.edit.parsed.task if watched is not None and watched.edit is not None else None
        return task is not None and task.id in self._asked

    @property
    def context(self) -> str:
        """What notes mean by now besides what they say; see `ParseContext.key`."""
        return self._context().key

    def judge_all_anew(self) -> None:
        """Local times are other instants now."""
        self._readings.judge_anew(list(self._watched))

    def forget_departed(self, monotonic: float) -> None:
        """Notes that went some time ago do not come back under another name."""
        self._departures.forget(monotonic)

    # looking

    def next_look(self) -> float:
        """The awake second at which an edit counts; infinite if none waits."""
        misses_former = self.misses_former  # until it is seen, a new note may be a renamed one
        looks = [self._counts_at(path) for path in self._edited if not (misses_former and self._is_new(path))]
        return min(looks, default=float("inf"))

    def _counts_at(self, path: str) -> float:
        """The awake second from which an edit counts."""
        is_asked = bool(self._asked) and self._is_asked(path)
        return self._watched[path].changed_at + (0.0 if is_asked else self._settings.quiet_s)

    def take(self, believed: Iterable[tuple[str, Reading]], now: datetime, monotonic: float, seen: Seen) -> None:
        """These notes are like this now, or gone; edits wait until they have been left alone."""
        for path, reading in believed:
            if reading.data is None:
                self._depart(path, monotonic, seen)
            else:
                self._take_note(path, reading, reading.data, now, monotonic, seen)
        if self._departures:
            self._recognise(now, seen)

    def unreadable(self, problem: Problem, now: datetime, seen: Seen) -> None:
        """The note cannot be read: its last good definition stays."""
        self._stand_as_before(problem.path, now, seen)
        seen.touched |= self.registry.put(problem.path, None, (problem,), now)

    def _watch(self, path: str, reading: Reading, now: datetime, monotonic: float) -> tuple[Watched, bool]:
        """Remember when the file was changed; whether it was, by somebody else than us."""
        watched = self._watched.get(path)
        before = watched.changed_at if watched else None
        changed_at = self._readings.changed_at(path, reading, before, now, monotonic)
        if watched is None:
            watched = self._watched[path] = Watched(changed_at=changed_at, read_at=reading.since)
            return watched, True
        watched.changed_at = changed_at
        if reading.is_edit:
            watched.read_at = reading.since
        return watched, reading.is_edit

    def _take_note(self, path: str, reading: Reading, data: bytes, now: datetime, monotonic: float, seen: Seen) -> None:
        watched, edited = self._watch(path, reading, now, monotonic)
        if edited and not reading.is_new:
            seen.changed_paths.add(path)
        found = _recalled(reading.kept, self._former.get(path)) if reading.kept else self._understand(path, data)
        self._keep(path, reading, found)
        parsed = found.parsed
        if not parsed.is_task_note and self.registry.entry(path) is None:
            watched.edit = None  # an ordinary note below the tasks folder
            self._edited.discard(path)
            return
        if self._is_new(path):
            watched.last_run = found.last_run
        waits = edited or watched.edit is not None
        written_at = reading.written_at if edited else watched.edit.written_at if watched.edit else None
        watched.edit = replace(found, written_at=written_at) if written_at is not None else found
        self._edited.add(path)
        if not waits:
            self._register(path, now, seen)
        elif monotonic - watched.changed_at < self._settings.quiet_s:
            self._stand_as_before(path, now, seen)
            self._switch(path, parsed, seen)

    def _switch(self, path: str, parsed: Parsed, seen: Seen) -> None:
        on = parsed.switches
        if on is not None:
            seen.touched |= self.registry.switch(path, on.status, on.paused_until, on.run_now)

    def settle(self, now: datetime, monotonic: float, seen: Seen) -> None:
        """Edits that have been left alone count. New notes wait until it is known whether they were renamed."""
        misses_former = self.misses_former
        quiet = [
            path
            for path in self._edited
            if monotonic >= self._counts_at(path) and not (misses_former and self._is_new(path))
        ]
        # Who was there first holds its id, and no copy comes before its original.
        for path in sorted(quiet, key=lambda p: (not self.was_task(p), len(p), p)):
            self._register(path, now, seen)
        if not self._edited:
            self._edited = set()  # the table of one that held thousands stays as large as it was

    def _is_new(self, path: str) -> bool:
        return path not in self._former and self.registry.entry(path) is None

    def _register(self, path: str, now: datetime, seen: Seen) -> None:
        """What the note says is in force from now on."""
        watched = self._watched[path]
        edit, watched.edit = watched.edit, None
        self._edited.discard(path)
        assert edit is not None, "only an edit is registered"
        if edit.parsed.task is None:
            self._stand_as_before(path, now, seen)
        if edit.written_at is not None:
            seen.written[path] = edit.written_at
        before = self.registry.entry(path)
        old_id = before.task.id if before and before.task else ""
        seen.touched |= self.registry.put(path, edit.parsed.task, edit.parsed.problems, now)
        entry = self.registry.entry(path)
        if entry is None or entry.task is not edit.parsed.task:
            self._switch(path, edit.parsed, seen)
            seen.broken |= {path} if old_id else set()
            return
        watched.source, watched.told = edit.source, edit.told
        self._former.pop(path, None)  # from here on the registry knows it
        if not self._former:
            self._former = {}
        seen.good[path] = edit.data
        if old_id and entry.task is not None and entry.task.id != old_id:
            self._readings.judge_anew(self.registry.rivals_of(path))

    def _stand_as_before(self, path: str, now: datetime, seen: Seen) -> None:
        """A note that cannot be judged yet when the daemon starts stands as the ledger last knew it."""
        former = self._former.get(path)
        if former is None or self.registry.entry(path) is not None:
            return
        try:
            task = self.rebuilt(self._stored_source(former.task), path)
        except LedgerUnavailable:  # it is not known until its note can be judged
            return
        except LedgerCorrupt:
            raise
        except Exception as error:
            seen.touched |= self.registry.put(path, None, (internal_problem(path, error),), now)
            return
        if task is not None:
            seen.touched |= self.registry.put(path, task, (), now)
            if former.invalid_since is not None:
                seen.touched |= self.registry.put(path, None, (), former.invalid_since)

    # what a note says

    def _context(self, *, check: bool = True) -> ParseContext:
        return ParseContext(
            default_timezone=self._settings.note.machine_timezone,
            settings_timezone=self._settings.note.in_force.timezone,
            system_folder=self._system_folder,
            callable_check=self._callable_check if check else None,
        )

    def _keep(self, path: str, reading: Reading, found: Edit) -> None:
        task = found.parsed.task
        if reading.kept is None and task is not None and not found.parsed.problems:
            self._keeping.learned(path, reading.digest, task, found.source)
        elif reading.kept is None:
            self._keeping.unlearned(path)

    def _understand(self, path: str, data: bytes) -> Edit:
        """What the note says. A fault of ours in reading it is a problem of this note alone."""
        try:
            document = Document.parse(data)
            parsed = self._parse(document, path)
            source = source_of(document) if parsed.task else {"mapping": {}}
            is_mapping = document.fault is None and document.block is not None
            last_run = document.mapping.get("last_run") if is_mapping else None
            text = source_text(source) if parsed.task else ""
            return Edit(parsed, text, told_of(source["mapping"]), last_run, data if parsed.task else b"")
        except Exception as error:
            return Edit(Parsed(problems=(internal_problem(path, error),)))

    def _parse(self, document: Document, path: str) -> Parsed:
        parsed = parse_task(document, path, self._context())
        is_lost = not parsed.is_task_note and self.was_task(path)
        return Parsed(problems=(nothing_declared(path),)) if is_lost else parsed

    # notes that go, and come again under another name

    def _depart(self, path: str, monotonic: float, seen: Seen) -> None:
        task = self._known_as(path)
        if task is not None:
            self._departures.add(Departure(path=path, task=task[0], definition=task[1], at=monotonic))
        self._readings.judge_anew(self.registry.rivals_of(path))
        gone = self.registry.remove(path)
        seen.touched |= gone
        seen.departed |= gone
        former = self._former.pop(path, None)
        if former is not None:
            seen.touched.add(former.task)
        self._watched.pop(path, None)
        self._edited.discard(path)
        self._keeping.unlearned(path)

    def _known_as(self, path: str) -> tuple[str, str] | None:
        """Id and definition of the task whose note was at `path`."""
        entry = self.registry.entry(path)
        if entry is not None and entry.task is not None:
            return entry.task.id, entry.task.definition
        former = self._former.get(path)
        return (former.task, former.definition) if former else None

    def _recognise(self, now: datetime, seen: Seen) -> None:
        """New notes that declare what a departed one did are that one, renamed (rule 3.4)."""
        arrivals: dict[str, Task] = {}
        for path in self._edited:
            edit = self._watched[path].edit
            if edit is not None and edit.parsed.task is not None and self._is_new(path):
                arrivals[path] = edit.parsed.task
        for departure, path in self._departures.match((path, task.definition) for path, task in arrivals.items()):
            self.registry.move(departure.path, path)
            seen.renamed.append((departure.task, arrivals[path].id))
            seen.touched.add(departure.task)
            self._register(path, now, seen)


def _local(written: object) -> datetime | None:
    """A date and time as Obsidian writes it; None for anything else."""
    try:
        return local_datetime(written, "last_run")
    except BadValue:
        return None


def _recalled(kept: Known, former: Former | None) -> Edit:
    """What a former process read in the note; mostly what the ledger holds already, and then it is not held here."""
    task, source = kept.task, kept.source
    switches = Switches(status=task.status, paused_until=task.paused_until, run_now=task.run_now)
    fresh = "" if former is not None and former.source_mark == mark_of(source) else source
    return Edit(Parsed(task=task, switches=switches), fresh, told_of(kept.mapping), kept.mapping.get("last_run"))


def told_of(mapping: Mapping[str, Any]) -> str:
    """What a note tells of its runs and how it stands, as JSON: all that is asked of it between two readings."""
    told = {key: mapping[key] for key in TOLD if key in mapping and mapping[key] not in (None, "")}
    return _ENCODER.encode(told) if told else ""
