"""What starts a task besides the clock, as its note says it: other tasks' runs, changed files, the daemon's start."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.fields import Fields
from vault_scheduler.parsing.values import boolean, choice, duration, line, shown, spelled, text_list
from vault_scheduler.task import AfterOutcome
from vault_scheduler.triggers.globs import globs, has_magic

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_LINK = re.compile(r"\[\[(?P<target>[^\]|#^]+)(?:[#^][^\]|]*)?(?:\|[^\]]*)?\]\]\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reactions:
    """The triggers that name no instants; false if there are none."""

    on_start: bool = False
    after: tuple[str, ...] = ()
    after_outcome: AfterOutcome = AfterOutcome.SUCCESS
    on_change: tuple[str, ...] = ()
    debounce: timedelta = timedelta(seconds=30)

    def __bool__(self) -> bool:
        return bool(self.on_start or self.after or self.on_change)

    @property
    def declared(self) -> dict[str, Any]:
        """Its part of the trigger fingerprint; nothing for a task that has no such triggers."""
        declared: dict[str, Any] = {}
        if self.after:
            declared["after"] = [str(self.after_outcome), *sorted(set(self.after))]
        if self.on_change:
            declared["on_change"] = [spelled(self.debounce), *sorted(set(self.on_change))]
        return declared


def read_reactions(fields: Fields) -> Reactions:
    """`on_start`, `after` and `on_change` with the keys that belong to them."""
    found: dict[str, Any] = {
        "on_start": fields.read("on_start", boolean),
        "after": fields.read("after", _links),
        "after_outcome": fields.read("after_outcome", lambda value, key: choice(value, key, AfterOutcome)),
        "on_change": fields.read("on_change", _globs),
        "debounce": fields.read("debounce", partial(duration, minimum=_SECOND, maximum=_DAY)),
    }
    for name, needed in (("after_outcome", "after"), ("debounce", "on_change")):
        if fields.has(name) and not fields.has(needed):
            fields.warn(name, f"has no effect without `{needed}`", f"Add `{needed}`, or remove it")
    _warn_of_folders(fields, found["on_change"] or ())
    return Reactions(**{name: value for name, value in found.items() if value is not None})


def _links(value: object, key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_link(item, key) for item in text_list(value, key)))


def _link(written: str, key: str) -> str:
    """What a link names: `[[folder/Fetch mail|mail]]` is `folder/Fetch mail`; a bare name is taken for one."""
    link = _LINK.match(written)
    if link is None and ("[[" in written or "]]" in written):
        raise BadValue(f"{shown(written)} is no link to a note", f'Write `{key}: "[[Name of the task]]"`')
    target = (link["target"] if link else written).strip().removesuffix(".md")
    if not target:
        raise BadValue(f"{shown(written)} names no task", f'Write `{key}: "[[Name of the task]]"`')
    return target


def _globs(value: object, key: str) -> tuple[str, ...]:
    patterns = tuple(dict.fromkeys(_glob(item, key) for item in text_list(value, key)))
    if patterns:
        globs(patterns)  # raises BadValue
    return patterns


def _glob(written: str, key: str) -> str:
    """A glob of vault-relative paths with forward slashes, in NFC; `!` before it leaves these out."""
    pattern = unicodedata.normalize("NFC", written)
    path = pattern.removeprefix("!")
    parts = path.split("/")
    if path.startswith("[["):
        raise BadValue(f"{shown(written)} is a link", f"Write the note's path: {line(key, 'Inbox/todo.md')}")
    if path.startswith(("/", "~")) or ".." in parts or "\\" in path:
        raise BadValue(f"{shown(written)} is no path inside the vault", f"Write {line(key, 'Inbox/**')}")
    if path.endswith("/"):
        raise BadValue(f"{shown(written)} is a folder", f"Write {line(key, pattern + '**')}")
    if "" in parts or "." in parts:
        clean = "/".join(part for part in parts if part not in ("", "."))
        raise BadValue(f"{shown(written)} is not a plain path", f"Write {line(key, clean or '**')}")
    if any(part.startswith(".") for part in parts):
        raise BadValue(f"{shown(written)} is in a dot folder, where changes never count", "Choose another folder")
    return pattern


def _warn_of_folders(fields: Fields, patterns: tuple[str, ...]) -> None:
    """`Inbox` is one file to a glob, and everything in a folder to people."""
    for pattern in patterns:
        if not has_magic(pattern) and "." not in pattern.rsplit("/", 1)[-1]:
            wanted = line("on_change", f"{pattern}/**")
            fields.warn("on_change", f"{shown(pattern)} is one file of that name", f"For a folder write {wanted}")
