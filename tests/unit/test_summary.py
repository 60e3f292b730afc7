"""How a run is told in notes and logs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.run import Outcome, Result, Run, RunState, TriggerKind
from vault_scheduler.telling.summary import (
    duration_words,
    entry_of,
    facts_of,
    lateness_words,
    log_line,
    output_text,
    problem_line,
    text_of,
    title_of,
    when_words,
)
from vault_scheduler.text.harmless import one_line

SEVEN = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)  # 07:00 in Berlin
BERLIN = ZoneInfo("Europe/Berlin")
RUN = Run(
    id="r-20261120T060000Z-3f9a1c",
    key="briefing|at|20261120T060000Z",
    task="briefing",
    path="00_system/tasks/briefing.md",
    trigger=TriggerKind.AT,
    fire_time=SEVEN,
    claimed_at=SEVEN,
    state=RunState.ENDED,
    outcome=Outcome.SUCCESS,
    started_at=SEVEN,
    ended_at=SEVEN + timedelta(seconds=41),
    attempts=1,
    result=Result(outcome=Outcome.SUCCESS, text="Briefing written.\nMore.", cost_usd=0.11, markdown=True),
)
MISSED = replace(RUN, outcome=Outcome.MISSED, reason="asleep", attempts=0, started_at=None, result=None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0271, "27 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3599.6, "1 h"),
        (7620, "2 h 7 min"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    """Nobody needs milliseconds of an hour."""
    assert duration_words(seconds) == words


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (RUN, "2026-11-20 07:00"),
        # every 10 s: the second tells them apart
        (replace(RUN, fire_time=SEVEN + timedelta(seconds=10)), "2026-11-20 07:00:10"),
        # asked for: nobody cares for the second
        (replace(RUN, fire_time=SEVEN + timedelta(seconds=10), trigger=TriggerKind.REQUEST), "2026-11-20 07:00"),
        (replace(MISSED, last_fire_time=SEVEN + timedelta(hours=2), count=3), "2026-11-20 07:00 … 09:00"),
        (replace(MISSED, last_fire_time=SEVEN + timedelta(days=3), count=4), "2026-11-20 … 23"),
        (replace(MISSED, last_fire_time=SEVEN + timedelta(days=13), count=4), "2026-11-20 … 12-03"),
        (replace(MISSED, last_fire_time=SEVEN + timedelta(days=50), count=4), "2026-11-20 … 2027-01-09"),
    ],
)
def test_when_is_local_and_as_short_as_it_can_be(run: Run, words: str) -> None:
    """Fire times in the task's zone; ranges without what both ends share."""
    assert when_words(run, BERLIN) == words


@pytest.mark.parametrize(
    ("run", "facts"),
    [
        (RUN, ("41 s", "$0.11")),
        (replace(RUN, outcome=Outcome.FAILURE, reason="exit 1: no file"), ("41 s", "$0.11", "exit 1: no file")),
        (replace(RUN, outcome=Outcome.TIMEOUT, reason="no end"), ("41 s", "$0.11", "timeout: no end")),
        (replace(RUN, started_at=SEVEN + timedelta(hours=3), ended_at=SEVEN + timedelta(hours=3, seconds=5)),
         ("5.0 s", "$0.11", "3 h late")),
        (replace(RUN, attempts=3), ("41 s", "$0.11", "3 attempts")),
        (replace(MISSED, count=4), ("missed 4 × (asleep)",)),
        (replace(MISSED, outcome=Outcome.SKIPPED, reason="still running"), ("skipped (still running)",)),
        # a reason comes from outside: it must not become markdown
        (replace(RUN, outcome=Outcome.FAILURE, reason="exit 1: ![[x]] <% y %>\n- z"),
         ("41 s", "$0.11", "exit 1: !\\[\\[x\\]\\] \\< \\% y \\%\\> - z")),
    ],
)  # fmt: skip
def test_facts_say_what_the_sign_does_not(run: Run, facts: tuple[str, ...]) -> None:
    """Duration, cost, lateness, attempts, reason; of what never started only why."""
    assert tuple(fact.replace("\\!", "!") for fact in facts_of(run)) == facts


