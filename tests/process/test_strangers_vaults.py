"""From `init` to the first result in vaults as people have them: other folders, other names, their own daily notes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import vault_scheduler
from tests.process.conftest import PATIENCE_S, wait_until

PERIODIC = {"daily": {"enabled": True, "format": "YYYY/MM MMMM/YYYY-MM-DD dddd", "folder": "Journal", "template": "T"}}
BREAKFAST = "# Today\n\n## Log\n\nBreakfast. \u00a0\r\n"


@dataclass(frozen=True)
class Stranger:
    """Somebody with a home and a vault, who types what the README says."""

    home: Path
    vault: Path
    system: str = "00_system"

    @property
    def env(self) -> dict[str, str]:
        code = str(Path(vault_scheduler.__file__).parents[1])
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": code}

    def types(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "vault_scheduler", *arguments],
            cwd=self.vault if self.vault.is_dir() else self.home,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode in codes, done.stdout + done.stderr
        return done.stdout

    def note(self, name: str) -> Path:
        return self.vault / self.system / "tasks" / f"{name}.md"

    def edits(self, path: Path, old: str, new: str) -> None:
        path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")

    @contextmanager
    def daemon(self) -> Iterator[None]:
        said = self.home / "daemon.log"
        arguments = [sys.executable, "-m", "vault_scheduler", "--vault", str(self.vault), "daemon"]
        with said.open("wb") as log:
            process = subprocess.Popen(arguments, cwd=self.home, env=self.env, stdout=log, stderr=log)
        try:
            wait_until(lambda: b"watching" in said.read_bytes(), "the daemon watches")
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0, said.read_text()
        finally:
            process.kill()
            process.wait()


def hurried(stranger: Stranger, more: str = "") -> None:
    """What takes a person half a minute takes a second here."""
    settings = stranger.vault / stranger.system / "scheduler.md"
    stranger.edits(settings, "---\n", f"---\nnote_quiet: 1s\nnote_interval: 1s\n{more}")


def obsidian(vault: Path, folder: str) -> None:
    """The configuration of Obsidian: Periodic Notes is enabled, and the core plugin says something else."""
    files: dict[str, object] = {
        "app.json": {"alwaysUpdateLinks": True},
        "community-plugins.json": ["dataview", "periodic-notes"],
        "daily-notes.json": {"folder": "Old daily"},
        "plugins/periodic-notes/data.json": PERIODIC,
    }
    for name, content in files.items():
        (vault / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (vault / folder / name).write_text(json.dumps(content), encoding="utf-8")


def checksums(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_first_results_in_a_vault_with_other_folders_and_periodic_notes(tmp_path: Path) -> None:
    """Another system folder, another configuration folder of Obsidian: log and result stand in the day's own note."""
    stranger = Stranger(tmp_path / "home", tmp_path / "vault", "99 System")
    config = stranger.home / ".config/vault-sched/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('system_folder = "99 System"\n')
    obsidian(stranger.vault, ".obsidian-work")
    before = checksums(stranger.vault / ".obsidian-work")
    today = datetime.now(UTC)
    days = [stranger.vault / f"{day:Journal/%Y/%m %B/%Y-%m-%d %A}.md" for day in (today, today + timedelta(days=1))]
    for day in days:  # tomorrow's too: the test may run at midnight
        day.parent.mkdir(parents=True, exist_ok=True)
        day.write_bytes(BREAKFAST.encode())
    stranger.types("init", str(stranger.vault))
    hurried(stranger, "daily_log_in: daily-note\n")

    with stranger.daemon():
        stranger.edits(stranger.note("hello"), "run_now: false", "run_now: true")
        stranger.types("create", "sun", "--cron", "0 0 29 2 *", "--command", "echo sunny", "--output", "daily-note#Log")
        stranger.types("run", "sun", "--wait")

        def written() -> str:
            return b"".join(day.read_bytes() for day in days).decode()

        wait_until(lambda: "[[99 System/tasks/hello|hello]]" in written(), "a line of the daily log")
        wait_until(lambda: "sunny\n```" in written().replace("\r\n", "\n"), "the result under its heading")
        wait_until(lambda: "## Runs" in stranger.note("hello").read_text(), "the result in the task's note")
        doctor = stranger.types("doctor", codes=(0, 1))  # it may find something wrong with this machine
    assert ".obsidian-work/plugins/periodic-notes/data.json" in doctor
    assert str(days[0].relative_to(stranger.vault)) in doctor or str(days[1].relative_to(stranger.vault)) in doctor
    assert written().startswith(BREAKFAST[:-2])
    assert checksums(stranger.vault / ".obsidian-work") == before
    assert sorted(path.name for path in stranger.vault.iterdir()) == [".obsidian-work", "99 System", "Journal"]
    assert not list((stranger.vault / "99 System/logs").iterdir())


def test_first_results_in_a_vault_with_spaces_umlauts_and_emoji(tmp_path: Path) -> None:
    """A path, a vault and a task of any characters: typed, run, listed, linked."""
    stranger = Stranger(tmp_path / "home", tmp_path / "Dokumente" / "Mein Gärtchen 🦌 (privat)")
    stranger.home.mkdir()
    stranger.types("init", str(stranger.vault))
    hurried(stranger)
    name = "Übersicht ☕ heute"
    with stranger.daemon():
        stranger.types("create", name, "--cron", "0 0 29 2 *", "--call", "dashboard")
        stranger.types("run", name, "--wait")
        wait_until(lambda: "[[Dashboard]]" in stranger.note(name).read_text(encoding="utf-8"), "the result")
        (shown,) = [item for item in json.loads(stranger.types("list", "--json")) if item["task"] == name]
        assert shown["last_outcome"] == "success"
        status = stranger.vault / "00_system/status.md"
        wait_until(status.exists, "the status note")
    log = "".join(path.read_text(encoding="utf-8") for path in (stranger.vault / "00_system/logs").iterdir())
    assert f"[[00_system/tasks/{name}|{name}]]" in log
