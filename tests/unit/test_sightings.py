"""Which reads of a note are believed (rule 3.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.vault.sightings import Believed, LookAgain, Sightings, has_frontmatter

TASK = b"---\ntype: command\n---\nbody\n"
EDITED = b"---\ntype: command\nstatus: paused\n---\nbody\n"

# Each case: reads as (seconds, bytes or None), whether the note was a task, and the answer to the last read.
CASES = {
    "two equal reads 250 ms apart": ([(10.0, TASK), (10.25, TASK)], True, Believed(TASK, 10.0)),
    "two equal reads too close together": ([(10.0, TASK), (10.2, TASK)], True, LookAgain(10.25)),
    "a first read": ([(10.0, TASK)], False, LookAgain(10.25)),
    "reads that differ start anew": ([(10.0, TASK), (10.3, EDITED)], True, LookAgain(10.55)),
    "equal reads with another in between": ([(10.0, TASK), (10.1, EDITED), (10.3, TASK)], True, LookAgain(10.55)),
    "a former task that is empty waits 2 s": ([(10.0, b""), (10.3, b"")], True, LookAgain(12.0)),
    "a former task that stays empty": ([(10.0, b""), (12.0, b"")], True, Believed(b"", 10.0)),
    "a former task cut inside its frontmatter": ([(10.0, TASK[:12]), (10.3, TASK[:12])], True, LookAgain(12.0)),
    "a note that never was a task may be empty": ([(10.0, b""), (10.25, b"")], False, Believed(b"", 10.0)),
    "a save: empty, then full": ([(10.0, b""), (10.1, EDITED), (10.35, EDITED)], True, Believed(EDITED, 10.1)),
    "a note that is gone": ([(10.0, None), (10.25, None)], True, Believed(None, 10.0)),
    "gone and back, as git checkout does": ([(10.0, None), (10.1, TASK)], True, LookAgain(10.35)),
    "a clock that went back starts anew": ([(10.0, TASK), (9.0, TASK)], True, LookAgain(9.25)),
}


@pytest.mark.parametrize(("reads", "was_task", "expected"), CASES.values(), ids=CASES)
def test_believes_only_reads_that_agree_for_long_enough(
    reads: list[tuple[float, bytes | None]], was_task: bool, expected: Believed | LookAgain
) -> None:
    """The last read is believed, or is to be repeated at the given time."""
    sightings = Sightings()
    answers = [sightings.see("a.md", data, at, was_task) for at, data in reads]
    assert answers[-1] == expected
    assert not any(isinstance(answer, Believed) for answer in answers[:-1])


def test_believes_a_settled_note_at_once() -> None:
    """One read is enough for a note that nobody has touched for seconds."""
    assert Sightings().see("a.md", TASK, 10.0, False, settled=True) == Believed(TASK, 10.0)


@pytest.mark.parametrize("data", [b"", b"no fence", None], ids=["empty", "fence-less", "gone"])
def test_does_not_believe_a_loss_at_once_even_if_settled(data: bytes | None) -> None:
    """A former task that lost its frontmatter or its file is looked at again, however old its mtime."""
    assert isinstance(Sightings().see("a.md", data, 10.0, True, settled=True), LookAgain)


def test_keeps_notes_apart() -> None:
    """A read of one note says nothing about another one."""
    sightings = Sightings()
    sightings.see("a.md", TASK, 10.0, True)
    assert sightings.see("b.md", TASK, 10.3, True) == LookAgain(10.55)


def test_starts_anew_after_a_read_was_believed_or_forgotten() -> None:
    """What was believed once does not vouch for a later read."""
    sightings = Sightings()
    sightings.see("a.md", TASK, 10.0, True)
    sightings.see("a.md", TASK, 10.3, True)
    assert isinstance(sightings.see("a.md", TASK, 10.4, True), LookAgain)
    sightings.forget("a.md")
    assert sightings.see("a.md", TASK, 10.7, True) == LookAgain(10.95)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (TASK, True),
        (b"\xef\xbb\xbf---\r\ntype: x\r\n---\r\n", True),  # BOM and CRLF
        (b"---\n---\n", True),  # empty frontmatter is still fenced
        (b"---\ntype: x\n", False),  # unclosed
        (b"", False),
        (b"text\n---\na: b\n---\n", False),  # a rule in the body is no fence
    ],
)
def test_tells_frontmatter_from_none(data: bytes, expected: bool) -> None:
    """A fence at the very start and a closing one."""
    assert has_frontmatter(data) is expected


@given(st.lists(st.tuples(st.sampled_from([b"", TASK, EDITED, None]), st.floats(0.01, 1.0)), max_size=30))
def test_never_believes_what_was_not_seen_twice(reads: list[tuple[bytes | None, float]]) -> None:
    """Whatever is believed was read before, unchanged, and a loss of frontmatter at least 2 s before."""
    sightings, now, since, last = Sightings(), 100.0, 100.0, object()
    for data, step in reads:
        now += step
        if data != last:
            since, last = now, data
        if isinstance(sightings.see("a.md", data, now, True), Believed):
            assert now - since >= (2.0 if data == b"" else 0.25)
            last = object()
