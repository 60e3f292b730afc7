"""What the notes say, believed: events are hints, the sweep is the truth, a half-typed edit waits (rules 3.3, 3.4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from vault_scheduler.errors import VaultSchedError
from vault_scheduler.note import Document
from vault_scheduler.parser import ParseContext, Parsed, parse_task, rebuild, source_of
from vault_scheduler.platform.replace import digest
from vault_scheduler.registry import Registry
from vault_scheduler.settings import Settings
from vault_scheduler.settings_parser import ParsedSettings, parse_settings, rebuild_settings
from vault_scheduler.sightings import Believed, Sightings
from vault_scheduler.task import Problem, Task
from vault_scheduler.vault import Stamp, Vault, Written

SWEEP_S = 30.0
"""The folder is looked over this often, because watchers miss events."""
STILL_S = 5.0
"""A file that was last modified longer ago than this is not being written right now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What the ledger remembers of a task's note from before this daemon started."""

    task: str
    definition: str
    source: str
    invalid_since: datetime | None


@dataclass(slots=True, kw_only=True)
class Watched:
    """A file as last believed."""

    digest: str
    changed_at: float  # awake seconds of the last change that was not ours
    pending: Parsed | None = None  # an edit that has not been left alone for long enough
    source: dict[str, Any] | None = None  # what `pending`, or what is in force, was parsed from


@dataclass(slots=True, kw_only=True)
class Seen:
    """What one look brought."""

    touched: set[str] = field(default_factory=set)  # ids of tasks that may stand differently now
    renamed: list[tuple[str, str]] = field(default_factory=list)  # task id before, after
    settings_changed: bool = False
    changed_paths: set[str] = field(default_factory=set)  # notes that somebody else changed


