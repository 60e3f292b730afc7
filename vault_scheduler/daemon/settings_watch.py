"""The settings note as the daemon reads it: an edit that waits, one that is doubted, the zone where it names none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from vault_scheduler.daemon.keeping import Keeping
from vault_scheduler.daemon.readings import Reading, Readings
from vault_scheduler.planning.known import internal_problem
from vault_scheduler.planning.settings_note import SettingsNote, settings_gone

LONGEST_DOUBT_S = 5.0
"""A settings note that never is the same twice holds nothing up for longer than this, in seconds awake."""


class SettingsWatch:
    """Owns the settings in force. `machine_timezone` is asked again and again: a laptop travels."""

    def __init__(
        self, path: str, readings: Readings, keeping: Keeping, machine_timezone: Callable[[], str], source: str
    ) -> None:
        self._path = path
        self._readings = readings
        self._keeping = keeping
        self._look_up_zone = machine_timezone
        self.note = SettingsNote(path, machine_timezone(), source)
        self.is_doubted = False  # the note differs, and cannot be believed yet: it may stop the vault
        self.changed_at: float | None = None  # awake second of the last change that was not ours; None: it is gone
        self._doubts_since: float | None = None
        self._revision = self.note.revision

    @property
    def timezone(self) -> str:
        """The vault's IANA zone: the note's, else the machine's."""
        return self.note.in_force.timezone or self.note.machine_timezone

    @property
    def quiet_s(self) -> float:
        """For how many seconds awake a note is left alone before an edit of it counts."""
        return self.note.in_force.note_quiet.total_seconds()

    def counts_at(self) -> float:
        """The awake second from which an edit of the settings counts; infinite if none waits."""
        is_waiting = self.note.is_pending and self.changed_at is not None
        return (self.changed_at or 0.0) + self.quiet_s if is_waiting else float("inf")

    def notice_travel(self) -> bool:
        """The machine's zone is not what it was: that is no edit (rule 3.2), but local times are other instants."""
        zone = self._look_up_zone()
        if zone == self.note.machine_timezone:
            return False
        self.note.machine_timezone = zone
        self._readings.judge_anew([self._path])
        return True

    def look(self, reading: Reading | None, now: datetime, monotonic: float) -> bool:
        """Take what was read of the note, if anything; whether other settings are in force now."""
        if reading is not None:
            self._take(reading, now, monotonic)
        self._doubt(monotonic)
        note = self.note
        if note.settings is None or monotonic >= self.counts_at():
            note.settle()
        is_changed, self._revision = note.revision != self._revision, note.revision
        return is_changed

    def _doubt(self, monotonic: float) -> None:
        waits, since = self._readings.waits(self._path), self._doubts_since
        self._doubts_since = since = (monotonic if since is None else since) if waits else None
        self.is_doubted = since is not None and monotonic - since < LONGEST_DOUBT_S

    def _take(self, reading: Reading, now: datetime, monotonic: float) -> None:
        if reading.data is None:
            self.note.complain(settings_gone(self._path))
            self.changed_at = None
            return
        self.changed_at = self._readings.changed_at(self._path, reading, self.changed_at, now, monotonic)
        try:
            self.note.take(reading.data, now)
        except Exception as error:
            self.note.complain(internal_problem(self._path, error))
        self._keep(reading.digest)

    def _keep(self, digest: str) -> None:
        settings = self.note.written
        if settings is not None:
            source = self.note.written_source
            self._keeping.learned_settings(self._path, digest, settings, self.note.machine_timezone, source)
        else:
            self._keeping.unlearned(self._path)
