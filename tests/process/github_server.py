"""A small GitHub on the loopback interface: repositories with lists, pages, ETags and limits, as the real API does."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class GitHubServer:
    """What the server has, how it behaves, and what it was asked."""

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # "owner/name/kind" → newest first
    refuse: dict[str, tuple[int, dict[str, str], str]] = field(default_factory=dict)  # the same → answer
    after: int | None = None  # so many answers, then the limit
    limit_headers: dict[str, str] = field(default_factory=dict)
    token: str = ""  # "" takes any
    slow_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    authorised: list[str | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    url: str = ""

    def release(self, repo: str, tag: str, at: str, **more: Any) -> None:
        """Publish a release."""
        item = {"id": len(self.lists) * 1000 + len(self.lists.get(f"{repo}/releases", [])), "tag_name": tag}
        item |= {"published_at": at, "html_url": f"https://github.com/{repo}/releases/tag/{tag}", **more}
        self.lists.setdefault(f"{repo}/releases", []).insert(0, item)

    def commit(self, repo: str, message: str, at: str, by: str = "Ana") -> None:
        """Push a commit."""
        sha = hashlib.sha1(f"{message}{at}".encode(), usedforsecurity=False).hexdigest()
        person = {"name": by, "date": at}
        item = {"sha": sha, "html_url": f"https://github.com/{repo}/commit/{sha}"}
        item["commit"] = {"message": message, "author": person, "committer": person}  # type: ignore[assignment]
        self.lists.setdefault(f"{repo}/commits", []).insert(0, item)

    def issue(self, repo: str, number: int, title: str, at: str, **more: Any) -> None:
        """Open an issue."""
        item = {"number": number, "title": title, "created_at": at, "user": {"login": "tom"}}
        item |= {"html_url": f"https://github.com/{repo}/issues/{number}", **more}
        self.lists.setdefault(f"{repo}/issues", []).insert(0, item)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        time.sleep(self.slow_s)
        parts = urlsplit(handler.path)
        key = parts.path.removeprefix("/repos/")
        self.asked.append(handler.path)
        self.authorised.append(handler.headers.get("Authorization"))
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            return self._send(handler, 401, {"message": "Bad credentials"})
        if self.after is not None and len(self.asked) > self.after:
            return self._send(handler, 403, {"message": "API rate limit exceeded"}, self.limit_headers)
        if key in self.refuse:
            status, headers, body = self.refuse[key]
            return self._send(handler, status, body, headers)
        if key not in self.lists:
            return self._send(handler, 404, {"message": "Not Found"})
        return self._page(handler, key, parts.query)

    def _page(self, handler: BaseHTTPRequestHandler, key: str, query: str) -> None:
        asked = parse_qs(query)
        size, page = int(asked["per_page"][0]), int(asked.get("page", ["1"])[0])
        items = self.lists[key][(page - 1) * size : page * size]
        etag = f'W/"{hashlib.sha256(json.dumps(items).encode()).hexdigest()[:16]}"'
        if handler.headers.get("If-None-Match") == etag:
            return self._send(handler, 304, None, {"ETag": etag})
        headers = {"ETag": etag}
        if page * size < len(self.lists[key]):
            headers["Link"] = f'<{self.url}{urlsplit(handler.path).path}?page={page + 1}>; rel="next"'
        return self._send(handler, 200, items, headers)

    def _send(
        self, handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        self.statuses.append(status)
        data = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


@contextmanager
def github_server() -> Iterator[GitHubServer]:
    """A server without repositories, as long as it lasts."""
    github = GitHubServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked has gone
                github.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    github.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
