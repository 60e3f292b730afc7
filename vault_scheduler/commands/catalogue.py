"""All task notes as they are on disk now, with how each task stands. For commands; the daemon has its survey."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from vault_scheduler.commands.kept_notes import KeptNotes
from vault_scheduler.commands.progress import counted
from vault_scheduler.commands.records import Holds, Waiting
from vault_scheduler.errors import TaskNotFound
from vault_scheduler.machine.config import CONFIG_NAME
from vault_scheduler.parsing.parsed import ParseContext, Parsed
from vault_scheduler.planning.registry import Entry, Registry
from vault_scheduler.planning.standing import Standing, State, standing
from vault_scheduler.platform.paths import config_folder
from vault_scheduler.settings import Settings, resolve
from vault_scheduler.task import Problem, Severity, Status, Task

if TYPE_CHECKING:
    from vault_scheduler.machine.place import Place
    from vault_scheduler.planning.chains import Fault

_MOMENT = timedelta(microseconds=1)
_INVALID = Standing(state=State.INVALID, reason="the note is invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One task note. `task` is None where the note is invalid; `name` is the task's id, or what it would be."""

    name: str
    path: str
    task: Task | None
    problems: tuple[Problem, ...]
    standing: Standing
    mapping: Mapping[str, object] = field(default_factory=dict)  # the frontmatter as read, of an invalid note
    next_run: datetime | None = None  # UTC; None while nothing would start
    waiting: Waiting | None = None  # for approval


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The vault's task notes by path, and what is wrong beside them (`general`: the settings note, folders)."""

    items: tuple[Item, ...]
    general: tuple[Problem, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)  # notes that are never scheduled, and why
    settings: Settings = field(default_factory=Settings)  # in force

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything wrong with the vault's notes, by path and line."""
        found = [*self.general, *(problem for item in self.items for problem in item.problems)]
        return tuple(sorted(found, key=lambda problem: (problem.path, problem.line)))

    def find(self, name: str, others: Collection[str] = ()) -> Item:
        """The task of this name: its id, its path, or the unique end of one of them. Raises TaskNotFound."""
        found = self._matches(unicodedata.normalize("NFC", name.strip()))
        if len(found) == 1:
            return found[0]
        near = [item.name for item in found] or self._near(name, others)
        raise TaskNotFound(name, tuple(near[:3]))

    def _matches(self, name: str) -> list[Item]:
        bare = name.removesuffix(".md").strip("/")
        for matches in _ways(name, bare):
            found = [item for item in self.items if matches(item)]
            if found:
                return found
        return []

    def _near(self, name: str, others: Collection[str]) -> list[str]:
        known = {item.name: item.name for item in self.items} | {other: other for other in others}
        known |= {full.rpartition("/")[2]: full for full in list(known)}
        return list(dict.fromkeys(known[close] for close in get_close_matches(name, known, n=3, cutoff=0.5)))


def _ways(name: str, bare: str) -> Iterator[Callable[[Item], bool]]:
    """From the surest way of naming a task to the loosest."""
    low = bare.lower()
    yield lambda item: item.name == name
    yield lambda item: item.path == name or item.name == bare
    yield lambda item: item.name.endswith(f"/{bare}") or item.path.removesuffix(".md").endswith(f"/{bare}")
    yield lambda item: item.name.lower() == low or PurePosixPath(item.path).stem.lower() == low


def parse_context(place: Place) -> ParseContext:
    """What notes mean in this vault, as the daemon reads them; what this machine lacks matters where it runs them."""
    knows_all = place.runs_vault and not place.machine.faults
    return ParseContext(
        default_timezone=place.machine_timezone,
        settings_timezone=place.settings_in_force.timezone,
        system_folder=place.vault.system_folder,
        callable_check=lambda call, args: _callable_problem(place, call, args),
        notifiers=tuple(place.machine.notify) if knows_all else None,
        config=str(config_folder() / CONFIG_NAME),
        secrets=tuple(place.machine.secrets) if knows_all else None,
    )


def _callable_problem(place: Place, call: str, args: Mapping[str, Any]) -> str | None:
    from vault_scheduler.executors.python import callable_problem  # only notes with a `call` need it

    return callable_problem(
        call, place.vault.scripts_folder, args=args, other_packages=place.machine.python is not None
    )


