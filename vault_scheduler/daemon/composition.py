"""The scheduler put together from its parts, kept tidy while it serves, taken apart in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from vault_scheduler.daemon.assembly import assemble
from vault_scheduler.daemon.draining import Draining
from vault_scheduler.daemon.housekeeping import Housekeeping
from vault_scheduler.daemon.local_engine import GRACE_S, local_engine, login_mark
from vault_scheduler.daemon.outfit import Outfit
from vault_scheduler.daemon.scheduler import Scheduler
from vault_scheduler.daemon.state_files import StateFiles, state_files
from vault_scheduler.daemon.troubles import Tell, Troubles
from vault_scheduler.daemon.watching import watching
from vault_scheduler.errors import SettingsMissing
from vault_scheduler.executors.python import callable_problem
from vault_scheduler.machine.config import ENV_NAME, machine_timezone
from vault_scheduler.machine.live_env import LiveSecrets
from vault_scheduler.machine.place import Place
from vault_scheduler.notifiers.postman import ProcessPostman
from vault_scheduler.notifiers.pulse import Pulse
from vault_scheduler.parsing.action_fields import CallableCheck
from vault_scheduler.planning.approvals import TrustMode
from vault_scheduler.planning.early import EVE
from vault_scheduler.platform.paths import config_folder
from vault_scheduler.text.masking import Masker


@asynccontextmanager
async def scheduling(
    place: Place,
    tell: Tell,
    *,
    start_tasks: bool,
    only_requests: bool = False,
    troubles: Troubles | None = None,
    hold: Callable[[], None] = lambda: None,
    draining: Draining | None = None,
) -> AsyncIterator[Scheduler]:
    """A scheduler that has brought what a former one left to its end; taken down in order."""
    troubles = troubles or Troubles(tell)
    start_id = f"{place.clock.now():%Y%m%dT%H%M%S}-{os.getpid()}"
    async with state_files(place, tell, owner=start_id) as files:
        if place.machine.billing_problem:
            troubles.begin("billing", place.machine.billing_problem)
        if not files.settings_source and not place.vault.settings_path.exists():
            raise SettingsMissing(str(place.vault.settings_path))
        outfit = _outfit(place, files, tell, troubles, start_id, only_requests=only_requests)
        scheduler = assemble(replace(outfit, hold=hold, start_tasks=start_tasks, draining=draining))
        await scheduler.begin()
        # A command hears of a stop as soon as a daemon does; that a folder is only polled need not concern it.
        with watching(place, scheduler, Troubles(_nobody) if only_requests else troubles) as check:
            house = None if only_requests else Housekeeping(place, files.store, files.trust, tell, files.good_notes)
            async with _kept_tidy(house, at_once=not start_tasks):
                scheduler.survey.swept = _both(check, house.look) if house else check
                try:
                    yield scheduler
                finally:
                    await scheduler.end()


def _outfit(
    place: Place, files: StateFiles, tell: Tell, troubles: Troubles, start_id: str, *, only_requests: bool
) -> Outfit:
    """What this machine gives a scheduler."""
    machine = place.machine
    secrets = LiveSecrets(config_folder() / ENV_NAME, machine.secrets, lambda wrong: tell("problem", ENV_NAME, wrong))
    return Outfit(
        vault=place.vault,
        files=files,
        clock=place.clock,
        engine=lambda post: local_engine(place, secrets, post),
        postman=lambda post: ProcessPostman(machine.notify, post, path=machine.path),
        tell=tell,
        troubles=troubles,
        start_id=start_id,
        host=machine.host,
        trust=TrustMode(machine.trust),
        machine_timezone=machine_timezone,
        callable_check=_callable_check(place),
        credentials=lambda: (login_mark(), secrets.mark()),
        mask=lambda text: Masker(secrets.ever()).mask_text(text),
        pulse=None if only_requests else Pulse(),
        only_requests=only_requests,
        status_note=not only_requests,
        grace_s=GRACE_S,
        eve=EVE,
        gathers=True,
    )


def _nobody(*_: str) -> None:
    """Is told, and tells nobody."""


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()

    return call


@asynccontextmanager
async def _kept_tidy(house: Housekeeping | None, *, at_once: bool) -> AsyncIterator[None]:
    if house is None:
        yield
        return
    await (house.once() if at_once else house.begin())
    daily = asyncio.create_task(house.daily())
    try:
        yield
    finally:
        daily.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await daily


def _callable_check(place: Place) -> CallableCheck:
    return lambda call, args: callable_problem(
        call, place.vault.scripts_folder, args=args, other_packages=place.machine.python is not None
    )
