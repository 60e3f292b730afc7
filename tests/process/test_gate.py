"""The real daemon and tasks with a gate: what is told of its answers, what they cost, what a crash leaves of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from vault_scheduler.planning.planner import STILL_RUNNING, STILL_WAITS

if TYPE_CHECKING:
    from tests.process.conftest import World

NEVER = "cron: 0 0 29 2 *"
NOW = f"{NEVER}\nrun_now: true"
NO = "gate said no"
SLOW = {STILL_WAITS, STILL_RUNNING, "a later one was due too"}
"""What became of fire times that came while a gate was still asked, on a machine that has much to do."""


def noes(world: World, task: str) -> list[dict[str, Any]]:
    """The rows of what the gate refused; on a slow machine there are others between them (`SLOW`)."""
    return [run for run in world.runs(task) if run["reason"] == NO]


def three_in_a_row(world: World, task: str) -> bool:
    return any(run["count"] >= 3 for run in noes(world, task))


def a_no_all_day(world: World) -> None:
    """Many a no is one counted line in note and log, whatever the gate prints; the first yes is a run."""
    go = world.outside / "go"
    gate = f'gate: "date +%N; test -e {go}"'
    note = world.note("check", f'type: command\nevery: 1s\n{gate}\ncommand: "echo it runs"')
    world.start()
    world.until(lambda: three_in_a_row(world, "check"), "three times no")
    world.until(lambda: re.search(rf"skipped ([3-9]|\d\d+) × \({NO}\)", note.read_text()), "the note says so")
    assert {(run["outcome"], run["attempts"]) for run in noes(world, "check")} == {("skipped", 0)}
    go.touch()
    world.until(lambda: any(run["outcome"] == "success" for run in world.runs("check")), "a run")
    world.note("check", "type: command\nstatus: paused", note.read_text().split("---\n", 2)[2])
    world.until(lambda: all(run["state"] == "ended" for run in world.runs("check")), "no run is left")
    world.delivered("check")
    text, log = note.read_text(), world.log_text()
    lines = len(noes(world, "check"))
    assert len(re.findall(rf"^- .* ⏭ skipped .*\({NO}\) \^r-", text, re.M)) == lines
    assert len(re.findall(rf"^- .* ⏭ \[\[\S+\|check\]\] · skipped .*\({NO}\) \^r-", log, re.M)) == lines
    assert "it runs" in text
    assert re.search(r"^- .* ✅ \[\[\S+\|check\]\] · .*it runs", log, re.M)


def a_gate_that_fails(world: World) -> None:
    """Exit 3 is a failure that shows what the gate printed; the command does not run; `retries` asks again."""
    made = world.outside / "made"
    keys = f'gate: "echo the feed is gone; exit 3"\nretries: 1\nretry_delay: 1s\ncommand: "touch {made}"'
    note = world.note("failing", f"type: command\n{NOW}\n{keys}")
    world.start()
    (run,) = world.ended("failing")
    world.delivered("failing")
    assert (run["outcome"], run["reason"], run["attempts"]) == ("failure", "gate: exit 3: the feed is gone", 2)
    assert not made.exists()
    assert re.search(r"> \[!failure\].*gate: exit 3: the feed is gone", note.read_text())
    assert re.search(r"❌ \[\[\S+\|failing\]\] · .*gate: exit 3: the feed is gone", world.log_text())
    assert "the feed is gone" in world.sched("logs", "failing").stdout


def a_person_waits(world: World) -> None:
    """`run --wait` says that the gate said no, each time, and exits with 1: nothing ran."""
    world.note("asked", f'type: command\n{NEVER}\ngate: exit 1\ncommand: "touch {world.outside}/made"')
    alone = world.sched("run", "asked", "--wait")
    world.start()
    told = [alone, world.sched("run", "asked", "--wait"), world.sched("run", "asked", "--wait")]
    for answer in told:
        assert answer.returncode == 1
        assert re.fullmatch(r"⏭  asked: skipped · gate said no · r-\S+\n", answer.stdout), answer
    assert len({answer.stdout for answer in told}) == 3
    assert not (world.outside / "made").exists()
    assert "has not run yet" in world.sched("logs", "asked").stderr


def no_money(world: World) -> None:
    """A Claude task whose gate fails spends nothing, though it was about to; there is no login, and none is missed."""
    world.note("broken", f"type: claude\n{NOW}\nmax_usd: 0.1\ngate: exit 3", "Think.\n")
    world.start()
    (run,) = world.ended("broken")
    assert (run["outcome"], run["reason"]) == ("failure", "gate: exit 3")
    assert json.loads(world.sched("status", "--json").stdout)["cost_today_usd"] == 0


def no_money_and_no_suspicion(world: World) -> None:
    """A Claude task whose gate says no spends and keeps nothing of the budget, and puts nobody under suspicion."""
    world.settings.write_text(world.settings.read_text().replace("max_parallel", "vault_max_usd_day: 1\nmax_parallel"))
    world.note("thinker", "type: claude\nevery: 1s\nmax_usd: 0.9\ngate: exit 1", "Think.\n")
    world.start()
    world.until(lambda: three_in_a_row(world, "thinker"), "three times no")
    triggers = "SELECT fingerprint FROM tasks WHERE task = 'thinker'"
    before = world.rows(triggers)
    world.note("thinker", f"type: claude\n{NEVER}\nmax_usd: 0.9\ngate: exit 1", "Think.\n")
    world.until(lambda: world.rows(triggers) != before, "the edit counts, and no gate is asked any more")
    world.until(lambda: all(run["state"] == "ended" for run in world.runs("thinker")), "no run is left")
    assert {run["reason"] for run in world.runs("thinker")} - SLOW == {NO}
    assert json.loads(world.sched("status", "--json").stdout)["cost_today_usd"] == 0
    world.note("written-by-a-person", f"type: command\n{NEVER}\ncommand: echo fine")
    answer = world.sched("run", "written-by-a-person", "--wait")
    assert answer.returncode == 0, answer


def killed_during_the_gate(world: World) -> None:
    """kill -9: the next daemon ends the gate and what it started; the attempt is abandoned, and tried again."""
    asked = world.outside / "asked"
    stay = f"echo x >> {asked}; test $(wc -l < {asked}) = 2 && exit 0; setsid sleep 4721 & sleep 4721"
    keys = f'gate: "{stay}"\nretries: 1\nretry_delay: 1s\ncommand: "echo fine"'
    world.note("crashed", f"type: command\n{NOW}\n{keys}")
    world.note("given-up", f'type: command\n{NOW}\ngate: sleep 4722\ncommand: "touch {world.outside}/made"')
    world.start()
    running = "SELECT 1 FROM runs WHERE state = 'running'"
    world.until(lambda: len(world.rows(running)) == 2, "both gates are asked")
    world.until(lambda: len(asked.read_text().split()) == 1, "the gate is asked")
    world.kill()
    world.start()
    (run,) = world.ended("crashed")
    assert (run["outcome"], run["attempts"]) == ("success", 2)
    attempts = world.rows("SELECT outcome FROM attempts WHERE run = ? ORDER BY number", run["id"])
    assert [attempt["outcome"] for attempt in attempts] == ["abandoned", "success"]
    (other,) = world.ended("given-up")
    assert (other["outcome"], other["attempts"]) == ("abandoned", 1)
    assert not (world.outside / "made").exists()
    world.delivered()


SCENES = [a_no_all_day, a_gate_that_fails, a_person_waits, no_money, no_money_and_no_suspicion, killed_during_the_gate]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_gate(play: Callable[[Callable[[World], None]], None], scene: Callable[[World], None]) -> None:
    """Each answer of a gate is told, and none costs more than it says."""
    play(scene)


def test_nothing_of_a_gate_is_left(
    play: Callable[[Callable[[World], None]], None], alive: Callable[[str], list[int]]
) -> None:
    """Neither the gates that a killed daemon left behind, nor what they had started."""
    play(killed_during_the_gate)
    assert alive("sleep\x004721") == []
    assert alive("sleep\x004722") == []
