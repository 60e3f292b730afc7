"""The notes looked at: events are hints, the sweep is the truth, and what is read twice alike is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from vault_scheduler.daemon.keeping import Keeping
from vault_scheduler.daemon.readings import AWAY_S, Reading, Readings
from vault_scheduler.daemon.settings_watch import SettingsWatch
from vault_scheduler.daemon.task_notes import TaskNotes
from vault_scheduler.errors import NoteUnreadable, VaultSchedError
from vault_scheduler.ledger.definitions import Definitions
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.action_fields import CallableCheck
from vault_scheduler.planning.known import Former, Seen, internal_problem
from vault_scheduler.settings import Settings
from vault_scheduler.task import Problem
from vault_scheduler.vault.vault import Vault, Written


class Survey:
    """Turns hints and sweeps into what is believed of the settings note and the task notes.

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
        stored_source: Callable[[str], str],
        callable_check: CallableCheck | None = None,
        definitions: Definitions | None = None,
    ) -> None:
        self.vault = vault
        self.settings_path = vault.rel(vault.settings_path)
        self.keeping = Keeping(definitions)
        self._readings = Readings(vault, self.settings_path, self.keeping)
        self._settings = SettingsWatch(
            self.settings_path, self._readings, self.keeping, machine_timezone, settings_source
        )
        self.settings_note = self._settings.note
        self.notes = TaskNotes(
            self._readings,
            self._settings,
            self.keeping,
            former,
            stored_source=stored_source,
            system_folder=vault.system_folder,
            callable_check=callable_check,
        )
        self.registry = self.notes.registry
        self.present = True
        self.swept: Callable[[], None] = lambda: None
        self._missed_hints = False
        self._first_look = True

    # what others ask

    @property
    def settings(self) -> Settings | None:
        """The settings in force; None if the note never was good."""
        return self.settings_note.settings

    @property
    def starting(self) -> bool:
        """Whether notes that the ledger knows have not been read since this daemon started."""
        return self._first_look or self.notes.misses_former

    @property
    def knows_notes(self) -> bool:
        """Whether a task that is not there is really gone: the vault is there and its notes have been read."""
        return self.present and self.settings is not None and not self.starting

    @property
    def timezone(self) -> str:
        """The vault's IANA zone: the settings note's, else the machine's."""
        return self._settings.timezone

    @property
    def doubts_settings(self) -> bool:
        """Whether the settings note differs, and cannot be believed yet: it may stop the vault."""
        return self._settings.is_doubted

    def problems(self) -> list[Problem]:
        """Everything wrong with the vault's notes now."""
        return [*self.settings_note.problems, *self.registry.problems()]

    @property
    def problems_mark(self) -> tuple[object, ...]:
        """Differs whenever `problems` may say something else."""
        return (self.registry.revision, self.settings_note.problems)

    def settled(self, path: str) -> bool:
        """Whether no edit of the note is waiting to be left alone."""
        return self.notes.settled(path) and not self._readings.waits(path)

    @property
    def unsettled(self) -> bool:
        """Whether any edit is waiting to be believed or to be left alone."""
        return bool(self._readings.waiting()) or self.notes.unsettled

    def quiet_s(self, path: str, monotonic: float) -> float:
        """For how many seconds awake nobody but us has changed the note."""
        if self._readings.waits(path):
            return 0.0  # somebody is at it right now: no two reads of it agree yet
        changed_at = self._settings.changed_at if path == self.settings_path else self.notes.changed_at(path)
        return float("inf") if changed_at is None else monotonic - changed_at

    def knows(self, path: str, data: bytes) -> bool:
        """Whether the note as it is now has been seen; if not, somebody has changed it just now."""
        return self._readings.knows(path, data)

    def line_of(self, path: str, key: str) -> int:
        """The line of a key in the note as it is now; 1 if the note cannot be read."""
        try:
            return Document.parse(self.vault.read(path) or b"").line_of_key(key)
        except VaultSchedError:
            return 1

    def read_known(self, path: str) -> bytes:
        """The note, if it still says what is believed of it; else nothing."""
        try:
            data = self.vault.read(path) or b""
        except VaultSchedError:
            return b""
        return data if self._readings.knows(path, data) else b""

    def modified_at(self, path: str) -> datetime | None:
        """The note's mtime, in UTC."""
        return self._readings.modified_at(path)

    # what others tell

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
        return min(next_sweep, self._readings.next_read(), self.notes.next_look(), self._settings.counts_at())

    def look(self, now: datetime, monotonic: float) -> Seen:
        """Read what is hinted at, or what a sweep finds changed, and believe what can be believed."""
        seen, zone = Seen(), self.timezone
        if monotonic >= self._readings.next_sweep:
            self.swept()
            self.keeping.swept()
            seen.travelled = self._settings.notice_travel()
        self.present = self.vault.is_there() or self.vault.sweep().there
        if not self.present:
            self._readings.next_sweep = monotonic + AWAY_S
            return seen
        if monotonic >= self._readings.next_sweep:
            self.notes.forget_departed(monotonic)
            self._readings.sweep(monotonic, self.notes.former_paths if self._first_look else ())
        elif self._missed_hints:
            self._readings.compare()
        self._missed_hints = False
        seen.settings_changed = self._settings.look(self._read_settings(now, monotonic, seen), now, monotonic)
        if self.timezone != zone and not self._first_look:
            self.notes.judge_all_anew()
        if self.settings is None:
            return seen  # what a note means depends on the settings; without good ones nothing starts (rule 3.3)
        self.keeping.context = self.notes.context
        self.notes.take(self._read_due(now, monotonic, seen), now, monotonic, seen)
        self.notes.settle(now, monotonic, seen)
        if self._first_look:
            self._first_look = False
            self.keeping.forget_former()
        return seen

    def _read_due(self, now: datetime, monotonic: float, seen: Seen) -> Iterator[tuple[str, Reading]]:
        """One at a time: nobody need hold all that the first look brings. What has gone comes first."""
        for path in sorted(self._readings.due(monotonic), key=self._readings.is_there):
            reading = self._read(path, now, monotonic, seen)
            if reading is not None:
                yield path, reading

    def _read_settings(self, now: datetime, monotonic: float, seen: Seen) -> Reading | None:
        path = self.settings_path
        return self._read(path, now, monotonic, seen) if self._readings.next_read(path) <= monotonic else None

    def _read(self, path: str, now: datetime, monotonic: float, seen: Seen) -> Reading | None:
        try:
            was_task, first_look = path == self.settings_path or self.notes.was_task(path), self._first_look
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
            self.notes.unreadable(problem, now, seen)
