"""What the notes say, believed: events are hints, the sweep is the truth, a half-typed edit waits (rules 3.3, 3.4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.readings import AWAY_S, Reading, Readings
from vault_scheduler.errors import BadValue, NoteUnreadable, VaultSchedError
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.action_fields import CallableCheck
from vault_scheduler.parsing.parser import ParseContext, Parsed, parse_task, rebuild, source_of
from vault_scheduler.parsing.values import local_datetime
from vault_scheduler.planning.departures import Departure, Departures
from vault_scheduler.planning.known import RESTORE_OR_DELETE, Edit, Former, Seen, Watched, internal_problem
from vault_scheduler.planning.registry import Copy, Registry
from vault_scheduler.planning.settings_note import SettingsNote, settings_gone
from vault_scheduler.settings import Settings
from vault_scheduler.task import Problem, Status, Task
from vault_scheduler.vault.vault import Vault, Written

LONGEST_DOUBT_S = 5.0
"""A settings note that never is the same twice holds nothing up for longer than this, in seconds awake."""


class Survey:
    """Turns hints and sweeps into believed definitions. Owns the registry and the settings in force.

    `machine_timezone` is asked with each sweep: a laptop travels. `swept` is called with each sweep, for all that is to
    be done every 30 s, so that an idle machine wakes for nothing else.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        machine_timezone: Callable[[], str],
        former: Mapping[str, Former],
        settings_source: str,
        callable_check: CallableCheck | None = None,
    ) -> None:
        self.vault = vault
        self.registry = Registry()
        self.settings_path = vault.rel(vault.settings_path)
        self._look_up_zone, self._machine_timezone = machine_timezone, machine_timezone()
        self.settings_note = SettingsNote(self.settings_path, self._machine_timezone, settings_source)
        self.present = True
        self.doubts_settings = False  # the settings note differs, and cannot be believed yet: it may stop the vault
        self._doubts_since: float | None = None
        self._missed_hints = False
        self.swept: Callable[[], None] = lambda: None
        self._callable_check = callable_check
        self._former = dict(former)
        self._watched: dict[str, Watched] = {}
        self._edited: set[str] = set()  # the task notes whose `edit` is set
        self._asked: set[str] = set()  # the tasks whose edits count at once, because a person asks for them
        self._readings = Readings(vault, self.settings_path)
        self._first_look = True
        self._departures = Departures()
        self._settings_seen = self.settings_note.revision

    # what others ask

    @property
    def settings(self) -> Settings | None:
        """The settings in force; None if the note never was good."""
        return self.settings_note.settings

    @property
    def starting(self) -> bool:
        """Whether notes that the ledger knows have not been read since this daemon started."""
        return self._first_look or self._misses_former

    @property
    def knows_notes(self) -> bool:
        """Whether a task that is not there is really gone: the vault is there and its notes have been read."""
        return self.present and self.settings is not None and not self.starting

    @property
    def _misses_former(self) -> bool:
        return any(path in self._former and path not in self._watched for path in self._readings.waiting())

    @property
    def timezone(self) -> str:
        """The vault's IANA zone: the settings note's, else the machine's."""
        return self.settings_note.in_force.timezone or self._machine_timezone

    def problems(self) -> list[Problem]:
        """Everything wrong with the vault's notes now."""
        return [*self.settings_note.problems, *self.registry.problems()]

    @property
    def problems_mark(self) -> tuple[object, ...]:
        """Differs whenever `problems` may say something else."""
        return (self.registry.revision, self.settings_note.problems)

    def settled(self, path: str) -> bool:
        """Whether no edit of the note is waiting to be left alone."""
        return path not in self._edited and not self._readings.waits(path)

    @property
    def unsettled(self) -> bool:
        """Whether any edit is waiting to be believed or to be left alone."""
        return bool(self._readings.waiting() or self._edited)

    def quiet_s(self, path: str, monotonic: float) -> float:
        """For how many seconds awake nobody but us has changed the note."""
        if self._readings.waits(path):
            return 0.0  # somebody is at it right now: no two reads of it agree yet
        watched = self._watched.get(path)
        return monotonic - watched.changed_at if watched else float("inf")

    def knows(self, path: str, data: bytes) -> bool:
        """Whether the note as it is now has been seen; if not, somebody has changed it just now."""
        return self._readings.knows(path, data)

    def value(self, path: str, key: str) -> str | None:
        """The text that a key of ours has in the note as last believed; None if it has none."""
        watched = self._watched.get(path)
        source = (watched.edit.source if watched.edit else watched.source) if watched else None
        value = source["mapping"].get(key) if source else None
        return str(value) if value is not None and value != "" else None

    def line_of(self, path: str, key: str) -> int:
        """The line of a key in the note as it is now; 1 if the note cannot be read."""
        try:
            return Document.parse(self.vault.read(path) or b"").line_of_key(key)
        except VaultSchedError:
            return 1

    def rebuilt(self, source: str, path: str) -> Task | None:
        """The task that a stored definition (JSON) declares; None if it declares none today."""
        return rebuild(json.loads(source), path, self._context(check=False)).task if source else None

    def modified_at(self, path: str) -> datetime | None:
        """The note's mtime, in UTC."""
        return self._readings.modified_at(path)

    def last_run(self, task: Task, now: datetime) -> datetime | None:
        """What the note's own `last_run` tells, in UTC; of a local time that exists twice the later one.

        None if it tells nothing, or of a time to come.
        """
        watched = self._watched.get(task.path)
        try:
            local = local_datetime(watched.last_run, "last_run") if watched else None
        except BadValue:
            return None
        moment = local.replace(tzinfo=ZoneInfo(task.timezone), fold=1).astimezone(UTC) if local else None
        return moment if moment is not None and moment <= now else None

    def good_source(self, path: str) -> str:
        """The JSON source of the definition in force, to be stored as the last good one."""
        watched = self._watched.get(path)
        if watched is not None and watched.source is not None:
            return json.dumps(watched.source, sort_keys=True, default=str)
        former = self._former.get(path)
        return former.source if former else ""

    # what others tell

    def remember_copies(self, copies: Mapping[str, Copy]) -> None:
        """What a former daemon found to be copies of other notes."""
        self.registry.copies = dict(copies)

    def pause(self, task: Task) -> set[str]:
        """The scheduler pauses a task, before it can write so into the note; the ids that stand differently."""
        return self.registry.switch(task.path, Status.PAUSED, task.paused_until, task.run_now)

    def hint(self, paths: Iterable[str]) -> None:
        """Something may have happened to these files; a path that is no note's asks for a sweep."""
        self._readings.hint(paths)

    def miss_hints(self) -> None:
        """Nobody could tell what has changed just now: the next look compares the folder, whenever the sweep is due."""
        self._missed_hints = True

    def wrote(self, written: Written) -> None:
        """The daemon changed the file: no edit of anybody's."""
        self._readings.wrote(written)

    # looking

    def next_look(self) -> float:
        """The awake second at which there is something to look at."""
        next_sweep = self._readings.next_sweep
        if not self.present:
            return next_sweep
        if self.settings is None:
            return min(next_sweep, self._readings.next_read(self.settings_path))
        waiting = {*self._edited, self.settings_path} if self.settings_note.is_pending else self._edited
        misses_former = self._misses_former  # until it is seen, a new note may be a renamed one
        looks = [self._counts_at(path) for path in waiting if not (misses_former and self._is_new(path))]
        return min([next_sweep, self._readings.next_read(), *looks])

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

    def _counts_at(self, path: str) -> float:
        """The awake second from which an edit counts."""
        return self._watched[path].changed_at + (0.0 if self._is_asked(path) else self._quiet)

    @property
    def _quiet(self) -> float:
        return self.settings_note.in_force.note_quiet.total_seconds()

    def look(self, now: datetime, monotonic: float) -> Seen:
        """Read what is hinted at, or what a sweep finds changed, and believe what can be believed."""
        seen, zone = Seen(), self.timezone
        if monotonic >= self._readings.next_sweep:
            self.swept()
            seen.travelled = self._notice_travel()
        self.present = self.vault.is_there() or self.vault.sweep().there
        if not self.present:
            self._readings.next_sweep = monotonic + AWAY_S
            return seen
        if monotonic >= self._readings.next_sweep:
            self._departures.forget(monotonic)
            self._readings.sweep(monotonic, self._former if self._first_look else ())
        elif self._missed_hints:
            self._readings.compare()
        self._missed_hints = False
        self._look_at_settings(now, monotonic, seen)
        if self.timezone != zone and not self._first_look:
            self._readings.judge_anew([path for path in self._watched if path != self.settings_path])
        if self.settings is None:
            return seen  # what a note means depends on the settings; without good ones nothing starts (rule 3.3)
        found = {path: self._read(path, now, monotonic, seen) for path in self._readings.due(monotonic)}
        believed = {path: reading for path, reading in found.items() if reading is not None}
        self._take_notes(believed, now, monotonic, seen)
        self._settle_notes(now, monotonic, seen)
        self._first_look = False
        return seen

    def _read(self, path: str, now: datetime, monotonic: float, seen: Seen) -> Reading | None:
        try:
            was_task, first_look = self._was_task(path), self._first_look
            return self._readings.read(path, now, monotonic, was_task=was_task, first_look=first_look)
        except NoteUnreadable as error:
            self._unreadable(Problem(path=path, line=1, key="", message=error.reason, fix=error.fix), now, seen)
        except Exception as error:
            self._unreadable(internal_problem(path, error), now, seen)
        return None

    def _unreadable(self, problem: Problem, now: datetime, seen: Seen) -> None:
        """The last good definition stays."""
        path = problem.path
        if not self.vault.is_there():
            self._readings.put_off(path)
            self.present = False
        elif path == self.settings_path:
            self.settings_note.complain(problem)
        else:
            self._stand_as_before(path, now, seen)
            seen.touched |= self.registry.put(path, None, (problem,), now)

    def _was_task(self, path: str) -> bool:
        entry = self.registry.entry(path)
        return path in self._former or path == self.settings_path or (entry is not None and entry.task is not None)

    def _watch(self, path: str, reading: Reading, now: datetime, monotonic: float) -> tuple[Watched, bool]:
        """Remember when the file was changed; whether it was, by somebody else than us."""
        watched = self._watched.get(path)
        if watched is None:
            watched = self._watched[path] = Watched(changed_at=monotonic - self._readings.age_s(path, now))
            return watched, True
        edited = not (reading.is_ours or reading.is_same)
        if edited:
            watched.changed_at = monotonic
        return watched, edited

    # task notes

    def _context(self, *, check: bool = True) -> ParseContext:
        return ParseContext(
            default_timezone=self._machine_timezone,
            settings_timezone=self.settings_note.in_force.timezone,
            system_folder=self.vault.system_folder,
            callable_check=self._callable_check if check else None,
        )

    def _take_notes(self, believed: dict[str, Reading], now: datetime, monotonic: float, seen: Seen) -> None:
        for path in [path for path, reading in believed.items() if reading.data is None]:
            self._depart(path, monotonic, seen)
        for path, reading in believed.items():
            if reading.data is not None:
                self._take_note(path, reading, reading.data, now, monotonic, seen)
        if self._departures:
            self._recognise(now, seen)

    def _take_note(self, path: str, reading: Reading, data: bytes, now: datetime, monotonic: float, seen: Seen) -> None:
        watched, edited = self._watch(path, reading, now, monotonic)
        if edited and not reading.is_new:
            seen.changed_paths.add(path)
        found = self._understand(path, data)
        parsed = found.parsed
        if not parsed.is_task_note and self.registry.entry(path) is None:
            watched.edit = None  # an ordinary note below the tasks folder
            self._edited.discard(path)
            return
        if self._is_new(path):
            watched.last_run = found.last_run
        waits = edited or watched.edit is not None
        watched.edit = found
        self._edited.add(path)
        if not waits:
            self._register(path, now, seen)
        elif monotonic - watched.changed_at < self._quiet:
            self._stand_as_before(path, now, seen)
            self._switch(path, parsed, seen)

    def _switch(self, path: str, parsed: Parsed, seen: Seen) -> None:
        on = parsed.switches
        if on is not None:
            seen.touched |= self.registry.switch(path, on.status, on.paused_until, on.run_now)

    def _understand(self, path: str, data: bytes) -> Edit:
        """What the note says. A fault of ours in reading it is a problem of this note alone."""
        try:
            document = Document.parse(data)
            parsed = self._parse(document, path)
            source = source_of(document) if parsed.task else None
            is_mapping = document.fault is None and document.block is not None
            last_run = document.mapping.get("last_run") if is_mapping else None
            return Edit(parsed, source, last_run, data if parsed.task else b"")
        except Exception as error:
            return Edit(Parsed(problems=(internal_problem(path, error),)))

    def _parse(self, document: Document, path: str) -> Parsed:
        """A former task that declares nothing any more is a problem, not a removal (rule 3.4)."""
        parsed = parse_task(document, path, self._context())
        if parsed.is_task_note or not self._was_task(path):
            return parsed
        problem = Problem(
            path=path,
            line=1,
            key="",
            message="this note was a task, and now it has no properties",
            fix=RESTORE_OR_DELETE,
        )
        return Parsed(problems=(problem,))

    def _settle_notes(self, now: datetime, monotonic: float, seen: Seen) -> None:
        """Edits that have been left alone count. New notes wait until it is known whether they were renamed."""
        misses_former = self._misses_former
        quiet = [
            path
            for path in self._edited
            if monotonic >= self._counts_at(path) and not (misses_former and self._is_new(path))
        ]
        # Who was there first holds its id, and no copy comes before its original.
        for path in sorted(quiet, key=lambda p: (p not in self._former, len(p), p)):
            self._register(path, now, seen)

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
        before = self.registry.entry(path)
        old_id = before.task.id if before and before.task else ""
        seen.touched |= self.registry.put(path, edit.parsed.task, edit.parsed.problems, now)
        entry = self.registry.entry(path)
        if entry is None or entry.task is not edit.parsed.task:
            self._switch(path, edit.parsed, seen)
            seen.broken |= {path} if old_id else set()
            return
        watched.source = edit.source
        seen.good[path] = edit.data
        if old_id and entry.task is not None and entry.task.id != old_id:
            self._readings.judge_anew(self.registry.rivals_of(path))

    def _stand_as_before(self, path: str, now: datetime, seen: Seen) -> None:
        """A note that cannot be judged yet when the daemon starts stands as the ledger last knew it."""
        former = self._former.get(path)
        if former is None or not former.source or self.registry.entry(path) is not None:
            return
        try:
            task = self.rebuilt(former.source, path)
        except Exception as error:
            seen.touched |= self.registry.put(path, None, (internal_problem(path, error),), now)
            return
        if task is not None:
            seen.touched |= self.registry.put(path, task, (), now)
            if former.invalid_since is not None:
                seen.touched |= self.registry.put(path, None, (), former.invalid_since)

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

    # the settings note

    def _notice_travel(self) -> bool:
        """The machine's zone is not what it was: that is no edit (rule 3.2), but local times are other instants."""
        zone = self._look_up_zone()
        if zone == self._machine_timezone:
            return False
        self._machine_timezone = self.settings_note.machine_timezone = zone
        self._readings.judge_anew([self.settings_path])
        return True

    def _look_at_settings(self, now: datetime, monotonic: float, seen: Seen) -> None:
        path, note = self.settings_path, self.settings_note
        reading = self._read(path, now, monotonic, seen) if self._readings.next_read(path) <= monotonic else None
        if reading is not None:
            self._take_settings(reading, now, monotonic)
        self._doubt_settings(monotonic)
        watched = self._watched.get(path)
        if note.is_pending and watched and (note.settings is None or monotonic - watched.changed_at >= self._quiet):
            note.settle()
        seen.settings_changed = note.revision != self._settings_seen
        self._settings_seen = note.revision

    def _doubt_settings(self, monotonic: float) -> None:
        waits, since = self._readings.waits(self.settings_path), self._doubts_since
        self._doubts_since = since = (monotonic if since is None else since) if waits else None
        self.doubts_settings = since is not None and monotonic - since < LONGEST_DOUBT_S

    def _take_settings(self, reading: Reading, now: datetime, monotonic: float) -> None:
        path, data = self.settings_path, reading.data
        if data is None:
            self.settings_note.complain(settings_gone(path))
            self._watched.pop(path, None)
            return
        self._watch(path, reading, now, monotonic)
        try:
            self.settings_note.take(data, now)
        except Exception as error:
            self.settings_note.complain(internal_problem(path, error))
