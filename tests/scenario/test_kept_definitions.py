"""What notes were read as is kept for the next daemon, and is never believed where the note may say something else."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.ledger.kept import Definition, kept_definitions
from vault_scheduler.task import CommandAction
from vault_scheduler.testing_world import World

NEVER = 'cron: "0 0 29 2 *"'


@pytest.fixture
def later(make_world: Callable[..., World]) -> World:
    """A world an hour from now: its files were changed long ago by their change time, too, which nobody can set."""
    return make_world(now=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))


@contextmanager
def _rows(world: World) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(world.definitions_path)) as db:
        yield db
        db.commit()


def _serve(world: World) -> None:
    world.have_served()
    world.clock.advance(60)


def _kept(world: World) -> dict[str, Definition]:
    """Of task notes."""
    found = kept_definitions(world.definitions_path)
    return {path: kept for path, kept in found.items() if "/tasks/" in path}


def _command(world: World, task: str) -> object:
    tracked = world.daemon.tracked(task)
    assert tracked is not None
    assert isinstance(tracked.task.action, CommandAction)
    return tracked.task.action.command


def _forge(world: World, old: str, new: str) -> None:
    """As a former daemon that read something else in these very files."""
    found = list(_kept(world).values())
    with _rows(world) as db:
        for row in found:
            said, source = row.said.replace(old, new), row.source.replace(old, new)
            forged = Definition(row.path, row.stamp, row.digest, row.context, said, source)
            db.execute(
                "UPDATE definitions SET said = ?, source = ?, proof = ? WHERE path = ?",
                (said, source, forged.proof, row.path),
            )


def test_an_unchanged_note_is_not_read_again(later: World) -> None:
    """The next daemon goes by what is kept: here by what a forger has put there."""
    later.command("a", NEVER)
    _serve(later)
    _forge(later, "echo a", "echo forged")
    later.start()
    assert _command(later, "a") == "echo forged"


@pytest.mark.parametrize("restored", [False, True], ids=["", "size and mtime restored"])
def test_a_changed_note_is_read(later: World, restored: bool) -> None:
    """However it is made to look: the change time cannot be set."""
    path = later.command("a", NEVER)
    _serve(later)
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"echo a", b"echo b"))
    if restored:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    later.start()
    later.advance(60)
    assert _command(later, "a") == "echo b"


def test_another_file_in_its_place_is_read(later: World) -> None:
    """A note that was exchanged for one of the same size and times is another file."""
    path, other = later.command("a", NEVER), later.command("b", NEVER)
    _serve(later)
    other.write_bytes(path.read_bytes().replace(b"echo a", b"echo c"))
    before = path.stat()
    other.replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    later.start()
    assert _command(later, "a") == "echo c"


def test_a_note_that_was_changed_just_now_is_not_kept(world: World) -> None:
    """Two changes within one step of the file system's clock would look alike."""
    world.command("a", NEVER, age_s=3600)  # but its change time is that of the test, which is later than this world's
    _serve(world)
    assert _kept(world) == {}


def test_a_note_that_was_young_when_it_was_read_is_kept_later(make_world: Callable[..., World]) -> None:
    """A daemon that goes on reads it once more when it has been left alone; it need not start anew for that."""
    world = make_world(now=datetime.now(UTC).replace(microsecond=0))
    note = world.command("a", f"{NEVER}\nnext_run: 2028-02-29T00:00:00")  # nobody needs to write into it
    before = note.read_bytes()
    world.start()
    assert _kept(world) == {}
    world.advance(90)
    assert note.read_bytes() == before
    assert len(_kept(world)) == 1


def _garble(world: World) -> None:
    world.definitions_path.write_bytes(b"garbage" * 1000)


def _truncate(world: World) -> None:
    world.definitions_path.write_bytes(world.definitions_path.read_bytes()[:5000])


def _other_version(world: World) -> None:
    _forge(world, "echo a", "echo forged")
    with _rows(world) as db:
        db.execute("UPDATE meta SET value = 'another version' WHERE key = 'mark'")


def _no_proof(world: World) -> None:
    with _rows(world) as db:
        db.execute("UPDATE definitions SET said = replace(said, 'echo a', 'echo x')")


def _no_json(world: World) -> None:
    row = _kept(world)["00_system/tasks/a.md"]
    bad = Definition(row.path, row.stamp, row.digest, row.context, row.said[:-5], row.source)
    with _rows(world) as db:
        db.execute("UPDATE definitions SET said = ?, proof = ?", (bad.said, bad.proof))


def _no_text(world: World) -> None:
    with _rows(world) as db:
        db.execute("UPDATE definitions SET digest = 5, said = X'00ff'")


