"""The pen on a real disk: a second look that fails is taken again, and told if it goes on failing."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.daemon.pen import AGAIN_S, TOLD_AFTER, Pen
from vault_scheduler.platform import exchange as exchange_module
from vault_scheduler.platform import replace as replace_module
from vault_scheduler.vault.vault import Vault, Written

NOTE = b"---\ntype: command\n---\nbody\n"
REL = "00_system/tasks/a.md"


class Bystander:
    """Remembers what the pen tells."""

    def __init__(self) -> None:
        self.reports: list[str] = []

    def quiet_s(self, path: str) -> float:
        """Somebody has just changed it."""
        return 0.0

    def wrote(self, written: Written) -> None:
        """Nobody has to know."""

    def report(self, path: str, message: str, fix: str) -> None:
        """Kept."""
        self.reports.append(f"{path}: {message}")


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """A task note."""
    path = tmp_path / REL
    path.parent.mkdir(parents=True)
    path.write_bytes(NOTE)
    return path


def names(folder: Path) -> list[str]:
    """What lies there."""
    return [path.name for path in folder.iterdir()]


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_second_look_that_fails_is_taken_again_and_told(note: Path, tmp_path: Path) -> None:
    """A full disk keeps somebody's late line out of the note: people hear of it once; there is room: it comes in."""
    told = Bystander()
    pen = Pen(Vault(tmp_path), told)
    with note.open("ab", buffering=0) as editor:
        asyncio.run(pen.edit(REL, lambda data: data + b"ours\n", 0.0))
        editor.write(b"late\n")
    now, at = datetime.now(UTC) + timedelta(seconds=10), 10.0
    with full_disk():
        for failed in range(1, TOLD_AFTER + 3):
            asyncio.run(pen.settle(now, at))
            assert len(told.reports) == (failed >= TOLD_AFTER)
            assert pen.next_moment() == at + AGAIN_S
            at += AGAIN_S
    asyncio.run(pen.settle(now, at))
    assert note.read_bytes() == NOTE + b"late\nours\n"
    assert "cannot be looked at" in told.reports[0]
    asyncio.run(pen.settle(now, at + AGAIN_S))
    assert pen.next_moment() is None
    assert names(note.parent) == ["a.md"]


def test_a_vault_that_is_away_is_waited_for(note: Path, tmp_path: Path) -> None:
    """What was displaced on a drive that is unplugged is looked at when it is back; nobody is told of each note."""
    told = Bystander()
    pen = Pen(Vault(tmp_path), told)
    asyncio.run(pen.edit(REL, lambda data: data + b"ours\n", 0.0))
    now, at = datetime.now(UTC) + timedelta(seconds=10), 10.0
    tasks, away = note.parent, tmp_path / "away"
    tasks.rename(away)
    for _ in range(TOLD_AFTER + 1):
        asyncio.run(pen.settle(now, at))
        at += AGAIN_S
    assert told.reports == []
    away.rename(tasks)
    asyncio.run(pen.settle(now, at))
    assert pen.next_moment() is None
    assert names(tasks) == ["a.md"]


def test_a_text_that_was_put_back_is_kept_for_seconds_only(
    note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody saved in the very moment of our replacement: nothing is left when they are done, not even for a day."""
    real, waiting = exchange_module.exchange, [NOTE + b"theirs\n"]

    def exchange(one: Path, other: Path) -> None:
        if waiting:
            note.write_bytes(waiting.pop())
        real(one, other)

    monkeypatch.setattr(replace_module, "exchange", exchange)
    told = Bystander()
    pen = Pen(Vault(tmp_path), told)
    os.utime(note, (0, 0))
    try:
        asyncio.run(pen.edit(REL, lambda data: data.replace(b"type: command", b"type: claude"), 0.0))
    except exchange_module.NoExchange:
        pytest.skip("no exchange here")
    asyncio.run(pen.settle(datetime.now(UTC) + timedelta(seconds=10), 10.0))
    assert pen.next_moment() is None
    assert note.read_bytes() == b"---\ntype: claude\n---\nbody\ntheirs\n"
    assert names(note.parent) == ["a.md"]
    assert told.reports == []
