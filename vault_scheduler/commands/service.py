"""`service`: the daemon of this vault as a service of the user, started at login and again when it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vault_scheduler.errors import Refused
from vault_scheduler.machine.place import Place
from vault_scheduler.platform.lock import Holder, holder
from vault_scheduler.platform.paths import vault_label
from vault_scheduler.platform.services import Manager, Service, ServiceFault, Standing, cure_of, manager_here

_HANDED = ("PATH", "LANG", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
"""What a login's shell sets and a service's environment lacks: without PATH, tasks would not find their programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What became of it. `fault`: why it does not run, in the manager's words."""

    manager: str
    standing: Standing
    fault: str = ""
    drains: bool = False  # the daemon that runs goes on until what runs has ended, then it is started anew
    unread: bool = False  # what was written counts only once the service is started anew

    @property
    def cure(self) -> str:
        """What helps against the fault; "" where nobody can say."""
        return cure_of(self.fault)


def service_of(place: Place, environ: Mapping[str, str]) -> Service:
    """The service of this vault: this very installation, with the PATH of who installs it."""
    root = str(place.vault.root.resolve())
    return Service(
        label=vault_label(place.vault.root),
        vault=root,
        argv=(sys.executable, "-m", "vault_scheduler", "--vault", root, "daemon"),
        environment={name: environ[name] for name in _HANDED if environ.get(name)},
        log=str(place.state / "daemon.log"),
    )


def text(place: Place) -> str:
    """The file as it would be written. Raises Refused where no service manager is known."""
    return _manager().text(service_of(place, os.environ))


def install(place: Place, *, start: bool = True) -> Installed:
    """Write the service's file and start it. Raises Refused, OSError.

    If it runs it is restarted as by `restart`; if the file says something else now, by the manager, which reads it.
    """
    manager, service = _manager(), service_of(place, os.environ)
    place.make_state()
    path = manager.path(service.label)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_same = path.exists() and path.read_text(encoding="utf-8") == manager.text(service)
    path.write_text(manager.text(service), encoding="utf-8")
    serving = _orderly(place) if start else None
    if serving is None or not manager.standing(service.label).active:
        fault = _try(manager.start, service.label) if start else ""
        return Installed(manager=manager.name, standing=manager.standing(service.label), fault=fault)
    fault = _try(manager.enable, service.label)
    order = signal.SIGUSR1 if is_same or not manager.rereads else signal.SIGUSR2
    _order(serving, order)
    unread = not is_same and not manager.rereads
    return Installed(
        manager=manager.name, standing=manager.standing(service.label), fault=fault, drains=True, unread=unread
    )


def restart(place: Place, *, now: bool) -> Installed:
    """Have the daemon restart when what runs has ended; `now`: have the manager end it with what runs.

    Raises Refused if there is nothing to be restarted.
    """
    if now:
        manager, label = _manager(), vault_label(place.vault.root)
        if not manager.path(label).exists():
            raise Refused(f"this vault has no service: {manager.path(label)} is not there")
        fault = _try(manager.start, label)
        return Installed(manager=manager.name, standing=manager.standing(label), fault=fault)
    serving = _orderly(place)
    if serving is None:
        raise Refused("no daemon serves this vault; `vault-sched service install` starts one")
    _order(serving, signal.SIGUSR1)
    manager = _manager()
    return Installed(manager=manager.name, standing=manager.standing(vault_label(place.vault.root)), drains=True)


def _orderly(place: Place) -> Holder | None:
    """The daemon of this vault, if there is one that takes orders: to an older one the signals would be the end."""
    serving = holder(place.lock_path)
    return serving if serving is not None and serving.takes_orders and serving.pid else None


def _order(serving: Holder, order: signal.Signals) -> None:
    try:
        os.kill(serving.pid, order)
    except ProcessLookupError:
        raise Refused("the daemon has just ended; try again") from None


def uninstall(place: Place) -> Installed:
    """Stop the service and remove its file. Raises Refused if there is none."""
    manager, label = _manager(), vault_label(place.vault.root)
    path = manager.path(label)
    if not path.exists():
        raise Refused(f"this vault has no service: {path} is not there")
    fault = _try(manager.stop, label)
    path.unlink()
    return Installed(manager=manager.name, standing=manager.standing(label), fault=fault)


def standing(place: Place) -> Installed:
    """How the service stands."""
    manager = _manager()
    return Installed(manager=manager.name, standing=manager.standing(vault_label(place.vault.root)))


def _manager() -> Manager:
    manager = manager_here()
    if manager is None:
        raise Refused(
            "no service manager was found (systemd or launchd). Start `vault-sched daemon` with what this machine has"
        )
    return manager


def _try(do: Callable[[str], None], label: str) -> str:
    try:
        do(label)
    except ServiceFault as fault:
        return str(fault)
    return ""
