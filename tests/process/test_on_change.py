"""`on_change` with the real daemon: the kernel's hints, real commands, what they are handed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import Scene, World

TELLS = 'type: command\ncommand: "cat $VAULT_SCHED_CHANGED >> $HOME/told; echo end >> $HOME/told"\ndebounce: 1s\n'


def put(world: World, *names: str, text: str = "new") -> None:
    for name in names:
        path = world.vault / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def watch(world: World, keys: str) -> None:
    """Start the daemon with a task `a`; returns when it has looked at the files for the first time."""
    put(world, "Inbox/old.md")
    long_ago = time.time() - 3600  # an old note is believed at once, so that the first pass has all
    for path in (world.note("a", keys), world.settings):
        os.utime(path, (long_ago, long_ago))
    world.start()
    world.until(lambda: world.rows("SELECT 1 FROM tasks WHERE task = 'a' AND fires"), "the task is armed")


def told(world: World) -> list[list[str]]:
    """The paths that each run of the task was handed."""
    path = world.folder / "home" / "told"
    text = path.read_text() if path.exists() else ""
    return [batch.splitlines() for batch in text.split("end\n")[:-1]]


# --- scenes ------------------------------------------------------------------------------------------------


def bulk_change_is_one_run(world: World) -> None:
    """A copied folder, a download that is renamed, a deletion: one run, handed exactly these."""
    watch(world, TELLS + 'on_change: ["Inbox/**", "!**/*.log"]')
    put(world, *(f"outside/{number}.md" for number in range(200)))
    put(world, "Inbox/x.log", "Notes/a.md", "Inbox/.hidden", "Inbox/film.mp4.part")
    shutil.copytree(world.vault / "outside", world.vault / "Inbox" / "copied" / "deep")
    (world.vault / "Inbox" / "film.mp4.part").rename(world.vault / "Inbox" / "film.mp4")
    (world.vault / "Inbox" / "old.md").unlink()
    world.ended("a")
    copied = [f"Inbox/copied/deep/{number}.md" for number in range(200)]
    assert told(world) == [sorted([*copied, "Inbox/film.mp4", "Inbox/old.md"])]


def command_that_writes_into_its_own_folder_runs_once(world: World) -> None:
    """The run's own files, among them the one that made it due; then somebody's next change counts."""
    writes = 'type: command\ncommand: "echo x >> Inbox/new.md; date > Inbox/out.md; cp Inbox/new.md Inbox/copy.md"'
    watch(world, f'{writes}\non_change: "**"\ndebounce: 1s\noutput: "Inbox/result.md"')
    put(world, "Inbox/new.md")
    world.ended("a")
    world.delivered("a")
    put(world, "Notes/probe.md")  # this is noticed for certain, so our own would have been, too
    runs = world.ended("a", 2)
    assert len(runs) == 2
    assert [run["extra"] for run in runs] == [
        '{"changed": "[\\"Inbox/new.md\\"]"}',
        '{"changed": "[\\"Notes/probe.md\\"]"}',
    ]


def folder_that_comes_later_is_watched(world: World) -> None:
    """Also one that is moved in as a whole, and one that is gone for a while."""
    watch(world, TELLS + 'on_change: "Later/**/*.md"')
    put(world, "elsewhere/sub/a.md")
    (world.vault / "elsewhere").rename(world.vault / "Later")
    world.ended("a")
    put(world, "Later/sub/b.md")
    world.ended("a", 2)
    assert told(world) == [["Later/sub/a.md"], ["Later/sub/b.md"]]


def file_that_is_written_slowly_is_handed_on_when_it_is_complete(world: World) -> None:
    """A program that writes for four times the debounce."""
    size = 'command: "wc -c < Inbox/slow.bin > $HOME/size"'
    watch(world, f'type: command\n{size}\non_change: "Inbox/*"\ndebounce: 1s')
    writer = (
        "import time\nf = open('Inbox/slow.bin', 'wb', 0)\nfor _ in range(16): f.write(b'x' * 10); time.sleep(0.25)"
    )
    subprocess.run(["python3", "-c", writer], cwd=world.vault, check=True)
    world.ended("a")
    assert (world.folder / "home" / "size").read_text().strip() == "160"


def git_checkout_is_one_run(world: World) -> None:
    """Of another branch, with all that git writes on the way."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]

    def run(*arguments: str) -> None:
        subprocess.run([*git, *arguments], cwd=world.vault, check=True, capture_output=True)

    run("init", "-q", "-b", "one")
    put(world, *(f"Inbox/{number}.md" for number in range(50)))
    run("add", "Inbox")
    run("commit", "-q", "-m", "one")
    run("checkout", "-q", "-b", "two")
    put(world, *(f"Inbox/{number}.md" for number in range(25)), text="two")
    run("commit", "-q", "-a", "-m", "two")
    watch(world, TELLS + 'on_change: "**/*.md"')
    run("checkout", "-q", "one")
    world.ended("a")
    assert told(world) == [sorted(f"Inbox/{number}.md" for number in range(25))]


def edit_of_the_globs_moves_the_watch(world: World) -> None:
    """Without a restart; what changed in the new folder before that is no change."""
    watch(world, TELLS + 'on_change: "Inbox/*"')
    put(world, "Other/before.md")
    world.note("a", TELLS + 'on_change: "Other/*"')
    fingerprint = "SELECT fingerprint FROM tasks WHERE task = 'a'"
    before = world.rows(fingerprint)
    world.until(lambda: world.rows(fingerprint) != before, "the edit counts")
    put(world, "Inbox/ignored.md", "Other/after.md")
    world.ended("a")
    assert told(world) == [["Other/after.md"]]


SCENES: list[Scene] = [
    bulk_change_is_one_run,
    command_that_writes_into_its_own_folder_runs_once,
    folder_that_comes_later_is_watched,
    file_that_is_written_slowly_is_handed_on_when_it_is_complete,
    git_checkout_is_one_run,
    edit_of_the_globs_moves_the_watch,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_on_change(scene: Scene, play: Callable[[Scene], None]) -> None:
    """Changes of files start a run, once they rest."""
    play(scene)
