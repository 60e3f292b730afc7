"""`state export` and `state import` told to people: what was carried, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator

from vault_scheduler.commands.carrying import Exported, Imported
from vault_scheduler.planning.approvals import TrustMode


def exported(done: Exported) -> Iterator[str]:
    """What is in the archive, and what to do with it."""
    yield f"wrote {done.path}: {_some(done.runs, 'run')}, approvals and spend, last good notes, {_files(done.files)}"
    yield f"({done.size / 2**20:.1f} MiB, readable for you alone; it holds what your tasks printed)"
    if done.going:
        were = "was going on: it ends there, and is" if done.going == 1 else "were going on: they end there, and are"
        yield f"{_some(done.going, 'run')} {were} not tried again"
        yield "To have none, stop the daemon and export again under another name"
    yield f"On the other machine: `vault-sched state import {done.path.name}`, then `vault-sched host take`"


def imported(done: Imported, trust: str) -> Iterator[str]:
    """What this machine knows now, and what it does not do by itself."""
    told = done.manifest
    came = f"the state of {told.vault} from {told.host}, {told.made_at}"
    yield f"imported {came}: {_some(done.runs, 'run')}, spend, last good notes, {_files(done.files)}"
    if done.cut_off:
        yield f"{_some(done.cut_off, 'run')} that had not ended {'is' if done.cut_off == 1 else 'are'} abandoned"
    if done.aside is not None:
        yield f"what was here before is kept in {done.aside}"
    if done.with_approvals:
        yield "what was approved there is approved here"
    elif trust == TrustMode.PINNED:
        yield "approvals stayed there: every task waits for `vault-sched approve` (--with-approvals brings them along)"
    else:
        yield "approvals stayed there; tasks are taken as they stand here now, as on every new machine"
    if done.held:
        yield f"held as it was there: {_some(done.held, 'task')}; `vault-sched approve` shows why"
    if done.host == done.here:
        yield f"{done.here} runs the vault already: start its daemon"
    else:
        yield f"`vault-sched host take` lets {done.here} run the vault; now {done.host or 'nobody'} does"


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _files(count: int) -> str:
    return _some(count, "file") + " of outputs"
