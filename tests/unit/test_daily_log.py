"""Lines of the daily log: once each, and nothing else changes."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.telling.daily_log import block_ids, file_name, new_file, put_below, put_lines

DAY = date(2026, 11, 22)


def line(block: str, text: str = "07:00 ✅ [[a]]") -> dict[str, str]:
    return {block: f"- {text} ^{block}"}


def test_files_are_named_after_the_day() -> None:
    """The host where another machine owns the vault; a part when the day is too long for one note."""
    assert file_name(DAY) == "2026-11-22.md"
    assert file_name(DAY, "laptop") == "2026-11-22-laptop.md"
    assert file_name(DAY, "../a b") == "2026-11-22-..-a-b.md"
    assert file_name(DAY, "", 2) == "2026-11-22-part2.md"


def test_a_new_log_names_the_day_in_words() -> None:
    """The file's name, which Obsidian shows as a title, has the date already."""
    assert new_file(DAY) == b"# Sunday, 22 November 2026\n\n"


def test_a_line_is_added_once_and_replaced_in_place() -> None:
    """A range that grows, or a delivery after a crash, changes its own line."""
    data = put_lines(new_file(DAY), {**line("r-1"), **line("r-2")})
    assert put_lines(data, line("r-1")) == data
    assert put_lines(data, line("r-1", "08:00 ⏭ [[a]] · missed 3 ×")) == data.replace(
        "- 07:00 ✅ [[a]] ^r-1".encode(), "- 08:00 ⏭ [[a]] · missed 3 × ^r-1".encode()
    )
    assert block_ids(data) == {"r-1", "r-2"}


def test_what_people_write_into_the_log_stays() -> None:
    """CRLF is kept, a missing final newline is not ours to add unless something follows."""
    mine = b"# My day\r\n- mine ^x-1\r\nlast"
    assert put_lines(mine, {}) == mine
    assert put_lines(mine, line("r-1")) == mine + "\r\n- 07:00 ✅ [[a]] ^r-1\r\n".encode()
    assert put_lines(b"- old ^r-1", line("r-1")) == "- 07:00 ✅ [[a]] ^r-1".encode()


BLOCKS = st.lists(st.sampled_from(["r-1", "r-2", "r-3", "p-1"]), unique=True)


@given(st.binary(max_size=60), BLOCKS, BLOCKS)
def test_putting_twice_changes_nothing(data: bytes, first: list[str], second: list[str]) -> None:
    """Whatever stands in the file, every line is there exactly once, and the rest byte for byte."""
    lines = {block: text for block in [*first, *second] for text in line(block).values()}
    once = put_lines(put_lines(data, {b: lines[b] for b in first}), {b: lines[b] for b in second})
    assert put_lines(once, lines) == once
    assert set(lines) <= block_ids(once)
    assert once.startswith(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b"## Log\n\nX\n"),
        (b"# Day\ntext", b"# Day\ntext\n\n## Log\n\nX\n"),
        (b"# Day\n\n\n", b"# Day\n\n\n## Log\n\nX\n"),
        (b"## Log", b"## Log\n\nX\n"),
        (b"## Log\n\n\n", b"## Log\n\nX\n\n\n"),
        (b"## Log\n## Next\n", b"## Log\n\nX\n\n## Next\n"),
        (b"## Log\n\n## Next\n", b"## Log\n\nX\n\n## Next\n"),
        (b"## Log\n- a\n- b\n\n## Next\n", b"## Log\n- a\n- b\nX\n\n## Next\n"),
        (b"## Log\n- a\nNext\n---\n", b"## Log\n- a\nNext\n---\n\nX\n"),  # the list goes on: no heading
        (b"## Log\ntext  \n\n### Part\ny\n# B", b"## Log\ntext  \n\nX\n\n### Part\ny\n# B"),
        (b"a\r\n## Log\r\n\r\n## B\r\n", b"a\r\n## Log\r\n\r\nX\r\n\r\n## B\r\n"),
        (b"Log\n---\nold", b"Log\n---\nold\n\nX\n"),
        (b"---\ntags: a\n---\n## Log\n```\n- no\n```", b"---\ntags: a\n---\n## Log\n```\n- no\n```\n\nX\n"),
    ],
)
def test_lines_go_directly_below_a_heading(data: bytes, expected: bytes) -> None:
    """Behind what stands there, before the next heading of any level; added at the end where it is missing."""
    new = b"- 07:00 a ^r-1"
    assert put_below(data, "Log", {"r-1": new.decode()}) == expected.replace(b"X", new)


PIECES = st.lists(
    st.sampled_from(
        ["## Log", "# B", "### C", "- a", "  - b", "text", "", " ", "> q", "| t |", "1. x", "---", "  end  "]
    ),
    max_size=12,
)


@given(PIECES, st.booleans(), BLOCKS, BLOCKS)
def test_lines_below_a_heading_stand_once_and_all_else_stays(
    pieces: list[str], windows: bool, first: list[str], second: list[str]
) -> None:
    """Whatever a person wrote there: nothing of it is changed, and what is put twice stands once."""
    eol = "\r\n" if windows else "\n"
    data = eol.join(pieces).encode()
    lines = {block: text for block in [*first, *second] for text in line(block).values()}
    once = put_below(put_below(data, "Log", {b: lines[b] for b in first}), "Log", {b: lines[b] for b in second})
    assert put_below(once, "Log", lines) == once
    assert set(lines) <= block_ids(once)
    kept = [
        each for each in once.decode().replace("\r\n", "\n").split("\n") if each.strip() and each not in lines.values()
    ]
    wanted = [each for each in pieces if each.strip()]
    assert kept in (wanted, [*wanted, "## Log"])
