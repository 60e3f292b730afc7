"""What the tests of the built-in tasks share: a moment, and notes on disk that are so many days old."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

NOW = datetime(2026, 11, 22, 8, 30, tzinfo=ZoneInfo("Europe/Berlin"))
DAY_S = 86_400


def write(path: Path, text: str, days_old: float = 1.0) -> None:
    """Write a note, last modified so many days before NOW."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    moment = NOW.timestamp() - days_old * DAY_S
    os.utime(path, (moment, moment))
