"""What the whole vault will run: small vaults, and what holds for every one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.planning.forecast import forecast
from vault_scheduler.planning.foreseen import Expected, Forecast, Foreseen, Underway
from vault_scheduler.planning.planner import Candidate
from vault_scheduler.run import Run, RunState, TriggerKind, fire_key, run_id
from vault_scheduler.settings import Settings
from vault_scheduler.task import (
    AfterOutcome,
    CatchUp,
    ClaudeAction,
    CommandAction,
    Overlap,
    Status,
    Task,
    TaskType,
)
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger, OnceTrigger, Schedule, Trigger

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)  # 10:00 in Berlin
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def task(name: str, *triggers: Trigger | str, claude: bool = False, **more: Any) -> Task:
    """A task of these triggers (`10m`: every so often; else cron); what `Task` has no field for is a policy."""
    found = tuple(_trigger(trigger) for trigger in triggers)
    bounds = {key: more.pop(key) for key in ("start", "until") if key in more}
    options: dict[str, Any] = {key: more.pop(key) for key in ("overlap", "group", "catch_up") if key in more}
    return Task(
        id=name,
        path=f"{name}.md",
        type=TaskType.CLAUDE if claude else TaskType.COMMAND,
        action=ClaudeAction() if claude else CommandAction(command="true"),
        schedule=Schedule(found, **bounds),
        timezone=BERLIN.key,
        options=options,
        **more,
    )


def _trigger(trigger: Trigger | str) -> Trigger:
    if not isinstance(trigger, str):
        return trigger
    if trigger.endswith("m"):
        return IntervalTrigger(int(trigger[:-1]) * MINUTE, NOW)
    return CronTrigger(trigger, BERLIN)


def expect(found: Task, minutes: float, *, watermark: datetime = NOW, **more: Any) -> Expected:
    """Its runs take so many minutes."""
    return Expected(task=found, takes=minutes * MINUTE, watermark=watermark, **more)


def foresee(
    *tasks: Expected,
    settings: Settings | None = None,
    underway: Sequence[Underway] = (),
    hours: float = 1,
    now: datetime = NOW,
    **more: Any,
) -> Forecast:
    """Look so many hours ahead."""
    return forecast(tasks, underway, settings or Settings(), host="here", now=now, until=now + hours * HOUR, **more)


def told(found: Forecast) -> list[str]:
    """`10:10 a 10:10-10:25`, `10:20 a skipped: still running`, with what it waits for."""
    return [_line(run) for run in found.runs]


def _line(run: Foreseen) -> str:
    line = f"{_clock(run.fire_time)} {run.task}"
    if run.starts_at and run.ends_at:
        line += f" {_clock(run.starts_at)}-{_clock(run.ends_at)}"
    if run.outcome != "success":
        line += f" {run.outcome}: {run.reason.replace('`', '')}"
    if run.count > 1:
        line += f" ({run.count})"
    return line + (f" [{run.waits_for} {run.waits.total_seconds() / 60:g}]" if run.waits_for else "")


def _clock(moment: datetime) -> str:
    return moment.astimezone(BERLIN).strftime("%H:%M")


LATER = "skipped: a later fire time takes its place"
EVERY_POLICY = [
    (Overlap.SKIP, ["10:20 a 10:20-10:45", "10:40 a skipped: still running", "11:00 a 11:00-11:25"]),
    (Overlap.QUEUE, ["10:20 a 10:20-10:45", "10:40 a 10:45-11:10 [overlap 5]", "11:00 a 11:10-11:35 [overlap 10]"]),
    (
        Overlap.CANCEL,
        [
            "10:20 a 10:20-10:40 cancelled: a later fire time takes its place",
            "10:40 a 10:40-11:00 cancelled: a later fire time takes its place",
            "11:00 a 11:00-11:25",
        ],
    ),
    (Overlap.ALLOW, ["10:20 a 10:20-10:45", "10:40 a 10:40-11:05", "11:00 a 11:00-11:25"]),
]


@pytest.mark.parametrize(("overlap", "expected"), EVERY_POLICY)
def test_a_run_that_takes_longer_than_the_time_to_the_next(overlap: Overlap, expected: list[str]) -> None:
    """Each policy as the daemon has it."""
    assert told(foresee(expect(task("a", "20m", overlap=overlap), 25))) == expected


def test_of_those_that_queue_only_the_newest_waits() -> None:
    """The others are foreseen as skipped."""
    found = told(foresee(expect(task("a", "10m", overlap=Overlap.QUEUE), 35)))
    assert found[:4] == ["10:10 a 10:10-10:45", f"10:20 a {LATER} [overlap 10]", f"10:30 a {LATER} [overlap 10]",
                         "10:40 a 10:45-11:20 [overlap 5]"]  # fmt: skip


def test_a_group_runs_one_at_a_time() -> None:
    """The second waits for the first, and somebody else does not."""
    tasks = [expect(task(name, "30m", group="mail"), 4) for name in ("a", "b")]
    found = told(foresee(*tasks, expect(task("c", "30m"), 1), hours=0.5))
    assert sorted(line.split(" ", 2)[2] for line in found) == ["10:30-10:31", "10:30-10:34", "10:34-10:38 [group 4]"]


def test_slots_are_few() -> None:
    """`max_parallel` runs go on at once, the others wait in line."""
    found = told(foresee(*(expect(task(n, "30m"), 10) for n in "abc"), settings=Settings(max_parallel=1), hours=0.5))
    assert sorted(line.split(" ", 2)[2] for line in found) == [
        "10:30-10:40",
        "10:40-10:50 [slot 10]",
        "10:50-11:00 [slot 20]",
    ]


def test_claude_has_slots_of_its_own() -> None:
    """`max_claude` counts Claude's runs alone."""
    tasks = [expect(task(name, "30m", claude=True), 5) for name in ("x", "y")]
    found = told(foresee(*tasks, expect(task("c", "30m"), 5), settings=Settings(max_claude=1), hours=0.5))
    assert "10:30 c 10:30-10:35" in found
    assert sum("[slot 5]" in line for line in found) == 1


