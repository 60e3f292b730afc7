"""Claude Code as an author of tasks: the real CLI in a vault of `init --claude`, its API on the loopback interface."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.process import loopback_api as api
from vault_scheduler.commands.claude_kit import data_text

text, use = api.text, api.use


def _cli() -> Path:
    """The CLI that the SDK brings, found without importing that: every worker of the suite would pay for it."""
    sdk = importlib.util.find_spec("claude_agent_sdk")
    assert sdk is not None
    assert sdk.origin is not None
    return Path(sdk.origin).parent / "_bundled" / "claude"


CLI = _cli()
PLUGIN = Path(__file__).parents[2] / "plugin"
RIGHT = "---\ntype: command\nevery: 1s\nmax_runs: 1\nstatus: active\ncommand: echo it runs\n---\n"
NO_SERVER = ("--strict-mcp-config",)  # a server that connects late has its tools told in the midst of the session
WRONG = RIGHT.replace("every: 1s", "cron: */5 * * * *")


class TimedApi(api.LoopbackApi):
    """The API, which remembers when it was asked; in seconds since 1970."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self.asked_at: list[float] = []

    def next_reply(self, body: dict[str, Any], headers: Any) -> Any:
        if body.get("tools"):
            self.asked_at.append(time.time())
        return super().next_reply(body, headers)


class Told(list[str]):
    """What the model was told, request by request, without what the one before it held; `at`: when."""

    at: list[float]


