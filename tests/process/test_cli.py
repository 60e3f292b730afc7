"""The commands as people and scripts use them: the real program as a child process, on scratch vaults."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest

from tests.process.conftest import PATIENCE_S
from tests.process.loaded_program import run_command
from vault_scheduler.cli import main
from vault_scheduler.daemon.snapshots import snapshot_of
from vault_scheduler.executors.leavings import output_path
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import NOTE, Batch, Claim, TaskRow, Unstarted
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task
from vault_scheduler.platform.lock import VaultLock
from vault_scheduler.platform.paths import vault_label
from vault_scheduler.run import Outcome, Result, Run, TriggerKind, fire_key, run_id
from vault_scheduler.settings import Settings, resolve

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)
HELLO = '---\ntype: command\ncron: "0 7 * * 1-5"\ntimezone: Europe/Berlin\ncommand: echo hello\n---\n'


@dataclass
class Shell:
    """Runs vault-sched with a home, a vault and folders of its own."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def vault(self) -> Path:
        return self.folder / "vault"

    @property
    def tasks(self) -> Path:
        return self.vault / "00_system" / "tasks"

    @property
    def state(self) -> Path:
        return self.folder / "state" / "vault-sched" / vault_label(self.vault)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TZ": "Europe/Berlin",
            "LANG": "C.UTF-8",
            **self.env,
        }

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "vault_scheduler", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd or self.vault,
            env=self.environ,
        )

    def __call__(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> Done:
        ended = run_command(arguments, self.environ, cwd or self.vault)
        assert "Traceback" not in ended.stdout + ended.stderr, ended.stderr
        assert "Warning" not in ended.stderr, ended.stderr
        assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
        return Done(ended.stdout, ended.stderr)

    def here(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> Done:
        """The same without what a new process costs: for tables of cases, and to look."""
        out, err = io.StringIO(), io.StringIO()
        seen = self._as_a_child_would_see_it(arguments, cwd or self.vault)
        streams = contextlib.redirect_stdout(_Stream(out)), contextlib.redirect_stderr(_Stream(err))
        with seen, streams[0], streams[1], pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code, (ended.value.code, out.getvalue(), err.getvalue())
        return Done(out.getvalue(), err.getvalue())

    @contextlib.contextmanager
    def _as_a_child_would_see_it(self, arguments: tuple[str, ...], cwd: Path) -> Iterator[None]:
        environ, wanted, argv, before = dict(os.environ), self.environ, sys.argv, Path.cwd()
        try:
            os.environ.clear()
            os.environ.update(wanted)
            sys.argv = ["vault-sched", *arguments]
            os.chdir(cwd)
            yield
        finally:
            os.chdir(before)
            sys.argv = argv
            os.environ.clear()
            os.environ.update(environ)

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.here(*arguments, "--json", code=code).out)

    def write(self, name: str, text: str) -> Path:
        """A note that has been left alone for an hour: a fresh edit does not count at once."""
        path = self.tasks / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        hour_ago = (NOW - timedelta(hours=1)).timestamp()
        os.utime(path, (hour_ago, hour_ago))
        return path

    def hurry(self) -> None:
        """What was just written counts after a second, and may be written again."""
        note = self.vault / "00_system" / "scheduler.md"
        note.write_text(note.read_text().replace("---\n", "---\nnote_quiet: 1s\nnote_interval: 1s\n", 1))

    def code(self, *arguments: str) -> int:
        return run_command(arguments, self.environ, self.vault).returncode

    def ledger(self, work: Callable[[SqliteStore], Awaitable[T]]) -> T:
        """What `work` brings from this vault's ledger."""

        async def do() -> T:
            store = await SqliteStore.open(self.state / "ledger.db", version="test", owner="test")
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(do())


class _Stream(io.TextIOBase):
    """Standard output as the program knows it, into memory."""

    def __init__(self, text: io.StringIO) -> None:
        self._text = text

    def reconfigure(self, **_: object) -> None: ...

    def write(self, text: str) -> int:
        return self._text.write(text)


@dataclass
class Done:
    out: str
    err: str


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A vault with a settings note and no tasks."""
    shell = Shell(tmp_path.resolve())
    shell.tasks.mkdir(parents=True)
    (shell.vault / "00_system" / "scheduler.md").write_text("---\nstatus: active\ntimezone: Europe/Berlin\n---\n")
    return shell


def a_run(task: str, at: datetime, **more: Any) -> Run:
    key = fire_key(task, at)
    return Run(
        id=run_id(key, at),
        key=key,
        task=task,
        path=f"00_system/tasks/{task}.md",
        trigger=TriggerKind.AT,
        fire_time=at,
        claimed_at=at,
        **more,
    )


async def ended(store: SqliteStore, run: Run, result: Result, deliveries: tuple[str, ...] = ()) -> None:
    await store.save(Batch(claims=(Claim(run=run),)))
    await store.begin_attempt(run.id, 1, run.fire_time)
    await store.end_attempt(run.id, 1, result, run.fire_time + timedelta(seconds=2))
    await store.finish(
        run.id, result.outcome, result, result.reason, run.fire_time + timedelta(seconds=2), deliveries=deliveries
    )


def spend(shell: Shell, usd: float) -> None:
    trust = Trust.open(shell.state / "approvals.db", version="test")
    trust.add_spend("r-1", 1, "hello", datetime.now(ZoneInfo("Europe/Berlin")).date(), usd)
    trust.close()


def tree(folder: Path) -> dict[str, int]:
    """Every path below a folder with its modification time."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


# --- the vault ---------------------------------------------------------------------------------------------


def test_init_makes_a_vault_that_works_at_once(tmp_path: Path) -> None:
    """Folders, a settings note with host and zone, and a first task without problems."""
    shell = Shell(tmp_path.resolve())
    made = shell("init", str(shell.vault), cwd=tmp_path).out
    assert "made  00_system/tasks/hello.md" in made
    settings = (shell.vault / "00_system" / "scheduler.md").read_text()
    assert "host: " in settings
    assert "timezone: Europe/Berlin\n" in settings
    assert "status: active\n" in settings
    assert {"tasks", "logs", "scripts"} <= {path.name for path in (shell.vault / "00_system").iterdir()}
    shell("check")
    (listed,) = shell.json("list")
    assert (listed["task"], listed["state"]) == ("hello", "armed")
    assert not shell.state.exists()


def test_init_again_overwrites_nothing(tmp_path: Path) -> None:
    """Notes that are there stay as they are, and no first task comes back into a vault that has others."""
    shell = Shell(tmp_path.resolve())
    shell("init", str(shell.vault), cwd=tmp_path)
    settings, hello = shell.vault / "00_system" / "scheduler.md", shell.tasks / "hello.md"
    settings.write_text("---\nhost: mac-mini\n---\nmine\n")
    (shell.vault / "00_system" / "tasks.base").write_text("views: []\n")
    hello.rename(shell.tasks / "mine.md")
    before = tree(shell.vault)
    again = shell("init").out
    assert tree(shell.vault) == before
    assert "kept  00_system/scheduler.md" in again
    assert "mac-mini" in again


def test_init_within_an_obsidian_vault_finds_its_root(tmp_path: Path) -> None:
    """From a folder inside, the vault is meant, not the folder."""
    inside = tmp_path / "notes" / "deep"
    inside.mkdir(parents=True)
    (tmp_path / "notes" / ".obsidian").mkdir()
    Shell(tmp_path)("init", cwd=inside)
    assert (tmp_path / "notes" / "00_system" / "tasks").is_dir()


def test_the_vault_is_found_by_option_variable_or_folder(shell: Shell) -> None:
    """`--vault` before and behind the command, VAULT_SCHED_VAULT, and walking up."""
    shell.write("hello", HELLO)
    elsewhere = shell.folder
    deep = shell.tasks / "work"
    deep.mkdir()
    for arguments in (("list", "--vault", "vault"), ("--vault", "vault", "list")):
        assert "hello" in shell(*arguments, cwd=elsewhere).out
    assert "hello" in shell("list", cwd=deep).out
    shell.env["VAULT_SCHED_VAULT"] = str(shell.vault)
    assert "hello" in shell("list", cwd=elsewhere).out


@pytest.mark.parametrize("arguments", [["list"], ["status"], ["pause", "--all"], ["daemon"], ["next"], ["check"]])
def test_without_a_vault_every_command_says_how_to_name_one(tmp_path: Path, arguments: list[str]) -> None:
    """Usage: exit code 2, one sentence, no traceback."""
    assert "--vault PATH" in Shell(tmp_path).here(*arguments, code=2, cwd=tmp_path).err


def test_a_vault_that_is_named_wrongly_is_not_replaced_by_another(shell: Shell) -> None:
    """`--vault` with a typo does not fall back to the vault one stands in."""
    err = shell("list", "--vault", "no-such-folder", code=2).err
    assert "no-such-folder is no vault" in err
    assert "at or above" not in err  # what is above it was not looked at


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["list", "surplus"], ["show"], ["next", "-n", "0"], ["history", "--wrong"], ["pause"]]
)
def test_wrong_usage_is_exit_code_2(shell: Shell, arguments: list[str]) -> None:
    """With a message on stderr and nothing on stdout."""
    done = shell.here(*arguments, code=2)
    assert done.err
    assert not done.out


