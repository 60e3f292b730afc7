"""What the attacks share: a vault with the real daemon, whose long waits can be made short, and a count of faults."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.process.conftest import World

HURRIED = """
import sys
from importlib import import_module
for word in sys.argv.pop(1).split(","):
    place, _, value = word.partition("=")
    module, _, name = place.rpartition(".")
    module = import_module("vault_scheduler." + module)
    kind = type(getattr(module, name))
    setattr(module, name, kind(seconds=float(value)) if kind.__name__ == "timedelta" else kind(float(value)))
from vault_scheduler.cli import main
sys.exit(main())
"""
"""The daemon with other lengths of waiting: `module.NAME=seconds`, separated by commas."""


class Stage(World):
    """A vault on which an attack is played. `host`, `vault`: of a second machine on the vault of a first."""

    def __init__(
        self, folder: Path, settings: str, *, host: str = "one", waits: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(folder, settings)
        self.host = host
        self.waits = dict(waits or {})
        (self.config / "config.toml").write_text(f'host = "{host}"\n')

    def start(self, *arguments: str, wait: bool = True) -> subprocess.Popen[bytes]:
        """As `World.start`, with this stage's lengths of waiting."""
        before = self.told().count("watching")
        words = ",".join(f"{name}={value}" for name, value in self.waits.items())
        program = ["-c", HURRIED, words] if words else ["-m", "vault_scheduler"]
        with self.printed.open("ab") as file:
            self.daemon = subprocess.Popen(
                [sys.executable, *program, "daemon", "--vault", str(self.vault), *arguments],
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        if wait:
            self.until(lambda: self.told().count("watching") > before or not self.runs_on, "the daemon watches", 30)
            assert self.runs_on, self.told()
        return self.daemon

    @property
    def runs_on(self) -> bool:
        """Whether the daemon lives."""
        return self.daemon is not None and self.daemon.poll() is None

    def log_text(self) -> str:
        """All daily logs together, without conflict copies."""
        paths = sorted(self.logs.glob("????-??-??*.md"))
        return "".join(path.read_text() for path in paths if "conflicted" not in path.name)

    def temps(self) -> list[Path]:
        """What our replacements have not cleaned away."""
        return sorted(self.vault.rglob(".vault-sched.*"))

    def copies(self) -> list[Path]:
        """The conflict copies in the vault."""
        return sorted(self.vault.rglob("*(conflicted copy*"))


@contextlib.contextmanager
def stage(settings: str, *, waits: Mapping[str, float] | None = None, host: str = "one") -> Iterator[Stage]:
    """A vault in a temporary folder; kept, and named, if something raises."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    made = Stage(folder, settings, host=host, waits=waits)
    try:
        yield made
    except BaseException:
        print(f"kept for looking into: {folder}", file=sys.stderr)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if made.runs_on:
            made.kill()


def stop(world: Stage) -> None:
    """An orderly end of the daemon."""
    if world.runs_on:
        world.stop(signal.SIGTERM, 40)


@dataclass(slots=True)
class Tally:
    """The figures of an attack."""

    name: str
    figures: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    losses: int = 0
    begun: float = field(default_factory=time.monotonic)

    def count(self, **numbers: int) -> None:
        """Add to the figures."""
        self.figures.update(numbers)

    def check(self, holds: object, fault: str) -> None:
        """A promise; what is said if it does not hold."""
        if not holds:
            self.faults.append(fault)

    def lost(self, what: str) -> None:
        """Something that a person typed, or a run, is not where it belongs."""
        self.losses += 1
        self.faults.append(f"lost: {what}")

    def line(self) -> str:
        """All in one line."""
        figures = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in self.figures.items())
        seconds = time.monotonic() - self.begun
        return f"{self.name}: {figures}, {len(self.faults)} faults, {self.losses} losses ({seconds:.0f} s)"

    def close(self) -> int:
        """Print faults and figures; the exit code."""
        for fault in self.faults[:200]:
            print(f"  {fault}"[:600])
        print(self.line(), flush=True)
        return 1 if self.faults else 0


def seconds_wanted(default: float) -> float:
    """How long an attack goes on: `TORTURE_SECONDS`, else its own default."""
    return float(os.environ.get("TORTURE_SECONDS") or default)
