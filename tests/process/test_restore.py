"""`restore`: a task that breaks, changes or removes its own note is told of, and can be had back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.process.conftest import PATIENCE_S

if TYPE_CHECKING:
    from tests.process.conftest import World

KEYS = 'type: command\ncron: "0 0 29 2 *"  # never by itself\nstatus: active'
NOTE = "00_system/tasks/{name}.md"
DEEDS = {
    "breaker": "printf 'I was here.\\n' > " + NOTE.format(name="breaker"),
    "changer": "sed -i 's/0 0 29 2/30 3 29 2/' " + NOTE.format(name="changer"),
    "remover": "rm " + NOTE.format(name="remover"),
}
TOLD = {"breaker": "was broken while its own run", "changer": "was given other properties", "remover": "was removed"}


def test_what_a_run_does_to_its_own_note_is_told_and_taken_back(world: World) -> None:
    """Each deed is in the daily log with its cure; the texts outlive the ledger; the schedule is the old one again."""
    before = {name: _write(world, name, deed) for name, deed in DEEDS.items()}
    world.note("fine", KEYS, "```sh\ntrue\n```\n")
    world.start()
    for name in DEEDS:
        assert world.sched("run", name).returncode == 0
    world.until(lambda: all(words in world.log_text() for words in TOLD.values()), "all deeds are told")
    assert "vault-sched restore remover" in world.log_text()
    world.stop()
    for path in world.state.glob("ledger.db*"):
        path.unlink()
    states = {each["task"]: each["state"] for each in json.loads(world.sched("restore", "--json").stdout)}
    assert states == {"breaker": "invalid", "changer": "changed by its own run", "remover": "gone"}
    for name, path in _paths(world).items():
        now = path.read_bytes() if path.exists() else None
        assert "+++" in world.sched("restore", name, "--dry-run").stdout
        assert (path.read_bytes() if path.exists() else None) == now
        assert world.sched("restore", name).returncode == 0
        assert path.read_bytes().startswith(before[name].rstrip())
    world.start()
    listed = {each["task"]: each for each in json.loads(world.sched("list", "--json").stdout)}
    assert {(each["state"], each["schedule"]) for each in listed.values()} == {("armed", "0 0 29 2 *")}


def test_what_a_restoring_replaced_can_be_had_back(world: World) -> None:
    """Nothing that stood in a note is lost by restoring it."""
    path = world.tasks / "slip.md"
    path.write_text(f"---\n{KEYS}\n---\n```sh\ntrue\n```\n")
    world.start("--once").wait(PATIENCE_S)
    path.write_text("---\ncron: [\n---\nA long new text.\n")
    assert world.sched("restore", "slip").returncode == 0
    assert "A long new text" not in path.read_text()
    kept = json.loads(world.sched("restore", "--list", "slip", "--json").stdout)
    number = next(each["number"] for each in kept if each["replaced"])
    assert world.sched("restore", "slip", "--number", str(number)).returncode == 0
    assert "A long new text" in path.read_text()


def test_what_is_not_kept_is_said(world: World) -> None:
    """No daemon yet, no such task, nothing to restore, no such number, inside a run: each its own words."""
    world.note("fine", KEYS, "```sh\ntrue\n```\n")
    assert "nothing is kept yet" in world.sched("restore", "fine").stderr
    world.start("--once").wait(PATIENCE_S)
    assert "Every task note says" in world.sched("restore").stdout
    assert "that it does not say already" in world.sched("restore", "fine").stderr
    assert "1 texts of fine are kept" in world.sched("restore", "fine", "--number", "7").stderr
    assert world.sched("restore", "nobody").returncode == 2


def _write(world: World, name: str, deed: str) -> bytes:
    return world.note(name, KEYS, f"```sh\n{deed}\n```\n").read_bytes()


def _paths(world: World) -> dict[str, Path]:
    return {name: world.tasks / f"{name}.md" for name in DEEDS}


def test_a_slip_of_a_person_right_after_a_run_is_not_told_as_the_runs(world: World) -> None:
    """The problem is told, and nobody is blamed: the file was written when the run had ended."""
    path = world.note("slip", KEYS, "```sh\ntrue\n```\n")
    world.start()
    assert world.sched("run", "slip", "--wait").returncode == 0
    path.write_text("---\ncron: [\n---\n")
    world.until(lambda: "did not find expected node content" in world.log_text(), "it is told")
    world.stop()
    assert "own run" not in world.log_text()
