"""What the shell completes: the names of tasks, the ids of runs. It reads little, changes nothing and never complains.

The names come from notes that anybody may have written, and a shell reads our answer as its own words: what it could
take for more than a word is escaped where that is sure to work, and else not offered.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vault_scheduler.vault.vault import Vault

RUNS = 50
"""The newest runs are offered."""
_HEAD = 4096
"""Bytes of a note in which its `id` is looked for."""
_ID = re.compile(rb"^id:[ \t]*(['\"]?)([^'\"#\r\n]+?)\1[ \t]*\r?$", re.MULTILINE)
_PLAIN = frozenset("_-./+@,=%")
_INSTRUCTION = "_VAULT_SCHED_COMPLETE"


def tasks(ctx: Any, incomplete: str) -> list[str]:
    """Names of tasks that begin so."""
    return [*_offered(_names(ctx), incomplete)]


def runs_and_tasks(ctx: Any, incomplete: str) -> list[str]:
    """Names of tasks and, newest first, ids of runs that begin so."""
    ids = _run_ids(ctx) if not incomplete or incomplete.startswith("r") else []
    return [*_offered(_names(ctx), incomplete), *_offered(ids, incomplete)]


def _offered(names: Iterable[str], incomplete: str) -> Iterator[str]:
    shell = os.environ.get(_INSTRUCTION, "").rpartition("_")[2]
    begins = unicodedata.normalize("NFC", incomplete)
    for name in names:
        if name.startswith(begins) and (word := word_for(shell, name)):
            yield word


def word_for(shell: str, name: str) -> str:
    """The name as that shell takes it for one word; "" where it might take it for something else."""
    if not name.isprintable() or name.startswith(("-", "~")):
        return ""
    odd = {char for char in name if not (char.isalnum() or char in _PLAIN)}
    if shell == "bash":
        return "".join(f"\\{char}" if char in odd else char for char in name)
    # zsh evaluates what it is told, and fish and PowerShell quote what they insert.
    return name if shell == "fish" or odd <= {" "} else ""


def _names(ctx: Any) -> list[str]:
    with suppress(Exception):
        vault = _vault(ctx)
        return sorted(_name(vault, path) for path in vault.sweep().notes)
    return []


def _name(vault: Vault, path: str) -> str:
    """The task's id: what the note says, else where it lies."""
    with suppress(OSError), (vault.root / path).open("rb") as file:
        head, fence, _ = file.read(_HEAD).partition(b"\n---")
        found = _ID.search(head) if fence and head.lstrip(b"\xef\xbb\xbf").startswith(b"---") else None
        if found:
            return found[2].decode("utf-8", "replace").strip()
    return path.removeprefix(f"{vault.system_folder}/tasks/").removesuffix(".md")


def _run_ids(ctx: Any) -> list[str]:
    from vault_scheduler.ledger.run_ids import newest_run_ids
    from vault_scheduler.platform.paths import state_base, vault_label

    with suppress(Exception):
        return newest_run_ids(state_base() / vault_label(_vault(ctx).root) / "ledger.db", RUNS)
    return []


def _vault(ctx: Any) -> Vault:
    """The vault that the command would be about. Raises VaultNotFound, ConfigInvalid."""
    from vault_scheduler.machine.config import Machine
    from vault_scheduler.platform.paths import config_folder
    from vault_scheduler.vault.vault import Vault, find_vault

    folder = Machine.load(config_folder()).system_folder
    given = ctx.params.get("vault") or (ctx.parent.params.get("vault") if ctx.parent else None)
    named = given or os.environ.get("VAULT_SCHED_VAULT")
    return Vault(Path.cwd() / Path(named).expanduser() if named else find_vault(Path.cwd(), folder), folder)
