"""What a Claude session did, as far as it got: kept by the worker, saved at every step, judged by the executor."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from vault_scheduler.executors.claude_guard import WRITING_TOOLS
from vault_scheduler.run import Cause, Outcome
from vault_scheduler.text.harmless import plain_line

_PRICES = {
    "input_tokens": 15.0,
    "cache_creation_input_tokens": 30.0,
    "cache_read_input_tokens": 1.5,
    "output_tokens": 75.0,
}
"""US dollars per million tokens of the dearest models: only used where a session ended without saying its cost."""

_REFUSED_BY_CLI = ("No such tool available", "denied by your permission settings")
_DETAIL = 80
_MOST_DENIALS = 50
_TEXT_LIMIT = 200_000  # characters; the record is written again at every step
_TOO_MANY = 429
_OVERLOAD = frozenset({408, 500, 502, 503, 504, 529})  # HTTP
_NETWORK = (
    *("econn", "enotfound", "etimedout", "eai_again", "ehostunreach", "enetunreach", "fetch failed", "socket"),
    *("connection error", "connection refused", "unable to connect", "can't reach", "timed out"),
    "empty or malformed response",  # a proxy or the login page of a network answered, or the stream broke off
)
_MOST_REMARKS = 10
_SECOND_WORD = frozenset({"git", "gh", "npm", "uv", "pip", "docker", "cargo", "go", "make", "systemctl", "brew"})


@dataclass(slots=True, kw_only=True)
class Record:
    """The facts of a session. Money in US dollars; `limit_until` is a Unix time."""

    vault: str = ""  # real and absolute: what lies in it is named from there
    began: bool = False  # the API may have been asked: from here on it may have cost money
    answered: bool = False  # the session reported its end, and so its cost
    subtype: str = ""
    is_error: bool = False
    text: str = ""
    error: str = ""  # the API's, the CLI's or the SDK's own words
    status: int | None = None  # HTTP
    refused_login: str = ""  # the API's words about a missing or wrong login
    given_up: bool = False  # it was ended between two requests: what it cost by then is all
    limited: bool = False  # a rate limit or a window of the plan stopped it
    limit_until: int | None = None
    plan_used: float | None = None  # percent of the plan's fullest window
    plan_until: int | None = None  # Unix time when that window begins anew
    server: str = ""  # which MCP server is missing, and why: nothing was asked of the API then
    lost_session: bool = False  # what it was to go on with could not be found again
    remarks: list[str] = field(default_factory=list)
    cost_usd: float = 0.0
    turns: int = 0
    model: str | None = None
    session_id: str | None = None
    question: str = ""
    failure: str = ""
    nothing_new: bool = False
    denials: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # absolute paths
    usage: dict[str, dict[str, int]] = field(default_factory=dict)  # message id -> tokens by kind
    calls: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)  # tool calls without a result yet
    denied: list[str] = field(default_factory=list)  # ids of calls that are in `denials`

    def to_json(self) -> str:
        """The record as one JSON object; what only the worker needs is left out."""
        plain = asdict(self)
        for name in ("calls", "denied", "usage"):
            del plain[name]
        return json.dumps({**plain, "usage_usd": self.usage_usd()}, ensure_ascii=True)

    def save(self, path: Path) -> None:
        """Write it where the executor finds it, whole or not at all."""
        draft = path.with_suffix(".tmp")
        draft.write_text(self.to_json(), encoding="utf-8")
        draft.replace(path)

    def usage_usd(self) -> float:
        """What the tokens seen so far cost at most."""
        tokens = [item for counts in self.usage.values() for item in counts.items()]
        return sum(count * _PRICES.get(kind, 0.0) for kind, count in tokens) / 1e6

    def saw_usage(self, message: str, usage: Mapping[str, Any]) -> None:
        """A message reports its tokens, several times while it grows."""
        counts = self.usage.setdefault(message, {})
        for kind in _PRICES:
            count = usage.get(kind)
            if isinstance(count, int):
                counts[kind] = max(count, counts.get(kind, 0))

    def saw_call(self, call: str, tool: str, arguments: Mapping[str, Any]) -> None:
        """Claude wants to use a tool."""
        self.calls[call] = (tool, dict(arguments))

    def saw_result(self, call: str, content: str, *, is_error: bool) -> None:
        """The tool was used, or not."""
        tool, arguments = self.calls.pop(call, ("", {}))
        if is_error:
            if any(words in content for words in _REFUSED_BY_CLI):
                self.saw_denial(call, tool, arguments)
            return
        path = arguments.get("notebook_path") or arguments.get("file_path")
        if tool in WRITING_TOOLS and isinstance(path, str) and path not in self.changed:
            self.changed.append(path)

    def saw_denial(self, call: str, tool: str, arguments: Mapping[str, Any], why: str = "") -> None:
        """A tool call was refused: by our guard with a reason, else by the CLI for want of a grant."""
        if call in self.denied or not tool:
            return
        self.denied.append(call)
        reason = why or f"not allowed; allowed_tools: {rule_for(tool, arguments)}"
        line = f"{_call_line(tool, arguments, self.vault)} ({reason})"
        if line not in self.denials and len(self.denials) < _MOST_DENIALS:
            self.denials.append(line)

    def saw_limits(self, info: Mapping[str, Any]) -> None:
        """The API told how much of the plan's windows is used, or that one of them is used up."""
        windows = [
            (100.0 * float(window["utilization"]), window.get("resetsAt"))
            for window in (info.get("unifiedWindows") or {}).values()
            if isinstance(window, Mapping) and isinstance(window.get("utilization"), int | float)
        ]
        if isinstance(info.get("utilization"), int | float):
            windows.append((100.0 * float(info["utilization"]), info.get("resetsAt")))
        if windows:
            used, until = max(windows, key=lambda window: window[0])
            self.plan_used, self.plan_until = used, _unix_time(until)
        if info.get("status") == "rejected":
            self.limit_until = _unix_time(info.get("resetsAt")) or self.limit_until

    def begin_anew(self) -> None:
        """The session that it went on with is of no use: what that said of its end does not count."""
        self.answered = self.is_error = self.lost_session = False
        self.subtype = self.error = self.text = ""
        self.status, self.session_id = None, None

    def remark(self, words: str) -> None:
        """Something that people should know beside the outcome."""
        if words not in self.remarks and len(self.remarks) < _MOST_REMARKS:
            self.remarks.append(words)

    def saw_end(self, *, subtype: str, is_error: bool, text: str, cost_usd: float, turns: int) -> None:
        """One end of possibly several: background work can wake a session up again."""
        self.answered = True
        self.subtype, self.is_error = subtype, is_error
        self.say(text)
        self.cost_usd = max(self.cost_usd, cost_usd)
        self.turns += turns

    def ask(self, question: str) -> None:
        """A question for the person; several are asked, and answered, together."""
        if not question or question in self.question.split("\n\n"):
            self.question = self.question or "(no question)"
        elif self.question in ("", "(no question)"):
            self.question = question
        else:
            self.question = f"{self.question}\n\n{question}"

    def say(self, text: str) -> None:
        """The latest words: the answer, or where there is none, what came nearest to it."""
        self.text = text[:_TEXT_LIMIT] or self.text


