"""`call: doc_freshness`: which documents of the vault are past their review.

A note says when somebody last checked it, and perhaps how long that holds:

    ---
    reviewed: 2026-03-01
    review_every: 90d
    ---

Notes with one of these properties take part. With `folder`, every note in that folder does: one that was never
reviewed is told, too. Arguments, all of them optional:

- `folder`: only notes below it (a path in the vault, or a list of them); default: the whole vault
- `review_after`: how long a review holds where the note does not say; default `180d`
- `reviewed`, `review_every`: the names of the two properties
- `limit`: how many notes are listed of each kind; default 50

Nothing is written. A note that cannot be read, or whose dates make no sense, is listed with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from vault_scheduler.errors import BadValue, VaultSchedError
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.values import date_or_datetime, duration, is_unset, spelled, text, text_list, whole_number
from vault_scheduler.platform.replace import read_regular
from vault_scheduler.vault.ignored import reason_to_skip

_DAY = timedelta(days=1)
_MAX_BYTES = 8 * 2**20


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
    *,
    folder: object = None,
    review_after: object = "180d",
    reviewed: object = "reviewed",
    review_every: object = "review_every",
    limit: object = 50,
) -> dict[str, str]:
    """The report as markdown. `now` is local to the task's zone. Raises BadValue for an argument without meaning."""
    rules = Rules(
        folders=_folders(vault, folder),
        review_after=_period(review_after, "review_after"),
        reviewed=text(reviewed, "reviewed"),
        review_every=text(review_every, "review_every"),
        limit=whole_number(limit, "limit", minimum=1),
    )
    docs = [doc for path in _notes(vault, rules.folders) if (doc := _look(vault, path, rules, now.date()))]
    return {"markdown": report(docs, now.date(), rules)}


def _folders(vault: Path, value: object) -> tuple[str, ...]:
    found = []
    for name in () if is_unset(value) else text_list(value, "folder"):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or not vault.joinpath(*parts).is_dir():
            raise BadValue(f"there is no folder `{name}` in the vault", "Write its path from the vault's root")
        found.append("/".join(parts))
    return tuple(name for name in found if name)


def _period(value: object, key: str) -> timedelta:
    return duration(value, key, minimum=_DAY)


def _notes(vault: Path, folders: Sequence[str]) -> Iterator[str]:
    """The vault-relative paths of the notes, without dot folders, templates and conflict copies; links stay unread."""
    seen: set[str] = set()
    for start in folders or ("",):
        for path in _below(vault, start):
            if path not in seen:
                seen.add(path)
                yield path


def _below(vault: Path, start: str) -> Iterator[str]:
    for folder, inside, names in os.walk(vault / start):
        inside[:] = sorted(name for name in inside if reason_to_skip(name, False) is None)
        below = Path(folder).relative_to(vault)
        for name in sorted(names):
            if name.endswith(".md") and reason_to_skip(name, True) is None:
                yield (below / name).as_posix()


def _look(vault: Path, path: str, rules: Rules, today: date) -> Doc | None:
    """What a note says of its review; None if it does not take part."""
    wanted = bool(rules.folders)
    try:
        if (vault / path).is_symlink():
            return None
        data = read_regular(vault / path, _MAX_BYTES).data
    except FileNotFoundError:
        return None
    except (VaultSchedError, OSError) as error:
        return Doc(path=path, problem=f"cannot be read: {error}") if wanted else None
    if not wanted and not _mentions(data, (rules.reviewed, rules.review_every)):
        return None
    return judge(path, Document.parse(data), rules, today)


def _mentions(data: bytes, names: Iterable[str]) -> bool:
    """A look at the bytes, because parsing the frontmatter of every note of a large vault takes seconds."""
    return data[:16].lstrip(b"\xef\xbb\xbf").startswith(b"---") and any(name.encode() in data for name in names)


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
    holds = rules.review_after if is_unset(every) else _period(every, rules.review_every)
    if is_unset(reviewed):
        return Doc(path=path)
    day = _day(reviewed, rules.reviewed)
    if day > today:
        raise BadValue(f"`{rules.reviewed}` is {day}, which is still to come")
    try:
        return Doc(path=path, reviewed=day, due=day + holds)
    except OverflowError:
        raise BadValue(f"`{rules.review_every}` is too long") from None


def _day(value: object, key: str) -> date:
    """A date, a date-time, or a link to a daily note."""
    if isinstance(value, str) and value.startswith("[[") and value.endswith("]]"):
        value = value[2:-2].split("|")[0].rsplit("/", 1)[-1]
    moment = date_or_datetime(value, key)
    return moment.date() if isinstance(moment, datetime) else moment


def report(docs: Sequence[Doc], today: date, rules: Rules) -> str:
    """The markdown: what is overdue (longest first), never reviewed, or not understood; and what comes next."""
    dated = [doc for doc in docs if doc.due]
    overdue = sorted((doc for doc in dated if doc.due and doc.due <= today), key=_due)
    never = [doc for doc in docs if doc.due is None and not doc.problem]
    unclear = [doc for doc in docs if doc.problem]
    parts = [_headline(len(docs), len(overdue), len(never), rules)]
    parts += _section("Past their review", [_overdue_line(doc, today) for doc in overdue], rules.limit)
    parts += _section("Never reviewed", [f"- {_link(doc.path)}" for doc in never], rules.limit)
    parts += _section("Not understood", [f"- {_link(doc.path)} · {doc.problem}" for doc in unclear], rules.limit)
    fresh = [doc for doc in dated if doc not in overdue]
    if fresh:
        following = min(fresh, key=_due)
        parts.append(f"Next: {_link(following.path)} on {following.due}.")
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


def _section(title: str, lines: Sequence[str], limit: int) -> list[str]:
    if not lines:
        return []
    more = [f"- … and {len(lines) - limit} more"] if len(lines) > limit else []
    return ["\n".join([f"**{title}**", "", *lines[:limit], *more])]


def _overdue_line(doc: Doc, today: date) -> str:
    days = (today - (doc.due or today)).days
    since = "due today" if days == 0 else f"{days} day{'s' * (days != 1)} overdue"
    return f"- {_link(doc.path)} · reviewed {doc.reviewed} · {since}"


def _link(path: str) -> str:
    target = path.removesuffix(".md")
    if any(mark in target for mark in "[]|#^"):
        return f"{target} (its name cannot be linked)"
    return f"[[{target}|{target.rsplit('/', 1)[-1]}]]" if "/" in target else f"[[{target}]]"
