"""The running daemon: put together from its parts, served until told to stop, taken apart again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from vault_scheduler import __version__
from vault_scheduler.daemon.guard import Guard
from vault_scheduler.daemon.housekeeping import Housekeeping
from vault_scheduler.daemon.scheduler import Scheduler
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.daemon.troubles import Troubles
from vault_scheduler.engine import LocalEngine
from vault_scheduler.errors import (
    LedgerCorrupt,
    LedgerUnavailable,
    LockHeld,
    Refused,
    SettingsMissing,
    VaultSchedError,
)
from vault_scheduler.executors.base import Executor, MachineEnvironment
from vault_scheduler.executors.claude import ClaudeExecutor
from vault_scheduler.executors.command import CommandExecutor
from vault_scheduler.executors.python import PythonExecutor, callable_problem
from vault_scheduler.ledger.good_notes import GoodNotes
from vault_scheduler.ledger.store import SqliteStore, Store, TaskRow
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.machine.config import API_KEY, ENV_NAME, Billing, machine_timezone
from vault_scheduler.machine.live_env import LiveSecrets
from vault_scheduler.machine.place import Place
from vault_scheduler.notifiers.postman import ProcessPostman
from vault_scheduler.notifiers.pulse import Pulse
from vault_scheduler.parsing.action_fields import CallableCheck
from vault_scheduler.parsing.parser import ParseContext, rebuild
from vault_scheduler.planning.approvals import TrustMode
from vault_scheduler.planning.known import Former
from vault_scheduler.planning.quota import clock_words
from vault_scheduler.platform.limits import files_problem, give_back_memory, reason_of, room_problem
from vault_scheduler.platform.lock import VaultLock, holder
from vault_scheduler.platform.paths import config_folder
from vault_scheduler.platform.supervisor import Supervisor
from vault_scheduler.run import Outcome, Run
from vault_scheduler.task import Task
from vault_scheduler.text.masking import Masker
from vault_scheduler.vault.follower import Follower
from vault_scheduler.vault.watcher import Post, Watcher

T = TypeVar("T")
Tell = Callable[[str, str, str], None]
"""Takes what happened (`started`, an outcome, `problem` …), the task or path, and the rest of the line."""

ANSWER_WITHIN_S = 45.0
"""A daemon looks at its requests at least every 30 s, woken or not."""
GRACE_S = 10.0
AGAIN_S = 1.0
LOOK_AT_DISK = "Look after the disk: files do not break by themselves."
DAMAGED_AGAIN_S = 60.0
"""A ledger that is damaged once more so soon is so for a reason that a new one does not cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request. `outcome` is None while the run goes on (not waited for)."""

    run: str = ""
    refused: str = ""
    outcome: Outcome | None = None
    reason: str = ""
    cancelled: tuple[str, ...] = ()


async def serve(place: Place, *, once: bool = False, tell: Tell, stop: asyncio.Event | None = None) -> int:
    """Serve the vault until TERM, INT or HUP (or, with `once`, until nothing is due or running). The exit code.

    Raises LockHeld if this machine serves the vault already, SettingsMissing, LedgerTooNew, ConfigInvalid.
    """
    stop = stop or asyncio.Event()
    give_back_memory()
    async with _locked(place, tell, patient=not once) as lock:
        serving = _Serving(place, lock, tell, stop)
        with _stopped_by_signals(stop):
            await (serving.once() if once else serving.whatever_happens())
        tell("stopping", str(place.vault.root), "")
    return 0


class _Serving:
    """The daemon while it holds the vault's lock; after a damage of the ledger it begins anew."""

    def __init__(self, place: Place, lock: VaultLock, tell: Tell, stop: asyncio.Event) -> None:
        self._place, self._lock, self._tell, self._stop = place, lock, tell, stop
        self._troubles = Troubles(tell, lock.tell)
        self._supervisor = Supervisor.of(os.environ)

    async def once(self) -> None:
        """Until nothing is due or running."""
        await self._serve(until_idle=True)

    async def whatever_happens(self) -> None:
        """Until told to stop. A disk that damages every new ledger ends it, too."""
        clock, damaged_at = self._place.clock, float("-inf")
        while not self._stop.is_set():
            try:
                await self._serve(until_idle=False)
            except LedgerUnavailable as error:
                self._troubles.begin("ledger", f"{error}. Nothing starts until it can be used")
                self._supervisor.ready("the ledger cannot be used")
                self._supervisor.alive()
                await clock.wait(self._stop, AGAIN_S)
            except LedgerCorrupt as damage:
                if clock.monotonic() - damaged_at < DAMAGED_AGAIN_S:
                    raise
                damaged_at = clock.monotonic()
                self._tell("problem", "ledger", f"{damage.path} is damaged ({damage.reason}); the daemon begins anew")

    async def _serve(self, *, until_idle: bool) -> None:
        root = str(self._place.vault.root)
        async with _scheduler(
            self._place, self._tell, start_tasks=not until_idle, troubles=self._troubles, hold=self._hold
        ) as scheduler:
            self._troubles.end("ledger", "it can be used again")
            self._tell("watching", root, f"pid {os.getpid()}")
            self._supervisor.ready(f"watching {root}")
            await scheduler.serve(self._stop, until_idle=until_idle, alive=self._supervisor.alive)
            self._supervisor.stopping()

    def _hold(self) -> None:
        """The state folder and the lock are there, and the lock is ours. Raises LockHeld, LedgerUnavailable."""
        try:
            if self._lock.still_mine() and self._place.wake_path.parent.is_dir():
                return
            self._place.make_state()
            self._place.wake_path.parent.mkdir(exist_ok=True)
            self._lock.keep()
        except OSError as error:
            raise LedgerUnavailable(str(self._place.state), reason_of(error)) from error


