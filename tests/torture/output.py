"""Hostile output through the real daemon: `python -m tests.torture.output [--seconds N] [--seed N] [--big]`.

First in process: note, daily log and output note after runs that printed what Hypothesis could think of. Then live:
commands, python tasks, gates and failures print fences, frontmatter, headings, HTML, escape sequences, surrogates and
the machine's secrets in every promised form, in pieces; with `--big` (and in the long run) also a line of 50 MB and
a gigabyte. Every file that vault-sched writes, and what its commands say, is searched for the secrets.
"""

# ruff: noqa: E501  tables of odd texts

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import frontmatter
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.torture.output_makers import PIECES, acts, faults, promised_forms, texts
from tests.torture.stage import Stage, Tally, stage, stop
from vault_scheduler.notes.note import Document
from vault_scheduler.notes.runs_section import run_ids

SECONDS = 240.0
EXAMPLES = 20_000
SETTINGS = """---
status: active
timezone: UTC
note_quiet: 1s
note_interval: 1s
max_parallel: 12
---
"""
SECRETS = {
    "TOKEN": "sk-live-0123456789abcdefABCDEF",
    "PASSWORD": "p'w \"d/é&=+(1)~\\x%!*",
    "KEY": "-----BEGIN KEY-----\nAAAABBBBCCCCDDDDEEEEFFFF\nGGGGHHHHIIIIJJJJKKKKLLLL\n-----END KEY-----",
    "SHORT": "12345678",
    "AAAA": "aaaaaaaaaa",
}
# Prints a file in pieces of odd sizes, so that whatever is in it is split over several reads.
PRINTER = """
import os, random, sys, time
data = open(sys.argv[1], "rb").read()
out = int(sys.argv[2]) if len(sys.argv) > 2 else 1
chance, at = random.Random(len(data)), 0
while at < len(data):
    size = chance.choice((1, 2, 3, 7, 100, 65536, 65537))
    os.write(out, data[at:at + size])
    at += size
    if chance.random() < 0.02: time.sleep(0.003)
sys.exit(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
"""
TOOLS = """
import pathlib, sys
def declared(path):
    return {"markdown": pathlib.Path(path).read_bytes().decode("utf-8", "surrogateescape")}
def returned(path):
    return pathlib.Path(path).read_bytes().decode("utf-8", "replace")
def raised(path):
    raise ValueError(pathlib.Path(path).read_bytes().decode("utf-8", "surrogateescape"))
def left(path):
    import os
    text = pathlib.Path(path).read_bytes().decode("utf-8", "replace")
    print("GATE:", pathlib.Path(os.environ["VAULT_SCHED_GATE"]).read_bytes().decode("utf-8", "replace"))
    return {"markdown": text}
"""
BELOW = "Mine, above.\n\n## Runs\nMy remark.\n\n## Below\nstays\n"
NEVER = 'cron: "0 0 29 2 *"'


def _tasks(world: Stage, payload: Path) -> dict[str, str]:
    """Name → keys: one for each way that output takes."""
    python, printer = sys.executable, world.outside / "printer.py"
    shown = f"{python} {printer} {payload}"
    scripts = f"type: python\npython: {python}\nargs: [path={payload}]"
    return {
        "plain": f"type: command\ncommand: {shown}\noutput: Out/plain.md",
        "error": f"type: command\ncommand: {shown} 2 3",
        "headed": f'type: command\ncommand: {shown}\noutput: "Out/headed.md#Log"',
        "gate": f"type: command\ngate: {shown}\ncommand: cat $VAULT_SCHED_GATE\noutput: Out/gate.md",
        "gate-no": f"type: command\ngate: {shown} 1 1\ncommand: echo never",
        "gate-fails": f"type: command\ngate: {shown} 2 5\ncommand: echo never",
        "declared": f'{scripts}\ncall: tools:declared\noutput: "Out/{{{{title}}}} {{{{date}}}}.md"',
        "declared-headed": f'{scripts}\ncall: tools:declared\noutput: "Out/answers.md#Log"',
        "returned": f"{scripts}\ncall: tools:returned",
        "raised": f"{scripts}\ncall: tools:raised",
        "left": f"{scripts}\ngate: {shown}\ncall: tools:left",
        "secrets": "type: command\nsecrets: [TOKEN, PASSWORD, KEY]\ncommand: 'env; echo $TOKEN | base64; printf %s \"$KEY\" | base64; set >&2'",
        "changed": f"type: command\non_change: Inbox/**\ndebounce: 1s\ncommand: cat $VAULT_SCHED_CHANGED; {shown}",
    }


