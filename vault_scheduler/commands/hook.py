"""`check --hook`: what Claude Code is told when it has written a task note, or is about to use a scheduler of its own.

It is asked after every file that Claude writes, in any folder. So what is no business of ours is told from the event
alone, with the standard library, before anything else is loaded.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from vault_scheduler.commands.catalogue import Catalogue, Item
    from vault_scheduler.machine.place import Place

TELL_CLAUDE = 2
"""The exit code on which Claude Code hands stderr to the model, and before a tool is used refuses it."""

_WRITERS = ("Write", "Edit", "MultiEdit")
_SCHEDULERS = ("CronCreate", "ScheduleWakeup")
_SETTINGS = "scheduler.md"


class Concern(Enum):
    """What an event is about, as far as it is ours."""

    NOTHING = auto()
    NOTE = auto()  # a note was written that may be a task or the settings note
    SCHEDULE = auto()  # something else shall do our work


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the hook says: `problems` go to the model at once, `news` is context beside the tool's result."""

    problems: str = ""
    news: str = ""


def concern(event: Mapping[str, Any]) -> Concern:
    """What Claude Code's event is about, by its names alone. Pure."""
    tool, before = event.get("tool_name"), event.get("hook_event_name") == "PreToolUse"
    if before:
        return Concern.SCHEDULE if tool in _SCHEDULERS else Concern.NOTHING
    return Concern.NOTE if tool in _WRITERS and _may_be_ours(_path_of(event)) else Concern.NOTHING


def _path_of(event: Mapping[str, Any]) -> str:
    given = event.get("tool_input")
    path = given.get("file_path") if isinstance(given, Mapping) else None
    return path if isinstance(path, str) else ""


def _may_be_ours(path: str) -> bool:
    """Whether a file can be a task note or a settings note; the folder around `tasks` has any name."""
    *folders, name = path.replace("\\", "/").split("/")
    return name.endswith(".md") and ("tasks" in folders or name == _SETTINGS)


def main() -> NoReturn:
    """Read the event from standard input, answer, end. Whatever goes wrong here is no reason to disturb a session."""
    answer = Answer()
    try:
        event = json.load(sys.stdin)
        answer = answer_to(event) if isinstance(event, dict) else answer
    except Exception as error:
        print(f"vault-sched: {error}", file=sys.stderr)
    if answer.news:
        told = {"hookEventName": "PostToolUse", "additionalContext": answer.news}
        print(json.dumps({"hookSpecificOutput": told}, ensure_ascii=False))
    if answer.problems:
        print(answer.problems, file=sys.stderr)
    sys.stdout.flush()
    sys.exit(TELL_CLAUDE if answer.problems else 0)


def answer_to(event: Mapping[str, Any]) -> Answer:
    """The answer to one event. Raises VaultSchedError where vault or ledger cannot be read."""
    about = concern(event)
    if about is Concern.NOTHING:
        return Answer()
    start = Path(str(event.get("cwd") or Path.cwd()))
    if about is Concern.SCHEDULE:
        place = _place(start)
        return Answer(problems=_instead(place, str(event.get("tool_name")))) if place else Answer()
    note = start / _path_of(event)
    place = _place(note.parent)
    path = _ours(place, note) if place else ""
    return _judged(place, path) if place and path else Answer()


def _place(start: Path) -> Place | None:
    """The vault that a file is in, whichever one the environment names; None outside of all."""
    from vault_scheduler.errors import VaultNotFound
    from vault_scheduler.machine.place import VAULT_VARIABLE, Place

    try:
        place = Place.open(None, start=start, environ={k: v for k, v in os.environ.items() if k != VAULT_VARIABLE})
    except VaultNotFound:
        return None
    return place


def _instead(place: Place, tool: str) -> str:
    folder = place.vault.rel(place.vault.tasks_folder)
    return f"""\
{tool} is not used in this vault: what it schedules is seen by nobody, and runs only while a session is open. Write a
task note instead, which vault-sched runs and writes the result into, for example this one:
{place.vault.root}/{folder}/daily-briefing.md:

---
type: claude
cron: "0 7 * * 1-5"
status: active
run_now: false
max_usd: 0.50
---
What Claude shall do, so that it stands alone: the run knows nothing of this conversation.

Once instead of again and again: `at: 2026-12-24T09:00` (local time) in place of `cron`. A shell line instead of Claude:
`type: command` and a ```sh block as the body. `vault-sched next daily-briefing` shows when it runs. The format is in
the skill vault-sched, if it is offered."""


def _judged(place: Place, path: str) -> Answer:
    """What is wrong with the note that was written; else what will become of it."""
    import asyncio

    from vault_scheduler.commands.problem_page import problem_line

    catalogue = asyncio.run(_catalogue(place))
    found = [problem for problem in catalogue.problems if problem.path == path]
    if not found:
        item = next((item for item in catalogue.items if item.path == path), None)
        return Answer(news=_news(place, item) if item else "")
    would = "would not run as it stands" if any(each.is_error for each in found) else "is perhaps not meant so"
    lines = [f"vault-sched: {path} {would}:", *(f"- {problem_line(problem)}" for problem in found)]
    return Answer(problems="\n".join([*lines, "Edit the note accordingly; it is checked again at once."]))


async def _catalogue(place: Place) -> Catalogue:
    from vault_scheduler.commands.view import look, notes
    from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable

    try:
        async with look(place) as view:
            return view.catalogue
    except (LedgerUnavailable, LedgerCorrupt):
        return notes(place)


def _ours(place: Place, note: Path) -> str:
    """The path of the note in the vault, if it is a task's or the settings note; else ""."""
    try:
        rel = place.vault.rel(note)
    except ValueError:
        return ""
    is_ours = place.vault.is_task_path(rel) or rel == place.vault.rel(place.vault.settings_path)
    return rel if is_ours and note.is_file() else ""


def _news(place: Place, item: Item) -> str:
    """That the task is right, when it runs, and what else it takes."""
    return f"vault-sched: {item.path} is a valid task. {_when(place, item)}{_served(place)}"


def _when(place: Place, item: Item) -> str:
    from zoneinfo import ZoneInfo

    from vault_scheduler.commands.moments import long_both, relative
    from vault_scheduler.commands.schedule_words import schedule_words

    assert item.task is not None
    words = f"It runs {'; '.join(schedule_words(item.task))} ({item.task.timezone})."
    if item.next_run is not None:
        at = long_both(item.next_run, ZoneInfo(place.timezone), ZoneInfo(item.task.timezone))
        return f"{words} First run: {at}, {relative(item.next_run, place.clock.now())}."
    return words if item.standing.armed else f"{words} It is {item.standing.state.value} now: {item.standing.reason}."


def _served(place: Place) -> str:
    """That nobody is there to run it, where this machine should."""
    from vault_scheduler.platform.lock import holder

    host = place.settings_in_force.host
    if (host and host != place.machine.host) or holder(place.lock_path) is not None:
        return ""
    return " No daemon serves this vault now: nothing runs until `vault-sched daemon` is started."