def test_the_version_is_printed(shell: Shell) -> None:
    """`--version` needs no vault."""
    assert shell("--version", cwd=shell.folder).out.startswith("vault-sched ")


# --- looking -----------------------------------------------------------------------------------------------


def test_list_shows_how_every_note_stands(shell: Shell) -> None:
    """One state per task, with exactly the keys that scripts rely on."""
    shell.write("armed", HELLO)
    shell.write("paused", HELLO.replace("echo hello", "echo 2").replace("---\ntype", "---\nstatus: paused\ntype"))
    shell.write("work/stopped", HELLO.replace("echo hello", "echo 3\nstatus: stopped"))
    shell.write("over", HELLO.replace("echo hello", "echo 4\nstatus: done"))
    shell.write("broken", "---\ntype: command\ncron: */5 * * * *\n---\n")
    shell.write("elsewhere", HELLO.replace("echo hello", "echo 5\nhost: mac-mini"))
    shell.write("a page", "Only text.\n")
    listed = {line["task"]: line for line in shell.json("list")}
    assert {name: line["state"] for name, line in listed.items()} == {
        "armed": "armed",
        "paused": "paused",
        "work/stopped": "stopped",
        "over": "done",
        "broken": "invalid",
        "elsewhere": "other-host",
    }
    keys = "task path type status state schedule timezone next_run last_run last_outcome problems"
    assert set(keys.split()) <= set(listed["armed"])
    assert listed["armed"]["schedule"] == "0 7 * * 1-5"
    assert listed["armed"]["timezone"] == "Europe/Berlin"
    assert datetime.fromisoformat(listed["armed"]["next_run"]).hour == 7
    assert listed["paused"]["next_run"] is None
    assert listed["broken"]["problems"][0]["line"] == 3
    text = shell("list").out
    assert "00_system/tasks/broken.md:3: cron:" in text
    assert max(map(len, text.splitlines()[:7])) <= 80


def test_the_state_held_is_shown_where_approvals_are_asked_for(shell: Shell) -> None:
    """With `trust = "pinned"` a new note waits, until it is approved."""
    shell.write("hello", HELLO)
    (shell.folder / "config" / "vault-sched").mkdir(parents=True)
    (shell.folder / "config" / "vault-sched" / "config.toml").write_text('trust = "pinned"\n')
    assert shell.json("list")[0]["state"] == "held"
    assert not shell.state.exists()
    waiting = shell("approve").out
    assert "echo hello" in waiting
    assert "approved hello" in shell("approve", "hello").out
    assert shell.json("list")[0]["state"] == "armed"
    shell.write("hello", HELLO.replace("echo hello", "curl example.org | sh"))
    assert shell.json("list")[0]["state"] == "held"
    shell("approve", "--all")
    assert shell("approve").out == "Nothing is held.\n"


def test_a_task_that_waits_for_an_answer_says_so(shell: Shell) -> None:
    """`list`, `show`, `status` tell what a run asked and where the answer goes; one to nothing is pointed out."""
    keys = "---\ntype: claude\ncron: 0 7 * * *\n---\nDo it.\n"
    shell.write("plan", keys)
    shell.write("other", keys.replace("cron:", "answer: 42\ncron:").replace("Do it.", "Do that."))
    asks = Result(outcome=Outcome.BLOCKED, reason="Which?", question="Which project?", session_id="s", turns=1)
    shell.ledger(lambda store: ended(store, a_run("plan", NOW), asks))
    assert [row["question"] for row in shell.json("list")] == [None, "Which project?"]
    line = "plan asks: Which project? Type the answer into `answer` of its note."
    assert line in shell("list").out
    assert "Which project?" in shell("show", "plan").out
    assert shell.json("show", "plan")["question"] == "Which project?"
    assert line in shell("status", code=1).out
    (asked,) = json.loads(shell("status", "--json", code=1).out)["questions"]
    assert (asked["task"], asked["question"]) == ("plan", "Which project?")
    (found,) = json.loads(shell("check", "--json", code=1).out)
    assert (found["path"], found["line"], found["key"]) == ("00_system/tasks/other.md", 3, "answer")
    assert (found["severity"], found["message"]) == ("warning", "no run has asked anything")


def test_a_run_that_waits_tells_until_when(shell: Shell) -> None:
    """For the plan's limits until their reset, in the task's zone."""
    shell.write("hello", HELLO)
    run, until = a_run("hello", NOW), datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)

    async def wait(store: SqliteStore) -> None:
        await store.save(Batch(claims=(Claim(run=run),)))
        await store.wait(run.id, "quota", until)

    shell.ledger(wait)
    told = f"waits for quota until {until.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M}"
    assert told in shell("status", code=1).out
    assert told in shell("show", "hello").out
    (waiting,) = json.loads(shell("status", "--json", code=1).out)["waiting"]
    assert datetime.fromisoformat(waiting["waits_until"]) == until


def test_approvals_that_were_lost_do_not_come_back_with_the_first_new_one(shell: Shell) -> None:
    """The ledger knows tasks, the file of approvals is gone: approving one approves nothing else."""
    shell.write("one", HELLO)
    shell.write("two", HELLO.replace("hello", "two"))
    rows = tuple(
        TaskRow(task=name, path=f"00_system/tasks/{name}.md", fingerprint="x", fires=True, watermark=NOW)
        for name in ("one", "two")
    )
    shell.ledger(lambda store: store.save(Batch(tasks=rows)))
    assert [line["state"] for line in shell.json("list")] == ["held", "held"]
    shell("approve", "one")
    assert [line["state"] for line in shell.json("list")] == ["armed", "held"]


def test_looking_changes_nothing(shell: Shell) -> None:
    """No state folder, no ledger, no byte of the vault."""
    shell.write("hello", HELLO)
    before = tree(shell.folder)
    looks = (
        ["list"],
        ["show", "hello"],
        ["next"],
        ["next", "hello"],
        ["forecast"],
        ["check"],
        ["history"],
        ["approve"],
    )
    for arguments in looks:
        shell(*arguments)
    shell("status", code=1)
    shell("logs", "hello", code=2)
    assert tree(shell.folder) == before


def test_empty_states_say_what_to_do_next(shell: Shell) -> None:
    """No tasks, no runs, nothing due, nothing held."""
    assert "vault-sched create" in shell("list").out
    assert shell.json("list") == []
    assert shell.json("history") == []
    assert "vault-sched run" in shell("history").out
    assert "Nothing is due" in shell("next").out
    assert "Nothing is held" in shell("approve").out
    assert "vault-sched daemon" in shell("status", code=1).out


