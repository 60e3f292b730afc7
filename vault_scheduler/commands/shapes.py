"""The JSON of the commands: keys that scripts may rely on. Times are ISO 8601 with the offset of their zone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from vault_scheduler.commands.moments import iso, iso_or_none
from vault_scheduler.commands.schedule_words import schedule_text, schedule_words
from vault_scheduler.triggers.cron import depends_on_task, parse_cron

if TYPE_CHECKING:  # the verbs behind the shapes: a command loads its own, not those of all the others
    from vault_scheduler.commands.acknowledging import Open
    from vault_scheduler.commands.app import Listed, Shown, StatusReport
    from vault_scheduler.commands.catalogue import Item
    from vault_scheduler.commands.checking import Checked
    from vault_scheduler.commands.forecast import Prospect
    from vault_scheduler.commands.hindsight import History
    from vault_scheduler.commands.outlook import Outlook, VaultOutlook
    from vault_scheduler.commands.records import Waiting
    from vault_scheduler.ledger.store import Question
    from vault_scheduler.machine.place import Place
    from vault_scheduler.planning.foreseen import Foreseen
    from vault_scheduler.run import Run
    from vault_scheduler.task import Problem

Shape = dict[str, Any]


def problem_shape(problem: Problem) -> Shape:
    """One finding of `check`."""
    return {
        "path": problem.path,
        "line": problem.line,
        "key": problem.key,
        "severity": problem.severity.value,
        "message": problem.message,
        "fix": problem.fix,
    }


def check_shape(checked: Checked) -> list[Shape]:
    """`check --json`."""
    return [problem_shape(problem) for problem in checked.problems]


def item_shape(item: Item) -> Shape:
    """What `list` and `show` say of a task note itself."""
    task = item.task
    zone = ZoneInfo(task.timezone) if task else None
    return {
        "task": item.name,
        "path": item.path,
        "type": task.type.value if task else _word(item.mapping.get("type")),
        "status": task.status.value if task else _word(item.mapping.get("status")),
        "state": item.standing.state.value,
        "state_reason": item.standing.reason,
        "schedule": schedule_text(task) if task else None,
        "timezone": task.timezone if task else None,
        "next_run": iso_or_none(item.next_run, zone) if zone else None,
        "problems": [problem_shape(problem) for problem in item.problems],
    }


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


def list_shape(listed: Sequence[Listed], place: Place) -> list[Shape]:
    """`list --json`, by name of the task."""
    shapes = []
    for line in listed:
        zone, last = zone_of(line.item, place), line.last
        known = {
            "last_run": iso_or_none(last.started_at, zone) if last else None,
            "last_outcome": last.outcome.value if last and last.outcome else None,
            "running": line.active.id if line.active else None,
            "question": line.question.text if line.question else None,
        }
        shapes.append({**item_shape(line.item), **known})
    return shapes


def zone_of(item: Item, place: Place) -> ZoneInfo:
    """The zone of a task; the vault's where the note is invalid."""
    return ZoneInfo(item.task.timezone if item.task else place.timezone)


def show_shape(shown: Shown, place: Place) -> Shape:
    """`show --json`."""
    item, zone = shown.item, zone_of(shown.item, place)
    runs = ([shown.active] if shown.active else []) + list(shown.runs)
    return {
        **item_shape(item),
        "question": shown.question.text if shown.question else None,
        "schedule_words": schedule_words(item.task) if item.task else [],
        "fire_times": [iso(moment, zone) for moment in shown.ahead.fire_times] if shown.ahead else [],
        "definition": dict(item.task.declared) if item.task else dict(item.mapping),
        "runs": [run_shape(run, zone) for run in runs],
    }


def next_of_cron_shape(expression: str, found: Outlook) -> Shape:
    """`next --cron --json`. Of an expression with `H`, which fires at another time in each task, that is told, too."""
    hashed = {"depends_on_task": True} if depends_on_task(parse_cron(expression)) else {}
    return {"cron": expression, **hashed, **_fires(found)}


def next_of_task_shape(item: Item, found: Outlook) -> Shape:
    """`next TASK --json`."""
    return {"task": item.name, "schedule": schedule_text(item.task) if item.task else None, **_fires(found)}


def _fires(found: Outlook) -> Shape:
    return {"timezone": found.zone.key, "fire_times": [iso(moment, found.zone) for moment in found.fire_times]}


def next_of_all_shape(found: VaultOutlook) -> Shape:
    """`next --json`."""

    def shaped(fires: Sequence[tuple[datetime, str]]) -> list[Shape]:
        return [{"task": name, "fire_time": iso(moment, found.zone)} for moment, name in fires]

    return {"timezone": found.zone.key, "next": shaped(found.fires), "later": shaped(found.later)}


