"""Requests, environments and reasons: what the executors decide without starting anything."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.executors import python_worker
from vault_scheduler.executors.base import (
    CannotStart,
    Ended,
    MachineEnvironment,
    RunRequest,
    action_of,
    action_to_json,
    duration_text,
    ended_result,
    run_environment,
)
from vault_scheduler.executors.command import INTERPRETERS, interpreter_of
from vault_scheduler.executors.gate import refusal
from vault_scheduler.executors.handed import path_list
from vault_scheduler.executors.python import is_builtin_call
from vault_scheduler.notes.body import LANGUAGES
from vault_scheduler.run import Outcome
from vault_scheduler.task import Action, ClaudeAction, CommandAction, Permissions, PythonAction, TaskType


def request(**changes: Any) -> RunRequest:
    values: dict[str, Any] = {
        "run": "r-20261122T060000Z-3f9a1c",
        "task": "backup",
        "path": "00_system/tasks/backup.md",
        "title": "backup",
        "type": "command",
        "attempt": 1,
        "fire_time": "2026-11-22T07:00:00+01:00",
        "timezone": "Europe/Berlin",
        "vault": "/vault",
    }
    return RunRequest(**{**values, **changes})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.builds(
    request,
    title=st.text(),
    body=st.text(),
    attempt=st.integers(1, 99),
    env=st.dictionaries(st.text(), st.text(), max_size=3),
    secrets=st.lists(st.text(), max_size=3).map(tuple),
    max_usd=st.none() | st.floats(0, 100),
    gate=st.none() | st.text(min_size=1) | st.lists(st.text(), min_size=1, max_size=3).map(tuple),
    changed=st.lists(st.text(), max_size=3).map(tuple),
    facts=st.dictionaries(st.text(), JSON, max_size=3),
)


@given(REQUESTS)
def test_request_is_plain_json_both_ways(wanted: RunRequest) -> None:
    """A request that was written as JSON and read again is the same request."""
    assert RunRequest.from_json(wanted.to_json()) == wanted


def test_request_of_a_newer_version_can_be_read() -> None:
    """Keys that this version does not know are left out."""
    text = request().to_json().replace('{"run"', '{"added_later": 1, "run"', 1)
    assert RunRequest.from_json(text) == request()


@pytest.mark.parametrize(
    ("type_", "action"),
    [
        (TaskType.COMMAND, CommandAction(command="echo hello")),
        (TaskType.COMMAND, CommandAction(command=("echo", "hello"))),
        (TaskType.COMMAND, CommandAction(command=None)),
        (TaskType.PYTHON, PythonAction(call="a.b:c", args={"days": 3, "tags": ["x"]}, python="python3.12")),
        (TaskType.PYTHON, PythonAction(call=None)),
        (TaskType.CLAUDE, ClaudeAction()),
        (
            TaskType.CLAUDE,
            ClaudeAction(permissions=Permissions.FULL, allowed_tools=("Read", "Bash(ls:*)"), max_turns=3, max_usd=0.1),
        ),
    ],
)
def test_action_survives_the_request(type_: TaskType, action: Action) -> None:
    """The snapshot of an action in a request gives the action back, also after a turn through JSON."""
    made = request(type=type_.value, action=action_to_json(action))
    assert action_of(RunRequest.from_json(made.to_json())) == action


def test_environment_holds_what_is_listed_and_nothing_of_the_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run sees the machine's basics, its own variables and secrets, and nothing else."""
    monkeypatch.setenv("DAEMON_ONLY", "x")
    machine = MachineEnvironment(path="/bin", home="/home/me", user="me", secrets={"TOKEN": "t", "OTHER": "o"})
    assert run_environment(request(env={"A": "1"}, secrets=("TOKEN",)), machine) == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LANG": "C.UTF-8",
        "TZ": "Europe/Berlin",
        "USER": "me",
        "SHELL": "/bin/sh",
        "TMPDIR": "/tmp",
        "A": "1",
        "TOKEN": "t",
        "VAULT_SCHED_VAULT": "/vault",
        "VAULT_SCHED_TASK": "backup",
        "VAULT_SCHED_RUN": "r-20261122T060000Z-3f9a1c",
        "VAULT_SCHED_FIRE_TIME": "2026-11-22T07:00:00+01:00",
        "VAULT_SCHED_ATTEMPT": "1",
    }


