"""The real daemon writes into notes that other people write into as well: nothing of either is lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from vault_scheduler.notes.runs_section import run_ids

if TYPE_CHECKING:
    from tests.process.conftest import World

PATIENT = """---
status: active
timezone: UTC
---
"""

# An editor with the whole text in memory, which saves it every 200 ms and never looks at what is on the disk.
TYPIST = """
import sys, time
from pathlib import Path
path, text, until = Path(sys.argv[1]), sys.argv[2], time.monotonic() + float(sys.argv[3])
number = 0
while time.monotonic() < until:
    number += 1
    text += f"word{number} "
    with path.open("w") as file:
        file.write(text)
    time.sleep(0.2)
print(number, time.time())
"""


def lines_of(world: World, run: str) -> int:
    return len(re.findall(rf"^- .* \^{run}$", world.log_text(), re.M))


def a_note_that_is_typed_into(world: World) -> None:
    """15 s of saves five times a second: every word stays, every run arrives, and only after the last save."""
    text = '---\ntype: command\nevery: 3s\ncommand: "echo ran"\n---\n'
    note = world.tasks / "typed.md"
    note.write_text(text)
    world.start()
    world.ended("typed")
    world.delivered("typed")
    note_text = note.read_text()
    typist = subprocess.run(
        [sys.executable, "-c", TYPIST, str(note), f"{note_text}\n\n", "15"], capture_output=True, text=True, check=True
    )
    number, last_save = int(typist.stdout.split()[0]), float(typist.stdout.split()[1])
    ended = [run["id"] for run in world.runs("typed") if run["state"] == "ended"]
    assert len(ended) >= 2
    world.until(lambda: set(ended) <= run_ids(note.read_bytes()), "all results are in the note")
    words = "".join(f"word{n} " for n in range(1, number + 1))
    assert words in note.read_text()
    marks = world.rows("SELECT d.done_at FROM deliveries d WHERE target = 'note' ORDER BY done_at")
    assert not [mark for mark in marks if mark["done_at"] and last_save - 14 < mark["done_at"] < last_save]
    assert all(lines_of(world, run) == 1 for run in ended)


def a_half_typed_edit(world: World) -> None:
    """With the settings people have (10 s, 30 s): what stood there for three seconds never ran; few writes."""
    world.settings.write_text(PATIENT)
    note = world.tasks / "typed.md"
    out = world.outside / "words"

    def save(word: str) -> None:
        note.write_text(f'---\ntype: command\nevery: 1s\ncommand: "echo {word} >> {out}"\n---\n')

    save("old")
    calm = world.note("calm", 'type: command\nevery: 1s\ncommand: "true"')
    versions = {calm.read_bytes()}
    long_ago = time.time() - 60
    for path in (note, calm):
        os.utime(path, (long_ago, long_ago))
    world.start()
    world.until(out.exists, "the first run")
    save("half")
    half_at = time.monotonic()
    while time.monotonic() < half_at + 3:
        versions.add(calm.read_bytes())
        time.sleep(0.1)
    save("whole")
    saved = time.monotonic()
    while "whole" not in out.read_text():
        assert time.monotonic() < saved + 20
        versions.add(calm.read_bytes())
        time.sleep(0.1)
    assert time.monotonic() - saved > 9
    assert set(out.read_text().split()) == {"old", "whole"}
    assert len(versions) <= 2  # as it was, and with what had ended by the first write


def many_runs_between_two_writes(world: World) -> None:
    """`note_interval`: the note is written once in that time, with all runs that are pending by then."""
    world.settings.write_text(PATIENT.replace("timezone", "note_quiet: 1s\nnote_interval: 5s\ntimezone"))
    note = world.note("often", 'type: command\nevery: 1s\ncommand: "true"')
    world.start()
    counts, until = [0], time.monotonic() + 12
    while time.monotonic() < until:
        count = len(run_ids(note.read_bytes()))
        if count != counts[-1]:
            counts.append(count)
        time.sleep(0.05)
    assert 3 <= len(counts) <= 4, counts
    assert all(later - earlier >= 4 for earlier, later in pairwise(counts[1:])), counts


def a_stale_copy_is_written_back(world: World) -> None:
    """What vanishes soon after our write is put back once, in note and log; after that it counts as deleted."""
    note = world.note("stale", 'type: command\ncron: 0 0 29 2 *\nrun_now: true\ncommand: "echo ran"', "Text.\n")
    world.start()
    (run,) = world.ended("stale")
    world.delivered()
    world.until(lambda: "run_now: false" in note.read_text(), "unticked")
    with_run = note.read_text()
    without = with_run[: with_run.index("## Runs")]
    log = next(world.logs.glob("*.md"))
    time.sleep(1.2)
    note.write_text(without + "Typed meanwhile.\n")
    log.write_text("# mine\n")
    world.until(lambda: run["id"] in note.read_text(), "the note has it again")
    world.until(lambda: lines_of(world, run["id"]) == 1, "the log has it again", 35)
    assert "Typed meanwhile." in note.read_text()
    assert log.read_text().startswith("# mine\n")
    note.write_text(without)
    time.sleep(4)
    assert note.read_text() == without


def a_note_that_cannot_be_written_to(world: World) -> None:
    """A broken frontmatter is left alone; when it is repaired, the result arrives."""
    keys = 'type: command\ncron: 0 0 29 2 *\nrun_now: true\ncommand: "sleep 1.5; echo ran"'
    note = world.note("broken", keys)
    world.start()
    world.until(lambda: "run_now: false" in note.read_text(), "unticked")
    good, broken = note.read_text(), "---\ntype: command\ncron: */5 * * * *\n---\n"
    note.write_text(broken)
    (run,) = world.ended("broken")
    world.until(lambda: "a result could not be written" in world.told(), "it is said")
    assert note.read_text() == broken
    note.write_text(good)
    world.until(lambda: run["id"] in note.read_text(), "the result arrives")
    assert lines_of(world, run["id"]) == 1


def an_output_note(world: World) -> None:
    """It is replaced while it is ours; a person's changes are kept, the new text goes beside it; headings grow."""
    whole = world.vault / "Reports" / "Whole.md"
    world.note("whole", 'type: command\ncron: 0 0 29 2 *\noutput: Reports/Whole.md\ncommand: "date +%s%N"')
    world.note("part", 'type: command\ncron: 0 0 29 2 *\noutput: "Mine#Log {{title}}"\ncommand: "echo \'line one\'"')
    mine = world.vault / "Mine.md"
    mine.write_text("# Mine\n\n## Log part\n\n## After\nstays")
    world.start()
    assert world.sched("run", "whole", "--wait").returncode == 0
    world.until(lambda: whole.exists(), "the first text")
    first = whole.read_text()
    assert first.startswith("```text\n")
    assert world.sched("run", "whole", "--wait").returncode == 0
    world.until(lambda: whole.read_text() != first, "the second text")
    whole.write_text("my own words\n")
    assert world.sched("run", "whole", "--wait").returncode == 0
    sibling = world.until(lambda: list(whole.parent.glob("Whole ?*.md")), "a sibling")[0]
    assert whole.read_text() == "my own words\n"
    assert sibling.read_text().startswith("```text\n")
    world.until(lambda: "Reports/Whole.md was changed by somebody" in world.log_text(), "it is in the log")
    for _ in range(2):
        assert world.sched("run", "part", "--wait").returncode == 0
    world.delivered("part")
    text = mine.read_text()
    assert text.count("line one") == 2
    assert text.startswith("# Mine\n\n## Log part\n\n```text\nline one\n```\n\n^r-")
    assert text.endswith("\n\n## After\nstays")


