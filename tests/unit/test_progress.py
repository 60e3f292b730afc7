"""Progress: one line on a terminal that leaves nothing behind, and silence everywhere else."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from vault_scheduler.commands.progress import ProgressLine
from vault_scheduler.testing import FakeClock

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_what_is_quick_says_nothing_and_what_takes_a_while_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than a line of the terminal's width, often enough and not too often, and gone at the end."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    clock, stream = FakeClock(NOW), Terminal()
    line = ProgressLine(stream, clock)
    line.show("at once")
    line.clear()
    assert stream.getvalue() == ""
    clock.advance(1)
    line.show("Reading notes: 1 of 5,000 and more")
    line.show("too soon after")
    clock.advance(1)
    line.show("a \x1b[31mname\x1b[0m")
    line.clear()
    assert stream.getvalue() == "\r\x1b[KReading notes: 1 of 5,000 an…\r\x1b[Ka name\r\x1b[K"


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO(), "xterm"), (Terminal(), "dumb")])
def test_pipes_and_dumb_terminals_are_told_nothing(
    stream: io.StringIO, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pipes and dumb terminals, however long it takes."""
    monkeypatch.setenv("TERM", term)
    clock = FakeClock(NOW)
    line = ProgressLine(stream, clock)
    clock.advance(60)
    line.show("Reading notes")
    line.clear()
    assert stream.getvalue() == ""
