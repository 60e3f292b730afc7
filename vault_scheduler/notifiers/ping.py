"""The protocol of Healthchecks: which address is asked when a run starts, succeeds or fails. Pure."""

from __future__ import annotations

import uuid
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from vault_scheduler.planning.mailing import SUCCESS

_RUNS = uuid.UUID("6f1b8c52-6a0e-5f0c-9d6b-0f3c3d9b7a11")
"""Healthchecks tells runs apart by a UUID: each run id has its own."""


def ping_address(url: str, kind: str, run: str = "") -> str:
    """The address for START, SUCCESS or FAIL of a run; what stands behind a `?` stays."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/") + ("" if kind == SUCCESS else f"/{kind}")
    query = parse_qsl(parts.query, keep_blank_values=True)
    if run:
        query.append(("rid", str(uuid.uuid5(_RUNS, run))))
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), ""))
