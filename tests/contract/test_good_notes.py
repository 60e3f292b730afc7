"""The file that keeps what task notes said: bounded, and there whatever happens to the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.daemon.last_good import LastGood
from vault_scheduler.ledger.good_notes import KEPT, GoodNote, GoodNotes
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task
from vault_scheduler.planning.known import Seen
from vault_scheduler.planning.registry import Registry
from vault_scheduler.run import Run, TriggerKind

T = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[GoodNotes]:
    with closing(GoodNotes.open(tmp_path / "notes.db", version="test")) as opened:
        yield opened


def good(definition: str, after_h: int, run: str = "", task: str = "a") -> GoodNote:
    at = T + timedelta(hours=after_h)
    return GoodNote(task=task, path=f"{task}.md", definition=definition, kept_at=at, run=run, data=definition.encode())


def test_the_newest_is_first_and_a_text_that_comes_again_is_kept_once(notes: GoodNotes) -> None:
    """With its bytes."""
    notes.keep([good("one", 1), good("two", 2)])
    notes.keep([good("one", 3)])
    assert [(note.definition, note.data) for note in notes.versions("a")] == [("one", b"one"), ("two", b"two")]
    assert notes.newest()["a"].definition == "one"
    assert notes.versions("b") == []


def test_a_task_that_rewrites_itself_does_not_push_out_what_a_person_wrote(notes: GoodNotes) -> None:
    """Bounded, but for the last text that no run brought about."""
    notes.keep([good("person", 0)])
    for number in range(3 * KEPT):
        notes.keep([good(f"run {number}", number + 1, run="r")])
    kept = [note.definition for note in notes.versions("a")]
    assert kept == [f"run {number}" for number in range(3 * KEPT - 1, 2 * KEPT - 1, -1)] + ["person"]


def test_what_was_replaced_is_kept_beside_what_is_good(notes: GoodNotes) -> None:
    """It is no good text, so it is not the newest."""
    notes.keep([good("one", 1)])
    notes.keep([GoodNote(task="a", path="a.md", definition="h", kept_at=T + timedelta(hours=2), replaced=True)])
    assert [note.replaced for note in notes.versions("a")] == [True, False]
    assert notes.newest()["a"].definition == "one"


def test_notes_that_went_are_forgotten_in_time(notes: GoodNotes) -> None:
    """A month after they were first missed, and not if they came back."""
    day = timedelta(days=1)
    notes.keep([good("one", 1), good("two", 1, task="b")])
    notes.trim(["a", "b"], T, 30 * day)
    notes.trim(["a"], T + 20 * day, 30 * day)
    notes.trim(["a", "b"], T + 29 * day, 30 * day)
    assert set(notes.newest()) == {"a", "b"}
    notes.trim(["a", "b"], T + 31 * day, 30 * day)
    assert set(notes.newest()) == {"b"}


def test_a_file_that_was_taken_away_is_put_back(notes: GoodNotes, tmp_path: Path) -> None:
    """Also by hands that delete the ledger and all that is beside it."""
    notes.keep([good("one", 1)])
    for path in tmp_path.iterdir():
        path.unlink()
    notes.mend()
    notes.keep([good("two", 2)])
    with closing(GoodNotes.open(tmp_path / "notes.db")) as again:
        assert len(again.versions("a")) == 2


def test_it_follows_a_rename(notes: GoodNotes) -> None:
    """To the new id."""
    notes.keep([good("one", 1)])
    notes.rename("a", "b")
    assert list(notes.newest()) == ["b"]


def test_what_is_held_is_not_kept(notes: GoodNotes) -> None:
    """A definition that waits for approval must not be what a person goes back to."""
    path, registry, held = "00_system/tasks/a.md", Registry(), {"a": ""}
    watch = LastGood(
        notes, registry, quiet_s=lambda _: 60.0, held=held.__getitem__, report=lambda *_: None, read=lambda _: b""
    )
    for number, why in enumerate(("", "held: shell", "")):
        data = f"---\ntype: command\nevery: 1h\ncommand: echo {number}\n---\n".encode()
        registry.put(path, parse_task(Document.parse(data), path, ParseContext()).task, (), T)
        held["a"] = why
        watch.take(Seen(good={path: data}))
        watch.look(T + timedelta(minutes=number))
    assert [b"echo 2" in note.data or b"echo 0" in note.data for note in notes.versions("a")] == [True, True]


PATH = "00_system/tasks/a.md"
ENDED = T + timedelta(seconds=10)
RUN = Run(id="r-1", key="a|1", task="a", path=PATH, trigger=TriggerKind.AT, fire_time=T, claimed_at=T, started_at=T)


@dataclass
class Told:
    """A watch over one note, and what it reports."""

    watch: LastGood
    registry: Registry
    reports: list[str]

    def change(self, keys: str, written: datetime | None, now: datetime) -> str:
        """The note says this from `now` on, by its mtime since `written`; what is told of it."""
        self.reports.clear()
        data = f"---\ntype: command\ncommand: echo\n{keys}\n---\n".encode()
        parsed = parse_task(Document.parse(data), PATH, ParseContext())
        self.registry.put(PATH, parsed.task, parsed.problems, now)
        is_good = parsed.task is not None
        times = {PATH: written} if written else {}
        seen = Seen(good={PATH: data} if is_good else {}, broken=set() if is_good else {PATH}, written=times)
        self.watch.take(seen)
        self.watch.look(now)
        return "".join(self.reports)


@pytest.fixture
def told(notes: GoodNotes) -> Told:
    """The note's own run began at T, and ended ten seconds later."""
    registry, reports = Registry(), list[str]()
    watch = LastGood(
        notes,
        registry,
        quiet_s=lambda _: 1.0,
        held=lambda _: "",
        report=lambda _, message, fix: reports.append(message),
        read=lambda _: b"",
    )
    found = Told(watch, registry, reports)
    found.change("every: 1h", T - timedelta(days=1), T - timedelta(days=1))
    watch.run_started(RUN, T)
    watch.run_ended(RUN, ENDED)
    return found


