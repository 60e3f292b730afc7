"""Which note holds which task, and which notes are rivals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vault_scheduler.planning.registry import Registry
from vault_scheduler.task import CommandAction, Problem, Status, Task, TaskType
from vault_scheduler.triggers.schedule import Schedule

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
BROKEN = (Problem(path="a.md", line=3, key="cron", message="no", fix=""),)


def task(path: str, definition: str = "", *, id_: str = "", status: Status = Status.ACTIVE) -> Task:
    return Task(
        id=id_ or path.removesuffix(".md"),
        path=path,
        type=TaskType.COMMAND,
        action=CommandAction(command="true"),
        schedule=Schedule(),
        status=status,
        definition=definition or path,
    )


def registry(*tasks: Task) -> Registry:
    found = Registry()
    for each in tasks:
        found.put(each.path, each, (), NOW)
    return found


def test_invalid_note_keeps_its_last_good_definition() -> None:
    """The task stays, since when it is invalid is remembered, and repairing it makes it whole."""
    found = registry(task("a.md"))
    assert found.put("a.md", None, BROKEN, NOW) == {"a"}
    found.put("a.md", None, BROKEN, NOW + timedelta(hours=1))
    entry = found.holder("a")
    assert entry is not None
    assert (entry.task, entry.invalid_since) == (task("a.md"), NOW)
    assert found.problems() == list(BROKEN)
    found.put("a.md", task("a.md"), (), NOW)
    assert entry.invalid_since is None
    assert found.problems() == []


def test_note_that_never_was_good_is_no_task() -> None:
    """Its problems are known, and no task is touched."""
    found = Registry()
    assert found.put("a.md", None, BROKEN, NOW) == set()
    assert (found.holder("a"), len(found), found.paths()) == (None, 0, {"a.md"})


def test_what_is_wrong_with_a_chain_stands_beside_what_is_wrong_with_the_note() -> None:
    """Each is repaired for itself, and both go with the note; the revision tells each change."""
    found, chain = registry(task("a.md")), (Problem(path="a.md", line=4, key="after", message="no", fix=""),)
    revisions = [found.revision]
    for step in (
        lambda: found.complain_of_chain("a", chain),
        lambda: found.put("a.md", None, BROKEN, NOW),
        lambda: found.complain_of_chain("a", ()),
        lambda: found.complain_of_chain("a", chain),
        lambda: found.put("a.md", task("a.md"), (), NOW),
    ):
        step()
        revisions.append(found.revision)
    assert revisions == sorted(set(revisions))
    assert found.problems() == list(chain)
    found.complain_of_chain("a", chain)
    found.complain_of_chain("nobody", chain)
    assert found.revision == revisions[-1]
    found.remove("a.md")
    assert found.problems() == []


def test_another_id_is_another_task() -> None:
    """Both the old and the new one stand differently."""
    found = registry(task("a.md"))
    assert found.put("a.md", task("a.md", id_="b"), (), NOW) == {"a", "b"}
    assert found.ids() == ["b"]


def test_id_belongs_to_who_came_first() -> None:
    """The second note is a problem until the first goes."""
    found = registry(task("z.md", id_="same"))
    second = task("a.md", id_="same")
    assert found.put("a.md", second, (), NOW) == set()
    assert [problem.key for problem in found.problems()] == ["id"]
    assert found.rivals_of("z.md") == ["a.md"]
    found.remove("z.md")
    assert found.put("a.md", second, (), NOW) == {"same"}
    assert found.problems() == []


@pytest.mark.parametrize("name", ["a 1.md", "a (1).md", "a copy.md", "a copy 2.md", "a - Copy.md", "a - Copy (3).md"])
def test_names_of_copies(name: str) -> None:
    """What file managers and sync programs call a copy, is one if it says the same."""
    found = registry(task("a.md", "same"))
    assert found.put(name, task(name, "same"), (), NOW) == set()
    assert len(found.problems()) == 1
    assert found.put(name, task(name, "other"), (), NOW) != set()
    assert found.problems() == []


@pytest.mark.parametrize("name", ["b.md", "a1.md", "copy.md", "sub/a 1.md"])
def test_other_names_may_say_the_same(name: str) -> None:
    """Two tasks that do the same are nobody's mistake if their names do not say so."""
    found = registry(task("a.md", "same"), task(name, "same"))
    assert found.problems() == []


def test_copy_stays_one_after_the_original_was_edited_or_renamed() -> None:
    """Only an edit of its own makes it a task; what is remembered of it survives a restart."""
    found = registry(task("a.md", "same"), task("a 1.md", "same"))
    found.put("a.md", task("a.md", "new"), (), NOW)
    found.move("a.md", "b.md")
    found.remove("a.md")
    found.put("b.md", task("b.md", "new"), (), NOW)
    found.put("a 1.md", task("a 1.md", "same"), (), NOW)
    assert len(found.problems()) == 1
    later = Registry(found.copies)
    for path, definition in (("b.md", "newer"), ("a 1.md", "same")):
        later.put(path, task(path, definition), (), NOW)
    assert later.ids() == ["b"]
    later.remove("b.md")
    later.put("a 1.md", task("a 1.md", "same"), (), NOW)
    assert later.ids() == ["a 1"]


def test_original_that_comes_after_its_copy() -> None:
    """Whichever is there first is the task, the other one the problem."""
    found = registry(task("a 1.md", "same"), task("a.md", "same"), task("a 2.md", "same"))
    assert found.ids() == ["a 1"]
    assert len(found.problems()) == 2


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        ((Status.ACTIVE, None), (Status.PAUSED, None), (Status.PAUSED, None)),
        ((Status.ACTIVE, None), (Status.STOPPED, None), (Status.STOPPED, None)),
        ((Status.PAUSED, None), (Status.ACTIVE, None), (Status.PAUSED, None)),  # counts with the rest of the edit
        ((Status.PAUSED, None), (None, None), (Status.PAUSED, None)),  # garbage
        ((Status.ACTIVE, None), (Status.ACTIVE, NOW), (Status.ACTIVE, NOW)),
        ((Status.ACTIVE, NOW), (Status.ACTIVE, None), (Status.ACTIVE, NOW)),
        ((Status.ACTIVE, NOW), (Status.ACTIVE, NOW - timedelta(1)), (Status.ACTIVE, NOW)),
    ],
)
def test_what_counts_at_once(
    before: tuple[Status, datetime | None], now: tuple[Status | None, datetime | None], after: tuple[object, object]
) -> None:
    """What holds a task back; what lets it go on does not."""
    found = Registry()
    found.put("a.md", task("a.md", status=before[0]), (), NOW)
    found.switch("a.md", before[0], before[1], False)
    found.switch("a.md", now[0], now[1], True)
    entry = found.holder("a")
    assert entry is not None
    assert entry.task is not None
    assert (entry.task.status, entry.task.paused_until, entry.task.run_now) == (*after, True)


def test_revision_counts_changes_of_problems() -> None:
    """Who has told the problems need not look through them again before it changes."""
    found = registry(task("a.md"))
    before = found.revision
    found.put("a.md", task("a.md", "other"), (), NOW)
    assert found.revision == before
    found.put("a.md", None, BROKEN, NOW)
    found.remove("a.md")
    assert found.revision == before + 2
