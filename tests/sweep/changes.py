"""Changes of a zone's clocks as zoneinfo tells them: by asking, hour for hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

HOUR, MINUTES_A_DAY = 3600, 1440
MARGIN = 27 * 60  # minutes before and after a change: a whole local day on either side, whatever the gap


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the clocks; all in minutes, `instant` since 1970."""

    instant: int
    before: int  # local time minus UTC
    after: int

    @property
    def length(self) -> int:
        """Minutes that are skipped, or, if negative, shown twice."""
        return self.after - self.before


def offset_seconds(zone: ZoneInfo, second: int) -> int:
    """Local time minus UTC at a second since 1970."""
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def changes_of(zone: ZoneInfo, first_year: int, last_year: int, step: int = HOUR) -> tuple[Change, ...]:
    """Every change in whole years of UTC, found by asking every `step` seconds."""
    begin = int(datetime(first_year, 1, 1, tzinfo=UTC).timestamp()) - 1
    end = int(datetime(last_year + 1, 1, 1, tzinfo=UTC).timestamp()) - 1
    found, before = [], offset_seconds(zone, begin)
    for second in range(begin, end, step):
        following = min(second + step, end)
        if (after := offset_seconds(zone, following)) != before:
            found.append(_change(zone, second, following, before, after))
            before = after
    return tuple(found)


def _change(zone: ZoneInfo, low: int, high: int, before: int, after: int) -> Change:
    while high - low > 1:
        middle = (low + high) // 2
        if offset_seconds(zone, middle) == before:
            low = middle
        else:
            high = middle
    # cron knows whole minutes only; from 2000 on, so do all zones.
    assert high % 60 == before % 60 == after % 60 == 0, f"{zone.key} changes its clocks within a minute"
    return Change(high // 60, before // 60, after // 60)


def wall_minutes(zone: ZoneInfo, first: int, last: int) -> list[int]:
    """What the clock shows in each minute from `first` to `last`, as local minutes since 1970."""
    return [minute + offset_seconds(zone, 60 * minute) // 60 for minute in range(first, last + 1)]
