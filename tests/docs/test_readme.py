"""Every command of the README and the tutorial works: run for real, in order, in a home of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.main import get_command

from tests.process import loopback_api as loopback
from vault_scheduler.cli import cli
from vault_scheduler.parsing.keys import KEYS
from vault_scheduler.text.harmless import harmless_markdown

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "example_vault"

# Commands that are not run here. What stands for them is checked instead, see the tests of their names.
INSTALLS = ("uv tool install .", "pipx install .")
MAKES = ("make demo", "make check", "make test")
WITHIN_S = 40.0


def blocks(language: str, page: str = README) -> list[str]:
    """The fenced blocks of a language, without those that say above them why they are not run."""
    found = re.findall(rf"^(<!-- not run .*-->\n)?```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text for mark, text in found if not mark]


def command_lines(page: str = README) -> list[str]:
    return [line for block in blocks("sh", page) for line in block.splitlines() if line.strip()]


@dataclass
class Home:
    """A reader's shell: its home folder, the folder it stands in, the daemon that it left running."""

    home: Path
    cwd: Path = field(init=False)
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cwd = self.home

    @property
    def environment(self) -> dict[str, str]:
        bin_folder = str(Path(sys.executable).parent)
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
        path = os.pathsep.join([bin_folder, os.environ.get("PATH", os.defpath)])
        return {**kept, "HOME": str(self.home), "PATH": path, "TZ": "UTC"}

    def follow(self, line: str) -> str:
        """Type the line as it stands in the README; its output. The daemon stays in the background."""
        if line.startswith("cd "):
            self.cwd = Path(line.removeprefix("cd ").replace("~", str(self.home)))
            return ""
        if line.split()[-1] == "daemon":
            self.daemons.append(self._start(line))
            return ""
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _start(self, line: str) -> subprocess.Popen[bytes]:
        with (self.home / "daemon.log").open("wb") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", f"exec {line}"],
                cwd=self.cwd,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        for daemon in self.daemons:
            daemon.send_signal(signal.SIGTERM)
        for daemon in self.daemons:
            assert daemon.wait(20) == 0, (self.home / "daemon.log").read_text()


@contextmanager
def a_home(folder: Path) -> Iterator[Home]:
    home = Home(folder)
    try:
        yield home
        home.stop()
    finally:
        for daemon in home.daemons:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()


def hurry(settings: Path) -> None:
    """Notes count and are written after a second instead of half a minute; a reader has that time."""
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("---\n", "---\nnote_quiet: 1s\nnote_interval: 1s\n", 1), encoding="utf-8")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_every_command_block_works_in_the_order_of_the_page(tmp_path: Path) -> None:
    """A reader who types every line of the README, one after the other, meets no error and gets the results."""
    said: dict[str, str] = {}
    with a_home(tmp_path) as home:
        for line in command_lines():
            if line not in (*INSTALLS, *MAKES):
                said[line] = home.follow(line)
                if line.startswith("vault-sched init"):
                    hurry(tmp_path / "notes/00_system/scheduler.md")
                if home.daemons:
                    wait_until(
                        lambda: b"watching" in (tmp_path / "daemon.log").read_bytes(), "the daemon never started"
                    )
        hello = tmp_path / "notes/00_system/tasks/hello.md"
        wait_until(lambda: "## Runs" in hello.read_text(encoding="utf-8"), "no result came into the note")
    assert "weather" in said["vault-sched list"]
    assert "success" in said["vault-sched run hello --wait"]
    assert said["vault-sched logs hello"].rstrip() == "Changed in the last 24 hours: 0"  # of notes of the reader's
    assert (tmp_path / "notes/00_system/tasks/weather.md").is_file()


def test_the_tutorial_leads_to_a_briefing(tmp_path: Path) -> None:
    """Who types every line of the tutorial, with a key for Claude in the file that it makes, gets the note."""
    said: dict[str, str] = {}
    env = tmp_path / ".config/vault-sched/env"
    script = [loopback.text("**Nothing is late.** See [[Dashboard]].")]
    with loopback.LoopbackApi(script) as api, a_home(tmp_path) as home:
        for line in command_lines(TUTORIAL):
            if line not in INSTALLS:
                said[line] = home.follow(line)
            if line.startswith("vault-sched init"):
                hurry(tmp_path / "notes/00_system/scheduler.md")
            if line.startswith("chmod"):
                env.write_text(f"ANTHROPIC_API_KEY=a-key-of-the-tests\nANTHROPIC_BASE_URL={api.url}\n")
        (briefing,) = (tmp_path / "notes/Briefings").iterdir()
        assert "**Nothing is late.** See [[Dashboard]]." in briefing.read_text(encoding="utf-8")
    assert (tmp_path / "notes/Dashboard.md").is_file()
    assert "success" in said["vault-sched run briefing --wait"]
    assert "yes" in said["vault-sched status"]


PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_between_the_pages_leads_somewhere(page: str) -> None:
    """Files are there, and so are the headings that a link names."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"(?<!\])\]\((?!\w+:)([^)\s]+)\)", text):
        name, _, heading = target.partition("#")
        path = ((ROOT / page).parent / name) if name else ROOT / page
        assert path.exists(), target
        if heading:
            heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_the_index_names_every_page() -> None:
    """docs/README.md leads to each page beside and below it."""
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs").as_posix()
        assert name == "README.md" or f"]({name})" in index, name


def test_the_installation_lines_name_this_project() -> None:
    """What `uv tool install .` and `pipx install .` install has the command that the page goes on with."""
    assert set(INSTALLS) <= set(command_lines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"vault-sched": "vault_scheduler.__main__:main"}
    assert shutil.which("vault-sched", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(not (ROOT / "Makefile").exists(), reason="not a source tree")
def test_the_make_lines_name_targets() -> None:
    """`make demo`, `make check` and `make test` are there; the demo itself has a test of its own."""
    assert set(MAKES) <= set(command_lines())
    for line in MAKES:
        subprocess.run([*line.split(), "-n"], cwd=ROOT, check=True, capture_output=True)


def test_the_task_note_shown_is_the_one_of_the_example_vault() -> None:
    """The first note of the page is a real one, byte for byte."""
    shown = re.findall(r"^````markdown\n(.*?)^````$", README, re.MULTILINE | re.DOTALL)
    assert shown[0] == (EXAMPLE / "00_system/tasks/docs-review.md").read_text(encoding="utf-8")


def test_the_result_shown_is_what_a_run_of_that_note_gives(tmp_path: Path) -> None:
    """The result on the page is that of a real run, apart from the days that have passed."""
    vault = tmp_path / "vault"
    shutil.copytree(EXAMPLE, vault)
    note = vault / "00_system/tasks/docs-review.md"
    os.utime(note, (1.7e9, 1.7e9))
    with a_home(tmp_path) as home:
        home.cwd = vault
        home.follow("vault-sched run docs-review --wait")
    section = note.read_text(encoding="utf-8").partition("## Runs\n")[2]
    shown = re.findall(r"^````markdown\n## Runs\n(.*?)^````$", README, re.MULTILINE | re.DOTALL)[0]
    assert timeless(section) == timeless(shown)


def timeless(section: str) -> str:
    section = re.sub(r"(?<=\[!success\]- ).*", "WHEN", section)
    return re.sub(r"\d+ days overdue|r-\w+-\w+", "…", section).strip()


def test_the_table_of_commands_is_complete() -> None:
    """The page lists exactly the commands that there are, and no option that there is not."""
    rows = [row.split(" | ")[0] for row in COMMANDS.splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z][a-z-]*)", row)}
    commands = getattr(get_command(cli), "commands")  # noqa: B009  # a group, says no annotation
    assert named == set(commands)
    for row in rows:
        options = {option for command in commands.values() for param in command.params for option in param.opts}
        assert set(re.findall(r"--[a-z-]+", row)) <= options, row


def test_the_limits_name_every_key_that_is_not_supported() -> None:
    """A key that this version refuses is named as a limit, and nothing that it supports is."""
    limits = README.partition("## Limits of this version")[2].partition("## ")[0]
    for key in KEYS.values():
        if not key.supported and key.name not in ("debounce", "after_outcome", "daily_log_heading"):  # go with another
            assert f"`{key.name}`" in limits, key.name
    for name in re.findall(r"`([a-z_]+)`", limits):
        assert name not in KEYS or not KEYS[name].supported or name in ("overlap", "session", "output"), name


def test_the_page_renders_without_surprise() -> None:
    """No line of the results shown would be changed by the cleaning of output."""
    shown = re.findall(r"^> (- .*)$", README, re.MULTILINE)
    assert len(shown) == 3
    assert [harmless_markdown(line) for line in shown] == shown
