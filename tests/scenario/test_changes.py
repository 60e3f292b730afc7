"""`on_change` (rule 1.6): what changes while it is watched starts one run, once it rests; nothing else does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vault_scheduler.executors.base import RunRequest
from vault_scheduler.ledger.store import CHANGED
from vault_scheduler.planning.approvals import TrustMode
from vault_scheduler.run import Outcome, Result, TriggerKind
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import World

MakeWorld = Callable[..., World]
WATCHES = 'on_change: "Inbox/**"'


def change(world: World, *names: str, text: str = "new", heard: bool = True) -> None:
    """Write files of the vault as people do just now; `heard`: the kernel tells of it."""
    for name in names:
        path = world.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        moment = world.clock.now().timestamp()
        os.utime(path, (moment, moment))
    tell(world, *names, heard=heard)


def tell(world: World, *names: str, heard: bool = True) -> None:
    if heard:
        world.daemon.hint_files(names)


def batches(world: World, task: str = "a") -> list[list[str]]:
    """What each run of a task was started for."""
    return [json.loads(run.extra[CHANGED]) for run in world.runs(task) if CHANGED in run.extra]


@pytest.fixture
def watching(world: World) -> World:
    """A daemon with one task that watches `Inbox/**`, and a file that has been there before."""
    (world.root / "Inbox").mkdir()
    (world.root / "Inbox" / "old.md").write_text("old")
    world.command("a", WATCHES)
    world.start()
    world.advance(60)
    return world


def test_change_starts_a_run_once_it_rests(watching: World) -> None:
    """30 s after the last change, with the path, and only once."""
    change(watching, "Inbox/new.md")
    watching.advance(29)
    assert watching.history() == []
    watching.advance(1)
    assert watching.history() == ["10:01:30 success"]
    assert batches(watching) == [["Inbox/new.md"]]
    assert watching.engine.submitted[0].changed == ("Inbox/new.md",)
    watching.advance(3600)
    assert len(watching.history()) == 1


def test_what_was_there_before_is_the_baseline(watching: World) -> None:
    """Files that are there when the daemon starts start nothing, and neither does a new task."""
    watching.advance(3600)
    watching.command("b", WATCHES, age_s=0)
    watching.advance(3600)
    assert watching.history() == []


def test_without_hints_the_sweep_finds_changes(watching: World) -> None:
    """At most 30 s after the change, and then after the debounce."""
    change(watching, "Inbox/new.md", heard=False)
    watching.advance(61)
    assert [run.outcome for run in watching.runs()] == [Outcome.SUCCESS]


def test_added_modified_and_removed_files_count(watching: World) -> None:
    """A renamed file is one removed and one added."""
    change(watching, "Inbox/old.md", text="other")
    watching.advance(31)
    (watching.root / "Inbox" / "old.md").rename(watching.root / "Inbox" / "renamed.md")
    tell(watching, "Inbox/renamed.md")
    watching.advance(31)
    (watching.root / "Inbox" / "renamed.md").unlink()
    tell(watching, "Inbox/renamed.md")
    watching.advance(31)
    assert batches(watching) == [["Inbox/old.md"], ["Inbox/old.md", "Inbox/renamed.md"], ["Inbox/renamed.md"]]


def test_bulk_change_is_one_run(watching: World) -> None:
    """As a checkout of another branch makes it: two thousand files within some seconds."""
    for second in range(4):
        change(watching, *(f"Inbox/{second}/{number}.md" for number in range(500)))
        watching.advance(second)
    watching.advance(60)
    (paths,) = batches(watching)
    assert len(paths) == 2000
    assert paths == sorted(paths)


def test_other_files_start_nothing(watching: World) -> None:
    """Only what the globs name: no other folder, no dot folder, no file that a program is still writing."""
    change(watching, "Notes/a.md", "Inbox/.git/index", "Inbox/.hidden.md", "Inbox/film.mp4.part", "Inbox/~$a.docx")
    watching.advance(120)
    assert watching.history() == []


def test_file_that_is_written_all_the_time_keeps_the_batch_open_but_not_for_ever(watching: World) -> None:
    """Not while it grows; but after ten times `debounce` the task starts anyway."""
    for _ in range(59):
        change(watching, "Inbox/log.txt", text="x", heard=False)
        watching.advance(5)
    assert watching.history() == []
    for _ in range(20):
        change(watching, "Inbox/log.txt", heard=False)
        watching.advance(5)
    assert len(watching.history()) == 1


def test_half_written_file_is_noticed_without_a_hint_before_the_run(watching: World) -> None:
    """The files are looked at once more when the batch is due."""
    change(watching, "Inbox/a.md", text="ha")
    watching.advance(25)
    change(watching, "Inbox/a.md", text="half", heard=False)
    watching.advance(20)
    assert watching.history() == []
    watching.advance(20)
    assert len(watching.history()) == 1


def test_file_that_came_and_went_starts_nothing(watching: World) -> None:
    """In the end nothing has changed."""
    change(watching, "Inbox/4913")
    watching.advance(5)
    (watching.root / "Inbox/4913").unlink()
    tell(watching, "Inbox/4913")
    watching.advance(120)
    assert watching.history() == []


def test_debounce_is_the_tasks_own(world: World) -> None:
    """Each task gathers what its globs name, for as long as it says."""
    world.command("quick", f"{WATCHES}\ndebounce: 2s")
    world.command("slow", 'on_change: ["*.md", "Inbox/*.pdf"]\ndebounce: 2m')
    world.start()
    world.advance_to("10:01")
    change(world, "Inbox/a.pdf", "Inbox/b.md", "c.md")
    world.advance(300)
    assert world.history("quick") == ["10:01:02 success"]
    assert world.history("slow") == ["10:03 success"]
    assert batches(world, "quick") == [["Inbox/a.pdf", "Inbox/b.md"]]
    assert batches(world, "slow") == [["Inbox/a.pdf", "c.md"]]


# --- nobody's changes --------------------------------------------------------------------------------------


def test_run_that_writes_into_what_it_watches_runs_once(watching: World) -> None:
    """Its own writes are no changes, neither at once nor with a later sweep."""

    def write(request: RunRequest) -> Result:
        change(watching, "Inbox/summary.md", "Inbox/old.md", text=request.run, heard=False)
        return SUCCESS

    watching.script = write
    change(watching, "Inbox/new.md")
    watching.advance(3600)
    assert len(watching.history()) == 1
    change(watching, "Inbox/newer.md")
    watching.advance(3600)
    assert batches(watching) == [["Inbox/new.md"], ["Inbox/newer.md"]]


def test_retries_write_for_themselves_too(world: World) -> None:
    """Each attempt's writes are its own; what others change between them is not."""

    def write(request: RunRequest) -> Result:
        change(world, "Inbox/out.md", text=f"{request.run} {request.attempt}", heard=False)
        return Result(outcome=Outcome.FAILURE, reason="exit 1") if request.attempt == 1 else SUCCESS

    world.script = write
    world.command("a", f"{WATCHES}\nretries: 1\nretry_delay: 10m")
    world.start()
    change(world, "Inbox/a.md")
    world.advance(60)
    change(world, "Inbox/b.md")
    world.advance(3600)
    assert batches(world) == [["Inbox/a.md"], ["Inbox/b.md"]]