def test_task_cannot_take_the_marker_off() -> None:
    """A note that sets our own variables loses: a run without its marker could not be found again."""
    made = run_environment(request(env={"VAULT_SCHED_RUN": "r-other", "PATH": "/mine"}), MachineEnvironment())
    assert (made["VAULT_SCHED_RUN"], made["PATH"]) == ("r-20261122T060000Z-3f9a1c", "/mine")


def test_missing_secret_names_itself_and_the_file() -> None:
    """A secret that is not in the env file is a failure that says which one and where it belongs."""
    machine = MachineEnvironment(secrets={"A": "1"}, env_file="/home/me/.config/vault-sched/env")
    with pytest.raises(CannotStart, match="no secret TOKEN in /home/me/") as caught:
        run_environment(request(secrets=("A", "TOKEN")), machine)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("ended", "outcome", "reason"),
    [
        (Ended(exit_code=0, head="fine\n"), Outcome.SUCCESS, ""),
        (Ended(exit_code=3), Outcome.FAILURE, "exit 3"),
        (Ended(exit_code=1, head="a\nno such file\n\n"), Outcome.FAILURE, "exit 1: no such file"),
        # the last line of the tail, without colours
        (Ended(exit_code=1, head="a", tail="b\n\x1b[31mbad\x1b[0m\r\n"), Outcome.FAILURE, "exit 1: bad"),
        (Ended(signal="SEGV"), Outcome.FAILURE, "ended by signal SEGV"),
        (Ended(signal="TERM", timed_out=True), Outcome.TIMEOUT, "no end after 1h"),
        # it cleaned up after TERM and exited 0: still no success
        (Ended(exit_code=0, timed_out=True), Outcome.TIMEOUT, "no end after 1h"),
        (Ended(signal="TERM", cancelled="task stopped"), Outcome.CANCELLED, "task stopped"),
        (Ended(signal="KILL", cancelled="the end", abandoned=True), Outcome.ABANDONED, "the end"),
    ],
)
def test_outcome_and_reason_of_an_ended_process(ended: Ended, outcome: Outcome, reason: str) -> None:
    """How a process ended is one outcome and one line that a person understands."""
    result = ended_result(request(timeout_s=3600), ended)
    assert (result.outcome, result.reason, result.exit_code) == (outcome, reason, ended.exit_code)


def test_reason_is_short_however_long_the_last_line() -> None:
    """A last line of a megabyte does not become the reason."""
    ended = Ended(exit_code=1, head="x" * 4000)
    assert len(ended_result(request(), ended).reason) < 220


PYTHON_ERROR = """Traceback (most recent call last):
  File "look.py", line 3, in <module>
    feed["items"]
    ~~~~^^^^^^^^^
KeyError: 'items'
"""
NODE_ERROR = """/vault/look.js:1
throw new TypeError("no feed")
^

TypeError: no feed
    at Object.<anonymous> (/vault/look.js:1:7)
    at node:internal/main/run_main_module:28:49

Node.js v20.11.0
"""
JAVA_ERROR = 'Exception in thread "main" java.io.IOException: no feed\n\tat Look.main(Look.java:3)\n'


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("", "gate said no"),
        ("nothing new at 12:07:31\n", "gate said no"),
        ("Error: count is 0\n", "gate said no"),  # its own words, for people who look at its output
        (PYTHON_ERROR, "gate said no: KeyError: 'items'"),
        (f"12:07 looking\n{PYTHON_ERROR}12:08 giving up\n", "gate said no: KeyError: 'items'"),
        (
            f"{PYTHON_ERROR}\nDuring handling of\n\n{PYTHON_ERROR.replace('items', 'id')}",
            "gate said no: KeyError: 'id'",
        ),
        ("Traceback (most recent call last):\n  File", "gate said no: File"),  # cut off
        (NODE_ERROR, "gate said no: TypeError: no feed"),
        (JAVA_ERROR, 'gate said no: Exception in thread "main" java.io.IOException: no feed'),
        ("cat: /srv/feed: No such file or directory\n", "gate said no: cat: /srv/feed: No such file or directory"),
        ("\x1b[31m/bin/sh: 1: cannot open feed: Permission denied\x1b[0m\n", "gate said no: /bin/sh: 1: cannot open"),
        (f"{PYTHON_ERROR[:-1]} {'x' * 9000}", "gate said no: KeyError: 'items' xxx"),
    ],
)
def test_a_no_has_the_same_reason_unless_it_reads_like_an_error(printed: str, reason: str) -> None:
    """288 checks a day are one line in the note; a gate that is broken shows in that line."""
    result = refusal(request(), Ended(exit_code=1, head=printed))
    assert result is not None
    assert result.outcome is Outcome.SKIPPED
    assert result.reason.startswith(reason)
    assert len(result.reason) <= max(len(reason), 220)
    if reason == "gate said no":
        assert result.reason == reason


