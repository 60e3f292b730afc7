"""The machine's `env` file: `NAME=value` lines, as shells, systemd and dotenv programs write them.

The values are secrets, so no message ever repeats one, nor the line it stands on.
"""

from __future__ import annotations

import re

from vault_scheduler.errors import BadValue

_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_SKIPPED = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MEANING = {"n": "\n", "t": "\t", "r": "\r", "\n": ""}


class BadEnvLine(BadValue):
    """A line that is not `NAME=value`."""

    def __init__(self, line: int, message: str, fix: str) -> None:
        self.line = line  # from 1
        super().__init__(message, fix)


def parse_env(text: str) -> dict[str, str]:
    """Names and values; the last of several lines for a name counts. Raises BadEnvLine.

    `# comments`, `export NAME=…`, 'single' (literal) and "double" quotes (with \\n, \\t, \\", \\\\), which may span
    lines; without quotes the value ends at ` #` or the end of the line. Nothing is substituted: `$` is a dollar.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        if skipped := _SKIPPED.match(text, position):
            position = skipped.end()
            continue
        found = _NAME.match(text, position)
        if found is None:
            raise BadEnvLine(
                _line(text, position), "this is not a `NAME=value` line", "Write NAME=value, or `#` before a comment"
            )
        values[found[1]], position = _value(text, found.end(), found[1])
    return values


def _value(text: str, start: int, name: str) -> tuple[str, int]:
    """The value that starts here and where the next line starts."""
    opening = text[start : start + 1]
    if opening not in ("'", '"') or not opening:
        bare = _BARE.match(text, start)
        assert bare is not None
        return _COMMENT.sub("", bare[0]).strip(), bare.end() + 1
    quoted = (_SINGLE if opening == "'" else _DOUBLE).match(text, start)
    if quoted is None:
        raise BadEnvLine(
            _line(text, start), f"the quote that opens the value of {name} is never closed", f"Close it with {opening}"
        )
    rest = _SKIPPED.match(text, quoted.end())
    if rest is None:
        raise BadEnvLine(
            _line(text, quoted.end()),
            f"the value of {name} goes on after its closing quote",
            "Put all of it in one pair of quotes",
        )
    value = quoted[1]
    if opening == '"':
        value = _ESCAPE.sub(lambda m: _MEANING.get(m[1], m[1] if m[1] in "\"\\$`'" else m[0]), value)
    return value, rest.end()


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
