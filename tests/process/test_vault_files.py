"""The vault on a real disk: what is listed, what is read, what is gone."""

from __future__ import annotations

import asyncio
import os
import threading
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.daemon.pen import Pen
from vault_scheduler.errors import NoteRefused, NoteTooBig, NoteUnreadable, VaultNotFound
from vault_scheduler.platform.late_writes import Settled
from vault_scheduler.vault.vault import MAX_TASK_BYTES, Vault, Written, find_vault

NOTE = b"---\ntype: command\n---\nbody\n"
TASKS = "00_system/tasks"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """An empty vault."""
    (tmp_path / "vault" / TASKS).mkdir(parents=True)
    return Vault(tmp_path / "vault")


def put(vault: Vault, rel: str, data: bytes = NOTE) -> Path:
    """A file at a vault-relative path."""
    path = vault.root / rel
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_lists_notes_at_any_depth(vault: Vault) -> None:
    """Every markdown file below tasks, with size, times and inode; nothing else."""
    for rel in ("a.md", "home/b.md", "home/deep/er/c d.md", "notes.txt", "picture.png"):
        put(vault, f"{TASKS}/{rel}")
    put(vault, "00_system/scheduler.md")
    put(vault, "elsewhere.md")
    notes = vault.task_notes()
    assert set(notes) == {f"{TASKS}/a.md", f"{TASKS}/home/b.md", f"{TASKS}/home/deep/er/c d.md"}
    found = (vault.tasks_folder / "a.md").stat()
    stamp = notes[f"{TASKS}/a.md"]
    assert (stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode) == (
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
    )


@pytest.mark.parametrize(
    "rel",
    [
        ".hidden.md",
        ".trash/a.md",
        "home/.stversions/a.md",
        "Templates/a.md",
        "templates/deep/a.md",
        "_template.md",
        "a.sync-conflict-20261122-060000-ABCDEFG.md",
        "a (conflicted copy 2026-11-22 060000).md",
        ".a.md.icloud",
        "a.md~",
        "~a.md",
        "a.bak.md",
    ],
)
def test_never_lists_what_is_never_scheduled(vault: Vault, rel: str) -> None:
    """Hidden files, templates, conflict copies and leftovers of editors, by sweep and by name."""
    put(vault, f"{TASKS}/{rel}")
    put(vault, f"{TASKS}/good.md")
    assert set(vault.task_notes()) == {f"{TASKS}/good.md"}
    assert not vault.is_task_path(f"{TASKS}/{rel}")
    assert vault.is_task_path(f"{TASKS}/good.md")


def test_says_what_it_skipped_and_why(vault: Vault) -> None:
    """A note that somebody may miss is named; hidden files are not."""
    put(vault, f"{TASKS}/a (conflicted copy 2026-11-22 060000).md")
    put(vault, f"{TASKS}/Templates/b.md")
    put(vault, f"{TASKS}/c.MD")
    put(vault, f"{TASKS}/.d.md")
    skipped = vault.sweep().skipped
    assert set(skipped) == {
        f"{TASKS}/a (conflicted copy 2026-11-22 060000).md",
        f"{TASKS}/Templates",
        f"{TASKS}/c.MD",
    }
    assert "lower case" in skipped[f"{TASKS}/c.MD"]


@pytest.mark.parametrize("rel", ["a.md", "00_system/a.md", f"{TASKS}/a.txt", f"{TASKS}.md", f"{TASKS}/../../a.md"])
def test_knows_paths_that_are_no_tasks(vault: Vault, rel: str) -> None:
    """Only markdown below the tasks folder."""
    assert not vault.is_task_path(rel)


def test_compares_names_in_one_unicode_form(vault: Vault) -> None:
    """A name that macOS stored decomposed is one path, and can be read, edited and found again."""
    composed, decomposed = "Tâche é.md", unicodedata.normalize("NFD", "Tâche é.md")
    assert composed != decomposed
    put(vault, f"{TASKS}/{decomposed}")
    folder = unicodedata.normalize("NFD", "Übung")
    put(vault, f"{TASKS}/{folder}/n.md")
    assert set(vault.task_notes()) == {f"{TASKS}/{composed}", f"{TASKS}/Übung/n.md"}
    assert vault.read(f"{TASKS}/{composed}") == NOTE
    assert vault.read(f"{TASKS}/Übung/n.md") == NOTE
    vault.edit(f"{TASKS}/{composed}", lambda data: data + b"x")
    assert (vault.tasks_folder / decomposed).read_bytes() == NOTE + b"x"
    assert not (vault.tasks_folder / composed).exists()
    assert vault.is_task_path(f"{TASKS}/{decomposed}")
    assert vault.rel(vault.tasks_folder / decomposed) == f"{TASKS}/{composed}"


