"""Receivers on the loopback interface: they keep what they were sent, and behave as their path says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receivers:
    """What arrived, by path. A path with `500` in it is answered so, one with `hang` never while `hanging` is set."""

    port: int = 0
    arrived: list[tuple[str, str]] = field(default_factory=list)  # path, body
    hanging: bool = True
    over: threading.Event = field(default_factory=threading.Event)

    def at(self, path: str) -> list[str]:
        """The bodies that were sent to this path."""
        return [body for where, body in list(self.arrived) if where.partition("?")[0] == path]

    def messages(self, path: str) -> list[dict[str, Any]]:
        """The messages of Apprise's `json://` that were sent to this path."""
        return [json.loads(body) for body in self.at(path)]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Take one request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()
        self.arrived.append((handler.path, body))
        if "hang" in handler.path and self.hanging:
            self.over.wait(60)
        handler.send_response(500 if "500" in handler.path else 200)
        handler.end_headers()


@contextmanager
def receivers() -> Iterator[Receivers]:
    """A server for as long as it lasts."""
    found = Receivers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.answer(self)

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # the sender was ended meanwhile
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        found.over.set()
        server.shutdown()
        server.server_close()
