"""The outbox at work: what waits in the ledger is handed to the postman, and what came of it is written down."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from vault_scheduler.daemon.troubles import Troubles
from vault_scheduler.ledger.store import Store
from vault_scheduler.notifiers.base import Parcel, Postman, Sent
from vault_scheduler.notifiers.ping import ping_address
from vault_scheduler.planning.mailing import START, Letter, is_given_up, next_round, put_together, retry_at
from vault_scheduler.telling.messages import KINDS

LOOK_AGAIN_S = 60.0
"""The ledger is read again at least this often while letters wait: the clock may be set, `ack` takes letters back."""
OURS = "notifier "
"""How the name of a trouble begins that is about telling: nobody can be told of it."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    line: tuple[str, str]
    letters: tuple[Letter, ...]


class Outbox:
    """Owns what is on its way. `ping_url` gives the address of a task's pings as it is now, "" for none."""

    def __init__(
        self,
        store: Store,
        postman: Postman,
        *,
        ping_url: Callable[[str], str],
        troubles: Troubles,
        give_up: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._postman = postman
        self._ping_url = ping_url
        self._troubles = troubles
        self._give_up = give_up
        self._under_way: dict[int, _UnderWay] = {}
        self._sent: deque[Sent] = deque()
        self._count = 0
        self._dirty = True  # there may be letters that have not been looked at
        self._next: datetime | None = None
        self._look_by = float("-inf")

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way; what waits for a time does not count."""
        return not (self._under_way or self._sent or self._dirty)

    def poke(self) -> None:
        """There is something new in the ledger."""
        self._dirty = True

    def post(self, sent: Sent) -> None:
        """The postman says what came of a parcel."""
        self._sent.append(sent)

    def next_moment(self, now: datetime, monotonic: float) -> float | None:
        """The awake second at which there is something to do; None: nothing waits."""
        if self._dirty or self._sent:
            return monotonic
        if self._next is None:
            return None
        return min(monotonic + (self._next - now).total_seconds(), self._look_by)

    async def look(self, now: datetime, monotonic: float, quiet_until: datetime | None) -> None:
        """Take in what came back, and send what may leave now."""
        while self._sent:
            await self._take(self._sent[0], now)
            self._sent.popleft()
        moment = self.next_moment(now, monotonic)
        if moment is None or moment > monotonic:
            return
        letters = await self._store.outbox()
        found = next_round(letters, now, quiet_until=quiet_until, busy={way.line for way in self._under_way.values()})
        if found.dropped:
            await self._store.letters_done(found.dropped, now, "a later one took its place")
        for bundle in found.bundles:
            await self._send(bundle, now)
        self._dirty, self._next, self._look_by = False, found.next_moment, monotonic + LOOK_AGAIN_S

    async def _send(self, bundle: tuple[Letter, ...], now: datetime) -> None:
        first = bundle[0]
        url = self._ping_url(first.subject) if first.ping else ""
        if not url and first.receiver not in self._postman.receivers:
            await self._store.letters_done(bundle, now, "nobody of this name is to be told any more")
            self._troubles.end(f"{OURS}{_name(first)}", "nobody of this name is to be told any more")
            return
        # Written first: a crash may send it a second time, after that delay, and never forgets it.
        await self._store.try_letters(bundle, retry_at(max(bundle, key=lambda letter: letter.tries), now))
        self._count += 1
        self._under_way[self._count] = _UnderWay(first.line, bundle)
        self._postman.submit(_parcel(self._count, bundle, url))

    async def _take(self, sent: Sent, now: datetime) -> None:
        way = self._under_way.get(sent.parcel)
        if way is None:
            return
        if not sent.why:
            await self._store.letters_done(way.letters, now)
        elif way.letters[0].ping == START:
            await self._store.letters_done(way.letters, now, sent.why)  # it would tell a wrong time
        else:
            await self._failed(way.letters, sent.why, now)
        del self._under_way[sent.parcel]
        self._tell(way.letters[0], sent.why)
        self._dirty = True

    async def _failed(self, letters: Sequence[Letter], why: str, now: datetime) -> None:
        lost = [letter for letter in letters if is_given_up(letter, now)]
        await self._store.letters_failed([letter for letter in letters if letter not in lost], now, why)
        if lost:
            await self._store.letters_done(lost, now, f"given up: {why}")
            self._give_up(_name(lost[0]), f"{len(lost)} × not told, and given up after a day: {why}")

    def _tell(self, letter: Letter, why: str) -> None:
        name = _name(letter)
        if why:
            text = f"{name} cannot be told: {why}. What is for it is kept, and tried again for a day"
            self._troubles.begin(f"{OURS}{name}", text)
        else:
            self._troubles.end(f"{OURS}{name}", "it can be told again")

    async def shutdown(self) -> None:
        """End what is on its way; the next daemon tries it again."""
        await self._postman.shutdown()
        self._under_way.clear()


def _name(letter: Letter) -> str:
    return f"the ping_url of {letter.subject}" if letter.ping else letter.receiver


def _parcel(number: int, bundle: Sequence[Letter], url: str) -> Parcel:
    first, (title, body) = bundle[0], put_together(bundle)
    if first.ping:
        return Parcel(id=number, url=ping_address(url, first.ping, first.run), body=body)
    kinds = {KINDS[letter.topic] for letter in bundle if letter.topic is not None}
    return Parcel(
        id=number,
        receiver=first.receiver,
        title=title,
        body=body,
        kind=next((kind for kind in ("failure", "warning", "success") if kind in kinds), "info"),
        facts={
            "VAULT_SCHED_TOPIC": first.topic.value if first.topic is not None and len(bundle) == 1 else "",
            "VAULT_SCHED_SUBJECT": first.subject if len(bundle) == 1 else "",
        },
    )
