"""JSON files of other programs: changed where they shall say other things, else byte for byte as they were. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = Any
"""What `json.loads` gives."""


class BadJson(ValueError):
    """A text that is not JSON as every reader understands it; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        self.line = line
        super().__init__(message)


def read_json(text: str) -> Json:
    """The value. Raises BadJson, also for keys that are there twice: of those every reader takes another one."""
    try:
        return json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise BadJson(error.msg[:1].lower() + error.msg[1:], error.lineno) from None
    except RecursionError:
        raise BadJson("it is nested too deeply", 1) from None


def _no_number(word: str) -> Json:
    """`NaN`, which Python reads, equals nothing, not even itself, and other readers refuse it."""
    raise BadJson(f"{word} is not JSON", 1)


def _once_each(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadJson(f"the key {twice!r} is there twice in one object", 1)
    return found


def respelled(text: str, wanted: Json) -> str:
    """The text with as few changes as make it mean `wanted`. Raises BadJson.

    Members and items that stay keep their bytes and order; new ones come last, in the manner of those before them.
    """
    while (old := read_json(text)) != wanted:
        text = _step(text, _tree(text, _after_space(text, 0)), old, wanted)
    return text


@dataclass(frozen=True, slots=True)
class _Node:
    """One value and where it stands; `parts`: the members of an object or items of a list, by key or index."""

    start: int
    end: int
    parts: dict[str | int, tuple[int, _Node]]  # where the part begins (a member with its key), and its value


def _tree(text: str, at: int) -> _Node:
    if text[at] not in "{[":
        return _Node(at, json.JSONDecoder().raw_decode(text, at)[1], {})
    parts: dict[str | int, tuple[int, _Node]] = {}
    here = _after_space(text, at + 1)
    while text[here] not in "}]":
        begin, key = here, len(parts)
        if text[at] == "{":
            key, here = json.JSONDecoder().raw_decode(text, here)
            here = _after_space(text, _after_space(text, here) + 1)  # the colon
        node = _tree(text, here)
        parts[key] = (begin, node)
        here = _after_space(text, node.end)
        if text[here] == ",":
            here = _after_space(text, here + 1)
    return _Node(at, here + 1, parts)


def _after_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _step(text: str, node: _Node, old: Json, wanted: Json) -> str:
    """One change on the way: the first difference between the two is gone."""
    same_kind = isinstance(old, (dict, list)) and type(old) is type(wanted)
    if not same_kind:
        return text[: node.start] + _spelled(text, node.start, wanted) + text[node.end :]
    gone = next(_gone(old, wanted), None)
    if gone is not None:
        return _without(text, node, gone)
    for key, (_, part) in node.parts.items():
        if old[key] != wanted[key]:
            return _step(text, part, old[key], wanted[key])
    key = next(key for key in wanted if key not in old) if isinstance(wanted, dict) else len(old)
    return _with(text, node, key, wanted[key])


def _gone(old: Json, wanted: Json) -> Iterator[str | int]:
    """The members, or the items, that are not wanted any more; of a list only if it is to become shorter."""
    if isinstance(old, dict):
        yield from (key for key in old if key not in wanted)
    elif len(old) > len(wanted):
        yield next((n for n, item in enumerate(wanted) if old[n] != item), len(wanted))


def _without(text: str, node: _Node, key: str | int) -> str:
    """One part less, with the comma that belonged to it."""
    keys = list(node.parts)
    place = keys.index(key)
    begin, part = node.parts[key]
    if place:
        return text[: node.parts[keys[place - 1]][1].end] + text[part.end :]
    if len(keys) > 1:
        return text[:begin] + text[node.parts[keys[1]][0] :]
    return text[: node.start + 1] + text[node.end - 1 :]


def _with(text: str, node: _Node, key: str | int, value: Json) -> str:
    """One part more, behind the others and in their manner."""
    name = f"{json.dumps(key, ensure_ascii=False)}: " if isinstance(key, str) else ""
    parts = list(node.parts.values())
    if not parts:
        lead, end = _line_end(text) + _indent_at(text, node.start) + _unit(text), _line_end(text)
        spelled = _indented(value, lead.removeprefix(end), text)
        return f"{text[: node.start + 1]}{lead}{name}{spelled}{end}{_indent_at(text, node.start)}{text[node.end - 1 :]}"
    last = parts[-1][1].end
    space = _space_before(text, parts[-1][0])
    flat = "\n" not in space
    spelled = json.dumps(value, ensure_ascii=False) if flat else _indented(value, space.rpartition("\n")[2], text)
    return f"{text[:last]},{' ' if flat else space}{name}{spelled}{text[last:]}"


def _space_before(text: str, at: int) -> str:
    bare = text[:at].rstrip(" \t\r\n")
    return text[len(bare) : at]


def _spelled(text: str, at: int, value: Json) -> str:
    return _indented(value, _indent_at(text, at), text)


def _indented(value: Json, indent: str, text: str) -> str:
    unit = _unit(text)
    lines = json.dumps(value, ensure_ascii=False, indent=unit).split("\n")
    return f"{_line_end(text)}{indent}".join(lines)


def _indent_at(text: str, at: int) -> str:
    """What the line of a place begins with."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    found = re.search(r"\n([ \t]+)\S", text)
    return found[1] if found else "  "


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
