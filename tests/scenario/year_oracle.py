"""What must become of every fire time, worked out from what people and machines do: without planner, roster or ledger.

The oracle is told what happens when it happens. Its twins know of each task which fire times were due, when a daemon
that looks first saw each, and so how each must end (rules 3, 4 and 11). Instants are seconds since 1970.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from vault_scheduler.triggers.schedule import Schedule

ON_TIME_S = 60.0
GRACE_S = 60.0  # an invalid note's last good definition goes on for so long
CATCH_UP = 100
BELIEVED_S = 3.0  # what holds a task back is believed within this: its fire times until then may be due
LATE_S = 30.0  # no later than this while awake, with a free slot
AHEAD_S = 0.1  # a fire time may be claimed so much before it
FUZZ_S = 1.0  # lateness this close to a limit may be judged either way


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a note says that decides about fire times."""

    triggers: str  # as written, with bounds and zone: what the trigger fingerprint covers
    schedule: Schedule
    catch_up: str = "latest"
    max_late_s: float = 12 * 3600.0
    overlap: str = "skip"
    on_start: bool = False
    status: str = "active"
    paused_until: float = 0.0
    broken: bool = False


@dataclass(slots=True, kw_only=True)
class Due:
    """A fire time and how it must end: `run` (it was claimed), `missed`, `blocked`; `any`, where both are right.

    Not `certain`: it may have no outcome at all, because something changed within the same moment.
    """

    at: float
    seen: float  # when a daemon that looks first saw it
    fate: str
    certain: bool = True


@dataclass(slots=True)
class Twin:
    """One task, as it must stand."""

    name: str
    says: Declared  # in force
    mark: float  # nothing up to here is due any more
    on: bool = False
    exists: bool = True
    invalid_since: float | None = None
    due: dict[float, Due] = field(default_factory=dict)
    off: list[tuple[float, float]] = field(default_factory=list)  # spans in which what waits is given up
    off_since: float | None = None
    next: float | None = 0.0  # no fire time after the mark comes before this; None: none comes

    def fires(self, upto: float) -> Iterator[float]:
        """Fire times after the mark, up to and with `upto`."""
        while self.next is not None and self.next <= upto:
            found = self.says.schedule.next_after(datetime.fromtimestamp(self.mark, UTC))
            self.next = found.timestamp() if found else None
            if self.next is not None and self.next <= upto:
                self.mark = self.next
                yield self.next

    def set_mark(self, moment: float) -> None:
        """Nothing up to this moment is due any more."""
        self.mark, self.next = moment, 0.0

    def is_invalid(self, moment: float) -> bool:
        """Whether the note is invalid, and its last good definition has run out."""
        return self.invalid_since is not None and moment >= self.invalid_since + GRACE_S

    def was_off(self, begin: float, end: float) -> bool:
        """Whether it was held back at any time between, give or take a second."""
        spans = self.off if self.off_since is None else [*self.off, (self.off_since, float("inf"))]
        return any(a <= end + FUZZ_S and b >= begin - FUZZ_S for a, b in spans)


