"""Pins, holds and spend: what outlives the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from vault_scheduler.ledger.trust import Hold, Pin, Trust

T = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
TODAY = date(2026, 11, 22)


@pytest.fixture
def trust() -> Iterator[Trust]:
    opened = Trust.open(":memory:", version="0.1")
    yield opened
    opened.close()


def test_a_pin_is_remembered(trust: Trust) -> None:
    """The latest pin of a task counts."""
    assert trust.pin_of("a") is None
    trust.pin("a", "h1", T, source="{}")
    trust.pin("a", "h2", T, how="approved")
    assert trust.pin_of("a") == Pin(task="a", hash="h2", pinned_at=T, how="approved")
    assert set(trust.pins()) == {"a"}


def test_a_hold_ends_with_approval(trust: Trust) -> None:
    """Approving pins the definition that was held, with its source."""
    trust.hold("a", "h", T, "asks for shell", source="{1}")
    assert trust.held("a") == Hold(task="a", hash="h", since=T, why="asks for shell", source="{1}")
    assert trust.approve("a", "h", T)
    assert trust.held("a") is None
    assert trust.pin_of("a") == Pin(task="a", hash="h", pinned_at=T, how="approved", source="{1}")


def test_only_what_the_person_saw_is_approved(trust: Trust) -> None:
    """If the note has changed since it was shown, the approval is refused."""
    trust.hold("a", "shown", T, "why")
    trust.hold("a", "changed", T, "another why")
    assert not trust.approve("a", "shown", T)
    assert not trust.approve("b", "shown", T)
    assert trust.pins() == {}


def test_a_held_task_stays_held_for_its_first_reason(trust: Trust) -> None:
    """A later edit changes what is held, not why and since when."""
    trust.hold("a", "h1", T, "asks for shell")
    trust.hold("a", "h2", T + timedelta(hours=1), "waits for approval")
    assert trust.held("a") == Hold(task="a", hash="h2", since=T, why="asks for shell")


def test_pinning_or_undoing_ends_a_hold(trust: Trust) -> None:
    """Nothing is left waiting that need not be approved any more."""
    trust.hold("a", "h2", T, "why")
    trust.pin("a", "h", T)
    assert trust.holds() == {}
    trust.hold("a", "h2", T, "why")
    trust.pin_all([Pin(task=task, hash="h", pinned_at=T, how="seen") for task in ("a", "b")])
    assert trust.holds() == {}
    trust.hold("a", "h2", T, "why")
    trust.unhold("a")
    assert trust.holds() == {}


def test_lost_pins_stay_lost_until_all_is_approved(trust: Trust) -> None:
    """After the file of pins was lost, the last approval of what is held makes it known again."""
    known = [trust.pins_known()]
    trust.mark_lost()
    for task in ("a", "b"):
        trust.hold(task, "h", T, "lost")
    known.append(trust.pins_known())
    for task in ("a", "b"):
        trust.approve(task, "h", T)
        known.append(trust.pins_known())
    assert known == [True, False, False, True]


def test_a_renamed_task_keeps_pin_hold_and_spend(trust: Trust) -> None:
    """A rename neither approves anything nor gives money back."""
    trust.pin("a", "h", T)
    trust.hold("a", "h2", T, "why")
    trust.add_spend("r1", 1, "a", TODAY, 0.2)
    trust.rename("a", "b")
    assert set(trust.pins()) == set(trust.holds()) == set(trust.spent(TODAY).tasks) == {"b"}


def test_spend_adds_up_by_task_and_day(trust: Trust) -> None:
    """Attempts of a run are booked one by one; other days do not count."""
    trust.add_spend("r1", 1, "a", TODAY, 0.1)
    trust.add_spend("r1", 2, "a", TODAY, 0.2)
    trust.add_spend("r2", 1, "b", TODAY, 0.4)
    trust.add_spend("r3", 1, "b", TODAY - timedelta(days=1), 5.0)
    spent = trust.spent(TODAY)
    assert spent.total == pytest.approx(0.7)
    assert [spent.of(task) for task in ("a", "b", "c")] == pytest.approx([0.3, 0.4, 0.0])
    assert trust.spent_by("r1") == pytest.approx(0.3)
    assert trust.spent_by("none") == 0
    assert (trust.dearest_of("r1"), trust.dearest_of("none")) == (0.2, 0)


def test_an_attempt_is_booked_once(trust: Trust) -> None:
    """After a crash it is booked again; the larger sum counts."""
    for usd in (0.2, 0.5, 0.1):
        trust.add_spend("r1", 1, "a", TODAY, usd)
    assert trust.spent(TODAY).total == pytest.approx(0.5)


def test_old_spend_is_forgotten(trust: Trust) -> None:
    """Retention leaves what is younger."""
    trust.add_spend("r1", 1, "a", TODAY - timedelta(days=400), 1.0)
    trust.add_spend("r2", 1, "a", TODAY, 1.0)
    trust.trim(TODAY, timedelta(days=365))
    assert trust.spent(TODAY - timedelta(days=400)).total == 0
    assert trust.spent(TODAY).total == 1.0
