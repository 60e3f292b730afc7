"""Where the watermark is: now, whenever something changed, and nowhere else (rules 1.4 and 3.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vault_scheduler.daemon.watermarks import first_watermark, watermark_after
from vault_scheduler.ledger.rows import TaskRow
from vault_scheduler.planning.named_times import floor_of
from vault_scheduler.planning.standing import Standing, State
from vault_scheduler.task import CommandAction, Policies, Task, TaskType
from vault_scheduler.triggers.schedule import IntervalTrigger, OnceTrigger, Schedule

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
HOURLY = Schedule(triggers=(IntervalTrigger(HOUR, NOW),))
BEFORE = NOW - 3 * HOUR
ARMED, PAUSED = Standing(state=State.ARMED), Standing(state=State.PAUSED)
INVALID, HELD = Standing(state=State.INVALID), Standing(state=State.HELD)


def task(schedule: Schedule = HOURLY) -> Task:
    return Task(
        id="a",
        path="a.md",
        type=TaskType.COMMAND,
        action=CommandAction(command="true"),
        schedule=schedule,
        trigger_fingerprint="same",
    )


def once(hours: float) -> Schedule:
    return Schedule(triggers=(OnceTrigger((NOW + hours * HOUR,)),))


def row(*, fires: bool = True, watermark: datetime = BEFORE, fingerprint: str = "same") -> TaskRow:
    return TaskRow(task="a", path="a.md", fingerprint=fingerprint, fires=fires, watermark=watermark)


PAUSE_ENDED = NOW - HOUR


@pytest.mark.parametrize(
    ("known", "stands", "expected"),
    [
        (row(), ARMED, BEFORE),  # a restart: nothing has changed
        (row(fingerprint="other"), ARMED, NOW),  # another schedule
        (row(fires=False), ARMED, NOW),  # resumed
        (row(), PAUSED, NOW),  # paused
        (row(), HELD, BEFORE),  # what is due ends blocked
        (row(fires=False), HELD, NOW),  # resumed, and held
        (row(), INVALID, BEFORE),  # what came due in the grace is blocked, not forgotten
        (row(fires=False), INVALID, NOW),
        (row(fires=False), PAUSED, BEFORE),
        # paused until an instant: nothing before it is due, everything from it on
        (row(), Standing(state=State.PAUSED, resumes=NOW + HOUR), NOW + HOUR - SECOND),
        (
            row(fires=False, watermark=PAUSE_ENDED - SECOND),
            Standing(state=State.ARMED, since=PAUSE_ENDED),
            PAUSE_ENDED - SECOND,
        ),
        (row(fires=False), Standing(state=State.ARMED, since=PAUSE_ENDED), NOW),  # it was paused otherwise, too
        (row(fires=False, watermark=NOW + HOUR - SECOND), ARMED, NOW),  # resumed before the instant
        (row(fires=False, watermark=NOW + HOUR - SECOND), PAUSED, NOW),  # paused otherwise, too
        (row(fires=False, watermark=PAUSE_ENDED - SECOND), Standing(state=State.PAUSED, since=PAUSE_ENDED), NOW),
        (
            row(fires=False, watermark=PAUSE_ENDED - SECOND),
            Standing(state=State.HELD, since=PAUSE_ENDED),
            PAUSE_ENDED - SECOND,  # blocked from the instant on
        ),
        # the clock was set back: an hour is settled already, a year was never true
        (row(watermark=NOW + HOUR), ARMED, NOW + HOUR),
        (row(watermark=NOW + HOUR, fingerprint="other"), ARMED, NOW + HOUR),
        (row(watermark=NOW + 9000 * HOUR), ARMED, NOW),
    ],
)
def test_watermark_of_a_known_task(known: TaskRow, stands: Standing, expected: datetime) -> None:
    """It moves to now with every change of schedule or of being armed, and stays otherwise."""
    assert watermark_after(known, task(), stands, NOW) == expected


@pytest.mark.parametrize(
    ("schedule", "stands", "written", "last_run", "expected"),
    [
        (HOURLY, ARMED, BEFORE, None, NOW),  # creating never fires by itself
        (HOURLY, ARMED, BEFORE, NOW - 2 * HOUR, NOW - 2 * HOUR),  # the ledger was lost, the note remembers
        (HOURLY, PAUSED, BEFORE, NOW - 2 * HOUR, NOW),
        (HOURLY, Standing(state=State.PAUSED, resumes=NOW + HOUR), BEFORE, None, NOW + HOUR - SECOND),
        (once(1), ARMED, NOW, None, NOW),  # still to come
        (once(-1), ARMED, NOW, None, NOW - HOUR - SECOND),  # typed too late, within `max_late`
        (once(-1), PAUSED, NOW, None, NOW),
        (once(-1), ARMED, NOW, NOW - HOUR, NOW),  # it has run
        (once(-3), ARMED, NOW, None, NOW),  # too late when it was written: a problem, no missed run
        (once(-3), ARMED, NOW - 4 * HOUR, None, NOW - 3 * HOUR - SECOND),  # in time, but it arrived too late: missed
    ],
)
def test_watermark_of_a_new_task(
    schedule: Schedule, stands: Standing, written: datetime, last_run: datetime | None, expected: datetime
) -> None:
    """It begins now, but for a one-shot, which counts from its own past."""
    floor = floor_of(Policies(max_late=2 * HOUR), now=NOW, written_at=written)
    found = first_watermark(task(schedule), lambda: floor, stands, now=NOW, last_run=last_run)
    assert found == expected
