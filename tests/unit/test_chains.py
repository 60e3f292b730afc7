"""Links of `after` resolved as Obsidian does, cycles, faults that count later, and whom the end of a run starts."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.planning.chains import Chains, is_due, judge, qualifies, stand_with, why_not
from vault_scheduler.planning.registry import Entry, Registry
from vault_scheduler.planning.standing import Standing, State
from vault_scheduler.run import Outcome
from vault_scheduler.task import AfterOutcome, CatchUp, CommandAction, Overlap, Policies, Task, TaskType
from vault_scheduler.triggers.schedule import Schedule

T = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FOLDER = "00_system/tasks"


def a_task(name: str, *after: str, **changes: Any) -> Task:
    """A task in the note `tasks/<name>.md`."""
    fields: dict[str, Any] = {
        "id": name,
        "path": f"{FOLDER}/{name}.md",
        "type": TaskType.COMMAND,
        "action": CommandAction(command="true"),
        "schedule": Schedule(),
        "after": after,
        "definition": f"{name}{after}",
    }
    return Task(**{**fields, **changes})


def entries(*tasks: Task) -> list[Entry]:
    return [Entry(path=task.path, task=task) for task in tasks]


def faults_of(*tasks: Task, host: str = "here") -> dict[str, list[str]]:
    judged = judge(entries(*tasks), tasks_folder=FOLDER, host=host)
    return {task: [fault.message for fault in faults] for task, faults in judged.faults.items()}


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("Fetch mail", "Fetch mail"),  # the name alone, in the same folder
        ("Fetch mail", "Mail/Fetch mail"),  # … in any folder
        ("fetch MAIL", "Fetch mail"),  # Obsidian cares for no case
        ("Mail/Fetch mail", "Mail/Fetch mail"),  # below tasks/
        ("00_system/tasks/Mail/Fetch mail", "Mail/Fetch mail"),  # from the vault's root
        ("/00_system/tasks/Fetch mail", "Fetch mail"),
        ("tasks/Fetch mail", "Fetch mail"),  # the end of the path
        ("Inner/Fetch mail", "Mail/Inner/Fetch mail"),
        ("./Fetch mail", "Fetch mail"),  # from where the child is
        ("../tasks/Mail/Fetch mail", "Mail/Fetch mail"),
        ("./Mail/Fetch mail.md", "Mail/Fetch mail"),
        (unicodedata.normalize("NFD", "Zürich"), unicodedata.normalize("NFC", "Zürich")),
        (unicodedata.normalize("NFC", "ZÜRICH"), unicodedata.normalize("NFD", "Zürich")),
        ("v1.2", "v1.2"),  # a dot is part of a name
    ],
)
def test_a_link_leads_to_the_note_that_obsidian_opens(link: str, path: str) -> None:
    """By path, by the end of a path, or by the name alone."""
    parent, child = a_task(path), a_task("child", link)
    judged = judge(entries(a_task("other"), parent, child), tasks_folder=FOLDER, host="here")
    assert (judged.parents, judged.faults) == ({"child": (parent.id,)}, {})


def test_a_link_may_name_the_id_of_a_task() -> None:
    """But a note of that name comes first."""
    parent = a_task("Mail/Fetch", id="fetch-mail")
    assert judge(entries(parent, a_task("c", "fetch-mail")), tasks_folder=FOLDER, host="").parents == {
        "c": ("fetch-mail",)
    }
    note = a_task("fetch-mail", id="else")
    assert judge(entries(parent, note, a_task("c", "fetch-mail")), tasks_folder=FOLDER, host="").parents == {
        "c": ("else",)
    }


def test_the_exact_path_wins_over_the_name_alone() -> None:
    """`Fetch` is the note right below tasks/, though another folder has one of that name."""
    tasks = entries(a_task("Fetch"), a_task("Mail/Fetch"), a_task("c", "Fetch"), a_task("d", "Mail/Fetch"))
    assert judge(tasks, tasks_folder=FOLDER, host="").parents == {"c": ("Fetch",), "d": ("Mail/Fetch",)}


def test_links_to_one_task_are_one_parent() -> None:
    """However they are spelled."""
    judged = judge(entries(a_task("a"), a_task("c", "a", "A", f"{FOLDER}/a")), tasks_folder=FOLDER, host="")
    assert judged.parents == {"c": ("a",)}


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([a_task("c", "nobody")], "there is no task 'nobody'"),
        (
            [a_task("x/Fetch"), a_task("y/fetch"), a_task("c", "Fetch")],
            "'Fetch' may be any of 00_system/tasks/x/Fetch.md, 00_system/tasks/y/fetch.md",
        ),
        ([a_task("p", host="far"), a_task("c", "p")], "'p' runs on far, and this task on here"),
        ([a_task("p"), a_task("c", "p", host="far")], "'p' runs on here, and this task on far"),
        ([a_task("c", "c")], "this task comes after itself: c → c"),
    ],
)
def test_what_a_chain_cannot_be(tasks: list[Task], message: str) -> None:
    """A parent that is not there, or nobody knows which, or out of reach, or oneself."""
    assert faults_of(*tasks) == {"c": [message]}


@pytest.mark.parametrize("hosts", [(None, None), ("far", "far"), (None, "here"), ("here", None)])
def test_parent_and_child_on_one_host_are_fine(hosts: tuple[str | None, str | None]) -> None:
    """Also both on another one: the daemon there looks after them."""
    assert faults_of(a_task("p", host=hosts[0]), a_task("c", "p", host=hosts[1])) == {}


def test_paths_that_differ_in_case_alone_are_told_apart_by_it() -> None:
    """On a disk that keeps both, the one with the very same letters is meant."""
    tasks = entries(a_task("Fetch"), a_task("fetch"), a_task("c", "fetch"), a_task("d", "FETCH"))
    judged = judge(tasks, tasks_folder=FOLDER, host="")
    assert judged.parents["c"] == ("fetch",)
    assert set(judged.faults) == {"d"}


def test_a_link_to_a_note_that_never_was_valid_is_a_fault() -> None:
    """There is nothing yet that it could come after."""
    notes = [Entry(path=f"{FOLDER}/p.md"), *entries(a_task("c", "p"))]
    [fault] = judge(notes, tasks_folder=FOLDER, host="").faults["c"]
    assert fault.message == "00_system/tasks/p.md is no valid task"


def test_every_link_is_judged_for_itself() -> None:
    """A task with one good link and two bad ones has two faults, and the good parent."""
    judged = judge(entries(a_task("p"), a_task("c", "p", "x", "y")), tasks_folder=FOLDER, host="")
    assert judged.parents["c"] == ("p",)
    assert len(judged.faults["c"]) == 2


def test_each_task_of_a_cycle_tells_its_way_round() -> None:
    """Who hangs on a cycle, or lies between two of them, is not to blame."""
    tasks = [a_task("a", "c"), a_task("b", "a"), a_task("c", "b"), a_task("x", "y", "c"), a_task("y", "x")]
    tasks += [a_task("between", "a"), a_task("x2", "x2", "between"), a_task("tail", "b")]
    assert faults_of(*tasks) == {
        "a": ["this task comes after itself: a → b → c → a"],
        "b": ["this task comes after itself: b → c → a → b"],
        "c": ["this task comes after itself: c → a → b → c"],
        "x": ["this task comes after itself: x → y → x"],
        "y": ["this task comes after itself: y → x → y"],
        "x2": ["this task comes after itself: x2 → x2"],
    }


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_exactly_the_tasks_that_reach_themselves_are_cycles(links: list[tuple[int, int]]) -> None:
    """Against all ways through the graph, and each way round that is told exists."""
    after: dict[int, list[str]] = {number: [] for number in range(8)}
    for parent, child in links:
        after[child].append(f"t{parent}")
    judged = judge(
        entries(*(a_task(f"t{number}", *before) for number, before in after.items())), tasks_folder=FOLDER, host=""
    )
    reach = {(parent, child) for parent, child in links}
    for via in range(8):
        reach |= {(a, b) for a in range(8) for b in range(8) if (a, via) in reach and (via, b) in reach}
    assert set(judged.faults) == {f"t{number}" for number in range(8) if (number, number) in reach}
    for task, [fault] in judged.faults.items():
        way = fault.message.rpartition(": ")[2].split(" → ")
        assert way[0] == way[-1] == task
        assert all((int(a[1:]), int(b[1:])) in set(links) for a, b in pairwise(way))


@pytest.mark.timeout(60)
def test_a_cycle_of_thousands_is_found_and_told_in_part() -> None:
    """Neither depth nor size is a limit."""
    count = 5000
    found = faults_of(*(a_task(f"t{n}", f"t{(n + 1) % count}") for n in range(count)))
    assert len(found) == count
    assert "(4981 more)" in found["t0"][0]
    assert len(found["t0"][0]) < 300


# what is in force


class Notes:
    """Notes that change, and the chains in force."""

    def __init__(self, *tasks: Task) -> None:
        self.registry = Registry()
        self.chains = Chains()
        for task in tasks:
            self.put(task)

    def put(self, task: Task, now: datetime = T) -> None:
        self.registry.put(task.path, task, (), now)

    def look(self, now: datetime = T) -> set[str]:
        return self.chains.look(self.registry, tasks_folder=FOLDER, host="here", now=now)

    def state(self, task: str, now: datetime) -> str:
        return self.chains.stand(task, Standing(state=State.ARMED), now).state.value


def test_nothing_is_judged_again_unless_paths_ids_links_or_hosts_changed() -> None:
    """What a task does, and when by the clock, is no matter of chains."""
    notes = Notes(a_task("p"), a_task("c", "p"))
    notes.look()
    before = notes.registry.chain_revision
    notes.put(a_task("p", definition="another", run_now=True))
    notes.registry.put(f"{FOLDER}/p.md", None, (), T)  # invalid: as last good
    assert notes.registry.chain_revision == before
    for changed in (a_task("p", host="far"), a_task("p", id="q"), a_task("p", "c"), a_task("new")):
        notes.put(changed)
        assert notes.registry.chain_revision > before
        before = notes.registry.chain_revision


def test_without_any_after_nothing_is_looked_at() -> None:
    """Ten thousand tasks without chains cost nothing, whatever changes."""

    class Untouchable(Registry):
        def __iter__(self) -> Any:
            raise AssertionError("no note is looked at")

    notes = Notes()
    notes.registry = Untouchable()
    for number in range(3):
        notes.put(a_task(f"t{number}"))
        assert notes.look() == set()


def test_a_broken_link_counts_after_a_minute() -> None:
    """Until then the parent that was good still counts; then the task is invalid, and its problem is told."""
    notes = Notes(a_task("p"), a_task("c", "p"))
    assert notes.look() == set()
    notes.registry.remove(f"{FOLDER}/p.md")
    assert notes.look() == {"c"}
    assert (notes.state("c", T), notes.chains.faults("c")) == ("armed", ())
    assert notes.chains.stand("c", Standing(state=State.ARMED), T).until == T + MINUTE
    assert notes.chains.children_of("p") == ("c",)
    assert notes.look(T + MINUTE * 0.9) == set()
    assert notes.look(T + MINUTE) == {"c"}
    assert notes.state("c", T + MINUTE) == "invalid"
    assert [fault.message for fault in notes.chains.faults("c")] == ["there is no task 'p'"]
    assert notes.look(T + 2 * MINUTE) == set()


def test_a_rename_of_the_parent_goes_unnoticed() -> None:
    """The link is rewritten a few seconds later; until then the parent counts under its new name."""
    notes = Notes(a_task("p"), a_task("c", "p"))
    notes.look()
    notes.registry.remove(f"{FOLDER}/p.md")
    notes.put(a_task("q"))
    notes.chains.rename("p", "q")
    notes.look()
    assert (notes.chains.children_of("q"), notes.chains.children_of("p")) == (("c",), ())
    notes.put(a_task("c", "q"))
    assert notes.look(T + MINUTE / 6) == {"c"}
    assert notes.look(T + 2 * MINUTE) == set()
    assert notes.state("c", T + 2 * MINUTE) == "armed"


def test_a_rename_of_the_child_keeps_its_parents() -> None:
    """Also while its link is broken, and the minute goes on."""
    notes = Notes(a_task("p"), a_task("c", "p"))
    notes.look()
    notes.registry.remove(f"{FOLDER}/p.md")
    notes.look()
    notes.registry.remove(f"{FOLDER}/c.md")
    notes.put(a_task("d", "p"))
    notes.chains.rename("c", "d")
    notes.look(T + MINUTE / 2)
    assert notes.chains.children_of("p") == ("d",)
    assert (notes.state("d", T + MINUTE / 2), notes.state("d", T + MINUTE)) == ("armed", "invalid")


def test_what_is_wrong_at_the_start_counts_at_once() -> None:
    """A restart makes no broken chain good for a minute."""
    notes = Notes(a_task("c", "nobody"))
    assert notes.look() == {"c"}
    assert notes.state("c", T) == "invalid"
    assert notes.chains.faults("c")


def test_a_new_task_with_a_broken_link_starts_nothing_but_is_told_later() -> None:
    """Its parent's note may be on its way: child and parent are written one after the other."""
    notes = Notes(a_task("x"))
    notes.look()
    notes.put(a_task("c", "p"))
    assert notes.look() == {"c"}
    assert (notes.state("c", T), notes.chains.faults("c")) == ("invalid", ())
    notes.put(a_task("p"))
    assert notes.look(T + MINUTE / 6) == {"c"}
    assert (notes.state("c", T), notes.chains.faults("c")) == ("armed", ())
    assert notes.look(T + 2 * MINUTE) == set()


