"""Who is told what, and when not: topics, names of notifiers, addresses to ping, quiet hours."""

from __future__ import annotations

import re
from datetime import time
from urllib.parse import urlsplit

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.values import line, shown, text, text_list, word
from vault_scheduler.task import USUAL_TOPICS, Topic

_HOURS = re.compile(r"(\d{1,2}):(\d{2})\s*(?:-|–|—|to)\s*(\d{1,2}):(\d{2})")
_NONE = ("none", "off", "never", "false")
_HINTS = {
    "error": "failure",
    "errors": "failure",
    "fail": "failure",
    "failures": "failure",
    "failed": "failure",
    "recovered": "recovery",
    "question": "blocked",
    "late": "missed",
    "problems": "problem",
    "done": "success",
    "ok": "success",
    "on-success": "success",
    "on-failure": "failure",
}


def topics(value: object, key: str = "notify") -> tuple[Topic, ...]:
    """What people are told about; `none`, or an empty list, is nothing, `all` is everything."""
    if value is False:
        return ()
    if value is True:
        return USUAL_TOPICS
    words = [part for item in text_list(value, key) for part in re.split(r"[,\s]+", item) if part]
    if len(words) == 1 and words[0].lower() in _NONE:
        return ()
    if len(words) == 1 and words[0].lower() == "all":
        return tuple(Topic)
    known = [topic.value for topic in Topic]
    return tuple(dict.fromkeys(Topic(word(each, key, known, _HINTS)) for each in words))


def notifier_names(value: object, key: str = "notify_to") -> tuple[str, ...]:
    """Names that the machine's config.toml has below `[notify]`; an address does not belong into a note."""
    names = text_list(value, key)
    if any("://" in name for name in names):
        name = "phone"
        raise BadValue(
            "takes names, for an address is a secret",
            f'Write the address into config.toml, below [notify]: `{name} = "…"`, and here {line(key, name)}',
        )
    return tuple(dict.fromkeys(names))


def web_address(value: object, key: str = "ping_url") -> str:
    """An address that can be asked by HTTP."""
    written = text(value, key)
    try:
        parts = urlsplit(written)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or re.search(r"[\s\x00-\x1f]", written):
        raise BadValue(f"{shown(written)} is not a web address", f"Write {line(key, 'https://hc-ping.com/your-uuid')}")
    return written


def quiet_hours(value: object, key: str = "quiet_hours") -> tuple[time, time]:
    """`22:00-07:00`: from when, to when; local times, also over midnight."""
    written = text(value, key)
    found = _HOURS.fullmatch(written)
    fix = f'Write `{key}: "22:00-07:00"`'
    if found is None:
        raise BadValue(f"{shown(written)} is no span of hours", fix)
    try:
        begin, end = time(int(found[1]), int(found[2])), _end(int(found[3]), int(found[4]))
    except ValueError:
        raise BadValue(f"{shown(written)} holds no time of day", fix) from None
    if begin == end:
        raise BadValue("begin and end are the same", f"{fix}; to be told nothing at all, `notify: none`")
    return begin, end


def _end(hour: int, minute: int) -> time:
    return time(0, 0) if (hour, minute) == (24, 0) else time(hour, minute)