def test_a_task_is_found_by_the_end_of_its_name_and_else_near_names_are_told(shell: Shell) -> None:
    """Id, path, unique last part; what is ambiguous or unknown is exit code 2."""
    shell.write("office/report", HELLO)
    shell.write("home/bills", HELLO.replace("hello", "bills"))
    shell.write("play/bills", HELLO.replace("hello", "more bills"))
    for name in ("office/report", "report", "Report", "00_system/tasks/office/report.md", "report.md"):
        assert shell.json("show", name)["task"] == "office/report", name
    ambiguous = shell("show", "bills", code=2).err
    assert "home/bills" in ambiguous
    assert "play/bills" in ambiguous
    assert "Did you mean office/report?" in shell("show", "reprot", code=2).err
    assert "vault-sched list" in shell("pause", "zzzzzz", code=2).err


def test_show_tells_a_task_in_words_with_its_next_fire_times_and_runs(shell: Shell) -> None:
    """What it does, when in which zone, and how it went."""
    shell.write("hello", HELLO)
    shell.ledger(lambda store: ended(store, a_run("hello", NOW), Result(outcome=Outcome.FAILURE, reason="exit 3")))
    text = shell("show", "hello").out
    assert "at 07:00, Monday through Friday (0 7 * * 1-5), Europe/Berlin" in text
    assert "command: echo hello" in text
    assert text.count(" 07:00 +0") >= 3
    assert "❌  2.0 s · exit 3" in text
    shown = shell.json("show", "hello")
    assert len(shown["fire_times"]) == 3
    assert shown["runs"][0]["outcome"] == "failure"
    shell.write("broken", "---\ntype: nonsense\ncron: '0 7 * * *'\n---\n")
    assert "00_system/tasks/broken.md:2: type:" in shell("show", "broken").out


# --- next --------------------------------------------------------------------------------------------------


def test_next_of_an_expression_needs_no_vault_and_prints_the_agreed_json(tmp_path: Path) -> None:
    """Strictly after --from, ISO 8601 with the zone's offset, across a change of the clocks."""
    shell = Shell(tmp_path)
    done = shell(
        *("next", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin"),
        *("--from", "2027-03-27T02:30:00+01:00", "-n", "2", "--json"),
        cwd=tmp_path,
    )
    assert json.loads(done.out) == {
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "fire_times": ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"],
    }


def test_next_of_an_expression_with_h_says_that_each_task_has_its_own_time(shell: Shell) -> None:
    """The times that are shown are one example; of a task they are its own."""
    shell.write("mine", HELLO.replace("0 7 * * 1-5", "H 7 * * *"))
    assert "H stands for another time in each task" in shell("next", "--cron", "H 7 * * *").out
    assert json.loads(shell("next", "--cron", "H 7 * * *", "--json").out)["depends_on_task"] is True
    assert "H stands" not in shell("next", "mine").out + shell("next", "--cron", "0 7 * * *").out
    assert "depends_on_task" not in shell("next", "--cron", "@hourly", "--json").out


def test_next_points_out_changes_of_the_clocks(shell: Shell) -> None:
    """Where they lie between the fire times that are shown."""
    text = shell("next", "--cron", "0 7 * * *", "--from", "2026-10-24T08:00", "-n", "2").out
    assert "Europe/Berlin" in text
    assert "clocks go back 1 h to 02:00 (+02:00 → +01:00)" in text


def test_next_of_the_vault_names_the_tasks_that_a_change_of_the_clocks_touches(shell: Shell) -> None:
    """In the place where it happens; JSON lists the fire times alone."""
    shell.write("night", HELLO.replace("0 7 * * 1-5", "30 2 * * *"))
    arguments = ["next", "--from", "2099-03-29T00:00", "-n", "1"]
    assert shell.here(*arguments).out.splitlines() == [
        "Europe/Berlin",
        "  ↳ Sun 2099-03-29 02:00: the clocks go forward 1 h to 03:00 (+01:00 → +02:00)",
        "    night: 02:30 does not exist that day: it fires at 03:00",
        "  Sun 2099-03-29 03:00 +02:00  night",
    ]
    fires = [{"task": "night", "fire_time": "2099-03-29T03:00:00+02:00"}]
    assert shell.json(*arguments) == {"timezone": "Europe/Berlin", "next": fires, "later": []}


def test_next_until_a_moment_or_for_a_length_of_time(shell: Shell) -> None:
    """`--until` includes its moment; the zone can be another one than the task's."""
    shell.write("hello", HELLO)
    arguments = ["next", "hello", "--from", "2026-11-20T08:00", "--until"]
    assert shell.json(*arguments, "2026-11-23T07:00")["fire_times"] == ["2026-11-23T07:00:00+01:00"]
    assert len(shell.json(*arguments, "7d")["fire_times"]) == 5
    other = shell.json(*arguments, "4d", "--timezone", "Asia/Tokyo")
    assert (other["timezone"], other["fire_times"]) == (
        "Asia/Tokyo",
        ["2026-11-20T15:00:00+09:00", "2026-11-23T15:00:00+09:00"],
    )


def test_next_of_the_vault_lists_the_tasks_that_would_start(shell: Shell) -> None:
    """In order of time, without paused ones."""
    shell.write("hourly", HELLO.replace('cron: "0 7 * * 1-5"', "every: 1h"))
    shell.write("off", HELLO.replace('cron: "0 7 * * 1-5"', "every: 1s\nstatus: paused"))
    assert [fire["task"] for fire in shell.json("next", "-n", "3")["next"]] == ["hourly"] * 3


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["next", "--cron", "61 * * * *"], 1, "61 is not between 0 and 59"),
        (["next", "--cron", "0 0 30 2 *"], 1, "would never fire"),
        (["next", "--cron", "* * * * * *"], 1, "every"),
        (["next", "--cron", "61 * * * *", "--json"], 1, "61 is not between 0 and 59"),
        (["next", "--cron", "0 7 * * *", "--timezone", "Europe/Berln"], 2, "Europe/Berlin"),
        (["next", "--cron", "0 7 * * *", "--from", "tomorrow"], 2, "ISO 8601"),
        (["next", "--cron", "0 7 * * *", "--until", "1999-01-01"], 2, "not later than"),
        (["next", "hello", "--cron", "0 7 * * *"], 2, "Give one of them"),
    ],
)
def test_what_next_refuses_comes_with_the_reason(shell: Shell, arguments: list[str], code: int, told: str) -> None:
    """A refused expression is exit code 1, the rest usage."""
    done = shell.here(*arguments, code=code)
    assert told in done.err
    assert not done.out


# --- forecast ----------------------------------------------------------------------------------------------


def test_forecast_tells_the_coming_days(shell: Shell) -> None:
    """Day by day, and in JSON each run with the agreed keys; without a daemon it says so."""
    settings = shell.vault / "00_system" / "scheduler.md"
    settings.write_text(settings.read_text().replace("Europe/Berlin", "UTC"))  # where every day has 24 hours
    shell.write("hello", HELLO.replace("0 7 * * 1-5", "0 7 * * *").replace("Europe/Berlin", "UTC"))
    told = shell("forecast").out
    assert "No daemon serves this vault" in told
    assert "each day" in told
    assert told.count("07:00  hello  10 s") == 1
    assert "7 runs, 1 min 10 s of work" in told
    found = shell.json("forecast", "--until", "2d")
    assert [run["task"] for run in found["runs"]] == ["hello", "hello"]
    assert set(found["runs"][0]) == {
        *("task", "run", "trigger", "parent", "fire_time", "last_fire_time", "count", "starts_at", "ends_at"),
        *("waits_for", "waits_s", "outcome", "reason", "duration_source"),
    }
    assert found["runs"][0]["starts_at"].endswith("T07:00:00+00:00")


