"""What a task runs, as its note says it: a command, a Python function, a Claude session."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from vault_scheduler.errors import BadValue
from vault_scheduler.notes.body import LANGUAGES, PYTHON_LANGUAGES, first_fence, has_prompt
from vault_scheduler.parsing.fields import Fields
from vault_scheduler.parsing.keys import KEYS
from vault_scheduler.parsing.pairs import arguments
from vault_scheduler.parsing.values import (
    line,
    money,
    prose,
    shown,
    text,
    text_list,
    whole_number,
    word,
)
from vault_scheduler.task import Action, ClaudeAction, CommandAction, Permissions, PythonAction, TaskType

CallableCheck = Callable[[str, Mapping[str, Any]], str | None]
"""Takes `package.module:function` or the name of a built-in, and arguments; says what is wrong with them, or None."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_SESSIONS = ("fresh", "continue")
_SESSION_HINTS = {"new": "fresh", "resume": "continue", "last": "continue", "true": "continue", "false": "fresh"}
_SESSION_NAME = re.compile(r"\w(?:[\w -]{0,58}\w)?\Z")
_BUILT_IN = re.compile(r"[A-Za-z_]\w*\Z")
_TOOL = re.compile(r"[A-Za-z_][\w-]*(\((?:(?!\)\s*,\s*\w+\().)*\))?\Z", re.DOTALL)
# On a task of another type these promise something that would not be done: other work, or fewer rights.
_MUST_FIT = ("command", "call", "permissions", "allowed_tools", "disallowed_tools", "mcp_config")
_SKILL = re.compile(r"\w[\w-]{0,79}\Z")
_PERMISSION_HINTS = {
    "acceptedits": "edit",
    "default": "edit",
    "write": "edit",
    "plan": "read-only",
    "read": "read-only",
    "readonly": "read-only",
    "dontask": "read-only",
    "bypasspermissions": "full",
    "bypass": "full",
    "all": "full",
}


def read_action(
    fields: Fields, kind: TaskType | None, body: str, callable_check: CallableCheck | None
) -> Action | None:
    """The action of a task of this type. Look at `fields.failed` before using it.

    Of an unknown type (None) every value is read all the same, so that one look shows all problems.
    """
    if kind is None:
        _command(fields)
        _python(fields, callable_check)
        _claude(fields)
        return None
    _refuse_other_types(fields, kind)
    match kind:
        case TaskType.COMMAND:
            _check_code_block(fields, body)
            return _command(fields)
        case TaskType.PYTHON:
            _check_python_block(fields, body)
            return _python(fields, callable_check)
        case TaskType.CLAUDE:
            _check_prompt(fields, body)
            return _claude(fields)


def _refuse_other_types(fields: Fields, kind: TaskType) -> None:
    for name in fields.values:
        key = KEYS[name]
        if kind in key.types or not key.supported:
            continue
        report = fields.error if name in _MUST_FIT else fields.warn
        report(name, f"has no effect on a {kind} task", f"Remove `{name}`, or write `type: {key.types[0]}`")


def _check_code_block(fields: Fields, body: str) -> None:
    if fields.has("command"):
        return
    fence = first_fence(body)
    if fence is None:
        fields.missing(("command",), "it has no command", "a ```sh code block below the properties, or a `command`")
    elif fence.language not in LANGUAGES:
        message = f"nothing runs the first code block: {shown(fence.language)} names no interpreter"
        fields.error("", message, "Write ```sh, ```python or another language above the script")
    elif fence.empty:
        fields.error("", "its code block is empty", "Write the commands into it")


def _command(fields: Fields) -> CommandAction:
    return CommandAction(command=fields.read("command", command_line))


def command_line(value: object, key: str) -> str | tuple[str, ...]:
    """A text for the shell; a list is always program and arguments, taken as they are."""
    if not isinstance(value, list):
        return text(value, key)
    words = tuple(_argument(item, key) for item in value)
    if not words or not words[0].strip():
        raise BadValue("names no program", f"Write {line(key, ['echo', 'hello'])}")
    return words


def _argument(item: object, key: str) -> str:
    if isinstance(item, str):
        return item  # an argument may be empty, and its blanks are meant
    if isinstance(item, int) and not isinstance(item, bool):
        return str(item)
    raise BadValue(f"{shown(item)} is not text", "Put every argument that is no plain word in quotes")


def _check_python_block(fields: Fields, body: str) -> None:
    if fields.has("call"):
        return
    fence = first_fence(body, PYTHON_LANGUAGES)
    if fence is None:
        fields.missing(("call",), "it has no Python to run", "`call: module:function` or a ```python code block")
    elif fence.empty:
        fields.error("", "its python code block is empty", "Write the code into it")


def _python(fields: Fields, callable_check: CallableCheck | None) -> PythonAction:
    call = fields.read("call", partial(_call, check=callable_check))
    args = fields.read("args", arguments) or {}
    if call and args and callable_check is not None and (wrong := callable_check(call, args)):
        fields.error("args", wrong, "Correct its name, or leave it out")
    return PythonAction(call=call, args=args, python=fields.read("python", text))


