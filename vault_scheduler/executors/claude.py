"""Claude tasks: the note's prompt as a Claude Code session in a worker process of our own interpreter."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vault_scheduler.executors.base import (
    MARKDOWN_LIMIT,
    REASON_LIMIT,
    CannotStart,
    Ended,
    Launch,
    MachineEnvironment,
    Part,
    RunRequest,
    action_of,
    ended_result,
    failure,
    last_line,
    working_folder,
)
from vault_scheduler.executors.claude_guard import hidden_paths, without_foreign_mentions
from vault_scheduler.executors.claude_record import Record, inside, judge, moment_of, record_from
from vault_scheduler.executors.claude_session import Reach, session_of
from vault_scheduler.executors.claude_transcript import claude_folder, session_file, size_of
from vault_scheduler.notes import body
from vault_scheduler.run import Cause, Outcome, Result
from vault_scheduler.task import ClaudeAction, Permissions
from vault_scheduler.text.harmless import head_and_tail, plain_line

SESSION_FILE = "session.json"
RECORD_FILE = "record.json"

CREDENTIALS = (
    *("CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS", "CLAUDE_CODE_MAX_RETRIES"),
)
"""What a session may take from the machine's env file. The login of HOME needs none of it."""

_FLAGS = {
    "CLAUDE_CODE_MAX_RETRIES": "4",  # the CLI's ten take minutes; `retries` is the task's own way to wait longer
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_CRON": "1",
    "CLAUDE_CODE_DISABLE_WORKFLOWS": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    # CLAUDE.md and rules come with the vault as an added folder: loading them as the project's would
    # also load its settings, whose hooks and key helpers are shell commands.
    "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD": "1",
}

_RIGHTS_IN_DISGUISE = (
    *("ANTHROPIC_", "CLAUDE_", "LD_", "DYLD_", "NODE_", "BUN_", "PYTHON", "BASH_ENV", "DISABLE_", "USE_BUILTIN_"),
    # The CLI starts git, pdfinfo and ripgrep by name, and they have settings that start programs.
    *("PATH", "HOME", "SHELL", "XDG_", "GIT_", "RIPGREP_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_"),
    *("OPENSSL_", "GCONV_PATH", "GLIBC_", "LOCPATH"),
)

_BY_US = (Outcome.ABANDONED, Outcome.CANCELLED, Outcome.TIMEOUT)
"""How an attempt ends that the scheduler ended."""


class ClaudeExecutor:
    """Turns claude tasks into worker processes, and their records into results."""

    def __init__(self, machine: MachineEnvironment) -> None:
        self._machine = machine

    def prepare(self, request: RunRequest, folder: Path) -> Launch | Result:
        """The worker with its session; a failure if there is no prompt, no money or no such folder."""
        try:
            return self._launch(request, folder)
        except CannotStart as error:
            return failure(error.reason, retryable=error.retryable)

    def _launch(self, request: RunRequest, folder: Path) -> Launch:
        action = _action(request)
        prompt = body.prompt(request.body)
        if not prompt:
            raise CannotStart("the note has no prompt: write it below the properties", retryable=False)
        if request.max_usd is not None and request.max_usd <= 0:
            raise CannotStart("nothing is left of max_usd for this attempt", retryable=False)
        _refuse_rights(request, action)
        cwd, vault = working_folder(request), Path(request.vault).resolve()
        _refuse_missing_skills(action, vault)
        add_dirs = [str(_beside(vault, name)) for name in action.add_dirs]
        folders = [str(cwd.resolve()), str(vault), *add_dirs]
        reach = Reach(
            cwd=str(cwd.resolve()),
            vault=str(vault),
            hidden=self._hidden(),
            servers=read_servers(vault / action.mcp_config) if action.mcp_config else {},
            add_dirs=add_dirs,
            without=self._machine.withheld,
        )
        asked = replace(request, answer=_mentioning(request.answer, action, folders))
        session = session_of(asked, action, _mentioning(prompt, action, folders), reach)
        transcript = self._transcript(request)
        return Launch(
            # -P and -E: neither the vault nor the task's environment adds to what the worker imports.
            argv=(sys.executable, "-P", "-E", "-m", "vault_scheduler.executors.claude_worker", str(folder)),
            cwd=cwd,
            env={**_FLAGS, **self._credentials()},
            files={SESSION_FILE: session.to_json()},
            result_file=RECORD_FILE,
            transcript=transcript,
        )

    def _transcript(self, request: RunRequest) -> Callable[[Result], Part | None]:
        """Finds what the attempt adds to the transcript of its session; called before it starts."""
        folder = claude_folder(request.env, self._machine.home)
        begin = size_of(session_file(folder, request.resume))

        def find(result: Result) -> Part | None:
            path = session_file(folder, result.session_id)
            went_on = result.session_id == request.resume
            return Part(path=path, begin=begin if went_on else 0) if path is not None else None

        return find

    def _credentials(self) -> dict[str, str]:
        known = self._machine.secrets
        return {name: known[name] for name in CREDENTIALS if name in known and name not in self._machine.withheld}

    def _hidden(self) -> tuple[str, ...]:
        return hidden_paths(self._machine.home, self._machine.env_file)

    def interpret(self, request: RunRequest, ended: Ended) -> Result:
        """What the session's record says; of an ended worker without one, how the process ended."""
        record = record_from(ended.result or {})
        result = replace(
            ended_result(request, ended),
            text="",
            markdown=True,
            cost_usd=_cost(record, float((ended.result or {}).get("usage_usd") or 0.0), _cap(request)),
            turns=record.turns or None,
            model=record.model,
            session_id=record.session_id,
            folder=request.cwd,
            denials=tuple(record.denials),
            changed_notes=inside(str(Path(request.vault).resolve()), record.changed),
            usage=record.plan_used,
            usage_until=moment_of(record.plan_until),
            remarks=(*_lost_question(request), *record.remarks),
        )
        if result.outcome in _BY_US and not _told_in_time(record, result.outcome):
            return replace(result, text=_short(record.text))
        if not (record.began or record.refused_login or record.error or record.server):
            return replace(result, outcome=Outcome.FAILURE, reason=_died(ended), text=ended.text, markdown=False)
        return self._judged(request, record, ended, result)

    def _judged(self, request: RunRequest, record: Record, ended: Ended, result: Result) -> Result:
        action = _action(request)
        verdict = judge(
            record,
            timezone=request.timezone,
            max_usd=_cap(request),
            max_turns=action.max_turns,
            env_file=self._machine.env_file,
        )
        reason = verdict.reason
        if verdict.outcome is Outcome.FAILURE and not record.answered and not record.error and not record.failure:
            reason = _died(ended)  # it was ended in the middle
        return replace(
            result,
            outcome=verdict.outcome,
            turns=action.max_turns if record.subtype == "error_max_turns" else result.turns,  # the CLI counts one more
            reason=plain_line(reason, REASON_LIMIT),
            text=_short(verdict.text),
            retryable=verdict.retryable,
            transient=verdict.transient,
            cause=verdict.cause,
            quota_until=verdict.quota_until,
            question=verdict.question,
            remarks=(*result.remarks, *(self._withheld_remarks() if verdict.cause is Cause.LOGIN else ())),
        )

    def _withheld_remarks(self) -> tuple[str, ...]:
        """Why no key was used though there is one: it would move the bill from the plan to the API."""
        stray = [name for name in self._machine.withheld if name in self._machine.secrets]
        if not stray:
            return ()
        where = self._machine.env_file or "the env file"
        return (f"{', '.join(stray)} in {where} was not used, because `billing` is plan",)


