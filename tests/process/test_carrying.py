"""`state export` and `state import`: what a machine knows of a vault goes to another one, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import stat
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.conftest import PATIENCE_S, wait_until
from vault_scheduler.commands import carrying
from vault_scheduler.commands.carrying import Imported
from vault_scheduler.errors import LedgerTooNew, Refused
from vault_scheduler.ledger.schema import MIGRATIONS
from vault_scheduler.machine.place import Place

if TYPE_CHECKING:
    from tests.process.conftest import World

BODY = "```sh\necho hello from a\n```\n"
NEVER = 'type: command\ncron: "0 0 29 2 *"  # never by itself\nstatus: active'


@dataclass(frozen=True)
class Export:
    """An archive of a vault in which a task has run once, made while its daemon ran."""

    data: bytes
    history: list[dict[str, object]]


_MADE: list[Export] = []


@pytest.fixture
def export(world: World, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Made once: it takes a daemon and a run."""
    if not _MADE:
        _MADE.append(_export(type(world)(tmp_path_factory.mktemp("other"))))
    return _MADE[0]


def _export(world: World) -> Export:
    world.note("a", NEVER, BODY)
    world.start()
    try:
        assert world.sched("run", "a", "--wait").returncode == 0
        wait_until(lambda: _history(world)[0]["delivered"], "the run stands in its note")
        target = world.folder / "carried.zip"
        done = world.sched("state", "export", str(target))
        assert done.returncode == 0, done.stderr
        assert "1 run, approvals and spend, last good notes, 1 file of outputs" in done.stdout
        assert "vault-sched host take" in done.stdout
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        again = world.sched("state", "export", str(target))
        assert (again.returncode, "is there already" in again.stderr) == (2, True)
        slim = world.folder / "slim.zip"
        assert "0 files" in world.sched("state", "export", str(slim), "--without-outputs").stdout
        assert not [path for path in world.state.iterdir() if path.name.startswith(".export")]
        return Export(data=target.read_bytes(), history=_history(world))
    finally:
        world.stop()


def _history(world: World) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(world.sched("history", "--json").stdout)
    return found


@pytest.fixture
def carried(world: World, export: Export) -> Path:
    """The archive, on a machine that has never run the vault."""
    world.note("a", NEVER, BODY)
    target = world.folder / "carried.zip"
    target.write_bytes(export.data)
    return target


@pytest.fixture
def take(world: World, carried: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Imported]:
    """What `state import` does, without a process of its own."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, world.env[name])
    place = Place.open(world.vault, start=world.vault, environ={})
    return lambda: asyncio.run(carrying.take(place, carried, replacing=False, with_approvals=False))


def rows(world: World, file: str, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(world.state / file)) as database, database:
        return list(database.execute(query))


def test_history_outputs_and_notes_go_along_and_nothing_is_caught_up(
    world: World, carried: Path, export: Export
) -> None:
    """The history is what it was, the output can be read, and the daemon starts nothing."""
    started = datetime.now(UTC).timestamp()
    done = world.sched("state", "import", str(carried))
    assert done.returncode == 0, done.stderr
    assert "1 run, spend, last good notes, 1 file of outputs" in done.stdout
    assert "tasks are taken as they stand here now" in done.stdout
    assert _history(world) == export.history
    assert "hello from a" in world.sched("logs", str(export.history[0]["run"])).stdout
    assert rows(world, "notes.db", "SELECT task FROM kept")
    assert rows(world, "ledger.db", "SELECT min(watermark) FROM tasks")[0][0] >= started - 1
    assert world.start("--once").wait(PATIENCE_S) == 0
    assert _history(world) == export.history


def test_approvals_come_along_only_if_asked_for(world: World, carried: Path) -> None:
    """Trust in a definition is this machine's; what is held, and what was spent, always comes along."""
    with zipfile.ZipFile(carried) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    database = carried.with_name("approvals.db")
    database.write_bytes(files["approvals.db"])
    with closing(sqlite3.connect(database)) as approvals, approvals:
        approvals.execute("INSERT INTO holds VALUES ('b', 'x', 0, 'more rights', '')")
        approvals.execute("INSERT INTO spend VALUES ('r-1', 1, 'b', '2026-11-20', 0.5)")
    files["approvals.db"] = database.read_bytes()
    repack(carried, files)
    for options, pins in ((["--with-approvals"], [("a",)]), (["--replace"], [])):
        done = world.sched("state", "import", str(carried), *options)
        assert "1 task; `vault-sched approve`" in done.stdout, done.stderr
        assert rows(world, "approvals.db", "SELECT task FROM pins") == pins
        assert rows(world, "approvals.db", "SELECT task FROM holds") == [("b",)]
        assert rows(world, "approvals.db", "SELECT usd FROM spend WHERE run = 'r-1'") == [(0.5,)]


def test_a_state_that_is_there_is_set_aside_if_asked_for(world: World, carried: Path) -> None:
    """And never deleted."""
    assert world.sched("state", "import", str(carried)).returncode == 0
    refused = world.sched("state", "import", str(carried))
    assert refused.returncode == 1
    assert "--replace sets it aside" in refused.stderr
    done = world.sched("state", "import", str(carried), "--replace")
    assert done.returncode == 0, done.stderr
    [aside] = world.state.glob("replaced-*")
    assert {path.name for path in aside.iterdir()} >= {"ledger.db", "approvals.db", "notes.db", "runs"}
    assert not list(world.state.glob(".import-*"))


def test_nothing_is_imported_while_a_daemon_runs(world: World, carried: Path) -> None:
    """It would hold on to the old ledger."""
    world.start()
    refused = world.sched("state", "import", str(carried), "--replace")
    assert refused.returncode == 2
    assert "already serves this vault" in refused.stderr


