"""YAML as Obsidian sees it: the 1.2 core meaning, with source spans for splicing. No I/O.

PyYAML reads YAML 1.1: `off` is False, `7:30` is 450, `010` is 8, a duplicate key silently wins. Here only
`true`/`false` are booleans, `null`/`~`/nothing is None, numbers are decimal, `0o` or `0x`, and all else is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from frontmatter.default_handlers import YAMLHandler

from vault_scheduler.notes.yaml_errors import YamlProblem, explain

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Base  # type: ignore[assignment]

MAX_CHARS = 256 * 1024
MAX_DEPTH = 24
MAX_NODES = 20_000

_STR = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_SEQ = "tag:yaml.org,2002:seq"
_MAP = "tag:yaml.org,2002:map"

# Characters that libyaml takes for line breaks or eats, and YAML 1.2 for text: hidden from it, one for one.
_NOT_BREAKS = "\u0085\u2028\u2029\ufeff"
_HIDDEN = re.compile(f"[{_NOT_BREAKS}\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")


class CoreLoader(_Base):
    """PyYAML's (C) loader with the resolvers of the YAML 1.2 core schema; `<<` is an ordinary key."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's name


def _resolver(tag: str, pattern: str, first: str) -> None:
    CoreLoader.add_implicit_resolver(tag, re.compile(pattern), list(first))


