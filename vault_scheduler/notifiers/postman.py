"""Sends by child processes: one for each message, ended with all that it started if a receiver hangs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping

from vault_scheduler.notifiers.base import Address, Parcel, Sent
from vault_scheduler.notifiers.discretion import discreet

LIMIT_S = 30.0
"""So long a message may be on its way."""
AT_ONCE = 4


class ProcessPostman:
    """Implements `Postman`. `notifiers`: name → address; `path`: where programs are found."""

    def __init__(
        self,
        notifiers: Mapping[str, Address],
        post: Callable[[Sent], None],
        *,
        path: str = os.defpath,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._notifiers = dict(notifiers)
        self._post = post
        self._path = path
        self._limit_s = limit_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)

    @property
    def receivers(self) -> tuple[str, ...]:
        """See `Postman.receivers`."""
        return tuple(self._notifiers)

    def submit(self, parcel: Parcel) -> None:
        """See `Postman.submit`."""
        task = asyncio.create_task(self._carry(parcel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def shutdown(self) -> None:
        """See `Postman.shutdown`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, parcel: Parcel) -> None:
        async with self._turns:
            self._post(Sent(parcel=parcel.id, why=await self.send(parcel)))

    async def send(self, parcel: Parcel) -> str:
        """Send one and wait for it; why it could not be sent, "" if it was."""
        address: Address | None = parcel.url or self._notifiers.get(parcel.receiver)
        if address is None:
            return f"config.toml has no notifier {parcel.receiver} any more"
        asked = {
            "url": parcel.url,
            "address": address if isinstance(address, str) else list(address),
            "title": parcel.title,
            "body": parcel.body,
            "kind": parcel.kind,
        }
        try:
            why = await self._by_worker(asked, parcel.facts)
        except OSError as error:
            why = f"no process for it: {(error.strerror or type(error).__name__).lower()}"
        return discreet(why, address)

    async def _by_worker(self, asked: Mapping[str, object], facts: Mapping[str, str]) -> str:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "vault_scheduler.notifiers.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PATH": self._path, **facts},
        )
        try:
            said = await asyncio.wait_for(child.communicate(json.dumps(asked).encode()), self._limit_s)
        except TimeoutError:
            return f"it did not answer within {self._limit_s:.0f} s"
        finally:
            await _end(child)
        return _why(said[0])


async def _end(child: asyncio.subprocess.Process) -> None:
    """Nothing of it goes on, whether it has ended or hangs."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


def _why(said: bytes) -> str:
    try:
        return str(json.loads(said)["why"])
    except (ValueError, KeyError, TypeError):
        return "the process that sends it broke off"
