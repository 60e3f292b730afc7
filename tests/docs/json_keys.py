"""What `--json` prints, key by key: the schemas in docs/schemas and the page docs/json.md are made of this table.

A kind is a JSON type, `time` (ISO 8601 with offset), `date`, words that are possible (`a|b`), the name of another
object, a list of one (`[run]`) or an object of any keys with values of one kind (`{string}`); `?`: or null.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vault_scheduler.commands.health import Grade
from vault_scheduler.planning.standing import State
from vault_scheduler.run import Outcome, RunState, TriggerKind
from vault_scheduler.task import Severity, Status, TaskType

Keys = dict[str, tuple[str, str]]

OUTCOME = "|".join(Outcome)
PROBLEM: Keys = {
    "path": ("string", "the note, relative to the vault"),
    "line": ("integer", "from 1"),
    "key": ("string", "the property that it is about; empty where it is about none"),
    "severity": ("|".join(Severity), "a task with an error does not run"),
    "message": ("string", "what is wrong"),
    "fix": ("string", "what to write instead"),
}
ITEM: Keys = {
    "task": ("string", "the task's id"),
    "path": ("string", "its note, relative to the vault"),
    "type": ("string?", f"`{'`, `'.join(TaskType)}`; as written where the note is invalid"),
    "status": ("string?", f"`{'`, `'.join(Status)}`; as written where the note is invalid"),
    "state": ("|".join(State), "how it stands, all things considered"),
    "state_reason": ("string", "why it stands so, in words"),
    "schedule": ("string?", "as `list` shows it; null where the note is invalid"),
    "timezone": ("string?", "IANA name; the times of this object are in it"),
    "next_run": ("time?", "null where nothing would start"),
    "problems": ("[problem]", "what is wrong with the note"),
}
RUN: Keys = {
    "run": ("string", "its id, which is also its block id in the note"),
    "task": ("string", "the task's id"),
    "path": ("string", "the note when it was claimed"),
    "trigger": ("|".join(TriggerKind), "what made it due: the clock (`at`), somebody (`req`), another run, a change …"),
    "fire_time": ("time", "the instant that the trigger names; of a range the first"),
    "last_fire_time": ("time", "of a range the last; else the same"),
    "started_at": ("time?", "start of the first attempt"),
    "ended_at": ("time?", "null while it has not ended"),
    "state": ("|".join(RunState), "how far it is"),
    "waiting_for": ("string?", "`slot`, `group`, `quota`, `retry` …, while it waits"),
    "waits_until": ("time?", "not before then, where that is known"),
    "outcome": (f"{OUTCOME}?", "null while it has not ended"),
    "attempts": ("integer", "0: it never started"),
    "duration_s": ("number?", "wall time from the first attempt's start to the end"),
    "exit_code": ("integer?", "of a command or a python task"),
    "cost_usd": ("number?", "of a Claude task"),
    "reason": ("string", "why it ended so; empty for a plain success"),
    "count": ("integer", "fire times that this row stands for: more than 1 for a range that did not start"),
    "delivered": ("boolean", "whether its notes tell of it"),
}
HELD: Keys = {
    "task": ("string", "the task's id"),
    "path": ("string", "its note"),
    "why": ("string", "why it is held"),
}
FIRES: Keys = {
    "timezone": ("string", "IANA name of the zone that the times are in"),
    "fire_times": ("[time]", "ascending, strictly after `--from`"),
}
OPEN: Keys = {
    "about": ("string", "the task, the note or the part of the machine"),
    "topic": ("string", "`failure`, `blocked`, `missed`, `problem`, `budget`"),
    "what": ("string", "in words"),
    "since": ("time", "when it began"),
    "count": ("integer", "how often since"),
    "told_at": ("time?", "when somebody was last told"),
    "silenced": ("boolean", "by `ack`, until it has ended"),
}
OBJECTS: dict[str, Keys] = {
    "problem": PROBLEM,
    "run": RUN,
    "held": HELD,
    "fire": {"task": ("string", "the task's id"), "fire_time": ("time", "when it fires")},
    "question": {
        "task": ("string", "the task's id"),
        "run": ("string", "the run that asked"),
        "question": ("string", "what it asks"),
        "asked_at": ("time", "when"),
    },
    "foreseen": {
        "task": ("string", "the task's id"),
        "run": ("string?", "its id, of a run that was claimed already"),
        "trigger": ("|".join(TriggerKind), "what makes it due"),
        "parent": ("string?", "the task that it comes after"),
        "fire_time": ("time", "of a range the first"),
        "last_fire_time": ("time", "of a range the last; else the same"),
        "count": ("integer", "fire times that this row stands for"),
        "starts_at": ("time?", "null where it does not start in time"),
        "ends_at": ("time?", "as long as its last runs took"),
        "waits_for": ("string?", "`slot`, `group` …"),
        "waits_s": ("number", "how long"),
        "outcome": (OUTCOME, "what would come of it, if it succeeds once it starts"),
        "reason": ("string", "why it does not start or is cut short"),
        "duration_source": ("string?", "where the length of time is from: its `history`, its `type` …"),
    },
    "day": {
        "day": ("date", "in the vault's zone"),
        "max_usd": ("number", "what the runs of the day may cost at most"),
        "spent_usd": ("number", "what is spent already"),
    },
    "resting": {
        "task": ("string", "the task's id"),
        "state": ("|".join(State), "how it stands"),
        "reason": ("string", "why"),
    },
}


@dataclass(frozen=True)
class Page:
    """What one command prints. `form`: "object" or "list" of such objects."""

    command: str
    keys: Keys
    form: str = "object"
    what: str = ""
    optional: tuple[str, ...] = ()


NEXT_RUN_KEYS: Keys = {
    "last_run": ("time?", "start of the last run that started"),
    "last_outcome": (f"{OUTCOME}?", "what came of it"),
    "running": ("string?", "id of the run that goes on or waits"),
    "question": ("string?", "that waits for an answer"),
}
PAGES: dict[str, Page] = {
    "list": Page("list", {**ITEM, **NEXT_RUN_KEYS}, "list", "One object for each task note, by name."),
    "show": Page(
        "show TASK",
        {
            **ITEM,
            "question": ("string?", "that waits for an answer"),
            "schedule_words": ("[string]", "the schedule in words"),
            "fire_times": ("[time]", "the next three"),
            "definition": ("{any}", "the note's properties as they were read"),
            "runs": ("[run]", "the newest five, newest first"),
        },
    ),
    "next-cron": Page(
        "next --cron EXPR",
        {
            "cron": ("string", "the expression as it was given"),
            "depends_on_task": ("boolean", "only there, and true, where `H` gives each task a time of its own"),
            **FIRES,
        },
        optional=("depends_on_task",),
    ),
    "next-task": Page(
        "next TASK",
        {"task": ("string", "the task's id"), "schedule": ("string?", "as `list` shows it"), **FIRES},
    ),
    "next": Page(
        "next",
        {
            "timezone": FIRES["timezone"],
            "next": ("[fire]", "the next fire times in the vault, ascending"),
            "later": ("[fire]", "the first of each task that is not among them, ascending"),
        },
    ),
    "forecast": Page(
        "forecast",
        {
            "from": ("time", "what comes after this is told"),
            "until": ("time", "up to here"),
            "complete": ("boolean", "false: there was too much to look as far as was asked for"),
            "timezone": ("string", "IANA name of the zone that the times are in"),
            "daemon": ("boolean", "one serves the vault"),
            "runs": ("[foreseen]", "by fire time"),
            "days": ("[day]", "what they may cost"),
            "vault_max_usd_day": ("number", "the cap of a day"),
            "not_running": ("[resting]", "tasks that start nothing"),
            "unforeseen": ("{[string]}", "tasks whose starts nobody knows ahead, by why"),
            "gated": ("[string]", "tasks whose `gate` is taken to open"),
            "clock_changes": ("[time]", "when the clocks are set meanwhile"),
        },
    ),
    "history": Page("history [TASK]", RUN, "list", "Runs, newest first. Fire times that did not start are among them."),
    "check": Page("check [PATH…]", PROBLEM, "list", "Exit code 1 if there are any."),
    "status": Page(
        "status",
        {
            "alive": ("boolean", "a daemon looked at the vault within 90 s"),
            "pid": ("integer?", "of whoever holds the vault's lock"),
            "draining": ("string?", "why it starts nothing any more and waits for what runs, if it does"),
            "host": ("string", "this machine"),
            "vault": ("string", "the vault's folder"),
            "started_at": ("string?", "since when, ISO 8601"),
            "last_pass": ("time?", "when what was due was last compared with what started"),
            "status": ("active|paused|stopped", "of the vault as a whole"),
            "tasks": ("integer", "how many there are"),
            "running": ("[run]", "what runs now"),
            "waiting": ("[run]", "what was claimed and waits"),
            "problems": ("[problem]", "errors in notes"),
            "held": ("[held]", "what waits for approval"),
            "undelivered": ("integer", "results that have not reached their notes yet"),
            "questions": ("[question]", "what waits for an answer"),
            "troubles": ("[string]", "what keeps the daemon from its work"),
            "cost_today_usd": ("number", "what Claude tasks cost today"),
        },
        what="Exit code 1 if the daemon does not live or something is wrong.",
    ),
    "doctor": Page(
        "doctor",
        {
            "about": ("string", "what was looked at"),
            "grade": ("|".join(Grade), "only a fault ends with exit code 1"),
            "text": ("string", "what was found"),
            "cure": ("string", "what to do"),
        },
        "list",
    ),
    "approve": Page("approve", HELD, "list", "Without names: what waits for approval."),
    "ack": Page("ack [TASK…]", OPEN, "list", "What is open; with names, what was silenced."),
    "restore": Page(
        "restore",
        {
            "task": ("string", "the task's id"),
            "path": ("string", "its note"),
            "state": ("string", "`gone`, `broken`, `changed` …"),
            "kept_at": ("time", "when its last good text was kept"),
            "run": ("string?", "the run of its own before which that was"),
        },
        "list",
        "Without a task: what can be restored.",
    ),
    "restore-list": Page(
        "restore --list TASK",
        {
            "number": ("integer", "for `--number`"),
            "kept_at": ("time", "when it was kept"),
            "run": ("string?", "the run of its own before which that was"),
            "replaced": ("boolean", "a restoring replaced it"),
            "is_now": ("boolean", "it is what the note says now"),
        },
        "list",
    ),
    "daemon-log": Page(
        "daemon --log-format json",
        {
            "at": ("time", "when"),
            "event": ("string", "`started`, an outcome, `problem`, `watching` …"),
            "subject": ("string", "the task, the note or the part that it is about"),
            "message": ("string", "in words"),
        },
        what="One object a line.",
    ),
}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of one page."""
    page = PAGES[name]
    one = _object(page.keys, page.optional)
    used = sorted(_used(page.keys))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"vault-sched {page.command}" + (" --json" if name != "daemon-log" else ""),
        **({"type": "array", "items": one} if page.form == "list" else one),
        **({"$defs": {each: _object(OBJECTS[each]) for each in used}} if used else {}),
    }


