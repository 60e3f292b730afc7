"""What a task knows from its last run: one small JSON file in the state folder. Its loss loses no more than that."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_RUN, _BEFORE, _NOW = "run", "before", "now"


class Memory:
    """The file of one task. A run that is tried again starts from what was known before its first attempt.

    Without a path (nobody runs us) nothing is remembered.
    """

    def __init__(self, path: Path | None, run: str) -> None:
        """`run` is the id of this run, "" outside of one."""
        self._path = path
        self._run = run
        self._known = self._read()

    def _read(self) -> dict[str, Any]:
        if self._path is None:
            return {}
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(kept, dict):
            return {}
        known = kept.get(_BEFORE if self._run and kept.get(_RUN) == self._run else _NOW)
        return known if isinstance(known, dict) else {}

    @property
    def known(self) -> dict[str, Any]:
        """What was known before this run; empty for the first, and where the file is lost or damaged."""
        return self._known

    def keep(self, now: Mapping[str, Any]) -> None:
        """Remember, whole or not at all. A state folder that cannot be written to is not worth a failure."""
        if self._path is None:
            return
        part = self._path.with_suffix(".part")
        text = json.dumps({_RUN: self._run, _BEFORE: self._known, _NOW: now})
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError:
            part.unlink(missing_ok=True)
