"""This installation of the program: whether other files took its place, whether they start, and starting them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import vault_scheduler
from vault_scheduler import __version__

DISTRIBUTION = "vault_sched"
TRIAL_S = 60.0
_VERSION = re.compile(r'^__version__ = "([^"]*)"$', re.MULTILINE)
_ALL_OF_IT = """
import pathlib, sqlite3, sys
sys.path.insert(0, sys.argv[1])
import claude_agent_sdk, vault_scheduler.cli, vault_scheduler.daemon.serving, vault_scheduler.executors.claude_worker
from vault_scheduler.ledger.schema import MIGRATIONS
ledger = pathlib.Path(sys.argv[2])
if ledger.exists():
    database = sqlite3.connect(ledger.resolve().as_uri() + "?mode=ro", uri=True)
    written = database.execute("PRAGMA user_version").fetchone()[0]
    database.close()
    if written > len(MIGRATIONS):
        sys.exit(f"version {vault_scheduler.__version__} is older, and cannot read the ledger")
print(vault_scheduler.__version__)
"""
"""A trial without consequences: nothing of the vault is read, and of the ledger its version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Whether what is installed now would start: its version, or why it would not."""

    version: str = ""
    why: str = ""


class Installation:
    """What the running program was loaded from.

    pip, uv and pipx write a distribution's RECORD anew, whatever the version; a source tree that is installed as
    editable changes all the time, so there only another version counts.
    """

    def __init__(self, ledger: Path, package: Path | None = None, version: str = __version__) -> None:
        self._ledger = ledger
        self._package = package or Path(vault_scheduler.__file__).parent
        self.version = version
        self._record = next(self._package.parent.glob(f"{DISTRIBUTION}-*.dist-info/RECORD"), None)
        self._source: tuple[object, str] = (None, "")
        self._loaded = self.mark() if self._record else version

    def is_replaced(self) -> bool:
        """Whether other files than those that we run lie there now, or none."""
        return self.mark() != self._loaded

    def mark(self) -> object:
        """Another one whenever something else was installed; two `stat`, for it is asked for in each pass."""
        stamp = _stamp(self._package / "__init__.py")
        if self._record is not None:
            return stamp, _stamp(self._record)
        if stamp != self._source[0]:
            self._source = stamp, _version_in(self._package / "__init__.py")
        return self._source[1]

    def tried(self) -> Trial:
        """Whether all that a daemon consists of can be loaded, and reads this ledger; takes a second."""
        argv = [sys.executable, "-P", "-c", _ALL_OF_IT, str(self._package.parent), str(self._ledger)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=TRIAL_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return Trial(why=str(error))
        if done.returncode != 0:
            return Trial(why=(done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
        return Trial(version=done.stdout.strip())


def start_anew() -> NoReturn:
    """Put what is installed now in the place of this process, with the same command line. Raises OSError.

    The pid stays, so whoever started us (a service manager, a terminal, a container) notices nothing.
    """
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _version_in(path: Path) -> str:
    """The version that a source file says; "" if it cannot be read."""
    try:
        found = _VERSION.search(path.read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    return found[1] if found else ""