def test_changes_during_a_run_are_taken_for_its_own(watching: World) -> None:
    """Of a command nobody knows what it wrote."""
    watching.script = lambda _: None
    change(watching, "Inbox/a.md")
    watching.advance(31)
    change(watching, "Inbox/b.md")
    watching.advance(300)
    watching.engine.finish("a")
    watching.advance(3600)
    assert batches(watching) == [["Inbox/a.md"]]


def test_runs_side_by_side_are_judged_when_the_last_has_ended(world: World) -> None:
    """As long as one of the task's runs goes on, what changes may be its doing."""
    world.script = lambda _: None
    world.command("a", f'{WATCHES}\ncron: "1,2 10 * * *"\noverlap: allow')
    world.start()
    world.advance_to("10:03")
    first, second = world.engine.running
    change(world, "Inbox/out.md")
    world.advance(5)
    world.engine.finish(first)
    world.advance(5)
    change(world, "Inbox/out.md", text="more")
    world.advance(5)
    world.engine.finish(second)
    world.advance(600)
    assert batches(world) == []


def test_changes_of_people_during_a_claude_run_count(world: World) -> None:
    """A session without shell tells exactly what it wrote: the rest was somebody else."""
    world.script = lambda _: None
    world.write("a", f"type: claude\n{WATCHES}", body="Sort the inbox.")
    world.start()
    change(world, "Inbox/a.md")
    world.advance(31)
    change(world, "Inbox/Sorted.md", "Inbox/b.md")
    world.advance(300)
    world.engine.finish("a", Result(outcome=Outcome.SUCCESS, changed_notes=("INBOX/sorted.md",)))
    world.advance(60)
    world.engine.finish("a")
    world.advance(3600)
    assert batches(world) == [["Inbox/a.md"], ["Inbox/b.md"]]


