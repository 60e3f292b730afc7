"""What the ledger knows besides runs: its tasks, the settings in force. Read without the rest of the ledger."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from vault_scheduler import __version__
from vault_scheduler.ledger.schema import MIGRATIONS
from vault_scheduler.ledger.sqlite_file import SqliteFile

SETTINGS = "settings"
"""Key of the meta table: the settings that were good last (JSON), what the daemon goes by."""
UNWRITTEN = "pauses not written yet"
"""Key of the meta table: tasks that paused themselves and whose notes do not say so, with the reasons (JSON)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTasks:
    """What tells, besides the notes, how tasks stand."""

    paths: Mapping[str, str] = field(default_factory=dict)  # task id → vault-relative path
    settings: str = ""  # JSON; "": none were ever good
    paused: Collection[str] = ()  # tasks that paused themselves, and whose notes could not be told yet


def read_known_tasks(ledger: Path) -> KnownTasks:
    """As the ledger says; nothing is known where there is none. Raises as `SqliteFile.look`."""
    if not ledger.exists():
        return KnownTasks()
    with closing(SqliteFile.look(ledger, MIGRATIONS, version=__version__)) as file:
        paths = {str(row[0]): str(row[1]) for row in file.rows("SELECT task, path FROM tasks")}
        meta = {row[0]: str(row[1]) for row in file.rows("SELECT key, value FROM meta WHERE key IN (?, ?)", *_KEYS)}
    return KnownTasks(paths=paths, settings=meta.get(SETTINGS, ""), paused=json.loads(meta.get(UNWRITTEN) or "{}"))


_KEYS = (SETTINGS, UNWRITTEN)
