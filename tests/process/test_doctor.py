"""`doctor`: what fails in the field is found, graded, and told with its cure."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.process.conftest import World
from tests.process.full_vault import a_run
from tests.process.test_cli import HELLO, Shell, shell
from tests.process.test_service import STUB
from vault_scheduler.commands import machine_health, vault_health
from vault_scheduler.ledger.store import Batch, Claim
from vault_scheduler.platform.lock import VaultLock

__all__ = ["shell"]


def findings(shell: Shell, code: int = 1) -> dict[str, list[dict[str, Any]]]:
    """The findings by what they are about."""
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(shell.here("doctor", "--json", code=code).out):
        found.setdefault(finding["about"], []).append(finding)
    return found


def grades(found: list[dict[str, Any]]) -> list[str]:
    return [finding["grade"] for finding in found]


def test_vault_that_is_served_is_healthy(world: World) -> None:
    """With a daemon, and no Claude task to log in for, nothing is broken: exit code 0, and no probe is left."""
    world.note("a", "type: command\ncommand: echo a\ncron: 0 0 29 2 *")
    world.start()
    done = world.sched("doctor")
    assert done.returncode == 0, done.stdout
    assert "✓ watching" in done.stdout
    assert "✓ daemon" in done.stdout
    assert "✓ ledger" in done.stdout
    assert "Nothing is broken" in done.stdout
    assert not [path for path in world.vault.rglob("*") if "probe" in path.name]
    world.stop()
    stopped = world.sched("doctor")
    assert stopped.returncode == 1
    assert "✗ daemon" in stopped.stdout.replace("  ", " ")
    assert "→ `vault-sched service install`" in stopped.stdout


def test_a_time_that_has_passed_is_a_problem_as_for_status(shell: Shell) -> None:
    """It takes the ledger to know that nothing has run then."""
    shell.write("late", "---\ntype: command\ncommand: x\nat: 2020-01-01T09:00\n---\n")
    assert [problem["key"] for problem in shell.json("status", code=1)["problems"]] == ["at"]
    told = [finding["text"] for finding in findings(shell)["tasks"]]
    assert told == ["1 task, 1 problem: what is wrong does not run"]


def test_problems_of_notes_and_sync_are_found(shell: Shell) -> None:
    """Broken notes, conflict copies and programs that are not there are told with what to do."""
    shell.write("bad", '---\ntype: command\ncommand: x\ncron: "99 * * * *"\n---\n')
    shell.write("absent", '---\ntype: command\ncommand: [no-such-program]\ncron: "0 1 * * *"\n---\n')
    shell.write("hello.sync-conflict-20261122-070000-ABCDEFG", HELLO)
    told = [finding["text"] for finding in findings(shell)["tasks"]]
    assert "2 tasks, 1 problem: what is wrong does not run" in told
    assert "sync left conflict copies: hello.sync-conflict-20261122-070000-ABCDEFG.md" in told
    assert "00_system/tasks/absent.md: there is no program no-such-program on the path of runs" in told


def test_vault_of_another_machine_needs_no_daemon_here(shell: Shell) -> None:
    """That nothing runs here is no fault where another machine runs the vault."""
    (shell.vault / "00_system" / "scheduler.md").write_text("---\nhost: elsewhere\n---\n")
    found = findings(shell, code=0)
    assert grades(found["daemon"]) == ["note"]
    assert "elsewhere runs this vault" in found["settings"][0]["text"]


def test_damaged_ledger_is_a_fault(shell: Shell) -> None:
    """A ledger that cannot be read is said to be so, and everything else is still looked at."""
    shell.write("hello", HELLO)
    shell("run", "hello", "--wait")
    ledger = shell.state / "ledger.db"
    for side in shell.state.glob("ledger.db-*"):
        side.unlink()
    ledger.write_bytes(b"no ledger" * 1000)
    found = findings(shell)
    assert grades(found["ledger"]) == ["fault"]
    assert "disk" in found


def test_claude_tasks_need_a_login(shell: Shell) -> None:
    """Without a login it is a fault once a task needs one, with both ways to log in; a token in `env` cures it."""
    assert grades(findings(shell)["claude"]) == ["fine", "note"]
    shell.write("ask", '---\ntype: claude\ncron: "0 1 * * *"\n---\nSay hello.\n')
    (login,) = findings(shell)["claude"][1:]
    assert login["grade"] == "fault"
    assert "claude setup-token`" in login["cure"]
    config = shell.folder / "config" / "vault-sched"
    config.mkdir(parents=True)
    (config / "env").write_text("CLAUDE_CODE_OAUTH_TOKEN=x-not-a-real-token\n")
    (config / "env").chmod(0o600)
    found = findings(shell)["claude"]
    assert grades(found) == ["fine", "fine"]
    assert "x-not-a-real-token" not in json.dumps(found)


def test_the_cure_for_a_missing_login_can_be_typed(shell: Shell) -> None:
    """It names the Claude Code that the runs use, which came with the scheduler, whatever else is on the path."""
    shell.write("ask", '---\ntype: claude\ncron: "0 1 * * *"\n---\nSay hello.\n')
    (login,) = findings(shell)["claude"][1:]
    assert "Run `vault-sched claude` once" in login["cure"]
    assert shell("claude", "--version").out.endswith("(Claude Code)\n")


def test_obsidian_settings_that_matter_are_looked_at(shell: Shell) -> None:
    """A template folder within the tasks, and Bases switched off, are pointed out."""
    obsidian = shell.vault / ".obsidian"
    obsidian.mkdir()
    (obsidian / "core-plugins.json").write_text('{"bases": false}')
    (obsidian / "templates.json").write_text('{"folder": "00_system/tasks/blueprints"}')
    assert grades(findings(shell)["obsidian"]) == ["warning", "warning"]
    (obsidian / "core-plugins.json").write_text('["bases", "graph"]')
    (obsidian / "templates.json").write_text("broken")
    assert "obsidian" not in findings(shell)


def test_the_daily_note_is_named_where_it_is_written_to(shell: Shell) -> None:
    """In a configuration folder of any name; a format that nobody can tell for certain is a fault."""
    task = shell.vault / "00_system" / "tasks" / "brief.md"
    task.write_text('---\ntype: command\ncommand: date\nevery: 1h\noutput: "daily-note#Log"\n---\n')
    folder = shell.vault / ".notes-config"
    folder.mkdir()
    (folder / "app.json").write_text("{}")
    (folder / "daily-notes.json").write_text('{"folder": "Journal"}')
    (found,) = findings(shell)["obsidian"]
    assert found["grade"] == "fine"
    assert "daily note is Journal/2" in found["text"]
    (folder / "daily-notes.json").write_text('{"format": "gggg-ww"}')
    (found,) = findings(shell)["obsidian"]
    assert (found["grade"], "`gggg`" in found["text"]) == ("fault", True)


def test_secrets_that_others_can_read_are_pointed_out(shell: Shell, tmp_path: Path) -> None:
    """The env file is for its owner alone."""
    config = shell.folder / "config" / "vault-sched"
    config.mkdir(parents=True)
    (config / "env").write_text("TOKEN=x\n")
    (config / "env").chmod(0o644)
    assert "chmod 600" in findings(shell)["config"][0]["text"]


def test_notifiers_and_folders_that_cannot_work_are_found(shell: Shell) -> None:
    """Without a message being sent; the address is not told, for there may be a token in it."""
    config = shell.folder / "config" / "vault-sched"
    config.mkdir(parents=True)
    lines = ['path = "/nonexistent/bin"', "[notify]", 'phone = "nonsense://hunter2-hunter2"', 'desk = ["no-such-bell"]']
    (config / "config.toml").write_text("\n".join([*lines, ""]))
    found = findings(shell)
    told = [finding["text"] for finding in found["notify"]]
    assert [text.partition(" tells nobody: ")[0] for text in told] == ["phone", "desk"]
    assert told[1].endswith("there is no program no-such-bell")
    assert "hunter2" not in json.dumps(found)
    assert grades(found["path"]) == ["fault"]


def test_warnings_are_counted_where_nothing_is_broken(shell: Shell) -> None:
    """What `check` warns of keeps no task from running."""
    shell.write("a", '---\ntype: command\ncommand: "true"\ncron: "0 1 * * *"\ntimout: 5m\n---\n')
    assert findings(shell)["tasks"][0]["text"] == "1 task, no problem; 1 warning, which `vault-sched check` names"


def configure(shell: Shell, text: str) -> Path:
    """Write this machine's config.toml."""
    config = shell.folder / "config" / "vault-sched" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(text)
    return config


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ('trust = "vault"\nhosst = "x"\n', ":2: hosst: ", "Did you mean `host`?"),
        ('host = "x\n', ":1: ", "Write key ="),
        ("[notify]\nphone = 3\n", ":2: notify.phone: ", "ntfy://"),
    ],
    ids=["a key", "not TOML", "a notifier"],
)
def test_a_broken_configuration_is_a_finding_among_others(shell: Shell, text: str, place: str, said: str) -> None:
    """With file, line, key and cure; what can be looked at without it is looked at."""
    config = configure(shell, text)
    shell.write("a", HELLO.replace("command: echo hello", "command: echo hello\nnotify_to: phone"))
    found = findings(shell)
    (broken,) = [finding for finding in found["config"] if finding["grade"] == "fault"]
    assert broken["text"].startswith(f"{config}{place}")
    assert said in broken["cure"]
    assert {"vault", "disk", "ledger", "claude"} <= found.keys()
    assert "notify" not in found  # who knows which notifiers there are
    assert shell("list", code=2).err.startswith(f"vault-sched: {config}")


