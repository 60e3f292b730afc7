"""Every frontmatter key of the contract, once: what it takes, where it counts, whether this version has it.

The parser reads by this table, the key reference in docs/ is generated from it, and look-alikes are judged by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

TASK, SETTINGS = "task", "settings"
BOTH = (TASK, SETTINGS)
ALL_TYPES = ("command", "python", "claude")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One frontmatter key.

    `default` is what holds while it is unset, in the words of the reference. `ours`: written by the scheduler
    and never a part of the definition. `switch`: says whether a task runs, not what it does.
    """

    name: str
    group: str
    takes: str
    summary: str
    default: str = ""
    where: tuple[str, ...] = (TASK,)
    types: tuple[str, ...] = ALL_TYPES
    supported: bool = True
    ours: bool = False
    switch: bool = False
    policy: bool = False


GROUPS = {
    "when": "When (at least one)",
    "bounds": "Bounds",
    "what": "What and whether",
    "command": "Command tasks",
    "python": "Python tasks",
    "claude": "Claude tasks",
    "any": "Any type",
    "evidence": "Evidence",
    "results": "Results",
    "written": "Written by the scheduler",
    "settings": "Settings note only",
}

_DURATION = "duration"
_TEXT = "text"
_LIST = "text or list"
_FLAG = "true or false"
_COUNT = "whole number"
_MONEY = "US dollars"
_WHEN = "date or local date-time"
_PAIRS = "`name=value` list or mapping"


def _key(group: str, name: str, takes: str, summary: str, default: str = "", **more: object) -> Key:
    return Key(group=group, name=name, takes=takes, summary=summary, default=default, **more)  # type: ignore[arg-type]


def _when() -> Iterable[Key]:
    def key(name: str, takes: str, summary: str, default: str = "") -> Key:
        return _key("when", name, takes, summary, default)

    yield key("cron", _LIST, "cron expression of five fields, or a list of them; quote it")
    yield key("every", _DURATION, "fixed interval in elapsed time, from 1s: `15m`, `1h30m`")
    yield key("at", "local date-time or list", "once at each of these times: `2026-11-22T09:00`")
    yield key("on_start", _FLAG, "when the daemon starts, at most once in 10 minutes", "false")
    yield key("after", "link or list", 'after each run of these tasks: `"[[Fetch mail]]"`')
    yield key("after_outcome", "success, failure, any", "which outcome of such a run starts it", "success")
    yield key("on_change", _LIST, "when files that match these globs change: `Inbox/**`; `!` before one: not these")
    yield key("debounce", _DURATION, "how long nothing more must change before it starts", "30s")


def _bounds() -> Iterable[Key]:
    yield _key("bounds", "timezone", "IANA zone", "zone of all times of the task", "the vault's", where=BOTH)
    yield _key("bounds", "start", _WHEN, "no fire time before this; `every` counts from it")
    yield _key("bounds", "until", _WHEN, "no fire time after this; a date includes that day")
    yield _key("bounds", "max_runs", _COUNT, "done after so many runs; those that were asked for do not count")


def _what() -> Iterable[Key]:
    status = "active, paused, stopped (also cancels what runs) or done"
    yield _key("what", "type", "command, python, claude", "who runs the task")
    yield _key("what", "status", _TEXT, status, "active", where=BOTH, switch=True)
    yield _key("what", "enabled", _FLAG, "false means `status: paused`", "true", where=BOTH, switch=True)
    yield _key("what", "paused_until", _WHEN, "nothing starts before this", where=BOTH, switch=True)
    yield _key("what", "run_now", _FLAG, "tick it to run once now; the scheduler unticks it", "false", switch=True)
    yield _key("what", "id", _TEXT, "name of the task in history and commands", "path below tasks/, without .md")
    yield _key("what", "host", _TEXT, "the machine that runs it", "the vault's", where=BOTH)


def _actions() -> Iterable[Key]:
    command, python = ("command",), ("python",)
    yield _key(
        "command",
        "command",
        _LIST,
        "a text for `/bin/sh -c`, or a list: program and arguments",
        "the first fenced code block",
        types=command,
    )
    yield _key(
        "python",
        "call",
        "`package.module:function`",
        "the function, or the name of a built-in",
        "the first python code block",
        types=python,
    )
    yield _key("python", "args", _PAIRS, "keyword arguments of the function", types=python)
    yield _key("python", "python", _TEXT, "the Python interpreter", "the machine's", types=python)


