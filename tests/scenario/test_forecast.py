"""What the forecast says is what the daemon then does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.commands.forecast import Prospect, forecast_vault
from vault_scheduler.commands.forecast_page import forecast_page
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.machine.config import Machine
from vault_scheduler.machine.place import Place, read_settings
from vault_scheduler.planning.foreseen import Foreseen
from vault_scheduler.platform.lock import VaultLock
from vault_scheduler.run import Outcome, Run
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import World
from vault_scheduler.vault.vault import Vault

SETTINGS = """\
status: active
host: here
timezone: Europe/Berlin
log: none
max_parallel: 3
max_claude: 1
vault_max_usd_day: 1000
"""
DST_WEEKEND = datetime(2026, 10, 23, 21, 0, tzinfo=UTC)  # Friday 23:00 in Berlin; on Sunday the clocks go back

Start = tuple[str, str, str, str]


class Life:
    """Time goes by in a world whose runs take so many seconds each."""

    def __init__(self, world: World, takes: Callable[[str], float]) -> None:
        self._world = world
        self._takes = takes
        self._ends: dict[str, float] = {}
        world.script = self._begin

    def _begin(self, request: RunRequest) -> None:
        self._ends[request.run] = self._world.clock.monotonic() + self._takes(request.task)

    def advance(self, seconds: float) -> None:
        """Each run ends at its second, also where that is no moment at which the daemon looks by itself."""
        world, end = self._world, self._world.clock.monotonic() + seconds
        world.settle()
        while (now := world.clock.monotonic()) < end:
            following = min([end, now + world.daemon.pause_s(), *self._ends.values()])
            world.clock.advance(max(following - now, 0.001))
            for run in [run for run, at in self._ends.items() if at <= world.clock.monotonic()]:
                del self._ends[run]
                if run in world.engine.running:  # else it was cancelled
                    world.engine.finish(run)
            world.settle()


def foresee(world: World, until: timedelta) -> Prospect:
    """As the command does it beside the daemon."""
    vault = Vault(world.root)
    place = Place(
        vault=vault,
        machine=Machine(host="here"),
        state=world.state_folder,
        clock=world.clock,
        machine_timezone=world.zone.key,
        settings=read_settings(vault, world.zone.key),
    )
    return world.call(forecast_vault(place, None, world.clock.now() + until))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[World], None]]:
    """Hold a world's lock, as its daemon would."""
    locks: list[VaultLock] = []

    def hold(world: World) -> None:
        locks.append(VaultLock(world.state_folder / "lock"))
        locks[-1].acquire()

    yield hold
    for lock in locks:
        lock.release()


def _start(run: Foreseen | Run, started: datetime) -> Start:
    """Task, fire time and start to the second; and whether it is cancelled."""
    fate = "cancelled" if run.outcome is Outcome.CANCELLED else ""
    return run.task, _second(run.fire_time), _second(started), fate


def _second(moment: datetime) -> str:
    return (moment + timedelta(milliseconds=500)).strftime("%d %H:%M:%S")


def foreseen(runs: Iterable[Foreseen], end: datetime) -> list[Start]:
    return sorted(_start(run, run.starts_at) for run in runs if run.starts_at is not None and run.starts_at <= end)


def done(runs: Iterable[Run]) -> list[Start]:
    return sorted(_start(run, run.started_at) for run in runs if run.started_at is not None)


def unstarted(runs: Iterable[Foreseen | Run]) -> Counter[tuple[str, str]]:
    """How many fire times of each task did not start, by outcome."""
    found: Counter[tuple[str, str]] = Counter()
    for run in runs:
        began = run.starts_at if isinstance(run, Foreseen) else run.started_at
        if began is None and run.outcome is not None:
            found[run.task, run.outcome.value] += run.count
    return found


