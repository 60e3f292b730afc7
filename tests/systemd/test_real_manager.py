"""The daemon as a service of a real systemd: `make systemd`, or any machine where this runs beside a user manager."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.conftest import World, wait_until

pytestmark = [
    pytest.mark.systemd,
    pytest.mark.skipif(
        "IN_A_MANAGER" not in os.environ or shutil.which("systemctl") is None,
        reason="no user manager of its own: `make systemd` starts one",
    ),
]

NEVER = "cron: 0 0 29 2 *"


class Service(World):
    """A vault whose daemon is systemd's; the unit is the installed one, with a watchdog that need not be waited for."""

    language = "C.UTF-8"  # of the person who installs it; the unit hands it to the daemon

    @property
    def env(self) -> dict[str, str]:
        """As in a login's shell."""
        more = {name: os.environ[name] for name in ("HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")}
        return {**super().env, **more, "LANG": self.language}

    @property
    def unit(self) -> str:
        """The name of the service."""
        (path,) = Path(os.environ["XDG_CONFIG_HOME"], "systemd", "user").glob("vault-sched-*.service")
        return path.name

    def systemctl(self, *arguments: str) -> str:
        """What systemd says."""
        done = subprocess.run(
            ["systemctl", "--user", *arguments], capture_output=True, text=True, timeout=100, check=False, env=self.env
        )
        return done.stdout.strip() + done.stderr.strip()

    def shows(self, name: str) -> str:
        """A property of the unit."""
        return self.systemctl("show", "--value", "--property", name, self.unit)

    @property
    def pid(self) -> int:
        """The main process."""
        return int(self.shows("MainPID"))

    def impatient(self) -> None:
        """Restart and watchdog in seconds, instead of ten and three minutes."""
        folder = Path(os.environ["XDG_CONFIG_HOME"], "systemd", "user", f"{self.unit}.d")
        folder.mkdir()
        (folder / "test.conf").write_text("[Service]\nRestartSec=1\nWatchdogSec=6\n")

    def is_running(self, task: str) -> bool:
        """Whether the task has a run that runs."""
        return any(run["state"] == "running" for run in self.runs(task))

    def serves(self, but: int) -> bool:
        """Whether a daemon with another pid watches the vault."""
        return self.shows("ActiveState") == "active" and self.pid not in (0, but)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A vault with a task that makes the daemon pass all the time; the service is not installed yet."""
    made = Service(tmp_path)
    made.note("often", "type: command\nevery: 1s\ncommand: 'true'\nlog: none")
    yield made
    if list(Path(os.environ["XDG_CONFIG_HOME"]).glob("systemd/user/vault-sched-*.service")):
        drop_in = Path(os.environ["XDG_CONFIG_HOME"], "systemd", "user", f"{made.unit}.d")
        made.sched("service", "uninstall")
        shutil.rmtree(drop_in, ignore_errors=True)


def installed(service: Service) -> int:
    """Install it; the pid of the daemon."""
    assert service.sched("service", "install", "--no-start").returncode == 0
    service.impatient()
    done = service.sched("service", "install")
    assert (done.returncode, done.stderr) == (0, "")
    assert (service.shows("ActiveState"), service.shows("SubState")) == ("active", "running")
    service.ended("often")
    return service.pid


@pytest.mark.timeout(120)
def test_daemon_that_is_killed_or_hangs_is_started_again(service: Service) -> None:
    """After kill -9 and after SIGSTOP another one serves; what ran is ended and told as abandoned; `stop` is a stop."""
    first = installed(service)
    stands = service.sched("service", "status")
    assert (stands.returncode, stands.stdout.split("(")[0]) == (0, "systemd: runs, starts at login ")
    service.note("long", f"type: command\ncommand: sleep 4761\nrun_now: true\n{NEVER}")
    service.until(lambda: service.is_running("long"), "it runs")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: service.serves(but=first), "another daemon after kill -9")
    assert service.ended("long")[0]["outcome"] == "abandoned"
    second = service.pid
    os.kill(second, signal.SIGSTOP)
    wait_until(lambda: service.shows("Result") == "watchdog" or service.serves(but=second), "the watchdog")
    wait_until(lambda: service.serves(but=second), "another daemon after the watchdog")
    assert int(service.shows("NRestarts")) == 2
    assert subprocess.run(["pgrep", "-f", "sleep 4761"], capture_output=True, check=False).returncode == 1
    assert service.sched("service", "uninstall").returncode == 0
    assert "could not be found" in service.systemctl("status", "vault-sched-vault.service")
    assert json.loads(service.sched("status", "--json").stdout)["alive"] is False


@pytest.mark.timeout(120)
def test_reload_waits_for_what_runs_and_restart_does_not(service: Service) -> None:
    """Reloaded it restarts in place, with what runs left alone; a changed unit counts after it; `restart` is now."""
    first = installed(service)
    released = service.folder / "released"
    command = json.dumps(f"while ! test -e {released}; do sleep 0.05; done")
    service.note("long", f"type: command\ncommand: {command}\nrun_now: true\n{NEVER}")
    service.until(lambda: service.is_running("long"), "it runs")
    service.systemctl("reload", service.unit)
    wait_until(lambda: "restarts when" in service.shows("StatusText"), "it drains")
    assert (service.shows("ActiveState"), service.pid) == ("active", first)
    released.touch()
    wait_until(lambda: service.shows("StatusText").startswith("watching"), "it serves again")
    assert (service.shows("ActiveState"), service.pid, service.shows("NRestarts")) == ("active", first, "0")
    assert service.ended("long")[0]["outcome"] == "success"
    released.unlink()
    assert service.sched("run", "long").returncode == 0
    service.until(lambda: service.is_running("long"), "it runs again")
    service.language = "C"
    done = service.sched("service", "install")
    assert "restarts when what runs has ended" in done.stdout
    assert service.pid == first
    released.touch()
    wait_until(lambda: service.serves(but=first), "systemd starts it as the unit says now")
    assert [run["outcome"] for run in service.ended("long", 2)] == ["success", "success"]
    assert b"\0LANG=C\0" in Path(f"/proc/{service.pid}/environ").read_bytes()
    service.note("last", f"type: command\ncommand: sleep 4762\nrun_now: true\n{NEVER}")
    service.until(lambda: service.is_running("last"), "it runs")
    third = service.pid
    assert service.sched("service", "restart", "--now").returncode == 0
    assert service.serves(but=third)
    assert service.ended("last")[0]["outcome"] == "abandoned"
