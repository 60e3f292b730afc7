"""The real daemon with the real Claude Code CLI, and other whole paths: from a note to a run and back into the note."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from tests.process.conftest import World


def _loopback_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("loopback_api", Path(__file__).with_name("loopback_api.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("loopback_api", module)
    spec.loader.exec_module(module)
    return module


api = _loopback_module()
CLAUDE = "type: claude\ncron: 0 0 29 2 *\nrun_now: true"
SHELL = 'type: command\nevery: 1s\ncommand: "echo ran >> {}"'


def log_in(world: World, url: str) -> None:
    """A key for the loopback API, in the machine's env file as a person would put it there."""
    (world.config / "env").write_text(f"ANTHROPIC_API_KEY=a-key-of-the-tests\nANTHROPIC_BASE_URL={url}\n")


def sessions(world: World) -> list[int]:
    """The processes of Claude runs in this vault."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if environment.get("VAULT_SCHED_VAULT") == str(world.vault) and "VAULT_SCHED_RUN" in environment:
                found.append(process.pid)
    return found


def a_new_note_while_the_daemon_runs(world: World) -> None:
    """`every: 2s`: its result stands in the note and in the daily log, once each."""
    world.start()
    note = world.note("new", 'type: command\nevery: 2s\ncommand: "echo hello from the note"', "Text.\n")
    (run, *_) = world.ended("new", 2)
    world.until(lambda: run["id"] in note.read_text(), "in the note")
    assert "> hello from the note" in note.read_text()
    assert note.read_text().startswith("---\ntype: command\nevery: 2s\n")
    world.until(lambda: f"^{run['id']}" in world.log_text(), "in the log")
    assert len(re.findall(rf"^- .*hello from the note \^{run['id']}$", world.log_text(), re.M)) == 1
    note.unlink()


def a_claude_task(world: World) -> None:
    """The answer, its cost and duration, the note it wrote and the tool it was denied stand in the task's note."""
    calls = [
        api.use("Write", file_path=str(world.vault / "Briefings/Today.md"), content="# Today\n"),
        api.use("Bash", command="git log -3"),
    ]
    with api.LoopbackApi(calls, [api.text("All **quiet** today.")]) as server:
        log_in(world, server.url)
        note = world.note("briefing", CLAUDE, "Write the briefing.\n")
        world.start()
        world.until(lambda: world.runs("briefing") and world.runs("briefing")[0]["state"] == "ended", "ended", 40)
        world.delivered("briefing")
        (run,) = world.runs("briefing")
    assert (run["outcome"], run["reason"]) == ("success", "")
    assert (world.vault / "Briefings/Today.md").read_text() == "# Today\n"
    text = note.read_text()
    assert re.search(r"^> \[!success\]- \S+ \S+ · [\d.]+ m?s · .*\$0\.\d\d", text, re.M), text
    assert "> All **quiet** today." in text
    assert "[[Briefings/Today]]" in text or "Briefings/Today.md" in text
    assert "Bash: git log -3" in text
    assert "Write the briefing." in server.all_text()
    (told,) = json.loads(world.sched("history", "briefing", "--json").stdout)
    assert told["cost_usd"] > 0


def a_task_that_appears_while_claude_runs(world: World) -> None:
    """It asks for shell, so it is held and visibly so; `approve` lets it run, and nothing ran before."""
    out = world.outside / "evil"
    with api.LoopbackApi(api.Silence()) as server:
        log_in(world, server.url)
        world.note("briefing", CLAUDE, "Write the briefing.\n")
        world.start()
        world.until(lambda: server.requests, "the session talks", 40)
        world.note("evil", SHELL.format(out))
        world.until(lambda: [run for run in world.runs("evil") if run["outcome"] == "blocked"], "blocked")
        assert world.sched("cancel", "briefing").returncode == 0
    states = {row["task"]: row["state"] for row in json.loads(world.sched("list", "--json").stdout)}
    assert states["evil"] == "held"
    assert "vault-sched approve" in world.log_text()
    assert not out.exists()
    assert world.sched("approve", "evil").returncode == 0
    world.until(out.exists, "it runs")


