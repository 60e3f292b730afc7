"""The runs that have not ended, by id and by task."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vault_scheduler.daemon.active_runs import ActiveRuns
from vault_scheduler.run import Run, RunState, TriggerKind

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


def test_the_line_is_by_fire_time_and_has_none_that_is_going() -> None:
    """Whoever starts steps out of the line; whoever waits again steps in at its place."""
    runs = ActiveRuns()
    for name, minute in (("r1", 3), ("r2", 1), ("r3", 2)):
        runs[name] = replace(a_run(name, name), fire_time=T + timedelta(minutes=minute))
    assert [run.id for run in runs.in_line()] == ["r2", "r3", "r1"]
    runs["r2"] = replace(runs["r2"], state=RunState.STARTING)
    assert ([run.id for run in runs.in_line()], [run.id for run in runs.going()]) == (["r3", "r1"], ["r2"])
    runs["r2"] = replace(runs["r2"], state=RunState.WAITING, waiting_for="retry", not_before=T)
    assert ([run.id for run in runs.in_line()], runs.going()) == (["r2", "r3", "r1"], [])
    assert [run.id for run in runs.timed()] == ["r2"]
    runs.pop("r3")
    runs["r2"] = replace(runs["r2"], waiting_for="slot", not_before=None)
    assert ([run.id for run in runs.in_line()], runs.timed()) == (["r2", "r1"], [])


def test_tasks_with_several_runs_are_known() -> None:
    """Only among those can one run take another's place."""
    runs = ActiveRuns()
    runs["r1"], runs["r2"], runs["r3"] = a_run("r1", "a"), a_run("r2", "a"), a_run("r3", "b")
    assert runs.crowded == {"a"}
    runs["r2"] = replace(runs["r2"], task="b")
    assert runs.crowded == {"b"}
    runs.pop("r3")
    assert runs.crowded == set()
    assert [run.id for run in runs.unjudged()] == ["r1", "r2"]


def change_all_and_fail(runs: ActiveRuns) -> None:
    runs["r1"] = replace(runs["r1"], state=RunState.STARTING)
    runs["r1"] = replace(runs["r1"], state=RunState.RUNNING)
    runs.pop("r2")
    runs["r3"] = a_run("r3", "b")
    raise KeyError


def test_what_came_to_nothing_leaves_the_runs_as_they_were() -> None:
    """Changed, gone or new meanwhile: after an error each is in the place that it had."""
    runs = ActiveRuns()
    runs["r1"], runs["r2"] = a_run("r1", "a"), a_run("r2", "b")
    before = dict(runs)
    with pytest.raises(KeyError), runs.kept():
        change_all_and_fail(runs)
    assert dict(runs) == before
    assert ([run.id for run in runs.in_line()], runs.going()) == (["r1", "r2"], [])
    assert [run.id for run in runs.of_task("b")] == ["r2"]


def test_what_went_well_stays() -> None:
    """Also if something that comes later does not."""
    runs = ActiveRuns()
    with runs.kept():
        runs["r1"] = a_run("r1", "a")
    with pytest.raises(KeyError), runs.kept():
        raise KeyError
    assert list(runs) == ["r1"]


def test_a_line_is_of_runs_that_wait_for_others() -> None:
    """Who waits for a time of its own holds nobody up."""
    runs = ActiveRuns()
    runs["r1"] = replace(a_run("r1", "a"), state=RunState.WAITING, waiting_for="retry", not_before=T)
    assert not runs.has_line
    runs["r2"] = a_run("r2", "b")
    assert runs.has_line
