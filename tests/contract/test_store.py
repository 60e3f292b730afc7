"""What every store promises, over each implementation: the contract of the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_scheduler.errors import Refused, RunNotFound
from vault_scheduler.ledger.rows import mark_of
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import (
    ANSWERS,
    CANCELLED,
    DAILY_LOG,
    EXCUSED,
    GATE,
    NOTE,
    OWN_SESSION,
    PARENT,
    TRANSIENT,
    Batch,
    Claim,
    Question,
    RequestState,
    SessionRow,
    Store,
    TaskRow,
    Unstarted,
)
from vault_scheduler.run import Outcome, Result, Run, RunState, TriggerKind, fire_key, run_id, run_key

T = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
YEAR = timedelta(days=365)
GOOD = Result(
    outcome=Outcome.SUCCESS,
    text="Briefing written: [[2026-11-20]]…",
    markdown=True,
    output_bytes=12_345,
    exit_code=0,
    cost_usd=0.11,
    turns=3,
    model="m",
    session_id="s",
    denials=("Bash(rm)",),
    changed_notes=("A.md", "B/C.md"),
    retryable=False,
)
BAD = Result(outcome=Outcome.FAILURE, reason="exit 3: no such file", exit_code=3)


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "state" / "ledger.db" if request.param == "file" else ":memory:"
    opened = asyncio.run(SqliteStore.open(path, version="0.1", owner="daemon-1"))
    yield opened
    asyncio.run(opened.close())


def a_run(task: str = "briefing", fire: datetime = T, **changes: Any) -> Run:
    key = fire_key(task, fire)
    fields: dict[str, Any] = {
        "id": run_id(key, fire),
        "key": key,
        "task": task,
        "path": f"{task}.md",
        "trigger": TriggerKind.AT,
        "fire_time": fire,
        "claimed_at": fire,
        "snapshot": "d1",
        "reserved_usd": 0.5,
    }
    return Run(**{**fields, **changes})


def a_row(task: str = "briefing", **changes: Any) -> TaskRow:
    fields: dict[str, Any] = {
        "task": task,
        "path": f"{task}.md",
        "fingerprint": "f1",
        "fires": True,
        "watermark": T,
    }
    return TaskRow(**{**fields, **changes})


def a_gap(minute: int, *, count: int = 1, **changes: Any) -> Unstarted:
    first = T + minute * MINUTE
    fields: dict[str, Any] = {
        "task": "briefing",
        "path": "briefing.md",
        "first": first,
        "last": first + (count - 1) * MINUTE,
        "count": count,
        "outcome": Outcome.MISSED,
        "reason": "asleep",
    }
    return Unstarted(**{**fields, **changes})


async def claimed(store: Store, *runs: Run) -> list[Run]:
    saved = await store.save(Batch(claims=tuple(Claim(run=run) for run in runs)))
    return [saved[run.key] for run in runs]


async def ended(store: Store, run: Run, outcome: Outcome, at: datetime | None = None, **finish: Any) -> Run:
    """A run from its claim through one attempt to its end."""
    [run] = await claimed(store, run)
    at = at or run.fire_time
    await store.begin_attempt(run.id, 1, at)
    await store.end_attempt(run.id, 1, Result(outcome=outcome), at)
    return await store.finish(run.id, outcome, Result(outcome=outcome), "", at, **finish)


# tasks


async def test_a_row_without_a_source_leaves_the_one_that_is_there(store: Store) -> None:
    """Who saves a watermark does not hold what the note says; of a task that the ledger does not know there is none."""
    await store.save(Batch(tasks=(a_row(source_mark=mark_of("{}")),), sources={"briefing": "{}"}))
    await store.save(Batch(tasks=(a_row(source_mark=mark_of("{}"), watermark=T + MINUTE),)))
    assert store.source_of("briefing") == "{}"
    assert await store.task_rows() == {"briefing": a_row(source_mark=mark_of("{}"), watermark=T + MINUTE)}
    assert store.source_of("other") == ""


# claims


async def test_a_claim_comes_back_from_active_as_it_went_in(store: Store) -> None:
    """A claimed run is in the ledger with every field, and active."""
    run = a_run(extra={"parent": "x"}, not_before=T + MINUTE, waiting_for="slot")
    await store.save(Batch(claims=(Claim(run=run),)))
    assert await store.active() == [run]
    assert await store.run(run.id) == run
    assert await store.run_of_key(run.key) == run


async def test_a_run_key_is_claimed_once(store: Store) -> None:
    """The second claim of a key is not among the claimed, and changes nothing of the first."""
    run = a_run()
    assert set(await store.save(Batch(claims=(Claim(run=run),)))) == {run.key}
    again = replace(run, path="other.md", snapshot="d2", reserved_usd=9.0)
    claims = (Claim(run=again), Claim(run=a_run("b")))
    assert set(await store.save(Batch(claims=claims))) == {a_run("b").key}
    assert await store.run(run.id) == run


async def test_a_run_that_has_ended_is_not_claimed_again(store: Store) -> None:
    """A clock that goes back cannot fire a second time."""
    await ended(store, a_run(), Outcome.SUCCESS)
    assert await store.save(Batch(claims=(Claim(run=a_run()),))) == {}


async def test_the_same_key_twice_in_one_batch_is_one_run(store: Store) -> None:
    """Claims of one batch see each other."""
    assert len(await store.save(Batch(claims=(Claim(run=a_run()), Claim(run=a_run()))))) == 1
    assert len(await store.active()) == 1


async def test_claim_watermark_latch_and_snapshot_are_saved_together(store: Store) -> None:
    """Everything in a batch is there afterwards."""
    row = a_row(watermark=T + MINUTE, invalid_since=T, source_mark=mark_of("{}"), seen_definition="d1", fires=False)
    batch = Batch(
        claims=(Claim(run=a_run(), latch=True),),
        tasks=(row,),
        sources={"briefing": "{}"},
        snapshots={"d1": '{"body": "é"}'},
        meta={"last_pass": "1"},
    )
    await store.save(batch)
    assert await store.task_rows() == {"briefing": replace(row, latched=True)}
    assert store.source_of("briefing") == "{}"
    assert await store.snapshot("d1") == '{"body": "é"}'
    assert await store.snapshot("d2") is None
    assert await store.get_meta("last_pass") == "1"


async def test_a_batch_that_fails_leaves_nothing_behind(store: Store) -> None:
    """A claim is not kept if something else of its batch cannot be stored."""
    naive = a_row(watermark=datetime(2026, 11, 20, 6, 0))  # noqa: DTZ001
    with pytest.raises(ValueError, match="naive"):
        await store.save(Batch(snapshots={"d1": "{}"}, claims=(Claim(run=a_run()),), tasks=(a_row("b"), naive)))
    assert await store.active() == []
    assert await store.task_rows() == {}
    assert await store.snapshot("d1") is None


async def begin_and_end(store: Store, *others: str) -> None:
    """One run begins, another ends, and so do others."""
    await store.begin_attempt(a_run().id, 1, T)
    for run in (a_run("b").id, *others):
        await store.finish(run, Outcome.SUCCESS, GOOD, "", T)


async def test_what_is_written_together_is_there_as_a_whole_or_not_at_all(store: Store) -> None:
    """An error in between leaves every run as it was before."""
    await store.save(Batch(claims=(Claim(run=a_run()), Claim(run=a_run("b")))))
    before = await store.active()
    with pytest.raises(RunNotFound), store.together():
        await begin_and_end(store, "no such run")
    assert await store.active() == before
    with store.together():
        await begin_and_end(store)
    assert [run.state for run in await store.active()] == [RunState.STARTING]


async def test_what_fails_by_itself_takes_nothing_with_it_that_is_written_together(store: Store) -> None:
    """Of a run that has ended nothing begins, and those beside it go on."""
    await store.save(Batch(claims=(Claim(run=a_run()), Claim(run=a_run("b")))))
    with store.together():
        await store.finish(a_run("b").id, Outcome.SUCCESS, GOOD, "", T)
        with pytest.raises(Refused):
            await store.begin_attempt(a_run("b").id, 1, T)
        await store.begin_attempt(a_run().id, 1, T)
    assert [run.id for run in await store.active()] == [a_run().id]
    assert await store.attempts(a_run("b").id) == []


async def test_a_refused_claim_still_sets_the_latch(store: Store) -> None:
    """A ticked run_now whose request was claimed before must not be taken for a new one."""
    await store.save(Batch(tasks=(a_row(),), claims=(Claim(run=a_run()),)))
    await store.save(Batch(claims=(Claim(run=a_run(), latch=True),)))
    assert (await store.task_rows())["briefing"].latched


async def test_the_latch_is_released_by_the_tasks_row(store: Store) -> None:
    """A read that shows run_now false writes the row with the latch off."""
    await store.save(Batch(tasks=(a_row(latched=True),)))
    await store.save(Batch(tasks=(a_row(latched=False),)))
    assert not (await store.task_rows())["briefing"].latched


async def test_runs_of_one_second_whose_ids_collide_are_both_kept(store: Store) -> None:
    """Six hex digits are few: the later of two runs with one id gets a longer id instead of being lost."""
    first, second = a_run("a"), a_run("b")
    saved = await store.save(Batch(claims=(Claim(run=first), Claim(run=replace(second, id=first.id)))))
    assert saved[first.key].id == first.id
    longer = saved[second.key].id
    assert longer != first.id
    assert set(longer) <= set("0123456789abcdefrTZ-")
    assert {run.id for run in await store.active()} == {first.id, longer}


async def test_a_lease_covers_what_has_not_ended(store: Store) -> None:
    """Whoever holds the vault owns the runs that have not ended, and says until when."""
    assert isinstance(store, SqliteStore)
    first, second = a_run("first"), a_run("second")
    await store.save(Batch(claims=(Claim(run=first), Claim(run=second))))
    await store.begin_attempt(first.id, 1, T)
    await store.end_attempt(first.id, 1, GOOD, T)
    await store.finish(first.id, Outcome.SUCCESS, GOOD, "", T)
    store.owner = "daemon-2"
    await store.renew_leases(T + MINUTE)
    rows = store._file.rows("SELECT task, owner, lease_until FROM runs ORDER BY task")
    assert [tuple(row) for row in rows] == [("first", "daemon-1", None), ("second", "daemon-2", T.timestamp() + 60)]


async def test_active_runs_come_by_fire_time(store: Store) -> None:
    """Waiting runs go by fire time, whatever the order of their claims."""
    late, early = a_run("a", T + MINUTE), a_run("b", T)
    await claimed(store, late, early)
    assert [run.task for run in await store.active()] == ["b", "a"]


async def test_a_claim_that_is_ended_already_is_delivered(store: Store) -> None:
    """A request for a held task ends blocked at its claim, and is shown."""
    key = run_key("briefing", TriggerKind.REQUEST, "r1")
    run = a_run(
        key=key, trigger=TriggerKind.REQUEST, state=RunState.ENDED, outcome=Outcome.BLOCKED, ended_at=T, reason="held"
    )
    await store.save(Batch(claims=(Claim(run=run, deliveries=(NOTE,)),)))
    assert await store.active() == []
    assert [d.target for d in await store.pending_deliveries()] == [NOTE]


async def test_names_that_are_not_utf8_can_be_stored(store: Store) -> None:
    """A file name with a stray byte must not stop the scheduler."""
    await store.save(Batch(claims=(Claim(run=a_run(path="a\udcff.md")),)))
    assert (await store.active())[0].path == "a\\udcff.md"


async def test_a_quiet_tick_costs_nothing(store: Store) -> None:
    """An empty batch is not an error and claims nothing."""
    assert await store.save(Batch()) == {}


# fire times that did not start


async def test_consecutive_unstarted_fire_times_are_one_row(store: Store) -> None:
    """The second gap with the same outcome and reason prolongs the row of the first."""
    await store.save(Batch(unstarted=(a_gap(0, count=2, deliveries=(NOTE,)),)))
    await store.save(Batch(unstarted=(a_gap(2, count=3, deliveries=(NOTE,)),)))
    [row] = await store.history()
    assert (row.fire_time, row.last_fire_time, row.count) == (T, T + 4 * MINUTE, 5)
    assert (row.outcome, row.reason, row.state) == (Outcome.MISSED, "asleep", RunState.ENDED)
    assert row.never_started


@pytest.mark.parametrize(
    "other",
    [
        {"reason": "not running"},  # another reason
        {"outcome": Outcome.SKIPPED},  # another outcome
        {"task": "b", "path": "b.md"},  # another task
    ],
)
async def test_a_different_gap_is_a_row_of_its_own(store: Store, other: dict[str, Any]) -> None:
    """Only what ended alike, for one task, is counted together."""
    await store.save(Batch(unstarted=(a_gap(0), a_gap(1, **other))))
    assert [row.count for row in await store.history()] == [1, 1]


async def test_what_is_taken_back_is_open_again(store: Store) -> None:
    """Its rows go, with their deliveries, or end earlier and are told anew; then its fire times can be claimed."""
    await store.save(Batch(unstarted=(a_gap(0, count=5, deliveries=(NOTE,)), a_gap(6, reason="x", deliveries=(NOTE,)))))
    started = await store.save(Batch(claims=(Claim(run=a_run(fire=T + 9 * MINUTE)),)))
    before, gone = await store.unstarted_since(T + 3 * MINUTE)
    assert [row.id for row in await store.unstarted_since(T + 4 * MINUTE)] == [gone.id]
    await store.mark_delivered(before.id, NOTE, T)
    left = replace(before, count=2, last_fire_time=T + MINUTE)
    await store.save(Batch(taken_back=(left, replace(gone, count=0))))
    rows = await store.history()
    assert [(row.fire_time, row.last_fire_time, row.count) for row in rows if row.never_started and row.outcome] == [
        (T, T + MINUTE, 2)
    ]
    assert [delivery.run for delivery in await store.pending_deliveries()] == [before.id]
    again = [Claim(run=a_run(fire=T + minute * MINUTE)) for minute in (1, 2, 6, 9)]
    claimed = await store.save(Batch(claims=tuple(again)))
    assert [run.fire_time for run in claimed.values()] == [T + 2 * MINUTE, T + 6 * MINUTE]
    assert len(started) == 1


async def test_range_whose_first_fire_time_is_settled_keeps_the_others(store: Store) -> None:
    """A clock that was set back brings such ranges; a single fire time that is settled is dropped."""
    await ended(store, a_run(), Outcome.SUCCESS)
    await store.save(Batch(unstarted=(a_gap(0, count=4),)))
    [row, _] = await store.history()
    assert (row.outcome, row.count, row.last_fire_time) == (Outcome.MISSED, 3, T + 3 * MINUTE)


async def test_what_a_wrong_clock_made_comes_last_in_history(store: Store) -> None:
    """A machine that started with a wrong year shows what it does now first."""
    await store.save(Batch(claims=(Claim(run=a_run(fire=T + timedelta(days=3000))), Claim(run=a_run(fire=T)))))
    assert [run.fire_time for run in await store.history(now=T)] == [T, T + timedelta(days=3000)]


async def test_a_run_in_between_ends_the_range(store: Store) -> None:
    """Fire times before and after a run are not consecutive."""
    await store.save(Batch(unstarted=(a_gap(0),), claims=(Claim(run=a_run(fire=T + MINUTE)),)))
    await store.save(Batch(unstarted=(a_gap(2),)))
    assert [row.count for row in await store.history()] == [1, 1, 1]


async def test_a_run_in_the_middle_of_what_is_planned_together_is_claimed(store: Store) -> None:
    """The plans of several ticks are saved at once when the ledger was locked: no fire time gets lost in a range."""
    saved = await store.save(
        Batch(unstarted=(a_gap(0), a_gap(2, count=2)), claims=(Claim(run=a_run(fire=T + MINUTE)),))
    )
    assert [run.fire_time for run in saved.values()] == [T + MINUTE]
    assert [(row.fire_time, row.count) for row in await store.history()] == [
        (T + 2 * MINUTE, 2),
        (T + MINUTE, 1),
        (T, 1),
    ]


async def test_a_requested_run_does_not_end_the_range(store: Store) -> None:
    """Run-now is no fire time: it has nothing to do with what the schedule missed."""
    await store.save(Batch(unstarted=(a_gap(0),)))
    await ended(
        store,
        a_run(fire=T + MINUTE, key="briefing|req|1", trigger=TriggerKind.REQUEST),
        Outcome.SUCCESS,
    )
    await store.save(Batch(unstarted=(a_gap(2),)))
    assert sorted(row.count for row in await store.history()) == [1, 2]


async def test_a_range_that_grows_is_delivered_again(store: Store) -> None:
    """The line in the note has to be brought up to date."""
    await store.save(Batch(unstarted=(a_gap(0, deliveries=(NOTE,)),)))
    [delivery] = await store.pending_deliveries()
    await store.mark_delivered(delivery.run, NOTE, T)
    assert await store.pending_deliveries() == []
    await store.save(Batch(unstarted=(a_gap(1, deliveries=(NOTE,)),)))
    assert [d.run for d in await store.pending_deliveries()] == [delivery.run]


async def test_a_range_that_grew_while_it_was_written_stays_pending(store: Store) -> None:
    """The mark names the count that was written, so a count that is out of date is written again."""
    await store.save(Batch(unstarted=(a_gap(0, deliveries=(NOTE,)),)))
    [delivery] = await store.pending_deliveries()
    await store.save(Batch(unstarted=(a_gap(1, deliveries=(NOTE,)),)))
    await store.mark_delivered(delivery.run, NOTE, T, count=1)
    assert len(await store.pending_deliveries()) == 1
    await store.mark_delivered(delivery.run, NOTE, T, count=2)
    assert await store.pending_deliveries() == []


async def test_a_gap_that_was_recorded_is_not_counted_twice(store: Store) -> None:
    """After a clock that went back the same gap comes again, and changes nothing."""
    await store.save(Batch(unstarted=(a_gap(0, count=3),)))
    await store.save(Batch(unstarted=(a_gap(0, count=3),)))
    assert [row.count for row in await store.history()] == [3]


async def test_no_fire_time_inside_a_range_can_be_claimed(store: Store) -> None:
    """What was counted as missed is settled, though it has no row of its own."""
    await store.save(Batch(unstarted=(a_gap(0, count=3),)))
    inside = [Claim(run=a_run(fire=T + minute * MINUTE)) for minute in range(4)]
    assert set(await store.save(Batch(claims=tuple(inside)))) == {inside[3].run.key}


async def test_a_claim_that_ends_without_an_attempt_joins_the_range_before_it(store: Store) -> None:
    """A budget that is used up ends every claim of a task: one row, not a thousand."""
    for minute in range(4):
        [run] = await claimed(store, a_run(fire=T + minute * MINUTE))
        row = await store.finish(run.id, Outcome.SKIPPED, None, "budget", T + minute * MINUTE, (NOTE,))
        assert row.count == minute + 1
    [row] = await store.history()
    assert (row.fire_time, row.last_fire_time, row.count) == (T, T + 3 * MINUTE, 4)
    assert len(await store.pending_deliveries()) == 1
    assert await store.save(Batch(claims=(Claim(run=a_run(fire=T + 2 * MINUTE)),))) == {}


async def test_a_claim_does_not_join_a_range_beyond_another_run(store: Store) -> None:
    """With a run in between it stays a row of its own."""
    await store.save(Batch(unstarted=(a_gap(0, outcome=Outcome.SKIPPED, reason="budget"),)))
    await ended(store, a_run(fire=T + MINUTE), Outcome.SUCCESS)
    [run] = await claimed(store, a_run(fire=T + 2 * MINUTE))
    assert (await store.finish(run.id, Outcome.SKIPPED, None, "budget", T)).id == run.id
    assert len(await store.history()) == 3


def a_follower(number: int, at: datetime = T, **changes: Any) -> Run:
    """A run that comes after another task's run, and that ended at its claim."""
    key = run_key("briefing", TriggerKind.AFTER, f"fetch|at|{number}")
    fields: dict[str, Any] = {
        "id": run_id(key, at),
        "key": key,
        "trigger": TriggerKind.AFTER,
        "claimed_at": at,
        "state": RunState.ENDED,
        "outcome": Outcome.SKIPPED,
        "reason": "still running",
        "ended_at": at,
    }
    return a_run(fire=at, **{**fields, **changes})