def a_daemon_that_is_killed_while_claude_runs(world: World) -> None:
    """kill -9: worker and CLI are ended, the run is abandoned, its cap counts as spent, nothing is asked twice."""
    world.settings.write_text(world.settings.read_text().replace("timezone", "vault_max_usd_day: 0.6\ntimezone"))
    with api.LoopbackApi(api.Silence()) as server:
        log_in(world, server.url)
        note = world.note("briefing", f"{CLAUDE}\nmax_usd: 0.5", "Write the briefing.\n")
        world.start()
        world.until(lambda: server.requests, "the session talks", 40)
        assert len(sessions(world)) >= 2  # the worker and the CLI
        world.kill()
        world.start()
        (run,) = world.ended("briefing")
        assert sessions(world) == []
        world.delivered("briefing")
        assert (run["outcome"], run["attempts"]) == ("abandoned", 1)
        assert note.read_text().count(f"^{run['id']}") == 1
        world.until(lambda: "run_now: false" in note.read_text(), "unticked")
        assert world.sched("run", "briefing", "--wait").returncode == 1
        (again,) = [each for each in world.runs("briefing") if each["id"] != run["id"]]
        assert again["outcome"] == "skipped"
        assert "0.50" in again["reason"]
        assert len(server.requests) == 1


def claude_tasks_of_one_moment_share_the_days_money(world: World) -> None:
    """What runs may still spend is reserved: of three that ask for 0.5 two fit into 1.2, and the third is skipped."""
    limits = "vault_max_usd_day: 1.2\nmax_claude: 3\ntimezone"
    world.settings.write_text(world.settings.read_text().replace("timezone", limits))
    with api.LoopbackApi(api.Silence()) as server:
        log_in(world, server.url)
        names = ("one", "two", "three")
        for name in names:
            world.note(name, f"{CLAUDE}\nmax_usd: 0.5", "Write.\n")
        world.start()
        world.until(lambda: [run for name in names for run in world.runs(name) if run["outcome"] == "skipped"], "one")
        runs = [run for name in names for run in world.runs(name)]
        assert [run["outcome"] for run in runs if run["state"] == "ended"] == ["skipped"]
        (skipped,) = [run for run in runs if run["state"] == "ended"]
        assert "1.20" in skipped["reason"]
        world.until(lambda: len(server.requests) == 2, "two sessions talk", 40)
        for name in names:
            world.sched("cancel", name)
        world.until(lambda: all(world.runs(name)[0]["state"] == "ended" for name in names), "cancelled", 20)


def a_vault_of_another_machine(world: World) -> None:
    """A task with our `host` runs, and logs into a file of our own; the others, and the shared log, are left alone."""
    (world.config / "config.toml").write_text('host = "laptop"\n')
    world.settings.write_text(world.settings.read_text().replace("timezone", "host: server\ntimezone"))
    settings = world.settings.read_bytes()
    mine = world.note("mine", 'type: command\nevery: 1s\nhost: laptop\ncommand: "echo from the laptop"')
    theirs = world.note("theirs", 'type: command\nevery: 1s\nrun_now: true\ncommand: "echo no"')
    before = theirs.read_bytes()
    world.start()
    (run, *_) = world.ended("mine", 2)
    world.until(lambda: run["id"] in mine.read_text(), "in the note")
    world.until(lambda: f"^{run['id']}" in world.log_text(), "in the log")
    logs = [path.name for path in world.logs.iterdir() if path.suffix == ".md"]
    assert [name for name in logs if not re.fullmatch(r"\d{4}-\d\d-\d\d-laptop\.md", name)] == []
    assert world.runs("theirs") == []
    assert (theirs.read_bytes(), world.settings.read_bytes()) == (before, settings)


