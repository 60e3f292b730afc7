"""Files that tasks watch (`on_change`, rule 1.6): looked at while a task watches, and turned into claims."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from vault_scheduler.daemon.claims import Claims
from vault_scheduler.daemon.roster import Roster, Tracked
from vault_scheduler.errors import VaultSchedError
from vault_scheduler.planning.changes import UNKNOWN_BEFORE, Changed, FileStamp, Gathering, differences
from vault_scheduler.platform.hashed import digest
from vault_scheduler.run import Outcome, Result, Run
from vault_scheduler.triggers.globs import Reach, covers, globs, joined
from vault_scheduler.vault.files import scan
from vault_scheduler.vault.vault import Vault, Written

PAUSE_S = 1.0
"""After hints the files are not looked at more often than this …"""
UNASKED_S = 5.0
"""… and on the occasion of other ticks not more often than this."""
FILES_A_SECOND = 10_000
"""And a second later for each so many files, so that looking stays cheap."""


@dataclass(slots=True, kw_only=True)
class _Watch:
    fingerprint: str
    reach: Reach
    gathering: Gathering


@dataclass(slots=True, kw_only=True)
class _Attempt:
    task: str
    tells: bool  # its result will say exactly what it wrote
    has_ended: bool = False
    own: Collection[str] | None = None  # what it wrote, if it told


class Changes:
    """Knows the files within reach of the globs of tasks that fire, and which changes no run has been started for."""

    def __init__(self, *, vault: Vault, roster: Roster, claims: Claims, start_id: str) -> None:
        self._vault = vault
        self._roster = roster
        self._claims = claims
        self._start_id = start_id
        self._never = [vault.rel(path) for path in (vault.logs_folder, vault.status_path)]
        self._interested: set[str] = set()  # tasks that have `on_change`, armed or not
        self._watches: dict[str, _Watch] = {}
        self._files: dict[str, FileStamp] = {}
        self._reach: Reach = {}
        self._scanned_at = float("-inf")
        self._asked_at = float("-inf")  # the last look after a hint
        self._is_hinted = False
        self._ours: dict[str, str] = {}  # path → hash of what we wrote there last
        self._lost: dict[str, FileStamp | None] = {}  # somebody's changes that our own write hid
        self._going: dict[str, _Attempt] = {}
        self._batches = 0
        self.follow: Callable[[Reach], None] = lambda reach: None  # told where hints are wanted

    # what others tell

    def reconsider(self, task: str) -> None:
        """The task's note has been looked at anew."""
        tracked = self._roster.get(task)
        (self._interested.add if tracked and tracked.task.on_change else self._interested.discard)(task)

    def rename(self, old: str, new: str) -> None:
        """A task goes on under another id, with the changes that it waits for."""
        if old in self._watches:
            self._watches[new] = self._watches.pop(old)
        for attempt in self._going.values():
            attempt.task = new if attempt.task == old else attempt.task

    def hint(self, paths: Iterable[str]) -> bool:
        """Something may have happened to these files or below these folders; whether that could start a task."""
        matters = bool(self._watches) and any(self._may_matter(path) for path in paths)
        self._is_hinted = self._is_hinted or matters
        return matters

    def _may_matter(self, path: str) -> bool:
        if path in self._never or path.startswith(f"{self._never[0]}/"):
            return False
        if path == "." or covers(self._reach, path):
            return True
        return any(folder == path or folder.startswith(f"{path}/") for folder in self._reach)

    def wrote(self, written: Written) -> None:
        """The daemon changed a file: nobody's change, unless it hides one that has not been seen yet."""
        path = written.path
        if not covers(self._reach, path):
            return
        before = written.replaced.before_stat if written.replaced else None
        is_known = written.before_hash == self._ours.get(path) or before == self._files.get(path)
        if written.merges or not is_known:
            self._lost.setdefault(path, UNKNOWN_BEFORE)
            self._is_hinted = True
        self._ours[path] = written.after_hash

    def attempt_began(self, run: Run, now_s: float) -> None:
        """A run is about to start: what has changed until now is not its doing."""
        if run.task in self._watches:
            self._scan(now_s)
        tracked = self._roster.get(run.task)
        self._going[run.id] = _Attempt(task=run.task, tells=tracked is not None and not tracked.task.asks_for_shell)

    def attempt_ended(self, run: str, result: Result, now_s: float) -> None:
        """A run has come to its end: what changed meanwhile is its doing, but for what it surely did not write."""
        attempt = self._going.get(run)
        if attempt is None:
            return
        attempt.has_ended = True
        attempt.own = result.changed_notes if attempt.tells and result.outcome is Outcome.SUCCESS else None
        if attempt.task in self._watches:
            self._scan(now_s)
        else:
            self._judge_ended(now_s)

    # looking

    def look(self, now: datetime, now_s: float) -> None:
        """See which tasks watch now, and what has changed for them."""
        wanted: dict[str, Tracked] = {}
        for task in self._interested:
            with self._roster.alone(task):
                if (tracked := self._watching(task, now)) is not None:
                    wanted[task] = tracked
        if {task: tracked.task.trigger_fingerprint for task, tracked in wanted.items()} != self._fingerprints():
            self._rewatch(wanted, now_s)
        elif self._watches and self._is_time(now_s):
            self._scan(now_s)

    def _watching(self, task: str, now: datetime) -> Tracked | None:
        """The task, if changes count for it now: start it, or end `blocked`."""
        tracked = self._roster.get(task)
        if tracked is None or not tracked.fires or tracked.is_used_up(self._roster.row(task)):
            return None
        return tracked if tracked.task.schedule.covers(now) else None

    def _fingerprints(self) -> dict[str, str]:
        return {task: watch.fingerprint for task, watch in self._watches.items()}

    def _rewatch(self, wanted: dict[str, Tracked], now_s: float) -> None:
        """Other tasks watch than before, or other files: what has changed until now was for the former ones.

        Files that come into reach, or leave it, look as if they were added or removed; the globs of those that watch
        before and after name none of them.
        """
        watches: dict[str, _Watch] = {}
        for task, tracked in wanted.items():
            with self._roster.alone(task):
                watches[task] = self._watch_of(tracked)
        reach = joined(watch.reach for watch in watches.values())
        if not self._scan(now_s, reach):
            return
        if reach != self._reach:
            self.follow(reach)
        self._watches, self._reach = watches, reach
        if not watches:
            self._ours.clear()
            self._lost.clear()

    def _watch_of(self, tracked: Tracked) -> _Watch:
        """The watch that the task has already, unless its triggers have been edited."""
        task = tracked.task
        watch = self._watches.get(task.id)
        if watch is not None and watch.fingerprint == task.trigger_fingerprint:
            return watch
        found = globs(task.on_change)
        gathering = Gathering(found, task.debounce.total_seconds())
        return _Watch(fingerprint=task.trigger_fingerprint, reach=found.reach, gathering=gathering)

    @property
    def _soonest_scan(self) -> float:
        after = self._asked_at + PAUSE_S if self._is_hinted else self._scanned_at + UNASKED_S
        return after + len(self._files) / FILES_A_SECOND

    def _is_time(self, now_s: float) -> bool:
        """Before a batch becomes a run, too: a file that is still being written keeps it open."""
        is_due = any(self._scanned_at < due <= now_s for due in self._due_moments())
        return is_due or now_s >= self._soonest_scan

    def _scan(self, now_s: float, reach: Reach | None = None) -> bool:
        """Compare the files with what was known of them; False if the vault is away."""
        reach = self._reach if reach is None else reach
        files = scan(self._vault, reach, self._never).over(self._files) if reach else {}
        if not self._vault.is_there():
            return False
        changed = differences(self._files, files)
        if self._is_hinted:
            self._asked_at, self._is_hinted = now_s, False
        self._files, self._scanned_at = files, now_s
        lost, self._lost = self._lost, {}
        self._tell({**{path: stamp for path, stamp in changed.items() if not self._is_ours(path)}, **lost}, now_s)
        return True

    def _is_ours(self, path: str) -> bool:
        """Whether the file is as we wrote it: some network disks change its mtime afterwards."""
        if path not in self._ours:
            return False
        try:
            is_ours = digest(self._vault.read(path) or b"") == self._ours[path]
        except VaultSchedError:
            is_ours = False
        if not is_ours:
            del self._ours[path]
        return is_ours

    def _tell(self, changed: Changed, now_s: float) -> None:
        going = {attempt.task for attempt in self._going.values()}
        for task, watch in self._watches.items():
            watch.gathering.notice(changed, now_s, is_going=task in going)
        self._judge_ended(now_s)

    def _judge_ended(self, now_s: float) -> None:
        """Once no run of a task is going on any more, what was seen meanwhile is others' or its own."""
        for task in {attempt.task for attempt in self._going.values() if attempt.has_ended}:
            runs = {run: attempt for run, attempt in self._going.items() if attempt.task == task}
            if not all(attempt.has_ended for attempt in runs.values()):
                continue
            self._going = {run: attempt for run, attempt in self._going.items() if run not in runs}
            told = [attempt.own for attempt in runs.values() if attempt.own is not None]
            if task in self._watches:
                gathering = self._watches[task].gathering
                own = {path for paths in told for path in paths}
                own |= {path for path in gathering.suspects if self._real(path) in own}
                gathering.acquit(own if len(told) == len(runs) else None, now_s)

    def _real(self, path: str) -> str:
        """Where a file lies that was found through a link, perhaps."""
        place = self._vault.place(path)
        return self._vault.rel(place) if place is not None else path

    # claims

    def next_moment(self) -> float | None:
        """The awake second at which there is something to look at, or to claim; None: only when something happens."""
        moments = self._due_moments()
        if self._is_hinted and self._watches:
            moments.append(self._soonest_scan)
        return min(moments, default=None)

    def claim(self, now: datetime, now_s: float) -> None:
        """Claim a run for each batch that is due and whose task is free; the others keep theirs until it is."""
        for task, watch in self._watches.items():
            due = watch.gathering.due_at
            if due is not None and due <= now_s and self._is_free(task):
                paths = watch.gathering.take(self._files, now_s)
                if paths:
                    self._batches += 1
                    with self._roster.alone(task):
                        self._claims.change(task, f"{self._start_id}-{self._batches}", paths, now)

    def _due_moments(self) -> list[float]:
        """When the batches of tasks that are free to run are due."""
        dues = {task: watch.gathering.due_at for task, watch in self._watches.items()}
        return [due for task, due in dues.items() if due is not None and self._is_free(task)]

    def _is_free(self, task: str) -> bool:
        return self._roster.get(task) is not None and not self._claims.is_busy(task)
