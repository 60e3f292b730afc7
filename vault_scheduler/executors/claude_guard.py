"""What a Claude run without shell may write: notes in the vault, and nothing that could make something run.

The decisions are pure; the worker asks them before every Write, Edit and NotebookEdit, and refuses what they
object to. A refusal is a sentence: Claude reads it, and so does the person in the run's denials.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vault_scheduler.notes.note import Document
from vault_scheduler.text.names import INSTRUCTIONS, folded, folded_parts, has_control

WRITING_TOOLS = ("Write", "Edit", "MultiEdit", "NotebookEdit")
_PROGRAMS = frozenset(
    {
        *(
            "py",
            "pyc",
            "pyw",
            "so",
            "dll",
            "dylib",
            "exe",
            "jar",
            "sh",
            "bash",
            "zsh",
            "fish",
            "ksh",
            "nu",
            "awk",
            "mk",
        ),
        *("js", "mjs", "cjs", "ts", "rb", "pl", "pm", "php", "lua", "jl", "r", "tcl", "ps1", "bat", "cmd"),
    }
)
_EXECUTED_UNNAMED = frozenset(
    {
        *("makefile", "gnumakefile", "justfile", "rakefile", "dockerfile", "package.json", "deno.json"),
        *("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "conftest.py", "noxfile.py", "sitecustomize.py"),
    }
)
"""What `make`, `npm run` and their like execute though the command does not name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Where a run may write. `vault` is a real absolute path; `note` and `named_files` are relative to it."""

    vault: str
    system_folder: str
    note: str  # the task's own
    named_files: tuple[str, ...] = ()  # what tasks execute
    add_dirs: tuple[str, ...] = ()  # real absolute paths of folders beside the vault, protected the same
    whole_vault: bool = False  # a run with shell: only its own note is looked after


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A file that a tool is about to change: the path as given, made absolute, and where links lead it."""

    given: str  # absolute, without "..", links not followed
    real: str  # links followed
    before: bytes | None  # None: there is no such file
    after: Callable[[], bytes | None] = lambda: None  # what it would hold; None if that cannot be told
    executed: Callable[[], bool] = lambda: False  # whether it is no note, and a task note names it


def objection(fence: Fence, write: Write) -> str:
    """Why this write is refused; "" if it is not."""
    names = [_relative(fence.vault, path) for path in (write.given, write.real)]
    inside = [name for name in names if name is not None]
    if fence.whole_vault:
        return _own_note(write) if any(_same(name, fence.note) for name in inside) else ""
    beside = [name for root in fence.add_dirs for path in (write.given, write.real) if (name := _relative(root, path))]
    if names[1] is None and not any(_relative(root, write.real) for root in fence.add_dirs):
        return "it is outside of the vault"
    whys = [_protected(fence, name) or _task_note(fence, name, write) for name in inside]
    whys += [_protected_anywhere(name) for name in beside if names[1] is None]
    if write.executed():
        whys.append("a task names this file, and may execute it")
    return next((why for why in whys if why), "")


def _relative(vault: str, path: str) -> str | None:
    try:
        relative = Path(path).relative_to(vault)
    except ValueError:
        return None
    return relative.as_posix() if relative.parts else None


def _same(path: str, other: str) -> bool:
    return folded_parts(path) == folded_parts(other)


def _protected(fence: Fence, path: str) -> str:
    parts, system = folded_parts(path), folded_parts(fence.system_folder)
    below = parts[len(system) :] if parts[: len(system)] == system else None
    if why := _protected_anywhere(path):
        return why
    if below and below[0] == "scripts":
        return f"{fence.system_folder}/scripts is protected: tasks execute what is in it"
    if below == ["scheduler.md"]:
        return "the settings note is protected"
    if below == ["status.md"]:
        return "the status note is the scheduler's own: it says whether the scheduler is alive"
    named = [folded_parts(name) for name in fence.named_files]
    if parts in named:
        return "a task executes this file"
    if _is_program(parts) and any(_is_program(name) and parts[: len(name) - 1] == name[:-1] for name in named):
        return "it is a program in the folder of one that a task executes, which may load it"
    return ""


def _protected_anywhere(path: str) -> str:
    """What is protected in every folder, also in those beside the vault."""
    parts = folded_parts(path)
    if any(part.startswith(".") or not part for part in parts):
        return "dot folders and dot files are protected"
    if has_control(path):
        return "its name holds a control character"
    if parts[-1] in INSTRUCTIONS:
        return "it instructs Claude, and is protected"
    return "a task executes this file" if parts[-1] in _EXECUTED_UNNAMED else ""


