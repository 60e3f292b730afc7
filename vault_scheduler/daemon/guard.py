"""Who may run and who may spend: pins and holds (rule 8), the day's budget (rule 9), asked by the scheduler."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.named_files import named_files
from vault_scheduler.errors import VaultSchedError
from vault_scheduler.ledger.trust import Hold, Pin, Trust
from vault_scheduler.planning.approvals import (
    AFTERMATH,
    Held,
    Rights,
    TrustMode,
    Verdict,
    pin_hash,
    restricting,
    rights_of,
    verdict,
)
from vault_scheduler.planning.budget import affordable
from vault_scheduler.planning.planner import is_going
from vault_scheduler.run import Run
from vault_scheduler.settings import Settings
from vault_scheduler.task import Task
from vault_scheduler.vault.sweep import Stamp
from vault_scheduler.vault.vault import Vault

_REMEMBERED = timedelta(hours=2)
"""An edit is judged once its note has been left alone (`note_quiet`, at most an hour); so long after it has ended, or
after this daemon started, a restricted run is known."""


@dataclass(slots=True, kw_only=True)
class Restricted:
    """A run without shell, while it is alive and for a while after. Times in UTC.

    `began`: the awake second before which it did not exist; None for one of a former daemon.
    """

    rights: Rights
    started_at: datetime
    began: float | None = None
    ended_at: datetime | None = None
    forget_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """When what a note says was first read (`seen_at`), and `read_at` the same in awake seconds.

    A run that began later did not write it. `written_at`: its mtime, which may be long before where nothing tells of
    changes and the note is found by a sweep, and which an MCP server may have made up. `now` may be later than all.
    """

    seen_at: datetime
    written_at: datetime | None = None
    read_at: float = float("inf")
    now: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What the file of approvals held when many definitions began to be judged at once."""

    pins: Mapping[str, str]  # task → hash
    holds: Collection[str]
    pins_known: bool


MANY = 100
"""To judge so many definitions, the file of approvals is read as a whole instead of three times for each."""


