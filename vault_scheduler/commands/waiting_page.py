"""`approve` and `ack`: what waits for a person, and what was done about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.schedule_words import schedule_words
from vault_scheduler.commands.styled import Style, joined, styled
from vault_scheduler.commands.task_words import action_words
from vault_scheduler.task import Task
from vault_scheduler.text.harmless import plain_line

if TYPE_CHECKING:
    from vault_scheduler.commands.acknowledging import Open
    from vault_scheduler.commands.records import Waiting
    from vault_scheduler.machine.place import Place


def held_page(waiting: Sequence[Waiting]) -> list[str]:
    """`approve` without names."""
    if not waiting:
        return ["Nothing is held."]
    lines: list[str] = []
    for each in waiting:
        lines.append(joined([styled(each.task.id, Style.TITLE), f" · {each.task.path}"]))
        lines += [joined(["  held  ", styled(each.why, Style.CARE)], hang=8), *_would_run(each.task)]
    names = " ".join(each.task.id for each in waiting[:1])
    return [*lines, f"Read the notes, then `vault-sched approve {names}`, or `vault-sched approve --all`."]


def _would_run(task: Task) -> list[str]:
    when = "; ".join(schedule_words(task))
    return [
        joined([f"  runs  {plain_line(action_words(task), 300)}"], hang=8),
        joined([f"  when  {when}, {task.timezone}"], hang=8),
    ]


def approved_page(chosen: Sequence[Waiting]) -> list[str]:
    """`approve`, when it has."""
    return [line for each in chosen for line in (f"approved {each.task.id}", *_would_run(each.task))] or [
        "Nothing was held."
    ]


def incidents_page(found: Sequence[Open], place: Place) -> list[str]:
    """`ack` without names."""
    zone = ZoneInfo(place.timezone)
    if not found:
        return ["Nothing is open."]
    lines: list[str] = []
    for each in found:
        incident = each.incident
        since = f"{incident.count} × since {incident.since.astimezone(zone):%Y-%m-%d %H:%M}"
        silenced = " · silenced" if incident.acked_at else ""
        subject = styled(incident.subject, Style.FAINT if silenced else Style.TITLE)
        lines.append(joined([subject, f" · {incident.topic} · {since}{silenced}"]))
        lines.append(joined([f"  {plain_line(each.what)}"], hang=2))
    return [*lines, "`vault-sched ack TASK`, or `ack --all`, silences them until they have ended."]


def silenced_page(done: Sequence[Open]) -> list[str]:
    """`ack` with names."""
    if not done:
        return ["Nothing of that is open, or it is silenced already."]
    return [f"{each.incident.subject}: {each.incident.topic}, silent until it has ended" for each in done]
