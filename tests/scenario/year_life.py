"""The life of a vault with many tasks: people edit, machines sleep, die and jump; the oracle watches every moment."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock
from zoneinfo import ZoneInfo

from vault_scheduler.daemon import readings, scheduler, survey
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.ledger import requests
from vault_scheduler.planning import attendance
from vault_scheduler.platform import replace, temp_files
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing import SUCCESS, Lasting
from vault_scheduler.testing_world import World
from vault_scheduler.triggers.schedule import (
    CronTrigger,
    IntervalTrigger,
    OnceTrigger,
    Schedule,
    Trigger,
    interval_anchor,
    local_to_utc,
)

if TYPE_CHECKING:
    from tests.scenario import year_company as company
    from tests.scenario.year_oracle import Declared, Oracle, Row, Span, faults
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import year_company as company
    from year_oracle import Declared, Oracle, Row, Span, faults

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
PATIENCE_S = 6 * HOUR
"""The daemon looks round this often instead of every 30 s, so that a year costs seconds. Whatever it starts in time it
starts because it knew when, and not because it happened to look."""
FURTHEST_BACK = 20 * HOUR
"""A clock that was more than a day ahead was a wrong clock, and holds nothing back (tests/scenario/test_firing.py)."""
JUMP_S, PUT_RIGHT_S = 60.0, 600.0  # rule 11
MAX_PARALLEL = 4
FAILURE = Result(outcome=Outcome.FAILURE, reason="exit 1", exit_code=1)
ZONES = [
    "Europe/Berlin",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Kolkata",
    "Pacific/Auckland",
    "Africa/Casablanca",
    "UTC",
]
DST_DAYS = ["28 3", "31 10", "14 3", "7 11", "4 4", "3 10", "26 9"]  # day and month, of 2027
OURS = {"last_run", "last_status", "next_run", "status_reason", "run_now"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """When a task fires, as text and as a schedule."""

    text: str
    schedule: Schedule
    is_one_shot: bool = False
    on_start: bool = False


@dataclass(slots=True, kw_only=True)
class Note:
    """What stands in a note besides the scheduler's own keys, and whether the daemon may not know it yet."""

    plan: Plan
    policies: dict[str, str]
    status: str = "active"
    paused_until: str = ""
    paused_until_s: float = 0.0
    broken: bool = False
    exists: bool = True
    changed_at: float = 0.0  # awake second of the last edit

    @property
    def zone(self) -> ZoneInfo:
        """Of all its local times."""
        return ZoneInfo(self.plan.text.partition("\n")[0].removeprefix("timezone: "))

    def declared(self) -> Declared:
        late = self.policies.get("max_late", "1d" if self.plan.is_one_shot else "12h")
        return Declared(
            triggers=self.plan.text,
            schedule=self.plan.schedule,
            catch_up=self.policies.get("catch_up", "latest"),
            max_late_s=seconds(late),
            overlap=self.policies.get("overlap", "skip"),
            on_start=self.plan.on_start,
            status=self.status,
            paused_until=self.paused_until_s,
            broken=self.broken,
        )

    def frontmatter(self, command: str) -> list[str]:
        kind = "comand" if self.broken else "command"
        pause = [f"paused_until: {self.paused_until}"] if self.paused_until else []
        policies = [f"{key}: {value}" for key, value in self.policies.items()]
        return [
            f"type: {kind}",
            f"command: {command}",
            *self.plan.text.split("\n"),
            *policies,
            f"status: {self.status}",
            *pause,
        ]


def seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]


