"""`call: vault_cleanup`: empty notes, copies, dead links and old logs; told, and with `delete=true` cleared away.

Nothing is ever removed for good: what goes, goes to the vault's `.trash`, under its own path. Only these go: notes
without a word (no text, no property with a value) that nobody links to; copies that say so in their name (`Plan 1`,
`Plan copy`, beside an equal `Plan`) and that nobody links to; and the scheduler's daily logs that are old enough. Other
equal notes and dead links are told, and stay for you to decide. What tasks write into notes does not count as a link.

- `delete`: with `true` notes go to the trash; else it is a dry run
- `what`: what to look for: `empty`, `duplicates`, `dead-links`, `logs`
- `folder`: only notes below it: a path in the vault, or a list of them; else the whole vault
- `exclude`: folders and notes that stay as they are, and are not told: a path, or a list of them
- `min_age`: notes that changed a shorter time ago stay
- `logs_older`: how old a daily log of the scheduler must be
- `limit`: how many lines each section has at most
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from vault_scheduler.builtin.parts.arguments import chosen, folders, is_inside, period, places
from vault_scheduler.builtin.parts.links import LinkIndex, is_day, targets
from vault_scheduler.builtin.parts.outputs import Outputs
from vault_scheduler.builtin.parts.owned_block import without_blocks
from vault_scheduler.builtin.parts.pages import MAX_BYTES, Page, lies_below, pages
from vault_scheduler.builtin.parts.prose import day_in_name, prose
from vault_scheduler.builtin.parts.words import ago, count, link, section
from vault_scheduler.errors import VaultSchedError
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.values import boolean, is_unset, spelled, whole_number
from vault_scheduler.platform.replace import read_regular
from vault_scheduler.text.harmless import one_line
from vault_scheduler.vault.trash import to_trash
from vault_scheduler.vault.vault import Vault

KINDS = ("empty", "duplicates", "dead-links", "logs")
_COPY = re.compile(r"(?P<stem>.+?)(?: \d{1,3}| \(\d{1,3}\)| copy(?: \d{1,3})?| - Copy| Kopie| copie| copia)\Z", re.I)
_SMALL = 2000  # bytes up to which a note may consist of empty properties
_SHOWN = 5  # targets of dead links in a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A note that could go. `keep` says why it stays, as markdown; "" if it can go."""

    path: str
    data: bytes = field(repr=False)
    changed: date
    keep: str = ""
    original: str = ""  # of a copy: the path of the equal note that stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a look at the vault brought."""

    looked_at: int
    empty: tuple[Found, ...] = ()
    copies: tuple[Found, ...] = ()
    equal: tuple[tuple[str, ...], ...] = ()  # paths of equal notes of which none is plainly a copy
    dead: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # path → what it links to in vain
    logs: tuple[Found, ...] = ()

    def can_go(self) -> list[Found]:
        """What `delete` moves to the trash."""
        return [found for found in (*self.empty, *self.copies, *self.logs) if not found.keep]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The arguments, read."""

    what: tuple[str, ...]
    folders: tuple[str, ...]
    exclude: tuple[str, ...]
    min_age: timedelta
    now: datetime
    logs_before: date
    limit: int

    def day(self, page: Page) -> date:
        """The day on which a note changed."""
        return datetime.fromtimestamp(page.modified, self.now.tzinfo).date()

    def concern(self, path: str) -> bool:
        """Whether a note is to be told at all."""
        return not lies_below(path, self.exclude) and (not self.folders or lies_below(path, self.folders))


def run(
    vault: Path,
    system: Path,
    now: datetime,
    /,
    *,
    delete: object = False,
    what: object = "empty duplicates dead-links logs",
    folder: object = None,
    exclude: object = None,
    min_age: object = "1d",
    logs_older: object = "180d",
    limit: object = 10,
) -> dict[str, str]:
    """The report as markdown; with `delete` what can go is moved. `now` is local to the task's zone.

    Raises BadValue for an argument without meaning.
    """
    rules = Rules(
        what=chosen(what, "what", KINDS),
        folders=folders(vault, folder, "folder"),
        exclude=places(vault, exclude, "exclude"),
        min_age=period(min_age, "min_age", minimum=timedelta(0)),
        now=now,
        logs_before=(now - period(logs_older, "logs_older")).date(),
        limit=whole_number(limit, "limit", minimum=1),
    )
    findings = look(vault, system.name, rules)
    if not boolean(delete, "delete"):
        return {"markdown": report(findings, rules)}
    gone, failed = _throw_away(Vault(vault, system.name), findings.can_go())
    return {"markdown": report(findings, rules, gone=gone, failed=failed)}


def _throw_away(vault: Vault, found: Sequence[Found]) -> tuple[frozenset[str], dict[str, str]]:
    """Which notes went to the trash, and why others did not."""
    gone: set[str] = set()
    failed: dict[str, str] = {}
    for note in found:
        try:
            to_trash(vault, note.path, note.data)
            gone.add(note.path)
        except FileNotFoundError:
            continue
        except (VaultSchedError, OSError) as error:
            failed[note.path] = getattr(error, "reason", "") or str(error)
    return frozenset(gone), failed


# looking


def look(vault: Path, system: str, rules: Rules) -> Findings:
    """Read the whole vault: what counts as linked is linked from anywhere."""
    read = [page for page in pages(vault) if not page.path.startswith(f"{system}/")]
    concern = [page for page in read if rules.concern(page.path)]
    web = _Web(vault, read, system)
    empty = [_found(page, web, rules) for page in concern if is_empty(page.data)]
    copies, equal = _duplicates([page for page in concern if not is_empty(page.data)], web, rules)
    return Findings(
        looked_at=len(concern),
        empty=tuple(empty) if "empty" in rules.what else (),
        copies=tuple(copies) if "duplicates" in rules.what else (),
        equal=tuple(equal) if "duplicates" in rules.what else (),
        dead=web.dead(rules) if "dead-links" in rules.what else {},
        logs=tuple(_old_logs(vault, system, rules)) if "logs" in rules.what else (),
    )


class _Web:
    """Who links to whom. Notes that tasks write whole link to nobody, for the next run writes them anew."""

    def __init__(self, vault: Path, read: Sequence[Page], system: str) -> None:
        tasks = list(pages(vault, [f"{system}/tasks"])) if (vault / system / "tasks").is_dir() else []
        outputs = Outputs(tasks)
        files = set(_all_files(vault))
        index = LinkIndex(files | outputs.to_come)
        self._dead: dict[str, list[str]] = defaultdict(list)
        self._linked: dict[str, str] = {}
        for page in read:
            if not outputs.are(page.path):
                self._add(page.path, prose(without_blocks(page.data)), index)
        for task in tasks:
            self._add(task.path, Document.parse(task.data).definition_body, index)
        for canvas in sorted(path for path in files if path.endswith(".canvas")):
            self._add(canvas, " ".join(f"[[{card}]]" for card in _cards(vault, canvas)), index, told=False)

    def _add(self, source: str, text: str, index: LinkIndex, *, told: bool = True) -> None:
        for target, is_wiki in targets(text):
            found = index.find(target, source)
            if found is not None and found != source:
                self._linked.setdefault(found, source)
            elif told and found is None and not is_day(target) and (is_wiki or target.endswith(".md")):
                self._dead[source].append(target)

    def linked_from(self, path: str) -> str | None:
        """A note that links to this one."""
        return self._linked.get(path)

    def dead(self, rules: Rules) -> dict[str, tuple[str, ...]]:
        """The dead links by note."""
        concern = {path: links for path, links in self._dead.items() if rules.concern(path)}
        return {path: tuple(dict.fromkeys(links)) for path, links in sorted(concern.items())}


def _all_files(vault: Path) -> Iterator[str]:
    for folder, inside, names in os.walk(vault):
        inside[:] = [name for name in inside if not name.startswith(".")]
        below = os.path.relpath(folder, vault)
        prefix = "" if below == "." else f"{below}/"
        yield from (f"{prefix}{name}" for name in names if not name.startswith("."))


def _cards(vault: Path, path: str) -> list[str]:
    """The notes that a canvas shows."""
    try:
        canvas = json.loads(read_regular(vault / path, MAX_BYTES).data) if is_inside(vault, path) else {}
        return [str(node["file"]) for node in canvas["nodes"] if "file" in node]
    except (VaultSchedError, OSError, ValueError, TypeError, KeyError):
        return []


def is_empty(data: bytes) -> bool:
    """Whether a note says nothing: no text, and no property that has a value."""
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        return True
    if len(data) > _SMALL or not data.lstrip(b"\xef\xbb\xbf").startswith(b"---"):
        return False
    note = Document.parse(data)
    said = any(not is_unset(value) and value != [] for value in note.mapping.values())
    return note.fault is None and not said and not note.body.strip()


def _found(page: Page, web: _Web, rules: Rules, original: str = "") -> Found:
    keep = _why_kept(page, web, rules)
    return Found(path=page.path, data=page.data, changed=rules.day(page), keep=keep, original=original)


def _why_kept(page: Page, web: _Web, rules: Rules) -> str:
    if source := web.linked_from(page.path):
        return f"{link(source)} links to it"
    age = rules.now.timestamp() - page.modified
    return f"it changed less than {spelled(rules.min_age)} ago" if age < rules.min_age.total_seconds() else ""


def _duplicates(read: Sequence[Page], web: _Web, rules: Rules) -> tuple[list[Found], list[tuple[str, ...]]]:
    """Plain copies, and groups of equal notes of which none is one."""
    alike: dict[bytes, list[Page]] = defaultdict(list)
    for page in read:
        alike[hashlib.sha256(page.data.replace(b"\r\n", b"\n").strip()).digest()].append(page)
    copies: list[Found] = []
    equal = []
    for group in alike.values():
        names = {page.path for page in group}
        mine = [_found(page, web, rules, original_of(page.path)) for page in group if original_of(page.path) in names]
        others = names - {copy.path for copy in mine}
        copies += mine
        if len(others) > 1:
            equal.append(tuple(sorted(others)))
    return copies, equal


def original_of(path: str) -> str:
    """What a copy's path would be without `1`, `(1)` or `copy` at the end of its name; "" if it has none."""
    found = _COPY.match(path.removesuffix(".md"))
    return f"{found['stem']}.md" if found and not found["stem"].endswith("/") else ""


