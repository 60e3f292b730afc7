"""The transcript that Claude Code keeps of a session: where it lies, and what the session has cost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

_SESSION_ID = re.compile(r"[0-9A-Za-z-]{1,80}")


def claude_folder(env: Mapping[str, str], home: str) -> Path:
    """Where Claude Code keeps what it knows, in a process of this environment."""
    named = env.get("CLAUDE_CONFIG_DIR")
    return Path(named) if named else Path(env.get("HOME") or home, ".claude")


def session_file(folder: Path, session: str | None) -> Path | None:
    """The transcript of a session, by its id alone: in which project's folder it lies is Claude Code's own rule."""
    if not _SESSION_ID.fullmatch(session or ""):
        return None
    return next(iter(sorted(folder.glob(f"projects/*/{session}.jsonl"))), None)


def size_of(path: Path | None) -> int:
    """Bytes; 0 if there is no such file."""
    try:
        return path.stat().st_size if path is not None else 0
    except OSError:
        return 0


def cost_so_far(path: Path | None) -> float:
    """US dollars that the session had cost when it was closed last: its later costs are told on top of them."""
    try:
        lines = path.read_bytes().split(b"\n") if path is not None else []
    except OSError:
        return 0.0
    for line in reversed(lines):
        if b'"cost-state"' in line:
            return _total(line)
    return 0.0


def _total(line: bytes) -> float:
    try:
        state = json.loads(line)
        cost = state["totalCostUSD"] if state["type"] == "cost-state" else 0.0
        return max(0.0, float(cost))
    except (ValueError, KeyError, TypeError):
        return 0.0
