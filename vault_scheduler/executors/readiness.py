"""What an attempt starts with: its command line, environment and files, made at its start or shortly before."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from vault_scheduler.clock import Clock
from vault_scheduler.executors.base import (
    CannotStart,
    Executor,
    Launch,
    MachineEnvironment,
    RunRequest,
    run_environment,
)
from vault_scheduler.executors.evidence import Before, look_before
from vault_scheduler.executors.handed import hand_over, write_privately
from vault_scheduler.run import Result
from vault_scheduler.task import TaskType

PREPARED_S = 5.0  # what was prepared and not submitted for so long never will be
PREPARED_TYPES = (TaskType.COMMAND, TaskType.PYTHON)  # a Claude session takes half a second to start anyway


@dataclass(frozen=True, slots=True)
class Ready:
    """All that an attempt's own process needs, and what its end is interpreted with."""

    request: RunRequest
    executor: Executor
    launch: Launch
    env: Mapping[str, str]
    before: Before

    @property
    def ends_in_files(self) -> bool:
        """Whether something has to be read, or searched, to interpret its end."""
        request = self.request
        is_more = self.launch.result_file is not None or request.type != TaskType.COMMAND
        return is_more or bool(request.expect_file or request.expect_output)


class NotLaunched(Exception):
    """There is nothing to start: the attempt has its result already."""

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(result.reason)


@dataclass(slots=True)
class _Desk:
    """Who fills an attempt's folder: one thread at a time."""

    at_work: Lock = field(default_factory=Lock)
    is_taken: bool = False  # the attempt was submitted: who prepares it and has not begun leaves the folder alone


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is being got ready for an attempt, since which second awake, and the folder that it fills."""

    task: asyncio.Task[Ready | None]
    at: float
    folder: Path
    desk: _Desk

    def ready(self) -> Ready | None:
        """What there is, if it is complete; whatever hindered it is found again."""
        if not self.task.done() or self.task.cancelled() or self.task.exception() is not None:
            return None
        return self.task.result()


class Readiness:
    """Gets attempts ready; those that may be submitted in a moment beforehand. Each fills a folder of its own."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        machine: MachineEnvironment,
        clock: Clock,
        folder: Callable[[RunRequest], Path],
    ) -> None:
        self._executors, self._machine = executors, machine
        self._clock, self._folder = clock, folder
        self._prepared: dict[str, _Prepared] = {}
        self._late: dict[str, _Desk] = {}  # of those that were not complete when their attempts were submitted

    def make(self, request: RunRequest, passed: RunRequest, more: Mapping[str, str] | None = None) -> Ready:
        """What to launch, with its files in place and what it is measured by.

        `passed` is the request as its gate let it pass, `more` what is in the environment besides. Blocks. Raises
        NotLaunched, CannotStart, OSError.
        """
        late = self._late.pop(request.run, None)
        if late is None:
            return self._make(request, passed, more)
        with late.at_work:  # what was prepared is not written over what is submitted
            return self._make(request, passed, more)

    def _make(self, request: RunRequest, passed: RunRequest, more: Mapping[str, str] | None) -> Ready:
        executor, folder = self._executors.get(request.type), self._folder(request)
        if executor is None:
            raise CannotStart(f"tasks of type {request.type} cannot be run here", retryable=False)
        env = {**run_environment(request, self._machine), **hand_over(request, folder), **(more or {})}
        launch = executor.prepare(passed, folder)
        if isinstance(launch, Result):
            raise NotLaunched(launch)
        for name, text in launch.files.items():
            write_privately(folder / name, text)
        return Ready(request, executor, launch, {**env, **launch.env}, look_before(request))

    async def prepare(self, request: RunRequest) -> None:
        """Get an attempt ready that may be submitted in a moment; what is submitted then counts, and not this."""
        await self._drop_late()
        if request.gate is None and request.expect_file == "" and request.type in PREPARED_TYPES:
            desk = _Desk()
            task = asyncio.create_task(asyncio.to_thread(self._prepare, request, desk))
            self._prepared[request.run] = _Prepared(task, self._clock.monotonic(), self._folder(request), desk)

    def _prepare(self, request: RunRequest, desk: _Desk) -> Ready | None:
        with desk.at_work:
            return None if desk.is_taken else self._make(request, request, None)

    async def _drop_late(self) -> None:
        """What was prepared and not submitted leaves no files behind.

        They are gone before anything else happens: the run may be submitted yet, and has its files in the same place.
        """
        late = self._clock.monotonic() - PREPARED_S
        for run in [run for run, found in self._prepared.items() if found.at < late and found.task.done()]:
            await asyncio.to_thread(shutil.rmtree, self._prepared.pop(run).folder, ignore_errors=True)

    def take(self, request: RunRequest) -> Ready | None:
        """What was prepared for exactly this request, if it is ready."""
        found = self._prepared.pop(request.run, None)
        if found is None:
            return None
        found.desk.is_taken = True
        if not found.task.done():
            self._late[request.run] = found.desk
        ready = found.ready()
        return ready if ready is not None and ready.request == request else None