def _object(keys: Keys, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [key for key in keys if key not in optional],
        "properties": {key: {**_kind(kind), "description": what} for key, (kind, what) in keys.items()},
    }


def _kind(kind: str) -> dict[str, Any]:
    if kind.endswith("?"):
        inner = _kind(kind[:-1])
        if "enum" in inner:
            return {"enum": [*inner["enum"], None]}
        return {**inner, "type": [inner["type"], "null"]}
    if kind[0] == "[":
        return {"type": "array", "items": _kind(kind[1:-1])}
    if kind[0] == "{":
        return {"type": "object", **({"additionalProperties": _kind(kind[1:-1])} if kind != "{any}" else {})}
    if kind in ("time", "date"):
        return {"type": "string", "format": "date-time" if kind == "time" else "date"}
    if "|" in kind:
        return {"enum": kind.split("|")}
    return {"$ref": f"#/$defs/{kind}"} if kind in OBJECTS else {"type": kind}


def _used(keys: Keys) -> Iterator[str]:
    return (kind.strip("[]?{}") for kind, _ in keys.values() if kind.strip("[]?{}") in OBJECTS)


HEAD = """# JSON

<!-- generated by `python -m tests.docs.test_json_page`; do not edit -->

What the commands print with `--json`, for scripts. These keys stay: later versions may add others beside them, so a
script should ignore what it does not know. Times are ISO 8601 with the offset of the zone that the object names, or of
the vault. The schemas (JSON Schema 2020-12) are in [schemas](schemas/); the tests hold what the commands really print
against them, key by key.
"""