def _old_logs(vault: Path, system: str, rules: Rules) -> Iterator[Found]:
    folder = f"{system}/logs"
    if not (vault / folder).is_dir() or (vault / folder).is_symlink():
        return
    for page in pages(vault, [folder]):
        day = day_in_name(page.name) or day_in_name(page.name[:10])
        if day and day < rules.logs_before and not lies_below(page.path, rules.exclude):
            yield Found(path=page.path, data=page.data, changed=day)


# telling


def report(
    findings: Findings, rules: Rules, *, gone: frozenset[str] | None = None, failed: Mapping[str, str] | None = None
) -> str:
    """The markdown. `gone` is what went to the trash, None in a dry run; `failed` why something else did not."""
    equal = [" = ".join(link(path) for path in group[:_SHOWN]) for group in findings.equal]
    trouble = [f"{link(path)} · {one_line(why)}" for path, why in (failed or {}).items()]
    parts = [_headline(findings, gone)]
    parts += section("Empty", [_empty_line(note, rules, gone) for note in findings.empty], rules.limit)
    parts += section("Copies", [_copy_line(note, gone) for note in findings.copies], rules.limit)
    parts += section("Equal notes, of which none says that it is a copy", equal, rules.limit)
    parts += section("Dead links", [_dead_line(*each) for each in findings.dead.items()], rules.limit)
    parts += section("Old logs", _log_lines(findings.logs), rules.limit)
    parts += section("Could not be moved", trouble, rules.limit)
    if gone is None and findings.can_go():
        parts.append(
            "Nothing was moved: this is a dry run. With `args: [delete=true]` they go to the vault's `.trash`."
        )
    return "\n\n".join(parts)