async def test_followers_that_do_not_start_join_the_one_before(store: Store) -> None:
    """Also two of one second, and after the clock was set back; each delivery tells the whole row."""
    for number, at in enumerate((T, T, T + MINUTE, T - MINUTE)):
        await store.save(Batch(claims=(Claim(run=a_follower(number, at), deliveries=(NOTE,)),)))
    [row] = await store.history()
    assert (row.fire_time, row.last_fire_time, row.count) == (T, T + MINUTE, 4)
    assert len(await store.pending_deliveries()) == 1


async def test_followers_and_fire_times_are_counted_apart(store: Store) -> None:
    """What did not start by the clock is another row, though outcome and reason are the same."""
    skipped: dict[str, Any] = {"outcome": Outcome.SKIPPED, "reason": "still running"}
    for minute in range(3):
        await store.save(Batch(unstarted=(a_gap(minute, **skipped),)))
        await store.save(Batch(claims=(Claim(run=a_follower(minute, T + minute * MINUTE)),)))
    assert {(row.trigger, row.count) for row in await store.history()} == {
        (TriggerKind.AT, 3),
        (TriggerKind.AFTER, 3),
    }


async def test_a_follower_does_not_join_beyond_another_one(store: Store) -> None:
    """With another outcome, reason or a run in between it stays a row of its own."""
    others: list[dict[str, Any]] = [{}, {"reason": "held"}, {}, {"outcome": Outcome.BLOCKED}, {}]
    for number, changes in enumerate(others):
        await store.save(Batch(claims=(Claim(run=a_follower(number, **changes)),)))
    started = a_follower(9, state=RunState.CLAIMED, outcome=None, reason="", ended_at=None)
    await ended(store, started, Outcome.SUCCESS)
    await store.save(Batch(claims=(Claim(run=a_follower(10)),)))
    assert len(await store.history()) == len(others) + 2


