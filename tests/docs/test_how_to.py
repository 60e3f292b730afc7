"""The how-tos can be followed: their commands run, their notes pass the check, and each note means what it replaces."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import frontmatter
import pytest
from typer.main import get_command

from vault_scheduler.cli import cli
from vault_scheduler.parsing.keys import KEYS
from vault_scheduler.run import Outcome
from vault_scheduler.task import TaskType
from vault_scheduler.triggers.schedule import CronTrigger

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs/how-to").glob("*.md")), ROOT / "docs/claude.md"]
ELSEWHERE = {"README.md", "docs/tutorial.md"}  # test_readme.py runs these
EVERY_PAGE = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
NOT_RUN = "<!-- not run by the tests: "
NOW = datetime(2026, 11, 23, 12, 7, tzinfo=UTC)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text without indent, what stands right above it."""

    language: str
    text: str
    above: str

    @property
    def marked(self) -> bool:
        """Whether the line above it says why the tests do not run it."""
        return bool(re.search(NOT_RUN + r"[^>]+ -->\s*\Z", self.above))

    @property
    def note_path(self) -> str:
        """The path that the sentence above it names, if it is a whole note."""
        named = re.findall(r"`(00_system/[^`]+\.md)`:\s*\Z", self.above)
        return named[0] if named else ""


