"""Faults of our own code: met in one note, they cost that note its turn, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from vault_scheduler.commands import catalogue, note_reading
from vault_scheduler.daemon import (
    changes,
    claims,
    dispatcher,
    guard,
    log_writer,
    note_change,
    note_writer,
    output_writer,
    surroundings,
    task_notes,
)
from vault_scheduler.daemon.named_files import named_files
from vault_scheduler.daemon.roster import Roster
from vault_scheduler.daemon.snapshots import Snapshots
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.machine.config import Machine
from vault_scheduler.machine.place import Place
from vault_scheduler.parsing.parser import parse_task, rebuild
from vault_scheduler.parsing.settings_parser import parse_settings
from vault_scheduler.planning import chains, settings_note
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing import SUCCESS, Lasting
from vault_scheduler.testing_world import World
from vault_scheduler.vault.vault import Vault

INTERNAL = "internal error while reading this note: RuntimeError: no such case"


def breaks_for(function: Callable[..., Any], marks: Callable[..., bool]) -> Callable[..., Any]:
    """The same function with a fault that these arguments bring out."""

    def broken(*args: Any, **named: Any) -> Any:
        if marks(*args):
            raise RuntimeError("no such case")
        return function(*args, **named)

    return broken


PLANNING = "internal error while planning this task: RuntimeError: no such case"


@pytest.mark.parametrize(
    ("module", "part", "marks"),
    [
        (guard, "named_files", lambda task, *_: task.id == "a"),
        (Roster, "_stand", lambda roster, task, *_: task.id == "a"),
        (claims, "plan_fire_times", None),
        (dispatcher, "snapshot_of", lambda task, *_: task.id == "a"),
    ],
    ids=["judging it", "how it stands", "what is due", "its claim"],
)
def test_task_that_cannot_be_planned_is_set_aside(
    world: World, monkeypatch: pytest.MonkeyPatch, module: Any, part: str, marks: Callable[..., bool] | None
) -> None:
    """It is a visible problem and nothing of it starts; the others fire on time; once planned it catches up."""
    world.command("a", "cron: '*/10 * * * *'")
    world.command("b", "every: 10m")
    world.start()
    function = getattr(module, part)
    broken = breaks_for(function, marks) if marks else None

    def due_breaks(schedule: Any, **named: Any) -> Any:
        if str(schedule.triggers[0]).startswith("Cron"):
            raise RuntimeError("no such case")
        return function(schedule, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, part, broken or due_breaks)
        world.edit("a", "echo a", "echo c")
        world.advance_to("10:25")
        assert [p.path for p in world.daemon.problems() if PLANNING in p.message] == ["00_system/tasks/a.md"]
        assert world.log().count(PLANNING) == 1
        assert world.history() == ["10:10 success", "10:20 success"]
    world.advance_to("10:35")
    assert world.daemon.problems() == []
    assert [line for line in world.history("a") if "success" in line] == ["10:20 success", "10:30 success"]
    assert world.history("b") == ["10:10 success", "10:20 success", "10:30 success"]


def test_run_that_waits_for_a_task_that_cannot_be_planned(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends blocked and says why: what the note asks for now is not known."""
    world.write_settings("host: here\nstatus: active\nmax_parallel: 1")
    world.script = lambda request: None
    world.command("b", "cron: '9 10 * * *'")
    world.command("a", "cron: '10 10 * * *'")
    world.start()
    world.advance_to("10:11")
    monkeypatch.setattr(guard, "named_files", breaks_for(named_files, lambda task, *_: task.id == "a"))
    world.edit("a", "echo a", "echo c")
    world.advance(60)
    (run,) = world.history("a")
    assert run.startswith(f"10:10 blocked 1: {PLANNING}"), run


