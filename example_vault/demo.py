"""Half a minute of a real daemon on a copy of this vault: `make demo`.

The copy and everything that the scheduler keeps lie in `.demo/` beside this folder; your own vault, state, settings and
Claude login are not touched. DEMO_SECONDS says how long it runs (30), DEMO_FOLDER where. DEMO_CLAUDE=1 lets the
Claude task use your login and spend money (at most $0.30); without it the task shows what happens to somebody who is
not logged in.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

HERE = Path(__file__).resolve().parent
SYSTEM = "00_system"
SETTINGS = f"{SYSTEM}/scheduler.md"
TASKS = f"{SYSTEM}/tasks"
HOUR_S = 3600
SPREAD_DAYS = 40
ONE_SHOT_AFTER_S = 12
ENDS_WITHIN_S = 30
SHOWN_LINES = 8
MARKER = "made-by-the-demo"
RUN_NOW = (
    *("vault-size", "open-tasks", "docs-review", "refresh-dashboard", "cleanup"),
    *("claude/daily-briefing", "home/backup", "home/site-check"),
)
SHORTER = "note_quiet: 1s\nnote_interval: 2s\n"


def main() -> int:
    """Run the demo; 0 if results have arrived in the notes."""
    seconds = float(os.environ.get("DEMO_SECONDS", "30"))
    place = Path(os.environ.get("DEMO_FOLDER") or HERE.parent / ".demo").resolve()
    vault = prepare(place)
    print(bold(f"A real daemon runs the notes of {shown(vault)} for {seconds:.0f} seconds. What it says:"), flush=True)
    print()
    code = serve(vault, surroundings(place), seconds)
    results = [path for path in notes(vault) if runs_of(path)]
    tell_results(vault, results)
    if code != 0:
        print(f"The daemon ended with exit code {code}.", file=sys.stderr)
    return 0 if results and code == 0 else 1


# the copy


def prepare(place: Path) -> Path:
    """A fresh copy of the vault, with a few notes changed so that there is something to see soon."""
    if place.exists() and any(place.iterdir()) and not (place / MARKER).exists():
        raise SystemExit(f"{place} is not empty, and not of this program. Name another folder in DEMO_FOLDER")
    shutil.rmtree(place, ignore_errors=True)
    vault = place / "vault"
    shutil.copytree(HERE, vault, ignore=shutil.ignore_patterns("demo.py", "__pycache__", ".obsidian"))
    (place / MARKER).touch()
    for folder in ("home", "config/vault-sched", "state", "tmp"):
        (place / folder).mkdir(parents=True)
    write_secret(place / "config/vault-sched/env")
    change(vault / SETTINGS, r"^---\n", f"---\n{SHORTER}")
    for name in RUN_NOW:
        change(vault / TASKS / f"{name}.md", "^run_now: false$", "run_now: true")
    change(vault / TASKS / "home/passport.md", "^at: .*$", f"at: {soon(vault)}")
    change(vault / TASKS / "failure-digest.md", "^run_now: false$", f"at: {soon(vault)}")
    age(vault)
    return vault


def write_secret(path: Path) -> None:
    """A made-up secret, which the results must not show."""
    path.write_text("SITE_TOKEN=not-a-real-token-4711\n", encoding="utf-8")
    path.chmod(0o600)


def change(path: Path, pattern: str, new: str) -> None:
    """Replace the first match; a copy that does not look as expected is a mistake of ours."""
    text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"{path.name} has no line {pattern}")
    path.write_text(text, encoding="utf-8")


def soon(vault: Path) -> str:
    """The local time, in the vault's zone, at which the one-shot task shall run."""
    zone = re.search(r"^timezone: (\S+)$", (vault / SETTINGS).read_text(encoding="utf-8"), re.MULTILINE)
    now = datetime.now(ZoneInfo(zone[1] if zone else "UTC"))  # noqa: TID251  # a program of its own
    moment = now + timedelta(seconds=ONE_SHOT_AFTER_S)
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def age(vault: Path) -> None:
    """An hour ago, so that nobody seems to be typing in them. A note with a day in its name is of that day, what else
    the person wrote is some days old, each note always the same number."""
    then = time.time() - HOUR_S  # noqa: TID251
    for path in vault.rglob("*.md"):
        day = re.match(r"(\d{4}-\d{2}-\d{2})", path.name)
        written = datetime.fromisoformat(f"{day[1]}T18:00").timestamp() if day else then
        if not day and SYSTEM not in path.parts:
            written -= zlib.crc32(path.name.encode()) % SPREAD_DAYS * 24 * HOUR_S
        os.utime(path, (min(written, then), min(written, then)))


