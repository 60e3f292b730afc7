"""`next`: when a task, or the whole vault, fires next."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from vault_scheduler.commands.catalogue import Catalogue, Item
from vault_scheduler.commands.outlook import Outlook, VaultOutlook, outlook, vault_outlook
from vault_scheduler.commands.view import glance
from vault_scheduler.errors import Refused
from vault_scheduler.machine.place import Place
from vault_scheduler.task import Task
from vault_scheduler.triggers.schedule import Schedule
from vault_scheduler.triggers.zones import load_zone


def next_of_task(item: Item, after: datetime, until: datetime | None, limit: int, zone: str | None) -> Outlook:
    """Fire times of a task, shown in `zone` or its own. Raises Refused if the note is invalid."""
    if item.task is None:
        listed = "\n".join(f"  {problem}" for problem in item.problems)
        raise Refused(f"{item.name} is invalid, so it has no fire times:\n{listed}")
    return outlook(resumed(item.task, item), load_zone(zone or item.task.timezone), after, until, limit)


def resumed(task: Task, item: Item) -> Schedule:
    """Its schedule; of a task that is paused until a known moment, what is left of it then."""
    resumes, start = item.standing.resumes, task.schedule.start
    return replace(task.schedule, start=max(start or resumes, resumes)) if resumes else task.schedule


def next_of_all(
    catalogue: Catalogue, zone: ZoneInfo, after: datetime, until: datetime | None, limit: int
) -> VaultOutlook:
    """The next fire times in the vault, of the tasks that would start; of a task paused for a while, those after it."""
    starting = [item for item in catalogue.items if item.standing.armed or item.standing.resumes]
    named = [(item.name, resumed(item.task, item)) for item in starting if item.task]
    return vault_outlook(named, zone, after, until, limit)


def next_of_vault(place: Place, zone: ZoneInfo, after: datetime, until: datetime | None, limit: int) -> VaultOutlook:
    """The same with what the ledger and the approvals say."""
    place, _, catalogue = glance(place)
    return replace(next_of_all(catalogue, zone, after, until, limit), settings=place.settings_in_force)
