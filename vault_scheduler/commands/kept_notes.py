"""What the daemon kept of what notes say: commands read none of them anew where it is still true."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vault_scheduler.ledger.kept import kept_definition, kept_definitions
from vault_scheduler.machine.place import Place, read_settings
from vault_scheduler.parsing.parsed import ParseContext, ParsedSettings
from vault_scheduler.task import Task

if TYPE_CHECKING:
    from vault_scheduler.vault.sweep import Stamp


def settings_as_kept(place: Place, source: str = "") -> ParsedSettings | None:
    """As `read_settings`, whose `source` it takes, without reading a note that the daemon found nothing wrong with."""
    path = place.vault.rel(place.vault.settings_path)
    found, stamp = kept_definition(place.definitions_path, path), place.vault.stamp(path)
    if found and stamp and found.holds(stamp, place.machine_timezone) and source in ("", found.source):
        settings = found.settings()
        if settings is not None:
            return ParsedSettings(settings=settings)
    return read_settings(place.vault, place.machine_timezone, source=source)


class KeptNotes:
    """What is kept of task notes; `context`: what they mean now."""

    def __init__(self, definitions: Path, context: ParseContext) -> None:
        self.context = context
        self._key = context.key
        self._definitions = kept_definitions(definitions)

    def task(self, path: str, stamp: Stamp) -> Task | None:
        """The task that the note declares without a problem, if that is known."""
        found = self._definitions.get(path)
        if found is None or not found.holds(stamp, self._key):
            return None
        task = found.quick_task()
        names_any = '"notify_to"' in found.said or '"secrets"' in found.said
        return None if task is not None and names_any and self._names_strangers(task) else task

    def mapping(self, path: str) -> Mapping[str, object]:
        """Its properties, as far as they are ours."""
        found: Mapping[str, object] = json.loads(self._definitions[path].source)["mapping"]
        return found

    def _names_strangers(self, task: Task) -> bool:
        """Whether it names a notifier or a secret that this machine may not know: a problem for commands alone."""
        notifiers, secrets = self.context.notifiers, self.context.secrets
        return (notifiers is not None and not {*(task.options.get("notify_to") or ())} <= {*notifiers}) or (
            secrets is not None and not {*(task.options.get("secrets") or ())} <= {*secrets}
        )