async def test_a_run_that_made_an_attempt_never_becomes_part_of_a_range(store: Store) -> None:
    """A gate that says no ends a run skipped, too; but that run has an attempt, and so a row of its own."""
    [run] = await claimed(store, a_run())
    await store.begin_attempt(run.id, 1, T)
    await store.finish(run.id, Outcome.SKIPPED, None, "gate", T)
    await store.save(Batch(unstarted=(a_gap(1, outcome=Outcome.SKIPPED, reason="gate"),)))
    [second] = await claimed(store, a_run(fire=T + 2 * MINUTE))
    await store.begin_attempt(second.id, 1, T)
    assert (await store.finish(second.id, Outcome.SKIPPED, None, "gate", T)).id == second.id
    assert [row.count for row in await store.history()] == [1, 1, 1]


async def test_a_range_that_a_claim_joined_is_delivered_again(store: Store) -> None:
    """What is in the note counts one less by then."""
    for minute in range(2):
        [run] = await claimed(store, a_run(fire=T + minute * MINUTE))
        row = await store.finish(run.id, Outcome.SKIPPED, None, "budget", T, (NOTE,))
        assert [(d.run, d.target) for d in await store.pending_deliveries()] == [(row.id, NOTE)]
        await store.mark_delivered(row.id, NOTE, T)