def a_pause_of_the_vault(world: World) -> None:
    """`paused_until` in the settings note stops every start until that moment, and nothing is made up for after it."""
    world.note("often", 'type: command\nevery: 1s\ncommand: "true"')
    world.start()
    world.ended("often")
    until = (datetime.now(UTC) + timedelta(seconds=7)).replace(microsecond=0)
    text = world.settings.read_text()
    world.settings.write_text(
        text.replace("status: active", f"status: active\npaused_until: {until:%Y-%m-%dT%H:%M:%S}")
    )
    world.until(lambda: any(run["fire_time"] >= until.timestamp() for run in world.runs("often")), "it goes on")
    world.ended("often", 2)
    fires = [run["fire_time"] for run in world.runs("often")]
    assert not [fire for fire in fires if until.timestamp() - 4 < fire < until.timestamp()]


def a_branch_that_is_checked_out(world: World) -> None:
    """`git checkout` of another branch: what it brings runs, what it takes away does not, and its edits count."""

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "core.hooksPath=/dev/null"]
        subprocess.run(["git", *who, *arguments], cwd=world.vault, check=True, capture_output=True)

    def marked(word: str) -> str:
        return f"---\ntype: command\nevery: 1s\nlog: none\ncommand: 'echo x >> {world.outside}/{word}'\n---\n"

    paths = {name: world.tasks / f"{name}.md" for name in ("same", "gone", "come")}
    git("init", "-q", "-b", "one")
    paths["same"].write_text(marked("one"))
    paths["gone"].write_text(marked("gone"))
    git("add", "00_system/tasks")
    git("commit", "-q", "-m", "one")
    git("checkout", "-q", "-b", "two")
    git("rm", "-q", str(paths["gone"]))
    paths["same"].write_text(marked("two"))
    paths["come"].write_text(marked("come"))
    git("add", "00_system/tasks")
    git("commit", "-q", "-m", "two")
    git("checkout", "-q", "one")
    world.start()
    world.until(lambda: {path.name for path in world.outside.iterdir()} == {"one", "gone"}, "the first branch runs")
    git("checkout", "-q", "-f", "two")
    world.until(lambda: {path.name for path in world.outside.iterdir()} == {"one", "gone", "two", "come"}, "the second")
    sizes = [(world.outside / name).stat().st_size for name in ("one", "gone")]
    count = (world.outside / "two").stat().st_size
    world.until(lambda: (world.outside / "two").stat().st_size >= count + 4, "two more runs")
    assert [(world.outside / name).stat().st_size for name in ("one", "gone")] == sizes


def downtime_that_is_made_up_for(world: World) -> None:
    """`catch_up: all` after kill -9: what came due in the downtime runs late, each fire time once, and no gap."""
    world.note("all", 'type: command\nevery: 1s\ncatch_up: all\nlog: none\ncommand: "true"')
    world.start()
    world.ended("all", 2)
    world.kill()
    down = time.time()
    time.sleep(3)
    up = time.time()
    world.start()

    def settled() -> list[dict[str, Any]]:
        runs = [run for run in world.runs("all") if run["fire_time"] <= up + 1]
        return runs if runs[-1]["fire_time"] > up and all(run["state"] == "ended" for run in runs) else []

    runs = world.until(settled, "all that came due has ended", 30)
    fires = [run["fire_time"] for run in runs]
    assert fires == [fires[0] + number for number in range(len(fires))]
    assert {run["outcome"] for run in runs if down + 1 < run["fire_time"] < up - 1} == {"success"}


SCENES = [
    a_new_note_while_the_daemon_runs,
    a_claude_task,
    a_task_that_appears_while_claude_runs,
    a_daemon_that_is_killed_while_claude_runs,
    claude_tasks_of_one_moment_share_the_days_money,
    a_vault_of_another_machine,
    a_pause_of_the_vault,
    a_branch_that_is_checked_out,
    downtime_that_is_made_up_for,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_whole_path(scene: Callable[[World], None], play: Callable[[Callable[[World], None]], None]) -> None:
    """What the scene's own sentence says."""
    play(scene)
