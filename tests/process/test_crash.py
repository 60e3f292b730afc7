"""kill -9 of the real daemon in every state of a run: one outcome per claim, nothing twice, nothing lost, no orphan."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.conftest import alive_below
from vault_scheduler.notes.note import Document

if TYPE_CHECKING:
    from tests.process.conftest import World

ROUNDS = 2
BODY = "Text above, with a [[link]].  \n\n## Runs\n\n## Mine\n- stays ^mine\n"
SETTINGS = """---
status: active
timezone: UTC
note_quiet: 2s
note_interval: 1s
max_parallel: 1
---
"""


class Crash:
    """A task that leaves its mark outside of the vault, and a daemon that is killed at a certain moment."""

    def __init__(self, world: World, number: int, script: str, keys: str = "", *, is_block: bool = False) -> None:
        self.world = world
        self.name = f"crash{number}"
        self.marks = world.outside / f"{self.name}.txt"
        mark = f"echo $VAULT_SCHED_RUN $VAULT_SCHED_ATTEMPT >> {self.marks}"
        command = "" if is_block else f'command: "{mark}; {script}"'
        self.body = f"```sh\n{mark}; {script}\n```\n{BODY}" if is_block else BODY
        self.keys = f"# a comment\ntype: command\ncron: 0 0 29 2 *\n{command}\n{keys}"
        self.note = world.note(self.name, f"{self.keys}\nrun_now: true", self.body)

    def run(self) -> dict[str, Any]:
        runs = self.world.runs(self.name)
        return runs[0] if runs else {}

    def kill_when(self, condition: Callable[[], object], what: str, pause_s: float = 0.005) -> None:
        """kill -9 as soon as the condition holds."""
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, f"never {what}: {self.run()}\n{self.world.told()[-1500:]}"
            time.sleep(pause_s)
        self.world.kill()

    def kill_the_moment(self, condition: Callable[[], object], what: str) -> None:
        """The same without a pause between two looks, for states that take milliseconds."""
        self.kill_when(condition, what, 0.0)

    def pending(self, target: str) -> bool:
        return bool(
            self.world.rows(
                "SELECT 1 FROM deliveries d JOIN runs r ON r.id = d.run "
                "WHERE r.task = ? AND target = ? AND done_at IS NULL",
                self.name,
                target,
            )
        )

    def examine(self, outcome: str, attempts: int) -> None:
        """After the restart: what the ledger, the note, the log and the world outside have to agree on."""
        world = self.world
        (run,) = world.ended(self.name)
        world.delivered(self.name)
        world.until(lambda: "run_now: false" in self.note.read_text(), "unticked")
        runs = world.runs(self.name)
        assert [each["outcome"] for each in runs] == [outcome], runs
        assert run["attempts"] == attempts
        recorded = world.rows("SELECT * FROM attempts WHERE run = ? ORDER BY number", run["id"])
        assert [each["state"] for each in recorded] == ["ended"] * attempts
        marks = self.marks.read_text().split("\n")[:-1] if self.marks.exists() else []
        assert len(marks) == len(set(marks)), "an attempt ran twice"
        assert set(marks) <= {f"{run['id']} {number}" for number in range(1, attempts + 1)}
        if outcome == "success":
            assert f"{run['id']} {attempts}" in marks
        text = self.note.read_text()
        assert text.count(f"^{run['id']}") == 1
        assert len(re.findall(rf"^- .* \^{run['id']}$", world.log_text(), re.M)) == 1
        ours = re.sub(r"^(last_run|last_status|next_run): .*\n", "", text, flags=re.M)
        ours = re.sub(r"(> \[!.*\n(>.*\n)+\n?|^- \d{4}-.*\n)", "", ours, flags=re.M)
        expected = f"---\n{self.keys.strip()}\nrun_now: false\n---\n{self.body}"
        assert re.sub(r"\n+", "\n", ours) == re.sub(r"\n+", "\n", expected)
        assert Document.parse(text.encode()).fault is None


def rounds(world: World) -> range:
    world.settings.write_text(SETTINGS)
    world.start()
    return range(ROUNDS)


def while_it_waits_for_a_slot(world: World) -> None:
    """What was claimed goes on after the restart; what ran before it is abandoned."""
    for number in rounds(world):
        blocker = Crash(world, 100 + number, "sleep 300")
        world.until(lambda b=blocker: b.run().get("state") == "running", "the slot is taken")  # type: ignore[misc]
        crash = Crash(world, number, "echo done")
        crash.kill_when(lambda c=crash: c.run().get("state") in ("claimed", "waiting"), "waiting")  # type: ignore[misc]
        world.start()
        crash.examine("success", 1)
        blocker.examine("abandoned", 1)


def while_it_starts(world: World) -> None:
    """Nobody knows whether a process was there: it is looked for, ended, and the run is abandoned, not repeated."""
    states = []
    rounds(world)
    folders = world.state / "runs"
    for number in range(6):
        world.until(lambda: not list(folders.glob("*/attempt-1")), "the house is tidy")
        crash = Crash(world, number, "sleep 300", is_block=True)
        # For its script, made before the process is: the ledger is too slow to be asked.
        crash.kill_the_moment(lambda: list(folders.glob("*/attempt-1")), "starting")
        states.append(crash.run()["state"])
        world.start()
        crash.examine("abandoned", 1)
        if number and "starting" in states:
            return
    raise AssertionError(f"never met it starting: {states}")


def while_it_runs(world: World) -> None:
    """The orphan and what fled from it are ended; the reason says what happened."""
    for number in rounds(world):
        crash = Crash(world, number, "setsid sleep 300 & sleep 300")
        crash.kill_when(lambda c=crash: c.marks.exists() and c.run()["state"] == "running", "running")  # type: ignore[misc]
        assert len(alive_below(world.folder, f"VAULT_SCHED_TASK={crash.name}")) >= 2
        world.start()
        crash.examine("abandoned", 1)
        assert "died while it ran" in crash.note.read_text()


def while_it_runs_with_retries(world: World) -> None:
    """An abandoned attempt is retried like any other."""
    for number in rounds(world):
        script = f"test $VAULT_SCHED_ATTEMPT = 2 || sleep 30{number}"
        crash = Crash(world, number, script, "retries: 1\nretry_delay: 1s")
        crash.kill_when(lambda c=crash: c.marks.exists() and c.run()["state"] == "running", "running")  # type: ignore[misc]
        world.start()
        crash.examine("success", 2)


def in_a_retry_delay(world: World) -> None:
    """The delay goes on where it was, and the next attempt is the next one."""
    for number in rounds(world):
        crash = Crash(world, number, "test $VAULT_SCHED_ATTEMPT = 2", "retries: 1\nretry_delay: 2s")
        crash.kill_when(lambda c=crash: c.run().get("waiting_for") == "retry", "in a retry delay")  # type: ignore[misc]
        world.start()
        crash.examine("success", 2)


def before_it_is_delivered(world: World) -> None:
    """The ledger has all that the note needs."""
    for number in rounds(world):
        # Unticked after 3 s, so that the result of a run that ends then has to wait for `note_interval`.
        crash = Crash(world, number, "sleep 3.2; echo done")
        crash.kill_when(lambda c=crash: c.pending("note"), "undelivered")  # type: ignore[misc]
        world.start()
        crash.examine("success", 1)


def while_the_note_is_written(world: World) -> None:
    """The result stands in the note and the mark may be missing: it is not written twice."""
    for number in rounds(world):
        crash = Crash(world, number, "echo done")
        crash.kill_the_moment(lambda c=crash: "[!success]" in c.note.read_text(), "in the note")  # type: ignore[misc]
        world.start()
        crash.examine("success", 1)


def while_the_log_is_written(world: World) -> None:
    """The same for the daily log."""
    for number in rounds(world):
        crash = Crash(world, number, "echo done")
        crash.kill_the_moment(lambda c=crash: f"tasks/{c.name}|" in c.world.log_text(), "in the log")  # type: ignore[misc]
        world.start()
        crash.examine("success", 1)


SCENES = [
    while_it_waits_for_a_slot,
    while_it_starts,
    while_it_runs,
    while_it_runs_with_retries,
    in_a_retry_delay,
    before_it_is_delivered,
    while_the_note_is_written,
    while_the_log_is_written,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_kill_9(scene: Callable[[World], None], play: Callable[[Callable[[World], None]], None]) -> None:
    """What the scene's own sentence says."""
    play(scene)


def test_no_orphan_is_left(alive: Callable[[str], list[int]]) -> None:
    """Of all the runs whose daemon was killed, not one process lives on."""
    assert not alive("VAULT_SCHED_TASK=crash")
