"""Test messages: whether each notifier of this machine takes one, and what it says if it does not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from vault_scheduler.commands.catalogue import Catalogue
from vault_scheduler.commands.health import Finding, fault, fine, note, warning
from vault_scheduler.machine.config import Machine
from vault_scheduler.notifiers.base import Parcel
from vault_scheduler.notifiers.discretion import discreet
from vault_scheduler.notifiers.postman import ProcessPostman
from vault_scheduler.notifiers.worker import misunderstood
from vault_scheduler.telling.messages import trial_message

ABOUT = "notify"
CURE = "Correct it in config.toml, below [notify]; docs/notifications.md has recipes"


def notifier_findings(machine: Machine) -> Iterator[Finding]:
    """Notifiers that cannot work as they are written; nothing is sent."""
    for name, address in machine.notify.items():
        if isinstance(address, str):
            why = discreet(misunderstood(address), address)
        else:
            why = "" if shutil.which(address[0], path=machine.path) else f"there is no program {address[0]}"
        if why:
            yield fault(ABOUT, f"{name} tells nobody: {why}", CURE)


def unknown_notifiers(catalogue: Catalogue) -> Iterator[Finding]:
    """Notes that name somebody whom this machine, which runs them, cannot tell anything."""
    for problem in catalogue.problems:
        if problem.key == "notify_to" and not problem.is_error:
            yield warning(ABOUT, f"{problem.path}: {problem.message}", problem.fix)


async def try_notifiers(machine: Machine, timezone: str) -> list[Finding]:
    """Send a message to each, all at once, and wait for what comes of it: half a minute at most."""
    if not machine.notify:
        return [note(ABOUT, "no notifier: name one in config.toml, below [notify]")]
    from vault_scheduler.clock import SystemClock

    title, body = trial_message(machine.host, SystemClock().now(), ZoneInfo(timezone))
    postman = ProcessPostman(machine.notify, lambda _: None, path=machine.path)
    parcels = [
        Parcel(id=number, receiver=name, title=title, body=body, kind="info")
        for number, name in enumerate(machine.notify)
    ]
    answers = await asyncio.gather(*map(postman.send, parcels))
    return [
        fault(ABOUT, f"{parcel.receiver} did not take a test message: {why}", CURE)
        if why
        else fine(ABOUT, f"{parcel.receiver} took a test message: look whether it arrived")
        for parcel, why in zip(parcels, answers, strict=True)
    ]
