"""All attacks, one after the other, each in a process of its own; `make torture`. Exits with 1 if one found a fault."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

USUAL_MIN = {
    "editors": 6, "faults": 6, "kill": 9, "load": 15, "notes": 5, "output": 9, "power": 3, "processes": 5,
    "retention": 5, "sync": 4,
}  # fmt: skip
"""How long each takes on two cores that have other work to do."""
PATIENCE = 3
"""One that takes so many times as long hangs, which is a fault like any other."""
LAST_WORDS_S = 30.0


def attacks() -> list[str]:
    """The modules of this package that are programs."""
    folder = Path(__file__).parent
    return sorted(
        path.stem
        for path in folder.glob("*.py")
        if not path.stem.startswith("_") and "\ndef main(" in path.read_text(encoding="utf-8")
    )


def finds_nothing(command: Sequence[str], limit_s: float) -> bool:
    """Whether the program ends with 0 in time; else it is ended, and may say what it was about."""
    with subprocess.Popen(command) as attack:
        for number in (None, signal.SIGINT, signal.SIGKILL):
            if number is not None:
                print(f"{command[-1]}: not done within {limit_s:g} s", flush=True)
                attack.send_signal(number)
            try:
                return attack.wait(limit_s if number is None else LAST_WORDS_S) == 0 and number is None
            except subprocess.TimeoutExpired:
                continue
    return False


def main() -> int:
    """Run those that are named on the command line, or all; say how many found faults."""
    names, begun = sys.argv[1:] or attacks(), time.monotonic()
    failed = []
    for name in names:
        command = [sys.executable, "-m", f"{__package__}.{name}"]
        if not finds_nothing(command, USUAL_MIN.get(name, 10) * 60 * PATIENCE):
            failed.append(name)
    took = (time.monotonic() - begun) / 60
    print(
        f"torture: {len(names)} attacks in {took:.0f} minutes, {len(failed)} with faults"
        + "".join(f" {name}" for name in failed)
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