class Planner:
    """Makes up triggers and policies."""

    def __init__(self, rng: Random, *, busy: bool) -> None:
        self.rng = rng
        self.busy = busy

    def plan(self, now: datetime) -> Plan:
        """Some triggers; `busy`: as in a vault that is watched for days, not for a year."""
        rng, zone = self.rng, self.rng.choice(ZONES)
        local = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None, second=0, microsecond=0)
        kinds = [self._minutes, self._every, self._at, self._daily] if self.busy else []
        if not self.busy:
            kinds = [self._monthly] * 7 + [self._seldom] * 6 + [self._night] * 3
            kinds += [self._every_days, self._at, self._at, self._two, self._bounded, self._start]
            if rng.random() < 0.03:
                kinds = [self._weekly, self._weekly, self._weekly, self._daily]
        return self._with_zone(rng.choice(kinds)(local), zone)

    def _with_zone(self, parts: dict[str, Any], zone: str) -> Plan:
        info = ZoneInfo(zone)
        lines, triggers = [f"timezone: {zone}"], list[Trigger]()
        start = _utc(parts.get("start"), info)
        for cron in parts.get("cron", []):
            triggers.append(CronTrigger(cron, info))
        if parts.get("cron"):
            lines.append("cron: [" + ", ".join(f'"{cron}"' for cron in parts["cron"]) + "]")
        if "every" in parts:
            lines.append(f"every: {parts['every']}")
            period = timedelta(seconds=seconds(parts["every"]))
            triggers.append(IntervalTrigger(period, start or interval_anchor(info)))
        if "at" in parts:
            lines.append("at: [" + ", ".join(moment.isoformat() for moment in parts["at"]) + "]")
            triggers.append(OnceTrigger(tuple(local_to_utc(moment, info) for moment in parts["at"])))
        lines += [f"{bound}: {parts[bound].isoformat()}" for bound in ("start", "until") if bound in parts]
        lines += ["on_start: true"] if "on_start" in parts else []
        schedule = Schedule(tuple(triggers), start, _utc(parts.get("until"), info))
        is_one_shot = not (parts.get("cron") or "every" in parts) and "at" in parts
        return Plan(text="\n".join(lines), schedule=schedule, is_one_shot=is_one_shot, on_start="on_start" in parts)

    def _clock(self) -> str:
        return (
            f"{self.rng.choice([0, 0, 15, 30, 59, self.rng.randrange(60)])} {self.rng.choice([0, 1, 2, 3, 7, 9, 23])}"
        )

    def _monthly(self, local: datetime) -> dict[str, Any]:
        return {"cron": [f"{self._clock()} {self.rng.choice(['1', '15', '28', '31', 'L', '9', '20'])} * *"]}

    def _seldom(self, local: datetime) -> dict[str, Any]:
        day = self.rng.choice(["1", "15", "28", "31", "L", "9"])
        return {"cron": [f"{self._clock()} {day} {self.rng.choice(['*/3', '1,7', 'JAN', '10', '3'])} *"]}

    def _weekly(self, local: datetime) -> dict[str, Any]:
        return {"cron": [f"{self._clock()} * * {self.rng.choice(['0', 'SUN', 'mon', '3', 'FRI#1', 'L5'])}"]}

    def _daily(self, local: datetime) -> dict[str, Any]:
        return {"cron": [f"{self._clock()} * * *"]}

    def _night(self, local: datetime) -> dict[str, Any]:
        """Close together, on a day when the clocks change somewhere."""
        minutes = self.rng.choice(["*/15", "*/7", "0,30", "20", "*"])
        return {"cron": [f"{minutes} {self.rng.choice(['0-3', '1-2', '2', '*/2'])} {self.rng.choice(DST_DAYS)} *"]}

    def _every_days(self, local: datetime) -> dict[str, Any]:
        return {"every": self.rng.choice(["9d", "23d", "71d", "400h"])}

    def _at(self, local: datetime) -> dict[str, Any]:
        span = 3 * 1440 if self.busy else 300 * 1440
        moments = {local + timedelta(minutes=self.rng.randrange(1, span)) for _ in range(self.rng.randrange(1, 5))}
        return {"at": sorted(moments)}

    def _two(self, local: datetime) -> dict[str, Any]:
        return {**self._monthly(local), **self._at(local), "every": "30d"}

    def _bounded(self, local: datetime) -> dict[str, Any]:
        start = local + timedelta(minutes=self.rng.randrange(300 * 1440))
        until = start + timedelta(minutes=self.rng.randrange(60, 3000))
        return {
            "cron": [self.rng.choice(["0 * * * *", "*/20 8-9 * * *", "17 */3 * * *"])],
            "start": start,
            "until": until,
        }

    def _start(self, local: datetime) -> dict[str, Any]:
        return {**self._monthly(local), "on_start": True}

    def _minutes(self, local: datetime) -> dict[str, Any]:
        return {"cron": [self.rng.choice(["*/15 * * * *", "13,14 * * * *", "* */8 * * *", "0 * * * *", "30 2 * * *"])]}

    def _every(self, local: datetime) -> dict[str, Any]:
        return {"every": self.rng.choice(["25m", "1h", "90s", "5h"])}

    def policies(self) -> dict[str, str]:
        rng = self.rng
        found = {"log": "all"} if rng.random() < 0.1 else {}
        for key, values, chance in (
            ("catch_up", ["latest", "skip", "all"], 0.6),
            ("max_late", ["30s", "5m", "3h", "3d"], 0.3),
            ("retries", ["1", "2"], 0.3),
            ("retry_delay", ["10s", "5m", "45m"], 0.3),
            ("timeout", ["2m", "3h"], 0.2),
            ("pause_after", ["1", "3"], 0.2 if self.busy else 0.05),
        ):
            if rng.random() < chance:
                found[key] = rng.choice(values)
        return found


