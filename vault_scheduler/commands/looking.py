"""Commands that look: they create nothing, and work beside a daemon and on a read-only vault."""

from __future__ import annotations

import contextlib
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vault_scheduler.commands.console import (
    JsonOption,
    VaultOption,
    ZoneOption,
    finish,
    finished,
    is_terminal,
    looked,
    open_place,
    refuse_in_run,
    run_argument,
    say,
    say_json,
    task_argument,
    width,
)
from vault_scheduler.errors import BadUsage, VaultSchedError

if TYPE_CHECKING:
    from vault_scheduler.machine.place import Place

NEXT_SHOWN = 5


def list_(vault: VaultOption = None, json: JsonOption = False) -> None:
    """All tasks: how they stand, next and last run."""
    from vault_scheduler.commands import app, shapes, task_page

    place = open_place(vault)
    catalogue, listed = looked(app.list_tasks(place))
    if json:
        say_json(shapes.list_shape(listed, place))
    else:
        say(task_page.task_list(catalogue, listed, place, place.clock.now(), width()))


def show(task: Annotated[str, task_argument()], vault: VaultOption = None, json: JsonOption = False) -> None:
    """One task: what, when, and its last runs."""
    from vault_scheduler.commands import app, shapes, task_page

    place = open_place(vault)
    shown = looked(app.show(place, task))
    if json:
        say_json(shapes.show_shape(shown, place))
    else:
        say(task_page.task_page(shown, place, place.clock.now(), width()))


