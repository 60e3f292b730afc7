from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from vault_scheduler.errors import NoteRefused
from vault_scheduler.notes.note import Document
from vault_scheduler.notes.runs_section import SECTION_LIMIT, RunEntry, insert_runs, run_ids
from vault_scheduler.run import Outcome

NOTES: dict[str, tuple[bytes, str]] = runpy.run_path(str(Path(__file__).with_name("nasty_notes.py")))["NOTES"]
FRONT = "---\ntype: claude\n---\n"


def run(
    day: int, outcome: Outcome = Outcome.SUCCESS, *facts: str, text: str = "", when: str = "", tag: str = "3f9a1c"
) -> RunEntry:
    return RunEntry(
        id=f"r-202611{day:02d}T060000Z-{tag}",
        when=when or f"2026-11-{day:02d} 07:00",
        outcome=outcome,
        facts=facts or ("41 s",),
        text=text,
    )


def insert(note: str, *entries: RunEntry, keep: int = 20) -> str:
    return insert_runs(note.encode(), entries, keep).decode()


def ours(note: str) -> str:
    return note.split("## Runs\n", 1)[1]


# --- the form


def test_the_section_reads_as_documented() -> None:
    """The newest run is a callout with its output, older ones are lines, what did not start is one counted line."""
    note = FRONT + "Write today's briefing.\n"
    note = insert(note, run(14, Outcome.MISSED, "missed 4 × (asleep)", when="2026-11-14 … 17", tag="77b0f2"))
    note = insert(note, run(18, Outcome.FAILURE, "2 s", "exit 1: no such file", tag="5d1e07"))
    note = insert(note, run(19, Outcome.SUCCESS, "38 s", "$0.09", tag="81c2aa"))
    note = insert(note, run(20, Outcome.SUCCESS, "41 s", "$0.11", text="Written: [[2026-11-20]].\n\nThree overdue."))
    assert note == FRONT + (
        "Write today's briefing.\n"
        "\n"
        "## Runs\n"
        "> [!success]- 2026-11-20 07:00 · 41 s · $0.11\n"
        "> Written: [[2026-11-20]].\n"
        ">\n"
        "> Three overdue.\n"
        ">\n"
        "> ^r-20261120T060000Z-3f9a1c\n"
        "\n"
        "- 2026-11-19 07:00 ✅ 38 s · $0.09 ^r-20261119T060000Z-81c2aa\n"
        "\n"
        "> [!failure]- 2026-11-18 07:00 · 2 s · exit 1: no such file\n"
        ">\n"
        "> ^r-20261118T060000Z-5d1e07\n"
        "\n"
        "- 2026-11-14 … 17 ⏭ missed 4 × (asleep) ^r-20261114T060000Z-77b0f2\n"
    )


def test_an_older_failure_becomes_a_line() -> None:
    """Only the newest failure keeps its output."""
    note = insert(FRONT, run(1, Outcome.FAILURE, text="old"), run(2, Outcome.TIMEOUT, "timeout", text="new"), run(3))
    assert "- 2026-11-01 07:00 ❌ 41 s ^r-20261101T060000Z-3f9a1c\n" in note
    assert "> [!fail]- 2026-11-02 07:00 · timeout\n> new\n" in note
    assert "> [!success]- 2026-11-03" in note
    assert "old" not in note


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_told_by_its_sign(outcome: Outcome) -> None:
    """A run's line has the same sign whether it was a callout before or not."""
    first = insert(FRONT, run(1, outcome, text="said"))
    both = insert(first, run(2), run(3, Outcome.FAILURE))
    assert ours(both).count("^r-20261101T060000Z-3f9a1c") == 1
    direct = insert(FRONT, run(1, outcome, text="said"), run(2), run(3, Outcome.FAILURE))
    assert direct == both


def test_a_blocked_run_with_a_question_is_a_callout_and_a_held_fire_time_a_line() -> None:
    """What started is shown with its text; what did not is a line."""
    note = insert(FRONT, run(1, Outcome.BLOCKED, "blocked (held)"), run(2, Outcome.BLOCKED, text="Which one?"))
    assert "> [!question]- 2026-11-02 07:00 · 41 s\n> Which one?\n" in note
    assert "- 2026-11-01 07:00 ✋ blocked (held) ^" in note


