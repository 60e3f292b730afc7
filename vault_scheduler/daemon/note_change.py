"""What a write changes in a task's note (rule 6): the scheduler's own keys, and the entries of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.conversations import taken
from vault_scheduler.notes.note import Document, editable, set_keys
from vault_scheduler.notes.places import Places, places_of, rewrite
from vault_scheduler.notes.runs_section import RunEntry, put_runs
from vault_scheduler.parsing.values import spoken
from vault_scheduler.platform.hashed import Hashed, digest
from vault_scheduler.run import Run

FREQUENT = timedelta(minutes=5)
"""The `next_run` of a task that fires more often is set together with a result, never by a write of its own: it would
be wrong again before anybody has read it, and each write makes sync upload the note."""
OURS = ("last_run", "last_status", "next_run", "question")
WAITING = "waiting"
"""The `last_status` of a task whose run waits for the plan's limits."""
Value = str | bool | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteView:
    """What the scribe asks of a task's note at the moment of writing. Times of the keys are local, without offset."""

    path: str
    zone: ZoneInfo
    next_run: datetime | None
    keep_runs: int
    untick: bool  # `run_now` was taken
    busy: bool  # the note's own Claude run is active
    elsewhere: bool = False  # another machine runs the task now, and the keys are that one's to write
    expects_run: bool = False  # a run of the task has not ended
    frequent: bool = False  # it fires again less than FREQUENT after `next_run`
    stands: Mapping[str, str | None] = field(default_factory=dict)  # the values of OURS that the note holds now
    talks: bool = False  # its runs can ask
    rests: bool = False  # a run waits for the plan's limits, for hours perhaps
    question: str = ""  # what waits for an answer, in one line
    asked_by: str = ""  # the run that asked
    taken: str = ""  # the mark of the answer that was taken from the note


class JustEdited(Exception):
    """Nobody has told us yet, but the note is not what it was when it was quiet."""


def at_any_time(_: bytes) -> bool:
    """For a note that may be written whatever stands in it now."""
    return True


@dataclass(slots=True)
class NoteChange:
    """Keys and runs for a task's note. It can be laid over the note again, over what others wrote late for example."""

    keys: Mapping[str, Value]
    entries: Sequence[RunEntry]
    keep_runs: int
    open_runs: set[str] = field(default_factory=set)  # their questions are open
    taken: str = ""  # the mark of the answer that was taken, and is cleared if it still stands
    may_write: Callable[[bytes], bool] = at_any_time
    known: Mapping[str, Places] = field(default_factory=dict)  # hash of a note → where things stand in it
    stood: Set[str] = frozenset()  # the runs in the note before
    left: Set[str] = frozenset()  # and after it
    made: Hashed = field(default_factory=Hashed)  # the note that was made last
    places: Places | None = None  # where things stand in that

    def __call__(self, data: bytes) -> bytes:
        """The note with the change. Raises JustEdited."""
        if not self.may_write(data):
            raise JustEdited
        if not self.entries:
            return set_keys(data, worth_setting(data, self.keys, self.taken))
        self.made = Hashed(self._rewritten(data) or self._read_whole(data))
        return self.made

    def _rewritten(self, data: bytes) -> bytes:
        """A note that is as our own last write left it is not read whole again; empty if it is to be."""
        places = self.known.get(digest(data)) if self.known else None
        found = rewrite(data, places, self.keys, self.entries, self.keep_runs, self.open_runs) if places else None
        if found is None:
            return b""
        self.stood, self.left, self.places = found.inserted.before, found.inserted.after, found.places
        return found.inserted.data

    def _read_whole(self, data: bytes) -> bytes:
        new = set_keys(data, worth_setting(data, self.keys, self.taken))
        runs = put_runs(editable(new), self.entries, self.keep_runs, self.open_runs)
        self.stood, self.left, self.places = runs.before, runs.after, places_of(runs.data, self.keys)
        return runs.data


def keys_of(last: Run | None, note: NoteView) -> dict[str, Value]:
    """The scheduler's own keys as they are to stand in the note; `last` is the task's last run that started."""
    keys: dict[str, Value] = {}
    if note.elsewhere:
        return keys
    if last is not None:
        keys["last_run"] = local_text(last.started_at or last.fire_time, note.zone)
        keys["last_status"] = last.outcome.value if last.outcome else None
    if note.rests:
        keys["last_status"] = WAITING
    keys["next_run"] = _next_run_text(note)
    if note.untick:
        keys["run_now"] = False
    if note.talks:
        keys["question"] = note.question or None
        keys["answer"] = None
    return keys


def worth_setting(data: bytes, keys: Mapping[str, Value], answered: str = "") -> dict[str, Value]:
    """Without the empty ones that the note does not have: a bare `question:` in every note helps nobody.

    A question brings an empty `answer` with it, to be typed into: on a phone a property is tedious to add. Of answers
    only the one with this mark is cleared: what a person has typed since is theirs.
    """
    there = Document.parse(data).mapping
    worth = {key: value for key, value in keys.items() if value is not None or there.get(key) is not None}
    if "answer" in worth and (not answered or answered != taken(spoken(there["answer"]))):
        del worth["answer"]
    if worth.get("question") and "answer" not in there:
        worth["answer"] = None
    return worth


def _next_run_text(note: NoteView) -> str | None:
    return local_text(note.next_run, note.zone) if note.next_run else None


def local_text(moment: datetime, zone: ZoneInfo) -> str:
    """`2026-11-20T07:00:00`: local, without offset, as Obsidian's date-and-time properties are."""
    return moment.astimezone(zone).replace(tzinfo=None, microsecond=0).isoformat()
