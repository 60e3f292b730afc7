"""Until when a pause is written: notes know local seconds, without an offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.commands.switching import last_second
from vault_scheduler.triggers.zones import local_to_utc, to_local

ZONES = ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Apia", "UTC"]


@pytest.mark.parametrize(
    ("zone", "wanted", "written"),
    [
        ("Europe/Berlin", "2026-10-25 02:40+02:00", "2026-10-25 02:40"),
        ("Europe/Berlin", "2026-10-25 02:00+01:00", "2026-10-25 03:00"),
        ("Europe/Berlin", "2026-10-25 02:40+01:00", "2026-10-25 03:00"),
        ("Europe/Berlin", "2026-10-25 03:00+01:00", "2026-10-25 03:00"),
        ("Europe/Berlin", "2026-11-22 09:00:00.5+01:00", "2026-11-22 09:00:01"),
        ("Australia/Lord_Howe", "2026-04-05 01:45+10:30", "2026-04-05 02:00"),
    ],
)
def test_a_moment_of_the_second_pass_is_rounded_up_to_its_end(zone: str, wanted: str, written: str) -> None:
    """A local time that exists twice means the first to whoever reads the note."""
    end = last_second(datetime.fromisoformat(wanted), ZoneInfo(zone))
    assert to_local(end, ZoneInfo(zone)) == datetime.fromisoformat(written)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)), st.sampled_from(ZONES))  # noqa: DTZ001
def test_a_pause_that_is_read_back_never_ends_early(moment: datetime, name: str) -> None:
    """Nor later than the end of the hours that come twice."""
    end = last_second(moment, ZoneInfo(name))
    assert local_to_utc(to_local(end, ZoneInfo(name)), ZoneInfo(name)) == end
    assert timedelta(0) <= end - moment <= timedelta(hours=3)