def test_forecast_begins_later_if_asked(shell: Shell) -> None:
    """`--until` as a length of time counts from there."""
    shell.write("hello", HELLO.replace("0 7 * * 1-5", "0 7 * * *"))
    begin = (datetime.now(ZoneInfo("Europe/Berlin")) + timedelta(days=2)).date().isoformat()
    found = shell.json("forecast", "--from", begin, "--until", "1d")
    assert [run["fire_time"][:16] for run in found["runs"]] == [f"{begin}T07:00"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "2020-01-01"], "vault-sched history"),
        (["--until", "2020-01-01"], "not later than"),
        (["--until", "soon"], "neither a moment nor a length of time"),
        (["--from", "2999-01-01"], "366 days"),
    ],
)
def test_what_forecast_refuses_comes_with_the_reason(shell: Shell, arguments: list[str], told: str) -> None:
    """It looks ahead, and not for ever."""
    assert told in shell.here("forecast", *arguments, code=2).err


def test_forecast_of_a_vault_without_tasks_says_what_to_do(shell: Shell) -> None:
    """One line more than the title."""
    assert "vault-sched create" in shell.here("forecast").out


def test_a_task_of_another_host_is_told_as_running_there(shell: Shell) -> None:
    """It is armed there, and cannot be run here: nobody is sent to do so."""
    shell.write("theirs", HELLO.replace("cron:", "host: server\ncron:"))
    told = shell.here("show", "theirs").out
    assert "Next (on server):" in told
    assert "No runs here: it runs on server." in told
    assert "runs on server" in shell("run", "theirs", code=1).err


# --- check -------------------------------------------------------------------------------------------------


def test_check_names_file_line_key_and_cure(shell: Shell) -> None:
    """Exit code 1, one line a problem, JSON with the agreed keys."""
    shell.write("hello", HELLO)
    shell("check")
    shell.write("broken", "---\ntype: command\ncron: '0 7 * * *'\ncommand: x\ntimout: 5m\nstatus: actve\n---\n")
    done = shell("check", code=1)
    assert done.out.splitlines() == sorted(done.out.splitlines(), key=lambda line: int(line.split(":")[1]))
    assert "00_system/tasks/broken.md:5: warning: timout:" in done.out
    assert "00_system/tasks/broken.md:6: status:" in done.out
    found = shell.json("check", code=1)
    assert [set(problem) for problem in found] == [{"path", "line", "key", "severity", "message", "fix"}] * 2
    assert [problem["severity"] for problem in found] == ["warning", "error"]


def test_check_counts_what_does_not_run_apart_from_warnings(shell: Shell) -> None:
    """`status` and `doctor` speak of the former alone."""
    shell.write("hello", HELLO)
    assert shell.here("check").err == "1 task, no problems\n"
    shell.write("odd", HELLO.replace("command:", "timout: 5m\ncommand:").replace("hello", "odd"))
    assert shell.here("check", code=1).err == "1 warning in 2 tasks\n"
    shell.write("broken", HELLO.replace("type: command", "type: comand").replace("hello", "broken"))
    assert shell.here("check", code=1).err == "1 problem, 1 warning in 3 tasks\n"
    shell.write("worse", HELLO.replace("type: command", "type: comand").replace("hello", "worse"))
    assert shell.here("check", code=1).err == "2 problems, 1 warning in 4 tasks\n"


def test_check_of_paths_looks_at_these_alone(shell: Shell) -> None:
    """From where one stands, or as the vault knows them; folders too. A path that is not there is usage."""
    shell.write("hello", HELLO)
    shell.write("work/broken", "---\ntype: command\n---\n")
    shell("check", "00_system/tasks/hello.md")
    shell("check", "hello.md", cwd=shell.tasks)
    shell("check", str(shell.tasks / "hello.md"), cwd=shell.folder)
    shell("check", "00_system/tasks/work", code=1)
    shell("check", "work/broken.md", code=1, cwd=shell.tasks)
    assert "no file or folder" in shell("check", "nothing.md", code=2).err


def test_check_sees_duplicate_ids_copies_and_a_missing_settings_note(shell: Shell) -> None:
    """The copy is the problem, not its original."""
    shell.write("hello", HELLO)
    shell.write("hello 1", HELLO)
    shell.write("other", HELLO.replace("type", "id: hello\ntype").replace("echo", "echo other"))
    (shell.vault / "00_system" / "scheduler.md").unlink()
    paths = [problem["path"] for problem in shell.json("check", code=1)]
    assert paths == ["00_system/scheduler.md", "00_system/tasks/hello 1.md", "00_system/tasks/other.md"]


def test_check_fix_quotes_what_needs_quotes_and_touches_nothing_else(shell: Shell) -> None:
    """A second time there is nothing to do."""
    good = shell.write("hello", HELLO)
    broken = shell.write("broken", "---\r\ntype: command\r\ncron: */5 * * * *\r\ncommand: x # mine\r\n---\r\nText")
    before = good.stat().st_mtime_ns
    assert "fixed 00_system/tasks/broken.md" in shell("check", "--fix").out
    expected = '---\ntype: command\ncron: "*/5 * * * *"\ncommand: x # mine\n---\nText'
    assert broken.read_bytes().decode().replace("\r\n", "\n") == expected
    assert good.stat().st_mtime_ns == before
    assert "fixed" not in shell("check", "--fix").out


def test_check_finds_functions_that_are_not_there(shell: Shell) -> None:
    """Statically: nothing of the user's is imported."""
    shell.write("py", "---\ntype: python\ncron: '0 7 * * *'\ncall: mine:work\n---\n")
    assert shell.json("check", code=1)[0]["key"] == "call"
    scripts = shell.vault / "00_system" / "scripts"
    scripts.mkdir()
    (scripts / "mine.py").write_text("raise SystemExit('imported')\ndef work(): ...\n")
    shell("check")


# --- create ------------------------------------------------------------------------------------------------


def test_create_writes_a_note_as_a_careful_person_would(shell: Shell) -> None:
    """Cron quoted, the checkbox there, and it is valid."""
    shell("create", "work/report", "--cron", "0 7 * * 1-5", "--command", "echo hi", "--timeout", "5m")
    assert (shell.tasks / "work" / "report.md").read_text() == (
        '---\ntype: command\ncron: "0 7 * * 1-5"\nstatus: active\nrun_now: false\ncommand: echo hi\ntimeout: 5m\n---\n'
    )
    prompt = ["--prompt", "Write the briefing.", "--max-usd", "0.25", "--status", "paused", "--set", "retries=2"]
    shell("create", "brief", "--every", "1h", *prompt)
    (brief,) = [line for line in shell.json("list") if line["task"] == "brief"]
    assert (brief["type"], brief["status"], brief["schedule"]) == ("claude", "paused", "every 1h")
    assert (shell.tasks / "brief.md").read_text().endswith("---\nWrite the briefing.\n")
    shell("check")