def read_catalogue(
    place: Place,
    *,
    holds: Holds | None = None,
    former: Collection[str] = (),
    paused: Collection[str] = (),
) -> Catalogue:
    """Read every task note. `former`: paths that the ledger knows as tasks (they hold their ids, rule 3.4).

    `paused`: tasks that paused themselves, and whose notes could not be told yet.
    """
    now, sweep = place.clock.now(), place.vault.sweep()
    known, kept = set(former), KeptNotes(place.definitions_path, parse_context(place))
    registry = Registry()
    mappings: dict[str, Mapping[str, object]] = {}
    # What the ledger knows, and then the shorter name, holds an id: a copy is named after its original.
    paths = sorted(sweep.notes, key=lambda path: (path not in known, len(path), path))
    for path in counted(paths, "Reading notes"):
        task = kept.task(path, sweep.notes[path])
        mapping, parsed = ({}, Parsed(task=task)) if task else _read(place, path, kept.context, known)
        if parsed.is_task_note:
            registry.put(path, _paused(parsed.task, paused), parsed.problems, now)
            entry = registry.entry(path)
            is_refused = task is not None and entry is not None and entry.task is None
            mappings[path] = kept.mapping(path) if is_refused else mapping
    chain_faults = _chain_faults(place, registry)
    items = [_item(place, kept.context, entry, mappings[entry.path], chain_faults, holds, now) for entry in registry]
    return Catalogue(
        items=tuple(sorted(items, key=lambda item: item.path)),
        general=(*settings_problems(place), *_unreadable(sweep.unreadable)),
        skipped=sweep.skipped,
        settings=place.settings_in_force,
    )


def _item(
    place: Place,
    context: ParseContext,
    entry: Entry,
    mapping: Mapping[str, object],
    chain_faults: Mapping[str, tuple[Fault, ...]],
    holds: Holds | None,
    now: datetime,
) -> Item:
    """How one note stands. A fault of ours in judging it is a problem of this note alone, as for the daemon."""
    try:
        return _judged(place, entry, _name(entry.task, entry.path, mapping, context), mapping, chain_faults, holds, now)
    except Exception as error:
        return Item(
            name=entry.task.id if entry.task else _below(entry.path, context),
            path=entry.path,
            task=None,
            problems=(*entry.problems, _fault_of_ours(entry.path, error)),
            standing=_INVALID,
            mapping=mapping,
        )


def _judged(
    place: Place,
    entry: Entry,
    name: str,
    mapping: Mapping[str, object],
    chain_faults: Mapping[str, tuple[Fault, ...]],
    holds: Holds | None,
    now: datetime,
) -> Item:
    faults = chain_faults.get(name, ()) if entry.task is not None else ()
    stands, waiting = _stand(place, entry.task, now, holds)
    stands = _with_fault(stands, faults[0], now) if faults else stands
    return Item(
        name=name,
        path=entry.path,
        task=entry.task,
        problems=(*entry.problems, *_chain_problems(place, entry.path, faults)),
        standing=stands,
        mapping=mapping,
        next_run=_next_run(entry.task, stands, now),
        waiting=waiting,
    )


def _chain_faults(place: Place, registry: Registry) -> Mapping[str, tuple[Fault, ...]]:
    """What is wrong with each task's `after` beside the other notes (rule 1.5)."""
    if not registry.has_chains:
        return {}
    from vault_scheduler.planning.chains import judge

    host = place.settings_in_force.host or place.machine.host
    return judge(registry, tasks_folder=place.vault.rel(place.vault.tasks_folder), host=host).faults


def _chain_problems(place: Place, path: str, faults: Collection[Fault]) -> list[Problem]:
    line = line_of(place, path, "after") if faults else 1
    return [fault.problem(path, line) for fault in faults]


def _with_fault(stands: Standing, fault: Fault, now: datetime) -> Standing:
    from vault_scheduler.planning.chains import stand_with

    return stand_with(stands, fault, now, now)


def _paused(task: Task | None, paused: Collection[str]) -> Task | None:
    is_paused = task is not None and task.id in paused and task.status is Status.ACTIVE
    return replace(task, status=Status.PAUSED) if task is not None and is_paused else task