CROWDED = {  # task → its note, and how many seconds a run takes
    "skip": ("every: 20m", 1513),
    "queue": ("every: 10m\noverlap: queue", 787),
    "cancel": ('cron: "0,30,40 * * * *"\noverlap: cancel', 1327),
    "allow": ("every: 30m\noverlap: allow", 2411),
    "mail in": ('cron: "*/15 * * * *"\ngroup: mail', 131),
    "mail out": ('cron: "0 * * * *"\ngroup: mail', 67),
    "nightly": ('cron: "30 2 * * *"', 3011),
    "wildcard": ('cron: "*/30 2-3 * * *"', 17),
    "new york": ('cron: "0 5,9 * * *"\ntimezone: America/New_York', 613),
    "child": ('after: "[[nightly]]"\ngroup: mail', 211),
    "grandchild": ('after: "[[child]]"', 23),
    "several parents": ('after: ["[[mail in]]", "[[mail out]]"]\noverlap: queue', 941),
    "three": ("every: 8h\nmax_runs: 3", 43),
    "ends": ("every: 3h\nuntil: 2026-10-25T04:00", 59),
}
CLAUDE = {"think": ('cron: "*/20 * * * *"', 407), "write": ('cron: "0 */2 * * *"', 1811)}


def crowd(world: World) -> Life:
    """A vault in which everything that overlaps, waits or ends happens."""
    for name, (text, _) in CROWDED.items():
        world.command(name, text)
    for name, (text, _) in CLAUDE.items():
        world.write(name, f"type: claude\n{text}", body="Think.")
    takes = {name: seconds for name, (_, seconds) in (CROWDED | CLAUDE).items()}
    return Life(world, takes.__getitem__)


@pytest.mark.timeout(120)
def test_the_daemon_does_what_was_foreseen(make_world: Callable[..., World], served: Callable[[World], None]) -> None:
    """Two days over a change of the clocks: the same runs start at the same seconds, and the same ones do not.

    The forecast knows how long runs take from the ledger alone, and begins while some are going and waiting.
    """
    world = make_world(DST_WEEKEND, settings=SETTINGS)
    life = crowd(world)
    served(world)
    world.start()
    for name in CROWDED | CLAUDE:
        world.request("run", name)
    life.advance(3 * 3600 + 1234)
    begun, end = world.clock.now(), world.clock.now() + timedelta(days=2)
    before, found = unstarted(world.runs()), foresee(world, end - begun)
    assert not [name for name, duration in found.durations.items() if duration.source != "history"]
    life.advance((end - begun).total_seconds())

    going, ahead = [run for run in found.runs if run.run], [run for run in found.runs if not run.run]
    assert len(going) > 2
    assert foreseen(going, end) == done(run for run in world.runs() if run.id in {run.run for run in going})
    new = [run for run in world.runs() if run.claimed_at > begun]
    assert foreseen(ahead, end) == done(new)
    assert len(done(new)) > 500
    passed = unstarted(world.runs()) - before  # a range row may have begun before
    assert unstarted(found.runs) == passed
    assert {task for task, _ in passed} >= {"skip", "queue", "cancel"}


def page(world: World, until: timedelta) -> str:
    return "\n".join(forecast_page(foresee(world, until), 80))


def test_days_on_which_nothing_else_runs(world: World) -> None:
    """What runs all the time is told once; the days say that there is nothing else, and not that there is nothing."""
    world.command("inbox", "every: 1h")
    world.start()
    world.stop()
    lines = page(world, timedelta(days=3)).splitlines()
    days = [line for line in lines if line.endswith("nothing else")]
    assert len(days) == 1
    assert days[0].startswith("Fri 20 Nov – Mon 23 Nov, each day")


def test_what_runs_every_hour_and_a_half_is_one_line(world: World) -> None:
    """Though there are hours in which it does not start; what runs a few times far apart is told time by time."""
    world.command("often", "every: 90m")
    world.command("seldom", "every: 3h")
    world.start()
    world.stop()
    lines = page(world, timedelta(hours=5)).splitlines()
    assert [line.split("often")[1].strip() for line in lines if "  often  " in line] == ["4 × every 1h30m"]
    assert len([line for line in lines if "  seldom  " in line]) == 2


