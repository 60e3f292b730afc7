"""What may be said of a failure: words of a library, without the address and whatever of it could be a token."""

from __future__ import annotations

import re
from urllib.parse import unquote

from vault_scheduler.notifiers.base import Address
from vault_scheduler.text.harmless import plain_line

_SHORTEST = 4
_LONGEST_REASON = 200
_HIDDEN = "***"


def discreet(words: str, address: Address) -> str:
    """One line, no full stop, in which no part of the address stands but its scheme, or the name of the program."""
    secrets = _parts_of_url(address) if isinstance(address, str) else list(address[1:])
    for secret in sorted({*secrets, *map(unquote, secrets)}, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            words = words.replace(secret, _HIDDEN)
    return plain_line(words, _LONGEST_REASON).rstrip(" .,:")


def _parts_of_url(url: str) -> list[str]:
    rest = url.partition("://")[2]
    return [url, rest, *re.split(r"[/:@?&=#]", rest)]
