"""Keeps the status note: gathered from what the daemon knows, written seldom enough for phones and sync (rule 6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from vault_scheduler.daemon.core import Core
from vault_scheduler.daemon.roster import Tracked
from vault_scheduler.errors import LedgerCorrupt, LedgerUnavailable, NoteChanged, NoteRefused, NoteUnreadable
from vault_scheduler.planning.planner import is_going
from vault_scheduler.planning.standing import State, vault_off
from vault_scheduler.telling.status_note import WRITTEN_AFTER, Ask, Coming, StatusFacts, is_ours, page
from vault_scheduler.vault.vault import Vault

AT_MOST_EVERY_S = 300.0
RIPE_WITHIN_S = 30.0
"""For so long at most a page waits for runs to end, and the first one for notes that were changed just before."""
AGAIN_S = 15.0  # after a page that could not be written
LOOKED_AT = 200  # tasks whose next fire times are asked for
NEXT = 10
DAY = timedelta(hours=24)
FAILED_WITHIN = timedelta(days=7)
FAILURES = 200  # looked at; those that are alike are one line
BARS = 120
BARS_A_TASK = 24
"""A task that fires more often in a day is named below the chart, not drawn."""


class StatusWriter:
    """Owns `status.md` of a vault that this machine runs."""

    def __init__(self, core: Core, vault: Vault) -> None:
        self._store, self._survey, self._roster = core.store, core.survey, core.roster
        self._dispatcher, self._guard = core.dispatcher, core.guard
        self._around, self._troubles = core.around, core.troubles
        self._pen, self._host = core.scribe.pen, core.host
        self._path = vault.rel(vault.status_path)
        self.draining = ""  # why nothing starts any more
        self._told: object = None  # the subject of the last page
        self._stale = True
        self._written_at = float("-inf")  # awake seconds of the last try
        self._good_until: datetime | None = None
        self._ripe_by: float | None = None  # awake seconds

    def poke(self) -> None:
        """A run has begun or ended, or a definition has changed."""
        self._stale = True

    def next_moment(self, now: datetime, monotonic: float) -> float:
        """The awake second at which the page is to be written."""
        hourly = monotonic + ((self._good_until or now) - now).total_seconds()
        due = max(self._written_at + AT_MOST_EVERY_S, monotonic if self._stale else hourly)
        if due > monotonic or not self._is_unripe:
            return due
        if self._ripe_by is None:
            self._ripe_by = monotonic + RIPE_WITHIN_S
        return max(monotonic, self._ripe_by)

    async def write_if_due(self, now: datetime, monotonic: float) -> None:
        """Write the page if something has changed, or an hour has passed; never more often than every 5 minutes."""
        if self._subject != self._told:
            self._stale = True
        if self.next_moment(now, monotonic) <= monotonic:
            await self._write(now, monotonic)

    @property
    def _is_unripe(self) -> bool:
        """Whether a page of this moment would soon be wrong, and the next one could not mend it for 5 minutes."""
        is_first = self._written_at == float("-inf")
        return (is_first and self._survey.unsettled) or bool(self._dispatcher.going())

    @property
    def _subject(self) -> object:
        """Another one whenever there is something new to tell, runs aside."""
        return self._around.problems_mark, self._troubles.now, self._roster.revisions, self.draining

    async def stopped(self, now: datetime, monotonic: float) -> None:
        """The last page of this daemon: nobody looks after the vault from now on."""
        await self._write(now, monotonic, stopped=True)

    async def _write(self, now: datetime, monotonic: float, *, stopped: bool = False) -> None:
        settings = self._survey.settings_note.in_force
        self._stale, self._written_at, self._good_until = False, monotonic, now + WRITTEN_AFTER
        self._ripe_by = None
        self._told = self._subject
        if settings.host not in (None, self._host):
            return  # the machine that owns the vault tells how it is
        try:
            text = page(await self._facts(now, stopped=stopped)).encode("utf-8", "replace")
            await self._pen.edit_or_create(self._path, lambda data: _replaced(data, text), monotonic)
        except (LedgerUnavailable, LedgerCorrupt):
            raise
        except (OSError, NoteChanged, NoteRefused, NoteUnreadable) as error:
            self._stale, self._written_at = True, monotonic - AT_MOST_EVERY_S + AGAIN_S
            self._troubles.begin("status note", f"{self._path} could not be written: {error}")
        else:
            self._troubles.end("status note", "it can be written again")
        self._told = self._subject

    # the facts

    async def _facts(self, now: datetime, *, stopped: bool) -> StatusFacts:
        settings = self._survey.settings_note.in_force
        active = self._dispatcher.active()
        failed = await self._store.history(failed=True, limit=FAILURES)
        coming = self._coming(now)
        today, month = self._guard.spent(now)
        return StatusFacts(
            now=now,
            zone=ZoneInfo(self._survey.timezone),
            host=self._host,
            tasks=len(self._roster.all()),
            stopped=stopped,
            draining=self.draining,
            vault_is_off=vault_off(settings, now),
            troubles=self._troubles.now,
            problems=[problem for problem in self._around.problems() if problem.is_error],
            held=list(self._held()),
            questions=list(self._questions()),
            running=[run for run in active if is_going(run)],
            waiting=[run for run in active if not is_going(run)],
            coming=sorted(coming, key=lambda item: item.fire_time)[:NEXT],
            bars=await self._bars(now),
            frequent=[tracked.task.path for tracked in self._armed() if _is_frequent(tracked, now)],
            failures=[run for run in failed if (run.ended_at or run.fire_time) > now - FAILED_WITHIN],
            spent_today=today,
            spent_month=month,
            cap_today=settings.vault_max_usd_day,
        )

    def _armed(self) -> list[Tracked]:
        """The armed tasks that are looked at soonest."""
        soonest = map(self._roster.get, self._roster.agenda.soonest(LOOKED_AT))
        return [tracked for tracked in soonest if tracked is not None and tracked.standing.armed]

    def _held(self) -> Iterator[Ask]:
        for tracked in self._roster.all():
            if tracked.standing.state is State.HELD:
                yield Ask(path=tracked.task.path, text=tracked.standing.reason)

    def _questions(self) -> Iterator[Ask]:
        for tracked in self._roster.all():
            question = self._survey.notes.value(tracked.task.path, "question")
            if question:
                yield Ask(path=tracked.task.path, text=question)

    def _coming(self, now: datetime) -> list[Coming]:
        times = ((tracked, tracked.task.schedule.next_after(now)) for tracked in self._armed())
        return [_coming(tracked, moment) for tracked, moment in times if moment is not None]

    async def _bars(self, now: datetime) -> list[Coming]:
        bars: list[Coming] = []
        for tracked in self._armed():
            moments = _today(tracked, now)
            if not moments or len(moments) > BARS_A_TASK:
                continue
            last = await self._store.last_run_of(tracked.task.id, started=True)
            expected_s = last.duration_s if last is not None and last.duration_s else 60.0
            bars += [_coming(tracked, moment, expected_s) for moment in moments]
        return sorted(bars, key=lambda bar: bar.fire_time)[:BARS]


def _coming(tracked: Tracked, moment: datetime, expected_s: float = 60.0) -> Coming:
    return Coming(path=tracked.task.path, kind=tracked.task.type.value, fire_time=moment, expected_s=expected_s)


def _today(tracked: Tracked, now: datetime) -> Sequence[datetime]:
    """The fire times of the coming 24 hours, one more than are drawn at most."""
    return list(islice(_fire_times(tracked, now), BARS_A_TASK + 1))


def _fire_times(tracked: Tracked, now: datetime) -> Iterator[datetime]:
    moment = tracked.task.schedule.next_after(now)
    while moment is not None and moment <= now + DAY:
        yield moment
        moment = tracked.task.schedule.next_after(moment)


def _is_frequent(tracked: Tracked, now: datetime) -> bool:
    return len(_today(tracked, now)) > BARS_A_TASK


def _replaced(data: bytes, text: bytes) -> bytes:
    if is_ours(data):
        return text
    raise NoteRefused("a note of somebody stands there. Rename it: the scheduler keeps its status under this name")
