"""All attacks, one after the other, each in a process of its own; `make torture`. Exits with 1 if one found a fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def attacks() -> list[str]:
    """The modules of this package that are programs."""
    folder = Path(__file__).parent
    return sorted(
        path.stem
        for path in folder.glob("*.py")
        if not path.stem.startswith("_") and "\ndef main(" in path.read_text(encoding="utf-8")
    )


def main() -> int:
    """Run those that are named on the command line, or all; say how many found faults."""
    names = sys.argv[1:] or attacks()
    failed = [name for name in names if subprocess.run([sys.executable, "-m", f"{__package__}.{name}"]).returncode]
    print(f"torture: {len(names)} attacks, {len(failed)} with faults" + "".join(f" {name}" for name in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
