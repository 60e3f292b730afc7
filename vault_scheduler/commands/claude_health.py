"""How Claude Code is on this machine: its program, who is logged in, and who pays. Nothing is asked of the API."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from vault_scheduler.commands.catalogue import Catalogue
from vault_scheduler.commands.health import Finding, fault, fine, note
from vault_scheduler.machine.claude_program import bundled_cli
from vault_scheduler.machine.config import API_KEY, ENV_NAME, Billing
from vault_scheduler.machine.place import Place
from vault_scheduler.platform.paths import config_folder
from vault_scheduler.task import ClaudeAction

TOKEN = "CLAUDE_CODE_OAUTH_TOKEN"  # its name, not one
VERSION_WITHIN_S = 20
CURE = (
    "Run `vault-sched claude` once and log in; for a service or a server `vault-sched claude setup-token`, and its "
    f"output as {TOKEN}=… into {{env}}"
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
    yield _login(place, home, uses=uses)


def _version(program: Path) -> str:
    try:
        told = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=VERSION_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.split(" ")[0].strip() if told.returncode == 0 else ""


def _login(place: Place, home: Path, *, uses: bool) -> Finding:
    """Which login a run would use, in the CLI's own order, and who pays for it."""
    secrets, env = place.machine.secrets, config_folder() / ENV_NAME
    if place.machine.billing is Billing.API and secrets.get(API_KEY):
        return fine("claude", f"{API_KEY} in {env}: the API account pays for each run")
    if secrets.get(TOKEN):
        return fine("claude", f"{TOKEN} in {env}: the plan pays")
    if (home / ".claude" / ".credentials.json").is_file():
        return fine("claude", f"logged in as in {home / '.claude'}: the plan pays")
    text = "no login was found (on macOS it may be in the keychain, which is not asked)"
    cure = CURE.format(env=env)
    return fault("claude", text, cure) if uses else note("claude", f"{text}; no task needs one yet")
