"""Readers of `name=value` lists: environment variables, names of secrets, arguments of a function."""

from __future__ import annotations

import math
import re
from typing import Any

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.values import line, scalar, shown, text, text_list

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def environment(value: object, key: str = "env") -> tuple[tuple[str, str], ...]:
    """Environment variables from a `NAME=value` list or a mapping."""
    pairs: dict[str, str] = {}
    for name, item in mapping_or_pairs(value, key).items():
        variable_name(name, key)
        pairs[name] = _environment_value(name, item)
    return tuple(pairs.items())


def _environment_value(name: str, item: object) -> str:
    if item is None:
        return ""
    if isinstance(item, (bool, int)):
        return scalar(item)
    if isinstance(item, str):
        return item
    raise BadValue(f"the value of `{name}` is not text", f'Put it in quotes: `{name}: "{item}"`')


def secret_names(value: object, key: str = "secrets") -> tuple[str, ...]:
    """Names of variables in the machine's env file; a value in the note would be synced and shown."""
    names = text_list(value, key)
    for name in names:
        if "=" in name:
            only = name.split("=")[0].strip()
            raise BadValue(
                f"`{only}=…` holds a value, and a note is no place for secrets",
                f"Put the value into the machine's env file and write `{key}: [{only}]`",
            )
        if "," in name or " " in name:
            parts = [part for part in re.split(r"[,\s]+", name) if NAME.match(part)]
            raise BadValue("takes a list of names, not one text of several", f"Write {line(key, parts)}")
        _secret_name(name, key)
    return tuple(dict.fromkeys(names))


def _secret_name(name: str, key: str) -> None:
    """As `variable_name`, without repeating the name: somebody may have put the secret itself there."""
    if not NAME.match(name):
        fix = f"Write the names that the values have in the machine's env file, like `{key}: [GITHUB_TOKEN]`"
        raise BadValue("one of them cannot be the name of a variable", fix)
    variable_name(name, key)


def variable_name(name: str, key: str = "") -> str:
    """A name that an environment variable can have and that is not the scheduler's own."""
    if not NAME.match(name):
        better = re.sub(r"\W", "_", name, flags=re.ASCII).lstrip("0123456789") or "NAME"
        raise BadValue(f"{shown(name)} cannot be the name of a variable", f"Call it `{better}`")
    if name.startswith("VAULT_SCHED_"):
        raise BadValue(f"`{name}` is set by the scheduler", f"Give it another name in `{key or 'env'}`")
    return name


def arguments(value: object, key: str = "args") -> dict[str, Any]:
    """Keyword arguments: a mapping as YAML has it, or a `name=value` list in which numbers and true/false count."""
    found = mapping_or_pairs(value, key)
    listed = not isinstance(value, dict)
    for name, item in found.items():
        if not NAME.match(name):
            raise BadValue(f"{shown(name)} cannot be the name of an argument", "Use letters, digits and _")
        found[name] = plain_scalar(item) if listed and isinstance(item, str) else _plain_data(item, name)
    return found


def _plain_data(item: Any, name: str) -> Any:
    """The item, if JSON can carry it: arguments travel to another process."""
    if isinstance(item, float) and not math.isfinite(item):
        raise BadValue(f"the argument `{name}` is not a finite number", f'Put it in quotes: `{name}: "{item}"`')
    if isinstance(item, list):
        for element in item:
            _plain_data(element, name)
    if isinstance(item, dict):
        for inner, element in item.items():
            if not isinstance(inner, str):
                raise BadValue(f"a key below `{name}` is not text", f'Put it in quotes: `"{inner}": …`')
            _plain_data(element, name)
    return item


def mapping_or_pairs(value: object, key: str = "") -> dict[str, Any]:
    """A mapping, or a list of `name=value` texts (one text counts as a list of one)."""
    if isinstance(value, dict):
        return {text(name, key): item for name, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return _merged(value, key)
    found: dict[str, Any] = {}
    for item in text_list(value, key):
        name, sign, rest = item.partition("=")
        if not sign or not name.strip():
            raise BadValue(f"{shown(item)} is not `name=value`", f"Write `{key}: [{_name_like(name)}=value]`")
        if name.strip() in found:
            raise BadValue(f"`{name.strip()}` is set twice", f"Keep one `{name.strip()}=…`")
        found[name.strip()] = rest.strip()
    return found


def _name_like(written: str) -> str:
    return written.strip() if NAME.match(written.strip()) else "NAME"


def _merged(items: list[dict[Any, Any]], key: str) -> dict[str, Any]:
    """`- NAME: value` items: what a person means is plain, so they count as one mapping."""
    merged: dict[str, Any] = {}
    for item in items:
        for name, value in item.items():
            if str(name) in merged:
                raise BadValue(f"`{name}` is set twice", f"Keep one `{name}=…`")
            merged[text(name, key)] = value
    return merged


def plain_scalar(written: str) -> Any:
    """What YAML would make of the value of `name=value`: a number, true, false, null, else text; quotes make text."""
    if len(written) > 1 and written[0] == written[-1] and written[0] in "\"'":
        return written[1:-1]
    if written in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[written]
    if re.match(r"[-+]?(0|[1-9]\d{0,18})\Z", written):
        return int(written)
    if re.match(r"[-+]?\d{1,18}\.\d{1,18}\Z", written):
        return float(written)
    return written
