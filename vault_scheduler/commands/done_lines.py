"""What commands that write or run something print when they have, and the daemon's own lines. Pure."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.columns import beside
from vault_scheduler.commands.moments import long_both, long_local, relative
from vault_scheduler.commands.problem_page import problem_line
from vault_scheduler.commands.schedule_words import schedule_text
from vault_scheduler.commands.styled import OUTCOMES, Style, joined, of_outcome, styled
from vault_scheduler.text.harmless import plain_line

if TYPE_CHECKING:  # the verbs behind what is told: a command loads its own, not those of all the others
    from vault_scheduler.commands.creation import Created, Initialised
    from vault_scheduler.commands.hindsight import Output
    from vault_scheduler.commands.moving import Taken
    from vault_scheduler.commands.switching import Switched
    from vault_scheduler.machine.place import Place
    from vault_scheduler.run import Outcome


_EVENTS = {"problem": Style.CARE, "paused": Style.CARE, "started": Style.GOING, "waiting": Style.FAINT}


def init_page(made: Initialised) -> list[str]:
    """`init`."""
    lines = [f"Vault {made.root}"]
    lines += [f"  made  {path}" for path in made.created]
    lines += [f"  kept  {path}" for path in made.kept]
    lines.append(f"Times are in {made.timezone}; the vault runs on {made.host or 'the first machine with a daemon'}.")
    if made.host and made.host != made.machine:
        lines.append(
            f"This machine is {made.machine}: to run the vault here, set `host: {made.machine}` in its settings."
        )
    return [*lines, "Next, in that folder: `vault-sched list` shows the tasks, `vault-sched daemon` runs them."]


def created_page(created: Created, now: datetime, zone: ZoneInfo) -> list[str]:
    """`create`, in the vault's zone."""
    task = created.task
    lines = [problem_line(problem) for problem in created.warnings]
    lines.append(f"Wrote {created.path}: {schedule_text(task)}, {task.timezone}")
    if task.status.value != "active":
        return [*lines, f"It is {task.status.value}; `vault-sched resume {task.id}` makes it active."]
    following = task.schedule.next_after(now)
    if following is not None:
        at = long_both(following, zone, ZoneInfo(task.timezone))
        lines.append(f"First run {at}, {relative(following, now)}.")
    return lines


def switched_line(switched: Switched, until: datetime | None, zone: ZoneInfo) -> str:
    """`pause` and `resume`, one line each."""
    what = switched.name or "the vault"
    if not switched.changed and until is not None and switched.status == "active":
        return f"{what} is paused until {long_local(until, zone)} already; {switched.path} is unchanged"
    if not switched.changed:
        return f"{what} is {switched.status or 'as it was'} already; {switched.path} is unchanged"
    if until is not None:
        return f"{what} is paused until {long_local(until, zone)} ({zone.key})"
    return f"{what} is {switched.status or 'changed'}"


def taken_line(taken: Taken) -> str:
    """`host take`: who runs the vault now."""
    if not taken.changed:
        return f"{taken.host} runs this vault already; {taken.path} is unchanged"
    before = f" (before: {taken.before})" if taken.before else ""
    return f"{taken.host} runs this vault from now on{before}. What was due until now is not caught up"


def ran_line(task: str, run: str, outcome: Outcome | None, reason: str) -> str:
    """`run`: how it ended, or that it was started."""
    if outcome is None and reason:
        return f"{task} {reason}: {run}. A daemon goes on with it then"
    if outcome is None:
        return f"{task} is running: {run}. `vault-sched logs {run} --follow` shows its output"
    from vault_scheduler.telling.summary import SIGNS

    ended = joined([beside(SIGNS[outcome], f"{task}: "), of_outcome(outcome.value, outcome.value)])
    return joined((part for part in (ended, plain_line(reason), styled(run, Style.FAINT)) if part), " · ")


def no_output_line(found: Output) -> str:
    """`logs` of a run that printed nothing."""
    run = found.run
    if run.outcome is None:
        return f"{run.id} has printed nothing yet ({run.state.value})"
    from vault_scheduler.telling.summary import facts_of

    told = " · ".join(facts_of(run, line=plain_line))
    return f"{run.id} printed nothing: {run.outcome.value}, {told}"


def event_line(place: Place, event: str, subject: str, message: str, *, as_json: bool) -> str:
    """One line of the daemon's log; times in the vault's zone."""
    at = place.clock.now().astimezone(ZoneInfo(place.timezone))
    if as_json:
        shape = {"at": at.isoformat(timespec="milliseconds"), "event": event, "subject": subject, "message": message}
        return json.dumps(shape, ensure_ascii=False)
    event, subject, message = event_parts(event, subject, message)
    style = OUTCOMES.get(event) or _EVENTS.get(event)
    parts = [f"{at:%Y-%m-%d %H:%M:%S}", styled(f"{event:<9}", style), plain_line(subject), plain_line(message, 500)]
    return joined((part for part in parts if part), "  ")


def event_parts(event: str, subject: str, message: str) -> tuple[str, str, str]:
    """What is told of an event: one word, what it is about, and how; no path twice."""
    if " " in event:  # why a run goes on later
        return "waiting", subject, ". ".join(part for part in (event, message) if part)
    return (event, "", message) if message.startswith(f"{subject}:") else (event, subject, message)


def refused_line(task: str, why: str) -> str:
    """`run`: why it was not, and the way out where the vault as a whole is switched off."""
    cure = ". `vault-sched resume --all` makes the vault active" if why.startswith("vault ") else ""
    return f"{task} was not run: {why}{cure}"
