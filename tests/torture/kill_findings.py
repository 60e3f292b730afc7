"""What has to agree after a daemon was killed again and again: ledger, notes, logs, and the world outside."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import frontmatter

from tests.process.conftest import World
from tests.torture.kill_vault import KINDS, SETTINGS, Kind

Row = dict[str, Any]

_OURS = re.compile(r"^(last_run|last_status|next_run|status_reason):.*\n", re.M)
_BLOCK = re.compile(r"^(> \[![a-z]+\]- \d{4}-.*\n(?:>.*\n)*?> \^r-\S+\n|- \d{4}-.* \^r-\S+\n)", re.M)
_ID = re.compile(r"\^(r-\d{8}T\d{6}Z-[0-9a-f]+)$", re.M)
_QUALIFIES = {
    "success": {"success"},
    "failure": {"failure", "timeout", "abandoned"},
    "any": {"success", "failure", "timeout", "abandoned"},
}


@dataclass(frozen=True)
class Ledger:
    """All rows that count, read once."""

    runs: list[Row]
    attempts: list[Row]
    deliveries: list[Row]
    requests: list[Row]
    unfollowed: list[Row]
    integrity: str

    @classmethod
    def read(cls, path: Path) -> Ledger:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            db.row_factory = sqlite3.Row

            def rows(table: str) -> list[Row]:
                return [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY 1")]

            return cls(
                runs=rows("runs"),
                attempts=rows("attempts"),
                deliveries=rows("deliveries"),
                requests=rows("requests"),
                unfollowed=rows("unfollowed"),
                integrity=str(db.execute("PRAGMA integrity_check").fetchone()[0]),
            )

    def of(self, task: str) -> list[Row]:
        return [run for run in self.runs if run["task"] == task]


def faults(world: World, told: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Everything that is not as it was promised.

    `told`: run id → key of runs whose attempt the ledger had told of while they were under way. `expected`: task → its
    note as its person wrote it, later edits included.
    """
    ledger = Ledger.read(world.state / "ledger.db")
    marks = [line.split() for line in (world.outside / "marks.txt").read_text().splitlines()]
    checks: Sequence[Iterator[str]] = (
        _of_ledger(world, ledger, told),
        _of_attempts(ledger, marks),
        _of_fire_times(ledger),
        _of_followers(ledger),
        _of_notes(world, ledger, expected),
        _of_logs(world, ledger),
        _of_outputs(world, ledger),
        _of_what_was_said(world),
    )
    return [fault for check in checks for fault in check]


def _of_ledger(world: World, ledger: Ledger, told: Mapping[str, str]) -> Iterator[str]:
    if ledger.integrity != "ok":
        yield f"the ledger is damaged: {ledger.integrity}"
    yield from (f"set aside: {path.name}" for path in world.state.glob("*corrupt*"))
    known = {run["id"]: run["key"] for run in ledger.runs}
    yield from (f"{key} was under way and is forgotten" for run, key in told.items() if known.get(run) != key)
    for run in ledger.runs:
        if run["state"] != "ended" or not run["outcome"]:
            yield f"{run['key']} has no outcome: {run['state']}"
    yield from (f"{row['run']} was never followed" for row in ledger.unfollowed)
    yield from (f"request {row['id']}: {row['state']}" for row in ledger.requests if row["state"] != "answered")
    answers = [json.loads(row["answer"]).get("run") for row in ledger.requests if row["answer"]]
    yield from (f"two requests, one run: {run}" for run, n in Counter(filter(None, answers)).items() if n > 1)
    for row in ledger.deliveries:
        if row["done_at"] is None:
            yield f"{row['run']} is not delivered to {row['target']}: {row['why']}"
    yield from _of_orders(ledger)


def _of_orders(ledger: Ledger) -> Iterator[str]:
    """What was cancelled, and told to be, is not tried again, whoever died after it."""
    runs = {run["id"]: run for run in ledger.runs}
    for request in ledger.requests:
        cancelled = json.loads(request["answer"] or "{}").get("cancelled", ())
        for run in cancelled:
            later = [row for row in ledger.attempts if row["run"] == run and row["started_at"] > request["answered_at"]]
            if run not in runs:
                continue  # it waited, and is counted in a row of those that did not start
            by_itself = "not retried: cancelled" not in runs[run]["reason"]  # what waited ends as its last attempt did
            if later or (runs[run]["outcome"] == "abandoned" and by_itself):
                yield f"{runs[run]['key']} was cancelled: {runs[run]['outcome']}, {len(later)} attempts after that"