def test_another_fault_does_not_begin_a_new_minute() -> None:
    """Who edits a broken link into another broken one is not excused again; what is told is the new one."""
    notes = Notes(a_task("p"), a_task("c", "p"))
    notes.look()
    notes.put(a_task("c", "x"))
    notes.look()
    notes.put(a_task("c", "y"))
    notes.look(T + MINUTE / 2)
    assert notes.look(T + MINUTE) == {"c"}
    assert [fault.message for fault in notes.chains.faults("c")] == ["there is no task 'y'"]
    notes.put(a_task("c", "z"))
    notes.look(T + 2 * MINUTE)
    assert [fault.message for fault in notes.chains.faults("c")] == ["there is no task 'z'"]


def test_links_that_were_last_good_at_different_times_never_go_round() -> None:
    """`a` came after `b` and is broken now, and `b` comes after `a`: they do not start each other."""
    notes = Notes(a_task("a", "b"), a_task("b"))
    notes.look()
    notes.put(a_task("a", "nobody"))
    notes.look()
    assert notes.state("a", T) == "armed"
    notes.put(a_task("b", "a"))
    notes.look()
    assert (notes.state("a", T), notes.state("b", T)) == ("invalid", "armed")


@pytest.mark.parametrize("state", [state for state in State if state not in (State.ARMED, State.HELD)])
def test_a_task_that_is_not_due_anyhow_stays_as_it_is(state: State) -> None:
    """Paused is paused, whatever its links say."""
    [fault] = judge(entries(a_task("c", "x")), tasks_folder=FOLDER, host="").faults["c"]
    stands = Standing(state=state, reason="so")
    assert stand_with(stands, fault, T, T) == stands


