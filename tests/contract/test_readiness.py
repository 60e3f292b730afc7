"""What attempts start with, made in threads: what is submitted counts, whatever was prepared for it before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from threading import Event

from vault_scheduler.executors.base import Ended, Launch, MachineEnvironment, RunRequest, ended_result
from vault_scheduler.executors.readiness import Readiness
from vault_scheduler.run import Result
from vault_scheduler.testing import FakeClock


class Script:
    """Gives each attempt its body as a file; the first one not before it may."""

    def __init__(self) -> None:
        self.begun, self.may_go_on = Event(), Event()

    def prepare(self, request: RunRequest, folder: Path) -> Launch | Result:
        if request.body == "old":
            self.begun.set()
            assert self.may_go_on.wait(20)
        folder.mkdir(parents=True, exist_ok=True)
        return Launch(argv=("/bin/sh", str(folder / "script")), cwd=folder, files={"script": request.body})

    def interpret(self, request: RunRequest, ended: Ended) -> Result:
        return ended_result(request, ended)


def a_request(body: str) -> RunRequest:
    return RunRequest(
        run="r-1",
        task="t",
        path="00_system/tasks/t.md",
        title="t",
        type="command",
        attempt=1,
        fire_time="2026-11-22T07:00:00+01:00",
        timezone="UTC",
        vault="/vault",
        action={"type": "command", "command": "sh"},
        body=body,
        timeout_s=30.0,
    )


def test_what_is_prepared_too_slowly_is_not_written_over_what_is_submitted(tmp_path: Path) -> None:
    """A disk may take longer than there was left until the fire time, and the note may have been edited meanwhile."""
    script = Script()
    readiness = Readiness(
        {"command": script}, MachineEnvironment(), FakeClock(), lambda request: tmp_path / request.run
    )

    async def scenario() -> None:
        old = a_request("old")
        await readiness.prepare(old)
        await asyncio.to_thread(script.begun.wait, 20)
        new = replace(old, body="new")
        assert readiness.take(new) is None
        making = asyncio.create_task(asyncio.to_thread(readiness.make, new, new))
        await asyncio.wait([making], timeout=0.1)
        script.may_go_on.set()
        assert (await making).request == new

    asyncio.run(scenario())  # which waits for its threads
    assert (tmp_path / "r-1" / "script").read_text() == "new"
