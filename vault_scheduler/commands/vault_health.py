"""How the vault is: its folders, whether changes are heard of, its settings and tasks, and Obsidian's own settings."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from vault_scheduler.commands.catalogue import Catalogue
from vault_scheduler.commands.columns import plural
from vault_scheduler.commands.health import Finding, fault, fine, note, warning
from vault_scheduler.errors import BadValue, VaultSchedError
from vault_scheduler.machine.place import Place
from vault_scheduler.parsing.output_path import DAILY_NOTE
from vault_scheduler.platform.filesystem import filesystem_type
from vault_scheduler.vault.daily_note import config_folders, find_daily_notes
from vault_scheduler.vault.ignored import is_conflict_copy

PROBE = "vault-sched-probe.tmp"
"""No note, and by its ending nothing that anybody's `on_change` heeds."""
HEARD_WITHIN_S = 3.0
INOTIFY = Path("/proc/sys/fs/inotify/max_user_watches")
SPARE_WATCHES = 1024


def vault_findings(place: Place, catalogue: Catalogue) -> Iterator[Finding]:
    """All that concerns the vault's files."""
    yield from _writable(place)
    yield from _heard(place)
    yield from _watches(place)
    yield from _settings(place)
    yield from _tasks(place, catalogue)
    yield from _obsidian(place)
    yield from _daily_notes(place, catalogue)


def _writable(place: Place) -> Iterator[Finding]:
    kind = filesystem_type(place.vault.root)
    where = f"{place.vault.root}{f' on {kind}' if kind else ''}"
    probe = place.vault.system / PROBE
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        cure = f"Let the user who runs the daemon write below {place.vault.system}"
        yield fault("vault", f"{where}: nothing can be written there ({error.strerror})", cure)
        return
    yield fine("vault", where)


def _heard(place: Place) -> Iterator[Finding]:
    """Write a file that nobody schedules, and see whether the watcher hears of it."""
    from vault_scheduler.vault.watcher import Watcher

    heard = threading.Event()
    probe = place.vault.tasks_folder / PROBE
    watcher = Watcher({place.vault.tasks_folder: True}, lambda _: heard.set(), any_file=True)
    watcher.start()
    try:
        if watcher.polling_reason:
            yield note("watching", watcher.polling_reason)
            return
        with contextlib.suppress(OSError):
            probe.write_bytes(b"")
        came = heard.wait(HEARD_WITHIN_S)
    finally:
        watcher.stop()
        probe.unlink(missing_ok=True)
    if came:
        yield fine("watching", "changes are heard of at once")
    else:
        cure = "Nothing is lost: the daemon looks at every note twice a minute. A local disk would tell at once"
        yield warning("watching", f"no word of a change within {HEARD_WITHIN_S:g} s", cure)


def _watches(place: Place) -> Iterator[Finding]:
    """Each folder that is watched takes one of the user's inotify watches; Obsidian and editors take some too."""
    try:
        most = int(INOTIFY.read_text())
    except (OSError, ValueError):
        return
    folders = 1 + sum(1 for path in place.vault.root.rglob("*") if path.is_dir() and not path.name.startswith("."))
    if folders + SPARE_WATCHES > most:
        cure = f"`sudo sysctl fs.inotify.max_user_watches={max(524_288, 4 * folders)}`, and the same into /etc/sysctl.d"
        yield warning("watching", f"the vault has {folders} folders, and a user may watch {most}", cure)


def _settings(place: Place) -> Iterator[Finding]:
    path = place.vault.rel(place.vault.settings_path)
    if place.settings is None:
        yield fault("settings", f"there is no {path}: no daemon starts", "`vault-sched init` writes one")
        return
    for problem in place.settings.problems:
        if problem.is_error:
            yield fault("settings", f"{path}:{problem.line}: {problem.message}", problem.fix)
    settings, here = place.settings_in_force, place.machine.host
    if settings.host and settings.host != here:
        yield note("settings", f"{settings.host} runs this vault, not this machine ({here}); `vault-sched host take`")
    elif not any(problem.is_error for problem in place.settings.problems):
        yield fine("settings", f"{path}: {here} runs this vault, times are in {place.timezone}")


def _tasks(place: Place, catalogue: Catalogue) -> Iterator[Finding]:
    errors = [problem for problem in catalogue.problems if problem.is_error]
    count = len(catalogue.items)
    if errors:
        what = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        yield fault(
            "tasks", f"{plural(count, 'task')}, {what}: what is wrong does not run", "`vault-sched check` names them"
        )
    else:
        warned = len(catalogue.problems)
        and_more = f"; {plural(warned, 'warning')}, which `vault-sched check` names" if warned else ""
        yield fine("tasks", f"{plural(count, 'task')}, no problem{and_more}")
    copies = [path for path in place.vault.tasks_folder.rglob("*.md") if is_conflict_copy(path.name)]
    if copies:
        named = ", ".join(path.name for path in copies[:3])
        cure = "Take over what you need from them, then delete them; they are never scheduled"
        yield warning("tasks", f"sync left conflict copies: {named}{', …' if len(copies) > 3 else ''}", cure)


def _obsidian(place: Place) -> Iterator[Finding]:
    """Obsidian's own settings, where they matter to the scheduler."""
    names = config_folders(place.vault)
    if not names:
        yield note("obsidian", "no .obsidian folder, nor one of another name: it is no vault of Obsidian yet")
        return
    folder = place.vault.root / names[0]
    plugins = _json(folder / "core-plugins.json")
    bases = plugins.get("bases", True) if isinstance(plugins, dict) else "bases" in plugins if plugins else True
    if not bases:
        name = place.vault.rel(place.vault.system / "tasks.base")
        yield warning(
            "obsidian", f"the core plugin Bases is off: {name} shows nothing", "Settings → Core plugins → Bases"
        )
    templates = _json(folder / "templates.json")
    at = str(templates.get("folder") or "").strip("/") if isinstance(templates, dict) else ""
    if at and place.vault.is_task_path(f"{at}/x.md"):
        cure = "Keep templates elsewhere: a template in the tasks folder may become a task"
        yield warning("obsidian", f"the templates folder {at} lies within the tasks folder", cure)


def _daily_notes(place: Place, catalogue: Catalogue) -> Iterator[Finding]:
    """Where the user's own daily notes are, if anything is to be written into them."""
    in_log = place.settings_in_force.daily_log_in == DAILY_NOTE
    outputs = (str((item.task.declared if item.task else item.mapping).get("output") or "") for item in catalogue.items)
    if not in_log and not any(output.startswith(f"{DAILY_NOTE}#") for output in outputs):
        return
    try:
        found = find_daily_notes(place.vault)
        today = place.clock.now().astimezone(ZoneInfo(place.timezone)).date()
        yield fine("obsidian", f"today's daily note is {found.path(today)}, says {found.source}")
    except BadValue as error:
        yield fault("obsidian", f"daily notes: {error.message}", error.fix)
    except VaultSchedError as error:
        yield fault("obsidian", f"daily notes: {error}", "Mend that")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
