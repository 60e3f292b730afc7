"""A run asks a person, the answer is typed into the note, and the session that asked goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.notes.note import Document
from vault_scheduler.run import Cause, Outcome, Result
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import World

ASKS = Result(
    outcome=Outcome.BLOCKED,
    reason="Which project?",
    question="Which project?",
    text="I looked at both.",
    markdown=True,
    session_id="s-1",
    turns=3,
    cost_usd=0.1,
    retryable=False,
)
DONE = replace(SUCCESS, text="Done.", markdown=True, session_id="s-1", turns=2, cost_usd=0.1)
DAILY = 'type: claude\ncron: "10 10 * * *"'


def asks_once(request: RunRequest) -> Result:
    """A question from the first run, an end of the one that brings the answer."""
    return DONE if request.answer else ASKS


@pytest.fixture
def asked(world: World) -> World:
    """A daily task whose run at 10:10 has asked something; it is 10:20."""
    world.script = asks_once
    world.write("a", DAILY, body="Plan the week.\n")
    world.start()
    world.advance_to("10:20")
    return world


def keys(world: World, name: str = "a") -> dict[str, object]:
    """The properties of a note now."""
    return Document.parse(world.path(name).read_bytes()).mapping


def reply(world: World, text: str, name: str = "a") -> None:
    """Type an answer into the note, in the empty property if it is there, else below the others."""
    note = world.text(name)
    if "\nanswer:\n" in note:
        world.put(name, note.replace("\nanswer:\n", f"\nanswer: {text}\n", 1).encode())
        return
    head, fence, body = note.partition("\n---\n")
    world.put(name, f"{head}\nanswer: {text}{fence}{body}".encode())


def test_question_stands_in_note_property_and_log(asked: World) -> None:
    """A blocked run's question can be read where people look: as a property, in its callout, in the daily log."""
    assert keys(asked)["question"] == "Which project?"
    assert keys(asked)["last_status"] == "blocked"
    assert "> [!question]- 2026-11-20 10:10" in asked.text("a")
    assert "✋" in asked.log()
    assert "Which project?" in asked.log()


def test_a_question_brings_the_property_for_its_answer(asked: World) -> None:
    """On a phone it is tapped and typed into; once it is there, nothing more is written for it."""
    assert "answer" in keys(asked)
    assert keys(asked)["answer"] is None
    stood = asked.text("a")
    asked.advance(1800)
    assert asked.text("a") == stood


def test_answer_continues_the_session_that_asked(asked: World) -> None:
    """Left alone for `note_quiet`, the answer is said to the same session, once, and both properties are cleared."""
    reply(asked, "The garden")
    asked.advance(9)
    assert len(asked.engine.submitted) == 1
    asked.advance(60)
    first, second = asked.engine.submitted
    assert (second.resume, second.answer) == ("s-1", "The garden")
    assert asked.runs()[1].key == f"a|answer|{first.run}"
    assert keys(asked)["question"] is None
    assert keys(asked)["answer"] is None
    assert keys(asked)["last_status"] == "success"
    asked.advance(3600)
    assert len(asked.engine.submitted) == 2


def test_second_question_of_the_same_session_is_answered_alike(asked: World) -> None:
    """The run that brought an answer may ask again: its question takes the first one's place, the session goes on."""
    asked.script = lambda request: (
        DONE if request.answer == "blue" else replace(ASKS, question="Which colour?", reason="Which colour?")
    )
    reply(asked, "The garden")
    asked.advance(60)
    assert keys(asked)["question"] == "Which colour?"
    assert keys(asked)["answer"] is None
    asked.edit("a", "answer:\n", "answer: blue\n")
    asked.advance(60)
    assert [request.answer for request in asked.engine.submitted] == ["", "The garden", "blue"]
    assert {request.resume for request in asked.engine.submitted[1:]} == {"s-1"}
    assert keys(asked)["question"] is None


