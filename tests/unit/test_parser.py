"""From notes to tasks: every key right and wrong, all problems at once, fingerprints, rebuilding."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.keys import KEYS, TASK
from vault_scheduler.parsing.parser import ParseContext, Parsed, parse_mapping, parse_task, rebuild, source_of
from vault_scheduler.task import (
    CatchUp,
    ClaudeAction,
    CommandAction,
    Overlap,
    Permissions,
    Problem,
    PythonAction,
    Severity,
    Status,
    Task,
    TaskType,
)

PATH = "00_system/tasks/daily/briefing.md"
BERLIN = ParseContext(default_timezone="Europe/Berlin")


def parse(text: str, context: ParseContext = BERLIN, path: str = PATH) -> Parsed:
    return parse_task(Document.parse(text.encode("utf-8", "surrogateescape")), path, context)


def note(*properties: str, body: str = "Write it.") -> str:
    return "\n".join(["---", *properties, "---", body, ""])


def command(*properties: str) -> str:
    return note("type: command", "command: date", "every: 1h", *properties)


def claude(*properties: str, body: str = "Write it.") -> str:
    return note("type: claude", "every: 1h", *properties, body=body)


def task_of(text: str, context: ParseContext = BERLIN, path: str = PATH) -> Task:
    parsed = parse(text, context, path)
    assert parsed.task is not None, [str(problem) for problem in parsed.problems]
    return parsed.task


def only_problem(text: str, context: ParseContext = BERLIN) -> Problem:
    parsed = parse(text, context)
    assert len(parsed.problems) == 1, [str(problem) for problem in parsed.problems]
    return parsed.problems[0]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


EXAMPLE = """---
type: claude
cron: "0 7 * * 1-5"
timezone: Europe/Berlin
status: active
run_now: false
output: "Briefings/{{date}}.md"
max_usd: 0.50
tags: [work]
---
Write today's briefing.

