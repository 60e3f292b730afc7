"""The files in the vault that a definition names, and so executes: they are pinned with it (rule 8)."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from vault_scheduler.errors import VaultSchedError
from vault_scheduler.task import ClaudeAction, CommandAction, PythonAction, Task
from vault_scheduler.vault.vault import Vault


def named_files(task: Task, vault: Vault) -> list[str]:
    """The vault-relative paths that a definition seems to name: script arguments and the module of a `call`."""
    action = task.action
    files: list[str] = []
    if isinstance(action, PythonAction) and ":" in (action.call or ""):
        module = (action.call or "").partition(":")[0]
        files.append(f"{vault.system_folder}/scripts/{module.replace('.', '/')}.py")
    words = _words(action.command) if isinstance(action, CommandAction) else []
    if task.gate is not None:
        words = [*words, *_asked_words(task.gate)]
    words = [word for word in words if not word.startswith("-") and ("." in word or "/" in word)]
    if isinstance(action, ClaudeAction) and action.mcp_config:
        files.append(action.mcp_config)
        words += [word for word in _server_words(action.mcp_config, vault) if "." in word or "/" in word]
    if not words:
        return files  # as with most tasks
    cwd = str(task.options.get("cwd") or "")
    inside = (_inside(vault.root, cwd, word) for word in words)
    return [*files, *(path for path in inside if path)][:20]


def _server_words(path: str, vault: Vault) -> list[str]:
    """The words of the commands that start the MCP servers of a file; none if it cannot be read."""
    try:
        servers = json.loads(vault.read(path) or b"{}")["mcpServers"].values()
        return [str(word) for server in servers for word in (server.get("command", ""), *server.get("args", ()))]
    except (VaultSchedError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _asked_words(gate: str | tuple[str, ...] | None) -> list[str]:
    """A gate's words, without the notes that it looks at: `test -s Inbox.md` is for a run that may empty the inbox."""
    words = _words(gate)
    return words[:1] + [word for word in words[1:] if not word.lower().endswith(".md")]


def _inside(root: Path, cwd: str, word: str) -> str:
    """The vault-relative path of a word of a command; "" outside of the vault. The disk is not asked."""
    try:
        path = Path(os.path.normpath(root / Path(cwd).expanduser() / Path(word).expanduser()))
    except RuntimeError:  # the home of a user who does not exist
        return ""
    return path.relative_to(root).as_posix() if path != root and path.is_relative_to(root) else ""


def _words(command: str | tuple[str, ...] | None) -> list[str]:
    """The words of a command, as far as they may name files."""
    if command is None:
        return []
    if isinstance(command, tuple):
        return list(command)
    if "." not in command and "/" not in command:
        return []  # no word of it can name a file
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()
