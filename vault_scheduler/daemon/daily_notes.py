"""The user's own daily notes for whoever writes into them: which note, whether it is there, when it may be written.

Nothing watches these notes, so they are looked at while something waits for them. They are people's notes: the quiet
time and the interval between writes hold for them as for tasks' notes (rule 6).
"""

from __future__ import annotations

from datetime import date, datetime

from vault_scheduler.daemon.pen import Pace
from vault_scheduler.errors import BadValue
from vault_scheduler.vault.daily_note import DailyNotes, find_daily_notes, new_note
from vault_scheduler.vault.sweep import Stamp
from vault_scheduler.vault.vault import Vault

LOOK_S = 30.0
"""How often a note that is not there yet is looked for: with the sweep, so that an idle machine wakes no more often."""
IMPATIENCE_S = 300.0
"""A note that is never left alone is written anyway, at most this often."""
KNOWN = 20
"""So many notes are remembered: a few days are written to at a time."""


class DayNotes:
    """Which note belongs to a day, and how long it has been left alone. Times in seconds awake."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._last: DailyNotes | None = None
        self._changed: dict[str, tuple[Stamp, float]] = {}  # path → how it was last seen, since when
        self._written: dict[str, float] = {}
        self._waiting: dict[str, float] = {}

    def path(self, day: date) -> str:
        """The note of a day, there or not. Raises BadValue where nobody can tell."""
        return self._find().path(day)

    def _find(self) -> DailyNotes:
        """Obsidian's configuration as it is; what it last was while it cannot be read, being written perhaps."""
        try:
            self._last = find_daily_notes(self._vault)
        except BadValue:
            if self._last is None:
                raise
        return self._last

    def is_there(self, path: str) -> bool:
        """Whether the note is there."""
        return self._vault.stamp(path) is not None

    def new(self, day: date, local: datetime) -> bytes | None:
        """What a note of that day is to begin with; None if only Obsidian can make it."""
        return new_note(self._vault, self._find(), day, local)

    def may_write_at(self, path: str, pace: Pace, now: datetime, monotonic: float, *, hurry: bool = False) -> float:
        """When the note may be written: now, or later because somebody is at it or we have just been."""
        waiting_since = self._waiting.setdefault(path, monotonic)
        last = self._written.get(path)
        after_interval = monotonic if last is None or hurry else last + pace.note_interval_s
        after_quiet = self._changed_at(path, now, monotonic) + pace.note_quiet_s
        patience_ends = max(waiting_since, last or 0.0) + IMPATIENCE_S
        return max(after_interval, min(after_quiet, patience_ends), monotonic)

    def _changed_at(self, path: str, now: datetime, monotonic: float) -> float:
        """When somebody else last changed the note: at the look that first showed it, or when the file says so."""
        stamp = self._vault.stamp(path)
        if stamp is None:
            return float("-inf")
        known = self._changed.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        age_s = max(0.0, now.timestamp() - stamp.mtime_ns / 1e9) if known is None else 0.0
        self._changed[path] = (stamp, monotonic - age_s)
        return monotonic - age_s

    def wrote(self, path: str, monotonic: float) -> None:
        """We wrote the note: no change of anybody's."""
        self._waiting.pop(path, None)
        self._written[path] = monotonic
        stamp = self._vault.stamp(path)
        if stamp is not None:
            since = self._changed[path][1] if path in self._changed else float("-inf")
            self._changed[path] = (stamp, since)
        for oldest in list(self._written)[:-KNOWN]:
            self._written.pop(oldest)
            self._changed.pop(oldest, None)