class Attack:
    """One vault whose runs print what they should not."""

    def __init__(self, world: Stage, chance: random.Random, tally: Tally) -> None:
        self.world, self.chance, self.tally = world, chance, tally
        lines = "".join(f"{name}={_quoted(value)}\n" for name, value in SECRETS.items())
        (world.config / "env").write_text(lines)
        (world.config / "env").chmod(0o600)
        self.payload = world.outside / "payload"
        self.payload.write_bytes(b"")
        (world.outside / "printer.py").write_text(PRINTER)
        scripts = world.vault / "00_system" / "scripts"
        scripts.mkdir()
        (scripts / "tools.py").write_text(TOOLS)
        for folder in ("Inbox", "Out"):
            (world.vault / folder).mkdir()
        for name in ("headed", "answers"):
            (world.vault / "Out" / f"{name}.md").write_text("---\nmine: 1\n---\n## Log\nmine\n\n## Below\nstays\n")
        self.tasks = _tasks(world, self.payload)
        for name, keys in self.tasks.items():
            when = "" if "on_change" in keys else f"\n{NEVER}"
            world.note(name, f"{keys}{when}\nkeep_runs: 6", BELOW)
        self.forms = sorted(form for value in SECRETS.values() for form in promised_forms(value))

    def say(self) -> bytes:
        """What the runs of this round print."""
        parts: list[bytes] = []
        for _ in range(self.chance.randrange(1, 40)):
            kind = self.chance.randrange(5)
            if kind == 0:
                parts.append(self.chance.choice(self.forms))
            elif kind == 1:
                parts.append(self.chance.randbytes(self.chance.randrange(12)))
            else:
                parts.append(self.chance.choice(PIECES).encode("utf-8", "surrogatepass"))
            parts.append(self.chance.choice((b"", b"\n", b" ")))
        if not self.chance.randrange(8):
            parts.insert(
                self.chance.randrange(len(parts)), self.chance.choice((b"x", b"`", b"\n", b"a", b"\xff")) * 300_000
            )
        return b"".join(parts)

    def round(self) -> None:
        """Every task once; then look at everything that was written."""
        self.payload.write_bytes(self.say())
        before = {name: len(self.world.runs(name)) for name in self.tasks}
        for name in self.tasks:
            if name != "changed":
                self._tick(name)
        for name, count in sorted(before.items(), key=lambda item: item[0] == "changed"):
            if name == "changed":  # now that the files have been looked at once
                (self.world.vault / "Inbox" / f"{self.chance.randrange(9)}.md").write_text(str(self.chance.random()))
            self.world.until(lambda name=name, count=count: self._ended(name) > count, f"{name} ends", 60)  # type: ignore[misc]
        self.world.until(lambda: not self.world.rows("SELECT 1 FROM deliveries WHERE done_at IS NULL"), "delivered", 60)
        self.tally.count(rounds=1, runs=sum(len(self.world.runs(name)) for name in before) - sum(before.values()))
        self.look()

    def _ended(self, name: str) -> int:
        return sum(run["state"] == "ended" for run in self.world.runs(name))

    def _tick(self, name: str) -> None:
        """A person ticks `run_now`, whatever the note holds by now."""
        path = self.world.tasks / f"{name}.md"
        self.world.until(lambda: b"run_now: true" not in path.read_bytes(), f"{name} is unticked", 60)
        data = path.read_bytes()
        with_tick = re.sub(rb"\nrun_now: [^\n]*", b"", data, count=1).replace(b"---\n", b"---\nrun_now: true\n", 1)
        path.write_bytes(with_tick)

    # what must hold

    def look(self) -> None:
        """Notes, logs and outputs are what they should be."""
        for name in self.tasks:
            self._look_at_task(name)
        for name in ("headed", "answers"):
            text = (self.world.vault / "Out" / f"{name}.md").read_text()
            metadata = frontmatter.loads(text).metadata
            self.tally.check(metadata == {"mine": 1}, f"{name}: properties {metadata}")
            self.tally.check(text.endswith("\n## Below\nstays\n"), f"{name}: text of its person's is gone")
            self._acts(name, frontmatter.loads(text).content, 2, ids=10**6)
        for path in (self.world.vault / "Out").glob("*.md"):
            if path.stem not in ("headed", "answers"):
                self._acts(path.name, path.read_text(), 0, ids=0)
        for line in self.world.log_text().split("\n"):
            shape = not line or line.startswith(("# ", "- "))
            self.tally.check(shape, f"a line of the daily log: {line[:200]!r}")
        self._acts("daily log", self.world.log_text(), self.world.log_text().count("\n# ") + 1, ids=10**6)

    def _look_at_task(self, name: str) -> None:
        data = (self.world.tasks / f"{name}.md").read_bytes()
        document = Document.parse(data)
        if document.fault is not None:
            self.tally.check(False, f"{name}: {document.fault.message}")
            return
        metadata = frontmatter.loads(data.decode()).metadata
        kind = "python" if "type: python" in self.tasks[name] else "command"
        self.tally.check(metadata.get("type") == kind and "status" not in metadata, f"{name}: properties {metadata}")
        self.tally.check(document.definition_body.strip() == "Mine, above.", f"{name}: another definition")
        self.tally.check(data.endswith(b"\n## Below\nstays\n"), f"{name}: text of its person's is gone")
        self.tally.check(b"My remark.\n" in data, f"{name}: the remark is gone")
        known = {run["id"] for run in self.world.runs(name)}
        self.tally.check(run_ids(data) <= known and run_ids(data), f"{name}: {run_ids(data)} of {len(known)} runs")
        self._acts(name, document.body_text, 2, ids=10**6)

    def _acts(self, where: str, text: str, headings: int, *, ids: int) -> None:
        for fault in acts(where, text, headings, known=None if ids else set()):
            self.tally.check(False, fault)

    def search(self, *, short: bool) -> None:
        """No secret stands in anything that was written or is said."""
        for where, data in self._written(["secrets"] if short else list(self.tasks)):
            self.tally.count(places_searched=1)
            for form in self.forms:
                self.tally.check(form not in data, f"{where} tells {form[:60]!r}")

    def _written(self, tasks: list[str]) -> Iterator[tuple[str, bytes]]:
        for folder in (self.world.vault, self.world.state):
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    yield str(path.relative_to(self.world.folder)), path.read_bytes()
        yield "what the daemon printed", self.world.told().encode()
        for name in tasks:
            for words in (["history", name], ["history", name, "--json"], ["show", name], ["logs", name]):
                yield " ".join(words), self._said(words, () if words[0] == "logs" else (0,))
        for words in (["list", "--json"], ["status", "--json"], ["check"]):
            yield " ".join(words), self._said(words, (0, 1))

    def _said(self, words: list[str], codes: tuple[int, ...]) -> bytes:
        """What a command says, as bytes: full outputs come back as they were."""
        command = [sys.executable, "-m", "vault_scheduler", *words, "--vault", str(self.world.vault)]
        done = subprocess.run(command, env=self.world.env, cwd=self.world.folder, capture_output=True, timeout=60)
        self.tally.check(
            not codes or done.returncode in codes, f"{words}: exit {done.returncode} {done.stderr[-300:]!r}"
        )
        return done.stdout + done.stderr

    def big(self) -> None:
        """A line of 50 MB, and a gigabyte in which secrets stand."""
        shapes = {
            "line": "head -c 50000000 /dev/zero | tr '\\\\0' x; printf %s $TOKEN; head -c 1000 /dev/zero | tr '\\\\0' y",
            "giga": "for i in $(seq 1000); do head -c 1000000 /dev/zero | tr '\\\\0' a; echo $TOKEN; done",
        }
        for name, line in shapes.items():
            self.world.note(name, f'type: command\nsecrets: [TOKEN]\nrun_now: true\n{NEVER}\ncommand: "{line}"', BELOW)
            self.tasks[name] = "type: command"
        for name in shapes:
            self.world.until(lambda name=name: self._ended(name), f"{name} ends", 400)  # type: ignore[misc]
        self.world.until(lambda: not self.world.rows("SELECT 1 FROM deliveries WHERE done_at IS NULL"), "delivered", 60)
        status = Path(f"/proc/{self.world.daemon.pid}/status").read_text() if self.world.daemon else ""
        peak = re.search(r"VmHWM:\s+(\d+)", status)
        megabytes = int(peak[1]) // 1024 if peak else 0
        self.tally.count(MB_of_memory_at_most=megabytes)
        self.tally.check(megabytes < 150, f"the daemon took {megabytes} MB")
        outcomes = {run["outcome"] for name in shapes for run in self.world.runs(name)}
        self.tally.check(outcomes == {"success"}, f"big outputs ended {outcomes}")