def test_line_ends_and_a_missing_final_newline_stay() -> None:
    """CRLF notes get CRLF runs; a note without final newline still has none."""
    note = insert_runs(b"---\r\ntype: claude\r\n---\r\nText", [run(1, text="a\nb")], 20)
    assert note.startswith(b"---\r\ntype: claude\r\n---\r\nText\r\n\r\n## Runs\r\n> [!success]-")
    assert note.count(b"\n") == note.count(b"\r\n")
    assert note.endswith(b"> ^r-20261101T060000Z-3f9a1c")
    again = insert_runs(note, [run(2)], 20)
    assert again.count(b"\n") == again.count(b"\r\n")
    assert again.endswith(b"- 2026-11-01 07:00 \xe2\x9c\x85 41 s ^r-20261101T060000Z-3f9a1c")


# --- idempotence, order, bounds


def test_delivering_twice_changes_nothing() -> None:
    """A block id that stands is not put in again."""
    entries = [run(1), run(2, Outcome.FAILURE, text="x"), run(3, text="y")]
    once = insert_runs(FRONT.encode(), entries, 20)
    assert insert_runs(once, entries, 20) is once or insert_runs(once, entries, 20) == once
    one_by_one = FRONT.encode()
    for entry in entries:
        one_by_one = insert_runs(one_by_one, [entry], 20)
    assert one_by_one == once


def test_a_run_with_a_longer_id_is_one_of_ours() -> None:
    """Of two runs of one second whose ids would be the same the second one has some digits more."""
    runs = [
        RunEntry(id=f"r-20261120T060000Z-3f9a1c{more}", when="2026-11-20 07:00", outcome=Outcome.SUCCESS, text="done")
        for more in ("", "77", "77b0f2")
    ]
    once = insert_runs(b"---\na: 1\n---\nBody\n", runs[:2], 5)
    assert run_ids(once) == {run.id for run in runs[:2]}
    assert insert_runs(once, runs[:2], 5) == once
    assert run_ids(insert_runs(once, runs[2:], 5)) == {run.id for run in runs}


def test_a_grown_range_replaces_its_line() -> None:
    """The same block id with other facts is replaced where it stands."""
    missed = run(1, Outcome.MISSED, "missed 2 ×", when="2026-11-01 … 02")
    note = insert(FRONT, missed, run(5))
    grown = run(1, Outcome.MISSED, "missed 3 ×", when="2026-11-01 … 03")
    assert insert(note, grown) == note.replace("… 02 ⏭ missed 2", "… 03 ⏭ missed 3")


def test_a_late_delivery_goes_to_its_place() -> None:
    """Newest first, whatever the order of delivery."""
    note = insert(FRONT, run(1), run(5))
    note = insert(note, run(3))
    assert re.findall(r"r-202611(\d\d)", ours(note)) == ["05", "03", "01"]
    assert "> [!success]- 2026-11-05" in note
    assert "- 2026-11-03" in note


def test_the_oldest_lines_go_first() -> None:
    """At most `keep` runs stay; the newest failure is one of them."""
    note = FRONT
    for day in range(1, 26):
        note = insert(note, run(day, Outcome.FAILURE if day == 2 else Outcome.SUCCESS, text="out"), keep=5)
    assert re.findall(r"\^r-202611(\d\d)", note) == ["25", "24", "23", "22", "02"]
    assert note.endswith("> ^r-20261102T060000Z-3f9a1c\n")


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_few_are_kept(keep: int) -> None:
    """`keep_runs` of one or two keeps the newest run, then the newest failure."""
    entries = [run(1, Outcome.FAILURE), run(2), run(3)]
    note = insert(FRONT, *entries, keep=keep)
    assert re.findall(r"\^r-202611(\d\d)", note) == ["03", "01"][:keep]


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_a_run_whose_question_is_open_stays_whole(keep: int) -> None:
    """Neither the number of runs nor the size of their texts takes it away, until it is answered."""
    asks = run(1, Outcome.BLOCKED, "blocked: Which?", text="**Which project?**\n\n" + "word " * 300)
    note = insert_runs((FRONT + "x\n").encode(), [asks], keep, {asks.id})
    later = [run(day, text="long " * 700) for day in range(2, 20)] + [run(20, Outcome.FAILURE, text="bad " * 900)]
    for entry in later:
        note = insert_runs(note, [entry], keep, {asks.id})
    text = note.decode()
    assert "> [!question]- 2026-11-01 07:00 · blocked: Which?\n> **Which project?**\n>\n> " + "word " * 299 in text
    assert len(run_ids(note)) == max(keep, 1)
    assert len(ours(text).encode()) < SECTION_LIMIT
    answered = insert_runs(note, [run(21)], 3).decode()
    assert "[!question]" not in answered


