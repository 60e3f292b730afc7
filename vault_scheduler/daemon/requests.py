"""Requests of commands: the daemon that serves the vault is asked, or without one they are done here and now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from vault_scheduler import __version__
from vault_scheduler.daemon.composition import scheduling
from vault_scheduler.daemon.stop_signals import stopped_by_signals
from vault_scheduler.daemon.troubles import Tell
from vault_scheduler.errors import (
    LockHeld,
    Refused,
)
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.ledger.store import Store
from vault_scheduler.machine.place import Place
from vault_scheduler.planning.quota import clock_words
from vault_scheduler.platform.lock import VaultLock, holder
from vault_scheduler.run import Outcome, Run

T = TypeVar("T")
Meanwhile = Callable[[Run], None]
ANSWER_WITHIN_S = 45.0
"""A daemon looks at its requests at least every 30 s, woken or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request. `outcome` is None while the run goes on (not waited for)."""

    run: str = ""
    refused: str = ""
    outcome: Outcome | None = None
    reason: str = ""
    cancelled: tuple[str, ...] = ()


async def request(
    place: Place, verb: str, task: str, *, wait: bool = False, tell: Tell, meanwhile: Meanwhile | None = None
) -> Answer:
    """Run or cancel a task: by the daemon if one serves the vault, else here and now.

    `meanwhile` is told again and again how far the run is whose end is waited for.

    Without a daemon `run` takes the vault's lock for the time of the run, and so always waits for its end.
    """
    place.make_state()
    for _ in range(2):  # a daemon may come or go between the look and the lock
        if holder(place.lock_path) is not None:
            return await _ask_daemon(place, verb, task, wait, meanwhile)
        try:
            with VaultLock(place.lock_path, since=place.clock.now(), purpose=verb):
                return await _do_here(place, verb, task, tell, meanwhile)
        except LockHeld:
            continue
    return await _ask_daemon(place, verb, task, wait, meanwhile)


async def _ask_daemon(place: Place, verb: str, task: str, wait: bool, meanwhile: Meanwhile | None) -> Answer:
    store = await SqliteStore.open(place.ledger_path, version=__version__, owner="request", serving=False)
    try:
        wish = await store.add_request(verb, task, {}, place.clock.now())
        place.wake()
        answer = await _poll(place, lambda: _answer_of(store, wish), ANSWER_WITHIN_S)
        if answer is None:
            raise Refused("the daemon did not answer within 45 s; `vault-sched status` says whether it is alive")
        if not (wait and answer.run):
            return answer
        ended = await _poll(place, lambda: _ended(store, answer.run, meanwhile), None)
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


async def _ended(store: Store, run: str, meanwhile: Meanwhile | None) -> Run | None:
    found = await store.run(run)
    if found is not None and meanwhile is not None:
        meanwhile(found)
    return found if found is not None and found.outcome is not None else None


async def _poll(place: Place, look: Callable[[], Awaitable[T | None]], limit_s: float | None) -> T | None:
    never = asyncio.Event()
    deadline = None if limit_s is None else place.clock.monotonic() + limit_s
    while (found := await look()) is None:
        if deadline is not None and place.clock.monotonic() > deadline:
            return None
        await place.clock.wait(never, 0.1)
    return found


@contextmanager
def _told_of(place: Place, store: Store, wish: str, meanwhile: Meanwhile | None) -> Iterator[None]:
    """Tell how far the run is that was wished for, beside whatever goes on."""

    async def tell() -> None:
        answer = await _poll(place, lambda: _answer_of(store, wish), None)
        if answer is not None and answer.run and meanwhile is not None:
            await _poll(place, lambda: _ended(store, answer.run, meanwhile), None)

    if meanwhile is None:
        yield
        return
    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()


async def _do_here(place: Place, verb: str, task: str, tell: Tell, meanwhile: Meanwhile | None) -> Answer:
    async with scheduling(place, tell, start_tasks=False, only_requests=True) as scheduler:
        store = scheduler.store
        wish = await store.add_request(verb, task, {}, place.clock.now())
        stop = asyncio.Event()
        with stopped_by_signals(stop), _told_of(place, store, wish, meanwhile):
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
