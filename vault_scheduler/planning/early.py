"""Claims ahead of their fire times: made durable shortly before, so that only the start is left to do then (rule 4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from vault_scheduler.planning.planner import STILL_RUNNING, STILL_WAITS
from vault_scheduler.run import Run, RunState, TriggerKind
from vault_scheduler.task import Overlap

LEAD = timedelta(milliseconds=100)
"""So long before its fire time a run is claimed."""
A_CLAIM = timedelta(microseconds=500)
"""A crowd that is due at one moment gets so long for each of its claims: all are durable when it comes."""
LONGEST_LEAD = timedelta(seconds=1)
"""But never more than this."""
MOST_AHEAD = LONGEST_LEAD // A_CLAIM
"""Of so many that are due at one moment all can be claimed ahead; of more it does not matter how many they are."""
EVE = timedelta(milliseconds=3)
"""So long before its fire time such a run is judged and made durable as `starting`; its process waits for the time."""
_MOVED = timedelta(seconds=1)


def lead(count: int) -> timedelta:
    """How long before their moment so many fire times are claimed."""
    return min(max(LEAD, count * A_CLAIM), LONGEST_LEAD)


def is_early(run: Run, now: datetime) -> bool:
    """Whether the run was claimed ahead of its fire time, and that has not come: nothing of it may start."""
    return _is_ahead(run) and now < run.fire_time and run.never_started


def is_taken_back(run: Run, now: datetime) -> bool:
    """Whether it was claimed later than now: the clock was set back, by more than a trifle, and it never was true."""
    return is_early(run, now) and run.claimed_at - now > _MOVED


def has_come(run: Run, now: datetime) -> bool:
    """Whether the fire time of a run that was claimed ahead of it has come, and nothing was decided since."""
    return run.state is RunState.CLAIMED and _is_ahead(run) and run.fire_time <= now


def _is_ahead(run: Run) -> bool:
    """Only what the clock names can be: the end of a run that another one comes after is past, whatever the clock says.

    That fire time lies ahead of the claim if the clock was set back in between.
    """
    return run.trigger is TriggerKind.AT and run.claimed_at < run.fire_time


def refusal(overlap: Overlap, others: Sequence[Run]) -> str:
    """Why it does not start: another run of its task came between the claim and the fire time; "" if it may."""
    if overlap is not Overlap.SKIP or not others:
        return ""
    return STILL_WAITS if all(run.never_started for run in others) else STILL_RUNNING