def session(world: Any, *script: Any, options: tuple[str, ...] = ()) -> Told:
    """One session of the CLI, as a person starts it in the vault."""
    with TimedApi(*script) as served:
        environment = {
            **world.env,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), world.env["PATH"]]),
            "ANTHROPIC_BASE_URL": served.url,
            "ANTHROPIC_API_KEY": "x",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        done = subprocess.run(
            [CLI, "-p", "Please.", "--permission-mode", "acceptEdits", *options],
            cwd=world.vault,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told = Told(_told(body, before) for body, before in zip(served.requests, [{}, *served.requests], strict=False))
        told.at = served.asked_at
        return told


def _told(body: dict[str, Any], before: dict[str, Any]) -> str:
    news = body["messages"][len(before.get("messages", [])) :]
    return "\n".join(_texts([body["system"], *news] if not before else news))


def _texts(value: Any) -> list[str]:
    """Every text below `text` or `content`."""
    if isinstance(value, list):
        return [words for item in value for words in _texts(item)]
    if isinstance(value, dict):
        return [words for key in ("text", "content") for words in _texts(value.get(key))]
    return [value] if isinstance(value, str) else []


def equipped(world: Any) -> None:
    """The vault as `init --claude` leaves it, and a daemon that serves it."""
    made = world.sched("init", "--claude")
    assert made.returncode == 0, made.stderr
    world.start()


def claude_uses_our_tools(world: Any) -> None:
    equipped(world)
    told = session(
        world,
        [
            use(
                "mcp__vault-sched__create",
                name="greeting",
                command="echo hi there",
                cron="0 0 29 2 *",
                output="Hello.md",
            )
        ],
        [use("mcp__vault-sched__pause", task="greeting")],
        [use("mcp__vault-sched__run", task="greeting", wait=True)],
        [use("mcp__vault-sched__show", task="greting")],
        [text("done")],
        options=("--allowedTools", "mcp__vault-sched", "--mcp-config", ".mcp.json", "--strict-mcp-config"),
    )
    assert "Use `create` for whatever shall happen later or regularly" in told[0]
    assert "Wrote 00_system/tasks/greeting.md" in told[1]
    assert "greeting is paused" in told[2]
    assert '"outcome":"success"' in told[3].replace(" ", "")
    assert "there is no task named 'greting'. Did you mean greeting?" in told[4]
    world.ended("greeting")
    world.delivered("greeting")
    note = (world.tasks / "greeting.md").read_text()
    assert note.startswith('---\ntype: command\ncron: "0 0 29 2 *"\nstatus: paused\nrun_now: false\n')
    assert re.search(r"> \[!success\]- .*\n> ```text\n> hi there\n", note), note
    assert "hi there" in (world.vault / "Hello.md").read_text()
    assert [run["trigger"] for run in world.runs("greeting")] == ["req"]


def claude_writes_a_wrong_note_and_mends_it(world: Any) -> None:
    equipped(world)
    note = world.tasks / "mended.md"
    told = session(
        world,
        [use("CronCreate", cron="0 7 * * *", prompt="Write the briefing.", recurring=True, durable=True)],
        [use("ScheduleWakeup", delaySeconds=3600, reason="remind", prompt="Remind me.")],
        [use("Write", file_path=str(world.vault / "Projects.md"), content="cron: */5 * * * *\n")],
        [use("Write", file_path=str(note), content=WRONG)],
        [use("Edit", file_path=str(note), old_string="cron: */5 * * * *", new_string="every: 1s")],
        [text("done")],
        options=NO_SERVER,
    )
    # the skill is offered, in the words that people use
    assert re.search(r"- vault-sched: Schedules work .*every morning.*remind me", told[0])
    # Claude's own schedulers are refused, with what to do instead
    assert "CronCreate is not used in this vault" in told[1]
    assert f"{world.tasks}/daily-briefing.md" in told[1]
    assert "ScheduleWakeup is not used in this vault" in told[2]
    assert not (world.vault / ".claude/scheduled_tasks.json").exists()
    # a note that is no task is nobody's business; a wrong task is told with its cure, a right one confirmed
    assert "vault-sched" not in told[3]
    assert "00_system/tasks/mended.md would not run as it stands" in told[4]
    assert 'Quote the value: cron: "*/5 * * * *"' in told[4]
    assert "00_system/tasks/mended.md is a valid task. It runs every 1s; at most 1 run" in told[5]
    # and the daemon runs it, once it has been left alone
    run = world.ended("mended")[0]
    assert run["outcome"] == "success"
    assert run["fire_time"] >= told.at[4] + 1  # it was mended after that request; note_quiet of this vault is 1 s
    world.delivered("mended")
    assert "it runs" in note.read_text()


def the_plugin_brings_the_same(world: Any) -> None:
    note = world.tasks / "wrong.md"
    told = session(
        world,
        [use("CronCreate", cron="0 7 * * *", prompt="Write the briefing.", recurring=True)],
        [use("Write", file_path=str(note), content=WRONG)],
        [text("done")],
        options=("--plugin-dir", str(PLUGIN), *NO_SERVER),
    )
    assert re.search(r"- vault-sched:vault-sched: Schedules work .*every morning", told[0])
    assert "CronCreate is not used in this vault" in told[1]
    assert "00_system/tasks/wrong.md would not run as it stands" in told[2]


SCENES = [claude_uses_our_tools, claude_writes_a_wrong_note_and_mends_it]
if PLUGIN.is_dir():
    SCENES.append(the_plugin_brings_the_same)
Play = Callable[[Any], None]


def test_claude_creates_pauses_and_runs_a_task_with_our_tools(play: Play) -> None:
    """The CLI as a client of `vault-sched mcp` beside a live daemon: note, run and output are as asked for."""
    play(claude_uses_our_tools)


def test_claude_is_told_what_is_wrong_and_what_it_mends_is_run(play: Play) -> None:
    """The error stands in the model's next request; the mended note runs after `note_quiet`; the skill is offered,
    CronCreate and ScheduleWakeup are refused.
    """
    play(claude_writes_a_wrong_note_and_mends_it)


@pytest.mark.skipif(not PLUGIN.is_dir(), reason="the plugin stays in the source tree")
def test_the_plugin_offers_the_skill_and_checks_notes(play: Play) -> None:
    """Who loads the plugin needs no `init --claude` in each vault."""
    play(the_plugin_brings_the_same)


@pytest.mark.parametrize("event", ["PostToolUse", "PreToolUse"])
def test_where_vault_sched_is_not_installed_the_hooks_are_silent(tmp_path: Path, event: str) -> None:
    """A vault that is synced to another machine disturbs no session there."""
    command = json.loads(data_text("hooks.json"))["hooks"][event][0]["hooks"][0]["command"]
    given = {
        "hook_event_name": event,
        "tool_name": "CronCreate",
        "tool_input": {"file_path": "/v/00_system/tasks/a.md"},
    }
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        input=json.dumps(given),
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
