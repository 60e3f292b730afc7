"""What a problem tells to write instead works when it is written: every line of a cure, pasted over the bad one."""

from __future__ import annotations

import re

import pytest

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_settings, parse_task
from vault_scheduler.task import Problem

TASK = {
    "command": ('type: command\ncron: "0 7 * * *"', "```sh\necho hi\n```"),
    "python": ('type: python\ncron: "0 7 * * *"\ncall: doc_freshness', "Text."),
    "claude": ('type: claude\ncron: "0 7 * * *"', "Do it."),
}
WRONG = {
    "command": [
        *("type:", "type: true", "type: 5", "type: comand", "type: [command, python]", "type: “command”", "type: bash"),
        *("cron:", 'cron: ""', "cron: []", "cron: ~", "cron: true", "cron: 7:30", "cron: 15m", "cron: “0 7 * * *”"),
        *("cron: * * * * *", "cron: @daily", "cron: @every 5m", "cron: @reboot", "cron: *,5 * * * *", "cron: ?"),
        *("cron:\n  - 0 7 * * *\n  - */5 * * * *", "cron:\n  - @daily", "schedule: * * * * *", "schedule:"),
        *("status: true", "status: off", "status: pause", "enabled: no", "run_now: 1", "host: true", "id: 3.5"),
        *("timezone: europe/berlin", "timezone: true", "timeout: 60", "timeout: 0", "timeout: 1M", "timeout: 1 hour"),
        *("retry_delay: 10", "retry_delay: 2h", "retries: 3.5", "retries: many", "pause_after: never", "log: false"),
        *(
            "keep_runs: all",
            "keep_runs: 0",
            "catch_up: true",
            "catch_up: run-all",
            "overlap: parallel",
            "max_late: none",
        ),
        *("env: [A]", "env: [A b]", "env: 5", "env: true", 'env: ["1A=x"]', "secrets: A, B", "secrets: A=b"),
        *("output: Note", "output: {{date}}.md", "output: [[Note]]", 'output: "[[Note#Log]]"', 'output: "x/"'),
        *("output: Note.txt", 'output: "#Log"', 'output: "Note#"', "output: ../x.md", "output: true"),
        *("start: 2026-02-30", "start: 2026-11-22T09:00Z", "until: 2026-13-01", "until: never", "paused_until: 1d"),
        *("command: true", "command: echo: hi", "command: {a: b}", 'command: echo "a: b"', "command: []", "cwd: true"),
        *(
            "expect_file: ../x.md",
            "expect_file: [[Note]]",
            "expect_file: true",
            "expect_output: '('",
            "expect_output: true",
        ),
        *("every: 15", "every: daily", "every: 1M", "every: PT15M", "every: true", "every: -5m", "every: 0.5h"),
        *("at: 2026-02-30", "at: 2026-02-30T10:00", "at: 2026-12-01", "at: 09:00", "at: 1826-01-01T09:00", "at: true"),
        *("at: 2026-12-01T25:00", "at: 2026-12-01T09:00:00.5", "at: [[2026-12-01]]", "permissions: full"),
    ],
    "python": [
        *("call: a.b.c", "call: a.py", "call: a/b.py", "call: a.b:c()", "call: a.b:", "call: true", "call: x(y=1)"),
        *("args: 5", "args: [1]", "args: true", "args: [a]", "args: {a: .inf}", "python: 3.11"),
    ],
    "claude": [
        *("mcp_config: ../x.json", "mcp_config: true", "mcp_config: {a: {}}", "skills: a/b", "skills: true"),
        *("add_dirs: true", "permissions: plan", "permissions: true", "allowed_tools: *", "allowed_tools: Read, Write"),
        *("allowed_tools: Bash(git status), Read", "allowed_tools: [5]", "model: 4.5", "max_turns: many"),
        *("max_turns: 5.5", "max_usd: $0.50", "max_usd: 0,50", "max_usd: 0", "max_usd_day: 0.1", "session: resume"),
        *("system_prompt: true", "max_usd: -1", "timout: 1h"),
    ],
}
SETTINGS = [
    *("max_parallel: 0", "max_claude: many", "note_quiet: 10", "note_quiet: 2h", "note_interval: 0", "status: done"),
    *("vault_max_usd_day: $5", "daily_log_in: x", "paused_until: 1d", "timezone: Berlin", "status: true"),
]
CASES = [(kind, line) for kind, lines in WRONG.items() for line in lines] + [("settings", line) for line in SETTINGS]


def block_of(kind: str) -> list[str]:
    return ["status: active"] if kind == "settings" else TASK[kind][0].split("\n")


def key_of(line: str) -> str:
    return {"schedule": "cron"}.get(name := line.partition(":")[0], name)


def with_line(block: list[str], line: str) -> list[str]:
    """The properties with this one in its place; `every` and `at` stand for `cron`."""
    stands_for = {"every": "cron", "at": "cron", "on_start": "cron"}.get(key_of(line), key_of(line))
    kept = [other for other in block if key_of(other) not in (stands_for, key_of(line)) and other[:1] not in " -"]
    return [*kept, line]


def problems_of(kind: str, block: list[str]) -> tuple[Problem, ...]:
    body = "" if kind == "settings" else TASK[kind][1]
    doc = Document.parse("\n".join(["---", *block, "---", body]).encode())
    if kind == "settings":
        return parse_settings(doc, "00_system/scheduler.md").problems
    return parse_task(doc, "00_system/tasks/x.md", ParseContext()).problems


def lines_to_paste(fix: str) -> list[str]:
    bare = fix.partition("Quote the value: ")[2]
    return [bare.rstrip(".")] if bare else re.findall(r"`([a-z_]+: [^`]+)`", fix)


@pytest.mark.parametrize(("kind", "line"), CASES, ids=[f"{kind} {line!r}" for kind, line in CASES])
def test_line_of_a_cure_can_be_pasted(kind: str, line: str) -> None:
    """A cure that leads to the next problem sends people in circles."""
    before = with_line(block_of(kind), line)
    found = problems_of(kind, before)
    assert found, "the case is no problem any more"
    problem = found[0]
    assert problem.line in range(len(before) + 1 - line.count("\n"), len(before) + 2 + line.count("\n")), problem
    for cure in lines_to_paste(problem.fix):
        if cure.lstrip().startswith("-"):
            after = [*before[:-1], "\n".join([*line.split("\n")[:-1], cure])]
        else:
            after = with_line(with_line(block_of(kind), line)[:-1] if key_of(cure) != "status" else before, cure)
        left = [other for other in problems_of(kind, after) if other.key in (problem.key, key_of(cure))]
        assert not left, f"{problem} -- pasted {cure!r}, and got {left[0]}"
