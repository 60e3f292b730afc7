"""Request rows: how the CLI, the MCP server and the daemon meet (rule 10)."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vault_scheduler.ledger.rows import Request, RequestState
from vault_scheduler.ledger.sqlite_file import SqliteFile, certain, epoch, moment


def request_of(row: sqlite3.Row | dict[str, Any]) -> Request:
    """The request in a row of `requests`."""
    return Request(
        id=row["id"],
        verb=row["verb"],
        task=row["task"],
        args=json.loads(row["args"]),
        state=RequestState(row["state"]),
        made_at=certain(row["made_at"]),
        answer=None if row["answer"] is None else json.loads(row["answer"]),
        answered_at=moment(row["answered_at"]),
    )


class RequestTable:
    """The table `requests`."""

    _file: SqliteFile
    owner: str

    async def add_request(self, verb: str, task: str, args: Mapping[str, Any], at: datetime) -> str:
        """See `Store.add_request`."""
        name = secrets.token_hex(6)
        row = {
            "id": name,
            "verb": verb,
            "task": task,
            "args": json.dumps(dict(args)),
            "state": RequestState.NEW,
            "made_at": epoch(at),
        }
        with self._file.write(durable=True) as change:
            change.insert("requests", row)
        return name

    async def claim_requests(self, at: datetime) -> list[Request]:
        """See `Store.claim_requests`."""
        if self._file.one("SELECT 1 FROM requests WHERE state = 'new'") is None:
            return []  # looked for at every tick: no write lock for nothing
        with self._file.write(durable=True) as change:
            found = change.rows("SELECT * FROM requests WHERE state = 'new' ORDER BY seq")
            change.run(
                "UPDATE requests SET state = 'claimed', claimed_at = ?, owner = ? WHERE state = 'new'",
                epoch(at),
                self.owner,
            )
        return [request_of({**dict(row), "state": RequestState.CLAIMED}) for row in found]

    async def reopen_requests(self) -> int:
        """See `Store.reopen_requests`."""
        with self._file.write(durable=True) as change:
            return change.run("UPDATE requests SET state = 'new', owner = '' WHERE state = 'claimed'")

    async def answer_request(self, request: str, answer: Any, at: datetime) -> None:
        """See `Store.answer_request`."""
        with self._file.write(durable=True) as change:
            change.run(
                "UPDATE requests SET state = 'answered', answer = ?, answered_at = ? WHERE id = ? AND answer IS NULL",
                json.dumps(answer),
                epoch(at),
                request,
            )

    async def request(self, request: str) -> Request | None:
        """See `Store.request`."""
        row = self._file.one("SELECT * FROM requests WHERE id = ?", request)
        return None if row is None else request_of(row)