## Runs
> [!success]- 2026-11-20 07:00 · 41 s · $0.11
> Briefing written
>
> ^r-20261120T060000Z-3f9a1c
"""


def test_example_note_is_the_task_that_it_shows() -> None:
    """The note of the documentation, key by key."""
    task = task_of(EXAMPLE)
    assert (task.id, task.path, task.type, task.status) == ("daily/briefing", PATH, TaskType.CLAUDE, Status.ACTIVE)
    assert task.action == ClaudeAction(max_usd=0.5)
    assert task.options == {"output": "Briefings/{{date}}.md"}
    assert (task.body, task.timezone, task.run_now) == ("Write today's briefing.", "Europe/Berlin", False)
    assert task.schedule.next_after(utc("2026-11-20T06:00:00")) == utc("2026-11-23T06:00:00")
    assert set(task.declared) == {"type", "cron", "timezone", "output", "max_usd"}


RIGHT: list[tuple[str, str, Any]] = [
    # property, attribute path of the task, value
    ("type: claude", "type", TaskType.CLAUDE),
    ("status: paused", "status", Status.PAUSED),
    ("status: Stopped", "status", Status.STOPPED),
    ("status: done", "status", Status.DONE),
    ("status:", "status", Status.ACTIVE),  # a bare key is unset
    ('status: ""', "status", Status.ACTIVE),  # as a property editor leaves it
    ("enabled: false", "status", Status.PAUSED),
    ("enabled: true", "status", Status.ACTIVE),
    ("paused_until: 2026-12-01", "paused_until", utc("2026-11-30T23:00:00")),
    ("paused_until: 2026-12-01T08:00", "paused_until", utc("2026-12-01T07:00:00")),
    ("run_now: true", "run_now", True),
    ('run_now: "true"', "run_now", True),
    ("id: nightly", "id", "nightly"),
    ("id: 2026", "id", "2026"),
    ("host: laptop", "host", "laptop"),
    ("timezone: Asia/Tokyo", "timezone", "Asia/Tokyo"),
    ("tz: Asia/Tokyo", "timezone", "Asia/Tokyo"),
    ("on_start: true", "on_start", True),
    ("start: 2026-12-01", "schedule.start", utc("2026-11-30T23:00:00")),
    ("until: 2026-12-01", "schedule.until", utc("2026-12-01T22:59:59") + timedelta(microseconds=999999)),
    ("until: 2026-12-01T18:00:00", "schedule.until", utc("2026-12-01T17:00:00")),
    ("permissions: read-only", "action.permissions", Permissions.READ_ONLY),
    ("permissions: read_only", "action.permissions", Permissions.READ_ONLY),
    ("permissions: full", "action.permissions", Permissions.FULL),
    ("allowed_tools: [WebFetch, 'Bash(git log:*)']", "action.allowed_tools", ("WebFetch", "Bash(git log:*)")),
    ("disallowed_tools: Write", "action.disallowed_tools", ("Write",)),
    ("model: opus", "action.model", "opus"),
    ("fallback_model: haiku", "action.fallback_model", "haiku"),
    ("max_turns: 20", "action.max_turns", 20),
    ("max_usd: 2", "action.max_usd", 2.0),
    ("max_usd_day: 3.5", "action.max_usd_day", 3.5),
    ("session: fresh", "action.session", "fresh"),
    ("session: Continue", "action.session", "continue"),
    ("session: weekly review", "action.session", "weekly review"),
    ("system_prompt: Be brief.", "action.system_prompt", "Be brief."),
    ("cwd: Projects/a b", "options.cwd", "Projects/a b"),
    ("env: [A=1]", "options.env", (("A", "1"),)),
    ("secrets: TOKEN", "options.secrets", ("TOKEN",)),
    ("secrets: []", "options.secrets", ()),  # set, to nothing: the vault's default does not count
    ("timeout: 5m", "options.timeout", timedelta(minutes=5)),
    ("timeout: [5m]", "options.timeout", timedelta(minutes=5)),
    ("retries: 2", "options.retries", 2),
    ("retry_delay: 30s", "options.retry_delay", timedelta(seconds=30)),
    ("overlap: skip", "options.overlap", Overlap.SKIP),
    ("catch_up: all", "options.catch_up", CatchUp.ALL),
    ("max_late: 2d", "options.max_late", timedelta(days=2)),
    ("pause_after: 0", "options.pause_after", 0),
    ("output: Log#News", "options.output", "Log.md#News"),
    ("log: failures", "options.log", "failures"),
    ("keep_runs: 5", "options.keep_runs", 5),
]


@pytest.mark.parametrize(("line", "attribute", "value"), RIGHT)
def test_good_value_is_read(line: str, attribute: str, value: object) -> None:
    """Every supported key, as people write it."""
    extra = [] if line.startswith("type:") else ["type: claude"]
    found: Any = task_of(note(*extra, "every: 1h", line))
    for name in attribute.split("."):
        found = found[name] if isinstance(found, Mapping) else getattr(found, name)
    assert found == value


WRONG: list[tuple[str, str, str]] = [
    # property, part of the message, part of the fix
    ("type: comand", "not a known value", "`type: command`"),
    ("type: shell", "not a known value", "`type: command`"),
    ("type: agent", "not a known value", "`type: claude`"),
    ("type: index", "not a known value", "command, python, claude"),
    ("type: [command, python]", "not a list of 2", "`type: command`"),
    ("status: pasued", "not a known value", "`status: paused`"),
    ("status: disabled", "not a known value", "`status: paused`"),
    ("status: off", "not a known value", "`status: paused`"),
    ("enabled: off", "text, not true or false", "`enabled: false`"),
    ("run_now: yes", "text, not true or false", "`run_now: true`"),
    ("paused_until: tomorrow", "not a date", "2026-11-22"),
    ("paused_until: 2026-02-30", "there is no 2026-02-30", "2026-02-28"),
    ("id: a|b", "cannot be the name", "letters"),
    ("host: [a, b]", "not a list of 2", "`host: a`"),
    ("timezone: Europe/Berln", "not a known time zone", "Europe/Berlin"),
    ("timezone: UTC+2", "not a known time zone", ""),
    ("timezone: CEST", "not a known time zone", "Europe/Berlin"),
    ("on_start: 1", "not true or false", "`on_start: true`"),
    ("start: 2026-13-01", "no month 13", "01 to 12"),
    ("until: 7:30", "no date", "cron"),
    ("permissions: acceptEdits", "not a known value", "`permissions: edit`"),
    ("permissions: bypassPermissions", "not a known value", "`permissions: full`"),
    ("permissions: plan", "not a known value", "`permissions: read-only`"),
    ("allowed_tools: Read, Grep", "one text, not a list", "[Read, Grep]"),
    ("allowed_tools: [[Read]]", "needs quotes", ""),
    ("disallowed_tools: ['*']", "not the name of a tool", "Read"),
    ("model: 4.5", "not text", 'model: "4.5"'),
    ("fallback_model: {a: b}", "not a mapping", ""),
    ("max_turns: 0", "too low", "`max_turns: 1`"),
    ("max_turns: many", "not a whole number", "`max_turns: 20`"),
    ("max_usd: $1", "more than a number", "`max_usd: 1`"),
    ("max_usd: 0", "no run start", "`max_usd: 0.5`"),
    ("max_usd: .nan", "not an amount", "`max_usd: 0.5`"),
    ("max_usd_day: -1", "negative", "`max_usd_day: 1`"),
    ("max_usd_day: 0.10", "below `max_usd`", "`max_usd_day: 0.5`"),
    ("session: resume", "the name of a shared session", "`session: continue`"),
    ("session: a/b", "cannot be the name of a session", "`session: continue`"),
    ("system_prompt: [a, b]", "not a list of 2", ""),
    ("cwd: [a, b]", "not a list of 2", ""),
    ("env: A", "not `name=value`", "`env: [A=value]`"),
    ("env: [MY-VAR=1]", "cannot be the name", "MY_VAR"),
    ("secrets: [A=hunter22]", "no place for secrets", "`secrets: [A]`"),
    ("secrets: A, B", "takes a list", "[A, B]"),
    ("timeout: 30", "no unit", "`timeout: 30s`"),
    ("timeout: 0", "no unit", "`timeout: 30s`"),
    ("timeout: 0s", "too short", "`timeout: 1s`"),
    ("timeout: -5m", "negative", "`timeout: 5m`"),
    ("retries: two", "not a whole number", "`retries: 1`"),
    ("retries: -1", "too low", "`retries: 0`"),
    ("retry_delay: 2h", "too long", "`retry_delay: 1h`"),
    ("overlap: quue", "not a known value", "`overlap: queue`"),
    ("overlap: kill", "not a known value", "skip"),
    ("catch_up: lastest", "not a known value", "`catch_up: latest`"),
    ("max_late: 12", "no unit", "`max_late: 12h`"),
    ("pause_after: never", "not a whole number", ""),
    ("output: Note", "not a note", "`output: Note.md`"),
    ("output: ../Note.md", "outside of the vault", "Folder/Note.md"),
    ("output: 00_system/scripts/x.md", "protected", ""),
    ("log: errors", "not a known value", "failures"),
    ("keep_runs: 0", "keep no run", "`log: none`"),
    ("cron: 0 7 * *", "4 fields", "five"),
    ("cron: “0 7 * * *”", "curly quotes", '"0 7 * * *"'),
    ("cron: 5", "1 field", ""),
    ('cron: "0 0 30 2 *"', "never fire", ""),
    ("at: 2026-02-30T09:00", "there is no 2026-02-30", "2026-02-28"),
    ("at: 2026-11-22", "no time of day", "2026-11-22T09:00"),
    ("at: 2026-11-22T09:00+01:00", "offset", "timezone"),
    ("at: [2026-11-22T09:00, later]", "not a date", ""),
    ("every: 30", "no unit", "`every: 30m`"),
    ("every: 0s", "too short", "`every: 1s`"),
    ("every: 500ms", "not a duration", ""),
    ("schedule: 0 7 * *", "4 fields", "five"),
]


@pytest.mark.parametrize(("line", "message", "fix"), WRONG)
def test_bad_value_is_a_problem_with_line_and_cure(line: str, message: str, fix: str) -> None:
    """Every key with a value that it cannot take: one problem, on its line, with what to write instead."""
    key = line.split(":")[0]
    lines = ["# a comment", line]
    lines += [] if key == "type" else ["type: claude"]
    lines += ["every: 1h"] if key != "every" else []
    problem = only_problem(note(*lines))
    assert (problem.path, problem.line, problem.key) == (PATH, 3, key)
    assert problem.severity is Severity.ERROR
    assert message in problem.message
    assert fix in problem.fix
    assert problem.fix


@pytest.mark.parametrize("line", [b"command: echo \xff", b"env: [A=\xe4]", b"env:\n  A: \xe4", b"output: \xfc.md"])
def test_value_that_is_no_utf8_is_a_problem(line: bytes) -> None:
    """Bytes that nobody could read would run as other ones."""
    doc = Document.parse(b'---\ntype: command\ncron: "0 7 * * *"\n' + line + b"\n---\n```sh\nx\n```\n")
    (problem,) = parse_task(doc, PATH, BERLIN).problems
    assert (problem.line, problem.is_error, "no UTF-8" in problem.message) == (4, True, True)


def test_key_of_the_users_own_may_hold_any_bytes() -> None:
    """Other keys are left alone, whatever they hold."""
    doc = Document.parse(b'---\ntype: claude\ncron: "0 7 * * *"\nauthor: M\xfcller\n---\nWrite it.\n')
    assert parse_task(doc, PATH, BERLIN).problems == ()


@pytest.mark.parametrize("key", [key.name for key in KEYS.values() if not key.supported and TASK in key.where])
def test_key_that_is_not_built_yet_is_a_problem(key: str) -> None:
    """A gate or a cap that is read but ignored would be a lie: the task does not run."""
    problem = only_problem(command(f"{key}: x"))
    assert problem.is_error
    assert problem.message == "is not supported by this version"
    assert f"Remove `{key}`" in problem.fix
    assert parse(command(f"{key}:")).problems == ()  # unset


@pytest.mark.parametrize("key", [key.name for key in KEYS.values() if key.ours])
@pytest.mark.parametrize("value", ["x", "[1, {a: b}]", "2026-13-45", ""])
def test_what_the_scheduler_writes_is_never_a_problem(key: str, value: str) -> None:
    """Our own keys take anything and are no part of the definition."""
    plain, written = task_of(command()), parse(command(f"{key}: {value}"))
    assert written.problems == ()
    assert written.task is not None
    assert (written.task.definition, written.task.declared) == (plain.definition, plain.declared)


def test_all_problems_are_told_at_once() -> None:
    """One look at a note shows everything that is wrong, in the order of the lines."""
    parsed = parse(
        note("type: clade", "cron: 5 * * *", "timeout: 5", "max_usd: $1", "notify: x", "retires: 1", body="")
    )
    assert [(p.line, p.key, p.severity.value) for p in parsed.problems] == [
        (2, "type", "error"),
        (3, "cron", "error"),
        (4, "timeout", "error"),
        (5, "max_usd", "error"),
        (6, "notify", "error"),
        (7, "retires", "warning"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("---\ntype: command\ncron: */5 * * * *\n---\n```sh\nx\n```\n", 3, ""),  # unquoted
        ("---\ntype: command\ntype: claude\n---\n", 3, ""),  # duplicate key
        ("---\ntype: command\n", 1, ""),  # unclosed fence
        ("---\n<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n---\n", 2, "conflict"),
        ("---\ntype: \0\n---\n", 2, "NUL"),
        ("", 1, "empty"),
    ],
)
def test_note_that_cannot_be_read_is_one_problem(text: str, line: int, message: str) -> None:
    """YAML errors and broken files come with their line and a cure."""
    problem = only_problem(text)
    assert problem.line == line
    assert message in problem.message
    assert problem.fix
    assert parse(text).switches is None


def test_names_of_notifiers_that_this_machine_does_not_have_are_pointed_out() -> None:
    """A warning with the near name, or what to write where; where another machine runs the task, that one knows."""
    note_text = "---\ntype: command\ncommand: x\ncron: 0 7 * * *\nnotify_to: [phone, mial]\n---\n"
    document = Document.parse(note_text.encode())
    parsed = parse_task(document, "00_system/tasks/x.md", ParseContext(notifiers=("phone", "mail")))
    [problem] = parsed.problems
    assert (problem.line, problem.key, problem.severity) == (5, "notify_to", "warning")
    assert problem.message == "this machine has no notifier `mial`"
    assert problem.fix == "Did you mean mail?"
    assert parsed.task is not None
    first, second = parse_task(document, "00_system/tasks/x.md", ParseContext(notifiers=())).problems
    assert first.message == "this machine has no notifier `phone`, so nobody is told"
    assert (first.severity, first.fix) == ("warning", 'Write `phone = "…"` into config.toml, below [notify].')
    assert "`mial`" in second.message
    assert parse_task(document, "00_system/tasks/x.md", ParseContext()).problems == ()


def test_secrets_that_the_machine_does_not_have_are_pointed_out() -> None:
    """A warning with the cure, on the machine that runs the task; elsewhere nobody can know."""
    note_text = "---\ntype: command\ncommand: x\ncron: 0 7 * * *\nsecrets: [TOKEN, GITHUB_TOKN]\n---\n"
    document = Document.parse(note_text.encode())
    known = ParseContext(secrets=("GITHUB_TOKEN",))
    assert [(item.message, item.fix, item.severity) for item in parse_task(document, "x.md", known).problems] == [
        (
            "there is no secret `TOKEN` in the env file",
            "Write a line `TOKEN=…` into the machine's env file.",
            "warning",
        ),
        ("there is no secret `GITHUB_TOKN` in the env file", "Did you mean GITHUB_TOKEN?", "warning"),
    ]
    assert parse_task(document, "x.md", ParseContext()).problems == ()
    elsewhere = Document.parse(note_text.replace("cron", "host: laptop\ncron").encode())
    assert parse_task(elsewhere, "x.md", known).problems == ()


@pytest.mark.parametrize(
    "text", ["Just text.\n", "---\n---\nText.\n", "---\ntags: [doc]\nauthor: me\n---\n# About tasks\n"]
)
def test_page_that_declares_nothing_is_no_task(text: str) -> None:
    """A page without any key of ours below the tasks folder is left alone."""
    parsed = parse(text)
    assert parsed == Parsed()
    assert not parsed.is_task_note


def test_page_whose_keys_are_all_misspelled_is_a_task_note() -> None:
    """Somebody meant a task: it must not be passed over in silence."""
    parsed = parse(note("typ: claude", "crn: 0 7 * * *"))
    assert parsed.is_task_note
    assert {problem.key for problem in parsed.problems} == {"typ", "crn", "type", ""}


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("timout: 5m", "Write `timeout: 5m`."),
        ("maxUsd: 2", "Write `max_usd: 2`."),
        ("permission_mode: plan", "Write `permissions` instead."),
        ("max_budget_usd: 2", "Write `max_usd` instead."),
        ("prompt: Do it", "body"),
        ("tools: [Read]", "`allowed_tools`"),
        ("interval: 5m", "`every`"),
        ("depends_on: x", "Write `after` instead"),
        ("max_paralel: 3", "in the settings note"),
        ("disabled: false", "`enabled`"),
    ],
)
def test_look_alike_warns_with_the_right_name(line: str, fix: str) -> None:
    """A key that is nearly ours is pointed out, and the task goes on."""
    parsed = parse(claude(line))
    assert parsed.task is not None
    assert [problem.severity for problem in parsed.problems] == [Severity.WARNING]
    assert parsed.problems[0].line == 4
    assert fix in parsed.problems[0].fix


@pytest.mark.parametrize("line", ["disabled: true", "paused: true", "active: false"])
def test_foreign_switch_that_forbids_to_run_is_an_error(line: str) -> None:
    """A note that calls itself paused in other words does not run."""
    problem = only_problem(command(line))
    assert problem.is_error
    assert "`status: paused`" in problem.fix


def test_slip_next_to_the_right_key_is_the_users_own() -> None:
    """With `timeout` set, `timeouts` is hardly a misspelling of it."""
    assert parse(command("timeout: 5m", "timeouts: 3")).problems == ()


@pytest.mark.parametrize("line", ["schedule: 0 7 * * *", "tz: Europe/Berlin"])
def test_alias_beside_its_key_is_a_problem(line: str) -> None:
    """Two names of one key could disagree."""
    ours = {"schedule": "cron: 0 8 * * *", "tz": "timezone: UTC"}[line.split(":")[0]]
    problem = only_problem(command(ours, line))
    assert (problem.line, problem.is_error) == (6, True)
    assert "same key" in problem.message


def test_alias_means_its_key() -> None:
    """`schedule` and `cron` declare the same task."""
    assert task_of(claude("schedule: 0 7 * * *")).definition == task_of(claude("cron: 0 7 * * *")).definition


# triggers


def fires(text: str, after: str, count: int = 3, context: ParseContext = BERLIN) -> list[str]:
    schedule, moment, found = task_of(text, context).schedule, utc(after), []
    for _ in range(count):
        following = schedule.next_after(moment)
        if following is None:
            break
        found.append(following.strftime("%m-%d %H:%M"))
        moment = following
    return found


def test_triggers_of_one_note_are_one_schedule() -> None:
    """Lists and several triggers add up; times are local to the task's zone."""
    text = note(
        "type: claude", 'cron: ["0 7 * * *", "0 9 * * *"]', "at: [2026-11-22T08:00, 2026-11-22 20:00]", "timezone: UTC"
    )
    assert fires(text, "2026-11-22T06:30:00", 4) == ["11-22 07:00", "11-22 08:00", "11-22 09:00", "11-22 20:00"]


