"""Being told, with the real daemon, Apprise, programs, and receivers that take it, refuse it, fail, or hang."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
from collections.abc import Callable
from functools import partial

import pytest

from tests.process.conftest import PATIENCE_S, Scene, World, alive_below
from tests.process.receivers import Receivers, receivers

NEVER = "cron: 0 0 29 2 *\nlog: all"
SECRET = "hunter2-hunter2"
TOKEN = "t0kenInTheAddress"


def configure(world: World, **notifiers: str | list[str]) -> None:
    lines = [f"{name} = {json.dumps(address)}" for name, address in notifiers.items()]
    (world.config / "config.toml").write_text("\n".join(["[notify]", *lines]) + "\n")
    (world.config / "env").write_text(f"PASSWORD={SECRET}\n")
    for name in ("config.toml", "env"):
        (world.config / name).chmod(0o600)


def everywhere(world: World) -> bytes:
    """All that was written: notes, logs, ledger, outputs, what the daemon printed."""
    folders = (world.vault, world.folder / "state")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files) + world.told().encode()


def let_time_go_by(world: World) -> None:
    """What is to be tried again later is to be tried now; the daemon must not run."""
    with contextlib.closing(sqlite3.connect(world.state / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE outbox SET not_before = NULL")


def each_kind_arrives(world: World, to: Receivers) -> None:
    """Failure, recovery, success, a question's kind of text, pings of task and daemon: once each, masked."""
    desk = world.folder / "desk.txt"
    program = ["/bin/sh", "-c", 'printf "%s|" "$VAULT_SCHED_TOPIC" "$@" >> "$0"; cat >> "$0"', str(desk)]
    configure(world, phone=f"json://user:{TOKEN}@127.0.0.1:{to.port}/phone/{TOKEN}", desk=program)
    world.settings.write_text(
        world.settings.read_text().replace(
            "note_quiet", f"daemon_ping_url: http://127.0.0.1:{to.port}/alive\nnote_quiet"
        )
    )
    flag = world.outside / "flag"
    world.note(
        "backup",
        f"type: command\ncommand: 'cat {flag} && echo saved with $PASSWORD'\nsecrets: PASSWORD\n"
        f"notify: [failure, recovery, success]\nping_url: http://127.0.0.1:{to.port}/check/u-1\n{NEVER}",
    )
    phone = f"/phone/{TOKEN}"
    world.start()
    assert world.sched("run", "backup", "--wait").returncode == 1
    world.until(lambda: to.messages(phone) and desk.exists(), "the failure is told")
    flag.write_text("there\n")
    world.sched("run", "backup", "--wait")
    world.until(lambda: len(to.messages(phone)) == 2, "the recovery is told")
    world.sched("run", "backup", "--wait")
    world.until(lambda: len(to.messages(phone)) == 3, "the success is told")
    world.until(lambda: len(to.at("/check/u-1")) == 2, "the check is pinged")
    world.stop()
    failure, recovery, success = to.messages(phone)
    assert failure["title"] == "❌ backup failed"
    assert "No such file" in failure["message"]
    assert failure["type"] == "failure"
    assert recovery["title"].startswith("✅ backup works again; it failed once since ")
    assert success["title"] == "✅ backup"
    assert "saved with [masked]" in success["message"]
    assert "obsidian://open?vault=vault&file=00_system%2Ftasks%2Fbackup" in success["message"]
    assert desk.read_text().startswith("failure|❌ backup failed|exit 1: cat:")
    assert "❌ backup failed\n\nexit 1: cat:" in desk.read_text()
    assert len(to.at("/check/u-1/start")) == 3
    assert [body.startswith("exit 1: cat:") for body in to.at("/check/u-1/fail")] == [True]
    assert to.at("/alive") == [""]
    assert SECRET not in str(to.arrived)
    written = everywhere(world)
    assert SECRET.encode() not in written
    assert TOKEN.encode() not in written