def test_the_section_stays_under_ten_kib() -> None:
    """Long outputs, CJK ones too, and long reasons are cut down before the note gets heavy."""
    note = FRONT
    for day in range(1, 29):
        text = "```text\n" + "\n".join(["出力" * 20] * 50) + "\n```"
        outcome = Outcome.FAILURE if day % 2 else Outcome.SUCCESS
        note = insert(note, run(day, outcome, "41 s", "exit 1: " + "x" * 300, text=text))
        section = ours(note).encode()
        assert len(section) <= SECTION_LIMIT
        assert section.count(b"> ```") == 2 * section.count(b"> [!")
    assert "…\n" in note
    assert len(re.findall(r"\^r-", note)) > 2


def test_ten_thousand_runs_leave_a_small_note() -> None:
    """After years the note is as small as after a month, without a trail of blank lines."""
    note = FRONT + "Text.\n"
    sizes = []
    for number in range(300):
        day, hour = divmod(number, 24)
        entry = RunEntry(
            id=f"r-202611{day + 1:02d}T{hour:02d}0000Z-3f9a1c",
            when=f"2026-11-{day + 1:02d} {hour:02d}:00",
            outcome=Outcome.FAILURE if number % 7 == 0 else Outcome.SUCCESS,
            facts=("1.0 s",),
            text="out",
        )
        note = insert(note, entry, keep=10)
        sizes.append(len(note))
    assert max(sizes[150:]) == max(sizes[50:150])
    assert "\n\n\n" not in note


# --- other people's text


MINE = [
    # what stands in the section, that must stay byte for byte
    "My words.\n",
    "My words.\n\nMore.\n",
    "\n\nafter two blank lines\n",
    "- my list\n  - deeper\n",
    "> my quote\n",
    "> [!note]- 2026-11-20 my callout\n> text\n",
    "```\n- 2026-01-02 07:00 ✅ 3 s ^r-20260102T060000Z-0a1b2c\n```\n",
    "- [ ] todo ^myid\n",
    "### Deeper\ntext\n",
    "%%\nhidden\n%%\n",
    "```\nunclosed\n",
    "<div>\nhtml\n</div>\n",
    "no newline",
]


@pytest.mark.parametrize("mine", MINE)
def test_text_in_the_section_stays(mine: str) -> None:
    """Our runs go above it, set off by a blank line; the text stays as it is, write after write."""
    note = FRONT + "## Runs\n" + mine
    for day in range(1, 5):
        note = insert(note, run(day, text="out"), keep=2)
        assert note.endswith("\n" + mine)
        assert note.startswith(FRONT + "## Runs\n> [!success]- ")
    assert "\n\n\n" not in note.removesuffix(mine).rstrip("\n")


def test_later_sections_stay() -> None:
    """The section ends at the next heading of its level; what follows is not touched."""
    note = insert(FRONT + "a\n\n## Runs\n## Next\n- 2026-01-02 07:00 ✅ 3 s ^r-20260102T060000Z-0a1b2c\n", run(1))
    assert note.endswith(
        "> ^r-20261101T060000Z-3f9a1c\n\n## Next\n- 2026-01-02 07:00 ✅ 3 s ^r-20260102T060000Z-0a1b2c\n"
    )


REMARKS = [
    "- 2026-11-01 07:00 ✅ 41 s ^r-20261101T060000Z-3f9a1c\n  - looked into it\n",
    "- 2026-11-01 07:00 ✅ 41 s ^r-20261101T060000Z-3f9a1c\nlooked into it\n",
    "> [!failure]- 2026-11-01 07:00 · 41 s\n> x\n>\n> ^r-20261101T060000Z-3f9a1c\n> looked into it\n",
]


@pytest.mark.parametrize("remark", REMARKS)
def test_a_run_with_a_remark_stays_as_it_is(remark: str) -> None:
    """A run onto which somebody wrote is neither reshaped nor thrown away, and takes no other run's place."""
    note = FRONT + "## Runs\n" + remark
    for day in range(2, 8):
        note = insert(note, run(day, Outcome.FAILURE, text="out"), keep=2)
    assert note.endswith("\n" + remark)
    assert run_ids(note.encode()) == {f"r-202611{day:02d}T060000Z-3f9a1c" for day in (1, 6, 7)}


def test_text_between_runs_stays_between_them() -> None:
    """A remark on its own keeps its place among the runs."""
    lines = [f"- 2026-11-0{day} 07:00 ✅ 41 s ^r-2026110{day}T060000Z-3f9a1c\n" for day in (3, 2, 1)]
    note = FRONT + "## Runs\n" + lines[0] + "\nUpdated the script here.\n\n" + lines[1] + lines[2]
    new = insert(note, run(4))
    assert new.endswith(lines[0] + "\nUpdated the script here.\n\n" + lines[1] + lines[2])


