"""What pages say about a task or a run in a few words: how it stands, what it does, how far a run is. Pure.

How runs are told is imported where a run is told: `next` answers in half the time without it.
"""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from vault_scheduler.commands.moments import length, long_local, short_local
from vault_scheduler.commands.styled import STATES, Style, joined, of_outcome, styled
from vault_scheduler.task import ClaudeAction, CommandAction, PythonAction, Task
from vault_scheduler.text.harmless import plain_line

if TYPE_CHECKING:  # the verbs behind the words: a command loads its own, not those of all the others
    from vault_scheduler.commands.catalogue import Item
    from vault_scheduler.ledger.store import Question
    from vault_scheduler.machine.place import Place
    from vault_scheduler.run import Run
    from vault_scheduler.settings import Settings


def state_words(item: Item) -> str:
    """`held (a run without shell wrote it)`: how a task stands, and why if that says more."""
    stands = item.standing
    told = stands.reason if item.task and stands.reason != stands.state.value else ""
    return f"{stands.state.value} ({told})" if told else stands.state.value


def in_state(item: Item, words: str) -> str:
    """Words about how a task stands, in the style of that."""
    return styled(words, STATES.get(item.standing.state.value))


def question_line(question: Question) -> str:
    """What a run asked, and how to answer."""
    asked = f"{question.task} asks: {plain_line(question.text, 300)}"
    return joined([styled(asked, Style.CARE), " Type the answer into `answer` of its note."])


def vault_pause(place: Place, settings: Settings, now: datetime, then: str = "nothing starts") -> list[str]:
    """That the vault as a whole is switched off, if it is, what follows, and the way out."""
    off, until = settings.status.value, settings.paused_until
    if off == "active" and until and until > now:
        off = f"paused until {long_local(until, ZoneInfo(place.timezone))}"
    if off == "active":
        return []
    return [styled(f"The vault is {off}: {then}. `vault-sched resume --all` makes it active.", Style.CARE)]


def going(run: Run, now: datetime, zone: ZoneInfo) -> str:
    """A run that has not ended: `▶ for 12 s`, `waits for slot`, `waits for quota until 12:00`."""
    from vault_scheduler.run import RunState

    if run.state in (RunState.STARTING, RunState.RUNNING) and run.started_at:
        return styled(f"▶ for {length(max(0.0, (now - run.started_at).total_seconds()))}", Style.GOING)
    until = f" until {short_local(run.not_before, now, zone)}" if run.not_before and run.not_before > now else ""
    return styled(f"waits for {run.waiting_for}{until}" if run.waiting_for else "waits", Style.GOING)


def run_cells(run: Run) -> tuple[str, str]:
    """Sign and facts of a run: the sign alone is coloured where it went well, all of it where it did not."""
    from vault_scheduler.run import RunState
    from vault_scheduler.telling.summary import SIGNS, facts_of

    if not run.outcome and run.state in (RunState.STARTING, RunState.RUNNING):
        return styled("▶", Style.GOING), styled(run.state.value, Style.GOING)
    if not run.outcome:
        return "", styled(f"waits for {run.waiting_for}" if run.waiting_for else "waits", Style.GOING)
    facts, sign = " · ".join(facts_of(run, line=plain_line)), of_outcome(run.outcome, SIGNS[run.outcome])
    return sign, facts if run.outcome == "success" else of_outcome(run.outcome, facts)


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
        from vault_scheduler.notes.body import first_fence

        fence = first_fence(task.body)
        return f"the first code block of the note ({fence.language or 'sh'})" if fence else "the first code block"
    return f"command: {command_line(action.command)}"


def command_line(command: str | tuple[str, ...]) -> str:
    """A command as one would type it."""
    return command if isinstance(command, str) else shlex.join(command)
