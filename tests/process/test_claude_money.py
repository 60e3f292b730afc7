"""The real daemon with the real Claude Code CLI: never more sessions, and never more money, than there may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.process import loopback_api as api
from tests.process.claude_world import CLAUDE, log_in, sessions, workers

if TYPE_CHECKING:
    from tests.process.conftest import World


def a_daemon_that_is_killed_while_claude_runs(world: World) -> None:
    """kill -9: worker and CLI are ended, the run is abandoned, its cap counts as spent, nothing is asked twice."""
    world.settings.write_text(world.settings.read_text().replace("timezone", "vault_max_usd_day: 0.6\ntimezone"))
    with api.LoopbackApi(api.Silence()) as server:
        log_in(world, server.url)
        note = world.note("briefing", f"{CLAUDE}\nmax_usd: 0.5", "Write the briefing.\n")
        world.start()
        world.until(lambda: server.requests, "the session talks")
        assert len(sessions(world)) >= 2  # the worker and the CLI
        world.kill()
        world.start()
        (run,) = world.ended("briefing")
        assert sessions(world) == []
        world.delivered("briefing")
        assert (run["outcome"], run["attempts"]) == ("abandoned", 1)
        assert note.read_text().count(f"^{run['id']}") == 1
        world.until(lambda: "run_now: false" in note.read_text(), "unticked")
        assert world.sched("run", "briefing", "--wait").returncode == 1
        (again,) = [each for each in world.runs("briefing") if each["id"] != run["id"]]
        assert again["outcome"] == "skipped"
        assert "0.50" in again["reason"]
        assert len(server.requests) == 1


def claude_tasks_of_one_moment_share_the_days_money(world: World) -> None:
    """What runs may still spend is reserved: of three that ask for 0.5 two fit into 1.2, and the third is skipped."""
    limits = "vault_max_usd_day: 1.2\nmax_claude: 3\ntimezone"
    world.settings.write_text(world.settings.read_text().replace("timezone", limits))
    with api.LoopbackApi(api.Silence()) as server:
        log_in(world, server.url)
        names = ("one", "two", "three")
        for name in names:
            world.note(name, f"{CLAUDE}\nmax_usd: 0.5", "Write.\n")
        world.start()
        world.until(lambda: [run for name in names for run in world.runs(name) if run["outcome"] == "skipped"], "one")
        runs = [run for name in names for run in world.runs(name)]
        assert [run["outcome"] for run in runs if run["state"] == "ended"] == ["skipped"]
        (skipped,) = [run for run in runs if run["state"] == "ended"]
        assert "1.20" in skipped["reason"]
        world.until(lambda: len(server.requests) == 2, "two sessions talk")
        for name in names:
            world.sched("cancel", name)
        world.until(lambda: all(world.runs(name)[0]["state"] == "ended" for name in names), "cancelled")


def twenty_that_are_due_at_once(world: World) -> None:
    """Never more sessions than `max_claude`; one that ends leaves its place to the next; nothing is left of any."""
    world.settings.write_text(world.settings.read_text().replace("timezone", "max_claude: 2\ntimezone"))
    with api.LoopbackApi(api.Silence()) as server:
        log_in(world, server.url)
        for number in range(20):
            world.note(f"t{number:02}", f"{CLAUDE}\nmax_usd: 0.1", "Do it.\n")
        world.start()
        world.until(lambda: len(server.requests) == 2, "two sessions talk")
        assert len(workers(world)) == 2
        states = world.rows("SELECT state, waiting_for FROM runs")
        assert (
            sorted((row["state"], row["waiting_for"]) for row in states)
            == [("running", "")] * 2 + [("waiting", "slot")] * 18
        )
        (first, *_) = world.rows("SELECT task FROM runs WHERE state = 'running'")
        assert world.sched("cancel", first["task"]).returncode == 0
        world.until(lambda: len(server.requests) == 3, "the next one talks")
        assert len(workers(world)) == 2
        world.settings.write_text(world.settings.read_text().replace("status: active", "status: stopped"))
        world.until(lambda: not world.rows("SELECT 1 FROM runs WHERE state <> 'ended'"), "all have ended")
    assert sessions(world) == []
    outcomes = [row["outcome"] for row in world.rows("SELECT outcome FROM runs")]
    assert (outcomes.count("cancelled"), outcomes.count("skipped")) == (3, 17)


def three_that_cost_more_than_they_may(world: World) -> None:
    """Each is stopped after the turn that went over its cap; what the day has not left for all is left undone."""
    limits = "max_claude: 3\nvault_max_usd_day: 2.5\ntimezone"
    world.settings.write_text(world.settings.read_text().replace("timezone", limits))
    with api.LoopbackApi(api.Costly(api.use("Glob", pattern="*.md"))) as server:
        log_in(world, server.url)
        names = ("one", "two", "three")
        for name in names:
            world.note(name, f"{CLAUDE}\nmax_usd: 1", "Write.\n")
        world.start()
        world.until(lambda: all(world.runs(name) for name in names), "claimed")
        world.until(lambda: all(world.runs(name)[0]["state"] == "ended" for name in names), "ended")
        runs = sorted((world.runs(name)[0] for name in names), key=lambda run: str(run["outcome"]))
    assert [run["outcome"] for run in runs] == ["failure"] * 2 + ["skipped"]
    assert {run["reason"] for run in runs[:2]} == {"reached max_usd ($1.00)"}
    assert "vault_max_usd_day $2.50" in runs[2]["reason"]
    assert len(server.requests) == 2


SCENES = [
    a_daemon_that_is_killed_while_claude_runs,
    claude_tasks_of_one_moment_share_the_days_money,
    twenty_that_are_due_at_once,
    three_that_cost_more_than_they_may,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_money_and_limits(scene: Callable[[World], None], play: Callable[[Callable[[World], None]], None]) -> None:
    """What the scene's own sentence says."""
    play(scene)
