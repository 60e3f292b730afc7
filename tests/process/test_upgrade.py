"""A daemon that drains and restarts: what runs ends in its own time, and no fire time is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vault_scheduler
from tests.process import claude_world as helper
from tests.process import loopback_api as api
from tests.process.conftest import PATIENCE_S, World
from vault_scheduler.daemon import serving
from vault_scheduler.daemon.draining import Then
from vault_scheduler.ledger.schema import MIGRATIONS
from vault_scheduler.machine.place import Place

NEVER = "cron: 0 0 29 2 *"
NEW = "99.0"
LATER = 'MIGRATIONS = (*MIGRATIONS, lambda db: db.execute("CREATE TABLE later (it INTEGER)"))'
CHECKED = f'import vault_scheduler as _ours; assert _ours.__version__ == "{NEW}", f"{{__name__}} is of another version"'


class Installed(World):
    """A world whose daemon runs from an installation of its own, as pip leaves one behind."""

    @property
    def site(self) -> Path:
        """The folder of installed packages."""
        return self.folder / "site"

    @property
    def env(self) -> dict[str, str]:
        return {**super().env, "PYTHONPATH": str(self.site)}

    def sched(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the installation."""
        command = [sys.executable, "-m", "vault_scheduler", *arguments, "--vault", str(self.vault)]
        return subprocess.run(
            command, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )

    def install(self, version: str) -> None:
        """What pip does: the old files go, the new ones come, the record last."""
        for old in self.site.glob("*"):
            shutil.rmtree(old)
        target = self.site / "vault_scheduler"
        ours = Path(vault_scheduler.__file__).parent
        unwanted = "__pycache__" if version == NEW else "*.pyc.*"  # what somebody compiles just now
        shutil.copytree(ours, target, ignore=shutil.ignore_patterns(unwanted))
        if version == NEW:
            self._tell_apart(target)
        record = self.site / f"vault_sched-{version}.dist-info" / "RECORD"
        record.parent.mkdir()
        record.write_text(version)

    def _tell_apart(self, package: Path) -> None:
        """No module of the new version can be loaded by a process of the old one."""
        for module in package.rglob("*.py"):
            text = module.read_text()
            module.write_text(text.replace("annotations\n", f"annotations\n\n{CHECKED}\n", 1))
        schema = package / "ledger" / "schema.py"
        schema.write_text(f"{schema.read_text()}\n{LATER}\n")
        first = package / "__init__.py"
        first.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{NEW}"', first.read_text()))

    def holder(self) -> dict[str, object]:
        """Who serves the vault, as it says itself."""
        found: dict[str, object] = json.loads((self.state / "lock").read_text())
        return found


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    """A vault whose daemon was not started yet, and the program in its first version."""
    made = Installed(tmp_path)
    made.install(vault_scheduler.__version__)
    yield made
    if made.daemon is not None and made.daemon.poll() is None:
        made.kill()


def waits_for(file: Path) -> str:
    """A command that ends when somebody makes this file."""
    return f"while ! test -e {file}; do sleep 0.05; done; echo went on"


def is_running(world: World, task: str) -> bool:
    return any(run["state"] == "running" for run in world.runs(task))


def fire_times(world: World, task: str) -> list[int]:
    """All that were dealt with; each stands for one row, or one of a row's count."""
    return [run["fire_time"] + 2 * number for run in world.runs(task) for number in range(run["count"])]


def ends_of(world: World, task: str) -> tuple[int, int]:
    """The first fire time, and behind the last one."""
    runs = world.runs(task)
    return runs[0]["fire_time"], runs[-1]["last_fire_time"] + 2


def schema_of(world: World) -> int:
    """The version of the ledger's schema."""
    return int(world.rows("PRAGMA user_version")[0]["user_version"])


def waiting(world: World, task: str) -> list[str]:
    return [run["waiting_for"] for run in world.runs(task) if run["state"] == "waiting"]