@pytest.mark.parametrize(
    ("cron", "clocks"),
    [
        ("30 2 * * *", ["02:30 +0200"]),
        ("*/30 2 * * *", ["02:00 +0200", "02:30 +0200", "02:00 +0100", "02:30 +0100"]),
    ],
)
def test_the_night_in_which_the_clocks_go_back(cron: str, clocks: list[str]) -> None:
    """A fixed time comes once, a wildcard runs through both passes."""
    evening = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
    found = foresee(expect(task("a", cron), 1, watermark=evening), now=evening, hours=12)
    assert [run.fire_time.astimezone(BERLIN).strftime("%H:%M %z") for run in found.runs] == clocks


def test_until_and_start_bound_a_task() -> None:
    """Both are included."""
    bounded = task("a", "10m", start=NOW + 20 * MINUTE, until=NOW + 40 * MINUTE)
    assert [line[:5] for line in told(foresee(expect(bounded, 1)))] == ["10:20", "10:30", "10:40"]


def test_max_runs_ends_a_task() -> None:
    """What has started before counts."""
    found = foresee(expect(task("a", "10m", max_runs=3), 1, started=1))
    assert told(found) == ["10:10 a 10:10-10:11", "10:20 a 10:20-10:21"]


def test_a_fire_time_beyond_max_runs_while_the_last_run_goes_on_is_skipped() -> None:
    """As the daemon records it."""
    found = foresee(expect(task("a", "10m", max_runs=1, overlap=Overlap.QUEUE), 15))
    assert told(found) == ["10:10 a 10:10-10:25", "10:20 a skipped: max_runs is used up"]