def _utc(local: datetime | None, zone: ZoneInfo) -> datetime | None:
    return local_to_utc(local, zone) if local is not None else None


class Watched(World):
    """A world that says when the daemon has done what there was to do."""

    watch: Any = staticmethod(lambda: None)

    def settle(self) -> None:
        super().settle()
        self.watch()


@dataclass(slots=True)
class Spans:
    """Stretches of wall time; the last may go on."""

    done: list[Span] = field(default_factory=list)
    since: float | None = None

    def set(self, on: bool, now: float) -> None:
        if on and self.since is None:
            self.since = now
        elif not on and self.since is not None:
            self.done.append((self.since, now))
            self.since = None

    def set_back(self, now: float, to: float) -> None:
        """The clock is being set back: what goes on now goes on from there."""
        if self.since is not None:
            self.done.append((self.since, now))
            self.since = to

    def all(self, now: float) -> list[Span]:
        return self.done if self.since is None else [*self.done, (self.since, now)]


class Life:
    """Everything that can happen to a vault, with an oracle beside it. All durations in seconds."""

    def __init__(self, folder: Path, seed: int, *, tasks: int, busy: bool, begin: datetime) -> None:
        self.world = Watched(folder, begin, settings="")
        self.world.script = self._answer
        self.world.watch = self._watch
        self.seed = seed
        self.planner = Planner(Random(seed), busy=busy)
        self.begin = begin.timestamp()
        self.notes: dict[str, Note] = {}
        self.pending: dict[str, float] = {}  # note whose edit does not count yet → wall time of the edit
        self.before: dict[str, bytes] = {}  # what stood in such a note
        self.exact: set[str] = set()  # of these, the ones whose quiet time can be told
        self.vault_status, self.vault_paused_until = "active", ""
        self.vault_paused_until_s = 0.0
        self.settings_pending = False
        self.up = False
        self.starting = False
        self.unseen_since: float | None = None  # nobody looks
        self.absent = Spans()
        self.full = Spans()
        self.edits: defaultdict[str, Spans] = defaultdict(Spans)
        self.unclear: list[Span] = []
        self.doubted_until = 0.0  # awake second until which a step back would put a false clock right
        self.deaths: list[float] = []
        self.told: dict[str, tuple[int, Outcome]] = {}  # run → its last attempt, and how the script ended it
        self.asked: Counter[str] = Counter()
        self.may_start: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.on_start_at: dict[str, float] = {}
        self.cancelled: set[str] = set()
        self.refused: set[str] = set()  # runs whose gate said no
        self.vault_off = Spans()
        self.vault_stopped = Spans()
        self._submitted = 0
        self.lives: Counter[str] = Counter()  # a note that is made again is another one, and not renamed
        self.counts: Counter[str] = Counter()
        self.oracle = Oracle(self.now)
        self.story: list[tuple[float, str, str]] = []  # wall time, task ("": all), what happened
        self._tokens = Random(f"{seed} tokens")
        self._patches: list[Any] = [
            mock.patch.object(scheduler, "LONGEST_WAIT_S", PATIENCE_S),
            mock.patch.object(readings, "SWEEP_S", PATIENCE_S),
            mock.patch.object(survey, "AWAY_S", PATIENCE_S),
            mock.patch.object(attendance, "LONGEST_TICK", timedelta(days=1)),  # so that patience is no standstill
            # Nothing of the real clock and no chance of its own reaches a life: it depends on its seed alone.
            mock.patch.object(replace, "BUSY_S", -1e9),
            mock.patch.object(temp_files, "_advance_mtime", self._date_file),
            mock.patch.object(requests, "secrets", SimpleNamespace(token_hex=self._token)),
        ]
        for patch in self._patches:
            patch.start()
        self._write_settings(HOUR)
        for number in range(tasks):
            self._new(f"t{number}")
        for name, note in self.notes.items():
            self.oracle.add(name, note.declared(), self.now)
        for name, text in company.texts(busy=busy).items():
            self.world.command(name, text)
        self._begin()

    def _date_file(self, fd: int, like: os.stat_result) -> None:
        """What the daemon writes carries the time of this life."""
        moment = max(int(self.now * 1e9), like.st_mtime_ns + 1_000_000)
        os.utime(fd, ns=(moment, moment))

    def _token(self, size: int) -> str:
        return self._tokens.randbytes(size).hex()

    @property
    def now(self) -> float:
        return self.world.clock.now().timestamp()

    @property
    def days(self) -> float:
        return (self.now - self.begin) / DAY

    # notes

    def _tell(self, what: str, name: str = "") -> None:
        self.story.append((self.now, name, what))

    def _told(self, name: str) -> str:
        """The story of a task, for who reads of a fault."""
        mine = [f"{at:.2f} {what}" for at, whose, what in self.story if whose in ("", name)]
        rows = [str(row) for row in self.rows(name)]
        says = [str(self.oracle.twins[name].says)] if name in self.notes else []
        return "\n".join([*mine[-60:], f"{self.now:.2f} now", *rows[-10:], *says])

    def _new(self, name: str) -> None:
        self.notes[name] = Note(plan=self.planner.plan(self.world.clock.now()), policies=self.planner.policies())
        self.world.put(name, self._text(name), age_s=HOUR)

    def _text(self, name: str) -> bytes:
        path = self.world.path(name)
        kept, body = list[str](), ""
        if path.exists():
            _, head, body = path.read_text().split("---\n", 2)
            kept = [line for line in head.split("\n") if line.partition(":")[0] in OURS]
        return "\n".join(
            ["---", *self.notes[name].frontmatter(f"echo {name} {self.lives[name]}"), *kept, "---", body]
        ).encode()

    def _write(self, name: str, text: bytes) -> None:
        """The note is edited just now; to save what is there already is no edit."""
        path = self.world.path(name)
        before = path.read_bytes() if path.exists() else b""
        if before == text:
            return
        self.before.setdefault(name, before)
        self.notes[name].changed_at = self.world.clock.monotonic()
        self.world.put(name, text)
        self.pending[name] = self.now
        self.edits[name].set(True, self.now)
        (self.exact.add if self.up else self.exact.discard)(name)
        self.counts["edits"] += 1

    def _write_settings(self, age_s: float = 0.0) -> None:
        lines = [f"status: {self.vault_status}", "host: here", "timezone: Europe/Berlin", "log: failures"]
        lines += [f"max_parallel: {MAX_PARALLEL}", "keep_runs: 3"]
        lines += [f"paused_until: {self.vault_paused_until}"]  # without a value: to take the line away frees nothing
        self.world.write_settings("\n".join(lines), age_s=age_s)

    def _after_edit(self) -> None:
        if self.up:
            self.world.settle()

    def edit_triggers(self, name: str) -> None:
        self._tell("edit_triggers", name)
        note = self.notes[name]
        note.plan = self.planner.plan(self.world.clock.now())
        if note.paused_until:  # the same local time, in another zone perhaps
            local = datetime.fromisoformat(note.paused_until)
            note.paused_until_s = local_to_utc(local, note.zone).timestamp()
            self._pass_awake()
            self._hold_until(name)
        self._edit(name)

    def edit_policies(self, name: str) -> None:
        self._tell("edit_policies", name)
        self.notes[name].policies = self.planner.policies()
        self._edit(name)

    def touch(self, name: str) -> None:
        """An edit that changes nothing that counts."""
        self._tell("touch", name)
        self._pass_awake()
        self._write(name, self.world.path(name).read_bytes() + b" ")
        self._after_edit()

    def _edit(self, name: str) -> None:
        self._pass_awake()
        self._write(name, self._text(name))
        self._after_edit()

    def break_or_repair(self, name: str) -> None:
        self._tell("break_or_repair", name)
        self.notes[name].broken = not self.notes[name].broken
        self._edit(name)

    def switch(self, name: str, status: str) -> None:
        """Pausing and stopping count at once, also of an invalid note."""
        self._tell(f"switch {status}", name)
        note = self.notes[name]
        note.status = status
        self._pass_awake()
        if self.up and status != "active":
            self.oracle.hold(self.oracle.twins[name], self.now, status=status)
        self._edit(name)
        self._be_seen()

    def pause_until(self, name: str, length: float) -> None:
        self._tell(f"pause for {length}", name)
        note = self.notes[name]
        note.paused_until, note.paused_until_s = self._moment(length, note.zone)
        self._pass_awake()
        self._hold_until(name)
        self._edit(name)
        self._be_seen()

    def _hold_until(self, name: str) -> None:
        until = self.notes[name].paused_until_s
        if self.up and until > self.now:
            self.oracle.hold(self.oracle.twins[name], self.now, until=until)

    def _be_seen(self) -> None:
        """What holds back is believed when it has been read twice."""
        if self.up:
            self.world.advance(0.5)
            self._pass_awake()

    def _moment(self, length: float, zone: ZoneInfo) -> tuple[str, float]:
        if length <= 0:
            return "", 0.0
        later = datetime.fromtimestamp(self.now + length, zone).replace(second=0, microsecond=0, tzinfo=None)
        return later.isoformat(), local_to_utc(later, zone).timestamp()

    def delete(self, name: str) -> None:
        self._tell("delete", name)
        self._pass_awake()
        note = self.notes[name]
        note.exists = False
        self.world.path(name).unlink()
        note.changed_at = self.world.clock.monotonic()
        self.pending.pop(name, None)
        self.before.pop(name, None)
        self.edits[name].set(False, self.now)
        if self.up:
            self.oracle.hold(self.oracle.twins[name], self.now, gone=True)
            self.world.hint(self.world.path(name))
            self.world.advance(3)
            self._pass_awake()
        self.counts["deletions"] += 1

    def create_again(self, name: str) -> None:
        """Not at once: that would be a rename."""
        self._tell("create_again", name)
        if self.up:
            self.pass_time(MINUTE)
        self.notes[name].broken = False
        self.notes[name].exists = True
        self.lives[name] += 1
        self.edit_triggers(name)

    def switch_vault(self, status: str, pause: float) -> None:
        self._tell(f"vault {status}, pause {pause}", "")
        self._pass_awake()
        self.vault_status = status
        self.vault_off.set(True, self.now)
        if status == "stopped":
            self.vault_stopped.set(True, self.now)
        self.vault_paused_until, self.vault_paused_until_s = self._moment(pause, World.BERLIN)
        self._write_settings()
        self.settings_pending = True
        if self.up:
            self.oracle.switch_vault(self.now, status=status, until=self.vault_paused_until_s, at_once=True)
        self._after_edit()
        self._be_seen()

    # requests

    def tick_run_now(self, name: str) -> None:
        """Tick the checkbox, on a phone say."""
        self._tell("tick_run_now", name)
        note = self.notes[name]
        if not note.exists or note.broken or name in self.pending or "run_now: true" in self.world.text(name):
            return
        self._pass_awake()
        text = self.world.text(name).replace("run_now: false\n", "").replace("---\n", "---\nrun_now: true\n", 1)
        self._write(name, text.encode())
        self.world.advance(1)
        self._pass_awake()
        self.asked[name] += 1

    def request(self, name: str) -> None:
        self._tell("request", name)
        self._pass_awake()
        self.exact.discard(name)  # who asks does not wait
        self.world.request("run", name)
        self._pass_awake()

    def cancel(self, name: str) -> None:
        self._tell("cancel", name)
        self._pass_awake()
        self.cancelled.update(self.world.request("cancel", name).get("cancelled", []))

    # time

    def _pass_awake(self) -> None:
        if self.up and self.unseen_since is None:
            self.oracle.awake(self.now)

    def pass_time(self, length: float) -> None:
        self._tell(f"{length} s pass", "")
        if self.up:
            self.world.advance(length)
            self._pass_awake()
        else:
            self.world.clock.advance(length)

    def to_next_fire(self, name: str, before: float) -> None:
        """Until right before a task fires (negative: right after it)."""
        twin = self.oracle.twins[name]
        moment = twin.says.schedule.next_after(self.world.clock.now()) if twin.on else None
        if moment is not None and 0 < (length := moment.timestamp() - before - self.now) < 20 * DAY:
            self.pass_time(length)

    def _nobody_looks(self) -> None:
        self._pass_awake()
        self.unseen_since = self.now
        self.absent.set(True, self.now)

    def sleep(self, length: float) -> None:
        self._tell(f"sleep {length}", "")
        self.world.settle()
        self._nobody_looks()
        self.exact.clear()  # the age of a new note is told by its file
        self.world.clock.suspend(length)
        self.world.settle()
        if length > JUMP_S:
            self._doubt_clock()
        self.counts["sleeps"] += 1

    def set_back(self, length: float) -> None:
        """The clock is wrong by so much less now; not so that it undoes a jump forward (see test_clock.py)."""
        self._tell(f"back {length}", "")
        if self.up:
            self._let_it_be_believed()
            self.world.settle()
            self._pass_awake()
        until = max(self.oracle.repeated_until, self.now)
        length = min(length, FURTHEST_BACK - (until - self.now))
        if length <= 0:
            return
        self.oracle.set_back(self.now, self.now - length)
        for spans in (self.absent, self.full, self.vault_off, self.vault_stopped, *self.edits.values()):
            spans.set_back(self.now, self.now - length)
        self.world.clock.suspend(-length)
        self.unclear.append((self.now - 12 * HOUR, until + 12 * HOUR))
        if self.up:
            self.world.settle()
        self.counts["set back"] += 1

    def _doubt_clock(self) -> None:
        """A clock that was set forward, or found at a start, may be put right within ten minutes awake (rule 11)."""
        self.doubted_until = self.world.clock.monotonic() + PUT_RIGHT_S + 1

    def _let_it_be_believed(self) -> None:
        if (left := self.doubted_until - self.world.clock.monotonic()) > 0:
            self.pass_time(left)

    def vault_away(self, length: float) -> None:
        self._tell(f"away {length}", "")
        self.world.settle()
        self._nobody_looks()
        self.exact.clear()
        self.world.take_vault_away()
        self.world.advance(length)
        self.world.bring_vault_back()
        self.world.advance(2)
        self._pass_awake()
        self.counts["vault away"] += 1

    def go_down(self, *, crash: bool) -> None:
        self._tell(f"down, crash: {crash}", "")
        self.world.settle()
        self._nobody_looks()
        (self.world.crash if crash else self.world.stop)()
        self.deaths.append(self.now)
        self.up = False
        self.exact.clear()
        self.full.set(False, self.now)
        self.counts["crashes" if crash else "stops"] += 1

    def come_up(self) -> None:
        self._tell("up", "")
        self.starting = True
        self.world.start()
        if self.world.survey.starting:  # a note that was written just now is read twice
            self.world.advance(0.5)
        self.starting = False
        now = self.now
        if self.settings_pending:
            at_once = self._settings_wait
            self.settings_pending = at_once
            self.oracle.switch_vault(
                now, status=self.vault_status, until=self.vault_paused_until_s, at_once=at_once, after_restart=True
            )
        for name, twin in self.oracle.twins.items():
            note = self.notes[name]
            if twin.exists and not note.exists:
                self.oracle.hold(twin, now, gone=True, after_restart=True)
            elif name in self.pending and self._counts(name):
                self.oracle.counts(twin, note.declared(), now, after_restart=True)
                self._no_longer_pending(name)
            elif name in self.pending and (note.status != "active" or note.paused_until_s > now):
                status = note.status if note.status != "active" else ""
                self.oracle.hold(twin, now, status=status, until=note.paused_until_s, after_restart=True)
        self._begun()

    def _begin(self) -> None:
        self.starting = True
        self.world.start()
        self.starting = False
        self._begun()

    def _begun(self) -> None:
        self.up = True
        self._doubt_clock()
        self._expect_on_start()
        self._watch()

    def _expect_on_start(self) -> None:
        for name, twin in self.oracle.twins.items():
            if not (twin.says.on_start and twin.exists):
                continue
            paused = max(twin.says.paused_until, self.oracle.vault_paused_until) > self.now
            armed = twin.on and not paused and not twin.is_invalid(self.now)
            last = self.on_start_at.get(name)
            if armed and (last is None or abs(self.now - last) >= 600):
                self.may_start[name][0] += 1
                self.may_start[name][1] += 1
                self.on_start_at[name] = self.now

    def _answer(self, request: RunRequest) -> Result | Lasting | None:
        """Most are quick, some last, some fail; the same again in the same life."""
        rng = Random(f"{self.seed} {request.run} {request.attempt}")
        assert len(self.world.engine.running) <= MAX_PARALLEL, "more runs are going than may"
        wrong = company.going_faults(self.world.engine.running.values())
        assert not wrong, wrong
        if request.task not in self.notes:
            return self._company_answer(request, rng)
        result = FAILURE if rng.random() < 0.15 else SUCCESS
        length = rng.choice([0.0] * 12 + [20.0, 90.0, 300.0, 300.0, 1500.0, 1500.0, 2 * HOUR])
        late = length > request.timeout_s
        self.told[request.run] = (request.attempt, Outcome.TIMEOUT if late else result.outcome)
        return Lasting(length, result) if length else result

    def _company_answer(self, request: RunRequest, rng: Random) -> Result | Lasting:
        answer = company.answer(request, rng)
        result = answer.result if isinstance(answer, Lasting) else answer
        late = isinstance(answer, Lasting) and answer.seconds > request.timeout_s
        self.told[request.run] = (request.attempt, Outcome.TIMEOUT if late else result.outcome)
        if result.outcome is Outcome.SKIPPED:
            self.refused.add(request.run)
        return answer

    # what the daemon has done by now

    def _watch(self) -> None:
        if self.starting or not self.world.survey.present:
            return
        now = self.now
        self.full.set(len(self.world.engine.running) >= MAX_PARALLEL, now)
        if self.unseen_since is not None:
            self.unseen_since = None
            self.absent.set(False, now)
            self.oracle.missed_out(now, edited=[name for name in self.pending if self._counts(name)])
        for name in [name for name in self.pending if self._counts(name)]:
            self._check_quiet(name)
            self.oracle.counts(self.oracle.twins[name], self.notes[name].declared(), now)
            self._no_longer_pending(name)
        if self.settings_pending and not self._settings_wait:
            self.settings_pending = False
            self.oracle.switch_vault(now, status=self.vault_status, until=self.vault_paused_until_s)
        self._watch_failures(now)
        self._watch_company(now)

    def _watch_company(self, now: float) -> None:
        held_back = self.vault_status != "active" or self.vault_paused_until_s > now or self.settings_pending
        self.vault_off.set(held_back, now)
        if self.vault_status != "stopped" and not self.settings_pending:
            self.vault_stopped.set(False, now)
        if len(self.world.engine.submitted) != self._submitted:
            self._submitted = len(self.world.engine.submitted)
            with closing(self._ledger()) as db:
                wrong = company.queue_faults(db)
            assert not wrong, wrong

    def _counts(self, name: str) -> bool:
        return self.world.survey.settled(self.world.path(name).relative_to(self.world.root).as_posix())

    @property
    def _settings_wait(self) -> bool:
        seen = self.world.survey
        return seen.settings_note.is_pending or not seen.settled(seen.settings_path)

    def _no_longer_pending(self, name: str) -> None:
        del self.pending[name], self.before[name]
        self.exact.discard(name)
        self.edits[name].set(False, self.now)

    def _check_quiet(self, name: str) -> None:
        """An edit counts when the note has been left alone for ten seconds awake, and then at once."""
        if name in self.exact and self.world.path(name).read_bytes() != self.before[name]:
            quiet_s = self.world.clock.monotonic() - self.notes[name].changed_at
            assert 10 <= quiet_s <= 11, f"the edit of {name} counts after {quiet_s} s\n{self._told(name)}"

    def _watch_failures(self, now: float) -> None:
        """A task that pauses itself did fail so often in a row."""
        for name, note in self.notes.items():
            twin = self.oracle.twins.get(name)
            if twin is None or not twin.on or name in self.pending or "pause_after" not in note.policies:
                continue
            until = max(twin.says.paused_until, self.oracle.vault_paused_until, self.vault_paused_until_s)
            if self.world.stands(name) == "paused" and until <= now:
                told = ("success", "failure", "timeout", "abandoned")  # others neither count nor stand between
                rows = [row for row in self.rows(name) if row.outcome in told]
                outcomes = [row.outcome for row in rows[-int(note.policies["pause_after"]) :]]
                assert set(outcomes) <= {"failure", "timeout", "abandoned"}, f"{name} paused itself after {outcomes}"
                assert rows, f"{name} paused itself without a failure"
                self.oracle.pauses_itself(twin, now)
                note.status = "paused"
                self.counts["pauses after failures"] += 1

    # judgement

    def _ledger(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.world.state_folder / 'ledger.db'}?mode=ro", uri=True)

    def rows(self, task: str | None = None) -> list[Row]:
        """In the order of their claims."""
        with closing(self._ledger()) as db:
            query = (
                "SELECT id, key, trigger, fire_time, last_fire_time, count, claimed_at, started_at, ended_at, outcome, "
                "reason, attempts, task FROM runs"
            )
            some = "WHERE task = ?" if task else ""
            found = db.execute(f"{query} {some} ORDER BY seq", [task] if task else [])
            return [self._row(values) for values in found]

    def _row(self, values: tuple[Any, ...]) -> Row:
        *rest, task = values
        run, key, trigger, first, last, count, claimed, started, ended, outcome, reason, attempts = rest
        return Row(
            id=run,
            task=task,
            key=key,
            trigger=trigger,
            first=float(first),
            last=float(last),
            count=count,
            claimed=claimed,
            started=started,
            ended=ended,
            outcome=outcome,
            reason=reason,
            attempts=attempts,
        )

    def check(self) -> None:
        """Every due fire time has one outcome, the right one, at the right time."""
        if not self.up or self.unseen_since is not None:
            return
        self._pass_awake()
        rows, self._answers = self.rows(), self._read_answers()
        by_task: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_task[row.task].append(row)
        wrong = [fault for row in rows for fault in self._run_faults(row)]
        common = [*self.absent.all(self.now), *self.full.all(self.now)]
        for name, twin in self.oracle.twins.items():
            waits = [*common, *self.edits[name].all(self.now)]
            wrong += faults(twin, by_task[name], unclear=self.unclear, waits=waits)
            wrong += self._ask_faults(name, by_task[name])
        assert len({row.key for row in rows}) == len(rows), "a run key twice"
        with closing(self._ledger()) as db:
            unsure = [*self.vault_off.all(self.now), *self.unclear]
            beside = company.past_faults(db, refused=self.refused, unsure=unsure, now=self.now)
            beside += company.queue_faults(db)
        assert not beside, "\n".join(beside[:10])
        assert not wrong, "\n".join([*wrong[:10], self._told(wrong[0].partition(":")[0])])
        self.counts["runs"] = sum(row.started is not None for row in rows)
        self.counts["rows"] = len(rows)
        self.counts["runs of tasks that heed others"] = sum(
            row.task not in self.notes and row.attempts > 0 for row in rows
        )

    def _run_faults(self, row: Row) -> list[str]:
        if row.outcome in ("success", "failure", "timeout"):
            told = self.told.get(row.id)
            if told is None or (row.attempts, row.outcome) != (told[0], told[1].value):
                return [f"{row.task}: the script told {told}: {row}"]
        moments = [row.claimed, row.started or row.claimed, row.ended or row.claimed]  # in any order: clocks jump
        if row.outcome == "abandoned" and not any(
            min(moments) - FURTHEST_BACK <= death <= max(moments) + FURTHEST_BACK for death in self.deaths
        ):
            return [f"{row.task}: abandoned while the daemon lived: {row}"]
        if row.outcome == "cancelled" and row.id not in self.cancelled:
            if row.task not in self.notes:
                stopped = any(a <= (row.ended or 0) <= b for a, b in self.vault_stopped.all(self.now))
                known = row.task == "c-cancel" or stopped
                return [] if known else [f"{row.task}: nobody cancelled it: {row}"]
            twin = self.oracle.twins[row.task]
            return [] if twin.was_off(row.ended or 0, row.ended or 0) else [f"{row.task}: nobody cancelled it: {row}"]
        return []

    def _ask_faults(self, name: str, rows: list[Row]) -> list[str]:
        answers = self._answers.get(name, [])
        asked = self.asked[name] + sum(answer is not None and "run" in json.loads(answer) for answer in answers)
        ran = sum(row.trigger == "req" for row in rows)
        started = sum(row.trigger == "start" for row in rows)
        blocked = sum(row.trigger == "start" and row.outcome == "blocked" for row in rows)  # the note was invalid
        low, high = self.may_start[name]
        wrong = [] if asked <= ran <= asked + answers.count(None) else [f"{name}: asked for {asked} times, ran {ran}"]
        return wrong + (
            [f"{name}: {started} for {low} to {high} starts"] if not low <= started <= high + blocked else []
        )

    def _read_answers(self) -> dict[str, list[str | None]]:
        """What the daemon answered to each request to run a task."""
        answers: defaultdict[str, list[str | None]] = defaultdict(list)
        with closing(self._ledger()) as db:
            for task, answer in db.execute("SELECT task, answer FROM requests WHERE verb = 'run'"):
                answers[task].append(answer)
        return answers

    def close(self) -> None:
        self.counts["fire times"] = sum(len(twin.due) for twin in self.oracle.twins.values())
        for patch in self._patches:
            patch.stop()
        self.world.close()
