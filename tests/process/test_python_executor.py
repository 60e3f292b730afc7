"""Command and python tasks as real processes: functions, blocks, built-ins, and how they fail."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vault_scheduler.clock import SystemClock
from vault_scheduler.engine import AttemptEnded, EngineEvent, LocalEngine
from vault_scheduler.executors.base import MachineEnvironment, RunRequest, action_to_json
from vault_scheduler.executors.command import CommandExecutor
from vault_scheduler.executors.leavings import output_path
from vault_scheduler.executors.python import PythonExecutor, builtin_names, callable_problem
from vault_scheduler.run import Outcome, Result
from vault_scheduler.task import Action, CommandAction, PythonAction
from vault_scheduler.text.harmless import Masker

RUN = "r-20261122T060000Z-3f9a1c"


@dataclass
class Place:
    """A vault with a scripts folder, and an engine on it."""

    root: Path
    machine: MachineEnvironment = field(default_factory=lambda: MachineEnvironment(env_file="/config/env"))

    @property
    def scripts(self) -> Path:
        return self.root / "00_system/scripts"

    @property
    def output(self) -> str:
        return output_path(self.root / "runs", RUN, 1).read_text()

    def script(self, name: str, text: str) -> None:
        path = self.scripts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def python(self, call: str | None, *, body: str = "", python: str | None = None, **args: Any) -> Result:
        return self.run("python", PythonAction(call=call, args=args, python=python), body=body)

    def command(self, command: str | Sequence[str] | None = None, *, body: str = "", **changes: Any) -> Result:
        given = command if isinstance(command, str) or command is None else tuple(command)
        return self.run("command", CommandAction(command=given), body=body, **changes)

    def run(self, type_: str, action: Action, **changes: Any) -> Result:
        request = RunRequest(
            run=RUN,
            task="t",
            path="00_system/tasks/t.md",
            title="t",
            type=type_,
            attempt=1,
            fire_time="2026-11-22T07:00:00+01:00",
            timezone="Europe/Berlin",
            vault=str(self.root),
            action=action_to_json(action),
            **{"timeout_s": 30.0, **changes},
        )
        return asyncio.run(self._run(request))

    async def _run(self, request: RunRequest) -> Result:
        events: list[EngineEvent] = []
        ended = asyncio.Event()

        def post(event: EngineEvent) -> None:
            events.append(event)
            if isinstance(event, AttemptEnded):
                ended.set()

        engine = LocalEngine(
            executors={"command": CommandExecutor(self.machine), "python": PythonExecutor(self.machine)},
            clock=SystemClock(),
            masker=lambda: Masker(tuple(self.machine.secrets.values())),
            machine=self.machine,
            runs_folder=self.root / "runs",
            post=post,
            grace_s=0.3,
            pipe_grace_s=0.2,
        )
        await engine.submit(request)
        await asyncio.wait_for(ended.wait(), 40)
        last = events[-1]
        assert isinstance(last, AttemptEnded)
        return last.result


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.scripts.mkdir(parents=True)
    return made


# --- commands --------------------------------------------------------------------------------------------


def test_string_is_for_the_shell_and_a_list_is_executed(place: Place) -> None:
    """A string may use the shell's signs; in a list they mean themselves."""
    assert place.command("echo a b | tr a-z A-Z").text == "A B\n"
    assert place.command(["echo", "a | b", "$HOME"]).text == "a | b $HOME\n"


def test_first_code_block_is_run_by_its_interpreter(place: Place) -> None:
    """The note's first fenced code block runs in the language that it names."""
    assert place.command(body="Text\n\n```\necho plain $0\n```\n").outcome is Outcome.SUCCESS
    result = place.command(body="```python\nimport os\nprint(os.environ['TZ'], 6 * 7)\n```\n\n```sh\necho no\n```\n")
    assert result.text == "Europe/Berlin 42\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_block_is_run_by_bash(place: Place) -> None:
    """What only bash understands works in a bash block."""
    assert place.command(body='```bash\na=(1 2 3); echo "${#a[@]}"\n```\n').text == "3\n"


def test_code_block_is_a_file_that_is_gone_afterwards(place: Place) -> None:
    """The script lies in the run's folder, for the user's eyes only, and is removed with the run's end."""
    result = place.command(body='```sh\nstat -c %a "$0"; echo "$0"\n```\n')
    mode, script = result.text.split()
    assert mode == "600"
    assert script.startswith(str(place.root / "runs" / RUN))
    assert not Path(script).exists()


