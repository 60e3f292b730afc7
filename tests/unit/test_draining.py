"""The order to drain: who gives it, what people are told, what waits meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from vault_scheduler.daemon.draining import ASKED, RESTART, Draining, Then
from vault_scheduler.daemon.troubles import Troubles
from vault_scheduler.machine.installation import Trial
from vault_scheduler.planning.upgrade import LATER_S, PATIENCE_S, SETTLED_S


class Shelf:
    """An installation that can be replaced."""

    version = "1"

    def __init__(self) -> None:
        self.now = "1"
        self.trial = Trial(version="2")
        self.fault: Exception | None = None

    def is_replaced(self) -> bool:
        return self.now != "1"

    def mark(self) -> object:
        return self.now

    def tried(self) -> Trial:
        if self.fault is not None:
            raise self.fault
        return self.trial


class Scene:
    """What drains, and the passes of the daemon that it belongs to."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.told: list[tuple[str, str, str]] = []
        self.shown: list[str] = []
        self.troubles = Troubles(lambda *line: self.told.append(line))
        self.draining = Draining(self.shelf, lambda *line: self.told.append(line), self.troubles, self.shown.append)

    async def look(self, *moments: float) -> None:
        """Passes at these awake seconds; what is tried meanwhile comes to its end."""
        for moment in moments:
            self.draining.look(moment)
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
            self.draining.look(moment)


def play(scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def played() -> None:
        await scene(Scene())

    asyncio.run(played())


def test_new_version_is_waited_for_then_made_room_for() -> None:
    """Nothing starts from the first sign on; when it rests and starts, the order is given, and said once."""

    async def upgrade(scene: Scene) -> None:
        await scene.look(10.0)
        assert (scene.draining.waits_for, scene.told) == ("", [])
        scene.shelf.now = ""
        await scene.look(20.0)
        assert (scene.draining.waits_for, scene.draining.told) == (RESTART, "")
        scene.shelf.now = "2"
        await scene.look(22.0, 22.0 + SETTLED_S - 1)
        assert scene.draining.told == ""
        await scene.look(22.0 + SETTLED_S, 60.0)
        assert (scene.draining.waits_for, scene.draining.then) == (RESTART, Then.RESTART)
        (told,) = scene.shown
        assert told.startswith("vault-sched 2 was installed (this is 1): it restarts when what runs has ended")

    play(upgrade)


def test_installation_that_does_not_start_is_told_and_runs_go_on() -> None:
    """For two minutes runs wait for it; then they start again, it is shown until it is mended, and then made room."""

    async def broken(scene: Scene) -> None:
        scene.shelf.now, scene.shelf.trial = "2", Trial(why="No module named 'croniter'")
        await scene.look(0.0, SETTLED_S)
        assert "does not start: No module named 'croniter'" in scene.troubles.now[0]
        assert scene.draining.waits_for == RESTART
        await scene.look(PATIENCE_S)
        assert (scene.draining.waits_for, len(scene.troubles.now)) == ("", 1)
        scene.shelf.trial = Trial(version="2")
        await scene.look(PATIENCE_S + LATER_S)
        assert (scene.draining.then, scene.troubles.now) == (Then.RESTART, ())

    play(broken)


def test_trial_that_breaks_is_told_and_tried_again() -> None:
    """A fault of ours in trying what is installed holds no run up for ever: it counts as one that does not start."""

    async def broken(scene: Scene) -> None:
        scene.shelf.now, scene.shelf.fault = "2", RuntimeError("no thread could be started")
        await scene.look(0.0, SETTLED_S)
        assert "no thread could be started" in scene.troubles.now[0]
        await scene.look(PATIENCE_S)
        assert scene.draining.waits_for == ""
        scene.shelf.fault = None
        await scene.look(PATIENCE_S + LATER_S)
        assert scene.draining.then is Then.RESTART

    play(broken)


def test_version_that_is_put_back_is_no_upgrade() -> None:
    """A source tree that says the old version again is what the daemon was loaded from."""

    async def back(scene: Scene) -> None:
        scene.shelf.now, scene.shelf.trial = "2", Trial(why="SyntaxError")
        await scene.look(0.0, SETTLED_S)
        scene.shelf.now = "1"
        await scene.look(SETTLED_S + 1)
        assert (scene.draining.waits_for, scene.draining.then, scene.troubles.now) == ("", None, ())

    play(back)


def test_later_order_says_what_comes_then() -> None:
    """Restart, then end: it ends; told to stop, it drains no more, whoever asks for it after that."""

    async def orders(scene: Scene) -> None:
        scene.draining.order(Then.RESTART, ASKED)
        scene.draining.order(Then.RESTART, ASKED)
        assert len(scene.shown) == 1
        scene.draining.order(Then.END, ASKED)
        assert scene.shown[-1].startswith("a restart was asked for: it ends when")
        scene.draining.withdraw()
        scene.draining.order(Then.RESTART, ASKED)
        assert scene.draining.then is None

    play(orders)