def test_claude_run_that_writes_through_a_link_is_recognised(world: World) -> None:
    """It tells where the file lies, the watch where it was found."""
    (world.root / "Notes").mkdir()
    (world.root / "Inbox").mkdir()
    (world.root / "Inbox" / "notes").symlink_to(world.root / "Notes")

    def write(request: RunRequest) -> Result:
        change(world, "Notes/out.md", text=request.run, heard=False)
        return Result(outcome=Outcome.SUCCESS, changed_notes=("Notes/out.md",))

    world.script = write
    world.write("a", f"type: claude\n{WATCHES}", body="Sort the inbox.")
    world.start()
    change(world, "Inbox/a.md")
    world.advance(3600)
    assert batches(world) == [["Inbox/a.md"]]
    change(world, "Notes/b.md")
    world.advance(3600)
    assert batches(world) == [["Inbox/a.md"], ["Inbox/notes/b.md"]]


def test_claude_run_that_does_not_end_well_may_have_written_anything(world: World) -> None:
    """What a session wrote before it was ended is not known for certain."""
    world.script = lambda _: None
    world.write("a", f"type: claude\n{WATCHES}", body="Sort the inbox.")
    world.start()
    change(world, "Inbox/a.md")
    world.advance(31)
    change(world, "Inbox/b.md")
    world.engine.finish("a", Result(outcome=Outcome.TIMEOUT, reason="timeout"))
    world.advance(3600)
    assert batches(world) == [["Inbox/a.md"]]


def test_what_changed_right_before_a_run_is_not_its_doing(world: World) -> None:
    """The files are looked at when an attempt begins, whatever started it."""
    world.script = lambda _: None
    world.command("a", f'{WATCHES}\ncron: "1 10 * * *"')
    world.start()
    world.advance(59)
    change(world, "Inbox/a.md", heard=False)
    world.advance(60)
    world.engine.finish("a")
    world.advance(60)
    assert batches(world) == [["Inbox/a.md"]]


def test_run_that_ends_while_the_vault_is_away_keeps_its_writes_to_itself(watching: World) -> None:
    """What it wrote is seen when the vault is back, and is its own all the same."""
    watching.script = lambda _: None
    change(watching, "Inbox/a.md")
    watching.advance(31)
    change(watching, "Inbox/out.md", heard=False)
    watching.take_vault_away()
    watching.engine.finish("a")
    watching.advance(60)
    watching.bring_vault_back()
    watching.advance(600)
    assert batches(watching) == [["Inbox/a.md"]]
    assert [run.outcome for run in watching.runs()] == [Outcome.SUCCESS]


def test_our_own_writes_are_no_changes(world: World) -> None:
    """Results in the task's note, its output note, the daily log: all below what it watches."""
    world.script = lambda _: Result(outcome=Outcome.SUCCESS, text="hello", exit_code=0)
    world.command("a", 'on_change: "**"\noutput: out.md')
    world.command("b", 'cron: "*/10 * * * *"\noutput: "b.md"')
    world.start()
    world.advance(3600)
    assert len(world.history("b")) == 6
    assert "hello" in (world.root / "b.md").read_text()
    assert "## Runs" in world.text("b")
    assert world.history("a") == []
    change(world, "new.md")
    world.advance(3600)
    assert batches(world) == [["new.md"]]


def test_text_of_ours_that_somebody_restores_counts(world: World) -> None:
    """It was ours, and then it was not."""
    world.script = lambda _: Result(outcome=Outcome.SUCCESS, text="hello", exit_code=0)
    world.command("a", 'on_change: "b.md"')
    world.command("b", 'at: "2026-11-20 10:00:10"\noutput: "b.md"')
    world.start()
    world.advance(60)
    ours = (world.root / "b.md").read_text()
    change(world, "b.md", text="theirs")
    world.advance(60)
    change(world, "b.md", text=ours)
    world.advance(60)
    assert batches(world) == [["b.md"], ["b.md"]]


def test_edit_that_our_own_write_hides_counts(world: World) -> None:
    """Somebody's edit between our last look and our write is in the file, and in the batch."""
    world.script = lambda _: Result(outcome=Outcome.SUCCESS, text="hello", exit_code=0)
    world.command("a", 'on_change: "b.md"')
    world.command("b", 'at: "2026-11-20 10:00:10"\noutput: "b.md#Log"')
    (world.root / "b.md").write_text("before\n")
    world.start()
    world.advance(9)
    change(world, "b.md", text="edited\n", heard=False)
    world.advance(120)
    assert "edited" in (world.root / "b.md").read_text()
    assert "hello" in (world.root / "b.md").read_text()
    assert batches(world) == [["b.md"]]


