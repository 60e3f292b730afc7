"""New notes, written as a careful person would: a vault's first ones, and tasks from the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vault_scheduler.commands import control_panel
from vault_scheduler.commands.catalogue import Catalogue, parse_context
from vault_scheduler.errors import BadUsage, Refused
from vault_scheduler.machine.config import Machine, machine_timezone
from vault_scheduler.machine.place import Place, read_settings
from vault_scheduler.notes.body import prompt as prompt_of
from vault_scheduler.notes.note import Document
from vault_scheduler.notes.yaml_core import load
from vault_scheduler.notes.yaml_errors import YamlProblem
from vault_scheduler.parsing.keys import ALIASES, KEYS
from vault_scheduler.parsing.parser import parse_task
from vault_scheduler.parsing.values import quoted
from vault_scheduler.planning.registry import Registry
from vault_scheduler.task import Problem, Task, TaskType
from vault_scheduler.vault.vault import Vault

# Whatever a text in these looks like, it is quoted: `*/5` bare is broken YAML.
_ALWAYS_QUOTED = ("cron",)
_LISTS = ("cron", "at", "args", "env", "secrets", "allowed_tools", "disallowed_tools")
_PLAIN_SCALAR = re.compile(r"(?:true|false|-?\d+(?:\.\d+)?)\Z")
_PLAIN_KEY = re.compile(r"[^\W\d][\w -]*(?<! )")
_BAD_NAME = re.compile(r'[\\:*?"<>|#^\[\]\x00-\x1f]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A task note to be written: its properties in order, and its body."""

    name: str
    properties: Mapping[str, object] = field(default_factory=dict)
    body: str = ""
    prompt: str = ""  # the part of the body that is to be said to Claude, whatever else is

    def text(self) -> str:
        """The note."""
        lines = [f"{key}: {_spelled(key, value)}" for key, value in self.properties.items()]
        body = self.body.strip("\n")
        return "\n".join(["---", *lines, "---", *([body] if body else [])]) + "\n"


def _spelled(key: str, value: object) -> str:
    if isinstance(value, (list, tuple)):
        if len(value) == 1 and key in ("cron", "at"):
            return _spelled(key, value[0])
        return "[" + ", ".join(_spelled(key, item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value) if key in _ALWAYS_QUOTED else quoted(value)
    return str(value)


def _quoted(value: str) -> str:
    bare = quoted(value)
    return bare if bare[:1] in "\"'" else f'"{bare}"'


_ORDER = (
    *("type", "cron", "every", "at", "timezone", "status", "run_now", "command", "call"),
    *("permissions", "max_usd", "timeout", "output"),
)
_ACTIONS = {"command": "command", "call": "python", "prompt": "claude"}


def drafted(
    name: str, given: Mapping[str, object], *, command: str | None = None, prompt: str | None = None, body: str = ""
) -> Draft:
    """The note of a task that was put into words of a command; None is what was not said. Raises BadUsage."""
    text = (command or "").strip()
    # What has several lines, or would need quotes, is easier to read and edit in a code block.
    in_block = text != "" and quoted(text) != text
    said = {**given, **({"command": command} if command is not None else {})}
    properties = {**said, "type": given.get("type") or _kind_of({**said, "prompt": prompt})}
    if command is not None:
        properties["command"] = None if in_block else text
    ordered = {key: properties[key] for key in (*_ORDER, *properties) if properties.get(key) is not None}
    parts = ((prompt or "").strip(), body.strip(), _block(text) if in_block else "")
    return Draft(name=name, properties=ordered, body="\n\n".join(part for part in parts if part), prompt=parts[0])


def _block(text: str) -> str:
    """A shell script as a code block; its fence is longer than any in it, else it would end there."""
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text}\n{fence}"


def _kind_of(said: Mapping[str, object]) -> str:
    named = [kind for key, kind in _ACTIONS.items() if said.get(key) is not None]
    if len(named) == 1:
        return named[0]
    raise BadUsage("say what it does: one of command, call, prompt; or type with the text in body")


