"""A vault, a home and a machine for runs of the real Claude Code CLI, and the API on the loopback interface for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.process import loopback_api as api
from vault_scheduler.clock import SystemClock
from vault_scheduler.engine import AttemptEnded, AttemptStarted, EngineEvent, LocalEngine
from vault_scheduler.executors.base import MachineEnvironment, RunRequest, action_to_json
from vault_scheduler.executors.claude import ClaudeExecutor
from vault_scheduler.executors.leavings import output_path
from vault_scheduler.run import Result
from vault_scheduler.task import ClaudeAction
from vault_scheduler.text.harmless import Masker

text, use = api.text, api.use

NOTE = "00_system/tasks/briefing.md"
NOTE_TEXT = "---\ntype: claude\ncron: 0 7 * * *\nstatus: active\n---\nWrite the briefing.\n"
OTHER_TEXT = "---\ntype: command\ncommand: sh tools/sync.sh\ncron: 0 3 * * *\n---\n"
SECRET = "a-secret-of-the-machine"


class EndsOnceAsked(SystemClock):
    """The machine's clock, on which the time limit of a run is over as soon as the API has been asked, not before."""

    def __init__(self, stage: Stage, limit_s: float) -> None:
        self._stage = stage
        self._limit_s = limit_s

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        if timeout_s < self._limit_s:
            return await super().wait(event, timeout_s)
        while not self._stage.api.requests and not await super().wait(event, 0.02):
            pass
        return event.is_set()


@dataclass
class Stage:
    """A vault, a home and a machine, on which claude runs are made."""

    folder: Path
    secrets: dict[str, str] = field(default_factory=lambda: {"ANTHROPIC_API_KEY": "x", "OTHER": SECRET})
    api: Any = None
    clock: SystemClock = field(default_factory=SystemClock)
    withheld: tuple[str, ...] = ()
    pids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.write(NOTE, NOTE_TEXT)
        self.write("00_system/tasks/other.md", OTHER_TEXT)
        self.write("00_system/scheduler.md", "---\ntimezone: Europe/Berlin\n---\n")
        self.write("CLAUDE.md", "CLAUDE-MD-IS-READ\n")
        self.write("Inbox.md", "An idea.\n")
        (self.folder / "home").mkdir()
        (self.folder / "env").write_text(f"OTHER={SECRET}\n")

    @property
    def vault(self) -> Path:
        return self.folder / "vault"

    def write(self, path: str, content: str) -> Path:
        file = self.vault / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def trace(self, name: str) -> str:
        """A shell line that leaves a file outside of the vault, and so shows that it ran."""
        return f"touch {self.folder}/{name}"

    def traces(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"vault", "home", "env", "runs"}

    def run(
        self, *script: Any, timeout_s: float = 40.0, request: dict[str, Any] | None = None, **action: Any
    ) -> Result:
        """Run the task once against an API with this script."""
        with api.LoopbackApi(*script) as self.api:
            self.secrets["ANTHROPIC_BASE_URL"] = self.api.url
            values: dict[str, Any] = {
                "action": action_to_json(ClaudeAction(**action)),
                "body": "Write the briefing.",
                "timeout_s": timeout_s,
                **(request or {}),
            }
            return asyncio.run(self.start(self.request(**values)))

    def run_at(self, url: str) -> Result:
        """Run the task once against an API at this address."""
        self.secrets["ANTHROPIC_BASE_URL"] = url
        values = {"action": action_to_json(ClaudeAction()), "body": "Write the briefing."}
        return asyncio.run(self.start(self.request(**values)))

    def request(self, **values: Any) -> RunRequest:
        fixed = {"run": "r-20261120T060000Z-3f9a1c", "task": "briefing", "path": NOTE, "title": "briefing"}
        when = {"attempt": 1, "fire_time": "2026-11-20T06:00:00+00:00", "timezone": "Europe/Berlin"}
        return RunRequest(**{**fixed, **when, "type": "claude", "vault": str(self.vault), **values})

    async def start(self, request: RunRequest) -> Result:
        """One attempt, to its end."""
        ended: asyncio.Queue[Result] = asyncio.Queue()

        def post(event: EngineEvent) -> None:
            if isinstance(event, AttemptStarted):
                self.pids.append(event.pid)
            if isinstance(event, AttemptEnded):
                ended.put_nowait(event.result)

        machine = MachineEnvironment(
            path=os.environ["PATH"],
            home=str(self.folder / "home"),
            secrets=self.secrets,
            env_file=str(self.folder / "env"),
            withheld=self.withheld,
        )
        engine = LocalEngine(
            executors={"claude": ClaudeExecutor(machine)},
            clock=self.clock,
            masker=lambda: Masker([value for value in self.secrets.values() if not value.startswith("http")]),
            machine=machine,
            runs_folder=self.folder / "runs",
            post=post,
            grace_s=0.5,
        )
        await engine.submit(request)
        return await ended.get()

    def output(self) -> str:
        """The full output of the last run."""
        return output_path(self.folder / "runs", "r-20261120T060000Z-3f9a1c", 1).read_text()


@contextmanager
def stage_in(folder: Path, secrets: dict[str, str] | None = None) -> Iterator[Stage]:
    """A stage in an empty folder; at the end no process of it is left."""
    stage = Stage(folder) if secrets is None else Stage(folder, secrets=secrets)
    yield stage
    assert not [pid for pid in stage.pids if psutil.pid_exists(pid)], "a worker is left"
    assert left_of(stage) == []


def left_of(stage: Stage) -> list[str]:
    """The processes that live in the home of the stage."""
    home = str(stage.folder / "home")
    return [process.name() for process in psutil.process_iter() if _home_of(process) == home]


def _home_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("HOME")
    except psutil.Error:
        return None