def test_no_run_imports_a_state(world: World, carried: Path) -> None:
    """Approvals in it would be none of a person."""
    world.start()
    world.note("b", NEVER, f'```sh\n{sys.executable} -m vault_scheduler state import "{carried}" --replace\n```\n')
    assert world.sched("run", "b", "--wait").returncode == 1
    assert "`state import` is for people" in world.sched("logs", "b").stdout


def test_runs_that_had_not_ended_end_and_are_charged(world: World, carried: Path) -> None:
    """The other machine may bring them to their end, so they are not tried again; requests are forgotten."""
    change_ledger(
        carried,
        "UPDATE runs SET state = 'running', outcome = NULL, ended_at = NULL, reserved_usd = 0.25",
        "UPDATE attempts SET state = 'running', outcome = NULL, ended_at = NULL",
        "UPDATE requests SET state = 'new'",
    )
    done = world.sched("state", "import", str(carried))
    assert "1 run that had not ended is abandoned" in done.stdout, done.stderr
    assert world.start("--once").wait(PATIENCE_S) == 0
    [run] = json.loads(world.sched("history", "--json").stdout)
    assert (run["outcome"], run["attempts"]) == ("abandoned", 1)
    assert "another machine" in run["reason"]
    assert rows(world, "approvals.db", "SELECT usd FROM spend") == [(0.25,)]


def repack(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def change_ledger(carried: Path, *statements: str) -> None:
    """The archive of somebody who changed the ledger in it."""
    with zipfile.ZipFile(carried) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    database = carried.with_name("ledger.db")
    database.write_bytes(files["ledger.db"])
    with closing(sqlite3.connect(database)) as ledger, ledger:
        for statement in statements:
            ledger.execute(statement)
    ledger.close()
    files["ledger.db"] = database.read_bytes()
    repack(carried, files)


def test_archive_of_an_older_version_is_brought_up_to_date(
    world: World, carried: Path, take: Callable[[], Imported]
) -> None:
    """With its history; the run that waited there has ended."""
    with zipfile.ZipFile(carried) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    older = carried.with_name("older.db")
    fixture = Path(__file__).parents[1] / "contract" / "ledger-of-schema-1.sql"
    with closing(sqlite3.connect(older, isolation_level=None)) as database:
        database.executescript(fixture.read_text())
    repack(carried, {**files, "ledger.db": older.read_bytes()})
    assert take().runs == 3
    outcomes = rows(world, "ledger.db", "SELECT outcome FROM runs ORDER BY fire_time")
    assert outcomes == [("missed",), ("success",), ("skipped",)]
    assert rows(world, "ledger.db", "PRAGMA user_version") == [(len(MIGRATIONS),)]


def added(name: str, data: bytes = b"x", mode: int = stat.S_IFREG | 0o600) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with zipfile.ZipFile(path, "a") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data)

    return spoil


def manifest(**changes: object) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        files["manifest.json"] = json.dumps({**json.loads(files["manifest.json"]), **changes}).encode()
        repack(path, files)

    return spoil


def newer_ledger(path: Path) -> None:
    change_ledger(path, "PRAGMA user_version = 9999", "UPDATE meta SET value = '7.1' WHERE key = 'written_by'")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (added("../../evil.txt"), "which no export writes"),
        (added("/tmp/evil.txt"), "which no export writes"),
        (added("runs/../../evil.txt"), "which no export writes"),
        (added("lock"), "which no export writes"),
        (added("builtin/.hidden.json"), "which no export writes"),
        (added("builtin/x.json", b"/etc/passwd", stat.S_IFLNK | 0o777), "which no export writes"),
        (added("builtin", b"/etc", stat.S_IFLNK | 0o777), "which no export writes"),
        (added("ledger.db"), "holds a name twice"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "damaged"),
        (lambda path: path.write_bytes(b"no archive"), "damaged"),
        (lambda path: change_ledger(path, "CREATE VIEW v AS SELECT 1"), "which is not ours"),
        (
            lambda path: change_ledger(path, "DROP TABLE runs", "CREATE TABLE runs (id)"),
            "not those of its version",
        ),
        (manifest(format=2, version="7.0"), "written by vault-sched 7.0"),
        (newer_ledger, "written by vault-sched 7.1"),
    ],
    ids=[
        *("up", "absolute", "up from a run", "the lock", "hidden", "a link", "a link to a folder", "twice", "cut off"),
        *("no archive", "a view", "another schema", "newer", "newer ledger"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_archive_changes_nothing(
    world: World, carried: Path, take: Callable[[], Imported], spoil: Callable[[Path], None], reason: str
) -> None:
    """Neither the state nor anything outside of it."""
    spoil(carried)
    with pytest.raises((Refused, LedgerTooNew), match=reason):
        take()
    left = [path.name for path in (world.folder / "state").glob("vault-sched/*/*")]
    assert set(left) <= {"lock", "runs"}
    assert not list(world.folder.rglob("evil.txt"))


def test_an_archive_larger_than_the_disk_is_refused(
    world: World, carried: Path, take: Callable[[], Imported], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a byte of it is unpacked, and whatever its list of contents says, no more than that is."""
    added("builtin/zeros.json", b"0" * 2**26)(carried)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**27))
    with pytest.raises(Refused, match="takes 64 MiB"):
        take()
    assert not list((world.folder / "state").rglob("ledger.db"))
    data = bytearray(carried.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24  # its size, as the list of contents tells it
    data[at : at + 4] = (1000).to_bytes(4, "little")
    carried.write_bytes(bytes(data))
    with pytest.raises(Refused, match="damaged"):
        take()
    assert not list((world.folder / "state").rglob("ledger.db"))
