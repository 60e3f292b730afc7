"""The daemon's own ping: once a minute, from a thread, and told when it does not get through."""

from __future__ import annotations

from tests.process.receivers import receivers
from vault_scheduler.notifiers.pulse import EVERY_S, Pulse


def test_pings_come_once_a_minute() -> None:
    """However often a pass asks for it, and only if the one before has come back."""
    with receivers() as to:
        pulse = Pulse()
        for second in range(0, 121, 10):
            pulse.beat(f"http://127.0.0.1:{to.port}/alive", float(second))
            pulse.wait()
        assert len(to.at("/alive")) == 3
        pulse.beat(f"http://127.0.0.1:{to.port}/hang", 200.0)
        pulse.beat(f"http://127.0.0.1:{to.port}/hang", 300.0)
        to.over.set()
        pulse.wait()
        assert len(to.at("/hang")) == 1
        assert pulse.trouble == ""


def test_three_failures_in_a_row_are_a_trouble_until_one_gets_through() -> None:
    """One that fails may be anything; the words hold no address."""
    with receivers() as to:
        pulse = Pulse()
        moment = 0.0
        for number in range(3):
            assert pulse.trouble == "", number
            moment += EVERY_S
            pulse.beat(f"http://127.0.0.1:{to.port}/500/secret-uuid", moment)
            pulse.wait()
        assert pulse.trouble == "it answered 500"
        pulse.beat(f"http://127.0.0.1:{to.port}/alive", moment + EVERY_S)
        pulse.wait()
        assert pulse.trouble == ""
