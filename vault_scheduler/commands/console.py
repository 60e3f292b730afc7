"""What all commands share: their options, the place they are about, output and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from vault_scheduler.errors import BadUsage

if TYPE_CHECKING:
    from vault_scheduler.machine.place import Place

FINDINGS = 1
T = TypeVar("T")

VaultOption = Annotated[
    Path | None,
    typer.Option("--vault", help="The vault; else VAULT_SCHED_VAULT, else the one you stand in.", metavar="PATH"),
]


def _task_names(ctx: typer.Context, incomplete: str) -> list[str]:
    from vault_scheduler.commands import completion

    return completion.tasks(ctx, incomplete)


def _run_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    from vault_scheduler.commands import completion

    return completion.runs_and_tasks(ctx, incomplete)


def task_argument(told: str = "A task by name.", metavar: str = "TASK") -> Any:
    """An argument that names a task; shells complete it."""
    return typer.Argument(help=told, metavar=metavar, autocompletion=_task_names)


def run_argument(told: str, metavar: str) -> Any:
    """An argument that names a run or a task; shells complete both."""
    return typer.Argument(help=told, metavar=metavar, autocompletion=_run_ids)


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
ZoneOption = Annotated[str | None, typer.Option("--timezone", help="IANA zone, like Europe/Berlin.", metavar="ZONE")]


class ReaderGone(Exception):
    """Nobody reads the output any more. A name of its own, for typer ends with exit code 1 on a broken pipe."""


class Command(TyperCommand):
    """A command that reads its plain arguments by itself: typer loads pydantic for every one, which costs 80 ms."""

    def invoke(self, ctx: Any) -> Any:
        """As typer does it. Raises ReaderGone."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGone from None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does it."""
        _read_plainly(self.get_params(ctx))
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """The same for what stands before the command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does it."""
        _read_plainly(self.get_params(ctx))
        return super().parse_args(ctx, args)


def _read_plainly(params: Iterable[Any]) -> None:
    for param in params:
        if getattr(param, "_runtime_param", param) is None:  # a typer that does it otherwise is left alone
            param._runtime_param = _Plainly(param)


class _Plainly:
    """Reads texts, paths, words and whole numbers; whatever else there is, and every refusal, is typer's own."""

    def __init__(self, param: Any) -> None:
        self._kind = param.type_descriptor.annotation
        self._bounds = param.type_descriptor.parameter_info

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of a parameter as its command takes it."""
        several = param.multiple or param.nargs == -1
        if value is None or (several and not value):
            return () if several else None
        read = list(value) if self._kind == list[str] else self._read(str(value))
        if read is not None:
            return read
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)

    def _read(self, value: str) -> Any:
        """None for what is left to typer."""
        if self._kind in (str, Path):
            return self._kind(value)
        if self._kind is int and value.isascii() and value.isdigit() and len(value) < 10:
            return int(value) if self._bounds.min <= int(value) <= self._bounds.max else None
        if isinstance(self._kind, type) and issubclass(self._kind, StrEnum):
            return next((word for word in self._kind if word == value), None)
        return None


def open_place(vault: Path | None, start: Path | None = None) -> Place:
    """The vault that this command is about. Raises VaultNotFound, ConfigInvalid."""
    from vault_scheduler.commands.kept_notes import settings_as_kept
    from vault_scheduler.machine.place import Place

    return Place.open(vault, start=start or Path.cwd(), environ=os.environ, settings=settings_as_kept)


def writing_place(vault: Path | None, verb: str) -> Place:
    """The same for a command that a run must not give (rule 8): it would widen what the run may do."""
    place = open_place(vault)
    refuse_in_run(verb)
    return place


def refuse_in_run(verb: str, *, paused: bool = False) -> None:
    """Raise BadUsage inside a run that may not use this verb."""
    from vault_scheduler.commands.inside_run import caller_of, refusal

    why = refusal(verb, caller_of(os.environ), paused=paused)
    if why:
        raise BadUsage(why)


def say(lines: Iterable[str], *, aside: bool = False) -> None:
    """Print a page: in colour on a terminal, as plain text elsewhere. `aside`: on stderr."""
    from vault_scheduler.commands import screen

    screen.say(lines, sys.stderr if aside else sys.stdout)


def say_json(shape: Any) -> None:
    """Print JSON."""
    import json

    print(json.dumps(shape, indent=2, ensure_ascii=False, default=str))


def width() -> int | None:
    """The terminal's width; None where the output goes into a file or a pipe and nothing is to be cut."""
    from vault_scheduler.commands import screen

    return screen.width()


def is_terminal() -> bool:
    """Whether a person sees the output at once."""
    return sys.stdout.isatty()


def finish(fine: bool) -> None:
    """End with exit code 0, or 1 for findings."""
    raise typer.Exit(0 if fine else FINDINGS)


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What an async verb returns."""
    import asyncio

    found: list[T] = []

    async def keep() -> None:
        found.append(await work)

    asyncio.run(keep())  # returns nothing, for Python 3.11 spells the result out: a long line of a thousand tasks
    return found[0]


def looked(work: Coroutine[Any, Any, T]) -> T:
    """What an async verb returns that only looks: it waits for nothing, and so needs no event loop (25 ms to load)."""
    try:
        work.send(None)
    except StopIteration as done:
        found: T = done.value
        return found
    work.close()
    raise RuntimeError("a verb that only looks has waited for something")


def complain(message: str) -> None:
    """One line (or some) on stderr."""
    from vault_scheduler.commands import screen

    screen.say(f"vault-sched: {message}".split("\n"), sys.stderr)