@pytest.mark.parametrize(
    ("ended", "outcome", "reason"),
    [
        (Ended(exit_code=3, head="no feed\n"), Outcome.FAILURE, "gate: exit 3: no feed"),
        (Ended(signal="KILL"), Outcome.FAILURE, "gate: ended by signal KILL"),
        (Ended(signal="TERM", timed_out=True), Outcome.TIMEOUT, "gate: no end after 1h"),
        (Ended(exit_code=1, timed_out=True), Outcome.TIMEOUT, "gate: no end after 1h"),  # its answer to TERM
        (Ended(exit_code=0, timed_out=True), Outcome.TIMEOUT, "gate: no end after 1h"),
        (Ended(exit_code=1, cancelled="stopped"), Outcome.CANCELLED, "stopped"),
        (Ended(exit_code=1, cancelled="the end", abandoned=True), Outcome.ABANDONED, "the end"),
    ],
)
def test_whatever_else_a_gate_does_ends_the_attempt_as_it_would_end_a_run(
    ended: Ended, outcome: Outcome, reason: str
) -> None:
    """With the word `gate` where the gate was to blame."""
    result = refusal(request(timeout_s=3600), ended)
    assert result is not None
    assert (result.outcome, result.reason, result.retryable) == (outcome, reason, True)


def test_exit_0_lets_the_run_pass() -> None:
    """Nothing refuses it."""
    assert refusal(request(), Ended(exit_code=0, head="anything")) is None


@given(st.lists(st.text(min_size=1)))
def test_every_path_takes_one_line(paths: list[str]) -> None:
    """Names of files can hold line ends; what is in quotes is JSON, everything else is the path itself."""
    lines = path_list(paths).split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) if line.startswith('"') else line for line in lines] == paths


def test_text_says_what_was_left_out() -> None:
    """Head and tail are shown with the number of bytes between them."""
    ended = Ended(exit_code=0, head="begin", tail="end", total_bytes=1008)
    assert ended.text == "begin\n[… 1,000 bytes left out …]\nend"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3600, "1h"), (5400, "1h30m"), (45, "45s"), (60.0, "1m"), (0.5, "0.5s"), (1.5, "1.5s"), (86400, "24h")],
)
def test_durations_read_as_they_are_written_in_notes(seconds: float, text: str) -> None:
    """A timeout's reason shows the duration as the note's author would write it."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize("language", ["diff", "json", "rm", "../sh", "text"])
def test_only_known_languages_are_run(language: str) -> None:
    """A code block that is no program is never given to a program of the same name."""
    with pytest.raises(CannotStart, match=f"no interpreter for {language} code blocks"):
        interpreter_of(language)


def test_block_without_a_language_is_for_the_shell() -> None:
    """No language means sh."""
    assert interpreter_of("") == "sh"


def test_every_language_that_a_note_may_name_has_an_interpreter() -> None:
    """What the check of notes accepts can be run, and the other way round."""
    assert set(INTERPRETERS) == LANGUAGES


@pytest.mark.parametrize(
    ("call", "builtin"), [("doc_freshness", True), ("a:b", False), ("a.b", False), ("a.b:c", False)]
)
def test_name_without_colon_and_dot_is_a_builtin(call: str, builtin: bool) -> None:
    """`call: doc_freshness` is one of ours; with a colon or a dot it is the user's."""
    assert is_builtin_call(call) is builtin


def test_worker_is_one_file_of_old_python_and_standard_library() -> None:
    """The worker runs in any interpreter from 3.8 on: old syntax, and nothing imported that is not there."""
    source = Path(python_worker.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {name.split(".")[0] for name in imported} <= set(sys.stdlib_module_names)
    assert "from __future__ import annotations" in source  # its annotations are newer than 3.8


def test_requests_are_values() -> None:
    """Another attempt is another request; the first one is not changed."""
    first = request()
    assert replace(first, attempt=2) != first
    assert first.scripts_folder == Path("/vault/00_system/scripts")
