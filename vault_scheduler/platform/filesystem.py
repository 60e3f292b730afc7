"""On which kind of file system a folder lies: some never tell of changes that are made elsewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

SILENT = frozenset({"9p", "drvfs", "cifs", "smb3", "smbfs", "nfs", "nfs4", "vboxsf", "virtiofs", "afpfs", "prl_fs"})
MOUNTS = Path("/proc/mounts")

_ESCAPED = re.compile(r"\\([0-7]{3})")


def silent_type(folder: Path, mounts: Path = MOUNTS) -> str:
    """The file system's type if it cannot be trusted to tell of changes, else the empty text."""
    kind = filesystem_type(folder, mounts)
    return kind if kind in SILENT or kind.startswith("fuse.") else ""


def filesystem_type(folder: Path, mounts: Path = MOUNTS) -> str:
    """The type as in `/proc/mounts`; the empty text where there is no such list."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    real = Path(os.path.realpath(folder))
    best, kind = -1, ""
    for line in lines:
        fields = line.split(" ")
        point = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields[1]) if len(fields) > 2 else ""
        # The last of several mounts on one point is the one that is seen.
        if point and len(point) >= best and real.is_relative_to(point):
            best, kind = len(point), fields[2]
    return kind
