"""The engine of this machine: its executors, and what runs may know of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vault_scheduler.engine import EngineEvent, LocalEngine
from vault_scheduler.executors.base import Executor, MachineEnvironment
from vault_scheduler.executors.claude import ClaudeExecutor
from vault_scheduler.executors.command import CommandExecutor
from vault_scheduler.executors.python import PythonExecutor
from vault_scheduler.machine.config import ENV_NAME
from vault_scheduler.machine.live_env import LiveSecrets
from vault_scheduler.machine.place import Place
from vault_scheduler.platform.paths import config_folder
from vault_scheduler.text.masking import Masker

GRACE_S = 10.0  # from TERM to KILL


def local_engine(place: Place, secrets: LiveSecrets, post: Callable[[EngineEvent], None]) -> LocalEngine:
    """Runs attempts on this machine; `post` hears what becomes of them."""
    machine = replace(machine_environment(place), secrets=secrets)
    executors: dict[str, Executor] = {
        "command": CommandExecutor(machine),
        "python": PythonExecutor(machine),
        "claude": ClaudeExecutor(machine),
    }
    return LocalEngine(
        executors=executors,
        clock=place.clock,
        masker=lambda: Masker(secrets.ever()),
        machine=machine,
        runs_folder=place.runs_folder,
        post=post,
        grace_s=GRACE_S,
    )


def login_mark() -> object:
    """Differs when somebody has logged in to Claude Code: when its file was written (there is none on macOS)."""
    home = os.environ.get("HOME", str(Path.home()))
    try:
        found = Path(home, ".claude", ".credentials.json").stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def machine_environment(place: Place) -> MachineEnvironment:
    """What runs may know of this machine."""
    environ = os.environ
    return MachineEnvironment(
        path=place.machine.path or environ.get("PATH", MachineEnvironment().path),
        home=environ.get("HOME", str(Path.home())),
        lang=environ.get("LANG", "C.UTF-8"),
        user=environ.get("USER", environ.get("LOGNAME", "")),
        shell=environ.get("SHELL", "/bin/sh"),
        tmpdir=environ.get("TMPDIR", "/tmp"),
        folders={name: environ[name] for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME") if environ.get(name)},
        python=place.machine.python,
        secrets=place.machine.secrets,
        env_file=str(config_folder() / ENV_NAME),
        state=str(place.state),
        withheld=place.machine.withheld,
    )