def bad_receivers_change_nothing(world: World, to: Receivers) -> None:
    """One that refuses, one that answers 500, one that hangs: the run stays what it was, the good one is told."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refusing = nobody.getsockname()[1]
    base = f"json://127.0.0.1:{to.port}"
    configure(
        world,
        good=f"{base}/good",
        refuses=f"json://127.0.0.1:{refusing}/{TOKEN}",
        fails=f"{base}/500/{TOKEN}",
        hangs=f"{base}/hang",
        stuck=["/bin/sh", "-c", f"sleep 600; echo {world.folder}"],
    )
    world.note("backup", f"type: command\ncommand: exit 3\n{NEVER}")
    world.start()
    assert world.sched("run", "backup", "--wait").returncode == 1
    world.until(lambda: to.messages("/good") and to.at("/hang") and to.at(f"/500/{TOKEN}"), "all were asked")
    world.until(lambda: "notifier fails" in world.told() and "notifier refuses" in world.told(), "the daemon says so")
    world.until(lambda: "[!failure]" in (world.tasks / "backup.md").read_text(), "the result is in the note")
    status = world.sched("status")
    assert status.returncode == 1
    assert "fails cannot be told: " in status.stdout
    assert "error=500" in status.stdout
    assert TOKEN not in status.stdout + world.told()
    world.stop(timeout_s=10)  # one that hangs is not waited for
    world.until(lambda: not alive_below(world.folder, "sleep 600; echo"), "what was on its way is ended")
    assert [run["outcome"] for run in world.runs("backup")] == ["failure"]
    to.hanging = False
    configure(world, good=f"{base}/good", refuses=f"{base}/again", fails=f"{base}/mended", hangs=f"{base}/hang")
    let_time_go_by(world)
    world.start()
    world.until(lambda: to.messages("/again") and to.messages("/mended") and len(to.at("/hang")) == 2, "all were told")
    world.until(lambda: not world.rows("SELECT 1 FROM outbox WHERE done_at IS NULL"), "nothing is left")
    world.stop()
    assert [len(to.at(path)) for path in ("/good", "/again", "/mended", "/hang")] == [1, 1, 1, 2]


def a_kill_loses_no_message(world: World, to: Receivers) -> None:
    """kill -9 while a message is on its way: it comes once more, and then never again."""
    configure(world, phone=f"json://127.0.0.1:{to.port}/hang/phone")
    world.note("backup", f"type: command\ncommand: exit 3\n{NEVER}")
    world.start()
    world.sched("run", "backup", "--wait")
    world.until(lambda: to.at("/hang/phone"), "the message is on its way")
    world.kill()
    to.hanging = False
    let_time_go_by(world)
    world.start()
    world.until(lambda: not world.rows("SELECT 1 FROM outbox WHERE done_at IS NULL"), "it was sent")
    world.stop()
    assert len(to.at("/hang/phone")) == 2
    world.start()
    world.sched("run", "backup", "--wait")
    world.delivered()
    world.stop()
    assert len(to.at("/hang/phone")) == 2


def one_look_tells_before_it_ends(world: World, to: Receivers) -> None:
    """`daemon --once` does not end before what failed has been told; a program that fails is told with its words."""
    broken = ["/bin/sh", "-c", f"echo cannot reach {TOKEN}; exit 4", TOKEN]
    configure(world, phone=f"json://127.0.0.1:{to.port}/phone", broken=broken)
    world.settings.write_text(
        world.settings.read_text().replace(
            "note_quiet", f"daemon_ping_url: http://127.0.0.1:{to.port}/alive\nnote_quiet"
        )
    )
    world.note("backup", f"type: command\ncommand: exit 3\nrun_now: true\n{NEVER}")
    world.start("--once", wait=False)
    assert world.daemon is not None
    world.daemon.wait(PATIENCE_S)
    assert [message["title"] for message in to.messages("/phone")] == ["❌ backup failed"]
    assert to.at("/alive") == [""]
    assert "broken cannot be told: exit 4: cannot reach ***" in world.told()


def test_messages_to_try_out_name_what_fails(world: World) -> None:
    """`doctor --notify` and `init --test-notification` send one to each, and say what came of it."""
    with receivers() as to:
        configure(world, phone=f"json://127.0.0.1:{to.port}/phone", wrong=f"json://127.0.0.1:{to.port}/500/{TOKEN}")
        doctor = world.sched("doctor", "--notify")
        assert "✓ notify" in doctor.stdout
        assert "phone took a test message" in doctor.stdout
        assert "wrong did not take a test message: " in doctor.stdout
        assert doctor.returncode == 1
        init = world.sched("init", "--no-claude", "--test-notification")
        assert init.returncode == 1
        assert "phone took a test message" in init.stdout
        assert TOKEN not in doctor.stdout + init.stdout
        assert [message["title"] for message in to.messages("/phone")] == ["✅ vault-sched"] * 2


def test_what_is_open_is_listed_and_silenced(world: World) -> None:
    """`ack` shows what is open; with a name, or --all, it is silent until it ends."""
    with receivers() as to:
        configure(world, phone=f"json://127.0.0.1:{to.port}/phone")
        world.note("backup", f"type: command\ncommand: exit 3\n{NEVER}")
        assert world.sched("ack").stdout == "Nothing is open.\n"
        world.start()
        world.sched("run", "backup", "--wait")
        world.until(lambda: to.messages("/phone"), "the failure is told")
        listed = world.sched("ack").stdout
        assert "backup · failure · 1 × since " in listed
        assert "\n  exit 3\n" in listed
        assert world.sched("ack", "backup").stdout == "backup: failure, silent until it has ended\n"
        [open_] = json.loads(world.sched("ack", "--json").stdout)
        assert (open_["about"], open_["topic"], open_["silenced"]) == ("backup", "failure", True)
        assert "silenced already" in world.sched("ack", "--all").stdout
        assert world.sched("ack", "nosuch").returncode == 2
        world.stop()


def told(scene: Callable[[World, Receivers], None]) -> Scene:
    """The scene with receivers of its own."""

    def play(world: World) -> None:
        with receivers() as to:
            scene(world, to)

    return partial(play)


SCENES: list[Scene] = [
    told(each_kind_arrives),
    told(bad_receivers_change_nothing),
    told(a_kill_loses_no_message),
    told(one_look_tells_before_it_ends),
]


@pytest.mark.parametrize("number", range(len(SCENES)))
def test_the_daemon_tells_people(play: Callable[[Scene], None], number: int) -> None:
    """Each scene as its docstring says."""
    play(SCENES[number])
