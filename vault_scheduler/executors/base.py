"""What the executors share: the request for an attempt, the process to launch for it, and how that ended."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from vault_scheduler.errors import VaultSchedError
from vault_scheduler.platform.containment import MARKER
from vault_scheduler.run import Outcome, Result
from vault_scheduler.task import Action, ClaudeAction, CommandAction, Permissions, PythonAction, TaskType
from vault_scheduler.text.harmless import clean, plain_line

MARKDOWN_LIMIT = 20_000  # characters of declared markdown that a result carries
REASON_LIMIT = 200  # characters of a reason


class CannotStart(VaultSchedError):
    """An attempt whose process could not be started; the message is the reason shown to people."""

    exit_code = 1

    def __init__(self, reason: str, *, retryable: bool = True) -> None:
        self.reason = reason
        self.retryable = retryable
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One attempt of a run with a snapshot of its definition: plain JSON both ways.

    `fire_time` is ISO 8601 with offset; `vault` an absolute path; `path` and `cwd` are relative to the vault.
    """

    run: str  # run id
    task: str
    path: str  # of the task's note
    title: str
    type: str  # command · python · claude
    attempt: int  # from 1
    fire_time: str
    timezone: str  # IANA
    vault: str
    system_folder: str = "00_system"
    action: Mapping[str, Any] = field(default_factory=dict)  # made by `action_to_json`
    body: str = ""  # the note's text above `## Runs`, without frontmatter
    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()  # names of values in the machine's env file
    timeout_s: float = 3600.0  # awake time
    max_usd: float | None = None  # what this attempt may still spend
    gate: str | tuple[str, ...] | None = None  # asked before anything else: a line for the shell, or a program
    changed: tuple[str, ...] = ()  # vault-relative paths whose change made the run due
    resume: str = ""  # id of the Claude session that this attempt goes on with; "": a fresh one
    expect_file: str = ""  # vault-relative, fields of `output` in it: must change while the attempt goes on
    expect_output: str = ""  # regular expression that the result's text must match
    answer: str = ""  # what a person answered to the question of the run before: said to that session
    facts: Mapping[str, Any] = field(default_factory=dict)  # for a prompt's preamble; JSON values only

    def to_json(self) -> str:
        """The request as one JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> RunRequest:
        """The request that `to_json` wrote; keys of newer versions are left out."""
        known = {item.name for item in fields(cls)}
        values = {key: value for key, value in json.loads(text).items() if key in known}
        for name in ("secrets", "changed", "gate"):
            values[name] = _tuple_if_list(values.get(name, ()))
        return cls(**{**values, "gate": values["gate"] or None})

    @property
    def scripts_folder(self) -> Path:
        """Where the vault keeps what python tasks import."""
        return Path(self.vault, self.system_folder, "scripts")


def action_to_json(action: Action) -> dict[str, Any]:
    """A task's action as plain JSON values, for `RunRequest.action`."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(action), default=str))
    return plain


def action_of(request: RunRequest) -> Action:
    """The action that `action_to_json` turned into plain values."""
    values = dict(request.action)
    match TaskType(request.type):
        case TaskType.COMMAND:
            return CommandAction(command=_tuple_if_list(values.get("command")))
        case TaskType.PYTHON:
            return PythonAction(**values)
        case TaskType.CLAUDE:
            values = {key: _tuple_if_list(value) for key, value in values.items()}
            return ClaudeAction(**{**values, "permissions": Permissions(values.get("permissions", "edit"))})


def _tuple_if_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineEnvironment:
    """What a run may know of the machine; nothing else of the daemon's environment reaches it (rule 5)."""

    path: str = "/usr/local/bin:/usr/bin:/bin"
    home: str = "/"
    lang: str = "C.UTF-8"
    user: str = ""
    shell: str = "/bin/sh"
    tmpdir: str = "/tmp"
    folders: Mapping[str, str] = field(default_factory=dict)  # XDG_… that say where our own state and config are
    python: str | None = None  # the interpreter of python tasks; None: ours
    secrets: Mapping[str, str] = field(default_factory=dict)  # the values of the machine's env file
    env_file: str = ""  # its path, to name it when a secret is missing
    state: str = ""  # the vault's state folder, for built-in tasks alone; "": none
    withheld: tuple[str, ...] = ()  # names of its values that no Claude session gets: they would pay for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The part of a file that an attempt added."""

    path: Path
    begin: int  # bytes that were there before


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The process of an attempt. The engine writes `files` (0600) into the attempt's folder first."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)  # laid over `run_environment`
    files: Mapping[str, str] = field(default_factory=dict)  # name in the attempt's folder -> text
    result_file: str | None = None  # name in that folder of the JSON object that the process leaves behind
    transcript: Callable[[Result], Part | None] = lambda result: None  # finds what to keep beside the output


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the process of an attempt ended. Head, tail and result are masked already.

    Exactly one of `exit_code` and `signal` (a name such as "SEGV") is set.
    """

    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    cancelled: str | None = None  # why it was cancelled; None: it was not
    abandoned: bool = False  # ended because the daemon stops
    head: str = ""  # the beginning of the output
    tail: str = ""  # its end; "" while all of it is in `head`
    total_bytes: int = 0
    lost: str = ""  # why the file with the full output is not whole
    result: dict[str, Any] | None = None  # the content of `Launch.result_file`
    result_problem: str = ""  # why there is no result although the file exists

    @property
    def text(self) -> str:
        """Head and tail as one text that says how much was left out between them."""
        if not self.tail:
            return self.head
        left_out = self.total_bytes - len(self.head.encode()) - len(self.tail.encode())
        if left_out <= 0:
            return self.head + self.tail
        return f"{self.head}\n[… {left_out:,} bytes left out …]\n{self.tail}"


class Executor(Protocol):
    """How one type of task becomes a process, and what its end means. Both methods run in a worker thread."""

    def prepare(self, request: RunRequest, folder: Path) -> Launch | Result:
        """The process to launch, or the result if it cannot be; `folder` is the attempt's own, and exists."""
        ...

    def interpret(self, request: RunRequest, ended: Ended) -> Result:
        """What the ended process brought back."""
        ...