def plain_values(key: str, texts: Sequence[str]) -> object:
    """`--set retries=3` means the number, `--set retry_delay=5m` the text, `--set env=A=b --set env=C=d` a list.

    Raises BadUsage for several values of a key that takes one.
    """
    name = ALIASES.get(key, key)
    values = [item for text in texts for item in _values(text)]
    if name in _LISTS:
        return values
    if len(values) > 1 and name in KEYS and len(texts) > 1:
        raise BadUsage(f"--set {key} is given {len(texts)} times, and `{key}` takes one value. Give it once")
    return values if len(values) > 1 else values[0]


def _values(text: str) -> list[object]:
    """A scalar, or the items of `[a, b]`."""
    if text.startswith("[") and text.endswith("]") and not text.startswith("[["):
        try:
            found = load(text)
        except YamlProblem:
            return [text]
        return found if isinstance(found, list) and found else [text]
    return [load(text) if _PLAIN_SCALAR.match(text) else text]


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A note that was written; `task` is what it declares."""

    path: str
    task: Task
    warnings: tuple[Problem, ...]


class DraftInvalid(Refused):
    """A note that would not run was not written; the problems say what to change."""

    def __init__(self, path: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{path} was not written, because it would not run:\n{listed}")


def create_task(place: Place, catalogue: Catalogue, draft: Draft) -> Created:
    """Check a draft as the daemon would read it, then write it. Raises DraftInvalid, Refused (name taken), BadUsage."""
    path = _path_of(place, draft.name)
    if (place.vault.root / path).exists() or any(item.path.lower() == path.lower() for item in catalogue.items):
        raise Refused(f"{path} is there already. Choose another name, or edit that note")
    for key in draft.properties:
        if not _PLAIN_KEY.fullmatch(key):  # with a line break in it, it would be other properties
            raise BadUsage(f"{key!r} cannot be a property. Write it like max_usd")
    data = draft.text().encode("utf-8", "surrogateescape")
    parsed = parse_task(Document.parse(data), path, parse_context(place))
    problems = parsed.problems
    if parsed.task is not None:
        problems = (*problems, *_rivals(place, catalogue, parsed.task))
        problems = (*problems, *_passed(parsed.task, place))
    errors = [problem for problem in problems if problem.is_error]
    if parsed.task is None or errors:
        raise DraftInvalid(path, errors)
    _check_prompt(draft, parsed.task)
    try:
        place.vault.create(path, data)
    except FileExistsError:
        raise Refused(f"{path} is there already. Choose another name, or edit that note") from None
    return Created(path=path, task=parsed.task, warnings=problems)


def _check_prompt(draft: Draft, task: Task) -> None:
    """Raises BadUsage where Claude would be told less than what was given as its prompt."""
    wanted = "\n".join(draft.prompt.splitlines())
    if task.type is TaskType.CLAUDE and not "\n".join(prompt_of(task.body).splitlines()).startswith(wanted):
        raise BadUsage(
            "a heading of the prompt is `## Prompt` or `## Runs`, which stand for parts of a task's note: Claude would "
            "not be told all of it. Give it another heading"
        )


def _rivals(place: Place, catalogue: Catalogue, task: Task) -> list[Problem]:
    """What the other notes have against this one: its id is taken, or it is a copy."""
    registry, now = Registry(), place.clock.now()
    for item in catalogue.items:
        registry.put(item.path, item.task, (), now)
    registry.put(task.path, task, (), now)
    entry = registry.entry(task.path)
    return list(entry.problems) if entry else []


def _passed(task: Task, place: Place) -> list[Problem]:
    """A new task that has no fire time left would never run."""
    if task.reacts or task.schedule.next_after(place.clock.now()) is not None:
        return []
    key = "at" if task.schedule.is_one_shot else "until"
    return [Problem(path=task.path, line=1, key=key, message="the time has passed already", fix="Give a later one.")]


def _path_of(place: Place, name: str) -> str:
    bare = name.strip().removesuffix(".md").strip("/")
    path = f"{place.vault.rel(place.vault.tasks_folder)}/{bare}.md"
    bad = _BAD_NAME.search(bare)
    if not bare or bad:
        what = f"{bad[0]!r} cannot stand in it" if bad else "it is empty"
        raise BadUsage(f"{name!r} cannot be the name of a note: {what}. Write it like daily-briefing or work/report")
    if not place.vault.is_task_path(path):
        raise BadUsage(
            f"{name!r} would never be scheduled: names with a leading dot, templates, temporary files and "
            "copies made by sync programs are left alone. Write it like daily-briefing or work/report"
        )
    return path


# --- init --------------------------------------------------------------------------------------------------

_SETTINGS_BODY = """\
This note steers vault-sched, which runs the notes in `tasks/`.

