"""The process that sends one message or ping: `python -P -m vault_scheduler.notifiers.worker`, a JSON object on
standard input, one on standard output. Apprise is imported in this module only: it costs 0.2 s.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from typing import Any

LIMIT_S = 25.0
"""After this a receiver counts as one that does not answer; the daemon ends this process a little later."""


def main() -> None:
    """Send what standard input says; standard output gets `{"why": "…"}`, empty if it was sent."""
    asked: dict[str, Any] = json.load(sys.stdin)
    try:
        why = _send(asked)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    json.dump({"why": why}, sys.stdout)


def _send(asked: dict[str, Any]) -> str:
    if asked["url"]:
        return ping(asked["url"], asked["body"], LIMIT_S)
    if isinstance(asked["address"], str):
        return _by_apprise(asked)
    return _by_command(asked)


def misunderstood(address: str) -> str:
    """Why Apprise can do nothing with an address, as Apprise says it; "" if it can. Nothing is sent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of modules that Apprise's plugins use
        import apprise

        said = _heard()
        return "" if apprise.Apprise().add(address) else said.last or "Apprise does not understand the address"


def _by_apprise(asked: dict[str, Any]) -> str:
    import apprise

    if why := misunderstood(asked["address"]):
        return why
    said, notifier = _heard(), apprise.Apprise()
    notifier.add(asked["address"])
    sent = notifier.notify(
        title=asked["title"],
        body=asked["body"],
        notify_type=apprise.NotifyType(asked["kind"]),
        body_format=apprise.NotifyFormat.TEXT,
    )
    return "" if sent else said.last or "it could not be sent"


class _Said(logging.Handler):
    """Keeps the last warning: Apprise tells by its log alone why it failed."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.last = record.getMessage()


def _heard() -> _Said:
    said = _Said()
    logger = logging.getLogger("apprise")
    logger.handlers = [said]
    logger.propagate = False
    return said


def _by_command(asked: dict[str, Any]) -> str:
    argv = [*asked["address"], asked["title"], asked["body"]]
    text = f"{asked['title']}\n\n{asked['body']}\n"
    try:
        done = subprocess.run(
            argv, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{argv[0]} did not end within {LIMIT_S:.0f} s"
    except OSError as error:
        return f"{argv[0]} could not be started: {(error.strerror or type(error).__name__).lower()}"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stdout.decode("utf-8", "replace").split("\n") if line.strip()]
    return f"exit {done.returncode}" + (f": {lines[-1]}" if lines else "")


def ping(url: str, body: str, limit_s: float) -> str:
    """Ask an address by HTTP, with a text for it; why that failed, "" if it did not."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, data=body.encode(), method="POST", headers={"User-Agent": "vault-sched"})
    try:
        with urllib.request.urlopen(request, timeout=limit_s) as answer:
            return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code}"
    except urllib.error.URLError as error:
        return str(getattr(error.reason, "strerror", None) or error.reason).lower()
    except TimeoutError:
        return "it did not answer"


if __name__ == "__main__":
    main()