def test_interval_counts_from_start_else_from_local_midnight() -> None:
    """`every` has no state: its multiples lie on the clock."""
    assert fires(claude().replace("1h", "7h"), "2026-11-22T00:00:00", 1) != []
    text = note("type: claude", "every: 25m", "start: 2026-11-22T10:10")
    assert fires(text, "2026-01-01T00:00:00") == ["11-22 09:10", "11-22 09:35", "11-22 10:00"]


def test_until_date_includes_that_day() -> None:
    """A last day is a whole day; a last moment is included."""
    day = note("type: claude", "cron: 0 23 * * *", "until: 2026-11-23")
    assert fires(day, "2026-11-22T00:00:00") == ["11-22 22:00", "11-23 22:00"]
    moment = note("type: claude", "cron: 0 23 * * *", "until: 2026-11-23T23:00")
    assert fires(moment, "2026-11-22T00:00:00") == ["11-22 22:00", "11-23 22:00"]


def test_one_shot_is_known_as_such() -> None:
    """Only `at`: later rules differ for it."""
    assert task_of(note("type: claude", "at: 2026-11-22T09:00")).schedule.is_one_shot


def test_start_of_the_daemon_alone_is_a_trigger() -> None:
    """A task may run only when the daemon starts."""
    task = task_of(note("type: claude", "on_start: true"))
    assert task.on_start
    assert task.schedule.triggers == ()


