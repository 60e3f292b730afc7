"""Claude tasks: the note's prompt as a Claude Code session in a worker process of our own interpreter."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from vault_scheduler.executors.base import (
    MARKDOWN_LIMIT,
    REASON_LIMIT,
    CannotStart,
    Ended,
    Launch,
    MachineEnvironment,
    RunRequest,
    action_of,
    ended_result,
    failure,
    last_line,
    working_folder,
)
from vault_scheduler.executors.claude_record import Record, inside, judge, record_from
from vault_scheduler.executors.claude_session import session_of
from vault_scheduler.notes import body
from vault_scheduler.run import Outcome, Result
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
)


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
        cwd = working_folder(request)
        session = session_of(
            request,
            action,
            prompt,
            cwd=str(cwd.resolve()),
            vault=str(Path(request.vault).resolve()),
            hidden=self._hidden(),
        )
        return Launch(
            # -P and -E: neither the vault nor the task's environment adds to what the worker imports.
            argv=(sys.executable, "-P", "-E", "-m", "vault_scheduler.executors.claude_worker", str(folder)),
            cwd=cwd,
            env={**_FLAGS, **self._credentials()},
            files={SESSION_FILE: session.to_json()},
            result_file=RECORD_FILE,
        )

    def _credentials(self) -> dict[str, str]:
        return {name: self._machine.secrets[name] for name in CREDENTIALS if name in self._machine.secrets}

    def _hidden(self) -> list[str]:
        login = [str(Path(self._machine.home, name)) for name in (".claude/.credentials.json", ".claude.json")]
        return ["/proc/**", *login, *([self._machine.env_file] if self._machine.env_file else [])]

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
            denials=tuple(record.denials),
            changed_notes=inside(str(Path(request.vault).resolve()), record.changed),
        )
        if result.outcome in (Outcome.ABANDONED, Outcome.CANCELLED, Outcome.TIMEOUT):
            return replace(result, text=_short(record.text))
        if not record.began and not record.refused_login and not record.error:
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
            reason = _died(ended)
        return replace(
            result,
            outcome=verdict.outcome,
            reason=plain_line(reason, REASON_LIMIT),
            text=_short(verdict.text),
            retryable=verdict.retryable,
            transient=verdict.transient,
        )


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
    if not record.began or record.refused_login:
        return 0.0
    return usage_usd if usage_usd > cap else None


def _died(ended: Ended) -> str:
    how = f"signal {ended.signal}" if ended.signal else f"exit {ended.exit_code}"
    line = last_line(ended.tail or ended.head)
    return f"the Claude worker ended without a result ({how}){f': {line}' if line else ''}"


def _short(text: str) -> str:
    return head_and_tail(text, MARKDOWN_LIMIT)
