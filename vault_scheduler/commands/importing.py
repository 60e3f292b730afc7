"""`import-crontab`: each entry of a crontab as a task note, paused, so that nothing runs twice."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from vault_scheduler.commands.catalogue import read_catalogue
from vault_scheduler.commands.creation import Draft, DraftInvalid, create_task, drafted
from vault_scheduler.commands.crontab import Entry, NotRead, read_crontab
from vault_scheduler.commands.progress import counted
from vault_scheduler.errors import BadUsage, Refused
from vault_scheduler.machine.place import Place

_ZONES = ("CRON_TZ", "TZ")
_NOT_CARRIED = ("MAILTO", "MAILFROM", "SHELL", "HOME", "LOGNAME", "USER", *_ZONES)
"""What has another place in a note, or none."""
_SHELLS = ("sh", "bash", "zsh", "fish", "dash", "ksh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of each line of a crontab. `written`: (line, path of the note)."""

    written: tuple[tuple[int, str], ...]
    refused: tuple[tuple[int, str, str], ...]  # line, its text, why
    remarks: tuple[str, ...]


def crontab_of(source: str) -> str:
    """The text of a crontab: of the user (""), or of a file. Raises Refused, BadUsage."""
    if source:
        path = Path(source).expanduser()
        if not path.is_file():
            raise BadUsage(f"there is no file {source}. Name a crontab, or none for your own")
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    try:
        listed = subprocess.run(["crontab", "-l"], capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        raise Refused(f"`crontab -l` cannot be run ({error.strerror}). Name a file instead") from error
    if listed.returncode != 0:
        raise Refused(f"`crontab -l`: {listed.stderr.strip() or 'it failed'}")
    return listed.stdout


def import_crontab(place: Place, text: str, *, active: bool, with_user: bool = False) -> Imported:
    """Write a note for each entry; what would not run is not written, and told with the reason."""
    entries, not_read = read_crontab(text, with_user=with_user)
    written: list[tuple[int, str]] = []
    refused = [(found.line, found.text, _why(found)) for found in not_read]
    catalogue = read_catalogue(place)
    names = {item.name.lower() for item in catalogue.items}
    for entry in counted(entries, "Writing notes"):
        draft = draft_of(entry, place.timezone, place.machine_timezone, taken=names, active=active)
        try:
            made = create_task(place, catalogue, draft)
        except (DraftInvalid, Refused) as error:
            refused.append((entry.line, entry.text, str(error)))
            continue
        written.append((entry.line, made.path))
        names.add(draft.name.lower())
    return Imported(written=tuple(written), refused=tuple(sorted(refused)), remarks=tuple(_remarks(entries)))


def _why(found: NotRead) -> str:
    return f"it is neither an entry with five fields nor NAME=value: {found.text[:60]}"


def draft_of(entry: Entry, vault_zone: str, machine_zone: str, *, taken: Collection[str], active: bool) -> Draft:
    """The note of an entry: the same schedule, command, folder and variables. Pure."""
    zone = next((entry.environment[name] for name in _ZONES if name in entry.environment), machine_zone)
    env = [f"{name}={value}" for name, value in entry.environment.items() if name not in _NOT_CARRIED]
    when = {"on_start": True} if entry.when == "@reboot" else {"cron": entry.when}
    given = {
        **when,
        "timezone": zone if zone != vault_zone else None,
        "status": "active" if active else "paused",
        "run_now": False,
        "cwd": entry.environment.get("HOME", "~"),
        "env": env or None,
    }
    shell = entry.environment.get("SHELL", "/bin/sh").rpartition("/")[2]
    told = f"From a crontab, line {entry.line}:\n\n    {entry.text}"
    if entry.stdin is None and shell not in _SHELLS[1:]:
        return drafted(_free(entry.name, taken), given, command=entry.command, body=told)
    script = entry.command if entry.stdin is None else _fed(entry.command, entry.stdin)
    block = f"{told}\n\n```{shell if shell in _SHELLS else 'sh'}\n{script}\n```"
    return drafted(_free(entry.name, taken), {**given, "type": "command"}, body=block)


def _fed(command: str, data: str) -> str:
    """The command with what cron would have given it on standard input."""
    end = "END"
    while end in data.split("\n"):
        end += "_"
    return f"{{\n{command}\n}} <<'{end}'\n{data}\n{end}"


def _free(name: str, taken: Collection[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _remarks(entries: Sequence[Entry]) -> list[str]:
    remarks = []
    if any(entry.environment.get("MAILTO") for entry in entries):
        remarks.append("MAILTO is not carried over: results stand in the notes and in the daily log.")
    users = sorted({entry.user for entry in entries if entry.user})
    if users:
        remarks.append(f"Everything will run as you, not as {', '.join(users)}.")
    return remarks
