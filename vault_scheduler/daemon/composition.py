"""The scheduler put together from its parts, kept tidy while it serves, taken apart in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from vault_scheduler.daemon.guard import Guard
from vault_scheduler.daemon.housekeeping import Housekeeping
from vault_scheduler.daemon.local_engine import GRACE_S, local_engine, login_mark
from vault_scheduler.daemon.parts import Parts
from vault_scheduler.daemon.scheduler import Scheduler
from vault_scheduler.daemon.state_files import StateFiles, state_files
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.daemon.troubles import Tell, Troubles
from vault_scheduler.daemon.watching import watching
from vault_scheduler.errors import SettingsMissing
from vault_scheduler.executors.python import callable_problem
from vault_scheduler.ledger.store import TaskRow
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.machine.config import ENV_NAME, machine_timezone
from vault_scheduler.machine.live_env import LiveSecrets
from vault_scheduler.machine.place import Place
from vault_scheduler.notifiers.postman import ProcessPostman
from vault_scheduler.notifiers.pulse import Pulse
from vault_scheduler.parsing.action_fields import CallableCheck
from vault_scheduler.parsing.parser import ParseContext, rebuild
from vault_scheduler.planning.approvals import TrustMode
from vault_scheduler.planning.known import Former
from vault_scheduler.platform.paths import config_folder
from vault_scheduler.task import Task
from vault_scheduler.text.masking import Masker

LOOK_AT_DISK = "Look after the disk: files do not break by themselves."


@asynccontextmanager
async def scheduling(
    place: Place,
    tell: Tell,
    *,
    start_tasks: bool,
    only_requests: bool = False,
    troubles: Troubles | None = None,
    hold: Callable[[], None] = lambda: None,
) -> AsyncIterator[Scheduler]:
    """A scheduler that has brought what a former one left to its end; taken down in order."""
    troubles = troubles or Troubles(tell)
    start_id = f"{place.clock.now():%Y%m%dT%H%M%S}-{os.getpid()}"
    async with state_files(place, tell, owner=start_id) as files:
        if place.machine.billing_problem:
            troubles.begin("billing", place.machine.billing_problem)
        survey = _survey(place, files)
        scheduler = _put_together(
            place,
            files,
            survey,
            start_id=start_id,
            tell=tell,
            troubles=troubles,
            hold=hold,
            start_tasks=start_tasks,
            only_requests=only_requests,
        )
        await scheduler.begin()
        # A command hears of a stop as soon as a daemon does; that a folder is only polled need not concern it.
        with watching(place, scheduler, Troubles(_nobody) if only_requests else troubles) as check:
            house = None if only_requests else Housekeeping(place, files.store, files.trust, tell, files.good_notes)
            async with _kept_tidy(house):
                survey.swept = _both(check, house.look) if house else check
                try:
                    yield scheduler
                finally:
                    await scheduler.end()


def _put_together(
    place: Place,
    files: StateFiles,
    survey: Survey,
    *,
    start_id: str,
    tell: Tell,
    troubles: Troubles,
    hold: Callable[[], None],
    start_tasks: bool,
    only_requests: bool,
) -> Scheduler:
    """Only wires: the scheduler, and what tells it of attempts and messages."""
    made: list[Scheduler] = []
    secrets = LiveSecrets(
        config_folder() / ENV_NAME, place.machine.secrets, lambda wrong: tell("problem", ENV_NAME, wrong)
    )
    postman = ProcessPostman(place.machine.notify, lambda sent: made[0].post_sent(sent), path=place.machine.path)
    engine = local_engine(place, secrets, lambda event: made[0].post(event))
    parts = Parts(
        vault=place.vault,
        store=files.store,
        survey=survey,
        guard=_guard(place, files.trust, survey),
        engine=engine,
        clock=place.clock,
        host=place.machine.host,
        start_id=start_id,
        rows=files.rows,
        tell=tell,
        only_requests=only_requests,
        ledger_lost=files.store.is_new and not files.trust.is_new,
        ran_until=files.store.ran_until,
        troubles=troubles,
        hold=hold,
        good_notes=files.good_notes,
        credentials=lambda: (login_mark(), secrets.mark()),
        postman=postman,
        mask=lambda text: Masker(secrets.ever()).mask_text(text),
    )
    for damage in files.damages:
        parts.around.log_fault(damage, LOOK_AT_DISK, place.clock.now())
    scheduler = Scheduler(
        parts,
        engine=engine,
        clock=place.clock,
        start_id=start_id,
        tell=tell,
        start_tasks=start_tasks,
        only_requests=only_requests,
        status_note=not only_requests,
        grace_s=GRACE_S,
        pulse=None if only_requests else Pulse(),
    )
    made.append(scheduler)
    return scheduler


def _nobody(*_: str) -> None:
    """Is told, and tells nobody."""


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()

    return call


@asynccontextmanager
async def _kept_tidy(house: Housekeeping | None) -> AsyncIterator[None]:
    if house is None:
        yield
        return
    await house.once()
    daily = asyncio.create_task(house.daily())
    try:
        yield
    finally:
        daily.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await daily


def _survey(place: Place, files: StateFiles) -> Survey:
    """The survey, with what the ledger remembers. Raises SettingsMissing if the vault never had a settings note."""
    if not files.settings_source and not place.vault.settings_path.exists():
        raise SettingsMissing(str(place.vault.settings_path))
    return Survey(
        place.vault,
        machine_timezone=machine_timezone,
        former={row.path: _former(row) for row in files.rows.values()},
        settings_source=files.settings_source,
        callable_check=_callable_check(place),
    )


def _former(row: TaskRow) -> Former:
    return Former(task=row.task, definition=row.seen_definition, source=row.source, invalid_since=row.invalid_since)


def _guard(place: Place, trust: Trust, survey: Survey) -> Guard:
    def rebuilt(source: dict[str, Any], path: str) -> Task | None:
        context = ParseContext(default_timezone=survey.timezone, system_folder=place.vault.system_folder)
        return rebuild(source, path, context).task

    return Guard(trust, TrustMode(place.machine.trust), place.vault, rebuild=rebuilt, timezone=lambda: survey.timezone)


def _callable_check(place: Place) -> CallableCheck:
    return lambda call, args: callable_problem(
        call, place.vault.scripts_folder, args=args, other_packages=place.machine.python is not None
    )
