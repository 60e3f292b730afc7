"""`call: dashboard`: keeps a dashboard note up to date: what is due, the projects, open tasks, what changed.

Open tasks are `- [ ]` lines; a due date stands in the line as `due 2026-12-01`, `📅 2026-12-01` or
`[due:: 2026-12-01]`. Projects are the notes with the property `status`. The task owns what stands between two comment
lines in the dashboard note, which it puts at the end of the note if they are not there; move them where you like.
Every other byte of the note stays, and nothing is written while nothing has changed.

- `note`: the dashboard note; made if it is not there
- `sections`: which sections, in this order: `due`, `dates`, `projects`, `tasks`, `changed`
- `folder`: only notes below it: a path in the vault, or a list of them; else the whole vault
- `exclude`: folders and notes that do not count: a path, or a list of them. The scheduler's own folder never counts
- `projects`: only notes below this folder are projects; else every note with the property
- `status`: the property that makes a note a project
- `finished`: projects with one of these words as status are only counted
- `dates`: properties with a day that is worth knowing; `birthday` comes every year
- `due_days`: how many days ahead `due` and `dates` look
- `changed_days`: how many days back `changed` looks
- `limit`: how many lines each section has at most
- `dry_run`: with `true` the dashboard is only shown in the result, and the note stays as it is
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Event

from vault_scheduler.builtin.parts.arguments import chosen, folders, places, words
from vault_scheduler.builtin.parts.owned_block import put_block
from vault_scheduler.builtin.parts.pages import Page, lies_below, mentions, pages
from vault_scheduler.builtin.parts.prose import OpenTask, day_in_name, open_tasks
from vault_scheduler.builtin.parts.words import ago, ahead, bullets, count, day_or_none, link, said
from vault_scheduler.clock import SystemClock
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.output_path import check_output_path
from vault_scheduler.parsing.values import boolean, is_unset, text, whole_number
from vault_scheduler.vault.vault import Vault

ORDER = ("due", "dates", "projects", "tasks", "changed")
BLOCK = "dashboard"
STALE_DAYS = 60  # a project that nobody has touched for so long is said to rest
QUIET_S = 10.0  # somebody may be typing in a note that changed a shorter time ago
ALONE_S = 60.0
LATE_WRITERS = timedelta(seconds=4)  # after which the replaced file can be looked at for the last time


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The arguments, read."""

    sections: tuple[str, ...]
    status: str
    projects: tuple[str, ...]
    finished: frozenset[str]
    dates: tuple[str, ...]
    due_days: int
    changed_days: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a note has to say for the dashboard."""

    path: str
    changed: date
    born: date | None = None  # of a note that has its day in its name
    tasks: tuple[OpenTask, ...] = ()
    status: str = ""  # of a project
    days: Mapping[str, date] = field(default_factory=dict)


def run(
    vault: Path,
    system: Path,
    now: datetime,
    /,
    *,
    note: object = "Dashboard.md",
    sections: object = "due dates projects tasks changed",
    folder: object = None,
    exclude: object = None,
    projects: object = None,
    status: object = "status",
    finished: object = "done completed finished archived cancelled dropped",
    dates: object = "deadline due date birthday",
    due_days: object = 14,
    changed_days: object = 7,
    limit: object = 10,
    dry_run: object = False,
) -> dict[str, str]:
    """Refresh the note; what it says in a few words as markdown. `now` is local to the task's zone.

    Raises BadValue for an argument without meaning, and what `Vault.edit` raises.
    """
    target = _target(note, system.name)
    rules = Rules(
        sections=chosen(sections, "sections", ORDER),
        status=text(status, "status"),
        projects=folders(vault, projects, "projects"),
        finished=frozenset(word.lower() for word in words(finished, "finished")),
        dates=words(dates, "dates"),
        due_days=whole_number(due_days, "due_days", maximum=3650),
        changed_days=whole_number(changed_days, "changed_days", maximum=3650),
        limit=whole_number(limit, "limit", minimum=1),
    )
    without = (*places(vault, exclude, "exclude"), system.name)
    read = pages(vault, folders(vault, folder, "folder"), without)
    seen = [look(page, rules, now) for page in read if page.path != target]
    block = dashboard(seen, now.date(), rules)
    if boolean(dry_run, "dry_run"):
        return {"markdown": f"Dry run: {link(target)} would say:\n\n{block}"}
    _write(Vault(vault, system.name), target, block, now)
    return {"markdown": summary(seen, now.date(), rules, target)}


def _target(note: object, system: str) -> str:
    path = text(note, "note")
    path = path if path.endswith(".md") else f"{path}.md"
    check_output_path(path, "note", system_folder=system)
    return path


def _write(vault: Vault, path: str, block: str, now: datetime) -> None:
    """Put the block into the note; one that somebody may be typing in is left alone for a moment first."""
    idle = _idle_s(vault, path, now)
    if 0 <= idle < QUIET_S:
        Event().wait(QUIET_S - idle)
    try:
        written = vault.edit(path, lambda data: put_block(data, BLOCK, block))
    except FileNotFoundError:
        vault.create(path, put_block(b"", BLOCK, block))
        return
    if written.changed and idle > ALONE_S:  # nobody has the old file open; else the scheduler's tidying looks again
        vault.settle(written, SystemClock().now() + LATE_WRITERS)


def _idle_s(vault: Vault, path: str, now: datetime) -> float:
    stamp = vault.stamp(path)
    return now.timestamp() - stamp.mtime_ns / 1e9 if stamp else -1.0


def look(page: Page, rules: Rules, now: datetime) -> Seen:
    """What the dashboard takes from a note."""
    changed = min(datetime.fromtimestamp(page.modified, now.tzinfo).date(), now.date())
    has_any = mentions(page.data, (rules.status, *rules.dates))
    properties = Document.parse(page.data).mapping if has_any else {}
    return Seen(
        path=page.path,
        changed=changed,
        born=day_in_name(page.name),
        tasks=tuple(open_tasks(page.data)),
        status=_status(page.path, properties, rules),
        days={name: day for name in rules.dates if (day := day_or_none(properties.get(name)))},
    )


def _status(path: str, properties: Mapping[str, object], rules: Rules) -> str:
    value = properties.get(rules.status)
    if is_unset(value) or not isinstance(value, (str, int)) or isinstance(value, bool):
        return ""
    return str(value).strip() if not rules.projects or lies_below(path, rules.projects) else ""


# the parts


def dashboard(seen: Sequence[Seen], today: date, rules: Rules) -> str:
    """The block: a few figures, then the sections that have something to say."""
    head = f"> [!abstract] {today:%A}, {today.day} {today:%B %Y}\n> {' · '.join(figures(seen, today, rules))}"
    filled = [(title, make(seen, today, rules)) for title, make in (_SECTIONS[name] for name in rules.sections)]
    return "\n\n".join([head, *("\n".join([f"## {title}", "", *lines]) for title, lines in filled if lines)])


def figures(seen: Sequence[Seen], today: date, rules: Rules) -> list[str]:
    """How many tasks are open, overdue and due; how many projects go on."""
    tasks = [task for note in seen for task in note.tasks]
    late = sum(task.due < today for task in tasks if task.due)
    soon = sum(today <= task.due <= _horizon(today, rules) for task in tasks if task.due)
    notes = sum(bool(note.tasks) for note in seen)
    going = sum(_is_going(note, rules) for note in seen)
    said = [f"{count(len(tasks), 'open task')} in {count(notes, 'note')}" if tasks else "no open tasks"]
    said += [f"**{late:,} overdue**"] * bool(late)
    said += [f"{soon:,} due within {count(rules.due_days, 'day')}"] * bool(soon)
    return [*said, *[count(going, "project")] * bool(going)]


def _horizon(today: date, rules: Rules) -> date:
    return today + timedelta(days=rules.due_days)


def _due(seen: Sequence[Seen], today: date, rules: Rules) -> list[str]:
    until = _horizon(today, rules)
    dated = [(task.due, note, task) for note in seen for task in note.tasks if task.due and task.due <= until]
    dated.sort(key=lambda each: (each[0], each[1].path))
    return bullets(
        [f"{_due_words(day, today)} · {said(task.text)} · {link(note.path)}" for day, note, task in dated], rules.limit
    )


def _due_words(day: date, today: date) -> str:
    late = (today - day).days
    return f"**{count(late, 'day')} overdue**" if late > 0 else ahead(day, today)


def _dates(seen: Sequence[Seen], today: date, rules: Rules) -> list[str]:
    coming = sorted(_occasions(seen, today, rules))
    return bullets([f"{ahead(day, today)} · {what}{link(path)}" for day, path, what in coming], rules.limit)


def _occasions(seen: Sequence[Seen], today: date, rules: Rules) -> Iterator[tuple[date, str, str]]:
    for note in seen:
        if note.status.lower() in rules.finished:
            continue
        for name, day in note.days.items():
            comes = _next_birthday(day, today) if name == "birthday" else day
            if today <= comes <= _horizon(today, rules):
                yield comes, note.path, _occasion(name, day, comes)


def _occasion(name: str, day: date, comes: date) -> str:
    age = comes.year - day.year
    if name == "birthday":
        return f"birthday ({age}) · " if age > 0 else "birthday · "
    return "" if name == "date" else f"{said(name, 40)} · "


def _next_birthday(day: date, today: date) -> date:
    for year in (today.year, today.year + 1):
        comes = _in_year(day, year)
        if comes >= today:
            return comes
    return _in_year(day, today.year + 1)


def _in_year(day: date, year: int) -> date:
    """The same day of another year; 29 February is 1 March where there is none."""
    try:
        return day.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def _is_going(note: Seen, rules: Rules) -> bool:
    return bool(note.status) and note.status.lower() not in rules.finished


def _projects(seen: Sequence[Seen], today: date, rules: Rules) -> list[str]:
    by_status: dict[str, list[Seen]] = defaultdict(list)
    for note in seen:
        if _is_going(note, rules):
            by_status[note.status].append(note)
    lines: list[str] = []
    for status, notes in sorted(by_status.items(), key=lambda each: (-len(each[1]), each[0])):
        notes.sort(key=lambda note: (note.days.get("deadline") or date.max, note.path))
        listed = bullets([_project(note, today) for note in notes], rules.limit)
        lines += [f"- **{said(status, 40)}**", *(f"  {line}" for line in listed)]
    over = sum(note.status.lower() in rules.finished for note in seen if note.status)
    return [*lines, f"- {over} finished"] if lines and over else lines


def _project(note: Seen, today: date) -> str:
    parts = [link(note.path)]
    if note.tasks:
        parts.append(f"{len(note.tasks)} open")
    if deadline := note.days.get("deadline"):
        parts.append(f"deadline {ahead(deadline, today)}" if deadline >= today else f"**deadline was {deadline}**")
    if (today - note.changed).days > STALE_DAYS:
        parts.append(f"untouched for {(today - note.changed).days // 7} weeks")
    return " · ".join(parts)


def _tasks(seen: Sequence[Seen], today: date, rules: Rules) -> list[str]:
    """The notes with most open tasks first. How old these are tells the day in a note's name, else its last change."""
    notes = sorted((note for note in seen if note.tasks), key=lambda note: (-len(note.tasks), note.path))
    return bullets([f"{link(note.path)} · {len(note.tasks)} open · {_age(note, today)}" for note in notes], rules.limit)