def test_late_text_of_a_program_that_had_the_file_open_counts(make_world: MakeWorld) -> None:
    """We lay it over the file, and yet it is somebody's change."""
    world = make_world(datetime(2096, 11, 20, 9, 0, tzinfo=UTC))  # after everything that the disk's own clock stamps
    world.script = lambda _: Result(outcome=Outcome.SUCCESS, text="hello", exit_code=0)
    world.command("a", 'on_change: "b.md"')
    world.command("b", 'at: "2096-11-20 10:00:10"\noutput: "b.md#Log"')
    (world.root / "b.md").write_text("before\n")
    world.start()
    world.advance(9)
    with (world.root / "b.md").open("ab") as editor:
        world.advance(2)
        editor.write(b"late\n")
    world.advance(120)
    assert "late" in (world.root / "b.md").read_text()
    assert "hello" in (world.root / "b.md").read_text()
    assert batches(world) == [["b.md"]]


def test_task_notes_can_be_watched(world: World) -> None:
    """People's edits of them count, our properties and runs do not."""
    world.command("a", 'on_change: "00_system/tasks/*.md"')
    world.command("b", 'cron: "*/10 * * * *"')
    world.start()
    world.advance(1500)
    assert world.history("a") == []
    world.edit("b", "echo b", "echo c")
    tell(world, "00_system/tasks/b.md")
    world.advance(60)
    assert batches(world) == [["00_system/tasks/b.md"]]


def test_two_tasks_may_write_for_each_other(world: World) -> None:
    """What one task's run writes is a change for the other: a chain, which `max_runs` bounds."""

    def write(request: RunRequest) -> Result:
        change(world, f"{request.task}/out.md", text=request.run)
        return SUCCESS

    world.script = write
    world.command("a", 'on_change: "b/**"\nmax_runs: 2')
    world.command("b", 'on_change: "a/**"\nmax_runs: 2')
    world.start()
    change(world, "b/start.md")
    world.advance(3600)
    assert len(world.history("a")) == 2
    assert len(world.history("b")) == 2


# --- when changes count ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("off", "on"),
    [
        ("status: paused", "status: active"),
        ("status: stopped", "status: active"),
        ("host: there", "host: here"),
        ("start: 2026-11-21", "start: 2026-11-19"),
        ("paused_until: 2026-11-20T10:10", "paused_until: 2026-11-20T10:10"),
    ],
)
def test_changes_count_only_while_armed(world: World, off: str, on: str) -> None:
    """What changed before is forgotten, also if nobody had looked at it yet."""
    world.command("a", f"{WATCHES}\n{off}")
    world.start()
    change(world, "Inbox/before.md")
    world.advance_to("10:09:50")
    change(world, "Inbox/just-before.md", heard=False)
    if on != off:
        world.edit("a", off, on)
    world.advance(120)
    assert world.history() == []
    change(world, "Inbox/after.md")
    world.advance(120)
    assert batches(world) == [["Inbox/after.md"]]


def test_pause_forgets_what_was_gathered(watching: World) -> None:
    """Resuming never fires by itself."""
    change(watching, "Inbox/a.md")
    watching.advance(10)
    watching.edit("a", WATCHES, f"{WATCHES}\nstatus: paused")
    watching.advance(60)
    watching.edit("a", "status: paused", "status: active")
    watching.advance(600)
    assert watching.history() == []


def test_edit_of_the_triggers_begins_anew(watching: World) -> None:
    """What was gathered for the old globs is not for the new ones; what the old ones did not name is no change."""
    change(watching, "Inbox/a.md")
    change(watching, "Notes/b.md", heard=False)
    watching.edit("a", WATCHES, 'on_change: ["Inbox/**", "Notes/**"]')
    watching.advance(600)
    assert watching.history() == []
    change(watching, "Notes/c.md")
    watching.advance(60)
    assert batches(watching) == [["Notes/c.md"]]


def test_edit_of_something_else_keeps_what_was_gathered(watching: World) -> None:
    """Another command is no other trigger."""
    change(watching, "Inbox/a.md")
    watching.advance(10)
    watching.edit("a", "echo a", "echo b")
    watching.advance(60)
    assert batches(watching) == [["Inbox/a.md"]]


