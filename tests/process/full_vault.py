"""A vault in which everything occurs that commands can tell: every state, problem, outcome, range, question, cost."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vault_scheduler.ledger.good_notes import GoodNote, GoodNotes
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import NOTE, Batch, Claim, Decision, TaskRow, Unstarted
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.planning.incidents import Incident, Origin
from vault_scheduler.platform.paths import vault_label
from vault_scheduler.run import Outcome, Result, Run, TriggerKind, fire_key, run_id
from vault_scheduler.task import Topic

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
COMMAND = '---\ntype: command\ncron: "{cron}"\n{keys}---\n```sh\necho hello\n```\n'
CLAUDE = "---\ntype: claude\ncron: 0 6 * * *\nmax_usd: 0.25\n---\nDo what {name} says.\n"
NOTES = {
    "briefing": CLAUDE.format(name="the morning"),
    "work/sync": COMMAND.format(cron="*/15 * * * *", keys="retries: 2\n"),
    "日本語のタスク": COMMAND.format(cron="30 22 * * 0", keys=""),
    "resting": COMMAND.format(cron="0 9 * * *", keys="status: paused\n"),
    "away": COMMAND.format(cron="0 9 * * *", keys="paused_until: 2099-01-01\n"),
    "halted": COMMAND.format(cron="0 9 * * *", keys="status: stopped\n"),
    "over": COMMAND.format(cron="0 9 * * *", keys="status: done\n"),
    "elsewhere": COMMAND.format(cron="0 9 * * *", keys="host: other-machine\n"),
    "[red]hostile[/red]": COMMAND.format(cron="0 10 * * *", keys='group: "[link=https://x.example]a"\n'),
    "strange": COMMAND.format(cron="0 9 * * *", keys="timout: 5m\n"),
    "broken": "---\ntype: command\ncron: */5 * * * *\n---\n",
    "empty": "---\ntype: claude\n---\n",
    "wants": COMMAND.format(cron="0 5 * * *", keys=""),
}
HELD = "wants"


def fill(folder: Path) -> None:
    """Make the vault below `folder`, with its machine's configuration, ledger and approvals."""
    system, config = folder / "vault" / "00_system", folder / "config" / "vault-sched"
    config.mkdir(parents=True)
    (config / "config.toml").write_text('host = "here"\ntrust = "pinned"\n')
    (system / "tasks" / "work").mkdir(parents=True)
    (system / "scheduler.md").write_text("---\nstatus: active\nhost: here\ntimezone: Europe/Berlin\n---\n")
    for name, text in NOTES.items():
        path = system / "tasks" / f"{name.replace('[/', '[')}.md"
        path.write_text(text, "utf-8")
        os.utime(path, ((NOW - HOUR).timestamp(), (NOW - HOUR).timestamp()))
    state = folder / "state" / "vault-sched" / vault_label(folder / "vault")
    state.mkdir(parents=True)
    asyncio.run(with_ledger(state / "ledger.db", _runs))
    trust = Trust.open(state / "approvals.db", version="test")
    trust.add_spend("r-1", 1, "briefing", NOW.date(), 0.11)
    trust.close()
    notes = GoodNotes.open(state / "notes.db", version="test")
    kept = [
        GoodNote(task=t, path=_path(t), definition="h", kept_at=NOW, data=b"x") for t in ("briefing", "thrown-away")
    ]
    notes.keep(kept)
    notes.close()


async def with_ledger(path: Path, work: Callable[[SqliteStore], Awaitable[object]]) -> None:
    store = await SqliteStore.open(path, version="test", owner="test")
    try:
        await work(store)
    finally:
        await store.close()


async def _runs(store: SqliteStore) -> None:
    row = TaskRow(task="over", path=_path("over"), fingerprint="x", fires=True, watermark=NOW)
    await store.save(Batch(tasks=(row,)))
    kinds = [
        (Outcome.SUCCESS, "", 0.11),
        (Outcome.FAILURE, "exit 3: rsync: connection to backup.example.org was refused by the other side", None),
        (Outcome.TIMEOUT, "after 1 h", None),
        (Outcome.CANCELLED, "by a person", None),
        (Outcome.ABANDONED, "the daemon died during it", None),
        (Outcome.SUCCESS, "", 0.0),
    ]
    for hours, (outcome, reason, cost) in enumerate(kinds, 10):
        task = "briefing" if cost else "work/sync"
        run = a_run(task, NOW - hours * HOUR)
        code = 0 if outcome is Outcome.SUCCESS else 3
        result = Result(outcome=outcome, reason=reason, cost_usd=cost, exit_code=code, text="fine")
        await _ended(store, run, result, (NOTE,) if outcome is Outcome.FAILURE else ())
    asks = Result(outcome=Outcome.BLOCKED, reason="Which?", question="Which project?", session_id="s", turns=1)
    await _ended(store, a_run("briefing", NOW - 5 * HOUR), asks, ())
    await _unstarted(store, "work/sync", Outcome.MISSED, "asleep", 4)
    await _unstarted(store, "resting", Outcome.SKIPPED, "\x1b[31m[bold]odd[/bold]\x07", 1)
    failing = Incident(origin=Origin.RUN, subject="work/sync", signature="exit 3", topic=Topic.FAILURE, since=NOW)
    await store.decide(Decision(keep=(failing,)), NOW)
    going, waits = a_run("work/sync", NOW - timedelta(minutes=2)), a_run("日本語のタスク", NOW)
    await store.save(Batch(claims=(Claim(run=going), Claim(run=waits))))
    await store.begin_attempt(going.id, 1, NOW - timedelta(minutes=2))
    await store.attempt_running(going.id, 1, os.getpid(), 1, "boot", NOW)
    await store.wait(waits.id, "quota", NOW + HOUR)


def a_run(task: str, at: datetime) -> Run:
    key = fire_key(task, at)
    return Run(
        id=run_id(key, at), key=key, task=task, path=_path(task), trigger=TriggerKind.AT, fire_time=at, claimed_at=at
    )


def _path(task: str) -> str:
    return f"00_system/tasks/{task}.md"


async def _ended(store: SqliteStore, run: Run, result: Result, deliveries: tuple[str, ...]) -> None:
    end = run.fire_time + timedelta(seconds=41)
    await store.save(Batch(claims=(Claim(run=run),)))
    await store.begin_attempt(run.id, 1, run.fire_time)
    await store.end_attempt(run.id, 1, result, end)
    await store.finish(run.id, result.outcome, result, result.reason, end, deliveries=deliveries)


async def _unstarted(store: SqliteStore, task: str, outcome: Outcome, reason: str, count: int) -> None:
    first = NOW - 3 * HOUR
    row = Unstarted(
        task=task, path=_path(task), first=first, last=first + HOUR, count=count, outcome=outcome, reason=reason
    )
    await store.save(Batch(unstarted=(row,)))


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