def _is_program(parts: list[str]) -> bool:
    """By its extension; without one only in a folder: words of a command look like names too."""
    _, dot, extension = parts[-1].rpartition(".")
    return extension in _PROGRAMS if dot else len(parts) > 1


def _task_note(fence: Fence, path: str, write: Write) -> str:
    parts, tasks = folded_parts(path), [*folded_parts(fence.system_folder), "tasks"]
    if parts[: len(tasks)] != tasks or not parts[-1].endswith(".md"):
        return ""
    if _same(path, fence.note):
        return _own_note(write)
    if write.before is not None:
        return "another task's note is protected; propose the change as a new task with `status: paused`"
    return _new_task(write)


def _own_note(write: Write) -> str:
    """A task that rewrites its note must not lose or change what it declares: its schedule goes with it."""
    before = Document.parse(_unix(write.before or b""))
    if before.block is None:  # gone, being saved, or broken: what would come back cannot be compared with anything
        return "the task's own note has no readable properties now, so it is left alone"
    after = write.after()
    if after is None:
        return "the text to replace was not found exactly, and this is the task's own note"
    now = Document.parse(_unix(after))
    if now.block is None or before.data[: before.body_start] != now.data[: now.body_start]:
        return "the properties of the task's own note are protected; change only the text below them"
    return ""


def _unix(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def _new_task(write: Write) -> str:
    document = Document.parse(write.after() or b"")
    if document.fault:
        return f"a new task note must be valid: {document.fault.message}"
    if document.mapping.get("status") != "paused":
        return "a new task note must say `status: paused`; a person makes it active"
    if document.mapping.get("run_now") not in (None, False):
        return "a new task note must not say `run_now: true`"
    if "id" in document.mapping:
        return "a new task note must not say `id`: with another task's, neither would run"
    return ""


def write_of(tool: str, arguments: Mapping[str, Any], cwd: str, fence: Fence) -> Write | None:
    """The write that a tool call would be, read from the disk; None for tools that do not write.

    A path that cannot be told, or that "link/.." makes two paths of, leads nowhere, and so out of the vault.
    """
    if tool not in WRITING_TOOLS:
        return None
    named = arguments.get("notebook_path" if tool == "NotebookEdit" else "file_path")
    path = Path(cwd, Path(named).expanduser()) if isinstance(named, str) else Path("/")
    given = os.path.normpath(path)
    real = os.path.realpath(given)
    return Write(
        given=given,
        real=real if real == os.path.realpath(path) else "",
        before=_read(given),
        after=lambda: _after(tool, arguments, _read(given)),
        executed=lambda: _named_in_tasks(Path(given).name, Path(fence.vault, fence.system_folder, "tasks")),
    )


def _named_in_tasks(name: str, tasks: Path) -> bool:
    """Whether any task note names this file: a command that runs it would run what is written now."""
    if folded(name).endswith(".md"):
        return False
    wanted = folded(name).encode("utf-8", "surrogatepass")
    return any(wanted in _lower(note) for note in tasks.rglob("*.md"))


def _lower(note: Path) -> bytes:
    data = _read(str(note)) or b""
    return folded(data.decode("utf-8", "replace")).encode("utf-8", "surrogatepass")


def _read(path: str) -> bytes | None:
    file = Path(path)
    if file.is_file():
        return file.read_bytes()
    return b"" if os.path.lexists(path) else None


def _after(tool: str, arguments: Mapping[str, Any], before: bytes | None) -> bytes | None:
    if tool == "Write":
        return str(arguments.get("content", "")).encode("utf-8", "replace")
    if tool == "NotebookEdit":
        return None
    edits = arguments.get("edits") if tool == "MultiEdit" else [arguments]
    text = _unix(before or b"").decode("utf-8", "surrogateescape")
    for edit in edits if isinstance(edits, Sequence) else ():
        old, new = str(edit.get("old_string", "")), str(edit.get("new_string", ""))
        if before is None and not old:
            return new.encode("utf-8", "replace")
        if not old or old not in text:
            return None
        text = text.replace(old, new, -1 if edit.get("replace_all") else 1)
    return text.encode("utf-8", "surrogateescape" if _encodable(text) else "replace")


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
