"""The secrets of the machine's `env` file as they are now: who puts a new token there need not restart the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import RLock

from vault_scheduler.errors import ConfigInvalid
from vault_scheduler.machine.config import read_env


class LiveSecrets(Mapping[str, str]):
    """Reads the file again whenever it has changed. One that cannot be read, or is not valid, changes nothing.

    `complain` is told what is wrong with it, once for each change. Asked by several threads: what an attempt is given,
    and what is masked in its output, are looked up at the same time.
    """

    def __init__(self, path: Path, now: Mapping[str, str], complain: Callable[[str], None]) -> None:
        self._path = path
        self._complain = complain
        self._looking = RLock()
        self._mark = self.mark()
        self._values = dict(now)
        self._ever = set(self._values.values())

    def mark(self) -> object:
        """Differs when the file has changed."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def ever(self) -> list[str]:
        """All values since the start: a token that was replaced is a secret still."""
        self._look()
        return sorted(self._ever)

    def _look(self) -> dict[str, str]:
        with self._looking:
            mark = self.mark()
            if mark != self._mark:
                self._mark = mark
                try:
                    self._values = read_env(self._path)
                except ConfigInvalid as error:
                    self._complain(f"{error}. The values from before stay in force")
                self._ever |= set(self._values.values())
            return self._values

    def __getitem__(self, name: str) -> str:
        return self._look()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._look()))

    def __len__(self) -> int:
        return len(self._look())
