"""The daemon as a service: what it tells the manager that started it, and how its unit is written and switched."""

from __future__ import annotations

import contextlib
import plistlib
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.process.conftest import World, wait_until
from vault_scheduler.platform.services import Launchd, Service, Systemd

ODD = '/home/me/My notes 100% $HOME "quoted" back\\slash'
STUB = """#!/bin/sh
echo "$@" >> "$HOME/asked"
case "$2" in is-active) cat "$HOME/active" 2>/dev/null;; is-enabled) echo enabled;; esac
test ! -e "$HOME/refuse" || { echo "Failed to connect to bus" >&2; exit 1; }
"""


class Served(World):
    """A world whose daemon is started by a manager, or whose machine has one (a stub that writes down its calls)."""

    more: dict[str, str]

    @property
    def env(self) -> dict[str, str]:
        return {**super().env, **self.more}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A vault whose daemon was not started yet."""
    made = Served(tmp_path)
    made.more = {}
    yield made
    if made.daemon is not None and made.daemon.poll() is None:
        made.kill()


class Manager:
    """The socket that a service manager listens on."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        """All that was said so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        return self.heard

    def hears(self, words: str) -> Callable[[], bool]:
        """Whether somebody said that."""
        return lambda: any(words in said.split("\n") for said in self.listen())


@pytest.fixture
def manager(served: Served) -> Iterator[Manager]:
    """The manager that starts the daemon."""
    listening = Manager(served.folder / "notify")
    served.more = {"NOTIFY_SOCKET": str(served.folder / "notify")}
    yield listening
    listening.socket.close()


def test_manager_is_told_when_it_is_ready_alive_and_stopping(served: Served, manager: Manager) -> None:
    """READY when the vault is watched, WATCHDOG after passes, STOPPING when the end was asked for; runs hear none."""
    served.note("a", 'type: command\ncommand: "env; exit 1"\nrun_now: true\ncron: 0 0 29 2 *')
    served.start(wait=False)
    wait_until(manager.hears("READY=1"), "ready")
    assert manager.hears(f"STATUS=watching {served.vault}")()
    wait_until(manager.hears("WATCHDOG=1"), "alive")
    served.ended("a")
    served.delivered("a")
    assert "NOTIFY_SOCKET" not in (served.tasks / "a.md").read_text()
    assert not manager.hears("STOPPING=1")()
    assert served.stop() == 0
    assert manager.hears("STOPPING=1")()


def test_hung_daemon_falls_silent_and_the_next_one_takes_over(served: Served, manager: Manager) -> None:
    """What a watchdog does: a daemon that makes no pass is killed and started anew, and its run ends abandoned."""
    served.note("long", "type: command\ncommand: sleep 4741\nrun_now: true\ncron: 0 0 29 2 *")
    daemon = served.start()
    served.until(lambda: [run for run in served.runs("long") if run["state"] == "running"], "it runs")
    daemon.send_signal(signal.SIGSTOP)
    served.until(lambda: psutil.Process(daemon.pid).status() == psutil.STATUS_STOPPED, "it hangs")
    manager.listen()
    manager.heard.clear()
    served.note("b", "type: command\ncommand: echo b\nrun_now: true\ncron: 0 0 29 2 *")
    assert manager.listen() == []
    served.kill()
    served.start()
    wait_until(manager.hears("READY=1"), "the next one is ready")
    (run,) = served.ended("long")
    assert run["outcome"] == "abandoned"
    assert subprocess.run(["pgrep", "-f", "sleep 4741"], capture_output=True, check=False).returncode == 1


def test_daemon_without_a_manager_says_nothing(served: Served) -> None:
    """A socket that nobody listens on any more is no trouble."""
    served.more = {"NOTIFY_SOCKET": str(served.folder / "nobody")}
    served.start()
    assert served.stop() == 0


# the unit


def with_stub(served: Served) -> Path:
    """A machine whose `systemctl` writes down what it is asked; the file of what it was asked."""
    programs = served.folder / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(STUB)
    (programs / "systemctl").chmod(0o755)
    served.more = {"PATH": f"{programs}:{served.env['PATH']}", "USER": "me"}
    return served.folder / "home" / "asked"


def test_service_is_installed_asked_and_removed(served: Served) -> None:
    """`install` writes the unit, enables and restarts it; `status` tells how it stands; `uninstall` leaves nothing."""
    asked = with_stub(served)
    done = served.sched("service", "install")
    assert done.returncode == 0, done.stderr
    (unit,) = (served.folder / "config" / "systemd" / "user").iterdir()
    assert f"wrote {unit}" in done.stdout
    assert f'"--vault" "{served.vault}" "daemon"' in unit.read_text()
    assert f"PATH={served.more['PATH']}" in unit.read_text()
    assert asked.read_text().split("\n")[:3] == [
        "--user daemon-reload",
        f"--user enable {unit.name}",
        f"--user restart {unit.name}",
    ]
    assert served.sched("service", "status").returncode == 1
    (served.folder / "home" / "active").write_text("active\n")
    stands = served.sched("service", "status")
    assert (stands.returncode, stands.stdout.split("(")[0]) == (0, "systemd: runs, starts at login ")
    assert served.sched("service", "uninstall").returncode == 0
    assert not unit.exists()
    assert f"--user disable --now {unit.name}" in asked.read_text()
    again = served.sched("service", "uninstall")
    assert again.returncode == 1
    assert "this vault has no service" in again.stderr


def test_manager_that_refuses_is_quoted(served: Served) -> None:
    """Without a user manager (a container, for one) the unit is there; the manager's words are told, and what to do."""
    with_stub(served)
    (served.folder / "home" / "refuse").touch()
    done = served.sched("service", "install")
    assert done.returncode == 1
    assert "could not start it" in done.stderr
    assert "Failed to connect to bus" in done.stderr
    assert "loginctl enable-linger" in done.stderr


SERVICE = Service(
    label="notes-0123abcd",
    vault=ODD,
    argv=("/opt/my python/bin/python", "-m", "vault_scheduler", "--vault", ODD, "daemon"),
    environment={"PATH": "/usr/bin:/opt/my bin"},
    log="/tmp/log",
)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_unit_is_valid_for_systemd(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing to say, with spaces, percent signs, dollars and quotes in the path too."""
    program = tmp_path / "my python"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    service = Service(
        label="x",
        vault=ODD,
        argv=(str(program), *SERVICE.argv[1:]),
        environment=SERVICE.environment,
        log="",
    )
    unit = tmp_path / "vault-sched-x.service"
    unit.write_text(Systemd().text(service))
    checked = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        capture_output=True,
        text=True,
        env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_unit_spells_odd_paths_as_systemd_reads_them() -> None:
    """`%` and `$` are doubled, quotes and backslashes escaped: the daemon gets exactly the vault's path."""
    (line,) = [line for line in Systemd().text(SERVICE).split("\n") if line.startswith("ExecStart=")]
    assert '"/home/me/My notes 100%% $$HOME \\"quoted\\" back\\\\slash"' in line


def test_agent_is_a_property_list() -> None:
    """The launch agent starts the same program with the same environment, and again when it ends."""
    agent = plistlib.loads(Launchd().text(SERVICE).encode())
    assert agent["ProgramArguments"] == list(SERVICE.argv)
    assert agent["EnvironmentVariables"] == {"PATH": "/usr/bin:/opt/my bin"}
    assert (agent["KeepAlive"], agent["RunAtLoad"]) == (True, True)
