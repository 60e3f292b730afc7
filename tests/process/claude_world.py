"""What the tests of the daemon with the real Claude Code CLI share: a login for the loopback API, the processes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from tests.process.conftest import World


CLAUDE = "type: claude\ncron: 0 0 29 2 *\nrun_now: true"


def log_in(world: World, url: str) -> None:
    """A key for the loopback API, in the machine's env file as a person would put it there."""
    (world.config / "env").write_text(f"ANTHROPIC_API_KEY=a-key-of-the-tests\nANTHROPIC_BASE_URL={url}\n")


def sessions(world: World) -> list[int]:
    """The processes of Claude runs in this vault."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if environment.get("VAULT_SCHED_VAULT") == str(world.vault) and "VAULT_SCHED_RUN" in environment:
                found.append(process.pid)
    return found


def workers(world: World) -> list[int]:
    """The session processes of ours among them: one for each run that goes on."""
    found = []
    for pid in sessions(world):
        with contextlib.suppress(psutil.Error):
            if "vault_scheduler.executors.claude_worker" in psutil.Process(pid).cmdline():
                found.append(pid)
    return found
