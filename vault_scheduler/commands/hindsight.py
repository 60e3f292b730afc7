"""`history` and `logs`: what was, from the ledger and the files of outputs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vault_scheduler.commands.view import View, known_task, look
from vault_scheduler.errors import BadUsage, RunNotFound
from vault_scheduler.executors.leavings import output_path, transcript_path
from vault_scheduler.machine.place import Place
from vault_scheduler.run import Run, RunState

FOLLOW_S = 0.2
RECENT = 20
"""Runs of a task that its bar shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Runs, newest first; `undelivered`: ids of those that have not reached their notes yet."""

    runs: tuple[Run, ...]
    undelivered: frozenset[str]
    zones: Mapping[str, str]  # task id → its zone
    recent: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)  # the newest of each task, where asked for


async def history(place: Place, name: str | None, *, failed: bool, limit: int, bars: bool = False) -> History:
    """The runs of a task, or of all; `bars`: with the newest of each task that is among them.

    Raises TaskNotFound where neither the notes nor the ledger know the name.
    """
    async with look(place) as view:
        task = await known_task(view, name) if name else None
        if view.store is None:
            return History(runs=(), undelivered=frozenset(), zones={})
        runs = await view.store.history(task=task, failed=failed, limit=limit, now=place.clock.now())
        pending = {delivery.run for delivery in await view.store.pending_deliveries()}
        zones = {item.task.id: item.task.timezone for item in view.catalogue.items if item.task}
        tasks = dict.fromkeys(run.task for run in runs) if bars else {}
        recent = {task: tuple(await view.store.runs_of(task, RECENT)) for task in tasks}
        return History(runs=tuple(runs), undelivered=frozenset(pending), zones=zones, recent=recent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The output of a run: the file that has all of it, else what the ledger kept."""

    run: Run
    path: Path | None
    transcripts: tuple[Path, ...]  # of the sessions of its attempts, newest first
    text: str
    zone: str


async def find_output(place: Place, name: str) -> Output:
    """Of a run by its id, or of the newest run of a task. Raises RunNotFound, TaskNotFound."""
    async with look(place) as view:
        run = await _run_named(view, name)
        attempts = range(max(run.attempts, 1), 0, -1)
        files = [output_path(place.runs_folder, run.id, number) for number in attempts]
        zones = {item.task.id: item.task.timezone for item in view.catalogue.items if item.task}
        return Output(
            run=run,
            path=next((path for path in files if path.is_file()), None),
            transcripts=tuple(path for path in map(transcript_path, files) if path.is_file()),
            text=run.result.text if run.result else "",
            zone=zones.get(run.task, place.timezone),
        )


async def _run_named(view: View, name: str) -> Run:
    bare = name.removeprefix("^")
    run = await view.store.run(bare) if view.store else None
    if run is not None:
        return run
    if bare.startswith("r-"):
        raise RunNotFound(bare)
    task = await known_task(view, name)
    runs = await view.store.runs_of(task, 50) if view.store else []
    started = [run for run in runs if not run.never_started or run.state is not RunState.ENDED]
    if not started:
        raise BadUsage(f"{task} has not run yet. `vault-sched run {task}` runs it once")
    return started[0]


async def follow(place: Place, run: str) -> AsyncIterator[bytes]:
    """The run's output as it grows, until the run has ended."""
    position, shown = 0, ""
    never = asyncio.Event()
    while True:
        found = await find_output(place, run)
        if found.path is not None:
            position = position if str(found.path) == shown else 0
            shown = str(found.path)
            data = _read_from(found.path, position)
            position += len(data)
            yield data
        if found.run.state is RunState.ENDED:
            return
        await place.clock.wait(never, FOLLOW_S)


def _read_from(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read()
    except FileNotFoundError:
        return b""


async def run_or_task(place: Place, name: str) -> tuple[str, str]:
    """The id of the run, or of the task, that is meant, and the path of its note ("" if the note is gone).

    Raises RunNotFound, TaskNotFound.
    """
    async with look(place) as view:
        bare = name.removeprefix("^")
        run = await view.store.run(bare) if view.store else None
        if run is not None:
            return bare, run.path
        if bare.startswith("r-"):
            raise RunNotFound(bare)
        task = await known_task(view, name)
        return task, next((item.path for item in view.catalogue.items if item.name == task), "")