@pytest.mark.parametrize("moment", ["before", "while", "after"])
def test_a_crash_neither_loses_nor_doubles_an_answer(asked: World, moment: str) -> None:
    """Whether the daemon dies before the claim, during the run or before the properties are cleared: one run."""
    asked.script = lambda request: None if request.answer else ASKS
    reply(asked, "The garden")
    if moment != "before":
        asked.advance(11)
    if moment == "after":
        asked.engine.finish("a", DONE)
        asked.call(asked.daemon.tick())
    asked.crash()
    asked.script = asks_once
    asked.clock.advance(30)
    asked.start()
    asked.advance(120)
    answers = [run for run in asked.runs() if run.trigger == "answer"]
    assert len(answers) == 1
    assert keys(asked)["answer"] is None


def test_answer_on_a_paused_task_counts(asked: World) -> None:
    """A paused task does not fire, but a person who answers wants to go on."""
    asked.edit("a", "type: claude", "type: claude\nstatus: paused")
    reply(asked, "The garden")
    asked.advance(60)
    assert asked.engine.submitted[-1].answer == "The garden"


def test_answer_waits_while_the_vault_is_paused(asked: World) -> None:
    """In a paused vault nothing runs; the answer stays in the note, pointed out, and counts when the vault goes on."""
    asked.write_settings("status: paused\nhost: here\ntimezone: Europe/Berlin")
    asked.advance(30)
    reply(asked, "The garden")
    asked.advance(60)
    assert len(asked.engine.submitted) == 1
    assert keys(asked)["answer"] == "The garden"
    assert [problem.message for problem in asked.daemon.problems()] == ["the answer waits: vault paused"]
    asked.write_settings("status: active\nhost: here\ntimezone: Europe/Berlin")
    asked.advance(60)
    assert asked.engine.submitted[-1].answer == "The garden"
    assert asked.daemon.problems() == []


def test_answer_waits_while_the_task_is_stopped(asked: World) -> None:
    """STOP means it; the text is not lost."""
    asked.edit("a", "type: claude", "type: claude\nstatus: stopped")
    reply(asked, "The garden")
    asked.advance(60)
    assert len(asked.engine.submitted) == 1
    assert [problem.message for problem in asked.daemon.problems()] == ["the answer waits: stopped"]
    asked.edit("a", "status: stopped", "status: active")
    asked.advance(60)
    assert asked.engine.submitted[-1].answer == "The garden"


def test_answer_to_nothing_is_a_warning_and_stays(world: World) -> None:
    """Nobody asked: the text stays as it is, with a problem that says what to do, and answers no later question."""
    world.script = asks_once
    world.write("a", f"{DAILY}\nanswer: 42", body="Plan.\n")
    world.start()
    world.advance(60)
    (problem,) = world.daemon.problems()
    assert (problem.key, problem.line, problem.is_error) == ("answer", 4, False)
    assert "no run has asked anything" in world.log()
    world.advance_to("10:20")
    world.restart()
    assert [request.answer for request in world.engine.submitted] == []
    assert keys(world)["question"] == "Which project?"
    assert keys(world)["answer"] == 42
    world.edit("a", "answer: 42", "answer: 43")
    world.advance(60)
    assert [request.answer for request in world.engine.submitted] == ["43"]


def test_a_later_fire_time_runs_as_ever_and_leaves_the_question_open(asked: World) -> None:
    """A daily task goes on although a question is open: a fresh session; the question can still be answered."""
    asked.script = lambda request: DONE
    asked.advance(24 * 3600)
    fresh = asked.engine.submitted[1]
    assert (fresh.resume, fresh.answer) == ("", "")
    assert keys(asked)["question"] == "Which project?"
    assert keys(asked)["last_status"] == "success"
    reply(asked, "The garden")
    asked.advance(60)
    assert asked.engine.submitted[2].resume == "s-1"


def test_the_newest_question_is_the_one_that_is_answered(asked: World) -> None:
    """A later run that asks puts its question in the place of the one before."""
    asked.script = lambda request: (
        DONE if request.answer else replace(ASKS, question="And today?", reason="And today?", session_id="s-2")
    )
    asked.advance(24 * 3600)
    assert keys(asked)["question"] == "And today?"
    reply(asked, "The garden")
    asked.advance(60)
    assert asked.engine.submitted[-1].resume == "s-2"