def test_one_shots() -> None:
    """`at` fires once each."""
    at = OnceTrigger((NOW + 5 * MINUTE, NOW + 90 * MINUTE))
    assert told(foresee(expect(task("a", at), 1))) == ["10:05 a 10:05-10:06"]


@pytest.mark.parametrize(
    ("mine", "vault"), [(NOW + 25 * MINUTE, None), (None, NOW + 25 * MINUTE), (NOW + MINUTE, NOW + 25 * MINUTE)]
)
def test_a_pause_that_ends(mine: datetime | None, vault: datetime | None) -> None:
    """What the pause lets through is foreseen, its last instant included."""
    paused = expect(task("a", "5m", paused_until=mine), 1, watermark=NOW + 25 * MINUTE - timedelta(seconds=1))
    found = foresee(paused, settings=Settings(paused_until=vault), hours=0.5)
    assert told(found) == ["10:25 a 10:25-10:26", "10:30 a 10:30-10:31"]


OFF = [
    (expect(task("a", "5m", status=Status.PAUSED), 1), Settings()),
    (expect(task("a", "5m", status=Status.DONE), 1), Settings()),
    (expect(task("a", "5m", host="there"), 1), Settings()),
    (expect(task("a", "5m"), 1, held="it is new"), Settings()),
    (expect(task("a", "5m"), 1), Settings(status=Status.STOPPED)),
    (expect(task("a", "5m", paused_until=NOW + 2 * HOUR), 1), Settings()),
]


@pytest.mark.parametrize(("off", "settings"), OFF)
def test_what_is_off_does_not_run(off: Expected, settings: Settings) -> None:
    """Paused, done, somebody else's, held, stopped: nothing is foreseen."""
    assert told(foresee(off, settings=settings)) == []


DAILY = task("a", "0 9 * * *")


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (DAILY, ["09:00 a 10:00-10:01"]),
        (task("a", "0 9 * * *", catch_up=CatchUp.SKIP), ["09:00 a missed: the scheduler was off"]),
        (task("a", "0,20,40 9 * * *", catch_up=CatchUp.ALL),
         ["09:00 a 10:00-10:01", "09:20 a 10:01-10:02 [overlap 1]", "09:40 a 10:02-10:03 [overlap 2]"]),
        (task("a", "0,20,40 9 * * *"), ["09:00 a missed: the scheduler was off (2)", "09:40 a 10:00-10:01"]),
    ],
)  # fmt: skip
def test_what_went_by_unseen_comes_first(late: Task, expected: list[str]) -> None:
    """The daemon that starts now catches up as it is told to."""
    assert told(foresee(expect(late, 1, watermark=NOW - 2 * HOUR))) == expected


def candidate(found: Task, minutes_ago: int, *, going: bool) -> Candidate:
    """A run of it that was claimed so long ago."""
    fire_time = NOW - minutes_ago * MINUTE
    key = fire_key(found.id, fire_time)
    run = Run(
        id=run_id(key, fire_time),
        key=key,
        task=found.id,
        path=found.path,
        trigger=TriggerKind.AT,
        fire_time=fire_time,
        claimed_at=fire_time,
        state=RunState.RUNNING if going else RunState.WAITING,
        started_at=fire_time if going else None,
        attempts=int(going),
    )
    return Candidate(run=run, type=found.type, overlap=Overlap.SKIP)


def test_what_runs_now_keeps_its_slot_for_the_rest_of_its_time() -> None:
    """Its task is busy meanwhile, and others wait for its slot."""
    slow, other = task("slow", "5m"), task("other", "5m")
    underway = Underway(candidate=candidate(slow, 10, going=True), ends_at=NOW + 7 * MINUTE)
    found = foresee(
        expect(slow, 17), expect(other, 1), underway=[underway], settings=Settings(max_parallel=1), hours=0.1
    )
    assert told(found) == [
        "09:50 slow 09:50-10:07",
        "10:05 slow skipped: still running",
        "10:05 other 10:07-10:08 [slot 2]",
    ]
    assert [bool(run.run) for run in found.runs] == [True, False, False]


