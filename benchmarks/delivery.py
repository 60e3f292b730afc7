"""Delivering a run into a large note: 10,000 past runs, a body of 900 KB, a frontmatter of 100 KB (1 MiB is the limit).

Run it with `make bench` or `python benchmarks/delivery.py`. Prints the time of the pass that delivers, into the note
and into the daily log, and the bytes that it reads and writes, beside the floor: to read the note, to write it into a
temporary file, fsync it, rename it over the note, and fsync the folder. A plain note, and how it grows with the body
and with the number of past runs, beside it.

Above the floor stands what shows that nothing is lost and nothing else changes: the bytes are hashed before and after,
the file is read again before the exchange, and what was displaced after it and once more three seconds later; and the
daily log is written, durably as well. A note that is as our last write left it is not parsed again. The first write
after somebody's edit parses the frontmatter before and after (100 KB are 1,100 properties) and scans the body for
headings; beside it the floor with one parse by the YAML library.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import yaml
from support.figures import Figure, Finding, Growth, median, rounds
from support.program import run

from vault_scheduler.platform.replace import BUSY_S
from vault_scheduler.testing_world import World

BEGIN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ROUNDS = 9
LARGE = (900_000, 100_000, 10_000)
WHY = (
    "the run is written into two files, the note and the daily log, each durably. And what shows that nothing is lost "
    "takes three more reads of the note and a hash of all of it before and after"
)
LINE = "Some sentence of a long note, with a [[link]] and *words* in it.\n"
PAST = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
    "INSERT INTO runs (id, key, task, path, trigger, fire_time, last_fire_time, count, claimed_at, owner, state, "
    "snapshot, waiting_for, outcome, reason, started_at, ended_at, attempts, reserved_usd, result, extra) "
    "SELECT 'r-past-' || i, 'past|' || i, 't', '00_system/tasks/t.md', 'at', ? - i * 60, ? - i * 60, 1, ? - i * 60, "
    "'', 'ended', '', '', 'success', '', ? - i * 60, ? - i * 60, 1, 0, NULL, '{}' FROM n"
)


def make(root: Path, body: int, frontmatter: int, past: int) -> World:
    """A world with a note of that size and so many past runs, which fires each minute."""
    world = World(root, BEGIN, settings="status: active\nhost: here\nnote_quiet: 1s\nnote_interval: 1s")
    mine = "".join(f"mine_{number}: {'x' * 80}\n" for number in range(frontmatter // 90))
    world.command("t", f"every: 1m\n{mine}", body="# Long\n\n" + LINE * (body // len(LINE)))
    world.start()
    with world.store._file.write(durable=True) as change:
        change.run(PAST, past, *[BEGIN.timestamp()] * 5)
    world.advance(185)
    assert world.text("t").count("\n- ") >= 1, "the note has runs"
    return world


def io_of() -> tuple[int, int]:
    """Bytes that this process has read and written (Linux)."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"]), int(lines["wchar"])


def touch(world: World) -> None:
    """Somebody changes a letter of the body."""
    was, now = ("# Long", "# Lung") if "# Long" in world.text("t") else ("# Lung", "# Long")
    world.edit("t", was, now)


def deliver(world: World, *, edited: bool = False) -> tuple[float, int, int]:
    """Milliseconds, bytes read and bytes written of delivering one run into the note."""
    if edited:
        touch(world)
    before, spent, moved = world.text("t"), 0.0, (0, 0)
    scribe = world.daemon.scribe
    plain = scribe.deliver

    async def measured(*args, **more):
        nonlocal spent, moved
        was, begin = io_of(), perf_counter()
        found = await plain(*args, **more)
        spent += perf_counter() - begin
        moved = tuple(sum + now - then for sum, now, then in zip(moved, io_of(), was, strict=True))
        return found

    time.sleep(BUSY_S)  # its minutes go by in a moment: the daily log is not to look as if somebody were saving it
    scribe.deliver = measured
    world.advance(60)
    scribe.deliver = plain
    assert world.text("t") != before
    return 1000 * spent, *moved


def floor(path: Path, *, parse: bool = False) -> None:
    """Read the note, write it anew, make it durable."""
    data = path.read_bytes()
    if parse:
        yaml.load(data[4 : data.index(b"\n---\n", 4)].decode(), Loader=yaml.CSafeLoader)
    aside = path.with_name(".floor.tmp")
    with aside.open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def delivered(
    body: int, frontmatter: int, past: int, *, edited: bool = False
) -> tuple[float, float, float, float, float]:
    """Medians: milliseconds, bytes read, bytes written; bytes of the note; milliseconds of the floor."""
    with tempfile.TemporaryDirectory() as place:
        world = make(Path(place), body, frontmatter, past)
        found = [deliver(world, edited=edited) for _ in range(ROUNDS)]
        note = world.path("t").read_bytes()
        world.close()
        copy = Path(place, "copy.md")
        copy.write_bytes(note)
        least = 1000 * median(rounds(lambda: floor(copy, parse=edited), 21))
    return (*(median(values) for values in zip(*found, strict=True)), len(note), least)


def measure(options: argparse.Namespace) -> Iterator[Finding]:
    """The large note, a plain one, and growth."""
    large = "10,000 past runs, 900 KB of body, 100 KB of frontmatter"
    for name, sizes, target, edited in (
        (large, LARGE, 2.0, False),
        (f"{large}, right after an edit", LARGE, None, True),
        ("a plain note", (1000, 100, 10), None, False),
    ):
        took, read, wrote, size, least = delivered(*sizes, edited=edited)
        yield Figure(
            group="delivery",
            name=f"{name} ({size / 1000:,.0f} KB; read {read / 1000:,.0f} KB, wrote {wrote / 1000:,.0f} KB)",
            value=took,
            target=round(target * least, 1) if target else None,
            floor=least,
            floor_is="read, write, fsync, rename, fsync of the folder" + ", one parse by the YAML library" * edited,
            why=WHY,
        )
    for name, over, of in (
        ("a run into a note of so many bytes", "bytes", lambda n: (n, 100, 10)),
        ("a run after so many past ones", "past runs", lambda n: (1000, 100, n)),
    ):
        found = [(n, delivered(*of(n))) for n in (1000, 10_000, 100_000, *[900_000] * (over == "bytes"))]
        yield Growth(
            group="delivery",
            name=name,
            unit="ms",
            over=over,
            points=tuple((n, row[0]) for n, row in found),
            floor=tuple((n, row[4]) for n, row in found),
        )


if __name__ == "__main__":
    run(__doc__, measure)
