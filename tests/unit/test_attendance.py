"""Why what was due was not looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vault_scheduler.planning.attendance import Attendance

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_reasons_of_an_absence() -> None:
    """Not running before the start, asleep during a suspend, away with the vault, stopped awake, else too busy."""
    there = Attendance()
    assert not there.notice(NOW, 0)
    assert there.absence(after(-1)) == "the scheduler was off"
    assert not there.notice(after(30), 30)
    assert there.absence(after(20)) == "too busy"
    assert not there.notice(after(3600), 40)
    assert there.absence(after(100)) == "asleep"
    there.vault_is(False, after(3601))
    there.vault_is(True, after(3700))
    assert there.absence(after(3650)) == "the vault was away"
    assert not there.notice(after(3800), 240)
    assert there.absence(after(3750)) == "the scheduler stood still"
    assert there.absence(after(3801)) == "too busy"
    there.has_travelled(after(3900))
    assert there.absence(after(3850)) == "another time zone"


def test_clock_that_was_false() -> None:
    """A step back is a correction within ten minutes after the start, or after a jump of which it undoes most."""

    def was_false(forward_s: float, between_s: float, back_s: float, *, start_s: float = 3600) -> bool:
        there = Attendance()
        there.notice(NOW, 0)
        there.notice(after(start_s + forward_s), start_s)
        awake = start_s + between_s
        there.notice(after(awake + forward_s - back_s), awake)
        return there.was_false

    assert was_false(7200, 60, 7200)
    assert was_false(8000, 600, 4000)
    assert not was_false(7200, 601, 7200)
    assert not was_false(28_800, 60, 7200)  # it slept, and the clock was not right before either
    assert not was_false(0, 60, 7200)
    assert was_false(0, 60, 7200, start_s=30)


def test_clock_that_is_set_back_is_noticed() -> None:
    """By more than a minute; less is what time servers do."""
    there = Attendance()
    there.notice(NOW, 0)
    assert not there.notice(after(-50), 5)
    assert there.notice(after(-3600), 10)