@pytest.mark.parametrize(
    ("command", "body", "reason"),
    [
        ("echo oops >&2; exit 3", "", "exit 3: oops"),
        (None, "```fish\necho\n```\n", "no such interpreter: fish. Install it, or name another language on"),
        (None, "```json\n{}\n```\n", "no interpreter for json code blocks"),
        (None, "no block", "no `command` and no fenced code block in the note"),
        (["no-such-program"], "", "no such program: no-such-program. Install it, or add its folder to `path`"),
    ],
)
def test_failures_say_why(place: Place, command: str | list[str] | None, body: str, reason: str) -> None:
    """A command that cannot run, or fails, gives a reason that a person can act on."""
    if "fish" in body and shutil.which("fish", path=place.machine.path):
        pytest.skip("fish is installed")
    result = place.command(command, body=body)
    assert result.outcome is Outcome.FAILURE
    assert result.reason.startswith(reason)


def test_working_folder_is_the_vault_unless_the_note_says_otherwise(place: Place) -> None:
    """`cwd` is relative to the vault; a folder that is not there is named."""
    (place.root / "Notes").mkdir()
    assert place.command("pwd").text == f"{place.root}\n"
    assert place.command("pwd", cwd="Notes").text == f"{place.root}/Notes\n"
    result = place.command("pwd", cwd="Nowhere")
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "no such folder: cwd Nowhere")


def test_command_sees_only_the_environment_of_a_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the daemon's environment reaches a command; its secrets do, and are masked in the output."""
    monkeypatch.setenv("DAEMON_ONLY", "x")
    place.machine = MachineEnvironment(secrets={"TOKEN": "very-secret-value", "OTHER": "another-secret"})
    result = place.command("env | sort", secrets=("TOKEN",), env={"MINE": "1"})
    names = {line.partition("=")[0] for line in result.text.splitlines()}
    assert {"MINE", "TOKEN", "VAULT_SCHED_RUN", "VAULT_SCHED_ATTEMPT", "TZ"} <= names
    assert not {"DAEMON_ONLY", "OTHER"} & names
    assert "very-secret-value" not in result.text + place.output


def test_missing_secret_is_a_failure(place: Place) -> None:
    """A run without its secret does not start."""
    result = place.command("echo", secrets=("TOKEN",))
    assert (result.outcome, result.reason, result.retryable) == (
        Outcome.FAILURE,
        "no secret TOKEN in /config/env",
        False,
    )


# --- python functions ------------------------------------------------------------------------------------


def test_function_gets_its_arguments_and_prints(place: Place) -> None:
    """A function of the scripts folder is called with the note's arguments; what it prints is the text."""
    place.script("jobs/feeds.py", "def fetch(days, tag='x'):\n    print('days', days, tag)\n")
    result = place.python("jobs.feeds:fetch", days=3, tag="a")
    assert (result.outcome, result.text, result.markdown) == (Outcome.SUCCESS, "days 3 a\n", False)


@pytest.mark.parametrize(
    ("returned", "text", "markdown"),
    [
        ("None", "printed\n", False),
        ("'two'", "printed\ntwo\n", False),
        ("{'markdown': '**three**'}", "**three**", True),
        ("{'count': 4}", 'printed\n{\n  "count": 4\n}\n', False),
        ("object", "printed\n<class 'object'>\n", False),
    ],
)
def test_what_a_function_returns_is_shown(place: Place, returned: str, text: str, markdown: bool) -> None:
    """A string is shown as text, declared markdown as markdown, and all of it is in the full output."""
    place.script("m.py", f"def f():\n    print('printed')\n    return {returned}\n")
    result = place.python("m:f")
    assert (result.outcome, result.text, result.markdown) == (Outcome.SUCCESS, text, markdown)
    assert text.strip() in place.output


def test_coroutine_function_is_awaited(place: Place) -> None:
    """An async function works like any other."""
    place.script("m.py", "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 'awaited'\n")
    assert place.python("m:f").text == "awaited\n"


