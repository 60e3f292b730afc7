"""What counts as the same error, and which ends of runs are told: tables of cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vault_scheduler.planning.incidents import (
    Happening,
    Incident,
    Matter,
    Origin,
    changed_matters,
    judge,
    signature,
    topic_of,
)
from vault_scheduler.run import Outcome, Run, TriggerKind
from vault_scheduler.task import USUAL_TOPICS, Topic

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("exit 1: no disk /dev/sda after 3 s", "exit 1: no disk /dev/sda after 12 s", True),
        ("request 9f8e7d6c5b4a failed", "request 0a1b2c3d4e5f failed", True),
        ("run 550e8400-e29b-41d4-a716-446655440000", "run 6ba7b810-9dad-11d1-80b4-00c04fd430c8", True),
        ("at 0x7f3a", "at 0x11", True),
        ("Exit 1:  no  file", "exit 1: no file", True),
        ("exit 1: no such file", "exit 1: permission denied", False),
        ("no module named decade", "no module named facade", False),
    ],
)
def test_numbers_and_ids_make_no_other_error(one: str, other: str, same: bool) -> None:
    """Two reasons are one error if they differ in numbers, ids and spaces alone."""
    assert (signature(Outcome.FAILURE, one) == signature(Outcome.FAILURE, other)) is same


def a_run(outcome: Outcome, attempts: int = 1, reason: str = "") -> Run:
    return Run(
        id="r-1",
        key="t|at|1",
        task="t",
        path="t.md",
        trigger=TriggerKind.AT,
        fire_time=NOW,
        claimed_at=NOW,
        outcome=outcome,
        reason=reason,
        attempts=attempts,
    )


@pytest.mark.parametrize(
    ("run", "topic"),
    [
        (a_run(Outcome.SUCCESS), Topic.SUCCESS),
        (a_run(Outcome.FAILURE), Topic.FAILURE),
        (a_run(Outcome.TIMEOUT), Topic.FAILURE),
        (a_run(Outcome.ABANDONED), Topic.FAILURE),
        (a_run(Outcome.BLOCKED), Topic.BLOCKED),
        (a_run(Outcome.BLOCKED, attempts=0, reason="held"), None),
        (a_run(Outcome.MISSED, attempts=0), Topic.MISSED),
        (a_run(Outcome.SKIPPED, attempts=0, reason="budget: $5.00 spent today"), Topic.BUDGET),
        (a_run(Outcome.SKIPPED, attempts=0, reason="still running"), None),
        (a_run(Outcome.CANCELLED), None),
    ],
)
def test_what_the_end_of_a_run_is_about(run: Run, topic: Topic | None) -> None:
    """Each outcome has its topic, or none: what is held or invalid is told as such, not at each fire time."""
    assert topic_of(run) is topic


def happening(count: int = 1, run: str = "r-1", topic: Topic = Topic.MISSED) -> Happening:
    return Happening(origin=Origin.RUN, subject="t", topic=topic, signature="s", run=run, count=count, at=NOW)


def test_a_row_that_grows_is_counted_once() -> None:
    """Fire times that did not start share a row: looked at again, only what is new in it counts."""
    first = judge(happening(3), (), USUAL_TOPICS, NOW).keep
    assert first is not None
    assert first.count == 3
    grown = judge(happening(5), (first,), USUAL_TOPICS, NOW).keep
    assert grown is not None
    assert grown.count == 5
    assert judge(happening(5), (grown,), USUAL_TOPICS, NOW).keep is None
    other = judge(happening(2, run="r-2"), (grown,), USUAL_TOPICS, NOW).keep
    assert other is not None
    assert other.count == 7


def test_a_clock_that_was_set_back_silences_nothing_for_long() -> None:
    """An incident told in what is now the future is told again."""
    told = Incident(
        origin=Origin.RUN, subject="t", signature="s", topic=Topic.MISSED, since=NOW, told_at=NOW + timedelta(days=300)
    )
    assert judge(happening(run="r-2"), (told,), USUAL_TOPICS, NOW).tell is not None


def test_a_success_closes_everything_and_tells_only_of_failures() -> None:
    """What was missed, or failed and never told, ends in silence."""
    missed = Incident(origin=Origin.RUN, subject="t", signature="s", topic=Topic.MISSED, since=NOW, told_at=NOW)
    untold = replace(missed, signature="u", topic=Topic.FAILURE, told_at=None)
    verdict = judge(happening(topic=Topic.SUCCESS), (missed, untold), USUAL_TOPICS, NOW)
    assert verdict.close == (missed, untold)
    assert verdict.tell is None
    failed = replace(untold, told_at=NOW, count=4)
    told = judge(happening(topic=Topic.SUCCESS), (missed, failed), USUAL_TOPICS, NOW).tell
    assert told is not None
    assert (told.topic, told.count) == (Topic.RECOVERY, 4)


def test_what_nobody_wants_to_hear_of_opens_nothing() -> None:
    """A topic that is not wanted leaves no incident, and so no recovery later."""
    assert judge(happening(), (), (Topic.FAILURE,), NOW).keep is None


def test_matters_come_and_go() -> None:
    """What stands and is not known is new; what is known and does not stand any more is gone."""
    here = Matter(subject="a.md", signature="x", topic=Topic.PROBLEM, title="", text="")
    known = Incident(origin=Origin.STANDING, subject="b.md", signature="y", topic=Topic.PROBLEM, since=NOW)
    assert changed_matters([here], [known]) == ([here], [known])
    both = replace(known, subject="a.md", signature="x")
    assert changed_matters([here], [both]) == ([], [])