def _of_attempts(ledger: Ledger, marks: Sequence[Sequence[str]]) -> Iterator[str]:
    """What the attempts themselves left outside of the vault."""
    runs = {run["id"]: run for run in ledger.runs}
    retries = {kind.name: kind.retries for kind in KINDS}
    begun = Counter((mark[0], mark[1], mark[2]) for mark in marks if mark[3:] == ["begun"])
    for (task, name, number), times in begun.items():
        if times > 1:
            yield f"attempt {number} of {name} ({task}) was executed {times} times"
        if name not in runs:
            yield f"{name} ({task}) was executed and is not in the ledger"
        elif int(number) > runs[name]["attempts"]:
            yield f"attempt {number} of {name} ({task}) is not in the ledger"
    yield from (f"{' '.join(mark)}" for mark in marks if mark[3:] != ["begun"])
    of_run: dict[str, list[Row]] = defaultdict(list)
    for attempt in ledger.attempts:
        of_run[attempt["run"]].append(attempt)
    for run in runs.values():
        numbers = [attempt["number"] for attempt in sorted(of_run[run["id"]], key=lambda row: row["number"])]
        if numbers != list(range(1, run["attempts"] + 1)):
            yield f"{run['key']}: {run['attempts']} attempts, recorded {numbers}"
        if run["attempts"] > 1 + retries[run["task"]]:
            yield f"{run['key']}: {run['attempts']} attempts with {retries[run['task']]} retries"
        if run["outcome"] == "success" and (run["task"], run["id"], str(run["attempts"])) not in begun:
            yield f"{run['key']}: success, but it was never executed"
        if run["attempts"] and any(attempt["state"] != "ended" for attempt in of_run[run["id"]]):
            yield f"{run['key']}: an attempt has not ended"


def _of_fire_times(ledger: Ledger) -> Iterator[str]:
    """From the first to the last one, each multiple of the interval is settled once: by a run, or counted in a row."""
    for kind in KINDS:
        rows = [run for run in ledger.of(kind.name) if run["trigger"] == "at"]
        rows.sort(key=lambda run: (run["fire_time"], run["last_fire_time"]))
        for row in rows:
            if kind.every and row["count"] != (row["last_fire_time"] - row["fire_time"]) // kind.every + 1:
                yield f"{row['key']}: {row['count']} fire times from {row['fire_time']} to {row['last_fire_time']}"
        for row, following in pairwise(rows):
            step = following["fire_time"] - row["last_fire_time"]
            if step != kind.every:
                yield f"{following['key']} ({following['outcome']}) is {step} s after {row['key']} ({row['outcome']})"
        started = sum(1 for row in rows if row["attempts"])
        if started > int(str(kind.more.get("max_runs", kind.more.get("pause_after", started)))):
            yield f"{kind.name}: {started} runs were started"


def _of_followers(ledger: Ledger) -> Iterator[str]:
    """Each run of a parent that qualifies has one child, or is counted in a row of those that did not start."""
    for kind in KINDS:
        wanted = _QUALIFIES[str(kind.more.get("after_outcome", "success"))]
        parents = [run for run in ledger.runs if run["task"] in kind.parents and run["attempts"]]
        qualifying = {run["id"] for run in parents if run["outcome"] in wanted}
        children = [run for run in ledger.of(kind.name) if run["trigger"] == "after"]
        count = sum(run["count"] for run in children)
        if count != len(qualifying):
            yield f"{kind.name}: {count} children of {len(qualifying)} qualifying runs"
        of_parent = Counter(json.loads(run["extra"])["parent"] for run in children)
        yield from (f"{kind.name}: {n} children of {parent}" for parent, n in of_parent.items() if n > 1)
        yield from (f"{kind.name}: a child of {p}, which does not qualify" for p in of_parent if p not in qualifying)