@asynccontextmanager
async def _locked(place: Place, tell: Tell, *, patient: bool) -> AsyncIterator[VaultLock]:
    """The vault's lock; a command that holds it for the time of one run is waited for (rule 10).

    If `patient`, so is a state folder that cannot be written: a service that gave up would need a person.
    """
    lock = VaultLock(place.lock_path, since=place.clock.now())
    never, waited_for = asyncio.Event(), ""
    while True:
        try:
            place.make_state()
            lock.acquire()
            break
        except OSError as error:
            if not patient:
                raise
            why = f"{place.state} cannot be used now: {reason_of(error)}. Nothing starts until it can be used"
            if waited_for != why:
                tell("problem", "ledger", why)
            waited_for = why
            await place.clock.wait(never, AGAIN_S)
        except LockHeld as held:
            who = holder(place.lock_path)
            if who is not None and who.purpose == "daemon":
                raise
            if waited_for != str(held.holder):
                waited_for = str(held.holder)
                tell("waiting", str(place.vault.root), f"for a run of {waited_for}")
            await place.clock.wait(never, 0.2)
    try:
        yield lock
    finally:
        lock.release()


async def request(place: Place, verb: str, task: str, *, wait: bool = False, tell: Tell) -> Answer:
    """Run or cancel a task: by the daemon if one serves the vault, else here and now.

    Without a daemon `run` takes the vault's lock for the time of the run, and so always waits for its end.
    """
    place.make_state()
    for _ in range(2):  # a daemon may come or go between the look and the lock
        if holder(place.lock_path) is not None:
            return await _ask_daemon(place, verb, task, wait=wait)
        try:
            with VaultLock(place.lock_path, since=place.clock.now(), purpose=verb):
                return await _do_here(place, verb, task, tell)
        except LockHeld:
            continue
    return await _ask_daemon(place, verb, task, wait=wait)


async def _ask_daemon(place: Place, verb: str, task: str, *, wait: bool) -> Answer:
    store = await SqliteStore.open(place.ledger_path, version=__version__, owner="request", serving=False)
    try:
        wish = await store.add_request(verb, task, {}, place.clock.now())
        place.wake_path.touch()
        answer = await _poll(place, lambda: _answer_of(store, wish), ANSWER_WITHIN_S)
        if answer is None:
            raise Refused("the daemon did not answer within 45 s; `vault-sched status` says whether it is alive")
        if not (wait and answer.run):
            return answer
        ended = await _poll(place, lambda: _ended(store, answer.run), None)
        assert ended is not None
        return Answer(run=ended.id, outcome=ended.outcome, reason=ended.reason)
    finally:
        await store.close()


async def _answer_of(store: Store, wish: str) -> Answer | None:
    found = await store.request(wish)
    if found is None or found.answer is None:
        return None
    answer: dict[str, Any] = found.answer
    return Answer(
        run=answer.get("run", ""),
        refused=answer.get("refused", ""),
        cancelled=tuple(answer.get("cancelled", ())),
    )


async def _ended(store: Store, run: str) -> Run | None:
    found = await store.run(run)
    return found if found is not None and found.outcome is not None else None


async def _poll(place: Place, look: Callable[[], Awaitable[T | None]], limit_s: float | None) -> T | None:
    never = asyncio.Event()
    deadline = None if limit_s is None else place.clock.monotonic() + limit_s
    while (found := await look()) is None:
        if deadline is not None and place.clock.monotonic() > deadline:
            return None
        await place.clock.wait(never, 0.1)
    return found


