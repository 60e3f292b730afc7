"""Command tasks: a line for the shell, a list to execute, or the note's first fenced code block."""

from __future__ import annotations

from pathlib import Path

from vault_scheduler.executors.base import (
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
from vault_scheduler.notes.body import CodeBlock
from vault_scheduler.run import Result
from vault_scheduler.task import CommandAction

# The language of a code block (`body.LANGUAGES`) -> the program that runs it.
INTERPRETERS = {
    "": "sh",
    "sh": "sh",
    "shell": "sh",
    "bash": "bash",
    "dash": "dash",
    "ksh": "ksh",
    "zsh": "zsh",
    "fish": "fish",
    "nu": "nu",
    "nushell": "nu",
    "powershell": "pwsh",
    "pwsh": "pwsh",
    "python": "python",
    "python3": "python",
    "py": "python",
    "javascript": "node",
    "js": "node",
    "node": "node",
    "mjs": "node",
    "ruby": "ruby",
    "rb": "ruby",
    "perl": "perl",
    "pl": "perl",
    "php": "php",
    "lua": "lua",
    "r": "Rscript",
    "julia": "julia",
    "tcl": "tclsh",
    "applescript": "osascript",
}
_ENDINGS = {"pwsh": "ps1", "node": "js"}  # for the programs that refuse a file with another ending


class CommandExecutor:
    """Turns command tasks into processes."""

    def __init__(self, machine: MachineEnvironment) -> None:
        self._machine = machine

    def prepare(self, request: RunRequest, folder: Path) -> Launch | Result:
        """The shell, program or interpreter to launch; a failure if there is none."""
        action = action_of(request)
        assert isinstance(action, CommandAction)
        try:
            cwd = working_folder(request)
            if action.command is None:
                return self._code_block(body.first_code_block(request.body), cwd, folder)
            return Launch(argv=argv_of(action.command, "command", cwd, self._machine), cwd=cwd)
        except CannotStart as error:
            return failure(error.reason, retryable=error.retryable)

    def interpret(self, request: RunRequest, ended: Ended) -> Result:
        """Exit 0 is success; everything else a failure with the last line that it printed."""
        return ended_result(request, ended)

    def _code_block(self, block: CodeBlock | None, cwd: Path, folder: Path) -> Launch:
        if block is None:
            raise CannotStart("no `command` and no fenced code block in the note", retryable=False)
        program = interpreter_of(block.language)
        ending = "mjs" if block.language == "mjs" else _ENDINGS.get(program, "txt")
        script = f"script.{ending}"
        return Launch(argv=(self._find(program, cwd), str(folder / script)), cwd=cwd, files={script: block.text})

    def _find(self, program: str, cwd: Path) -> str:
        name = interpreter_of_python(self._machine) if program == "python" else program
        path = find_program(name, self._machine, cwd)
        if path is None:
            raise CannotStart(
                f"no such interpreter: {name}. Install it, or name another language on the code block",
                retryable=False,
            )
        return path


def argv_of(command: str | tuple[str, ...], key: str, cwd: Path, machine: MachineEnvironment) -> tuple[str, ...]:
    """A line as the shell's, a list as the program that it names. Raises CannotStart; `key` is where it stands."""
    if isinstance(command, str):
        return ("/bin/sh", "-c", command)
    if not command:
        raise CannotStart(f"`{key}` is an empty list", retryable=False)
    program = find_program(command[0], machine, cwd)
    if program is None:
        raise CannotStart(
            f"no such program: {command[0]}. Install it, or add its folder to `path` in config.toml",
            retryable=False,
        )
    return (program, *command[1:])


def interpreter_of(language: str) -> str:
    """The program that runs a code block. Raises CannotStart if there is none.

    Only the languages of the table are ever run: a block of `diff` or `json` is text that somebody quoted.
    """
    try:
        return INTERPRETERS[language]
    except KeyError:
        raise CannotStart(
            f"no interpreter for {language} code blocks. Name a language that can be run: sh, bash, python …",
            retryable=False,
        ) from None
