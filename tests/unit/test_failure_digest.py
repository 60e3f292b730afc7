"""The built-in task `failure_digest`: what it makes of the runs of a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.builtin.failure_digest import History, NoteState, digest
from vault_scheduler.run import Outcome, Result, Run, RunState, TriggerKind
from vault_scheduler.text.harmless import harmless_markdown

NOW = datetime(2026, 11, 22, 8, 30, tzinfo=ZoneInfo("Europe/Berlin"))
DAY = timedelta(days=1)
NUMBER = count()


def ran(task: str, hours_ago: float, outcome: Outcome, reason: str = "", **more: Any) -> Run:
    moment = (NOW - timedelta(hours=hours_ago)).astimezone(UTC)
    values: dict[str, Any] = {
        "id": f"r-{next(NUMBER)}",
        "key": task,
        "task": task,
        "path": f"00_system/tasks/{task}.md",
        "trigger": TriggerKind.AT,
        "fire_time": moment,
        "claimed_at": moment,
        "state": RunState.ENDED,
        "outcome": outcome,
        "reason": reason,
        "started_at": moment,
        "ended_at": moment,
        "attempts": 1,
    }
    return Run(**{**values, **more})


def unstarted(task: str, hours_ago: float, outcome: Outcome, reason: str, number: int = 1) -> Run:
    last = (NOW - timedelta(hours=hours_ago)).astimezone(UTC)
    return ran(task, hours_ago + 1, outcome, reason, attempts=0, started_at=None, last_fire_time=last, count=number)


def told(*runs: Run, before: dict[str, Run] | None = None, **more: Any) -> str:
    states = more.pop("notes", {})
    said = digest(
        History(runs=runs, before=before or {}), NOW, DAY, lambda path: states.get(path, NoteState()), 20, **more
    )
    assert harmless_markdown(said).replace("\\$", "$") == said
    return said


def test_a_day_without_trouble_is_one_sentence() -> None:
    """Nothing failed: how many runs of how many tasks, and what they cost."""
    cost = Result(outcome=Outcome.SUCCESS, cost_usd=0.42)
    assert told() == "Nothing failed: 0 runs of 0 tasks in 24 h."
    runs = [ran("a", 2, Outcome.SUCCESS), ran("a", 1, Outcome.SUCCESS, result=cost), ran("b", 1, Outcome.CANCELLED)]
    assert told(*runs) == "Nothing failed: 3 runs of 2 tasks in 24 h, $0.42."


def test_a_failing_task_is_told_with_its_reasons_and_since_when() -> None:
    """All failures of one task are one line: how many, since when, the newest and the most frequent reason."""
    runs = [
        ran("sync", 20, Outcome.FAILURE, "exit 1: no route"),
        ran("sync", 15, Outcome.SUCCESS),
        ran("sync", 10, Outcome.TIMEOUT, "no end after 1h"),
        ran("sync", 2, Outcome.FAILURE, "exit 1: no route"),
        ran("sync", 1, Outcome.FAILURE, "exit 3: *disk* full"),
    ]
    assert told(*runs, notes={"00_system/tasks/sync.md": NoteState(paused=True)}) == (
        "**1 task failing** · 5 runs of 1 task in 24 h.\n\n"
        "**❌ Failing**\n\n"
        "- [[00_system/tasks/sync|sync]] · 4 of 5 runs failed, since yesterday 22:30, last 07:30 · **now paused** · "
        "exit 3: \\*disk\\* full; exit 1: no route (2 ×); 1 other reason"
    )


def test_a_task_that_is_fine_again_is_told_once() -> None:
    """After failures of this day, and after those of the days before."""
    runs = [
        ran("sync", 5, Outcome.FAILURE, "exit 1"),
        ran("sync", 4, Outcome.SUCCESS),
        ran("sync", 3, Outcome.SUCCESS),
        ran("weekly", 2, Outcome.SUCCESS),
    ]
    said = told(*runs, before={"weekly": ran("weekly", 170, Outcome.ABANDONED, "the machine stopped")})
    assert "**2 fine again**" not in said
    assert said.startswith("2 fine again · 4 runs of 2 tasks in 24 h.")
    assert "- [[00_system/tasks/sync|sync]] · since 04:30, after 1 failure · exit 1" in said
    assert "- [[00_system/tasks/weekly|weekly]] · since 06:30, after 1 failure · abandoned: the machine stopped" in said
    assert "Failing" not in said


@pytest.mark.parametrize("before", [Outcome.SUCCESS, Outcome.BLOCKED])
def test_a_task_that_was_fine_before_is_not_fine_again(before: Outcome) -> None:
    """Only failures are recovered from."""
    assert told(ran("a", 1, Outcome.SUCCESS), before={"a": ran("a", 30, before)}).startswith("Nothing failed")


def test_what_waits_for_a_person_is_told_with_the_question_or_the_cure() -> None:
    """The last word of the task counts, also of fire times that did not start."""
    asked = Result(outcome=Outcome.BLOCKED, question="Which of the two?")
    runs = [
        ran("ask", 3, Outcome.BLOCKED, "a question", result=asked),
        unstarted("held", 2, Outcome.BLOCKED, "held: approve it", number=4),
        ran("login", 5, Outcome.BLOCKED, "not logged in"),
        ran("login", 1, Outcome.SUCCESS),
    ]
    said = told(*runs)
    assert "**2 waiting for you**" in said
    assert "- [[00_system/tasks/ask|ask]] · since 05:30 · Which of the two?" in said
    assert "- [[00_system/tasks/held|held]] · 4 × since 06:30 · held: approve it" in said
    assert "login" not in said


def test_what_was_missed_or_skipped_is_counted_by_reason_but_not_what_a_gate_declined() -> None:
    """A gate that says no found nothing to do; everything else that did not run is told."""
    runs = [
        unstarted("a", 1, Outcome.MISSED, "asleep", number=4),
        unstarted("a", 2, Outcome.SKIPPED, "still running", number=2),
        unstarted("b", 1, Outcome.SKIPPED, "gate said no", number=9),
    ]
    said = told(*runs)
    assert "1 task with runs that did not start" in said
    assert "- [[00_system/tasks/a|a]] · missed 4 × (asleep), skipped 2 × (still running)" in said
    assert "gate" not in said
    assert "still running" not in told(*runs, skipped=False)


def test_a_run_that_needed_several_attempts_is_told() -> None:
    """It went well, but not at once: what fails at first will fail for good one day."""
    runs = [
        ran("a", 3, Outcome.SUCCESS),
        ran("a", 2, Outcome.SUCCESS, attempts=3),
        ran("b", 1, Outcome.SUCCESS, attempts=2),
    ]
    said = told(*runs)
    assert "- [[00_system/tasks/a|a]] · 1 of 2 runs needed 3 attempts" in said
    assert "- [[00_system/tasks/b|b]] · 1 run needed 2 attempts" in said


def test_a_note_that_is_gone_is_named_without_a_link() -> None:
    """A link to a deleted task would be a dead one."""
    said = told(ran("a", 1, Outcome.FAILURE, "x"), notes={"00_system/tasks/a.md": NoteState(there=False)})
    assert "- a (its note is gone) · 1 run failed, at 07:30 · x" in said
    assert "[[" not in said


def test_hostile_reasons_do_nothing() -> None:
    """A reason is what a program printed: shown as text."""
    assert "![[" not in told(ran("a", 1, Outcome.FAILURE, "![[x]] <img src=y> %% `= 1`"))
