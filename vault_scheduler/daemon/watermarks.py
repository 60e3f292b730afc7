"""Where the watermark of a task is after a look at it (rule 3.2), and what sets the task going anew. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from vault_scheduler.ledger.rows import TaskRow
from vault_scheduler.planning.standing import Standing
from vault_scheduler.task import Task

SET_BACK = timedelta(days=1)
"""A watermark that lies further ahead was set by a wrong clock, and holds nothing back. One that lies nearer does: what
the hour that comes again names has been settled the first time (rule 11)."""
_SECOND = timedelta(seconds=1)


def is_set_going(row: TaskRow | None, new_row: TaskRow, stands: Standing) -> bool:
    """Whether a task is new, has other triggers, or is armed again: no earlier end of a run starts it (rule 3.2)."""
    if row is None or row.fingerprint != new_row.fingerprint:
        return True
    return stands.fires and not row.fires and not _waited_for_pause(row, stands)


def watermark_after(
    row: TaskRow, task: Task, stands: Standing, now: datetime, settled: datetime | None = None
) -> datetime:
    """Where the watermark is after looking at a task (rule 3.2): now, unless nothing has changed.

    While `paused_until` alone keeps a task from firing the watermark lies ahead, right before that instant, so that
    it fires from there on, whoever is awake then. To be paused otherwise meanwhile moves it to now again. `settled` is
    where it was when the task last fired: ahead of now if the clock was set back.
    """
    if stands.resumes is not None:
        return stands.resumes - _SECOND
    settled = row.watermark if row.fires else settled
    is_ahead = settled is not None and timedelta(0) < settled - now <= SET_BACK
    changed = settled if settled is not None and is_ahead else now
    if row.fingerprint != task.trigger_fingerprint or (row.watermark - now > SET_BACK and stands.fires):
        return changed
    if _waited_for_pause(row, stands):
        # The pause may end in an hour that comes again: what was settled in it stays settled.
        is_settled = settled is not None and settled - now <= SET_BACK
        resumed = max(row.watermark, settled) if settled is not None and is_settled else row.watermark
        return resumed if stands.fires else now
    return row.watermark if row.fires == stands.fires and (stands.fires or row.watermark <= now) else changed


def _waited_for_pause(row: TaskRow, stands: Standing) -> bool:
    """Whether `paused_until`, which has passed now, was all that kept the task from firing when last seen."""
    return not row.fires and stands.since is not None and row.watermark == stands.since - _SECOND


def first_watermark(
    task: Task, floor: Callable[[], datetime], stands: Standing, *, now: datetime, last_run: datetime | None
) -> datetime:
    """Where the watermark of a task begins that the ledger does not know (rules 1.4 and 3.2): now.

    Except for `at`, which counts from its own past: a phone's note arrives late, and `max_late` judges it. What was
    past already when the note was written, and is too late now, is a mistake of its author, not a missed run: see
    `floor_of`, which is asked for where that matters.
    `last_run`, as the note tells it, is what has run when the ledger was lost.
    """
    if stands.resumes is not None:
        return stands.resumes - _SECOND
    if not stands.armed:
        return now
    if not task.schedule.is_one_shot:
        return min(last_run or now, now)
    first = task.schedule.next_after(max(floor(), last_run) if last_run else floor())
    return first - _SECOND if first is not None and first <= now else now