class Survey:
    """Turns hints and sweeps into believed definitions. Owns the registry and the settings in force."""

    def __init__(
        self,
        vault: Vault,
        *,
        machine_timezone: str,
        former: Mapping[str, Former],
        settings_source: str,
        callable_check: Callable[[str], str | None] | None = None,
    ) -> None:
        self.vault = vault
        self.registry = Registry()
        self.settings_path = vault.rel(vault.settings_path)
        self.settings: Settings | None = None
        self.settings_source = settings_source
        self.present = True
        self._machine_timezone = machine_timezone
        self._callable_check = callable_check
        self._former = dict(former)
        self._watched: dict[str, Watched] = {}
        self._sightings = Sightings()
        self._look_at: dict[str, float] = {}
        self._stamps: dict[str, Stamp] = {}
        self._next_sweep = 0.0
        self._first_look = True
        self._ours: dict[str, str] = {}
        self._settings_problems: tuple[Problem, ...] = ()
        self._settings_pending: ParsedSettings | None = None
        if settings_source:
            source = json.loads(settings_source)
            self.settings = rebuild_settings(source, self.settings_path, machine_timezone).settings

    # what others ask

    @property
    def starting(self) -> bool:
        """Whether notes that the ledger knows have not been read since this daemon started."""
        return self._first_look or any(path in self._former and path not in self._watched for path in self._look_at)

    @property
    def timezone(self) -> str:
        """The vault's IANA zone: the settings note's, else the machine's."""
        return (self.settings.timezone if self.settings else None) or self._machine_timezone

    def problems(self) -> list[Problem]:
        """Everything wrong with the vault's notes now."""
        return [*self._settings_problems, *self.registry.problems()]

    def settled(self, path: str) -> bool:
        """Whether no edit of the note is waiting to be left alone."""
        watched = self._watched.get(path)
        return watched is None or (watched.pending is None and path not in self._look_at)

    def quiet_s(self, path: str, monotonic: float) -> float:
        """For how many seconds awake nobody but us has changed the note."""
        if path in self._look_at:
            return 0.0  # somebody is at it right now: no two reads of it agree yet
        watched = self._watched.get(path)
        return monotonic - watched.changed_at if watched else float("inf")

    def value(self, path: str, key: str) -> str | None:
        """The text that a key of ours has in the note as last believed; None if it has none."""
        watched = self._watched.get(path)
        value = watched.source["mapping"].get(key) if watched and watched.source else None
        return str(value) if value is not None and value != "" else None

    def good_source(self, path: str) -> str:
        """The JSON source of the definition in force, to be stored as the last good one."""
        watched = self._watched.get(path)
        if watched is None or watched.source is None or watched.pending is not None:
            former = self._former.get(path)
            return former.source if former else ""
        return json.dumps(watched.source, sort_keys=True, default=str)

    # what others tell

    def hint(self, paths: Iterable[str]) -> None:
        """Something may have happened to these files; a path that is no note's asks for a sweep."""
        for path in paths:
            if path == self.settings_path or self.vault.is_task_path(path):
                self._look_at[path] = 0.0
            elif not path.endswith(".md"):
                self._next_sweep = 0.0  # a folder came, went or was renamed

    def wrote(self, written: Written) -> None:
        """The daemon changed the file: no edit of anybody's."""
        watched = self._watched.get(written.path)
        if watched is not None and watched.digest in (written.before_hash, self._ours.get(written.path)):
            self._ours[written.path] = written.after_hash
        self.hint([written.path])

    # looking

    def next_look(self) -> float:
        """The awake second at which there is something to look at."""
        if self.settings is None:
            return min(self._next_sweep, self._look_at.get(self.settings_path, self._next_sweep))
        waiting = [w.changed_at + self._quiet for w in self._watched.values() if w.pending is not None]
        if self._settings_pending is not None:
            waiting.append(self._watched[self.settings_path].changed_at + self._quiet)
        return min([self._next_sweep, *self._look_at.values(), *waiting])

    @property
    def _quiet(self) -> float:
        return (self.settings or Settings()).note_quiet.total_seconds()

    def look(self, now: datetime, monotonic: float) -> Seen:
        """Read what is hinted at, or what a sweep finds changed, and believe what can be believed."""
        seen = Seen()
        self.present = self.vault.is_there()
        if not self.present:
            self._next_sweep = monotonic + 1.0
            self._look_at.clear()
            return seen
        if monotonic >= self._next_sweep:
            self._sweep(monotonic)
        believed: dict[str, bytes | None] = {}
        if self._look_at.get(self.settings_path, monotonic + 1) <= monotonic:
            self._read(self.settings_path, now, monotonic, believed, seen)
            if self.settings_path in believed:
                self._take_settings(believed.pop(self.settings_path), now, monotonic)
        self._settle_settings(monotonic, seen)
        if self.settings is None:
            return seen  # what a note means depends on the settings; without good ones nothing starts (rule 3.3)
        for path in [p for p, at in self._look_at.items() if at <= monotonic]:
            self._read(path, now, monotonic, believed, seen)
        self._take_notes(believed, now, monotonic, seen)
        self._settle_notes(now, monotonic, seen)
        self._first_look = False
        return seen

    def _sweep(self, monotonic: float) -> None:
        self._next_sweep = monotonic + SWEEP_S
        sweep = self.vault.sweep()
        changed = {path for path, stamp in sweep.notes.items() if self._stamps.get(path) != stamp}
        known = set(self._stamps) | set(self._watched) | (set(self._former) if self._first_look else set())
        gone = {path for path in known - set(sweep.notes) if sweep.knows(path)}
        self._stamps = {**{p: s for p, s in self._stamps.items() if p not in gone}, **sweep.notes}
        for path in changed | gone | {self.settings_path}:
            self._look_at.setdefault(path, 0.0)

    def _read(self, path: str, now: datetime, monotonic: float, believed: dict[str, bytes | None], seen: Seen) -> None:
        del self._look_at[path]
        try:
            data = self.vault.read(path)
        except VaultSchedError as error:
            self._unreadable(path, error, now, seen)
            return
        watched = self._watched.get(path)
        current = digest(data) if data is not None else ""
        if current == (watched.digest if watched else ""):
            self._sightings.forget(path)
            if not (self._first_look and path in self._former and data is None):
                return
        if current == self._ours.get(path):
            believed[path] = data
            return
        verdict = self._sightings.see(
            path, data, monotonic, self._was_task(path), settled=self._first_look and self._age_s(path, now) > STILL_S
        )
        if isinstance(verdict, Believed):
            believed[path] = verdict.data
        else:
            self._look_at[path] = verdict.at

    def _unreadable(self, path: str, error: VaultSchedError, now: datetime, seen: Seen) -> None:
        if not self.vault.is_there():
            self.present = False
            return
        problem = Problem(path=path, line=1, key="", message=str(error), fix="Make the file readable, or remove it.")
        if path == self.settings_path:
            self._settings_problems = (problem,)
        else:
            seen.touched |= self.registry.put(path, None, (problem,), now)

    def _was_task(self, path: str) -> bool:
        entry = self.registry.entry(path)
        return path in self._former or path == self.settings_path or (entry is not None and entry.task is not None)

    def _age_s(self, path: str, now: datetime) -> float:
        """Seconds since the file was modified; 0 for one that we have no stamp of."""
        stamp = self._stamps.get(path) or (self.vault.stamp(path) if path == self.settings_path else None)
        return max(0.0, now.timestamp() - stamp.mtime_ns / 1e9) if stamp else 0.0

    def _believe(self, path: str, data: bytes, now: datetime, monotonic: float, seen: Seen) -> tuple[Watched, bool]:
        """Remember the content; whether it is our own write."""
        current = digest(data)
        ours = self._ours.pop(path, None) == current
        watched = self._watched.get(path)
        if watched is None:
            age = self._age_s(path, now)
            watched = self._watched[path] = Watched(digest=current, changed_at=monotonic - age)
        elif not ours:
            watched.changed_at = monotonic
            seen.changed_paths.add(path)
        watched.digest = current
        return watched, ours

    # task notes

    def _context(self) -> ParseContext:
        settings = self.settings or Settings()
        return ParseContext(
            default_timezone=self._machine_timezone,
            settings_timezone=settings.timezone,
            system_folder=self.vault.system_folder,
            callable_check=self._callable_check,
        )

    def _take_notes(self, believed: dict[str, bytes | None], now: datetime, monotonic: float, seen: Seen) -> None:
        gone = [path for path, data in believed.items() if data is None]
        departed = {path: definition for path in gone if (definition := self._definition(path))}
        for path, data in believed.items():
            if data is None:
                continue
            watched, ours = self._believe(path, data, now, monotonic, seen)
            document = Document.parse(data)
            parsed = self._parse(document, path)
            if not parsed.is_task_note and self.registry.entry(path) is None:
                continue  # an ordinary note below the tasks folder
            watched.source = source_of(document) if parsed.task else watched.source
            old = self._renamed_from(path, parsed.task, departed)
            if old:
                self._rename(old, path, parsed, now, seen)
            elif ours:
                self._register(path, watched, parsed, now, seen)
            else:
                watched.pending = parsed
                self._stand_as_before(path, now, seen)
                if parsed.switches is not None:
                    on = parsed.switches
                    seen.touched |= self.registry.switch(path, on.status, on.paused_until, on.run_now)
        for path in gone:
            self._forget(path, seen)

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
            fix="Restore its frontmatter, or delete the note.",
        )
        return Parsed(problems=(problem,))

    def _definition(self, path: str) -> str:
        entry = self.registry.entry(path)
        if entry is not None and entry.task is not None:
            return entry.task.definition
        return self._former[path].definition if path in self._former else ""

    def _renamed_from(self, path: str, task: Task | None, departed: dict[str, str]) -> str:
        """The path of the departed note that this new one continues (rule 3.4): equal definition in one sweep."""
        if task is None or path in self._former or self.registry.entry(path) is not None:
            return ""
        return next((old for old, definition in departed.items() if definition == task.definition), "")

    def _rename(self, old: str, path: str, parsed: Parsed, now: datetime, seen: Seen) -> None:
        assert parsed.task is not None
        entry = self.registry.entry(old)
        old_id = entry.task.id if entry and entry.task else self._former[old].task
        self._forget(old, seen)
        seen.renamed.append((old_id, parsed.task.id))
        seen.touched |= self.registry.put(path, parsed.task, parsed.problems, now)

    def _forget(self, path: str, seen: Seen) -> None:
        rivals = self.registry.rivals_of(path)
        seen.touched |= self.registry.remove(path)
        former = self._former.pop(path, None)
        if former is not None:
            seen.touched.add(former.task)
        self._watched.pop(path, None)
        self._ours.pop(path, None)
        for rival in rivals:
            self._look_anew(rival)

    def _look_anew(self, path: str) -> None:
        """Read a note again although its bytes are the same: what surrounds it has changed."""
        if path in self._watched:
            self._watched[path].digest = "?"
            self._ours.pop(path, None)
        self._look_at[path] = 0.0

    def _register(self, path: str, watched: Watched, parsed: Parsed, now: datetime, seen: Seen) -> None:
        watched.pending = None
        before = self.registry.entry(path)
        old_id = before.task.id if before and before.task else ""
        seen.touched |= self.registry.put(path, parsed.task, parsed.problems, now)
        if old_id and parsed.task is not None and parsed.task.id != old_id:
            for rival in self.registry.rivals_of(path):
                self._look_anew(rival)

    def _stand_as_before(self, path: str, now: datetime, seen: Seen) -> None:
        """A note that cannot be judged yet when the daemon starts stands as the ledger last knew it."""
        former = self._former.get(path)
        if former is None or not former.source or self.registry.entry(path) is not None:
            return
        task = rebuild(json.loads(former.source), path, self._context()).task
        if task is not None:
            seen.touched |= self.registry.put(path, task, (), now)
            if former.invalid_since is not None:
                seen.touched |= self.registry.put(path, None, (), former.invalid_since)

    def _settle_notes(self, now: datetime, monotonic: float, seen: Seen) -> None:
        for path, watched in list(self._watched.items()):
            if watched.pending is not None and monotonic - watched.changed_at >= self._quiet:
                self._register(path, watched, watched.pending, now, seen)

    # the settings note

    def _take_settings(self, data: bytes | None, now: datetime, monotonic: float) -> None:
        if data is None:
            self._settings_problems = (_settings_gone(self.settings_path),)
            self._watched.pop(self.settings_path, None)
            return
        watched, _ = self._believe(self.settings_path, data, now, monotonic, Seen())
        document = Document.parse(data)
        parsed = parse_settings(document, self.settings_path, self._machine_timezone)
        watched.source = source_of(document) if parsed.settings else watched.source
        self._settings_pending = parsed
        if parsed.settings is not None and self.settings is not None:
            switched = replace(self.settings, status=parsed.settings.status, paused_until=parsed.settings.paused_until)
            if switched != self.settings:
                self._settings_pending = parsed
                self.settings = switched
                self._switched = True

    _switched = False

    def _settle_settings(self, monotonic: float, seen: Seen) -> None:
        seen.settings_changed, self._switched = self._switched, False
        parsed = self._settings_pending
        if parsed is None:
            return
        watched = self._watched[self.settings_path]
        if self.settings is not None and monotonic - watched.changed_at < self._quiet:
            return
        self._settings_pending = None
        self._settings_problems = parsed.problems
        if parsed.settings is None:
            return
        before, self.settings = self.settings, parsed.settings
        self.settings_source = json.dumps(watched.source, sort_keys=True, default=str)
        if before != parsed.settings:
            seen.settings_changed = True
        if before is not None and before.timezone != parsed.settings.timezone:
            for path in list(self._watched):
                if path != self.settings_path:
                    self._look_anew(path)


def _settings_gone(path: str) -> Problem:
    return Problem(
        path=path,
        line=1,
        key="",
        message="the settings note is not there",
        fix="The last good settings stay in force. Restore it, or make one with `vault-sched init`.",
    )
