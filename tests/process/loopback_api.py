"""An Anthropic API on the loopback interface, with scripted answers: the real CLI talks to it in the tests.

Each model request of the session takes the next reply of the script; the last one is repeated. Requests without
tools are the CLI's own (titles and the like) and get one word.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Block = Mapping[str, Any]


def text(words: str) -> Block:
    """A block of text."""
    return {"type": "text", "text": words}


def use(name: str, /, **arguments: Any) -> Block:
    """A call of a tool."""
    return {"type": "tool_use", "name": name, "input": arguments}


class Silence:
    """The API takes the request and never answers."""


class Cut:
    """The API sends the beginning of an answer, with some of its words or none, and closes the connection."""

    def __init__(self, words: str = "") -> None:
        self.words = words


class Refusal:
    """An HTTP error with the API's own words."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.body = {"type": "error", "error": {"type": kind, "message": message}}
        self.headers = dict(headers or {})


class Answer:
    """An answer with headers of its own, and with so many output tokens."""

    def __init__(self, *blocks: Block, headers: Mapping[str, str] | None = None, output_tokens: int = 20) -> None:
        self.blocks = blocks
        self.headers = dict(headers or {})
        self.output_tokens = output_tokens


class Costly(Answer):
    """An answer that used a million output tokens."""

    def __init__(self, *blocks: Block, output_tokens: int = 1_000_000) -> None:
        super().__init__(*blocks, output_tokens=output_tokens)


class Garbage:
    """A stream that is none: broken JSON, unknown events, bytes that are no text."""


class Held(Answer):
    """An answer that comes when it is released."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__(*blocks)
        self._released = threading.Event()

    def release(self) -> None:
        """Let it come."""
        self._released.set()

    def wait(self) -> None:
        """Until it is released."""
        self._released.wait(50)


Reply = Sequence[Block] | Silence | Cut | Garbage | Refusal | Answer


class LoopbackApi:
    """The server; `requests` are the bodies of the session's model requests, in order."""

    def __init__(self, *script: Reply, by_words: Mapping[str, Sequence[Reply]] | None = None) -> None:
        self.script = list(script) or [[text("done")]]
        self.by_words = {words: list(replies) for words, replies in (by_words or {}).items()}  # of sessions told these
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        api = self

        class Handler(_Handler):
            pass

        Handler.api = api
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """The value for ANTHROPIC_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def next_reply(self, body: dict[str, Any], headers: Mapping[str, str]) -> Reply:
        """The reply to a request; the script does not move on for requests that are not the session's."""
        if not body.get("tools"):
            return [text("ok")]
        with self._lock:
            self.requests.append(body)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            said = json.dumps(body["messages"]) if self.by_words else ""
            script = next((replies for words, replies in self.by_words.items() if words in said), self.script)
            return script.pop(0) if len(script) > 1 else script[0]

    def all_text(self) -> str:
        """Everything that the model was told, system prompt included."""
        return json.dumps(self.requests, ensure_ascii=False)

    def tool_names(self) -> set[str]:
        """The tools that the session offered."""
        return {str(tool.get("name")) for body in self.requests for tool in body["tools"]}


class _Handler(BaseHTTPRequestHandler):
    api: LoopbackApi
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._plain(200, {})

    def do_GET(self) -> None:
        self._plain(404, {"type": "error", "error": {"type": "not_found_error", "message": "not here"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
        if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
            self._plain(200, {"input_tokens": 10})
            return
        reply = self.api.next_reply(body, dict(self.headers))
        match reply:
            case Silence():
                self.api.closing.wait()
            case Refusal():
                self._plain(reply.status, reply.body, reply.headers)
            case Cut():
                self._start_stream()
                self._event("message_start", message=_message(body))
                if reply.words:
                    self._event("content_block_start", index=0, content_block={"type": "text", "text": ""})
                    self._event("content_block_delta", index=0, delta={"type": "text_delta", "text": reply.words})
                self.close_connection = True
            case Garbage():
                self._start_stream()
                self.wfile.write(
                    b'event: message_start\ndata: {"type": "message_st\n\nevent: nonsense\ndata: \xff\xfe\n\n'
                )
                self.wfile.write(b"event: content_block_delta\ndata: [1, 2]\n\ndata: }{\n\n")
            case Answer():
                if isinstance(reply, Held):
                    reply.wait()
                self._answer(body, reply.blocks, reply.output_tokens, reply.headers)
            case _:
                self._answer(body, reply)

    def _plain(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _start_stream(self, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def _event(self, kind: str, **fields: Any) -> None:
        data = json.dumps({"type": kind, **fields})
        self.wfile.write(f"event: {kind}\ndata: {data}\n\n".encode())
        self.wfile.flush()

    def _answer(
        self,
        body: Mapping[str, Any],
        blocks: Sequence[Block],
        output_tokens: int = 20,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not body.get("stream"):
            content = [_finished(block, n) for n, block in enumerate(blocks)]
            self._plain(200, {**_message(body), "content": content, "stop_reason": "end_turn"})
            return
        self._start_stream(headers)
        self._event("message_start", message=_message(body))
        for index, block in enumerate(blocks):
            start, delta = _streamed(block, index)
            self._event("content_block_start", index=index, content_block=start)
            self._event("content_block_delta", index=index, delta=delta)
            self._event("content_block_stop", index=index)
        calls = any(block["type"] == "tool_use" for block in blocks)
        self._event(
            "message_delta",
            delta={"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None},
            usage={"output_tokens": output_tokens},
        )
        self._event("message_stop")


_counter = iter(range(1, 10**9))


def _message(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"msg_{next(_counter):06}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "claude"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 1},
    }


def _finished(block: Block, index: int) -> dict[str, Any]:
    return {**block, "id": f"toolu_{next(_counter):06}_{index}"} if block["type"] == "tool_use" else dict(block)


def _streamed(block: Block, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    if block["type"] == "text":
        return {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
    start = {**_finished(block, index), "input": {}}
    return start, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