async def test_gaps_are_recorded_before_the_claims_of_their_batch(store: Store) -> None:
    """Catch-up: what was missed before the run that starts now belongs to what was missed earlier."""
    await store.save(Batch(unstarted=(a_gap(0),)))
    await store.save(Batch(claims=(Claim(run=a_run(fire=T + 2 * MINUTE)),), unstarted=(a_gap(1),)))
    assert [row.count for row in await store.history()] == [1, 2]


# the life of a run


async def test_a_run_goes_from_claim_to_end(store: Store) -> None:
    """Each step is in the ledger, with its moments in UTC, and the result comes back whole."""
    [run] = await claimed(store, a_run())
    await store.wait(run.id, "slot")
    assert await store.run(run.id) == replace(run, state=RunState.WAITING, waiting_for="slot")
    await store.begin_attempt(run.id, 1, T + MINUTE)
    assert await store.run(run.id) == replace(run, state=RunState.STARTING, attempts=1, started_at=T + MINUTE)
    await store.attempt_running(run.id, 1, 4711, 99, "boot", T + MINUTE)
    [attempt] = await store.attempts(run.id)
    assert (attempt.state, attempt.pid, attempt.start_ticks, attempt.boot_id) == (RunState.RUNNING, 4711, 99, "boot")
    await store.end_attempt(run.id, 1, GOOD, T + 2 * MINUTE)
    done = await store.finish(run.id, Outcome.SUCCESS, GOOD, "", T + 2 * MINUTE, (NOTE, DAILY_LOG))
    assert done == await store.run(run.id)
    assert (done.state, done.outcome, done.result) == (RunState.ENDED, Outcome.SUCCESS, GOOD)
    assert done.duration_s == 60
    assert done.reserved_usd == 0
    assert await store.active() == []
    [attempt] = await store.attempts(run.id)
    assert (attempt.state, attempt.outcome, attempt.cost_usd) == (RunState.ENDED, Outcome.SUCCESS, 0.11)
    assert [d.target for d in await store.deliveries_of(run.id)] == [DAILY_LOG, NOTE]


async def test_attempt_that_dies_in_its_gate_does_not_count_for_max_runs(store: Store) -> None:
    """What the gate has let pass counts; the end that was recorded first stands."""
    [run] = await claimed(store, a_run())
    await store.save(Batch(tasks=(a_row(),)))
    await store.begin_attempt(run.id, 1, T)
    await store.attempt_running(run.id, 1, 4711, 99, "boot", T, is_gate=True)
    [found] = await store.active()
    assert found.waiting_for == GATE
    assert (await store.task_rows())[run.task].started == 1
    for _ in range(2):
        await store.end_attempt(run.id, 1, BAD, T, is_counted=False)
        assert (await store.task_rows())[run.task].started == 0
    await store.attempt_running(run.id, 1, 4712, 101, "boot", T)
    assert (await store.active())[0].waiting_for == ""


async def test_many_runs_can_wait_for_the_same(store: Store) -> None:
    """In one transaction; one that has ended meanwhile stays ended."""
    runs = [run for number in range(3) for run in await claimed(store, a_run(f"t{number}"))]
    await store.finish(runs[2].id, Outcome.SKIPPED, None, "gone", T)
    await store.wait_all([run.id for run in runs], "slot")
    found = [await store.run(run.id) for run in runs]
    assert [(run.state, run.waiting_for) for run in found if run] == [
        (RunState.WAITING, "slot"),
        (RunState.WAITING, "slot"),
        (RunState.ENDED, ""),
    ]


async def test_another_process_may_take_the_place_of_an_attempts_first(store: Store) -> None:
    """The gate's process, then the run's: the last one is to be found after a crash, and the attempt began once."""
    [run] = await claimed(store, a_run())
    await store.begin_attempt(run.id, 1, T)
    await store.attempt_running(run.id, 1, 4711, 99, "boot", T + MINUTE)
    await store.attempt_running(run.id, 1, 4712, 101, "boot", T + 2 * MINUTE)
    [attempt] = await store.attempts(run.id)
    assert (attempt.pid, attempt.start_ticks, attempt.started_at) == (4712, 101, T + MINUTE)


