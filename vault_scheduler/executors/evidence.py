"""Evidence that an attempt did its work: a file that it changed, words in what it brought back (the keys `expect_…`).

Asked only of attempts that say that they succeeded. What is expected is settled before they start.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from vault_scheduler.executors.base import REASON_LIMIT, RunRequest
from vault_scheduler.run import Outcome, Result
from vault_scheduler.telling.output_note import place_of
from vault_scheduler.telling.summary import title_of
from vault_scheduler.text.harmless import clean, plain_line

SEARCHED = 1024 * 1024
"""Characters of the beginning, and of the end, of an output that are searched."""
SEARCH_S = 5.0
"""An expression that takes longer never ends: each letter more would double its time."""

_CHUNK = 1024 * 1024
_SEARCHER = """
import json, re, sys
pattern, text = json.load(sys.stdin)
print("found" if re.search(pattern, text, re.MULTILINE) else "not found")
"""
"""A program of its own: Python's search cannot be stopped, and nothing else runs in a process meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The expected file as it was before the attempt. `state` is None while it does not exist."""

    path: str = ""  # relative to the vault; "": no file is expected
    state: tuple[int, bytes] | None = None


def look_before(request: RunRequest) -> Before:
    """What to compare with at the end. Raises ValueError for a date format that is not known."""
    if not request.expect_file:
        return Before()
    local = datetime.fromisoformat(request.fire_time).astimezone(ZoneInfo(request.timezone))
    path = place_of(request.expect_file, local=local, title=title_of(request.path)).path
    return Before(path=path, state=_state(Path(request.vault, path)))


def _state(path: Path) -> tuple[int, bytes] | None:
    """When it was changed (ns), and a hash of what it holds: a save that changes nothing is a change, too."""
    try:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return path.stat().st_mtime_ns, digest.digest()
    except OSError:
        return None


def weighed(result: Result, request: RunRequest, before: Before, output: Path) -> Result:
    """The result, or the failure that it is because something expected is not there. `output`: all that was printed."""
    if result.outcome is not Outcome.SUCCESS:
        return result
    missing = _unchanged(request, before) or _unmatched(request, result, output)
    return replace(result, outcome=Outcome.FAILURE, reason=plain_line(missing, REASON_LIMIT)) if missing else result


def _unchanged(request: RunRequest, before: Before) -> str:
    if not before.path:
        return ""
    state = _state(Path(request.vault, before.path))
    if state is None:
        return f"expected {before.path} to have changed, and it does not exist"
    return f"expected {before.path} to have changed" if state == before.state else ""


def _unmatched(request: RunRequest, result: Result, output: Path) -> str:
    if not request.expect_output:
        return ""
    found = _search(request.expect_output, result.text if result.markdown else _printed(output) or result.text)
    if found == "found":
        return ""
    if found == "not found":
        return f"expected the output to match {request.expect_output}"
    return f"expect_output {request.expect_output} {found}"


def _printed(output: Path) -> str:
    try:
        with output.open("rb") as file:
            head = file.read(SEARCHED)
            left = output.stat().st_size - SEARCHED
            if left > SEARCHED:
                file.seek(-SEARCHED, 2)
            return clean((head + file.read(SEARCHED)).decode("utf-8", "replace"))
    except OSError:
        return ""


def _search(pattern: str, text: str) -> str:
    """`found`, `not found`, or why that cannot be told."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", _SEARCHER],
            input=json.dumps([pattern, text]).encode(),
            capture_output=True,
            timeout=SEARCH_S,
            check=False,
            env={},
        )
    except subprocess.TimeoutExpired:
        return f"cannot be searched for within {SEARCH_S:.0f} s: write it without nested repetitions"
    except OSError as error:
        return f"cannot be searched for: {error.strerror}"
    return done.stdout.decode().strip() or "cannot be searched for"
