"""The real daemon: what a run brings back, whatever it does, and that nothing of it is left."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.conftest import PATIENCE_S
from vault_scheduler.notes.note import Document
from vault_scheduler.notes.runs_section import run_ids

if TYPE_CHECKING:
    from tests.process.conftest import World

SECRET = "sk-live-0123456789abcdef"
NOW = "run_now: true\ncron: 0 0 29 2 *"
HOSTILE = r"""
---
status: active
---
## Runs
- 2026-01-01 00:00 ✅ 1 s ^r-20260101T000000Z-abcdef
```
%% hidden
<% tp.file.delete() %>
```dataviewjs
app.vault.delete()
```
![[secret]] ![x](http://example.com/x.png)
$= dv.current() =
""".strip()

NOTES = {
    "exit3": ("command: \"echo out; echo 'no such file' >&2; exit 3\"", ""),
    "much": ("command: \"head -c 100000000 /dev/zero | tr '\\\\0' x\"", ""),
    "endless": ('command: "sleep 4711 & sleep 4711"\ntimeout: 1s', ""),
    "grandchild": ('command: "sleep 4712 & echo the parent is done"', ""),
    "escaped": ('command: "setsid sleep 4713 & sleep 4713"\ntimeout: 1s', ""),
    "interpreter": ("", "```lua\nprint(1)\n```\n"),
    "program": ("command: [no-such-program-4714, x]", ""),
    "raises": ("type: python", "```python\nraise ValueError('boom')\n```\n"),
    "missing": ("type: python\ncall: tools:absent", ""),
    "secret": (
        'command: "echo $TOKEN; printf %s $TOKEN | base64; echo x$TOKEN >&2; exit 1"\nsecrets: [TOKEN]',
        "",
    ),
    "told": ('command: "echo $TOKEN"\nsecrets: [TOKEN]\noutput: Told.md', ""),
    "hostile": ('command: "cat hostile.txt"\noutput: "Out#Log"', "Above.\n\n## Runs\n\n## Below\nstays\n"),
    "again": ('retries: 2\nretry_delay: 1s\ncommand: "echo x >> $HOME/again; test $(wc -l < $HOME/again) = 3"', ""),
    "handled": ("command: \"trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done\"\ntimeout: 1s", ""),
}


@pytest.fixture(scope="module")
def done(make_world: Callable[..., World]) -> World:
    """A daemon that has run each of NOTES once and delivered what came of it."""
    world = make_world()
    (world.config / "env").write_text(f"TOKEN={SECRET}\n")
    (world.vault / "hostile.txt").write_text(HOSTILE)
    scripts = world.vault / "00_system" / "scripts"
    scripts.mkdir()
    (scripts / "tools.py").write_text("def present():\n    return 1\n")
    for name, (keys, body) in NOTES.items():
        kind = "" if "type:" in keys else "type: command\n"
        world.note(name, f"{kind}{keys}\n{NOW}".replace("\n\n", "\n"), body)
    world.start()
    for name in NOTES:
        if name != "missing":
            world.ended(name)
    world.delivered()
    world.until(lambda: not [n for n in NOTES if n != "missing" and "run_now: true" in text_of(world, n)], "unticked")
    return world


def text_of(world: World, name: str) -> str:
    return (world.tasks / f"{name}.md").read_text()


def result_of(world: World, name: str) -> tuple[str, str]:
    """Outcome and reason of the one run, checked to be what the note and the log say too."""
    (run,) = world.runs(name)
    note = text_of(world, name)
    assert run_ids(note.encode()) == {run["id"]}
    assert f"last_status: {run['outcome']}" in note
    assert len(re.findall(rf"^- .*\[\[00_system/tasks/{name}\|.* \^{run['id']}$", world.log_text(), re.M)) == 1
    return run["outcome"], run["reason"]


@pytest.mark.parametrize(
    ("name", "outcome", "reason", "shown"),
    [
        ("exit3", "failure", "exit 3: no such file", "exit 3: no such file\n> ```text\n> out\n> no such file\n> ```"),
        ("much", "success", "", "left out"),
        ("endless", "timeout", "no end after 1s", "timeout: no end after 1s"),
        ("escaped", "timeout", "no end after 1s", "timeout: no end after 1s"),
        ("handled", "timeout", "no end after 1s", "> bye"),
        ("grandchild", "success", "", "> the parent is done"),
        ("interpreter", "failure", "no such interpreter: lua", "no such interpreter: lua"),
        ("program", "failure", "no-such-program-4714", "no-such-program-4714"),
        ("raises", "failure", "ValueError: boom", "ValueError: boom"),
        ("again", "success", "", "3 attempts"),
    ],
)
def test_every_end_is_told_in_the_note_and_the_log(
    done: World, name: str, outcome: str, reason: str, shown: str
) -> None:
    """The outcome is right, the reason says what to do about it, and note, log and ledger agree."""
    found = result_of(done, name)
    assert found[0] == outcome
    assert reason in found[1]
    assert shown in text_of(done, name)


def test_nothing_of_a_run_is_left(done: World, alive: Callable[[str], list[int]]) -> None:
    """Neither children that hold the pipe nor those that fled into a session of their own outlive the run."""
    for marker in ("sleep\x004711", "sleep\x004712", "sleep\x004713"):
        done.until(lambda marker=marker: not alive(marker), f"{marker!r} is gone")  # type: ignore[misc]


def test_a_hundred_megabytes_of_output_do_not_grow_the_daemon(done: World) -> None:
    """Head and tail are kept in memory, the rest is bounded on disk."""
    assert done.daemon is not None
    status = Path(f"/proc/{done.daemon.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    assert peak is not None
    assert int(peak[1]) < 110_000
    (run,) = done.runs("much")
    assert len(run["result"]) < 20_000


def test_a_function_that_is_missing_is_a_problem_of_the_note(done: World) -> None:
    """It is reported where people look, with the line, and nothing runs."""
    assert done.runs("missing") == []
    assert "tasks/missing.md:3: call:" in done.told()
    assert re.search(r"⚠ \[\[00_system/tasks/missing\|missing\]\] line 3: call:", done.log_text())


def test_run_now_runs_once_and_is_unticked(done: World) -> None:
    """A tick is one run; the box is empty again, and the schedule has not moved."""
    for name in NOTES:
        if name != "missing":
            assert len(done.runs(name)) == 1
            assert "run_now: false" in text_of(done, name)
            assert re.search(r"^next_run: \d{4}-\d\d-\d\dT00:00:00$", text_of(done, name), re.M)


def test_a_secret_is_found_nowhere(done: World) -> None:
    """Neither raw nor in base64: not in notes, logs, outputs, nor in the bytes of the state folder."""
    shapes = [SECRET.encode(), base64.b64encode(SECRET.encode())[:-4], SECRET[4:].encode()]
    for folder in (done.vault, done.state):
        for path in folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert not [shape for shape in shapes if shape in data], path
    assert not [shape for shape in shapes if shape in done.told().encode()]
    assert (done.vault / "Told.md").read_text() == "```text\n[masked]\n```\n"
    assert "exit 1" in result_of(done, "secret")[1]


def test_hostile_output_stays_text(done: World) -> None:
    """Fences, headings, frontmatter, block ids and template tags in an output change nothing around it."""
    data = (done.tasks / "hostile.md").read_bytes()
    doc = Document.parse(data)
    assert doc.fault is None
    assert doc.mapping["type"] == "command"
    assert doc.definition_body.strip() == "Above."
    assert data.endswith(b"\n## Below\nstays\n")
    assert result_of(done, "hostile") == ("success", "")
    assert b"<% tp" not in data
    out = (done.vault / "Out.md").read_text()
    assert out.startswith("## Log\n\n````text\n---\n")
    assert "<% tp" not in out


def test_a_second_daemon_is_refused(done: World) -> None:
    """It ends at once with code 2 and says who serves the vault."""
    second = done.sched("daemon")
    assert second.returncode == 2
    assert done.daemon is not None
    assert f"already serves this vault (process {done.daemon.pid} on " in second.stderr


# --- scenes: each with a vault of its own


def _is_ended_with_its_runs(world: World, number: int) -> None:
    marker = f"9{number:02}1"
    note = world.note("long", f'type: command\ncommand: "echo begun; sleep {marker}"\n{NOW}')
    world.start()
    world.until(lambda: world.runs("long") and world.runs("long")[0]["state"] == "running", "it runs")
    world.until(lambda: "run_now: false" in note.read_text(), "unticked")
    assert world.stop(number) == 0
    (run,) = world.runs("long")
    assert (run["state"], run["outcome"]) == ("ended", "abandoned")
    assert f"^{run['id']}" in world.log_text()
    world.start()
    world.delivered()
    assert run["id"] in note.read_text()


def term_ends_daemon_and_runs(world: World) -> None:
    """What runs is ended, recorded and told; exit code 0."""
    _is_ended_with_its_runs(world, signal.SIGTERM)


def int_ends_daemon_and_runs(world: World) -> None:
    """Ctrl-C is the same."""
    _is_ended_with_its_runs(world, signal.SIGINT)


def hangup_ends_daemon_and_runs(world: World) -> None:
    """A terminal that is closed is the same."""
    _is_ended_with_its_runs(world, signal.SIGHUP)


def _started(world: World, **more: Any) -> subprocess.Popen[bytes]:
    """A daemon whose output goes elsewhere than into the file of this world."""
    command = [sys.executable, "-m", "vault_scheduler", "daemon", "--vault", str(world.vault)]
    world.daemon = subprocess.Popen(command, env=world.env, cwd=world.folder, stdin=subprocess.DEVNULL, **more)
    return world.daemon


def hangup_is_ignored_under_nohup(world: World) -> None:
    """Who started it so that it outlives the terminal is believed."""
    world.note("often", "type: command\nevery: 1s\ncommand: echo hi")
    with world.printed.open("ab") as file:
        ignoring = ["env", "--ignore-signal=HUP", sys.executable, "-m", "vault_scheduler", "daemon"]
        world.daemon = subprocess.Popen(
            [*ignoring, "--vault", str(world.vault)], env=world.env, cwd=world.folder, stdout=file, stderr=file
        )
    world.ended("often")
    world.daemon.send_signal(signal.SIGHUP)
    world.ended("often", len(world.runs("often")) + 2)
    assert world.stop() == 0


def nobody_reads_its_log(world: World) -> None:
    """`vault-sched daemon | tee log` goes on when `tee` is gone, and ends what runs when it is told to."""
    world.note("often", "type: command\nevery: 1s\ncommand: echo hi")
    daemon = _started(world, stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    daemon.stdout.close()
    world.ended("often", 3)
    world.note("long", f"type: command\ncommand: sleep 9313\n{NOW}")
    world.until(lambda: world.runs("long") and world.runs("long")[0]["state"] == "running", "it runs")
    assert world.stop() == 0
    assert world.runs("long")[0]["outcome"] == "abandoned"


def nobody_empties_its_pipe(world: World) -> None:
    """A pipe that is full, a terminal held by Ctrl-S: runs start and end all the same, and the daemon when told to."""
    world.note("often", "type: command\nevery: 1s\ncommand: echo hi")
    reader, writer = os.pipe()
    os.write(writer, b"x" * fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096))
    with open(writer, "wb") as full:  # noqa: PTH123 (a pipe has no path)
        _started(world, stdout=full, stderr=full)
    world.ended("often", 3)
    assert world.stop() == 0
    os.close(reader)


def no_room_for_its_log(world: World) -> None:
    """A disk that is full where its log goes does not end a daemon."""
    world.note("often", "type: command\nevery: 1s\ncommand: echo hi")
    with Path("/dev/full").open("wb") as full:
        _started(world, stdout=full, stderr=full)
    world.ended("often", 3)
    assert world.stop() == 0


def once_runs_what_is_due_and_ends(world: World) -> None:
    """`--once` is for those who have a cron already."""
    world.note("due", f'type: command\ncommand: "echo hi"\n{NOW}')
    world.start("--once", wait=False)
    assert world.daemon is not None
    assert world.daemon.wait(PATIENCE_S) == 0
    assert world.ended("due")[0]["outcome"] == "success"


def no_settings_note(world: World) -> None:
    """A folder that was never set up is not served by accident: the daemon says `init`."""
    world.settings.unlink()
    refused = world.sched("daemon")
    assert refused.returncode == 2
    assert "vault-sched init" in refused.stderr


def a_command_that_runs_a_task(world: World) -> None:
    """Without a daemon the command runs the task itself; a daemon that starts meanwhile waits for it."""
    slow = "until [ -e go ]; do sleep 0.05; done; echo done"
    world.note("slow", f'type: command\ncron: 0 0 29 2 *\ncommand: "{slow}"')
    command = subprocess.Popen(
        [sys.executable, "-m", "vault_scheduler", "run", "slow", "--wait", "--vault", str(world.vault)],
        env=world.env,
        cwd=world.folder,
        stdout=subprocess.DEVNULL,
    )
    world.until(lambda: [run for run in world.runs("slow") if run["state"] == "running"], "it runs")
    world.start(wait=False)
    world.until(lambda: "for a run of process" in world.told(), "the daemon waits for the command")
    (world.vault / "go").touch()
    assert command.wait(PATIENCE_S) == 0
    world.until(lambda: "watching" in world.told(), "the daemon takes over")
    assert [run["outcome"] for run in world.runs("slow")] == ["success"]
    world.delivered()
    assert "> done" in (world.tasks / "slow.md").read_text()


def a_command_whose_run_is_stopped(world: World) -> None:
    """A run without a daemon ends at once when it is cancelled, or its note says `status: stopped`."""
    for name in ("one", "two"):
        note = world.note(name, f"type: command\nstatus: active\ncron: 0 0 29 2 *\ncommand: sleep 93{len(name)}4")
        run = [sys.executable, "-m", "vault_scheduler", "run", name, "--wait", "--vault", str(world.vault)]
        command = subprocess.Popen(run, env=world.env, cwd=world.folder, stdout=subprocess.DEVNULL)
        world.until(lambda: [run for run in world.runs(name) if run["state"] == "running"], "it runs")  # noqa: B023
        if name == "one":
            assert world.sched("cancel", name).returncode == 0
        else:
            note.write_text(note.read_text().replace("status: active", "status: stopped"))
        assert command.wait(PATIENCE_S) == 1
        assert [run["outcome"] for run in world.runs(name)] == ["cancelled"]


def a_deleted_ledger(world: World) -> None:
    """What the daemon holds open is put back, people can read so, and no fire time is lost or run twice (rule 10)."""
    world.note("often", 'type: command\nevery: 1s\ncommand: "echo $VAULT_SCHED_RUN >> $HOME/ran"')
    world.start()
    world.ended("often")
    (world.state / "ledger.db").unlink()
    world.until(lambda: "the ledger is missing" in world.told(), "it is noticed")
    world.until(lambda: "the ledger is missing" in world.log_text(), "it is in the daily log")
    world.until(lambda: "it can be used again" in world.told(), "it is there again")
    world.ended("often", len(world.ended("often")) + 2)
    world.state.rename(world.folder / "taken away")
    world.until(lambda: world.told().count("it can be used again") == 2, "all of the state folder is there again")
    world.ended("often", len(world.ended("often")) + 2)
    second = world.sched("daemon")
    assert "already serves this vault" in second.stderr
    assert world.stop() == 0
    runs = world.runs("often")
    assert sum(run["count"] for run in runs) == runs[-1]["fire_time"] - runs[0]["fire_time"] + 1
    ran = (world.folder / "home" / "ran").read_text().split()
    assert len(ran) == len(set(ran))
    world.start()
    world.ended("often", len(runs) + 1)
    assert "held" not in world.sched("status").stdout


def a_locked_ledger(world: World) -> None:
    """Another program may hold it for a while (a backup): nothing starts meanwhile, nothing is lost, nothing ends."""
    world.note("often", 'type: command\nevery: 2s\ncommand: "true"')
    world.start()
    world.ended("often")
    blocker = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(world.state / "ledger.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert blocker.stdout is not None
    assert blocker.stdin is not None
    assert blocker.stdout.readline() == "held\n"
    world.until(lambda: "cannot be used now" in world.told(), "it is noticed")
    blocker.stdin.close()
    blocker.wait()
    blocker.stdout.close()
    world.until(lambda: "it can be used again" in world.told(), "it goes on")
    before = len(world.ended("often"))
    world.ended("often", before + 1)
    runs = world.runs("often")
    fires = [run["fire_time"] for run in runs]
    assert sum(run["count"] for run in runs) == (max(fires) - min(fires)) / 2 + 1


LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def a_full_disk(world: World) -> None:
    """Neither a ledger nor a log that cannot be written ends the daemon; `status` shows both, and nothing is lost."""
    world.note("often", 'type: command\nevery: 1s\ncommand: "true"')
    world.logs.write_text("a file where the folder should be")
    daemon = world.start()
    world.ended("often", 2)
    world.until(lambda: "could not be written (daily log)" in world.sched("status").stdout, "status shows the log")
    before = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (8192, before[1]))
    world.until(lambda: "ledger.db cannot be used now" in world.sched("status").stdout, "status shows the ledger")
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, before)
    world.until(lambda: "it can be used again" in world.told(), "it goes on")
    world.ended("often", len(world.ended("often")) + 2)
    assert "ledger.db" not in world.sched("status").stdout
    assert json.loads(world.sched("status", "--json").stdout)["troubles"]
    runs = world.runs("often")
    assert sum(run["count"] for run in runs) == runs[-1]["last_fire_time"] - runs[0]["fire_time"] + 1


def a_damaged_ledger(world: World) -> None:
    """It is kept aside, a new one is begun, and nothing runs twice: at the start, and while the daemon runs."""
    world.note("often", 'type: command\nevery: 1s\ncommand: "echo $VAULT_SCHED_FIRE_TIME >> $HOME/ran"')
    world.start()
    world.ended("often")
    world.stop()
    spoil(world.state / "ledger.db")
    world.start()
    assert "was damaged" in world.told()
    world.ended("often")
    assert list(world.state.glob("ledger-corrupt-*"))
    before = world.told()
    spoil(world.state / "ledger.db")
    world.until(lambda: "the daemon begins anew" in world.told(), "it is noticed")
    world.until(lambda: world.told()[len(before) :].count("was damaged") == 1, "it is set aside")
    world.ended("often")
    assert world.stop() == 0
    assert "internal error" not in world.told()
    ran = (world.folder / "home" / "ran").read_text().split()
    assert len(ran) == len(set(ran)), ran


def spoil(ledger: Path) -> None:
    """Overwrite the pages of some tables, and write elsewhere so that whoever has them in memory reads them again."""
    with contextlib.closing(sqlite3.connect(ledger, timeout=10)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = db.execute("PRAGMA page_size").fetchone()[0]
        pages = db.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name IN ('runs', 'deliveries')").fetchall()
        with ledger.open("r+b") as file:
            for (page,) in pages:
                file.seek((page - 1) * size)
                file.write(b"\xff" * size)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('spoilt', '1')")
        db.commit()


SCENES = [
    term_ends_daemon_and_runs,
    int_ends_daemon_and_runs,
    hangup_ends_daemon_and_runs,
    hangup_is_ignored_under_nohup,
    nobody_reads_its_log,
    nobody_empties_its_pipe,
    no_room_for_its_log,
    once_runs_what_is_due_and_ends,
    no_settings_note,
    a_command_that_runs_a_task,
    a_command_whose_run_is_stopped,
    a_deleted_ledger,
    a_locked_ledger,
    a_damaged_ledger,
    a_full_disk,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_daemon(scene: Callable[[World], None], play: Callable[[Callable[[World], None]], None]) -> None:
    """What the scene's own sentence says."""
    play(scene)


def test_no_run_outlives_its_daemon(alive: Callable[[str], list[int]]) -> None:
    """After TERM, INT and HUP."""
    assert not alive("sleep\x009011")
    assert not alive("sleep\x009021")
    assert not alive("sleep\x009313")
    assert not alive("sleep\x009151")
