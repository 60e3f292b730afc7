"""Commands about whole task notes: `edit`, `delete`, `import-crontab`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vault_scheduler.commands.console import VaultOption, complain, finish, finished, say, task_argument, writing_place
from vault_scheduler.errors import BadUsage, Refused

if TYPE_CHECKING:
    from vault_scheduler.machine.place import Place
    from vault_scheduler.task import Problem


def edit(task: Annotated[str, task_argument()], vault: VaultOption = None) -> None:
    """Open a task's note in your editor. What you save is checked; what is wrong can be put right at once."""
    from vault_scheduler.commands import problem_page
    from vault_scheduler.commands.view import notes

    place = writing_place(vault, "edit")
    path = notes(place).find(task).path
    while True:
        _open_editor(place.vault.root / path)
        problems = _problems(place, path)
        say(problem_page.problem_line(problem) for problem in problems)
        if not any(problem.is_error for problem in problems):
            quiet_s = place.settings_in_force.note_quiet.total_seconds()
            say([f"{path} is fine; it counts when it has been left alone for {quiet_s:g} s"])
            return
        if not (sys.stdin.isatty() and typer.confirm("Open it again?", default=True)):
            complain("until this is put right, what was last good stays in force for 60 s, and then nothing runs")
            finish(False)


def _open_editor(path: Path) -> None:
    """Raises Refused if it cannot be started or says that it failed."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.call([*shlex.split(named), str(path)])
    except (OSError, ValueError) as error:
        raise Refused(f"the editor {named!r} cannot be started ({error}). Set EDITOR to one that can") from error
    if code != 0:
        raise Refused(f"the editor {named!r} ended with exit code {code}")


def _problems(place: Place, path: str) -> list[Problem]:
    from vault_scheduler.commands import checking

    return list(finished(checking.check(place, [path])).problems)


def delete(tasks: Annotated[list[str], task_argument("Tasks by name.")], vault: VaultOption = None) -> None:
    """Move tasks' notes into the vault's trash. What waits of them is skipped, what runs goes on."""
    from vault_scheduler.commands.trash import throw_away
    from vault_scheduler.commands.view import notes

    place = writing_place(vault, "delete")
    catalogue = notes(place)
    for path in [catalogue.find(name).path for name in tasks]:  # all names first: none or all are deleted
        print(f"{path} is now {throw_away(place, path)}")


def import_crontab(
    file: Annotated[str | None, typer.Argument(help="A crontab; else your own (`crontab -l`).")] = None,
    active: Annotated[bool, typer.Option("--active", help="Let them run at once; else they are paused.")] = False,
    system: Annotated[bool, typer.Option("--system", help="The sixth field is a user, as in /etc/crontab.")] = False,
    vault: VaultOption = None,
) -> None:
    """Write a task note for each entry of a crontab. They are paused: cron runs them still."""
    from vault_scheduler.commands import importing

    place = writing_place(vault, "import-crontab")
    if file == "-":
        raise BadUsage("name a file; `crontab -l > file` makes one")
    done = importing.import_crontab(place, importing.crontab_of(file or ""), active=active, with_user=system)
    say(f"line {line}: wrote {path}" for line, path in done.written)
    say(done.remarks)
    for line, _, why in done.refused:
        complain(f"line {line}: not imported: {why}")
    if done.written and not active:
        say(["They are paused. Remove the lines from the crontab, then `vault-sched resume TASK…` makes them active."])
    if not (done.written or done.refused):
        say(["there is no entry in it"])
    finish(not done.refused)