def test_exception_is_named_with_its_line(place: Place) -> None:
    """The reason is the exception and the line of the task's own code; the traceback is in the output."""
    place.script("helper.py", "import json\ndef parse(text):\n    return json.loads(text)\n")
    place.script("m.py", "import helper\n\ndef f():\n    helper.parse('nope')\n")
    result = place.python("m:f")
    assert result.outcome is Outcome.FAILURE
    assert result.reason == "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0) (helper.py:3)"
    assert result.retryable
    assert "Traceback" in result.text
    assert "python_worker" not in result.text


@pytest.mark.parametrize(
    ("script", "call", "reason"),
    [
        ("def f(): pass", "nope:f", "no module 'nope': looked in"),
        ("def f(): pass", "m:g", "no function 'g' in "),
        ("def f(a): pass", "m:f", "m:f: missing a required argument: 'a'"),
        ("f = 3", "m:f", "m:f is not a function"),
        (
            "import not_installed_here\ndef f(): pass",
            "m:f",
            "ModuleNotFoundError: No module named 'not_installed_here' (m.py:1)",
        ),
        ("def f(:", "m:f", "SyntaxError: invalid syntax (m.py:1)"),
        ("def f(): pass", "nothing", "no built-in task 'nothing'"),
        ("def f(): pass", "m.f", "'m.f' does not name a function. Write module:function"),
    ],
)
def test_function_that_cannot_be_called_is_not_tried_again(place: Place, script: str, call: str, reason: str) -> None:
    """What another attempt cannot cure says where was looked, and is not retried."""
    place.script("m.py", script)
    result = place.python(call)
    assert result.outcome is Outcome.FAILURE
    assert result.reason.startswith(reason)
    assert not result.retryable


@pytest.mark.parametrize(
    ("line", "outcome", "reason"),
    [
        ("sys.exit()", Outcome.SUCCESS, ""),
        ("sys.exit(3)", Outcome.FAILURE, "exit 3: printed"),
        ("sys.exit('disk full')", Outcome.FAILURE, "exit 1: disk full"),
        ("os.kill(os.getpid(), 11)", Outcome.FAILURE, "ended by signal SEGV"),
    ],
)
def test_exit_of_the_process_is_honoured(place: Place, line: str, outcome: Outcome, reason: str) -> None:
    """`sys.exit` and a crash mean what they mean for any program."""
    place.script("m.py", f"import os, sys\ndef f():\n    print('printed')\n    {line}\n")
    result = place.python("m:f")
    assert (result.outcome, result.reason) == (outcome, reason)


def test_block_runs_with_the_scripts_folder_on_its_path(place: Place) -> None:
    """Without `call`, the first python block is the program; the vault's scripts can be imported in it."""
    place.script("shared.py", "ANSWER = 42\n")
    body = "```sh\necho no\n```\n\n```python\nfrom shared import ANSWER\nprint(ANSWER, __name__)\n```\n"
    assert place.python(None, body=body).text == "42 __main__\n"
    failed = place.python(None, body="```python\n\n1 / 0\n```\n")
    assert failed.reason == "ZeroDivisionError: division by zero (block.py:2)"
    assert place.python(None, body="nothing").reason == "no `call` and no ```python block in the note"


def test_scripts_do_not_meet_our_own_modules(place: Place) -> None:
    """The worker's neighbours (`command`, `process`, `base`) do not hide the user's modules of the same name."""
    place.script("command.py", "def f():\n    import process\n    return process.NAME\n")
    place.script("process.py", "NAME = 'mine'\n")
    assert place.python("command:f").text == "mine\n"


def test_no_cache_folders_are_left_in_the_vault(place: Place) -> None:
    """Importing from the vault does not litter it with compiled files that would be synchronised."""
    place.script("m.py", "import n\ndef f(): pass\n")
    place.script("n.py", "")
    assert place.python("m:f").outcome is Outcome.SUCCESS
    assert not list(place.root.rglob("__pycache__"))


def test_interpreter_of_the_note_or_the_machine_is_used(place: Place) -> None:
    """`python` names the interpreter; a missing one is a failure that says so."""
    fake = place.root / "venv/bin/python"
    fake.parent.mkdir(parents=True)
    fake.write_text(f'#!/bin/sh\necho chosen\nexec {sys.executable} "$@"\n')
    fake.chmod(0o755)
    place.script("m.py", "def f(): pass\n")
    assert place.python("m:f", python="venv/bin/python").text == "chosen\n"
    place.machine = MachineEnvironment(python=str(fake))
    assert place.python("m:f").text == "chosen\n"
    result = place.python("m:f", python="no-python")
    assert result.reason.startswith("no such interpreter: no-python.")