def _read(
    place: Place, path: str, context: ParseContext, former: Collection[str]
) -> tuple[Mapping[str, object], Parsed]:
    from vault_scheduler.commands.note_reading import read_note

    return read_note(place, path, context, former)


def _unreadable(folders: Collection[str]) -> list[Problem]:
    fix = "Make it readable for you."
    return [Problem(path=f, line=1, key="", message="the folder cannot be listed", fix=fix) for f in folders]


def _strangers(place: Place, path: str) -> Iterator[Problem]:
    """Names in the settings note's `notify_to` that this machine, which runs the vault, does not know."""
    context, names = parse_context(place), place.settings_in_force.options.get("notify_to") or ()
    if names and context.notifiers is not None:
        from vault_scheduler.parsing.policy_fields import strangers  # few settings notes name anybody

        for message, fix in strangers(names, context.notifiers, context.config):
            line, cure = line_of(place, path, "notify_to"), fix if fix.endswith("?") else f"{fix}."
            yield Problem(path=path, line=line, key="notify_to", message=message, fix=cure, severity=Severity.WARNING)


def settings_problems(place: Place) -> tuple[Problem, ...]:
    """What is wrong with the settings note."""
    path = place.vault.rel(place.vault.settings_path)
    if place.settings is not None:
        return *place.settings.problems, *_strangers(place, path)
    fix = "Make one with `vault-sched init`."
    return (Problem(path=path, line=1, key="", message="the settings note is not there", fix=fix),)


def _name(task: Task | None, path: str, mapping: Mapping[str, object], context: ParseContext) -> str:
    if task is not None:
        return task.id
    from vault_scheduler.commands.note_reading import name_of

    return name_of(path, mapping, context) or _below(path, context)


def _below(path: str, context: ParseContext) -> str:
    return path.removeprefix(f"{context.tasks_folder}/").removesuffix(".md")


def _stand(place: Place, task: Task | None, now: datetime, holds: Holds | None) -> tuple[Standing, Waiting | None]:
    if task is None:
        return _INVALID, None
    waiting = holds.of(task) if holds else None
    held = waiting.why if waiting else ""
    settings, host = place.settings_in_force, place.machine.host
    return standing(task, settings, host=host, now=now, held=held), waiting


def _next_run(task: Task | None, stands: Standing, now: datetime) -> datetime | None:
    """The next fire time that would start a run; a task that is paused until a known moment has one, too."""
    if task is None:
        return None
    if stands.armed:
        return task.schedule.next_after(now)
    return task.schedule.next_after(stands.resumes - _MOMENT) if stands.resumes else None


def passed_problem(place: Place, item: Item) -> Problem | None:
    """What is wrong with a one-shot that has no run and whose time is too long ago to run late (rule 1.4)."""
    try:
        return _passed(place, item)
    except Exception as error:
        return _fault_of_ours(item.path, error)


def _passed(place: Place, item: Item) -> Problem | None:
    task = item.task
    if task is None or not item.standing.armed or item.next_run is not None:
        return None
    if task.schedule.until is not None and task.schedule.until < place.clock.now():
        return _over(place, item)
    if task.reacts or not task.schedule.is_one_shot:
        return None
    late = resolve(task, place.settings_in_force).max_late or timedelta(0)
    if task.schedule.next_after(place.clock.now() - late) is not None:
        return None
    fix = "Write a time that is still to come, or `status: done`."
    message = "the time has passed already, so it never runs"
    return Problem(path=item.path, line=line_of(place, item.path, "at"), key="at", message=message, fix=fix)


def _over(place: Place, item: Item) -> Problem:
    """A warning: the daemon calls such a task done."""
    return Problem(
        path=item.path,
        line=line_of(place, item.path, "until"),
        key="until",
        message="has passed already, so nothing fires",
        fix="Write a later one, or remove it.",
        severity=Severity.WARNING,
    )


def line_of(place: Place, path: str, key: str) -> int:
    """The line of a key in the note as it is now."""
    from vault_scheduler.commands import note_reading

    return note_reading.line_of(place, path, key)


def _fault_of_ours(path: str, error: Exception) -> Problem:
    from vault_scheduler.planning.known import internal_problem

    return internal_problem(path, error)