def surroundings(place: Path) -> dict[str, str]:
    """The environment of the daemon: a home, a configuration and a state of its own."""
    home = os.environ.get("HOME", "") if os.environ.get("DEMO_CLAUDE") == "1" else str(place / "home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VAULT_SCHED_", "CLAUDE"))}
    return kept | {
        "HOME": home,
        "XDG_CONFIG_HOME": str(place / "config"),
        "XDG_STATE_HOME": str(place / "state"),
    }


# the daemon


def serve(vault: Path, environment: dict[str, str], seconds: float) -> int:
    """Run the daemon with its lines in this terminal; TERM after so many seconds. Its exit code."""
    command = [sys.executable, "-P", "-m", "vault_scheduler", "--vault", str(vault), "daemon"]
    daemon = subprocess.Popen(command, env=environment, cwd=vault, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return daemon.wait(timeout=seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        return stop(daemon)


def stop(daemon: subprocess.Popen[bytes]) -> int:
    """TERM, and KILL only for a daemon that does not end."""
    daemon.send_signal(signal.SIGTERM)
    try:
        return daemon.wait(timeout=ENDS_WITHIN_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        daemon.kill()
        return daemon.wait()


# what came of it


def notes(vault: Path) -> list[Path]:
    """The task notes."""
    return sorted((vault / TASKS).rglob("*.md"))


def runs_of(path: Path) -> str:
    """The `## Runs` section of a note."""
    return path.read_text(encoding="utf-8").partition("\n## Runs\n")[2].strip()


def tell_results(vault: Path, results: list[Path]) -> None:
    """The sections that the daemon wrote, the notes that tasks made, and the daily log."""
    for path in results:
        title(f"{path.relative_to(vault).as_posix()}{status_of(path)}")
        print(runs_of(path))
    for path in sorted(vault.rglob("*.md")):
        if not (HERE / path.relative_to(vault)).exists():
            title(path.relative_to(vault).as_posix())
            print(beginning(path))
    title("Where to look")
    print(f"Open {shown(vault)} as a vault in Obsidian, or read the notes with any editor.")
    print(f"The tasks: {shown(vault / TASKS)}. The settings: {shown(vault / SETTINGS)}.")
    print(f"To go on, in this folder: {command_line(vault)}")
    print("and then edit a task note, tick its `run_now`, or set `status: stopped` in the settings note.")


def beginning(path: Path) -> str:
    """The whole daily log; of another note that a task made as much as shows what it is."""
    lines = path.read_text(encoding="utf-8").strip().split("\n")
    if path.parent.name == "logs" or len(lines) <= SHOWN_LINES:
        return "\n".join(lines)
    return "\n".join([*lines[:SHOWN_LINES], f"… ({len(lines) - SHOWN_LINES} more lines)"])


def status_of(path: Path) -> str:
    """What the scheduler wrote into the properties, in a few words."""
    said = dict(re.findall(r"^(status|last_status|next_run): (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
    words = [f"{name}: {value}" for name, value in sorted(said.items()) if value != "active"]
    return f"  ({', '.join(words)})" if words else ""


def command_line(vault: Path) -> str:
    """The command that starts the daemon again on the copy, with the copy's own state."""
    place = vault.parent
    own = f"XDG_CONFIG_HOME={shown(place / 'config')} XDG_STATE_HOME={shown(place / 'state')}"
    return f"{own} {shown(Path(sys.executable), follow=False)} -m vault_scheduler --vault {shown(vault)} daemon"


def shown(path: Path, *, follow: bool = True) -> str:
    """A path relative to the current folder where that is shorter."""
    full = path.resolve() if follow else path.absolute()
    try:
        return str(full.relative_to(Path.cwd()))
    except ValueError:
        return str(full)


def title(text: str) -> None:
    """A heading in the terminal."""
    print(f"\n{bold(f'── {text} ')}\n")


def bold(text: str) -> str:
    """Bold where the terminal shows it."""
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


if __name__ == "__main__":
    sys.exit(main())