def bytes_that_are_not_ours(world: World) -> None:
    """CRLF, BOM, comments, odd YAML, invalid UTF-8 and a missing final newline survive every write."""
    head = b'\xef\xbb\xbf---\r\ntype:   command # a comment\r\nother: {a: 1}\r\nevery: "1d"\r\n'
    tail = b"command: 'echo hi'\r\n---\r\nBody \xff\xfe\r\n\r\n## Mine\r\nlast line without an end"
    note = world.tasks / "bytes.md"
    note.write_bytes(head + b"run_now: true\r\n" + tail)
    world.start()
    (run,) = world.ended("bytes")
    world.delivered()
    world.until(lambda: b"run_now: false" in note.read_bytes(), "unticked")
    data = note.read_bytes()
    assert data.startswith(head + b"run_now: false\r\n")
    ours = re.sub(rb"(last_run|last_status|next_run): [^\r\n]*\r\n", b"", data)
    before, _, runs = ours.partition(b"\r\n\r\n## Runs\r\n")
    assert before == head + b"run_now: false\r\n" + tail
    assert run["id"].encode() in runs
    assert b"\n" not in runs.replace(b"\r\n", b"")


def a_quiet_log(world: World) -> None:
    """`log`: with `changes` only what is new is told, with `failures` only what failed, with `none` nothing."""
    counter = world.outside / "n"
    flip = f"echo x >> {counter}; test $(wc -l < {counter}) -le 2"
    for log, command in {"changes": flip, "failures": "true", "none": "false"}.items():
        world.note(log, f'type: command\ncron: 0 0 29 2 *\nlog: {log}\ncommand: "{command}"')
    world.start()
    for _ in range(4):
        world.sched("run", "changes", "--wait")
    for log in ("failures", "none"):
        world.sched("run", log, "--wait")
    world.delivered()
    ids = [run["id"] for run in world.runs("changes")]
    assert [lines_of(world, run) for run in ids] == [1, 0, 1, 0]
    assert run_ids((world.tasks / "changes.md").read_bytes()) == {ids[0], ids[2]}
    for log in ("failures", "none"):
        (run,) = world.runs(log)
        assert lines_of(world, run["id"]) == 0
        text = (world.tasks / f"{log}.md").read_text()
        assert "## Runs" not in text
        world.until(lambda log=log: "last_status:" in (world.tasks / f"{log}.md").read_text(), "its properties")  # type: ignore[misc]


