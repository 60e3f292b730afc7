"""What people are told outside of the vault: titles and texts of notifications, plain and short. Pure."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from vault_scheduler.planning.incidents import Matter, Telling
from vault_scheduler.run import Outcome, Run
from vault_scheduler.task import Problem, Topic
from vault_scheduler.telling.summary import duration_words, when_words
from vault_scheduler.text.harmless import clean, head_and_tail, plain_line

_TITLE = 120  # characters
_REASON = 500
_FAILED_TEXT = 600
_SUCCESS_TEXT = 1500

KINDS = {
    Topic.FAILURE: "failure",
    Topic.RECOVERY: "success",
    Topic.BLOCKED: "warning",
    Topic.MISSED: "warning",
    Topic.PROBLEM: "warning",
    Topic.BUDGET: "warning",
    Topic.SUCCESS: "success",
}
"""How notifiers colour a message."""


def run_message(run: Run, telling: Telling, zone: ZoneInfo, vault: str, *, with_text: bool = False) -> tuple[str, str]:
    """Title and text about a run; `vault` is the vault's name, `with_text`: a recovery carries what was brought back.

    Every text of a run is masked already where it was recorded.
    """
    title = plain_line(_title(run, telling, zone), _TITLE)
    parts = [*_reason(run, telling), *_output(run, telling, with_text=with_text), _facts(run, zone)]
    if telling.last:
        parts.append("Told 10 times in 24 h: nothing more about it for a day. `vault-sched history` tells all.")
    return title, "\n\n".join([*(part for part in parts if part), link(vault, run.path)])


def _title(run: Run, telling: Telling, zone: ZoneInfo) -> str:
    name = name_of(run.path)
    match telling.topic:
        case Topic.SUCCESS:
            return f"✅ {name}"
        case Topic.RECOVERY:
            return f"✅ {name} works again; it failed {_times(telling, zone)}"
        case Topic.BLOCKED if run.result is not None and run.result.question:
            return f"❓ {name} asks again" if telling.again else f"❓ {name} asks"
        case Topic.BLOCKED:
            return f"❓ {name} is {'still ' if telling.again else ''}blocked"
        case Topic.MISSED:
            return f"⏭ {name} missed {telling.count} × since {_since(telling, zone)}"
        case Topic.BUDGET:
            return f"💰 {name} skipped for its budget{f', {_times(telling, zone)}' if telling.again else ''}"
    if telling.again:
        return f"❌ {name} still failing, {_times(telling, zone)}"
    words = {Outcome.TIMEOUT: "ran out of time", Outcome.ABANDONED: "was broken off"}
    return f"❌ {name} {words.get(run.outcome or Outcome.FAILURE, 'failed')}"


def _times(telling: Telling, zone: ZoneInfo) -> str:
    times = "once" if telling.count == 1 else f"{telling.count} times"
    return f"{times} since {_since(telling, zone)}"


def _since(telling: Telling, zone: ZoneInfo) -> str:
    return f"{telling.since.astimezone(zone):%Y-%m-%d %H:%M}"


def _reason(run: Run, telling: Telling) -> list[str]:
    question = run.result.question if run.result is not None else ""
    if telling.topic is Topic.BLOCKED and question:
        return [head_and_tail(clean(question), _SUCCESS_TEXT), "Type the answer into the property `answer`."]
    if telling.topic in (Topic.SUCCESS, Topic.RECOVERY):
        return []
    return [plain_line(run.reason, _REASON)]


def _output(run: Run, telling: Telling, *, with_text: bool) -> list[str]:
    text = clean(run.result.text).strip() if run.result is not None else ""
    if telling.topic is Topic.SUCCESS or (telling.topic is Topic.RECOVERY and with_text):
        return [head_and_tail(text, _SUCCESS_TEXT)]
    return [head_and_tail(text, _FAILED_TEXT)] if telling.topic is Topic.FAILURE else []


def _facts(run: Run, zone: ZoneInfo) -> str:
    if run.never_started:
        return when_words(run, zone)
    facts = [when_words(run, zone), duration_words(run.duration_s or 0.0)]
    if run.result is not None and run.result.cost_usd:
        facts.append(f"${run.result.cost_usd:.2f}")
    if run.attempts > 1:
        facts.append(f"{run.attempts} attempts")
    return " · ".join(facts)


def pause_message(path: str, why: str, vault: str) -> tuple[str, str]:
    """Title and text about a task that has paused itself."""
    cure = "Nothing of it runs until its note says `status: active` again."
    return f"⏸ {name_of(path)} paused itself", f"{plain_line(why, _REASON)}. {cure}\n\n{link(vault, path)}"


def name_of(path: str) -> str:
    """A task as people call it: the name of its note."""
    return plain_line(path.rsplit("/", 1)[-1].removesuffix(".md"), 80)


def link(vault: str, path: str) -> str:
    """The address that opens a note in Obsidian, on a phone too."""
    return f"obsidian://open?vault={quote(vault, safe='')}&file={quote(path.removesuffix('.md'), safe='')}"


def ping_text(run: Run) -> str:
    """What Healthchecks is told of the end of a run."""
    return plain_line(run.reason, _REASON)


# what stands


def problem_matter(problem: Problem, vault: str, task: str = "") -> Matter:
    """A problem of a note."""
    subject = f"{problem.key}: " if problem.key else ""
    where = f"{problem.path}:{problem.line}"
    text = "\n".join(part for part in (f"{subject}{problem.message}.", problem.fix, where) if part)
    return Matter(
        subject=problem.path,
        signature=f"{subject}{problem.message}",
        topic=Topic.PROBLEM,
        title=plain_line(f"⚠ {name_of(problem.path)} cannot run" if problem.is_error else f"⚠ {name_of(problem.path)}"),
        text=f"{text}\n\n{link(vault, problem.path)}",
        path=problem.path,
        task=task,
    )


def trouble_matter(name: str, text: str) -> Matter:
    """A trouble of the daemon; one of a name is one matter, however its words change."""
    return Matter(
        subject=f"daemon: {name}",
        signature=name,
        topic=Topic.PROBLEM,
        title=plain_line(f"⛔ vault-sched: {name}"),
        text=plain_line(text, _REASON),
    )


def hold_matter(task: str, path: str, definition: str, reason: str, vault: str) -> Matter:
    """A task that waits for approval."""
    return Matter(
        subject=path,
        signature=f"held {definition}",
        topic=Topic.BLOCKED,
        title=plain_line(f"✋ {name_of(path)} waits for your approval"),
        text=f"{plain_line(reason, _REASON)}\n\n{link(vault, path)}",
        path=path,
    )


def trial_message(host: str, now: datetime, zone: ZoneInfo) -> tuple[str, str]:
    """What tells a person that a notifier works."""
    at = f"{now.astimezone(zone):%Y-%m-%d %H:%M}"
    return "✅ vault-sched", f"Messages from {plain_line(host)} arrive here. Sent {at}, because somebody asked for it."
