"""How Claude runs end when something outside of them goes wrong, and what they go on with: the real CLI."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.process import claude_stage as play
from tests.process import loopback_api as api
from tests.process.claude_stage import text, use
from vault_scheduler.executors.base import action_to_json
from vault_scheduler.executors.leavings import output_path, transcript_path
from vault_scheduler.run import Cause, Outcome, Result
from vault_scheduler.task import ClaudeAction, Permissions

if TYPE_CHECKING:
    from tests.process.claude_stage import Stage


KEY = {"ANTHROPIC_API_KEY": "x", "CLAUDE_CODE_MAX_RETRIES": "1"}
PLAN = {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-of-the-tests", "CLAUDE_CODE_MAX_RETRIES": "1"}
RESET = int(time.time()) + 3600
NEXT_WEEK = RESET + 86_400
USED = {
    "anthropic-ratelimit-unified-status": "allowed",
    "anthropic-ratelimit-unified-5h-utilization": "0.62",
    "anthropic-ratelimit-unified-5h-reset": str(RESET),
    "anthropic-ratelimit-unified-7d-utilization": "0.81",
    "anthropic-ratelimit-unified-7d-reset": str(NEXT_WEEK),
}
USED_UP = {
    **USED,
    "anthropic-ratelimit-unified-status": "rejected",
    "anthropic-ratelimit-unified-5h-utilization": "1",
    "anthropic-ratelimit-unified-reset": str(RESET),
    "anthropic-ratelimit-unified-representative-claim": "five_hour",
}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with play.stage_in(tmp_path, dict(KEY)) as stage:
        yield stage


def moment(unix_time: int) -> datetime:
    return datetime.fromtimestamp(unix_time, UTC)


# --- limits, overload, network ---


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Result]]:
    """A run of somebody who has a plan and, beside it, a key that the task asks for."""
    with play.stage_in(tmp_path_factory.mktemp("planned"), {**KEY, **PLAN}) as stage:
        stage.withheld = ("ANTHROPIC_API_KEY",)
        fine = api.Answer(text("Fine."), headers=USED)
        yield stage, stage.run(fine, request={"secrets": ("ANTHROPIC_API_KEY",)})


def test_what_is_used_of_the_plan_is_told_and_its_limit_names_its_end(
    stage: Stage, planned: tuple[Stage, Result]
) -> None:
    """The fullest window counts; a limit with a reset is a failure that says until when, for nothing."""
    _, fine = planned
    stage.secrets = dict(PLAN)
    assert (fine.outcome, fine.usage, fine.usage_until) == (Outcome.SUCCESS, 81.0, moment(NEXT_WEEK))
    assert fine.cause is None
    limit = stage.run(api.Refusal(429, "rate_limit_error", "Too much", USED_UP))
    assert (limit.outcome, limit.cause, limit.transient) == (Outcome.FAILURE, Cause.QUOTA, True)
    assert (limit.quota_until, limit.usage, limit.usage_until) == (moment(RESET), 100.0, moment(RESET))
    assert "5-hour limit" in limit.reason
    assert limit.cost_usd == 0
    assert len(stage.api.requests) == 1


def test_a_limit_without_a_reset_is_told_in_the_apis_words(stage: Stage) -> None:
    """After few tries; where the API says how long it wants to be left alone, the run does not sit that out."""
    plain = stage.run(api.Refusal(429, "rate_limit_error", "Slow down please"))
    assert (plain.outcome, plain.cause, plain.quota_until) == (Outcome.FAILURE, Cause.QUOTA, None)
    assert plain.reason.startswith("rate limit: ")
    assert "Slow down please" in plain.reason
    assert plain.retryable
    began = datetime.now(UTC)
    long = stage.run(api.Refusal(429, "rate_limit_error", "Slow down please", {"retry-after": "60"}))
    assert (long.outcome, long.cause, long.cost_usd) == (Outcome.FAILURE, Cause.QUOTA, 0)
    assert long.quota_until is not None
    assert 50 < (long.quota_until - began).total_seconds() < 200
    assert len(stage.api.requests) == 1


def test_an_overload_that_lasts_is_nobodys_fault(stage: Stage) -> None:
    """It fails the attempt, in the API's words. One that passes is none (test_claude_notes.py)."""
    lasts = stage.run(api.Refusal(529, "overloaded_error", "Overloaded"))
    assert (lasts.outcome, lasts.cause, lasts.transient) == (Outcome.FAILURE, Cause.OVERLOAD, True)
    assert lasts.reason.startswith("API Error: 529 Overloaded")
    assert lasts.cost_usd == 0