def _unix_time(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11 else None


def moment_of(unix_time: int | None) -> datetime | None:
    """A Unix time as an aware moment in UTC."""
    return None if unix_time is None else datetime.fromtimestamp(unix_time, UTC)


def rule_for(tool: str, arguments: Mapping[str, Any]) -> str:
    """The rule in `allowed_tools` that would have let this call pass."""
    if tool == "Bash":
        return f"Bash({_command_prefix(str(arguments.get('command', '')))})"
    if tool == "WebFetch":
        host = urlsplit(str(arguments.get("url", ""))).hostname
        return f"WebFetch(domain:{host})" if host else "WebFetch"
    return tool


def _command_prefix(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words or any(mark in command for mark in ";|&<>$`\n()"):
        return "*"
    length = 2 if len(words) > 1 and words[0] in _SECOND_WORD and not words[1].startswith("-") else 1
    return " ".join(words[:length]) + ":*"


def _call_line(tool: str, arguments: Mapping[str, Any], vault: str) -> str:
    named = ("command", "file_path", "notebook_path", "url", "path", "pattern", "query", "skill")
    name = next((name for name in named if arguments.get(name)), "")
    if not name:
        return tool
    detail = str(arguments[name])
    if vault and name.endswith("path"):
        detail = detail.removeprefix(f"{vault}/")
    if name.endswith("path") and len(detail) > _DETAIL:
        detail = f"…{detail[1 - _DETAIL :]}"  # what tells one file from another stands at the end
    return f"{tool}: {plain_line(detail, _DETAIL)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a record means for the run."""

    outcome: Outcome
    reason: str = ""
    text: str = ""
    question: str = ""
    retryable: bool = True
    cause: Cause | None = None
    quota_until: datetime | None = None  # UTC

    @property
    def transient(self) -> bool:
        """Whether the network's or the provider's fault: `pause_after` does not count it (rule 5)."""
        return self.cause in (Cause.QUOTA, Cause.OVERLOAD, Cause.NETWORK)


def judge(record: Record, *, timezone: str, max_usd: float, max_turns: int | None, env_file: str) -> Verdict:
    """How the session ended. What Claude reported itself counts before how the session was closed."""
    if record.refused_login:
        return _blocked(Cause.LOGIN, _cure(record.refused_login, env_file))
    if record.server:
        return _blocked(Cause.SERVER, record.server)
    if record.failure:
        return Verdict(outcome=Outcome.FAILURE, reason=record.failure, text=record.text)
    if record.question:
        asked = Verdict(outcome=Outcome.BLOCKED, reason=record.question, text=record.text, question=record.question)
        return replace(asked, retryable=False)
    if record.subtype == "error_max_budget_usd":
        return _failed(record, f"reached max_usd (${max_usd:.2f})", retryable=False)
    if record.subtype == "error_max_turns":
        return _failed(record, f"reached max_turns ({max_turns})", retryable=False)
    if not record.answered or record.is_error or record.subtype != "success":
        return _kept_from_its_work(record, timezone)
    if not record.text.strip() and not record.nothing_new:
        return _failed(record, "Claude ended without an answer")
    return Verdict(outcome=Outcome.SUCCESS, text="" if record.nothing_new else record.text)


def _blocked(cause: Cause, reason: str) -> Verdict:
    return Verdict(outcome=Outcome.BLOCKED, reason=reason, retryable=False, cause=cause)


def _kept_from_its_work(record: Record, timezone: str) -> Verdict:
    cause = cause_of(record)
    until = moment_of(record.limit_until) if cause is Cause.QUOTA else None
    return replace(_failed(record, _words(record, cause, until, timezone)), cause=cause, quota_until=until)


def cause_of(record: Record) -> Cause | None:
    """What outside of the task was to blame for an end that is no answer; None: nothing that is known (rule 5)."""
    words = record.error.lower()
    if record.limited or record.status == _TOO_MANY or record.limit_until is not None:
        return Cause.QUOTA
    if record.status in _OVERLOAD or "overloaded" in words:
        return Cause.OVERLOAD
    return Cause.NETWORK if record.status in (None, 200) and any(word in words for word in _NETWORK) else None


def _failed(record: Record, reason: str, *, retryable: bool = True) -> Verdict:
    text = "" if record.text == record.error else record.text
    return Verdict(outcome=Outcome.FAILURE, reason=reason, text=text, retryable=retryable)


def _cure(words: str, env_file: str) -> str:
    if "credit balance" in words.lower():
        return f"{plain_line(words, 60)}: add credit to the API account, or log in with a plan"
    said = plain_line(words.split(" · ")[0], 60)  # what follows is advice for people at a terminal
    return (
        f"{said}: run `vault-sched claude` once and log in, or `vault-sched claude setup-token` and put "
        f"CLAUDE_CODE_OAUTH_TOKEN into {env_file or 'the env file'}"
    )


def _words(record: Record, cause: Cause | None, until: datetime | None, timezone: str) -> str:
    words = plain_line(record.error, 120) or "Claude ended without a result"
    if cause is not Cause.QUOTA:
        return words
    if until is None:
        return f"rate limit: {words}"
    local = until.astimezone(ZoneInfo(timezone)).isoformat(" ", "minutes")
    return f"rate limit; resets at {local}: {words}"


def words_of_death(error: Exception) -> str:
    """What the SDK raised, for people; of a CLI that said nothing before it died only how it ended is known."""
    code = getattr(error, "exit_code", None)
    if type(error).__name__ != "ProcessError" or code is None:
        return str(error)
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"Claude Code {how} before the session was over"


def missing_server(name: str, server: Mapping[str, Any], file: str, waited_s: float) -> str:
    """Which MCP server is not there, why, and the cure."""
    match server.get("status"):
        case "needs-auth":
            return f"the MCP server {name} wants a login: run `vault-sched claude` in the vault and log in with /mcp"
        case "pending":
            why = f"no answer within {waited_s:.0f} s"
        case _:
            why = plain_line(str(server.get("error") or server.get("status") or "unknown"), 80)
    return f"the MCP server {name} did not connect ({why}): look after it, or take it out of {file}"


def record_from(values: Mapping[str, Any]) -> Record:
    """The record that a worker saved."""
    known = {item.name for item in fields(Record)}
    return Record(**{key: value for key, value in values.items() if key in known})


def inside(vault: str, paths: list[str]) -> tuple[str, ...]:
    """Absolute paths as vault-relative ones, without what lies elsewhere."""
    relative = [os.path.relpath(os.path.realpath(path), vault) for path in paths]
    return tuple(dict.fromkeys(Path(path).as_posix() for path in relative if not path.startswith("..")))
