"""Python tasks: a function from the vault's scripts, a built-in one, or the note's first python block."""

from __future__ import annotations

import ast
import importlib.machinery
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from vault_scheduler.executors.base import (
    MARKDOWN_LIMIT,
    REASON_LIMIT,
    CannotStart,
    Ended,
    Launch,
    MachineEnvironment,
    RunRequest,
    action_of,
    ended_result,
    failure,
    find_program,
    interpreter_of_python,
    working_folder,
)
from vault_scheduler.notes import body
from vault_scheduler.run import Outcome, Result
from vault_scheduler.task import PythonAction
from vault_scheduler.text.harmless import head_and_tail, plain_line

_WORKER = Path(__file__).with_name("python_worker.py")
_BUILTINS = Path(__file__).parent.parent / "builtin"
_REQUEST, _RESULT, _BLOCK = "request.json", "result.json", "block.py"


class PythonExecutor:
    """Turns python tasks into processes of the worker program."""

    def __init__(self, machine: MachineEnvironment) -> None:
        self._machine = machine

    def prepare(self, request: RunRequest, folder: Path) -> Launch | Result:
        """The interpreter to launch with the worker; a failure if it, the function or the block is missing."""
        action = action_of(request)
        assert isinstance(action, PythonAction)
        try:
            cwd = working_folder(request)
            if action.call is None:
                return self._launch(request, action, cwd, folder, self._block(request))
            if is_builtin_call(action.call):
                return self._launch_builtin(request, action, cwd, folder)
            _require(_form_problem(action.call))
            return self._launch(request, action, cwd, folder, None)
        except CannotStart as error:
            return failure(error.reason, retryable=error.retryable)

    def interpret(self, request: RunRequest, ended: Ended) -> Result:
        """Success with the printed text or the returned markdown; a failure with the exception and its place."""
        result = ended_result(request, ended)
        left = ended.result or {}
        if result.outcome is Outcome.FAILURE and left.get("ok") is False:
            reason = plain_line(str(left.get("reason", "")), REASON_LIMIT)
            return replace(result, reason=reason, retryable=bool(left.get("retryable", True)))
        if result.outcome is Outcome.SUCCESS and ended.result_problem:
            return replace(result, outcome=Outcome.FAILURE, reason=ended.result_problem)
        if result.outcome is Outcome.SUCCESS and isinstance(left.get("markdown"), str):
            return replace(result, text=head_and_tail(left["markdown"], MARKDOWN_LIMIT), markdown=True)
        return result

    def _block(self, request: RunRequest) -> str:
        block = body.first_python_block(request.body)
        if block is None:
            raise CannotStart("no `call` and no ```python block in the note", retryable=False)
        return block.text

    def _launch(self, request: RunRequest, action: PythonAction, cwd: Path, folder: Path, code: str | None) -> Launch:
        name = action.python or interpreter_of_python(self._machine)
        interpreter = find_program(name, self._machine, Path(request.vault))
        if interpreter is None:
            raise CannotStart(
                f"no such interpreter: {name}. Install it, or change `python` in the note or in config.toml",
                retryable=False,
            )
        files = {} if code is None else {_BLOCK: code}
        asked = {"call": action.call, "code": None if code is None else str(folder / _BLOCK)}
        return _worker_launch(interpreter, request, action, cwd, folder, asked, files)

    def _launch_builtin(self, request: RunRequest, action: PythonAction, cwd: Path, folder: Path) -> Launch:
        name = action.call or ""
        _require(_builtin_problem(name))
        asked = {
            "call": f"vault_scheduler.builtin.{name}:run",
            "given": _given(request, self._machine),
            "timezone": request.timezone,
        }
        return _worker_launch(sys.executable, request, action, cwd, folder, asked, {}, own=True)


def _given(request: RunRequest, machine: MachineEnvironment) -> dict[str, str]:
    """The folders that a built-in task may ask for: `memory` is its own file, for what it knows from its last run."""
    given = {"vault": request.vault, "system": str(Path(request.vault, request.system_folder))}
    if not machine.state:
        return given
    name = f"{request.action['call']}-{sha256(request.task.encode()).hexdigest()[:12]}.json"
    return {**given, "state": machine.state, "memory": str(Path(machine.state, "builtin", name))}


