"""The runs that have not ended, by id and by task."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from vault_scheduler.daemon.active_runs import ActiveRuns
from vault_scheduler.run import Run, TriggerKind

T = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


def a_run(name: str, task: str) -> Run:
    return Run(id=name, key=name, task=task, path="", trigger=TriggerKind.AT, fire_time=T, claimed_at=T)


def test_runs_are_found_by_their_task() -> None:
    """Also after they have changed, went on under another task's id, or ended."""
    runs = ActiveRuns()
    for name, task in (("r1", "a"), ("r2", "b"), ("r3", "a")):
        runs[name] = a_run(name, task)
    runs["r1"] = replace(runs["r1"], waiting_for="slot")
    assert [(run.id, run.waiting_for) for run in runs.of_task("a")] == [("r1", "slot"), ("r3", "")]
    runs["r1"] = replace(runs["r1"], task="c")
    assert [run.id for run in runs.of_task("a")] == ["r3"]
    assert [run.id for run in runs.of_task("c")] == ["r1"]
    runs.pop("r3")
    runs.pop("r3", None)
    assert runs.of_task("a") == []
    assert list(runs) == ["r1", "r2"]
