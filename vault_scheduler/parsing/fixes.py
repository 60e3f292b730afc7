"""`check --fix`: quotes what needs quotes, and nothing else. Asked for by a person, never done unasked."""

from __future__ import annotations

import re

from vault_scheduler.notes.note import Document
from vault_scheduler.notes.yaml_core import load
from vault_scheduler.notes.yaml_errors import YamlProblem
from vault_scheduler.notes.yaml_writing import quoted
from vault_scheduler.parsing.keys import ALIASES, KEYS
from vault_scheduler.parsing.values import CLOSING_QUOTES, OPENING_QUOTES

# A property on one line, or an item of a list: what leads to the value, the value, a comment behind it.
_LINE = re.compile(r"((?:([A-Za-z_][\w-]*)[ \t]*:|[ \t]*-)[ \t]+)(\S.*?)((?:[ \t]+#.*)?[ \t]*\r?)$")


def fix(data: bytes) -> bytes:
    """The note with quotes around the values that YAML cannot read bare, or that stand in curly quotes.

    Every other byte stays. The note comes back unchanged if quotes alone do not make it readable.
    """
    doc = Document.parse(data)
    if doc.block is None:
        return data
    start, end = doc.block
    block = data[start:end].decode("utf-8", "surrogateescape")
    fixed = _fixed(block, broken=doc.fault is not None).encode("utf-8", "surrogateescape")
    result = data[:start] + fixed + data[end:]
    if result == data or Document.parse(result).fault is not None:
        return data
    return result


def _fixed(block: str, *, broken: bool) -> str:
    lines = block.split("\n")
    keys = {line.partition(":")[0].strip() for line in lines}
    if not any(ALIASES.get(key, key) in KEYS for key in keys):
        return block  # a page of the user's own
    key = ""
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if match is None:
            if line[:1].strip():
                key = line.partition(":")[0].strip()
            continue
        key = match[2] or key
        ours = ALIASES.get(key, key) in KEYS
        lines[number] = match[1] + _value(match[3], ours=ours, broken=broken) + match[4]
    return "\n".join(lines)


def _value(value: str, *, ours: bool, broken: bool) -> str:
    # One value that YAML cannot read takes all properties with it, whoever they belong to.
    if ours and len(value) > 2 and value[0] in OPENING_QUOTES and value[-1] in CLOSING_QUOTES:
        return quoted(value[1:-1])
    return quoted(value) if broken and not _reads(value) else value


def _reads(value: str) -> bool:
    """Whether YAML can read the value, or it starts a longer one (`[`, `|`, `"`), which is left alone."""
    starts_list = value[0] in "[{" and value[-1] not in "]}" and value[:2] not in ("{{", "[[")
    if value[0] in "\"'|>" or starts_list:
        return True
    try:
        load(f"key: {value}")
    except YamlProblem:
        return False
    return True
