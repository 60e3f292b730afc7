"""Tasks that nobody edits, with what tasks do to one another: overlap, group, max_runs, after, gate (rules 1.5 and 4).

They live through the same restarts, sleeps, jumps and pauses of the vault as the others. What holds for them is read
off the ledger's rows and off the runs that go at one time. Instants are seconds since 1970.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing import SUCCESS, Lasting

MINUTE = 60.0
MOST_RUNS = 5
PARENTS = {"c-child": ("c-queue", ["success"]), "c-any": ("c-skip", ["success", "failure", "timeout", "abandoned"])}
GROUP = ("c-skip", "c-pen")  # which share a pen
NIGHTS, ALWAYS = "*/20 2-3 7 * *", "*/20 * * * *"
FAILURE = Result(outcome=Outcome.FAILURE, reason="exit 1", exit_code=1)
NO = Result(outcome=Outcome.SKIPPED, reason="gate: exit 1")


def texts(*, busy: bool) -> dict[str, str]:
    """The notes' frontmatter by task."""
    cron = f'cron: "{ALWAYS if busy else NIGHTS}"\n'
    return {
        "c-queue": f"{cron}overlap: queue",
        "c-cancel": f"{cron}overlap: cancel\nretries: 1",
        "c-allow": f"{cron}overlap: allow",
        "c-skip": f"{cron}overlap: skip\ngroup: pen\nretries: 1\nretry_delay: 5m",
        "c-pen": f"{cron}overlap: queue\ngroup: pen",
        "c-gate": f"{cron}gate: test -s inbox",
        "c-few": f"{cron}max_runs: {MOST_RUNS}",
        "c-child": 'after: "[[c-queue]]"\noverlap: queue',
        "c-any": 'after: "[[c-skip]]"\nafter_outcome: any\noverlap: allow',
    }


def answer(request: RunRequest, rng: Random) -> Result | Lasting:
    """How an attempt goes: many outlast the next fire time; a gate says no now and then."""
    if request.task == "c-gate" and rng.random() < 0.5:
        return NO
    result = FAILURE if rng.random() < 0.2 else SUCCESS
    length = rng.choice([0.0, 0.0, 5 * MINUTE, 25 * MINUTE, 45 * MINUTE, 90 * MINUTE])
    return Lasting(length, result) if length else result


def going_faults(going: Iterable[RunRequest]) -> list[str]:
    """Of a task one run goes at a time, unless it allows more; of a group one."""
    tasks = Counter(request.task for request in going)
    twice = [
        f"{task}: {count} at once" for task, count in tasks.items() if count > 1 and task not in ("c-allow", "c-any")
    ]
    return twice + (["two of a group at once"] if sum(tasks[task] for task in GROUP) > 1 else [])


def queue_faults(db: sqlite3.Connection) -> list[str]:
    """Of those that came while a run had not ended one waits, the newest; one attempt of a task is under way."""
    found = db.execute("SELECT task, state, attempts, extra FROM runs WHERE state <> 'ended' AND task LIKE 'c-%'")
    rows = found.fetchall()
    queued = Counter(task for task, _, attempts, extra in rows if not attempts and "overlaps" in json.loads(extra))
    under_way = Counter(task for task, state, *_ in rows if state in ("starting", "running"))
    wrong = [
        f"{task}: {queued[task]} queued" for task in ("c-queue", "c-pen", "c-cancel", "c-child") if queued[task] > 1
    ]
    alone = set(texts(busy=False)) - {"c-allow", "c-any"}
    return wrong + [f"{task}: {under_way[task]} under way" for task in sorted(alone) if under_way[task] > 1]


@dataclass(frozen=True, slots=True)
class Past:
    """A row of the ledger."""

    id: str
    key: str
    task: str
    trigger: str
    count: int
    claimed: float
    ended: float | None
    outcome: str | None
    attempts: int


def past_faults(
    db: sqlite3.Connection, *, refused: set[str], unsure: Sequence[tuple[float, float]], now: float
) -> list[str]:
    """What is wrong with the rows of these tasks.

    `refused`: runs whose gate said no. `unsure`: spans in which the vault was held back or the clock came twice, so
    that the end of a run may not have counted.
    """
    columns = "id, key, task, trigger, count, claimed_at, ended_at, outcome, attempts"
    rows = [Past(*values) for values in db.execute(f"SELECT {columns} FROM runs WHERE task LIKE 'c-%'")]
    tried = {run for (run,) in db.execute("SELECT DISTINCT run FROM attempts")}
    wrong = [f"its gate said no: {row}" for row in rows if row.id in refused and not _is_refused(row, tried)]
    started = sum(row.task == "c-few" and row.trigger == "at" and row.attempts > 0 for row in rows)
    wrong += [f"c-few: {started} runs"] if started > MOST_RUNS else []
    for child, (parent, outcomes) in PARENTS.items():
        wrong += _chain_faults(child, parent, outcomes, rows, unsure, now)
    return wrong


def _is_refused(row: Past, tried: set[str]) -> bool:
    return row.attempts == 0 and row.id not in tried and row.outcome in ("skipped", None)


def _chain_faults(
    child: str, parent: str, outcomes: list[str], rows: list[Past], unsure: Sequence[tuple[float, float]], now: float
) -> list[str]:
    """Each run of the parent that qualifies has one row of the child, or is counted in one; nothing else has."""
    ended = {row.key: row for row in rows if row.task == parent and row.outcome in outcomes and row.attempts}
    children = [row for row in rows if row.task == child and row.trigger == "after"]
    wrong = [f"{child}: nobody started it: {row}" for row in children if row.key.split("|", 2)[2] not in ended]
    certain = [row for row in ended.values() if not _is_unsure(row, unsure, now)]
    counted = sum(row.count for row in children)
    if not len(certain) <= counted <= len(ended):
        wrong.append(f"{child}: {len(certain)} to {len(ended)} runs of {parent} count, not {counted}")
    single = {row.key.split("|", 2)[2] for row in children}
    if all(row.count == 1 for row in children):
        wrong += [f"{child}: does not follow {row}" for row in certain if row.key not in single]
    return wrong


def _is_unsure(row: Past, unsure: Sequence[tuple[float, float]], now: float) -> bool:
    last = max(row.claimed, row.ended or now)
    return any(begin - MINUTE <= last and row.claimed <= end + MINUTE for begin, end in unsure)
