"""GitHub's REST API, as much as watching takes: pages of lists, conditional requests, limits told by their end."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any
from urllib.parse import urlencode, urlsplit

from vault_scheduler import __version__
from vault_scheduler.errors import BadValue, VaultSchedError
from vault_scheduler.text.harmless import plain_line

PUBLIC = "https://api.github.com"
_MAX_BYTES = 16 * 2**20  # of an answer
_NOTHING_THERE = (409, 410)  # a repository without commits; one without issues
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_NEXT = re.compile(r'<[^>]*>;\s*rel="next"')


class GitHubError(VaultSchedError):
    """GitHub could not be asked; the message says why."""

    exit_code = 1


class Unreachable(GitHubError):
    """The server does not answer at all."""


class Refused(GitHubError):
    """The token is not accepted: no other question would be answered either."""

    retryable = False


class LimitReached(GitHubError):
    """No more questions are answered until a moment (None: unknown)."""

    def __init__(self, message: str, until: datetime | None) -> None:
        self.until = until
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One page of a list; `items` is None where nothing has changed since the page with that `etag`."""

    items: list[dict[str, Any]] | None
    etag: str = ""
    has_more: bool = False


class _SameHostOnly(urllib.request.HTTPRedirectHandler):
    """A moved repository is followed; the token never goes to another host, nor over an open line."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """None for another place: the answer then counts as an error."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if (old.scheme, old.netloc) != (new.scheme, new.netloc):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class GitHub:
    """One place that speaks GitHub's API. Its methods block; times are those of the caller, in UTC."""

    def __init__(self, url: str, token: str, timeout_s: float, now: datetime) -> None:
        """Raises BadValue for an address that is none, or would show the token to the network."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadValue(f"GITHUB_API_URL `{url}` is no address", f"Write `env: [GITHUB_API_URL={PUBLIC}]`")
        if token and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise BadValue("GITHUB_API_URL is not encrypted, and would show the token", "Write https://")
        self._url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._now = now.astimezone(UTC)
        self._opener = urllib.request.build_opener(_SameHostOnly())

    def list(self, path: str, query: Mapping[str, str | int], etag: str = "") -> Answer:
        """One page of a list.

        Raises LimitReached, Refused, Unreachable, and GitHubError for what is not there or makes no sense.
        """
        request = urllib.request.Request(f"{self._url}/{path}?{urlencode(query)}", headers=self._headers(etag))
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                data = response.read(_MAX_BYTES + 1)
                return _answer(data, response.headers)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 304:
                    return Answer(items=None, etag=etag)
                if error.code in _NOTHING_THERE:
                    return Answer(items=[])
                raise self._refusal(error.code, error.headers, error.read(4096)) from None
        except TimeoutError:
            raise Unreachable(f"no answer within {self._timeout_s:g} s") from None
        except urllib.error.URLError as error:
            raise Unreachable(self._silence(error.reason)) from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"the connection broke: {plain_line(str(error) or type(error).__name__)}") from None

    def _headers(self, etag: str) -> dict[str, str]:
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": f"vault-sched/{__version__}",
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return {**headers, "If-None-Match": etag} if etag else headers

    def _silence(self, reason: object) -> str:
        if isinstance(reason, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        return f"cannot be reached: {plain_line(str(reason))}"

    def _refusal(self, status: int, headers: Message, body: bytes) -> GitHubError:
        said = _message(body)
        if status in (403, 429) and (until := self._limit_ends(headers, said)):
            return LimitReached("the rate limit is used up", until[0])
        if status == 401:
            return Refused("GitHub refuses the token: put a valid GITHUB_TOKEN into the machine's env file")
        if status == 404:
            return GitHubError("there is no such repository, or the token may not read it")
        return GitHubError(f"answer {status}{f': {said}' if said else ''}")

    def _limit_ends(self, headers: Message, said: str) -> tuple[datetime | None] | None:
        """When the limit ends, in a tuple; None if it is not a limit that refused."""
        if wait := _number(headers.get("Retry-After")):
            return (self._now + timedelta(seconds=wait),)
        if headers.get("X-RateLimit-Remaining") == "0":
            reset = _number(headers.get("X-RateLimit-Reset"))
            return (datetime.fromtimestamp(reset, UTC) if reset else None,)
        return (None,) if "rate limit" in said.lower() else None


def _answer(data: bytes, headers: Message) -> Answer:
    if len(data) > _MAX_BYTES:
        raise GitHubError("the answer is too large")
    try:
        items = json.loads(data)
    except ValueError:
        raise GitHubError("the answer is not JSON: is GITHUB_API_URL right?") from None
    if not isinstance(items, list):
        raise GitHubError("the answer is not a list: is GITHUB_API_URL right?")
    return Answer(
        items=[item for item in items if isinstance(item, dict)],
        etag=headers.get("ETag") or "",
        has_more=bool(_NEXT.search(headers.get("Link") or "")),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else 0


def _message(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    return plain_line(str(said.get("message", "")), 160) if isinstance(said, dict) else ""