- `status: paused` lets nothing start, `status: stopped` also ends what is running. It works from the phone.
- `host` is the one machine that runs this vault.
- `timezone` is the zone of all times in task notes that name none of their own.
"""
_FIRST_TASK = """\
---
type: command
every: 1h
status: active
run_now: false
---
Lists the notes that changed in the last day. Change it, or delete it: it is only here to show how a task looks.
Tick `run_now` to run it at once.

```sh
notes=$(find . -name '*.md' -not -path '*/.*' -not -path './{system}/*' -mtime -1 | sort)
echo "Changed in the last 24 hours: $(echo "$notes" | grep -c .)"
echo "$notes" | head -n 20
```
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialised:
    """What `init` made and what it found, as vault-relative paths; `host` is what the settings note names."""

    root: Path
    created: tuple[str, ...]
    kept: tuple[str, ...]
    machine: str
    host: str
    timezone: str


def init_vault(root: Path, machine: Machine) -> Initialised:
    """Make a folder a vault that is scheduled; what is there stays as it is. Raises BadUsage, OSError."""
    if root.exists() and not root.is_dir():
        raise BadUsage(f"{root} is not a folder. Name the folder of the vault")
    created: list[str] = []
    kept: list[str] = []
    system = root / machine.system_folder
    for folder in (system / "tasks", system / "logs", system / "scripts"):
        (kept if folder.is_dir() else created).append(f"{folder.relative_to(root).as_posix()}/")
        folder.mkdir(parents=True, exist_ok=True)
    vault, zone = Vault(root, machine.system_folder), _zone_here()
    settings = vault.rel(vault.settings_path)
    _write(vault, settings, _settings_note(machine.host, zone), created, kept)
    _write(vault, vault.rel(vault.system / control_panel.NAME), control_panel.control_panel(system.name), created, kept)
    if not vault.task_notes():
        first = _FIRST_TASK.replace("{system}", machine.system_folder)
        _write(vault, f"{vault.rel(vault.tasks_folder)}/hello.md", first, created, kept)
    read = read_settings(vault, zone)
    found = read.settings if read else None
    return Initialised(
        root=vault.root,
        created=tuple(created),
        kept=tuple(kept),
        machine=machine.host,
        host=(found.host if found else None) or "",
        timezone=(found.timezone if found else None) or zone,
    )


def _zone_here() -> str:
    zone = machine_timezone()
    return "UTC" if zone == "Etc/UTC" else zone


def _settings_note(host: str, zone: str) -> str:
    return f"---\nstatus: active\nhost: {quoted(host)}\ntimezone: {quoted(zone)}\n---\n{_SETTINGS_BODY}"


def _write(vault: Vault, rel: str, text: str, created: list[str], kept: list[str]) -> None:
    if os.path.lexists(vault.root / rel):  # not even a temporary file beside it
        kept.append(rel)
        return
    vault.create(rel, text.encode())
    created.append(rel)


def vault_root_for(start: Path, system_folder: str) -> Path:
    """Where `init` without a path belongs: the vault that `start` is in, else `start` itself."""
    for folder in (start, *start.parents):
        if (folder / ".obsidian").is_dir() or (folder / system_folder / "tasks").is_dir():
            return folder
    return start