def blocks(page: Path | str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^( *)(`{3,})(\w*)\n(.*?)^\1\2$", text, re.MULTILINE | re.DOTALL)
    return [
        Block(match[3], re.sub(rf"^{match[1]}", "", match[4], flags=re.MULTILINE), text[: match.start()].rstrip())
        for match in found
    ]


def notes(page: Path) -> dict[str, str]:
    return {block.note_path: block.text for block in blocks(page) if block.text.startswith("---") and block.note_path}


def properties(note: str) -> dict[str, Any]:
    return dict(frontmatter.loads(note).metadata)


def secret_lines(page: Path) -> list[str]:
    return [block.text for block in blocks(page) if re.fullmatch(r"[A-Z_]+=\w+\n", block.text)]


def commands(page: Path | str, *, run: bool) -> list[str]:
    chosen = [block for block in blocks(page) if block.language == "sh" and block.marked is not run]
    return [line for block in chosen for line in block.text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a vault as `init` makes it."""
    home = tmp_path_factory.mktemp("made")
    assert vault_sched(home, "init", str(home / "notes")).returncode == 0
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(home), "PATH": path, "TZ": "UTC"}


def vault_sched(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return shell(home, shlex.join(["vault-sched", *arguments]))


def shell(home: Path, line: str) -> subprocess.CompletedProcess[str]:
    folder = home / "notes"
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder if folder.is_dir() else home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=40,
    )


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page, run=True)], ids=lambda page: page.stem)
def test_the_commands_of_a_how_to_run_in_their_order(page: Path, home: Path) -> None:
    """In a new vault with the notes of the page, each line that is not marked works as it stands."""
    for path, text in notes(page).items():
        if not any("import-crontab" in line for line in commands(page, run=True)):
            (home / "notes" / path).write_text(text, encoding="utf-8")
    for block in blocks(page):
        if block.language == "crontab":
            (home / "old-crontab").write_text(block.text, encoding="utf-8")
    for line in commands(page, run=True):
        done = shell(home, line)
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
        if line.startswith("chmod 600"):  # the page goes on: write lines like these into it
            (home / ".config/vault-sched/env").write_text("".join(secret_lines(page)))


def test_each_note_of_the_how_tos_passes_the_check(home: Path) -> None:
    """All whole notes that are shown, in one vault: `check` finds no problem and warns of nothing."""
    shown = [item for page in PAGES for item in notes(page).items()]
    assert len({path for path, _ in shown}) == len(shown) > 10
    for path, text in shown:
        (home / "notes" / path).parent.mkdir(parents=True, exist_ok=True)
        (home / "notes" / path).write_text(text, encoding="utf-8")
    secrets = {name for _, text in shown for name in properties(text).get("secrets", ())}
    (home / ".config/vault-sched").mkdir(parents=True)
    (home / ".config/vault-sched/env").write_text("".join(f"{name}=4f1c9a7be2d05836\n" for name in sorted(secrets)))
    (home / ".config/vault-sched/env").chmod(0o600)
    done = vault_sched(home, "check", "--json")
    assert json.loads(done.stdout) == []


def test_gates_that_look_into_the_vault_say_no_where_nothing_is(home: Path) -> None:
    """With no inbox they end with 1, which is a no; any other code would be a failure of the task."""
    gates = {properties(text)["gate"] for page in PAGES for text in notes(page).values() if "\ngate:" in text}
    looking = [gate for gate in gates if "~" not in gate]
    assert looking
    for gate in looking:
        assert shell(home, gate).returncode == 1, gate


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_whole_note_says_where_it_goes(page: Path) -> None:
    """A block with properties is a note that the sentence above it names, or something else than a note."""
    for block in blocks(page):
        if block.language == "markdown" and block.text.startswith("---"):
            assert block.note_path, block.text


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_command_block_is_run_or_marked(page: str) -> None:
    """Outside of the pages that are run, a block of commands says why it is not; its commands exist all the same."""
    runs = page in ELSEWHERE or ROOT / page in PAGES
    for block in blocks(page):
        if block.language == "sh" and not runs:
            assert block.marked, f"{page}: say `{NOT_RUN}… -->` above\n{block.text}"
        if block.language in ("sh", "text"):
            for line in block.text.splitlines():
                assert_exists(line)


def assert_exists(line: str) -> None:
    """The command and the options of a line that calls us are there."""
    words = shlex.split(line, comments=True) if line.lstrip().startswith("vault-sched ") else []
    command: Any = get_command(cli)
    for word in words[1:]:
        if word in getattr(command, "commands", {}):
            command = command.commands[word]
        elif word.startswith("--") and word != "--vault":
            assert any(word in (*param.opts, *param.secondary_opts) for param in command.params), line


def test_the_note_of_the_crontab_is_the_one_that_is_imported(home: Path) -> None:
    """What the page shows is byte for byte what `import-crontab` writes."""
    page = ROOT / "docs/how-to/from-cron.md"
    (crontab,) = [block.text for block in blocks(page) if block.language == "crontab"]
    (home / "old-crontab").write_text(crontab, encoding="utf-8")
    assert vault_sched(home, "import-crontab", str(home / "old-crontab")).returncode == 0
    for path, text in notes(page).items():
        assert (home / "notes" / path).read_text(encoding="utf-8") == text


# --- what others write, and what we write for it -----------------------------------------------------------


def pairs(page: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each JSON entry of a page, with the properties of the note that follows it."""
    entry: dict[str, Any] | None = None
    for block in blocks(f"docs/how-to/{page}.md"):
        if block.language == "json":
            entry = json.loads(block.text)
        elif block.note_path and entry is not None:
            yield entry, properties(block.text)
            entry = None


def test_notes_fire_when_the_tasks_of_openclaw_do() -> None:
    """Cron and zone, interval, and one moment in UTC."""
    seen = set()
    for entry, note in pairs("from-openclaw"):
        schedule = entry["schedule"]
        seen.add(schedule["kind"])
        if schedule["kind"] == "cron":
            assert (note["cron"], note["timezone"]) == (schedule["expr"], schedule["tz"])
        elif schedule["kind"] == "every":
            assert note["every"] == f"{schedule['everyMs'] // 60_000}m"
        else:
            local = datetime.fromisoformat(str(note["at"])).replace(tzinfo=ZoneInfo(note["timezone"]))
            assert local == datetime.fromisoformat(schedule["at"])
    assert seen == {"cron", "every", "at"}


def test_notes_fire_when_the_tasks_of_hermes_do() -> None:
    """Cron, interval in minutes, once."""
    seen = set()
    for entry, note in pairs("from-hermes"):
        schedule = entry["schedule"]
        seen.add(schedule["kind"])
        if schedule["kind"] == "cron":
            assert note["cron"] == schedule["expr"]
        elif schedule["kind"] == "interval":
            assert note["every"] == f"{schedule['minutes'] // 60}h"
        else:
            assert datetime.fromisoformat(str(note["at"])) == datetime.fromisoformat(schedule["run_at"])
    assert seen == {"cron", "interval", "once"}


def test_notes_fire_when_the_tasks_of_claude_do() -> None:
    """The expression is taken over from what `CronCreate` and the desktop app store."""
    expressions = [
        (entry["tasks"][0]["cron"] if "tasks" in entry else entry["cronExpression"], note["cron"])
        for entry, note in pairs("from-claude-tasks")
    ]
    assert len(expressions) == 2
    assert all(theirs == ours for theirs, ours in expressions)


def test_the_note_of_the_timer_says_what_its_units_say() -> None:
    """Folder, environment and time limit of the service are those of the note."""
    page = "docs/how-to/from-systemd-timers.md"
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    for block in blocks(page):
        if block.language == "ini":
            unit.read_string(block.text)
    (note,) = [properties(text) for text in notes(ROOT / page).values()]
    assert note["cwd"] == unit["Service"]["WorkingDirectory"].replace("%h", "~")
    assert note["env"] == [unit["Service"]["Environment"]]
    assert f"{note['timeout']}in" == unit["Service"]["TimeoutStartSec"]
    assert (unit["Timer"]["OnCalendar"], note["cron"]) in calendar_rows()


def calendar_rows() -> list[tuple[str, str]]:
    text = (ROOT / "docs/how-to/from-systemd-timers.md").read_text(encoding="utf-8")
    return re.findall(r'^\| `OnCalendar=([^`]+)` \| `cron: "([^"]+)"`', text, re.MULTILINE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_table_of_calendar_events_is_right() -> None:
    """Each expression fires at the next six moments that systemd itself works out for the calendar event."""
    rows = calendar_rows()
    assert len(rows) > 8
    for event, expression in rows:
        *_, zone = [*re.findall(r"[A-Z]\w+/\w+$", event), "UTC"][:1]
        moment, ours = NOW, []
        for _ in range(6):
            fired = CronTrigger(expression, ZoneInfo(zone)).next_after(moment)
            assert fired is not None
            moment = fired
            ours.append(moment.astimezone(UTC))
        assert ours == elapses(event), event


def elapses(event: str) -> list[datetime]:
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=6", f"--base-time={NOW:%Y-%m-%d %H:%M:%S} UTC", event],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "TZ": "UTC", "LANG": "C"},
    )
    told = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ ([\d-]+ [\d:]+) UTC", done.stdout)
    return [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in told]


def test_the_glossary_has_every_outcome_and_names_no_key_that_is_not_there() -> None:
    """Each way a run can end has its line, and what stands there as a key is one."""
    page = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| `?([^`|]+?)`? \|", page, re.MULTILINE)[1:]
    assert len(set(words)) == len(words)
    assert {outcome.value for outcome in Outcome} <= set(words)
    named = set(re.findall(r"`([a-z_]+)`", page)) - {outcome.value for outcome in Outcome}
    assert named <= {*KEYS, *TaskType, "dashboard"}, named