@pytest.mark.parametrize("line", ["on_start: false", "run_now: true", "cron: []", "cron:"])
def test_task_without_a_trigger_is_a_problem(line: str) -> None:
    """Nothing says when it runs: running it by hand alone is no schedule."""
    problem = only_problem(note("type: claude", line))
    assert "nothing says when it runs" in problem.message
    assert "cron:" in problem.fix


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        (("start: 2026-12-02", "until: 2026-12-01"), "until", "ends before"),
        (("at: 2026-12-02T09:00", "until: 2026-12-01"), "at", "outside"),
        (("at: 2026-12-02T09:00", "start: 2026-12-03"), "at", "outside"),
    ],
)
def test_bounds_that_leave_nothing_are_a_problem(lines: tuple[str, str], key: str, message: str) -> None:
    """Keys that contradict each other are not resolved in silence."""
    extra = [] if lines[0].startswith("at") else ["every: 1h"]
    problem = only_problem(note("type: claude", *extra, *lines))
    assert (problem.key, problem.is_error) == (key, True)
    assert message in problem.message


def test_hundreds_of_cron_expressions_are_refused() -> None:
    """What is due is asked of each of them, so a list of thousands would keep all other tasks waiting."""
    expressions = ", ".join(['"0 7 * * *"'] * 101)
    problem = only_problem(note("type: claude", f"cron: [{expressions}]"))
    assert (problem.key, problem.message) == ("cron", "more than 100 expressions")


