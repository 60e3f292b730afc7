"""`forecast` told to people: day by day, what runs at what hour, and what waits or does not start. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from vault_scheduler.commands.columns import facts, plural, table
from vault_scheduler.commands.forecast import Prospect, Source
from vault_scheduler.commands.outlook_words import change_lines
from vault_scheduler.commands.schedule_words import cron_words, schedule_text
from vault_scheduler.commands.styled import Style, cut, joined, of_outcome, styled
from vault_scheduler.parsing.values import spelled
from vault_scheduler.run import Outcome
from vault_scheduler.settings import resolve
from vault_scheduler.task import Task
from vault_scheduler.telling.summary import duration_words
from vault_scheduler.text.width import width_of
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger

if TYPE_CHECKING:
    from vault_scheduler.planning.foreseen import Foreseen

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_SHORT = 12
"""A forecast of fewer hours tells every hour."""
_MOST_HOURS = 0.9
"""What runs in so many of all hours is told once."""
_STRETCHES_TOLD = 3
"""A task that starts in more stretches of hours is one line for the whole day."""
_NAMES_TOLD = 6
_LONGEST_WORDS = 36
_WIDEST_NAME = 28
_WAITS = {"slot": "for a slot", "overlap": "for its last run to end", "retry": "to be tried again"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a day: the cells of a table."""

    when: str
    task: str
    what: str

    @property
    def cells(self) -> tuple[str, ...]:
        """As the table takes them."""
        return self.when, self.task, self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines under one heading."""

    heading: str
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()  # changes of the clocks
    total: str = ""


def forecast_page(found: Prospect, width: int | None) -> list[str]:
    """`forecast`."""
    lines = [styled(_title(found), Style.TITLE)]
    if not found.tasks and not found.resting:
        return [*lines, "No tasks yet. `vault-sched create NAME` writes one."]
    if found.off:
        off = f"Nothing starts now: {found.off}. `vault-sched resume --all` makes it active."
        lines.append(styled(off, Style.CARE))
    elif not found.served:
        off = "No daemon serves this vault: this is what `vault-sched daemon` would run."
        lines.append(styled(off, Style.CARE))
    throughout, others = _apart(found)
    blocks = [*_begun(found), *_throughout(throughout, found), *_days(others, found, besides=bool(throughout))]
    rows = [row for block in blocks for row in block.rows]
    shown = iter(table([row.cells for row in rows], width=width, elastic=2, indent=2))
    for block in blocks:
        lines += ["", _heading(block, width), *block.notes, *(next(shown) for _ in block.rows)]
    return [*lines, "", *facts(_sums(found), width=width)]


def _title(found: Prospect) -> str:
    return f"{_minute(found.after, found)} – {_minute(found.until, found)} · {found.zone.key}"


def _heading(block: Block, width: int | None) -> str:
    room = max((width or 80) - width_of(block.heading), len(block.total) + 2)
    return joined([styled(block.heading, Style.TITLE), styled(f"{block.total:>{room}}".rstrip(), Style.FAINT)])


# what is going on already


def _begun(found: Prospect) -> Iterator[Block]:
    """The runs that were claimed before, and what is late."""
    going = [run for run in found.runs if run.run]
    late = [run for run in found.runs if not run.run and run.fire_time <= found.now]
    if going:
        yield Block(heading="Going on", rows=tuple(_going_row(run, found) for run in going))
    if late:
        yield Block(heading="Late", rows=tuple(_late_row(run, found) for run in late))


def _going_row(run: Foreseen, found: Prospect) -> Row:
    what = _fate(run)
    if not what and run.ends_at is not None and run.starts_at is not None and run.starts_at < found.now:
        what = f"until about {_clock(max(run.ends_at, found.now), found)}"
    return Row(when=_clock(run.fire_time, found), task=_name(run.task), what=what or _beginning(run, found))


def _late_row(run: Foreseen, found: Prospect) -> Row:
    what = _times(run.count, _fate(run) or _beginning(run, found))
    return Row(when=_minute(run.fire_time, found), task=_name(run.task), what=what)


def _beginning(run: Foreseen, found: Prospect) -> str:
    """`starts at once`, `starts about 11:02, waits 20 min for a slot`."""
    if run.starts_at is None:
        return _waiting([run], found)
    begins = f"about {_clock(run.starts_at, found)}" if run.starts_at > found.now else "at once"
    return _also(f"starts {begins}", _waiting([run], found))


# what runs hour after hour


def _apart(found: Prospect) -> tuple[list[list[Foreseen]], list[Foreseen]]:
    """What runs like clockwork all the time would drown the rest: told once. And everything else."""
    ahead = [run for run in found.runs if not run.run and run.fire_time > found.now]
    hours = (found.until - found.after) / HOUR
    if hours < _SHORT:
        return [], ahead
    throughout, others = [], []
    for alike in _alike(ahead):
        is_steady = len({_hour(run.fire_time, found) for run in alike}) >= _MOST_HOURS * hours
        throughout.append(alike) if is_steady else others.extend(alike)
    throughout.sort(key=lambda alike: (alike[0].task, -len(alike)))
    return throughout, sorted(others, key=lambda run: (run.fire_time, run.task))


def _throughout(throughout: Sequence[Sequence[Foreseen]], found: Prospect) -> Iterator[Block]:
    rows = [
        Row(when=_times(len(alike), ""), task=_name(alike[0].task), what=_told(alike, found)) for alike in throughout
    ]
    if rows:
        yield Block(heading="All the time", rows=tuple(rows))


# day by day


def _days(runs: Sequence[Foreseen], found: Prospect, *, besides: bool) -> Iterator[Block]:
    """Each day, or several days that are alike. `besides`: what runs all the time has been told already."""
    of_day: defaultdict[date, list[Foreseen]] = defaultdict(list)
    for run in runs:
        of_day[_day(run.fire_time, found)].append(run)
    blocks = [(day, _block(of_day[day], day, found, besides=besides)) for day in _calendar(found)]
    for _, alike in groupby(blocks, key=lambda entry: (entry[1].rows, entry[1].notes, entry[1].total)):
        same = list(alike)
        first, last = same[0][0], same[-1][0]
        heading = f"{first:%a} {first.day} {first:%b}"
        if first != last:
            heading += f" – {last:%a} {last.day} {last:%b}, each day"
        yield Block(heading=heading, rows=same[0][1].rows, notes=same[0][1].notes, total=same[0][1].total)


def _calendar(found: Prospect) -> Iterator[date]:
    day, last = _day(found.after + SECOND, found), _day(found.until - SECOND, found)
    while day <= last:
        yield day
        day += DAY


def _block(runs: Sequence[Foreseen], day: date, found: Prospect, *, besides: bool) -> Block:
    rows = sorted((row for alike in _alike(runs) for row in _rows(alike, found)), key=lambda entry: entry[0])
    changes = [change for change in found.changes if _day(change.at, found) == day]
    notes = tuple(line for change in changes for line in change_lines(change, found.zone))
    starting = [run for run in runs if run.starts_at]
    nothing = "nothing else" if besides else "nothing"
    total = _many(len(starting), "run") if runs else nothing
    return Block(heading="", rows=tuple(row for _, row in rows), notes=notes, total=total)


def _alike(runs: Iterable[Foreseen]) -> Iterator[list[Foreseen]]:
    """What can be told in one line: one task, one fate, one thing that is waited for."""
    found: defaultdict[tuple[str, ...], list[Foreseen]] = defaultdict(list)
    for run in runs:
        fate = _fate(run)
        found[run.task, run.trigger.value, fate, "" if fate else run.waits_for].append(run)
    yield from found.values()


def _rows(alike: Sequence[Foreseen], found: Prospect) -> Iterator[tuple[datetime, Row]]:
    """One row for what runs hour after hour; one for the whole day where that would be many."""
    stretches: list[list[Foreseen]] = []
    period = _short_period(found.tasks.get(alike[0].task))

    def goes_on(last: datetime, now: datetime) -> bool:
        return _hour(now, found) - _hour(last, found) <= HOUR or now - last <= period

    for run in alike:
        is_next = stretches and goes_on(stretches[-1][-1].fire_time, run.fire_time)
        stretches[-1].append(run) if is_next else stretches.append([run])
    for runs in stretches if len(stretches) <= _STRETCHES_TOLD else [alike]:
        yield runs[0].fire_time, _row(runs, found)


def _short_period(task: Task | None) -> timedelta:
    """Of a task that fires every two hours or oftener: it goes on though it leaves hours out; else zero."""
    triggers = task.schedule.triggers if task else ()
    period = triggers[0].period if len(triggers) == 1 and isinstance(triggers[0], IntervalTrigger) else timedelta(0)
    return period if period <= 2 * HOUR else timedelta(0)


def _row(runs: Sequence[Foreseen], found: Prospect) -> Row:
    count = sum(run.count for run in runs)
    first, last = _clock(runs[0].fire_time, found), _clock(runs[-1].last_fire_time or runs[-1].fire_time, found)
    return Row(
        when=first if first == last else f"{first}–{last}",
        task=_name(runs[0].task),
        what=_times(count, _told(runs, found)),
    )


def _told(alike: Sequence[Foreseen], found: Prospect) -> str:
    return _fate(alike[0]) or _also(_plain(alike, found), _waiting(alike, found))


def _plain(runs: Sequence[Foreseen], found: Prospect) -> str:
    """How long one run takes; of several their rhythm."""
    task = found.tasks.get(runs[0].task)
    if len(runs) > 1 and task is not None and not runs[0].parent:
        return rhythm(task)
    took = runs[0].ends_at - runs[0].starts_at if runs[0].ends_at and runs[0].starts_at else None
    parents = sorted({run.parent for run in runs if run.parent})
    told = duration_words(took.total_seconds()) if took is not None else ""
    return _also(told, f"after {_names(parents)}" if parents else "")


def rhythm(task: Task) -> str:
    """`every 5 minutes`, `every 90m`; the expression itself where words would be long."""
    if len(task.schedule.triggers) != 1:
        return schedule_text(task)
    only = task.schedule.triggers[0]
    if isinstance(only, IntervalTrigger):
        return f"every {spelled(only.period)}"
    words = cron_words(only.cron) if isinstance(only, CronTrigger) else ""
    return words if words and len(words) <= _LONGEST_WORDS else schedule_text(task)


def _fate(run: Foreseen) -> str:
    """What becomes of it if it does not run to its end; "" if it does."""
    if run.outcome is Outcome.SUCCESS:
        return ""
    return of_outcome(run.outcome.value, f"{run.outcome.value}: {run.reason}")


def _waiting(runs: Sequence[Foreseen], found: Prospect) -> str:
    """`waits 3 min for a slot`; of several the longest."""
    longest = max(runs, key=lambda run: run.waits)
    if not longest.waits_for:
        return ""
    task = found.tasks.get(longest.task)
    group = resolve(task, found.settings).group if task else ""
    for_what = _WAITS.get(longest.waits_for, f"for {longest.waits_for} {group}".rstrip())
    if longest.starts_at is None:
        return f"still waits {for_what} then"
    some = "up to " if len(runs) > 1 else ""
    return f"waits {some}{duration_words(longest.waits.total_seconds())} {for_what}"


# the sums


def _sums(found: Prospect) -> list[tuple[str, str]]:
    return [
        ("in all", _total(found)),
        ("busiest", _busiest(found)),
        ("cost", _cost(found)),
        ("guessed", _guessed(found)),
        ("unforeseen", _unforeseen(found)),
        ("gates", f"taken to open: {_names(found.gated)}" if found.gated else ""),
        ("not due", _names(found.later)),
        ("off", _off(found)),
        ("cut", _cut(found)),
    ]


def _total(found: Prospect) -> str:
    starting = [run for run in found.runs if run.starts_at]
    work = sum(((run.ends_at - run.starts_at).total_seconds() for run in starting if run.ends_at and run.starts_at), 0)
    waiting = [run for run in found.runs if run.waits]
    lost = Counter[str]()
    for run in found.runs:
        lost[run.outcome.value] += run.count if run.outcome is not Outcome.SUCCESS else 0
    parts = [f"{_many(len(starting), 'run')}, {duration_words(work)} of work"]
    if waiting:
        longest = max(run.waits for run in waiting)
        some = "up to " if len(waiting) > 1 else ""
        verb = "waits" if len(waiting) == 1 else "wait"
        parts.append(f"{len(waiting):,} {verb} {some}{duration_words(longest.total_seconds())}")
    return "; ".join([*parts, *(f"{count:,} {outcome}" for outcome, count in lost.items() if count)])


def _busiest(found: Prospect) -> str:
    hours = Counter(_hour(run.starts_at, found) for run in found.runs if run.starts_at)
    if not hours:
        return ""
    hour, count = max(hours.items(), key=lambda entry: (entry[1], -entry[0].timestamp()))
    hour = hour.astimezone(found.zone)
    return f"{hour:%a} {hour.day} {hour:%b} {hour:%H:%M}, {_many(count, 'run')} in that hour"


def _cost(found: Prospect) -> str:
    if not found.costs:
        return ""
    cap, most = found.settings.vault_max_usd_day, max(found.costs, key=lambda cost: cost.max_usd + cost.spent_usd)
    day, usd = f"{most.day:%a} {most.day.day} {most.day:%b}", most.max_usd + most.spent_usd
    told = f"up to ${sum(cost.max_usd for cost in found.costs):.2f}; most on {day}: ${usd:.2f} of ${cap:.2f}"
    over = sum(cost.max_usd + cost.spent_usd > cap + 1e-9 for cost in found.costs)
    if over:
        told += f". If every run spent its cap, runs would be skipped on {plural(over, 'day')}"
    return told


def _guessed(found: Prospect) -> str:
    """Expected times that do not come from the task's own runs."""
    guessed: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted({run.task for run in found.runs if run.task in found.durations}):
        duration = found.durations[name]
        if duration.source is not Source.HISTORY:
            like = f", as other {found.tasks[name].type} tasks" if duration.source is Source.TYPE else ""
            guessed[f"{duration_words(duration.takes.total_seconds())}{like}"].append(name)
    return "; ".join(f"{takes}: {_names(names)}" for takes, names in guessed.items())