def forecast_shape(found: Prospect) -> Shape:
    """`forecast --json`: runs by fire time."""
    zone = found.zone
    return {
        "from": iso(found.after, zone),
        "until": iso(found.until, zone),
        "complete": found.until >= found.wanted_until,
        "timezone": zone.key,
        "daemon": found.served,
        "runs": [_foreseen_shape(run, found) for run in found.runs],
        "days": [
            {"day": cost.day.isoformat(), "max_usd": round(cost.max_usd, 6), "spent_usd": round(cost.spent_usd, 6)}
            for cost in found.costs
        ],
        "vault_max_usd_day": found.settings.vault_max_usd_day,
        "not_running": [
            {"task": item.name, "state": item.standing.state.value, "reason": item.standing.reason}
            for item in found.resting
        ],
        "unforeseen": {why: list(names) for why, names in found.unforeseen.items()},
        "gated": list(found.gated),
        "clock_changes": [iso(change.at, change.zone) for change in found.changes],
    }


def _foreseen_shape(run: Foreseen, found: Prospect) -> Shape:
    duration = found.durations.get(run.task)
    return {
        "task": run.task,
        "run": run.run or None,
        "trigger": run.trigger.value,
        "parent": run.parent or None,
        "fire_time": iso(run.fire_time, found.zone),
        "last_fire_time": iso(run.last_fire_time or run.fire_time, found.zone),
        "count": run.count,
        "starts_at": iso_or_none(run.starts_at, found.zone),
        "ends_at": iso_or_none(run.ends_at, found.zone),
        "waits_for": run.waits_for or None,
        "waits_s": run.waits.total_seconds(),
        "outcome": run.outcome.value,
        "reason": run.reason,
        "duration_source": duration.source.value if duration else None,
    }


def run_shape(run: Run, zone: ZoneInfo, delivered: bool = True) -> Shape:
    """One run, or a range of fire times that did not start."""
    result = run.result
    return {
        "run": run.id,
        "task": run.task,
        "path": run.path,
        "trigger": run.trigger.value,
        "fire_time": iso(run.fire_time, zone),
        "last_fire_time": iso(run.last_fire_time or run.fire_time, zone),
        "started_at": iso_or_none(run.started_at, zone),
        "ended_at": iso_or_none(run.ended_at, zone),
        "state": run.state.value,
        "waiting_for": run.waiting_for or None,
        "waits_until": iso_or_none(run.not_before, zone),
        "outcome": run.outcome.value if run.outcome else None,
        "attempts": run.attempts,
        "duration_s": run.duration_s,
        "exit_code": result.exit_code if result else None,
        "cost_usd": result.cost_usd if result else None,
        "reason": run.reason,
        "count": run.count,
        "delivered": delivered and run.outcome is not None,
    }


def history_shape(found: History, place: Place) -> list[Shape]:
    """`history --json`, newest first."""
    return [
        run_shape(run, ZoneInfo(found.zones.get(run.task, place.timezone)), run.id not in found.undelivered)
        for run in found.runs
    ]


def status_shape(report: StatusReport, place: Place) -> Shape:
    """`status --json`."""
    zone = ZoneInfo(place.timezone)
    return {
        "alive": report.alive,
        "pid": report.holder.pid if report.holder and report.holder.pid else None,
        "host": place.machine.host,
        "vault": str(place.vault.root),
        "started_at": report.holder.since if report.holder and report.holder.since else None,
        "last_pass": iso_or_none(report.last_pass, zone),
        "draining": (report.holder.draining if report.holder else "") or None,
        "status": report.vault_status,
        "tasks": report.tasks,
        "running": [run_shape(run, zone) for run in report.running],
        "waiting": [run_shape(run, zone) for run in report.waiting],
        "problems": [problem_shape(problem) for problem in report.problems],
        "held": [waiting_shape(each) for each in report.held],
        "undelivered": report.undelivered,
        "questions": [question_shape(question, zone) for question in report.questions],
        "troubles": list(report.troubles),
        "cost_today_usd": round(report.cost_today_usd, 6),
    }


def question_shape(question: Question, zone: ZoneInfo) -> Shape:
    """What waits for an answer."""
    return {
        "task": question.task,
        "run": question.run,
        "question": question.text,
        "asked_at": iso(question.asked_at, zone),
    }


def incident_shape(found: Open, place: Place) -> Shape:
    """`ack --json`: one thing that is open."""
    zone, incident = ZoneInfo(place.timezone), found.incident
    return {
        "about": incident.subject,
        "topic": incident.topic.value,
        "what": found.what,
        "since": iso(incident.since, zone),
        "count": incident.count,
        "told_at": iso_or_none(incident.told_at, zone),
        "silenced": incident.acked_at is not None,
    }


def waiting_shape(waiting: Waiting) -> Shape:
    """What waits for approval."""
    return {"task": waiting.task.id, "path": waiting.task.path, "why": waiting.why}
