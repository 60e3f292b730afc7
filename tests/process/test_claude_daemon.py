"""The real daemon with the real Claude Code CLI: from a note to a session and back into the note."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.process import loopback_api as api
from tests.process.claude_world import CLAUDE, log_in

if TYPE_CHECKING:
    from tests.process.conftest import World


SHELL = 'type: command\nevery: 1s\ncommand: "echo ran >> {}"'


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
        world.until(lambda: world.runs("briefing") and world.runs("briefing")[0]["state"] == "ended", "ended")
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
        world.until(lambda: server.requests, "the session talks")
        world.note("evil", SHELL.format(out))
        world.until(lambda: [run for run in world.runs("evil") if run["outcome"] == "blocked"], "blocked")
        assert world.sched("cancel", "briefing").returncode == 0
    states = {row["task"]: row["state"] for row in json.loads(world.sched("list", "--json").stdout)}
    assert states["evil"] == "held"
    assert "vault-sched approve" in world.log_text()
    assert not out.exists()
    assert world.sched("approve", "evil").returncode == 0
    world.until(out.exists, "it runs")


def a_question_that_is_answered(world: World) -> None:
    """The question stands in note and property; the answer is said to the same session; both runs are one talk."""
    asks = [api.use("mcp__vault-sched__ask_person", question='Which project: "garden" or house?')]
    with api.LoopbackApi(asks, [api.text("I have asked.")], [api.text("The garden it **is**.")]) as server:
        log_in(world, server.url)
        note = world.note("plan", CLAUDE, "Plan the week.\n")
        world.start()
        world.until(lambda: world.runs("plan") and world.runs("plan")[0]["state"] == "ended", "asked")
        world.until(lambda: re.search(r"^question: ", note.read_text(), re.M), "in the property")
        (first,) = world.runs("plan")
        assert first["outcome"] == "blocked"
        text = note.read_text()
        assert 'question: "Which project: \\"garden\\" or house?"' in text
        assert re.search(r"^> \[!question\]- .*Which project", text, re.M)
        assert "plan asks: Which project" in world.sched("status").stdout
        asked = len(server.requests)
        note.write_text(text.replace("\nanswer:\n", "\nanswer: The garden\n"))
        world.until(lambda: len(world.runs("plan")) == 2, "the answer is claimed")
        world.until(lambda: world.runs("plan")[1]["state"] == "ended", "answered")
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
        world.until(lambda: world.runs("diary") and world.runs("diary")[0]["state"] == "ended", "first")
        assert world.sched("run", "diary", "--wait").returncode == 0
        told = json.dumps(server.requests[-1]["messages"])
    assert "First." in told
    first, second = (json.loads(run["result"]) for run in world.runs("diary"))
    assert first["session_id"] == second["session_id"]
    assert second["text"] == "Second."


def a_login_that_comes_later(world: World) -> None:
    """Not logged in: blocked once with the cure, no session after that; a token in the env file is found at once."""
    note = world.note("briefing", "type: claude\nevery: 2s\nkeep_runs: 3", "Write the briefing.\n")
    world.start()
    blocked = "SELECT * FROM runs WHERE outcome = 'blocked' ORDER BY attempts DESC"
    world.until(lambda: len(world.rows(blocked)) > 1 and world.rows(blocked)[-1]["count"] > 1, "counted")
    first, others = world.rows(blocked)
    assert first["attempts"] == 1
    assert "claude setup-token" in first["reason"]
    assert others["attempts"] == 0
    assert others["reason"].startswith("not logged in since ")
    told = world.sched("status").stdout
    assert told.count("Claude is not logged in since") == 1
    with api.LoopbackApi([api.text("Good morning.")]) as server:
        token = f"CLAUDE_CODE_OAUTH_TOKEN=a-token-of-the-tests\nANTHROPIC_BASE_URL={server.url}\n"
        (world.config / "env").write_text(token)
        world.until(lambda: [run for run in world.runs("briefing") if run["outcome"] == "success"], "logged in")
    world.until(lambda: "> Good morning." in note.read_text(), "in the note")
    assert "not logged in" not in world.sched("status").stdout


SCENES = [
    a_claude_task,
    a_task_that_appears_while_claude_runs,
    a_question_that_is_answered,
    a_session_that_goes_on,
    a_login_that_comes_later,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_whole_path(scene: Callable[[World], None], play: Callable[[Callable[[World], None]], None]) -> None:
    """What the scene's own sentence says."""
    play(scene)
