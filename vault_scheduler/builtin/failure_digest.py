"""`call: failure_digest`: what went wrong in the scheduler's own runs of the last day, task by task, with the reasons.

It reads the ledger and tells, each with a link to the note: tasks that fail now; those that wait for a person; those
that are fine again; runs that needed more than one attempt; fire times that were missed or skipped. What a gate
declined is not told: nothing was to be done. Nothing is written.

- `since`: how far back it looks
- `skipped`: with `false` fire times that were skipped are not told
- `limit`: how many lines each section has at most
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from vault_scheduler import __version__
from vault_scheduler.builtin.parts.arguments import period
from vault_scheduler.builtin.parts.words import count, link, section
from vault_scheduler.errors import VaultSchedError
from vault_scheduler.ledger.sqlite_store import SqliteStore
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.values import boolean, spelled, whole_number
from vault_scheduler.platform.replace import read_regular
from vault_scheduler.run import Outcome, Run
from vault_scheduler.text.harmless import one_line
from vault_scheduler.vault.vault import MAX_TASK_BYTES

_PAGE = 2000  # rows that are read at once
_LONGEST = timedelta(days=2)  # a run that ended in the window may have been due so long before it
_REASON = 160  # characters
_REASONS = 2  # told of one task
_GATE = "gate said no"


class NoLedger(VaultSchedError):
    """There is nothing to read: no ledger, or nobody said where."""

    retryable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the ledger says of a span of time. All runs have ended."""

    runs: tuple[Run, ...]
    before: Mapping[str, Run] = field(default_factory=dict)  # task → its last run before that, if it made an attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteState:
    """What is known of the note of a task."""

    there: bool = True
    paused: bool = False


def run(
    vault: Path,
    state: Path | None,
    now: datetime,
    /,
    *,
    since: object = "24h",
    skipped: object = True,
    limit: object = 10,
) -> dict[str, str]:
    """The digest as markdown. `now` is local to the task's zone.

    Raises BadValue for an argument without meaning, NoLedger, and what `SqliteStore.open` raises.
    """
    length = period(since, "since", minimum=timedelta(minutes=1))
    most = whole_number(limit, "limit", minimum=1)
    tell_skipped = boolean(skipped, "skipped")
    if state is None or not (state / "ledger.db").exists():
        raise NoLedger("There is no ledger here: this task tells of runs of the daemon that runs it")
    history = asyncio.run(_read(state / "ledger.db", now - length))
    return {"markdown": digest(history, now, length, lambda path: _note(vault, path), most, skipped=tell_skipped)}


async def _read(ledger: Path, since: datetime) -> History:
    """Look at the ledger beside the daemon that writes it."""
    store = await SqliteStore.look(ledger, version=__version__)
    try:
        found: dict[str, Run] = {}
        before: datetime | None = None
        while True:
            page = await store.history(limit=_PAGE, before=before)
            is_new = any(run.id not in found for run in page)
            found.update((run.id, run) for run in page)
            if len(page) < _PAGE or not is_new or _fired(page[-1]) < since - _LONGEST:
                break
            before = _fired(page[-1]) + timedelta(microseconds=1)  # rows of the same instant may be on the next page
        runs = tuple(run for run in found.values() if _is_told(run, since))
        return History(runs=runs, before=await _before(store, runs))
    finally:
        await store.close()


def _fired(run: Run) -> datetime:
    return run.last_fire_time or run.fire_time


def _is_told(run: Run, since: datetime) -> bool:
    return run.outcome is not None and (_fired(run) if run.never_started else run.ended_at or _fired(run)) >= since


async def _before(store: SqliteStore, runs: Sequence[Run]) -> dict[str, Run]:
    """The last attempt before the span of each task that ran well in it: it may have failed."""
    first = {run.task: run for run in sorted(runs, key=_fired, reverse=True) if not run.never_started}
    found = {}
    for task, earliest in first.items():
        earlier = await store.history(task=task, limit=5, before=earliest.fire_time)
        last = next((run for run in earlier if not run.never_started and run.outcome is not None), None)
        if last is not None:
            found[task] = last
    return found