def test_an_open_question_is_never_trimmed(asked: World) -> None:
    """However many runs come after it, the callout of the run that asked stays whole until it is answered."""
    asked.edit("a", 'cron: "10 10 * * *"', "every: 1h\nkeep_runs: 2\nmax_usd: 0.1")
    asked.script = lambda request: replace(DONE, text="word " * 400, cost_usd=0.01)
    asked.advance(8 * 3600)
    text = asked.text("a")
    assert "> [!question]- 2026-11-20 10:10" in text
    assert "> I looked at both." in text
    assert text.count("^r-") == 2  # beside it, the newest one
    reply(asked, "The garden")
    asked.advance(3 * 3600)
    assert "[!question]" not in asked.text("a")


def test_answers_are_counted_as_what_people_ask_for(asked: World) -> None:
    """A run that brings an answer is paid, but uses up none of `max_runs`, and waits for a run that goes on."""
    asked.edit("a", "type: claude", "type: claude\nmax_runs: 3")
    asked.script = lambda request: DONE if request.answer else None
    asked.advance_to("2026-11-21 10:10:30")
    reply(asked, "The garden")
    asked.advance(60)
    assert asked.runs()[-1].waiting_for == "overlap"
    asked.engine.finish("a", DONE)
    asked.settle()
    assert [run.trigger for run in asked.runs()] == ["at", "at", "answer"]
    assert asked.daemon.tracked("a") is not None
    assert asked.call(asked.store.task_rows())["a"].started == 2
    day = asked.clock.now().date()
    assert asked.trust.spent(day).of("a") == pytest.approx(0.2)


def test_answer_that_is_not_heard_leaves_the_question_open(asked: World) -> None:
    """Nobody is logged in when the answer is to be said: the question stands again, and the next answer gets there."""
    login = Result(outcome=Outcome.BLOCKED, reason="not logged in", cause=Cause.LOGIN, retryable=False)
    asked.script = lambda request: login
    reply(asked, "The garden")
    asked.advance(60)
    assert keys(asked)["question"] == "Which project?"
    asked.script = asks_once
    asked.edit("a", "answer:\n", "answer: The house\n")
    asked.advance(60)
    assert (asked.engine.submitted[-1].resume, asked.engine.submitted[-1].answer) == ("s-1", "The house")
    assert keys(asked)["question"] is None


def test_an_answer_typed_meanwhile_is_not_cleared(asked: World) -> None:
    """What a person types while the answer before is on its way is theirs, and is pointed out."""
    asked.script = lambda request: None if request.answer else ASKS
    reply(asked, "The garden")
    asked.advance(11)
    asked.edit("a", "answer: The garden", "answer: No, the house")
    asked.advance(30)
    asked.engine.finish("a", DONE)
    asked.advance(60)
    assert keys(asked)["answer"] == "No, the house"
    assert [problem.message for problem in asked.daemon.problems()] == ["no run has asked anything"]


def test_question_and_session_follow_a_rename(asked: World) -> None:
    """The task goes on under another name, and so does what it asked."""
    asked.rename("a", "b")
    asked.advance(60)
    reply(asked, "The garden", "b")
    asked.advance(60)
    assert (asked.engine.submitted[-1].task, asked.engine.submitted[-1].resume) == ("b", "s-1")


