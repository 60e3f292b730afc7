"""From a note to the task it declares, or to what is wrong with it. The only reader of frontmatter keys."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from vault_scheduler.errors import BadValue
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.action_fields import command_line, read_action
from vault_scheduler.parsing.declared import Declared
from vault_scheduler.parsing.evidence_fields import read_expected
from vault_scheduler.parsing.fields import Fields, key_lines
from vault_scheduler.parsing.fixes import fix
from vault_scheduler.parsing.keys import ALIASES, KEYS, POLICIES, TASK
from vault_scheduler.parsing.parsed import ParseContext, Parsed, ParsedSettings, Switches
from vault_scheduler.parsing.plain import normal_body
from vault_scheduler.parsing.policy_fields import read_policies, read_status, warn_of_missing_secrets, warn_of_strangers
from vault_scheduler.parsing.schedule_fields import read_paused_until, read_when, read_zone
from vault_scheduler.parsing.settings_parser import parse_settings, rebuild_settings
from vault_scheduler.parsing.values import boolean, shown, spoken, text, whole_number, word
from vault_scheduler.task import Problem, Status, Task, TaskType, fingerprint

__all__ = [
    "ParseContext",
    "Parsed",
    "ParsedSettings",
    "Switches",
    "parse_mapping",
    "parse_settings",
    "parse_task",
    "rebuild",
    "rebuild_settings",
    "source_of",
    "task_id",
]

_TYPES = tuple(str(kind) for kind in TaskType)
_TYPE_HINTS = {
    "shell": "command",
    "bash": "command",
    "sh": "command",
    "script": "command",
    "cmd": "command",
    "exec": "command",
    "py": "python",
    "function": "python",
    "agent": "claude",
    "claude-code": "claude",
    "prompt": "claude",
    "ai": "claude",
    "llm": "claude",
}


def parse_task(doc: Document, path: str, context: ParseContext) -> Parsed:
    """The task that the note at `path` (vault-relative) declares; every problem of the note, in order of lines."""
    if doc.fault is not None:
        fault = doc.fault
        problem = Problem(path=path, line=fault.line, key=fault.key, message=fault.message, fix=fault.fix)
        return Parsed(problems=(_behind_the_fault(doc, problem, context) or problem,))
    if doc.block is None:
        return Parsed()
    return parse_mapping(doc.mapping, doc.definition_body, path, context, key_lines(doc))


def _behind_the_fault(doc: Document, problem: Problem, context: ParseContext) -> Problem | None:
    """What would be wrong with the value if it had the quotes that it lacks: `"@every 5m"` is no cron either."""
    quoted = fix(doc.data) if problem.key else doc.data
    if quoted == doc.data:
        return None
    found = parse_task(Document.parse(quoted), problem.path, context).problems
    return next((other for other in found if other.is_error and other.key == problem.key), None)


def source_of(doc: Document) -> dict[str, Any]:
    """What `rebuild` and `rebuild_settings` make the same definition of again: plain JSON values.

    Only keys of ours are in it. Only for a note without a fault.
    """
    mapping = doc.mapping
    ours = {name: value for name, value in mapping.items() if name in KEYS or name in ALIASES}
    return {"mapping": ours, "body": doc.definition_body}


def rebuild(source: Mapping[str, Any], path: str, context: ParseContext) -> Parsed:
    """The task again from what `source_of` gave, as stored with the last good definition (rule 3.3)."""
    return parse_mapping(source["mapping"], source["body"], path, context, lambda key: 1)


def parse_mapping(
    mapping: Mapping[str, object], body: str, path: str, context: ParseContext, lines: Callable[[str], int]
) -> Parsed:
    """As `parse_task`, from the frontmatter's values and the body above `## Runs`; `lines`: the line of each key."""
    fields = Fields(mapping, path, TASK, lines)
    if not fields.values and not fields.look_alikes:
        return Parsed()
    return _TaskReader(fields, normal_body(body), path, context).read()


def task_id(path: str, mapping: Mapping[str, object], tasks_folder: str = "00_system/tasks") -> str:
    """The key `id`, else the path below the tasks folder without `.md`. Raises BadValue for an unusable one."""
    given = mapping.get("id")
    if given is None or given == "":
        below = path.removeprefix(f"{tasks_folder}/").removesuffix(".md")
        return _usable_id(unicodedata.normalize("NFC", below), "Rename the note, or give it an `id`")
    return _usable_id(unicodedata.normalize("NFC", text(given, "id")), "Use letters, digits, spaces, - _ . and /")