def test_without_a_network_the_attempt_fails_and_says_so(stage: Stage) -> None:
    """Nobody answers at the address: transient, free, and to be waited for."""
    with api.LoopbackApi() as gone:
        url = gone.url
    result = stage.run_at(url)
    assert (result.outcome, result.cause, result.transient) == (Outcome.FAILURE, Cause.NETWORK, True)
    assert "ECONNREFUSED" in result.reason
    assert result.cost_usd == 0


def test_an_answer_that_breaks_off_or_is_none_is_no_success(stage: Stage) -> None:
    """In the middle of its words, or garbage from the start, as the login page of a network gives it."""
    for reply in (api.Cut("Half of a sente"), api.Garbage()):
        result = stage.run(reply)
        assert (result.outcome, result.cause) == (Outcome.FAILURE, Cause.NETWORK), result
        assert "empty or malformed response" in result.reason


def test_no_words_at_all_are_a_failure(stage: Stage) -> None:
    """Success without anything to show is claimed by nobody."""
    result = stage.run([text("")])
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "Claude ended without an answer")
    assert (result.cost_usd or 0) > 0


def test_who_cannot_pay_is_blocked(stage: Stage) -> None:
    """A person has to do something, and is told what."""
    words = "Your credit balance is too low to access the Anthropic API."
    result = stage.run(api.Refusal(400, "invalid_request_error", words))
    assert (result.outcome, result.cause, result.retryable) == (Outcome.BLOCKED, Cause.LOGIN, False)
    assert "add credit" in result.reason
    assert result.cost_usd == 0


def test_a_request_that_the_api_does_not_take_is_the_tasks_own_failure(stage: Stage) -> None:
    """`pause_after` counts it."""
    result = stage.run(api.Refusal(404, "not_found_error", "model: nosuch"), model="nosuch")
    assert (result.outcome, result.cause, result.transient) == (Outcome.FAILURE, None, False)
    assert "nosuch" in result.reason


def test_a_cli_that_is_killed_is_a_failure_and_charged(stage: Stage) -> None:
    """kill -9 of the CLI: the worker is still there to tell it, what it cost is not known."""
    with api.LoopbackApi([use("Read", file_path=str(stage.vault / "Inbox.md"))], api.Silence()) as stage.api:
        stage.secrets["ANTHROPIC_BASE_URL"] = stage.api.url
        result = asyncio.run(_killed(stage))
    assert result.outcome is Outcome.FAILURE
    assert result.reason == "Claude Code was ended by signal 9 before the session was over"
    assert result.cost_usd is None
    assert result.session_id
    assert result.cause is None


async def _killed(stage: Stage) -> Result:
    request = stage.request(action=action_to_json(ClaudeAction()), body="Go.")
    run = asyncio.create_task(stage.start(request))
    async with asyncio.timeout(30):
        while len(stage.api.requests) < 2:
            await asyncio.sleep(0.02)
    cli = psutil.Process(stage.pids[-1]).children()[0]
    cli.kill()
    result: Result = await run
    return result


def result_run(stage: Stage) -> str:
    return next(path.name for path in (stage.folder / "runs").iterdir())


# --- sessions ---


def test_an_answer_continues_the_session_that_asked_and_pays_its_own_part(stage: Stage) -> None:
    """The question ends the run as blocked; the answer is all that the session is told then, and costs its own turn."""
    question = use("mcp__vault-sched__ask_person", question="Which folder?")
    asked = stage.run(api.Costly(question, output_tokens=10_000), [text("I asked.")])
    assert (asked.outcome, asked.reason, asked.question) == (Outcome.BLOCKED, "Which folder?", "Which folder?")
    assert asked.cause is None
    going_on = {"resume": asked.session_id, "answer": "The green one.\nNot the red one.", "facts": {"question": "x"}}
    result = stage.run([text("Done.")], request=going_on)
    assert (result.outcome, result.text, result.session_id) == (Outcome.SUCCESS, "Done.", asked.session_id)
    told = last_words(stage)
    assert "The green one.\nNot the red one." in told
    assert "the person's answer" in told
    assert "Write the briefing." not in told
    assert "Which folder?" in stage.api.all_text()
    assert (asked.cost_usd or 0) > 0.1
    assert 0 < (result.cost_usd or 0) < 0.01
    assert result.remarks == ()
    kept = transcript_path(output_path(stage.folder / "runs", result_run(stage), 1)).read_text()
    assert "Not the red one." in kept
    assert "I asked." not in kept