async def _do_here(place: Place, verb: str, task: str, tell: Tell) -> Answer:
    async with _scheduler(place, tell, start_tasks=False, only_requests=True) as scheduler:
        store = scheduler.store
        wish = await store.add_request(verb, task, {}, place.clock.now())
        stop = asyncio.Event()
        with _stopped_by_signals(stop):
            await scheduler.serve(stop, until_idle=True)
        answer: Answer | None = await _answer_of(store, wish)
        if answer is None or not answer.run:
            return answer or Answer(refused="it was interrupted")
        run = await store.run(answer.run)
        assert run is not None
        if run.outcome is None and run.waiting_for and run.not_before is not None:
            until = clock_words(run.not_before, ZoneInfo(place.timezone))
            return Answer(run=run.id, reason=f"waits for {run.waiting_for} until {until}")
        return Answer(run=run.id, outcome=run.outcome, reason=run.reason)


# composition


@asynccontextmanager
async def _scheduler(
    place: Place,
    tell: Tell,
    *,
    start_tasks: bool,
    only_requests: bool = False,
    troubles: Troubles | None = None,
    hold: Callable[[], None] = lambda: None,
) -> AsyncIterator[Scheduler]:
    """A scheduler that has brought what a former one left to its end; taken down in order."""
    now = place.clock.now()
    start_id = f"{now:%Y%m%dT%H%M%S}-{os.getpid()}"
    async with AsyncExitStack() as stack:
        store = await SqliteStore.open(place.ledger_path, version=__version__, owner=start_id)
        stack.push_async_callback(store.close)
        trust = Trust.open(place.approvals_path, version=__version__)
        stack.callback(trust.close)
        damages = (*store.notices, *trust.notices)
        for notice in (*place.machine.warnings, *damages):
            tell("problem", "ledger", notice)
        if place.machine.billing_problem:
            (troubles or Troubles(tell)).begin("billing", place.machine.billing_problem)
        good_notes = _good_notes(place, tell)
        if good_notes is not None:
            stack.callback(good_notes.close)
        rows = await store.task_rows()
        if trust.is_new and rows:
            trust.mark_lost()
        survey = _survey(place, rows, await store.get_meta("settings") or "")
        guard = Guard(
            trust,
            TrustMode(place.machine.trust),
            place.vault,
            rebuild=lambda source, path: _rebuild(source, path, survey, place),
            timezone=lambda: survey.timezone,
        )
        parts: dict[str, Scheduler] = {}
        secrets = LiveSecrets(
            config_folder() / ENV_NAME, place.machine.secrets, lambda wrong: tell("problem", ENV_NAME, wrong)
        )
        engine = _engine(place, secrets, lambda event: parts["scheduler"].post(event))
        scheduler = parts["scheduler"] = Scheduler(
            vault=place.vault,
            store=store,
            survey=survey,
            guard=guard,
            engine=engine,
            clock=place.clock,
            host=place.machine.host,
            start_id=start_id,
            rows=rows,
            ledger_lost=store.is_new and not trust.is_new,
            ran_until=store.ran_until,
            tell=tell,
            start_tasks=start_tasks,
            only_requests=only_requests,
            status_note=not only_requests,
            grace_s=GRACE_S,
            troubles=troubles,
            hold=hold,
            good_notes=good_notes,
            credentials=lambda: (_login(), secrets.mark()),
            postman=ProcessPostman(
                place.machine.notify, lambda sent: parts["scheduler"].post_sent(sent), path=place.machine.path
            ),
            mask=lambda text: Masker(secrets.ever()).mask_text(text),
            pulse=None if only_requests else Pulse(),
        )
        for damage in damages:
            scheduler.log_fault(damage, LOOK_AT_DISK, now)
        await scheduler.begin()
        async with AsyncExitStack() as kept:
            # A command hears of a stop as soon as a daemon does; that a folder is only polled need not concern it.
            of_watching = Troubles(_nobody) if only_requests else troubles or Troubles(tell)
            survey.swept = check = kept.enter_context(_watching(place, scheduler, of_watching))
            if not only_requests:
                house = Housekeeping(place, store, trust, tell, good_notes)
                await kept.enter_async_context(_kept_tidy(house))
                survey.swept = _both(check, house.look)
            try:
                yield scheduler
            finally:
                await scheduler.end()


def _good_notes(place: Place, tell: Tell) -> GoodNotes | None:
    """The last good texts of notes; None if they cannot be kept, which keeps nothing from running."""
    try:
        notes = GoodNotes.open(place.good_notes_path)
    except VaultSchedError as error:
        tell("problem", "ledger", f"{error}. What task notes say is not kept for `vault-sched restore`")
        return None
    for notice in notes.notices:
        tell("problem", "ledger", notice)
    return notes