@pytest.mark.parametrize("keys", ["every: 2h", "every: ["], ids=["changed", "broken"])
@pytest.mark.parametrize(
    ("written_s", "now_s", "words"),
    [
        (5, 8, "was alive"),  # during the run
        (9.9, 13, "was alive"),  # seen after its end, and written before
        (11, 13, ""),  # a person's slip, right after it
        (None, 13, "was alive, or right after"),  # nobody knows when
        (-3600, 13, "was alive, or right after"),  # a moved file keeps its time
        (11, 60, ""),
    ],
)
def test_a_slip_right_after_a_run_is_not_its_doing(
    told: Told, keys: str, written_s: float | None, now_s: float, words: str
) -> None:
    """Who wrote is told by the file's time where that is known; else the words leave it open."""
    written = None if written_s is None else T + timedelta(seconds=written_s)
    found = told.change(keys, written, T + timedelta(seconds=now_s))
    assert found.endswith(words) if words else found == ""


def test_what_a_retry_writes_is_its_doing(told: Told) -> None:
    """The run's first attempt had ended before."""
    told.watch.run_started(RUN, ENDED + timedelta(minutes=1))
    at = ENDED + timedelta(minutes=2)
    assert told.change("every: 2h", at, at + timedelta(seconds=3)).endswith("was alive")


@pytest.mark.parametrize(("waits", "words"), [(True, "was alive"), (False, "")])
def test_a_run_is_remembered_for_as_long_as_an_edit_of_it_may_still_count(
    notes: GoodNotes, waits: bool, words: str
) -> None:
    """An edit made during it, in a note that was then not left alone for an hour; without one it is soon forgotten."""
    registry, reports = Registry(), list[str]()
    quiet_s = [1.0]
    watch = LastGood(
        notes,
        registry,
        quiet_s=lambda _: quiet_s[0],
        held=lambda _: "",
        report=lambda _, message, fix: reports.append(message),
        read=lambda _: b"",
        edits_wait=lambda: waits,
    )
    told = Told(watch, registry, reports)
    told.change("every: 1h", T - timedelta(days=1), T - timedelta(days=1))
    watch.run_started(RUN, T)
    watch.run_ended(RUN, ENDED)
    for number in range(100):
        at, other = ENDED + timedelta(seconds=30 * number), replace(RUN, id=f"r-other-{number}", task="b")
        watch.run_started(other, at)
        watch.run_ended(other, at)
    quiet_s[0] = 3600.0
    assert told.change("every: 2h", T + timedelta(seconds=5), T + timedelta(seconds=3605)).endswith(words)
    assert bool(reports) == waits