def test_what_waits_now_starts_first() -> None:
    """It was claimed earlier; it belongs to the forecast although its fire time has passed."""
    waiting = Underway(candidate=candidate(task("a", "30m"), 3, going=False))
    assert told(foresee(expect(task("a", "30m"), 1), underway=[waiting], hours=0.5)) == [
        "09:57 a 10:00-10:01",
        "10:30 a 10:30-10:31",
    ]


def test_what_waits_for_a_task_that_is_gone_or_off_never_starts() -> None:
    """As the daemon gives it up."""
    gone = Underway(candidate=candidate(task("gone", "30m"), 3, going=False))
    paused = task("off", status=Status.PAUSED)
    off = Underway(candidate=candidate(paused, 2, going=False))
    assert told(foresee(expect(paused, 1), underway=[gone, off])) == [
        "09:57 gone skipped: the task was deleted",
        "09:58 off skipped: paused",
    ]


def test_a_run_is_overdue_at_once() -> None:
    """One that takes longer than expected is taken to end now."""
    slow = task("slow", "5m")
    underway = Underway(candidate=candidate(slow, 30, going=True), ends_at=NOW - 20 * MINUTE)
    assert "10:05 slow 10:05-10:15" in told(foresee(expect(slow, 10), underway=[underway], hours=0.1))


FAMILY = {"parent": ["child"], "other": ["child"], "child": ["grandchild"]}


def children(name: str) -> Sequence[str]:
    return FAMILY.get(name, ())


def test_children_follow_the_success_of_their_parents() -> None:
    """Each run of any parent starts them once; their fire time is the parent's end."""
    tasks = [
        expect(task("parent", "30m"), 5),
        expect(task("other", "20m"), 1),
        expect(task("child", after=("parent", "other")), 2),
        expect(task("grandchild", after=("child",)), 1),
    ]
    found = foresee(*tasks, hours=0.65, followers=children)
    assert told(found) == [
        "10:20 other 10:20-10:21",
        "10:21 child 10:21-10:23",
        "10:23 grandchild 10:23-10:24",
        "10:30 parent 10:30-10:35",
        "10:35 child 10:35-10:37",
        "10:37 grandchild 10:37-10:38",
    ]
    assert [run.parent for run in found.runs] == ["", "other", "child", "", "parent", "child"]
    assert {run.trigger for run in found.runs if run.parent} == {TriggerKind.AFTER}


@pytest.mark.parametrize(
    "child",
    [
        expect(task("child", after=("parent",), after_outcome=AfterOutcome.FAILURE), 2),
        expect(task("child", after=("parent",), status=Status.PAUSED), 2),
        expect(task("child", after=("parent",), until=NOW), 2),
        expect(task("child", after=("parent",), max_runs=1), 2, started=1),
    ],
)
def test_children_that_do_not_follow(child: Expected) -> None:
    """Those that wait for a failure, are off, or have ended."""
    assert told(foresee(expect(task("parent", "30m"), 5), child, followers=children)) == [
        "10:30 parent 10:30-10:35",
        "11:00 parent 11:00-11:05",
    ]


def test_a_child_that_is_still_running_is_skipped() -> None:
    """Its overlap policy counts for what its parents start, too."""
    tasks = [expect(task("parent", "20m"), 1), expect(task("child", after=("parent",)), 30)]
    assert told(foresee(*tasks, hours=0.75, followers=children))[-1] == "10:41 child skipped: still running"


BUDGET = [
    # a run's own cap, the vault's and the task's cap of a day, what the vault has spent today; how many of two start
    (0.5, 0.4, None, 0.0, 0),
    (0.5, 0.8, None, 0.0, 1),  # what goes on has its money reserved
    (0.5, 1.0, None, 0.0, 2),
    (0.5, 1.0, 0.4, 0.0, 0),
    (0.5, 1.0, None, 0.2, 1),
    (0.0, 0.0, None, 9.0, 2),
]