def _claude() -> Iterable[Key]:
    def key(name: str, takes: str, summary: str, default: str = "", *, supported: bool = True) -> Key:
        return _key("claude", name, takes, summary, default, types=("claude",), supported=supported)

    yield key("permissions", "read-only, edit, full", "preset of tools", "edit")
    yield key("allowed_tools", _LIST, "tools on top of the preset")
    yield key("disallowed_tools", _LIST, "tools taken away")
    yield key("model", _TEXT, "the model", "the CLI's")
    yield key("fallback_model", _TEXT, "the model when the first is overloaded")
    yield key("max_turns", _COUNT, "turns after which the run fails")
    yield key("max_usd", _MONEY, "cap of one run with its retries", "0.50")
    yield key("max_usd_day", _MONEY, "cap of the task for one day")
    yield key(
        "session", "fresh, continue, a name", "new for each run, the task's last one, or one that tasks share", "fresh"
    )
    yield key("system_prompt", _TEXT, "added to the system prompt")
    servers = "JSON file of MCP servers (as `.mcp.json`) that the run uses and cannot do without; counts as shell"
    yield key("mcp_config", "path in the vault", servers)
    yield key("skills", _LIST, "only these skills of the vault", "all of them")
    yield key("add_dirs", _LIST, "folders beside the vault that the run may use, too")


def _policies() -> Iterable[Key]:
    def key(name: str, takes: str, summary: str, default: str = "", *, supported: bool = True) -> Key:
        return _key("any", name, takes, summary, default, where=BOTH, supported=supported, policy=supported)

    yield key("cwd", _TEXT, "working folder, relative to the vault", "the vault")
    yield key("env", _PAIRS, "environment variables: `[NAME=value]`")
    yield key("secrets", _LIST, "names of variables from the machine's env file")
    yield key("timeout", _DURATION, "awake time after which an attempt is ended", "1h")
    yield key("retries", _COUNT, "further attempts after a failure", "0")
    yield key("retry_delay", _DURATION, "wait before the first retry, doubling, at most 1h", "1m")
    yield key("overlap", "skip, queue, cancel, allow", "what a fire time does while the last run goes on", "skip")
    yield key("catch_up", "latest, skip, all", "which of several fire times that are due run", "latest")
    yield key("max_late", _DURATION, "later than this, a fire time is missed", "12h; 1d for `at` alone")
    yield key("pause_after", _COUNT, "pause after so many failures in a row; 0: never", "claude 5, others never")
    yield key("group", _TEXT, "tasks of one group run one at a time")


def _evidence() -> Iterable[Key]:
    yield _key(
        "evidence",
        "gate",
        _LIST,
        "command that is asked before each attempt: exit 0 goes on, 1 skips it, anything else is a failure",
    )
    file = "file of the vault that must have changed during the run, else it failed; may hold {{date}} and the like"
    yield _key("evidence", "expect_file", "path in the vault", file)
    words = "regular expression that must be found in what the run brought back, else it failed"
    yield _key("evidence", "expect_output", _TEXT, words)


def _results() -> Iterable[Key]:
    yield _key(
        "results",
        "output",
        "`Note.md`, `Note#Heading` or `daily-note#Heading`",
        "note that gets the output; may hold {{date}}, {{date:FORMAT}}, {{time}}, {{title}}",
        policy=True,
    )
    yield _key(
        "results",
        "log",
        "all, changes, failures, none",
        "which runs the note and the daily log show",
        "all",
        where=BOTH,
        policy=True,
    )
    yield _key("results", "keep_runs", _COUNT, "runs kept in the note", "20", where=BOTH, policy=True)
    topics = "failure, recovery, blocked, missed, problem, budget, success; or none"
    yield _key("results", "notify", topics, "what to tell you about", "all but success", where=BOTH, policy=True)
    names = "which notifiers of the machine's config.toml are told"
    yield _key("results", "notify_to", _LIST, names, "all of them", where=BOTH, policy=True)
    pinged = "Healthchecks: pinged (`/start`, the URL, `/fail`) when a run starts, succeeds, fails"
    yield _key("results", "ping_url", "URL", pinged, policy=True)


def _written() -> Iterable[Key]:
    for name, takes, summary in (
        ("last_run", "local date-time", "start of the last run, in the vault's zone"),
        ("last_status", _TEXT, "outcome of the last run"),
        ("next_run", "local date-time", "next fire time, in the vault's zone"),
        ("status_reason", _TEXT, "why the scheduler set `status`"),
        ("question", _TEXT, "what a blocked run asks"),
        ("answer", _TEXT, "your answer; cleared when it is taken"),
    ):
        yield _key("written", name, takes, summary, ours=True)


def _settings() -> Iterable[Key]:
    def key(name: str, takes: str, summary: str, default: str = "", *, supported: bool = True) -> Key:
        return _key("settings", name, takes, summary, default, where=(SETTINGS,), supported=supported)

    yield key("max_parallel", _COUNT, "runs at the same time", "4")
    yield key("max_claude", _COUNT, "Claude runs at the same time", "2")
    yield key("vault_max_usd_day", _MONEY, "cap of all tasks for one day", "5")
    yield key("note_quiet", _DURATION, "how long a note must be left alone before it counts or is written", "10s")
    yield key("note_interval", _DURATION, "at most one write to a note in this time", "30s")
    yield key(
        "daily_log_in", "own, daily-note", "where the daily log goes: a note of its own, or your daily note", "own"
    )
    yield key("daily_log_heading", _TEXT, "heading in your daily note below which it goes", "Scheduler")
    yield key("max_usage", "percent", "used part of the plan from which Claude tasks wait: `80`")
    yield key("daemon_ping_url", "URL", "pinged once a minute while the daemon compares what was due with what started")
    yield key("quiet_hours", "`22:00-07:00`", "hours in which messages wait, in the vault's zone")


