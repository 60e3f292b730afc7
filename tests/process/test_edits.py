"""The real daemon and people who edit: however a file is saved, what was promised about edits holds."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import World

Save = Callable[[Path, str], None]


def in_place(path: Path, text: str) -> None:
    """As Obsidian and most editors: truncate, then write, in two steps."""
    with path.open("w") as file:
        file.flush()
        os.fsync(file.fileno())
        time.sleep(0.05)
        file.write(text[: len(text) // 2])
        file.flush()
        time.sleep(0.05)
        file.write(text[len(text) // 2 :])


def atomically(path: Path, text: str) -> None:
    """As vim and sync programs: a new file, renamed over the old one."""
    new = path.with_name(f".{path.name}.tmp")
    new.write_text(text)
    new.replace(path)


def by_git(path: Path, text: str) -> None:
    """As a checkout: the old file is removed, another one of the same name created."""
    repository = path.parents[2] / ".git"
    git = [
        "git",
        f"--git-dir={repository}",
        f"--work-tree={path.parents[2]}",
        "-c",
        "user.name=x",
        "-c",
        "user.email=x",
    ]
    if not repository.exists():
        subprocess.run([*git, "init", "-q"], check=True)
    before = path.read_bytes() if path.exists() else b""
    blob = subprocess.run([*git, "hash-object", "-w", "--stdin"], input=text.encode(), capture_output=True, check=True)
    name = str(path.relative_to(path.parents[2]))
    entry = f"100644,{blob.stdout.decode().strip()},{name}"
    subprocess.run([*git, "update-index", "--add", "--cacheinfo", entry], check=True)
    subprocess.run([*git, "checkout-index", "-f", "-q", name], check=True)
    assert path.read_bytes() != before


SAVES: dict[str, Save] = {"in-place": in_place, "atomic": atomically, "git": by_git}


class Counter:
    """A task whose runs leave words in a file outside of the vault."""

    def __init__(self, world: World, name: str, save: Save) -> None:
        self.world = world
        self.name = name
        self.path = world.tasks / f"{name}.md"
        self.file = world.outside / name
        self._save = save

    def save(self, word: str, every: str = "1s", more: str = "") -> None:
        # The command of a run finds the file by the name of its task.
        command = f"echo {word} >> {self.world.outside}/{self.name}"
        self._save(self.path, f'---\ntype: command\nevery: {every}\ncommand: "{command}"\n{more}---\nText.\n')

    def words(self) -> list[str]:
        return self.file.read_text().split() if self.file.exists() else []

    def waits_for(self, word: str) -> None:
        self.world.until(lambda: word in self.words(), f"{word} of {self.name}")

    def still(self, seconds: float = 2.2) -> bool:
        """Whether nothing runs for a while."""
        before, until = self.words(), time.monotonic() + seconds
        while time.monotonic() < until and self.words() == before:
            time.sleep(0.05)
        return self.words() == before


def edits_take_effect_however_they_are_saved(world: World) -> None:
    """Command, trigger, pause, resume and deletion count: in place, by rename, by git."""
    world.start()
    counters = [Counter(world, name, save) for name, save in SAVES.items()]
    for counter in counters:
        counter.save("old")
    for counter in counters:
        counter.waits_for("old")
    for counter in counters:
        counter.save("new")
    for counter in counters:
        counter.waits_for("new")
    for counter in counters:
        counter.save("new", more="status: paused\n")
    time.sleep(0.7)  # two equal reads and a run that had begun
    assert [counter.still(1.6 if counter is counters[0] else 0.1) for counter in counters] == [True] * 3
    for counter in counters:
        counter.save("resumed", more="status: active\n")
    for counter in counters:
        counter.waits_for("resumed")
    for counter in counters:
        counter.save("rare", every="1d")
    for counter in counters:
        world.until(lambda c=counter: "00:00:00" in c.path.read_text(), "next_run is midnight")  # type: ignore[misc]
    assert [counter.still(1.6 if counter is counters[0] else 0.1) for counter in counters] == [True] * 3
    for counter in counters:
        counter.save("last")
    for counter in counters:
        counter.waits_for("last")
    for counter in counters:
        counter.path.unlink()
    time.sleep(0.7)
    assert [counter.still(1.6 if counter is counters[0] else 0.1) for counter in counters] == [True] * 3
    for counter in counters:
        in_order = re.sub(r"(\b\w+\b)( \1)+", r"\1", " ".join(counter.words()))
        # A fire time of the old trigger may have come due before the new one counted: it ran what the note said then.
        assert in_order.replace("rare ", "") == "old new resumed last"
        assert counter.words().count("rare") <= 1


def stopped_cancels_what_runs(world: World) -> None:
    """`status: stopped`, typed on a phone, ends the run at once and says so in the note."""
    world.start()
    keys = 'type: command\ncron: 0 0 29 2 *\ncommand: "echo begun; sleep 4811"'
    note = world.note("stop-me", f"{keys}\nrun_now: true")
    world.until(lambda: world.runs("stop-me") and world.runs("stop-me")[0]["state"] == "running", "it runs")
    world.until(lambda: "run_now: false" in note.read_text(), "unticked")
    in_place(note, f"---\n{keys}\nstatus: stopped\n---\n")
    (run,) = world.ended("stop-me")
    assert (run["outcome"], run["reason"]) == ("cancelled", "stopped")
    world.delivered("stop-me")
    assert "> begun" in note.read_text()


def a_broken_edit_is_reported_while_other_tasks_run_on(world: World) -> None:
    """Line, reason and fix stand in the daily log; the last good definition runs on for a while."""
    world.start()
    fine, broken = Counter(world, "fine", in_place), Counter(world, "broken", in_place)
    fine.save("ok")
    broken.save("ok")
    broken.waits_for("ok")
    in_place(broken.path, '---\ntype: command\ncron: */5 * * * *\ncommand: "true"\n---\n')
    world.until(lambda: "tasks/broken|broken]] line 3: cron:" in world.log_text(), "the problem is in the log")
    assert 'Quote the value: cron: "\\*/5 \\* \\* \\* \\*"' in world.log_text()
    before = len(fine.words())
    world.until(lambda: len(fine.words()) > before + 1, "the other goes on")
    fine.path.unlink()
    broken.path.unlink()


def copies_never_run(world: World) -> None:
    """Neither a sync conflict nor a duplicate nor a note below a dot folder or among templates."""
    world.start()
    original = Counter(world, "original", in_place)
    original.save("ran")
    original.waits_for("ran")
    text = original.path.read_text().replace("/original", "/copied")
    for name in (
        "original 1.md",
        "original (conflicted copy 2026-11-20).md",
        "original.sync-conflict-20261120-070000-ABCDEF.md",
        "original copy.md",
    ):
        (world.tasks / name).write_text(original.path.read_text())
    (world.tasks / ".trash").mkdir()
    (world.tasks / ".trash" / "gone.md").write_text(text)
    (world.tasks / "~original.md.tmp").write_text(text)
    world.until(lambda: "looks like a copy" in world.log_text(), "the copy is a problem")
    time.sleep(2)
    tasks = {row["task"] for row in world.rows("SELECT DISTINCT task FROM runs")}
    assert {task for task in tasks if "original" in task or "gone" in task} == {"original"}
    assert not (world.outside / "copied").exists()
    original.path.unlink()
    for path in world.tasks.glob("*original*"):
        path.unlink()


def a_renamed_task_goes_on(world: World) -> None:
    """Its history stays, no fire time runs twice, and results go into the note under its new name."""
    world.start()
    before = Counter(world, "before", in_place)
    before.save("ran")
    before.waits_for("ran")
    before.path.rename(world.tasks / "after.md")
    after = Counter(world, "after", in_place)
    world.until(lambda: "before → after" in re.sub(r"\s+", " ", world.told()), "it is seen as a rename")
    count = len(before.words())
    world.until(lambda: len(before.words()) > count + 1, "it goes on")
    runs = world.until(lambda: world.runs("after"), "the history went along")
    fires = [run["fire_time"] for run in runs]
    assert len(fires) == len(set(fires))
    assert world.runs("before") == []
    newest = runs[-2]["id"]
    world.until(lambda: newest in after.path.read_text() or len(world.runs("after")) > 20, "results arrive")
    after.path.unlink()


def a_note_that_is_deleted_during_its_run(world: World) -> None:
    """The run goes on; its result is in the ledger and the daily log."""
    world.start()
    world.note("doomed", 'type: command\ncron: 0 0 29 2 *\nrun_now: true\ncommand: "sleep 2; echo last words"')
    world.until(lambda: [run for run in world.runs("doomed") if run["state"] == "running"], "it runs")
    (world.tasks / "doomed.md").unlink()
    (run,) = world.ended("doomed")
    assert run["outcome"] == "success"
    world.until(lambda: f"last words ^{run['id']}" in world.log_text(), "the log has it")
    world.delivered("doomed")
    assert not (world.tasks / "doomed.md").exists()


def a_truncated_settings_note_changes_nothing(world: World) -> None:
    """Empty, or without its fence: the last good settings stay. `status: stopped` in it cancels what runs."""
    world.start()
    good = world.settings.read_text()
    runner = Counter(world, "runner", in_place)
    runner.save("ran")
    runner.waits_for("ran")
    world.settings.write_text("")
    world.until(lambda: "scheduler.md" in world.told().rpartition("problem")[2], "it is a problem", 10)
    count = len(runner.words())
    world.until(lambda: len(runner.words()) > count + 1, "everything goes on")
    world.note("long", 'type: command\ncron: 0 0 29 2 *\nrun_now: true\ncommand: "sleep 4812"')
    world.until(lambda: world.runs("long") and world.runs("long")[0]["state"] == "running", "it runs")
    in_place(world.settings, good.replace("status: active", "status: stopped"))
    (run,) = world.ended("long")
    assert (run["outcome"], run["reason"]) == ("cancelled", "vault stopped")
    assert runner.still(1.6)
    in_place(world.settings, good)
    count = len(runner.words())
    world.until(lambda: len(runner.words()) > count, "it goes on")
    runner.path.unlink()


SCENES = [
    edits_take_effect_however_they_are_saved,
    stopped_cancels_what_runs,
    a_broken_edit_is_reported_while_other_tasks_run_on,
    copies_never_run,
    a_renamed_task_goes_on,
    a_note_that_is_deleted_during_its_run,
    a_truncated_settings_note_changes_nothing,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_edits(scene: Callable[[World], None], play: Callable[[Callable[[World], None]], None]) -> None:
    """What the scene's own sentence says."""
    play(scene)


def test_what_was_stopped_is_gone(alive: Callable[[str], list[int]]) -> None:
    """No process of a cancelled run lives on."""
    assert not alive("sleep\x004811")
    assert not alive("sleep\x004812")
