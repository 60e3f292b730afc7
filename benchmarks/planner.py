"""The planner alone: a tick with nothing due among many tasks, and a simulated year of a thousand of them.

Run it with `make bench` or `python benchmarks/planner.py --tasks N`. The year goes from fire time to fire time as the
daemon does: the agenda says who is next, the plan what becomes of it. The floor of the year is to ask each task for
its next fire time once per fire time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from time import perf_counter

from support.figures import Figure, Finding, Growth, median, rounds, timed
from support.program import run

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task
from vault_scheduler.planning.planner import Agenda, plan_fire_times
from vault_scheduler.planning.standing import Standing, State
from vault_scheduler.settings import Settings, resolve
from vault_scheduler.task import Task

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ARMED = Standing(state=State.ARMED)
ROUNDS = 201


def tasks(count: int) -> list[Task]:
    """Daily tasks, some of them only on weekdays, at all minutes of the day, in a zone that changes its clocks."""
    context = ParseContext(default_timezone="Europe/Berlin", system_folder="00_system")
    found = []
    for number in range(count):
        cron = f"{number % 60} {number // 60 % 24} * * {'1-5' if number % 3 == 0 else '*'}"
        text = f'---\ntype: command\ncron: "{cron}"\ncommand: "true"\n---\n'
        task = parse_task(Document.parse(text.encode()), f"00_system/tasks/t{number}.md", context).task
        assert task is not None
        found.append(task)
    return found


def agenda_of(found: list[Task], now: datetime) -> Agenda:
    """When each task is next."""
    agenda = Agenda()
    for task in found:
        agenda.put(task.id, task.schedule.next_after(now))
    return agenda


def tick(agenda: Agenda, now: datetime) -> None:
    """A pass of the planner in which nothing is due: who is due now, when to look again."""
    assert not agenda.take_due(now)
    assert agenda.next_moment() is not None


def year(found: list[Task]) -> int:
    """From fire time to fire time through a year; how many there were."""
    by_id, watermarks = {task.id: task for task in found}, dict.fromkeys((task.id for task in found), BEGIN)
    policies = {task.id: resolve(task, Settings()) for task in found}
    agenda, end, fired = agenda_of(found, BEGIN), BEGIN + timedelta(days=365), 0
    while (now := agenda.next_moment()) is not None and now < end:
        for name in agenda.take_due(now):
            plan = plan_fire_times(
                by_id[name].schedule,
                watermark=watermarks[name],
                now=now,
                standing=ARMED,
                policies=policies[name],
                overlapping=False,
                absence=lambda _: "",
            )
            fired += len(plan.claims)
            watermarks[name] = plan.watermark
            agenda.put(name, by_id[name].schedule.next_after(plan.watermark))
    return fired


def floor(found: list[Task], count: int) -> None:
    """Ask for so many next fire times, task by task."""
    moments = dict.fromkeys((task.id for task in found), BEGIN)
    for _ in range(count // len(found)):
        for task in found:
            moments[task.id] = task.schedule.next_after(moments[task.id]) or BEGIN


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """The idle tick, the year, and how both grow."""
    ticks = []
    for count in (10, 100, 1000, options.tasks, *[100_000] * options.full):
        agenda = agenda_of(tasks(count), BEGIN)
        ticks.append((count, 1000 * median(rounds(partial(tick, agenda, BEGIN), ROUNDS))))
    count, took = ticks[3]
    yield Figure(group="planner", name=f"a tick of {count:,} tasks, nothing due", value=took, target=1.0)
    years = []
    for size in (10, 100, 1000):
        found = tasks(size)
        begin = perf_counter()
        fired = year(found)
        years.append((size, perf_counter() - begin))
    least = timed(lambda: floor(found, fired))
    yield Figure(
        group="planner",
        name=f"a year of 1,000 tasks, {fired:,} fire times",
        value=years[-1][1],
        unit="s",
        target=30.0,
        floor=least,
        floor_is="asking for as many next fire times",
    )
    yield Growth(group="planner", name="a tick, nothing due", unit="ms", points=tuple(ticks))
    yield Growth(group="planner", name="a year", unit="s", points=tuple(years))


if __name__ == "__main__":
    run(__doc__, measure, tasks=10_000)