async def test_every_attempt_has_its_own_row_and_outcome(store: Store) -> None:
    """A retry keeps what the first attempt was, and the run's start."""
    [run] = await claimed(store, a_run())
    await store.begin_attempt(run.id, 1, T)
    await store.end_attempt(run.id, 1, BAD, T + MINUTE)
    await store.wait(run.id, "retry", T + 2 * MINUTE)
    waiting = await store.run(run.id)
    assert waiting is not None
    assert (waiting.waiting_for, waiting.not_before, waiting.result) == ("retry", T + 2 * MINUTE, BAD)
    await store.begin_attempt(run.id, 2, T + 2 * MINUTE)
    await store.end_attempt(run.id, 2, GOOD, T + 3 * MINUTE)
    done = await store.finish(run.id, Outcome.SUCCESS, GOOD, "", T + 3 * MINUTE)
    assert (done.started_at, done.attempts) == (T, 2)
    assert [(a.number, a.outcome, a.exit_code) for a in await store.attempts(run.id)] == [
        (1, Outcome.FAILURE, 3),
        (2, Outcome.SUCCESS, 0),
    ]


async def test_a_crash_between_the_end_of_an_attempt_and_of_its_run_keeps_the_result(store: Store) -> None:
    """Ending the attempt again after a restart gives back what it had brought."""
    [run] = await claimed(store, a_run())
    await store.begin_attempt(run.id, 1, T)
    await store.end_attempt(run.id, 1, GOOD, T)
    [found] = await store.active()
    assert (found.state, found.result) == (RunState.STARTING, GOOD)
    again = await store.end_attempt(run.id, 1, Result(outcome=Outcome.ABANDONED), T + MINUTE)
    assert again.result == GOOD


async def test_a_run_ends_once(store: Store) -> None:
    """The first end stands; a second changes neither outcome nor deliveries."""
    run = await ended(store, a_run(), Outcome.SUCCESS)
    again = await store.finish(run.id, Outcome.FAILURE, BAD, "late", T + MINUTE, (NOTE,))
    assert again == run
    assert await store.pending_deliveries() == []


async def test_finishing_ends_attempts_that_were_open(store: Store) -> None:
    """An abandoned run leaves no attempt that looks alive."""
    [run] = await claimed(store, a_run())
    await store.begin_attempt(run.id, 1, T)
    await store.finish(run.id, Outcome.ABANDONED, None, "the daemon died", T + MINUTE)
    [attempt] = await store.attempts(run.id)
    assert (attempt.state, attempt.outcome, attempt.ended_at) == (RunState.ENDED, Outcome.ABANDONED, T + MINUTE)


async def test_a_run_and_its_last_attempt_end_in_one_transaction(store: Store) -> None:
    """No crash can come between the two; the attempt has what its result says."""
    [run] = await claimed(store, a_run())
    await store.begin_attempt(run.id, 1, T)
    await store.finish(run.id, BAD.outcome, BAD, BAD.reason, T + MINUTE)
    [attempt] = await store.attempts(run.id)
    assert (attempt.state, attempt.outcome, attempt.reason) == (RunState.ENDED, BAD.outcome, BAD.reason)
    assert (attempt.exit_code, attempt.cost_usd, attempt.ended_at) == (BAD.exit_code, BAD.cost_usd, T + MINUTE)


async def test_what_has_ended_cannot_go_on(store: Store) -> None:
    """Nothing starts or waits in a run that was ended, and nothing in one that is unknown."""
    run = await ended(store, a_run(), Outcome.CANCELLED)
    with pytest.raises(Refused):
        await store.begin_attempt(run.id, 2, T)
    with pytest.raises(Refused):
        await store.attempt_running(run.id, 1, 1, 1, "b", T)
    with pytest.raises(Refused):
        await store.wait(run.id, "slot")
    with pytest.raises(RunNotFound):
        await store.begin_attempt("r-none", 1, T)
    with pytest.raises(RunNotFound):
        await store.finish("r-none", Outcome.FAILURE, None, "", T)


async def test_a_waiting_run_can_take_an_edited_definition(store: Store) -> None:
    """A run that waited for an edit to settle runs what the note says then."""
    [run] = await claimed(store, a_run())
    await store.renew_snapshot(run.id, "d2", "{}")
    [found] = await store.active()
    assert found.snapshot == "d2"
    assert await store.snapshot("d2") == "{}"


async def test_extra_facts_are_merged_at_the_end(store: Store) -> None:
    """What the claim knew stays beside what the end adds."""
    run = await ended(store, a_run(extra={"parent": "p"}), Outcome.FAILURE, extra={TRANSIENT: "1"})
    assert run.extra == {"parent": "p", TRANSIENT: "1"}


# questions about the past


async def test_history_is_newest_first_and_can_be_paged(store: Store) -> None:
    """The last fire time comes first; `before` goes on where the last page ended."""
    for minute in range(5):
        await ended(store, a_run(fire=T + minute * MINUTE), Outcome.SUCCESS)
    await ended(store, a_run("other", T), Outcome.SUCCESS)
    page = await store.history("briefing", limit=2)
    assert [run.fire_time for run in page] == [T + 4 * MINUTE, T + 3 * MINUTE]
    rest = await store.history("briefing", before=page[-1].fire_time)
    assert [run.fire_time for run in rest] == [T + 2 * MINUTE, T + MINUTE, T]
    assert len(await store.runs_of("other")) == 1


async def test_history_can_be_limited_to_failures(store: Store) -> None:
    """`failed` means failure, timeout and abandoned."""
    for minute, outcome in enumerate(Outcome):
        await ended(store, a_run(fire=T + minute * MINUTE), outcome)
    found = {run.outcome for run in await store.history(failed=True)}
    assert found == {Outcome.FAILURE, Outcome.TIMEOUT, Outcome.ABANDONED}


async def test_started_runs_of_a_type_are_found_among_many_others(store: Store) -> None:
    """Neither runs of other types nor fire times that did not start take the place of one that is looked for."""
    await store.save(Batch(snapshots={"c": '{"type": "claude"}', "d1": '{"type": "command"}'}))
    for minute in range(3):
        await ended(store, a_run("writer", T + minute * MINUTE, snapshot="c"), Outcome.SUCCESS)
    for minute in range(5, 15):
        await ended(store, a_run("busy", T + minute * MINUTE), Outcome.SUCCESS)
    await claimed(store, a_run("writer", T + 20 * MINUTE, snapshot="c"))
    found = await store.started_of_type("claude", 2)
    assert [run.fire_time for run in found] == [T + 2 * MINUTE, T + MINUTE]