def next_run_without_a_run(world: World) -> None:
    """`next_run` stands in the note soon after it was written, follows an edit, and is emptied by a pause."""
    note = world.note("daily", 'type: command\ncron: "0 7 * * *"\ncommand: "true"')
    often = world.note("often", 'type: command\nevery: 1m\nlog: none\ncommand: "true"')
    before = often.read_text()
    world.start()
    world.until(lambda: re.search(r"^next_run: .*T07:00:00", note.read_text(), re.M), "07:00")
    note.write_text(note.read_text().replace("0 7 * * *", "30 8 * * *"))
    world.until(lambda: re.search(r"^next_run: .*T08:30:00", note.read_text(), re.M), "08:30")
    note.write_text(_paused(note.read_text()))
    world.until(lambda: re.search(r"^next_run:\s*$", note.read_text(), re.M), "empty")
    assert often.read_text() == before
    assert world.runs("daily") == []


def failures_in_a_row(world: World) -> None:
    """`pause_after` pauses the task in its note and says why; a person who resumes it finds the reason gone."""
    note = world.note("flaky", 'type: command\nevery: 1s\npause_after: 2\ncommand: "exit 1"')
    world.start()
    world.until(lambda: re.search(r"^status: paused$", note.read_text(), re.M), "paused")
    assert re.search(r'^status_reason: "?\d+ failures in a row"?$', note.read_text(), re.M)
    world.delivered()
    count = len(world.runs("flaky"))
    time.sleep(2)
    assert len(world.runs("flaky")) == count
    note.write_text(note.read_text().replace("status: paused", "status: active"))
    world.until(lambda: re.search(r"^status_reason:\s*$", note.read_text(), re.M), "the reason is gone")


def _paused(text: str) -> str:
    return text.replace("type: command\n", "type: command\nstatus: paused\n", 1)


SCENES = [
    failures_in_a_row,
    many_runs_between_two_writes,
    a_note_that_is_typed_into,
    a_half_typed_edit,
    a_stale_copy_is_written_back,
    a_note_that_cannot_be_written_to,
    an_output_note,
    bytes_that_are_not_ours,
    a_quiet_log,
    next_run_without_a_run,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_delivery(scene: Callable[[World], None], play: Callable[[Callable[[World], None]], None]) -> None:
    """What the scene's own sentence says."""
    play(scene)
