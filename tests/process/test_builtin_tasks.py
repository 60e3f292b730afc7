"""Every built-in task as a note of the example vault, run by the real scheduler: what then stands in the notes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.process.conftest import wait_until
from tests.process.loaded_program import run_command

if TYPE_CHECKING:
    from tests.process.github_server import GitHubServer

EXAMPLE = Path(__file__).parents[2] / "example_vault"
TOKEN = "a-token-of-the-tests-4711"


@dataclass
class Copy:
    """A copy of the example vault, with a machine of its own."""

    vault: Path
    environment: dict[str, str]
    last_second: int = 0  # of the clock, in which a run may have begun

    def task(self, name: str) -> Path:
        return self.vault / "00_system/tasks" / f"{name}.md"

    def change(self, name: str, pattern: str, new: str) -> None:
        text, number = re.subn(pattern, new, self.task(name).read_text(), count=1, flags=re.M)
        assert number == 1, pattern
        self.task(name).write_text(text)
        self.age()

    def age(self) -> None:
        """Nobody is typing: everything is as it was a week ago."""
        for path in self.vault.rglob("*.md"):
            os.utime(path, (time.time() - 7 * 86_400,) * 2)

    def sched(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_command(("--vault", str(self.vault), *arguments), self.environment, self.vault)

    def result_of(self, name: str) -> str:
        """Run the task, and return the newest run in its note, without the marks of the quote."""
        # Of two runs of one second either may stand first: a note's runs are ordered by the second in their ids.
        wait_until(lambda: int(time.time()) > self.last_second, "the next second")
        done = self.sched("run", name, "--wait")
        self.last_second = int(time.time())
        runs = self.task(name).read_text().partition("\n## Runs\n")[2]
        assert runs, done.stdout + done.stderr
        return re.sub(r"^> ?", "", runs.partition("\n\n- ")[0], flags=re.M)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    vault = tmp_path / "vault"
    shutil.copytree(EXAMPLE, vault, ignore=shutil.ignore_patterns("demo.py", "__pycache__"))
    (tmp_path / "config/vault-sched").mkdir(parents=True)
    (tmp_path / "config/vault-sched/env").write_text(f"GITHUB_TOKEN={TOKEN}\n")
    (tmp_path / "config/vault-sched/env").chmod(0o600)
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "COLUMNS": "200"}
    environment |= {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}
    settings = vault / "00_system/scheduler.md"
    settings.write_text(settings.read_text().replace("---\n", "---\nnote_quiet: 1s\nnote_interval: 1s\n", 1))
    made = Copy(vault, environment)
    made.age()
    yield made
    secret = [path for path in vault.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert secret == []


def test_the_dashboard_stands_in_its_note(copy: Copy) -> None:
    """`dashboard` makes its note with all five sections, and tells in its own what is overdue."""
    said = copy.result_of("refresh-dashboard")
    assert "[!success]" in said
    assert "33 open tasks in 17 notes" in said
    text = (copy.vault / "Dashboard.md").read_text()
    for title in ("Due", "Projects", "Open tasks", "Changed"):
        assert f"\n## {title}\n\n- " in text, title
    assert "- [[Projects/Website relaunch|Website relaunch]] · 3 open" in text
    assert "\n- … and" in text
    (copy.vault / "Home.md").write_text("- [ ] One thing, due 2026-11-01\n")
    copy.age()
    copy.result_of("refresh-dashboard")
    assert "One thing" in (copy.vault / "Dashboard.md").read_text()
    assert [path.name for path in copy.vault.glob(".vault-sched*")] == []  # nothing left behind


def test_stale_documents_stand_in_the_note(copy: Copy) -> None:
    """`doc_freshness` names the documents that are past their review."""
    said = copy.result_of("docs-review")
    assert "2 past their review, 1 never reviewed" in said
    assert "- [[Docs/Home network|Home network]] · reviewed 2025-03-02" in said


def test_the_cleanup_is_told_and_on_demand_done(copy: Copy) -> None:
    """`vault_cleanup` lists what it finds; with `delete=true` exactly that is in the trash."""
    said = copy.result_of("cleanup")
    assert "**2 empty notes, 1 copy, 2 old logs can go** · 7 dead links in 6 notes" in said
    assert not (copy.vault / ".trash").exists()
    copy.change("cleanup", r"args: \[", "args: [delete=true, ")
    assert "went to the trash**" in copy.result_of("cleanup")
    trash = {path.relative_to(copy.vault / ".trash").as_posix() for path in (copy.vault / ".trash").rglob("*.md")}
    logs = {f"00_system/logs/2026-03-0{day}.md" for day in (2, 3)}
    assert trash == {"Inbox/Untitled.md", "Inbox/Untitled 1.md", "Notes/Lentil soup 1.md", *logs}


def test_news_of_repositories_arrive_once(copy: Copy, github: GitHubServer) -> None:
    """`github_watch` uses the token of the machine, remembers in the state folder, and says when it cannot ask."""
    repo = "obsidianmd/obsidian-api"
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    github.token = TOKEN
    github.release(repo, "1.9.0", moment, name="Bases")
    github.issue(repo, 7, "A question", moment)
    copy.change(
        "github-watch", "^timeout: 2m$", f"env: [GITHUB_API_URL={github.url}]\nsecrets: [GITHUB_TOKEN]\ntimeout: 2m"
    )
    said = copy.result_of("github-watch")
    assert "**1 release, 1 issue** in 1 of 2 repositories, 1 could not be asked." in said
    assert "[1.9.0](https://github.com/obsidianmd/obsidian-api/releases/tag/1.9.0) · Bases" in said
    assert "- squidfunk/mkdocs-material · there is no such repository" in said
    assert set(github.authorised) == {f"Bearer {TOKEN}"}
    copy.age()
    assert "Nothing new in 2 repositories, 1 could not be asked." in copy.result_of("github-watch")
    assert 304 in github.statuses


def test_the_digest_tells_what_failed(copy: Copy) -> None:
    """`failure_digest` reads the ledger of the scheduler that runs it, and links the task that failed."""
    copy.change("vault-size", "^```sh$", "```sh\necho the disk is full >&2; exit 3")
    assert copy.sched("run", "vault-size", "--wait").returncode == 1
    copy.age()
    said = copy.result_of("failure-digest")
    assert "**1 task failing** · 1 run of 1 task in 24 h." in said
    assert "- [[00_system/tasks/vault-size|vault-size]] · 1 run failed, at " in said
    assert "exit 3: the disk is full" in said
    assert "vault-size" in (copy.vault / "Failures.md").read_text()


def test_a_wrong_argument_is_told_once_with_its_cure(copy: Copy) -> None:
    """The run fails with one sentence, without a traceback, and is not tried again."""
    copy.change("cleanup", r"args: \[", "args: [what=litter, ")
    said = copy.result_of("cleanup")
    assert "[!failure]" in said
    assert said.count("is not a known value. Possible are empty, duplicates, dead-links, logs") == 1
    assert "Traceback" not in said