def _call(value: object, key: str, *, check: CallableCheck | None) -> str:
    written = text(value, key)
    bare = written.removesuffix("()")
    module, sign, function = bare.partition(":")
    if bare != written:
        raise BadValue(f"{shown(written)} is a call, not a name", f"Write {line(key, bare)}; arguments go to `args`")
    if sign and _DOTTED.match(module) and _DOTTED.match(function):
        pass
    elif not sign and bare.endswith(".py"):
        module = re.sub(r"\W+", ".", bare.removesuffix(".py")).strip(".") or "module"
        raise BadValue(f"{shown(written)} is a file, not a function", f"Write `{key}: {module}:function`")
    elif not sign and "." in bare and _DOTTED.match(bare):
        module, _, function = bare.rpartition(".")
        raise BadValue(f"{shown(written)} does not say where the module ends", f"Write `{key}: {module}:{function}`")
    elif sign or not _BUILT_IN.match(bare):
        raise BadValue(f"{shown(written)} names no function", f"Write `{key}: package.module:function`")
    if check is not None and (wrong := check(written, {})):
        raise BadValue(wrong, f"Correct the name, or put the module where `{key}` can find it")
    return written


def _check_prompt(fields: Fields, body: str) -> None:
    if not has_prompt(body):
        fields.error("", "it has no prompt", "Write below the properties what Claude shall do")


def _claude(fields: Fields) -> ClaudeAction:
    allowed = fields.read("allowed_tools", _tools) or ()
    disallowed = fields.read("disallowed_tools", _tools) or ()
    for tool in sorted(set(allowed) & set(disallowed)):
        fields.warn("allowed_tools", f"`{tool}` is disallowed too, and that wins", f"Remove `{tool}` from one")
    values: dict[str, Any] = {
        "permissions": fields.read("permissions", _permissions),
        "max_usd": fields.read("max_usd", partial(money, zero=False)),
        "max_usd_day": fields.read("max_usd_day", money),
        "max_turns": fields.read("max_turns", partial(whole_number, minimum=1, usual=20)),
        "model": fields.read("model", text),
        "fallback_model": fields.read("fallback_model", text),
        "system_prompt": fields.read("system_prompt", prose),
        "session": fields.read("session", _session),
        "mcp_config": fields.read("mcp_config", _mcp_config),
        "skills": fields.read("skills", _skills),
        "add_dirs": fields.read("add_dirs", _add_dirs),
    }
    given = {name: value for name, value in values.items() if value is not None}
    action = ClaudeAction(allowed_tools=allowed, disallowed_tools=disallowed, **given)
    if action.max_usd_day is not None and action.max_usd_day < action.max_usd:
        message = f"is below `max_usd` ({action.max_usd:g}), which every start reserves: nothing could run"
        fields.error("max_usd_day", message, f"Write {line('max_usd_day', action.max_usd)} or more, or lower `max_usd`")
    return action


def _permissions(value: object, key: str) -> Permissions:
    return Permissions(word(value, key, [str(preset) for preset in Permissions], _PERMISSION_HINTS))


def _session(value: object, key: str) -> str:
    session = text(value, key)
    if session.lower() in _SESSIONS:
        return session.lower()
    if hint := _SESSION_HINTS.get(session.lower()):
        raise BadValue(f"{shown(session)} would be the name of a shared session", f"Write {line(key, hint)}")
    if not _SESSION_NAME.match(session):
        fix = f"Write {line(key, 'continue')}, or a name of up to 60 letters, digits, blanks, - and _"
        raise BadValue(f"{shown(session)} cannot be the name of a session", fix)
    return session


def _mcp_config(value: object, key: str) -> str:
    if isinstance(value, dict):
        raise BadValue("is a mapping, not a file", f"Put the servers into a file: {line(key, '.mcp.json')}")
    path = text(value, key)
    if path.startswith(("/", "~")) or ".." in path.split("/"):
        raise BadValue(f"{shown(path)} is outside of the vault", f"Name a file of the vault: {line(key, '.mcp.json')}")
    if not path.endswith(".json") or "\\" in path:
        raise BadValue(f"{shown(path)} is no JSON file", f"Name a file of the vault: {line(key, '.mcp.json')}")
    return posixpath.normpath(path)


def _skills(value: object, key: str) -> tuple[str, ...]:
    names = text_list(value, key)
    for name in names:
        if not _SKILL.match(name):
            fix = f"Write the names of folders below .claude/skills: {line(key, ['briefing'])}"
            raise BadValue(f"{shown(name)} is not the name of a skill", fix)
    return tuple(dict.fromkeys(names))


def _add_dirs(value: object, key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text_list(value, key)))


def _tools(value: object, key: str) -> tuple[str, ...]:
    tools = text_list(value, key)
    for tool in tools:
        if _TOOL.match(tool):
            continue
        parts = [part.strip() for part in re.split(r",(?![^(]*\))", tool) if part.strip()]
        if len(parts) > 1 and all(_TOOL.match(part) for part in parts):
            raise BadValue(f"{shown(tool)} is one text, not a list", f"Write {line(key, parts)}")
        raise BadValue(f"{shown(tool)} is not the name of a tool", f"Write {line(key, ['Read', 'Bash(git log:*)'])}")
    return tuple(dict.fromkeys(tools))
