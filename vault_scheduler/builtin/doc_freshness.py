"""`call: doc_freshness`: which documents of the vault are past their review.

A note says when somebody last checked it, and perhaps how long that holds:

    ---
    reviewed: 2026-03-01
    review_every: 90d
    ---

Notes with one of these properties take part. With `folder`, every note in that folder does: one that was never
reviewed is told, too. A note that cannot be read, or whose dates make no sense, is listed with the reason. Nothing is
written.

- `folder`: only notes below it: a path in the vault, or a list of them; else the whole vault
- `review_after`: how long a review holds where the note does not say
- `reviewed`: the name of the property that says when the note was reviewed
- `review_every`: the name of the property that says how long that holds
- `limit`: how many notes are listed of each kind
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from vault_scheduler.builtin.parts.arguments import folders, period
from vault_scheduler.builtin.parts.pages import mentions, note_paths, read
from vault_scheduler.builtin.parts.words import day_of, link, section
from vault_scheduler.errors import BadValue, VaultSchedError
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.values import is_unset, spelled, text, whole_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Doc:
    """A note that takes part. `reviewed` is None if it never was; `problem` says what cannot be understood."""

    path: str  # vault-relative
    reviewed: date | None = None
    due: date | None = None  # the day on which the review is no longer good
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The arguments, read."""

    folders: tuple[str, ...]
    review_after: timedelta
    reviewed: str
    review_every: str
    limit: int


def run(
    vault: Path,
    now: datetime,
    /,
    *,
    folder: object = None,
    review_after: object = "180d",
    reviewed: object = "reviewed",
    review_every: object = "review_every",
    limit: object = 20,
) -> dict[str, str]:
    """The report as markdown. `now` is local to the task's zone. Raises BadValue for an argument without meaning."""
    rules = Rules(
        folders=folders(vault, folder, "folder"),
        review_after=period(review_after, "review_after"),
        reviewed=text(reviewed, "reviewed"),
        review_every=text(review_every, "review_every"),
        limit=whole_number(limit, "limit", minimum=1),
    )
    docs = [doc for path in note_paths(vault, rules.folders) if (doc := _look(vault, path, rules, now.date()))]
    return {"markdown": report(docs, now.date(), rules)}


def _look(vault: Path, path: str, rules: Rules, today: date) -> Doc | None:
    """What a note says of its review; None if it does not take part."""
    wanted = bool(rules.folders)
    try:
        page = read(vault, path)
    except (VaultSchedError, OSError) as error:
        reason = getattr(error, "reason", None) or str(error)
        return Doc(path=path, problem=f"cannot be read: {reason}") if wanted else None
    if page is None or not (wanted or mentions(page.data, (rules.reviewed, rules.review_every))):
        return None
    return judge(path, Document.parse(page.data), rules, today)


def judge(path: str, document: Document, rules: Rules, today: date) -> Doc | None:
    """What a note says of its review; None if it says nothing and no folder asks for it."""
    if document.fault is not None and document.block is None and not rules.folders:
        return None
    if document.fault is not None:
        return Doc(path=path, problem=f"line {document.fault.line}: {document.fault.message}")
    properties = document.mapping
    said = {name: properties.get(name) for name in (rules.reviewed, rules.review_every)}
    if not rules.folders and not any(name in properties for name in said):
        return None
    try:
        return _judged(path, said[rules.reviewed], said[rules.review_every], rules, today)
    except BadValue as error:
        return Doc(path=path, problem=error.message)


def _judged(path: str, reviewed: object, every: object, rules: Rules, today: date) -> Doc:
    holds = rules.review_after if is_unset(every) else period(every, rules.review_every)
    if is_unset(reviewed):
        return Doc(path=path)
    day = day_of(reviewed, rules.reviewed)
    if day > today:
        raise BadValue(f"`{rules.reviewed}` is {day}, which is still to come")
    try:
        return Doc(path=path, reviewed=day, due=day + holds)
    except OverflowError:
        raise BadValue(f"`{rules.review_every}` is too long") from None


def report(docs: Sequence[Doc], today: date, rules: Rules) -> str:
    """The markdown: what is overdue (longest first), never reviewed, or not understood; and what comes next."""
    dated = [doc for doc in docs if doc.due]
    overdue = sorted((doc for doc in dated if doc.due and doc.due <= today), key=_due)
    never = [doc for doc in docs if doc.due is None and not doc.problem]
    unclear = [doc for doc in docs if doc.problem]
    parts = [_headline(len(docs), len(overdue), len(never), rules)]
    parts += section("Past their review", [_overdue_line(doc, today) for doc in overdue], rules.limit)
    parts += section("Never reviewed", [f"{link(doc.path)}" for doc in never], rules.limit)
    parts += section("Not understood", [f"{link(doc.path)} · {doc.problem}" for doc in unclear], rules.limit)
    fresh = [doc for doc in dated if doc.due and doc.due > today]
    if fresh:
        following = min(fresh, key=_due)
        parts.append(f"Next: {link(following.path)} on {following.due}.")
    return "\n\n".join(parts)


def _due(doc: Doc) -> tuple[date, str]:
    return (doc.due or date.max, doc.path)


def _headline(count: int, overdue: int, never: int, rules: Rules) -> str:
    if not count:
        place = " or ".join(f"`{name}`" for name in rules.folders)
        return f"No notes in {place}." if place else f"No note has the property `{rules.reviewed}`."
    if not overdue and not never:
        return f"No document is past its review ({count} looked at)."
    words = [f"{overdue} past their review"] * bool(overdue) + [f"{never} never reviewed"] * bool(never)
    return (
        f"**{', '.join(words)}**, of {count}. A review holds {spelled(rules.review_after)} unless the note says else."
    )


def _overdue_line(doc: Doc, today: date) -> str:
    days = (today - (doc.due or today)).days
    since = "due today" if days == 0 else f"{days} day{'s' * (days != 1)} overdue"
    return f"{link(doc.path)} · reviewed {doc.reviewed} · {since}"