def _worker_launch(
    interpreter: str,
    request: RunRequest,
    action: PythonAction,
    cwd: Path,
    folder: Path,
    asked: dict[str, Any],
    files: dict[str, str],
    own: bool = False,
) -> Launch:
    asked = {
        **asked,
        "args": dict(action.args),
        # Ours only, for built-in tasks: a module of the vault must not stand in for a part of them.
        "path": [] if own else [str(request.scripts_folder)],
        "path_after": [str(Path(__file__).parent.parent.parent)] if own else [],
        "result": str(folder / _RESULT),
    }
    return Launch(
        # -u: a traceback stands where it happened. -B: no __pycache__ folders in the vault.
        argv=(interpreter, "-X", "utf8", "-u", "-B", str(_WORKER), str(folder / _REQUEST)),
        cwd=cwd,
        files={**files, _REQUEST: json.dumps(asked, ensure_ascii=True)},
        result_file=_RESULT,
    )


def _require(problem: str | None) -> None:
    if problem is not None:
        raise CannotStart(problem, retryable=False)


def is_builtin_call(call: str) -> bool:
    """Whether `call` names a built-in task: no colon, no dot."""
    return ":" not in call and "." not in call


def builtin_names() -> list[str]:
    """The built-in python tasks."""
    return sorted(path.stem for path in _BUILTINS.glob("[a-z]*.py"))


def _builtin_problem(name: str) -> str | None:
    names = builtin_names()
    if name in names:
        return None
    near = get_close_matches(name, names, n=1)
    hint = f" (did you mean `{near[0]}`?)" if near else ". Write module:function for a function of your own"
    return f"no built-in task {name!r}{hint}"


@lru_cache
def builtin_arguments(name: str) -> tuple[str, ...]:
    """The arguments of a built-in task that a note can set, read from its code."""
    tree = ast.parse((_BUILTINS / f"{name}.py").read_bytes())
    runs = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == "run"]
    return tuple(each.arg for run in runs for each in run.args.kwonlyargs)


def _argument_problem(name: str, args: Iterable[str]) -> str | None:
    known = builtin_arguments(name)
    wrong = next((each for each in args if each not in known), None)
    if wrong is None:
        return None
    near = get_close_matches(wrong, known, n=1)
    hint = f" (did you mean `{near[0]}`?)" if near else f". It has {', '.join(known)}"
    return f"{name} has no argument `{wrong}`{hint}"


def callable_problem(
    call: str, scripts_folder: Path, *, args: Iterable[str] = (), other_packages: bool = False
) -> str | None:
    """What is wrong with a `call`, or with the names of the `args` of a built-in task.

    Found by path and syntax tree; nothing of the user's is imported. None where nothing is wrong, and where it cannot
    be told: a star import, a module's `__getattr__`, or with `other_packages` (the task runs in another interpreter
    than ours) a module that is not in the scripts folder.
    """
    if is_builtin_call(call):
        return _builtin_problem(call) or _argument_problem(call, args)
    if problem := _form_problem(call):
        return problem
    module, _, name = call.partition(":")
    path = _module_file(module.split("."), scripts_folder)
    if path is not None:
        return _function_problem(path, name.split(".")[0], scripts_folder)
    if other_packages or _is_installed(module.split(".")[0]):
        return None
    return f"no module {module!r}: there is no {module.replace('.', '/')}.py in {scripts_folder}"


def _form_problem(call: str) -> str | None:
    module, _, name = call.partition(":")
    if all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        return None
    return f"{call!r} does not name a function. Write module:function"


def _module_file(parts: list[str], scripts_folder: Path) -> Path | None:
    base = scripts_folder.joinpath(*parts)
    for path in (base / "__init__.py", base.with_name(base.name + ".py")):
        if path.is_file():
            return path
    return None


def _is_installed(top: str) -> bool:
    """Whether our interpreter has such a package; a look for a top-level name runs nothing of it."""
    if top in sys.stdlib_module_names:
        return True
    return importlib.machinery.PathFinder.find_spec(top) is not None


def _function_problem(path: Path, name: str, scripts_folder: Path) -> str | None:
    where = path.relative_to(scripts_folder).as_posix()
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        return f"{where}:{error.lineno}: {error.msg}"
    except (OSError, ValueError) as error:
        return f"{where} cannot be read: {error}"
    names = set(_names(tree.body))
    return None if names & {name, "*", "__getattr__"} else f"no function {name!r} in {where}"


def _names(statements: list[ast.stmt]) -> Iterator[str]:
    """The names that a module's top level binds, also below `if` and `try`."""
    for statement in statements:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name).split(".")[0] for alias in statement.names)
            case ast.Assign() | ast.AnnAssign():
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
            case ast.If() | ast.Try() | ast.With():
                yield from _names([node for node in ast.iter_child_nodes(statement) if isinstance(node, ast.stmt)])
                for handler in getattr(statement, "handlers", ()):
                    yield from _names(handler.body)