def _newer_schema(world: World) -> None:
    _forge(world, "echo a", "echo forged")
    with _rows(world) as db:
        db.execute("PRAGMA user_version = 99")


def _removed(world: World) -> None:
    world.definitions_path.unlink()


def _stale_journal(world: World) -> None:
    world.definitions_path.unlink()
    Path(f"{world.definitions_path}-wal").write_bytes(b"x" * 5000)


DAMAGES = [_garble, _truncate, _other_version, _no_proof, _no_json, _no_text, _newer_schema, _removed, _stale_journal]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_trusted_is_not_there(later: World, damage: Callable[[World], None]) -> None:
    """Then the notes are read, nothing is told of it, and they are kept anew."""
    later.command("a", NEVER)
    _serve(later)
    assert list(_kept(later)) == ["00_system/tasks/a.md"]
    damage(later)
    later.start()
    assert _command(later, "a") == "echo a"
    assert [told for told in later.told if told[0] == "problem"] == []
    later.stop()
    assert "echo a" in json.loads(_kept(later)["00_system/tasks/a.md"].source)["mapping"]["command"]


def test_something_that_is_no_file_in_its_place_costs_only_the_reading(later: World) -> None:
    """It is left alone, and the daemon serves without keeping anything."""
    later.definitions_path.mkdir()
    (later.definitions_path / "mine").write_text("x")
    later.command("a", NEVER)
    later.start()
    assert _command(later, "a") == "echo a"
    assert (later.definitions_path / "mine").read_text() == "x"


def test_a_file_that_is_deleted_under_the_daemon_harms_nothing(later: World) -> None:
    """It is derived: whoever deletes it loses only time."""
    later.command("a", "every: 1m")
    later.start()
    later.definitions_path.unlink()
    later.advance(180)
    assert later.history("a")[-1].endswith("success")
    later.restart(after_s=60)
    assert _command(later, "a") == "echo a"


def test_another_zone_is_another_reading(later: World) -> None:
    """What a note means depends on the zone of the settings note, which may change while no daemon runs."""
    later.command("a", 'cron: "0 7 * * *"')
    _serve(later)
    later.write_settings("status: active\nhost: here\ntimezone: Asia/Tokyo\n", age_s=3600)
    later.start()
    tracked = later.daemon.tracked("a")
    assert tracked is not None
    assert tracked.task.timezone == "Asia/Tokyo"


def test_copies_and_ids_are_judged_among_all_notes(later: World) -> None:
    """A copy that came while nobody looked is a problem beside notes that are not read again."""
    original = later.command("a", NEVER)
    _serve(later)
    later.put("a 1", original.read_bytes(), age_s=3600)
    later.command("b", f"{NEVER}\nid: a")
    later.start()
    found = {problem.path.rpartition("/")[2]: problem.message for problem in later.survey.problems()}
    assert "looks like a copy" in found["a 1.md"]
    assert "belongs to" in found["b.md"]
    later.restart()
    assert len(later.survey.problems()) == 2


def test_a_note_with_a_problem_is_read_each_time(later: World) -> None:
    """So its problem is told each time, and nothing is kept of what it said when it was good."""
    later.command("a", NEVER)
    later.start()
    later.edit("a", "0 0 29 2", "0 0 99 2")
    later.advance(120)
    later.stop()
    assert _kept(later) == {}
    later.clock.advance(120)
    later.start()
    assert [problem.key for problem in later.survey.problems()] == ["cron"]


def test_what_the_daemon_wrote_itself_is_kept_as_it_stands(later: World) -> None:
    """A run's result in the note changes its file, and not what it declares."""
    later.command("a", "every: 1m")
    later.start()
    later.advance(300)
    later.stop()
    assert "## Runs" in later.text("a")
    later.edit("a", "every: 1m", "every: 1m\nstatus: paused")
    later.clock.advance(3600)
    _serve(later)
    kept = _kept(later)["00_system/tasks/a.md"]
    assert json.loads(kept.source)["mapping"]["last_status"] == "success"
    found = later.path("a").stat()
    assert kept.stamp == f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


@pytest.mark.parametrize("is_lost", [False, True], ids=["", "the ledger too"])
def test_a_note_that_has_gone_is_forgotten(later: World, is_lost: bool) -> None:
    """Whether or not a daemon saw it go, and whether or not anything else remembers it."""
    later.command("a", NEVER)
    later.command("b", NEVER.replace("29", "28"))
    _serve(later)
    assert len(_kept(later)) == 2
    later.path("b").unlink()
    if is_lost:
        (later.state_folder / "ledger.db").unlink()
    _serve(later)
    assert list(_kept(later)) == ["00_system/tasks/a.md"]
