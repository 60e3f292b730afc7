"""Services of the user: systemd user units and launchd agents; how they are written, started and asked.

What stands in such a file is a pure function of a `Service`; the managers do the rest with their own programs.
Sources: systemd.service(5), systemd.exec(5), systemd.syntax(7), launchd.plist(5).
"""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

WATCHDOG_S = 180
"""The daemon makes a pass every 30 s at least; one that made none for so long hangs."""
RESTART_S = 10
START_S = 300
"""What a former daemon left is ended before this one is ready."""
STOP_S = 60
"""Runs have ten seconds to end; the rest is for their results."""
COMMAND_S = 60
_LABEL = "vault-sched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The daemon of one vault. `label` is `<vault name>-<hash>`; paths are absolute."""

    label: str
    vault: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: str  # where the manager keeps no log of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a service stands: its file is there, it starts at login, it runs; and what else to do about it."""

    path: Path
    installed: bool
    enabled: bool = False
    active: bool = False
    advice: tuple[str, ...] = ()


class ServiceFault(Exception):
    """The manager refused; the message is its own words."""


class Manager(Protocol):
    """The service manager of an operating system."""

    name: str
    rereads: bool  # whether a service that ends by itself is started again as its file then says

    def path(self, label: str) -> Path:
        """Where the file of a service lies."""
        ...

    def text(self, service: Service) -> str:
        """The file of a service."""
        ...

    def start(self, label: str) -> None:
        """Start it now and at every login. Raises ServiceFault."""
        ...

    def enable(self, label: str) -> None:
        """Read its file and start it at every login; one that runs goes on. Raises ServiceFault."""
        ...

    def stop(self, label: str) -> None:
        """Stop it, and start it no more. Raises ServiceFault."""
        ...

    def standing(self, label: str) -> Standing:
        """How it stands."""
        ...


class Systemd:
    """User units of systemd."""

    name = "systemd"
    rereads = True

    def path(self, label: str) -> Path:
        """`~/.config/systemd/user/vault-sched-<label>.service`."""
        base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return Path(base, "systemd", "user", _unit(label))

    def text(self, service: Service) -> str:
        """The unit."""
        environment = [f"Environment={_unit_word(f'{name}={value}')}" for name, value in service.environment.items()]
        return "\n".join(
            [
                "# Written by `vault-sched service install`, and written anew by it.",
                "[Unit]",
                f"Description=vault-sched for {_specifiers(service.vault)}",
                "StartLimitIntervalSec=0",
                "",
                "[Service]",
                "Type=notify",
                "NotifyAccess=main",
                f"ExecStart={' '.join(_exec_word(word) for word in service.argv)}",
                "# Reloaded, it starts nothing more, lets what runs end in its own time, and restarts in place.",
                'ExecReload=/bin/sh -c "kill -USR1 ${MAINPID}"',
                *environment,
                "# A daemon that makes no pass for so long hangs: it is killed and started anew.",
                f"WatchdogSec={WATCHDOG_S}",
                "Restart=always",
                f"RestartSec={RESTART_S}",
                f"TimeoutStartSec={START_S}",
                "# Stopped, the daemon gives its runs ten seconds to end; what is left after it is killed.",
                "KillMode=mixed",
                f"TimeoutStopSec={STOP_S}",
                "",
                "[Install]",
                "WantedBy=default.target",
                "",
            ]
        )

    def start(self, label: str) -> None:
        """Reload the units, then enable and restart this one."""
        self.enable(label)
        _call("systemctl", "--user", "restart", _unit(label))

    def enable(self, label: str) -> None:
        """Reload the units and enable this one."""
        _call("systemctl", "--user", "daemon-reload")
        _call("systemctl", "--user", "enable", _unit(label))

    def stop(self, label: str) -> None:
        """Disable and stop it."""
        _call("systemctl", "--user", "disable", "--now", _unit(label))

    def standing(self, label: str) -> Standing:
        """As `systemctl --user` says."""
        path = self.path(label)
        return Standing(
            path=path,
            installed=path.exists(),
            enabled=_says("systemctl", "--user", "is-enabled", _unit(label)) == "enabled",
            active=_says("systemctl", "--user", "is-active", _unit(label)) in ("active", "activating"),
            advice=() if _lingers() else (_LINGER,),
        )