def test_secret_in_a_returned_text_is_masked(place: Place) -> None:
    """Declared markdown comes by another way than the output, and is masked as well."""
    place.machine = MachineEnvironment(secrets={"TOKEN": "very-secret-value"})
    place.script("m.py", "def f():\n    return {'markdown': 'token very-secret-value'}\n")
    assert "very-secret" not in place.python("m:f").text


def test_result_that_is_too_large_or_broken_is_said(place: Place) -> None:
    """A result that cannot be used is a failure, never a silent success."""
    place.script("m.py", "def f():\n    return {'markdown': 'x' * 9_000_000}\n")
    result = place.python("m:f")
    assert (result.outcome, result.reason) == (Outcome.FAILURE, "the result is larger than 8 MiB")


# --- the check without running ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("m:f", None),
        ("m:Class.method", None),
        ("m:assigned", None),
        ("m:imported", None),
        ("m:guarded", None),
        ("pkg:f", None),
        ("pkg.sub:f", None),
        ("star:anything", None),
        ("lazy:anything", None),
        ("json:dumps", None),  # the standard library's
        ("m:g", "no function 'g' in m.py"),
        ("pkg.nope:f", "no module 'pkg.nope': there is no pkg/nope.py in"),
        ("broken:f", "broken.py:1:"),
        ("m", "no built-in task 'm'."),
        ("m:", "'m:' does not name a function"),
        ("../m:f", "'../m:f' does not name a function"),
    ],
)
def test_callable_is_checked_without_importing_it(place: Place, call: str, problem: str | None) -> None:
    """A missing function is found by reading; nothing of the user's is imported for it."""
    code = "raise SystemExit('imported!')\n"
    place.script(
        "m.py",
        code + "class Class: pass\nassigned = f = None\nfrom x import y as imported\nif 1:\n    def guarded(): pass\n",
    )
    place.script("pkg/__init__.py", code + "async def f(): pass\n")
    place.script("pkg/sub.py", code + "try:\n    pass\nexcept Exception:\n    f = 1\n")
    place.script("star.py", code + "from x import *\n")
    place.script("lazy.py", code + "def __getattr__(name): ...\n")
    place.script("broken.py", "def f(:\n")
    found = callable_problem(call, place.scripts)
    assert found == problem if problem is None or found is None else found.startswith(problem)


def test_builtin_tasks_are_run_by_our_own_interpreter(place: Place) -> None:
    """A built-in task gets the vault and the time, also where the machine's interpreter is another one."""
    if not builtin_names():
        pytest.skip("no built-in tasks yet")
    assert callable_problem(builtin_names()[0], place.scripts) is None
    place.machine = MachineEnvironment(python="/no/such/python")
    assert "no such interpreter" not in place.python(builtin_names()[0]).reason


def test_the_arguments_of_a_builtin_task_are_checked_without_running_it(place: Place) -> None:
    """A misspelt argument is found when the note is read, with the name that was meant."""
    assert callable_problem("doc_freshness", place.scripts, args=["folder", "limit"]) is None
    problem = callable_problem("doc_freshness", place.scripts, args=["limit", "foldr"])
    assert problem == "doc_freshness has no argument `foldr` (did you mean `folder`?)"
    problem = callable_problem("failure_digest", place.scripts, args=["vault"])
    assert problem == "failure_digest has no argument `vault`. It has since, skipped, limit"


def test_an_argument_that_a_builtin_task_does_not_have_is_named(place: Place) -> None:
    """The reason names the argument, and those that there are; what the task is given cannot be set in the note."""
    for wrong in ("foldr", "vault", "now"):
        result = place.python("doc_freshness", **{wrong: "x"})
        assert result.reason == (
            f"doc_freshness has no argument `{wrong}`. It has folder, review_after, reviewed, review_every, limit"
        )
        assert not result.retryable


def test_builtin_task_says_what_is_wrong_without_a_traceback(place: Place) -> None:
    """An argument without meaning is one sentence, in the reason alone, and is not tried again."""
    result = place.python("doc_freshness", folder="Nowhere")
    assert result.reason == "there is no folder `Nowhere` in the vault. Write its path from the vault's root"
    assert not result.retryable
    assert result.text == ""
