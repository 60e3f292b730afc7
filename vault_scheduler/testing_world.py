"""A small world to try the daemon in: a real vault and real state files under a fake clock, with a fake engine."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.assembly import assemble
from vault_scheduler.daemon.outfit import Outfit
from vault_scheduler.daemon.scheduler import Scheduler
from vault_scheduler.daemon.state_files import StateFiles
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.daemon.troubles import Troubles
from vault_scheduler.engine import EngineEvent
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.ledger.definitions import Definitions
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.notifiers.base import Parcel, Sent
from vault_scheduler.planning.approvals import TrustMode
from vault_scheduler.run import Result, Run
from vault_scheduler.testing import SUCCESS, FakeClock, FakeEngine, FakePostman, Lasting
from vault_scheduler.vault.vault import Vault

T = TypeVar("T")

SETTINGS = "status: active\nhost: here\ntimezone: Europe/Berlin\n"


class World:
    """A real vault and real state files in a temporary folder, under a fake clock, with a fake engine.

    Nothing here ever waits: `advance` moves the clock from one moment at which the daemon wants to look to the next.
    """

    BERLIN = ZoneInfo("Europe/Berlin")

    def __init__(self, root: Path, now: datetime, *, settings: str = SETTINGS, zone: str = "Europe/Berlin") -> None:
        self.clock = FakeClock(now)
        self.zone = ZoneInfo(zone)
        self.machine_timezone: Callable[[], str] = lambda: zone
        self.root = root / "vault"
        self.state_folder = root / "state"
        self.definitions_path = self.state_folder / "definitions.db"
        self.tasks = self.root / "00_system" / "tasks"
        self.settings_file = self.root / "00_system" / "scheduler.md"
        for folder in (self.tasks, self.state_folder):
            folder.mkdir(parents=True)
        self.told: list[tuple[str, str, str]] = []
        self.script: Callable[[RunRequest], Result | Lasting | None] = lambda _: SUCCESS
        self.host = "here"
        self.trust_mode = TrustMode.VAULT
        self.credentials: object = None  # what Claude's login rests on
        self.notifiers: tuple[str, ...] = ()  # names of this machine's notifiers
        self.mail: Callable[[Parcel], str | None] = lambda _: ""  # what comes of what is sent
        self.parcels: list[Parcel] = []  # all that was sent, or tried
        self.beats: list[str] = []  # addresses that the daemon pinged
        self.status_note = False  # whether the daemon keeps one: it writes it at least hourly
        self.ticks = 0
        self._runner = asyncio.Runner()
        self._daemon: Scheduler | None = None
        self._files: StateFiles | None = None
        self._engine: FakeEngine | None = None
        self._postman: FakePostman | None = None
        self._stamped: set[tuple[str, int]] = set()
        if settings:
            self.write_settings(settings, age_s=3600)

    # files

    def path(self, name: str) -> Path:
        """The file of a task."""
        return self.tasks / f"{name}.md"

    def write(self, name: str, text: str, *, age_s: float = 3600, body: str = "") -> Path:
        """Write a task note with this frontmatter, last modified so many seconds ago; the watcher sees it."""
        return self._put(self.path(name), f"---\n{text.strip()}\n---\n{body}".encode(), age_s)

    def command(self, name: str, text: str, **more: Any) -> Path:
        """A task note of type command."""
        return self.write(name, f"type: command\ncommand: echo {name.replace(' ', '-')}\n{text}", **more)

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a note as a person does just now."""
        data = self.path(name).read_bytes()
        assert old.encode() in data, f"{old!r} is not in {data!r}"
        self._put(self.path(name), data.replace(old.encode(), new.encode()), 0)

    def put(self, name: str, data: bytes, *, age_s: float = 0) -> None:
        """Give a task note these bytes."""
        self._put(self.path(name), data, age_s)

    def write_settings(self, text: str, *, age_s: float = 0) -> None:
        """Write the settings note with this frontmatter."""
        self._put(self.settings_file, f"---\n{text.strip()}\n---\n".encode(), age_s)

    def delete(self, name: str) -> None:
        """Delete a note."""
        self.path(name).unlink()
        self.hint(self.path(name))

    def rename(self, old: str, new: str) -> None:
        """Rename a note."""
        self.path(new).parent.mkdir(parents=True, exist_ok=True)
        self.path(old).rename(self.path(new))
        self.hint(self.path(old), self.path(new))

    def take_vault_away(self) -> None:
        """Unmount it, so to speak."""
        self.root.rename(self.root.with_name("away"))

    def bring_vault_back(self) -> None:
        """Mount it again."""
        self.root.with_name("away").rename(self.root)

    def text(self, name: str) -> str:
        """What stands in a note now."""
        return self.path(name).read_text()

    def log(self) -> str:
        """All daily logs."""
        return "".join(path.read_text() for path in sorted((self.root / "00_system" / "logs").glob("*.md")))

    def _put(self, path: Path, data: bytes, age_s: float) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        moment = self.clock.now().timestamp() - age_s
        os.utime(path, (moment, moment))
        self._stamped.add((str(path), path.stat().st_mtime_ns))
        self.hint(path)
        return path

    def hint(self, *paths: Path) -> None:
        """The watcher reports these files."""
        if self._daemon is not None:
            self.daemon.hint([path.relative_to(self.root).as_posix() for path in paths])

    def _restamp(self) -> None:
        """What the daemon wrote carries the real time; give it the time of this world."""
        for path in self.root.rglob("*.md"):
            if (str(path), path.stat().st_mtime_ns) not in self._stamped:
                moment = self.clock.now().timestamp()
                os.utime(path, (moment, moment))
                self._stamped.add((str(path), path.stat().st_mtime_ns))

    # the daemon

    @property
    def daemon(self) -> Scheduler:
        """The running scheduler."""
        assert self._daemon is not None, "the daemon does not run"
        return self._daemon

    @property
    def store(self) -> SqliteStore:
        """Its ledger."""
        return self._open.store

    @property
    def trust(self) -> Trust:
        """Its pins and spend."""
        return self._open.trust

    @property
    def survey(self) -> Survey:
        """What it knows of the notes."""
        return self.daemon.survey

    @property
    def engine(self) -> FakeEngine:
        """Its engine."""
        assert self._engine is not None, "the daemon does not run"
        return self._engine

    @property
    def _open(self) -> StateFiles:
        assert self._files is not None, "the daemon does not run"
        return self._files

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self._runner.get_loop().run_until_complete(work)

    def start(self, *, once: bool = False) -> None:
        """Start the daemon on the state that is there, and let it do what there is to do at this moment."""
        self._daemon = self.call(self._compose(start_tasks=not once))
        self.call(self.daemon.begin())
        self.settle()

    async def _compose(self, *, start_tasks: bool) -> Scheduler:
        files = self._files = await self._open_files()
        outfit = Outfit(
            vault=Vault(self.root),
            files=files,
            clock=self.clock,
            engine=self._make_engine,
            postman=self._make_postman,
            tell=self._hear,
            troubles=Troubles(self._hear),
            start_id=f"{self.clock.now():%Y%m%dT%H%M%S}",
            host=self.host,
            trust=self.trust_mode,
            machine_timezone=self.machine_timezone,
            credentials=lambda: self.credentials,
            pulse=self,
            start_tasks=start_tasks,
            status_note=self.status_note,
        )
        return assemble(outfit)

    async def _open_files(self) -> StateFiles:
        store = await SqliteStore.open(self.state_folder / "ledger.db", version="test", owner="test")
        return StateFiles(
            store=store,
            trust=Trust.open(self.state_folder / "approvals.db", version="test"),
            good_notes=None,
            definitions=Definitions.open(self.definitions_path),
            rows=await store.task_rows(),
            settings_source=await store.get_meta("settings") or "",
            damages=(),
        )

    def _make_engine(self, post: Callable[[EngineEvent], None]) -> FakeEngine:
        self._engine = FakeEngine(self.clock, post, lambda request: self.script(request))
        return self._engine

    def _make_postman(self, post: Callable[[Sent], None]) -> FakePostman:
        self._postman = FakePostman(self.notifiers, post, self._carry)
        return self._postman

    def _hear(self, what: str, where: str, rest: str) -> None:
        self.told.append((what, where, rest))

    def _carry(self, parcel: Parcel) -> str | None:
        self.parcels.append(parcel)
        return self.mail(parcel)

    @property
    def trouble(self) -> str:
        """As the daemon's ping: it always gets through."""
        return ""

    def beat(self, url: str, monotonic: float) -> None:
        """As the daemon's ping: remember that it was asked for."""
        self.beats.append(url)

    def wait(self) -> None:
        """As the daemon's ping: nothing is under way."""

    def stop(self) -> None:
        """End the daemon in an orderly way."""
        self.call(self.daemon.end())
        self.crash()

    def crash(self) -> None:
        """The daemon is gone from one moment to the next."""
        if self._files is not None:
            self.call(self._files.store.close())
            self._files.trust.close()
            if self._files.definitions is not None:
                self._files.definitions.close()
        self._daemon = self._files = self._engine = None
        self._restamp()

    def restart(self, *, after_s: float = 0.0) -> None:
        """Stop, let time go by, start."""
        self.stop()
        self.clock.advance(after_s)
        self.start()

    def close(self) -> None:
        """Let go of everything."""
        self.crash()
        self._runner.close()
        shutil.rmtree(self.root, ignore_errors=True)

    # time

    def settle(self) -> None:
        """Tick until nothing is left to do at this moment."""
        for _ in range(500):
            self.daemon.wake.clear()
            self.call(self.daemon.tick())
            if self._postman is not None and self._postman.under_way:
                self.call(asyncio.sleep(0))  # what was sent at once has arrived
            self.ticks += 1
            if not self.daemon.wake.is_set() and self.daemon.pause_s() > 0:
                return
        raise AssertionError("the daemon finds something to do for ever")

    def advance(self, seconds: float) -> None:
        """Let time pass while the machine is awake; the daemon looks whenever it wants to."""
        self.settle()
        while seconds > 0:
            step = min(seconds, max(self._until_next(), 0.001))
            self.clock.advance(step)
            self.engine.end_what_lasted()
            seconds = round(seconds - step, 6)
            self.settle()

    def _until_next(self) -> float:
        end = self.engine.next_end()
        pause_s = self.daemon.pause_s()
        return pause_s if end is None else min(pause_s, end - self.clock.monotonic())

    def advance_to(self, local: str) -> None:
        """Until a local time, `2026-11-22 07:00` or `07:00` (of this day, or the next)."""
        self.advance((self.moment(local) - self.clock.now()).total_seconds())

    def suspend(self, seconds: float) -> None:
        """The machine sleeps (negative: the clock is set back), and the daemon looks after it."""
        self.settle()
        self.clock.suspend(seconds)
        self.settle()

    def have_served(self) -> None:
        """One daemon that wrote what it writes into new notes, one that found nothing more to do; none runs now."""
        self.start()
        self.advance(60)
        self.restart(after_s=3600)
        self.advance(60)
        self.stop()

    def down_until(self, local: str) -> None:
        """Stop the daemon and start it at a local time."""
        self.stop()
        self.clock.advance((self.moment(local) - self.clock.now()).total_seconds())
        self.start()

    def moment(self, local: str) -> datetime:
        """The instant of a local time."""
        if len(local) > 8:
            return datetime.fromisoformat(local).replace(tzinfo=self.zone).astimezone(UTC)
        now = self.clock.now().astimezone(self.zone)
        moment = datetime.fromisoformat(f"{now:%Y-%m-%d} {local}").replace(tzinfo=self.zone)
        return (moment if moment > now else moment + timedelta(days=1)).astimezone(UTC)

    # what happened

    def runs(self, task: str | None = None) -> list[Run]:
        """Runs and range rows of the ledger, oldest fire time first."""
        return sorted(self.call(self.store.history(task=task, limit=100_000)), key=lambda run: (run.fire_time, run.key))

    def history(self, task: str | None = None) -> list[str]:
        """The same in words: `07:00 success`, `07:00-07:10 missed 3: asleep`, `07:00 running`."""
        return [self._words(run) for run in self.runs(task)]

    def _words(self, run: Run) -> str:
        when = self.local(run.fire_time)
        if run.last_fire_time is not None and run.last_fire_time != run.fire_time:
            when += f"-{self.local(run.last_fire_time)}"
        words = f"{when} {run.outcome or run.state}"
        if run.never_started and run.outcome is not None:
            words += f" {run.count}: {run.reason}"
        return words

    def local(self, moment: datetime) -> str:
        """`07:00` (`07:00:05` where the seconds matter)."""
        text = moment.astimezone(self.zone).strftime("%H:%M:%S")
        return text.removesuffix(":00")

    def stands(self, task: str) -> str:
        """How the task stands: `armed`, `paused`, …; "" if there is none."""
        tracked = self.daemon.tracked(task)
        return tracked.standing.state.value if tracked else ""

    def request(self, verb: str, task: str) -> dict[str, Any]:
        """Ask the daemon as the command line does; its answer."""
        wish = self.call(self.store.add_request(verb, task, {}, self.clock.now()))
        self.daemon.hint(["00_system/wake"])
        self.settle()
        found = self.call(self.store.request(wish))
        assert found is not None
        return dict(found.answer) if found.answer is not None else {}
