"""Commands that run tasks: here, or by asking the daemon."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from vault_scheduler.commands.console import (
    VaultOption,
    complain,
    finish,
    finished,
    run_argument,
    say,
    task_argument,
    writing_place,
)

if TYPE_CHECKING:
    from vault_scheduler.commands.progress import ProgressLine
    from vault_scheduler.machine.place import Place
    from vault_scheduler.run import Run


class LogFormat(StrEnum):
    """How the daemon writes its log."""

    TEXT = "text"
    JSON = "json"


def daemon(
    once: Annotated[bool, typer.Option("--once", help="Run what is due now, then end.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="One line an event.")] = LogFormat.TEXT,
    vault: VaultOption = None,
) -> None:
    """Run what is due, in the foreground. Ends at TERM, INT or HUP, and ends what runs with it."""
    from vault_scheduler.daemon.stop_signals import ignore_orders

    ignore_orders()
    from vault_scheduler.commands import screen
    from vault_scheduler.commands.done_lines import event_line
    from vault_scheduler.commands.log_stream import LogStream
    from vault_scheduler.daemon import serving
    from vault_scheduler.daemon.draining import Then
    from vault_scheduler.machine.installation import start_anew

    place = writing_place(vault, "daemon")
    line = partial(event_line, place, as_json=log_format is LogFormat.JSON)
    shown = screen.painted if screen.has_colour(sys.stdout) else str
    log = LogStream(sys.stdout.fileno(), sys.stdout.encoding, lambda *event: shown(line(*event)))
    with log.flowing():
        then = finished(serving.serve(place, once=once, tell=log.tell))
    if then is Then.RESTART:
        start_anew()


def run(
    task: Annotated[str, task_argument()],
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; exit code 1 if it failed.")] = False,
    vault: VaultOption = None,
) -> None:
    """Run a task once, now. The schedule does not move."""
    from vault_scheduler.commands import app
    from vault_scheduler.commands.done_lines import ran_line, refused_line
    from vault_scheduler.commands.progress import progress_line
    from vault_scheduler.commands.view import notes
    from vault_scheduler.daemon import requests

    place = writing_place(vault, "run")
    item = app.runnable(notes(place).find(task))
    tell = _problems_of(place, item.path)
    with progress_line() as line:
        meanwhile = _how_far(place, line) if line.is_wanted else None
        asked = requests.request(place, "run", item.name, wait=wait, tell=tell, meanwhile=meanwhile)
        answer = finished(asked)
    if answer.refused:
        complain(refused_line(item.name, answer.refused))
        finish(False)
    say([ran_line(item.name, answer.run, answer.outcome, answer.reason)])
    finish(answer.outcome is None or answer.outcome.value == "success")


def _how_far(place: Place, line: ProgressLine) -> Callable[[Run], None]:
    """Tells on the line whether the run goes on or what it waits for."""
    from zoneinfo import ZoneInfo

    from vault_scheduler.commands.task_words import going

    zone = ZoneInfo(place.timezone)
    return lambda run: line.show(f"{run.task} {going(run, place.clock.now(), zone)}")


def _problems_of(place: Place, path: str) -> Callable[[str, str, str], None]:
    """Tells problems, but not those of other tasks' notes: nobody asked for them."""

    def tell(event: str, subject: str, message: str) -> None:
        if event == "problem" and (subject == path or not place.vault.is_task_path(subject)):
            complain(message)

    return tell


def cancel(
    task: Annotated[str, run_argument("A task, or the id of a run.", "TASK|RUN")],
    vault: VaultOption = None,
) -> None:
    """End what runs or waits of a task, or a run."""
    from vault_scheduler.commands import hindsight
    from vault_scheduler.daemon import requests

    place = writing_place(vault, "cancel")
    name, path = finished(hindsight.run_or_task(place, task))
    answer = finished(requests.request(place, "cancel", name, wait=False, tell=_problems_of(place, path)))
    if answer.refused:
        complain(f"{name} was not cancelled: {answer.refused}")
        finish(False)
    say([f"cancelled {each}" for each in answer.cancelled] or [f"{name} is not running; nothing to cancel"])


def mcp(vault: VaultOption = None) -> None:
    """Serve the commands to Claude. An MCP server on standard input and output."""
    from vault_scheduler.commands.mcp_server import serve

    finished(serve(vault))