async def test_the_last_run_is_the_one_that_ended_last(store: Store) -> None:
    """With `started` a fire time that was skipped does not count."""
    await ended(store, a_run(), Outcome.SUCCESS)
    await store.save(Batch(unstarted=(a_gap(1),)))
    last, started = await store.last_run_of("briefing"), await store.last_run_of("briefing", started=True)
    assert last is not None
    assert started is not None
    assert (last.outcome, started.outcome) == (Outcome.MISSED, Outcome.SUCCESS)
    assert await store.last_run_of("none") is None
    assert await store.last_started_at("briefing") == T
    assert await store.last_started_at("none") is None


S, F, B, A, C, K = (
    Outcome.SUCCESS,
    Outcome.FAILURE,
    Outcome.TIMEOUT,
    Outcome.ABANDONED,
    Outcome.CANCELLED,
    Outcome.SKIPPED,
)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], 0),  # never ran
        ([S], 0),
        ([F], 1),
        ([F, B, A], 3),  # failure, timeout and abandoned count
        ([F, F, S], 0),  # a success resets
        ([F, S, F], 1),
        ([F, K, F], 2),  # skipped neither counts nor resets
        ([F, C, Outcome.BLOCKED, Outcome.MISSED, F], 2),  # nor do cancelled, blocked, missed
    ],
)
async def test_failures_in_a_row_are_counted(store: Store, outcomes: list[Outcome], expected: int) -> None:
    """Rule 5: what `pause_after` counts."""
    for minute, outcome in enumerate(outcomes):
        await ended(store, a_run(fire=T + minute * MINUTE), outcome)
    assert await store.consecutive_failures("briefing") == expected


async def test_failures_of_the_network_do_not_count(store: Store) -> None:
    """A failure marked transient does not bring the task nearer to being paused."""
    await ended(store, a_run(), Outcome.FAILURE)
    await ended(store, a_run(fire=T + MINUTE), Outcome.FAILURE, extra={TRANSIENT: "overloaded"})
    assert await store.consecutive_failures("briefing") == 1


async def test_failures_in_a_row_follow_the_claims(store: Store) -> None:
    """A success that ended earlier by a clock that was set back lies between the failures around it all the same."""
    await ended(store, a_run(fire=T + 5 * MINUTE), Outcome.FAILURE)
    await ended(store, a_run(fire=T), Outcome.SUCCESS)
    await ended(store, a_run(fire=T + 6 * MINUTE), Outcome.FAILURE)
    assert await store.consecutive_failures("briefing") == 1


async def test_failures_in_a_row_count_in_an_hour_that_comes_again(store: Store) -> None:
    """Nor does a success before the clock was set back hide the failures after it."""
    await ended(store, a_run(fire=T + 60 * MINUTE), Outcome.SUCCESS)
    for minute in range(3):
        await ended(store, a_run(fire=T + minute * MINUTE), Outcome.FAILURE)
    assert await store.consecutive_failures("briefing") == 3


async def test_failures_before_a_moment_can_be_left_out(store: Store) -> None:
    """After a person has resumed the task, counting begins anew."""
    for minute in range(3):
        await ended(store, a_run(fire=T + minute * MINUTE), Outcome.FAILURE)
    assert await store.consecutive_failures("briefing", since=T + MINUTE) == 1


async def test_counts_tell_how_fire_times_ended(store: Store) -> None:
    """Ranges count with all their fire times; runs that go on count by their state."""
    await ended(store, a_run(), Outcome.SUCCESS)
    await store.save(Batch(unstarted=(a_gap(1, count=4),)))
    await claimed(store, a_run("other"))
    assert await store.counts() == {"success": 1, "missed": 4, "claimed": 1}
    assert await store.counts("briefing") == {"success": 1, "missed": 4}


# tasks


async def test_a_renamed_task_keeps_row_history_and_pending_deliveries(store: Store) -> None:
    """Everything goes on under the new id and path; no fire time can be claimed a second time."""
    await store.save(Batch(tasks=(a_row(latched=True),)))
    await ended(store, a_run(), Outcome.SUCCESS, deliveries=(NOTE,))
    await store.set_note_state("briefing.md", "h", T)
    await store.rename_task("briefing", "daily/briefing", path="daily/briefing.md")
    row = a_row("daily/briefing", latched=True, started=1)
    assert await store.task_rows() == {"daily/briefing": row}
    [delivery] = await store.pending_deliveries()
    assert (delivery.task, delivery.path) == ("daily/briefing", "daily/briefing.md")
    assert await store.note_state("briefing.md") is None
    assert await store.note_state("daily/briefing.md") is not None
    assert await store.save(Batch(claims=(Claim(run=a_run("daily/briefing")),))) == {}
    assert await store.runs_of("briefing") == []


async def test_a_rename_onto_a_former_task_loses_no_run(store: Store) -> None:
    """Where both have a run of one fire time, both rows stay."""
    await store.save(Batch(tasks=(a_row("a"), a_row("b"))))
    await ended(store, a_run("a"), Outcome.SUCCESS)
    await ended(store, a_run("b"), Outcome.FAILURE)
    await store.rename_task("a", "b")
    assert set(await store.task_rows()) == {"b"}
    assert {run.outcome for run in await store.runs_of("b")} == {Outcome.SUCCESS, Outcome.FAILURE}


async def test_a_moved_note_with_an_id_of_its_own_keeps_the_id(store: Store) -> None:
    """Only the path changes."""
    await store.save(Batch(tasks=(a_row(),)))
    await store.rename_task("briefing", "briefing", path="x/y.md")
    assert (await store.task_rows())["briefing"].path == "x/y.md"


# deliveries


async def test_each_target_has_its_own_mark(store: Store) -> None:
    """What is in the note may still be missing in the daily log."""
    run = await ended(store, a_run(), Outcome.SUCCESS, deliveries=(NOTE, DAILY_LOG))
    await store.mark_delivered(run.id, NOTE, T, base_hash="h", detail="d")
    assert [d.target for d in await store.pending_deliveries()] == [DAILY_LOG]
    [note] = [d for d in await store.deliveries_of(run.id) if d.target == NOTE]
    assert (note.done_at, note.base_hash, note.detail) == (T, "h", "d")


async def test_a_delivery_that_failed_says_why_and_when_it_is_tried_again(store: Store) -> None:
    """It stays pending, with its tries counted."""
    run = await ended(store, a_run(), Outcome.SUCCESS, deliveries=(NOTE,))
    await store.defer_delivery(run.id, NOTE, T + MINUTE, "the note is being edited")
    [delivery] = await store.pending_deliveries()
    assert (delivery.tries, delivery.not_before) == (1, T + MINUTE)
    assert delivery.why == "the note is being edited"