_LINGER = "It stops when you log out. `loginctl enable-linger` lets it run from boot on, as a server needs."


def _lingers() -> bool:
    """Whether the user's services run without a login. Where that cannot be told, no advice is given."""
    folder = Path("/var/lib/systemd/linger")
    return not folder.is_dir() or (folder / os.environ.get("USER", "")).is_file()


def _unit(label: str) -> str:
    return f"{_LABEL}-{label}.service"


def _specifiers(text: str) -> str:
    """`%` begins a specifier everywhere in a unit."""
    return re.sub(r"[\x00-\x1f]", " ", text).replace("%", "%%")


def _unit_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{_specifiers(escaped)}"'


def _exec_word(word: str) -> str:
    """In a command line `$` begins a variable, too."""
    return _unit_word(word.replace("$", "$$"))


class Launchd:
    """Launch agents of macOS."""

    name = "launchd"
    rereads = False

    def path(self, label: str) -> Path:
        """`~/Library/LaunchAgents/vault-sched.<label>.plist`."""
        return Path.home() / "Library" / "LaunchAgents" / f"{_agent(label)}.plist"

    def text(self, service: Service) -> str:
        """The property list."""
        agent = {
            "Label": _agent(service.label),
            "ProgramArguments": list(service.argv),
            "EnvironmentVariables": dict(service.environment),
            "RunAtLoad": True,
            "KeepAlive": True,
            "ThrottleInterval": RESTART_S,
            "ExitTimeOut": STOP_S,
            "ProcessType": "Background",
            "StandardOutPath": service.log,
            "StandardErrorPath": service.log,
        }
        return plistlib.dumps(agent, sort_keys=False).decode()

    def start(self, label: str) -> None:
        """Load the agent anew."""
        _says("launchctl", "bootout", f"{_domain()}/{_agent(label)}")
        _call("launchctl", "bootstrap", _domain(), str(self.path(label)))

    def enable(self, label: str) -> None:
        """Nothing: an agent is loaded at every login, and what is loaded cannot be read anew."""

    def stop(self, label: str) -> None:
        """Unload it."""
        _call("launchctl", "bootout", f"{_domain()}/{_agent(label)}")

    def standing(self, label: str) -> Standing:
        """As `launchctl` says."""
        path = self.path(label)
        printed = _says("launchctl", "print", f"{_domain()}/{_agent(label)}")
        return Standing(
            path=path,
            installed=path.exists(),
            enabled=path.exists(),
            active="state = running" in printed,
            advice=("A launch agent runs while you are logged in.",),
        )


def _agent(label: str) -> str:
    return f"{_LABEL}.{label}"


def _domain() -> str:
    return f"gui/{os.getuid()}"


def manager_here() -> Manager | None:
    """The manager of this machine; None where there is none that we know."""
    if sys.platform == "darwin":
        return Launchd()
    return Systemd() if shutil.which("systemctl") else None


_NO_SESSION = (
    "systemd knows no session of yours here. Log in as this user itself (`su` and `sudo` are no login), or on a server "
    "let `sudo loginctl enable-linger USER` begin one, and give the command again. In a container, have `vault-sched "
    "daemon` started by what starts the container."
)


def cure_of(fault: str) -> str:
    """What helps against what a manager said; "" where its words have to do."""
    return _NO_SESSION if "connect to bus" in fault else ""


def _call(*argv: str) -> str:
    """What a program printed. Raises ServiceFault with its words if it fails."""
    ended = _run(argv)
    if ended.returncode != 0:
        words = (ended.stderr or ended.stdout).strip() or f"exit {ended.returncode}"
        raise ServiceFault(f"{' '.join(argv)}: {words}")
    return ended.stdout.strip()


def _says(*argv: str) -> str:
    """What a program printed, however it ended."""
    try:
        return _run(argv).stdout.strip()
    except ServiceFault:
        return ""


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceFault(f"{' '.join(argv)}: {error}") from error
