"""The runs that have not ended, by id, by task, in line: with thousands of them nobody has to look through all."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import UserDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from vault_scheduler.planning.planner import is_going
from vault_scheduler.run import Run


class ActiveRuns(UserDict[str, Run]):
    """Run id → run, in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self._of_task: dict[str, dict[str, None]] = {}
        self._going: dict[str, None] = {}
        self._line: list[tuple[datetime, str]] = []  # the others, by fire time
        self._timed: dict[str, None] = {}  # those that wait for a time or for an edit to settle
        self.crowded: set[str] = set()  # tasks that have several
        self.fresh: dict[str, None] = {}  # those that nobody has judged yet; whoever does takes them out
        self._before: dict[str, Run | None] | None = None  # of those that change while they may have to be `kept`

    def __setitem__(self, run_id: str, run: Run) -> None:
        before = self.data.get(run_id)
        self._remember(run_id)
        if before is not None:
            self._step_out(before)
            if before.task != run.task:
                self._leave(before)
        super().__setitem__(run_id, run)
        self._step_in(run)
        siblings = self._of_task.setdefault(run.task, {})
        siblings[run_id] = None
        if len(siblings) > 1:
            self.crowded.add(run.task)
        if before is None:
            self.fresh[run_id] = None

    def __delitem__(self, run_id: str) -> None:
        self._remember(run_id)
        self._step_out(self.data[run_id])
        self._leave(self.data[run_id])
        self.fresh.pop(run_id, None)
        super().__delitem__(run_id)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """If this ends with an error they are as they were: what was to happen to them has not."""
        before: dict[str, Run | None] = {}
        self._before = before
        try:
            yield
        except BaseException:
            self._before = None
            self._restore(before)
            raise
        finally:
            self._before = None

    def _remember(self, run_id: str) -> None:
        if self._before is not None:
            self._before.setdefault(run_id, self.data.get(run_id))

    def _restore(self, before: Mapping[str, Run | None]) -> None:
        for run_id, run in before.items():
            if run is not None and self.data.get(run_id) is not run:
                self[run_id] = run
            elif run is None:
                self.pop(run_id, None)

    def of_task(self, task: str) -> list[Run]:
        """The runs of one task."""
        return [self.data[run_id] for run_id in self._of_task.get(task, ())]

    def going(self) -> list[Run]:
        """The runs that occupy a slot."""
        return [self.data[run_id] for run_id in self._going]

    @property
    def has_line(self) -> bool:
        """Whether any waits for something else than its time."""
        return len(self._line) > len(self._timed)

    def in_line(self) -> Iterator[Run]:
        """The others, whose turn comes first first; nobody may start or end one meanwhile."""
        return (self.data[run_id] for _, run_id in self._line)

    def unjudged(self) -> list[Run]:
        """Those that nobody has judged yet."""
        return [self.data[run_id] for run_id in self.fresh]

    def timed(self) -> list[Run]:
        """Those that wait for a time of their own, or for an edit to settle."""
        return [self.data[run_id] for run_id in self._timed]

    def _step_in(self, run: Run) -> None:
        if is_going(run):
            self._going[run.id] = None
            return
        insort(self._line, (run.fire_time, run.id))
        if run.not_before is not None or run.waiting_for == "edit":
            self._timed[run.id] = None

    def _step_out(self, run: Run) -> None:
        self._timed.pop(run.id, None)
        if is_going(run):
            del self._going[run.id]
        else:
            del self._line[bisect_left(self._line, (run.fire_time, run.id))]

    def _leave(self, run: Run) -> None:
        siblings = self._of_task[run.task]
        del siblings[run.id]
        if len(siblings) < 2:
            self.crowded.discard(run.task)
        if not siblings:
            del self._of_task[run.task]