class StreamMasker(Protocol):
    """Hides secrets in a stream that arrives in pieces (`output.Masker`)."""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on of the data so far."""
        ...

    def flush(self) -> bytes:
        """The rest, at the end of the stream."""
        ...

    def mask_text(self, text: str) -> str:
        """A whole text with its secrets hidden."""
        ...


def failure(reason: str, *, retryable: bool = True) -> Result:
    """A failure before anything ran."""
    return Result(outcome=Outcome.FAILURE, reason=reason, retryable=retryable)


def run_environment(request: RunRequest, machine: MachineEnvironment) -> dict[str, str]:
    """The whole environment of an attempt (rule 5). Raises CannotStart if a secret is missing."""
    missing = [name for name in request.secrets if name not in machine.secrets]
    if missing:
        raise CannotStart(f"no secret {', '.join(missing)} in {machine.env_file or 'the env file'}", retryable=False)
    return {
        "PATH": machine.path,
        "HOME": machine.home,
        "LANG": machine.lang,
        "TZ": request.timezone,
        "USER": machine.user,
        "SHELL": machine.shell,
        "TMPDIR": machine.tmpdir,
        **machine.folders,
        **request.env,
        **{name: machine.secrets[name] for name in request.secrets},
        "VAULT_SCHED_VAULT": request.vault,
        "VAULT_SCHED_TASK": request.task,
        MARKER: request.run,  # ours come last: a task that could rename itself could not be found again
        "VAULT_SCHED_FIRE_TIME": request.fire_time,
        "VAULT_SCHED_ATTEMPT": str(request.attempt),
    }


def working_folder(request: RunRequest) -> Path:
    """The `cwd` of an attempt, relative to the vault. Raises CannotStart if there is no such folder."""
    folder = Path(request.vault, Path(request.cwd).expanduser())
    if not folder.is_dir():
        raise CannotStart(f"no such folder: cwd {request.cwd or request.vault}")
    return folder


def find_program(name: str, machine: MachineEnvironment, folder: Path) -> str | None:
    """The executable of that name on the machine's path; a name with a slash is relative to `folder`."""
    expanded = Path(name).expanduser()
    if "/" in name:
        return shutil.which(folder / expanded)
    return shutil.which(name, path=machine.path)


def interpreter_of_python(machine: MachineEnvironment) -> str:
    """The machine's interpreter for python tasks, else ours."""
    return machine.python or sys.executable


def ended_result(request: RunRequest, ended: Ended) -> Result:
    """What an ended process means by itself: how it ended, its exit code, its output."""
    outcome, reason = _judge(request, ended)
    return Result(
        outcome=outcome,
        reason=reason,
        text=clean(ended.text),
        output_bytes=ended.total_bytes,
        exit_code=ended.exit_code,
    )


def _judge(request: RunRequest, ended: Ended) -> tuple[Outcome, str]:
    if ended.abandoned:
        return Outcome.ABANDONED, ended.cancelled or "the scheduler stopped"
    if ended.cancelled is not None:
        return Outcome.CANCELLED, ended.cancelled
    if ended.timed_out:
        return Outcome.TIMEOUT, f"no end after {duration_text(request.timeout_s)}"
    if ended.signal is not None:
        return Outcome.FAILURE, f"ended by signal {ended.signal}"
    if ended.exit_code != 0:
        return Outcome.FAILURE, _with_last_line(f"exit {ended.exit_code}", ended)
    return Outcome.SUCCESS, ""


def _with_last_line(what: str, ended: Ended) -> str:
    line = last_line(ended.tail or ended.head)
    return f"{what}: {line}" if line else what


def last_line(text: str) -> str:
    """The last line that says something; where a program failed, it mostly says why there."""
    lines = (line.strip() for line in reversed(clean(text).split("\n")))
    return plain_line(next((line for line in lines if line), ""), REASON_LIMIT)


def duration_text(seconds: float) -> str:
    """`1h30m`, `45s`, `0.5s`."""
    if seconds < 1 or seconds != int(seconds):
        return f"{seconds:g}s"
    parts = [(int(seconds) // 3600, "h"), (int(seconds) % 3600 // 60, "m"), (int(seconds) % 60, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count)