_SOURCES = (_when, _bounds, _what, _actions, _claude, _policies, _evidence, _results, _written, _settings)
KEYS: dict[str, Key] = {key.name: key for source in _SOURCES for key in source()}
ALIASES = {"schedule": "cron", "tz": "timezone"}
TRIGGERS = ("cron", "every", "at", "on_start", "after", "on_change")
POLICIES = tuple(key.name for key in KEYS.values() if key.policy)

# What other schedulers, agents and models call our keys. Only names that a person would hardly give to a
# property of their own.
FOREIGN = {
    "permission_mode": "permissions",
    "permission": "permissions",
    "tools": "allowed_tools",
    "max_budget_usd": "max_usd",
    "max_budget": "max_usd",
    "max_cost": "max_usd",
    "max_cost_usd": "max_usd",
    "budget": "max_usd",
    "budget_usd": "max_usd",
    "append_system_prompt": "system_prompt",
    "mcp_servers": "mcp_config",
    "resume": "session",
    "session_id": "session",
    "interval": "every",
    "frequency": "every",
    "cron_expression": "cron",
    "cron_schedule": "cron",
    "crontab": "cron",
    "run_at": "at",
    "run_on_start": "on_start",
    "run_on_startup": "on_start",
    "start_date": "start",
    "end": "until",
    "end_date": "until",
    "time_zone": "timezone",
    "disabled": "enabled",
    "paused": "status",
    "active": "status",
    "hostname": "host",
    "machine": "host",
    "shell": "command",
    "cmd": "command",
    "exec": "command",
    "script": "command",
    "function": "call",
    "entrypoint": "call",
    "callable": "call",
    "kwargs": "args",
    "arguments": "args",
    "interpreter": "python",
    "workdir": "cwd",
    "working_dir": "cwd",
    "working_directory": "cwd",
    "environment": "env",
    "timeout_seconds": "timeout",
    "max_runtime": "timeout",
    "max_retries": "retries",
    "retry": "retries",
    "retry_count": "retries",
    "retry_backoff": "retry_delay",
    "concurrency": "overlap",
    "concurrency_policy": "overlap",
    "misfire_grace_time": "max_late",
    "coalesce": "catch_up",
    "catchup": "catch_up",
    "depends_on": "after",
    "watch": "on_change",
    "output_file": "output",
    "logging": "log",
    "notifications": "notify",
    "webhook": "notify_to",
    "healthcheck_url": "ping_url",
}
# Values of other dialects' switches that forbid to run. The rest of FOREIGN is only pointed out, but running a task
# that its note calls paused would be the worst way of not understanding it.
FORBIDDING = {"disabled": True, "paused": True, "active": False}
# `prompt` has no key of ours: its place is the body.
PROMPT = "prompt"


def reference() -> str:
    """The key reference as markdown: docs/keys.md is exactly this."""
    parts = [_HEAD if all(key.supported for key in KEYS.values()) else f"{_HEAD} {_MARKED}"]
    for group, title in GROUPS.items():
        rows = [_row(key) for key in KEYS.values() if key.group == group]
        parts.append(f"## {title}\n\n| key | takes | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows))
    return "\n\n".join([*parts, _tail()]) + "\n"


_HEAD = """\
# Keys

<!-- Generated from vault_scheduler/parsing/keys.py: edit there. -->

The seven that people need: `type`, `cron` (or `every`, `at`), `status`, `run_now`, `output`, `max_usd`, `notify`.

A key without a value is unset. A list of one counts as its element. Durations need a unit (`30s`, `15m`, `1h30m`,
`2d`, `1w`). Times are local to the task's `timezone`. Keys marked ⚙ can stand in the settings note too, as the
vault's own value or as the default of all tasks."""
_MARKED = """\
Keys marked ✗ are not supported by this version: a note that sets one is a problem, and its task does not run."""


def _row(key: Key) -> str:
    marks = (" ⚙" if key.where == BOTH else "") + ("" if key.supported else " ✗")
    only = "" if key.types == ALL_TYPES or key.group in ALL_TYPES else f" ({', '.join(key.types)})"
    return f"| `{key.name}`{marks} | {key.takes} | {key.default} | {key.summary}{only} |"


def _tail() -> str:
    aliases = ", ".join(f"`{alias}` = `{name}`" for alias, name in ALIASES.items())
    foreign = ", ".join(f"`{other}` → `{name}`" for other, name in sorted(FOREIGN.items()))
    return (
        f"## Other names\n\nAccepted: {aliases}. Pointed out with the right name, and not read: {foreign}, "
        f"`{PROMPT}` → the body of the note.\n\nAll other keys are yours and left alone."
    )