# whom a run starts


@pytest.mark.parametrize(
    ("wanted", "outcomes"),
    [
        (AfterOutcome.SUCCESS, {Outcome.SUCCESS}),
        (AfterOutcome.FAILURE, {Outcome.FAILURE, Outcome.TIMEOUT, Outcome.ABANDONED}),
        (AfterOutcome.ANY, {Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.ABANDONED}),
    ],
)
def test_which_outcomes_qualify(wanted: AfterOutcome, outcomes: set[Outcome]) -> None:
    """Blocked, skipped, missed and cancelled start nothing, not even with `any`."""
    assert {outcome for outcome in Outcome if qualifies(wanted, outcome)} == outcomes
    assert not qualifies(wanted, None)


@pytest.mark.parametrize(
    ("bounds", "since", "due"),
    [
        ({}, None, True),
        ({}, T - MINUTE, True),
        ({}, T, False),  # it was set going at that very instant
        ({}, T + MINUTE, False),
        ({"start": T}, None, True),
        ({"start": T + MINUTE}, None, False),
        ({"until": T}, None, True),
        ({"until": T - MINUTE}, None, False),
    ],
)
def test_the_end_of_a_run_counts_within_the_bounds(
    bounds: Mapping[str, Any], since: datetime | None, due: bool
) -> None:
    """`start` and `until` are included; what ended before the child was set going is none of its business."""
    assert is_due(a_task("c", "p", schedule=Schedule(**bounds)), T, since) is due