class Guard:
    """Judges definitions when they come into force, and starts when they cost money."""

    def __init__(
        self,
        trust: Trust,
        mode: TrustMode,
        vault: Vault,
        *,
        rebuild: Callable[[dict[str, Any], str], Task | None],
        timezone: Callable[[], str],
    ) -> None:
        self._trust = trust
        self._mode = mode
        self._vault = vault
        self._rebuild = rebuild
        self._timezone = timezone
        self._restricted: dict[str, Restricted] = {}
        self._has_ended = False  # one of them, since `suspects` was asked
        self._active: Callable[[], list[Run]] = list
        self._fresh: dict[str, Pin] = {}  # judged, not stored yet
        self._files: dict[str, tuple[Mapping[str, Stamp | None], str]] = {}  # task → files it names, its definition
        self._holds = {task: hold.why for task, hold in trust.holds().items()}
        self._stored: _Stored | None = None

    def watch(self, active: Callable[[], list[Run]]) -> None:
        """Where to ask for the runs that have not ended: what they may still spend is reserved."""
        self._active = active

    def fault(self) -> str:
        """What happened to the file of approvals under us, "" for nothing (rule 10)."""
        found = self._trust.check()
        return f"the file of approvals is {found}" if found else ""

    def put_back(self) -> None:
        """The file of approvals is missing: what we hold open of it is in its place again."""
        self._trust.reattach()

    # pins

    def judge(self, task: Task, source: Callable[[], str], sighted: Callable[[], Sight]) -> str:
        """Why this definition is held; "" if it may run. `source` is asked for its JSON where that is to be kept.

        `sighted` is asked where the definition is not pinned already, as that of most tasks is.
        """
        paths = named_files(task, self._vault)
        self._files.pop(task.id, None)
        if paths:  # of few tasks
            self._files[task.id] = ({path: self._stamp(path) for path in paths}, task.definition)
        definition = pin_hash(task.definition, self._read(paths))
        if self._is_pinned(task.id, definition):
            self._holds.pop(task.id, None)
            return ""
        pin, hold = self._known_pin(task.id), self._known_hold(task.id)
        sight = sighted()
        decision = self._decide(task, definition, pin, hold, sight)
        if isinstance(decision, Held):
            if hold is None or hold.hash != definition:
                self._trust.hold(task.id, definition, sight.seen_at, decision.reason, source())
            return self._keep_held(task.id, hold.why if hold else decision.reason)
        if decision.fresh:
            at = sight.seen_at
            self._fresh[task.id] = Pin(task=task.id, hash=definition, pinned_at=at, how="seen", source=source())
        elif hold is not None:
            self._trust.unhold(task.id)
        self._holds.pop(task.id, None)
        return ""

    def _decide(self, task: Task, definition: str, pin: Pin | None, hold: Hold | None, sight: Sight) -> Verdict:
        self._forget_old(sight.seen_at)
        is_changed = pin is not None and pin.hash != definition
        return verdict(
            self._mode,
            task=task,
            definition=definition,
            pinned=pin.hash if pin else None,
            old=self._rebuild(json.loads(pin.source), task.path) if is_changed and pin and pin.source else None,
            held=hold.hash if hold else None,
            restricting=self._restricting(sight.seen_at, sight.read_at)
            or self._restricting(sight.written_at or sight.seen_at, sight.read_at)
            or self._restricting_files(task.id, pin, sight.now or sight.seen_at),
            at=sight.seen_at,
            pins_known=self._trust.pins_known() if self._stored is None else self._stored.pins_known,
        )

    def _known_pin(self, task: str) -> Pin | None:
        is_stored = self._stored is None or task in self._stored.pins
        return self._fresh.get(task) or (self._trust.pin_of(task) if is_stored else None)

    def _known_hold(self, task: str) -> Hold | None:
        is_stored = self._stored is None or task in self._stored.holds
        return self._trust.held(task) if is_stored else None

    def _keep_held(self, task: str, why: str) -> str:
        self._holds[task] = f"held: {why}. Approve it with `vault-sched approve {task}`"
        return self._holds[task]

    @contextmanager
    def judging(self, count: int) -> Iterator[None]:
        """So many definitions are going to be judged, by nobody else and at one moment."""
        if count > MANY:
            trust = self._trust
            self._stored = _Stored(
                pins=trust.pin_hashes(), holds=frozenset(trust.holds()), pins_known=trust.pins_known()
            )
        try:
            yield
        finally:
            self._stored = None

    def _is_pinned(self, task: str, definition: str) -> bool:
        """Whether the file of approvals, read as a whole, has this pin and nothing else of the task."""
        stored = self._stored
        if stored is None or task in self._fresh or task in stored.holds:
            return False
        return stored.pins.get(task) == definition

    def store_pins(self) -> None:
        """Write down what has been pinned since; nothing that was judged may start before."""
        if self._fresh:
            self._trust.pin_all(list(self._fresh.values()))
            self._fresh.clear()

    def held(self, task: str) -> str:
        """Why the task's definition is held, as last judged."""
        return self._holds.get(task, "")

    def all_held(self) -> dict[str, str]:
        """The tasks whose definitions are held, each with the reason."""
        return dict(self._holds)

    def to_be_judged(self, tasks: Iterable[Task]) -> set[str]:
        """The ids of those of these tasks whose files were changed since they were judged; cheap."""
        return {task.id for task in tasks if self._has_other_files(task)}

    def _has_other_files(self, task: Task) -> bool:
        files, definition = self._files.get(task.id, ({}, task.definition))
        return definition == task.definition and self._are_other(files)

    def _are_other(self, files: Mapping[str, Stamp | None]) -> bool:
        return any(self._stamp(path) != was for path, was in files.items())

    def _stamp(self, path: str) -> Stamp | None:
        try:
            return self._vault.stamp(path)
        except VaultSchedError:  # no file of the vault can have this name
            return None

    def suspects(self) -> set[str]:
        """The tasks whose files a restricted run may have changed that has ended since this was last asked.

        They are judged while it is known, and not hours later when they are to start.
        """
        has_ended, self._has_ended = self._has_ended, False
        return {task for task in self._files if self._are_other(self._files[task][0])} if has_ended else set()

    def approved(self) -> set[str]:
        """The ids of tasks that were held when last judged, and that somebody has approved since."""
        return self._holds.keys() - self._trust.holds().keys() if self._holds else set()

    def lost(self, task: str) -> None:
        """The task's note is gone: nothing of it is held that could run."""
        self._holds.pop(task, None)
        self._files.pop(task, None)

    def rename(self, old: str, new: str) -> None:
        """Pin, hold and spend follow the task."""
        self._trust.rename(old, new)
        self._files.pop(old, None)  # it is judged anew under its new name
        if old in self._holds:
            self._holds[new] = self._holds.pop(old)

    def run_started(self, run: Run, task: Task | None, began: float | None = None) -> None:
        """A run without shell is alive: what is written now may be its doing.

        `began`: the awake second right before an attempt is started, None if that is not known. `task` None: it
        was found after a crash, and its note has not been read yet; the pin tells what it could do.
        """
        if task is None:
            pin = self._trust.pin_of(run.task)
            task = self._rebuild(json.loads(pin.source), run.path) if pin and pin.source else None
        rights = rights_of(task) if task is not None else None
        if rights is not None and run.started_at is not None:
            former = self._restricted.get(run.id)
            began = former.began if former is not None else began
            self._restricted[run.id] = Restricted(rights=rights, started_at=run.started_at, began=began)

    def run_ended(self, run: Run, at: datetime) -> None:
        """It is over."""
        if run.id in self._restricted:
            self._restricted[run.id].ended_at = at
            self._restricted[run.id].forget_at = at + _REMEMBERED
            self._has_ended = True

    def run_withdrawn(self, run: Run) -> None:
        """Its gate said no: there was no session, so nobody is under suspicion."""
        self._restricted.pop(run.id, None)

    def recall(self, runs: Iterable[Run], now: datetime) -> None:
        """Runs that ended under a former daemon: what they wrote at the end may not have been judged by it."""
        for run in runs:
            if run.ended_at is not None and not run.never_started:
                self.run_started(run, None)
                self.run_ended(run, run.ended_at)
                if run.id in self._restricted:
                    self._restricted[run.id].forget_at = now + _REMEMBERED

    def _restricting_files(self, task: str, pin: Pin | None, now: datetime) -> tuple[Rights, ...]:
        """The same of the files that the task names, if they were changed since it was pinned."""
        files, _ = self._files.get(task, ({}, ""))
        moments = [min(now, _changed_at(stamp)) for stamp in files.values() if stamp is not None]
        changed = [moment for moment in moments if pin is not None and moment > pin.pinned_at]
        return tuple(rights for moment in changed for rights in self._restricting(moment, None))

    def _restricting(self, moment: datetime, read_at: float | None) -> tuple[Rights, ...]:
        """The rights of the runs that may have made a change of this moment: not of those that began later."""
        suspects = [run for run in self._restricted.values() if _was_there(run, moment, read_at)]
        return restricting([(run.rights, run.ended_at) for run in suspects], moment)

    def _forget_old(self, now: datetime) -> None:
        self._restricted = {
            run_id: run for run_id, run in self._restricted.items() if run.forget_at is None or now < run.forget_at
        }

    def _read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """The files in the vault that a definition names: to change them is to change what runs."""
        files: dict[str, bytes] = {}
        for path in paths:
            try:
                data = self._vault.read(path)
            except VaultSchedError:
                continue
            if data is not None:
                files[path] = data
        return files

    # money

    def refusal(self, run: Run, task_cap: float | None, settings: Settings, now: datetime) -> str:
        """Why a run that reserves `run.reserved_usd` may not start now; "" if it may."""
        if not run.reserved_usd:
            return ""  # what costs nothing always fits
        spent = self._trust.spent(self._day(now))
        # Of those that wait only the ones before this one count: else twenty that are due together, of which ten
        # can be paid for, would refuse each other.
        turn = (run.fire_time, run.id)
        others = [o for o in self._active() if o.id != run.id and (is_going(o) or (o.fire_time, o.id) < turn)]
        return (
            affordable(
                spent_task=spent.of(run.task),
                spent_vault=spent.total,
                reserved_task=sum(self._reserved(other) for other in others if other.task == run.task),
                reserved_vault=sum(self._reserved(other) for other in others),
                ask=self._reserved(run),
                task_cap=task_cap,
                vault_cap=settings.vault_max_usd_day,
            )
            or ""
        )

    def _reserved(self, run: Run) -> float:
        return max(0.0, run.reserved_usd - self._trust.spent_by(run.id)) if run.reserved_usd else 0.0

    def charge(self, run: Run, attempt: int, usd: float, now: datetime) -> None:
        """Book what an attempt cost."""
        self._trust.add_spend(run.id, attempt, run.task, self._day(now), usd)

    def spent_by(self, run: Run) -> float:
        """What the attempts of a run have cost so far (US dollars)."""
        return self._trust.spent_by(run.id)

    def dearest_of(self, run: Run) -> float:
        """What the dearest attempt of a run has cost so far (US dollars)."""
        return self._trust.dearest_of(run.id)

    def spent(self, now: datetime) -> tuple[float, float]:
        """What today and this month have cost in the vault's zone (US dollars)."""
        today = self._day(now)
        return self._trust.spent(today).total, self._trust.spent_since(today.replace(day=1))

    def _day(self, now: datetime) -> date:
        return now.astimezone(ZoneInfo(self._timezone())).date()


def _was_there(run: Restricted, moment: datetime, read_at: float | None) -> bool:
    """Whether a run had begun before a change. What came first is known where this daemon saw both, whatever the clock
    says, which may have been set meanwhile."""
    return run.started_at <= moment + AFTERMATH if run.began is None or read_at is None else run.began <= read_at


def _changed_at(stamp: Stamp) -> datetime:
    """When anything of the file was changed: by its ctime, which programs cannot choose."""
    return datetime.fromtimestamp(stamp.ctime_ns / 1e9, UTC)