def test_each_fault_of_the_configuration_is_found_also_without_a_vault(shell: Shell) -> None:
    """Its `system_folder` may be what is wrong."""
    config = configure(shell, 'trsut = "vault"\nsystem_folder = ".hidden"\n')
    (shell.vault / "00_system").rename(shell.vault / "99_system")
    found = findings(shell)
    assert [finding["text"].removeprefix(f"{config}:")[:9] for finding in found["config"]][:2] == [
        "1: trsut:",
        "2: system",
    ]
    assert grades(found["vault"]) == ["fault"]


def test_nobody_to_be_told_is_pointed_out(shell: Shell) -> None:
    """A task that names whom to tell, on a machine that runs it and has no notifier, would be silent."""
    shell.write("a", HELLO.replace("command: echo hello", "command: echo hello\nnotify_to: phone"))
    (found,) = findings(shell)["notify"]
    assert (found["grade"], found["text"]) == (
        "warning",
        "00_system/tasks/a.md: this machine has no notifier `phone`, so nobody is told",
    )
    assert str(shell.folder / "config" / "vault-sched" / "config.toml") in found["cure"]
    told = shell.here("check", code=1).out
    assert "a.md:6: warning: notify_to: this machine has no notifier `phone`" in told
    (shell.vault / "00_system" / "scheduler.md").write_text("---\nhost: elsewhere\nnotify_to: desk\n---\n")
    assert "notify" not in findings(shell, code=0)
    assert "notify_to" not in shell.here("check").out
    (shell.vault / "00_system" / "scheduler.md").write_text("---\nnotify_to: desk\n---\n")
    assert "scheduler.md:2: warning: notify_to: this machine has no notifier `desk`" in shell.here("check", code=1).out


