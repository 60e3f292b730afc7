"""The runs that have not ended, by id and by task: with hundreds of them nobody has to look through all."""

from __future__ import annotations

from collections import UserDict

from vault_scheduler.run import Run


class ActiveRuns(UserDict[str, Run]):
    """Run id → run, in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self._of_task: dict[str, dict[str, None]] = {}

    def __setitem__(self, run_id: str, run: Run) -> None:
        before = self.data.get(run_id)
        if before is not None and before.task != run.task:
            self._leave(before)
        super().__setitem__(run_id, run)
        self._of_task.setdefault(run.task, {})[run_id] = None

    def __delitem__(self, run_id: str) -> None:
        self._leave(self.data[run_id])
        super().__delitem__(run_id)

    def of_task(self, task: str) -> list[Run]:
        """The runs of one task."""
        return [self.data[run_id] for run_id in self._of_task.get(task, ())]

    def _leave(self, run: Run) -> None:
        siblings = self._of_task[run.task]
        del siblings[run.id]
        if not siblings:
            del self._of_task[run.task]
