"""How Claude Code is on this machine: its program, who is logged in, and who pays. Nothing is asked of the API."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from vault_scheduler.commands.catalogue import Catalogue
from vault_scheduler.commands.health import Finding, fault, fine, note
from vault_scheduler.machine.config import API_KEY, ENV_NAME, Billing
from vault_scheduler.machine.place import Place
from vault_scheduler.platform.paths import config_folder
from vault_scheduler.task import ClaudeAction

TOKEN = "CLAUDE_CODE_OAUTH_TOKEN"  # its name, not one
VERSION_WITHIN_S = 20
CURE = (
    "Run `{claude}` once and log in; for a service or a server `{claude} setup-token`, and its output as "
    f"{TOKEN}=… into {{env}}"
)


def claude_findings(place: Place, catalogue: Catalogue, home: Path) -> Iterator[Finding]:
    """What can be told without spending a token."""
    program = bundled_cli()
    uses = any(isinstance(item.task.action, ClaudeAction) for item in catalogue.items if item.task)
    if program is None:
        yield fault("claude", "Claude Code did not come with the Agent SDK", "Install vault-sched again")
        return
    version = _version(program)
    if not version:
        yield fault("claude", f"{program} does not start", "Install vault-sched again, on a machine of its kind")
        return
    yield fine("claude", f"Claude Code {version}")
    yield _login(place, home, program, uses=uses)


def bundled_cli() -> Path | None:
    """The program that the Agent SDK brings with it; the SDK itself is not imported."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    folders = spec.submodule_search_locations if spec else None
    found = [Path(folder, "_bundled", "claude") for folder in folders or ()]
    return next((path for path in found if path.is_file()), None)


def _version(program: Path) -> str:
    try:
        told = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=VERSION_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.split(" ")[0].strip() if told.returncode == 0 else ""


def _typed(program: Path) -> str:
    """What a person types for Claude Code: the whole path of ours where none is installed on its own."""
    return "claude" if shutil.which("claude") else shlex.quote(str(program))


def _login(place: Place, home: Path, program: Path, *, uses: bool) -> Finding:
    """Which login a run would use, in the CLI's own order, and who pays for it."""
    secrets, env = place.machine.secrets, config_folder() / ENV_NAME
    if place.machine.billing is Billing.API and secrets.get(API_KEY):
        return fine("claude", f"{API_KEY} in {env}: the API account pays for each run")
    if secrets.get(TOKEN):
        return fine("claude", f"{TOKEN} in {env}: the plan pays")
    if (home / ".claude" / ".credentials.json").is_file():
        return fine("claude", f"logged in as in {home / '.claude'}: the plan pays")
    text = "no login was found (on macOS it may be in the keychain, which is not asked)"
    cure = CURE.format(env=env, claude=_typed(program))
    return fault("claude", text, cure) if uses else note("claude", f"{text}; no task needs one yet")