WEEKEND = """\
Sat 2026-10-24 00:00 – Mon 2026-10-26 12:00 · Europe/Berlin
No daemon serves this vault: this is what `vault-sched daemon` would run.

All the time
  732 ×        inbox     every 5m

Sat 24 Oct                                                                5 runs
  02:30        backup    10 s
  02:30:10     index     10 s, after backup
  07:00        briefing  2 min
  08:00        research  2 min
  12:00        gated     10 s

Sun 25 Oct                                                                5 runs
  ↳ Sun 2026-10-25 03:00: the clocks go back 1 h to 02:00 (+02:00 → +01:00)
    backup: 02:30 comes twice: it fires once, the first time
  02:30        backup    10 s
  02:30:10     index     10 s, after backup
  07:00        briefing  2 min
  08:00        research  2 min
  12:00        gated     10 s

Mon 26 Oct                                                               17 runs
  02:30        backup    10 s
  02:30:10     index     10 s, after backup
  07:00        briefing  2 min
  08:00        research  2 min
  09:00–10:50  ping      12 × */10 9-10 * * 1-5
  12:00        gated     10 s

in all      759 runs, 2 h 17 min of work
busiest     Mon 26 Oct 09:00, 18 runs in that hour
cost        up to $3.00; most on Sat 24 Oct: $1.00 of $0.80. If every run spent
            its cap, runs would be skipped on 3 days
guessed     10 s: backup, gated, inbox, index, ping; 2 min: briefing, research
unforeseen  1 task starts on changes (watch); 1 task starts after failures
            (sick)
gates       taken to open: gated
not due     yearly
off         1 invalid (bad); 1 paused (off)"""


def test_a_weekend_to_read_on_friday_evening(make_world: Callable[..., World]) -> None:
    """In a vault that has never run: by day, what runs all the time once, and what nobody can foresee named."""
    world = make_world(DST_WEEKEND + timedelta(hours=1), settings=SETTINGS.replace("day: 1000", "day: 0.80"))
    world.command("inbox", "every: 5m")
    world.command("backup", 'cron: "30 2 * * *"')
    world.command("index", 'after: "[[backup]]"')
    world.write("briefing", "type: claude\ncron: '0 7 * * *'", body="Brief.")
    world.write("research", "type: claude\ncron: '0 8 * * *'", body="Research.")
    world.command("ping", 'cron: "*/10 9-10 * * 1-5"')
    world.command("watch", 'on_change: "Inbox/*.md"')
    world.command("sick", 'after: "[[backup]]"\nafter_outcome: failure')
    world.command("off", "every: 1h\nstatus: paused")
    world.command("yearly", 'cron: "0 0 1 1 *"')
    world.command("bad", "every: 1x")
    world.command("gated", 'cron: "0 12 * * *"\ngate: test -f x')
    assert page(world, timedelta(hours=61)) == WEEKEND


def test_days_that_are_alike_are_told_once(world: World) -> None:
    """From the first to the last of them; what has only one day stands alone."""
    world.command("backup", 'cron: "0 3 * * *"')
    world.command("review", 'cron: "0 18 * * 0"')
    told = page(world, timedelta(days=7))
    headings = [line for line in told.splitlines() if line[:3] in ("Fri", "Sat", "Sun", "Mon")][1:]
    assert [" ".join(line.split()) for line in headings] == [
        "Fri 20 Nov nothing",
        "Sat 21 Nov 1 run",
        "Sun 22 Nov 2 runs",
        "Mon 23 Nov – Fri 27 Nov, each day 1 run",
    ]


