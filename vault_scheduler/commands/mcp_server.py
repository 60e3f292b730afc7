"""`mcp`: the verbs of the command line as tools for Claude, over standard input and output.

Each tool calls the verb that the command of its name calls, and answers with that command's JSON (`forecast` and
`logs` with text). Loaded by `mcp` alone, for the library behind it takes half a second.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from vault_scheduler import __version__
from vault_scheduler.commands import app, checking, creation, done_lines, hindsight, next_fires, shapes, switching
from vault_scheduler.commands import forecast as ahead
from vault_scheduler.commands.console import open_place, refuse_in_run
from vault_scheduler.commands.forecast_page import forecast_page
from vault_scheduler.commands.moments import iso, iso_or_none, read_moment, read_until
from vault_scheduler.commands.outlook import MOST, of_cron
from vault_scheduler.commands.trash import throw_away
from vault_scheduler.commands.view import notes
from vault_scheduler.daemon import requests
from vault_scheduler.errors import BadUsage, Refused, VaultSchedError, internal
from vault_scheduler.machine.place import Place
from vault_scheduler.text.harmless import clean, head_and_tail
from vault_scheduler.triggers.zones import load_zone

Shape = dict[str, Any]

LONGEST_TEXT = 20_000  # characters of an output or a page
_NOT_MORE = ("status", "enabled", "run_now")
_INSTRUCTIONS = """\
The scheduler of an Obsidian vault: every task is one markdown note below 00_system/tasks/ (`list` shows the paths,
should that folder have another name here), which a daemon runs; the result stands in the note.
Use `create` for whatever shall happen later or regularly (every morning, every Monday, once at a time, when files
change) instead of schedulers of your own, then `next` to tell the person when it runs. Notes can be edited as files,
too; then call `check`."""

Task = Annotated[str, Field(description="Name of the task: path of its note below tasks/ without .md, or its id.")]
Zone = Annotated[str | None, Field(description="IANA zone such as Europe/Berlin; else the task's or the vault's.")]
After = Annotated[str | None, Field(description="Strictly after this local moment, 2026-11-22T09:00; else now.")]
Until = Annotated[str | None, Field(description="Not after this local moment, or for so long: 7d.")]
Cron = Annotated[
    str | list[str] | None, Field(description="Five fields, minute first: 0 7 * * 1-5; for seconds use `every`.")
]
At = Annotated[str | list[str] | None, Field(description="Once at local times without offset: 2026-12-24T09:00.")]
Prompt = Annotated[
    str | None, Field(description="What Claude is told. It knows nothing of this conversation and can ask nobody.")
]
Rights = Annotated[
    Literal["read-only", "edit", "full"] | None,
    Field(description="Rights of a prompt; else edit: writes notes. full: shell and web, only if asked for."),
]
Output = Annotated[
    str | None, Field(description='Note that gets the result: "Briefings/{{date}}.md", "Log.md#Heading".')
]
More = Annotated[
    dict[str, Any] | None,
    Field(description='Other keys of the note: {"on_change": "Inbox/**", "retries": 2, "after": "[[other-task]]"}.'),
]


class Tools:
    """The tools, for the vault that is named, else the one that the server was started in."""

    def __init__(self, vault: Path | None) -> None:
        self._vault = vault

    def _place(self) -> Place:
        return open_place(self._vault)

    def _writing(self, verb: str, *, paused: bool = False) -> Place:
        refuse_in_run(verb, paused=paused)
        return self._place()

    # --- looking

    async def list_(self) -> Shape:
        """All tasks: what they are, how they stand, their next and last run, what is wrong with their notes."""
        place = self._place()
        _, listed = await app.list_tasks(place)
        return {"tasks": shapes.list_shape(listed, place)}

    async def show(self, task: Task) -> Shape:
        """One task: its definition, its schedule in words, the next fire times, the last runs and its problems."""
        place = self._place()
        return shapes.show_shape(await app.show(place, task), place)

    async def next_(
        self,
        task: Annotated[str | None, Field(description="A task; without it and `cron`, the whole vault.")] = None,
        cron: Annotated[str | None, Field(description="An expression, to try it before it is used.")] = None,
        timezone: Zone = None,
        after: After = None,
        until: Until = None,
        number: Annotated[int, Field(ge=1, le=MOST)] = 5,
    ) -> Shape:
        """The next fire times of a task, of a cron expression, or of the whole vault."""
        if task is not None and cron is not None:
            raise BadUsage("a task and cron together mean nothing. Give one of them")
        place = self._place()
        item = notes(place).find(task) if task else None
        zone = load_zone(timezone).key if timezone else (item.task.timezone if item and item.task else place.timezone)
        window = (*_window(place, zone, after, until), number)
        if cron is not None:
            return shapes.next_of_cron_shape(cron, of_cron(cron, zone, *window))
        if item is not None:
            return shapes.next_of_task_shape(item, next_fires.next_of_task(item, *window, zone))
        return shapes.next_of_all_shape(next_fires.next_of_vault(place, ZoneInfo(zone), *window))

    async def forecast(self, after: After = None, until: Until = None) -> Shape:
        """What the whole vault will run, with what waits, overlaps, is skipped or exceeds the budget; 7 days ahead."""
        place = self._place()
        start, end = _window(place, place.timezone, after, until)
        found = await ahead.forecast_vault(place, start if after else None, end)
        page = "\n".join(forecast_page(found, None))  # its JSON has an entry for each run of a whole week
        return {"until": iso(found.until, found.zone), "page": head_and_tail(page, LONGEST_TEXT)}

    async def history(
        self,
        task: Annotated[str | None, Field(description="A task; without it, all.")] = None,
        failed: Annotated[bool, Field(description="Only failure, timeout and abandoned.")] = False,
        number: Annotated[int, Field(ge=1, le=MOST)] = 20,
    ) -> Shape:
        """Runs, newest first, with outcome, reason and cost; also fire times that did not start, and why."""
        place = self._place()
        found = await hindsight.history(place, task, failed=failed, limit=number)
        return {"runs": shapes.history_shape(found, place)}

    async def logs(
        self, run: Annotated[str, Field(description="A run's id (r-…), or a task: its newest run.")]
    ) -> Shape:
        """The full output of a run (of a very long one the beginning and the end)."""
        found = await hindsight.find_output(self._place(), run)
        said = found.path.read_text("utf-8", "replace") if found.path is not None else found.text
        return {
            "run": found.run.id,
            "task": found.run.task,
            "state": found.run.state.value,
            "outcome": found.run.outcome.value if found.run.outcome else None,
            "reason": found.run.reason,
            "output": head_and_tail(clean(said), LONGEST_TEXT),
        }

    async def check(
        self,
        paths: Annotated[
            list[str] | None, Field(description="Notes or folders, relative to the vault; else all tasks.")
        ] = None,
    ) -> Shape:
        """What is wrong with the notes: path, line, key, message, and the fix to write."""
        place = self._place()
        checked = await checking.check(place, checking.named_paths(place, paths or [], place.vault.root))
        return {"notes": checked.notes, "problems": shapes.check_shape(checked), "skipped": dict(checked.skipped)}

    async def status(self) -> Shape:
        """Whether the daemon lives, what runs and waits, what is wrong or held, and what today has cost."""
        place = self._place()
        return shapes.status_shape(await app.status(place), place)

    # --- changing

    async def create(
        self,
        name: Annotated[str, Field(description="Plain, lower-case: daily-briefing, or work/report in a folder.")],
        prompt: Prompt = None,
        command: Annotated[str | None, Field(description="What the shell runs, in the vault's folder.")] = None,
        call: Annotated[str | None, Field(description="module:function in 00_system/scripts/, or a built-in.")] = None,
        cron: Cron = None,
        every: Annotated[str | None, Field(description="A fixed interval with its unit: 15m, 1h30m.")] = None,
        at: At = None,
        timezone: Zone = None,
        status: Literal["active", "paused"] = "active",
        permissions: Rights = None,
        max_usd: Annotated[float | None, Field(description="Cap of one run of a prompt; else 0.50.")] = None,
        timeout: Annotated[str | None, Field(description="Such as 30m; else 1h.")] = None,
        output: Output = None,
        body: Annotated[str | None, Field(description="Words for people; for a command, beside its code.")] = None,
        more: More = None,
    ) -> Shape:
        """Write a task note: one of prompt, command, call, and when. What would not run is not written, but told."""
        place = self._writing("create", paused=status == "paused")
        _refuse_switches(more or {})
        given = {
            **{"cron": cron, "every": every, "at": at, "timezone": timezone, "status": status, "run_now": False},
            **{"call": call, "permissions": permissions, "max_usd": max_usd, "timeout": timeout, "output": output},
            **(more or {}),
        }
        draft = creation.drafted(name, given, command=command, prompt=prompt, body=body or "")
        return _created(
            creation.create_task(place, notes(place), draft), draft, place.clock.now(), ZoneInfo(place.timezone)
        )

    async def pause(
        self,
        task: Annotated[str | None, Field(description="A task.")] = None,
        everything: Annotated[bool, Field(description="The whole vault instead of one task.")] = False,
        until: Annotated[str | None, Field(description="Resumes by itself then: 2026-12-01, or 3d.")] = None,
    ) -> Shape:
        """Let a task, or the whole vault, start nothing; what runs goes on."""
        place = self._writing("pause")
        item = notes(place).find(_one(task, everything)) if not everything else None
        zone, now = switching.zone_of(place, item), place.clock.now()
        end = switching.last_second(read_until(until, zone, now), zone) if until else None
        return _switched(switching.pause(place, item, end), end, zone)

    async def resume(
        self,
        task: Annotated[str | None, Field(description="A task.")] = None,
        everything: Annotated[bool, Field(description="The whole vault instead of one task.")] = False,
    ) -> Shape:
        """Make a task, or the whole vault, active again; what went by meanwhile does not run."""
        place = self._writing("resume")
        item = notes(place).find(_one(task, everything)) if not everything else None
        return _switched(switching.resume(place, item), None, switching.zone_of(place, item))

    async def run(
        self,
        task: Task,
        wait: Annotated[
            bool, Field(description="Until it has ended; without a daemon it is always waited for.")
        ] = False,
    ) -> Shape:
        """Run a task once, now; its schedule does not move. `logs` has what it said."""
        place = self._writing("run")
        item = app.runnable(notes(place).find(task))
        answer = await requests.request(place, "run", item.name, wait=wait, tell=_unheard)
        if answer.refused:
            raise Refused(done_lines.refused_line(item.name, answer.refused))
        outcome = answer.outcome.value if answer.outcome else None
        return {"task": item.name, "run": answer.run, "outcome": outcome, "reason": answer.reason}

    async def cancel(self, task: Annotated[str, Field(description="A task, or the id of a run.")]) -> Shape:
        """End what runs or waits of a task, or one run."""
        place = self._writing("cancel")
        name, _ = await hindsight.run_or_task(place, task)
        answer = await requests.request(place, "cancel", name, wait=False, tell=_unheard)
        if answer.refused:
            raise Refused(f"{name} was not cancelled: {answer.refused}")
        return {"task": name, "cancelled": [*answer.cancelled]}

    async def delete(self, task: Task) -> Shape:
        """Move a task's note into the vault's trash; what waits of it is skipped, what runs goes on."""
        place = self._writing("delete")
        path = notes(place).find(task).path
        return {"path": path, "trash": throw_away(place, path)}


READING = ("list_", "show", "next_", "forecast", "history", "logs", "check", "status")
CHANGING = ("create", "pause", "resume", "run", "cancel", "delete")


def server(vault: Path | None) -> MCPServer[Any]:
    """The server with all its tools."""
    made: MCPServer[Any] = MCPServer("vault-sched", version=__version__, instructions=_INSTRUCTIONS, log_level="ERROR")
    tools = Tools(vault)
    for name in (*READING, *CHANGING):
        hints = ToolAnnotations(read_only_hint=name in READING, open_world_hint=False)
        made.add_tool(_advising(getattr(tools, name)), name=name.rstrip("_"), annotations=hints)
    return made


def _advising(verb: Callable[..., Awaitable[Shape]]) -> Callable[..., Awaitable[Shape]]:
    """The verb, whose errors reach the model in the words that people get."""

    @functools.wraps(verb)
    async def told(*arguments: Any, **named: Any) -> Shape:
        try:
            return await verb(*arguments, **named)
        except VaultSchedError as error:
            raise ToolError(str(error)) from None
        except OSError as error:
            raise ToolError(f"{error.filename or 'the vault'}: {error.strerror or error}") from None
        except Exception as error:
            raise ToolError(f"internal error: {internal(error)}") from error

    return told


def _refuse_switches(more: Mapping[str, Any]) -> None:
    taboo = [key for key in more if key in _NOT_MORE]
    if taboo:
        raise BadUsage(f"`{taboo[0]}` cannot be given in `more`. Use `status` to pause it, and `run` to run it")


def _created(made: creation.Created, draft: creation.Draft, now: datetime, zone: ZoneInfo) -> Shape:
    next_run = made.task.schedule.next_after(now)
    return {
        "task": made.task.id,
        "path": made.path,
        "note": draft.text(),
        "next_run": iso_or_none(next_run, ZoneInfo(made.task.timezone)),
        "warnings": [shapes.problem_shape(problem) for problem in made.warnings],
        "said": list(done_lines.created_page(made, now, zone)),
    }


def _window(place: Place, zone: str, after: str | None, until: str | None) -> tuple[datetime, datetime | None]:
    local = ZoneInfo(zone)
    start = read_moment(after, local) if after else place.clock.now()
    return start, read_until(until, local, start) if until else None


def _one(task: str | None, everything: bool) -> str:
    if task is None:
        raise BadUsage("name a task, or set `everything` for the whole vault")
    return task


def _switched(done: switching.Switched, end: datetime | None, zone: ZoneInfo) -> Shape:
    said = done_lines.switched_line(done, end, zone)
    return {"path": done.path, "status": done.status, "changed": done.changed, "said": said}


def _unheard(event: str, subject: str, message: str) -> None:
    """What a daemon would log: the answer says what matters of it, and standard output is the protocol's."""


async def serve(vault: Path | None) -> None:
    """Serve until the client hangs up."""
    await server(vault).run_stdio_async()
