"""What keeps the daemon from its work just now: told once, and shown by `status` while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable, internal

NO_LEDGER = (LedgerUnavailable, LedgerCorrupt)
"""What concerns all that the daemon does; any other unexpected error is one task's, one run's or one step's own."""

Tell = Callable[[str, str, str], None]
"""Takes what happened (`started`, an outcome, `problem` …), the task or path, and the rest of the line."""


class Troubles:
    """By the name of what is in trouble (`ledger`, `watching`): what is wrong, and what to do about it.

    `show` gets all of them whenever one comes or goes, for those who look from outside.
    """

    def __init__(self, tell: Tell, show: Callable[[Sequence[str]], None] = lambda _: None) -> None:
        self._tell = tell
        self._show = show
        self._now: dict[str, str] = {}

    @property
    def now(self) -> tuple[str, ...]:
        """What is wrong at this moment."""
        return tuple(self._now.values())

    @property
    def by_name(self) -> Mapping[str, str]:
        """The same, by the name of what is in trouble."""
        return self._now

    def begin(self, name: str, text: str) -> None:
        """It is in this trouble; told if it was in none, for every try may fail with other words."""
        if name not in self._now:
            self._tell("problem", name, text)
        self._put({**self._now, name: text})

    def end(self, name: str, text: str) -> None:
        """It is in none any more; told if it was."""
        if name in self._now:
            self._tell(name, "", text)
        self._put({other: said for other, said in self._now.items() if other != name})

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """An unexpected error in one step of a pass costs that step its turn, and is in trouble until it works again.

        A ledger that cannot be used is everybody's matter, and goes on to who asked for the pass.
        """
        try:
            yield
        except NO_LEDGER:
            raise
        except Exception as error:
            self.begin(name, f"internal error: {internal(error)}; please report it. It is tried again")
        else:
            self.end(name, "it works again")

    def _put(self, troubles: dict[str, str]) -> None:
        if troubles != self._now:
            self._now = troubles
            self._show(self.now)