def next_(
    task: Annotated[str | None, task_argument("A task; without it and --cron, the whole vault.")] = None,
    cron: Annotated[str | None, typer.Option(help="An expression instead of a task.", metavar="EXPR")] = None,
    timezone: ZoneOption = None,
    from_: Annotated[str | None, typer.Option("--from", help="Strictly after this moment.", metavar="ISO")] = None,
    number: Annotated[int | None, typer.Option("-n", min=1, max=1000, help="How many; else 5.")] = None,
    until: Annotated[str | None, typer.Option(help="Not after this moment.", metavar="ISO|DURATION")] = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """The next fire times of a task or expression. Changes of the clocks are pointed out."""
    if task is not None and cron is not None:
        raise BadUsage("a task and --cron together mean nothing. Give one of them")
    window = _Window(from_, until, number)
    if cron is not None:
        _next_of_cron(cron, timezone, window, vault, json=json)
    else:
        _next_of_notes(task, timezone, window, vault, json=json)


def forecast(
    from_: Annotated[
        str | None, typer.Option("--from", help="Tell what comes after this moment.", metavar="ISO")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Not after this moment; else 7d.", metavar="ISO|DURATION")] = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """What the whole vault will run. Day by day, with what waits, overlaps or is skipped."""
    from vault_scheduler.commands import forecast as ahead
    from vault_scheduler.commands import forecast_page, shapes

    place = open_place(vault)
    after, end, _ = _Window(from_, until, None).read(place.timezone)
    found = looked(ahead.forecast_vault(place, after if from_ else None, end))
    if json:
        say_json(shapes.forecast_shape(found))
    else:
        say(forecast_page.forecast_page(found, width()))


class _Window:
    """Which fire times are asked for, once the zone is known that local times are in."""

    def __init__(self, after: str | None, until: str | None, number: int | None) -> None:
        from vault_scheduler.clock import SystemClock

        self._after, self._until, self._number = after, until, number
        self._now = SystemClock().now()

    def read(self, zone: str) -> tuple[datetime, datetime | None, int]:
        """From when (exclusive), to when (inclusive), at most how many."""
        from zoneinfo import ZoneInfo

        from vault_scheduler.commands.moments import read_moment, read_until
        from vault_scheduler.commands.outlook import MOST

        local = ZoneInfo(zone)
        after = read_moment(self._after, local) if self._after else self._now
        end = read_until(self._until, local, after) if self._until else None
        return after, end, self._number or (MOST if end else NEXT_SHOWN)

    @property
    def shown_now(self) -> datetime | None:
        """The moment that "in 3 h" counts from: it means nothing when one asks from another moment."""
        return None if self._after else self._now


def _next_of_cron(expression: str, timezone: str | None, window: _Window, vault: Path | None, *, json: bool) -> None:
    from vault_scheduler.commands import next_page, shapes
    from vault_scheduler.commands.outlook import of_cron
    from vault_scheduler.triggers.zones import load_zone

    zone = load_zone(timezone).key if timezone is not None else _zone_here(vault)
    found = of_cron(expression, zone, *window.read(zone))
    if json:
        say_json(shapes.next_of_cron_shape(expression, found))
    else:
        say(next_page.cron_page(expression, found, window.shown_now))


def _next_of_notes(task: str | None, timezone: str | None, window: _Window, vault: Path | None, *, json: bool) -> None:
    from zoneinfo import ZoneInfo

    from vault_scheduler.commands import next_fires, next_page, shapes
    from vault_scheduler.commands.view import notes
    from vault_scheduler.triggers.zones import load_zone

    place = open_place(vault)
    item = notes(place).find(task) if task else None
    asked = load_zone(timezone).key if timezone else None
    zone = asked or (item.task.timezone if item and item.task else place.timezone)
    if item is not None:
        found = next_fires.next_of_task(item, *window.read(zone), zone)
        say_json(shapes.next_of_task_shape(item, found)) if json else say(
            next_page.next_page(item, found, window.shown_now, ZoneInfo(asked or place.timezone))
        )
        return
    ahead = next_fires.next_of_vault(place, ZoneInfo(zone), *window.read(zone))
    say_json(shapes.next_of_all_shape(ahead)) if json else say(next_page.vault_page(ahead, place, window.shown_now))


def _zone_here(vault: Path | None) -> str:
    """The zone for an expression: that of the vault we are in, if any, else the machine's."""
    from vault_scheduler.machine.config import machine_timezone

    if vault is None:
        with contextlib.suppress(VaultSchedError):
            return open_place(None).timezone
        return machine_timezone()
    return open_place(vault).timezone


def check(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Notes or folders; else all tasks.", metavar="[PATH]...")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Quote what needs quotes; nothing else is changed.")] = False,
    hook: Annotated[
        bool, typer.Option("--hook", help="Answer a hook of Claude Code, whose event is on standard input.")
    ] = False,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Problems of the notes. Each is printed as `file:line: message`; exit code 1 if there are any."""
    from vault_scheduler.commands import checking, problem_page, shapes

    if hook:
        from vault_scheduler.commands.hook import main

        main()
    place = open_place(vault, start=_start_of(paths))
    if fix:
        refuse_in_run("check --fix")
    named = checking.named_paths(place, paths or [], Path.cwd())
    checked = looked(checking.check(place, named, fix=fix))
    if json:
        say_json(shapes.check_shape(checked))
    else:
        say(problem_page.check_page(checked))
        say([problem_page.check_sum(checked)], aside=True)
    finish(not checked.problems)


def _start_of(paths: list[str] | None) -> Path:
    """A note that is named by its path says which vault is meant."""
    here = Path.cwd()
    first = here / paths[0] if paths else here
    if paths and first.exists():
        return first if first.is_dir() else first.parent
    return here


def history(
    task: Annotated[str | None, task_argument("A task; without it, all.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only failure, timeout and abandoned.")] = False,
    number: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many.")] = 20,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Runs, newest first. Fire times that did not start are among them."""
    from vault_scheduler.commands import hindsight, history_page, shapes

    place = open_place(vault)
    found = finished(hindsight.history(place, task, failed=failed, limit=number, bars=not json and is_terminal()))
    if json:
        say_json(shapes.history_shape(found, place))
    else:
        say(history_page.history_page(found, place, failed=failed, width=width()))


def logs(
    run: Annotated[str, run_argument("A run's id, or a task: its newest run.", "RUN|TASK")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    vault: VaultOption = None,
) -> None:
    """The full output of a run."""
    from vault_scheduler.commands import done_lines, hindsight

    place = open_place(vault)
    found = finished(hindsight.find_output(place, run))
    screen, ended = _Screen(place), None
    if follow and found.run.outcome is None:
        finished(_follow(place, found.run.id, screen))
        ended = finished(hindsight.find_output(place, found.run.id)).run if is_terminal() else None
    elif found.path is not None:
        screen.show(found.path.read_bytes())
    elif found.text:
        screen.show(found.text.encode("utf-8", "surrogateescape") + b"\n")
    else:
        print(done_lines.no_output_line(found), file=sys.stderr)
    screen.end()
    if ended is not None:
        say([done_lines.ran_line(ended.task, ended.id, ended.outcome, ended.reason)], aside=True)
    for path in found.transcripts:
        print(f"transcript: {path}", file=sys.stderr)


async def _follow(place: Place, run: str, screen: _Screen) -> None:
    from vault_scheduler.commands import hindsight

    async for data in hindsight.follow(place, run):
        screen.show(data)


class _Screen:
    """Output of a run: as it is into a file or pipe, without control characters into a terminal."""

    def __init__(self, place: Place) -> None:
        from vault_scheduler.text.masking import Masker

        self._is_terminal = sys.stdout.isatty()
        self._masker = Masker(list(place.machine.secrets.values()))

    def show(self, data: bytes) -> None:
        """Print what there is so far; what could be the beginning of a secret waits."""
        if self._is_terminal:
            from vault_scheduler.text.harmless import clean

            # An escape sequence within a secret has hidden it from the masker of the stream.
            data = self._masker.feed(clean(data.decode("utf-8", "replace")).encode())
        self._write(data)

    def end(self) -> None:
        """Print the rest."""
        if self._is_terminal:
            self._write(self._masker.flush())

    def _write(self, data: bytes) -> None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()


def status(vault: VaultOption = None, json: JsonOption = False) -> None:
    """Whether the daemon lives, and what is wrong. Exit code 1 if it does not, or if something is."""
    from vault_scheduler.commands import app, shapes, status_page

    place = open_place(vault)
    report = looked(app.status(place))
    if json:
        say_json(shapes.status_shape(report, place))
    else:
        say(status_page.status_page(report, place, place.clock.now(), width()))
    finish(report.is_fine)
