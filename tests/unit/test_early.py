"""Claims ahead of their fire times: what counts as one, and what ends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vault_scheduler.planning.early import (
    LEAD,
    LONGEST_LEAD,
    MOST_AHEAD,
    has_come,
    is_early,
    is_taken_back,
    lead,
    refusal,
)
from vault_scheduler.planning.planner import STILL_RUNNING, STILL_WAITS
from vault_scheduler.run import Run, RunState, TriggerKind
from vault_scheduler.task import Overlap

T = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
AHEAD = Run(
    id="r", key="r", task="t", path="", trigger=TriggerKind.AT, fire_time=T, claimed_at=T - timedelta(seconds=0.1)
)
ON_TIME = replace(AHEAD, claimed_at=T)
GOING = replace(AHEAD, id="other", state=RunState.RUNNING, attempts=1)
WAITING = replace(AHEAD, id="other", state=RunState.WAITING)


@pytest.mark.parametrize(
    ("run", "at_s", "early", "taken_back", "come"),
    [
        (AHEAD, -0.05, True, False, False),
        (AHEAD, 0, False, False, True),
        (AHEAD, 5, False, False, True),
        (AHEAD, -1.0, True, False, False),  # a second is no other time: it is waited for
        (AHEAD, -2.0, True, True, False),  # the clock was set back
        (AHEAD, -3600, True, True, False),
        (ON_TIME, -3600, False, False, False),  # claimed at its time: what follows is as it always was
        (ON_TIME, 0, False, False, False),
        (replace(AHEAD, state=RunState.WAITING), 5, False, False, False),  # decided already
        (replace(AHEAD, state=RunState.RUNNING, attempts=1), -3600, False, False, False),
    ],
)
def test_a_claim_is_early_until_its_time_has_come(
    run: Run, at_s: float, early: bool, taken_back: bool, come: bool
) -> None:
    """Only what was claimed ahead, has not begun, and lies ahead by no more than the lead."""
    now = T + timedelta(seconds=at_s)
    assert (is_early(run, now), is_taken_back(run, now), has_come(run, now)) == (early, taken_back, come)


@pytest.mark.parametrize(
    ("overlap", "others", "reason"),
    [
        (Overlap.SKIP, [], ""),
        (Overlap.SKIP, [GOING], STILL_RUNNING),
        (Overlap.SKIP, [WAITING], STILL_WAITS),
        (Overlap.SKIP, [WAITING, GOING], STILL_RUNNING),
        (Overlap.QUEUE, [GOING], ""),
        (Overlap.CANCEL, [GOING], ""),
        (Overlap.ALLOW, [GOING], ""),
    ],
)
def test_overlap_is_judged_at_the_fire_time(overlap: Overlap, others: list[Run], reason: str) -> None:
    """A run that came between the claim and the fire time is overlapped as one that was there before."""
    assert refusal(overlap, others) == reason


def test_the_more_are_due_at_one_moment_the_earlier_they_are_claimed() -> None:
    """A few at the usual lead; however many, never earlier than the longest."""
    assert lead(0) == lead(200) == LEAD
    assert lead(1000) == timedelta(milliseconds=500)
    assert lead(MOST_AHEAD - 1) < LONGEST_LEAD
    assert lead(MOST_AHEAD) == lead(10 * MOST_AHEAD) == LONGEST_LEAD
