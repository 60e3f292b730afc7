from __future__ import annotations

import runpy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_scheduler.errors import NoteRefused
from vault_scheduler.notes.headings import outline
from vault_scheduler.notes.note import Value, editable, set_keys
from vault_scheduler.notes.places import Places, places_of, rewrite
from vault_scheduler.notes.runs_section import Inserted, RunEntry, put_runs
from vault_scheduler.run import Outcome

HERE = Path(__file__)
NOTES: dict[str, tuple[bytes, str]] = runpy.run_path(str(HERE.with_name("nasty_notes.py")))["NOTES"]
FRONT = (
    '---\ntype: command\nlast_run: 2026-11-19T07:00:00\nlast_status: success\nnext_run: "2026-11-20T07:00:00"\n---\n'
)
OUTCOMES = [Outcome.SUCCESS, Outcome.FAILURE, Outcome.ABANDONED]
FRAGMENTS = [
    "text", "", "## Runs", "# Title", "## Next", "### Deeper", "- item", "  - deeper", "1. one", "> quote", ">",
    "```", "~~~", "    code", "%%", "a %% b", "$$", "<!-- x", "-->", "<div>", "</div>", "---", "===", "\ttab", "- ",
    "Runs", "  ## Runs", "## Runs ##", "- ## Runs", "`%%`", "<<<<<<< HEAD", "=======", ">>>>>>> other", "caf\xe9",
    "- 2026-11-03 07:00 ✅ 41 s ^r-20261103T060000Z-3f9a1c",
    "> [!failure]- 2026-11-01 07:00 · 41 s\n> ```text\n> out\n> ```\n>\n> ^r-20261101T060000Z-3f9a1c",
]  # fmt: skip


def run(day: int, text: str = "", outcome: Outcome = Outcome.SUCCESS) -> RunEntry:
    return RunEntry(
        id=f"r-202611{day:02d}T060000Z-3f9a1c",
        when=f"2026-11-{day:02d} 07:00",
        outcome=outcome,
        facts=("41 s",),
        text=text,
    )


def keys(day: int, outcome: Outcome = Outcome.SUCCESS) -> dict[str, Value]:
    return {
        "last_run": f"2026-11-{day:02d}T07:00:00",
        "last_status": outcome.value,
        "next_run": f"2026-11-{day + 1:02d}T07:00:00",
    }


def read_whole(data: bytes, changes: Mapping[str, Value], entry: RunEntry, keep: int = 20) -> Inserted:
    """The write as it is where nothing is known of the note."""
    return put_runs(editable(set_keys(data, changes)), [entry], keep)


def known(note: str) -> tuple[bytes, Places]:
    """A note with a run in it, and its places."""
    data = read_whole(note.encode(), keys(18), run(18)).data
    found = places_of(data, keys(18))
    assert found is not None
    return data, found


def test_a_lone_carriage_return_stays() -> None:
    """A heading that ends with one is read whole each time: it belongs to the line, and to nobody's line end."""
    note = FRONT.replace("\n", "\r\n").encode() + b"Text.\r\n## Runs\r"
    data = read_whole(note, keys(18), run(18)).data
    assert b"## Runs\r\r\n" in data
    assert places_of(data, keys(18)) is None


@pytest.mark.parametrize("name", NOTES)
def test_a_known_note_is_written_as_one_that_is_read_whole(name: str) -> None:
    """Write after write, in the same bytes, and what is remembered of it is what reading it whole would tell."""
    try:
        data = read_whole(NOTES[name][0], keys(5), run(5)).data
    except NoteRefused:
        return
    found = places_of(data, keys(5))
    for day, outcome in enumerate(OUTCOMES, start=6):
        if found is None:
            return
        entry = run(day, "out", outcome)
        expected = read_whole(data, keys(day, outcome), entry, keep=3)
        fast = rewrite(data, found, keys(day, outcome), [entry], 3)
        if fast is None:  # its values are written in a way of their own
            return
        assert fast.inserted == expected
        assert fast.places == places_of(expected.data, keys(day, outcome))
        data, found = fast.inserted.data, fast.places


def test_an_ordinary_note_is_known() -> None:
    """With either line end, with a BOM, with quotes, with text above and below the runs."""
    for note in (FRONT, "\ufeff" + FRONT + "Text.\n", FRONT + "- item\n\n## Runs\n\n## More\n\nüber 100 %\n"):
        for text in (note, note.replace("\n", "\r\n")):
            data, found = known(text)
            fast = rewrite(data, found, keys(19, Outcome.FAILURE), [run(19, "out", Outcome.FAILURE)], 20)
            assert fast is not None
            assert fast.inserted == read_whole(data, keys(19, Outcome.FAILURE), run(19, "out", Outcome.FAILURE))


