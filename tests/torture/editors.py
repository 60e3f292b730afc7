"""Editors that save the notes into which runs are delivered, every 50-500 ms, in all the ways that editors have.

`python -m tests.torture.editors`: rounds in turn. *Patient*: people pause now and then, and results have to wait for
that. *Impatient*: they never pause, and notes are written all the same after a time, which is made short here. The
notes of the tasks, the notes that runs write to, and the daily log are all typed into.
"""

from __future__ import annotations

import os
import random
import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from tests.torture.stage import Stage, Tally, seconds_wanted, stage, stop
from vault_scheduler.notes.note import Document
from vault_scheduler.notes.runs_section import run_ids
from vault_scheduler.text.merge import merge

SETTINGS = """---
status: active
host: one
timezone: UTC
note_quiet: 1s
note_interval: 1s
max_parallel: 40
---
"""
FILLER = "".join(f"# a remark of somebody, number {n}, that makes the note longer\n" for n in range(40))
NOTE = """---
{filler}type: command
every: 2s
keep_runs: 300
overlap: queue
output: "Out/{name}.md#Log"
command: "echo $VAULT_SCHED_RUN | tee -a {marks}"
---
Text.

## Mine
begin
"""
WAITS = {"daemon.note_writer.IMPATIENCE_S": 3.0, "daemon.turns.LONGEST_SETTLING": 1.0}
QUIET_S = 1.0
STALLED_S = 0.9  # below `note_quiet`: a text that is cut short for longer may count
LATE = ("paused", "a later fire time took its place")  # why a run of a busy machine does not start


