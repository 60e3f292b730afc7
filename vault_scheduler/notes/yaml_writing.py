"""Values written as YAML: on one line, in the quote style that stands there, the same for readers of 1.1 and 1.2."""

from __future__ import annotations

import re
from datetime import datetime

_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?\Z")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./(][A-Za-z0-9_./()-]*)*\Z")
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"])
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_MUST_ESCAPE = re.compile('["\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]')


def quoted(value: str) -> str:
    """The text in double quotes, on one line, valid in YAML 1.1, 1.2 and JSON; undecodable bytes become U+FFFD."""
    value = re.sub("[\ud800-\udfff]", "\ufffd", value)
    return '"' + _MUST_ESCAPE.sub(lambda m: _ESCAPES.get(m[0]) or f"\\u{ord(m[0]):04x}", value) + '"'


def scalar(value: str | bool | int | None, *, old: str = "", flow: bool = False) -> str:
    """The source of a value that YAML 1.1 and 1.2 readers take for it, in the quote style of the `old` source."""
    if value is None:
        return "null" if flow else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if old.startswith("'") and not _MUST_ESCAPE.search(value.replace('"', "").replace("\\", "")):
        return "'" + value.replace("'", "''") + "'"
    if flow or old.startswith('"') or not _is_plain(value):
        return quoted(value)
    return value


def _is_plain(value: str) -> bool:
    """Whether it may stand without quotes: words, and dates in the form that Obsidian's property editor writes."""
    return _is_date(value) or bool(_PLAIN.match(value) and value.lower() not in _WORDS)


def _is_date(value: str) -> bool:
    """Whether it is a date, with a time or without; readers of YAML 1.1 refuse a note with an impossible one."""
    try:
        return bool(_DATE.match(value)) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False
