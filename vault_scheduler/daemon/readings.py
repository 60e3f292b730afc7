"""Files as they can be believed: hints and sweeps say where to look, two equal reads what is there (rule 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice

from vault_scheduler.daemon.keeping import STILL_S, Keeping, Known
from vault_scheduler.platform.hashed import digest
from vault_scheduler.vault.sightings import Believed, Sightings
from vault_scheduler.vault.sweep import Stamp
from vault_scheduler.vault.vault import Vault, Written

SWEEP_S = 30.0
"""The folder is looked over this often, because watchers miss events."""
AWAY_S = 1.0
"""And a vault that is away this often."""
ANEW_AT_ONCE = 250
"""So many files are judged anew in one look. When the zone changes it is all of them, and runs do not wait for that."""
LARGE_BYTES = 256 * 1024
"""Of files larger than this one is read in a look: reading it may take a good part of a second."""


YOUNG_AT_ONCE = 250
"""So many files that were young when they were read are read again with a sweep: only then can what they say be kept.
"""
UNTOLD_S = 0.5
"""A change is told of after so long at most: the watcher waits until nothing more comes for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The bytes of a file that can be believed; None: it is gone. They were not read where what they say is `kept`."""

    data: bytes | None
    digest: str
    since: float  # the awake second of the first read that gave these bytes
    is_new: bool  # nothing was believed of this path before
    is_ours: bool  # the daemon wrote it
    is_same: bool  # it is to be judged anew, though nobody changed it
    kept: Known | None = None
    written_at: datetime | None = None  # by the file's mtime, in UTC
    age_s: float = 0.0  # seconds for which the file had been like this, as its own times tell it

    @property
    def is_edit(self) -> bool:
        """Whether somebody else than us changed it."""
        return not (self.is_ours or self.is_same)


class Readings:
    """Knows which files are to be read when, and what was last believed of each. Times are seconds awake."""

    def __init__(self, vault: Vault, settings_path: str, keeping: Keeping) -> None:
        self._vault = vault
        self._keeping = keeping
        self._settings_path = settings_path
        self._digests: dict[str, bytes] = {}  # of what was believed, not in hex
        self._sightings = Sightings()
        self._look_at: dict[str, float] = {}
        self._again: set[str] = set()  # to be judged anew although the bytes are the same
        self._stamps: dict[str, Stamp] = {}
        self._ours: dict[str, str] = {}
        self._young: dict[str, None] = {}  # read when they had been changed just now, in order
        self.next_sweep = 0.0

    def __contains__(self, path: str) -> bool:
        """Whether something was believed of this path."""
        return path in self._digests

    def paths(self) -> list[str]:
        """The paths of which something was believed."""
        return list(self._digests)

    # where to look

    def hint(self, paths: Iterable[str]) -> None:
        """Something may have happened to these files; a path that is no note's asks for a sweep."""
        for path in paths:
            if path == self._settings_path or self._vault.is_task_path(path):
                self._look_at[path] = 0.0
            elif not path.endswith(".md"):
                self.next_sweep = 0.0  # a folder came, went or was renamed

    def judge_anew(self, paths: Iterable[str]) -> None:
        """What surrounds these files has changed: their bytes mean something else."""
        for path in paths:
            self._again.add(path)
            self._look_at[path] = 0.0

    def wrote(self, written: Written) -> None:
        """The daemon changed the file: no edit of anybody's, if it changed what is known."""
        if written.before_hash in (self._digest(written.path), self._ours.get(written.path)):
            self._ours[written.path] = written.after_hash
        self.hint([written.path])

    def sweep(self, monotonic: float, former: Iterable[str]) -> None:
        """Compare the folder with what is known of it, and with what the ledger knew; the next time in 30 s."""
        self.next_sweep = monotonic + SWEEP_S
        self.compare(former)
        for path in list(islice(self._young, YOUNG_AT_ONCE)):
            del self._young[path]
            self._look_at.setdefault(path, 0.0)
        self._young = self._young or {}  # its table else stays as large as it was

    def compare(self, former: Iterable[str] = ()) -> None:
        """Compare the folder with what is known of it: what differs is to be read."""
        sweep = self._vault.sweep()
        changed = {path for path, stamp in sweep.notes.items() if self._stamps.get(path) != stamp}
        known = chain(self._stamps, self._digests, former)
        gone = {path for path in known if path not in sweep.notes and sweep.knows(path)}
        for path in gone:
            self._stamps.pop(path, None)
        self._stamps.update((path, sweep.notes[path]) for path in changed)
        for path in changed | gone | {self._settings_path}:
            self._look_at.setdefault(path, 0.0)

    def is_there(self, path: str) -> bool:
        """Whether the last look at the folder has seen the file."""
        return path in self._stamps

    def waits(self, path: str) -> bool:
        """Whether the file is still to be read."""
        return path in self._look_at

    def waiting(self) -> Iterable[str]:
        """The files that are still to be read."""
        return self._look_at.keys()

    def due(self, monotonic: float) -> list[str]:
        """The files to be read now; of those that nobody changed the first few, of large ones the first."""
        due = [path for path, at in self._look_at.items() if at <= monotonic]
        later = {
            *[path for path in due if path in self._again][ANEW_AT_ONCE:],
            *[path for path in due if path in self._stamps and self._stamps[path].size > LARGE_BYTES][1:],
        }
        return [path for path in due if path not in later] if later else due

    def next_read(self, path: str | None = None) -> float:
        """The moment of the next read, of this file or of any."""
        if path is not None:
            return self._look_at.get(path, float("inf"))
        return min(self._look_at.values(), default=float("inf"))

    def knows(self, path: str, data: bytes) -> bool:
        """Whether these bytes were believed, or written by us; else somebody is at the file."""
        return digest(data) in (self._digest(path), self._ours.get(path))

    def _digest(self, path: str) -> str | None:
        """Of what was believed of the file; None if nothing was."""
        known = self._digests.get(path)
        return known.hex() if known is not None else None

    # reading

    def read(self, path: str, now: datetime, monotonic: float, *, was_task: bool, first_look: bool) -> Reading | None:
        """Read the file; None if nothing has changed, or if it cannot be believed yet (and will be read again).

        `was_task`: the last thing known of it was a task. Raises NoteUnreadable; then, and after any other error of the
        reading, it is read again with the next sweep.
        """
        del self._look_at[path]
        if not self._look_at:
            self._look_at = {}  # the table of one that held thousands stays as large as it was
        kept = self._kept(path, now) if first_look else None
        if kept is not None:
            self._digests[path] = bytes.fromhex(kept.digest)
            return Reading(
                data=b"", digest=kept.digest, since=monotonic, is_new=True, is_ours=False, is_same=False, kept=kept
            )
        data, stamp = self._read(path)
        current = digest(data) if data is not None else ""
        if stamp is not None and not self._keeping.proven(path, current, stamp, now):
            self._young[path] = None
        is_unread = path not in self._digests and was_task
        if current == (self._digest(path) or "") and not is_unread:
            self._sightings.forget(path)
            return self._take(path, data, current, monotonic, stamp) if path in self._again else None
        since = monotonic
        if current != self._ours.get(path):
            settled = first_look and self.age_s(path, now) > STILL_S
            verdict = self._sightings.see(path, data, monotonic, was_task, settled=settled)
            if not isinstance(verdict, Believed):
                self._look_at[path] = verdict.at
                return None
            since = verdict.since
        return self._take(path, data, current, since, stamp, _age_s(stamp, now))

    def _read(self, path: str) -> tuple[bytes | None, Stamp | None]:
        try:
            return self._vault.read_stamped(path) or (None, None)
        except Exception:  # one that nobody expected is tried again too
            self._again.add(path)
            self._stamps.pop(path, None)
            raise

    def _kept(self, path: str, now: datetime) -> Known | None:
        """What a former process read, if nobody has changed the file since."""
        stamp = self._stamps.get(path)
        if stamp is None or path in self._digests or self.age_s(path, now) <= STILL_S:
            return None
        return self._keeping.known(path, stamp, now)

    def _take(
        self, path: str, data: bytes | None, current: str, since: float, stamp: Stamp | None, age_s: float = 0.0
    ) -> Reading:
        before = self._digest(path)
        is_ours = self._ours.pop(path, None) == current
        self._again.discard(path)
        if data is None:
            self._digests.pop(path, None)
            self._stamps.pop(path, None)  # the next file of this name has an age of its own
        else:
            self._digests[path] = bytes.fromhex(current)
        is_new, is_same = before is None, before == current
        return Reading(
            data=data,
            digest=current,
            since=since,
            is_new=is_new,
            is_ours=is_ours,
            is_same=is_same,
            written_at=_mtime(stamp),
            age_s=age_s,
        )

    def put_off(self, path: str) -> None:
        """The vault went away while the file was read: it is read when the vault is back."""
        self._look_at[path] = 0.0

    # what else is known of a file

    def age_s(self, path: str, now: datetime) -> float:
        """Seconds since the file was modified; 0 for one that nobody has a stamp of."""
        stamp = self._stamps.get(path) or self._vault.stamp(path)
        return max(0.0, now.timestamp() - stamp.mtime_ns / 1e9) if stamp else 0.0

    def changed_at(self, path: str, reading: Reading, before: float | None, now: datetime, monotonic: float) -> float:
        """The awake second of the last change that was not ours; `before`: as it was before this reading, if ever.

        That of an edit is before its first reading. The file's own times may come from another machine's clock: they
        are believed for no longer than the watcher takes to tell of a change.
        """
        if before is None:
            return monotonic - self.age_s(path, now)
        if not reading.is_edit:
            return before
        return max(before, min(reading.since, max(reading.since - UNTOLD_S, monotonic - reading.age_s)))

    def modified_at(self, path: str) -> datetime | None:
        """The file's mtime, in UTC."""
        return _mtime(self._stamps.get(path) or self._vault.stamp(path))


def _mtime(stamp: Stamp | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(stamp.mtime_ns / 1e9, UTC) if stamp else None
    except (OverflowError, ValueError):  # some file systems keep years that no calendar of ours has
        return None


def _age_s(stamp: Stamp | None, now: datetime) -> float:
    """Seconds since a file was changed."""
    return max(0.0, now.timestamp() - stamp.changed_ns / 1e9) if stamp else 0.0