def test_odd_cron_step_only_warns() -> None:
    """A step that does not divide its field is legal, and seldom meant."""
    parsed = parse(note("type: claude", 'cron: "*/7 * * * *"'))
    assert parsed.task is not None
    assert [problem.severity for problem in parsed.problems] == [Severity.WARNING]


def test_hashed_minute_goes_with_the_task_id() -> None:
    """`H` spreads tasks, and stays for one task."""

    def first_fire(name: str) -> datetime | None:
        return task_of(note("type: claude", "cron: H H * * *", f"id: {name}")).schedule.next_after(utc("2026-11-22"))

    assert first_fire("a") == first_fire("a")
    assert len({first_fire(f"task {number}") for number in range(20)}) > 10


# what runs


SH = "```sh\ndate\n```"


def test_command_forms() -> None:
    """A text for the shell, a list to execute (also of one), or the code block."""
    assert task_of(command()).action == CommandAction(command="date")
    ls = note("type: command", "every: 1h", "command: [ls, -l, 5, '']")
    assert task_of(ls).action == CommandAction(command=("ls", "-l", "5", ""))
    one = note("type: command", "every: 1h", "command: [ls]")
    assert task_of(one).action == CommandAction(command=("ls",))
    assert task_of(note("type: command", "every: 1h", body=SH)).action == CommandAction(command=None)
    assert task_of(one).definition != task_of(one.replace("[ls]", "ls")).definition