def test_renamed_task_keeps_what_was_gathered(watching: World) -> None:
    """It is the same task."""
    change(watching, "Inbox/a.md")
    watching.advance(10)
    watching.rename("a", "z")
    watching.advance(60)
    assert batches(watching, "z") == [["Inbox/a.md"]]


def test_changes_while_no_daemon_ran_start_nothing(watching: World) -> None:
    """The first look after a start is the baseline again."""
    change(watching, "Inbox/a.md")
    watching.advance(5)
    watching.stop()
    change(watching, "Inbox/b.md", heard=False)
    watching.clock.advance(3600)
    watching.start()
    watching.advance(600)
    assert watching.history() == []
    change(watching, "Inbox/c.md")
    watching.advance(60)
    assert batches(watching) == [["Inbox/c.md"]]


def test_claimed_batch_survives_a_crash(watching: World) -> None:
    """A run that was claimed for its changes is made up for with the same ones."""
    watching.script = lambda _: None
    watching.edit("a", WATCHES, f"{WATCHES}\nretries: 1")
    watching.advance(60)
    change(watching, "Inbox/a.md")
    watching.advance(31)
    watching.crash()
    watching.start()
    watching.advance(120)
    watching.engine.finish("a")
    watching.settle()
    assert batches(watching) == [["Inbox/a.md"]]
    assert watching.engine.submitted[-1].changed == ("Inbox/a.md",)


def test_vault_that_was_away_comes_back_with_its_changes(watching: World) -> None:
    """Nothing counts as gone while it is away; what differs afterwards is a change."""
    watching.take_vault_away()
    watching.advance(120)
    away = watching.root.with_name("away")
    (away / "Inbox" / "new.md").write_text("new")
    watching.bring_vault_back()
    watching.advance(120)
    assert batches(watching) == [["Inbox/new.md"]]


def test_changes_during_suspend_count(watching: World) -> None:
    """A sync program may have written while the machine woke up."""
    change(watching, "Inbox/a.md", heard=False)
    watching.suspend(8 * 3600)
    watching.advance(60)
    assert batches(watching) == [["Inbox/a.md"]]


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel", "allow"])
def test_changes_while_another_run_goes_on_wait_for_its_end(make_world: MakeWorld, overlap: str) -> None:
    """Whatever the overlap policy: those that were seen before it began are not skipped, and cancel nothing."""
    world = make_world(settings="status: active\nhost: here\ntimezone: Europe/Berlin\nmax_parallel: 1\n")
    world.script = lambda _: None
    world.command("a", f"{WATCHES}\noverlap: {overlap}")
    world.command("long", "at: 2026-11-20 10:00:10")
    world.start()
    change(world, "Inbox/a.md")
    world.advance(31)  # claimed, and waits for the slot that `long` has
    change(world, "Inbox/b.md")
    world.advance(300)
    assert batches(world) == [["Inbox/a.md"]]
    world.engine.finish("long")
    world.advance(1)
    world.engine.finish("a")
    world.advance(1)
    world.engine.finish("a")
    world.advance(600)
    assert batches(world) == [["Inbox/a.md"], ["Inbox/b.md"]]
    assert [run.outcome for run in world.runs("a")] == [Outcome.SUCCESS, Outcome.SUCCESS]


def test_max_runs_and_until_end_the_watching(world: World) -> None:
    """After the last run, or the last day, nothing is watched any more, and the task is done."""
    world.command("few", f"{WATCHES}\nmax_runs: 1")
    world.command("brief", f"{WATCHES}\nuntil: 2026-11-20T10:30")
    world.start()
    change(world, "Inbox/a.md")
    world.advance_to("10:40")
    change(world, "Inbox/b.md")
    world.advance(300)
    assert batches(world, "few") == batches(world, "brief") == [["Inbox/a.md"]]
    assert "status: done" in world.text("few")
    assert "status: done" in world.text("brief")


def test_max_runs_holds_for_what_was_gathered_meanwhile(make_world: MakeWorld) -> None:
    """The last run waited for a place, and a second batch for the run."""
    world = make_world(settings="status: active\nhost: here\ntimezone: Europe/Berlin\nmax_parallel: 1\n")
    world.script = lambda request: None if request.task == "long" else SUCCESS
    world.command("a", f"{WATCHES}\nmax_runs: 1")
    world.command("long", "at: 2026-11-20 10:00:10")
    world.start()
    change(world, "Inbox/a.md")
    world.advance(31)
    change(world, "Inbox/b.md")
    world.advance(60)
    world.engine.finish("long")
    world.advance(600)
    assert batches(world) == [["Inbox/a.md"]]


