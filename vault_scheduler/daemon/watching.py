"""What tells the scheduler of changes while it serves: the watcher of our folders, the follower of other files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from vault_scheduler.daemon.scheduler import Scheduler
from vault_scheduler.daemon.troubles import Troubles
from vault_scheduler.machine.place import Place
from vault_scheduler.platform.limits import files_problem, room_problem
from vault_scheduler.vault.follower import Follower
from vault_scheduler.vault.watcher import Post, Watcher


@contextlib.contextmanager
def watching(place: Place, scheduler: Scheduler, troubles: Troubles) -> Iterator[Callable[[], None]]:
    """Hints come while it lasts; what it gives asks whether all that is to be watched still is, and there is room."""
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
        _tell_of_room(place, troubles)
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


def _tell_of_room(place: Place, troubles: Troubles) -> None:
    if cramped := files_problem():
        troubles.begin("files", cramped)
    else:
        troubles.end("files", "there is room for open files again")
    if full := room_problem(place.runs_folder):
        troubles.begin("room", full)
    else:
        troubles.end("room", "there is room for full outputs again")
