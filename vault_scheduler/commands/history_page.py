"""`history`: runs, newest first, and a bar of marks for each task. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.columns import facts, heading, table
from vault_scheduler.commands.styled import Style, joined, of_outcome, styled
from vault_scheduler.commands.task_words import run_cells
from vault_scheduler.run import Outcome, Run

if TYPE_CHECKING:
    from vault_scheduler.commands.hindsight import History
    from vault_scheduler.machine.place import Place

_MARKS = {
    Outcome.SUCCESS: "✓",
    Outcome.FAILURE: "✗",
    Outcome.TIMEOUT: "✗",
    Outcome.ABANDONED: "✗",
    Outcome.BLOCKED: "?",
    Outcome.CANCELLED: "-",
    Outcome.SKIPPED: "·",
    Outcome.MISSED: "·",
}


def history_page(found: History, place: Place, *, failed: bool, width: int | None) -> list[str]:
    """`history`."""
    if not found.runs:
        return ["No failed runs." if failed else "No runs yet. `vault-sched run TASK` runs a task once."]
    from vault_scheduler.telling.summary import when_words

    rows, zone = [], ZoneInfo(place.timezone)
    for run in found.runs:
        sign, told = run_cells(run)
        rows.append((when_words(run, zone), sign, run.task, styled(run.id, Style.FAINT), told))
    lines = table([heading("WHEN", "", "TASK", "RUN", "WHAT"), *rows], width=width)
    return [*lines, *_bars(found, width)]


def _bars(found: History, width: int | None) -> list[str]:
    """A line of marks for each task, where they were asked for."""
    bars = [(task, bar(runs)) for task, runs in sorted(found.recent.items())]
    if not bars:
        return []
    legend = "✓ success  ✗ failed  ? blocked  - cancelled  · not started; the newest is on the right"
    return ["", *facts(bars, width=width), styled(legend, Style.FAINT)]


def bar(runs: Iterable[Run]) -> str:
    """One mark for each of these runs (newest first), the newest on the right."""
    marks = [of_outcome(run.outcome, _MARKS[run.outcome]) if run.outcome else of_outcome(None, "▶") for run in runs]
    return joined(reversed(marks))