@pytest.mark.parametrize("whose", ["task", "vault"])
def test_stop_of_a_task_that_cannot_be_planned(world: World, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    """`status: stopped`, in its note or in the settings note, cancels what runs of it."""
    world.script = lambda request: None
    world.command("a", "status: active\ncron: '10 10 * * *'")
    world.start()
    world.advance_to("10:11")
    monkeypatch.setattr(guard, "named_files", breaks_for(named_files, lambda task, *_: task.id == "a"))
    world.edit("a", "echo a", "echo c")
    world.advance(60)
    assert world.history() == ["10:10 running"]
    if whose == "task":
        world.edit("a", "status: active", "status: stopped")
    else:
        world.write_settings("host: here\nstatus: stopped")
    world.advance(2)
    assert world.history() == ["10:10 cancelled"]


@pytest.mark.parametrize("part", ["parse_task", "_next_run"])
def test_commands_go_on_beside_a_note_that_breaks_them(
    world: World, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """It is an invalid note with a problem, in `check` and in `list`; all others are as they are."""
    world.command("a", "every: 10m")
    world.command("b", "every: 10m")
    world.start()
    if part == "parse_task":
        fault = breaks_for(parse_task, lambda document, *_: b"echo a" in document.data)
        monkeypatch.setattr(note_reading, part, fault)
    else:
        fault = breaks_for(catalogue._next_run, lambda task, *_: task is not None and task.id == "a")
        monkeypatch.setattr(catalogue, part, fault)
    found = catalogue.read_catalogue(Place.at(world.survey.vault, replace(Machine.load(world.root), host="here"), {}))
    assert [(item.name, item.standing.state.value) for item in found.items] == [("a", "invalid"), ("b", "armed")]
    assert [problem.path for problem in found.problems if INTERNAL in problem.message] == ["00_system/tasks/a.md"]


def internal_problems(world: World) -> list[str]:
    return [problem.path for problem in world.daemon.problems() if INTERNAL in problem.message]


@pytest.mark.parametrize("part", ["parse_task", "source_of"])
def test_note_that_breaks_the_parser_is_a_problem(world: World, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """The last good definition stays, as with any invalid note; other tasks go on; a repair ends it."""
    world.command("a", "every: 10m")
    world.command("b", "every: 10m")
    world.start()
    breaks = breaks_for(getattr(task_notes, part), lambda document, *_: b"strange" in document.data)
    monkeypatch.setattr(task_notes, part, breaks)
    world.edit("a", "echo a", "echo strange")
    world.advance_to("10:15")
    assert internal_problems(world) == ["00_system/tasks/a.md"]
    assert "report it" in world.log()
    assert world.history("a") == ["10:10 blocked 1: the note is invalid"]
    assert world.history("b") == ["10:10 success"]
    world.edit("a", "echo strange", "echo a")
    world.advance_to("10:25")
    assert world.history("a")[1:] == ["10:20 success"]
    assert world.daemon.problems() == []


def test_note_that_is_new_and_breaks_the_parser(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a problem and no task; the others of the same look run."""
    breaks = breaks_for(parse_task, lambda document, *_: b"strange" in document.data)
    monkeypatch.setattr(task_notes, "parse_task", breaks)
    world.command("strange", "every: 10m")
    world.command("b", "every: 10m")
    world.start()
    world.advance_to("10:15")
    assert internal_problems(world) == ["00_system/tasks/strange.md"]
    assert world.history() == ["10:10 success"]


def test_note_whose_reading_breaks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it is tried again with the next sweep, and then it is whole."""
    world.command("a", "every: 10m")
    world.command("b", "every: 10m")
    world.start()
    vault = world.survey.vault
    breaks = breaks_for(vault.read_stamped, lambda path: path.endswith("/a.md"))
    with monkeypatch.context() as patch:
        patch.setattr(vault, "read_stamped", breaks)
        world.edit("a", "echo a", "echo c")
        world.advance(60)
        assert internal_problems(world) == ["00_system/tasks/a.md"]
    world.advance_to("10:15")
    assert world.daemon.problems() == []
    assert [world.history(task) for task in "ab"] == [["10:10 success"]] * 2


def test_former_definition_that_cannot_be_rebuilt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger kept of one invalid note does not keep the daemon from starting with the others."""
    world.command("a", "every: 10m")
    world.command("b", "every: 10m")
    world.start()
    world.stop()
    monkeypatch.setattr(task_notes, "rebuild", breaks_for(rebuild, lambda *_: True))
    world.edit("a", "every: 10m", "every: often")
    world.start()
    world.advance_to("10:15")
    assert [problem.path for problem in world.daemon.problems()] == ["00_system/tasks/a.md"]
    assert world.history("b") == ["10:10 success"]


def test_settings_note_that_breaks_the_parser(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last good settings hold."""
    world.command("a", "every: 10m")
    world.start()
    monkeypatch.setattr(settings_note, "parse_settings", breaks_for(parse_settings, lambda *_: True))
    world.write_settings("host: here\nstatus: active\nmax_parallel: 2")
    world.advance_to("10:15")
    assert internal_problems(world) == ["00_system/scheduler.md"]
    assert world.history() == ["10:10 success"]


@pytest.mark.parametrize(
    ("module", "part", "marks"),
    [
        (note_change, "put_runs", lambda doc, *_: b"echo a" in doc.data),
        (note_writer, "entry_of", lambda run, *_: run.task == "a"),
        (surroundings, "NoteView", None),
        (log_writer, "log_line", lambda run, *_: run.task == "a"),
        (output_writer, "output_text", lambda run, *_: run.task == "a"),
    ],
    ids=["the note", "the entry", "the view", "the daily log", "the output note"],
)
def test_delivery_that_breaks_is_put_off(
    world: World, monkeypatch: pytest.MonkeyPatch, module: Any, part: str, marks: Callable[..., bool] | None
) -> None:
    """It is told and tried again later; the results of other tasks are written meanwhile."""
    world.script = lambda request: Result(outcome=Outcome.SUCCESS, markdown=True, text=f"result of {request.task}")
    for name in "ab":
        world.command(name, f'cron: "10 10 * * *"\noutput: out-{name}.md')
    world.start()
    function = getattr(module, part)
    with monkeypatch.context() as patch:
        if marks is None:

            def broken(**named: Any) -> Any:
                if named["path"].endswith("/a.md"):
                    raise RuntimeError("no such case")
                return function(**named)

            patch.setattr(module, part, broken)
        else:
            patch.setattr(module, part, breaks_for(function, marks))
        world.advance_to("10:15")
        assert "## Runs" in world.text("b")
        assert "tasks/b" in world.log()
        assert (world.root / "out-b.md").read_text() == "result of b\n"
        told = [rest for what, _, rest in world.told if what == "problem"]
        assert any("internal error: RuntimeError: no such case" in rest for rest in told), told
        assert len(told) < 20
    world.advance(3600)
    assert "## Runs" in world.text("a")
    assert (world.root / "out-a.md").read_text() == "result of a\n"
    assert world.call(world.store.pending_deliveries()) == []


def test_a_vault_that_was_elsewhere_meanwhile_catches_up_nothing(world: World) -> None:
    """This machine ran the vault, then another one did while no daemon ran here, then it was taken over again."""
    world.command("a", "every: 10m\ncatch_up: all")
    world.command("child", 'after: "[[a]]"')
    world.start()
    world.advance_to("10:15")
    world.stop()
    world.clock.advance(3 * 3600)
    world.call(take_over(world))
    world.start()
    world.advance_to("13:25")
    assert world.history("a") == ["10:10 success", "13:20 success"]
    assert len(world.runs("child")) == 2


async def take_over(world: World) -> None:
    """As `host take` does it."""
    store = await SqliteStore.open(world.state_folder / "ledger.db", version="test", owner="take", serving=False)
    await store.take_over(world.clock.now())
    await store.close()


def after_its_parent(world: World) -> None:
    world.command("a", 'after: "[[b]]"')
    world.command("b", "every: 10m")


@pytest.mark.parametrize("part", ["_resolve", "_cycles"])
def test_chain_that_cannot_be_judged(world: World, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """All others fire on time; the fault can be seen, and when it is over what comes after is claimed yet."""
    after_its_parent(world)
    with monkeypatch.context() as patch:
        patch.setattr(chains, part, breaks_for(getattr(chains, part), lambda *_: True))
        world.start()
        world.advance_to("10:15")
        assert world.history("b") == ["10:10 success"]
        seen = [*(problem.message for problem in world.daemon.problems()), *(rest for _, _, rest in world.told)]
        assert any("internal error: RuntimeError: no such case" in message for message in seen), seen
    world.write("c", "x: 1\ntype: command\ncommand: echo c\nafter: '[[b]]'")
    world.advance_to("10:25")
    assert world.history("b") == ["10:10 success", "10:20 success"]
    assert world.history("a")[-1] == "10:20 success"
    assert world.daemon.problems() == []


def test_links_of_one_task_that_break_the_judge(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """That task starts nothing and is a problem; other chains go on."""
    after_its_parent(world)
    world.command("c", 'after: "[[b]]"')
    breaks = breaks_for(chains._resolve, lambda link, child, *_: child.id == "a")
    monkeypatch.setattr(chains, "_resolve", breaks)
    world.start()
    world.advance_to("10:15")
    assert world.history("c") == ["10:10 success"]
    assert [problem.path for problem in world.daemon.problems()] == ["00_system/tasks/a.md"]
    assert world.history("a") == []


@pytest.mark.parametrize(
    ("part", "marks"),
    [("globs", lambda texts: "a/*.md" in texts), ("scan", lambda *_: True), ("differences", lambda *_: True)],
)
def test_look_at_watched_files_that_breaks(
    world: World, monkeypatch: pytest.MonkeyPatch, part: str, marks: Callable[..., bool]
) -> None:
    """Tasks with a clock fire on time, and the fault can be seen; when it is over changes count again."""
    world.command("a", 'on_change: "a/*.md"\ndebounce: 1s')
    world.command("b", "every: 10m")
    with monkeypatch.context() as patch:
        patch.setattr(changes, part, breaks_for(getattr(changes, part), marks))
        world.start()
        world.advance_to("10:15")
        assert world.history("b") == ["10:10 success"]
        seen = [*(problem.message for problem in world.daemon.problems()), *(rest for _, _, rest in world.told)]
        assert any("RuntimeError: no such case" in message for message in seen), seen
    world.advance(60)
    (world.root / "a").mkdir()
    (world.root / "a" / "x.md").write_text("new")
    world.daemon.hint_files(["a/x.md"])
    world.advance(60)
    assert [run.outcome for run in world.runs("a")] == [Outcome.SUCCESS]
    assert world.daemon.problems() == []


def breaks_starts(world: World, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Whatever is done with the runs of the task `a` at this place breaks."""
    where: Any = {"budget": world.daemon._guard, "engine": world.engine}.get(part, Snapshots)
    name = {"budget": "refusal", "engine": "submit"}.get(part, part)

    def is_of_a(*args: Any) -> bool:
        return any(getattr(each, "task", "") == "a" for each in args)

    monkeypatch.setattr(where, name, breaks_for(getattr(where, name), is_of_a))


@pytest.mark.parametrize("part", ["of", "request", "budget", "engine"])
def test_run_that_cannot_be_started(world: World, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """It ends as a failure that says why, in its note too; the others start."""
    world.command("a", "every: 10m")
    world.command("b", "every: 10m")
    world.start()
    breaks_starts(world, monkeypatch, part)
    world.advance_to("10:25")
    assert world.history("b") == ["10:10 success", "10:20 success"]
    assert [run.outcome for run in world.runs("a") for _ in range(run.count)] == [Outcome.FAILURE] * 2
    assert "internal error: RuntimeError: no such case" in world.runs("a")[0].reason
    assert "internal error" in world.text("a")
    assert world.daemon.dispatcher.active() == []


def test_run_whose_end_cannot_be_taken_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as a failure that says why, and is not looked at again and again."""
    world.command("a", "every: 10m")
    world.command("b", "every: 10m")
    world.script = lambda request: Lasting(30)
    world.start()
    world.advance(10 * 60 + 10)
    breaks_starts(world, monkeypatch, "of")
    world.advance_to("10:15")
    assert world.history("b") == ["10:10 success"]
    assert [run.outcome for run in world.runs("a")] == [Outcome.FAILURE]
    assert world.daemon.dispatcher.active() == []


def test_run_of_whose_end_nobody_can_hear(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has ended, once, and so have the others; the pass that took it in goes on, and the fault can be seen."""
    world.command("a", "every: 10m\nretries: 1\nretry_delay: 1m")
    world.command("b", "every: 10m\nretries: 1\nretry_delay: 1m")
    world.script = lambda request: Result(outcome=Outcome.FAILURE) if request.attempt == 1 else SUCCESS
    world.start()
    world.advance_to("10:05")
    waits = world.daemon._around.waits
    with monkeypatch.context() as patch:
        patch.setattr(world.daemon._around, "waits", breaks_for(waits, lambda run, *_: run.task == "a"))
        world.advance_to("10:10:30")
    world.advance_to("10:15")
    assert world.history("a") == world.history("b") == ["10:10 success"]
    assert [run.attempts for run in world.runs()] == [2, 2]
    assert any("internal error: RuntimeError: no such case" in rest for _, _, rest in world.told)


def test_run_of_a_former_daemon_that_cannot_be_settled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon starts, the run ends as a failure, and the others are settled."""
    world.command("a", "every: 10m")
    world.command("b", "every: 10m")
    world.script = lambda request: None
    world.start()
    world.advance_to("10:12")
    world.crash()
    monkeypatch.setattr(Snapshots, "of", breaks_for(Snapshots.of, lambda _, run: run.task == "a"))
    world.script = lambda request: SUCCESS
    world.start()
    world.advance_to("10:15")
    assert [run.outcome for run in world.runs()] == [Outcome.FAILURE, Outcome.ABANDONED]


def test_settings_note_that_breaks_the_parser_of_commands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` and `list` tell it as a problem of that note, and go on with the tasks."""
    world.command("a", "every: 10m")
    monkeypatch.setattr(settings_note, "parse_settings", breaks_for(parse_settings, lambda *_: True))
    here = Place.at(Vault(world.root), replace(Machine.load(world.root), host="here"), {})
    found = catalogue.read_catalogue(here)
    assert [item.name for item in found.items] == ["a"]
    assert [problem.path for problem in found.problems if INTERNAL in problem.message] == ["00_system/scheduler.md"]


def test_pass_that_breaks_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks a pass of the daemon as a whole, it is told, and the daemon does not end."""
    world.command("a", "every: 10m")
    world.start()
    daemon = world.daemon
    with monkeypatch.context() as patch:
        patch.setattr(daemon.scribe, "deliver", breaks_for(daemon.scribe.deliver, lambda *_: True))
        assert world.call(daemon._try_tick()) is False
    assert any("internal error: RuntimeError: no such case" in rest for _, _, rest in world.told)
    assert world.call(daemon._try_tick()) is True
    assert ("daemon", "", "it works again") in world.told
