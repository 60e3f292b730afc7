"""Keeps the last good text of every task note, and tells when a task's own run changed, broke or removed its note.

A Claude run cannot touch the properties of its own note with its own tools. A shell can; then what the note said can
be restored, and it is told, so that no schedule is lost in silence (rule 8).
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vault_scheduler.errors import VaultSchedError
from vault_scheduler.ledger.good_notes import GoodNote, GoodNotes, mark_of
from vault_scheduler.planning.approvals import AFTERMATH
from vault_scheduler.planning.known import Seen
from vault_scheduler.planning.registry import Registry
from vault_scheduler.run import Run
from vault_scheduler.task import Task, fingerprint

MOST_AT_ONCE = 250
"""A vault's first start brings thousands of notes, and no run waits for a safety net."""

_REMEMBERED = timedelta(seconds=20)
"""So long after its end a run is remembered for a change of its note that nobody has read yet: longer than AFTERMATH,
and than any read takes to be believed."""
_REMEMBERED_FOR_EDITS = timedelta(hours=2)
"""And while edits wait: one counts once its note has been left alone (`note_quiet`, at most an hour)."""

_SWITCHES = ("status", "enabled", "paused_until", "run_now")


@dataclass(slots=True, kw_only=True)
class _Span:
    """When a run was alive, in UTC."""

    run: str
    task: str
    began: datetime
    ended: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """When a note was changed, in UTC: as it was seen, and by the file's mtime where that can be believed."""

    seen_at: datetime
    written_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class _Found:
    """What has been seen and is not dealt with yet."""

    good: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, datetime] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    departed: set[str] = field(default_factory=set)