@pytest.mark.parametrize(
    "question",
    [
        'a "quoted" one: {yes: no} # and more',
        "two\nlines\r\nand\u2028a third ---",
        "--- \n- item\n<% tp.file.delete() %>",
        "\x1b[31mred\x1b[0m `= dv.pages()` ![](http://x/y.png)",
        "'single' | pipe > fold @at %percent &anchor *alias !tag",
        "long " * 200,
    ],
)
def test_hostile_questions_are_one_harmless_line(make_world: Callable[..., World], question: str) -> None:
    """Whatever a run asks, the note's other properties and text stay, and the question reads back as one line."""
    world = make_world()
    world.script = lambda request: replace(ASKS, question=question, reason=question)
    world.write("a", f"{DAILY}\ntitle: mine # comment", body="Plan.\n")
    world.start()
    world.advance_to("10:20")
    told = keys(world)["question"]
    assert isinstance(told, str)
    assert "\n" not in told
    assert "<%" not in told
    assert "\x1b" not in told
    assert len(told) <= 500
    assert keys(world)["title"] == "mine"
    assert "title: mine # comment\n" in world.text("a")
    assert world.text("a").split("\n---\n")[1].startswith("Plan.\n")


def test_nothing_is_delivered_into_a_note_while_its_own_claude_run_goes_on(world: World) -> None:
    """What is to be written waits for the end of the run: nobody writes a note that Claude is about to edit."""
    world.script = lambda request: None
    world.write("a", f"{DAILY}\noverlap: skip", body="Do it.\n")
    world.start()
    world.advance_to("10:11")
    before = world.path("a").read_bytes()
    world.edit("a", "overlap: skip", "overlap: skip\nrun_now: true")
    edited = world.path("a").read_bytes()
    world.advance(1800)
    assert world.path("a").read_bytes() == edited != before
    world.script = lambda request: DONE
    world.engine.finish("a", DONE)
    world.advance(60)
    assert "run_now: false" in world.text("a")
    assert "^r-20261120T091000Z" in world.text("a")


COMMAND = "type: command\ncommand: 'true'\ncron: \"10 10 * * *\""


def test_no_command_task_runs_for_an_answer(asked: World) -> None:
    """A note that has become one of another type answers nothing; its question is closed, and its property cleared."""
    asked.write("a", f"{COMMAND}\nquestion: Which project?\nanswer: The garden", age_s=0)
    asked.hint(asked.path("a"))
    asked.advance(120)
    assert len(asked.engine.submitted) == 1
    assert asked.call(asked.store.questions()) == {}
    assert keys(asked)["question"] is None
    assert keys(asked)["answer"] == "The garden"
    assert [problem.message for problem in asked.daemon.problems()] == ["no run has asked anything"]


@pytest.mark.parametrize("while_away", [False, True])
def test_question_of_a_deleted_task_is_closed(asked: World, while_away: bool) -> None:
    """A task of the same name that is written later is another one, also if the note went while no daemon ran."""
    if while_away:
        asked.crash()
        asked.delete("a")
        asked.start()
    else:
        asked.delete("a")
    asked.advance(90)
    assert asked.call(asked.store.questions()) == {}
    asked.write("a", f"{DAILY}\nanswer: The garden", age_s=0, body="Plan the garden.\n")
    asked.hint(asked.path("a"))
    asked.advance(60)
    assert [run.trigger for run in asked.runs()] == ["at"]


def test_question_waits_for_a_vault_that_is_away(asked: World) -> None:
    """Notes of a folder that is not mounted are not deleted."""
    asked.take_vault_away()
    asked.advance(300)
    asked.bring_vault_back()
    asked.advance(60)
    assert set(asked.call(asked.store.questions())) == {"a"}


def test_answer_that_waits_its_turn_brings_no_command_to_run(asked: World) -> None:
    """The note becomes a command while the answer waits for another run to end: nothing is run for it."""
    asked.script = lambda _: None
    asked.request("run", "a")
    asked.advance(5)
    reply(asked, "The garden")
    asked.advance(60)
    assert [run.trigger for run in asked.runs() if run.state == "waiting"] == ["answer"]
    asked.write("a", COMMAND, age_s=0)
    asked.hint(asked.path("a"))
    asked.advance(60)
    asked.engine.finish("a", DONE)
    asked.advance(60)
    (run,) = [run for run in asked.runs() if run.trigger == "answer"]
    assert (run.outcome, run.attempts) == (Outcome.SKIPPED, 0)
    assert run.reason == "the task is no Claude task any more"
    assert asked.call(asked.store.questions()) == {}
