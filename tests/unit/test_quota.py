"""How long a Claude run waits for what is not its fault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.planning.quota import Allowance, Bounds, Hold, Skip, Wait, heed, pause, respite
from vault_scheduler.run import Cause, Outcome, Result

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ZONE = ZoneInfo("Europe/Berlin")


def failed(cause: Cause | None, **more: datetime | float | None) -> Result:
    return Result(outcome=Outcome.FAILURE, reason="it said no", cause=cause, **more)  # type: ignore[arg-type]


def bounds(next_fire: timedelta | None = None, late: timedelta = 12 * HOUR, time: timedelta = HOUR) -> Bounds:
    return Bounds(next_fire=NOW + next_fire if next_fire else None, too_late=NOW + late, time_is_up=NOW + time)


@pytest.mark.parametrize(
    ("cause", "excused", "limits", "waits"),
    [
        (Cause.NETWORK, 0, bounds(), ("network", timedelta(seconds=30))),
        (Cause.NETWORK, 1, bounds(), ("network", MINUTE)),
        (Cause.NETWORK, 9, bounds(), ("network", 10 * MINUTE)),
        (Cause.NETWORK, 3, bounds(next_fire=4 * MINUTE), None),  # the next fire time takes its place
        (Cause.NETWORK, 3, bounds(late=4 * MINUTE), None),  # max_late
        (Cause.NETWORK, 3, bounds(time=4 * MINUTE), ("network", 4 * MINUTE)),  # its timeout is for one attempt
        (Cause.OVERLOAD, 0, bounds(), ("overload", timedelta(seconds=30))),
        (Cause.OVERLOAD, 3, bounds(time=4 * MINUTE), None),  # inside the run's time
        (Cause.OVERLOAD, 3, bounds(late=MINUTE), ("overload", 4 * MINUTE)),
        (Cause.QUOTA, 0, bounds(), ("rate limit", timedelta(seconds=30))),  # nobody says until when
        (Cause.LOGIN, 0, bounds(), None),
        (Cause.SERVER, 0, bounds(), None),
        (None, 0, bounds(), None),
    ],
)
def test_what_an_attempt_is_followed_by(
    cause: Cause | None, excused: int, limits: Bounds, waits: tuple[str, timedelta] | None
) -> None:
    """Network and overload are waited for in growing steps, within what makes the run pointless; nothing else is."""
    expected = Wait(waits_for=waits[0], until=NOW + waits[1]) if waits else None
    assert respite(failed(cause), excused, limits, NOW, ZONE) == expected


@pytest.mark.parametrize(
    ("until", "next_fire", "waits"),
    [
        (2 * HOUR, None, True),
        (2 * HOUR, 3 * HOUR, True),
        (2 * HOUR, 2 * HOUR, False),  # the next one is there as soon as this one could go on
        (2 * HOUR, HOUR, False),
        (7 * 24 * HOUR, None, True),
    ],
)
def test_quota_is_waited_for_until_the_next_fire_time(
    until: timedelta, next_fire: timedelta | None, waits: bool
) -> None:
    """A reset before the next fire time is worth waiting for, a later one is not."""
    found = respite(failed(Cause.QUOTA, quota_until=NOW + until), 0, bounds(next_fire), NOW, ZONE)
    if waits:
        assert found == Wait(waits_for="quota", until=NOW + until)
    else:
        assert found == Skip(
            reason="quota: the plan's limit is reached until 2026-11-20 12:00, after the next fire time"
        )


@pytest.mark.parametrize("until", [-HOUR, timedelta(0), timedelta(days=30)])
def test_a_reset_that_cannot_be_is_none(until: timedelta) -> None:
    """A reset in the past, or further away than any window is long, holds nothing up for long."""
    result = failed(Cause.QUOTA, quota_until=NOW + until)
    assert respite(result, 0, bounds(), NOW, ZONE) == Wait(waits_for="rate limit", until=NOW + timedelta(seconds=30))
    assert Allowance().after(result, NOW).hold(None, NOW) is None


def test_what_ended_well_is_followed_by_nothing() -> None:
    """A cause beside a success (a limit was met on the way) makes nobody wait."""
    result = Result(outcome=Outcome.SUCCESS, cause=Cause.QUOTA, quota_until=NOW + HOUR)
    assert respite(result, 0, bounds(), NOW, ZONE) is None


def test_pauses_double_up_to_ten_minutes() -> None:
    """30 s, 1, 2, 4, 8 and then every 10 minutes."""
    assert [pause(number) / MINUTE for number in (0, 1, 2, 3, 4, 5, 99)] == [0.5, 1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("usage", "until", "max_usage", "holds"),
    [
        (80.0, HOUR, 80.0, True),
        (79.9, HOUR, 80.0, False),
        (95.0, HOUR, None, False),
        (95.0, -MINUTE, 80.0, False),  # that window is over
        (95.0, None, 80.0, False),  # nobody knows when it is: it would be waited for for ever
    ],
)
def test_usage_holds_until_its_window_ends(
    usage: float, until: timedelta | None, max_usage: float | None, holds: bool
) -> None:
    """At `max_usage` or above nothing starts until the window begins anew."""
    result = Result(outcome=Outcome.SUCCESS, usage=usage, usage_until=NOW + until if until else None)
    found = Allowance().after(result, NOW).hold(max_usage, NOW)
    assert (found is not None) is holds
    if found:
        assert found.until == NOW + HOUR
        assert "80 %" in found.why


def test_what_is_told_later_counts() -> None:
    """The newest usage is the one that counts; a result that tells none changes nothing; the longer hold wins."""
    high = Result(outcome=Outcome.SUCCESS, usage=90.0, usage_until=NOW + HOUR)
    low = Result(outcome=Outcome.SUCCESS, usage=10.0, usage_until=NOW + 5 * HOUR)
    silent = Result(outcome=Outcome.SUCCESS)
    known = Allowance().after(high, NOW).after(silent, NOW)
    assert known.hold(80, NOW) is not None
    assert known.after(low, NOW).hold(80, NOW) is None
    both = known.after(failed(Cause.QUOTA, quota_until=NOW + 2 * HOUR), NOW).hold(80, NOW)
    assert both == Hold(until=NOW + 2 * HOUR, why="the plan's limit is reached")
    assert both is not None
    assert heed(both, None, ZONE) == Wait(waits_for="quota", until=NOW + 2 * HOUR)