def test_takes_one_of_two_names_that_differ_only_in_unicode_form(vault: Vault) -> None:
    """The composed one is the task, the other is named as skipped, whatever the order on disk."""
    composed, decomposed = "é.md", unicodedata.normalize("NFD", "é.md")
    put(vault, f"{TASKS}/{decomposed}", b"decomposed")
    put(vault, f"{TASKS}/{composed}", b"composed!")
    if len(list(vault.tasks_folder.iterdir())) == 1:
        pytest.skip("this file system knows only one form")
    sweep = vault.sweep()
    assert sweep.notes[f"{TASKS}/{composed}"].size == len(b"composed!")
    assert "Unicode" in sweep.skipped[f"{TASKS}/{composed}"]


def test_survives_names_that_cannot_be_stored(vault: Vault) -> None:
    """A file name that is no UTF-8 is skipped and named in a form that can be written down."""
    bad = os.fsencode(vault.tasks_folder) + b"/bad-\xff.md"
    try:
        with open(bad, "wb") as file:  # noqa: PTH123  # the name is bytes
            file.write(NOTE)
    except OSError:
        pytest.skip("this file system refuses such names")
    put(vault, f"{TASKS}/good.md")
    sweep = vault.sweep()
    assert set(sweep.notes) == {f"{TASKS}/good.md"}
    (name,) = sweep.skipped
    name.encode("utf-8")


def test_follows_links_only_inside_the_vault(vault: Vault, tmp_path: Path) -> None:
    """Notes and folders linked from elsewhere in the vault are tasks; what lies outside is not, nor can it be read."""
    put(vault, "Projects/linked.md")
    put(vault, "Projects/folder/n.md")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.md").write_bytes(b"secret")
    links = {
        "in.md": vault.root / "Projects" / "linked.md",
        "infolder": vault.root / "Projects" / "folder",
        "out.md": tmp_path / "outside" / "secret.md",
        "outfolder": tmp_path / "outside",
        "broken.md": vault.root / "none.md",
    }
    for name, target in links.items():
        (vault.tasks_folder / name).symlink_to(target)
    sweep = vault.sweep()
    assert set(sweep.notes) == {f"{TASKS}/in.md", f"{TASKS}/infolder/n.md"}
    assert set(sweep.skipped) == {f"{TASKS}/out.md", f"{TASKS}/outfolder", f"{TASKS}/broken.md"}
    for rel in ("out.md", "outfolder/secret.md", "../../../outside/secret.md"):
        with pytest.raises(NoteUnreadable, match="outside the vault"):
            vault.read(f"{TASKS}/{rel}")
        with pytest.raises(NoteUnreadable):
            vault.edit(f"{TASKS}/{rel}", lambda data: data + b"x")
    with pytest.raises(NoteUnreadable):
        vault.create(f"{TASKS}/outfolder/new.md", NOTE)
    assert vault.read(f"{TASKS}/in.md") == NOTE
    assert (tmp_path / "outside" / "secret.md").read_bytes() == b"secret"


def test_ends_where_links_go_round(vault: Vault) -> None:
    """A folder that links to its parent is listed once."""
    put(vault, f"{TASKS}/home/a.md")
    (vault.tasks_folder / "home" / "loop").symlink_to(vault.tasks_folder)
    assert set(vault.task_notes()) == {f"{TASKS}/home/a.md"}


def test_never_waits_for_a_pipe_among_the_notes(vault: Vault) -> None:
    """A FIFO is neither listed nor read."""
    os.mkfifo(vault.tasks_folder / "pipe.md")
    sweep = vault.sweep()
    assert sweep.notes == {}
    assert "regular file" in sweep.skipped[f"{TASKS}/pipe.md"]
    with pytest.raises(NoteUnreadable, match="regular file") as caught:
        vault.read(f"{TASKS}/pipe.md")
    assert caught.value.path == f"{TASKS}/pipe.md"


def test_refuses_huge_notes(vault: Vault) -> None:
    """Above 1 MiB a task note is a problem, not a memory of ours."""
    path = put(vault, f"{TASKS}/big.md")
    os.truncate(path, MAX_TASK_BYTES + 1)
    with pytest.raises(NoteTooBig, match=r"00_system/tasks/big.md: it is larger than 1 MiB"):
        vault.read(f"{TASKS}/big.md")
    os.truncate(path, MAX_TASK_BYTES)
    data = vault.read(f"{TASKS}/big.md")
    assert data is not None
    assert len(data) == MAX_TASK_BYTES