def _nobody(*_: str) -> None:
    """Is told, and tells nobody."""


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()

    return call


@asynccontextmanager
async def _kept_tidy(house: Housekeeping) -> AsyncIterator[None]:
    await house.once()
    daily = asyncio.create_task(house.daily())
    try:
        yield
    finally:
        daily.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await daily


def _survey(place: Place, rows: Mapping[str, TaskRow], settings_source: str) -> Survey:
    """The survey, with what the ledger remembers. Raises SettingsMissing if the vault never had a settings note."""
    if not settings_source and not place.vault.settings_path.exists():
        raise SettingsMissing(str(place.vault.settings_path))
    return Survey(
        place.vault,
        machine_timezone=machine_timezone,
        former={row.path: _former(row) for row in rows.values()},
        settings_source=settings_source,
        callable_check=_callable_check(place),
    )


def _former(row: TaskRow) -> Former:
    return Former(task=row.task, definition=row.seen_definition, source=row.source, invalid_since=row.invalid_since)


def _rebuild(source: dict[str, Any], path: str, survey: Survey, place: Place) -> Task | None:
    context = ParseContext(default_timezone=survey.timezone, system_folder=place.vault.system_folder)
    return rebuild(source, path, context).task


def _callable_check(place: Place) -> CallableCheck:
    return lambda call, args: callable_problem(
        call, place.vault.scripts_folder, args=args, other_packages=place.machine.python is not None
    )


def _engine(place: Place, secrets: LiveSecrets, post: Callable[[Any], None]) -> LocalEngine:
    machine = replace(machine_environment(place), secrets=secrets)
    executors: dict[str, Executor] = {
        "command": CommandExecutor(machine),
        "python": PythonExecutor(machine),
        "claude": ClaudeExecutor(machine),
    }
    return LocalEngine(
        executors=executors,
        clock=place.clock,
        masker=lambda: Masker(secrets.ever()),
        machine=machine,
        runs_folder=place.runs_folder,
        post=post,
        grace_s=GRACE_S,
    )


def _login() -> object:
    """Differs when somebody has logged in to Claude Code: when its file was written (there is none on macOS)."""
    home = os.environ.get("HOME", str(Path.home()))
    try:
        found = Path(home, ".claude", ".credentials.json").stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def machine_environment(place: Place) -> MachineEnvironment:
    """What runs may know of this machine."""
    environ = os.environ
    return MachineEnvironment(
        path=place.machine.path or environ.get("PATH", MachineEnvironment().path),
        home=environ.get("HOME", str(Path.home())),
        lang=environ.get("LANG", "C.UTF-8"),
        user=environ.get("USER", environ.get("LOGNAME", "")),
        shell=environ.get("SHELL", "/bin/sh"),
        tmpdir=environ.get("TMPDIR", "/tmp"),
        folders={name: environ[name] for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME") if environ.get(name)},
        python=place.machine.python,
        secrets=place.machine.secrets,
        env_file=str(config_folder() / ENV_NAME),
        state=str(place.state),
        withheld=(API_KEY,) if place.machine.billing is Billing.PLAN else (),
    )


# signals and events


@contextlib.contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is ignored under `nohup`
        signals.append(signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _watching(place: Place, scheduler: Scheduler, troubles: Troubles) -> Iterator[Callable[[], None]]:
    """Hints come while it lasts; what it gives asks whether all that is to be watched still is."""
    loop, root = asyncio.get_running_loop(), place.vault.root

    def to(hint: Callable[[set[str]], None]) -> Post:
        def post(paths: set[str]) -> None:
            inside = {place.vault.rel(Path(path)) for path in paths if Path(path).is_relative_to(root)}
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(hint, inside)

        return post

    place.wake_path.parent.mkdir(exist_ok=True)
    folders = {place.vault.tasks_folder: True, place.vault.system: False, place.wake_path.parent: False}
    watcher, follower = Watcher(folders, to(scheduler.hint)), Follower(root, to(scheduler.hint_files))
    scheduler.changes.follow = follower.follow
    watcher.start()

    def check() -> None:
        if cramped := files_problem():
            troubles.begin("files", cramped)
        else:
            troubles.end("files", "there is room for open files again")
        if full := room_problem(place.runs_folder):
            troubles.begin("room", full)
        else:
            troubles.end("room", "there is room for full outputs again")
        for name, heard in (("watching", watcher), ("following", follower)):
            if heard.polling_reason:
                troubles.begin(name, heard.polling_reason)
            else:
                troubles.end(name, "changes are heard of at once again")
            heard.check()

    check()
    try:
        yield check
    finally:
        watcher.stop()
        follower.stop()