def _age(note: Seen, today: date) -> str:
    if note.born and note.born <= today:
        return f"from {ago(note.born, today)}"
    return f"changed {ago(note.changed, today)}"


def _changed(seen: Sequence[Seen], today: date, rules: Rules) -> list[str]:
    by_day: dict[date, list[str]] = defaultdict(list)
    for note in seen:
        if (today - note.changed).days <= rules.changed_days:
            by_day[note.changed].append(link(note.path))
    lines = []
    for day, links in sorted(by_day.items(), reverse=True):
        more = f" … and {len(links) - rules.limit:,} more" if len(links) > rules.limit else ""
        lines.append(f"{ago(day, today)} · {', '.join(links[: rules.limit])}{more}")
    return bullets(lines, rules.limit)


_SECTIONS = {
    "due": ("Due", _due),
    "dates": ("Coming up", _dates),
    "projects": ("Projects", _projects),
    "tasks": ("Open tasks", _tasks),
    "changed": ("Changed", _changed),
}


def summary(seen: Sequence[Seen], today: date, rules: Rules, path: str) -> str:
    """What the task's own note says: the figures, and what is overdue."""
    late = [line for line in _due(seen, today, rules) if "overdue**" in line]
    said = f"{', '.join(figures(seen, today, rules))}."
    return "\n\n".join([f"{said[0].upper()}{said[1:]}", *["\n".join(late)] * bool(late), f"All of it: {link(path)}"])