def test_a_session_that_is_lost_is_begun_afresh_and_that_is_said(stage: Stage) -> None:
    """The whole prompt with question and answer; nothing is asked of the API before."""
    going_on = {
        "resume": "11111111-1111-4111-8111-111111111111",
        "answer": "The green one.",
        "facts": {"question": "Which @Inbox.md?"},
    }
    result = stage.run([text("Done.")], request=going_on)
    assert (result.outcome, result.text) == (Outcome.SUCCESS, "Done.")
    assert result.remarks == ("the session it was to go on with could not be found again, so it began a new one",)
    assert result.session_id not in (None, going_on["resume"])
    told = last_words(stage)
    assert told.index("Write the briefing.") < told.index("Which (at)Inbox.md?") < told.index("The green one.")
    assert len(stage.api.requests) == 1


def test_a_session_that_has_become_too_long_is_begun_afresh_too(stage: Stage) -> None:
    """Where Claude Code cannot make it shorter; what that cost is paid by the run."""
    first = stage.run(api.Costly(text("A long story.")), max_usd=50)
    story = use("Read", file_path=str(stage.vault / "Inbox.md"))  # no summary, so that none can be made
    result = stage.run(api.Costly(story, output_tokens=5_000), [text("Done.")], request={"resume": first.session_id})
    assert (result.outcome, result.text, result.reason) == (Outcome.SUCCESS, "Done.", "")
    assert result.remarks == ("the session it was to go on with has become too long, so it began a new one",)
    assert result.session_id not in (None, first.session_id)
    assert 0.05 < (result.cost_usd or 0) < 1


def last_words(stage: Stage) -> str:
    said = [message["content"] for message in stage.api.requests[0]["messages"] if message["role"] == "user"][-1]
    return said if isinstance(said, str) else "\n".join(block.get("text", "") for block in said)


# --- what a run may use ---

SERVER_PROGRAM = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    name, answer = asked["method"], {}
    if "id" not in asked:
        continue
    if name == "initialize":
        info = {"name": "s", "version": "1"}
        version = asked["params"]["protocolVersion"]
        answer = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    elif name == "tools/list":
        schema = {"type": "object", "properties": {}}
        answer = {"tools": [{"name": "greet", "description": "greets", "inputSchema": schema}]}
    elif name == "tools/call":
        answer = {"content": [{"type": "text", "text": "GREETINGS-OF-THE-SERVER"}]}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answer}), flush=True)