def _usable_id(name: str, fix: str) -> str:
    # "|" separates the parts of a run key.
    if "|" in name or not name.isprintable() or len(name) > 240:
        raise BadValue(f"{shown(name)} cannot be the name of a task", fix)
    return name


class _TaskReader:
    """Reads one task from its fields, in one pass, collecting every problem."""

    def __init__(self, fields: Fields, body: str, path: str, context: ParseContext) -> None:
        self._fields = fields
        self._body = body
        self._path = path
        self._context = context

    def read(self) -> Parsed:
        fields, context = self._fields, self._context
        zone = read_zone(fields, context.settings_timezone or context.default_timezone)
        switches = Switches(
            status=read_status(fields, Status),
            paused_until=read_paused_until(fields, zone),
            run_now=bool(fields.read("run_now", boolean)),
        )
        name = self._id()
        kind = self._type()
        written_zone = zone.key if fields.has("timezone") else context.settings_timezone or ""
        when = read_when(fields, zone, name, written_zone)
        action = read_action(fields, kind, self._body, context.callable_check)
        max_runs = fields.read("max_runs", partial(whole_number, minimum=1))
        gate = fields.read("gate", command_line)
        expected = read_expected(fields, self._path, context.system_folder)
        host = fields.read("host", text)
        answer = fields.read("answer", spoken) or ""
        options = read_policies(fields, POLICIES, context.system_folder)
        if context.notifiers is not None and host is None:
            warn_of_strangers(fields, options, context.notifiers, context.config)
        if context.secrets is not None and host is None:
            warn_of_missing_secrets(fields, options, context.secrets)
        task = None
        if kind and action and switches.status and not fields.failed:
            declared = self._declared()
            task = Task(
                id=name,
                path=self._path,
                type=kind,
                action=action,
                schedule=when.schedule,
                status=switches.status,
                paused_until=switches.paused_until,
                run_now=switches.run_now,
                answer=answer,
                on_start=when.reactions.on_start,
                after=when.reactions.after,
                after_outcome=when.reactions.after_outcome,
                on_change=when.reactions.on_change,
                debounce=when.reactions.debounce,
                max_runs=max_runs,
                gate=gate,
                expect_file=expected.file,
                expect_output=expected.output,
                host=host,
                timezone=zone.key,
                options=options,
                body=self._body,
                definition=fingerprint({"declared": _plain(declared), "body": self._body}),
                trigger_fingerprint=when.fingerprint,
                declared=Declared.of(declared),
            )
        return Parsed(task=task, problems=fields.sorted_problems(), switches=switches)

    def _id(self) -> str:
        try:
            return task_id(self._path, self._fields.values, self._context.tasks_folder)
        except BadValue as error:
            self._fields.error("id", error.message, error.fix)
            return ""

    def _type(self) -> TaskType | None:
        fields = self._fields
        if not fields.has("type"):
            verb = "Write" if fields.stands_empty("type") else "Add"
            fields.error("type", "is missing", f"{verb} `type: {self._likely_type()}` (command, python or claude)")
            return None
        named = fields.read("type", partial(word, words=_TYPES, hints=_TYPE_HINTS))
        return TaskType(named) if named else None

    def _likely_type(self) -> TaskType:
        for kind in (TaskType.COMMAND, TaskType.PYTHON):
            if any(KEYS[name].types == (str(kind),) for name in self._fields.values):
                return kind
        return TaskType.COMMAND if "```" in self._body else TaskType.CLAUDE

    def _declared(self) -> dict[str, Any]:
        """What the note declares: keys of ours by their right names, without switches and what we write."""
        return {
            name: value
            for name, value in self._fields.values.items()
            if not KEYS[name].ours and not KEYS[name].switch and TASK in KEYS[name].where
        }


_EXEC_LISTS = ("command", "gate")  # where a list of one is a program, and a text a line for the shell


def _plain(declared: Mapping[str, Any]) -> dict[str, Any]:
    """The same whether a property editor saved a value as a text or as a list of one."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 and name not in _EXEC_LISTS else value
        for name, value in declared.items()
    }