async def test_what_vanished_from_a_note_is_put_back_once(store: Store) -> None:
    """Recent deliveries can be looked at again; the second time it counts as deleted."""
    run = await ended(store, a_run(), Outcome.SUCCESS, deliveries=(NOTE,))
    assert not await store.restore_delivery(run.id, NOTE)  # it is pending anyway
    await store.mark_delivered(run.id, NOTE, T)
    assert await store.delivered_since(T + MINUTE) == []
    [done] = await store.delivered_since(T)
    assert not done.restored
    assert await store.restore_delivery(run.id, NOTE)
    [pending] = await store.pending_deliveries()
    assert pending.restored
    await store.mark_delivered(run.id, NOTE, T + MINUTE)
    assert not await store.restore_delivery(run.id, NOTE)
    assert await store.pending_deliveries() == []


async def test_what_we_wrote_into_a_file_is_remembered(store: Store) -> None:
    """The latest hash counts."""
    assert await store.note_state("a.md") is None
    await store.set_note_state("a.md", "h1", T)
    await store.set_note_state("a.md", "h2", T + MINUTE)
    state = await store.note_state("a.md")
    assert state is not None
    assert (state.base_hash, state.written_at) == ("h2", T + MINUTE)


# requests


async def test_a_request_is_claimed_once_and_answered(store: Store) -> None:
    """Who asked can read the answer; who executes gets each wish once, oldest first."""
    first = await store.add_request("run", "briefing", {"wait": True}, T)
    second = await store.add_request("pause", "b", {}, T)
    found = await store.claim_requests(T)
    assert [(r.id, r.verb, r.task, dict(r.args)) for r in found] == [
        (first, "run", "briefing", {"wait": True}),
        (second, "pause", "b", {}),
    ]
    assert {r.state for r in found} == {RequestState.CLAIMED}
    assert await store.claim_requests(T) == []
    await store.answer_request(first, {"run": "r-1"}, T + MINUTE)
    await store.answer_request(first, {"run": "r-2"}, T + MINUTE)  # the first answer stands
    answered = await store.request(first)
    assert answered is not None
    assert (answered.state, answered.answer, answered.answered_at) == (
        RequestState.ANSWERED,
        {"run": "r-1"},
        T + MINUTE,
    )
    assert await store.request("none") is None


async def test_a_request_that_a_dead_daemon_had_claimed_is_handed_out_again(store: Store) -> None:
    """What was acknowledged to the person is executed by the next daemon; what was answered is not."""
    first = await store.add_request("run", "a", {}, T)
    second = await store.add_request("run", "b", {}, T)
    await store.claim_requests(T)
    await store.answer_request(second, None, T)
    assert await store.reopen_requests() == 1
    assert [r.id for r in await store.claim_requests(T)] == [first]


# retention


async def test_old_runs_are_trimmed_with_all_that_belongs_to_them(store: Store) -> None:
    """A year later they are gone; each task keeps its newest run, and nothing that goes on is touched."""
    await store.save(Batch(snapshots={"d1": "{}", "old": "{}"}))
    await ended(store, a_run(fire=T, snapshot="old"), Outcome.SUCCESS, deliveries=(NOTE,))
    await ended(store, a_run(fire=T + MINUTE), Outcome.SUCCESS)
    await claimed(store, a_run("waiting"), a_run("waiting", T + MINUTE))
    request = await store.add_request("run", "a", {}, T)
    later = T + YEAR + timedelta(days=1)
    assert await store.trim(later, YEAR) == 1
    assert [run.fire_time for run in await store.runs_of("briefing")] == [T + MINUTE]
    assert len(await store.active()) == 2
    assert await store.pending_deliveries() == []
    assert (await store.snapshot("old"), await store.snapshot("d1")) == (None, "{}")
    assert await store.request(request) is None
    assert await store.trim(later, YEAR) == 0


async def test_a_fresh_ledger_is_whole_and_still_itself(store: Store) -> None:
    """Nothing to report."""
    assert await store.integrity() == "ok"
    assert await store.check() is None
    assert store.notices == ()
    assert await store.size() >= 0


# properties


@given(
    at=st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    text=st.text(st.characters(exclude_categories=["Cs"])),
    cost=st.none() | st.floats(0, 1e6),
)
@settings(max_examples=60, deadline=None)
def test_moments_and_results_survive_the_ledger(at: datetime, text: str, cost: float | None) -> None:
    """Any moment comes back to the microsecond, any text and cost as they were."""

    async def scenario() -> None:
        store = await SqliteStore.open(":memory:", version="0.1", owner="o")
        [run] = await claimed(store, a_run(claimed_at=at))
        result = Result(outcome=Outcome.FAILURE, text=text, reason=text, cost_usd=cost, changed_notes=(text,))
        done = await store.finish(run.id, Outcome.FAILURE, result, text, at)
        assert (done.claimed_at, done.ended_at, done.reason, done.result) == (at, at, text, result)
        await store.close()

    asyncio.run(scenario())


@given(steps=st.lists(st.sampled_from(["run", "missed", "skipped", "finish"]), max_size=25))
@settings(max_examples=40, deadline=None)
def test_every_fire_time_ends_in_exactly_one_row(steps: list[str]) -> None:
    """However runs and gaps follow each other, the counts add up, ranges do not overlap, neighbours differ."""

    async def scenario() -> None:
        store = await SqliteStore.open(":memory:", version="0.1", owner="o")
        for minute, step in enumerate(steps):
            fire = T + minute * MINUTE
            if step == "run":
                await ended(store, a_run(fire=fire), Outcome.SUCCESS)
            elif step == "finish":
                [run] = await claimed(store, a_run(fire=fire))
                await store.finish(run.id, Outcome.SKIPPED, None, "busy", fire)
            else:
                reason = "busy" if step == "skipped" else "asleep"
                await store.save(Batch(unstarted=(a_gap(minute, outcome=Outcome(step), reason=reason),)))
        rows = list(reversed(await store.history()))
        assert sum(row.count for row in rows) == len(steps)
        for before, after in pairwise(rows):
            assert (before.last_fire_time or before.fire_time) < after.fire_time
            alike = before.never_started and after.never_started and before.outcome == after.outcome
            assert not alike
        await store.close()

    asyncio.run(scenario())


async def test_started_runs_of_a_task_are_counted_but_not_those_that_were_asked_for(store: Store) -> None:
    """`max_runs` counts first attempts of runs that the task's own triggers made due."""
    await store.save(Batch(tasks=(a_row(),)))
    for run in (a_run(), a_run(fire=T + MINUTE), a_run(fire=T + 2 * MINUTE, trigger=TriggerKind.REQUEST)):
        [name] = [run.id for run in await claimed(store, run)]
        await store.begin_attempt(name, 1, T)
        await store.end_attempt(name, 1, Result(outcome=Outcome.FAILURE), T)
        await store.begin_attempt(name, 2, T)
    assert (await store.task_rows())["briefing"].started == 2


async def test_a_withdrawn_attempt_has_never_been(store: Store) -> None:
    """The gate said no: no attempt, no start, not counted, and the run waits again."""
    await store.save(Batch(tasks=(a_row(),)))
    [run] = await claimed(store, a_run())
    await store.begin_attempt(run.id, 1, T)
    found = await store.withdraw_attempt(run.id, 1)
    assert (found.state, found.attempts, found.started_at) == (RunState.WAITING, 0, None)
    assert await store.attempts(run.id) == []
    assert (await store.task_rows())["briefing"].started == 0
    again = await store.withdraw_attempt(run.id, 1)
    assert again == found


