"""Compare and replace against real writers: no text of anybody is lost, nothing is left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.errors import NoteChanged, NoteRefused, NoteTooBig, NoteUnreadable
from vault_scheduler.platform import exchange as exchange_module
from vault_scheduler.platform import replace as replace_module
from vault_scheduler.platform.exchange import NoExchange
from vault_scheduler.platform.late_writes import Settled, Settlement, restore_leftover, settle
from vault_scheduler.platform.replace import Replaced, read_regular, replace_file
from vault_scheduler.platform.temp_files import LeftoverKind, clean, create_file, leftovers
from vault_scheduler.telling.daily_log import put_lines

LIMIT = 1 << 20
NOTE = b"---\ntype: command\n---\nbody\n"
HEAD = b"---\ntype: command\n---\n"

WRITER = r"""
import os, random, sys, time
path, kind, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
dice = random.Random(rounds)
buffer = open(path, "rb").read()
for i in range(rounds):
    token = b"user-%d\n" % i
    if kind == "editor":  # keeps its own text and writes all of it, truncating first
        buffer += token
        with open(path, "wb", buffering=0) as file:
            file.write(buffer[: len(buffer) // 2])
            file.write(buffer[len(buffer) // 2 :])
    elif kind == "in-place":
        text = open(path, "rb").read() + token
        with open(path, "wb", buffering=0) as file:
            file.write(text)
    elif kind == "rename":
        text = open(path, "rb").read() + token
        with open(path + ".theirs", "wb") as file:
            file.write(text)
        os.replace(path + ".theirs", path)
    else:  # append; it may hold the file open for a while before it writes
        with open(path, "ab", buffering=0) as file:
            if dice.random() < 0.2:
                time.sleep(0.002 * dice.random())
            file.write(token)
    time.sleep(0.0015 * dice.random())
"""


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """A note alone in a folder."""
    path = tmp_path / "tasks" / "a.md"
    path.parent.mkdir()
    path.write_bytes(NOTE)
    return path


@pytest.fixture(params=["exchange", "rename"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to replace: with the system's exchange, and where there is none."""
    if request.param == "rename":
        monkeypatch.setattr(exchange_module, "_call", None)
    return str(request.param)


def insert(line: bytes) -> Callable[[bytes], bytes]:
    """A re-appliable change: the line below the frontmatter, once; refused where that is not whole."""

    def change(data: bytes) -> bytes:
        if not data.startswith(HEAD):
            raise NoteRefused("no frontmatter")
        return data if line in data else data.replace(HEAD, HEAD + line, 1)

    return change


def later(seconds: float = 10.0) -> datetime:
    """A moment after now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def beside(note: Path) -> set[str]:
    """What lies beside the note."""
    return {path.name for path in note.parent.iterdir()} - {note.name}


def tidy_up(note: Path) -> list[Path]:
    """Bring back what was kept to be on the safe side; returns the conflict copies."""
    kept = [left for left in leftovers(note.parent) if left.kind is LeftoverKind.LATE]
    return [path for left in kept if (path := restore_leftover(left, later(), limit=LIMIT)) is not None]


def finish(done: Replaced) -> Settlement:
    """Settle a replacement as if some seconds had passed."""
    return settle(done, later(), limit=LIMIT)


@pytest.mark.usefixtures("way")
def test_writes_the_change_and_leaves_nothing_behind(note: Path) -> None:
    """After the second look only the note is there."""
    done = replace_file(note, insert(b"run\n"), limit=LIMIT)
    assert done.changed
    assert note.read_bytes() == HEAD + b"run\nbody\n"
    assert finish(done).state is Settled.DONE
    assert beside(note) == set()


def test_writes_nothing_where_nothing_changes(note: Path) -> None:
    """The same text again is no write, not even of the mtime."""
    before = note.stat()
    done = replace_file(note, lambda data: data, limit=LIMIT)
    assert not done.changed
    assert (note.stat().st_mtime_ns, note.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert beside(note) == set()


@pytest.mark.usefixtures("way")
def test_a_refused_change_touches_nothing(note: Path) -> None:
    """What the change raises passes through; no temp file is left."""
    note.write_bytes(b"no frontmatter")
    with pytest.raises(NoteRefused):
        replace_file(note, insert(b"run\n"), limit=LIMIT)
    assert note.read_bytes() == b"no frontmatter"
    assert beside(note) == set()


def test_says_that_a_note_is_gone(tmp_path: Path) -> None:
    """A note that is not there is not made."""
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "none.md", insert(b"run\n"), limit=LIMIT)


@pytest.mark.usefixtures("way")
def test_keeps_mode_owner_attributes_and_links(note: Path, tmp_path: Path) -> None:
    """The new file is dressed as the old one, and a symlinked note stays a symlink."""
    note.chmod(0o640)
    if os.getuid() == 0:
        os.chown(note, 12345, 12346)
    has_attributes = True
    try:
        os.setxattr(note, "user.tag", b"red")
    except (OSError, AttributeError):
        has_attributes = False
    link = tmp_path / "link.md"
    link.symlink_to(note)
    before = note.stat()
    replace_file(link, insert(b"run\n"), limit=LIMIT)
    after = note.stat()
    assert link.is_symlink()
    assert note.read_bytes() == HEAD + b"run\nbody\n"
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o640, before.st_uid, before.st_gid)
    if has_attributes:
        assert os.getxattr(note, "user.tag") == b"red"


@pytest.mark.parametrize("ahead", [0, 3600], ids=["now", "an hour in the future"])
def test_mtime_advances(note: Path, ahead: int) -> None:
    """A program that compares mtimes in milliseconds sees every write, even of equal length."""
    start = note.stat().st_mtime_ns + ahead * 10**9
    os.utime(note, ns=(start, start))
    seen = [start // 10**6]
    for word in (b"idle", b"done", b"busy"):
        replace_file(note, lambda data, word=word: HEAD + word, limit=LIMIT)  # type: ignore[misc]
        seen.append(note.stat().st_mtime_ns // 10**6)
    assert seen == sorted(set(seen))


def test_respects_a_read_only_note(note: Path) -> None:
    """Who takes away the right to write does not want to be written over."""
    note.chmod(0o444)
    if os.access(note, os.W_OK):
        pytest.skip("this user may write everything")
    with pytest.raises(NoteUnreadable, match="read-only"):
        replace_file(note, insert(b"run\n"), limit=LIMIT)


@dataclass
class Intruder:
    """A change during which somebody else acts, for the first `times` times."""

    change: Callable[[bytes], bytes]
    act: Callable[[], object]
    times: int = 1
    seen: list[bytes] = field(default_factory=list)

    def __call__(self, data: bytes) -> bytes:
        self.seen.append(data)
        if len(self.seen) <= self.times:
            self.act()
        return self.change(data)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long pauses between the tries, and none for who may be in the middle of a save."""
    monkeypatch.setattr(replace_module, "FIRST_PAUSE_S", 0.0005)
    monkeypatch.setattr(replace_module, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(replace_module, "BUSY_S", 0.0)


@pytest.mark.usefixtures("way", "quick")
@pytest.mark.parametrize("saving", ["in place", "rename"])
def test_an_edit_between_read_and_write_stays(note: Path, saving: str) -> None:
    """The change is laid over the new text, not over the one that was read first."""

    def save() -> None:
        if saving == "in place":
            note.write_bytes(NOTE + b"theirs\n")
        else:
            (note.parent / "b").write_bytes(NOTE + b"theirs\n")
            (note.parent / "b").replace(note)

    intruder = Intruder(insert(b"run\n"), save)
    finish(replace_file(note, intruder, limit=LIMIT))
    assert note.read_bytes() == HEAD + b"run\nbody\ntheirs\n"
    assert intruder.seen[-1] == NOTE + b"theirs\n"
    assert beside(note) == set()


@pytest.mark.usefixtures("way", "quick")
def test_gives_up_when_somebody_never_stops_writing(note: Path) -> None:
    """After some tries the other's text is in place, and nothing else."""
    count = iter(range(1000))
    intruder = Intruder(insert(b"run\n"), lambda: note.write_bytes(NOTE + b"%d" % next(count)), times=1000)
    with pytest.raises(NoteChanged):
        replace_file(note, intruder, limit=LIMIT)
    assert note.read_bytes() == NOTE + b"%d" % (next(count) - 1)
    assert beside(note) == set()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("cut", [0, 10, len(NOTE) - 3])
def test_a_text_that_is_being_written_is_left_to_its_writer(note: Path, cut: int) -> None:
    """Editors truncate, then write: what stands there in between is never taken for the note."""
    seen: list[bytes] = []

    def change(data: bytes) -> bytes:
        if len(data) < len(NOTE):
            raise NoteRefused("cut short")
        seen.append(data)
        return data + b"ours\n"

    with note.open("wb", buffering=0) as file:
        file.write(NOTE[:cut])
        rest = threading.Timer(0.06, lambda: file.write(NOTE[cut:]))
        rest.start()
        try:
            done = replace_file(note, change, limit=LIMIT)
        finally:
            rest.join()
    assert set(seen) == {NOTE}
    assert note.read_bytes() == NOTE + b"ours\n"
    assert done.base == NOTE


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_a_file_from_another_time_is_not_being_written(note: Path, ahead: int) -> None:
    """Its change is laid over it with the first try, also if another machine's clock is ahead."""
    moment = datetime.now(UTC).timestamp() + ahead
    os.utime(note, (moment, moment))
    calls: list[bytes] = []

    def change(data: bytes) -> bytes:
        calls.append(data)
        return data + b"ours\n"

    replace_file(note, change, limit=LIMIT)
    assert len(calls) == 1


@pytest.mark.usefixtures("way")
def test_our_own_write_of_a_moment_ago_is_not_somebody_saving(note: Path) -> None:
    """What stands there is what we left, so the next change is laid over it with the first try."""
    seen: list[bytes] = []

    def change(data: bytes) -> bytes:
        seen.append(data)
        return data + b"ours\n"

    last = replace_file(note, insert(b"run\n"), limit=LIMIT)
    for _ in range(5):
        last = replace_file(note, change, limit=LIMIT, last=last)
    assert [data.count(b"ours\n") for data in seen] == [0, 1, 2, 3, 4]


def save_in_place(note: Path, text: bytes, moment_ns: int) -> None:
    """Write as somebody who saves within the same step of the file system's clock as the moment."""
    note.write_bytes(text)
    os.utime(note, ns=(moment_ns, moment_ns))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("saved", ["other text, same mtime", "same text, another mtime"])
def test_a_save_right_after_our_own_write_is_somebody_saving(note: Path, saved: str) -> None:
    """Neither an mtime like ours nor a text like ours is proof, so it is looked at again after a pause."""
    seen: list[bytes] = []

    def change(data: bytes) -> bytes:
        seen.append(data)
        return data + b"ours\n"

    last = replace_file(note, insert(b"run\n"), limit=LIMIT)
    ours = note.read_bytes()
    if saved == "same text, another mtime":
        save_in_place(note, ours, last.written_ns - 1)
    else:
        save_in_place(note, ours.replace(b"body", b"bo--"), last.written_ns)
    replace_file(note, change, limit=LIMIT, last=last)
    assert len(seen) > 1


def test_an_empty_file_that_stays_empty_is_written(note: Path) -> None:
    """Nobody comes to fill it."""
    note.write_bytes(b"")
    replace_file(note, lambda data: data or b"ours\n", limit=LIMIT)
    assert note.read_bytes() == b"ours\n"


@pytest.mark.usefixtures("way", "quick")
def test_a_note_deleted_meanwhile_stays_deleted(note: Path) -> None:
    """A write never brings a note back."""
    with pytest.raises(FileNotFoundError):
        replace_file(note, Intruder(insert(b"run\n"), note.unlink), limit=LIMIT)
    assert list(note.parent.iterdir()) == []


@contextmanager
def during_exchange(monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], object]) -> Iterator[None]:
    """Somebody acts right before each of the first exchanges: the moments that a re-read cannot see."""
    waiting = list(acts)
    real = exchange_module.exchange

    def exchange(one: Path, other: Path) -> None:
        if waiting:
            waiting.pop(0)()
        real(one, other)

    with monkeypatch.context() as patch:
        patch.setattr(replace_module, "exchange", exchange)
        yield
    assert not waiting


def needs_exchange(folder: Path) -> None:
    """Skip where the file system cannot exchange files."""
    one, other = folder / "one", folder / "other"
    one.touch()
    other.touch()
    try:
        exchange_module.exchange(one, other)
    except NoExchange:
        pytest.skip("no exchange here")


@pytest.mark.usefixtures("quick")
def test_a_write_in_the_last_moment_is_put_back(note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came out of the exchange was not what was read: it returns to its place, then ours is laid over it."""
    needs_exchange(tmp_path)
    kept: list[Replaced] = []
    with during_exchange(monkeypatch, lambda: note.write_bytes(NOTE + b"theirs\n")):
        done = replace_file(note, insert(b"run\n"), limit=LIMIT, kept=kept)
    settle_all([done, *kept])
    assert note.read_bytes() == HEAD + b"run\nbody\ntheirs\n"
    assert beside(note) == set()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("goes_on", [b"theirs\nmore of it\n", b"theirs, typed on\n"], ids=["a line", "the same line"])
def test_a_text_that_was_put_back_is_no_copy_when_the_note_went_on(
    note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_on: bytes
) -> None:
    """It is kept for some seconds; that our next write changed a line of it, and its writer another, loses nothing."""
    needs_exchange(tmp_path)
    kept: list[Replaced] = []
    with during_exchange(monkeypatch, lambda: note.write_bytes(NOTE + b"theirs\n")):
        done = replace_file(
            note, lambda data: data.replace(b"type: command\n", b"last_run: 1\n"), limit=LIMIT, kept=kept
        )
    note.write_bytes(note.read_bytes().replace(b"theirs\n", goes_on))
    assert len(beside(note)) == 2
    settle_all([done, *kept])
    assert note.read_bytes() == b"---\nlast_run: 1\n---\nbody\n" + goes_on
    assert beside(note) == set()


@pytest.mark.usefixtures("quick")
def test_a_text_that_was_put_back_is_settled_also_if_we_gave_up(
    note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a replacement that failed has kept is handed over all the same."""
    needs_exchange(tmp_path)
    kept: list[Replaced] = []

    def change(data: bytes) -> bytes:
        if b"theirs" in data:
            raise NoteRefused("no more")
        return insert(b"run\n")(data)

    with during_exchange(monkeypatch, lambda: note.write_bytes(NOTE + b"theirs\n")), pytest.raises(NoteRefused):
        replace_file(note, change, limit=LIMIT, kept=kept)
    assert kept
    settle_all(kept)
    assert note.read_bytes() == NOTE + b"theirs\n"
    assert beside(note) == set()


@pytest.mark.usefixtures("quick")
def test_two_writes_in_the_last_moment_are_both_kept(
    note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One wrote before our exchange, another read ours and wrote before we put the first one's text back."""
    needs_exchange(tmp_path)

    def first() -> None:
        note.write_bytes(NOTE + b"first\n")

    def second() -> None:
        note.write_bytes(note.read_bytes() + b"second\n")

    kept: list[Replaced] = []
    with during_exchange(monkeypatch, first, second):
        done = replace_file(note, insert(b"run\n"), limit=LIMIT, kept=kept)
    settle_all([done, *kept])
    text = note.read_bytes()
    assert all(line in text for line in (b"run\n", b"body\n", b"first\n", b"second\n"))
    assert text.count(b"run\n") == 1
    assert beside(note) == set()


@pytest.mark.usefixtures("quick")
def test_a_text_lost_by_who_read_ours_for_a_moment_is_merged(
    note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow program read our text before we put the first one's back, and writes what it made of it later."""
    needs_exchange(tmp_path)
    read: list[bytes] = []
    kept: list[Replaced] = []
    with during_exchange(
        monkeypatch, lambda: note.write_bytes(NOTE + b"first\n"), lambda: read.append(note.read_bytes())
    ):
        done = replace_file(note, insert(b"run\n"), limit=LIMIT, kept=kept)
    note.write_bytes(read[0] + b"second\n")
    settle_all([done, *kept])
    assert note.read_bytes() == HEAD + b"run\nbody\nsecond\nfirst\n"
    assert beside(note) == set()


@pytest.mark.usefixtures("quick")
def test_a_text_that_cannot_be_read_after_the_exchange_is_put_back(
    note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody pasted megabytes in the last moment: their file is in its place, and ours is gone."""
    needs_exchange(tmp_path)
    with (
        during_exchange(monkeypatch, lambda: note.write_bytes(b"x" * (LIMIT + 1))),
        pytest.raises(NoteTooBig),
    ):
        replace_file(note, insert(b"run\n"), limit=LIMIT)
    assert note.read_bytes() == b"x" * (LIMIT + 1)
    assert beside(note) == set()


@pytest.mark.usefixtures("way")
def test_a_late_write_into_the_displaced_file_is_merged(note: Path) -> None:
    """An editor that had the old file open writes after us: its text and ours are both in the note."""
    with note.open("r+b", buffering=0) as editor:
        done = replace_file(note, insert(b"run\n"), limit=LIMIT)
        editor.seek(0, os.SEEK_END)
        editor.write(b"late\n")
    assert settle(done, later(0), limit=LIMIT).state is Settled.WAIT
    settlement = finish(done)
    assert settlement.state is Settled.MERGED
    assert note.read_bytes() == HEAD + b"run\nbody\nlate\n"
    assert settlement.written is not None
    assert finish(settlement.written).state is Settled.DONE
    assert beside(note) == set()


@pytest.mark.usefixtures("way")
def test_a_late_write_is_merged_with_a_newer_text(note: Path) -> None:
    """Somebody wrote to the new file and somebody else to the old one: both texts are kept."""
    with note.open("ab", buffering=0) as editor:
        done = replace_file(note, insert(b"run\n"), limit=LIMIT)
        note.write_bytes(note.read_bytes().replace(b"type: command", b"type: claude"))
        editor.write(b"late\n")
    settlement = finish(done)
    assert settlement.state is Settled.MERGED
    assert note.read_bytes() == b"---\ntype: claude\n---\nrun\nbody\nlate\n"


@pytest.mark.usefixtures("way")
def test_lines_that_were_put_back_while_a_save_was_stalled_stand_there_once(note: Path) -> None:
    """An editor has written half of a log for so long that the rest counted as lost; then it writes that, too."""
    lines = {f"r-{number}": f"- a run of minute {number} ^r-{number}" for number in range(6)}
    whole = put_lines(b"# Log\n\n", {block: lines[block] for block in ("r-1", "r-2", "r-3")}) + b"typed\n"
    note.write_bytes(whole)
    half = whole.index(b"minute 2")
    with note.open("r+b", buffering=0) as editor:
        editor.truncate()
        editor.write(whole[:half])
        os.utime(note, (0, 0))
        done = replace_file(note, lambda data: put_lines(data, {"r-4": lines["r-4"]}), limit=LIMIT)
        back = {block: lines[block] for block in ("r-2", "r-3", "r-5")}
        replace_file(note, lambda data: put_lines(data, back), limit=LIMIT, last=done)
        editor.write(whole[half:])
    assert finish(done).state is Settled.MERGED
    text = note.read_bytes()
    assert [text.count(f"^r-{number}\n".encode()) for number in range(1, 6)] == [1, 1, 1, 1, 1], text
    assert b"typed\n" in text


def test_a_late_write_that_contradicts_becomes_a_conflict_copy(note: Path) -> None:
    """Nobody guesses whose line counts: the late text is a note of its own, and the note stays."""
    with note.open("r+b", buffering=0) as editor:
        done = replace_file(note, insert(b"run\n"), limit=LIMIT)
        note.write_bytes(note.read_bytes().replace(b"body", b"newer"))
        editor.write(NOTE.replace(b"body", b"later"))
    settlement = finish(done)
    assert settlement.state is Settled.COPIED
    assert settlement.copy is not None
    assert settlement.copy.name.startswith("a (conflicted copy ")
    assert settlement.copy.read_bytes() == NOTE.replace(b"body", b"later")
    assert note.read_bytes() == HEAD + b"run\nnewer\n"
    assert beside(note) == {settlement.copy.name}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell who has a file open")
def test_a_file_that_is_held_open_is_followed_until_it_is_closed(note: Path) -> None:
    """However late a program writes into it, and however often: each line comes into the note, once."""
    with note.open("ab", buffering=0) as file:
        done = replace_file(note, insert(b"run\n"), limit=LIMIT)
        assert finish(done).state is Settled.WAIT
        for line in (b"one\n", b"two\n"):
            file.write(line)
            settlement = finish(done)
            assert settlement.state is Settled.MERGED
            assert settlement.follow is not None
            assert settlement.written is not None
            done = settlement.follow
            assert finish(settlement.written).state is Settled.DONE
            assert finish(done).state is Settled.WAIT
    assert finish(done).state is Settled.DONE
    assert note.read_bytes() == HEAD + b"run\nbody\none\ntwo\n"
    assert beside(note) == set()


def test_a_file_that_is_held_open_for_a_day_is_given_up(note: Path) -> None:
    """A program that never closes it does not keep us for ever."""
    with note.open("ab"):
        done = replace_file(note, insert(b"run\n"), limit=LIMIT)
        assert settle(done, later(90_000), limit=LIMIT).state is Settled.DONE
    assert beside(note) == set()


@pytest.mark.usefixtures("way")
def test_a_truncation_that_was_never_filled_is_no_edit(note: Path) -> None:
    """A program that emptied the old file and died does not empty the note."""
    with note.open("r+b", buffering=0) as editor:
        done = replace_file(note, insert(b"run\n"), limit=LIMIT)
        editor.truncate(0)
    assert finish(done).state is Settled.DONE
    assert note.read_bytes() == HEAD + b"run\nbody\n"


def test_a_late_write_to_a_deleted_note_goes_with_it(note: Path) -> None:
    """Who deletes a note after our write deletes what was written late as well."""
    with note.open("ab", buffering=0) as editor:
        done = replace_file(note, insert(b"run\n"), limit=LIMIT)
        editor.write(b"late\n")
    note.unlink()
    assert finish(done).state is Settled.DONE
    assert list(note.parent.iterdir()) == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["editor", "in-place", "rename", "append"])
def test_no_line_of_a_busy_writer_is_lost(note: Path, kind: str) -> None:
    """A thousand saves by another process, hundreds of edits of ours: every line of theirs is in the note, once.

    A conflict copy may hold it instead if that process read ours in the microseconds for which it was in place.
    """
    rounds = 1000
    pending: list[Replaced] = []
    with subprocess.Popen([sys.executable, "-c", WRITER, str(note), kind, str(rounds)]) as writer:
        number = 0
        while writer.poll() is None:
            number += 1
            # Refused: read in the middle of a save. Changed: overtaken too often.
            with contextlib.suppress(NoteRefused, NoteChanged):
                pending.append(replace_file(note, insert(b"ours-%d\n" % number), limit=LIMIT, kept=pending))
    assert writer.returncode == 0
    settle_all(pending)  # only now, for it is the writer's end that makes sure that no file is open any more
    copies = tidy_up(note)
    lines = [line for line in note.read_bytes().split(b"\n") if line.startswith(b"user-")]
    missing = {b"user-%d" % i for i in range(rounds)} - set(lines)
    assert missing <= {line for copy in copies for line in copy.read_bytes().split(b"\n")}
    assert len(missing) <= 2
    assert len(set(lines)) == len(lines)
    assert pending, "not a single edit of ours was tried between theirs"
    assert beside(note) == {copy.name for copy in copies}


def settle_all(pending: list[Replaced]) -> None:
    """Settle replacements and the merges that follow from them, however often others are in the way."""
    work = list(pending)
    while work:
        done = work.pop(0)
        settlement = finish(done)
        if settlement.state is Settled.WAIT:
            work.append(done)
        if settlement.written is not None:
            work.append(settlement.written)


READER = r"""
import signal, sys
path, head, tail = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
stop, texts, bad = [], set(), set()
signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
print("reads", flush=True)
while not stop:
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except FileNotFoundError:
        data = b""
    (texts if data.startswith(head) and data.endswith(tail) else bad).add(data)
print(len(texts), sorted(bad), flush=True)
"""


def test_readers_see_a_whole_text_at_any_time(note: Path) -> None:
    """While we write, no other process ever finds the note missing, empty or cut short."""
    program = [sys.executable, "-c", READER, str(note), HEAD.decode(), "body\n"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reads\n"
        for number in range(300):
            os.utime(note, (0, 0))  # it has been left alone: what was just written is not waited for
            finish(replace_file(note, insert(b"run-%d\n" % number), limit=LIMIT))
        reader.terminate()
        texts, _, bad = reader.stdout.read().strip().partition(" ")
    assert bad == "[]"
    assert int(texts) > 10, "hardly anything was read between two writes"


FULL_DISK = """
import resource, sys
from pathlib import Path
from vault_scheduler.platform.replace import replace_file
resource.setrlimit(resource.RLIMIT_FSIZE, (30, 30))
try:
    replace_file(Path(sys.argv[1]), lambda data: data + b"run\\n" * 10, limit=1 << 20)
except OSError as error:
    print(error.errno)
"""


def test_a_full_disk_costs_neither_the_note_nor_more_room(note: Path) -> None:
    """A write that fails half-way leaves the note as it was, and no temp file."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(note)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == str(errno.EFBIG)
    assert note.read_bytes() == NOTE
    assert beside(note) == set()


CRASH = """
import os, sys
from pathlib import Path
from vault_scheduler.platform import replace, temp_files
note, moment = Path(sys.argv[1]), sys.argv[2]
real = replace.exchange
calls = []

def exchange(one, other):
    calls.append(one)
    if moment == "before the exchange":
        os._exit(9)
    if moment == "before putting back" and len(calls) == 1:
        note.write_bytes(note.read_bytes() + b"theirs\\n")
    real(one, other)
    if moment in ("after the exchange", "before putting back"):
        os._exit(9)

replace.exchange = exchange
if moment == "while writing":
    temp_files.os.fsync = lambda fd: os._exit(9)
replace.replace_file(note, lambda data: data + b"run\\n", limit=1 << 20)
"""


def crash(note: Path, moment: str) -> None:
    """A process that dies during a replacement."""
    done = subprocess.run([sys.executable, "-c", CRASH, str(note), moment], check=False, timeout=30)
    assert done.returncode == 9


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("while writing", NOTE),
        ("before the exchange", NOTE),
        ("after the exchange", NOTE + b"run\n"),
    ],
)
def test_a_crash_leaves_the_old_or_the_new_text_and_a_temp_of_ours(note: Path, moment: str, text: bytes) -> None:
    """The temp is known as ours by its name and content, and removed after a day."""
    crash(note, moment)
    assert note.read_bytes() == text
    (leftover,) = leftovers(note.parent)
    assert leftover.kind is LeftoverKind.OURS
    assert leftover.belongs_to("a.md")
    assert not leftover.belongs_to("b.md")
    assert [left.path for left in clean(note.parent, later(3600))] == [leftover.path]
    assert clean(note.parent, later(2 * 86_400)) == []
    assert beside(note) == set()


def test_a_crash_with_somebodys_text_in_the_temp_gives_it_back(note: Path, tmp_path: Path) -> None:
    """Their text is told from ours, is never cleaned away, and returns to its note."""
    needs_exchange(tmp_path)
    crash(note, "before putting back")
    assert note.read_bytes() == NOTE + b"run\n"
    (leftover,) = clean(note.parent, later(10 * 86_400))
    assert leftover.kind is LeftoverKind.LATE
    assert restore_leftover(leftover, later(), limit=LIMIT) == note
    assert note.read_bytes() == NOTE + b"theirs\n"
    assert beside(note) == set()


def test_somebodys_text_in_a_temp_becomes_a_copy_if_the_note_went_on(note: Path, tmp_path: Path) -> None:
    """A newer text is not overwritten by an older one."""
    needs_exchange(tmp_path)
    crash(note, "before putting back")
    note.write_bytes(NOTE + b"newer\n")
    (leftover,) = leftovers(note.parent)
    copy = restore_leftover(leftover, later(), limit=LIMIT)
    assert copy is not None
    assert "conflicted copy" in copy.name
    assert copy.read_bytes() == NOTE + b"theirs\n"
    assert note.read_bytes() == NOTE + b"newer\n"


def test_foreign_dot_files_are_not_ours(note: Path) -> None:
    """Only names of exactly our form are looked at."""
    for name in (".vault-sched.x.tmp", ".a.md.swp", ".vault-sched.md"):
        (note.parent / name).write_text("x")
    (note.parent / f".vault-sched.{'0' * 8}.{'0' * 16}.{'0' * 16}.{'0' * 8}.tmp").mkdir()
    assert list(leftovers(note.parent)) == []
    assert list(leftovers(note.parent / "none")) == []


def test_a_new_file_appears_whole_and_never_over_another(note: Path) -> None:
    """Of two that make the same note, one succeeds; the other is told and changes nothing."""
    made = note.with_name("b.md")
    create_file(made, b"first")
    with pytest.raises(FileExistsError):
        create_file(made, b"second")
    assert made.read_bytes() == b"first"
    assert beside(note) == {"b.md"}


def test_a_new_file_is_made_where_there_are_no_hard_links(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on FAT drives and some network shares."""

    def link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr("vault_scheduler.platform.temp_files.os.link", link)
    create_file(note.with_name("b.md"), b"first")
    with pytest.raises(FileExistsError):
        create_file(note.with_name("b.md"), b"second")
    assert note.with_name("b.md").read_bytes() == b"first"
    assert beside(note) == {"b.md"}


def test_never_waits_for_a_pipe_or_a_device(tmp_path: Path) -> None:
    """What is not a regular file is refused at once."""
    os.mkfifo(tmp_path / "pipe.md")
    for path in (tmp_path / "pipe.md", tmp_path, Path("/dev/zero")):
        with pytest.raises(NoteUnreadable, match="regular file"):
            read_regular(path, LIMIT)


def test_reads_no_more_than_the_limit(tmp_path: Path) -> None:
    """At the limit it is read, a byte above refused."""
    (tmp_path / "a.md").write_bytes(b"x" * 100)
    assert read_regular(tmp_path / "a.md", 100).data == b"x" * 100
    with pytest.raises(NoteTooBig):
        read_regular(tmp_path / "a.md", 99)


def test_what_is_no_fault_of_the_note_is_not_cured_by_removing_it(note: Path) -> None:
    """Too many open files keep a note from being read: the advice is about those."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        with pytest.raises(NoteUnreadable) as refused:
            read_regular(note, LIMIT)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert refused.value.reason == "too many open files"
    assert "ulimit -n" in refused.value.fix
    assert "remove" not in refused.value.fix
