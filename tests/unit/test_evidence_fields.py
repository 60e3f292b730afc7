"""The keys that say what must be there at the end of a run, and what a Claude run may use beside its preset."""

from __future__ import annotations

import pytest

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task
from vault_scheduler.task import ClaudeAction, Problem, Task

CONTEXT = ParseContext(default_timezone="Europe/Berlin")
KINDS = {
    "command": "type: command\ncommand: date",
    "python": "type: python\ncall: doc_freshness",
    "claude": "type: claude",
}


def parsed(kind: str, keys: str) -> tuple[Task | None, tuple[Problem, ...]]:
    text = f"---\n{KINDS[kind]}\nevery: 1h\n{keys}\n---\nDo it.\n"
    found = parse_task(Document.parse(text.encode()), "00_system/tasks/a.md", CONTEXT)
    return found.task, tuple(found.problems)


@pytest.mark.parametrize("kind", KINDS)
def test_evidence_can_be_asked_of_every_type(kind: str) -> None:
    """Fields of the path are left for the fire time, the expression as it is written."""
    keys = "expect_file: \"Log/{{date:YYYY-MM}}/{{title}}.csv\"\nexpect_output: '^\\d+ notes$'"
    task, problems = parsed(kind, keys)
    assert task is not None, problems
    assert (task.expect_file, task.expect_output) == ("Log/{{date:YYYY-MM}}/{{title}}.csv", r"^\d+ notes$")
    plain, _ = parsed(kind, "")
    assert plain is not None
    assert (plain.expect_file, plain.expect_output) == (None, None)
    assert plain.definition != task.definition


BAD = [
    ("expect_file: ../x.md", "is outside of the vault"),
    ("expect_file: /tmp/x", "is outside of the vault"),
    ("expect_file: ~/x", "is outside of the vault"),
    ("expect_file: a//b", "is not a plain path"),
    ("expect_file: Folder/", "is not a plain path"),
    ('expect_file: "[[Note]]"', "is a link"),
    ("expect_file: [[Note]]", "is a link"),
    ('expect_file: "{{week}}.md"', "is not known"),
    ('expect_file: "00_system/logs/{{date}}.md"', "is written by the scheduler itself"),
    ("expect_file: 00_System/Status.md", "is written by the scheduler itself"),
    ("expect_file: 00_system/scheduler.md", "is written by the scheduler itself"),
    ("expect_file: 00_system/tasks.base", "is written by the scheduler itself"),
    ("expect_file: 00_system/tasks/A.md", "is the task's own note"),
    ('expect_file: "00_system/tasks/{{title}}.md"', "is the task's own note"),
    ("expect_output: '(open'", "is not a regular expression"),
    ("expect_output: '*'", "is not a regular expression"),
    (f"expect_output: {'x' * 1001}", "more than 1000 characters"),
]


@pytest.mark.parametrize(("keys", "message"), BAD)
def test_evidence_that_cannot_be_looked_for_is_a_problem(keys: str, message: str) -> None:
    """One problem, with a cure."""
    task, problems = parsed("command", keys)
    assert task is None
    assert [message in problem.message for problem in problems] == [True], problems
    assert problems[0].fix


@pytest.mark.parametrize("file", ["00_system/tasks/b.md", "00_system/dashboard.md", "logs/x.md", "status.md", "a.md"])
def test_what_the_scheduler_does_not_write_by_itself_is_evidence(file: str) -> None:
    """Other notes of the system folder, and the same names elsewhere."""
    task, problems = parsed("command", f"expect_file: {file}")
    assert task is not None, problems


def test_what_a_claude_run_may_use_is_read() -> None:
    """A text counts as a list of one, twice the same as once, and a path as it is meant."""
    keys = "mcp_config: ./tools/../.mcp.json\nskills: [greet, leave, greet]\nadd_dirs: ../Code"
    task, problems = parsed("claude", keys.replace("./tools/../", "./"))
    assert task is not None, problems
    assert isinstance(task.action, ClaudeAction)
    assert task.action.mcp_config == ".mcp.json"
    assert (task.action.skills, task.action.add_dirs) == (("greet", "leave"), ("../Code",))


def test_servers_count_as_shell_and_skills_and_folders_do_not() -> None:
    """A server is a program that the task starts (rule 8)."""
    for keys, is_shell in (("mcp_config: .mcp.json", True), ("skills: greet", False), ("add_dirs: ../Code", False)):
        task, _ = parsed("claude", keys)
        assert task is not None
        assert task.asks_for_shell is is_shell, keys


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("mcp_config: ../x.json", "is outside of the vault"),
        ("mcp_config: /etc/x.json", "is outside of the vault"),
        ("mcp_config: servers.md", "is no JSON file"),
        ("mcp_config:\n  a: {command: x}", "is a mapping, not a file"),
        ("skills: a/b", "is not the name of a skill"),
        ("skills: ../x", "is not the name of a skill"),
    ],
)
def test_what_cannot_be_given_to_a_run_is_a_problem(keys: str, message: str) -> None:
    """With a cure."""
    task, problems = parsed("claude", keys)
    assert task is None
    assert [message in problem.message for problem in problems] == [True], problems
    assert problems[0].fix


def test_servers_on_another_type_of_task_are_an_error() -> None:
    """They promise something that would not be done."""
    task, problems = parsed("command", "mcp_config: .mcp.json")
    assert task is None
    assert "has no effect on a command task" in problems[0].message