def _unforeseen(found: Prospect) -> str:
    words = {"change": "on changes", "start": "when the daemon starts", "failure": "after failures"}
    told = [
        f"{plural(len(names), 'task')} {'starts' if len(names) == 1 else 'start'} {words[why]} ({_names(names)})"
        for why, names in found.unforeseen.items()
    ]
    return "; ".join(told)


def _off(found: Prospect) -> str:
    of_state: defaultdict[str, list[str]] = defaultdict(list)
    for item in found.resting:
        of_state[item.standing.state.value].append(item.name)
    return "; ".join(f"{len(names)} {state} ({_names(names)})" for state, names in sorted(of_state.items()))


def _cut(found: Prospect) -> str:
    if found.until >= found.wanted_until:
        return ""
    return f"there is too much to look further than {_minute(found.until, found)}"


# words


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_TOLD
    return ", ".join(names[:_NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


def _times(count: int, what: str) -> str:
    """`12 × every 5 minutes`."""
    return joined([f"{count:,} ×", what], " " if what else "") if count > 1 else what


def _many(count: int, noun: str) -> str:
    return plural(count, noun).replace(str(count), f"{count:,}")


def _name(task: str) -> str:
    return cut(task, _WIDEST_NAME)


def _also(first: str, second: str) -> str:
    return ", ".join(part for part in (first, second) if part)


def _day(moment: datetime, found: Prospect) -> date:
    return moment.astimezone(found.zone).date()


def _hour(moment: datetime, found: Prospect) -> datetime:
    """The instant (UTC) at which its hour of the clock began: one that comes twice is two hours."""
    return moment.astimezone(found.zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def _clock(moment: datetime, found: Prospect) -> str:
    local = moment.astimezone(found.zone)
    return local.strftime("%H:%M:%S" if local.second else "%H:%M")


def _minute(moment: datetime, found: Prospect) -> str:
    return moment.astimezone(found.zone).strftime("%a %Y-%m-%d %H:%M")
