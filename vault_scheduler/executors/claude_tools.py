"""The three tools of ours that every Claude session has: how a run says what its answer alone cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vault_scheduler.executors.claude_record import Record
from vault_scheduler.executors.claude_session import Session, our_server

if TYPE_CHECKING:
    import claude_agent_sdk as sdk


def our_tools(session: Session, *, record: Record, save: Callable[[], None]) -> sdk.types.McpSdkServerConfig:
    """A server with them, inside the worker's process; what they are told goes into the record, which `save` keeps."""
    import claude_agent_sdk as sdk

    @sdk.tool(
        "ask_person",
        "Ask the person who owns this task; the run then ends and waits for the answer.",
        {"question": str},
    )
    async def ask_person(arguments: dict[str, Any]) -> dict[str, Any]:
        record.ask(str(arguments.get("question", "")).strip())
        save()  # whatever becomes of the session, the question is not lost
        return _said("The question is noted for the person. Stop now: the answer comes in a later run.")

    @sdk.tool("report_failure", "Say that the task's work could not be done, and why.", {"reason": str})
    async def report_failure(arguments: dict[str, Any]) -> dict[str, Any]:
        record.failure = str(arguments.get("reason", "")).strip() or "no reason given"
        save()
        return _said("Noted: this run counts as failed. Stop now.")

    @sdk.tool("nothing_new", "Say that there is nothing worth telling; the run ends without a result text.", {})
    async def nothing_new(arguments: dict[str, Any]) -> dict[str, Any]:
        record.nothing_new = True
        return _said("Noted. Stop now.")

    return sdk.create_sdk_mcp_server(our_server(session.servers), tools=[ask_person, report_failure, nothing_new])


def _said(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}]}
