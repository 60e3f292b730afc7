"""What sync programs, git and a second machine do to a vault while its daemon runs.

`python -m tests.torture.sync`: scenes, each in a vault of its own and all of them side by side, for they mostly wait.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.torture.stage import Stage, Tally, seconds_wanted, stage, stop

SETTINGS = """---
status: active
host: one
timezone: UTC
note_quiet: 1s
note_interval: 1s
max_parallel: 40
---
"""
FRESH_S = 6.0
WAITS = {"planning.vigil.FRESH_S": FRESH_S}


def task(every: str, marks: Path, word: str = "ran", more: str = "") -> str:
    """A note of a task that leaves the fire time of each of its runs in a file outside of the vault."""
    command = f"echo {word} $VAULT_SCHED_TASK $VAULT_SCHED_FIRE_TIME | tee -a {marks}"
    return f'---\ntype: command\nevery: {every}\nkeep_runs: 100\n{more}command: "{command}"\n---\nText.\n'


class Scene:
    """A vault, what ran in it, and chance."""

    def __init__(self, world: Stage, tally: Tally, seed: int, name: str, *, short: bool = False) -> None:
        self.world = world
        self.tally = tally
        self.dice = random.Random(f"{name} {seed}")
        self.name = name
        self.marks = world.outside / "marks"
        self.cleanup = contextlib.ExitStack()
        self._short = short

    def times(self, number: int) -> int:
        """How often something is done; only a third as often in the suite."""
        return max(1, number // 3) if self._short else number

    def write(self, name: str, text: str) -> Path:
        """A task note, renamed into its place as sync programs do."""
        path = self.world.tasks / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.part")
        new.write_text(text)
        return new.replace(path)

    def ran(self, word: str = "") -> list[str]:
        """What the runs left, or those with this word."""
        lines = self.marks.read_text().splitlines() if self.marks.exists() else []
        return [line for line in lines if not word or line.split()[0] == word]

    def more_runs(self, count: int = 2, word: str = "") -> None:
        """Wait until it has run so many times more."""
        before = len(self.ran(word))
        self.world.until(lambda: len(self.ran(word)) >= before + count, f"{self.name}: {count} more runs", 30)

    def nothing_runs(self, seconds: float, why: str) -> None:
        """Nothing may start in this time."""
        before, until = self.ran(), time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.1)
        self.check(self.ran() == before, f"{why}, and yet it ran: {self.ran()[len(before) :]}")

    def check(self, holds: object, fault: str) -> None:
        """A promise."""
        self.tally.check(holds, f"{self.name}: {fault}")

    def finish(self) -> None:
        """No fire time ran twice; every finished run stands where it belongs; nothing is left over."""
        world = self.world
        if world.runs_on:
            undone = "SELECT 1 FROM runs WHERE state != 'ended' UNION SELECT 1 FROM deliveries WHERE done_at IS NULL"
            for path in world.tasks.rglob("*.md"):
                text = re.sub(r"^status: .*\n", "", path.read_text(), flags=re.M)
                path.write_text(text.replace("type: command\n", "type: command\nstatus: paused\n", 1))
            world.until(lambda: not world.rows(undone), f"{self.name}: all is delivered", 40)
            stop(world)
        twice = [line for line, count in Counter(self.ran()).items() if count > 1]
        self.check(not twice, f"ran twice: {twice[:3]}")
        runs = world.rows("SELECT id FROM runs WHERE outcome = 'success'")
        log = world.log_text()
        for run in runs:
            if not log.count(f"^{run['id']}\n"):
                self.tally.lost(f"{self.name}: run {run['id']} is not in the daily log")
        self.tally.count(scenes=1, runs=len(runs))


def conflict_copies(scene: Scene) -> None:
    """Copies of all kinds appear beside a task that runs: none of them ever does."""
    text = task("1s", scene.marks)
    scene.write("counter", text)
    scene.world.start()
    scene.more_runs(1)
    names = [
        "counter (conflicted copy 2026-11-20)", "counter (Anna's conflicted copy 2026-11-20)",
        "counter.sync-conflict-20261120-070000-ABCDEF", "counter 1", "counter copy", "counter (1)",
    ]  # fmt: skip
    for _ in range(scene.times(12)):
        name = scene.dice.choice(names)
        plain = name in ("counter 1", "counter copy", "counter (1)")
        scene.write(name, text if plain else text.replace("echo ran", "echo COPY").replace("every: 1s", "every: 2s"))
        time.sleep(scene.dice.uniform(0.1, 0.8))
        scene.tally.count(events=1)
    scene.more_runs(3)
    scene.check(not scene.ran("COPY"), f"a copy ran: {scene.ran('COPY')[:2]}")
    tasks = {row["task"] for row in scene.world.rows("SELECT DISTINCT task FROM runs")}
    scene.check(tasks == {"counter"}, f"others ran: {tasks}")
    for name in names:
        (scene.world.tasks / f"{name}.md").unlink(missing_ok=True)


def created_on_two_machines(scene: Scene) -> None:
    """Two versions of a new note, one of which wins: from then on that one runs alone."""
    scene.world.start()
    count = 1 + scene.times(3)
    for number in range(count):
        name = f"new{number}"
        scene.write(name, task("1s", scene.marks, f"first{number}"))
        time.sleep(scene.dice.uniform(0.1, 2.5))
        scene.write(name, task("1s", scene.marks, f"second{number}"))
        scene.write(f"{name} (conflicted copy)", task("1s", scene.marks, f"first{number}"))
        scene.tally.count(events=2)
    for number in range(count):
        scene.more_runs(1, f"second{number}")
    before = [len(scene.ran(f"first{number}")) for number in range(count)]
    scene.more_runs(3, f"second{count - 1}")
    scene.check([len(scene.ran(f"first{number}")) for number in range(count)] == before, "the loser still runs")


def merged_away(scene: Scene) -> None:
    """What a merge removes soon after it was delivered is put back once; what a person deletes later stays deleted."""
    out = scene.world.vault / "Out.md"
    keys = "cron: 0 0 29 2 *\nrun_now: true\noutput: Out.md#Log\n"
    note = scene.write("once", task("1s", scene.marks).replace("every: 1s\n", keys))
    old = {out: "# Out\n\n## Log\n", note: note.read_text().replace("run_now: true", "run_now: false")}
    out.write_text(old[out])
    world = scene.world
    world.start()
    (run,) = world.ended("once")
    world.delivered()
    log = next(world.logs.glob("*.md"))
    old[log] = "# a day\n"
    block = f"^{run['id']}"
    world.until(lambda: "run_now: false" in note.read_text(), "unticked")
    time.sleep(1.3)
    for path, text in old.items():
        path.write_text(f"{text}\nTyped on the phone.\n")
        scene.tally.count(events=1)
    for path in old:
        world.until(lambda path=path: block in path.read_text(), f"{path.name} has it again", 40)  # type: ignore[misc]
        scene.check("Typed on the phone." in path.read_text(), f"{path.name}: the phone's line is gone")
        scene.check(path.read_text().count(block) == 1, f"{path.name} has it twice")
    time.sleep(FRESH_S + 1)
    for path, text in old.items():
        path.write_text(text)
    time.sleep(3)
    for path in old:
        scene.check(block not in path.read_text(), f"{path.name}: what a person deleted came back")
    log.write_text(f"{old[log]}- {block}\n")


def garbage_in_settings(scene: Scene) -> None:
    """A settings note that is cut, emptied or merged into anything never sets a vault going that is held back."""
    scene.write("counter", task("1s", scene.marks))
    world = scene.world
    holds = ["status: paused", "status: stopped", "paused_until: 2099-01-01", "host: two"]
    hold = scene.dice.choice(holds)
    whole = SETTINGS.replace("host: one" if hold.startswith("host") else "status: active", hold)
    world.settings.write_text(whole)
    world.start()
    time.sleep(2.0)  # what was never read cannot be remembered
    until = time.monotonic() + scene.times(14)
    while time.monotonic() < until:
        if scene.dice.random() < 0.1:
            world.settings.unlink(missing_ok=True)  # not synced yet, or deleted on the other machine
        else:
            world.settings.write_text(_garbled(whole, scene.dice))
        if scene.dice.random() < 0.1:
            world.kill()
            world.start()
        scene.tally.count(events=1)
        time.sleep(scene.dice.choice([0.05, 0.3, 1.6, 2.6]))
    scene.check(not scene.ran(), f"held by {hold!r}, and yet it ran")
    world.settings.write_text(SETTINGS.replace("host", "paused_until:\nhost"))
    scene.more_runs(1)


def _garbled(text: str, dice: random.Random) -> str:
    """What becomes of a settings note without anybody having set the vault going."""
    lines = text.splitlines()
    place = dice.randrange(1, len(lines) - 1)
    kinds: list[Callable[[], str]] = [
        lambda: "",
        lambda: text[: dice.randrange(len(text))],
        lambda: "\n".join([*lines[:place], *lines[place + 1 :]]) + "\n",  # a line is missing
        lambda: "\n".join([*lines[:place], lines[place] + lines[place + 1], *lines[place + 2 :]]) + "\n",
        lambda: text.replace("status: ", "status: fa", 1).replace("host: ", "hostt: ", 1),
        lambda: text + text,
        lambda: text.replace("---\n", "<<<<<<< mine\n---\n", 1),
        lambda: "---\ntimezone: UTC\n---\n",
    ]
    return dice.choice(kinds)()


def garbage_in_tasks(scene: Scene) -> None:
    """A paused task whose status is merged into garbage, or whose note is cut, does not run."""
    whole = task("1s", scene.marks, more="status: paused\n")
    world = scene.world
    scene.write("held", whole)
    world.start()
    until = time.monotonic() + scene.times(10)
    while time.monotonic() < until:
        word = scene.dice.choice(["faok", "pauactive", "pausedactive", "ok", "activepaused", ""])
        text = whole.replace("status: paused", f"status: {word}") if word else whole[: scene.dice.randrange(60)]
        (world.tasks / "held.md").write_text(text)
        scene.tally.count(events=1)
        time.sleep(scene.dice.choice([0.05, 0.3, 1.6, 2.6]))
    scene.check(not scene.ran(), "a paused task ran")
    scene.write("held", whole.replace("status: paused", "status: active"))
    scene.more_runs(1)


def git_checkout(scene: Scene) -> None:
    """200 notes come and go with the branches of a real repository; what both have runs on, and nothing twice."""
    world = scene.world
    for number in range(200):
        scene.write(f"t{number}", task("1s" if number < 5 else "1d", scene.marks))
    git = ["git", "-C", str(world.vault), "-c", "user.name=x", "-c", "user.email=x@x.x", "-c", "gc.auto=0"]

    def run(*words: str) -> None:
        subprocess.run([*git, *words], check=True, capture_output=True)

    # `git add` gives up on a file that vanishes while it looks: docs/contract.md says to leave our temp files out.
    (world.vault / ".gitignore").write_text("00_system/logs\n.vault-sched.*\n")
    run("init", "-q", "-b", "main")
    run("add", "-A")
    run("commit", "-q", "-m", "main")
    run("checkout", "-q", "-b", "other")
    for number in range(5, 200):
        path = world.tasks / f"t{number}.md"
        if number % 3 == 0:
            path.unlink()
        elif number % 3 == 1:
            path.rename(world.tasks / f"r{number}.md")
        else:
            path.write_text(path.read_text().replace("Text.", "Other text."))
    run("add", "-A")
    run("commit", "-q", "-m", "other")
    run("checkout", "-q", "main")
    world.start()
    scene.more_runs(5)
    for branch in ("other", "main") * scene.times(2):
        run("add", "-A")
        run("commit", "-q", "--allow-empty", "-m", "as it is")
        run("checkout", "-q", "-f", branch)
        scene.tally.count(events=1)
        time.sleep(scene.dice.uniform(0.1, 4.0))
    scene.more_runs(15)
    listed = world.sched("list", "--json").stdout
    scene.check(listed.count('"armed"') == 200, f"{listed.count(chr(34) + 'armed' + chr(34))} of 200 tasks are armed")
    rare = world.rows("SELECT task, outcome FROM runs WHERE task NOT IN ('t0', 't1', 't2', 't3', 't4')")
    scene.check(not rare, f"a checkout made something run: {rare[:3]}")
    late = ("missed", "a later one was due too")  # on a busy machine
    for row in world.rows("SELECT DISTINCT outcome, reason FROM runs WHERE outcome != 'success'"):
        fine = row["outcome"] == "skipped" or (row["outcome"], row["reason"]) == late
        scene.check(fine, f"a fire time ended {row['outcome']}: {row['reason']}")


def vault_away(scene: Scene) -> None:
    """The vault goes (unmounted, renamed) and comes back: nothing runs meanwhile, and then all goes on."""
    _away(scene, scene.world.vault)


def vault_unmounted(scene: Scene) -> None:
    """The vault is a disk of its own that is unmounted: its empty mount point is no vault, and stays empty."""
    vault = scene.world.vault
    before, disk = vault.with_name("before"), vault.with_name("disk")
    vault.rename(before)
    for folder in (vault, disk):
        folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "torture", disk], capture_output=True).returncode:
        before.rename(vault)
        return scene.tally.count(without_the_right_to_mount=1)
    for folder in (disk, vault):
        scene.cleanup.callback(_unmount, folder)
    shutil.copytree(before, disk, dirs_exist_ok=True)
    subprocess.run(["mount", "--bind", disk, vault], check=True)
    for name in ("a", "b"):
        scene.write(name, task("1s", scene.marks))
    scene.world.start()
    scene.more_runs(3)
    for _ in range(scene.times(3)):
        _unmount(vault)
        scene.tally.count(events=1)
        time.sleep(0.7)
        scene.nothing_runs(scene.dice.uniform(0.5, 4.0), "the vault is not mounted")
        scene.check(not any(vault.iterdir()), f"in the mount point: {list(vault.iterdir())}")
        subprocess.run(["mount", "--bind", disk, vault], check=True)
        scene.more_runs(4)
    return None


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


def tasks_away(scene: Scene) -> None:
    """The tasks folder goes and comes back."""
    _away(scene, scene.world.tasks)


def _away(scene: Scene, folder: Path) -> None:
    for name in ("a", "b", "c"):
        scene.write(name, task("1s", scene.marks))
    scene.world.start()
    scene.more_runs(3)
    for _ in range(scene.times(3)):
        elsewhere = folder.with_name("elsewhere")
        folder.rename(elsewhere)
        scene.tally.count(events=1)
        time.sleep(0.7)
        scene.nothing_runs(scene.dice.uniform(0.5, 4.0), f"{folder.name} is away")
        made = sorted(folder.rglob("*")) if folder.exists() else []
        scene.check(not folder.exists(), f"{folder.name} was made anew while it was away: {made[:3]}")
        if folder.exists():
            return
        elsewhere.rename(folder)
        scene.more_runs(4)
    tasks = {row["task"] for row in scene.world.rows("SELECT DISTINCT task FROM runs")}
    scene.check(tasks == {"a", "b", "c"}, f"the tasks are {tasks}")


def two_machines(scene: Scene) -> None:
    """A second machine runs only its own tasks and writes only its own files; a take-over catches nothing up."""
    one = scene.world
    (one.folder / "two").mkdir()
    two = Stage(one.folder / "two", SETTINGS, host="two", waits=WAITS)
    two.vault, two.tasks, two.logs, two.settings = one.vault, one.tasks, one.logs, one.settings
    scene.write("shared", task("1s", scene.marks, "shared"))
    scene.write("broken", "---\ntype: command\nevery: often\n---\n")
    scene.write("ticked", task("1d", scene.marks, "ticked", "next_run: 2026-11-20T00:00:00\n"))
    scene.write("theirs", task("1s", scene.marks, "theirs", "host: two\noutput: Theirs.md#Log\n"))
    try:
        _play_two(scene, one, two)
    finally:
        if two.runs_on:
            two.kill()


def _play_two(scene: Scene, one: Stage, two: Stage) -> None:
    one.start()
    two.start()
    scene.more_runs(3, "shared")
    scene.more_runs(3, "theirs")
    tasks = [{row["task"] for row in world.rows("SELECT DISTINCT task FROM runs")} for world in (one, two)]
    scene.check(tasks == [{"shared"}, {"theirs"}], f"the machines ran {tasks}")
    stop(one)
    before = _files(one.vault)
    scene.more_runs(4, "theirs")
    time.sleep(1.5)
    changed = {path for path, data in _files(one.vault).items() if before.get(path) != data}
    strange = {p for p in changed if not re.search(r"theirs\.md|Theirs\.md|-two\.md|\.vault-sched\.", p)}
    scene.check(not strange, f"the second machine wrote {strange}")
    main = "".join(p.read_text() for p in one.logs.glob("*.md") if not p.name.endswith("-two.md"))
    scene.check("theirs|" not in main.replace("broken", ""), "the second machine's run is in the owner's log")
    own = "".join(p.read_text() for p in one.logs.glob("*-two.md"))
    scene.check("theirs|" in own and "shared|" not in own, "the second machine's log")
    one.start()
    scene.more_runs(2, "shared")
    taken_at = time.time()
    one.settings.write_text(SETTINGS.replace("host: one", "host: two"))
    two.until(lambda: two.runs("shared"), "the second machine has taken over")
    scene.more_runs(3, "shared")
    past = [run for run in two.runs("shared") if run["fire_time"] < taken_at - 1]
    scene.check(not past, f"caught up what was the other machine's: {past[:2]}")
    both = {r["fire_time"] for r in one.runs("shared")} & {r["fire_time"] for r in two.runs("shared")}
    scene.check(not both, f"both ran {len(both)} fire times")
    stop(one)
    stop(two)
    scene.tally.count(events=2)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


SCENES = [
    conflict_copies, created_on_two_machines, merged_away, garbage_in_settings, garbage_in_tasks, git_checkout,
    vault_away, vault_unmounted, tasks_away, two_machines,
]  # fmt: skip


def play(act: Callable[[Scene], None], tally: Tally, seed: int, *, short: bool = False) -> None:
    """One scene in a vault of its own."""
    try:
        with stage(SETTINGS, waits=WAITS) as world:
            scene = Scene(world, tally, seed, act.__name__, short=short)
            with scene.cleanup:
                act(scene)
                scene.finish()
    except Exception as error:
        tally.check(False, f"{act.__name__}: {error}")


def main() -> int:
    """Rounds of all scenes, three at a time, until the time is over."""
    tally = Tally("sync")
    until = time.monotonic() + seconds_wanted(180)
    wanted = [act for act in SCENES if act.__name__ in sys.argv] or SCENES
    seed = 0
    while time.monotonic() < until:
        with ThreadPoolExecutor(3) as pool:
            for played in [pool.submit(play, act, tally, seed) for act in wanted]:
                played.result()
        seed += 1
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
