"""Chains with the real daemon: one child for each run of its parent, however often the daemon is killed."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.process.conftest import World

KILLS = 5
QUALIFYING = "SELECT id FROM runs WHERE task = 'a' AND outcome IN ('success', 'failure', 'timeout', 'abandoned')"


def followers(world: World) -> list[dict[str, Any]]:
    return world.rows("SELECT state, count, json_extract(extra, '$.parent') AS parent FROM runs WHERE task = 'b'")


def kill_at_an_end(world: World, pause_s: float) -> None:
    """kill -9 at a moment around the one at which a run of the parent ends and its child is claimed."""
    before = len(world.rows(QUALIFYING))
    deadline = time.monotonic() + 60
    while len(world.rows(QUALIFYING)) == before:
        assert time.monotonic() < deadline, world.told()[-1500:]
    time.sleep(pause_s)
    world.kill()


def test_every_run_of_the_parent_has_one_child_whenever_the_daemon_is_killed(world: World) -> None:
    """The end of a run is followed in the transaction that claims its children: neither none nor two."""
    parent = world.note("a", "type: command\ncommand: 'true'\nevery: 1s\nstatus: active")
    marks = world.outside / "marks.txt"
    script = f"command: echo $VAULT_SCHED_RUN >> {marks}"
    world.note("b", f'type: command\n{script}\nafter: "[[a]]"\nafter_outcome: any\noverlap: allow')
    for number in range(KILLS):
        world.start()
        kill_at_an_end(world, number * 0.002)
    world.start()
    world.until(lambda: len(followers(world)) > KILLS, "children after the last start")
    parent.write_text(parent.read_text().replace("status: active", "status: paused"))
    goes_on = "SELECT 1 FROM tasks WHERE task = 'a' AND armed UNION ALL SELECT 1 FROM unfollowed UNION ALL "
    goes_on += "SELECT 1 FROM runs WHERE state <> 'ended'"
    world.until(lambda: not world.rows(goes_on), "all has ended")
    parents = [row["id"] for row in world.rows(QUALIFYING)]
    found = followers(world)
    assert len(parents) > KILLS
    assert sorted(row["parent"] for row in found) == sorted(parents)
    assert {row["count"] for row in found} == {1}
    told = marks.read_text().split()
    assert len(told) == len(set(told)) <= len(found), "a child ran twice"


def test_what_is_run_without_a_daemon_is_followed_when_one_starts(world: World) -> None:
    """`run` executes what it was asked for, and nothing else; the child comes later, once."""
    world.note("a", "type: command\ncommand: 'true'\ncron: 0 0 29 2 *")
    world.note("b", "type: command\ncommand: 'true'\nafter: \"[[a]]\"")
    for name in ("a", "b"):  # else b would not count yet when a ends: it might be half-typed
        os.utime(world.vault / "00_system" / "tasks" / f"{name}.md", (1_700_000_000, 1_700_000_000))
    assert world.sched("run", "a", "--wait").returncode == 0
    assert [run["task"] for run in world.rows("SELECT * FROM runs")] == ["a"]
    for _ in range(2):
        world.start()
        world.ended("b")
        world.stop()
    assert [run["outcome"] for run in world.runs("b")] == ["success"]


def test_commands_tell_broken_chains_without_a_daemon(world: World) -> None:
    """`check`, `list` and `show` read the notes themselves; who comes after whom is judged at once."""
    for task, parent in (("a", "b"), ("b", "a"), ("lost", "nobody"), ("fine", "A")):
        world.note(task, f'type: command\ncommand: "true"\nafter: "[[{parent}]]"')
    checked = world.sched("check", "--json", "00_system/tasks/lost.md", "00_system/tasks/a.md")
    problems = json.loads(checked.stdout)
    assert (checked.returncode, [(p["path"][-6:], p["line"], p["key"]) for p in problems]) == (
        1,
        [("s/a.md", 4, "after"), ("ost.md", 4, "after")],
    )
    assert ["a → b → a" in problems[0]["message"], bool(problems[1]["fix"])] == [True, True]
    listed = {row["task"]: row for row in json.loads(world.sched("list", "--json").stdout)}
    assert {name: row["state"] for name, row in listed.items()} == {
        "a": "invalid",
        "b": "invalid",
        "fine": "armed",
        "lost": "invalid",
    }
    assert {row["next_run"] for row in listed.values()} == {None}
    assert "there is no task 'nobody'" in world.sched("show", "lost").stdout
