"""What every postman does: the real one, with worker processes and programs as receivers, and the fake one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from vault_scheduler.notifiers.base import Parcel, Postman, Sent
from vault_scheduler.notifiers.postman import ProcessPostman
from vault_scheduler.testing import FakePostman

Make = Callable[[Callable[[Sent], None]], Postman]


@pytest.fixture(params=["process", "fake"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A postman with the notifiers `good`, `bad` and `slow`."""

    def fake(post: Callable[[Sent], None]) -> Postman:
        ends = {"good": "", "bad": "exit 3: no room", "slow": None}
        return FakePostman(list(ends), post, lambda parcel: ends.get(parcel.receiver, "no such notifier"))

    def real(post: Callable[[Sent], None]) -> Postman:
        programs = {
            "good": ("/bin/sh", "-c", "exit 0"),
            "bad": ("/bin/sh", "-c", "echo no room; exit 3"),
            "slow": ("/bin/sh", "-c", "sleep 600"),
        }
        return ProcessPostman(programs, post)

    return real if request.param == "process" else fake


async def answers(postman: Postman, sent: list[Sent], parcels: list[Parcel]) -> dict[int, str]:
    for parcel in parcels:
        postman.submit(parcel)
    assert sent == [], "nothing is posted within submit"
    async with asyncio.timeout(30):
        while len(sent) < len(parcels):
            await asyncio.sleep(0.01)
    return {each.parcel: each.why for each in sent}


async def told_of_each(make: Make) -> None:
    sent: list[Sent] = []
    postman = make(sent.append)
    assert postman.receivers == ("good", "bad", "slow")
    parcels = [Parcel(id=1, receiver="good"), Parcel(id=2, receiver="bad"), Parcel(id=3, receiver="gone")]
    found = await answers(postman, sent, parcels)
    await postman.shutdown()
    assert found[1] == ""
    assert found[2] == "exit 3: no room"
    assert "no" in found[3]


def test_what_came_of_each_parcel_is_posted_once(make: Make) -> None:
    """Sent, or why not; a notifier that is not there is a reason like any other."""
    asyncio.run(told_of_each(make))


async def left_at_once(make: Make) -> None:
    sent: list[Sent] = []
    postman = make(sent.append)
    postman.submit(Parcel(id=1, receiver="slow"))
    await asyncio.sleep(0.3)
    async with asyncio.timeout(5):
        await postman.shutdown()
    await asyncio.sleep(0.05)
    assert sent == []


def test_shutdown_waits_for_nobody_and_nothing_is_posted_after_it(make: Make) -> None:
    """What is on its way is ended."""
    asyncio.run(left_at_once(make))


async def one_behind_another(make: Make) -> None:
    sent: list[Sent] = []
    postman = make(sent.append)
    postman.submit(Parcel(id=1, receiver="slow"))
    found = await answers(postman, sent, [Parcel(id=2, receiver="good")])
    await postman.shutdown()
    assert found == {2: ""}


def test_a_receiver_that_hangs_keeps_no_other_waiting(make: Make) -> None:
    """Several parcels are on their way at a time."""
    asyncio.run(one_behind_another(make))
