"""How this machine is: clock, disk, service, interpreters, the daemon itself, its ledger."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from vault_scheduler import __version__
from vault_scheduler.commands.catalogue import Catalogue
from vault_scheduler.commands.health import Finding, fault, fine, note, size_words, warning
from vault_scheduler.commands.notifying import notifier_findings, unknown_notifiers
from vault_scheduler.machine.config import Machine
from vault_scheduler.machine.place import Place
from vault_scheduler.platform.limits import files_problem
from vault_scheduler.platform.lock import Holder, holder
from vault_scheduler.platform.services import manager_here
from vault_scheduler.task import CommandAction

if TYPE_CHECKING:
    from vault_scheduler.ledger.sqlite_store import SqliteStore

ALIVE_WITHIN = timedelta(seconds=90)
LITTLE_ROOM = 200 * 10**6
FUTURE = timedelta(minutes=10)


def machine_findings(place: Place, catalogue: Catalogue) -> Iterator[Finding]:
    """What can be told without the ledger."""
    yield fine("program", f"vault-sched {__version__}, Python {sys.version.split()[0]}, {sys.executable}")
    yield from config_findings(place.machine)
    yield from _disk(place)
    yield from _service(place)
    yield from _programs(place, catalogue)
    yield from notifier_findings(place.machine)
    yield from unknown_notifiers(catalogue)
    if crowded := files_problem():
        yield fault("files", crowded, "")


def config_findings(machine: Machine) -> Iterator[Finding]:
    """What is wrong with this machine's configuration."""
    for each in machine.faults:
        where = f"{each.path}:{each.line}" if each.line else each.path
        yield fault(
            "config", f"{where}: {each.key}: {each.message}" if each.key else f"{where}: {each.message}", each.fix
        )
    if machine.faults:
        yield note("config", "until that is corrected nothing else works here; the rest was looked at without it")
    for text in machine.warnings:
        yield warning("config", text, "")
    if machine.billing_problem:
        yield warning("claude", machine.billing_problem, "")


def _disk(place: Place) -> Iterator[Finding]:
    for name, path in (("vault", place.vault.root), ("state folder", _existing(place.state))):
        free = shutil.disk_usage(path).free
        if free < LITTLE_ROOM:
            cure = "Make room: results are kept and written when there is some, but nothing new starts on a full disk"
            yield fault("disk", f"{size_words(free)} are left where the {name} lies ({path})", cure)
    outputs = _size(place.runs_folder)
    ledger = sum(_file_size(path) for path in place.state.glob("ledger.db*"))
    yield fine("disk", f"ledger {size_words(ledger)}, full outputs {size_words(outputs)} in {place.state}")


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _size(folder: Path) -> int:
    return sum(_file_size(path) for path in folder.rglob("*")) if folder.is_dir() else 0


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _service(place: Place) -> Iterator[Finding]:
    from vault_scheduler.platform.paths import vault_label

    manager = manager_here()
    if manager is None:
        yield note("service", "no service manager that we know: start the daemon with what this machine has")
        return
    stands = manager.standing(vault_label(place.vault.root))
    if not stands.installed:
        yield note(
            "service", "not installed: the daemon runs while its terminal is open; `vault-sched service install`"
        )
    elif not stands.active:
        cure = f"`vault-sched service install` starts it anew; {manager.name}'s journal says why it ended"
        yield fault("service", f"{stands.path.name} is installed and does not run", cure)
    else:
        yield fine("service", f"{manager.name} keeps it running")
        for advice in stands.advice:
            yield note("service", advice)


def _programs(place: Place, catalogue: Catalogue) -> Iterator[Finding]:
    """Interpreters and programs by their bare name that the PATH of runs does not have."""
    if shutil.which("env", path=place.machine.path) is None:
        cure = "Correct `path` in config.toml: runs find their programs in its folders"
        yield fault("path", f"none of the usual programs is in the folders of {place.machine.path}", cure)
    python = place.machine.python
    if python and shutil.which(Path(python).expanduser(), path=place.machine.path) is None:
        cure = "Correct `python` in config.toml: python tasks run with it"
        yield fault("python", f"there is no interpreter {python}", cure)
    for item in catalogue.items:
        action = item.task.action if item.task else None
        words = action.command if isinstance(action, CommandAction) else None
        if isinstance(words, tuple) and "/" not in words[0] and shutil.which(words[0], path=place.machine.path) is None:
            cure = "Install it, write its whole path, or put its folder into `path` in config.toml"
            yield fault("tasks", f"{item.path}: there is no program {words[0]} on the path of runs", cure)


async def daemon_findings(place: Place, store: SqliteStore | None) -> list[Finding]:
    """What the daemon and its ledger tell. Raises as `SqliteStore`."""
    found = list(_daemon(place, holder(place.lock_path), await _last_pass(store)))
    if store is None:
        return [*found, note("ledger", "there is none yet: nothing has run")]
    damage = await store.integrity()
    if damage not in ("", "ok"):
        cure = "Restart the daemon: it sets a damaged ledger aside, and carries over what can be read"
        return [*found, fault("ledger", f"{place.ledger_path} is damaged: {damage}", cure)]
    pending = await store.pending_deliveries()
    late = [delivery for delivery in pending if delivery.why]
    if late:
        cure = "Nothing is lost: it is tried again every few minutes"
        found.append(warning("ledger", f"{len(late)} results could not be written yet: {late[0].why}", cure))
    newest = await store.history(limit=1)
    now = place.clock.now()
    if newest and newest[0].claimed_at > now + FUTURE:
        cure = "Set the clock right (`timedatectl`); the daemon notices, and nothing runs twice"
        found.append(warning("clock", f"the ledger knows a run of {newest[0].claimed_at:%Y-%m-%d %H:%M} UTC", cure))
    return [*found, fine("ledger", f"{place.ledger_path} is whole")]


async def _last_pass(store: SqliteStore | None) -> datetime | None:
    last = await store.get_meta("last pass") if store else None
    return datetime.fromisoformat(last) if last else None


def _daemon(place: Place, who: Holder | None, last_pass: datetime | None) -> Iterator[Finding]:
    now = place.clock.now()
    if who is None or who.purpose != "daemon":
        elsewhere = place.settings_in_force.host not in (None, "", place.machine.host)
        if elsewhere:
            yield note("daemon", "none runs here; another machine runs the vault")
        else:
            cure = "`vault-sched service install`, or `vault-sched daemon` in a terminal"
            yield fault("daemon", "none runs, so nothing starts", cure)
        return
    for trouble in who.troubles:
        yield fault("daemon", trouble, "")
    if last_pass is None or now - last_pass > ALIVE_WITHIN:
        since = f"since {last_pass:%Y-%m-%d %H:%M} UTC" if last_pass else "at all"
        cure = f"Restart it: it hangs, or the machine is very busy (process {who.pid})"
        yield fault("daemon", f"it runs and made no pass {since}", cure)
    elif who.draining:
        yield note("daemon", f"process {who.pid} is draining: {who.draining}")
    elif who.version and who.version != __version__:
        cure = "Restart it (`vault-sched service restart`): it runs another installation than this command"
        yield warning("daemon", f"it is version {who.version}, and this is {__version__}", cure)
    else:
        yield fine("daemon", f"process {who.pid} on {who.host}, last pass {max(0, (now - last_pass).seconds)} s ago")


def user_is_root() -> Iterator[Finding]:
    """Runs of root may do everything to the machine."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield warning("user", "you are root: every run may do anything to this machine", "Use a user of its own")