class Editor(threading.Thread):
    """A program with which somebody types lines into one note; each save adds one."""

    def __init__(self, path: Path, word: str, *, seed: int, pauses: bool) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.word = word
        self.dice = random.Random(f"{word} {seed}")
        self.pauses = pauses
        self.typed: list[str] = []
        self.saved_at: list[float] = []  # the mtime that each save in place left
        self.longest_s = 0.0  # that a save took from truncating to the end: on a busy machine, seconds
        self.broken: BaseException | None = None
        self._over = threading.Event()

    def run(self) -> None:
        """Type until it is over."""
        try:
            while not self._over.is_set():
                burst_ends = time.monotonic() + self.dice.uniform(3.0, 7.0)
                while not self._over.is_set() and time.monotonic() < burst_ends:
                    self.rest(0.05, 0.5)
                    self.save()
                if self.pauses:
                    self._over.wait(4.0)
                    self.look_again()
            self.leave()
        except BaseException as error:
            self.broken = error

    def end(self) -> None:
        """Stop typing."""
        self._over.set()

    def save(self) -> None:
        """One more line is in the file after it."""
        raise NotImplementedError

    def look_again(self) -> None:
        """After a pause; a person may have looked at the note elsewhere."""

    def leave(self) -> None:
        """Close what is open."""

    def rest(self, least: float, most: float) -> None:
        """Do nothing for some seconds."""
        time.sleep(self.dice.uniform(least, most))

    def new_line(self) -> bytes:
        """What is typed next."""
        self.typed.append(f"{self.word} line {len(self.typed) + 1}.")
        return self.typed[-1].encode()

    def with_line(self, text: bytes) -> bytes:
        """The text with one more line below the last one of this editor."""
        line = self.new_line()
        last = self.typed[-2].encode() if len(self.typed) > 1 else b"begin"
        place = re.search(rb"^" + re.escape(last) + rb"\n?", text, re.M)
        at = place.end() if place else len(text)
        before = text[:at] if text[:at].endswith(b"\n") or not at else text[:at] + b"\n"
        return before + line + b"\n" + text[at:]

    def write_in_place(self, text: bytes) -> None:
        """Truncate, then write in two goes."""
        begun = time.monotonic()
        with self.path.open("wb", buffering=0) as file:
            self.rest(0.0, 0.05)
            file.write(text[: len(text) // 2])
            self.rest(0.0, 0.03)
            file.write(text[len(text) // 2 :])
            self.saved_at.append(os.fstat(file.fileno()).st_mtime)
        self.longest_s = max(self.longest_s, time.monotonic() - begun)


class Blind(Editor):
    """Has the whole text in memory and does not look at what is on the disk while somebody types."""

    text = b""

    def look_again(self) -> None:
        self.text = b""

    def save(self) -> None:
        self.text = self.with_line(self.text or self.path.read_bytes())
        self.write_in_place(self.text)


class Obsidian(Editor):
    """Takes in what others changed since it last read or wrote, then truncates and writes."""

    base = text = b""

    def save(self) -> None:
        disk = self.path.read_bytes()
        if disk != self.base:
            merged = merge(self.base, self.text, disk) if self.base else disk
            self.base, self.text = disk, self.text if merged is None else merged
        self.text = self.with_line(self.text)
        self.write_in_place(self.text)
        self.base = self.text


class Renamer(Editor):
    """Writes a new file and renames it over the old one, as vim and sync programs do."""

    def save(self) -> None:
        text = self.with_line(self.path.read_bytes())
        new = self.path.with_name(f".{self.path.name}.swp")
        new.write_bytes(text)
        self.rest(0.0, 0.005)
        new.replace(self.path)


class Holder(Editor):
    """Holds the file open for up to two and a half seconds before it writes into it."""

    def save(self) -> None:
        with self.path.open("r+b", buffering=0) as file:
            text = self.with_line(file.read())
            self.rest(0.0, 2.5 if self.dice.random() < 0.3 else 0.1)
            file.seek(0)
            file.truncate()
            file.write(text)


class Appender(Editor):
    """Opens the file once, and appends to it for many seconds, whatever becomes of its name."""

    file: BinaryIO | None = None

    def save(self) -> None:
        if self.dice.random() < 0.03:
            self.leave()
        if self.file is None:
            self.file = self.path.open("ab")
        self.file.write(self.new_line() + b"\n")
        self.file.flush()

    def leave(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


KINDS: dict[str, type[Editor]] = {kind.__name__.lower(): kind for kind in (Blind, Obsidian, Renamer, Holder, Appender)}


class Round:
    """One vault, a task for each kind of editor, and editors on all its notes."""

    def __init__(self, world: Stage, tally: Tally, *, seed: int, pauses: bool) -> None:
        self.world = world
        self.tally = tally
        self.pauses = pauses
        self.marks = world.outside / "marks"
        self.out = world.vault / "Out"
        self.out.mkdir()
        self.editors: list[Editor] = []
        for name, kind in KINDS.items():
            note = world.tasks / f"{name}.md"
            note.write_text(NOTE.format(filler=FILLER, name=name, marks=self.marks))
            self.editors.append(kind(note, f"{name} note", seed=seed, pauses=pauses))
            if kind is not Blind:  # results do not wait here until nobody types
                out = self.out / f"{name}.md"
                out.write_text("# Results\n\nbegin\n\n## Log\n\n## After\n")
                self.editors.append(kind(out, f"{name} out", seed=seed, pauses=pauses))

    def play(self, seconds: float) -> None:
        """Type and run, then let everything come to rest, then look."""
        world = self.world
        world.start()
        world.until(lambda: world.logs.is_dir() and any(world.logs.glob("*.md")), "the first result", 30)
        log = next(world.logs.glob("*.md"))
        self.editors.append(Obsidian(log, "obsidian log", seed=len(self.editors), pauses=self.pauses))
        for editor in self.editors:
            editor.start()
        time.sleep(seconds)
        self._end_typing()
        self._come_to_rest()
        stop(world)
        self.look()

    def _end_typing(self) -> None:
        for editor in self.editors:
            editor.end()
        for editor in self.editors:
            editor.join(30)
            self.tally.check(editor.broken is None, f"the editor {editor.word} broke: {editor.broken!r}")

    def _come_to_rest(self) -> None:
        """No more fire times; all that has ended is delivered, and no displaced file waits."""
        for name in KINDS:
            path = self.world.tasks / f"{name}.md"
            path.write_bytes(path.read_bytes().replace(b"type: command\n", b"type: command\nstatus: paused\n", 1))
        undone = "SELECT 1 FROM runs WHERE state != 'ended' UNION SELECT 1 FROM deliveries WHERE done_at IS NULL"
        self.world.until(lambda: self._is_rest(undone), "everything delivered and settled", 60)

    def _is_rest(self, undone: str) -> bool:
        if self.world.rows(undone) or self.world.temps():
            return False
        time.sleep(2.5)  # what vanished is put back after somebody's last save
        return not self.world.rows(undone) and not self.world.temps()

    # what has to hold

    def look(self) -> None:
        """Compare what was typed and what ran with what stands in the notes."""
        runs = self.world.rows("SELECT id, task, outcome, reason, fire_time FROM runs")
        ran = self.marks.read_text().split() if self.marks.exists() else []
        self.tally.count(
            rounds=1,
            saves=sum(len(editor.typed) for editor in self.editors),
            runs=len(runs),
            writes=len(self.world.rows("SELECT DISTINCT done_at, target FROM deliveries")),
            copies=len(self.world.copies()),
        )
        self.tally.check(len(ran) == len(set(ran)), "a run ran twice")
        for run in runs:
            fine = run["reason"] in LATE or (run["outcome"] == "success" and run["id"] in ran)
            self.tally.check(fine, f"{run['id']} of {run['task']}: {run['outcome']} {run['reason']}")
        log = self.world.log_text()
        for name in KINDS:
            mine = [run["id"] for run in runs if run["task"] == name]
            self._look_at_task(name, mine, {run["id"] for run in runs if run["outcome"] == "success"}, log)
        for editor in self.editors:
            self._look_at_typed(editor)
        self._look_for_beliefs()
        if self.pauses:
            self._look_at_patience()

    def _look_at_task(self, name: str, runs: list[str], finished: set[str], log: str) -> None:
        data = (self.world.tasks / f"{name}.md").read_bytes()
        document = Document.parse(data)
        self.tally.check(document.fault is None and FILLER.encode() in data, f"{name}.md is damaged")
        standing = run_ids(data)
        out = self.out / f"{name}.md"
        result = out.read_text() if out.exists() else ""
        for run in runs:
            counts = (data.count(f"^{run}".encode()), len(re.findall(rf"\^{run}$", log, re.M)), result.count(f"^{run}"))
            for place, count in zip(("note", "log", "output"), counts, strict=True):
                if count == 0 and (run in finished or place != "output"):
                    self.tally.lost(f"run {run} of {name}: not in its {place}")
                self.tally.check(count < 2, f"run {run} of {name} stands {count} times in its {place}")
            self.tally.check(counts[0] != 1 or run in standing, f"run {run} of {name} is not in the runs section")

    def _look_at_typed(self, editor: Editor) -> None:
        lines = Counter(editor.path.read_text().split("\n"))
        copies = "".join(copy.read_text() for copy in self.world.copies())
        for line in editor.typed:
            if not lines[line]:
                kept = " (but kept in a conflict copy)" if line in copies else ""
                self.tally.lost(f"{line!r} of {len(editor.typed)} in {editor.path.name}{kept}")
            self.tally.check(lines[line] < 2, f"{line!r} stands {lines[line]} times in {editor.path.name}")

    def _look_for_beliefs(self) -> None:
        """Nothing was ever said about a note that was only half written, unless it was so for long."""
        stalled = sum(editor.longest_s > STALLED_S for editor in self.editors)
        self.tally.count(stalled_editors=stalled)
        if stalled:
            return
        for line in self.world.told().splitlines():
            bad = "problem" in line and "another program wrote into the file" not in line
            self.tally.check(not bad, f"the daemon said: {line.strip()}")

    def _look_at_patience(self) -> None:
        """Results came into tasks' notes only when nobody had saved them for `note_quiet`."""
        marks = self.world.rows(
            "SELECT DISTINCT d.done_at, r.task FROM deliveries d JOIN runs r ON r.id = d.run WHERE target = 'note'"
        )
        writes = early = 0
        for editor in self.editors:
            mine = [mark["done_at"] for mark in marks if editor.path == self.world.tasks / f"{mark['task']}.md"]
            hits = [[at for at in editor.saved_at if m - 0.7 * QUIET_S < at < m - 0.15] for m in mine]
            writes, early = writes + len(mine), early + sum(bool(hit) for hit in hits)
        # A mark tells when the daemon began to look; on a busy machine it writes up to a second later.
        self.tally.check(early <= 1 + writes // 10, f"{early} of {writes} writes came while somebody typed")


def attack(tally: Tally, *, seed: int, pauses: bool, seconds: float) -> None:
    """One round in a vault of its own."""
    waits = {**WAITS, "daemon.note_writer.IMPATIENCE_S": 300.0} if pauses else WAITS
    with stage(SETTINGS, waits=waits) as world:
        before = len(tally.faults)
        Round(world, tally, seed=seed, pauses=pauses).play(seconds)
        if len(tally.faults) > before and "--keep" in sys.argv:
            raise SystemExit(tally.close())


def main() -> int:
    """Rounds until the time is over."""
    tally = Tally("editors")
    until = time.monotonic() + seconds_wanted(300)
    seed = 0
    while time.monotonic() < until:
        attack(tally, seed=seed, pauses=seed % 2 == 1, seconds=25.0)
        seed += 1
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