def _told_in_time(record: Record, ended: Outcome) -> bool:
    """Whether what Claude told before counts more than that it had not stopped yet."""
    return bool((record.question and ended is not Outcome.CANCELLED) or (record.failure and ended is Outcome.TIMEOUT))


def _mentioning(text: str, action: ClaudeAction, folders: Sequence[str]) -> str:
    """A prompt or answer with the mentions of files that the run may read; `folders` begins with the working folder."""
    if action.permissions is Permissions.FULL:
        return text
    return without_foreign_mentions(text, folders[0], folders)


def read_servers(path: Path) -> dict[str, dict[str, Any]]:
    """The servers of a file in the form of Claude Code's `.mcp.json`, by name. Raises CannotStart."""
    try:
        given = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise CannotStart(f"mcp_config {path.name}: {error.strerror}", retryable=False) from error
    except ValueError as error:
        raise CannotStart(f"mcp_config {path.name} is not JSON: {error}", retryable=False) from error
    servers = given.get("mcpServers") if isinstance(given, dict) else None
    if not isinstance(servers, dict) or not all(isinstance(server, dict) for server in servers.values()):
        wanted = '{"mcpServers": {"NAME": {"command": …}}}'
        raise CannotStart(f"mcp_config {path.name} names no servers: it has to be {wanted}", retryable=False)
    return servers


def _lost_question(request: RunRequest) -> tuple[str, ...]:
    if not request.answer or request.resume:
        return ()
    return ("the session that asked is not known any more, so a new one was told the question and the answer",)


def _refuse_missing_skills(action: ClaudeAction, vault: Path) -> None:
    for name in action.skills:
        if not (vault / ".claude/skills" / name / "SKILL.md").is_file():
            raise CannotStart(f"no skill {name}: there is no .claude/skills/{name}/SKILL.md", retryable=False)


def _beside(vault: Path, name: str) -> Path:
    """One of `add_dirs`: absolute, below the home (~), or from the vault."""
    try:
        folder = Path(vault, Path(name).expanduser()).resolve()
    except RuntimeError as error:
        raise CannotStart(f"no such folder: add_dirs {name}", retryable=False) from error
    if not folder.is_dir():
        raise CannotStart(f"no such folder: add_dirs {name}")
    return folder


def _action(request: RunRequest) -> ClaudeAction:
    action = action_of(request)
    assert isinstance(action, ClaudeAction)
    return action


def _cap(request: RunRequest) -> float:
    return _action(request).max_usd if request.max_usd is None else request.max_usd


def _refuse_rights(request: RunRequest, action: ClaudeAction) -> None:
    """A preset without shell means it: no variable may load code, or send the login elsewhere."""
    if action.permissions is Permissions.FULL:
        return
    for name in request.env:
        if name.upper().startswith(_RIGHTS_IN_DISGUISE):
            raise CannotStart(f"env may not set {name} for a claude task without full permissions", retryable=False)


def _cost(record: Record, usage_usd: float, cap: float) -> float | None:
    """US dollars; None: unknown, to be charged as `max_usd` (rule 9)."""
    if record.answered:
        return record.cost_usd
    if not record.began:
        return 0.0
    if record.given_up:
        return usage_usd
    return usage_usd if usage_usd > cap else None


def _died(ended: Ended) -> str:
    how = f"signal {ended.signal}" if ended.signal else f"exit {ended.exit_code}"
    line = last_line(ended.tail or ended.head)
    return f"the Claude worker ended without a result ({how}){f': {line}' if line else ''}"


def _short(text: str) -> str:
    return head_and_tail(text, MARKDOWN_LIMIT)