"""


def servers(stage: Stage, **more: Any) -> None:
    stage.write("tools/server.py", SERVER_PROGRAM)
    here = {"command": sys.executable, "args": ["-S", "tools/server.py"]}
    stage.write("tools/servers.json", json.dumps({"mcpServers": {"vault-sched": here, **more}}))


REFUSED_BESIDE = (".git/config", "CLAUDE.md", "Makefile", "../elsewhere.md")


def skills(stage: Stage) -> None:
    for name in ("greet", "leave"):
        head = f"---\nname: {name}\ndescription: {name.upper()}S-PEOPLE\n---\n"
        stage.write(f".claude/skills/{name}/SKILL.md", f"{head}Say {name}ings to all.\n")


def folder_beside(stage: Stage) -> Path:
    beside = stage.folder / "beside"
    (beside / ".git").mkdir(parents=True)
    (beside / "a.md").write_text("WORDS-FROM-BESIDE")
    return beside


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Result]]:
    """One session with a server, a skill and a folder beside the vault, which uses what it was given and more."""
    with play.stage_in(tmp_path_factory.mktemp("equipped"), dict(KEY)) as stage:
        servers(stage)
        skills(stage)
        beside = folder_beside(stage)
        result = stage.run(
            [use("mcp__vault-sched__greet")],
            [use("Skill", skill="vault:greet"), use("Skill", skill="vault:leave")],
            [use("Read", file_path=str(beside / "a.md"))],
            [use("Write", file_path=str(beside / name), content="x") for name in ("new.md", *REFUSED_BESIDE)],
            [use("mcp__vault-sched-run__nothing_new")],
            [text("done")],
            mcp_config="tools/servers.json",
            skills=("greet",),
            add_dirs=("../beside",),
        )
        yield stage, result


def test_the_servers_that_a_task_names_are_offered_and_may_be_used(equipped: tuple[Stage, Result]) -> None:
    """All tools of a named server without another rule, also of one that is called as ours is."""
    stage, result = equipped
    assert "GREETINGS-OF-THE-SERVER" in stage.api.all_text()
    assert (result.outcome, result.text) == (Outcome.SUCCESS, "")
    assert [denial for denial in result.denials if "mcp__" in denial] == []


def test_a_server_that_does_not_connect_blocks_the_run_for_nothing(stage: Stage) -> None:
    """Its name and the cure; the API is not asked."""
    servers(stage, gone={"command": "/no/such/program", "args": []})
    result = stage.run([text("never asked")], mcp_config="tools/servers.json")
    assert (result.outcome, result.cause, result.retryable) == (Outcome.BLOCKED, Cause.SERVER, False)
    assert "the MCP server gone did not connect (ENOENT" in result.reason
    assert "take it out of tools/servers.json" in result.reason
    assert (stage.api.requests, result.cost_usd) == ([], 0)


def only_one_skill_is_there(stage: Stage) -> None:
    asked = stage.api.all_text()
    assert "GREETS-PEOPLE" in asked
    assert "Say greetings" in asked
    assert "LEAVES-PEOPLE" not in asked
    assert "Say leaveings" not in asked


def test_only_the_skills_that_a_task_names_are_offered(equipped: tuple[Stage, Result]) -> None:
    """The others are neither told of nor can be called."""
    only_one_skill_is_there(equipped[0])


def test_only_the_skills_that_a_task_names_are_offered_with_full_permissions(stage: Stage) -> None:
    """There the vault's own settings count, and its skills have no prefix."""
    skills(stage)
    calls = [use("Skill", skill="greet"), use("Skill", skill="leave")]
    result = stage.run(calls, [text("done")], skills=("greet",), permissions=Permissions.FULL)
    assert result.outcome is Outcome.SUCCESS
    only_one_skill_is_there(stage)


def test_folders_beside_the_vault_may_be_used_and_are_protected_alike(equipped: tuple[Stage, Result]) -> None:
    """Read and written like the vault; dot folders and instructions in them are not."""
    stage, result = equipped
    beside = stage.folder / "beside"
    assert "WORDS-FROM-BESIDE" in stage.api.all_text()
    assert sorted(path.name for path in beside.rglob("*") if path.is_file()) == ["a.md", "new.md"]
    assert len([denial for denial in result.denials if denial.startswith("Write")]) == len(REFUSED_BESIDE)
    assert not (stage.folder / "elsewhere.md").exists()


MISSING: list[tuple[dict[str, Any], str]] = [
    ({"skills": ("nope",)}, "no skill nope: there is no .claude/skills/nope/SKILL.md"),
    ({"add_dirs": ("../nope",)}, "no such folder: add_dirs ../nope"),
    ({"mcp_config": "nope.json"}, "mcp_config nope.json: No such file or directory"),
    ({"mcp_config": "00_system/scheduler.md"}, "is not JSON"),
]


def test_what_is_not_there_is_a_failure_before_anything_starts(stage: Stage) -> None:
    """Named in the reason; no process, no cost."""
    for action, reason in MISSING:
        result = stage.run([text("x")], request={"max_usd": 0.5}, **action)
        assert result.outcome is Outcome.FAILURE
        assert reason in result.reason
        assert result.cost_usd == 0
    assert stage.pids == []


# --- who pays ---


def test_with_a_plan_a_stray_key_is_not_used(planned: tuple[Stage, Result]) -> None:
    """The bill stays with the plan, also where the task asks for the key as a secret."""
    stage, result = planned
    assert (result.outcome, result.remarks) == (Outcome.SUCCESS, ())
    assert "x-api-key" not in stage.api.headers[0]
    assert stage.api.headers[0]["authorization"].endswith("of-the-tests")
