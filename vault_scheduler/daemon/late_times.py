"""The instants of `at` that notes brought too late to be waited for (rule 1.4), until somebody plans them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from vault_scheduler.daemon.survey import Survey
from vault_scheduler.planning.named_times import NamedLate, named_late, names_instants
from vault_scheduler.settings import Settings, resolve
from vault_scheduler.task import Task

_NONE = NamedLate()


class LateTimes:
    """By task. To create or edit a task fires nothing else at once."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._found: dict[str, NamedLate] = {}

    def passed(self, task_id: str) -> tuple[datetime, ...]:
        """The instants of its `at` that will never run: a problem."""
        return self._found.get(task_id, _NONE).passed

    def late(self, task_id: str) -> tuple[datetime, ...]:
        """The instants that its note brought late and that nobody has planned yet."""
        return self._found.get(task_id, _NONE).late

    def take(self, task_id: str) -> NamedLate:
        """What its note brought late, once: whoever asks plans it."""
        found = self._found.get(task_id, _NONE)
        if found.late:
            self._found[task_id] = replace(found, late=())
        return found

    def rename(self, old: str, new: str) -> None:
        """A task goes on under another id."""
        if old in self._found:
            self._found[new] = self._found.pop(old)

    def forget(self, task_id: str) -> None:
        """Its triggers are others now, or it is no task that fires."""
        self._found.pop(task_id, None)

    def of_new(self, task: Task, now: datetime, last_run: Callable[[], datetime | None]) -> None:
        """A task that the ledger does not know; what its note says has run until `last_run` is settled."""
        if names_instants(task):
            found = self._named(task, None, now, last_run())
            # The first watermark of one that names nothing else lies before them.
            self._keep(task.id, replace(found, late=()) if task.schedule.is_one_shot else found)

    def of_edited(self, task: Task, before: Callable[[], Task | None], now: datetime) -> None:
        """A task whose triggers were edited; None: nobody can tell what it was, so nothing of it counts as new."""
        was = before() if names_instants(task) else None
        if was is not None:
            self._keep(task.id, self._named(task, was, now, None))

    def _named(self, task: Task, before: Task | None, now: datetime, last_run: datetime | None) -> NamedLate:
        policies = resolve(task, self._survey.settings or Settings())
        written_at = self._survey.modified_at(task.path) or now
        return named_late(task, policies, before, now=now, written_at=written_at, last_run=last_run)

    def _keep(self, task_id: str, found: NamedLate) -> None:
        if found != _NONE:
            self._found[task_id] = found