class Oracle:
    """Twins of all tasks and of the vault's switch."""

    def __init__(self, now: float) -> None:
        self.twins: dict[str, Twin] = {}
        self.vault_status = "active"
        self.vault_paused_until = 0.0
        self.repeated_until = 0.0  # up to here time has been lived through before: the clock was set back
        self.looked = now

    # time

    def awake(self, now: float) -> None:
        """The daemon was there until now, and looked at each moment."""
        for twin in self.twins.values():
            self._awake(twin, now)
        self.looked = now

    def _awake(self, twin: Twin, now: float) -> None:
        if twin.on:
            for moment in twin.fires(now):
                self._add(twin, moment, moment, "blocked" if twin.is_invalid(moment) else "run")

    def missed_out(self, now: float, *, edited: Collection[str] = ()) -> None:
        """Nobody looked since; now somebody does. `edited`: tasks with an edit that counts from this very look on."""
        for twin in self.twins.values():
            if twin.on and twin.name in edited:
                for moment in list(twin.fires(now)):
                    self._add(twin, moment, now, "any", certain=False)
            elif twin.on:
                self._judge(twin, list(twin.fires(now)), now)
        self.looked = now

    def _judge(self, twin: Twin, moments: list[float], now: float) -> None:
        """Rule 4 for what has come due meanwhile."""
        again = bool(moments) and moments[0] <= self.repeated_until
        for moment, fate in zip(moments, _fates(twin, moments, now), strict=True):
            # Known: what is missed right after an hour that came again is not told (test_year_findings.py).
            self._add(twin, moment, now, fate, certain=not (again and fate == "missed"))

    def _add(self, twin: Twin, moment: float, seen: float, fate: str, *, certain: bool = True) -> None:
        if moment not in twin.due:
            lived = moment <= self.repeated_until  # what another schedule names in an hour that comes again
            due = Due(at=moment, seen=seen, fate="any" if lived else fate, certain=certain and not lived)
            twin.due[moment] = due

    def set_back(self, now: float, to: float) -> None:
        """The clock is being set back."""
        self.repeated_until = max(self.repeated_until, now)
        for twin in self.twins.values():
            if twin.off_since is not None:
                twin.off.append((twin.off_since, now))
                twin.off_since = to

    # tasks

    def add(self, name: str, says: Declared, now: float) -> Twin:
        """A task counts from now on."""
        twin = self.twins[name] = Twin(name, says, now)
        self._stand(twin, now)
        return twin

    def counts(self, twin: Twin, says: Declared, now: float, *, after_restart: bool = False) -> None:
        """An edit counts from now on: what was due before runs as it was, unless nobody looked at the time."""
        if not after_restart:
            self._awake(twin, now)
        was_invalid = twin.is_invalid(now)
        if says.broken:
            if twin.invalid_since is None:
                twin.invalid_since = now
            status = "" if says.status == "active" else says.status
            self.hold(twin, now, status=status, until=says.paused_until, after_restart=True)
            return
        twin.invalid_since = None
        changed = was_invalid or says.triggers != twin.says.triggers or not twin.exists
        changed = changed or max(twin.says.paused_until, self.vault_paused_until) > now
        twin.says, twin.exists = says, True
        twin.next = 0.0
        self._stand(twin, now, changed=changed)

    def hold(
        self,
        twin: Twin,
        now: float,
        *,
        status: str = "",
        until: float = 0.0,
        gone: bool = False,
        after_restart: bool = False,
    ) -> None:
        """A person pauses, stops or deletes the task: at once. Of what came due while nobody looked nothing is due."""
        if not after_restart:
            self._awake(twin, now)
            self._unsure(twin, now)
        held = replace(twin.says, status=status or twin.says.status, paused_until=max(until, twin.says.paused_until))
        twin.says, twin.exists = held, twin.exists and not gone
        self._stand(twin, now)

    def pauses_itself(self, twin: Twin, now: float) -> None:
        """The last of so many failures has come: of what is due at this very moment nothing need start any more."""
        self._awake(twin, now - FUZZ_S)
        for moment in twin.fires(now):
            self._add(twin, moment, moment, "any", certain=False)
        self.hold(twin, now, status="paused", after_restart=True)

    def _unsure(self, twin: Twin, now: float) -> None:
        """It is being held back at this moment: what comes due before that is believed may have an outcome."""
        if twin.on:
            mark = twin.mark
            for moment in twin.fires(now + BELIEVED_S):
                self._add(twin, moment, moment, "any", certain=False)
            twin.set_mark(mark)

    def switch_vault(
        self, now: float, *, status: str, until: float, at_once: bool = False, after_restart: bool = False
    ) -> None:
        """The settings note says this, and it counts from now on; `at_once`: of it what holds back."""
        for twin in self.twins.values():
            if not after_restart:
                self._awake(twin, now)
            if at_once and not after_restart:
                self._unsure(twin, now)
        waited = self.vault_paused_until > now
        if not at_once or status != "active":
            self.vault_status = status
        self.vault_paused_until = max(until, self.vault_paused_until) if at_once else until
        for twin in self.twins.values():
            self._stand(twin, now, changed=waited)

    def _stand(self, twin: Twin, now: float, *, changed: bool = False) -> None:
        was_on, ahead = twin.on, max(twin.says.paused_until, self.vault_paused_until)
        twin.on = twin.exists and twin.says.status == "active" and self.vault_status == "active"
        if twin.on and ahead > now:
            twin.set_mark(ahead - 0.5)
            twin.off.append((now, ahead))
        elif twin.on and (changed or not was_on):
            twin.set_mark(now)
        if twin.on and twin.off_since is not None:
            twin.off.append((twin.off_since, now))
            twin.off_since = None
        if not twin.on and twin.off_since is None:
            twin.off_since = now


def _fates(twin: Twin, moments: list[float], now: float) -> list[str]:
    if twin.is_invalid(now):
        assert twin.invalid_since is not None
        return ["blocked" if moment > twin.invalid_since + GRACE_S else "any" for moment in moments]
    if twin.says.catch_up == "all":
        left_out = len(moments) - CATCH_UP
        return ["missed" if index < left_out else "run" for index in range(len(moments))]
    limit = ON_TIME_S if twin.says.catch_up == "skip" else max(twin.says.max_late_s, ON_TIME_S)
    limit = min(limit, max(twin.says.max_late_s, ON_TIME_S))
    return ["missed"] * (len(moments) - 1) + [_in_time(now - moment, limit) for moment in moments[-1:]]


def _in_time(late_s: float, limit: float) -> str:
    if abs(late_s - limit) <= FUZZ_S:
        return "any"
    return "run" if late_s < limit else "missed"


