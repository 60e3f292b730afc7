"""What a Claude run without shell may write: notes in the vault, and nothing that could make something run.

The decisions are pure; the worker asks them before every Write, Edit and NotebookEdit, and refuses what they
object to. A refusal is a sentence: Claude reads it, and so does the person in the run's denials.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vault_scheduler.notes.note import Document
from vault_scheduler.text.harmless import plain_line
from vault_scheduler.text.names import INSTRUCTIONS, folded, folded_parts, has_control

WRITING_TOOLS = ("Write", "Edit", "MultiEdit", "NotebookEdit")
TOOL_RESULTS = "tool-results"
READING_TOOLS = ("Read", "NotebookRead", "Grep", "Glob")
_OF_HOME = (
    *(".claude/.credentials.json", ".claude.json", ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker/config.json"),
    *(".netrc", ".git-credentials", ".npmrc", ".pypirc", ".pgpass", ".password-store", ".config/gh", ".config/gcloud"),
    *(".config/rclone", ".local/share/keyrings", "Library/Keychains", ".bash_history", ".zsh_history"),
)
"""Files and folders with logins and keys, below a person's home."""

_RUN_BY_OBSIDIAN = (
    re.compile(r"<%.*?(?:%>|\Z)", re.DOTALL),  # Templater; with its trigger on new files it needs no click
    re.compile(r"`\s*\$=[^`]*`?"),  # Dataview, inline
    re.compile(
        r"^[ \t>*+\d.-]*(?P<fence>`{3,}|~{3,})[ \t]*\{?"
        r"(?:dataviewjs|js-engine|meta-bind-js|datacore(?:js|ts)x?|customjs|execute-js|run-)"
        r".*?(?:^[ \t>*+\d.-]*(?P=fence)|\Z)",
        re.DOTALL | re.MULTILINE | re.IGNORECASE,
    ),
)
"""What widespread plugins of Obsidian execute in a note as soon as it is shown, or made."""

_LOADED_BY_OBSIDIAN = frozenset({"js", "mjs", "cjs"})
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
    hidden: tuple[str, ...] = ()  # real absolute paths that must not be read, nor what is below them
    readable: tuple[str, ...] = ()  # real absolute folders that may be read beside the vault and `add_dirs`
    state: str = ""  # the folder of ledger, approvals and runs, real and absolute
    whole_vault: bool = False  # a run with shell: only its own note is looked after


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A file that a tool is about to change: the path as given, made absolute, and where links lead it."""

    given: str  # absolute, without "..", links not followed
    real: str  # links followed
    before: bytes | None  # None: there is no such file
    after: Callable[[], bytes | None] = lambda: None  # what it would hold; None if that cannot be told
    brings: str = ""  # the new text that comes in with it
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
    if _is_ours(fence, Path(write.real)):
        return "it is the scheduler's own, or a login"
    whys = [_protected(fence, name) or _task_note(fence, name, write) for name in inside]
    whys += [_protected_anywhere(name) for name in beside if names[1] is None]
    if write.executed():
        whys.append("a task names this file, and may execute it")
    whys.append(_code_in_note(write))
    return next((why for why in whys if why), "")


def _is_ours(fence: Fence, real: Path) -> bool:
    """Ledger, approvals and secrets, where a folder of `add_dirs` holds them."""
    state = Path(fence.state) if fence.state else None
    if state and (real.parent == state or real.is_relative_to(state / "runs")):
        return True
    return any(real.is_relative_to(hidden) for hidden in fence.hidden)


def _code_in_note(write: Write) -> str:
    """Text that Obsidian would execute: as good as a plugin. What stood in the note before may stay."""
    after = write.after()
    text = write.brings if after is None else after.decode("utf-8", "replace")
    new = executed_in_notes(text) - executed_in_notes((write.before or b"").decode("utf-8", "replace"))
    if not new:
        return ""
    return f"plugins of Obsidian execute {plain_line(next(iter(new)), 60)!r}; write about such code without its marks"


def executed_in_notes(text: str) -> Counter[str]:
    """The pieces of a note's text that plugins of Obsidian execute when it is shown."""
    return Counter(match[0] for pattern in _RUN_BY_OBSIDIAN for match in pattern.finditer(text))


