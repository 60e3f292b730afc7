"""The status note: whether the scheduler is alive, what needs a person, what comes next. Generated, never read back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from vault_scheduler.notes.note import Document
from vault_scheduler.run import Outcome, Run
from vault_scheduler.task import Problem
from vault_scheduler.telling.summary import SIGNS, facts_of, link_to, problem_line
from vault_scheduler.text.harmless import message_line, one_line
from vault_scheduler.text.width import width_of

WRITTEN_AFTER = timedelta(hours=1)
"""It is written at least this often (rule 6)."""
GRACE = timedelta(minutes=10)
"""A machine that is busy or a write that fails once is no death."""
MAKER = "vault-sched"
"""`generated_by` of our own note: one without it is somebody's, and is left alone."""

_SHOWN = 20  # problems, runs, questions of a kind
_FAILURES = 10
_LABEL = 20  # columns
_FRAME = "24 hours"
_UNSEEN = "\u200b"
"""The label of a bar, which Mermaid wants to have: its row says whose it is, the axis when, and words would overlap."""
_NOT_IN_LABELS = re.compile(r"[^\w .()+-]+")
# A label that begins with one of these would be read as a statement of the diagram.
_STATEMENTS = re.compile(
    r"(section|title|todaymarker|dateformat|axisformat|tickinterval|excludes|includes|inclusiveenddates|topaxis|weekday"
    r"|weekend|click|call|href|acctitle|accdescr|gantt|\d{4}-)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A fire time to come. `expected_s`: how long its run will take, in seconds."""

    path: str  # of the note, vault-relative
    kind: str  # command · python · claude
    fire_time: datetime
    expected_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Something that only a person can do for a task."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """What the page is made of. Datetimes are aware, money in US dollars."""

    now: datetime
    zone: ZoneInfo
    host: str
    tasks: int
    stopped: bool = False  # the scheduler is about to end
    draining: str = ""  # why nothing starts any more
    vault_is_off: str = ""  # why nothing runs in the whole vault
    troubles: Sequence[str] = ()
    problems: Sequence[Problem] = ()
    held: Sequence[Ask] = ()
    questions: Sequence[Ask] = ()
    running: Sequence[Run] = ()
    waiting: Sequence[Run] = ()
    coming: Sequence[Coming] = ()  # the next ones, soonest first
    bars: Sequence[Coming] = ()  # of the coming 24 hours
    frequent: Sequence[str] = ()  # notes of tasks that run too often to be drawn
    failures: Sequence[Run] = ()  # newest first
    spent_today: float = 0.0
    spent_month: float = 0.0
    cap_today: float = 0.0

    @property
    def valid_until(self) -> datetime:
        """Later than this, nobody has looked after the page."""
        return self.now + WRITTEN_AFTER + GRACE

    @property
    def asks(self) -> int:
        """How many things wait for a person."""
        return len(self.troubles) + len(self.problems) + len(self.held) + len(self.questions)


def is_ours(data: bytes) -> bool:
    """Whether we made this note, or nobody did."""
    return not data.strip() or Document.parse(data).mapping.get("generated_by") == MAKER


def page(facts: StatusFacts) -> str:
    """The whole note."""
    sections = [
        _properties(facts),
        "# Scheduler",
        _verdict(facts),
        _section("Needs you", _needs(facts)),
        _section("Now", _now(facts)),
        _section("Next", _next(facts)),
        _section("Failures of the last 7 days", _failures(facts)),
        _section("Money", _money(facts)),
        _section("The next 24 hours", _chart(facts)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines) if lines else ""


def _properties(facts: StatusFacts) -> str:
    """Properties for a Base or a query; local times without offset, as Obsidian has them."""
    values = {
        "generated_by": MAKER,
        "running": "false" if facts.stopped else "true",
        "written": _plain(facts.now, facts.zone),
        "valid_until": _plain(facts.now if facts.stopped else facts.valid_until, facts.zone),
        "needs_you": str(facts.asks),
    }
    return "\n".join(["---", *(f"{key}: {value}" for key, value in values.items()), "---"])


def _plain(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")


def _verdict(facts: StatusFacts) -> str:
    when = f"{facts.now.astimezone(facts.zone):%Y-%m-%d %H:%M}"
    host = one_line(facts.host, 80)
    if facts.stopped:
        stopped = f"It was stopped on {host}. Nothing runs until it is started: `vault-sched daemon`."
        return f"> [!danger] Not running since {when}\n> {stopped}"
    until = facts.valid_until.astimezone(facts.zone)
    alive = f"If it is later than **{until:%Y-%m-%d %H:%M}** ({facts.zone.key}), it is not running."
    kind, title = _mood(facts)
    tasks = "1 task" if facts.tasks == 1 else f"{facts.tasks} tasks"
    lines = [f"> [!{kind}] {title}", f"> {tasks}, looked after on {host}. Written {when}.", f"> {alive}"]
    return "\n".join([*lines, f"> ⏳ {_sentence(facts.draining)}"] if facts.draining else lines)


def _sentence(text: str) -> str:
    return f"{message_line(text[:1].upper() + text[1:], 400)}."


def _mood(facts: StatusFacts) -> tuple[str, str]:
    if facts.vault_is_off:
        return "info", f"Nothing runs: {facts.vault_is_off}"
    if facts.troubles:
        return "danger", "Running, and in trouble"
    if facts.asks:
        return "warning", "Running; 1 thing needs you" if facts.asks == 1 else f"Running; {facts.asks} things need you"
    return "success", "Running, and nothing needs you"


def _needs(facts: StatusFacts) -> list[str]:
    lines = [f"- ⛔ {message_line(trouble, 400)}" for trouble in facts.troubles]
    lines += [
        f"- ❓ {link_to(ask.path, short=True)} asks: {one_line(ask.text, 400)}" for ask in facts.questions[:_SHOWN]
    ]
    lines += [f"- ✋ {link_to(ask.path, short=True)} · {message_line(ask.text, 400)}" for ask in facts.held[:_SHOWN]]
    lines += [f"- {_problem(problem)}" for problem in facts.problems[:_SHOWN]]
    hidden = sum(max(0, len(kind) - _SHOWN) for kind in (facts.questions, facts.held, facts.problems))
    return [*lines, f"- … and {hidden} more: `vault-sched check`"] if hidden else lines


def _problem(problem: Problem) -> str:
    subject = f"{problem.key}: " if problem.key else ""
    return problem_line(problem.path, problem.line, f"{subject}{problem.message}. {problem.fix}")


def _now(facts: StatusFacts) -> list[str]:
    lines = [f"- ▶ {link_to(run.path, short=True)} {_since(run, facts.zone)}" for run in facts.running[:_SHOWN]]
    lines += [f"- ⏳ {link_to(run.path, short=True)} {_waits(run, facts.zone)}" for run in facts.waiting[:_SHOWN]]
    hidden = max(0, len(facts.running) - _SHOWN) + max(0, len(facts.waiting) - _SHOWN)
    return [*lines, f"- … and {hidden} more"] if hidden else lines


def _since(run: Run, zone: ZoneInfo) -> str:
    """Not for how long: the page is read later than it is written."""
    return f"since {_when(run.started_at or run.claimed_at, zone)}"


def _waits(run: Run, zone: ZoneInfo) -> str:
    what = f"waits for {run.waiting_for}" if run.waiting_for else "waits"
    return f"{what} until {_when(run.not_before, zone)}" if run.not_before else what


def _next(facts: StatusFacts) -> list[str]:
    return [f"- {_when(item.fire_time, facts.zone)} · {link_to(item.path, short=True)}" for item in facts.coming]


def _when(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M}"


def _failures(facts: StatusFacts) -> list[str]:
    """One line for each way in which a task failed, newest first: a task that fails every minute hides no other."""
    alike: dict[tuple[str, Outcome | None, str], list[Run]] = {}
    for run in facts.failures:
        alike.setdefault((run.path, run.outcome, run.reason), []).append(run)
    return [_failure(runs, facts.zone) for runs in list(alike.values())[:_FAILURES]]


def _failure(runs: Sequence[Run], zone: ZoneInfo) -> str:
    run = runs[0]
    parts = [link_to(run.path, short=True), *facts_of(run)]
    if len(runs) > 1:
        parts.append(f"{len(runs)} × since {_when(_end(runs[-1]), zone)}")
    return f"- {_when(_end(run), zone)} {SIGNS[run.outcome or Outcome.FAILURE]} {' · '.join(parts)}"


def _end(run: Run) -> datetime:
    return run.ended_at or run.fire_time


def _money(facts: StatusFacts) -> list[str]:
    if not facts.spent_month:
        return []
    today = f"${facts.spent_today:.2f} today, of at most ${facts.cap_today:.2f}"
    return [f"{today}; ${facts.spent_month:.2f} this month."]


def _chart(facts: StatusFacts) -> list[str]:
    """A Mermaid Gantt chart: a row for each task, in it a bar for each run that is expected."""
    lines: list[str] = []
    if facts.bars:
        rows = _rows(facts.bars)
        lines += ["```mermaid", *_head(max(map(width_of, [*rows, _FRAME]))), *_frame(facts)]
        for name, bars in rows.items():
            lines += [f"    section {name}", *(f"    {_bar(bar, facts.zone)}" for bar in bars)]
        lines.append("```")
    if facts.frequent:
        often = ", ".join(link_to(path, short=True) for path in facts.frequent[:_SHOWN])
        lines += ["", f"Too often to be drawn: {often}."] if lines else [f"Too often to be drawn: {often}."]
    return lines


def _head(columns: int) -> list[str]:
    """How it is drawn: a task's bars in one row, names beside them, few enough hours for the width of a phone."""
    padding = 20 + round(6.5 * columns)  # pixels; the letters of Mermaid are 11 high
    settings = ["---", "displayMode: compact", "config:", "  gantt:", f"    leftPadding: {padding}", "---"]
    return [*settings, "gantt", "    dateFormat YYYY-MM-DD HH:mm", "    axisFormat %H:%M", "    tickInterval 6hour"]


def _frame(facts: StatusFacts) -> list[str]:
    """The first row, a grey bar from now to this time tomorrow: without it the chart ends where its runs do."""
    return [f"    section {_FRAME}", f"    {_UNSEEN} :done, {facts.now.astimezone(facts.zone):%Y-%m-%d %H:%M}, 1440m"]


def _rows(bars: Sequence[Coming]) -> dict[str, list[Coming]]:
    """The bars by the name of their row; tasks of one name in several folders have the folder before it."""
    paths: dict[str, set[str]] = {}
    for bar in bars:
        paths.setdefault(_label(bar.path), set()).add(bar.path)
    rows: dict[str, list[Coming]] = {}
    for bar in bars:
        name = _label(bar.path)
        rows.setdefault(name if len(paths[name]) == 1 else _label(bar.path, folders=1), []).append(bar)
    return rows


def _bar(bar: Coming, zone: ZoneInfo) -> str:
    minutes = max(15, round(bar.expected_s / 60))  # what is thinner cannot be seen
    return f"{_UNSEEN} :{bar.fire_time.astimezone(zone):%Y-%m-%d %H:%M}, {minutes}m"


def _label(path: str, folders: int = 0) -> str:
    """The note's name in characters that mean nothing in a diagram, at most as wide as a phone has room for."""
    name = " ".join(path.removesuffix(".md").rsplit("/", folders + 1)[-folders - 1 :])
    label = " ".join(_NOT_IN_LABELS.sub(" ", name).split()) or "task"
    while width_of(label) > _LABEL:
        label = f"{label.rstrip('…')[:-1].rstrip()}…"
    return f"({label})" if _STATEMENTS.match(label) else label
