"""`vault-sched mcp` as a client of the official library sees it: every tool, and what it says when it refuses."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client

Call = tuple[str, dict[str, Any]]
READING = {"list", "show", "next", "forecast", "history", "logs", "check", "status"}
CHANGING = {"create", "pause", "resume", "run", "cancel", "delete"}

PROMPT = {"name": "briefing", "prompt": "Write the briefing.", "cron": "0 7 * * 1-5", "output": "Briefings/{{date}}.md"}
CALLS: dict[str, Call] = {
    "create": ("create", {"name": "hello", "command": "echo hi there", "cron": "0 0 29 2 *", "more": {"retries": 2}}),
    "prompt": ("create", {**PROMPT, "status": "paused", "permissions": "read-only", "max_usd": 0.2}),
    "watcher": ("create", {"name": "watcher", "command": "a: b", "more": {"on_change": "Inbox/**", "debounce": "1m"}}),
    "run": ("run", {"task": "hello", "wait": True}),
    "list": ("list", {}),
    "show": ("show", {"task": "hello"}),
    "next": ("next", {"task": "hello", "after": "2030-01-01T00:00", "number": 1}),
    "next of the vault": ("next", {"until": "6d"}),
    "next of an expression": (
        "next",
        {"cron": "0 7 * * 1-5", "timezone": "Europe/Berlin", "after": "2026-11-20T08:00"},
    ),
    "forecast": ("forecast", {"until": "3d"}),
    "history": ("history", {"task": "hello"}),
    "logs": ("logs", {"run": "hello"}),
    "check": ("check", {"paths": ["00_system/tasks/hello.md"]}),
    "status": ("status", {}),
    "pause": ("pause", {"task": "hello"}),
    "resume": ("resume", {"task": "hello"}),
    "pause everything": ("pause", {"everything": True, "until": "2031-01-01"}),
    "resume everything": ("resume", {"everything": True}),
    "cancel": ("cancel", {"task": "hello"}),
    "create to delete": ("create", {"name": "wrong", "command": "date", "every": "1h", "status": "paused"}),
    "delete": ("delete", {"task": "wrong"}),
}
MISTAKES: dict[str, tuple[Call, str]] = {
    "a wrong expression": (("create", {"name": "x", "prompt": "Do it.", "cron": "0 7 * *"}), "cron has five"),
    "no time": (("create", {"name": "x", "prompt": "Do it."}), 'Add `cron: "0 7 * * *"`, `every: 15m` or `at'),
    "no action": (("create", {"name": "x", "every": "5m"}), "one of command, call, prompt"),
    "a heading that ends a prompt": (
        ("create", {"name": "x", "prompt": "Tidy up.\n\n## Runs\n\nSay which.", "every": "1d"}),
        "Give it another heading",
    ),
    "a switch in more": (
        ("create", {"name": "x", "command": "date", "more": {"run_now": True}}),
        "and `run` to run it",
    ),
    "a taken name": (("create", {"name": "hello", "command": "date", "every": "5m"}), "Choose another name"),
    "a time that has passed": (("create", {"name": "x", "command": "date", "at": "2020-01-01T09:00"}), "has passed"),
    "a misspelt task": (("show", {"task": "helo"}), "Did you mean hello?"),
    "an unknown task": (("run", {"task": "nothing"}), "there is no task named 'nothing'"),
    "nothing to pause": (("pause", {}), "name a task"),
    "two questions": (("next", {"task": "hello", "cron": "0 7 * * *"}), "Give one of them"),
    "an unknown zone": (("next", {"cron": "0 7 * * *", "timezone": "Berlin"}), "Europe/Berlin"),
    "an unknown run": (("logs", {"run": "r-20200101T000000Z-000000"}), "`vault-sched history` shows the runs"),
    "an unknown path": (("check", {"paths": ["nowhere.md"]}), "there is no file or folder nowhere.md"),
}
IN_A_RUN: dict[str, Call] = {
    "list": ("list", {}),
    "create": ("create", {"name": "later", "command": "date", "every": "5m"}),
    "create paused": ("create", {"name": "proposal", "command": "date", "every": "5m", "status": "paused"}),
    "pause": ("pause", {"task": "proposal"}),
    "resume": ("resume", {"task": "proposal"}),
    "run": ("run", {"task": "proposal"}),
    "cancel": ("cancel", {"task": "proposal"}),
    "delete": ("delete", {"task": "proposal"}),
}


class Told:
    """What the server answered to the calls of one session."""

    def __init__(self) -> None:
        self.tools: dict[str, Any] = {}
        self.instructions = ""
        self.answers: dict[str, Any] = {}

    def data(self, name: str) -> dict[str, Any]:
        answer = self.answers[name]
        assert not answer.is_error, answer.content[0].text
        assert answer.structured_content == json.loads(answer.content[0].text)
        return dict(answer.structured_content)

    def error(self, name: str) -> str:
        assert self.answers[name].is_error, self.answers[name].content[0].text
        return str(self.answers[name].content[0].text)


def ask(world: Any, calls: Mapping[str, Call], *, env: Mapping[str, str] | None = None, inside: bool = True) -> Told:
    """One session of the official client, with these calls one after the other."""
    return asyncio.run(_ask(world, calls, {**world.env, **(env or {})}, inside))


async def _ask(world: Any, calls: Mapping[str, Call], env: dict[str, str], inside: bool) -> Told:
    program = StdioServerParameters(
        command=sys.executable,
        args=["-W", "error", "-m", "vault_scheduler", "mcp"],
        env=env,
        cwd=world.vault if inside else "/",
    )
    told = Told()
    async with stdio_client(program) as (reading, writing), ClientSession(reading, writing) as session:
        told.instructions = (await session.initialize()).instructions or ""
        told.tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        for name, (tool, arguments) in calls.items():
            told.answers[name] = await session.call_tool(tool, arguments)
    return told


@pytest.fixture(scope="module")
def vault(make_world: Callable[..., Any]) -> Any:
    made = make_world()
    (made.vault / "Inbox").mkdir()
    return made


@pytest.fixture(scope="module")
def told(vault: Any) -> Told:
    return ask(vault, {**CALLS, **{name: call for name, (call, _) in MISTAKES.items()}})


def test_the_server_offers_the_verbs_and_says_what_they_are_for(told: Told) -> None:
    """The tools are named like the commands; those that change nothing say so; each argument is explained or plain."""
    assert set(told.tools) == READING | CHANGING
    assert {name for name, tool in told.tools.items() if tool.annotations.read_only_hint} == READING
    assert "every morning" in told.instructions
    for tool in told.tools.values():
        assert tool.description.endswith("."), tool.name


def test_create_writes_the_note_that_the_command_would_write(told: Told, vault: Any) -> None:
    """The note is the careful one of `vault-sched create`, and the answer shows it with its first run."""
    made = told.data("create")
    text = (vault.tasks / "hello.md").read_text()
    assert made["note"].splitlines()[:6] == [
        *("---", "type: command", 'cron: "0 0 29 2 *"', "status: active", "run_now: false", "command: echo hi there")
    ]
    assert "retries: 2" in text
    assert made["next_run"] == "2028-02-29T00:00:00+00:00"
    assert any("First run" in line for line in made["said"])
    briefing = told.data("prompt")["note"]
    assert 'output: "Briefings/{{date}}.md"' in briefing
    assert briefing.endswith("---\nWrite the briefing.\n")
    assert "```sh\na: b\n```" in told.data("watcher")["note"]


def test_run_and_what_can_be_seen_of_it(told: Told) -> None:
    """A task that was asked for runs, also without a daemon, and is in list, show, history and logs."""
    run = told.data("run")
    assert run["outcome"] == "success"
    assert {task["task"]: task["last_outcome"] for task in told.data("list")["tasks"]}["hello"] == "success"
    assert told.data("show")["runs"][0]["run"] == run["run"]
    assert [each["run"] for each in told.data("history")["runs"]] == [run["run"]]
    assert told.data("logs") == {
        **{
            "run": run["run"],
            "task": "hello",
            "state": "ended",
            "outcome": "success",
            "reason": told.data("run")["reason"],
        },
        "output": "hi there\n",
    }


def test_questions_about_times(told: Told) -> None:
    """The next fire times of a task, the vault and an expression, and the days ahead."""
    assert told.data("next")["fire_times"] == ["2032-02-29T00:00:00+00:00"]
    assert told.data("next of the vault")["next"] == []
    assert told.data("next of an expression")["fire_times"][0] == "2026-11-23T07:00:00+01:00"
    assert "watcher" in told.data("forecast")["page"]


def test_check_and_status(told: Told) -> None:
    """No problem in a note that `create` wrote; no daemon, and no cost."""
    assert told.data("check") == {"notes": 1, "problems": [], "skipped": {}}
    assert told.data("status")["alive"] is False
    assert told.data("status")["cost_today_usd"] == 0


def test_pausing_and_resuming(told: Told, vault: Any) -> None:
    """One task or the whole vault; the answer says what stands in the note now."""
    assert told.data("pause") == {
        **{"path": "00_system/tasks/hello.md", "status": "paused", "changed": True, "said": "hello is paused"}
    }
    assert told.data("resume")["status"] == "active"
    assert told.data("pause everything")["said"].startswith("the vault is paused until")
    assert told.data("resume everything")["changed"] is True
    assert "paused_until: 2031" not in vault.settings.read_text()
    assert told.data("cancel") == {"task": "hello", "cancelled": []}


def test_delete_moves_the_note_into_the_trash(told: Told, vault: Any) -> None:
    """Nothing is lost: the answer says where the note is now."""
    gone = told.data("delete")
    assert gone["path"] == "00_system/tasks/wrong.md"
    assert "command: date" in (vault.vault / gone["trash"]).read_text()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_what_to_do(told: Told, name: str) -> None:
    """The words are those that a person gets; nothing was written."""
    assert MISTAKES[name][1] in told.error(name)


def test_no_mistake_left_a_note(told: Told, vault: Any) -> None:
    """What was refused is not there."""
    assert sorted(path.stem for path in vault.tasks.glob("*.md")) == ["briefing", "hello", "watcher"]


def test_inside_a_run_the_tools_look_and_propose(make_world: Callable[..., Any]) -> None:
    """A run that nobody knows has no rights: it may read, and create what is paused (rule 8)."""
    world = make_world()
    told = ask(world, IN_A_RUN, env={"VAULT_SCHED_RUN": "r-20260101T000000Z-000000"})
    assert told.data("list") == {"tasks": []}
    assert told.data("create paused")["path"] == "00_system/tasks/proposal.md"
    for name in ("create", "pause", "resume", "run", "cancel", "delete"):
        assert "is not possible inside a run" in told.error(name)
    assert [path.stem for path in world.tasks.glob("*.md")] == ["proposal"]
    assert "status: paused" in (world.tasks / "proposal.md").read_text()


def test_outside_of_a_vault_every_tool_says_how_to_name_one(make_world: Callable[..., Any]) -> None:
    """The server starts anywhere, as that of a plugin does; the advice comes when it is asked."""
    told = ask(make_world(), {"list": ("list", {}), "run": ("run", {"task": "x"})}, inside=False)
    assert "--vault PATH or VAULT_SCHED_VAULT" in told.error("list")
    assert "no vault" in told.error("run")