def test_up_to_a_minute_is_not_late() -> None:
    """The scheduler's own seconds are nobody's business."""
    assert lateness_words(replace(RUN, started_at=SEVEN + timedelta(seconds=60))) == ""
    assert lateness_words(replace(RUN, started_at=SEVEN + timedelta(seconds=61))) == "1 min 1 s late"


def test_an_entry_shows_the_text_of_a_run_that_started() -> None:
    """A fire time that did not start is a line of its own without text."""
    assert entry_of(RUN, BERLIN).text == "Briefing written.\nMore."
    assert entry_of(MISSED, BERLIN).text == ""
    assert entry_of(MISSED, BERLIN).outcome is Outcome.MISSED


def test_output_of_commands_is_fenced_and_cut() -> None:
    """2,000 characters, head and tail, in a fence that nothing inside can close."""
    text = text_of(replace(RUN, result=Result(outcome=Outcome.SUCCESS, text="a ``` b\n" + "x\n" * 3000 + "the end")))
    assert text.startswith("````text\na ``` b\n")
    assert text.endswith("\nthe end\n````")
    assert len(text) < 2100


def test_a_claude_run_tells_what_it_changed_was_denied_and_how_to_reopen_it() -> None:
    """Below its answer, as links and as a command."""
    result = Result(
        outcome=Outcome.SUCCESS,
        text="Done.",
        markdown=True,
        session_id="5e55-10n",
        turns=2,
        changed_notes=("Notes/A [x].md", "B.md"),
        denials=("Bash: rm `x`",),
    )
    assert text_of(replace(RUN, result=result)) == (
        "Done.\n\nChanged: Notes/A \\[x\\].md, [[B]]\n\nDenied: Bash: rm \\`x\\`\n\n"
        "Reopen: `claude --resume 5e55-10n` in the vault"
    )


def test_what_people_should_know_beside_the_outcome_is_a_sentence() -> None:
    """Remarks stand below the answer; where the session was not in the vault's own folder, that is said."""
    result = Result(
        outcome=Outcome.SUCCESS,
        text="Done.",
        markdown=True,
        session_id="5e55-10n",
        turns=6,
        cost_usd=0.11,
        folder="Projects/`x`",
        remarks=("the session was lost, so it began a new one",),
    )
    assert text_of(replace(RUN, result=result)) == (
        "Done.\n\nThe session was lost, so it began a new one.\n\n"
        "Reopen: `claude --resume 5e55-10n` in Projects/\\`x\\`"
    )
    assert facts_of(replace(RUN, result=result))[1:3] == ("$0.11", "6 turns")
    assert "1 turns" not in facts_of(replace(RUN, result=replace(result, turns=1)))


def test_of_many_changed_notes_the_first_are_named_and_the_others_counted() -> None:
    """A run that touches a hundred notes does not fill its own."""
    result = Result(outcome=Outcome.SUCCESS, changed_notes=tuple(f"n{number}.md" for number in range(100)))
    assert text_of(replace(RUN, result=result)).endswith("[[n19]], and 80 more")


ACTING_NAMES = [
    "a <% tp.system.prompt() %>.md",  # Templater
    "a <img src=x onerror=y>.md",
    "a %% b.md",  # the rest of the note would be a comment
    "a `b.md",
    "a $b$.md",
    "a\nb.md",  # a line of its own
    "a\u2028b.md",
    "a\u0085b.md",
    "a\x1b[31m.md",
    "a \u202eb.md",  # turns the direction of what follows
    "a ^r-20261120T060000Z-3f9a1c.md",  # the block id of a run
    "a]] ![[b.md",
    "a|b.md",
    "a#b.md",
    "a\\.md",  # would escape what closes the link
    "a\udce4.md",  # a name that is not UTF-8
    "key:: value.md",
]


@pytest.mark.parametrize("name", ACTING_NAMES)
def test_a_file_name_that_could_act_is_shown_and_not_linked(name: str) -> None:
    """A run chooses the names of the files that it makes: none of them may do anything in the note that lists it."""
    shown = one_line(f"tasks/{name}")
    result = Result(outcome=Outcome.SUCCESS, changed_notes=(f"tasks/{name}",))
    assert text_of(replace(RUN, result=result)) == f"Changed: {shown}"
    assert log_line(replace(RUN, path=f"tasks/{name}"), BERLIN).startswith(f"- 07:00 ✅ {shown} · 41 s")
    assert problem_line(f"tasks/{name}", 3, "bad") == f"⚠ {shown} line 3: bad"


