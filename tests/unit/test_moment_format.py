"""Date formats of Obsidian mean what moment means by them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vault_scheduler.text.moment_format import UnknownToken, formatted, time_tokens

SUNDAY = datetime(2026, 3, 1, 0, 5, 9, 42_000, tzinfo=UTC)
SATURDAY = datetime(2027, 1, 2, 13, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "sunday", "saturday"),
    [  # as moment 2.30 prints them
        ("YYYY-MM-DD", "2026-03-01", "2027-01-02"),
        ("YYYY/MM/YYYY-MM-DD", "2026/03/2026-03-01", "2027/01/2027-01-02"),
        ("YYYY/MM-MMMM/YYYY-MM-DD-dddd", "2026/03-March/2026-03-01-Sunday", "2027/01-January/2027-01-02-Saturday"),
        ("dddd, MMMM Do, YYYY", "Sunday, March 1st, 2026", "Saturday, January 2nd, 2027"),
        ("ddd D MMM YY", "Sun 1 Mar 26", "Sat 2 Jan 27"),
        ("dd DDD DDDD DDDo", "Su 60 060 60th", "Sa 2 002 2nd"),
        ("GGGG-[W]WW-E", "2026-W09-7", "2026-W53-6"),
        ("GG W Wo", "26 9 9th", "26 53 53rd"),
        ("Q Qo [Q]Q", "1 1st Q1", "1 1st Q1"),
        ("d do M Mo D", "0 0th 3 3rd 1", "6 6th 1 1st 2"),
        ("[Daily] YYYY", "Daily 2026", "Daily 2027"),
        ("[Journal/]YYYY", "Journal/2026", "Journal/2027"),
        (r"YYYY\MMM", "2026MMM", "2027MMM"),
        (r"\[YYYY\]", "[2026]", "[2027]"),
        (r"\\D", "1", "2"),
        ("[a] YYYY ]", "a] YYYY ", "a] YYYY "),
        ("[]YYYY", "2026", "2027"),
        ("[[]]", "[]", "[]"),
        ("YYYYMMDD", "20260301", "20270102"),
        ("YYYYY YYYYYY Y YYY", "02026 +002026 2026 262026", "02027 +002027 2027 272027"),
        ("HH:mm", "00:05", "13:40"),
        ("H h hh k kk m s ss A a", "0 12 12 24 24 5 9 09 AM am", "13 1 01 13 13 40 0 00 PM pm"),
        ("hmm Hmmss", "1205 00509", "140 134000"),
        ("S SS SSS SSSS", "0 04 042 0420", "0 00 000 0000"),
        ("YYYY.MM.DD b p t", "2026.03.01 b p t", "2027.01.02 b p t"),
        ("G", "G", "G"),
    ],
)
def test_a_format_means_what_moment_means(pattern: str, sunday: str, saturday: str) -> None:
    """Tokens, literal brackets, escapes, folders, English names and ordinals; weeks as ISO counts them."""
    assert (formatted(pattern, SUNDAY), formatted(pattern, SATURDAY)) == (sunday, saturday)


@pytest.mark.parametrize(
    ("pattern", "token"),
    [
        ("L", "L"),
        ("ll", "ll"),
        ("YYYY LT", "LT"),
        ("gggg-[W]ww", "gggg"),
        ("YYYY-ww", "ww"),
        ("YYYY-MM-DD e", "e"),
        ("YYYY N", "N"),
        ("y", "y"),
        ("x", "x"),
        ("YYYY-MM-DDTHH:mmZ", "Z"),
        ("Daily/YYYY", "l"),
    ],
)
def test_what_cannot_be_told_for_certain_is_refused(pattern: str, token: str) -> None:
    """Language, zone and era are nothing that a vault tells."""
    with pytest.raises(UnknownToken) as caught:
        formatted(pattern, SUNDAY)
    assert caught.value.token == token


def test_times_of_the_day_are_found() -> None:
    """A name that tells the time is another one each minute."""
    assert list(time_tokens("YYYY [at] HH.mm A")) == ["HH", "mm", "A"]
    assert list(time_tokens("YYYY-MM-DD[ HH]")) == []
