"""`list` and `show`: how tasks stand, what they do, what is ahead of them and what was. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.columns import facts, heading, plural, table
from vault_scheduler.commands.moments import long_both, relative
from vault_scheduler.commands.outlook_words import outlook_lines
from vault_scheduler.commands.problem_page import problem_line
from vault_scheduler.commands.schedule_words import schedule_text, schedule_words
from vault_scheduler.commands.shapes import zone_of
from vault_scheduler.commands.styled import Style, joined, of_outcome, styled
from vault_scheduler.commands.task_words import (
    action_words,
    command_line,
    going,
    in_state,
    question_line,
    run_cells,
    state_words,
    vault_pause,
)
from vault_scheduler.parsing.values import spelled
from vault_scheduler.planning.standing import State
from vault_scheduler.task import Overlap, Policies
from vault_scheduler.text.harmless import plain_line

if TYPE_CHECKING:  # the verbs behind what is told: a command loads its own, not those of all the others
    from vault_scheduler.commands.app import Listed, Shown
    from vault_scheduler.commands.catalogue import Catalogue
    from vault_scheduler.machine.place import Place

# --- list --------------------------------------------------------------------------------------------------


def task_list(
    catalogue: Catalogue, listed: Sequence[Listed], place: Place, now: datetime, width: int | None
) -> list[str]:
    """`list`."""
    lines = [problem_line(problem) for problem in catalogue.general]
    if not listed:
        folder = place.vault.rel(place.vault.tasks_folder)
        return [*lines, f"No tasks in {folder}/ yet. `vault-sched create NAME` writes one."]
    head = heading("TASK", "STATE", "SCHEDULE", "NEXT", "", "LAST")
    lines += table([head, *(_listed(line, place, now) for line in listed)], width=width, elastic=2)
    lines += [problem_line(problem, "  ") for line in listed for problem in line.item.problems]
    lines += [joined(["  ", question_line(line.question)], hang=4) for line in listed if line.question]
    lines += vault_pause(place, catalogue.settings, now)
    return lines


def _listed(line: Listed, place: Place, now: datetime) -> tuple[str, ...]:
    item = line.item
    schedule = schedule_text(item.task) if item.task else "–"
    following = relative(item.next_run, now) if item.next_run else "–"
    state = in_state(item, item.standing.state.value)
    return item.name, state, schedule, following, *_last(line, now, ZoneInfo(place.timezone))


def _last(line: Listed, now: datetime, zone: ZoneInfo) -> tuple[str, str]:
    """The sign in a column of its own: many terminals draw a narrow one twice as wide, over what stands beside it."""
    if line.active is not None:
        return "", going(line.active, now, zone)
    if line.last is None or line.last.outcome is None:
        return "", "–"
    from vault_scheduler.telling.summary import SIGNS

    ago = relative(line.last.ended_at or line.last.fire_time, now)
    outcome = line.last.outcome
    return of_outcome(outcome, SIGNS[outcome]), of_outcome(outcome, ago)


# --- show --------------------------------------------------------------------------------------------------


def task_page(shown: Shown, place: Place, now: datetime, width: int | None) -> list[str]:
    """`show`."""
    item, zone, host = shown.item, ZoneInfo(place.timezone), _other_host(shown, place)
    lines = [joined([styled(item.name, Style.TITLE), f" · {item.path}"]), ""]
    state = state_words(item)
    if item.standing.resumes:
        state = f"paused until {long_both(item.standing.resumes, zone, zone_of(item, place))}"
    lines += facts([("state", in_state(item, state)), *_definition(shown, place)], width=width)
    if item.problems:
        lines += ["", *map(problem_line, item.problems)]
    ahead = _ahead(shown, zone, now, host) if shown.ahead is not None else []
    if ahead:
        lines += ["", *ahead]
    lines += ["", *_past(shown, zone, now, width, host)]
    return lines


def _definition(shown: Shown, place: Place) -> list[tuple[str, str]]:
    task, policies = shown.item.task, shown.policies
    if task is None or policies is None:
        return []
    first, *more = schedule_words(task) or [""]
    return [
        ("runs", f"{first}, {task.timezone}" if task.schedule.triggers else first),
        *(("", line) for line in more),
        ("asks", command_line(task.gate) if task.gate is not None else ""),
        ("does", action_words(task)),
        ("in", policies.cwd or "the vault"),
        ("host", task.host or place.settings_in_force.host or ""),
        ("limits", _limits(policies)),
        ("overlap", _OVERLAPS[policies.overlap]),
        ("group", policies.group),
        ("late", f"runs up to {spelled(policies.max_late)} late" if policies.max_late else ""),
        ("output", policies.output),
        ("tells", _tells(policies, place)),
        ("question", styled(plain_line(shown.question.text, 300), Style.CARE) if shown.question else ""),
    ]


def _tells(policies: Policies, place: Place) -> str:
    """Who is told of what; "" where this machine tells nobody anything."""
    if not place.machine.notify or not policies.notify:
        return ""
    names = [name for name in policies.notify_to or () if name in place.machine.notify] or list(place.machine.notify)
    return f"{', '.join(names)}: {', '.join(policies.notify)}"


_OVERLAPS = {
    Overlap.SKIP: "",
    Overlap.QUEUE: "one waits while another goes on, the newest",
    Overlap.CANCEL: "a later one cancels the one that goes on",
    Overlap.ALLOW: "runs go on side by side",
}


def _limits(policies: Policies) -> str:
    parts = [f"timeout {spelled(policies.timeout)}"]
    if policies.retries:
        parts.append(f"{plural(policies.retries, 'retry').replace('retrys', 'retries')}")
    if policies.pause_after:
        parts.append(f"paused after {plural(policies.pause_after, 'failure')} in a row")
    return ", ".join(parts)


def _ahead(shown: Shown, zone: ZoneInfo, now: datetime, host: str) -> list[str]:
    assert shown.ahead is not None
    if not shown.ahead.fire_times:
        return ["Nothing is left to fire."] if not (shown.item.task and shown.item.task.reacts) else []
    off = not shown.item.standing.armed and not shown.item.standing.resumes
    title = f"Next (on {host}):" if host else "Next (if it were armed):" if off else "Next:"
    return [styled(title, Style.TITLE), *outlook_lines(shown.ahead, now, shown=zone, own=shown.ahead.zone)]


def _other_host(shown: Shown, place: Place) -> str:
    """The machine that runs the task, if it is not this one."""
    task = shown.item.task
    if task is None or shown.item.standing.state is not State.OTHER_HOST:
        return ""
    return task.host or place.settings_in_force.host or ""


def _past(shown: Shown, zone: ZoneInfo, now: datetime, width: int | None, host: str) -> list[str]:
    active = [joined(["  ", going(shown.active, now, zone), " ", shown.active.id])] if shown.active else []
    if not shown.runs and not active:
        if shown.item.task is None:
            return ["No runs yet."]
        if host:
            return [f"No runs here: it runs on {host}."]
        return [f"No runs yet. `vault-sched run {shown.item.name}` runs it once."]
    from vault_scheduler.telling.summary import when_words

    rows = [(when_words(run, zone), *run_cells(run)) for run in shown.runs]
    return [styled("Last runs:", Style.TITLE), *active, *table(rows, width=width, indent=2)]
