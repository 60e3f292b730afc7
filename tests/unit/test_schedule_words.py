"""Schedules in words: short, plain, and never contrary to what fires."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.commands.schedule_words import cron_words, schedule_text, schedule_words
from vault_scheduler.errors import BadExpression
from vault_scheduler.task import AfterOutcome, CommandAction, Task, TaskType
from vault_scheduler.triggers.cron import CronExpression, parse_cron
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger, OnceTrigger, Schedule
from vault_scheduler.triggers.wall_clock import wall_clock_of

READER = runpy.run_path(str(Path(__file__).with_name("words_reader.py")))
read_words: Callable[[str], tuple[set[int], Callable[[date], bool]]] = READER["read_words"]

BERLIN = ZoneInfo("Europe/Berlin")
FIRST, LAST = date(2027, 1, 1), date(2028, 12, 31)  # a leap year is in it
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 7 * * 1-5", "at 07:00, Monday through Friday"),
        ("0 7,19 * * *", "at 07:00 and 19:00, every day"),
        ("*/15 * * * *", "every 15 minutes"),
        ("* * * * *", "every minute"),
        ("0 */2 * * *", "every 2 hours"),
        ("30 * * * *", "at 30 minutes past the hour"),
        ("0 9 * * MON,WED", "at 09:00, only on Monday and Wednesday"),
        ("0 0 1 1 *", "at 00:00, on day 1 of the month, only in January"),
        ("0 9 * * 7", "at 09:00, only on Sunday"),
        ("0 9 * * 0", "at 09:00, only on Sunday"),
        ("0 9 ? * 5-1", "at 09:00, Friday through Monday"),
        ("0 9 * 11-2 *", "at 09:00, every day, November through February"),
        ("0 5-5 * * *", "at 05:00, every day"),
        ("*/5 22-2 * * *", "every 5 minutes, between 22:00 and 02:59"),
        ("0 22-1 * * *", "at 22:00, 23:00, 00:00 and 01:00, every day"),
        ("5,20 7 * * *", "at 5 and 20 minutes past the hour, between 07:00 and 07:59"),
        ("0 0 L * *", "at 00:00, on the last day of the month"),
        ("0 0 * * L5", "at 00:00, on the last Friday of the month"),
        ("0 0 * * 5#3", "at 00:00, on the third Friday of the month"),
        ("0 0 15W * *", "at 00:00, on the weekday nearest day 15 of the month"),
        ("@hourly", "every hour"),
        ("@daily", "at 00:00, every day"),
        ("@weekly", "at 00:00, only on Sunday"),
        ("@monthly", "at 00:00, on day 1 of the month"),
        ("@yearly", "at 00:00, on day 1 of the month, only in January"),
    ],
)
def test_cron_is_put_into_words(expression: str, words: str) -> None:
    """In 24-hour time, by the names of days and months."""
    assert cron_words(parse_cron(expression)) == words


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 0 13 * 5", "at 00:00, on day 13 of the month or on Friday"),
        ("0 0 13 * 1-5", "at 00:00, on day 13 of the month or Monday through Friday"),
        ("0 0 */2 * 5", "at 00:00, every 2 days, between day 1 and 31 of the month, only on Friday"),
        ("0 0 L * 1,2", "at 00:00, on the last day of the month or on Monday and Tuesday"),
        ("0 0 1-31 * 5", "at 00:00, every day"),
        ("0 0 13 * 0-6", "at 00:00, every day"),
    ],
)
def test_two_day_fields_are_joined_as_they_are_obeyed(expression: str, words: str) -> None:
    """Either of them, unless one begins with a star: then both."""
    assert cron_words(parse_cron(expression)) == words


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("*/7 * * * *", "every 7 minutes, minutes 0 through 56 past the hour"),
        ("*/45 * * * *", "at 0 and 45 minutes past the hour"),
        ("0 */5 * * *", "at 00:00, 05:00, 10:00, 15:00 and 20:00, every day"),
        ("0 0 */3 * *", "at 00:00, every 3 days, between day 1 and 31 of the month"),
    ],
)
def test_a_step_that_starts_anew_is_told_with_its_bounds(expression: str, words: str) -> None:
    """Every 7 minutes would be untrue at the full hour."""
    assert cron_words(parse_cron(expression)) == words


def test_what_the_task_draws_is_told_as_it_was_drawn() -> None:
    """`H` is a time like any other, once the task is known."""
    cron = parse_cron("H 7 * * *", "briefing")
    minute = int(cron.normal.split()[0])
    assert cron_words(cron) == f"at 07:{minute:02}, every day"


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 1,L * *",  # the library says "day L"
        "0 0 * * 1#1,5#3",  # it forgets which ones
        "*/15 */2 * * *",  # every 15 minutes, every 2 hours: which of them?
        "17 1,3,5,9,11,14,19 * * *",  # longer than the expression
        "1,2,4,8,16,32 1,2,4,8,16 1,2,4,8,16 1,2,4,8 *",
    ],
)
def test_where_words_would_be_untrue_or_too_long_there_are_none(expression: str) -> None:
    """The expression is shown as it is written."""
    assert cron_words(parse_cron(expression)) == ""


@pytest.mark.parametrize("seed", range(8))
def test_words_say_what_fires(seed: int) -> None:
    """Read back as a person reads them, they name the same times and days as the expression, over two years."""
    told = 0
    for expression in _expressions(random.Random(seed), 25):
        cron = parse_cron(expression, "a task")
        words = cron_words(cron)
        if not words:
            continue
        told += 1
        minutes, on_day = read_words(words)
        days = [FIRST + timedelta(n) for n in range((LAST - FIRST).days + 1)]
        assert (expression, words, [day for day in days if on_day(day)]) == (expression, words, [*_days(cron)])
        assert (expression, words, sorted(minutes)) == (expression, words, _minutes(cron))
    assert told > 5


def _days(cron: CronExpression) -> Iterator[date]:
    hits = wall_clock_of(cron)
    hit = hits.next_after(datetime.combine(FIRST, time()) - SECOND)
    while hit is not None and hit.date() <= LAST:
        yield hit.date()
        hit = hits.next_after(datetime.combine(hit.date(), time(23, 59, 59)))


def _minutes(cron: CronExpression) -> list[int]:
    hits = wall_clock_of(cron)
    day = next(_days(cron))
    found, hit = [], hits.next_after(datetime.combine(day, time()) - SECOND)
    while hit is not None and hit.date() == day:
        found.append(60 * hit.hour + hit.minute)
        hit = hits.next_after(hit)
    return found


def _expressions(chance: random.Random, count: int) -> Iterator[str]:
    """Valid ones of all kinds that fire in the two years."""
    while count:
        expression = " ".join(_field(chance, index) for index in range(5))
        try:
            trigger = CronTrigger(expression, ZoneInfo("UTC"), "a task")
        except BadExpression:
            continue
        if next(_days(trigger.cron), None) is not None:
            count -= 1
            yield expression


LOW, HIGH = (0, 0, 1, 1, 0), (59, 23, 31, 12, 7)
SPECIAL = (
    ("H", "H/15", "0", "0", "0"),
    ("H", "H(8-18)"),
    ("L", "15W", "1W", "31W", "?"),
    (),
    ("L5", "5#3", "1#5", "?"),
)


def _field(chance: random.Random, index: int) -> str:
    def value() -> str:
        return str(chance.randint(LOW[index], HIGH[index]))

    def step() -> str:
        return str(chance.randint(1, HIGH[index] // 2))

    kinds: list[Callable[[], str]] = [
        lambda: "*",
        lambda: "*",
        value,
        lambda: f"*/{step()}",
        lambda: f"{value()}-{value()}",
        lambda: f"{value()}-{value()}/{step()}",
        lambda: f"{value()}/{step()}",
        lambda: ",".join(value() for _ in range(chance.randint(2, 4))),
        lambda: f"{value()}-{value()},{value()}",
        lambda: chance.choice(SPECIAL[index]) if SPECIAL[index] else "JAN,MAR-MAY",
    ]
    return chance.choice(kinds)()


TASK = Task(
    id="a",
    path="00_system/tasks/a.md",
    type=TaskType.COMMAND,
    action=CommandAction(command="true"),
    schedule=Schedule((CronTrigger("0 7 * * 1-5", BERLIN), IntervalTrigger(timedelta(minutes=90), datetime.now(UTC)))),
    timezone="Europe/Berlin",
)


def test_a_schedule_is_told_short_as_it_is_written_and_in_words() -> None:
    """The expression stands behind its words."""
    assert schedule_text(TASK) == "0 7 * * 1-5; every 1h30m"
    assert schedule_words(TASK) == ["at 07:00, Monday through Friday (0 7 * * 1-5)", "every 1h30m"]


def test_an_expression_without_words_is_told_as_it_is() -> None:
    """So that `show` is never silent about a trigger."""
    task = replace(TASK, schedule=Schedule((CronTrigger("*/15 */2 * * *", BERLIN),)))
    assert schedule_words(task) == ["cron */15 */2 * * *"]


def test_moments_and_bounds_are_told_in_the_zone_of_the_task() -> None:
    """Many moments are counted."""
    moments = [datetime(2026, 11, day, 6, tzinfo=UTC) for day in (23, 24, 25, 26)]
    bounds = {"start": moments[0], "until": moments[3]}
    task = replace(TASK, schedule=Schedule((OnceTrigger(tuple(moments)),), **bounds), max_runs=3)
    assert schedule_text(task) == "at 2026-11-23 07:00 and 3 more"
    assert schedule_words(task) == [
        "once at 2026-11-23 07:00, 2026-11-24 07:00 and 2026-11-25 07:00 and 1 times more",
        "not before 2026-11-23 07:00",
        "not after 2026-11-26 07:00",
        "at most 3 runs",
    ]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (AfterOutcome.SUCCESS, "after [[fetch]] or [[b/c]]"),
        (AfterOutcome.FAILURE, "after [[fetch]] or [[b/c]] fails"),
        (AfterOutcome.ANY, "after [[fetch]] or [[b/c]] succeeds or fails"),
    ],
)
def test_what_starts_a_task_beside_the_clock_is_told(outcome: AfterOutcome, words: str) -> None:
    """The start of the daemon, other tasks, and changed notes."""
    task = replace(TASK, schedule=Schedule(), on_start=True, after=("fetch", "b/c"), after_outcome=outcome)
    task = replace(task, on_change=("Inbox/**", "*.md"))
    assert schedule_text(task) == f"on start; {words}; when Inbox/** or *.md changes"
    assert schedule_words(task) == [
        "when the daemon starts",
        words,
        "when Inbox/** or *.md changes and then rests for 30s",
    ]


def test_the_library_of_words_is_loaded_only_where_there_is_cron_to_tell() -> None:
    """`--help`, `list` and the daemon start without it."""
    code = (
        "import sys, vault_scheduler.commands.task_page, vault_scheduler.cli; print('cron_descriptor' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert found.stdout.strip() == "False"
