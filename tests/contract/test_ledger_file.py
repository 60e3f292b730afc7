"""The ledger as a file: who may read it, what happens when it is damaged, swapped, newer, or used by two."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.errors import LedgerCorrupt, LedgerTooNew, LedgerUnavailable
from vault_scheduler.ledger.mending import mend
from vault_scheduler.ledger.migrations import Migration
from vault_scheduler.ledger.schema import MIGRATIONS
from vault_scheduler.ledger.sqlite_file import SqliteFile
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import Batch, Claim, TaskRow
from vault_scheduler.run import Outcome, Run, RunState, TriggerKind, fire_key, run_id

T = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


def a_run() -> Run:
    key = fire_key("a", T)
    return Run(id=run_id(key, T), key=key, task="a", path="a.md", trigger=TriggerKind.AT, fire_time=T, claimed_at=T)


async def opened(path: Path, *, serving: bool = True, version: str = "0.1", owner: str = "d1") -> SqliteStore:
    return await SqliteStore.open(path, version=version, owner=owner, serving=serving)


async def test_the_ledger_is_private(path: Path) -> None:
    """Results can be personal: nobody else may read the folder or any of its files."""
    store = await opened(path)
    await store.set_meta("a", "b")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(part.stat().st_mode) for part in path.parent.iterdir()} == {0o600}
    assert await store.size() > 0
    await store.close()


async def test_what_was_saved_is_there_after_opening_again(path: Path) -> None:
    """Closing and opening changes nothing; only the first opening is of a new ledger."""
    store = await opened(path)
    assert store.is_new
    await store.set_meta("a", "b")
    await store.close()
    store = await opened(path)
    assert not store.is_new
    assert await store.get_meta("a") == "b"
    await store.close()


async def test_a_newer_ledger_is_refused_with_the_version_that_wrote_it(path: Path) -> None:
    """An older program must not write into a schema that it does not know."""
    store = await opened(path, version="7.3")
    await store.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(LedgerTooNew, match=r"7\.3") as refusal:
        await opened(path)
    assert refusal.value.version == "7.3"
    assert path.read_bytes() == before


def _older(path: Path) -> None:
    """A ledger of the first schema, as the version that began with it wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript((Path(__file__).parent / "ledger-of-schema-1.sql").read_text())


async def test_a_ledger_of_the_first_schema_is_brought_up_to_date_with_all_that_it_knows(path: Path) -> None:
    """Runs, watermarks, latches, pending deliveries and requests go on; the file says who wrote it now."""
    _older(path)
    store = await opened(path, version="9.9")
    assert store.notices == ()
    assert not store.is_new
    (waiting,) = await store.active()
    assert (waiting.task, waiting.state, waiting.waiting_for) == ("report", RunState.WAITING, "retry")
    assert [run.outcome for run in await store.history()] == [None, Outcome.SUCCESS, Outcome.MISSED]
    rows = await store.task_rows()
    assert rows["report"].watermark == T
    assert rows["report"].latched
    assert [delivery.target for delivery in await store.pending_deliveries()] == ["daily_log"]
    assert await store.get_meta("written_by") == "9.9"
    await store.set_meta("a", "b")
    await store.close()
    assert (await _schema(path)) == len(MIGRATIONS)


async def test_who_only_looks_changes_no_schema(path: Path) -> None:
    """A command of a new version must not give the ledger a schema that the daemon of the old one does not know."""
    _older(path)
    before = [*_statements(path)]
    store = await SqliteStore.look(path, version="9.9")
    assert await store.incidents() == []  # a table that came later
    assert len(await store.history()) == 3
    await store.close()
    asking = await opened(path, serving=False)
    await asking.add_request("cancel", "report", {}, T)
    await asking.close()
    assert [*_statements(path)] == before
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT verb FROM requests").fetchall() == [("cancel",)]


