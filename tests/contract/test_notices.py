"""What the ledger keeps of who is to be told: one transaction, nothing lost, nothing said twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import NOTE, NOTIFY, Batch, Claim, Decision, Unstarted
from vault_scheduler.planning.incidents import Incident, Origin
from vault_scheduler.planning.mailing import Letter
from vault_scheduler.run import Outcome, Run, RunState, TriggerKind, fire_key, run_id
from vault_scheduler.task import Topic

T = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FAILING = Incident(
    origin=Origin.RUN, subject="backup", signature="failure: exit #", topic=Topic.FAILURE, since=T, told_at=T, run="r"
)
LETTER = Letter(
    receiver="phone",
    subject="backup",
    signature=FAILING.signature,
    topic=Topic.FAILURE,
    run="r",
    title="❌ backup failed",
    body="exit 3",
    made_at=T,
)


async def opened(path: Path) -> SqliteStore:
    return await SqliteStore.open(path / "ledger.db", version="0.1", owner="daemon-1")


async def a_failed_run(store: SqliteStore, task: str = "backup", fire: datetime = T) -> Run:
    key = fire_key(task, fire)
    run = Run(
        id=run_id(key, fire),
        key=key,
        task=task,
        path=f"{task}.md",
        trigger=TriggerKind.AT,
        fire_time=fire,
        claimed_at=fire,
    )
    ended = replace(run, state=RunState.ENDED, outcome=Outcome.FAILURE, reason="exit 3", ended_at=fire)
    await store.save(Batch(claims=(Claim(run=ended, deliveries=(NOTE, NOTIFY)),)))
    found = await store.run(run.id)
    assert found is not None
    return found


async def decided_once(path: Path) -> None:
    store = await opened(path)
    run = await a_failed_run(store)
    assert await store.pending_notices() == [run]
    assert [delivery.target for delivery in await store.pending_deliveries()] == [NOTE]
    await store.decide(Decision(run=run, keep=(FAILING,), letters=(LETTER,)), T)
    await store.close()
    store = await opened(path)
    assert await store.pending_notices() == []
    assert await store.incidents() == [FAILING]
    [letter] = await store.outbox()
    assert replace(letter, seq=0) == LETTER
    assert await store.delivered_since(T) == []  # nobody looks for it in a note
    await store.close()


def test_a_decision_is_recorded_whole_and_stays(tmp_path: Path) -> None:
    """Incident, letter and the mark are there after a restart; what is to be told is no delivery of the notes."""
    asyncio.run(decided_once(tmp_path))


async def all_or_nothing(path: Path) -> None:
    store = await opened(path)
    run = await a_failed_run(store)
    broken = replace(LETTER, title=object())  # type: ignore[arg-type]
    with pytest.raises(Exception, match="bind"):
        await store.decide(Decision(run=run, keep=(FAILING,), letters=(LETTER, broken)), T)
    assert await store.pending_notices() == [run]
    assert await store.incidents() == []
    assert await store.outbox() == []
    await store.close()


def test_a_decision_that_cannot_be_recorded_leaves_nothing_behind(tmp_path: Path) -> None:
    """Not half of it."""
    asyncio.run(all_or_nothing(tmp_path))


async def a_row_that_grows(path: Path) -> None:
    store = await opened(path)
    gap = Unstarted(
        task="backup",
        path="backup.md",
        first=T,
        last=T + MINUTE,
        count=2,
        outcome=Outcome.MISSED,
        reason="asleep",
        deliveries=(NOTE, NOTIFY),
    )
    await store.save(Batch(unstarted=(gap,)))
    [row] = await store.pending_notices()
    await store.save(Batch(unstarted=(replace(gap, first=T + 2 * MINUTE, last=T + 2 * MINUTE, count=1),)))
    await store.decide(Decision(run=row), T)
    [grown] = await store.pending_notices()
    assert (row.count, grown.count) == (2, 3)
    await store.decide(Decision(run=grown), T)
    assert await store.pending_notices() == []
    await store.close()


def test_a_row_that_grew_meanwhile_is_decided_on_again(tmp_path: Path) -> None:
    """What was decided of two fire times says nothing of the third."""
    asyncio.run(a_row_that_grows(tmp_path))


async def silenced(path: Path) -> None:
    store = await opened(path)
    other = replace(FAILING, subject="other")
    await store.decide(Decision(keep=(FAILING, other), letters=(LETTER, replace(LETTER, subject="other"))), T)
    assert await store.acknowledge(["backup"], T + MINUTE) == [FAILING]
    assert await store.acknowledge(["backup"], T + MINUTE) == []
    assert [letter.subject for letter in await store.outbox()] == ["other"]
    await store.decide(Decision(keep=(replace(FAILING, count=2),)), T + 2 * MINUTE)
    found = {each.subject: each for each in await store.incidents()}
    assert (found["backup"].count, found["backup"].acked_at) == (2, T + MINUTE)
    assert found["other"].acked_at is None
    assert await store.acknowledge(None, T + MINUTE) == [other]
    await store.close()


def test_what_a_person_silenced_stays_so(tmp_path: Path) -> None:
    """A decision from an older look does not undo it; letters that wait are taken back."""
    asyncio.run(silenced(tmp_path))


async def tried(path: Path) -> None:
    store = await opened(path)
    await store.decide(Decision(letters=(LETTER,)), T)
    [letter] = await store.outbox()
    await store.try_letters([letter], T + MINUTE)
    await store.letters_failed([letter], T, "refused")
    await store.letters_failed([letter], T + MINUTE, "still refused")
    [found] = await store.outbox()
    assert (found.tries, found.not_before, found.failing_since, found.why) == (1, T + MINUTE, T, "still refused")
    assert await store.told_since("backup", T - MINUTE) == 1
    await store.letters_done([letter], T + MINUTE)
    assert await store.outbox() == []
    assert await store.told_since("backup", T - MINUTE) == 1
    assert await store.told_since("backup", T) == 0
    await store.close()
    assert b"backup failed" not in b"".join(file.read_bytes() for file in path.iterdir() if file.suffix == ".db")


def test_tries_are_counted_and_the_text_is_forgotten_when_it_was_sent(tmp_path: Path) -> None:
    """Since when it fails, and why; what was told counts for the day."""
    asyncio.run(tried(tmp_path))


async def what_stood(path: Path) -> None:
    store = await opened(path)
    stands = replace(FAILING, origin=Origin.STANDING, subject="a.md", topic=Topic.PROBLEM)
    letter = replace(LETTER, subject="a.md", topic=Topic.PROBLEM, not_before=T + MINUTE)
    await store.decide(Decision(keep=(stands,), letters=(letter,)), T)
    await store.decide(Decision(close=(stands,)), T)
    assert await store.outbox() == []
    assert await store.incidents() == []
    await store.close()


def test_what_is_gone_before_it_was_told_is_not_told(tmp_path: Path) -> None:
    """Closing what stood takes its letters back."""
    asyncio.run(what_stood(tmp_path))


async def trimmed(path: Path) -> None:
    store = await opened(path)
    await store.decide(Decision(keep=(FAILING,), letters=(LETTER, replace(LETTER, receiver="mail"))), T)
    first, _ = await store.outbox()
    await store.letters_done([first], T)
    await store.trim(T + timedelta(days=8), timedelta(days=365))
    assert [letter.receiver for letter in await store.outbox()] == ["mail"]
    assert await store.incidents() == [FAILING]
    assert await store.told_since("backup", T - MINUTE) == 1
    await store.trim(T + timedelta(days=400), timedelta(days=365))
    assert await store.incidents() == []
    await store.close()


def test_what_was_sent_is_kept_for_a_week_and_what_waits_for_as_long_as_it_does(tmp_path: Path) -> None:
    """Retention forgets no letter that was not sent."""
    asyncio.run(trimmed(tmp_path))