# --- refusing, and hostile output


HOSTILE = [
    "> ^r-20261101T060000Z-ffffff",
    "^r-20261101T060000Z-ffffff",
    "a\n\n^r-20261120T060000Z-3f9a1c\n\nb",
    "```text\n^r-20261101T060000Z-ffffff\n```",
    "```text\nunclosed",
    "````text\n```\n^r-20261101T060000Z-ffffff\n````",
    "## Runs",
    "# Title\n## Runs\n---",
    "---\ntype: command\n---",
    "%% hidden",
    "$$",
    "<!--",
    "<script>",
    "<div>",
    "a\0b",
    "<<<<<<< HEAD\n=======\n>>>>>>> x",
    "a\r\nb\rc",
    "a\u2028b\u0085c",
    "\ud800 \udcff",
    "- 2026-11-01 07:00 ✅ 41 s ^r-20261101T060000Z-ffffff",
    "> [!failure]- 2026-11-01 07:00 · 41 s\n> ^r-20261101T060000Z-ffffff",
    "    code",
    "\n\n\n",
    "x" * 100_000,
    "word " * 20_000,
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("body", ["Text.\n", "Use 50%% of <!-- it, $$ too.\n\n## Runs\nmine\n\n## Next\n"])
def test_hostile_output_stays_inside_its_run(text: str, body: str) -> None:
    """Whatever a run prints, it is one run in the section, or is shown without its text; all else stays."""
    note = (FRONT + body).encode()
    new = insert_runs(note, [run(20, Outcome.FAILURE, text=text)], 20)
    assert run_ids(new) == {"r-20261120T060000Z-3f9a1c"}
    assert Document.parse(new).definition_body == Document.parse(note).definition_body
    assert Document.parse(new).fault is None
    later = insert_runs(new, [run(21, Outcome.FAILURE)], 20)
    assert run_ids(later) == {"r-20261120T060000Z-3f9a1c", "r-20261121T060000Z-3f9a1c"}
    without = re.sub(rb"(?m)^(> .*|>|- 2026-11-20.*)\n", b"", later).replace(b"## Runs\n", b"")
    assert without.split() == note.replace(b"## Runs\n", b"").split()


def test_an_id_of_another_form_is_refused() -> None:
    """A block id that could not be found again is not written."""
    with pytest.raises(NoteRefused):
        insert_runs(FRONT.encode(), [RunEntry(id="x", when="2026-11-20 07:00", outcome=Outcome.SUCCESS)], 20)


@pytest.mark.parametrize("name", NOTES)
def test_nasty_notes_are_written_losslessly_or_refused(name: str) -> None:
    """Every note of the corpus keeps all its bytes around the run, or is refused with the reason."""
    data, reason = NOTES[name]
    if reason and reason != "safely":
        with pytest.raises(NoteRefused, match=re.escape(reason)):
            insert_runs(data, [run(20, text="Output.")], 20)
        return
    new = insert_runs(data, [run(20, text="Output.")], 20)
    ids = run_ids(data)
    assert run_ids(new) == ids | {"r-20261120T060000Z-3f9a1c"}
    lines = new.split(b"\n")
    inserted = [
        line for line in lines if line.startswith((b"> [!success]- 2026-11-20", b"> Output.", b"> ^r-20261120"))
    ]
    assert len(inserted) == 3
    start = new.index(b"> [!success]- 2026-11-20")
    end = new.index(b"> ^r-20261120T060000Z-3f9a1c") + len(b"> ^r-20261120T060000Z-3f9a1c")
    before, after = new[:start], new[end:]
    made = b"## Runs" in before and before.rstrip().endswith(b"## Runs") and not data.startswith(before.rstrip())
    if made:
        before = before.rstrip().removesuffix(b"## Runs")
        assert data.rstrip(b"\r\n") == before.rstrip(b"\r\n")
        assert not after.strip()
    else:
        assert data.startswith(before.rstrip(b"\r\n"))
        assert data.endswith(after.lstrip(b"\r\n"))
        assert len(before.rstrip(b"\r\n") + after.lstrip(b"\r\n")) >= len(data.rstrip(b"\r\n")) - 4
    assert data.endswith(b"\n") == new.endswith(b"\n")
    assert insert_runs(new, [run(20, text="Output.")], 20) == new


def test_no_frontmatter_is_refused() -> None:
    """A note that is no task any more gets no runs."""
    with pytest.raises(NoteRefused, match="no frontmatter"):
        insert_runs(b"Text.\n", [run(1)], 20)


def test_a_refusal_names_the_line() -> None:
    """The line of the unclosed fence is told."""
    with pytest.raises(NoteRefused) as caught:
        insert_runs((FRONT + "Text.\n\n```sh\ncode\n").encode(), [run(1)], 20)
    assert caught.value.line == 6


FRAGMENTS = [
    "text", "", "## Runs", "# Title", "## Next", "### Deeper", "- item", "  - deeper", "1. one", "> quote", ">",
    "```", "~~~", "    code", "%%", "a %% b", "$$", "<!-- x", "-->", "<div>", "---", "===", "\ttab", "- ", "+ x ^mine",
    "- 2026-11-03 07:00 ✅ 41 s ^r-20261103T060000Z-3f9a1c",
    "- 2026-11-02 07:00 ❌ 41 s ^r-20261102T060000Z-3f9a1c",
    "> [!failure]- 2026-11-01 07:00 · 41 s\n> ```text\n> out\n> ```\n>\n> ^r-20261101T060000Z-3f9a1c",
    "> ^r-20261109T060000Z-3f9a1c",
]  # fmt: skip
BODIES = st.tuples(
    st.lists(st.sampled_from(FRAGMENTS), max_size=10), st.sampled_from(["\n", "\r\n"]), st.booleans()
).map(lambda drawn: ("\n".join(drawn[0]) + "\n" * drawn[2]).replace("\n", drawn[1]))
TEXTS = st.lists(st.sampled_from([*FRAGMENTS, "```text", "out"]), max_size=5).map("\n".join)
OUR_ID = re.compile(rb"\^r-202611\d\dT060000Z-3f9a1c")


def foreign(data: bytes) -> list[bytes]:
    """The lines that cannot be ours: no list line with an id of ours, and no quote."""
    lines = [line.rstrip(b"\r") for line in data.split(b"\n")]
    return [line for line in lines if line.strip() and not OUR_ID.search(line) and not line.startswith(b">")]


@given(BODIES, st.sampled_from(Outcome), TEXTS, st.integers(0, 4))
@settings(deadline=None, max_examples=300)
def test_inserting_keeps_every_other_byte_or_refuses(body: str, outcome: Outcome, text: str, keep: int) -> None:
    """For any body and output: all other lines stay in order, the definition stays, and a second time is nothing."""
    data = (FRONT + body).encode()
    entry = run(20, outcome, text=text)
    try:
        new = insert_runs(data, [entry], keep)
    except NoteRefused:
        return
    before, after = foreign(data), foreign(new)
    made = new.startswith(data) and re.search(rb"(?m)^## Runs", new[len(data) :])
    assert after == ([*before, b"## Runs"] if made else before)
    assert Document.parse(new).definition_body == Document.parse(data).definition_body
    assert Document.parse(new).mapping == {"type": "claude"}
    assert (entry.id in run_ids(new)) == (keep > 0) or outcome in (Outcome.SKIPPED, Outcome.MISSED, Outcome.BLOCKED)
    assert insert_runs(new, [entry], keep) == new


@given(BODIES)
@settings(deadline=None, max_examples=200)
def test_markdown_sees_the_run_in_the_section(body: str) -> None:
    """markdown-it finds our callout as a quote at the top level, below a heading `Runs`."""
    if any(token in body for token in ("%%", "$$", "<!--")):
        return
    try:
        new = insert_runs((FRONT + body).encode(), [run(20, text="Output.")], 20)
    except NoteRefused:
        return
    tokens = MarkdownIt("commonmark").parse(new.decode().split("---\n", 2)[2])
    tops = [(number, t) for number, t in enumerate(tokens) if t.level == 0]
    heading = ""
    for number, token in tops:
        if token.type == "heading_open" and token.tag in ("h1", "h2"):
            heading = tokens[number + 1].content
        if token.type == "blockquote_open" and "[!success]- 2026-11-20" in tokens[number + 2].content:
            assert heading == "Runs"
            return
    raise AssertionError("the callout is not at the top level")


BIG = {
    "prose": "Lorem ipsum dolor sit amet, consectetur adipiscing elit.\n\n" * 18_000,
    "our section": "## Runs\n" + "Lorem ipsum dolor sit amet, consectetur adipiscing elit.\n" * 18_000,
    "code": "```\n" + "x = 1\n" * 180_000 + "```\n",
}


@pytest.mark.timeout(20)  # it takes some milliseconds; what is not linear takes minutes
@pytest.mark.parametrize("name", BIG)
def test_a_megabyte_is_no_trouble(name: str) -> None:
    """A run is inserted into a body of a megabyte as into any other."""
    data = (FRONT + BIG[name]).encode()
    assert b"Output." in insert_runs(data, [run(20, text="Output.")], 20)