def _note(vault: Path, path: str) -> NoteState:
    try:
        properties = Document.parse(read_regular(vault / path, MAX_TASK_BYTES).data).mapping
    except FileNotFoundError:
        return NoteState(there=False)
    except VaultSchedError:
        return NoteState()
    return NoteState(paused=properties.get("status") == "paused")


# the digest


def digest(
    history: History,
    now: datetime,
    length: timedelta,
    note: Callable[[str], NoteState],
    limit: int,
    *,
    skipped: bool = True,
) -> str:
    """The markdown: how it stands in one sentence, then what needs a look, the worst first."""
    by_task: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(history.runs, key=lambda run: run.ended_at or _fired(run)):
        by_task[run.task].append(run)
    days = [_Day(task, runs, history.before.get(task), now, note) for task, runs in sorted(by_task.items())]
    parts = {
        "❌ Failing": [line for day in days if (line := day.failing())],
        "✋ Waiting for you": [line for day in days if (line := day.blocked())],
        "✅ Fine again": [line for day in days if (line := day.recovered())],
        "🔁 Only at a later attempt": [line for day in days if (line := day.retried())],
        "⏭ Did not run": [line for day in days if (line := day.not_started(skipped))],
    }
    lists = [text for title, lines in parts.items() for text in section(title, lines, limit)]
    return "\n\n".join([_headline(history.runs, parts, length), *lists])


def _headline(runs: Sequence[Run], parts: Mapping[str, Sequence[str]], length: timedelta) -> str:
    started = [run for run in runs if not run.never_started]
    tasks = len({run.task for run in started})
    cost = sum(run.result.cost_usd or 0.0 for run in started if run.result)
    done = f"{count(len(started), 'run')} of {count(tasks, 'task')} in {_span(length)}"
    done += f", ${cost:.2f}" if cost else ""
    failing, blocked, again, _, unstarted = (len(lines) for lines in parts.values())
    told = [f"**{count(failing, 'task')} failing**"] * bool(failing)
    told += [f"**{blocked} waiting for you**"] * bool(blocked)
    told += [f"{again} fine again"] * bool(again)
    told += [f"{count(unstarted, 'task')} with runs that did not start"] * bool(unstarted)
    return f"{', '.join(told)} · {done}." if told else f"Nothing failed: {done}."


def _span(length: timedelta) -> str:
    """`24 h`, `7 days`, else as in notes."""
    hours, rest = divmod(int(length.total_seconds()), 3600)
    if rest or (hours > 48 and hours % 24):
        return spelled(length)
    return f"{hours} h" if hours <= 48 else f"{hours // 24} days"