class LastGood:
    """Told of every look and every run. `notes` None: nothing can be kept.

    `times_tell`: the files' mtimes are by this machine's clock. `quiet_s`: see `Survey.quiet_s`; `read` gives a note
    that was not read, for it is known what it says. `edits_wait`: whether any edit is still to be left alone.
    """

    def __init__(
        self,
        notes: GoodNotes | None,
        registry: Registry,
        *,
        quiet_s: Callable[[str], float],
        held: Callable[[str], str],
        report: Callable[[str, str, str], None],
        read: Callable[[str], bytes],
        edits_wait: Callable[[], bool] = lambda: False,
        times_tell: bool = True,
    ) -> None:
        self._notes = notes
        self._times_tell = times_tell
        self._registry = registry
        self._quiet_s = quiet_s
        self._held = held
        self._report = report
        self._read = read
        self._edits_wait = edits_wait
        self._kept = notes.marks() if notes else {}  # of thousands: what they are is read when one changes
        self._spans: dict[str, _Span] = {}
        self._over: deque[str] = deque()  # runs by their ends, each as often as an attempt of it has ended
        self._found = _Found()
        self._trouble = ""

    # runs

    def run_started(self, run: Run, now: datetime) -> None:
        """What is written into its task's note from now on may be its doing."""
        span = self._spans.setdefault(run.id, _Span(run=run.id, task=run.task, began=run.started_at or now))
        span.ended = None  # its next attempt

    def run_ended(self, run: Run, at: datetime) -> None:
        """It is over."""
        if run.id in self._spans:
            self._spans[run.id].ended = at
            self._over.append(run.id)
        is_asked_for = bool(self._found.good or self._found.broken) or self._edits_wait()
        oldest = at - (_REMEMBERED_FOR_EDITS if is_asked_for else _REMEMBERED)
        while self._over and self._is_older(self._spans.get(self._over[0]), oldest):
            self._spans.pop(self._over.popleft(), None)

    def _is_older(self, span: _Span | None, oldest: datetime) -> bool:
        return span is None or (span.ended is not None and span.ended <= oldest)

    def _own_run(self, task: str, change: _Change) -> _Span | None:
        """The run of the task that was alive then, or had just ended; None if there was none, or if it was not it."""
        return next((span for span in self._spans.values() if span.task == task and _may_be_of(span, change)), None)

    # notes

    def take(self, seen: Seen) -> None:
        """Remember what a look brought; `look` deals with it, once the ledger knows of it."""
        self._found.good |= seen.good
        self._found.written |= seen.written
        self._found.broken |= seen.broken
        self._found.departed |= seen.departed

    def rename(self, old: str, new: str) -> None:
        """The task has another id now."""
        for span in self._spans.values():
            span.task = new if span.task == old else span.task
        if self._notes and old in self._kept:
            self._kept[new] = self._kept.pop(old)
            try:
                self._notes.rename(old, new)
            except VaultSchedError:
                self._kept.pop(new)  # kept again under its new name

    def look(self, now: datetime) -> None:
        """Keep what is good, and tell what a run did to its own note."""
        found = self._found
        now_kept = {path: found.good.pop(path) for path in tuple(itertools.islice(found.good, MOST_AT_ONCE))}
        changes = {path: self._change(path, found, now) for path in (*now_kept, *found.broken)}
        for path in changes:
            found.written.pop(path, None)
        self._found = _Found(good=found.good or {}, written=found.written if found.good else {})
        self._keep([note for path, data in now_kept.items() if (note := self._changed(path, data, changes[path], now))])
        for path in found.broken:
            entry = self._registry.entry(path)
            if entry is not None and entry.task is not None and entry.invalid_since is not None:
                self._tell(entry.task.id, path, "broken", changes[path])
        for task in found.departed:
            kept = self._newest(task) if self._registry.holder(task) is None else None
            if kept is not None:
                self._tell(task, kept.path, "removed or renamed", _Change(seen_at=now))

    def _change(self, path: str, found: _Found, now: datetime) -> _Change:
        written_at = found.written.get(path) if self._times_tell else None
        if written_at is not None and written_at > now:
            written_at = None  # by no clock of ours
        return _Change(seen_at=now - timedelta(seconds=min(self._quiet_s(path), 1e9)), written_at=written_at)

    def _changed(self, path: str, data: bytes, change: _Change, now: datetime) -> GoodNote | None:
        """The note as it is to be kept; None if it says what the one says that is kept."""
        entry = self._registry.entry(path)
        if entry is None or entry.task is None or entry.invalid_since is not None or self._held(entry.task.id):
            return None  # what waits for approval is nothing to go back to
        task = entry.task
        if self._kept.get(task.id) == mark_of(task.definition, _switches(task), path):
            return None
        kept = self._newest(task.id)
        is_other = kept is not None and kept.definition != task.definition
        span = self._own_run(task.id, change) if is_other else None
        run = span.run if span is not None else kept.run if kept is not None and not is_other else ""
        if kept is not None and run and kept.properties != _properties(task):
            self._tell(task.id, path, "given other properties", change)
        data = data or self._read(path)
        if not data:
            return None  # somebody is at it: it is kept when it has been read
        return GoodNote(
            task=task.id,
            path=path,
            definition=task.definition,
            properties=_properties(task),
            switches=_switches(task),
            kept_at=now,
            run=run,
            data=data,
        )

    def _keep(self, notes: list[GoodNote]) -> None:
        if not notes or self._notes is None:
            return
        try:
            self._notes.mend()
            self._notes.keep(notes)
        except VaultSchedError as error:  # a safety net that cannot be hung up stops nobody
            if str(error) != self._trouble:
                self._report(notes[0].path, f"its text cannot be kept for `vault-sched restore`: {error}", "")
            self._trouble = str(error)
            return
        self._trouble = ""
        for note in notes:
            self._kept[note.task] = note.mark

    def _newest(self, task: str) -> GoodNote | None:
        try:
            return self._notes.newest_of(task) if self._notes is not None and task in self._kept else None
        except VaultSchedError:  # as if nothing were kept of it
            return None

    def _tell(self, task: str, path: str, what: str, change: _Change) -> None:
        span = self._own_run(task, change)
        if span is not None and self._notes is not None:
            fix = f"If that was not meant, `vault-sched restore {task}` brings back what it said before."
            when = "was alive" if _was_alive(span, change) else "was alive, or right after"
            self._report(path, f"this note was {what} while its own run {span.run} {when}", fix)


def _may_be_of(span: _Span, change: _Change) -> bool:
    """Whether a run can have made a change: not one that was written when all its processes had ended."""
    if span.ended is None or change.seen_at <= span.ended:
        return span.began <= change.seen_at
    is_later = change.written_at is not None and change.written_at > span.ended
    return change.seen_at <= span.ended + AFTERMATH and not is_later


def _was_alive(span: _Span, change: _Change) -> bool:
    """Whether that is certain: synced files and moved ones bring older times with them."""
    if span.ended is None or change.seen_at <= span.ended:
        return True
    return change.written_at is not None and span.began <= change.written_at <= span.ended


def _switches(task: Task) -> str:
    return f"{task.status.value} {task.paused_until or ''}".strip()


def _properties(task: Task) -> str:
    return fingerprint({key: value for key, value in task.declared.items() if key not in _SWITCHES})