@pytest.mark.parametrize(
    ("lines", "body", "message"),
    [
        (("type: command",), "No code here.", "it has no command"),
        (("type: command",), "%%\n```sh\ndate\n```\n%%", "it has no command"),
        (("type: command",), "```json\n{}\n```", "names no interpreter"),
        (("type: command",), "```sh\n\n```", "code block is empty"),
        (("type: command", "command: [ls, 1.50]"), "", "not text"),
        (("type: command", "command: []"), "", "names no program"),
        (("type: command", "command: {a: b}"), "", "not a mapping"),
        (("type: python",), SH, "no Python to run"),
        (("type: python",), "```python\n```", "code block is empty"),
        (("type: python", "call: package.module.function"), "", "where the module ends"),
        (("type: python", "call: module:function()"), "", "a call, not a name"),
        (("type: python", "call: my-module:f"), "", "names no function"),
        (("type: python", "call: 'module:'"), "", "names no function"),
        (("type: python", "call: doc_freshness", "args: [days]"), "", "not `name=value`"),
        (("type: claude",), "", "it has no prompt"),
        (("type: claude",), "About.\n\n## Prompt\n\n## Notes\nx", "it has no prompt"),
        (("command: date",), "", "is missing"),
        (("type: command", "command: date", "call: a:b"), "", "no effect on a command task"),
        (("type: python", "call: a:b", "command: date"), "", "no effect on a python task"),
        (("type: claude", "command: date"), "Do it.", "no effect on a claude task"),
        (("type: command", "command: date", "permissions: read-only"), "", "no effect on a command task"),
        (("type: command", "command: date", "env: [A=1]", "secrets: [A]"), "", "stands in `secrets` too"),
    ],
)
def test_what_cannot_run_is_a_problem(lines: tuple[str, ...], body: str, message: str) -> None:
    """Nothing to run, something that nobody runs, or keys of another type."""
    problem = only_problem(note("every: 1h", *lines, body=body))
    assert problem.is_error
    assert message in problem.message
    assert problem.fix


def test_missing_type_is_guessed_in_the_cure() -> None:
    """The fix names the type that the other keys speak of."""
    assert "`type: command`" in only_problem(note("every: 1h", "command: date")).fix
    assert "`type: python`" in only_problem(note("every: 1h", "call: a:b")).fix
    assert "`type: claude`" in only_problem(note("every: 1h")).fix