def test_tells_a_deleted_note_from_a_vault_that_is_away(vault: Vault, tmp_path: Path) -> None:
    """A note is gone only if the vault is there; an unmounted vault loses nothing."""
    put(vault, f"{TASKS}/a.md")
    assert vault.read(f"{TASKS}/none.md") is None
    vault.root.rename(tmp_path / "away")
    assert not vault.is_there()
    assert not vault.sweep().there
    vault_is_away = pytest.raises(NoteUnreadable, match="vault is not there")
    with vault_is_away:
        vault.read(f"{TASKS}/a.md")
    vault.root.mkdir()  # the empty mount point
    assert not vault.sweep().there
    with vault_is_away:
        vault.edit(f"{TASKS}/a.md", lambda data: data + b"x")
    with vault_is_away:
        vault.create("00_system/logs/a.md", NOTE)
    vault.root.rmdir()
    (tmp_path / "away").rename(vault.root)
    assert vault.is_there()
    assert set(vault.task_notes()) == {f"{TASKS}/a.md"}


def test_does_not_take_another_device_for_an_emptied_vault(vault: Vault) -> None:
    """On another device than before, notes are not gone unless some of them are there: then it was mounted again."""
    put(vault, f"{TASKS}/a.md")
    put(vault, f"{TASKS}/b.md")
    assert vault.sweep().there
    first = vault._devices
    vault._devices = (0, 0)  # as if all that had been seen on another device
    assert not vault.is_there()
    with pytest.raises(NoteUnreadable):
        vault.read(f"{TASKS}/none.md")
    for name in ("a.md", "b.md"):
        (vault.tasks_folder / name).rename(vault.root / name)
    assert not vault.sweep().there
    (vault.root / "b.md").rename(vault.tasks_folder / "b.md")
    assert set(vault.sweep().notes) == {f"{TASKS}/b.md"}
    assert vault.is_there()
    assert vault._devices == first


def test_does_not_list_a_tasks_folder_outside(tmp_path: Path) -> None:
    """A tasks folder that is a link out of the vault holds no tasks, and says so."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "vault" / "00_system").mkdir(parents=True)
    (tmp_path / "vault" / TASKS).symlink_to(tmp_path / "outside")
    sweep = Vault(tmp_path / "vault").sweep()
    assert not sweep.there
    assert TASKS in sweep.skipped


def test_does_not_take_an_unreadable_folder_for_an_empty_one(vault: Vault) -> None:
    """What cannot be listed is unknown, not gone."""
    put(vault, f"{TASKS}/home/a.md")
    (vault.tasks_folder / "home").chmod(0)
    try:
        if os.access(vault.tasks_folder / "home", os.R_OK):
            pytest.skip("this user may read everything")
        sweep = vault.sweep()
    finally:
        (vault.tasks_folder / "home").chmod(0o700)
    assert sweep.unreadable == (f"{TASKS}/home",)
    assert not sweep.knows(f"{TASKS}/home/a.md")
    assert sweep.knows(f"{TASKS}/b.md")


def test_lists_what_stays_while_other_files_come_and_go(vault: Vault) -> None:
    """A note that vanishes between listing and looking costs only itself."""
    for number in range(50):
        put(vault, f"{TASKS}/stays-{number}.md")
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(20):
                put(vault, f"{TASKS}/goes-{number}.md")
            for number in range(20):
                (vault.tasks_folder / f"goes-{number}.md").unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(200):
            sweep = vault.sweep()
            assert sweep.there
            assert sweep.unreadable == ()
            assert sum("stays-" in rel for rel in sweep.notes) == 50
    finally:
        stop.set()
        thread.join()


def test_edits_and_says_what_it_did(vault: Vault) -> None:
    """Both hashes are told; an edit without effect writes nothing; a refused one neither."""
    path = put(vault, f"{TASKS}/a.md")
    written = vault.edit(f"{TASKS}/a.md", lambda data: data + b"x")
    assert written.changed
    assert written.path == f"{TASKS}/a.md"
    assert path.read_bytes() == NOTE + b"x"
    same = vault.edit(f"{TASKS}/a.md", lambda data: data)
    assert not same.changed
    assert same.before_hash == written.after_hash

    def refuse(data: bytes) -> bytes:
        raise NoteRefused("no")

    with pytest.raises(NoteRefused):
        vault.edit(f"{TASKS}/a.md", refuse)
    with pytest.raises(FileNotFoundError):
        vault.edit(f"{TASKS}/none.md", refuse)


class Onlooker:
    """Somebody who has to be told of writes, and is not interested."""

    def quiet_s(self, path: str) -> float:
        """Nobody is here."""
        return 3600.0

    def wrote(self, written: Written) -> None:
        """Seen."""

    def report(self, path: str, message: str, fix: str) -> None:
        """Nothing is expected to go wrong."""
        raise AssertionError(message)


def test_the_daemon_does_not_wait_for_its_own_write(vault: Vault) -> None:
    """Writes of one file in quick succession, as those of the daily log are, take one try each."""
    log = put(vault, "00_system/logs/a.md")
    os.utime(log, (0, 0))
    pen, seen = Pen(vault, Onlooker()), list[bytes]()

    def change(data: bytes) -> bytes:
        seen.append(data)
        return data + b"x"

    async def write() -> None:
        for number in range(5):
            await pen.edit("00_system/logs/a.md", change, number)
            await pen.settle(datetime.now(UTC), number)  # the first ones are looked at too early, and wait

    asyncio.run(write())
    assert seen == [NOTE + b"x" * number for number in range(5)]


def test_settles_edits_in_terms_of_the_vault(vault: Vault) -> None:
    """A late writer's text is merged, or stands in a conflict copy with a vault-relative name."""
    path = put(vault, f"{TASKS}/a.md")
    now = datetime.now(UTC) + timedelta(seconds=10)
    with path.open("r+b", buffering=0) as editor:
        written = vault.edit(f"{TASKS}/a.md", lambda data: data + b"x\n")
        editor.seek(0, os.SEEK_END)
        editor.write(b"late\n")
    late = vault.settle(written, now)
    assert late.state is Settled.MERGED
    assert late.written is not None
    assert path.read_bytes() == NOTE + b"late\nx\n"
    assert vault.settle(late.written, now).state is Settled.DONE
    with path.open("r+b", buffering=0) as editor:
        written = vault.edit(f"{TASKS}/a.md", lambda data: data.replace(b"body", b"ours"))
        path.write_bytes(path.read_bytes().replace(b"ours", b"newer"))
        editor.write(NOTE.replace(b"body", b"other"))
        editor.truncate()
    late = vault.settle(written, now)
    assert late.state is Settled.COPIED
    assert late.copy.startswith(f"{TASKS}/a (conflicted copy ")
    assert not vault.is_task_path(late.copy)
    assert set(vault.task_notes()) == {f"{TASKS}/a.md"}


