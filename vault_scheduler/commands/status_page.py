"""`status`: whether the daemon lives, what it does, what is wrong. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.columns import facts, plural
from vault_scheduler.commands.moments import long_local, relative
from vault_scheduler.commands.problem_page import problem_line
from vault_scheduler.commands.styled import Style, joined, styled
from vault_scheduler.commands.task_words import going, question_line
from vault_scheduler.run import Run

if TYPE_CHECKING:
    from vault_scheduler.commands.app import StatusReport
    from vault_scheduler.machine.place import Place


def status_page(report: StatusReport, place: Place, now: datetime, width: int | None) -> list[str]:
    """`status`."""
    zone = ZoneInfo(place.timezone)
    in_force = styled(report.vault_status, None if report.vault_status == "active" else Style.CARE)
    lines = facts(
        [
            ("alive", styled(_alive(report, now, zone), Style.GOOD if report.alive else Style.BAD)),
            ("draining", styled(report.holder.draining, Style.GOING) if report.holder else ""),
            ("vault", joined([f"{place.vault.root} (", in_force, ")"])),
            ("host", place.machine.host),
            ("tasks", str(report.tasks)),
            *(("running", _going(run, now, zone)) for run in report.running),
            *(("waiting", _going(run, now, zone)) for run in report.waiting),
            *(("next", f"{name} {relative(at, now)}") for at, name in report.next_fires),
            ("undelivered", str(report.undelivered) if report.undelivered else ""),
            ("cost today", f"${report.cost_today_usd:.2f}"),
        ],
        width=width,
    )
    lines += [styled(trouble, Style.BAD) for trouble in report.troubles]
    lines += [problem_line(problem) for problem in report.problems]
    lines += [question_line(question) for question in report.questions]
    if report.held:
        held = f"{plural(len(report.held), 'task')} held: `vault-sched approve` shows what waits."
        lines.append(styled(held, Style.CARE))
    return lines


def _going(run: Run, now: datetime, zone: ZoneInfo) -> str:
    return joined([run.task, going(run, now, zone), styled(run.id, Style.FAINT)], " ")


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
