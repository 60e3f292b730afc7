"""What commands print for people: plain text, aligned, readable at 80 columns. Pure.

How runs are told is imported where a run is told: `next` answers in half the time without it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.columns import facts, plural, table
from vault_scheduler.commands.moments import length, long_local, relative, short_local
from vault_scheduler.commands.outlook_words import fire_cells, outlook_lines, with_changes
from vault_scheduler.commands.schedule_words import cron_words, schedule_text, schedule_words
from vault_scheduler.commands.shapes import zone_of
from vault_scheduler.notes.body import first_fence
from vault_scheduler.parsing.values import spelled
from vault_scheduler.task import ClaudeAction, CommandAction, Overlap, Policies, Problem, PythonAction, Task
from vault_scheduler.text.harmless import plain_line
from vault_scheduler.triggers.cron import depends_on_task, parse_cron

if TYPE_CHECKING:  # the verbs behind what is rendered: a command loads its own, not those of all the others
    from vault_scheduler.commands.acknowledging import Open
    from vault_scheduler.commands.app import Listed, Shown, StatusReport
    from vault_scheduler.commands.catalogue import Catalogue, Item
    from vault_scheduler.commands.checking import Checked
    from vault_scheduler.commands.hindsight import History
    from vault_scheduler.commands.outlook import Outlook, VaultOutlook
    from vault_scheduler.commands.records import Waiting
    from vault_scheduler.ledger.store import Question
    from vault_scheduler.machine.place import Place
    from vault_scheduler.run import Run
    from vault_scheduler.settings import Settings

# --- list --------------------------------------------------------------------------------------------------


def task_list(
    catalogue: Catalogue, listed: Sequence[Listed], place: Place, now: datetime, width: int | None
) -> list[str]:
    """`list`."""
    lines = [str(problem) for problem in catalogue.general]
    if not listed:
        folder = place.vault.rel(place.vault.tasks_folder)
        return [*lines, f"No tasks in {folder}/ yet. `vault-sched create NAME` writes one."]
    head = ("TASK", "STATE", "SCHEDULE", "NEXT", "LAST")
    lines += table([head, *(_listed(line, place, now) for line in listed)], width=width, elastic=2)
    lines += [f"  {problem_line(problem)}" for line in listed for problem in line.item.problems]
    lines += [f"  {question_line(line.question)}" for line in listed if line.question]
    lines += _vault_pause(place, catalogue.settings, now)
    return lines


def question_line(question: Question) -> str:
    """What a run asked, and how to answer."""
    return f"{question.task} asks: {plain_line(question.text, 300)} Type the answer into `answer` of its note."


def _vault_pause(place: Place, settings: Settings, now: datetime, then: str = "nothing starts") -> list[str]:
    """That the vault as a whole is switched off, if it is, what follows, and the way out."""
    off, until = settings.status.value, settings.paused_until
    if off == "active" and until and until > now:
        off = f"paused until {long_local(until, ZoneInfo(place.timezone))}"
    if off == "active":
        return []
    return [f"The vault is {off}: {then}. `vault-sched resume --all` makes it active."]


def _listed(line: Listed, place: Place, now: datetime) -> tuple[str, ...]:
    item = line.item
    schedule = schedule_text(item.task) if item.task else "–"
    following = relative(item.next_run, now) if item.next_run else "–"
    return item.name, item.standing.state.value, schedule, following, _last(line, now, zone_of(item, place))


def _last(line: Listed, now: datetime, zone: ZoneInfo) -> str:
    if line.active is not None:
        return going(line.active, now, zone)
    if line.last is None or line.last.outcome is None:
        return "–"
    from vault_scheduler.telling.summary import SIGNS

    ago = relative(line.last.ended_at or line.last.fire_time, now)
    return f"{SIGNS[line.last.outcome]} {ago}"


def going(run: Run, now: datetime, zone: ZoneInfo) -> str:
    """A run that has not ended: `▶ for 12 s`, `waits for slot`, `waits for quota until 12:00`."""
    from vault_scheduler.run import RunState

    if run.state in (RunState.STARTING, RunState.RUNNING) and run.started_at:
        return f"▶ for {length(max(0.0, (now - run.started_at).total_seconds()))}"
    until = f" until {short_local(run.not_before, now, zone)}" if run.not_before and run.not_before > now else ""
    return f"waits for {run.waiting_for}{until}" if run.waiting_for else "waits"


# --- show --------------------------------------------------------------------------------------------------


def task_page(shown: Shown, place: Place, now: datetime, width: int | None) -> list[str]:
    """`show`."""
    item, zone = shown.item, zone_of(shown.item, place)
    lines = [f"{item.name} · {item.path}", ""]
    state = _state(item)
    if item.standing.resumes:
        state = f"paused until {long_local(item.standing.resumes, zone)}"
    lines += facts([("state", state), *_definition(shown, place)], width=width)
    if item.problems:
        lines += ["", *map(problem_line, item.problems)]
    ahead = _ahead(shown, now) if shown.ahead is not None else []
    if ahead:
        lines += ["", *ahead]
    lines += ["", *_past(shown, zone, now, width)]
    return lines


def _state(item: Item) -> str:
    stands = item.standing
    told = stands.reason if item.task and stands.reason != stands.state.value else ""
    return f"{stands.state.value} ({told})" if told else stands.state.value


def _definition(shown: Shown, place: Place) -> list[tuple[str, str]]:
    task, policies = shown.item.task, shown.policies
    if task is None or policies is None:
        return []
    first, *more = schedule_words(task) or [""]
    return [
        ("runs", f"{first}, {task.timezone}" if task.schedule.triggers else first),
        *(("", line) for line in more),
        ("asks", _command_line(task.gate) if task.gate is not None else ""),
        ("does", action_words(task)),
        ("in", policies.cwd or "the vault"),
        ("host", task.host or place.settings_in_force.host or ""),
        ("limits", _limits(policies)),
        ("overlap", _OVERLAPS[policies.overlap]),
        ("group", policies.group),
        ("late", f"runs up to {spelled(policies.max_late)} late" if policies.max_late else ""),
        ("output", policies.output),
        ("tells", _tells(policies, place)),
        ("question", plain_line(shown.question.text, 300) if shown.question else ""),
    ]


def _tells(policies: Policies, place: Place) -> str:
    """Who is told of what; "" where this machine tells nobody anything."""
    if not place.machine.notify or not policies.notify:
        return ""
    names = [name for name in policies.notify_to or () if name in place.machine.notify] or list(place.machine.notify)
    return f"{', '.join(names)}: {', '.join(policies.notify)}"


def action_words(task: Task) -> str:
    """What would run, on one line."""
    action = task.action
    if isinstance(action, ClaudeAction):
        rights = f"Claude, {action.permissions.value}"
        return f"{rights}, up to ${action.max_usd:.2f} a run: {plain_line(task.body.strip(), 200)}"
    if isinstance(action, PythonAction):
        return f"python: {action.call}" if action.call else "python: the first python block of the note"
    assert isinstance(action, CommandAction)
    if action.command is None:
        fence = first_fence(task.body)
        return f"the first code block of the note ({fence.language or 'sh'})" if fence else "the first code block"
    return f"command: {_command_line(action.command)}"


def _command_line(command: str | tuple[str, ...]) -> str:
    return command if isinstance(command, str) else shlex.join(command)


_OVERLAPS = {
    Overlap.SKIP: "",
    Overlap.QUEUE: "one waits while another goes on, the newest",
    Overlap.CANCEL: "a later one cancels the one that goes on",
    Overlap.ALLOW: "runs go on side by side",
}


def _limits(policies: Policies) -> str:
    parts = [f"timeout {spelled(policies.timeout)}"]
    if policies.retries:
        parts.append(f"{plural(policies.retries, 'retry').replace('retrys', 'retries')}")
    if policies.pause_after:
        parts.append(f"paused after {plural(policies.pause_after, 'failure')} in a row")
    return ", ".join(parts)


def _ahead(shown: Shown, now: datetime) -> list[str]:
    assert shown.ahead is not None
    if not shown.ahead.fire_times:
        return ["Nothing is left to fire."] if not (shown.item.task and shown.item.task.reacts) else []
    off = not shown.item.standing.armed and not shown.item.standing.resumes
    title = "Next (if it were armed):" if off else "Next:"
    return [title, *outlook_lines(shown.ahead, now)]


def _past(shown: Shown, zone: ZoneInfo, now: datetime, width: int | None) -> list[str]:
    active = [f"  {going(shown.active, now, zone)} {shown.active.id}"] if shown.active else []
    if not shown.runs and not active:
        if shown.item.task is None:
            return ["No runs yet."]
        return [f"No runs yet. `vault-sched run {shown.item.name}` runs it once."]
    from vault_scheduler.telling.summary import when_words

    rows = [(when_words(run, zone), *_told(run)) for run in shown.runs]
    return ["Last runs:", *active, *table(rows, width=width, indent=2)]


def _told(run: Run) -> tuple[str, str]:
    from vault_scheduler.telling.summary import SIGNS, facts_of

    sign = SIGNS[run.outcome] if run.outcome else " "
    return sign, " · ".join(facts_of(run, line=plain_line))


# --- next --------------------------------------------------------------------------------------------------


_HASHED = "  H stands for another time in each task; `vault-sched next TASK` tells that of a task"


def cron_page(expression: str, found: Outlook, now: datetime | None) -> list[str]:
    """`next --cron`."""
    cron = parse_cron(expression)
    title = " · ".join(part for part in (expression.strip(), cron_words(cron), found.zone.key) if part)
    return [title, *outlook_lines(found, now), *([_HASHED] if depends_on_task(cron) else [])]


def next_page(item: Item, found: Outlook, now: datetime | None) -> list[str]:
    """`next TASK`."""
    words = "; ".join(schedule_words(item.task)) if item.task else ""
    lines = [f"{item.name} · {words} · {found.zone.key}", *outlook_lines(found, now)]
    if not found.fire_times and item.task and item.task.reacts:
        lines[-1] += " by the clock"
    if item.standing.resumes:
        then = ": these fire after the pause" if found.fire_times else ""
        lines.append(f"It is paused until {long_local(item.standing.resumes, found.zone)}{then}.")
    elif not item.standing.armed:
        lines.append(f"It is {_state(item)}: nothing starts by itself.")
    return lines


def vault_page(found: VaultOutlook, place: Place, since: datetime | None) -> list[str]:
    """`next` without a task. `since`: the moment that "in 3 h" counts from."""
    now = place.clock.now()
    if not found.fires:
        pause = _vault_pause(place, found.settings, now)
        return [*pause, "Nothing is due: no task is armed. `vault-sched list` shows how they stand."]
    rows = table([(*fire_cells(at, found.zone, since), name) for at, name in found.fires], width=None, indent=2)
    told = [(at, row) for (at, _), row in zip(found.fires, rows, strict=True)]
    lines = [found.zone.key, *with_changes(told, found.changes, found.zone)]
    return [*lines, *_vault_pause(place, found.settings, now, then="these fire after the pause")]


# --- check, history, logs ----------------------------------------------------------------------------------


def check_page(checked: Checked) -> list[str]:
    """`check`: problems, each on one line."""
    lines = [f"fixed {path}" for path in checked.fixed]
    lines += [f"{path}: never scheduled: {why}" for path, why in checked.skipped.items()]
    return [*lines, *(problem_line(problem) for problem in checked.problems)]


def problem_line(problem: Problem) -> str:
    """`file:line: key: message. fix`, warnings marked."""
    if problem.is_error:
        return str(problem)
    return str(problem).replace(f":{problem.line}: ", f":{problem.line}: warning: ", 1)


def check_sum(checked: Checked) -> str:
    """The last line of `check`."""
    count = plural(checked.notes, "task")
    return f"{plural(len(checked.problems), 'problem')} in {count}" if checked.problems else f"{count}, no problems"


def history_page(found: History, place: Place, *, failed: bool, width: int | None) -> list[str]:
    """`history`."""
    if not found.runs:
        return ["No failed runs." if failed else "No runs yet. `vault-sched run TASK` runs a task once."]
    from vault_scheduler.telling.summary import when_words

    rows = []
    for run in found.runs:
        zone = ZoneInfo(found.zones.get(run.task, place.timezone))
        sign, told = _told(run) if run.outcome else ("▶", run.state.value)
        rows.append((when_words(run, zone), sign, run.task, run.id, told))
    return table([("WHEN", "", "TASK", "RUN", "WHAT"), *rows], width=width)


# --- status, approve ---------------------------------------------------------------------------------------


def status_page(report: StatusReport, place: Place, now: datetime, width: int | None) -> list[str]:
    """`status`."""
    zone = ZoneInfo(place.timezone)
    lines = facts(
        [
            ("alive", _alive(report, now, zone)),
            ("draining", report.holder.draining if report.holder else ""),
            ("vault", f"{place.vault.root} ({report.vault_status})"),
            ("host", place.machine.host),
            ("tasks", str(report.tasks)),
            *(("running", f"{run.task} {going(run, now, zone)} {run.id}") for run in report.running),
            *(("waiting", f"{run.task} {going(run, now, zone)} {run.id}") for run in report.waiting),
            *(("next", f"{name} {relative(at, now)}") for at, name in report.next_fires),
            ("undelivered", str(report.undelivered) if report.undelivered else ""),
            ("cost today", f"${report.cost_today_usd:.2f}"),
        ],
        width=width,
    )
    lines += [*report.troubles, *(str(problem) for problem in report.problems)]
    lines += [question_line(question) for question in report.questions]
    if report.held:
        lines.append(f"{plural(len(report.held), 'task')} held: `vault-sched approve` shows what waits.")
    return lines


def _alive(report: StatusReport, now: datetime, zone: ZoneInfo) -> str:
    holder = report.holder
    if holder is None:
        return "no: no daemon serves this vault. Start one with `vault-sched daemon`"
    if holder.purpose != "daemon":
        return f"no: {holder} only runs one task"
    last = relative(report.last_pass, now) if report.last_pass else "none yet"
    since = f"since {_moment(holder.since, zone)}" if holder.since else ""
    who = " ".join(part for part in (f"process {holder.pid}" if holder.pid else "a process", since) if part)
    if not report.alive:
        return f"no: {who} is there, but its last pass was {last}. Restart it"
    return f"yes: {who}, last pass {last}"


def _moment(text: str, zone: ZoneInfo) -> str:
    """A moment that a lock file tells, as people read it; what is none, as it stands."""
    try:
        return long_local(datetime.fromisoformat(text), zone)
    except ValueError:
        return text


def held_page(waiting: Sequence[Waiting]) -> list[str]:
    """`approve` without names."""
    if not waiting:
        return ["Nothing is held."]
    lines = []
    for each in waiting:
        lines += [f"{each.task.id} · {each.task.path}", f"  held  {each.why}", *_would_run(each.task)]
    names = " ".join(each.task.id for each in waiting[:1])
    return [*lines, f"Read the notes, then `vault-sched approve {names}`, or `vault-sched approve --all`."]


def _would_run(task: Task) -> list[str]:
    when = "; ".join(schedule_words(task))
    return [f"  runs  {plain_line(action_words(task), 300)}", f"  when  {when}, {task.timezone}"]


def incidents_page(found: Sequence[Open], place: Place) -> list[str]:
    """`ack` without names."""
    zone = ZoneInfo(place.timezone)
    if not found:
        return ["Nothing is open."]
    lines: list[str] = []
    for each in found:
        incident = each.incident
        since = f"{incident.count} × since {incident.since.astimezone(zone):%Y-%m-%d %H:%M}"
        silenced = " · silenced" if incident.acked_at else ""
        lines += [f"{incident.subject} · {incident.topic} · {since}{silenced}", f"  {plain_line(each.what)}"]
    return [*lines, "`vault-sched ack TASK`, or `ack --all`, silences them until they have ended."]


def silenced_page(done: Sequence[Open]) -> list[str]:
    """`ack` with names."""
    if not done:
        return ["Nothing of that is open, or it is silenced already."]
    return [f"{each.incident.subject}: {each.incident.topic}, silent until it has ended" for each in done]


def approved_page(chosen: Sequence[Waiting]) -> list[str]:
    """`approve`, when it has."""
    return [line for each in chosen for line in (f"approved {each.task.id}", *_would_run(each.task))] or [
        "Nothing was held."
    ]
