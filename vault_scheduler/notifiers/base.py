"""What a notifier is asked to send, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Address = str | tuple[str, ...]
"""A URL, or a program with its arguments. Both may hold tokens: they are shown to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One thing to be sent, once. `url` is set for a ping, `receiver` for a message to a notifier of this machine."""

    id: int
    receiver: str = ""
    url: str = field(default="", repr=False)
    title: str = ""
    body: str = ""
    kind: str = "info"  # info · success · warning · failure: notifiers colour by it
    facts: Mapping[str, str] = field(default_factory=dict)  # environment of a command: VAULT_SCHED_…


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of a parcel: `why` it could not be sent, in words that hold no address; "" if it was."""

    parcel: int
    why: str = ""


class Postman(Protocol):
    """Sends parcels, several at a time. What came of each is posted, once, to the function that it was made with.

    Nothing is posted within `submit`, and nothing after `shutdown`: what was on its way then may have arrived or not.
    """

    @property
    def receivers(self) -> tuple[str, ...]:
        """The names of this machine's notifiers."""

    def submit(self, parcel: Parcel) -> None:
        """Send it, soon. Returns at once."""

    async def shutdown(self) -> None:
        """End what is on its way, at once."""


class Heartbeat(Protocol):
    """The daemon's own ping."""

    @property
    def trouble(self) -> str:
        """Why it does not get through; "" if it does."""

    def beat(self, url: str, monotonic: float) -> None:
        """A pass of the daemon has done its work at that awake second: ask the address, if it is time."""

    def wait(self) -> None:
        """Until what is under way has come back, for some seconds at most. Blocks."""