def test_a_daemon_that_hangs_is_told_from_one_that_works(shell: Shell) -> None:
    """It holds the lock and makes no pass; the cure is to restart it."""
    shell.write("hello", HELLO)
    now = datetime.now(UTC)
    with VaultLock(shell.state / "lock", since=now):
        assert "made no pass at all" in findings(shell)["daemon"][0]["text"]
        shell.ledger(lambda store: store.set_meta("last pass", (now - timedelta(minutes=5)).isoformat()))
        (hangs,) = findings(shell)["daemon"]
        assert (hangs["grade"], hangs["cure"].startswith("Restart it: it hangs")) == ("fault", True)
        shell.ledger(lambda store: store.set_meta("last pass", now.isoformat()))
        assert grades(findings(shell, code=0)["daemon"]) == ["fine"]


def test_a_clock_that_was_ahead_is_pointed_out(shell: Shell) -> None:
    """The ledger knows a run of a time to come: by the clock of now, or of then."""
    shell.write("hello", HELLO)
    ahead = a_run("hello", datetime.now(UTC) + timedelta(hours=1))
    shell.ledger(lambda store: store.save(Batch(claims=(Claim(run=ahead),))))
    (clock,) = findings(shell)["clock"]
    assert (clock["grade"], f"{ahead.claimed_at:%Y-%m-%d %H:%M}" in clock["text"]) == ("warning", True)


def test_changes_that_nobody_tells_of_are_pointed_out(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher that hears nothing of a file that is written, and a limit of watches that is too small here."""
    limit = shell.folder / "max_user_watches"
    limit.write_text("3\n")
    monkeypatch.setattr(vault_health, "INOTIFY", limit)
    monkeypatch.setattr(vault_health, "PROBE", "gone/probe.tmp")  # which cannot be written
    monkeypatch.setattr(vault_health, "HEARD_WITHIN_S", 0.1)
    deaf, few = findings(shell)["watching"]
    assert (deaf["grade"], "no word of a change" in deaf["text"]) == ("warning", True)
    assert (few["grade"], "fs.inotify.max_user_watches=" in few["cure"]) == ("warning", True)


def test_a_full_disk_is_a_fault(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the vault and of the state folder, each with its place."""
    monkeypatch.setattr(machine_health, "LITTLE_ROOM", 10**18)
    vault, state, _ = findings(shell)["disk"]
    assert (vault["grade"], state["grade"]) == ("fault", "fault")
    assert str(shell.vault) in vault["text"]
    assert "the state folder lies" in state["text"]


def test_an_interpreter_that_is_not_there_is_a_fault(shell: Shell) -> None:
    """Python tasks would fail with it, each at its time."""
    configure(shell, 'python = "/nonexistent/python3"\n')
    assert findings(shell)["python"][0]["text"] == "there is no interpreter /nonexistent/python3"


def test_a_service_that_does_not_run_is_a_fault(shell: Shell) -> None:
    """Installed, and its manager says that it is not active; with the cure."""
    programs = shell.folder / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(STUB)
    (programs / "systemctl").chmod(0o755)
    shell.env["PATH"] = f"{programs}:{os.environ['PATH']}"
    shell.here("service", "install")
    (stopped,) = findings(shell)["service"]
    assert (stopped["grade"], "`vault-sched service install`" in stopped["cure"]) == ("fault", True)
    (shell.folder / "active").write_text("active\n")
    assert findings(shell)["service"][0]["text"] == "systemd keeps it running"
