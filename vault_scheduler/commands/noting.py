"""Commands that write notes."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vault_scheduler.commands.console import (
    JsonOption,
    VaultOption,
    ZoneOption,
    finish,
    finished,
    open_place,
    refuse_in_run,
    say,
    say_json,
    task_argument,
    writing_place,
)
from vault_scheduler.errors import BadUsage

if TYPE_CHECKING:
    from vault_scheduler.commands.catalogue import Catalogue, Item
    from vault_scheduler.commands.switching import Switched
    from vault_scheduler.machine.config import Machine


def init(
    path: Annotated[
        Path | None, typer.Argument(help="The vault; else the one you stand in.", metavar="[VAULT]")
    ] = None,
    claude: Annotated[
        bool | None,
        typer.Option("--claude/--no-claude", help="Skill, hooks and MCP server for Claude Code; else you are asked."),
    ] = None,
    test_notification: Annotated[
        bool, typer.Option("--test-notification", help="Send a test message to each notifier of this machine.")
    ] = False,
    remove_claude: Annotated[bool, typer.Option("--remove-claude", help="Only take those away again.")] = False,
    vault: VaultOption = None,
) -> None:
    """Make a vault ready. Folders, a settings note, a first task: what is there stays as it is."""
    from vault_scheduler.commands.creation import init_vault, vault_root_for
    from vault_scheduler.commands.done_lines import init_page
    from vault_scheduler.machine.config import Machine
    from vault_scheduler.machine.place import VAULT_VARIABLE
    from vault_scheduler.platform.paths import config_folder

    refuse_in_run("init")
    machine = Machine.load(config_folder())
    named = path or vault or os.environ.get(VAULT_VARIABLE)
    root = Path(named).expanduser() if named else vault_root_for(Path.cwd(), machine.system_folder)
    if not named and root == Path.home():
        raise BadUsage("your home folder would become the vault. Name the folder: `vault-sched init PATH`")
    if remove_claude:
        _without_claude(root.absolute(), machine)
        return
    say(init_page(init_vault(root.absolute(), machine)))
    _offer_claude(root.absolute(), machine, claude)
    if test_notification:
        _test_notification(machine)


def _test_notification(machine: Machine) -> None:
    from vault_scheduler.commands import health
    from vault_scheduler.commands.notifying import try_notifiers
    from vault_scheduler.machine.config import machine_timezone

    found = finished(try_notifiers(machine, machine_timezone()))
    say(health.page(found)[:-2])
    finish(not any(finding.grade is health.Grade.FAULT for finding in found))


def _offer_claude(root: Path, machine: Machine, wanted: bool | None) -> None:
    """Make Claude Code an author of tasks here, if that is wanted; what an earlier `init` put there is renewed."""
    from vault_scheduler.commands import claude_kit
    from vault_scheduler.vault.vault import Vault

    vault = Vault(root, machine.system_folder)
    is_there = claude_kit.is_installed(vault)
    if wanted is None and not is_there and sys.stdin.isatty() and sys.stdout.isatty():
        wanted = typer.confirm(
            "Shall Claude Code write tasks here (skill, hooks, MCP server in .claude/ and .mcp.json)?"
        )
    if wanted or (wanted is None and is_there):
        done = claude_kit.install(vault, anew=bool(wanted))
        say(["Claude Code:", *(done.lines() or ["  all as it should be"]), *claude_kit.TRY_IT])
    elif wanted is None:
        print("With Claude Code: `vault-sched init --claude` lets it write tasks here.")


def _without_claude(root: Path, machine: Machine) -> None:
    from vault_scheduler.commands import claude_kit
    from vault_scheduler.vault.vault import Vault

    if not root.is_dir():
        raise BadUsage(f"{root} is not a folder. Name the folder of the vault")
    done = claude_kit.remove(Vault(root, machine.system_folder))
    say(done.lines() or ["Nothing of ours is there."])


class Kind(StrEnum):
    """The types of tasks."""

    COMMAND = "command"
    PYTHON = "python"
    CLAUDE = "claude"


class NewStatus(StrEnum):
    """The status that a new task can have."""

    ACTIVE = "active"
    PAUSED = "paused"


StatusOption = Annotated[NewStatus, typer.Option("--status", help="Whether it starts to run at once.")]


def create(
    name: Annotated[str, typer.Argument(help="Name of the note below tasks/, like work/report.")],
    type_: Annotated[Kind | None, typer.Option("--type", help="Else told from --command, --call, --prompt.")] = None,
    cron: Annotated[list[str] | None, typer.Option(help='Like "0 7 * * 1-5"; may be repeated.', metavar="EXPR")] = None,
    every: Annotated[str | None, typer.Option(help="Like 15m or 1h30m.", metavar="DURATION")] = None,
    at: Annotated[list[str] | None, typer.Option(help="Like 2026-11-22T09:00; may be repeated.")] = None,
    timezone: ZoneOption = None,
    command: Annotated[str | None, typer.Option(help="What the shell runs.")] = None,
    call: Annotated[str | None, typer.Option(help="package.module:function, or a built-in.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What Claude is told; - reads it from standard input.")] = None,
    permissions: Annotated[str | None, typer.Option(help="read-only, edit or full.")] = None,
    max_usd: Annotated[float | None, typer.Option(help="Cap of one run in US dollars.")] = None,
    timeout: Annotated[str | None, typer.Option(help="Like 30m.", metavar="DURATION")] = None,
    output: Annotated[str | None, typer.Option(help='Note for the output, like "Briefings/{{date}}.md".')] = None,
    status_: StatusOption = NewStatus.ACTIVE,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other key.", metavar="KEY=VALUE")] = None,
    body: Annotated[str | None, typer.Option(help="Text of the note; - reads it from standard input.")] = None,
    vault: VaultOption = None,
) -> None:
    """Write a task note. It is checked first, and nothing is written if it would not run."""
    from zoneinfo import ZoneInfo

    from vault_scheduler.commands import creation
    from vault_scheduler.commands.done_lines import created_page
    from vault_scheduler.commands.view import notes

    place = open_place(vault)
    refuse_in_run("create", paused=status_ is NewStatus.PAUSED)
    if type_ is None and (command, call, prompt).count(None) != 2:
        raise BadUsage("say what it does: one of --command, --call, --prompt; or --type with the text in --body")
    given: dict[str, Any] = {
        **{"type": type_.value if type_ else None, "cron": cron or None, "every": every, "at": at or None},
        **{"timezone": timezone, "status": status_.value, "run_now": False, "call": call},
        **{"permissions": permissions, "max_usd": max_usd, "timeout": timeout, "output": output},
        **_settings_of(set_ or []),
    }
    draft = creation.drafted(name, given, command=command, prompt=prompt and _text(prompt), body=_text(body))
    made = creation.create_task(place, notes(place), draft)
    say(created_page(made, place.clock.now(), ZoneInfo(place.timezone)))


def _settings_of(pairs: list[str]) -> dict[str, object]:
    from vault_scheduler.commands.creation import plain_values

    found: dict[str, list[str]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip().replace("_", "").replace("-", "").isalnum():
            raise BadUsage(f"--set {pair} is not KEY=VALUE. Write it like --set retries=3")
        if key.strip() in ("status", "enabled", "run_now"):
            raise BadUsage(f"--set {pair}: use --status, and `vault-sched run` to run it")
        found.setdefault(key.strip(), []).append(value.strip())
    return {key: plain_values(key, values) for key, values in found.items()}


def _text(given: str | None) -> str:
    return sys.stdin.read().strip() if given == "-" else (given or "").strip()


TasksArgument = Annotated[list[str] | None, task_argument("Tasks by name.")]


def _named_items(catalogue: Catalogue, tasks: list[str] | None, everything: bool) -> list[Item | None]:
    """The tasks that are meant; None stands for the vault as a whole."""
    if bool(tasks) == everything:
        raise BadUsage("name one or more tasks, or give --all for the whole vault")
    return [None] if everything else [catalogue.find(name) for name in tasks or []]


def pause(
    tasks: TasksArgument = None,
    all_: Annotated[bool, typer.Option("--all", help="The whole vault, in its settings note.")] = False,
    until: Annotated[str | None, typer.Option(help="Resume by itself then.", metavar="ISO|DURATION")] = None,
    vault: VaultOption = None,
) -> None:
    """Let tasks start nothing. For good, or until a moment; what runs goes on."""
    from vault_scheduler.commands import done_lines, switching
    from vault_scheduler.commands.moments import read_until
    from vault_scheduler.commands.view import notes

    place = writing_place(vault, "pause")
    for item in _named_items(notes(place), tasks, all_):
        zone, now = switching.zone_of(place, item), place.clock.now()
        end: datetime | None = switching.last_second(read_until(until, zone, now), zone) if until else None
        done: Switched = switching.pause(place, item, end)
        print(done_lines.switched_line(done, end, zone))


def resume(
    tasks: TasksArgument = None,
    all_: Annotated[bool, typer.Option("--all", help="The whole vault, in its settings note.")] = False,
    vault: VaultOption = None,
) -> None:
    """Make tasks active again. Fire times that went by meanwhile do not run."""
    from vault_scheduler.commands import done_lines, switching
    from vault_scheduler.commands.task_words import vault_pause
    from vault_scheduler.commands.view import notes

    place = writing_place(vault, "resume")
    for item in _named_items(notes(place), tasks, all_):
        print(done_lines.switched_line(switching.resume(place, item), None, switching.zone_of(place, item)))
    if not all_:
        say(vault_pause(place, place.settings_in_force, place.clock.now()))


def host_take(vault: VaultOption = None) -> None:
    """Let this machine run the vault from now on. Nothing that was due before is caught up."""
    from vault_scheduler.commands import done_lines, moving

    print(done_lines.taken_line(finished(moving.take(writing_place(vault, "host take")))))


def approve(
    tasks: TasksArgument = None,
    all_: Annotated[bool, typer.Option("--all", help="Everything that is held.")] = False,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Show what is held; approve it by name. Without names, what is held and what it would run is listed."""
    from vault_scheduler.commands import app, shapes, waiting_page
    from vault_scheduler.commands.approving import approve as approve_these

    place = open_place(vault)
    found = finished(app.held(place))
    if not tasks and not all_:
        waiting = found.waiting
        say_json([shapes.waiting_shape(each) for each in waiting]) if json else say(waiting_page.held_page(waiting))
        return
    refuse_in_run("approve")
    if tasks and all_:
        raise BadUsage("name the tasks, or give --all: not both")
    chosen = found.waiting
    if tasks:
        names = {found.catalogue.find(name).name: name for name in tasks}
        chosen = tuple(each for each in chosen if each.task.id in names)
        for name in names.keys() - {each.task.id for each in chosen}:
            print(f"{name} is not held")
    approve_these(place, found.waiting, chosen, has_history=found.has_history)
    say(waiting_page.approved_page(chosen))


