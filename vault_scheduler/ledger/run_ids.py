"""The ids of the newest runs, for a shell that completes them: read without the rest of the ledger."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_WAIT_S = 0.2


def newest_run_ids(ledger: Path, limit: int) -> list[str]:
    """Newest first; none where there is no ledger. Raises sqlite3.Error where it cannot be read at once."""
    if not ledger.is_file():
        return []
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)) as db:
        rows = db.execute("SELECT id FROM runs ORDER BY last_fire_time DESC, seq DESC LIMIT ?", (limit,))
        return [id_ for (id_,) in rows]
