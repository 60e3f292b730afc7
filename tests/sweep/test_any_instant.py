"""A trigger has no memory: whatever it is asked, it tells the same series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vault_scheduler.errors import BadExpression
from vault_scheduler.triggers.schedule import CronTrigger, Schedule

from .expressions import HASH_ID, random_expression
from .test_sample import ZONES

INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
MICROSECOND, FAR = timedelta(microseconds=1), timedelta(days=20_000)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), INSTANTS, st.timedeltas(timedelta(0), timedelta(days=3)), st.integers(0, 10**6))
def test_every_instant_is_followed_by_the_same_series(name: str, moment: datetime, later: timedelta, seed: int) -> None:
    """Strictly after what was asked, never earlier for a later question, and one series from wherever it is joined."""
    zone = ZoneInfo(name)
    made = random_expression(Random(seed), [moment.astimezone(zone).replace(tzinfo=None)])
    try:
        trigger = CronTrigger(made.text, zone, HASH_ID)
    except BadExpression:
        assume(False)
    series = list(islice(Schedule((trigger,)).fires(moment, moment + FAR), 6))
    assert all(earlier < fire for earlier, fire in pairwise([moment, *series]))
    assert all(fire.second == fire.microsecond == 0 for fire in series)
    joined = [moment, moment + later * Random(seed).random(), moment + later]
    joined += [fire - MICROSECOND for fire in series] + [fire + MICROSECOND for fire in series[:-1]] + series[:-1]
    for asked in joined:
        if asked < series[-1]:
            assert trigger.next_after(asked) == next(fire for fire in series if fire > asked)