@pytest.mark.parametrize(
    "prompt",
    [
        "Tidy up.\n\n```md\n## Runs\n## Prompt\n```\n\nBe brief.",
        "# Runs\n\n### Prompt\n\nTidy up.\r\n\r\n## Prompts\r\nBe brief.\n",
    ],
)
def test_create_takes_other_headings_in_a_prompt(shell: Shell, prompt: str) -> None:
    """What only looks like the headings that mean something is said to Claude with all the rest."""
    shell("create", "x", "--every", "1d", "--prompt", prompt)
    assert prompt.strip().replace("\r", "") in (shell.tasks / "x.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["x", "--cron", "61 * * * *", "--command", "y"], 1, "x.md:3: cron:"),  # would not run
        (["x", "--command", "y"], 1, "nothing says when it runs"),
        (["x", "--every", "5m"], 2, "--command, --call, --prompt"),
        (["x", "--every", "5", "--command", "y"], 1, "no unit"),
        (["hello", "--every", "5m", "--command", "y"], 1, "is there already"),  # never overwritten
        (["hello.md", "--every", "5m", "--command", "y"], 1, "is there already"),
        (["../../x", "--every", "5m", "--command", "y"], 2, "never be scheduled"),
        ([".x", "--every", "5m", "--command", "y"], 2, "never be scheduled"),
        (["a|b", "--every", "5m", "--command", "y"], 2, "cannot stand"),
        (["other", "--cron", "0 9 * * *", "--command", "y", "--set", "id=hello"], 1, "belongs to"),
        (["x", "--every", "5m", "--command", "y", "--set", "nonsense"], 2, "KEY=VALUE"),
        (["x", "--every", "5m", "--command", "y", "--status", "off"], 2, "paused"),
        (["x", "--every", "5m", "--command", "y", "--set", "ping_url=x"], 1, "is not a web address"),
        (["x", "--at", "2020-01-01T09:00", "--command", "y"], 1, "has passed already"),
        (["x", "--every", "1d", "--prompt", "Tidy up.\n\n## Prompt\n\nBe brief."], 2, "Give it another heading"),
        (["x", "--every", "1d", "--prompt", "Tidy up.\n\n## Runs ##\n\nSay which."], 2, "Give it another heading"),
        (["x", "--every", "1d", "--prompt", "Tidy up.\n\nRuns\n---\n\nSay which."], 2, "Give it another heading"),
        (["x", "--every", "1d", "--prompt", "Tidy.", "--body", "## Prompt\n\nDo."], 2, "Give it another heading"),
        (["x", "--every", "5m", "--command", "y", "--set", "retries=1", "--set", "retries=2"], 2, "Give it once"),
    ],
)
def test_create_writes_nothing_that_would_not_run(shell: Shell, arguments: list[str], code: int, told: str) -> None:
    """The problems are printed instead."""
    shell.write("hello", HELLO)
    before = tree(shell.folder)
    done = shell.here("create", *arguments, code=code)
    assert told in done.err
    assert tree(shell.folder) == before


def test_create_quotes_only_what_needs_quotes(shell: Shell) -> None:
    """Dates as the property editor writes them, lists where lists belong, a code block instead of quoted quotes."""
    config = shell.folder / "config" / "vault-sched"
    config.mkdir(parents=True)
    (config / "env").write_text("TOKEN=hunter2-hunter2\n")
    (config / "env").chmod(0o600)
    lists = [
        "--set",
        "env=A=b",
        "--set",
        "env=C=d e",
        "--set",
        "secrets=TOKEN",
        "--set",
        "args=[limit=1, folder=00_system]",
    ]
    shell("create", "a", "--at", "2090-01-01T09:00", "--call", "doc_freshness", *lists)
    (note,) = shell.tasks.glob("a.md")
    told = "type: python\nat: 2090-01-01T09:00\nstatus: active\nrun_now: false\ncall: doc_freshness\n"
    assert (
        note.read_text() == f"---\n{told}env: [A=b, C=d e]\nsecrets: [TOKEN]\nargs: [limit=1, folder=00_system]\n---\n"
    )
    shell("create", "b", "--every", "1h", "--command", 'tar czf "$HOME/b.tgz" . # all')
    assert (shell.tasks / "b.md").read_text().endswith('---\n```sh\ntar czf "$HOME/b.tgz" . # all\n```\n')
    assert shell.json("check") == []


def test_a_command_of_several_lines_becomes_a_code_block(shell: Shell) -> None:
    """Which is what the task runs."""
    shell.hurry()
    shell("create", "two", "--every", "1h", "--command", "echo one\necho two")
    assert (shell.tasks / "two.md").read_text().endswith("---\n```sh\necho one\necho two\n```\n")
    assert "code block" in shell("show", "two").out
    shell("create", "fences", "--every", "1h", "--command", "cat <<'END' >> Log.md\n```\ntext\n```\nEND")
    shell("run", "fences")
    assert (shell.vault / "Log.md").read_text() == "```\ntext\n```\n"


# --- pause, resume -----------------------------------------------------------------------------------------


def test_pause_and_resume_edit_one_property_and_nothing_else(shell: Shell) -> None:
    """Comments, quotes and line ends stay; doing it twice changes nothing."""
    text = "---\r\n# mine\r\ntype: command\r\ncron:   '0 7 * * *'\r\nstatus: active # on\r\ncommand: x\r\n---\r\nBody"
    note = shell.tasks / "a.md"
    note.write_bytes(text.encode())
    shell("pause", "a")
    paused = note.read_bytes()
    assert paused.decode() == text.replace("status: active", "status: paused")
    assert "unchanged" in shell("pause", "a").out
    assert note.read_bytes() == paused
    shell("resume", "a")
    assert note.read_bytes().decode() == text


def test_pause_until_resumes_by_itself(shell: Shell) -> None:
    """The moment is written in the task's zone; resume takes it away."""
    shell.write("tokyo", HELLO.replace("Europe/Berlin", "Asia/Tokyo"))
    shell("pause", "tokyo", "--until", "2036-01-01T00:00:00Z")
    assert "2036-01-01T09:00:00" in (shell.tasks / "tokyo.md").read_text()
    (listed,) = shell.json("list")
    assert listed["state"] == "paused"
    assert listed["next_run"] == "2036-01-01T07:00:00+09:00" or listed["next_run"].startswith("2036-01-02T07:00")
    shell("resume", "tokyo")
    assert shell.json("list")[0]["state"] == "armed"
    assert "not later" in shell("pause", "tokyo", "--until", "1999-01-01", code=2).err


def test_pause_until_the_same_moment_says_so(shell: Shell) -> None:
    """The task is not `active already`: it is paused until then."""
    shell.write("a", HELLO)
    shell.here("pause", "a", "--until", "2090-01-01")
    assert "paused until Sun 2090-01-01 00:00 +01:00 already" in shell.here("pause", "a", "--until", "2090-01-01").out


def test_of_two_pauses_the_longer_one_counts(shell: Shell) -> None:
    """A task that is paused for longer than the vault does not run when the vault goes on."""
    shell.write("a", HELLO)
    shell.here("pause", "a", "--until", "2090-01-01")
    shell.here("pause", "--all", "--until", "2080-01-01")
    (task,) = shell.json("list")
    assert task["next_run"] == "2090-01-02T07:00:00+01:00"
    assert "The vault is paused until Mon 2080-01-01 00:00 +01:00" in shell.here("list").out


def test_next_during_a_pause_shows_what_fires_after_it(shell: Shell) -> None:
    """With and without a task; what is paused without an end fires nothing."""
    shell.write("a", HELLO)
    shell.write("b", HELLO.replace("---\ntype", "---\nstatus: paused\ntype"))
    shell.here("pause", "--all", "--until", "2090-01-01")
    found = shell.json("next", "-n", "2")["next"]
    assert found == [{"task": "a", "fire_time": f"2090-01-0{day}T07:00:00+01:00"} for day in (2, 3)]
    told = shell.here("next").out
    assert "The vault is paused until Sun 2090-01-01 00:00 +01:00: these fire after the pause." in told
    assert shell.json("next", "a", "-n", "1")["fire_times"] == ["2090-01-02T07:00:00+01:00"]
    assert "It is paused until Sun 2090-01-01 00:00 +01:00: these fire after the pause." in shell.here("next", "a").out
    shell.here("pause", "--all")
    told = shell.here("next").out
    assert "The vault is paused: nothing starts" in told
    assert "Nothing is due" in told


def test_a_task_that_only_reacts_has_nothing_by_the_clock(shell: Shell) -> None:
    """It is not over, and its zone means nothing."""
    shell.write("a", HELLO)
    shell.write("b", '---\ntype: command\ncommand: x\nafter: "[[a]]"\nafter_outcome: failure\n---\n')
    assert shell.here("next", "b").out.splitlines()[1] == "  nothing by the clock"
    page = shell.here("show", "b").out
    assert "runs    after [[a]] fails\n" in page
    assert "Nothing is left" not in page
    assert "\n\n\n" not in page


