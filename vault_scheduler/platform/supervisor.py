"""Telling the service manager that started us how we are: ready, alive, stopping (systemd's sd_notify protocol).

Without a manager that listens (`NOTIFY_SOCKET`) nothing is said. Source: sd_notify(3).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, MutableMapping

SOCKET = "NOTIFY_SOCKET"


class Supervisor:
    """Says it on the socket that the manager named. A manager that does not listen any more is no trouble of ours."""

    def __init__(self, address: str = "") -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def of(cls, environ: Mapping[str, str] | MutableMapping[str, str]) -> Supervisor:
        """The manager that this process was started by."""
        return cls(environ.get(SOCKET, ""))

    def ready(self, status: str) -> None:
        """The vault is watched."""
        self._say("READY=1", f"STATUS={status}")

    def alive(self) -> None:
        """A pass has just been made; silence for `WatchdogSec` is what a hung daemon looks like."""
        self._say("WATCHDOG=1")

    def restarting(self) -> None:
        """This process becomes another daemon, which says when it is ready; it is not to be ended meanwhile."""
        self._say("RELOADING=1", "STATUS=restarting in place")

    def status(self, words: str) -> None:
        """What there is to be said about it now."""
        self._say(f"STATUS={words}")

    def stopping(self) -> None:
        """The end was asked for: what runs is being ended."""
        self._say("STOPPING=1", "STATUS=ending what runs")

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.setblocking(False)
            out.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
