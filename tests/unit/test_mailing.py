"""What leaves the outbox when: quiet hours over midnight and at changes of the clocks, bundles, retries, pings."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.planning.mailing import (
    FAIL,
    LONGEST_RETRY,
    START,
    SUCCESS,
    Letter,
    is_given_up,
    next_round,
    put_together,
    quiet_until,
    retry_at,
)

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = (time(22, 0), time(7, 0))
MINUTE = timedelta(minutes=1)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "hours", "until"),
    [
        ("2026-11-22T21:59:59", NIGHT, None),
        ("2026-11-22T22:00", NIGHT, "2026-11-23T07:00"),
        ("2026-11-23T00:00", NIGHT, "2026-11-23T07:00"),
        ("2026-11-23T06:59:59", NIGHT, "2026-11-23T07:00"),
        ("2026-11-23T07:00", NIGHT, None),
        ("2026-11-22T13:30", (time(13, 0), time(14, 0)), "2026-11-22T14:00"),
        ("2026-11-22T14:00", (time(13, 0), time(14, 0)), None),
        ("2026-11-22T23:30", (time(22, 0), time(0, 0)), "2026-11-23T00:00"),
        # The night of 29 March 2026 has no hour from two to three: it ends when the clocks show three.
        ("2026-03-29T01:30", (time(22, 0), time(2, 30)), "2026-03-29T03:00"),
        ("2026-03-29T03:00", (time(22, 0), time(2, 30)), None),
        # The night of 25 October 2026 has that hour twice: it ends the first time.
        ("2026-10-25T01:59", (time(22, 0), time(2, 30)), "2026-10-25T02:30"),
        ("2026-10-25T05:00", NIGHT, "2026-10-25T07:00"),
    ],
)
def test_quiet_hours_end_when_the_clock_on_the_wall_says_so(
    now: str, hours: tuple[time, time], until: str | None
) -> None:
    """Local times, over midnight and over changes of the clocks."""
    assert quiet_until(local(now), hours, BERLIN) == (local(until) if until else None)


def test_the_hour_that_comes_twice_is_not_quiet_twice() -> None:
    """02:15 the second time, quiet hours until 02:30: they ended an hour ago."""
    second = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
    assert second.astimezone(BERLIN).strftime("%H:%M") == "02:15"
    assert quiet_until(second, (time(22, 0), time(2, 30)), BERLIN) is None


def test_without_quiet_hours_it_is_never_quiet() -> None:
    """Unset means none."""
    assert quiet_until(NOW, None, BERLIN) is None


def a_letter(seq: int, **more: object) -> Letter:
    fields: dict[str, object] = {"receiver": "phone", "subject": f"t{seq}", "title": f"T{seq}", "body": f"B{seq}\n\nx"}
    return Letter(**{**fields, "made_at": NOW, "seq": seq, **more})  # type: ignore[arg-type]


def sent(letters: list[Letter], **more: object) -> list[list[int]]:
    given: dict[str, object] = {"quiet_until": None, "busy": (), **more}
    bundles = next_round(letters, NOW, **given).bundles  # type: ignore[arg-type]
    return [[letter.seq for letter in bundle] for bundle in bundles]


def test_up_to_three_go_one_by_one_and_more_go_together() -> None:
    """Three messages are three messages; four are one."""
    letters = [a_letter(number) for number in range(1, 5)]
    assert sent(letters[:3]) == [[1]]
    assert sent(letters) == [[1, 2, 3, 4]]
    assert sent([*letters, a_letter(5, receiver="mail")]) == [[1, 2, 3, 4], [5]]


def test_a_receiver_that_is_busy_or_fails_is_left_alone() -> None:
    """One bundle at a time; while a try is waited for, nothing else is tried there either."""
    assert sent([a_letter(1)], busy={("phone", "")}) == []
    failing = a_letter(1, tries=2, not_before=NOW + MINUTE)
    round_ = next_round([failing, a_letter(2)], NOW, quiet_until=None, busy=())
    assert round_.bundles == ()
    assert round_.next_moment == NOW + MINUTE


def test_what_is_to_wait_waits_alone() -> None:
    """A message that is not due yet keeps no other from leaving."""
    later = a_letter(1, not_before=NOW + MINUTE)
    round_ = next_round([later, a_letter(2)], NOW, quiet_until=None, busy=())
    assert [[letter.seq for letter in bundle] for bundle in round_.bundles] == [[2]]
    assert round_.next_moment == NOW + MINUTE


def test_quiet_hours_hold_messages_and_no_pings() -> None:
    """A check does not sleep."""
    ping = a_letter(2, receiver="", ping=FAIL)
    round_ = next_round([a_letter(1), ping], NOW, quiet_until=NOW + MINUTE, busy=())
    assert [bundle[0].seq for bundle in round_.bundles] == [2]
    assert round_.next_moment == NOW + MINUTE


@pytest.mark.parametrize(
    ("kinds", "leaves", "dropped"),
    [
        ([(START, "a", 0)], [1], []),
        ([(START, "a", 61)], [], [1]),
        ([(START, "a", 0), (SUCCESS, "a", 0)], [1], []),
        ([(START, "a", 61), (SUCCESS, "a", 0)], [2], [1]),
        ([(FAIL, "a", 90), (SUCCESS, "b", 0)], [2], [1]),
        ([(FAIL, "a", 0), (START, "b", 0)], [1], []),
        ([(FAIL, "a", 90), (START, "b", 61)], [1], [2]),
    ],
)
def test_a_check_hears_what_is_still_true(
    kinds: list[tuple[str, str, int]], leaves: list[int], dropped: list[int]
) -> None:
    """Late starts and ends that were overtaken are dropped; the start of a run goes before its end."""
    letters = [
        a_letter(seq, receiver="", subject="t", ping=ping, run=run, made_at=NOW - timedelta(seconds=age))
        for seq, (ping, run, age) in enumerate(kinds, 1)
    ]
    round_ = next_round(letters, NOW, quiet_until=None, busy=())
    assert [bundle[0].seq for bundle in round_.bundles] == leaves
    assert [letter.seq for letter in round_.dropped] == dropped


def test_tries_come_at_growing_distances_for_a_day() -> None:
    """1, 2, 4 … minutes, at most an hour; given up a day after the first failure."""
    waits = [retry_at(a_letter(1, tries=tries), NOW) - NOW for tries in range(8)]
    assert waits[:4] == [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE]
    assert max(waits) == waits[-1] == LONGEST_RETRY
    assert not is_given_up(a_letter(1), NOW)
    assert not is_given_up(a_letter(1, failing_since=NOW - timedelta(hours=23)), NOW)
    assert is_given_up(a_letter(1, failing_since=NOW - timedelta(hours=24)), NOW)


def test_many_messages_in_one_stay_readable() -> None:
    """Title and first line of each; what would be too much is counted."""
    title, body = put_together([a_letter(number) for number in range(4)])
    assert title == "vault-sched: 4 messages"
    assert body == "T0\nB0\n\nT1\nB1\n\nT2\nB2\n\nT3\nB3"
    long = [a_letter(number, body="x" * 400) for number in range(50)]
    body = put_together(long)[1]
    assert len(body) < 4000
    assert body.endswith("… and 43 more: `vault-sched history`")