def ack(
    tasks: TasksArgument = None,
    all_: Annotated[bool, typer.Option("--all", help="All that is open.")] = False,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Silence what you know of already. Until it has ended; without names, what is open is listed."""
    from vault_scheduler.commands import acknowledging, shapes, waiting_page
    from vault_scheduler.commands.view import notes

    place = open_place(vault)
    if not tasks and not all_:
        found = finished(acknowledging.open_incidents(place))
        say_json([shapes.incident_shape(each, place) for each in found]) if json else say(
            waiting_page.incidents_page(found, place)
        )
        return
    refuse_in_run("ack")
    if tasks and all_:
        raise BadUsage("name the tasks, or give --all: not both")
    subjects: set[str] | None = None
    if tasks:
        items = [notes(place).find(name) for name in tasks]
        subjects = {subject for item in items for subject in (item.name, item.path)}
    done = finished(acknowledging.acknowledge(place, subjects))
    say_json([shapes.incident_shape(each, place) for each in done]) if json else say(waiting_page.silenced_page(done))


def restore(
    task: Annotated[str | None, task_argument("A task; without it, what can be restored.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only list what is kept.")] = False,
    number: Annotated[
        int | None, typer.Option("--number", min=1, max=1000, help="Which text of the list; else the last good one.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the difference.")] = False,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Bring back what a task note last said. Its runs stay, and what stands there now is kept."""
    from vault_scheduler.commands import app, restore_page, restoring

    place = open_place(vault)
    found = finished(app.held(place)).catalogue
    if task is None:
        listed = restoring.restorable(place, found)
        say_json(restore_page.restorable_shape(listed, place)) if json else say(
            restore_page.restorable_page(listed, place)
        )
    elif list_:
        name, kept = restoring.versions(place, found, task)
        say_json(restore_page.kept_shape(kept, place)) if json else say(restore_page.kept_page(name, kept, place))
    else:
        if not dry_run:
            refuse_in_run("restore")
        done = restoring.restore(place, found, task, number, only_show=dry_run)
        say(restore_page.restored_page(done, place, only_shown=dry_run))