@pytest.mark.parametrize(
    ("changes", "late", "expected"),
    [
        ({}, MINUTE, None),
        ({}, 11 * 60 * MINUTE, None),
        ({}, 13 * 60 * MINUTE, (Outcome.MISSED, "asleep")),
        ({"policies": {"max_late": 5 * MINUTE}}, 6 * MINUTE, (Outcome.MISSED, "asleep")),
        ({"policies": {"max_late": timedelta(0)}}, MINUTE, None),  # up to a minute is on time
        ({"policies": {"catch_up": CatchUp.SKIP}}, MINUTE, None),
        ({"policies": {"catch_up": CatchUp.SKIP}}, 2 * MINUTE, (Outcome.MISSED, "asleep")),
        ({"policies": {"catch_up": CatchUp.ALL}}, 99 * 60 * MINUTE, None),
        ({"standing": Standing(state=State.HELD, reason="why")}, 99 * 60 * MINUTE, (Outcome.BLOCKED, "why")),
        ({"standing": Standing(state=State.INVALID, reason="why")}, MINUTE, (Outcome.BLOCKED, "why")),
        ({"overlapping": True}, MINUTE, (Outcome.SKIPPED, "still running")),
        ({"overlapping": True, "policies": {"overlap": Overlap.QUEUE}}, MINUTE, None),
        ({"overlapping": True, "policies": {"overlap": Overlap.CANCEL}}, MINUTE, None),
        ({"overlapping": True, "policies": {"overlap": Overlap.ALLOW}}, MINUTE, None),
        ({"room": 1}, MINUTE, None),
        ({"room": 0}, MINUTE, (Outcome.SKIPPED, "max_runs is used up")),
    ],
)
def test_why_a_child_that_is_due_does_not_start(
    changes: Mapping[str, Any], late: timedelta, expected: tuple[Outcome, str] | None
) -> None:
    """In the order of rule 4: blocked, missed, skipped."""
    policies = Policies(**{"max_late": timedelta(hours=12), **changes.get("policies", {})})
    verdict = why_not(
        T,
        T + late,
        standing=changes.get("standing", Standing(state=State.ARMED)),
        policies=policies,
        overlapping=changes.get("overlapping", False),
        room=changes.get("room"),
        absence=lambda _: "asleep",
    )
    assert verdict == expected