class _Day:
    """The runs of one task, by their end, and what there is to say of them: each method one line, "" for nothing."""

    def __init__(
        self, task: str, runs: Sequence[Run], before: Run | None, now: datetime, note: Callable[[str], NoteState]
    ) -> None:
        self._now = now
        self._runs = runs
        self._before = before
        self._note = note(runs[-1].path)
        self._name = link(runs[-1].path) if self._note.there else f"{one_line(task)} (its note is gone)"
        self._started = [run for run in runs if not run.never_started and run.outcome is not Outcome.CANCELLED]
        self._failed = [run for run in self._started if run.outcome is not None and run.outcome.is_failed]

    def failing(self) -> str:
        """The last run failed."""
        last = self._started[-1] if self._started else None
        if last is None or last not in self._failed:
            return ""
        row = self._row_of_failures()
        since = (
            f"since {self._clock(row[0])}, last {self._clock(row[-1])}" if len(row) > 1 else f"at {self._clock(last)}"
        )
        parts = [self._name, f"{self._share(self._failed)} failed, {since}", *["**now paused**"] * self._note.paused]
        return " · ".join([*parts, self._reasons(self._failed)])

    def _share(self, some: Sequence[Run]) -> str:
        """`1 run`, `all 4 runs`, `3 of 4 runs`."""
        number = len(self._started)
        if len(some) == number:
            return "1 run" if number == 1 else f"all {number:,} runs"
        return f"{len(some):,} of {count(number, 'run')}"

    def _row_of_failures(self) -> list[Run]:
        """The failures since the last run that was none."""
        good = max((at for at, run in enumerate(self._started) if run not in self._failed), default=-1)
        return self._started[good + 1 :]

    def blocked(self) -> str:
        """The last word on the task was that it needs a person."""
        last = self._runs[-1]
        if last.outcome is not Outcome.BLOCKED:
            return ""
        number = sum(run.count for run in self._runs if run.outcome is Outcome.BLOCKED)
        times = f"{number} × since" if number > 1 else "since"
        first = next(run for run in self._runs if run.outcome is Outcome.BLOCKED)
        question = one_line(last.result.question, _REASON) if last.result and last.result.question else ""
        return f"{self._name} · {times} {self._clock(first)} · {question or one_line(last.reason, _REASON)}"

    def recovered(self) -> str:
        """A run after failures went well."""
        if not self._started or self._started[-1].outcome is not Outcome.SUCCESS:
            return ""
        earlier = [self._before] if self._before and self._before.outcome and self._before.outcome.is_failed else []
        failed = [*(earlier if self._started[0].outcome is Outcome.SUCCESS else []), *self._failed]
        if not failed:
            return ""
        last_bad = max((at for at, run in enumerate(self._started) if run in self._failed), default=-1)
        again = self._clock(self._started[last_bad + 1])
        return f"{self._name} · since {again}, after {count(len(failed), 'failure')} · {self._reasons(failed)}"

    def retried(self) -> str:
        """A run went well, but not at its first attempt."""
        needed = [run for run in self._started if run.outcome is Outcome.SUCCESS and run.attempts > 1]
        if not needed or self._failed:
            return ""
        most = max(run.attempts for run in needed)
        return f"{self._name} · {self._share(needed)} needed {'up to ' if len(needed) > 1 else ''}{most} attempts"

    def not_started(self, skipped: bool) -> str:
        """Fire times that were missed, and those that were skipped for a reason."""
        told = {Outcome.MISSED, *([Outcome.SKIPPED] if skipped else [])}
        runs = [run for run in self._runs if run.never_started and run.outcome in told and _GATE not in run.reason]
        numbers: Counter[tuple[str, str]] = Counter()
        for run in runs:
            numbers[str(run.outcome), run.reason] += run.count
        words = [
            f"{outcome} {number} ×{f' ({one_line(reason, _REASON)})' if reason else ''}"
            for (outcome, reason), number in numbers.most_common(_REASONS)
        ]
        return f"{self._name} · {', '.join(words)}" if words else ""

    def _reasons(self, runs: Sequence[Run]) -> str:
        """The newest and the most frequent reasons."""
        numbers = Counter(self._reason(run) for run in reversed(runs))
        newest = self._reason(runs[-1])
        others = [reason for reason, _ in numbers.most_common() if reason != newest]
        shown = [newest, *others][:_REASONS]
        words = [f"{reason} ({numbers[reason]} ×)" if numbers[reason] > 1 else reason for reason in shown]
        more = len(numbers) - len(shown)
        return "; ".join(words) + (f"; {count(more, 'other reason')}" if more else "")

    def _reason(self, run: Run) -> str:
        outcome = str(run.outcome) if run.outcome is not Outcome.FAILURE or not run.reason else ""
        return ": ".join(part for part in (outcome, one_line(run.reason, _REASON)) if part)

    def _clock(self, run: Run) -> str:
        moment = (_fired(run) if run.never_started else run.ended_at or _fired(run)).astimezone(self._now.tzinfo)
        days = (self._now.date() - moment.date()).days
        if days > 1:
            return f"{moment:%a %d %b %H:%M}"
        return f"{'yesterday ' if days else ''}{moment:%H:%M}"
