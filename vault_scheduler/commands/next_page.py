"""`next`: the fire times of an expression, a task, the whole vault. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.columns import plural, table
from vault_scheduler.commands.moments import long_both
from vault_scheduler.commands.outlook_words import fire_cells, outlook_lines, with_changes
from vault_scheduler.commands.schedule_words import cron_words, schedule_words
from vault_scheduler.commands.styled import Style, joined, styled
from vault_scheduler.commands.task_words import in_state, state_words, vault_pause
from vault_scheduler.triggers.cron import depends_on_task, parse_cron

if TYPE_CHECKING:
    from vault_scheduler.commands.catalogue import Item
    from vault_scheduler.commands.outlook import Outlook, VaultOutlook
    from vault_scheduler.machine.place import Place

_MOST_LATER = 40
_HASHED = "  H stands for another time in each task; `vault-sched next TASK` tells that of a task"


def cron_page(expression: str, found: Outlook, now: datetime | None) -> list[str]:
    """`next --cron`."""
    cron = parse_cron(expression)
    title = styled(expression.strip(), Style.TITLE)
    title = joined((part for part in (title, cron_words(cron), found.zone.key) if part), " · ")
    return [title, *outlook_lines(found, now), *([_HASHED] if depends_on_task(cron) else [])]


def next_page(item: Item, found: Outlook, now: datetime | None, shown: ZoneInfo) -> list[str]:
    """`next TASK`, in the zone `shown`, with the task's own time where that is another one."""
    words = "; ".join(schedule_words(item.task)) if item.task else ""
    own = ZoneInfo(item.task.timezone) if item.task else shown
    title = joined([styled(item.name, Style.TITLE), f" · {words} · {own.key}"])
    lines = [title, *outlook_lines(found, now, shown=shown, own=own)]
    if not found.fire_times and item.task and item.task.reacts:
        lines[-1] += " by the clock"
    if item.standing.resumes:
        then = ": these fire after the pause" if found.fire_times else ""
        until = f"It is paused until {long_both(item.standing.resumes, shown, own)}{then}."
        lines.append(styled(until, Style.CARE))
    elif not item.standing.armed:
        lines.append(in_state(item, f"It is {state_words(item)}: nothing starts by itself."))
    return lines


def vault_page(found: VaultOutlook, place: Place, since: datetime | None) -> list[str]:
    """`next` without a task. `since`: the moment that "in 3 h" counts from."""
    now = place.clock.now()
    if not found.fires:
        pause = vault_pause(place, found.settings, now)
        return [*pause, "Nothing is due: no task is armed. `vault-sched list` shows how they stand."]
    shown = [*found.fires, *found.later[:_MOST_LATER]]
    rows = table([(*fire_cells(at, found.zone, since), name) for at, name in shown], width=None, indent=2)
    told = [(at, row) for (at, _), row in zip(found.fires, rows, strict=False)]
    lines = [styled(found.zone.key, Style.TITLE), *with_changes(told, found.changes, found.zone)]
    lines += _later(found, rows[len(found.fires) :])
    return [*lines, *vault_pause(place, found.settings, now, then="these fire after the pause")]


def _later(found: VaultOutlook, rows: Sequence[str]) -> list[str]:
    if not rows:
        return []
    more = len(found.later) - len(rows)
    left = [f"  and {plural(more, 'task')} more: `vault-sched list` shows them"] if more else []
    return [styled("Later, the first of each other task:", Style.TITLE), *rows, *left]
