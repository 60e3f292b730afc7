"""Who comes `after` whom: links resolved as Obsidian does, what is wrong with chains, whom a run starts (rule 1.5)."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from vault_scheduler.errors import internal
from vault_scheduler.planning.planner import ON_TIME, STILL_RUNNING, USED_UP
from vault_scheduler.planning.registry import Entry, Registry
from vault_scheduler.planning.standing import LAST_GOOD_GRACE, Standing, State
from vault_scheduler.run import Outcome
from vault_scheduler.task import AfterOutcome, CatchUp, Overlap, Policies, Problem, Task

_LONGEST_CYCLE = 20
"""Names of a cycle that are told; a longer one is told in part."""


class Fault(NamedTuple):
    """What is wrong with a task's `after`, and what to write instead."""

    message: str
    fix: str

    @property
    def reason(self) -> str:
        """Why nothing starts, in the words of a run that is `blocked`."""
        return f"after: {self.message}"

    def problem(self, path: str, line: int) -> Problem:
        """The same as a problem of the note."""
        return Problem(path=path, line=line, key="after", message=self.message, fix=self.fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """All chains of a vault as its notes are now."""

    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # task with `after` → ids that links lead to
    faults: Mapping[str, tuple[Fault, ...]] = field(default_factory=dict)  # task → what is wrong with its `after`


def judge(notes: Iterable[Entry], *, tasks_folder: str, host: str) -> Judgement:
    """Resolve every link of every `after`, and look for cycles. `host`: where tasks run that name none."""
    notes = list(notes)
    names = _Names(notes, tasks_folder)
    parents: dict[str, tuple[str, ...]] = {}
    faults: dict[str, tuple[Fault, ...]] = {}
    for child in notes:
        if child.task is None or not child.task.after:
            continue
        found = _resolve_all(child.task, names, host)
        parents[child.task.id] = tuple(dict.fromkeys(parent for parent in found if isinstance(parent, str)))
        if wrong := tuple(fault for fault in found if isinstance(fault, Fault)):
            faults[child.task.id] = wrong
    for task, cycle in _cycles(parents).items():
        faults[task] = (*faults.get(task, ()), _cycle_fault(cycle))
    return Judgement(parents=parents, faults=faults)


def _resolve_all(child: Task, names: _Names, host: str) -> list[str | Fault]:
    """Where the links of a task lead to. A fault of ours in finding that out is a problem of this task alone."""
    try:
        return [_resolve(link, child, names, host) for link in child.after]
    except Exception as error:
        return [Fault(f"internal error: {internal(error)}; please report it", "")]


def _resolve(link: str, child: Task, names: _Names, host: str) -> str | Fault:
    """The id of the task that a link leads to."""
    found = names.find(link, child.path)
    if not found:
        return Fault(f"there is no task {link!r}", "Correct the link, or write that task.")
    if len(found) > 1:
        paths = sorted(note.path for note in found)
        known, first = ", ".join(paths), paths[0].removesuffix(".md")
        return Fault(f"{link!r} may be any of {known}", f'Write the whole path, such as `"[[{first}]]"`.')
    parent = found[0].task
    if parent is None:
        return Fault(f"{found[0].path} is no valid task", "Correct that note first.")
    theirs, ours = parent.host or host, child.host or host
    if theirs != ours:
        fix = "Let both run on one host: what happens on another one is not known here."
        return Fault(f"{parent.id!r} runs on {theirs}, and this task on {ours}", fix)
    return parent.id


# names


class _Names:
    """Finds the notes that a link may mean: as Obsidian does, and then the task with that `id`."""

    def __init__(self, notes: Iterable[Entry], tasks_folder: str) -> None:
        self._folder = _folded(tasks_folder)
        self._by_name: defaultdict[str, list[tuple[str, Entry]]] = defaultdict(list)  # with the folded path
        self._by_id: defaultdict[str, list[Entry]] = defaultdict(list)
        for note in notes:
            path = _folded(note.path.removesuffix(".md"))
            self._by_name[path.rpartition("/")[2]].append((path, note))
            if note.task is not None:
                self._by_id[_folded(note.task.id)].append(note)

    def find(self, link: str, source: str) -> list[Entry]:
        """The notes that the link in the note `source` fits."""
        target = _target(link, source)
        folded = _folded(target)
        named = self._by_name.get(folded.rpartition("/")[2], ())
        return (
            _spelled([note for path, note in named if path in (folded, f"{self._folder}/{folded}")], target)
            or [note for path, note in named if path.endswith(f"/{folded}")]
            or self._by_id.get(folded, [])
        )


def _spelled(found: list[Entry], target: str) -> list[Entry]:
    """Of notes whose paths differ in case alone, the one with the very same letters."""
    same = [note for note in found if _composed(note.path.removesuffix(".md")).endswith(target)]
    return same if len(same) == 1 else found


def _target(link: str, source: str) -> str:
    """The link without what is no part of a path in the vault (`./`, `../`, a leading slash)."""
    link = _composed(link).removesuffix(".md")
    if link.startswith(("./", "../")):
        link = posixpath.normpath(posixpath.join(posixpath.dirname(_composed(source)), link))
    return link.strip("/")


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else _composed(_composed(text).casefold())


# cycles


def _cycles(parents: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Each task that comes after itself → its way round, in the order in which they would start one another."""
    children: dict[str, set[str]] = {task: set() for task in parents}
    for task, before in parents.items():
        for parent in before:
            if parent in children:
                children[parent].add(task)
    _prune(children)
    found: dict[str, list[str]] = {}
    for task in sorted(children):
        if task in found:
            continue
        way = _way_back(task, children)
        for place, member in enumerate(way):
            found.setdefault(member, [*way[place:], *way[:place], member])
    return found


def _prune(children: dict[str, set[str]]) -> None:
    """Leave only tasks that have both a parent and a child among those that are left."""
    parents: dict[str, set[str]] = {task: set() for task in children}
    for task, after in children.items():
        for child in after:
            parents[child].add(task)
    loose = [task for task in children if not (children[task] and parents[task])]
    while loose:
        task = loose.pop()
        if task not in children:
            continue
        for child in children.pop(task):
            parents[child].discard(task)
            loose += [child] if not parents[child] else []
        for parent in parents.pop(task):
            if parent in children:
                children[parent].discard(task)
                loose += [parent] if not children[parent] else []


def _way_back(task: str, children: Mapping[str, Collection[str]]) -> list[str]:
    """The shortest way from a task to itself, without its end; empty if there is none."""
    came_from: dict[str, str] = {}
    ahead = deque([task])
    while ahead:
        here = ahead.popleft()
        for child in sorted(children[here]):
            if child == task:
                way = [here]
                while way[-1] != task:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if child not in came_from:
                came_from[child] = here
                ahead.append(child)
    return []


def _cycle_fault(cycle: list[str]) -> Fault:
    if len(cycle) > _LONGEST_CYCLE:
        left = len(cycle) - _LONGEST_CYCLE
        cycle = [*cycle[: _LONGEST_CYCLE - 1], f"({left} more)", cycle[-1]]
    return Fault(f"this task comes after itself: {' → '.join(cycle)}", "Take one of these links away.")


# what is in force


@dataclass(slots=True, kw_only=True)
class _Wrong:
    """A chain that is wrong, and from when on that counts."""

    faults: tuple[Fault, ...]
    blocks_from: datetime
    told_from: datetime
    is_told: bool = False
    blocks: bool = False


class Chains:
    """The chains in force.

    Renaming a parent breaks links until Obsidian has rewritten them, and that edit counts later: so a chain that was
    good stays as it was for 60 s, as a note does that becomes invalid (rule 3.1). One that never was good starts
    nothing from the beginning, but is told after those 60 s only: notes that are written together arrive one after the
    other. What is wrong when the daemon starts is told at once.
    """

    def __init__(self) -> None:
        self._mark: object = None  # what the judgement in force is about
        self._judged = Judgement()
        self._good: dict[str, tuple[str, ...]] = {}  # task with `after` → its parents, when its links last were good
        self._wrong: dict[str, _Wrong] = {}
        self._children: dict[str, tuple[str, ...]] = {}

    @property
    def judged(self) -> bool:
        """Whether there was a first look."""
        return self._mark is not None

    def look(self, registry: Registry, *, tasks_folder: str, host: str, now: datetime) -> set[str]:
        """Judge anew if notes have changed in what matters here. The ids of tasks that may stand differently now.

        `host`: where tasks run that name none. Call it only when all notes are known.
        """
        mark, is_first = (registry.chain_revision, host), self._mark is None
        touched: set[str] = set()
        if mark != self._mark:
            if registry.has_chains or self._judged.parents:
                touched = self._take(judge(registry, tasks_folder=tasks_folder, host=host), now, is_first)
            self._mark = mark
        return touched | self._ripen(now)

    def _take(self, judged: Judgement, now: datetime, is_first: bool) -> set[str]:
        before, self._judged = self._judged, judged
        self._good = {task: parents for task, parents in self._good.items() if task in judged.parents}
        touched = {task for task in before.faults if task not in judged.faults}
        for task in touched:
            self._wrong.pop(task, None)
        for task, parents in judged.parents.items():
            if task not in judged.faults:
                self._good[task] = parents
        for task, faults in judged.faults.items():
            if before.faults.get(task) != faults:
                touched.add(task)
                self._wrong[task] = self._now_wrong(task, faults, now, is_first)
        self._put_in_force(now)
        return touched

    def _put_in_force(self, now: datetime) -> None:
        parents = {task: self._good.get(task) or found for task, found in self._judged.parents.items()}
        children: defaultdict[str, list[str]] = defaultdict(list)
        for task, before in parents.items():
            for parent in before:
                children[parent].append(task)
        self._children = {parent: tuple(sorted(tasks)) for parent, tasks in children.items()}
        for task in _cycles(parents):  # what two chains were when each was last good may go round together
            if task in self._wrong:
                self._wrong[task].blocks_from = min(now, self._wrong[task].blocks_from)

    def _now_wrong(self, task: str, faults: tuple[Fault, ...], now: datetime, is_first: bool) -> _Wrong:
        known = self._wrong.get(task)
        if known is not None:
            return replace(known, faults=faults, is_told=False)
        later = now if is_first else now + LAST_GOOD_GRACE
        return _Wrong(faults=faults, blocks_from=later if task in self._good else now, told_from=later)

    def _ripen(self, now: datetime) -> set[str]:
        """The tasks whose faults begin to count."""
        ripe: set[str] = set()
        for task, wrong in self._wrong.items():
            if (not wrong.blocks and now >= wrong.blocks_from) or (not wrong.is_told and now >= wrong.told_from):
                wrong.blocks, wrong.is_told = now >= wrong.blocks_from, now >= wrong.told_from
                ripe.add(task)
        return ripe

    def rename(self, old: str, new: str) -> None:
        """A task goes on under another id, also as somebody's parent."""
        self._good = {
            new if task == old else task: tuple(new if parent == old else parent for parent in parents)
            for task, parents in self._good.items()
        }
        if old in self._wrong:
            self._wrong[new] = self._wrong.pop(old)

    def children_of(self, task: str) -> tuple[str, ...]:
        """The tasks that come after this one."""
        return self._children.get(task, ())

    def faults(self, task: str) -> tuple[Fault, ...]:
        """What is wrong with the task's `after`, once it is to be told."""
        wrong = self._wrong.get(task)
        return wrong.faults if wrong is not None and wrong.is_told else ()

    def stand(self, task: str, stands: Standing, now: datetime) -> Standing:
        """How a task stands that would stand like this, were it not for its chain."""
        wrong = self._wrong.get(task)
        return stands if wrong is None else stand_with(stands, wrong.faults[0], wrong.blocks_from, now)


def stand_with(stands: Standing, fault: Fault, blocks_from: datetime, now: datetime) -> Standing:
    """How a task stands whose chain is wrong, and counts as wrong from an instant on."""
    if stands.state not in (State.ARMED, State.HELD):
        return stands
    if now >= blocks_from:
        return Standing(state=State.INVALID, reason=fault.reason, since=stands.since)
    return replace(stands, until=min(stands.until or blocks_from, blocks_from))


# whom a run starts


def qualifies(wanted: AfterOutcome, outcome: Outcome | None) -> bool:
    """Whether a run that ended like this starts a task with this `after_outcome`."""
    if outcome is Outcome.SUCCESS:
        return wanted in (AfterOutcome.SUCCESS, AfterOutcome.ANY)
    return outcome is not None and outcome.is_failed and wanted in (AfterOutcome.FAILURE, AfterOutcome.ANY)


def is_due(task: Task, ended_at: datetime, since: datetime | None) -> bool:
    """Whether the end of a parent's run makes the task due: within its bounds, and not before it was set going."""
    return task.schedule.covers(ended_at) and (since is None or ended_at > since)


def why_not(
    ended_at: datetime,
    now: datetime,
    *,
    standing: Standing,
    policies: Policies,
    overlapping: bool,
    room: int | None,
    absence: Callable[[datetime], str],
    overlap_reason: str = STILL_RUNNING,
) -> tuple[Outcome, str] | None:
    """How a child ends that does not start, though it is due since its parent's run ended; None: it is claimed.

    In the order of rule 4. Other than fire times, the ends of runs are never collapsed: each of them is one run.
    """
    late, policy = now - ended_at, policies.catch_up
    limit = ON_TIME if policy is CatchUp.SKIP else max(policies.max_late or ON_TIME, ON_TIME)
    if standing.state.blocks:
        return Outcome.BLOCKED, standing.reason
    if late > limit and policy is not CatchUp.ALL:
        return Outcome.MISSED, absence(ended_at)
    if overlapping and policies.overlap is Overlap.SKIP:
        return Outcome.SKIPPED, overlap_reason
    if room == 0:
        return Outcome.SKIPPED, USED_UP
    return None
