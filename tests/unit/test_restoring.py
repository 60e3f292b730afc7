"""What a restored note is: what it said, with the runs of now, and never more active than now."""

from __future__ import annotations

import pytest

from vault_scheduler.notes.note import Document
from vault_scheduler.notes.restoring import restored

GOOD = b'---\ntype: command\ncron: "0 7 * * *" # mornings\nstatus: active\n---\nSay it.\n'
RUNS = b"## Runs\n- 2026-11-19 07:00 \xe2\x9c\x85 38 s ^r-20261119T060000Z-81c2aa\n\nMy remark.\n"


@pytest.mark.parametrize("now", [b"", b"gone\n", b"---\ncron: [\n---\nx\n", b"\xff\xfe", b"---\nunclosed\n"])
def test_a_destroyed_note_is_what_it_was(now: bytes) -> None:
    """To the byte."""
    assert restored(GOOD, now) == GOOD


def test_runs_and_what_follows_them_stay() -> None:
    """What was written since is not taken back."""
    now = b"broken\n\n" + RUNS
    assert restored(GOOD, now) == GOOD + b"\n" + RUNS
    assert restored(GOOD + b"\n## Runs\nold\n", now) == GOOD + b"\n" + RUNS


def test_kept_runs_come_back_where_none_are_left() -> None:
    """Better old ones than none."""
    kept = GOOD + b"\n" + RUNS
    assert restored(kept, b"nothing left") == kept


def test_line_ends_of_the_kept_note_are_used() -> None:
    """A note from Windows stays one."""
    kept = GOOD.replace(b"\n", b"\r\n")
    assert restored(kept, RUNS) == kept + b"\r\n" + RUNS


@pytest.mark.parametrize("status", ["paused", "stopped", "done"])
def test_restoring_sets_nothing_going(status: str) -> None:
    """A person may have paused the broken note."""
    now = GOOD.replace(b"active", status.encode()).replace(b"Say", b"Shout")
    assert Document.parse(restored(GOOD, now)).mapping["status"] == status
    assert b"Say it." in restored(GOOD, now)


def test_restoring_does_not_run_a_task() -> None:
    """A checkbox that was ticked when the text was kept is not ticked again."""
    kept = GOOD.replace(b"status", b"run_now: true\nstatus")
    assert Document.parse(restored(kept, b"")).mapping["run_now"] is False


def test_restoring_answers_nothing() -> None:
    """An answer of long ago must not be said to what is asked today."""
    kept = GOOD.replace(b"status: active", b"status: active\nanswer: yes, delete it")
    assert restored(kept, b"broken") == GOOD.replace(b"status: active", b"status: active\nanswer:")


def test_runs_that_would_change_what_the_note_says_are_left_out() -> None:
    """An unclosed fence above the runs would swallow them."""
    kept = GOOD + b"```sh\necho\n"
    assert restored(kept, RUNS) == kept