BODIES = st.lists(st.sampled_from(FRAGMENTS), max_size=8)


@given(BODIES, BODIES, BODIES, st.sampled_from(["\n", "\r\n"]), st.sampled_from(OUTCOMES), st.integers(0, 3))
@settings(deadline=None, max_examples=500)
def test_whatever_stands_around_the_runs_reads_as_if_all_of_it_were_read(
    above: list[str], below: list[str], output: list[str], eol: str, outcome: Outcome, keep: int
) -> None:
    """For any text above and below the section, and any output: the same bytes, and the same places."""
    body = "\n".join([*above, "", "## Runs", *below]) + "\n"
    try:
        data = read_whole((FRONT + body).replace("\n", eol).encode(), keys(18), run(18)).data
    except NoteRefused:
        return
    found = places_of(data, keys(18))
    entry = run(19, "\n".join(output), outcome)
    fast = rewrite(data, found, keys(19, outcome), [entry], keep) if found else None
    if fast is None:
        return
    expected = read_whole(data, keys(19, outcome), entry, keep)
    assert fast.inserted == expected
    again = places_of(expected.data, keys(19, outcome))
    assert again is None or fast.places == again


@given(BODIES, BODIES, BODIES)
@settings(deadline=None, max_examples=500)
def test_text_above_a_known_section_reads_the_same_whatever_stands_in_it(
    above: list[str], before: list[str], after: list[str]
) -> None:
    """What `## Runs` is, is settled by what is above it: also by texts that no write of ours would put there."""
    head = FRONT + "\n".join([*above, ""])
    found = places_of(f"{head}## Runs\n{chr(10).join(before)}\n".encode(), keys(18))
    other = f"{head}## Runs\n{chr(10).join(after)}\n".encode()
    if found is None or found.runs != len(head.encode()) or b"<<<<<<< " in other:
        return
    text = editable(other).body_text
    whole = outline(editable(other).body)
    cut = outline(other[found.runs :])
    shift = len(text.encode()) - len(other[found.runs :])
    assert [h for h in whole.headings if h.start >= shift] == [
        replace(h, start=h.start + shift, end=h.end + shift) for h in cut.headings
    ]
    assert {at for at in whole.outer if at >= shift} == {at + shift for at in cut.outer}


@pytest.mark.parametrize(
    ("front", "changes"),
    [
        ("last_run: 2026-11-19T07:00:00 # mine\n", {"last_run": "2026-11-20T07:00:00"}),
        ("last_run:\n  2026-11-19T07:00:00\n", {"last_run": "2026-11-20T07:00:00"}),
        ("last_run: &a 2026-11-19T07:00:00\n", {"last_run": "2026-11-20T07:00:00"}),
        ("{last_run: 2026-11-19T07:00:00}\n", {"last_run": "2026-11-20T07:00:00"}),
        ("last_run: yesterday\n", {"last_run": "2026-11-20T07:00:00"}),
        ("last_status: true\n", {"last_status": "success"}),
        ("last_status: success\n", {"last_status": "true"}),
        ("last_status: success\n", {"last_status": None}),
        ("last_status:\n", {"last_status": "success"}),
        ("type: command\n", {"last_status": "success"}),
        ("run_now: true\n", {"run_now": False}),
        ("question: Which?\n", {"question": None}),
    ],
)
def test_a_value_of_another_shape_has_the_note_read_whole(front: str, changes: dict[str, Value]) -> None:
    """Only a date, or a word, in the place of one is known to change nothing else."""
    data = f"---\n{front}---\n## Runs\n- 2026-11-18 07:00 ✅ 41 s ^r-20261118T060000Z-3f9a1c\n".encode()
    found = places_of(data, changes)
    assert found is None or rewrite(data, found, changes, [run(19)], 20) is None


@pytest.mark.parametrize(
    "body",
    [
        "a %% b\n\n## Runs\n",
        "a $$ b\n\n## Runs\n",
        "text <!-- x\n\n## Runs\n",
        "<<<<<<< HEAD\n\n## Runs\n",
        "Runs\n----\n",
        " ## Runs\n",
        "## Runs",
        "Text.\n",
    ],
)
def test_a_note_whose_text_hangs_on_what_is_below_is_read_whole(body: str) -> None:
    """A comment that a run's output could close, a conflict that it could complete, a heading of another kind."""
    assert places_of((FRONT + body).encode(), keys(18)) is None