def _quoted(value: str) -> str:
    """As the env file reads it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def in_process(examples: int, start: int, tally: Tally) -> None:
    """What Hypothesis can think of, into the notes; nothing is run."""

    @seed(start)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(texts, texts, st.booleans())
    def put(text: str, reason: str, markdown: bool) -> None:
        tally.count(outputs=1)
        for fault in faults(text, reason, markdown=markdown):
            tally.check(False, f"{fault}: {json.dumps([text, reason, markdown])}")

    put()


def attack(world: Stage, seconds: float, chance: random.Random, tally: Tally, *, big: bool) -> None:
    """Play the attack on this vault; without seconds, one round."""
    made = Attack(world, chance, tally)
    world.start()
    until = time.monotonic() + seconds
    try:
        made.round()
        while time.monotonic() < until:
            made.round()
        if big:
            made.big()
            made.look()
        made.search(short=not seconds)
        tally.check("internal error" not in world.told(), "an internal error")
    except AssertionError as error:
        tally.check(False, str(error))
    stop(world)


def main() -> int:
    """Attack for some minutes; 0 where everything held."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--big", action=argparse.BooleanOptionalAction, default=True)
    given_ = parser.parse_args()
    tally = Tally(f"hostile output (seed {given_.seed})")
    in_process(given_.examples, given_.seed, tally)
    with stage(SETTINGS) as world:
        attack(world, given_.seconds, random.Random(given_.seed), tally, big=given_.big)
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