async def test_the_order_to_end_a_run_stays_with_it(store: Store) -> None:
    """The first why stands beside what else there is to know of the run; a run that has ended takes no orders."""
    [run] = await claimed(store, a_run(extra={"overlaps": "1"}))
    await store.begin_attempt(run.id, 1, T)
    await store.order_end(run.id, 'it\'s "enough"')
    await store.order_end(run.id, "later")
    [found] = await store.active()
    assert found.extra == {"overlaps": "1", CANCELLED: 'it\'s "enough"'}
    await store.finish(run.id, Outcome.CANCELLED, None, "", T)
    with pytest.raises(Refused):
        await store.order_end(run.id, "too late")


async def test_the_second_attempt_can_be_withdrawn_and_the_first_stands(store: Store) -> None:
    """A retry whose gate says no leaves what the first attempt brought."""
    await store.save(Batch(tasks=(a_row(),)))
    [run] = await claimed(store, a_run())
    await store.begin_attempt(run.id, 1, T)
    await store.end_attempt(run.id, 1, Result(outcome=Outcome.FAILURE), T)
    await store.begin_attempt(run.id, 2, T + MINUTE)
    found = await store.withdraw_attempt(run.id, 2)
    assert (found.attempts, found.started_at) == (1, T)
    assert (await store.task_rows())["briefing"].started == 1


async def test_an_ended_run_waits_for_its_followers_until_a_batch_brings_them(store: Store) -> None:
    """A crash between the end of a run and the claims of the tasks that come after it loses none of them."""
    run = await ended(store, a_run(), Outcome.SUCCESS)
    [other] = await claimed(store, a_run(fire=T + MINUTE))
    await store.finish(other.id, Outcome.SKIPPED, None, "", T)
    assert [each.id for each in await store.unfollowed()] == [run.id]
    await store.save(Batch(followed=(run.id,)))
    assert await store.unfollowed() == []


async def test_a_vault_that_is_taken_over_has_no_past(store: Store) -> None:
    """No watermark lies before the take-over, none that lies ahead is moved back, and no run is followed any more."""
    await store.save(Batch(tasks=(a_row(), a_row("ahead", watermark=T + 2 * YEAR))))
    await ended(store, a_run(), Outcome.SUCCESS)
    await store.take_over(T + YEAR)
    rows = await store.task_rows()
    assert (rows["briefing"].watermark, rows["ahead"].watermark) == (T + YEAR, T + 2 * YEAR)
    assert await store.unfollowed() == []


# --- questions and sessions ---

ASKS = Result(outcome=Outcome.BLOCKED, reason="Which?", question="Which?", session_id="s-1")


async def asked(store: Store, run: Run, result: Result = ASKS) -> Run:
    """The run began, and ended with a question."""
    await store.save(Batch(claims=(Claim(run=run),), snapshots={"d1": "{}"}))
    await store.begin_attempt(run.id, 1, T)
    return await store.finish(run.id, result.outcome, result, result.reason, T + MINUTE)


def an_answer(run: Run) -> Run:
    key = run_key(run.task, TriggerKind.ANSWER, run.id)
    return a_run(
        run.task, T + 5 * MINUTE, id=run_id(key, T), key=key, trigger=TriggerKind.ANSWER, extra={ANSWERS: run.id}
    )


async def test_a_question_is_open_until_its_answer_is_claimed(store: Store) -> None:
    """The end of the run opens it, the claim of the answer closes it; claimed again, the answer is no second run."""
    run = await asked(store, a_run())
    assert await store.questions() == {
        "briefing": Question(task="briefing", run=run.id, session="s-1", text="Which?", asked_at=T + MINUTE)
    }
    claim = Claim(run=an_answer(run))
    assert len(await store.save(Batch(claims=(claim,)))) == 1
    assert await store.questions() == {}
    assert await store.save(Batch(claims=(claim,))) == {}


async def test_the_newest_question_of_a_task_is_the_open_one(store: Store) -> None:
    """A later run that asks takes the place; one that asks nothing does not, nor does the answer to an older one."""
    first = await asked(store, a_run())
    second = await asked(store, a_run(fire=T + MINUTE), replace(ASKS, question="And now?"))
    await asked(store, a_run(fire=T + 2 * MINUTE), Result(outcome=Outcome.SUCCESS))
    assert (await store.questions())["briefing"].run == second.id
    await store.save(Batch(claims=(Claim(run=an_answer(first)),)))
    assert (await store.questions())["briefing"].text == "And now?"


async def test_question_and_session_follow_a_rename_and_go_with_the_task(store: Store) -> None:
    """Under the new id nothing is lost; once the task is forgotten, so are they."""
    await asked(store, a_run())
    own = SessionRow(name=OWN_SESSION + "briefing", session="s-1", runs=1, turns=2, last_attempt="r 1", used_at=T)
    shared = replace(own, name="name: garden in .")
    for row in (own, shared):
        await store.keep_session(row)
    await store.rename_task("briefing", "news")
    assert list(await store.questions()) == ["news"]
    assert await store.session(OWN_SESSION + "news") == replace(own, name=OWN_SESSION + "news")
    assert await store.session(OWN_SESSION + "briefing") is None
    await store.forget_all_of("news")
    assert await store.questions() == {}
    assert await store.session(OWN_SESSION + "news") is None
    assert await store.session(shared.name) == shared


async def test_a_closed_question_is_asked_no_more(store: Store) -> None:
    """It is that of its task alone; to close it again changes nothing."""
    await asked(store, a_run())
    await store.close_question("news")
    assert list(await store.questions()) == ["briefing"]
    await store.close_question("briefing")
    await store.close_question("briefing")
    assert await store.questions() == {}


async def test_old_sessions_and_questions_are_trimmed(store: Store) -> None:
    """With the history that they belong to."""
    await asked(store, a_run())
    await asked(store, a_run(fire=T + MINUTE), Result(outcome=Outcome.SUCCESS))
    row = SessionRow(name="name: x in .", session="s", runs=1, turns=1, last_attempt="r 1", used_at=T)
    await store.keep_session(row)
    await store.trim(T + timedelta(days=400), YEAR)
    assert await store.questions() == {}
    assert await store.session(row.name) is None


async def test_attempts_that_use_up_no_retry_are_counted(store: Store) -> None:
    """The number stands beside what the run knew, and stays through other waits."""
    run = a_run(extra={PARENT: "r-0"})
    await store.save(Batch(claims=(Claim(run=run),)))
    await store.wait(run.id, "network", T + MINUTE, excused=2)
    await store.wait(run.id, "slot")
    (found,) = await store.active()
    assert found.extra == {PARENT: "r-0", EXCUSED: "2"}
