"""The process of a Claude run: one session of the Claude Agent SDK. Started as
`python -P -E -m vault_scheduler.executors.claude_worker FOLDER`; the folder holds the session and gets the record.

What Claude says and does goes to standard output as it happens. The SDK is imported here only: it costs half a
second and tens of megabytes that the daemon does not need.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vault_scheduler.executors.claude import RECORD_FILE, SESSION_FILE
from vault_scheduler.executors.claude_guard import (
    READING_TOOLS,
    WRITING_TOOLS,
    Fence,
    objection,
    reading_objection,
    write_of,
)
from vault_scheduler.executors.claude_record import Record, missing_server, words_of_death
from vault_scheduler.executors.claude_session import Session, our_server
from vault_scheduler.executors.claude_tools import our_tools
from vault_scheduler.executors.claude_transcript import claude_folder, cost_so_far, session_file
from vault_scheduler.text.harmless import plain_line

if TYPE_CHECKING:
    import claude_agent_sdk as sdk

_SILENT_AFTER_END_S = 20.0
"""After an end of the session, how long to wait for another one; closing was seen to hang."""
_SILENT_IN_CLIENT_S = 0.5
"""The same where the connection is ours to close."""
_LONGEST_RETRY_S = 10.0
"""A rate limit that lasts longer is waited for without a session."""
_SERVERS_S = 60.0  # until MCP servers have connected; `npx` and `uvx` may load them first
_LOOK_S = 0.05
_LOST = "No conversation found with session ID"
_TOO_LONG = "Prompt is too long"


class Worker:
    """Runs one session and keeps its record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = Session.from_json((folder / SESSION_FILE).read_text(encoding="utf-8"))
        self.record = Record(vault=self.session.vault)
        self.background: set[str] = set()
        self.spent = 0.0  # US dollars: of this run, in a session that it had to leave
        self.cost_before = 0.0  # US dollars: of the session, before this run went on with it
        self.save()  # if this is not possible, nothing must be spent

    def save(self) -> None:
        """Keep the record on disk: whatever ends this process, what is known by then is not lost."""
        self.record.save(self.folder / RECORD_FILE)

    async def run(self) -> None:
        """The session, to its end. One that cannot be gone on with is begun afresh."""
        await self._converse(self.session.prompt, self.session.resume)
        why = self._why_afresh() if self.session.resume else ""
        if why:
            self.record.remark(f"the session it was to go on with {why}, so it began a new one")
            print(self.record.remarks[-1])
            self.spent = self.record.cost_usd
            self.record.begin_anew()
            await self._converse(self.session.afresh, "")

    def _why_afresh(self) -> str:
        if self.record.lost_session:
            return "could not be found again"
        return "has become too long" if self.record.is_error and _TOO_LONG in self.record.error else ""

    async def _converse(self, prompt: str, resume: str) -> None:
        import claude_agent_sdk as sdk

        self.cost_before = cost_so_far(session_file(claude_folder(os.environ, ""), resume))
        messages = self._messages(prompt, resume)
        try:
            async for message in self._until_over(messages):
                self.see(message)
                self.save()
                if self.record.given_up and not self.record.answered:
                    _end_children()
                    break
        except sdk.ClaudeSDKError as error:
            self._broke(words_of_death(error), resume)
        finally:
            self.save()
            await messages.aclose()

    def _broke(self, words: str, resume: str) -> None:
        if resume and not self.record.turns and _LOST in words:
            self.record.lost_session = True
        elif not (self.record.answered or self.record.given_up):
            self.record.error = self.record.error or words
            print(f"error: {words}")

    async def _messages(self, prompt: str, resume: str) -> AsyncGenerator[Any, None]:
        """What the session says. Nothing is asked of the API before all servers that it needs are there."""
        import claude_agent_sdk as sdk

        if not self.session.servers:
            self._begin()
            async with aclosing(sdk.query(prompt=prompt, options=self.options(resume))) as messages:  # type: ignore[type-var]
                async for message in messages:
                    yield message
            return
        client = sdk.ClaudeSDKClient(self.options(resume))
        try:
            await client.connect()
            if self._connected(await self._servers(client)):
                self._begin()
                await client.query(prompt)
                async for message in client.receive_messages():
                    yield message
        finally:
            await client.disconnect()

    def _begin(self) -> None:
        self.record.began = True
        self.save()

    async def _servers(self, client: sdk.ClaudeSDKClient) -> list[Any]:
        """How the servers stand, once it is settled whether they connect."""
        deadline = time.monotonic() + _SERVERS_S
        while True:
            servers = (await client.get_mcp_status())["mcpServers"]
            if all(server["status"] != "pending" for server in servers) or time.monotonic() > deadline:
                return list(servers)
            await asyncio.sleep(_LOOK_S)

    def _connected(self, servers: list[Any]) -> bool:
        found = {server["name"]: server for server in servers}
        for name in self.session.servers:
            server = found.get(name, {})
            if server.get("status") != "connected":
                self.record.server = missing_server(name, server, self.session.servers_file, _SERVERS_S)
                print(self.record.server)
                return False
        return True

    async def _until_over(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        silence = _SILENT_IN_CLIENT_S if self.session.servers else _SILENT_AFTER_END_S
        while True:
            over = self.record.answered and not self.background
            try:
                yield await asyncio.wait_for(anext(messages), silence if over else None)
            except StopAsyncIteration:
                return
            except TimeoutError:
                _end_children()
                return

    # --- what the session is given ---

    def options(self, resume: str) -> sdk.ClaudeAgentOptions:
        """The session's rights, as the SDK takes them."""
        import claude_agent_sdk as sdk

        session = self.session
        ours = our_tools(session, record=self.record, save=self.save)
        has_skills = "Skill" not in session.disallowed_tools and Path(session.vault, ".claude/skills").is_dir()
        named = [f"vault:{name}" for name in session.skills] if session.restricted else list(session.skills)
        return sdk.ClaudeAgentOptions(
            resume=resume or None,
            cwd=session.cwd,
            tools=[*session.tools, *(["Skill"] if has_skills else [])],
            allowed_tools=[*session.allowed_tools, *(["Skill"] if has_skills and not named else [])],
            skills=named if has_skills and named else None,
            disallowed_tools=list(session.disallowed_tools),
            permission_mode="dontAsk",
            setting_sources=[] if session.restricted else ["user", "project", "local"],
            settings=json.dumps(session.settings),
            strict_mcp_config=session.restricted,
            add_dirs=[session.vault, *session.add_dirs],
            plugins=[self._skills()] if has_skills and session.restricted else [],
            mcp_servers={**session.servers, our_server(session.servers): ours},  # type: ignore[dict-item]
            hooks={"PreToolUse": [self._guard()]},
            max_turns=session.max_turns,
            max_budget_usd=max(0.01, session.max_usd - self.spent),
            model=session.model,
            fallback_model=session.fallback_model,
            system_prompt=self._system_prompt(),
            stderr=lambda line: print(f"claude: {line}"),
            max_buffer_size=32 * 1024 * 1024,
        )

    def _system_prompt(self) -> sdk.types.SystemPromptPreset:
        if self.session.system_prompt is None:
            return {"type": "preset", "preset": "claude_code"}
        return {"type": "preset", "preset": "claude_code", "append": self.session.system_prompt}

    def _skills(self) -> sdk.types.SdkPluginConfig:
        """The vault's skills as a plugin that has nothing else: no hooks, no servers, no settings."""
        plugin = self.folder / "plugin"
        (plugin / ".claude-plugin").mkdir(parents=True, exist_ok=True)
        manifest = {"name": "vault", "version": "1.0.0", "description": "The skills of this vault"}
        (plugin / ".claude-plugin" / "plugin.json").write_text(json.dumps(manifest), encoding="utf-8")
        skills = Path(self.session.vault, ".claude/skills")
        if self.session.skills:
            (plugin / "skills").mkdir(exist_ok=True)
        links = {plugin / "skills" / name: skills / name for name in self.session.skills} or {plugin / "skills": skills}
        for link, target in links.items():
            if not link.is_symlink():
                link.symlink_to(target)
        return {"type": "local", "path": str(plugin)}

    def _guard(self) -> sdk.HookMatcher:
        import claude_agent_sdk as sdk

        fence = Fence(
            vault=self.session.vault,
            system_folder=self.session.system_folder,
            note=self.session.note,
            named_files=self.session.named_files,
            add_dirs=self.session.add_dirs,
            hidden=tuple(os.path.realpath(path) for path in self.session.hidden),
            readable=(self.session.cwd,),
            state=str(Path(os.path.realpath(self.folder)).parents[2]),
            whole_vault=not self.session.restricted,
        )

        async def look(call: Any, call_id: str | None, context: Any) -> Any:
            tool, arguments = call["tool_name"], call["tool_input"]
            write = write_of(tool, arguments, self.session.cwd, fence)
            reading = reading_objection(fence, tool, arguments, self.session.cwd)
            why = objection(fence, write) if write else reading
            if not why:
                return {}
            self.record.saw_denial(call_id or "", call["tool_name"], call["tool_input"], why)
            decision = {"permissionDecision": "deny", "permissionDecisionReason": f"refused by vault-sched: {why}"}
            return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}}

        # A guard that fails must not let anything pass.
        return sdk.HookMatcher(matcher="|".join([*WRITING_TOOLS, *READING_TOOLS]), hooks=[look], on_failure="block")

    # --- what the session says ---

    def see(self, message: Any) -> None:
        """Take a message into the record."""
        match type(message).__name__:
            case "AssistantMessage":
                self._assistant(message)
            case "UserMessage":
                self._tool_results(message)
            case "ResultMessage":
                self._end(message)
            case "RateLimitEvent":
                self.record.saw_limits(message.rate_limit_info.raw)
            case "TaskStartedMessage":
                self.background.add(message.task_id)
            case "TaskNotificationMessage":
                self.background.discard(message.task_id)
            case "SystemMessage":
                self._system(message.subtype, message.data)

    def _assistant(self, message: Any) -> None:
        self.record.session_id = message.session_id or self.record.session_id
        self.record.saw_usage(message.message_id or "", message.usage or {})
        if message.model and not message.model.startswith("<"):
            self.record.model = message.model
        words = "\n".join(block.text for block in message.content if hasattr(block, "text"))
        if message.error:
            self.record.error = words or message.error
            self.record.limited = self.record.limited or message.error == "rate_limit"
        elif words and message.parent_tool_use_id is None:
            self.record.say(words)
        if message.error in ("authentication_failed", "billing_error"):
            self._refused(words or message.error)
        if words:
            print(words)
        for block in message.content:
            if hasattr(block, "input"):
                self.record.saw_call(block.id, block.name, block.input)
                print(f"→ {block.name} {plain_line(json.dumps(block.input, ensure_ascii=False), 200)}")

    def _tool_results(self, message: Any) -> None:
        for block in message.content if isinstance(message.content, list) else ():
            if hasattr(block, "tool_use_id"):
                content = block.content if isinstance(block.content, str) else json.dumps(block.content)
                self.record.saw_result(block.tool_use_id, content or "", is_error=bool(block.is_error))
                if block.is_error:
                    print(f"  refused or failed: {plain_line(content or '', 300)}")

    def _end(self, message: Any) -> None:
        record = self.record
        record.session_id = message.session_id or record.session_id
        for denial in message.permission_denials or ():
            if isinstance(denial, Mapping):
                call = str(denial.get("tool_use_id", ""))
                record.saw_denial(call, str(denial.get("tool_name", "")), denial.get("tool_input") or {})
        record.status = message.api_error_status or record.status
        if message.is_error:
            record.error = message.result or "; ".join(message.errors or ()) or record.error or message.subtype
        record.saw_end(
            subtype=message.subtype,
            is_error=message.is_error,
            text="" if message.is_error else message.result or "",
            cost_usd=self._cost(message.total_cost_usd),
            turns=message.num_turns,
        )
        if message.is_error and message.api_error_status in (401, 403):
            self._refused(record.error)
        print(f"[{message.subtype}, {message.num_turns} turns, ${message.total_cost_usd or 0.0:.4f}]")

    def _cost(self, total: float | None) -> float:
        """What this run cost: the CLI tells the total of the session, also of what it was before."""
        return self.record.usage_usd() if total is None else self.spent + max(0.0, total - self.cost_before)

    def _system(self, subtype: str, data: Mapping[str, Any]) -> None:
        if subtype == "init":
            self.record.session_id = data.get("session_id") or self.record.session_id
            self.record.model = data.get("model") or self.record.model
            print(f"session {self.record.session_id}, {self.record.model}")
            for server in data.get("mcp_servers") or ():
                if server.get("status") == "failed":
                    print(f"the MCP server {server.get('name')} did not start")
        elif subtype == "api_retry":
            self._retry(data.get("error_status"), str(data.get("error")), float(data.get("retry_delay_ms") or 0) / 1000)

    def _refused(self, words: str) -> None:
        self.record.given_up, self.record.refused_login = True, words

    def _retry(self, status: int | None, words: str, delay_s: float) -> None:
        """The CLI is going to ask once more; where that does not help or takes long, the run ends instead."""
        print(f"the API answered {status}: {words}; trying again in {delay_s:.1f} s" if status else "no answer; again")
        if status in (401, 403):
            self._refused(f"the login was refused ({status})")
        elif status == 429 and delay_s > _LONGEST_RETRY_S:
            self.record.given_up, self.record.limited, self.record.status = True, True, status
            self.record.limit_until = int(time.time() + delay_s) + 1
            self.record.error = "the API wants to be asked later"


def _end_children() -> None:
    """The CLI goes on retrying while the SDK waits for it politely."""
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.terminate()
        except psutil.Error:
            continue


def _load() -> None:
    """Import the SDK; all that it makes stays, and to look through it for garbage takes a tenth of the time."""
    gc.disable()
    import claude_agent_sdk  # noqa: F401

    gc.freeze()
    gc.enable()


def main(arguments: list[str]) -> int:
    """Run the session in the folder that is the only argument."""
    sys.stdout.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]
    worker = Worker(Path(arguments[0]))
    _load()
    for name in ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", *worker.session.without):
        os.environ.pop(name, None)
    asyncio.run(worker.run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
