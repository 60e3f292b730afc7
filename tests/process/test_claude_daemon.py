"""The real daemon with the real Claude Code CLI: from a note to a session and back into the note."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from tests.process.conftest import World


def _loopback_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("loopback_api", Path(__file__).with_name("loopback_api.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("loopback_api", module)
    spec.loader.exec_module(module)
    return module


api = _loopback_module()
CLAUDE = "type: claude\ncron: 0 0 29 2 *\nrun_now: true"
SHELL = 'type: command\nevery: 1s\ncommand: "echo ran >> {}"'


def log_in(world: World, url: str) -> None:
    """A key for the loopback API, in the machine's env file as a person would put it there."""
    (world.config / "env").write_text(f"ANTHROPIC_API_KEY=a-key-of-the-tests\nANTHROPIC_BASE_URL={url}\n")


def sessions(world: World) -> list[int]:
    """The processes of Claude runs in this vault."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if environment.get("VAULT_SCHED_VAULT") == str(world.vault) and "VAULT_SCHED_RUN" in environment:
                found.append(process.pid)
    return found


def workers(world: World) -> list[int]:
    """The session processes of ours among them: one for each run that goes on."""
    found = []
    for pid in sessions(world):
        with contextlib.suppress(psutil.Error):
            if "vault_scheduler.executors.claude_worker" in psutil.Process(pid).cmdline():
                found.append(pid)
    return found


def a_claude_task(world: World) -> None:
    """The answer, its cost and duration, the note it wrote and the tool it was denied stand in the task's note."""
    calls = [
        api.use("Write", file_path=str(world.vault / "Briefings/Today.md"), content="# Today\n"),
        api.use("Bash", command="git log -3"),
    ]
    with api.LoopbackApi(calls, [api.text("All **quiet** today.")]) as server:
        log_in(world, server.url)
        note = world.note("briefing", CLAUDE, "Write the briefing.\n")
        world.start()
        world.until(lambda: world.runs("briefing") and world.runs("briefing")[0]["state"] == "ended", "ended", 40)
        world.delivered("briefing")
        (run,) = world.runs("briefing")
    assert (run["outcome"], run["reason"]) == ("success", "")
    assert (world.vault / "Briefings/Today.md").read_text() == "# Today\n"
    text = note.read_text()
    assert re.search(r"^> \[!success\]- \S+ \S+ · [\d.]+ m?s · .*\$0\.\d\d", text, re.M), text
    assert "> All **quiet** today." in text
    assert "[[Briefings/Today]]" in text or "Briefings/Today.md" in text
    assert "Bash: git log -3" in text
    assert "Write the briefing." in server.all_text()
    (told,) = json.loads(world.sched("history", "briefing", "--json").stdout)
    assert told["cost_usd"] > 0


def a_task_that_appears_while_claude_runs(world: World) -> None:
    """It asks for shell, so it is held and visibly so; `approve` lets it run, and nothing ran before."""
    out = world.outside / "evil"
    with api.LoopbackApi(api.Silence()) as server:
        log_in(world, server.url)
        world.note("briefing", CLAUDE, "Write the briefing.\n")
        world.start()
        world.until(lambda: server.requests, "the session talks", 40)
        world.note("evil", SHELL.format(out))
        world.until(lambda: [run for run in world.runs("evil") if run["outcome"] == "blocked"], "blocked")
        assert world.sched("cancel", "briefing").returncode == 0
    states = {row["task"]: row["state"] for row in json.loads(world.sched("list", "--json").stdout)}
    assert states["evil"] == "held"
    assert "vault-sched approve" in world.log_text()
    assert not out.exists()
    assert world.sched("approve", "evil").returncode == 0
    world.until(out.exists, "it runs")


def a_daemon_that_is_killed_while_claude_runs(world: World) -> None:
    """kill -9: worker and CLI are ended, the run is abandoned, its cap counts as spent, nothing is asked twice."""
    world.settings.write_text(world.settings.read_text().replace("timezone", "vault_max_usd_day: 0.6\ntimezone"))
    with api.LoopbackApi(api.Silence()) as server:
        log_in(world, server.url)
        note = world.note("briefing", f"{CLAUDE}\nmax_usd: 0.5", "Write the briefing.\n")
        world.start()
        world.until(lambda: server.requests, "the session talks", 40)
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
        world.until(lambda: len(server.requests) == 2, "two sessions talk", 40)
        for name in names:
            world.sched("cancel", name)
        world.until(lambda: all(world.runs(name)[0]["state"] == "ended" for name in names), "cancelled", 20)