# what has become of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the ledger: a run, or fire times that did not start."""

    id: str
    task: str
    key: str
    trigger: str
    first: float
    last: float
    count: int
    claimed: float
    started: float | None
    ended: float | None
    outcome: str | None
    reason: str
    attempts: int

    @property
    def never_started(self) -> bool:
        """Whether no attempt was made."""
        return self.attempts == 0

    def active_at(self, moment: float) -> bool:
        """Whether it had been claimed and had not ended, give or take a second.

        A run that waited and never started may be counted in a range: then it is the last one of that.
        """
        begin = self.claimed if self.count == 1 else self.last
        return begin <= moment + FUZZ_S and (self.ended is None or self.ended >= moment - FUZZ_S)


Span = tuple[float, float]


def faults(twin: Twin, rows: Sequence[Row], *, unclear: Sequence[Span], waits: Sequence[Span]) -> list[str]:
    """What is wrong with the outcomes of a task. `rows`: all of its rows.

    `unclear`: spans of wall time that came twice. `waits`: spans in which no run could start (no free slot, nobody
    there, its note being edited).
    """
    fired = sorted((row for row in rows if row.trigger == "at"), key=lambda row: (row.first, row.last))
    moments = sorted(twin.due)
    wrong: list[str] = []
    settled: set[float] = set()
    last = float("-inf")
    for row in fired:
        inside = moments[bisect_left(moments, row.first) : bisect_right(moments, row.last)]
        certain = [moment for moment in inside if twin.due[moment].certain]
        if row.first <= last:
            wrong.append(f"two outcomes for one fire time: {row}")
        if row.outcome == "blocked" and twin.was_off(row.first, row.ended or row.last):
            pass  # of an invalid note what came due in a pause is counted too
        elif any(a <= row.first <= b for a, b in unclear):
            pass  # what an hour that comes again names may be settled then; never twice, as the line above shows
        elif row.first not in twin.due or row.last not in twin.due:
            wrong.append(f"was never due: {row}")
        elif not len(certain) <= row.count <= len(inside):
            wrong.append(f"{len(certain)} to {len(inside)} were due, not {row.count}: {row}")
        for moment in inside:
            why = _why_wrong(twin, twin.due[moment], row, rows, unclear, waits)
            if why:
                wrong.append(f"{twin.due[moment]}: {why}: {row}")
        settled.update(inside)
        last = row.last
    wrong += [f"no outcome: {twin.due[m]}" for m in moments if m not in settled and twin.due[m].certain]
    return [f"{twin.name}: {text}" for text in wrong]


def _why_wrong(
    twin: Twin, due: Due, row: Row, rows: Sequence[Row], unclear: Sequence[Span], waits: Sequence[Span]
) -> str:
    if max(row.claimed + AHEAD_S, row.ended or row.claimed) < due.at:
        return "decided before it was due"
    if due.fate == "any" or any(a <= due.seen <= b for a, b in unclear):
        return ""
    if row.outcome == "missed" and _missed_while_it_waited(due, row, waits):
        return ""
    if row.outcome == "missed" or row.outcome == "blocked":
        fates = {row.outcome, "run"} if row.outcome == "blocked" and twin.invalid_since is not None else {row.outcome}
        return "" if due.fate in fates or _turned_invalid(due, row) else f"ended {row.outcome}"
    if due.fate != "run":
        return "should not have been claimed"
    if row.outcome == "skipped":
        return _why_not_skipped(twin, due, row, rows)
    return _why_late(due, row, rows, waits) if row.started is not None else ""


def _missed_while_it_waited(due: Due, row: Row, waits: Sequence[Span]) -> bool:
    """A claimed run that waits while nobody is there may be too late when somebody is (rule 5)."""
    ended = row.ended or due.seen
    return row.never_started and ended > due.seen + FUZZ_S and any(a < ended and b > row.claimed for a, b in waits)


def _turned_invalid(due: Due, row: Row) -> bool:
    return row.outcome == "blocked" and row.ended is not None and row.ended > due.seen + FUZZ_S and row.never_started


def _why_not_skipped(twin: Twin, due: Due, row: Row, rows: Sequence[Row]) -> str:
    if row.reason in ("still running", "the run before it still waits"):
        others = [other for other in rows if other.id != row.id]
        return "" if any(other.active_at(due.seen) for other in others) else "nothing else was running"
    return "" if twin.was_off(due.seen, row.ended or due.seen) else "nothing held it back"


def _why_late(due: Due, row: Row, rows: Sequence[Row], waits: Sequence[Span]) -> str:
    """Seconds between the first look and the start that nothing explains."""
    assert row.started is not None
    if row.started < due.at:
        return "started before it was due"
    if row.started - due.seen <= LATE_S:
        return ""
    others = [(o.claimed, o.ended or row.started) for o in rows if o.id != row.id and o.count == 1]
    reached = due.seen
    unexplained = 0.0
    for begin, end in sorted([*others, *waits]):
        if begin >= row.started:
            break
        unexplained += max(0.0, begin - reached)
        reached = max(reached, end)
    unexplained += max(0.0, row.started - reached)
    return f"{unexplained:.1f} s late" if unexplained > LATE_S else ""