def test_harmless_key_of_another_type_only_warns() -> None:
    """A model has no meaning for a command, and promises nothing."""
    parsed = parse(command("model: opus"))
    assert parsed.task is not None
    assert [problem.severity for problem in parsed.problems] == [Severity.WARNING]


def test_python_forms() -> None:
    """A function with arguments, a built-in, or the python block."""
    called = note("type: python", "every: 1h", "call: pkg.mod:Class.run", "args: [days=3]", "python: python3.12")
    assert task_of(called).action == PythonAction(call="pkg.mod:Class.run", args={"days": 3}, python="python3.12")
    assert task_of(note("type: python", "every: 1h", "call: dashboard")).action == PythonAction(call="dashboard")
    block = note("type: python", "every: 1h", body=SH + "\n\n```python\nprint(1)\n```")
    assert task_of(block).action == PythonAction(call=None)


def test_missing_callable_is_a_problem() -> None:
    """Whoever can look at the files says what is wrong with a name."""
    context = ParseContext(callable_check=lambda call, args: f"no module named {call}" if call != "a:b" else None)
    assert task_of(note("type: python", "every: 1h", "call: a:b"), context)
    problem = only_problem(note("type: python", "every: 1h", "call: x:y"), context)
    assert (problem.key, problem.message) == ("call", "no module named x:y")


def test_argument_that_a_callable_does_not_have_is_a_problem_of_args() -> None:
    """What is wrong with the arguments is told on their line; a wrong name of the callable is told alone."""
    context = ParseContext(callable_check=lambda call, args: f"no argument {min(args)}" if args else None)
    problem = only_problem(note("type: python", "every: 1h", "call: x", "args: [b=1]"), context)
    assert (problem.key, problem.message) == ("args", "no argument b")
    context = ParseContext(callable_check=lambda call, args: "no such thing")
    assert only_problem(note("type: python", "every: 1h", "call: x", "args: [b=1]"), context).key == "call"


def test_tool_that_is_allowed_and_disallowed_warns() -> None:
    """The stricter one wins, and it is said."""
    parsed = parse(claude("allowed_tools: [Bash]", "disallowed_tools: [Bash]"))
    assert parsed.task is not None
    assert "disallowed too" in parsed.problems[0].message


# switches and fingerprints


def test_enabled_false_wins_over_status_active() -> None:
    """Of two switches that contradict each other the careful one counts, with a warning."""
    parsed = parse(command("status: active", "enabled: false"))
    assert parsed.task is not None
    assert parsed.task.status is Status.PAUSED
    assert parsed.problems[0].severity is Severity.WARNING
    assert task_of(command("status: stopped", "enabled: false")).status is Status.STOPPED


def test_switches_are_read_from_an_invalid_note_too() -> None:
    """`status: stopped` works whatever else is wrong; an unreadable status is none."""
    stopped = parse(command("timeout: 5", "status: stopped"))
    assert stopped.task is None
    assert stopped.switches is not None
    assert stopped.switches.status is Status.STOPPED
    unreadable = parse(command("status: stoped!")).switches
    assert unreadable is not None
    assert unreadable.status is None


SAME_DEFINITION = [
    "status: paused",
    "enabled: false",
    "paused_until: 2026-12-01",
    "run_now: true",
    "last_run: 2026-11-20T07:00:00",
    "next_run: 2026-11-21T07:00:00",
    "answer: yes",
    "tags: [work]",  # the user's own
    "retries:",  # unset
    "# a comment",
]


@pytest.mark.parametrize("line", SAME_DEFINITION)
def test_switches_and_foreign_keys_change_no_definition(line: str) -> None:
    """Neither a switch nor our own writing nor the user's own properties is an edit."""
    plain, other = task_of(command()), task_of(command(line))
    assert other.definition == plain.definition
    assert other.trigger_fingerprint == plain.trigger_fingerprint


@pytest.mark.parametrize("line", ["retries: 1", "host: laptop", "timeout: 2h", "output: a.md", "cwd: x", "id: x"])
def test_other_edits_change_the_definition_alone(line: str) -> None:
    """What would run changes, when it runs does not."""
    plain, other = task_of(command()), task_of(command(line))
    assert other.definition != plain.definition
    assert other.trigger_fingerprint == plain.trigger_fingerprint


@pytest.mark.parametrize(
    "line", ["cron: 0 7 * * *", "until: 2030-01-01", "start: 2026-01-01", "timezone: UTC", "on_start: true"]
)
def test_edits_of_the_schedule_change_both(line: str) -> None:
    """Triggers, bounds and the written zone are the trigger fingerprint."""
    plain, other = task_of(command()), task_of(command(line))
    assert other.definition != plain.definition
    assert other.trigger_fingerprint != plain.trigger_fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('cron: "0 7 * * *"', "cron: 0 7 * * *"),  # a property editor drops the quotes
        ("cron: 0 7 * * *", "cron: [0 7 * * *]"),
        ("secrets: A", "secrets:\n  - A"),
    ],
)
def test_rewriting_by_a_property_editor_is_no_edit(one: str, other: str) -> None:
    """Quotes and list styles do not count."""
    assert task_of(command(one)).definition == task_of(command(other)).definition


