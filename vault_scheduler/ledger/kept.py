"""What is kept of what notes say, for those who look: tasks told without reading a note, or making a task.

How a command uses it, with nothing imported that reads YAML or reckons with calendars:

    kept = kept_definitions(place.definitions_path)
    found = kept.get(path)                       # of a task note, or of the settings note
    if found and found.holds(stamp, context):    # the stamp of the file now, and `ParseContext.key`
        name, kind, zone, *_ = found.plain       # what it declares
        known, fire = found.next_after(now)      # if it is not known: `found.task()`, and ask its schedule

Of the settings note, `context` is the machine's zone and `settings()` what it says. Whatever is in doubt is not there:
another version, another file, other data of a time zone, a damaged row. A fire time that has passed is not known.
"""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
import zlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vault_scheduler import __version__
from vault_scheduler.errors import VaultSchedError
from vault_scheduler.triggers.zone_data import zone_mark

if TYPE_CHECKING:
    from vault_scheduler.settings import Settings
    from vault_scheduler.task import Task
    from vault_scheduler.vault.sweep import Stamp

_PACKAGE = Path(__file__).parents[1]
_READERS = ("parsing", "notes", "triggers", "text")
"""The packages of ours that decide what a note means, besides task.py and settings.py."""
_LIBRARIES = ("pyyaml-", "python_frontmatter-", "croniter-")
_DECODER = json.JSONDecoder()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BUSY_TIMEOUT_S = 5.0

READ = """SELECT d.path, d.stamp, d.digest, d.context, d.said, d.source, d.proof, f.zone, f.times, f.proof
          FROM definitions d LEFT JOIN fires f ON f.path = d.path AND f.definition = d.proof"""
"""Rows for `definition_of_row`."""


@dataclass(frozen=True, slots=True)
class Fires:
    """What is known of the fire times of a definition: for each of its triggers a stretch of time, or an interval.

    `times` is JSON, a list for each trigger: [since, fire] says that `fire` is the first fire time after `since`, and
    so after any moment between them; [anchor, period, 0] names the multiples. All in microseconds since 1970.
    `zone` tells with which data of the time zone this was reckoned.
    """

    zone: str
    times: str

    def proof(self, path: str, definition: object) -> int:
        """A checksum of all of it, and of the definition that it belongs to."""
        return _checksum(path, str(definition), self.zone, self.times)

    @property
    def plain(self) -> list[list[int]]:
        """The times of all triggers."""
        found: list[list[int]] = decoded(self.times)
        return found

    def next_after(self, moment: datetime) -> tuple[bool, datetime | None]:
        """Whether the first fire time after a moment is known, and when it is; None: there is none."""
        at, fires = micros(moment), list[int]()
        for times in self.plain:
            fire = _next(times, at)
            if fire is None:
                return False, None
            fires.append(fire)
        return True, of_micros(min(fires)) if fires else None


def are_known_after(plain: list[list[int]], moment: datetime) -> bool:
    """Whether the first fire time of each of these triggers after a moment is known."""
    at = micros(moment)
    return all(len(times) == 3 or times[0] <= at < times[1] for times in plain)