def test_a_time_that_has_passed_is_a_problem_at_its_line(shell: Shell) -> None:
    """Nothing will ever run, and nothing has."""
    shell.write("a", "---\ntype: command\ncommand: x\nat: 2020-01-01T09:00\n---\n")
    shell.write("b", "---\ntype: command\ncommand: x\nat: 2020-01-01T09:00\nstatus: done\n---\n")
    assert "a.md:4: at: the time has passed already" in shell.here("check", code=1).out
    assert [len(task["problems"]) for task in shell.json("list")] == [1, 0]


def test_an_end_that_has_passed_is_a_warning_at_its_line(shell: Shell) -> None:
    """`until` of a task that never ran lies in the past: told before a daemon calls it done."""
    shell.write("a", "---\ntype: command\ncommand: x\nevery: 1h\nuntil: 2020-01-01\n---\n")
    shell.write("b", "---\ntype: command\ncommand: x\nevery: 1h\nuntil: 2020-01-01\nstatus: done\n---\n")
    told = shell.here("check", code=1).out
    assert "a.md:5: warning: until: has passed already, so nothing fires" in told
    assert "b.md" not in told


def test_the_state_of_a_paused_task_says_until_when(shell: Shell) -> None:
    """`show` of a task that goes on by itself."""
    shell.write("a", "---\ntype: command\ncommand: x\nevery: 1h\ntimezone: UTC\npaused_until: 2190-01-01\n---\n")
    assert "paused until Fri 2190-01-01 01:00 +01:00 (00:00 in UTC)" in shell.here("show", "a").out.splitlines()[2]


def test_an_invalid_task_has_no_fire_times_and_no_advice_to_run_it(shell: Shell) -> None:
    """A finding, not wrong usage."""
    shell.write("a", "---\ntype: command\ncron: @daily\n---\n")
    assert 'Quote the value: cron: "@daily"' in shell.here("next", "a", code=1).err
    assert "runs it once" not in shell.here("show", "a").out


@pytest.mark.parametrize("arguments", [["next", "--cron", "0 7 * * *", "--timezone", "UTC", "-n", "3"], ["--help"]])
def test_quick_answers_load_nothing_heavy(shell: Shell, arguments: list[str]) -> None:
    """A scheduler's questions are asked from prompts and status bars; typer alone would load pydantic each time."""
    heavy = {"pydantic", "asyncio", "sqlite3", "yaml", "markdown_it", "watchdog", "claude_agent_sdk", "psutil"}
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.argv[0] = 'v'\n"
    code += "from vault_scheduler.cli import main; main()"
    child = subprocess.run([sys.executable, "-c", code, *arguments], env=shell.environ, capture_output=True, text=True)
    assert child.returncode == 0
    assert heavy & set(child.stderr.split()) == set()


def test_pause_all_pauses_the_vault(shell: Shell) -> None:
    """In its settings note, in one place."""
    shell.write("hello", HELLO)
    shell("pause", "--all")
    assert "status: paused\n" in (shell.vault / "00_system" / "scheduler.md").read_text()
    assert shell.json("list")[0]["state"] == "paused"
    assert "resume --all" in shell("list").out
    shell("resume", "--all")
    assert shell.json("list")[0]["state"] == "armed"
    assert "not both" in shell("approve", "hello", "--all", code=2).err
    shell("pause", "hello", "--all", code=2)
    shell("pause", "--all", "--until", "2090-01-01")
    assert "(paused)" in shell("status", code=1).out


def test_resuming_a_task_says_that_the_vault_is_off(shell: Shell) -> None:
    """Else one would wait for a run that does not come."""
    shell.write("hello", HELLO.replace("type:", "status: paused\ntype:"))
    shell.here("pause", "--all")
    told = shell.here("resume", "hello").out.splitlines()
    assert told == [
        "hello is active",
        "The vault is paused: nothing starts. `vault-sched resume --all` makes it active.",
    ]
    assert shell.here("resume", "--all").out == "the vault is active\n"


def test_next_of_the_vault_shows_every_task(shell: Shell) -> None:
    """One that fires all the time does not hide the others."""
    shell.write("busy", HELLO.replace("0 7 * * 1-5", "*/5 * * * *"))
    shell.write("rare", HELLO.replace("0 7 * * 1-5", "0 0 1 1 *"))
    lines = shell.here("next", "-n", "3").out.splitlines()
    assert [line.split()[-1] for line in lines if line.endswith("busy")] == ["busy"] * 3
    assert lines[-2] == "Later, the first of each other task:"
    assert lines[-1].endswith("rare")
    found = shell.json("next", "-n", "3")
    assert ([each["task"] for each in found["next"]], [each["task"] for each in found["later"]]) == (
        ["busy"] * 3,
        ["rare"],
    )


def test_a_stopped_task_is_not_weakened_to_a_paused_one(shell: Shell) -> None:
    """And one that is done cannot be resumed into nothing."""
    note = shell.write("hello", HELLO.replace("echo hello", "echo hello\nstatus: stopped"))
    assert "stopped already" in shell("pause", "hello").out
    assert "status: stopped" in note.read_text()
    shell.write("once", "---\ntype: command\nat: 2020-01-01T09:00\nstatus: done\ncommand: x\n---\n")
    assert "nothing left to fire" in shell("resume", "once", code=1).err


def test_a_note_that_cannot_be_edited_safely_is_named_with_its_line(shell: Shell) -> None:
    """Nothing is written."""
    note = shell.write("broken", "---\ntype: command\ncron: */5 * * * *\n---\n")
    before = note.read_bytes()
    assert "00_system/tasks/broken.md:3:" in shell("pause", "broken", code=1).err
    assert note.read_bytes() == before


# --- inside a run ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["pause", "hello"],
        ["resume", "--all"],
        ["run", "hello"],
        ["cancel", "hello"],
        ["approve", "--all"],
        ["daemon", "--once"],
        ["init"],
        ["check", "--fix"],
        ["create", "x", "--every", "1h", "--command", "y"],
    ],
)
def test_inside_a_run_only_looking_is_possible(shell: Shell, arguments: list[str]) -> None:
    """A run must not widen what it may do."""
    shell.write("hello", HELLO)
    shell.env["VAULT_SCHED_RUN"] = "r-20261122T060000Z-3f9a1c"
    before = tree(shell.folder)
    assert "inside a run" in shell.here(*arguments, code=2).err
    assert tree(shell.folder) == before


def test_inside_a_run_tasks_can_be_proposed(shell: Shell) -> None:
    """As paused notes."""
    shell.env["VAULT_SCHED_RUN"] = "r-20261122T060000Z-3f9a1c"
    shell("create", "x", "--every", "1h", "--command", "y", "--status", "paused")
    assert shell.json("list")[0]["state"] == "paused"


# --- history, logs, status ---------------------------------------------------------------------------------


def test_history_is_a_list_of_runs_newest_first(shell: Shell) -> None:
    """With the agreed keys; ranges of fire times that did not start have a count."""
    shell.write("hello", HELLO)

    async def fill(store: SqliteStore) -> None:
        good = Result(outcome=Outcome.SUCCESS, text="fine", exit_code=0, cost_usd=0.1)
        bad = Result(outcome=Outcome.FAILURE, reason="exit 3", exit_code=3)
        await ended(store, a_run("hello", NOW - timedelta(hours=3)), good)
        await ended(store, a_run("gone", NOW - timedelta(hours=2)), bad, deliveries=(NOTE,))
        missed = Unstarted(
            task="hello",
            path="00_system/tasks/hello.md",
            first=NOW - timedelta(hours=1),
            last=NOW,
            count=4,
            outcome=Outcome.MISSED,
            reason="asleep",
        )
        await store.save(Batch(unstarted=(missed,)))

    shell.ledger(fill)
    rows = shell.json("history")
    assert [(row["task"], row["outcome"], row["count"]) for row in rows] == [
        ("hello", "missed", 4),
        ("gone", "failure", 1),
        ("hello", "success", 1),
    ]
    keys = "run task trigger fire_time started_at ended_at outcome attempts duration_s exit_code cost_usd reason count"
    assert all({*keys.split(), "delivered"} <= set(row) for row in rows)
    assert [row["delivered"] for row in rows] == [True, False, True]
    assert datetime.fromisoformat(rows[2]["fire_time"]) == NOW - timedelta(hours=3)
    assert (rows[2]["cost_usd"], rows[1]["exit_code"], rows[2]["duration_s"]) == (0.1, 3, 2.0)
    assert [row["task"] for row in shell.json("history", "--failed")] == ["gone"]
    assert [row["task"] for row in shell.json("history", "hello", "-n", "1")] == ["hello"]
    assert [row["task"] for row in shell.json("history", "gone")] == ["gone"]  # its note is not there any more
    assert "missed 4 × (asleep)" in shell("history").out
    shell("history", "never-was", code=2)