def test_trigger_fingerprint_goes_by_meaning() -> None:
    """`60m` for `1h`, blanks in cron, and the order of a list change nothing."""
    plain = task_of(command())
    assert task_of(command().replace("1h", "60m")).trigger_fingerprint == plain.trigger_fingerprint
    one = task_of(note("type: claude", 'cron: ["0 7 * * *", "0  8 * * *"]'))
    other = task_of(note("type: claude", 'cron: ["0 8 * * *", "0 7 * * *"]'))
    assert one.trigger_fingerprint == other.trigger_fingerprint


def test_body_is_part_of_the_definition_and_the_runs_are_not() -> None:
    """What we write below `## Runs`, line ends and blank lines around the body do not count."""
    plain = task_of(EXAMPLE)
    assert task_of(EXAMPLE.replace("41 s", "42 s")).definition == plain.definition
    assert task_of(EXAMPLE.replace("\n", "\r\n")).definition == plain.definition
    assert task_of(EXAMPLE.replace("---\nWrite", "---\n\nWrite")).definition == plain.definition
    assert task_of(EXAMPLE.replace("Write today's", "Write this")).definition != plain.definition


def test_renamed_note_keeps_its_definition() -> None:
    """A rename is recognised by an equal definition, so the path is no part of it."""
    assert task_of(command(), path="00_system/tasks/other.md").definition == task_of(command()).definition


def test_written_zone_is_part_of_the_fingerprint_and_the_machines_is_not() -> None:
    """A laptop that travels is no edit; a zone changed in a note is."""
    text = command()
    home = task_of(text, ParseContext(default_timezone="Europe/Berlin"))
    away = task_of(text, ParseContext(default_timezone="Asia/Tokyo"))
    assert (home.timezone, away.timezone) == ("Europe/Berlin", "Asia/Tokyo")
    assert home.trigger_fingerprint == away.trigger_fingerprint
    settings = task_of(text, ParseContext(default_timezone="Asia/Tokyo", settings_timezone="Europe/Berlin"))
    assert settings.timezone == "Europe/Berlin"
    assert settings.trigger_fingerprint != home.trigger_fingerprint


# identity


def test_task_id_is_the_path_below_the_tasks_folder() -> None:
    """In Unicode form NFC, as the name may be spelled otherwise on another disk."""
    assert task_of(command(), path="00_system/tasks/u\u0308ber/a b.md").id == "über/a b"
    context = ParseContext(system_folder="_sys")
    assert task_of(command(), context, path="_sys/tasks/x.md").id == "x"


def test_name_that_would_break_run_keys_is_a_problem() -> None:
    """A bar separates the parts of a run key."""
    parsed = parse(command(), path="00_system/tasks/a|b.md")
    assert parsed.task is None
    assert "Rename the note" in parsed.problems[0].fix


# rebuilding


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        command("tags: [a]", "env: {A: 1}"),
        note("type: python", "every: 1h", "call: a:b", "args: {x: [1, 2.5, null]}"),
    ],
)
def test_task_can_be_rebuilt_from_its_stored_source(text: str) -> None:
    """The last good definition survives a restart as JSON."""
    document = Document.parse(text.encode())
    stored = json.loads(json.dumps(source_of(document)))
    assert rebuild(stored, PATH, BERLIN).task == parse_task(document, PATH, BERLIN).task


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
PROPERTIES = st.dictionaries(
    st.sampled_from([*KEYS, "schedule", "tz", "timout"]) | st.text(max_size=8), VALUES, max_size=8
)


@given(PROPERTIES, st.text(max_size=30))
def test_no_note_whatsoever_breaks_the_parser(mapping: dict[str, object], body: str) -> None:
    """Any properties give a task or problems with a cure; never an exception."""
    base: dict[str, object] = {"type": "command", "command": "date", "every": "1h"}
    parsed = parse_mapping({**base, **mapping}, body, PATH, BERLIN, lambda key: 2)
    assert (parsed.task is None) == any(problem.is_error for problem in parsed.problems)
    assert all(problem.message and problem.fix for problem in parsed.problems)


def test_note_with_thousands_of_keys_takes_no_time() -> None:
    """Looking for misspelled keys is bounded: such a note is not written by hand."""
    parsed = parse(
        command(*(f"timout{number:04}x: 1" for number in range(3000)), *(f"cron_{n}: 1" for n in range(3000)))
    )
    assert parsed.task is not None
    assert len(parsed.problems) <= 100
