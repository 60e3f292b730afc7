"""When a daemon drains for the version that was installed under it."""

from __future__ import annotations

import pytest

from vault_scheduler.planning.upgrade import AGAIN_S, LATER_S, PATIENCE_S, SETTLED_S, Seen, Step, step

FRESH = Seen(first=100.0, changed=100.0)
STARTS = Seen(first=100.0, changed=100.0, tried=100.0 + SETTLED_S, starts=True)
BROKEN = Seen(first=100.0, changed=100.0, tried=100.0 + SETTLED_S)


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        (None, 100.0, Step.NOTHING),
        # From the first sign on nothing starts: a worker would be of another version than the daemon.
        (FRESH, 100.0, Step.WAIT),
        (FRESH, 100.0 + SETTLED_S, Step.TRY),
        # pip removes the old files, then writes the new ones: what still changes is not tried.
        (Seen(first=100.0, changed=102.0), 100.0 + SETTLED_S, Step.WAIT),
        (STARTS, 106.0, Step.DRAIN),
        # Replaced once more after it was found to start.
        (Seen(first=100.0, changed=110.0, tried=103.0, starts=True), 111.0, Step.WAIT),
        (Seen(first=100.0, changed=110.0, tried=103.0, starts=True), 110.0 + SETTLED_S, Step.TRY),
        # A dependency is not there yet: again later, at rest meanwhile.
        (BROKEN, 106.0, Step.WAIT),
        (BROKEN, 103.0 + AGAIN_S, Step.TRY),
        # A machine that was suspended meanwhile, or a trial that never came, is no reason to go on with half of it.
        (FRESH, 100.0 + PATIENCE_S, Step.TRY),
        # It does not start at all: what the daemon has loaded goes on, and the trials, too.
        (Seen(first=100.0, changed=100.0, tried=219.0), 100.0 + PATIENCE_S, Step.GO_ON),
        (Seen(first=100.0, changed=100.0, tried=219.0), 219.0 + AGAIN_S, Step.GO_ON),
        (Seen(first=100.0, changed=100.0, tried=219.0), 219.0 + LATER_S, Step.TRY_ON),
        # Installed once more: that is tried as soon as it rests.
        (Seen(first=100.0, changed=300.0, tried=219.0), 300.0 + SETTLED_S, Step.TRY_ON),
    ],
)
def test_steps_of_an_upgrade(seen: Seen | None, now: float, expected: Step) -> None:
    """Wait from the first sign, try when it rests, drain when it starts, go on when it does not."""
    assert step(seen, now) is expected
