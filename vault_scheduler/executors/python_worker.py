"""Runs one python task: a program of its own, started as `python -X utf8 -u python_worker.py REQUEST.json`.

It runs in the user's interpreter: one file, standard library only, Python 3.8 and later. The request's keys:
`call` ("module:function") or `code` (a file), `args`, `path` and `path_after` (folders to import from, before and
after all others), `result` (the file to leave the result in), and for built-in tasks `given` (what they may ask
for by the names of their positional parameters: folders as text) and `timezone`.
"""

from __future__ import annotations

import sys

# This file's own folder comes first on the import path: its neighbours would hide modules of the same name.
if sys.path[0] == __file__.rpartition("/")[0]:
    sys.path.pop(0)

import importlib
import inspect
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXIT_FAILED = 1


class NotCallable(Exception):
    """The function that the task names cannot be found or called."""


def main(request_path: str) -> int:
    """Run the request; the exit code. `sys.exit` in the task goes through."""
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    sys.path[:0] = request["path"]
    sys.path += request["path_after"]
    sys.argv = [request.get("code") or request["call"]]
    try:
        returned = _run(request)
    except NotCallable as error:
        return _fail(request, str(error), retryable=False)
    except Exception as error:
        if _is_told(error):  # the reason says it all: printed, it would stand in the note twice
            _leave(request, _failed(str(error), retryable=getattr(error, "retryable", True)))
            return EXIT_FAILED
        _print_traceback(error)
        return _fail(request, _reason(error), retryable=not isinstance(error, (ImportError, SyntaxError)))
    _leave(request, _show(returned))
    return 0


def _run(request: dict[str, Any]) -> Any:
    if request.get("code"):
        return _run_file(request["code"])
    arguments = dict(request["args"])
    function = _find(request)
    given = _given_to_builtin(function, request) if "given" in request else []
    try:
        inspect.signature(function).bind(*given, **arguments)
    except TypeError as error:
        raise NotCallable(_unknown_argument(function, request) or f"{request['call']}: {error}") from None
    except ValueError:  # a function written in C does not always tell its parameters
        pass
    returned = function(*given, **arguments)
    return _awaited(returned) if inspect.isawaitable(returned) else returned


def _awaited(awaitable: Any) -> Any:
    import asyncio

    async def finish() -> Any:
        return await awaitable

    return asyncio.run(finish())


def _run_file(path: str) -> None:
    code = compile(Path(path).read_bytes(), path, "exec")
    exec(code, {"__name__": "__main__", "__file__": path})


def _given_to_builtin(function: Callable[..., Any], request: dict[str, Any]) -> list[Any]:
    """What a built-in task asks for by its positional parameters; its arguments in the note are keywords only."""
    from datetime import datetime
    from zoneinfo import ZoneInfo

    there: dict[str, Any] = {name: Path(path) for name, path in request["given"].items()}
    there["now"] = datetime.now(ZoneInfo(request["timezone"]))
    wanted = inspect.signature(function).parameters.values()
    return [there.get(each.name) for each in wanted if each.kind is each.POSITIONAL_ONLY]


def _unknown_argument(function: Callable[..., Any], request: dict[str, Any]) -> str:
    """Of a built-in task: which argument it does not have, and which it has."""
    if "given" not in request:
        return ""
    known = [each.name for each in inspect.signature(function).parameters.values() if each.kind is each.KEYWORD_ONLY]
    wrong = ", ".join(f"`{name}`" for name in request["args"] if name not in known)
    task = request["call"].rpartition(":")[0].rpartition(".")[2]
    return f"{task} has no argument {wrong}. It has {', '.join(known)}" if wrong else ""


def _is_told(error: Exception) -> bool:
    """Whether it is an error of our own: its text is meant for people, and no traceback makes it clearer."""
    return any(base.__module__ == "vault_scheduler.errors" for base in type(error).__mro__)


def _find(request: dict[str, Any]) -> Callable[..., Any]:
    name, _, attribute = request["call"].partition(":")
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise  # the module is there; something that it imports is not
        looked = " and ".join([*request["path"], "the packages of " + sys.executable])
        raise NotCallable(f"no module {error.name!r}: looked in {looked}") from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            where = getattr(found, "__file__", None) or name
            raise NotCallable(f"no function {attribute!r} in {where}")
        found = getattr(found, part)
    if not callable(found):
        raise NotCallable(f"{request['call']} is not a function")
    return found


def _show(returned: Any) -> dict[str, Any]:
    """Print what was returned, so that it is in the output like everything else; markdown is declared too."""
    if returned is None:
        return {"ok": True}
    if isinstance(returned, dict) and isinstance(returned.get("markdown"), str):
        print(returned["markdown"])
        return {"ok": True, "markdown": returned["markdown"]}
    print(returned if isinstance(returned, str) else _plain(returned))
    return {"ok": True}


def _plain(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (TypeError, ValueError):
        return str(value)


def _fail(request: dict[str, Any], reason: str, retryable: bool) -> int:
    print(reason, file=sys.stderr)
    _leave(request, _failed(reason, retryable))
    return EXIT_FAILED


def _failed(reason: str, retryable: bool) -> dict[str, Any]:
    return {"ok": False, "reason": reason, "retryable": retryable}


def _leave(request: dict[str, Any], result: dict[str, Any]) -> None:
    part = Path(request["result"] + ".part")
    part.write_text(json.dumps(result), encoding="utf-8")
    part.replace(request["result"])


def _print_traceback(error: BaseException) -> None:
    """The traceback of the task's own code, without the frames of this file."""
    error.__traceback__ = _first_foreign(error.__traceback__)
    traceback.print_exception(type(error), error, error.__traceback__)


def _first_foreign(entry: Any) -> Any:
    own = (__file__, importlib.__file__)
    while entry is not None and (
        entry.tb_frame.f_code.co_filename in own or "importlib" in entry.tb_frame.f_code.co_filename
    ):
        entry = entry.tb_next
    return entry


def _reason(error: BaseException) -> str:
    """`ValueError: no such feed (fetch.py:12)`: what, and the last line of the task's code that it passed."""
    text = traceback.format_exception_only(type(error), error)[-1].strip()
    place = _place(error)
    return f"{text} ({place})" if place else text


def _place(error: BaseException) -> str | None:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = traceback.extract_tb(_first_foreign(error.__traceback__))
    if not frames:
        return None
    home = Path(frames[0].filename).parent
    last = [frame for frame in frames if Path(frame.filename).parent == home][-1]
    return f"{Path(last.filename).name}:{last.lineno}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
