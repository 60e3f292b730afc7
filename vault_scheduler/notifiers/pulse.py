"""The daemon's own ping: an address that is asked once a minute while the daemon does its work."""

from __future__ import annotations

import threading

from vault_scheduler.notifiers.discretion import discreet
from vault_scheduler.notifiers.worker import ping

EVERY_S = 60.0
LIMIT_S = 10.0
IN_A_ROW = 3
"""So many failures in a row are worth telling."""


class Pulse:
    """Asks an address from a thread of its own, so that no pass of the daemon waits for it."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._last = float("-inf")
        self._failures = 0
        self._why = ""

    @property
    def trouble(self) -> str:
        """Why it does not get through, after several failures in a row; "" if it does."""
        return self._why if self._failures >= IN_A_ROW else ""

    def beat(self, url: str, monotonic: float) -> None:
        """A pass has compared what was due with what started: ask, if a minute has gone by since."""
        is_under_way = self._thread is not None and self._thread.is_alive()
        if monotonic - self._last < EVERY_S or is_under_way:
            return
        self._last = monotonic
        self._thread = threading.Thread(target=self._ask, args=(url,), name="daemon ping", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """See `Heartbeat.wait`."""
        if self._thread is not None:
            self._thread.join(LIMIT_S)

    def _ask(self, url: str) -> None:
        try:
            why = ping(url, "", LIMIT_S)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        self._why = discreet(why, url)
        self._failures = self._failures + 1 if why else 0
