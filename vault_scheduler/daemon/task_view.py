"""How the scheduler sees a task right now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from vault_scheduler.planning.standing import State
from vault_scheduler.run import (
    Run,
    counts_as_run,
)
from vault_scheduler.task import Policies, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is asked before a run of the task starts or goes on."""

    task: Task | None  # None: there is no such task any more
    state: State
    reason: str
    policies: Callable[[], Policies]  # made for whoever asks: most of what is asked is asked of the rest
    settled: bool  # the note has been left alone long enough
    present: bool  # the vault is there
    vault_is_off: bool = False  # paused or stopped as a whole
    next_fire: Callable[[], datetime | None] = lambda: None  # the fire time that comes after now, of one that fires


def runs_while(run: Run, view: View) -> bool:
    """What a person asks for works on a paused task, not on a stopped one and not in a paused vault (rule 2)."""
    return not counts_as_run(run.trigger) and view.state in (State.PAUSED, State.DONE) and not view.vault_is_off