def _next(times: list[int], at: int) -> int | None:
    """The first fire time of a trigger after a moment, in microseconds; None: it is not known."""
    if len(times) == 3:
        anchor, period = times[:2]
        return anchor + ((at - anchor) // period + 1) * period
    since, fire = times
    return fire if since <= at < fire else None


@dataclass(frozen=True, slots=True)
class Definition:
    """What a note was read as.

    `stamp` and `digest` (SHA-256 in hex) are those of its file, `source` is the text of what `source_of` gave,
    `context` tells what the reading depended on besides the note. `fires` is None where nothing of them is known.
    """

    path: str
    stamp: str
    digest: str
    context: str
    said: str
    source: str
    fires: Fires | None = None

    def holds(self, stamp: Stamp, context: str) -> bool:
        """Whether it still is what the note says, whose file is like this now."""
        return self.stamp == stamp_text(stamp) and self.context == context

    def task(self) -> Task | None:
        """The task; None if the row cannot be understood. It knows the fire times that are kept."""
        try:
            return self.made(decoded(self.source), self.fires.plain if self.fires is not None else None)
        except (ValueError, TypeError, LookupError, AttributeError, VaultSchedError):
            return None

    def made(self, source: Mapping[str, Any], times: list[list[int]] | None) -> Task:
        """The task, of what `source` and `fires` say. Raises as bad data does."""
        from vault_scheduler.parsing.plain import task_of  # and all that it takes: only for who makes tasks

        return task_of(decoded(self.said), self.path, source, times)

    def quick_task(self) -> Task | None:
        """As `task`, for who looks at few of its properties: each is made when it is asked for."""
        from vault_scheduler.parsing.plain import PlainTask

        if self.fires is None:  # nor is it known whether its zone is there
            return self.task()
        try:
            return PlainTask.of(decoded(self.said), self.path, self.source, self.fires)
        except (ValueError, TypeError, LookupError, AttributeError, VaultSchedError):
            return None

    def settings(self) -> Settings | None:
        """What the settings note says; None if the row cannot be understood, or is a task's."""
        from vault_scheduler.parsing.plain import settings_of

        try:
            return settings_of(json.loads(self.said))
        except (ValueError, TypeError, LookupError, AttributeError, VaultSchedError):
            return None

    @property
    def plain(self) -> list[Any]:
        """A task as `plain_of` gave it: id, type, zone, definition, fingerprint, properties, triggers, others.

        `others` has what is not as usual (status, host, after, options…), by the names that `Task` gives it.
        """
        found: list[Any] = json.loads(self.said)
        return found

    def next_after(self, moment: datetime) -> tuple[bool, datetime | None]:
        """Whether the first fire time after a moment is known, and when it is (UTC); None: there is none."""
        return self.fires.next_after(moment) if self.fires is not None else (False, None)

    @property
    def proof(self) -> int:
        """A checksum of all of it but the fire times."""
        return _checksum(self.path, self.stamp, self.digest, self.context, self.said, self.source)


def stamp_text(stamp: Stamp) -> str:
    """A stamp as one text."""
    return str(stamp)


def decoded(text: str) -> Any:
    """A text of ours as data, as `json.loads` would give it, without its look for blanks around. Raises ValueError."""
    return _DECODER.raw_decode(text)[0]


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def of_micros(value: int) -> datetime:
    """The moment (UTC) so many microseconds after 1970."""
    return _EPOCH + value * _MICROSECOND


def kept_definitions(path: Path) -> dict[str, Definition]:
    """All that is kept, by the paths of the notes, for those who only look: nothing is created."""
    found = map(definition_of_row, _rows(path, READ))
    return {definition.path: definition for definition in found if definition is not None}


def kept_definition(path: Path, note: str) -> Definition | None:
    """What is kept of one note (its vault-relative path)."""
    return next(map(definition_of_row, _rows(path, f"{READ} WHERE d.path = ?", note)), None)


def _rows(path: Path, sql: str, *values: str) -> list[tuple[Any, ...]]:
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_TIMEOUT_S)) as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'mark'").fetchone()
            if row is None or row[0] != reading_mark():
                return []
            return db.execute(sql, values).fetchall()
    except (sqlite3.Error, OSError):
        return []


def definition_of_row(row: tuple[Any, ...]) -> Definition | None:
    """The row, if it is whole; with its fire times, if they are and the data of its zone are the same."""
    path, stamp, digest, context, said, source, proof, zone, times, fires_proof = row
    try:
        if _checksum(path, stamp, digest, context, said, source) != proof:
            return None
    except TypeError:  # there is something else than text in it
        return None
    return Definition(path, stamp, digest, context, said, source, _fires(path, proof, zone, times, fires_proof))


def _fires(path: str, definition: object, zone: object, times: object, proof: object) -> Fires | None:
    if not isinstance(zone, str) or not isinstance(times, str) or zone != zone_mark(zone.partition(" ")[0]):
        return None
    found = Fires(zone, times)
    return found if found.proof(path, definition) == proof else None


def _checksum(*parts: str) -> int:
    return zlib.crc32("\0".join(parts).encode("utf-8", "surrogatepass"))


@cache
def reading_mark() -> str:
    """Differs whenever this program might read a note otherwise: another version, other files, another Python.

    As it was when this was first asked: what is put into its place later is not what runs here.
    """
    files = [_PACKAGE / "task.py", _PACKAGE / "settings.py"]
    files += [path for name in _READERS for path in sorted((_PACKAGE / name).glob("*.py"))]
    # Not by their change time: installers share a file between environments by links, which change it.
    stamps = [(path.name, found.st_size, found.st_mtime_ns) for path in files if (found := path.stat())]
    return f"{__version__} {sys.version} {zlib.crc32(repr([stamps, _libraries()]).encode()):08x}"


def _libraries() -> list[str]:
    """Names and versions of the libraries that take part in the reading."""
    spec = importlib.util.find_spec("yaml")
    folder = Path(spec.origin).parents[1] if spec and spec.origin else _PACKAGE.parent
    names = [path.name.lower() for path in folder.iterdir() if path.suffix == ".dist-info"]
    return sorted(name for name in names if name.startswith(_LIBRARIES))
