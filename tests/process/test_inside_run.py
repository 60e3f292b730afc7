"""Our own commands inside a run, given by the run's own processes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.process.conftest import World

SCHED = f"{sys.executable} -m vault_scheduler"
BODY = """```sh
export PYTHONPATH={path}
{sched} pause other && echo paused
{sched} approve other; echo approve $?
env -i HOME=$HOME PATH=$PATH PYTHONPATH={path} {sched} approve --all --vault {vault}; echo without-marker $?
```
"""


def test_a_command_may_pause_and_not_approve(world: World) -> None:
    """A command counts as shell, so it steers tasks; approvals stay with people, also if it hides its marker."""
    world.note("other", 'type: command\ncron: "0 0 29 2 *"\ncommand: "true"')
    body = BODY.format(sched=SCHED, path=world.env["PYTHONPATH"], vault=world.vault)
    world.note("chief", 'type: command\ncron: "0 0 29 2 *"', body)
    done = world.sched("run", "chief", "--wait")
    assert done.returncode == 0, done.stderr
    assert "status: paused" in (world.tasks / "other.md").read_text()
    printed = world.sched("logs", "chief").stdout
    assert "paused" in printed
    assert "approve 2" in printed
    assert "without-marker 2" in printed or sys.platform != "linux"
    assert "is for people" in printed
