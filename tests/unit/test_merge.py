"""Three-way merge of lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_scheduler.text.merge import has_additions, holds_text, merge

# Each case: base, one, other, merged (None: it would have to guess).
CASES = {
    "nothing changed": (b"a\nb\n", b"a\nb\n", b"a\nb\n", b"a\nb\n"),
    "only one changed": (b"a\nb\n", b"a\nB\n", b"a\nb\n", b"a\nB\n"),
    "only the other changed": (b"a\nb\n", b"a\nb\n", b"A\nb\n", b"A\nb\n"),
    "both made the same change": (b"a\n", b"x\n", b"x\n", b"x\n"),
    "different lines": (b"a\nb\nc\n", b"A\nb\nc\n", b"a\nb\nC\n", b"A\nb\nC\n"),
    "both appended": (b"a\n", b"a\none\n", b"a\nother\n", b"a\nother\none\n"),
    "both appended to a last line without an end": (b"a", b"a\none", b"a\nother", b"a\nother\none"),
    "the other holds what one appended": (b"a\n", b"a\n1\n", b"a\n1\n2\n", b"a\n1\n2\n"),
    "one holds what the other appended": (b"a\n", b"a\n1\n2\n", b"a\n1\n", b"a\n1\n2\n"),
    "same line changed differently": (b"a\nb\nc\n", b"a\n1\nc\n", b"a\n2\nc\n", None),
    "one removed what the other changed: text beats its removal": (b"a\nb\nc\n", b"a\nc\n", b"a\nB\nc\n", b"a\nB\nc\n"),
    "insertion inside a removed block": (b"a\nb\nc\nd\n", b"a\nb\nx\nc\nd\n", b"a\nd\n", None),
    "line ends are kept": (b"a\r\nb\r\n", b"a\r\nb\r\n1\r\n", b"A\r\nb\r\n", b"A\r\nb\r\n1\r\n"),
    "items that both have are one: in lines that one replaced": (
        b"- a ^r-1\nt\n",
        b"- a ^r-1\n- b ^r-2\n- c ^r-3\nu\n",
        b"- a ^r-1\nt\n- b ^r-2\n- c ^r-3\n- d ^r-4\n",
        b"- a ^r-1\nu\n- b ^r-2\n- c ^r-3\n- d ^r-4\n",
    ),
    "items that both have are one: among other lines at the same place": (
        b"- a ^r-1\n",
        b"- a ^r-1\n- b ^r-2\ntyped\n",
        b"- a ^r-1\n- b ^r-2\n- c ^r-3\n",
        b"- a ^r-1\n- b ^r-2\n- c ^r-3\ntyped\n",
    ),
    "other separators are no line ends": (b"a\x85b\nc", b"a\x85b\nC", b"a\x85b\nc\nd", b"a\x85b\nC\nd"),
}


@pytest.mark.parametrize(("base", "one", "other", "expected"), CASES.values(), ids=CASES)
def test_merges_what_can_be_merged_without_guessing(
    base: bytes, one: bytes, other: bytes, expected: bytes | None
) -> None:
    """Changes to different lines are joined, contradictions are refused."""
    assert merge(base, one, other) == expected


LINES = st.lists(st.sampled_from([b"", b"a", b"b", b"c"]), max_size=8)


@settings(max_examples=150)
@given(LINES, LINES, st.lists(st.integers(0, 8), max_size=3))
def test_loses_no_inserted_line(base: list[bytes], other: list[bytes], places: list[int]) -> None:
    """Lines that one writer inserted stand in every merge, and the same merge again changes nothing."""
    one = list(base)
    for number, place in enumerate(places):
        one.insert(place, b"new-%d" % number)
    texts = [b"\n".join(lines) for lines in (base, one, other)]
    merged = merge(*texts)
    if merged is not None:
        for number in range(len(places)):
            assert b"new-%d" % number in merged.split(b"\n")


def test_compares_large_notes_quickly() -> None:
    """A note of 20,000 lines, half of them blank, with changes at both ends takes no noticeable time."""
    base = b"\n".join(b"" if i % 2 else b"line %d" % i for i in range(20_000))
    one, other = b"first\n" + base + b"\nlast", base.replace(b"line 9000\n", b"changed\n")
    assert merge(base, one, other) == b"first\n" + other + b"\nlast"


@pytest.mark.parametrize(
    ("whole", "part", "expected"),
    [
        (b"a\nb\nc\n", b"a\nc\n", True),
        (b"a\nb\nc\n", b"a\nb\nc\n", True),
        (b"a\nb\nc\n", b"", True),
        (b"a\nbcd\n", b"a\nbc", True),  # cut short in the middle of a write
        (b"a\nb\n", b"b\na\n", False),
        (b"a\nb\n", b"a\nx\n", False),
        (b"a\nb\n", b"a\nx", False),
        (b"a\n", b"a\na\n", False),
    ],
)
def test_tells_whether_a_text_has_all_lines_of_another(whole: bytes, part: bytes, expected: bool) -> None:
    """In order, each as often as it stands there."""
    assert holds_text(whole, part) is expected


# Each case: base, one, other, whether all that one added is in other.
ADDITIONS = {
    "it is there": (b"a\n", b"a\nnew\n", b"x\na\nnew\nmore\n", True),
    "it was moved": (b"a\n", b"a\nnew\n", b"new\na\n", True),
    "it was typed on": (b"a\n", b"a\nHe\n", b"a\nHello\n", True),
    "it is gone": (b"a\n", b"a\nnew\n", b"a\nother\n", False),
    "one of two is gone": (b"a\n", b"a\nnew\nlast\n", b"a\nnew\n", False),
    "an equal line does not stand for it": (b"a\nb\n", b"a\nb\na\n", b"a\nb\n", False),
    "nothing was added": (b"a\nb\n", b"a\n", b"a\nb\n", False),
}


@pytest.mark.parametrize(("base", "one", "other", "expected"), ADDITIONS.values(), ids=ADDITIONS)
def test_tells_whether_additions_are_there(base: bytes, one: bytes, other: bytes, expected: bool) -> None:
    """Wherever they stand; a merge would lay them over the text a second time."""
    assert has_additions(base, one, other) is expected