def test_history_tells_all_rows_in_one_zone(shell: Shell) -> None:
    """The vault's, or it could not be seen that the newest is first; as the notes tell them, also of one task alone."""
    shell.write("here", HELLO)
    shell.write("there", HELLO.replace("Europe/Berlin", "Pacific/Auckland"))

    async def fill(store: SqliteStore) -> None:
        for task in ("here", "there"):
            await ended(store, a_run(task, NOW), Result(outcome=Outcome.SUCCESS))

    shell.ledger(fill)
    both = [line[:16] for line in shell("history").out.splitlines()[1:]]
    assert len(set(both)) == 1
    assert both[0] == NOW.astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M")
    assert shell("history", "there").out.splitlines()[1].startswith(both[0])


def test_the_time_of_a_task_stands_beside_that_of_the_vault(shell: Shell) -> None:
    """Where its clock shows another one, with the weekday if that differs; `--timezone` takes the vault's place."""
    shell.write("there", HELLO.replace("Europe/Berlin", "Pacific/Auckland"))
    arguments = ["next", "there", "--from", "2026-11-20T08:00+13:00", "-n", "1"]
    title = "there · at 07:00, Monday through Friday (0 7 * * 1-5) · Pacific/Auckland"
    assert shell.here(*arguments).out.splitlines()[:2] == [
        title,
        "  Sun 2026-11-22 19:00 +01:00  Mon 07:00 in Pacific/Auckland",
    ]
    own = shell.here(*arguments, "--timezone", "Pacific/Auckland").out.splitlines()[:2]
    assert own == [title, "  Mon 2026-11-23 07:00 +13:00"]
    assert " 07:00 in Pacific/Auckland" in shell.here("show", "there").out
    shell.write("near", HELLO.replace("Europe/Berlin", "Europe/Paris"))
    assert "07:00 in Europe/Paris" not in shell.here("show", "near").out


def test_logs_prints_the_full_output_or_what_the_ledger_kept(shell: Shell) -> None:
    """Byte for byte; by run, block id or task."""
    run = a_run("hello", NOW)
    shell.write("hello", HELLO)
    assert "has not run yet" in shell("logs", "hello", code=2).err
    shell.ledger(lambda store: ended(store, run, Result(outcome=Outcome.SUCCESS, text="kept")))
    assert shell("logs", run.id).out == "kept\n"
    path = output_path(shell.state / "runs", run.id, 1)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"line\n" * 5000)
    for name in (run.id, f"^{run.id}", "hello"):
        assert shell("logs", name).out == "line\n" * 5000
    assert shell("logs", run.id, "--follow").out == "line\n" * 5000
    assert "no run" in shell("logs", "r-20200101T000000Z-000000", code=2).err


def test_logs_masks_on_a_terminal_what_an_escape_sequence_held_apart(shell: Shell) -> None:
    """The stream's masker does not see a secret with a colour in it; the terminal would show it without."""
    config = shell.folder / "config" / "vault-sched"
    config.mkdir(parents=True, exist_ok=True)
    (config / "env").write_text("TOKEN=hunter2-hunter2\n")
    (config / "env").chmod(0o600)
    run = a_run("hello", NOW)
    shell.write("hello", HELLO)
    shell.ledger(lambda store: ended(store, run, Result(outcome=Outcome.SUCCESS)))
    path = output_path(shell.state / "runs", run.id, 1)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"token hunter2\x1b[31m-hunter2\x1b[0m, h\xc3\xa9llo\n")
    assert _on_a_terminal(shell, "logs", "hello").decode() == "token [masked], héllo\r\n"


def _on_a_terminal(shell: Shell, *arguments: str) -> bytes:
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen:  # noqa: PTH123  a descriptor
        command = [sys.executable, "-m", "vault_scheduler", *arguments]
        child = subprocess.run(command, stdout=theirs, cwd=shell.vault, env=shell.environ, timeout=50, check=False)
        os.close(theirs)
        assert child.returncode == 0
        return screen.read(10_000)


def test_logs_follow_ends_with_the_run(shell: Shell) -> None:
    """What is printed meanwhile is shown at once."""
    run = a_run("hello", NOW)
    shell.write("hello", HELLO)

    async def begin(store: SqliteStore) -> None:
        await store.save(Batch(claims=(Claim(run=run),)))
        await store.begin_attempt(run.id, 1, NOW)
        await store.attempt_running(run.id, 1, os.getpid(), 1, "boot", NOW)

    shell.ledger(begin)
    path = output_path(shell.state / "runs", run.id, 1)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"first\n")
    child = shell.start("logs", "hello", "--follow")
    assert child.stdout is not None
    assert child.stdout.readline() == "first\n"
    with path.open("ab") as file:
        file.write(b"second\n")
    assert child.stdout.readline() == "second\n"
    result = Result(outcome=Outcome.SUCCESS)
    shell.ledger(lambda store: store.finish(run.id, result.outcome, result, "", NOW))
    rest, err = child.communicate(timeout=30)
    assert (rest, err, child.returncode) == ("", "", 0)


def test_status_says_alive_only_with_a_lock_and_a_recent_pass(shell: Shell) -> None:
    """Exit code 1 when not alive, or when notes have problems; the agreed keys in JSON."""
    shell.write("hello", HELLO)
    keys = "alive pid host vault started_at last_pass running waiting problems undelivered cost_today_usd"
    assert set(keys.split()) <= set(shell.json("status", code=1))
    now = datetime.now(UTC)
    shell.ledger(lambda store: store.set_meta("last pass", (now - timedelta(minutes=5)).isoformat()))
    spend(shell, 0.25)
    with VaultLock(shell.state / "lock", since=now):
        assert shell.json("status", code=1)["alive"] is False  # hangs
        shell.ledger(lambda store: store.set_meta("last pass", now.isoformat()))
        report = shell.json("status")
        assert (report["alive"], report["pid"]) == (True, os.getpid())
        assert report["vault"] == str(shell.vault)
        assert report["cost_today_usd"] == 0.25
        assert report["running"] == report["waiting"] == report["problems"] == []
        assert "yes: process" in shell("status").out
        shell.write("broken", "---\ntype: command\n---\n")
        assert shell.json("status", code=1)["problems"]
    with VaultLock(shell.state / "lock", since=now, purpose="run"):
        assert shell.json("status", code=1)["alive"] is False


# --- running -----------------------------------------------------------------------------------------------


def test_run_without_a_daemon_runs_here_and_now(shell: Shell) -> None:
    """Outcome on one line, in the ledger and in the note; a failure is exit code 1."""
    shell.hurry()
    shell.write("hello", HELLO)
    assert "hello: success" in shell("run", "hello", "--wait").out
    assert shell("logs", "hello").out == "hello\n"
    (row,) = shell.json("history")
    assert (row["trigger"], row["outcome"]) == ("req", "success")
    assert f"^{row['run']}" in (shell.tasks / "hello.md").read_text()
    shell.write("bad", HELLO.replace("echo hello", "exit 3"))
    assert "exit 3" in shell("run", "bad", "--wait", code=1).out


