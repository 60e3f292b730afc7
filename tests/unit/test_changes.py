"""Batches of changes: what is gathered, when it is due, whose it is."""

from __future__ import annotations

import pytest

from vault_scheduler.planning.changes import LARGEST_BATCH, Changed, FileStamp, Gathering, differences
from vault_scheduler.triggers.globs import globs

OLD, NEW, NEWER = (1, 10), (2, 10), (3, 11)
INBOX = globs(("Inbox/**",))


def gathering(debounce_s: float = 30) -> Gathering:
    return Gathering(INBOX, debounce_s)


def test_differences_are_what_was_added_modified_or_removed() -> None:
    """With what each file was before; None where there was none."""
    before: dict[str, FileStamp] = {"same": OLD, "touched": OLD, "grown": (1, 10), "gone": OLD}
    after: dict[str, FileStamp] = {"same": OLD, "touched": NEW, "grown": (1, 11), "new": NEW}
    assert differences(before, after) == {"touched": OLD, "grown": (1, 10), "gone": OLD, "new": None}


@pytest.mark.parametrize(
    ("changes_at", "due_at"),
    [
        ([], None),
        ([100], 130),
        ([100, 110, 129], 159),
        (range(100, 380, 20), 390),  # the last at 360
        (range(100, 400, 20), 400),  # ten times the debounce after the first
        (range(100, 900, 20), 400),
    ],
)
def test_batch_is_due_when_nothing_has_changed_for_debounce(changes_at: list[int], due_at: int | None) -> None:
    """But ten times `debounce` after the first change at the latest."""
    waiting = gathering()
    for at in changes_at:
        waiting.notice({"Inbox/a.md": OLD}, at, is_going=False)
    assert waiting.due_at == due_at


def test_files_that_the_globs_do_not_name_are_not_gathered() -> None:
    """They keep no batch open either."""
    waiting = gathering()
    waiting.notice({"Inbox/a.md": OLD}, 100, is_going=False)
    waiting.notice({"Notes/a.md": OLD}, 120, is_going=False)
    assert waiting.due_at == 130
    assert waiting.take({}, 130) == ["Inbox/a.md"]
    assert waiting.due_at is None


def test_file_is_compared_with_what_it_was_before_the_first_change() -> None:
    """One that is again as it was is no part of the batch."""
    waiting = gathering()
    waiting.notice({"Inbox/back.md": OLD, "Inbox/came.md": None, "Inbox/other.md": OLD}, 100, is_going=False)
    waiting.notice({"Inbox/back.md": NEW, "Inbox/came.md": NEW, "Inbox/other.md": NEW}, 101, is_going=False)
    assert waiting.take({"Inbox/back.md": OLD, "Inbox/other.md": NEWER}, 131) == ["Inbox/other.md"]


SEEN: Changed = {"Inbox/own.md": OLD, "Inbox/Theirs.md": OLD}


def test_run_that_does_not_tell_what_it_wrote_wrote_everything() -> None:
    """And what was gathered before it began stays."""
    waiting = gathering()
    waiting.notice({"Inbox/before.md": None}, 100, is_going=False)
    waiting.notice(SEEN, 110, is_going=True)
    assert waiting.due_at == 130
    waiting.acquit(None, 120)
    assert waiting.due_at == 130
    assert waiting.take({"Inbox/before.md": NEW, "Inbox/own.md": NEW}, 130) == ["Inbox/before.md"]


@pytest.mark.parametrize(
    ("own", "others"),
    [
        (["Inbox/own.md"], ["Inbox/Theirs.md"]),
        (["inbox/OWN.md", "INBOX/theirs.md"], []),  # on a disk that does not tell case
        ([], ["Inbox/Theirs.md", "Inbox/own.md"]),
    ],
)
def test_what_a_run_surely_did_not_write_counts_from_its_end(own: list[str], others: list[str]) -> None:
    """It rests from then on, as far as we know."""
    waiting = gathering()
    waiting.notice(SEEN, 110, is_going=True)
    assert waiting.due_at is None
    waiting.acquit(own, 200)
    assert waiting.due_at == (230 if others else None)
    assert waiting.take({}, 230) == others


def test_acquitted_once_is_acquitted_for_good() -> None:
    """The next run's end does not bring up the last one's writes."""
    waiting = gathering()
    waiting.notice(SEEN, 110, is_going=True)
    waiting.acquit(None, 120)
    waiting.acquit([], 200)
    assert waiting.due_at is None


def test_more_than_one_run_can_take_is_the_next_batch() -> None:
    """No path is lost, and none is told twice."""
    waiting = gathering()
    paths = [f"Inbox/{number:05}.md" for number in range(LARGEST_BATCH + 5)]
    waiting.notice(dict.fromkeys(paths), 100, is_going=False)
    now = dict.fromkeys(paths, NEW)
    assert waiting.take(now, 130) == paths[:LARGEST_BATCH]
    assert waiting.due_at == 160
    assert waiting.take(now, 160) == paths[LARGEST_BATCH:]
    assert waiting.due_at is None