def _of_notes(world: World, ledger: Ledger, expected: Mapping[str, str]) -> Iterator[str]:
    for kind in KINDS:
        try:
            text = (world.tasks / f"{kind.name}.md").read_bytes().decode()
            keys = frontmatter.loads(text).metadata
        except Exception as error:
            yield f"{kind.name}.md cannot be read: {error!r}"
            continue
        if keys.get("tags") != ["mine"] or keys.get("run_now") is not False:
            yield f"{kind.name}.md reads otherwise: {keys}"
        if users_text(text) != users_text(expected[kind.name]):
            yield f"{kind.name}.md: the person's text differs: {users_text(text)!r}"
        yield from _of_blocks(kind, text, ledger)
    if re.sub(r"^host: .*\n", "", world.settings.read_text(), flags=re.M) != SETTINGS:
        yield f"the settings note differs: {world.settings.read_text()!r}"


def users_text(text: str) -> tuple[str, list[str], str]:
    """Before the section of runs byte for byte without our properties, the lines in it, and what follows it."""
    head, _, rest = text.partition("## Runs\n")
    section, heading, tail = rest.partition("## Mine\n")
    head = _OURS.sub("", re.sub(r"^(run_now|status): \w+", r"\1:", head, flags=re.M))
    return head, [line for line in _BLOCK.sub("", section).split("\n") if line.strip()], heading + tail


def _of_blocks(kind: Kind, text: str, ledger: Ledger) -> Iterator[str]:
    standing = _ID.findall(text)
    ids = sorted((run["id"] for run in ledger.of(kind.name)), reverse=True)
    yield from (f"{kind.name}.md: {run} stands {n} times" for run, n in Counter(standing).items() if n > 1)
    yield from (f"{kind.name}.md: {run} is no run of it" for run in standing if run not in ids)
    if len(standing) != min(kind.keep, len(ids)):
        yield f"{kind.name}.md: {len(standing)} of {len(ids)} runs, {kind.keep} are kept"
    # The newest failure and the newest run that started are kept though they may be older.
    yield from (f"{kind.name}.md: {run} is missing" for run in ids[: kind.keep - 2] if run not in standing)


def _of_logs(world: World, ledger: Ledger) -> Iterator[str]:
    lines = Counter(run for line in world.log_text().split("\n") if line.startswith("- ") for run in _ID.findall(line))
    for run in ledger.runs:
        if lines[run["id"]] != 1:
            yield f"{run['key']} ({run['outcome']}) stands {lines[run['id']]} times in the daily log"
    known = {run["id"] for run in ledger.runs}
    yield from (f"{run} stands in the daily log and is no run" for run in lines if run not in known)


def _of_outputs(world: World, ledger: Ledger) -> Iterator[str]:
    def successes(task: str) -> list[Row]:
        return sorted(
            (run for run in ledger.of(task) if run["outcome"] == "success"),
            key=lambda run: (run["fire_time"], run["seq"]),
        )

    out = world.vault / "Out"
    headed = (out / "headed.md").read_text()
    if not (headed.startswith("Mine.\n\n## Results\n") and headed.endswith("\n## Else\nAlso mine.\n")):
        yield "headed.md: the person's text differs"
    for run in successes("appends"):
        if headed.count(f"^{run['id']}\n") != 1 or headed.count(f"said by {run['id']}\n") != 1:
            yield f"headed.md: {run['id']} stands {headed.count(run['id'])} times"
    for run in successes("replaces")[-1:]:
        if f"said by {run['id']}" not in (out / "whole.md").read_text():
            yield f"whole.md: not of the newest run {run['id']}: {(out / 'whole.md').read_text()!r}"
    dated = sorted(path.read_text() for path in out.glob("????-??-?? *.md"))
    wanted = sorted(f"```text\nsaid by {run['id']}\n```\n" for run in successes("dated"))
    if dated != wanted:
        yield f"{len(dated)} dated outputs of {len(wanted)} runs"
    known = {"whole.md", "headed.md"}
    others = [path.name for path in out.glob("*.md") if path.name not in known and not path.name[0].isdigit()]
    yield from (f"a sibling of an output: {name}" for name in others)


def _of_what_was_said(world: World) -> Iterator[str]:
    for word in ("Traceback", "internal error", "could not be"):
        lines = [line for line in world.told().split("\n") if word in line]
        yield from (f"the daemon said: {line}" for line in lines[:5])
    told = world.log_text().split("\n")
    yield from (f"a problem in the daily log: {line}" for line in told if line.startswith("- ") and "⚠" in line)