def test_batch_that_is_due_after_until_starts_nothing(world: World) -> None:
    """The instant at which it would start is what counts, also if the note cannot be closed yet."""
    world.command("a", f"{WATCHES}\nuntil: 2026-11-20T10:30\ndebounce: 3s")
    world.start()
    world.advance_to("10:29:58")
    world.edit("a", "echo a", "echo b")
    change(world, "Inbox/a.md")
    world.advance(600)
    assert world.history() == []


def test_once_watches_nothing(world: World) -> None:
    """A pass over what is due is no daemon."""
    world.command("a", WATCHES)
    world.start(once=True)
    change(world, "Inbox/a.md")
    world.advance(120)
    assert world.history() == []


def test_nothing_is_looked_at_while_no_task_watches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And folders of no interest never are."""
    looked: list[str] = []
    scandir = os.scandir

    def spy(path: str) -> Iterator[os.DirEntry[str]]:
        looked.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", spy)
    (world.root / "Inbox").mkdir()
    (world.root / "Notes").mkdir()
    world.command("a", "every: 1h")
    world.start()
    world.advance(300)
    assert not [path for path in looked if Path(path).name == "Inbox"]
    world.command("b", WATCHES)
    world.advance(300)
    assert [path for path in looked if Path(path).name == "Inbox"]
    assert not [path for path in looked if Path(path).name == "Notes"]


def test_watching_wakes_nobody_while_nothing_changes(make_world: MakeWorld) -> None:
    """A vault that rests is looked at with the sweep, and at no other time."""
    ticks = []
    for trigger in ('cron: "0 3 1 1 *"', f'cron: "0 3 1 1 *"\n{WATCHES}'):
        world = make_world()
        world.command("a", trigger)
        world.start()
        world.advance(60)
        before = world.ticks
        world.advance(3600)
        ticks.append(world.ticks - before)
    assert ticks[0] == ticks[1]


def test_changes_that_the_gate_refuses_are_one_row(world: World) -> None:
    """Runs for changes that do not start, one after the other and for the same reason, are counted in one row."""
    world.command("a", f"{WATCHES}\ndebounce: 5s\ngate: check")
    world.script = lambda request: Result(outcome=Outcome.SKIPPED, reason="gate: exit 1")
    world.start()
    world.advance(30)
    for number in range(4):
        change(world, "Inbox/new.md", text="new" * number)
        world.advance(60)
    assert world.history() == ["10:00:35-10:03:35 skipped 4: gate: exit 1"]
    world.script = lambda request: SUCCESS
    change(world, "Inbox/new.md", text="newer")
    world.advance(60)
    assert world.history()[1:] == ["10:04:35 success"]


def test_changes_of_an_invalid_task_end_blocked(watching: World) -> None:
    """What would have started a task whose note is invalid is told, in one row; its last good globs say what."""
    watching.edit("a", "type: command", "type: nonsense")
    watching.advance(120)
    for number in range(3):
        change(watching, "Inbox/new.md", text="new" * number)
        watching.advance(60)
    (row,) = watching.runs()
    assert (row.outcome, row.count) == (Outcome.BLOCKED, 3)
    watching.edit("a", "type: nonsense", "type: command")
    watching.advance(120)
    assert len(watching.runs()) == 1
    change(watching, "Inbox/new.md", text="newer")
    watching.advance(60)
    assert watching.runs()[1].outcome is Outcome.SUCCESS


def test_changes_and_the_start_of_a_held_task_end_blocked(make_world: MakeWorld) -> None:
    """What waits for approval is told for what would have started it: its changes in one row, the start in another."""
    world = make_world()
    (world.root / "Inbox").mkdir()
    world.trust_mode = TrustMode.PINNED
    world.command("a", f"{WATCHES}\non_start: true")
    world.start()
    world.advance(60)
    assert world.stands("a") == "held"
    for number in range(3):
        change(world, "Inbox/new.md", text="new" * number)
        world.advance(60)
    start, changes = world.runs()
    assert (start.trigger, start.outcome) == (TriggerKind.START, Outcome.BLOCKED)
    assert (changes.trigger, changes.outcome, changes.count) == (TriggerKind.CHANGE, Outcome.BLOCKED, 3)
    assert "vault-sched approve a" in changes.reason