@pytest.mark.timeout(
    150
)  # the new version is loaded to see whether it starts, which takes a busy machine half a minute
def test_upgrade_waits_for_what_runs_and_loses_no_fire_time(installed: Installed) -> None:
    """A command and a paid session end by themselves, what comes due waits, STOP works, and then the new one serves."""
    released = installed.folder / "released"
    answer = api.Held([api.text("The session was left alone.")])
    with api.LoopbackApi(answer) as server:
        helper.log_in(installed, server.url)
        installed.note("long", f"type: command\ncommand: {json.dumps(waits_for(released))}\nrun_now: true\n{NEVER}")
        installed.note("other", f"type: command\ncommand: sleep 4742\nrun_now: true\n{NEVER}")
        installed.note("due", f"type: command\ncommand: echo ran >> {installed.outside}/due\n{NEVER}")
        installed.note("often", "type: command\nevery: 2s\ncommand: 'true'")
        # Last: what is first seen while a session without shell is alive would be held.
        installed.note("session", helper.CLAUDE, "Take your time.\n")
        daemon = installed.start()
        installed.ended("often")
        installed.until(lambda: is_running(installed, "long") and is_running(installed, "other"), "they run")
        installed.until(lambda: server.requests, "the session talks")
        installed.install(NEW)
        assert installed.sched("run", "due").returncode == 0
        assert "waits for restart" in installed.sched("status").stdout
        assert schema_of(installed) == len(MIGRATIONS)
        installed.until(lambda: waiting(installed, "due") == ["restart"], "what comes due waits")
        installed.until(lambda: "draining" in installed.told(), "the new version starts", 60)
        told = f"vault-sched {NEW} was installed (this is {vault_scheduler.__version__}): it restarts when"
        assert told in str(installed.holder()["draining"])
        stopped = installed.tasks / "other.md"
        stopped.write_text(stopped.read_text().replace("type:", "status: stopped\ntype:"))
        assert installed.ended("other")[0]["outcome"] == "cancelled"
        assert [is_running(installed, task) for task in ("long", "session")] == [True, True]
        assert not (installed.outside / "due").exists()
        released.touch()
        answer.release()
        installed.until(lambda: installed.told().count("watching") == 2, "the new one serves")
        installed.ended("due")
    assert [installed.ended(task)[0]["outcome"] for task in ("session", "long", "due")] == ["success"] * 3
    assert (installed.outside / "due").read_text() == "ran\n"
    assert (daemon.poll(), installed.holder()["pid"], installed.holder()["version"]) == (None, daemon.pid, NEW)
    assert "The session was left alone." in (installed.tasks / "session.md").read_text()
    assert not re.search("internal error|another version", installed.told())
    assert schema_of(installed) == len(MIGRATIONS) + 1
    assert installed.stop() == 0
    assert {run["outcome"] for run in installed.ended("often")} <= {"success", "skipped", "missed"}
    assert fire_times(installed, "often") == [*range(*ends_of(installed, "often"), 2)]


def test_restart_that_is_asked_for_is_shown_and_a_stop_comes_first(world: World) -> None:
    """`service restart` needs no service; `status` and `list` say what is waited for; TERM ends what runs after all."""
    world.note("long", f"type: command\ncommand: sleep 4743\nrun_now: true\n{NEVER}")
    world.start()
    world.until(lambda: is_running(world, "long"), "it runs")
    done = world.sched("service", "restart")
    assert (done.returncode, done.stderr) == (0, "")
    assert "restarts when what runs has ended" in done.stdout
    world.until(lambda: "draining" in world.told(), "it drains")
    world.note("due", f"type: command\ncommand: echo due\nrun_now: true\n{NEVER}")
    world.until(lambda: waiting(world, "due"), "it waits")
    assert "a restart was asked for: it restarts when what runs has ended" in world.sched("status").stdout
    assert "due waits for restart" in world.sched("status").stdout
    assert "waits for restart" in world.sched("list").stdout
    assert json.loads(world.sched("status", "--json").stdout)["draining"].startswith("a restart was asked for")
    assert world.stop() == 0
    assert world.ended("long")[0]["outcome"] == "abandoned"
    assert waiting(world, "due") == ["restart"]
    world.start()
    assert world.ended("due")[0]["outcome"] == "success"


def test_stop_while_it_leaves_for_its_successor_is_the_last_word(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TERM that comes between the last look at what runs and the restart is not lost: the daemon ends."""
    for name, value in world.env.items():
        monkeypatch.setenv(name, value)

    async def served() -> Then:
        stop = asyncio.Event()

        def tell(event: str, *_: str) -> None:
            if event == "watching":
                signal.raise_signal(signal.SIGUSR1)
            if event == "restarts":
                stop.set()

        place = Place.open(world.vault, start=world.vault, environ=world.env)
        return await asyncio.wait_for(serving.serve(place, tell=tell, stop=stop), PATIENCE_S)

    try:
        assert asyncio.run(served()) is Then.END
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)  # ignored from then on, also by what a process becomes
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)


def test_end_that_is_asked_for_waits_and_a_second_stop_hurries(world: World) -> None:
    """USR2 ends the daemon when nothing runs; told to stop twice, it gives what runs no time."""
    released = world.folder / "released"
    world.note("long", f"type: command\ncommand: {json.dumps(waits_for(released))}\nrun_now: true\n{NEVER}")
    daemon = world.start()
    world.until(lambda: is_running(world, "long"), "it runs")
    daemon.send_signal(signal.SIGUSR2)
    world.until(lambda: "its end was asked for: it ends when what runs has ended" in world.told(), "it drains")
    released.touch()
    assert daemon.wait(PATIENCE_S) == 0
    assert world.ended("long")[0]["outcome"] == "success"
    world.note("deaf", f"type: command\ncommand: \"trap '' TERM; while :; do sleep 0.1; done\"\nrun_now: true\n{NEVER}")
    daemon = world.start()
    world.until(lambda: is_running(world, "deaf"), "it runs")
    daemon.send_signal(signal.SIGTERM)
    world.until(lambda: "told to stop once more" in world.told(), "it ends what runs")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE_S) == 0
    assert world.ended("deaf")[0]["outcome"] == "abandoned"
    assert "told once more" in world.told()
