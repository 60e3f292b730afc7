"""The second look at a displaced file: a program that had it open may have written into it after the exchange.

Its text is then merged into the note, and again for as long as it keeps the file open. What cannot be merged becomes
a note of its own beside it, named as sync programs name conflict copies, which everybody recognises and nothing
schedules.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from vault_scheduler.errors import NoteChanged, NoteRefused, NoteTooBig, NoteUnreadable
from vault_scheduler.platform.exchange import is_open_for_writing
from vault_scheduler.platform.hashed import digest
from vault_scheduler.platform.replace import Replaced, read_regular, replace_file
from vault_scheduler.platform.temp_files import Leftover
from vault_scheduler.text.merge import has_additions, holds_text, merge

LATE_S = 3.0  # an editor that had the file open has written by then
GIVE_UP_S = 60.0  # a note that others never stop writing to gets a conflict copy instead of a merge
STILL_S = 1.0  # and is not in the middle of it
HELD_S = 86_400.0  # a day: what is written later into a file that was never closed is lost
SELDOM_S = 30.0  # a program that has kept the file open for a minute is looked at this often


class Settled(StrEnum):
    """What became of a displaced file."""

    DONE = "done"  # nobody wrote into it; it is removed
    WAIT = "wait"  # too early to say
    MERGED = "merged"  # its text was laid over the note; that write wants a second look of its own
    COPIED = "copied"  # its text stands in a conflict copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The result of `settle`."""

    state: Settled
    written: Replaced | None = None  # of MERGED
    copy: Path | None = None  # of COPIED
    follow: Replaced | None = None  # of MERGED: the program still has the file open, and may write more into it
    again_s: float = 1.0  # of WAIT, and for `follow`: seconds until the next look


def settle(done: Replaced, now: datetime, *, limit: int, kept: list[Replaced] | None = None) -> Settlement:
    """Look at what a replacement displaced, from 3 seconds after it on; `kept` as of `replace_file`.

    Never raises for what other programs do to the files, but NoteUnreadable or OSError where the machine is at fault:
    then nothing was removed, and it is to be tried again.
    """
    if done.displaced is None or not _is_file(done.displaced):
        return Settlement(state=Settled.DONE)
    if _is_early(now, done.written_ns, LATE_S):
        return Settlement(state=Settled.WAIT)
    try:
        is_held = is_open_for_writing(done.displaced) and _is_early(now, done.written_ns, HELD_S)
        is_still = not _is_early(now, done.displaced.stat().st_mtime_ns, STILL_S)
        late = read_regular(done.displaced, limit).data
    except FileNotFoundError:
        return Settlement(state=Settled.DONE)
    except NoteTooBig:
        return Settlement(state=Settled.COPIED, copy=make_conflict_copy(done.displaced, done.path, now))
    again_s = 1.0 if _is_early(now, done.written_ns, GIVE_UP_S) else SELDOM_S
    if late == done.base or not late:  # untouched, or emptied by a write that is still to come or never comes
        if is_held:
            return Settlement(state=Settled.WAIT, again_s=again_s)
        done.displaced.unlink(missing_ok=True)
        return Settlement(state=Settled.DONE)
    if not is_still and not _is_appended(done.base, late):
        return Settlement(state=Settled.WAIT)
    taken = _take_in(done, late, now, limit, keep=is_held, kept=kept)
    if not is_held or taken.state is not Settled.MERGED:
        return taken
    return replace(taken, follow=replace(done, base=late, after_hash=""), again_s=again_s)


def _is_appended(base: bytes, late: bytes) -> bool:
    """Whether whole lines were added at the end: such a text is never in the middle of a write."""
    return late.startswith(base) and late.endswith(b"\n")


def _take_in(
    done: Replaced, late: bytes, now: datetime, limit: int, *, keep: bool, kept: list[Replaced] | None
) -> Settlement:
    assert done.displaced is not None
    try:
        again = replace_file(done.path, lambda current: _joined(done, late, current), limit=limit, kept=kept)
    except FileNotFoundError:
        done.displaced.unlink(missing_ok=True)  # the note was deleted since, with all that it said
        return Settlement(state=Settled.DONE)
    except (NoteRefused, NoteChanged, NoteUnreadable) as error:
        if isinstance(error, NoteChanged) and _is_early(now, done.written_ns, GIVE_UP_S):
            return Settlement(state=Settled.WAIT)
        return Settlement(state=Settled.COPIED, copy=make_conflict_copy(done.displaced, done.path, now))
    if not keep:
        done.displaced.unlink(missing_ok=True)
    return Settlement(state=Settled.MERGED, written=again)


def _joined(done: Replaced, late: bytes, current: bytes) -> bytes:
    """The late text with our change, if the note is still as we wrote it; else a merge of the two.

    An `after_hash` that nothing has (of a file that is followed) always means a merge. A text that was put back is in
    the note, unless a program that had read ours in that moment wrote since.
    """
    if done.was_put_back and has_additions(done.base, late, current):
        return current
    if digest(current) == done.after_hash:
        return done.change(late)
    merged = merge(done.base, late, current)
    if merged is None:
        raise NoteRefused("two programs changed the same lines")
    return merged


def restore_leftover(leftover: Leftover, now: datetime, *, limit: int) -> Path | None:
    """Bring somebody's text back: into its note if nobody wrote there since our crash, else as a conflict copy.

    Returns the path that holds the text now, or None if it held nothing that the note lacks.
    """
    folder = leftover.path.parent
    target = next((path for path in folder.iterdir() if leftover.belongs_to(path.name)), None)
    if target is None:
        return make_conflict_copy(leftover.path, folder / "unknown note.md", now)
    current = read_regular(target, limit).data
    late = read_regular(leftover.path, limit).data
    if holds_text(current, late):
        leftover.path.unlink(missing_ok=True)
        return None
    if digest(current).startswith(leftover.name.new):
        leftover.path.replace(target)
        return target
    return make_conflict_copy(leftover.path, target, now)


def make_conflict_copy(text: Path, note: Path, now: datetime) -> Path:
    """Give a dot-temp a visible name beside its note; an existing file is never overwritten."""
    moment = now.strftime("%Y-%m-%d %H%M%S")
    for number in range(1, 100):
        tail = "" if number == 1 else f" {number}"
        copy = note.with_name(f"{note.stem} (conflicted copy {moment}{tail}){note.suffix}")
        try:
            os.link(text, copy)
        except FileExistsError:
            continue
        except OSError:
            if copy.exists():
                continue
            text.rename(copy)
            return copy
        text.unlink(missing_ok=True)
        return copy
    return text


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_early(now: datetime, moment_ns: int, seconds: float) -> bool:
    """Whether less than `seconds` have passed; a moment in the future is an odd clock, not a reason to wait."""
    return 0 <= now.timestamp() - moment_ns / 1e9 < seconds