@pytest.mark.parametrize(("cap", "vault", "day", "spent", "starting"), BUDGET)
def test_what_no_budget_allows_is_skipped(
    cap: float, vault: float, day: float | None, spent: float, starting: int
) -> None:
    """Runs to come may cost nothing; what is too much even then never starts."""
    action = ClaudeAction(max_usd=cap, max_usd_day=day)
    tasks = [expect(replace(task(name, "30m", claude=True), action=action), 2) for name in "ab"]
    found = foresee(
        *tasks, settings=Settings(vault_max_usd_day=vault), hours=0.5, spent=lambda _task, _moment: (0.0, spent)
    )
    assert sum(run.starts_at is not None for run in found.runs) == starting
    assert {run.reason[:6] for run in found.runs if run.outcome == "skipped"} <= {"budget"}
    assert len(found.runs) == 2


def test_what_waits_when_the_forecast_ends_is_told_to_its_start() -> None:
    """The clock goes on for it, but nothing new is claimed."""
    found = foresee(*(expect(task(n, "30m"), 40) for n in "ab"), settings=Settings(max_parallel=1), hours=0.5)
    assert len(found.runs) == 2
    assert {_clock(run.starts_at) for run in found.runs if run.starts_at} == {"10:30", "11:10"}


def test_too_much_is_cut_and_says_so() -> None:
    """Everything up to the cut is complete."""
    found = foresee(expect(task("a", "1m"), 0.5), hours=100, effort=500)
    assert found.is_cut
    assert NOW + 10 * MINUTE < found.until < NOW + HOUR
    assert [run.fire_time for run in found.runs] == [NOW + n * MINUTE for n in range(1, len(found.runs) + 1)]
    assert not foresee(expect(task("a", "1m"), 0.5), hours=0.5, effort=5000).is_cut


A_TASK = st.fixed_dictionaries(
    {
        "minutes": st.integers(3, 40),
        "takes": st.sampled_from([0, 0.5, 2, 7, 19, 45]),
        "overlap": st.sampled_from(list(Overlap)),
        "group": st.sampled_from(["", "", "mail", "net"]),
        "claude": st.booleans(),
    }
)


@given(st.lists(A_TASK, min_size=1, max_size=6), st.integers(1, 4), st.integers(1, 2))
def test_what_holds_for_every_vault(wishes: list[dict[str, Any]], slots: int, claude: int) -> None:
    """Each fire time ends in exactly one way; no limit is broken; one run of a task, one of a group at a time."""
    tasks = {
        f"t{number}": expect(
            task(
                f"t{number}", f"{wish['minutes']}m", overlap=wish["overlap"], group=wish["group"], claude=wish["claude"]
            ),
            wish["takes"],
        )
        for number, wish in enumerate(wishes)
    }
    found = foresee(*tasks.values(), settings=Settings(max_parallel=slots, max_claude=claude), hours=3)
    for name, each in tasks.items():
        due = list(each.task.schedule.fires(NOW, NOW + 3 * HOUR))
        assert [run.fire_time for run in found.runs if run.task == name] == due
    started = [run for run in found.runs if run.starts_at is not None]
    for run in started:
        assert run.starts_at is None or run.starts_at >= run.fire_time
        beside = [other for other in started if _goes_on(other, run.starts_at)]
        assert len(beside) <= slots
        assert sum(tasks[other.task].task.type is TaskType.CLAUDE for other in beside) <= claude
        for one, other in combinations(beside, 2):
            options = tasks[one.task].task.options
            assert one.task != other.task or options["overlap"] is Overlap.ALLOW
            assert not options["group"] or options["group"] != tasks[other.task].task.options["group"]


def _goes_on(run: Foreseen, moment: datetime | None) -> bool:
    return bool(run.starts_at and run.ends_at and moment and run.starts_at <= moment < run.ends_at)