def test_run_without_a_daemon_leaves_the_runs_of_other_tasks_alone(shell: Shell) -> None:
    """What waits for the daemon goes on waiting: who runs one task does not want to pay for another."""
    path = "00_system/tasks/other.md"
    shell.write("other", HELLO.replace("echo hello", "touch other-ran"))
    shell.write("quick", HELLO.replace("echo hello", "echo quick"))
    task = parse_task(Document.parse((shell.vault / path).read_bytes()), path, ParseContext()).task
    assert task is not None
    snapshot = snapshot_of(task, resolve(task, Settings()))
    run = a_run("other", NOW, snapshot="s")
    batch = Batch(claims=(Claim(run=run),), snapshots={"s": json.dumps(snapshot)})
    shell.ledger(lambda store: store.save(batch))
    assert "quick: success" in shell("run", "quick", "--wait").out
    assert not (shell.vault / "other-ran").exists()
    [left] = shell.ledger(lambda store: store.active())
    assert left.task == "other"


@pytest.mark.parametrize("verb", ["run", "cancel"])
def test_run_and_cancel_without_a_daemon_tell_nothing_of_other_notes(shell: Shell, verb: str) -> None:
    """What is wrong with a note that was not asked for is told by `check` and `status`."""
    shell.write("hello", HELLO)
    shell.write("broken", "---\ntype: command\n---\n")
    assert shell(verb, "hello").err == ""


def test_run_of_a_task_that_cannot_run_says_why(shell: Shell) -> None:
    """Unknown, invalid, or in a paused vault: nothing is started."""
    shell("run", "nothing", code=2)
    shell.write("broken", "---\ntype: command\n---\n")
    assert "broken.md:1" in shell("run", "broken", code=1).err
    shell.write("hello", HELLO)
    shell("pause", "--all")
    assert "paused" in shell("run", "hello", code=1).err


def test_a_daemon_answers_run_cancel_and_status_and_ends_at_term(shell: Shell) -> None:
    """The same commands with a daemon; a second daemon is refused."""
    shell.write("hello", HELLO)
    shell.write("long", HELLO.replace("echo hello", "echo begun; sleep 60"))
    daemon = shell.start("daemon", "--log-format", "json")
    try:
        wait_until(lambda: shell.code("status") == 0)
        assert "already serves" in shell("daemon", code=2).err
        assert "hello: success" in shell("run", "hello", "--wait").out
        started = shell("run", "long").out
        assert "is running" in started
        wait_until(lambda: bool(shell.json("status")["running"]))
        assert "long" in shell("status").out
        assert "cancelled r-" in shell("cancel", "long").out
        wait_until(lambda: shell.json("history", "long")[0]["outcome"] == "cancelled")
        assert "nothing to cancel" in shell("cancel", "long").out
    finally:
        daemon.send_signal(signal.SIGTERM)
        out, err = daemon.communicate(timeout=30)
    assert (daemon.returncode, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert {"watching", "started", "success", "cancelled", "stopping"} <= {event["event"] for event in events}
    assert all(datetime.fromisoformat(event["at"]).utcoffset() is not None for event in events)


def test_daemon_once_runs_what_is_due_and_ends(shell: Shell) -> None:
    """Nothing is due in a new vault: creating a task never fires it."""
    shell.write("hello", HELLO)
    assert "watching" in shell("daemon", "--once").out
    assert shell.json("history") == []


def test_the_daemon_needs_a_settings_note(shell: Shell) -> None:
    """It says how to make one."""
    (shell.vault / "00_system" / "scheduler.md").unlink()
    assert "vault-sched init" in shell("daemon", code=2).err


def test_a_pipe_that_closes_early_ends_a_command_quietly(shell: Shell) -> None:
    """`vault-sched list | head -1`."""
    for number in range(300):
        shell.write(f"task-{number}", "---\ntype: command\n---\n")
    child = shell.start("list")
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == ""
    child.wait(PATIENCE_S)
    child.stderr.close()


@pytest.mark.parametrize(
    "command", ["next -n 1000 | head -1", "next -n 1000 --json | head -1", "list >&-", "list 2>&-"]
)
def test_output_that_nobody_reads_is_no_failure(shell: Shell, command: str) -> None:
    """`set -o pipefail` in a script must not take a closed pipe for a finding."""
    shell.write("a", HELLO)
    line = f"set -o pipefail; {sys.executable} -m vault_scheduler {command}"
    child = subprocess.run(["bash", "-c", line], env=shell.environ, cwd=shell.vault, capture_output=True, text=True)
    assert (child.returncode, child.stderr) == (0, "")


def test_a_name_is_found_in_either_unicode_form(shell: Shell) -> None:
    """A Mac gives file names in the other form than keyboards do."""
    shell.write("Übersicht", HELLO)
    assert shell.here("show", "U\u0308bersicht").out.startswith("Übersicht")


def test_check_says_why_a_named_file_is_no_task(shell: Shell) -> None:
    """`0 tasks, no problems` would sound as if it had been checked."""
    shell.write("page", "---\ntags: [x]\n---\nText\n")
    (shell.vault / "note.md").write_text("Text")
    assert "it is not a note below 00_system/tasks/" in shell.here("check", "note.md").out
    assert "none of its properties" in shell.here("check", "00_system/tasks/page.md").out


def test_long_facts_go_on_in_the_next_line(shell: Shell) -> None:
    """In a narrow terminal the advice must not be what is cut off."""
    shell.env["COLUMNS"] = "40"
    lines = shell.here("status", code=1).out.split("\n")
    assert "`vault-sched daemon`" in " ".join(lines)
    assert max(map(len, lines[:3])) <= 40


def test_names_that_are_no_text_do_not_end_a_command(shell: Shell) -> None:
    """A file name of undecodable bytes is left alone, and told with a mark in its place."""
    shell.write("hello", HELLO)
    (shell.tasks / os.fsdecode(b"caf\xe9.md")).write_text(HELLO)
    assert [line["task"] for line in shell.json("list")] == ["hello"]
    shell("show", os.fsdecode(b"caf\xe9"), code=2)


def test_taking_the_vault_over_forgets_what_was_due_before(shell: Shell) -> None:
    """This machine ran the vault once, another did since: nothing of that time is made up for here."""
    (shell.folder / "config" / "vault-sched").mkdir(parents=True, exist_ok=True)
    (shell.folder / "config" / "vault-sched" / "config.toml").write_text('host = "laptop"\n')
    shell.write("a", HELLO)
    before = NOW - timedelta(days=5)
    row = TaskRow(task="a", path="00_system/tasks/a.md", fingerprint="x", fires=True, watermark=before)
    shell.ledger(lambda store: store.save(Batch(tasks=(row,))))
    settings = shell.vault / "00_system" / "scheduler.md"
    settings.write_text("---\nhost: desktop\ntimezone: Europe/Berlin\n---\nMine.\n")
    taken = shell("host", "take").out
    assert taken == "laptop runs this vault from now on (before: desktop). What was due until now is not caught up\n"
    assert settings.read_text() == "---\nhost: laptop\ntimezone: Europe/Berlin\n---\nMine.\n"
    first = shell.ledger(lambda store: store.task_rows())["a"].watermark
    assert first >= NOW
    assert shell("host", "take").out == "laptop runs this vault already; 00_system/scheduler.md is unchanged\n"
    assert shell.ledger(lambda store: store.task_rows())["a"].watermark == first


def test_a_reason_is_told_on_a_terminal_as_it_can_be_typed(shell: Shell) -> None:
    """No backslashes of markdown: a command or a name in a reason can be copied."""
    shell.write("hello", '---\ntype: command\ncommand: "true"\ncron: "0 0 29 2 *"\n---\n')
    reason = "run `claude setup-token`, put it into CLAUDE_TOKEN"
    run = a_run("hello", datetime(2026, 11, 20, 6, tzinfo=UTC))
    shell.ledger(lambda store: ended(store, run, Result(outcome=Outcome.BLOCKED, reason=reason)))
    assert reason in shell("history").out
    assert reason in shell("show", "hello").out
    assert reason in shell("logs", run.id).err
