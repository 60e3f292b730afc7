"""How a run is told to people: its facts in a few words, its entry in a note, its line in a log. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from vault_scheduler.notes import run_blocks
from vault_scheduler.notes.runs_section import RunEntry
from vault_scheduler.run import Outcome, Result, Run, TriggerKind
from vault_scheduler.text.harmless import (
    clean,
    fenced,
    harmless_markdown,
    head_and_tail,
    message_line,
    one_line,
    plain_line,
)

TEXT_LIMIT = 2000
"""Characters of output that a note shows, head and tail."""
_Line = Callable[[str, int], str]
_REASON = 200  # characters
_TITLE_REASON = 80  # of a callout; what is longer stands whole below it
_WHOLE_REASON = 600
_MOST_NOTES = 20
_MOST_DENIALS = 10
_EMPHASIS = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")
_LINK = re.compile(
    r"(?<!!)(?:\[\[(?P<target>[^\[\]|\n]+)(?:\|(?P<alias>[^\[\]\n]+))?\]\]|\[(?P<text>[^\[\]\n]+)\]\(https?://[^\s()]+\))"
)
_FIRST_LINE = 160
_ACTS_IN_LINK = re.compile(r"[<>`%$^|#\[\]\\\x00-\x1f\x7f-\x9f\u2028\u2029]|::")
_IN_TITLES = str.maketrans("[]<>|#`", "()()--'")
_SESSION_ID = re.compile(r"[0-9A-Za-z-]{1,80}")

SIGNS = run_blocks.SIGNS
"""One sign per outcome for daily logs and terminals; notes use the same ones."""


def duration_words(seconds: float) -> str:
    """`27 ms`, `4.2 s`, `41 s`, `3 min 5 s`, `2 h 7 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def lateness_words(run: Run) -> str:
    """`3 h late` when a run started more than a minute after its fire time, else nothing."""
    if run.started_at is None:
        return ""
    late = (run.started_at - run.fire_time).total_seconds()
    return f"{duration_words(late)} late" if late > 60 else ""


def facts_of(run: Run, reason_limit: int = _REASON, *, line: _Line = one_line) -> tuple[str, ...]:
    """What is worth a word: outcome if it says more than the sign, duration, cost, lateness, attempts, reason.

    `line` makes a reason fit: `one_line` for markdown, `plain_line` for a terminal.
    """
    if run.never_started:
        return (_not_started(run, line),)
    facts = [duration_words(run.duration_s or 0.0)]
    facts += _price(run.result) if run.result is not None else []
    facts.append(lateness_words(run))
    if run.attempts > 1:
        facts.append(f"{run.attempts} attempts")
    facts.append(_reason(run, reason_limit, line))
    return tuple(fact for fact in facts if fact)


def _price(result: Result) -> list[str]:
    """What a Claude run cost, and in how many turns where that is more than one."""
    cost = [f"${result.cost_usd:.2f}"] if result.cost_usd else []
    return [*cost, f"{result.turns} turns"] if result.turns and result.turns > 1 else cost


def _not_started(run: Run, line: _Line) -> str:
    outcome = (run.outcome or Outcome.MISSED).value
    number = f" {run.count} ×" if run.count > 1 else ""
    return f"{outcome}{number} ({line(run.reason, _REASON)})" if run.reason else f"{outcome}{number}"


def _reason(run: Run, limit: int, line: _Line) -> str:
    reason = line(run.reason, limit)
    if run.outcome in (Outcome.SUCCESS, Outcome.FAILURE, None):
        return reason
    is_question = run.outcome is Outcome.BLOCKED and run.result is not None and bool(run.result.question)
    return f"{'asks' if is_question else run.outcome.value}: {reason}" if reason else run.outcome.value


def when_words(run: Run, zone: ZoneInfo) -> str:
    """`2026-11-20 07:00`; a range within a day `2026-11-20 07:00 … 09:00`, over days `2026-11-14 … 17`.

    Local time of the task's zone. Seconds are told where the fire time has some: a task that fires every 10 s would
    have six runs of the same name a minute.
    """
    first = run.fire_time.astimezone(zone)
    if run.last_fire_time is None or run.count == 1:
        return f"{first:%Y-%m-%d} {_clock(first, run)}"
    last = run.last_fire_time.astimezone(zone)
    if first.date() == last.date():
        return f"{first:%Y-%m-%d} {_clock(first, run)} … {_clock(last, run)}"
    return f"{first:%Y-%m-%d} … {_day_after(first, last)}"


def _clock(moment: datetime, run: Run) -> str:
    return f"{moment:%H:%M:%S}" if moment.second and run.trigger is TriggerKind.AT else f"{moment:%H:%M}"


def _day_after(first: datetime, last: datetime) -> str:
    """The last day, without what it has in common with the first."""
    if first.year != last.year:
        return f"{last:%Y-%m-%d}"
    return f"{last:%d}" if first.month == last.month else f"{last:%m-%d}"


def text_of(run: Run) -> str:
    """The run's output as markdown that can do nothing (rule 7), with what else there is to know."""
    result = run.result
    if result is None:
        return ""
    parts = [*_question(run, result), *_answered(run), *_whole_reason(run, result)]
    if result.text.strip():
        text = head_and_tail(result.text, TEXT_LIMIT)
        parts.append(harmless_markdown(text) if result.markdown else fenced(text))
    parts += [_sentence(one_line(remark, _WHOLE_REASON)) for remark in result.remarks]
    if result.changed_notes:
        parts.append("Changed: " + _some(list(map(link_to, result.changed_notes)), _MOST_NOTES))
    if result.denials:
        parts.append("Denied: " + _some([one_line(denial, _REASON) for denial in result.denials], _MOST_DENIALS, "; "))
    return "\n\n".join([*parts, *_reopen(result)])


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _whole_reason(run: Run, result: Result) -> list[str]:
    """What the title had no room for."""
    is_long = len(plain_line(run.reason)) > _TITLE_REASON and run.reason != result.question
    return [one_line(run.reason, _WHOLE_REASON)] if is_long else []


def _some(items: Sequence[str], most: int, between: str = ", ") -> str:
    left_out = len(items) - most
    return between.join([*items[:most], *([f"and {left_out} more"] if left_out > 0 else [])])


def _reopen(result: Result) -> list[str]:
    """The command that reopens the session; it has to be given in the folder that the session had."""
    # Without turns there is nothing to read in it; what is no plain id must not get into a person's shell.
    if not _SESSION_ID.fullmatch(result.session_id or "") or not (result.turns or result.cost_usd):
        return []
    where = one_line(result.folder, _FIRST_LINE) if result.folder else "the vault"
    return [f"Reopen: `claude --resume {result.session_id}` in {where}"]


def _question(run: Run, result: Result) -> list[str]:
    if not result.question or run.outcome is Outcome.SUCCESS:
        return []
    return [f"**{one_line(result.question, TEXT_LIMIT)}**", "Type the answer into the property `answer`."]


def _answered(run: Run) -> list[str]:
    if run.trigger is not TriggerKind.ANSWER:
        return []
    asked, said = (one_line(run.extra.get(key, ""), _REASON) for key in ("question", "answer"))
    return [f"Asked: {asked}", f"Answered: {said}"]


def output_text(run: Run) -> str:
    """What goes into the `output` of the task: the whole text that the run brought back, made harmless."""
    if run.result is None:
        return ""
    return harmless_markdown(run.result.text) if run.result.markdown else fenced(run.result.text)


def _telling_line(text: str, markdown: bool) -> list[str]:
    """The first line that has words in it: not a rule, a fence or a bracket. Markdown as it is read."""
    plain = _EMPHASIS.sub("", _LINK.sub(_shown_of_link, text)) if markdown else text
    lines = (line.strip().lstrip("#>*- ") for line in plain.split("\n"))
    return [one_line(line, _FIRST_LINE) for line in lines if any(map(str.isalnum, line))][:1]


def _shown_of_link(link: re.Match[str]) -> str:
    """What a reader sees of a link: a line of the log has one link, to its task."""
    return link["text"] or link["alias"] or link["target"].rsplit("/", 1)[-1]


def link_to(path: str, *, short: bool = False) -> str:
    """A wikilink to a note, `short` under its name alone; its mere path where a character of it could act.

    Runs choose the names of the files that they make, and nothing can be escaped inside of a link.
    """
    if _ACTS_IN_LINK.search(path) or clean(path) != path:
        return one_line(path)
    target = path.removesuffix(".md")
    return f"[[{target}|{target.rsplit('/', 1)[-1]}]]" if short else f"[[{target}]]"


def title_of(path: str) -> str:
    """The name of a task's note for `{{title}}`, which may become a file name or a heading."""
    return plain_line(path.rsplit("/", 1)[-1].removesuffix(".md").translate(_IN_TITLES).replace("%%", "%"))


def entry_of(run: Run, zone: ZoneInfo) -> RunEntry:
    """The run as the `## Runs` section of its note shows it."""
    return RunEntry(
        id=run.id,
        when=when_words(run, zone),
        outcome=run.outcome or Outcome.ABANDONED,
        facts=facts_of(run, _TITLE_REASON),
        text="" if run.never_started else text_of(run),
    )


def problem_line(path: str, line: int, text: str) -> str:
    """`⚠ [[tasks/bad|bad]] line 3: cron: …` for the daily log and the status note."""
    where = f" line {line}" if line > 1 else ""
    return f"⚠ {link_to(path, short=True)}{where}: {message_line(text, 400)}"


def log_line(run: Run, zone: ZoneInfo) -> str:
    """`- 07:00 ✅ [[briefing]] · 41 s · $0.11 · Three overdue tasks… ^r-…` for the daily log."""
    outcome = run.outcome or Outcome.ABANDONED
    time = (run.started_at or run.ended_at or run.fire_time).astimezone(zone).strftime("%H:%M")
    parts = [link_to(run.path, short=True), *facts_of(run)]
    if outcome is Outcome.SUCCESS and run.result is not None:
        parts += _telling_line(run.result.text, run.result.markdown)
    return f"- {time} {SIGNS[outcome]} {' · '.join(parts)} ^{run.id}"
