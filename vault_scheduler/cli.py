"""The command line: the table of commands, and `main`, which turns errors into advice and exit codes.

What is heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn, TextIO

import typer

from vault_scheduler import __version__
from vault_scheduler.commands import changing, installing, looking, noting, running
from vault_scheduler.commands.console import Command, Group, ReaderGone, VaultOption, complain
from vault_scheduler.errors import VaultSchedError


def _empty_program() -> typer.Typer:
    return typer.Typer(
        cls=Group,
        name="vault-sched",
        help="The scheduler that lives in an Obsidian vault: every task is one markdown note.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


cli = _empty_program()

INTERNAL = 70
"""As in sysexits.h: a fault of the program, not of the vault."""

COMMANDS: dict[str, Callable[..., Any]] = {
    "init": noting.init,
    "daemon": running.daemon,
    "create": noting.create,
    "edit": changing.edit,
    "delete": changing.delete,
    "import-crontab": changing.import_crontab,
    "list": looking.list_,
    "show": looking.show,
    "next": looking.next_,
    "forecast": looking.forecast,
    "pause": noting.pause,
    "resume": noting.resume,
    "run": running.run,
    "cancel": running.cancel,
    "history": looking.history,
    "logs": looking.logs,
    "check": looking.check,
    "status": looking.status,
    "doctor": installing.doctor,
    "approve": noting.approve,
    "ack": noting.ack,
    "mcp": running.mcp,
    "claude": installing.claude,
    "restore": noting.restore,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "host": ("Which machine runs the vault.", {"take": noting.host_take}),
    "service": (
        "The daemon as a service of yours.",
        {
            "install": installing.service_install,
            "restart": installing.service_restart,
            "uninstall": installing.service_uninstall,
            "status": installing.service_status,
        },
    ),
}
GROUPS["state"] = (
    "What this machine knows of the vault, to be carried to another one.",
    {"export": installing.state_export, "import": installing.state_import},
)
_HANDED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


def _add(program: typer.Typer, name: str) -> None:
    program.command(name, cls=Command, context_settings=_HANDED_ON if name == "claude" else None)(COMMANDS[name])


for _name in COMMANDS:
    _add(cli, _name)
for _name, (_help, _commands) in GROUPS.items():
    _group = typer.Typer(cls=Group, help=_help, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
    for _verb, _command in _commands.items():
        _group.command(_verb, cls=Command)(_command)
    cli.add_typer(_group, name=_name)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vault-sched {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    vault: VaultOption = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    if vault is not None:
        from vault_scheduler.machine.place import VAULT_VARIABLE

        os.environ[VAULT_VARIABLE] = str(vault)  # before the command it means the same as behind it


def _program(words: Sequence[str]) -> typer.Typer:
    """All commands; the one alone that the first word names, for typer takes a millisecond to describe each."""
    if not words or words[0] not in COMMANDS:
        return cli
    program = _empty_program()
    program.callback()(_options)
    _add(program, words[0])
    return program


def main() -> NoReturn:
    """The program: errors of ours become advice on stderr and an exit code; nobody sees a traceback."""
    # `vault-sched list >&-`: there is no stream at all.
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        # Signs in a terminal that cannot show them, and file names that are no text, must not end a command.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        code = _run()
        sys.stdout.flush()
    except (BrokenPipeError, ReaderGone):  # `vault-sched list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 (open until the program ends)


def _run() -> int:
    try:
        _program(sys.argv[1:])(prog_name="vault-sched")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except VaultSchedError as error:
        complain(str(error))
        return error.exit_code
    except (BrokenPipeError, ReaderGone):
        raise
    except OSError as error:
        complain(f"{_place_of(error)}. Nothing more was done")
        return 1
    except Exception as error:
        complain(_fault(error))
        return INTERNAL
    return 0


def _place_of(error: OSError) -> str:
    """What failed where, without the names of our temporary files."""
    folder, _, name = str(error.filename or "").rpartition("/")
    where = folder if name.startswith(".vault-sched.") else error.filename
    return f"{where}: {error.strerror}" if where else str(error)


def _fault(error: Exception) -> str:
    """A fault of ours, on one line that says where: what people can send us."""
    import traceback

    if os.environ.get("VAULT_SCHED_DEBUG"):
        traceback.print_exception(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119 (no path may be meant)
    told = " ".join(str(error).split())
    return f"internal error: {type(error).__name__}: {told} ({where}). VAULT_SCHED_DEBUG=1 shows all of it"
