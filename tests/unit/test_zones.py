from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from vault_scheduler.errors import BadValue
from vault_scheduler.triggers.zones import changes, dst_changes, load_zone, local_to_utc, near_zones, offset_at

HOUR = timedelta(hours=1)

UNKNOWN = [
    ("Berlin", "Europe/Berlin"),
    ("europe/berlin", "Europe/Berlin"),
    ("Europe/Berln", "Europe/Berlin"),
    ("New York", "America/New_York"),
    ("Kiev", "Europe/Kiev"),
    ("PST", "America/Los_Angeles"),
    ("CEST", "Europe/Berlin"),
    ("UTC+2", "UTC"),
    ("+02:00", "IANA name"),
    ("", "IANA name"),
    ("Europe", "IANA name"),  # a folder of the database
    ("../../etc/passwd", "IANA name"),
    ("/etc/localtime", "IANA name"),
    ("localtime", "IANA name"),  # differs from machine to machine
    ("right/Europe/Berlin", "Europe/Berlin"),  # counts leap seconds: 27 s off
    ("Mars/Phobos", "IANA name"),
    ("a\0b", "IANA name"),
    ("x" * 300, "IANA name"),
]


@pytest.mark.parametrize(("name", "fix"), UNKNOWN, ids=[case[0][:20] for case in UNKNOWN])
def test_an_unknown_zone_is_refused_with_near_names(name: str, fix: str) -> None:
    """Every name that is not an IANA zone is refused, and what may be meant is said."""
    with pytest.raises(BadValue, match="is not a known time zone") as refused:
        load_zone(name)
    assert fix in refused.value.fix


def test_every_zone_of_the_database_is_known() -> None:
    """No IANA name is refused by mistake."""
    for name in available_timezones() - {"Factory", "localtime"}:
        assert load_zone(name).key == name


# zone, local time, instant, why
LOCAL_TIMES = [
    ("Europe/Berlin", "2026-07-01 12:00", "2026-07-01 10:00", "plain"),
    ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:00", "in the gap: right after it"),
    ("Europe/Berlin", "2026-03-29 02:00", "2026-03-29 01:00", "the gap's first minute"),
    ("Europe/Berlin", "2026-03-29 03:00", "2026-03-29 01:00", "the gap's end exists"),
    ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 00:30", "twice: the first"),
    ("Europe/Berlin", "2026-10-25 03:00", "2026-10-25 02:00", "after both passes"),
    ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:30", "half an hour's gap"),
    ("Antarctica/Troll", "2026-03-29 01:30", "2026-03-29 01:00", "two hours' gap"),
    ("America/Havana", "2026-03-08 00:00", "2026-03-08 05:00", "no midnight"),
    ("Asia/Pyongyang", "2018-05-04 23:45", "2018-05-04 15:00", "the gap before a midnight"),
    ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00", "a day that never was"),
    ("Europe/Dublin", "2026-03-29 01:30", "2026-03-29 01:00", "winter time as negative DST"),
    ("UTC", "2026-03-29 02:30", "2026-03-29 02:30", "no changes"),
]


@pytest.mark.parametrize(("zone", "local", "instant", "_why"), LOCAL_TIMES, ids=[case[3] for case in LOCAL_TIMES])
def test_a_local_time_is_one_instant(zone: str, local: str, instant: str, _why: str) -> None:
    """In a gap it is the first instant after; what exists twice is the first."""
    found = local_to_utc(datetime.fromisoformat(local), ZoneInfo(zone))
    assert found == datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(("local", "zone"), [("0001-01-01", "Asia/Tokyo"), ("9999-12-31T23:59", "America/New_York")])
def test_a_local_time_at_the_calendars_end_is_refused(local: str, zone: str) -> None:
    """The first and the last day have no instant in every zone; that is said, not raised as an overflow."""
    with pytest.raises(BadValue, match="outside of the calendar"):
        local_to_utc(datetime.fromisoformat(local), ZoneInfo(zone))


def test_changes_of_the_clocks_are_found_to_the_second() -> None:
    """Both changes of a year, with the offsets before and after."""
    year = dst_changes(ZoneInfo("Europe/Berlin"), datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert year == [
        (datetime(2026, 3, 29, 1, tzinfo=UTC), HOUR, 2 * HOUR),
        (datetime(2026, 10, 25, 1, tzinfo=UTC), 2 * HOUR, HOUR),
    ]


def test_the_bounds_of_changes_are_after_and_up_to() -> None:
    """The first bound is left out, the second one included."""
    berlin, change = ZoneInfo("Europe/Berlin"), datetime(2026, 3, 29, 1, tzinfo=UTC)
    second = timedelta(seconds=1)
    assert len(dst_changes(berlin, change - second, change)) == 1
    assert dst_changes(berlin, change, change + second) == []
    assert dst_changes(berlin, change - 2 * second, change - second) == []


def test_a_change_at_a_year_end_is_found() -> None:
    """Samoa went over the date line on the last days of 2011."""
    found = dst_changes(ZoneInfo("Pacific/Apia"), datetime(2011, 12, 1, tzinfo=UTC), datetime(2012, 1, 31, tzinfo=UTC))
    assert found == [(datetime(2011, 12, 30, 10, tzinfo=UTC), -10 * HOUR, 14 * HOUR)]


@pytest.mark.parametrize("zone", ["Africa/Casablanca", "America/Recife", "Asia/Gaza", "Europe/Lisbon", "Asia/Tehran"])
def test_no_change_is_overlooked(zone: str) -> None:
    """Looking at every hour of twenty years finds the same changes, also where they are a week apart."""
    info, begin, end = ZoneInfo(zone), datetime(1996, 1, 1, tzinfo=UTC), datetime(2016, 1, 1, tzinfo=UTC)
    hourly = []
    moment, before = begin, offset_at(begin, info)
    while moment < end:
        moment += HOUR
        if (now := offset_at(moment, info)) != before:
            hourly.append((before, now))
            before = now
    assert [(old, new) for _, old, new in changes(info, begin, end)] == hourly


@pytest.mark.parametrize("name", ["UTC+1", "GMT+2", "gmt-5", "+01:00", "UTC+05:30"])
def test_offset_is_not_mistaken_for_a_zone(name: str) -> None:
    """The nearest name of `GMT+2` would be Etc/GMT+2, which is two hours the other way."""
    assert near_zones(name) == ()
