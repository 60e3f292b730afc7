"""Commands about this machine and how it runs a vault: `doctor`, `service`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vault_scheduler.commands.console import (
    JsonOption,
    VaultOption,
    complain,
    finish,
    finished,
    open_place,
    refuse_in_run,
    say,
    say_json,
    writing_place,
)
from vault_scheduler.errors import Refused, VaultNotFound

if TYPE_CHECKING:
    from vault_scheduler.commands.service import Installed


def doctor(
    notify: Annotated[bool, typer.Option("--notify", help="Send a test message to each notifier, too.")] = False,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Whether everything works that the scheduler needs. Each fault is told with its cure; exit code 1 if any."""
    from vault_scheduler.commands import health
    from vault_scheduler.commands.doctor import examine
    from vault_scheduler.commands.machine_health import config_findings
    from vault_scheduler.commands.notifying import try_notifiers
    from vault_scheduler.machine.config import Machine
    from vault_scheduler.machine.place import Place
    from vault_scheduler.platform.paths import config_folder

    if notify:
        refuse_in_run("doctor --notify")
    machine = Machine.examine(config_folder())
    try:
        place = Place.open(vault, start=Path.cwd(), environ=os.environ, machine=machine)
        found = finished(examine(place))
        if notify:
            found += finished(try_notifiers(machine, place.timezone))
    except VaultNotFound as error:  # the folder that it is known by may be what cannot be read
        if not machine.faults:
            raise
        found = [*config_findings(machine), health.fault("vault", str(error), "")]
    if json:
        say_json([asdict(finding) for finding in found])
    else:
        say(health.page(found))
    finish(not any(finding.grade is health.Grade.FAULT for finding in found))


def claude(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="What it is given, for example setup-token.", metavar="[ARGUMENT]...")
    ] = None,
) -> None:
    """Start the Claude Code that tasks use. To log in, or to reopen a session; no other needs to be installed."""
    from vault_scheduler.machine.claude_program import bundled_cli

    refuse_in_run("claude")
    program = bundled_cli()
    if program is None:
        raise Refused("Claude Code did not come with the Agent SDK. Install vault-sched again")
    os.execv(program, [str(program), *(arguments or [])])


def state_export(
    file: Annotated[Path, typer.Argument(help="The archive to write, for example vault-state.zip.")],
    outputs: Annotated[
        bool, typer.Option("--with-outputs/--without-outputs", help="Full outputs of runs, too; they are most of it.")
    ] = True,
    vault: VaultOption = None,
) -> None:
    """Write what this machine knows of the vault into one file. The daemon may run meanwhile; better if it does not."""
    from vault_scheduler.commands import carrying, carrying_page

    place = writing_place(vault, "state export")
    say(carrying_page.exported(finished(carrying.export(place, file.expanduser(), outputs=outputs))))


def state_import(
    file: Annotated[Path, typer.Argument(help="An archive that `state export` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Set aside what this machine knows of the vault.")] = False,
    with_approvals: Annotated[
        bool, typer.Option("--with-approvals", help="What was approved on the other machine is approved here.")
    ] = False,
    vault: VaultOption = None,
) -> None:
    """Begin here with the state of another machine. No daemon may run; nothing is caught up."""
    from vault_scheduler.commands import carrying, carrying_page

    place = writing_place(vault, "state import")
    found = finished(carrying.take(place, file.expanduser(), replacing=replace, with_approvals=with_approvals))
    say(carrying_page.imported(found, place.machine.trust))


def service_install(
    print_: Annotated[bool, typer.Option("--print", help="Show the file, write nothing.")] = False,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start it now, and at every login.")] = True,
    vault: VaultOption = None,
) -> None:
    """Run the daemon as a service of yours. From login on, started again when it ends or hangs."""
    from vault_scheduler.commands import service

    if print_:
        print(service.text(open_place(vault)), end="")
        return
    done = service.install(writing_place(vault, "service install"), start=start)
    print(f"wrote {done.standing.path}")
    _tell(done, f"{done.manager} starts it now, and at every login" if start else "it is not started")
    finish(not done.fault)


def service_restart(
    now: Annotated[bool, typer.Option("--now", help="End what runs instead of waiting for it.")] = False,
    vault: VaultOption = None,
) -> None:
    """Restart the daemon when what runs has ended. Nothing is started until then, and no fire time is lost."""
    from vault_scheduler.commands import service

    done = service.restart(writing_place(vault, "service restart"), now=now)
    _tell(done, f"{done.manager} restarts it")
    finish(not done.fault)


def service_uninstall(vault: VaultOption = None) -> None:
    """Stop the service and remove its file. Notes, ledger and configuration stay."""
    from vault_scheduler.commands import service

    done = service.uninstall(writing_place(vault, "service uninstall"))
    print(f"removed {done.standing.path}")
    if done.fault:
        complain(f"{done.manager} could not stop it: {done.fault}")
    finish(not done.fault)


def service_status(vault: VaultOption = None) -> None:
    """Whether the service is installed, starts at login, and runs. Exit code 1 if it does not run."""
    from vault_scheduler.commands import service

    found = service.standing(open_place(vault))
    stands = found.standing
    if not stands.installed:
        say(["not installed. `vault-sched service install` lets the daemon run from login on"])
        finish(False)
    words = ["runs" if stands.active else "does not run", "starts at login" if stands.enabled else "is not enabled"]
    say([f"{found.manager}: {', '.join(words)} ({stands.path})", *stands.advice])
    finish(stands.active)


def _tell(done: Installed, words: str) -> None:
    if done.fault:
        complain("\n".join(filter(None, [f"{done.manager} could not start it: {done.fault}", done.cure])))
        return
    if done.drains:
        words = "the daemon restarts when what runs has ended, and starts nothing until then (`restart --now` ends it)"
    if done.unread:
        words = f"{words}. What was written counts from the next login, or `vault-sched service restart --now`"
    say([words, *done.standing.advice, "`vault-sched status` tells whether it watches the vault"])