def a_question_that_is_answered(world: World) -> None:
    """The question stands in note and property; the answer is said to the same session; both runs are one talk."""
    asks = [api.use("mcp__vault-sched__ask_person", question='Which project: "garden" or house?')]
    with api.LoopbackApi(asks, [api.text("I have asked.")], [api.text("The garden it **is**.")]) as server:
        log_in(world, server.url)
        note = world.note("plan", CLAUDE, "Plan the week.\n")
        world.start()
        world.until(lambda: world.runs("plan") and world.runs("plan")[0]["state"] == "ended", "asked", 40)
        world.until(lambda: re.search(r"^question: ", note.read_text(), re.M), "in the property")
        (first,) = world.runs("plan")
        assert first["outcome"] == "blocked"
        text = note.read_text()
        assert 'question: "Which project: \\"garden\\" or house?"' in text
        assert re.search(r"^> \[!question\]- .*Which project", text, re.M)
        assert "plan asks: Which project" in world.sched("status").stdout
        asked = len(server.requests)
        note.write_text(text.replace("\nquestion:", "\nanswer: The garden\nquestion:"))
        world.until(lambda: len(world.runs("plan")) == 2, "the answer is claimed")
        world.until(lambda: world.runs("plan")[1]["state"] == "ended", "answered", 40)
        world.delivered("plan")
        second = world.runs("plan")[1]
    assert (second["outcome"], second["key"]) == ("success", f"plan|answer|{first['id']}")
    told = json.dumps(server.requests[asked]["messages"])
    assert "Plan the week." in told  # the same session: it knows what was said before
    assert "ask_person" in told
    assert "The garden" in told
    sessions = [json.loads(run["result"])["session_id"] for run in (first, second)]
    assert sessions[0] == sessions[1]
    text = note.read_text()
    assert re.search(r"^answer:$", text, re.M)
    assert re.search(r"^question:$", text, re.M)
    assert "> The garden it **is**." in text
    assert "> Answered: The garden" in text


def a_session_that_goes_on(world: World) -> None:
    """`session: continue`: the second run's request holds what was said in the first, and costs what it adds."""
    with api.LoopbackApi([api.text("First.")], [api.text("Second.")]) as server:
        log_in(world, server.url)
        world.note("diary", f"{CLAUDE}\nsession: continue", "Say the next word.\n")
        world.start()
        world.until(lambda: world.runs("diary") and world.runs("diary")[0]["state"] == "ended", "first", 40)
        assert world.sched("run", "diary", "--wait").returncode == 0
        told = json.dumps(server.requests[-1]["messages"])
    assert "First." in told
    first, second = (json.loads(run["result"]) for run in world.runs("diary"))
    assert first["session_id"] == second["session_id"]
    assert second["text"] == "Second."


def twenty_that_are_due_at_once(world: World) -> None:
    """Never more sessions than `max_claude`; one that ends leaves its place to the next; nothing is left of any."""
    world.settings.write_text(world.settings.read_text().replace("timezone", "max_claude: 3\ntimezone"))
    with api.LoopbackApi(api.Silence()) as server:
        log_in(world, server.url)
        for number in range(20):
            world.note(f"t{number:02}", f"{CLAUDE}\nmax_usd: 0.1", "Do it.\n")
        world.start()
        world.until(lambda: len(server.requests) == 3, "three sessions talk", 40)
        assert len(workers(world)) == 3
        states = world.rows("SELECT state, waiting_for FROM runs")
        assert (
            sorted((row["state"], row["waiting_for"]) for row in states)
            == [("running", "")] * 3 + [("waiting", "slot")] * 17
        )
        (first, *_) = world.rows("SELECT task FROM runs WHERE state = 'running'")
        assert world.sched("cancel", first["task"]).returncode == 0
        world.until(lambda: len(server.requests) == 4, "the next one talks", 40)
        assert len(workers(world)) == 3
        world.settings.write_text(world.settings.read_text().replace("status: active", "status: stopped"))
        world.until(lambda: not world.rows("SELECT 1 FROM runs WHERE state <> 'ended'"), "all have ended", 40)
    assert sessions(world) == []
    outcomes = [row["outcome"] for row in world.rows("SELECT outcome FROM runs")]
    assert (outcomes.count("cancelled"), outcomes.count("skipped")) == (4, 16)


def four_that_cost_more_than_they_may(world: World) -> None:
    """Each is stopped after the turn that went over its cap; what the day has not left for all is left undone."""
    limits = "max_claude: 4\nvault_max_usd_day: 3.5\ntimezone"
    world.settings.write_text(world.settings.read_text().replace("timezone", limits))
    with api.LoopbackApi(api.Costly(api.use("Glob", pattern="*.md"))) as server:
        log_in(world, server.url)
        names = ("one", "two", "three", "four")
        for name in names:
            world.note(name, f"{CLAUDE}\nmax_usd: 1", "Write.\n")
        world.start()
        world.until(lambda: all(world.runs(name) for name in names), "claimed")
        world.until(lambda: all(world.runs(name)[0]["state"] == "ended" for name in names), "ended", 40)
        runs = sorted((world.runs(name)[0] for name in names), key=lambda run: str(run["outcome"]))
    assert [run["outcome"] for run in runs] == ["failure"] * 3 + ["skipped"]
    assert {run["reason"] for run in runs[:3]} == {"reached max_usd ($1.00)"}
    assert "vault_max_usd_day $3.50" in runs[3]["reason"]
    assert len(server.requests) == 3


SCENES = [
    a_claude_task,
    a_task_that_appears_while_claude_runs,
    a_daemon_that_is_killed_while_claude_runs,
    claude_tasks_of_one_moment_share_the_days_money,
    a_question_that_is_answered,
    a_session_that_goes_on,
    twenty_that_are_due_at_once,
    four_that_cost_more_than_they_may,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_whole_path(scene: Callable[[World], None], play: Callable[[Callable[[World], None]], None]) -> None:
    """What the scene's own sentence says."""
    play(scene)
