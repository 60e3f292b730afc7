"""What is due, what is missed, what may start: decided without clock, store or waiting."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.planning.planner import (
    CATCH_UP_LIMIT,
    Agenda,
    Candidate,
    FirePlan,
    Limits,
    plan_fire_times,
    retry_delay,
    superseded,
    take_turns,
)
from vault_scheduler.planning.standing import Standing, State, standing
from vault_scheduler.run import Run, RunState, TriggerKind
from vault_scheduler.settings import Settings
from vault_scheduler.task import CatchUp, CommandAction, Overlap, Policies, Status, Task, TaskType
from vault_scheduler.triggers.schedule import IntervalTrigger, Schedule

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTELY = Schedule(triggers=(IntervalTrigger(MINUTE, NOW),))
ARMED = Standing(state=State.ARMED)


def task(status: Status = Status.ACTIVE, paused_until: datetime | None = None, host: str | None = None) -> Task:
    return Task(
        id="a",
        path="a.md",
        type=TaskType.COMMAND,
        action=CommandAction(command="true"),
        schedule=MINUTELY,
        status=status,
        paused_until=paused_until,
        host=host,
    )


LATER, LATEST, EARLIER = NOW + MINUTE, NOW + 2 * MINUTE, NOW - MINUTE


@pytest.mark.parametrize(
    ("given_task", "settings", "state"),
    [
        (task(), Settings(), State.ARMED),
        (task(), Settings(host="here"), State.ARMED),
        (task(), Settings(host="there"), State.OTHER_HOST),
        (task(host="here"), Settings(host="there"), State.ARMED),
        (task(host="there"), Settings(host="here"), State.OTHER_HOST),
        (task(Status.PAUSED), Settings(), State.PAUSED),
        (task(Status.STOPPED), Settings(), State.STOPPED),
        (task(Status.DONE), Settings(), State.DONE),
        (task(), Settings(status=Status.PAUSED), State.PAUSED),
        (task(), Settings(status=Status.STOPPED), State.STOPPED),
        (task(Status.PAUSED), Settings(status=Status.STOPPED), State.STOPPED),
        (task(Status.STOPPED), Settings(status=Status.PAUSED), State.STOPPED),
        (task(paused_until=LATER), Settings(), State.PAUSED),
        (task(paused_until=NOW), Settings(), State.ARMED),  # from exactly that instant on
        (task(paused_until=EARLIER), Settings(paused_until=LATER), State.PAUSED),
        # Another machine's task is not this one's to judge, whatever else it says.
        (task(Status.PAUSED, host="there"), Settings(), State.OTHER_HOST),
    ],
)
def test_how_a_task_stands(given_task: Task, settings: Settings, state: State) -> None:
    """Host before switches before pauses."""
    assert standing(given_task, settings, host="here", now=NOW).state is state


def test_pause_ends_at_the_later_of_two() -> None:
    """The next look is at the earlier end, the task is armed from the later one on."""
    stands = standing(task(paused_until=LATER), Settings(paused_until=LATEST), host="here", now=NOW)
    assert (stands.until, stands.resumes) == (LATER, LATEST)
    assert standing(task(paused_until=EARLIER), Settings(paused_until=NOW), host="here", now=NOW).since == NOW


def test_invalid_note_has_a_minute_of_grace() -> None:
    """For 60 seconds the last good definition stays armed, then fire times end blocked."""
    stands = standing(task(), Settings(), host="here", now=NOW, invalid_since=NOW - 59 * timedelta(seconds=1))
    assert (stands.state, stands.until) == (State.ARMED, NOW + timedelta(seconds=1))
    stands = standing(task(), Settings(), host="here", now=NOW, invalid_since=NOW - MINUTE)
    assert stands.state is State.INVALID
    assert stands.state.blocks


def plan(
    minutes: float,
    policies: Policies,
    *,
    stands: Standing = ARMED,
    overlapping: bool = False,
    room: int | None = None,
) -> FirePlan:
    return plan_fire_times(
        MINUTELY,
        watermark=NOW,
        now=NOW + minutes * MINUTE,
        standing=stands,
        policies=policies,
        overlapping=overlapping,
        absence=lambda _: "asleep",
        room=room,
    )


def in_words(planned: FirePlan) -> list[str]:
    """`run 5`, `missed 1-4 (4): asleep`: fire times as minutes after NOW."""
    ranges = [
        f"{gap.outcome} {(gap.first - NOW) // MINUTE}-{(gap.last - NOW) // MINUTE} ({gap.count}): {gap.reason}"
        for gap in planned.ranges
    ]
    return [*ranges, *(f"run {(claim - NOW) // MINUTE}" for claim in planned.claims)]


@pytest.mark.parametrize(
    ("minutes", "policies", "expected"),
    [
        (0.5, Policies(), []),  # nothing is due
        (1, Policies(), ["run 1"]),
        (2, Policies(), ["missed 1-1 (1): a later one was due too", "run 2"]),  # 60 s late is no absence
        (5, Policies(), ["missed 1-4 (4): asleep", "run 5"]),
        (5, Policies(catch_up=CatchUp.SKIP), ["missed 1-4 (4): asleep", "run 5"]),  # the newest is on time
        (5, Policies(catch_up=CatchUp.ALL), ["run 1", "run 2", "run 3", "run 4", "run 5"]),
        (5.5, Policies(max_late=timedelta(seconds=1)), ["missed 1-4 (4): asleep", "run 5"]),  # up to 60 s is on time
        (5, Policies(catch_up=CatchUp.ALL, max_late=timedelta(seconds=1)), [f"run {n}" for n in range(1, 6)]),
    ],
)
def test_what_becomes_of_what_is_due(minutes: float, policies: Policies, expected: list[str]) -> None:
    """Collapsed by `catch_up`, judged by `max_late`, counted in one range."""
    assert in_words(plan(minutes, policies)) == expected


def test_all_is_at_most_a_hundred() -> None:
    """The range of what is too much ends right before the first that runs."""
    planned = plan(150, Policies(catch_up=CatchUp.ALL))
    assert in_words(planned)[:2] == ["missed 1-50 (50): asleep", "run 51"]
    assert len(planned.claims) == CATCH_UP_LIMIT


def test_overlap_skips_what_would_run() -> None:
    """What is missed is missed, what would have run is skipped."""
    expected = ["missed 1-2 (2): asleep", "skipped 3-3 (1): still running"]
    assert in_words(plan(3, Policies(), overlapping=True)) == expected
    assert in_words(plan(3, Policies(overlap=Overlap.QUEUE), overlapping=True))[-1] == "run 3"


def test_held_task_is_blocked_with_its_reason() -> None:
    """Nothing runs, and everything that was due is counted."""
    held = Standing(state=State.HELD, reason="held: new")
    assert in_words(plan(3, Policies(), stands=held)) == ["blocked 1-3 (3): held: new"]


@given(
    minutes=st.integers(0, 400),
    catch_up=st.sampled_from(CatchUp),
    max_late=st.sampled_from([None, timedelta(0), timedelta(hours=1)]),
    overlapping=st.booleans(),
)
def test_every_due_fire_time_has_one_outcome(
    minutes: int, catch_up: CatchUp, max_late: timedelta | None, overlapping: bool
) -> None:
    """Claims and ranges together are all that is due, once, in order."""
    planned = plan(minutes, Policies(catch_up=catch_up, max_late=max_late), overlapping=overlapping)
    assert sum(gap.count for gap in planned.ranges) + len(planned.claims) == minutes
    assert planned.watermark == NOW + minutes * MINUTE
    edges = [edge for gap in planned.ranges for edge in ((gap.first,) if gap.count == 1 else (gap.first, gap.last))]
    assert sorted({*edges, *planned.claims}) == [*edges, *planned.claims]


def run(
    name: str,
    minute: int,
    *,
    state: RunState = RunState.CLAIMED,
    not_before: datetime | None = None,
    attempts: int = 0,
) -> Run:
    return Run(
        id=f"{name}{minute}",
        key=f"{name}|{minute}",
        task=name,
        path=f"{name}.md",
        trigger=TriggerKind.AT,
        fire_time=NOW + minute * MINUTE,
        claimed_at=NOW,
        state=state,
        not_before=not_before,
        waiting_for="retry" if not_before else "",
        attempts=attempts,
    )


def candidate(found: Run, *, claude: bool = False, overlap: Overlap = Overlap.SKIP) -> Candidate:
    return Candidate(run=found, type=TaskType.CLAUDE if claude else TaskType.COMMAND, overlap=overlap)


def turns(waiting: list[Candidate], going: list[Candidate], limits: Limits) -> dict[str, str]:
    return {turn.run.id: turn.waits_for for turn in take_turns(waiting, going, limits, NOW)}


def test_turns_go_by_fire_time() -> None:
    """The earlier fire time starts, whatever the order of the list."""
    found = [candidate(run(name, minute)) for name, minute in (("c", 3), ("a", 1), ("b", 2))]
    assert turns(found, [], Limits(max_parallel=2, max_claude=2)) == {"a1": "", "b2": "", "c3": "slot"}


def test_one_run_of_a_session_at_a_time() -> None:
    """Whoever goes on with the same session waits, of whatever task; sessions of their own wait for nobody."""
    found = [candidate(run(name, minute), claude=True) for name, minute in (("a", 1), ("b", 2), ("c", 3), ("d", 4))]
    named = [replace(each, session=session) for each, session in zip(found, ("s", "s", "t", ""), strict=True)]
    limits = Limits(max_parallel=9, max_claude=9)
    assert turns(named, [], limits) == {"a1": "", "b2": "session", "c3": "", "d4": ""}
    assert turns(named[1:], named[:1], limits) == {"b2": "session", "c3": "", "d4": ""}


def test_no_claude_run_starts_while_the_plans_limit_is_reached() -> None:
    """They wait for it, whatever they waited for before, and take no place from the others."""
    early = candidate(replace(run("a", 1), waiting_for="retry", not_before=NOW + timedelta(minutes=5)), claude=True)
    found = [early, candidate(run("b", 2), claude=True), candidate(run("c", 3))]
    reached = Limits(max_parallel=1, max_claude=9, claude_waits=True)
    assert turns(found, [], reached) == {"a1": "quota", "b2": "quota", "c3": ""}


def test_a_run_that_waited_for_the_plan_goes_on_as_soon_as_it_may() -> None:
    """The reset that it was told of counts for nothing once a person has raised `max_usage`."""
    waited = replace(run("a", 1), state=RunState.WAITING, waiting_for="quota", not_before=NOW + timedelta(hours=2))
    assert turns([candidate(waited, claude=True)], [], Limits(max_parallel=1, max_claude=1)) == {"a1": ""}


def test_one_run_of_a_task_at_a_time() -> None:
    """The second run of a task waits for the first, unless overlap is allowed."""
    limits = Limits(max_parallel=9, max_claude=9)
    going = [candidate(run("a", 0, state=RunState.RUNNING))]
    assert turns([candidate(run("a", 1))], going, limits) == {"a1": "overlap"}
    assert turns([candidate(run("a", 1), overlap=Overlap.ALLOW)], going, limits) == {"a1": ""}


def test_retry_takes_no_slot_but_its_task() -> None:
    """Others pass a run in its delay, the next run of its task does not."""
    found = [candidate(run("a", 1, not_before=LATER)), candidate(run("a", 2)), candidate(run("b", 3))]
    assert turns(found, [], Limits(max_parallel=1, max_claude=1)) == {"a1": "retry", "a2": "overlap", "b3": ""}


def test_retry_of_a_clock_that_was_ahead_is_due() -> None:
    """A moment further away than any delay was set before the clock was put right."""
    found = [candidate(run("a", 1, not_before=NOW + timedelta(days=400)))]
    assert turns(found, [], Limits(max_parallel=1, max_claude=1)) == {"a1": ""}


def test_claude_waits_without_holding_up_others() -> None:
    """Claude runs have a limit of their own within the common one."""
    found = [candidate(run("a", 1), claude=True), candidate(run("b", 2), claude=True), candidate(run("c", 3))]
    assert turns(found, [], Limits(max_parallel=3, max_claude=1)) == {"a1": "", "b2": "slot", "c3": ""}


def test_retry_delay_doubles_up_to_an_hour() -> None:
    """1, 2, 4 … minutes, never more than 60."""
    policies = Policies(retry_delay=MINUTE)
    assert [retry_delay(policies, n) // MINUTE for n in (1, 2, 3, 6, 7, 100)] == [1, 2, 4, 32, 60, 60]


def test_agenda_knows_the_latest_word_of_each_task() -> None:
    """What was put before is forgotten; what is taken is not there any more."""
    agenda = Agenda()
    agenda.put("a", NOW)
    agenda.put("b", LATER)
    agenda.put("a", LATEST)
    agenda.put("c", NOW)
    agenda.put("c", None)
    assert agenda.next_moment() == LATER
    assert agenda.take_due(NOW) == []
    assert agenda.take_due(LATEST) == ["b", "a"]
    assert agenda.next_moment() is None
    agenda.put("a", LATER)
    assert agenda.moment_of("a") == LATER


def test_an_agenda_counts_who_is_due_first() -> None:
    """Those of the earliest moment and no others, as far as it is asked to."""
    agenda = Agenda()
    assert agenda.crowd(10) == 0
    for number in range(40):
        agenda.put(f"t{number}", NOW + timedelta(seconds=number % 4))
    assert (agenda.crowd(100), agenda.crowd(3)) == (10, 3)
    agenda.take_due(NOW)
    assert agenda.crowd(100) == 10


def test_an_agenda_counts_on_while_tasks_come_and_go() -> None:
    """Who joins or leaves the earliest moment is counted, and an earlier moment has a crowd of its own."""
    agenda = Agenda()
    for name in "abc":
        agenda.put(name, LATER)
    assert agenda.crowd(100) == 3
    agenda.put("d", LATER)
    agenda.put("d", LATER)
    assert agenda.crowd(100) == 4
    agenda.put("a", None)
    agenda.put("b", LATER + timedelta(hours=1))
    assert agenda.crowd(100) == 2
    agenda.put("c", NOW)
    assert agenda.crowd(100) == 1
    agenda.take_due(NOW)
    assert agenda.crowd(100) >= 1
    assert (agenda.take_due(LATER), agenda.crowd(100)) == (["d"], 1)


def test_an_agenda_does_not_grow_with_changes_of_mind() -> None:
    """A note that is edited thousands of times leaves no trail of moments that count no more."""
    agenda = Agenda()
    agenda.put("b", LATER)
    for second in range(2000):
        agenda.put("a", NOW + timedelta(seconds=second))
    assert len(agenda) < 250
    assert (agenda.moment_of("a"), agenda.moment_of("b")) == (NOW + timedelta(seconds=1999), LATER)
    assert sorted(agenda.take_due(NOW + timedelta(days=1))) == ["a", "b"]


# overlap and groups


def flagged(found: Run, overlap: Overlap) -> Candidate:
    """A run that was claimed while another of its task had not ended."""
    return Candidate(run=found, type=TaskType.COMMAND, overlap=overlap, overlaps=True)


def in_line(*candidates: Candidate) -> list[str]:
    return [each.run.id for each in superseded(candidates)]


def test_of_those_that_queue_all_but_the_newest_give_way() -> None:
    """What goes on, what was claimed alone and what other tasks do is not touched."""
    first = candidate(run("a", 1, state=RunState.RUNNING), overlap=Overlap.QUEUE)
    queued = [flagged(run("a", minute), Overlap.QUEUE) for minute in (2, 3, 4)]
    other = flagged(run("b", 1), Overlap.QUEUE)
    assert in_line(first, *queued, other) == ["a2", "a3"]


def test_a_queued_run_that_has_begun_does_not_give_way() -> None:
    """One that has made an attempt is no longer in the queue."""
    begun = flagged(run("a", 2, attempts=1), Overlap.QUEUE)
    assert in_line(begun, flagged(run("a", 3), Overlap.QUEUE)) == []


def test_everything_older_gives_way_to_one_that_cancels() -> None:
    """Running, retrying or waiting: only the newest goes on."""
    first = candidate(run("a", 1, state=RunState.RUNNING, attempts=1), overlap=Overlap.CANCEL)
    second = flagged(run("a", 2), Overlap.CANCEL)
    newest = flagged(run("a", 3), Overlap.CANCEL)
    assert in_line(newest, second, first) == ["a1", "a2"]


def test_nothing_gives_way_where_nothing_overlaps() -> None:
    """The backlog of one catch-up waits in line, and runs that may go on side by side do."""
    assert in_line(*(candidate(run("a", minute), overlap=Overlap.CANCEL) for minute in (1, 2, 3))) == []
    assert in_line(*(flagged(run("a", minute), Overlap.ALLOW) for minute in (1, 2, 3))) == []


def test_one_of_a_group_starts_and_the_others_wait() -> None:
    """By fire time; who has no group waits for none."""
    limits = Limits(max_parallel=4, max_claude=2)
    members = [replace(candidate(run(name, minute)), group="g") for name, minute in (("a", 2), ("b", 1))]
    assert turns([*members, candidate(run("c", 3))], [], limits) == {"b1": "", "a2": "group", "c3": ""}
    going = [replace(candidate(run("d", 0, state=RunState.RUNNING)), group="g")]
    assert turns(members, going, limits) == {"b1": "group", "a2": "group"}


def test_what_max_runs_leaves_no_room_for_is_skipped() -> None:
    """The oldest of a catch-up run, the others are told."""
    found = plan(5, Policies(catch_up=CatchUp.ALL), room=2)
    assert in_words(found) == ["skipped 3-5 (3): max_runs is used up", "run 1", "run 2"]
