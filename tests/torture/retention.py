"""A year of runs and more, in a minute: `python -m tests.torture.retention [DAYS] [RUNS A DAY]` (rule 12).

The ledger's own methods claim, run, deliver and tidy, day after day, with tasks that come and go, requests, outputs on
disk and note sections as they are written. After a year and a half nothing may be larger than after the first year, and
no row may be left of something that is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.housekeeping import Housekeeping
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import DAILY_LOG, NOTE, OUTPUT, TASK_FACTS, Batch, Claim, TaskRow
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.machine.config import Machine, Retain
from vault_scheduler.machine.place import Place
from vault_scheduler.notes.runs_section import insert_runs
from vault_scheduler.platform.temp_files import TempName
from vault_scheduler.run import Outcome, Result, Run, RunState, TriggerKind, fire_key, run_id
from vault_scheduler.telling.summary import entry_of
from vault_scheduler.testing import FakeClock
from vault_scheduler.vault.vault import Vault

BEGIN = datetime(2040, 1, 1, tzinfo=UTC)  # later than the files of this simulation are made
ALWAYS = 10  # tasks that are there all the time
LIFE_DAYS = 20  # of those that come, one a day, and go again
SECTION_LIMIT = 10 * 1024
GROWTH = 1.1
OUTPUT_SIZE = 3_000_000
"""A full output; sparse, so that it counts and costs nothing."""

ORPHANS = {
    "attempts without a run": "SELECT count(*) FROM attempts WHERE run NOT IN (SELECT id FROM runs)",
    "deliveries without a run": "SELECT count(*) FROM deliveries WHERE run NOT IN (SELECT id FROM runs)",
    "unfollowed without a run": "SELECT count(*) FROM unfollowed WHERE run NOT IN (SELECT id FROM runs)",
    "snapshots without a run": "SELECT count(*) FROM snapshots WHERE hash NOT IN (SELECT snapshot FROM runs)",
    "runs of tasks that are forgotten": "SELECT count(*) FROM runs WHERE task NOT IN (SELECT task FROM tasks)",
}
TABLES = ("runs", "attempts", "deliveries", "unfollowed", "snapshots", "requests", "tasks", "notes", "meta")


class Waitless(FakeClock):
    """Nobody has to advance it: who waits gets the time at once."""

    async def wait(self, event: object, timeout_s: float) -> bool:
        self.advance(timeout_s)
        return False


@dataclass
class Figures:
    """What there was after each of the days that were looked at."""

    days: int
    runs: int = 0
    sizes: dict[int, dict[str, int]] = field(default_factory=dict)
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        """All of it on one line."""
        last = self.sizes[max(self.sizes)]
        return (
            f"retention: {self.days} days, {self.runs} runs: ledger {last['ledger'] / 1e6:.1f} MB with "
            + ", ".join(f"{last[table]} {table}" for table in TABLES)
            + f"; {last['outputs']} outputs of {last['output bytes'] / 1e6:.0f} MB, {last['temps']} temp files, "
            f"longest section {last['section']} bytes; a day's tidying took at most {self.slowest_s:.1f} s; "
            f"{len(self.faults)} faults"
        )


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: half a million commits need no disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="retention-", dir=memory) as folder:
        yield Path(folder)


class Year:
    """A vault's life, as the ledger sees it."""

    def __init__(self, folder: Path, runs_a_day: int, retain: Retain) -> None:
        (folder / "vault" / "00_system" / "tasks").mkdir(parents=True)
        self.clock = Waitless(BEGIN)
        self.runs_a_day = runs_a_day
        self.place = Place(
            vault=Vault(folder / "vault"),
            machine=replace(Machine(host="here"), retain=retain),
            state=folder / "state",
            clock=self.clock,
            machine_timezone="UTC",
            settings=None,
        )
        self.sections = {f"task {number}": b"---\ntype: command\n---\n" for number in range(ALWAYS)}
        self.full_after = (retain.ledger or timedelta(0)).days + LIFE_DAYS
        self.longest = 0
        self.count = 0

    async def live(self, figures: Figures) -> None:
        """Day after day."""
        self.store = await SqliteStore.open(self.place.ledger_path, version="0.1", owner="me")
        self.trust = Trust.open(self.place.approvals_path, version="0.1")
        house = Housekeeping(self.place, self.store, self.trust, lambda *_: None)
        for day in range(figures.days):
            self.clock.advance((BEGIN + timedelta(days=day) - self.clock.now()).total_seconds())
            await self._day(day)
            begun = time.monotonic()
            await house.once()
            figures.slowest_s = max(figures.slowest_s, time.monotonic() - begun)
            if (day >= self.full_after and day % 30 == 0) or day == figures.days - 1:
                figures.sizes[day] = self._sizes()
        figures.runs = self.count
        self.trust.close()
        await self.store.close()

    async def _day(self, day: int) -> None:
        now, tasks = self.clock.now(), [*self.sections, *(f"passing {n}" for n in range(max(0, day - LIFE_DAYS), day))]
        for task in tasks if day == 0 else tasks[-1:]:
            await self._meet(task, now)
        if day > LIFE_DAYS:
            await self._part(f"passing {day - LIFE_DAYS - 1}", now)
        wish = await self.store.add_request("run", "task 0", {}, now)
        await self.store.claim_requests(now)
        await self.store.answer_request(wish, {"run": "r"}, now)
        for number in range(self.runs_a_day):
            task = tasks[number % len(tasks)]
            await self._run(task, now + timedelta(seconds=number * 86_000 // self.runs_a_day), day, number)

    async def _meet(self, task: str, now: datetime) -> None:
        path = f"00_system/tasks/{task}.md"
        row = TaskRow(
            task=task,
            path=path,
            fingerprint="f",
            fires=True,
            watermark=now,
            latched=False,
            seen_definition="d",
        )
        facts = {f"{fact}{task}": now.isoformat() for fact in TASK_FACTS}
        await self.store.save(Batch(tasks=(row,), sources={task: "{}"}, meta=facts))
        self.trust.pin(task, "hash", now, source="{}")
        (self.place.vault.root / path).write_text("x")

    async def _part(self, task: str, now: datetime) -> None:
        row = (await self.store.task_rows())[task]
        await self.store.save(Batch(tasks=(replace(row, fires=False, watermark=now),)))
        (self.place.vault.root / row.path).unlink()

    async def _run(self, task: str, at: datetime, day: int, number: int) -> None:
        """A run from its claim to its deliveries; every tenth fails, the definition changes each week."""
        self.count += 1
        key, digest = fire_key(task, at), f"{task} of week {day // 7}"
        run = Run(
            id=run_id(key, at),
            key=key,
            task=task,
            path=f"00_system/tasks/{task}.md",
            trigger=TriggerKind.AT,
            fire_time=at,
            claimed_at=at,
            snapshot=digest,
        )
        batch = Batch(claims=(Claim(run=run),), snapshots={digest: '{"type": "command"}' + " " * 500})
        claimed = (await self.store.save(batch))[key]
        outcome = Outcome.FAILURE if number % 10 == 9 else Outcome.SUCCESS
        result = Result(outcome=outcome, reason="why " * 20, text="line of an output\n" * 100)
        await self.store.begin_attempt(claimed.id, 1, at)
        await self.store.end_attempt(claimed.id, 1, result, at)
        ended = await self.store.finish(claimed.id, outcome, result, "why", at, (NOTE, DAILY_LOG, OUTPUT))
        await self.store.save(Batch(followed=(claimed.id,)))
        for target in (NOTE, DAILY_LOG, OUTPUT):
            await self.store.mark_delivered(claimed.id, target, at)
        await self.store.set_note_state(f"Out/{task} {at:%Y-%m-%d}.md", "hash", at)
        self.trust.add_spend(claimed.id, 1, task, at.date(), 0.01)
        self._write(ended, at, number)

    def _write(self, run: Run, at: datetime, number: int) -> None:
        assert run.state is RunState.ENDED
        if run.task in self.sections:
            data = insert_runs(self.sections[run.task], [entry_of(run, ZoneInfo("UTC"))], 20)
            self.sections[run.task] = data
            self.longest = max(self.longest, len(data) - data.index(b"## Runs"))
        if number % 5 == 0:
            output = self.place.runs_folder / run.id / "output-1.txt"
            output.parent.mkdir(parents=True)
            with output.open("wb") as file:
                file.truncate(OUTPUT_SIZE)
            _age(output, at)
        if number == 0:
            note = self.place.vault.root / run.path
            temp = note.with_name(TempName.of(note, b"what was read", b"what was to be written").with_new_tail())
            temp.write_text("what was to be written")
            _age(temp, at)
            aside = self.place.state / f"ledger-corrupt-{at:%Y%m%d}.db"
            aside.write_text("x")
            _age(aside, at)

    def _sizes(self) -> dict[str, int]:
        with contextlib.closing(sqlite3.connect(self.place.ledger_path)) as db:
            sizes = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
            sizes |= {what: db.execute(sql).fetchone()[0] for what, sql in ORPHANS.items()}
        with contextlib.closing(sqlite3.connect(self.place.approvals_path)) as db:
            sizes |= {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("pins", "spend")}
        outputs = list(self.place.runs_folder.rglob("output-*.txt"))
        return sizes | {
            "ledger": self.place.ledger_path.stat().st_size,
            "approvals": self.place.approvals_path.stat().st_size,
            "outputs": len(outputs),
            "output bytes": sum(path.stat().st_size for path in outputs),
            "set aside": len(list(self.place.state.glob("*-corrupt-*"))),
            "temps": len(list(self.place.vault.root.rglob(".vault-sched.*"))),
            "section": self.longest,
        }


def _age(path: Path, at: datetime) -> None:
    os.utime(path, (at.timestamp(), at.timestamp()))


def attack(days: int, runs_a_day: int, retain: Retain | None = None) -> Figures:
    """Live these days; what was left."""
    figures, retain = Figures(days), retain or Retain()
    with scratch() as folder:
        year = Year(folder, runs_a_day, retain)
        asyncio.run(year.live(figures))
    judge(figures, retain)
    return figures


def judge(figures: Figures, retain: Retain) -> None:
    """Nothing grows from the first look (after a year) to the last; nothing is left of what is gone."""
    first, last = figures.sizes[min(figures.sizes)], figures.sizes[max(figures.sizes)]
    # What we wrote into whole notes is known for twice as long, so that one a year can be replaced; spend for 400 days.
    longer = {"notes"} | ({"spend", "approvals"} if figures.days < 500 else set())
    for what in {*first} - longer - {*ORPHANS}:
        if last[what] > first[what] * GROWTH + 10:
            figures.faults.append(f"{what} grew from {first[what]} to {last[what]}")
    for day, sizes in figures.sizes.items():
        figures.faults += [f"day {day}: {sizes[what]} {what}" for what in ORPHANS if sizes[what]]
        if sizes["output bytes"] > retain.outputs_size:
            figures.faults.append(f"day {day}: outputs of {sizes['output bytes']} bytes")
        if sizes["section"] > SECTION_LIMIT:
            figures.faults.append(f"day {day}: a section of {sizes['section']} bytes")
        if sizes["temps"] > 2:
            figures.faults.append(f"day {day}: {sizes['temps']} temp files")


def main() -> int:
    """Live as the command line says; 1 if something grows or is left over."""
    numbers = [int(argument) for argument in sys.argv[1:]]
    days, runs_a_day = (numbers + [550, 60][len(numbers) :])[:2]
    figures = attack(days, runs_a_day)
    print(figures.line())
    for fault in figures.faults[:20]:
        print(f"  {fault}")
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