def test_what_is_going_on_and_waits_comes_first(world: World, served: Callable[[World], None]) -> None:
    """Beside the daemon, with the times that the runs before have taken."""
    world.write_settings(SETTINGS.replace("max_parallel: 3", "max_parallel: 1"), age_s=3600)
    world.command("long", 'cron: "0 10,11 20 11 *"')
    world.command("queue", "every: 10m\ngroup: mail\noverlap: queue")
    life = Life(world, lambda task: 1800 if task == "long" else 60)
    served(world)
    world.start()
    world.request("run", "long")
    life.advance(1900)
    world.request("run", "long")
    life.advance(10 * 60)
    assert page(world, timedelta(minutes=45)).splitlines()[1:] == [
        "",
        "Going on",
        "  10:31:40     long   until about 11:02",
        "  10:40        queue  starts about 11:02, waits 20 min 20 s for a slot",
        "",
        "Fri 20 Nov                                                                3 runs",
        "  10:50        queue  skipped: a later fire time takes its place",
        "  11:00        long   skipped: still running",
        "  11:00        queue  1 min, waits 3 min for its last run to end",
        "  11:10–11:20  queue  2 × every 10m",
        "",
        "in all   5 runs, 34 min of work; 3 wait up to 20 min 20 s; 2 skipped",
        "busiest  Fri 20 Nov 11:00, 4 runs in that hour",
    ]


def test_what_the_daemon_missed_comes_first(world: World) -> None:
    """A daemon that starts now catches up."""
    world.command("daily", 'cron: "30 10 * * *"')
    world.command("strict", 'cron: "*/20 * * * *"\ncatch_up: skip')
    world.start()
    world.stop()
    world.clock.advance(2 * 3600 - 60)
    told = page(world, timedelta(minutes=30)).splitlines()
    assert told[3:6] == [
        "Late",
        "  Fri 2026-11-20 10:20  strict  5 × missed: the scheduler was off",
        "  Fri 2026-11-20 10:30  daily   starts at once",
    ]


def test_a_vault_that_is_off_says_so(world: World) -> None:
    """Nothing starts, whatever the tasks say."""
    world.write_settings(SETTINGS.replace("active", "paused"), age_s=3600)
    world.command("a", "every: 10m")
    told = page(world, timedelta(days=1))
    assert "Nothing starts now: vault paused." in told
    assert "off     1 paused (a)" in told


def test_what_a_daemon_that_died_left_running_is_abandoned_or_retried(world: World) -> None:
    """As the next daemon ends it, with what comes after such an end; nobody is told of a success."""
    world.script = lambda request: None
    world.command("lost", 'cron: "10 10 * * *"')
    world.command("again", 'cron: "10 10 * * *"\nretries: 1\nretry_delay: 5m')
    world.command("cancelled", 'cron: "10 10 * * *"')
    world.command("sweeps", 'after: "[[lost]]"\nafter_outcome: failure')
    world.command("goes-on", 'after: "[[lost]]"')
    world.start()
    world.advance_to("10:12")
    run = next(run for run in world.runs("cancelled"))
    world.call(world.store.order_end(run.id, "cancelled by hand"))
    world.crash()
    found = foresee(world, timedelta(hours=1))
    told = {
        run.task: (run.outcome.value, run.reason, world.local(run.starts_at or run.fire_time)) for run in found.runs
    }
    assert told == {
        "lost": ("abandoned", "vault-sched died while it ran", "10:10"),
        "again": ("success", "", "10:10"),
        "cancelled": ("cancelled", "cancelled by hand", "10:10"),
        "sweeps": ("success", "", "10:12"),
    }
    assert any("abandoned: vault-sched died while it ran" in line for line in forecast_page(found, 120))
    world.script = lambda request: SUCCESS
    world.start()
    world.advance(600)
    assert {run.task: run.outcome for run in world.runs()} == {
        "lost": Outcome.ABANDONED,
        "again": Outcome.SUCCESS,
        "cancelled": Outcome.CANCELLED,
        "sweeps": Outcome.SUCCESS,
    }