async def _schema(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def _statements(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as db:
        yield from (str(row[0]) for row in db.execute("SELECT sql FROM sqlite_master ORDER BY name"))
        yield str(db.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize(
    "damage",
    [
        b"this is not a database, and long enough to be one's header" * 50,  # another file altogether
        b"SQLite format 3\x00" + b"\xff" * 8000,  # garbage behind a good beginning
    ],
)
async def test_a_damaged_ledger_is_set_aside_and_a_new_one_begun(path: Path, damage: bytes) -> None:
    """The daemon goes on, the damaged file is kept whole, and it is told."""
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    store = await opened(path)
    await store.set_meta("a", "b")
    [aside] = path.parent.glob("ledger-corrupt-*.db")
    assert aside.read_bytes() == damage
    assert aside.name in store.notices[0]
    assert store.is_new
    await store.close()


async def test_a_ledger_with_a_broken_page_is_found_when_the_daemon_starts(path: Path) -> None:
    """Damage behind an intact header counts, too."""
    store = await opened(path)
    await store.save(Batch(snapshots={f"h{n}": "x" * 2000 for n in range(50)}))
    await store.close()
    data = bytearray(path.read_bytes())
    data[4096 * 20 : 4096 * 24] = b"\xa5" * 4096 * 4
    path.write_bytes(data)
    store = await opened(path)
    assert "damaged" in store.notices[0]
    await store.close()


async def test_two_damaged_ledgers_of_one_second_are_both_kept(path: Path) -> None:
    """Setting aside never overwrites what was set aside before."""
    path.parent.mkdir(parents=True)
    for _ in range(2):
        path.write_bytes(b"no database" * 500)
        await (await opened(path)).close()
    assert 1 <= len(list(path.parent.glob("ledger-corrupt-*.db"))) == 2


async def test_who_only_looks_does_not_move_a_damaged_ledger(path: Path) -> None:
    """A command must not take the file from under a daemon that holds it open."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 500)
    with pytest.raises(LedgerCorrupt, match="daemon"):
        await opened(path, serving=False)
    assert [part.name for part in path.parent.iterdir()] == ["ledger.db"]


async def test_a_ledger_that_vanished_or_was_swapped_is_noticed(path: Path, tmp_path: Path) -> None:
    """Else the daemon would go on writing into an unlinked file while others open a fresh one."""
    store = await opened(path)
    assert await store.check() is None
    path.rename(tmp_path / "gone.db")
    assert await store.check() == "missing"
    other = await opened(path)
    assert await store.check() == "replaced"
    assert await other.check() is None
    await store.close()
    await other.close()


async def test_the_journal_of_a_deleted_ledger_is_not_played_into_the_new_one(path: Path, tmp_path: Path) -> None:
    """After a crash somebody deletes only ledger.db: its journal must neither come back nor damage anything."""
    store = await opened(path)
    await store.save(Batch(meta={"a": "b"}, snapshots={"h": "x" * 50_000}))
    crashed = tmp_path / "crashed"
    shutil.copytree(path.parent, crashed)
    await store.close()
    (crashed / "ledger.db").unlink()
    assert (crashed / "ledger.db-wal").stat().st_size > 50_000
    with pytest.raises(LedgerUnavailable, match="journal"):
        await opened(crashed / "ledger.db", serving=False)
    fresh = await opened(crashed / "ledger.db")
    assert await fresh.integrity() == "ok"
    assert await fresh.get_meta("a") is None
    assert await fresh.snapshot("h") is None
    await fresh.close()


async def test_a_ledger_that_a_newer_version_took_over_is_noticed(path: Path) -> None:
    """A daemon that is older than the schema by now has to stop."""
    store = await opened(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    db.close()
    assert await store.check() == "newer"
    await store.close()


async def test_claims_and_starts_are_on_the_disk_when_they_are_acknowledged(path: Path) -> None:
    """They are committed with synchronous=FULL (2); small marks, which can be made again, are not."""
    store = await opened(path)

    def synchronous() -> int:
        row = store._file.one("PRAGMA synchronous")
        return int(row[0]) if row else -1

    await store.set_meta("a", "b")
    assert synchronous() == 1
    await store.save(Batch(claims=(Claim(run=a_run()),)))
    assert synchronous() == 2
    await store.set_meta("a", "c")
    await store.begin_attempt(a_run().id, 1, T)
    assert synchronous() == 2
    await store.close()


async def test_two_processes_cannot_claim_one_key(path: Path) -> None:
    """Whoever commits first has it."""
    first, second = await opened(path, owner="d1"), await opened(path, owner="d2")
    key = fire_key("a", T)
    run = Run(id=run_id(key, T), key=key, task="a", path="a.md", trigger=TriggerKind.AT, fire_time=T, claimed_at=T)
    batch = Batch(claims=(Claim(run=run),))
    assert (len(await first.save(batch)), len(await second.save(batch))) == (1, 0)
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute("SELECT owner FROM runs").fetchall() == [("d1",)]
    db.close()
    await first.close()
    await second.close()


async def test_a_locked_ledger_is_an_error_of_ours_and_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody above the store needs to know SQLite's exceptions; afterwards it works again."""
    monkeypatch.setattr("vault_scheduler.ledger.sqlite_file._BUSY_TIMEOUT_S", 0.05)
    store = await opened(path)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable, match="locked"):
        await store.set_meta("a", "b")
    assert await store.get_meta("a") is None  # reading goes on
    blocker.execute("ROLLBACK")
    blocker.close()
    await store.set_meta("a", "b")
    assert await store.get_meta("a") == "b"
    await store.close()


async def test_a_full_disk_is_an_error_of_ours_and_leaves_the_ledger_whole(path: Path) -> None:
    """A write that does not fit is undone, and the next one that fits goes through."""
    store = await opened(path)
    pages = store._file.one("PRAGMA page_count")
    assert pages is not None
    store._file.one(f"PRAGMA max_page_count={pages[0] + 2}")
    with pytest.raises(LedgerUnavailable, match="full"):
        await store.save(Batch(snapshots={"big": "x" * 100_000}))
    assert await store.snapshot("big") is None
    await store.save(Batch(snapshots={"small": "x"}))
    assert await store.integrity() == "ok"
    await store.close()


async def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    """The message names the ledger."""
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(LedgerUnavailable, match=r"ledger\.db"):
        await opened(tmp_path / "state" / "ledger.db")


def _broken(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE half (a)")
    raise RuntimeError("power cut")


def _add_column(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE tasks ADD COLUMN colour TEXT")


def test_migrations_are_applied_in_order_and_once(path: Path) -> None:
    """An older ledger gets what is missing and keeps its rows."""
    store = asyncio.run(opened(path))
    asyncio.run(store.set_meta("a", "b"))
    asyncio.run(store.close())
    newer: Sequence[Migration] = (*MIGRATIONS, _add_column)
    for _ in range(2):
        file = SqliteFile.open(path, newer, version="0.2")
        assert file.one("SELECT value FROM meta WHERE key = 'a'") is not None
        assert [row["name"] for row in file.rows("PRAGMA table_info(tasks)")][-1] == "colour"
        file.close()
    with pytest.raises(LedgerTooNew, match=r"0\.2"):
        asyncio.run(opened(path))


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(path: Path) -> None:
    """All or nothing: the older version can go on with it."""
    asyncio.run(asyncio.run(opened(path)).close())
    with pytest.raises(RuntimeError, match="power cut"):
        SqliteFile.open(path, (*MIGRATIONS, _broken), version="0.2")
    store = asyncio.run(opened(path))
    assert store._file.one("SELECT 1 FROM sqlite_master WHERE name = 'half'") is None
    asyncio.run(store.close())


def test_a_ledger_of_the_first_schema_keeps_its_tasks_and_knows_how_often_they_started(path: Path) -> None:
    """`max_runs` counts runs of before, too, but not those that were asked for or never started."""
    file = SqliteFile.open(path, MIGRATIONS[:1], version="0.1")
    with file.write(durable=True) as change:
        change.run("INSERT INTO tasks VALUES ('a', 'a.md', 'f', 1, 1700000000.0, 0, NULL, '{}', 'd')")
        for number, (trigger, attempts) in enumerate([("at", 1), ("at", 2), ("at", 0), ("req", 1)]):
            change.run(
                "INSERT INTO runs (id, key, task, path, trigger, fire_time, last_fire_time, count, claimed_at, owner, "
                "state, snapshot, waiting_for, reason, attempts, reserved_usd, extra) VALUES "
                "(?, ?, 'a', 'a.md', ?, 1, 1, 1, 1, 'd1', 'ended', '', '', '', ?, 0, '{}')",
                f"r{number}",
                f"k{number}",
                trigger,
                attempts,
            )
    file.close()
    store = asyncio.run(opened(path))
    row = asyncio.run(store.task_rows())["a"]
    assert (row.started, row.fingerprint, row.fires) == (2, "f", True)
    assert len(asyncio.run(store.history())) == 4
    asyncio.run(store.close())


# --- what a damaged, deleted or replaced ledger held


async def filled(path: Path, runs: int = 400) -> SqliteStore:
    """A ledger with so many runs of one task, each with a page of its own text."""
    store = await opened(path)
    task = TaskRow(task="a", path="a.md", fingerprint="f", fires=True, watermark=T, latched=False, seen_definition="d")
    claims = []
    for number in range(runs):
        fire = T + timedelta(seconds=number)
        key = fire_key("a", fire)
        claims.append(
            Claim(
                run=Run(
                    id=run_id(key, fire),
                    key=key,
                    task="a",
                    path="a.md",
                    trigger=TriggerKind.AT,
                    fire_time=fire,
                    claimed_at=fire,
                    snapshot=f"h{number % 7}",
                    reason="x" * 900,
                )
            )
        )
    snapshots = {f"h{number}": "{}" for number in range(7)}
    await store.save(Batch(claims=tuple(claims), tasks=(task,), snapshots=snapshots, meta={"a": "b"}))
    return store


def spoil_rows(path: Path, text: bytes) -> None:
    """Overwrite the header of a page in the middle of those that hold this text."""
    data = bytearray(path.read_bytes())
    found = [start for start in range(0, len(data), 4096) if data[start : start + 4096].count(text * 100)]
    middle = found[len(found) // 2]
    data[middle : middle + 8] = b"\xa5" * 8
    path.write_bytes(data)


async def test_what_can_be_read_of_a_damaged_ledger_is_carried_over(path: Path) -> None:
    """One page is gone: the runs before and behind it, the tasks and the facts are all in the new ledger."""
    await (await filled(path)).close()
    spoil_rows(path, b"x")
    store = await opened(path)
    assert "was damaged" in store.notices[0]
    runs = await store.history(limit=1000)
    assert 380 < len(runs) < 400
    assert runs == sorted(runs, key=lambda run: run.fire_time, reverse=True)
    assert (await store.task_rows())["a"].watermark == T
    assert await store.get_meta("a") == "b"
    assert await store.integrity() == "ok"
    await store.close()


async def test_runs_whose_definition_was_lost_end_and_are_told(path: Path) -> None:
    """Nobody knows what they were to run; an attempt that was under way is still looked for."""
    store = await filled(path, 14)
    going = (await store.active())[1].id
    await store.begin_attempt(going, 1, T)
    await store.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM snapshots WHERE hash = 'h0'")
        db.execute("DELETE FROM attempts")
    db.close()
    mend_file(path)
    store = await opened(path)
    ended = [run for run in await store.history() if run.outcome is not None]
    assert {(run.snapshot, run.outcome) for run in ended} == {("h0", Outcome.ABANDONED)}
    assert len(await store.pending_deliveries()) == 2 * len(ended) == 4
    assert [attempt.state for attempt in await store.attempts(going)] == [RunState.STARTING]
    await store.close()


async def test_rows_that_cannot_be_ours_are_dropped(path: Path) -> None:
    """A page may hold anything: what does not read as a run is no run, and what belonged to it goes, too."""
    await (await filled(path, 3)).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE runs SET state = 'rubbish' WHERE seq = 1")
        db.execute("UPDATE runs SET extra = '{' WHERE seq = 2")
        db.execute("UPDATE tasks SET watermark = 'long ago'")
        db.execute("INSERT INTO deliveries (run, target) SELECT id, 'note' FROM runs")
    db.close()
    mend_file(path)
    store = await opened(path)
    assert len(await store.history()) == 1
    assert len(await store.pending_deliveries()) == 1
    assert await store.task_rows() == {}
    await store.close()


def mend_file(path: Path) -> None:
    file = SqliteFile.open(path, MIGRATIONS, version="0.1")
    mend(file)
    file.close()


@pytest.mark.parametrize("by", ["", "an empty one", "an older copy", "garbage"])
async def test_a_ledger_that_was_taken_away_is_put_back_as_it_is_held_open(path: Path, tmp_path: Path, by: str) -> None:
    """Nothing is lost, and what an older copy says of the same runs counts no more."""
    store = await filled(path, 30)
    shutil.copytree(path.parent, tmp_path / "copy")
    await store.finish((await store.active())[0].id, Outcome.SKIPPED, None, "why", T)
    for part in path.parent.iterdir():
        part.unlink()
    if by == "an empty one":
        other = await opened(path, owner="other")
        await other.add_request("run", "a", {}, T)
        await other.close()
    elif by == "an older copy":
        shutil.copytree(tmp_path / "copy", path.parent, dirs_exist_ok=True)
    elif by == "garbage":
        path.write_bytes(b"no database" * 500)
    assert await store.check() in ("missing", "replaced")
    await store.reattach()
    assert await store.check() is None
    assert len(await store.active()) == 29
    assert len(await store.claim_requests(T)) == (1 if by == "an empty one" else 0)
    await store.set_meta("c", "d")
    await store.close()
    store = await opened(path)
    assert store.notices == ()
    assert len(await store.history()) == 30
    assert await store.get_meta("c") == "d"
    await store.close()


async def test_who_waits_in_the_middle_of_a_transaction_is_found_out(path: Path) -> None:
    """Another task's write would be a part of it, and its look would see what may be undone: both are refused."""
    store = await opened(path)
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def misuse() -> None:
        with store.together():
            await store.set_meta("mine", "1")
            waiting.set()
            await go_on.wait()
            await store.set_meta("mine", "2")

    misusing = asyncio.create_task(misuse())
    await waiting.wait()
    with pytest.raises(RuntimeError, match="in the middle of a transaction"):
        await store.set_meta("other", "1")
    with pytest.raises(RuntimeError, match="in the middle of a transaction"):
        await store.get_meta("mine")
    go_on.set()
    await misusing
    assert (await store.get_meta("mine"), await store.get_meta("other")) == ("2", None)
    await store.close()
