"""What goes when the machine's folders are tidied."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from vault_scheduler.daemon.housekeeping import Output, logs_to_remove, outputs_to_remove
from vault_scheduler.machine.config import Retain

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MB = 10**6


def output(run: str, days: float, size: int = MB) -> Output:
    return Output(run=run, modified=(NOW - timedelta(days=days)).timestamp(), size=size)


@pytest.mark.parametrize(
    ("found", "going", "gone"),
    [
        ([output("a", 1), output("b", 29.9)], (), []),  # young and small
        ([output("a", 1), output("b", 30.1)], (), ["b"]),  # too old
        ([output("a", 40)], ("a",), []),  # a run of six weeks is still going
        ([output("a", 3, 400 * MB), output("b", 2, 99 * MB), output("c", 1, 2 * MB)], (), ["a"]),  # oldest first
        ([output("a", 1, 600 * MB), output("b", 2)], (), ["a", "b"]),  # one alone is too large
        ([output("a", 1, 600 * MB), output("b", 2)], ("a",), []),  # what is going on does not count
    ],
)
def test_old_outputs_go_then_the_oldest_of_too_many(
    found: list[Output], going: tuple[str, ...], gone: list[str]
) -> None:
    """30 days or 500 MB, oldest first; never those of a run that has not ended."""
    assert outputs_to_remove(found, going, NOW, Retain()) == gone


def test_daily_logs_stay_unless_the_machine_says_otherwise() -> None:
    """Only files that are named as daily logs are, and only those of days before."""
    names = ["2025-01-01.md", "2025-01-01-part2.md", "2025-01-01-server.md", "2026-11-19.md", "Notes.md", "2025.md"]
    assert logs_to_remove(names, date(2026, 11, 20), None) == []
    assert logs_to_remove(names, date(2026, 11, 20), timedelta(days=30)) == names[:3]