def _headline(findings: Findings, gone: frozenset[str] | None) -> str:
    going = [note.path for note in findings.can_go() if gone is None or note.path in gone]
    kinds = (("empty note", findings.empty), ("copy", findings.copies), ("old log", findings.logs))
    numbers = [(name, sum(note.path in going for note in notes)) for name, notes in kinds]
    moving = ", ".join(count(number, name, "copies" if name == "copy" else "") for name, number in numbers if number)
    dead = sum(len(links) for links in findings.dead.values())
    told = [f"**{moving} {'can go' if gone is None else 'went to the trash'}**"] * bool(moving)
    told += [f"{count(dead, 'dead link')} in {count(len(findings.dead), 'note')}"] * bool(dead)
    told += [f"{count(len(findings.equal), 'group')} of equal notes"] * bool(findings.equal)
    stay = len(findings.empty) + len(findings.copies) + len(findings.logs) - len(going)
    told += [f"{stay} to decide about"] * bool(stay)
    return f"{' · '.join(told) or 'Nothing to clean up'} · {count(findings.looked_at, 'note')} looked at."


def _name(path: str, gone: frozenset[str] | None) -> str:
    """A link to what is still there, the bare name of what is not."""
    return one_line(path.removesuffix(".md")) if path in (gone or ()) else link(path)


def _empty_line(note: Found, rules: Rules, gone: frozenset[str] | None) -> str:
    stays = f" · stays: {note.keep}" if note.keep else ""
    return f"{_name(note.path, gone)} · changed {ago(note.changed, rules.now.date())}{stays}"


def _copy_line(note: Found, gone: frozenset[str] | None) -> str:
    stays = f" · stays: {note.keep}" if note.keep else ""
    return f"{_name(note.path, gone)} = {link(note.original)}{stays}"


def _dead_line(path: str, links: Sequence[str]) -> str:
    more = f" and {len(links) - _SHOWN} more" if len(links) > _SHOWN else ""
    return f"{link(path)} → {', '.join(one_line(target, 80) for target in links[:_SHOWN])}{more}"


def _log_lines(logs: Sequence[Found]) -> list[str]:
    if not logs:
        return []
    size = max(1, sum(len(log.data) for log in logs) // 1024)
    days = sorted(log.changed for log in logs)
    span = str(days[0]) if days[0] == days[-1] else f"{days[0]} … {days[-1]}"
    return [f"{span} · {count(len(logs), 'daily log')} · {size:,} KiB"]
