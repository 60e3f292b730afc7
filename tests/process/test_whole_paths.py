"""Whole paths with the real daemon: from a note to a run and back into the note."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import World


def a_new_note_while_the_daemon_runs(world: World) -> None:
    """`every: 2s`: its result stands in the note and in the daily log, once each."""
    world.start()
    note = world.note("new", 'type: command\nevery: 2s\ncommand: "echo hello from the note"', "Text.\n")
    (run, *_) = world.ended("new", 2)
    world.until(lambda: run["id"] in note.read_text(), "in the note")
    assert "> hello from the note" in note.read_text()
    assert note.read_text().startswith("---\ntype: command\nevery: 2s\n")
    world.until(lambda: f"^{run['id']}" in world.log_text(), "in the log")
    assert len(re.findall(rf"^- .*hello from the note \^{run['id']}$", world.log_text(), re.M)) == 1
    note.unlink()


def a_vault_of_another_machine(world: World) -> None:
    """A task with our `host` runs, and logs into a file of our own; the others, and the shared log, are left alone."""
    (world.config / "config.toml").write_text('host = "laptop"\n')
    world.settings.write_text(world.settings.read_text().replace("timezone", "host: server\ntimezone"))
    settings = world.settings.read_bytes()
    mine = world.note("mine", 'type: command\nevery: 1s\nhost: laptop\ncommand: "echo from the laptop"')
    theirs = world.note("theirs", 'type: command\nevery: 1s\nrun_now: true\ncommand: "echo no"')
    before = theirs.read_bytes()
    world.start()
    (run, *_) = world.ended("mine", 2)
    world.until(lambda: run["id"] in mine.read_text(), "in the note")
    world.until(lambda: f"^{run['id']}" in world.log_text(), "in the log")
    logs = [path.name for path in world.logs.iterdir() if path.suffix == ".md"]
    assert [name for name in logs if not re.fullmatch(r"\d{4}-\d\d-\d\d-laptop\.md", name)] == []
    assert world.runs("theirs") == []
    assert (theirs.read_bytes(), world.settings.read_bytes()) == (before, settings)


def a_pause_of_the_vault(world: World) -> None:
    """`paused_until` in the settings note stops every start until that moment, and nothing is made up for after it."""
    world.note("often", 'type: command\nevery: 1s\ncommand: "true"')
    world.start()
    world.ended("often")
    until = (datetime.now(UTC) + timedelta(seconds=7)).replace(microsecond=0)
    text = world.settings.read_text()
    world.settings.write_text(
        text.replace("status: active", f"status: active\npaused_until: {until:%Y-%m-%dT%H:%M:%S}")
    )
    world.until(lambda: any(run["fire_time"] >= until.timestamp() for run in world.runs("often")), "it goes on")
    world.ended("often", 2)
    fires = [run["fire_time"] for run in world.runs("often")]
    assert not [fire for fire in fires if until.timestamp() - 4 < fire < until.timestamp()]


def a_branch_that_is_checked_out(world: World) -> None:
    """`git checkout` of another branch: what it brings runs, what it takes away does not, and its edits count."""

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "core.hooksPath=/dev/null"]
        subprocess.run(["git", *who, *arguments], cwd=world.vault, check=True, capture_output=True)

    def marked(word: str) -> str:
        return f"---\ntype: command\nevery: 1s\nlog: none\ncommand: 'echo x >> {world.outside}/{word}'\n---\n"

    paths = {name: world.tasks / f"{name}.md" for name in ("same", "gone", "come")}
    git("init", "-q", "-b", "one")
    paths["same"].write_text(marked("one"))
    paths["gone"].write_text(marked("gone"))
    git("add", "00_system/tasks")
    git("commit", "-q", "-m", "one")
    git("checkout", "-q", "-b", "two")
    git("rm", "-q", str(paths["gone"]))
    paths["same"].write_text(marked("two"))
    paths["come"].write_text(marked("come"))
    git("add", "00_system/tasks")
    git("commit", "-q", "-m", "two")
    git("checkout", "-q", "one")
    world.start()
    world.until(lambda: {path.name for path in world.outside.iterdir()} == {"one", "gone"}, "the first branch runs")
    git("checkout", "-q", "-f", "two")
    world.until(lambda: {path.name for path in world.outside.iterdir()} == {"one", "gone", "two", "come"}, "the second")
    sizes = [(world.outside / name).stat().st_size for name in ("one", "gone")]
    count = (world.outside / "two").stat().st_size
    world.until(lambda: (world.outside / "two").stat().st_size >= count + 4, "two more runs")
    assert [(world.outside / name).stat().st_size for name in ("one", "gone")] == sizes


def downtime_that_is_made_up_for(world: World) -> None:
    """`catch_up: all` after kill -9: what came due in the downtime runs late, each fire time once, and no gap."""
    world.note("all", 'type: command\nevery: 1s\ncatch_up: all\nlog: none\ncommand: "true"')
    world.start()
    world.ended("all", 2)
    world.kill()
    down = time.time()
    time.sleep(3)
    up = time.time()
    world.start()

    def settled() -> list[dict[str, Any]]:
        runs = [run for run in world.runs("all") if run["fire_time"] <= up + 1]
        return runs if runs[-1]["fire_time"] > up and all(run["state"] == "ended" for run in runs) else []

    runs = world.until(settled, "all that came due has ended", 30)
    fires = [run["fire_time"] for run in runs]
    assert fires == [fires[0] + number for number in range(len(fires))]
    assert {run["outcome"] for run in runs if down + 1 < run["fire_time"] < up - 1} == {"success"}


SCENES = [
    a_new_note_while_the_daemon_runs,
    a_vault_of_another_machine,
    a_pause_of_the_vault,
    a_branch_that_is_checked_out,
    downtime_that_is_made_up_for,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_whole_path(scene: Callable[[World], None], play: Callable[[Callable[[World], None]], None]) -> None:
    """What the scene's own sentence says."""
    play(scene)