def page() -> str:
    """docs/json.md."""
    parts = [HEAD, *(_section(name, page) for name, page in PAGES.items()), "## Objects within\n"]
    parts += [f"### {name}\n\n{_table(keys)}" for name, keys in OBJECTS.items()]
    return "\n".join(parts)


def _section(name: str, page: Page) -> str:
    command = f"vault-sched {page.command}" + (" --json" if name != "daemon-log" else "")
    form = "A list of objects." if page.form == "list" else "An object."
    told = " ".join(part for part in (form, page.what, f"[Schema](schemas/{name}.schema.json)") if part)
    return f"## {name}\n\n`{command}`\n\n{told}\n\n{_table(page.keys)}"


def _table(keys: Keys) -> str:
    rows = [f"| `{key}` | {_told(kind)} | {what} |" for key, (kind, what) in keys.items()]
    return "\n".join(["| key | value | meaning |", "|---|---|---|", *rows, ""])


def _told(kind: str) -> str:
    bare, null = kind.removesuffix("?"), " or null" if kind.endswith("?") else ""
    if bare[0] == "[":
        return f"list of {_told(bare[1:-1])}{null}"
    if bare[0] == "{":
        return "object"
    if "|" in bare:
        return ", ".join(f"`{word}`" for word in bare.split("|")) + null
    return (f"[{bare}](#{bare})" if bare in OBJECTS else bare) + null
