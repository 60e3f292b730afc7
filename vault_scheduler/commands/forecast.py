"""`forecast`: what the whole vault will run in the coming days, from its notes, the ledger and the approvals."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.catalogue import Item
from vault_scheduler.commands.outlook import ClockChange, clock_changes, consequence
from vault_scheduler.commands.records import approvals
from vault_scheduler.commands.view import View, look
from vault_scheduler.daemon.dispatcher import end_of_orphan
from vault_scheduler.daemon.watermarks import first_watermark, watermark_after
from vault_scheduler.errors import BadUsage
from vault_scheduler.ledger.rows import CANCELLED, OVERLAPS, TaskRow
from vault_scheduler.machine.place import Place
from vault_scheduler.planning.chains import judge
from vault_scheduler.planning.forecast import forecast
from vault_scheduler.planning.foreseen import Expected, Forecast, Foreseen, Underway
from vault_scheduler.planning.named_times import floor_of
from vault_scheduler.planning.planner import Candidate, is_going, retry_delay
from vault_scheduler.planning.registry import Entry
from vault_scheduler.planning.standing import vault_off
from vault_scheduler.platform.lock import holder
from vault_scheduler.run import Outcome, Run, RunState
from vault_scheduler.settings import Settings, resolve
from vault_scheduler.task import AfterOutcome, ClaudeAction, Overlap, Policies, Task, TaskType

if TYPE_CHECKING:
    from vault_scheduler.ledger.sqlite_store import SqliteStore

USUAL = timedelta(days=7)
LONGEST = timedelta(days=366)
"""A forecast looks no further ahead."""
LAST_RUNS = 10
"""The expected time of a task is the median of so many finished runs."""
_LOOKED_THROUGH = 50  # rows of a task, fire times that did not start among them
_ASSUMED = {
    TaskType.COMMAND: timedelta(seconds=10),
    TaskType.PYTHON: timedelta(seconds=10),
    TaskType.CLAUDE: timedelta(minutes=2),
}
_TELLING = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT)  # the outcomes of runs that took their time


class Source(StrEnum):
    """Where an expected time comes from."""

    HISTORY = "history"  # the task's last runs
    TYPE = "type"  # the last runs of all tasks of its type
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How long a run of a task is expected to take."""

    takes: timedelta
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the runs that start on a day of the vault's zone may cost at most (US dollars)."""

    day: date
    max_usd: float
    spent_usd: float = 0.0  # already, today


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What will run in `after` < fire time <= `until`, and what cannot be told. Times in UTC."""

    now: datetime
    after: datetime
    until: datetime
    zone: ZoneInfo  # the vault's
    runs: tuple[Foreseen, ...]
    wanted_until: datetime  # what was asked for, where `until` is earlier
    served: bool  # a daemon serves the vault
    off: str  # why nothing at all runs; "" if the vault is active
    settings: Settings
    tasks: Mapping[str, Task]
    durations: Mapping[str, Duration]
    resting: tuple[Item, ...]  # tasks that nothing starts in that time
    unforeseen: Mapping[str, tuple[str, ...]]  # start · change · failure → the tasks that it may start
    later: tuple[str, ...]  # armed tasks that nothing starts before `until`
    gated: tuple[str, ...]
    costs: tuple[Cost, ...]
    changes: tuple[ClockChange, ...]


async def forecast_vault(place: Place, after: datetime | None, until: datetime | None) -> Prospect:
    """Look ahead from now; what comes after `after` (else all) is told. Nothing is written. Raises BadUsage."""
    now = place.clock.now()
    if after is not None and after < now:
        raise BadUsage("--from lies in the past. `vault-sched history` tells what was")
    after = after or now
    wanted = until or after + USUAL
    end = min(wanted, now + LONGEST)
    if end <= after:
        raise BadUsage(f"a forecast looks at most {LONGEST.days} days ahead")
    async with look(place) as view:
        place = view.place
        durations = await _durations(view)
        underway = await _underway(place, view.store, durations)
        rows = await view.store.task_rows() if view.store else {}
        spent = _spent(place, now)
        found = forecast(
            [_expected(place, item, rows.get(item.name), durations[item.name], now) for item in _tasks(view)],
            underway,
            place.settings_in_force,
            host=place.machine.host,
            now=now,
            until=end,
            followers=_followers(place, view),
            spent=spent,
        )
    return _prospect(place, view, durations, found, now=now, after=after, wanted=wanted, spent=spent("", now)[1])


def _tasks(view: View) -> list[Item]:
    return [item for item in view.catalogue.items if item.task is not None]


# what is known now


def _expected(place: Place, item: Item, row: TaskRow | None, duration: Duration, now: datetime) -> Expected:
    """The task with its watermark as the daemon would set it now."""
    task = item.task
    assert task is not None
    stands = item.standing
    if row is not None:
        watermark = watermark_after(row, task, stands, now)
    else:
        watermark = first_watermark(task, lambda: _floor(place, item, task, now), stands, now=now, last_run=None)
    return Expected(
        task=task,
        takes=duration.takes,
        watermark=watermark,
        held=stands.reason if stands.state.blocks else "",
        started=row.started if row else 0,
    )


def _floor(place: Place, item: Item, task: Task, now: datetime) -> datetime:
    written = place.vault.stamp(item.path)
    written_at = datetime.fromtimestamp(written.mtime_ns / 1e9, UTC) if written else now
    return floor_of(resolve(task, place.settings_in_force), now=now, written_at=written_at)


def _followers(place: Place, view: View) -> Callable[[str], Sequence[str]]:
    """Which tasks come after which."""
    entries = [Entry(path=item.path, task=item.task) for item in view.catalogue.items]
    host = place.settings_in_force.host or place.machine.host
    judged = judge(entries, tasks_folder=place.vault.rel(place.vault.tasks_folder), host=host)
    children: defaultdict[str, list[str]] = defaultdict(list)
    for child, parents in sorted(judged.parents.items()):
        for parent in parents:
            children[parent].append(child)
    return lambda task: children.get(task, ())


def _spent(place: Place, now: datetime) -> Callable[[str, datetime], tuple[float, float]]:
    """What has been spent on the day of a moment: something today, nothing later."""
    zone = ZoneInfo(place.timezone)
    today = now.astimezone(zone).date()
    with approvals(place) as trust:
        spent = trust.spent(today) if trust else None

    def of(task: str, moment: datetime) -> tuple[float, float]:
        is_today = spent is not None and moment.astimezone(zone).date() == today
        return (spent.of(task), spent.total) if spent is not None and is_today else (0.0, 0.0)

    return of


async def _underway(place: Place, store: SqliteStore | None, durations: Mapping[str, Duration]) -> list[Underway]:
    """The runs that have not ended. What was running when a daemon died is retried by the next one, or abandoned."""
    if store is None:
        return []
    left_at = place.clock.now() if holder(place.lock_path) is None else None
    return [await _of_run(store, run, durations, left_at) for run in await store.active()]


async def _of_run(
    store: SqliteStore, run: Run, durations: Mapping[str, Duration], left_at: datetime | None
) -> Underway:
    snapshot = json.loads(await store.snapshot(run.snapshot) or "{}")
    kind = TaskType(snapshot.get("type", TaskType.COMMAND))
    takes = durations[run.task].takes if run.task in durations else _ASSUMED[kind]
    candidate = Candidate(
        run=run,
        type=kind,
        overlap=Overlap(snapshot.get("overlap", Overlap.SKIP)),
        group=snapshot.get("group", ""),
        overlaps=OVERLAPS in run.extra,
    )
    if not is_going(run):
        return Underway(candidate=candidate)
    if left_at is None:
        return Underway(candidate=candidate, ends_at=(run.started_at or run.claimed_at) + takes)
    if run.attempts <= snapshot.get("retries", 0) and CANCELLED not in run.extra:
        delay = retry_delay(Policies(retry_delay=timedelta(seconds=snapshot.get("retry_delay_s", 60))), run.attempts)
        again = replace(run, state=RunState.WAITING, waiting_for="retry", not_before=left_at + delay)
        return Underway(candidate=replace(candidate, run=again))
    end = end_of_orphan(run)
    return Underway(candidate=candidate, ends_at=left_at, outcome=end.outcome, reason=end.reason)


async def _durations(view: View) -> dict[str, Duration]:
    """How long a run of each task is expected to take: as its last runs, else as those of its type, else assumed."""
    of_type: dict[TaskType, Duration] = {}
    for kind in TaskType:
        runs = await view.store.started_of_type(kind, _LOOKED_THROUGH) if view.store else []
        of_type[kind] = _median(runs, Source.TYPE) or Duration(takes=_ASSUMED[kind], source=Source.ASSUMED)
    durations = {}
    for item in _tasks(view):
        runs = await view.store.history(task=item.name, limit=_LOOKED_THROUGH) if view.store else []
        assert item.task is not None
        durations[item.name] = _median(runs[:], Source.HISTORY) or of_type[item.task.type]
    return durations


def _median(runs: Sequence[Run], source: Source) -> Duration | None:
    finished = [run for run in runs if run.state is RunState.ENDED and run.attempts and run.outcome in _TELLING]
    took = [run.duration_s for run in finished if run.duration_s is not None][:LAST_RUNS]
    return Duration(takes=timedelta(seconds=median(took)), source=source) if took else None


# what is to be told


def _prospect(
    place: Place,
    view: View,
    durations: Mapping[str, Duration],
    found: Forecast,
    *,
    now: datetime,
    after: datetime,
    wanted: datetime,
    spent: float,
) -> Prospect:
    zone, until = ZoneInfo(place.timezone), max(found.until, after)
    runs = tuple(run for run in found.runs if after == now or run.fire_time > after)
    named = {item.name: item.task for item in _tasks(view) if item.task}
    resting = tuple(item for item in view.catalogue.items if not _wakes(item, until))
    awake = {name: task for name, task in named.items() if name not in {item.name for item in resting}}
    started = {run.task for run in runs}
    return Prospect(
        now=now,
        after=after,
        until=until,
        zone=zone,
        runs=runs,
        wanted_until=wanted,
        served=(held_by := holder(place.lock_path)) is not None and held_by.purpose == "daemon",
        off=vault_off(place.settings_in_force, now),
        settings=place.settings_in_force,
        tasks=named,
        durations=durations,
        resting=resting,
        unforeseen=_unforeseen(awake),
        later=tuple(n for n, task in awake.items() if task.schedule.triggers and n not in started),
        gated=tuple(name for name, task in awake.items() if task.gate is not None),
        costs=_costs(runs, named, zone, now, spent),
        changes=_changes(awake, zone, after, until),
    )


def _wakes(item: Item, until: datetime) -> bool:
    """Whether the task can start something by then."""
    resumes = item.standing.resumes
    return item.standing.armed or (resumes is not None and resumes <= until)


def _unforeseen(tasks: Mapping[str, Task]) -> dict[str, tuple[str, ...]]:
    found = {
        "change": tuple(name for name, task in tasks.items() if task.on_change),
        "start": tuple(name for name, task in tasks.items() if task.on_start),
        "failure": tuple(n for n, t in tasks.items() if t.after and t.after_outcome is AfterOutcome.FAILURE),
    }
    return {trigger: names for trigger, names in found.items() if names}


def _changes(tasks: Mapping[str, Task], zone: ZoneInfo, after: datetime, until: datetime) -> tuple[ClockChange, ...]:
    """The changes of the vault's clocks, and of the clocks of tasks where fire times are touched."""
    found = []
    for place in dict.fromkeys([zone, *(ZoneInfo(task.timezone) for task in tasks.values())]):
        for change in clock_changes(place, after, until):
            each = (consequence(name, task.schedule, change, zone) for name, task in tasks.items())
            judged = replace(change, consequences=tuple(one for one in each if one.times or one.drifting))
            found += [judged] if judged.consequences or place == zone else []
    return tuple(sorted(found, key=lambda change: change.at))


def _costs(
    runs: Sequence[Foreseen], tasks: Mapping[str, Task], zone: ZoneInfo, now: datetime, spent: float
) -> tuple[Cost, ...]:
    """The caps of the runs that start on each day, with what has been spent today."""
    days: dict[date, float] = {}
    for run in runs:
        if run.starts_at is not None and run.starts_at >= now:
            usd = max_usd(tasks.get(run.task))
            day = run.starts_at.astimezone(zone).date()
            days[day] = days.get(day, 0.0) + usd
    today = now.astimezone(zone).date()
    return tuple(
        Cost(day=day, max_usd=usd, spent_usd=spent if day == today else 0.0) for day, usd in sorted(days.items()) if usd
    )


def max_usd(task: Task | None) -> float:
    """What a run of it may cost at most (US dollars); 0 for what costs nothing."""
    return task.action.max_usd if task is not None and isinstance(task.action, ClaudeAction) else 0.0