def hidden_paths(home: str, env_file: str) -> tuple[str, ...]:
    """What a run without shell cannot read: logins and keys of the machine's user, and our own secrets."""
    ours = (env_file, str(Path(env_file).with_name("config.toml"))) if env_file else ()
    return ("/proc", *(str(Path(home, name)) for name in _OF_HOME), *ours)


def reading_objection(fence: Fence, tool: str, arguments: Mapping[str, Any], cwd: str) -> str:
    """Why a reading tool may not look there; "" if it may. Links are followed."""
    if fence.whole_vault or tool not in READING_TOOLS:
        return ""
    real = Path(os.path.realpath(Path(cwd, _looked_at(tool, arguments))))
    if any(real.is_relative_to(hidden) for hidden in fence.hidden):
        return "logins, keys and the secrets of this machine are hidden"
    if any(real.is_relative_to(folder) for folder in (fence.vault, *fence.add_dirs, *fence.readable)):
        return ""
    if TOOL_RESULTS in real.parts and ".claude" in real.parts:  # where Claude Code puts long answers of its own tools
        return ""
    return "it is outside of the vault; `add_dirs` names folders that a run may use, too"


_MENTION = re.compile(r"(?<!\w)@(?:\"([^\"]*)\"?|([^ \t\r\n\f\v]+))")


def without_foreign_mentions(text: str, cwd: str, folders: Sequence[str]) -> str:
    """A prompt in which no @ with a path stands for a file outside of these folders (real, absolute).

    Claude Code puts such a file into the prompt without a tool being used. A run may write the prompt of its next one.
    """

    def harmless(found: re.Match[str]) -> str:
        named = found[1] if found[1] is not None else found[2]
        ends = {named, named.partition("#")[0], re.sub(r"\W+$", "", named), (named.split() or [""])[0]}
        return found[0] if all(_is_within(end, cwd, folders) for end in ends) else f"(at){found[0][1:]}"

    return _MENTION.sub(harmless, text)


def _is_within(name: str, cwd: str, folders: Sequence[str]) -> bool:
    """Whether a path leads into one of the folders, however "link/.." is understood."""
    try:
        path = Path(cwd, Path(name).expanduser())
        places = [Path(os.path.realpath(path)), Path(os.path.realpath(os.path.normpath(path)))]
    except (RuntimeError, ValueError):  # the home of nobody; a NUL
        return False
    return all(any(place.is_relative_to(folder) for folder in folders) for place in places)


def _looked_at(tool: str, arguments: Mapping[str, Any]) -> Path:
    """Where a reading tool begins to look, as given; relative to the working folder."""
    named = arguments.get("file_path") or arguments.get("notebook_path") or arguments.get("path") or "."
    path = Path(str(named)).expanduser()
    if tool != "Glob":
        return path
    pattern = Path(str(arguments.get("pattern") or ".")).expanduser()
    fixed = itertools.takewhile(lambda part: not set("*?[{") & set(part), pattern.parts)
    return path.joinpath(*fixed)


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
    if below and (why := _of_the_system(fence.system_folder, below)):
        return why
    if parts[-1].rpartition(".")[2] in _LOADED_BY_OBSIDIAN and "." in parts[-1]:
        return "plugins of Obsidian load and execute scripts from the vault"
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


def _of_the_system(folder: str, below: list[str]) -> str:
    """Why a file of the system folder is protected; `below`: its folded path in there."""
    if below[0] == "scripts":
        return f"{folder}/scripts is protected: tasks execute what is in it"
    if below == ["scheduler.md"]:
        return "the settings note is protected"
    if below == ["status.md"]:
        return "the status note is the scheduler's own: it says whether the scheduler is alive"
    if below[0] == "logs" or below == ["tasks.base"]:
        return f"{folder}/{below[0]} is the scheduler's own"
    return ""


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
        brings=_brings(tool, arguments),
        executed=lambda: _named_in_tasks(Path(given).name, Path(fence.vault, fence.system_folder, "tasks")),
    )


def _brings(tool: str, arguments: Mapping[str, Any]) -> str:
    """The new text of a call, wherever it goes."""
    edits = arguments.get("edits") if tool == "MultiEdit" else [arguments]
    calls = [edit for edit in edits if isinstance(edit, Mapping)] if isinstance(edits, Sequence) else []
    return "\n".join(str(call.get(name, "")) for call in calls for name in ("content", "new_string", "new_source"))


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