@pytest.mark.parametrize("session", ["a b", "a` <% x %> `b", "x\ny", "é", "--resume;", "a" * 200])
def test_only_an_id_that_is_a_word_can_be_reopened(session: str) -> None:
    """It stands in a command that a person copies into a shell."""
    result = Result(outcome=Outcome.SUCCESS, text="Done.", markdown=True, session_id=session, turns=2)
    assert text_of(replace(RUN, result=result)) == "Done."


def test_a_title_for_an_output_cannot_act_in_a_heading() -> None:
    """`output: Note#{{title}}` puts the name of the task's note into a line of its own."""
    assert title_of("00_system/tasks/100% of Q3.md") == "100% of Q3"
    assert title_of("tasks/a [x] `<% y %>` %%z|#.md") == "a (x) '(% y %)' %z--"


def test_a_log_line_is_one_line_with_the_first_words_of_the_result() -> None:
    """Time, sign, link, facts, and what it is about; the block id closes the line."""
    assert log_line(RUN, BERLIN) == (
        "- 07:00 ✅ [[00_system/tasks/briefing|briefing]] · 41 s · $0.11 · Briefing written. ^r-20261120T060000Z-3f9a1c"
    )
    hostile = replace(RUN, result=Result(outcome=Outcome.SUCCESS, text="---\n```\n# ![[x]] ^r-1\n- more"))
    assert "· !\\[\\[x\\]\\] \\^r-1 ^r-20261120T060000Z-3f9a1c" in log_line(hostile, BERLIN).replace("\\!", "!")
    assert "\n" not in log_line(hostile, BERLIN)


def test_a_log_line_tells_links_as_they_are_read() -> None:
    """The line has one link, to the task; what the answer links is told by name."""
    text = "See [[Projects/Site|the site]], [[Notes/Bread]] and [the docs](https://x.test/a?b)."
    linked = Result(outcome=Outcome.SUCCESS, text=text, markdown=True)
    assert "· See the site, Bread and the docs. ^r-" in log_line(replace(RUN, result=linked), BERLIN)


def test_a_question_is_asked() -> None:
    """Not merely `blocked`, as where nobody is logged in."""
    asks = Result(outcome=Outcome.BLOCKED, question="Which one?")
    run = replace(RUN, outcome=Outcome.BLOCKED, reason="Which one?", result=asks)
    assert facts_of(run) == ("41 s", "asks: Which one?")


def test_a_log_line_tells_markdown_without_its_emphasis() -> None:
    """A daily log is read as prose; half a pair of asterisks would be noise."""
    bold = Result(outcome=Outcome.SUCCESS, text="**3 of 4** notes, *mostly* `short_ones`", markdown=True)
    assert "· 3 of 4 notes, mostly short\\_ones ^r-" in log_line(replace(RUN, result=bold), BERLIN)


def test_a_long_reason_stands_whole_below_the_title_of_its_callout() -> None:
    """A title is read at a glance; a session in which nothing was said is not worth reopening."""
    reason = "Not logged in: run `claude` once and log in, or put a token into the environment file of this machine"
    result = Result(outcome=Outcome.BLOCKED, reason=reason, session_id="5e55-10n")
    entry = entry_of(replace(RUN, outcome=Outcome.BLOCKED, reason=reason, result=result), BERLIN)
    assert entry.facts[-1].startswith("blocked: Not logged in")
    assert len(entry.facts[-1]) < 100
    assert entry.text == reason.replace("`", "\\`")


def test_a_problem_line_names_note_line_and_fix() -> None:
    """Line 1 says nothing, so it is left out."""
    assert problem_line("00_system/tasks/a.md", 3, "cron: bad") == "⚠ [[00_system/tasks/a|a]] line 3: cron: bad"
    assert problem_line("00_system/tasks/a.md", 1, "gone") == "⚠ [[00_system/tasks/a|a]]: gone"


def test_an_output_note_gets_the_whole_text() -> None:
    """Not only what the task's note shows."""
    long = "x" * 5000
    assert output_text(replace(RUN, result=Result(outcome=Outcome.SUCCESS, text=long))) == f"```text\n{long}\n```"
    assert output_text(replace(RUN, result=None)) == ""
