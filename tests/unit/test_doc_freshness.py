"""The built-in task `doc_freshness`: what it lists, and what it makes of odd notes and arguments."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.builtin.doc_freshness import Doc, Rules, judge, report
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.values import duration
from vault_scheduler.text.harmless import harmless_markdown

NOW = datetime(2026, 11, 22, 8, 30, tzinfo=ZoneInfo("Europe/Berlin"))
TODAY = NOW.date()


def rules(*folders: str, review_after: str = "180d", limit: int = 50) -> Rules:
    return Rules(
        folders=folders,
        review_after=duration(review_after),
        reviewed="reviewed",
        review_every="review_every",
        limit=limit,
    )


def judged(properties: str, *folders: str) -> Doc | None:
    document = Document.parse(f"---\n{properties}\n---\ntext\n".encode())
    return judge("Docs/Backups.md", document, rules(*folders), TODAY)


@pytest.mark.parametrize(
    ("properties", "due"),
    [
        ("reviewed: 2026-01-10", date(2026, 7, 9)),  # the default period
        ("reviewed: 2026-01-10\nreview_every: 30d", date(2026, 2, 9)),  # the note's own
        ("reviewed: 2026-01-10\nreview_every: 2w", date(2026, 1, 24)),
        ("reviewed: 2026-01-10T09:30\nreview_every: 1d", date(2026, 1, 11)),  # Obsidian's date and time
        ('reviewed: "[[2026-01-10]]"\nreview_every: 1d', date(2026, 1, 11)),  # a link to the daily note
        ('reviewed: "[[Journal/2026-01-10|then]]"\nreview_every: 1d', date(2026, 1, 11)),
        ("reviewed: [2026-01-10]\nreview_every: 1d", date(2026, 1, 11)),  # a list of one
        ("reviewed: 2026-01-10\nreview_every:", date(2026, 7, 9)),  # an empty property is unset
    ],
)
def test_a_review_holds_as_long_as_the_note_says(properties: str, due: date) -> None:
    """The day on which a review is no longer good is the day of the review plus the note's period, else the task's."""
    doc = judged(properties)
    assert doc is not None
    assert doc.due == due
    assert not doc.problem


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ("reviewed: last spring", "last spring"),
        ("reviewed: 2026-02-30", "2026-02-30"),
        ("reviewed: 2027-01-01", "still to come"),
        ("reviewed: 2026-01-10\nreview_every: 90", "no unit"),
        ("reviewed: 2026-01-10\nreview_every: 30m", "too short"),
        ("reviewed: 2026-01-10\nreview_every: often", "often"),
        ("reviewed: {a: 1}", "not"),
        ("reviewed: [2026-01-10, 2026-02-10]", "one"),
        ("review_every: 0d", "too short"),
        ("reviewed: [unclosed", "line 2"),
        ("reviewed: 2026-01-10\nreviewed: 2026-01-11", "line 3"),  # a duplicate key
    ],
)
def test_what_makes_no_sense_is_listed_with_the_reason(properties: str, problem: str) -> None:
    """A date or period without meaning makes the note a listed one, never an exception."""
    doc = judged(properties)
    assert doc is not None
    assert problem in doc.problem, doc


def test_notes_without_the_properties_take_part_only_in_a_folder() -> None:
    """A plain note counts as never reviewed where a folder asks for it, and not at all elsewhere."""
    assert judged("tags: garden") is None
    asked = judged("tags: garden", "Docs")
    assert asked is not None
    assert asked.reviewed is None
    assert not asked.problem


def test_an_empty_review_date_means_never_reviewed() -> None:
    """`reviewed:` without a value and a lone `review_every` are documents that nobody has checked yet."""
    for properties in ("reviewed:", "review_every: 30d"):
        doc = judged(properties)
        assert doc is not None
        assert doc.due is None
        assert not doc.problem


def test_the_report_names_the_longest_overdue_first_and_what_comes_next() -> None:
    """Overdue, never reviewed and not understood stand apart, and the next review is named."""
    docs = [
        Doc(path="Docs/New.md", reviewed=date(2026, 11, 1), due=date(2026, 12, 1)),
        Doc(path="Docs/Late.md", reviewed=date(2026, 8, 1), due=date(2026, 11, 21)),
        Doc(path="Docs/Later.md", reviewed=date(2026, 1, 1), due=date(2026, 7, 1)),
        Doc(path="Docs/Today.md", reviewed=date(2026, 1, 1), due=TODAY),
        Doc(path="Never.md"),
        Doc(path="Odd.md", problem="`soon` is not a date"),
    ]
    assert report(docs, TODAY, rules()) == (
        "**3 past their review, 1 never reviewed**, of 6. A review holds 180d unless the note says else.\n\n"
        "**Past their review**\n\n"
        "- [[Docs/Later|Later]] · reviewed 2026-01-01 · 144 days overdue\n"
        "- [[Docs/Late|Late]] · reviewed 2026-08-01 · 1 day overdue\n"
        "- [[Docs/Today|Today]] · reviewed 2026-01-01 · due today\n\n"
        "**Never reviewed**\n\n- [[Never]]\n\n"
        "**Not understood**\n\n- [[Odd]] · `soon` is not a date\n\n"
        "Next: [[Docs/New|New]] on 2026-12-01."
    )


def test_the_report_passes_the_cleaning_of_output_unchanged() -> None:
    """What the task returns is the harmless kind of markdown, so notes show it as it was made."""
    docs = [Doc(path="Docs/A.md", reviewed=date(2026, 1, 1), due=date(2026, 7, 1)), Doc(path="B.md", problem="`x`")]
    text = report(docs, TODAY, rules())
    assert harmless_markdown(text) == text


def test_a_long_list_is_cut_with_the_number_of_the_rest() -> None:
    """`limit` bounds each list, and says how many are missing."""
    docs = [Doc(path=f"Docs/{number}.md") for number in range(7)]
    assert "- … and 5 more" in report(docs, TODAY, rules("Docs", limit=2))


def test_nothing_to_report_is_said_in_one_sentence() -> None:
    """Fresh documents, none at all, and an empty folder each have their own sentence."""
    fresh = Doc(path="A.md", reviewed=TODAY, due=date(2027, 1, 1))
    assert report([fresh], TODAY, rules()).startswith("No document is past its review (1 looked at).")
    assert report([], TODAY, rules()) == "No note has the property `reviewed`."
    assert report([], TODAY, rules("Docs")) == "No notes in `Docs`."


def test_a_name_that_no_link_can_hold_is_told_as_text() -> None:
    """Brackets, bars and hashes in a file name would break a wikilink."""
    assert "C\\# notes (its name cannot be linked)" in report([Doc(path="C# notes.md")], TODAY, rules())
