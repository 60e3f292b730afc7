"""Where an output goes, and how it gets there once."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from vault_scheduler.telling.output_note import Place, append_below, is_ours, place_of, sibling

LOCAL = datetime(2026, 11, 2, 7, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("output", "place"),
    [
        ("Note.md", Place(path="Note.md")),
        ("Briefings/{{date}}.md", Place(path="Briefings/2026-11-02.md")),
        ("{{ date }} {{time}}.md", Place(path="2026-11-02 07-05.md")),
        ("{{title}}/{{date:YYYY/MM MMMM}}.md", Place(path="weekly/2026/11 November.md")),
        ("{{date:GGGG-[W]WW}}.md#Log", Place(path="2026-W45.md", heading="Log")),
        ("Note.md#Log of {{date:dddd}}", Place(path="Note.md", heading="Log of Monday")),
    ],
)
def test_fields_are_filled_with_the_local_fire_time(output: str, place: Place) -> None:
    """`{{date}}`, `{{date:FORMAT}}`, `{{time}}`, `{{title}}`, in the path and in the heading."""
    assert place_of(output, local=LOCAL, title="weekly") == place


def test_an_unknown_token_is_refused() -> None:
    """Better no file than one with a wrong name."""
    with pytest.raises(ValueError, match="`ww`"):
        place_of("{{date:ww}}.md", local=LOCAL, title="x")


def test_only_what_we_wrote_is_ours() -> None:
    """Or nothing at all."""
    ours = hashlib.sha256(b"text\n").hexdigest()
    assert is_ours(b"text\n", ours)
    assert is_ours(b" \n", "")
    assert not is_ours(b"text, edited\n", ours)
    assert not is_ours(b"text\n", "")


def test_a_sibling_stands_beside_with_the_time_in_its_name() -> None:
    """One per run, so that a delivery after a crash finds it again."""
    fire_time = datetime(2026, 11, 2, 6, 5, tzinfo=UTC)
    assert sibling("A/Note.md", fire_time, "r-20261102T060500Z-3f9a1c") == "A/Note 2026-11-02 0605 3f9a1c.md"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b"## Log\n\ntext\n\n^r-1\n"),
        (b"# A\n", b"# A\n\n## Log\n\ntext\n\n^r-1\n"),
        (b"# A", b"# A\n\n## Log\n\ntext\n\n^r-1\n"),
        (b"# A\n## Log\n", b"# A\n## Log\n\ntext\n\n^r-1\n"),
        (b"## Log\nold\n\n\n## B\nstays", b"## Log\nold\n\n\ntext\n\n^r-1\n\n## B\nstays"),
        (b"```\n## Log\n```\n", b"```\n## Log\n```\n\n## Log\n\ntext\n\n^r-1\n"),  # no heading, but code
        (b"## Log\r\nold\r\n", b"## Log\r\nold\r\n\r\ntext\r\n\r\n^r-1\r\n"),
    ],
)
def test_a_heading_grows_at_its_end(data: bytes, expected: bytes) -> None:
    """The section is made if it is missing; a run is put there once."""
    assert append_below(data, "Log", "text\n", "r-1") == expected
    assert append_below(expected, "Log", "text\n", "r-1") == expected


@pytest.mark.parametrize(
    "there", [b"See [[Log#^r-1]].\n", b"text ^r-1a\n", b"^r-1-2\n"], ids=["a link", "a longer id", "another run"]
)
def test_what_only_looks_like_the_runs_mark_keeps_no_result_out(there: bytes) -> None:
    """A mark stands at the end of a line; a link to it, and the mark of another run, are something else."""
    assert append_below(there, "Log", "result", "r-1").endswith(b"result\n\n^r-1\n")


@pytest.mark.parametrize("there", [b"mine ^r-1\n", b"^r-1  \r\n", b"^r-1"])
def test_a_mark_that_was_moved_is_the_mark(there: bytes) -> None:
    """Who joins it to the line before has the result in the note all the same."""
    assert append_below(there, "Log", "result", "r-1") == there
