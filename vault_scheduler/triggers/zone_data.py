"""Which data of a time zone this machine has: what was reckoned with other data may be false by now."""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path
from zoneinfo import TZPATH


@cache
def zone_mark(name: str) -> str:
    """Differs where the data of a zone differ; "" if they cannot be found. As they were when this was first asked.

    A process that reckons with a zone asks before it loads the zone, so that it never labels what it reckoned with
    former data as being of those that an update has put in their place meanwhile.
    """
    for folder in (*map(Path, TZPATH), *_packaged()):
        try:
            data = (folder / name).read_bytes()
        except (OSError, ValueError):
            continue
        return f"{name} {len(data)} {zlib.crc32(data):08x}"
    return ""


def _packaged() -> list[Path]:
    """Where the package is that `zoneinfo` falls back to."""
    try:
        import tzdata
    except ImportError:
        return []
    return [Path(folder) / "zoneinfo" for folder in tzdata.__path__]
