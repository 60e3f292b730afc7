"""`state export` and `state import`: what a machine knows of a vault, carried to another one."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from vault_scheduler import __version__
from vault_scheduler.commands import state_archive
from vault_scheduler.commands.records import approvals, ledger
from vault_scheduler.commands.state_archive import APPROVALS, DATABASES, GOOD_NOTES, LEDGER, Manifest
from vault_scheduler.errors import BadUsage, LedgerCorrupt, LedgerTooNew, LedgerUnavailable, Refused
from vault_scheduler.ledger import good_notes, trust
from vault_scheduler.ledger.arrival import CutOff, snapshot, take_in, take_in_ledger
from vault_scheduler.machine.place import Place
from vault_scheduler.platform.lock import VaultLock

_CARRIED = (*(f"{name}{part}" for name in DATABASES for part in ("", "-wal", "-shm")), "runs", "builtin")
_LAST = (LEDGER, "ledger.db-wal", "ledger.db-shm")
"""Put in place last: a ledger without approvals would hold all tasks, approvals without a ledger are safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What went into an archive; size in bytes."""

    path: Path
    runs: int
    going: int  # runs that had not ended
    files: int  # outputs and what built-in tasks remember
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came out of an archive."""

    manifest: Manifest
    runs: int
    files: int
    held: int
    cut_off: int
    with_approvals: bool
    aside: Path | None  # where the state that was there before is
    here: str  # this machine
    host: str  # the machine that runs the vault


async def export(place: Place, target: Path, *, outputs: bool) -> Exported:
    """Write the vault's state as it is at this moment into one file; a daemon may run meanwhile.

    Raises BadUsage if the file is there or there is no state, LedgerUnavailable, LedgerCorrupt, OSError.
    """
    if target.exists() or target.is_symlink():
        raise BadUsage(f"{target} is there already; name a new file")
    if not target.parent.is_dir():
        raise BadUsage(f"there is no folder {target.parent}")
    async with ledger(place) as store:
        if store is None:
            raise BadUsage(f"nothing to export: this machine has never run {place.vault.root}")
        counts = await store.count_runs(), len(await store.active())
    with tempfile.TemporaryDirectory(dir=place.state, prefix=".export-") as name:
        # The ledger first: what was spent may then be more than its runs say, never less.
        copies = [(each, Path(name) / each) for each in DATABASES if (place.state / each).exists()]
        for each, copy in copies:
            snapshot(place.state / each, copy)
        manifest = Manifest(
            version=__version__,
            host=place.machine.host,
            vault=place.vault.root.name,
            made_at=place.clock.now().astimezone(ZoneInfo(place.timezone)).isoformat(timespec="seconds"),
            outputs=outputs,
        )
        others = list(state_archive.kept_files(place.state, outputs=outputs))
        files = state_archive.write(target, manifest, [*copies, *others]) - len(copies)
    return Exported(path=target, runs=counts[0], going=counts[1], files=files, size=target.stat().st_size)


async def take(place: Place, source: Path, *, replacing: bool, with_approvals: bool) -> Imported:
    """Begin here with the state of an archive. Nothing is caught up, and what had not ended has ended.

    Spend and what is held always come along, approvals of a person on another machine only if this person says so.
    Raises LockHeld, LedgerTooNew, Refused, OSError; then the state here is as it was.
    """
    with state_archive.opened(source) as archive:
        place.make_state()
        with VaultLock(place.lock_path, since=place.clock.now(), purpose="import"):
            there = [place.state / name for name in _CARRIED if _is_kept(place.state / name)]
            if there and not replacing:
                raise Refused(f"{place.state} holds the state of this vault already; --replace sets it aside")
            with tempfile.TemporaryDirectory(dir=place.state, prefix=".import-") as name:
                raw, ready = Path(name) / "archive", Path(name) / "state"
                raw.mkdir()
                ready.mkdir()
                files = archive.unpack(raw)
                cut_off = _read_databases(raw, ready, source, place, with_approvals)
                for folder in ("runs", "builtin"):
                    if (raw / folder).exists():
                        (raw / folder).chmod(0o700)
                        (raw / folder).rename(ready / folder)
                aside = _set_aside(place, there) if there else None
                _put_in_place(ready, place.state)
            place.make_state()
            found = Imported(
                manifest=archive.manifest,
                runs=0,
                files=files,
                held=0,
                cut_off=cut_off,
                with_approvals=with_approvals,
                aside=aside,
                here=place.machine.host,
                host=place.settings_in_force.host or "",
            )
            return await _counted(place, found)


async def _counted(place: Place, found: Imported) -> Imported:
    async with ledger(place) as store:
        runs = await store.count_runs() if store else 0
    with approvals(place) as kept:
        return replace(found, runs=runs, held=len(kept.holds()) if kept else 0)


def _is_kept(path: Path) -> bool:
    """Whether it says something: the empty folder of outputs is made by a look at the vault."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _read_databases(raw: Path, ready: Path, source: Path, place: Place, with_approvals: bool) -> int:
    """Pour the files of the archive into new ones; how many runs were cut off."""
    now = place.clock.now()
    try:
        cut_off = take_in_ledger(raw / LEDGER, ready / LEDGER, now, version=__version__)
        if (raw / APPROVALS).exists():
            _take_approvals(raw / APPROVALS, ready / APPROVALS, cut_off, place.timezone, with_approvals)
        if (raw / GOOD_NOTES).exists():
            file = take_in(raw / GOOD_NOTES, ready / GOOD_NOTES, good_notes.MIGRATIONS, version=__version__)
            file.close()
    except LedgerTooNew as error:
        raise LedgerTooNew(str(source), error.version) from None
    except (LedgerCorrupt, LedgerUnavailable, sqlite3.IntegrityError) as error:
        why = str(error) if isinstance(error, sqlite3.IntegrityError) else error.reason
        raise Refused(f"{source} is damaged, and nothing was changed: {why}") from None
    return len(cut_off)


def _take_approvals(source: Path, target: Path, cut_off: Sequence[CutOff], timezone: str, with_approvals: bool) -> None:
    tables = ("meta", "holds", "spend", *(("pins",) if with_approvals else ()))
    take_in(source, target, trust.MIGRATIONS, version=__version__, tables=tables).close()
    with closing(trust.Trust.open(target, version=__version__)) as kept:
        for each in cut_off:  # as for a run without a result message: the most that it may have cost
            if each.reserved_usd:
                day = each.started_at.astimezone(ZoneInfo(timezone)).date()
                kept.add_spend(each.run, each.attempt, each.task, day, each.reserved_usd)


def _set_aside(place: Place, there: Sequence[Path]) -> Path:
    """Move what is there into a folder of its own, where nothing removes it."""
    folder = _free(place.state / f"replaced-{_stamp(place.clock.now())}")
    folder.mkdir(mode=0o700)
    for path in there:
        path.rename(folder / path.name)
    return folder


def _free(folder: Path) -> Path:
    number = 1
    free = folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def _stamp(now: datetime) -> str:
    return now.strftime("%Y%m%dT%H%M%SZ")


def _put_in_place(ready: Path, state: Path) -> None:
    for path in sorted(ready.iterdir(), key=lambda each: each.name in _LAST):
        target = state / path.name
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        shutil.move(path, target)
