"""Text with marks: what a pipe gets is the text, what a terminal gets says no more and loses nothing."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.commands.columns import beside, facts, table
from vault_scheduler.commands.history_page import bar
from vault_scheduler.commands.problem_page import problem_line
from vault_scheduler.commands.screen import has_colour, painted
from vault_scheduler.commands.styled import (
    OUTCOMES,
    STATES,
    Style,
    cut,
    harmless,
    joined,
    marks_of,
    piece,
    styled,
    wrapped,
)
from vault_scheduler.planning.standing import State
from vault_scheduler.run import Outcome
from vault_scheduler.task import Problem, Severity
from vault_scheduler.text.width import width_of

SEQUENCE = re.compile(r"\x1b\[[0-9]*m")
WORDS = st.text(st.sampled_from("ab é日本✅ "), max_size=60)
LINES = st.lists(st.tuples(WORDS, st.sampled_from([None, *Style])), max_size=6).map(
    lambda parts: joined(styled(text, style) for text, style in parts)
)


class Stream(io.StringIO):
    """A file, or a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("terminal", "environ", "colour"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),  # empty is unset, says no-color.org
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": ""}, False),
        (True, {"CLICOLOR": "0"}, False),
        (False, {"CLICOLOR": "1"}, False),
        (False, {"CLICOLOR_FORCE": "1"}, True),
        (False, {"FORCE_COLOR": "3"}, True),
        (False, {"FORCE_COLOR": "0"}, False),
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (False, {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
    ],
)
def test_colour_is_where_people_want_it(terminal: bool, environ: dict[str, str], colour: bool) -> None:
    """As no-color.org and bixense.com/clicolors say."""
    assert has_colour(Stream(terminal), {"TERM": "xterm", **environ}) == colour


def test_every_outcome_and_every_state_has_a_style() -> None:
    """Or none, on purpose."""
    assert set(OUTCOMES) == set(Outcome)
    assert set(STATES) == set(State)


@given(LINES, st.integers(4, 50))
def test_a_wrapped_line_loses_nothing_and_fits(line: str, width: int) -> None:
    """But for spaces at the breaks; a word that is longer than a line stays whole, so that it can be copied."""
    parts = wrapped(line, width)
    assert "".join(parts).replace(" ", "") == line.replace(" ", "")
    for part in parts:
        assert width_of(part) <= width or " " not in part.strip()


@given(LINES, st.integers(4, 50))
def test_marks_go_with_their_text(line: str, width: int) -> None:
    """Wrapping and painting leave every character in the style that it had."""

    def characters(text: str) -> list[tuple[str, Style]]:
        return [(c, style) for start, end, style in marks_of(text) for c in text[start:end] if c != " "]

    assert [each for part in wrapped(line, width) for each in characters(part)] == characters(line)
    assert SEQUENCE.sub("", painted(line)) == line
    assert piece(line, 0, len(line)) == line


def test_lines_hang_below_what_they_belong_to() -> None:
    """A problem goes on further in than it begins; rows go on below their first cell, between cells where possible."""
    problem = Problem(path="a.md", line=3, key="cron", message="it has 3 fields; cron has five", fix="Write all five.")
    assert wrapped(problem_line(problem), 30) == [
        "a.md:3: cron: it has 3 fields;",
        "    cron has five. Write all",
        "    five.",
    ]
    (row,) = table([("2026-11-20 07:00", "❌", "sync", "exit 1: no such file")], width=30)
    assert wrapped(row, 30) == ["2026-11-20 07:00  ❌  sync", "    exit 1: no such file"]


def test_the_last_cell_goes_on_below_its_own_beginning_where_there_is_room_for_a_remark() -> None:
    """In its column if some words fit there, in three lines at most; else below the row, which stays aligned."""
    rows = [
        ("2026-11-20 07:00", "✅", "sync", "2 s"),
        ("2026-11-20 07:00", "❌", "a", "exit 1: no such file or folder"),
    ]
    fine, failed = (wrapped(row, 56) for row in table(rows, width=56))
    assert fine == ["2026-11-20 07:00  ✅  sync  2 s"]
    assert failed == ["2026-11-20 07:00  ❌  a     exit 1: no such file or", " " * 28 + "folder"]
    (long,) = table([("2026-11-20 07:00", "❌", "sync", "one word and " * 9)], width=56)
    assert wrapped(long, 56)[0] == "2026-11-20 07:00  ❌  sync"
    assert wrapped(long, 56)[1].startswith("    one word")


def test_a_sign_that_takes_one_column_leaves_the_next_free() -> None:
    """Many terminals draw it twice as wide all the same: over what stands beside it."""
    assert [beside(sign, "4 min ago") for sign in ("✅", "⏱")] == ["✅ 4 min ago", "⏱  4 min ago"]


def test_a_problem_reads_as_editors_expect_it() -> None:
    """`file:line: key: message. fix`, with or without marks; warnings are called so."""
    problem = Problem(path="a.md", line=3, key="cron", message="odd", fix="Mend it.")
    assert problem_line(problem) == str(problem) == "a.md:3: cron: odd. Mend it."
    warned = Problem(path="a.md", line=1, key="", message="odd", fix="", severity=Severity.WARNING)
    assert problem_line(warned) == "a.md:1: warning: odd."


def test_what_is_nothing_is_left_out_of_a_row_that_does_not_fit() -> None:
    """A narrow terminal has no room for dashes; where it fits, the columns stay aligned."""
    rows = [("a-long-task-name", "invalid", "–", "–"), ("b", "armed", "0 7 * * *", "in 3 h")]
    assert wrapped(table(rows, width=26)[0], 26) == ["a-long-task-name  invalid"]
    assert table(rows, width=80)[0] == "a-long-task-name  invalid  –          –"


def test_wide_signs_and_marks_of_no_width_are_counted_as_terminals_do() -> None:
    """CJK and emoji take two columns, joiners and accents none."""
    assert [width_of(text) for text in ("日本", "✅", "e\u0301", "a\u200db")] == [4, 2, 1, 2]
    assert cut(styled("日本語", Style.BAD), 5) == "日本…"


LINK = "\x1b]8;;http://x\x07red\x1b]8;;\x07"


@pytest.mark.parametrize("hostile", ["\x1b[31mred\x1b[0m", LINK, "r\x07ed", "\x9b31mred"])
def test_sequences_of_others_do_not_reach_the_terminal(hostile: str) -> None:
    """They are left out, and the style that the text had stays."""
    clean = harmless(styled(hostile, Style.BAD))
    assert clean == "red"
    assert marks_of(clean) == ((0, 3, Style.BAD),)
    assert "\x1b" not in table([(hostile,)], width=None)[0]
    assert "\x1b" not in facts([("x", hostile)], width=20)[0]


def test_markup_of_others_is_text() -> None:
    """Square brackets mean nothing here."""
    assert painted("[red]x[/red] [link=https://x.example]y[/link]") == "[red]x[/red] [link=https://x.example]y[/link]"


def test_a_bar_of_nothing_is_nothing() -> None:
    """A task without runs."""
    assert bar([]) == ""
