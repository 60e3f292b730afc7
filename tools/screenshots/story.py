"""What happens in the pictures: a vault, three mornings of its daemon, what the model answers, what is shown."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import ahead
from terminal import Screen, run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCRATCH_HOME = Path("/tmp/ada1")
"""As long as the home that the pictures show, so that lines break where they would."""
SHOWN_HOME = "/home/ada"
MARKER = "made-for-pictures"
TOOL = ".local/share/uv/tools/vault-sched"
ZONE = ZoneInfo("Europe/Berlin")
RATE = 12
HOST = "ada-laptop"
DAYS_AHEAD = 8  # all files are older than what the clock shows: nobody seems to be typing in them
THINKS_S = 0.7  # of the machine's seconds
COLUMNS, ROWS = 100, 60
LAST_RUN = re.compile(rb"success[^\n]*repository-research")
NARROW_COLUMNS = 60

BRIEFINGS = (
    "**Two things are late.** The [[Projects/Kitchen floor|kitchen floor]] waits for the landlord since Monday, and "
    "[[People/Tom Okafor|Tom]] for the tool list.\n\nThis week: [[Projects/Choir concert|programme for the choir]] "
    "by Friday.",
    "**Nothing is late.** Friday is for the [[Projects/Choir concert|programme]]: it has to be at the printer's at "
    "noon.\n\n[[People/Marta Lindqvist|Marta]] asked on Wednesday whether the tour starts in June.",
    "**Three things are due this week.**\n\n"
    "- [[Projects/Website relaunch|Website relaunch]]: the layout is decided on Wednesday, and two drafts are missing\n"
    "- [[Projects/Tax return 2025|Tax return]]: the receipts of March are not scanned\n"
    "- [[Projects/Kitchen floor|Kitchen floor]]: the landlord has not answered for 12 days\n\n"
    "[[People/Jonas Brandt|Jonas]] waits for an answer about the rehearsal. Nothing else is open from "
    "[[Meetings/2026-11-18 Website kick-off|the kick-off]].",
)
QUESTION = (
    "On Wednesday at 14:00 there are two things: the layout meeting for the website, and the dentist. Which one shall "
    "I move?"
)
RESEARCH = "Nothing new since yesterday but a patch release of the theme: [[Projects/Website relaunch]]."


@dataclass(frozen=True)
class Stage:
    """The scratch home with its vault."""

    home: Path = SCRATCH_HOME
    clock: str = ""

    @property
    def vault(self) -> Path:
        """The vault."""
        return self.home / "notes"

    @property
    def environment(self) -> dict[str, str]:
        """That of a person's terminal, with nothing of this machine."""
        path = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"])
        place = {"HOME": str(self.home), "USER": "ada", "SHELL": "/bin/sh", "PATH": path}
        look = {"LANG": "C.UTF-8", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        return {**place, **look, ahead.VARIABLE: self.clock}

    def command(self, *words: str) -> list[str]:
        """`vault-sched WORDS` on the stage's clock, as if `uv tool install` had put it into this home."""
        return [str(self.home / TOOL / "bin/python"), "-P", str(HERE / "ahead.py"), *words]

    def do(self, *words: str) -> str:
        """Run a command that has to succeed."""
        done = subprocess.run(
            self.command(*words), cwd=self.vault, env=self.environment, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise SystemExit(f"vault-sched {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def at(self, moment: datetime) -> Stage:
        """The same with a clock that shows this moment now."""
        return Stage(self.home, f"{moment.isoformat()}|{time.time()}|{RATE}")

    def now(self) -> datetime:
        """What its clock shows."""
        return ahead.shown(self.clock)


@dataclass
class Findings:
    """What was seen: the vault as it was in the end, and what programs wrote."""

    now: datetime
    vault: Path
    screens: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, typed: str, output: bytes, columns: int = COLUMNS) -> None:
        """A picture of a terminal."""
        text = output.decode(errors="replace").replace(str(SCRATCH_HOME), SHOWN_HOME)
        text = re.sub(rf"\bon {re.escape(socket.gethostname())}\b", f"on {HOST}", text)
        self.screens[name] = {"typed": typed, "output": text, "columns": columns}


def play() -> Findings:
    """The whole story; the scratch home is left for who wants to look."""
    monday = first_monday(datetime.now(ZONE) + timedelta(days=DAYS_AHEAD))
    with loopback_api() as api:
        stage = prepare(Stage().at(monday - timedelta(days=4, hours=2)), monday, api.url)
        cellar = stage.home / "cellar"
        cellar.mkdir()
        for days_before in (4, 3):
            morning(stage.at(monday - timedelta(days=days_before, minutes=2)), minutes=10)
        cellar.rename(stage.home / "cellar (not mounted)")
        write_notes(stage.vault, monday, ("home/clean-inbox", "home/rent"))
        return last_morning(stage.at(monday - timedelta(minutes=2)))


def first_monday(after: datetime) -> datetime:
    """At seven, on the first Monday from that day on."""
    day = after + timedelta(days=-after.weekday() % 7)
    return day.replace(hour=7, minute=0, second=0, microsecond=0)


# the vault


def prepare(stage: Stage, monday: datetime, api: str) -> Stage:
    """A fresh home with a vault and this machine's configuration; every task but two is there and approved."""
    if stage.home.exists() and not (stage.home / MARKER).exists():
        raise SystemExit(f"{stage.home} is there already, and not of this program")
    shutil.rmtree(stage.home, ignore_errors=True)
    unwanted = shutil.ignore_patterns("demo.py", "tasks", "logs", ".obsidian", "__pycache__")
    shutil.copytree(ROOT / "example_vault", stage.vault, ignore=unwanted)
    (stage.home / MARKER).touch()
    (stage.home / TOOL).parent.mkdir(parents=True)
    (stage.home / TOOL).symlink_to(sys.prefix)
    (stage.vault / ".obsidian").mkdir()
    (stage.vault / ".obsidian/app.json").write_text("{}")
    shutil.copy(HERE / "vault/scheduler.md", stage.vault / "00_system/scheduler.md")
    config = stage.home / ".config/vault-sched"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f'host = "{HOST}"\ntrust = "pinned"\n')
    (config / "env").write_text(f"ANTHROPIC_API_KEY=a-key-for-pictures\nANTHROPIC_BASE_URL={api}\n")
    (config / "env").chmod(0o600)
    stage.do("init", str(stage.vault))
    shutil.rmtree(stage.vault / "00_system/tasks")
    names = [path.relative_to(HERE / "vault/tasks").with_suffix("") for path in (HERE / "vault/tasks").rglob("*.md")]
    write_notes(stage.vault, monday, [str(name) for name in names if name.name not in ("clean-inbox", "rent")])
    stage.do("approve", "--all")
    return stage


def write_notes(vault: Path, monday: datetime, names: Sequence[str]) -> None:
    """These tasks' notes, an hour old."""
    for name in names:
        path = vault / f"00_system/tasks/{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (HERE / f"vault/tasks/{name}.md").read_text(encoding="utf-8")
        path.write_text(text.replace("{passport}", f"{monday + timedelta(days=1):%Y-%m-%d}"), encoding="utf-8")
        os.utime(path, (time.time() - 3600, time.time() - 3600))


# the mornings


def morning(stage: Stage, minutes: float) -> None:
    """The daemon serves for so many minutes of its clock, and until its last run has ended."""
    until = stage.now() + timedelta(minutes=minutes)
    daemon = start(stage)
    daemon.watch(lambda: stage.now() > until and LAST_RUN.search(daemon.output) is not None)
    if daemon.end():
        raise SystemExit(f"the daemon failed:\n{daemon.output.decode(errors='replace')}")


def start(stage: Stage, columns: int = COLUMNS) -> Screen:
    """The daemon in a terminal of its own."""
    return Screen(stage.command("daemon"), cwd=stage.vault, environment=stage.environment, size=(columns, ROWS))


def last_morning(stage: Stage) -> Findings:
    """The morning that is shown: the notes as they are while the daemon lives, and what the commands say."""
    until = stage.now() + timedelta(minutes=14)
    daemon = start(stage)
    daemon.watch(lambda: stage.now() > until and LAST_RUN.search(daemon.output) is not None)
    wait_for_page(stage, daemon)
    found = Findings(stage.now(), stage.home / "as-it-was")
    shutil.copytree(stage.vault, found.vault)
    found.add("daemon", "daemon", daemon.output)
    for name, typed, columns in SHOWN:
        output, _ = run(
            stage.command(*words(typed)), cwd=stage.vault, environment=stage.environment, size=(columns, ROWS)
        )
        found.add(name, typed, output, columns)
    daemon.end()
    return found


SHOWN = (
    ("list", "list", COLUMNS),
    ("list-narrow", "list", NARROW_COLUMNS),
    ("history", "history", COLUMNS),
    ("status", "status", COLUMNS),
    ("show", "show backup", COLUMNS),
    ("next", "next --cron '30 2 * * *' --timezone Europe/Berlin --from 2027-03-25 -n 5", COLUMNS),
    ("forecast", "forecast --until 2d", COLUMNS),
    ("check", "check", COLUMNS),
    ("doctor", "doctor", COLUMNS),
)
"""Name of the picture, what is typed behind `vault-sched`, columns of the terminal."""


def words(typed: str) -> list[str]:
    """As a shell splits it."""
    return [part.strip("'") for part in re.findall(r"'[^']*'|\S+", typed)]


def wait_for_page(stage: Stage, daemon: Screen) -> None:
    """Until the status note tells of the question: it is written at most every five minutes."""
    page = stage.vault / "00_system/status.md"
    if not daemon.watch(lambda: page.exists() and "dentist" in page.read_text(encoding="utf-8")):
        raise SystemExit(f"the status note never told of it:\n{daemon.output.decode(errors='replace')}")


# what the model answers


@contextmanager
def loopback_api() -> Iterator[Any]:
    """The API of the tests on the loopback interface: Claude Code is the real one, the answers are written above."""
    module = _module(ROOT / "tests/process/loopback_api.py")

    class SlowApi(module.LoopbackApi):  # type: ignore[name-defined, misc]
        def next_reply(self, body: dict[str, Any], headers: Mapping[str, str]) -> Any:
            if body.get("tools"):
                time.sleep(THINKS_S)
            return super().next_reply(body, headers)

    def answer(text: str, tokens: int) -> Any:
        return module.Answer(module.text(text), output_tokens=tokens)

    def reads(path: str) -> Any:
        return module.Answer(module.use("Read", file_path=str(SCRATCH_HOME / "notes" / path)), output_tokens=900)

    asks = module.use("mcp__vault-sched__ask_person", question=QUESTION)
    briefing = [reply for text in BRIEFINGS for reply in (reads("Home.md"), answer(text, 3400))]
    scripts = {
        "Write today's briefing": briefing,
        "Plan my week": [reads("Home.md"), module.Answer(asks, output_tokens=1200), answer("I wait.", 100)],
        "What is new in the projects": [answer(RESEARCH, 9000)],
    }
    with SlowApi(by_words=scripts) as api:
        yield api


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