def test_tidies_what_short_lived_processes_left(vault: Vault) -> None:
    """Temps with our own texts go after a day; a text of somebody else comes back at once."""
    now = datetime.now(UTC)
    quiet, busy = put(vault, f"{TASKS}/quiet.md"), put(vault, "Projects/busy.md")
    vault.edit(f"{TASKS}/quiet.md", lambda data: data + b"x\n")
    with busy.open("ab", buffering=0) as editor:
        vault.edit("Projects/busy.md", lambda data: data + b"x\n")
        editor.write(b"late\n")
    assert vault.tidy(now).restored == ()
    tidied = vault.tidy(now + timedelta(hours=1))
    assert tidied.restored == ("Projects/busy.md",)
    assert busy.read_bytes() == NOTE + b"late\n"
    assert [p.name for p in busy.parent.iterdir()] == ["busy.md"]
    assert len(list(quiet.parent.iterdir())) == 2
    vault.tidy(now + timedelta(days=2))
    assert list(quiet.parent.iterdir()) == [quiet]


def test_creates_notes_with_their_folders_but_never_over_one(vault: Vault) -> None:
    """A note that is there is left alone, in either Unicode form."""
    vault.create("00_system/logs/2026/é.md", NOTE)
    assert vault.read("00_system/logs/2026/é.md") == NOTE
    with pytest.raises(FileExistsError):
        vault.create("00_system/logs/2026/" + unicodedata.normalize("NFD", "é.md"), b"other")
    assert vault.read("00_system/logs/2026/é.md") == NOTE


def test_finds_the_vault_from_below_and_from_beside(tmp_path: Path) -> None:
    """The folder itself, one above it, or `./vault`; the system folder may have another name."""
    root = tmp_path / "project" / "vault"
    (root / TASKS).mkdir(parents=True)
    (root / "Notes" / "deep").mkdir(parents=True)
    real = Path(os.path.realpath(root))
    for start in (root, root / "Notes" / "deep", root / TASKS, tmp_path / "project"):
        assert find_vault(start) == real
    with pytest.raises(VaultNotFound, match="init"):
        find_vault(tmp_path)
    (tmp_path / "99_meta" / "tasks").mkdir(parents=True)
    assert find_vault(tmp_path, "99_meta") == Path(os.path.realpath(tmp_path))
    assert Vault(tmp_path, "99_meta").rel(tmp_path / "99_meta" / "tasks" / "a.md") == "99_meta/tasks/a.md"


@pytest.mark.timeout(20)
def test_sweeps_ten_thousand_notes_in_a_moment(vault: Vault) -> None:
    """The sweep is done all the time, so it reads no file."""
    for number in range(10_000):
        (vault.tasks_folder / f"n{number}.md").touch()
    assert len(vault.task_notes()) == 10_000