_resolver(_BOOL, r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF")
CoreLoader.add_implicit_resolver(_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_resolver(_INT, r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", "-+0123456789")
_resolver(
    _FLOAT,
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
    "-+0123456789.",
)


class FrontmatterHandler(YAMLHandler):  # type: ignore[misc, unused-ignore]
    """python-frontmatter's handler for a text of exactly one opening fence, the block, one closing fence."""

    def split(self, text: str) -> tuple[str, str]:
        """Everything between the first and the last line: the caller has cut the fences on bytes."""
        opening, closing = text.index("\n") + 1, text.rindex("\n") + 1
        return text[opening:closing], ""

    def load(self, fm: str, **kwargs: object) -> Any:
        """The YAML 1.2 core meaning; raises YamlProblem, also if the block is not a mapping."""
        value = load(fm)
        if value is not None and not isinstance(value, dict):
            raise YamlProblem("the frontmatter is not a list of `key: value` properties", 0, "", _MAPPING_FIX)
        return value


_MAPPING_FIX = 'Write one property per line, such as `cron: "0 7 * * *"`'


def load(text: str) -> object:
    """The meaning of one YAML document; None where it is empty. Raises YamlProblem."""
    hidden, restore = _hide(text)
    _refuse_unreadable(hidden)
    loader = CoreLoader(hidden)
    try:
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        raise explain(error, text) from None
    finally:
        loader.dispose()
    return None if node is None else _Construction(restore).value(node, 0)


def _hide(text: str) -> tuple[str, Callable[[str], str]]:
    """The text with `_NOT_BREAKS` replaced by unused characters, undecodable bytes by U+FFFD; and the way back."""
    if not _HIDDEN.search(text):
        return text, str
    free = (c for c in map(chr, range(0x10F000, 0x10FFFD)) if c not in text)
    there = {ord(c): next(free) for c in _NOT_BREAKS}
    back = {ord(v): chr(k) for k, v in there.items()}
    hidden = re.sub("[\ud800-\udfff]", "\ufffd", text.translate(there))
    return hidden, lambda value: value.translate(back)


def _refuse_unreadable(text: str) -> None:
    """What would crash the C parser (it recurses without limit) or only be named by a character position."""
    if len(text) > MAX_CHARS:
        raise YamlProblem(f"the frontmatter is larger than {MAX_CHARS // 1024} KiB", 0, "", "Move text into the body")
    if bad := _CONTROL.search(text):
        line = text.count("\n", 0, bad.start())
        raise YamlProblem(f"control character U+{ord(bad[0]):04X}", line, "", "Delete it, or quote it as an escape")
    if sum(text.count(c) for c in "[{-?") > 500:
        _refuse_deep(text)


def _refuse_deep(text: str) -> None:
    depth = 0
    try:
        for event in _events(text):
            if _is(event, yaml.CollectionStartEvent):
                depth += 1
            elif _is(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                raise _too_deep(event.start_mark.line)
    except yaml.YAMLError as error:
        raise explain(error, text) from None


def _is(event: Any, kind: type[yaml.Event]) -> bool:
    return isinstance(event, kind)


def _events(text: str) -> Iterator[Any]:
    """The parser's events (their marks are never None, which the stubs do not know)."""
    return iter(yaml.parse(text, Loader=CoreLoader))


def _too_deep(line: int) -> YamlProblem:
    return YamlProblem("values are nested too deeply", line, "", "Properties are flat: text, numbers, lists")


class _Construction:
    """Nodes to plain values: dict, list, str, bool, int, float, None; aliases bounded, duplicate keys refused."""

    def __init__(self, restore: Callable[[str], str]) -> None:
        self._restore = restore
        self._count = 0

    def value(self, node: yaml.Node, depth: int) -> object:
        self._count += 1
        if depth > MAX_DEPTH:
            raise _too_deep(node.start_mark.line)
        if self._count > MAX_NODES:  # aliases count each time that they are used
            line, fix = node.start_mark.line, "Move data into the body, or into a file of its own"
            raise YamlProblem(f"too many values (more than {MAX_NODES:,})", line, "", fix)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == _SEQ:
            return [self.value(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
            return self._mapping(node, depth)
        raise _unknown_tag(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in found:
                raise _duplicate(key, lines[key], key_node.start_mark.line)
            lines[key] = key_node.start_mark.line
            found[key] = self.value(value_node, depth + 1)
        return found

    def _key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode):
            return self._restore(node.value)
        line = node.start_mark.line
        fix = 'Quote placeholders such as "{{date}}" and links such as "[[Note]]"'
        raise YamlProblem("a list or mapping stands where a key belongs", line, "", fix)

    def _scalar(self, node: yaml.ScalarNode) -> object:
        text: str = node.value
        if node.tag == _STR:
            return self._restore(text)
        try:
            return _SCALARS[node.tag](text)
        except KeyError:
            raise _unknown_tag(node) from None
        except ValueError:
            line = node.start_mark.line
            kind = node.tag.rpartition(":")[2]
            raise YamlProblem(f"{text[:40]!r} cannot be read as {kind}", line, "", "Put quotes around it") from None


_MOST_DIGITS = 100


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:  # Python refuses to print larger ones, and a float cannot hold them
        raise ValueError(text)
    if text[:2] in ("0o", "0x"):
        return int(text[2:], 8 if text[1] == "o" else 16)
    return int(text, 10)  # `010` is ten


def _floating(text: str) -> float:
    special = text.lower().lstrip("+-")
    if special in (".inf", ".nan"):
        return float(text.replace(".", "", 1))
    return float(text)


def _null(text: str) -> None:
    return None


_SCALARS: dict[str, Callable[[str], object]] = {
    _BOOL: _boolean,
    _INT: _integer,
    _FLOAT: _floating,
    _NULL: _null,
}


def _unknown_tag(node: yaml.Node) -> YamlProblem:
    return YamlProblem(f"the tag {node.tag} is not supported", node.start_mark.line, "", "Remove the tag")


def _duplicate(key: str, first: int, second: int) -> YamlProblem:
    return YamlProblem(
        f"`{key}` is given twice",
        second,
        key,
        f"Keep one of them (the other is {second - first} line{'s' * (second - first > 1)} above)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One top-level `key: value` in the text: character offsets of both, value_end without trailing blank lines."""

    key: str
    line: int  # 0-based
    key_start: int
    key_end: int
    value_start: int
    value_end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSpans:
    """Where the entries of the text's top-level mapping stand; `flow` for `{…}`, whose brace closes at `end`."""

    entries: dict[str, Entry]
    flow: bool
    column: int
    start: int
    end: int


def compose_mapping(text: str) -> MappingSpans | None:
    """Spans of the top-level mapping of a text that `load` accepts; None where there is none. Raises YamlProblem."""
    hidden, restore = _hide(text)
    _refuse_unreadable(hidden)
    try:
        return _spans(hidden, restore)
    except yaml.YAMLError as error:
        raise explain(error, text) from None


def _spans(text: str, restore: Callable[[str], str]) -> MappingSpans | None:
    events = _events(text)
    root: Any = next((e for e in events if _is(e, yaml.NodeEvent)), None)
    if not _is(root, yaml.MappingStartEvent):
        return None
    entries: dict[str, Entry] = {}
    for key in events:
        if _is(key, yaml.MappingEndEvent):
            end = key.start_mark.index
            break
        if not _is(key, yaml.ScalarEvent):
            return None
        start, stop = _node_span(events)
        entry = Entry(
            key=restore(key.value),
            line=key.start_mark.line,
            key_start=key.start_mark.index,
            key_end=key.end_mark.index,
            value_start=start,
            value_end=max(start, start + len(text[start:stop].rstrip())),
        )
        entries[entry.key] = entry
    first = root.start_mark
    return MappingSpans(entries=entries, flow=bool(root.flow_style), column=first.column, start=first.index, end=end)


def _node_span(events: Iterator[Any]) -> tuple[int, int]:
    """Start and end of the next node. A block collection's own end mark lies past the comments that follow it."""
    first = next(events)
    end, depth = first.end_mark.index, 0
    event = first
    while True:
        if _is(event, yaml.CollectionStartEvent):
            depth += 1
        elif _is(event, yaml.CollectionEndEvent):
            depth -= 1
        if not _is(event, yaml.CollectionEndEvent) or event.end_mark.index > event.start_mark.index:
            end = max(end, event.end_mark.index)
        if depth == 0:
            return first.start_mark.index, end
        event = next(events)
